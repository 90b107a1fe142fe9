/* Webhooks through the whole stack: registered at the API, told by a worker's courier, received by a server of the test's own. Signatures
 * are checked by an HMAC that is not ours. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/http_double.h"

#define BASE "/api/v1/webhooks"
#define ALLOW "AUTODB_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8"
#define EVENTS "[\"job.succeeded\",\"job.failed\",\"job.dead\",\"job.cancelled\"]"

static struct harness *h;
static struct harness_proc *worker;

static int setup(void **state) {
  static const char *const env[] = {ALLOW, "AUTODB_PUBLIC_URL=https://autodb.example", "AUTODB_ENABLE_FAULTS=1", NULL};
  h = harness_new();
  *state = h;
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  char key[64];
  harness_key(h, "test", "admin", key);
  harness_api(h, env);
  worker = harness_worker(h, env);
  return 0;
}

/* Each test begins without webhooks and without anything to deliver. */
static int clean(void **state) {
  (void)state;
  harness_sql(h->database_url, "TRUNCATE autodb.deliveries, autodb.webhooks, autodb.delivery_endpoints, autodb.callback_secrets");
  return 0;
}

/* --- what a test does --- */

struct hook {
  char id[40], secret[80];
};

static struct hook add_hook(const char *url, const char *more) {
  char body[1024];
  struct hook hook = {0};
  REPLY_AUTO reply = {0};
  snprintf(body, sizeof body, "{\"url\":\"%s\",\"events\":" EVENTS "%s}", url, more);
  harness_http(h, "POST", BASE, NULL, body, &reply);
  if (reply.status != 201) fail_msg("%ld %s", reply.status, reply.body);
  snprintf(hook.id, sizeof hook.id, "%s", harness_text(reply.json, "data.id"));
  snprintf(hook.secret, sizeof hook.secret, "%s", harness_text(reply.json, "data.secret"));
  assert_memory_equal(hook.secret, "whsec_", 6);
  return hook;
}

static void call(const char *method, const char *path, const char *body, long status, struct harness_reply *ret_reply) {
  harness_http(h, method, path, NULL, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s %s: %ld %s", method, path, ret_reply->status, ret_reply->body);
}

static const char *path_of(const struct hook *hook, const char *rest) {
  static char path[160];
  snprintf(path, sizeof path, BASE "/%s%s", hook->id, rest);
  return path;
}

/* The job's id. */
static const char *run_echo(const char *members) {
  static char id[40];
  char body[8192];
  snprintf(body, sizeof body, "{%s}", members);
  json_t *request = json_loads(body, 0, NULL);
  assert_non_null(request);
  json_t *job = harness_job(h, "/api/v1/jobs/echo", request, 20000);
  snprintf(id, sizeof id, "%s", harness_text(job, "job_id"));
  json_decref(job);
  return id;
}

static long long count(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static long long count(const char *fmt, ...) {
  char where[512], sql[640];
  va_list args;
  va_start(args, fmt);
  vsnprintf(where, sizeof where, fmt, args);
  va_end(args);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.deliveries WHERE %s", where);
  return harness_count(h->database_url, sql);
}

static void await(const char *condition, int timeout_ms) {
  if (POLL_UNTIL(count("%s", condition) > 0, timeout_ms)) return;
  REPLY_AUTO reply = {0};
  harness_http(h, "GET", BASE "/deliveries", NULL, NULL, &reply);
  fail_msg("no delivery where %s: %s", condition, reply.body);
}

static void await_requests(struct http_double *server, size_t wanted, int timeout_ms) {
  if (!POLL_UNTIL(http_double_count(server) >= wanted, timeout_ms))
    fail_msg("%zu requests instead of %zu", http_double_count(server), wanted);
}

/* --- signatures, by hand --- */

static int unbase64(const char *text, unsigned char *out) {
  int len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)strlen(text)), padding = 0;
  assert_true(len > 0);
  for (const char *end = text + strlen(text); end > text && end[-1] == '='; end--) padding++;
  return len - padding;
}

/* How many of the request's signatures are by that secret. */
static int signed_by(const struct http_seen *seen, const char *secret) {
  char id[256], stamp[64], list[512], wanted[128] = "v1,";
  unsigned char key[128], mac[EVP_MAX_MD_SIZE];
  unsigned mac_len = 0;
  http_double_header(seen, "webhook-id", id, sizeof id);
  http_double_header(seen, "webhook-timestamp", stamp, sizeof stamp);
  http_double_header(seen, "webhook-signature", list, sizeof list);
  char *content = NULL;
  int len = asprintf(&content, "%s.%s.%s", id, stamp, seen->body), found = 0;
  assert_true(len > 0);
  HMAC(EVP_sha256(), key, unbase64(secret + 6, key), (const unsigned char *)content, (size_t)len, mac, &mac_len);
  EVP_EncodeBlock((unsigned char *)wanted + 3, mac, (int)mac_len);
  free(content);
  for (char *rest = list, *one; (one = strsep(&rest, " "));) found += strcmp(one, wanted) == 0;
  return found;
}

static int signatures(const struct http_seen *seen) {
  char list[512];
  int spaces = 0;
  http_double_header(seen, "webhook-signature", list, sizeof list);
  for (const char *p = list; *p; p++) spaces += *p == ' ';
  return *list ? spaces + 1 : 0;
}

static const struct http_reply fine[] = {{.status = 200, .headers = "Content-Type: text/plain\r\n", .body = "thanks"}};

/* --- what is told --- */

static void tells_the_end_of_a_job(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(server), ",\"description\":\"mine\"");
  char value[256], want[256];
  REPLY_AUTO job = {0};
  static const char *const headers[] = {"Prefer: wait=20", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL};
  harness_http(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\":{\"a\":\"ü\"},\"metadata\":{\"m\":1}}", &job);
  await_requests(server, 1, 10000);
  const struct http_seen *seen = http_double_seen(server, 0);
  assert_memory_equal(seen->head, "POST / HTTP/1.1\r\n", 17);
  assert_int_equal(signed_by(seen, hook.secret), 1);
  assert_int_equal(signatures(seen), 1);
  snprintf(want, sizeof want, "%s_job_succeeded_%s", harness_text(job.json, "data.job_id"), hook.id);
  assert_string_equal(http_double_header(seen, "webhook-id", value, sizeof value), want);
  long long age = (long long)time(NULL) - strtoll(http_double_header(seen, "webhook-timestamp", value, sizeof value), NULL, 10);
  assert_in_range(age + 10, 0, 70);
  assert_non_null(strstr(http_double_header(seen, "traceparent", value, sizeof value), "-0af7651916cd43dd8448eb211c80319c-"));
  assert_memory_equal(http_double_header(seen, "User-Agent", value, sizeof value), "autodb/", 7);
  assert_string_equal(http_double_header(seen, "Content-Type", value, sizeof value), "application/json");

  json_t *body = json_loads(seen->body, 0, NULL);
  assert_string_equal(harness_text(body, "type"), "job.succeeded");
  json_t *told = json_incref(harness_at(body, "data"));
  snprintf(want, sizeof want, "https://autodb.example/api/v1/jobs/%s", harness_text(told, "job_id"));
  assert_string_equal(harness_text(told, "result_url"), want);
  assert_string_equal(harness_text(body, "timestamp"), harness_text(told, "finished_at"));
  json_object_del(told, "result_url");
  if (!json_equal(told, harness_at(job.json, "data"))) fail_msg("told %s, is %s", seen->body, job.body);
  json_decref(told);
  json_decref(body);

  await("state = 'delivered'", 5000);
  REPLY_AUTO log = {0};
  call("GET", path_of(&hook, "/deliveries"), NULL, 200, &log);
  assert_string_equal(harness_text(log.json, "data.items.0.status"), "delivered");
  assert_int_equal(harness_int(log.json, "data.items.0.tries"), 1);
  assert_int_equal(harness_int(log.json, "data.items.0.last_try.status"), 200);
  assert_string_equal(harness_text(log.json, "data.items.0.last_try.response"), "thanks");
  assert_non_null(strstr(harness_text(log.json, "data.items.0.last_try.request"), "\"type\":\"job.succeeded\""));
  assert_true(harness_log_has(worker, "webhook delivered"));
  assert_true(harness_log_has(worker, "0af7651916cd43dd8448eb211c80319c"));
  assert_false(harness_log_has(worker, hook.secret + 6));
  http_double_free(server);
}

static void leaves_large_results_out(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  char *members = NULL, *filler = calloc(1, 20001);
  add_hook(http_double_url(server), "");
  memset(filler, 'x', 20000);
  assert_true(asprintf(&members, "{\"payload\":\"%s\"}", filler) > 0);
  json_t *job = harness_job(h, "/api/v1/jobs/echo", json_loads(members, 0, NULL), 20000);
  await_requests(server, 1, 10000);
  json_t *body = json_loads(http_double_seen(server, 0)->body, 0, NULL);
  assert_true(json_is_null(harness_at(body, "data.result")));
  assert_non_null(strstr(harness_text(body, "data.result_url"), harness_text(job, "job_id")));
  json_decref(body);
  json_decref(job);
  free(members);
  free(filler);
  http_double_free(server);
}

static void only_what_was_asked_for(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  REPLY_AUTO reply = {0};
  char body[256];
  snprintf(body, sizeof body, "{\"url\":\"%s\",\"events\":[\"job.failed\"]}", http_double_url(server));
  call("POST", BASE, body, 201, &reply);
  add_hook(http_double_url(server), ",\"kinds\":[\"plan.parse\"]");
  json_decref(harness_job(h, "/api/v1/jobs/echo", json_loads("{\"payload\":1}", 0, NULL), 20000));
  assert_int_equal(count("true"), 0);
  REPLY_AUTO failing = {0};
  static const char *const wait[] = {"Prefer: wait=20", NULL};
  harness_http(h, "POST", "/api/v1/jobs/echo", wait, "{\"payload\":1,\"fail\":\"error\"}", &failing);
  await("event = 'job.failed' AND state = 'delivered'", 10000);
  assert_int_equal(count("true"), 1);
  json_t *told = json_loads(http_double_seen(server, 0)->body, 0, NULL);
  assert_string_equal(harness_text(told, "data.error.code"), "ECHO_FAILED");
  json_decref(told);
  http_double_free(server);
}

/* --- secrets --- */

static void a_second_failure_is_another_event(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(server), "");
  char first[256], second[256], path[96];
  static const char *const wait[] = {"Prefer: wait=20", NULL};
  REPLY_AUTO job = {0}, again = {0};
  harness_http(h, "POST", "/api/v1/jobs/echo", wait, "{\"payload\":1,\"fail\":\"error\"}", &job);
  await_requests(server, 1, 10000);
  snprintf(path, sizeof path, "/api/v1/jobs/%s/retry", harness_text(job.json, "data.job_id"));
  harness_http(h, "POST", path, wait, NULL, &again);
  assert_int_equal(again.status, 200);
  await_requests(server, 2, 10000);
  http_double_header(http_double_seen(server, 0), "webhook-id", first, sizeof first);
  http_double_header(http_double_seen(server, 1), "webhook-id", second, sizeof second);
  assert_string_not_equal(first, second);
  assert_memory_equal(first, second, strlen(first)); /* the same name, and the moment behind it */
  assert_int_equal(signed_by(http_double_seen(server, 1), hook.secret), 1);
  json_t *body = json_loads(http_double_seen(server, 1)->body, 0, NULL);
  assert_int_equal(harness_int(body, "data.attempt"), 2);
  json_decref(body);
  http_double_free(server);
}

static void both_secrets_sign_after_a_rotation(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(server), "");
  REPLY_AUTO rotated = {0};
  call("POST", path_of(&hook, "/rotate-secret"), NULL, 200, &rotated);
  const char *fresh = harness_text(rotated.json, "data.secret");
  assert_memory_equal(fresh, "whsec_", 6);
  assert_string_not_equal(fresh, hook.secret);
  run_echo("\"payload\":1");
  await_requests(server, 1, 10000);
  const struct http_seen *seen = http_double_seen(server, 0);
  assert_int_equal(signatures(seen), 2);
  assert_int_equal(signed_by(seen, hook.secret), 1);
  assert_int_equal(signed_by(seen, fresh), 1);

  harness_sql(h->database_url, "UPDATE autodb.webhooks SET old_secret_until = now() - interval '1 second'");
  run_echo("\"payload\":2");
  await_requests(server, 2, 10000);
  seen = http_double_seen(server, 1);
  assert_int_equal(signatures(seen), 1);
  assert_int_equal(signed_by(seen, fresh), 1);

  REPLY_AUTO one = {0};
  call("GET", path_of(&hook, ""), NULL, 200, &one);
  assert_null(strstr(one.body, "whsec_"));
  assert_null(strstr(one.body, "\"secret\""));
  assert_false(harness_log_has(worker, fresh + 6));
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.webhooks WHERE octet_length(secret) = 61"), 1);
  http_double_free(server);
}

static void callbacks_are_signed_by_their_owners_secret(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  char members[256];
  REPLY_AUTO none = {0};
  REPLY_AUTO made = {0};
  REPLY_AUTO again = {0};
  REPLY_AUTO shown = {0};
  call("GET", BASE "/callback-secret", NULL, 404, &none);
  snprintf(members, sizeof members, "\"payload\":1,\"callback_url\":\"%s/done?x=1\"", http_double_url(server));
  run_echo(members);
  await_requests(server, 1, 10000);
  assert_memory_equal(http_double_seen(server, 0)->head, "POST /done?x=1 HTTP/1.1\r\n", 25);
  assert_int_equal(signatures(http_double_seen(server, 0)), 1);

  call("POST", BASE "/callback-secret", NULL, 201, &made);
  run_echo(members);
  await_requests(server, 2, 10000);
  assert_int_equal(signed_by(http_double_seen(server, 1), harness_text(made.json, "data.secret")), 1);
  call("POST", BASE "/callback-secret", NULL, 201, &again);
  run_echo(members);
  await_requests(server, 3, 10000);
  assert_int_equal(signed_by(http_double_seen(server, 2), harness_text(made.json, "data.secret")), 1);
  assert_int_equal(signed_by(http_double_seen(server, 2), harness_text(again.json, "data.secret")), 1);
  call("GET", BASE "/callback-secret", NULL, 200, &shown);
  assert_null(strstr(shown.body, "whsec_"));
  http_double_free(server);
}

/* --- answers --- */

static void run_answer(const struct http_reply *reply, const char *condition) {
  clean(NULL);
  struct http_double *server = http_double_new(reply, 1);
  add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await(condition, 10000);
  http_double_free(server);
}

static void an_answer_decides(void **state) {
  (void)state;
  char *large = calloc(1, 100001);
  memset(large, 'y', 100000);
  const struct {
    struct http_reply reply;
    const char *condition;
  } cases[] = {
      {{.status = 204, .body = ""}, "state = 'delivered' AND last_status = 204"},
      {{.status = 200, .body = large}, "state = 'delivered' AND length(last_response) = 2048"},
      {{.status = 200, .body = "\xff\xfe ok"}, "state = 'delivered' AND last_response = '?? ok'"},
      {{.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n", .body = ""},
       "state = 'pending' AND last_status = 302 AND last_error LIKE '%redirects%' AND next_at - last_try_at BETWEEN '5 s' AND '7 s'"},
      {{.status = 500, .body = "no"}, "state = 'pending' AND last_response = 'no' AND next_at - last_try_at BETWEEN '5 s' AND '7 s'"},
      {{.status = 429, .headers = "Retry-After: 120\r\n", .body = ""},
       "state = 'pending' AND next_at - last_try_at BETWEEN '120 s' AND '145 s' AND EXISTS (SELECT FROM autodb.delivery_endpoints e WHERE "
       "e.endpoint = deliveries.endpoint AND e.resume_at > now() + interval '60 s')"},
      {{.status = 503, .headers = "Retry-After: 99999999\r\n", .body = ""},
       "state = 'pending' AND next_at - last_try_at BETWEEN '21600 s' AND '26000 s'"},
      {{.hang_up = true}, "state = 'pending' AND last_status IS NULL AND last_error IS NOT NULL"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run_answer(&cases[i].reply, cases[i].condition);
  free(large);
}

static void gone_disables(void **state) {
  (void)state;
  static const struct http_reply gone[] = {{.status = 410, .body = "go away"}, {.status = 200, .body = ""}};
  struct http_double *server = http_double_new(gone, 2);
  struct hook hook = add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await("state = 'failed' AND last_status = 410", 10000);
  REPLY_AUTO one = {0};
  REPLY_AUTO log = {0};
  REPLY_AUTO refused = {0};
  REPLY_AUTO active = {0};
  REPLY_AUTO again = {0};
  call("GET", path_of(&hook, ""), NULL, 200, &one);
  assert_true(json_is_false(harness_at(one.json, "data.active")));
  assert_string_equal(harness_text(one.json, "data.disabled_reason"), "it answered 410 Gone");
  run_echo("\"payload\":2");
  assert_int_equal(count("true"), 1);
  call("GET", path_of(&hook, "/deliveries"), NULL, 200, &log);
  char path[160];
  snprintf(path, sizeof path, BASE "/deliveries/%s/redeliver", harness_text(log.json, "data.items.0.id"));
  call("POST", path, NULL, 409, &refused);
  REPLY_AUTO test = {0};
  call("POST", path_of(&hook, "/test"), NULL, 409, &test);

  call("PATCH", path_of(&hook, ""), "{\"active\":true}", 200, &active);
  assert_string_equal(harness_text(active.json, "data.circuit.state"), "closed");
  call("POST", path, NULL, 202, &again);
  await("state = 'delivered'", 10000);
  char first[256], second[256];
  http_double_header(http_double_seen(server, 0), "webhook-id", first, sizeof first);
  http_double_header(http_double_seen(server, 1), "webhook-id", second, sizeof second);
  assert_string_equal(first, second);
  http_double_free(server);
}

static void a_test_is_sent(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(server), "");
  REPLY_AUTO reply = {0};
  call("POST", path_of(&hook, "/test"), NULL, 202, &reply);
  assert_string_equal(harness_text(reply.json, "data.event"), "webhook.test");
  await_requests(server, 1, 10000);
  assert_int_equal(signed_by(http_double_seen(server, 0), hook.secret), 1);
  http_double_free(server);
}

/* The schedule is used up at the tenth failure, and begins anew with a redelivery. */
static void gives_up_after_the_last_try(void **state) {
  (void)state;
  static const struct http_reply bad[] = {{.status = 500, .body = ""}};
  struct http_double *server = http_double_new(bad, 1);
  add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await("tries = 1 AND state = 'pending'", 10000);
  harness_sql(h->database_url, "UPDATE autodb.deliveries SET tries = 9, next_at = now()");
  await("tries = 10 AND state = 'failed' AND last_status = 500", 10000);
  assert_int_equal(http_double_count(server), 2);
  harness_sql(h->database_url, "UPDATE autodb.deliveries SET state = 'pending', forgiven = tries, next_at = now()");
  await("tries = 11 AND state = 'pending'", 10000);
  http_double_free(server);
}

/* --- endpoints that are not well --- */

static void a_circuit_opens_and_closes(void **state) {
  (void)state;
  static const struct http_reply script[] = {{.status = 500, .body = ""}, {.status = 500, .body = ""}, {.status = 500, .body = ""},
                                             {.status = 500, .body = ""}, {.status = 500, .body = ""}, {.status = 200, .body = ""}};
  struct http_double *server = http_double_new(script, 6);
  struct hook hook = add_hook(http_double_url(server), ",\"concurrency\":1");
  for (int i = 0; i < 8; i++) run_echo("\"payload\":1");
  await_requests(server, 5, 10000);
  REPLY_AUTO open = {0};
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.delivery_endpoints WHERE failures = 5") == 1, 5000));
  call("GET", path_of(&hook, ""), NULL, 200, &open);
  assert_string_equal(harness_text(open.json, "data.circuit.state"), "open");
  assert_int_equal(harness_int(open.json, "data.circuit.failures"), 5);
  assert_int_equal(count("tries = 0"), 3); /* due, and left alone */
  assert_int_equal(http_double_count(server), 5);
  harness_sql(h->database_url, "UPDATE autodb.delivery_endpoints SET resume_at = now()");
  await_requests(server, 8, 10000);
  REPLY_AUTO closed = {0};
  assert_true(POLL_UNTIL(count("state = 'delivered'") >= 3, 5000));
  call("GET", path_of(&hook, ""), NULL, 200, &closed);
  assert_string_equal(harness_text(closed.json, "data.circuit.state"), "closed");
  http_double_free(server);
}

static void five_days_of_failing_disable(void **state) {
  (void)state;
  static const struct http_reply bad[] = {{.status = 500, .body = ""}};
  struct http_double *server = http_double_new(bad, 1);
  struct hook hook = add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await("tries = 1 AND state = 'pending'", 10000);
  harness_sql(h->database_url,
              "UPDATE autodb.delivery_endpoints SET failing_since = now() - interval '6 days'; UPDATE autodb.deliveries SET "
              "next_at = now()");
  await("state = 'failed' AND tries = 2 AND last_status = 500", 20000);
  REPLY_AUTO one = {0};
  call("GET", path_of(&hook, ""), NULL, 200, &one);
  assert_string_equal(harness_text(one.json, "data.disabled_reason"), "it failed for five days");
  http_double_free(server);
}

/* Fifty wait for a server that doesn't answer: four are with it, and another endpoint's is told at once. */
static void a_slow_endpoint_delays_nobody(void **state) {
  (void)state;
  static const struct http_reply stuck[] = {{.status = 200, .body = "", .stall_ms = 14000}};
  struct http_double *slow = http_double_new(stuck, 1), *quick = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(slow), "");
  char sql[512];
  snprintf(
      sql, sizeof sql,
      "INSERT INTO autodb.deliveries (id, owner_id, webhook_id, url, event) SELECT 'slow_' || n, '%s', '%s', '%s', 'webhook.test' FROM "
      "generate_series(1, 50) n",
      h->owner_id, hook.id, http_double_url(slow));
  harness_sql(h->database_url, sql);
  await_requests(slow, 4, 10000);
  add_hook(http_double_url(quick), "");
  run_echo("\"payload\":1");
  await_requests(quick, 1, 3000);
  assert_int_equal(http_double_peak(slow), 4);
  assert_int_equal(count("state = 'running'"), 4);
  harness_sql(h->database_url, "DELETE FROM autodb.deliveries WHERE state = 'pending'");
  http_double_free(slow);
  http_double_free(quick);
}

static void a_call_ends_after_fifteen_seconds(void **state) {
  (void)state;
  static const struct http_reply stuck[] = {{.status = 200, .body = "", .stall_ms = 60000}};
  struct http_double *server = http_double_new(stuck, 1);
  add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await("state = 'pending' AND last_error LIKE '%within 15000 ms%' AND last_duration_ms BETWEEN 14900 AND 17000", 25000);
  http_double_free(server);
}

/* --- what dies --- */

/* The courier of that worker. */
static pid_t courier_of(pid_t parent) {
  DIR *proc = opendir("/proc");
  pid_t found = 0;
  for (struct dirent *entry; !found && (entry = readdir(proc));) {
    char path[300], text[512] = "";
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), ppid = 0;
    if (!isdigit((unsigned char)*entry->d_name)) continue;
    snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fscanf(file, "%*d %*s %*c %d", &ppid) != 1) ppid = 0;
    fclose(file);
    snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
    if (ppid != parent || !(file = fopen(path, "r"))) continue;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    if (memmem(text, len, "--courier", 9)) found = pid;
  }
  closedir(proc);
  return found;
}

static void a_killed_courier_loses_nothing(void **state) {
  (void)state;
  static const struct http_reply script[] = {{.status = 200, .body = "", .stall_ms = 10000}, {.status = 200, .body = ""}};
  struct http_double *server = http_double_new(script, 2);
  char first[256], second[256];
  add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await_requests(server, 1, 10000);
  pid_t pid = courier_of(worker->pid);
  assert_true(pid > 0);
  assert_int_equal(kill(pid, SIGKILL), 0);
  await("state = 'delivered' AND tries = 2 AND forgiven = 1", 20000);
  http_double_header(http_double_seen(server, 0), "webhook-id", first, sizeof first);
  http_double_header(http_double_seen(server, 1), "webhook-id", second, sizeof second);
  assert_string_equal(first, second);
  http_double_free(server);
}

/* The lease of a courier that will never come back runs out; one that comes back too late writes nothing. */
static void a_frozen_courier_is_fenced(void **state) {
  (void)state;
  static const struct http_reply script[] = {{.status = 500, .body = "", .stall_ms = 1500}, {.status = 200, .body = ""}};
  struct http_double *server = http_double_new(script, 2);
  static const char *const env[] = {ALLOW, NULL};
  add_hook(http_double_url(server), "");
  run_echo("\"payload\":1");
  await_requests(server, 1, 10000);
  pid_t frozen = courier_of(worker->pid);
  assert_int_equal(kill(frozen, SIGSTOP), 0);
  struct harness_proc *other = harness_worker(h, env);
  harness_sql(h->database_url, "UPDATE autodb.deliveries SET next_at = now() WHERE state = 'running'");
  await("state = 'delivered' AND tries = 2", 10000);
  assert_int_equal(kill(frozen, SIGCONT), 0);
  assert_true(POLL_UNTIL(harness_log_has(worker, "\"outcome\":\"fenced\""), 10000));
  assert_int_equal(count("state = 'delivered' AND tries = 2 AND last_status = 200"), 1);
  harness_stop(other);
  http_double_free(server);
}

static void two_couriers_share_the_work(void **state) {
  (void)state;
  static const char *const env[] = {ALLOW, NULL};
  struct http_double *server = http_double_new(fine, 1);
  struct harness_proc *other = harness_worker(h, env);
  add_hook(http_double_url(server), ",\"concurrency\":3");
  harness_sql(h->database_url, "TRUNCATE autodb.idempotency_keys");
  for (int i = 0; i < 60; i++) {
    REPLY_AUTO reply = {0};
    call("POST", "/api/v1/jobs/echo", "{\"payload\":1}", 202, &reply);
  }
  if (!POLL_UNTIL(count("state = 'delivered'") == 60, 20000)) fail_msg("%lld delivered", count("state = 'delivered'"));
  assert_int_equal(count("true"), 60);
  assert_int_equal(http_double_count(server), 60);
  assert_true(http_double_peak(server) <= 3);
  for (size_t i = 0; i < 60; i++) {
    char id[256];
    http_double_header(http_double_seen(server, i), "webhook-id", id, sizeof id);
    assert_int_equal(count("id = '%s'", id), 1);
  }
  harness_stop(other);
  http_double_free(server);
}

/* --- the API --- */

static void refuses_what_is_no_webhook(void **state) {
  (void)state;
  static const char *const bodies[][2] = {
      {"{\"events\":[\"job.failed\"]}", "url"},
      {"{\"url\":\"https://x.example/\"}", "events"},
      {"{\"url\":\"https://x.example/\",\"events\":[]}", "events"},
      {"{\"url\":\"https://x.example/\",\"events\":[\"job.started\"]}", "events.0"},
      {"{\"url\":\"https://x.example/\",\"events\":[\"job.dead\",\"job.dead\"]}", "events"},
      {"{\"url\":\"https://x.example/\",\"events\":[\"job.dead\"],\"kinds\":[\"no.such\"]}", "kinds.0"},
      {"{\"url\":\"https://x.example/\",\"events\":[\"job.dead\"],\"concurrency\":17}", "concurrency"},
      {"{\"url\":\"https://x.example/\",\"events\":[\"job.dead\"],\"secret\":\"whsec_x\"}", "secret"},
      {"{\"url\":\"ftp://x.example/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://u:p@x.example/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://x.example/#f\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://10.0.0.1/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://169.254.169.254/latest\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://0.0.0.0/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://100.64.1.1/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://0xa000001/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://[::1]/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://[::ffff:10.1.2.3]/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://[64:ff9b::a9fe:a9fe]/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"https://[fd00:ec2::254]/\",\"events\":[\"job.dead\"]}", "url"},
      {"{\"url\":\"http://93.184.216.34/\",\"events\":[\"job.dead\"]}", "url"}, /* plain only where networks are named */
  };
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    REPLY_AUTO reply = {0};
    call("POST", BASE, bodies[i][0], 422, &reply);
    if (strcmp(harness_text(reply.json, "error.details.fields.0.path"), bodies[i][1]) != 0) fail_msg("%s: %s", bodies[i][0], reply.body);
  }
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.webhooks"), 0);
}

static void belongs_to_its_owner(void **state) {
  (void)state;
  struct hook hook = add_hook("https://x.example/", "");
  REPLY_AUTO test = {0};
  call("POST", path_of(&hook, "/test"), NULL, 202, &test);
  char key[64], header[96], again[160];
  harness_key(h, "stranger", "user", key);
  snprintf(header, sizeof header, "X-API-Key: %s", key);
  snprintf(again, sizeof again, BASE "/deliveries/%s/redeliver", harness_text(test.json, "data.id"));
  const char *const headers[] = {header, NULL};
  const struct {
    const char *method, *rest, *body;
  } cases[] = {{"GET", "", NULL},       {"PATCH", "", "{\"active\":false}"}, {"DELETE", "", NULL}, {"POST", "/rotate-secret", NULL},
               {"POST", "/test", NULL}, {"GET", "/deliveries", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply = {0};
    harness_http(h, cases[i].method, path_of(&hook, cases[i].rest), headers, cases[i].body, &reply);
    assert_int_equal(reply.status, 404);
  }
  REPLY_AUTO list = {0};
  REPLY_AUTO log = {0};
  REPLY_AUTO redelivered = {0};
  REPLY_AUTO gone = {0};
  REPLY_AUTO missing = {0};
  harness_http(h, "POST", again, headers, NULL, &redelivered);
  assert_int_equal(redelivered.status, 404);
  harness_http(h, "GET", BASE, headers, NULL, &list);
  assert_int_equal(json_array_size(harness_at(list.json, "data.items")), 0);
  harness_http(h, "GET", BASE "/deliveries", headers, NULL, &log);
  assert_int_equal(json_array_size(harness_at(log.json, "data.items")), 0);
  call("DELETE", path_of(&hook, ""), NULL, 204, &gone);
  call("GET", path_of(&hook, ""), NULL, 404, &missing);
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.webhooks WHERE secret = ''"), 1);
}

static void changes_and_pages(void **state) {
  (void)state;
  struct hook hook = add_hook("https://x.example/", "");
  REPLY_AUTO changed = {0};
  REPLY_AUTO nothing = {0};
  call("PATCH", path_of(&hook, ""), "{\"events\":[\"job.dead\"],\"kinds\":[\"plan.parse\"],\"concurrency\":2,\"active\":false}", 200,
       &changed);
  assert_string_equal(harness_text(changed.json, "data.events.0"), "job.dead");
  assert_string_equal(harness_text(changed.json, "data.disabled_reason"), "by its owner");
  assert_int_equal(harness_int(changed.json, "data.concurrency"), 2);
  call("PATCH", path_of(&hook, ""), "{}", 422, &nothing);
  add_hook("https://y.example/", "");
  REPLY_AUTO first = {0};
  REPLY_AUTO second = {0};
  char path[256];
  call("GET", BASE "?limit=1", NULL, 200, &first);
  assert_string_equal(harness_text(first.json, "data.items.0.url"), "https://y.example/");
  snprintf(path, sizeof path, BASE "?limit=1&cursor=%s", harness_text(first.json, "data.next_cursor"));
  call("GET", path, NULL, 200, &second);
  assert_string_equal(harness_text(second.json, "data.items.0.url"), "https://x.example/");
  assert_true(json_is_null(harness_at(second.json, "data.next_cursor")));
}

static void an_owner_may_have_a_hundred(void **state) {
  (void)state;
  char sql[400];
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.webhooks (id, owner_id, url, events, secret, secret_key_id) SELECT gen_random_uuid(), '%s', "
           "'https://x.example/', '{job.dead}', '', '' FROM generate_series(1, 99)",
           h->owner_id);
  harness_sql(h->database_url, sql);
  add_hook("https://x.example/", "");
  REPLY_AUTO reply = {0};
  call("POST", BASE, "{\"url\":\"https://x.example/\",\"events\":[\"job.dead\"]}", 409, &reply);
}

/* --- people and machines that look --- */

static void the_cli_does_it_all(void **state) {
  (void)state;
  struct http_double *server = http_double_new(fine, 1);
  char url[96], key[96], *output = NULL;
  snprintf(url, sizeof url, "AUTODB_URL=%s", h->api_url);
  snprintf(key, sizeof key, "AUTODB_API_KEY=%s", h->api_key);
  const char *const env[] = {url, key, NULL};
#define AUTODB(status, ...)                                                                                                            \
  free(output), output = NULL;                                                                                                         \
  if (harness_run(h, AUTODB_BINARY_DIR "/autodb", (const char *[]){"autodb", "webhook", __VA_ARGS__, NULL}, env, &output) != (status)) \
  fail_msg("%s", output)
  AUTODB(0, "add", http_double_url(server), "--event", "job.dead", "--kind", "plan.parse", "--description", "d");
  struct hook hook = {0};
  assert_int_equal(sscanf(output, "%39s whsec_%70s", hook.id, hook.secret), 2);
  AUTODB(0, "test", hook.id);
  await("state = 'delivered'", 10000);
  AUTODB(0, "list");
  assert_non_null(strstr(output, http_double_url(server)));
  assert_null(strstr(output, "whsec_"));
  AUTODB(0, "deliveries", hook.id);
  assert_non_null(strstr(output, "delivered"));
  char delivery[40] = "";
  assert_int_equal(sscanf(output, "%39s", delivery), 1);
  AUTODB(0, "deliveries", "--redeliver", delivery);
  await_requests(server, 2, 10000);
  AUTODB(0, "rotate", hook.id);
  assert_non_null(strstr(output, "whsec_"));
  AUTODB(0, "rotate", "--callbacks");
  AUTODB(2, "rotate");
  AUTODB(2, "test", "x");
  AUTODB(1, "add", "ftp://x");
  free(output);
  http_double_free(server);
}

static bool metrics_say(const char *url, const char *line) {
  REPLY_AUTO metrics = {0};
  harness_http(h, "GET", url, NULL, NULL, &metrics);
  return metrics.body && strstr(metrics.body, line);
}

static void is_counted(void **state) {
  (void)state;
  char env[64];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  close(fd);
  snprintf(env, sizeof env, "AUTODB_METRICS_LISTEN=127.0.0.1:%d", ntohs(address.sin_port));
  harness_stop(worker);
  worker = harness_worker(h, (const char *const[]){ALLOW, env, NULL});
  struct http_double *server = http_double_new(fine, 1);
  struct hook hook = add_hook(http_double_url(server), "");
  REPLY_AUTO test = {0};
  call("POST", path_of(&hook, "/test"), NULL, 202, &test);
  await("state = 'delivered'", 10000);
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%d/metrics", ntohs(address.sin_port));
  assert_true(POLL_UNTIL(metrics_say(url, "autodb_webhook_deliveries_total{outcome=\"delivered\"} 1"), 5000)); /* once it is committed */
  assert_true(metrics_say(url, "autodb_webhook_delivery_seconds_count{outcome=\"delivered\"} 1"));
  assert_true(metrics_say(url, "autodb_webhook_backlog"));
  assert_true(metrics_say(url, "autodb_webhook_open_circuits 0"));
  assert_false(harness_log_has(worker, "can't be"));
  http_double_free(server);
}

#define TEST(name) cmocka_unit_test_setup(name, clean)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(tells_the_end_of_a_job),
      TEST(leaves_large_results_out),
      TEST(only_what_was_asked_for),
      TEST(a_second_failure_is_another_event),
      TEST(both_secrets_sign_after_a_rotation),
      TEST(callbacks_are_signed_by_their_owners_secret),
      TEST(an_answer_decides),
      TEST(gone_disables),
      TEST(a_test_is_sent),
      TEST(gives_up_after_the_last_try),
      TEST(a_circuit_opens_and_closes),
      TEST(five_days_of_failing_disable),
      TEST(a_slow_endpoint_delays_nobody),
      TEST(a_call_ends_after_fifteen_seconds),
      TEST(a_killed_courier_loses_nothing),
      TEST(a_frozen_courier_is_fenced),
      TEST(two_couriers_share_the_work),
      TEST(refuses_what_is_no_webhook),
      TEST(belongs_to_its_owner),
      TEST(changes_and_pages),
      TEST(an_owner_may_have_a_hundred),
      TEST(the_cli_does_it_all),
      TEST(is_counted),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
