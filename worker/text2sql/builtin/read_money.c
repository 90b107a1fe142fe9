/* read_money.c - what "revenue", "spent" and "worth" add up. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

bool money_like(const struct reader *reader, size_t at) {
  if (!token_is(reader, at, "money"))
    return token_is(reader, at, "sales|revenue|payments|donations|spending|spend|spent|turnover|earnings|expenses|income|takings|proceeds");
  const struct mention *before = at > 0 ? mention_at(reader, at - 1) : NULL; /* "sponsorship money", "money spent": whose it is was said */
  return token_is(reader, at + 1, "spent|made|earned|raised") ||
         (mention_best(before, LINK_TABLE) && !before->verb && before->to == at && !words_plural(token_lower(reader, at - 1)));
}

/* Something that happened once: it has a date, belongs to something, and nothing belongs to it. Its price was paid. */
static bool is_event(struct study *study, size_t table) {
  const struct snap_table *snap = study_table(study, table);
  bool dated = false, belongs = false;
  for (size_t c = 0; c < snap->column_count; c++) {
    dated |= column_temporal(&snap->columns[c]);
    if (strstr(snap->columns[c].name, "quantity") || strstr(snap->columns[c].name, "qty")) return false;
  }
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    if (study->graph.edges[i].to == table) return false;
    belongs |= study->graph.edges[i].from == table;
  }
  return dated && belongs;
}

/* What lies in the store was not sold yet. */
static bool on_stock(const struct study *study, const struct snap_column *column) {
  return named_by(study, column, (const char *const[]){"stock", "inventori", "hand", "avail", "reserv", "reorder", NULL});
}

bool find_sold(struct reader *reader, size_t table, struct place *ret_place) {
  struct study *study = reader->study;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->to != table || !find_concept(reader, edge->from, "quantity units", WANT_NUMBER, ret_place)) continue;
    const char *name = study_table(study, edge->from)->name;
    if (!on_stock(study, ret_place->column) && !strstr(name, "inventor") && !strstr(name, "stock")) return true;
  }
  return false;
}

/* "amount_kg": an amount, and no money. */
static bool weighed(const struct study *study, const struct snap_column *column) {
  return named_by(study, column,
                  (const char *const[]){"kg", "kilogram", "gram", "lb", "pound", "ton", "tonn", "liter", "litr", "ml", "kwh", "mwh", NULL});
}

/* Rows that are worth something: their amount; else the product of how many and for how much. */
bool find_worth(struct reader *reader, size_t table, struct measure *ret) {
  struct place place, times;
  bool amount = find_concept(reader, table, "revenue sales amount total spent subtotal", WANT_NUMBER, &place);
  if ((amount && !weighed(reader->study, place.column)) ||
      (is_event(reader->study, table) && find_concept(reader, table, "fare fee charge price", WANT_NUMBER, &place))) {
    *ret = (struct measure){.kind = MEASURE_SUM, .of = place};
    return true;
  }
  if (find_concept(reader, table, "quantity", WANT_NUMBER, &place) && !on_stock(reader->study, place.column) &&
      find_concept(reader, table, "price", WANT_NUMBER, &times)) {
    *ret = (struct measure){.kind = MEASURE_SUM, .of = place, .times = times};
    return true;
  }
  return false;
}

bool find_spent(struct reader *reader, size_t table, struct measure *ret) {
  bool said = false;
  struct place cost;
  for (size_t at = 0; at < reader->study->tokens.count; at++) said |= token_is(reader, at, "spend|spent|spending|pay|paid");
  if (!said || !is_event(reader->study, table) || !find_concept(reader, table, "cost price fee", WANT_NUMBER, &cost)) return false;
  *ret = (struct measure){.kind = MEASURE_SUM, .of = cost};
  return true;
}

/* Every table that is mentioned is the only one of its kind for a row of this: nothing is added up twice. */
static bool adds_up(struct study *study, size_t table) {
  for (size_t m = 0; m < study->snapshot->table_count; m++) {
    struct join_path path;
    if (m == table || !study->mentioned[m] || !joins_path(&study->graph, table, m, NULL, study->arena, &path)) continue;
    if (!path_single(&path)) return false;
  }
  return true;
}

/* What one pays oneself, or gives back. */
static bool out_of_pocket(const struct study *study, size_t table) {
  static const char *const spent[] = {"refund", "expens", "cost", "salari", "purchas", "budget", "payrol", "fine", "loan", "claim"};
  for (size_t w = 0; w < study->names.table_counts[table]; w++)
    for (size_t i = 0; i < sizeof spent / sizeof *spent; i++)
      if (strncmp(study->names.table_words[table][w]->text, spent[i], strlen(spent[i])) == 0) return true;
  return false;
}

/* "revenue by payment method": a column of that table alone. */
static bool column_said(const struct study *study, size_t table) {
  for (size_t at = 0; at < study->tokens.count; at++) {
    const struct link *column = mention_best(study->at[at], LINK_COLUMN);
    bool sole = column && column->score >= 0.95 && column->table == table && study->at[at]->to > at + 1;
    for (size_t i = 0; sole && i < study->at[at]->count; i++)
      sole = study->at[at]->links[i].kind != LINK_COLUMN || study->at[at]->links[i].table == table;
    if (sole) return true;
  }
  return false;
}

/* "did we spend on vet visits": what we pay is an amount of the rows named, never what others pay us. */
static bool spent_by_us(const struct study *study) {
  for (size_t at = 0; at < study->tokens.count; at++)
    if (study_phrase(study, at, "we spend|we spent|we pay|we paid|we been spending|our spending|our expenses|our spend")) return true;
  return false;
}

/* The table whose rows make the revenue: the only one near that has amounts, or quantities and prices. */
bool find_revenue(struct reader *reader, struct measure *ret) {
  struct study *study = reader->study;
  double best = 99;
  bool tie = false, named = false; /* named: something in the question says where */
  size_t amounts = 0;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    struct measure worth;
    named |= study->mentioned[t];
    bool view = study_table(study, t)->kind == SNAP_VIEW || study_table(study, t)->kind == SNAP_MATVIEW;
    if (!table_readable(study_table(study, t)) || (view && !study->mentioned[t]) || !find_worth(reader, t, &worth)) continue;
    double distance = t == reader->out->subject ? -1
                                                : study_distance(study, reader->out->subject, t) - (study->mentioned[t] ? 0.5 : 0) +
                                                      (worth.times.column ? 0.3 : 0);
    bool once = adds_up(study, t);
    if (!study->mentioned[t] && (!once || spent_by_us(study))) continue; /* what vet visits cost is no donation for their animals */
    if (!once) distance += 4;
    amounts += !worth.times.column && !out_of_pocket(study, t);
    tie = distance > best - 0.2 && distance < best + 0.2 ? true : distance < best ? false : tie;
    if (distance < best) best = distance, *ret = worth;
  }
  if (!named && amounts > 1 && !column_said(study, ret->of.table)) {
    study_doubt(study, NULL, "There are several tables with amounts. Which of them are to be added up?");
    return false;
  }
  return best < 9 && !tie;
}

/* "spent the most": money, whatever it is called here. */
bool by_money(struct reader *reader, size_t at, struct measure *ret) {
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the|us|in|total")) p--;
  if (p == 0) return false;
  if (token_is(reader, p - 1, "earn|earns|earning|make|makes|paid") && person_like(reader->study, reader->out->subject)) {
    struct place place;
    static const char pay[] = "salary wage pay compensation income";
    bool own = find_concept(reader, reader->out->subject, pay, WANT_NUMBER, &place);
    if (own) *ret = (struct measure){.of = place};
    if (own || find_near(reader, reader->out->subject, pay, true, ret)) {
      reader->study->explained[p - 1] = true;
      reader->out->listed = true;
      return true;
    }
  }
  if (p > 1 && token_is(reader, p - 1, "in") && token_is(reader, p - 2, "brings|bring|brought|bringing")) p--;
  struct place price;
  if (token_is(reader, p - 1, "cost|costs") &&
      find_concept(reader, reader->out->subject, "price cost fee rate amount", WANT_NUMBER, &price)) {
    *ret = (struct measure){.of = price};
    reader->study->explained[p - 1] = true;
    reader->out->listed = true;
    return true;
  }
  const struct mention *verb = mention_at(reader, p - 1); /* "invoiced the most" */
  const struct link *done = mention_best(verb, LINK_TABLE);
  if (done && verb->verb && token_is(reader, p - 1, "invoiced|billed|charged|paid|donated|refunded") &&
      find_worth(reader, done->table, ret))
    return true;
  if (!token_is(
          reader, p - 1,
          "spent|spend|spends|spending|paid|pay|pays|earned|generated|generates|generate|brings|bring|brought|made|makes|make|earn|earns"))
    return false;
  if (!find_revenue(reader, ret)) return false;
  reader->study->explained[p - 1] = true;
  if (token_is(reader, at + 1, "money|revenue|sales")) reader->study->explained[at + 1] = true;
  return true;
}
