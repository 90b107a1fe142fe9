/* forms/forms.h - the statement forms of PostgreSQL and what each does. One row per form in forms/forms.c, one file per family:
 *
 *   forms/alter.c    ALTER TABLE: a row per subcommand          forms/column.c   columns: ADD, DROP, TYPE, NULL, DEFAULT
 *   forms/constraint.c  constraints and partitions              forms/create.c   CREATE TABLE, INDEX, VIEW, …
 *   forms/reads.c    what a query reads, through views
 *   forms/drop.c     DROP, TRUNCATE, and what CASCADE reaches   forms/misc.c     everything else, DML included
 *
 * What a statement takes for granted, whatever its form, is looked at before: names.h, functions.h, objects.h, columns.h, values.h.
 *
 * A form reads its typed tree and the shadow, records locks, rewrites, scans, checks and facts in the effect, then changes the shadow. */
#ifndef AUTODB_FORMS_H
#define AUTODB_FORMS_H

#include "worker/migration/effect.h"
#include "worker/migration/shadow.h"

struct form { /* one statement under analysis */
  struct shadow *shadow;
  struct effect *effect;
  struct arena *arena;
};

/* Analyses the statement into effect (zeroed by the callee) and applies it to the shadow. */
void forms_apply(struct shadow *shadow, const struct sql_statement *statement, struct effect *ret_effect);

/* --- shared by the families --- */

void form_alter_table(struct form *form, PgQuery__Node *node);
void form_create_table(struct form *form, PgQuery__Node *node);
void form_create_as(struct form *form, PgQuery__Node *node);
void form_create_index(struct form *form, PgQuery__Node *node);
void form_create_view(struct form *form, PgQuery__Node *node);
void form_create_trigger(struct form *form, PgQuery__Node *node);
void form_create_sequence(struct form *form, PgQuery__Node *node);
void form_create_type(struct form *form, PgQuery__Node *node);
void form_create_function(struct form *form, PgQuery__Node *node);
void form_alter_function(struct form *form, PgQuery__Node *node);
void form_create_schema(struct form *form, PgQuery__Node *node);
void form_drop(struct form *form, PgQuery__Node *node);
void form_truncate(struct form *form, PgQuery__Node *node);
void form_rename(struct form *form, PgQuery__Node *node);
void form_set_schema(struct form *form, PgQuery__Node *node);
void form_on_table(struct form *form, PgQuery__Node *node); /* policies, rules, statistics, publications, comments, owners */
void form_grant(struct form *form, PgQuery__Node *node);
void form_domain(struct form *form, PgQuery__Node *node);
void form_enum(struct form *form, PgQuery__Node *node);
void form_sequence(struct form *form, PgQuery__Node *node);
void form_maintenance(struct form *form, PgQuery__Node *node); /* VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, LOCK */
void form_query(struct form *form, PgQuery__Node *node);       /* SELECT, INSERT, UPDATE, DELETE, MERGE, COPY */
void form_transaction(struct form *form, PgQuery__Node *node);
void form_set(struct form *form, PgQuery__Node *node);
void form_opaque(struct form *form, PgQuery__Node *node);              /* DO, CALL, EXECUTE */
void form_outside_transaction(struct form *form, PgQuery__Node *node); /* CREATE DATABASE, ALTER SYSTEM, … */

/* ALTER TABLE subcommands, in their files. `rel` is the target, locked already. */
struct alter {
  struct form *form;
  struct rel *rel;
  const PgQuery__AlterTableStmt *statement;
  bool only;
};
void alter_add_column(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_drop_column(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_column_type(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_column_default(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_set_not_null(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_drop_not_null(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_identity(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_set_expression(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_add_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_drop_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_validate_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_attach_partition(struct alter *alter, const PgQuery__AlterTableCmd *command);
void alter_detach_partition(struct alter *alter, const PgQuery__AlterTableCmd *command);

/* Locks the relation and, when `recurse`, its partitions; heirs: also the tables that inherit from it. */
void form_lock_heirs(struct form *form, struct rel *rel, enum lock_mode mode, bool recurse);
void form_lock_tree(struct form *form, struct rel *rel, enum lock_mode mode, bool recurse);
/* The same for scans, rewrites and index builds, which happen to relations with storage only: leaves. */
void form_scan_tree(struct form *form, struct rel *rel);
void form_rewrite_tree(struct form *form, struct rel *rel);
void form_build_tree(struct form *form, struct rel *rel);
void form_scan_heirs(struct form *form, struct rel *rel);
void form_rewrite_heirs(struct form *form, struct rel *rel);

/* The relation a statement names, recorded as its table; a missing one is a certain failure (42P01) unless missing_ok. */
struct rel *form_target(struct form *form, const PgQuery__RangeVar *range, bool missing_ok);
void form_fails(struct form *form, const char *sqlstate, const char *what, ...) PRINTF_LIKE(3, 4);
/* Verdict for a check over the rows of rel: proven when it has none, else `otherwise`. */
enum verdict form_verdict(const struct rel *rel, enum verdict otherwise);
struct snap_column *form_column(struct form *form, struct rel *rel, const char *name, bool missing_ok); /* 42703 when missing */

/* A constraint, added by ALTER TABLE, inline with a column, or by CREATE TABLE (rel->empty then). column NULL: its own key list. */
void form_constraint(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, const char *column, bool new_column_null);
/* A key over a partitioned table holds what it is partitioned by, at every level (0A000). */
void form_key_covers(struct form *form, const struct rel *rel, const char *const *columns, size_t count);
/* Certain failures for what can't be a parent of rel (42809, 42P07), or is none (42P01); for CHECKs the heir lacks (42804). */
void form_inheritable(struct form *form, const struct rel *parent, const struct rel *rel);
void form_inherits(struct form *form, const struct rel *parent, const struct rel *rel);
void form_same_checks(struct form *form, const struct rel *parent, const struct rel *rel);
/* The types of both sides of a foreign key compare (42804). */
void form_keys_compare(struct form *form, const struct rel *rel, const struct rel *ref, const char *const *columns,
                       const char *const *ref_columns, size_t count);
/* Storage parameters of tables that nobody knows (22023; reloptions.c, tables of heap). */
void form_storage_options(struct form *form, size_t count, PgQuery__Node *const *options);
/* Certain failures when the relation can't take a partition of that bound. */
void form_partitionable(struct form *form, const struct rel *parent, const PgQuery__PartitionBoundSpec *bound);
/* Relations a query reads (forms/reads.c): named only, run, or run with nothing to narrow it. view: what is made of the query, or NULL. */
enum form_reading { FORM_READ_NAMES, FORM_READ_SOME, FORM_READ_ALL };
void form_read(struct form *form, PgQuery__Node *query, enum form_reading how, struct rel *view);
bool form_reads_all(const PgQuery__Node *query); /* a SELECT of one relation that says nothing of which rows */
/* Sequences that nextval() of the expression names. */
void form_lock_sequences(struct form *form, PgQuery__Node *expression, enum lock_mode mode);
void form_default_of(struct form *form, const PgQuery__ColumnDef *definition);                     /* what a DEFAULT may not hold */
void form_add_column_to(struct form *form, struct rel *rel, const PgQuery__ColumnDef *definition); /* into the shadow only */

/* What goes, or must not be there, when an object is dropped (forms/drop.c). column NULL: the whole relation. */
void form_drop_dependents(struct form *form, struct rel *rel, const char *column, bool cascade);
void form_drop_relation(struct form *form, struct rel *rel, bool cascade);
/* Sequences owned by the table's columns (column NULL: by any). */
void form_each_owned(struct form *form, const struct rel *rel, const char *column, void (*visit)(struct form *, struct rel *));

/* Objects that read a relation or column, recorded as affected. */
void form_affects(struct form *form, struct rel *rel, const char *column, bool breaks);

#endif
