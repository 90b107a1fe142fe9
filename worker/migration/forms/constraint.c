/* forms/constraint.c - constraints and partitions: what is proven by what the schema already says, and what must be read to know. */
#include "worker/migration/forms/bounds.h"
#include "worker/migration/forms/feasibility.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/indexing.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/routing.h"
#include "worker/migration/forms/typing.h"
#include "worker/sql/text.h"

static size_t key_names(struct arena *arena, size_t count, PgQuery__Node *const *keys, const char *column, const char ***ret_names) {
  size_t number = count ? count : column ? 1 : 0;
  const char **names = arena_calloc(arena, number + 1, sizeof *names);
  *ret_names = names;
  if (!names) return 0;
  if (!count && column) names[0] = column;
  for (size_t i = 0; i < count; i++) names[i] = sql_node_string(keys[i]) ? sql_node_string(keys[i]) : "";
  return number;
}

static bool name_taken(struct form *form, struct rel *rel, const char *name) {
  bool taken = name && *name && (shadow_constraint(rel, name) || shadow_fk(rel, name));
  if (taken) form_fails(form, "42710", "no constraint %s of %s exists", name, rel->t->qualified);
  return taken;
}

static const char *table_text(struct form *form, const struct rel *rel) { return sql_qualified(form->arena, rel->t->schema, rel->t->name); }

struct columns_seen {
  const struct rel *rel;
  const char *name, *missing;
  bool several;
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct columns_seen *seen = arg;
  const char *qualifier, *name = NULL;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
    sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  if (name && seen->name && strcmp(seen->name, name) != 0) seen->several = true;
  if (name) seen->name = name;
  if (name && seen->rel && seen->rel->t->column_count && !seen->rel->vague && !snap_table_column(seen->rel->t, name)) seen->missing = name;
  return true;
}

/* The column a CHECK is about, which names it; NULL when there is none or several. */
static const char *only_column(struct form *form, const struct rel *rel, PgQuery__Node *expression) {
  struct columns_seen seen = {.rel = rel};
  sql_walk(expression, see_column, &seen);
  if (seen.missing) form_fails(form, "42703", "column %s of %s exists", sql_ident(form->arena, seen.missing), rel->t->qualified);
  return seen.several ? NULL : seen.name;
}

static bool see_query(void *arg, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) form_fails(arg, "0A000", "the CHECK asks no query");
  return node->node_case != PG_QUERY__NODE__NODE_SUB_LINK;
}

static void check_expression(struct form *form, const struct rel *rel, PgQuery__Node *expression) {
  if (!expression) return;
  sql_walk(expression, see_query, form);
  typing_check(form, rel, expression, true);
}

static void add_check(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, const char *column) {
  const char *expression = sql_expression(form->arena, constraint->raw_expr);
  if (!expression) expression = "…";
  const char *named = column ? column : only_column(form, rel, constraint->raw_expr);
  check_expression(form, rel, constraint->raw_expr);
  const char *name =
      sql_or_null(constraint->conname) ? constraint->conname : shadow_made_name(form->shadow, rel, &named, named ? 1 : 0, "check");
  if (name_taken(form, rel, sql_or_null(constraint->conname))) return;
  if (!constraint->skip_validation) {
    if (constraint->is_no_inherit)
      form_scan_tree(form, rel);
    else
      form_scan_heirs(form, rel);
    if (!column) effect_fact(form->effect, FACT_CHECK_SCAN, rel, name, expression);
    bool proven = feasibility_check_proven(form, rel, expression);
    effect_check(form->effect, arena_printf(form->arena, "check %s.%s", rel->t->qualified, name),
                 proven ? VERDICT_PROVEN : form_verdict(rel, VERDICT_MAY_FAIL), "23514",
                 arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE NOT (%s))", table_text(form, rel), expression));
  }
  shadow_add_constraint(form->shadow, rel, name, 'c', arena_printf(form->arena, "CHECK (%s)", expression),
                        !constraint->skip_validation || rel->empty);
}

/* "a = r.x AND b = r.y" between the referencing and the referenced columns. */
static const char *orphans_query(struct form *form, const struct rel *rel, const struct rel *ref, const char **columns,
                                 const char **ref_columns, size_t count) {
  const char *match = "", *present = "";
  for (size_t i = 0; i < count; i++) {
    const char *mine = sql_ident(form->arena, columns[i]), *theirs = sql_ident(form->arena, ref_columns[i]);
    match = arena_printf(form->arena, "%s%sr.%s = t.%s", match, i ? " AND " : "", theirs, mine);
    present = arena_printf(form->arena, "%s%st.%s IS NOT NULL", present, i ? " AND " : "", mine);
  }
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s t WHERE %s AND NOT EXISTS (SELECT 1 FROM %s r WHERE %s))",
                      table_text(form, rel), present, table_text(form, ref), match);
}

static const struct snap_constraint *primary_key(const struct rel *rel) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].type == 'p') return &rel->t->constraints[i];
  return NULL;
}

static bool leads_index(const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->index_count; i++)
    if (rel->t->indexes[i].column_count && strcmp(rel->t->indexes[i].columns[0], column) == 0 && !rel->t->indexes[i].predicate) return true;
  return false;
}

static bool referable(const struct rel *ref, const char *const *columns, size_t count) {
  for (size_t i = 0; i < ref->t->index_count; i++) {
    const struct snap_index *index = &ref->t->indexes[i];
    if (index->unique && !index->predicate && list_same(index->columns, index->column_count, columns, count)) return true;
  }
  for (size_t i = 0; i < ref->t->constraint_count; i++) {
    const struct snap_constraint *key = &ref->t->constraints[i];
    if ((key->type == 'p' || key->type == 'u') && list_same(key->columns, key->column_count, columns, count)) return true;
  }
  return false;
}

static bool only_deferrable(const struct rel *ref, const char *const *columns, size_t count) {
  bool any = false;
  for (size_t i = 0; i < ref->t->constraint_count; i++) {
    const struct snap_constraint *key = &ref->t->constraints[i];
    if ((key->type != 'p' && key->type != 'u') || !list_same(key->columns, key->column_count, columns, count)) continue;
    if (!key->deferrable) return false;
    any = true;
  }
  size_t indexes = 0;
  for (size_t i = 0; i < ref->t->index_count; i++) {
    const struct snap_index *index = &ref->t->indexes[i];
    indexes += index->unique && !index->predicate && list_same(index->columns, index->column_count, columns, count);
  }
  return any && indexes == 1;
}

static bool type_is_text(const char *type) { return strcmp(type, "text") == 0 || strncmp(type, "character varying", 17) == 0; }

/* int referring to bigint works until the numbers no longer fit; text to varchar costs nothing and is passed over. */
static void note_key_types(struct form *form, struct rel *rel, const struct rel *ref, const char **columns, const char **ref_columns,
                           size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *mine = snap_table_column(rel->t, columns[i]), *theirs = snap_table_column(ref->t, ref_columns[i]);
    if (!mine || !theirs || !mine->type || !theirs->type || shadow_same_type(mine->type, theirs->type)) continue;
    if (type_is_text(mine->type) && type_is_text(theirs->type)) continue;
    effect_fact(form->effect, FACT_FK_TYPE_MISMATCH, rel, columns[i],
                arena_printf(form->arena, "%s, but %s.%s is %s", mine->type, ref->t->qualified, ref_columns[i], theirs->type));
  }
}

/* Integers compare with integers, strings with strings; a number with a fraction is no key to integers (42804). */
void form_keys_compare(struct form *form, const struct rel *rel, const struct rel *ref, const char *const *columns,
                       const char *const *ref_columns, size_t count) {
  static const char *const strings[] = {"text", "character", "uuid"}, *const integers[] = {"smallint", "integer", "bigint"};
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *mine = snap_table_column(rel->t, columns[i]), *theirs = snap_table_column(ref->t, ref_columns[i]);
    bool string = false, integer = false, my_integer = false, my_string = false;
    for (size_t k = 0; mine && theirs && k < 3; k++) {
      string |= strncmp(theirs->type, strings[k], strlen(strings[k])) == 0;
      my_string |= strncmp(mine->type, strings[k], strlen(strings[k])) == 0;
      integer |= strcmp(theirs->type, integers[k]) == 0;
      my_integer |= strcmp(mine->type, integers[k]) == 0;
    }
    bool fraction =
        mine && (strncmp(mine->type, "numeric", 7) == 0 || strcmp(mine->type, "real") == 0 || strncmp(mine->type, "double", 6) == 0);
    if ((string && my_integer) || (integer && (my_string || fraction)))
      form_fails(form, "42804", "%s.%s compares with %s.%s", rel->t->qualified, columns[i], ref->t->qualified, ref_columns[i]);
  }
}

/* No row asks for a partner: one NULL is enough (MATCH SIMPLE). */
static bool key_is_unset(const struct rel *rel, const PgQuery__Constraint *constraint, const char *const *columns, size_t count) {
  if (rel->empty) return true;
  if (rel->written || strcmp(constraint->fk_matchtype, "s") != 0) return false;
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *column = snap_table_column(rel->t, columns[i]);
    if (column && column->unset) return true;
  }
  return false;
}

static void add_foreign_key(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, const char *column,
                            bool new_column_null) {
  struct rel *ref = shadow_range(form->shadow, constraint->pktable);
  const char **columns, **ref_columns;
  size_t count = key_names(form->arena, constraint->n_fk_attrs, constraint->fk_attrs, column, &columns);
  size_t ref_count = key_names(form->arena, constraint->n_pk_attrs, constraint->pk_attrs, NULL, &ref_columns);
  const char *name = sql_or_null(constraint->conname) ? constraint->conname : shadow_made_name(form->shadow, rel, columns, count, "fkey");
  if (!ref) {
    form_fails(form, "42P01", "relation %s exists",
               sql_qualified(form->arena, sql_or_null(constraint->pktable->schemaname), constraint->pktable->relname));
    return;
  }
  if (name_taken(form, rel, sql_or_null(constraint->conname))) return;
  if (ref->t->kind != SNAP_TABLE && ref->t->kind != SNAP_PARTITIONED) {
    form_fails(form, "42809", "%s is a table", ref->t->qualified);
    return;
  }
  if (rel->temporary != ref->temporary)
    form_fails(form, "42P16", "%s and %s are both temporary or both not", rel->t->qualified, ref->t->qualified);
  if (ref->t->unlogged && !rel->t->unlogged && !rel->temporary) form_fails(form, "42P16", "%s is logged", ref->t->qualified);
  const struct snap_constraint *key = primary_key(ref);
  if (!ref_count && key) {
    ref_columns = key->columns;
    ref_count = key->column_count;
  }
  for (size_t i = 0; i < ref_count; i++)
    if (ref->t->column_count && !ref->vague && !snap_table_column(ref->t, ref_columns[i]))
      form_fails(form, "42703", "column %s of %s exists", ref_columns[i], ref->t->qualified);
  if (ref->t->column_count && !ref->vague && (ref_count != count || !referable(ref, ref_columns, ref_count)))
    form_fails(form, "42830", "a unique constraint of %s matches the key", ref->t->qualified);
  if (ref_count == count && only_deferrable(ref, ref_columns, ref_count))
    form_fails(form, "55000", "the unique constraint of %s is not deferrable", ref->t->qualified);
  if (rel->t->kind == SNAP_FOREIGN) form_fails(form, "0A000", "%s is a table of its own", rel->t->qualified);
  form_keys_compare(form, rel, ref, columns, ref_columns, ref_count < count ? ref_count : count);
  if (constraint->skip_validation && rel->t->kind == SNAP_PARTITIONED && form->shadow->version < 180000)
    form_fails(form, "42809", "NOT VALID foreign keys from partitioned tables are allowed (PostgreSQL 18)");
  note_key_types(form, rel, ref, columns, ref_columns, ref_count < count ? ref_count : count);
  form_lock_tree(form, rel, LOCK_SHARE_ROW_EXCLUSIVE, true);
  form_lock_tree(form, ref, LOCK_SHARE_ROW_EXCLUSIVE, true);
  bool reads = !constraint->skip_validation && !new_column_null && rel != form->effect->making;
  if (reads) {
    form_scan_tree(form, rel);
    bool unset = key_is_unset(rel, constraint, columns, count);
    if (!unset) form_scan_tree(form, ref);
    if (!column) effect_fact(form->effect, FACT_FK_SCAN, rel, name, ref->t->qualified);
    bool proven = unset || feasibility_key_proven(rel, ref, columns, count);
    effect_check(form->effect, arena_printf(form->arena, "foreign_key %s.%s", rel->t->qualified, name),
                 proven ? VERDICT_PROVEN : form_verdict(rel, VERDICT_MAY_FAIL), "23503",
                 orphans_query(form, rel, ref, columns, ref_columns, ref_count < count ? ref_count : count));
  }
  if (count && !leads_index(rel, columns[0])) effect_fact(form->effect, FACT_FK_WITHOUT_INDEX, rel, columns[0], ref->t->qualified);
  struct snap_fk *fk = shadow_add_fk(form->shadow, rel, name, ref, !constraint->skip_validation);
  if (fk) {
    fk->columns = columns;
    fk->ref_columns = ref_columns;
    fk->column_count = ref_count < count ? ref_count : count;
    struct snap_fk *back = ref->t->referenced_by[ref->t->referenced_by_count - 1];
    back->columns = columns;
    back->ref_columns = ref_columns;
    back->column_count = fk->column_count;
  }
}

/* Columns of a key become NOT NULL with it; true when one has to be read to know it holds. */
static bool key_nullable(struct form *form, struct rel *rel, const char *const *columns, size_t count) {
  bool unknown = false;
  for (size_t i = 0; i < count; i++) {
    struct snap_column *column = snap_table_column(rel->t, columns[i]);
    if (!column || column->not_null) continue;
    if (!shadow_proves_not_null(form->shadow, rel, columns[i])) {
      unknown = true;
      effect_check(form->effect, arena_printf(form->arena, "not_null %s.%s", rel->t->qualified, columns[i]),
                   feasibility_not_null(rel, column), "23502", feasibility_nulls_sql(form, rel, columns[i]));
    }
    column->not_null = true;
  }
  return unknown;
}

static void check_unique(struct form *form, struct rel *rel, const char *name, const char *const *columns, size_t count, bool nulls_equal) {
  const char **keys = arena_calloc(form->arena, count + 1, sizeof *keys);
  for (size_t i = 0; keys && i < count; i++) keys[i] = sql_ident(form->arena, columns[i]);
  effect_check(form->effect, arena_printf(form->arena, "unique %s.%s", rel->t->qualified, name), feasibility_unique(rel, columns, count),
               "23505", keys ? feasibility_duplicates_sql(form, rel, keys, count, NULL, nulls_equal) : NULL);
}

/* Over columns alone, and all rows, in the usual order, and nobody else's (transformIndexConstraint of parser/parse_utilcmd.c). */
static void plain_index(struct form *form, const struct rel *rel, const struct snap_index *index) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].index && strcmp(rel->t->constraints[i].index, index->name) == 0)
      form_fails(form, "55000", "index %s belongs to no constraint", index->name);
  bool plain = !index->predicate && !(index->definition && strstr(index->definition, " DESC"));
  for (size_t i = 0; i < index->column_count; i++) plain &= snap_table_column(rel->t, index->columns[i]) != NULL || rel->vague;
  if (!plain) form_fails(form, "42809", "index %s is over columns alone, in their order, and all rows", index->name);
}

static void use_index(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, bool primary) {
  struct rel *owner = NULL;
  struct snap_index *index = shadow_index(form->shadow, rel->t->schema, constraint->indexname, &owner);
  if (index && owner != rel) {
    form_fails(form, "55000", "index %s is one of %s", constraint->indexname, rel->t->qualified);
    return;
  }
  if (!index) {
    form_fails(form, "42704", "index %s of %s exists", constraint->indexname, rel->t->qualified);
    return;
  }
  if (!index->unique) form_fails(form, "42809", "index %s is unique", constraint->indexname);
  if (!index->valid) form_fails(form, "55000", "index %s is valid", constraint->indexname);
  plain_index(form, rel, index);
  if (primary && key_nullable(form, rel, index->columns, index->column_count)) {
    form_scan_tree(form, rel);
    effect_fact(form->effect, FACT_PK_USING_NULLABLE, rel, constraint->indexname, NULL);
  }
  const char *name = sql_or_null(constraint->conname) ? constraint->conname : constraint->indexname;
  struct snap_constraint *added = shadow_add_constraint(form->shadow, rel, name, primary ? 'p' : 'u', "", true);
  if (!added) return;
  added->columns = index->columns;
  added->column_count = index->column_count;
  index->name = added->index = name;
}

/* A key holds within each partition, so over all of them only with the columns that tell them apart. */
struct covering {
  struct form *form;
  const struct rel *rel;
  const char *const *columns;
  size_t count;
};

static bool see_key(void *arg, PgQuery__Node *node) {
  const struct covering *covering = arg;
  const char *qualifier, *name;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  bool covered = !name;
  for (size_t i = 0; i < covering->count; i++) covered |= name && strcmp(covering->columns[i], name) == 0;
  if (!covered) form_fails(covering->form, "0A000", "the key holds %s, by which %s is partitioned", name, covering->rel->t->qualified);
  return true;
}

static void covers(struct form *form, const struct rel *rel, const char *const *columns, size_t count, int depth) {
  const char *open = rel->t->partition_key ? strchr(rel->t->partition_key, '(') : NULL;
  PgQuery__Node *key = open ? sql_parse_expression(form->arena, open) : NULL;
  struct covering covering = {form, rel, columns, count};
  if (rel->t->kind != SNAP_PARTITIONED) return;
  if (key) sql_walk(key, see_key, &covering);
  for (size_t i = 0; depth < 64 && i < rel->t->partition_count; i++) {
    const struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    if (part && part != rel) covers(form, part, columns, count, depth + 1);
  }
}

void form_key_covers(struct form *form, const struct rel *rel, const char *const *columns, size_t count) {
  covers(form, rel, columns, count, 0);
}

/* Columns that an exclusion constraint compares with "=": what a partition's rows can be told apart by. */
static size_t excluded_equals(struct arena *arena, const PgQuery__Constraint *constraint, const char ***ret_names) {
  size_t count = 0;
  const char **names = *ret_names = arena_calloc(arena, constraint->n_exclusions + 1, sizeof *names);
  for (size_t i = 0; names && i < constraint->n_exclusions; i++) {
    const PgQuery__Node *pair = constraint->exclusions[i];
    if (pair->node_case != PG_QUERY__NODE__NODE_LIST || pair->list->n_items != 2) continue;
    const PgQuery__Node *element = pair->list->items[0], *operator= pair->list->items[1];
    const char *sign = operator->node_case == PG_QUERY__NODE__NODE_LIST && operator->list->n_items
        ? sql_node_string(operator->list->items[operator->list->n_items - 1])
        : sql_node_string(operator);
    if (sign && strcmp(sign, "=") == 0 && element->node_case == PG_QUERY__NODE__NODE_INDEX_ELEM) names[count++] = element->index_elem->name;
  }
  return count;
}

static void add_key(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, const char *column) {
  bool primary = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY,
       exclude = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION;
  if (primary && primary_key(rel)) form_fails(form, "42P16", "%s has no primary key yet", rel->t->qualified);
  if (name_taken(form, rel, sql_or_null(constraint->conname))) return;
  if (sql_or_null(constraint->indexname)) {
    use_index(form, rel, constraint, primary);
    return;
  }
  const char **columns;
  size_t count = key_names(form->arena, constraint->n_keys, constraint->keys, column, &columns);
  const char *name = sql_or_null(constraint->conname) ? constraint->conname
                     : primary                        ? sql_made_name(form->arena, rel->t->name, NULL, "pkey")
                                                      : shadow_made_name(form->shadow, rel, columns, count, exclude ? "excl" : "key");
  if (rel->t->kind == SNAP_FOREIGN) form_fails(form, "0A000", "%s is a table of its own", rel->t->qualified);
  if (rel->t->kind == SNAP_PARTITIONED) {
    const char **equals = columns;
    size_t equal_count = exclude ? excluded_equals(form->arena, constraint, &equals) : count;
    form_key_covers(form, rel, equals, equal_count);
  }
  if (!exclude) indexing_key(form, rel, columns, count);
  struct rel *owner = NULL;
  if (sql_or_null(constraint->conname) &&
      (shadow_find(form->shadow, rel->t->schema, name) || shadow_index(form->shadow, rel->t->schema, name, &owner)))
    form_fails(form, "42P07", "no relation %s exists", name);
  form_build_tree(form, rel);
  bool sets_not_null = primary && key_nullable(form, rel, columns, count);
  if (rel->t->kind != SNAP_PARTITIONED) form_lock_heirs(form, rel, LOCK_ACCESS_EXCLUSIVE, primary); /* whose columns become NOT NULL */
  for (size_t i = 0; rel->t->kind == SNAP_PARTITIONED && i < rel->t->partition_count; i++)
    form_lock_tree(form, shadow_of(form->shadow, rel->t->partitions[i]),
                   sets_not_null || form->shadow->version >= 180000 ? LOCK_ACCESS_EXCLUSIVE : LOCK_SHARE, true);
  if (!exclude)
    check_unique(form, rel, name, columns, count, constraint->nulls_not_distinct);
  else
    effect_check(form->effect, arena_printf(form->arena, "exclusion %s.%s", rel->t->qualified, name), form_verdict(rel, VERDICT_MAY_FAIL),
                 "23P01", feasibility_exclusion_sql(form, rel, constraint));
  if (!column)
    effect_fact(form->effect,
                primary   ? FACT_PRIMARY_KEY_BUILD
                : exclude ? FACT_EXCLUDE_BUILD
                          : FACT_UNIQUE_BUILD,
                rel, name, sql_ident_list(form->arena, columns, count));
  struct snap_constraint *added = shadow_add_constraint(form->shadow, rel, name, primary ? 'p' : exclude ? 'x' : 'u', "", true);
  struct snap_index *index = shadow_add_index(form->shadow, rel, name);
  if (!added || !index) return;
  added->columns = index->columns = columns;
  added->column_count = index->column_count = count;
  added->index = name;
  index->unique = !exclude;
  index->primary = primary;
}

void form_constraint(struct form *form, struct rel *rel, const PgQuery__Constraint *constraint, const char *column, bool new_column_null) {
  switch (constraint->contype) {
  case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK: add_check(form, rel, constraint, column); break;
  case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: add_foreign_key(form, rel, constraint, column, new_column_null); break;
  case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY:
  case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
  case PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION: add_key(form, rel, constraint, column); break;
  default: break;
  }
}

void alter_add_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) return;
  const PgQuery__Constraint *constraint = command->def->constraint;
  if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK && (!constraint->is_no_inherit || alter->form->shadow->version >= 180000))
    form_lock_heirs(alter->form, alter->rel, LOCK_ACCESS_EXCLUSIVE, !alter->only);
  bool check = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK;
  if (check && constraint->is_no_inherit && alter->rel->t->kind == SNAP_PARTITIONED)
    form_fails(alter->form, "42P16", "%s is not partitioned (its CHECKs are its partitions', too)", alter->rel->t->qualified);
  if (check && !constraint->is_no_inherit && alter->only && alter->rel->t->partition_count)
    form_fails(alter->form, "42P16", "the CHECK is for all that inherit from %s", alter->rel->t->qualified);
  if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN && alter->only && alter->rel->t->kind == SNAP_PARTITIONED)
    form_fails(alter->form, "42809", "the foreign key is for all partitions of %s", alter->rel->t->qualified);
  for (size_t i = 0; i < constraint->n_keys; i++)
    if (sql_node_string(constraint->keys[i])) form_column(alter->form, alter->rel, sql_node_string(constraint->keys[i]), false);
  for (size_t i = 0; i < constraint->n_fk_attrs; i++)
    if (sql_node_string(constraint->fk_attrs[i])) form_column(alter->form, alter->rel, sql_node_string(constraint->fk_attrs[i]), false);
  form_constraint(alter->form, alter->rel, constraint, NULL, false);
}

/* Every foreign key that needs the dropped key goes with it, or stops the drop. */
static void drop_key_references(struct alter *alter, const struct snap_constraint *key, bool cascade) {
  struct snap_table *table = alter->rel->t;
  for (size_t i = 0; i < table->referenced_by_count;) {
    const struct snap_fk *fk = table->referenced_by[i];
    struct rel *child = shadow_of(alter->form->shadow, fk->table);
    if (!child || !list_same(fk->ref_columns, fk->column_count, key->columns, key->column_count)) {
      i++;
      continue;
    }
    if (!cascade) {
      form_fails(alter->form, "2BP01", "nothing depends on constraint %s (%s of %s does)", key->name, fk->name, child->t->qualified);
      i++;
      continue;
    }
    effect_lock(alter->form->effect, child, LOCK_ACCESS_EXCLUSIVE);
    effect_object(alter->form->effect, "foreign key", arena_printf(alter->form->arena, "%s on %s", fk->name, child->t->qualified),
                  table->qualified, true);
    effect_fact(alter->form->effect, FACT_DROP_CASCADE, child, fk->name, table->qualified);
    size_t before = table->referenced_by_count;
    shadow_drop_fk(child, fk->name);
    if (table->referenced_by_count == before) i++; /* not ours to forget: move on rather than look at it for ever */
  }
}

void alter_drop_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  struct snap_fk *fk = shadow_fk(alter->rel, command->name);
  struct snap_constraint *constraint = shadow_constraint(alter->rel, command->name);
  if (objects_constraint_from(form->shadow, alter->rel, command->name))
    form_fails(form, "42P16", "constraint %s is not inherited", command->name);
  if (fk) {
    form_lock_tree(form, shadow_of(form->shadow, fk->ref), LOCK_ACCESS_EXCLUSIVE, true);
    for (size_t i = 0; i < fk->column_count; i++) effect_column(form->effect, fk->columns[i]);
    shadow_drop_fk(alter->rel, command->name);
  } else if (constraint) {
    for (size_t i = 0; i < constraint->column_count; i++) effect_column(form->effect, constraint->columns[i]);
    if (constraint->type == 'p' || constraint->type == 'u') {
      drop_key_references(alter, constraint, command->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
      shadow_drop_index(alter->rel, constraint->index ? constraint->index : command->name);
    }
    shadow_drop_constraint(alter->rel, command->name);
  } else {
    if (!command->missing_ok) form_fails(form, "42704", "constraint %s of %s exists", command->name, alter->rel->t->qualified);
    return;
  }
  effect_fact(form->effect, FACT_DROP_CONSTRAINT, alter->rel, command->name, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
}

void alter_validate_constraint(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  struct rel *rel = alter->rel;
  struct snap_fk *fk = shadow_fk(rel, command->name);
  struct snap_constraint *constraint = shadow_constraint(rel, command->name);
  if (!fk && !constraint) {
    form_fails(form, "42704", "constraint %s of %s exists", command->name, rel->t->qualified);
    return;
  }
  if (constraint && constraint->type != 'c' && constraint->type != 'n')
    form_fails(form, "42809", "constraint %s of %s is a CHECK or foreign key", command->name, rel->t->qualified);
  if (fk ? fk->validated : constraint->validated) return;
  if (!fk && alter->only && rel->t->partition_count && !strstr(constraint->definition, "NO INHERIT"))
    form_fails(form, "42P16", "constraint %s is validated with those of all that inherit from %s", command->name, rel->t->qualified);
  if (!fk) form_lock_heirs(form, rel, LOCK_SHARE_UPDATE_EXCLUSIVE, !alter->only);
  if (fk)
    form_scan_tree(form, rel);
  else
    form_scan_heirs(form, rel);
  enum verdict verdict = form_verdict(rel, VERDICT_MAY_FAIL);
  if (fk) {
    struct rel *ref = shadow_of(form->shadow, fk->ref);
    form_lock_tree(form, ref, LOCK_ACCESS_SHARE, true);
    effect_lock(form->effect, ref, LOCK_ROW_SHARE);
    form_scan_tree(form, ref);
    fk->validated = true;
    effect_check(form->effect, arena_printf(form->arena, "foreign_key %s.%s", rel->t->qualified, fk->name), verdict, "23503",
                 ref ? orphans_query(form, rel, ref, fk->columns, fk->ref_columns, fk->column_count) : NULL);
  } else {
    const char *expression = strncmp(constraint->definition, "CHECK ", 6) == 0 ? constraint->definition + 6 : NULL;
    constraint->validated = true;
    effect_check(form->effect, arena_printf(form->arena, "check %s.%s", rel->t->qualified, constraint->name), verdict, "23514",
                 expression ? arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE NOT %s)", table_text(form, rel), expression)
                            : NULL);
  }
  if (effect_lock_of(form->effect, rel) >= LOCK_SHARE) effect_fact(form->effect, FACT_VALIDATE_WITH_ADD, rel, command->name, NULL);
}

/* The default partition must not hold rows of a new one: it is locked, and read unless a CHECK rules them out. */
static void touch_default(struct form *form, struct rel *parent, const PgQuery__PartitionBoundSpec *bound, enum fact fact) {
  struct rel *fallback = shadow_default_partition(form->shadow, parent);
  if (!fallback || bound->is_default) return;
  form_lock_tree(form, fallback, LOCK_ACCESS_EXCLUSIVE, true);
  if (bounds_excluded(form->shadow, parent, fallback, bound)) return;
  form_scan_tree(form, fallback);
  effect_fact(form->effect, fact, fallback, parent->t->qualified, NULL);
  effect_check(form->effect, arena_printf(form->arena, "default_partition %s", fallback->t->qualified),
               form_verdict(fallback, VERDICT_MAY_FAIL), "23514", feasibility_bound_sql(form, fallback, parent, bound, true));
}

/* Indexes of the parent that the table has no match for are built on it. */
static void build_missing(struct form *form, const struct rel *parent, struct rel *part) {
  for (size_t i = 0; i < parent->t->index_count; i++) {
    const struct snap_index *wanted = &parent->t->indexes[i];
    bool found = false;
    for (size_t j = 0; j < part->t->index_count && !found; j++)
      found = part->t->indexes[j].unique >= wanted->unique &&
              list_same(part->t->indexes[j].columns, part->t->indexes[j].column_count, wanted->columns, wanted->column_count);
    if (!found) form_build_tree(form, part);
  }
}

static bool is_parent(const struct rel *parent, const struct rel *rel) {
  for (size_t i = 0; i < parent->t->partition_count; i++)
    if (parent->t->partitions[i] == rel->t) return true;
  return false;
}

static bool is_ancestor(struct shadow *shadow, const struct rel *above, const struct rel *rel, int depth) {
  if (above == rel) return true;
  for (size_t i = 0; depth < 64 && i < above->t->partition_count; i++) {
    const struct rel *heir = shadow_of(shadow, above->t->partitions[i]);
    if (heir && heir != above && is_ancestor(shadow, heir, rel, depth + 1)) return true;
  }
  return false;
}

/* ATExecAddInherit and MergeAttributes of commands/tablecmds.c. */
void form_inheritable(struct form *form, const struct rel *parent, const struct rel *rel) {
  if (parent->t->kind == SNAP_PARTITIONED || parent->t->partition_of || (parent->t->kind != SNAP_TABLE && parent->t->kind != SNAP_FOREIGN))
    form_fails(form, "42809", "%s is a table, neither partitioned nor a partition", parent->t->qualified);
  else if (rel->t->partition_count && is_ancestor(form->shadow, rel, parent, 0))
    form_fails(form, "42P07", "%s is not below %s", parent->t->qualified, rel->t->qualified);
  else if (is_parent(parent, rel))
    form_fails(form, "42P07", "%s doesn't inherit from %s yet", rel->t->qualified, parent->t->qualified);
}

void form_inherits(struct form *form, const struct rel *parent, const struct rel *rel) {
  if (!is_parent(parent, rel)) form_fails(form, "42P01", "%s inherits from %s", rel->t->qualified, parent->t->qualified);
}

/* By name: MergeConstraintsIntoExisting. */
void form_same_checks(struct form *form, const struct rel *parent, const struct rel *rel) {
  for (size_t i = 0; i < parent->t->constraint_count; i++) {
    const struct snap_constraint *theirs = &parent->t->constraints[i], *mine = shadow_constraint(rel, theirs->name);
    if (theirs->type == 'c' && !strstr(theirs->definition, "NO INHERIT") && (!mine || mine->type != 'c'))
      form_fails(form, "42804", "%s has the CHECK %s of %s", rel->t->qualified, theirs->name, parent->t->qualified);
  }
}

/* Columns of one name, type and nullability, none more and none less. */
static void attachable(struct form *form, const struct rel *parent, const struct rel *part) {
  if (parent->vague || part->vague || !parent->t->column_count || !part->t->column_count) return;
  for (size_t i = 0; i < parent->t->column_count; i++) {
    const struct snap_column *theirs = &parent->t->columns[i], *mine = snap_table_column(part->t, theirs->name);
    if (!mine || (*mine->type && *theirs->type && !shadow_same_type(mine->type, theirs->type)) || (theirs->not_null && !mine->not_null))
      form_fails(form, "42804", "column %s of %s is like that of %s", theirs->name, part->t->qualified, parent->t->qualified);
  }
  for (size_t i = 0; i < part->t->column_count; i++)
    if (!snap_table_column(parent->t, part->t->columns[i].name))
      form_fails(form, "42804", "%s has the column %s", parent->t->qualified, part->t->columns[i].name);
  form_same_checks(form, parent, part);
}

static bool inherits_any(const struct shadow *shadow, const struct rel *rel) {
  for (size_t i = 0; i < shadow->rels.count; i++)
    if (!shadow->rels.items[i]->dropped && is_parent(shadow->rels.items[i], rel)) return true;
  return false;
}

void form_partitionable(struct form *form, const struct rel *parent, const PgQuery__PartitionBoundSpec *bound) {
  if (parent->t->kind != SNAP_PARTITIONED) form_fails(form, "42P17", "%s is partitioned", parent->t->qualified);
  if (bound->is_default && shadow_default_partition(form->shadow, parent))
    form_fails(form, "42P17", "%s has no default partition yet", parent->t->qualified);
  routing_fits(form, parent, bound);
}

/* Whether the partition has the parent's foreign key already, which then takes the place of its own (tryAttachPartitionForeignKey). */
static bool has_key(const struct rel *part, const struct snap_fk *wanted) {
  for (size_t i = 0; i < part->t->fk_count; i++) {
    const struct snap_fk *mine = &part->t->fks[i];
    if (mine->ref == wanted->ref && list_same(mine->columns, mine->column_count, wanted->columns, wanted->column_count)) return true;
  }
  return false;
}

void alter_attach_partition(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_PARTITION_CMD) return;
  const PgQuery__PartitionCmd *partition = command->def->partition_cmd;
  struct rel *part = form_target(form, partition->name, false);
  if (!part || !partition->bound) return;
  form_partitionable(form, alter->rel, partition->bound);
  if (part->t->partition_of || inherits_any(form->shadow, part) || (part->t->kind == SNAP_TABLE && part->t->partition_count))
    form_fails(form, "42809", "%s is not a partition yet, nor inherits", part->t->qualified);
  else if (part->t->kind == SNAP_VIEW || part->t->kind == SNAP_MATVIEW || part->t->kind == SNAP_SEQUENCE)
    form_fails(form, "42809", "%s is a table", part->t->qualified);
  else if (alter->rel->t->kind == SNAP_PARTITIONED)
    attachable(form, alter->rel, part);
  form_lock_tree(form, part, LOCK_ACCESS_EXCLUSIVE, true);
  build_missing(form, alter->rel, part);
  for (size_t i = 0; i < alter->rel->t->referenced_by_count; i++)
    effect_lock(form->effect, shadow_of(form->shadow, alter->rel->t->referenced_by[i]->table), LOCK_SHARE_ROW_EXCLUSIVE);
  for (size_t i = 0; i < alter->rel->t->fk_count; i++)
    form_lock_tree(form, shadow_of(form->shadow, alter->rel->t->fks[i].ref),
                   has_key(part, &alter->rel->t->fks[i]) ? LOCK_ACCESS_EXCLUSIVE : LOCK_SHARE_ROW_EXCLUSIVE, true);
  if (!bounds_implied(form->shadow, alter->rel, part, partition->bound)) {
    form_scan_tree(form, part);
    effect_fact(form->effect, FACT_ATTACH_SCAN, part, alter->rel->t->qualified, NULL);
    effect_check(form->effect, arena_printf(form->arena, "partition_bound %s", part->t->qualified), form_verdict(part, VERDICT_MAY_FAIL),
                 "23514", feasibility_bound_sql(form, part, alter->rel, partition->bound, false));
  }
  touch_default(form, alter->rel, partition->bound, FACT_PARTITION_DEFAULT_SCAN);
  shadow_add_partition(form->shadow, alter->rel, part, bounds_text(form->arena, partition->bound));
  part->bound = partition->bound;
  part->bound_tried = true;
}

void alter_detach_partition(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_PARTITION_CMD) return;
  const PgQuery__PartitionCmd *partition = command->def->partition_cmd;
  struct rel *part = form_target(form, partition->name, false), *fallback = shadow_default_partition(form->shadow, alter->rel);
  if (!part) return;
  if (alter->rel->t->kind != SNAP_PARTITIONED)
    form_fails(form, "42P17", "%s is partitioned", alter->rel->t->qualified);
  else if (!part->t->partition_of || strcmp(part->t->partition_of, alter->rel->t->qualified) != 0)
    form_fails(form, "42P01", "%s is a partition of %s", part->t->qualified, alter->rel->t->qualified);
  if (partition->concurrent) {
    form->effect->transaction = TX_NEVER;
    if (fallback) form_fails(form, "55000", "%s has no default partition", alter->rel->t->qualified);
  } else {
    effect_lock(form->effect, fallback, LOCK_ACCESS_EXCLUSIVE);
    effect_fact(form->effect, FACT_DETACH_BLOCKING, part, alter->rel->t->qualified, NULL);
  }
  form_lock_tree(form, part, LOCK_ACCESS_EXCLUSIVE, true);
  for (size_t i = 0; i < alter->rel->t->referenced_by_count; i++) { /* no row may refer to it any more */
    struct rel *child = shadow_of(form->shadow, alter->rel->t->referenced_by[i]->table);
    form_lock_tree(form, child, LOCK_ACCESS_EXCLUSIVE, true);
    form_scan_tree(form, child);
    form_scan_tree(form, part);
  }
  for (size_t i = 0; i < alter->rel->t->fk_count; i++) /* the partition gets keys of its own */
    form_lock_tree(form, shadow_of(form->shadow, alter->rel->t->fks[i].ref), LOCK_SHARE_ROW_EXCLUSIVE, true);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  shadow_detach(form->shadow, alter->rel, part);
}
