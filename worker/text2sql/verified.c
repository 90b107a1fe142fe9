/* verified.c - see verified.h. Questions are compared as words, their fillers left out; slots take up to eight words. */
#include "worker/text2sql/verified.h"

#include <ctype.h>

#include "common/buf.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/pg.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"
#include "worker/text2sql/verified_words.h"

#define SLOT_WORDS 8
#define SLOTS_MAX 16
#define COMPARED 100    /* questions held against the one asked, word by word */
#define STEPS_MAX 20000 /* of matching one template */

struct slot_value {
  const char *name;
  enum verified_slot_type type;
  const char *at;
  size_t len;
};
struct filled {
  struct slot_value items[SLOTS_MAX];
  size_t count;
};

/* --- other words --- */

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

static bool is_date(const char *at, size_t len) {
  if (len != 10 || !all_digits(at, 4) || at[4] != '-' || !all_digits(at + 5, 2) || at[7] != '-' || !all_digits(at + 8, 2)) return false;
  int month = (at[5] - '0') * 10 + at[6] - '0', day = (at[8] - '0') * 10 + at[9] - '0';
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static bool fits(enum verified_slot_type type, const char *at, size_t len) {
  size_t sign = len > 1 && *at == '-';
  switch (type) {
  case VERIFIED_SLOT_INT: return len <= 18 && all_digits(at + sign, len - sign);
  case VERIFIED_SLOT_NUMBER: {
    size_t whole = strspn(at + sign, "0123456789");
    if (whole == 0 || sign + whole > len) return false;
    return sign + whole == len || (at[sign + whole] == '.' && all_digits(at + sign + whole + 1, len - sign - whole - 1));
  }
  case VERIFIED_SLOT_DATE: return is_date(at, len);
  default: return true;
  }
}

struct matching {
  const struct verified_words *pattern, *question;
  struct filled filled;
  int steps;
};

static bool match_from(struct matching *matching, size_t p, size_t q);

/* A place that stands twice has one value. */
static bool agrees(const struct filled *filled, const struct slot_value *value) {
  for (size_t i = 0; i < filled->count; i++) {
    const struct slot_value *other = &filled->items[i];
    bool same = other->len == value->len && strncasecmp(other->at, value->at, value->len) == 0;
    if (strcmp(other->name, value->name) == 0 && !same) return false;
  }
  return true;
}

/* From the shortest value on. */
static bool match_slot(struct matching *matching, size_t p, size_t q) {
  const struct verified_word *slot = &matching->pattern->items[p];
  size_t mark = matching->filled.count;
  for (size_t n = 1; n <= SLOT_WORDS && q + n <= matching->question->count && mark < SLOTS_MAX; n++) {
    const struct verified_word *first = &matching->question->items[q], *last = &matching->question->items[q + n - 1];
    size_t len = (size_t)(last->at + last->len - first->at);
    const char *at = first->at;
    bool number = slot->type == VERIFIED_SLOT_INT || slot->type == VERIFIED_SLOT_NUMBER;
    if (number && at > matching->question->items[0].at && at[-1] == '-') at--, len++;
    const struct slot_value value = {slot->text, slot->type, at, len};
    if (!fits(slot->type, at, len) || !agrees(&matching->filled, &value)) continue;
    matching->filled.items[mark] = value;
    matching->filled.count = mark + 1;
    if (match_from(matching, p + 1, q + n)) return true;
    matching->filled.count = mark;
  }
  return false;
}

static bool match_from(struct matching *matching, size_t p, size_t q) {
  if (++matching->steps > STEPS_MAX) return false;
  for (; p < matching->pattern->count; p++, q++) {
    if (matching->pattern->items[p].is_slot) return match_slot(matching, p, q);
    if (q >= matching->question->count || strcmp(matching->pattern->items[p].text, matching->question->items[q].text) != 0) return false;
  }
  return q == matching->question->count;
}

static const struct slot_value *value_of(const struct filled *filled, const struct verified_slot *slot) {
  for (size_t i = 0; i < filled->count; i++) {
    const char *name = filled->items[i].name;
    if (strlen(name) == slot->name_len && memcmp(name, slot->name, slot->name_len) == 0) return &filled->items[i];
  }
  return NULL;
}

/* A negative number in parentheses: after another sign it would begin a comment. */
static const char *value_text(const struct slot_value *value, struct arena *arena) {
  const char *text = arena_strndup(arena, value->at, value->len);
  if (!text) return NULL;
  switch (value->type) {
  case VERIFIED_SLOT_INT:
  case VERIFIED_SLOT_NUMBER: return *text == '-' ? arena_printf(arena, "(%s)", text) : text;
  case VERIFIED_SLOT_DATE: return arena_printf(arena, "DATE '%s'", text);
  default: return sql_literal(arena, text);
  }
}

/* How many places of the text have a value: all that stand in it, also within quotes and comments. */
static size_t places(const char *sql, const struct filled *filled) {
  struct verified_slot slot;
  size_t count = 0;
  for (const char *at = sql; verified_slot_next(at, &slot); at = slot.at + slot.len) count += value_of(filled, &slot) != NULL;
  return count;
}

/* The SQL with values in its places; NULL when one has none, or stands where it is text. Tokens tell what is text and what is not. */
static const char *fill(const char *sql, const struct filled *filled, struct arena *arena) {
  struct sql_tokens tokens;
  struct verified_slot slot;
  BUF_AUTO out;
  buf_init(&out, 4 * LIMIT_GUARD_SQL_BYTES);
  if (strlen(sql) > LIMIT_GUARD_SQL_BYTES || !sql_tokenize(sql, arena, &tokens)) return NULL;
  size_t copied = 0, done = 0;
  for (size_t i = 0; i < tokens.count; i++) {
    size_t at = (size_t)tokens.items[i].start;
    if (at < copied || !verified_slot_at(sql + at, &slot)) continue;
    const struct slot_value *value = value_of(filled, &slot);
    const char *text = value ? value_text(value, arena) : NULL;
    if (!text) return NULL;
    buf_append(&out, sql + copied, at - copied);
    buf_puts(&out, text);
    copied = at + slot.len;
    done++;
  }
  buf_puts(&out, sql + copied);
  return buf_ok(&out) && done == places(sql, filled) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
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
  const struct verified_words *asked = verified_words(question, false, job->arena);
  if (!list.items || !asked) return error_oom(err);
  for (int row = 0; row < PQntuples(res); row++) {
    struct generator_verified *item = &list.items[list.count++];
    *item = (struct generator_verified){.id = arena_strdup(job->arena, pg_str(res, row, 0)),
                                        .question = arena_strdup(job->arena, pg_str(res, row, 1)),
                                        .sql = arena_strdup(job->arena, pg_str(res, row, 2))};
    if (!item->id || !item->question || !item->sql) return error_oom(err);
    item->similarity = verified_words_likeness(verified_words(item->question, true, job->arena), asked);
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

static bool has_slot(const struct verified_words *words) {
  for (size_t i = 0; i < words->count; i++)
    if (words->items[i].is_slot) return true;
  return false;
}

static bool answered(const struct generator_verified *item, const char *sql, double confidence, const char *how, struct arena *arena,
                     struct generator_answer *ret_answer) {
  const char *reasoning = arena_printf(arena, "This is the verified query \"%s\"%s.", item->question, how);
  if (!sql || !reasoning) return false;
  *ret_answer = (struct generator_answer){.sql = sql, .confidence = confidence, .reasoning = reasoning, .verified_id = item->id};
  return true;
}

struct asked {
  const char *question;
  const struct verified_words *words;
  const struct snapshot *snapshot;
};

static bool try_one(const struct generator_verified *item, const struct asked *asked, struct arena *arena,
                    struct generator_answer *ret_answer) {
  struct matching *matching = ARENA_NEW(arena, struct matching);
  if (!matching) return false;
  *matching = (struct matching){.pattern = verified_words(item->question, true, arena), .question = asked->words};
  if (!matching->pattern || !matching->pattern->count) return false;
  if (match_from(matching, 0, 0)) {
    bool slots = matching->filled.count > 0;
    return answered(item, fill(item->sql, &matching->filled, arena), slots ? 0.97 : 1, slots ? ", its places filled from the question" : "",
                    arena, ret_answer);
  }
  if (has_slot(matching->pattern) || !same_quotes(item->question, asked->question)) return false;
  if (!verified_words_same(matching->pattern, asked->words, asked->snapshot)) return false;
  double like = verified_words_likeness(matching->pattern, asked->words);
  return answered(item, item->sql, 0.9 * like, ", asked in other words", arena, ret_answer);
}

bool verified_answer(const struct verified_list *list, const char *question, const struct snapshot *snapshot, struct arena *arena,
                     struct generator_answer *ret_answer) {
  const struct asked asked = {question, verified_words(question, false, arena), snapshot};
  for (size_t i = 0; asked.words && asked.words->count && i < list->count; i++)
    if (try_one(&list->items[i], &asked, arena, ret_answer)) return true;
  return false;
}
