/* sse.c - see sse.h. Lines end with LF, CR or CRLF; an event ends with an empty line, and one without data is none. */
#include "cli/sse.h"

#include <string.h>

void sse_init(struct sse *sse, size_t max, void (*event)(void *arg, const char *type, const char *data), void *arg) {
  *sse = (struct sse){.event = event, .arg = arg};
  buf_init(&sse->line, max);
  buf_init(&sse->data, max);
}

void sse_free(struct sse *sse) {
  buf_free(&sse->line);
  buf_free(&sse->data);
}

void sse_restart(struct sse *sse) {
  buf_reset(&sse->line);
  buf_reset(&sse->data);
  sse->has_data = sse->after_cr = false;
  sse->type[0] = '\0';
  memcpy(sse->next_id, sse->id, sizeof sse->id);
}

/* Of bounds the buffer forgets that they were exceeded when it is used again. */
static void note(struct sse *sse, bool fits) { sse->overflow = sse->overflow || !fits; }

static void end_event(struct sse *sse) {
  memcpy(sse->id, sse->next_id, sizeof sse->id);
  if (sse->has_data) sse->event(sse->arg, *sse->type ? sse->type : "message", buf_str(&sse->data));
  buf_reset(&sse->data);
  sse->has_data = false;
  sse->type[0] = '\0';
}

static void take_field(struct sse *sse, const char *name, const char *value) {
  if (strcmp(name, "data") == 0) {
    if (sse->has_data) note(sse, buf_putc(&sse->data, '\n'));
    note(sse, buf_puts(&sse->data, value));
    sse->has_data = true;
  } else if (strcmp(name, "event") == 0) {
    snprintf(sse->type, sizeof sse->type, "%s", value);
  } else if (strcmp(name, "id") == 0 && strlen(value) < sizeof sse->next_id) {
    snprintf(sse->next_id, sizeof sse->next_id, "%s", value);
  }
}

/* A line that begins with a colon is a comment: the server's sign of life. */
static void end_line(struct sse *sse) {
  char none[1] = "", *line = sse->line.len ? sse->line.data : none, *colon = strchr(line, ':');
  if (!*line) {
    end_event(sse);
  } else if (colon != line) {
    const char *value = colon ? colon + 1 : "";
    if (colon) *colon = '\0';
    take_field(sse, line, *value == ' ' ? value + 1 : value);
  }
  buf_reset(&sse->line);
}

bool sse_feed(struct sse *sse, const char *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) {
    bool second = sse->after_cr && bytes[i] == '\n';
    sse->after_cr = bytes[i] == '\r';
    if (second) continue;
    if (bytes[i] == '\n' || bytes[i] == '\r')
      end_line(sse);
    else
      note(sse, buf_putc(&sse->line, bytes[i]));
  }
  return !sse->overflow;
}
