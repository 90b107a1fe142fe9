/* write_apart.c - numbers of tables that have only a row in common. */
#include <stdint.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

/* One measure beside each row, from tables that have only the row in common: a subselect each. */
const char *write_apart(struct study *study) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *filters[READING_ROWS];
  size_t count = all_filters(study, filters);
  if (r->group_count > 1 || (r->group_count == 1 && r->groups[0].of.column)) {
    study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
    return NULL;
  }
  bool alone = r->group_count == 0;
  if (alone && count) {
    study_doubt(study, NULL, "To which of the numbers do the conditions belong?");
    return NULL;
  }
  if (!alone && !scope_open(&scope, study, NULL, r->groups[0].of.table)) return NULL;
  if (!alone) list_entity(&scope, &list, r->groups[0].of.table, NULL, false);
  for (size_t i = 0; i < r->item_count && !study->doubt; i++) {
    struct scope inner;
    struct join_path path;
    size_t table = measure_table(study, &r->items[i]), top = alone ? table : scope.nodes[0].table;
    if (!alone && table == top) {
      study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
      return NULL;
    }
    if (!scope_open(&inner, study, alone ? NULL : &scope, table)) return NULL;
    if (!alone) {
      if (!scope_route(&inner, top, NULL, &path)) return NULL;
      if (path_many(&path) < path.count || !path.count || !path.steps[path.count - 1].up) {
        study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
        return NULL;
      }
      size_t parent = scope_join(&inner, &path, path.count - 1);
      if (parent == SIZE_MAX) return NULL;
      scope_and(&inner, scope_link(study, path.steps[path.count - 1].edge, true, inner.nodes[parent].alias, scope.nodes[0].alias));
    }
    const char *value = write_measure(&inner, &r->items[i]);
    if (value)
      list_show(&list, arena_printf(study->arena, "(SELECT %s %s%s)", value, scope_from(&inner), write_where(&inner)),
                write_measure_name(study, &r->items[i]));
  }
  if (study->doubt) return NULL;
  if (alone) return arena_printf(study->arena, "SELECT %s", list.text);
  write_conditions(&scope, 0, filters, count, true);
  if (!study->doubt) write_branches(&scope, false);
  const char *order = "";
  for (size_t i = 0; i < r->key_count; i++)
    for (size_t k = 0; k < r->item_count; k++)
      if (r->items[k].kind == r->keys[i].by.kind && r->items[k].of.table == r->keys[i].by.of.table &&
          r->items[k].of.column == r->keys[i].by.of.column)
        order = arena_printf(study->arena, "\nORDER BY %s%s", sql_ident(study->arena, write_measure_name(study, &r->items[k])),
                             r->keys[i].falling ? " DESC NULLS LAST" : "");
  if (study->doubt) return NULL;
  return arena_printf(study->arena, "SELECT %s\n%s%s%s%s", list.text, scope_from(&scope), write_where(&scope), order, write_tail(study));
}
