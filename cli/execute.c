/* `autodb execute`: an analysed migration, on the real database. */
#include "cli/cli.h"
#include "cli/execution.h"
#include "cli/remote.h"
#include "common/json.h"
#include "common/limits.h"

/* "-" is standard input, which keeps the token out of the list of processes. malloc'd. */
static enum status read_token(const char *given, char **ret_token, struct error *err) {
  size_t len = 0;
  char *token = NULL;
  enum status status = OK;
  if (strcmp(given, "-") == 0)
    status = cli_read_file("-", LIMIT_APPROVAL_TOKEN_BYTES + 16, &token, &len, err);
  else if (!(token = strdup(given)))
    status = error_oom(err);
  if (status != OK) return status;
  token[strcspn(token, " \t\r\n")] = '\0';
  *ret_token = token;
  return OK;
}

/* --- the request --- */

struct wanted {
  const char *file, *token, *connection, *lock_timeout, *statement_timeout, *lock_retries, *timeout;
  bool dry_run, as_json;
  long long seconds;
};

static bool put_number(const struct cli_command *self, json_t *options, const char *option, const char *text, const char *name,
                       long long least, long long most) {
  long long value;
  if (!text) return true;
  if (!remote_number(text, least, most, &value)) return cli_usage(self, "%s is a number from %lld to %lld", option, least, most), false;
  json_object_set_new(options, name, json_integer(value));
  return true;
}

/* Only what was given: defaults are the server's. */
static bool read_options(const struct cli_command *self, const struct wanted *wanted, json_t *options) {
  if (wanted->dry_run) json_object_set_new(options, "dry_run", json_true());
  return put_number(self, options, "--lock-timeout", wanted->lock_timeout, "lock_timeout_ms", 1, 3600000) &&
         put_number(self, options, "--statement-timeout", wanted->statement_timeout, "statement_timeout_ms", 1, 3600000) &&
         put_number(self, options, "--lock-retries", wanted->lock_retries, "lock_retries", 0, 100);
}

static bool read_arguments(const struct cli_command *self, int argc, char **argv, struct wanted *wanted, json_t *options) {
  int count = 0;
  const struct cli_option known[] = {{"--token", &wanted->token, NULL, NULL},
                                     {"--connection", &wanted->connection, NULL, NULL},
                                     {"--lock-timeout", &wanted->lock_timeout, NULL, NULL},
                                     {"--statement-timeout", &wanted->statement_timeout, NULL, NULL},
                                     {"--lock-retries", &wanted->lock_retries, NULL, NULL},
                                     {"--timeout", &wanted->timeout, NULL, NULL},
                                     {"--dry-run", NULL, &wanted->dry_run, NULL},
                                     {"--json", NULL, &wanted->as_json, NULL}};
  if (!cli_args(self, argc, argv, known, sizeof known / sizeof *known, &wanted->file, 1, &count)) return false;
  if (count != 1 || !wanted->token) return cli_usage(self, "a file and its --token are needed"), false;
  if (strcmp(wanted->file, "-") == 0 && strcmp(wanted->token, "-") == 0)
    return cli_usage(self, "only one of file and token can be standard input"), false;
  if (!remote_number(wanted->timeout, 1, 86400, &wanted->seconds))
    return cli_usage(self, "--timeout is a number of seconds from 1 to 86400"), false;
  return read_options(self, wanted, options);
}

/* NULL when file or token are not UTF-8, or could not be read: then err says so. */
static json_t *make_body(const struct wanted *wanted, json_t *options, struct error *err) {
  char *sql = NULL, *token = NULL;
  size_t len = 0;
  json_t *body = NULL;
  if (!cli_read_file(wanted->file, LIMIT_SQL_BYTES, &sql, &len, err) && !read_token(wanted->token, &token, err)) {
    body = json_pack("{s:s%, s:s, s:O}", "sql", sql, len, "approval_token", token, "options", options);
    if (!body) error_set(err, ERR_VALIDATION, "%s or the token is not UTF-8 text", wanted->file);
  }
  free(sql);
  free(token);
  return body;
}

/* --- what became of it --- */

static int fail(const struct error *err) {
  const char *hint = execution_hint(err->code);
  return hint ? cli_fail(err, hint) : remote_failed(err);
}

int execution_show(const json_t *job, bool as_json) {
  ERROR_AUTO err = {0};
  const json_t *result = json_object_get(job, "result");
  enum status status = client_outcome(job, &err);
  if (as_json)
    remote_print_json(job);
  else
    execution_print(stdout, json_is_object(result) ? result : err.details);
  return status == OK ? CLI_OK : (fflush(stdout), fail(&err));
}

int remote_execute(const struct cli_command *self, int argc, char **argv) {
  struct wanted wanted = {.timeout = "3600"};
  JSON_AUTO *options = json_object();
  if (!read_arguments(self, argc, argv, &wanted, options)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *job = NULL;
  json_t *made = NULL;
  char connection[64];
  JSON_AUTO *body = make_body(&wanted, options, &err);
  if (!body) return cli_fail(&err, NULL);
  if (client_new(&client, &err) || remote_connection(client, wanted.connection, REMOTE_CHANGES, connection, &err))
    return remote_failed(&err);
  json_set_str(body, "connection_id", connection);
  if (client_call(client, "POST", "/api/v1/migrations/execute", body, "respond-async", &made, &err)) return fail(&err);
  if (client_end(client, made, (int)wanted.seconds, &job, &err)) return fail(&err);
  return execution_show(job, wanted.as_json);
}
