/* What must never lose a job or publish it twice: dead slots, dead, frozen and resurrected workers, Redis and Postgres coming and going. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/jobs.h"

#define LOAD 3000

static struct harness_proc *valkey, *first, *second;
static struct harness_pg *pg;
static const char *const first_env[] = {"AUTODB_ENABLE_FAULTS=1", "AUTODB_LEASE_SECONDS=3", "AUTODB_HEARTBEAT_SECONDS=1",
                                        "AUTODB_WORKER_NAME=first", NULL};
static const char *const second_env[] = {"AUTODB_ENABLE_FAULTS=1", "AUTODB_LEASE_SECONDS=3", "AUTODB_HEARTBEAT_SECONDS=1",
                                         "AUTODB_WORKER_NAME=second", NULL};

static int setup(void **state) {
  struct harness *h = harness_new();
  pg = harness_postgres(h, 17);
  valkey = harness_valkey(h);
  harness_schema_up(h);
  first = harness_worker(h, first_env);
  second = harness_worker(h, second_env);
  *state = h;
  return 0;
}

static int clean(void **state) {
  struct harness *h = *state;
  if (!harness_alive(first)) harness_restart(h, first);
  if (!harness_alive(second)) harness_restart(h, second);
  harness_sql(h->database_url, "TRUNCATE autodb.jobs, autodb.queue, autodb.results, autodb.deliveries");
  return 0;
}

/* A child of `parent` whose command line has `word`; 0 when there is none. */
static pid_t child_of(pid_t parent, const char *word) {
  char path[64], line[512], *at;
  DIR *proc = opendir("/proc");
  pid_t found = 0;
  for (struct dirent *entry; proc && !found && (entry = readdir(proc));) {
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), ppid = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    if (file && fgets(line, sizeof line, file) && (at = strrchr(line, ')'))) ppid = (pid_t)strtol(at + 4, NULL, 10);
    if (file) fclose(file);
    if (ppid != parent) continue;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    file = fopen(path, "r");
    size_t len = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file) fclose(file);
    for (size_t i = 0; i < len; i++)
      if (!line[i]) line[i] = ' ';
    line[len] = '\0';
    if (strstr(line, word)) found = pid;
  }
  if (proc) closedir(proc);
  return found;
}

/* Gone, or dead and only waiting to be reaped. */
static bool is_dead(pid_t pid) {
  char path[64], line[512] = "", *at;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file) return true;
  bool dead = fgets(line, sizeof line, file) && (at = strrchr(line, ')')) && at[2] == 'Z';
  fclose(file);
  return dead;
}

static struct harness_proc *owner_of(struct harness *h, const char *id) {
  return strcmp(jobs_value(h, id, "j.lease_owner"), "first") == 0 ? first : second;
}

/* Immediate shutdown: no checkpoint, connections cut, recovery at the next start; but no backend is left behind to hold shared memory. */
static void crash_postgres(void) {
  harness_signal(pg->proc, SIGQUIT);
  harness_exit_status(pg->proc, 20000);
}

static void a_job_of_a_killed_slot_is_retried(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":4000}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  /* A slot that dies before it has begun costs the job nothing, and for a moment there is none. */
  for (int64_t until = harness_now_ms() + 20000; strcmp(jobs_value(h, id, "j.crashes"), "0") == 0 && harness_now_ms() < until;
       usleep(20000)) {
    pid_t slot = child_of(owner_of(h, id)->pid, "--slot");
    if (slot) kill(slot, SIGKILL);
  }
  jobs_await(h, id, "succeeded", 20000);
  assert_string_equal(jobs_value(h, id, "(j.attempt >= 2) || '/' || (j.crashes >= 1)"), "true/true");
  jobs_check(h);
}

static void a_killed_workers_job_is_finished_by_another(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":1500}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  harness_kill(owner_of(h, id));
  jobs_await(h, id, "succeeded", 20000);
  assert_string_equal(jobs_value(h, id, "j.attempt || '/' || j.failures || '/' || j.crashes"), "2/0/1");
  jobs_check(h);
}

static void a_frozen_worker_comes_back_to_nothing(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":1500,\"payload\":1}", 1, false, id);
  harness_sql(h->database_url, "UPDATE autodb.queue SET callback_url = 'https://x'");
  jobs_redis(h, "XADD {autodb}:q:default * id %s", id);
  jobs_await(h, id, "running", 10000);
  struct harness_proc *owner = owner_of(h, id);
  harness_signal(owner, SIGSTOP);
  jobs_await(h, id, "succeeded", 20000); /* by the other one, while the frozen one's slot has long answered */
  char other[40];
  snprintf(other, sizeof other, "%s", jobs_value(h, id, "r.created_at"));
  harness_signal(owner, SIGCONT);
  assert_true(POLL_UNTIL(harness_log_has(owner, "fenced") || harness_log_has(owner, "lease of a job is lost"), 10000));
  assert_string_equal(jobs_value(h, id, "r.created_at"), other);
  assert_string_equal(jobs_value(h, id, "r.attempt"), "2");
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.deliveries"), 1);
  jobs_check(h);
}

static void flushall_under_load_loses_nothing(void **state) {
  struct harness *h = *state;
  for (int i = 0; i < 5; i++) {
    jobs_add(h, i % 2 ? "default" : "bulk", "{\"sleep_ms\":1}", LOAD / 5, true, NULL);
    jobs_redis(h, "FLUSHALL");
  }
  jobs_await_all(h, 60000);
  jobs_check(h);
  char id[40]; /* the groups are there again */
  jobs_add(h, "interactive", "{}", 1, true, id);
  jobs_await(h, id, "succeeded", 5000);
}

static void a_destroyed_group_is_made_anew(void **state) {
  struct harness *h = *state;
  jobs_add(h, "default", "{\"sleep_ms\":1}", LOAD, true, NULL);
  jobs_redis(h, "XGROUP DESTROY {autodb}:q:default workers");
  jobs_redis(h, "DEL {autodb}:q:interactive");
  char id[40];
  jobs_add(h, "interactive", "{}", 1, true, id);
  jobs_await(h, id, "succeeded", 20000);
  jobs_await_all(h, 60000);
  jobs_check(h);
}

static void without_redis_postgres_is_polled(void **state) {
  struct harness *h = *state;
  jobs_add(h, "default", "{\"sleep_ms\":1}", LOAD, true, NULL);
  harness_kill(valkey);
  char id[40];
  jobs_add(h, "interactive", "{}", 1, false, id);
  jobs_add(h, "bulk", "{}", 50, false, NULL);
  jobs_await(h, id, "succeeded", 10000);
  jobs_await_all(h, 60000);
  jobs_check(h);
  harness_restart(h, valkey);
  assert_true(POLL_UNTIL(jobs_redis(h, "ZCARD {autodb}:workers") == 2, 10000));
  jobs_add(h, "interactive", "{}", 1, true, id);
  jobs_await(h, id, "succeeded", 5000);
}

static void without_room_in_redis_postgres_is_polled(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_redis(h, "CONFIG SET maxmemory 1");
  jobs_add(h, "interactive", "{}", 1, true, id); /* the ring is refused, and so are the sweeper's */
  jobs_await(h, id, "succeeded", 15000);
  jobs_redis(h, "CONFIG SET maxmemory 0");
  assert_true(harness_log_has(first, "Redis takes no writes") || harness_log_has(second, "Redis takes no writes"));
  assert_true(POLL_UNTIL(harness_log_has(first, "Redis takes writes again") || harness_log_has(second, "Redis takes writes again"), 15000));
  jobs_add(h, "interactive", "{}", 1, true, id);
  jobs_await(h, id, "succeeded", 5000);
  jobs_check(h);
}

static void postgres_restarting_under_load_loses_nothing(void **state) {
  struct harness *h = *state;
  jobs_add(h, "default", "{\"sleep_ms\":2}", LOAD, true, NULL);
  for (int i = 0; i < 3; i++) {
    long long before = jobs_count(h, "state = 'succeeded'");
    assert_true(POLL_UNTIL(jobs_count(h, "state = 'succeeded'") > before || jobs_count(h, "state = 'queued'") == 0, 20000));
    crash_postgres();
    harness_restart(h, pg->proc);
  }
  jobs_await_all(h, 90000);
  jobs_check(h);
  assert_int_equal(jobs_count(h, "failures > 0"), 0);
  assert_true(harness_alive(first) && harness_alive(second));
}

static void terminated_backends_lose_nothing(void **state) {
  struct harness *h = *state;
  jobs_add(h, "default", "{\"sleep_ms\":2}", LOAD, true, NULL);
  for (int i = 0; i < 20; i++) {
    harness_sql(h->database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'autodb %'");
    usleep(20000);
  }
  jobs_await_all(h, 60000);
  jobs_check(h);
  assert_int_equal(jobs_count(h, "failures > 0"), 0);
}

static void a_result_that_waits_for_postgres_is_published(void **state) {
  struct harness *h = *state;
  char id[40];
  jobs_add(h, "default", "{\"sleep_ms\":700}", 1, true, id);
  jobs_await(h, id, "running", 10000);
  crash_postgres();
  usleep(900000); /* the job ends meanwhile; its lease holds */
  harness_restart(h, pg->proc);
  jobs_await(h, id, "succeeded", 20000);
  assert_string_equal(jobs_value(h, id, "j.attempt"), "1");
  jobs_check(h);
}

static void both_servers_gone_and_back(void **state) {
  struct harness *h = *state;
  jobs_add(h, "bulk", "{\"sleep_ms\":2}", LOAD / 3, true, NULL);
  harness_kill(valkey);
  crash_postgres();
  harness_restart(h, pg->proc);
  harness_restart(h, valkey);
  jobs_await_all(h, 60000);
  jobs_check(h);
}

static void no_child_outlives_a_killed_worker(void **state) {
  (void)state;
  pid_t slot = child_of(first->pid, "--slot"), keeper = child_of(first->pid, "--sandbox-keeper");
  assert_int_not_equal(slot, 0);
  assert_int_not_equal(keeper, 0);
  harness_kill(first);
  assert_true(POLL_UNTIL(is_dead(slot) && is_dead(keeper), 5000));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, clean)
  const struct CMUnitTest tests[] = {
      TEST(a_job_of_a_killed_slot_is_retried),
      TEST(a_killed_workers_job_is_finished_by_another),
      TEST(a_frozen_worker_comes_back_to_nothing),
      TEST(flushall_under_load_loses_nothing),
      TEST(a_destroyed_group_is_made_anew),
      TEST(without_redis_postgres_is_polled),
      TEST(without_room_in_redis_postgres_is_polled),
      TEST(postgres_restarting_under_load_loses_nothing),
      TEST(terminated_backends_lose_nothing),
      TEST(a_result_that_waits_for_postgres_is_published),
      TEST(both_servers_gone_and_back),
      TEST(no_child_outlives_a_killed_worker),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
