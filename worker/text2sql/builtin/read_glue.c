/* read_glue.c - words that say nothing of their own beside what was understood, and those that nothing accounts for. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* Words that say nothing about which rows: what one calls a result, and verbs of having and being somewhere. */
static const char benign[] =
    " information info detail details data record records entry entries result results list database table value "
    "values respectively overall available different following place placed places make makes made "
    "respective belong belongs belonging associate associated relate related correspond corresponding exist exists existing "
    "locate located live lives living base based work works working come comes coming came through together contain "
    "contains involve involved occur occurred happen happened call called name named use used uses receive "
    "received get gets got getting include included including total please along "
    "calculate compute count report query question answer order ordered sort sorted group grouped column columns "
    "row rows field fields system registered recorded stored listed given output number amount "
    "offer offers offered take takes taken took provide provided handled handle assigned placing making currently "
    "go goes going gone went present people person whole entire full complete each sum summary overview ";

/* Glue that turns the meaning round: it is never passed over in silence. */
static bool weighty(const char *lower) {
  static const char *const words[] = {"not",        "never",  "no",      "without", "except",   "excluding",  "neither", "nor",   "most",
                                      "least",      "fewest", "more",    "less",    "fewer",    "than",       "above",   "below", "under",
                                      "before",     "after",  "since",   "until",   "between",  "or",         "either",  "per",   "during",
                                      "out",        "both",   "average", "median",  "total",    "percentage", "ratio",   "same",  "twice",
                                      "cumulative", "will",   "should",  "predict", "forecast", "why"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], lower) == 0) return true;
  return false;
}

/* Verbs that only say that two things belong together, by stem. */
bool verb_neutral(const struct study *study, size_t at) {
  static const char *const stems[] = {
      "oper",    "run",     "lead",   "handl",  "manag",   "make",    "play",   "write",  "teach",   "serv",    "offer",  "host",
      "hold",    "take",    "fli",    "direct", "produc",  "publish", "releas", "record", "perform", "conduct", "employ", "carri",
      "cover",   "drive",   "submit", "post",   "creat",   "contain", "score",  "own",    "have",    "work",    "depart", "arriv",
      "process", "treat",   "see",    "teach",  "attend",  "use",     "coach",  "receiv", "get",     "come",    "log",    "bill",
      "bring",   "brought", "made",   "took",   "ran",     "shown",   "seen",   "spoke",  "speak",   "sell",    "ship",   "stock",
      "stay",    "sit",     "belong", "appear", "generat", "earn",    "charg"};
  const struct token *token = at < study->tokens.count ? &study->tokens.items[at] : NULL;
  for (size_t i = 0; token && token->kind == TOKEN_WORD && i < sizeof stems / sizeof *stems; i++)
    if (strcmp(token->word->text, stems[i]) == 0) return true;
  return false;
}

bool turns_meaning(const char *lower) {
  static const char *const against[] = {"refused",  "returned",  "cancelled",  "canceled", "declined", "complained", "lost",
                                        "disliked", "rejected",  "missed",     "missing",  "failed",   "fired",      "left",
                                        "lacking",  "excluding", "terminated", "avoided",  "skipped",  "dropped",    "deleted",
                                        "removed",  "expired",   "overdue",    "delayed",  "ended",    "stopped"};
  for (size_t i = 0; i < sizeof against / sizeof *against; i++)
    if (strcmp(against[i], lower) == 0) return true;
  return false;
}

/* "diagnosed with Migraine", "taking Genetics": what joins two things that were understood says nothing of its own, unless it says the
 * opposite. */
static bool joins_things(const struct study *study, size_t at) {
  static const char *const ties[] = {"in", "with", "by",   "for",   "at",   "on",   "from",    "to",   "the",     "of",       "as", "a",
                                     "an", "any",  "more", "fewer", "less", "over", "exactly", "only", "several", "multiple", "no"};
  const char *lower = study->tokens.items[at].lower;
  size_t len = strlen(lower);
  bool verb = (len > 4 && (strcmp(lower + len - 2, "ed") == 0 || strcmp(lower + len - 3, "ing") == 0)) ||
              study_phrase(study, at, "written|taught|sold|made|sent|given|driven|flown|held|won|bought|taken");
  if (turns_meaning(lower)) return false;
  struct date_range range;
  if (at > 1 && study_phrase(study, at - 2, "much was|much were|many was|many were")) return false; /* "how much was deposited" */
  if (!verb || at == 0 || at + 1 >= study->tokens.count || dates_read(&study->tokens, at + 1, study->arena, &range)) return false;
  const struct mention *next = study->at[at + 1];
  bool tied = mention_best(next, LINK_VALUE) != NULL;
  for (size_t i = 0; i < sizeof ties / sizeof *ties; i++) tied |= study_phrase(study, at + 1, ties[i]) != 0;
  return tied;
}

/* "how many flights does each airline operate", "airlines that fly to Japan", "scored a penalty". */
static bool ties_together(const struct study *study, size_t at) {
  bool asked = false;
  if (at == 0 || !verb_neutral(study, at)) return false;
  for (size_t i = 0; i < at; i++) asked |= study_phrase(study, i, "do|does|did|have|has|had|that|which|who|whom|never|not|how|what") > 0;
  return asked;
}

/* "mountains that climbers climbed": what a table's rows do, who are called by it. */
static bool agents_verb(const struct study *study, size_t at) {
  static const char *const agents[] = {"er", "r", "or", "eer"};
  const struct word *verb = study->tokens.items[at].word;
  size_t len = verb ? strlen(verb->text) : 0;
  for (size_t t = 0; len > 3 && t < study->snapshot->table_count; t++) {
    size_t count = study->names.table_counts[t];
    const char *name = count && study->mentioned[t] ? study->names.table_words[t][count - 1]->text : "";
    if (strncmp(name, verb->text, len) != 0) continue;
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
      if (strcmp(name + len, agents[i]) == 0) return true;
  }
  return false;
}

/* "specialises in" of specialty. */
static bool one_stem(const struct study *study, const struct snap_column *column, const struct word *word) {
  const struct word *words[NAME_WORDS];
  size_t n = names_split(column->name, study->arena, study->words, words);
  for (size_t w = 0; w < n; w++)
    if (strncmp(words[w]->text, word->text, 7) == 0 && strlen(word->text) >= 7) return true;
  return false;
}

/* "born in California" of born_state: the rest of the name of a column that a condition or group near it is about. */
static bool rest_of_name(const struct study *study, size_t at) {
  const struct reading *r = &study->reading;
  const struct word *word = study->tokens.items[at].word;
  for (size_t i = 0; word && i < r->filter_count + r->group_count; i++) {
    const struct filter *filter = i < r->filter_count ? &r->filters[i] : NULL;
    const struct place *of = filter ? &filter->of : &r->groups[i - r->filter_count].of;
    if (!of->column || (filter && (filter->at > at + 5 || at > filter->end + 1))) continue;
    if (named_by(study, of->column, (const char *const[]){word->text, NULL}) || one_stem(study, of->column, word)) return true;
  }
  return false;
}

/* "business class", "gold tier": the noun behind a value that says what kind of thing it is. */
static bool classifies(const struct study *study, size_t at) {
  if (!study_phrase(study, at,
                    "class|classes|type|types|kind|kinds|tier|tiers|plan|plans|level|status|grade|segment|channel|team|label|group|member|"
                    "members|holders"))
    return false;
  for (size_t back = 1; back <= 3 && back <= at; back++)
    if (study->at[at - back] && study->at[at - back]->to == at && study->explained[at - back])
      return mention_best(study->at[at - back], LINK_VALUE) != NULL;
  return false;
}

static const char whole[] =
    "bank|company|library|league|shop|store|school|hospital|clinic|organization|organisation|university|college|firm|business|system|"
    "platform|fleet|collection|range|catalogue|portfolio|inventory|app|site|website|club|airline|hotel|chain|network|catalog|warehouse|"
    "world|market|country|dataset";

/* "in the league", "does our bank have": all of it. */
static bool whole_place(const struct study *study, size_t at) {
  return at > 0 && study_phrase(study, at - 1, "the|our|this|your|my") && study_phrase(study, at, whole);
}

/* "the highest salary in the company", at the end: no part of a company's name. */
size_t rule_whole(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "in the|in our|across the|at our|at the|within the|of the|of our");
  const struct mention *mention = n ? mention_at(reader, at + n) : NULL;
  if (!n || !study_phrase(reader->study, at + n, whole) ||
      !(token_is(reader, at + n + 1, "?|.") || at + n + 1 >= reader->study->tokens.count))
    return 0;
  for (size_t i = 0; mention && i < mention->count; i++)
    if (mention->to > at + n + 1 || mention->links[i].score >= 0.75) return 0;
  return n + 1;
}

/* "tickets were sold": what happened to every row of a table that is nothing but such events. */
static bool happened_to_all(const struct study *study, size_t at) {
  const struct mention *rows = at > 0 ? study->at[at - 1] : NULL; /* "tickets sold" */
  const struct link *event = rows && rows->to == at && !rows->verb && study->explained[at - 1] ? mention_best(rows, LINK_TABLE) : NULL;
  bool made =
      event &&
      study_phrase(study, at, "sold|made|placed|issued|booked|played|held|submitted|filed|logged|raised|recorded|taken|given|written");
  for (size_t i = 0; made && i < study->graph.edge_count; i++) made = study->graph.edges[i].to != event->table;
  if (made) return true;
  if (at < 2 || !study_phrase(study, at - 1, "was|were|been|are|is|be") || study->reading.subject == NO_TABLE) return false;
  if (!study_phrase(study, at,
                    "sold|made|placed|created|bought|issued|booked|played|held|submitted|filed|logged|raised|recorded|taken|given"))
    return false;
  for (size_t i = 0; i < study->graph.edge_count; i++)
    if (study->graph.edges[i].to == study->reading.subject) return false;
  return true;
}

/* "fare revenue", "earn more than 30": a word for money beside what it is about. */
static bool money_beside(const struct study *study, size_t at) {
  if (study_phrase(study, at, "earn|earns|cost|costs|pay|pays|weigh|weighs|make|makes|charge|charges") &&
      study_phrase(study, at + 1, "more|less|over|under|above|below|at|between|the|exactly"))
    return true;
  if (at == 0 ||
      !study_phrase(study, at,
                    "revenue|income|earnings|amount|value|values|total|figures|numbers|worked|spent|logged|booked|earned|sold|made|"
                    "recorded|billed|played|listened|produced|generated|consumed|delivered"))
    return false;
  for (size_t back = 1; back <= 3 && back <= at; back++) {
    const struct mention *before = study->at[at - back];
    if (!before || before->to != at || !study->explained[at - back]) continue;
    const struct link *column = mention_best(before, LINK_COLUMN);
    return column && column_numeric(column->column);
  }
  return false;
}

/* "on file", "in total": nothing is left out. */
static bool idiom(const struct study *study, size_t at) {
  static const char idioms[] =
      "as well|took place|take place|takes place|taken place|on file|on record|on the clock|on the books|on our books|in our records|in "
      "the system|in our system|in stock or "
      "not|in total|at all|so far|to date|up to now|until now|of all time|by far|as of today|as of now|right now|at the "
      "moment|these days|at present|in question|one by one|next to it|in the end|from the list|on offer|on our list|because of|carried "
      "out|carry out|carries out|carrying out|ended up as|end up as|ended up|end up|ends up|i e|e g|i . e|e . g|due "
      "to|owing to|on account of|by reason of";
  for (size_t back = 0; back < 4 && back <= at; back++) {
    size_t n = study_phrase(study, at - back, idioms);
    if (n > back) return true;
  }
  return false;
}

/* "When was the first loan granted?": the date is asked for, and there is one. */
static bool when_done(const struct study *study, size_t at) {
  const char *lower = study->tokens.items[at].lower;
  size_t len = strlen(lower);
  bool last = at + 1 >= study->tokens.count || (at + 2 == study->tokens.count && study->tokens.items[at + 1].kind == TOKEN_MARK);
  return last && study_phrase(study, 0, "when was|when were|when did") && !study->at[at] && len > 3 && strcmp(lower + len - 2, "ed") == 0;
}

/* "the number of sessions they gave", at the end. */
static bool they_did(const struct study *study, size_t at) {
  bool last = at + 1 >= study->tokens.count || study->tokens.items[at + 1].kind == TOKEN_MARK;
  return last && at > 1 && !study->at[at] && study_phrase(study, at - 1, "they|he|she") && !turns_meaning(study->tokens.items[at].lower);
}

/* "have only cancelled orders": none of another kind. */
static bool only_of_many(const struct study *study, size_t at) {
  if (at < 2 || !study_phrase(study, at, "only|all")) return false;
  if (study_phrase(study, at, "all"))
    return study_phrase(study, at - 1, "are|were|is") && mention_best(study->at[at + 1 < study->tokens.count ? at + 1 : at], LINK_VALUE);
  return study_phrase(study, at - 1, "have|has|had|with|that|who|ever") || (study->at[at - 1] && study->at[at - 1]->verb);
}

bool says_nothing(const struct study *study, size_t at) {
  const struct token *token = &study->tokens.items[at];
  if (token->kind == TOKEN_MARK) return true;
  if (study->at[at] == NULL && (classifies(study, at) || happened_to_all(study, at) || ties_together(study, at) || whole_place(study, at)))
    return true;
  if (ties_together(study, at) && study_phrase(study, at, "depart|departs|arrive|arrives") && study_phrase(study, at + 1, "from|at|to|in"))
    return true;
  if (idiom(study, at) || when_done(study, at) || they_did(study, at)) return true;
  if (money_beside(study, at)) return true;
  if (at > 0 && study->explained[at - 1] && study_phrase(study, at, "anything|something|anyone|somebody"))
    return true; /* "bought anything" */
  if (only_of_many(study, at) || study_phrase(study, at, "different from|other than|the same as|unlike")) return false;
  if (study_phrase(study, at, "value of|worth of")) return false;                                  /* an amount is asked for */
  if (at > 0 && study_phrase(study, at - 1, "on display|on show|on view|in return")) return false; /* no order to show */
  if (study_phrase(study, at, "under") && mention_best(study->at[at + 1 < study->tokens.count ? at + 1 : at], LINK_VALUE)) return true;
  size_t article = study_phrase(study, at + 1, "a|an|the|some");
  if (study_phrase(study, at, "both") && at + 1 + article < study->tokens.count && study->at[at + 1 + article])
    return true; /* "both orders and reviews": and, anyway */
  if (token->kind != TOKEN_WORD || weighty(token->lower)) return false;
  if (study_glue(token->lower) && !(token->capital && strlen(token->lower) > 2 && at > 1)) return true;
  if (token->capital && !study_glue(token->lower)) return false;
  if (joins_things(study, at)) return true;
  size_t len = strlen(token->lower);
  for (const char *p = strstr(benign, token->lower); p; p = strstr(p + 1, token->lower))
    if (p[-1] == ' ' && p[len] == ' ') return true;
  return false;
}

/* "new customers per month", "new orders in May": those that the date is of. */
static bool newly(const struct study *study, size_t at) {
  const struct reading *out = &study->reading;
  bool dated = false;
  for (size_t i = 0; i < out->group_count; i++) dated |= out->groups[i].bucket != UNIT_NONE;
  for (size_t i = 0; i < out->filter_count; i++) dated |= out->filters[i].kind == FILTER_DATE;
  return dated && study_phrase(study, at, "new") && at + 1 < study->tokens.count && mention_best(study->at[at + 1], LINK_TABLE);
}

/* A word that nothing accounts for is something that was asked for. */
void judge_coverage(struct study *study) {
  size_t words = 0;
  const char *list = "";
  for (size_t i = 0; i < study->tokens.count; i++) {
    const struct token *token = &study->tokens.items[i];
    if (study->explained[i] || token->kind == TOKEN_MARK || newly(study, i)) continue;
    bool plain = token->kind == TOKEN_WORD && !weighty(token->lower) && !token->capital;
    if (plain && (agents_verb(study, i) || rest_of_name(study, i))) continue;
    words++;
    list = arena_printf(study->arena, "%s%s\u201c%s\u201d", list, *list ? ", " : "", study_words(study, i, i + 1));
  }
  if (words) {
    study_doubt(study, NULL,
                "I can't connect %s to anything in the schema or its values. Can you say it with the names of tables and columns, or put a "
                "value in quotes?",
                list);
  }
}
