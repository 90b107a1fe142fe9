/* read_finish.c - what follows from all that the rules found: what waited for its noun, groups, what is listed once. */
#include <stdlib.h>
#include <string.h>

#include "worker/text2sql/builtin/read.h"

void finish_waiting(struct reader *reader) {
  struct reading *out = reader->out;
  struct place amount;
  static const char spends[] = "spent|spend|paid|pay|cost";
  for (size_t at = 2; reader->pending == MEASURE_SUM && !out->item_count && out->subject != NO_TABLE && at < 8; at++) {
    if (!token_is(reader, at, spends) || !find_concept(reader, out->subject, "amount total cost price fee", WANT_NUMBER, &amount)) continue;
    add_item(reader, (struct measure){.kind = MEASURE_SUM, .of = amount}); /* "how much was spent on repairs" */
    reader->study->explained[at] = true;
    out->listed = false;
    reader->pending = MEASURE_NONE;
  }
  if (reader->pending == MEASURE_SUM && !out->item_count && !reader->study->doubt &&
      out->subject != NO_TABLE && /* "how much was deposited" */
      find_concept(reader, out->subject, "amount total revenue sales", WANT_NUMBER, &amount)) {
    add_item(reader, (struct measure){.kind = MEASURE_SUM, .of = amount});
    out->listed = false;
    reader->pending = MEASURE_NONE;
  }
  bool counted = false; /* "how many hours … in total" */
  for (size_t i = 0; i < out->item_count; i++) counted |= out->items[i].kind != MEASURE_NONE;
  if (reader->pending == MEASURE_SUM && counted) reader->pending = MEASURE_NONE;
  if (reader->pending == MEASURE_COUNT && out->subject != NO_TABLE) {
    add_item(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = out->subject});
    out->listed = false;
  } else if (reader->pending != MEASURE_NONE) {
    study_doubt(reader->study, NULL, "Of what is the total, average or extreme wanted? Name the column.");
  }
  if (!reader->top || out->key_count || reader->study->doubt) return;
  size_t aggregates = 0, which = 0;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE) aggregates++, which = i;
  if (aggregates == 1)
    add_key(reader, out->items[which], reader->top_falling);
  else
    study_doubt(reader->study, NULL, "Top by what? Name the column or count to order by.");
}

/* The filter of a stretch of the question that another one's column is in, too; NULL: none. */
static struct filter *filter_between(struct reading *out, size_t from, size_t to, const struct filter *like) {
  for (size_t i = 0; i < out->filter_count; i++) {
    struct filter *filter = &out->filters[i];
    if (filter == like || filter->at < from || filter->at >= to || filter->branch || filter->either) continue;
    if (!like || (filter->kind == like->kind && filter->of.table == like->of.table && filter->of.column == like->of.column)) return filter;
  }
  return NULL;
}

/* One row can't be both: two lists, and what is in both. */
static void intersect(struct reader *reader, struct filter *one, struct filter *other) {
  struct reading *out = reader->out;
  bool plain = out->item_count && !out->group_count && !out->key_count && !out->branch_count && !out->limit;
  for (size_t i = 0; i < out->item_count; i++) plain &= out->items[i].kind == MEASURE_NONE && !out->items[i].term;
  if (!plain) {
    study_doubt(reader->study, NULL, "No one row is both. Are rows of either kind meant?");
    return;
  }
  out->listed = false; /* "countries with both … orders" */
  one->side = 1;
  other->side = 2;
  out->both = out->distinct = true;
}

/* '<' or '>' of a condition with one number for a bound; 0: it is none. */
static char bounded(const struct filter *filter, double *ret_bound) {
  char *end;
  *ret_bound = strtod(filter->literal, &end);
  if (end == filter->literal || *end || filter->upper || strcmp(filter->op, "<>") == 0) return 0;
  return *filter->op == '<' || *filter->op == '>' ? *filter->op : 0;
}

static bool share_value(const struct filter *a, const struct filter *b) {
  for (size_t i = 0; i < a->value_count; i++)
    for (size_t k = 0; k < b->value_count; k++)
      if (strcmp(a->values[i], b->values[k]) == 0) return true;
  return false;
}

/* No row has both: "before 1945 and after 1955", "by Jones and by Chang". */
static bool exclude_each_other(const struct filter *a, const struct filter *b) {
  double first, second;
  if (a->kind != b->kind || a->of.table != b->of.table || a->of.column != b->of.column || a->of.role != b->of.role) return false;
  if (a->branch != b->branch || a->either || b->either || a->negated || b->negated || a->until || b->until) return false;
  if (a->kind == FILTER_IN) return !share_value(a, b);
  if (a->kind != FILTER_COMPARE || !a->literal || !b->literal) return false;
  char of_a = bounded(a, &first), of_b = bounded(b, &second);
  if (of_a && of_b && of_a != of_b) return of_a == '<' ? second >= first : first >= second;
  return strcmp(a->op, "=") == 0 && strcmp(b->op, "=") == 0 && strcmp(a->literal, b->literal) != 0;
}

/* The first two conditions that no row meets together. */
static struct filter *excluding(struct reading *out, struct filter **ret_other) {
  for (size_t i = 0; i < out->filter_count; i++)
    for (size_t k = i + 1; k < out->filter_count; k++) {
      bool or = k + 1 < out->filter_count && out->filters[k + 1].either;
      if (or || !exclude_each_other(&out->filters[i], &out->filters[k])) continue;
      *ret_other = &out->filters[k];
      return &out->filters[i];
    }
  return NULL;
}

void finish_both(struct reader *reader) {
  struct reading *out = reader->out;
  struct filter *one = reader->both ? filter_between(out, reader->both, reader->joint, NULL) : NULL;
  struct filter *other = one ? filter_between(out, reader->joint, TOKENS_MAX, one) : NULL;
  struct join_path path;
  if (other)
    reader->study->explained[reader->both] = reader->study->explained[reader->joint] = true;
  else if (!out->ratio)
    one = excluding(out, &other);
  if (!other) return;
  bool own = one->of.table == out->subject ||
             !joins_path(&reader->study->graph, out->subject, one->of.table, NULL, reader->study->arena, &path) || path_single(&path);
  if (own) {
    intersect(reader, one, other);
    return;
  }
  struct filter *sides[] = {one, other}; /* rows of one kind, and rows of the other */
  for (size_t i = 0; i < 2; i++)
    if (add_branch(reader, (struct branch){.table = one->of.table})) sides[i]->branch = out->branch_count;
}

static bool has_aggregate(const struct reading *out) {
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE || out->items[i].term) return true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE || out->keys[i].by.term) return true;
  return false;
}

/* "units sold per brand": amounts per something are added up; prices and scores are not. */
static void sum_items(struct reader *reader) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->item_count; i++) {
    struct measure *item = &out->items[i];
    if (item->kind != MEASURE_NONE || !item->of.column || !column_numeric(item->of.column)) continue;
    if (additive(reader->study, item->of.column))
      item->kind = MEASURE_SUM;
    else
      study_doubt(reader->study, NULL, "Should %s be added up or averaged?", item->of.column->name);
  }
}

/* "each product's name": groups without anything to add up are a list. */
static void list_groups(struct reader *reader) {
  struct reading *out = reader->out;
  if (out->each || out->branch_count || out->nested_average) return;
  for (size_t i = 0; i < out->group_count; i++) {
    if (out->groups[i].bucket || out->groups[i].of.role) return;
    if (out->groups[i].of.column)
      add_item(reader, (struct measure){.of = out->groups[i].of});
    else if (out->groups[i].of.table != out->subject)
      return;
    else
      out->listed = true;
  }
  out->group_count = 0;
}

static bool only_own_sums(const struct reading *out) {
  bool sums = false;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind == MEASURE_NONE) continue;
    if (out->items[i].kind != MEASURE_SUM || out->items[i].of.table != out->subject) return false;
    sums = true;
  }
  return sums;
}

/* "customer names and their total spending": a line for each customer, even where two are called alike. */
static bool row_called(struct reader *reader, const struct measure *item) {
  const struct reading *out = reader->out;
  const struct snap_column *display[2];
  size_t n = item->of.column ? study_display(reader->study, item->of.table, display) : 0;
  bool called = false;
  for (size_t i = 0; i < n; i++) called |= display[i] == item->of.column;
  if (!called || !reader->study->mentioned[item->of.table]) return false;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE && out->items[i].of.table == item->of.table) return false;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE && out->keys[i].by.of.table == item->of.table) return false;
  return true;
}

/* "the name of the manager and the number of employees" of each branch: the name of one of those that are counted. */
static bool names_counted(struct reader *reader, const struct measure *item) {
  const struct reading *out = reader->out;
  const struct snap_column *display[2];
  size_t n = item->of.column && !item->of.role ? study_display(reader->study, item->of.table, display) : 0;
  bool called = false, counted = false, entity = false;
  for (size_t i = 0; i < n; i++) called |= display[i] == item->of.column;
  for (size_t i = 0; i < out->item_count; i++)
    counted |= out->items[i].kind == MEASURE_COUNT && !out->items[i].of.column && out->items[i].of.table == item->of.table;
  for (size_t g = 0; g < out->group_count; g++) entity |= !out->groups[g].of.column && out->groups[g].of.table != item->of.table;
  return called && counted && entity;
}

/* "the average number of employees of all shops": for each of them. */
static void average_over(struct reader *reader) {
  struct reading *out = reader->out;
  if (!out->nested_average || out->group_count || out->item_count != 1) return;
  for (size_t i = 0; i < reader->qualifier_count; i++)
    if (reader->qualifiers[i] != out->items[0].of.table) add_group(reader, (struct group){.of.table = reader->qualifiers[i]});
}

/* "average number of adults per booking": of each row there is one. */
static void drop_own_group(struct reading *out) {
  const struct measure *item = &out->items[0];
  bool one = out->group_count == 1 && out->item_count == 1 && !out->listed && !out->nested_average;
  if (one && !out->groups[0].of.column && item->kind == MEASURE_AVG && item->of.column && item->of.table == out->groups[0].of.table)
    out->group_count = 0;
}

/* "signups per year", "users per country": rows that are counted, without a word for it. */
static void count_implied(struct reader *reader) {
  struct reading *out = reader->out;
  if (!reader->per || !out->group_count) return;
  for (size_t i = 0; i < out->item_count; i++) {
    struct measure *item = &out->items[i];
    if (item->kind == MEASURE_NONE && item->of.column && column_temporal(item->of.column) && out->groups[0].bucket)
      *item = (struct measure){.kind = MEASURE_COUNT, .of.table = item->of.table};
  }
  if (!has_aggregate(out)) sum_items(reader);
  if (has_aggregate(out) || !out->listed || out->item_count || out->each || out->branch_count) return;
  add_item(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = out->subject});
  out->listed = false;
}

/* "number of payments and amount": a number of the very rows that are measured; nobody counts them apart by it. */
static bool unmeasured(const struct reader *reader, const struct measure *item) {
  const struct reading *out = reader->out;
  bool amount = item->of.column && column_numeric(item->of.column) && !out->listed &&
                (!column_integer(item->of.column) || additive(reader->study, item->of.column)) &&
                !column_key(study_table(reader->study, item->of.table), item->of.column);
  bool same = false;
  for (size_t i = 0; amount && i < out->item_count; i++)
    same |= out->items[i].kind != MEASURE_NONE && !out->items[i].term && out->items[i].of.table == item->of.table;
  return same;
}

/* What is listed beside aggregates is what they are grouped by. */
static void group_items(struct reader *reader) {
  struct reading *out = reader->out;
  size_t kept = 0;
  for (size_t i = 0; i < out->item_count; i++) {
    const struct measure *item = &out->items[i];
    if (item->kind != MEASURE_NONE || item->term) {
      out->items[kept++] = *item;
      continue;
    }
    if (item->of.column && item->of.table == out->subject && !out->listed && !out->group_count && out->item_count > 1)
      out->listed = column_key(study_table(reader->study, out->subject), item->of.column);
    if (unmeasured(reader, item)) study_doubt(reader->study, NULL, "Should %s be added up or averaged?", item->of.column->name);
    if (out->group_count && names_counted(reader, item))
      study_doubt(reader->study, NULL, "How many %s, and the name of which of them?", study_table(reader->study, item->of.table)->name);
    add_group(reader, row_called(reader, item) ? (struct group){.of = {.table = item->of.table, .role = item->of.role}}
                                               : (struct group){.of = item->of});
  }
  out->item_count = kept;
}

/* "the lowest price and its product": the row that has it. */
static void extreme_row(struct reader *reader) {
  struct reading *out = reader->out;
  struct measure *extreme = NULL;
  size_t aggregates = 0;
  if (!reader->its || out->group_count || out->key_count || out->limit) return;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].of.table != out->subject || !out->items[i].of.column) return;
    if (out->items[i].kind != MEASURE_NONE) extreme = &out->items[i], aggregates++;
  }
  if (aggregates != 1 || (extreme->kind != MEASURE_MAX && extreme->kind != MEASURE_MIN)) return;
  bool falling = extreme->kind == MEASURE_MAX;
  extreme->kind = MEASURE_NONE;
  out->listed = false;
  out->limit = 1;
  add_key(reader, *extreme, falling);
}

/* "the total points of gymnasts, highest first", "of the youngest gymnast": one sum has no order, so each row's own number is meant. */
static void unsum_ordered(struct reader *reader) {
  struct reading *out = reader->out;
  bool own = out->key_count && out->item_count && !out->group_count && !out->listed && !out->ratio && !out->nested_average;
  for (size_t i = 0; i < out->item_count; i++)
    own &= out->items[i].kind == MEASURE_SUM && out->items[i].of.column && out->items[i].of.table == out->subject;
  for (size_t k = 0; k < out->key_count && own; k++) {
    const struct measure *by = &out->keys[k].by;
    own = by->of.column && (by->kind == MEASURE_NONE || by->kind == MEASURE_SUM) &&
          (by->of.table == out->subject || study_belongs(reader->study, out->subject, by->of.table));
  }
  if (!own) return;
  if (out->limit > 1) {
    study_doubt(reader->study, NULL, "Is the total over those %ld rows wanted, or each one's own number?", out->limit);
    return;
  }
  for (size_t i = 0; i < out->item_count; i++) out->items[i].kind = MEASURE_NONE;
  for (size_t k = 0; k < out->key_count; k++) out->keys[k].by.kind = MEASURE_NONE;
}

/* "how many bank branches", "the number of cities that banks are in": of all rows, not of each one, where it is 1. */
static void count_all(struct reader *reader) {
  struct reading *out = reader->out;
  const struct snap_table *table = out->subject != NO_TABLE ? study_table(reader->study, out->subject) : NULL;
  const struct snap_column *key = table ? table_key_column(table) : NULL;
  bool counts = false, plain = table && !out->group_count && !reader->per && !out->key_count && !out->nested_average && !out->ratio;
  for (size_t i = 0; i < out->item_count; i++) {
    const struct measure *item = &out->items[i];
    counts |= item->kind == MEASURE_COUNT;
    plain &= item->of.table == out->subject && (item->kind == MEASURE_COUNT || (item->kind == MEASURE_NONE && item->of.column == key));
  }
  for (size_t at = 0; at < reader->study->tokens.count; at++) plain &= !token_is(reader, at, "each|every|per"); /* "how many of each" */
  if (!plain || !counts) return;
  size_t kept = 0;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind == MEASURE_COUNT) out->items[kept++] = out->items[i];
  out->item_count = kept;
  out->listed = false;
}

/* "customers without a loan with a type of Auto": the type is a condition on what there is not; nothing of it is shown. */
static void hide_absent(struct reading *out) {
  for (size_t b = 0; b < out->branch_count; b++) {
    size_t kept = 0, table = out->branches[b].table;
    for (size_t i = 0; i < out->item_count; i++) {
      const struct measure *item = &out->items[i];
      bool gone = out->branches[b].absent && item->kind == MEASURE_NONE && item->of.column && item->of.table == table;
      if (!gone || table == out->subject) out->items[kept++] = *item;
    }
    if (kept) out->item_count = kept;
  }
}

/* "the average age of gymnasts", which people have: of those people who are gymnasts. */
static void keep_subject(struct reader *reader) {
  struct reading *out = reader->out;
  size_t subject = out->subject;
  if (subject == NO_TABLE || !out->item_count || out->group_count || out->listed || out->key_count || out->branch_count || out->ratio)
    return;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind == MEASURE_NONE || !out->items[i].of.column || out->items[i].of.table == subject ||
        !study_belongs(reader->study, subject, out->items[i].of.table))
      return;
  for (size_t i = 0; i < out->filter_count; i++)
    if (out->filters[i].of.table == subject) return;
  if (reader->study->mentioned[subject] && out->related_count < READING_ROWS) out->related[out->related_count++] = subject;
}

/* "How many hammers were sold?": not how many rows are called so. */
static void ask_how_many_sold(struct reader *reader) {
  struct reading *out = reader->out;
  const struct snap_column *display[2];
  struct place sold;
  bool rows =
      out->item_count == 1 && out->items[0].kind == MEASURE_COUNT && !out->items[0].of.column && out->items[0].of.table == out->subject;
  if (!rows || out->group_count || study_display(reader->study, out->subject, display) != 1) return;
  bool called = false, said = false;
  for (size_t i = 0; i < out->filter_count; i++)
    called |= out->filters[i].kind == FILTER_IN && out->filters[i].of.column == display[0] && !out->filters[i].negated;
  for (size_t at = 0; at < reader->study->tokens.count; at++) said |= token_is(reader, at, "sold|ordered|bought|purchased");
  if (called && said && find_sold(reader, out->subject, &sold))
    study_doubt(reader->study, NULL, "How many rows of %s, or how many pieces?", study_table(reader->study, out->subject)->qualified);
}

/* "bring in per month", of a monthly fee: it is for a month already; when the contract began says nothing of it. */
static void ask_per_unit(struct reader *reader) {
  const struct reading *out = reader->out;
  for (size_t g = 0; g < out->group_count; g++) {
    const struct group *group = &out->groups[g];
    const char *const unit[] = {group->bucket ? dates_unit_name(group->bucket) : NULL, NULL};
    if (!unit[0] || !group->of.column || named_by(reader->study, group->of.column, unit)) continue;
    for (size_t i = 0; i < out->item_count; i++)
      if (out->items[i].of.column && column_numeric(out->items[i].of.column) && named_by(reader->study, out->items[i].of.column, unit))
        study_doubt(reader->study, NULL, "%s is for one %s. Is it to be added up over all rows, or apart by %s?",
                    out->items[i].of.column->name, unit[0], group->of.column->name);
  }
}

void finish_groups(struct reader *reader) {
  struct reading *out = reader->out;
  ask_per_unit(reader);
  ask_how_many_sold(reader);
  extreme_row(reader);
  unsum_ordered(reader);
  count_all(reader);
  hide_absent(out);
  keep_subject(reader);
  average_over(reader);
  drop_own_group(out);
  if (out->ratio) return;
  count_implied(reader);
  if (!has_aggregate(out)) {
    list_groups(reader);
    return;
  }
  if (reader->per && out->listed && out->group_count && only_own_sums(out)) out->listed = false; /* a sum for each row is none */
  group_items(reader);
  bool grouped = false;
  bool ranked = out->limit && out->key_count && out->keys[0].by.kind != MEASURE_NONE; /* "top 3 guests for each country" */
  for (size_t i = 0; i < out->group_count; i++)
    grouped |=
        out->groups[i].of.table == out->subject && !out->groups[i].bucket && !(ranked && out->groups[i].each && out->groups[i].of.column);
  if (out->listed && !grouped) add_group(reader, (struct group){.of.table = out->subject});
  size_t within = 0; /* "top 3 products in each category by sales" */
  for (size_t i = 0; i < out->group_count; i++) within += out->groups[i].each;
  if (within && within < out->group_count && out->limit && out->key_count) out->each = true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE || out->keys[i].by.term) add_item(reader, out->keys[i].by);
}

/* What rows are put in order by must be in a list of different ones. */
static bool keys_listed(const struct reading *out) {
  for (size_t k = 0; k < out->key_count; k++) {
    bool shown = false;
    for (size_t i = 0; i < out->item_count; i++) shown |= out->items[i].of.column == out->keys[k].by.of.column;
    if (!shown) return false;
  }
  return true;
}

/* "List brands": what there is of something that has no table of its own, each once. */
void finish_distinct(struct reader *reader) {
  struct reading *out = reader->out;
  bool orderly = keys_listed(out);
  out->distinct &= orderly;
  if (out->listed || !out->item_count || has_aggregate(out) || out->ratio || reader->study->mentioned[out->subject]) return;
  const struct snap_column *display[2];
  size_t shown_by = study_display(reader->study, out->subject, display);
  for (size_t i = 0; i < out->item_count; i++) {
    if (!out->items[i].of.column || !wanted_fits(out->items[i].of.column, WANT_TEXT)) return;
    for (size_t d = 0; d < shown_by && (out->filter_count || out->branch_count); d++)
      if (out->items[i].of.column == display[d]) return; /* "names of gold members" */
  }
  out->distinct |= orderly;
}

static bool used(const struct reading *out, size_t table) {
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].of.table == table || out->items[i].term) return true;
  for (size_t i = 0; i < out->filter_count; i++)
    if (out->filters[i].of.table == table) return true;
  for (size_t i = 0; i < out->group_count; i++)
    if (out->groups[i].of.table == table) return true;
  for (size_t i = 0; i < out->branch_count; i++)
    if (out->branches[i].table == table) return true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.of.table == table) return true;
  return false;
}

/* "users in groups": a table that nothing else came of must have rows. */
void finish_qualifiers(struct reader *reader) {
  for (size_t i = 0; i < reader->qualifier_count; i++)
    if (!used(reader->out, reader->qualifiers[i])) add_related(reader, reader->qualifiers[i]);
}
