/* forms/drop.c - dropping: what goes along, what stands in the way, and which tables elsewhere are locked for it.
 *
 * PostgreSQL locks every relation it drops, both ends of every foreign key, the parent of a partition and its default partition. */
#include "common/json.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/names.h"
#include "worker/migration/forms/objects.h"
#include "worker/query/builtins.h"
#include "worker/sql/text.h"

static bool lists(const char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (names[i] && strcmp(names[i], name) == 0) return true;
  return false;
}

/* A dependent is dropped with CASCADE and stops the drop without. */
static bool cascades(struct form *form, bool cascade, const char *what, const char *name, const char *on) {
  if (!cascade) form_fails(form, "2BP01", "nothing depends on %s (%s %s does)", on, what, name);
  return cascade;
}

static void drop_views(struct form *form, struct rel *rel, const char *column, bool cascade) {
  for (size_t i = 0; i < rel->t->dependent_count;) {
    struct rel *view = shadow_of(form->shadow, rel->t->dependents[i]);
    size_t before = rel->t->dependent_count;
    if (view && shadow_view_reads(form->shadow, view, rel, column) &&
        cascades(form, cascade, "view", view->t->qualified, rel->t->qualified)) {
      effect_object(form->effect, view->t->kind == SNAP_MATVIEW ? "materialized view" : "view", view->t->qualified, rel->t->qualified,
                    true);
      effect_fact(form->effect, FACT_DROP_CASCADE, view, view->t->qualified, rel->t->qualified);
      form_drop_relation(form, view, true);
    }
    if (rel->t->dependent_count == before) i++;
  }
}

static void drop_references(struct form *form, struct rel *rel, const char *column, bool cascade) {
  for (size_t i = 0; i < rel->t->referenced_by_count;) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    struct rel *child = shadow_of(form->shadow, fk->table);
    bool own = child == rel && column && !lists(fk->columns, fk->column_count, column);
    bool concerned = child && (child != rel || own) && !child->dropped && (!column || lists(fk->ref_columns, fk->column_count, column));
    size_t before = rel->t->referenced_by_count;
    if (concerned && cascades(form, cascade, "foreign key", fk->name, rel->t->qualified)) {
      effect_lock(form->effect, child, LOCK_ACCESS_EXCLUSIVE);
      effect_object(form->effect, "foreign key", arena_printf(form->arena, "%s on %s", fk->name, child->t->qualified), rel->t->qualified,
                    true);
      effect_fact(form->effect, FACT_DROP_CASCADE, child, fk->name, rel->t->qualified);
      shadow_drop_fk(child, fk->name);
    }
    if (rel->t->referenced_by_count == before) i++;
  }
}

static struct rel *parent_of(struct form *form, const struct rel *part) {
  const char *dot = part->t->partition_of ? strchr(part->t->partition_of, '.') : NULL;
  return dot ? shadow_find(form->shadow, arena_strndup(form->arena, part->t->partition_of, (size_t)(dot - part->t->partition_of)), dot + 1)
             : NULL;
}

/* A partition's copy of its parent's key goes without a word to the other side. */
static bool is_inherited_key(struct form *form, const struct rel *rel, const struct snap_fk *fk) {
  const struct rel *parent = parent_of(form, rel);
  for (size_t i = 0; parent && i < parent->t->fk_count; i++)
    if (parent->t->fks[i].ref == fk->ref && strcmp(parent->t->fks[i].name, fk->name) == 0) return true;
  return false;
}

static void drop_own_keys(struct form *form, struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->fk_count;) {
    const struct snap_fk *fk = &rel->t->fks[i];
    if (column && !lists(fk->columns, fk->column_count, column)) {
      i++;
      continue;
    }
    if (!is_inherited_key(form, rel, fk)) form_lock_tree(form, shadow_of(form->shadow, fk->ref), LOCK_ACCESS_EXCLUSIVE, true);
    if (!column)
      i++; /* goes with the table */
    else
      shadow_drop_fk(rel, fk->name);
  }
}

void form_each_owned(struct form *form, const struct rel *rel, const char *column, void (*visit)(struct form *, struct rel *)) {
  size_t prefix = strlen(rel->t->qualified);
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *sequence = form->shadow->rels.items[i];
    if (sequence->dropped || !sequence->owned_by || strncmp(sequence->owned_by, rel->t->qualified, prefix) != 0 ||
        sequence->owned_by[prefix] != '.')
      continue;
    if (column && strcmp(sequence->owned_by + prefix + 1, column) != 0) continue;
    visit(form, sequence);
  }
}

static void drop_owned(struct form *form, struct rel *sequence) {
  effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE);
  shadow_drop(form->shadow, sequence);
}

/* Generated columns, policies and triggers of the same table that read the column. */
static void drop_column_readers(struct form *form, struct rel *rel, const char *column, bool cascade) {
  for (size_t i = 0; i < rel->t->column_count; i++) {
    PgQuery__Node *node = rel->t->columns[i].generated ? sql_parse_expression(form->arena, rel->t->columns[i].generated) : NULL;
    if (!node || !sql_mentions_column(node, column)) continue;
    const char *name = arena_printf(form->arena, "%s.%s", rel->t->qualified, rel->t->columns[i].name);
    effect_object(form->effect, "generated column", name, arena_printf(form->arena, "%s.%s", rel->t->qualified, column), true);
    cascades(form, cascade, "generated column", rel->t->columns[i].name, rel->t->qualified);
  }
  for (size_t i = 0; i < rel->t->trigger_count; i++) {
    PgQuery__Node *node = rel->t->triggers[i].definition ? sql_parse_statement(form->arena, rel->t->triggers[i].definition) : NULL;
    if (!node || node->node_case != PG_QUERY__NODE__NODE_CREATE_TRIG_STMT) continue;
    bool uses = sql_mentions_column(node->create_trig_stmt->when_clause, column);
    for (size_t c = 0; c < node->create_trig_stmt->n_columns; c++) {
      const char *name = sql_node_string(node->create_trig_stmt->columns[c]);
      uses |= name && strcmp(name, column) == 0;
    }
    if (uses) cascades(form, cascade, "trigger", rel->t->triggers[i].name, rel->t->qualified);
  }
}

/* An index or key of other columns, too, is missed by those who only meant the one column. */
static void drop_column_keys(struct form *form, struct rel *rel, const char *column) {
  for (size_t i = rel->t->index_count; i-- > 0;) {
    const struct snap_index *index = &rel->t->indexes[i];
    if (!lists(index->columns, index->column_count, column)) continue;
    effect_object(form->effect, "index", arena_printf(form->arena, "%s.%s", rel->t->schema, index->name),
                  arena_printf(form->arena, "%s.%s", rel->t->qualified, column), true);
    if (index->column_count > 1 || index->unique) effect_fact(form->effect, FACT_DROP_KEY_COLUMN, rel, column, index->name);
    shadow_drop_index(rel, index->name);
  }
  for (size_t i = rel->t->constraint_count; i-- > 0;)
    if (lists(rel->t->constraints[i].columns, rel->t->constraints[i].column_count, column)) {
      effect_object(form->effect, "constraint", arena_printf(form->arena, "%s on %s", rel->t->constraints[i].name, rel->t->qualified),
                    arena_printf(form->arena, "%s.%s", rel->t->qualified, column), true);
      shadow_drop_constraint(rel, rel->t->constraints[i].name);
    }
}

void form_drop_dependents(struct form *form, struct rel *rel, const char *column, bool cascade) {
  drop_views(form, rel, column, cascade);
  drop_references(form, rel, column, cascade);
  drop_own_keys(form, rel, column);
  form_each_owned(form, rel, column, drop_owned);
  if (!column) return;
  drop_column_readers(form, rel, column, cascade);
  const char *reader = objects_column_reader(form, rel, column);
  if (reader) cascades(form, cascade, "rule or policy", reader, rel->t->qualified);
  drop_column_keys(form, rel, column);
}

/* Rules and policies of other tables that name this one. */
static void drop_readers(struct form *form, struct rel *rel, bool cascade) {
  struct rel *table = NULL;
  const char *reader = objects_reader(form, rel, &table);
  if (reader && cascades(form, cascade, "rule or policy", reader, rel->t->qualified))
    effect_lock(form->effect, table, LOCK_ACCESS_EXCLUSIVE);
}

/* A foreign key to the parent needs all of its partitions; it goes from all when one goes. */
static void drop_parents_references(struct form *form, const struct rel *rel, bool cascade) {
  struct rel *parent = parent_of(form, rel);
  if (!parent || parent->dropped) return;
  for (size_t i = 0; i < parent->t->referenced_by_count; i++) {
    struct rel *child = shadow_of(form->shadow, parent->t->referenced_by[i]->table);
    if (!child || child->dropped || !cascades(form, cascade, "foreign key", parent->t->referenced_by[i]->name, rel->t->qualified)) continue;
    form_lock_tree(form, child, LOCK_ACCESS_EXCLUSIVE, true);
    form_lock_tree(form, parent, LOCK_ACCESS_EXCLUSIVE, true);
  }
}

static void lock_partition_family(struct form *form, struct rel *rel) {
  struct rel *parent = parent_of(form, rel);
  if (!parent || parent->dropped) return;
  effect_lock(form->effect, parent, LOCK_ACCESS_EXCLUSIVE);
  struct rel *fallback = shadow_default_partition(form->shadow, parent);
  if (fallback && fallback != rel) effect_lock(form->effect, fallback, LOCK_ACCESS_EXCLUSIVE);
}

void form_drop_relation(struct form *form, struct rel *rel, bool cascade) {
  if (rel->dropped) return;
  effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
  lock_partition_family(form, rel);
  drop_parents_references(form, rel, cascade);
  if (rel->t->kind != SNAP_SEQUENCE) drop_readers(form, rel, cascade);
  if (rel->t->kind != SNAP_SEQUENCE) form_drop_dependents(form, rel, NULL, cascade);
  if (rel->t->kind != SNAP_PARTITIONED && rel->t->partition_count)
    cascades(form, cascade, "table", rel->t->partitions[0]->qualified, rel->t->qualified);
  rel->dropped = true; /* its partitions need not lock it again, nor leave its list */
  for (size_t i = 0; i < rel->t->partition_count; i++) {
    struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    if (part) form_drop_relation(form, part, cascade);
  }
  shadow_drop(form->shadow, rel);
}

static void drop_table(struct form *form, struct rel *rel, bool cascade) {
  form_affects(form, rel, NULL, true);
  effect_fact(form->effect, FACT_DROP_TABLE, rel, NULL, NULL);
  effect_loss(form->effect, rel->created ? LOSS_BEHAVIOUR : LOSS_DATA,
              rel->created ? NULL : arena_printf(form->arena, "the rows of %s are gone", rel->t->qualified));
  form_drop_relation(form, rel, cascade);
}

static void drop_view(struct form *form, struct rel *rel, bool cascade) {
  form_affects(form, rel, NULL, true);
  effect_fact(form->effect, FACT_DROP_VIEW, rel, NULL, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  form_drop_relation(form, rel, cascade);
}

/* An identity column's sequence goes with the column only. */
static bool owner_has_identity(struct form *form, const struct rel *sequence) {
  const char *dot = sequence->owned_by ? strrchr(sequence->owned_by, '.') : NULL;
  for (size_t i = 0; dot && i < form->shadow->rels.count; i++) {
    const struct rel *table = form->shadow->rels.items[i];
    size_t len = strlen(table->t->qualified);
    if (table->dropped || (size_t)(dot - sequence->owned_by) != len || strncmp(table->t->qualified, sequence->owned_by, len) != 0) continue;
    const struct snap_column *column = snap_table_column(table->t, dot + 1);
    return column && column->identity;
  }
  return false;
}

/* A default of nextval() keeps its sequence. */
static void drop_sequence(struct form *form, struct rel *rel, bool cascade) {
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *table = form->shadow->rels.items[i];
    for (size_t c = 0; !table->dropped && c < table->t->column_count; c++) {
      const char *text = table->t->columns[c].default_expr, *at = text ? strstr(text, rel->t->name) : NULL;
      if (!at || !strstr(text, "nextval")) continue;
      if (!cascades(form, cascade, "default of", table->t->columns[c].name, rel->t->qualified)) continue;
      effect_lock(form->effect, table, LOCK_ACCESS_EXCLUSIVE);
      table->t->columns[c].default_expr = NULL;
    }
  }
  if (owner_has_identity(form, rel)) form_fails(form, "2BP01", "no identity column owns %s (%s does)", rel->t->qualified, rel->owned_by);
  effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the position of sequence %s is gone", rel->t->qualified));
  form_drop_relation(form, rel, cascade);
}

static size_t count_alike(const struct rel *rel, const struct snap_index *index) {
  size_t count = 0;
  for (size_t i = 0; i < rel->t->index_count; i++)
    count += rel->t->indexes[i].unique == index->unique && strcmp(rel->t->indexes[i].method, index->method) == 0 &&
             !rel->t->indexes[i].predicate &&
             list_same(rel->t->indexes[i].columns, rel->t->indexes[i].column_count, index->columns, index->column_count);
  return count;
}

/* A partition's part of its parent's index stays with it; so does a unique index that a foreign key refers to, when no other will do. */
static void index_needed(struct form *form, const struct rel *rel, const struct snap_index *index) {
  const struct rel *parent = parent_of(form, rel);
  if (index->predicate || count_alike(rel, index) != 1) return;
  if (parent && count_alike(parent, index) == 1) form_fails(form, "2BP01", "no index of %s needs %s", parent->t->qualified, index->name);
  for (size_t i = 0; index->unique && i < rel->t->referenced_by_count; i++) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    if (list_same(fk->ref_columns, fk->column_count, index->columns, index->column_count))
      form_fails(form, "2BP01", "no foreign key needs %s (%s does)", index->name, fk->name);
  }
}

static void drop_index(struct form *form, const PgQuery__DropStmt *statement, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  struct rel *rel = NULL;
  struct snap_index *index = name ? shadow_index(form->shadow, schema, name, &rel) : NULL;
  if (!index) {
    if (name && shadow_find(form->shadow, schema, name))
      form_fails(form, "42809", "%s is an index", name);
    else if (!statement->missing_ok)
      form_fails(form, "42704", "index %s exists", name ? name : "?");
    return;
  }
  effect_table(form->effect, rel);
  form_lock_tree(form, rel, statement->concurrent ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_ACCESS_EXCLUSIVE, rel->t->kind == SNAP_PARTITIONED);
  if (statement->concurrent && rel->t->kind == SNAP_PARTITIONED) form_fails(form, "0A000", "%s is not partitioned", rel->t->qualified);
  for (size_t i = 0; i < rel->t->constraint_count; i++) {
    const struct snap_constraint *constraint = &rel->t->constraints[i];
    if (constraint->index && strcmp(constraint->index, name) == 0)
      form_fails(form, "2BP01", "no constraint needs index %s (%s does)", name, constraint->name);
  }
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  if (statement->concurrent && (cascade || statement->n_objects > 1))
    form_fails(form, "0A000", "one index is dropped concurrently, without CASCADE");
  if (!cascade) index_needed(form, rel, index);
  if (!statement->concurrent) effect_fact(form->effect, FACT_DROP_INDEX_BLOCKING, rel, name, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  shadow_drop_index(rel, name);
}

/* Rules are not modelled: the snapshot's JSON has them. One made by this migration is taken to exist. */
static bool has_rule(const struct form *form, const struct rel *rel, const char *name) {
  static const char *const lists[] = {"tables", "views"};
  if (rel->ruled) return true;
  for (size_t k = 0; k < 2; k++) {
    size_t index, at;
    json_t *table, *rule;
    json_array_foreach(json_object_get(form->shadow->snapshot->json, lists[k]), index, table) {
      if (strcmp(json_str(table, "name", ""), rel->t->name) != 0 || strcmp(json_str(table, "schema", ""), rel->t->schema) != 0) continue;
      json_array_foreach(json_object_get(table, "rules"), at, rule) if (strcmp(json_str(rule, "name", ""), name) == 0) return true;
      return false;
    }
  }
  return true;
}

/* "ON table" objects: the name's last part is the object, the rest the table. */
static void drop_on_table(struct form *form, const PgQuery__DropStmt *statement, size_t count, PgQuery__Node *const *parts,
                          const char *kind) {
  struct rel *rel = count > 1 ? shadow_named(form->shadow, count - 1, parts) : NULL;
  const char *name = count ? sql_node_string(parts[count - 1]) : NULL;
  if (!rel || !name) {
    if (!statement->missing_ok) form_fails(form, "42P01", "the table of %s %s exists", kind, name ? name : "?");
    return;
  }
  effect_table(form->effect, rel);
  bool trigger = statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER,
       found = statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_RULE && has_rule(form, rel, name);
  for (size_t i = 0; trigger && i < rel->t->trigger_count; i++) found |= strcmp(rel->t->triggers[i].name, name) == 0;
  for (size_t i = 0; !trigger && i < rel->t->policy_count; i++) found |= strcmp(rel->t->policies[i].name, name) == 0;
  if (!found && !statement->missing_ok) form_fails(form, "42704", "%s %s of %s exists", kind, name, rel->t->qualified);
  if (!found) return;
  form_lock_tree(form, rel, LOCK_ACCESS_EXCLUSIVE, trigger);
  effect_object(form->effect, kind, arena_printf(form->arena, "%s on %s", name, rel->t->qualified), rel->t->qualified, true);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (trigger) shadow_drop_trigger(rel, name);
  if (statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY) shadow_drop_policy(rel, name);
}

/* Columns of the type go with it, or stop the drop. */
static void drop_type_columns(struct form *form, const char *type, bool cascade);
/* CREATE TABLE … OF type. */
static void drop_typed_tables(struct form *form, const char *type, bool cascade) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "tables"), index, one) {
    const char *of = json_str(one, "of_type", NULL);
    struct rel *rel =
        of && shadow_same_type(of, type) ? shadow_find(form->shadow, json_str(one, "schema", ""), json_str(one, "name", "")) : NULL;
    if (!rel || !cascades(form, cascade, "table", rel->t->qualified, type)) continue;
    effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the rows of %s are gone", rel->t->qualified));
    form_drop_relation(form, rel, true);
  }
}

static void drop_type(struct form *form, const PgQuery__DropStmt *statement, const PgQuery__Node *object) {
  const char *type = object->node_case == PG_QUERY__NODE__NODE_TYPE_NAME ? sql_type(form->arena, object->type_name) : NULL;
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (!type) return;
  drop_typed_tables(form, type, statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
  drop_type_columns(form, type, statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
}

static void drop_type_columns(struct form *form, const char *type, bool cascade) {
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    for (size_t c = 0; !rel->dropped && c < rel->t->column_count; c++) {
      const struct snap_column *column = &rel->t->columns[c];
      if (!shadow_same_type(column->type, type) || rel->t->kind == SNAP_VIEW) continue;
      if (!cascades(form, cascade, "column", arena_printf(form->arena, "%s.%s", rel->t->qualified, column->name), type)) continue;
      effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
      effect_fact(form->effect, FACT_DROP_TYPE, rel, column->name, type);
      effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the values of %s.%s are gone", rel->t->qualified, column->name));
      form_drop_dependents(form, rel, column->name, true);
      shadow_drop_column(rel, column->name);
      c--;
    }
  }
}

static void drop_function_triggers(struct form *form, const char *name, bool cascade);
static void drop_function(struct form *form, const PgQuery__DropStmt *statement, const PgQuery__Node *object) {
  if (object->node_case != PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS) return;
  const char *schema, *name;
  sql_name_split(object->object_with_args->n_objname, object->object_with_args->objname, &schema, &name);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (name) drop_function_triggers(form, name, statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
}

static void drop_function_triggers(struct form *form, const char *name, bool cascade) {
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    for (size_t t = 0; !rel->dropped && t < rel->t->trigger_count; t++) {
      const char *function = rel->t->triggers[t].function, *dot = function ? strrchr(function, '.') : NULL;
      if (!function || strncmp(dot ? dot + 1 : function, name, strlen(name)) != 0) continue;
      if (cascades(form, cascade, "trigger", rel->t->triggers[t].name, name)) effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
    }
  }
}

static bool has_statistics(const json_t *table, const char *name) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(table, "statistics"), index, one) if (strcmp(json_str(one, "name", ""), name) == 0) return true;
  return false;
}

/* Extended statistics are not modelled: the snapshot's JSON says which table they are on. */
static void drop_statistics(struct form *form, const PgQuery__DropStmt *statement, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  size_t index;
  json_t *table;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "tables"), index, table) {
    if (!name || !has_statistics(table, name)) continue;
    struct rel *rel = shadow_find(form->shadow, json_str(table, "schema", NULL), json_str(table, "name", NULL));
    effect_table(form->effect, rel);
    effect_lock(form->effect, rel, LOCK_SHARE_UPDATE_EXCLUSIVE);
    return;
  }
  if (!statement->missing_ok) form->effect->opaque = true; /* made by an earlier statement of this migration, or not at all */
}

static void drop_schema(struct form *form, const PgQuery__DropStmt *statement, const char *name) {
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE, any = false;
  effect_fact(form->effect, FACT_DROP_SCHEMA, NULL, name, NULL);
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    if (rel->dropped || strcmp(rel->t->schema, name) != 0) continue;
    any = true;
    if (!cascade) continue;
    effect_table(form->effect, rel);
    if (rel->t->kind == SNAP_TABLE || rel->t->kind == SNAP_PARTITIONED)
      effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the rows of every table in schema %s are gone", name));
    form_drop_relation(form, rel, true);
  }
  const struct snapshot *snapshot = form->shadow->snapshot;
  for (size_t i = 0; cascade && i < snapshot->enum_count; i++)
    if (strcmp(snapshot->enums[i].schema, name) == 0)
      drop_type_columns(form, arena_printf(form->arena, "%s.%s", name, snapshot->enums[i].name), true);
  for (size_t i = 0; cascade && i < snapshot->domain_count; i++)
    if (strcmp(snapshot->domains[i].schema, name) == 0)
      drop_type_columns(form, arena_printf(form->arena, "%s.%s", name, snapshot->domains[i].name), true);
  for (size_t i = 0; cascade && i < snapshot->function_count; i++)
    if (strcmp(snapshot->functions[i].schema, name) == 0) drop_function_triggers(form, snapshot->functions[i].name, true);
  if (any && !cascade) form_fails(form, "2BP01", "schema %s is empty", name);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
}

/* Foreign tables of the server. */
static void drop_server(struct form *form, const PgQuery__DropStmt *statement, const char *name) {
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "tables"), index, one) {
    bool its = strcmp(json_str(one, "server", ""), name) == 0;
    struct rel *rel = its ? shadow_find(form->shadow, json_str(one, "schema", ""), json_str(one, "name", "")) : NULL;
    if (rel && cascades(form, cascade, "foreign table", rel->t->qualified, name)) form_drop_relation(form, rel, true);
  }
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
}

/* Columns of types the extension brought: named as in pg_type, with or without its schema. */
static void drop_extension(struct form *form, const PgQuery__DropStmt *statement, const char *extension) {
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    for (size_t c = 0; !rel->dropped && rel->t->kind != SNAP_VIEW && c < rel->t->column_count; c++) {
      const char *type = rel->t->columns[c].type, *dot = strrchr(type, '.');
      char name[64];
      snprintf(name, sizeof name, "%.*s", (int)strcspn(dot ? dot + 1 : type, "(["), dot ? dot + 1 : type);
      if (!builtin_type(extension, name)) continue;
      if (!cascades(form, cascade, "column", arena_printf(form->arena, "%s.%s", rel->t->qualified, rel->t->columns[c].name), extension))
        continue;
      effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
      effect_loss(form->effect, LOSS_DATA,
                  arena_printf(form->arena, "the values of %s.%s are gone", rel->t->qualified, rel->t->columns[c].name));
      form_drop_dependents(form, rel, rel->t->columns[c].name, true);
      shadow_drop_column(rel, rel->t->columns[c].name);
      c--;
    }
  }
}

static bool drops_kind(PgQuery__ObjectType type, enum snap_relkind kind) {
  switch (type) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE: return kind == SNAP_TABLE || kind == SNAP_PARTITIONED;
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: return kind == SNAP_FOREIGN;
  case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW: return kind == SNAP_VIEW;
  case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW: return kind == SNAP_MATVIEW;
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE: return kind == SNAP_SEQUENCE;
  default: return true;
  }
}

static void drop_named(struct form *form, const PgQuery__DropStmt *statement, size_t count, PgQuery__Node *const *parts) {
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  if (statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX) {
    drop_index(form, statement, count, parts);
    return;
  }
  struct rel *rel = shadow_named(form->shadow, count, parts);
  if (!rel) {
    const char *schema, *name;
    sql_name_split(count, parts, &schema, &name);
    struct rel *owner = NULL;
    if (name && shadow_index(form->shadow, schema, name, &owner))
      form_fails(form, "42809", "%s is no index", name);
    else if (!statement->missing_ok && name)
      form_fails(form, names_no_schema(form->shadow, schema) ? "3F000" : "42P01", "relation %s exists",
                 sql_qualified(form->arena, schema, name));
    return;
  }
  effect_table(form->effect, rel);
  if (!drops_kind(statement->remove_type, rel->t->kind)) {
    form_fails(form, "42809", "%s is of the kind that is dropped", rel->t->qualified);
    return;
  }
  switch (statement->remove_type) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: drop_table(form, rel, cascade); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE: drop_sequence(form, rel, cascade); break;
  default: drop_view(form, rel, cascade); break;
  }
}

static const struct {
  PgQuery__ObjectType type;
  const char *operation;
} drops[] = {
    {PG_QUERY__OBJECT_TYPE__OBJECT_TABLE, "DROP TABLE"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE, "DROP FOREIGN TABLE"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_INDEX, "DROP INDEX"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_VIEW, "DROP VIEW"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW, "DROP MATERIALIZED VIEW"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE, "DROP SEQUENCE"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER, "DROP TRIGGER"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_POLICY, "DROP POLICY"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_RULE, "DROP RULE"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_TYPE, "DROP TYPE"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_DOMAIN, "DROP DOMAIN"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION, "DROP FUNCTION"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA, "DROP SCHEMA"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION, "DROP EXTENSION"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_STATISTIC_EXT, "DROP STATISTICS"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_PUBLICATION, "DROP PUBLICATION"},
    {PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE, "DROP PROCEDURE"},
};

static void drop_object(struct form *form, const PgQuery__DropStmt *statement, const PgQuery__Node *object) {
  size_t count = object->node_case == PG_QUERY__NODE__NODE_LIST ? object->list->n_items : 0;
  PgQuery__Node *const *parts = count ? object->list->items : NULL;
  switch (statement->remove_type) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER: drop_on_table(form, statement, count, parts, "trigger"); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY: drop_on_table(form, statement, count, parts, "policy"); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_RULE: drop_on_table(form, statement, count, parts, "rule"); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_DOMAIN: drop_type(form, statement, object); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION: drop_function(form, statement, object); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_SERVER:
    if (sql_node_string(object)) drop_server(form, statement, sql_node_string(object));
    break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION:
    if (sql_node_string(object)) drop_extension(form, statement, sql_node_string(object));
    break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA:
    if (sql_node_string(object)) drop_schema(form, statement, sql_node_string(object));
    break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX: drop_named(form, statement, count, parts); break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_STATISTIC_EXT: drop_statistics(form, statement, count, parts); break;
  default: effect_loss(form->effect, LOSS_BEHAVIOUR, NULL); break;
  }
}

void form_drop(struct form *form, PgQuery__Node *node) {
  const PgQuery__DropStmt *statement = node->drop_stmt;
  for (size_t i = 0; i < sizeof drops / sizeof *drops; i++)
    if (drops[i].type == statement->remove_type) form->effect->operation = drops[i].operation;
  if (statement->concurrent) form->effect->transaction = TX_NEVER;
  for (size_t i = 0; i < statement->n_objects; i++) drop_object(form, statement, statement->objects[i]);
}

static bool named_too(const struct form *form, const struct rel *rel) {
  for (size_t i = 0; i < form->effect->tables.count; i++)
    if (form->effect->tables.items[i] == rel) return true;
  return false;
}

static void truncate_one(struct form *form, struct rel *rel, bool cascade, bool only, int depth) {
  if (effect_lock_of(form->effect, rel) == LOCK_ACCESS_EXCLUSIVE || depth > 64) return; /* been here: keys may form cycles */
  if (rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_MATVIEW || rel->t->kind == SNAP_SEQUENCE) {
    form_fails(form, "42809", "%s is a table", rel->t->qualified);
    return;
  }
  effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
  if (shadow_is_table(rel)) effect_rewrite(form->effect, rel);
  if (only && rel->t->kind == SNAP_PARTITIONED) form_fails(form, "42809", "%s is not partitioned", rel->t->qualified);
  for (size_t i = 0; !only && i < rel->t->partition_count; i++) {
    struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    if (part) truncate_one(form, part, cascade, false, depth + 1);
  }
  const struct rel *parent = depth ? NULL : parent_of(form, rel);
  for (size_t i = 0; !cascade && parent && i < parent->t->referenced_by_count; i++) {
    const struct rel *child = shadow_of(form->shadow, parent->t->referenced_by[i]->table);
    if (child && !named_too(form, child)) form_fails(form, "0A000", "no foreign key references %s", parent->t->qualified);
  }
  for (size_t i = 0; i < rel->t->referenced_by_count; i++) {
    struct rel *child = shadow_of(form->shadow, rel->t->referenced_by[i]->table);
    if (!child || child == rel || named_too(form, child)) continue;
    if (!cascade) {
      form_fails(form, "0A000", "no foreign key references %s (%s does)", rel->t->qualified, child->t->qualified);
      continue;
    }
    effect_fact(form->effect, FACT_TRUNCATE_CASCADE, child, rel->t->qualified, NULL);
    truncate_one(form, child, cascade, false, depth + 1);
  }
  if (!rel->created) effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the rows of %s are gone", rel->t->qualified));
  rel->empty = true;
}

static void restart_owned(struct form *form, struct rel *sequence) {
  effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE);
  effect_rewrite(form->effect, sequence);
}

static bool is_only(struct form *form, const PgQuery__TruncateStmt *statement, const struct rel *rel) {
  for (size_t i = 0; i < statement->n_relations; i++)
    if (statement->relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && !statement->relations[i]->range_var->inh &&
        shadow_range(form->shadow, statement->relations[i]->range_var) == rel)
      return true;
  return false;
}

void form_truncate(struct form *form, PgQuery__Node *node) {
  const PgQuery__TruncateStmt *statement = node->truncate_stmt;
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  for (size_t i = 0; i < statement->n_relations; i++)
    if (statement->relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) form_target(form, statement->relations[i]->range_var, false);
  size_t named = form->effect->tables.count;
  for (size_t i = 0; i < named; i++) {
    struct rel *rel = form->effect->tables.items[i];
    effect_fact(form->effect, FACT_TRUNCATE, rel, NULL, NULL);
    truncate_one(form, rel, cascade, is_only(form, statement, rel), 0);
    if (statement->restart_seqs) form_each_owned(form, rel, NULL, restart_owned);
  }
}
