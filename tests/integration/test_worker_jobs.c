/* One worker, everything in order: how jobs end, what ends publish, cancellation, delays, lanes, shutdown. */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/jobs.h"

static struct harness_proc *worker;
static const char *const env[] = {"AUTODB_ENABLE_FAULTS=1", "AUTODB_LEASE_SECONDS=6", "AUTODB_HEARTBEAT_SECONDS=1",
                                  "AUTODB_LOG_LEVEL=debug", NULL};

static int setup(void **state) {
  struct harness *h = harness_new();
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_sql(h->database_url, "INSERT INTO autodb.idempotency_keys (owner_id, key, request_hash, job_id, created_at)"
                               " SELECT '" JOBS_OWNER "'::uuid, 'old ' || g, ''::bytea, '" JOBS_OWNER
                               "'::uuid, now() - interval '25 hours' FROM generate_series(1, 2500) g UNION ALL"
                               " SELECT '" JOBS_OWNER "', 'new', '', '" JOBS_OWNER "', now() - interval '23 hours'");
  worker = harness_worker(h, env);
  *state = h;
  return 0;
}

static int clean(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url,
              "TRUNCATE autodb.jobs, autodb.queue, autodb.results, autodb.deliveries, autodb.webhooks; DELETE FROM autodb.owners");
  return 0;
}

static void an_echo_succeeds(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "interactive", "{\"payload\":{\"a\":[1,2]}}", 1, true, id);
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "r.body"), "{\"payload\":{\"a\":[1,2]}}");
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.failures || '/' || j.crashes || '/' || coalesce(j.lease_owner, 'free')"),
                      "1/0/0/free");
  jobs_check(h);
}

static void streams_are_left_empty(void **state) {
  struct harness *h = *state;
  jobs_add(h, "interactive", "{}", 200, true, NULL);
  jobs_add(h, "default", "{}", 200, true, NULL);
  jobs_add(h, "bulk", "{}", 200, true, NULL);
  jobs_await_all(h, 20000);
  jobs_check(h);
  assert_true(POLL_UNTIL(
      jobs_redis(h, "XLEN {autodb}:q:interactive") + jobs_redis(h, "XLEN {autodb}:q:default") + jobs_redis(h, "XLEN {autodb}:q:bulk") == 0,
      5000));
  assert_int_equal(jobs_count(h, "attempt <> 1"), 0);
}

static void the_end_is_announced_after_the_commit(void **state) {
  struct harness *h = *state;
  char id[40];
  redisContext *redis = jobs_redis_open(h);
  freeReplyObject(redisCommand(redis, "SUBSCRIBE {autodb}:done"));
  redisSetTimeout(redis, (struct timeval){.tv_sec = 10});
  jobs_add(h, "default", "{}", 1, true, id);
  void *got = NULL;
  assert_int_equal(redisGetReply(redis, &got), REDIS_OK);
  redisReply *message = got;
  assert_string_equal(message->element[2]->str, id);
  assert_string_equal(jobs_state(h, id), "succeeded");
  freeReplyObject(message);
  redisFree(redis);
}

static void a_lasting_failure_is_failed_at_once(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "interactive", "{\"fail\":\"error\"}", 1, true, id);
  jobs_await(h, id, "failed", 10000);
  assert_string_equal(jobs_value(h, id, "r.error ->> 'code'"), "ECHO_FAILED");
  assert_string_equal(jobs_value(h, id, "j.attempt"), "1");
  jobs_check(h);
}

static void crashes_use_up_the_budget(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "interactive", "{\"fail\":\"crash\"}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET max_attempts = 3");
  jobs_redis(h, "XADD {autodb}:q:interactive * id %s", id);
  jobs_await(h, id, "dead", 30000);
  assert_string_equal(jobs_value(h, id, "r.error ->> 'code'"), "WORKER_CRASHED");
  assert_non_null(strstr(jobs_value(h, id, "r.error ->> 'message'"), "signal 11"));
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.failures || '/' || j.crashes"), "3/3/3");
  jobs_check(h);
}

static void a_poisoned_entry_does_no_harm(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_redis(h, "XADD {autodb}:q:default * id not-an-id");
  jobs_redis(h, "XADD {autodb}:q:default * other field");
  jobs_redis(h, "XADD {autodb}:q:default * id 01890000-0000-7000-8000-00000000dead");
  jobs_add(h, "default", "{}", 1, true, id);
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id); /* dispatched twice */
  jobs_await(h, id, "succeeded", 10000);
  assert_true(POLL_UNTIL(jobs_redis(h, "XLEN {autodb}:q:default") == 0, 5000));
  assert_string_equal(jobs_value(h, id, "j.attempt"), "1");
}

static void an_unknown_kind_is_retried_elsewhere(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET kind = 'from.the.future', max_attempts = 2");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id);
  jobs_await(h, id, "dead", 20000);
  assert_string_equal(jobs_value(h, id, "r.error ->> 'code'"), "KIND_UNKNOWN");
  assert_string_equal(jobs_value(h, id, "j.failures || '/' || j.crashes"), "2/0");
}

static void deliveries_are_owed_to_callback_and_webhooks(void **state) {
  struct harness *h = *state;
  char id[40], other[40];
  harness_sql(h->database_url,
              "INSERT INTO autodb.owners (id, name) VALUES ('" JOBS_OWNER "', 'hooked');"
              "INSERT INTO autodb.webhooks (id, owner_id, url, events, kinds, secret, secret_key_id, disabled_at, deleted_at) VALUES"
              " ('00000000-0000-7000-8000-0000000000a1', '" JOBS_OWNER "', 'https://a', '{job.succeeded}', '{}', '', '', NULL, NULL),"
              " ('00000000-0000-7000-8000-0000000000a2', '" JOBS_OWNER
              "', 'https://b', '{job.succeeded,job.failed}', '{system.echo}', '', '', NULL, NULL),"
              " ('00000000-0000-7000-8000-0000000000a3', '" JOBS_OWNER
              "', 'https://c', '{job.succeeded}', '{plan.parse}', '', '', NULL, NULL),"
              " ('00000000-0000-7000-8000-0000000000a4', '" JOBS_OWNER "', 'https://d', '{job.failed}', '{}', '', '', NULL, NULL),"
              " ('00000000-0000-7000-8000-0000000000a5', '" JOBS_OWNER "', 'https://e', '{job.succeeded}', '{}', '', '', now(), NULL),"
              " ('00000000-0000-7000-8000-0000000000a6', '" JOBS_OWNER "', 'https://f', '{job.succeeded}', '{}', '', '', NULL, now())");
  jobs_add(h, "default", "{}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET callback_url = 'https://callback'");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id);
  jobs_await(h, id, "succeeded", 10000);
  const char *urls = "(SELECT string_agg(url || ' ' || event, ',' ORDER BY url) FROM autodb.deliveries WHERE job_id = j.id)";
  assert_string_equal(jobs_value(h, id, urls), "https://a job.succeeded,https://b job.succeeded,https://callback job.succeeded");
  assert_int_equal(
      harness_count(h->database_url,
                    "SELECT count(*) FROM autodb.deliveries WHERE id ~ '^[-0-9a-f]{36}.job.succeeded.(callback|[-0-9a-f]{36})$'"),
      3);
  jobs_add(h, "default", "{\"fail\":\"error\"}", 1, true, other);
  jobs_await(h, other, "failed", 10000);
  assert_string_equal(jobs_value(h, other, urls), "https://b job.failed,https://d job.failed");
}

static void a_running_job_is_cancelled(void **state) {
  struct harness *h = *state;
  const char *const payloads[] = {"{\"sleep_ms\":60000}", "{\"fail\":\"hang\"}"};
  for (int i = 0; i < 2; i++) {
    char id[40];
    jobs_add(h, "interactive", payloads[i], 1, true, id);
    jobs_await(h, id, "running", 10000);
    jobs_cancel(h, id);
    jobs_await(h, id, "cancelled", 2000);
    assert_string_equal(jobs_value(h, id, "r.error ->> 'code'"), "JOB_CANCELLED");
  }
  jobs_check(h);
}

static void a_cancel_without_message_is_found_by_the_heartbeat(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "interactive", "{\"sleep_ms\":60000}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  harness_sql(h->database_url, "UPDATE autodb.queue SET cancel_requested = true");
  jobs_await(h, id, "cancelled", 5000);
  jobs_check(h);
}

static void a_queued_job_is_cancelled_without_beginning(void **state) {
  struct harness *h = *state;
  char told[40], silent[40];
  jobs_add(h, "bulk", "{}", 1, false, told);
  jobs_cancel(h, told);
  jobs_await(h, told, "cancelled", 2000);
  jobs_add(h, "bulk", "{}", 1, false, silent);
  harness_sql(h->database_url, "UPDATE autodb.queue SET cancel_requested = true WHERE state = 'queued'");
  jobs_redis(h, "XADD {autodb}:q:bulk * id %s", silent); /* found when it would be claimed */
  jobs_await(h, silent, "cancelled", 5000);
  assert_int_equal(jobs_count(h, "attempt <> 0 OR started_at IS NOT NULL"), 0);
  jobs_check(h);
}

static void a_delayed_job_runs_when_due(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET run_at = now() + interval '1500 ms'");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id); /* too early: not claimed */
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "j.started_at - j.created_at > interval '1.5 s'"), "t");
}

static void a_lost_dispatch_is_found(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "bulk", "{}", 1, false, id);
  jobs_await(h, id, "succeeded", 20000);
  assert_true(harness_log_has(worker, "dispatches were lost"));
}

static void what_another_read_and_never_claimed_is_taken_over(void **state) {
  struct harness *h = *state;
  char id[40];
  harness_stop(worker);
  jobs_add(h, "default", "{}", 1, true, id);
  jobs_redis(h, "XREADGROUP GROUP workers ghost COUNT 1 STREAMS {autodb}:q:default >");
  harness_restart(h, worker);
  jobs_await(h, id, "succeeded", 30000); /* a worker that starts looks for leftovers */
  assert_true(POLL_UNTIL(jobs_redis(h, "XLEN {autodb}:q:default") == 0, 30000));
  assert_true(harness_log_has(worker, "took over stream entries"));
  assert_string_equal(jobs_value(h, id, "j.attempt"), "1");
}

static void expired_leases_are_put_right(void **state) {
  struct harness *h = *state;
  char back[40], dead[40], cancelled[40];
  jobs_add(h, "default", "{}", 1, false, back);
  jobs_add(h, "default", "{}", 1, false, dead);
  jobs_add(h, "default", "{}", 1, false, cancelled);
  char sql[900];
  snprintf(sql, sizeof sql,
           "UPDATE autodb.queue SET state = 'running', attempt = 7, lease_owner = 'gone', lease_until = now() - interval '1 s', crashes = "
           "(id = '%s')::int * 4,"
           " cancel_requested = id = '%s', callback_url = 'https://x'",
           dead, cancelled);
  harness_sql(h->database_url, sql);
  jobs_await(h, dead, "dead", 15000);
  jobs_await(h, cancelled, "cancelled", 15000);
  jobs_await(h, back, "succeeded", 15000);
  assert_string_equal(jobs_value(h, back, "j.attempt || '/' || j.crashes || '/' || j.failures"), "8/1/0");
  assert_string_equal(jobs_value(h, dead, "r.error ->> 'code' || ' ' || j.crashes"), "WORKER_LOST 5");
  assert_string_equal(jobs_value(h, cancelled, "r.error ->> 'code'"), "JOB_CANCELLED");
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.deliveries"), 3);
  jobs_check(h);
}

static void a_job_its_owner_retries_publishes_anew(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"fail\":\"error\"}", 1, true, id);
  jobs_await(h, id, "failed", 10000);
  harness_sql(
      h->database_url,
      "WITH gone AS (DELETE FROM autodb.results RETURNING *) INSERT INTO autodb.queue (id, owner_id, kind, lane, max_attempts, "
      "attempt) SELECT j.id, j.owner_id, j.kind, j.lane, j.max_attempts, g.attempt FROM gone g JOIN autodb.jobs j ON j.id = g.job_id; "
      "UPDATE autodb.jobs SET payload = '{\"payload\":2}'");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id);
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "r.attempt || r.body::text || coalesce(r.error::text, '')"), "2{\"payload\":2}");
  jobs_check(h);
}

static void progress_is_shown_while_a_job_runs(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":3000}", 1, true, id);
  const char *shown = "j.state = 'running' AND (j.progress ->> 'percent')::int > 20 AND j.progress ->> 'step' = 'sleep'";
  assert_true(POLL_UNTIL(strcmp(jobs_value(h, id, shown), "t") == 0, 5000));
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "coalesce(j.progress::text, 'none')"), "none"); /* what succeeded is not at 60 % */
}

static void a_large_payload_comes_back_whole(void **state) {
  struct harness *h = *state;
  char id[40], *payload = NULL;
  char *big = calloc(1, 3000001);
  memset(big, 'x', 3000000);
  assert_true(asprintf(&payload, "{\"payload\":\"%s\"}", big) > 0);
  jobs_add(h, "default", payload, 1, true, id);
  jobs_await(h, id, "succeeded", 20000);
  assert_string_equal(jobs_value(h, id, "length(r.body ->> 'payload')"), "3000000");
  free(payload);
  free(big);
}

static void old_idempotency_keys_go(void **state) {
  struct harness *h = *state;
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.idempotency_keys") == 1, 10000));
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.idempotency_keys WHERE key = 'new'"), 1);
}

static void a_long_lease_is_renewed(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":8000}", 1, true, id);
  jobs_await(h, id, "succeeded", 20000); /* lease: 6 s */
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.crashes"), "1/0");
}

/* Two slots, nothing claimed ahead of 30 ms jobs: the order of starts shows the weights. */
static void lanes_share_by_weight_and_none_starves(void **state) {
  struct harness *h = *state;
  harness_stop(worker);
  jobs_add(h, "bulk", "{\"sleep_ms\":30}", 120, true, NULL);
  jobs_add(h, "default", "{\"sleep_ms\":30}", 120, true, NULL);
  jobs_add(h, "interactive", "{\"sleep_ms\":30}", 120, true, NULL);
  harness_restart(h, worker);
  jobs_await_all(h, 60000);
  jobs_check(h);
  char sql[200];
  long long got[3];
  const char *const lanes[] = {"interactive", "default", "bulk"};
  for (int i = 0; i < 3; i++) {
    snprintf(sql, sizeof sql, "SELECT count(*) FROM (SELECT lane FROM autodb.job_states ORDER BY started_at LIMIT 120) j WHERE lane = '%s'",
             lanes[i]);
    got[i] = harness_count(h->database_url, sql);
  }
  assert_in_range(got[0], 70, 90); /* 80 */
  assert_in_range(got[1], 23, 37); /* 30 */
  assert_in_range(got[2], 6, 16);  /* 10 */
}

static void brief_jobs_behind_a_long_one_are_given_back(void **state) {
  struct harness *h = *state;
  jobs_add(h, "interactive", "{}", 300, true, NULL); /* teaches that jobs are brief */
  jobs_await_all(h, 20000);
  jobs_add(h, "interactive", "{\"sleep_ms\":1500}", 2, true, NULL);
  jobs_add(h, "interactive", "{}", 40, true, NULL);
  jobs_await_all(h, 20000);
  jobs_check(h);
  assert_int_equal(jobs_count(h, "failures > 0 OR crashes > 0"), 0);
}

static void sigterm_releases_what_runs_unharmed(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":60000,\"payload\":1}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  harness_signal(worker, SIGTERM);
  harness_signal(worker, SIGINT); /* a second signal: no grace */
  assert_int_equal(harness_exit_status(worker, 10000), 0);
  assert_string_equal(jobs_value(h, id, "j.state || '/' || j.attempt || '/' || j.failures || '/' || j.crashes"), "queued/1/0/0");
  assert_int_equal(jobs_redis(h, "XLEN {autodb}:q:default"), 1);
  assert_int_equal(jobs_redis(h, "ZCARD {autodb}:workers"), 0);
  harness_sql(h->database_url, "UPDATE autodb.jobs SET payload = '{}'");
  harness_restart(h, worker);
  jobs_await(h, id, "succeeded", 10000);
  assert_string_equal(jobs_value(h, id, "j.attempt"), "2");
}

static void sigterm_lets_running_jobs_end(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":1000}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  harness_signal(worker, SIGTERM);
  assert_int_equal(harness_exit_status(worker, 10000), 0);
  assert_string_equal(jobs_state(h, id), "succeeded");
  harness_restart(h, worker);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, clean)
  const struct CMUnitTest tests[] = {
      TEST(an_echo_succeeds),
      TEST(streams_are_left_empty),
      TEST(the_end_is_announced_after_the_commit),
      TEST(a_lasting_failure_is_failed_at_once),
      TEST(crashes_use_up_the_budget),
      TEST(a_poisoned_entry_does_no_harm),
      TEST(an_unknown_kind_is_retried_elsewhere),
      TEST(deliveries_are_owed_to_callback_and_webhooks),
      TEST(a_running_job_is_cancelled),
      TEST(a_cancel_without_message_is_found_by_the_heartbeat),
      TEST(a_queued_job_is_cancelled_without_beginning),
      TEST(a_delayed_job_runs_when_due),
      TEST(a_lost_dispatch_is_found),
      TEST(what_another_read_and_never_claimed_is_taken_over),
      TEST(expired_leases_are_put_right),
      TEST(a_job_its_owner_retries_publishes_anew),
      TEST(progress_is_shown_while_a_job_runs),
      TEST(a_large_payload_comes_back_whole),
      TEST(old_idempotency_keys_go),
      TEST(a_long_lease_is_renewed),
      TEST(lanes_share_by_weight_and_none_starves),
      TEST(brief_jobs_behind_a_long_one_are_given_back),
      TEST(sigterm_releases_what_runs_unharmed),
      TEST(sigterm_lets_running_jobs_end),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
