/* format_text.c - plain text: paragraphs are what blank lines part. The format of last resort. */
#include "worker/context/extract.h"

static bool is_text(const char *bytes, size_t len, bool named) {
  (void)bytes, (void)len, (void)named;
  return true;
}

static enum status read_text(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  (void)err;
  extractor_paragraphs(extractor, BLOCK_TEXT, bytes, 0, len); /* a failure is the extractor's to tell */
  return OK;
}

const struct format format_text = {.content_type = "text/plain", .is = is_text, .extensions = "txt text log", .read = read_text};
