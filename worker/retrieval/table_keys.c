/* table_keys.c - see table_keys.h.
 *
 * Many a database declares few of its keys. A column that no key covers is taken for one if all declared keys of that name lead to one
 * table, or if it ends like a key ("_id") and what is before that is how one table's name ends. Where several are called so, the one of its
 * own schema is meant, then the one with the shortest name; none where that leaves two. */
#include "worker/retrieval/table_keys.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "worker/embed/lexicon.h"
#include "worker/retrieval/tables_impl.h"
#include "worker/retrieval/wording.h"

#define NAME_WORDS 8
/* What counts first: words alike, then the schema, then how few words there are. */
#define SAME_WORD 100L
#define SAME_SCHEMA 50L

struct name { /* its words, by hash */
  uint32_t words[NAME_WORDS];
  size_t count;
};
struct declared { /* the keys of one column name */
  const char *column;
  uint32_t to;
  bool many; /* they lead to several tables */
};
struct edge {
  uint32_t from, to;
};
struct called {
  uint32_t last; /* word of its name */
  uint32_t table;
};
struct reader {
  const struct snapshot *snapshot;
  struct name *names;    /* by table */
  struct called *called; /* sorted by last word, then by table; those without words are not there */
  size_t called_count;
  struct declared *declared;
  size_t declared_count;
  struct edge *edges;
  size_t edge_count;
};

static struct name read_name(const char *text) {
  struct name name = {0};
  char word[WORDING_BYTES];
  while (name.count < NAME_WORDS && (text = wording_next(text, word))) {
    size_t len = strlen(word);
    if (len > 3 && word[len - 1] == 's' && word[len - 2] != 's') word[len - 1] = '\0';
    name.words[name.count++] = lexicon_term(word);
  }
  return name;
}

static bool ends_like_key(struct name *name) {
  static const char *const tails[] = {"id", "fk", "key", "uuid"};
  for (size_t i = 0; name->count > 1 && i < sizeof tails / sizeof *tails; i++)
    if (name->words[name->count - 1] == lexicon_term(tails[i])) return name->count--, true;
  return false;
}

/* --- declared --- */

static int compare_declared(const void *a, const void *b) {
  return strcmp(((const struct declared *)a)->column, ((const struct declared *)b)->column);
}

static void add_edge(struct reader *reader, uint32_t from, uint32_t to) {
  if (from != to) reader->edges[reader->edge_count++] = (struct edge){from, to};
}

static void read_declared(struct reader *reader) {
  const struct snapshot *snapshot = reader->snapshot;
  size_t count = 0;
  for (uint32_t t = 0; t < snapshot->table_count; t++)
    for (size_t k = 0; k < snapshot->tables[t].fk_count; k++) {
      const struct snap_fk *fk = &snapshot->tables[t].fks[k];
      if (!fk->ref) continue;
      add_edge(reader, t, (uint32_t)(fk->ref - snapshot->tables));
      if (fk->column_count == 1)
        reader->declared[count++] = (struct declared){fk->columns[0], (uint32_t)(fk->ref - snapshot->tables), false};
    }
  if (count) qsort(reader->declared, count, sizeof *reader->declared, compare_declared);
  for (size_t i = 0; i < count; i++) {
    struct declared *last = reader->declared_count ? &reader->declared[reader->declared_count - 1] : NULL;
    if (last && strcmp(last->column, reader->declared[i].column) == 0)
      last->many |= last->to != reader->declared[i].to;
    else
      reader->declared[reader->declared_count++] = reader->declared[i];
  }
}

/* --- called like one --- */

static bool is_declared(const struct snap_table *table, const char *column) {
  for (size_t k = 0; k < table->fk_count; k++)
    for (size_t c = 0; c < table->fks[k].column_count; c++)
      if (strcmp(table->fks[k].columns[c], column) == 0) return true;
  return false;
}

static size_t same_end(const struct name *a, const struct name *b) {
  size_t same = 0;
  while (same < a->count && same < b->count && a->words[a->count - 1 - same] == b->words[b->count - 1 - same]) same++;
  return same;
}

static int compare_called(const void *a, const void *b) {
  const struct called *left = a, *right = b;
  if (left->last != right->last) return left->last < right->last ? -1 : 1;
  return (left->table > right->table) - (left->table < right->table);
}

static void sort_names(struct reader *reader) {
  for (uint32_t t = 0; t < reader->snapshot->table_count; t++) {
    struct name *name = &reader->names[t];
    *name = read_name(reader->snapshot->tables[t].name);
    if (name->count && table_is_searched(&reader->snapshot->tables[t]))
      reader->called[reader->called_count++] = (struct called){name->words[name->count - 1], t};
  }
  if (reader->called_count) qsort(reader->called, reader->called_count, sizeof *reader->called, compare_called);
}

static size_t first_called(const struct reader *reader, uint32_t last) {
  size_t low = 0, high = reader->called_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (reader->called[middle].last < last)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The table that a key's name ends like; NULL: none, or several alike. */
static const struct snap_table *called_so(const struct reader *reader, uint32_t from, const struct name *key) {
  const struct snap_table *best = NULL, *tables = reader->snapshot->tables;
  uint32_t last = key->words[key->count - 1];
  long most = LONG_MIN;
  bool tie = false;
  for (size_t i = first_called(reader, last); i < reader->called_count && reader->called[i].last == last; i++) {
    uint32_t t = reader->called[i].table;
    bool near = strcmp(tables[t].schema, tables[from].schema) == 0;
    long score = (long)same_end(key, &reader->names[t]) * SAME_WORD + near * SAME_SCHEMA - (long)reader->names[t].count;
    tie = score == most || (tie && score < most);
    if (score <= most) continue;
    best = &tables[t];
    most = score;
  }
  return tie ? NULL : best;
}

static void read_called(struct reader *reader, uint32_t from) {
  const struct snapshot *snapshot = reader->snapshot;
  const struct snap_table *table = &snapshot->tables[from];
  for (size_t c = 0; c < table->column_count && table_is_searched(table); c++) {
    struct declared wanted = {.column = table->columns[c].name};
    struct name name = read_name(wanted.column);
    bool says_more = name.count > 1, ends = ends_like_key(&name);
    if (!says_more || is_declared(table, wanted.column) || (c == 0 && same_end(&name, &reader->names[from]))) continue;
    const struct declared *known =
        reader->declared_count ? bsearch(&wanted, reader->declared, reader->declared_count, sizeof wanted, compare_declared) : NULL;
    const struct snap_table *to = known && !known->many ? &snapshot->tables[known->to] : ends ? called_so(reader, from, &name) : NULL;
    if (to) add_edge(reader, from, (uint32_t)(to - snapshot->tables));
  }
}

/* --- by table --- */

static bool put_both_ways(const struct reader *reader, struct table_keys *keys, struct arena *arena) {
  for (size_t i = 0; i < reader->edge_count; i++) {
    keys[reader->edges[i].from].refers_to_count++;
    keys[reader->edges[i].to].referred_by_count++;
  }
  for (size_t t = 0; t < reader->snapshot->table_count; t++) {
    struct table_keys *of = &keys[t];
    of->refers_to = arena_calloc(arena, of->refers_to_count + 1, sizeof *of->refers_to);
    of->referred_by = arena_calloc(arena, of->referred_by_count + 1, sizeof *of->referred_by);
    if (!of->refers_to || !of->referred_by) return false;
    of->refers_to_count = of->referred_by_count = 0;
  }
  for (size_t i = 0; i < reader->edge_count; i++) {
    struct table_keys *from = &keys[reader->edges[i].from], *to = &keys[reader->edges[i].to];
    from->refers_to[from->refers_to_count++] = reader->edges[i].to;
    to->referred_by[to->referred_by_count++] = reader->edges[i].from;
  }
  return true;
}

struct table_keys *table_keys_read(const struct snapshot *snapshot, struct arena *arena) {
  struct reader reader = {.snapshot = snapshot};
  size_t columns = 0, declared = 0;
  for (size_t t = 0; t < snapshot->table_count; t++) {
    columns += snapshot->tables[t].column_count;
    declared += snapshot->tables[t].fk_count;
  }
  struct table_keys *keys = arena_calloc(arena, snapshot->table_count + 1, sizeof *keys);
  reader.names = arena_calloc(arena, snapshot->table_count + 1, sizeof *reader.names);
  reader.called = arena_calloc(arena, snapshot->table_count + 1, sizeof *reader.called);
  reader.declared = arena_calloc(arena, declared + 1, sizeof *reader.declared);
  reader.edges = arena_calloc(arena, columns + declared + 1, sizeof *reader.edges);
  if (!keys || !reader.names || !reader.called || !reader.declared || !reader.edges) return NULL;
  sort_names(&reader);
  read_declared(&reader);
  for (uint32_t t = 0; t < snapshot->table_count; t++) read_called(&reader, t);
  return put_both_ways(&reader, keys, arena) ? keys : NULL;
}
