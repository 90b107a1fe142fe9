/* table_text.h - what is said of a table: to people and models, and to the search. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_TEXT_H
#define AUTODB_RETRIEVAL_TABLE_TEXT_H

#include "common/buf.h"
#include "worker/retrieval/wording.h"
#include "worker/schema/snapshot.h"

#define TABLE_COLUMNS 60 /* in one text: wider tables have several */

/* The table as an answer shows it: name, comment, columns with types, keys, values. */
bool table_text_show(const struct snapshot *snapshot, const struct snap_table *table, struct buf *out);
/* The words it is found by, each kind by itself: no types, no keys' names. */
enum table_words {
  TABLE_NAME,        /* its own, and what that stands for */
  TABLE_SCHEMA,      /* its schema's, which many share */
  TABLE_ABOUT,       /* its comment */
  TABLE_ITS_COLUMNS, /* names, comments, values of columns, those of keys as well: they speak of the table they refer to */
  TABLE_WORDS
};
bool table_text_find(const struct snapshot *snapshot, struct wording *wording, const struct snap_table *table, enum table_words kind,
                     size_t from, size_t to, struct buf *out); /* columns [from, to) */
/* Its rows are people: they have a first or a last name. */
bool table_text_is_of_people(struct wording *wording, const struct snap_table *table);
/* Values a column may have as its type or a CHECK lists them, "a, b, c", at most `most` bytes; false when it lists none. */
bool table_text_values(const struct snapshot *snapshot, const struct snap_table *table, const struct snap_column *column, size_t most,
                       struct buf *out);

#endif
