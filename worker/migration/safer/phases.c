/* safer/phases.c - what applications see: renames behind a view of the old name, type changes by a second column that a trigger keeps
 * current. In one deploy they would end where the original ends, but the point is to deploy in between: they are offered as phases. */
#include "common/json.h"
#include "worker/migration/safer/plan.h"
#include "worker/sql/text.h"

/* --- bridging views --- */

static const json_t *recorded(const struct safer_use *use, const struct rel *rel) {
  size_t index;
  json_t *table;
  json_array_foreach(json_object_get(use->plan->analysis->snapshot->json, "tables"), index,
                     table) if (strcmp(json_str(table, "name", ""), rel->t->name) == 0 &&
                                strcmp(json_str(table, "schema", ""), rel->t->schema) == 0) return table;
  return NULL;
}

/* The grantee of "grantee=arw/owner", which is quoted only where it holds odd characters; "" is PUBLIC. ret_rest: from the "=" on. */
static const char *grantee_of(struct arena *arena, const char *item, const char **ret_rest) {
  char *name = arena_strdup(arena, item);
  size_t len = 0;
  bool quoted = false;
  for (; name && *item && (quoted || *item != '='); item++) {
    bool doubled = quoted && item[0] == '"' && item[1] == '"';
    if (doubled) item++;
    if (*item == '"' && !doubled)
      quoted = !quoted;
    else
      name[len++] = *item;
  }
  if (name) name[len] = '\0';
  *ret_rest = item;
  return name;
}

/* What is granted, as words; NULL: nothing for a view. */
static const char *privileges_of(struct arena *arena, const char *letters) {
  static const struct {
    char letter;
    const char *word;
  } known[] = {{'r', "SELECT"}, {'a', "INSERT"}, {'w', "UPDATE"}, {'d', "DELETE"}};
  const char *words = NULL, *end = strchr(letters, '/');
  for (const char *c = letters; end && c < end; c++)
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (*c == known[i].letter) words = arena_printf(arena, "%s%s%s", words ? words : "", words ? ", " : "", known[i].word);
  return words;
}

/* Who may use the table may use the view. */
static void grant_view(struct safer_use *use, const struct rel *rel, const char *view) {
  struct arena *arena = use->plan->arena;
  size_t index;
  json_t *item;
  json_array_foreach(json_object_get(recorded(use, rel), "privileges"), index, item) {
    const char *letters = "", *role = json_is_string(item) ? grantee_of(arena, json_string_value(item), &letters) : NULL;
    const char *words = privileges_of(arena, letters);
    if (!role || !words || (rel->t->owner && strcmp(role, rel->t->owner) == 0)) continue;
    safer_add(use, SAFER_SAME, safer_brief, "GRANT %s ON %s TO %s", words, view, *role ? sql_ident(arena, role) : "PUBLIC");
  }
}

/* With security_invoker the caller's own rights and row policies hold behind the view, too. */
static void make_view(struct safer_use *use, const struct rel *rel, const char *view, const char *columns, const char *from) {
  bool invoker = use->plan->shadow->version >= 150000;
  safer_add(use, SAFER_SAME, safer_brief, "CREATE VIEW %s%s AS SELECT %s FROM %s", view, invoker ? " WITH (security_invoker = true)" : "",
            columns, from);
  grant_view(use, rel, view);
}

static bool bridgeable(const struct safer_use *use, const struct rel *rel) {
  if (!rel || rel->created || (rel->t->kind != SNAP_TABLE && rel->t->kind != SNAP_PARTITIONED) || rel->t->partition_of) return false;
  return use->plan->shadow->version >= 150000 || !rel->t->rls;
}

static bool bridge(struct safer_use *use, const struct rel *rel, const char *schema, const char *name) {
  struct arena *arena = use->plan->arena;
  const char *old = safer_table(use, rel);
  use->plan->phased = true;
  use->phase = SAFER_EXPAND;
  safer_add(use, SAFER_OWN, safer_brief, "%s", use->statement->source->text);
  make_view(use, rel, old, "*", sql_qualified(arena, schema, name));
  use->phase = SAFER_CONTRACT;
  safer_add(use, SAFER_OWN, safer_brief, "DROP VIEW %s", old);
  return true;
}

bool safer_rename_table(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__RenameStmt *statement = use->node->rename_stmt;
  const struct rel *rel = shadow_range(use->plan->shadow, statement->relation);
  if (statement->rename_type != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE || !bridgeable(use, rel)) return false;
  return bridge(use, rel, rel->t->schema, statement->newname);
}

bool safer_set_schema(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__AlterObjectSchemaStmt *statement = use->node->alter_object_schema_stmt;
  const struct rel *rel = shadow_range(use->plan->shadow, statement->relation);
  if (statement->object_type != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE || !bridgeable(use, rel)) return false;
  return bridge(use, rel, statement->newschema, rel->t->name);
}

/* Every column under its name, the renamed one under both. */
static const char *both_names(struct safer_use *use, const struct rel *rel, const char *from, const char *to) {
  const char *text = "";
  for (size_t i = 0; text && i < rel->t->column_count; i++) {
    const char *name = rel->t->columns[i].name;
    text = arena_printf(use->plan->arena, "%s%s%s", text, i ? ", " : "", safer_quote(use, strcmp(name, from) == 0 ? to : name));
  }
  return arena_printf(use->plan->arena, "%s, %s AS %s", text, safer_quote(use, to), safer_quote(use, from));
}

bool safer_rename_column(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__RenameStmt *statement = use->node->rename_stmt;
  const struct rel *rel = shadow_range(use->plan->shadow, statement->relation);
  bool column = statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN;
  if (!column || !bridgeable(use, rel) || !snap_table_column(rel->t, statement->subname)) return false;
  const char *columns = both_names(use, rel, statement->subname, statement->newname), *table = safer_table(use, rel);
  const char *aside = safer_name(use, rel->t->schema, rel->t->name, NULL, "base");
  const char *base = sql_qualified(use->plan->arena, rel->t->schema, aside);
  use->plan->phased = true;
  use->phase = SAFER_EXPAND;
  safer_add(use, SAFER_OWN, safer_brief, "%s", use->statement->source->text);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s RENAME TO %s", table, safer_quote(use, aside));
  make_view(use, rel, table, columns, base);
  use->phase = SAFER_CONTRACT;
  safer_add(use, SAFER_OWN, safer_brief, "DROP VIEW %s", table);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s RENAME TO %s", base, safer_quote(use, rel->t->name));
  return true;
}

/* --- another type --- */

struct changing {
  struct safer_use *use;
  const struct snap_column *column;
  const PgQuery__ColumnDef *definition;
  const char *quoted, *type, *value;   /* value: an expression over the table's columns */
  const char *fresh, *former, *marker; /* quoted names: the new column, the old one once swapped, trigger and function */
};

static PgQuery__Node *check_tree(struct safer_use *use, const struct snap_constraint *constraint) {
  const char *text = constraint->definition;
  return sql_parse_expression(use->plan->arena, strncmp(text, "CHECK ", 6) == 0 ? text + 6 : text);
}

static bool checks(struct safer_use *use, const struct snap_constraint *constraint, const char *column) {
  PgQuery__Node *tree = constraint->type == 'c' ? check_tree(use, constraint) : NULL;
  return tree && sql_mentions_column(tree, column);
}

/* Keys, constraints and generated columns would have to be moved as well. */
static bool is_tied(struct safer_use *use, const char *name) {
  const struct snap_table *table = use->rel->t;
  for (size_t i = 0; i < table->constraint_count; i++)
    if (list_has(table->constraints[i].columns, table->constraints[i].column_count, name) || checks(use, &table->constraints[i], name))
      return true;
  for (size_t i = 0; i < table->fk_count; i++)
    if (list_has(table->fks[i].columns, table->fks[i].column_count, name)) return true;
  for (size_t i = 0; i < table->referenced_by_count; i++)
    if (list_has(table->referenced_by[i]->ref_columns, table->referenced_by[i]->column_count, name)) return true;
  for (size_t i = 0; i < table->column_count; i++) {
    PgQuery__Node *tree = table->columns[i].generated ? sql_parse_expression(use->plan->arena, table->columns[i].generated) : NULL;
    if (tree && sql_mentions_column(tree, name)) return true;
  }
  return false;
}

static const char *free_column(struct safer_use *use, const char *name, const char *label) {
  const char *chosen = safer_name(use, use->rel->t->schema, name, NULL, label);
  for (int i = 1; i < 100 && snap_table_column(use->rel->t, chosen); i++)
    chosen = safer_name(use, use->rel->t->schema, name, NULL, arena_printf(use->plan->arena, "%s%d", label, i));
  return chosen;
}

/* The index over the new column: the same definition with another name and column; NULL when an expression or predicate is in the way. */
static const char *second_index(struct changing *changing, const struct snap_index *index, const char *name) {
  struct safer_use *use = changing->use;
  PgQuery__Node *node = sql_parse_statement(use->plan->arena, index->definition);
  if (!node || node->node_case != PG_QUERY__NODE__NODE_INDEX_STMT) return NULL;
  PgQuery__IndexStmt *statement = node->index_stmt;
  if (statement->where_clause && sql_mentions_column(statement->where_clause, changing->column->name)) return NULL;
  const char *fresh = changing->fresh;
  for (size_t i = 0; i < statement->n_index_params + statement->n_index_including_params; i++) {
    bool key = i < statement->n_index_params;
    PgQuery__IndexElem *element =
        (key ? statement->index_params[i] : statement->index_including_params[i - statement->n_index_params])->index_elem;
    if (element->expr && sql_mentions_column(element->expr, changing->column->name)) return NULL;
    if (strcmp(element->name, changing->column->name) == 0) element->name = (char *)(uintptr_t)fresh;
  }
  statement->idxname = (char *)(uintptr_t)name;
  statement->concurrent = true;
  return sql_statement_text(use->plan->arena, node);
}

static bool touches(struct changing *changing, const struct snap_index *index) {
  if (list_has(index->columns, index->column_count, changing->column->name)) return true;
  PgQuery__Node *node = *index->definition ? sql_parse_statement(changing->use->plan->arena, index->definition) : NULL;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_INDEX_STMT) return true; /* can't tell: then it can't be rebuilt either */
  for (size_t i = 0; i < node->index_stmt->n_index_including_params; i++)
    if (strcmp(node->index_stmt->index_including_params[i]->index_elem->name, changing->column->name) == 0) return true;
  for (size_t i = 0; i < node->index_stmt->n_index_params; i++)
    if (node->index_stmt->index_params[i]->index_elem->expr &&
        sql_mentions_column(node->index_stmt->index_params[i]->index_elem->expr, changing->column->name))
      return true;
  return node->index_stmt->where_clause && sql_mentions_column(node->index_stmt->where_clause, changing->column->name);
}

static bool write_indexes(struct changing *changing) {
  struct safer_use *use = changing->use;
  const struct snap_table *table = use->rel->t;
  for (size_t i = 0; i < table->index_count; i++) {
    const struct snap_index *index = &table->indexes[i];
    if (!touches(changing, index)) continue;
    const char *name = safer_name(use, table->schema, index->name, NULL, "new"), *text = second_index(changing, index, name);
    if (!text) return false;
    safer_add(use, SAFER_OUTSIDE, safer_outside, "%s", text);
    use->phase = SAFER_CONTRACT;
    safer_add(use, SAFER_OWN, safer_brief, "ALTER INDEX %s RENAME TO %s", sql_qualified(use->plan->arena, table->schema, name),
              safer_quote(use, index->name));
    use->phase = SAFER_BACKFILL;
  }
  return true;
}

static void write_bridge(struct changing *changing) {
  struct safer_use *use = changing->use;
  const char *table = safer_quote(use, use->rel->t->name),
             *function = sql_qualified(use->plan->arena, use->rel->t->schema, changing->marker);
  const char *collation = "";
  if (changing->definition->coll_clause) {
    const PgQuery__CollateClause *clause = changing->definition->coll_clause;
    const char *schema, *name;
    sql_name_split(clause->n_collname, clause->collname, &schema, &name);
    collation = arena_printf(use->plan->arena, " COLLATE %s", sql_qualified(use->plan->arena, schema, name ? name : ""));
  }
  use->phase = SAFER_EXPAND;
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ADD COLUMN %s %s%s", use->table, safer_quote(use, changing->fresh), changing->type,
            collation);
  safer_add(use, SAFER_SAME, safer_brief,
            "CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $bridge$\n#variable_conflict use_column\nBEGIN\n  SELECT %s INTO "
            "NEW.%s FROM (SELECT NEW.*) AS %s;\n  RETURN NEW;\nEND\n$bridge$",
            function, changing->value, safer_quote(use, changing->fresh), table);
  safer_add(use, SAFER_SAME, safer_brief, "CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
            safer_quote(use, changing->marker), use->table, function);
}

static void write_switch(struct changing *changing) {
  struct safer_use *use = changing->use;
  const struct snap_column *column = changing->column;
  struct arena *arena = use->plan->arena;
  use->phase = SAFER_SWITCH;
  safer_add(use, SAFER_OWN, safer_brief, "DROP TRIGGER %s ON %s", safer_quote(use, changing->marker), use->table);
  safer_add(use, SAFER_SAME, safer_brief, "DROP FUNCTION %s()", sql_qualified(arena, use->rel->t->schema, changing->marker));
  if (column->not_null)
    safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", use->table, changing->quoted);
  if (column->default_expr)
    safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", use->table, safer_quote(use, changing->fresh),
              column->default_expr);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s RENAME COLUMN %s TO %s", use->table, changing->quoted,
            safer_quote(use, changing->former));
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s RENAME COLUMN %s TO %s", use->table, safer_quote(use, changing->fresh),
            changing->quoted);
  if (column->comment && *column->comment)
    safer_add(use, SAFER_SAME, safer_brief, "COMMENT ON COLUMN %s.%s IS %s", use->table, changing->quoted,
              sql_literal(arena, column->comment));
}

static bool prepare_change(struct changing *changing) {
  struct safer_use *use = changing->use;
  struct arena *arena = use->plan->arena;
  const char *name = use->command->name;
  changing->column = snap_table_column(use->rel->t, name);
  if (!changing->column || changing->column->identity || changing->column->generated || is_tied(use, name)) return false;
  if (use->rel->t->kind != SNAP_TABLE || use->rel->t->partition_of || !safer_has_key(use->rel)) return false;
  if (changing->column->default_expr && strstr(changing->column->default_expr, "nextval("))
    return false; /* its sequence goes with the column */
  changing->definition = use->command->def->column_def;
  changing->type = sql_type(arena, changing->definition->type_name);
  changing->quoted = safer_quote(use, name);
  changing->value = changing->definition->raw_default ? sql_expression(arena, changing->definition->raw_default) : changing->quoted;
  changing->fresh = free_column(use, name, "new");
  changing->former = free_column(use, name, "old");
  changing->marker = safer_name(use, use->rel->t->schema, arena_printf(arena, "zz_%s", use->rel->t->name), name, "bridge");
  return changing->type && changing->value && !strstr(changing->value, "$bridge$");
}

bool safer_change_type(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  if (!use->command->def || use->command->def->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF || !use->alter->relation->inh) return false;
  struct changing changing = {.use = use};
  if (!prepare_change(&changing)) return false;
  const char *fresh = safer_quote(use, changing.fresh);
  write_bridge(&changing);
  use->phase = SAFER_BACKFILL;
  if (!safer_backfill(use, use->rel, arena_printf(use->plan->arena, "%s = %s", fresh, changing.value),
                      arena_printf(use->plan->arena, "%s IS NULL", fresh)))
    return false;
  if (changing.column->not_null) safer_prove_not_null(use, use->rel, changing.fresh);
  use->phase = SAFER_CONTRACT;
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s DROP COLUMN %s", use->table, safer_quote(use, changing.former));
  use->phase = SAFER_BACKFILL;
  if (!write_indexes(&changing)) return false;
  write_switch(&changing);
  use->plan->phased = use->plan->reordered = true;
  return true;
}

/* Only a CHECK is in the way: it is put back unproved with the type, and proved afterwards. */
bool safer_recheck_type(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const char *text = safer_command(use, use->command);
  const struct snap_table *table = use->rel->t;
  if (!text || table->kind != SNAP_TABLE || table->partition_of) return false;
  bool first = true;
  for (int round = 0; round < 3; round++) {
    if (round == 1) safer_add(use, first ? SAFER_OWN : SAFER_SAME, safer_brief, "%s", text);
    for (size_t i = 0; i < table->constraint_count; i++) {
      const struct snap_constraint *constraint = &table->constraints[i];
      if (!constraint->validated || !checks(use, constraint, use->command->name)) continue;
      const char *name = safer_quote(use, constraint->name);
      if (round == 0) safer_add(use, first ? SAFER_OWN : SAFER_SAME, safer_brief, "ALTER TABLE %s DROP CONSTRAINT %s", use->table, name);
      if (round == 1)
        safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", use->table, name, constraint->definition);
      if (round == 2) safer_add(use, SAFER_OWN, safer_reads, "ALTER TABLE %s VALIDATE CONSTRAINT %s", use->table, name);
      first = false;
    }
  }
  return !first;
}
