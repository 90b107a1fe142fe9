/* report.h - the result of migration.analyze, member for member as the contract has it. */
#ifndef AUTODB_MIGRATION_REPORT_H
#define AUTODB_MIGRATION_REPORT_H

#include "worker/migration/analysis.h"

/* New reference; sandbox_result (borrowed) may be NULL, and so may the token. */
json_t *report_json(const struct analysis *analysis, const char *connection_id, json_t *sandbox_result, const char *token,
                    const char *token_expires_at);

#endif
