/* A stored snapshot: whatever JSON it is, the model is built or refused. */
#include "common/json.h"
#include "worker/schema/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ARENA_AUTO arena = arena_new((size_t)64 << 20);
  ERROR_AUTO err = {0};
  struct snapshot *snapshot;
  json_t *json = json_loadb((const char *)data, size, 0, NULL);
  if (json && snapshot_load(json, arena, &snapshot, &err) == OK)
    for (size_t i = 0; i < snapshot->table_count; i++) (void)snapshot_table(snapshot, snapshot->tables[i].schema, snapshot->tables[i].name);
  json_decref(json);
  return 0;
}
