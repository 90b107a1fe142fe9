/* safer/index.c - indexes and materialised views: what PostgreSQL can do CONCURRENTLY. */
#include "worker/migration/safer/plan.h"
#include "worker/sql/text.h"

/* --- CREATE INDEX --- */

/* What the server calls a key in an index's name; NULL when that is not easily told. */
static const char *key_name(const PgQuery__IndexElem *element) {
  if (sql_or_null(element->name)) return element->name;
  const char *schema, *name;
  const PgQuery__Node *expression = element->expr;
  if (!expression || expression->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return expression ? "expr" : NULL;
  sql_name_split(expression->func_call->n_funcname, expression->func_call->funcname, &schema, &name);
  return name;
}

static const char *joined_keys(struct safer_use *use, const PgQuery__IndexStmt *statement) {
  const char **names = arena_calloc(use->plan->arena, statement->n_index_params + statement->n_index_including_params + 1, sizeof *names);
  size_t count = 0;
  for (size_t i = 0; names && i < statement->n_index_params; i++) {
    names[count] = key_name(statement->index_params[i]->index_elem);
    if (!names[count++]) return NULL;
  }
  for (size_t i = 0; names && i < statement->n_index_including_params; i++)
    names[count++] = statement->index_including_params[i]->index_elem->name;
  return names ? safer_joined(use->plan->arena, names, count) : NULL;
}

static const char *index_text(struct safer_use *use, const PgQuery__IndexStmt *statement) {
  PgQuery__IndexStmt copy = *statement;
  PgQuery__Node node = PG_QUERY__NODE__INIT;
  node.node_case = PG_QUERY__NODE__NODE_INDEX_STMT;
  node.index_stmt = &copy;
  return sql_statement_text(use->plan->arena, &node);
}

struct building {
  struct safer_use *use;
  PgQuery__IndexStmt statement; /* the user's, its table and name changed at each level */
  PgQuery__RangeVar range;
  const char *keys;
};

static bool set_target(struct building *building, const struct rel *rel, const char *name, bool only, bool concurrent) {
  struct arena *arena = building->use->plan->arena;
  building->range = *building->statement.relation;
  building->range.schemaname = arena_strdup(arena, rel->t->schema);
  building->range.relname = arena_strdup(arena, rel->t->name);
  building->range.inh = !only;
  building->statement.relation = &building->range;
  building->statement.idxname = arena_strdup(arena, name);
  building->statement.concurrent = concurrent;
  return building->range.schemaname && building->range.relname && building->statement.idxname;
}

/* The parent's index is made invalid and empty, becomes valid when the last partition's is attached. */
static bool build_tree(struct building *building, const struct rel *rel, const char *name, int depth) {
  struct safer_use *use = building->use;
  bool partitioned = rel->t->kind == SNAP_PARTITIONED;
  if (depth > 16 || rel->t->kind == SNAP_FOREIGN || !set_target(building, rel, name, partitioned, !partitioned)) return false;
  const char *text = index_text(use, &building->statement);
  if (!text) return false;
  safer_add(use, partitioned ? SAFER_OWN : SAFER_OUTSIDE, partitioned ? safer_brief : safer_outside, "%s", text);
  for (size_t i = 0; partitioned && i < rel->t->partition_count; i++) {
    const struct rel *part = shadow_of(use->plan->shadow, rel->t->partitions[i]);
    if (!part) return false;
    const char *child = safer_name(use, part->t->schema, part->t->name, building->keys, "idx");
    if (!build_tree(building, part, child, depth + 1)) return false;
    safer_add(use, SAFER_OWN, safer_brief, "ALTER INDEX %s ATTACH PARTITION %s", sql_qualified(use->plan->arena, rel->t->schema, name),
              sql_qualified(use->plan->arena, part->t->schema, child));
  }
  return true;
}

bool safer_create_index(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__IndexStmt *statement = use->node->index_stmt;
  const struct rel *rel = shadow_range(use->plan->shadow, statement->relation);
  const char *keys = joined_keys(use, statement);
  if (!rel || !keys || statement->concurrent) return false;
  if (rel->t->kind == SNAP_PARTITIONED && !statement->relation->inh) return false; /* ON ONLY: nothing is built */
  const char *name = sql_or_null(statement->idxname) ? statement->idxname : safer_name(use, rel->t->schema, rel->t->name, keys, "idx");
  struct building building = {.use = use, .statement = *statement, .keys = keys};
  return build_tree(&building, rel, name, 0);
}

/* --- DROP INDEX, REINDEX --- */

static bool backs_constraint(const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].index && strcmp(rel->t->constraints[i].index, name) == 0) return true;
  return false;
}

bool safer_drop_index(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__DropStmt *statement = use->node->drop_stmt;
  if (statement->concurrent || statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) return false;
  for (size_t i = 0; i < statement->n_objects; i++) {
    const PgQuery__Node *object = statement->objects[i];
    struct rel *rel = NULL;
    const char *schema, *name;
    if (object->node_case != PG_QUERY__NODE__NODE_LIST) return false;
    sql_name_split(object->list->n_items, object->list->items, &schema, &name);
    if (!name) return false;
    if (!shadow_index(use->plan->shadow, schema, name, &rel) && !statement->missing_ok) return false;
    if (rel && (rel->t->kind == SNAP_PARTITIONED || rel->t->partition_of || backs_constraint(rel, name))) return false;
  }
  for (size_t i = 0; i < statement->n_objects; i++) {
    const char *schema, *name;
    sql_name_split(statement->objects[i]->list->n_items, statement->objects[i]->list->items, &schema, &name);
    safer_add(use, SAFER_OUTSIDE, safer_outside, "DROP INDEX CONCURRENTLY %s%s", statement->missing_ok ? "IF EXISTS " : "",
              sql_qualified(use->plan->arena, schema, name));
  }
  return true;
}

/* Concurrently, indexes of exclusion constraints are passed over. */
static bool has_exclusion(const struct rel *rel) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].type == 'x') return true;
  return false;
}

bool safer_reindex(struct safer_use *use, const struct effect_fact *fact) {
  const PgQuery__ReindexStmt *statement = use->node->reindex_stmt;
  bool table = statement->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE;
  if (!table && statement->kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX) return false;
  if (statement->n_params || !statement->relation || !fact->rel || has_exclusion(fact->rel)) return false;
  safer_add(use, SAFER_OUTSIDE, safer_outside, "REINDEX %s CONCURRENTLY %s", table ? "TABLE" : "INDEX",
            sql_qualified(use->plan->arena, sql_or_null(statement->relation->schemaname), statement->relation->relname));
  return true;
}

/* --- REFRESH --- */

bool safer_refresh(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__RefreshMatViewStmt *statement = use->node->refresh_mat_view_stmt;
  const struct rel *rel = shadow_range(use->plan->shadow, statement->relation);
  if (!rel || statement->skip_data || statement->concurrent) return false;
  bool unique = false;
  for (size_t i = 0; !unique && i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    unique = index->unique && index->valid && !index->predicate && index->column_count > 0;
    for (size_t c = 0; unique && c < index->column_count; c++) unique = snap_table_column(rel->t, index->columns[c]) != NULL;
  }
  if (!unique) return false;
  safer_add(use, SAFER_OWN, "the view can be read meanwhile", "REFRESH MATERIALIZED VIEW CONCURRENTLY %s", safer_table(use, rel));
  return true;
}
