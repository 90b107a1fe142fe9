/* notice.h - what is worth a remark in how a statement is written, apart from what it locks, reads and rewrites: column types, privileges,
 * switches that change behaviour. Facts only; rules_table.c has the words. */
#ifndef AUTODB_NOTICE_H
#define AUTODB_NOTICE_H

#include "worker/migration/forms/forms.h"

/* After the statement's form was applied: adds facts to its effect. */
void notice_apply(struct shadow *shadow, const struct sql_statement *statement, struct effect *effect);

#endif
