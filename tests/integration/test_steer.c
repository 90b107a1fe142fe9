/* Steering what is queued and runs: pauses, delays, retries, cancelling what a client's server does, poison, and how old days go. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clientcancel.h"
#include "common/clientdb.h"
#include "tests/support/jobs.h"

static struct harness_proc *worker, *valkey;
static struct harness_pg *pg;
static const char *const env[] = {"AUTODB_ENABLE_FAULTS=1",
                                  "AUTODB_LEASE_SECONDS=6",
                                  "AUTODB_HEARTBEAT_SECONDS=1",
                                  "AUTODB_SLOTS=2",
                                  "AUTODB_JOBS_DAYS=30",
                                  "AUTODB_RESULTS_DAYS=7",
                                  NULL};
static char client_url[HARNESS_URL];

/* Days of long ago, before there is a sweeper: one of them holds a live job. */
static const char old_days[] =
    "SELECT autodb.ensure_partitions(60, 7);"
    "CREATE FUNCTION pg_temp.old(days int, n int) RETURNS uuid LANGUAGE sql AS"
    " $$ SELECT (left(autodb.uuid7_floor(now() - days * interval '1 day')::text, 13) || '-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;"
    "CREATE FUNCTION pg_temp.put(days int, n int, live boolean) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO autodb.jobs (id, owner_id, kind, lane, max_attempts, payload, created_at)"
    " VALUES (pg_temp.old(days, n), '" JOBS_OWNER "', 'system.echo', 'bulk', 5, '{}', now() - days * interval '1 day');"
    " INSERT INTO autodb.queue (id, owner_id, kind, lane, max_attempts, run_at)"
    " SELECT pg_temp.old(days, n), '" JOBS_OWNER "', 'system.echo', 'bulk', 5, now() + interval '1 hour' WHERE live;"
    " INSERT INTO autodb.results (job_id, attempt, state, body, created_at)"
    " SELECT pg_temp.old(days, n), 1, 'succeeded', '{\"payload\":1}', now() - days * interval '1 day' WHERE NOT live;"
    " INSERT INTO autodb.deliveries (id, job_id, url, event, state, owner_id, ref) SELECT pg_temp.old(days, n) || '.x', pg_temp.old(days, "
    "n),"
    " 'https://x', 'job.succeeded', 'delivered', '" JOBS_OWNER "', pg_temp.old(days, n) $$;"
    "SELECT pg_temp.put(50, 1, false), pg_temp.put(45, 2, true), pg_temp.put(40, 3, false), pg_temp.put(20, 4, false), pg_temp.put(2, 5, "
    "false);"
    "SELECT pg_temp.put(15, n, false) FROM generate_series(100, 2600) n";

static int setup(void **state) {
  struct harness *h = harness_new();
  pg = harness_postgres(h, 17);
  valkey = harness_valkey(h);
  harness_schema_up(h);
  harness_sql(h->database_url, old_days);
  harness_key(h, "test", "admin", h->api_key);
  harness_database(pg, "client", client_url);
  harness_api(h, env);
  worker = harness_worker(h, env);
  *state = h;
  return 0;
}

static void post(struct harness *h, const char *path, const char *body, int status, struct harness_reply *ret_reply) {
  harness_http(h, "POST", path, NULL, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s: %ld instead of %d: %s", path, ret_reply->status, status, ret_reply->body);
}

static void submit(struct harness *h, const char *body, char out[40]) {
  REPLY_AUTO reply;
  post(h, "/api/v1/jobs/echo", body, 202, &reply);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.job_id"));
}

static int cli(struct harness *h, const char *const words[], char **ret_output) {
  char url[128], key[128];
  snprintf(url, sizeof url, "AUTODB_URL=%s", h->api_url);
  snprintf(key, sizeof key, "AUTODB_API_KEY=%s", h->api_key);
  char **more = harness_env(h, (const char *[]){url, key, NULL});
  const char *argv[8] = {"autodb", "queue"};
  for (int i = 0; words[i]; i++) argv[2 + i] = words[i];
  int code = harness_run(h, AUTODB_BINARY_DIR "/autodb", argv, (const char *const *)more, ret_output);
  harness_env_free(more);
  return code;
}

/* --- retention; first, since the sweeper does it as it begins --- */

static long long days_of(struct harness *h, const char *parent) {
  char sql[300];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'autodb.%s'::regclass"
           " AND c.relname ~ '_[0-9]{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - 31",
           parent);
  return harness_count(h->database_url, sql);
}

static void old_days_go_and_live_jobs_stay(void **state) {
  struct harness *h = *state;
  assert_true(POLL_UNTIL(days_of(h, "jobs") == 1 && days_of(h, "results") == 1, 60000)); /* the day of the live job */
  assert_int_equal(jobs_count(h, "created_at < now() - interval '30 days'"), 1);
  assert_int_equal(jobs_count(h, "created_at < now() - interval '30 days' AND state = 'queued'"), 1);
  assert_int_equal(jobs_count(h, "created_at BETWEEN now() - interval '30 days' AND now() - interval '1 day'"), 2503);
  assert_true(
      POLL_UNTIL(harness_count(h->database_url,
                               "SELECT count(*) FROM autodb.deliveries WHERE ref < autodb.uuid7_floor(now() - interval '30 days')") == 0,
                 10000));
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.deliveries"), 2503);
}

static void old_results_lose_their_body(void **state) {
  struct harness *h = *state;
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.results WHERE body IS NULL") == 2502, 20000));
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.results WHERE body IS NOT NULL"), 1); /* two days old */
}

/* Whoever holds a lock is not waited for, and accepting goes on meanwhile. */
static void a_drop_waits_for_nobody(void **state) {
  struct harness *h = *state;
  PGconn *holder = harness_connect(h->database_url), *dropper = harness_connect(h->database_url);
  PQclear(PQexec(holder, "BEGIN; SELECT count(*) FROM autodb.jobs"));
  harness_sql(h->database_url, "DELETE FROM autodb.queue WHERE lane = 'bulk'");
  int64_t began = harness_now_ms();
  PGresult *res = PQexec(dropper, "SELECT autodb.drop_old_day('jobs', 30, interval '100 ms')");
  assert_string_equal(PQgetvalue(res, 0, 0), "busy");
  assert_in_range(harness_now_ms() - began, 90, 20000);
  PQclear(res);
  PQclear(PQexec(holder, "COMMIT"));
  res = PQexec(dropper, "SELECT autodb.drop_old_day('jobs', 30, interval '5 s')");
  assert_memory_equal(PQgetvalue(res, 0, 0), "jobs_", 5);
  PQclear(res);
  PQfinish(holder);
  PQfinish(dropper);
  harness_sql(h->database_url, "TRUNCATE autodb.jobs, autodb.queue, autodb.results, autodb.deliveries");
}

/* --- pauses --- */

static void a_paused_kind_waits_and_holds_nobody_up(void **state) {
  struct harness *h = *state;
  char id[40], *output = NULL;
  assert_int_equal(cli(h, (const char *[]){"pause", "--kind", "system.echo", NULL}, &output), 0);
  assert_non_null(strstr(output, "paused: system.echo"));
  free(output);
  submit(h, "{\"payload\":1}", id);
  jobs_add(h, "interactive", "{}", 300, true, NULL);
  harness_sql(h->database_url, "UPDATE autodb.queue SET kind = 'from.the.future', max_attempts = 1 WHERE id IN"
                               " (SELECT id FROM autodb.queue ORDER BY id DESC LIMIT 3)");
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'dead'") == 3, 10000)); /* another kind of the same lane is run */
  assert_string_equal(jobs_state(h, id), "queued");
  assert_true(POLL_UNTIL(jobs_redis(h, "XLEN {autodb}:q:interactive") == 0, 5000)); /* what is parked doesn't spin */
  assert_int_equal(jobs_count(h, "state <> 'queued'"), 3);
  assert_int_equal(cli(h, (const char *[]){"status", "--json", NULL}, &output), 0);
  json_t *status = json_loads(output, 0, NULL);
  assert_string_equal(harness_text(status, "paused.0.name"), "system.echo");
  assert_int_equal(harness_int(status, "queues.0.queued"), 298);
  json_decref(status);
  free(output);
  assert_int_equal(cli(h, (const char *[]){"resume", "--kind", "system.echo", NULL}, &output), 0);
  free(output);
  jobs_await(h, id, "succeeded", 2000);
  jobs_await_all(h, 10000);
  assert_int_equal(jobs_count(h, "attempt <> 1"), 0);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.pauses") == 0, 5000));
}

static void a_paused_lane_outlives_redis(void **state) {
  struct harness *h = *state;
  char bulk[40], other[40];
  REPLY_AUTO paused;
  REPLY_AUTO resumed;
  post(h, "/api/v1/queue/pause", "{\"lane\":\"bulk\"}", 200, &paused);
  submit(h, "{\"payload\":1,\"priority\":\"bulk\"}", bulk);
  harness_kill(valkey); /* polling sees it, too */
  submit(h, "{\"payload\":1}", other);
  jobs_await(h, other, "succeeded", 10000);
  assert_string_equal(jobs_state(h, bulk), "queued");
  post(h, "/api/v1/queue/resume", "{\"lane\":\"bulk\"}", 200, &resumed);
  jobs_await(h, bulk, "succeeded", 2000);
  harness_restart(h, valkey);
}

static void wrong_pauses_are_refused(void **state) {
  struct harness *h = *state;
  static const char *const bodies[] = {"{}", "{\"kind\":\"nonsense\"}", "{\"lane\":\"fast\"}",
                                       "{\"lane\":\"bulk\",\"kind\":\"plan.parse\"}"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    REPLY_AUTO reply;
    post(h, "/api/v1/queue/pause", bodies[i], 422, &reply);
  }
  char *output = NULL, key[64], header[96];
  assert_int_equal(cli(h, (const char *[]){"pause", NULL}, &output), 2);
  free(output);
  harness_key(h, "test", "user", key);
  snprintf(header, sizeof header, "X-API-Key: %s", key);
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/queue/pause", (const char *[]){header, NULL}, "{\"lane\":\"bulk\"}", &reply);
  assert_int_equal(reply.status, 403);
}

/* --- delays and retries --- */

static void a_job_runs_when_asked(void **state) {
  struct harness *h = *state;
  char body[128], id[40], at[40];
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '5:30:02.5', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"+05:30\"'),"
                               "to_char(now() AT TIME ZONE 'UTC' + interval '2.5 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
  snprintf(body, sizeof body, "{\"payload\":1,\"run_at\":\"%s\"}", PQgetvalue(res, 0, 0));
  snprintf(at, sizeof at, "%s", PQgetvalue(res, 0, 1));
  PQclear(res);
  PQfinish(conn);
  REPLY_AUTO reply;
  post(h, "/api/v1/jobs/echo", body, 202, &reply);
  assert_string_equal(harness_text(reply.json, "data.run_at"), at);
  snprintf(id, sizeof id, "%s", harness_text(reply.json, "data.job_id"));
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "j.started_at - j.created_at BETWEEN interval '2 s' AND interval '3.6 s'"), "t");
  REPLY_AUTO ended;
  char path[80];
  snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
  harness_http(h, "GET", path, NULL, NULL, &ended);
  assert_string_equal(harness_text(ended.json, "data.run_at"), at);
}

static void wrong_times_are_refused(void **state) {
  struct harness *h = *state;
  static const char *const times[] = {"\"2999-01-01T00:00:00Z\"", "\"tomorrow, about noon o'clock\"", "\"2026-01-31T12:00:00\"", "5",
                                      "\"2026-13-31T12:00:00Z\""};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    char body[128];
    snprintf(body, sizeof body, "{\"payload\":1,\"run_at\":%s}", times[i]);
    REPLY_AUTO reply;
    post(h, "/api/v1/jobs/echo", body, 422, &reply);
    assert_string_equal(harness_text(reply.json, "error.details.fields.0.path"), "run_at");
  }
  char id[40];
  submit(h, "{\"payload\":1,\"run_at\":\"2020-01-01T00:00:00Z\"}", id); /* what has passed means now */
  jobs_await(h, id, "succeeded", 5000);
}

/* Five times a failure that may pass: dead, after pauses that are jittered and grow. */
static void failures_use_up_the_budget(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET kind = 'from.the.future', max_attempts = 3");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id);
  jobs_await(h, id, "dead", 20000);
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.failures || '/' || j.crashes"), "3/3/0");
}

static void poison_dies_and_says_of_what(void **state) {
  struct harness *h = *state;
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":400,\"fail\":\"crash\"}", id);
  jobs_await(h, id, "dead", 30000);
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.crashes"), "3/3");
  assert_string_equal(jobs_value(h, id, "r.error ->> 'code'"), "WORKER_CRASHED");
  assert_string_equal(jobs_value(h, id, "r.error #>> '{details,signal}'"), "11");
  assert_string_equal(jobs_value(h, id, "r.error #>> '{details,signal_name}'"), "SEGV");
  assert_string_equal(jobs_value(h, id, "r.error #>> '{details,last_step}'"), "sleep");
}

/* --- cancelling what a client's server does --- */

static const char ours[] = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'client' AND application_name <> 'holder'"
                           " AND backend_type = 'client backend'";

static void a_cancelled_job_leaves_nothing_running(void **state) {
  struct harness *h = *state;
  harness_sql(client_url, "CREATE TABLE held (id int)");
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "client", "db_type", "postgresql", "connection_string", client_url);
  char *text = json_dumps(body, 0), path[128], id[40];
  REPLY_AUTO made;
  post(h, "/api/v1/connections", text, 201, &made);
  free(text);
  json_decref(body);
  PGconn *holder = harness_connect(client_url); /* what reads the table's size waits for this */
  PQclear(PQexec(holder, "SET application_name = 'holder'; BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE"));
  snprintf(path, sizeof path, "/api/v1/connections/%s/introspect", harness_text(made.json, "data.id"));
  REPLY_AUTO reply;
  post(h, path, "{}", 202, &reply);
  snprintf(id, sizeof id, "%s", harness_text(reply.json, "data.job_id"));
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'client'"
                                                        " AND application_name = 'autodb' AND wait_event_type = 'Lock'") > 0,
                         15000));
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", id);
  REPLY_AUTO cancelled;
  post(h, path, "{}", 202, &cancelled);
  jobs_await(h, id, "cancelled", 2000); /* its lock_timeout would have failed it */
  assert_true(POLL_UNTIL(harness_count(h->database_url, ours) == 0, 1000));
  PQfinish(holder);
}

/* The slot's way of dying, without a slot. */
static void sleep_on_the_server(const char *url) {
  const struct config cfg = {.connection_allow = "127.0.0.0/8", .connection_deny = ""};
  ERROR_AUTO err = {0};
  PGconn *idle = NULL, *conn = NULL;
  clientcancel_begin();
  if (clientdb_connect(&cfg, url, 0, &idle, &err) != OK || clientdb_connect(&cfg, url, 0, &conn, &err) != OK) _exit(1);
  PQfinish(idle); /* what is finished is forgotten */
  PQclear(PQexec(conn, "SELECT pg_sleep(60)"));
  _exit(2);
}

static void a_stopped_process_calls_off_its_statement(void **state) {
  struct harness *h = *state;
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) sleep_on_the_server(client_url);
  assert_true(pid > 0);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
                                                        " AND state = 'active'") == 1,
                         10000));
  assert_int_equal(kill(pid, SIGTERM), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  assert_true(POLL_UNTIL(harness_count(h->database_url, ours) == 0, 2000));
}

/* --- keys of requests --- */

static void an_open_first_request_is_a_conflict(void **state) {
  struct harness *h = *state;
  char sql[300], text[16];
  PGconn *first = harness_connect(h->database_url);
  snprintf(sql, sizeof sql,
           "BEGIN; INSERT INTO autodb.idempotency_keys (owner_id, key, request_hash, job_id) SELECT id, 'open', '', id FROM autodb.owners"
           " WHERE name = 'test'");
  PQclear(PQexec(first, sql));
  const char *const headers[] = {"Idempotency-Key: open", NULL};
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\":1}", &reply);
  assert_int_equal(reply.status, 409);
  assert_string_equal(harness_header(&reply, "Retry-After", text, sizeof text), "1");
  PQclear(PQexec(first, "ROLLBACK"));
  PQfinish(first);
  REPLY_AUTO again;
  harness_http(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\":1}", &again);
  assert_int_equal(again.status, 202);
  REPLY_AUTO other;
  harness_http(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\":2}", &other);
  assert_int_equal(other.status, 422);
  assert_string_equal(harness_text(other.json, "error.code"), "IDEMPOTENCY_MISMATCH");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(old_days_go_and_live_jobs_stay),
      cmocka_unit_test(old_results_lose_their_body),
      cmocka_unit_test(a_drop_waits_for_nobody),
      cmocka_unit_test(a_paused_kind_waits_and_holds_nobody_up),
      cmocka_unit_test(a_paused_lane_outlives_redis),
      cmocka_unit_test(wrong_pauses_are_refused),
      cmocka_unit_test(a_job_runs_when_asked),
      cmocka_unit_test(wrong_times_are_refused),
      cmocka_unit_test(failures_use_up_the_budget),
      cmocka_unit_test(poison_dies_and_says_of_what),
      cmocka_unit_test(a_cancelled_job_leaves_nothing_running),
      cmocka_unit_test(a_stopped_process_calls_off_its_statement),
      cmocka_unit_test(an_open_first_request_is_a_conflict),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
