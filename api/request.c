/* request.c - see request.h: reading what a request says. Answers are in reply.c. */
#include "api/request.h"

#include <ctype.h>
#include <strings.h>

#include "common/log.h"
#include "common/utf8.h"

/* --- query string --- */

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* application/x-www-form-urlencoded, in place. False on a bad escape, NUL or invalid UTF-8. */
static bool decode(char *text) {
  char *out = text;
  for (const char *in = text; *in; in++) {
    if (*in != '%') {
      *out++ = *in == '+' ? ' ' : *in;
      continue;
    }
    int high = hex(in[1]), low = high < 0 ? -1 : hex(in[2]);
    if (low < 0 || (high == 0 && low == 0)) return false;
    *out++ = (char)(high * 16 + low);
    in += 2;
  }
  *out = '\0';
  size_t len = (size_t)(out - text), at = 0;
  for (size_t n; at < len && (n = utf8_char(text + at, len - at)); at += n) {}
  return at == len;
}

static const struct param *find_param(const struct route *route, const char *name) {
  for (const struct param *param = route->params; param && param->name; param++)
    if (strcmp(param->name, name) == 0) return param;
  return NULL;
}

static int two_digits(const char *text) { return (text[0] - '0') * 10 + (text[1] - '0'); }

/* A month, day and time that exist; `text` has the shape already. */
static bool in_calendar(const char *text, bool with_time) {
  struct tm tm = {.tm_year = (int)strtol(text, NULL, 10) - 1900, .tm_mon = two_digits(text + 5) - 1, .tm_mday = two_digits(text + 8)},
            back = tm;
  timegm(&back);
  if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || tm.tm_year < -1899) return false;
  return !with_time || (two_digits(text + 11) < 24 && two_digits(text + 14) < 60 && two_digits(text + 17) < 60);
}

static bool is_offset(const char *text) {
  if ((*text == 'Z' || *text == 'z') && !text[1]) return true;
  if (strlen(text) != 6 || !strchr("+-", *text) || text[3] != ':' || strspn(text + 1, "0123456789") != 2 ||
      strspn(text + 4, "0123456789") != 2)
    return false;
  return two_digits(text + 1) < 15 && two_digits(text + 4) < 60;
}

/* YYYY-MM-DD or RFC 3339. */
bool request_is_time(const char *text) {
  static const char shape[] = "0000-00-00T00:00:00";
  size_t i, fraction;
  for (i = 0; text[i] && i < sizeof shape - 1; i++)
    if (shape[i] == '0' ? !isdigit((unsigned char)text[i]) : shape[i] == 'T' ? !strchr("Tt ", text[i]) : text[i] != shape[i]) return false;
  if (!text[i] && i == 10) return in_calendar(text, false);
  if (i < sizeof shape - 1 || !in_calendar(text, true)) return false;
  if (text[i] != '.') return is_offset(text + i);
  fraction = strspn(text + i + 1, "0123456789");
  return fraction > 0 && fraction < 10 && is_offset(text + i + 1 + fraction);
}

bool request_time_ms(const char *text, int64_t *ret_ms) {
  if (!request_is_time(text) || strlen(text) == 10) return false;
  struct tm tm = {.tm_year = (int)strtol(text, NULL, 10) - 1900,
                  .tm_mon = two_digits(text + 5) - 1,
                  .tm_mday = two_digits(text + 8),
                  .tm_hour = two_digits(text + 11),
                  .tm_min = two_digits(text + 14),
                  .tm_sec = two_digits(text + 17)};
  const char *rest = text + 19;
  int64_t ms = 0;
  if (*rest == '.')
    for (int scale = 100; isdigit((unsigned char)*++rest); scale /= 10) ms += (*rest - '0') * scale;
  int offset = *rest == '+' || *rest == '-' ? two_digits(rest + 1) * 60 + two_digits(rest + 4) : 0;
  *ret_ms = ((int64_t)timegm(&tm) - (*rest == '-' ? -offset : offset) * 60) * 1000 + ms;
  return true;
}

static void list_choices(const char *const *choices, char *out, size_t size) {
  *out = '\0';
  for (size_t len = 0; *choices && (len = strlen(out)) < size - 1; choices++)
    snprintf(out + len, size - len, "%s%s", len ? ", " : "", *choices);
}

static void check_choice(const struct param *param, const char *value, struct error *err) {
  char names[256];
  for (const char *const *choice = param->choices; *choice; choice++)
    if (strcmp(*choice, value) == 0) return;
  list_choices(param->choices, names, sizeof names);
  error_add_field(err, param->name, "must be one of: %s", names);
}

static void check_param(const struct param *param, const char *value, struct error *err) {
  struct id id;
  switch (param->want) {
  case PARAM_TEXT:
    if (param->choices) check_choice(param, value, err);
    break;
  case PARAM_INT: {
    size_t digits = strspn(value, "0123456789");
    long long n = digits && digits < 10 && !value[digits] ? strtoll(value, NULL, 10) : -1;
    if (n < param->min || n > param->max)
      error_add_field(err, param->name, "must be a whole number from %lld to %lld", param->min, param->max);
    break;
  }
  case PARAM_BOOL:
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) error_add_field(err, param->name, "must be true or false");
    break;
  case PARAM_ID:
    if (!id_parse(value, &id)) error_add_field(err, param->name, "must be a UUID");
    break;
  case PARAM_TIME:
    if (!request_is_time(value)) error_add_field(err, param->name, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z");
    break;
  }
}

static void take_param(struct request *req, char *pair, struct error *err) {
  char *value = strchr(pair, '=');
  if (value) *value++ = '\0';
  if (!decode(pair) || (value && !decode(value))) {
    error_add_field(err, "query", "holds a bad percent escape, NUL or invalid UTF-8");
    return;
  }
  const struct param *param = find_param(req->route, pair);
  if (!param)
    error_add_field(err, pair, "is not a query parameter of this path");
  else if (request_param(req, pair, NULL))
    error_add_field(err, pair, "is given twice");
  else if (req->param_count < REQUEST_PARAMS) {
    req->params[req->param_count].name = param->name;
    req->params[req->param_count++].value = value ? value : "";
    check_param(param, value ? value : "", err);
  }
}

enum status request_parse_query(struct request *req, struct error *err) {
  if (!req->http->query) return OK;
  char *query = arena_strdup(req->arena, req->http->query); /* the original is hashed for Idempotency-Key */
  if (!query) return error_oom(err);
  for (char *pair; (pair = strsep(&query, "&"));)
    if (*pair) take_param(req, pair, err);
  return err->status;
}

const char *request_param(const struct request *req, const char *name, const char *otherwise) {
  for (size_t i = 0; i < req->param_count; i++)
    if (strcmp(req->params[i].name, name) == 0) return req->params[i].value;
  return otherwise;
}

long long request_param_int(const struct request *req, const char *name, long long otherwise) {
  const char *value = request_param(req, name, NULL);
  return value ? strtoll(value, NULL, 10) : otherwise;
}

bool request_param_bool(const struct request *req, const char *name, bool otherwise) {
  const char *value = request_param(req, name, NULL);
  return value ? strcmp(value, "true") == 0 : otherwise;
}

/* --- body --- */

static bool is_json(const char *content_type) {
  static const char json[] = "application/json";
  if (!content_type || strncasecmp(content_type, json, sizeof json - 1) != 0) return false;
  const char *rest = content_type + sizeof json - 1;
  rest += strspn(rest, " \t");
  if (!*rest) return true;
  if (*rest++ != ';') return false;
  const char *charset = strcasestr(rest, "charset=");
  return !charset || strncasecmp(charset + 8, "utf-8", 5) == 0 || strncasecmp(charset + 8, "\"utf-8\"", 7) == 0;
}

/* Members every [job] body may hold beside the endpoint's own. */
static const struct json_field job_fields[] = {
    {.name = "priority", .want = JSON_WANT_STRING, .choices = job_lane_names},
    {.name = "callback_url", .want = JSON_WANT_STRING, .min = 1, .max = 2048},
    {.name = "metadata", .want = JSON_WANT_OBJECT},
    {.name = "run_at", .want = JSON_WANT_STRING, .min = 20, .max = 40},
};
#define JOB_FIELDS (sizeof job_fields / sizeof *job_fields)
#define BODY_FIELDS_MAX 32

enum status request_check_body(const struct request *req, struct error *err) {
  struct json_field fields[BODY_FIELDS_MAX];
  size_t count = req->route->field_count;
  if (count) memcpy(fields, req->route->fields, count * sizeof *fields);
  if (req->route->flags & ROUTE_JOB) {
    memcpy(fields + count, job_fields, sizeof job_fields);
    count += JOB_FIELDS;
  }
  return json_check(req->body, "", fields, count, err);
}

enum status request_parse_body(struct request *req, struct error *err) {
  const struct buf *raw = &req->http->body;
  json_t *value = NULL;
  if (raw->len == 0) {
    value = json_object();
  } else {
    if (!is_json(http_header(req->http, "content-type")))
      return error_set(err, ERR_MEDIA_TYPE, "The body must be JSON, sent with Content-Type: application/json.");
    enum status status = json_parse(raw->data, raw->len, &value, err);
    if (status != OK) return status;
  }
  req->body = arena_json(req->arena, value);
  if (!req->body) return error_oom(err);
  return request_check_body(req, err);
}

/* --- preferences --- */

/* Is the preference at `p` this one? What follows its name goes to ret_rest. */
static bool is_preference(const char *p, const char *name, const char **ret_rest) {
  size_t len = strlen(name);
  if (strncasecmp(p, name, len) != 0 || !strchr(" \t=;,", p[len])) return false; /* the NUL at the end counts, too */
  *ret_rest = p + len + strspn(p + len, " \t");
  return true;
}

/* Calls `take` with what follows the name of each preference so called, until it returns true. */
static bool find_preference(const struct request *req, const char *name, bool (*take)(const char *rest, int *ret_value), int *ret_value) {
  for (size_t i = 0; i < req->http->header_count; i++) {
    if (strcmp(req->http->headers[i].name, "prefer") != 0) continue;
    for (const char *p = req->http->headers[i].value, *rest; *p; p += strcspn(p, ","), p += *p == ',') {
      p += strspn(p, " \t");
      if (is_preference(p, name, &rest) && take(rest, ret_value)) return true;
    }
  }
  return false;
}

static bool take_seconds(const char *rest, int *ret_value) {
  if (*rest != '=') return false;
  rest += 1 + strspn(rest + 1, " \t\"");
  size_t digits = strspn(rest, "0123456789");
  if (!digits || digits > 9) return false;
  long seconds = strtol(rest, NULL, 10);
  *ret_value = seconds > LIMIT_WAIT_SECONDS ? LIMIT_WAIT_SECONDS : (int)seconds;
  return true;
}

int request_prefer_wait_or(const struct request *req, int otherwise) {
  find_preference(req, "wait", take_seconds, &otherwise);
  return otherwise;
}

static bool take_any(const char *rest, int *ret_value) {
  (void)rest;
  (void)ret_value;
  return true;
}

bool request_prefer_async(const struct request *req) { return find_preference(req, "respond-async", take_any, NULL); }

/* --- logs --- */

const char *request_trace_id(const struct request *req) {
  static _Thread_local char id[TRACE_ID_TEXT];
  return trace_id_of(req->trace, id);
}

/* --- database --- */

enum status request_database_error(const struct request *req, const struct error *cause, struct error *err) {
  if (cause->status == ERR_UNAVAILABLE) return error_set(err, ERR_UNAVAILABLE, "The database is not reachable just now; try again.");
  request_log(LOG_ERROR, req, "statement refused", "path", req->http->path, "reason", cause->message, NULL);
  return error_set(err, ERR_INTERNAL, "The request could not be carried out; the log has the reason under this request id.");
}

static void on_rows(void *arg, const PGresult *res, const struct error *cause) {
  struct request *req = arg;
  ERROR_AUTO err = {0};
  enum status status = res ? req->rows(req, res, &err) : request_database_error(req, cause, &err);
  if (status != OK) reply_error(req, &err);
}

enum status request_query(struct request *req, const struct pg_stmt *stmt, const struct pg_params *params, request_rows rows,
                          struct error *err) {
  ERROR_AUTO cause = {0};
  req->rows = rows;
  if (pgloop_query(req->loop->pg, stmt, params, 0, on_rows, req, &cause) == OK) return OK;
  return request_database_error(req, &cause, err);
}
