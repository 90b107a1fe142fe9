/* drift.c - reads the live schema with the scope that the analysed snapshot had, and compares.
 *
 * A first attempt compares fingerprints: nothing may differ. A later one can't, for our own statements have changed the schema; there, each
 * object that differs, and each column in it, must be named by a statement that was applied. What such a statement changes without naming
 * it (views dropped by CASCADE) makes the resume stop and ask: that errs on the safe side. */
#include "worker/execute/drift.h"

#include <ctype.h>
#include <strings.h>

#include "common/clientdb.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/schema_diff.h"
#include "worker/execute/aside.h"
#include "worker/schema/introspect.h"
#include "worker/schema/store.h"

#define READ_MS 120000
#define REFRESH_MS 300000
#define NAMES_SHOWN 50

/* --- is it named? --- */

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80); }

static bool text_names(const char *text, const char *name, size_t len) {
  for (const char *at = text; len && (at = strcasestr(at, name)); at++)
    if ((at == text || !is_word(at[-1])) && strncasecmp(at, name, len) == 0 && !is_word(at[len])) return true;
  return false;
}

/* By a statement that was applied. */
static bool named(const struct execution *x, const char *name) {
  for (size_t i = 0; name && i < x->plan.count; i++)
    if (x->plan.steps[i].status == STEP_APPLIED && text_names(x->plan.steps[i].source->text, name, strlen(name))) return true;
  return false;
}

/* "schema.name(arguments)" or "schema.table.column": the part after the first dot, up to the next dot or parenthesis. */
static const char *bare_name(struct arena *arena, const char *qualified) {
  const char *dot = qualified ? strchr(qualified, '.') : NULL;
  const char *name = dot ? dot + 1 : qualified;
  return name ? arena_strndup(arena, name, strcspn(name, ".(")) : NULL;
}

/* A partition changes with the table it is of. */
static bool relation_named(const struct execution *x, const char *qualified) {
  struct arena *arena = x->job->arena;
  for (int depth = 0; qualified && depth < 64; depth++) {
    const char *name = bare_name(arena, qualified);
    if (named(x, name)) return true;
    const char *dot = strchr(qualified, '.');
    const char *schema = dot ? arena_strndup(arena, qualified, (size_t)(dot - qualified)) : NULL;
    const struct snap_table *table = schema ? snapshot_table(x->snapshot, schema, name) : NULL;
    qualified = table ? table->partition_of : NULL;
  }
  return false;
}

static bool item_explained(const struct execution *x, const json_t *item) {
  const char *name = json_is_string(item) ? json_string_value(item) : json_str(item, "name", NULL);
  return named(x, name) || relation_named(x, json_str(item, "owned_by", NULL)) || relation_named(x, json_str(item, "partition_of", NULL));
}

static bool columns_explained(const struct execution *x, const json_t *columns) {
  size_t i;
  const json_t *item;
  json_array_foreach(json_object_get(columns, "added"), i, item) if (!item_explained(x, item)) return false;
  json_array_foreach(json_object_get(columns, "removed"), i, item) if (!item_explained(x, item)) return false;
  json_array_foreach(json_object_get(columns, "changed"), i, item) if (!item_explained(x, item)) return false;
  return true;
}

static bool section_explained(const struct execution *x, const json_t *section) {
  size_t i;
  const json_t *item;
  json_array_foreach(json_object_get(section, "added"), i, item) if (!item_explained(x, item)) return false;
  json_array_foreach(json_object_get(section, "removed"), i, item) if (!item_explained(x, item)) return false;
  json_array_foreach(json_object_get(section, "changed"), i, item) {
    if (!relation_named(x, json_str(item, "name", NULL))) return false;
    if (!columns_explained(x, json_object_get(json_object_get(item, "changes"), "columns"))) return false;
  }
  return true;
}

static bool explained(const struct execution *x, json_t *diff) {
  const char *key;
  const json_t *section;
  json_object_foreach(diff, key, section) if (json_is_object(section) && !section_explained(x, section)) return false;
  return true;
}

/* --- the diff, bounded --- */

static json_t *names_of(const json_t *list) {
  json_t *names = json_array();
  size_t i;
  const json_t *item;
  json_array_foreach(list, i, item) {
    const char *schema = json_str(item, "schema", NULL),
               *name = json_is_string(item) ? json_string_value(item) : json_str(item, "name", "");
    if (i < NAMES_SHOWN) json_array_append_new(names, json_sprintf("%s%s%s", schema ? schema : "", schema ? "." : "", name));
  }
  return names;
}

/* Too large to hand on: the names of what differs, and how many there are. */
static json_t *shorten(const json_t *diff) {
  static const char *const kinds[] = {"added", "removed", "changed"};
  json_t *brief = json_pack("{s:b, s:b}", "identical", 0, "shortened", 1), *section;
  const char *key;
  json_object_foreach((json_t *)(uintptr_t)diff, key, section) {
    json_t *part = json_object();
    for (size_t i = 0; json_is_object(section) && i < sizeof kinds / sizeof *kinds; i++) {
      const json_t *list = json_object_get(section, kinds[i]);
      if (json_array_size(list))
        json_object_set_new(part, kinds[i], json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(list), "names", names_of(list)));
    }
    if (json_object_size(part)) json_object_set(brief, key, part);
    json_decref(part);
  }
  return brief;
}

static json_t *bounded(json_t *take) {
  if (json_dumpb(take, NULL, 0, JSON_COMPACT) <= EXECUTE_DIFF_BYTES) return take;
  json_t *brief = shorten(take);
  json_decref(take);
  return brief;
}

/* --- in the child --- */

static const char *scope_csv(const struct execution *x) {
  const json_t *only = json_object_get(x->snapshot->json, "only_schemas");
  char *csv = json_is_array(only) ? arena_strdup(x->job->arena, "") : NULL;
  for (size_t i = 0; csv && i < json_array_size(only); i++)
    csv = arena_printf(x->job->arena, "%s%s%s", csv, i ? "," : "", json_string_value(json_array_get(only, i)));
  return csv;
}

static enum status compare(struct execution *x, void *arg, json_t **ret_answer, struct error *err) {
  const char *string = arg;
  struct introspection taken;
  PGCONN_AUTO conn = NULL;
  const json_t *excluded = json_object_get(x->snapshot->json, "excluded_schemas");
  char *excluded_text = json_dumps(excluded ? excluded : json_array(), JSON_COMPACT);
  enum status status = excluded_text ? clientdb_connect(x->job->cfg, string, LIMIT_INTROSPECT_STATEMENT_MS, &conn, err) : error_oom(err);
  if (!status) status = introspect_read(x->job, conn, excluded_text, scope_csv(x), false, &taken, err);
  free(excluded_text);
  if (status) return status;
  bool same = strcmp(json_str(taken.json, "fingerprint", ""), x->fingerprint) == 0;
  json_t *diff = same ? NULL : schema_diff(x->snapshot->json, taken.json);
  bool may_go_on = same || (x->resumed && diff && explained(x, diff));
  json_t *answer = json_pack("{s:b, s:s, s:o?}", "drift", !may_go_on, "fingerprint", json_str(taken.json, "fingerprint", ""), "diff",
                             may_go_on || !diff ? NULL : bounded(diff));
  if (!answer) return error_oom(err);
  *ret_answer = answer;
  return OK;
}

static enum status refresh(struct execution *x, void *arg, json_t **ret_answer, struct error *err) {
  (void)arg;
  struct snapshot *snapshot = NULL;
  bool changed = false;
  enum status status = pg_connect(x->job->cfg->database_url, "slot refresh", &x->job->db, err);
  if (!status) status = store_refresh(x->job, scope_csv(x), &snapshot, &changed, err);
  if (status) return status;
  *ret_answer = json_string(snapshot->id);
  return OK;
}

/* --- in the parent --- */

enum status drift_check(struct execution *x, struct error *err) {
  const char *string = NULL;
  char *excluded = NULL;
  json_t *answer = NULL;
  job_progress(x->job, 5, "drift", "comparing the schema with the one analysed");
  enum status status = store_connection_string(x->job, &string, &excluded, err);
  if (!status) status = aside_run(x, compare, (void *)(uintptr_t)string, READ_MS, &answer, err);
  if (status || !json_bool(answer, "drift", true)) return status;
  error_set_code(err, ERR_CONFLICT, "SCHEMA_DRIFT",
                 x->resumed
                     ? "the schema has changed otherwise than by what was applied so far: look at the difference, then analyze what is left"
                     : "the schema is no longer the one that was analyzed: introspect and analyze the migration again");
  err->details = json_pack("{s:s, s:s, s:O?}", "expected_fingerprint", x->fingerprint, "fingerprint", json_str(answer, "fingerprint", ""),
                           "diff", json_object_get(answer, "diff"));
  return ERR_CONFLICT;
}

void drift_refresh(struct execution *x) {
  ERROR_AUTO err = {0};
  json_t *answer = NULL;
  job_progress(x->job, 95, "refresh", "reading the schema again");
  if (aside_run(x, refresh, NULL, REFRESH_MS, &answer, &err) == OK)
    x->snapshot_after = json_string_value(answer);
  else
    x->warning = arena_printf(x->job->arena, "the migration is applied, but the schema could not be read again: %s", err.message);
}
