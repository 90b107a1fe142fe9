/* rollback/rollback.h - the way back: the inverse of each statement, made from the schema as it was before it. */
#ifndef AUTODB_ROLLBACK_H
#define AUTODB_ROLLBACK_H

#include "worker/migration/shadow.h"
#include "worker/sql/split.h"

struct rollback_plan;

struct rollback_step {
  LIST(const char *) sql;   /* statements without semicolons, in the order to run them; none: nothing to undo */
  const char *irreversible; /* what the step can't bring back; NULL: it restores everything */
  bool outside;             /* refuses to run in a transaction block */
};

/* The dump of the snapshot, asked for when the first object has to be made again; NULL: there is none. */
typedef const char *(*rollback_dump)(void *arg);

/* `before`: the schema before the whole migration, of which `shadow` is a copy. NULL: out of memory. */
struct rollback_plan *rollback_plan_new(struct shadow *shadow, const struct snapshot *before, rollback_dump dump, void *arg);
/* Call before the statement is applied to the shadow, for each statement in order; the step stays where it is: a later statement may take
 * back what it no longer needs (a table made and dropped by the same migration). */
void rollback_of(struct rollback_plan *plan, const struct sql_statement *statement, struct rollback_step *ret_step);
/* The steps of several statements, last first, as one script. */
const char *rollback_script(struct arena *arena, const struct rollback_step *const *steps, size_t count);

#endif
