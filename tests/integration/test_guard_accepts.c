/* test_guard_accepts.c - ordinary analytics SELECTs: all names resolve, the guard lets them through, and they run in the guarded session.
 */
#include "tests/support/guarded.h"

#include "worker/query/session.h"
#include "worker/text2sql/answer.h"

static struct guarded_world world;
static int major;

static int setup(void **state) {
  guarded_begin(&world, major, NULL);
  *state = &world;
  return 0;
}

struct tally {
  int all, newer, refused, failed, wrong_names;
};

/* "… -- since 16": what older servers do not know. The guard says so where it is a function; else the server does. */
static bool too_new(const char *sql) {
  const char *since = strstr(sql, " -- since ");
  return since && strtol(since + strlen(" -- since "), NULL, 10) > major;
}

/* Names that a server gives the columns are those the resolver expects. */
static void check_outputs(const char *sql, const struct guarded *guarded, const struct query_result *result, struct tally *tally) {
  const struct query_scope *top = guarded->resolution->top;
  if (top->outputs_open) return;
  bool same = top->output_count == result->column_count;
  for (size_t i = 0; same && i < top->output_count; i++) same = strcmp(top->outputs[i].name, result->columns[i].name) == 0;
  if (same) return;
  tally->wrong_names++;
  print_error("outputs: %s\n", sql);
  for (size_t i = 0; i < top->output_count || i < result->column_count; i++)
    print_error("  %s | %s\n", i < top->output_count ? top->outputs[i].name : "-",
                i < result->column_count ? result->columns[i].name : "-");
}

static bool told_too_new(const char *sql, const struct error *err) {
  return too_new(sql) && (strcmp(err->code, "SCHEMA_VALIDATION_FAILED") == 0 || strcmp(err->code, "EXECUTION_FAILED") == 0);
}

static void try_one(struct query_session *session, const char *sql, struct tally *tally) {
  ARENA_AUTO arena = arena_new((size_t)64 << 20);
  ERROR_AUTO err = {0};
  struct guarded *guarded = NULL;
  struct query_result *result;
  enum status status = guard_check(world.snapshot, sql, strlen(sql), NULL, arena, &guarded, &err);
  bool refused = status != OK;
  if (!status) status = query_session_run(session, guarded, NULL, arena, &result, &err);
  if (status && told_too_new(sql, &err)) {
    tally->newer++;
    return;
  }
  tally->all++;
  if (status) {
    *(refused ? &tally->refused : &tally->failed) += 1;
    print_error("%s: %s\n  %s: %s\n", refused ? "refused" : "failed", sql, err.code, err.message);
    return;
  }
  check_outputs(sql, guarded, result, tally);
  if (!answer_markdown(result, arena)) fail_msg("no markdown: %s", sql);
}

static void test_analytics(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = NULL;
  struct tally tally = {0};
  char line[8192];
  FILE *file = fopen(AUTODB_SOURCE_DIR "/tests/fixtures/analytics.sql", "r");
  assert_non_null(file);
  if (query_session_open_string(&world.cfg, world.reader, world.arena, &session, &err)) fail_msg("%s", err.message);
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    if (*line) try_one(session, line, &tally);
  }
  fclose(file);
  print_message("%d statements: %d refused, %d failed on the server, %d with other column names; %d more are too new for it\n", tally.all,
                tally.refused, tally.failed, tally.wrong_names, tally.newer);
  assert_true(tally.all >= 200);
  assert_int_equal(tally.failed, 0);
  assert_int_equal(tally.wrong_names, 0);
  assert_true(tally.refused * 1000 <= tally.all * 5); /* at least 99.5 % accepted */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_analytics)};
  return harness_each_major(&major, tests, setup, guarded_teardown);
}
