/* answer.h - rows as people and programs read them. */
#ifndef AUTODB_TEXT2SQL_ANSWER_H
#define AUTODB_TEXT2SQL_ANSWER_H

#include "common/arena.h"
#include "worker/query/session.h"

#define ANSWER_MARKDOWN_ROWS 50  /* rows shown; the note says how many there are */
#define ANSWER_MARKDOWN_CELL 120 /* columns of width shown of a cell; then "…" */

/* Sets "columns" (names), "column_types" (as the server prints them), "rows" (arrays of values in that order, typed as query_value_json
 * says), "row_count", "truncated" (rows are left out) and "values_cut" (how many values are longer than LIMIT_QUERY_CELL characters, and
 * only begin here). */
void answer_rows(json_t *answer, const struct query_result *result);

/* A GitHub-flavoured table, aligned in a terminal's columns: pipes, backslashes and what markdown or HTML would read escaped, control and
 * bidirectional characters shown as their code, newlines as ⏎, NULL as *NULL*, numbers to the right, wide cells cut; a note below when rows
 * are left out. NULL: out of memory. */
const char *answer_markdown(const struct query_result *result, struct arena *arena);
/* Any text on one line of markdown, escaped likewise. */
const char *answer_escape(const char *text, struct arena *arena);

#endif
