/* Client databases, their schemas and migrations, as far as the API goes: what is stored, what is refused, what is never shown. */
#include <zlib.h>

#include "tests/support/harness.h"
#include "tests/support/jobs.h"

static char other_key[64], target[HARNESS_URL];

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  struct harness_pg *pg = harness_postgres(h, 17);
  harness_database(pg, "client", target);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  harness_key(h, "other", "user", other_key);
  harness_api(h, NULL);
  *state = h;
  return 0;
}

static void call(struct harness *h, const char *method, const char *path, const char *body, int status, struct harness_reply *ret_reply) {
  harness_http(h, method, path, NULL, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s %s: %ld instead of %d: %s", method, path, ret_reply->status, status, ret_reply->body);
}

static void create(struct harness *h, char out[40]) {
  REPLY_AUTO reply;
  char body[1024];
  snprintf(body, sizeof body, "{\"name\": \"client\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", target);
  call(h, "POST", "/api/v1/connections", body, 201, &reply);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.id"));
}

static void a_connection_is_verified_sealed_and_shown_without_its_secret(void **state) {
  struct harness *h = *state;
  char id[40], path[128], sql[512];
  REPLY_AUTO reply;
  create(h, id);
  snprintf(path, sizeof path, "/api/v1/connections/%s", id);
  call(h, "GET", path, NULL, 200, &reply);
  static const char *const members[] = {"id",
                                        "name",
                                        "db_type",
                                        "host",
                                        "port",
                                        "database_name",
                                        "excluded_schemas",
                                        "is_active",
                                        "server_version",
                                        "capabilities",
                                        "created_at",
                                        "last_introspected_at"};
  json_t *data = harness_at(reply.json, "data");
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) assert_non_null(json_object_get(data, members[i]));
  assert_string_equal(harness_text(data, "database_name"), "client");
  assert_int_equal(strncmp(harness_text(data, "server_version"), "17.", 3), 0);
  assert_true(json_is_true(harness_at(data, "capabilities.can_write")));
  assert_true(json_is_true(harness_at(data, "capabilities.is_superuser")));
  assert_true(json_is_true(harness_at(data, "is_active")));
  assert_null(strstr(reply.body, HARNESS_PASSWORD));
  assert_null(strstr(reply.body, "connection_string"));
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND get_byte(secret, 0) = 1 AND secret_key_id <> '' "
           "AND position(convert_to('%s', 'UTF8') IN secret) = 0",
           id, HARNESS_PASSWORD);
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void what_cant_be_reached_is_refused_with_the_reason_and_no_password(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *string, *says;
  } cases[] = {
      {"postgresql://u:s3cr3t-word@127.0.0.1:1/x", "refused"},
      {"postgresql://u:s3cr3t-word@169.254.169.254/x", ""},
      {"postgresql://u:s3cr3t-word@[fe80::1]/x", ""},
      {"postgresql://u:s3cr3t-word@no-such-host.invalid/x", ""},
      {"host=127.0.0.1 password=s3cr3t-word passfile=/etc/passwd", "passfile"},
      {"host=/tmp password=s3cr3t-word", ""},
      {"s3cr3t-word", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    char body[512];
    snprintf(body, sizeof body, "{\"name\": \"x\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", cases[i].string);
    call(h, "POST", "/api/v1/connections", body, 422, &reply);
    assert_string_equal(harness_text(reply.json, "error.code"), "VALIDATION_ERROR");
    assert_string_equal(harness_text(reply.json, "error.details.fields.0.path"), "connection_string");
    if (!strstr(reply.body, cases[i].says)) fail_msg("%s: %s", cases[i].string, reply.body);
    assert_null(strstr(reply.body, "s3cr3t"));
  }
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM autodb.connections WHERE name = 'x'"), 0);
}

static void a_wrong_password_is_the_servers_word(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char body[512], wrong[HARNESS_URL];
  char *at = strstr(target, HARNESS_PASSWORD "@");
  snprintf(wrong, sizeof wrong, "%.*swr0ng-one@%s", (int)(at - target), target, at + strlen(HARNESS_PASSWORD "@"));
  snprintf(body, sizeof body, "{\"name\": \"x\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", wrong);
  call(h, "POST", "/api/v1/connections", body, 422, &reply);
  assert_non_null(strstr(reply.body, "authentication failed"));
  assert_null(strstr(reply.body, "wr0ng"));
}

static void verification_can_be_left_out(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  call(h, "POST", "/api/v1/connections?verify=false",
       "{\"name\": \"later\", \"db_type\": \"neon\", \"connection_string\": \"postgresql://u:p@127.0.0.1:1/x\", "
       "\"excluded_schemas\": [\"a\\\"b\", \"c,d\", \"{}\"]}",
       201, &reply);
  assert_true(json_is_null(harness_at(reply.json, "data.server_version")));
  assert_string_equal(harness_text(reply.json, "data.excluded_schemas.0"), "a\"b");
  assert_string_equal(harness_text(reply.json, "data.excluded_schemas.1"), "c,d");
  assert_string_equal(harness_text(reply.json, "data.excluded_schemas.2"), "{}");
}

static void members_are_checked(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *body, *path;
  } cases[] = {
      {"", "name"},
      {"{\"name\": \"\", \"db_type\": \"postgresql\", \"connection_string\": \"x\"}", "name"},
      {"{\"name\": \"a\", \"db_type\": \"mysql\", \"connection_string\": \"x\"}", "db_type"},
      {"{\"name\": \"a\", \"db_type\": \"postgresql\"}", "connection_string"},
      {"{\"name\": \"a\", \"db_type\": \"postgresql\", \"connection_string\": 5}", "connection_string"},
      {"{\"name\": \"a\", \"db_type\": \"postgresql\", \"connection_string\": \"host=x\", \"excluded_schemas\": \"a\"}",
       "excluded_schemas"},
      {"{\"name\": \"a\", \"db_type\": \"postgresql\", \"connection_string\": \"host=x\", \"password\": \"a\"}", "password"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    call(h, "POST", "/api/v1/connections", cases[i].body, 422, &reply);
    assert_string_equal(harness_text(reply.json, "error.details.fields.0.path"), cases[i].path);
  }
}

static void a_connection_changes(void **state) {
  struct harness *h = *state;
  char id[40], path[128], body[1024];
  REPLY_AUTO renamed;
  REPLY_AUTO moved;
  REPLY_AUTO refused;
  REPLY_AUTO nothing;
  create(h, id);
  snprintf(path, sizeof path, "/api/v1/connections/%s", id);
  call(h, "PATCH", path, "{\"name\": \"new name\", \"excluded_schemas\": [\"audit\"]}", 200, &renamed);
  assert_string_equal(harness_text(renamed.json, "data.name"), "new name");
  assert_string_equal(harness_text(renamed.json, "data.excluded_schemas.0"), "audit");
  assert_string_equal(harness_text(renamed.json, "data.database_name"), "client");
  snprintf(body, sizeof body, "{\"connection_string\": \"%s\"}", h->pg[0].url);
  call(h, "PATCH", path, body, 200, &moved);
  assert_string_equal(harness_text(moved.json, "data.database_name"), "postgres");
  assert_string_equal(harness_text(moved.json, "data.excluded_schemas.0"), "audit");
  call(h, "PATCH", path, "{\"connection_string\": \"postgresql://u:p@127.0.0.1:1/x\"}", 422, &refused);
  call(h, "PATCH", path, "{}", 422, &nothing);
}

static void a_deleted_connection_is_gone_and_its_secret_erased(void **state) {
  struct harness *h = *state;
  char id[40], path[160], sql[256];
  create(h, id);
  REPLY_AUTO deleted;
  REPLY_AUTO again;
  snprintf(path, sizeof path, "/api/v1/connections/%s", id);
  call(h, "DELETE", path, NULL, 204, &deleted);
  assert_int_equal(deleted.body_len, 0);
  call(h, "DELETE", path, NULL, 404, &again);
  static const char *const uses[][2] = {{"GET", ""}, {"PATCH", ""}, {"GET", "/schema"}, {"POST", "/introspect"}};
  for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/connections/%s%s", id, uses[i][1]);
    call(h, uses[i][0], path, strcmp(uses[i][0], "PATCH") == 0 ? "{\"name\": \"x\"}" : NULL, 404, &reply);
  }
  snprintf(
      sql, sizeof sql,
      "SELECT count(*) FROM autodb.connections WHERE id = '%s' AND secret IS NULL AND secret_key_id IS NULL AND deleted_at IS NOT NULL",
      id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
}

static void another_owners_connection_is_not_found(void **state) {
  struct harness *h = *state;
  char id[40], header[128], path[160], alias[256];
  create(h, id);
  snprintf(header, sizeof header, "X-API-Key: %s", other_key);
  snprintf(alias, sizeof alias, "{\"sql\": \"SELECT 1\", \"connection_id\": \"%s\"}", id);
  const char *const uses[][3] = {{"GET", "", NULL},
                                 {"PATCH", "", "{\"name\": \"mine\"}"},
                                 {"PATCH", "", "{\"connection_string\": \"postgresql://u:p@127.0.0.1:1/x\"}"},
                                 {"DELETE", "", NULL},
                                 {"POST", "/introspect", NULL},
                                 {"GET", "/schema", NULL},
                                 {"GET", "/schema/diff", NULL},
                                 {"POST", "/migrations/analyze", "{\"sql\": \"SELECT 1\"}"},
                                 {"POST", "/migrations/sandbox", "{\"sql\": \"SELECT 1\"}"}};
  for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/connections/%s%s", id, uses[i][1]);
    harness_http(h, uses[i][0], path, (const char *[]){header, NULL}, uses[i][2], &reply);
    if (reply.status != 404) fail_msg("%s %s: %ld %s", uses[i][0], path, reply.status, reply.body);
  }
  REPLY_AUTO reply;
  harness_http(h, "POST", "/analyze", (const char *[]){header, NULL}, alias, &reply);
  assert_int_equal(reply.status, 404);
  REPLY_AUTO list;
  harness_http(h, "GET", "/api/v1/connections", (const char *[]){header, NULL}, NULL, &list);
  assert_int_equal(json_array_size(harness_at(list.json, "data.items")), 0);
}

/* --- jobs about a connection --- */

static void payloads_hold_what_was_asked(void **state) {
  struct harness *h = *state;
  char id[40], path[256], sql[512], alias[256];
  create(h, id);
  snprintf(alias, sizeof alias, "{\"sql\": \"SELECT 2\", \"connection_id\": \"%s\"}", id);
  const struct {
    const char *path, *body, *kind, *payload;
  } cases[] = {
      {"/introspect", NULL, "schema.introspect", "{}"},
      {"/introspect?schemas=a,b%20c", NULL, "schema.introspect", "{\"schemas\": [\"a\", \"b c\"]}"},
      {"/migrations/analyze", "{\"sql\": \"SELECT 1\", \"priority\": \"bulk\", \"metadata\": {\"a\": 1}}", "migration.analyze",
       "{\"sql\": \"SELECT 1\", \"sandbox\": true, \"options\": {}}"},
      {"/migrations/analyze?sandbox=false&enrich=true",
       "{\"sql\": \"SELECT 1\", \"options\": {\"rows_per_table\": 7, \"validation_queries\": [\"SELECT 3\"]}}", "migration.analyze",
       "{\"sql\": \"SELECT 1\", \"sandbox\": false, \"enrich\": true, \"options\": {\"rows_per_table\": 7, \"validation_queries\": "
       "[\"SELECT 3\"]}}"},
      {"/migrations/sandbox", "{\"sql\": \"SELECT 1\", \"rows_per_table\": 3}", "migration.sandbox",
       "{\"sql\": \"SELECT 1\", \"rows_per_table\": 3}"},
      {NULL, alias, "migration.analyze", "{\"sql\": \"SELECT 2\", \"sandbox\": true, \"options\": {}}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/connections/%s%s", id, cases[i].path ? cases[i].path : "");
    call(h, "POST", cases[i].path ? path : "/analyze", cases[i].body, 202, &reply);
    assert_string_equal(harness_text(reply.json, "data.kind"), cases[i].kind);
    assert_string_equal(harness_text(reply.json, "data.connection_id"), id);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.jobs WHERE id = '%s' AND connection_id = '%s' AND payload::jsonb = '%s'",
             harness_text(reply.json, "data.job_id"), id, cases[i].payload);
    if (harness_count(h->database_url, sql) != 1) fail_msg("payload of case %zu", i);
  }
}

static void migrations_are_checked(void **state) {
  struct harness *h = *state;
  char id[40], path[256];
  create(h, id);
  enum { SQL_MAX = 1024 * 1024 };
  char *large = malloc(SQL_MAX + 100);
  int at = snprintf(large, 32, "{\"sql\": \"");
  memset(large + at, 'x', SQL_MAX + 1);
  snprintf(large + at + SQL_MAX + 1, 8, "\"}");
  const struct {
    const char *path, *body;
    int status;
  } cases[] = {
      {"/migrations/analyze", "{\"sql\": \"\"}", 422},
      {"/migrations/analyze", "", 422},
      {"/migrations/analyze", "{\"sql\": null}", 422},
      {"/migrations/analyze", "{\"sql\": [\"a\"]}", 422},
      {"/migrations/analyze", large, 422},
      {"/migrations/analyze", "{\"sql\": \"a\\u0000b\"}", 400},
      {"/migrations/analyze", "{\"sql\": \"\xc3\x28\"}", 400},
      {"/migrations/analyze", "{\"sql\": \"a\", \"options\": {\"rows\": 1}}", 422},
      {"/migrations/analyze", "{\"sql\": \"a\", \"options\": {\"rows_per_table\": 1001}}", 422},
      {"/migrations/analyze", "{\"sql\": \"a\", \"options\": {\"validation_queries\": [1]}}", 422},
      {"/migrations/analyze?sandbox=maybe", "{\"sql\": \"a\"}", 422},
      {"/migrations/analyze?sandbox=true&sandbox=true", "{\"sql\": \"a\"}", 422},
      {"/migrations/sandbox", "{\"sql\": \"a\", \"rows_per_table\": 0}", 422},
      {"/migrations/sandbox?x=1", "{\"sql\": \"a\"}", 422},
      {"/introspect?schemas=a,,b", NULL, 422},
      {"/introspect", "{\"schemas\": [\"a\"]}", 422},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/connections/%s%s", id, cases[i].path);
    call(h, "POST", path, cases[i].body, cases[i].status, &reply);
  }
  snprintf(large + at + SQL_MAX, 8, "\"}"); /* exactly the limit */
  REPLY_AUTO reply;
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", id);
  call(h, "POST", path, large, 202, &reply);
  free(large);
}

static void a_migration_request_is_polled_in_its_own_shape(void **state) {
  struct harness *h = *state;
  char id[40], path[256];
  create(h, id);
  REPLY_AUTO made;
  REPLY_AUTO pending;
  REPLY_AUTO completed;
  REPLY_AUTO other;
  REPLY_AUTO echo;
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/sandbox", id);
  call(h, "POST", path, "{\"sql\": \"SELECT 1\"}", 202, &made);
  const char *job = harness_text(made.json, "data.job_id");
  snprintf(path, sizeof path, "/api/v1/migrations/requests/%s", job);
  call(h, "GET", path, NULL, 200, &pending);
  assert_string_equal(harness_text(pending.json, "data.status"), "pending");
  jobs_finish(h, job, "succeeded", "{\"passed\": true}", NULL);
  call(h, "GET", path, NULL, 200, &completed);
  assert_string_equal(harness_text(completed.json, "data.status"), "completed");
  assert_string_equal(harness_text(completed.json, "data.request_id"), job);
  assert_true(json_is_true(harness_at(completed.json, "data.result.passed")));
  char header[128];
  snprintf(header, sizeof header, "X-API-Key: %s", other_key);
  harness_http(h, "GET", path, (const char *[]){header, NULL}, NULL, &other);
  assert_int_equal(other.status, 404);
  REPLY_AUTO submitted;
  call(h, "POST", "/api/v1/jobs/echo", "{\"payload\": 1}", 202, &submitted);
  snprintf(path, sizeof path, "/api/v1/migrations/requests/%s", harness_text(submitted.json, "data.job_id"));
  call(h, "GET", path, NULL, 404, &echo);
}

/* --- snapshots --- */

static void store_snapshot(struct harness *h, const char *connection, const char *id, const char *json) {
  unsigned char packed[4096];
  uLongf len = sizeof packed;
  assert_int_equal(compress(packed, &len, (const Bytef *)json, strlen(json)), Z_OK);
  char *sql = malloc(2 * len + 512);
  int at = snprintf(sql, 512,
                    "INSERT INTO autodb.snapshots (id, connection_id, fingerprint, server_version, server_version_num, table_count, body) "
                    "VALUES ('%s', '%s', 'f', '17', 170000, 1, '\\x",
                    id, connection);
  for (uLongf i = 0; i < len; i++) at += snprintf(sql + at, 3, "%02x", packed[i]);
  snprintf(sql + at, 4, "')");
  harness_sql(h->database_url, sql);
  free(sql);
}

#define OLD "01890a5d-ac96-774b-bcce-b302099a8057"
#define NEW "01890a5d-ac97-774b-bcce-b302099a8057"

static void snapshots_are_served_and_compared(void **state) {
  struct harness *h = *state;
  char id[40], path[256];
  REPLY_AUTO none;
  REPLY_AUTO latest;
  REPLY_AUTO older;
  REPLY_AUTO unknown;
  REPLY_AUTO diff;
  REPLY_AUTO same;
  REPLY_AUTO missing;
  create(h, id);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema", id);
  call(h, "GET", path, NULL, 404, &none);
  store_snapshot(h, id, OLD, "{\"snapshot_id\": \"" OLD "\", \"tables\": [{\"schema\": \"s\", \"name\": \"a\", \"estimated_rows\": 1}]}");
  store_snapshot(h, id, NEW,
                 "{\"snapshot_id\": \"" NEW
                 "\", \"tables\": [{\"schema\": \"s\", \"name\": \"a\", \"estimated_rows\": 2}, {\"schema\": \"s\", \"name\": \"b\"}]}");
  call(h, "GET", path, NULL, 200, &latest);
  assert_string_equal(harness_text(latest.json, "data.snapshot_id"), NEW);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema?snapshot_id=" OLD, id);
  call(h, "GET", path, NULL, 200, &older);
  assert_string_equal(harness_text(older.json, "data.snapshot_id"), OLD);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema?snapshot_id=%s", id, id);
  call(h, "GET", path, NULL, 404, &unknown);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema/diff", id);
  call(h, "GET", path, NULL, 200, &diff);
  assert_string_equal(harness_text(diff.json, "data.from"), OLD);
  assert_string_equal(harness_text(diff.json, "data.to"), NEW);
  assert_string_equal(harness_text(diff.json, "data.tables.added.0.name"), "b");
  assert_int_equal(json_array_size(harness_at(diff.json, "data.tables.changed")), 0);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema/diff?from=" NEW "&to=" NEW, id);
  call(h, "GET", path, NULL, 200, &same);
  assert_true(json_is_true(harness_at(same.json, "data.identical")));
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema/diff?from=%s&to=" NEW, id, id);
  call(h, "GET", path, NULL, 404, &missing);
}

static void a_damaged_snapshot_is_an_error_not_a_crash(void **state) {
  struct harness *h = *state;
  char id[40], path[256], sql[512];
  REPLY_AUTO reply;
  create(h, id);
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.snapshots (id, connection_id, fingerprint, server_version, server_version_num, table_count, body) "
           "VALUES (gen_random_uuid(), '%s', 'f', '17', 170000, 1, 'not zlib')",
           id);
  harness_sql(h->database_url, sql);
  snprintf(path, sizeof path, "/api/v1/connections/%s/schema", id);
  call(h, "GET", path, NULL, 500, &reply);
  assert_string_equal(harness_text(reply.json, "error.code"), "INTERNAL");
}

static void lists_have_pages(void **state) {
  struct harness *h = *state;
  REPLY_AUTO first;
  REPLY_AUTO second;
  char path[256];
  call(h, "GET", "/api/v1/connections?limit=1", NULL, 200, &first);
  assert_int_equal(json_array_size(harness_at(first.json, "data.items")), 1);
  snprintf(path, sizeof path, "/api/v1/connections?limit=1&cursor=%s", harness_text(first.json, "data.next_cursor"));
  call(h, "GET", path, NULL, 200, &second);
  assert_string_not_equal(harness_text(first.json, "data.items.0.id"), harness_text(second.json, "data.items.0.id"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_connection_is_verified_sealed_and_shown_without_its_secret),
      cmocka_unit_test(what_cant_be_reached_is_refused_with_the_reason_and_no_password),
      cmocka_unit_test(a_wrong_password_is_the_servers_word),
      cmocka_unit_test(verification_can_be_left_out),
      cmocka_unit_test(members_are_checked),
      cmocka_unit_test(a_connection_changes),
      cmocka_unit_test(a_deleted_connection_is_gone_and_its_secret_erased),
      cmocka_unit_test(another_owners_connection_is_not_found),
      cmocka_unit_test(payloads_hold_what_was_asked),
      cmocka_unit_test(migrations_are_checked),
      cmocka_unit_test(a_migration_request_is_polled_in_its_own_shape),
      cmocka_unit_test(snapshots_are_served_and_compared),
      cmocka_unit_test(a_damaged_snapshot_is_an_error_not_a_crash),
      cmocka_unit_test(lists_have_pages),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
