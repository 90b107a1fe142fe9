/* values_live.h - words of a question looked up in the client's data: in the rows of tables small enough, among the most common values
 * that ANALYZE has noted of others. Runs a handful of statements, each with the texts as parameters. */
#ifndef AUTODB_VALUES_LIVE_H
#define AUTODB_VALUES_LIVE_H

#include <libpq-fe.h>

#include "worker/query/session.h"
#include "worker/text2sql/generator.h"

struct values_live {
  /* One statement in a read-only transaction with a timeout, as query_session_query() runs it. After a failure no more are sent. */
  enum status (*query)(void *session, const char *sql, int nparams, const char *const *params, PGresult **ret_res, struct error *err);
  void *session;
};

/* Over a guarded session that has begun its transaction. */
struct values_live values_live_session(struct query_session *session);
/* live is borrowed. */
struct value_source values_live_source(struct values_live *live);

/* The frequent values of text columns that have few: {"schema.table.column": ["…"]}, in the arena; NULL when there are none to be had. They
 * are rows of the client: only for who may see them (AUTODB_LLM_SAMPLES). The session is in a transaction. */
const json_t *values_live_samples(struct values_live *live, struct arena *arena, const struct snap_table *const *tables, size_t count);

#endif
