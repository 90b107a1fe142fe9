/* settle.c - which of several columns or tables a mention means: by what is asked about, what stands beside it, and how far it is to join.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "worker/text2sql/builtin/read.h"

#define TIE 0.04
#define FOR_SUBJECT 0.30
#define FOR_BRANCH 0.32
#define FOR_MENTIONED 0.12
#define FOR_BESIDE 0.45
#define FOR_EXACT 0.2
#define FOR_GOING_ON 0.1
#define PER_STEP 0.08
#define KEY_UNASKED 0.25
#define VIEW_COST 0.12
#define UNRETRIEVED 0.2

bool wanted_fits(const struct snap_column *column, enum wanted wanted) {
  switch (wanted) {
  case WANT_NUMBER: return column_numeric(column);
  case WANT_DATE: return column_temporal(column);
  case WANT_TEXT: return !column_numeric(column) && !column_temporal(column) && !column_boolean(column);
  case WANT_MEASURABLE: return column_numeric(column) || column_temporal(column);
  case WANT_ANY: break;
  }
  return true;
}

static bool leads_table(const struct mention *mention, size_t table) {
  const struct link *best = mention_best(mention, LINK_TABLE);
  for (size_t i = 0; best && i < mention->count; i++)
    if (mention->links[i].kind == LINK_TABLE && mention->links[i].table == table && mention->links[i].score >= best->score - 0.05)
      return true;
  return false;
}

bool table_beside(const struct reader *reader, size_t from, size_t to, size_t table) {
  for (size_t back = 1; back <= 4 && back <= from; back++) {
    const struct mention *before = mention_at(reader, from - back);
    if (before && before->to == from && leads_table(before, table)) return true;
  }
  size_t lead = from; /* "guests whose name", "the party with id 3" */
  while (lead > 0 && lead + 2 > from && token_is(reader, lead - 1, "the|a|an")) lead--;
  const struct mention *whose = NULL;
  for (size_t back = 2; lead > 0 && back <= 5 && back <= lead && token_is(reader, lead - 1, "whose|with"); back++)
    if (mention_at(reader, lead - back) && mention_at(reader, lead - back)->to == lead - 1) whose = mention_at(reader, lead - back);
  if (whose && leads_table(whose, table)) return true;
  size_t after = to;
  while (token_is(reader, after, "and|,") && mention_at(reader, skip_glue(reader, after + 1))) { /* "name and price of products" */
    const struct mention *next = mention_at(reader, skip_glue(reader, after + 1));
    if (mention_best(next, LINK_TABLE) && !mention_best(next, LINK_COLUMN)) return false;
    after = next->to;
  }
  if (!token_is(reader, after, "of|for|in|from")) return false;
  const struct mention *next = mention_at(reader, skip_glue(reader, after + 1));
  return leads_table(next, table);
}

static double column_worth(struct reader *reader, const struct mention *mention, const struct link *link) {
  struct study *study = reader->study;
  const struct snap_table *table = study_table(study, link->table);
  double worth = link->score;
  size_t subject = reader->out->subject;
  if (link->table == subject) worth += FOR_SUBJECT;
  if (reader->branch && reader->out->branches[reader->branch - 1].table == link->table) worth += FOR_BRANCH;
  if (study->mentioned[link->table]) worth += FOR_MENTIONED;
  if (table_beside(reader, mention->from, mention->to, link->table)) worth += FOR_BESIDE;
  bool goes_on = mention->from > 0 && token_is(reader, mention->from - 1, "and|,"); /* "codes and descriptions" */
  if (goes_on && reader->last_column.column && reader->last_column.table == link->table) worth += FOR_GOING_ON;
  if (subject != NO_TABLE && link->table != subject) {
    double distance = study_distance(study, subject, link->table);
    worth -= distance > 8 ? 0.8 : PER_STEP * distance;
  }
  if (link->score >= 0.99 && column_numeric(link->column)) worth += FOR_EXACT;
  bool asked = false;
  for (size_t i = mention->from; i < mention->to; i++) asked |= token_is(reader, i, "id|ids|key|code|number|identifier");
  if (column_key(table, link->column) && !asked) worth -= KEY_UNASKED;
  if (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW) worth -= VIEW_COST;
  return worth;
}

/* The same thing twice: both ends of a foreign key. */
static bool same_thing(const struct study *study, const struct link *a, const struct link *b) {
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    bool ab = edge->from == a->table && edge->to == b->table, ba = edge->from == b->table && edge->to == a->table;
    if (!ab && !ba) continue;
    const struct link *from = ab ? a : b, *to = ab ? b : a;
    for (size_t c = 0; c < edge->column_count; c++)
      if (strcmp(edge->from_columns[c], from->column->name) == 0 && strcmp(edge->to_columns[c], to->column->name) == 0) return true;
  }
  return false;
}

static void doubt_columns(struct reader *reader, const struct mention *mention, const struct link *a, const struct link *b) {
  struct study *study = reader->study;
  const char *first = arena_printf(study->arena, "%s.%s", study_table(study, a->table)->qualified, a->column->name);
  const char *second = arena_printf(study->arena, "%s.%s", study_table(study, b->table)->qualified, b->column->name);
  study_doubt(study, (const char *const[]){first, second, NULL}, "Which column is meant by \u201c%s\u201d?",
              study_words(study, mention->from, mention->to));
}

/* The column's name holds one of the words said, not only others for them. */
bool says_word(const struct reader *reader, const struct mention *mention, const struct link *link) {
  struct study *study = reader->study;
  const struct word *words[NAME_WORDS];
  size_t n = names_split(link->column->name, study->arena, study->words, words);
  for (size_t w = 0; w < n; w++)
    for (size_t i = mention->from; i < mention->to; i++)
      if (study->tokens.items[i].kind == TOKEN_WORD && words[w] == study->tokens.items[i].word) return true;
  const char *name = link->column->name; /* "isgraduated" */
  size_t prefix = strncasecmp(name, "is", 2) == 0 ? 2 : strncasecmp(name, "has", 3) == 0 ? 3 : 0;
  return prefix && mention->to == mention->from + 1 && strcasecmp(name + prefix, study->tokens.items[mention->from].lower) == 0;
}

/* Somewhere within reach a column is called so exactly: another word for it elsewhere is no match for that. */
static bool exact_in_reach(struct reader *reader, const struct mention *mention, enum wanted wanted) {
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind == LINK_COLUMN && link->score >= 0.99 && wanted_fits(link->column, wanted) &&
        !column_key(study_table(reader->study, link->table), link->column) &&
        study_distance(reader->study, reader->out->subject, link->table) < 6)
      return true;
  }
  return false;
}

/* "user ID" of users, which only their notifications call user_id: the key that it leads to, without a join. */
static void own_key(const struct reader *reader, struct place *place) {
  const struct study *study = reader->study;
  size_t subject = reader->out->subject;
  for (size_t i = 0; subject != NO_TABLE && place->table != subject && i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->from != place->table || edge->to != subject || edge->role_count || edge->column_count != 1) continue;
    const struct snap_column *key = table_key_column(study_table(study, subject));
    if (!key || strcmp(edge->from_columns[0], place->column->name) != 0 || strcmp(edge->to_columns[0], key->name) != 0) continue;
    *place = (struct place){.table = subject, .column = key};
    return;
  }
}

bool settle_column(struct reader *reader, const struct mention *mention, enum wanted wanted, struct place *ret_place) {
  const struct link *best = NULL, *rival = NULL;
  double most = -9, next = -9;
  bool exact = exact_in_reach(reader, mention, wanted);
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if ((link->kind != LINK_COLUMN && link->kind != LINK_FLAG) || !wanted_fits(link->column, wanted)) continue;
    if (best && link->table == best->table && link->column == best->column) continue;
    double worth = column_worth(reader, mention, link);
    if (exact && !says_word(reader, mention, link)) worth -= 0.5;
    if (worth > most) {
      next = most, rival = best;
      most = worth, best = link;
    } else if (worth > next) {
      next = worth, rival = link;
    }
  }
  if (!best || most < 0.3) return false;
  if (rival && most - next < TIE && !same_thing(reader->study, best, rival)) {
    doubt_columns(reader, mention, best, rival);
    return false;
  }
  *ret_place = (struct place){.table = best->table, .column = best->column};
  own_key(reader, ret_place);
  return true;
}

size_t settle_table(struct reader *reader, const struct mention *mention) {
  struct study *study = reader->study;
  const struct link *best = NULL, *rival = NULL;
  double most = 0, next = 0;
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_TABLE) continue;
    const struct snap_table *table = study_table(study, link->table);
    double worth = link->score - (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW ? VIEW_COST : 0);
    for (size_t w = 0; w < study->names.table_counts[link->table]; w++) /* "items": order_items rather than products */
      for (size_t t = mention->from; t < mention->to; t++)
        if (study->tokens.items[t].kind == TOKEN_WORD && study->tokens.items[t].word == study->names.table_words[link->table][w])
          worth += 0.05;
    if (worth > link->score + 0.06) worth = link->score + 0.06;
    bool relevant = !study->request->relevant;
    for (size_t r = 0; r < study->request->relevant_count && !relevant; r++) relevant = study->request->relevant[r] == table;
    if (!relevant) worth -= UNRETRIEVED;
    if (worth > most) {
      next = most, rival = best;
      most = worth, best = link;
    } else if (worth > next) {
      next = worth, rival = link;
    }
  }
  if (!best) return NO_TABLE;
  if (rival && most - next < TIE) {
    const char *const choices[] = {study_table(study, best->table)->qualified, study_table(study, rival->table)->qualified, NULL};
    study_doubt(study, choices, "Which table is meant by \u201c%s\u201d?", study_words(study, mention->from, mention->to));
    return NO_TABLE;
  }
  return best->table;
}

/* "delay_minutes" are no length of the row: a unit counts as a concept alone, or with a word for time or length. */
static bool unit_of_another(const struct name *name, const struct word *word) {
  static const char *const units[] = {"minut", "second", "hour", "day"};
  static const char *const about[] = {"durat", "length", "run", "runtim", "time", "total", "play", "long"};
  bool unit = false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) unit |= strcmp(word->text, units[i]) == 0;
  for (size_t w = 0; unit && w < name->count; w++) {
    bool fine = name->words[w] == word;
    for (size_t i = 0; i < sizeof about / sizeof *about && !fine; i++) fine = strcmp(name->words[w]->text, about[i]) == 0;
    if (!fine) return true;
  }
  return false;
}

bool find_concept(struct reader *reader, size_t table, const char *concepts, enum wanted wanted, struct place *ret_place) {
  struct study *study = reader->study;
  char *row = arena_strdup(study->arena, concepts), *rest = NULL;
  if (table == NO_TABLE || !row) return false;
  for (char *one = strtok_r(row, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
    const struct word *word = words_of(study->words, one);
    const struct name *best = NULL;
    double most = 0.55, next = 0;
    for (size_t i = 0; word && i < study->names.count; i++) {
      const struct name *name = &study->names.items[i];
      if (name->table_at != table || !name->column || !wanted_fits(name->column, wanted) || name->owned ||
          column_key(name->table, name->column))
        continue;
      bool exact = false;
      for (size_t w = 0; w < name->count; w++) exact |= name->words[w] == word;
      if (unit_of_another(name, word)) continue;
      double score = exact ? names_match(name, &word, 1) : 0;
      if (score > most) {
        next = best && best->column != name->column ? most : next;
        most = score, best = name;
      } else if (best && best->column != name->column && score > next) {
        next = score;
      }
    }
    if (!best) continue;
    if (most - next < TIE) return false;
    *ret_place = (struct place){.table = table, .column = best->column};
    return true;
  }
  return false;
}

/* A person that a skipper is: the one table above whose rows say what a row of this one is like. NO_TABLE: there is none. */
static size_t same_being(const struct study *study, size_t table) {
  static const char *const beings[] = {"person", "peopl", "individu", NULL};
  size_t found = NO_TABLE;
  for (size_t i = 0; table != NO_TABLE && i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    size_t count = study->names.table_counts[edge->to];
    const char *name = count ? study->names.table_words[edge->to][count - 1]->text : "";
    bool being = edge->single;
    for (size_t k = 0; beings[k] && !being; k++) being = strcmp(name, beings[k]) == 0;
    if (edge->from != table || edge->to == table || edge->role_count || edge->audit || !being) continue;
    if (found != NO_TABLE && found != edge->to) return NO_TABLE;
    found = edge->to;
  }
  return found;
}

bool find_trait(struct reader *reader, size_t table, const char *concepts, enum wanted wanted, struct place *ret_place) {
  return find_concept(reader, table, concepts, wanted, ret_place) ||
         find_concept(reader, same_being(reader->study, table), concepts, wanted, ret_place);
}
