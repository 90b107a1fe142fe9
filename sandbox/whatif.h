/* whatif.h - a sandbox that plans like production and holds none of its rows.
 *
 * The planner knows tables by three things: the catalogs, pg_statistic and the length of their files. The first comes with the clone. The
 * second is production's own pg_stats, read through whatif_read_*_sql and written here into pg_statistic. The third is a sparse file of
 * that length: it costs no disk, and pages of zeros are valid, empty pages (RelationGetNumberOfBlocks() in
 * src/backend/storage/buffer/bufmgr.c, estimate_rel_size() in src/backend/optimizer/util/plancat.c). B-trees get a skeleton of one page a
 * level, so that descending costs what it costs in production (btcostestimate() in src/backend/utils/adt/selfuncs.c) and the planner's own
 * probe for a column's extremes finds an empty index instead of a damaged one.
 *
 * An index that isn't there is tried by making it for real while its table's file is empty, which takes about a millisecond whatever the
 * table "holds", and giving it the size it would have. So every kind of index can be asked about, on every major, partial, covering, over
 * expressions.
 *
 * Nothing may ever read the tables' rows: explain, never execute. What can't be brought over: extended statistics' data (their types have
 * no input function), and values of composite types and ranges made by the client, whose input functions would run its code. */
#ifndef AUTODB_SANDBOX_WHATIF_H
#define AUTODB_SANDBOX_WHATIF_H

#include "sandbox/sandbox.h"

/* --- what to ask production's server: catalogs alone, no relation is opened --- */

/* $1: NULL for all user relations, or text[] of "schema.name" as tables are written in snapshots (unquoted). Each answers one row with one
 * JSON array, below. A role sees statistics of what it may SELECT. Of relations, $2: whether files are measured, which waits for whoever
 * holds ACCESS EXCLUSIVE; false: sizes are those of the last VACUUM or ANALYZE. */
extern const char whatif_read_relations_sql[];
const char *whatif_read_columns_sql(int version_num); /* what there is of ranges is shown since 17 */
/* One row, one JSON object: the settings that plans depend on, by name; and "lc_collate". No parameters. */
extern const char whatif_read_settings_sql[];

/* relations: [{"s": schema, "n": name, "pages" (pg_class.relpages), "length"? (of the file, in pages; absent: pages), "rows" (-1: never
 * counted), "visible" (pages), "height"?}] of tables, materialised views and indexes; height is of a B-tree: levels above its leaves;
 * absent, it is worked out from the pages. columns:   [{"s", "t": table or index, "c": column, "inh": of a parent with its children,
 * "null", "width", "distinct", "mcv", "mcf", "hist", "corr", "mce", "mcef", "ech", "rlh", "ref", "rbh"}]: pg_stats by its own texts, null
 * where it has none. */
struct whatif_report {
  int relations, columns; /* brought over */
  json_t *problems;       /* [{"relation", "column"?, "message"}]: at most 100 */
};

struct whatif; /* borrows the sandbox */

/* On a sandbox just cloned. Takes over its database's collation rules ("C" or not) from settings (an object as whatif_read_settings_sql
 * gives it; may be NULL). */
MUST_CHECK enum status whatif_new(struct sandbox *sandbox, const json_t *settings, struct arena *arena, struct whatif **ret_whatif,
                                  struct error *err);
void whatif_free(struct whatif *whatif); /* NULL is fine */
static inline void whatif_freep(struct whatif **whatif) {
  whatif_free(*whatif);
  *whatif = NULL;
}
#define WHATIF_AUTO __attribute__((cleanup(whatif_freep))) struct whatif *

/* Sizes and column statistics. What the clone doesn't have is passed over. */
MUST_CHECK enum status whatif_import(struct whatif *whatif, const json_t *relations, const json_t *columns,
                                     struct whatif_report *ret_report, struct error *err);
/* Column statistics alone; replaces what the columns had. */
MUST_CHECK enum status whatif_columns(struct whatif *whatif, const json_t *columns, struct whatif_report *ret_report, struct error *err);

/* The session to explain in: not a superuser, with production's settings; borrowed. EXPLAIN only. */
PGconn *whatif_session(struct whatif *whatif);

/* Runs CREATE INDEX statements (never CONCURRENTLY) on one table while it is empty; a refusal (no operator class, not immutable, …) is
 * ERR_VALIDATION with the server's words, and nothing was made. ret_made: ["schema.index", …] in the arena: one, or with a partitioned
 * table those of its partitions as well. Until whatif_sizes gives them sizes they count as tiny. */
MUST_CHECK enum status whatif_create_index(struct whatif *whatif, const char *schema, const char *table, const char *sql, json_t **ret_made,
                                           struct error *err);
/* Several on one table without partitions, which is emptied once. ret_refused[i]: the server would not make the i-th. */
MUST_CHECK enum status whatif_create_indexes(struct whatif *whatif, const char *schema, const char *table, const char *const *sqls,
                                             size_t count, bool *ret_refused, struct error *err);
/* Sizes of relations, as in whatif_import. */
MUST_CHECK enum status whatif_sizes(struct whatif *whatif, const json_t *relations, struct whatif_report *ret_report, struct error *err);
MUST_CHECK enum status whatif_drop_index(struct whatif *whatif, const char *schema, const char *index, struct error *err);
/* Hidden: the planner sees no such index, for as long as it is hidden. */
MUST_CHECK enum status whatif_hide_index(struct whatif *whatif, const char *schema, const char *index, bool hidden, struct error *err);
/* The same of many: [{"s", "n", "hidden"}]. What isn't there is passed over. */
MUST_CHECK enum status whatif_hide_indexes(struct whatif *whatif, const json_t *indexes, struct error *err);

/* Levels above the leaves of a B-tree of that many pages in all, whose keys take that many bytes (0: unknown): inner pages are filled to 70
 * % (BTREE_NONLEAF_FILLFACTOR in src/include/access/nbtree.h) with index tuples and their line pointers. */
int whatif_btree_height(int64_t pages, double key_bytes);

#endif
