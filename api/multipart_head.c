/* multipart_head.c - see multipart_head.h.
 *
 * File names come in every shape: browsers write `"` as %22 (and, rightly, nothing else), others as \", some send filename*=UTF-8''… as
 * RFC 5987 has it (which wins), old ones a whole path. All are read in place: what is decoded is never longer. */
#include "api/multipart_head.h"

#include <string.h>
#include <strings.h>

#include "common/utf8.h"

static bool is_token(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token(const char *p) {
  size_t len = 0;
  while (is_token((unsigned char)p[len])) len++;
  return len;
}

static char *skip_space(char *p) { return p + strspn(p, " \t"); }

/* --- parameters: ;name=value, after a media type or a disposition --- */

struct parameter {
  const char *name;
  char *value;
};

/* \" and \\ stand for the second character; any other backslash for itself, as in a path. NULL without an end. */
static char *unquote(char *p, char **ret_value) {
  char *out = *ret_value = ++p;
  for (; *p && *p != '"'; p++) {
    if (*p == '\\' && (p[1] == '"' || p[1] == '\\')) p++;
    *out++ = *p;
  }
  if (!*p) return NULL;
  *out = '\0';
  return p + 1;
}

/* The next parameter at *p, which moves behind it and its separator; false at the end, and, with *p NULL, when what stands there is none.
 */
static bool next_parameter(char **p, struct parameter *ret_parameter) {
  char *name = skip_space(*p), *at = name, *value;
  if (!*at) return false;
  *p = NULL;
  at += token(at);
  if (at == name || *at != '=') return false;
  *at++ = '\0';
  value = at;
  bool quoted = *at == '"';
  if (quoted && !(at = unquote(at, &value))) return false;
  if (!quoted && (at += token(at)) == value) return false;
  char *rest = skip_space(at);
  if (*rest && *rest != ';') return false;
  *p = rest + (*rest == ';');
  if (!quoted) *at = '\0';
  *ret_parameter = (struct parameter){.name = name, .value = value};
  return true;
}

/* What comes before the parameters must be `kind`; they begin at the result. NULL when it isn't. */
static char *parameters_of(char *value, const char *kind) {
  size_t len = strlen(kind);
  if (strncasecmp(value, kind, len) != 0) return NULL;
  char *p = skip_space(value + len);
  if (*p && *p != ';') return NULL;
  return p + (*p == ';');
}

/* --- Content-Type --- */

static bool is_boundary(const char *text, size_t size) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-./:=? ";
  size_t len = strlen(text);
  return len && len < size && strspn(text, allowed) == len && text[len - 1] != ' ';
}

/* Of an unquoted one only tokens are let through, as of any other value. */
enum status multipart_boundary(const char *content_type, char *out, size_t size, struct error *err) {
  char copy[512];
  struct parameter parameter;
  const char *boundary = NULL;
  if (content_type) snprintf(copy, sizeof copy, "%s", content_type);
  char *p = content_type ? parameters_of(copy, "multipart/form-data") : NULL;
  if (!p) return error_set(err, ERR_MEDIA_TYPE, "The body must be files, sent with Content-Type: multipart/form-data; boundary=….");
  while (next_parameter(&p, &parameter)) {
    if (strcasecmp(parameter.name, "boundary") != 0) continue;
    if (boundary) return error_set(err, ERR_MALFORMED, "Content-Type names two boundaries.");
    boundary = parameter.value;
  }
  if (!p || !boundary || !is_boundary(boundary, size))
    return error_set(err, ERR_MALFORMED, "Content-Type must name the boundary of its parts: 1 to %zu of the characters RFC 2046 allows.",
                     size - 1);
  memcpy(out, boundary, strlen(boundary) + 1);
  return OK;
}

/* --- the head of a part --- */

static enum status bad_disposition(struct error *err) {
  return error_set(err, ERR_MALFORMED,
                   "A part needs one header Content-Disposition: form-data; name=\"…\", with filename=\"…\" for a file.");
}

static bool is_text(const char *text) {
  size_t len = strlen(text), at = 0;
  for (size_t n; at < len; at += n) {
    if ((unsigned char)text[at] < ' ' || text[at] == 0x7f || !(n = utf8_char(text + at, len - at))) return false;
  }
  return true;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* In place; with `only` each escape of another byte stands for itself. False on a bad escape or %00, when all are read. */
static bool unescape(char *text, char only) {
  char *out = text;
  for (const char *in = text; *in; in++) {
    int high = *in == '%' ? hex(in[1]) : -1, low = high < 0 ? -1 : hex(in[2]), byte = low < 0 ? -1 : high * 16 + low;
    if (*in == '%' && !only && byte <= 0) return false;
    if (*in != '%' || (only && byte != only)) {
      *out++ = *in;
      continue;
    }
    *out++ = (char)byte;
    in += 2;
  }
  *out = '\0';
  return true;
}

/* RFC 5987: charset'language'escaped. */
static char *extended_value(char *value) {
  char *language = strncasecmp(value, "UTF-8'", 6) == 0 ? value + 6 : NULL, *text = language ? strchr(language, '\'') : NULL;
  return text && unescape(text + 1, '\0') ? text + 1 : NULL;
}

static const char *last_component(const char *path) {
  const char *name = path;
  for (const char *p = path; *p; p++)
    if (*p == '/' || *p == '\\') name = p + 1;
  return name;
}

struct disposition {
  char *name, *filename, *extended;
};

/* False when one is given twice, or what stands there is no list of parameters. */
static bool read_parameters(char *p, struct disposition *ret_disposition) {
  struct disposition found = {0};
  struct parameter parameter;
  while (next_parameter(&p, &parameter)) {
    char **member = strcasecmp(parameter.name, "name") == 0        ? &found.name
                    : strcasecmp(parameter.name, "filename") == 0  ? &found.filename
                    : strcasecmp(parameter.name, "filename*") == 0 ? &found.extended
                                                                   : NULL;
    if (!member) continue;
    if (*member) return false;
    *member = parameter.value;
  }
  *ret_disposition = found;
  return p != NULL;
}

static enum status read_disposition(char *value, struct multipart_part *part, struct error *err) {
  struct disposition found;
  char *p = parameters_of(value, "form-data");
  if (part->name || !p || !read_parameters(p, &found) || !found.name) return bad_disposition(err);
  if (found.filename) unescape(found.filename, '"');
  if (found.extended && !(found.filename = extended_value(found.extended)))
    return error_set(err, ERR_MALFORMED, "The filename* of a part must be UTF-8''… with percent escapes.");
  if (!is_text(found.name) || (found.filename && !is_text(found.filename)))
    return error_set(err, ERR_MALFORMED, "The names in a part's head must be UTF-8 without control characters.");
  part->name = found.name;
  part->filename = found.filename ? last_component(found.filename) : NULL;
  return OK;
}

static enum status read_header(const char *name, char *value, struct multipart_part *part, struct error *err) {
  if (strcasecmp(name, "content-disposition") == 0) return read_disposition(value, part, err);
  if (strcasecmp(name, "content-type") == 0) {
    if (part->content_type) return error_set(err, ERR_MALFORMED, "A part has two headers Content-Type.");
    part->content_type = value;
  }
  if (strcasecmp(name, "content-transfer-encoding") == 0 && strcasecmp(value, "binary") && strcasecmp(value, "8bit") &&
      strcasecmp(value, "7bit"))
    return error_set(err, ERR_MALFORMED, "A part must be sent as it is: Content-Transfer-Encoding is binary, 8bit or 7bit.");
  return OK;
}

/* One line without its CRLF. */
static enum status read_line(char *line, char *end, struct multipart_part *part, struct error *err) {
  char *value = line + token(line);
  if (memchr(line, '\r', (size_t)(end - line)) || memchr(line, '\0', (size_t)(end - line)))
    return error_set(err, ERR_MALFORMED, "The head of a part holds a bare CR or a NUL byte.");
  if (value == line || *value != ':')
    return error_set(err, ERR_MALFORMED, "A line in the head of a part is not \"Name: value\", on one line.");
  *value++ = *end = '\0';
  value = skip_space(value);
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) *--end = '\0';
  return read_header(line, value, part, err);
}

enum status multipart_head_parse(char *head, size_t len, struct multipart_part *ret_part, struct error *err) {
  struct multipart_part part = {0};
  for (char *line = head, *lf, *end = head + len - 2; line < end; line = lf + 1) { /* `end`: the blank line */
    lf = memchr(line, '\n', (size_t)(end - line));
    if (!lf || lf == line || lf[-1] != '\r') return error_set(err, ERR_MALFORMED, "A line in the head of a part does not end with CRLF.");
    enum status status = read_line(line, lf - 1, &part, err);
    if (status != OK) return status;
  }
  if (!part.name) return bad_disposition(err);
  if (!part.content_type) part.content_type = "";
  *ret_part = part;
  return OK;
}
