/* preflight.h - asks the client's database what statistics can't say: the feasibility queries, read-only, on its real rows. */
#ifndef AUTODB_PREFLIGHT_H
#define AUTODB_PREFLIGHT_H

#include "worker/agent.h"
#include "worker/migration/analysis.h"

#define PREFLIGHT_STATEMENT_MS 5000 /* one query */
#define PREFLIGHT_TOTAL_MS 30000    /* all of them */
#define PREFLIGHT_LOCK_MS 1000      /* waiting for a lock somebody holds */

/* Runs the queries of all checks over a connection of its own and puts the answers into verdicts and scores. Never fails: what could not be
 * asked says why. A query about what an earlier statement makes or changes is not asked, since it isn't there yet. */
void preflight_run(struct job *job, struct analysis *analysis);
/* The same over an open connection, outside of a transaction. */
void preflight_ask(PGconn *conn, struct analysis *analysis);

#endif
