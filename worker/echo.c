/* echo.c - system.echo: gives its payload back. What health checks and load tests run, and, when faults are enabled, how tests
 * see what a failing, crashing or hanging job does to its slot. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/json.h"
#include "worker/kinds.h"

#define STEP_MS 100

static void sleep_ms(long long ms) {
  struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0) continue;
}

/* Longer sleeps report how far they are, as real work would. */
static void sleep_visibly(const struct job *job, long long ms) {
  for (long long slept = 0; slept < ms; slept += STEP_MS) {
    if (ms > STEP_MS) job_progress(job, (int)(slept * 100 / ms), "sleep", NULL);
    sleep_ms(ms - slept < STEP_MS ? ms - slept : STEP_MS);
  }
}

static void crash(void) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn the signal into an exit */
  raise(SIGSEGV);
}

static void hang(void) {
  signal(SIGTERM, SIG_IGN);
  for (;;) pause();
}

enum status echo_run(struct job *job, json_t **ret_result, struct error *err) {
  long long ms = json_int(job->payload, "sleep_ms", 0);
  const char *fail = json_str(job->payload, "fail", NULL);
  sleep_visibly(job, ms);
  if (fail && !job->cfg->enable_faults) return error_set(err, ERR_FORBIDDEN, "\"fail\" needs AUTODB_ENABLE_FAULTS=1 on the worker");
  if (fail && strcmp(fail, "crash") == 0) crash();
  if (fail && strcmp(fail, "hang") == 0) hang();
  if (fail) return error_set_code(err, ERR_VALIDATION, "ECHO_FAILED", "the echo was asked to fail");
  json_t *payload = json_object_get(job->payload, "payload");
  json_t *result = json_pack("{s:O?}", "payload", payload);
  if (!result) return error_oom(err);
  if (!payload) json_object_set_new(result, "payload", json_null());
  *ret_result = result;
  return OK;
}
