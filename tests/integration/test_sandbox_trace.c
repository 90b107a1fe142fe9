/* test_sandbox_trace.c - what the sandbox sees of a statement, against facts measured on real servers (fixtures/ddl_truth.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <unistd.h>

#include "common/pg.h"
#include "sandbox/sandbox.h"

#define FIXTURES AUTODB_SOURCE_DIR "/tests/fixtures/"

static struct config cfg = {.sandbox_memory_mb = 1024};
static char *fixture_sql;

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  char *text = calloc(1, 1 << 20);
  assert_non_null(text);
  assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
  fclose(file);
  return text;
}

struct stage { /* a sandbox with the fixture in it */
  struct sandbox *sandbox;
  struct sandbox_trace *trace;
  struct arena *arena;
};

static void stage_open(struct stage *stage, int major) {
  ERROR_AUTO err = {0};
  struct sandbox_clone_report report;
  stage->arena = arena_new(256 << 20);
  if (sandbox_open(&cfg, NULL, major, &stage->sandbox, &err)) fail_msg("%s", err.message);
  PGCONN_AUTO tracer = NULL;
  assert_int_equal(sandbox_connect_tracer(stage->sandbox, &tracer, &err), OK);
  assert_int_equal(pg_script(tracer, "SET allow_in_place_tablespaces = on", &err), OK);
  assert_int_equal(pg_script(tracer, "CREATE TABLESPACE ts1 OWNER migrator LOCATION ''", &err), OK);
  if (sandbox_clone(stage->sandbox, fixture_sql, NULL, NULL, stage->arena, &report, &err)) fail_msg("%s", err.message);
  if (json_array_size(report.problems)) fail_msg("%s", json_dumps(report.problems, 0));
  assert_int_equal(sandbox_trace_begin(stage->sandbox, stage->arena, &stage->trace, &err), OK);
}

static void stage_close(struct stage *stage) {
  sandbox_trace_free(stage->trace);
  sandbox_close(stage->sandbox);
  arena_free(stage->arena);
  *stage = (struct stage){0};
}

static void step(struct stage *stage, const char *sql, bool inside, struct sandbox_step *ret_step) {
  ERROR_AUTO err = {0};
  if (sandbox_trace_step(stage->trace, sql, inside, 20000, ret_step, &err)) fail_msg("%s: %s", sql, err.message);
}

static void finish(struct stage *stage, bool commit) {
  ERROR_AUTO err = {0};
  if (sandbox_trace_end(stage->trace, commit, &err)) fail_msg("%s", err.message);
}

static const char *bare(const char *name) { return strncmp(name, "public.", 7) ? name : name + 7; }

static json_t *observed_locks(const struct sandbox_step *s) {
  json_t *object = json_object();
  for (size_t i = 0; i < s->lock_count; i++) {
    char key[200];
    const char *mark = s->locks[i].relkind == 'S' ? "(s)" : s->locks[i].relkind == 'v' ? "(v)" : "";
    snprintf(key, sizeof key, "%s%s", bare(s->locks[i].relation), mark);
    json_object_set_new(object, key, json_stringn(s->locks[i].mode, strlen(s->locks[i].mode) - 4));
  }
  return object;
}

static json_t *name_set(const char **names, size_t count) {
  json_t *object = json_object();
  for (size_t i = 0; i < count; i++) json_object_set_new(object, bare(names[i]), json_true());
  return object;
}

static bool is_index_name(const char *name) {
  return strstr(name, "(i)") || strstr(name, "_idx") || strstr(name, "_pkey") || !strcmp(name, "mv_u");
}

/* Truth has indexes as well; the sandbox reports the relations people know. */
static json_t *without_indexes(const json_t *truth, bool keys_only) {
  json_t *object = json_object();
  const char *key;
  json_t *value;
  size_t i;
  if (json_is_array(truth)) {
    json_array_foreach(truth, i, value) if (!is_index_name(json_string_value(value)))
        json_object_set_new(object, json_string_value(value), json_true());
  } else {
    json_object_foreach((json_t *)(uintptr_t)truth, key, value) if (!is_index_name(key))
        json_object_set(object, key, keys_only ? json_true() : value);
  }
  return object;
}

/* Facts of statements outside a transaction were sampled, and the counters read there belong to the whole server: these cases show more or
 * less than the statement did. What is right is said here. */
static const struct {
  const char *name, *locks, *scans;
} corrected[] = {
    {"create index concurrently on partitioned", "{}", "{}"},
    {"detach partition concurrently", "{\"pt\":\"ShareUpdateExclusive\",\"pt2\":\"AccessExclusive\"}", "{}"},
    {"detach concurrently held partition", "{\"pt\":\"ShareUpdateExclusive\",\"pt2\":\"AccessExclusive\"}", "{}"},
};

/* The migrator is no superuser, and only those may disable the triggers behind foreign keys. */
static bool needs_superuser(const char *name) { return !strcmp(name, "disable trigger all"); }

static const char *correction(const char *name, bool locks) {
  for (size_t i = 0; i < sizeof corrected / sizeof *corrected; i++)
    if (!strcmp(corrected[i].name, name)) return locks ? corrected[i].locks : corrected[i].scans;
  return NULL;
}

static bool same(const char *name, const char *what, json_t *expected, json_t *got) {
  bool equal = json_equal(expected, got);
  if (!equal) {
    char *e = json_dumps(expected, JSON_SORT_KEYS), *g = json_dumps(got, JSON_SORT_KEYS);
    print_message("%s: %s expected %s got %s\n", name, what, e, g);
    free(e);
    free(g);
  }
  json_decref(expected);
  json_decref(got);
  return equal;
}

static bool check_case(struct stage *stage, const json_t *test, const json_t *truth) {
  const char *name = json_string_value(json_object_get(test, "name")), *error = json_string_value(json_object_get(truth, "error"));
  bool outside = json_is_true(json_object_get(test, "outside_tx_only"));
  struct sandbox_step s;
  json_t *item;
  size_t i;
  json_array_foreach(json_object_get(test, "setup"), i, item) {
    step(stage, json_string_value(item), true, &s);
    assert_true(s.ok);
  }
  finish(stage, true);
  json_array_foreach(json_object_get(test, "in_tx_before"), i, item) step(stage, json_string_value(item), true, &s);
  step(stage, json_string_value(json_object_get(test, "sql")), !outside, &s);
  finish(stage, false);
  if (error || !s.ok) {
    const char *state = s.ok ? "none" : json_string_value(json_object_get(s.error.details, "sqlstate"));
    bool equal = error && state && !strncmp(error, state, 5);
    if (!equal) print_message("%s: error expected %s got %s %s\n", name, error ? error : "none", state, s.error.message);
    return equal;
  }
  const char *locks = correction(name, true), *scans = correction(name, false);
  bool equal =
      same(name, "locks", locks ? json_loads(locks, 0, NULL) : without_indexes(json_object_get(truth, "locks"), false), observed_locks(&s));
  equal &= same(name, "rewrites", without_indexes(json_object_get(truth, "new_relfilenode"), true), name_set(s.rewrites, s.rewrite_count));
  equal &= same(name, "scans", scans ? json_loads(scans, 0, NULL) : without_indexes(json_object_get(truth, "scanned_rows"), true),
                name_set(s.scans, s.scan_count));
  return equal;
}

static void compare_with_truth(int major) {
  char *text = read_file(FIXTURES "ddl_truth.json"), version[16];
  json_t *truth = json_loads(text, 0, NULL), *test;
  struct stage shared = {0};
  int total = 0, equal = 0;
  size_t i;
  assert_non_null(truth);
  snprintf(version, sizeof version, "%d", major);
  stage_open(&shared, major);
  json_array_foreach(json_object_get(truth, "cases"), i, test) {
    const json_t *facts = json_object_get(json_object_get(test, "by_version"), version);
    if (!facts || needs_superuser(json_string_value(json_object_get(test, "name")))) continue;
    bool alone = json_array_size(json_object_get(test, "setup")) > 0 || json_is_true(json_object_get(test, "outside_tx_only"));
    struct stage own = {0};
    if (alone) stage_open(&own, major);
    total++;
    equal += check_case(alone ? &own : &shared, test, facts);
    if (alone) stage_close(&own);
  }
  stage_close(&shared);
  print_message("PostgreSQL %d: %d of %d measured cases reproduced (%.1f %%)\n", major, equal, total, 100.0 * equal / total);
  json_decref(truth);
  free(text);
  assert_int_equal(equal, total);
}

static void test_truth(void **state) {
  (void)state;
  int majors[16], count = sandbox_majors(majors, 16), compared = 0;
  for (int i = 0; i < count; i++)
    if (majors[i] >= 15 && majors[i] <= 18) { /* the file's majors */
      compare_with_truth(majors[i]);
      compared++;
    }
  assert_true(compared > 0);
}

static const char *find(const struct sandbox_lock *locks, size_t count, const char *relation) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(locks[i].relation, relation)) return locks[i].mode;
  return "none";
}

static bool contains(const char **names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(names[i], name)) return true;
  return false;
}

static int newest(void) { return sandbox_pick_major(99 * 10000); }

static void test_transaction(void **state) {
  (void)state;
  struct stage stage = {0};
  struct sandbox_step s;
  stage_open(&stage, newest());
  step(&stage, "CREATE TABLE fresh(id int PRIMARY KEY)", true, &s);
  assert_true(s.ok && contains(s.created, s.created_count, "public.fresh") && contains(s.created, s.created_count, "public.fresh_pkey"));
  assert_int_equal(s.lock_count, 0);
  step(&stage, "ALTER TABLE t ADD COLUMN q int", true, &s);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "AccessExclusiveLock");
  step(&stage, "ALTER TABLE t ADD COLUMN q2 int", true, &s);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "none");
  assert_string_equal(find(s.held, s.held_count, "public.t"), "AccessExclusiveLock");
  assert_string_equal(find(s.held, s.held_count, "public.fresh"), "AccessExclusiveLock");
  step(&stage, "ALTER TABLE t RENAME TO t_renamed", true, &s);
  step(&stage, "CREATE INDEX ren ON t_renamed(lo)", true, &s);
  assert_string_equal(find(s.locks, s.lock_count, "public.t_renamed"), "ShareLock");
  assert_true(contains(s.scans, s.scan_count, "public.t_renamed"));
  finish(&stage, false);
  step(&stage, "SELECT 1 FROM t", true, &s);
  assert_true(s.ok && s.held_count == 0);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "AccessShareLock");
  finish(&stage, true);
  stage_close(&stage);
}

static void test_own_begin_commit(void **state) {
  (void)state;
  struct stage stage = {0};
  struct sandbox_step s;
  stage_open(&stage, newest());
  step(&stage, "BEGIN", true, &s);
  assert_true(s.ok);
  step(&stage, "/* x */ SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", true, &s);
  step(&stage, "ALTER TABLE child ADD COLUMN q int", true, &s);
  assert_true(s.ok && s.lock_count == 1);
  step(&stage, "COMMIT", true, &s);
  assert_true(s.ok && s.lock_count == 0);
  step(&stage, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", true, &s);
  assert_true(s.ok);
  step(&stage, "SELECT q FROM child", true, &s);
  assert_true(s.ok);
  finish(&stage, true);
  stage_close(&stage);
}

static void test_concurrently(void **state) {
  (void)state;
  struct stage stage = {0};
  struct sandbox_step s;
  stage_open(&stage, newest());
  step(&stage, "CREATE INDEX CONCURRENTLY cic ON t(lo)", false, &s);
  assert_true(s.ok && s.lock_count == 1 && contains(s.scans, s.scan_count, "public.t") &&
              contains(s.created, s.created_count, "public.cic"));
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "ShareUpdateExclusiveLock");
  step(&stage, "REINDEX TABLE CONCURRENTLY t", false, &s);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "ShareUpdateExclusiveLock");
  assert_true(s.ok && s.lock_count == 1 && contains(s.scans, s.scan_count, "public.t"));
  step(&stage, "DROP INDEX CONCURRENTLY cic", false, &s);
  assert_true(s.ok && s.lock_count == 1);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "ShareUpdateExclusiveLock");
  step(&stage, "VACUUM t", false, &s);
  assert_true(s.ok && s.lock_count == 1);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "ShareUpdateExclusiveLock");
  step(&stage, "VACUUM FULL child", false, &s);
  assert_true(s.ok && s.lock_count == 1 && contains(s.rewrites, s.rewrite_count, "public.child"));
  assert_string_equal(find(s.locks, s.lock_count, "public.child"), "AccessExclusiveLock");
  step(&stage, "SET lock_timeout = '3s'", true, &s);
  step(&stage, "CREATE UNIQUE INDEX CONCURRENTLY bad ON t(si)", false, &s);
  assert_false(s.ok);
  assert_string_equal(json_string_value(json_object_get(s.error.details, "sqlstate")), "23505");
  assert_true(contains(s.created, s.created_count, "public.bad")); /* the invalid leftover */
  stage_close(&stage);
}

static void test_failures(void **state) {
  (void)state;
  struct stage stage = {0};
  struct sandbox_step s;
  ERROR_AUTO err = {0};
  stage_open(&stage, newest());
  step(&stage, "ALTER TABLE nowhere ADD COLUMN x int", true, &s);
  assert_false(s.ok);
  assert_string_equal(json_string_value(json_object_get(s.error.details, "sqlstate")), "42P01");
  finish(&stage, false);
  assert_int_equal(sandbox_trace_step(stage.trace, "SELECT pg_sleep(60)", true, 200, &s, &err), OK);
  assert_false(s.ok);
  assert_non_null(strstr(s.error.message, "200 ms"));
  assert_true(s.duration_ms < 5000);
  finish(&stage, false);
  step(&stage, "COPY t FROM STDIN", true, &s);
  assert_false(s.ok);
  finish(&stage, false);
  step(&stage, "COPY t TO STDOUT", true, &s);
  assert_true(s.ok);
  step(&stage, "SELECT g FROM generate_series(1, 2000000) g", true, &s); /* rows aren't kept */
  assert_true(s.ok);
  step(&stage, "DO $$ BEGIN EXECUTE 'ALTER TABLE t ADD COLUMN hidden int'; END $$", true, &s);
  assert_string_equal(find(s.locks, s.lock_count, "public.t"), "AccessExclusiveLock");
  finish(&stage, false);
  step(&stage, "SELECT 1; ALTER TABLE gchild ADD COLUMN two int", true, &s);
  assert_true(s.ok && s.lock_count == 1);
  step(&stage, "ALTER TABLE gchild ADD COLUMN three int NOT NULL", true, &s);
  assert_false(s.ok); /* rows exist */
  stage_close(&stage);
}

static int setup(void **state) {
  (void)state;
  static char dir[64];
  snprintf(dir, sizeof dir, "/dev/shm/autodb-test-%d", (int)getpid());
  cfg.sandbox_dir = dir;
  fixture_sql = read_file(FIXTURES "ddl_fixture.sql");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", cfg.sandbox_dir);
  free(fixture_sql);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth), cmocka_unit_test(test_transaction),
                                     cmocka_unit_test(test_own_begin_commit), cmocka_unit_test(test_concurrently),
                                     cmocka_unit_test(test_failures)};
  return cmocka_run_group_tests_name("sandbox_trace", tests, setup, teardown);
}
