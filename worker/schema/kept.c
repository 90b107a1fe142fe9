/* kept.c - see kept.h. Uses are counted; what was replaced goes with its last use. */
#include "worker/schema/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)16 * 1024 * 1024)    /* of JSON text: some 4,000 tables */
#define MODEL_BYTES ((size_t)1024 * 1024 * 1024) /* RLIMIT_AS bounds it before that */

struct kept {
  char key[KEPT_KEY];
  struct arena *arena; /* holds the JSON, the model and what is beside it */
  struct snapshot *snapshot;
  void *beside;
  int uses; /* arenas, and being the one that is kept */
};
static struct kept *current;

static void release(void *arg) {
  struct kept *kept = arg;
  if (!kept || --kept->uses) return;
  arena_free(kept->arena);
  free(kept);
}

/* For as long as the arena lives. */
static struct snapshot *use(struct kept *kept, struct arena *arena) {
  kept->uses++;
  return arena_defer(arena, release, kept) == 0 ? kept->snapshot : NULL;
}

const char *kept_key(void) { return current ? current->key : ""; }

struct snapshot *kept_take(const char *key, struct arena *arena) {
  return current && strcmp(current->key, key) == 0 ? use(current, arena) : NULL;
}

void **kept_beside(const struct snapshot *snapshot, struct arena **ret_arena) {
  if (!current || current->snapshot != snapshot) return NULL;
  *ret_arena = current->arena;
  return &current->beside;
}

static enum status load(struct kept *kept, json_t *take_json, struct error *err) {
  kept->arena = arena_new(MODEL_BYTES);
  if (!kept->arena) {
    json_decref(take_json);
    return error_oom(err);
  }
  json_t *json = arena_json(kept->arena, take_json);
  return json ? snapshot_load(json, kept->arena, &kept->snapshot, err) : error_oom(err);
}

enum status kept_load(const char *key, json_t *take_json, size_t bytes, struct arena *arena, struct snapshot **ret_snapshot,
                      struct error *err) {
  struct kept *kept = calloc(1, sizeof *kept);
  if (!kept) {
    json_decref(take_json);
    return error_oom(err);
  }
  kept->uses = 1;
  snprintf(kept->key, sizeof kept->key, "%s", key);
  enum status status = load(kept, take_json, err);
  if (!status && !(*ret_snapshot = use(kept, arena))) status = error_oom(err);
  if (!status && bytes <= KEEP_BYTES) {
    struct kept *before = current;
    current = kept;
    kept = before;
  }
  release(kept);
  return status;
}
