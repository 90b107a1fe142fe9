/* session_impl.h - what the files of the guarded session share. Private to worker/query. */
#ifndef AUTODB_QUERY_SESSION_IMPL_H
#define AUTODB_QUERY_SESSION_IMPL_H

#include "worker/query/session.h"

struct query_session {
  PGconn *conn; /* NULL once dropped */
  const struct config *cfg;
  int version; /* server_version_num */
  bool in_transaction;
  bool role_checked; /* and found to only read */
  int statement_ms;  /* of the transaction */
  int64_t began_ms;  /* the transaction, on the monotonic clock */
};

/* Rows are handed over one by one as they come; false stops: the statement is cancelled. */
typedef bool (*session_row)(void *arg, const PGresult *row);

/* Sends one statement by the extended protocol and waits, against the server's timeout and then our own. With each: in single-row mode,
 * rows go to it and ret_res is the last, empty result; NULL: the whole result. The caller clears ret_res. */
MUST_CHECK enum status session_wait(struct query_session *session, const char *sql, int nparams, const char *const *params,
                                    session_row each, void *arg, PGresult **ret_res, struct error *err);
/* Prepares the unnamed statement and describes it: what it returns, without running it. */
MUST_CHECK enum status session_describe(struct query_session *session, const char *sql, PGresult **ret_res, struct error *err);
/* A failed statement as the job's error: STATEMENT_TIMEOUT, EXECUTION_FAILED, or unavailable. */
enum status session_failed(struct query_session *session, const PGresult *res, struct error *err);
void session_drop(struct query_session *session);
/* A GUARDRAIL_VIOLATION with one violation; status as given. */
enum status session_refuse(struct error *err, enum status status, const char *layer, const char *rule, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* Whether the transaction is still ours; else the connection is dropped: GUARDRAIL_VIOLATION (layer "transaction"). */
MUST_CHECK enum status session_inside(struct query_session *session, struct error *err);
/* Makes the open transaction fit for a statement as query_session_begin would: its schemas, its time; or begins another. */
MUST_CHECK enum status session_continue(struct query_session *session, const char *path, int statement_ms, struct error *err);
/* Ends the transaction, keeping the error that `status` came with unless ending it is the worse news. */
enum status session_finish(struct query_session *session, enum status status, struct error *err);

#endif
