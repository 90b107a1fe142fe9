/* catalog_sql.h - what is asked of a client's catalogs: one row per catalog, read in this order.
 *
 * Every query takes $1 = oid[] of the schemas to read, runs with search_path pg_catalog and returns four columns:
 *   self    oid of the relation or index this row makes, so that later rows can name it; or NULL
 *   parent  oid of a relation or index that came before, or NULL for the snapshot itself; rows of unknown parents are dropped
 *   key     where in the parent the value goes: appended when an array is there, else set; NULL: its members are merged into
 *           the parent; "@columns": an object by column name, each becoming that column's "stats"
 *   value   JSON, built by the server
 * Structure is read first and is what the fingerprint covers; what changes without DDL comes after it. A table or schema appears under
 * the names of GET /connections/{id}/schema; additions are free. To read one more catalog: a query and a row. */
#ifndef AUTODB_CATALOG_SQL_H
#define AUTODB_CATALOG_SQL_H

#include <stdbool.h>

struct catalog_query {
  const char *step; /* for progress and messages: "indexes" */
  int from, to;     /* server majors */
  bool structure;   /* false: statistics, which may fail: the snapshot then lacks them and says so */
  const char *sql;
};
extern const struct catalog_query catalog_queries[];
extern const int catalog_query_count;

/* $1 text[] excluded, $2 text[] wanted or NULL: oid, name, JSON. */
extern const char catalog_schemas_sql[];
/* First in the transaction, with names that no search path can bend: schemas of the search path as name[], time zone. */
extern const char catalog_session_sql[];
/* Second: settings that change how catalogs print, and timeouts, for this transaction. */
extern const char catalog_guard_sql[];
/* $1 = the name[] above: JSON of the database, search path as text, search path as JSON array, whether there are extensions. */
extern const char catalog_database_sql[];
/* One row: JSON object of settings that decide how DDL behaves. */
extern const char catalog_settings_sql[];

#endif
