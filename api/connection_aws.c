/* connection_aws.c - see connection_aws.h. They are bound to "aws:" and the connection's id: neither another connection's row nor the
 * column of the connection string opens them. */
#include "api/connection_aws.h"

#include "common/json.h"

static const struct json_field fields[] = {{.name = "access_key_id", .want = JSON_WANT_STRING, .min = 1, .max = 127},
                                           {.name = "secret_access_key", .want = JSON_WANT_STRING, .min = 1, .max = 250},
                                           {.name = "session_token", .want = JSON_WANT_STRING, .min = 1, .max = 8000},
                                           {.name = "role_arn", .want = JSON_WANT_STRING, .min = 20, .max = 2048},
                                           {.name = "external_id", .want = JSON_WANT_STRING, .min = 2, .max = 1224}};

static enum status check(const json_t *given, struct error *err) {
  enum status status = json_check(given, "aws.", fields, sizeof fields / sizeof *fields, err);
  bool key = json_str(given, "access_key_id", NULL), secret = json_str(given, "secret_access_key", NULL);
  if (status) return status;
  if (key != secret)
    return error_add_field(err, key ? "aws.secret_access_key" : "aws.access_key_id", "must be given as well: a key has two parts");
  if (!key && json_str(given, "session_token", NULL)) return error_add_field(err, "aws.session_token", "needs the keys it belongs to");
  if (!key && !json_str(given, "role_arn", NULL)) return error_add_field(err, "aws", "must hold keys, a role_arn to assume, or both");
  return OK;
}

static void free_sealed(void *arg) { buf_free(arg); }

enum status connection_aws_take(struct request *req, const struct id *connection_id, struct connection_aws *ret_aws, struct error *err) {
  const json_t *given = json_object_get(req->body, "aws");
  char context[8 + ID_TEXT] = "aws:";
  *ret_aws = (struct connection_aws){.given = given != NULL, .removed = json_is_null(given)};
  buf_init(&ret_aws->sealed, LIMIT_HTTP_BODY_DEFAULT);
  if (!given || ret_aws->removed) return OK;
  enum status status = check(given, err);
  if (status) return status;
  char *text = json_canonical(given);
  if (!text || arena_defer(req->arena, free_sealed, &ret_aws->sealed) != 0) {
    free(text);
    return error_oom(err);
  }
  id_format(connection_id, context + 4);
  status = keyring_seal(req->loop->api->keyring, context, text, strlen(text), &ret_aws->sealed, err);
  explicit_bzero(text, strlen(text));
  free(text);
  return status;
}

void connection_aws_put(struct pg_params *params, const struct request *req, const struct connection_aws *aws) {
  bool has = aws->given && !aws->removed;
  pg_param_text(params, aws->given ? "true" : "false");
  if (has)
    pg_param_bytes(params, aws->sealed.data, aws->sealed.len);
  else
    pg_param_text(params, NULL);
  pg_param_text(params, has ? keyring_current(req->loop->api->keyring) : NULL);
}
