/* A generated statement: size, parse, names, lists. What is accepted is a SELECT whose every call is listed. */
#include "worker/query/allow.h"

#include <stdint.h>
#include <stdlib.h>

#include "worker/sql/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct snapshot *schema(void) {
  static struct snapshot *snapshot;
  static struct error err;
  if (snapshot) return snapshot;
  static struct arena *arena; /* kept, like what is in it */
  arena = arena_new((size_t)256 << 20);
  json_t *json = arena_json(arena, json_load_file("tests/fixtures/migrations/ddl.snapshot.json", 0, NULL));
  if (json && !json_object_get(json, "operators")) json_object_set_new(json, "operators", json_array());
  if (json && !json_object_get(json, "casts")) json_object_set_new(json, "casts", json_array());
  if (!json || snapshot_load(json, arena, &snapshot, &err)) abort();
  return snapshot;
}

static bool look(void *arg, PgQuery__Node *node) {
  (void)arg;
  const char *place, *name;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return true;
  sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &place, &name);
  const struct builtin *builtin = name ? builtin_function("", name) : NULL;
  if (builtin && !guard_allows_builtin(builtin, NULL)) abort();
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const struct snapshot *snapshot = schema();
  ARENA_AUTO arena = arena_new((size_t)64 << 20);
  ERROR_AUTO err = {0};
  struct guarded *guarded;
  char *text = arena_strndup(arena, (const char *)data, size);
  if (!text || guard_check(snapshot, text, size, NULL, arena, &guarded, &err)) return 0;
  sql_walk_message(&guarded->select->base, look, NULL);
  return 0;
}
