/* read_popular.c - "the most popular", "used most often", "the most common": ranked by how many rows there are of what is done. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

bool only_use(struct reader *reader, struct measure *ret) {
  const struct join_graph *graph = &reader->study->graph;
  size_t found = NO_TABLE;
  for (size_t i = 0; i < graph->edge_count; i++) {
    if (graph->edges[i].to != reader->out->subject || graph->edges[i].from == reader->out->subject || graph->edges[i].from == found)
      continue;
    if (found != NO_TABLE) return false;
    found = graph->edges[i].from;
  }
  *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = found};
  return found != NO_TABLE;
}

/* "which method is used the most": by rows. */
bool by_use(struct reader *reader, size_t at, struct measure *ret) {
  struct reading *out = reader->out;
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the")) p--;
  if (p > 0 && token_is(reader, p - 1, "used|rented|requested|redeemed|chosen|applied") && wants_rows(reader) && only_use(reader, ret)) {
    reader->study->explained[p - 1] = true;
    return true;
  }
  if (p == 0 || !token_is(reader, p - 1, "used|chosen|occurs|appears|occur|appear|common|frequent|seen|found")) return false;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind != MEASURE_NONE || !out->items[i].of.column) continue;
    *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = out->items[i].of.table};
    reader->study->explained[p - 1] = true;
    out->listed = out->distinct = false;
    return true;
  }
  return false;
}

/* "the most played songs": by how many rows there are of what was done to them. */
size_t rank_by_done(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  if (!token_is(reader, at, "most|least|best|top|worst")) return 0;
  size_t p = at + 1;
  long count = rows_said(reader, p);
  p += count != 0;
  const struct mention *verb = mention_at(reader, p), *noun = mention_at(reader, verb ? verb->to : p + 1);
  const struct link *done = mention_best(verb, LINK_TABLE), *what = mention_best(noun, LINK_TABLE);
  if (!what || noun->verb || what->table != reader->out->subject || study->doubt) return 0;
  struct measure by = {.kind = MEASURE_NONE};
  if (token_is(reader, p, "selling|sold")) {
    struct place place;
    if (find_sold(reader, what->table, &place)) by = (struct measure){.kind = MEASURE_SUM, .of = place};
  }
  bool counts = token_is(reader, at, "most|least");
  if (by.kind == MEASURE_NONE && counts && done && verb->verb && done->table != what->table)
    by = (struct measure){.kind = MEASURE_COUNT, .of.table = done->table};
  struct place number; /* "the most viewed posts", of view_count */
  if (by.kind == MEASURE_NONE && counts && verb && verb->verb &&
      find_concept(reader, what->table, token_lower(reader, p), WANT_NUMBER, &number))
    by.of = number;
  if (by.kind == MEASURE_NONE && !by.of.column) return 0;
  if (count) reader->out->limit = count;
  reader->out->listed = true;
  add_key(reader, by, !token_is(reader, at, "least|worst"));
  set_limit(reader, noun->to - 1);
  reader->top = false;
  return noun->to - at;
}

/* "ordered most often": by how many rows there are of what was done; "used most often": of whatever there is. */
size_t rank_by_often(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t most = study_phrase(study, at, "the most often|the most frequently|most often|most frequently|the most times|most times"),
         least = study_phrase(study, at, "the least often|least often|least frequently");
  if (!most && !least) return 0;
  struct measure by = {.kind = MEASURE_COUNT, .of.table = NO_TABLE};
  const struct link *done = mention_best(reader->last_verb, LINK_TABLE);
  if (done && done->table != reader->out->subject) by.of.table = done->table;
  if (by.of.table == NO_TABLE && !by_use(reader, at, &by)) {
    if (!only_use(reader, &by)) return 0;
    if (at > 0 && token_is(reader, at - 1, "used|redeemed|applied|requested|chosen")) study->explained[at - 1] = true;
  }
  add_key(reader, by, most != 0);
  set_limit(reader, TOKENS_MAX);
  return most + least;
}

static bool use_like(const struct study *study, size_t table, const char *const *uses, size_t count) {
  for (size_t w = 0; w < study->names.table_counts[table]; w++)
    for (size_t u = 0; u < count; u++)
      if (strncmp(study->names.table_words[table][w]->text, uses[u], strlen(uses[u])) == 0) return true;
  return false;
}

/* The one kind of rows of use that belong to rows of that table; how many kinds there are. */
static size_t use_below(const struct study *study, size_t table, const char *const *uses, size_t count, size_t *ret_found) {
  size_t used = 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->to != table || edge->from == table || !use_like(study, edge->from, uses, count)) continue;
    *ret_found = edge->from;
    used++;
  }
  return used;
}

/* "the most popular service": by how many rows belong to each, where there is one kind of such rows. */
size_t rank_by_popularity(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t most = study_phrase(study, at, "most popular|most used|most frequently used|most in demand|most requested|most sought after"),
         least = study_phrase(study, at, "least popular|least used|least requested");
  size_t p = at + most + least;
  long count = rows_said(reader, p);
  p += count != 0;
  const struct mention *mention = most + least ? mention_at(reader, p) : NULL;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  if (most + least && !mention && study_phrase(study, p, "by|in terms of|based on|according to")) { /* "is the most popular by plays" */
    reader->top = true;
    reader->top_falling = most != 0;
    if (!reader->out->limit) reader->out->limit = 1;
    return most + least;
  }
  size_t asked = !mention && most + least && wants_rows(reader) ? reader->out->subject : NO_TABLE; /* "which classes are most popular" */
  if (asked == NO_TABLE && (!table || (column && column->score > table->score))) return 0;
  if (study->doubt) return 0;
  static const char *const uses[] = {"item",    "line", "sale",   "order",  "book",    "rental", "rent",   "loan",     "enrol",
                                     "purchas", "play", "stream", "listen", "registr", "ticket", "servic", "prescript"};
  size_t which = asked != NO_TABLE ? asked : settle_table(reader, mention), found = NO_TABLE, all = 0, used = 0, any = NO_TABLE;
  for (size_t t = 0; which != NO_TABLE && t < study->snapshot->table_count; t++) {
    bool child = false, use = false;
    for (size_t i = 0; i < study->graph.edge_count; i++)
      child |= study->graph.edges[i].to == which && study->graph.edges[i].from == t && t != which;
    use = child && use_like(study, t, uses, sizeof uses / sizeof *uses);
    if (child) all++, any = t;
    if (use) used++, found = t;
  }
  if (all == 1 && !used) used = use_below(study, any, uses, sizeof uses / sizeof *uses, &found); /* bookings of the sessions of a class */
  if (all == 1 && !used) found = any, used = 1;
  if (used != 1) {
    study_doubt(study, NULL, "Popular by what: which rows are to be counted?");
    return 0;
  }
  if (count) reader->out->limit = count;
  reader->out->listed = true;
  add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = found}, most != 0);
  set_limit(reader, mention ? mention->to - 1 : TOKENS_MAX);
  reader->top = false;
  return mention ? mention->to - at : p - at;
}

/* "which nationality is the most common": of what is asked for. */
static size_t frequent_item(struct reader *reader, size_t taken, bool most) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind != MEASURE_NONE || !out->items[i].of.column) continue;
    add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = out->items[i].of.table}, most);
    set_limit(reader, TOKENS_MAX);
    out->listed = out->distinct = false;
    return taken;
  }
  return 0;
}

/* "the most common usage event": rows that nothing else refers to are common by what they are called, where that is no key. */
static bool repeated_name(const struct reader *reader, const struct mention *mention, struct place *ret_place) {
  struct study *study = reader->study;
  const struct link *table = mention_best(mention, LINK_TABLE);
  const struct snap_column *display[2];
  if (!table || mention->verb || table->table != reader->out->subject || study_display(study, table->table, display) != 1) return false;
  if (table_unique(study_table(study, table->table), &display[0]->name, 1)) return false;
  for (size_t i = 0; i < study->graph.edge_count; i++)
    if (study->graph.edges[i].to == table->table) return false;
  *ret_place = (struct place){.table = table->table, .column = display[0]};
  return true;
}

/* "the most common diseases": values by how many rows have them. */
size_t rank_by_frequency(struct reader *reader, size_t at) {
  size_t most = study_phrase(reader->study, at, "most common|most frequent|most frequently occurring"),
         least = study_phrase(reader->study, at, "least common|least frequent|rarest");
  const struct mention *mention = mention_at(reader, at + most + least);
  struct place place;
  if ((most || least) && (!mention || token_is(reader, at + most + least, "among|in|of|for|across")))
    return frequent_item(reader, most + least, most != 0);
  if ((most || least) && repeated_name(reader, mention, &place)) {
    add_group(reader, (struct group){.of = place});
    add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = place.table}, most != 0);
    set_limit(reader, mention->to - 1);
    reader->top = false;
    return mention->to - at;
  }
  if ((!most && !least) || !mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
  if (column_key(study_table(reader->study, place.table), place.column)) { /* each key is there once */
    study_doubt(reader->study, NULL, "Common by what: which rows are to be counted?");
    return 0;
  }
  add_group(reader, (struct group){.of = place});
  add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = place.table}, most != 0);
  set_limit(reader, mention->to - 1);
  reader->top = false;
  return mention->to - at;
}
