/* A migration over the schema of the measured cases: report, way back and rewritten script, whatever the text. Runs in the top folder. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/support/hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct snapshot *schema(void) {
  static struct snapshot *snapshot;
  static struct arena *arena;
  ERROR_AUTO err = {0};
  if (snapshot) return snapshot;
  arena = arena_new((size_t)64 << 20);
  json_t *json = arena_json(arena, json_load_file("tests/fixtures/migrations/ddl.snapshot.json", 0, NULL));
  if (!json || snapshot_load(json, arena, &snapshot, &err)) abort();
  return snapshot;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *wrong = hostile_try(schema(), &(struct analysis_options){0}, (const char *)data, size);
  if (wrong) {
    fprintf(stderr, "%s\n", wrong);
    abort();
  }
  return 0;
}
