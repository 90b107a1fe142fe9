/* allow_impl.h - what the files of the guard share. Private to worker/query. */
#ifndef AUTODB_QUERY_ALLOW_IMPL_H
#define AUTODB_QUERY_ALLOW_IMPL_H

#include "worker/query/allow.h"

#define GUARD_VIOLATIONS 20 /* told of at once */

struct check {
  const struct snapshot *snapshot;
  const struct guard_rules *rules;
  struct arena *arena;
  struct guard_violation violations[GUARD_VIOLATIONS];
  size_t violation_count;
  bool oom;

  /* seen by the walk over all nodes: what the resolver must have seen, too */
  const PgQuery__FuncCall **calls;
  size_t call_count;
  const PgQuery__ColumnRef **refs;
  size_t ref_count;
  size_t indirection_count;
  const PgQuery__TypeCast **casts;
  size_t cast_count;
  const PgQuery__TypeName **types; /* those of casts among them */
  size_t type_count;
  size_t from_items;

  bool *judged; /* see guard_rules */
};

/* A violation; texts are borrowed or formatted into the arena. Beyond GUARD_VIOLATIONS they are dropped. */
void guard_refuse(struct check *check, const char *layer, const char *rule, int position, const char *allowed, const char *fmt, ...)
    PRINTF_LIKE(6, 7);

/* allow_nodes.c: every message of the tree against the list; gathers calls and references. */
void guard_nodes(struct check *check, PgQuery__SelectStmt *select);
/* Whether a type's values stand for something outside of the query; without its schema, arrays as "_name". */
bool guard_denied_type(const char *name);
/* allow_relations.c: what is read, and what that reads: views, partitions. */
void guard_relations(struct check *check, struct guarded *guarded);
/* allow_functions.c: calls, operators. */
void guard_functions(struct check *check, const struct query_resolution *resolution);
/* Whether nobody may call it, whoever names it. */
bool guard_never(const char *name);
/* What is written in it cannot leave the database by itself. */
bool guard_trusted_language(const char *language);
/* Why a function somebody made, which an operator or cast calls, is not to be called; NULL: it may be. `own`: of the snapshot's lists. */
const char *guard_refuses(const struct check *check, const json_t *own);
/* allow_domains.c: types whose values are checked, or read, by calls that nobody wrote. */
void guard_domains(struct check *check, const struct query_resolution *resolution);
/* allow_types.c: casts somebody made, and which operators the types of its sides leave. */
void guard_casts(struct check *check, const struct query_resolution *resolution);
bool guard_never_chosen(const struct check *check, const struct query_resolution *resolution, const struct query_operator *op,
                        const json_t *own);
/* "shop.mood" and "mood" are taken for one: what is refused once too often is only refused. */
bool guard_same_type(const char *a, const char *b);
/* A type's text without its modifier and without "[]"; in the arena. NULL stays NULL. */
const char *guard_element(const struct check *check, const char *type);
/* allow_values.c: literals that make much out of little. */
void guard_values(struct check *check);
/* The number a constant expression is, or is at most (least(x, 5)). */
bool guard_constant(const PgQuery__Node *node, double *ret_value);

#endif
