/* link.c - which words of the question may mean which part of the schema: the best way to cut it into mentions. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "worker/text2sql/builtin/read.h"

#define SPAN_WORDS 5
#define LEAST 0.5       /* a worse match is none */
#define BEHIND 0.22     /* links of a span are kept this far behind the best of their kind */
#define DERIVED 0.75    /* a match in a view beside one in the table it is made of */
#define PIECE_COST 0.25 /* of a mention: fewer and longer ones are better */
#define NAMED 0.9       /* a match that good names a column */
#define NAMED_BY_FEW 8  /* columns: a name of more ("id") says nothing of where */
#define OTHER_WORD 0.12 /* what is lost by a word of the same stem that is another */
#define NEAR_STEPS 2    /* joins from a table that is named */

static const char glue[] =
    " a an the of in on at to for from with and or by is are was were be been being do does did done have has had "
    "having that which who whom whose what where when how why it its they them their theirs he she his her "
    "him i me my we our us you your this these those there here as than then so if not no nor but also too any some "
    "all each every per please can could would should will may might must want need like show list give get find "
    "return display tell provide let select fetch retrieve see know across among within into onto over under about "
    "such only just please many much more most less least fewer few "
    "between during since after before until above below along both either one ones other others same way make sure "
    "ever never currently now yet still already exactly actually really using up out off per via according whether s t re ve ";

bool study_glue(const char *lower) {
  size_t len = strlen(lower);
  for (const char *p = strstr(glue, lower); p && len; p = strstr(p + 1, lower))
    if (p[-1] == ' ' && p[len] == ' ') return true;
  return false;
}

const struct link *mention_best(const struct mention *mention, enum link_kind kind) {
  const struct link *best = NULL;
  for (size_t i = 0; mention && i < mention->count; i++)
    if (mention->links[i].kind == kind && (!best || mention->links[i].score > best->score)) best = &mention->links[i];
  return best;
}

/* --- spans and what they may mean --- */

struct spans {
  struct mention *items[TOKENS_MAX][SPAN_WORDS + 1]; /* by first token and length */
};
#define current study->spans

static struct link *add_link(struct study *study, size_t from, size_t to, struct link link) {
  if (to <= from || to - from > SPAN_WORDS || to > study->tokens.count) return NULL;
  struct mention **slot = &current->items[from][to - from];
  if (!*slot) {
    *slot = ARENA_NEW(study->arena, struct mention);
    if (!*slot) {
      study->oom = true;
      return NULL;
    }
    **slot = (struct mention){.from = from, .to = to};
  }
  struct mention *mention = *slot;
  for (size_t i = 0; i < mention->count; i++) {
    struct link *old = &mention->links[i];
    if (old->kind != link.kind || old->table != link.table || old->column != link.column || old->edge != link.edge ||
        old->term != link.term)
      continue;
    if (link.score > old->score) *old = link;
    return old;
  }
  if (mention->count < MENTION_LINKS) {
    mention->links[mention->count] = link;
    return &mention->links[mention->count++];
  }
  size_t worst = 0;
  for (size_t i = 1; i < mention->count; i++)
    if (mention->links[i].score < mention->links[worst].score) worst = i;
  if (mention->links[worst].score < link.score) mention->links[worst] = link;
  return NULL;
}

/* "email address" is the email. */
static bool redundant(const char *before, const char *lower) {
  static const char *const pairs[][2] = {{"email", "address"},    {"email", "addresses"}, {"phone", "number"}, {"phone", "numbers"},
                                         {"telephone", "number"}, {"mobile", "number"},   {"zip", "code"},     {"postal", "code"},
                                         {"zip", "codes"},        {"job", "title"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs - 1; i++)
    if (strcmp(pairs[i][0], before) == 0 && strcmp(pairs[i][1], lower) == 0) return true;
  return false;
}

/* The words of a span that count: glue inside is skipped ("date of birth"). 0: begins or ends with glue, or isn't all words. */
static size_t said(const struct study *study, size_t from, size_t to, const struct word *ret_words[NAME_WORDS]) {
  size_t n = 0;
  for (size_t i = from; i < to; i++) {
    const struct token *token = &study->tokens.items[i];
    if (token->kind != TOKEN_WORD) return 0;
    bool edge = i == from || i + 1 == to;
    bool thing = to == from + 1 && from > 0 && study_phrase(study, from, "make|makes") && /* "the make, model and year" */
                 study_phrase(study, from - 1, "the|,|and|by|their|its|per|each|of") &&
                 (from + 1 == study->tokens.count || study_phrase(study, from + 1, ",|and|or|of|?|."));
    if (thing) {
      ret_words[n++] = token->word;
      continue;
    }
    bool verb_or_noun = i == from && i > 0 && to > from + 1 && study_phrase(study, i, "display|list|like|show|return"); /* "list price" */
    if (study_glue(token->lower) && !verb_or_noun) {
      bool hand = study_phrase(study, i, "on hand|on order|in stock") > 0; /* "quantity on hand" */
      if (edge || (strcmp(token->lower, "of") != 0 && strcmp(token->lower, "a") != 0 && !hand)) return 0;
      continue;
    }
    const char *full = words_abbreviation(token->lower, true);
    if (n == NAME_WORDS) return 0;
    if (n && redundant(study->tokens.items[i - 1].lower, token->lower)) continue;
    if (full && !strchr(full, ' ')) {
      ret_words[n++] = words_of(study->words, full);
    } else if (full && n + 1 < NAME_WORDS) {
      const char *blank = strchr(full, ' ');
      ret_words[n++] = words_of(study->words, arena_strndup(study->arena, full, (size_t)(blank - full)));
      ret_words[n++] = words_of(study->words, blank + 1);
    } else {
      ret_words[n++] = token->word;
    }
  }
  return n;
}

/* A view over tables that are here as well: its columns are theirs, and theirs are meant, unless the view is named in full. */
static bool derived(const struct study *study, const struct snap_table *table) {
  if (table->kind != SNAP_VIEW && table->kind != SNAP_MATVIEW) return false;
  for (size_t i = 0; i < study->snapshot->table_count; i++)
    if (study->snapshot->tables[i].kind == SNAP_TABLE || study->snapshot->tables[i].kind == SNAP_PARTITIONED) return true;
  return false;
}

static bool inflection(const char *tail) {
  static const char *const tails[] = {"", "s", "es", "e", "y", "ies", "ied", "ed", "d", "ing", "ting", "ted", "ning", "ned"};
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
    if (strcmp(tails[i], tail) == 0) return true;
  return false;
}

/* "exhibition" and "exhibit", "restorer" and "restoration": one stem, and not one thing. */
static bool other_word(const struct study *study, size_t at, const struct name *name) {
  const char *said = study->tokens.items[at].lower, *raw = name->column ? name->column->name : name->table->name;
  size_t same = 0;
  while (said[same] && tolower((unsigned char)raw[same]) == said[same]) same++;
  if (name->count != 1 || same < 4) return false;
  return !inflection(said + same) || !inflection(tokens_lower(study->arena, raw + same, strlen(raw + same)));
}

/* "ticket revenue" of ticket_sale: a word for money asks for an amount; it ends no table's name that hasn't that very word. */
static bool money_in_name(const struct study *study, size_t from, size_t to, const struct name *name) {
  for (size_t i = from; !name->column && to > from + 1 && i < to; i++) {
    bool own = !study_phrase(study, i, "revenue|revenues|turnover|income|takings|proceeds|earnings");
    for (size_t w = 0; w < name->count && !own; w++) own = name->words[w] == study->tokens.items[i].word;
    if (!own) return true;
  }
  return false;
}

static void link_name(struct study *study, size_t from, size_t to, const struct name *name, double score) {
  if (money_in_name(study, from, to, name)) return;
  if (to == from + 1 && score >= 0.95 && other_word(study, from, name)) score -= OTHER_WORD;
  enum link_kind kind = !name->column ? LINK_TABLE : name->flag ? LINK_FLAG : LINK_COLUMN;
  if (derived(study, name->table) && (name->column || to < from + name->count || score < 0.99)) score *= DERIVED;
  add_link(study, from, to, (struct link){.kind = kind, .score = score, .table = name->table_at, .column = name->column});
}

/* "unpaid" of is_paid, "inactive" of is_active. */
static void link_opposite(struct study *study, size_t at, const struct name *name) {
  static const char *const prefixes[] = {"un", "in", "non", "dis"};
  const char *lower = study->tokens.items[at].lower;
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    size_t len = strlen(prefixes[i]);
    if (strncmp(lower, prefixes[i], len) != 0 || strlen(lower) < len + 4) continue;
    const struct word *word = words_of(study->words, lower + len);
    if (word && name->count == 1 && word == name->words[0])
      add_link(study, at, at + 1,
               (struct link){.kind = LINK_FLAG, .score = 0.97, .table = name->table_at, .column = name->column, .negative = true});
  }
}

/* Names that have a word like this one. */
static size_t find_hits(struct study *study, const struct word *word, size_t *hits) {
  size_t n = 0;
  for (size_t i = 0; i < study->names.count; i++) {
    const struct name *name = &study->names.items[i];
    bool hit = false;
    for (size_t w = 0; w < name->count && !hit; w++)
      hit = name->words[w] == word || (word->groups[0] && name->words[w]->groups[0] && words_alike(name->words[w], word) > 0);
    if (hit) hits[n++] = i;
  }
  return n;
}

/* "onshore" of an offshore flag. */
static const char *const antonyms[][2] = {{"onshore", "offshore"},  {"offline", "online"},    {"outdoor", "indoor"},
                                          {"private", "public"},    {"manual", "automatic"},  {"domestic", "international"},
                                          {"external", "internal"}, {"closed", "open"},       {"incomplete", "complete"},
                                          {"failed", "succeeded"},  {"failed", "successful"}, {"unsuccessful", "succeeded"},
                                          {"disabled", "enabled"},  {"inactive", "active"}};

static void link_antonym(struct study *study, size_t at, const struct name *name) {
  for (size_t i = 0; i < sizeof antonyms / sizeof *antonyms; i++)
    for (size_t side = 0; side < 2; side++)
      if (name->count == 1 && strcmp(study->tokens.items[at].lower, antonyms[i][side]) == 0 &&
          name->words[0] == words_of(study->words, antonyms[i][!side]))
        add_link(study, at, at + 1,
                 (struct link){.kind = LINK_FLAG, .score = 0.95, .table = name->table_at, .column = name->column, .negative = true});
}

static void link_opposites(struct study *study) {
  for (size_t i = 0; i < study->names.count; i++) {
    const struct name *name = &study->names.items[i];
    for (size_t at = 0; name->flag && at < study->tokens.count; at++)
      if (study->tokens.items[at].kind == TOKEN_WORD) {
        link_opposite(study, at, name);
        link_antonym(study, at, name);
      }
  }
}

/* "on display" of on_display: a name that begins or ends with what is glue elsewhere. */
static void link_glued(struct study *study) {
  const struct tokens *tokens = &study->tokens;
  for (size_t i = 0; i < study->names.count; i++) {
    const struct name *name = &study->names.items[i];
    bool dated = name->column && column_temporal(name->column) && strcmp(name->words[name->count - 1]->text, "until") != 0;
    if (dated) continue;                                                       /* "per release on average" is no released_on */
    if (name->column && column_boolean(name->column) && !name->flag) continue; /* "have insurance" is no column has_insurance */
    if (strcmp(name->words[name->count - 1]->text, "per") == 0) continue;      /* "quantity per year" is no qty_per */
    if (name->count < 2 || name->owned || !(study_glue(name->words[0]->text) || study_glue(name->words[name->count - 1]->text))) continue;
    for (size_t from = 0; from + name->count <= tokens->count; from++) {
      size_t same = 0;
      while (same < name->count && tokens->items[from + same].kind == TOKEN_WORD && tokens->items[from + same].word == name->words[same])
        same++;
      if (same == name->count) link_name(study, from, from + same, name, 1);
    }
  }
}

/* "number of rooms" counts rooms: it is no room number. */
static bool counting_words(const struct study *study, size_t from, size_t to) {
  return to > from + 2 && study_phrase(study, from, "number of|numbers of|count of") > 0;
}

/* "people work in": a verb of every sentence is not half of work_date. */
static bool only_doing(const struct study *study, size_t from, size_t to) {
  return to == from + 1 && study_phrase(study, from,
                                        "work|works|worked|working|live|lives|lived|living|use|used|uses|take|takes|took|taken|make|makes|"
                                        "made|get|gets|got|go|goes|went|come|comes|came") > 0;
}

static bool participle(const struct token *token) {
  static const char *const odd[] = {"bought", "sold",   "paid",  "written", "wrote", "taught", "made",  "lent", "won",
                                    "sent",   "taken",  "given", "driven",  "flown", "held",   "spent", "born", "built",
                                    "led",    "chosen", "drawn", "begun",   "grown", "kept",   "worn",  "sung"};
  size_t len = strlen(token->lower);
  if (len > 4 && strcmp(token->lower + len - 2, "ed") == 0) return true;
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    if (strcmp(odd[i], token->lower) == 0) return true;
  return false;
}

/* "orders paid in cash": what was done to them is no name, unless one has that word ("units sold"); "value of paid orders" never is. */
static bool ends_in_doing(const struct study *study, size_t from, size_t to, const struct name *name) {
  const struct token *last = &study->tokens.items[to - 1], *behind = to < study->tokens.count ? &study->tokens.items[to] : NULL;
  if (to > from + 2 && participle(last) && study_phrase(study, to - 2, "of") && behind && behind->kind == TOKEN_WORD &&
      !study_phrase(study, from, "number|count"))
    return true;
  if (to < from + 2 || !participle(last) || !words_plural(study->tokens.items[to - 2].lower)) return false;
  for (size_t w = 0; w < name->count; w++)
    if (name->words[w] == last->word) return false;
  return true;
}

static void link_names(struct study *study) {
  size_t *hits = arena_calloc(study->arena, study->names.count + 1, sizeof *hits);
  if (!hits) {
    study->oom = true;
    return;
  }
  link_opposites(study);
  link_glued(study);
  for (size_t from = 0; from < study->tokens.count; from++) {
    const struct word *first[NAME_WORDS];
    const struct token *token = &study->tokens.items[from];
    if (said(study, from, from + 1, first) == 0) first[0] = token->word; /* "display name" begins with a verb */
    size_t hit_count = token->kind == TOKEN_WORD ? find_hits(study, first[0], hits) : 0;
    for (size_t to = from + 1; to <= study->tokens.count && to - from <= SPAN_WORDS; to++) {
      const struct word *words[NAME_WORDS];
      size_t n = said(study, from, to, words);
      for (size_t i = 0; n && i < hit_count; i++) {
        const struct name *name = &study->names.items[hits[i]];
        double score = n <= name->count ? names_match(name, words, n) : 0;
        if (counting_words(study, from, to) && name->column && (!column_numeric(name->column) || column_key(name->table, name->column)))
          continue;
        if (from > 0 && to == from + 1 && study_phrase(study, from - 1, "took place|takes place|take place|taken place|taking place"))
          continue;
        if ((only_doing(study, from, to) && name->column && score < 0.95) || ends_in_doing(study, from, to, name)) continue;
        if (to == from + 1 && name->column && score < 0.95 && study_phrase(study, from, "new")) continue; /* "new listings": no new_price */
        if (name->owned && (score < 0.99 || words_plural(study->tokens.items[from].lower))) continue; /* "products cost" is a sentence */
        if (score >= LEAST) link_name(study, from, to, name, score);
      }
    }
  }
}

/* "deliveries", of delivered_by: the noun of the verb. */
static bool one_root(const struct word *a, const struct word *b) {
  size_t same = 0;
  while (a->text[same] && a->text[same] == b->text[same]) same++;
  return same >= 5 && strlen(a->text) <= same + 3 && strlen(b->text) <= same + 3;
}

/* A word of a foreign key that says what the other row is to this one: "manager", "billing address". */
static void link_roles(struct study *study) {
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    struct join_edge *edge = &study->graph.edges[i];
    for (size_t at = 0; at < study->tokens.count; at++) {
      const struct token *token = &study->tokens.items[at];
      bool match = edge->role_count > 0 && token->kind == TOKEN_WORD && !study_glue(token->lower);
      for (size_t w = 0; match && w < edge->role_count; w++) {
        bool one =
            words_alike(edge->roles[w], token->word) >= 1 || (edge->from == edge->to && words_alike(edge->roles[w], token->word) > 0);
        if (one_root(edge->roles[w], token->word)) edge->said = true;
        if (edge->role_count > 1 && !one) continue;
        if (one) edge->said = true;
        if (one && edge->role_count == 1)
          add_link(study, at, at + 1,
                   (struct link){.kind = LINK_ROLE, .score = edge->from == edge->to ? 0.9 : 0.7, .table = edge->to, .edge = edge});
      }
      if (!edge->said) continue;
    }
  }
}

static void link_terms(struct study *study) {
  for (size_t i = 0; i < study->request->term_count; i++) {
    const struct generator_term *term = &study->request->terms[i];
    const struct word *words[NAME_WORDS], *here[NAME_WORDS];
    size_t n = term->name ? names_split(term->name, study->arena, study->words, words) : 0;
    for (size_t from = 0; n && from < study->tokens.count; from++)
      for (size_t to = from + 1; to <= study->tokens.count && to - from <= SPAN_WORDS; to++) {
        size_t m = said(study, from, to, here), same = 0;
        while (m == n && same < n && here[same] == words[same]) same++;
        if (m != n || same < n) continue;
        if (term->expression) add_link(study, from, to, (struct link){.kind = LINK_TERM, .score = 1.05, .table = NO_TABLE, .term = term});
        for (size_t k = 0; term->stands_for && k < study->names.count; k++) {
          const struct word *other[NAME_WORDS];
          size_t count = names_split(term->stands_for, study->arena, study->words, other);
          double score = count ? names_match(&study->names.items[k], other, count) : 0;
          if (score >= 0.8) link_name(study, from, to, &study->names.items[k], score);
        }
      }
  }
}

/* --- the best cut --- */

static double best_score(const struct mention *mention) {
  double best = 0;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].score > best) best = mention->links[i].score;
  return best;
}

static void keep_best(struct mention *mention) {
  double best[LINK_TERM + 1] = {0};
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].score > best[mention->links[i].kind]) best[mention->links[i].kind] = mention->links[i].score;
  size_t kept = 0;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].score >= best[mention->links[i].kind] - BEHIND) mention->links[kept++] = mention->links[i];
  mention->count = kept;
}

/* "did each driver deliver": what they did. */
static bool done_by_each(const struct study *study, size_t at) {
  for (size_t back = 1; back <= 3 && back + 2 <= at; back++) {
    const struct mention *rows = study->at[at - back];
    if (!rows || rows->to != at || !mention_best(rows, LINK_TABLE)) continue;
    return at >= back + 2 &&
           study_phrase(study, at - back - 2, "do each|does each|did each|did every|does every|do the|did the|does the") &&
           !words_plural(study->tokens.items[at].lower);
  }
  return false;
}

/* "did we sell", "have they closed": what somebody did, who is named by no noun. */
static bool done_by_them(const struct study *study, size_t at) {
  return at > 1 &&
         study_phrase(study, at - 2, "do we|did we|do they|did they|have we|have they|had we|do you|did you|did he|did she|did it");
}

/* "team plays", "does each referee lead": a verb that a synonym makes a table of. */
static bool verb_form(const struct study *study, size_t at, const struct mention *mention) {
  const struct link *table = mention_best(mention, LINK_TABLE);
  if (done_by_each(study, at) || done_by_them(study, at)) return true;
  if (!table || table->score >= 0.95 || at == 0 || !verb_neutral(study, at)) return false;
  const struct mention *before = NULL;
  for (size_t back = 1; back <= 3 && back <= at && !before; back++)
    if (study->at[at - back] && study->at[at - back]->to == at) before = study->at[at - back];
  return before && mention_best(before, LINK_TABLE) && !before->verb;
}

/* "cards expiring in 2025", "due before May": what they do, unless a column is called just so. */
static bool doing(const struct study *study, size_t at, const struct mention *mention) {
  static const char behind[] = "in|on|at|before|after|since|between|to|from|during|within|this|next|last|by|until";
  const char *lower = study->tokens.items[at].lower;
  size_t len = strlen(lower);
  const struct mention *rows = at > 0 ? study->at[at - 1] : NULL;
  bool due = strcmp(lower, "due") == 0;
  if (!due && (len < 6 || strcmp(lower + len - 3, "ing") != 0 || !rows || rows->to != at || !mention_best(rows, LINK_TABLE))) return false;
  if (!study_phrase(study, at + 1, behind)) return false;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].column && strcasecmp(mention->links[i].column->name, lower) == 0) return false;
  return true;
}

/* The words of a span that count: "names of users" are two. A value counts as it stands. */
static size_t weight(const struct study *study, size_t at, size_t len) {
  size_t n = len;
  if (mention_best(current->items[at][len], LINK_VALUE)) return len;
  for (size_t i = at + 1; i + 1 < at + len; i++)
    if (study->tokens.items[i].kind == TOKEN_WORD && study_glue(study->tokens.items[i].lower)) n--;
  return n;
}

static void cut(struct study *study) {
  size_t n = study->tokens.count;
  double best[TOKENS_MAX + 1] = {0};
  size_t take[TOKENS_MAX + 1] = {0};
  for (size_t at = n; at-- > 0;) {
    best[at] = best[at + 1];
    for (size_t len = 1; len <= SPAN_WORDS && at + len <= n; len++) {
      const struct mention *mention = current->items[at][len];
      double worth = mention ? best_score(mention) * (double)weight(study, at, len) - PIECE_COST + best[at + len] : 0;
      if (mention && worth > best[at]) best[at] = worth, take[at] = len;
    }
  }
  study->mentions = arena_calloc(study->arena, n + 1, sizeof *study->mentions);
  if (!study->mentions) return;
  for (size_t at = 0; at < n; at += take[at] ? take[at] : 1) {
    if (!take[at]) continue;
    struct mention *mention = current->items[at][take[at]];
    keep_best(mention);
    mention->verb = mention->to == at + 1 && study->tokens.items[at].kind == TOKEN_WORD &&
                    (participle(&study->tokens.items[at]) || verb_form(study, at, mention) || doing(study, at, mention));
    study->at[at] = mention;
    study->mention_count++;
  }
}

/* --- where values are looked for first --- */

/* Tables that words name, and those whose columns they name where few have one of that name. */
static void mark_span(const struct mention *mention, bool *near) {
  size_t columns = 0;
  for (size_t i = 0; i < mention->count; i++) columns += mention->links[i].kind != LINK_TABLE && mention->links[i].score >= NAMED;
  for (size_t i = 0; i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->table == NO_TABLE) continue;
    if (link->kind == LINK_TABLE ? link->score >= LEAST : link->score >= NAMED && columns <= NAMED_BY_FEW) near[link->table] = true;
  }
}

static bool mark_step(const struct study *study, bool *near) {
  size_t count = study->snapshot->table_count;
  bool *before = arena_calloc(study->arena, count + 1, sizeof *before);
  if (!before) return false;
  memcpy(before, near, count * sizeof *before);
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (before[edge->from]) near[edge->to] = true;
    if (before[edge->to]) near[edge->from] = true;
  }
  return true;
}

static void mark_near(struct study *study) {
  size_t count = study->snapshot->table_count, marked = 0;
  bool *near = arena_calloc(study->arena, count + 1, sizeof *near);
  if (!near) return;
  for (size_t at = 0; at < study->tokens.count; at++)
    for (size_t len = 1; len <= SPAN_WORDS; len++)
      if (current->items[at][len]) mark_span(current->items[at][len], near);
  for (int step = 0; step < NEAR_STEPS; step++)
    if (!mark_step(study, near)) return;
  for (size_t i = 0; i < count; i++) marked += near[i];
  if (marked && marked < count) study->near = near;
}

bool study_links(struct study *study, bool everywhere) {
  current = ARENA_NEW(study->arena, struct spans);
  if (!current) return false;
  link_names(study);
  study_phrases(study, add_link);
  link_roles(study);
  link_terms(study);
  if (!everywhere) mark_near(study);
  study_values(study, add_link);
  if (study->oom) return false;
  cut(study);
  return study->mentions != NULL;
}
