/* table_rank.c - see table_rank.h.
 *
 * By word: BM25, where of a word, its synonyms, the schema's words nearest to it in meaning and names that are short for it only the one
 * that says most of a table counts. By vector: the product with every text. By meaning: how like all that the question says is what a table
 * says in all. These are made parts of their best and added (Bruch et al. 2022: scores merged so tell more than places do). What is joined
 * to a good one is likely needed with it, over two keys at most. Then the best is taken again and again, and a word whose best table has
 * been taken counts less from then on: a question about products and suppliers needs both, not six kinds of products. */
#include "worker/retrieval/table_rank.h"

#include <math.h>
#include <stdio.h>

#include "worker/retrieval/tables_impl.h"

#define MEASURES 0.2       /* what words of time and number count ("last month"): columns of that name are everywhere */
#define LIKE_NOTHING 0.02F /* products below are chance */
#define NEAR 0.6           /* what a word counts that is near one of the question … */
#define NEAR_KNOWN 0.7     /* … times this, where the schema has that one, too */
#define SHORT 0.6          /* what a name counts that is short for one of them, at most … */
#define SHORT_LEAST 0.4    /* … if the word counts so much */
#define IDF_MOST 4         /* a word that the schema has not at all says no more of what is meant than a rare one */
#define MEANING 0.3        /* what meaning adds to a score, unless a model has made the vectors */
#define VECTOR_WORDS 0.1   /* the vectors' part of a score, where they are made of the same words … */
#define VECTOR_MODEL 0.5   /* … and where a model has made them */
#define REFERRED 0.5       /* of a table's score for what it refers to … */
#define PERSON 0.7         /* … if those are people and the question asks who … */
#define REFERRING 0.4      /* … and for what refers to it, less where much does */
#define HUB 0.25
#define KEYS 2        /* that are followed */
#define SPOKEN_OF 0.8 /* of what a word's best table has of it: then it has been spoken of … */
#define AGAIN 0.6     /* … and counts so much from then on */

struct search {
  const struct table_index *index;
  const struct snapshot *snapshot;
  struct question *question;
  size_t tables;
  float *by_word; /* [word][table]: what the word, or one that it means, says of the table; words that are only meant say nothing */
  double *lexical, *vector, *meaning, *joined;
  double lexical_best, vector_best, vector_share, meaning_best;
};

static double largest(const double *values, size_t count) {
  double most = 0;
  for (size_t i = 0; i < count; i++) most = fmax(most, values[i]);
  return most;
}

/* --- by word --- */

static double weight_of(const struct question_word *word) { return word->measures ? word->names * MEASURES : word->names; }

/* What is only meant is no rarer than the word that means it. */
static double idf_of(const struct search *search, const struct question_word *word) {
  uint32_t df = table_index_entry(search->index, word->name_term)->df;
  uint32_t own = table_index_entry(search->index, search->question->words[word->meaning].name_term)->df;
  return rank_idf((double)search->index->count, df > own ? df : own);
}

static void score_word(struct search *search, const struct question_word *word) {
  const struct table_index *index = search->index;
  const struct table_entry *entry = table_index_entry(index, word->name_term);
  double idf = idf_of(search, word) * weight_of(word);
  float *says = search->by_word + word->meaning * search->tables;
  for (size_t i = 0; i < entry->used; i++) {
    const struct table_part *text = &index->texts[entry->postings[i].text];
    float score = (float)rank_bm25(idf, (double)entry->postings[i].times, (double)text->words, index->average);
    if (score > says[text->table]) says[text->table] = score;
  }
}

/* A word of the question's own, by which something is to be found. */
static bool is_own(const struct question *question, size_t w) {
  return question->words[w].meaning == w && question->words[w].names >= 1 && !question->words[w].measures;
}

static bool has_synonym(const struct search *search, size_t w) {
  const struct question *question = search->question;
  for (size_t i = 0; i < question->word_count; i++)
    if (i != w && question->words[i].meaning == w && table_index_entry(search->index, question->words[i].name_term)->df) return true;
  return false;
}

/* What somebody has written down as a synonym is surer than nearness. */
static void score_near(struct search *search, size_t w) {
  struct question_word near = search->question->words[w];
  struct ranked found[TABLE_NEAR];
  if (!is_own(search->question, w) || has_synonym(search, w)) return;
  double weight = table_index_entry(search->index, near.name_term)->df ? NEAR * NEAR_KNOWN : NEAR;
  size_t count = table_meanings_near(search->index, near.name_term, found);
  for (size_t i = 0; i < count; i++) {
    near.name_term = search->index->meanings.words[found[i].item].term;
    near.names = weight * found[i].score;
    score_word(search, &near);
  }
}

/* A name may be short for what the question says or means ("bndl", "ach"). */
static void score_shorts(struct search *search, const struct question_word *word) {
  const struct table_shorts *shorts = &search->index->shorts;
  if (search->question->words[word->meaning].measures || word->names < SHORT_LEAST) return;
  for (size_t i = 0; i < shorts->count; i++) {
    struct question_word as = *word;
    as.name_term = shorts->words[i].term;
    as.names *= SHORT * table_short_for(shorts->words[i].word, word->stem);
    if (as.names > 0) score_word(search, &as);
  }
}

static void score_by_word(struct search *search) {
  const struct question *question = search->question;
  for (size_t w = 0; w < question->word_count; w++) score_word(search, &question->words[w]);
  for (size_t w = 0; w < question->word_count; w++) score_near(search, w);
  for (size_t w = 0; w < question->word_count; w++) score_shorts(search, &question->words[w]);
  for (size_t w = 0; w < question->word_count; w++)
    for (size_t t = 0; question->words[w].meaning == w && t < search->tables; t++)
      search->lexical[t] += (double)search->by_word[w * search->tables + t];
  search->lexical_best = largest(search->lexical, search->tables);
}

/* --- by vector --- */

static double weigh(void *arg, uint32_t term, bool *ret_known) {
  const struct search *search = arg;
  uint32_t df = table_index_entry(search->index, term)->df;
  bool measures = false;
  for (size_t w = 0; w < search->question->word_count && !measures; w++)
    measures = search->question->words[w].term == term && search->question->words[w].measures;
  *ret_known = df > 0;
  return rank_idf((double)search->index->count, df) * (measures ? MEASURES : 1);
}

/* Models put all texts into one corner, more or less: what counts is how much nearer than usual one is. */
static void score_by_vector(struct search *search) {
  const struct table_index *index = search->index;
  const float *vector = index->vectors ? question_vector(search->question, weigh, search) : NULL;
  double usual = 0;
  for (size_t i = 0; vector && i < index->count; i++) {
    const float *row = index->vectors + i * (size_t)index->dims;
    double *best = &search->vector[index->texts[i].table];
    float sum = 0;
    for (int d = 0; d < index->dims; d++) sum += row[d] * vector[d];
    if (sum > LIKE_NOTHING) *best = fmax(*best, (double)sum);
    usual += (double)sum / (double)index->count;
  }
  for (size_t t = 0; t < search->tables; t++) search->vector[t] = fmax(search->vector[t] - fmax(usual, 0), 0);
  search->vector_best = largest(search->vector, search->tables);
  if (search->vector_best > 0) search->vector_share = embedder_takes_words(search->question->embedder) ? VECTOR_WORDS : VECTOR_MODEL;
}

/* --- by meaning --- */

/* Of all that the question says, word by word. */
static void add_meanings(const struct table_index *index, const struct question *question, float sum[MEANING_DIMS]) {
  for (size_t w = 0; w < question->word_count; w++) {
    const struct question_word *word = &question->words[w];
    double idf = rank_idf((double)index->count, table_index_entry(index, word->name_term)->df);
    if (word->meaning == w) table_meanings_add(sum, word->name_term, fmin(idf, IDF_MOST) * weight_of(word));
  }
}

static void score_by_meaning(struct search *search) {
  float sum[MEANING_DIMS] = {0};
  if (search->vector_share == VECTOR_MODEL) return;
  add_meanings(search->index, search->question, sum);
  table_meanings_like(search->index, sum, search->meaning);
  search->meaning_best = largest(search->meaning, search->tables);
}

/* All of it; lexical is what is left. */
static double found_by(const struct search *search, size_t table) {
  double score = 0;
  if (search->lexical_best > 0) score += (1 - search->vector_share) * search->lexical[table] / search->lexical_best;
  if (search->vector_best > 0) score += search->vector_share * search->vector[table] / search->vector_best;
  if (search->meaning_best > 0) score += MEANING * search->meaning[table] / search->meaning_best;
  return score;
}

/* --- by what is joined --- */

static void raise_to(double *scores, size_t table, double score) { scores[table] = fmax(scores[table], score); }

/* "Who", "whose": one of those whom it knows by name. */
static bool is_asked_for(const struct search *search, size_t table) {
  return search->question->asks_for_person && search->index->of_people[table];
}

/* To the neighbours of each what they have of its score. */
static void pass_on(const struct search *search, const double *scores, double *ret_passed) {
  for (size_t t = 0; t < search->tables; t++) {
    if (scores[t] <= 0 || !table_is_searched(&search->snapshot->tables[t])) continue;
    const struct table_keys *keys = &search->index->keys[t];
    double referring = scores[t] * REFERRING / pow((double)keys->referred_by_count, HUB);
    for (size_t k = 0; k < keys->refers_to_count; k++)
      raise_to(ret_passed, keys->refers_to[k], scores[t] * (is_asked_for(search, keys->refers_to[k]) ? PERSON : REFERRED));
    for (size_t k = 0; k < keys->referred_by_count; k++) raise_to(ret_passed, keys->referred_by[k], referring);
  }
}

static void score_joined(struct search *search, double *scratch) {
  for (int key = 0; key < KEYS; key++) {
    for (size_t t = 0; t < search->tables; t++) scratch[t] = found_by(search, t) + search->joined[t];
    pass_on(search, scratch, search->joined);
  }
}

/* --- one after the other --- */

static void speak_of(struct search *search, size_t taken) {
  for (size_t w = 0; w < search->question->word_count; w++) {
    float *says = search->by_word + w * search->tables, best = 0;
    if (search->question->words[w].meaning != w) continue;
    for (size_t t = 0; t < search->tables; t++) best = says[t] > best ? says[t] : best;
    if (says[taken] <= 0 || (double)says[taken] < SPOKEN_OF * (double)best) continue;
    for (size_t t = 0; t < search->tables; t++) {
      search->lexical[t] -= (double)says[t] * (1 - AGAIN);
      says[t] *= (float)AGAIN;
    }
  }
}

static bool take_best(struct search *search, bool *taken, struct ranked *ret_best) {
  *ret_best = (struct ranked){0};
  for (size_t t = 0; t < search->tables; t++) {
    if (taken[t] || !table_is_searched(&search->snapshot->tables[t])) continue;
    double score = found_by(search, t) + search->joined[t];
    if (score > ret_best->score) *ret_best = (struct ranked){t, score};
  }
  if (ret_best->score <= 0) return false;
  taken[ret_best->item] = true;
  speak_of(search, ret_best->item);
  return true;
}

struct ranked *table_rank(const struct table_index *index, const struct snapshot *snapshot, struct question *question, size_t most,
                          struct arena *arena, size_t *ret_count) {
  size_t tables = snapshot->table_count;
  struct search search = {.index = index, .snapshot = snapshot, .question = question, .tables = tables};
  struct ranked *best = arena_calloc(arena, most + 1, sizeof *best);
  double *scratch = arena_calloc(arena, tables + 1, sizeof *scratch);
  bool *taken = arena_calloc(arena, tables + 1, sizeof *taken);
  search.by_word = arena_calloc(arena, question->word_count * tables + 1, sizeof *search.by_word);
  search.lexical = arena_calloc(arena, tables + 1, sizeof *search.lexical);
  search.vector = arena_calloc(arena, tables + 1, sizeof *search.vector);
  search.meaning = arena_calloc(arena, tables + 1, sizeof *search.meaning);
  search.joined = arena_calloc(arena, tables + 1, sizeof *search.joined);
  if (!best || !scratch || !taken || !search.by_word || !search.lexical || !search.vector || !search.meaning || !search.joined) return NULL;
  score_by_word(&search);
  score_by_vector(&search);
  score_by_meaning(&search);
  score_joined(&search, scratch);
  *ret_count = 0;
  while (*ret_count < most && take_best(&search, taken, &best[*ret_count])) ++*ret_count;
  return best;
}
