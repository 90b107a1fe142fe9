/* test_findings.c - FINDINGS.md is made from findings_table.c; conditions taken apart. That each
 * kind is found where it is, and only there, is shown on real plans by integration/test_findings.c. */
#include "tests/support/document.h"

#include "common/buf.h"
#include "worker/optimizer/finding_impl.h"

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

/* --- FINDINGS.md --- */

static const struct {
  const char *group, *title;
} groups[] = {{"access", "How tables are read"},
              {"estimates", "Estimates"},
              {"joins", "Joins"},
              {"memory", "Memory"},
              {"form", "How the query is written, seen in its plan"},
              {"engine", "The server"},
              {"text", "How the query is written, seen in its text"}};

static const char *document(void) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  buf_puts(&out, "# Findings\n\nMade from `findings_table.c` by `deploy/check/rules --fix`; don't edit. A finding's severity is lower "
                 "where little is at stake: less "
                 "than 2 % of\nthe plan's time (or cost, of a plan that was not run) is `info`; half of it and 100 ms or more make a "
                 "`warning` an `error`. Of several "
                 "that have\none cause the first in the table speaks.\n\n");
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    buf_printf(&out, "## %s\n\n| finding | severity | found when | advice |\n|---|---|---|---|\n", groups[g].title);
    for (size_t i = 0; finding_kind_at(i); i++) {
      const struct finding_kind *kind = finding_kind_at(i);
      if (strcmp(kind->group, groups[g].group) == 0)
        buf_printf(&out, "| `%s` | %s | %s | %s |\n", kind->code, severity_names[kind->severity], kind->trigger, kind->advice);
    }
    buf_puts(&out, g + 1 < sizeof groups / sizeof *groups ? "\n" : "");
  }
  assert_true(buf_ok(&out));
  return arena_strndup(arena, buf_str(&out), out.len);
}

static void the_document_says_what_the_table_says(void **state) {
  (void)state;
  for (size_t i = 0; finding_kind_at(i); i++) {
    bool known = false;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) known |= strcmp(finding_kind_at(i)->group, groups[g].group) == 0;
    if (!known) fail_msg("%s: no group %s", finding_kind_at(i)->code, finding_kind_at(i)->group);
    assert_ptr_equal(finding_kind_named(finding_kind_at(i)->code), finding_kind_at(i)); /* no code twice */
  }
  document_is("worker/optimizer/FINDINGS.md", document());
}

/* --- conditions --- */

static void conditions_say_what_an_index_could_serve(void **state) {
  (void)state;
  static const struct {
    const char *text;
    enum condition_kind kind;
    const char *column;
  } cases[] = {{"(k = 5)", CONDITION_EQUAL, "k"},
               {"((o.status)::text = 'x'::text)", CONDITION_EQUAL, "status"},
               {"(5 < o.k)", CONDITION_RANGE, "k"},
               {"(k = ANY ('{1,2}'::integer[]))", CONDITION_IN, "k"},
               {"(name ~~ 'abc%'::text)", CONDITION_PREFIX, "name"},
               {"(name ~~ '%abc'::text)", CONDITION_PATTERN, "name"},
               {"(name ~~* 'abc%'::text)", CONDITION_PATTERN, "name"},
               {"(lower(name) = 'x'::text)", CONDITION_FUNCTION, "name"},
               {"((at)::date = '2026-01-01'::date)", CONDITION_CAST, "at"},
               {"((k + 1) = 10)", CONDITION_ARITHMETIC, "k"},
               {"(name IS NULL)", CONDITION_NULL, "name"},
               {"(doc @> '{}'::jsonb)", CONDITION_CONTAINS, "doc"},
               {"active", CONDITION_TRUE, "active"},
               {"((a = 1) OR (b = 2))", CONDITION_OR, NULL},
               {"(k <> 5)", CONDITION_OTHER, "k"},
               {"(a = b)", CONDITION_OTHER, NULL},
               {"(NOT (ANY (k = (hashed SubPlan 1).col1)))", CONDITION_OTHER, NULL},
               {"(k = (InitPlan 1).col1)", CONDITION_EQUAL, "k"},
               {"(k = $0)", CONDITION_EQUAL, "k"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct condition_list list = {0};
    conditions_read(arena, cases[i].text, &list);
    if (list.count > 1) fail_msg("%s: %zu conditions", cases[i].text, list.count);
    if (list.count == 0 && cases[i].kind == CONDITION_OTHER) continue; /* not SQL: nothing is claimed of it */
    assert_int_equal(list.count, 1);
    if (list.items[0].kind != cases[i].kind) fail_msg("%s: kind %d instead of %d", cases[i].text, list.items[0].kind, cases[i].kind);
    const char *column = list.items[0].column;
    if ((column == NULL) != (cases[i].column == NULL) || (column && strcmp(column, cases[i].column) != 0))
      fail_msg("%s: column %s", cases[i].text, column ? column : "none");
  }
  struct condition_list three = {0};
  conditions_read(arena, "((a = 1) AND (b > 2) AND (c IS NOT NULL))", &three);
  assert_int_equal(three.count, 3);
  assert_string_equal(finding_columns(arena, "((a = 1) AND (lower(b) = 'x'::text) AND (a < 9))"), "a");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_says_what_the_table_says),
                                     cmocka_unit_test(conditions_say_what_an_index_could_serve)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
