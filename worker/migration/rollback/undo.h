/* rollback/undo.h - one subcommand of ALTER TABLE, undone. Private to table.c, settings.c and constraint.c. */
#ifndef AUTODB_ROLLBACK_UNDO_H
#define AUTODB_ROLLBACK_UNDO_H

#include "worker/migration/rollback/impl.h"

#define AT(name) PG_QUERY__ALTER_TABLE_TYPE__AT_##name
#define TYPES(...) ((const PgQuery__AlterTableType[]){__VA_ARGS__, 0})

struct undo {
  struct rollback *rollback;
  const struct rel *rel;
  const char *table;
  const PgQuery__AlterTableCmd *command;
  const char *words, *index; /* "TABLE", "INDEX"; the index's own name */
  struct rel *owner;         /* of the index */
  const PgQuery__AlterTableStmt *statement;
  size_t at; /* in its commands */
};

/* settings.c */
void undo_default(struct undo *undo);
void undo_statistics(struct undo *undo);
void undo_storage(struct undo *undo);
void undo_compression(struct undo *undo);
void undo_column_options(struct undo *undo);
void undo_options(struct undo *undo);
void undo_replica_identity(struct undo *undo);
void undo_cluster_mark(struct undo *undo);
void undo_row_security(struct undo *undo);
void undo_trigger(struct undo *undo);
void undo_all_triggers(struct undo *undo);
void undo_rule(struct undo *undo);
void undo_identity(struct undo *undo);
void undo_set_identity(struct undo *undo);
void undo_expression(struct undo *undo);
/* constraint.c */
void undo_add_constraint(struct undo *undo);
void undo_drop_constraint(struct undo *undo);
void undo_alter_constraint(struct undo *undo);
void undo_validate(struct undo *undo);

#endif
