/* textfile.h - small text files of the machine we run on: settings, keys, tokens. */
#ifndef AUTODB_TEXTFILE_H
#define AUTODB_TEXTFILE_H

#include "common/arena.h"

/* The whole file, in the arena. NULL and errno when it can't be read, is longer than `max` bytes (EFBIG) or holds a NUL (EILSEQ). */
char *textfile_read(struct arena *arena, const char *path, size_t max);
/* Without the blanks at both ends; cuts `text` itself. */
char *textfile_trim(char *text);

#endif
