/* The queue's small decisions: how far ahead to claim, echo, and ends made by the supervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/kinds.h"
#include "worker/queue.h"
#include "worker/task.h"

static void long_jobs_are_not_claimed_ahead(void **state) {
  (void)state;
  assert_int_equal(queue_ahead(21, 8), 0);
  assert_int_equal(queue_ahead(60000, 64), 0);
  assert_int_equal(queue_ahead(0.05, 0), 0);
}

static void brief_jobs_make_twenty_milliseconds_of_work(void **state) {
  (void)state;
  assert_int_equal(queue_ahead(20, 2), 2);
  assert_int_equal(queue_ahead(4, 2), 10);
  assert_int_equal(queue_ahead(0.05, 2), 128);
  assert_int_equal(queue_ahead(0, 1), 128);
}

static json_t *run_echo(const char *payload, bool faults, enum status *ret_status, struct error *err) {
  struct config cfg = {.enable_faults = faults};
  json_t *parsed = json_loads(payload, 0, NULL), *result = NULL;
  struct job job = {.id = "x", .kind = "system.echo", .payload = parsed, .cfg = &cfg};
  *ret_status = echo_run(&job, &result, err);
  json_decref(parsed);
  return result;
}

static void echo_gives_back_its_payload(void **state) {
  (void)state;
  const char *const payloads[][2] = {{"{\"payload\":{\"a\":[1,null]}}", "{\"payload\":{\"a\":[1,null]}}"},
                                     {"{\"payload\":null}", "{\"payload\":null}"},
                                     {"{}", "{\"payload\":null}"}};
  for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
    ERROR_AUTO err = {0};
    enum status status;
    json_t *result = run_echo(payloads[i][0], false, &status, &err);
    assert_int_equal(status, OK);
    char *text = json_dumps(result, JSON_COMPACT);
    assert_string_equal(text, payloads[i][1]);
    free(text);
    json_decref(result);
  }
}

static void echo_fails_only_where_faults_are_enabled(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  enum status status;
  assert_null(run_echo("{\"fail\":\"crash\"}", false, &status, &err));
  assert_int_equal(status, ERR_FORBIDDEN);
  assert_null(run_echo("{\"fail\":\"error\"}", true, &status, &err));
  assert_string_equal(err.code, "ECHO_FAILED");
  assert_int_not_equal(status, ERR_UNAVAILABLE);
}

static void unknown_kinds_have_no_handler(void **state) {
  (void)state;
  assert_null(kind_handler("system.nothing"));
  assert_ptr_equal(kind_handler("system.echo"), echo_run);
}

static void an_end_made_here_is_json(void **state) {
  (void)state;
  struct task *task = task_new();
  task_end(task, OUTCOME_SUCCEEDED, "{}", 2);
  task_end_error(task, OUTCOME_CRASH, "WORKER_CRASHED", "signal %d \"quoted\" \x01", 11);
  json_t *json = json_loads(buf_str(&task->answer), 0, NULL);
  assert_non_null(json);
  assert_string_equal(json_string_value(json_object_get(json, "code")), "WORKER_CRASHED");
  assert_string_equal(json_string_value(json_object_get(json, "message")), "signal 11 \"quoted\" \x01");
  json_decref(json);
  task_free(task);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(long_jobs_are_not_claimed_ahead), cmocka_unit_test(brief_jobs_make_twenty_milliseconds_of_work),
      cmocka_unit_test(echo_gives_back_its_payload),     cmocka_unit_test(echo_fails_only_where_faults_are_enabled),
      cmocka_unit_test(unknown_kinds_have_no_handler),   cmocka_unit_test(an_end_made_here_is_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
