/* execution.h - what has become of a migration.execute (contract section 4), printed for people. */
#ifndef AUTODB_EXECUTION_REPORT_H
#define AUTODB_EXECUTION_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The job's result, or the details of its error, which hold the same: a line for each statement, then who was in the way and how the schema
 * differs, where they say so. Members that are absent print nothing. */
void execution_print(FILE *out, const json_t *report);
/* The whole of it for `autodb execute` and `autodb job`: the job as it is, or the report above; and the error, with what to do about it.
 * The exit code. */
int execution_show(const json_t *job, bool as_json);
/* What to do about a failure of that code; NULL when the message says it all. */
const char *execution_hint(const char *code);

#endif
