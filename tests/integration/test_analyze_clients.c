/* test_analyze_clients.c - clients of other majors than AutoDB's own database, the whole way: connected, introspected, analysed with a
 * sandbox, executed. */
#include "tests/support/harness.h"

#include "common/json.h"

struct client {
  int major;
  char url[HARNESS_URL], connection[64];
};
static struct harness *h;
static const int majors[] = {18, 14, 13};
enum { CLIENTS = sizeof majors / sizeof *majors };
static struct client clients[CLIENTS];

static const char schema[] =
    "CREATE TYPE mood AS ENUM ('sad', 'ok');"
    "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b text DEFAULT 'x', m mood, CHECK (a >= 0));"
    "INSERT INTO t (a) SELECT g FROM generate_series(1, 100) g; CREATE TABLE u (id int PRIMARY KEY, t bigint REFERENCES t (id));"
    "CREATE TABLE p (id int, k int NOT NULL) PARTITION BY RANGE (k); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
    "CREATE VIEW v AS SELECT id, a FROM t; ANALYZE";

static void connect_client(struct client *client) {
  harness_sql(client->url, schema);
  REPLY_AUTO reply = {0};
  char name[32];
  snprintf(name, sizeof name, "client %d", client->major);
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", name, "db_type", "postgresql_local", "connection_string", client->url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("connection: %ld %s", reply.status, reply.body);
  snprintf(client->connection, sizeof client->connection, "%s", harness_text(reply.json, "data.id"));
}

static int setup(void **state) {
  h = harness_new();
  harness_stack(h, NULL, NULL);
  for (int i = 0; i < CLIENTS; i++) {
    if (!harness_has_postgres(majors[i])) continue;
    clients[i].major = majors[i];
    harness_database(harness_postgres(h, majors[i]), "client", clients[i].url);
    connect_client(&clients[i]);
  }
  *state = h;
  return 0;
}

/* The whole job: cmocka cuts long messages. */
static void wrong(const struct client *client, const json_t *job) {
  char *text = json_dumps(job, 0);
  printf("PostgreSQL %d: %s\n", client->major, text);
  free(text);
  fail();
}

static json_t *analysed(const struct client *client, const char *sql) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", client->connection);
  json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", sql), 120000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) wrong(client, job);
  return job;
}

/* The sandbox is of the client's major, no word about another; 15 stands in for what is older, and the report says so. */
static void engine_is_told(const struct client *client, const json_t *job) {
  bool own = client->major >= 15;
  char want[32];
  snprintf(want, sizeof want, "postgres %d.", own ? client->major : 15);
  if (strncmp(harness_text(job, "result.sandbox_result.engine"), want, strlen(want)) != 0 ||
      harness_int(job, "result.sandbox_result.client_major") != client->major ||
      !strstr(harness_text(job, "result.narrative"), "stands in for") != own)
    wrong(client, job);
}

static void test_there_and_executed(void **state) {
  (void)state;
  static const char sql[] = "ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 1;\nALTER TABLE p ADD COLUMN n text;\n"
                            "ALTER TYPE mood ADD VALUE 'happy';\nCREATE INDEX CONCURRENTLY t_c ON t (c);";
  for (int i = 0; i < CLIENTS; i++) {
    const struct client *client = &clients[i];
    if (!client->major) continue;
    json_t *job = analysed(client, sql);
    engine_is_told(client, job);
    if (!json_is_true(harness_at(job, "result.sandbox_result.passed")) || !*harness_text(job, "result.approval_token")) wrong(client, job);
    for (size_t s = 0; s < 4; s++) {
      char path[64];
      snprintf(path, sizeof path, "result.statements.%zu.agreement", s);
      if (strcmp(harness_text(job, path), "agreed") != 0) wrong(client, job);
    }
    json_t *done = harness_job(h, "/api/v1/migrations/execute",
                               json_pack("{s:s, s:s, s:s}", "approval_token", harness_text(job, "result.approval_token"), "sql", sql,
                                         "connection_id", client->connection),
                               120000);
    if (!json_is_true(harness_at(done, "result.applied"))) wrong(client, done);
    assert_int_equal(strlen(harness_text(done, "result.snapshot_id")), 36);
    assert_int_equal(harness_count(client->url, "SELECT count(*) FROM pg_index WHERE indexrelid = 't_c'::regclass AND indisvalid"), 1);
    assert_int_equal(harness_count(client->url, "SELECT sum(c) FROM t"), 100);
    json_decref(job);
    json_decref(done);
  }
}

/* What the client's server is too old for is said beforehand, and not approved although the server that stands in takes it. */
static void test_too_new(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    int since;
  } cases[] = {
      {"ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", 14},
      {"CREATE UNIQUE INDEX ux ON t (id) NULLS NOT DISTINCT", 15},
      {"CREATE VIEW w WITH (security_invoker = true) AS SELECT 1 AS one", 15},
  };
  for (int i = 0; i < CLIENTS; i++)
    for (size_t c = 0; clients[i].major && c < sizeof cases / sizeof *cases; c++) {
      json_t *job = analysed(&clients[i], cases[c].sql);
      bool refused = clients[i].major < cases[c].since, found = false;
      json_t *findings = harness_at(job, "result.statements.0.findings"), *finding;
      size_t index;
      json_array_foreach(findings, index, finding) found |= strcmp(json_str(finding, "code", ""), "other-server-version") == 0;
      bool token = *harness_text(job, "result.approval_token");
      if (found != refused || token == refused ||
          strcmp(harness_text(job, "result.statements.0.agreement"), refused ? "unverifiable" : "agreed") != 0)
        wrong(&clients[i], job);
      json_decref(job);
    }
}

static void test_the_connection_says(void **state) {
  (void)state;
  for (int i = 0; i < CLIENTS; i++) {
    if (!clients[i].major) continue;
    REPLY_AUTO reply = {0};
    char path[128], version[16];
    snprintf(path, sizeof path, "/api/v1/connections/%s", clients[i].connection);
    snprintf(version, sizeof version, "%d", clients[i].major);
    harness_http(h, "GET", path, NULL, NULL, &reply);
    if (strncmp(harness_text(reply.json, "data.server_version"), version, strlen(version)) != 0 ||
        !json_is_true(harness_at(reply.json, "data.capabilities.can_write")) ||
        !json_is_false(harness_at(reply.json, "data.capabilities.hypopg")))
      fail_msg("%s", reply.body);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_there_and_executed),
      cmocka_unit_test(test_too_new),
      cmocka_unit_test(test_the_connection_says),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
