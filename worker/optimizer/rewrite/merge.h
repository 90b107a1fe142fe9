/* merge.h - a changed query in its author's words.
 *
 * Trees are printed without comments and on one line. So the printed original and the printed rewrite are compared token by token, and what
 * differs is put into the author's text, which keeps its layout, comments, and spelling everywhere else. The result is parsed and printed
 * again: only when that is the rewrite exactly, it is taken; else the rewrite stays as it was printed. */
#ifndef AUTODB_REWRITE_MERGE_H
#define AUTODB_REWRITE_MERGE_H

#include "common/arena.h"

/* `source`: what the author wrote; `before`, `after`: printed, without and with the change. NULL only when memory is short. */
const char *merge_text(const char *source, const char *before, const char *after, struct arena *arena);

#endif
