/* choice_impl.h - what choosing (choice.c) and its costs (choice_cost.c) share. */
#ifndef AUTODB_OPTIMIZER_CHOICE_IMPL_H
#define AUTODB_OPTIMIZER_CHOICE_IMPL_H

#include "worker/optimizer/choice.h"

static inline struct candidate *at(const struct choice *choice, size_t index) { return choice->candidates->list.items[index]; }
static inline size_t candidate_count(const struct choice *choice) { return choice->candidates->list.count; }

/* Whether the query reads or writes the candidate's table. */
bool choice_concerns(const struct workload_query *query, const struct candidate *candidate);

#endif
