/* read_value.c - words that are data: "in Berlin", "status is 'open'", and in which column they are meant. */
#include <string.h>
#include <strings.h>

#include "worker/text2sql/builtin/read.h"

bool negated_before(const struct reader *reader, size_t at) {
  if (reader->branch && reader->denied && reader->denied <= at && at <= reader->denied + 3 &&
      reader->out->branches[reader->branch - 1].absent)
    return false; /* "but not Phone": the rows are, that have it */
  for (size_t back = 1; back <= 4 && back <= at; back++) {
    if (token_is(reader, at - back, "not|except|excluding|exclude|besides|without|outside|non|neither|than|never"))
      reader->study->explained[at - back] = true;
    if (token_is(reader, at - back, "not|except|excluding|exclude|besides|without|outside|non|neither|isn")) return true;
    if (back < at && token_is(reader, at - back, "longer") && token_is(reader, at - back - 1, "no"))
      return reader->study->explained[at - back] = reader->study->explained[at - back - 1] = true;
    if (token_is(reader, at - back, "than") && token_is(reader, at - back - (at > back), "other")) return true;
    if (!token_is(reader, at - back, "in|from|the|a|of|for|is|are|yet|been|to|by|be|with")) return false;
  }
  return false;
}

/* "from Berlin" of origin_city. */
static bool says_direction(const struct reader *reader, size_t at, const struct snap_column *column) {
  static const char *const words[2][6] = {{"origin", "from", "source", "depart", "start", "pickup"},
                                          {"dest", "to_", "target", "arriv", "end_", "dropoff"}};
  bool from = token_is(reader, at > 0 ? at - 1 : 0, "from"), to = token_is(reader, at > 0 ? at - 1 : 0, "to|into");
  for (size_t i = 0; (from || to) && i < 6; i++)
    if (strncasecmp(column->name, words[to][i], strlen(words[to][i])) == 0) return true;
  return false;
}

/* "fly to Japan": the key that "to" means, of the rows the word before it is about; NULL: none. */
static const struct join_edge *where_to(const struct reader *reader, const struct mention *value, size_t table) {
  if (value->from < 2 || !token_is(reader, value->from - 1, "to|from|into")) return NULL;
  for (size_t back = 2; back <= 4 && back <= value->from; back++) {
    const struct mention *before = mention_at(reader, value->from - back);
    const struct link *link = mention_best(before, LINK_TABLE);
    if (link && before->to == value->from - 1 && link->table != reader->out->subject)
      return role_said_before(reader, value->from, link->table, table);
  }
  return NULL;
}

/* Among the columns a word is a value of, the one meant here: the noun beside it, else what is near. */
static const struct link *settle_value(struct reader *reader, const struct mention *mention, const struct mention *noun) {
  struct study *study = reader->study;
  const struct link *best = NULL, *rival = NULL;
  double most = -9, next = -9;
  size_t subject = reader->out->subject;
  for (size_t i = 0; i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_VALUE) continue;
    double worth = link->score + (link->table == subject ? 0.3 : 0) + (study->mentioned[link->table] ? 0.12 : 0);
    double distance = link->table == subject ? 0 : study_distance(study, subject, link->table);
    worth -= distance > 8 ? 1 : 0.09 * distance;
    for (size_t k = 0; noun && k < noun->count; k++) {
      const struct link *other = &noun->links[k];
      if (other->kind == LINK_COLUMN && other->column == link->column) worth += 0.6 * other->score;
      if (other->kind == LINK_TABLE && other->table == link->table) worth += 0.35 * other->score;
    }
    if (reader->branch && reader->out->branches[reader->branch - 1].table == link->table) worth += 0.3;
    const struct snap_table *table = study_table(study, link->table);
    if (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW) worth -= 0.12;
    if (says_direction(reader, mention->from, link->column)) worth += 0.2;
    if (where_to(reader, mention, link->table)) worth += 0.8;
    const struct snap_column *display[2];
    size_t shown = study_display(study, link->table, display);
    for (size_t d = 0; d < shown; d++) worth += display[d] == link->column ? 0.03 : 0;
    if (worth > most) {
      next = most, rival = best;
      most = worth, best = link;
    } else if (worth > next) {
      next = worth, rival = link;
    }
  }
  if (best && rival && most - next < 0.04) {
    const char *const choices[] = {arena_printf(study->arena, "%s.%s", study_table(study, best->table)->qualified, best->column->name),
                                   arena_printf(study->arena, "%s.%s", study_table(study, rival->table)->qualified, rival->column->name),
                                   NULL};
    study_doubt(study, choices, "Where is %s meant: in which column?", study_words(study, mention->from, mention->to));
    return NULL;
  }
  return most > 0.2 ? best : NULL;
}

/* The noun that says what a value is: "Sales department", "category Toys", "status is 'open'". `ret_to`: behind both. */
static const struct mention *value_noun(const struct reader *reader, const struct mention *value, size_t *ret_to) {
  *ret_to = value->to;
  const struct mention *after = mention_at(reader, value->to);
  if (after && !after->verb && (mention_best(after, LINK_COLUMN) || mention_best(after, LINK_TABLE))) {
    for (size_t i = 0; i < value->count; i++)
      for (size_t k = 0; value->links[i].kind == LINK_VALUE && k < after->count; k++) {
        const struct link *link = &after->links[k];
        bool same = link->kind == LINK_COLUMN
                        ? link->column == value->links[i].column
                        : link->kind == LINK_TABLE && link->table == value->links[i].table && link->table != reader->out->subject;
        if (same && link->score >= 0.6) {
          *ret_to = after->to;
          return after;
        }
      }
  }
  for (size_t back = 1; back <= 4 && back <= value->from; back++) {
    const struct mention *before = mention_at(reader, value->from - back);
    if (before && !before->verb) return before;
    if (!token_is(reader, value->from - back, "is|are|was|of|the|in|a|=|named|called|to|equals|like|:")) return NULL;
  }
  return NULL;
}

/* "Germany, France or Spain": more values of the same column. */
static size_t more_values(struct reader *reader, size_t at, const struct link *first, const char **values, size_t *count) {
  size_t p = at;
  for (;;) {
    size_t q = p;
    while (token_is(reader, q, ",|or|and|nor|in|from|the") && (!reader->joint || q != reader->joint)) q++;
    const struct mention *next = q > p ? mention_at(reader, q) : NULL;
    const struct link *found = NULL;
    for (size_t i = 0; next && i < next->count; i++)
      if (next->links[i].kind == LINK_VALUE && next->links[i].column == first->column) found = &next->links[i];
    if (!found || *count == 16) return p - at;
    values[(*count)++] = found->value;
    p = next->to;
  }
}

/* A role word that is no part of the value itself: "managing director" names no manager. */
static bool said_outside(const struct study *study, const struct join_edge *edge, const struct mention *value) {
  for (size_t at = 0; at < study->tokens.count; at++)
    for (size_t w = 0; study->tokens.items[at].kind == TOKEN_WORD && (at < value->from || at >= value->to) && w < edge->role_count; w++)
      if (words_alike(edge->roles[w], study->tokens.items[at].word) >= (edge->from == edge->to ? 0.1 : 1)) return true;
  return false;
}

/* "subscribers in Brazil" where no subscriber's country is Brazil, but a performer's is: nothing to guess at. */
static bool elsewhere(struct reader *reader, const struct mention *mention, const struct link *value) {
  struct study *study = reader->study;
  const struct snap_table *own = study_table(study, reader->out->subject);
  if (value->table == reader->out->subject || study->mentioned[value->table] ||
      study_distance(study, reader->out->subject, value->table) < 2.2)
    return false;
  const struct word *words[NAME_WORDS], *others[NAME_WORDS];
  size_t n = names_split(value->column->name, study->arena, study->words, words);
  for (size_t c = 0; n && c < own->column_count; c++) {
    size_t m = names_split(own->columns[c].name, study->arena, study->words, others);
    if (!m || others[m - 1] != words[n - 1] || !column_textual(&own->columns[c]) || strcmp(words[n - 1]->text, "name") == 0) continue;
    study_doubt(study, NULL, "No %s of %s is \u201c%s\u201d; %s.%s has it. Which is meant?", own->columns[c].name, own->qualified,
                study_words(study, mention->from, mention->to), study_table(study, value->table)->qualified, value->column->name);
    return true;
  }
  return false;
}

static bool take_out(size_t *tables, size_t *count, size_t table) {
  for (size_t i = 0; i < *count; i++) {
    if (tables[i] != table) continue;
    tables[i] = tables[--*count];
    return true;
  }
  return false;
}

static bool leads_by(struct study *study, size_t from, size_t to, size_t by) {
  struct join_path path;
  if (!joins_path(&study->graph, from, to, NULL, study->arena, &path)) return false;
  for (size_t i = 0; i < path.count; i++)
    if ((path.steps[i].up ? path.steps[i].edge->to : path.steps[i].edge->from) == by) return true;
  return false;
}

/* "technicians who worked on turbines in Germany": of the noun right before, when the rows asked for have a place of their own. The branch
 * that the condition belongs to; 0: the whole. */
static size_t noun_before(struct reader *reader, size_t at, const struct link *value) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  size_t noun = reader->last_table, lead = at;
  while (lead > 0 && token_is(reader, lead - 1, "the")) lead--;
  if (lead < 2 || !token_is(reader, lead - 1, "in|from|at|of|to|by") || noun == NO_TABLE || noun == out->subject || noun == value->table)
    return 0;
  const struct mention *before = NULL;
  for (size_t back = 2; back <= 4 && back <= lead && !before; back++) before = mention_at(reader, lead - back);
  if (!before || before->to != lead - 1 || !mention_best(before, LINK_TABLE) || leads_by(study, out->subject, value->table, noun)) return 0;
  if (!study_belongs(study, noun, value->table)) return 0;
  if (!take_out(out->related, &out->related_count, noun) && !take_out(reader->qualifiers, &reader->qualifier_count, noun)) return 0;
  return add_branch(reader, (struct branch){.table = noun}) ? out->branch_count : 0;
}

/* "only cancelled orders", "orders are all shipped": and none of another kind. */
static bool only_such(struct reader *reader, size_t at, const struct link *value) {
  struct study *study = reader->study;
  bool only = at > 1 && token_is(reader, at - 1, "only") && !study_phrase(study, at - 2, "show|list|me|and|,|but|not|give|find|return"),
       all = at > 1 && token_is(reader, at - 1, "all") && token_is(reader, at - 2, "are|were|is|have|been");
  struct join_path path;
  if (!only && !all) return false;
  study->explained[at - 1] = true;
  if (value->table == reader->out->subject || reader->branch) return false;
  if (!joins_path(&study->graph, reader->out->subject, value->table, NULL, study->arena, &path)) return false;
  return !path_single(&path);
}

static bool add_others(struct reader *reader, const struct link *value, const char **values, size_t count, bool negated, size_t at) {
  struct branch none = {.table = value->table, .absent = true};
  if (!add_branch(reader, none)) return false;
  struct filter others = {.kind = FILTER_IN,
                          .of = {value->table, value->column, NULL},
                          .values = values,
                          .value_count = count,
                          .negated = !negated,
                          .branch = reader->out->branch_count};
  return add_filter(reader, others, at) != NULL;
}

/* "referred by", of a key called referred_by; NULL: none. */
static const struct join_edge *edge_done_by(const struct reader *reader, size_t at, size_t table) {
  const struct join_graph *graph = &reader->study->graph;
  const struct word *verb = reader->study->tokens.items[at].word;
  for (size_t i = 0; i < graph->edge_count; i++) {
    const struct join_edge *edge = &graph->edges[i];
    if (edge->from != table || edge->to != table || !verb) continue;
    for (size_t w = 0; w < edge->role_count; w++) {
      if (edge->roles[w] != verb) continue;
      reader->study->explained[at] = true;
      return edge;
    }
  }
  return NULL;
}

/* The key to the own table that "report to" means, or "managed by"; NULL: none. */
static const struct join_edge *key_to_superior(const struct reader *reader, size_t at, size_t table) {
  const struct join_graph *graph = &reader->study->graph;
  size_t said = at;
  while (said > 0 && token_is(reader, said - 1, "to|directly|by|under|the|of")) said--;
  if (said == at || said == 0) return NULL;
  const struct join_edge *called = token_is(reader, at - 1, "by") ? edge_done_by(reader, at - 2, table) : NULL;
  if (called) return called;
  if (!token_is(reader, said - 1, "report|reports|reporting|reported|managed|supervised|led|mentored")) return NULL;
  for (size_t i = 0; i < graph->edge_count; i++) {
    if (graph->edges[i].from != table || !edge_superior(&graph->edges[i])) continue;
    reader->study->explained[said - 1] = true;
    return &graph->edges[i];
  }
  return NULL;
}

/* "the manager of Smith", "Smith's manager": of whom it is the role, not who plays it. */
static bool role_of(const struct reader *reader, size_t at, const struct mention *value, const struct join_edge *edge) {
  const struct mention *next = mention_at(reader, value->to); /* "Smith's manager", "Carl Smith's" */
  while (next && mention_best(next, LINK_VALUE) && !mention_best(next, LINK_ROLE)) next = mention_at(reader, next->to);
  const struct link *behind = mention_best(next, LINK_ROLE);
  if (behind && behind->edge == edge && edge->from == edge->to && strchr(study_words(reader->study, value->from, next->to), '\''))
    return true;
  while (at > 0 && token_is(reader, at - 1, "the")) at--;
  if (at < 2 || edge->from != edge->to || !token_is(reader, at - 1, "of")) return false;
  const struct link *role = mention_best(mention_at(reader, at - 2), LINK_ROLE);
  return role && role->edge == edge;
}

/* In which role the row of a value is meant; NULL: in its own. */
static const struct join_edge *role_of_value(const struct reader *reader, size_t at, const struct mention *mention,
                                             const struct link *value) {
  struct study *study = reader->study;
  const struct join_edge *role = where_to(reader, mention, value->table);
  if (!role) role = role_said_before(reader, at, reader->out->subject, value->table);
  if (!role && value->table == reader->out->subject) role = key_to_superior(reader, at, value->table);
  for (size_t i = 0; i < study->graph.edge_count && !role; i++) { /* "billing city Berlin": the role was said */
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->said && edge->role_count && edge->to == value->table && edge->from == reader->out->subject &&
        said_outside(study, edge, mention) && !role_of(reader, at, mention, edge))
      role = edge;
  }
  return role;
}

/* "do not have the nationality X": another one. */
static bool lacks(const struct reader *reader, const struct mention *noun, size_t at) {
  size_t p = noun ? noun->from : 0;
  while (p > 0 && token_is(reader, p - 1, "the|a|an|any")) p--;
  if (!noun || noun->to > at || p < 2 || !token_is(reader, p - 1, "have|has|had|having") || !token_is(reader, p - 2, "not")) return false;
  reader->study->explained[p - 2] = true;
  return true;
}

/* "don't ride a bicycle": a verb that only joins a row to its value, denied. */
static bool denied_verb(const struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "a|an|the|any|in|at|on|for|with|from|to|as")) p--;
  if (p < 3 || token_at(reader, p - 1)->kind != TOKEN_WORD || mention_at(reader, p - 1) || study_glue(token_lower(reader, p - 1)))
    return false;
  if (turns_meaning(token_lower(reader, p - 1)) || !token_is(reader, p - 2, "not") || !token_is(reader, p - 3, "do|does|did")) return false;
  return study->explained[p - 1] = study->explained[p - 2] = true;
}

/* Where the values begin that stand in a row before this one: a first and a last name. */
static size_t names_begin(const struct reader *reader, size_t at) {
  while (at > 0 && mention_best(mention_at(reader, at - 1), LINK_VALUE) && mention_at(reader, at - 1)->to == at) at--;
  return at;
}

/* Of each row the one that a key leads to, by its name. */
static void show_role(struct reader *reader, const struct join_edge *edge) {
  const struct snap_column *display[2];
  size_t n = study_display(reader->study, edge->to, display);
  for (size_t i = 0; i < n; i++) add_item(reader, (struct measure){.of = {edge->to, display[i], edge}});
  reader->out->listed = false;
}

static size_t known_value(struct reader *reader, size_t at, const struct mention *mention) {
  struct study *study = reader->study;
  size_t to;
  const struct mention *noun = value_noun(reader, mention, &to);
  const struct link *value = settle_value(reader, mention, noun);
  if (!value) return 0;
  if (elsewhere(reader, mention, value)) return 0;
  const struct mention *owner = at > 1 && token_is(reader, at - 1, "by") ? mention_at(reader, at - 2) : NULL;
  if (owner && !owner->verb && value->table == reader->out->subject && mention_best(owner, LINK_TABLE) &&
      settle_table(reader, owner) != reader->out->subject) {
    study_doubt(study, NULL, "Is %s who is asked for, or whose %s are meant?", study_words(study, mention->from, mention->to),
                study_words(study, owner->from, owner->to));
    return 0;
  }
  const char **values = arena_calloc(study->arena, 17, sizeof *values);
  if (!values) return 0;
  size_t count = 0;
  for (size_t i = 0; i < mention->count; i++) /* "Phone" and "phone": every spelling that is stored */
    if (mention->links[i].kind == LINK_VALUE && mention->links[i].column == value->column &&
        mention->links[i].score >= value->score - 0.01 && count < 8)
      values[count++] = mention->links[i].value;
  size_t more = more_values(reader, to, value, values, &count);
  const struct mention *kind = more ? mention_at(reader, to + more) : NULL; /* "urgent or high priority" */
  for (size_t i = 0; kind && !kind->verb && i < kind->count; i++)
    if (kind->links[i].kind == LINK_COLUMN && kind->links[i].column == value->column && kind->links[i].score >= 0.6) {
      more = kind->to - to;
      break;
    }
  for (size_t i = 0; noun && noun->to <= at && i < noun->count; i++) /* "City 'Aberdeen'" */
    if (noun->links[i].kind == LINK_COLUMN && noun->links[i].column == value->column)
      for (size_t t = noun->from; t < noun->to; t++) study->explained[t] = true;
  bool told = noun && noun->to <= at && mention_best(noun, LINK_COLUMN); /* "not from the city of Berlin" */
  bool negated = negated_before(reader, at) || (told && negated_before(reader, noun->from)) ||
                 (value->table == reader->out->subject && denied_verb(reader, at)) || lacks(reader, noun, at) || value->negative;
  struct place place = {value->table, value->column, role_of_value(reader, at, mention, value)};
  bool agent = at > 1 && token_is(reader, at - 1, "by") && participle_like(token_lower(reader, at - 2)),
       patient = value->table == reader->out->subject && names_begin(reader, at) == 2 && token_is(reader, 0, "who") &&
                 participle_like(token_lower(reader, 1));
  const struct join_edge *doer = patient ? edge_done_by(reader, 1, value->table) : NULL;
  if (patient) place.role = NULL; /* "who referred Smith": the row that Smith's leads to */
  if (doer && at == 2) show_role(reader, doer);
  if (!place.role && value->table == reader->out->subject && (agent || (patient && !doer)) && person_like(study, value->table)) {
    study_doubt(study, NULL, "In which way do %s and %s belong together?", study_table(study, value->table)->name,
                study_words(study, mention->from, mention->to));
    return 0;
  }
  size_t branch = place.role || reader->branch ? 0 : noun_before(reader, at, value);
  if (!add_filter(
          reader,
          (struct filter){.kind = FILTER_IN, .of = place, .values = values, .value_count = count, .negated = negated, .branch = branch},
          at))
    return 0;
  if (value->table == reader->out->subject && !reader->out->item_count && at > 0 && token_is(reader, at - 1, "all|list|show|me|which") &&
      words_plural(token_lower(reader, mention->to - 1)) && !mention_best(mention_at(reader, mention->to), LINK_TABLE))
    reader->out->listed = true; /* "all raw materials with their cost" */
  if (only_such(reader, at, value) && !add_others(reader, value, values, count, negated, at)) return 0;
  return to + more - at;
}

/* "status is 'archived'" where no row says so: taken at its word. */
static size_t literal_value(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  if (!mention || !mention_best(mention, LINK_COLUMN) || mention->verb) return 0;
  size_t p = mention->to;
  bool negated = false, told = false;
  while (token_is(reader, p, "is|are|was|=|equals|equal|to|not|of|:|named|called|<>|!=")) {
    negated |= token_is(reader, p, "not|<>|!=");
    told |= !token_is(reader, p, "of|to");
    p++;
  }
  const struct token *token = token_at(reader, p);
  struct place place;
  if (mention_best(mention_at(reader, p), LINK_VALUE)) return 0;
  bool quoted = token->kind == TOKEN_QUOTED, name = told && token->kind == TOKEN_WORD && token->capital && !mention_at(reader, p);
  if ((!quoted && !name) || !settle_column(reader, mention, WANT_TEXT, &place)) return 0;
  size_t end = p + 1;
  while (name && token_at(reader, end)->kind == TOKEN_WORD && token_at(reader, end)->capital) end++;
  const char **values = arena_calloc(study->arena, 2, sizeof *values);
  if (!values) return 0;
  *values =
      quoted ? token->lower : arena_strndup(study->arena, study->tokens.text + token->from, study->tokens.items[end - 1].to - token->from);
  study_note(study, "No row is known to hold the value %s.", *values);
  add_filter(reader,
             (struct filter){.kind = FILTER_IN, .of = place, .values = values, .value_count = 1, .negated = negated, .insensitive = true},
             at);
  return end - at;
}

/* A quoted text that is no value: part of what the rows are called by. */
static size_t quoted_part(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct token *token = token_at(reader, at);
  if (token->kind != TOKEN_QUOTED) return 0;
  const struct snap_column *display[2];
  struct place place = reader->last_column;
  if (!place.column || !column_textual(place.column)) {
    size_t n = study_display(study, reader->out->subject, display);
    if (!n || !column_textual(display[0])) return 0;
    place = (struct place){.table = reader->out->subject, .column = display[0]};
  }
  study_note(study, "\u201c%s\u201d is no value that is known: it is looked for within %s.", token->lower, place.column->name);
  add_filter(reader, (struct filter){.kind = FILTER_LIKE, .of = place, .literal = token->lower, .op = "%x%"}, at);
  return 1;
}

static bool doing(const struct reader *reader, size_t at) {
  const char *lower = token_lower(reader, at);
  size_t len = strlen(lower);
  return mention_at(reader, at)->verb || (len > 5 && strcmp(lower + len - 3, "ing") == 0);
}

/* "in March", "per month". */
static bool date_follows(const struct reader *reader, size_t at) {
  const struct tokens *tokens = &reader->study->tokens;
  if (dates_read(tokens, at, reader->study->arena, &(struct date_range){0})) return true;
  return (token_is(reader, at, "per|each|every|by") && dates_unit(token_lower(reader, at + 1)) != UNIT_NONE) ||
         token_is(reader, at, "monthly|daily|weekly|yearly|annually|quarterly");
}

/* "customers who placed more than 5 orders": that they made them, not which of them. */
static bool made(const struct reader *reader, size_t at, const struct link *value) {
  if (value->table == reader->out->subject || at == 0 || !token_is(reader, at, "placed|made|created|booked|opened|raised|filed|logged") ||
      !token_is(reader, at - 1, "who|that|which|have|has|had|ever|never|not|also|only|already"))
    return false;
  for (size_t p = at + 1; p <= at + 7; p++) {
    const struct link *table = mention_best(mention_at(reader, p), LINK_TABLE);
    if (table) return table->table == value->table;
    if (token_at(reader, p)->kind == TOKEN_WORD && !study_glue(token_lower(reader, p)) &&
        !token_is(reader, p, "more|than|less|fewer|at|least|most|exactly|over|under|only|any|no|single|one|two|three|several|many|some"))
      return false;
  }
  return false;
}

/* "turbine 12": the row of that key. */
static size_t numbered_row(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct token *number = token_at(reader, at), *noun = token_at(reader, at > 0 ? at - 1 : 0);
  const struct mention *mention = at > 0 ? mention_at(reader, at - 1) : NULL;
  const struct link *table = mention_best(mention, LINK_TABLE);
  size_t len = strlen(noun->lower);
  if (number->kind != TOKEN_NUMBER || !table || table->score < 0.89 || mention->verb || noun->lower[len - 1] == 's') return 0;
  if (strspn(number->lower, "0123456789") != strlen(number->lower) || !study->explained[at - 1]) return 0;
  if (mention_at(reader, at + 1) || study_phrase(study, at + 1, "or|to|-|times|%")) return 0;
  struct place place = {.table = table->table, .column = table_key_column(study_table(study, table->table))};
  if (!place.column || !column_integer(place.column)) return 0;
  return add_filter(reader, (struct filter){.kind = FILTER_COMPARE, .of = place, .op = "=", .literal = number->lower}, at) ? 1 : 0;
}

/* "weight shipped", of shipments: what they are, no state of other rows. */
static bool only_what_happened(const struct reader *reader, size_t at, const struct link *value) {
  const struct names *names = &reader->study->names;
  size_t subject = reader->out->subject, count = subject == NO_TABLE ? 0 : names->table_counts[subject];
  const struct word *verb = reader->study->tokens.items[at].word;
  if (!count || value->table == subject || mention_at(reader, at)->to != at + 1 || !verb || strlen(verb->text) < 4) return false;
  const char *table = names->table_words[subject][count - 1]->text;
  return participle_like(token_lower(reader, at)) && strcmp(table, verb->text) != 0 && strncmp(table, verb->text, strlen(verb->text)) == 0;
}

/* "booked more than 5 sessions", where a booking may be 'booked': the rows, whatever their state. */
static bool rows_of_verb(const struct reader *reader, size_t at, const struct link *value) {
  const struct mention *mention = mention_at(reader, at);
  size_t count = reader->study->names.table_counts[value->table];
  const char *op, *table = count ? reader->study->names.table_words[value->table][count - 1]->text : "";
  const struct word *verb = reader->study->tokens.items[at].word;
  if (value->table == reader->out->subject || mention->to != at + 1 || !verb || strlen(verb->text) < 4) return false;
  return strncmp(table, verb->text, strlen(verb->text)) == 0 && read_comparison(reader, mention->to, &op) > 0;
}

/* "new tickets per month": of that status, or come in that month? */
static bool new_or_newly(struct reader *reader, size_t at, const struct link *value) {
  const struct mention *rows = token_is(reader, at, "new") ? mention_at(reader, at + 1) : NULL;
  if (!rows || rows->verb || !mention_best(rows, LINK_TABLE) || value->table != mention_best(rows, LINK_TABLE)->table) return false;
  for (size_t p = rows->to; p < reader->study->tokens.count; p++) {
    if (!date_follows(reader, p)) continue;
    study_doubt(reader->study, NULL, "Are those meant whose %s is \u201cnew\u201d, or all that came in then?", value->column->name);
    return true;
  }
  return false;
}

size_t rule_value(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  const struct link *value = mention_best(mention, LINK_VALUE);
  size_t n;
  if (!value && (n = numbered_row(reader, at))) return n;
  if (!value) return (n = literal_value(reader, at)) || study->doubt ? n : quoted_part(reader, at);
  if (reader->pending != MEASURE_NONE && value->score < 1 && mention_best(mention, LINK_TABLE) &&
      mention_best(mention, LINK_TABLE)->score >= value->score - 0.1)
    return 0;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  struct place happened_at; /* "scheduled in April": when, not in which state */
  if (doing(reader, at) && mention->to == at + 1 && date_follows(reader, mention->to) &&
      date_by_verb(reader, mention->to, reader->out->subject, &happened_at))
    return 1;
  if (mention->to == at + 1 && made(reader, at, value)) return 1;
  if (only_what_happened(reader, at, value)) return 1;
  if (new_or_newly(reader, at, value) || rows_of_verb(reader, at, value)) return 0;
  if (mention_best(mention, LINK_ROLE) && at > 0 && token_is(reader, at - 1, "their|his|her|its|a|the|whose|and")) return 0;
  bool name = value_over_synonym(study, mention) || study->tokens.items[at].capital || study->tokens.items[at].kind == TOKEN_QUOTED ||
              only_a_value_here(reader, at);
  if (token_is(reader, at, "depart|departs|arrive|arrives|departing|arriving|leave|leaves") &&
      token_is(reader, mention->to, "from|at|to|in|for"))
    return 0; /* a direction, no state */
  bool own = reader->where && table && table->table == reader->out->subject && value->table == reader->out->subject;
  if (!name && ((table && table->score >= value->score - 0.16 && !own) || (column && column->score >= value->score - 0.1))) return 0;
  return known_value(reader, at, mention);
}
