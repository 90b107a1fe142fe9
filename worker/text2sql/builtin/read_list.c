/* read_list.c - what is shown: tables, their columns, and rows that play a role. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

size_t rule_role(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  const struct link *role = mention_best(mention, LINK_ROLE), *table = mention_best(mention, LINK_TABLE),
                    *column = mention_best(mention, LINK_COLUMN);
  const struct mention *next = role ? mention_at(reader, mention->to) : NULL;
  struct place place;
  bool theirs = next && !next->verb && role->edge->from == reader->out->subject &&
                mention_best(next, LINK_COLUMN) && /* "destination country" */
                (!mention_best(next, LINK_TABLE) || mention_best(next, LINK_TABLE)->score < mention_best(next, LINK_COLUMN)->score) &&
                find_concept(reader, role->table, study->tokens.items[next->from].lower, WANT_ANY, &place);
  const struct link *noun = mention_best(next, LINK_TABLE);
  if (role && noun && !next->verb && noun->table == role->edge->from && noun->score >= 0.95) return mention->to - at; /* "home matches" */
  if (!role || mention->verb || (!theirs && ((table && table->score > role->score) || (column && column->score > role->score + 0.05))))
    return 0;
  if (next && mention_best(next, LINK_TABLE) && settle_table(reader, next) == role->table) return mention->to - at;
  if (study->doubt) return 0;
  if (next && mention_best(next, LINK_COLUMN) &&
      find_concept(reader, role->table, study->tokens.items[next->from].lower, WANT_ANY, &place)) {
    place.role = role->edge;
    add_item(reader, (struct measure){.of = place});
    return next->to - at;
  }
  if (reader->where) return 0;
  const struct snap_column *display[2];
  size_t n = study_display(study, role->table, display);
  for (size_t i = 0; i < n; i++) add_item(reader, (struct measure){.of = {role->table, display[i], role->edge}});
  if (!n) return 0;
  if (!reader->out->listed && role->edge->from == reader->out->subject && at > 0 && !token_is(reader, at - 1, "of"))
    reader->out->listed = true;
  return mention->to - at;
}

/* "of products", "for each": a table that only says where a column is from. */
static bool only_qualifies(const struct reader *reader, size_t at) {
  size_t back = at;
  while (back > 0 && token_is(reader, back - 1, "the|a|an|all|any|our|their|these|those")) back--;
  return back > 0 && token_is(reader, back - 1, "of|for|from|in|on|at|by|to|among|across|within|over|through");
}

/* "customers who ordered": what was done draws its rows in, unless a date of the rows asked for is meant. */
static void done_to(struct reader *reader, const struct mention *verb, size_t which) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  struct place when; /* "students who enrolled in 2020": their own date, not rows of enrolments */
  reader->last_verb = verb;
  if (which == out->subject) {
    out->listed |= verb->from == 1 && token_is(reader, 0, "who");
    return;
  }
  bool dated = dates_read(&study->tokens, verb->to, study->arena, &(struct date_range){0}) &&
               (date_by_verb(reader, verb->to, out->subject, &when) ||
                (find_concept(reader, out->subject, date_words(reader, verb->from), WANT_NUMBER, &when) &&
                 named_by(study, when.column, (const char *const[]){"year", NULL})));
  if (dated) return;
  study->drawn[which] = true;
  if (mention_best(verb, LINK_TABLE)->score >= 0.75) add_related(reader, which);
}

/* A verb that a synonym makes a table of: "team plays", "countries listed". */
static bool says_only_that(const struct reader *reader, const struct mention *mention) {
  if (!mention->verb || mention_best(mention, LINK_TABLE)->score >= 0.95) return false;
  return token_is(reader, mention->from, "listed|named|called|given|recorded|shown|displayed|included") ||
         verb_neutral(reader->study, mention->from);
}

/* "category": a table, and a column of what is asked about. */
static bool own_column(struct reader *reader, const struct mention *mention, size_t which) {
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  struct place place;
  if (!column || column->score < table->score - 0.02 || which == reader->out->subject || mention->verb) return false;
  bool own = settle_column(reader, mention, WANT_ANY, &place) && place.table == reader->out->subject &&
             !column_key(study_table(reader->study, place.table), place.column);
  if (!own) reader->study->doubt = NULL;
  return own;
}

/* "the most completed appointments": counted already. */
static bool counted_already(const struct reading *out, size_t table) {
  for (size_t i = 0; table != out->subject && i < out->key_count; i++)
    if (out->keys[i].by.kind == MEASURE_COUNT && !out->keys[i].by.of.column && out->keys[i].by.of.table == table) return true;
  return false;
}

/* "customer names": the table only says whose column follows. */
static bool only_owner(struct reader *reader, const struct mention *mention, size_t which) {
  const struct mention *next = mention_at(reader, mention->to);
  struct place place;
  if (!mention_best(next, LINK_COLUMN) || mention_best(next, LINK_VALUE) || next->verb || mention_best(next, LINK_TABLE)) return false;
  if (token_is(reader, next->from, "name|names") && next->to == next->from + 1 && which != reader->out->subject) return true;
  return !study_phrase(reader->study, mention->from > 0 ? mention->from - 1 : 0, "which|all|list|show") &&
         settle_column(reader, next, WANT_ANY, &place) && place.table == which;
}

/* "how many departments offer any degree": that there are such, not how many of each. */
static bool only_there(const struct reader *reader, size_t at) {
  const struct measure *first = reader->out->items;
  if (!reader->out->item_count || first->kind != MEASURE_COUNT || first->of.column || first->of.table != reader->out->subject) return false;
  while (at > 0 && token_is(reader, at - 1, "a|an|any|the|some")) at--;
  return at > 0 && !token_is(reader, at - 1, "and|,|or|with|per|each|every|of|for|by|many|are|is|there|show|list");
}

/* "animals that have seen a vet", "did they call a doctor": that there is one, not which. */
static bool some_one(const struct reader *reader, size_t at) {
  if (at < 3 || !token_is(reader, at - 1, "a|an|any") || token_is(reader, at - 2, "and|,|with|per|of|for|by|in|is|are|was|were|show"))
    return false;
  for (size_t back = 2; back <= 4 && back <= at; back++)
    if (token_is(reader, at - back, "have|has|had|did|do|does")) return true;
  return false;
}

/* The rows asked for, or others beside them: "customers and their orders". False: nothing was made of it. */
static bool list_table(struct reader *reader, size_t at, size_t which) {
  struct reading *out = reader->out;
  const struct snap_column *display[2];
  if (which == out->subject) {
    bool measured_before = false;
    for (size_t i = 0; i < out->item_count; i++) measured_before |= out->items[i].kind != MEASURE_NONE;
    out->listed |= !measured_before || token_is(reader, at > 0 ? at - 1 : 0, "and|,|which|list|show|every");
    return true;
  }
  if (reader->top) return false;
  if (only_there(reader, at) || some_one(reader, at)) {
    add_related(reader, which);
    return true;
  }
  bool more =
      at > 1 && token_is(reader, at - 2, "and|,|with") && token_is(reader, at - 1, "the|a|an|what|which"); /* "and the orders they …" */
  if (!more && token_is(reader, at > 0 ? at - 1 : 0, "did|do|does|the|a|an|each") && out->item_count)
    return true; /* "did the customer …" */
  size_t shown = study_display(reader->study, which, display);
  for (size_t i = 0; i < shown; i++) add_item(reader, (struct measure){.of = {which, display[i], NULL}});
  if (!shown) add_related(reader, which);
  return true;
}

/* "bookings with member name and class title": what is shown beside them. */
static bool shown_with(struct reader *reader, const struct mention *mention, size_t which) {
  const struct mention *next = mention_at(reader, mention->to);
  const char *op;
  if (mention->from == 0 || !token_is(reader, mention->from - 1, "with") || !only_owner(reader, mention, which) || reader->study->doubt)
    return false;
  if (!study_belongs(reader->study, reader->out->subject, which)) return false;
  size_t p = next->to;
  if (read_comparison(reader, p, &op) || token_is(reader, p, "is|are|like|of|starting|containing|ending|=|that") ||
      mention_best(mention_at(reader, p), LINK_VALUE) || token_at(reader, p)->kind == TOKEN_QUOTED ||
      token_at(reader, p)->kind == TOKEN_NUMBER)
    return false;
  reader->where = false;
  return true;
}

size_t rule_table(struct reader *reader, size_t at) {
  struct reading *out = reader->out;
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  bool synonym = table && column && !says_table(reader->study, mention, table->table) && says_word(reader, mention, column);
  if (!table || (column && column->score > table->score + (synonym ? -0.2 : 0.1))) return 0; /* "city" is no location, but its name */
  bool state = table->score < 0.9 && at > 0 && token_is(reader, at - 1, "are|were") && !words_plural(token_lower(reader, mention->to - 1));
  if (state && !mention->verb) return 0; /* "machines are down": no rows of downtime */
  if (only_kind_of(reader, mention) && mention_best(mention_at(reader, mention->to), LINK_TABLE)->table == reader->out->subject)
    return mention->to - at;
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE || own_column(reader, mention, which)) return 0;
  size_t n = mention->to - at;
  reader->last_table = which;
  if (says_only_that(reader, mention)) return n;
  if (!mention->verb && which == out->subject && !reader->where && money_like(reader, mention->to)) return n; /* "ticket revenue" */
  if (mention->verb) {
    done_to(reader, mention, which);
    return n;
  }
  const struct branch *branch = reader->branch ? &out->branches[reader->branch - 1] : NULL;
  if (branch && branch->table == which) return n; /* said once more */
  if (branch && branch->absent && which != out->subject && study_belongs(reader->study, branch->table, which))
    return n; /* "not arranged to teach courses" */
  if (reader->where && which != out->subject && shown_with(reader, mention, which)) return n;
  if (reader->where && which != out->subject) {
    if (!only_qualifies(reader, at) || mention_best(mention_at(reader, mention->to), LINK_VALUE) == NULL) add_related(reader, which);
    return n;
  }
  if (counted_already(out, which)) return n;
  if (only_qualifies(reader, at) || out->ratio) {
    if (which != out->subject && reader->qualifier_count < READING_ROWS) reader->qualifiers[reader->qualifier_count++] = which;
    return n;
  }
  if (only_owner(reader, mention, which)) return n;
  return !reader->study->doubt && list_table(reader, at, which) ? n : 0;
}

/* "names of orchestras": whose; NO_TABLE: nobody's. */
static size_t owner_behind(const struct reader *reader, size_t at) {
  const struct mention *next = token_is(reader, at, "of|for") ? mention_at(reader, skip_glue(reader, at + 1)) : NULL;
  const struct link *table = mention_best(next, LINK_TABLE);
  if (!table || next->verb || (table->score < 0.95 && !says_table(reader->study, next, table->table)) || mention_at(reader, next->to) ||
      token_is(reader, next->to, "'s|'"))
    return NO_TABLE;
  return table->table;
}

/* "names" of people who have a first and a last one, or of rows called by something else. */
static bool show_names(struct reader *reader, const struct mention *mention) {
  struct study *study = reader->study;
  const struct mention *owner = mention->from > 0 ? mention_at(reader, mention->from - 1) : NULL; /* "customer name" */
  const struct link *whose = owner && owner->to == mention->from && !owner->verb ? mention_best(owner, LINK_TABLE) : NULL;
  size_t named = whose ? whose->table : NO_TABLE;
  for (size_t g = 0; g < reader->out->group_count && named == NO_TABLE && !token_is(reader, mention->to, "of"); g++)
    if (!reader->out->groups[g].of.column && reader->out->groups[g].each)
      named = reader->out->groups[g].of.table; /* "for each director, the name" */
  struct place place = {.table = named != NO_TABLE ? named : reader->out->subject};
  double exact = 0;
  bool settled = settle_column(reader, mention, WANT_TEXT, &place);
  size_t behind = named == NO_TABLE ? owner_behind(reader, mention->to) : NO_TABLE;
  if (behind != NO_TABLE && settled && place.table != behind && study_display(study, behind, (const struct snap_column *[2]){0}))
    named = behind;
  if (behind != NO_TABLE && settled && named == NO_TABLE && place.table != behind && !study_belongs(study, behind, place.table)) {
    study_doubt(study, NULL, "What are the rows of %s called by?", study_table(study, behind)->name);
    return false;
  }
  if (!settled && !study->doubt) return false;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].kind == LINK_COLUMN && mention->links[i].table == place.table && mention->links[i].score > exact)
      exact = mention->links[i].score;
  const struct snap_column *display[2];
  bool other = named != NO_TABLE && place.table != named; /* "continent name": not the country's */
  if (other) place.table = named;
  size_t n = exact < 0.99 || other ? study_display(study, place.table, display) : 0;
  if (n < 2 && !other && (settled || !n)) return false;
  if (!n) return false;
  study->doubt = NULL;
  for (size_t i = 0; i < n; i++) add_item(reader, (struct measure){.of = {place.table, display[i], NULL}});
  return true;
}

/* "has completed the most courses": the rows that say when, where they belong to those asked for. */
static void draw_done(struct reader *reader, const struct link *done, size_t at) {
  struct study *study = reader->study;
  if (!column_temporal(done->column) || done->column->not_null || done->table == reader->out->subject || reader->branch) return;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->from != done->table || edge->to != reader->out->subject) continue;
    study->drawn[done->table] = true;
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {done->table, done->column, NULL}, .negated = true}, at);
    return;
  }
}

/* "id of students": their key, whatever it is called. */
static size_t show_key(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place key = {.table = reader->out->subject};
  if (!token_is(reader, at, "id|ids") ||
      (mention ? mention->verb || mention->to != at + 1 || !mention_best(mention, LINK_COLUMN) : reader->where))
    return 0;
  for (size_t t = 0; t < study->snapshot->table_count; t++)
    if (study->mentioned[t] && table_beside(reader, at, at + 1, t)) key.table = t;
  key.column = table_key_column(study_table(study, key.table));
  return key.column && add_item(reader, (struct measure){.of = key}) ? 1 : 0;
}

/* "whose weight is over 10", "have CD as their format": the column of a condition, which is not asked for. */
static bool only_told(const struct reader *reader, const struct mention *mention) {
  size_t from = mention->from;
  if (from > 0 && token_is(reader, from - 1, "whose")) return token_is(reader, mention->to, "is|are|was|were|isn|=|equals|exceeds");
  return from > 1 && token_is(reader, from - 1, "their|its|the|a") && token_is(reader, from - 2, "as");
}

/* "tallest" is a height, but says which one. */
static bool says_extreme(const struct reader *reader, const struct mention *mention) {
  const char *lower = token_lower(reader, mention->from);
  size_t len = strlen(lower);
  return mention->to == mention->from + 1 && len > 5 && strcmp(lower + len - 3, "est") == 0 &&
         mention_best(mention, LINK_COLUMN)->score < 0.95;
}

/* "where is the oldest teacher from": the column that says it, of text. */
size_t rule_where(struct reader *reader, size_t at) {
  struct place place;
  static const char places[] = "hometown birthplace city town country nationality location place address state region origin";
  if (at || !token_is(reader, 0, "where") || !token_is(reader, 1, "is|are|was|were|do|does|did")) return 0;
  if (!find_concept(reader, reader->out->subject, places, WANT_TEXT, &place)) return 0;
  add_item(reader, (struct measure){.of = place});
  return 2;
}

/* "the distinct list of customer IDs" */
size_t rule_distinct(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "distinct list of|unique list of|distinct set of|unique set of|distinct lists of");
  if (n) reader->out->distinct = true;
  return n;
}

size_t rule_column(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  const struct link *column = mention_best(mention, LINK_COLUMN);
  size_t id = show_key(reader, at);
  if (id || !column) return id;
  if (mention->verb) {
    reader->last_verb = mention;
    if (column->score >= 0.6) draw_done(reader, column, at);
    return column->score >= 0.7 ? mention->to - at : 0;
  }
  const struct measure *last = reader->out->item_count ? &reader->out->items[reader->out->item_count - 1] : NULL;
  bool kind = last && last->kind == MEASURE_COUNT && last->of.column && at > 0 && study->explained[at - 1] && mention_at(reader, at - 1);
  if (kind && !says_word(reader, mention, column) && token_is(reader, at, "status|statuses|type|types|kinds|levels|categories|states"))
    return mention->to - at; /* "how many acting statuses": what the column before is */
  bool doing = column->score < 0.99 && at > 0 && at == mention->to - 1 && token_is(reader, mention->to, "the|more|less|over|under") &&
               reader->last_table != NO_TABLE && mention_at(reader, at - 1) && mention_best(mention_at(reader, at - 1), LINK_TABLE);
  if (doing) return 1; /* "doctors charge the highest fee" */
  bool named = mention->to == at + 1 && token_is(reader, at, "name|names|title|titles");
  if (named && show_names(reader, mention)) return 1;
  if (study->doubt || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
  if (says_extreme(reader, mention)) return 0;
  if (only_told(reader, mention)) {
    reader->last_column = place;
    return mention->to - at;
  }
  bool theirs = at > 0 && token_is(reader, at - 1, "their|its|the|and|,|his|of|a|an|whose|which|what");
  if (reader->where && !theirs) return 0;
  bool once = token_is(reader, at > 0 ? at - 1 : 0, "distinct|unique|different");
  if (!reader->out->listed && (once || (at < 4 && token_is(reader, at > 0 ? at - 1 : 0, "which|what")))) reader->out->distinct = true;
  if (once) study->explained[at - 1] = true;
  reader->last_column = place;
  struct place entity = place.table == reader->out->subject ? entity_of(reader, mention, place) : place;
  const struct snap_column *display[2]; /* "their lead curator": by name, not by the key */
  size_t shown = entity.column ? 0 : study_display(study, entity.table, display);
  for (size_t i = 0; i < shown; i++) add_item(reader, (struct measure){.of = {entity.table, display[i], entity.role}});
  for (size_t back = 1; back <= 3 && back <= at; back++) reader->its |= token_is(reader, at - back, "its|corresponding");
  if (!shown) add_item(reader, (struct measure){.of = place});
  return mention->to - at;
}
