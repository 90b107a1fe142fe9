/* sse.c - see sse.h. */
#include "tests/support/sse.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

void sse_close(struct sse *sse) {
  if (sse->fd >= 0) close(sse->fd);
  free(sse->wire);
  free(sse->text);
  *sse = (struct sse){.fd = -1};
}

void sse_event_free(struct sse_event *event) {
  json_decref(event->data);
  event->data = NULL;
}

void sse_request(struct harness *h, const char *job_id, const char *last_id, const char *extra, struct sse *ret_sse) {
  char text[1024];
  *ret_sse = (struct sse){.fd = harness_socket(h), .wire = calloc(1, 1), .text = calloc(1, 1)};
  int len = snprintf(text, sizeof text, "GET /api/v1/jobs/%s/events HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n%s%s%s%s\r\n", job_id,
                     h->api_key, *last_id ? "Last-Event-ID: " : "", last_id, *last_id ? "\r\n" : "", extra);
  assert_true(raw_send(ret_sse->fd, text, (size_t)len));
}

void sse_answer(struct sse *sse) {
  RAW_AUTO answer;
  raw_read(sse->fd, true, &answer); /* the head alone */
  sse->status = answer.status;
  memcpy(sse->head, answer.head, sizeof sse->head);
}

void sse_open(struct harness *h, const char *job_id, const char *last_id, const char *extra, struct sse *ret_sse) {
  sse_request(h, job_id, last_id, extra, ret_sse);
  sse_answer(ret_sse);
}

static void add(char **text, size_t *len, const char *more, size_t more_len) {
  *text = realloc(*text, *len + more_len + 1);
  assert_non_null(*text);
  memcpy(*text + *len, more, more_len);
  *len += more_len;
  (*text)[*len] = '\0';
}

static void drop(char *text, size_t *len, size_t count) {
  *len -= count;
  memmove(text, text + count, *len + 1);
}

/* Whole chunks from wire to text. The last one must be the last thing on the connection. */
static void decode(struct sse *sse) {
  while (!sse->ended) {
    char *line_end = strstr(sse->wire, "\r\n"), *digits_end;
    if (!line_end) return;
    size_t size = strtoul(sse->wire, &digits_end, 16), head = (size_t)(line_end - sse->wire) + 2;
    assert_ptr_equal(digits_end, line_end);
    if (sse->wire_len < head + size + 2) return;
    assert_memory_equal(sse->wire + head + size, "\r\n", 2);
    add(&sse->text, &sse->text_len, sse->wire + head, size);
    drop(sse->wire, &sse->wire_len, head + size + 2);
    if (size) continue;
    assert_int_equal(sse->wire_len, 0);
    assert_true(raw_closed(sse->fd, 5000));
    sse->ended = true;
  }
}

/* False on the end of the connection or when nothing comes. */
static bool receive(struct sse *sse, int timeout_ms) {
  struct pollfd poller = {.fd = sse->fd, .events = POLLIN};
  char block[65536];
  if (sse->ended || poll(&poller, 1, timeout_ms) != 1) return false;
  ssize_t n = recv(sse->fd, block, sizeof block, 0);
  if (n <= 0) return false;
  if (strstr(sse->head, "chunked")) {
    add(&sse->wire, &sse->wire_len, block, (size_t)n);
    decode(sse);
  } else {
    add(&sse->text, &sse->text_len, block, (size_t)n);
  }
  return true;
}

static void take_line(struct sse *sse, char *line, struct sse_event *event) {
  if (strncmp(line, "id: ", 4) == 0)
    event->id = strtoll(line + 4, NULL, 10);
  else if (strncmp(line, "event: ", 7) == 0)
    snprintf(event->type, sizeof event->type, "%s", line + 7);
  else if (strncmp(line, "data: ", 6) == 0)
    event->data = json_loads(line + 6, JSON_DECODE_ANY, NULL);
  else if (strncmp(line, "retry: ", 7) == 0)
    sse->retry_ms = strtoll(line + 7, NULL, 10);
  else if (*line == ':')
    sse->comments++;
  else
    fail_msg("no line of an event stream: \"%s\"", line);
}

/* One block of lines up to its blank line; false while there is none. */
static bool take_block(struct sse *sse, struct sse_event *event) {
  char *block_end = strstr(sse->text, "\n\n"), *rest = sse->text;
  if (!block_end) return false;
  *block_end = '\0';
  for (char *line; (line = strsep(&rest, "\n"));) take_line(sse, line, event);
  drop(sse->text, &sse->text_len, (size_t)(block_end - sse->text) + 2);
  return true;
}

bool sse_next(struct sse *sse, int timeout_ms, struct sse_event *ret_event) {
  int64_t end = harness_now_ms() + (int64_t)timeout_ms * PATIENCE;
  *ret_event = (struct sse_event){0};
  for (;;) {
    while (take_block(sse, ret_event)) {
      if (!*ret_event->type) continue;
      assert_non_null(ret_event->data);
      assert_true(ret_event->id > 0);
      return true;
    }
    int64_t left = end - harness_now_ms();
    if (!receive(sse, left > 0 ? (int)left : 0) && !sse->text_len) return false;
    if (left <= 0) return false;
  }
}
