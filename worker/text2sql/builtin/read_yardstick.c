/* read_yardstick.c - one number of many rows that a column is held against: "the average price", "the cheapest book", "twice the average of
 * their department". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *words;
  enum measure_kind kind;
} kinds[] = {{"average|mean|avg", MEASURE_AVG},
             {"median", MEASURE_MEDIAN},
             {"maximum|max|highest|largest|greatest|biggest|top", MEASURE_MAX},
             {"minimum|min|lowest|smallest", MEASURE_MIN}};

static size_t factor_at(const struct reader *reader, size_t at, const char **ret_factor) {
  static const char *const factors[][2] = {
      {"twice|double|two times|2 times", "2"}, {"three times|triple", "3"}, {"half of|half", "0.5"}, {"one and a half times", "1.5"}};
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
    size_t n = study_phrase(reader->study, at, factors[i][0]);
    if (n) *ret_factor = factors[i][1];
    if (n) return n;
  }
  if (study_phrase(reader->study, at, "# the average|# the mean|# average")) { /* "twice" */
    *ret_factor = token_at(reader, at)->lower;
    return 1;
  }
  if (!study_phrase(reader->study, at, "# times")) return 0;
  *ret_factor = token_at(reader, at)->lower;
  return 2;
}

static size_t kind_at(const struct reader *reader, size_t at, enum measure_kind *ret_kind) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (!token_is(reader, at, kinds[i].words)) continue;
    *ret_kind = kinds[i].kind;
    return 1;
  }
  return 0;
}

/* What rows have in common with the one at hand: "their department", "the same category". */
static bool find_common(struct reader *reader, const struct mention *mention, size_t table, struct place *ret_place) {
  const struct join_graph *graph = &reader->study->graph;
  const struct link *to = mention_best(mention, LINK_TABLE);
  for (size_t i = 0; to && i < graph->edge_count; i++) {
    const struct join_edge *edge = &graph->edges[i];
    const struct snap_table *from = study_table(reader->study, table);
    for (size_t c = 0; edge->from == table && edge->to == to->table && edge->column_count == 1 && c < from->column_count; c++)
      if (strcmp(from->columns[c].name, edge->from_columns[0]) == 0) {
        *ret_place = (struct place){.table = table, .column = &from->columns[c]};
        return true;
      }
  }
  return mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_ANY, ret_place) && ret_place->table == table;
}

/* "of their department", "within its own category": of the rows that have it in common. */
static size_t read_common(struct reader *reader, size_t at, struct filter *filter) {
  size_t n = study_phrase(reader->study, at,
                          "of their own|of its own|in their own|in its own|within their own|of their|of its|of his|in their|in its|in his|"
                          "within their|within its|for their|for its|of the same|in the same|within the same|for the same|for that|in "
                          "that|of that|of the respective|in the respective|their own|the same");
  const struct mention *mention = n ? mention_at(reader, at + n) : NULL;
  if (!mention || mention->verb || !find_common(reader, mention, filter->of.table, &filter->within)) return 0;
  return mention->to - at;
}

/* The rows that are measured: conditions that follow are theirs. */
static void open_rows(struct reader *reader, struct filter *filter) {
  if (!add_branch(reader, (struct branch){.table = filter->of.table, .apart = true})) return;
  filter->inside = reader->branch = reader->out->branch_count;
  reader->last_table = filter->of.table;
}

/* "of all products", "of electronics products", "of those in Sales". */
static size_t read_rows(struct reader *reader, size_t at, struct filter *filter) {
  if (!token_is(reader, at, "of|for|among|across")) return 0;
  size_t p = skip_glue(reader, at + 1);
  const struct mention *mention = mention_at(reader, p);
  const struct link *table = mention_best(mention, LINK_TABLE);
  if (table && settle_table(reader, mention) == filter->of.table) {
    open_rows(reader, filter);
    return mention->to - at;
  }
  if (reader->study->doubt || !mention_best(mention, LINK_VALUE)) return 0;
  open_rows(reader, filter);
  return p - at;
}

/* "the average", "the average price of products in Asia". */
static size_t read_aggregate(struct reader *reader, size_t at, struct filter *filter) {
  size_t n = kind_at(reader, at, &filter->than), p = at + n;
  struct place same;
  if (!n) return 0;
  const struct mention *mention = mention_at(reader, p);
  const struct link *rows = mention_best(mention, LINK_TABLE);
  if (rows && rows->score >= 0.9 && rows->table == filter->of.table && !mention->verb) { /* "than the average course" */
    p = mention->to;
  } else if (mention && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_NUMBER, &same)) {
    if (same.column != filter->of.column) return 0;
    p = mention->to;
  }
  n = read_common(reader, p, filter);
  if (!n && !reader->study->doubt) n = read_rows(reader, p, filter);
  if (!n && token_is(reader, p, "in|at|within") && mention_best(mention_at(reader, skip_glue(reader, p + 1)), LINK_VALUE))
    study_doubt(reader->study, NULL, "Is the average meant of those rows alone, or of all?");
  return reader->study->doubt ? 0 : p + n - at;
}

/* "the cheapest book": the least of the column, of the rows that follow. */
static size_t read_extreme(struct reader *reader, size_t at, struct filter *filter, bool turned) {
  bool falling;
  size_t n = adjective_of(reader, at, filter->of, &falling);
  if (!n) return 0;
  filter->than = falling != turned ? MEASURE_MAX : MEASURE_MIN;
  open_rows(reader, filter);
  return n;
}

size_t read_yardstick(struct reader *reader, size_t at, struct filter *filter) {
  size_t p = skip_glue(reader, at), q;
  p += factor_at(reader, p, &filter->factor);
  p = skip_glue(reader, p);
  p += token_is(reader, p, "overall|company|global|-") ? 1 : 0;
  const struct mention *group = mention_at(reader, p); /* "the department average" */
  if (group && !group->verb && kind_at(reader, group->to, &filter->than) && find_common(reader, group, filter->of.table, &filter->within))
    p = group->to;
  if (reader->study->doubt) return 0;
  bool turned = column_temporal(filter->of.column); /* the oldest was born first */
  q = turned && !token_is(reader, p, "average|mean|avg") ? 0 : read_aggregate(reader, p, filter);
  if (!q && !reader->study->doubt) q = read_extreme(reader, p, filter, turned);
  return q ? p + q - at : 0;
}

bool of_extreme_parent(struct reader *reader, struct place of, bool falling, size_t at) {
  struct join_path path;
  if (of.table == reader->out->subject || reader->branch) return false;
  if (!joins_path(&reader->study->graph, reader->out->subject, of.table, NULL, reader->study->arena, &path)) return false;
  struct filter filter = {.kind = FILTER_THAN, .of = of, .op = "=", .than = falling ? MEASURE_MAX : MEASURE_MIN};
  return add_filter(reader, filter, at) != NULL;
}
