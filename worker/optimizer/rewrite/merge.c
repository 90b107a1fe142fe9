/* merge.c - see merge.h: a three-way merge of tokens, proved by parsing. */
#include "worker/optimizer/rewrite/merge.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"

#define TABLE_CELLS (4 * 1024 * 1024) /* of one comparison; beyond, the rewrite stays as it was printed */
#define UNMATCHED SIZE_MAX

struct text {
  const char *sql;
  struct sql_tokens tokens;
};

/* --- which tokens are the same --- */

static bool same_name(const char *a, size_t a_len, const char *b, size_t b_len) {
  bool a_quoted = *a == '"', b_quoted = *b == '"';
  if (a_quoted) a++, a_len -= 2;
  if (b_quoted) b++, b_len -= 2;
  if (a_len != b_len) return false;
  for (size_t i = 0; i < a_len; i++) {
    char x = a_quoted ? a[i] : (char)tolower((unsigned char)a[i]), y = b_quoted ? b[i] : (char)tolower((unsigned char)b[i]);
    if (x != y) return false;
  }
  return true;
}

static bool same(const struct text *a, size_t i, const struct text *b, size_t k) {
  const struct sql_token *x = &a->tokens.items[i], *y = &b->tokens.items[k];
  if (x->kind != y->kind) return false;
  return same_name(a->sql + x->start, (size_t)(x->end - x->start), b->sql + y->start, (size_t)(y->end - y->start));
}

/* The longest common subsequence: for each token of a its place in b. False: too much to compare. */
static bool align(const struct text *a, const struct text *b, size_t *place) {
  size_t from = 0, a_end = a->tokens.count, b_end = b->tokens.count;
  while (from < a_end && from < b_end && same(a, from, b, from)) place[from] = from, from++;
  while (a_end > from && b_end > from && same(a, a_end - 1, b, b_end - 1)) place[--a_end] = --b_end;
  size_t rows = a_end - from, columns = b_end - from;
  for (size_t i = from; i < a_end; i++) place[i] = UNMATCHED;
  if (!rows || !columns) return true;
  if ((rows + 1) * (columns + 1) > TABLE_CELLS) return false;
  uint16_t *length = calloc((rows + 1) * (columns + 1), sizeof *length);
  if (!length) return false;
#define AT(i, k) length[(i) * (columns + 1) + (k)]
  for (size_t i = rows; i-- > 0;)
    for (size_t k = columns; k-- > 0;) {
      uint16_t down = AT(i + 1, k), right = AT(i, k + 1);
      AT(i, k) = same(a, from + i, b, from + k) ? (uint16_t)(AT(i + 1, k + 1) + 1) : down > right ? down : right;
    }
  for (size_t i = 0, k = 0; i < rows && k < columns;) {
    if (same(a, from + i, b, from + k) && AT(i, k) == AT(i + 1, k + 1) + 1)
      place[from + i++] = from + k++;
    else if (AT(i + 1, k) >= AT(i, k + 1))
      i++;
    else
      k++;
  }
#undef AT
  free(length);
  return true;
}

/* --- putting hunks into the source --- */

struct merge {
  struct text source, before, after;
  size_t *in_source, *in_after; /* for each token of before */
  bool narrow_left, narrow_right;
  struct buf out;
  size_t done; /* bytes of source that are out */
};

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '"' || c == '\'' || c == '$'; }

static void put(struct merge *merge, const char *text, size_t len) {
  if (!len) return;
  if (merge->out.len && is_word(merge->out.data[merge->out.len - 1]) && is_word(*text)) buf_putc(&merge->out, ' ');
  buf_append(&merge->out, text, len);
}

static bool ends_in_space(const struct merge *merge) {
  return merge->out.len == 0 || isspace((unsigned char)merge->out.data[merge->out.len - 1]);
}

/* Whether the printed rewrite has a space before its token c. */
static bool is_spaced(const struct merge *merge, size_t c) {
  const struct sql_token *after = merge->after.tokens.items;
  return c > 0 && c < merge->after.tokens.count && after[c - 1].end < after[c].start;
}

/* Tokens [c, d) of after in place of tokens [from, to) of source. */
static void replace(struct merge *merge, size_t from, size_t to, size_t c, size_t d) {
  const struct sql_token *source = merge->source.tokens.items, *after = merge->after.tokens.items;
  bool insertion = from == to;
  bool at_next = from < merge->source.tokens.count && (!insertion || from == 0 || (d > c && !is_spaced(merge, d)));
  size_t kept = at_next ? (size_t)source[from].start : from ? (size_t)source[from - 1].end : 0;
  put(merge, merge->source.sql + merge->done, kept - merge->done);
  merge->done = insertion ? kept : (size_t)source[to - 1].end;
  bool tight = !is_spaced(merge, c); /* there is no space in the printed rewrite */
  while (c && tight && merge->out.len && merge->out.data[merge->out.len - 1] == ' ') buf_cut(&merge->out, merge->out.len - 1);
  if (d > c) {
    if (!tight && !ends_in_space(merge)) buf_putc(&merge->out, ' ');
    put(merge, merge->after.sql + after[c].start, (size_t)(after[d - 1].end - after[c].start));
    char next = merge->source.sql[merge->done];
    if (is_spaced(merge, d) && next && !strchr("),.;", next) && !isspace((unsigned char)next)) buf_putc(&merge->out, ' ');
  } else if (tight || ends_in_space(merge)) {
    while (merge->source.sql[merge->done] == ' ') merge->done++;
  }
}

/* Where in the source the tokens [a, b) of before are. Tokens that only the source has (parentheses, AS) beside them go too, unless narrow.
 */
static bool find_source(const struct merge *merge, size_t a, size_t b, size_t *ret_from, size_t *ret_to) {
  const size_t *place = merge->in_source;
  size_t from = a ? place[a - 1] + 1 : 0, to = b < merge->before.tokens.count ? place[b] : merge->source.tokens.count;
  if (merge->narrow_left && a < b && place[a] != UNMATCHED) from = place[a];
  if (merge->narrow_left && a == b && a < merge->before.tokens.count) from = place[a];
  if (merge->narrow_right && a < b && place[b - 1] != UNMATCHED) to = place[b - 1] + 1;
  if (a == b) to = merge->narrow_left ? from : merge->narrow_right ? from : to;
  *ret_from = from;
  *ret_to = to;
  return from <= to && to <= merge->source.tokens.count;
}

static bool put_hunks(struct merge *merge) {
  size_t count = merge->before.tokens.count;
  const size_t *after = merge->in_after, *source = merge->in_source;
  for (size_t i = 0, c = 0; i <= count;) {
    if (i < count && after[i] == c) { /* unchanged */
      i++, c++;
      continue;
    }
    size_t a = i, b = i;
    while (b < count && (after[b] == UNMATCHED || source[b] == UNMATCHED)) b++;
    while (a > 0 && source[a - 1] == UNMATCHED) a--, c--; /* the token before it is unchanged, but the source has it not */
    size_t d = b < count ? after[b] : merge->after.tokens.count, from, to;
    if (a == b && c == d) break;
    if (!find_source(merge, a, b, &from, &to)) return false;
    if (from < to && (size_t)merge->source.tokens.items[from].start < merge->done) return false;
    replace(merge, from, to, c, d);
    i = b;
    c = d;
    if (b == count) break;
  }
  put(merge, merge->source.sql + merge->done, strlen(merge->source.sql) - merge->done);
  return buf_ok(&merge->out);
}

static const char *reprint(const char *text, struct arena *arena) {
  PgQuery__Node *tree = sql_parse_statement(arena, text);
  return tree ? sql_statement_text(arena, tree) : NULL;
}

static const char *attempt(struct merge *merge, const char *after, struct arena *arena) {
  buf_init(&merge->out, 4 * LIMIT_SQL_BYTES);
  merge->done = 0;
  const char *made = put_hunks(merge) ? arena_strndup(arena, buf_str(&merge->out), merge->out.len) : NULL;
  buf_free(&merge->out);
  const char *again = made ? reprint(made, arena) : NULL;
  return again && strcmp(again, after) == 0 ? made : NULL;
}

const char *merge_text(const char *source, const char *before, const char *after, struct arena *arena) {
  struct merge merge = {.source.sql = source, .before.sql = before, .after.sql = after};
  if (!sql_tokenize(source, arena, &merge.source.tokens) || !sql_tokenize(before, arena, &merge.before.tokens) ||
      !sql_tokenize(after, arena, &merge.after.tokens))
    return after;
  merge.in_source = arena_calloc(arena, merge.before.tokens.count + 1, sizeof(size_t));
  merge.in_after = arena_calloc(arena, merge.before.tokens.count + 1, sizeof(size_t));
  if (!merge.in_source || !merge.in_after) return NULL;
  if (!align(&merge.before, &merge.source, merge.in_source) || !align(&merge.before, &merge.after, merge.in_after)) return after;
  for (int i = 0; i < 4; i++) {
    merge.narrow_left = i & 2;
    merge.narrow_right = i & 1;
    const char *made = attempt(&merge, after, arena);
    if (made) return made;
  }
  return after;
}
