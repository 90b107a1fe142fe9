/* POST /migrations/execute as clients see it. No worker runs here: the tests sign tokens as one would, and are the worker where one is
 * needed, so each state and each refusal is seen alone. */
#include <unistd.h>

#include "common/approval.h"
#include "common/clock.h"
#include "common/id.h"
#include "tests/support/jobs.h"
#include "tests/support/raw.h"

#define SQL "ALTER TABLE t ADD c int"
#define FINGERPRINT "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define PATH "/api/v1/migrations/execute"
#define SNAPSHOT "01890000-0000-7000-8000-0000000000a1"
#define ASYNC ((const char *[]){"Prefer: respond-async", NULL})

static struct harness *h;
static struct arena *arena;
static struct keyring *keyring;
static char other_key[64], connection[ID_TEXT];

static const char *new_id(void) {
  struct id id;
  char text[ID_TEXT];
  id_new(&id);
  return arena_strdup(arena, id_format(&id, text));
}

static void run(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void run(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *sql = arena_vprintf(arena, fmt, args);
  va_end(args);
  harness_sql(h->database_url, sql);
}

static long long count(const char *fmt, ...) PRINTF_LIKE(1, 2);
static long long count(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *sql = arena_vprintf(arena, fmt, args);
  va_end(args);
  return harness_count(h->database_url, sql);
}

static const char *add_connection(const char *owner_id) {
  const char *id = new_id();
  run("INSERT INTO autodb.connections (id, owner_id, name, db_type, host, port, database_name) VALUES ('%s', '%s', 'c', 'postgresql', "
      "'127.0.0.1', 1, 'x')",
      id, owner_id);
  return id;
}

static int setup(void **state) {
  ERROR_AUTO err = {0};
  *state = h = harness_new();
  arena = arena_new((size_t)64 << 20);
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  char key[64];
  harness_key(h, "test", "user", key);
  harness_key(h, "other", "user", other_key);
  harness_api(h, NULL);
  assert_int_equal(keyring_new(h->master_key, &keyring, &err), OK);
  snprintf(connection, sizeof connection, "%s", add_connection(h->owner_id));
  run("INSERT INTO autodb.snapshots (id, connection_id, fingerprint, server_version, server_version_num, table_count, body) VALUES "
      "('" SNAPSHOT "', '%s', '" FINGERPRINT "', '17', 170000, 0, '')",
      connection);
  return 0;
}

static int teardown(void **state) {
  keyring_free(keyring);
  arena_free(arena);
  return harness_teardown(state);
}

/* --- tokens, as a worker issues them --- */

struct offer {
  const char *owner, *connection, *sql, *nonce;
  long long life_s; /* from now on; negative: it is over */
};

static const char *sign(const struct offer *offer) {
  ERROR_AUTO err = {0};
  char digest[SHA256_HEX];
  const char *token, *sql = offer->sql ? offer->sql : SQL;
  const struct approval approval = {.sql_sha256 = crypto_sha256_hex(sql, strlen(sql), digest),
                                    .connection_id = offer->connection ? offer->connection : connection,
                                    .owner = offer->owner ? offer->owner : h->owner_id,
                                    .snapshot_id = SNAPSHOT,
                                    .schema_fingerprint = FINGERPRINT,
                                    .nonce = offer->nonce,
                                    .exp = clock_wall_ms() / 1000 + (offer->life_s ? offer->life_s : 3600)};
  assert_int_equal(approval_sign(keyring, &approval, arena, &token, &err), OK);
  return token;
}

static const char *new_nonce(void) {
  uint8_t bytes[APPROVAL_NONCE_BYTES];
  char text[2 * APPROVAL_NONCE_BYTES + 1];
  crypto_random(bytes, sizeof bytes);
  crypto_hex(bytes, sizeof bytes, text);
  return arena_strdup(arena, text);
}

/* Signs and records; the nonce is made when the offer has none. */
static const char *issue(struct offer *offer) {
  if (!offer->nonce) offer->nonce = new_nonce();
  const char *token = sign(offer);
  run("INSERT INTO autodb.approvals (nonce, owner_id, connection_id, snapshot_id, analyze_job_id, sql_sha256, schema_fingerprint, "
      "expires_at) "
      "VALUES ('%s', '%s', '%s', '" SNAPSHOT "', '%s', 'x', 'x', now())",
      offer->nonce, offer->owner ? offer->owner : h->owner_id, offer->connection ? offer->connection : connection, new_id());
  return token;
}

static const char *token_of(const char *nonce) { return issue(&(struct offer){.nonce = nonce}); }

static const char *body_of(const char *token, const char *options) {
  return arena_printf(arena, "{\"approval_token\": \"%s\", \"sql\": \"" SQL "\", \"connection_id\": \"%s\"%s%s}", token, connection,
                      options ? ", \"options\": " : "", options ? options : "");
}

/* --- calls --- */

static void call(const char *const headers[], const char *body, int status, const char *code, struct harness_reply *ret_reply) {
  harness_http(h, "POST", PATH, headers, body, ret_reply);
  const char *got = harness_text(ret_reply->json, "error.code");
  if (ret_reply->status != status || strcmp(got, code) != 0)
    fail_msg("%ld %s instead of %d %s: %s", ret_reply->status, got, status, code, ret_reply->body);
}

static const char *job_of(const struct harness_reply *reply) { return arena_strdup(arena, harness_text(reply->json, "data.job_id")); }

/* Accepts a fresh token's job without waiting. */
static const char *accept(const char *token) {
  REPLY_AUTO reply;
  call(ASYNC, body_of(token, NULL), 202, "", &reply);
  return job_of(&reply);
}

static void refused(const char *const headers[], const char *body, const char *code) {
  REPLY_AUTO reply;
  long long before = count("SELECT count(*) FROM autodb.jobs");
  call(headers, body, 409, code, &reply);
  assert_int_equal(count("SELECT count(*) FROM autodb.jobs"), before);
}

static void replayed(const char *body, const char *job_id) {
  REPLY_AUTO reply;
  char header[64];
  call(ASYNC, body, 202, "", &reply);
  assert_string_equal(harness_text(reply.json, "data.job_id"), job_id);
  assert_string_equal(harness_header(&reply, "Idempotent-Replayed", header, sizeof header), "true");
}

static void finish(const char *job_id, const char *state, const char *result, const char *error) {
  jobs_finish(h, job_id, state, result, error);
}

#define DRIFT \
  "{\"code\": \"SCHEMA_DRIFT\", \"message\": \"It is not the schema analysed.\", \"details\": {\"diff\": [{\"object\": \"t\"}]}}"

static void used_by(const char *nonce, const char *job_id) {
  assert_int_equal(
      count("SELECT count(*) FROM autodb.approvals WHERE nonce = '%s' AND used_by_job_id = '%s' AND used_at IS NOT NULL", nonce, job_id),
      1);
}

static void not_used(const char *nonce) {
  assert_int_equal(count("SELECT count(*) FROM autodb.approvals WHERE nonce = '%s' AND used_by_job_id IS NULL", nonce), 1);
}

/* --- accepting --- */

static void an_accepted_job_holds_what_the_worker_needs(void **state) {
  (void)state;
  REPLY_AUTO reply;
  const char *nonce = new_nonce(), *token = token_of(nonce);
  char location[128];
  call(ASYNC, body_of(token, "{\"statement_timeout_ms\": 60000, \"lock_retries\": 0, \"dry_run\": true}"), 202, "", &reply);
  const char *id = job_of(&reply);
  assert_string_equal(harness_text(reply.json, "data.kind"), "migration.execute");
  assert_string_equal(harness_text(reply.json, "data.status"), "queued");
  assert_string_equal(harness_text(reply.json, "data.connection_id"), connection);
  assert_string_equal(harness_header(&reply, "Location", location, sizeof location), arena_printf(arena, "/api/v1/jobs/%s", id));
  assert_true(reply.ms < 2000);
  used_by(nonce, id);
  json_t *payload = json_loads(jobs_value(h, id, "j.payload"), 0, NULL);
  json_t *wanted = json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:b}}", "sql", SQL, "approval_token", token, "options", "lock_timeout_ms", 3000,
                             "statement_timeout_ms", 60000, "lock_retries", 0, "dry_run", 1);
  assert_true(json_equal(payload, wanted));
  json_decref(payload);
  json_decref(wanted);
}

static void the_short_path_and_the_common_members(void **state) {
  (void)state;
  REPLY_AUTO reply;
  const char *body = body_of(token_of(new_nonce()), "null");
  body = arena_printf(arena, "%.*s, \"metadata\": {\"ticket\": 7}, \"priority\": \"bulk\"}", (int)strlen(body) - 1, body);
  harness_http(h, "POST", "/execute", ASYNC, body, &reply);
  assert_int_equal(reply.status, 202);
  assert_int_equal(harness_int(reply.json, "data.metadata.ticket"), 7);
  assert_string_equal(harness_text(reply.json, "data.priority"), "bulk");
  assert_string_equal(jobs_value(h, job_of(&reply), "j.payload->'options'"),
                      "{\"lock_timeout_ms\":3000,\"lock_retries\":10,\"dry_run\":false}");
}

static void bad_bodies_are_named_and_use_nothing(void **state) {
  (void)state;
  const char *nonce = new_nonce(), *token = token_of(nonce);
  const struct {
    const char *body, *path;
  } rows[] = {
      {"{}", "approval_token"},
      {"{}", "sql"},
      {"{}", "connection_id"},
      {body_of("", NULL), "approval_token"},
      {body_of(token, "{\"lock_timeout_ms\": 0}"), "options.lock_timeout_ms"},
      {body_of(token, "{\"lock_timeout_ms\": 3600001}"), "options.lock_timeout_ms"},
      {body_of(token, "{\"lock_timeout_ms\": \"3s\"}"), "options.lock_timeout_ms"},
      {body_of(token, "{\"statement_timeout_ms\": 0}"), "options.statement_timeout_ms"},
      {body_of(token, "{\"statement_timeout_ms\": 3600001}"), "options.statement_timeout_ms"},
      {body_of(token, "{\"lock_retries\": -1}"), "options.lock_retries"},
      {body_of(token, "{\"lock_retries\": 101}"), "options.lock_retries"},
      {body_of(token, "{\"dry_run\": 1}"), "options.dry_run"},
      {body_of(token, "{\"dryrun\": true}"), "options.dryrun"},
      {body_of(token, "[]"), "options"},
      {arena_printf(arena, "{\"approval_token\": \"%s\", \"sql\": \"" SQL "\", \"connection_id\": \"x\"}", token), "connection_id"},
      {arena_printf(arena, "{\"approval_token\": \"%s\", \"sql\": \"\", \"connection_id\": \"%s\"}", token, connection), "sql"},
      {arena_printf(arena, "{\"approval_token\": \"%s\", \"sql\": \"" SQL "\", \"connection_id\": \"%s\", \"force\": true}", token,
                    connection),
       "force"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    REPLY_AUTO reply;
    call(NULL, rows[i].body, 422, "VALIDATION_ERROR", &reply);
    bool named = false;
    size_t at;
    json_t *field;
    json_array_foreach(harness_at(reply.json, "error.details.fields"), at, field) named |=
        strcmp(harness_text(field, "path"), rows[i].path) == 0;
    if (!named) fail_msg("%s is not named: %s", rows[i].path, reply.body);
  }
  not_used(nonce);
}

static void each_refusal_has_its_code(void **state) {
  (void)state;
  const char *nonce = new_nonce(), *token = token_of(nonce), *late = new_nonce();
  char *tampered = arena_strdup(arena, token);
  tampered[10] = tampered[10] == 'A' ? 'B' : 'A';
  refused(NULL, body_of("nonsense", NULL), "TOKEN_INVALID");
  refused(NULL, body_of(tampered, NULL), "TOKEN_INVALID");
  refused(NULL, body_of(issue(&(struct offer){.nonce = late, .life_s = -1}), NULL), "TOKEN_EXPIRED");
  not_used(late);
  refused(NULL, body_of(sign(&(struct offer){.nonce = new_nonce()}), NULL), "TOKEN_INVALID"); /* signed, but nobody recorded it */
  refused(NULL, body_of(issue(&(struct offer){.sql = "DROP TABLE t"}), NULL), "TOKEN_SQL_MISMATCH");
  refused(NULL, body_of(issue(&(struct offer){.connection = add_connection(h->owner_id)}), NULL), "TOKEN_CONNECTION_MISMATCH");
  refused(NULL, body_of(issue(&(struct offer){.owner = new_id()}), NULL), "TOKEN_INVALID");
  refused((const char *[]){arena_printf(arena, "X-API-Key: %s", other_key), NULL}, body_of(token, NULL), "TOKEN_INVALID");
  not_used(nonce);
  assert_string_not_equal(accept(token), "");
}

static void a_deleted_connection_is_not_found(void **state) {
  (void)state;
  REPLY_AUTO fresh, again;
  char kept[ID_TEXT];
  memcpy(kept, connection, sizeof kept);
  snprintf(connection, sizeof connection, "%s", add_connection(h->owner_id));
  const char *nonce = new_nonce(), *unused = body_of(token_of(nonce), NULL), *used = body_of(token_of(new_nonce()), NULL);
  call(ASYNC, used, 202, "", &fresh);
  run("UPDATE autodb.connections SET deleted_at = now() WHERE id = '%s'", connection);
  memcpy(connection, kept, sizeof kept);
  call(ASYNC, unused, 404, "NOT_FOUND", &again);
  not_used(nonce);
  REPLY_AUTO replay;
  call(ASYNC, used, 404, "NOT_FOUND", &replay);
}

/* --- a token is good for one job --- */

static void the_same_request_again_is_the_same_job(void **state) {
  (void)state;
  const char *nonce = new_nonce(), *token = token_of(nonce), *id = accept(token);
  replayed(body_of(token, NULL), id);
  replayed(body_of(token, "{}"), id);
  replayed(body_of(token, "{\"lock_timeout_ms\": 3000, \"dry_run\": false, \"lock_retries\": 10, \"statement_timeout_ms\": null}"), id);
  /* the same approval with its time over: signed anew, since a test can't wait an hour */
  replayed(body_of(sign(&(struct offer){.nonce = nonce, .life_s = -10}), NULL), id);
  assert_int_equal(count("SELECT count(*) FROM autodb.jobs WHERE payload->>'approval_token' = '%s'", token), 1);
  assert_int_equal(jobs_redis(h, "XLEN {autodb}:q:interactive"), count("SELECT count(*) FROM autodb.jobs WHERE lane = 'interactive'"));
}

static void another_request_with_a_used_token_is_refused(void **state) {
  (void)state;
  const char *token = token_of(new_nonce()), *id = accept(token);
  REPLY_AUTO reply;
  call(NULL, body_of(token, "{\"dry_run\": true}"), 409, "TOKEN_INVALID", &reply);
  assert_string_equal(harness_text(reply.json, "error.details.job_id"), id);
  assert_non_null(strstr(harness_text(reply.json, "error.message"), id));
  refused(NULL, body_of(token, "{\"statement_timeout_ms\": 1000}"), "TOKEN_INVALID");
  run("DELETE FROM autodb.jobs WHERE id = '%s'; DELETE FROM autodb.queue WHERE id = '%s'", id, id); /* as retention does */
  refused(NULL, body_of(token, NULL), "TOKEN_INVALID");
}

#define POSTS 20
/* Sends all requests before it reads any answer. Bodies may be the same. */
static void post_all(const char *const bodies[POSTS], const char *header, struct raw_answer answers[POSTS]) {
  int fds[POSTS];
  for (int i = 0; i < POSTS; i++) {
    fds[i] = harness_socket(h);
    const char *text = arena_printf(arena,
                                    "POST " PATH " HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nPrefer: respond-async\r\nContent-Type: "
                                    "application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
                                    h->api_key, header, strlen(bodies[i]), bodies[i]);
    assert_true(raw_send(fds[i], text, strlen(text)));
  }
  for (int i = 0; i < POSTS; i++) {
    raw_read(fds[i], false, &answers[i]);
    close(fds[i]);
  }
}

static void twenty_at_once_make_one_job(void **state) {
  (void)state;
  for (int keyed = 0; keyed < 2; keyed++) {
    struct raw_answer answers[POSTS];
    const char *bodies[POSTS], *token = token_of(new_nonce()), *id = NULL;
    int replays = 0;
    for (int i = 0; i < POSTS; i++) bodies[i] = body_of(token, NULL);
    post_all(bodies, keyed ? "Idempotency-Key: twenty\r\n" : "", answers);
    for (int i = 0; i < POSTS; i++) {
      char header[16];
      if (answers[i].status != 202) fail_msg("%d: %s", answers[i].status, answers[i].body);
      json_t *json = json_loads(answers[i].body, 0, NULL);
      if (!id) id = arena_strdup(arena, harness_text(json, "data.job_id"));
      assert_string_equal(harness_text(json, "data.job_id"), id);
      replays += strcmp(raw_header(&answers[i], "Idempotent-Replayed", header, sizeof header), "true") == 0;
      json_decref(json);
      raw_free(&answers[i]);
    }
    assert_int_equal(replays, POSTS - 1);
    assert_int_equal(count("SELECT count(*) FROM autodb.jobs WHERE payload->>'approval_token' = '%s'", token), 1);
  }
}

/* --- Idempotency-Key beside the token --- */

static void a_key_goes_with_one_request(void **state) {
  (void)state;
  const char *const headers[] = {"Prefer: respond-async", "Idempotency-Key: deploy-1", NULL};
  const char *first = token_of(new_nonce()), *nonce = new_nonce(), *second = token_of(nonce);
  REPLY_AUTO made, again, other, bad;
  call(headers, body_of(first, NULL), 202, "", &made);
  call(headers, body_of(first, NULL), 202, "", &again);
  assert_string_equal(job_of(&made), job_of(&again));
  call(headers, body_of(second, NULL), 422, "IDEMPOTENCY_MISMATCH", &other);
  not_used(nonce);
  call((const char *[]){"Idempotency-Key: caf\xc3\xa9", NULL}, body_of(second, NULL), 422, "VALIDATION_ERROR", &bad);
  not_used(nonce);
  /* a new key with a used token is a replay, and the key stays free */
  REPLY_AUTO replay, later;
  call((const char *[]){"Prefer: respond-async", "Idempotency-Key: deploy-2", NULL}, body_of(first, NULL), 202, "", &replay);
  assert_string_equal(job_of(&made), job_of(&replay));
  call((const char *[]){"Prefer: respond-async", "Idempotency-Key: deploy-2", NULL}, body_of(second, NULL), 202, "", &later);
  used_by(nonce, job_of(&later));
  /* a key older than a day is free again */
  run("UPDATE autodb.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'deploy-1'");
  REPLY_AUTO next_day;
  call(headers, body_of(token_of(new_nonce()), NULL), 202, "", &next_day);
  assert_string_not_equal(job_of(&made), job_of(&next_day));
}

static void one_key_for_many_tokens_at_once_makes_one_job(void **state) {
  (void)state;
  struct raw_answer answers[POSTS];
  const char *bodies[POSTS];
  int accepted = 0, mismatched = 0;
  long long before = count("SELECT count(*) FROM autodb.jobs"), used = count("SELECT count(used_by_job_id) FROM autodb.approvals");
  for (int i = 0; i < POSTS; i++) bodies[i] = body_of(token_of(new_nonce()), NULL);
  post_all(bodies, "Idempotency-Key: many\r\n", answers);
  for (int i = 0; i < POSTS; i++) {
    accepted += answers[i].status == 202;
    mismatched += answers[i].status == 422;
    raw_free(&answers[i]);
  }
  assert_int_equal(accepted, 1);
  assert_int_equal(mismatched, POSTS - 1);
  assert_int_equal(count("SELECT count(*) FROM autodb.jobs"), before + 1);
  assert_int_equal(count("SELECT count(used_by_job_id) FROM autodb.approvals"), used + 1);
}

/* --- the answer is held for what the worker refuses --- */

/* Posts, waits until the job is in the record, ends it so, and reads the answer. */
static const char *post_and_finish(const char *prefer, const char *end_state, const char *result, const char *error,
                                   struct raw_answer *ret_answer) {
  const char *token = token_of(new_nonce()), *body = body_of(token, NULL);
  int fd = harness_socket(h);
  const char *text = arena_printf(arena,
                                  "POST " PATH " HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n%s"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  h->api_key, prefer, strlen(body), body);
  assert_true(raw_send(fd, text, strlen(text)));
  const char *where = arena_printf(arena, "payload->>'approval_token' = '%s'", token);
  assert_true(POLL_UNTIL(jobs_count(h, where) == 1, 5000));
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, arena_printf(arena, "SELECT id FROM autodb.jobs WHERE %s", where));
  const char *id = arena_strdup(arena, PQgetvalue(res, 0, 0));
  PQclear(res);
  PQfinish(conn);
  finish(id, end_state, result, error);
  jobs_redis(h, "PUBLISH {autodb}:done %s", id);
  raw_read(fd, false, ret_answer);
  close(fd);
  return body;
}

static void drift_is_this_requests_failure(void **state) {
  (void)state;
  static const char *const prefers[] = {"", "Prefer: wait=30\r\n", "Prefer: respond-async, wait=30\r\n"};
  for (size_t i = 0; i < sizeof prefers / sizeof *prefers; i++) {
    RAW_AUTO answer;
    const char *body = post_and_finish(prefers[i], "failed", NULL, DRIFT, &answer);
    if (answer.status != 409) fail_msg("%d: %s", answer.status, answer.body);
    json_t *json = json_loads(answer.body, 0, NULL);
    assert_string_equal(harness_text(json, "error.code"), "SCHEMA_DRIFT");
    assert_string_equal(harness_text(json, "error.message"), "It is not the schema analysed.");
    assert_string_equal(harness_text(json, "error.details.diff.0.object"), "t");
    const char *id = arena_strdup(arena, harness_text(json, "error.details.job_id"));
    assert_string_equal(jobs_state(h, id), "failed");
    json_decref(json);
    /* the token stays used, and a replay is told the same; whoever doesn't wait gets the job */
    REPLY_AUTO again;
    call(NULL, body, 409, "SCHEMA_DRIFT", &again);
    assert_string_equal(harness_text(again.json, "error.details.job_id"), id);
    assert_true(again.ms < 2000);
    replayed(body, id);
    REPLY_AUTO job;
    harness_http(h, "GET", arena_printf(arena, "/api/v1/jobs/%s", id), NULL, NULL, &job);
    assert_int_equal(job.status, 200);
  }
}

static void what_else_ends_in_time_is_the_job(void **state) {
  (void)state;
  static const struct {
    const char *prefer, *state, *result, *error;
    int status;
    const char *applied;
  } rows[] = {
      {"", "succeeded", "{\"applied\": true}", NULL, 202, ""},
      {"Prefer: wait=20\r\n", "succeeded", "{\"applied\": true}", NULL, 200, "wait=20"},
      {"", "failed", NULL, "{\"code\": \"LOCK_TIMEOUT\", \"message\": \"m\", \"details\": null}", 202, ""},
      {"Prefer: wait=20\r\n", "failed", NULL, "{\"code\": \"LOCK_TIMEOUT\", \"message\": \"m\", \"details\": null}", 200, "wait=20"},
      {"", "cancelled", NULL, "{\"code\": \"SCHEMA_DRIFT\", \"message\": \"m\", \"details\": null}", 202, ""},
      {"", "failed", NULL, NULL, 202, ""},
      {"", "failed", NULL, "{\"code\": \"TOKEN_EXPIRED\", \"message\": \"m\", \"details\": null}", 409, ""}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    RAW_AUTO answer;
    char header[32];
    post_and_finish(rows[i].prefer, rows[i].state, rows[i].result, rows[i].error, &answer);
    if (answer.status != rows[i].status) fail_msg("row %zu: %d: %s", i, answer.status, answer.body);
    assert_string_equal(raw_header(&answer, "Preference-Applied", header, sizeof header), rows[i].applied);
    json_t *json = json_loads(answer.body, 0, NULL);
    if (answer.status != 409) assert_string_equal(harness_text(json, "data.status"), rows[i].state);
    json_decref(json);
  }
}

static void who_waits_in_vain_gets_the_job_as_it_is(void **state) {
  (void)state;
  static const struct {
    const char *prefer;
    double least_ms, most_ms;
  } rows[] = {{"Prefer: return=minimal", 4900, 9000}, /* nothing about waiting */
              {"Prefer: wait=1", 950, 4000},
              {"Prefer: wait=0", 0, 900},
              {"Prefer: handling=lenient, respond-async", 0, 900}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    REPLY_AUTO reply;
    call((const char *[]){rows[i].prefer, NULL}, body_of(token_of(new_nonce()), NULL), 202, "", &reply);
    assert_string_equal(harness_text(reply.json, "data.status"), "queued");
    if (reply.ms < rows[i].least_ms || reply.ms > rows[i].most_ms) fail_msg("%s: %.0f ms", rows[i].prefer, reply.ms);
  }
}

/* --- afterwards --- */

static void post_job(const char *id, const char *verb, int status) {
  REPLY_AUTO reply;
  harness_http(h, "POST", arena_printf(arena, "/api/v1/jobs/%s/%s", id, verb), NULL, NULL, &reply);
  if (reply.status != status) fail_msg("%s: %ld: %s", verb, reply.status, reply.body);
}

static void a_failed_execution_may_be_retried_and_keeps_its_token(void **state) {
  (void)state;
  const char *nonce = new_nonce(), *token = token_of(nonce), *id = accept(token);
  post_job(id, "retry", 409);
  finish(id, "failed", NULL, "{\"code\": \"LOCK_TIMEOUT\", \"message\": \"m\", \"details\": null}");
  post_job(id, "retry", 202);
  assert_string_equal(jobs_state(h, id), "queued");
  used_by(nonce, id);
  replayed(body_of(token, NULL), id);
  post_job(id, "cancel", 202);
  assert_string_equal(jobs_state(h, id), "cancelled");
  replayed(body_of(token, NULL), id); /* not started again by a replay: only a retry does that */
  assert_string_equal(jobs_state(h, id), "cancelled");
}

static json_t *request_at(const char *id, int status) {
  REPLY_AUTO reply;
  harness_http(h, "GET", arena_printf(arena, "/api/v1/migrations/requests/%s", id), NULL, NULL, &reply);
  if (reply.status != status) fail_msg("%ld: %s", reply.status, reply.body);
  return json_incref(harness_at(reply.json, status == 200 ? "data" : "error"));
}

static void expect_request(const char *id, const char *status, const char *path, const char *value, bool started, bool ended) {
  static const char *const members[] = {"request_id", "status", "progress", "result", "error", "created_at", "started_at", "completed_at"};
  json_t *request = request_at(id, 200);
  assert_int_equal(json_object_size(request), sizeof members / sizeof *members);
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) assert_non_null(json_object_get(request, members[i]));
  assert_string_equal(harness_text(request, "request_id"), id);
  assert_string_equal(harness_text(request, "status"), status);
  if (path) assert_string_equal(harness_text(request, path), value);
  assert_int_equal(*harness_text(request, "started_at") != 0, started);
  assert_int_equal(*harness_text(request, "completed_at") != 0, ended);
  json_decref(request);
}

static void the_polling_shape_follows_the_job(void **state) {
  (void)state;
  const char *id = accept(token_of(new_nonce())), *failed = accept(token_of(new_nonce()));
  expect_request(id, "pending", NULL, NULL, false, false);
  run("UPDATE autodb.queue SET state = 'running', started_at = now(), progress = '{\"percent\": 40, \"step\": \"statement 2 of 5\"}' "
      "WHERE id = '%s'",
      id);
  expect_request(id, "executing", "progress.step", "statement 2 of 5", true, false);
  finish(id, "succeeded", "{\"transaction_mode\": \"single\"}", NULL);
  expect_request(id, "completed", "result.transaction_mode", "single", true, true);
  finish(failed, "failed", NULL, DRIFT);
  expect_request(failed, "failed", "error.code", "SCHEMA_DRIFT", true, true);
  const char *cancelled = accept(token_of(new_nonce()));
  post_job(cancelled, "cancel", 202);
  expect_request(cancelled, "failed", "error.code", "JOB_CANCELLED", false, true);
}

static void only_ones_own_migrations_are_requests(void **state) {
  (void)state;
  REPLY_AUTO echo, foreign, invalid;
  json_decref(request_at(new_id(), 404));
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\": 1}", &echo);
  json_decref(request_at(job_of(&echo), 404));
  const char *path = arena_printf(arena, "/api/v1/migrations/requests/%s", accept(token_of(new_nonce())));
  harness_http(h, "GET", path, (const char *[]){arena_printf(arena, "X-API-Key: %s", other_key), NULL}, NULL, &foreign);
  assert_int_equal(foreign.status, 404);
  harness_http(h, "GET", "/api/v1/migrations/requests/nope", NULL, NULL, &invalid);
  assert_int_equal(invalid.status, 404);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_accepted_job_holds_what_the_worker_needs),
      cmocka_unit_test(the_short_path_and_the_common_members),
      cmocka_unit_test(bad_bodies_are_named_and_use_nothing),
      cmocka_unit_test(each_refusal_has_its_code),
      cmocka_unit_test(a_deleted_connection_is_not_found),
      cmocka_unit_test(the_same_request_again_is_the_same_job),
      cmocka_unit_test(another_request_with_a_used_token_is_refused),
      cmocka_unit_test(twenty_at_once_make_one_job),
      cmocka_unit_test(a_key_goes_with_one_request),
      cmocka_unit_test(one_key_for_many_tokens_at_once_makes_one_job),
      cmocka_unit_test(drift_is_this_requests_failure),
      cmocka_unit_test(what_else_ends_in_time_is_the_job),
      cmocka_unit_test(who_waits_in_vain_gets_the_job_as_it_is),
      cmocka_unit_test(a_failed_execution_may_be_retried_and_keeps_its_token),
      cmocka_unit_test(the_polling_shape_follows_the_job),
      cmocka_unit_test(only_ones_own_migrations_are_requests),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
