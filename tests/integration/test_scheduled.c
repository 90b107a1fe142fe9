/* What happens by itself: schemas are read again when they are due, changes are told to webhooks, originals nothing needs go. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/crypto.h"
#include "tests/support/form.h"
#include "tests/support/harness.h"
#include "tests/support/http_double.h"
#include "tests/support/jobs.h"

static char target[HARNESS_URL];

static int setup(void **state) {
  struct harness *h = harness_new();
  static const char *const env[] = {"AUTODB_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", NULL};
  harness_stack(h, env, env);
  harness_database(&h->pg[0], "client", target);
  harness_sql(target, "CREATE TABLE orders (id int PRIMARY KEY)");
  *state = h;
  return 0;
}

static void call(struct harness *h, const char *method, const char *path, const char *body, int status, struct harness_reply *ret_reply) {
  harness_http(h, method, path, NULL, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s %s: %ld instead of %d: %s", method, path, ret_reply->status, status, ret_reply->body);
}

static void connect_to(struct harness *h, int every, char out[40]) {
  REPLY_AUTO reply;
  char body[1024];
  snprintf(body, sizeof body, "{\"name\": \"c\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\", \"introspect_every\": %d}",
           target, every);
  call(h, "POST", "/api/v1/connections", body, 201, &reply);
  assert_int_equal(harness_int(reply.json, "data.introspect_every"), every);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.id"));
}

static void introspect(struct harness *h, const char *connection, const char *query) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/introspect%s", connection, query);
  json_t *job = harness_job(h, path, json_object(), 30000);
  assert_string_equal(harness_text(job, "status"), "succeeded");
  json_decref(job);
}

static void forget(struct harness *h, const char *connection) {
  REPLY_AUTO reply;
  char path[100];
  snprintf(path, sizeof path, "/api/v1/connections/%s", connection);
  call(h, "DELETE", path, NULL, 204, &reply);
}

/* --- introspection by itself --- */

static void how_often_is_checked_shown_and_changed(void **state) {
  struct harness *h = *state;
  char id[40], path[100], sql[200];
  REPLY_AUTO bad, changed, off, same;
  connect_to(h, 3600, id);
  snprintf(
      sql, sizeof sql,
      "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND next_introspect_at BETWEEN now() + interval '50 minutes' AND now() + "
      "interval '70 minutes'",
      id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  snprintf(path, sizeof path, "/api/v1/connections/%s", id);
  call(h, "PATCH", path, "{\"introspect_every\": 59}", 422, &bad);
  assert_string_equal(harness_text(bad.json, "error.details.fields.0.path"), "introspect_every");
  call(h, "PATCH", path, "{\"introspect_every\": 60}", 200, &changed);
  assert_int_equal(harness_int(changed.json, "data.introspect_every"), 60);
  call(h, "PATCH", path, "{\"name\": \"d\"}", 200, &same);
  assert_int_equal(harness_int(same.json, "data.introspect_every"), 60);
  call(h, "PATCH", path, "{\"introspect_every\": 0}", 200, &off);
  assert_int_equal(harness_int(off.json, "data.introspect_every"), 0);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND next_introspect_at IS NULL", id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  forget(h, id);
}

static long long count_of(struct harness *h, const char *what, const char *connection) {
  char sql[300];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.%s WHERE connection_id = '%s'", what, connection);
  return harness_count(h->database_url, sql);
}

static void make_due(struct harness *h, const char *connection) {
  char sql[200];
  snprintf(sql, sizeof sql, "UPDATE autodb.connections SET next_introspect_at = now() - interval '1 second' WHERE id = '%s'", connection);
  harness_sql(h->database_url, sql);
}

static void a_schema_that_is_due_is_read_again(void **state) {
  struct harness *h = *state;
  char id[40], sql[300];
  REPLY_AUTO list;
  connect_to(h, 3600, id);
  make_due(h, id);
  assert_true(POLL_UNTIL(count_of(h, "snapshots", id) == 1, 15000));
  snprintf(sql, sizeof sql, "/api/v1/jobs?connection_id=%s", id);
  call(h, "GET", sql, NULL, 200, &list);
  assert_int_equal(json_array_size(harness_at(list.json, "data.items")), 1);
  assert_string_equal(harness_text(list.json, "data.items.0.kind"), "schema.introspect");
  assert_string_equal(harness_text(list.json, "data.items.0.priority"), "bulk");
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND next_introspect_at > now() + interval '50 minutes'", id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  forget(h, id);
}

static void one_that_waits_is_enough(void **state) {
  struct harness *h = *state;
  char id[40], sql[400];
  REPLY_AUTO paused, resumed;
  connect_to(h, 3600, id);
  call(h, "POST", "/api/v1/queue/pause", "{\"kind\": \"schema.introspect\"}", 200, &paused);
  make_due(h, id);
  assert_true(POLL_UNTIL(count_of(h, "jobs", id) == 1, 15000));
  make_due(h, id);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND next_introspect_at > now()", id);
  assert_true(POLL_UNTIL(harness_count(h->database_url, sql) == 1, 15000)); /* looked at again */
  assert_int_equal(count_of(h, "jobs", id), 1);
  call(h, "POST", "/api/v1/queue/resume", "{\"kind\": \"schema.introspect\"}", 200, &resumed);
  assert_true(POLL_UNTIL(count_of(h, "snapshots", id) == 1, 15000));
  forget(h, id);
}

/* --- what changed --- */

static long long told(struct harness *h) {
  return harness_count(h->database_url, "SELECT count(*) FROM autodb.deliveries WHERE event = 'schema.changed'");
}

static void a_change_is_told_once_with_its_diff(void **state) {
  struct harness *h = *state;
  char id[40], body[300], path[300];
  REPLY_AUTO hook, diff, log;
  static const struct http_reply thanks = {.status = 204};
  struct http_double *receiver = http_double_new(&thanks, 1);
  snprintf(body, sizeof body, "{\"url\": \"%s/hook\", \"events\": [\"schema.changed\"]}", http_double_url(receiver));
  call(h, "POST", "/api/v1/webhooks", body, 201, &hook);
  connect_to(h, 0, id);
  introspect(h, id, "");
  introspect(h, id, "");
  assert_int_equal(told(h), 0); /* the first, and the same */
  harness_sql(target, "ALTER TABLE orders ADD COLUMN note text");
  introspect(h, id, "?schemas=public");
  assert_int_equal(told(h), 0); /* less was looked at: that is no change */
  introspect(h, id, "");
  assert_int_equal(told(h), 0);
  harness_sql(target, "ALTER TABLE orders ADD COLUMN paid boolean");
  introspect(h, id, "");
  assert_int_equal(told(h), 1);
  assert_true(POLL_UNTIL(http_double_count(receiver) == 1, 15000));
  json_t *event = json_loads(http_double_seen(receiver, 0)->body, 0, NULL);
  assert_string_equal(harness_text(event, "type"), "schema.changed");
  assert_string_equal(harness_text(event, "data.connection_id"), id);
  assert_string_equal(harness_text(event, "data.diff.tables.changed.0.name"), "public.orders");
  snprintf(path, sizeof path, "%s", harness_text(event, "data.diff_url"));
  call(h, "GET", path, NULL, 200, &diff);
  assert_string_equal(harness_text(diff.json, "data.to"), harness_text(event, "data.snapshot_id"));
  json_decref(event);
  assert_true(POLL_UNTIL(
      harness_count(h->database_url, "SELECT count(*) FROM autodb.deliveries WHERE event = 'schema.changed' AND state = 'delivered'") == 1,
      15000));
  call(h, "GET", "/api/v1/webhooks/deliveries", NULL, 200, &log);
  assert_string_equal(harness_text(log.json, "data.items.0.event"), "schema.changed");
  assert_string_equal(harness_text(log.json, "data.items.0.status"), "delivered");
  introspect(h, id, "");
  assert_int_equal(told(h), 1);
  forget(h, id);
  http_double_free(receiver);
}

/* --- originals --- */

static char *original(struct harness *h, const char *text, char out[HARNESS_PATH + 100]) {
  char sha[SHA256_HEX];
  crypto_sha256_hex(text, strlen(text), sha);
  snprintf(out, HARNESS_PATH + 100, "%s/documents/%.2s/%s", h->dir, sha, sha);
  return out;
}

static void age(struct harness *h, const char *text) {
  char path[HARNESS_PATH + 100];
  struct timespec then = {.tv_sec = time(NULL) - 7200}, times[2] = {then, then};
  assert_int_equal(utimensat(AT_FDCWD, original(h, text, path), times, 0), 0);
}

static bool is_there(struct harness *h, const char *text) {
  char path[HARNESS_PATH + 100];
  return access(original(h, text, path), F_OK) == 0;
}

static void sweep(struct harness *h) {
  harness_sql(h->database_url,
              "WITH made AS (SELECT autodb.uuid7() AS id), j AS (INSERT INTO autodb.jobs (id, owner_id, kind, lane, max_attempts, payload) "
              "SELECT id, '00000000-0000-0000-0000-000000000000', 'system.sweep', 'bulk', 2, '{}' FROM made) "
              "INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, run_at) "
              "SELECT id, '00000000-0000-0000-0000-000000000000', 'system.sweep', 'bulk', 0, 2, now() - interval '1 minute' FROM made");
}

static void originals_nothing_refers_to_go_after_a_while(void **state) {
  struct harness *h = *state;
  static const struct form_part parts[] = {
      {.file = "kept.md", .text = "kept"}, {.file = "gone.md", .text = "gone"}, {.file = "young.md", .text = "young"}};
  char id[40], path[200], sql[200];
  REPLY_AUTO reply;
  connect_to(h, 0, id);
  snprintf(path, sizeof path, "/api/v1/connections/%s/documents/upload", id);
  form_post(h, path, NULL, parts, 3, &reply);
  assert_int_equal(reply.status, 202);
  snprintf(sql, sizeof sql, "DELETE FROM autodb.documents WHERE name IN ('gone.md', 'young.md') AND connection_id = '%s'", id);
  harness_sql(h->database_url, sql);
  age(h, "kept");
  age(h, "gone");
  sweep(h);
  assert_true(POLL_UNTIL(!is_there(h, "gone"), 15000));
  assert_true(is_there(h, "kept") && is_there(h, "young"));
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.documents d WHERE name = 'kept.md'"), 1);
  forget(h, id);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(how_often_is_checked_shown_and_changed),
      cmocka_unit_test(a_schema_that_is_due_is_read_again),
      cmocka_unit_test(one_that_waits_is_enough),
      cmocka_unit_test(a_change_is_told_once_with_its_diff),
      cmocka_unit_test(originals_nothing_refers_to_go_after_a_while),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
