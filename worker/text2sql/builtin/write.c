/* write.c - the statement: which shape it takes. */
#include "worker/text2sql/builtin/write.h"

#include <string.h>

static const char *write_list(struct study *study) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, r->subject)) return NULL;
  scope.keep_unmatched = true;
  list_rows(&scope, &list);
  const char *order = study->doubt ? NULL : write_order(&scope, &list, false);
  scope.keep_unmatched = false;
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  if (!study->doubt) write_branches(&scope, false);
  if (study->doubt || !order) return NULL;
  bool distinct = r->distinct;
  return arena_printf(study->arena, "SELECT %s%s\n%s%s%s%s", distinct ? "DISTINCT " : "", list.text, scope_from(&scope),
                      write_where(&scope), order, write_tail(study));
}

/* The first so many of each group. */
static const char *write_each(struct study *study) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, r->subject)) return NULL;
  list_groups(&scope, &list);
  const char *partition = list.group_by;
  list_rows(&scope, &list);
  const char *order = study->doubt ? NULL : write_order(&scope, &list, false);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  if (!study->doubt) write_branches(&scope, false);
  if (study->doubt || !order || !*partition || !*order) return NULL;
  const char *names = list_names(&list);
  return arena_printf(study->arena,
                      "SELECT %s\nFROM (SELECT %s, rank() OVER (PARTITION BY %s %s) AS place\n%s%s) AS ranked\nWHERE place <= %ld", names,
                      list.text, partition, order + 1, scope_from(&scope), write_where(&scope), r->limit);
}

static const char *write_both(struct study *study) {
  study->reading.side = 1;
  const char *one = write_list(study);
  study->reading.side = 2;
  const char *other = one ? write_list(study) : NULL;
  return other ? arena_printf(study->arena, "%s\nINTERSECT\n%s", one, other) : NULL;
}

static const char *write_nested(struct study *study, const char *inner_list, struct scope *scope, const char *group_by,
                                const char *having) {
  return arena_printf(study->arena, "SELECT avg(n) AS average\nFROM (SELECT %s AS n %s%s\nGROUP BY %s%s) AS counted", inner_list,
                      scope_from(scope), write_where(scope), group_by, having);
}

/* Beside each stretch of time the number of the one before, and what became of it in percent. */
static void show_change(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  if (r->item_count != 1 || r->group_count != 1 || !r->groups[0].bucket) {
    study_doubt(study, NULL, "The change of which one number, from which stretch of time to the next?");
    return;
  }
  const char *value = write_measure(scope, &r->items[0]), *column = write_column(scope, &r->groups[0].of);
  if (!value || !column) return;
  const char *before = arena_printf(study->arena, "lag(%s) OVER (ORDER BY %s)", value, write_bucket(study, r->groups[0].bucket, column));
  list_show(list, before, "previous");
  list_show(list, arena_printf(study->arena, "100.0 * (%s - %s) / NULLIF(%s, 0)", value, before, before), "change_percent");
}

/* Beside each stretch of time the sum up to it. */
static void show_running(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  const struct measure *item = &r->items[0];
  if (r->item_count != 1 || r->group_count != 1 || !r->groups[0].bucket || (item->kind != MEASURE_SUM && item->kind != MEASURE_COUNT)) {
    study_doubt(study, NULL, "The running total of which one number, over which stretches of time?");
    return;
  }
  const char *value = write_measure(scope, item), *column = write_column(scope, &r->groups[0].of);
  if (value && column)
    list_show(list, arena_printf(study->arena, "sum(%s) OVER (ORDER BY %s)", value, write_bucket(study, r->groups[0].bucket, column)),
              "running_total");
}

static const char *write_grouped(struct study *study, size_t root) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  list_groups(&scope, &list);
  for (size_t i = 0; i < r->item_count && !study->doubt; i++)
    list_show(&list, write_measure(&scope, &r->items[i]), write_measure_name(study, &r->items[i]));
  if (r->running && !study->doubt) show_running(&scope, &list);
  if (r->change && !study->doubt) show_change(&scope, &list);
  const char *order = study->doubt ? NULL : write_order(&scope, &list, *list.group_by);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  const char *having = study->doubt ? NULL : write_branches(&scope, *list.group_by);
  if (study->doubt || !order || !having) return NULL;
  if (r->nested_average) {
    if (!*list.group_by || r->item_count != 1) {
      study_doubt(study, NULL, "The average over what: per customer, per day?");
      return NULL;
    }
    return write_nested(study, write_measure(&scope, &r->items[0]), &scope, list.group_by, having);
  }
  const char *group = *list.group_by ? arena_printf(study->arena, "\nGROUP BY %s", list.group_by) : "";
  return arena_printf(study->arena, "SELECT %s\n%s%s%s%s%s%s", list.text, scope_from(&scope), write_where(&scope), group, having,
                      *list.group_by ? order : "", *list.group_by ? write_tail(study) : "");
}

/* What is ranked by a count or sum, the first so many within each of the groups that "each" stood before. */
static const char *write_each_grouped(struct study *study, size_t root) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  struct group groups[READING_ROWS];
  size_t within = 0, count = 0;
  for (int each = 1; each >= 0; each--) /* those first */
    for (size_t g = 0; g < r->group_count; g++)
      if (r->groups[g].each == (each == 1)) groups[count++] = r->groups[g], within += (size_t)each;
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  memcpy(r->groups, groups, count * sizeof *groups);
  r->group_count = within;
  list_groups(&scope, &list);
  const char *partition = list.group_by;
  memmove(r->groups, groups + within, (count - within) * sizeof *groups);
  r->group_count = count - within;
  if (!study->doubt) list_groups(&scope, &list);
  memcpy(r->groups, groups, count * sizeof *groups);
  r->group_count = count;
  for (size_t i = 0; i < r->item_count && !study->doubt; i++)
    list_show(&list, write_measure(&scope, &r->items[i]), write_measure_name(study, &r->items[i]));
  const char *order = study->doubt ? NULL : write_order(&scope, &list, true);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  const char *having = study->doubt ? NULL : write_branches(&scope, true);
  if (study->doubt || !order || !*order || !having || !*partition || within == count) return NULL;
  return arena_printf(
      study->arena,
      "SELECT %s\nFROM (SELECT %s, rank() OVER (PARTITION BY %s %s) AS place\n%s%s\nGROUP BY %s%s) AS ranked\nWHERE place <= %ld",
      list_names(&list), list.text, partition, order + 1, scope_from(&scope), write_where(&scope), list.group_by, having, r->limit);
}

const char *study_write(struct study *study) {
  struct reading *r = &study->reading;
  if (r->ratio) return r->ratio_to ? write_ratio_to(study) : write_ratio(study);
  bool aggregated = false;
  for (size_t i = 0; i < r->item_count; i++) aggregated |= r->items[i].kind != MEASURE_NONE || r->items[i].term;
  if (!aggregated && r->each && r->group_count && r->key_count) return write_each(study);
  if (!aggregated && (r->group_count || r->nested_average)) {
    bool counted = false;
    for (size_t b = 0; b < r->branch_count; b++) counted |= r->branches[b].table == r->subject && !r->branches[b].apart;
    if (!counted) study_doubt(study, NULL, "What should be counted or added up for each group?");
  }
  for (size_t b = 0; b < r->branch_count && !aggregated; b++) /* "countries with more than 5 customers" */
    if ((r->branches[b].table == r->subject ||
         (!r->listed && r->item_count && !study->mentioned[r->subject] && r->branches[b].measure.kind != MEASURE_NONE)) &&
        !r->branches[b].absent && !r->branches[b].apart && (r->item_count || r->group_count)) {
      for (size_t i = 0; i < r->item_count && r->group_count < READING_ROWS; i++)
        r->groups[r->group_count++] = (struct group){.of = r->items[i].of};
      r->items[0] = r->branches[b].measure;
      r->item_count = 1;
      aggregated = true;
    }
  if ((r->running || r->change) && !aggregated) study_doubt(study, NULL, "From which stretch of time to the next, and of what?");
  if (study->doubt) return NULL;
  if (!aggregated) return r->both ? write_both(study) : write_list(study);
  bool apart;
  size_t root = aggregate_root(study, &apart);
  if (study->doubt || root == NO_TABLE) return NULL;
  if (r->each && (apart || !r->key_count || !r->limit)) {
    study_doubt(study, NULL, "The first of each group, by what? Name one count or sum.");
    return NULL;
  }
  if (r->each) return write_each_grouped(study, root);
  return apart ? write_apart(study) : write_grouped(study, root);
}
