/* execution.h - one run of one approved migration, as the files of this folder share it. */
#ifndef AUTODB_EXECUTION_H
#define AUTODB_EXECUTION_H

#include "worker/execute/execute.h"
#include "worker/execute/plan.h"
#include "worker/execute/session.h"

#define EXECUTE_LOCK_TIMEOUT_MS 3000 /* defaults of the options */
#define EXECUTE_LOCK_RETRIES 10
#define EXECUTE_BACKOFF_BASE_MS 250 /* before another try for a lock: doubled each time, half of it random */
#define EXECUTE_BACKOFF_CAP_MS 15000
#define EXECUTE_CANCEL_MS 500 /* what a cancelled statement gets to end; the slot is killed a second after it is told */
#define EXECUTE_RECONNECTS 3
#define EXECUTE_RECONNECT_MS 30000
#define EXECUTE_BUSY_MS 3000           /* wait for another execution on the same database */
#define EXECUTE_SETTLE_MS 15000        /* for a session of ours to be gone once it was told to go */
#define EXECUTE_ORPHAN_MS (600 * 1000) /* what a statement outside of a transaction gets to end by itself when its client has died */
#define EXECUTE_NOTICES 100            /* lines kept */
#define EXECUTE_TEXT_BYTES 2000        /* of one text of the server: a notice, a detail, a query */
#define EXECUTE_DIFF_BYTES (256 * 1024)

struct execution {
  struct job *job;
  const struct execute_hooks *hooks;
  const char *sql;
  size_t sql_len;
  const char *snapshot_id, *fingerprint; /* what was analysed, as the token says */
  const struct snapshot *snapshot;
  const char *sql_sha256;
  int lock_timeout_ms, statement_timeout_ms, lock_retries; /* statement_timeout_ms 0: none */
  bool dry_run;
  struct plan plan;
  struct session session;
  struct blockers *blockers; /* who was in our way last */
  int reconnects;
  bool resumed;       /* an earlier attempt left something applied */
  bool rolled_back;   /* a transaction was */
  int64_t started_ms; /* wall clock; of the first attempt */
  size_t at;          /* step that runs, or failed */
  const char *snapshot_after, *warning;
};

/* A boundary; see execute.h. */
void execution_at(const struct execution *x, const char *point);
void execution_progress(const struct execution *x, size_t step, const char *message);

#endif
