/* shadow.c - lookups through one hash table of relations; changes by appending to the copied snapshot's arrays.
 *
 * Everything is in the job's arena, so a replaced array is simply left behind. Allocation failures surface as NULL results, which
 * callers treat as "nothing there"; the arena's exhaustion is reported once, at the end of the analysis. */
#include "worker/migration/shadow.h"

#include "worker/migration/forms/bounds.h"
#include "worker/sql/text.h"

static size_t hash_name(const char *schema, const char *name) {
  size_t hash = 1469598103934665603u;
  for (const char *c = schema; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
  hash = (hash ^ '.') * 1099511628211u;
  for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
  return hash;
}

static void bucket_insert(struct shadow *shadow, struct rel *rel) {
  struct rel **bucket = &shadow->buckets[hash_name(rel->t->schema, rel->t->name) % shadow->bucket_count];
  rel->next_in_bucket = *bucket;
  *bucket = rel;
}

static void bucket_remove(struct shadow *shadow, struct rel *rel) {
  struct rel **at = &shadow->buckets[hash_name(rel->t->schema, rel->t->name) % shadow->bucket_count];
  while (*at && *at != rel) at = &(*at)->next_in_bucket;
  if (*at) *at = rel->next_in_bucket;
}

static struct rel *add_rel(struct shadow *shadow, struct snap_table *table) {
  struct rel *rel = ARENA_NEW(shadow->arena, struct rel), **slot = rel ? LIST_PUSH(shadow->arena, &shadow->rels) : NULL;
  if (!slot) return NULL;
  *slot = rel;
  *rel = (struct rel){.t = table,
                      .column_cap = table->column_count,
                      .constraint_cap = table->constraint_count,
                      .fk_cap = table->fk_count,
                      .index_cap = table->index_count,
                      .trigger_cap = table->trigger_count,
                      .policy_cap = table->policy_count,
                      .referenced_cap = table->referenced_by_count,
                      .dependent_cap = table->dependent_count,
                      .partition_cap = table->partition_count};
  bucket_insert(shadow, rel);
  return rel;
}

static struct snap_table *new_table(struct shadow *shadow, const char *schema, const char *name, enum snap_relkind kind) {
  struct snap_table *table = ARENA_NEW(shadow->arena, struct snap_table);
  if (!table) return NULL;
  table->schema = arena_strdup(shadow->arena, schema);
  table->name = arena_strdup(shadow->arena, name);
  table->qualified = arena_printf(shadow->arena, "%s.%s", schema, name);
  table->kind = kind;
  return table->schema && table->name && table->qualified ? table : NULL;
}

/* "\"$user\", public, shop" as SHOW search_path prints it. */
static void read_search_path(struct shadow *shadow, const char *path) {
  for (const char *c = path ? path : ""; *c;) {
    while (*c == ' ' || *c == ',') c++;
    bool quoted = *c == '"';
    if (quoted) c++;
    const char *start = c;
    while (*c && (quoted ? *c != '"' : *c != ',' && *c != ' ')) c++;
    const char **slot = c > start && *start != '$' ? LIST_PUSH(shadow->arena, &shadow->schemas) : NULL;
    if (slot) *slot = arena_strndup(shadow->arena, start, (size_t)(c - start));
    if (quoted && *c) c++;
  }
  if (shadow->schemas.count) return;
  const char **slot = LIST_PUSH(shadow->arena, &shadow->schemas);
  if (slot) *slot = "public";
}

static bool fill(struct shadow *shadow) {
  struct snapshot *snapshot = shadow->snapshot;
  shadow->bucket_count = (snapshot->table_count + snapshot->sequence_count) * 2 + 1024;
  shadow->buckets = arena_calloc(shadow->arena, shadow->bucket_count, sizeof *shadow->buckets);
  if (!shadow->buckets) return false;
  for (size_t i = 0; i < snapshot->table_count; i++)
    if (!add_rel(shadow, &snapshot->tables[i])) return false;
  for (size_t i = 0; i < snapshot->sequence_count; i++) {
    const struct snap_sequence *sequence = &snapshot->sequences[i];
    struct snap_table *table = new_table(shadow, sequence->schema, sequence->name, SNAP_SEQUENCE);
    struct rel *rel = table ? add_rel(shadow, table) : NULL;
    if (!rel) return false;
    rel->owned_by = sequence->owned_by;
  }
  return true;
}

enum status shadow_new(const struct snapshot *snapshot, struct arena *arena, struct shadow **ret_shadow, struct error *err) {
  struct shadow *shadow = ARENA_NEW(arena, struct shadow);
  if (!shadow) return error_oom(err);
  *shadow = (struct shadow){.arena = arena, .version = snapshot->server_version_num, .timezone = snapshot->timezone};
  enum status status = snapshot_load(snapshot->json, arena, &shadow->snapshot, err);
  if (status != OK) return status;
  if (!fill(shadow)) return error_oom(err);
  read_search_path(shadow, snapshot->search_path);
  *ret_shadow = shadow;
  return OK;
}

static struct rel *lookup(const struct shadow *shadow, const char *schema, const char *name) {
  struct rel *rel = shadow->buckets[hash_name(schema, name) % shadow->bucket_count];
  while (rel && (rel->dropped || strcmp(rel->t->name, name) != 0 || strcmp(rel->t->schema, schema) != 0)) rel = rel->next_in_bucket;
  return rel;
}

struct rel *shadow_find(struct shadow *shadow, const char *schema, const char *name) {
  if (!name) return NULL;
  if (schema) return lookup(shadow, schema, name);
  for (size_t i = 0; i < shadow->schemas.count; i++) {
    struct rel *rel = lookup(shadow, shadow->schemas.items[i], name);
    if (rel) return rel;
  }
  if (shadow->path_set) return NULL;
  const struct snap_table *only = snapshot_table(shadow->snapshot, NULL, name);
  return only && strcmp(only->name, name) == 0 ? lookup(shadow, only->schema, name) : NULL;
}

struct rel *shadow_range(struct shadow *shadow, const PgQuery__RangeVar *range) {
  return range ? shadow_find(shadow, sql_or_null(range->schemaname), range->relname) : NULL;
}

struct rel *shadow_named(struct shadow *shadow, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  return shadow_find(shadow, schema, name);
}

struct rel *shadow_of(struct shadow *shadow, const struct snap_table *table) {
  return table ? lookup(shadow, table->schema, table->name) : NULL;
}

const char *shadow_schema(struct shadow *shadow, const char *schema) {
  return schema ? schema : shadow->schemas.count ? shadow->schemas.items[0] : "public";
}

const char *shadow_target(struct shadow *shadow, const char *schema, const char *name) {
  return arena_printf(shadow->arena, "%s.%s", shadow_schema(shadow, schema), name);
}

struct rel *shadow_add(struct shadow *shadow, const char *schema, const char *name, enum snap_relkind kind) {
  struct snap_table *table = new_table(shadow, shadow_schema(shadow, schema), name, kind);
  struct rel *rel = table ? add_rel(shadow, table) : NULL;
  if (rel) rel->created = rel->empty = true;
  return rel;
}

static void drop_dependent(struct snap_table *table, const struct snap_table *view) {
  for (size_t i = 0; i < table->dependent_count; i++)
    if (table->dependents[i] == view) table->dependents[i--] = table->dependents[--table->dependent_count];
}

static void forget_reference(struct snap_table *ref, const struct snap_table *table, const char *name) {
  for (size_t i = 0; ref && i < ref->referenced_by_count; i++) {
    const struct snap_fk *fk = ref->referenced_by[i];
    if (fk->table == table && (!name || strcmp(fk->name, name) == 0))
      ref->referenced_by[i--] = ref->referenced_by[--ref->referenced_by_count];
  }
}

void shadow_drop(struct shadow *shadow, struct rel *rel) {
  rel->dropped = true;
  struct snap_table *table = rel->t;
  for (size_t i = 0; i < table->depends_on_count; i++) drop_dependent(table->depends_on[i], table);
  for (size_t i = 0; i < table->fk_count; i++) forget_reference(table->fks[i].ref, table, NULL);
  if (table->partition_of) {
    const char *dot = strchr(table->partition_of, '.');
    const char *schema = dot ? arena_strndup(shadow->arena, table->partition_of, (size_t)(dot - table->partition_of)) : NULL;
    struct rel *parent = schema ? shadow_find(shadow, schema, dot + 1) : NULL;
    if (parent) shadow_detach(shadow, parent, rel);
  }
  bucket_remove(shadow, rel);
}

void shadow_rename(struct shadow *shadow, struct rel *rel, const char *schema, const char *name) {
  shadow->renaming.rel = rel;
  shadow->renaming.schema = schema;
  shadow->renaming.name = name;
}

#define APPEND(shadow, rel, member, number, cap_member)                                                             \
  (list_reserve((shadow)->arena, &(rel)->t->member, (rel)->t->number, &(rel)->cap_member, sizeof *(rel)->t->member) \
       ? &(rel)->t->member[(rel)->t->number++]                                                                      \
       : NULL)

struct snap_column *shadow_add_column(struct shadow *shadow, struct rel *rel, const char *name, const char *type) {
  struct snap_column *column = APPEND(shadow, rel, columns, column_count, column_cap);
  if (column) *column = (struct snap_column){.name = name, .type = type ? type : "", .null_frac = -1};
  return column;
}

#define REMOVE(array, number, at)                                                     \
  do {                                                                                \
    memmove(&(array)[at], &(array)[(at) + 1], ((number) - (at)-1) * sizeof *(array)); \
    (number)--;                                                                       \
  } while (0)

void shadow_drop_column(struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->column_count; i++)
    if (strcmp(rel->t->columns[i].name, name) == 0) {
      REMOVE(rel->t->columns, rel->t->column_count, i);
      return;
    }
}

struct snap_constraint *shadow_add_constraint(struct shadow *shadow, struct rel *rel, const char *name, char type, const char *definition,
                                              bool validated) {
  struct snap_constraint *constraint = APPEND(shadow, rel, constraints, constraint_count, constraint_cap);
  if (constraint)
    *constraint = (struct snap_constraint){
        .name = name ? name : "", .type = type, .definition = definition ? definition : "", .validated = validated};
  return constraint;
}

struct snap_constraint *shadow_constraint(const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].name && strcmp(rel->t->constraints[i].name, name) == 0) return &rel->t->constraints[i];
  return NULL;
}

struct snap_fk *shadow_add_fk(struct shadow *shadow, struct rel *rel, const char *name, struct rel *ref, bool validated) {
  struct snap_fk *fk = APPEND(shadow, rel, fks, fk_count, fk_cap);
  if (!fk) return NULL;
  *fk = (struct snap_fk){.name = name ? name : "",
                         .table = rel->t,
                         .ref = ref ? ref->t : NULL,
                         .on_delete = "NO ACTION",
                         .on_update = "NO ACTION",
                         .validated = validated};
  struct snap_fk *copy = ref ? ARENA_NEW(shadow->arena, struct snap_fk) : NULL; /* of its own: the array above may move */
  struct snap_fk **slot = copy ? APPEND(shadow, ref, referenced_by, referenced_by_count, referenced_cap) : NULL;
  if (slot) {
    *copy = *fk;
    *slot = copy;
    fk->ref_schema = ref->t->schema;
    fk->ref_table = ref->t->name;
  }
  return fk;
}

struct snap_fk *shadow_fk(const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->fk_count; i++)
    if (strcmp(rel->t->fks[i].name, name) == 0) return &rel->t->fks[i];
  return NULL;
}

void shadow_drop_fk(struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->fk_count; i++)
    if (strcmp(rel->t->fks[i].name, name) == 0) {
      forget_reference(rel->t->fks[i].ref, rel->t, name);
      REMOVE(rel->t->fks, rel->t->fk_count, i);
      return;
    }
}

void shadow_drop_constraint(struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (strcmp(rel->t->constraints[i].name, name) == 0) {
      REMOVE(rel->t->constraints, rel->t->constraint_count, i);
      return;
    }
}

struct snap_index *shadow_add_index(struct shadow *shadow, struct rel *rel, const char *name) {
  struct snap_index *index = APPEND(shadow, rel, indexes, index_count, index_cap);
  if (index) *index = (struct snap_index){.name = name ? name : "", .method = "btree", .definition = "", .valid = true};
  return index;
}

struct snap_index *shadow_index(struct shadow *shadow, const char *schema, const char *name, struct rel **ret_rel) {
  for (size_t pass = 0; pass < (schema ? 1 : shadow->schemas.count + 1); pass++) {
    const char *wanted = schema ? schema : pass < shadow->schemas.count ? shadow->schemas.items[pass] : NULL;
    for (size_t i = 0; i < shadow->rels.count; i++) {
      struct rel *rel = shadow->rels.items[i];
      if (rel->dropped || !rel->t->index_count || (wanted && strcmp(rel->t->schema, wanted) != 0)) continue;
      for (size_t j = 0; j < rel->t->index_count; j++)
        if (strcmp(rel->t->indexes[j].name, name) == 0) {
          *ret_rel = rel;
          return &rel->t->indexes[j];
        }
    }
  }
  return NULL;
}

void shadow_drop_index(struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->index_count; i++)
    if (strcmp(rel->t->indexes[i].name, name) == 0) {
      REMOVE(rel->t->indexes, rel->t->index_count, i);
      return;
    }
}

void shadow_add_partition(struct shadow *shadow, struct rel *parent, struct rel *part, const char *bound) {
  struct snap_table **slot = APPEND(shadow, parent, partitions, partition_count, partition_cap);
  if (!slot) return;
  *slot = part->t;
  part->t->partition_of = parent->t->qualified;
  part->t->partition_bound = bound;
}

void shadow_add_heir(struct shadow *shadow, struct rel *parent, struct rel *heir) {
  struct snap_table **slot = APPEND(shadow, parent, partitions, partition_count, partition_cap);
  if (slot) *slot = heir->t;
}

void shadow_drop_heir(struct rel *parent, struct rel *heir) {
  for (size_t i = 0; i < parent->t->partition_count; i++)
    if (parent->t->partitions[i] == heir->t) {
      REMOVE(parent->t->partitions, parent->t->partition_count, i);
      break;
    }
}

void shadow_detach(struct shadow *shadow, struct rel *parent, struct rel *part) {
  (void)shadow;
  shadow_drop_heir(parent, part);
  part->t->partition_of = part->t->partition_bound = NULL;
  part->bound = NULL;
  part->bound_tried = false;
}

void shadow_add_dependent(struct shadow *shadow, struct rel *rel, struct rel *view) {
  struct snap_table **slot = APPEND(shadow, rel, dependents, dependent_count, dependent_cap);
  if (slot) *slot = view->t;
}

PgQuery__Node *shadow_view_query(struct shadow *shadow, struct rel *view) {
  if (!view->query_tried) {
    view->query_tried = true;
    view->query = sql_parse_statement(shadow->arena, view->t->definition);
  }
  return view->query;
}

/* Reads of one table in a query: the names it goes by, then the columns asked of those names. */
struct reading {
  struct shadow *shadow;
  const struct rel *table;
  const char *column;
  LIST(const char *) aliases;
  bool found;
};

static bool see_ranges(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && shadow_range(reading->shadow, node->range_var) == reading->table) {
    const PgQuery__Alias *alias = node->range_var->alias;
    const char **slot = LIST_PUSH(reading->shadow->arena, &reading->aliases);
    if (slot) *slot = alias ? alias->aliasname : node->range_var->relname;
  }
  return true;
}

static bool see_column(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return !reading->found;
  const PgQuery__ColumnRef *ref = node->column_ref;
  const char *qualifier, *name;
  sql_name_split(ref->n_fields, ref->fields, &qualifier, &name);
  if (name && strcmp(name, reading->column) != 0) return true; /* no name: a star */
  bool ours = !qualifier;
  for (size_t i = 0; !ours && i < reading->aliases.count; i++) ours = strcmp(qualifier, reading->aliases.items[i]) == 0;
  if (ours) reading->found = true;
  return !reading->found;
}

bool shadow_view_reads(struct shadow *shadow, struct rel *view, const struct rel *table, const char *column) {
  PgQuery__Node *query = shadow_view_query(shadow, view);
  if (!column || !query) return true; /* what can't be read is taken to depend */
  struct reading reading = {.shadow = shadow, .table = table, .column = column};
  sql_walk(query, see_ranges, &reading);
  if (reading.aliases.count) sql_walk(query, see_column, &reading);
  return reading.found;
}

bool shadow_same_type(const char *a, const char *b) {
  if (strcmp(a, b) == 0) return true;
  size_t long_a = strlen(a), long_b = strlen(b);
  const char *longer = long_a > long_b ? a : b, *shorter = long_a > long_b ? b : a;
  size_t skip = long_a > long_b ? long_a - long_b : long_b - long_a;
  return skip && longer[skip - 1] == '.' && strcmp(longer + skip, shorter) == 0;
}

const struct snap_domain *shadow_domain(const struct shadow *shadow, const char *type) {
  for (size_t i = 0; i < shadow->snapshot->domain_count; i++) {
    const struct snap_domain *domain = &shadow->snapshot->domains[i];
    size_t at = strlen(domain->schema);
    if (strcmp(type, domain->name) == 0) return domain;
    if (strncmp(type, domain->schema, at) == 0 && type[at] == '.' && strcmp(type + at + 1, domain->name) == 0) return domain;
  }
  return NULL;
}

const struct snap_enum *shadow_enum(const struct shadow *shadow, const char *type) {
  for (size_t i = 0; i < shadow->snapshot->enum_count; i++) {
    const struct snap_enum *one = &shadow->snapshot->enums[i];
    size_t at = strlen(one->schema);
    if (strcmp(type, one->name) == 0) return one;
    if (strncmp(type, one->schema, at) == 0 && type[at] == '.' && strcmp(type + at + 1, one->name) == 0) return one;
  }
  return NULL;
}

bool shadow_domain_constrained(const struct snap_domain *domain) { return domain && (domain->not_null || domain->check_count); }

struct rel *shadow_default_partition(struct shadow *shadow, const struct rel *parent) {
  for (size_t i = 0; i < parent->t->partition_count; i++) {
    const struct snap_table *part = parent->t->partitions[i];
    if (part->partition_bound && strcmp(part->partition_bound, "DEFAULT") == 0) return shadow_of(shadow, part);
  }
  return NULL;
}

bool shadow_is_table(const struct rel *rel) { return rel->t->kind == SNAP_TABLE || rel->t->kind == SNAP_MATVIEW; }

bool shadow_proves_not_null(struct shadow *shadow, const struct rel *rel, const char *column) {
  return bounds_check_not_null(shadow, rel, column);
}

/* --- renames reach into the queries of views --- */

struct renaming {
  struct shadow *shadow;
  const struct rel *rel;
  const char *from, *to, *schema;
};

static char *own(struct renaming *renaming, const char *text) { return arena_strdup(renaming->shadow->arena, text); }

static bool rename_range(void *arg, PgQuery__Node *node) {
  struct renaming *renaming = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || shadow_range(renaming->shadow, node->range_var) != renaming->rel) return true;
  char *schema = own(renaming, renaming->schema), *name = own(renaming, renaming->to);
  if (!schema || !name) return true;
  node->range_var->schemaname = schema;
  node->range_var->relname = name;
  return true;
}

static bool rename_reference(void *arg, PgQuery__Node *node) {
  struct renaming *renaming = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || !node->column_ref->n_fields) return true;
  PgQuery__Node *last = node->column_ref->fields[node->column_ref->n_fields - 1];
  char *name = sql_node_string(last) && strcmp(sql_node_string(last), renaming->from) == 0 ? own(renaming, renaming->to) : NULL;
  if (name) last->string->sval = name;
  return true;
}

static void rename_in_views(struct shadow *shadow, struct rel *rel, const char *schema, const char *name) {
  struct renaming renaming = {.shadow = shadow, .rel = rel, .to = name, .schema = schema};
  for (size_t i = 0; i < rel->t->dependent_count; i++) {
    struct rel *view = shadow_of(shadow, rel->t->dependents[i]);
    if (view) sql_walk(shadow_view_query(shadow, view), rename_range, &renaming);
  }
}

static void rename_in_list(const char **names, size_t count, const char *from, const char *to) {
  for (size_t i = 0; i < count; i++)
    if (names[i] && strcmp(names[i], from) == 0) names[i] = to;
}

void shadow_rename_column(struct shadow *shadow, struct rel *rel, const char *from, const char *to) {
  struct snap_table *table = rel->t;
  struct renaming renaming = {.shadow = shadow, .rel = rel, .from = from, .to = to};
  for (size_t i = 0; i < table->dependent_count; i++) {
    struct rel *view = shadow_of(shadow, table->dependents[i]);
    if (view && shadow_view_reads(shadow, view, rel, from)) sql_walk(shadow_view_query(shadow, view), rename_reference, &renaming);
  }
  for (size_t i = 0; i < table->column_count; i++)
    if (strcmp(table->columns[i].name, from) == 0) table->columns[i].name = to;
  for (size_t i = 0; i < table->index_count; i++) rename_in_list(table->indexes[i].columns, table->indexes[i].column_count, from, to);
  for (size_t i = 0; i < table->constraint_count; i++)
    rename_in_list(table->constraints[i].columns, table->constraints[i].column_count, from, to);
  for (size_t i = 0; i < table->fk_count; i++) rename_in_list(table->fks[i].columns, table->fks[i].column_count, from, to);
  for (size_t i = 0; i < table->referenced_by_count; i++)
    rename_in_list(table->referenced_by[i]->ref_columns, table->referenced_by[i]->column_count, from, to);
}

static void move(struct shadow *shadow, struct rel *rel, const char *schema, const char *name) {
  const char *qualified = arena_printf(shadow->arena, "%s.%s", schema, name);
  if (!qualified) return;
  rename_in_views(shadow, rel, schema, name);
  bucket_remove(shadow, rel);
  for (size_t i = 0; i < rel->t->partition_count; i++) rel->t->partitions[i]->partition_of = qualified;
  rel->t->schema = schema;
  rel->t->name = name;
  rel->t->qualified = qualified;
  bucket_insert(shadow, rel);
}

void shadow_settle(struct shadow *shadow) {
  struct rel *rel = shadow->renaming.rel;
  shadow->renaming.rel = NULL;
  if (rel) move(shadow, rel, shadow->renaming.schema, shadow->renaming.name);
}

void shadow_commit(struct shadow *shadow) { shadow->fresh_labels.count = 0; }

void shadow_rename_schema(struct shadow *shadow, const char *from, const char *to) {
  for (size_t i = 0; i < shadow->rels.count; i++) {
    struct rel *rel = shadow->rels.items[i];
    if (!rel->dropped && strcmp(rel->t->schema, from) == 0) move(shadow, rel, to, rel->t->name);
  }
  for (size_t i = 0; i < shadow->snapshot->enum_count; i++)
    if (strcmp(shadow->snapshot->enums[i].schema, from) == 0) shadow->snapshot->enums[i].schema = to;
  for (size_t i = 0; i < shadow->snapshot->domain_count; i++)
    if (strcmp(shadow->snapshot->domains[i].schema, from) == 0) shadow->snapshot->domains[i].schema = to;
}
