/* workload.c - a workload's indexes, built as they were advised: the cost that was said, none without need; and how long one query takes.
 */
#include "tests/bench/advice/bench.h"

#include <stdlib.h>

#include "common/json.h"

double cost_of(PGconn *conn, struct arena *arena, unsigned kinds, bool weighted) {
  double sum = 0;
  for (size_t i = 0; i < statement_count; i++)
    if (kinds & KIND(statements[i].kind))
      sum += number(plan_of(conn, arena, statements[i].sql), "Total Cost") * (weighted ? statements[i].weight : 1);
  return sum;
}

json_t *advised(const char *url, unsigned kinds, bool weighted, json_int_t budget) {
  json_t *list = json_array();
  for (size_t i = 0; i < statement_count; i++)
    if (kinds & KIND(statements[i].kind))
      json_array_append_new(list, json_pack("{s:s, s:f}", "sql", statements[i].sql, "weight", weighted ? statements[i].weight : 1));
  json_t *body = json_pack("{s:s, s:o}", "source", "queries", "queries", list);
  if (budget) json_object_set_new(body, "budget_bytes", json_integer(budget));
  return job_of(url, "workload/optimize", body);
}

/* The cost, in percent, that the one which saves least does save. */
static double least_saved(PGconn *conn, struct arena *arena, const json_t *list, double after) {
  double least = INFINITY;
  for (size_t i = 0; i < json_array_size(list); i++) {
    char sql[200];
    snprintf(sql, sizeof sql, "DROP INDEX %s", json_str(json_array_get(list, i), "name", ""));
    PQclear(PQexec(conn, "BEGIN"));
    PQclear(PQexec(conn, sql));
    least = fmin(least, 100 * (cost_of(conn, arena, READS, false) / after - 1));
    PQclear(PQexec(conn, "ROLLBACK"));
  }
  return least;
}

void part_workload(void) {
  char url[HARNESS_URL];
  struct arena *arena = arena_new((size_t)1 << 30);
  trade_copy("advised", url);
  PGconn *conn = harness_connect(url);
  double before = cost_of(conn, arena, READS, false);
  int64_t began = harness_now_ms();
  json_t *job = advised(url, READS, false, 0);
  row("time for the whole workload", (double)(harness_now_ms() - began) / 1000, "s");
  const json_t *list = harness_at(job, "result.index_recommendations");
  double said = number(harness_at(job, "result"), "cost_after");
  for (size_t i = 0; i < json_array_size(list); i++) {
    printf("    %s\n", json_str(json_array_get(list, i), "create_sql", ""));
    build(url, json_str(json_array_get(list, i), "create_sql", ""));
  }
  harness_sql(url, "VACUUM ANALYZE"); /* statistics of expressions */
  double after = cost_of(conn, arena, READS, false);
  row("cost before, as the database has it", before, "");
  row("cost after, as it was said", said, "");
  bar("S6 cost after, built, to what was said", fmax(after / said, said / after), false, 1.1, "");
  row("S6 cost saved", 100 * (1 - after / before), "%");
  if (json_array_size(list)) bar("S9 cost that the least of them saves", least_saved(conn, arena, list, after), true, 2, "%");
  json_decref(job);
  job = advised(url, READS, false, 0);
  bar("S9 indexes recommended once they are there", (double)json_array_size(harness_at(job, "result.index_recommendations")), false, 0, "");
  json_decref(job);
  PQfinish(conn);
  arena_free(arena);
}

/* --- latency --- */

int by_value(const void *a, const void *b) {
  double one, two;
  memcpy(&one, a, sizeof one);
  memcpy(&two, b, sizeof two);
  return one < two ? -1 : one > two;
}

/* Of 24 after the first: the median. */
static void time_of(const char *what, const char *sql) {
  double times[25];
  size_t rewrites = 0, indexes = 0;
  for (size_t i = 0; i < 25; i++) {
    int64_t began = harness_now_ms();
    json_t *job = job_of(trade(17), "queries/optimize", json_pack("{s:s}", "sql", sql));
    times[i] = (double)(harness_now_ms() - began);
    rewrites = json_array_size(harness_at(job, "result.alternatives"));
    indexes = json_array_size(harness_at(job, "result.index_recommendations"));
    json_decref(job);
  }
  printf("    %s: %zu rewrites, %zu indexes; the first %.0f ms\n", what, rewrites, indexes, times[0]);
  qsort(times + 1, 24, sizeof *times, by_value);
  bar("query.optimize over HTTP, p50 warm", times[12], false, 400, "ms");
}

void part_latency(void) {
  time_of("four joins, indexes",
          "SELECT c.name, o.id, g.name, i.quantity FROM clients c JOIN orders o ON o.client_id = c.id JOIN items i ON i.order_id = o.id "
          "JOIN goods g ON g.id = i.good_id WHERE c.segment = 'CARS' AND o.clerk = 'Clerk 33' AND i.shipped > date '1997-06-01' ORDER BY "
          "o.placed DESC LIMIT 20");
  time_of(
      "four joins, rewrites and indexes",
      "SELECT DISTINCT c.id, c.name FROM clients c JOIN orders o ON o.client_id = c.id JOIN items i ON i.order_id = o.id JOIN goods g ON "
      "g.id = i.good_id JOIN vendors v ON v.id = i.vendor_id WHERE o.id + 1 < 5000 AND COALESCE(g.size, 0) = 7 AND o.clerk = 'Clerk "
      "33' AND c.id NOT IN (SELECT client_id FROM orders WHERE state = 'P')");
}
