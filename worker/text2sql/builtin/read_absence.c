/* read_absence.c - "without orders", "never", "nobody": conditions on other rows that there are not, and on what a row itself lacks. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* The next thing that is meant within a few words: "placed any orders", "a single review". */
static const struct mention *next_mention(const struct reader *reader, size_t at, size_t within) {
  for (size_t p = at; p < at + within; p++) {
    const struct mention *mention = mention_at(reader, p);
    if (mention) return mention;
    size_t len = strlen(token_lower(reader, p));
    if (turns_meaning(token_lower(reader, p)) && !token_is(reader, p, "left")) return NULL;
    if (verb_neutral(reader->study, p)) continue;
    if (len > 4 && strcmp(token_lower(reader, p) + len - 2, "ed") == 0) continue; /* "assigned to any" */
    if (!token_is(reader, p,
                  "any|a|an|the|single|teach|attend|own|use|visit|buy|order|sell|write|work|take|rent|borrow|publish|supply|manage|lead|"
                  "review|submit|participate|play|direct|offer|host|contain|include|belong|appear|placed|made|been|yet|ever|have|had|has|"
                  "received|get|got|given|at|all|their|its|in|written|taken|"
                  "bought|place|make|left|us|me|seen|out|up|in|purchased|by|associated|related|corresponding|matching|one|to|on|with|of|"
                  "for|from"))
      return NULL;
  }
  return NULL;
}

/* Conditions that follow belong to the rows that are not there. */
static size_t absent_table(struct reader *reader, const struct mention *mention, size_t at) {
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE) return 0;
  if (which == reader->out->subject) { /* "employees without employees"? a role perhaps */
    return 0;
  }
  struct branch *branch = add_branch(reader, (struct branch){.table = which, .absent = true});
  if (!branch) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = which;
  reader->study->mentioned[which] = true;
  return mention->to - at;
}

static size_t absent_role(struct reader *reader, const struct mention *mention, size_t at) {
  struct study *study = reader->study;
  const struct link *role = mention_best(mention, LINK_ROLE);
  if (!role || role->edge->from != reader->out->subject) return 0;
  const struct snap_table *table = study_table(study, role->edge->from);
  for (size_t c = 0; c < table->column_count; c++) {
    if (strcmp(table->columns[c].name, role->edge->from_columns[0]) != 0) continue;
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {role->edge->from, &table->columns[c], NULL}}, at);
    return mention->to - at;
  }
  return 0;
}

/* "shifts nobody has taken": of the one person a row may belong to, and needs not. */
static size_t own_person(struct reader *reader, size_t at, size_t verb) {
  const struct study *study = reader->study;
  const struct snap_table *table = reader->out->subject != NO_TABLE ? study_table(study, reader->out->subject) : NULL;
  const struct snap_column *found = NULL;
  if (!table || !verb_neutral(study, verb) || !study_phrase(study, at, "nobody|no one")) return 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->from != reader->out->subject || edge->column_count != 1 || !person_like(study, edge->to)) continue;
    if (found) return 0;
    for (size_t c = 0; c < table->column_count; c++)
      if (strcmp(table->columns[c].name, edge->from_columns[0]) == 0) found = &table->columns[c];
  }
  if (!found || found->not_null) return 0;
  struct filter filter = {.kind = FILTER_NULL, .of = {.table = reader->out->subject, .column = found}};
  return add_filter(reader, filter, at) ? verb + 1 - at : 0;
}

/* "trainings nobody took": of the one kind of rows that belong to them. */
static size_t only_child(struct reader *reader, size_t at, size_t verb) {
  const struct study *study = reader->study;
  size_t found = NO_TABLE;
  if (!verb_neutral(study, verb) || reader->out->subject == NO_TABLE) return 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->to != reader->out->subject || edge->from == reader->out->subject) continue;
    if (found != NO_TABLE && found != edge->from) return 0;
    found = edge->from;
  }
  if (found == NO_TABLE || !add_branch(reader, (struct branch){.table = found, .absent = true})) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = found;
  return verb + 1 - at;
}

/* "ordered in 2023 but not in 2024", "bought Laptop but not Phone": of what was done, other rows. */
static size_t denied_again(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  size_t n = study_phrase(study, at, "but not|and not|but never|but did not"), p = at + n;
  struct date_range range;
  struct join_path path;
  if (!n || !out->filter_count) return 0;
  const struct filter *last = &out->filters[out->filter_count - 1];
  size_t value_at = skip_glue(reader, p + (token_is(reader, p, "in|from|to|with|by") ? 1 : 0));
  const struct link *value = mention_best(mention_at(reader, value_at), LINK_VALUE);
  bool dated = last->kind == FILTER_DATE && dates_read(&study->tokens, p, study->arena, &range);
  bool same = last->kind == FILTER_IN && value && value->column == last->of.column;
  if ((!dated && !same) || last->branch || last->of.table == out->subject) return 0;
  if (!joins_path(&study->graph, out->subject, last->of.table, NULL, study->arena, &path) || path_single(&path)) return 0;
  if (!add_branch(reader, (struct branch){.table = last->of.table, .absent = true})) return 0;
  reader->branch = out->branch_count;
  reader->denied = p;
  return n;
}

struct absence {                /* "without orders", "never placed an order" */
  size_t at, behind;            /* its first token, the one behind its words */
  bool lack, never;             /* which kind of words */
  const struct mention *object; /* what there is none of */
};

static size_t lacking(const struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at,
                          "have neither|has neither|had neither|with neither|neither|nor|without|with no|with zero|have no|has no|had "
                          "no|having no|lacking|lack|lacks|with 0|have 0|has 0|not having|no");
  return n && token_is(reader, at, "no") && !token_is(reader, at > 0 ? at - 1 : 0, "there|are|is|with|that|have|has|but|or|and")
             ? TOKENS_MAX
             : n;
}

static size_t never_done(const struct reader *reader, size_t at) {
  return study_phrase(
      reader->study, at,
      "nobody has ever|nobody has|nobody ever|nobody|no one has ever|no one has|no one ever|no one|have never|has never|had never|were "
      "never|was never|are never|never|have not yet|has not yet|have not|has not|had not|did not|does "
      "not|do not|have not been|were not|are not|is not|was not|not been|haven|not|have yet to");
}

/* "not in the Books category": the value's own, a single one for each row. */
static bool negates_value(struct reader *reader, const struct absence *said) {
  struct study *study = reader->study;
  const struct mention *mention = said->object;
  const struct link *told = mention_best(mention, LINK_VALUE);
  if (!told || said->lack || mention->verb || told->score < 0.9) return false;
  if (mention_best(mention, LINK_TABLE) && !study->tokens.items[mention->from].capital) return false;
  return told->table == reader->out->subject || study_belongs(study, reader->out->subject, told->table);
}

/* "never booked a first class ticket": the rows, of whom the value is said. The tokens taken from `said->at`. */
static size_t absent_valued(struct reader *reader, const struct absence *said, const struct mention *value) {
  size_t behind = value->to + (token_is(reader, value->to, "class|type|kind|tier|plan|level") ? 1 : 0);
  if (!mention_best(value, LINK_VALUE) || value->verb || !mention_best(mention_at(reader, behind), LINK_TABLE)) return 0;
  size_t which = settle_table(reader, mention_at(reader, behind));
  if (which == NO_TABLE || which == reader->out->subject || !add_branch(reader, (struct branch){.table = which, .absent = true})) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = which;
  return value->from - said->at;
}

/* "never placed an order": the thing, not the doing. Tokens taken when that says all. */
static size_t find_object(struct reader *reader, struct absence *said) {
  const struct mention *done = said->object, *rows = mention_at(reader, done->to + (token_is(reader, done->to, "a|an|any") ? 1 : 0));
  const struct link *kind = mention_best(done, LINK_VALUE);
  bool doing = done->verb && token_is(reader, done->to, "a|an"); /* "never opened a ticket": no open ones */
  if (kind && !doing && kind->score >= 0.85 && rows && !rows->verb && mention_best(rows, LINK_TABLE) &&
      !token_is(reader, done->from, "placed|made|booked|created|ordered|bought")) { /* "no cancelled orders": none of that kind */
    size_t which = settle_table(reader, rows);
    if (which != NO_TABLE && which != reader->out->subject && add_branch(reader, (struct branch){.table = which, .absent = true})) {
      reader->branch = reader->out->branch_count;
      reader->last_table = which;
      return done->from - said->at;
    }
  }
  for (size_t q = done->to; q < done->to + 4; q++) {
    const struct mention *after = mention_at(reader, q);
    const struct link *table = mention_best(after, LINK_TABLE);
    if (table && !after->verb && table->score >= 0.75 && !mention_best(after, LINK_VALUE)) {
      if (settle_table(reader, after) != reader->out->subject) said->object = after;
      break;
    }
    size_t n = after ? absent_valued(reader, said, after) : 0;
    if (n) return n;
    if (after || !token_is(reader, q, "any|a|an|the|been|in|by|to|single|for|from|of|on")) break;
  }
  reader->study->doubt = NULL;
  return 0;
}

static bool possesses(const struct reader *reader, const struct absence *said) {
  bool has = said->never &&
             (token_is(reader, said->behind, "have|has|had") || token_is(reader, said->behind > 0 ? said->behind - 1 : 0, "have|has|had"));
  for (size_t q = said->at; q < said->object->from; q++) has |= token_is(reader, q, "have|has|had") && token_is(reader, q + 1, "a|an|any");
  return has;
}

/* Rows of another table that there are none of. */
static size_t absent_rows(struct reader *reader, const struct absence *said) {
  const struct mention *object = said->object;
  const struct link *table = mention_best(object, LINK_TABLE), *column = mention_best(object, LINK_COLUMN);
  bool own = column && column->table == reader->out->subject;
  if (said->never && object->verb && own && column_temporal(column->column)) return 0; /* the date there isn't */
  if (!table || table->score < (object->verb ? 0.5 : 0.6) || (own && table->score < column->score)) return 0;
  return absent_table(reader, object, said->at);
}

/* "do not have the nationality X": it is another one, not missing. */
static bool names_value(const struct reader *reader, const struct mention *column) {
  const struct mention *next = mention_at(reader, column->to + (token_is(reader, column->to, "of|as|=|:") ? 1 : 0));
  return mention_best(next, LINK_VALUE) || token_at(reader, column->to)->kind == TOKEN_QUOTED;
}

/* "without a phone number", "have no manager" */
static size_t absent_own(struct reader *reader, const struct absence *said) {
  const struct mention *object = said->object;
  const struct link *column = mention_best(object, LINK_COLUMN);
  size_t role = absent_role(reader, object, said->at);
  if (role) return role;
  bool given = said->lack || token_is(reader, said->behind > 0 ? said->behind - 1 : 0, "have|has|had") ||
               token_is(reader, said->behind, "have|has|had") ||
               (said->never && column && !object->verb && column->table == reader->out->subject && !column->column->not_null);
  struct place place;
  if (!given || !column || (!said->lack && names_value(reader, object)) || !settle_column(reader, object, WANT_ANY, &place)) return 0;
  if (place.table != reader->out->subject && place.column->not_null) { /* "nobody has redeemed": rows that say so */
    if (!add_branch(reader, (struct branch){.table = place.table, .absent = true})) return 0;
    reader->branch = reader->out->branch_count;
    reader->last_table = place.table;
  } else {
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place}, said->at);
  }
  return object->to - said->at;
}

/* "has not been serviced since 2024", "not logged in for the past 60 days": the last time was before. */
static size_t not_since(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = never_done(reader, at), verb = at + n;
  while (n && token_is(reader, verb, "been|yet|ever")) verb++;
  if (!n || reader->branch || reader->out->subject == NO_TABLE || !participle_like(token_lower(reader, verb))) return 0;
  struct place place;
  struct date_range range;
  size_t when = verb + 1, taken = 0;
  while (when < verb + 3 && !(taken = dates_read(&study->tokens, when, study->arena, &range))) when++;
  if (!taken || !range.from || range.to || !find_concept(reader, reader->out->subject, date_words(reader, verb), WANT_DATE, &place))
    return 0;
  struct filter filter = {.kind = FILTER_DATE, .of = place, .range = {.to = range.from}};
  if (!add_filter(reader, filter, at)) return 0;
  if (!place.column->not_null && !add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .either = true}, at)) return 0;
  return when + taken - at;
}

size_t rule_absence(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t again = denied_again(reader, at);
  if (again || (again = not_since(reader, at))) return again;
  size_t lack = lacking(reader, at), never = lack ? 0 : never_done(reader, at), n = lack + never;
  if (!n || n >= TOKENS_MAX || (mention_best(mention_at(reader, at), LINK_VALUE) && mention_at(reader, at)->to > at + 1)) return 0;
  struct absence said = {.at = at, .behind = at + n, .lack = lack != 0, .never = never != 0};
  if (token_is(reader, said.behind, "have|has|had") && token_is(reader, said.behind + 1, "a|an|any")) said.behind++;
  said.object = next_mention(reader, said.behind, 6);
  size_t person = said.object ? 0 : own_person(reader, at, said.behind);
  if (!said.object) return person || !never ? person : only_child(reader, at, said.behind);
  if (negates_value(reader, &said)) return 0;
  size_t taken = said.object->verb || never ? find_object(reader, &said) : 0;
  if (taken) return taken;
  if ((lack || possesses(reader, &said)) && (taken = absent_role(reader, said.object, at))) return taken;
  const struct link *value = mention_best(said.object, LINK_VALUE), *flag = mention_best(said.object, LINK_FLAG);
  if (flag && flag->score > 0.75 && flag->table == reader->out->subject) return 0; /* "not active": the flag's own */
  if (value && value->table == reader->out->subject && value->score >= 0.9) return 0;
  if ((taken = absent_rows(reader, &said)) || study->doubt) return taken;
  if (value && never && value->table != reader->out->subject) { /* "never bought 'Laptop'" */
    if (!add_branch(reader, (struct branch){.table = value->table, .absent = true})) return 0;
    reader->branch = reader->out->branch_count;
    reader->denied = at + n;
    return n;
  }
  return absent_own(reader, &said);
}
