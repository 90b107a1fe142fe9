/* test_analyze_rows.c - what fails over the clone's made-up rows alone is passed over and told; what the text itself gets wrong fails. And
 * the claim that there is nothing to undo is held against the schema. */
#include "tests/support/harness.h"

#include "common/json.h"

static char connection[64];

static int setup(void **state) {
  struct harness *h = harness_new();
  char url[HARNESS_URL];
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "rows", url);
  harness_sql(url,
              "CREATE TABLE roles (id serial PRIMARY KEY, name text UNIQUE NOT NULL);"
              "CREATE TABLE grants (id serial PRIMARY KEY, role_id int NOT NULL REFERENCES roles, level int NOT NULL CHECK (level > 0));"
              "CREATE TABLE kept (id int PRIMARY KEY, role_id int NOT NULL REFERENCES roles ON DELETE RESTRICT);"
              "CREATE TABLE later (id int PRIMARY KEY, role_id int NOT NULL REFERENCES roles DEFERRABLE INITIALLY DEFERRED);"
              "CREATE TABLE words (id serial PRIMARY KEY, word text NOT NULL, known text NOT NULL);"
              "CREATE TABLE uses (word_id int NOT NULL REFERENCES words);"
              "INSERT INTO words (word, known) SELECT g, repeat('long', 9) FROM generate_series(1, 50) g;"
              "CREATE TABLE spans (during int4range NOT NULL, EXCLUDE USING gist (during WITH &&));"
              "CREATE FUNCTION role_id(wanted text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE found_id int; BEGIN "
              "SELECT id INTO STRICT found_id FROM roles WHERE name = wanted; RETURN found_id; END $$;"
              "CREATE FUNCTION any_role() RETURNS int LANGUAGE plpgsql AS $$ DECLARE found_id int; BEGIN "
              "SELECT id INTO STRICT found_id FROM roles; RETURN found_id; END $$;"
              "CREATE FUNCTION breaks() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
              "CREATE TABLE vacant (id int PRIMARY KEY, word text);"
              "INSERT INTO roles (name) VALUES ('Admin'), ('Editor');"
              "INSERT INTO grants (role_id, level) VALUES (1, 5)");
  harness_sql(url, "ANALYZE"); /* in one message with them it would count the rows as changed since */
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "rows", "db_type", "postgresql_local", "connection_string", url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(connection, sizeof connection, "%s", harness_text(reply.json, "data.id"));
  *state = h;
  return 0;
}

static json_t *analyse(struct harness *h, const char *sql) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", connection);
  json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s: %s", sql, harness_text(job, "error.message"));
  return job;
}

static json_t *finding(const json_t *statement, const char *code) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(statement, "findings"), index, one) if (strcmp(json_str(one, "code", ""), code) == 0) return one;
  return NULL;
}

struct trial {
  const char *sql, *sqlstate;
  bool untried; /* passed over; else it fails the sandbox */
};

static const struct trial trials[] = {
    {"INSERT INTO grants (role_id, level) VALUES (4711, 1)", "23503", true},
    {"UPDATE grants SET role_id = 4711", "23503", true},
    {"DELETE FROM roles", "23503", true},
    {"INSERT INTO roles (id, name) SELECT g, 'n' || g FROM generate_series(1, 100) g", "23505", true},
    {"UPDATE roles SET name = 'same'", "23505", true},
    {"MERGE INTO grants g USING roles r ON g.role_id = r.id WHEN MATCHED THEN UPDATE SET role_id = 4711", "23503", true},
    {"INSERT INTO spans SELECT int4range(1, 1000000) FROM roles", "23P01", true},
    {"INSERT INTO grants (role_id, level) VALUES ((SELECT id FROM roles WHERE name = 'nobody made this up'), 1)", "23502", true},
    {"INSERT INTO grants (role_id, level) SELECT (SELECT id FROM roles WHERE name = 'nobody made this up'), 1 FROM roles", "23502", true},
    {"UPDATE grants SET role_id = (SELECT id FROM roles WHERE name = 'nobody made this up')", "23502", true},
    {"WITH r AS (SELECT max(id) AS id FROM roles WHERE id < 0) INSERT INTO grants (level, role_id) SELECT 1, r.id FROM r", "23502", true},
    {"INSERT INTO grants (role_id, level) VALUES ((SELECT id FROM roles), 1)", "21000", true},
    {"SELECT role_id('nobody made this up')", "P0002", true},
    {"SELECT any_role()", "P0003", true},
    {"INSERT INTO grants (role_id, level) VALUES (role_id('nobody made this up'), 1)", "P0002", true},
    {"UPDATE words SET word = (word::json ->> 0)", "22P02", true},
    {"UPDATE words SET known = 'long' WHERE 1 / (id - id) > 0", "22012", true},
    /* with any rows */
    {"UPDATE words SET word = 'a' WHERE 'x'::int > 0", "22P02", false},
    {"INSERT INTO grants (role_id, level) SELECT id, 0 FROM roles", "23514", false},
    {"UPDATE grants SET level = -1", "23514", false},
    {"INSERT INTO grants (role_id, level) VALUES (NULL, 1)", "23502", false},
    {"INSERT INTO grants (level) VALUES (1)", "23502", false},
    {"INSERT INTO grants VALUES (DEFAULT, NULL, 1)", "23502", false},
    {"INSERT INTO roles (name) SELECT NULL FROM roles", "23502", false},
    {"INSERT INTO grants (role_id, level) SELECT id, NULL FROM roles UNION ALL SELECT id, 1 FROM roles", "23502", false},
    {"UPDATE grants SET level = NULL", "23502", false},
    {"MERGE INTO grants g USING roles r ON false WHEN NOT MATCHED THEN INSERT (role_id, level) VALUES (r.id, NULL)", "23502", false},
    {"INSERT INTO roles (id, name) VALUES (900001, 'a'), (900001, 'b') ON CONFLICT (id) DO UPDATE SET name = 'c'", "21000", false},
    {"INSERT INTO nowhere VALUES (1)", "42P01", false},
    {"SELECT breaks()", "P0001", false},
    {"SELECT 1/0", "22012", false},
    /* definitions */
    {"ALTER TABLE words ALTER COLUMN word TYPE int USING word::int", "22P02", true},
    {"ALTER TABLE words ALTER COLUMN word TYPE date USING word::date", "22007", true},
    {"ALTER TABLE words ALTER COLUMN word TYPE varchar(1)", "22001", true},
    {"ALTER TABLE words ALTER COLUMN known TYPE varchar(1)", "22001", false}, /* statistics tell of longer ones */
    {"ALTER TABLE words ALTER COLUMN word TYPE int", "42804", false},
    {"ALTER TABLE words ALTER COLUMN word TYPE int USING (word || 'x')::int", "22P02", true},
    {"ALTER TABLE words ALTER COLUMN word TYPE int USING word::int, ADD CHECK (nothing > 0)", "42703", false},
    {"ALTER TABLE grants ADD CONSTRAINT high CHECK (level > 1000000)", "23514", false},
    {"CREATE UNIQUE INDEX one ON grants ((1))", "23505", false},
    {"ALTER TABLE vacant ADD COLUMN n int NOT NULL", "23502", true},
    {"ALTER TABLE vacant ADD CHECK (id > 1000000)", "23514", true},
    {"ALTER TABLE vacant ADD CHECK (nothing > 0)", "42703", false},
    {"CREATE UNIQUE INDEX one ON vacant ((1))", "23505", true},
    {"DO $$ BEGIN INSERT INTO grants (role_id, level) VALUES (4711, 1); END $$", "23503", false},
};

static void judge(struct harness *h, const struct trial *trial, const char *before, const char *after, size_t at) {
  char sql[1000];
  snprintf(sql, sizeof sql, "%s%s;%s", before, trial->sql, after);
  json_t *job = analyse(h, sql), *result = harness_at(job, "result.sandbox_result");
  json_t *step = json_array_get(json_object_get(result, "statements"), at);
  json_t *statement = json_array_get(harness_at(job, "result.statements"), at), *told = finding(statement, "depends-on-rows");
  const char *state = json_str(json_object_get(step, "error"), "sqlstate", "");
  bool right = strcmp(state, trial->sqlstate) == 0 && json_bool(result, "passed", false) == trial->untried &&
               json_bool(step, "data_dependent", !trial->untried) == trial->untried && (told != NULL) == trial->untried &&
               !json_is_null(json_object_get(result, "migration_error")) != trial->untried &&
               !json_is_null(harness_at(job, "result.approval_token")) == trial->untried;
  if (trial->untried)
    right = right && strcmp(json_str(statement, "agreement", ""), "unverifiable") == 0 &&
            strcmp(json_str(told, "severity", ""), "warning") == 0 && strstr(json_str(told, "message", ""), trial->sqlstate);
  if (!right) {
    char *text = json_dumps(result, JSON_INDENT(1));
    fail_msg("%s: SQLSTATE \"%s\", want \"%s\", %s\n%s", sql, state, trial->sqlstate, trial->untried ? "passed over" : "failed", text);
  }
  json_decref(job);
}

static void test_in_our_transaction(void **state) {
  for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) judge(*state, &trials[i], "", "", 0);
}

static void test_in_their_transaction(void **state) {
  for (size_t i = 0; i < sizeof trials / sizeof *trials; i += 3)
    judge(*state, &trials[i], "BEGIN; CREATE TABLE n (i int); ", " INSERT INTO n VALUES (1); COMMIT;", 2);
}

/* A table that is empty in production is not any longer when the migration fills it, or may have. */
static void test_filled_by_the_migration(void **state) {
  static const struct trial trial = {"ALTER TABLE vacant ADD COLUMN n int NOT NULL", "23502", false};
  static const struct trial still = {"ALTER TABLE vacant ADD COLUMN n int NOT NULL", "23502", true};
  judge(*state, &still, "SELECT count(*) FROM roles; UPDATE roles SET name = lower(name); INSERT INTO roles (id, name) VALUES (-1, 'b'); ",
        "", 3);
  judge(*state, &trial, "SELECT any_role() FROM grants LIMIT 1; ", "", 1);
  judge(*state, &trial, "WITH n AS (INSERT INTO vacant VALUES (-1, 'a') RETURNING id) SELECT id FROM n; ", "", 1);
  judge(*state, &trial, "INSERT INTO vacant VALUES (-1, 'a'); ", "", 1);
  judge(*state, &trial, "DO $$ BEGIN INSERT INTO vacant VALUES (-1, 'a'); END $$; ", "", 1);
}

/* The script's own savepoint stays where it was. */
static void test_between_savepoints(void **state) {
  const struct trial *trial = &trials[0];
  judge(*state, trial, "BEGIN; SAVEPOINT mine; ", " ROLLBACK TO mine; RELEASE mine; COMMIT;", 2);
}

/* What came before it stays, what comes after it runs, locks and scans are each statement's own, and the way back leads back. */
static void test_the_run_goes_on(void **state) {
  json_t *job = analyse(*state, "CREATE TABLE made (id int PRIMARY KEY);"
                                "INSERT INTO made SELECT id FROM roles;"
                                "INSERT INTO grants (role_id, level) SELECT 4711, count(*) + 1 FROM roles;"
                                "ALTER TABLE kept ADD COLUMN note text;"
                                "CREATE INDEX CONCURRENTLY kept_note ON kept (note);"
                                "INSERT INTO made VALUES (-1);");
  json_t *result = harness_at(job, "result.sandbox_result"), *statements = harness_at(job, "result.statements");
  assert_true(json_is_true(json_object_get(result, "passed")));
  assert_true(json_is_true(json_object_get(result, "migration_applied")));
  assert_int_equal(json_array_size(json_object_get(result, "statements")), 6);
  static const char *const agreements[] = {"agreed", "agreed", "unverifiable", "agreed", "agreed", "agreed"};
  for (size_t i = 0; i < 6; i++)
    if (strcmp(json_str(json_array_get(statements, i), "agreement", ""), agreements[i]) != 0) {
      puts(json_dumps(result, JSON_INDENT(1)));
      fail_msg("statement %zu: %s", i, json_str(json_array_get(statements, i), "agreement", ""));
    }
  assert_true(json_is_true(json_object_get(result, "rollback_verified")));
  assert_non_null(strstr(harness_text(job, "result.narrative"), "1 of its statements depends on rows"));
  json_decref(job);
}

/* What a conversion leaves behind is there for what follows, and the way back is tried. */
static void test_converted_without_rows(void **state) {
  json_t *job = analyse(*state, "CREATE INDEX words_word ON words (word); ALTER TABLE words ALTER COLUMN word TYPE int USING word::int; "
                                "ALTER TABLE words ADD CHECK (word > 0); INSERT INTO words (word, known) VALUES (1, 'a')");
  json_t *result = harness_at(job, "result.sandbox_result");
  assert_true(json_is_true(json_object_get(result, "passed")));
  assert_int_equal(json_array_size(json_object_get(result, "statements")), 4);
  assert_string_equal(harness_text(result, "statements.1.error.sqlstate"), "22P02");
  assert_string_equal(harness_text(result, "statements.1.rewrites.0"), "public.words");
  assert_true(json_is_true(harness_at(result, "statements.1.data_dependent")));
  assert_true(json_is_null(harness_at(result, "statements.2.error")));
  json_decref(job);
}

/* A key checked at COMMIT takes the whole transaction with it: which statement is to be passed over can't be said. */
static void test_deferred_keys_fail(void **state) {
  json_t *job = analyse(*state, "INSERT INTO later VALUES (900001, 4711);");
  assert_true(json_is_false(harness_at(job, "result.sandbox_result.passed")));
  assert_string_equal(harness_text(job, "result.sandbox_result.migration_error.sqlstate"), "23503");
  json_decref(job);
}

static void test_nothing_to_undo(void **state) {
  static const struct {
    const char *sql;
    int verified; /* 1 true, 0 null */
  } cases[] = {{"DROP TABLE IF EXISTS nowhere", 1},
               {"CREATE TABLE IF NOT EXISTS roles (id int)", 1},
               {"BEGIN; CREATE TABLE gone (i int); ROLLBACK", 1},
               {"CREATE INDEX IF NOT EXISTS roles_pkey ON roles (id)", 1},
               {"VACUUM roles", 1},
               {"SET lock_timeout = '1s'", 0},
               {"SELECT 1", 0},
               {"INSERT INTO roles (name) VALUES ('new')", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *job = analyse(*state, cases[i].sql), *verified = harness_at(job, "result.sandbox_result.rollback_verified");
    if (cases[i].verified ? !json_is_true(verified) : !json_is_null(verified)) {
      puts(json_dumps(harness_at(job, "result.sandbox_result"), JSON_INDENT(1)));
      fail_msg("%s", cases[i].sql);
    }
    json_decref(job);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_in_our_transaction),      cmocka_unit_test(test_in_their_transaction),
      cmocka_unit_test(test_filled_by_the_migration), cmocka_unit_test(test_between_savepoints),
      cmocka_unit_test(test_the_run_goes_on),         cmocka_unit_test(test_converted_without_rows),
      cmocka_unit_test(test_deferred_keys_fail),      cmocka_unit_test(test_nothing_to_undo),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
