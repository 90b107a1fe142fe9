/* tables.c - see tables.h.
 *
 * A table is one text, a wide one several, each with a part of its columns. By word: an inverted index, where the table's own name counts
 * more than a column's. By vector: one product with every text. Both rankings make one; then tables that join those found take the last
 * places, since a query over orders and products is none without order_items. */
#include "worker/retrieval/tables.h"

#include <math.h>

#include "common/limits.h"
#include "common/log.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/rank.h"
#include "worker/retrieval/table_text.h"

#define INDEX_BYTES ((size_t)512 << 20)
#define TEXT_BYTES (256 * 1024)
#define EMBED_MS 60000
#define NAME_TIMES 3       /* a word of the table's name counts as so many of its columns' */
#define PLACES 60          /* of each ranking that are looked at */
#define LEADERS 3          /* best ones whose neighbours are likely needed */
#define REFERRED 0.6       /* of a leader's score for what it refers to … */
#define REFERRING 0.3      /* … and for what refers to it */
#define LIKE_NOTHING 0.02F /* products below are chance */

struct posting {
  uint32_t text;
  float times;
};
struct entry { /* of one term */
  uint32_t term;
  uint32_t df, used;
  struct posting *postings;
};
struct text {
  uint32_t table; /* index in the snapshot */
  float words;
};

struct table_index {
  struct arena *arena;
  struct text *texts;
  size_t count;
  double average; /* words of a text */
  struct entry *entries;
  size_t mask;
  const float *vectors; /* NULL: none */
  int dims;
};

/* --- terms --- */

static struct entry *entry_of(const struct table_index *index, uint32_t term) {
  size_t at = term & index->mask;
  while (index->entries[at].df && index->entries[at].term != term) at = (at + 1) & index->mask;
  return &index->entries[at];
}

static double weigh(void *arg, uint32_t term, bool *ret_known) {
  const struct table_index *index = arg;
  *ret_known = entry_of(index, term)->df > 0;
  return rank_idf((double)index->count, entry_of(index, term)->df);
}

/* --- building --- */

struct builder {
  struct table_index *index;
  const struct snapshot *snapshot;
  struct embed_text *found_by; /* per text */
  struct lexicon *lexicon;
};

/* Partitions are their parent; sequences are no tables. */
static bool is_searched(const struct snap_table *table) { return !table->partition_of && table->kind != SNAP_SEQUENCE; }

static size_t parts_of(const struct snap_table *table) {
  return table->column_count ? (table->column_count + TABLE_COLUMNS - 1) / TABLE_COLUMNS : 1;
}

static bool add_text(struct builder *builder, uint32_t table, size_t part, struct buf *scratch) {
  struct table_index *index = builder->index;
  const struct snap_table *of = &builder->snapshot->tables[table];
  size_t from = part * TABLE_COLUMNS, to = from + TABLE_COLUMNS < of->column_count ? from + TABLE_COLUMNS : of->column_count;
  buf_reset(scratch);
  if (!table_text_find(builder->snapshot, of, from, to, scratch)) return false;
  const char *text = arena_strndup(index->arena, buf_str(scratch), scratch->len);
  if (!text) return false;
  builder->found_by[index->count] = (struct embed_text){text, scratch->len};
  index->texts[index->count++] = (struct text){.table = table};
  return true;
}

static bool add_texts(struct builder *builder) {
  const struct snapshot *snapshot = builder->snapshot;
  struct table_index *index = builder->index;
  size_t most = 0;
  BUF_AUTO scratch;
  buf_init(&scratch, TEXT_BYTES);
  for (size_t i = 0; i < snapshot->table_count; i++) most += parts_of(&snapshot->tables[i]);
  index->texts = arena_calloc(index->arena, most + 1, sizeof *index->texts);
  builder->found_by = arena_calloc(index->arena, most + 1, sizeof *builder->found_by);
  if (!index->texts || !builder->found_by) return false;
  for (size_t i = 0; i < snapshot->table_count; i++)
    for (size_t part = 0; is_searched(&snapshot->tables[i]) && part < parts_of(&snapshot->tables[i]); part++)
      if (!add_text(builder, (uint32_t)i, part, &scratch)) return false;
  return true;
}

/* Calls visit for each word of each text; the name's come first and again by themselves. */
static bool each_word(struct builder *builder, bool (*visit)(struct table_index *index, uint32_t text, uint32_t term, float times)) {
  struct lexicon_list list;
  for (uint32_t i = 0; i < builder->index->count; i++) {
    const char *name = builder->snapshot->tables[builder->index->texts[i].table].name;
    if (!lexicon_read(builder->lexicon, builder->found_by[i].text, builder->found_by[i].len, &list)) return false;
    for (size_t w = 0; w < list.count; w++)
      if (!visit(builder->index, i, list.words[w].lexeme->term, (float)list.words[w].count)) return false;
    if (!lexicon_read(builder->lexicon, name, strlen(name), &list)) return false;
    for (size_t w = 0; w < list.count; w++)
      if (!visit(builder->index, i, list.words[w].lexeme->term, (float)(list.words[w].count * (NAME_TIMES - 1)))) return false;
  }
  return true;
}

/* First pass: how many postings a term needs at most. The name's words come twice, which only wastes a place. */
static bool count_word(struct table_index *index, uint32_t text, uint32_t term, float times) {
  struct entry *entry = entry_of(index, term);
  entry->term = term;
  entry->df++;
  index->texts[text].words += times;
  return true;
}

static bool post_word(struct table_index *index, uint32_t text, uint32_t term, float times) {
  struct entry *entry = entry_of(index, term);
  if (!entry->postings) entry->postings = arena_calloc(index->arena, entry->df, sizeof *entry->postings);
  if (!entry->postings) return false;
  if (entry->used && entry->postings[entry->used - 1].text == text)
    entry->postings[entry->used - 1].times += times;
  else
    entry->postings[entry->used++] = (struct posting){text, times};
  return true;
}

static bool size_terms(struct builder *builder) {
  size_t bytes = 0, size = 1024;
  for (size_t i = 0; i < builder->index->count; i++) bytes += builder->found_by[i].len;
  while (size < bytes / 2) size *= 2; /* a word and what parts it from the next take more than a byte: never more than half full */
  builder->index->entries = arena_calloc(builder->index->arena, size * 2, sizeof(struct entry));
  builder->index->mask = size * 2 - 1;
  return builder->index->entries != NULL;
}

static bool add_words(struct builder *builder) {
  struct table_index *index = builder->index;
  double words = 0;
  if (!size_terms(builder) || !each_word(builder, count_word) || !each_word(builder, post_word)) return false;
  for (size_t i = 0; i <= index->mask; i++) index->entries[i].df = index->entries[i].used;
  for (size_t i = 0; i < index->count; i++) words += (double)index->texts[i].words;
  index->average = index->count ? words / (double)index->count : 1;
  return true;
}

static void add_vectors(struct builder *builder, struct embedder *embedder) {
  struct table_index *index = builder->index;
  ERROR_AUTO err = {0};
  if (!embedder || !index->count) return;
  index->dims = embedder_model(embedder)->dims;
  if (embedder_run(embedder, EMBED_PASSAGE, builder->found_by, index->count, EMBED_MS, index->arena, &index->vectors, &err)) {
    index->vectors = NULL;
    log_event(LOG_WARN, "tables are searched by words alone", "reason", err.message, NULL);
  }
}

enum status table_index_new(const struct snapshot *snapshot, struct embedder *embedder, struct table_index **ret_index, struct error *err) {
  struct table_index *index = calloc(1, sizeof *index);
  struct builder builder = {.index = index, .snapshot = snapshot, .lexicon = lexicon_shared()};
  if (index) index->arena = arena_new(INDEX_BYTES);
  if (!index || !index->arena || !builder.lexicon || !add_texts(&builder) || !add_words(&builder)) {
    table_index_free(index);
    return error_oom(err);
  }
  add_vectors(&builder, embedder);
  *ret_index = index;
  return OK;
}

void table_index_free(struct table_index *index) {
  if (!index) return;
  arena_free(index->arena);
  free(index);
}

bool table_index_has_vectors(const struct table_index *index) { return index->vectors != NULL || index->count == 0; }

size_t table_index_bytes(const struct table_index *index) {
  return index->count * ((size_t)index->dims * sizeof(float) + sizeof(struct text) + 512) + (index->mask + 1) * sizeof(struct entry);
}

/* --- rankings --- */

static size_t rank_by_word(const struct table_index *index, const struct question *question, struct ranked *out) {
  size_t count = 0;
  for (size_t i = 0; i < index->count; i++) out[i] = (struct ranked){i, 0};
  for (size_t w = 0; w < question->word_count; w++) {
    const struct entry *entry = entry_of(index, question->words[w].term);
    double idf = rank_idf((double)index->count, entry->df) * question->words[w].weight;
    for (size_t p = 0; p < entry->used; p++) {
      uint32_t text = entry->postings[p].text;
      out[text].score += rank_bm25(idf, (double)entry->postings[p].times, (double)index->texts[text].words, index->average);
    }
  }
  for (size_t i = 0; i < index->count; i++)
    if (out[i].score > 0) out[count++] = out[i];
  return rank_sort(out, count, PLACES);
}

static size_t rank_by_vector(const struct table_index *index, const float *vector, struct ranked *out) {
  size_t count = 0, dims = (size_t)index->dims;
  for (size_t i = 0; i < index->count; i++) {
    const float *row = index->vectors + i * dims;
    float sum = 0;
    for (size_t d = 0; d < dims; d++) sum += row[d] * vector[d];
    if (sum > LIKE_NOTHING) out[count++] = (struct ranked){i, (double)sum};
  }
  return rank_sort(out, count, PLACES);
}

/* Per table the best place of its texts in each ranking. */
static void add_places(const struct table_index *index, const struct ranked *ranked, size_t count, double *scores, uint8_t *seen,
                       uint8_t mark) {
  for (size_t place = 0; place < count; place++) {
    uint32_t table = index->texts[ranked[place].item].table;
    if (seen[table] & mark) continue;
    seen[table] |= mark;
    scores[table] += rank_reciprocal(place);
  }
}

/* What the best ones refer to is likely needed with them, and a little of what refers to them: a question names the event ("received the
 * scholarship") and means the people, too. */
static void add_neighbours(const struct snapshot *snapshot, const struct ranked *best, size_t count, double *bonus) {
  for (size_t i = 0; i < count && i < LEADERS; i++) {
    const struct snap_table *table = &snapshot->tables[best[i].item];
    for (size_t k = 0; k < table->fk_count; k++) {
      const struct snap_table *to = table->fks[k].ref;
      if (to && to != table) bonus[to - snapshot->tables] = fmax(bonus[to - snapshot->tables], best[i].score * REFERRED);
    }
    for (size_t k = 0; k < table->referenced_by_count; k++) {
      const struct snap_table *from = table->referenced_by[k]->table;
      if (from != table) bonus[from - snapshot->tables] = fmax(bonus[from - snapshot->tables], best[i].score * REFERRING);
    }
  }
}

static struct ranked *rank_tables(const struct table_index *index, const struct snapshot *snapshot, struct question *question,
                                  struct arena *arena, size_t *ret_count) {
  struct ranked *ranked = arena_calloc(arena, index->count + 1, sizeof *ranked);
  struct ranked *tables = arena_calloc(arena, snapshot->table_count + 1, sizeof *tables);
  double *scores = arena_calloc(arena, snapshot->table_count + 1, sizeof *scores);
  double *bonus = arena_calloc(arena, snapshot->table_count + 1, sizeof *bonus);
  uint8_t *seen = arena_calloc(arena, snapshot->table_count + 1, 1);
  size_t count = 0;
  if (!ranked || !tables || !scores || !bonus || !seen) return NULL;
  add_places(index, ranked, rank_by_word(index, question, ranked), scores, seen, 1);
  union {
    const void *in;
    void *out;
  } arg = {.in = index};
  const float *vector = index->vectors ? question_vector(question, weigh, arg.out) : NULL;
  if (vector) add_places(index, ranked, rank_by_vector(index, vector, ranked), scores, seen, 2);
  for (size_t i = 0; i < snapshot->table_count; i++)
    if (scores[i] > 0) tables[count++] = (struct ranked){i, scores[i]};
  add_neighbours(snapshot, tables, rank_sort(tables, count, count), bonus);
  count = 0;
  for (size_t i = 0; i < snapshot->table_count; i++)
    if (scores[i] + bonus[i] > 0 && is_searched(&snapshot->tables[i])) tables[count++] = (struct ranked){i, scores[i] + bonus[i]};
  *ret_count = rank_sort(tables, count, count);
  return tables;
}

/* --- closing over foreign keys --- */

static size_t ordinal(const struct snapshot *snapshot, const struct snap_table *table) { return (size_t)(table - snapshot->tables); }

struct closure {
  const struct snapshot *snapshot;
  bool *in;        /* by table: found, or joining */
  size_t *joining; /* those that were not found themselves */
  size_t count;
};

static bool are_joined(const struct closure *closure, const struct snap_table *table) {
  for (size_t i = 0; i < table->fk_count; i++)
    if (table->fks[i].ref && table->fks[i].ref != table && closure->in[ordinal(closure->snapshot, table->fks[i].ref)]) return true;
  for (size_t i = 0; i < table->referenced_by_count; i++)
    if (table->referenced_by[i]->table != table && closure->in[ordinal(closure->snapshot, table->referenced_by[i]->table)]) return true;
  return false;
}

/* A table that a found one has a key to, or that has one to it, and that touches another found one as well. */
static void try_between(struct closure *closure, const struct snap_table *from, const struct snap_table *between, size_t most) {
  size_t at = between ? ordinal(closure->snapshot, between) : 0;
  if (!between || closure->in[at] || closure->count == most) return;
  size_t self = ordinal(closure->snapshot, from);
  closure->in[self] = false;
  bool joins = are_joined(closure, between);
  closure->in[self] = true;
  if (!joins) return;
  closure->in[at] = true;
  closure->joining[closure->count++] = at;
}

/* Found tables that touch no other found one: what lies between them and the rest. */
static void close_over(struct closure *closure, const struct ranked *tables, size_t count, size_t most) {
  for (size_t i = 0; i < count; i++) {
    const struct snap_table *table = &closure->snapshot->tables[tables[i].item];
    if (are_joined(closure, table)) continue;
    for (size_t k = 0; k < table->fk_count; k++) try_between(closure, table, table->fks[k].ref, most);
    for (size_t k = 0; k < table->referenced_by_count; k++) try_between(closure, table, table->referenced_by[k]->table, most);
  }
}

/* As many found ones as leave room for those that join them. */
static size_t choose(const struct snapshot *snapshot, const struct ranked *tables, size_t count, size_t most, struct arena *arena,
                     struct closure *closure) {
  size_t found = count < most ? count : most;
  *closure = (struct closure){.snapshot = snapshot, .joining = arena_calloc(arena, most + 1, sizeof *closure->joining)};
  closure->in = arena_calloc(arena, snapshot->table_count + 1, sizeof *closure->in);
  if (!closure->in || !closure->joining) return SIZE_MAX;
  for (;; found--) {
    memset(closure->in, 0, snapshot->table_count * sizeof *closure->in);
    closure->count = 0;
    for (size_t i = 0; i < found; i++) closure->in[tables[i].item] = true;
    close_over(closure, tables, found, most);
    if (found + closure->count <= most || found <= (most + 1) / 2) break;
  }
  if (found + closure->count > most) closure->count = most - found;
  return found;
}

/* --- answers --- */

static double column_score(const struct table_index *index, const struct question *question, const struct lexicon_list *words) {
  double score = 0;
  for (size_t w = 0; w < words->count; w++)
    for (size_t q = 0; q < question->word_count; q++)
      if (question->words[q].term == words->words[w].lexeme->term)
        score += question->words[q].weight * rank_idf((double)index->count, entry_of(index, question->words[q].term)->df);
  return score;
}

static bool match_columns(const struct table_index *index, const struct question *question, struct arena *arena,
                          struct retrieval_table *answer) {
  const struct snap_table *table = answer->table;
  struct ranked *ranked = arena_calloc(arena, table->column_count + 1, sizeof *ranked);
  const struct snap_column **columns = arena_calloc(arena, table->column_count + 1, sizeof *columns);
  struct lexicon *lexicon = lexicon_shared();
  size_t count = 0;
  if (!ranked || !columns || !lexicon) return false;
  for (size_t i = 0; i < table->column_count; i++) {
    struct lexicon_list words;
    if (!lexicon_read(lexicon, table->columns[i].name, strlen(table->columns[i].name), &words)) return false;
    double score = column_score(index, question, &words);
    if (score > 0) ranked[count++] = (struct ranked){i, score};
  }
  count = rank_sort(ranked, count, count);
  for (size_t i = 0; i < count; i++) columns[i] = &table->columns[ranked[i].item];
  answer->columns = columns;
  answer->column_count = count;
  return true;
}

static bool fill(const struct table_index *index, const struct snapshot *snapshot, const struct question *question, struct arena *arena,
                 struct retrieval_table *answer) {
  BUF_AUTO text;
  buf_init(&text, TEXT_BYTES);
  if (!table_text_show(snapshot, answer->table, &text)) return false;
  answer->text = arena_strndup(arena, buf_str(&text), text.len);
  return answer->text && match_columns(index, question, arena, answer);
}

enum status tables_search(const struct table_index *index, const struct snapshot *snapshot, struct question *question, size_t most,
                          struct arena *arena, const struct retrieval_table **ret_tables, size_t *ret_count, struct error *err) {
  size_t count = 0;
  struct closure closure;
  struct ranked *tables = rank_tables(index, snapshot, question, arena, &count);
  size_t found = tables ? choose(snapshot, tables, count, most, arena, &closure) : SIZE_MAX;
  struct retrieval_table *answers = arena_calloc(arena, most + 1, sizeof *answers);
  if (found == SIZE_MAX || !answers) return error_oom(err);
  for (size_t i = 0; i < found; i++)
    answers[i] = (struct retrieval_table){.table = &snapshot->tables[tables[i].item], .score = tables[i].score};
  for (size_t i = 0; i < closure.count; i++)
    answers[found + i] = (struct retrieval_table){.table = &snapshot->tables[closure.joining[i]], .by_fk = true};
  for (size_t i = 0; i < found + closure.count; i++)
    if (!fill(index, snapshot, question, arena, &answers[i])) return error_oom(err);
  *ret_tables = answers;
  *ret_count = found + closure.count;
  return OK;
}
