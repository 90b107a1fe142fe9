/* What one owner may do: rate, cap on what runs, and that his ten thousand jobs hold nobody else up. Two workers, real API. */
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/jobs.h"
#include "tests/support/raw.h"

static char other_key[64];
static struct harness_proc *valkey, *first, *second;
static const char *const first_env[] = {"AUTODB_SLOTS=1", "AUTODB_LEASE_SECONDS=10", "AUTODB_HEARTBEAT_SECONDS=1",
                                        "AUTODB_WORKER_NAME=first", NULL};
static const char *const second_env[] = {"AUTODB_SLOTS=1", "AUTODB_LEASE_SECONDS=10", "AUTODB_HEARTBEAT_SECONDS=1",
                                         "AUTODB_WORKER_NAME=second", NULL};

static int setup(void **state) {
  struct harness *h = harness_new();
  harness_postgres(h, 17);
  valkey = harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", h->api_key);
  harness_key(h, "other", "user", other_key);
  harness_api(h, (const char *[]){"AUTODB_API_LOOPS=2", NULL});
  first = harness_worker(h, first_env);
  second = harness_worker(h, second_env);
  *state = h;
  return 0;
}

static int clean(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "DELETE FROM autodb.queue; DELETE FROM autodb.results; DELETE FROM autodb.jobs; DELETE FROM autodb.turns;"
                               "UPDATE autodb.owners SET rate = NULL, burst = NULL, max_running = NULL");
  return 0;
}

static void set_limits(struct harness *h, const char *const limits[], int expected) {
  char **env = harness_env(h, NULL), *output = NULL;
  const char *argv[12] = {"autodb", "owner", "set", "test"};
  for (int i = 0; limits[i]; i++) argv[4 + i] = limits[i];
  int code = harness_run(h, AUTODB_BINARY_DIR "/autodb", argv, (const char *const *)env, &output);
  if (code != expected) fail_msg("%d: %s", code, output);
  free(output);
  harness_env_free(env);
}

/* `count` echoes by one connection, pipelined; how many were answered with 202. */
static int submit_many(struct harness *h, const char *key, const char *body, int count) {
  char text[512];
  int fd = harness_socket(h), accepted = 0;
  snprintf(text, sizeof text,
           "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
           key, strlen(body), body);
  for (int sent = 0; sent < count; sent += 50) {
    int batch = count - sent < 50 ? count - sent : 50;
    for (int i = 0; i < batch; i++) assert_true(raw_send(fd, text, strlen(text)));
    for (int i = 0; i < batch; i++) {
      RAW_AUTO answer;
      raw_read(fd, false, &answer);
      if (answer.status != 202 && answer.status != 429) fail_msg("%d: %s", answer.status, answer.body);
      accepted += answer.status == 202;
    }
  }
  close(fd);
  return accepted;
}

static void the_cli_sets_and_refuses(void **state) {
  struct harness *h = *state;
  set_limits(h, (const char *[]){"--rate", "7", "--max-running", "3", NULL}, 0);
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.owners WHERE name = 'test' AND rate = 7 AND burst IS NULL"
                                                  " AND max_running = 3"),
                   1);
  set_limits(h, (const char *[]){"--rate", "default", NULL}, 0);
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.owners WHERE rate IS NULL AND max_running = 3"), 1);
  set_limits(h, (const char *[]){"--rate", "-1", NULL}, 2);
  set_limits(h, (const char *[]){"--rate", "many", NULL}, 2);
  set_limits(h, (const char *[]){NULL}, 2);
}

/* Over two loops: the limit is the owner's. */
static void beyond_the_rate_is_refused(void **state) {
  struct harness *h = *state;
  char text[64];
  set_limits(h, (const char *[]){"--rate", "1", "--burst", "5", NULL}, 0);
  harness_sql(h->database_url, "UPDATE autodb.api_keys SET last_used_at = now()");
  assert_true(POLL_UNTIL(({
                           REPLY_AUTO reply;
                           harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\":1}", &reply);
                           reply.status == 429;
                         }),
                         15000)); /* keys are cached for five seconds */
  int accepted = 0;
  int64_t began = harness_now_ms();
  for (int i = 0; i < 8; i++) accepted += submit_many(h, h->api_key, "{\"payload\":1}", 5);
  assert_in_range(accepted, 0, (harness_now_ms() - began) / 1000 + 2); /* what trickles in meanwhile */
  REPLY_AUTO reply = {0};
  assert_true(POLL_UNTIL(({
                           harness_reply_free(&reply);
                           harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\":1}", &reply);
                           reply.status == 429; /* not the token of this second */
                         }),
                         5000));
  assert_string_equal(harness_text(reply.json, "error.code"), "RATE_LIMITED");
  assert_string_equal(harness_header(&reply, "Retry-After", text, sizeof text), "1");
  assert_string_equal(harness_header(&reply, "RateLimit-Limit", text, sizeof text), "5");
  assert_string_equal(harness_header(&reply, "RateLimit-Remaining", text, sizeof text), "0");
  assert_int_equal(submit_many(h, other_key, "{\"payload\":1}", 200), 200); /* another owner's bucket */
  REPLY_AUTO looked;                                                        /* looking is free */
  harness_http(h, "GET", "/api/v1/jobs", NULL, NULL, &looked);
  assert_int_equal(looked.status, 200);
  REPLY_AUTO wrong; /* and so is being wrong */
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\":1,\"nonsense\":2}", &wrong);
  assert_int_equal(wrong.status, 422);
  jobs_await_all(h, 20000);
}

/* The most attempts that were running at one instant, by what the results say. */
static long long most_at_once(struct harness *h) {
  return harness_count(
      h->database_url,
      "SELECT max((SELECT count(*) FROM autodb.results b WHERE b.started_at <= a.started_at AND b.created_at > a.started_at))"
      " FROM autodb.results a");
}

static void cap_holds(struct harness *h, int timeout_ms) {
  long long most = 0, now;
  int64_t end = harness_now_ms() + timeout_ms;
  do {
    now = harness_count(h->database_url, "SELECT count(*) FROM autodb.queue WHERE state = 'running'");
    most = now > most ? now : most;
  } while (jobs_count(h, "state IN ('queued', 'running')") && harness_now_ms() < end);
  assert_in_range(most, 0, 2); /* short jobs may begin and end between two looks; the results tell of each */
  jobs_check(h);
  assert_in_range(most_at_once(h), 1, 2);
}

/* Both loops and both workers have found Redis again: several jobs in a row end at once. */
static bool rings_again(struct harness *h) {
  for (int i = 0; i < 6; i++) {
    REPLY_AUTO reply;
    harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Prefer: wait=1", NULL}, "{\"payload\":1}", &reply);
    if (reply.status != 200) return false;
  }
  return true;
}

static void the_cap_is_never_passed(void **state) {
  struct harness *h = *state;
  struct harness_proc *more[2] = {harness_worker(h, (const char *[]){"AUTODB_SLOTS=4", "AUTODB_WORKER_NAME=third", NULL}),
                                  harness_worker(h, (const char *[]){"AUTODB_SLOTS=4", "AUTODB_WORKER_NAME=fourth", NULL})};
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 2 WHERE name = 'test'");
  assert_int_equal(submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":50}", 50), 50);
  cap_holds(h, 20000);
  assert_int_equal(jobs_count(h, "attempt <> 1"), 0); /* held back is not given back */
  /* The same without a bell. */
  clean(state);
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 2 WHERE name = 'test'");
  harness_kill(valkey);
  assert_int_equal(submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":50}", 30), 30);
  cap_holds(h, 30000);
  harness_restart(h, valkey);
  assert_true(POLL_UNTIL(rings_again(h), 30000));
  for (int i = 0; i < 2; i++) harness_stop(more[i]);
}

static void others_are_not_held_up_by_a_cap(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 1 WHERE name = 'test'");
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":3000}", 20);
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'running'") == 1, 5000));
  submit_many(h, other_key, "{\"payload\":1}", 100);
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'succeeded'") >= 100, 2500));
  assert_true(jobs_count(h, "state = 'queued'") >= 10); /* his, one after the other */
  /* With the cap gone the others start, rung by the sweeper. */
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = NULL");
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'running'") == 2, 5000));
  harness_sql(h->database_url, "DELETE FROM autodb.queue WHERE state = 'queued'");
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.queue") == 0, 10000));
}

static void a_waiting_job_can_be_cancelled(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 1 WHERE name = 'test'");
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":500}", 4);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.turns WHERE attempt IS NULL") == 3, 5000));
  REPLY_AUTO jobs;
  harness_http(h, "GET", "/api/v1/jobs?status=queued", NULL, NULL, &jobs);
  for (int i = 0; i < 2; i++) {
    char at[32], path[96];
    snprintf(at, sizeof at, "data.items.%d.job_id", i);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", harness_text(jobs.json, at));
    REPLY_AUTO reply;
    harness_http(h, "POST", path, NULL, "{}", &reply);
    assert_int_equal(reply.status, 202);
  }
  jobs_await_all(h, 10000);
  assert_int_equal(jobs_count(h, "state = 'succeeded'"), 2);
  assert_int_equal(jobs_count(h, "state = 'cancelled' AND attempt = 0"), 2);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.turns") == 0, 5000)); /* nothing stays behind */
}

static void a_lost_workers_place_is_free_again(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 1 WHERE name = 'test'");
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":400}", 4);
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'running'") == 1, 5000));
  harness_kill(first);
  harness_kill(second);
  assert_int_equal(jobs_count(h, "state = 'running'"), 1);
  harness_restart(h, first);
  harness_restart(h, second);
  jobs_await_all(h, 30000);
  assert_int_equal(jobs_count(h, "state = 'succeeded'"), 4);
  assert_int_equal(jobs_count(h, "attempt = 2 AND crashes = 1"), 1);
  assert_in_range(most_at_once(h), 1, 1);
}

/* The setting caps everybody; an owner's own 0 lifts it. */
static void a_cap_for_everybody(void **state) {
  struct harness *h = *state;
  harness_stop(first);
  harness_stop(second);
  struct harness_proc *capped =
      harness_worker(h, (const char *[]){"AUTODB_SLOTS=4", "AUTODB_OWNER_RUNNING=2", "AUTODB_WORKER_NAME=capped", NULL});
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":50}", 30);
  cap_holds(h, 20000);
  harness_kill(valkey);
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":50}", 10);
  cap_holds(h, 20000);
  harness_restart(h, valkey);
  assert_true(POLL_UNTIL(rings_again(h), 30000));
  clean(state);
  harness_sql(h->database_url, "UPDATE autodb.owners SET max_running = 0 WHERE name = 'test'");
  submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":300}", 12);
  assert_true(POLL_UNTIL(jobs_count(h, "state = 'running'") >= 3, 5000));
  jobs_await_all(h, 10000);
  harness_stop(capped);
  harness_restart(h, first);
  harness_restart(h, second);
}

static void one_job_passes_ten_thousand(void **state) {
  struct harness *h = *state;
  assert_int_equal(submit_many(h, h->api_key, "{\"payload\":1,\"sleep_ms\":20,\"priority\":\"bulk\"}", 10000), 10000);
  for (int i = 0; i < 3; i++) {
    REPLY_AUTO reply;
    const char *headers[] = {NULL, "Prefer: wait=20", NULL};
    char key[96];
    snprintf(key, sizeof key, "X-API-Key: %s", other_key);
    headers[0] = key;
    harness_http(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\":1,\"priority\":\"bulk\"}", &reply);
    assert_int_equal(reply.status, 200);
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT (extract(epoch FROM started_at - created_at) * 1000)::int FROM autodb.job_states WHERE id = '%s'",
             harness_text(reply.json, "data.job_id"));
    assert_in_range(harness_count(h->database_url, sql), 0, 1000);
    assert_in_range(harness_count(h->database_url, "SELECT count(*) FROM autodb.queue WHERE state = 'queued'"), 5000, 10000);
  }
  harness_sql(h->database_url, "DELETE FROM autodb.queue WHERE state = 'queued'");
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.queue") == 0, 10000));
}

#define TEST(name) cmocka_unit_test_setup(name, clean)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_cli_sets_and_refuses),           TEST(the_cap_is_never_passed),
      TEST(others_are_not_held_up_by_a_cap),    TEST(a_waiting_job_can_be_cancelled),
      TEST(a_lost_workers_place_is_free_again), TEST(a_cap_for_everybody),
      TEST(one_job_passes_ten_thousand),        TEST(beyond_the_rate_is_refused),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
