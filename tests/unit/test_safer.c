/* test_safer.c - what rewritten scripts say, word for word, and how two dumps are compared. That they hold is tried on servers in
 * integration/test_analyze_safer.c. */
#include "tests/support/ddl_snapshot.h"
#include "worker/migration/safer/plan.h"
#include "worker/migration/safer/safer.h"

static const char *rewritten(const char *sql, const bool *skip) {
  ERROR_AUTO err = {0};
  const char *script = NULL;
  if (safer_script(analyse(sql), skip, &script, &err)) fail_msg("%s: %s", sql, err.message);
  return script;
}

#define LOCKED "BEGIN;\nSET LOCAL lock_timeout = '3s';\n"
static const struct {
  const char *sql, *script;
} cases[] = {
    {"ALTER TABLE t ADD COLUMN z int", NULL},
    {"SELECT 1", NULL},
    {"", NULL},
    {"CREATE INDEX i ON t (lo)", "-- for line 1 (create-index-concurrently): outside of any transaction; reads and writes go on\n"
                                 "CREATE INDEX CONCURRENTLY i ON public.t USING btree (lo);\n"},
    {"DROP INDEX t_a_idx",
     "-- for line 1 (drop-index-concurrently): outside of any transaction; reads and writes go on\nDROP INDEX CONCURRENTLY t_a_idx;\n"},
    {"\n-- why\nALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)",
     "-- why\n-- for line 3 (add-check-validate): a strong lock for a moment: nothing is read or rewritten under it\n" LOCKED
     "ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID;\nCOMMIT;\n\n"
     "-- for line 3 (add-check-validate): reads the table; reads and writes go on\nBEGIN;\n"
     "ALTER TABLE public.t VALIDATE CONSTRAINT ck;\nCOMMIT;\n"},
    {"SET lock_timeout = '1s'; ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT ck",
     "BEGIN;\nSET lock_timeout = '1s';\nALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID;\nCOMMIT;\n\n"
     "-- for line 1 (validate-alone): in a transaction of its own: no lock of an earlier statement is held meanwhile\n"
     "BEGIN;\nALTER TABLE t VALIDATE CONSTRAINT ck;\nCOMMIT;\n"},
    {"BEGIN ISOLATION LEVEL SERIALIZABLE; ALTER TABLE t ALTER lo SET NOT NULL; END",
     "-- for line 1 (prove-not-null): a strong lock for a moment: nothing is read or rewritten under it\n"
     "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSET LOCAL lock_timeout = '3s';\n"
     "ALTER TABLE public.t ADD CONSTRAINT t_lo_proof CHECK (lo IS NOT NULL) NOT VALID;\nCOMMIT;\n\n"
     "-- for line 1 (prove-not-null): reads the table; reads and writes go on\nBEGIN ISOLATION LEVEL SERIALIZABLE;\n"
     "ALTER TABLE public.t VALIDATE CONSTRAINT t_lo_proof;\nCOMMIT;\n\n"
     "-- for line 1 (prove-not-null): a strong lock for a moment: nothing is read or rewritten under it\n"
     "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSET LOCAL lock_timeout = '3s';\nALTER TABLE public.t ALTER COLUMN lo SET NOT NULL;\n"
     "ALTER TABLE public.t DROP CONSTRAINT t_lo_proof;\nCOMMIT;\n"},
    {"BEGIN; LOCK TABLE t; CREATE INDEX i ON t (lo); COMMIT", NULL},
    {"BEGIN; CREATE INDEX i ON t (lo); ROLLBACK", NULL},
    {"BEGIN; CREATE INDEX i ON t (lo)", NULL},
};

static void test_scripts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *script = rewritten(cases[i].sql, NULL);
    if (!script != !cases[i].script) fail_msg("%s: %s", cases[i].sql, script ? script : "nothing");
    if (script) assert_string_equal(script, cases[i].script);
  }
}

/* A statement left out stays word for word; all left out is nothing to offer. */
static void test_skipped(void **state) {
  (void)state;
  const char *sql = "CREATE INDEX i ON t (lo); CREATE INDEX j  ON  t (lo)";
  assert_non_null(strstr(rewritten(sql, (bool[]){false, true}), "CREATE INDEX j  ON  t (lo);"));
  assert_non_null(strstr(rewritten(sql, (bool[]){false, true}), "CREATE INDEX CONCURRENTLY i"));
  assert_null(rewritten(sql, (bool[]){true, true}));
}

/* Every table row names a rule's fact, has a text for people and a name of its own. */
static void test_table(void **state) {
  (void)state;
  for (size_t i = 0; i < safer_route_count; i++) {
    assert_true((safer_routes[i].fact != FACT_NONE) != (safer_routes[i].rule != NULL));
    assert_true(safer_routes[i].write && strlen(safer_routes[i].change) > 20);
    for (size_t other = 0; other < i; other++) assert_string_not_equal(safer_routes[i].id, safer_routes[other].id);
  }
}

/* What a body of code says inside strings, comments and ON COMMIT ends no transaction. */
static void test_committing_blocks(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    int transaction;
  } blocks[] = {{"DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$", 0},
                {"DO $$ BEGIN ROLLBACK AND CHAIN; END $$", 0},
                {"DO 'BEGIN IF true THEN COMMIT; END IF; END'", 0},
                {"DO $$ BEGIN PERFORM 'COMMIT;'; /* COMMIT; */ END $$", 1},
                {"DO $$ BEGIN CREATE TEMP TABLE x (a int) ON COMMIT DROP; END $$", 1},
                {"DO $$ BEGIN PERFORM 1; END $$", 1}};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
    assert_int_equal(analyse(blocks[i].sql)->statements[0].transaction, blocks[i].transaction);
}

static void test_comments(void **state) {
  (void)state;
  const char *text = " ; -- one\n /* two /* nested */ -- not a line */ ;\n--three";
  assert_string_equal(safer_comments(arena, text, text + strlen(text)), "-- one\n/* two /* nested */ -- not a line */\n--three");
  assert_null(safer_comments(arena, text, text + 2));
  const char *open = "/* never closed";
  assert_string_equal(safer_comments(arena, open, open + strlen(open)), open);
}

static void test_compare(void **state) {
  (void)state;
  const char *one = "CREATE TABLE a (\n    x integer,\n    y text\n);\nCREATE INDEX i ON a (x);\n";
  const char *moved = "CREATE INDEX i ON a (x);\nCREATE TABLE a (\n    y text,\n    x integer\n);\n";
  const char *other_table = "CREATE TABLE a (\n    x integer\n);\nCREATE TABLE b (\n    y text\n);\nCREATE INDEX i ON a (x);\n";
  assert_true(safer_same_schema(arena, one, one, false));
  assert_false(safer_same_schema(arena, one, moved, false));
  assert_true(safer_same_schema(arena, one, moved, true));
  assert_false(safer_same_schema(arena, one, other_table, true));
  assert_false(safer_same_schema(arena, one, "CREATE TABLE a (\n    x integer,\n    y text\n);\n", true));
  assert_false(safer_same_schema(arena, "", "", false)); /* nothing was dumped: nothing is proved */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scripts),           cmocka_unit_test(test_skipped),  cmocka_unit_test(test_table),
      cmocka_unit_test(test_committing_blocks), cmocka_unit_test(test_comments), cmocka_unit_test(test_compare),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
