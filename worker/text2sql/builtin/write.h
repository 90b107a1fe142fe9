/* write.h - from a reading to SQL: scopes of joined tables, and the texts of what stands in them. Private to write*.c.
 *
 * A scope is one SELECT. Its root decides what a row is; tables reached from it only by keys to the one are joined, everything else would
 * multiply rows and goes into EXISTS or a subselect of its own. */
#ifndef AUTODB_BUILTIN_WRITE_H
#define AUTODB_BUILTIN_WRITE_H

#include "worker/text2sql/builtin/study.h"

#define SCOPE_NODES 16

struct node {
  size_t table, parent;
  const struct join_edge *edge; /* from the parent; NULL: the root */
  bool up;
  bool optional; /* rows without it stay */
  const char *alias;
};
struct scope {
  struct study *study;
  struct scope *outer;
  struct node nodes[SCOPE_NODES];
  size_t count;
  const char *where;   /* conditions, joined by AND; "" at first */
  bool keep_unmatched; /* list rows without a parent, too */
};

/* Opens a scope; its root's alias is new in the whole statement. */
bool scope_open(struct scope *scope, struct study *study, struct scope *outer, size_t root);
/* The path from the root; doubt when two would do. False: none. */
bool scope_route(struct scope *scope, size_t table, const struct join_edge *role, struct join_path *ret_path);
/* The first step of a path that multiplies rows; path->count: none does. */
size_t path_many(const struct join_path *path);
/* Joins the first `steps` of a path in; the node at its end, SIZE_MAX on failure. */
size_t scope_join(struct scope *scope, const struct join_path *path, size_t steps);
/* The node of a place, joined in whatever it does to the rows. SIZE_MAX: can't be reached. */
size_t scope_node(struct scope *scope, size_t table, const struct join_edge *role);
const char *scope_from(struct scope *scope); /* "FROM a JOIN b ON …" */
/* The condition that joins a node to its parent. */
const char *scope_link(struct study *study, const struct join_edge *edge, bool up, const char *parent, const char *child);
void scope_and(struct scope *scope, const char *condition);

struct list { /* a SELECT list that names each thing once */
  struct study *study;
  const struct scope *scope; /* of its columns */
  const char *text, *group_by;
  const char *expressions[64];
  const char *names[64];
  size_t count, groups;
};
/* Adds an expression; name NULL: as the column is called. */
void list_show(struct list *list, const char *expression, const char *name);
void list_entity(struct scope *scope, struct list *list, size_t table, const struct join_edge *role, bool group); /* key and name */
void list_groups(struct scope *scope, struct list *list);
void list_rows(struct scope *scope, struct list *list);
const char *list_names(const struct list *list); /* of a list that a subselect shows */

const char *write_bucket(struct study *study, enum date_unit unit, const char *column);
const char *write_order(struct scope *scope, struct list *list, bool grouped); /* ORDER BY; shows what it needs. NULL: doubt */
const char *write_tail(struct study *study);                                   /* LIMIT */
const char *write_where(const struct scope *scope);
/* All but those of the side that is not written now. */
size_t all_filters(struct study *study, const struct filter **ret);

/* The table whose rows all aggregates are made of, so that none is counted twice; NO_TABLE with doubt: none will do. */
size_t aggregate_root(struct study *study, bool *ret_apart);
size_t measure_table(struct study *study, const struct measure *measure);

/* Statements of a shape of their own. */
const char *write_apart(struct study *study);
const char *write_ratio(struct study *study);
const char *write_ratio_to(struct study *study);

/* "o.total"; NULL: can't be reached. */
const char *write_column(struct scope *scope, const struct place *place);
const char *write_measure(struct scope *scope, const struct measure *measure);
const char *write_measure_name(struct study *study, const struct measure *measure);
/* An expression of a document, its names made those of this scope. */
const char *write_term(struct scope *scope, const struct generator_term *term);
/* The table a term's rows are of; NO_TABLE when its names are not the schema's. */
size_t term_root(struct study *study, const struct generator_term *term);

/* One condition or several, by the tables they are on; filters of other branches are left. */
void write_conditions(struct scope *scope, size_t branch, const struct filter *const *filters, size_t count, bool related);
const char *write_filter(struct scope *scope, const struct filter *filter); /* joins what it needs */
const char *write_branch(struct scope *scope, size_t branch);
/* All branches: into the scope, and those on the groups' own numbers as HAVING. */
const char *write_branches(struct scope *scope, bool grouped);

#endif
