/* journal.h - the record in AutoDB's own database: committed before each step and after it (schema/0002_execution.sql).
 *
 * Everything is written under the attempt's fence: once a later attempt has opened the journal, an earlier one that still runs can write
 * nothing more and stops (EXECUTION_FENCED). A dry run leaves nothing behind, and has no journal. */
#ifndef AUTODB_EXECUTE_JOURNAL_H
#define AUTODB_EXECUTE_JOURNAL_H

#include "worker/execute/execution.h"

/* Makes the record, or takes over the one of an earlier attempt: fills in the plan's statuses and the units' facts. */
MUST_CHECK enum status journal_open(struct execution *x, struct error *err);
/* Writes a unit as it is in memory. A connection to our own database that was lost is tried again, once. */
MUST_CHECK enum status journal_write(struct execution *x, const struct unit *unit, struct error *err);
/* All is applied. */
MUST_CHECK enum status journal_close(struct execution *x, struct error *err);

#endif
