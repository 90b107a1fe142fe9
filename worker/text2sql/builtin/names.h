/* names.h - the names of a schema as words: what a table or column is called, in every way a person might say it.
 *
 * "tbl_cust_ord", "CustomerOrders" and "customerorders" are the same two words. What all tables (or all columns of a table) begin with says
 * nothing and is dropped. A name may be said in parts ("price" for unit_price) or by synonyms, at a discount. */
#ifndef AUTODB_BUILTIN_NAMES_H
#define AUTODB_BUILTIN_NAMES_H

#include "worker/schema/snapshot.h"
#include "worker/text2sql/builtin/words.h"

#define NAME_WORDS 8

struct name {
  const struct snap_table *table;
  const struct snap_column *column; /* NULL: the table's own name */
  size_t table_at;                  /* index of the table in the snapshot */
  const struct word *words[NAME_WORDS];
  size_t count;
  double worth; /* 1; less for a form that only a comment gives */
  bool flag;    /* a boolean, without its "is" or "has" */
  bool owned;   /* the column's name with its table's before it: "customer name" */
};
struct names {
  struct name *items;
  size_t count, room;
  const struct word *(*table_words)[NAME_WORDS]; /* by index of the table: its name without affixes */
  size_t *table_counts;
};

bool names_read(struct names *names, const struct snapshot *snapshot, struct arena *arena, struct words *words); /* false: out of memory */
/* How well these words say that name: 0 not at all, 1 exactly. Every word must be in the name. */
double names_match(const struct name *name, const struct word *const *said, size_t count);
/* These words, all of them and no other, are what a table is called. */
bool names_are_table(const struct names *names, const struct word *const *words, size_t count, size_t table);
/* An identifier's words; as many as fit. */
size_t names_split(const char *identifier, struct arena *arena, struct words *words, const struct word *ret_words[NAME_WORDS]);

/* --- what a column is --- */
bool column_textual(const struct snap_column *column);
bool column_numeric(const struct snap_column *column);
bool column_integer(const struct snap_column *column);
bool column_temporal(const struct snap_column *column); /* date or timestamp */
bool column_period(const struct snap_column *column);   /* a range of those */
bool column_boolean(const struct snap_column *column);
bool column_primary(const struct snap_table *table, const struct snap_column *column); /* a part of the primary key */
const struct snap_constraint *table_primary(const struct snap_table *table);           /* NULL: none */
const struct snap_column *table_key_column(const struct snap_table *table);        /* the whole primary key; NULL: none, or of several */
bool column_key(const struct snap_table *table, const struct snap_column *column); /* of a primary or foreign key, or named like one */
bool table_unique(const struct snap_table *table, const char *const *columns, size_t count); /* a key is among these columns */
bool table_readable(const struct snap_table *table); /* tables, views: no partitions, no foreign tables */

#endif
