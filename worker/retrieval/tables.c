/* tables.c - see tables.h.
 *
 * A table is one text, a wide one several, each with a part of its columns; an inverted index has its words, where those of the table's own
 * name count more than a column's, and a vector all of it. table_rank.c has the order, table_joins.c adds what joins those found. */
#include "worker/retrieval/tables.h"

#include "common/limits.h"
#include "common/log.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/rank.h"
#include "worker/retrieval/table_joins.h"
#include "worker/retrieval/table_rank.h"
#include "worker/retrieval/table_text.h"
#include "worker/retrieval/tables_impl.h"

#define INDEX_BYTES ((size_t)512 << 20)
#define TEXT_BYTES (256 * 1024)
#define EMBED_MS 60000
/* What a word counts, by where it stands. */
#define NAME_TIMES 3
#define NAME_SHARED 2 /* … and so much more, shared by the words of a name: customers are "customers" before "customer_notes" are */
#define SCHEMA_TIMES 0.5F
#define ABOUT_TIMES 1
#define COLUMN_TIMES 1

/* --- terms --- */

static struct table_entry *entry_of(const struct table_index *index, uint32_t term) {
  size_t at = term & index->mask;
  while (index->entries[at].df && index->entries[at].term != term) at = (at + 1) & index->mask;
  return &index->entries[at];
}

const struct table_entry *table_index_entry(const struct table_index *index, uint32_t term) { return entry_of(index, term); }

/* --- building --- */

struct builder {
  struct table_index *index;
  const struct snapshot *snapshot;
  struct embed_text *found_by; /* per text … */
  size_t (*ends)[TABLE_WORDS]; /* … where its kinds of words end */
  struct lexicon *lexicon;
};

bool table_is_searched(const struct snap_table *table) { return !table->partition_of && table->kind != SNAP_SEQUENCE; }

static size_t parts_of(const struct snap_table *table) {
  return table->column_count ? (table->column_count + TABLE_COLUMNS - 1) / TABLE_COLUMNS : 1;
}

static bool add_text(struct builder *builder, uint32_t table, size_t part, struct buf *scratch) {
  struct table_index *index = builder->index;
  const struct snap_table *of = &builder->snapshot->tables[table];
  size_t from = part * TABLE_COLUMNS, to = from + TABLE_COLUMNS < of->column_count ? from + TABLE_COLUMNS : of->column_count;
  buf_reset(scratch);
  for (int kind = 0; kind < TABLE_WORDS; kind++) {
    if (!table_text_find(builder->snapshot, index->wording, of, kind, from, to, scratch)) return false;
    builder->ends[index->count][kind] = scratch->len;
  }
  const char *text = arena_strndup(index->arena, buf_str(scratch), scratch->len);
  if (!text) return false;
  builder->found_by[index->count] = (struct embed_text){text, scratch->len};
  index->texts[index->count++] = (struct table_part){.table = table};
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
  index->of_people = arena_calloc(index->arena, snapshot->table_count + 1, sizeof *index->of_people);
  builder->found_by = arena_calloc(index->arena, most + 1, sizeof *builder->found_by);
  builder->ends = arena_calloc(index->arena, most + 1, sizeof *builder->ends);
  index->wording = wording_new(snapshot, index->arena);
  if (!index->texts || !index->of_people || !builder->found_by || !builder->ends || !index->wording) return false;
  for (size_t i = 0; i < snapshot->table_count; i++) index->of_people[i] = table_text_is_of_people(index->wording, &snapshot->tables[i]);
  for (size_t i = 0; i < snapshot->table_count; i++)
    for (size_t part = 0; table_is_searched(&snapshot->tables[i]) && part < parts_of(&snapshot->tables[i]); part++)
      if (!add_text(builder, (uint32_t)i, part, &scratch)) return false;
  return true;
}

static float times_of(enum table_words kind, size_t words) {
  static const float times[TABLE_WORDS] = {NAME_TIMES, SCHEMA_TIMES, ABOUT_TIMES, COLUMN_TIMES};
  return times[kind] + (kind == TABLE_NAME ? (float)NAME_SHARED / (float)words : 0);
}

/* Calls visit for each word of each text, kind by kind. */
static bool each_word(struct builder *builder, bool (*visit)(struct table_index *index, uint32_t text, uint32_t term, float times)) {
  struct lexicon_list list;
  for (uint32_t i = 0; i < builder->index->count; i++)
    for (size_t kind = 0, from = 0; kind < TABLE_WORDS; from = builder->ends[i][kind++]) {
      if (!lexicon_read(builder->lexicon, builder->found_by[i].text + from, builder->ends[i][kind] - from, &list)) return false;
      for (size_t w = 0; w < list.count; w++)
        if (!visit(builder->index, i, wording_term(list.words[w].lexeme), (float)list.words[w].count * times_of(kind, list.count)))
          return false;
    }
  return true;
}

/* First pass: how many postings a term needs at most. The name's words come twice, which only wastes a place. */
static bool count_word(struct table_index *index, uint32_t text, uint32_t term, float times) {
  struct table_entry *entry = entry_of(index, term);
  entry->term = term;
  entry->df++;
  index->texts[text].words += times;
  return true;
}

static bool post_word(struct table_index *index, uint32_t text, uint32_t term, float times) {
  struct table_entry *entry = entry_of(index, term);
  if (!entry->postings) entry->postings = arena_calloc(index->arena, entry->df, sizeof *entry->postings);
  if (!entry->postings) return false;
  if (entry->used && entry->postings[entry->used - 1].text == text)
    entry->postings[entry->used - 1].times += times;
  else
    entry->postings[entry->used++] = (struct table_posting){text, times};
  return true;
}

static bool size_terms(struct builder *builder) {
  size_t bytes = 0, size = 1024;
  for (size_t i = 0; i < builder->index->count; i++) bytes += builder->found_by[i].len;
  while (size < bytes / 2) size *= 2; /* a word and what parts it from the next take more than a byte: never more than half full */
  builder->index->entries = arena_calloc(builder->index->arena, size * 2, sizeof(struct table_entry));
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
  if (!index || !index->arena || !builder.lexicon || !add_texts(&builder) || !add_words(&builder) ||
      !table_meanings_make(index, snapshot->table_count) || !table_shorts_make(index, snapshot) ||
      !(index->keys = table_keys_read(snapshot, index->arena))) {
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
  return index->count * ((size_t)index->dims * sizeof(float) + sizeof(struct table_part) + 512) +
         (index->mask + 1) * sizeof(struct table_entry) + table_meanings_bytes(index);
}

/* --- answers --- */

static double column_score(const struct table_index *index, const struct question *question, const struct lexicon_list *words) {
  double score = 0;
  for (size_t w = 0; w < words->count; w++) {
    uint32_t term = wording_term(words->words[w].lexeme);
    for (size_t q = 0; q < question->word_count; q++)
      if (question->words[q].name_term == term)
        score += question->words[q].names * rank_idf((double)index->count, entry_of(index, term)->df);
  }
  return score;
}

static bool match_columns(const struct table_index *index, const struct question *question, struct arena *arena,
                          struct retrieval_table *answer) {
  const struct snap_table *table = answer->table;
  struct ranked *ranked = arena_calloc(arena, table->column_count + 1, sizeof *ranked);
  const struct snap_column **columns = arena_calloc(arena, table->column_count + 1, sizeof *columns);
  struct lexicon *lexicon = lexicon_shared();
  size_t count = 0;
  BUF_AUTO name;
  buf_init(&name, TEXT_BYTES);
  if (!ranked || !columns || !lexicon) return false;
  for (size_t i = 0; i < table->column_count; i++) {
    struct lexicon_list words;
    buf_reset(&name);
    buf_puts(&name, table->columns[i].name);
    wording_put(index->wording, table->columns[i].name, &name);
    if (!buf_ok(&name) || !lexicon_read(lexicon, buf_str(&name), name.len, &words)) return false;
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
  const struct ranked *ranked = table_rank(index, snapshot, question, most, arena, &count);
  const struct ranked *tables = ranked ? table_joins(snapshot, index->keys, ranked, most, arena, &count) : NULL;
  struct retrieval_table *answers = arena_calloc(arena, most + 1, sizeof *answers);
  if (!tables || !answers) return error_oom(err);
  for (size_t i = 0; i < count; i++) {
    answers[i] = (struct retrieval_table){&snapshot->tables[tables[i].item], tables[i].score, .by_fk = tables[i].score <= 0};
    if (!fill(index, snapshot, question, arena, &answers[i])) return error_oom(err);
  }
  *ret_tables = answers;
  *ret_count = count;
  return OK;
}
