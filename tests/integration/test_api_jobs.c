/* Jobs as clients see them. No worker runs here: the tests are the worker where one is needed, so they see each state. */
#include <unistd.h>

#include "tests/support/jobs.h"
#include "tests/support/raw.h"

static char other_key[64], user_key[64];

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", key);
  harness_key(h, "test", "user", user_key);
  harness_key(h, "other", "admin", other_key);
  harness_api(h, NULL);
  *state = h;
  return 0;
}

static void call(struct harness *h, const char *method, const char *path, const char *const headers[], const char *body, int status,
                 struct harness_reply *ret_reply) {
  harness_http(h, method, path, headers, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s %s: %ld instead of %d: %s", method, path, ret_reply->status, status, ret_reply->body);
}

static const char *code_of(const struct harness_reply *reply) { return harness_text(reply->json, "error.code"); }

/* A queued job's id. */
static void submit(struct harness *h, char out[40]) {
  REPLY_AUTO reply;
  call(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\": {\"a\": 1}}", 202, &reply);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.job_id"));
}

static void finish(struct harness *h, const char *id, const char *state) { jobs_finish(h, id, state, "{\"payload\": {\"a\":   1}}", NULL); }

static void an_accepted_job_is_whole_and_in_the_record(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  REPLY_AUTO again;
  char location[128], path[128], sql[256];
  call(h, "POST", "/api/v1/jobs/echo", NULL,
       "{\"payload\": [1, {\"b\": null}], \"metadata\": {\"ticket\": \"A-1\"}, \"priority\": \"bulk\"}", 202, &reply);
  static const char *const members[] = {"job_id",      "kind",         "status",   "priority",   "connection_id",
                                        "attempt",     "max_attempts", "progress", "created_at", "started_at",
                                        "finished_at", "result",       "error",    "metadata",   "run_at"};
  json_t *job = harness_at(reply.json, "data");
  assert_int_equal(json_object_size(job), sizeof members / sizeof *members);
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) assert_non_null(json_object_get(job, members[i]));
  assert_string_equal(harness_text(job, "status"), "queued");
  assert_string_equal(harness_text(job, "priority"), "bulk");
  assert_string_equal(harness_text(job, "metadata.ticket"), "A-1");
  snprintf(path, sizeof path, "/api/v1/jobs/%s", harness_text(job, "job_id"));
  assert_string_equal(harness_header(&reply, "Location", location, sizeof location), path);
  call(h, "GET", path, NULL, NULL, 200, &again);
  assert_true(json_equal(job, harness_at(again.json, "data")));
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.jobs WHERE id = '%s' AND payload->'payload'->1->>'b' IS NULL AND trace ~ '^00-' AND lane = 'bulk'",
           harness_text(job, "job_id"));
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void the_bell_is_rung(void **state) {
  struct harness *h = *state;
  char id[40];
  submit(h, id);
  /* No worker reads here, so every job so far still has its entry. */
  char *output = NULL, command[1024];
  const char *colon = strrchr(h->redis_url, ':');
  snprintf(command, sizeof command, "valkey-cli -a %s --no-auth-warning -p %d XREVRANGE '{autodb}:q:interactive' + - COUNT 1",
           HARNESS_PASSWORD, (int)strtol(colon + 1, NULL, 10));
  assert_true(POLL_UNTIL(
      (free(output), output = NULL, harness_run(h, "/bin/sh", (const char *[]){"sh", "-c", command, NULL}, NULL, &output) == 0) &&
          strstr(output, id),
      5000));
  free(output);
}

static void the_trace_is_continued(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char sql[256];
  call(h, "POST", "/api/v1/jobs/echo", (const char *[]){"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
       "{\"payload\": 1}", 202, &reply);
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.jobs WHERE id = '%s' AND trace LIKE '00-0af7651916cd43dd8448eb211c80319c-%%' AND trace NOT LIKE "
           "'%%b7ad6b7169203331%%'",
           harness_text(reply.json, "data.job_id"));
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void job_members_are_checked(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *body, *path;
  } cases[] = {
      {"{\"payload\":1,\"priority\":\"urgent\"}", "priority"},
      {"{\"payload\":1,\"metadata\":[]}", "metadata"},
      {"{\"payload\":1,\"callback_url\":\"http://x.example/\"}", "callback_url"},
      {"{\"payload\":1,\"callback_url\":\"https://\"}", "callback_url"},
      {"{\"payload\":1,\"callback_url\":\"https://u:p@x/\"}", "callback_url"},
      {"{\"payload\":1,\"callback_url\":\"file:///etc/passwd\"}", "callback_url"},
      {"{\"payload\":1,\"callback_url\":7}", "callback_url"},
      {"{\"payload\":1,\"prioritty\":\"bulk\"}", "prioritty"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    call(h, "POST", "/api/v1/jobs/echo", NULL, cases[i].body, 422, &reply);
    assert_string_equal(code_of(&reply), "VALIDATION_ERROR");
    assert_string_equal(harness_text(reply.json, "error.details.fields.0.path"), cases[i].path);
  }
  char body[6000];
  memset(body, 'x', sizeof body);
  int at = snprintf(body, sizeof body, "{\"payload\":1,\"metadata\":{\"k\":\"");
  body[at] = 'x';
  snprintf(body + 5000, sizeof body - 5000, "\"}}");
  REPLY_AUTO reply;
  call(h, "POST", "/api/v1/jobs/echo", NULL, body, 422, &reply);
}

static void a_large_payload_is_taken_and_a_larger_one_refused(void **state) {
  struct harness *h = *state;
  enum { LIMIT = 64 * 1024 };
  char *body = malloc(LIMIT + 100);
  for (int over = 0; over < 2; over++) {
    int at = snprintf(body, 32, "{\"payload\":\"");
    memset(body + at, 'x', LIMIT - 2 + over);
    snprintf(body + at + LIMIT - 2 + over, 8, "\"}");
    REPLY_AUTO reply;
    call(h, "POST", "/api/v1/jobs/echo", NULL, body, over ? 422 : 202, &reply);
  }
  free(body);
}

/* --- who may --- */

static void keys_are_needed_and_checked(void **state) {
  struct harness *h = *state;
  char wrong[128], bearer[128], both[128];
  snprintf(wrong, sizeof wrong, "X-API-Key: adb_%043d", 0);
  snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", h->api_key);
  snprintf(both, sizeof both, "X-API-Key: %s", other_key);
  const struct {
    const char *headers[3];
    int status;
  } cases[] = {{{"X-API-Key:", NULL}, 401},
               {{"X-API-Key: adb_short", NULL}, 401},
               {{wrong, NULL}, 401},
               {{wrong, NULL}, 401},
               {{"Authorization: Basic eDp5", NULL}, 401},
               {{"Authorization: Bearer nonsense", NULL}, 401},
               {{bearer, NULL}, 200},
               {{bearer, both, NULL}, 401}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    char value[64];
    call(h, "GET", "/api/v1/jobs", cases[i].headers, NULL, cases[i].status, &reply);
    if (cases[i].status == 401) {
      assert_string_equal(code_of(&reply), "UNAUTHORIZED");
      assert_non_null(strstr(harness_header(&reply, "WWW-Authenticate", value, sizeof value), "Bearer"));
      assert_null(strstr(reply.body, "adb_0"));
    }
  }
}

static void an_unknown_key_with_a_body_to_come_closes(void **state) {
  struct harness *h = *state;
  int fd = harness_socket(h);
  RAW_AUTO answer;
  static const char text[] = "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: adb_nobody\r\nContent-Length: 13\r\n\r\n{\"pay";
  raw_send(fd, text, sizeof text - 1);
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 401);
  assert_true(raw_closed(fd, 5000));
  close(fd);
}

static void a_key_ends_when_revoked_or_expired(void **state) {
  struct harness *h = *state;
  REPLY_AUTO made;
  REPLY_AUTO used;
  REPLY_AUTO revoked;
  REPLY_AUTO refused;
  REPLY_AUTO past;
  REPLY_AUTO ending;
  char header[128], path[128];
  call(h, "POST", "/api/v1/api-keys", NULL, "{\"name\": \"k\", \"role\": \"user\", \"owner\": \"third\"}", 201, &made);
  const char *key = harness_text(made.json, "data.key");
  assert_int_equal(strlen(key), 47);
  assert_int_equal(strncmp(key, harness_text(made.json, "data.prefix"), 12), 0);
  snprintf(header, sizeof header, "X-API-Key: %s", key);
  call(h, "GET", "/api/v1/jobs", (const char *[]){header, NULL}, NULL, 200, &used);
  assert_int_equal(json_array_size(harness_at(used.json, "data.items")), 0);
  snprintf(path, sizeof path, "/api/v1/api-keys/%s", harness_text(made.json, "data.id"));
  call(h, "DELETE", path, NULL, NULL, 204, &revoked);
  call(h, "GET", "/api/v1/jobs", (const char *[]){header, NULL}, NULL, 401, &refused);
  call(h, "POST", "/api/v1/api-keys", NULL, "{\"name\": \"k\", \"role\": \"user\", \"expires_at\": \"2001-01-01T00:00:00Z\"}", 422, &past);
  call(h, "POST", "/api/v1/api-keys", NULL, "{\"name\": \"k\", \"role\": \"user\", \"expires_at\": \"2101-01-01T00:00:00Z\"}", 201,
       &ending);
  assert_string_equal(harness_text(ending.json, "data.expires_at"), "2101-01-01T00:00:00.000Z");
  char sql[512];
  snprintf(sql, sizeof sql, "UPDATE autodb.api_keys SET expires_at = now() - interval '1 second' WHERE id = '%s'",
           harness_text(ending.json, "data.id"));
  harness_sql(h->database_url, sql);
  REPLY_AUTO expired;
  snprintf(header, sizeof header, "X-API-Key: %s", harness_text(ending.json, "data.key"));
  call(h, "GET", "/api/v1/jobs", (const char *[]){header, NULL}, NULL, 401, &expired);
}

static void keys_are_for_admins_and_never_shown_again(void **state) {
  struct harness *h = *state;
  REPLY_AUTO refused;
  REPLY_AUTO list;
  char header[128];
  snprintf(header, sizeof header, "X-API-Key: %s", user_key);
  call(h, "GET", "/api/v1/api-keys", (const char *[]){header, NULL}, NULL, 403, &refused);
  assert_string_equal(code_of(&refused), "FORBIDDEN");
  call(h, "GET", "/api/v1/api-keys", NULL, NULL, 200, &list);
  assert_null(strstr(list.body, h->api_key));
  assert_null(strstr(list.body, "\"key\""));
  assert_null(strstr(list.body, "hash"));
}

static void another_owners_job_is_not_found(void **state) {
  struct harness *h = *state;
  char id[40], header[128];
  static const char *const paths[][2] = {{"GET", ""}, {"GET", "?wait=5"}, {"POST", "/cancel"}, {"POST", "/retry"}};
  submit(h, id);
  snprintf(header, sizeof header, "X-API-Key: %s", other_key);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    REPLY_AUTO reply;
    char path[128];
    snprintf(path, sizeof path, "/api/v1/jobs/%s%s", id, paths[i][1]);
    call(h, paths[i][0], path, (const char *[]){header, NULL}, NULL, 404, &reply);
    assert_string_equal(code_of(&reply), "NOT_FOUND");
    assert_true(reply.ms < 3000);
  }
  REPLY_AUTO list;
  call(h, "GET", "/api/v1/jobs", (const char *[]){header, NULL}, NULL, 200, &list);
  assert_int_equal(json_array_size(harness_at(list.json, "data.items")), 0);
}

/* --- idempotency --- */

static void the_same_request_is_the_same_job(void **state) {
  struct harness *h = *state;
  const char *const key[] = {"Idempotency-Key: order 66", NULL};
  char header[128], replayed[16];
  REPLY_AUTO first;
  REPLY_AUTO second;
  REPLY_AUTO reordered;
  REPLY_AUTO mismatch;
  REPLY_AUTO elsewhere;
  call(h, "POST", "/api/v1/jobs/echo", key, "{\"payload\": {\"a\": 1, \"b\": 2}}", 202, &first);
  call(h, "POST", "/api/v1/jobs/echo", key, "{\"payload\": {\"a\": 1, \"b\": 2}}", 202, &second);
  call(h, "POST", "/api/v1/jobs/echo", key, "{ \"payload\": {\"b\": 2, \"a\": 1} }", 202, &reordered);
  assert_string_equal(harness_text(first.json, "data.job_id"), harness_text(second.json, "data.job_id"));
  assert_string_equal(harness_text(first.json, "data.job_id"), harness_text(reordered.json, "data.job_id"));
  assert_string_equal(harness_header(&first, "Idempotent-Replayed", replayed, sizeof replayed), "");
  assert_string_equal(harness_header(&second, "Idempotent-Replayed", replayed, sizeof replayed), "true");
  call(h, "POST", "/api/v1/jobs/echo", key, "{\"payload\": {\"a\": 1, \"b\": 3}}", 422, &mismatch);
  assert_string_equal(code_of(&mismatch), "IDEMPOTENCY_MISMATCH");
  snprintf(header, sizeof header, "X-API-Key: %s", other_key);
  call(h, "POST", "/api/v1/jobs/echo", (const char *[]){key[0], header, NULL}, "{\"payload\": {\"a\": 1, \"b\": 2}}", 202, &elsewhere);
  assert_string_not_equal(harness_text(first.json, "data.job_id"), harness_text(elsewhere.json, "data.job_id"));
}

static void a_key_is_kept_for_a_day(void **state) {
  struct harness *h = *state;
  const char *const key[] = {"Idempotency-Key: old", NULL};
  REPLY_AUTO first;
  REPLY_AUTO second;
  call(h, "POST", "/api/v1/jobs/echo", key, "{\"payload\": 1}", 202, &first);
  harness_sql(h->database_url, "UPDATE autodb.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'");
  call(h, "POST", "/api/v1/jobs/echo", key, "{\"payload\": 2}", 202, &second);
  assert_string_not_equal(harness_text(first.json, "data.job_id"), harness_text(second.json, "data.job_id"));
}

static void one_key_at_once_from_many_is_one_job(void **state) {
  struct harness *h = *state;
  enum { CLIENTS = 24 };
  int fds[CLIENTS];
  char text[512];
  static const char body[] = "{\"payload\":1}";
  snprintf(text, sizeof text,
           "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nIdempotency-Key: "
           "race\r\nContent-Length: %zu\r\n\r\n%s",
           h->api_key, sizeof body - 1, body);
  for (int i = 0; i < CLIENTS; i++) fds[i] = harness_socket(h);
  for (int i = 0; i < CLIENTS; i++) assert_true(raw_send(fds[i], text, strlen(text)));
  for (int i = 0; i < CLIENTS; i++) {
    RAW_AUTO answer;
    raw_read(fds[i], false, &answer);
    assert_int_equal(answer.status, 202);
    close(fds[i]);
  }
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.idempotency_keys WHERE key = 'race'"), 1);
  assert_int_equal(
      harness_count(h->database_url,
                    "SELECT count(*) FROM autodb.jobs j JOIN autodb.idempotency_keys k ON k.job_id = j.id WHERE k.key = 'race'"),
      1);
}

static void bad_idempotency_keys_are_refused(void **state) {
  struct harness *h = *state;
  char header[400] = "Idempotency-Key: ";
  memset(header + 17, 'k', 256);
  REPLY_AUTO longer;
  REPLY_AUTO foreign;
  call(h, "POST", "/api/v1/jobs/echo", (const char *[]){header, NULL}, "{\"payload\":1}", 422, &longer);
  call(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Idempotency-Key: \xc3\xa9", NULL}, "{\"payload\":1}", 422, &foreign);
}

/* --- waiting --- */

static int long_poll(struct harness *h, const char *id) {
  char text[1024];
  int fd = harness_socket(h);
  snprintf(text, sizeof text, "GET /api/v1/jobs/%s?wait=20 HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n\r\n", id, h->api_key);
  assert_true(raw_send(fd, text, strlen(text)));
  return fd;
}

/* Nobody publishes here: the look once a second must do. */
static void a_wait_ends_with_the_job(void **state) {
  struct harness *h = *state;
  char id[40];
  RAW_AUTO answer;
  submit(h, id);
  int fd = long_poll(h, id);
  finish(h, id, "succeeded");
  int64_t began = harness_now_ms();
  raw_read(fd, false, &answer);
  assert_true(harness_now_ms() - began < 20000);
  assert_int_equal(answer.status, 200);
  assert_non_null(strstr(answer.body, "\"status\": \"succeeded\""));
  assert_non_null(strstr(answer.body, "\"result\": {\"payload\": {\"a\":   1}}")); /* as stored */
  close(fd);
}

static void a_wait_that_passes_shows_the_job_as_it_is(void **state) {
  struct harness *h = *state;
  REPLY_AUTO looked;
  REPLY_AUTO submitted;
  char id[40], path[128], applied[32];
  submit(h, id);
  snprintf(path, sizeof path, "/api/v1/jobs/%s?wait=1", id);
  call(h, "GET", path, NULL, NULL, 200, &looked);
  assert_string_equal(harness_text(looked.json, "data.status"), "queued");
  assert_true(looked.ms > 900 && looked.ms < 3000);
  call(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Prefer: wait=1", NULL}, "{\"payload\": 1}", 202, &submitted);
  assert_true(submitted.ms > 900 && submitted.ms < 3000);
  assert_string_equal(harness_header(&submitted, "Preference-Applied", applied, sizeof applied), "");
}

static void a_preference_is_applied(void **state) {
  struct harness *h = *state;
  RAW_AUTO answer;
  char text[512], id[40], applied[32];
  static const char body[] = "{\"payload\":\"wait for me\"}";
  int fd = harness_socket(h);
  snprintf(text, sizeof text,
           "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nPrefer: "
           "wait=20\r\nContent-Length: %zu\r\n\r\n%s",
           h->api_key, sizeof body - 1, body);
  raw_send(fd, text, strlen(text));
  static const char find[] = "SELECT count(*) FROM autodb.jobs WHERE payload->>'payload' = 'wait for me'";
  assert_true(POLL_UNTIL(harness_count(h->database_url, find) == 1, 5000));
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, "SELECT id FROM autodb.jobs WHERE payload->>'payload' = 'wait for me'");
  snprintf(id, sizeof id, "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
  PQfinish(conn);
  finish(h, id, "failed");
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 200);
  assert_string_equal(raw_header(&answer, "Preference-Applied", applied, sizeof applied), "wait=20");
  close(fd);
}

static void bad_waits_are_refused(void **state) {
  struct harness *h = *state;
  char id[40], path[128];
  submit(h, id);
  static const char *const waits[] = {"61", "-1", "x", ""};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/jobs/%s?wait=%s", id, waits[i]);
    call(h, "GET", path, NULL, NULL, 422, &reply);
  }
}

/* --- cancel and retry --- */

static void a_queued_job_is_cancelled_for_good(void **state) {
  struct harness *h = *state;
  REPLY_AUTO cancelled;
  REPLY_AUTO again;
  char id[40], path[128], sql[256];
  submit(h, id);
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", id);
  call(h, "POST", path, NULL, NULL, 202, &cancelled);
  assert_string_equal(harness_text(cancelled.json, "data.status"), "cancelled");
  assert_string_equal(harness_text(cancelled.json, "data.error.code"), "JOB_CANCELLED");
  call(h, "POST", path, NULL, "{}", 409, &again);
  assert_string_equal(code_of(&again), "CONFLICT");
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.results WHERE job_id = '%s' AND state = 'cancelled'", id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void a_running_job_is_told(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char id[40], path[128], sql[256];
  submit(h, id);
  snprintf(sql, sizeof sql, "UPDATE autodb.queue SET state = 'running', attempt = 1, started_at = now() WHERE id = '%s'", id);
  harness_sql(h->database_url, sql);
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", id);
  call(h, "POST", path, NULL, NULL, 202, &reply);
  assert_string_equal(harness_text(reply.json, "data.status"), "running");
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.queue WHERE id = '%s' AND cancel_requested AND state = 'running'", id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void an_ended_job_is_queued_again(void **state) {
  struct harness *h = *state;
  REPLY_AUTO early;
  REPLY_AUTO retried;
  REPLY_AUTO succeeded;
  char id[40], path[128], sql[256];
  submit(h, id);
  snprintf(path, sizeof path, "/api/v1/jobs/%s/retry", id);
  call(h, "POST", path, NULL, NULL, 409, &early);
  finish(h, id, "dead");
  call(h, "POST", path, NULL, NULL, 202, &retried);
  assert_string_equal(harness_text(retried.json, "data.status"), "queued");
  assert_int_equal(harness_int(retried.json, "data.attempt"), 1); /* the fence is never lowered */
  assert_true(json_is_null(harness_at(retried.json, "data.result")));
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.results WHERE job_id = '%s'", id);
  assert_int_equal(harness_count(h->database_url, sql), 0);
  finish(h, id, "succeeded");
  call(h, "POST", path, NULL, NULL, 409, &succeeded);
}

/* --- lists --- */

static void lists_have_pages_and_filters(void **state) {
  struct harness *h = *state;
  REPLY_AUTO made;
  char header[128], path[512], cursor[128] = "", id[40];
  call(h, "POST", "/api/v1/api-keys", NULL, "{\"name\": \"pages\", \"role\": \"user\", \"owner\": \"pages\"}", 201, &made);
  snprintf(header, sizeof header, "X-API-Key: %s", harness_text(made.json, "data.key"));
  const char *const headers[] = {header, NULL};
  char seen[7][40];
  for (int i = 0; i < 7; i++) {
    REPLY_AUTO reply;
    call(h, "POST", "/api/v1/jobs/echo", headers, "{\"payload\": 1}", 202, &reply);
    snprintf(seen[i], sizeof seen[i], "%s", harness_text(reply.json, "data.job_id"));
  }
  int shown = 0;
  for (int page = 0; page < 3; page++) { /* newest first: 3, 3, 1 */
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/jobs?limit=3%s%s", *cursor ? "&cursor=" : "", cursor);
    call(h, "GET", path, headers, NULL, 200, &reply);
    json_t *items = harness_at(reply.json, "data.items"), *item;
    size_t i;
    json_array_foreach(items, i, item) assert_string_equal(harness_text(item, "job_id"), seen[6 - shown++]);
    snprintf(cursor, sizeof cursor, "%s", harness_text(reply.json, "data.next_cursor"));
    assert_int_equal(json_is_null(harness_at(reply.json, "data.next_cursor")), page == 2);
    if (page == 0) snprintf(id, sizeof id, "%s", cursor);
  }
  assert_int_equal(shown, 7);

  finish(h, seen[2], "succeeded");
  static const struct {
    const char *query;
    size_t items;
  } cases[] = {{"status=succeeded", 1},
               {"status=queued", 6},
               {"kind=system.echo", 7},
               {"kind=migration.analyze", 0},
               {"created_after=2020-01-01", 7},
               {"created_before=2020-01-01T00:00:00Z", 0},
               {"connection_id=01890a5d-ac96-774b-bcce-b302099a8057", 0},
               {"status=queued&kind=system.echo&limit=200", 6}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/jobs?%s", cases[i].query);
    call(h, "GET", path, headers, NULL, 200, &reply);
    if (json_array_size(harness_at(reply.json, "data.items")) != cases[i].items) fail_msg("%s: %s", cases[i].query, reply.body);
  }
  static const char *const bad[] = {"limit=0",         "limit=201",    "status=done", "kind=nope", "cursor=AAAA", "created_after=yesterday",
                                    "connection_id=1", "statsu=queued"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/jobs?%s", bad[i]);
    call(h, "GET", path, headers, NULL, 422, &reply);
  }
  REPLY_AUTO foreign; /* a cursor is its owner's */
  snprintf(path, sizeof path, "/api/v1/jobs?cursor=%s", id);
  call(h, "GET", path, NULL, NULL, 422, &foreign);
}

static void usage_counts_by_day(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char id[40];
  submit(h, id);
  call(h, "GET", "/api/v1/usage?days=2", NULL, NULL, 200, &reply);
  assert_string_equal(harness_text(reply.json, "data.days.0.jobs.0.kind"), "system.echo");
  assert_true(harness_int(reply.json, "data.days.0.jobs.0.count") > 0);
}

static void metrics_are_served_apart(void **state) {
  struct harness *h = *state;
  REPLY_AUTO metrics;
  REPLY_AUTO public;
  call(h, "GET", h->metrics_url, NULL, NULL, 200, &metrics);
  assert_non_null(strstr(metrics.body, "autodb_http_requests_total"));
  assert_non_null(strstr(metrics.body, "autodb_jobs_accepted_total"));
  call(h, "GET", "/metrics", NULL, NULL, 404, &public);
}

static void readiness_names_what_is_missing(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char retry[16];
  call(h, "GET", "/readyz", NULL, NULL, 503, &reply);
  assert_non_null(strstr(harness_text(reply.json, "error.message"), "worker"));
  assert_true(json_is_true(harness_at(reply.json, "error.details.postgres")));
  assert_string_equal(harness_header(&reply, "Retry-After", retry, sizeof retry), "1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_accepted_job_is_whole_and_in_the_record),
      cmocka_unit_test(the_bell_is_rung),
      cmocka_unit_test(the_trace_is_continued),
      cmocka_unit_test(job_members_are_checked),
      cmocka_unit_test(a_large_payload_is_taken_and_a_larger_one_refused),
      cmocka_unit_test(keys_are_needed_and_checked),
      cmocka_unit_test(an_unknown_key_with_a_body_to_come_closes),
      cmocka_unit_test(a_key_ends_when_revoked_or_expired),
      cmocka_unit_test(keys_are_for_admins_and_never_shown_again),
      cmocka_unit_test(another_owners_job_is_not_found),
      cmocka_unit_test(the_same_request_is_the_same_job),
      cmocka_unit_test(a_key_is_kept_for_a_day),
      cmocka_unit_test(one_key_at_once_from_many_is_one_job),
      cmocka_unit_test(bad_idempotency_keys_are_refused),
      cmocka_unit_test(a_wait_ends_with_the_job),
      cmocka_unit_test(a_wait_that_passes_shows_the_job_as_it_is),
      cmocka_unit_test(a_preference_is_applied),
      cmocka_unit_test(bad_waits_are_refused),
      cmocka_unit_test(a_queued_job_is_cancelled_for_good),
      cmocka_unit_test(a_running_job_is_told),
      cmocka_unit_test(an_ended_job_is_queued_again),
      cmocka_unit_test(lists_have_pages_and_filters),
      cmocka_unit_test(usage_counts_by_day),
      cmocka_unit_test(metrics_are_served_apart),
      cmocka_unit_test(readiness_names_what_is_missing),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
