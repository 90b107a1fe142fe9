/* test_rewrites_fuzz.c - random queries: whatever is offered for one gives the same rows as it, on data full of NULLs and duplicates and on
 * made-up rows. A few hundred here; REWRITES_FUZZ=10000 makes it as many. REWRITES_SEED begins elsewhere. */
#include "tests/support/query_maker.h"
#include "tests/support/rewrite_world.h"

#include <stdlib.h>

#include "common/clock.h"

#define QUERIES 300

static int setup(void **state) {
  return world_setup(state, "DELETE FROM shop.items WHERE order_id > 200; DELETE FROM shop.orders WHERE id > 200; DELETE FROM shop.events "
                            "WHERE id > 200");
}

/* Rows that only one of them gives; -1: the query itself fails. */
static long long differing(const char *a, const char *b) {
  PGRESULT_AUTO alone = NULL;
  ERROR_AUTO err = {0}, own = {0};
  long long rows = world_differing(a, b, &err);
  if (rows >= 0) return rows;
  if (!pg_query(conn, arena_printf(scratch, "SELECT count(*) FROM (%s\n) a", a), 0, NULL, &alone, &own) && !strstr(err.message, "timeout"))
    fail_msg("%s\n%s\n%s", a, b, err.message);
  return -1;
}

struct tally {
  const char *rule;
  long count;
};

static void count_rule(struct tally *tallies, const char *rule) {
  for (size_t i = 0; i < 64; i++) {
    if (tallies[i].rule && strcmp(tallies[i].rule, rule) != 0) continue;
    tallies[i].rule = rule;
    tallies[i].count++;
    return;
  }
}

/* In another plan a condition that nobody touched (a sum that overflows) may be asked of rows it was not asked of before. PostgreSQL
 * promises no order; L5 drops what it sees of that, and here it is counted. */
static long fuzz_one(const char *sql, uint64_t seed, struct tally *tallies, long *ret_fail) {
  struct ladder_step *steps = arena_calloc(scratch, REWRITE_CANDIDATES, sizeof *steps);
  struct ladder ladder = {.steps = steps};
  const char *why;
  const struct rewrite_list *list = world_propose(sql, &why);
  if (why) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, sql, why);
  for (size_t i = 0; i < list->count; i++) {
    steps[ladder.count++] = (struct ladder_step){.candidate = list->items[i]};
    count_rule(tallies, list->items[i].rule);
    long long rows = differing(sql, list->items[i].sql);
    if (rows > 0)
      fail_msg("seed %llu: %s: %lld rows differ\n%s\n%s", (unsigned long long)seed, list->items[i].rule, rows, sql, list->items[i].sql);
  }
  if (!ladder.count) return 0;
  world_try(sql, &ladder);
  for (size_t i = 0; i < ladder.count; i++) {
    if (!steps[i].dropped) continue;
    bool fails = strstr(steps[i].dropped, "fails where the query does not") != NULL;
    if (!fails)
      fail_msg("seed %llu: %s: %s\n%s\n%s", (unsigned long long)seed, steps[i].candidate.rule, steps[i].dropped, sql,
               steps[i].candidate.sql);
    (*ret_fail)++;
  }
  return (long)ladder.count;
}

static void what_is_offered_gives_the_same_rows(void **state) {
  const char *asked = getenv("REWRITES_FUZZ"), *from = getenv("REWRITES_SEED");
  long queries = asked ? strtol(asked, NULL, 10) : QUERIES, rewrites = 0, with = 0, fails = 0;
  uint64_t seed = from ? strtoull(from, NULL, 10) : 1;
  struct tally tallies[64] = {0};
  int64_t began = clock_mono_ms();
  (void)state;
  for (long i = 0; i < queries; i++) {
    BUF_AUTO sql;
    buf_init(&sql, 1 << 16);
    maker_query(seed + (uint64_t)i, &sql);
    long made = fuzz_one(buf_str(&sql), seed + (uint64_t)i, tallies, &fails);
    rewrites += made;
    with += made > 0;
    arena_reset(scratch);
  }
  print_message("%ld queries, %ld of them with rewrites, %ld rewrites, none unsound, %ld dropped for failing; %.1f s\n", queries, with,
                rewrites, fails, (double)(clock_mono_ms() - began) / 1000);
  for (size_t i = 0; i < 64 && tallies[i].rule; i++) print_message("  %6ld %s\n", tallies[i].count, tallies[i].rule);
  if (queries >= QUERIES) assert_true(with * 4 > queries && fails * 50 < rewrites);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_offered_gives_the_same_rows)};
  return cmocka_run_group_tests(tests, setup, world_teardown);
}
