/* blockers.h - who is in our way, seen from the second session while the first one waits. */
#ifndef AUTODB_EXECUTE_BLOCKERS_H
#define AUTODB_EXECUTE_BLOCKERS_H

#include "common/error.h"

struct execution;
struct blockers;

/* Asks when it is time to, takes what has come; never blocks. waited_ms is what the statement has been seen waiting for locks so far. */
void blockers_look(struct execution *x);
int blockers_socket(const struct execution *x);   /* -1: nothing to wait for */
int blockers_pause_ms(const struct execution *x); /* until the next question */
void blockers_begin(struct execution *x);         /* before a statement */
double blockers_end(struct execution *x);         /* after it: how long it waited */
/* [{pid, usename, application_name, state, query_start, transaction_start, query}], a new reference: those seen last. Text for people, NULL
 * when nobody was. */
json_t *blockers_json(const struct execution *x);
const char *blockers_text(const struct execution *x);

#endif
