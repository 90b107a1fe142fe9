/* rollback/model.c - objects from the snapshot's model: less than a dump knows, and what it lacks is said. */
#include "worker/migration/rollback/impl.h"

const char *rollback_model_fk(struct rollback *rollback, const struct rel *rel, const struct snap_fk *fk) {
  const json_t *table = rollback_rel_json(rollback, rel), *json = rollback_member(table, "foreign_keys", fk->name);
  const char *definition = json_str(json, "definition", NULL);
  if (definition) return definition;
  return arena_printf(
      rollback->arena, "FOREIGN KEY (%s) REFERENCES %s (%s) ON UPDATE %s ON DELETE %s%s",
      sql_ident_list(rollback->arena, fk->columns, fk->column_count), sql_qualified(rollback->arena, fk->ref_schema, fk->ref_table),
      sql_ident_list(rollback->arena, fk->ref_columns, fk->column_count), fk->on_update, fk->on_delete, fk->validated ? "" : " NOT VALID");
}

const char *rollback_model_column(struct rollback *rollback, const struct snap_column *column, const json_t *json, bool whole) {
  const char *text = arena_printf(rollback->arena, "%s %s", q(rollback, column->name), column->type);
  const char *collation = json_str(json, "collation", NULL);
  if (collation) text = arena_printf(rollback->arena, "%s COLLATE %s", text, collation);
  if (column->generated) {
    const char *kind = strcmp(json_str(json, "generated_kind", "stored"), "virtual") == 0 ? "VIRTUAL" : "STORED";
    return arena_printf(rollback->arena, "%s GENERATED ALWAYS AS (%s) %s", text, column->generated, kind);
  }
  if (column->identity)
    return arena_printf(rollback->arena, "%s GENERATED %s AS IDENTITY", text,
                        strcmp(column->identity, "always") == 0 ? "ALWAYS" : "BY DEFAULT");
  if (column->default_expr) text = arena_printf(rollback->arena, "%s DEFAULT %s", text, column->default_expr);
  return column->not_null && (whole || column->default_expr) ? arena_printf(rollback->arena, "%s NOT NULL", text) : text;
}

static bool uses_column(const char *const *columns, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (columns[i] && strcmp(columns[i], name) == 0) return true;
  return false;
}

static bool backs_constraint(const struct rel *rel, const struct snap_index *index) {
  for (size_t c = 0; c < rel->t->constraint_count; c++)
    if (rel->t->constraints[c].index && strcmp(rel->t->constraints[c].index, index->name) == 0) return true;
  return index->primary;
}

void rollback_model_keys(struct rollback *rollback, const struct rel *rel, const char *column) {
  const char *name = rollback_name(rollback, rel);
  for (size_t i = 0; i < rel->t->constraint_count; i++) {
    const struct snap_constraint *constraint = &rel->t->constraints[i];
    if (!*constraint->definition || constraint->type == 'n' ||
        (column && !uses_column(constraint->columns, constraint->column_count, column)))
      continue;
    rollback_add(rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", name, q(rollback, constraint->name), constraint->definition);
  }
  for (size_t i = 0; i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    bool wanted = !column || uses_column(index->columns, index->column_count, column);
    if (wanted && *index->definition && !backs_constraint(rel, index)) rollback_add(rollback, "%s", index->definition);
  }
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    if (column && !uses_column(fk->columns, fk->column_count, column)) continue;
    rollback_add(rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", name, q(rollback, fk->name), rollback_model_fk(rollback, rel, fk));
  }
}

void rollback_model_view(struct rollback *rollback, const struct rel *rel) {
  const char *definition = rel->t->definition;
  if (!definition) {
    rollback_gone(rollback, "the definition of %s is not recorded", rel->t->qualified);
    return;
  }
  size_t len = strlen(definition);
  while (len && (definition[len - 1] == ';' || definition[len - 1] == '\n' || definition[len - 1] == ' ')) len--;
  rollback_add(rollback, "CREATE %s %s AS %.*s", rel->t->kind == SNAP_MATVIEW ? "MATERIALIZED VIEW" : "OR REPLACE VIEW",
               rollback_name(rollback, rel), (int)len, definition);
  for (size_t i = 0; i < rel->t->index_count; i++)
    if (*rel->t->indexes[i].definition) rollback_add(rollback, "%s", rel->t->indexes[i].definition);
  if (rel->t->comment && *rel->t->comment)
    rollback_add(rollback, "COMMENT ON %s %s IS %s", rollback_rel_words(rel), rollback_name(rollback, rel),
                 sql_literal(rollback->arena, rel->t->comment));
}

void rollback_model_table(struct rollback *rollback, const struct rel *rel) {
  const char *columns = "", *name = rollback_name(rollback, rel);
  const json_t *json = rollback_rel_json(rollback, rel);
  for (size_t i = 0; i < rel->t->column_count; i++) {
    const struct snap_column *column = &rel->t->columns[i];
    columns = arena_printf(rollback->arena, "%s%s%s", columns, i ? ", " : "",
                           rollback_model_column(rollback, column, rollback_member(json, "columns", column->name), true));
  }
  if (!columns || !name) return;
  rollback_add(rollback, "CREATE %sTABLE %s (%s)%s%s", rel->t->unlogged ? "UNLOGGED " : "", name, columns,
               rel->t->partition_key ? " PARTITION BY " : "", rel->t->partition_key ? rel->t->partition_key : "");
  rollback_model_keys(rollback, rel, NULL);
  for (size_t i = 0; i < rel->t->trigger_count; i++) rollback_add(rollback, "%s", rel->t->triggers[i].definition);
  for (size_t i = 0; i < rel->t->policy_count; i++)
    if (strncmp(rel->t->policies[i].definition, "CREATE", 6) == 0) rollback_add(rollback, "%s", rel->t->policies[i].definition);
  if (rel->t->rls) rollback_add(rollback, "ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name);
  if (rel->t->comment && *rel->t->comment)
    rollback_add(rollback, "COMMENT ON TABLE %s IS %s", name, sql_literal(rollback->arena, rel->t->comment));
  if (rel->t->partition_of && rel->t->partition_bound) rollback_gone(rollback, "the partition is rebuilt detached");
}

/* The only function of that name, or NULL: the model tells overloads apart by text that need not be spelled the same. */
static const json_t *only_function(struct rollback *rollback, const char *key) {
  size_t index;
  const json_t *one, *found = NULL;
  json_array_foreach(json_object_get(rollback->before->json, "functions"), index, one) {
    const char *prefix = source_key_of(rollback->arena, "function", json_str(one, "schema", ""), json_str(one, "name", ""), NULL);
    size_t len = prefix ? strlen(prefix) : 0;
    if (!len || strncmp(prefix, key, len) != 0 || key[len] != '(') continue;
    if (found) return NULL;
    found = one;
  }
  return found;
}

static const char *function_options(struct rollback *rollback, const json_t *function) {
  const char *volatility = json_str(function, "volatility", "volatile"), *parallel = json_str(function, "parallel", "");
  return arena_printf(rollback->arena, "%s%s%s%s%s",
                      strcmp(volatility, "stable") == 0      ? " STABLE"
                      : strcmp(volatility, "immutable") == 0 ? " IMMUTABLE"
                                                             : "",
                      json_bool(function, "strict", false) ? " STRICT" : "", json_bool(function, "leakproof", false) ? " LEAKPROOF" : "",
                      json_bool(function, "security_definer", false) ? " SECURITY DEFINER" : "",
                      strcmp(parallel, "safe") == 0         ? " PARALLEL SAFE"
                      : strcmp(parallel, "restricted") == 0 ? " PARALLEL RESTRICTED"
                                                            : "");
}

void rollback_model_function(struct rollback *rollback, const char *key) {
  const json_t *function = only_function(rollback, key);
  const char *body = json_str(function, "body", NULL), *kind = json_str(function, "kind", "function");
  bool procedure = strcmp(kind, "procedure") == 0;
  if (!body || (!procedure && strcmp(kind, "function") != 0) || json_array_size(json_object_get(function, "settings"))) {
    rollback_gone(rollback, "the definition of the function is not recorded");
    return;
  }
  rollback_add(rollback, "CREATE OR REPLACE %s %s(%s)%s LANGUAGE %s%s AS %s", procedure ? "PROCEDURE" : "FUNCTION",
               sql_qualified(rollback->arena, json_str(function, "schema", NULL), json_str(function, "name", "")),
               json_str(function, "arguments", ""),
               procedure ? "" : arena_printf(rollback->arena, " RETURNS %s", json_str(function, "returns", "void")),
               q(rollback, json_str(function, "language", "sql")), procedure ? "" : function_options(rollback, function),
               sql_literal(rollback->arena, body));
}
