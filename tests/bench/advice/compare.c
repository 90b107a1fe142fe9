/* compare.c - S6: our choice beside those of simpler rules, on one database, each built, within the bytes that the rule's own choice takes.
 */
#include "tests/bench/advice/peers.h"

#include <stdlib.h>

#include "common/json.h"
#include "common/pg.h"

#define SLACK 1.03 /* of the budget: sizes are estimates, and what is built may have 5 % more than theirs at most */
#define ROUNDS 5   /* of the mix: the least of a statement's times counts */

static const char index_bytes[] =
    "SELECT COALESCE(sum(pg_relation_size(indexrelid)), 0) FROM pg_index WHERE indexrelid > 16384 AND NOT indisprimary";

struct built {
  char url[HARNESS_URL];
  double bytes;
};

static void measure_bytes(struct built *built) { built->bytes = (double)harness_count(built->url, index_bytes); }

static void print_set(const char *who, const struct built *built) {
  PGconn *conn = harness_connect(built->url);
  PGresult *res =
      PQexec(conn, "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* ON public.', ''), pg_relation_size(indexrelid) FROM "
                   "pg_index WHERE indexrelid > 16384 AND NOT indisprimary ORDER BY 1");
  for (int i = 0; i < PQntuples(res); i++) printf("      %s %s, %s bytes\n", who, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
  PQclear(res);
  PQfinish(conn);
}

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

struct contest {
  const char *what;
  unsigned kinds;
  bool mixed; /* by weights, and run, with its writes */
  PGconn *conn;
  const struct snapshot *snapshot;
  struct arena *arena;
  double worst;      /* our cost to theirs */
  double least_gain; /* of the mix: our time saved of theirs, percent */
};

static double built_cost(const struct built *built, const struct contest *contest) {
  PGconn *conn = harness_connect(built->url);
  double cost = cost_of(conn, contest->arena, contest->kinds, contest->mixed);
  PQfinish(conn);
  return cost;
}

/* What our own promise (S9) forbids: an index that leads another one, or without which all costs less than 2 % more; dropped, the least
 * first. */
static void prune(const struct built *built, const struct contest *contest) {
  static const char list[] = "SELECT indexrelid::regclass::text FROM pg_index WHERE indexrelid > 16384 AND NOT indisprimary";
  static const char covered[] =
      "DO $$ DECLARE i text; BEGIN FOR i IN SELECT a.indexrelid::regclass FROM pg_index a JOIN pg_index b USING (indrelid) WHERE "
      "a.indexrelid "
      "> 16384 AND NOT a.indisprimary AND b.indkey::text LIKE a.indkey::text || ' %' LOOP EXECUTE 'DROP INDEX IF EXISTS ' || i; END LOOP; "
      "END $$";
  PGconn *conn = harness_connect(built->url);
  harness_sql(built->url, covered);
  for (;;) {
    double cost = cost_of(conn, contest->arena, contest->kinds & READS, contest->mixed), least = INFINITY;
    const char *drop = NULL;
    PGRESULT_AUTO res = PQexec(conn, list);
    for (int i = 0; i < PQntuples(res); i++) {
      PQclear(PQexec(conn, "BEGIN"));
      PQclear(PQexec(conn, arena_printf(contest->arena, "DROP INDEX %s", PQgetvalue(res, i, 0))));
      double without = cost_of(conn, contest->arena, contest->kinds & READS, contest->mixed);
      PQclear(PQexec(conn, "ROLLBACK"));
      if (without < least) least = without, drop = arena_printf(contest->arena, "DROP INDEX %s", PQgetvalue(res, i, 0));
    }
    if (!drop || least >= 1.02 * cost) break;
    PQclear(PQexec(conn, drop));
  }
  PQfinish(conn);
}

static void against(struct contest *contest, const struct built *theirs, const char *who) {
  struct built ours = {0};
  double ms[2];
  build_ours("ours", contest->kinds, contest->mixed, SLACK * theirs->bytes, &ours);
  if (ours.bytes > 1.05 * theirs->bytes) fail_msg("%.0f bytes of a budget of %.0f", ours.bytes, theirs->bytes);
  double their_cost = built_cost(theirs, contest), our_cost = built_cost(&ours, contest);
  printf("    %-24s %5.1f MB, cost %.0f; ours within that %5.1f MB, %.0f\n", who, theirs->bytes / 1e6, their_cost, ours.bytes / 1e6,
         our_cost);
  contest->worst = fmax(contest->worst, our_cost / their_cost);
  if (our_cost > their_cost) print_set("theirs", theirs), print_set("ours", &ours);
  if (!contest->mixed) return;
  time_mix(contest->arena, (const struct built *const[]){theirs, &ours}, 2, ms);
  printf("    %-24s run: %.0f ms, ours %.0f ms\n", who, ms[0], ms[1]);
  contest->least_gain = fmin(contest->least_gain, 100 * (1 - ms[1] / ms[0]));
}

static void compare(struct contest *contest) {
  contest->arena = arena_new((size_t)1 << 30);
  contest->least_gain = INFINITY;
  for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
    struct peer_set set = {0};
    struct built theirs = {0};
    peers[p].choose(contest->conn, contest->snapshot, contest->kinds, contest->mixed, contest->arena, &set);
    trade_copy("theirs", theirs.url);
    for (size_t i = 0; i < set.count; i++) harness_sql(theirs.url, set.sql[i]);
    double all = (measure_bytes(&theirs), theirs.bytes), cost = built_cost(&theirs, contest);
    prune(&theirs, contest);
    measure_bytes(&theirs);
    printf("    %s, %s: %zu indexes, %.1f MB, cost %.0f; without what leads another or saves less than 2 %%:\n", contest->what,
           peers[p].name, set.count, all / 1e6, cost);
    if (theirs.bytes > 0) against(contest, &theirs, peers[p].name);
  }
  char text[80];
  snprintf(text, sizeof text, "S6 %s: our cost to the best rule's, same bytes", contest->what);
  bar(text, contest->worst, false, contest->mixed ? 0.9 : 1, "");
  if (contest->mixed) row("S6 mix, run with its writes: time less than the best rule's", contest->least_gain, "%");
  arena_free(contest->arena);
}

void part_peers(void) {
  struct arena *arena = arena_new((size_t)1 << 30);
  char url[HARNESS_URL];
  trade_copy("hypothetical", url);
  harness_sql(url, "CREATE EXTENSION hypopg");
  PGconn *conn = harness_connect(url);
  const struct snapshot *snapshot = guarded_look(url, 17, arena);
  struct contest contests[] = {{.what = "reports", .kinds = KIND(REPORT)},
                               {.what = "lookups", .kinds = KIND(LOOKUP)},
                               {.what = "all reads", .kinds = READS},
                               {.what = "mix", .kinds = READS | KIND(WRITE), .mixed = true}};
  for (size_t i = 0; i < sizeof contests / sizeof *contests; i++) {
    contests[i].conn = conn;
    contests[i].snapshot = snapshot;
    compare(&contests[i]);
  }
  PQfinish(conn);
  arena_free(arena);
}
