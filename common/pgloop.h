/* pgloop.h - libpq inside an event loop: pipelined, prepared, reconnecting.
 *
 * A pool holds a few connections to AutoDB's own database for one event base (one thread). Every query is its own implicit
 * transaction: it is sent with its own sync, so an error aborts nothing but itself, and many queries are on the wire at once.
 * Statements are prepared once per connection, on first use, under the address of their struct pg_stmt.
 *
 * Guarantees: each accepted query's callback runs exactly once, from the loop, never from inside pgloop_query. When a connection
 * breaks, its unanswered queries fail with ERR_UNAVAILABLE - their outcome is unknown, which for a write means "may have happened" -
 * and the connection comes back by itself with jittered backoff (LIMIT_RECONNECT_*). While none is up, new queries fail at once. */
#ifndef AUTODB_PGLOOP_H
#define AUTODB_PGLOOP_H

#include <event2/event.h>
#include <libpq-fe.h>

#include "buf.h"
#include "error.h"
#include "id.h"

struct pgloop;

/* A statement is a static object beside its caller. Its name appears in logs and metrics. */
struct pg_stmt {
  const char *name; /* short, unique in the program, [a-z_]+ */
  const char *sql;  /* one statement, $1… bound */
  int nparams;
};

/* Parameters in binary or text format, built by the pg_param_* helpers. Values are copied when the query is sent. One too many, one too
 * large, or a text with a NUL byte (which Postgres can't hold) marks the whole set as failed: pgloop_query then refuses it. */
#define PG_PARAMS_MAX 24
struct pg_params {
  int count;
  struct buf store; /* owns the bytes */
  struct {
    long offset;
    int len, format;
  } at[PG_PARAMS_MAX]; /* offset -1 = NULL */
};
void pg_params_init(struct pg_params *params);
void pg_params_free(struct pg_params *params);
#define PG_PARAMS_AUTO __attribute__((cleanup(pg_params_free))) struct pg_params
void pg_param_text(struct pg_params *params, const char *text); /* any type, in its text form; NULL = SQL NULL */
void pg_param_textn(struct pg_params *params, const char *text, size_t len);
void pg_param_uuid(struct pg_params *params, const struct id *id);           /* binary; NULL = SQL NULL */
void pg_param_int(struct pg_params *params, int32_t value);                  /* binary int4 */
void pg_param_bytes(struct pg_params *params, const void *data, size_t len); /* binary bytea */

/* One-dimensional array parameters in binary form, for batches: begin with the element type, add items, end.
 * The statement casts the parameter ($1::uuid[]). */
enum pg_elem { PG_ELEM_UUID = 2950, PG_ELEM_TEXT = 25, PG_ELEM_INT4 = 23, PG_ELEM_JSON = 114, PG_ELEM_BYTEA = 17 };
void pg_param_array_begin(struct pg_params *params, enum pg_elem type);
void pg_param_array_item(struct pg_params *params, const void *bytes, long len); /* already in binary form; len -1 = NULL */
void pg_param_array_int(struct pg_params *params, int32_t value);
void pg_param_array_end(struct pg_params *params);

/* Answer: res is borrowed for the call (text-format rows) and NULL on failure, when err says why (server errors as pg_error). */
typedef void (*pgloop_cb)(void *arg, const PGresult *res, const struct error *err);

/* `on_state(arg, up)` is called whenever the pool goes from no live connection to some, or back; may be NULL. */
MUST_CHECK enum status pgloop_new(struct event_base *base, const char *conninfo, const char *who, int connections,
                                  void (*on_state)(void *arg, bool up), void *arg, struct pgloop **ret_pool, struct error *err);
void pgloop_free(struct pgloop *pool); /* unanswered queries fail first; not from inside a pgloop_cb */
bool pgloop_up(const struct pgloop *pool);
int pgloop_inflight(const struct pgloop *pool);
/* Why a connection was last lost or not made, for logs and /readyz; "" when that never happened. Holds no password. */
const char *pgloop_why(const struct pgloop *pool);

/* Sends on the least loaded live connection. On failure (none is up, LIMIT_PG_INFLIGHT reached, params failed) cb is not called.
 * `deadline_ms` from now (0 = 30 s): past it the query fails with ERR_UNAVAILABLE and its connection is dropped. */
MUST_CHECK enum status pgloop_query(struct pgloop *pool, const struct pg_stmt *stmt, const struct pg_params *params, int deadline_ms,
                                    pgloop_cb cb, void *arg, struct error *err);

#endif
