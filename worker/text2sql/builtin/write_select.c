/* write_select.c - a SELECT list that names each thing once, its groups and its order. */
#include <stdint.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

#define ALL_COLUMNS 16 /* of a table whose rows are listed; wider ones show what matters */

static bool shown(const struct list *list, const char *expression) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->expressions[i], expression) == 0) return true;
  return false;
}

static bool named(const struct list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->names[i], name) == 0) return true;
  return false;
}

/* What one row of a table is: "categories" hold a category each. */
static const char *one_of(struct study *study, size_t table) {
  const char *name = study_table(study, table)->name;
  int len = (int)strlen(name);
  if (len > 3 && strcmp(name + len - 3, "ies") == 0) return arena_printf(study->arena, "%.*sy", len - 3, name);
  if (len > 4 && (strcmp(name + len - 3, "ses") == 0 || strcmp(name + len - 3, "xes") == 0) && name[len - 4] == 's')
    len -= 2;
  else if (len > 1 && name[len - 1] == 's' && !strchr("sui", name[len - 2]))
    len--;
  return arena_printf(study->arena, "%.*s", len, name);
}

/* Of "p.name", where there is a name already: "product_name". */
static const char *longer_name(struct list *list, const char *expression, const char *own) {
  struct study *study = list->study;
  size_t stem = strcspn(expression, ".");
  size_t quoted = *own == '"', len = strlen(own) - 2 * quoted;
  const char *name = arena_printf(study->arena, "%.*s", (int)len, own + quoted);
  for (size_t i = 0; i < list->scope->count; i++) {
    const struct node *node = &list->scope->nodes[i];
    if (strlen(node->alias) == stem && memcmp(node->alias, expression, stem) == 0)
      name = arena_printf(study->arena, "%s_%.*s", one_of(study, node->table), (int)len, own + quoted);
  }
  return named(list, name) ? arena_printf(study->arena, "%s_%zu", name, list->count + 1) : name;
}

/* name NULL: as the column is called. */
void list_show(struct list *list, const char *expression, const char *name) {
  struct study *study = list->study;
  if (!expression || list->count == 64 || shown(list, expression)) return;
  const char *own = name ? name : strchr(expression, '.') ? strchr(expression, '.') + 1 : expression;
  if (named(list, own)) name = longer_name(list, expression, own);
  list->expressions[list->count] = expression;
  list->names[list->count++] = name ? name : own;
  list->text = study_cat(study, list->text, ", ",
                         name ? arena_printf(study->arena, "%s AS %s", expression, sql_ident(study->arena, name)) : expression);
}

static void show_key(struct scope *scope, struct list *list, size_t node, bool group) {
  struct study *study = scope->study;
  size_t table = scope->nodes[node].table;
  const struct snap_constraint *key = table_primary(study_table(study, table));
  for (size_t i = 0; key && i < key->column_count; i++) {
    const char *column = arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, key->columns[i]));
    list_show(list, column, NULL);
    if (group) list->group_by = study_cat(study, list->group_by, ", ", column);
  }
}

void list_entity(struct scope *scope, struct list *list, size_t table, const struct join_edge *role, bool group) {
  struct study *study = scope->study;
  size_t node = scope_node(scope, table, role);
  if (node == SIZE_MAX) return;
  show_key(scope, list, node, group);
  const struct snap_column *display[2];
  size_t n = study_display(study, table, display);
  for (size_t i = 0; i < n; i++) {
    const char *column = arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, display[i]->name));
    if (group && !shown(list, column)) list->group_by = study_cat(study, list->group_by, ", ", column);
    list_show(list, column, NULL);
  }
}

const char *write_bucket(struct study *study, enum date_unit unit, const char *column) {
  if (unit == UNIT_HOUR_OF_DAY) return arena_printf(study->arena, "extract(hour FROM %s)", column);
  if (unit == UNIT_YEAR) return arena_printf(study->arena, "extract(year FROM %s)", column);
  if (unit == UNIT_WEEKDAY) return arena_printf(study->arena, "extract(isodow FROM %s)", column);
  return arena_printf(study->arena, "date_trunc('%s', %s)", dates_unit_name(unit), column);
}

/* Whose Sunday is 0 and whose is 7 is nothing to guess at: the name stands beside the number. */
static void show_weekday(struct scope *scope, struct list *list, const struct group *group) {
  const char *name = arena_printf(scope->study->arena, "to_char(%s, 'FMDay')", write_column(scope, &group->of));
  list->group_by = study_cat(scope->study, list->group_by, ", ", name);
  list_show(list, name, "weekday_name");
}

void list_groups(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  for (size_t g = 0; g < study->reading.group_count && !study->doubt; g++) {
    const struct group *group = &study->reading.groups[g];
    if (!group->of.column) {
      list_entity(scope, list, group->of.table, group->of.role, true);
      continue;
    }
    const char *column = write_column(scope, &group->of);
    if (!column) return;
    bool hours = group->bucket == UNIT_HOUR || group->bucket == UNIT_HOUR_OF_DAY;
    if (hours && strcmp(group->of.column->type, "date") == 0) {
      study_doubt(study, NULL, "%s holds days, no hours. What tells the hour?", group->of.column->name);
      return;
    }
    if (group->bucket) column = write_bucket(study, group->bucket, column);
    if (!shown(list, column)) list->group_by = study_cat(study, list->group_by, ", ", column);
    list_show(list, column, group->bucket == UNIT_WEEKDAY ? "weekday" : group->bucket ? dates_unit_name(group->bucket) : NULL);
    if (group->bucket == UNIT_WEEKDAY) show_weekday(scope, list, group);
    list->groups++;
  }
}

void list_rows(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  const struct snap_table *table = study_table(study, r->subject);
  size_t plain = 0;
  for (size_t i = 0; i < r->item_count; i++) {
    plain += r->items[i].of.table == r->subject && !r->items[i].of.role;
  }
  static const char *const all[] = {"list", "show",   "find",   "get",   "display",  "give",
                                    "all",  "return", "select", "fetch", "retrieve", "what"};
  bool whole = table->column_count <= ALL_COLUMNS && study->tokens.count;
  bool asks = false;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) asks |= study->tokens.count && study_phrase(study, 0, all[i]);
  if (r->listed && !plain && !r->item_count && whole && asks) {
    for (size_t c = 0; c < table->column_count; c++)
      list_show(list, arena_printf(study->arena, "%s.%s", scope->nodes[0].alias, sql_ident(study->arena, table->columns[c].name)), NULL);
    return;
  }
  if (r->listed && !r->distinct) list_entity(scope, list, r->subject, NULL, false);
  for (size_t i = 0; i < r->item_count; i++) list_show(list, write_measure(scope, &r->items[i]), r->items[i].until ? "days" : NULL);
  if (!r->listed || plain) return;
  for (size_t i = 0; i < r->filter_count; i++)
    if (!r->filters[i].branch && r->filters[i].of.column && r->filters[i].of.table == r->subject && !r->filters[i].of.role)
      list_show(list, write_column(scope, &r->filters[i].of), NULL);
  if (!list->count && table->column_count)
    list_show(list, arena_printf(study->arena, "%s.%s", scope->nodes[0].alias, sql_ident(study->arena, table->columns[0].name)), NULL);
}

/* --- the tail --- */

const char *write_order(struct scope *scope, struct list *list, bool grouped) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  const char *text = "";
  for (size_t i = 0; i < r->key_count; i++) {
    const char *by = write_measure(scope, &r->keys[i].by);
    if (!by) return NULL;
    for (size_t g = 0; grouped && g < r->group_count; g++) /* "per month, newest first": the stretches are in order, not their instants */
      if (r->groups[g].bucket && r->keys[i].by.kind == MEASURE_NONE && r->groups[g].of.column == r->keys[i].by.of.column &&
          r->groups[g].of.column)
        by = write_bucket(study, r->groups[g].bucket, by);
    if (grouped && r->keys[i].by.kind == MEASURE_NONE && !r->keys[i].by.term && !strstr(list->group_by, by)) {
      list->group_by = study_cat(study, list->group_by, ", ", by);
      list_show(list, by, NULL);
    }
    if (!grouped && !r->distinct && r->keys[i].by.of.column) list_show(list, by, NULL);
    text = study_cat(study, text, ", ", arena_printf(study->arena, "%s%s", by, r->keys[i].falling ? " DESC NULLS LAST" : ""));
  }
  for (size_t g = 0; !r->key_count && g < r->group_count; g++) {
    if (!r->groups[g].bucket) continue;
    const char *column = write_column(scope, &r->groups[g].of);
    if (column) text = study_cat(study, text, ", ", write_bucket(study, r->groups[g].bucket, column));
  }
  return *text ? arena_printf(study->arena, "\nORDER BY %s", text) : "";
}

const char *write_tail(struct study *study) {
  const struct reading *r = &study->reading;
  const char *text = r->limit ? arena_printf(study->arena, "\nLIMIT %ld", r->limit) : "";
  return r->offset ? arena_printf(study->arena, "%s OFFSET %ld", text, r->offset) : text;
}

size_t all_filters(struct study *study, const struct filter **ret) {
  const struct reading *r = &study->reading;
  size_t n = 0;
  for (size_t i = 0; i < r->filter_count; i++)
    if (!r->side || !r->filters[i].side || r->filters[i].side == r->side) ret[n++] = &r->filters[i];
  return n;
}

const char *write_where(const struct scope *scope) {
  return *scope->where ? arena_printf(scope->study->arena, "\nWHERE %s", scope->where) : "";
}

/* --- shapes --- */

const char *list_names(const struct list *list) {
  const char *names = "";
  for (size_t i = 0; i < list->count; i++) {
    if (strchr(list->names[i], '"')) return "*"; /* quoted already */
    names = study_cat(list->study, names, ", ", sql_ident(list->study->arena, list->names[i]));
  }
  return names;
}
