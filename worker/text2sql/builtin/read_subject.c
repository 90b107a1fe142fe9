/* read_subject.c - the table a question asks about. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"
#include "worker/text2sql/builtin/write.h"

/* "names of parts": the table that the column named is of. */
static size_t owner_named(const struct reader *reader, const struct mention *mention) {
  const struct link *column = mention_best(mention, LINK_COLUMN);
  size_t last = mention ? mention->to - 1 : 0;
  if (!column || last < mention->from + 2 || !token_is(reader, mention->from + 1, "of")) return NO_TABLE;
  struct mention noun = {.from = last, .to = mention->to};
  return says_table(reader->study, &noun, column->table) ? column->table : NO_TABLE;
}

/* "stadium names": of the rows that are called so. */
static size_t owner_called(const struct reader *reader, const struct mention *mention) {
  const struct link *column = mention_best(mention, LINK_COLUMN);
  const struct snap_column *display[2];
  if (!column || mention->verb || mention->to < mention->from + 2 || column->score < 0.95) return NO_TABLE;
  struct mention noun = {.from = mention->from, .to = mention->from + 1};
  if (!says_table(reader->study, &noun, column->table) || reader->study->names.table_counts[column->table] != 1) return NO_TABLE;
  size_t n = study_display(reader->study, column->table, display);
  return n && display[0] == column->column ? column->table : NO_TABLE;
}

static bool behind_group_word(const struct reader *reader, size_t at) {
  for (size_t back = 1; back <= 4 && back <= at; back++) {
    const char *lower = token_lower(reader, at - back);
    bool list = token_is(reader, at - back, "each|every") &&
                (at == back || token_is(reader, at - back - 1, "list|show|display|give|of|return|get|find|does|do|did"));
    if (list) return false;
    if (token_is(reader, at - back, "per|each|every|by")) return true;
    if (!token_is(reader, at - back, "the|and|,|a") && !mention_at(reader, at - back)) return false;
    if (!*lower) return false;
  }
  return false;
}

bool only_kind_of(const struct reader *reader, const struct mention *mention) {
  const struct mention *next = mention ? mention_at(reader, mention->to) : NULL;
  const struct link *kind = mention_best(mention, LINK_TABLE), *rows = mention_best(next, LINK_TABLE);
  if (!kind || !rows || mention->verb || next->verb || rows->score < 0.95 || kind->score < 0.75 || rows->table == kind->table) return false;
  return words_plural(token_lower(reader, next->to - 1)) && !words_plural(token_lower(reader, mention->to - 1)) &&
         !mention_best(next, LINK_VALUE);
}

/* "Which finished goods have no order?": rows that are called by a value, where that is said of one table only. */
static size_t rows_of_value(const struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at), *next = mention ? mention_at(reader, mention->to) : NULL;
  if (at == 0 || !mention || mention->verb || mention_best(next, LINK_TABLE) || reader->study->tokens.items[at].kind != TOKEN_WORD)
    return NO_TABLE;
  if (!token_is(reader, at - 1, "which|what|list|show|all|many|every|me") || !words_plural(token_lower(reader, mention->to - 1)))
    return NO_TABLE;
  size_t found = NO_TABLE;
  for (size_t i = 0; i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    const struct snap_column *display[2]; /* "cats": no rows of a table of kinds */
    if (link->kind == LINK_VALUE && study_display(reader->study, link->table, display) && display[0] == link->column) return NO_TABLE;
    if (link->kind != LINK_VALUE || (found != NO_TABLE && found != link->table)) return NO_TABLE;
    found = link->table;
  }
  return found;
}

/* The first table that is asked about, not grouped by, and not in a clause; else the first at all that isn't grouped by. */
static size_t first_table(struct reader *reader) {
  size_t found = NO_TABLE;
  for (size_t at = 0; at < reader->study->tokens.count; at++) {
    const struct mention *mention = mention_at(reader, at);
    const struct link *table = mention_best(mention, LINK_TABLE), *kind = value_over_synonym(reader->study, mention);
    size_t owner = owner_named(reader, mention);
    if (owner == NO_TABLE && !behind_group_word(reader, at)) owner = owner_called(reader, mention);
    if (owner != NO_TABLE) {
      reader->study->mentioned[owner] = true;
      return owner;
    }
    if (kind && !behind_group_word(reader, at)) return kind->table;
    size_t called = rows_of_value(reader, at);
    if (called != NO_TABLE) return called;
    if (!table || (mention->verb && !(at == 1 && token_is(reader, 0, "who"))) || behind_group_word(reader, at)) continue;
    const struct link *column = mention_best(mention, LINK_COLUMN), *value = mention_best(mention, LINK_VALUE);
    bool synonym = column && !says_table(reader->study, mention, table->table) && says_word(reader, mention, column);
    if ((column && column->score > table->score + (synonym ? -0.2 : 0.05)) || (value && value->score > table->score + 0.16)) continue;
    if (table->score < 0.62 || only_kind_of(reader, mention)) continue;
    found = settle_table(reader, mention);
    if (found != NO_TABLE || reader->study->doubt) return found;
  }
  return found;
}

/* How far a table is from all that is mentioned, each where it is nearest. */
static double apart(struct study *study, size_t table) {
  double sum = 0;
  for (size_t at = 0; at < study->tokens.count; at++) {
    const struct mention *mention = study->at[at];
    double nearest = -1;
    for (size_t i = 0; mention && i < mention->count; i++) {
      if (mention->links[i].table == NO_TABLE) continue;
      double distance = study_distance(study, table, mention->links[i].table);
      if (nearest < 0 || distance < nearest) nearest = distance;
    }
    sum += nearest > 0 ? nearest : 0;
  }
  return sum;
}

/* A value that names a row of a table of kinds, which rows of this one refer to: what it is worth here. */
static double of_a_kind(struct study *study, const struct mention *mention, size_t table) {
  const struct link *value = mention_best(mention, LINK_VALUE);
  const struct snap_column *display[2];
  if (!value || study_table(study, value->table)->column_count > 3 || !study_display(study, value->table, display) ||
      display[0] != value->column)
    return 0;
  for (size_t i = 0; i < study->graph.edge_count; i++)
    if (study->graph.edges[i].from == table && study->graph.edges[i].to == value->table) return 1.2 * value->score;
  return 0;
}

/* Without a table named: the one that most of the mentioned things are in. */
static size_t central_table(struct reader *reader) {
  struct study *study = reader->study;
  size_t best = NO_TABLE;
  double most = 0;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    double sum = 0, weight = 1.3, kinds = 0;
    bool named_kinds = false;
    for (size_t at = 0; at < study->tokens.count; at++) {
      const struct mention *mention = mention_at(reader, at);
      double score = 0;
      const struct link *exact = mention_best(mention, LINK_COLUMN);
      bool hours = dates_unit(token_lower(reader, at)) == UNIT_HOUR && exact && exact->score >= 0.95;
      if (mention && mention->to == at + 1 && dates_unit(token_lower(reader, at)) != UNIT_NONE && !hours) continue;
      for (size_t i = 0; mention && i < mention->count; i++) {
        const struct link *link = &mention->links[i];
        bool key = link->kind == LINK_COLUMN && column_key(&study->snapshot->tables[t], link->column);
        bool own = key && link->score >= 0.99 && column_primary(&study->snapshot->tables[t], link->column); /* "Kyle's id" */
        double less = key && !own ? 0.3 : 0;
        if (link->table == t && link->kind != LINK_ROLE && link->score - less > score) score = link->score - less;
      }
      double kind = score > 0 ? 0 : of_a_kind(study, mention, t);
      kinds += weight * kind;
      named_kinds |= kind > 0 && words_plural(token_lower(reader, mention->to - 1)) && !study->tokens.items[mention->from].capital;
      sum += weight * score;
      if (mention) weight = 1;
    }
    if (sum > 0.5 || named_kinds) sum += kinds; /* "dogs": pets whose species is that, where more is said of pets */
    if (table_readable(&study->snapshot->tables[t]) &&
        (study->snapshot->tables[t].kind == SNAP_VIEW || study->snapshot->tables[t].kind == SNAP_MATVIEW))
      sum -= 0.2;
    bool tied = best != NO_TABLE && sum > most - 0.01 && sum <= most + 0.01 && sum > 0.5;
    if (sum > most + 0.01 || (tied && apart(study, t) < apart(study, best) - 0.1)) most = sum, best = t;
  }
  return best;
}

static void mark_mentioned(struct reader *reader) {
  struct study *study = reader->study;
  for (size_t at = 0; at < study->tokens.count; at++) {
    const struct mention *mention = mention_at(reader, at);
    const struct link *best = mention_best(mention, LINK_TABLE);
    for (size_t i = 0; best && i < mention->count; i++)
      if (mention->links[i].kind == LINK_TABLE && mention->links[i].score >= best->score - 0.05)
        study->mentioned[mention->links[i].table] = true;
  }
}

bool person_like(const struct study *study, size_t table) {
  static const char *const people[] = {
      "custom", "customer", "passeng", "user",   "employee", "employe", "agent",      "student", "teacher", "patient",
      "doctor", "player",   "member",  "guest",  "author",   "driver",  "client",     "person",  "request", "staff",
      "actor",  "director", "seller",  "owner",  "subscrib", "viewer",  "reader",     "voter",   "worker",  "coach",
      "refere", "nurs",     "pilot",   "singer", "candid",   "applic",  "learner",    "visitor", "travel",  "rider",
      "volunt", "emp",      "cust",    "tenant", "donor",    "artist",  "instructor", "contact", "account"};
  size_t count = study->names.table_counts[table];
  for (size_t i = 0; count && i < sizeof people / sizeof *people; i++)
    if (strcmp(study->names.table_words[table][count - 1]->text, people[i]) == 0) return true;
  return false;
}

/* "Who spent the most on tickets?": people that the table named belongs to, when there is one kind of them. */
static size_t person_asked(struct reader *reader, size_t table) {
  struct study *study = reader->study;
  if (!token_is(reader, 0, "who") || table == NO_TABLE || study->doubt || person_like(study, table)) return table;
  for (size_t at = 1; at < 4; at++) { /* "Who is the editor of the section?": whose role it is */
    const struct link *role = mention_best(mention_at(reader, at), LINK_ROLE);
    if (role && role->edge->from == table && token_is(reader, mention_at(reader, at)->to, "of|for")) return table;
  }
  size_t found = NO_TABLE;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->from != table || !person_like(study, edge->to)) continue;
    if (found != NO_TABLE && found != edge->to) return table;
    found = edge->to;
  }
  return found == NO_TABLE ? table : found;
}

static bool says_headcount(const struct study *study) {
  for (size_t at = 0; at < study->tokens.count; at++)
    if (study_phrase(study, at, "headcount|head count")) return true;
  return false;
}

/* "For each certificate, show the student and the title": nothing is counted, so its rows are asked for. */
static size_t each_row(struct reader *reader) {
  size_t n = study_phrase(reader->study, 0, "for each|for every|for all");
  const struct mention *mention = n ? mention_at(reader, skip_glue(reader, n)) : NULL;
  if (!mention_best(mention, LINK_TABLE)) return NO_TABLE;
  for (size_t at = n; at < reader->study->tokens.count; at++)
    if (token_is(reader, at,
                 "number|count|average|total|sum|mean|maximum|minimum|max|min|most|many|much|median|avg|highest|lowest|percentage|share|"
                 "latest|first|last|oldest|newest|largest|smallest|cheapest|earliest|longest|best|top|revenue|sales"))
      return NO_TABLE;
  return settle_table(reader, mention);
}

/* "headcount": of those who work here, else of whatever people there are. */
static size_t heads(const struct study *study) {
  static const char *const staff[] = {"employe", "employee", "staff", "emp", "personnel", "worker"};
  size_t found = NO_TABLE;
  for (size_t t = study->snapshot->table_count; t-- > 0;) {
    size_t count = study->names.table_counts[t];
    if (!person_like(study, t) || !table_readable(study_table(study, t))) continue;
    found = t;
    for (size_t i = 0; i < sizeof staff / sizeof *staff; i++)
      if (strcmp(study->names.table_words[t][count - 1]->text, staff[i]) == 0) return t;
  }
  return found;
}

void find_subject(struct reader *reader) {
  mark_mentioned(reader);
  reader->out->subject = each_row(reader);
  if (reader->out->subject == NO_TABLE && !reader->study->doubt) reader->out->subject = person_asked(reader, first_table(reader));
  if (reader->out->subject == NO_TABLE && says_headcount(reader->study)) reader->out->subject = heads(reader->study);
  for (size_t at = 0; at < reader->study->tokens.count && reader->out->subject == NO_TABLE; at++) {
    const struct link *term = mention_best(mention_at(reader, at), LINK_TERM);
    if (term) reader->out->subject = term_root(reader->study, term->term);
  }
  if (reader->out->subject == NO_TABLE && !reader->study->doubt) reader->out->subject = person_asked(reader, central_table(reader));
  reader->last_table = reader->out->subject;
}
