/* pg.h - blocking libpq for code that reads top to bottom: slots, the CLI, tests.
 *
 * Parameters are always bound (text format; NULL is SQL NULL); results are text unless said otherwise. */
#ifndef AUTODB_PG_H
#define AUTODB_PG_H

#include <libpq-fe.h>

#include "arena.h"
#include "error.h"

static inline void pg_clearp(PGresult **res) {
  PQclear(*res);
  *res = NULL;
}
static inline void pg_finishp(PGconn **conn) {
  PQfinish(*conn);
  *conn = NULL;
}
#define PGRESULT_AUTO __attribute__((cleanup(pg_clearp))) PGresult *
#define PGCONN_AUTO __attribute__((cleanup(pg_finishp))) PGconn *

/* Connects to AutoDB's own database (conninfo is trusted; policy for client databases is in clientdb.h). application_name is
 * set to "autodb <who>". Failure is ERR_UNAVAILABLE with the server's reason, passwords removed. */
MUST_CHECK enum status pg_connect(const char *conninfo, const char *who, PGconn **ret_conn, struct error *err);

/* One statement by the extended protocol. Failure is as pg_error says. */
MUST_CHECK enum status pg_query(PGconn *conn, const char *sql, int nparams, const char *const *params, PGresult **ret_res,
                                struct error *err);
/* As pg_query, of a statement that the session keeps, planned once: for what runs again and again. A session that has not got it is given
 * all of its set (ends with a NULL name), so of a set only the first to run must not be in a transaction. */
struct pg_kept {
  const char *name, *sql;
};
MUST_CHECK enum status pg_query_kept(PGconn *conn, const struct pg_kept *set, size_t index, int nparams, const char *const *params,
                                     PGresult **ret_res, struct error *err);
/* As pg_query, for statements whose rows nobody reads. */
MUST_CHECK enum status pg_exec(PGconn *conn, const char *sql, int nparams, const char *const *params, struct error *err);
/* Several statements in one simple-protocol message: our own fixed text only. */
MUST_CHECK enum status pg_script(PGconn *conn, const char *sql, struct error *err);

/* Fills err from a failed result (or, res NULL, from the connection) and returns its status. ERR_UNAVAILABLE: a lost connection and the
 * classes 08, 40, 53, 57P0x and 58, where trying again may help. ERR_INTERNAL: class XX and libpq's own refusals. ERR_VALIDATION: all
 * others, which are the statement's fault. The message is the server's; details are {"sqlstate","message","detail","hint","position"}
 * (position in characters, from 1), each null when the server gave none. */
enum status pg_error(const PGconn *conn, const PGresult *res, struct error *err);
/* Replaces every occurrence of `secret` in the message and the details by "***": the last line of defence before an error leaves.
 * NULL and "" are no secrets. */
void pg_scrub(struct error *err, const char *secret);
/* Checks conninfo without connecting; ret_password (may be NULL) gets a malloc'd copy of its password, or NULL. The text is never echoed.
 */
MUST_CHECK enum status pg_conninfo_check(const char *conninfo, char **ret_password, struct error *err);
const char *pg_sqlstate(const PGresult *res); /* "" when none */

/* Values of a row; NULL for SQL NULL; pg_str borrows from res. */
const char *pg_str(const PGresult *res, int row, int col);
long long pg_int(const PGresult *res, int row, int col, long long otherwise);
bool pg_bool(const PGresult *res, int row, int col);
/* bytea in text format decoded into the arena; NULL for SQL NULL or when out of memory. */
void *pg_bytes(const PGresult *res, int row, int col, struct arena *arena, size_t *ret_len);
double pg_float8(const char *bytes); /* of a float8 in binary format: eight bytes, network order */
/* A bytea parameter: "\x…" text in the arena. */
char *pg_bytea_param(struct arena *arena, const void *data, size_t len);
/* {"a","b"} text-array parameter from strings; NULL is SQL NULL. */
char *pg_array_param(struct arena *arena, const char *const *items, size_t count);

#endif
