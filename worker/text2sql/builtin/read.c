/* read.c - the subject, the order in which rules are asked, and what is made of their findings at the end. */
#include "worker/text2sql/builtin/read.h"

#include <string.h>

#include "worker/text2sql/builtin/write.h"

#define SURE_VALUE 0.93 /* as it stands, or its plural */

static const read_rule rules[] = {
    rule_date, rule_rate,    rule_order,       rule_ratio, rule_time,    rule_absence, rule_having, rule_match, rule_null,
    rule_flag, rule_compare, rule_superlative, rule_group, rule_measure, rule_value,   rule_role,   rule_table, rule_column,
};

/* Words that say nothing about which rows: what one calls a result, and verbs of having and being somewhere. */
static const char benign[] =
    " information info detail details data record records entry entries result results list database table value "
    "values respectively overall available different following place placed places make makes made "
    "belong belongs belonging associate associated relate related correspond corresponding exist exists existing "
    "locate located live lives living base based work works working come comes coming came through together contain "
    "contains involve involved occur occurred happen happened call called name named use used uses receive "
    "received get gets got getting include included including total please along "
    "calculate compute count report query question answer order ordered sort sorted group grouped column columns "
    "row rows field fields system registered recorded stored listed given output number amount "
    "offer offers offered take takes taken took provide provided handled handle assigned placing making currently "
    "present people person whole entire full complete each sum summary overview ";

/* --- tokens --- */

const char *token_lower(const struct reader *reader, size_t at) {
  const struct tokens *tokens = &reader->study->tokens;
  if (at >= tokens->count) return "";
  return tokens->items[at].kind == TOKEN_WORD || tokens->items[at].kind == TOKEN_MARK ? tokens->items[at].lower : "";
}

bool token_is(const struct reader *reader, size_t at, const char *alternatives) {
  const char *lower = token_lower(reader, at);
  size_t len = strlen(lower);
  for (const char *p = alternatives; len && p;) {
    if (strncmp(p, lower, len) == 0 && (p[len] == '|' || !p[len])) return true;
    p = strchr(p, '|');
    if (p) p++;
  }
  return false;
}

size_t study_phrase(const struct study *study, size_t at, const char *alternatives) {
  for (const char *p = alternatives; p && *p;) {
    size_t n = 0;
    bool fits = true;
    while (fits && *p && *p != '|') {
      size_t len = strcspn(p, " |");
      const struct token *token = at + n < study->tokens.count ? &study->tokens.items[at + n] : NULL;
      bool text = token && (token->kind == TOKEN_WORD || token->kind == TOKEN_MARK) && strlen(token->lower) == len &&
                  strncmp(token->lower, p, len) == 0;
      fits = text || (token && len == 1 && *p == '#' && token->kind == TOKEN_NUMBER);
      n++;
      p += len;
      if (*p == ' ') p++;
    }
    if (fits) return n;
    p = strchr(p, '|');
    if (p) p++;
  }
  return 0;
}

size_t skip_glue(const struct reader *reader, size_t at) {
  while (token_is(
      reader, at,
      "the|a|an|their|its|his|her|all|any|of|each|every|these|those|our|some|different|distinct|unique|other|respective|individual|single"))
    at++;
  return at;
}

const struct mention *mention_at(const struct reader *reader, size_t at) {
  return at < reader->study->tokens.count ? reader->study->at[at] : NULL;
}

bool wants_rows(const struct reader *reader) {
  if (reader->out->listed) return true;
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (reader->out->items[i].kind == MEASURE_NONE) return true;
  return false;
}

/* --- adding --- */

#define ADD(reader, rows, count, row)                                                             \
  do {                                                                                            \
    if ((reader)->out->count == READING_ROWS) {                                                   \
      study_doubt((reader)->study, NULL, "That is too much for one question. Can you split it?"); \
      return NULL;                                                                                \
    }                                                                                             \
    (reader)->out->rows[(reader)->out->count] = (row);                                            \
    return &(reader)->out->rows[(reader)->out->count++];                                          \
  } while (0)

struct measure *add_item(struct reader *reader, struct measure measure) {
  for (size_t i = 0; i < reader->out->item_count; i++) {
    struct measure *old = &reader->out->items[i];
    if (old->kind == measure.kind && old->of.table == measure.of.table && old->of.column == measure.of.column &&
        old->of.role == measure.of.role && old->term == measure.term && !old->until && !measure.until)
      return old;
  }
  ADD(reader, items, item_count, measure);
}
/* Only glue, and an "or", between the condition before and this one. */
static bool behind_or(struct reader *reader, const struct filter *filter, size_t at) {
  const struct reading *out = reader->out;
  const struct filter *last = out->filter_count ? &out->filters[out->filter_count - 1] : NULL;
  size_t or = TOKENS_MAX;
  if (!last || last->branch != filter->branch || !last->end) return false;
  for (size_t i = last->end; i < at; i++) {
    if (token_is(reader, i, "and|but|,")) return false;
    if (token_is(reader, i, "or")) or = i;
  }
  if (or == TOKENS_MAX) return false;
  reader->study->explained[or] = true;
  for (size_t back = 1; back <= 4 && back <= last->at; back++)
    if (token_is(reader, last->at - back, "either|whether")) reader->study->explained[last->at - back] = true;
  if (last->negated || filter->negated) study_doubt(reader->study, NULL, "Does the negation hold for both sides of the \u201cor\u201d?");
  return true;
}

struct filter *add_filter(struct reader *reader, struct filter filter, size_t at) {
  filter.branch = filter.branch ? filter.branch : reader->branch;
  filter.at = at;
  filter.either |= behind_or(reader, &filter, at);
  ADD(reader, filters, filter_count, filter);
}
struct group *add_group(struct reader *reader, struct group group) {
  for (size_t i = 0; i < reader->out->group_count; i++) {
    struct group *old = &reader->out->groups[i];
    if (old->of.table == group.of.table && old->of.column == group.of.column && old->bucket == group.bucket) return old;
  }
  ADD(reader, groups, group_count, group);
}
struct key *add_key(struct reader *reader, struct measure by, bool falling) {
  ADD(reader, keys, key_count, ((struct key){by, falling}));
}
struct branch *add_branch(struct reader *reader, struct branch branch) {
  ADD(reader, branches, branch_count, branch);
}

void add_related(struct reader *reader, size_t table) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->related_count; i++)
    if (out->related[i] == table) return;
  if (table != out->subject && out->related_count < READING_ROWS) out->related[out->related_count++] = table;
}

bool says_table(const struct study *study, const struct mention *mention, size_t table) {
  for (size_t i = mention->from; i < mention->to; i++)
    for (size_t w = 0; w < study->names.table_counts[table]; w++)
      if (study->tokens.items[i].kind == TOKEN_WORD && study->names.table_words[table][w] == study->tokens.items[i].word) return true;
  return false;
}

const struct link *value_over_synonym(const struct study *study, const struct mention *mention) {
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *value = &mention->links[i];
    if (value->kind != LINK_VALUE || value->score < SURE_VALUE || says_table(study, mention, value->table)) continue;
    for (size_t k = 0; k < mention->count; k++)
      if (mention->links[k].kind == LINK_TABLE && mention->links[k].table == value->table) return value;
  }
  return NULL;
}

bool named_by(const struct study *study, const struct snap_column *column, const char *const *stems) {
  const struct word *words[NAME_WORDS];
  size_t n = names_split(column->name, study->arena, study->words, words);
  for (size_t w = 0; w < n; w++)
    for (size_t k = 0; stems[k]; k++)
      if (strcmp(words[w]->text, stems[k]) == 0) return true;
  return false;
}

bool additive(const struct study *study, const struct snap_column *column) {
  static const char *const sums[] = {"amount", "unit",     "quantiti", "sale",  "total",  "hour",    "revenu",  "minut",
                                     "point",  "profit",   "spend",    "volum", "count",  "income",  "expense", "energi",
                                     "output", "consumpt", "mwh",      "kwh",   "mileag", "rainfal", NULL};
  return named_by(study, column, sums);
}

/* --- the subject --- */

/* "names of parts": the table that the column named is of. */
static size_t owner_named(const struct reader *reader, const struct mention *mention) {
  const struct link *column = mention_best(mention, LINK_COLUMN);
  size_t last = mention ? mention->to - 1 : 0;
  if (!column || last < mention->from + 2 || !token_is(reader, mention->from + 1, "of")) return NO_TABLE;
  struct mention noun = {.from = last, .to = mention->to};
  return says_table(reader->study, &noun, column->table) ? column->table : NO_TABLE;
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

/* The first table that is asked about, not grouped by, and not in a clause; else the first at all that isn't grouped by. */
static size_t first_table(struct reader *reader) {
  size_t found = NO_TABLE;
  for (size_t at = 0; at < reader->study->tokens.count; at++) {
    const struct mention *mention = mention_at(reader, at);
    const struct link *table = mention_best(mention, LINK_TABLE), *kind = value_over_synonym(reader->study, mention);
    size_t owner = owner_named(reader, mention);
    if (owner != NO_TABLE) return owner;
    if (kind && !behind_group_word(reader, at)) return kind->table;
    if (!table || (mention->verb && !(at == 1 && token_is(reader, 0, "who"))) || behind_group_word(reader, at)) continue;
    const struct link *column = mention_best(mention, LINK_COLUMN), *value = mention_best(mention, LINK_VALUE);
    if ((column && column->score > table->score + 0.05) || (value && value->score > table->score + 0.16)) continue;
    if (table->score < 0.62) continue;
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

/* Without a table named: the one that most of the mentioned things are in. */
static size_t central_table(struct reader *reader) {
  struct study *study = reader->study;
  size_t best = NO_TABLE;
  double most = 0;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    double sum = 0, weight = 1.3;
    for (size_t at = 0; at < study->tokens.count; at++) {
      const struct mention *mention = mention_at(reader, at);
      double score = 0;
      const struct link *exact = mention_best(mention, LINK_COLUMN);
      bool hours = dates_unit(token_lower(reader, at)) == UNIT_HOUR && exact && exact->score >= 0.95;
      if (mention && mention->to == at + 1 && dates_unit(token_lower(reader, at)) != UNIT_NONE && !hours) continue;
      for (size_t i = 0; mention && i < mention->count; i++) {
        const struct link *link = &mention->links[i];
        bool key = link->kind == LINK_COLUMN && column_key(&study->snapshot->tables[t], link->column);
        if (link->table == t && link->kind != LINK_ROLE && link->score - (key ? 0.3 : 0) > score) score = link->score - (key ? 0.3 : 0);
      }
      sum += weight * score;
      if (mention) weight = 1;
    }
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
  static const char *const people[] = {"custom",   "customer", "passeng", "user",   "employee", "employe",    "agent",   "student",
                                       "teacher",  "patient",  "doctor",  "player", "member",   "guest",      "author",  "driver",
                                       "client",   "person",   "request", "staff",  "actor",    "director",   "seller",  "owner",
                                       "subscrib", "viewer",   "reader",  "voter",  "worker",   "coach",      "refere",  "nurs",
                                       "pilot",    "singer",   "candid",  "applic", "learner",  "visitor",    "travel",  "rider",
                                       "emp",      "cust",     "tenant",  "donor",  "artist",   "instructor", "contact", "account"};
  size_t count = study->names.table_counts[table];
  for (size_t i = 0; count && i < sizeof people / sizeof *people; i++)
    if (strcmp(study->names.table_words[table][count - 1]->text, people[i]) == 0) return true;
  return false;
}

/* "Who spent the most on tickets?": people that the table named belongs to, when there is one kind of them. */
static size_t person_asked(struct reader *reader, size_t table) {
  struct study *study = reader->study;
  if (!token_is(reader, 0, "who") || table == NO_TABLE || study->doubt || person_like(study, table)) return table;
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

static void find_subject(struct reader *reader) {
  mark_mentioned(reader);
  reader->out->subject = NO_TABLE;
  reader->out->subject = person_asked(reader, first_table(reader));
  for (size_t t = 0; reader->out->subject == NO_TABLE && says_headcount(reader->study) && t < reader->study->snapshot->table_count; t++)
    if (person_like(reader->study, t) && table_readable(study_table(reader->study, t))) reader->out->subject = t;
  for (size_t at = 0; at < reader->study->tokens.count && reader->out->subject == NO_TABLE; at++) {
    const struct link *term = mention_best(mention_at(reader, at), LINK_TERM);
    if (term) reader->out->subject = term_root(reader->study, term->term);
  }
  if (reader->out->subject == NO_TABLE && !reader->study->doubt) reader->out->subject = person_asked(reader, central_table(reader));
  reader->last_table = reader->out->subject;
}

/* --- one pass over the question --- */

static void note_clause(struct reader *reader, size_t at) {
  if (token_is(reader, at, "both") && at > 0 && token_is(reader, at - 1, "have|has|with|had")) reader->where = true;
  if (token_is(reader, at, "with|whose|that|who|which|where|having|from|in|for|when|if") && at > 0 &&
      !(token_is(reader, at, "for|in|with") && at < 2) &&
      !(token_is(reader, at, "who|which") && token_is(reader, at + 1, "is|are|was|were") && token_is(reader, at + 2, "the"))) {
    if (!token_is(reader, at - 1, "in|of|for") || !token_is(reader, at, "which")) reader->where = true;
    if (token_is(reader, at, "with") && token_is(reader, at + 1, "their|its|the|his")) reader->where = false;
  }
  if (token_is(reader, at, "and|,|along") &&
      token_is(reader, at + 1, "show|list|return|their|its|give|display|include|with|also|how|the")) {
    reader->where =
        reader->where && token_is(reader, at + 1, "the|with") && !study_phrase(reader->study, at + 2, "total|average|number|their");
    reader->branch = reader->where ? reader->branch : 0;
  }
  if (token_is(reader, at, "and|but|or") && token_is(reader, at + 1, "who|that|whose|have|has|are|is|were|which|did|with"))
    reader->branch = 0;
}

static void explain(struct study *study, size_t from, size_t count) {
  for (size_t i = from; i < from + count && i < study->tokens.count; i++) study->explained[i] = true;
}

/* Glue that turns the meaning round: it is never passed over in silence. */
static bool weighty(const char *lower) {
  static const char *const words[] = {"not",        "never", "no",     "without", "except",  "excluding", "neither", "nor",
                                      "most",       "least", "fewest", "more",    "less",    "fewer",     "than",    "above",
                                      "below",      "under", "before", "after",   "since",   "until",     "between", "or",
                                      "either",     "per",   "during", "out",     "both",    "average",   "median",  "total",
                                      "percentage", "ratio", "will",   "should",  "predict", "forecast",  "why"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], lower) == 0) return true;
  return false;
}

/* "diagnosed with Migraine", "taking Genetics": what joins two things that were understood says nothing of its own, unless it says the
 * opposite. */
static bool joins_things(const struct study *study, size_t at) {
  static const char *const against[] = {"refused",  "returned",  "cancelled",  "canceled", "declined", "complained", "lost",
                                        "disliked", "rejected",  "missed",     "missing",  "failed",   "fired",      "left",
                                        "lacking",  "excluding", "terminated", "avoided",  "skipped",  "dropped",    "deleted",
                                        "removed",  "expired",   "overdue",    "delayed",  "ended",    "stopped"};
  static const char *const ties[] = {"in", "with", "by",   "for",   "at",   "on",   "from",    "to",   "the",     "of",       "as", "a",
                                     "an", "any",  "more", "fewer", "less", "over", "exactly", "only", "several", "multiple", "no"};
  const char *lower = study->tokens.items[at].lower;
  size_t len = strlen(lower);
  bool verb = (len > 4 && (strcmp(lower + len - 2, "ed") == 0 || strcmp(lower + len - 3, "ing") == 0)) ||
              study_phrase(study, at, "written|taught|sold|made|sent|given|driven|flown|held|won|bought|taken");
  for (size_t i = 0; i < sizeof against / sizeof *against; i++)
    if (strcmp(against[i], lower) == 0) return false;
  struct date_range range;
  if (at > 1 && study_phrase(study, at - 2, "much was|much were|many was|many were")) return false; /* "how much was deposited" */
  if (!verb || at == 0 || at + 1 >= study->tokens.count || dates_read(&study->tokens, at + 1, study->arena, &range)) return false;
  const struct mention *next = study->at[at + 1];
  bool tied = mention_best(next, LINK_VALUE) != NULL;
  for (size_t i = 0; i < sizeof ties / sizeof *ties; i++) tied |= study_phrase(study, at + 1, ties[i]) != 0;
  return tied;
}

/* Verbs that only say that two things belong together, by stem. */
bool verb_neutral(const struct study *study, size_t at) {
  static const char *const stems[] = {
      "oper",    "run",   "lead",   "handl",  "manag",  "make",    "play",   "write",  "teach",   "serv",    "offer",  "host",
      "hold",    "take",  "fli",    "direct", "produc", "publish", "releas", "record", "perform", "conduct", "employ", "carri",
      "cover",   "drive", "submit", "post",   "creat",  "contain", "score",  "own",    "have",    "work",    "depart", "arriv",
      "process", "treat", "see",    "teach",  "attend", "use",     "coach",  "receiv", "get",     "come",    "log",    "bill"};
  const struct token *token = at < study->tokens.count ? &study->tokens.items[at] : NULL;
  for (size_t i = 0; token && token->kind == TOKEN_WORD && i < sizeof stems / sizeof *stems; i++)
    if (strcmp(token->word->text, stems[i]) == 0) return true;
  return false;
}

/* "how many flights does each airline operate", "airlines that fly to Japan", "scored a penalty". */
static bool ties_together(const struct study *study, size_t at) {
  bool asked = false;
  if (at == 0 || !verb_neutral(study, at)) return false;
  for (size_t i = 0; i < at; i++) asked |= study_phrase(study, i, "do|does|did|have|has|had|that|which|who|whom|never|not") > 0;
  return asked;
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

/* "in the league", "does our bank have": all of it. */
static bool whole_place(const struct study *study, size_t at) {
  return at > 0 && study_phrase(study, at - 1, "the|our|this|your|my") &&
         study_phrase(
             study, at,
             "bank|company|library|league|shop|store|school|hospital|clinic|organization|organisation|university|college|firm|business|"
             "system|"
             "platform|app|site|website|club|airline|hotel|chain|network|catalog|catalogue|warehouse|world|market|country|dataset");
}

/* "tickets were sold": what happened to every row of a table that is nothing but such events. */
static bool happened_to_all(const struct study *study, size_t at) {
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

static bool is_benign(const struct study *study, size_t at) {
  const struct token *token = &study->tokens.items[at];
  if (token->kind == TOKEN_MARK) return true;
  if (study->at[at] == NULL && (classifies(study, at) || happened_to_all(study, at) || ties_together(study, at) || whole_place(study, at)))
    return true;
  if (ties_together(study, at) && study_phrase(study, at, "depart|departs|arrive|arrives") && study_phrase(study, at + 1, "from|at|to|in"))
    return true;
  if (money_beside(study, at)) return true;
  if (study_phrase(study, at, "value of|worth of")) return false;                                  /* an amount is asked for */
  if (at > 0 && study_phrase(study, at - 1, "on display|on show|on view|in return")) return false; /* no order to show */
  if (study_phrase(study, at, "under") && mention_best(study->at[at + 1 < study->tokens.count ? at + 1 : at], LINK_VALUE)) return true;
  if (study_phrase(study, at, "both") && study->at[at + 1 < study->tokens.count ? at + 1 : at])
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

static void read_all(struct reader *reader) {
  struct study *study = reader->study;
  for (size_t at = 0; at < study->tokens.count && !study->doubt && !study->oom;) {
    size_t taken = 0;
    note_clause(reader, at);
    size_t filters = reader->out->filter_count;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !taken && !study->doubt; i++) taken = rules[i](reader, at);
    for (size_t i = filters; i < reader->out->filter_count; i++) reader->out->filters[i].end = at + taken;
    if (taken) {
      explain(study, at, taken);
      at += taken;
      continue;
    }
    if (is_benign(study, at)) study->explained[at] = true;
    if (!token_is(reader, at, "and|,|the|or|by|then|each|of|for|their|its|a|every")) reader->grouping = reader->ordering = false;
    at++;
  }
}

/* --- what follows from all of it --- */

static void finish_pending(struct reader *reader) {
  struct reading *out = reader->out;
  struct place amount;
  if (reader->pending == MEASURE_SUM && !out->item_count && !reader->study->doubt &&
      out->subject != NO_TABLE && /* "how much was deposited" */
      find_concept(reader, out->subject, "amount total revenue sales", WANT_NUMBER, &amount)) {
    add_item(reader, (struct measure){.kind = MEASURE_SUM, .of = amount});
    out->listed = false;
    reader->pending = MEASURE_NONE;
  }
  bool counted = false; /* "how many hours … in total" */
  for (size_t i = 0; i < out->item_count; i++) counted |= out->items[i].kind != MEASURE_NONE;
  if (reader->pending == MEASURE_SUM && counted) reader->pending = MEASURE_NONE;
  if (reader->pending == MEASURE_COUNT && out->subject != NO_TABLE) {
    add_item(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = out->subject});
    out->listed = false;
  } else if (reader->pending != MEASURE_NONE) {
    study_doubt(reader->study, NULL, "Of what is the total, average or extreme wanted? Name the column.");
  }
  if (!reader->top || out->key_count || reader->study->doubt) return;
  size_t aggregates = 0, which = 0;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE) aggregates++, which = i;
  if (aggregates == 1)
    add_key(reader, out->items[which], reader->top_falling);
  else
    study_doubt(reader->study, NULL, "Top by what? Name the column or count to order by.");
}

static bool has_aggregate(const struct reading *out) {
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE || out->items[i].term) return true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE || out->keys[i].by.term) return true;
  return false;
}

/* "units sold per brand": amounts per something are added up; prices and scores are not. */
static void sum_items(struct reader *reader) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->item_count; i++) {
    struct measure *item = &out->items[i];
    if (item->kind != MEASURE_NONE || !item->of.column || !column_numeric(item->of.column)) continue;
    if (additive(reader->study, item->of.column))
      item->kind = MEASURE_SUM;
    else
      study_doubt(reader->study, NULL, "Should %s be added up or averaged?", item->of.column->name);
  }
}

/* "each product's name": groups without anything to add up are a list. */
static void list_groups(struct reader *reader) {
  struct reading *out = reader->out;
  if (out->each || out->branch_count || out->nested_average) return;
  for (size_t i = 0; i < out->group_count; i++) {
    if (out->groups[i].bucket || out->groups[i].of.role) return;
    if (out->groups[i].of.column)
      add_item(reader, (struct measure){.of = out->groups[i].of});
    else if (out->groups[i].of.table != out->subject)
      return;
    else
      out->listed |= !out->item_count || out->items[0].of.table != out->subject;
  }
  out->group_count = 0;
}

static bool only_own_sums(const struct reading *out) {
  bool sums = false;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind == MEASURE_NONE) continue;
    if (out->items[i].kind != MEASURE_SUM || out->items[i].of.table != out->subject) return false;
    sums = true;
  }
  return sums;
}

/* Rows asked for together with aggregates are what the aggregates are grouped by. */
static void finish_groups(struct reader *reader) {
  struct reading *out = reader->out;
  if (out->ratio) return;
  for (size_t i = 0; i < out->item_count && out->group_count && reader->per; i++) { /* "signups per year": rows, by their date */
    struct measure *item = &out->items[i];
    if (item->kind == MEASURE_NONE && item->of.column && column_temporal(item->of.column) && out->groups[0].bucket)
      *item = (struct measure){.kind = MEASURE_COUNT, .of.table = item->of.table};
  }
  if (reader->per && out->group_count && !has_aggregate(out)) sum_items(reader);
  if (reader->per && out->group_count && !has_aggregate(out) && out->listed && !out->item_count && !out->each &&
      !out->branch_count) { /* "users per country" */
    add_item(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = out->subject});
    out->listed = false;
  }
  if (!has_aggregate(out)) {
    list_groups(reader);
    return;
  }
  if (reader->per && out->listed && out->group_count && only_own_sums(out)) out->listed = false; /* a sum for each row is none */
  size_t kept = 0;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind == MEASURE_NONE && !out->items[i].term) {
      if (out->items[i].of.column && out->items[i].of.table == out->subject && !out->listed && !out->group_count && out->item_count > 1)
        out->listed = column_key(study_table(reader->study, out->subject), out->items[i].of.column) || out->listed;
      add_group(reader, (struct group){.of = out->items[i].of});
    } else {
      out->items[kept++] = out->items[i];
    }
  }
  out->item_count = kept;
  bool grouped = false;
  bool ranked = out->limit && out->key_count && out->keys[0].by.kind != MEASURE_NONE; /* "top 3 guests for each country" */
  for (size_t i = 0; i < out->group_count; i++)
    grouped |=
        out->groups[i].of.table == out->subject && !out->groups[i].bucket && !(ranked && out->groups[i].each && out->groups[i].of.column);
  if (out->listed && !grouped) add_group(reader, (struct group){.of.table = out->subject});
  size_t within = 0; /* "top 3 products in each category by sales" */
  for (size_t i = 0; i < out->group_count; i++) within += out->groups[i].each;
  if (within && within < out->group_count && out->limit && out->key_count) out->each = true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE || out->keys[i].by.term) add_item(reader, out->keys[i].by);
}

/* "List brands": what there is of something that has no table of its own, each once. */
static void finish_distinct(struct reader *reader) {
  struct reading *out = reader->out;
  if (out->listed || !out->item_count || has_aggregate(out) || out->ratio || reader->study->mentioned[out->subject]) return;
  const struct snap_column *display[2];
  size_t shown_by = study_display(reader->study, out->subject, display);
  for (size_t i = 0; i < out->item_count; i++) {
    if (!out->items[i].of.column || !wanted_fits(out->items[i].of.column, WANT_TEXT)) return;
    for (size_t d = 0; d < shown_by && out->filter_count; d++)
      if (out->items[i].of.column == display[d]) return; /* "names of gold members" */
  }
  for (size_t k = 0; k < out->key_count; k++) {
    bool shown = false;
    for (size_t i = 0; i < out->item_count; i++) shown |= out->items[i].of.column == out->keys[k].by.of.column;
    if (!shown) return;
  }
  out->distinct = true;
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
static void judge_coverage(struct study *study) {
  size_t words = 0;
  const char *list = "";
  for (size_t i = 0; i < study->tokens.count; i++) {
    const struct token *token = &study->tokens.items[i];
    if (study->explained[i] || token->kind == TOKEN_MARK || newly(study, i)) continue;
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

static bool used(const struct reading *out, size_t table) {
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].of.table == table || out->items[i].term) return true;
  for (size_t i = 0; i < out->filter_count; i++)
    if (out->filters[i].of.table == table) return true;
  for (size_t i = 0; i < out->group_count; i++)
    if (out->groups[i].of.table == table) return true;
  for (size_t i = 0; i < out->branch_count; i++)
    if (out->branches[i].table == table) return true;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.of.table == table) return true;
  return false;
}

/* "users in groups": a table that nothing else came of must have rows. */
static void finish_qualifiers(struct reader *reader) {
  for (size_t i = 0; i < reader->qualifier_count; i++)
    if (!used(reader->out, reader->qualifiers[i])) add_related(reader, reader->qualifiers[i]);
}

void study_read(struct study *study) {
  struct reader reader = {.study = study, .out = &study->reading};
  study->certainty = 0.95;
  if (study->tokens.cut) {
    study_doubt(study, NULL, "That is a long text. What is the one question in it?");
    return;
  }
  find_subject(&reader);
  if (study->doubt) return;
  if (reader.out->subject == NO_TABLE) {
    study_doubt(study, NULL, "Nothing in the question is the name of a table or column here. What is it about?");
    return;
  }
  study->graph.mentioned = study->mentioned;
  study->graph.drawn = study->drawn;
  read_all(&reader);
  if (!study->doubt) finish_times(&reader);
  if (!study->doubt) finish_pending(&reader);
  if (!study->doubt) finish_groups(&reader);
  if (!study->doubt) judge_coverage(study);
  if (!study->doubt) finish_qualifiers(&reader);
  if (!study->doubt) finish_distinct(&reader);
  if (!study->doubt && !reader.out->listed && !reader.out->item_count && !reader.out->ratio) {
    if (!reader.out->filter_count && !reader.out->key_count && !reader.out->group_count && !reader.out->branch_count)
      study_doubt(study, NULL, "What should be shown of %s?", study_table(study, reader.out->subject)->qualified);
    else
      reader.out->listed = true;
  }
}
