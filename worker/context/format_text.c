/* format_text.c - plain text: paragraphs are what blank lines part. The format of last resort. */
#include "worker/context/extract.h"

static bool is_text(const char *bytes, size_t len, bool named) {
  (void)bytes, (void)len, (void)named;
  return true;
}

static bool blank_line(const char *text, size_t from, size_t to) {
  while (from < to && (text[from] == ' ' || text[from] == '\t' || text[from] == '\r')) from++;
  return from == to;
}

static enum status read_text(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  (void)err;
  size_t paragraph = 0;
  for (size_t at = 0; at < len;) {
    const char *end = memchr(bytes + at, '\n', len - at);
    size_t line_end = end ? (size_t)(end - bytes) : len, next = end ? line_end + 1 : len;
    if (blank_line(bytes, at, line_end)) {
      if (!extractor_span(extractor, BLOCK_TEXT, 0, bytes, paragraph, at)) break;
      paragraph = next;
    }
    at = next;
  }
  extractor_span(extractor, BLOCK_TEXT, 0, bytes, paragraph, len);
  return OK;
}

const struct format format_text = {.content_type = "text/plain", .is = is_text, .extensions = "txt text log", .read = read_text};
