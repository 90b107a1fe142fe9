/* parameters.h - statements as pg_stat_statements shows them. It puts $1 and so on in the place of every constant, also of one behind a
 * type's name ("interval $1", "date $2"), where the grammar takes a string alone. */
#ifndef AUTODB_SQL_PARAMETERS_H
#define AUTODB_SQL_PARAMETERS_H

#include "common/arena.h"

/* "interval $1" as "CAST($1 AS interval)"; the text itself when there is none, or when it can't be scanned. NULL: memory is gone. */
const char *sql_typed_parameters(const char *sql, struct arena *arena);

#endif
