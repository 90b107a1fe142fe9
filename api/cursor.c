/* cursor.c - see cursor.h. */
#include "api/cursor.h"

#define MAC_BYTES 12

static void sign(const struct request *req, const char *list, const struct id *last, uint8_t out[SHA256_BYTES]) {
  uint8_t text[16 + 16 + 32] = {0};
  memcpy(text, last->bytes, 16);
  memcpy(text + 16, req->who.owner_id.bytes, 16);
  memcpy(text + 32, list, strnlen(list, 32));
  crypto_hmac_sha256(req->loop->api->cursor_key, SHA256_BYTES, text, sizeof text, out);
}

char *cursor_write(const struct request *req, const char *list, const struct id *last, char out[CURSOR_TEXT]) {
  uint8_t mac[SHA256_BYTES], whole[16 + MAC_BYTES];
  struct buf text;
  buf_init(&text, CURSOR_TEXT);
  sign(req, list, last, mac);
  memcpy(whole, last->bytes, 16);
  memcpy(whole + 16, mac, MAC_BYTES);
  crypto_base64url(whole, sizeof whole, &text);
  snprintf(out, CURSOR_TEXT, "%s", buf_str(&text));
  buf_free(&text);
  return out;
}

enum status cursor_read(const struct request *req, const char *list, struct id *ret_below, struct error *err) {
  const char *text = request_param(req, "cursor", NULL);
  uint8_t whole[CURSOR_TEXT + 3], mac[SHA256_BYTES];
  struct id last;
  if (!text) {
    memset(ret_below, 0xff, sizeof *ret_below);
    return OK;
  }
  if (strlen(text) < CURSOR_TEXT && crypto_base64_decode(text, whole) == 16 + MAC_BYTES) {
    memcpy(last.bytes, whole, 16);
    sign(req, list, &last, mac);
    if (crypto_equal(mac, whole + 16, MAC_BYTES)) {
      *ret_below = last;
      return OK;
    }
  }
  return error_add_field(err, "cursor", "is not a next_cursor of this list");
}

enum status cursor_query(struct request *req, const char *list, const struct pg_stmt *stmt, request_rows rows, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, list, &below, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &below);
  pg_param_int(&params, cursor_limit(req));
  return request_query(req, stmt, &params, rows, err);
}

enum status cursor_reply(struct request *req, const char *list, const PGresult *res,
                         void (*put)(struct buf *out, const PGresult *res, int row), struct error *err) {
  struct buf data;
  int limit = cursor_limit(req), rows = PQntuples(res) && !PQgetisnull(res, 0, 0) ? PQntuples(res) : 0, shown = rows < limit ? rows : limit;
  buf_init(&data, LIMIT_RESULT_BYTES);
  buf_puts(&data, "{\"items\": [");
  for (int row = 0; row < shown; row++) {
    if (row) buf_puts(&data, ", ");
    put(&data, res, row);
  }
  struct id last;
  char cursor[CURSOR_TEXT];
  if (rows > limit && id_parse(PQgetvalue(res, shown - 1, 0), &last))
    buf_printf(&data, "], \"next_cursor\": \"%s\"}", cursor_write(req, list, &last, cursor));
  else
    buf_puts(&data, "], \"next_cursor\": null}");
  if (!buf_ok(&data)) {
    buf_free(&data);
    return error_oom(err);
  }
  reply_buf(req, 200, &data);
  return OK;
}
