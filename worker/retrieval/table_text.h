/* table_text.h - what is said of a table: to people and models, and to the search. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_TEXT_H
#define AUTODB_RETRIEVAL_TABLE_TEXT_H

#include "common/buf.h"
#include "worker/schema/snapshot.h"

#define TABLE_COLUMNS 60 /* in one text: wider tables have several */

/* The table as an answer shows it: name, comment, columns with types, keys, values. */
bool table_text_show(const struct snapshot *snapshot, const struct snap_table *table, struct buf *out);
/* The words it is found by: no types, no keys. Columns [from, to). */
bool table_text_find(const struct snapshot *snapshot, const struct snap_table *table, size_t from, size_t to, struct buf *out);
/* Values a column may have as its type or a CHECK lists them, "a, b, c", at most `most` bytes; false when it lists none. */
bool table_text_values(const struct snapshot *snapshot, const struct snap_table *table, const struct snap_column *column, size_t most,
                       struct buf *out);

#endif
