/* versions.h - statements that the client's server is too old for, or too new.
 *
 * Statements are parsed by the grammar of one PostgreSQL major (PG_MAJORVERSION of libpg_query), whatever the client runs. What its
 * server refuses for its version alone is a certain failure with the server's own SQLSTATE, and a finding. */
#ifndef AUTODB_MIGRATION_VERSIONS_H
#define AUTODB_MIGRATION_VERSIONS_H

#include "worker/migration/forms/forms.h"

/* Records what form->shadow->version refuses of the statement, first what its parser refuses. */
void versions_apply(struct form *form, PgQuery__Node *statement);
/* A syntax error for a server newer than the parser may be none for the server: says so in the fault. */
void versions_explain(int version, struct arena *arena, struct sql_fault *fault);
/* Rows known, for the test that has a statement for each. */
size_t versions_count(void);

#endif
