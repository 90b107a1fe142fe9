/* compare.c - S6: our choice beside those of simpler rules, on one database, each built, within the bytes that the rule's own choice takes.
 */
#include "tests/bench/advice/peers.h"

#include <stdlib.h>

#include "common/json.h"
#include "common/pg.h"

#define ROUNDS 5 /* of the mix: the least of a statement's times counts */

static const char index_bytes[] =
    "SELECT COALESCE(sum(pg_relation_size(indexrelid)), 0) FROM pg_index WHERE indexrelid > 16384 AND NOT indisprimary";

struct built {
  char url[HARNESS_URL];
  double bytes;
};

static void measure_bytes(struct built *built) { built->bytes = (double)harness_count(built->url, index_bytes); }

static void build_ours(const char *name, unsigned kinds, bool weighted, double budget, struct built *out) {
  bool expression = false;
  json_t *job = advised(trade(17), kinds, weighted, (json_int_t)budget);
  const json_t *list = harness_at(job, "result.index_recommendations");
  trade_copy(name, out->url);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *sql = json_str(json_array_get(list, i), "create_sql", "");
    build(out->url, sql);
    expression |= strstr(sql, "((") != NULL;
  }
  if (expression) harness_sql(out->url, "ANALYZE");
  json_decref(job);
  measure_bytes(out);
}

/* --- time of the mix --- */

static double time_once(PGconn *conn, struct arena *arena, const char *sql) {
  PQclear(PQexec(conn, "BEGIN"));
  json_t *top = json_array_get(ask(conn, arena, arena_printf(arena, "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) %s", sql), 0, NULL), 0);
  PQclear(PQexec(conn, "ROLLBACK"));
  return number(top, "Execution Time") + number(top, "Planning Time");
}

/* One after the other in each database, so that what else the machine does hits both. */
static void time_mix(struct arena *arena, const struct built *const built[], size_t count, double ret_ms[]) {
  PGconn *conns[4];
  for (size_t b = 0; b < count; b++) conns[b] = harness_connect(built[b]->url), ret_ms[b] = 0;
  for (size_t q = 0; q < statement_count; q++) {
    double least[4];
    for (int round = 0; round < ROUNDS; round++)
      for (size_t b = 0; b < count; b++) {
        double took = time_once(conns[b], arena, statements[q].sql);
        if (!round || took < least[b]) least[b] = took;
      }
    for (size_t b = 0; b < count; b++) ret_ms[b] += least[b] * statements[q].weight;
  }
  for (size_t b = 0; b < count; b++) PQfinish(conns[b]);
}

/* --- one workload --- */

static double built_cost(const struct built *built, struct arena *arena, unsigned kinds) {
  PGconn *conn = harness_connect(built->url);
  double cost = cost_of(conn, arena, kinds);
  PQfinish(conn);
  return cost;
}

static void compare(const char *what, unsigned kinds, bool mixed, PGconn *conn, const struct snapshot *snapshot) {
  struct arena *arena = arena_new((size_t)1 << 30);
  static const struct built none;
  double worst = 0, least_gain = INFINITY;
  struct built bare = none;
  trade_copy("bare", bare.url);
  double before = built_cost(&bare, arena, kinds);
  for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
    struct peer_set set = {0};
    struct built theirs = none, ours = none;
    double ms[2];
    peers[p].choose(conn, snapshot, kinds, mixed, arena, &set);
    trade_copy("theirs", theirs.url);
    for (size_t i = 0; i < set.count; i++) harness_sql(theirs.url, set.sql[i]);
    measure_bytes(&theirs);
    if (!set.count) {
      printf("    %s: %s chooses nothing\n", what, peers[p].name);
      continue;
    }
    build_ours("ours", kinds, mixed, theirs.bytes, &ours);
    if (ours.bytes > 1.02 * theirs.bytes) fail_msg("%.0f bytes of a budget of %.0f", ours.bytes, theirs.bytes);
    double their_cost = built_cost(&theirs, arena, kinds), our_cost = built_cost(&ours, arena, kinds);
    printf("    %-8s %-14s %zu indexes, %5.1f MB: cost %.0f; ours within that: %5.1f MB, %.0f; of %.0f\n", what, peers[p].name, set.count,
           theirs.bytes / 1e6, their_cost, ours.bytes / 1e6, our_cost, before);
    if (mixed) {
      time_mix(arena, (const struct built *const[]){&theirs, &ours}, 2, ms);
      printf("    %-8s %-14s run: theirs %.0f ms, ours %.0f ms\n", what, peers[p].name, ms[0], ms[1]);
      least_gain = fmin(least_gain, 100 * (1 - ms[1] / ms[0]));
    } else
      worst = fmax(worst, our_cost / their_cost);
  }
  char text[80];
  snprintf(text, sizeof text, mixed ? "S6 %s, run: faster than the best rule by" : "S6 %s: our cost to the best rule's, same bytes", what);
  if (mixed)
    bar(text, least_gain, true, 10, "%");
  else
    bar(text, worst, false, 1, "");
  arena_free(arena);
}

void part_peers(void) {
  struct arena *arena = arena_new((size_t)1 << 30);
  char url[HARNESS_URL];
  trade_copy("hypothetical", url);
  harness_sql(url, "CREATE EXTENSION hypopg");
  PGconn *conn = harness_connect(url);
  const struct snapshot *snapshot = guarded_look(url, 17, arena);
  compare("reports", KIND(REPORT), false, conn, snapshot);
  compare("lookups", KIND(LOOKUP), false, conn, snapshot);
  compare("all reads", READS, false, conn, snapshot);
  compare("mix", READS | KIND(WRITE), true, conn, snapshot);
  PQfinish(conn);
  arena_free(arena);
}
