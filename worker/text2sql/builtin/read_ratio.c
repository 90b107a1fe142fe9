/* read_ratio.c - parts of a whole, and one part beside another. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* Where the noun of the share stands, and the verb behind which its condition begins. */
static void find_parts(struct reader *reader, size_t from) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  out->ratio = true;
  out->ratio_from = from;
  out->ratio_noun = out->ratio_verb = TOKENS_MAX;
  for (size_t i = from; i < study->tokens.count; i++) {
    if (out->ratio_noun == TOKENS_MAX && mention_best(mention_at(reader, i), LINK_TABLE) && !mention_at(reader, i)->verb)
      out->ratio_noun = i;
    if (out->ratio_verb == TOKENS_MAX && i > from &&
        token_is(reader, i,
                 "are|were|is|was|have|has|had|that|who|which|with|did|been|come|comes|belong|whose|ended|cost|costs|earn|get|got"))
      out->ratio_verb = i;
  }
  const struct mention *noun = mention_at(reader, out->ratio_noun);
  const struct mention *told = noun ? mention_at(reader, noun->to) : NULL; /* "offers accepted per month" */
  if (out->ratio_verb == TOKENS_MAX && (mention_best(told, LINK_VALUE) || mention_best(told, LINK_FLAG))) out->ratio_verb = told->from;
}

/* "to restaurants with …", "to the total number of …": what follows is counted, too. */
static bool opens_side(const struct reader *reader, size_t at) {
  size_t p = skip_glue(reader, at + 1);
  const struct mention *noun = mention_at(reader, p);
  if (!token_is(reader, at, "to|vs|versus") || (at > 0 && token_is(reader, at - 1, "equal|up"))) return false;
  return study_phrase(reader->study, p, "number of|total number of|count of") > 0 || (mention_best(noun, LINK_TABLE) && !noun->verb);
}

/* "ratio of business to economy tickets": the token between both; 0: there is none. */
static size_t between_sides(const struct reader *reader, size_t from) {
  for (size_t i = from + 1; i < reader->study->tokens.count; i++)
    if (opens_side(reader, i)) return i;
  for (size_t i = from + 1; i < from + 8 && i < reader->study->tokens.count; i++)
    if (token_is(reader, i, "to|vs|versus") || (token_is(reader, i, "and|over") && token_is(reader, from - 1, "between|of"))) return i;
  return 0;
}

size_t rule_ratio(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct link *named = mention_best(mention_at(reader, at), LINK_COLUMN); /* "the share" of a performance: a column */
  size_t percent = reader->out->ratio ? study_phrase(study, at, "as a percentage|as percentage|as a percent|in percent|as percentages") : 0;
  if (percent) {
    reader->out->percent = true;
    return percent;
  }
  if (reader->out->ratio || (named && named->score >= 0.95 && named->table == reader->out->subject)) return 0;
  size_t n = study_phrase(study, at, "what is the ratio of|ratio of|ratio between");
  size_t whole = TOKENS_MAX; /* "ratio of Italian restaurants out of all restaurants": a share */
  for (size_t i = at; i < study->tokens.count && whole == TOKENS_MAX; i++)
    if (study_phrase(study, i, "out of all|out of the total|out of every|out of")) whole = i;
  if (n) {
    size_t p = skip_glue(reader, at + n);
    reader->out->ratio_to = whole < TOKENS_MAX ? 0 : between_sides(reader, p);
    if (!reader->out->ratio_to && whole == TOKENS_MAX) return 0;
    find_parts(reader, p);
    reader->pending = MEASURE_NONE;
    study->explained[whole < TOKENS_MAX ? whole : reader->out->ratio_to] = true;
    return p - at;
  }
  n = study_phrase(study, at,
                   "what percentage of|percentage of|percent of|what percent of|what % of|% of|what share of|share of|what "
                   "proportion of|proportion of|what fraction of|fraction of|percentages of|shares of|percentage share of");
  if (!n) return 0;
  size_t p = skip_glue(reader, at + n);
  reader->out->percent = !study_phrase(study, at, "proportion of|what proportion of|fraction of|what fraction of");
  find_parts(reader, p);
  reader->pending = MEASURE_NONE;
  if (whole < TOKENS_MAX) study->explained[whole] = true;
  return p - at;
}

/* "cancellation rate by airline": of all, what the word before "rate" holds for. */
size_t rule_rate(struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at);
  if (!mention || reader->out->ratio || !token_is(reader, mention->to, "rate|rates|percentage|share")) return 0;
  const struct link *value = mention_best(mention, LINK_VALUE), *column = mention_best(mention, LINK_COLUMN);
  if (!value || (column && column->score > value->score)) return 0;
  size_t filters = reader->out->filter_count, n = rule_value(reader, at);
  if (!n || reader->out->filter_count == filters || reader->study->doubt) return 0;
  size_t table = reader->out->filters[reader->out->filter_count - 1].of.table;
  if (!reader->out->listed && !reader->out->item_count) reader->out->subject = table; /* of its rows */
  reader->out->ratio = reader->out->percent = true;
  reader->out->ratio_from = at;
  reader->out->ratio_noun = at + n;
  reader->out->ratio_verb = TOKENS_MAX;
  reader->pending = MEASURE_NONE;
  return n + 1;
}
