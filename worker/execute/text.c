/* text.c - see text.h. */
#include "worker/execute/text.h"

#include <pg_query.h>

#include "common/utf8.h"
#include "worker/execute/execution.h"
#include "worker/sql/guard.h"

json_t *text_json(const char *text) {
  if (!text) return json_null();
  char kept[EXECUTE_TEXT_BYTES + 4];
  size_t len = strnlen(text, sizeof kept), used = 0;
  for (size_t at = 0, step; at < len && used < EXECUTE_TEXT_BYTES; at += step) {
    size_t valid = utf8_char(text + at, len - at);
    step = valid ? valid : 1;
    if (used + step > EXECUTE_TEXT_BYTES) break;
    memcpy(kept + used, valid ? text + at : "?", step);
    used += step;
  }
  json_t *value = json_stringn(kept, used);
  return value ? value : json_null();
}

void text_bound(json_t *details) {
  const char *key;
  json_t *value;
  void *next;
  json_object_foreach_safe(details, next, key, value) if (json_is_string(value) && json_string_length(value) > EXECUTE_TEXT_BYTES)
      json_object_set_new(details, key, text_json(json_string_value(value)));
}

/* pg_stat_activity cuts a query at track_activity_query_size: what does not parse any more is shown by its first word. */
const char *text_query(struct arena *arena, const char *query) {
  struct sql_tokens tokens;
  if (!query) return NULL;
  size_t len = strnlen(query, EXECUTE_TEXT_BYTES), word = strspn(query, " \t\r\n");
  const char *copy = arena_strndup(arena, query, len), *shown = NULL;
  if (copy && !sql_guard_text(copy, len).sqlstate && sql_tokenize(copy, arena, &tokens) && !sql_guard_depth(&tokens).sqlstate) {
    PgQueryNormalizeResult result = pg_query_normalize(copy);
    if (!result.error) shown = arena_strdup(arena, result.normalized_query);
    pg_query_free_normalize_result(result);
  }
  return shown ? shown : arena_printf(arena, "%.*s …", (int)strcspn(query + word, " \t\r\n('\"$"), query + word);
}
