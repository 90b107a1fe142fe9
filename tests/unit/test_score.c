/* test_score.c - the score: the bands a person would expect of ordinary statements, monotone in whatever makes things worse, and the two
 * costs in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/json.h"
#include "worker/migration/report.h"
#include "worker/migration/score.h"

#define KB 1024.0
#define MB (1024 * KB)
#define GB (1024 * MB)
#define SET "SET lock_timeout = '1s'; "

static struct arena *arena;
static int setup(void **state) {
  (void)state;
  arena = arena_new(1 << 30);
  return arena ? 0 : -1;
}
static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

/* How big and how busy the tables of the model are. */
struct load {
  double bytes, per_s; /* per_s: reads; a tenth as many writes */
};

static json_t *table(const char *name, struct load load, json_t *keys) {
  return json_pack(
      "{s:s, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}, s:[{s:s, s:s, s:b},{s:s, s:s, s:b},{s:s, s:s, s:b}], s:{s:s, s:[s]}, "
      "s:[{s:s, s:[s], s:b}, {s:s, s:[s]}], s:o}",
      "schema", "public", "name", name, "kind", "table", "estimated_rows", (json_int_t)(load.bytes / 100), "total_bytes",
      (json_int_t)load.bytes, "activity", "seconds", (json_int_t)1000, "idx_scan", (json_int_t)(load.per_s * 1000), "seq_scan",
      (json_int_t)0, "n_tup_upd", (json_int_t)(load.per_s * 100), "n_mod_since_analyze", (json_int_t)0, "columns", "name", "id", "type",
      "bigint", "nullable", 0, "name", "a", "type", "integer", "nullable", 1, "name", "v", "type", "character varying(50)", "nullable", 1,
      "primary_key", "name", arena_printf(arena, "%s_pkey", name), "columns", "id", "indexes", "name", arena_printf(arena, "%s_pkey", name),
      "columns", "id", "unique", 1, "name", arena_printf(arena, "%s_a_idx", name), "columns", "a", "foreign_keys", keys);
}

static json_t *key(const char *name, const char *to) {
  return json_pack("[{s:s, s:s, s:s, s:[s], s:[s]}]", "name", name, "ref_schema", "public", "ref_table", to, "columns", "a", "ref_columns",
                   "id");
}

/* t, its child c, c's child g; and p alone. */
static struct snapshot *model(struct load load) {
  json_t *json = json_pack("{s:i, s:[s], s:[o,o,o,o]}", "server_version_num", 160000, "search_path_schemas", "public", "tables",
                           table("t", load, json_array()), table("c", load, key("c_fk", "t")), table("g", load, key("g_fk", "c")),
                           table("p", load, json_array()));
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  assert_non_null(json);
  if (snapshot_load(arena_json(arena, json), arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

static struct analysis *analyse(const struct snapshot *snapshot, const char *sql) {
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  if (analysis_static(sql, strlen(sql), snapshot, &(struct analysis_options){0}, arena, &analysis, &err))
    fail_msg("%s: %s", sql, err.message);
  if (analysis->script.fault.sqlstate) fail_msg("%s: %s", sql, analysis->script.fault.message);
  return analysis;
}

static void print_factors(const struct analysis *analysis) {
  for (size_t s = 0; s < analysis->count; s++)
    for (size_t i = 0; i < analysis->statements[s].factors.count; i++) {
      const struct factor *factor = &analysis->statements[s].factors.items[i];
      print_error("  %zu %-12s %3d  %s\n", s, factor->code, factor->points, factor->message);
    }
}

static void test_bands(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    struct load load;
    const char *least, *most;
  } cases[] = {
      {SET "ALTER TABLE t ADD COLUMN z int", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE t ADD COLUMN z int NOT NULL DEFAULT 5", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0) NOT VALID", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE p ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES t (id) NOT VALID", {100 * GB, 1000}, "low", "medium"},
      {"CREATE INDEX CONCURRENTLY i ON t (v)", {100 * GB, 1000}, "low", "low"},
      {"DROP INDEX CONCURRENTLY t_a_idx", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE t ALTER COLUMN v TYPE text", {100 * GB, 1000}, "low", "medium"},
      {"CREATE TABLE n (id bigint PRIMARY KEY, t bigint)", {100 * GB, 1000}, "low", "low"},
      {"COMMENT ON TABLE t IS 'x'", {100 * GB, 1000}, "low", "low"},
      {"ANALYZE t", {100 * GB, 1000}, "low", "low"},
      {"VACUUM t", {100 * GB, 1000}, "low", "low"},
      {"SELECT 1", {100 * GB, 1000}, "low", "low"},
      {"INSERT INTO p (id) VALUES (1)", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE p ALTER COLUMN a SET DEFAULT 1", {100 * GB, 1000}, "low", "low"},
      {SET "ALTER TABLE t RENAME COLUMN v TO v2", {100 * GB, 1000}, "medium", "medium"},
      {SET "ALTER TABLE p ALTER COLUMN a SET NOT NULL", {100 * GB, 10}, "high", "high"},
      {SET "ALTER TABLE p ALTER COLUMN a SET NOT NULL", {1 * MB, 10}, "low", "low"},
      {SET "ALTER TABLE p ALTER COLUMN a TYPE bigint", {100 * GB, 0}, "critical", "critical"},
      {SET "ALTER TABLE p ALTER COLUMN a TYPE bigint", {10 * GB, 10}, "high", "critical"},
      {SET "ALTER TABLE p ALTER COLUMN a TYPE bigint", {1 * MB, 1000}, "low", "medium"},
      {SET "ALTER TABLE p ADD COLUMN z uuid DEFAULT gen_random_uuid()", {100 * GB, 0}, "critical", "critical"},
      {"VACUUM FULL p", {100 * GB, 0}, "critical", "critical"},
      {SET "CREATE INDEX i ON p (v)", {100 * GB, 10}, "high", "high"},
      {SET "CREATE INDEX i ON p (v)", {1 * MB, 1000}, "low", "medium"},
      {SET "ALTER TABLE p ADD CONSTRAINT u UNIQUE (v)", {100 * GB, 100}, "high", "critical"},
      {SET "DROP TABLE g", {10 * MB, 10}, "critical", "critical"},
      {SET "DROP TABLE g", {100 * GB, 1000}, "critical", "critical"},
      {SET "DROP TABLE p", {0, 0}, "low", "medium"},
      {SET "TRUNCATE t CASCADE", {10 * MB, 10}, "critical", "critical"},
      {SET "TRUNCATE p", {10 * MB, 10}, "critical", "critical"},
      {"DELETE FROM p", {1 * GB, 10}, "high", "critical"},
      {"UPDATE p SET a = 1", {1 * GB, 10}, "medium", "high"},
      {"DELETE FROM p WHERE id = 1", {1 * GB, 10}, "low", "medium"},
      {SET "ALTER TABLE p DROP COLUMN v", {1 * MB, 10}, "medium", "medium"},
      {SET "ALTER TABLE p DROP COLUMN v", {100 * GB, 100}, "high", "high"},
      {SET "DROP INDEX t_a_idx", {100 * GB, 1000}, "low", "medium"},
      {SET "ALTER TABLE p ADD COLUMN z int NOT NULL", {10 * MB, 10}, "medium", "high"},
      {"DO $$ BEGIN END $$", {1 * GB, 10}, "low", "low"},
      {SET "DROP SCHEMA public CASCADE", {10 * MB, 10}, "critical", "critical"},
  };
  static const char *const bands[] = {"low", "medium", "high", "critical"};
  int wrong = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct analysis *analysis = analyse(model(cases[i].load), cases[i].sql);
    const char *band = analysis_category(analysis->score);
    int place = -1, least = -1, most = -1;
    for (int b = 0; b < 4; b++) {
      if (strcmp(bands[b], band) == 0) place = b;
      if (strcmp(bands[b], cases[i].least) == 0) least = b;
      if (strcmp(bands[b], cases[i].most) == 0) most = b;
    }
    if (place >= least && place <= most) continue;
    wrong++;
    print_error("%s (%.0f bytes): %s (%d), not %s to %s\n", cases[i].sql, cases[i].load.bytes, band, analysis->score, cases[i].least,
                cases[i].most);
    print_factors(analysis);
  }
  assert_int_equal(wrong, 0);
}

static void test_factors_add_up(void **state) {
  (void)state;
  const struct analysis *analysis =
      analyse(model((struct load){10 * GB, 50}), SET "ALTER TABLE t ALTER COLUMN a TYPE bigint; TRUNCATE t CASCADE");
  for (size_t s = 0; s < analysis->count; s++) {
    int sum = 0;
    for (size_t i = 0; i < analysis->statements[s].factors.count; i++) {
      assert_true(analysis->statements[s].factors.items[i].points > 0);
      sum += analysis->statements[s].factors.items[i].points;
    }
    assert_int_equal(analysis->statements[s].score, sum > 100 ? 100 : sum);
  }
}

/* --- monotone --- */

static unsigned long long seed = 42;
static double random_in(double low, double high) {
  seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
  return low + (high - low) * (double)(seed >> 33) / (double)(1ULL << 31);
}

static const char *const forms[] = {
    "ALTER TABLE t ADD COLUMN z int",
    "ALTER TABLE t ADD COLUMN z bigserial",
    "ALTER TABLE t ALTER COLUMN a TYPE bigint",
    "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
    "ALTER TABLE p ADD FOREIGN KEY (a) REFERENCES t (id)",
    "ALTER TABLE t ADD CONSTRAINT u UNIQUE (v)",
    "CREATE INDEX i ON t (v)",
    "CREATE INDEX CONCURRENTLY i ON t (v)",
    "DROP TABLE t CASCADE",
    "TRUNCATE t CASCADE",
    "DELETE FROM t",
    "UPDATE t SET a = 1",
    "ALTER TABLE t DROP COLUMN v",
    "VACUUM FULL t",
    "ALTER TABLE t RENAME TO t2",
    "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
};

static void never_lower(const char *sql, struct load less, struct load more) {
  int low = analyse(model(less), sql)->score, high = analyse(model(more), sql)->score;
  if (high < low)
    fail_msg("%s: %d with %.0f bytes, %.1f/s; %d with %.0f bytes, %.1f/s", sql, low, less.bytes, less.per_s, high, more.bytes, more.per_s);
}

static void test_bigger_and_busier_never_lower(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++)
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
      double bytes = random_in(1, 100) * 1000 * random_in(1, 1000) * random_in(1, 1000), per_s = random_in(0, 3000);
      struct load base = {bytes, per_s};
      never_lower(forms[i], base, (struct load){bytes * random_in(1, 50), per_s});
      never_lower(forms[i], base, (struct load){bytes, per_s + random_in(0, 5000)});
      never_lower(forms[i], (struct load){0, 0}, base);
    }
}

/* A made-up statement over one table, so that one thing can be changed at a time. */
static int score_of(const struct snapshot *snapshot, enum lock_mode mode, bool scan, bool rewrite, enum loss loss, bool fails) {
  static const struct sql_statement source = {.text = ""};
  ERROR_AUTO err = {0};
  struct shadow *shadow = NULL;
  assert_int_equal(shadow_new(snapshot, arena, &shadow, &err), OK);
  struct rel *rel = shadow_find(shadow, "public", "t");
  struct analysis analysis = {.arena = arena, .snapshot = snapshot, .shadow = shadow};
  struct statement statement = {.source = &source, .effect = {.arena = arena}};
  effect_table(&statement.effect, rel);
  if (mode) effect_lock(&statement.effect, rel, mode);
  if (scan) effect_scan(&statement.effect, rel);
  if (rewrite) effect_rewrite(&statement.effect, rel);
  statement.effect.loss = loss;
  if (fails) effect_check(&statement.effect, "x", VERDICT_WILL_FAIL, "23505", NULL);
  score_statement(&analysis, &statement);
  int once = statement.score;
  score_statement(&analysis, &statement);
  assert_int_equal(statement.score, once); /* scoring again counts nothing twice */
  return once;
}

static void test_worse_never_lower(void **state) {
  (void)state;
  for (double bytes = 1 * KB; bytes < 1000 * GB; bytes *= 17) {
    const struct snapshot *snapshot = model((struct load){bytes, 100});
    for (int bits = 0; bits < 16; bits++) {
      bool scan = bits & 1, rewrite = bits & 2, fails = bits & 4;
      enum loss loss = bits & 8 ? LOSS_BEHAVIOUR : LOSS_NONE;
      int last = 0;
      for (int mode = LOCK_NONE; mode <= LOCK_ACCESS_EXCLUSIVE; mode++) {
        int score = score_of(snapshot, (enum lock_mode)mode, scan, rewrite, loss, fails);
        assert_true(score >= last);
        assert_true(score_of(snapshot, (enum lock_mode)mode, true, rewrite, loss, fails) >= score);
        assert_true(score_of(snapshot, (enum lock_mode)mode, scan, true, loss, fails) >= score);
        assert_true(score_of(snapshot, (enum lock_mode)mode, scan, rewrite, LOSS_BEHAVIOUR, fails) >= score);
        assert_true(score_of(snapshot, (enum lock_mode)mode, scan, rewrite, LOSS_DATA, fails) >= score);
        assert_true(score_of(snapshot, (enum lock_mode)mode, scan, rewrite, loss, true) >= score);
        last = score;
      }
    }
  }
}

/* --- time --- */

static json_t *queue_of(const struct analysis *analysis, size_t index) {
  json_t *report = arena_json(arena, report_json(analysis, "c", NULL, NULL, NULL));
  return json_object_get(json_array_get(json_object_get(report, "statements"), index), "lock_queue");
}

static void test_two_costs(void **state) {
  (void)state;
  const struct snapshot *snapshot = model((struct load){10 * GB, 100});
  const struct analysis *analysis = analyse(snapshot, "ALTER TABLE p ADD COLUMN z int; CREATE INDEX i ON p (v); SELECT 1");
  assert_true(analysis->statements[0].estimated_ms < 0); /* nothing to hold for, but 110 queries a second wait for the wait */
  assert_int_equal((int)json_number_value(json_object_get(queue_of(analysis, 0), "blocked_queries_per_second")), 110);
  assert_int_equal((int)json_number_value(json_object_get(queue_of(analysis, 0), "queued_queries")), 330);
  assert_int_equal(json_int(queue_of(analysis, 0), "wait_ms", 0), SCORE_LOCK_WAIT_MS);
  assert_int_equal((int)json_number_value(json_object_get(queue_of(analysis, 1), "blocked_queries_per_second")), 10); /* writes */
  assert_true(analysis->statements[1].estimated_ms > 60000);
  assert_true(json_is_null(queue_of(analysis, 2)));
  json_t *json = arena_json(arena, json_pack("{s:i, s:[{s:s, s:s, s:I}]}", "server_version_num", 160000, "tables", "schema", "public",
                                             "name", "quiet", "estimated_rows", (json_int_t)5));
  struct snapshot *quiet = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(snapshot_load(json, arena, &quiet, &err), OK);
  assert_true(json_is_null(queue_of(analyse(quiet, "LOCK TABLE quiet"), 0))); /* no counters: not said */
}

static void test_wait_is_the_runners(void **state) {
  (void)state;
  const struct snapshot *snapshot = model((struct load){10 * GB, 100});
  const char *sql = "ALTER TABLE p ADD COLUMN z int";
  struct analysis *analysis = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(analysis_static(sql, strlen(sql), snapshot, &(struct analysis_options){.lock_timeout_ms = 500}, arena, &analysis, &err),
                   OK);
  assert_int_equal(json_int(queue_of(analysis, 0), "wait_ms", 0), 500);
  assert_int_equal((int)json_number_value(json_object_get(queue_of(analysis, 0), "queued_queries")), 55);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bands),
      cmocka_unit_test(test_factors_add_up),
      cmocka_unit_test(test_bigger_and_busier_never_lower),
      cmocka_unit_test(test_worse_never_lower),
      cmocka_unit_test(test_two_costs),
      cmocka_unit_test(test_wait_is_the_runners),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
