/* reply.c - answers: the contract's envelope around data or an error. */
#include "api/conn.h"
#include "api/request.h"
#include "common/log.h"

#define BODY_MAX ((size_t)320 << 20) /* the largest snapshot or result, and its envelope */
static const char json_text[] = "application/json";

void request_header(struct request *req, const char *name, const char *fmt, ...) {
  char value[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(value, sizeof value, fmt, args);
  va_end(args);
  if (value[strcspn(value, "\r\n")]) return; /* can't happen: values are ours or checked */
  buf_printf(&req->headers, "%s: %s\r\n", name, value);
}

static void answer(struct request *req, int http_status, const char *content_type, struct buf *body) {
  if (req->answered) abort(); /* a second answer would be read as the next request's */
  req->answered = true;
  conn_answer(req->conn, http_status, content_type, body);
  buf_free(body);
}

static void put_error(struct buf *body, const struct error *err) {
  buf_puts(body, "{\"success\": false, \"data\": null, \"error\": {\"code\": ");
  buf_put_json_string(body, err->code, strlen(err->code));
  buf_puts(body, ", \"message\": ");
  buf_put_json_string(body, err->message, strlen(err->message));
  buf_puts(body, ", \"details\": ");
  if (err->details)
    buf_put_json(body, err->details);
  else
    buf_puts(body, "null");
  buf_puts(body, "}}");
}

static void answer_error(struct request *req, int http_status, const struct error *err) {
  struct buf body;
  buf_init(&body, BODY_MAX);
  put_error(&body, err);
  answer(req, http_status, json_text, &body);
}

void reply_error(struct request *req, const struct error *err) {
  int http_status = status_http(err->status);
  if (http_status == 401) request_header(req, "WWW-Authenticate", "Bearer realm=\"autodb\"");
  if (http_status == 503) request_header(req, "Retry-After", "1");
  answer_error(req, http_status, err);
}

void reply_expectation_failed(struct request *req) {
  struct error err = {0};
  error_set_code(&err, ERR_MALFORMED, "EXPECTATION_FAILED", "The only expectation understood is 100-continue.");
  answer_error(req, 417, &err);
  error_clear(&err);
}

void reply_json(struct request *req, int http_status, const char *json, size_t len) {
  struct buf body;
  buf_init(&body, BODY_MAX);
  buf_puts(&body, "{\"success\": true, \"data\": ");
  buf_append(&body, json, len);
  buf_puts(&body, ", \"error\": null}");
  if (buf_ok(&body)) {
    answer(req, http_status, json_text, &body);
    return;
  }
  ERROR_AUTO err = {0};
  error_oom(&err);
  reply_error(req, &err);
}

void reply_buf(struct request *req, int http_status, struct buf *data) {
  if (buf_ok(data)) {
    reply_json(req, http_status, buf_str(data), data->len);
  } else {
    ERROR_AUTO err = {0};
    error_oom(&err);
    reply_error(req, &err);
  }
  buf_free(data);
}

void reply_value(struct request *req, int http_status, json_t *take) {
  struct buf data;
  buf_init(&data, BODY_MAX);
  if (!take || !buf_put_json(&data, take)) data.failed = true;
  json_decref(take);
  reply_buf(req, http_status, &data);
}

void reply_raw(struct request *req, int http_status, const char *content_type, const void *bytes, size_t len) {
  struct buf body;
  buf_init(&body, BODY_MAX);
  buf_append(&body, bytes, len);
  answer(req, http_status, content_type, &body);
}

void reply_file(struct request *req, const char *content_type, int take_fd, int64_t bytes) {
  if (req->answered) abort();
  req->answered = true;
  conn_answer_file(req->conn, content_type, take_fd, bytes);
}

void reply_empty(struct request *req, int http_status) {
  struct buf body;
  buf_init(&body, 0);
  answer(req, http_status, NULL, &body);
}
