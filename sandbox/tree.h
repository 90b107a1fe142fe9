/* tree.h - copies and removes directories that may have been written by somebody hostile: no link is followed, nothing but plain files is
 * opened, depth and bytes are bounded. */
#ifndef AUTODB_SANDBOX_TREE_H
#define AUTODB_SANDBOX_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_DEPTH_MAX 8 /* a data directory has four levels */

struct tree_copy {
  int64_t bytes_left;   /* in: at most so many; out: what is left of them */
  const char *last_wal; /* NULL: copy all; else files in pg_wal named beyond this one are left out: they hold nothing yet */
};
/* Copies what is in `from` into the empty directory `to`, files as 0600 and directories as 0700, without the marks of a running server.
 * Takes both descriptors; false when anything is missing, odd or too much. */
bool tree_copy(int from, int to, struct tree_copy *copy);
bool tree_copy_file(int from, int to, const char *name, struct tree_copy *copy);
/* Removes `name` and all in it, as far as it can. */
void tree_remove(int at, const char *name);

#endif
