/* What receivers get, verified by the library they use (tests/webhooks/verify fetches it; skipped without a network): before, during and
 * after a rotation, for webhooks and callbacks. */
#include "tests/support/harness.h"
#include "tests/support/http_double.h"

#define BASE "/api/v1/webhooks"

static const struct http_reply fine[] = {{.status = 204, .body = ""}};

static int setup(void **state) {
  static const char *const env[] = {"AUTODB_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", NULL};
  if (system(AUTODB_SOURCE_DIR "/tests/webhooks/verify --fetch") != 0) exit(77); /* skipped */
  struct harness *h = harness_new();
  harness_stack(h, env, env);
  *state = h;
  return 0;
}

/* Asks for a secret by that call; malloc'd. */
static char *secret_of(struct harness *h, const char *path, const char *body, json_t **ret_data) {
  REPLY_AUTO reply = {0};
  harness_http(h, "POST", path, NULL, body, &reply);
  assert_in_range(reply.status, 200, 201);
  if (ret_data) *ret_data = json_deep_copy(harness_at(reply.json, "data"));
  return strdup(harness_text(reply.json, "data.secret"));
}

/* Runs a job, waits for the request it brings, and puts that into the list beside each secret that must verify it. */
static void tell(struct harness *h, struct http_double *server, const char *request, json_t *list, const char *secret, const char *other) {
  static const char *const names[] = {"webhook-id", "webhook-timestamp", "webhook-signature"};
  size_t seen_before = http_double_count(server);
  char value[512];
  json_decref(harness_job(h, "/api/v1/jobs/echo", json_loads(request, 0, NULL), 20000));
  assert_true(POLL_UNTIL(http_double_count(server) > seen_before, 10000));
  const struct http_seen *seen = http_double_seen(server, seen_before);
  json_t *headers = json_object();
  for (size_t i = 0; i < 3; i++)
    json_object_set_new(headers, names[i], json_string(http_double_header(seen, names[i], value, sizeof value)));
  json_array_append_new(list, json_pack("{s:s, s:O, s:s}", "secret", secret, "headers", headers, "body", seen->body));
  if (other) json_array_append_new(list, json_pack("{s:s, s:O, s:s}", "secret", other, "headers", headers, "body", seen->body));
  json_decref(headers);
}

static void receivers_verify_it(void **state) {
  struct harness *h = *state;
  struct http_double *server = http_double_new(fine, 1);
  char body[256], callback[256], path[160], file[300], *output = NULL;
  json_t *hook = NULL, *list = json_array();
  snprintf(body, sizeof body, "{\"url\":\"%s/in\",\"events\":[\"job.succeeded\"]}", http_double_url(server));
  char *first = secret_of(h, BASE, body, &hook);
  tell(h, server, "{\"payload\":{\"text\":\"gr\\u00fc\\u00df \\ud83d\\ude00\"}}", list, first, NULL);
  snprintf(path, sizeof path, BASE "/%s/rotate-secret", harness_text(hook, "id"));
  char *second = secret_of(h, path, NULL, NULL);
  tell(h, server, "{\"payload\":2}", list, first, second);
  REPLY_AUTO gone = {0};
  snprintf(path, sizeof path, BASE "/%s", harness_text(hook, "id"));
  harness_http(h, "DELETE", path, NULL, NULL, &gone);
  char *own = secret_of(h, BASE "/callback-secret", NULL, NULL);
  snprintf(callback, sizeof callback, "{\"payload\":3,\"callback_url\":\"%s/cb\"}", http_double_url(server));
  tell(h, server, callback, list, own, NULL);

  snprintf(file, sizeof file, "%s/messages.json", h->dir);
  assert_int_equal(json_dump_file(list, file, 0), 0);
  const char *argv[] = {"verify", file, NULL};
  int status = harness_run(h, AUTODB_SOURCE_DIR "/tests/webhooks/verify", argv, NULL, &output);
  if (status != 0 || !strstr(output, "verified 4")) fail_msg("%d: %s", status, output);
  free(output), free(first), free(second), free(own);
  json_decref(hook);
  json_decref(list);
  http_double_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(receivers_verify_it)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
