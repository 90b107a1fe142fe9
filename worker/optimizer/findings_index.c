/* findings_index.c - the index a finding advises, by what its conditions ask: without having tried it. */
#include <string.h>

#include "worker/optimizer/finding_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

struct advised {
  const struct finding_view *view;
  const struct plan_node *node;
  struct name_list names; /* of the keys */
  const char *keys;       /* as text; NULL none yet */
  const char *predicate, *predicate_column;
  const char *within; /* a column asked for what it contains */
};

static const char *joined(struct arena *arena, const char *list, const char *by, const char *one) {
  return list ? arena_printf(arena, "%s%s%s", list, by, one) : one;
}

/* tail: "", " DESC", " text_pattern_ops" */
static void add_key(struct advised *index, const char *column, const char *tail) {
  struct arena *arena = index->view->arena;
  if (list_has(index->names.items, index->names.count, column)) return;
  const char **slot = LIST_PUSH(arena, &index->names), *name = sql_ident(arena, column);
  if (!slot || !name) return;
  *slot = column;
  index->keys = joined(arena, index->keys, ", ", arena_printf(arena, "%s%s", name, tail));
}

static void add_predicate(struct advised *index, const struct condition *one, const char *form) {
  struct arena *arena = index->view->arena;
  const char *name = sql_ident(arena, one->column), *not = one->expression->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR ? "NOT " : "";
  index->predicate = joined(arena, index->predicate, " AND ", arena_printf(arena, "%s%s%s", not, name ? name : "", form));
  index->predicate_column = one->column;
}

/* What goes first, and what bounds the rows as a whole. */
static void take_equal(struct advised *index, const struct condition *one) {
  switch (one->kind) {
  case CONDITION_EQUAL:
  case CONDITION_IN: add_key(index, one->column, ""); return;
  case CONDITION_TRUE: add_predicate(index, one, ""); return;
  case CONDITION_NULL:
    if (one->expression->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL)
      add_key(index, one->column, "");
    else
      add_predicate(index, one, " IS NOT NULL");
    return;
  case CONDITION_CONTAINS: index->within = one->column; return;
  default: return;
  }
}

static void take_range(struct advised *index, const struct condition_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    const struct condition *one = &list->items[i];
    if (one->kind != CONDITION_RANGE && one->kind != CONDITION_PREFIX) continue;
    add_key(index, one->column, one->kind == CONDITION_PREFIX ? " text_pattern_ops" : "");
    return;
  }
}

/* "o.placed_at DESC NULLS LAST": the column, and what follows it. */
static void take_order(struct advised *index, const struct plan_node *sort) {
  for (size_t i = 0; i < sort->sort_key_count; i++) {
    const char *key = sort->sort_key[i], *tail = strstr(key, " DESC");
    if (!tail) tail = strstr(key, " NULLS ");
    if (!tail) tail = key + strlen(key);
    struct name_list columns = {0};
    const char *bare = arena_printf(index->view->arena, "%.*s", (int)(tail - key), key);
    PgQuery__Node *expression = bare ? sql_parse_expression(index->view->arena, bare) : NULL;
    if (expression) condition_columns(index->view->arena, expression, &columns);
    if (columns.count != 1) return;
    add_key(index, columns.items[0], tail);
  }
}

static const char *relation_of(const struct advised *index) {
  const struct plan_node *node = index->node;
  return node->table ? sql_qualified(index->view->arena, node->table->schema, node->table->name)
                     : sql_qualified(index->view->arena, node->schema, node->relation);
}

static const char *method_within(const struct advised *index) {
  const struct snap_column *column = index->node->table ? snap_table_column(index->node->table, index->within) : NULL;
  return column && strstr(column->type, "range") ? "gist" : "gin";
}

bool finding_index(const struct finding_view *view, struct finding *finding, const struct plan_node *node, const char *conditions,
                   const struct plan_node *sort) {
  struct advised index = {.view = view, .node = node};
  struct condition_list list = {0};
  conditions_read(view->arena, conditions, &list);
  for (size_t i = 0; i < list.count; i++)
    if (condition_is_indexable(&list.items[i])) take_equal(&index, &list.items[i]);
  if (sort)
    take_order(&index, sort);
  else
    take_range(&index, &list);
  const char *relation = node->relation ? relation_of(&index) : NULL, *method = "";
  if (!index.keys && index.within) {
    method = arena_printf(view->arena, "USING %s ", method_within(&index));
    add_key(&index, index.within, "");
  }
  if (!index.keys && index.predicate) add_key(&index, index.predicate_column, "");
  if (!index.keys || !relation) return false;
  finding_advise(view, finding, "CREATE INDEX CONCURRENTLY ON %s %s(%s)%s%s", relation, method ? method : "", index.keys,
                 index.predicate ? " WHERE " : "", index.predicate ? index.predicate : "");
  finding->indexed = plan_relation(view->plan, node);
  return true;
}
