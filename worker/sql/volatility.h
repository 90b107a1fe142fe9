/* volatility.h - whether an expression gives another value for every row, which decides between a metadata change and a rewrite. */
#ifndef AUTODB_SQL_VOLATILITY_H
#define AUTODB_SQL_VOLATILITY_H

#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>

#include "worker/schema/snapshot.h"

/* True when a VOLATILE function is called: a built-in known to be, or one the snapshot says is. Functions neither knows are built-ins
 * of the many that are not. ret_name (may be NULL) is the function found. */
bool sql_volatile(const struct snapshot *snapshot, PgQuery__Node *expression, const char **ret_name);
/* 'i', 's' or 'v'. */
char sql_function_volatility(const struct snapshot *snapshot, const char *schema, const char *name);

#endif
