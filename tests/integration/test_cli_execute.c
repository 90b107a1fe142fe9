/* `autodb analyze --token-file`, `autodb execute` and `autodb job` of an execution. Analyses are real; then the worker goes, and the tests
 * are the worker of what is executed, so that every end can be seen. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arena.h"
#include "tests/support/jobs.h"

#define AUTODB AUTODB_BINARY_DIR "/autodb"
#define TOKENS 8

static struct harness *h;
static struct arena *arena;
static char client_url[HARNESS_URL], connection_id[64], url_env[128], key_env[128], path_env[300];
static const char *sql_file, *tokens[TOKENS];
static int tokens_used;

static const char *file_at(const char *name) { return arena_printf(arena, "%s/%s", h->dir, name); }

static const char *put_file(const char *name, const char *text) {
  const char *path = file_at(name);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  return path;
}

static char *read_file(const char *path) {
  char *text = arena_alloc(arena, 1 << 16);
  FILE *file = fopen(path, "re");
  if (!file) fail_msg("%s is not there", path);
  text[fread(text, 1, (1 << 16) - 1, file)] = '\0';
  fclose(file);
  return text;
}

/* Runs a shell command line as a person would type it; its whole output. */
static const char *shell(int want, const char *line) {
  char *output = NULL, **env = harness_env(h, (const char *[]){url_env, key_env, path_env, NULL});
  int status = harness_run(h, "/bin/sh", (const char *[]){"sh", "-c", line, NULL}, (const char *const *)env, &output);
  const char *kept = arena_strdup(arena, output);
  harness_env_free(env);
  free(output);
  if (status != want) fail_msg("%s: exit %d instead of %d: %s", line, status, want, kept);
  return kept;
}

static void holds(const char *text, const char *part) {
  if (!strstr(text, part)) fail_msg("not in the output: %s\n%s", part, text);
}

static int setup(void **state) {
  *state = h = harness_new();
  arena = arena_new((size_t)64 << 20);
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "client", client_url);
  harness_sql(client_url, "CREATE TABLE orders (id bigint PRIMARY KEY, note text)");
  snprintf(url_env, sizeof url_env, "AUTODB_URL=%s", h->api_url);
  snprintf(key_env, sizeof key_env, "AUTODB_API_KEY=%s", h->api_key);
  snprintf(path_env, sizeof path_env, "PATH=%s:/usr/bin:/bin", AUTODB_BINARY_DIR);
  const char *added = shell(0, arena_printf(arena, "autodb connection add --name client '%s'", client_url));
  snprintf(connection_id, sizeof connection_id, "%.36s", added);
  sql_file = put_file("m.sql", "ALTER TABLE orders ADD COLUMN a int;\nALTER TABLE orders ADD COLUMN b int;\n");
  return 0;
}

static int teardown(void **state) {
  arena_free(arena);
  return harness_teardown(state);
}

/* --- the token's file --- */

static int mode_of(const char *path) {
  struct stat is;
  assert_int_equal(lstat(path, &is), 0);
  return is.st_mode & 07777;
}

static void a_token_is_kept_where_only_its_owner_reads(void **state) {
  (void)state;
  const char *fresh = file_at("token"), *old = put_file("old token", "something longer than any token, so that its end would show\n");
  assert_int_equal(chmod(old, 0644), 0);
  const char *output = shell(0, arena_printf(arena, "umask 0; autodb analyze %s --token-file %s", sql_file, fresh));
  assert_int_equal(mode_of(fresh), 0600);
  holds(output, "Risk ");
  holds(output, arena_printf(arena, "autodb execute %s --connection %s --token - < %s\n", sql_file, connection_id, fresh));
  const char *token = read_file(fresh);
  assert_non_null(strchr(token, '.'));
  assert_null(strstr(output, arena_strndup(arena, token, strcspn(token, "\n"))));
  output = shell(0, arena_printf(arena, "autodb analyze - --token-file '%s' < %s", old, sql_file));
  holds(output, arena_printf(arena, "autodb execute FILE --connection %s --token - < '%s'\n", connection_id, old));
  assert_int_equal(mode_of(old), 0600);
  assert_int_equal(strlen(read_file(old)), strlen(token));
}

static void what_is_no_file_is_refused(void **state) {
  (void)state;
  const char *target = put_file("target", "kept"), *link = file_at("link");
  assert_int_equal(symlink(target, link), 0);
  shell(1, arena_printf(arena, "autodb analyze %s --token-file %s", sql_file, link));
  assert_string_equal(read_file(target), "kept");
  holds(shell(1, arena_printf(arena, "autodb analyze %s --token-file /dev/null", sql_file)), "/dev/null");
  shell(1, arena_printf(arena, "autodb analyze %s --token-file %s", sql_file, h->dir));
  shell(1, arena_printf(arena, "autodb analyze %s --token-file %s/no/such", sql_file, h->dir));
}

static void without_a_token_there_is_no_file(void **state) {
  (void)state;
  const char *output = shell(1, arena_printf(arena, "autodb analyze %s --no-sandbox --token-file %s", sql_file, file_at("none")));
  holds(output, "Risk ");
  holds(output, "no token was issued");
  assert_int_equal(access(file_at("none"), F_OK), -1);
}

/* --- usage --- */

static void wrong_command_lines_are_told(void **state) {
  (void)state;
  static const char *const lines[] = {"autodb execute",
                                      "autodb execute m.sql",
                                      "autodb execute --token x",
                                      "autodb execute a b --token x",
                                      "autodb execute - --token - </dev/null",
                                      "autodb execute m.sql --token x --lock-timeout 0",
                                      "autodb execute m.sql --token x --lock-timeout 3s",
                                      "autodb execute m.sql --token x --statement-timeout 3600001",
                                      "autodb execute m.sql --token x --lock-retries -1",
                                      "autodb execute m.sql --token x --timeout 0",
                                      "autodb execute m.sql --token x --force"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) holds(shell(2, lines[i]), "usage: autodb execute ");
  holds(shell(0, "autodb help execute"), "--dry-run");
  holds(shell(1, "autodb execute /no/such.sql --token x"), "No such file");
  holds(shell(1, arena_printf(arena, "autodb execute %s --token '' --connection %s", sql_file, connection_id)), "approval_token");
}

static void refusals_say_what_to_do(void **state) {
  (void)state;
  const char *token = file_at("token"), *changed = put_file("changed.sql", "DROP TABLE orders;\n");
  holds(shell(1, arena_printf(arena, "autodb execute %s --token nonsense", sql_file)), "--token-file PATH");
  holds(shell(1, arena_printf(arena, "autodb execute %s --token - < %s", changed, token)), "the file is not what was analysed");
}

/* --- runs --- */

/* Tokens for the tests to come; then nobody but they is the worker. */
static void the_worker_goes(void **state) {
  (void)state;
  for (int i = 0; i < TOKENS; i++) {
    tokens[i] = file_at(arena_printf(arena, "token-%d", i));
    shell(0, arena_printf(arena, "autodb analyze %s --token-file %s", sql_file, tokens[i]));
  }
  for (int i = 0; i < h->proc_count; i++)
    if (strncmp(h->procs[i].name, "worker", 6) == 0 && h->procs[i].pid) harness_stop(&h->procs[i]);
}

/* Starts `autodb execute` with a new token and these options, and waits for its job. */
static struct harness_proc *start(const char *options, const char **ret_job_id) {
  char **env = harness_env(h, (const char *[]){url_env, key_env, path_env, NULL});
  const char *token_file = tokens[tokens_used++], *token = read_file(token_file);
  const char *line = arena_printf(arena, "exec autodb execute %s --token - %s < %s", sql_file, options, token_file);
  struct harness_proc *proc = harness_spawn(h, arena_printf(arena, "execute-%d", tokens_used), "/bin/sh",
                                            (const char *[]){"sh", "-c", line, NULL}, (const char *const *)env);
  harness_env_free(env);
  const char *where = arena_printf(arena, "payload->>'approval_token' = '%.*s'", (int)strcspn(token, "\n"), token);
  assert_true(POLL_UNTIL(jobs_count(h, where) == 1, 10000));
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, arena_printf(arena, "SELECT id FROM autodb.jobs WHERE %s", where));
  *ret_job_id = arena_strdup(arena, PQgetvalue(res, 0, 0));
  PQclear(res);
  PQfinish(conn);
  return proc;
}

static void finish(const char *job_id, const char *job_state, const char *result, const char *error) {
  jobs_finish(h, job_id, job_state, result, error);
  jobs_redis(h, "PUBLISH {autodb}:done %s", job_id);
}

static const char *ended(struct harness_proc *proc, int want) {
  int status = harness_exit_status(proc, 20000);
  const char *output = read_file(proc->log);
  if (status != want) fail_msg("exit %d instead of %d: %s", status, want, output);
  return output;
}

#define STATEMENTS                                                                                                                    \
  "\"transaction_mode\": \"single\", \"rolled_back\": %s, \"statements\": [{\"index\": 0, \"status\": \"%s\", \"duration_ms\": 4.5, " \
  "\"lock_wait_ms\": 1.25, \"retries\": 3, \"operation\": \"ALTER TABLE\", \"line\": 1}]"

static void a_run_is_shown_statement_by_statement(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("--lock-timeout 500 --lock-retries 2 --statement-timeout 9000", &id);
  assert_string_equal(jobs_value(h, id, "(j.payload->'options')::jsonb"),
                      "{\"dry_run\": false, \"lock_retries\": 2, \"lock_timeout_ms\": 500, \"statement_timeout_ms\": 9000}");
  assert_string_equal(jobs_value(h, id, "j.connection_id"), connection_id);
  finish(id, "succeeded", arena_printf(arena, "{\"applied\": true, " STATEMENTS "}", "false", "applied"), NULL);
  const char *output = ended(proc, 0);
  holds(output, "Applied, in one transaction");
  holds(output, "1  applied ");
  holds(output, "4.5 ms");
  holds(output, "ALTER TABLE");
  /* the same command again is the same run, and so is a look at the job */
  const char *again = arena_printf(arena, "autodb execute %s --token - --lock-timeout 500 --lock-retries 2 --statement-timeout 9000 < %s",
                                   sql_file, tokens[tokens_used - 1]);
  assert_string_equal(shell(0, again), output);
  assert_string_equal(shell(0, arena_printf(arena, "autodb job %s", id)), output);
  holds(shell(0, arena_printf(arena, "%s --json", again)), arena_printf(arena, "\"job_id\": \"%s\"", id));
  /* another command with this token is refused, with the job it was used by */
  again = arena_printf(arena, "autodb execute %s --token - --dry-run < %s", sql_file, tokens[tokens_used - 1]);
  holds(shell(1, again), id);
}

static void a_dry_run_says_so(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("--dry-run", &id);
  assert_string_equal(jobs_value(h, id, "j.payload->'options'->>'dry_run'"), "true");
  finish(id, "succeeded", arena_printf(arena, "{\"applied\": false, \"dry_run\": true, " STATEMENTS "}", "true", "rolled_back"), NULL);
  holds(ended(proc, 0), "Dry run: nothing was kept");
}

static void a_lock_not_got_names_who_holds_it(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("", &id);
  finish(id, "failed", NULL,
         arena_printf(
             arena,
             "{\"code\": \"LOCK_TIMEOUT\", \"message\": \"statement 1: canceling statement due to lock timeout\", \"details\": "
             "{\"applied\": false, \"blockers\": [{\"pid\": 4711, \"application_name\": \"nightly\", \"query\": \"VACUUM\"}], " STATEMENTS
             "}}",
             "true", "failed"));
  const char *output = ended(proc, 1);
  holds(output, "Not applied: rolled back");
  holds(output, "1  failed ");
  holds(output, "pid 4711, nightly: VACUUM");
  holds(output, "due to lock timeout");
  holds(output, "--retry");
  /* and that resumes it */
  char **env = harness_env(h, (const char *[]){url_env, key_env, path_env, NULL});
  proc = harness_spawn(h, "retry", AUTODB, (const char *[]){"autodb", "job", id, "--retry", NULL}, (const char *const *)env);
  harness_env_free(env);
  jobs_await(h, id, "queued", 10000);
  finish(id, "succeeded", arena_printf(arena, "{\"applied\": true, " STATEMENTS "}", "false", "applied"), NULL);
  holds(ended(proc, 0), "Applied, in one transaction");
  shell(1, arena_printf(arena, "autodb job %s --retry", id)); /* succeeded: nothing to resume */
}

static void drift_shows_what_differs(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("", &id);
  finish(
      id, "failed", NULL,
      "{\"code\": \"SCHEMA_DRIFT\", \"message\": \"The schema is not the one analysed.\", \"details\": {\"diff\": {\"tables\": {\"added\": "
      "[\"public.intruder\"]}}}}");
  const char *output = ended(proc, 1);
  holds(output, "tables.added public.intruder");
  holds(output, "The schema is not the one analysed.");
  holds(output, "analyze again");
}

static void json_is_the_job_even_when_it_failed(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("--json", &id);
  finish(id, "failed", NULL, "{\"code\": \"STATEMENT_FAILED\", \"message\": \"no such table\", \"details\": null}");
  const char *output = ended(proc, 1);
  holds(output, "\"code\": \"STATEMENT_FAILED\"");
  holds(output, arena_printf(arena, "\"job_id\": \"%s\"", id));
  holds(output, "no such table");
}

static void who_stops_waiting_is_told_it_goes_on(void **state) {
  (void)state;
  const char *id;
  struct harness_proc *proc = start("--timeout 1", &id);
  const char *output = ended(proc, 1);
  holds(output, arena_printf(arena, "job %s has not ended after 1 s", id));
  holds(output, "`autodb job ID` waits again");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_token_is_kept_where_only_its_owner_reads),
      cmocka_unit_test(what_is_no_file_is_refused),
      cmocka_unit_test(without_a_token_there_is_no_file),
      cmocka_unit_test(wrong_command_lines_are_told),
      cmocka_unit_test(refusals_say_what_to_do),
      cmocka_unit_test(the_worker_goes),
      cmocka_unit_test(a_run_is_shown_statement_by_statement),
      cmocka_unit_test(a_dry_run_says_so),
      cmocka_unit_test(a_lock_not_got_names_who_holds_it),
      cmocka_unit_test(drift_shows_what_differs),
      cmocka_unit_test(json_is_the_job_even_when_it_failed),
      cmocka_unit_test(who_stops_waiting_is_told_it_goes_on),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
