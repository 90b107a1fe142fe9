/* test_analyze_truth.c - the static analysis held against what PostgreSQL really did: the measured cases of tests/fixtures/ddl_truth.json,
 * judged over snapshots introspected from real servers that hold tests/fixtures/ddl_fixture.sql: for each major its own where that is
 * installed, PostgreSQL 17's elsewhere. Majors without facts in the file are measured on the spot.
 *
 * Prints accuracy per kind of fact and every disagreement; fails below the floors. */
#include "tests/support/harness.h"
#include "tests/support/measure.h"

#include "worker/migration/forms/forms.h"
#include "worker/schema/catalog.h"

struct score {
  int right, of;
};
enum { OLDEST = 13, NEWEST = 18, INSTALLED = 17 };
struct truth {
  struct harness *harness;
  struct arena *arena;
  const struct snapshot *snapshots[NEWEST + 1]; /* by major; NULL: it isn't installed */
  char urls[NEWEST + 1][HARNESS_URL];
  const struct snapshot *snapshot; /* judged over now */
  json_t *cases;
  struct score locks, rewrites, scans, failures, blocks;
  int block_hits, block_found, block_said;
};

static json_t *introspect(struct arena *arena, const char *url, int major) {
  PGconn *conn = harness_connect(url);
  struct catalog_reader reader = {.conn = conn, .arena = arena, .excluded = "{}", .major = major};
  ERROR_AUTO err = {0};
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("introspection: %s", err.message);
  json_t *root = json_incref(reader.root);
  catalog_end(&reader);
  PQfinish(conn);
  return arena_json(arena, root);
}

static void take_snapshot(struct truth *truth, int major) {
  char *url = truth->urls[major];
  harness_database(harness_postgres(truth->harness, major), "truth", url);
  harness_sql_file(url, "tests/fixtures/ddl_fixture.sql");
  harness_sql(url, "ANALYZE");
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (snapshot_load(introspect(truth->arena, url, major), truth->arena, &snapshot, &err)) fail_msg("snapshot: %s", err.message);
  truth->snapshots[major] = snapshot;
}

static int setup(void **state) {
  static struct truth truth;
  truth.harness = harness_new();
  truth.arena = arena_new(1024UL << 20);
  for (int major = OLDEST; major <= NEWEST; major++)
    if (major == INSTALLED || harness_has_postgres(major)) take_snapshot(&truth, major);
  truth.cases =
      json_object_get(arena_json(truth.arena, json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/ddl_truth.json", 0, NULL)), "cases");
  assert_true(json_is_array(truth.cases));
  *state = &truth;
  return 0;
}

static int teardown(void **state) {
  struct truth *truth = *state;
  measure_end();
  arena_free(truth->arena);
  harness_end(truth->harness);
  return 0;
}

/* Earlier statements of a case are history, not part of the migration: their tables are as shared and as full as any. */
static void settle(struct shadow *shadow) {
  for (size_t i = 0; i < shadow->rels.count; i++) shadow->rels.items[i]->created = false;
}

static void run_sql(struct shadow *shadow, struct arena *arena, const char *sql, struct effect *ret_effect) {
  ERROR_AUTO err = {0};
  struct sql_script script;
  assert_int_equal(sql_split(sql, strlen(sql), arena, &script, &err), OK);
  if (script.fault.sqlstate || script.count != 1) fail_msg("%s: %s", sql, script.fault.message);
  forms_apply(shadow, &script.statements[0], ret_effect);
}

static bool is_index(const char *name) {
  size_t len = strlen(name);
  return (len > 3 && strcmp(name + len - 3, "(i)") == 0) || strstr(name, "_pkey") || strstr(name, "_idx") || strcmp(name, "mv_u") == 0;
}

static const char *base_name(const struct rel *rel, const char *before) {
  (void)before;
  return rel->t->name;
}

/* Names predicted against names measured; indexes left out. Renamed relations are known by either name. */
static bool same_names(size_t count, struct rel *const *rels, json_t *measured, const char *renamed) {
  size_t index, expected = 0, found = 0;
  json_t *value;
  json_array_foreach(measured, index, value) {
    const char *name = json_string_value(value);
    if (is_index(name)) continue;
    expected++;
    for (size_t i = 0; i < count; i++)
      if (strcmp(base_name(rels[i], NULL), name) == 0 || (renamed && strcmp(renamed, name) == 0)) {
        found++;
        break;
      }
  }
  return expected == count && found == count;
}

static bool locks_agree(const struct effect *effect, json_t *measured, const char *renamed_from, const char *renamed_to) {
  const char *key;
  json_t *value;
  size_t expected = 0;
  json_object_foreach(measured, key, value) {
    if (is_index(key)) continue;
    expected++;
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(key, "("), key);
    bool found = false;
    for (size_t i = 0; i < effect->locks.count; i++) {
      const char *mine = effect->locks.items[i].rel->t->name, *mode = lockmode_name(effect->locks.items[i].mode);
      bool named = strcmp(mine, name) == 0 || (strcmp(mine, renamed_to) == 0 && strcmp(name, renamed_from) == 0);
      if (named && strncmp(mode, json_string_value(value), strlen(json_string_value(value))) == 0) found = true;
    }
    if (!found) return false;
  }
  return expected == effect->locks.count;
}

static json_t *scanned_names(const json_t *scanned, const char *sql) {
  json_t *names = json_array();
  const char *key;
  json_t *value;
  bool truncates = strncmp(sql, "TRUNCATE", 8) == 0; /* rebuilding empty indexes counts as a scan of nothing */
  json_object_foreach((json_t *)(uintptr_t)scanned, key, value) if (!truncates) json_array_append_new(names, json_string(key));
  return names;
}

static void tally(struct score *score, bool right, const char *what, const char *sql) {
  score->of++;
  if (right)
    score->right++;
  else
    printf("    %-8s %s\n", what, sql);
}

static void print_effect(const struct effect *effect) {
  printf("             predicted:");
  for (size_t i = 0; i < effect->locks.count; i++)
    printf(" %s %s", effect->locks.items[i].rel->t->name, lockmode_name(effect->locks.items[i].mode));
  printf("; rewrites");
  for (size_t i = 0; i < effect->rewrites.count; i++) printf(" %s", effect->rewrites.items[i]->t->name);
  printf("; scans");
  for (size_t i = 0; i < effect->scans.count; i++) printf(" %s", effect->scans.items[i]->t->name);
  const struct effect_check *failure = effect_failure(effect);
  printf("; %s %s\n", failure ? failure->sqlstate : "", failure ? failure->check : "");
}

/* A long block: rows of an existing, filled table are read or written while others wait. */
static bool long_block(const struct effect *effect) {
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    if (!lockmode_blocks_writes(lock->mode) || lock->rel->empty || lock->rel->t->kind == SNAP_VIEW) continue;
    if (lock->rel->t->kind == SNAP_MATVIEW && !lockmode_blocks_reads(lock->mode)) continue; /* nobody writes to one */
    if (effect_scans(effect, lock->rel) || (effect_rewrites(effect, lock->rel) && effect->loss != LOSS_DATA)) return true;
  }
  return effect_find(effect, FACT_SET_TABLESPACE) != NULL;
}

static bool statement_failed(const struct effect *effect, const char *error) {
  for (size_t i = 0; i < effect->checks.count; i++) {
    const struct effect_check *check = &effect->checks.items[i];
    if (check->sqlstate && strncmp(check->sqlstate, error, 5) == 0 && check->verdict != VERDICT_PROVEN) return true;
  }
  return false;
}

static void judge(struct truth *truth, json_t *one, int major) {
  char version[8];
  snprintf(version, sizeof version, "%d", major);
  const char *sql = json_string_value(json_object_get(one, "sql"));
  json_t *fact = json_object_get(json_object_get(one, "by_version"), version), *before;
  size_t index;
  if (!fact || json_is_string(json_object_get(one, "min_pg")) || json_is_integer(json_object_get(one, "min_pg"))) return;
  ARENA_AUTO arena = arena_new(64 << 20);
  ERROR_AUTO err = {0};
  struct shadow *shadow = NULL;
  struct effect effect, ignored;
  assert_int_equal(shadow_new(truth->snapshot, arena, &shadow, &err), OK);
  shadow->version = major * 10000;
  json_array_foreach(json_object_get(one, "setup"), index, before) run_sql(shadow, arena, json_string_value(before), &ignored);
  json_array_foreach(json_object_get(one, "in_tx_before"), index, before) run_sql(shadow, arena, json_string_value(before), &ignored);
  settle(shadow);
  char before_name[64] = "";
  run_sql(shadow, arena, sql, &effect);
  if (effect_find(&effect, FACT_RENAME_TABLE)) snprintf(before_name, sizeof before_name, "%s", strstr(sql, "VIEW") ? "vw" : "t");
  const char *error = json_string_value(json_object_get(fact, "error"));
  size_t mistakes = (size_t)(truth->locks.of - truth->locks.right + truth->rewrites.of - truth->rewrites.right + truth->scans.of -
                             truth->scans.right + truth->failures.of - truth->failures.right + truth->blocks.of - truth->blocks.right);
  tally(&truth->failures, error ? statement_failed(&effect, error) : !effect_failure(&effect), error ? "error" : "no error", sql);
  if (!error) {
    bool outside = json_is_true(json_object_get(one, "outside_tx_only"));
    json_t *locks = json_object_get(fact, "locks"), *scans = scanned_names(json_object_get(fact, "scanned_rows"), sql);
    const char *renamed = before_name[0] && effect.tables.count ? effect.tables.items[0]->t->name : "";
    /* a case measured by sampling that caught nothing says nothing */
    if (!(outside && json_object_size(locks) == 0)) {
      tally(&truth->locks, locks_agree(&effect, locks, before_name, renamed), "locks", sql);
      tally(&truth->rewrites, same_names(effect.rewrites.count, effect.rewrites.items, json_object_get(fact, "new_relfilenode"), NULL),
            "rewrite", sql);
      if (!strstr(sql, "DETACH")) tally(&truth->scans, same_names(effect.scans.count, effect.scans.items, scans, NULL), "scan", sql);
    }
    json_decref(scans);
    if (json_is_boolean(json_object_get(one, "long_block_pg16"))) {
      bool really = json_is_true(json_object_get(one, "long_block_pg16")), said = long_block(&effect);
      tally(&truth->blocks, really == said, "block", sql);
      truth->block_found += really;
      truth->block_said += said;
      truth->block_hits += really && said;
    }
  }
  size_t now = (size_t)(truth->locks.of - truth->locks.right + truth->rewrites.of - truth->rewrites.right + truth->scans.of -
                        truth->scans.right + truth->failures.of - truth->failures.right + truth->blocks.of - truth->blocks.right);
  if (now > mistakes) print_effect(&effect);
}

static double percent(const struct score *score) { return score->of ? 100.0 * score->right / score->of : 0; }

static double share(int part, int of) { return of ? (double)part / of : 1; }

static void judge_major(struct truth *truth, int major) {
  truth->locks = truth->rewrites = truth->scans = truth->failures = truth->blocks = (struct score){0};
  truth->block_hits = truth->block_found = truth->block_said = 0;
  truth->snapshot = truth->snapshots[truth->snapshots[major] ? major : INSTALLED];
  size_t index;
  json_t *one;
  json_array_foreach(truth->cases, index, one) judge(truth, one, major);
  printf("PostgreSQL %d: locks %d/%d (%.1f %%), rewrites %d/%d (%.1f %%), scans %d/%d (%.1f %%), failures %d/%d (%.1f %%); long blocks: "
         "precision %d/%d (%.3f), recall %d/%d (%.3f)\n",
         major, truth->locks.right, truth->locks.of, percent(&truth->locks), truth->rewrites.right, truth->rewrites.of,
         percent(&truth->rewrites), truth->scans.right, truth->scans.of, percent(&truth->scans), truth->failures.right, truth->failures.of,
         percent(&truth->failures), truth->block_hits, truth->block_said, share(truth->block_hits, truth->block_said), truth->block_hits,
         truth->block_found, share(truth->block_hits, truth->block_found));
  assert_true(share(truth->block_hits, truth->block_said) >= 0.95 && share(truth->block_hits, truth->block_found) >= 0.98);
  assert_true(percent(&truth->locks) >= 99);
  assert_true(percent(&truth->rewrites) >= 99);
  assert_true(percent(&truth->scans) >= 99);
  assert_true(percent(&truth->failures) >= 99);
}

static void test_truth(void **state) {
  for (int major = 15; major <= NEWEST; major++) judge_major(*state, major);
}

/* --- majors the file says nothing of --- */

/* As the file has it: bare names of relations, "locks", "new_relfilenode", "scanned_rows", "error". */
static json_t *as_in_file(const json_t *measured) {
  json_t *fact =
      json_pack("{s:O*, s:{}, s:[], s:{}}", "error", json_object_get(measured, "error"), "locks", "new_relfilenode", "scanned_rows");
  const char *key;
  json_t *value;
  size_t index;
  json_object_foreach(json_object_get(measured, "locks"), key, value)
      json_object_set(json_object_get(fact, "locks"), strchr(key, '.') + 1, value);
  json_array_foreach(json_object_get(measured, "rewrites"), index, value)
      json_array_append_new(json_object_get(fact, "new_relfilenode"), json_string(strchr(json_string_value(value), '.') + 1));
  json_array_foreach(json_object_get(measured, "scans"), index, value)
      json_object_set_new(json_object_get(fact, "scanned_rows"), strchr(json_string_value(value), '.') + 1, json_integer(1));
  return fact;
}

/* Measures what stands alone and can be rolled back. There are no tablespaces in place before 15. */
static bool measure_case(struct truth *truth, json_t *one, int major) {
  bool alone = !json_array_size(json_object_get(one, "setup")) && !json_array_size(json_object_get(one, "in_tx_before"));
  const char *sql = json_string_value(json_object_get(one, "sql"));
  if (!alone || json_is_true(json_object_get(one, "outside_tx_only")) || strstr(sql, "ts1")) return false;
  char version[8];
  snprintf(version, sizeof version, "%d", major);
  json_t *measured = measure_inside(truth->urls[major], NULL, sql);
  const char *error = json_string_value(json_object_get(measured, "error"));
  bool told = measured && !(error && strcmp(error, "25001") == 0);
  if (told) json_object_set_new(json_object_get(one, "by_version"), version, as_in_file(measured));
  json_decref(measured);
  return told;
}

static void test_older(void **state) {
  struct truth *truth = *state;
  for (int major = OLDEST; major < 15; major++) {
    if (!truth->snapshots[major]) continue;
    size_t index, told = 0;
    json_t *one;
    json_array_foreach(truth->cases, index, one) told += measure_case(truth, one, major);
    printf("PostgreSQL %d: %zu of %zu cases measured\n", major, told, json_array_size(truth->cases));
    assert_true(told > 80);
    judge_major(truth, major);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth), cmocka_unit_test(test_older)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
