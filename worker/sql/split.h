/* split.h - a script as its statements: text, place and typed parse tree of each.
 *
 * Text that does not parse is a result, not an error: `fault` says what and where, and the statements that do parse are still listed. */
#ifndef AUTODB_SQL_SPLIT_H
#define AUTODB_SQL_SPLIT_H

#include <pg_query/pg_query.pb-c.h>

#include "common/arena.h"
#include "common/error.h"
#include "worker/sql/guard.h"

struct sql_place {
  size_t offset;
  int line, column;
}; /* bytes; 1-based lines and columns, columns in characters */

struct sql_statement {
  const char *text; /* from its first token to its last: no comments around it, no semicolon */
  size_t length;    /* bytes */
  struct sql_place at;
  PgQuery__Node *node;
};

struct sql_fault {
  const char *sqlstate;
  const char *message;
  struct sql_place at;
}; /* sqlstate NULL: none */

struct sql_script {
  struct sql_statement *statements;
  size_t count;
  struct sql_fault fault;
};

/* Everything lives in the arena; the only failure is running out of memory. */
MUST_CHECK enum status sql_split(const char *sql, size_t len, struct arena *arena, struct sql_script *ret_script, struct error *err);

#endif
