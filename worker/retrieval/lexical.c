/* lexical.c - see lexical.h.
 *
 * Candidates are named by the index, in one scan: passages with any of the rare words, as many words as stay within a budget. Common words
 * only name candidates by occurring together, and only where the rare ones name too few. Scores are computed here, from the rows' own
 * words. */
#include "worker/retrieval/lexical.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/pg.h"
#include "worker/retrieval/rank.h"
#include "worker/retrieval/terms.h"
#include "worker/retrieval/usual.h"

#define BUDGET 1500.0 /* candidates that single words name, about */
#define ENOUGH 50.0   /* of them; fewer: common words name others */
#define PAIRED 3      /* common words that are looked for in pairs */
#define LIMIT_TEXT "3000"

/* --- what is looked for --- */

static int by_term(const void *a, const void *b) {
  const struct lexical_term *left = a, *right = b;
  return (left->term > right->term) - (left->term < right->term);
}

static int by_passages(const void *a, const void *b) {
  const struct lexical_term *left = *(struct lexical_term *const *)a, *right = *(struct lexical_term *const *)b;
  if (left->passages != right->passages) return left->passages < right->passages ? -1 : 1;
  return by_term(left, right);
}

/* The words that can tell passages apart; those that ask, and those only meant, are left out unless there are no others. */
static void choose_terms(const struct question *question, struct lexical *lexical) {
  lexical->count = 0;
  for (int pass = 0; pass < 2 && !lexical->count; pass++)
    for (size_t i = 0; i < question->word_count && lexical->count < LEXICAL_TERMS; i++)
      if (pass || question->words[i].weight > QUESTION_MEANT)
        lexical->terms[lexical->count++] = (struct lexical_term){.term = terms_salted(lexical->connection_id, question->words[i].term)};
  qsort(lexical->terms, lexical->count, sizeof *lexical->terms, by_term);
}

static void set_idf(struct lexical *lexical, struct lexical_term *term) {
  term->idf = rank_idf(lexical->passages > term->passages ? lexical->passages : term->passages, term->passages);
}

/* ret_order: rarest first. */
static enum status weigh_terms(PGconn *db, struct lexical *lexical, struct lexical_term **ret_order, struct error *err) {
  enum status status = usual_of(db, lexical->connection_id, lexical->passages, &lexical->usual, err);
  double named = 0;
  for (size_t i = 0; i < lexical->count && !status; i++) {
    struct lexical_term *term = ret_order[i] = &lexical->terms[i];
    term->passages = status ? 1 : usual_passages(lexical->usual, term->term);
    set_idf(lexical, term);
  }
  if (status || lexical->few) return status;
  qsort(ret_order, lexical->count, sizeof(struct lexical_term *), by_passages);
  for (size_t i = 0; i < lexical->count; i++) {
    named += ret_order[i]->passages;
    ret_order[i]->common = named > BUDGET;
  }
  return OK;
}

/* --- candidates --- */

/* "c.terms && '{rare}'", and "c.terms @> '{a,b}'" for pairs of common ones; one common word alone only when there is nothing else. Numbers
 * alone: nothing that came from outside is in the text. */
static bool put_condition(const struct lexical *lexical, struct lexical_term *const *order, struct buf *out) {
  size_t rare = 0, count = lexical->count;
  double named = 0;
  for (; rare < count && !order[rare]->common; rare++) {
    buf_printf(out, "%s%d", rare ? "," : "c.terms && '{", order[rare]->term);
    named += order[rare]->passages;
  }
  if (rare) buf_puts(out, "}'");
  size_t last = rare + PAIRED < count ? rare + PAIRED : count;
  for (size_t i = rare; i < last && named < ENOUGH && !lexical->few; i++)
    for (size_t k = i + 1; k < last; k++) buf_printf(out, "%sc.terms @> '{%d,%d}'", out->len ? " OR " : "", order[i]->term, order[k]->term);
  if (!out->len) buf_printf(out, "c.terms @> '{%d}'", order[0]->term);
  return buf_ok(out);
}

static enum status read_candidates(PGconn *db, const struct lexical *lexical, struct lexical_term *const *order, struct arena *arena,
                                   PGresult **ret_res, struct error *err) {
  BUF_AUTO condition;
  buf_init(&condition, 8192);
  if (!put_condition(lexical, order, &condition)) return error_oom(err);
  /* IS NOT DISTINCT FROM: a condition no index of the connection's own can serve, so that the words' is taken. */
  const char *sql =
      arena_printf(arena,
                   "SELECT c.id, c.words FROM autodb.chunks c WHERE (%s) AND c.connection_id IS NOT DISTINCT FROM $1::uuid AND "
                   "($2::uuid[] IS NULL OR c.document_id = ANY ($2::uuid[])) LIMIT " LIMIT_TEXT,
                   buf_str(&condition));
  const char *const params[] = {lexical->connection_id, lexical->documents};
  if (!sql) return error_oom(err);
  PGresult *res = PQexecParams(db, sql, 2, NULL, params, NULL, NULL, 1);
  if (PQresultStatus(res) == PGRES_TUPLES_OK) {
    *ret_res = res;
    return OK;
  }
  enum status status = pg_error(db, res, err);
  PQclear(res);
  return status;
}

/* --- scores --- */

/* Calls for each of the question's terms that the passage has; both ascend. Returns the passage's length in words. */
static int each_shared(const struct lexical *lexical, const PGresult *res, int row, int times[LEXICAL_TERMS]) {
  const uint8_t *words = (const uint8_t *)PQgetvalue(res, row, 1);
  size_t count = (size_t)PQgetlength(res, row, 1) / TERM_BYTES, at = 0;
  int length = 0;
  memset(times, 0, LEXICAL_TERMS * sizeof *times);
  for (size_t i = 0; i < count; i++) {
    int32_t term = terms_at(words, i);
    length += terms_times(words, i);
    while (at < lexical->count && lexical->terms[at].term < term) at++;
    if (at < lexical->count && lexical->terms[at].term == term) times[at] = terms_times(words, i);
  }
  return length;
}

/* By id where scores are equal. */
static int compare_hits(const void *a, const void *b) {
  const struct lexical_hit *left = a, *right = b;
  if (left->score != right->score) return left->score < right->score ? 1 : -1;
  return memcmp(left->id, right->id, sizeof left->id);
}

struct shared { /* of one candidate */
  int times[LEXICAL_TERMS], length;
};

/* All that have a rare word are among the candidates: there its passages are counted, not guessed. */
static void count_passages(struct lexical *lexical, const struct shared *shared, int rows) {
  for (size_t t = 0; t < lexical->count; t++) {
    int found = 0;
    for (int row = 0; row < rows; row++) found += shared[row].times[t] > 0;
    if (!lexical->terms[t].common || found > lexical->terms[t].passages) lexical->terms[t].passages = found;
    set_idf(lexical, &lexical->terms[t]);
  }
}

static enum status score(struct lexical *lexical, const PGresult *res, struct arena *arena, struct lexical_hit *hits, size_t most,
                         size_t *ret_count, struct error *err) {
  int rows = PQntuples(res);
  struct shared *shared = arena_calloc(arena, (size_t)rows + 1, sizeof *shared);
  struct lexical_hit *all = arena_calloc(arena, (size_t)rows + 1, sizeof *all);
  double words = 0;
  if (!shared || !all) return error_oom(err);
  for (int row = 0; row < rows; row++) words += shared[row].length = each_shared(lexical, res, row, shared[row].times);
  if (!lexical->documents) count_passages(lexical, shared, rows);
  for (int row = 0; row < rows; row++) {
    memcpy(all[row].id, PQgetvalue(res, row, 0), sizeof all->id);
    for (size_t t = 0; t < lexical->count; t++)
      if (shared[row].times[t]) all[row].score += rank_bm25(lexical->terms[t].idf, shared[row].times[t], shared[row].length, words / rows);
  }
  if (rows) qsort(all, (size_t)rows, sizeof *all, compare_hits);
  *ret_count = (size_t)rows < most ? (size_t)rows : most;
  memcpy(hits, all, *ret_count * sizeof *hits);
  return OK;
}

enum status lexical_find(PGconn *db, const struct question *question, struct lexical *lexical, struct arena *arena,
                         struct lexical_hit *hits, size_t most, size_t *ret_count, struct error *err) {
  struct lexical_term *order[LEXICAL_TERMS];
  PGRESULT_AUTO res = NULL;
  *ret_count = 0;
  choose_terms(question, lexical);
  if (!lexical->count) return OK;
  enum status status = weigh_terms(db, lexical, order, err);
  if (!status) status = read_candidates(db, lexical, order, arena, &res, err);
  return status ? status : score(lexical, res, arena, hits, most, ret_count, err);
}

double lexical_weight(const struct lexical *lexical, uint32_t term, bool *ret_known) {
  int32_t salted = terms_salted(lexical->connection_id, term);
  for (size_t i = 0; i < lexical->count; i++)
    if (lexical->terms[i].term == salted) return *ret_known = lexical->terms[i].passages > 0, lexical->terms[i].idf;
  *ret_known = lexical->usual && usual_has(lexical->usual, salted);
  return rank_idf(lexical->passages, *ret_known ? usual_passages(lexical->usual, salted) : 0.5);
}
