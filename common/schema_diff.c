/* schema_diff.c - see schema_diff.h.
 *
 * A snapshot is lists of named things, some holding lists of named things. One algorithm serves all levels: match by name, report what only
 * one side has, and for the rest compare member by member, leaving out what measures instead of defines. New kinds of objects in a snapshot
 * are compared without a change here. */
#include "common/schema_diff.h"

#include <stdint.h>

#include "common/json.h"

static const char *const measured[] = {"estimated_rows", "total_bytes", "heap_bytes", "bytes",      "pages",     "all_visible_pages",
                                       "scans",          "activity",    "null_frac",  "n_distinct", "avg_width", "correlation",
                                       "last_value",     "position",    "stats",      "populated",  NULL};
static const char *const relation_parts[] = {"columns", "unique",   "foreign_keys", "checks", "exclusions", "not_nulls",
                                             "indexes", "triggers", "policies",     "rules",  "statistics", NULL};
/* Always in the answer; other lists of the snapshot when they are in it. */
static const char *const sections[] = {"schemas", "tables", "views", "enums", "domains", "sequences", "functions", "extensions", NULL};

static bool listed(const char *const *list, const char *name) {
  for (; *list; list++)
    if (strcmp(*list, name) == 0) return true;
  return false;
}

/* "schema.name", or with the arguments of a function. */
static void name_of(const json_t *object, char *out, size_t size) {
  const char *schema = json_str(object, "schema", NULL), *arguments = json_str(object, "identity_arguments", NULL);
  if (json_is_string(object))
    snprintf(out, size, "%s", json_string_value(object));
  else
    snprintf(out, size, "%s%s%s%s%s%s", schema ? schema : "", schema ? "." : "", json_str(object, "name", ""), arguments ? "(" : "",
             arguments ? arguments : "", arguments ? ")" : "");
}

/* Name -> object (borrowed); what has no name of its own is not compared here. */
static json_t *by_name(const json_t *list) {
  json_t *map = json_object(), *item;
  size_t i;
  char name[1024];
  json_array_foreach(list, i, item) {
    name_of(item, name, sizeof name);
    if (*name) json_object_set(map, name, item);
  }
  return map;
}

/* Equal but for what is measured, at any depth. */
static bool same(const json_t *a, const json_t *b) {
  const char *key;
  json_t *value;
  if (json_is_array(a) && json_is_array(b)) {
    if (json_array_size(a) != json_array_size(b)) return false;
    for (size_t i = 0; i < json_array_size(a); i++)
      if (!same(json_array_get(a, i), json_array_get(b, i))) return false;
    return true;
  }
  if (!json_is_object(a) || !json_is_object(b)) return a == b || (a && b && json_equal(a, b));
  json_object_foreach((json_t *)(uintptr_t)a, key, value) {
    const json_t *other = json_object_get(b, key);
    if (!listed(measured, key) && !(other ? same(value, other) : json_is_null(value))) return false;
  }
  json_object_foreach((json_t *)(uintptr_t)b, key,
                      value) if (!listed(measured, key) && !json_object_get(a, key) && !json_is_null(value)) return false;
  return true;
}

static json_t *diff_lists(const json_t *before, const json_t *after, bool relations, bool *ret_identical);

/* Members that differ, as {"member": {"before", "after"}}; the lists inside a table get a diff of their own. */
static json_t *diff_object(const json_t *before, const json_t *after, bool relation) {
  json_t *changes = json_object(), *value;
  const char *key;
  json_t *keys = json_copy((json_t *)(uintptr_t)before);
  json_object_update_missing(keys, (json_t *)(uintptr_t)after);
  json_object_foreach(keys, key, value) {
    json_t *old = json_object_get(before, key), *new = json_object_get(after, key);
    if (listed(measured, key) || same(old ? old : json_null(), new ? new : json_null())) continue;
    if (relation && listed(relation_parts, key)) {
      bool identical;
      json_object_set_new(changes, key, diff_lists(old, new, false, &identical));
    } else {
      json_object_set_new(changes, key, json_pack("{s:O?, s:O?}", "before", old, "after", new));
    }
  }
  json_decref(keys);
  return changes;
}

static json_t *diff_lists(const json_t *before, const json_t *after, bool relations, bool *ret_identical) {
  json_t *old = by_name(before), *new = by_name(after), *value;
  json_t *added = json_array(), *removed = json_array(), *changed = json_array();
  const char *name;
  json_object_foreach(new, name, value) if (!json_object_get(old, name)) json_array_append(added, value);
  json_object_foreach(old, name, value) {
    json_t *now = json_object_get(new, name);
    if (!now)
      json_array_append(removed, value);
    else if (!same(value, now))
      json_array_append_new(changed, json_pack("{s:s, s:o}", "name", name, "changes", diff_object(value, now, relations)));
  }
  *ret_identical = !json_array_size(added) && !json_array_size(removed) && !json_array_size(changed);
  json_decref(old);
  json_decref(new);
  return json_pack("{s:o, s:o, s:o}", "added", added, "removed", removed, "changed", changed);
}

static void diff_section(json_t *diff, const json_t *before, const json_t *after, const char *section) {
  bool identical, relations = strcmp(section, "tables") == 0 || strcmp(section, "views") == 0;
  json_t *part = diff_lists(json_object_get(before, section), json_object_get(after, section), relations, &identical);
  if (!identical) json_object_set_new(diff, "identical", json_false());
  json_object_set_new(diff, section, part);
}

json_t *schema_diff(const json_t *before, const json_t *after) {
  json_t *diff = json_pack("{s:b}", "identical", 1), *value;
  const char *key;
  for (const char *const *section = sections; *section; section++) diff_section(diff, before, after, *section);
  json_object_foreach((json_t *)(uintptr_t)after, key, value) if (json_is_array(value) && !json_object_get(diff, key))
      diff_section(diff, before, after, key);
  return diff;
}
