/* test_migration_rollback.c - the inverse of statements, and the comparison of dumps. That scripts really lead back is tried on a server in
 * integration/test_analyze.c. */
#include <strings.h>

#include "tests/support/ddl_snapshot.h"
#include "worker/migration/trial/step.h"

static const char *back(const struct analysis *analysis) {
  const struct rollback_step **steps = arena_calloc(arena, analysis->count + 1, sizeof *steps);
  for (size_t i = 0; i < analysis->count; i++) steps[i] = &analysis->statements[i].rollback;
  return rollback_script(arena, steps, analysis->count);
}

static void test_inverses(void **state) {
  (void)state;
  static const struct {
    const char *sql, *back;
  } cases[] = {
      {"ALTER TABLE t ADD COLUMN z int", "BEGIN;\nALTER TABLE public.t DROP COLUMN z;\nCOMMIT;\n"},
      {"ALTER TABLE t ADD COLUMN IF NOT EXISTS a int", ""},
      {"ALTER TABLE t ADD y int, ADD z int", "BEGIN;\nALTER TABLE public.t DROP COLUMN z;\nALTER TABLE public.t DROP COLUMN y;\nCOMMIT;\n"},
      {"ALTER TABLE t ALTER v TYPE varchar(100)",
       "BEGIN;\nALTER TABLE public.t ALTER COLUMN v TYPE character varying(50) USING v::character varying(50);\nCOMMIT;\n"},
      {"ALTER TABLE t ALTER a SET NOT NULL", "BEGIN;\nALTER TABLE public.t ALTER COLUMN a DROP NOT NULL;\nCOMMIT;\n"},
      {"ALTER TABLE t ALTER nn SET NOT NULL", ""},
      {"ALTER TABLE t ALTER nn DROP NOT NULL", "BEGIN;\nALTER TABLE public.t ALTER COLUMN nn SET NOT NULL;\nCOMMIT;\n"},
      {"ALTER TABLE t ALTER a SET DEFAULT 1", "BEGIN;\nALTER TABLE public.t ALTER COLUMN a DROP DEFAULT;\nCOMMIT;\n"},
      {"ALTER TABLE t ADD CONSTRAINT \"C k\" CHECK (a > 0)", "BEGIN;\nALTER TABLE public.t DROP CONSTRAINT \"C k\";\nCOMMIT;\n"},
      {"ALTER TABLE t ADD UNIQUE (lo)", "BEGIN;\nALTER TABLE public.t DROP CONSTRAINT t_lo_key;\nCOMMIT;\n"},
      {"ALTER TABLE t RENAME COLUMN a TO \"A\"", "BEGIN;\nALTER TABLE public.t RENAME COLUMN \"A\" TO a;\nCOMMIT;\n"},
      {"ALTER TABLE t RENAME TO \"T\"; ALTER TABLE \"T\" ADD z int",
       "BEGIN;\nALTER TABLE public.\"T\" DROP COLUMN z;\nALTER TABLE public.\"T\" RENAME TO t;\nCOMMIT;\n"},
      {"CREATE INDEX ON t (lo)", "BEGIN;\nDROP INDEX IF EXISTS public.t_lo_idx;\nCOMMIT;\n"},
      {"CREATE INDEX CONCURRENTLY i ON t (lo)", "DROP INDEX CONCURRENTLY IF EXISTS public.i;\n"},
      {"DROP INDEX t_a_idx", "BEGIN;\nCREATE INDEX t_a_idx ON public.t USING btree (a);\nCOMMIT;\n"},
      {"DROP INDEX CONCURRENTLY t_a_idx", "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a);\n"},
      {"ALTER TABLE t ADD z int; CREATE INDEX CONCURRENTLY i ON t (lo); CREATE TABLE n (id int)",
       "BEGIN;\nDROP TABLE public.n;\nCOMMIT;\nDROP INDEX CONCURRENTLY IF EXISTS public.i;\nBEGIN;\nALTER TABLE public.t DROP COLUMN "
       "z;\nCOMMIT;\n"},
      {"CREATE SCHEMA s", "BEGIN;\nDROP SCHEMA s;\nCOMMIT;\n"},
      {"CREATE TYPE mood AS ENUM ('a')", "BEGIN;\nDROP TYPE public.mood;\nCOMMIT;\n"},
      {"ALTER TYPE st RENAME VALUE 'a' TO 'it''s'", "BEGIN;\nALTER TYPE public.st RENAME VALUE 'it''s' TO 'a';\nCOMMIT;\n"},
      {"GRANT SELECT ON t TO me", "BEGIN;\nREVOKE select ON t FROM me;\nCOMMIT;\n"},
      {"ALTER TABLE pt DETACH PARTITION pt2",
       "BEGIN;\nALTER TABLE public.pt ATTACH PARTITION public.pt2 FOR VALUES FROM (1000) TO (2000);\nCOMMIT;\n"},
      {"ALTER TABLE t SET (fillfactor = 70)", "BEGIN;\nALTER TABLE public.t RESET (fillfactor);\nCOMMIT;\n"},
      {"CREATE FUNCTION nf(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION nf(a int) RETURNS int LANGUAGE sql AS "
       "'SELECT 2'",
       "BEGIN;\nDROP FUNCTION public.nf(integer);\nCOMMIT;\n"},
      {"CREATE TABLE n (id int); ALTER TABLE n ADD b int; CREATE INDEX ON n (b); INSERT INTO n VALUES (1); DROP TABLE n", ""},
      {"ALTER TABLE t DISABLE TRIGGER ALL", "BEGIN;\nALTER TABLE public.t ENABLE TRIGGER ALL;\nCOMMIT;\n"},
      {"SET lock_timeout = '1s'; VACUUM t; SELECT 1", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct analysis *analysis = analyse(cases[i].sql);
    const char *script = back(analysis);
    if (strcasecmp(script, cases[i].back) != 0) fail_msg("%s:\n%s", cases[i].sql, script);
    for (size_t s = 0; s < analysis->count; s++)
      if (analysis->statements[s].rollback.irreversible) fail_msg("%s: %s", cases[i].sql, analysis->statements[s].rollback.irreversible);
  }
}

static void test_irreversible(void **state) {
  (void)state;
  static const struct {
    const char *sql, *part;
  } cases[] = {{"ALTER TABLE t DROP COLUMN b", "ADD COLUMN b text"},
               {"DROP TABLE gchild", "CREATE TABLE public.gchild (id integer NOT NULL, c_id integer)"},
               {"DROP TABLE gchild", "FOREIGN KEY (c_id) REFERENCES public.child(id)"},
               {"DELETE FROM gchild", ""},
               {"UPDATE t SET a = 1", ""},
               {"TRUNCATE gchild", ""},
               {"ALTER TYPE st ADD VALUE 'c'", ""},
               {"DO $$ BEGIN END $$", ""},
               {"ALTER TABLE t ALTER j TYPE jsonb", "TYPE json"},
               {"ALTER TABLE t ALTER b TYPE text USING lower(b)", ""},
               {"DROP VIEW vw CASCADE", "CREATE OR REPLACE VIEW public.vw"},
               {"ALTER SYSTEM SET work_mem = '1GB'", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct analysis *analysis = analyse(cases[i].sql);
    if (!analysis->statements[0].rollback.irreversible) fail_msg("%s: taken to be reversible", cases[i].sql);
    if (!strstr(back(analysis), cases[i].part)) fail_msg("%s:\n%s", cases[i].sql, back(analysis));
  }
}

static void expect_diff(const char *before, const char *after, const char *const *lines, size_t count) {
  json_t *diff = sandbox_verify_diff(arena, before, after);
  assert_int_equal(json_array_size(diff), count);
  for (size_t i = 0; i < count; i++) assert_string_equal(json_string_value(json_array_get(diff, i)), lines[i]);
  json_decref(diff);
}

static void test_diff(void **state) {
  (void)state;
  expect_diff("a\nb\n", "a\nb\n", NULL, 0);
  expect_diff("", "", NULL, 0);
  expect_diff("-- c\n\na,\nb\n", "a\n-- d\nb\n", NULL, 0); /* comments, blank lines, commas at the end */
  expect_diff("a\nb\nb\n", "b\nc\n", (const char *[]){"-a", "-b", "+c"}, 3);
  char *longer = malloc(3000);
  assert_non_null(longer);
  for (int i = 0; i < 999; i++) memcpy(longer + 2 * i, "é", 2);
  longer[1998] = '\0';
  json_t *diff = sandbox_verify_diff(arena, longer, "");
  assert_int_equal(json_array_size(diff), 1);
  json_decref(diff);
  free(longer);
}

static void test_diff_is_bounded(void **state) {
  (void)state;
  char *text = calloc(1, 8000);
  assert_non_null(text);
  for (int i = 0; i < 1000; i++) snprintf(text + strlen(text), 8, "l%d\n", i);
  json_t *diff = sandbox_verify_diff(arena, text, "");
  assert_int_equal(json_array_size(diff), SANDBOX_DIFF_LINES);
  json_decref(diff);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_inverses), cmocka_unit_test(test_irreversible), cmocka_unit_test(test_diff),
                                     cmocka_unit_test(test_diff_is_bounded)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
