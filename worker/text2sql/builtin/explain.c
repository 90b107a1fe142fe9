/* explain.c - the reading in plain words, so that a person can see what was understood. */
#include <string.h>

#include "worker/text2sql/builtin/study.h"

static const char *place_text(struct study *study, const struct place *place) {
  const struct snap_table *table = study_table(study, place->table);
  if (!place->column) return table->name;
  return place->role ? arena_printf(study->arena, "%s.%s by %s", table->name, place->column->name, place->role->from_columns[0])
                     : arena_printf(study->arena, "%s.%s", table->name, place->column->name);
}

static const char *measure_text(struct study *study, const struct measure *measure) {
  static const char *const words[] = {"", "number of ", "sum of ", "average of ", "least ", "greatest ", "median of "};
  if (measure->term) return arena_printf(study->arena, "%s, defined as %s", measure->term->name, measure->term->expression);
  if (measure->until)
    return arena_printf(study->arena, "%sdays from %s to %s", words[measure->kind], place_text(study, &measure->of),
                        place_text(study, measure->until));
  const char *what = place_text(study, &measure->of);
  if (measure->times.column) what = arena_printf(study->arena, "%s times %s", what, place_text(study, &measure->times));
  return arena_printf(study->arena, "%s%s%s", words[measure->kind],
                      measure->kind == MEASURE_COUNT && measure->of.column ? "different " : "", what);
}

static const char *filter_text(struct study *study, const struct filter *filter);

static const char *than_text(struct study *study, const struct filter *filter, const char *of) {
  static const char *const words[] = {"", "", "", "average", "least", "greatest", "median"};
  const char *rows = "over all rows";
  if (filter->within.column) rows = arena_printf(study->arena, "over the rows of the same %s", filter->within.column->name);
  if (filter->inside) rows = "";
  for (size_t i = 0; filter->inside && i < study->reading.filter_count; i++)
    if (study->reading.filters[i].branch == filter->inside)
      rows = study_cat(study, rows, " and ", arena_printf(study->arena, "where %s", filter_text(study, &study->reading.filters[i])));
  return arena_printf(study->arena, "%s%s %s %s%sits %s %s", filter->negated ? "not " : "", of, filter->op,
                      filter->factor ? filter->factor : "", filter->factor ? " times " : "", words[filter->than],
                      *rows ? rows : "over all rows");
}

static const char *filter_text(struct study *study, const struct filter *filter) {
  const char *of = filter->kind == FILTER_TERM ? filter->term->name : place_text(study, &filter->of), *not = filter->negated ? "not " : "";
  const char *list = "";
  switch (filter->kind) {
  case FILTER_COMPARE:
    return filter->upper ? arena_printf(study->arena, "%s %sfrom %s to %s", of, not, filter->literal, filter->upper)
                         : arena_printf(study->arena, "%s %s %s", of, filter->op, filter->literal);
  case FILTER_IN:
    for (size_t i = 0; i < filter->value_count; i++) list = study_cat(study, list, " or ", filter->values[i]);
    return arena_printf(study->arena, "%s is %s%s", of, not, list);
  case FILTER_DATE:
    if (filter->range.weekdays) return arena_printf(study->arena, "%s on days %s of the week (Monday is 1)", of, filter->range.weekdays);
    if (filter->range.month) return arena_printf(study->arena, "%s in month %d of any year", of, filter->range.month);
    return arena_printf(study->arena, "%s %s%s%s%s", of, filter->range.from ? "from " : "", filter->range.from ? filter->range.from : "",
                        filter->range.to ? " to before " : "", filter->range.to ? filter->range.to : "");
  case FILTER_NULL: return arena_printf(study->arena, "%s is %s", of, filter->negated ? "known" : "missing");
  case FILTER_FLAG: return arena_printf(study->arena, "%s is %s", of, filter->negated ? "false" : "true");
  case FILTER_LIKE: return arena_printf(study->arena, "%s %slike \u201c%s\u201d", of, not, filter->literal);
  case FILTER_THAN: return than_text(study, filter, of);
  case FILTER_ROLE: return arena_printf(study->arena, "%s %s %s", of, filter->op, place_text(study, filter->until));
  case FILTER_TERM: return arena_printf(study->arena, "%s%s (%s)", not, of, filter->term->expression);
  }
  return of;
}

static const char *list_text(struct study *study) {
  const struct reading *r = &study->reading;
  const char *text = "";
  if (r->listed) text = arena_printf(study->arena, "rows of %s", study_table(study, r->subject)->name);
  for (size_t i = 0; i < r->item_count; i++) text = study_cat(study, text, ", ", measure_text(study, &r->items[i]));
  if (r->nested_average) text = arena_printf(study->arena, "average of the %s", text);
  if (r->ratio)
    text = arena_printf(study->arena, "%s of %s%s%s",
                        r->percent    ? "percentage"
                        : r->ratio_to ? "ratio"
                                      : "share",
                        study_table(study, r->subject)->name, *text ? ": " : "", text);
  return text;
}

static const char *where_text(struct study *study) {
  const struct reading *r = &study->reading;
  const char *text = "";
  for (size_t i = 0; i < r->filter_count; i++) {
    size_t branch = r->filters[i].branch;
    if (branch && r->branches[branch - 1].apart) continue; /* said by the filter it is for */
    const char *joint = r->filters[i].either ? " or " : r->filters[i].side == 2 ? " and beside it " : " and ";
    text = study_cat(study, text, joint, filter_text(study, &r->filters[i]));
  }
  for (size_t i = 0; i < r->branch_count; i++) {
    const struct branch *branch = &r->branches[i];
    if (branch->apart) continue;
    const char *table = study_table(study, branch->table)->name;
    text = study_cat(study, text, " and ",
                     branch->absent ? arena_printf(study->arena, "no such row in %s", table)
                     : !branch->op
                         ? arena_printf(study->arena, "such a row in %s", table)
                         : arena_printf(study->arena, "%s %s %s", measure_text(study, &branch->measure), branch->op, branch->literal));
  }
  for (size_t i = 0; i < r->related_count; i++)
    text = study_cat(study, text, " and ", arena_printf(study->arena, "with rows in %s", study_table(study, r->related[i])->name));
  return text;
}

const char *study_explain(struct study *study) {
  const struct reading *r = &study->reading;
  const char *groups = "", *keys = "", *where = where_text(study);
  for (size_t i = 0; i < r->group_count; i++)
    groups = study_cat(study, groups, " and ",
                       arena_printf(study->arena, "%s%s%s", r->groups[i].bucket ? dates_unit_name(r->groups[i].bucket) : "",
                                    r->groups[i].bucket ? " of " : "", place_text(study, &r->groups[i].of)));
  for (size_t i = 0; i < r->key_count; i++)
    keys = study_cat(
        study, keys, ", then ",
        arena_printf(study->arena, "%s, %s first", measure_text(study, &r->keys[i].by), r->keys[i].falling ? "greatest" : "least"));
  const char *text = arena_printf(study->arena, "Read as: %s", list_text(study));
  if (*where) text = arena_printf(study->arena, "%s; where %s", text, where);
  if (*groups) text = arena_printf(study->arena, "%s; for each %s", text, groups);
  if (*keys) text = arena_printf(study->arena, "%s; by %s", text, keys);
  if (r->limit)
    text = arena_printf(study->arena, "%s; the first %ld%s (rows that tie with the last may be left out)", text, r->limit,
                        r->each ? " of each" : "");
  return arena_printf(study->arena, "%s.", text);
}
