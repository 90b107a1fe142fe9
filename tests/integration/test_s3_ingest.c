/* s3.ingest through its jobs: what is listed becomes documents, what is as it was is not read again, what fails is reported, and whoever is
 * killed in between changes nothing of what comes out. The servers are tests/s3/serve.js, which refuses wrong signatures. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "tests/support/jobs.h"
#include "tests/support/s3_server.h"
#include "worker/context/ingest.h"

#define SLOTS 2
#define SLOTS_TEXT "2"

static struct harness *h;
static struct s3_server s3rver, memory;
static struct harness_proc *worker;
static char owner[40];

static int setup(void **state) {
  static char allow[256];
  h = harness_new();
  s3_server_start(h, "s3rver", &s3rver);
  s3_server_start(h, "memory", &memory);
  snprintf(allow, sizeof allow, "AUTODB_S3_ALLOW_ENDPOINTS=http://unused:1/, %s/,%s", s3rver.url, memory.url);
  static const char *env[] = {allow, "AUTODB_LEASE_SECONDS=2", "AUTODB_HEARTBEAT_SECONDS=1", "AUTODB_SLOTS=" SLOTS_TEXT, NULL};
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  char key[64];
  harness_key(h, "test", "admin", key);
  harness_api(h, env);
  worker = harness_worker(h, env);
  snprintf(owner, sizeof owner, "%s", h->owner_id);
  *state = h;
  return 0;
}

/* --- jobs --- */

/* A connection that nothing is asked of; its id. */
static const char *connection(const char *name) {
  static char ids[16][40];
  static int count;
  char sql[512];
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.connections (id, owner_id, name, db_type, host, port, database_name) VALUES (gen_random_uuid(), '%s', '%s', "
           "'postgresql', 'h', 1, 'd')",
           h->owner_id, name);
  harness_sql(h->database_url, sql);
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexecParams(conn, "SELECT id FROM autodb.connections WHERE name = $1", 1, NULL, &name, NULL, NULL, 0);
  snprintf(ids[count], sizeof ids[count], "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
  PQfinish(conn);
  return ids[count++];
}

/* Starts an ingest through the API; its job's id. */
static const char *start(const char *connection_id, const struct s3_server *server, const char *more) {
  static char id[40];
  char path[128], body[2048];
  REPLY_AUTO reply = {0};
  snprintf(path, sizeof path, "/api/v1/connections/%s/documents/s3", connection_id);
  snprintf(body, sizeof body, "{\"bucket\":\"lake\",\"endpoint_url\":\"%s\"%s%s}", server->url, *more ? "," : "", more);
  harness_http(h, "POST", path, NULL, body, &reply);
  if (reply.status != 202) fail_msg("%ld %s", reply.status, reply.body);
  snprintf(id, sizeof id, "%s", harness_text(reply.json, "data.job_id"));
  return id;
}

static json_t *finish(const char *id, int timeout_ms) {
  char path[128];
  snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
  const char *state = jobs_state(h, id);
  if (!POLL_UNTIL(strcmp(state = jobs_state(h, id), "succeeded") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "dead") == 0,
                  timeout_ms))
    fail_msg("still %s: %s", state, jobs_value(h, id, "row_to_json(j)"));
  REPLY_AUTO reply = {0};
  harness_http(h, "GET", path, NULL, NULL, &reply);
  return json_incref((json_t *)(uintptr_t)harness_at(reply.json, "data"));
}

/* To its end; the result: a new reference. */
static json_t *ingest(const char *connection_id, const struct s3_server *server, const char *more) {
  json_t *job = finish(start(connection_id, server, more), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", json_dumps(job, 0));
  json_t *result = json_incref((json_t *)(uintptr_t)harness_at(job, "result"));
  json_decref(job);
  return result;
}

static void expect(json_t *take_result, long long listed, long long ingested, long long unchanged, long long failed, long long deleted) {
  bool fine = harness_int(take_result, "listed") == listed && harness_int(take_result, "ingested") == ingested &&
              harness_int(take_result, "unchanged") == unchanged && harness_int(take_result, "failed_count") == failed &&
              harness_int(take_result, "deleted") == deleted;
  if (!fine) fail_msg("%s", json_dumps(take_result, 0));
  json_decref(take_result);
}

static long long documents(const char *connection_id, const char *condition) {
  char sql[512];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.documents WHERE connection_id = '%s' AND %s", connection_id, condition);
  return harness_count(h->database_url, sql);
}

/* All that is searched of a connection: texts and vectors. */
static const char *contents(const char *connection_id) {
  static char values[4][64];
  static int next;
  char sql[1024];
  snprintf(sql, sizeof sql,
           "SELECT md5(string_agg(md5(c.id::text || d.name || c.ordinal || coalesce(c.heading, '') || c.body || v.embedding::text), '' "
           "ORDER BY c.id)) "
           "|| ' ' || count(*) FROM autodb.chunks c JOIN autodb.documents d ON d.id = c.document_id JOIN autodb.chunk_vectors v "
           "ON v.connection_id = c.connection_id AND v.chunk_id = c.id WHERE c.connection_id = '%s'",
           connection_id);
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s", PQerrorMessage(conn));
  char *value = values[next++ % 4];
  snprintf(value, sizeof values[0], "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
  PQfinish(conn);
  return value;
}

/* --- what is there --- */

#define TEXT "# %s\n\nOrders are shipped within two days. Returns are free of charge.\n"

static void put_text(const struct s3_server *server, const char *key) {
  char text[512];
  snprintf(text, sizeof text, TEXT, key);
  s3_server_put(server, key, text);
}

static void what_is_there_is_ingested_once(void **state) {
  static const char *const keys[] = {"kb/a b+c.md", "kb/100%.md", "kb/caf\xc3\xa9/\xe1\x88\xb4.md", "kb/q?x=1&y#f.md", "kb/plain.md"};
  (void)state;
  const char *id = connection("once");
  for (size_t i = 0; i < 5; i++) put_text(&s3rver, keys[i]);
  s3_server_put(&s3rver, "kb/drafts/skip.md", "# Not this one\n");
  s3_server_put(&s3rver, "kb/picture.png", "no text");
  s3_server_put(&s3rver, "other/x.md", "# Elsewhere\n");
  static const char asked[] = "\"prefix\":\"kb/\",\"include\":[\"*.md\"],\"exclude\":[\"drafts/*\"],\"delete_missing\":true";
  json_t *result = ingest(id, &s3rver, asked);
  assert_true(harness_int(result, "chunks") >= 5);
  assert_true(harness_int(result, "bytes") > 300);
  expect(result, 5, 5, 0, 0, 0);
  assert_int_equal(documents(id, "status = 'ready' AND source = 's3://lake/' || name AND chunks > 0"), 5);
  long long reads = s3_server_count(&s3rver, "GET");
  expect(ingest(id, &s3rver, asked), 5, 0, 5, 0, 0);
  assert_int_equal(s3_server_count(&s3rver, "GET"), reads); /* nothing was read again */
  s3_server_put(&s3rver, "kb/plain.md", "# Plain\n\nIt says something else now.\n");
  ERROR_AUTO err = {0};
  S3_AUTO s3 = s3_server_client(&s3rver);
  assert_int_equal(s3_delete(s3, "kb/100%.md", &err), OK);
  expect(ingest(id, &s3rver, asked), 4, 1, 3, 0, 1);
  assert_int_equal(documents(id, "name = 'kb/100%.md'"), 0);
  assert_int_equal(s3_server_count(&s3rver, "GET"), reads + 1);
  expect(ingest(id, &s3rver, "\"prefix\":\"other/\",\"delete_missing\":true"), 1, 1, 0, 0, 0); /* another prefix's are not missing */
  assert_int_equal(documents(id, "true"), 5);
}

static void keys_no_file_system_holds(void **state) {
  static const char *const keys[] = {"odd/../y.md",         "odd/./x.md", "odd//two.md", "odd/line\nend.md",
                                     "odd/tab\t'\"\\{}.md", "odd/%2F.md", "odd/ .md"};
  (void)state;
  const char *id = connection("odd");
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) put_text(&memory, keys[i]);
  s3_server_put(&memory, "odd/folder/", "");
  expect(ingest(id, &memory, "\"prefix\":\"odd/\""), 7, 7, 0, 0, 0);
  expect(ingest(id, &memory, "\"prefix\":\"odd/\",\"delete_missing\":true"), 7, 0, 7, 0, 0);
  assert_int_equal(documents(id, "status = 'ready'"), 7);
}

static void nothing_there(void **state) {
  (void)state;
  const char *id = connection("nothing");
  expect(ingest(id, &memory, "\"prefix\":\"none/\",\"delete_missing\":true"), 0, 0, 0, 0, 0);
}

/* --- what goes wrong --- */

static void failures_are_reported_and_hold_nobody_up(void **state) {
  (void)state;
  const char *id = connection("failures");
  char *large = malloc((10 << 20) + 2);
  memset(large, 'x', (10 << 20) + 1);
  large[(10 << 20) + 1] = '\0';
  json_decref(s3_server_control(&memory, "load", "{\"bucket\":\"lake\",\"prefix\":\"f/\",\"count\":20}"));
  s3_server_put(&memory, "f/zero.md", "");
  s3_server_put(&memory, "f/large.md", large);
  free(large);
  json_decref(s3_server_control(&memory, "reset", "{}"));
  s3_server_order(&memory, "[{\"on\":\"GET\",\"match\":\"000003\",\"kind\":\"forbid\",\"times\":99},"
                           "{\"on\":\"GET\",\"match\":\"000004\",\"kind\":\"truncate\",\"times\":1},"
                           "{\"on\":\"GET\",\"match\":\"000005\",\"kind\":\"change\",\"times\":1},"
                           "{\"on\":\"GET\",\"match\":\"000006\",\"kind\":\"slowdown\",\"times\":2},"
                           "{\"on\":\"LIST\",\"kind\":\"slowdown\",\"times\":1}]");
  json_t *result = ingest(id, &memory, "\"prefix\":\"f/\"");
  static const char *const keys[] = {"f/000003.md", "f/large.md", "f/zero.md"}, *const codes[] = {"ACCESS_DENIED", "TOO_LARGE", "EMPTY"};
  for (size_t i = 0; i < 3; i++) {
    const json_t *failed = json_array_get(json_object_get(result, "failed"), i);
    assert_string_equal(harness_text(failed, "key"), keys[i]);
    assert_string_equal(harness_text(failed, "error.code"), codes[i]);
  }
  expect(result, 22, 19, 0, 3, 0);
  assert_int_equal(documents(id, "status = 'ready'"), 19);
  json_t *stats = s3_server_control(&memory, "stats", NULL);
  assert_null(harness_at(stats, "reads.f/large.md"));
  json_decref(stats);
  assert_int_equal(
      harness_count(h->database_url, "SELECT count(*) FROM autodb.chunks WHERE body LIKE 'It was replaced while it was read%'"), 1);
  json_decref(s3_server_control(&memory, "reset", "{}"));
  expect(ingest(id, &memory, "\"prefix\":\"f/\""), 22, 1, 19, 2, 0); /* what failed is tried again; what was refused by its size is not */
}

static void whole_buckets_that_fail(void **state) {
  (void)state;
  const char *id = connection("buckets");
  char body[256], path[128];
  REPLY_AUTO reply = {0};
  snprintf(path, sizeof path, "/api/v1/connections/%s/documents/s3", id);
  snprintf(body, sizeof body, "{\"bucket\":\"nobucket\",\"endpoint_url\":\"%s\"}", memory.url);
  harness_http(h, "POST", path, NULL, body, &reply);
  json_t *job = finish(harness_text(reply.json, "data.job_id"), 20000);
  assert_string_equal(harness_text(job, "error.code"), "NO_SUCH_BUCKET");
  json_decref(job);
  s3_server_order(&memory, "[{\"on\":\"LIST\",\"kind\":\"forbid\",\"times\":1},{\"on\":\"LIST\",\"kind\":\"redirect\",\"times\":1}]");
  job = finish(start(id, &memory, "\"prefix\":\"f/\""), 20000);
  assert_string_equal(harness_text(job, "error.code"), "ACCESS_DENIED");
  json_decref(job);
}

/* The connection's own keys sign, are sealed, and are never seen again. */
static void keys_of_the_connection(void **state) {
  (void)state;
  const char *id = connection("keys");
  char path[128];
  snprintf(path, sizeof path, "/api/v1/connections/%s", id);
  REPLY_AUTO reply = {0};
  harness_http(h, "PATCH", path, NULL, "{\"aws\":{\"access_key_id\":\"SOMEBODY\",\"secret_access_key\":\"elsessecret\"}}", &reply);
  if (reply.status != 200) fail_msg("%s", reply.body);
  assert_true(json_is_true(harness_at(reply.json, "data.has_aws_credentials")));
  assert_null(strstr(reply.body, "elsessecret"));
  json_t *job = finish(start(id, &memory, "\"prefix\":\"odd/\""), 20000);
  assert_string_equal(harness_text(job, "error.code"), "ACCESS_DENIED"); /* the server knows other keys */
  json_decref(job);
  REPLY_AUTO bad = {0};
  harness_http(h, "PATCH", path, NULL, "{\"aws\":{\"access_key_id\":\"SOMEBODY\"}}", &bad);
  assert_int_equal(bad.status, 422);
  REPLY_AUTO removed = {0};
  harness_http(h, "PATCH", path, NULL, "{\"aws\":null}", &removed);
  assert_true(json_is_false(harness_at(removed.json, "data.has_aws_credentials")));
  json_decref(s3_server_control(&memory, "reset", "{}"));
  expect(ingest(id, &memory, "\"prefix\":\"odd/\""), 7, 7, 0, 0, 0);
}

static void endpoints_are_named_by_the_installation(void **state) {
  (void)state;
  const char *id = connection("endpoints");
  char path[128];
  REPLY_AUTO reply = {0};
  snprintf(path, sizeof path, "/api/v1/connections/%s/documents/s3", id);
  harness_http(h, "POST", path, NULL, "{\"bucket\":\"lake\",\"endpoint_url\":\"http://127.0.0.1:1\"}", &reply);
  assert_int_equal(reply.status, 422);
}

/* The job that waits for its batches gives its slot back again and again, more often than a job may fail, and that costs it nothing. */
static void waiting_costs_no_attempts(void **state) {
  (void)state;
  const char *id = connection("parked");
  json_decref(s3_server_control(&memory, "load", "{\"bucket\":\"lake\",\"prefix\":\"p/\",\"count\":32}"));
  s3_server_order(&memory, "[{\"on\":\"GET\",\"match\":\"p/\",\"kind\":\"stall\",\"ms\":1000,\"times\":80}]");
  json_t *job = finish(start(id, &memory, "\"prefix\":\"p/\""), 60000);
  assert_string_equal(harness_text(job, "status"), "succeeded");
  assert_int_equal(harness_int(job, "result.ingested"), 32);
  if (harness_int(job, "attempt") <= harness_int(job, "max_attempts")) fail_msg("%s", json_dumps(job, 0));
  json_decref(job);
  json_decref(s3_server_control(&memory, "reset", "{}"));
}

/* Whatever ends a job before it is done with a document, the document does not wait for ever. */
static void documents_whose_job_ended_say_so(void **state) {
  (void)state;
  const char *id = connection("left");
  char sql[900], job[40];
  s3_server_order(&memory, "[{\"on\":\"LIST\",\"kind\":\"forbid\",\"times\":1}]");
  snprintf(job, sizeof job, "%s", start(id, &memory, "\"prefix\":\"f/\""));
  json_decref(finish(job, 20000));
  snprintf(
      sql, sizeof sql,
      "INSERT INTO autodb.documents (id, owner_id, connection_id, name, source, content_type, bytes, sha256, status, job_id, updated_at) "
      "SELECT gen_random_uuid(), '%s', '%s', n, 'upload', 'text/plain', 1, 'x', CASE n WHEN 'a' THEN 'pending' ELSE 'processing' END, CASE "
      "n "
      "WHEN 'b' THEN '%s'::uuid END, CASE n WHEN 'young' THEN now() + interval '1 hour' ELSE now() - interval '1 minute' END FROM "
      "unnest('{a,b,young}'::text[]) n",
      owner, id, job);
  harness_sql(h->database_url, sql);
  assert_true(POLL_UNTIL(documents(id, "status = 'failed'") == 2, 40000));
  assert_int_equal(documents(id, "name = 'a' AND error->>'code' = 'NOT_INGESTED'"), 1);
  assert_int_equal(documents(id, "name = 'b' AND error->>'code' = 'ACCESS_DENIED'"), 1);
  assert_int_equal(documents(id, "name = 'young' AND status = 'processing'"), 1);
}

/* --- cancelling and killing --- */

/* And the job goes on where it was when it is wanted again: what was settled behind its back is counted. */
static void cancelling_ends_the_batches(void **state) {
  (void)state;
  const char *id = connection("cancelled");
  json_decref(s3_server_control(&memory, "load", "{\"bucket\":\"lake\",\"prefix\":\"c/\",\"count\":600}"));
  s3_server_order(&memory, "[{\"on\":\"GET\",\"match\":\"c/0003\",\"kind\":\"stall\",\"ms\":500,\"times\":100000}]");
  char job[40];
  snprintf(job, sizeof job, "%s", start(id, &memory, "\"prefix\":\"c/\""));
  assert_true(POLL_UNTIL(documents(id, "status = 'ready'") > 0, 20000));
  REPLY_AUTO cancelled = {0}, again = {0};
  char path[128];
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", job);
  harness_http(h, "POST", path, NULL, NULL, &cancelled);
  assert_int_equal(cancelled.status, 202);
  jobs_await(h, job, "cancelled", 5000);
  jobs_await_all(h, 20000);
  assert_true(documents(id, "status = 'ready'") < 600);
  json_decref(s3_server_control(&memory, "reset", "{}"));
  snprintf(path, sizeof path, "/api/v1/jobs/%s/retry", job);
  harness_http(h, "POST", path, NULL, NULL, &again);
  assert_int_equal(again.status, 202);
  json_t *done = finish(job, 60000);
  assert_string_equal(harness_text(done, "status"), "succeeded");
  assert_int_equal(harness_int(done, "result.ingested"), 600);
  json_decref(done);
  jobs_check(h);
}

/* Counts how often a document was taken up: before each time it is embedded. A sequence forgets nothing, whatever is rolled back. */
static const char count_sql[] =
    "CREATE SEQUENCE public.taken; CREATE FUNCTION public.count_taken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM "
    "nextval('public.taken'); RETURN NULL; END$$; GRANT ALL ON SEQUENCE public.taken TO PUBLIC; "
    "CREATE TRIGGER count_taken AFTER INSERT OR UPDATE ON autodb.documents FOR EACH ROW WHEN (NEW.status = 'processing') "
    "EXECUTE FUNCTION public.count_taken()";

/* Somebody kills the worker, slots and all, whenever a fifth of the work is done. What was done stays done: an object is embedded twice
 * only when its slot was at it or at one of its group, and read twice only when it was read ahead. */
static void killing_changes_nothing(void **state) {
  (void)state;
  int objects = getenv("TESTS_LONG") ? 5000 : 400, kills = 0;
  char load[128];
  const char *calm = connection("calm"), *shaken = connection("shaken");
  snprintf(load, sizeof load, "{\"bucket\":\"lake\",\"prefix\":\"k/\",\"count\":%d,\"bytes\":2000}", objects);
  json_decref(s3_server_control(&memory, "load", load));
  expect(ingest(calm, &memory, "\"prefix\":\"k/\""), objects, objects, 0, 0, 0);
  json_decref(s3_server_control(&memory, "reset", "{}"));
  harness_sql(h->database_url, count_sql);
  char job[40];
  snprintf(job, sizeof job, "%s", start(shaken, &memory, "\"prefix\":\"k/\""));
  for (int step = objects / 5, next = step; next < objects; next += step, kills++) {
    if (!POLL_UNTIL(documents(shaken, "status = 'ready'") >= next, 60000)) fail_msg("stopped before %d objects", next);
    harness_kill(worker);
    harness_restart(h, worker);
  }
  json_t *result = finish(job, 60000);
  if (harness_int(result, "result.listed") != objects || harness_int(result, "result.failed_count") != 0)
    fail_msg("%s", json_dumps(result, 0));
  json_decref(result);
  assert_string_equal(contents(shaken), contents(calm));
  assert_true(kills > 0);
  long long reads = s3_server_count(&memory, "GET"), taken = harness_count(h->database_url, "SELECT last_value FROM public.taken");
  print_message("%d kills, %lld reads of %d objects, %lld times embedded\n", kills, reads, objects, taken);
  if (taken > objects + kills * SLOTS * INGEST_GROUP) fail_msg("%lld times %d objects were embedded, %d kills", taken, objects, kills);
  if (reads > objects + kills * SLOTS * (LIMIT_S3_AHEAD + INGEST_GROUP))
    fail_msg("%lld reads of %d objects, %d kills", reads, objects, kills);
  jobs_await_all(h, 20000);
}

int main(void) {
  s3_server_packages();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_there_is_ingested_once),
      cmocka_unit_test(keys_no_file_system_holds),
      cmocka_unit_test(nothing_there),
      cmocka_unit_test(failures_are_reported_and_hold_nobody_up),
      cmocka_unit_test(whole_buckets_that_fail),
      cmocka_unit_test(keys_of_the_connection),
      cmocka_unit_test(endpoints_are_named_by_the_installation),
      cmocka_unit_test(waiting_costs_no_attempts),
      cmocka_unit_test(documents_whose_job_ended_say_so),
      cmocka_unit_test(cancelling_ends_the_batches),
      cmocka_unit_test(killing_changes_nothing),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
