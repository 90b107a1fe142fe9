/* http.c - see http.h.
 *
 * A head is read in two passes. http_scan finds its end and refuses bytes that no head may hold, before anything is interpreted.
 * http_parse_head checks each line by RFC 9112's grammar, lets llhttp parse it, and then decides the body's framing from the
 * collected headers alone; llhttp is asked again only to take chunks apart. */
#include "api/http.h"

#include <strings.h>

#define RETAIN_BODY_BYTES (16 * 1024) /* a larger body buffer is given back after its request */
#define BODY_MAX (64 * 1024 * 1024)   /* of any buffer; each route's cap is lower */
#define FRAMING_FACTOR 8              /* chunk framing may cost this many bytes per byte of cap; beyond: somebody is wasting our time */

static int on_url(llhttp_t *parser, const char *at, size_t len) {
  struct http *http = parser->data;
  (void)len;
  if (!http->target) http->target = at;
  return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
  struct http *http = parser->data;
  if (!http->field_len) http->field = at;
  http->field_len += len;
  return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
  struct http *http = parser->data;
  if (!http->value_len) http->value = at;
  http->value_len += len;
  return 0;
}

/* Head bytes are ours to write: names and values are terminated in place, over the colon and the CR that follow them. */
static int on_value_complete(llhttp_t *parser) {
  struct http *http = parser->data;
  size_t field_len = http->field_len, value_len = http->value_len;
  http->field_len = http->value_len = 0;
  if (parser->flags & F_TRAILING) return 0; /* trailers are read and dropped */
  if (http->header_count == LIMIT_HTTP_HEADERS) return HPE_USER;
  char *name = (char *)(uintptr_t)http->field;
  for (size_t i = 0; i < field_len; i++)
    if (name[i] >= 'A' && name[i] <= 'Z') name[i] = (char)(name[i] + 32);
  struct http_header *header = &http->headers[http->header_count++];
  *header = (struct http_header){.name = name, .value = ""};
  name[field_len] = '\0';
  if (!value_len) return 0;
  char *value = (char *)(uintptr_t)http->value;
  while (value_len && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t')) value_len--;
  value[value_len] = '\0';
  header->value = value;
  return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
  struct http *http = parser->data;
  return buf_append(&http->body, at, len) ? 0 : HPE_USER;
}

static int on_complete(llhttp_t *parser) {
  ((struct http *)parser->data)->body_done = true;
  return HPE_PAUSED; /* what follows is the next request */
}

static const llhttp_settings_t *settings(void) {
  static const llhttp_settings_t table = {.on_url = on_url,
                                          .on_header_field = on_field,
                                          .on_header_value = on_value,
                                          .on_header_value_complete = on_value_complete,
                                          .on_body = on_body,
                                          .on_message_complete = on_complete};
  return &table;
}

void http_init(struct http *http) {
  *http = (struct http){.content_length = -1};
  buf_init(&http->body, BODY_MAX);
}

void http_free(struct http *http) { buf_free(&http->body); }

void http_reset(struct http *http) {
  struct buf body = http->body;
  if (body.cap > RETAIN_BODY_BYTES)
    buf_free(&body);
  else
    buf_reset(&body);
  http->method = http->minor = 0;
  http->keep_alive = http->chunked = http->expect_continue = http->bad_expectation = http->body_done = false;
  http->content_length = -1;
  http->path = http->query = http->target = http->field = http->value = NULL;
  http->header_count = http->scanned = http->line_start = http->framing_bytes = http->dropped = http->field_len = http->value_len = 0;
  http->body = body;
}

/* --- the head --- */

static enum status scan_line(const char *line, size_t len, struct error *err) {
  /* len counts the LF */
  if (len < 2 || line[len - 2] != '\r')
    return error_set(err, ERR_MALFORMED, "A line of the request head ends with a bare LF; lines end with CRLF.");
  if (memchr(line, '\r', len - 2)) return error_set(err, ERR_MALFORMED, "The request head holds a bare CR.");
  if (memchr(line, '\0', len)) return error_set(err, ERR_MALFORMED, "The request head holds a NUL byte.");
  return OK;
}

static enum status scan_partial(const char *line, size_t len, struct error *err) {
  if (memchr(line, '\0', len)) return error_set(err, ERR_MALFORMED, "The request head holds a NUL byte.");
  const char *cr = memchr(line, '\r', len);
  if (cr && cr != line + len - 1) return error_set(err, ERR_MALFORMED, "The request head holds a bare CR.");
  return OK;
}

enum status http_scan(struct http *http, const char *data, size_t len, size_t *ret_len, struct error *err) {
  enum status status;
  size_t limit = len < LIMIT_HTTP_HEAD_BYTES ? len : LIMIT_HTTP_HEAD_BYTES;
  for (const char *lf; (lf = memchr(data + http->scanned, '\n', limit - http->scanned));) {
    const char *line = data + http->line_start;
    size_t line_len = (size_t)(lf - line) + 1;
    if ((status = scan_line(line, line_len, err)) != OK) return status;
    http->scanned = http->line_start = (size_t)(lf - data) + 1;
    if (line_len == 2) {
      *ret_len = http->scanned;
      return OK;
    }
  }
  http->scanned = limit;
  if ((status = scan_partial(data + http->line_start, limit - http->line_start, err)) != OK) return status;
  if (limit == LIMIT_HTTP_HEAD_BYTES)
    return error_set(err, ERR_HEAD_TOO_LARGE, "The request head is larger than %d bytes.", LIMIT_HTTP_HEAD_BYTES);
  *ret_len = 0;
  return OK;
}

static bool is_token(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static enum status check_request_line(const char *line, size_t len, struct error *err) {
  const char *end = line + len, *space = memchr(line, ' ', len);
  const char *last = memrchr(line, ' ', len);
  if (!space || space == last || space == line) return error_set(err, ERR_MALFORMED, "The request line is not \"METHOD target HTTP/1.1\".");
  if (end - last != 9 || (memcmp(last, " HTTP/1.1", 9) && memcmp(last, " HTTP/1.0", 9)))
    return error_set(err, ERR_MALFORMED, "The request line does not end with HTTP/1.1 or HTTP/1.0.");
  if (last - space - 1 > LIMIT_HTTP_URL_BYTES)
    return error_set(err, ERR_HEAD_TOO_LARGE, "The request target is longer than %d bytes.", LIMIT_HTTP_URL_BYTES);
  for (const char *p = space + 1; p < last; p++)
    if (*p <= ' ' || *p == 0x7f || *p == '#')
      return error_set(err, ERR_MALFORMED, "The request target holds a character a URI can't hold.");
  return last == space + 1 ? error_set(err, ERR_MALFORMED, "The request target is empty.") : OK;
}

static enum status check_header_line(const char *line, size_t len, struct error *err) {
  if (line[0] == ' ' || line[0] == '\t') return error_set(err, ERR_MALFORMED, "Folded header lines are not accepted.");
  size_t name = 0;
  while (name < len && is_token((unsigned char)line[name])) name++;
  if (name == len || line[name] != ':' || name == 0)
    return error_set(err, ERR_MALFORMED,
                     "A header line is not \"Name: value\" (no space before the colon, only token characters in the name).");
  for (size_t i = name + 1; i < len; i++) {
    unsigned char c = (unsigned char)line[i];
    if ((c < ' ' && c != '\t') || c == 0x7f) return error_set(err, ERR_MALFORMED, "A header value holds a control character.");
  }
  return OK;
}

static enum status check_lines(const char *head, size_t len, struct error *err) {
  const char *end = head + len - 2; /* the blank line */
  size_t count = 0;
  for (const char *line = head, *lf; line < end; line = lf + 1, count++) {
    lf = memchr(line, '\n', (size_t)(end - line));
    if (!lf) return error_set(err, ERR_MALFORMED, "The request head is not made of lines.");
    size_t line_len = (size_t)(lf - line) - 1;
    enum status status = count ? check_header_line(line, line_len, err) : check_request_line(line, line_len, err);
    if (status != OK) return status;
  }
  if (count == 0) return error_set(err, ERR_MALFORMED, "The request line is missing.");
  if (count - 1 > LIMIT_HTTP_HEADERS)
    return error_set(err, ERR_HEAD_TOO_LARGE, "The request has more than %d headers.", LIMIT_HTTP_HEADERS);
  return OK;
}

/* origin-form, absolute-form with http or https, or "*" for OPTIONS (RFC 9112 section 3.2). */
static enum status split_target(struct http *http, struct error *err) {
  char *target = (char *)(uintptr_t)http->target;
  if (!target) return error_set(err, ERR_MALFORMED, "The request target is missing.");
  target[strcspn(target, " ")] = '\0';
  if (strcmp(target, "*") == 0 && http->method == HTTP_OPTIONS) {
    http->path = target;
    return OK;
  }
  if (*target != '/') {
    size_t scheme = strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;
    size_t authority = scheme ? strcspn(target + scheme, "/?") : 0;
    if (!authority || memchr(target + scheme, '@', authority))
      return error_set(err, ERR_MALFORMED, "The request target is neither a path nor a valid http URI.");
    target += scheme + authority;
    if (*target != '/') { /* "http://host?query": the path is "/" */
      target -= 1;
      *target = '/';
    }
  }
  char *question = strchr(target, '?');
  if (question) {
    *question = '\0';
    http->query = question + 1;
  }
  http->path = target;
  return OK;
}

static enum status parse_length(struct http *http, const char *value, struct error *err) {
  if (http->content_length >= 0) return error_set(err, ERR_MALFORMED, "Content-Length is given twice.");
  size_t digits = strspn(value, "0123456789");
  if (!digits || value[digits] || digits > 15) return error_set(err, ERR_MALFORMED, "Content-Length is not one decimal number.");
  http->content_length = strtoll(value, NULL, 10);
  return OK;
}

static bool has_token(const char *list, const char *token) {
  size_t len = strlen(token);
  for (const char *p = list; *p;) {
    p += strspn(p, " \t,");
    size_t part = strcspn(p, " \t,");
    if (part == len && strncasecmp(p, token, len) == 0) return true;
    p += part;
  }
  return false;
}

struct seen {
  int hosts, codings;
  bool close, keep;
};

static bool valid_host(const char *host) {
  return *host && !host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:[]%!$&'()*+;=")];
}

static enum status read_header(struct http *http, const struct http_header *header, struct seen *seen, struct error *err) {
  const char *name = header->name, *value = header->value;
  if (strcmp(name, "content-length") == 0) return parse_length(http, value, err);
  if (strcmp(name, "transfer-encoding") == 0) {
    if (seen->codings++ || strcasecmp(value, "chunked") != 0)
      return error_set(err, ERR_MALFORMED, "Transfer-Encoding must be exactly \"chunked\", once.");
    http->chunked = true;
  } else if (strcmp(name, "host") == 0) {
    if (seen->hosts++) return error_set(err, ERR_MALFORMED, "Host is given twice.");
    if (!valid_host(value)) return error_set(err, ERR_MALFORMED, "Host is not a valid host.");
  } else if (strcmp(name, "connection") == 0) {
    seen->close |= has_token(value, "close");
    seen->keep |= has_token(value, "keep-alive");
  } else if (strcmp(name, "expect") == 0) {
    if (strcasecmp(value, "100-continue") == 0)
      http->expect_continue = http->minor >= 1;
    else
      http->bad_expectation = true;
  }
  return OK;
}

static enum status read_headers(struct http *http, struct error *err) {
  struct seen seen = {0};
  for (size_t i = 0; i < http->header_count; i++) {
    enum status status = read_header(http, &http->headers[i], &seen, err);
    if (status != OK) return status;
  }
  if (http->chunked && http->content_length >= 0)
    return error_set(err, ERR_MALFORMED, "Content-Length and Transfer-Encoding exclude each other.");
  if (http->chunked && http->minor == 0) return error_set(err, ERR_MALFORMED, "HTTP/1.0 has no Transfer-Encoding.");
  if (http->minor >= 1 && seen.hosts == 0) return error_set(err, ERR_MALFORMED, "Host is missing.");
  http->keep_alive = !seen.close && (http->minor >= 1 || seen.keep);
  return OK;
}

enum status http_parse_head(struct http *http, char *head, size_t len, struct error *err) {
  enum status status = check_lines(head, len, err);
  if (status != OK) return status;
  llhttp_init(&http->parser, HTTP_REQUEST, settings());
  http->parser.data = http;
  llhttp_errno_t parsed = llhttp_execute(&http->parser, head, len);
  if (parsed != HPE_OK && parsed != HPE_PAUSED && parsed != HPE_PAUSED_UPGRADE) {
    const char *reason = llhttp_get_error_reason(&http->parser);
    return error_set(err, ERR_MALFORMED, "The request is not valid HTTP/1.1: %s.", reason && *reason ? reason : llhttp_errno_name(parsed));
  }
  http->method = http->parser.method;
  http->minor = http->parser.http_minor;
  http->body_done = false;
  if ((status = split_target(http, err)) != OK) return status;
  return read_headers(http, err);
}

const char *http_header(const struct http *http, const char *name) {
  for (size_t i = 0; i < http->header_count; i++)
    if (strcmp(http->headers[i].name, name) == 0) return http->headers[i].value;
  return NULL;
}

/* --- the body --- */

static enum status too_large(size_t cap, struct error *err) {
  if (cap == 0) return error_set(err, ERR_TOO_LARGE, "This request takes no body.");
  return error_set(err, ERR_TOO_LARGE, "The request body is larger than %zu bytes.", cap);
}

static enum status feed_chunked(struct http *http, const char *data, size_t len, size_t cap, size_t *ret_used, bool *ret_done,
                                struct error *err) {
  llhttp_errno_t parsed = llhttp_execute(&http->parser, data, len);
  size_t used = parsed == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&http->parser) - data);
  if (parsed != HPE_OK && !(parsed == HPE_PAUSED && http->body_done)) {
    if (!buf_ok(&http->body)) return error_oom(err);
    return error_set(err, ERR_MALFORMED, "The chunked body is malformed: %s.", llhttp_get_error_reason(&http->parser));
  }
  http->framing_bytes += used;
  if (http_body_received(http) > cap || http->framing_bytes > cap * FRAMING_FACTOR + LIMIT_HTTP_HEAD_BYTES) return too_large(cap, err);
  *ret_used = used;
  *ret_done = http->body_done;
  return OK;
}

enum status http_feed_body(struct http *http, const char *data, size_t len, size_t cap, size_t *ret_used, bool *ret_done,
                           struct error *err) {
  if (http->chunked) return feed_chunked(http, data, len, cap, ret_used, ret_done, err);
  size_t want = http->content_length > 0 ? (size_t)http->content_length : 0;
  if (want > cap) return too_large(cap, err);
  size_t missing = want - http_body_received(http), used = len < missing ? len : missing;
  if (used && !buf_append(&http->body, data, used)) return error_oom(err);
  *ret_used = used;
  *ret_done = used == missing;
  return OK;
}

void http_drop_body(struct http *http) {
  http->dropped += http->body.len;
  buf_reset(&http->body);
}

const char *http_status_text(int status) {
  static const struct {
    int status;
    const char *text;
  } table[] = {{200, "OK"},
               {201, "Created"},
               {202, "Accepted"},
               {204, "No Content"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {408, "Request Timeout"},
               {409, "Conflict"},
               {413, "Content Too Large"},
               {415, "Unsupported Media Type"},
               {417, "Expectation Failed"},
               {422, "Unprocessable Content"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {500, "Internal Server Error"},
               {503, "Service Unavailable"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].status == status) return table[i].text;
  return "Status";
}
