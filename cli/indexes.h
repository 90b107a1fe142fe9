/* indexes.h - indexes to make and to drop, for a terminal. */
#ifndef AUTODB_CLI_INDEXES_H
#define AUTODB_CLI_INDEXES_H

#include "cli/term.h"

/* index_recommendations, drop_candidates and what else is recommended, of a result of query.optimize or workload.optimize; nothing when
 * there are none. */
void indexes_print(const struct term *term, const json_t *result);
/* 123456 as "120.6 kB". */
const char *indexes_bytes(double bytes, char out[24]);
/* 1234567 as "1,234,567". */
const char *indexes_number(double value, char out[40]);

/* A whole result of workload.optimize. */
void workload_print(const struct term *term, const json_t *result);

#endif
