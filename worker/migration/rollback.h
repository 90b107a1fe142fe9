/* rollback.h - the way back: the inverse of each statement, made from the schema as it was before it. */
#ifndef AUTODB_ROLLBACK_H
#define AUTODB_ROLLBACK_H

#include "worker/migration/shadow.h"
#include "worker/sql/split.h"

struct rollback_step {
  LIST(const char *) sql;   /* statements without semicolons, in the order to run them; none: nothing to undo */
  const char *irreversible; /* what the step can't bring back; NULL: it restores everything */
  bool outside;             /* refuses to run in a transaction block */
};

/* Call before the statement is applied to the shadow. `before`: the schema before the whole migration. */
void rollback_of(struct shadow *shadow, const struct snapshot *before, const struct sql_statement *statement,
                 struct rollback_step *ret_step);
/* The steps of several statements, last first, as one script. */
const char *rollback_script(struct arena *arena, const struct rollback_step *const *steps, size_t count);

/* --- between rollback.c and rollback_table.c --- */
struct rollback {
  struct shadow *shadow;
  const struct snapshot *before;
  struct arena *arena;
  struct rollback_step *step;
};
void rollback_add(struct rollback *rollback, const char *format, ...) PRINTF_LIKE(2, 3);
void rollback_gone(struct rollback *rollback, const char *format, ...) PRINTF_LIKE(2, 3); /* irreversible */
void rollback_alter_table(struct rollback *rollback, PgQuery__Node *node);
void rollback_recreate_table(struct rollback *rollback, const struct rel *rel);
void rollback_recreate_view(struct rollback *rollback, const struct rel *rel);
const char *rollback_name(struct rollback *rollback, const struct rel *rel); /* quoted */

#endif
