/* snapshot.c - from snapshot JSON to the model the agents walk.
 *
 * Two passes: every relation is filled from its JSON object and the array is sorted; then names are resolved to pointers, both ways
 * (foreign keys, partitions, views). Names are found by hash (lookup.h), so loading is linear in the size of the schema. Strings are
 * borrowed from the JSON. What is missing or of another type becomes the field's "unknown"; only a relation without a name is refused. */
#include "worker/schema/snapshot.h"

#include "common/json.h"
#include "worker/schema/lookup.h"

struct snap_lookup {
  struct lookup tables;     /* by schema and name */
  struct lookup tables_any; /* by name; value NULL when several schemas have it */
  struct lookup indexes;    /* values are struct index_place */
  struct lookup indexes_any;
  struct lookup functions; /* values are the most volatile overload */
  struct lookup functions_any;
  const char **path;
  size_t path_count; /* the search path's schemas, first wins */
};
struct index_place {
  struct snap_table *table;
  struct snap_index *index;
};

struct load {
  struct arena *arena;
  struct snapshot *snapshot;
  struct snap_lookup *lookup;
  bool oom;
};
typedef void (*fill_fn)(struct load *load, const json_t *json, void *item);

static const char *text(const json_t *object, const char *key) { return json_str(object, key, NULL); }
static const char *text_or_empty(const json_t *object, const char *key) { return json_str(object, key, ""); }

static double number(const json_t *object, const char *key, double otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void *take(struct load *load, size_t count, size_t size) {
  void *items = count ? arena_calloc(load->arena, count, size) : NULL;
  if (count && !items) load->oom = true;
  return items;
}

/* Fills one item per object of the list; what is not an object is passed over. */
static size_t fill_list(struct load *load, const json_t *list, fill_fn fill, void *items, size_t size) {
  size_t used = 0;
  for (size_t i = 0; items && i < json_array_size(list); i++) {
    const json_t *json = json_array_get(list, i);
    if (json_is_object(json)) fill(load, json, (char *)items + used++ * size);
  }
  return used;
}

static void *load_list(struct load *load, const json_t *owner, const char *key, fill_fn fill, size_t size, size_t *ret_count) {
  const json_t *list = json_object_get(owner, key);
  void *items = take(load, json_array_size(list), size);
  *ret_count = fill_list(load, list, fill, items, size);
  return items;
}

static const char **load_strings(struct load *load, const json_t *owner, const char *key, size_t *ret_count) {
  const json_t *list = json_object_get(owner, key);
  const char **items = take(load, json_array_size(list), sizeof *items);
  size_t used = 0;
  for (size_t i = 0; items && i < json_array_size(list); i++) {
    const char *value = json_string_value(json_array_get(list, i));
    if (value) items[used++] = value;
  }
  *ret_count = used;
  return items;
}

/* ---- the parts of a relation ---- */

static void fill_column(struct load *load, const json_t *json, void *item) {
  (void)load;
  const json_t *stats = json_object_get(json, "stats");
  *(struct snap_column *)item = (struct snap_column){.name = text_or_empty(json, "name"),
                                                     .type = text_or_empty(json, "type"),
                                                     .default_expr = text(json, "default"),
                                                     .comment = text(json, "comment"),
                                                     .identity = text(json, "identity"),
                                                     .generated = text(json, "generated"),
                                                     .not_null = !json_bool(json, "nullable", true),
                                                     .null_frac = number(stats, "null_frac", -1),
                                                     .n_distinct = number(stats, "n_distinct", 0),
                                                     .avg_width = number(stats, "avg_width", -1),
                                                     .correlation = number(stats, "correlation", 0)};
}

static void fill_constraint(struct load *load, const json_t *json, void *item) {
  struct snap_constraint *constraint = item;
  *constraint = (struct snap_constraint){.name = text_or_empty(json, "name"),
                                         .definition = text_or_empty(json, "definition"),
                                         .index = text(json, "index"),
                                         .validated = json_bool(json, "validated", true),
                                         .deferrable = json_bool(json, "deferrable", false)};
  constraint->columns = load_strings(load, json, "columns", &constraint->column_count);
}

static void fill_fk(struct load *load, const json_t *json, void *item) {
  struct snap_fk *fk = item;
  *fk = (struct snap_fk){.name = text_or_empty(json, "name"),
                         .ref_schema = text_or_empty(json, "ref_schema"),
                         .ref_table = text_or_empty(json, "ref_table"),
                         .on_delete = json_str(json, "on_delete", "NO ACTION"),
                         .on_update = json_str(json, "on_update", "NO ACTION"),
                         .validated = json_bool(json, "validated", true) && json_bool(json, "enforced", true),
                         .deferrable = json_bool(json, "deferrable", false)};
  size_t ref_count;
  fk->columns = load_strings(load, json, "columns", &fk->column_count);
  fk->ref_columns = load_strings(load, json, "ref_columns", &ref_count);
  if (ref_count < fk->column_count) fk->column_count = ref_count; /* the lists go in pairs */
}

static void fill_index(struct load *load, const json_t *json, void *item) {
  struct snap_index *index = item;
  *index = (struct snap_index){.name = text_or_empty(json, "name"),
                               .definition = text_or_empty(json, "definition"),
                               .method = json_str(json, "method", "btree"),
                               .predicate = text(json, "predicate"),
                               .unique = json_bool(json, "unique", false),
                               .valid = json_bool(json, "valid", true),
                               .primary = json_bool(json, "primary", false),
                               .bytes = json_int(json, "bytes", -1),
                               .scans = json_int(json, "scans", -1)};
  index->columns = load_strings(load, json, "columns", &index->column_count);
}

static void fill_trigger(struct load *load, const json_t *json, void *item) {
  (void)load;
  *(struct snap_trigger *)item = (struct snap_trigger){
      .name = text_or_empty(json, "name"), .definition = text_or_empty(json, "definition"), .function = text_or_empty(json, "function")};
}

static void fill_policy(struct load *load, const json_t *json, void *item) {
  (void)load;
  *(struct snap_policy *)item = (struct snap_policy){.name = text_or_empty(json, "name"), .definition = text_or_empty(json, "definition")};
}

static void load_constraints(struct load *load, const json_t *json, struct snap_table *table) {
  static const struct {
    const char *key;
    char type;
  } kinds[] = {{"unique", 'u'}, {"checks", 'c'}, {"exclusions", 'x'}, {"not_nulls", 'n'}};
  const json_t *primary = json_object_get(json, "primary_key");
  size_t total = json_is_object(primary);
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) total += json_array_size(json_object_get(json, kinds[k].key));
  struct snap_constraint *all = table->constraints = take(load, total, sizeof *all);
  if (!all) return;
  size_t used = 0;
  if (json_is_object(primary)) {
    fill_constraint(load, primary, &all[used]);
    all[used++].type = 'p';
  }
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    size_t made = fill_list(load, json_object_get(json, kinds[k].key), fill_constraint, all + used, sizeof *all);
    for (size_t i = 0; i < made; i++) all[used + i].type = kinds[k].type;
    used += made;
  }
  table->constraint_count = used;
}

static enum snap_relkind relkind_of(const char *kind, bool view) {
  static const struct {
    const char *text;
    enum snap_relkind kind;
  } kinds[] = {
      {"partitioned_table", SNAP_PARTITIONED}, {"foreign_table", SNAP_FOREIGN}, {"materialized_view", SNAP_MATVIEW}, {"view", SNAP_VIEW}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kind, kinds[i].text) == 0) return kinds[i].kind;
  return view ? SNAP_VIEW : SNAP_TABLE;
}

static struct snap_activity activity_of(const json_t *json) {
  double seconds = number(json, "seconds", 0), reads = number(json, "seq_scan", 0) + number(json, "idx_scan", 0),
         writes = number(json, "n_tup_ins", 0) + number(json, "n_tup_upd", 0) + number(json, "n_tup_del", 0);
  bool known = json_is_object(json) && seconds > 0;
  return (struct snap_activity){.reads_per_s = known ? reads / seconds : -1,
                                .writes_per_s = known ? writes / seconds : -1,
                                .changed_since_analyze = json_int(json, "n_mod_since_analyze", -1)};
}

static void fill_table(struct load *load, const json_t *json, struct snap_table *table, bool view) {
  *table = (struct snap_table){.schema = text(json, "schema"),
                               .name = text(json, "name"),
                               .kind = relkind_of(text_or_empty(json, "kind"), view),
                               .comment = text(json, "comment"),
                               .owner = text(json, "owner"),
                               .rows = json_int(json, "estimated_rows", -1),
                               .bytes = json_int(json, "total_bytes", 0),
                               .empty = json_int(json, "heap_bytes", -1) == 0,
                               .activity = activity_of(json_object_get(json, "activity")),
                               .partition_of = text(json, "partition_of"),
                               .partition_bound = text(json, "partition_bound"),
                               .partition_key = text(json, "partition_key"),
                               .definition = text(json, "definition"),
                               .rls = json_bool(json, "rls", false),
                               .unlogged = strcmp(text_or_empty(json, "persistence"), "unlogged") == 0};
  if (!table->schema || !table->name) return; /* refused by the caller */
  table->qualified = arena_printf(load->arena, "%s.%s", table->schema, table->name);
  if (!table->qualified) load->oom = true;
  table->columns = load_list(load, json, "columns", fill_column, sizeof *table->columns, &table->column_count);
  load_constraints(load, json, table);
  table->fks = load_list(load, json, "foreign_keys", fill_fk, sizeof *table->fks, &table->fk_count);
  table->indexes = load_list(load, json, "indexes", fill_index, sizeof *table->indexes, &table->index_count);
  table->triggers = load_list(load, json, "triggers", fill_trigger, sizeof *table->triggers, &table->trigger_count);
  table->policies = load_list(load, json, "policies", fill_policy, sizeof *table->policies, &table->policy_count);
}

/* ---- everything that is not a relation ---- */

static void fill_enum(struct load *load, const json_t *json, void *item) {
  struct snap_enum *type = item;
  *type = (struct snap_enum){.schema = text_or_empty(json, "schema"), .name = text_or_empty(json, "name")};
  type->labels = load_strings(load, json, "labels", &type->label_count);
}

static void fill_domain(struct load *load, const json_t *json, void *item) {
  struct snap_domain *domain = item;
  *domain = (struct snap_domain){.schema = text_or_empty(json, "schema"),
                                 .name = text_or_empty(json, "name"),
                                 .base_type = text_or_empty(json, "base_type"),
                                 .default_expr = text(json, "default"),
                                 .not_null = json_bool(json, "not_null", false)};
  const json_t *checks = json_object_get(json, "checks");
  domain->checks = take(load, json_array_size(checks), sizeof *domain->checks);
  for (size_t i = 0; domain->checks && i < json_array_size(checks); i++) {
    const char *definition = text(json_array_get(checks, i), "definition");
    if (definition) domain->checks[domain->check_count++] = definition;
  }
}

static void fill_sequence(struct load *load, const json_t *json, void *item) {
  (void)load;
  *(struct snap_sequence *)item = (struct snap_sequence){
      .schema = text_or_empty(json, "schema"), .name = text_or_empty(json, "name"), .owned_by = text(json, "owned_by")};
}

static char volatility_of(const char *word) {
  if (strcmp(word, "immutable") == 0) return 'i';
  return strcmp(word, "stable") == 0 ? 's' : 'v';
}

static void fill_function(struct load *load, const json_t *json, void *item) {
  (void)load;
  *(struct snap_function *)item = (struct snap_function){.schema = text_or_empty(json, "schema"),
                                                         .name = text_or_empty(json, "name"),
                                                         .arguments = text_or_empty(json, "arguments"),
                                                         .returns = text_or_empty(json, "returns"),
                                                         .language = text_or_empty(json, "language"),
                                                         .kind = json_str(json, "kind", "function"),
                                                         .volatility = volatility_of(text_or_empty(json, "volatility")),
                                                         .security_definer = json_bool(json, "security_definer", false)};
}

static void fill_extension(struct load *load, const json_t *json, void *item) {
  (void)load;
  *(struct snap_extension *)item = (struct snap_extension){
      .name = text_or_empty(json, "name"), .version = text_or_empty(json, "version"), .schema = text_or_empty(json, "schema")};
}

static void load_rest(struct load *load, const json_t *json) {
  struct snapshot *snap = load->snapshot;
  snap->enums = load_list(load, json, "enums", fill_enum, sizeof *snap->enums, &snap->enum_count);
  snap->domains = load_list(load, json, "domains", fill_domain, sizeof *snap->domains, &snap->domain_count);
  snap->sequences = load_list(load, json, "sequences", fill_sequence, sizeof *snap->sequences, &snap->sequence_count);
  snap->functions = load_list(load, json, "functions", fill_function, sizeof *snap->functions, &snap->function_count);
  snap->extensions = load_list(load, json, "extensions", fill_extension, sizeof *snap->extensions, &snap->extension_count);
}

/* ---- relations: filled, sorted, then linked ---- */

static int by_qualified(const void *a, const void *b) {
  const struct snap_table *left = a, *right = b;
  int order = strcmp(left->qualified, right->qualified);
  return order ? order : strcmp(left->schema, right->schema); /* "a.b"."c" and "a"."b.c" */
}

static enum status load_relations(struct load *load, const json_t *json, struct error *err) {
  struct snapshot *snap = load->snapshot;
  static const char *const keys[] = {"tables", "views"};
  size_t total = 0;
  for (int k = 0; k < 2; k++) total += json_array_size(json_object_get(json, keys[k]));
  snap->tables = take(load, total, sizeof *snap->tables);
  for (int k = 0; snap->tables && k < 2; k++) {
    const json_t *list = json_object_get(json, keys[k]);
    for (size_t i = 0; i < json_array_size(list); i++) {
      struct snap_table *table = &snap->tables[snap->table_count];
      fill_table(load, json_array_get(list, i), table, k == 1);
      if (!table->schema || !table->name)
        return error_set(err, ERR_INTERNAL, "the stored snapshot is damaged: %s[%zu] has no name", keys[k], i);
      if (load->oom) return error_oom(err);
      snap->table_count++;
    }
  }
  if (snap->table_count) qsort(snap->tables, snap->table_count, sizeof *snap->tables, by_qualified);
  return OK;
}

/* Any relation that has `what` of a table gets the table in turn: counted first, so that each list is allocated once. */
static void push(struct snap_table **list, size_t *count, struct snap_table *table) { list[(*count)++] = table; }

static struct snap_table *named(struct load *load, const json_t *json) {
  return lookup_get(&load->lookup->tables, text_or_empty(json, "schema"), text_or_empty(json, "name"));
}

static void link_fks(struct load *load) {
  struct snapshot *snap = load->snapshot;
  for (size_t t = 0; t < snap->table_count; t++)
    for (size_t i = 0; i < snap->tables[t].fk_count; i++) {
      struct snap_fk *fk = &snap->tables[t].fks[i];
      fk->table = &snap->tables[t];
      fk->ref = lookup_get(&load->lookup->tables, fk->ref_schema, fk->ref_table);
      if (fk->ref) fk->ref->referenced_by_count++;
    }
  for (size_t t = 0; t < snap->table_count; t++) {
    struct snap_table *table = &snap->tables[t];
    table->referenced_by = take(load, table->referenced_by_count, sizeof(struct snap_fk *));
    table->referenced_by_count = 0;
  }
  for (size_t t = 0; !load->oom && t < snap->table_count; t++)
    for (size_t i = 0; i < snap->tables[t].fk_count; i++) {
      struct snap_fk *fk = &snap->tables[t].fks[i];
      if (fk->ref) fk->ref->referenced_by[fk->ref->referenced_by_count++] = fk;
    }
}

/* Resolves the list under `key` of a relation's JSON ("parents", "depends_on"); relations that are not in the snapshot are left out. */
static struct snap_table **resolve(struct load *load, const json_t *json, const char *key, size_t *ret_count) {
  const json_t *list = json_object_get(json, key);
  struct snap_table **found = take(load, json_array_size(list), sizeof(struct snap_table *));
  *ret_count = 0;
  for (size_t i = 0; found && i < json_array_size(list); i++) {
    struct snap_table *table = named(load, json_array_get(list, i));
    if (table) push(found, ret_count, table);
  }
  return found;
}

struct links {
  struct snap_table **to;
  size_t count;
}; /* of one relation, before they are turned round */

static void link_partitions(struct load *load, struct links *parents) {
  struct snapshot *snap = load->snapshot;
  for (size_t t = 0; t < snap->table_count; t++)
    for (size_t i = 0; i < parents[t].count; i++) parents[t].to[i]->partition_count++;
  for (size_t t = 0; t < snap->table_count; t++) {
    snap->tables[t].partitions = take(load, snap->tables[t].partition_count, sizeof(struct snap_table *));
    snap->tables[t].partition_count = 0;
  }
  for (size_t t = 0; !load->oom && t < snap->table_count; t++)
    for (size_t i = 0; i < parents[t].count; i++) push(parents[t].to[i]->partitions, &parents[t].to[i]->partition_count, &snap->tables[t]);
}

static void link_views(struct load *load) {
  struct snapshot *snap = load->snapshot;
  for (size_t t = 0; t < snap->table_count; t++)
    for (size_t i = 0; i < snap->tables[t].depends_on_count; i++) snap->tables[t].depends_on[i]->dependent_count++;
  for (size_t t = 0; t < snap->table_count; t++) {
    snap->tables[t].dependents = take(load, snap->tables[t].dependent_count, sizeof(struct snap_table *));
    snap->tables[t].dependent_count = 0;
  }
  for (size_t t = 0; !load->oom && t < snap->table_count; t++)
    for (size_t i = 0; i < snap->tables[t].depends_on_count; i++) {
      struct snap_table *read = snap->tables[t].depends_on[i];
      push(read->dependents, &read->dependent_count, &snap->tables[t]);
    }
}

static void link_json(struct load *load, const json_t *json) {
  struct snapshot *snap = load->snapshot;
  static const char *const keys[] = {"tables", "views"};
  struct links *parents = take(load, snap->table_count, sizeof *parents);
  for (int k = 0; parents && k < 2; k++) {
    const json_t *list = json_object_get(json, keys[k]);
    for (size_t i = 0; i < json_array_size(list); i++) {
      const json_t *item = json_array_get(list, i);
      struct snap_table *table = named(load, item);
      if (!table) continue;
      struct links *up = &parents[table - snap->tables];
      up->to = resolve(load, item, "parents", &up->count);
      table->depends_on = resolve(load, item, "depends_on", &table->depends_on_count);
    }
  }
  if (load->oom || !parents) return;
  link_partitions(load, parents);
  link_views(load);
}

/* A sequence's numbers end at its own maximum or where the column's type does. */
static void link_sequences(struct load *load, const json_t *json) {
  const json_t *list = json_object_get(json, "sequences");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *sequence = json_array_get(list, i), *place = json_object_get(sequence, "owner_column");
    const struct snap_table *table = lookup_get(&load->lookup->tables, text_or_empty(place, "schema"), text_or_empty(place, "table"));
    struct snap_column *column = table ? snap_table_column(table, text_or_empty(place, "column")) : NULL;
    if (!column || json_bool(sequence, "cycle", false)) continue;
    double end = number(sequence, "max", 0), fits = strcmp(column->type, "smallint") == 0  ? INT16_MAX
                                                    : strcmp(column->type, "integer") == 0 ? INT32_MAX
                                                                                           : end;
    if (fits < end) end = fits;
    if (end > 0) column->numbers_used = number(sequence, "last_value", 0) / end;
  }
}

/* ---- names ---- */

/* By name alone: the first of a name is kept, a second one makes the name ambiguous. */
static bool index_any(struct lookup *any, const char *name, void *value) {
  void **slot = lookup_slot(any, "", name);
  if (!slot) return false;
  *slot = *slot ? LOOKUP_AMBIGUOUS : value;
  return true;
}

static bool index_relation(struct load *load, struct snap_table *table) {
  struct snap_lookup *lookup = load->lookup;
  void **slot = lookup_slot(&lookup->tables, table->schema, table->name);
  if (!slot || *slot) return slot != NULL; /* a damaged snapshot may repeat itself: the first counts */
  *slot = table;
  if (!index_any(&lookup->tables_any, table->name, table)) return false;
  for (size_t i = 0; i < table->index_count; i++) {
    struct index_place *place = ARENA_NEW(load->arena, struct index_place);
    slot = lookup_slot(&lookup->indexes, table->schema, table->indexes[i].name);
    if (!place || !slot) return false;
    *place = (struct index_place){table, &table->indexes[i]};
    *slot = place;
    if (!index_any(&lookup->indexes_any, table->indexes[i].name, place)) return false;
  }
  return true;
}

static int volatility_rank(char volatility) { return volatility == 'i' ? 0 : volatility == 's' ? 1 : 2; }

static bool index_function(struct lookup *functions, const char *schema, struct snap_function *function) {
  void **slot = lookup_slot(functions, schema, function->name);
  if (!slot) return false;
  const struct snap_function *known = *slot;
  if (!known || volatility_rank(function->volatility) > volatility_rank(known->volatility)) *slot = function;
  return true;
}

static bool build_lookup(struct load *load, const json_t *json) {
  struct snapshot *snap = load->snapshot;
  struct snap_lookup *lookup = load->lookup;
  size_t indexes = 0;
  for (size_t t = 0; t < snap->table_count; t++) indexes += snap->tables[t].index_count;
  if (!lookup_init(&lookup->tables, load->arena, snap->table_count) || !lookup_init(&lookup->tables_any, load->arena, snap->table_count) ||
      !lookup_init(&lookup->indexes, load->arena, indexes) || !lookup_init(&lookup->indexes_any, load->arena, indexes) ||
      !lookup_init(&lookup->functions, load->arena, snap->function_count) ||
      !lookup_init(&lookup->functions_any, load->arena, snap->function_count))
    return false;
  for (size_t t = 0; t < snap->table_count; t++)
    if (!index_relation(load, &snap->tables[t])) return false;
  for (size_t f = 0; f < snap->function_count; f++) {
    struct snap_function *function = &snap->functions[f];
    if (!index_function(&lookup->functions, function->schema, function) || !index_function(&lookup->functions_any, "", function))
      return false;
  }
  lookup->path = load_strings(load, json, "search_path_schemas", &lookup->path_count);
  return !load->oom;
}

/* ---- public ---- */

/* What follows the identifier in the text; NULL: it does not begin with it. */
static const char *after_identifier(const char *text, const char *name) {
  bool quoted = *text == '"';
  for (text += quoted; *name; name++) {
    if (*text++ != *name) return NULL;
    if (quoted && *name == '"' && *text++ != '"') return NULL;
  }
  if (quoted && *text++ != '"') return NULL;
  return text;
}

bool snapshot_type_is(const char *type, const char *schema, const char *name) {
  const char *rest = after_identifier(type, schema);
  if (rest && *rest == '.') type = rest + 1;
  rest = after_identifier(type, name);
  return rest && !*rest;
}

static const struct snap_domain *domain_of(const struct snapshot *snapshot, const char *type) {
  for (size_t i = 0; i < snapshot->domain_count; i++) {
    const struct snap_domain *domain = &snapshot->domains[i];
    if (domain->base_type && snapshot_type_is(type, domain->schema, domain->name)) return domain;
  }
  return NULL;
}

#define DOMAIN_LEVELS 8 /* domains over domains */
static void link_domains(struct snapshot *snapshot) {
  for (size_t t = 0; t < snapshot->table_count; t++)
    for (size_t c = 0; c < snapshot->tables[t].column_count; c++) {
      struct snap_column *column = &snapshot->tables[t].columns[c];
      column->base_type = column->type;
      const struct snap_domain *domain;
      for (int level = 0; level < DOMAIN_LEVELS && (domain = domain_of(snapshot, column->base_type)); level++)
        column->base_type = domain->base_type;
    }
}

enum status snapshot_load(const json_t *json, struct arena *arena, struct snapshot **ret_snapshot, struct error *err) {
  if (!json_is_object(json)) return error_set(err, ERR_INTERNAL, "the stored snapshot is damaged: it is not a JSON object");
  struct load load = {.arena = arena, .snapshot = ARENA_NEW(arena, struct snapshot), .lookup = ARENA_NEW(arena, struct snap_lookup)};
  if (!load.snapshot || !load.lookup) return error_oom(err);
  *load.snapshot = (struct snapshot){.id = text(json, "snapshot_id"),
                                     .fingerprint = text(json, "fingerprint"),
                                     .server_version = text_or_empty(json, "server_version"),
                                     .server_version_num = (int)json_int(json, "server_version_num", 0),
                                     .timezone = text(json, "timezone"),
                                     .search_path = text(json, "search_path"),
                                     .json = json,
                                     .lookup = load.lookup};
  enum status status = load_relations(&load, json, err);
  if (status) return status;
  load_rest(&load, json);
  if (load.oom || !build_lookup(&load, json)) return error_oom(err);
  link_fks(&load);
  link_json(&load, json);
  link_domains(load.snapshot);
  link_sequences(&load, json);
  if (load.oom) return error_oom(err);
  *ret_snapshot = load.snapshot;
  return OK;
}

/* Along the search path, then anywhere if the name is unique. */
static void *find(const struct snap_lookup *lookup, const struct lookup *exact, const struct lookup *any, const char *schema,
                  const char *name) {
  if (!name) return NULL;
  if (schema) return lookup_get(exact, schema, name);
  for (size_t i = 0; i < lookup->path_count; i++) {
    void *found = lookup_get(exact, lookup->path[i], name);
    if (found) return found;
  }
  void *found = lookup_get(any, "", name);
  return found == LOOKUP_AMBIGUOUS ? NULL : found;
}

struct snap_table *snapshot_table(const struct snapshot *snapshot, const char *schema, const char *name) {
  const struct snap_lookup *lookup = snapshot->lookup;
  return find(lookup, &lookup->tables, &lookup->tables_any, schema, name);
}

const struct snap_table *snapshot_topmost(const struct snapshot *snapshot, const struct snap_table *table) {
  for (int depth = 0; table && table->partition_of && depth < 32; depth++) {
    const struct snap_table *parent = NULL;
    for (size_t i = 0; i < snapshot->table_count && !parent; i++)
      if (strcmp(snapshot->tables[i].qualified, table->partition_of) == 0) parent = &snapshot->tables[i];
    if (!parent) break;
    table = parent;
  }
  return table;
}

struct snap_column *snap_table_column(const struct snap_table *table, const char *name) {
  for (size_t i = 0; i < table->column_count; i++)
    if (strcmp(table->columns[i].name, name) == 0) return &table->columns[i];
  return NULL;
}

bool snap_table_refers_by(const struct snap_table *table, const char *column) {
  for (size_t i = 0; i < table->fk_count; i++)
    for (size_t c = 0; c < table->fks[i].column_count; c++)
      if (strcmp(table->fks[i].columns[c], column) == 0) return true;
  return false;
}

struct snap_table *snapshot_index_table(const struct snapshot *snapshot, const char *schema, const char *index,
                                        struct snap_index **ret_index) {
  const struct snap_lookup *lookup = snapshot->lookup;
  const struct index_place *place = find(lookup, &lookup->indexes, &lookup->indexes_any, schema, index);
  if (!place) return NULL;
  if (ret_index) *ret_index = place->index;
  return place->table;
}

char snapshot_function_volatility(const struct snapshot *snapshot, const char *schema, const char *name) {
  const struct snap_lookup *lookup = snapshot->lookup;
  const struct snap_function *function = !name    ? NULL
                                         : schema ? lookup_get(&lookup->functions, schema, name)
                                                  : lookup_get(&lookup->functions_any, "", name);
  return function ? function->volatility : 'v';
}
