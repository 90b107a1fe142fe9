/* write_scope.c - which tables a SELECT joins, and under which names. */
#include <stdint.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

static bool taken(const struct scope *scope, const char *alias) {
  for (; scope; scope = scope->outer)
    for (size_t i = 0; i < scope->count; i++)
      if (scope->nodes[i].alias && strcmp(scope->nodes[i].alias, alias) == 0) return true;
  return false;
}

/* The initials of a table's words: "order_items" is oi. */
static const char *new_alias(struct scope *scope, size_t table) {
  struct study *study = scope->study;
  char initials[NAME_WORDS + 1] = "t";
  size_t n = 0;
  for (size_t i = 0; i < study->names.table_counts[table] && n < NAME_WORDS; i++) {
    char c = study->names.table_words[table][i]->text[0];
    if (c >= 'a' && c <= 'z') initials[n++] = c;
  }
  if (n) initials[n] = '\0';
  const char *alias = arena_strdup(study->arena, initials);
  for (int k = 2; alias && (taken(scope, alias) || strcmp(sql_ident(study->arena, alias), alias) != 0); k++)
    alias = arena_printf(study->arena, "%s%d", initials, k);
  return alias;
}

bool scope_open(struct scope *scope, struct study *study, struct scope *outer, size_t root) {
  *scope = (struct scope){.study = study, .outer = outer, .where = ""};
  scope->nodes[0] = (struct node){.table = root, .alias = new_alias(scope, root)};
  scope->count = 1;
  return scope->nodes[0].alias != NULL;
}

static const char *role_name(struct study *study, const struct join_edge *edge) {
  return arena_printf(study->arena, "%s.%s", study_table(study, edge->from)->name, edge->from_columns[0]);
}

bool scope_route(struct scope *scope, size_t table, const struct join_edge *role, struct join_path *ret_path) {
  struct study *study = scope->study;
  size_t root = scope->nodes[0].table;
  if (table == root && !role) {
    *ret_path = (struct join_path){.count = 0};
    return true;
  }
  if (!joins_path(&study->graph, root, table, role, study->arena, ret_path)) {
    study_doubt(study, NULL, "%s and %s are not connected by a foreign key. How do they belong together?",
                study_table(study, root)->qualified, study_table(study, table)->qualified);
    return false;
  }
  if (ret_path->rival) {
    const struct join_edge *used = NULL;
    for (size_t i = 0; i < ret_path->count; i++)
      if (ret_path->steps[i].edge->to == ret_path->rival->to || ret_path->steps[i].edge->from == ret_path->rival->from)
        used = ret_path->steps[i].edge;
    if (!used) used = ret_path->steps[0].edge;
    const char *const choices[] = {role_name(study, used), role_name(study, ret_path->rival), NULL};
    study_doubt(study, choices, "%s and %s are connected in more than one way. Through which column?", study_table(study, root)->qualified,
                study_table(study, table)->qualified);
    return false;
  }
  return true;
}

size_t path_many(const struct join_path *path) {
  size_t i = 0;
  while (i < path->count && (path->steps[i].up || path->steps[i].edge->single)) i++;
  return i;
}

size_t scope_join(struct scope *scope, const struct join_path *path, size_t steps) {
  size_t at = 0;
  for (size_t s = 0; s < steps; s++) {
    const struct join_step *step = &path->steps[s];
    size_t next = 0;
    for (size_t i = 1; i < scope->count; i++)
      if (scope->nodes[i].parent == at && scope->nodes[i].edge == step->edge && scope->nodes[i].up == step->up) next = i;
    if (!next) {
      if (scope->count == SCOPE_NODES) {
        study_doubt(scope->study, NULL, "That takes too many tables for one statement. Can you ask for less at once?");
        return SIZE_MAX;
      }
      next = scope->count;
      size_t table = step->up ? step->edge->to : step->edge->from;
      bool optional = scope->keep_unmatched && step->up && (step->edge->optional || scope->nodes[at].optional);
      scope->nodes[next] = (struct node){
          .table = table, .parent = at, .edge = step->edge, .up = step->up, .optional = optional, .alias = new_alias(scope, table)};
      scope->count++;
    }
    at = next;
  }
  return at;
}

size_t scope_node(struct scope *scope, size_t table, const struct join_edge *role) {
  struct join_path path;
  return scope_route(scope, table, role, &path) ? scope_join(scope, &path, path.count) : SIZE_MAX;
}

static const char *join_condition(struct study *study, const struct join_edge *edge, const char *from, const char *to) {
  const char *text = "";
  for (size_t c = 0; c < edge->column_count; c++)
    text = arena_printf(study->arena, "%s%s%s.%s = %s.%s", text, c ? " AND " : "", to, sql_ident(study->arena, edge->to_columns[c]), from,
                        sql_ident(study->arena, edge->from_columns[c]));
  return text;
}

const char *scope_link(struct study *study, const struct join_edge *edge, bool up, const char *parent, const char *child) {
  return up ? join_condition(study, edge, parent, child) : join_condition(study, edge, child, parent);
}

const char *scope_from(struct scope *scope) {
  struct study *study = scope->study;
  const struct snap_table *root = study_table(study, scope->nodes[0].table);
  const char *text =
      arena_printf(study->arena, "FROM %s AS %s", sql_qualified(study->arena, root->schema, root->name), scope->nodes[0].alias);
  for (size_t i = 1; i < scope->count; i++) {
    const struct node *node = &scope->nodes[i];
    const struct snap_table *table = study_table(study, node->table);
    text = arena_printf(study->arena, "%s\n%sJOIN %s AS %s ON %s", text, node->optional ? "LEFT " : "",
                        sql_qualified(study->arena, table->schema, table->name), node->alias,
                        scope_link(study, node->edge, node->up, scope->nodes[node->parent].alias, node->alias));
  }
  return text;
}

void scope_and(struct scope *scope, const char *condition) {
  if (!condition) return;
  scope->where = arena_printf(scope->study->arena, "%s%s%s", scope->where, *scope->where ? "\n  AND " : "", condition);
}
