/* term.h - text for people: wrapped to a width, in colour where that is wanted, with nothing in it that steers a terminal. */
#ifndef AUTODB_TERM_H
#define AUTODB_TERM_H

#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"

struct term {
  FILE *out;
  int width; /* columns, 72 to 100 */
  bool colour;
};
enum term_style { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_GREEN, TERM_YELLOW, TERM_RED, TERM_MAGENTA, TERM_CYAN };

void term_init(struct term *term, FILE *out);
/* As printf, styled; control characters that arguments bring in are shown as "?" (newlines are kept). */
void term_printf(const struct term *term, enum term_style style, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* `label` in columns `indent`…`column`, then text wrapped between `column` and the width. Newlines in text begin new lines. */
void term_para(const struct term *term, int indent, int column, enum term_style label_style, const char *label, enum term_style style,
               const char *text);
/* Lines as they are, each behind `indent` spaces: scripts, which people copy. */
void term_block(const struct term *term, int indent, enum term_style style, const char *text);
/* A heading: bold, an empty line before it. */
void term_heading(const struct term *term, const char *title);

#endif
