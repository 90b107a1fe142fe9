/* generate.h - query.generate: a question in words becomes SQL, is checked, run and answered. */
#ifndef AUTODB_TEXT2SQL_GENERATE_H
#define AUTODB_TEXT2SQL_GENERATE_H

#include "worker/agent.h"

/* Result as contract section 5. A question that can't be answered is a result, too: its sql is null, and clarification or execution_error
 * says why. */
enum status generate_run(struct job *job, json_t **ret_result, struct error *err);

#endif
