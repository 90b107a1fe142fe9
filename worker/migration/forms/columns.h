/* forms/columns.h - whether the columns that expressions and queries name are there. */
#ifndef AUTODB_COLUMNS_H
#define AUTODB_COLUMNS_H

#include "worker/migration/forms/forms.h"

/* Certain failures (42703) for columns that `expression` names and rel has not. Subqueries are left alone. */
void columns_need(struct form *form, const struct rel *rel, PgQuery__Node *expression);
bool columns_system(const char *name); /* ctid and its kin */
/* A DEFAULT names no column and asks no query (0A000). */
void columns_default(struct form *form, PgQuery__Node *expression);
/* The same of what a statement names: queries over tables alone, column lists of triggers, statistics, grants, publications, COPY. */
void columns_apply(struct form *form, PgQuery__Node *statement);

#endif
