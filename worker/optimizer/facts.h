/* facts.h - what production's server knows of the tables a query reads: sizes, column statistics, how much is written to them.
 *
 * Read through the guarded session from catalogs and counters alone. The arrays are those of whatif.h, so the what-if server gets what
 * sizes and write costs are worked out from. */
#ifndef AUTODB_OPTIMIZER_FACTS_H
#define AUTODB_OPTIMIZER_FACTS_H

#include "common/arena.h"
#include "common/list.h"
#include "worker/query/session.h"
#include "worker/schema/snapshot.h"

LIST_TYPE(table_list, const struct snap_table *);

struct table_facts { /* counts; -1 unknown. Of a partitioned table: the sums of its partitions */
  double rows, pages, visible_pages;
  double inserted, updated, hot_updated, deleted; /* since the counters began */
  double changed_since_analyze, live_rows, dead_rows;
  bool analyzed; /* ever */
};

struct column_facts {
  double null_fraction, width, distinct; /* distinct: values, counted; 0 unknown. width of the values that are not NULL */
  double correlation;                    /* 0 unknown */
  const json_t *json;                    /* the row of whatif_read_columns_sql; NULL: there are no statistics */
};

struct written_column { /* of UPDATE … SET, from pg_stat_statements */
  const struct snap_table *table;
  const char *column;
  double calls;
};
LIST_TYPE(written_list, struct written_column);

struct facts {
  struct arena *arena;
  const struct snapshot *snapshot;
  int version_num;
  const json_t *relations, *columns, *settings; /* as whatif.h says */
  const json_t *activity;                       /* [{"s", "n", "ins", "upd", "hot", "del", "mod", "live", "dead", "analyzed"}] */
  double days;                                  /* since the counters began; 0 unknown */
  bool has_statements;                          /* pg_stat_statements could be read for UPDATEs */
  struct written_list written;
  bool has_hypopg;
  const char *hypopg_schema; /* quoted */
};

/* The tables named in a statement, with what they stand for: of views what they read, of partitioned tables their partitions, and of
 * partitions their parents. */
MUST_CHECK bool facts_tables(struct arena *arena, const struct snapshot *snapshot, PgQuery__Node *statement, struct table_list *tables);
/* A table for a list, once, with the same. */
MUST_CHECK bool facts_add_table(struct arena *arena, const struct snap_table *table, struct table_list *tables);

MUST_CHECK enum status facts_read(struct query_session *session, const struct snapshot *snapshot, const struct table_list *tables,
                                  struct arena *arena, struct facts **ret_facts, struct error *err);
/* The snapshot has the same indexes on these tables as the database now. */
bool facts_match_snapshot(const struct facts *facts, const struct table_list *tables);

struct table_facts facts_table(const struct facts *facts, const struct snap_table *table);
struct column_facts facts_column(const struct facts *facts, const struct snap_table *table, const char *column);
/* The share of the table's UPDATEs that set one of the columns the index mentions. *ret_known: statements were there to tell; else it is
 * taken that each sets one column, any of them alike. */
struct index_spec;
double facts_update_share(const struct facts *facts, const struct index_spec *spec, bool *ret_known);

#endif
