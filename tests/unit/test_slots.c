/* Slots as the supervisor sees them, with this very program as the slot: answers in order, crashes, deadlines, cancellation, recall,
 * nonsense. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/slot.h"
#include "worker/slots.h"
#include "worker/wire.h"

#define TASKS 64

static const struct config cfg = {.enable_faults = true, .slots = 1};

struct rig {
  struct event_base *base;
  struct slots *slots;
  struct event *chld, *tick;
  struct task *ended[TASKS], *returned[TASKS];
  int ended_count, returned_count;
  int64_t ran_us;
  pid_t last_dead;
};

static void on_ended(void *arg, struct task *task, int64_t ran_us) {
  struct rig *rig = arg;
  rig->ended[rig->ended_count++] = task;
  rig->ran_us = ran_us;
}

static void on_returned(void *arg, struct task *task) {
  struct rig *rig = arg;
  rig->returned[rig->returned_count++] = task;
}

static void on_idle(void *arg) { (void)arg; }

static void on_chld(evutil_socket_t fd, short what, void *arg) {
  struct rig *rig = arg;
  (void)fd, (void)what;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    rig->last_dead = pid;
    assert_true(slots_reap(rig->slots, pid, status));
  }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
  struct rig *rig = arg;
  (void)fd, (void)what;
  slots_tick(rig->slots, clock_mono_ms());
}

static int setup(void **state) {
  ERROR_AUTO err = {0};
  struct rig *rig = calloc(1, sizeof *rig);
  rig->base = event_base_new();
  rig->chld = evsignal_new(rig->base, SIGCHLD, on_chld, rig);
  rig->tick = event_new(rig->base, -1, EV_PERSIST, on_tick, rig);
  event_add(rig->chld, NULL);
  event_add(rig->tick, &(struct timeval){.tv_usec = 10000});
  const struct slots_hooks hooks = {.ended = on_ended, .returned = on_returned, .idle = on_idle, .arg = rig};
  assert_int_equal(slots_new(rig->base, &cfg, 1, NULL, &hooks, &rig->slots, &err), OK);
  *state = rig;
  return 0;
}

static int teardown(void **state) {
  struct rig *rig = *state;
  for (int i = 0; i < rig->ended_count; i++) task_free(rig->ended[i]);
  for (int i = 0; i < rig->returned_count; i++) task_free(rig->returned[i]);
  event_free(rig->chld);
  event_free(rig->tick);
  slots_free(rig->slots);
  event_base_free(rig->base);
  free(rig);
  return waitpid(-1, NULL, WNOHANG) == -1 ? 0 : -1;
}

static struct task *make(const char *payload, int timeout_ms, bool brief) {
  struct task *task = task_new();
  task->kind = (struct job_kind){.name = "system.echo", .timeout_ms = timeout_ms, .brief = brief};
  snprintf(task->kind_name, sizeof task->kind_name, "system.echo");
  task->ready_ms = clock_mono_ms();
  assert_true(
      wire_put_job(&task->frame,
                   &(struct wire_job){.id = "0", .kind = "system.echo", .attempt = 1, .payload = payload, .payload_len = strlen(payload)}));
  return task;
}

static void run_until(struct rig *rig, const int *count, int wanted) {
  int64_t end = clock_mono_ms() + 20000;
  while (*count < wanted && clock_mono_ms() < end) event_base_loop(rig->base, EVLOOP_ONCE);
  assert_int_equal(*count, wanted);
}

/* Starting takes a moment: offered until a slot takes it. */
static struct task *offer(struct rig *rig, const char *payload, int timeout_ms, bool brief) {
  struct task *task = make(payload, timeout_ms, brief);
  int64_t end = clock_mono_ms() + 20000;
  while (!slots_offer(rig->slots, task) && clock_mono_ms() < end) event_base_loop(rig->base, EVLOOP_ONCE);
  return task;
}

/* A job that has begun says nothing: the one thing that can't be polled for. */
static void nap_until_begun(struct rig *rig) {
  int64_t end = clock_mono_ms() + 150;
  while (clock_mono_ms() < end) event_base_loop(rig->base, EVLOOP_ONCE);
}

static void expect_ended(struct rig *rig, enum outcome outcome, const char *words) {
  run_until(rig, &rig->ended_count, 1);
  assert_int_equal(rig->ended[0]->outcome, outcome);
  assert_non_null(strstr(buf_str(&rig->ended[0]->answer), words));
}

static void a_job_is_answered(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"payload\":7}", 10000, true);
  expect_ended(rig, OUTCOME_SUCCEEDED, "{\"payload\":7}");
  assert_true(rig->ran_us >= 0);
}

static void a_lasting_failure_is_no_retry(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"fail\":\"error\"}", 10000, true);
  expect_ended(rig, OUTCOME_FAILED, "ECHO_FAILED");
}

static void a_malformed_payload_is_a_lasting_failure(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"fail\":", 10000, true);
  expect_ended(rig, OUTCOME_FAILED, "MALFORMED_REQUEST");
}

static void many_written_ahead_are_answered_in_order(void **state) {
  struct rig *rig = *state;
  struct task *tasks[10];
  for (int i = 0; i < 10; i++) tasks[i] = offer(rig, "{\"payload\":1}", 10000, true);
  run_until(rig, &rig->ended_count, 10);
  for (int i = 0; i < 10; i++) assert_ptr_equal(rig->ended[i], tasks[i]);
}

static void only_brief_jobs_are_written_ahead(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"sleep_ms\":200}", 10000, false);
  struct task *second = make("{}", 10000, true);
  assert_false(slots_offer(rig->slots, second));
  task_free(second);
  run_until(rig, &rig->ended_count, 1);
}

static void a_crash_costs_only_the_job_that_ran(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"fail\":\"crash\"}", 10000, true);
  struct task *behind = offer(rig, "{\"payload\":2}", 10000, true);
  expect_ended(rig, OUTCOME_CRASH, "WORKER_CRASHED");
  assert_non_null(strstr(buf_str(&rig->ended[0]->answer), "signal 11"));
  run_until(rig, &rig->returned_count, 1);
  assert_ptr_equal(rig->returned[0], behind);
  rig->returned_count = 0;
  while (!slots_offer(rig->slots, behind)) event_base_loop(rig->base, EVLOOP_ONCE);
  run_until(rig, &rig->ended_count, 2);
  assert_int_equal(rig->ended[1]->outcome, OUTCOME_SUCCEEDED);
}

static void an_answer_given_before_death_counts(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"payload\":1}", 10000, true);
  offer(rig, "{\"fail\":\"crash\"}", 10000, true);
  run_until(rig, &rig->ended_count, 2);
  assert_int_equal(rig->ended[0]->outcome, OUTCOME_SUCCEEDED);
  assert_int_equal(rig->ended[1]->outcome, OUTCOME_CRASH);
}

static void a_hang_is_killed_at_the_deadline(void **state) {
  struct rig *rig = *state;
  int64_t began = clock_mono_ms();
  offer(rig, "{\"fail\":\"hang\"}", 300, true);
  expect_ended(rig, OUTCOME_CRASH, "JOB_TIMEOUT");
  assert_in_range(clock_mono_ms() - began, 300, 5000);
}

static void a_running_job_is_cancelled(void **state) {
  struct rig *rig = *state;
  struct task *task = offer(rig, "{\"sleep_ms\":60000}", 70000, true);
  int64_t began = clock_mono_ms();
  slots_cancel(rig->slots, task);
  expect_ended(rig, OUTCOME_CANCELLED, "JOB_CANCELLED");
  assert_in_range(clock_mono_ms() - began, 0, 900); /* SIGTERM was enough */
}

static void a_job_deaf_to_sigterm_is_cancelled_within_two_seconds(void **state) {
  struct rig *rig = *state;
  struct task *task = offer(rig, "{\"fail\":\"hang\"}", 70000, true);
  nap_until_begun(rig);
  int64_t began = clock_mono_ms();
  slots_cancel(rig->slots, task);
  expect_ended(rig, OUTCOME_CANCELLED, "JOB_CANCELLED");
  assert_in_range(clock_mono_ms() - began, 500, 2000);
}

static void a_killed_job_ends_as_told(void **state) {
  struct rig *rig = *state;
  struct task *task = offer(rig, "{\"sleep_ms\":60000}", 70000, true);
  slots_kill(rig->slots, task, OUTCOME_RELEASE);
  run_until(rig, &rig->ended_count, 1);
  assert_int_equal(task->outcome, OUTCOME_RELEASE);
}

/* Its row may still be ours for all Postgres knows: an end written now, "cancelled" say, would be believed. */
static void a_job_lost_before_it_began_ends_as_lost(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"sleep_ms\":200}", 70000, true);
  struct task *second = offer(rig, "{\"sleep_ms\":60000}", 70000, true);
  second->lost = true;
  run_until(rig, &rig->ended_count, 2);
  assert_ptr_equal(rig->ended[1], second);
  assert_int_equal(second->outcome, OUTCOME_LOST);
}

static void what_has_not_begun_is_recalled(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"sleep_ms\":300,\"payload\":\"long\"}", 70000, true);
  struct task *second = offer(rig, "{\"payload\":2}", 70000, true), *third = offer(rig, "{\"payload\":3}", 70000, true);
  nap_until_begun(rig);
  slots_recall(rig->slots, INT64_MAX);
  assert_int_equal(rig->returned_count, 2);
  assert_ptr_equal(rig->returned[0], second);
  assert_ptr_equal(rig->returned[1], third);
  expect_ended(rig, OUTCOME_SUCCEEDED, "long");
  offer(rig, "{\"payload\":4}", 70000, true);
  run_until(rig, &rig->ended_count, 2); /* the dropped ones were answered for: what follows matches again */
  assert_non_null(strstr(buf_str(&rig->ended[1]->answer), "4"));
}

static void a_stopped_slot_is_not_responsive(void **state) {
  struct rig *rig = *state;
  offer(rig, "{\"sleep_ms\":400}", 70000, true);
  assert_int_equal(slots_responsive(rig->slots, clock_mono_ms(), 50), 1);
  assert_int_equal(slots_responsive(rig->slots, clock_mono_ms() + 200, 50), 0);
  run_until(rig, &rig->ended_count, 1);
}

int main(int argc, char *argv[]) {
  if (argc == 3 && strcmp(argv[1], "--slot") == 0) return slot_main(&cfg, argv[2]);
  signal(SIGPIPE, SIG_IGN); /* as the supervisor does */
  log_init("test", LOG_ERROR);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_job_is_answered),
      TEST(a_lasting_failure_is_no_retry),
      TEST(a_malformed_payload_is_a_lasting_failure),
      TEST(many_written_ahead_are_answered_in_order),
      TEST(only_brief_jobs_are_written_ahead),
      TEST(a_crash_costs_only_the_job_that_ran),
      TEST(an_answer_given_before_death_counts),
      TEST(a_hang_is_killed_at_the_deadline),
      TEST(a_running_job_is_cancelled),
      TEST(a_job_deaf_to_sigterm_is_cancelled_within_two_seconds),
      TEST(a_killed_job_ends_as_told),
      TEST(a_job_lost_before_it_began_ends_as_lost),
      TEST(what_has_not_begun_is_recalled),
      TEST(a_stopped_slot_is_not_responsive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
