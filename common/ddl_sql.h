/* ddl_sql.h - the questions ddl.c asks. Each takes $1 = oid[] of schemas.
 *
 * Makers return an object that has to be made: classid, objid (its address in pg_depend; partitions' attachments have classes of
 * their own, below 10), place (objects that need nothing of each other come in this order), sort key, and the statements. Another kind of
 * object: a query and a row; when something may depend on a part of it that has no row, a line in ddl_aliases_sql. */
#ifndef AUTODB_DDL_SQL_H
#define AUTODB_DDL_SQL_H

extern const char *const ddl_makers[]; /* ends with NULL */
/* classid, objid, classid, objid: the first is part of what the second makes. */
extern const char ddl_aliases_sql[];
/* classid, objid, classid, objid: the first needs the second. */
extern const char ddl_needs_sql[];
/* One column of statements that follow when everything is there. */
extern const char *const ddl_finishers[];
extern const char ddl_schemas_sql[]; /* oid[] of all */

#endif
