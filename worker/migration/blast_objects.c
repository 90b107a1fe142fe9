/* blast_objects.c - objects that read what changes: those the forms saw, the views that read those views, and what no catalog ties to a
 * table: bodies of functions, publications. */
#include <ctype.h>

#include "common/json.h"
#include "worker/migration/blast.h"

struct objects {
  const struct analysis *analysis;
  json_t *list, *seen; /* seen: by "kind name" */
};

/* An object known already only gets worse. */
static bool add(struct objects *objects, const char *kind, const char *name, const char *via, bool breaks, bool certain) {
  const char *key = arena_printf(objects->analysis->arena, "%s %s", kind, name);
  json_t *known = key ? json_object_get(objects->seen, key) : NULL;
  if (known) {
    if (breaks) json_object_set_new(known, "breaks", json_true());
    return false;
  }
  json_t *item = json_pack("{s:s, s:s, s:s, s:b, s:b}", "kind", kind, "name", name, "via", via, "breaks", breaks, "certain", certain);
  if (!key || !item) return false;
  json_object_set(objects->seen, key, item);
  json_array_append_new(objects->list, item);
  return true;
}

static const struct snap_table *table_named(const struct snapshot *snapshot, const char *qualified) {
  for (size_t i = 0; i < snapshot->table_count; i++)
    if (strcmp(snapshot->tables[i].qualified, qualified) == 0) return &snapshot->tables[i];
  return NULL;
}

/* What reads a view reads what the view reads; a chain ends where all is known. */
static void add_readers(struct objects *objects, const struct snap_table *view, bool breaks, int depth) {
  for (size_t i = 0; view && depth < 32 && i < view->dependent_count; i++) {
    const struct snap_table *reader = view->dependents[i];
    const char *kind = reader->kind == SNAP_MATVIEW ? "materialized view" : "view";
    if (add(objects, kind, reader->qualified, view->qualified, breaks, true)) add_readers(objects, reader, breaks, depth + 1);
  }
}

static void add_seen(struct objects *objects, const struct effect *effect) {
  for (size_t i = 0; i < effect->objects.count; i++) {
    const struct effect_object *object = &effect->objects.items[i];
    add(objects, object->kind, object->name, object->via, object->breaks, true);
    if (strstr(object->kind, "view")) add_readers(objects, table_named(objects->analysis->snapshot, object->name), object->breaks, 0);
  }
  for (size_t i = 0; i < effect->locks.count; i++) { /* sequences that went with their column */
    const struct rel *rel = effect->locks.items[i].rel;
    bool gone = rel->t->kind == SNAP_SEQUENCE && rel->dropped && !rel->created && rel->owned_by;
    if (gone && effect->loss != LOSS_NONE) add(objects, "sequence", rel->t->qualified, rel->owned_by, true, true);
  }
}

/* --- what is found by name alone --- */

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80; }

static bool has_word(const char *text, const char *word) {
  size_t len = strlen(word);
  for (const char *at = len ? strcasestr(text, word) : NULL; at; at = strcasestr(at + 1, word))
    if ((at == text || !is_word(at[-1])) && !is_word(at[len])) return true;
  return false;
}

/* Bodies are text to PostgreSQL: a function that names what goes will probably fail when it is called. */
static void add_functions(struct objects *objects, const char *table, const char *column) {
  size_t index;
  json_t *function;
  const char *dot = strchr(table, '.'), *name = dot ? dot + 1 : table;
  const char *via = column ? arena_printf(objects->analysis->arena, "%s.%s", table, column) : table;
  json_array_foreach(json_object_get(objects->analysis->snapshot->json, "functions"), index, function) {
    const char *body = json_str(function, "body", json_str(function, "definition", NULL));
    if (!body || !has_word(body, name) || (column && !has_word(body, column))) continue;
    const char *called = arena_printf(objects->analysis->arena, "%s.%s(%s)", json_str(function, "schema", ""),
                                      json_str(function, "name", ""), json_str(function, "arguments", ""));
    if (called) add(objects, "function", called, via, true, false);
  }
}

static bool publishes(const json_t *publication, const char *table) {
  size_t index;
  json_t *one;
  if (json_bool(publication, "all_tables", false)) return true;
  json_array_foreach(json_object_get(publication, "tables"), index, one) {
    const char *schema = json_str(one, "schema", ""), *name = json_str(one, "name", "");
    size_t len = strlen(schema);
    if (strncmp(table, schema, len) == 0 && table[len] == '.' && strcmp(table + len + 1, name) == 0) return true;
  }
  return false;
}

/* Subscribers get rows by the table's and the columns' names. */
static void add_publications(struct objects *objects, const char *table, bool breaks) {
  size_t index;
  json_t *publication;
  json_array_foreach(json_object_get(objects->analysis->snapshot->json, "publications"), index,
                     publication) if (publishes(publication, table))
      add(objects, "publication", json_str(publication, "name", ""), table, breaks, true);
}

static const struct {
  enum fact fact;
  bool column, functions, subscribers_break;
} namings[] = {
    {FACT_DROP_TABLE, false, true, true},   {FACT_DROP_VIEW, false, true, false}, {FACT_RENAME_TABLE, false, true, true},
    {FACT_SET_SCHEMA, false, true, true},   {FACT_DROP_COLUMN, true, true, true}, {FACT_RENAME_COLUMN, true, true, true},
    {FACT_TYPE_REWRITE, true, false, true}, {FACT_TRUNCATE, false, false, false},
};

static void add_named(struct objects *objects, const struct statement *statement) {
  for (size_t i = 0; i < statement->effect.facts.count; i++) {
    const struct effect_fact *fact = &statement->effect.facts.items[i];
    for (size_t k = 0; k < sizeof namings / sizeof *namings; k++) {
      if (namings[k].fact != fact->fact || !fact->rel || fact->rel->created || !statement->tables.count) continue;
      const char *table = namings[k].column || statement->tables.count == 1 ? statement->tables.items[0] : fact->rel->t->qualified;
      if (namings[k].functions) add_functions(objects, table, namings[k].column ? fact->name : NULL);
      add_publications(objects, table, namings[k].subscribers_break);
    }
  }
}

json_t *blast_objects(const struct analysis *analysis) {
  struct objects objects = {analysis, json_array(), json_object()};
  for (size_t i = 0; i < analysis->count; i++) {
    add_seen(&objects, &analysis->statements[i].effect);
    add_named(&objects, &analysis->statements[i]);
  }
  json_decref(objects.seen);
  return objects.list;
}
