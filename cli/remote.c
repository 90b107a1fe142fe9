/* The commands that are calls of the HTTP API: connections, introspection, analysis, jobs. */
#include <curl/curl.h>
#include <errno.h>

#include "cli/remote.h"

#include "cli/cli.h"
#include "cli/execution.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "cli/term.h"
#include "cli/token_file.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"

#define REMOTE_TIMEOUT_SECONDS 900
#define REMOTE_STRING_MAX 8192 /* of a connection string */

int remote_failed(const struct error *err) { return cli_fail(err, client_hint(err)); }

void remote_print_json(const json_t *value) {
  json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
  putchar('\n');
}

bool remote_number(const char *text, long long least, long long most, long long *ret_value) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno || *end || end == text || value < least || value > most) return false;
  *ret_value = value;
  return true;
}

static bool parse_timeout(const char *text, int *ret_seconds) {
  long long value;
  if (!remote_number(text, 1, 86400, &value)) return false;
  *ret_seconds = (int)value;
  return true;
}

/* Ids go into paths: only what an id is made of. */
static bool id_like(const char *text) { return *text && strlen(text) <= 40 && strspn(text, "0123456789abcdefABCDEF-") == strlen(text); }

/* Of several connections the only one whose role can do what is wanted, and no more: questions run as one that may not write. */
static const json_t *only_fit(const json_t *items, enum remote_need need) {
  const json_t *found = NULL, *item;
  size_t index, fits = 0;
  json_array_foreach(items, index, item) {
    const json_t *writes = json_object_get(json_object_get(item, "capabilities"), "can_write");
    if (need == REMOTE_READS ? !json_is_false(writes) : !json_is_true(writes)) continue;
    found = item;
    fits++;
  }
  return fits == 1 ? found : NULL;
}

enum status remote_connection(struct client *client, const char *named, enum remote_need need, char out[64], struct error *err) {
  if (!named) named = getenv("AUTODB_CONNECTION_ID");
  if (named && *named) {
    if (!id_like(named)) return error_set(err, ERR_VALIDATION, "%.64s is not a connection's id", named);
    snprintf(out, 64, "%s", named);
    return OK;
  }
  JSON_AUTO *list = NULL;
  enum status status = client_call(client, "GET", "/api/v1/connections?limit=200", NULL, NULL, &list, err);
  if (status) return status;
  const json_t *items = json_object_get(list, "items"), *only = json_array_get(items, 0);
  if (!only) return error_set(err, ERR_NOT_FOUND, "there is no connection yet: `autodb connection add` makes one");
  if (json_array_size(items) > 1) {
    only = only_fit(items, need);
    if (!only)
      return error_set(err, ERR_VALIDATION, "there are several connections: say which by --connection ID (`autodb connection list`)");
    fprintf(stderr, "on \"%s\"\n", json_str(only, "name", ""));
  }
  snprintf(out, 64, "%s", json_str(only, "id", ""));
  return OK;
}

/* --- connections --- */

static enum status read_connection_string(const char *given, struct buf *out, struct error *err) {
  if (strcmp(given, "-") != 0)
    return buf_puts(out, given) ? OK : error_set(err, ERR_TOO_LARGE, "the connection string is longer than %d bytes", REMOTE_STRING_MAX);
  char *text = NULL;
  size_t len = 0;
  enum status status = cli_read_file("-", REMOTE_STRING_MAX, &text, &len, err);
  if (status) return status;
  text[strcspn(text, "\r\n")] = 0;
  buf_puts(out, text);
  free(text);
  return OK;
}

int remote_connection_add(const struct cli_command *self, int argc, char **argv) {
  const char *name = NULL, *type = "postgresql", *given = NULL;
  bool no_verify = false;
  int count = 0;
  const struct cli_option options[] = {
      {"--name", &name, NULL, NULL}, {"--type", &type, NULL, NULL}, {"--no-verify", NULL, &no_verify, NULL}};
  if (!cli_args(self, argc, argv, options, 3, &given, 1, &count)) return CLI_USAGE;
  if (count != 1 || !name) return cli_usage(self, "a --name and a connection string are needed");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *made = NULL;
  BUF_AUTO string;
  buf_init(&string, REMOTE_STRING_MAX);
  if (read_connection_string(given, &string, &err) || client_new(&client, &err)) return remote_failed(&err);
  JSON_AUTO *body = json_pack("{s:s, s:s, s:s}", "name", name, "db_type", type, "connection_string", buf_str(&string));
  if (!body) return cli_usage(self, "name and connection string must be UTF-8");
  if (client_call(client, "POST", no_verify ? "/api/v1/connections?verify=false" : "/api/v1/connections", body, NULL, &made, &err))
    return remote_failed(&err);
  printf("%s\n", json_str(made, "id", ""));
  return CLI_OK;
}

static void print_connection(const json_t *item) {
  printf("%-36s  %-24s  %s:%lld/%s  %s\n", json_str(item, "id", ""), json_str(item, "name", ""), json_str(item, "host", ""),
         json_int(item, "port", 0), json_str(item, "database_name", ""), json_str(item, "server_version", "never reached"));
}

/* Pages through the whole list into one array. */
static enum status all_connections(struct client *client, json_t *items, struct error *err) {
  BUF_AUTO path;
  buf_init(&path, 4096);
  buf_puts(&path, "/api/v1/connections?limit=200");
  for (;;) {
    JSON_AUTO *page = NULL;
    enum status status = client_call(client, "GET", buf_str(&path), NULL, NULL, &page, err);
    if (status) return status;
    json_array_extend(items, json_object_get(page, "items"));
    const char *cursor = json_str(page, "next_cursor", NULL);
    if (!cursor) return OK;
    char *escaped = curl_easy_escape(NULL, cursor, 0);
    buf_reset(&path);
    buf_printf(&path, "/api/v1/connections?limit=200&cursor=%s", escaped ? escaped : "");
    curl_free(escaped);
  }
}

int remote_connection_list(const struct cli_command *self, int argc, char **argv) {
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 1, NULL, 0, &count)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *items = json_array();
  if (client_new(&client, &err) || all_connections(client, items, &err)) return remote_failed(&err);
  if (as_json) return remote_print_json(items), CLI_OK;
  size_t index;
  json_t *item;
  json_array_foreach(items, index, item) print_connection(item);
  return CLI_OK;
}

/* --- jobs --- */

static int print_job(const json_t *job, bool as_json) {
  const json_t *result = json_object_get(job, "result");
  if (as_json)
    remote_print_json(job);
  else if (strcmp(json_str(job, "kind", ""), "migration.analyze") == 0)
    report_print(stdout, result);
  else
    remote_print_json(result);
  return CLI_OK;
}

static enum status run_job(struct client *client, const char *path, const json_t *body, int timeout_seconds, json_t **ret_job,
                           struct error *err) {
  json_t *made = NULL;
  enum status status = client_call(client, "POST", path, body, NULL, &made, err);
  return status ? status : client_wait(client, made, timeout_seconds, ret_job, err);
}

int remote_introspect(const struct cli_command *self, int argc, char **argv) {
  const char *connection = NULL, *schemas = NULL;
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {
      {"--connection", &connection, NULL, NULL}, {"--schemas", &schemas, NULL, NULL}, {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 3, NULL, 0, &count)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  BUF_AUTO path;
  char id[64];
  buf_init(&path, 4096);
  if (client_new(&client, &err) || remote_connection(client, connection, REMOTE_CHANGES, id, &err)) return remote_failed(&err);
  char *escaped = curl_easy_escape(NULL, schemas ? schemas : "", 0);
  buf_printf(&path, "/api/v1/connections/%s/introspect%s%s", id, schemas ? "?schemas=" : "", escaped ? escaped : "");
  curl_free(escaped);
  JSON_AUTO *job = NULL;
  if (run_job(client, buf_str(&path), NULL, REMOTE_TIMEOUT_SECONDS, &job, &err)) return remote_failed(&err);
  return print_job(job, as_json);
}

/* As a shell reads it back. */
static void put_word(struct buf *out, const char *text) {
  bool plain =
      *text && *text != '-' && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/+,:@%-")] == '\0';
  if (plain) {
    buf_puts(out, text);
    return;
  }
  buf_putc(out, '\'');
  for (; *text; text++)
    if (*text == '\'')
      buf_puts(out, "'\\''");
    else
      buf_putc(out, *text);
  buf_putc(out, '\'');
}

/* The token goes into the file, and the command that uses it is said. */
static int keep_token(const json_t *job, const char *path, const char *file, const char *connection) {
  ERROR_AUTO err = {0};
  struct term term;
  BUF_AUTO command;
  buf_init(&command, 64 * 1024);
  const char *token = json_str(json_object_get(job, "result"), "approval_token", NULL);
  if (!token) error_set(&err, ERR_CONFLICT, "no token was issued, so nothing was written to %.200s", path);
  if (!token || token_file_write(path, token, &err)) return cli_fail(&err, NULL);
  buf_puts(&command, "autodb execute ");
  if (strcmp(file, "-") == 0)
    buf_puts(&command, "FILE");
  else
    put_word(&command, file);
  buf_printf(&command, " --connection %s --token - < ", connection);
  put_word(&command, path);
  fflush(stdout);
  term_init(&term, stderr);
  term_printf(&term, TERM_PLAIN, "The token is in %s. To run the migration:\n  %s\n", path, buf_str(&command));
  return CLI_OK;
}

int remote_analyze(const struct cli_command *self, int argc, char **argv) {
  const char *file = NULL, *connection = NULL, *timeout = "900", *token_file = NULL;
  bool as_json = false, no_sandbox = false;
  int count = 0, seconds = 0;
  const struct cli_option options[] = {{"--connection", &connection, NULL, NULL},
                                       {"--timeout", &timeout, NULL, NULL},
                                       {"--token-file", &token_file, NULL, NULL},
                                       {"--json", NULL, &as_json, NULL},
                                       {"--no-sandbox", NULL, &no_sandbox, NULL}};
  if (!cli_args(self, argc, argv, options, 5, &file, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which file?");
  if (!parse_timeout(timeout, &seconds)) return cli_usage(self, "--timeout is a number of seconds from 1 to 86400");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  char id[64], path[160], *sql = NULL;
  size_t len = 0;
  if (cli_read_file(file, LIMIT_SQL_BYTES, &sql, &len, &err)) return cli_fail(&err, NULL);
  JSON_AUTO *body = json_pack("{s:s%}", "sql", sql, len), *job = NULL;
  free(sql);
  if (!body) return cli_usage(self, "%s is not UTF-8 text", file);
  if (client_new(&client, &err) || remote_connection(client, connection, REMOTE_CHANGES, id, &err)) return remote_failed(&err);
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze%s", id, no_sandbox ? "?sandbox=false" : "");
  if (run_job(client, path, body, seconds, &job, &err)) return remote_failed(&err);
  int code = print_job(job, as_json);
  return token_file ? keep_token(job, token_file, file, id) : code;
}

/* The job once it has ended. */
static enum status await_job(struct client *client, const char *id, bool retry, bool follow, int seconds, json_t **ret_job,
                             struct error *err) {
  char path[96], again[128];
  json_t *first = NULL;
  snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
  snprintf(again, sizeof again, "%s/retry", path);
  enum status status = client_call(client, retry ? "POST" : "GET", retry ? again : path, NULL, NULL, &first, err);
  if (!status && follow) {
    json_decref(first);
    status = follow_job(client, id, seconds, err);
    if (!status) status = client_call(client, "GET", path, NULL, NULL, &first, err);
  }
  return status ? status : client_end(client, first, seconds, ret_job, err);
}

int remote_job(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL, *timeout = "900";
  bool as_json = false, retry = false, follow = false;
  int count = 0, seconds = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL},
                                       {"--retry", NULL, &retry, NULL},
                                       {"--follow", NULL, &follow, NULL},
                                       {"--timeout", &timeout, NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &id, 1, &count)) return CLI_USAGE;
  if (count != 1 || !id_like(id)) return cli_usage(self, "the id of a job is needed");
  if (!parse_timeout(timeout, &seconds)) return cli_usage(self, "--timeout is a number of seconds from 1 to 86400");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *job = NULL;
  if (client_new(&client, &err) || await_job(client, id, retry, follow, seconds, &job, &err)) return remote_failed(&err);
  if (strcmp(json_str(job, "kind", ""), "migration.execute") == 0) return execution_show(job, as_json);
  return client_outcome(job, &err) ? remote_failed(&err) : print_job(job, as_json);
}
