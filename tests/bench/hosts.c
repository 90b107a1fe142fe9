/* hosts.c - what a second host is worth: the same sleep-bound jobs by one supervisor and by two, each in a network namespace of its own
 * that holds nothing, not even a loopback. Postgres and Redis are reached by unix sockets, which namespaces of networks don't divide. Where
 * no namespace can be made, supervisors run beside each other, and the line says so. Bar: 1.8 times the throughput. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jobs.h"

#define JOBS 480
#define SLEEP_MS 100
#define SLOTS "8"
#define BAR 1.8

static struct harness_proc *valkey_on_a_socket(struct harness *h) {
  struct harness_proc *valkey = harness_valkey(h);
  harness_kill(valkey);
  for (char **word = valkey->argv; *word; word++)
    if (strcmp(*word, "--appendonly") == 0) { /* "no" is what it does anyway */
      free(word[0]);
      free(word[1]);
      if (asprintf(&word[0], "--unixsocket") < 0 || asprintf(&word[1], "%s/redis.sock", h->dir) < 0) fail_msg("out of memory");
    }
  harness_restart(h, valkey);
  return valkey;
}

static bool can_divide(struct harness *h) {
  return harness_run(h, "/usr/bin/unshare", (const char *[]){"unshare", "-Unc", "true", NULL}, NULL, NULL) == 0;
}

static void supervisor(struct harness *h, const char *name, bool divided) {
  char database[HARNESS_URL], redis[HARNESS_URL], worker[64];
  snprintf(database, sizeof database, "AUTODB_DATABASE_URL=host=%s port=%d user=postgres dbname=autodb", h->pg[0].socket_dir,
           h->pg[0].port);
  snprintf(redis, sizeof redis, "AUTODB_REDIS_URL=unix://:" HARNESS_PASSWORD "@%s/redis.sock", h->dir);
  snprintf(worker, sizeof worker, "AUTODB_WORKER_NAME=%s", name);
  char **env = harness_env(h, (const char *[]){database, redis, worker, "AUTODB_SLOTS=" SLOTS, NULL});
  const char *program = AUTODB_BINARY_DIR "/autodb-worker";
  long long before = jobs_redis(h, "ZCARD {autodb}:workers");
  harness_spawn(h, name, divided ? "/usr/bin/unshare" : program,
                divided ? (const char *[]){"unshare", "-Unc", program, NULL} : (const char *[]){"autodb-worker", NULL},
                (const char *const *)env);
  harness_env_free(env);
  if (!POLL_UNTIL(jobs_redis(h, "ZCARD {autodb}:workers") > before, 20000)) fail_msg("%s did not start", name);
}

static double jobs_per_second(struct harness *h) {
  jobs_add(h, "default", "{}", 16, true, NULL); /* slots that have run a job */
  jobs_await_all(h, 20000);
  int64_t began = harness_now_ms();
  char payload[32];
  snprintf(payload, sizeof payload, "{\"sleep_ms\":%d}", SLEEP_MS);
  jobs_add(h, "default", payload, JOBS, true, NULL);
  jobs_await_all(h, 120000);
  return JOBS * 1000.0 / (double)(harness_now_ms() - began);
}

static void a_second_host(void **state) {
  struct harness *h = *state;
  bool divided = can_divide(h);
  supervisor(h, "first", divided);
  double one = jobs_per_second(h);
  supervisor(h, "second", divided);
  double two = jobs_per_second(h);
  printf("  %-58s %12.1f /s\n", "jobs that sleep 100 ms, one supervisor of " SLOTS " slots", one);
  printf("  %-58s %12.1f /s   %s\n", "two of them", two,
         divided ? "each in a network namespace of its own" : "one network: no namespaces here");
  printf("  %-58s %12.2f x   >= %.1f x        %s\n", "two hosts, of one", two / one, BAR, two / one >= BAR ? "met" : "missed");
}

static int setup(void **state) {
  struct harness *h = harness_new();
  *state = h;
  harness_postgres(h, 17);
  valkey_on_a_socket(h);
  harness_schema_up(h);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_second_host)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
