/* peers.h - three published rules by which other tools choose indexes, re-stated here from what they document, so that all can be asked on
 * the same database. They are the rules, not the tools: their programs are neither installed nor copied.
 *
 *   single    index_advisor: query by query, a hypothetical B-tree on every column that has none of its own; those the plan then uses.
 *   pairs     Dexter: of a query that costs 100 or more, one hypothetical B-tree for each column named in any of them, then for each pair
 * of columns of a table in either order; taken when they halve the cost (pairs: halve it once more); of several in one plan the best alone.
 *   greedy    the anytime tuning advisor of Postgres MCP Pro: sets of one to three columns that conditions name; each step takes what
 *             saves most time, 10 % of it or more, as long as log(time) + 2 log(bytes of tables and indexes) falls; within a budget. */
#ifndef AUTODB_BENCH_PEERS_H
#define AUTODB_BENCH_PEERS_H

#include "tests/bench/advice/bench.h"

#define PEER_INDEXES 64
struct peer_set {
  const char *sql[PEER_INDEXES]; /* "CREATE INDEX ON …" */
  size_t count;
};

struct peer {
  const char *name;
  /* conn: a session with HypoPG on the database the snapshot is of. */
  void (*choose)(PGconn *conn, const struct snapshot *snapshot, unsigned kinds, bool weighted, struct arena *arena, struct peer_set *out);
};
extern const struct peer peers[3];

#endif
