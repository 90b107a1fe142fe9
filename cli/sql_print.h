/* sql_print.h - a query in a terminal: its own lines, those that are too long broken where that changes nothing. */
#ifndef AUTODB_CLI_SQL_PRINT_H
#define AUTODB_CLI_SQL_PRINT_H

#include "cli/term.h"

/* Lines behind `indent` spaces. A line is broken at blanks outside of quotes, before a clause if there is one; never when it holds a
 * comment. */
void sql_print(const struct term *term, int indent, const char *sql);

#endif
