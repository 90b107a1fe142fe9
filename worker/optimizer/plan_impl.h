/* plan_impl.h - between the files that make a plan's tree. */
#ifndef AUTODB_OPTIMIZER_PLAN_IMPL_H
#define AUTODB_OPTIMIZER_PLAN_IMPL_H

#include "common/list.h"
#include "worker/optimizer/plan.h"

double plan_field(const json_t *object, const char *name, double otherwise);
/* Fills every node's derived members. */
void plan_shares(struct query_plan *plan);

#endif
