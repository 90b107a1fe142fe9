/* files.h - what the C library leaves to everybody about files. errno says why something failed. */
#ifndef AUTODB_FILES_H
#define AUTODB_FILES_H

#include <stdbool.h>
#include <stddef.h>

bool files_make_dirs(const char *path); /* with the parents that are missing; mode 0700 */
bool files_write_all(int fd, const void *data, size_t len);

#endif
