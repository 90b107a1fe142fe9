/* API, worker, Postgres and Redis together: what only the whole can show. */
#include <unistd.h>

#include "tests/support/raw.h"

static int setup(void **state) {
  struct harness *h = harness_new();
  harness_stack(h, (const char *[]){"AUTODB_ENABLE_FAULTS=1", NULL}, (const char *[]){"AUTODB_ENABLE_FAULTS=1", NULL});
  *state = h;
  return 0;
}

/* A wait that only polled would take a second each. */
static void a_waiting_request_is_woken(void **state) {
  struct harness *h = *state;
  enum { JOBS = 20 };
  int64_t fastest = INT64_MAX;
  for (int i = 0; i < JOBS; i++) {
    REPLY_AUTO reply;
    char applied[32];
    int64_t began = harness_now_ms();
    harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Prefer: wait=20", NULL}, "{\"payload\": {\"n\": [1, 2]}}", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(harness_header(&reply, "Preference-Applied", applied, sizeof applied), "wait=20");
    assert_string_equal(harness_text(reply.json, "data.status"), "succeeded");
    assert_int_equal(harness_int(reply.json, "data.result.payload.n.1"), 2);
    assert_true(json_is_null(harness_at(reply.json, "data.error")));
    if (harness_now_ms() - began < fastest) fastest = harness_now_ms() - began;
  }
  assert_true(fastest < 500);
}

static void a_failed_job_says_why(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Prefer: wait=20", NULL}, "{\"payload\": 1, \"fail\": \"error\"}", &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(harness_text(reply.json, "data.status"), "failed");
  assert_true(strlen(harness_text(reply.json, "data.error.code")) > 0);
  assert_true(json_is_null(harness_at(reply.json, "data.result")));
}

static void a_running_job_is_cancelled_within_two_seconds(void **state) {
  struct harness *h = *state;
  REPLY_AUTO made;
  REPLY_AUTO cancelled;
  char path[128], look[128];
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\": 1, \"sleep_ms\": 60000}", &made);
  snprintf(look, sizeof look, "/api/v1/jobs/%s", harness_text(made.json, "data.job_id"));
  assert_true(POLL_UNTIL(({
                           REPLY_AUTO reply;
                           harness_http(h, "GET", look, NULL, NULL, &reply);
                           strcmp(harness_text(reply.json, "data.status"), "running") == 0;
                         }),
                         10000));
  snprintf(path, sizeof path, "%s/cancel", look);
  harness_http(h, "POST", path, (const char *[]){"Prefer: wait=10", NULL}, NULL, &cancelled);
  assert_int_equal(cancelled.status, 200);
  assert_string_equal(harness_text(cancelled.json, "data.status"), "cancelled");
  assert_true(cancelled.ms < 3000);
}

static void many_wait_at_once(void **state) {
  struct harness *h = *state;
  enum { CLIENTS = 200 };
  int fds[CLIENTS];
  char text[512];
  int len = snprintf(text, sizeof text,
                     "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nPrefer: wait=30\r\n"
                     "Content-Length: 13\r\n\r\n{\"payload\":1}",
                     h->api_key);
  for (int i = 0; i < CLIENTS; i++) fds[i] = harness_socket(h);
  for (int i = 0; i < CLIENTS; i++) assert_true(raw_send(fds[i], text, (size_t)len));
  for (int i = 0; i < CLIENTS; i++) {
    RAW_AUTO answer;
    raw_read(fds[i], false, &answer);
    assert_int_equal(answer.status, 200);
    close(fds[i]);
  }
}

static void a_ready_stack_says_so(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  harness_http(h, "GET", "/readyz", NULL, NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_int_equal(harness_int(reply.json, "data.workers"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_waiting_request_is_woken), cmocka_unit_test(a_failed_job_says_why),
                                     cmocka_unit_test(a_running_job_is_cancelled_within_two_seconds), cmocka_unit_test(many_wait_at_once),
                                     cmocka_unit_test(a_ready_stack_says_so)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
