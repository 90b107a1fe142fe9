/* settle_date.c - which date of a row a stretch of time is about: by the verb, by the column's name, or the one that says when the row came
 * to be. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* What happens at a date, and what such columns are called. */
static const char *const date_verbs[][2] = {{"place", "order created date"},
                                            {"make", "created order date"},
                                            {"create", "created"},
                                            {"add", "created added"},
                                            {"order", "order created"},
                                            {"buy", "order purchase sale created"},
                                            {"purchase", "purchase order created"},
                                            {"sell", "sale sold order"},
                                            {"register", "register signup join created member enroll"},
                                            {"sign", "signup register join created"},
                                            {"signed", "signup register join created"},
                                            {"join", "join hire signup register member created start"},
                                            {"hire", "hire join start employment"},
                                            {"born", "birth"},
                                            {"birth", "birth"},
                                            {"start", "start begin"},
                                            {"begin", "start begin"},
                                            {"end", "end finish"},
                                            {"finish", "end finish complete"},
                                            {"ship", "ship shipped"},
                                            {"deliver", "deliver delivery"},
                                            {"pay", "paid payment pay"},
                                            {"publish", "publish published"},
                                            {"release", "release"},
                                            {"built", "built construction year"},
                                            {"manufacture", "manufacture production year"},
                                            {"update", "update modify"},
                                            {"modify", "update modify"},
                                            {"due", "due"},
                                            {"expire", "expire expiry end"},
                                            {"return", "return"},
                                            {"rent", "rental rent"},
                                            {"borrow", "loan borrow checkout"},
                                            {"enroll", "enroll enrollment"},
                                            {"book", "book booking reserve created"},
                                            {"open", "open created"},
                                            {"close", "close closed"},
                                            {"resolve", "resolve closed"},
                                            {"cancel", "cancel"},
                                            {"complete", "complete finish end"},
                                            {"take", "date taken"},
                                            {"hold", "date held"},
                                            {"happen", "date"},
                                            {"occur", "date occur"},
                                            {"schedule", "schedule date appointment"},
                                            {"visit", "visit date"},
                                            {"admit", "admit admission"},
                                            {"discharge", "discharge"},
                                            {"found", "found founded established"},
                                            {"issue", "issue date"},
                                            {"invoice", "invoice issue date"},
                                            {"post", "post posted created"},
                                            {"submit", "submit created"},
                                            {"launch", "launch start"},
                                            {"receive", "receive received date"},
                                            {"last", "last"},
                                            {"review", "review created date"},
                                            {"depart", "depart departure"},
                                            {"arrive", "arrive arrival"},
                                            {"login", "login"},
                                            {"log", "login"},
                                            {"transact", "transaction date"}};

/* A date column's worth when nothing was said: the one that says when the row came to be. */
static double date_rank(struct reader *reader, size_t table, const struct snap_column *column) {
  struct study *study = reader->study;
  const struct word *words[NAME_WORDS];
  size_t count = names_split(column->name, study->arena, study->words, words), own = study->names.table_counts[table];
  double rank = 0.3;
  for (size_t i = 0; i < count; i++) {
    const char *text = words[i]->text;
    if (strncmp(text, "updat", 5) == 0 || strncmp(text, "modif", 5) == 0 || strncmp(text, "delet", 5) == 0 ||
        strncmp(text, "load", 4) == 0 || strncmp(text, "birth", 5) == 0)
      return 0.05;
    if (strncmp(text, "creat", 5) == 0 || strncmp(text, "insert", 6) == 0) rank = 0.45;
    static const char *const begins[] = {"open",  "place", "submit", "start",  "book",    "regist",
                                         "order", "sign",  "join",   "report", "request", "issu"};
    for (size_t b = 0; b < sizeof begins / sizeof *begins && rank < 0.5; b++)
      if (strncmp(text, begins[b], strlen(begins[b])) == 0) rank = 0.5;
    static const char *const ends[] = {"deliv", "return", "clos", "complet", "cancel", "end", "resolv", "finish"};
    double alike = own ? words_alike(words[i], study->names.table_words[table][own - 1]) : 0;
    bool outcome = false; /* what became of it, not when it came to be */
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) outcome |= strncmp(text, ends[e], strlen(ends[e])) == 0;
    if (alike == 1 || (alike > 0 && !outcome)) rank = 0.8;
  }
  if (count == 1 && strcmp(words[0]->text, "date") == 0) rank = 0.85;
  if (count == 2 && rank < 0.4 && strcmp(words[count - 1]->text, "date") == 0 && strcmp(words[0]->text, "full") == 0) rank = 0.8;
  return rank;
}

static const char *verb_columns(const char *stem, struct words *words) {
  for (size_t i = 0; i < sizeof date_verbs / sizeof *date_verbs; i++) {
    const struct word *word = words_of(words, date_verbs[i][0]);
    if (word && strcmp(word->text, stem) == 0) return date_verbs[i][1];
  }
  return NULL;
}

bool participle_like(const char *lower) {
  size_t len = strlen(lower);
  return len > 4 && (strcmp(lower + len - 2, "ed") == 0 || strcmp(lower + len - 3, "ing") == 0);
}

const char *date_words(struct reader *reader, size_t at) {
  const struct token *token = token_at(reader, at);
  const char *columns = token->kind == TOKEN_WORD ? verb_columns(token->word->text, reader->study->words) : NULL;
  return arena_printf(reader->study->arena, "%s %s", token_lower(reader, at), columns ? columns : "");
}

/* By a verb or noun within a few words before the date: "hired in 2020", "delivery date before …". */
bool date_by_verb(struct reader *reader, size_t at, size_t table, struct place *ret_place) {
  struct study *study = reader->study;
  for (size_t back = 1; back <= 5 && back <= at; back++) {
    const struct token *token = &study->tokens.items[at - back];
    if (token->kind != TOKEN_WORD || token_is(reader, at - back, "date|day|time|last|first")) continue;
    const struct link *named = mention_best(mention_at(reader, at - back), LINK_COLUMN); /* "check-ins in July" */
    if (named && named->table == table && named->score >= 0.95 && column_temporal(named->column) &&
        mention_at(reader, at - back)->to > at - back + 1) {
      *ret_place = (struct place){.table = table, .column = named->column};
      return true;
    }
    const struct link *noun = mention_best(mention_at(reader, at - back), LINK_TABLE); /* "order" before "value by month" is a thing */
    bool rows = noun && noun->score >= 0.99 && !mention_at(reader, at - back)->verb;
    if (rows && (noun->table != table || words_plural(token->lower))) continue;
    const char *columns = verb_columns(token->word->text, study->words);
    bool verb = columns || (!study_glue(token->lower) && participle_like(token->lower));
    if (!verb) continue;
    if (find_concept(reader, table, arena_printf(study->arena, "%s %s", token->lower, columns ? columns : ""), WANT_DATE, ret_place)) {
      study->explained[at - back] = true;
      return true;
    }
  }
  return false;
}

/* The one date that every row has: when it began, where the others say what became of it. */
static bool sole_date(const struct snap_table *table, const struct snap_column *date) {
  for (size_t c = 0; c < table->column_count; c++)
    if (column_temporal(&table->columns[c]) && table->columns[c].not_null != (&table->columns[c] == date)) return false;
  return true;
}

static bool only_date(struct reader *reader, size_t table, struct place *ret_place) {
  const struct snap_table *snap = study_table(reader->study, table);
  const struct snap_column *best = NULL, *rival = NULL;
  double most = 0, next = 0;
  for (size_t c = 0; c < snap->column_count; c++) {
    if (!column_temporal(&snap->columns[c])) continue;
    double rank = date_rank(reader, table, &snap->columns[c]);
    if (rank > most) {
      next = most, rival = best;
      most = rank, best = &snap->columns[c];
    } else if (rank > next) {
      next = rank, rival = &snap->columns[c];
    }
  }
  if (!best) return false;
  if (rival && most - next < 0.1 && rival->not_null && !best->not_null && sole_date(snap, rival))
    best = rival; /* every row has it */
  else if (rival && most - next < 0.1 && !sole_date(snap, best)) {
    const char *const choices[] = {best->name, rival->name, NULL};
    study_doubt(reader->study, choices, "Which date of %s is meant?", snap->qualified);
    return false;
  }
  *ret_place = (struct place){.table = table, .column = best};
  return true;
}

/* A table without dates has its parent's: order items were ordered when their order was. */
static bool parents_date(struct reader *reader, size_t at, size_t table, struct place *ret_place) {
  const struct join_graph *graph = &reader->study->graph;
  size_t found = 0;
  for (int pass = 0; pass < 2 && !found; pass++) /* those named in the question first */
    for (size_t i = 0; i < graph->edge_count && !reader->study->doubt; i++) {
      const struct join_edge *edge = &graph->edges[i];
      if (edge->from != table || edge->to == table || (pass == 0) != reader->study->mentioned[edge->to]) continue;
      const struct snap_table *to = study_table(reader->study, edge->to);
      struct place place;
      bool has = date_by_verb(reader, at, edge->to, &place);
      for (size_t c = 0; !has && c < to->column_count; c++)
        if (column_temporal(&to->columns[c]) && date_rank(reader, edge->to, &to->columns[c]) >= 0.5)
          has = only_date(reader, edge->to, &place);
      if (!has || (edge->role_count && !edge->said && found)) continue;
      if (found++ == 0 || edge->said) *ret_place = place;
    }
  return found > 0 && !reader->study->doubt;
}

bool settle_date(struct reader *reader, size_t at, size_t table, struct place *ret_place) {
  struct study *study = reader->study;
  /* a column right before: "order date after 2020" */
  for (size_t back = 1; back <= 3 && back <= at; back++) {
    const struct mention *mention = mention_at(reader, at - back);
    if (mention && mention->to == mention->from + 1 && dates_unit(token_lower(reader, mention->from)) != UNIT_NONE)
      continue; /* "per month in 2026" */
    size_t gap = mention ? mention->to : at;
    while (gap < at && token_is(reader, gap, "is|was|are|were|of|on")) gap++;
    const struct link *table_said = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
    if (table_said && column && table_said->score > column->score) continue; /* "shipments in 2024" */
    if (mention && gap == at && !mention->verb && column && settle_column(reader, mention, WANT_DATE, ret_place)) {
      if (mention->to == mention->from + 1 && token_is(reader, mention->from > 0 ? mention->from - 1 : 0, "that|which|who"))
        study->explained[mention->from] = true; /* "sessions that start next week" */
      return true;
    }
    if (study->doubt) return false;
  }
  if (table == NO_TABLE) return false;
  return date_by_verb(reader, at, table, ret_place) || (!study->doubt && only_date(reader, table, ret_place)) ||
         (!study->doubt && parents_date(reader, at, table, ret_place));
}
