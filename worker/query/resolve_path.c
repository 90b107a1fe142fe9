/* resolve_path.c - the schemas in which names without one are looked for; see query_on_path. */
#include "common/json.h"
#include "worker/query/resolve_impl.h"

bool query_on_path(const struct query_resolution *resolution, const char *schema) {
  for (size_t i = 0; i < resolution->path_count; i++)
    if (strcmp(resolution->path[i], schema) == 0) return true;
  return false;
}

void resolve_note_path(struct resolver *r, const char *schema) {
  if (query_on_path(r->out, schema)) return;
  const char **place = RESOLVE_ADD(r, r->out->path, r->out->path_count);
  if (place) *place = schema;
}

static bool is_kept(const struct snapshot *snapshot, const char *schema) {
  const json_t *kept = json_object_get(snapshot->json, "schemas"), *name;
  size_t index;
  if (!json_is_array(kept)) return true;
  json_array_foreach(kept, index, name) if (strcmp(json_string_value(name) ? json_string_value(name) : "", schema) == 0) return true;
  return false;
}

static bool is_home(const struct snapshot *snapshot, const char *schema) {
  for (size_t i = 0; i < snapshot->extension_count; i++)
    if (strcmp(snapshot->extensions[i].schema, schema) == 0) return true;
  return false;
}

void resolve_begin_path(struct resolver *r) {
  const json_t *path = json_object_get(r->snapshot->json, "search_path_schemas"), *item;
  size_t index;
  for (int homes = 0; homes < 2; homes++) json_array_foreach(path, index, item) {
      const char *schema = json_string_value(item);
      if (!schema || strncmp(schema, "pg_", 3) == 0) continue;
      if (homes ? is_home(r->snapshot, schema) : is_kept(r->snapshot, schema)) resolve_note_path(r, schema);
    }
}

/* A call without schema can only be of a function on the path: one of that name elsewhere does not stand in its way. */
void resolve_settle_functions(struct resolver *r) {
  for (size_t i = 0; i < r->out->function_count; i++) {
    struct query_function *function = &r->out->functions[i];
    if (!function->schema && function->function && function->builtin)
      function->function = resolve_user_function(r, NULL, function->name, function->arguments, false);
  }
}
