/* multipart.c - see multipart.h.
 *
 * A delimiter is CRLF, two dashes and the boundary; the first one's CRLF is taken as read. CR stands only at its beginning, so when a match
 * breaks off, what was matched so far is content, and nothing of it can begin another: no byte is looked at twice but for the memmem. */
#include "api/multipart.h"

#include <string.h>
#include <strings.h>

#include "api/multipart_head.h"
#include "common/limits.h"

#define BOUNDARY_MAX 70                      /* RFC 2046 section 5.1.1 */
#define DELIMITER_MAX (4 + BOUNDARY_MAX + 1) /* with its NUL */
#define OUTSIDE_MAX (64 * 1024)              /* bytes before the first boundary and after the last, which mean nothing */

/*  PREAMBLE ──delimiter──▶ MARK ──CRLF──▶ HEAD ──blank line──▶ CONTENT ──delimiter──▶ MARK ──"--"──▶ EPILOGUE */
enum state { PREAMBLE, MARK, HEAD, CONTENT, EPILOGUE };

struct multipart {
  enum state state;
  const struct multipart_sink *sink;
  void *arg;
  char delimiter[DELIMITER_MAX];
  size_t delimiter_len, matched; /* bytes of the delimiter that the input so far ends with … */
  size_t given;                  /* … of them taken as read: they are no content when the match breaks off */
  size_t outside;
  char mark[2]; /* what stands after a delimiter: "--", or padding and CRLF */
  size_t mark_len, head_len;
  char head[LIMIT_PART_HEAD_BYTES + 1];
};

struct input {
  const char *at, *end;
};

static size_t left(const struct input *in) { return (size_t)(in->end - in->at); }

/* --- content --- */

static enum status content(struct multipart *m, const char *data, size_t len, struct error *err) {
  if (!len) return OK;
  if (m->state == CONTENT) return m->sink->data(m->arg, data, len, err);
  m->outside += len;
  if (m->outside <= OUTSIDE_MAX) return OK;
  return error_set(err, ERR_MALFORMED, "The first boundary of the multipart body does not come within %d bytes.", OUTSIDE_MAX);
}

/* The length of the longest end of `data` that begins a delimiter. */
static size_t begun(const struct multipart *m, const char *data, size_t len) {
  size_t window = len < m->delimiter_len - 1 ? len : m->delimiter_len - 1;
  const char *cr = memrchr(data + len - window, '\r', window);
  size_t tail = cr ? (size_t)(data + len - cr) : 0;
  return tail && memcmp(cr, m->delimiter, tail) == 0 ? tail : 0;
}

static enum status delimiter_found(struct multipart *m, struct error *err) {
  bool was_content = m->state == CONTENT;
  m->matched = m->given = m->mark_len = 0;
  m->state = MARK;
  return was_content ? m->sink->end(m->arg, err) : OK;
}

/* Goes on with a delimiter that began in earlier input. */
static enum status resume_match(struct multipart *m, struct input *in, struct error *err) {
  size_t missing = m->delimiter_len - m->matched, len = left(in) < missing ? left(in) : missing;
  if (memcmp(in->at, m->delimiter + m->matched, len) == 0) {
    m->matched += len;
    in->at += len;
    return m->matched == m->delimiter_len ? delimiter_found(m, err) : OK;
  }
  size_t matched = m->matched;
  /* As far as it goes: the input's own CR may be the beginning of the real one. */
  while (*in->at == m->delimiter[matched]) {
    matched++;
    in->at++;
  }
  size_t given = m->given;
  m->matched = m->given = 0;
  return content(m, m->delimiter + given, matched - given, err);
}

static enum status take_content(struct multipart *m, struct input *in, struct error *err) {
  if (m->matched) return resume_match(m, in, err);
  const char *found = memmem(in->at, left(in), m->delimiter, m->delimiter_len), *from = in->at;
  size_t len = found ? (size_t)(found - from) : left(in);
  if (!found) len -= m->matched = begun(m, from, len);
  in->at = found ? found + m->delimiter_len : in->end;
  enum status status = content(m, from, len, err);
  return status == OK && found ? delimiter_found(m, err) : status;
}

/* --- between parts --- */

static enum status take_mark(struct multipart *m, struct input *in, struct error *err) {
  char c = *in->at++;
  if (!m->mark_len && (c == ' ' || c == '\t')) return OK; /* padding that a transport may add */
  m->mark[m->mark_len++] = c;
  if (m->mark_len < 2 && (c == '-' || c == '\r')) return OK;
  if (m->mark_len == 2 && memcmp(m->mark, "--", 2) == 0) {
    m->state = EPILOGUE;
    m->outside = 0;
  } else if (m->mark_len == 2 && memcmp(m->mark, "\r\n", 2) == 0) {
    m->state = HEAD;
    m->head_len = 0;
  } else {
    return error_set(err, ERR_MALFORMED, "A boundary of the multipart body is followed by something else than CRLF or \"--\".");
  }
  return OK;
}

static enum status take_epilogue(struct multipart *m, struct input *in, struct error *err) {
  m->outside += left(in);
  in->at = in->end;
  if (m->outside <= OUTSIDE_MAX) return OK;
  return error_set(err, ERR_MALFORMED, "More than %d bytes follow the last boundary of the multipart body.", OUTSIDE_MAX);
}

/* --- the head of a part --- */

static bool head_ends(const struct multipart *m) {
  if (m->head_len == 2) return memcmp(m->head, "\r\n", 2) == 0; /* no header at all */
  return m->head_len > 3 && memcmp(m->head + m->head_len - 4, "\r\n\r\n", 4) == 0;
}

static enum status take_head(struct multipart *m, struct input *in, struct error *err) {
  struct multipart_part part;
  const char *lf = memchr(in->at, '\n', left(in));
  size_t len = lf ? (size_t)(lf - in->at) + 1 : left(in);
  if (m->head_len + len > LIMIT_PART_HEAD_BYTES)
    return error_set(err, ERR_MALFORMED, "The head of a part is longer than %d bytes.", LIMIT_PART_HEAD_BYTES);
  memcpy(m->head + m->head_len, in->at, len);
  m->head_len += len;
  in->at += len;
  if (!lf || !head_ends(m)) return OK;
  m->head[m->head_len] = '\0';
  enum status status = multipart_head_parse(m->head, m->head_len, &part, err);
  if (status != OK) return status;
  m->state = CONTENT;
  m->matched = m->given = 2; /* the blank line may be the CRLF of the next delimiter: of an empty part */
  return m->sink->begin(m->arg, &part, err);
}

enum status multipart_feed(struct multipart *m, const char *data, size_t len, struct error *err) {
  struct input in = {.at = data, .end = data + len};
  enum status status = OK;
  while (status == OK && in.at < in.end) switch (m->state) {
    case PREAMBLE:
    case CONTENT: status = take_content(m, &in, err); break;
    case MARK: status = take_mark(m, &in, err); break;
    case HEAD: status = take_head(m, &in, err); break;
    case EPILOGUE: status = take_epilogue(m, &in, err); break;
    }
  return status;
}

enum status multipart_finish(struct multipart *m, struct error *err) {
  if (m->state == EPILOGUE) return OK;
  return error_set(err, ERR_MALFORMED, "The multipart body ends before its last boundary, which is the boundary and \"--\".");
}

enum status multipart_new(struct arena *arena, const char *content_type, const struct multipart_sink *sink, void *arg,
                          struct multipart **ret_multipart, struct error *err) {
  char boundary[BOUNDARY_MAX + 1];
  enum status status = multipart_boundary(content_type, boundary, sizeof boundary, err);
  if (status != OK) return status;
  struct multipart *m = ARENA_NEW(arena, struct multipart);
  if (!m) return error_oom(err);
  m->sink = sink;
  m->arg = arg;
  m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof m->delimiter, "\r\n--%s", boundary);
  m->matched = m->given = 2;
  *ret_multipart = m;
  return OK;
}
