/* shadow_json.c - the model written back, key for key what snapshot.c reads. */
#include "worker/migration/shadow_json.h"

#include "common/json.h"

static json_t *strings(const char *const *items, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_append_str(array, items[i] ? items[i] : "");
  return array;
}

static json_t *column_json(const struct snap_column *column) {
  json_t *json = json_pack("{s:s, s:s, s:b}", "name", column->name, "type", column->type, "nullable", !column->not_null);
  json_set_str(json, "default", column->default_expr);
  json_set_str(json, "comment", column->comment);
  json_set_str(json, "identity", column->identity);
  json_set_str(json, "generated", column->generated);
  if (column->null_frac >= 0)
    json_object_set_new(json, "stats", json_pack("{s:f, s:f}", "null_frac", column->null_frac, "n_distinct", column->n_distinct));
  return json;
}

static json_t *constraint_json(const struct snap_constraint *constraint) {
  json_t *json = json_pack("{s:s, s:s, s:b, s:b, s:o}", "name", constraint->name, "definition", constraint->definition, "validated",
                           constraint->validated, "deferrable", constraint->deferrable, "columns",
                           strings(constraint->columns, constraint->columns ? constraint->column_count : 0));
  json_set_str(json, "index", constraint->index);
  return json;
}

static json_t *fk_json(const struct snap_fk *fk) {
  const char *schema = fk->ref ? fk->ref->schema : fk->ref_schema, *table = fk->ref ? fk->ref->name : fk->ref_table; /* renamed since? */
  return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:b}", "name", fk->name, "ref_schema", schema ? schema : "", "ref_table",
                   table ? table : "", "columns", strings(fk->columns, fk->columns ? fk->column_count : 0), "ref_columns",
                   strings(fk->ref_columns, fk->ref_columns ? fk->column_count : 0), "on_delete", fk->on_delete, "on_update", fk->on_update,
                   "validated", fk->validated);
}

static json_t *index_json(const struct snap_index *index) {
  json_t *json =
      json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:o}", "name", index->name, "definition", index->definition ? index->definition : "",
                "method", index->method ? index->method : "btree", "unique", index->unique, "valid", index->valid, "primary",
                index->primary, "columns", strings(index->columns, index->columns ? index->column_count : 0));
  json_set_str(json, "predicate", index->predicate);
  return json;
}

static json_t *name_json(const struct snap_table *table) { return json_pack("{s:s, s:s}", "schema", table->schema, "name", table->name); }

/* The relations whose `list` holds the table: parents have partitions, what is read has dependents. */
static json_t *holders(const struct shadow *shadow, const struct snap_table *table, bool partitions) {
  json_t *array = json_array();
  for (size_t i = 0; i < shadow->rels.count; i++) {
    const struct snap_table *other = shadow->rels.items[i]->t;
    struct snap_table *const *list = partitions ? other->partitions : other->dependents;
    size_t count = partitions ? other->partition_count : other->dependent_count;
    if (shadow->rels.items[i]->dropped) continue;
    for (size_t k = 0; k < count; k++)
      if (list[k] == table) {
        json_array_append_new(array, name_json(other));
        break;
      }
  }
  return array;
}

static void add_constraints(json_t *json, const struct snap_table *table) {
  static const struct {
    const char *key;
    char type;
  } kinds[] = {{"unique", 'u'}, {"checks", 'c'}, {"exclusions", 'x'}, {"not_nulls", 'n'}};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) json_object_set_new(json, kinds[k].key, json_array());
  for (size_t i = 0; i < table->constraint_count; i++) {
    const struct snap_constraint *constraint = &table->constraints[i];
    if (constraint->type == 'p') json_object_set_new(json, "primary_key", constraint_json(constraint));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
      if (constraint->type == kinds[k].type) json_array_append_new(json_object_get(json, kinds[k].key), constraint_json(constraint));
  }
}

static void add_lists(json_t *json, const struct snap_table *table) {
  json_t *columns = json_array(), *fks = json_array(), *indexes = json_array(), *triggers = json_array(), *policies = json_array();
  for (size_t i = 0; i < table->column_count; i++) json_array_append_new(columns, column_json(&table->columns[i]));
  for (size_t i = 0; i < table->fk_count; i++) json_array_append_new(fks, fk_json(&table->fks[i]));
  for (size_t i = 0; i < table->index_count; i++) json_array_append_new(indexes, index_json(&table->indexes[i]));
  for (size_t i = 0; i < table->trigger_count; i++) {
    const struct snap_trigger *trigger = &table->triggers[i];
    json_array_append_new(triggers,
                          json_pack("{s:s, s:s, s:s}", "name", trigger->name, "definition", trigger->definition ? trigger->definition : "",
                                    "function", trigger->function ? trigger->function : ""));
  }
  for (size_t i = 0; i < table->policy_count; i++)
    json_array_append_new(policies, json_pack("{s:s, s:s}", "name", table->policies[i].name, "definition",
                                              table->policies[i].definition ? table->policies[i].definition : ""));
  json_object_set_new(json, "columns", columns);
  json_object_set_new(json, "foreign_keys", fks);
  json_object_set_new(json, "indexes", indexes);
  json_object_set_new(json, "triggers", triggers);
  json_object_set_new(json, "policies", policies);
}

static const char *kind_name(enum snap_relkind kind) {
  switch (kind) {
  case SNAP_PARTITIONED: return "partitioned_table";
  case SNAP_FOREIGN: return "foreign_table";
  case SNAP_MATVIEW: return "materialized_view";
  case SNAP_VIEW: return "view";
  default: return "table";
  }
}

static json_t *relation_json(const struct shadow *shadow, const struct rel *rel) {
  const struct snap_table *table = rel->t;
  json_t *json = name_json(table);
  json_set_str(json, "kind", kind_name(table->kind));
  json_set_str(json, "comment", table->comment);
  json_set_str(json, "owner", table->owner);
  json_object_set_new(json, "estimated_rows", rel->empty || rel->written || table->rows < 0 ? json_null() : json_integer(table->rows));
  json_object_set_new(json, "total_bytes", rel->empty || table->bytes <= 0 ? json_null() : json_integer(table->bytes));
  json_set_str(json, "partition_of", table->partition_of);
  json_set_str(json, "partition_bound", table->partition_bound);
  json_set_str(json, "partition_key", table->partition_key);
  json_set_str(json, "definition", table->definition);
  json_set_str(json, "persistence", table->unlogged ? "unlogged" : "permanent");
  json_object_set_new(json, "rls", json_boolean(table->rls));
  add_lists(json, table);
  add_constraints(json, table);
  json_object_set_new(json, "parents", holders(shadow, table, true));
  json_object_set_new(json, "depends_on", holders(shadow, table, false));
  return json;
}

static void add_relations(json_t *root, const struct shadow *shadow) {
  json_t *tables = json_array(), *views = json_array(), *sequences = json_array();
  for (size_t i = 0; i < shadow->rels.count; i++) {
    const struct rel *rel = shadow->rels.items[i];
    if (rel->dropped) continue;
    bool view = rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_MATVIEW;
    if (rel->t->kind == SNAP_SEQUENCE) {
      json_t *sequence = name_json(rel->t);
      json_set_str(sequence, "owned_by", rel->owned_by);
      json_array_append_new(sequences, sequence);
    } else {
      json_array_append_new(view ? views : tables, relation_json(shadow, rel));
    }
  }
  json_object_set_new(root, "tables", tables);
  json_object_set_new(root, "views", views);
  json_object_set_new(root, "sequences", sequences);
}

static void add_types(json_t *root, const struct snapshot *snapshot) {
  json_t *enums = json_array(), *domains = json_array();
  for (size_t i = 0; i < snapshot->enum_count; i++) {
    const struct snap_enum *type = &snapshot->enums[i];
    json_array_append_new(enums, json_pack("{s:s, s:s, s:o}", "schema", type->schema, "name", type->name, "labels",
                                           strings(type->labels, type->labels ? type->label_count : 0)));
  }
  for (size_t i = 0; i < snapshot->domain_count; i++) {
    const struct snap_domain *domain = &snapshot->domains[i];
    json_t *json = json_pack("{s:s, s:s, s:s, s:b}", "schema", domain->schema, "name", domain->name, "base_type",
                             domain->base_type ? domain->base_type : "", "not_null", domain->not_null);
    json_t *checks = json_array();
    for (size_t k = 0; domain->checks && k < domain->check_count; k++)
      json_array_append_new(checks, json_pack("{s:s?}", "definition", domain->checks[k]));
    json_set_str(json, "default", domain->default_expr);
    json_object_set_new(json, "checks", checks);
    json_array_append_new(domains, json);
  }
  json_object_set_new(root, "enums", enums);
  json_object_set_new(root, "domains", domains);
}

json_t *shadow_json(const struct shadow *shadow) {
  json_t *root = json_copy((json_t *)(uintptr_t)shadow->snapshot->json);
  if (!root) return NULL;
  json_object_del(root, "snapshot_id");
  json_object_del(root, "fingerprint");
  add_relations(root, shadow);
  add_types(root, shadow->snapshot);
  return root;
}
