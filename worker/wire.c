/* wire.c - encoding and strict decoding of frames; see wire.h. */
#include "worker/wire.h"

bool wire_put(struct buf *out, enum wire_type type, const void *body, size_t len) {
  buf_put_u32be(out, (uint32_t)len);
  buf_putc(out, (char)type);
  return buf_append(out, body, len);
}

/* Strings travel with their NUL, so that the reader can point into the frame. */
static void put_text(struct buf *out, const char *text, size_t len) {
  buf_put_u32be(out, (uint32_t)len);
  buf_append(out, text, len);
  buf_putc(out, '\0');
}

static size_t text_len(const char *text) { return text ? strlen(text) : 0; }

bool wire_put_job(struct buf *out, const struct wire_job *job) {
  const char *const texts[] = {job->id, job->kind, job->owner_id, job->connection_id, job->trace};
  size_t len = 4 + job->payload_len + 5;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) len += text_len(texts[i]) + 5;
  buf_put_u32be(out, (uint32_t)len);
  buf_putc(out, WIRE_JOB);
  buf_put_u32be(out, (uint32_t)job->attempt);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) put_text(out, texts[i] ? texts[i] : "", text_len(texts[i]));
  put_text(out, job->payload, job->payload_len);
  return buf_ok(out);
}

struct reader {
  const char *at, *end;
  bool bad;
};

static uint32_t get_u32(struct reader *in) {
  if (in->bad || in->end - in->at < 4) {
    in->bad = true;
    return 0;
  }
  const uint8_t *b = (const uint8_t *)in->at;
  in->at += 4;
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static const char *get_text(struct reader *in, size_t *ret_len) {
  size_t len = get_u32(in);
  if (in->bad || (size_t)(in->end - in->at) < len + 1 || in->at[len] != '\0') {
    in->bad = true;
    return "";
  }
  const char *text = in->at;
  in->at += len + 1;
  *ret_len = len;
  return text;
}

static const char *get_optional(struct reader *in) {
  size_t len = 0;
  const char *text = get_text(in, &len);
  return len ? text : NULL;
}

bool wire_get_job(const char *body, size_t len, struct wire_job *ret_job) {
  struct reader in = {.at = body, .end = body + len};
  struct wire_job job = {.attempt = (int)get_u32(&in)};
  job.id = get_optional(&in);
  job.kind = get_optional(&in);
  job.owner_id = get_optional(&in);
  job.connection_id = get_optional(&in);
  job.trace = get_optional(&in);
  job.payload = get_text(&in, &job.payload_len);
  if (in.bad || in.at != in.end || !job.id || !job.kind) return false;
  *ret_job = job;
  return true;
}

int wire_head(const char *bytes, size_t len, size_t max, enum wire_type *ret_type, size_t *ret_body_len) {
  if (len < WIRE_HEAD_BYTES) return 0;
  struct reader in = {.at = bytes, .end = bytes + len};
  size_t body = get_u32(&in);
  if (body > max) return -1;
  *ret_type = (enum wire_type)(uint8_t)bytes[4];
  *ret_body_len = body;
  return 1;
}
