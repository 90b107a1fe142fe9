/* read_state.c - what a row is, has or says: texts within texts, what is missing, flags, dates that are there or not. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct way {   /* of saying that a text is within another */
  const char *phrases, *op; /* op: where the rest of the text is */
  bool negated;
} ways[] = {
    {"starts with|start with|starting with|begins with|begin with|beginning with|starts with the letter|starting with the letter|start "
     "with the letter|begins with the letter|beginning with the letter",
     "x%", false},
    {"ends with|end with|ending with|ends in|ending in", "%x", false},
    {"does not contain|do not contain|not containing|doesn contain|not contain", "%x%", true},
    {"has the substring|have the substring|had the substring|with the substring|contains the substring|contain the substring|mentions the "
     "word|mentions|mention|mentioning|contains the word|containing the word|contain the word|contains the text|includes "
     "the word|contains the "
     "string|contains|containing|contain|includes|include|including|is like|are like|like|has the "
     "word|matching|matches|with|have|has|having",
     "%x%", false},
};

/* The text behind the words of a way that end before `at`; NULL: none that can be taken at its word. `loose`: of the last way, which takes
 * words that often mean something else. */
static const struct token *text_behind(const struct reader *reader, size_t from, size_t at, bool loose, bool named) {
  const struct token *token = token_at(reader, at);
  if (token->kind != TOKEN_QUOTED && token->kind != TOKEN_WORD) return NULL;
  if (!loose) return token;
  static const char says[] = "contains|containing|contain|mentions|mention|mentioning";
  bool owns = token_is(reader, from, "with|have|has|having") && !token_is(reader, at + 1, "in|within");
  const struct mention *where = token_is(reader, at + 1, "in|within") ? mention_at(reader, skip_glue(reader, at + 2)) : NULL;
  const struct link *column = !study_glue(token_lower(reader, at)) ? mention_best(where, LINK_COLUMN) : NULL;
  named |= column && column->score >= 0.95 && wanted_fits(column->column, WANT_TEXT); /* "mention beginners in their description" */
  bool taken = token->kind == TOKEN_QUOTED ? named || !owns : named && token_is(reader, from, says);
  return taken ? token : NULL;
}

/* The column that holds the text when none stands before: the one named last, or what rows are called by. */
static bool text_column(struct reader *reader, struct place *ret_place) {
  const struct snap_column *display[2];
  if (reader->last_column.column && column_textual(reader->last_column.column)) {
    *ret_place = reader->last_column;
    return true;
  }
  if (!study_display(reader->study, reader->out->subject, display)) return false;
  *ret_place = (struct place){.table = reader->out->subject, .column = display[0]};
  return true;
}

/* The text is in `place`. `token`: its place in the question. */
static void add_match(struct reader *reader, const struct way *way, struct place place, const struct token *token, size_t at) {
  struct study *study = reader->study;
  size_t end = token->to; /* "ends with mail.com": as far as no blank stands */
  const char *all = study->tokens.text;
  while (token->kind == TOKEN_WORD && all[end] && !strchr(" ?!,;:)\"'", all[end]) && !(all[end] == '.' && strchr(" ?", all[end + 1])))
    end++;
  for (size_t i = at; i < study->tokens.count; i++)
    if (study->tokens.items[i].from > token->from && study->tokens.items[i].to <= end) study->explained[i] = true;
  const char *text = token->kind == TOKEN_QUOTED ? token->lower : arena_strndup(study->arena, all + token->from, end - token->from);
  add_filter(reader, (struct filter){.kind = FILTER_LIKE, .of = place, .literal = text, .op = way->op, .negated = way->negated}, at);
}

/* A text said at `from`, behind the column that `mention` is, or without one. */
static size_t match_way(struct reader *reader, const struct way *way, const struct mention *mention, size_t at, size_t from) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, from, way->phrases), p = from + n;
  if (!n) return 0;
  bool word = token_is(reader, p, "the") && token_is(reader, p + 1, "word|letter|text|string|substring|letters|phrase|term");
  if (word) p += 2;
  word |= token_is(reader, p - 1, "word|text|string|substring|letter");
  bool article =
      from > at && !word && token_is(reader, p, "a|an|the") && token_at(reader, p + 1)->kind == TOKEN_WORD; /* "mentions a garage" */
  p += article ? 1 : 0;
  const struct token *token = text_behind(reader, from, p, !word && way == &ways[sizeof ways / sizeof *ways - 1], from > at);
  if (!token) return 0;
  struct place place;
  size_t behind = token_is(reader, p + 1, "in|within") ? skip_glue(reader, p + 2) : 0; /* "contain 'x' in the body" */
  const struct mention *where = behind && from == at ? mention_at(reader, behind) : NULL;
  if (mention_best(where, LINK_COLUMN) && settle_column(reader, where, WANT_TEXT, &place)) {
    add_match(reader, way, place, token, at);
    return where->to - at;
  }
  if (study->doubt || !(from > at ? settle_column(reader, mention, WANT_TEXT, &place) : text_column(reader, &place))) return 0;
  add_match(reader, way, place, token, at);
  return p + 1 - at;
}

/* "with a gmail address": the provider is within the address. */
static size_t mail_provider(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "with a|with an|having a|having an|have a|have an|has a|has an|using a|using an"), p = at + n;
  size_t behind =
      n ? study_phrase(reader->study, p + 1, "email address|email addresses|email|emails|address|addresses|account|accounts") : 0;
  struct place place;
  if (!behind || !token_is(reader, p, "gmail|yahoo|hotmail|outlook|icloud|aol|gmx|protonmail")) return 0;
  if (!find_concept(reader, reader->out->subject, "email mail", WANT_TEXT, &place)) return 0;
  struct filter filter = {.kind = FILTER_LIKE, .of = place, .literal = token_lower(reader, p), .op = "%x%"};
  return add_filter(reader, filter, at) ? n + 1 + behind : 0;
}

size_t rule_match(struct reader *reader, size_t at) {
  size_t mail = mail_provider(reader, at);
  if (mail) return mail;
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  bool named = column && !mention->verb && (!table || table->score <= column->score);
  size_t p = named ? mention->to : at, n = 0;
  while (p > at && token_is(reader, p, "that|which|is|are")) p++;
  for (size_t i = 0; i < sizeof ways / sizeof *ways && !n && !reader->study->doubt; i++) n = match_way(reader, &ways[i], mention, at, p);
  return n;
}

/* "a comment that mentions": what it says follows. */
static bool says_text(const struct reader *reader, size_t at) {
  while (token_is(reader, at, "that|which|is|are")) at++;
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    if (study_phrase(reader->study, at, ways[i].phrases)) return true;
  return false;
}

size_t rule_null(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  if (mention && mention_best(mention, LINK_COLUMN)) {
    size_t absent = study_phrase(study, mention->to,
                                 "is null|are null|is missing|are missing|is empty|is unknown|is blank|is not set|is not specified|is not "
                                 "known|is not available|was not recorded|is not recorded|null|missing");
    size_t present = study_phrase(
        study, mention->to, "is not null|are not null|is not missing|is not empty|is known|is set|is specified|is present|is available");
    if (!absent && !present) return 0;
    if (!settle_column(reader, mention, WANT_ANY, &place)) return 0;
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .negated = present != 0}, at);
    return mention->to + (present ? present : absent) - at;
  }
  /* "who have an email", "with a phone number" */
  size_t n = study_phrase(study, at,
                          "have an|have a|has a|has an|with a|with an|having a|having an|who have a|that have a|with missing|with "
                          "null|with unknown|with no known|missing a|missing an|missing");
  mention = n ? mention_at(reader, at + n) : NULL;
  if (!mention || !mention_best(mention, LINK_COLUMN) || mention_best(mention, LINK_TABLE)) return 0;
  const char *op;
  if (read_comparison(reader, mention->to, &op) || token_is(reader, mention->to, "of|between|is|containing|starting|like") ||
      mention_best(mention_at(reader, mention->to), LINK_VALUE) || says_text(reader, mention->to))
    return 0;
  const struct token *next = token_at(reader, mention->to);
  if ((next->kind == TOKEN_NUMBER || next->kind == TOKEN_QUOTED || next->kind == TOKEN_DATE)) return 0;
  if (!settle_column(reader, mention, WANT_ANY, &place) || place.column->not_null) return 0;
  bool missing = token_is(reader, at + n - 1, "missing|null|unknown|known") || token_is(reader, at, "missing");
  add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .negated = !missing}, at);
  return mention->to - at;
}

/* "shipped orders", "unpaid": a date that is there or isn't. */
static size_t happened(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct token *token = token_at(reader, at);
  if (token->kind != TOKEN_WORD) return 0;
  bool opposite = strncmp(token->lower, "un", 2) == 0 && strlen(token->lower) >= 6;
  const char *verb = token->lower + (opposite ? 2 : 0);
  size_t len = strlen(verb);
  bool past = (len > 4 && strcmp(verb + len - 2, "ed") == 0) || strcmp(verb, "paid") == 0 || strcmp(verb, "sent") == 0 ||
              strcmp(verb, "left") == 0 || strcmp(verb, "quit") == 0;
  const struct link *noun = mention_best(mention_at(reader, at + 1), LINK_TABLE); /* "closed tickets" */
  bool told = opposite ||
              (at > 0 && token_is(reader, at - 1, "not|been|yet|was|were|never|are|is|have|has|already|actually|really|who|that")) ||
              (noun && noun->table == reader->out->subject && !mention_best(mention_at(reader, at), LINK_VALUE));
  if (!past || !told || token_is(reader, at + 1, "in|on|since|before|after|between|during|by|last|from|to|at")) return 0;
  const struct word *stem = words_of(study->words, verb);
  bool gone = strcmp(verb, "left") == 0 || strcmp(verb, "terminated") == 0 || strcmp(verb, "quit") == 0 || strcmp(verb, "resigned") == 0;
  const struct snap_table *table = study_table(study, reader->out->subject);
  for (size_t c = 0; stem && c < table->column_count; c++) {
    if (!column_temporal(&table->columns[c]) || table->columns[c].not_null) continue;
    const struct word *words[NAME_WORDS];
    size_t n = names_split(table->columns[c].name, study->arena, study->words, words);
    for (size_t w = 0; w < n; w++) {
      static const char *const leaving[] = {"term", "termin", "leav", "exit", "left"};
      bool left = false;
      for (size_t l = 0; gone && l < sizeof leaving / sizeof *leaving; l++) left |= strcmp(words[w]->text, leaving[l]) == 0;
      if (words_alike(words[w], stem) < 1 && !left) continue;
      bool not = opposite || negated_before(reader, at);
      add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {reader->out->subject, &table->columns[c], NULL}, .negated = !not },
                 at);
      return 1;
    }
  }
  return 0;
}

/* "open tickets", "active contracts": what has an end that is not there yet. */
static size_t still_open(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  static const char *const ends[] = {"close", "resolv", "end", "complet", "finish", "return"};
  const struct mention *mention = mention_at(reader, at);
  const struct link *noun = mention_best(mention_at(reader, at + 1), LINK_TABLE);
  bool before = noun && noun->table == reader->out->subject, behind = token_is(reader, at > 0 ? at - 1 : 0, "are|is|still|were");
  if (!token_is(reader, at, "open|unresolved|unclosed|ongoing|outstanding|unfinished") || (!before && !behind)) return 0;
  if (mention_best(mention, LINK_VALUE) || mention_best(mention, LINK_FLAG)) return 0;
  const struct snap_table *table = study_table(study, reader->out->subject);
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
    for (size_t c = 0; c < table->column_count; c++) {
      const struct word *words[NAME_WORDS];
      size_t n = names_split(table->columns[c].name, study->arena, study->words, words);
      if (!n || !column_temporal(&table->columns[c]) || table->columns[c].not_null ||
          strncmp(words[0]->text, ends[e], strlen(ends[e])) != 0)
        continue;
      add_filter(reader,
                 (struct filter){
                     .kind = FILTER_NULL, .of = {reader->out->subject, &table->columns[c], NULL}, .negated = negated_before(reader, at)},
                 at);
      return 1;
    }
  return 0;
}

size_t rule_flag(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  size_t open = still_open(reader, at);
  if (open) return open;
  const struct link *best = NULL;
  double most = 0;
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (token_is(reader, at, "time|times|day|days|date|number|year") && mention->to == at + 1) continue; /* no "full time" */
    if (link->kind != LINK_FLAG || link->score < 0.75 || (!link->negative && !says_word(reader, mention, link))) continue;
    double worth = link->score + (link->table == reader->out->subject ? 0.3 : 0) + (study->mentioned[link->table] ? 0.1 : 0);
    if (worth > most) most = worth, best = link;
  }
  const struct link *table = mention_best(mention, LINK_TABLE), *term = mention_best(mention, LINK_TERM);
  if (term && !strchr(term->term->expression, '(')) {
    add_filter(
        reader,
        (struct filter){.kind = FILTER_TERM, .of.table = reader->out->subject, .term = term->term, .negated = negated_before(reader, at)},
        at);
    return mention->to - at;
  }
  if (!best || (table && table->score >= best->score)) return happened(reader, at);
  const struct link *value = mention_best(mention, LINK_VALUE);
  const struct link *rows = mention_best(mention_at(reader, mention->to), LINK_TABLE); /* "active members": no flag of trainers */
  if (rows && rows->table != best->table && !study_belongs(study, rows->table, best->table) && value) return 0;
  if (best->table != reader->out->subject && value && value->table == reader->out->subject && value->score >= 0.9) return 0;
  if (best->table != reader->out->subject && study_distance(study, reader->out->subject, best->table) > 3) return 0;
  size_t to = mention->to;
  bool no = token_is(reader, to, "is") && token_is(reader, to + 1, "false");
  if (no || (token_is(reader, to, "is") && token_is(reader, to + 1, "true"))) to += 2;
  bool negated = (negated_before(reader, at) != best->negative) != no;
  add_filter(reader, (struct filter){.kind = FILTER_FLAG, .of = {best->table, best->column, NULL}, .negated = negated}, at);
  return to - at;
}
