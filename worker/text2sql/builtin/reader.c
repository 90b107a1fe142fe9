/* reader.c - what the rules share: looking at words, and adding to the reading. */
#include "worker/text2sql/builtin/read.h"

#include <string.h>

#define SURE_VALUE 0.93 /* as it stands, or its plural */

const char *token_lower(const struct reader *reader, size_t at) {
  const struct tokens *tokens = &reader->study->tokens;
  if (at >= tokens->count) return "";
  return tokens->items[at].kind == TOKEN_WORD || tokens->items[at].kind == TOKEN_MARK ? tokens->items[at].lower : "";
}

bool token_is(const struct reader *reader, size_t at, const char *alternatives) {
  const char *lower = token_lower(reader, at);
  size_t len = strlen(lower);
  for (const char *p = alternatives; len && p;) {
    if (strncmp(p, lower, len) == 0 && (p[len] == '|' || !p[len])) return true;
    p = strchr(p, '|');
    if (p) p++;
  }
  return false;
}

size_t study_phrase(const struct study *study, size_t at, const char *alternatives) {
  for (const char *p = alternatives; p && *p;) {
    size_t n = 0;
    bool fits = true;
    while (fits && *p && *p != '|') {
      size_t len = strcspn(p, " |");
      const struct token *token = at + n < study->tokens.count ? &study->tokens.items[at + n] : NULL;
      bool text = token && (token->kind == TOKEN_WORD || token->kind == TOKEN_MARK) && strlen(token->lower) == len &&
                  strncmp(token->lower, p, len) == 0;
      fits = text || (token && len == 1 && *p == '#' && token->kind == TOKEN_NUMBER);
      n++;
      p += len;
      if (*p == ' ') p++;
    }
    if (fits) return n;
    p = strchr(p, '|');
    if (p) p++;
  }
  return 0;
}

size_t skip_glue(const struct reader *reader, size_t at) {
  while (token_is(
      reader, at,
      "the|a|an|their|its|his|her|all|any|of|each|every|these|those|our|some|different|distinct|unique|other|respective|individual|single"))
    at++;
  return at;
}

const struct mention *mention_at(const struct reader *reader, size_t at) {
  return at < reader->study->tokens.count ? reader->study->at[at] : NULL;
}

bool wants_rows(const struct reader *reader) {
  if (reader->out->listed) return true;
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (reader->out->items[i].kind == MEASURE_NONE) return true;
  return false;
}

/* Never NULL: beyond the end stands a mark that is nothing. */
const struct token *token_at(const struct reader *reader, size_t at) {
  static const struct token nothing = {.kind = TOKEN_MARK, .lower = ""};
  return at < reader->study->tokens.count ? &reader->study->tokens.items[at] : &nothing;
}

/* --- adding --- */

#define ADD(reader, rows, count, row)                                                             \
  do {                                                                                            \
    if ((reader)->out->count == READING_ROWS) {                                                   \
      study_doubt((reader)->study, NULL, "That is too much for one question. Can you split it?"); \
      return NULL;                                                                                \
    }                                                                                             \
    (reader)->out->rows[(reader)->out->count] = (row);                                            \
    return &(reader)->out->rows[(reader)->out->count++];                                          \
  } while (0)

/* Each row is of a thing and a date. */
static bool keyed_by_date(const struct snap_table *table) {
  const struct snap_constraint *key = table_primary(table);
  bool dated = false;
  for (size_t c = 0; key && key->column_count > 1 && c < table->column_count; c++)
    dated |= column_temporal(&table->columns[c]) && column_primary(table, &table->columns[c]);
  return dated;
}

/* Rows that nobody calls by a name, in a table that says of which stretch of time its figures are. */
static bool called_figures(struct study *study, size_t which) {
  static const char *const told[] = {"daily", "hourly", "weekly", "monthly", "_stats", "statistic", "summary", "metrics"};
  const struct snap_table *table = study_table(study, which);
  const struct snap_column *display[2];
  const char *name = tokens_lower(study->arena, table->name, strlen(table->name));
  for (size_t i = 0; name && i < sizeof told / sizeof *told; i++)
    if (strstr(name, told[i])) return study_display(study, which, display) == 0;
  return false;
}

static bool shares_word(const struct study *study, const struct snap_column *column, size_t table) {
  for (size_t w = 0; w < study->names.table_counts[table]; w++)
    if (named_by(study, column, (const char *const[]){study->names.table_words[table][w]->text, NULL})) return true;
  return false;
}

/* The column that says how many there were, in a table of figures: `views` of page_view_daily. NULL: none, or several alike. */
static const struct snap_column *tally_of(struct study *study, size_t which) {
  static const char *const counts[] = {"view",   "visit",    "click", "count",  "impress", "session", "visitor",
                                       "signup", "download", "play",  "stream", "hit",     "call",    NULL};
  const struct snap_table *table = study_table(study, which);
  bool called = called_figures(study, which);
  const struct snap_column *own = NULL, *other = NULL;
  size_t owns = 0, others = 0;
  for (size_t c = 0; (called || keyed_by_date(table)) && c < table->column_count; c++) {
    const struct snap_column *column = &table->columns[c];
    if (!column_integer(column) || column_key(table, column) || !named_by(study, column, counts)) continue;
    if (shares_word(study, column, which))
      own = column, owns++;
    else
      other = column, others++;
  }
  if (owns) return owns == 1 ? own : NULL;
  return called && others == 1 ? other : NULL;
}

/* "page views per month" where a row holds those of a day: added up, not counted. */
static struct measure added_up(struct study *study, struct measure measure) {
  bool rows = measure.kind == MEASURE_COUNT && !measure.of.column && !measure.distinct && !measure.term && measure.of.table != NO_TABLE;
  const struct snap_column *tally = rows ? tally_of(study, measure.of.table) : NULL;
  if (tally) measure.kind = MEASURE_SUM, measure.of.column = tally;
  return measure;
}

struct measure *add_item(struct reader *reader, struct measure measure) {
  measure = added_up(reader->study, measure);
  for (size_t i = 0; i < reader->out->item_count; i++) {
    struct measure *old = &reader->out->items[i];
    if (old->kind == measure.kind && old->of.table == measure.of.table && old->of.column == measure.of.column &&
        old->of.role == measure.of.role && old->term == measure.term && !old->until && !measure.until)
      return old;
  }
  ADD(reader, items, item_count, measure);
}
/* Only glue, and an "or", between the condition before and this one. */
static bool behind_or(struct reader *reader, const struct filter *filter, size_t at) {
  const struct reading *out = reader->out;
  const struct filter *last = out->filter_count ? &out->filters[out->filter_count - 1] : NULL;
  size_t or = TOKENS_MAX;
  if (!last || last->branch != filter->branch || !last->end) return false;
  for (size_t i = last->end; i < at; i++) {
    if (token_is(reader, i, "and|but|,")) return false;
    if (token_is(reader, i, "or")) or = i;
  }
  if (or == TOKENS_MAX) return false;
  reader->study->explained[or] = true;
  for (size_t back = 1; back <= 4 && back <= last->at; back++)
    if (token_is(reader, last->at - back, "either|whether")) reader->study->explained[last->at - back] = true;
  if (last->negated || filter->negated) study_doubt(reader->study, NULL, "Does the negation hold for both sides of the \u201cor\u201d?");
  return true;
}

struct filter *add_filter(struct reader *reader, struct filter filter, size_t at) {
  filter.branch = filter.branch ? filter.branch : reader->branch;
  filter.at = at;
  if (filter.kind == FILTER_NULL && filter.of.column && column_boolean(filter.of.column) && !filter.either) { /* "with a final exam" */
    filter.kind = FILTER_FLAG;
    filter.negated = !filter.negated;
  }
  filter.either |= behind_or(reader, &filter, at);
  ADD(reader, filters, filter_count, filter);
}
struct group *add_group(struct reader *reader, struct group group) {
  for (size_t i = 0; i < reader->out->group_count; i++) {
    struct group *old = &reader->out->groups[i];
    if (old->of.table == group.of.table && old->of.column == group.of.column && old->bucket == group.bucket) return old;
  }
  ADD(reader, groups, group_count, group);
}
struct key *add_key(struct reader *reader, struct measure by, bool falling) {
  ADD(reader, keys, key_count, ((struct key){added_up(reader->study, by), falling}));
}
struct branch *add_branch(struct reader *reader, struct branch branch) {
  branch.measure = added_up(reader->study, branch.measure);
  ADD(reader, branches, branch_count, branch);
}

void add_related(struct reader *reader, size_t table) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->related_count; i++)
    if (out->related[i] == table) return;
  if (table != out->subject && out->related_count < READING_ROWS) out->related[out->related_count++] = table;
}

bool says_table(const struct study *study, const struct mention *mention, size_t table) {
  for (size_t i = mention->from; i < mention->to; i++)
    for (size_t w = 0; w < study->names.table_counts[table]; w++)
      if (study->tokens.items[i].kind == TOKEN_WORD && study->names.table_words[table][w] == study->tokens.items[i].word) return true;
  return false;
}

const struct link *value_over_synonym(const struct study *study, const struct mention *mention) {
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *value = &mention->links[i];
    if (value->kind != LINK_VALUE || value->score < SURE_VALUE || says_table(study, mention, value->table)) continue;
    for (size_t k = 0; k < mention->count; k++)
      if (mention->links[k].kind == LINK_TABLE && mention->links[k].table == value->table) return value;
  }
  return NULL;
}

bool named_by(const struct study *study, const struct snap_column *column, const char *const *stems) {
  const struct word *words[NAME_WORDS];
  size_t n = names_split(column->name, study->arena, study->words, words);
  for (size_t w = 0; w < n; w++)
    for (size_t k = 0; stems[k]; k++)
      if (strcmp(words[w]->text, stems[k]) == 0) return true;
  return false;
}

bool additive(const struct study *study, const struct snap_column *column) {
  static const char *const sums[] = {"amount", "unit",     "quantiti", "sale",    "total",  "hour",    "revenu", "minut",   "point",
                                     "profit", "spend",    "volum",    "count",   "income", "expense", "energi", "output",  "consumpt",
                                     "sold",   "download", "attend",   "visitor", "mwh",    "kwh",     "mileag", "rainfal", NULL};
  return named_by(study, column, sums);
}
