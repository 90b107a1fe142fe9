/* ddl.h - a database's schema as a script, told by its catalogs alone: for servers that no pg_dump at hand is new enough for.
 *
 * What pg_dump --schema-only would write, in another order and other words: schemas, extensions, types, collations, functions, operators,
 * casts, sequences, tables, partitions, defaults, constraints, indexes, views, rules, triggers, policies, statistics, publications, event
 * triggers, foreign servers and tables, text search dictionaries and configurations, owners, comments, privileges. Not written: base types,
 * operator classes, conversions, languages, transforms and subscriptions that no extension brings, and user mappings (their options hold
 * passwords).
 *
 * The server prints every definition (pg_get_*def); here they are put in an order in which each finds what it needs. Nothing of the
 * client's is run, no table is read. pg_dump stays the first choice: it knows every corner of every version. */
#ifndef AUTODB_DDL_H
#define AUTODB_DDL_H

#include <libpq-fe.h>

#include "common/arena.h"
#include "common/error.h"

/* namespaces: an oid[] literal, or NULL for every schema that isn't the system's. The session's search_path must be pg_catalog: names come
 * out qualified then. Equal schemas give equal texts. ERR_TOO_LARGE beyond LIMIT_DUMP_BYTES. */
MUST_CHECK enum status ddl_script(PGconn *conn, const char *namespaces, struct arena *arena, const char **ret_sql, struct error *err);

#endif
