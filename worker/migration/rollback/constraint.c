/* rollback/constraint.c - the way back for constraints. */
#include "worker/migration/rollback/undo.h"

struct mentioned {
  const char *column;
  bool several;
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct mentioned *mentioned = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  const PgQuery__ColumnRef *ref = node->column_ref;
  const char *name = sql_node_string(ref->fields[ref->n_fields - 1]);
  if (name && mentioned->column && strcmp(mentioned->column, name) != 0) mentioned->several = true;
  if (name) mentioned->column = name;
  return false;
}

/* What the server makes a name of that was not given: of the constraint's columns, and of a CHECK's only one. */
struct made_name {
  const char **columns, *label;
  size_t count;
};

static bool makes_name(struct rollback *rollback, const PgQuery__Constraint *constraint, struct made_name *ret_name) {
  bool foreign = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN;
  size_t count = foreign ? constraint->n_fk_attrs : constraint->n_keys;
  struct mentioned mentioned = {0};
  *ret_name = (struct made_name){.columns = arena_calloc(rollback->arena, count + 1, sizeof *ret_name->columns), .count = count};
  for (size_t i = 0; ret_name->columns && i < count; i++)
    ret_name->columns[i] = sql_node_string(foreign ? constraint->fk_attrs[i] : constraint->keys[i]);
  switch (ret_name->columns ? constraint->contype : PG_QUERY__CONSTR_TYPE__CONSTR_TYPE_UNDEFINED) {
  case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY:
    ret_name->label = "pkey";
    ret_name->count = 0;
    return true;
  case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: ret_name->label = "fkey"; return true;
  case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE: ret_name->label = "key"; return true;
  case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
    sql_walk(constraint->raw_expr, see_column, &mentioned);
    ret_name->columns[0] = mentioned.column;
    ret_name->count = mentioned.column && !mentioned.several;
    ret_name->label = "check";
    return true;
  default: return false;
  }
}

static const char *given_name(const PgQuery__Constraint *constraint) {
  return sql_or_null(constraint->conname) ? constraint->conname : sql_or_null(constraint->indexname);
}

/* How many of the commands before this one take the name: those that were given it, or those for which the same is made first. */
static size_t takers(struct undo *undo, const char *name, bool given) {
  size_t count = 0;
  for (size_t i = 0; i < undo->at; i++) {
    const PgQuery__Node *node = undo->statement->cmds[i];
    const PgQuery__AlterTableCmd *command = node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD ? node->alter_table_cmd : NULL;
    struct made_name made;
    if (!command || !command->def || command->def->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) continue;
    const PgQuery__Constraint *constraint = command->def->constraint;
    const char *its = given_name(constraint);
    if ((its != NULL) != given) continue;
    if (!its && makes_name(undo->rollback, constraint, &made))
      its = shadow_name(undo->rollback->shadow, undo->rel, made.columns, made.count, made.label, 0);
    count += its && strcmp(its, name) == 0;
  }
  return count;
}

/* The shadow is as it was before the statement: what another part of it drops has left its name free, and parts before have taken some. */
static const char *free_name(struct undo *undo, const struct made_name *made) {
  struct rollback *rollback = undo->rollback;
  const char *name = shadow_name(rollback->shadow, undo->rel, made->columns, made->count, made->label, 0);
  size_t before = name ? takers(undo, name, false) : 0;
  for (size_t number = 0; name && number < SHADOW_NAMES; number++) {
    name = shadow_name(rollback->shadow, undo->rel, made->columns, made->count, made->label, number);
    bool dropped = name && rollback_is_dropped(rollback, rollback_part_key(rollback, "constraint", undo->rel, name));
    if (!name || (!dropped && shadow_name_taken(rollback->shadow, undo->rel, name)) || takers(undo, name, true)) continue;
    if (before-- == 0) break;
  }
  return name;
}

static const char *constraint_name(struct undo *undo, const PgQuery__Constraint *constraint) {
  const char *given = given_name(constraint);
  struct made_name made;
  return given ? given : makes_name(undo->rollback, constraint, &made) ? free_name(undo, &made) : NULL;
}

void undo_add_constraint(struct undo *undo) {
  if (!undo->command->def || undo->command->def->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) return;
  const PgQuery__Constraint *constraint = undo->command->def->constraint;
  struct rollback *rollback = undo->rollback;
  const char *name = constraint_name(undo, constraint);
  if (!name) {
    rollback_gone(rollback, "the constraint has no name of its own: give it one");
    return;
  }
  rollback_add(rollback, "ALTER TABLE %s DROP CONSTRAINT %s", undo->table, q(rollback, name));
  struct rel *owner = NULL;
  const struct snap_index *index =
      sql_or_null(constraint->indexname) ? shadow_index(rollback->shadow, undo->rel->t->schema, constraint->indexname, &owner) : NULL;
  if (index && *index->definition) rollback_add(rollback, "%s", index->definition);
  if (constraint->contype != PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY) return;
  size_t count = index ? index->column_count : constraint->n_keys;
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *column = snap_table_column(undo->rel->t, index ? index->columns[i] : sql_node_string(constraint->keys[i]));
    if (column && !column->not_null)
      rollback_add(rollback, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", undo->table, q(rollback, column->name));
  }
}

void undo_drop_constraint(struct undo *undo) {
  const char *name = undo->command->name, *key = rollback_part_key(undo->rollback, "constraint", undo->rel, name);
  rollback_note(undo->rollback, key, true); /* this far back in the statement it is there again */
  const struct snap_constraint *constraint = shadow_constraint(undo->rel, name);
  const struct snap_fk *fk = shadow_fk(undo->rel, name);
  bool cascade = undo->command->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  const struct source_statement *made = source_find(rollback_source(undo->rollback), SOURCE_MAKES, key);
  bool renamed =
      !rollback_original(undo->rollback, undo->rel) || strcmp(rollback_original(undo->rollback, undo->rel)->name, undo->rel->t->name) != 0;
  if (made && !renamed && made->node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) {
    struct source_keys gone = {0};
    source_push(undo->rollback->arena, &gone, key);
    rollback_recreate(undo->rollback, &gone, cascade);
    return;
  }
  if (cascade) rollback_gone(undo->rollback, "what CASCADE takes along is not rebuilt");
  const char *definition = fk                                      ? rollback_model_fk(undo->rollback, undo->rel, fk)
                           : constraint && *constraint->definition ? constraint->definition
                                                                   : NULL;
  if (!definition) {
    if (fk || constraint) rollback_gone(undo->rollback, "the definition of constraint %s is not recorded", name);
    return;
  }
  rollback_add(undo->rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(undo->rollback, name), definition);
  const struct source_statement *comment = source_find(rollback_source(undo->rollback), SOURCE_COMMENT, key);
  if (comment) rollback_add(undo->rollback, "%s", comment->text);
}

void undo_alter_constraint(struct undo *undo) {
  const char *name = undo->command->def ? undo->command->def->constraint->conname : NULL;
  const json_t *was = name ? rollback_member(rollback_rel_json(undo->rollback, undo->rel), "foreign_keys", name) : NULL;
  if (!was)
    rollback_gone(undo->rollback, "the constraint before is not recorded");
  else
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER CONSTRAINT %s %s", undo->table, q(undo->rollback, name),
                 !json_bool(was, "deferrable", false) ? "NOT DEFERRABLE"
                 : json_bool(was, "deferred", false)  ? "DEFERRABLE INITIALLY DEFERRED"
                                                      : "DEFERRABLE INITIALLY IMMEDIATE");
}

/* Only a constraint that was there before the migration has to become NOT VALID again. */
void undo_validate(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  const char *name = undo->command->name, *definition = json_str(rollback_member(json, "foreign_keys", name), "definition", NULL);
  if (!definition) definition = json_str(rollback_member(json, "checks", name), "definition", NULL);
  if (!definition || !strstr(definition, "NOT VALID")) return;
  rollback_add(undo->rollback, "ALTER TABLE %s DROP CONSTRAINT %s", undo->table, q(undo->rollback, name));
  rollback_add(undo->rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(undo->rollback, name), definition);
}
