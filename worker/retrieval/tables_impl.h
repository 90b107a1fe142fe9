/* tables_impl.h - the index of a snapshot's tables, as those who search it see it. Private to tables.c, table_rank.c,
 * table_meanings.c. */
#ifndef AUTODB_RETRIEVAL_TABLES_IMPL_H
#define AUTODB_RETRIEVAL_TABLES_IMPL_H

#include <stdint.h>

#include "common/arena.h"
#include "worker/retrieval/table_keys.h"
#include "worker/retrieval/table_meanings.h"
#include "worker/retrieval/table_shorts.h"
#include "worker/retrieval/tables.h"
#include "worker/retrieval/wording.h"

struct table_posting {
  uint32_t text;
  float times; /* weighed by where it stands */
};
struct table_entry { /* of one term */
  uint32_t term;
  uint32_t df, used; /* texts that have it: both the same once the index is built; 0: there is no such term */
  struct table_posting *postings;
};
struct table_part { /* one text: a table, or a part of a wide one */
  uint32_t table;   /* index in the snapshot */
  float words;      /* its length, weighed likewise */
};

struct table_index {
  struct arena *arena;
  struct table_part *texts;
  size_t count;
  double average; /* words of a text */
  struct table_entry *entries;
  size_t mask;
  struct table_keys *keys; /* by table */
  bool *of_people;         /* likewise */
  struct table_shorts shorts;
  struct table_meanings meanings;
  struct wording *wording; /* of the schema's names */
  const float *vectors;    /* one a text; NULL: none */
  int dims;
};

/* Never NULL: of a term that no text has, one with df 0. */
const struct table_entry *table_index_entry(const struct table_index *index, uint32_t term);
/* Partitions are their parent; sequences are no tables. */
bool table_is_searched(const struct snap_table *table);

#endif
