/* gain.c - S4: what query.optimize offers, run beside the query it was given, turn by turn: none slower, and each rewrite that is known
 * to gain much is found. */
#include "tests/bench/advice/bench.h"
#include "tests/support/rewrite_pairs.h"

#include "common/json.h"
#include "common/pg.h"

#define ROUNDS 5
#define DOUBTS 15 /* rounds till a rewrite is called slower: others use the machine as well */
#define LONGEST "5s"
#define LONGEST_MS 5000.0
#define TELLING_MS 2 /* what takes less is told apart by nothing */

/* Over tests/fixtures/rewrites.sql: rewrites that PostgreSQL does not do by itself, and that many queries need. */
static const struct {
  const char *rule, *sql;
} flagships[] = {
    {"date-range", "SELECT id, total FROM orders WHERE created_at::date = '2024-01-05'"},
    {"date-range", "SELECT id, total FROM orders WHERE date_trunc('day', created_at) = '2024-03-05'"},
    {"date-range", "SELECT count(*) FROM orders WHERE extract(year FROM created_at) = 2025"},
    {"arithmetic-on-column", "SELECT id, total FROM orders WHERE customer_id + 1 = 10"},
    {"numeric-literal", "SELECT total FROM orders WHERE id = 9.0"},
    {"coalesce-comparison", "SELECT id FROM events WHERE COALESCE(customer_id, 0) = 7"},
    {"text-cast", "SELECT total FROM orders WHERE id::text = '77'"},
    {"row-comparison",
     "SELECT id FROM events WHERE customer_id > 5000 OR (customer_id = 5000 AND id > 400) ORDER BY customer_id, id LIMIT 10"},
    {"implied-range", "SELECT count(i.quantity) FROM orders o JOIN items i ON i.order_id = o.id WHERE o.id > 99000"},
    {"not-in", "SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)"},
    {"count-exists", "SELECT id FROM customers c WHERE (SELECT count(*) FROM events e WHERE e.customer_id = c.id) > 0"},
    {"correlated-aggregate", "SELECT sum(i.price) FROM items i JOIN products p ON p.id = i.product_id WHERE p.kind = 'k1' AND i.quantity < "
                             "(SELECT 0.8 * avg(o.total) FROM orders o WHERE o.agent_id = i.line)"},
    {"correlated-aggregate", "SELECT name, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) FROM customers c"},
    {"anti-join", "SELECT c.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL"},
    {"needless-join", "SELECT sum(o.total) FROM orders o JOIN customers c ON c.id = o.customer_id"},
    {"distinct-join", "SELECT DISTINCT c.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id"},
    {"needless-distinct", "SELECT DISTINCT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id"},
    {"union-all", "SELECT id, total FROM orders WHERE status = 'new' UNION SELECT id, total FROM orders WHERE status = 'paid'"},
    {"count-key", "SELECT count(DISTINCT id) FROM orders"},
    {"or-arms", "SELECT * FROM orders WHERE customer_id = 3 OR id IN (SELECT order_id FROM items WHERE product_id = 77)"},
    {"or-select-arms", "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 7 OR c.email = 'e8'"},
    {"cte-inline", "WITH x AS MATERIALIZED (SELECT * FROM orders) SELECT total FROM x WHERE customer_id = 5"},
    {"cte-inline", "WITH x AS (SELECT * FROM orders) SELECT a.total FROM x a JOIN x b ON a.id = b.id WHERE a.customer_id = 5"},
    {"needless-order", "SELECT status, count(*) FROM (SELECT * FROM orders ORDER BY total) o GROUP BY status"},
    {"first-row",
     "SELECT s.customer_id, s.at FROM (SELECT e.*, row_number() OVER (PARTITION BY customer_id ORDER BY at DESC, id DESC) AS rn "
     "FROM events e) s WHERE s.rn = 1"},
};
enum { FLAGSHIPS = sizeof flagships / sizeof *flagships };

struct gains {
  PGconn *conn;
  struct arena *arena;
  size_t offered, timed, slower;
  double worst, logs;
};

/* What a run takes, planning included; a run that takes longer than the longest takes that. */
static double time_of(struct gains *gains, const char *sql) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  const char *explain = arena_printf(gains->arena, "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) %s", sql);
  if (pg_query(gains->conn, explain, 0, NULL, &res, &err)) {
    if (!strstr(err.message, "timeout")) fail_msg("%s: %s", sql, err.message);
    return LONGEST_MS;
  }
  json_t *top = json_array_get(arena_json(gains->arena, json_loads(PQgetvalue(res, 0, 0), 0, NULL)), 0);
  return number(top, "Execution Time") + number(top, "Planning Time");
}

static void time_pair(struct gains *gains, const char *rule, const char *sql, const char *rewrite) {
  double before = INFINITY, after = INFINITY;
  for (int round = 0; round < (after > before ? DOUBTS : ROUNDS) && (round == 0 || before + after < LONGEST_MS / ROUNDS); round++) {
    if (round % 2) after = fmin(after, time_of(gains, rewrite));
    before = fmin(before, time_of(gains, sql));
    if (round % 2 == 0) after = fmin(after, time_of(gains, rewrite));
  }
  gains->offered++;
  if (before < TELLING_MS && after < TELLING_MS) return;
  double ratio = after / before;
  gains->timed++;
  gains->logs += log(ratio);
  gains->worst = fmax(gains->worst, ratio);
  if (ratio <= 1.1) return;
  gains->slower++;
  printf("    %.2f times as slow, %s: %.1f ms, not %.1f ms\n      %s\n      %s\n", ratio, rule, after, before, sql, rewrite);
}

/* Whether the rule is among what is offered, alone or combined. */
static bool run_query(struct gains *gains, const char *url, const char *rule, const char *sql) {
  json_t *job = job_of(url, "queries/optimize", json_pack("{s:s}", "sql", sql)), *one;
  bool found = false;
  size_t index;
  json_array_foreach(harness_at(job, "result.alternatives"), index, one) {
    time_pair(gains, harness_text(one, "rule"), sql, harness_text(one, "rewritten_sql"));
    found |= rule && strstr(harness_text(one, "rule"), rule);
  }
  if (rule && !found) {
    char *dropped = json_dumps(harness_at(job, "result.dropped_rewrites.rewrites"), 0);
    printf("    %s is not offered: %s\n      %s\n", rule, sql, dropped);
    free(dropped);
  }
  json_decref(job);
  arena_reset(gains->arena);
  return found;
}

static void open_gains(struct gains *gains, const char *url) {
  *gains = (struct gains){.conn = harness_connect(url), .arena = arena_new((size_t)1 << 30)};
  PQclear(PQexec(gains->conn, "SET statement_timeout = '" LONGEST "'"));
}

static void close_gains(struct gains *gains, const char *what) {
  char text[80];
  snprintf(text, sizeof text, "S4 %s: the slowest of %zu rewrites, to its query", what, gains->timed);
  bar(text, gains->worst, false, 1.1, "x");
  snprintf(text, sizeof text, "  geometric mean (%zu were too quick to tell)", gains->offered - gains->timed);
  if (gains->timed) row(text, exp(gains->logs / (double)gains->timed), "x");
  PQfinish(gains->conn);
  arena_free(gains->arena);
}

void part_gain(void) {
  char url[HARNESS_URL];
  struct gains gains;
  double found = 0;
  harness_database(server(17), "shop", url);
  harness_sql_file(url, "tests/fixtures/rewrites.sql");
  harness_sql(url, "ALTER DATABASE shop SET search_path = shop; ALTER DATABASE shop SET timezone = 'UTC'; SELECT shop.fill_shop(100)");
  harness_sql(url, "VACUUM ANALYZE");
  open_gains(&gains, url);
  for (size_t i = 0; i < FLAGSHIPS; i++) found += run_query(&gains, url, flagships[i].rule, flagships[i].sql);
  char text[80];
  snprintf(text, sizeof text, "S4 flagship rewrites found, of %d", FLAGSHIPS);
  bar(text, found, true, FLAGSHIPS, "");
  for (size_t i = 0; i < REWRITE_PAIRS; i++) run_query(&gains, url, NULL, rewrite_pairs[i].sql);
  close_gains(&gains, "shop");
  open_gains(&gains, trade(17));
  for (size_t i = 0; i < statement_count; i++)
    if (statements[i].kind != WRITE) run_query(&gains, trade(17), NULL, statements[i].sql);
  close_gains(&gains, "trade");
}
