/* verified.c - see verified.h. Questions are compared as words, their fillers left out; slots take up to eight words. */
#include "worker/text2sql/verified.h"

#include <ctype.h>

#include "common/buf.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/pg.h"
#include "worker/query/suggest.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"

#define SLOT_WORDS 8
#define SLOTS_MAX 16
#define NAME_MAX_BYTES 64
#define WORDS_MAX 400
#define COMPARED 100    /* questions held against the one asked, word by word */
#define STEPS_MAX 20000 /* of matching one template */
#define SAME_WORD 0.8   /* likeness of two words that are taken for a typing error of each other */

struct word {
  const char *at; /* in the text */
  size_t len;
  const char *text; /* lower case; of a slot its name */
  char slot;        /* 0: a word; t i n d: a slot of that type */
};
struct words {
  struct word items[WORDS_MAX];
  size_t count;
};
struct slot_value {
  const char *name;
  char type;
  const char *at;
  size_t len;
};
struct filled {
  struct slot_value items[SLOTS_MAX];
  size_t count;
};

/* --- words --- */

static bool in_word(char c) { return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || c == '_'; }

static const char *lowered(const char *at, size_t len, struct arena *arena) {
  char *text = arena_strndup(arena, at, len);
  for (size_t i = 0; text && i < len; i++) text[i] = (char)tolower((unsigned char)text[i]);
  return text;
}

static char slot_type(const char *name, size_t len) {
  static const struct {
    const char *name;
    char type;
  } types[] = {{"text", 't'}, {"int", 'i'}, {"number", 'n'}, {"date", 'd'}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strlen(types[i].name) == len && memcmp(types[i].name, name, len) == 0) return types[i].type;
  return 0;
}

/* "{name}" or "{name:type}" at `at`: its length, 0 when it is none. */
static size_t slot_at(const char *at, struct word *ret_word, struct arena *arena) {
  size_t name = strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), len = name + 1, type = 0;
  if (!name || name > NAME_MAX_BYTES) return 0;
  char kind = 't';
  if (at[len] == ':') {
    type = strcspn(at + len + 1, "}");
    kind = slot_type(at + len + 1, type);
    len += 1 + type;
  }
  if (at[len] != '}' || !kind) return 0;
  *ret_word = (struct word){.at = at, .len = len + 1, .text = arena_strndup(arena, at + 1, name), .slot = kind};
  return ret_word->text ? len + 1 : 0;
}

static struct words *words_of(const char *text, bool slots, struct arena *arena) {
  struct words *words = ARENA_NEW(arena, struct words);
  if (words) words->count = 0;
  for (const char *at = text; words && *at && words->count < WORDS_MAX;) {
    struct word word = {.at = at};
    size_t taken = slots && *at == '{' ? slot_at(at, &word, arena) : 0;
    if (!taken && !in_word(*at)) {
      at++;
      continue;
    }
    if (!taken) {
      while (in_word(at[word.len])) word.len++;
      word.text = lowered(at, word.len, arena);
      taken = word.len;
    }
    if (!word.text) return NULL;
    words->items[words->count++] = word;
    at += taken;
  }
  return words;
}

/* --- in other words --- */

static bool is_filler(const char *word) {
  static const char *const fillers[] = {"a",    "an",    "the",    "of",    "in",   "on",   "for", "to",   "is",   "are",
                                        "was",  "were",  "do",     "does",  "did",  "we",   "our", "us",   "me",   "my",
                                        "i",    "you",   "please", "show",  "list", "give", "get", "find", "tell", "display",
                                        "what", "which", "who",    "there", "have", "has",  "had", "be",   "s"};
  for (size_t i = 0; i < sizeof fillers / sizeof *fillers; i++)
    if (strcmp(fillers[i], word) == 0) return true;
  return false;
}

static bool has_digit(const char *word) { return strpbrk(word, "0123456789") != NULL; }

static double word_likeness(const char *a, const char *b) {
  if (strcmp(a, b) == 0) return 1;
  return has_digit(a) || has_digit(b) ? 0 : suggest_likeness(a, b);
}

/* Each word's best partner in the other text, on the average; *ret_worst the worst of them. */
static double covered(const struct words *words, const struct words *by, double *ret_worst) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = 0; i < words->count; i++) {
    double best = 0;
    if (words->items[i].slot || is_filler(words->items[i].text)) continue;
    for (size_t k = 0; k < by->count; k++) {
      double like = by->items[k].slot ? 0 : word_likeness(words->items[i].text, by->items[k].text);
      if (like > best) best = like;
    }
    if (best < *ret_worst) *ret_worst = best;
    sum += best;
    count++;
  }
  return count ? sum / (double)count : 0;
}

static double compared(const struct words *a, const struct words *b, double *ret_worst) {
  *ret_worst = 1;
  if (!a || !b) return 0;
  double forth = covered(a, b, ret_worst), back = covered(b, a, ret_worst);
  return (forth + back) / 2;
}

double verified_likeness(const char *a, const char *b, struct arena *arena) {
  double worst;
  return compared(words_of(a, true, arena), words_of(b, true, arena), &worst);
}

/* Text between quotes is a value: the same in both, letter for letter. */
static bool same_quotes(const char *a, const char *b) {
  for (;;) {
    a += strcspn(a, "'\"");
    b += strcspn(b, "'\"");
    if (!*a || !*b) return *a == *b;
    size_t left = strcspn(a + 1, "'\""), right = strcspn(b + 1, "'\"");
    if (left != right || strncasecmp(a + 1, b + 1, left) != 0) return false;
    a += 1 + left + (a[1 + left] != '\0');
    b += 1 + right + (b[1 + right] != '\0');
  }
}

/* --- slots --- */

static bool all_digits(const char *at, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isdigit((unsigned char)at[i])) return false;
  return len > 0;
}

static bool fits(char type, const char *at, size_t len) {
  size_t sign = len > 1 && *at == '-';
  switch (type) {
  case 'i': return len <= 18 && all_digits(at + sign, len - sign);
  case 'n': {
    size_t whole = strspn(at + sign, "0123456789");
    if (whole == 0 || sign + whole > len) return false;
    return sign + whole == len || (at[sign + whole] == '.' && all_digits(at + sign + whole + 1, len - sign - whole - 1));
  }
  case 'd': return len == 10 && all_digits(at, 4) && at[4] == '-' && all_digits(at + 5, 2) && at[7] == '-' && all_digits(at + 8, 2);
  default: return true;
  }
}

struct matching {
  const struct words *pattern, *question;
  struct filled filled;
  int steps;
};

static bool match_from(struct matching *matching, size_t p, size_t q);

/* From the shortest value on. */
static bool match_slot(struct matching *matching, size_t p, size_t q) {
  const struct word *slot = &matching->pattern->items[p];
  size_t mark = matching->filled.count;
  for (size_t n = 1; n <= SLOT_WORDS && q + n <= matching->question->count && mark < SLOTS_MAX; n++) {
    const struct word *first = &matching->question->items[q], *last = &matching->question->items[q + n - 1];
    size_t len = (size_t)(last->at + last->len - first->at);
    const char *at = first->at;
    if (slot->slot != 't' && slot->slot != 'd' && at > matching->question->items[0].at && at[-1] == '-') at--, len++;
    if (!fits(slot->slot, at, len)) continue;
    matching->filled.items[mark] = (struct slot_value){slot->text, slot->slot, at, len};
    matching->filled.count = mark + 1;
    if (match_from(matching, p + 1, q + n)) return true;
    matching->filled.count = mark;
  }
  return false;
}

static bool match_from(struct matching *matching, size_t p, size_t q) {
  if (++matching->steps > STEPS_MAX) return false;
  for (; p < matching->pattern->count; p++, q++) {
    if (matching->pattern->items[p].slot) return match_slot(matching, p, q);
    if (q >= matching->question->count || strcmp(matching->pattern->items[p].text, matching->question->items[q].text) != 0) return false;
  }
  return q == matching->question->count;
}

static const char *value_text(const struct filled *filled, const char *name, size_t len, struct arena *arena) {
  for (size_t i = 0; i < filled->count; i++) {
    const struct slot_value *value = &filled->items[i];
    if (strlen(value->name) != len || memcmp(value->name, name, len) != 0) continue;
    const char *text = arena_strndup(arena, value->at, value->len);
    if (!text || value->type == 'i' || value->type == 'n') return text;
    const char *literal = sql_literal(arena, text);
    return value->type == 'd' && literal ? arena_printf(arena, "DATE %s", literal) : literal;
  }
  return NULL;
}

/* The SQL with values in its slots; NULL when one has no value or stands within quotes. Tokens tell what is text and what is not. */
static const char *fill(const char *sql, const struct filled *filled, struct arena *arena) {
  struct sql_tokens tokens;
  BUF_AUTO out;
  buf_init(&out, 4 * LIMIT_GUARD_SQL_BYTES);
  if (strlen(sql) > LIMIT_GUARD_SQL_BYTES || !sql_tokenize(sql, arena, &tokens)) return NULL;
  int copied = 0;
  for (size_t i = 0; i + 2 < tokens.count; i++) {
    const struct sql_token *open = &tokens.items[i], *name = open + 1, *close = open + 2;
    if (sql[open->start] != '{' || open->end - open->start != 1 || sql[close->start] != '}') continue;
    const char *value = value_text(filled, sql + name->start, (size_t)(name->end - name->start), arena);
    if (!value) return NULL;
    buf_append(&out, sql + copied, (size_t)(open->start - copied));
    buf_puts(&out, value);
    copied = close->end;
    i += 2;
  }
  buf_puts(&out, sql + copied);
  if (!buf_ok(&out) || (strchr(buf_str(&out), '{') && filled->count && copied == 0)) return NULL;
  return arena_strndup(arena, buf_str(&out), out.len);
}

/* --- the list --- */

static int better(const void *a, const void *b) {
  double x = ((const struct generator_verified *)a)->similarity, y = ((const struct generator_verified *)b)->similarity;
  return x < y ? 1 : x > y ? -1 : 0;
}

#define TEXT_OF_OF(number) #number
#define TEXT_OF(number) TEXT_OF_OF(number)

enum status verified_load(struct job *job, const char *question, struct verified_list *ret_list, struct error *err) {
  /* Of however many there are those that share most words with the question; the very same one first. */
  static const char sql[] =
      "SELECT v.id, v.question, v.sql FROM autodb.verified_queries v, (SELECT to_tsquery('simple', string_agg(quote_literal(l), ' | ')) AS "
      "words "
      "FROM unnest(tsvector_to_array(to_tsvector('simple', translate($3, E'\\\\', ' ')))) l) AS asked "
      "WHERE v.connection_id = $1::uuid AND v.owner_id = $2::uuid AND v.status = 'verified' ORDER BY lower(v.question) = lower($3) DESC, "
      "coalesce(ts_rank(to_tsvector('simple', v.question), asked.words, 1), 0) DESC, v.id DESC LIMIT " TEXT_OF(COMPARED);
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(job->db, sql, 3, (const char *const[]){job->connection_id, job->owner_id, question}, &res, err);
  if (status) return status;
  struct verified_list list = {.items = arena_calloc(job->arena, (size_t)PQntuples(res) + 1, sizeof *list.items)};
  if (!list.items) return error_oom(err);
  for (int row = 0; row < PQntuples(res); row++) {
    struct generator_verified *item = &list.items[list.count++];
    *item = (struct generator_verified){.id = arena_strdup(job->arena, pg_str(res, row, 0)),
                                        .question = arena_strdup(job->arena, pg_str(res, row, 1)),
                                        .sql = arena_strdup(job->arena, pg_str(res, row, 2))};
    if (!item->id || !item->question || !item->sql) return error_oom(err);
    item->similarity = verified_likeness(item->question, question, job->arena);
  }
  qsort(list.items, list.count, sizeof *list.items, better);
  *ret_list = list;
  return OK;
}

void verified_used(struct job *job, const char *id) {
  ERROR_AUTO ignored = {0};
  static const char sql[] = "UPDATE autodb.verified_queries SET uses = uses + 1, last_used_at = now() WHERE id = $1::uuid";
  if (pg_exec(job->db, sql, 1, (const char *const[]){id}, &ignored)) return;
}

static bool has_slot(const struct words *words) {
  for (size_t i = 0; i < words->count; i++)
    if (words->items[i].slot) return true;
  return false;
}

static bool answered(const struct generator_verified *item, const char *sql, double confidence, const char *how, struct arena *arena,
                     struct generator_answer *ret_answer) {
  const char *reasoning = arena_printf(arena, "This is the verified query \"%s\"%s.", item->question, how);
  if (!sql || !reasoning) return false;
  *ret_answer = (struct generator_answer){.sql = sql, .confidence = confidence, .reasoning = reasoning, .verified_id = item->id};
  return true;
}

static bool try_one(const struct generator_verified *item, const char *question, const struct words *asked, struct arena *arena,
                    struct generator_answer *ret_answer) {
  struct matching *matching = ARENA_NEW(arena, struct matching);
  if (!matching) return false;
  *matching = (struct matching){.pattern = words_of(item->question, true, arena), .question = asked};
  if (!matching->pattern || !matching->pattern->count) return false;
  if (match_from(matching, 0, 0)) {
    bool slots = matching->filled.count > 0;
    return answered(item, fill(item->sql, &matching->filled, arena), slots ? 0.97 : 1, slots ? ", its places filled from the question" : "",
                    arena, ret_answer);
  }
  double worst, like;
  if (has_slot(matching->pattern) || !same_quotes(item->question, question)) return false;
  like = compared(matching->pattern, asked, &worst);
  return worst >= SAME_WORD && answered(item, item->sql, 0.9 * like, ", asked in other words", arena, ret_answer);
}

bool verified_answer(const struct verified_list *list, const char *question, struct arena *arena, struct generator_answer *ret_answer) {
  const struct words *asked = words_of(question, false, arena);
  for (size_t i = 0; asked && asked->count && i < list->count; i++)
    if (try_one(&list->items[i], question, asked, arena, ret_answer)) return true;
  return false;
}
