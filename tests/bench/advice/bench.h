/* bench.h - what the optimizer's measurements share: the trade database, an API with a worker, numbers beside their bars. */
#ifndef AUTODB_BENCH_ADVICE_H
#define AUTODB_BENCH_ADVICE_H

#include <math.h>

#include "tests/support/guarded.h"

extern struct harness *h;
extern struct config cfg; /* of this process: for sandboxes and introspection without a worker */

void bar(const char *text, double value, bool least, double limit, const char *unit); /* least: at least the limit, else at most */
void row(const char *text, double value, const char *unit);

struct harness_pg *server(int major); /* started when it is first wanted */
const char *trade(int major);         /* URL of the trade database (tests/bench/trade) there, made when it is first wanted */
const char *trade_schema(void);       /* its statements; till it is asked again */
/* A copy of the trade database of 17; made anew. */
void trade_copy(const char *name, char out[HARNESS_URL]);

/* Statements of the trade: reports that read much, lookups that read little, writes. */
struct statement {
  enum { REPORT, LOOKUP, WRITE } kind;
  const char *sql;
  double weight; /* how often, in the mix */
};
#define KIND(kind) (1U << (kind))
#define READS (KIND(REPORT) | KIND(LOOKUP))
extern struct statement statements[64];
extern size_t statement_count;
void read_statements(void);

/* One JSON value of one row. */
json_t *ask(PGconn *conn, struct arena *arena, const char *sql, int count, const char *const params[]);
json_t *plan_of(PGconn *conn, struct arena *arena, const char *sql); /* its top node */
double number(const json_t *node, const char *key);
/* A job of the API's that succeeded: `what` below the connection, made for url when it is first named. A new reference. */
json_t *job_of(const char *url, const char *what, json_t *take_body);
/* An index as it was recommended, made there (not CONCURRENTLY). */
void build(const char *url, const char *create_sql);

/* The planner's costs of all statements of these kinds, by their weights or once each. */
double cost_of(PGconn *conn, struct arena *arena, unsigned kinds, bool weighted);
/* The job of workload.optimize for them, with their weights or once each; budget 0: none. A new reference. */
json_t *advised(const char *url, unsigned kinds, bool weighted, json_int_t budget);
int by_value(const void *a, const void *b); /* doubles, for qsort */

/* The parts: see main.c. */
void part_whatif(void);
void part_setup(void);
void part_sizes(void);
void part_writes(void);
void part_latency(void);
void part_workload(void);
void part_peers(void);
void part_gain(void);

#endif
