/* document.h - documents of the tree that are made from a table in the sources. Included by test programs. */
#ifndef AUTODB_TESTS_DOCUMENT_H
#define AUTODB_TESTS_DOCUMENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants some of the above first
#include <cmocka.h>

/* Fails unless the file (relative to the source tree) says what is fresh; with AUTODB_WRITE_DOCUMENTS it is written. */
static inline void document_is(const char *relative, const char *fresh) {
  char path[300];
  size_t length = strlen(fresh);
  bool write = getenv("AUTODB_WRITE_DOCUMENTS") != NULL, same;
  snprintf(path, sizeof path, AUTODB_SOURCE_DIR "/%s", relative);
  FILE *file = fopen(path, write ? "we" : "re");
  if (!file) fail_msg("%s can't be opened", path);
  char *stored = calloc(1, length + 2);
  same = write ? fwrite(fresh, 1, length, file) == length : fread(stored, 1, length + 1, file) == length && !memcmp(stored, fresh, length);
  same &= fclose(file) == 0;
  free(stored);
  if (!same) fail_msg("%s is not what the sources say: deploy/check/rules --fix", relative);
}

#endif
