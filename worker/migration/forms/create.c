/* forms/create.c - what CREATE does to relations that exist already: parents, partitions, referenced and read tables. */
#include "common/json.h"
#include "worker/migration/forms/bounds.h"
#include "worker/migration/forms/columns.h"
#include "worker/migration/forms/feasibility.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/indexing.h"
#include "worker/migration/forms/names.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/outputs.h"
#include "worker/sql/text.h"
#include "worker/sql/volatility.h"

/* The existing relation of that name, when there is one to stumble over. */
static bool exists_already(struct form *form, const PgQuery__RangeVar *range, bool if_not_exists) {
  const char *schema = shadow_schema(form->shadow, sql_or_null(range->schemaname));
  struct rel *rel = shadow_find(form->shadow, schema, range->relname);
  struct rel *owner = NULL;
  if (!rel && shadow_index(form->shadow, schema, range->relname, &owner)) {
    if (!if_not_exists) form_fails(form, "42P07", "no index %s exists", range->relname);
    return true;
  }
  if (!rel) return false;
  effect_table(form->effect, rel);
  if (!if_not_exists) form_fails(form, "42P07", "no relation %s exists", rel->t->qualified);
  return true;
}

#define LIKE(option) (1u << (PG_QUERY__TABLE_LIKE_OPTION__CREATE_TABLE_LIKE_##option - 1))
#define ALL 0xffffffffu

/* options: bits of TableLikeOption, as the parser sets them. */
static struct snap_column *copy_column(struct form *form, struct rel *rel, const struct snap_column *from, uint32_t options) {
  struct snap_column *column = shadow_add_column(form->shadow, rel, from->name, from->type);
  if (!column) return NULL;
  column->not_null = from->not_null;
  if (options & LIKE(DEFAULTS)) column->default_expr = from->default_expr;
  if (options & LIKE(GENERATED)) column->generated = from->generated;
  if (options & LIKE(IDENTITY)) column->identity = from->identity;
  return column;
}

/* A default of nextval() depends on the sequence. */
static void copy_defaults(struct form *form, const struct rel *source) {
  for (size_t i = 0; i < source->t->column_count; i++)
    if (source->t->columns[i].default_expr)
      form_lock_sequences(form, sql_parse_expression(form->arena, source->t->columns[i].default_expr), LOCK_ACCESS_SHARE);
}

static void copy_like(struct form *form, struct rel *rel, const PgQuery__TableLikeClause *like) {
  struct rel *source = shadow_range(form->shadow, like->relation);
  effect_lock(form->effect, source, LOCK_ACCESS_SHARE);
  if (!source || source->vague || !source->t->column_count) rel->vague = true;
  if (!source && !sql_or_null(like->relation->catalogname)) form_target(form, like->relation, false);
  if (source && like->options & LIKE(DEFAULTS)) copy_defaults(form, source);
  for (size_t i = 0; source && i < source->t->column_count; i++) {
    copy_column(form, rel, &source->t->columns[i], like->options);
  }
}

static void create_partition(struct form *form, struct rel *rel, struct rel *parent, const PgQuery__PartitionBoundSpec *bound) {
  effect_table(form->effect, parent);
  form_partitionable(form, parent, bound);
  effect_lock(form->effect, parent, LOCK_ACCESS_EXCLUSIVE);
  for (size_t i = 0; i < parent->t->referenced_by_count; i++)
    effect_lock(form->effect, shadow_of(form->shadow, parent->t->referenced_by[i]->table), LOCK_SHARE_ROW_EXCLUSIVE);
  effect_fact(form->effect, FACT_PARTITION_CREATE, parent, rel->t->qualified, NULL);
  for (size_t i = 0; i < parent->t->fk_count; i++)
    form_lock_tree(form, shadow_of(form->shadow, parent->t->fks[i].ref), LOCK_SHARE_ROW_EXCLUSIVE, true);
  rel->vague |= parent->vague;
  for (size_t i = 0; i < parent->t->column_count; i++) {
    copy_column(form, rel, &parent->t->columns[i], form->shadow->version >= 170000 ? ALL : ALL & ~LIKE(IDENTITY));
  }
  struct rel *fallback = shadow_default_partition(form->shadow, parent);
  if (fallback && !bound->is_default) {
    form_lock_tree(form, fallback, LOCK_ACCESS_EXCLUSIVE, true);
    if (!bounds_excluded(form->shadow, parent, fallback, bound)) {
      form_scan_tree(form, fallback);
      effect_fact(form->effect, FACT_PARTITION_DEFAULT_SCAN, fallback, parent->t->qualified, NULL);
      effect_check(form->effect, arena_printf(form->arena, "default_partition %s", fallback->t->qualified),
                   form_verdict(fallback, VERDICT_MAY_FAIL), "23514", feasibility_bound_sql(form, fallback, parent, bound, true));
    }
  }
  shadow_add_partition(form->shadow, parent, rel, bounds_text(form->arena, bound));
  rel->bound = bound;
  rel->bound_tried = true;
}

static void inherit_from(struct form *form, struct rel *rel, struct rel *parent) {
  effect_lock(form->effect, parent, LOCK_SHARE_UPDATE_EXCLUSIVE);
  form_inheritable(form, parent, rel);
  rel->vague |= parent->vague;
  for (size_t i = 0; i < parent->t->column_count; i++) {
    const struct snap_column *theirs = &parent->t->columns[i];
    struct snap_column *column = snap_table_column(rel->t, theirs->name);
    if (!column) column = copy_column(form, rel, theirs, LIKE(DEFAULTS) | LIKE(GENERATED));
    if (column) column->not_null |= theirs->not_null;
  }
  shadow_add_heir(form->shadow, parent, rel);
}

static void depend_on_sequence(struct form *form, const PgQuery__ColumnDef *definition) {
  for (size_t i = 0; i < definition->n_constraints; i++)
    if (definition->constraints[i]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT &&
        definition->constraints[i]->constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT)
      form_lock_sequences(form, definition->constraints[i]->constraint->raw_expr, LOCK_ACCESS_SHARE);
}

static void table_elements(struct form *form, struct rel *rel, const PgQuery__CreateStmt *statement) {
  for (size_t i = 0; i < statement->n_table_elts; i++) {
    const PgQuery__Node *element = statement->table_elts[i];
    if (element->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF) {
      effect_column(form->effect, element->column_def->colname);
      depend_on_sequence(form, element->column_def);
      form_default_of(form, element->column_def);
      form_add_column_to(form, rel, element->column_def);
    } else if (element->node_case == PG_QUERY__NODE__NODE_TABLE_LIKE_CLAUSE) {
      copy_like(form, rel, element->table_like_clause);
    }
  }
}

static void table_constraints(struct form *form, struct rel *rel, const PgQuery__CreateStmt *statement) {
  for (size_t i = 0; i < statement->n_table_elts; i++) {
    const PgQuery__Node *element = statement->table_elts[i];
    if (element->node_case == PG_QUERY__NODE__NODE_CONSTRAINT) form_constraint(form, rel, element->constraint, NULL, true);
    if (element->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) continue;
    for (size_t c = 0; c < element->column_def->n_constraints; c++)
      if (element->column_def->constraints[c]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
        form_constraint(form, rel, element->column_def->constraints[c]->constraint, element->column_def->colname, true);
  }
  for (size_t i = 0; i < statement->n_constraints; i++)
    if (statement->constraints[i]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
      form_constraint(form, rel, statement->constraints[i]->constraint, NULL, true);
}

static const char *partition_key_text(struct form *form, const PgQuery__PartitionSpec *spec) {
  static const char *const strategies[] = {"", "LIST", "RANGE", "HASH"};
  const char *columns = "";
  for (size_t i = 0; i < spec->n_part_params; i++) {
    const PgQuery__PartitionElem *element = spec->part_params[i]->partition_elem;
    const char *text = sql_or_null(element->name) ? sql_ident(form->arena, element->name) : sql_expression(form->arena, element->expr);
    columns = arena_printf(form->arena, "%s%s%s", columns, i ? ", " : "", text ? text : "");
  }
  size_t strategy = (size_t)spec->strategy < sizeof strategies / sizeof *strategies ? (size_t)spec->strategy : 0;
  return arena_printf(form->arena, "%s (%s)", strategies[strategy], columns);
}

static void no_column_twice(struct form *form, const PgQuery__CreateStmt *statement) {
  for (size_t i = 1; i < statement->n_table_elts && i < 1600; i++)
    for (size_t j = 0; statement->table_elts[i]->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF && j < i; j++)
      if (statement->table_elts[j]->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF &&
          strcmp(statement->table_elts[i]->column_def->colname, statement->table_elts[j]->column_def->colname) == 0)
        form_fails(form, "42701", "column %s is there once", statement->table_elts[i]->column_def->colname);
}

static void need_column(struct form *form, const struct rel *rel, const char *name) {
  if (name && !rel->vague && !snap_table_column(rel->t, name)) form_fails(form, "42703", "column %s of %s exists", name, rel->t->qualified);
}

/* Columns that keys and the partition key name. */
static void key_columns(struct form *form, const struct rel *rel, const PgQuery__CreateStmt *statement) {
  for (size_t i = 0; i < statement->n_table_elts; i++) {
    const PgQuery__Node *element = statement->table_elts[i];
    if (element->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) continue;
    for (size_t k = 0; k < element->constraint->n_keys; k++) need_column(form, rel, sql_node_string(element->constraint->keys[k]));
    for (size_t k = 0; k < element->constraint->n_fk_attrs; k++) need_column(form, rel, sql_node_string(element->constraint->fk_attrs[k]));
  }
  for (size_t i = 0; statement->partspec && i < statement->partspec->n_part_params; i++)
    need_column(form, rel, sql_or_null(statement->partspec->part_params[i]->partition_elem->name));
}

/* Whether some table has that access method, which then exists. */
static bool used_method(const struct form *form, const char *method) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "tables"), index, one) {
    if (strcmp(json_str(one, "access_method", ""), method) == 0) return true;
  }
  return names_has_extension(form->shadow, method);
}

void form_storage_options(struct form *form, size_t count, PgQuery__Node *const *options) {
  static const char *const known[] = {"fillfactor",
                                      "toast_tuple_target",
                                      "parallel_workers",
                                      "user_catalog_table",
                                      "vacuum_index_cleanup",
                                      "vacuum_truncate",
                                      "log_autovacuum_min_duration",
                                      "oids"};
  for (size_t i = 0; i < count; i++) {
    const PgQuery__DefElem *option = options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? options[i]->def_elem : NULL;
    bool found = !option || sql_or_null(option->defnamespace) || strncmp(option->defname, "autovacuum_", 11) == 0 ||
                 strncmp(option->defname, "vacuum_", 7) == 0 || strncmp(option->defname, "log_", 4) == 0;
    for (size_t k = 0; !found && k < sizeof known / sizeof *known; k++) found = strcmp(known[k], option->defname) == 0;
    if (!found) form_fails(form, "22023", "the storage parameter %s exists", option->defname);
  }
}

void form_create_table(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateStmt *statement =
      node->node_case == PG_QUERY__NODE__NODE_CREATE_FOREIGN_TABLE_STMT ? node->create_foreign_table_stmt->base_stmt : node->create_stmt;
  if (exists_already(form, statement->relation, statement->if_not_exists)) return;
  struct rel *rel = shadow_add(form->shadow, sql_or_null(statement->relation->schemaname), statement->relation->relname,
                               statement->partspec ? SNAP_PARTITIONED : SNAP_TABLE);
  if (!rel) return;
  form->effect->making = rel;
  effect_table(form->effect, rel);
  no_column_twice(form, statement);
  const char *method = sql_or_null(statement->access_method);
  if (!statement->partspec && (!method || strcmp(method, "heap") == 0))
    form_storage_options(form, statement->n_options, statement->options);
  if (method && strcmp(method, "heap") != 0 && !names_brought(form->shadow) && names_would_know(form->shadow, NULL) &&
      !used_method(form, method))
    form_fails(form, "42704", "access method %s exists", method);
  if (statement->partspec) rel->t->partition_key = partition_key_text(form, statement->partspec);
  rel->temporary = strcmp(statement->relation->relpersistence, "t") == 0;
  rel->t->unlogged = strcmp(statement->relation->relpersistence, "u") == 0;
  for (size_t i = 0; i < statement->n_inh_relations; i++) {
    if (statement->inh_relations[i]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) continue;
    struct rel *parent = form_target(form, statement->inh_relations[i]->range_var, false);
    if (!parent) continue;
    if (statement->partbound)
      create_partition(form, rel, parent, statement->partbound);
    else
      inherit_from(form, rel, parent);
  }
  table_elements(form, rel, statement);
  if (statement->of_typename) rel->vague = true;
  key_columns(form, rel, statement);
  table_constraints(form, rel, statement);
}

void form_create_as(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateTableAsStmt *statement = node->create_table_as_stmt;
  bool matview = statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW;
  form->effect->operation = matview ? "CREATE MATERIALIZED VIEW" : "CREATE TABLE AS";
  if (!statement->into || exists_already(form, statement->into->rel, statement->if_not_exists)) return;
  struct rel *rel = shadow_add(form->shadow, sql_or_null(statement->into->rel->schemaname), statement->into->rel->relname,
                               matview ? SNAP_MATVIEW : SNAP_TABLE);
  if (!rel) return;
  form->effect->making = rel;
  rel->vague = true;
  effect_table(form->effect, rel);
  rel->temporary = strcmp(statement->into->rel->relpersistence, "t") == 0;
  outputs_check(form, statement->query, statement->into->n_col_names, statement->into->col_names, NULL);
  if (matview) {
    rel->query = statement->query;
    rel->query_tried = true;
    rel->t->definition = sql_statement_text(form->arena, statement->query);
  }
  form_read(form, statement->query, statement->into->skip_data ? FORM_READ_NAMES : FORM_READ_ALL, matview ? rel : NULL);
}

/* The columns a view has now, when all of them can be told; else it has none that are known. */
static void keep_outputs(struct form *form, struct rel *rel, const PgQuery__Node *query, size_t n_names, PgQuery__Node *const *names) {
  struct output *outputs;
  size_t count = outputs_of(form, query, &outputs);
  rel->t->column_count = 0;
  rel->vague = count == SIZE_MAX;
  for (size_t i = 0; !rel->vague && i < count; i++) rel->vague = !outputs[i].name;
  for (size_t i = 0; !rel->vague && i < count; i++)
    shadow_add_column(form->shadow, rel, i < n_names && sql_node_string(names[i]) ? sql_node_string(names[i]) : outputs[i].name,
                      outputs[i].type);
}

void form_create_view(struct form *form, PgQuery__Node *node) {
  const PgQuery__ViewStmt *statement = node->view_stmt;
  const char *schema = sql_or_null(statement->view->schemaname);
  struct rel *rel = shadow_find(form->shadow, shadow_schema(form->shadow, schema), statement->view->relname);
  if (rel && (!statement->replace || rel->t->kind != SNAP_VIEW)) {
    form_fails(form, statement->replace ? "42809" : "42P07", "no other relation %s exists", rel->t->qualified);
    return;
  }
  outputs_check(form, statement->query, statement->n_aliases, statement->aliases, rel);
  if (rel) {
    effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
    form_affects(form, rel, NULL, false);
    effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  } else {
    rel = shadow_add(form->shadow, schema, statement->view->relname, SNAP_VIEW);
    form->effect->making = rel;
  }
  if (!rel) return;
  effect_table(form->effect, rel);
  form_read(form, statement->query, FORM_READ_NAMES, rel);
  keep_outputs(form, rel, statement->query, statement->n_aliases, statement->aliases);
  rel->query = statement->query;
  rel->query_tried = true;
  rel->t->definition = sql_statement_text(form->arena, statement->query);
}

static const char *index_columns(struct form *form, const PgQuery__IndexStmt *statement, const char ***ret_columns) {
  const char **columns = arena_calloc(form->arena, statement->n_index_params + 1, sizeof *columns), *name = statement->relation->relname;
  for (size_t i = 0; columns && i < statement->n_index_params; i++) {
    const PgQuery__IndexElem *element = statement->index_params[i]->index_elem;
    const char *column = sql_or_null(element->name);
    if (column) effect_column(form->effect, column);
    columns[i] = column ? column : sql_expression(form->arena, element->expr);
    if (!columns[i]) columns[i] = "expr";
    name = arena_printf(form->arena, "%s_%s", name, column ? column : "expr");
  }
  *ret_columns = columns;
  return arena_printf(form->arena, "%s_idx", name);
}

static void build_index(struct form *form, struct rel *rel, const PgQuery__IndexStmt *statement, const char *name, const char **columns) {
  bool recurse = statement->relation->inh && !statement->concurrent;
  form_lock_tree(form, rel, statement->concurrent ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_SHARE, recurse);
  if (recurse)
    form_build_tree(form, rel);
  else if (shadow_is_table(rel))
    effect_scan(form->effect, rel), effect_build(form->effect, rel);
  effect_fact(form->effect, statement->concurrent ? FACT_INDEX_CONCURRENT : FACT_INDEX_BLOCKING, rel, name, NULL);
  if (statement->unique) {
    const char **keys = arena_calloc(form->arena, statement->n_index_params + 1, sizeof *keys);
    bool plain = !statement->where_clause;
    for (size_t i = 0; keys && i < statement->n_index_params; i++) {
      bool named = sql_or_null(statement->index_params[i]->index_elem->name);
      keys[i] = named ? sql_ident(form->arena, columns[i]) : arena_printf(form->arena, "(%s)", columns[i]);
      plain &= named;
    }
    const char *where = statement->where_clause ? sql_expression(form->arena, statement->where_clause) : NULL;
    effect_check(form->effect, arena_printf(form->arena, "unique %s.%s", rel->t->qualified, name),
                 plain ? feasibility_unique(rel, columns, statement->n_index_params) : form_verdict(rel, VERDICT_MAY_FAIL), "23505",
                 keys ? feasibility_duplicates_sql(form, rel, keys, statement->n_index_params, where, statement->nulls_not_distinct)
                      : NULL);
  }
  struct snap_index *index = shadow_add_index(form->shadow, rel, name);
  if (!index) return;
  index->columns = columns;
  index->column_count = statement->n_index_params;
  index->unique = statement->unique;
  index->method = sql_or_null(statement->access_method) ? statement->access_method : "btree";
  index->predicate = statement->where_clause ? sql_expression(form->arena, statement->where_clause) : NULL;
}

void form_create_index(struct form *form, PgQuery__Node *node) {
  const PgQuery__IndexStmt *statement = node->index_stmt;
  form->effect->operation = statement->unique ? "CREATE UNIQUE INDEX" : "CREATE INDEX";
  if (statement->concurrent) form->effect->transaction = TX_NEVER;
  struct rel *rel = form_target(form, statement->relation, false), *owner = NULL;
  if (!rel) return;
  if (rel->t->kind != SNAP_TABLE && rel->t->kind != SNAP_PARTITIONED && rel->t->kind != SNAP_MATVIEW) {
    form_fails(form, "42809", "%s can have indexes", rel->t->qualified);
    return;
  }
  const char **columns, *chosen = index_columns(form, statement, &columns);
  const char *name = sql_or_null(statement->idxname) ? statement->idxname : chosen;
  if (!columns) return;
  for (size_t i = 0; i < statement->n_index_params; i++)
    if (sql_or_null(statement->index_params[i]->index_elem->name)) form_column(form, rel, columns[i], false);
  indexing_check(form, rel, statement);
  if (statement->unique) form_key_covers(form, rel, columns, statement->n_index_params);
  struct snap_index *same = sql_or_null(statement->idxname) ? shadow_index(form->shadow, rel->t->schema, name, &owner) : NULL;
  if (same) {
    effect_lock(form->effect, rel, statement->concurrent ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_SHARE);
    if (!statement->if_not_exists)
      form_fails(form, "42P07", "no index %s exists", name);
    else if (!same->valid)
      effect_fact(form->effect, FACT_INDEX_EXISTS_SKIPPED, rel, name, NULL);
    return;
  }
  if (sql_or_null(statement->idxname) && shadow_find(form->shadow, rel->t->schema, name))
    form_fails(form, "42P07", "no relation %s exists", name);
  if (statement->concurrent && rel->t->kind == SNAP_PARTITIONED) {
    effect_lock(form->effect, rel, LOCK_SHARE_UPDATE_EXCLUSIVE);
    form_fails(form, "0A000", "%s is not partitioned (indexes on partitioned tables can't be built concurrently)", rel->t->qualified);
    return;
  }
  build_index(form, rel, statement, name, columns);
}

void form_create_trigger(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateTrigStmt *statement = node->create_trig_stmt;
  struct rel *rel = form_target(form, statement->relation, false);
  if (!rel) return;
  form_lock_tree(form, rel, LOCK_SHARE_ROW_EXCLUSIVE, statement->row);
  if (statement->constrrel) effect_lock(form->effect, shadow_range(form->shadow, statement->constrrel), LOCK_ACCESS_SHARE);
  for (size_t i = 0; i < rel->t->trigger_count && !statement->replace; i++)
    if (strcmp(rel->t->triggers[i].name, statement->trigname) == 0)
      form_fails(form, "42710", "no trigger %s of %s exists", statement->trigname, rel->t->qualified);
  if (!list_reserve(form->arena, &rel->t->triggers, rel->t->trigger_count, &rel->trigger_cap, sizeof *rel->t->triggers)) return;
  const char *schema, *function;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &function);
  rel->t->triggers[rel->t->trigger_count++] = (struct snap_trigger){
      .name = statement->trigname, .definition = sql_statement_text(form->arena, node), .function = function ? function : ""};
}

void form_create_sequence(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateSeqStmt *statement = node->create_seq_stmt;
  if (exists_already(form, statement->sequence, statement->if_not_exists)) return;
  struct rel *rel = shadow_add(form->shadow, sql_or_null(statement->sequence->schemaname), statement->sequence->relname, SNAP_SEQUENCE);
  form->effect->making = rel;
  effect_table(form->effect, rel);
  for (size_t i = 0; i < statement->n_options; i++) {
    const PgQuery__DefElem *option =
        statement->options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? statement->options[i]->def_elem : NULL;
    if (!option || strcmp(option->defname, "owned_by") != 0 || !option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_LIST ||
        option->arg->list->n_items < 2)
      continue;
    effect_lock(form->effect, shadow_named(form->shadow, option->arg->list->n_items - 1, option->arg->list->items), LOCK_ACCESS_SHARE);
  }
}

void form_create_type(struct form *form, PgQuery__Node *node) {
  struct snapshot *snapshot = form->shadow->snapshot;
  const char *schema, *name;
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_ENUM_STMT) {
    sql_name_split(node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name, &schema, &name);
    struct snap_enum *wider = name ? arena_calloc(form->arena, snapshot->enum_count + 1, sizeof *wider) : NULL;
    if (!wider) return;
    if (snapshot->enum_count) memcpy(wider, snapshot->enums, snapshot->enum_count * sizeof *wider);
    wider[snapshot->enum_count] = (struct snap_enum){.schema = shadow_schema(form->shadow, schema), .name = name};
    snapshot->enums = wider;
    snapshot->enum_count++;
  } else if (node->node_case == PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT) {
    const PgQuery__CreateDomainStmt *statement = node->create_domain_stmt;
    sql_name_split(statement->n_domainname, statement->domainname, &schema, &name);
    struct snap_domain *wider = name ? arena_calloc(form->arena, snapshot->domain_count + 1, sizeof *wider) : NULL;
    if (!wider) return;
    if (snapshot->domain_count) memcpy(wider, snapshot->domains, snapshot->domain_count * sizeof *wider);
    struct snap_domain *domain = &wider[snapshot->domain_count];
    *domain = (struct snap_domain){
        .schema = shadow_schema(form->shadow, schema), .name = name, .base_type = sql_type(form->arena, statement->type_name)};
    for (size_t i = 0; i < statement->n_constraints; i++) {
      if (statement->constraints[i]->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) continue;
      const PgQuery__Constraint *constraint = statement->constraints[i]->constraint;
      if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL) domain->not_null = true;
      if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK) domain->check_count++;
      if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT)
        domain->default_expr = sql_expression(form->arena, constraint->raw_expr);
    }
    if (domain->base_type) {
      snapshot->domains = wider;
      snapshot->domain_count++;
    }
  }
}

/* 'i', 's' or 'v' as the options say; 0 when they say nothing. */
static char function_volatility(size_t count, PgQuery__Node *const *options) {
  for (size_t i = 0; i < count; i++) {
    const PgQuery__DefElem *option = options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? options[i]->def_elem : NULL;
    const char *text = option && strcmp(option->defname, "volatility") == 0 ? sql_node_string(option->arg) : NULL;
    if (text) return *text;
  }
  return 0;
}

static bool set_volatility(struct form *form, const char *schema, const char *name, char volatility) {
  struct snapshot *snapshot = form->shadow->snapshot;
  bool known = false;
  for (size_t i = 0; i < snapshot->function_count; i++) {
    struct snap_function *function = &snapshot->functions[i];
    if (strcmp(function->name, name) != 0 || (schema && strcmp(function->schema, schema) != 0)) continue;
    function->volatility = volatility;
    known = true;
  }
  return known;
}

static void add_function(struct form *form, const char *schema, const char *name, char volatility) {
  struct snapshot *snapshot = form->shadow->snapshot;
  struct snap_function *wider = arena_calloc(form->arena, snapshot->function_count + 1, sizeof *wider);
  if (!wider) return;
  if (snapshot->function_count) memcpy(wider, snapshot->functions, snapshot->function_count * sizeof *wider);
  wider[snapshot->function_count++] = (struct snap_function){.schema = shadow_schema(form->shadow, schema),
                                                             .name = name,
                                                             .arguments = "",
                                                             .language = "",
                                                             .kind = "function",
                                                             .volatility = volatility};
  snapshot->functions = wider;
}

static const PgQuery__Node *function_option(const PgQuery__CreateFunctionStmt *statement, const char *name) {
  for (size_t i = 0; i < statement->n_options; i++)
    if (statement->options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM && strcmp(statement->options[i]->def_elem->defname, name) == 0)
      return statement->options[i]->def_elem->arg;
  return NULL;
}

/* A body in SQL is analysed when the function is made: what it names must exist and is locked. */
static void read_sql_body(struct form *form, const PgQuery__CreateFunctionStmt *statement) {
  const PgQuery__Node *as = function_option(statement, "as");
  const char *language = sql_node_string(function_option(statement, "language"));
  if (!as || !language || strcmp(language, "sql") != 0) return;
  const char *body = as->node_case == PG_QUERY__NODE__NODE_LIST && as->list->n_items ? sql_node_string(as->list->items[0]) : NULL;
  PgQuery__Node *node = body ? sql_parse_statement(form->arena, body) : NULL;
  const PgQuery__RangeVar *target = NULL;
  if (!node) return;
  if (node->node_case == PG_QUERY__NODE__NODE_INSERT_STMT) target = node->insert_stmt->relation;
  if (node->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT) target = node->update_stmt->relation;
  if (node->node_case == PG_QUERY__NODE__NODE_DELETE_STMT) target = node->delete_stmt->relation;
  effect_lock(form->effect, shadow_range(form->shadow, target), LOCK_ROW_EXCLUSIVE);
  form_read(form, node, FORM_READ_NAMES, NULL);
}

static bool see_query(void *arg, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) *(bool *)arg = true;
  return true;
}

/* SELECT of one expression, in SQL, without parameters: the planner puts the expression in the call's place, whatever was declared. */
static bool is_inlined(struct form *form, const PgQuery__CreateFunctionStmt *statement) {
  const PgQuery__Node *as = function_option(statement, "as");
  const char *language = sql_node_string(function_option(statement, "language"));
  if (!as || !language || strcmp(language, "sql") != 0 || statement->n_parameters || function_option(statement, "security") ||
      function_option(statement, "set") || !statement->return_type || statement->return_type->setof)
    return false;
  const char *body = as->node_case == PG_QUERY__NODE__NODE_LIST && as->list->n_items ? sql_node_string(as->list->items[0]) : NULL;
  const PgQuery__Node *node = body ? sql_parse_statement(form->arena, body) : NULL;
  const PgQuery__SelectStmt *select = node && node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
  if (!select || select->n_target_list != 1 || select->n_from_clause || select->where_clause || select->with_clause ||
      select->n_values_lists || select->n_group_clause || select->having_clause || select->n_distinct_clause || select->n_sort_clause ||
      select->limit_count || select->limit_offset || select->larg)
    return false;
  PgQuery__Node *value = select->target_list[0]->res_target->val;
  bool asks = false;
  sql_walk(value, see_query, &asks);
  return value && !asks && !sql_volatile(form->shadow->snapshot, value, NULL);
}

void form_create_function(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateFunctionStmt *statement = node->create_function_stmt;
  form->effect->operation = statement->is_procedure ? "CREATE PROCEDURE" : "CREATE FUNCTION";
  const char *schema, *name;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &name);
  if (!name) return;
  if (statement->sql_body) form_read(form, statement->sql_body, FORM_READ_NAMES, NULL);
  read_sql_body(form, statement);
  char volatility = function_volatility(statement->n_options, statement->options);
  if (is_inlined(form, statement)) volatility = 's';
  bool known = set_volatility(form, schema, name, volatility ? volatility : 'v');
  if (known && statement->replace) effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (!known) add_function(form, schema, name, volatility ? volatility : 'v');
}

void form_alter_function(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterFunctionStmt *statement = node->alter_function_stmt;
  char volatility = function_volatility(statement->n_actions, statement->actions);
  const char *schema, *name;
  if (!volatility || !statement->func) return;
  sql_name_split(statement->func->n_objname, statement->func->objname, &schema, &name);
  if (name) set_volatility(form, schema, name, volatility);
}

void form_create_schema(struct form *form, PgQuery__Node *node) {
  for (size_t i = 0; i < node->create_schema_stmt->n_schema_elts; i++) {
    PgQuery__Node *element = node->create_schema_stmt->schema_elts[i];
    if (element->node_case == PG_QUERY__NODE__NODE_CREATE_STMT) form_create_table(form, element);
  }
  form->effect->making = NULL;
  form->effect->operation = "CREATE SCHEMA";
}
