/* A connection string: whatever passes must pass again in the form we store, to the same place. */
#include "common/clientdb.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ARENA_AUTO arena = arena_new((size_t)16 << 20);
  ERROR_AUTO err = {0};
  struct clientdb_target first, again;
  char *text = arena_strndup(arena, (const char *)data, size);
  if (!text || clientdb_parse(text, false, arena, &first, &err) != OK) return 0;
  if (clientdb_parse(first.normalized, false, arena, &again, &err) != OK) abort();
  if (strcmp(first.host, again.host) != 0 || first.port != again.port || strcmp(first.dbname, again.dbname) != 0) abort();
  return 0;
}
