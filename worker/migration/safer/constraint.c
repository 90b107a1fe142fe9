/* safer/constraint.c - constraints: added unproved, proved under a lock that stops nobody; keys from indexes built concurrently. */
#include "worker/migration/safer/plan.h"
#include "worker/sql/text.h"

static const char *const *key_names(struct safer_use *use, size_t count, PgQuery__Node *const *keys, const char *column,
                                    size_t *ret_count) {
  size_t number = count ? count : column ? 1 : 0;
  const char **names = arena_calloc(use->plan->arena, number + 1, sizeof *names);
  *ret_count = names ? number : 0;
  for (size_t i = 0; names && i < number; i++) names[i] = count ? sql_node_string(keys[i]) : column;
  return names;
}

/* --- CHECK and FOREIGN KEY --- */

struct mentioned {
  const struct rel *rel;
  const char *extra; /* a column being added */
  const char *first;
  bool several;
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct mentioned *seen = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || !node->column_ref->n_fields) return true;
  const char *name = sql_node_string(node->column_ref->fields[node->column_ref->n_fields - 1]);
  bool ours = name && (snap_table_column(seen->rel->t, name) || (seen->extra && strcmp(seen->extra, name) == 0));
  if (ours && seen->first && strcmp(seen->first, name) != 0) seen->several = true;
  if (ours && !seen->first) seen->first = name;
  return true;
}

/* The one column a CHECK speaks of is part of the name the server gives it. */
static const char *check_name(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column) {
  struct mentioned seen = {.rel = use->rel, .extra = column};
  sql_walk(constraint->raw_expr, see_column, &seen);
  return safer_name(use, use->rel->t->schema, use->rel->t->name, seen.several ? NULL : seen.first, "check");
}

static bool prove_later(struct safer_use *use, const PgQuery__Constraint *constraint, const char *name) {
  PgQuery__Constraint copy = *constraint;
  copy.conname = arena_strdup(use->plan->arena, name);
  copy.skip_validation = true;
  copy.initially_valid = false;
  const char *text = copy.conname ? safer_constraint(use, &copy) : NULL;
  if (!text) return false;
  safer_add(use, SAFER_OWN, safer_brief, "%s", text);
  safer_add(use, SAFER_OWN, safer_reads, "ALTER TABLE %s VALIDATE CONSTRAINT %s", use->table, safer_quote(use, name));
  return true;
}

static bool write_check(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column) {
  const char *name = sql_or_null(constraint->conname) ? constraint->conname : check_name(use, constraint, column);
  return prove_later(use, constraint, name);
}

static bool write_foreign_key(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column) {
  if (use->rel->t->kind == SNAP_PARTITIONED && use->plan->shadow->version < 180000) return false; /* NOT VALID is refused */
  PgQuery__Constraint copy = *constraint;
  PgQuery__Node key = PG_QUERY__NODE__INIT, *keys[] = {&key};
  PgQuery__String text = PG_QUERY__STRING__INIT;
  if (!copy.n_fk_attrs && column) {
    text.sval = arena_strdup(use->plan->arena, column);
    key.node_case = PG_QUERY__NODE__NODE_STRING;
    key.string = &text;
    copy.n_fk_attrs = 1;
    copy.fk_attrs = keys;
  }
  size_t count;
  const char *const *names = key_names(use, copy.n_fk_attrs, copy.fk_attrs, NULL, &count);
  if (!names || !count) return false;
  const char *name = sql_or_null(copy.conname)
                         ? copy.conname
                         : safer_name(use, use->rel->t->schema, use->rel->t->name, safer_joined(use->plan->arena, names, count), "fkey");
  return prove_later(use, &copy, name);
}

/* --- UNIQUE and PRIMARY KEY --- */

static void prove_columns(struct safer_use *use, const struct rel *rel, const char *const *columns, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *column = snap_table_column(rel->t, columns[i]);
    if (column && !column->not_null) safer_prove_not_null(use, rel, columns[i]);
  }
}

/* The index a key rests on, in the words of CREATE INDEX. */
static const char *index_of_key(struct safer_use *use, const PgQuery__Constraint *constraint, const char *const *columns, size_t count,
                                const char *name) {
  struct arena *arena = use->plan->arena;
  size_t included;
  const char *const *more = key_names(use, constraint->n_including, constraint->including, NULL, &included);
  const char *text = arena_printf(arena, "CREATE UNIQUE INDEX CONCURRENTLY %s ON %s (%s)", safer_quote(use, name), use->table,
                                  sql_ident_list(arena, columns, count));
  if (included) text = arena_printf(arena, "%s INCLUDE (%s)", text, sql_ident_list(arena, more, included));
  if (constraint->nulls_not_distinct) text = arena_printf(arena, "%s NULLS NOT DISTINCT", text);
  if (sql_or_null(constraint->indexspace)) text = arena_printf(arena, "%s TABLESPACE %s", text, safer_quote(use, constraint->indexspace));
  return text;
}

static const char *deferral(const PgQuery__Constraint *constraint) {
  return constraint->initdeferred ? " DEFERRABLE INITIALLY DEFERRED" : constraint->deferrable ? " DEFERRABLE" : "";
}

static bool write_key(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column) {
  bool primary = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY;
  size_t count;
  const char *const *columns = key_names(use, constraint->n_keys, constraint->keys, column, &count);
  if (use->rel->t->kind == SNAP_PARTITIONED || constraint->n_options || sql_or_null(constraint->indexname) || !columns || !count)
    return false;
  const char *named = sql_or_null(constraint->conname);
  size_t included;
  const char *const *more = key_names(use, constraint->n_including, constraint->including, NULL, &included);
  const char *joined = safer_joined(use->plan->arena, columns, count);
  if (included) joined = arena_printf(use->plan->arena, "%s_%s", joined, safer_joined(use->plan->arena, more, included));
  const char *name =
      named ? named : safer_name(use, use->rel->t->schema, use->rel->t->name, primary ? NULL : joined, primary ? "pkey" : "key");
  const char *index = index_of_key(use, constraint, columns, count, name);
  if (!index) return false;
  if (primary) prove_columns(use, use->rel, columns, count);
  safer_add(use, SAFER_OUTSIDE, safer_outside, "%s", index);
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ADD CONSTRAINT %s %s USING INDEX %s%s", use->table, safer_quote(use, name),
            primary ? "PRIMARY KEY" : "UNIQUE", safer_quote(use, name), deferral(constraint));
  return true;
}

bool safer_write_constraint(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column) {
  switch (constraint->contype) {
  case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK: return write_check(use, constraint, column);
  case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: return write_foreign_key(use, constraint, column);
  case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
  case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY: return write_key(use, constraint, column);
  default: return false; /* an exclusion constraint can't be built online */
  }
}

bool safer_add_constraint(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__Node *definition = use->command->def;
  if (!definition || definition->node_case != PG_QUERY__NODE__NODE_CONSTRAINT || definition->constraint->skip_validation) return false;
  return safer_write_constraint(use, definition->constraint, NULL);
}

/* --- the hidden scans --- */

bool safer_primary_key_index(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  struct rel *owner = NULL;
  const PgQuery__Constraint *constraint = use->command->def->constraint;
  const struct snap_index *index = shadow_index(use->plan->shadow, use->rel->t->schema, constraint->indexname, &owner);
  const char *text = safer_command(use, use->command);
  if (!index || owner != use->rel || !text) return false;
  prove_columns(use, use->rel, index->columns, index->column_count);
  safer_add(use, SAFER_OWN, safer_brief, "%s", text);
  return true;
}

bool safer_set_not_null(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  if (use->plan->shadow->version < 120000 || !use->alter->relation->inh) return false;
  safer_prove_not_null(use, use->rel, use->command->name);
  return true;
}

bool safer_alone(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const char *text = use->command ? safer_command(use, use->command) : use->statement->source->text;
  if (!text || use->statement->effect.transaction != TX_ANY) return false;
  safer_add(use, SAFER_OWN, "in a transaction of its own: no lock of an earlier statement is held meanwhile", "%s", text);
  return true;
}
