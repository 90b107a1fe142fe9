/* run.h - one statement on the client's database, watched while it runs. */
#ifndef AUTODB_EXECUTE_RUN_H
#define AUTODB_EXECUTE_RUN_H

#include "worker/execute/execution.h"

enum run_end {
  RUN_OK,
  RUN_FAILED,    /* the server said no; the connection is alive */
  RUN_LOST,      /* the connection is gone, and with it the answer */
  RUN_CANCELLED, /* we were told to stop, and the statement did */
};
struct run {
  enum run_end end;
  double duration_ms, lock_wait_ms;
  char tag[64];       /* "COMMIT" */
  struct error error; /* unless OK; its details live in the arena */
};
/* sql is one statement; its rows are thrown away. may_cancel false: it is let run to its end, but for EXECUTE_CANCEL_MS after we were told
 * to stop, when the connection is dropped (RUN_LOST). */
void run_statement(struct execution *x, const char *sql, bool may_cancel, struct run *ret_run);
/* Statements of ours around the script's (BEGIN, ROLLBACK, …). */
void run_ours(struct execution *x, const char *sql, struct run *ret_run);
const char *run_sqlstate(const struct run *run);
/* Sleeps; false when told to stop. */
bool run_pause(int ms);

#endif
