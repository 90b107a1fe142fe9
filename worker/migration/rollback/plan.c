/* rollback/plan.c - what the migration has done so far, and what was there before it. */
#include "worker/migration/rollback/impl.h"

struct rollback_plan *rollback_plan_new(struct shadow *shadow, const struct snapshot *before, rollback_dump dump, void *arg) {
  struct rollback_plan *plan = ARENA_NEW(shadow->arena, struct rollback_plan);
  if (plan) *plan = (struct rollback_plan){.arena = shadow->arena, .shadow = shadow, .before = before, .load = dump, .load_arg = arg};
  return plan;
}

struct rollback_source *rollback_source(struct rollback *rollback) {
  struct rollback_plan *plan = rollback->plan;
  if (!plan->loaded) {
    plan->loaded = true;
    plan->source = plan->load ? rollback_source_new(plan->arena, plan->load(plan->load_arg)) : NULL;
  }
  return plan->source;
}

void rollback_add(struct rollback *rollback, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = arena_vprintf(rollback->arena, format, args), **slot = text ? LIST_PUSH(rollback->arena, &rollback->step->sql) : NULL;
  va_end(args);
  if (!slot) return;
  *slot = text;
  struct rollback_item *item = LIST_PUSH(rollback->arena, &rollback->plan->items);
  if (item) *item = (struct rollback_item){rollback->step, text, rollback->rel, rollback->key, rollback->rename};
}

void rollback_set_path(struct rollback *rollback) {
  const char *path = sql_ident_list(rollback->arena, rollback->shadow->schemas.items, rollback->shadow->schemas.count);
  const char *text =
      arena_printf(rollback->arena, "SET %ssearch_path = %s", rollback->step->outside ? "" : "LOCAL ", path && *path ? path : "''");
  if (rollback->step->sql.count && strcmp(rollback->step->sql.items[0], text) == 0) return;
  rollback_add(rollback, "%s", text);
}

void rollback_add_tree(struct rollback *rollback, PgQuery__Node *node) {
  const char *text = sql_statement_text(rollback->arena, node);
  if (text && rollback->plan->path_changed) rollback_set_path(rollback);
  if (text)
    rollback_add(rollback, "%s", text);
  else
    rollback_gone(rollback, "the inverse of this statement can't be printed");
}

void rollback_gone(struct rollback *rollback, const char *format, ...) {
  if (rollback->step->irreversible) return;
  va_list args;
  va_start(args, format);
  rollback->step->irreversible = arena_vprintf(rollback->arena, format, args);
  va_end(args);
}

static void take_back(struct rollback_item *item) {
  for (size_t i = 0; i < item->step->sql.count; i++) {
    if (item->step->sql.items[i] != item->text) continue;
    memmove(&item->step->sql.items[i], &item->step->sql.items[i + 1], (item->step->sql.count - i - 1) * sizeof *item->step->sql.items);
    item->step->sql.count--;
    return;
  }
}

void rollback_cancel(struct rollback *rollback, const struct rel *rel, const char *key, bool renames) {
  for (size_t i = 0; i < rollback->plan->items.count; i++) {
    struct rollback_item *item = &rollback->plan->items.items[i];
    if (item->step == rollback->step || (item->rename && !renames)) continue;
    if ((rel && item->rel == rel) || (key && item->key && strcmp(item->key, key) == 0)) take_back(item);
  }
}

/* --- keys --- */

const char *rollback_known_as(struct rollback *rollback, const char *key) {
  for (size_t i = rollback->plan->aliases.count; key && i-- > 0;)
    if (strcmp(rollback->plan->aliases.items[i].now, key) == 0) return rollback->plan->aliases.items[i].was;
  return key;
}

void rollback_note_rename(struct rollback *rollback, const char *now, const char *was) {
  struct rollback_alias *slot = now && was ? LIST_PUSH(rollback->arena, &rollback->plan->aliases) : NULL;
  if (slot) *slot = (struct rollback_alias){now, was};
}

const char *rollback_fresh_key(struct rollback *rollback, const char *key) {
  const char *known = rollback_known_as(rollback, key);
  if (!key || known != key) return known;
  for (size_t i = 0; i < rollback->plan->aliases.count; i++) {
    if (strcmp(rollback->plan->aliases.items[i].was, key) != 0) continue;
    const char *fresh = arena_printf(rollback->arena, "%s again", key);
    rollback_note_rename(rollback, key, fresh);
    return fresh;
  }
  return key;
}

static const struct rollback_state *state_of(struct rollback *rollback, const char *key) {
  for (size_t i = rollback->plan->states.count; key && i-- > 0;)
    if (strcmp(rollback->plan->states.items[i].key, key) == 0) return &rollback->plan->states.items[i];
  return NULL;
}

bool rollback_is_dropped(struct rollback *rollback, const char *key) {
  const struct rollback_state *state = state_of(rollback, key);
  return state && !state->there;
}

void rollback_note(struct rollback *rollback, const char *key, bool there) {
  struct rollback_state *slot = key ? LIST_PUSH(rollback->arena, &rollback->plan->states) : NULL;
  if (slot) *slot = (struct rollback_state){key, there};
}

/* Without a dump: what the model can tell. */
static bool model_has(struct rollback *rollback, const char *key) {
  size_t index;
  const json_t *one;
  if (strncmp(key, "function:", 9) != 0) return false;
  json_array_foreach(json_object_get(rollback->before->json, "functions"), index, one) {
    const char *prefix = source_key_of(rollback->arena, "function", json_str(one, "schema", ""), json_str(one, "name", ""), NULL);
    size_t len = prefix ? strlen(prefix) : 0;
    if (len && strncmp(prefix, key, len) == 0 && key[len] == '(') return true;
  }
  return false;
}

bool rollback_was_there(struct rollback *rollback, const char *key) {
  const struct rollback_source *source = key ? rollback_source(rollback) : NULL;
  return source ? source_find(source, SOURCE_MAKES, key) != NULL : key && model_has(rollback, key);
}

bool rollback_is_there(struct rollback *rollback, const char *key) {
  const struct rollback_state *state = state_of(rollback, key);
  return state ? state->there : rollback_was_there(rollback, key);
}

bool rollback_is_made(struct rollback *rollback, const char *key) {
  const struct rollback_state *state = state_of(rollback, key);
  return state && state->there;
}

const struct snap_table *rollback_original(struct rollback *rollback, const struct rel *rel) {
  const struct snap_table *first = rollback->shadow->snapshot->tables;
  size_t count = rollback->before->table_count;
  return count && rel->t >= first && rel->t < first + count ? &rollback->before->tables[rel->t - first] : NULL;
}

const char *rollback_rel_key(struct rollback *rollback, const struct rel *rel) {
  const struct snap_table *was = rollback_original(rollback, rel);
  if (was) return source_key_of(rollback->arena, "rel", was->schema, was->name, NULL);
  return rollback_known_as(rollback, source_key_of(rollback->arena, "rel", rel->t->schema, rel->t->name, NULL));
}

const char *rollback_part_key(struct rollback *rollback, const char *kind, const struct rel *rel, const char *name) {
  const struct snap_table *was = rollback_original(rollback, rel);
  if (!was) was = rel->t;
  return rollback_known_as(rollback, source_key_of(rollback->arena, kind, was->schema, was->name, name));
}

static bool is_part(PgQuery__ObjectType type) {
  return type == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN || type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER ||
         type == PG_QUERY__OBJECT_TYPE__OBJECT_RULE || type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY ||
         type == PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT;
}

/* Parts go by the relation's name before the migration. */
static const char *part_key(struct rollback *rollback, PgQuery__ObjectType type, PgQuery__Node *object) {
  size_t count = object && object->node_case == PG_QUERY__NODE__NODE_LIST ? object->list->n_items : 0;
  const struct rel *rel = count > 1 ? shadow_named(rollback->shadow, count - 1, object->list->items) : NULL;
  const char *name = count ? sql_node_string(object->list->items[count - 1]) : NULL;
  const char *key = rel && name ? source_key(rollback->arena, type, NULL, object, rel->t->schema) : NULL;
  const char *colon = key ? strchr(key, ':') : NULL;
  if (!colon) return source_key(rollback->arena, type, NULL, object, shadow_schema(rollback->shadow, NULL));
  return rollback_part_key(rollback, arena_strndup(rollback->arena, key, (size_t)(colon - key)), rel, name);
}

static const char *whole_function(struct rollback *rollback, const char *key) {
  size_t len = key ? strlen(key) : 0;
  if (!len || key[len - 1] != '*') return key;
  const char *prefix = arena_strndup(rollback->arena, key, len - 1);
  for (size_t i = rollback->plan->states.count; i-- > 0;) {
    const struct rollback_state *state = &rollback->plan->states.items[i];
    if (state->there && strncmp(state->key, prefix, len - 1) == 0) return state->key;
  }
  const char *only = source_only_function(rollback_source(rollback), prefix);
  return only ? only : key;
}

const char *rollback_key(struct rollback *rollback, PgQuery__ObjectType type, const PgQuery__RangeVar *relation, PgQuery__Node *object) {
  if (is_part(type) && object) return part_key(rollback, type, object);
  struct shadow *shadow = rollback->shadow;
  const char *first = NULL;
  for (size_t i = 0; i < shadow->schemas.count || i == 0; i++) {
    const char *schema = i < shadow->schemas.count ? shadow->schemas.items[i] : "public";
    const char *key = whole_function(rollback, source_key(rollback->arena, type, relation, object, schema));
    const char *was = rollback_known_as(rollback, key);
    if (!first) first = was;
    if (was && (rollback_is_there(rollback, was) || rollback_of_key(rollback, key))) {
      const struct rel *rel = rollback_of_key(rollback, key);
      return rel ? rollback_rel_key(rollback, rel) : was;
    }
  }
  return first;
}

/* An identifier of a key, up to the dot or the end, as it is stored. */
static const char *unquoted(struct arena *arena, const char **at) {
  const char *from = *at;
  if (*from != '"') {
    *at += strcspn(from, ".");
    return arena_strndup(arena, from, (size_t)(*at - from));
  }
  char *name = arena_strdup(arena, ++from), *to = name;
  while (name && *from && (*from != '"' || *++from == '"')) *to++ = *from++;
  if (name) *to = '\0';
  *at = from;
  return name;
}

/* A key "rel:schema.name" as a relation of the shadow, by the name it has now. */
struct rel *rollback_of_key(struct rollback *rollback, const char *key) {
  if (!key || strncmp(key, "rel:", 4) != 0) return NULL;
  const char *at = key + 4, *schema = unquoted(rollback->arena, &at);
  if (!schema || *at != '.') return NULL;
  at++;
  const char *name = unquoted(rollback->arena, &at);
  return name && !*at ? shadow_find(rollback->shadow, schema, name) : NULL;
}

/* --- what the snapshot says --- */

const json_t *rollback_json(struct rollback *rollback, const char *list, const char *schema, const char *name) {
  size_t index;
  const json_t *one;
  json_array_foreach(json_object_get(rollback->before->json, list), index, one) {
    if (strcmp(json_str(one, "name", ""), name) != 0) continue;
    if (!schema || strcmp(json_str(one, "schema", schema), schema) == 0) return one;
  }
  return NULL;
}

const json_t *rollback_rel_json(struct rollback *rollback, const struct rel *rel) {
  const struct snap_table *was = rollback_original(rollback, rel);
  const char *list = rel->t->kind == SNAP_SEQUENCE                               ? "sequences"
                     : rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_MATVIEW ? "views"
                                                                                 : "tables";
  if (!was && rel->t->kind != SNAP_SEQUENCE) return NULL;
  return rollback_json(rollback, list, was ? was->schema : rel->t->schema, was ? was->name : rel->t->name);
}

const json_t *rollback_member(const json_t *object, const char *list, const char *name) {
  size_t index;
  const json_t *one;
  json_array_foreach(json_object_get(object, list), index, one) if (strcmp(json_str(one, "name", ""), name) == 0) return one;
  return NULL;
}

/* --- names --- */

const char *rollback_name(struct rollback *rollback, const struct rel *rel) {
  return sql_qualified(rollback->arena, rel->t->schema, rel->t->name);
}

const char *rollback_range_name(struct rollback *rollback, const PgQuery__RangeVar *range) {
  const struct rel *rel = shadow_range(rollback->shadow, range);
  if (rel) return rollback_name(rollback, rel);
  return sql_qualified(rollback->arena, shadow_schema(rollback->shadow, sql_or_null(range->schemaname)), range->relname);
}

const char *rollback_list_name(struct rollback *rollback, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  return name ? sql_qualified(rollback->arena, shadow_schema(rollback->shadow, schema), name) : "?";
}

#define WORDS(type, words) \
  { PG_QUERY__OBJECT_TYPE__OBJECT_##type, words }
static const struct {
  PgQuery__ObjectType type;
  const char *words;
} words[] = {
    WORDS(TABLE, "TABLE"),
    WORDS(VIEW, "VIEW"),
    WORDS(MATVIEW, "MATERIALIZED VIEW"),
    WORDS(SEQUENCE, "SEQUENCE"),
    WORDS(FOREIGN_TABLE, "FOREIGN TABLE"),
    WORDS(INDEX, "INDEX"),
    WORDS(AGGREGATE, "AGGREGATE"),
    WORDS(OPERATOR, "OPERATOR"),
    WORDS(COLLATION, "COLLATION"),
    WORDS(TSCONFIGURATION, "TEXT SEARCH CONFIGURATION"),
    WORDS(TSDICTIONARY, "TEXT SEARCH DICTIONARY"),
    WORDS(TSPARSER, "TEXT SEARCH PARSER"),
    WORDS(TSTEMPLATE, "TEXT SEARCH TEMPLATE"),
    WORDS(TYPE, "TYPE"),
};

const char *rollback_words(PgQuery__ObjectType type) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (words[i].type == type) return words[i].words;
  return "TABLE";
}

const char *rollback_rel_words(const struct rel *rel) {
  switch (rel->t->kind) {
  case SNAP_VIEW: return "VIEW";
  case SNAP_MATVIEW: return "MATERIALIZED VIEW";
  case SNAP_SEQUENCE: return "SEQUENCE";
  case SNAP_FOREIGN: return "FOREIGN TABLE";
  default: return "TABLE";
  }
}
