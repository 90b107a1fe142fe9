/* test_preflight.c - the feasibility queries on a real server: each runs as it stands, and its answer is what the statement then meets. */
#include "tests/support/harness.h"

#include "common/json.h"
#include "worker/migration/preflight.h"
#include "worker/schema/catalog.h"

struct world {
  struct harness *harness;
  struct arena *arena;
  char url[HARNESS_URL];
  struct snapshot *snapshot;
};

static struct snapshot *look(struct world *world) {
  PGconn *conn = harness_connect(world->url);
  struct catalog_reader reader = {.conn = conn, .arena = world->arena, .excluded = "{}", .major = 17};
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("introspection: %s", err.message);
  json_t *root = arena_json(world->arena, json_incref(reader.root));
  catalog_end(&reader);
  PQfinish(conn);
  if (snapshot_load(root, world->arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

static int setup(void **state) {
  static struct world world;
  world.harness = harness_new();
  harness_stack(world.harness, NULL, NULL);
  harness_database(&world.harness->pg[0], "rows", world.url);
  harness_sql_file(world.url, "tests/fixtures/ddl_fixture.sql");
  harness_sql(world.url,
              "CREATE TABLE plain (id int PRIMARY KEY, k int, v text, w varchar(50), n numeric(10,2), b bigint, vb varbit(8), du dom, "
              "r int4range, p int); CREATE TABLE rowless (id int, v int); ANALYZE");
  world.arena = arena_new(1 << 30);
  world.snapshot = look(&world);
  *state = &world;
  return 0;
}

static int teardown(void **state) {
  struct world *world = *state;
  void *harness = world->harness;
  arena_free(world->arena);
  return harness_teardown(&harness);
}

static struct analysis *analyse(struct world *world, const char *sql) {
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  if (analysis_static(sql, strlen(sql), world->snapshot, &(struct analysis_options){0}, world->arena, &analysis, &err))
    fail_msg("%s: %s", sql, err.message);
  return analysis;
}

/* --- every query runs --- */

static bool asked_in_vain(const struct effect_check *check) {
  return check->preflight.wanted && !check->preflight.ran && strncmp(check->preflight.error, "not run:", 8) != 0;
}

static void test_every_query_runs(void **state) {
  struct world *world = *state;
  json_t *truth = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/ddl_truth.json", 0, NULL), *one;
  PGconn *conn = harness_connect(world->url);
  size_t index, ran = 0, left = 0;
  int wrong = 0;
  json_array_foreach(json_object_get(truth, "cases"), index, one) {
    const char *sql = json_str(one, "sql", "");
    struct analysis *analysis = analyse(world, sql);
    preflight_ask(conn, analysis);
    for (size_t s = 0; s < analysis->count; s++)
      for (size_t c = 0; c < analysis->statements[s].effect.checks.count; c++) {
        const struct effect_check *check = &analysis->statements[s].effect.checks.items[c];
        ran += check->preflight.ran;
        left += check->preflight.wanted && !check->preflight.ran;
        if (asked_in_vain(check) && ++wrong) print_error("%s\n  %s\n  %s\n", sql, check->preflight_sql, check->preflight.error);
      }
  }
  print_message("%zu queries ran, %zu are about what the statement itself makes\n", ran, left);
  assert_int_equal(wrong, 0);
  assert_true(ran > 20);
  PQfinish(conn);
  json_decref(truth);
}

/* --- answers are true --- */

static const char *try_statement(struct world *world, const char *sql) {
  PGconn *conn = harness_connect(world->url);
  PQclear(PQexec(conn, "BEGIN"));
  PGresult *res = PQexec(conn, sql);
  const char *sqlstate =
      PQresultStatus(res) == PGRES_COMMAND_OK ? "" : arena_strdup(world->arena, PQresultErrorField(res, PG_DIAG_SQLSTATE));
  PQclear(res);
  PQfinish(conn);
  return sqlstate;
}

static const struct effect_check *asked(struct world *world, const char *sql, const char *sqlstate) {
  struct analysis *analysis = analyse(world, sql);
  PGconn *conn = harness_connect(world->url);
  preflight_ask(conn, analysis);
  PQfinish(conn);
  const struct effect_check *found = NULL;
  for (size_t i = 0; i < analysis->statements[0].effect.checks.count; i++) {
    const struct effect_check *check = &analysis->statements[0].effect.checks.items[i];
    bool ours = check->sqlstate && strcmp(check->sqlstate, sqlstate) == 0 && check->preflight.wanted;
    if (ours && (!found || check->preflight.violating)) found = check;
  }
  if (!found) fail_msg("%s: no query for %s", sql, sqlstate);
  if (!found->preflight.ran) fail_msg("%s: %s: %s", sql, found->preflight_sql, found->preflight.error);
  return found;
}

/* Rows that violate, the statement, how it fails; the rows are removed again. */
static const struct {
  const char *plant, *sql, *sqlstate;
} cases[] = {
    {"INSERT INTO plain (id) VALUES (1)", "ALTER TABLE plain ALTER COLUMN k SET NOT NULL", "23502"},
    {"INSERT INTO plain (id) VALUES (1)", "ALTER TABLE plain ADD COLUMN z int NOT NULL", "23502"},
    {"INSERT INTO plain (id, k) VALUES (1, -1)", "ALTER TABLE plain ADD CONSTRAINT c CHECK (k > 0)", "23514"},
    {"INSERT INTO plain (id, v) VALUES (1, 'a'), (2, 'a')", "ALTER TABLE plain ADD CONSTRAINT u UNIQUE (v)", "23505"},
    {"INSERT INTO plain (id, k, v) VALUES (1, 1, 'a'), (2, 1, 'a')", "ALTER TABLE plain ADD CONSTRAINT u UNIQUE (k, v)", "23505"},
    {"INSERT INTO plain (id, v) VALUES (1, NULL), (2, NULL)", "ALTER TABLE plain ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (v)", "23505"},
    {"INSERT INTO plain (id, v) VALUES (1, 'a'), (2, 'A')", "CREATE UNIQUE INDEX u ON plain (lower(v))", "23505"},
    {"INSERT INTO plain (id, k, v) VALUES (1, 1, 'a'), (2, 1, 'a')", "CREATE UNIQUE INDEX u ON plain (v) WHERE k = 1", "23505"},
    {"INSERT INTO plain (id, p) VALUES (1, 999999)", "ALTER TABLE plain ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id)", "23503"},
    {"INSERT INTO plain (id, w) VALUES (1, repeat('x', 21))", "ALTER TABLE plain ALTER COLUMN w TYPE varchar(20)", "22001"},
    {"INSERT INTO plain (id, n) VALUES (1, 12345678.5)", "ALTER TABLE plain ALTER COLUMN n TYPE numeric(8,2)", "22003"},
    {"INSERT INTO plain (id, b) VALUES (1, 5000000000)", "ALTER TABLE plain ALTER COLUMN b TYPE int", "22003"},
    {"INSERT INTO plain (id, du) VALUES (1, -9)", "ALTER DOMAIN dom ADD CONSTRAINT dc CHECK (VALUE > -5)", "23514"},
    {"INSERT INTO plain (id, r) VALUES (1, '[1,5)'), (2, '[4,9)')", "ALTER TABLE plain ADD CONSTRAINT x EXCLUDE USING gist (r WITH &&)",
     "23P01"},
    {"INSERT INTO pnock VALUES (0, 9000, 'x')", "ALTER TABLE pt ATTACH PARTITION pnock FOR VALUES FROM (4000) TO (6000)", "23514"},
    {"INSERT INTO ptd VALUES (-1, 5500, 'x')", "CREATE TABLE ptd3 PARTITION OF ptd FOR VALUES FROM (5000) TO (6000)", "23514"},
};

static void test_answers_are_true(void **state) {
  struct world *world = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    harness_sql(world->url, cases[i].plant);
    const struct effect_check *bad = asked(world, cases[i].sql, cases[i].sqlstate);
    if (!bad->preflight.violating || bad->verdict != VERDICT_WILL_FAIL) fail_msg("%s: %s is false", cases[i].sql, bad->preflight_sql);
    const char *seen = try_statement(world, cases[i].sql);
    if (strcmp(seen, cases[i].sqlstate) != 0) fail_msg("%s: failed with '%s'", cases[i].sql, seen);
    harness_sql(world->url, "TRUNCATE plain; DELETE FROM pnock WHERE id <= 0; DELETE FROM ptd WHERE id < 0");
    const struct effect_check *good = asked(world, cases[i].sql, cases[i].sqlstate);
    if (good->preflight.violating || good->verdict != VERDICT_PROVEN) fail_msg("%s: %s is true", cases[i].sql, good->preflight_sql);
    seen = try_statement(world, cases[i].sql);
    if (*seen) fail_msg("%s: failed with '%s' without such rows", cases[i].sql, seen);
  }
}

/* Rows that look alike but are no violation. */
static void test_harmless_rows(void **state) {
  struct world *world = *state;
  static const struct {
    const char *plant, *sql, *sqlstate;
  } harmless[] = {
      {"INSERT INTO plain (id, v) VALUES (1, NULL), (2, NULL)", "ALTER TABLE plain ADD CONSTRAINT u UNIQUE (v)", "23505"},
      {"INSERT INTO plain (id, k) VALUES (1, NULL)", "ALTER TABLE plain ADD CONSTRAINT c CHECK (k > 0)", "23514"},
      {"INSERT INTO plain (id, p) VALUES (1, NULL)", "ALTER TABLE plain ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id)", "23503"},
      {"INSERT INTO plain (id, w) VALUES (1, rpad('x', 30))", "ALTER TABLE plain ALTER COLUMN w TYPE varchar(20)", "22001"},
      {"INSERT INTO plain (id, k, v) VALUES (1, 1, 'a'), (2, 2, 'a')", "CREATE UNIQUE INDEX u ON plain (v) WHERE k = 1", "23505"},
  };
  for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
    harness_sql(world->url, harmless[i].plant);
    const struct effect_check *check = asked(world, harmless[i].sql, harmless[i].sqlstate);
    const char *seen = try_statement(world, harmless[i].sql);
    if (check->preflight.violating || *seen) fail_msg("%s: %s, and '%s'", harmless[i].sql, check->preflight_sql, seen);
    harness_sql(world->url, "TRUNCATE plain");
  }
}

/* --- verdicts from statistics --- */

static enum verdict verdict_of(struct world *world, const char *sql, const char *sqlstate) {
  struct analysis *analysis = analyse(world, sql);
  const struct statement *last = &analysis->statements[analysis->count - 1];
  for (size_t i = 0; i < last->effect.checks.count; i++)
    if (strcmp(last->effect.checks.items[i].sqlstate, sqlstate) == 0) return last->effect.checks.items[i].verdict;
  fail_msg("%s: no check for %s", sql, sqlstate);
  return VERDICT_UNKNOWN;
}

static void test_statistics(void **state) {
  struct world *world = *state;
  const struct {
    const char *sql, *sqlstate;
    enum verdict verdict;
  } verdicts[] = {
      {"ALTER TABLE t ALTER COLUMN nul SET NOT NULL", "23502", VERDICT_WILL_FAIL},
      {"ALTER TABLE t ALTER COLUMN a SET NOT NULL", "23502", VERDICT_MAY_FAIL}, /* none in the sample proves nothing */
      {"UPDATE t SET nul = 'x' WHERE nul IS NULL; ALTER TABLE t ALTER COLUMN nul SET NOT NULL", "23502", VERDICT_MAY_FAIL},
      {"ALTER TABLE t ADD CONSTRAINT u UNIQUE (parent_id)", "23505", VERDICT_WILL_FAIL},
      {"ALTER TABLE t ADD CONSTRAINT u UNIQUE (lo)", "23505", VERDICT_MAY_FAIL},
      {"ALTER TABLE t ADD CONSTRAINT u UNIQUE (si, flag)", "23505", VERDICT_WILL_FAIL},
      {"ALTER TABLE t ADD CONSTRAINT u UNIQUE (id, a)", "23505", VERDICT_PROVEN}, /* the primary key is within */
      {"ALTER TABLE child ADD CONSTRAINT again FOREIGN KEY (t_id) REFERENCES t (id)", "23503", VERDICT_PROVEN},
      {"ALTER TABLE pck ADD CONSTRAINT again CHECK (k >= 3000 AND k < 4000)", "23514", VERDICT_PROVEN},
      {"CREATE TABLE n (id int); ALTER TABLE n ADD CONSTRAINT u UNIQUE (id)", "23505", VERDICT_PROVEN},
  };
  for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
    enum verdict verdict = verdict_of(world, verdicts[i].sql, verdicts[i].sqlstate);
    if (verdict != verdicts[i].verdict) fail_msg("%s: %d", verdicts[i].sql, (int)verdict);
  }
}

static void test_changed_rows_are_not_trusted(void **state) {
  struct world *world = *state;
  harness_sql(world->url, "CREATE TABLE changed (id int, v text); INSERT INTO changed SELECT g FROM generate_series(1, 1000) g");
  POLL_UNTIL(harness_count(world->url, "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'changed'") == 1000, 10000);
  harness_sql(world->url, "ANALYZE changed");
  POLL_UNTIL(harness_count(world->url, "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'changed'") == 0, 10000);
  struct snapshot *before = world->snapshot;
  world->snapshot = look(world);
  assert_int_equal(verdict_of(world, "ALTER TABLE changed ALTER COLUMN v SET NOT NULL", "23502"), VERDICT_WILL_FAIL);
  harness_sql(world->url, "UPDATE changed SET v = 'x'");
  POLL_UNTIL(harness_count(world->url, "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'changed'") == 1000, 10000);
  world->snapshot = look(world);
  assert_int_equal(verdict_of(world, "ALTER TABLE changed ALTER COLUMN v SET NOT NULL", "23502"), VERDICT_MAY_FAIL);
  world->snapshot = before;
}

/* --- what can't be asked --- */

static const struct effect_check *last_check(const struct analysis *analysis) {
  const struct statement *last = &analysis->statements[analysis->count - 1];
  assert_true(last->effect.checks.count > 0);
  return &last->effect.checks.items[last->effect.checks.count - 1];
}

static void test_not_asked_too_early(void **state) {
  struct world *world = *state;
  static const char *const scripts[] = {
      "CREATE TABLE n (id int); INSERT INTO n VALUES (1); ALTER TABLE n ADD CONSTRAINT u UNIQUE (id)",
      "ALTER TABLE t ADD COLUMN z int DEFAULT 5; ALTER TABLE t ADD CONSTRAINT c CHECK (z > 0)",
      "UPDATE t SET a = 1; ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)",
      "ALTER TABLE t RENAME COLUMN a TO a2; ALTER TABLE t ADD CONSTRAINT u UNIQUE (a2)",
      "ALTER TABLE inh RENAME TO inh2; ALTER TABLE inh2 ADD CONSTRAINT u UNIQUE (extra)",
      "DO $$ BEGIN END $$; ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)",
  };
  PGconn *conn = harness_connect(world->url);
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    struct analysis *analysis = analyse(world, scripts[i]);
    enum verdict before = last_check(analysis)->verdict;
    preflight_ask(conn, analysis);
    const struct effect_check *check = last_check(analysis);
    assert_true(check->preflight.wanted);
    if (check->preflight.ran) fail_msg("%s: asked: %s", scripts[i], check->preflight_sql);
    assert_int_equal(strncmp(check->preflight.error, "not run:", 8), 0);
    assert_int_equal(check->verdict, before);
  }
  PQfinish(conn);
}

static void test_a_lock_in_the_way(void **state) {
  struct world *world = *state;
  PGconn *holder = harness_connect(world->url), *conn = harness_connect(world->url);
  PQclear(PQexec(holder, "BEGIN"));
  PQclear(PQexec(holder, "LOCK TABLE t"));
  struct analysis *analysis =
      analyse(world, "ALTER TABLE t ADD CONSTRAINT u UNIQUE (lo); ALTER TABLE parent ADD CONSTRAINT u2 UNIQUE (code)");
  preflight_ask(conn, analysis);
  const struct effect_check *locked = &analysis->statements[0].effect.checks.items[0];
  assert_false(locked->preflight.ran);
  assert_non_null(strstr(locked->preflight.error, "lock timeout"));
  assert_int_equal(locked->verdict, VERDICT_MAY_FAIL);
  assert_true(last_check(analysis)->preflight.ran); /* the next is asked all the same */
  PQfinish(holder);
  PQfinish(conn);
}

static void test_it_only_reads(void **state) {
  struct world *world = *state;
  harness_sql(world->url,
              "CREATE FUNCTION writes() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO parent VALUES (-1); RETURN true; END'");
  PGconn *conn = harness_connect(world->url);
  struct analysis *analysis = analyse(world, "ALTER TABLE inh ADD CONSTRAINT c CHECK (writes())");
  preflight_ask(conn, analysis);
  assert_false(last_check(analysis)->preflight.ran);
  assert_int_equal(harness_count(world->url, "SELECT count(*) FROM parent WHERE id = -1"), 0);
  PQfinish(conn);
}

/* --- over HTTP --- */

static json_t *over_http(struct world *world, const char *query, const char *sql) {
  char path[200];
  REPLY_AUTO reply = {0};
  char *text = json_dumps(
      arena_json(world->arena, json_pack("{s:s, s:s, s:s}", "name", query, "db_type", "postgresql_local", "connection_string", world->url)),
      0);
  harness_http(world->harness, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  if (reply.status != 201) fail_msg("connection: %ld %s", reply.status, reply.body);
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze%s", harness_text(reply.json, "data.id"), query);
  json_t *job = harness_job(world->harness, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", json_dumps(job, 0));
  return job;
}

static json_t *first_check(json_t *job) {
  json_t *statements = json_object_get(json_object_get(job, "result"), "statements");
  return json_array_get(json_object_get(json_array_get(statements, 0), "feasibility"), 0);
}

static void test_over_http(void **state) {
  struct world *world = *state;
  const char *sql = "ALTER TABLE child ALTER COLUMN x SET NOT NULL";
  json_t *asked = over_http(world, "?sandbox=false&preflight=true", sql), *not_asked = over_http(world, "?sandbox=false", sql);
  json_t *preflight = json_object_get(first_check(asked), "preflight");
  assert_true(json_is_true(json_object_get(preflight, "ran")));
  assert_true(json_is_false(json_object_get(preflight, "violating")));
  assert_string_equal(json_str(first_check(asked), "verdict", ""), "proven");
  assert_null(json_object_get(first_check(not_asked), "preflight"));
  assert_string_equal(json_str(first_check(not_asked), "verdict", ""), "may_fail");
  json_decref(asked);
  json_decref(not_asked);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_query_runs),
      cmocka_unit_test(test_answers_are_true),
      cmocka_unit_test(test_harmless_rows),
      cmocka_unit_test(test_statistics),
      cmocka_unit_test(test_changed_rows_are_not_trusted),
      cmocka_unit_test(test_not_asked_too_early),
      cmocka_unit_test(test_a_lock_in_the_way),
      cmocka_unit_test(test_it_only_reads),
      cmocka_unit_test(test_over_http),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
