/* A migration's text: guards, splitting, parsing; the statements lie within the text and in order. */
#include "worker/sql/split.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ARENA_AUTO arena = arena_new((size_t)256 << 20);
  ERROR_AUTO err = {0};
  struct sql_script script;
  char *text = arena_strndup(arena, (const char *)data, size);
  if (!text || sql_split(text, size, arena, &script, &err) != OK) return 0;
  size_t at = 0;
  for (size_t i = 0; i < script.count; i++) {
    if (script.statements[i].at.offset < at) abort();
    at = script.statements[i].at.offset + script.statements[i].length;
    if (at > size) abort();
  }
  return 0;
}
