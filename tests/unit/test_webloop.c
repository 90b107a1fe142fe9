/* Many calls at once, under the rules of webcall; and names that change their mind between two lookups, by a resolver of the test's own:
 * libcurl calls the getaddrinfo of this program. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those above first
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/webloop.h"
#include "tests/support/http_double.h"

/* --- the resolver --- */

static const char *answers[8]; /* of "rebind.test", one after the other, the last one again */
static atomic_int lookups;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res) {
  static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!node || strcmp(node, "rebind.test") != 0) return real(node, service, hints, res);
  int turn = atomic_fetch_add(&lookups, 1), last = 0;
  while (last < 7 && answers[last + 1]) last++;
  return real(answers[turn < last ? turn : last], service, hints, res);
}

/* --- calls --- */

struct fetch {
  struct webcall_request request;
  char url[128];
  bool done;
  int status;
  char code[48], message[256];
};

struct rig {
  struct event_base *base;
  struct netpolicy *policy;
  struct webloop *loop;
  struct arena *arena;
};

static struct rig rig_new(const char *allow) {
  ERROR_AUTO err = {0};
  struct rig rig = {.base = event_base_new(), .arena = arena_new(1 << 20)};
  assert_int_equal(netpolicy_new(allow, "", false, &rig.policy, &err), OK);
  assert_int_equal(webloop_new(rig.base, rig.policy, &rig.loop, &err), OK);
  return rig;
}

static void rig_free(struct rig *rig) {
  webloop_free(rig->loop);
  netpolicy_free(rig->policy);
  arena_free(rig->arena);
  event_base_free(rig->base);
}

static void on_answer(void *arg, const struct webcall_answer *answer, const struct error *err) {
  struct fetch *fetch = arg;
  assert_false(fetch->done);
  fetch->done = true;
  fetch->status = answer ? answer->status : 0;
  if (!answer) snprintf(fetch->code, sizeof fetch->code, "%s", err->code);
  if (!answer) snprintf(fetch->message, sizeof fetch->message, "%s", err->message);
}

static enum status start(struct rig *rig, struct fetch *fetch, const char *host, int port, int timeout_ms) {
  ERROR_AUTO err = {0};
  snprintf(fetch->url, sizeof fetch->url, "http://%s:%d/", host, port);
  fetch->request = (struct webcall_request){
      .method = "GET", .url = fetch->url, .timeout_ms = timeout_ms, .max_answer = 1000, .cut = true, .plain_if_listed = true};
  return webloop_start(rig->loop, &fetch->request, rig->arena, on_answer, fetch, &err);
}

static void run(struct rig *rig) {
  while (webloop_running(rig->loop)) event_base_loop(rig->base, EVLOOP_ONCE);
}

static void calls_run_side_by_side(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "x", .stall_ms = 300}};
  struct http_double *server = http_double_new(replies, 1);
  struct rig rig = rig_new("127.0.0.0/8");
  struct fetch fetches[20] = {0};
  for (int i = 0; i < 20; i++) assert_int_equal(start(&rig, &fetches[i], "127.0.0.1", http_double_port(server), 10000), OK);
  for (int i = 0; i < 20; i++) assert_false(fetches[i].done); /* never from inside the start */
  run(&rig);
  for (int i = 0; i < 20; i++) assert_int_equal(fetches[i].status, 200);
  assert_true(http_double_peak(server) > 10);
  rig_free(&rig);
  http_double_free(server);
}

static void slow_ones_end_in_time(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "x", .stall_ms = 20000}};
  struct http_double *server = http_double_new(replies, 1);
  struct rig rig = rig_new("127.0.0.0/8");
  struct fetch slow = {0}, cut_off = {0};
  assert_int_equal(start(&rig, &slow, "127.0.0.1", http_double_port(server), 300), OK);
  run(&rig);
  assert_string_equal(slow.code, "TIMEOUT");
  assert_int_equal(start(&rig, &cut_off, "127.0.0.1", http_double_port(server), 20000), OK);
  event_base_loop(rig.base, EVLOOP_NONBLOCK);
  rig_free(&rig);
  assert_false(cut_off.done);
  http_double_free(server);
}

static void refuses_what_is_no_url(void **state) {
  (void)state;
  struct rig rig = rig_new("");
  struct fetch fetch = {0};
  assert_int_equal(start(&rig, &fetch, "u:p@x", 1, 1000), ERR_VALIDATION);
  assert_int_equal(webloop_running(rig.loop), 0);
  rig_free(&rig);
  assert_false(fetch.done);
}

/* Whatever the name said before, the address of this connection is judged. */
static void a_name_that_turns_inwards_is_refused(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "inside"}};
  static const char *const inner[] = {"127.0.0.1",   "::1",        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0",
                                      "169.254.1.1", "100.64.0.1", "10.0.0.1",         "fd00:ec2::254"};
  struct http_double *server = http_double_new(replies, 1);
  for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
    struct rig rig = rig_new("127.0.0.9/32"); /* listening nowhere: the first answer is allowed, and refused by the kernel */
    struct fetch before = {0}, after = {0};
    answers[0] = "127.0.0.9";
    answers[1] = inner[i];
    answers[2] = NULL;
    atomic_store(&lookups, 0);
    assert_int_equal(start(&rig, &before, "rebind.test", http_double_port(server), 3000), OK);
    run(&rig);
    assert_string_equal(before.code, "UNREACHABLE");
    webloop_free(rig.loop); /* with its memory of names */
    ERROR_AUTO err = {0};
    assert_int_equal(webloop_new(rig.base, rig.policy, &rig.loop, &err), OK);
    assert_int_equal(start(&rig, &after, "rebind.test", http_double_port(server), 3000), OK);
    run(&rig);
    if (strcmp(after.code, "ADDRESS_REFUSED") != 0) fail_msg("%s: %s %s", inner[i], after.code, after.message);
    assert_int_equal(atomic_load(&lookups), 2);
    rig_free(&rig);
  }
  assert_int_equal(http_double_count(server), 0);
  http_double_free(server);
}

/* Without TLS only where the operator said so, public addresses included. */
static void plain_http_needs_a_listed_network(void **state) {
  (void)state;
  struct rig rig = rig_new("127.0.0.0/8");
  struct fetch fetch = {0};
  answers[0] = "93.184.216.34";
  answers[1] = NULL;
  assert_int_equal(start(&rig, &fetch, "rebind.test", 80, 3000), OK);
  run(&rig);
  assert_string_equal(fetch.code, "ADDRESS_REFUSED");
  assert_non_null(strstr(fetch.message, "https only"));
  rig_free(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(calls_run_side_by_side), cmocka_unit_test(slow_ones_end_in_time),
                                     cmocka_unit_test(refuses_what_is_no_url), cmocka_unit_test(a_name_that_turns_inwards_is_refused),
                                     cmocka_unit_test(plain_http_needs_a_listed_network)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
