/* outcome.h - what has become of every statement, as the result or as the details of the error. */
#ifndef AUTODB_EXECUTE_OUTCOME_H
#define AUTODB_EXECUTE_OUTCOME_H

#include "worker/execute/run.h"

/* The contract's result; a new reference, NULL when out of memory. */
json_t *outcome_json(const struct execution *x);
/* Puts the report into the error's details, beside what is there. */
void outcome_attach(const struct execution *x, struct error *err);
/* The error of a statement that the server refused: code by SQLSTATE, place, who was in the way. Also kept with the step. */
enum status outcome_failure(struct execution *x, size_t step, const struct run *run, struct error *err);

#endif
