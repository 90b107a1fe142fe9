/* test_rewrites.c - REWRITES.md is made from rules_table.c; a changed query in its author's words.
 * That rewrites are right is shown on real servers by integration/test_rewrites.c and test_rewrites_fuzz.c. */
#include "tests/support/document.h"

#include "common/buf.h"
#include "worker/optimizer/rewrite/merge.h"
#include "worker/optimizer/rewrite/rewrite_impl.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new(64 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

/* --- REWRITES.md --- */

static const struct {
  const char *group, *title;
} groups[] = {{"conditions", "Conditions"}, {"subqueries", "Subqueries"}, {"joins", "Joins"}, {"duplicates", "Duplicates"}, {"OR", "OR"},
              {"order", "Order and CTEs"}};

static const char *document(void) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  buf_puts(
      &out,
      "# Rewrites\n\nMade from `rules_table.c` by `deploy/check/rules --fix`; don't edit. A rewrite is offered only where its "
      "preconditions are "
      "proved from the\nquery and the snapshot; what it took for granted of the schema is stated with it. Statements that call volatile "
      "functions, lock rows, write, sample, aggregate in a subquery what is the query's around it,\nread foreign tables or catalogs, or "
      "use operators that somebody made, are left alone. With "
      "views, row "
      "level security, inheritance, recursion and\ngrouping sets only those marked *in place* are tried: they change a condition by what "
      "types "
      "say.\n\n");
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    buf_printf(&out, "## %s\n\n| rewrite | from | to | when |\n|---|---|---|---|\n", groups[g].title);
    for (size_t i = 0; rewrite_rule_at(i); i++) {
      const struct rewrite_rule *rule = rewrite_rule_at(i);
      if (strcmp(rule->group, groups[g].group) == 0)
        buf_printf(&out, "| `%s`%s | %s | %s | %s |\n", rule->code, rule->local ? " (in place)" : "", rule->from, rule->to, rule->when);
    }
    buf_puts(&out, g + 1 < sizeof groups / sizeof *groups ? "\n" : "");
  }
  assert_true(buf_ok(&out));
  return arena_strndup(arena, buf_str(&out), out.len);
}

static void the_document_says_what_the_table_says(void **state) {
  (void)state;
  for (size_t i = 0; rewrite_rule_at(i); i++) {
    bool known = false;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) known |= strcmp(rewrite_rule_at(i)->group, groups[g].group) == 0;
    if (!known) fail_msg("%s: no group %s", rewrite_rule_at(i)->code, rewrite_rule_at(i)->group);
    for (size_t k = 0; k < i; k++) assert_string_not_equal(rewrite_rule_at(i)->code, rewrite_rule_at(k)->code);
  }
  document_is("worker/optimizer/rewrite/REWRITES.md", document());
}

/* --- merging --- */

/* As it is printed. */
static const char *printed(const char *sql) { return sql_statement_text(arena, sql_parse_statement(arena, sql)); }

static void what_did_not_change_stays(void **state) {
  (void)state;
  static const struct {
    const char *source, *rewrite, *merged;
  } cases[] = {
      {"select  a -- one\nfrom   t\nwhere (b = 1)  -- two", "select a from t where b = 2",
       "select  a -- one\nfrom   t\nwhere (b = 2)  -- two"},
      {"SELECT a FROM t WHERE b+1=2 AND c", "SELECT a FROM t WHERE b = 1 AND c", "SELECT a FROM t WHERE b= 1 AND c"},
      {"SELECT DISTINCT a\nFROM t", "SELECT a FROM t", "SELECT a\nFROM t"},
      {"SELECT a /* x */ UNION /* y */ SELECT b", "SELECT a UNION ALL SELECT b", "SELECT a /* x */ UNION ALL /* y */ SELECT b"},
      {"SELECT a FROM t ORDER BY a", "SELECT a FROM t", "SELECT a FROM t"},
      {"SELECT \"A\", b::INT FROM T", "SELECT \"A\", b::int, 1 FROM t", "SELECT \"A\", b::INT, 1 FROM T"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *after = printed(cases[i].rewrite), *made = merge_text(cases[i].source, printed(cases[i].source), after, arena);
    assert_string_equal(made, cases[i].merged);
    assert_string_equal(printed(made), after);
  }
}

static void whatever_the_texts_the_meaning_is_the_rewrites(void **state) {
  (void)state;
  static const char *const texts[] = {"SELECT 1",
                                      "SELECT a, b FROM t WHERE (a = 1 OR (b)) AND NOT (c)",
                                      "SELECT * FROM (SELECT 1) x",
                                      "VALUES (1), (2)",
                                      "SELECT a FROM t -- end",
                                      "WITH x AS (SELECT 1) SELECT /* a */ * FROM x JOIN y USING (id)",
                                      "SELECT 'it''s', E'\\n', $1 FROM \"T\".\"u\""};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
      const char *after = printed(texts[k]), *made = merge_text(texts[i], printed(texts[i]), after, arena);
      assert_string_equal(printed(made), after);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_says_what_the_table_says), cmocka_unit_test(what_did_not_change_stays),
                                     cmocka_unit_test(whatever_the_texts_the_meaning_is_the_rewrites)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
