/* joins.h - how tables hang together: foreign keys that are declared, and those that names and types give away.
 *
 * An edge leads from the many to the one. Its role words are what its columns say besides the name of the table they lead to: "billing" of
 * billing_address_id. Paths are the cheapest; what was said in the question makes an edge cheaper. */
#ifndef AUTODB_BUILTIN_JOINS_H
#define AUTODB_BUILTIN_JOINS_H

#include "worker/text2sql/builtin/names.h"

#define JOIN_STEPS 8
#define ROLE_WORDS 4

struct join_edge {
  size_t from, to; /* indexes of tables in the snapshot */
  const char *const *from_columns, *const *to_columns;
  size_t column_count;
  bool declared;
  bool single;   /* from's columns are a key, too: one to one */
  bool audit;    /* created_by and its like: who touched the row */
  bool far;      /* called like the rows that link: the other end, friend_id of friends */
  bool optional; /* a column of it may be NULL */
  const struct word *roles[ROLE_WORDS];
  size_t role_count;
  bool said; /* a role word stands in the question: set by the caller */
};
struct join_graph {
  const struct snapshot *snapshot;
  struct join_edge *edges;
  size_t edge_count, room;
  const bool *mentioned; /* by table, or NULL: paths lead through these rather */
  const bool
      *drawn; /* by table, or NULL: what a verb of the question is about ("bought": orders); paths lead through these nearly always */
};
struct join_step {
  const struct join_edge *edge;
  bool up; /* from many to one */
};
struct join_path {
  struct join_step steps[JOIN_STEPS];
  size_t count;
  double cost;
  const struct join_edge *rival; /* another edge that would do as well for one of the steps; NULL: none */
};

bool joins_read(struct join_graph *graph, const struct snapshot *snapshot, const struct names *names, struct arena *arena,
                struct words *words);
/* Every step leads to the one. */
bool path_single(const struct join_path *path);
bool edge_superior(const struct join_edge *edge); /* from rows to those above them: manager_id */
/* The cheapest path from one table to another, at least one step long when they are the same and an edge says so. via: the last step must
 * be this edge, or NULL. False: none within JOIN_STEPS. */
bool joins_path(const struct join_graph *graph, size_t from, size_t to, const struct join_edge *via, struct arena *arena,
                struct join_path *ret_path);

#endif
