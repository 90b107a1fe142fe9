/* forms/column.c - ALTER TABLE on columns: when is it a catalog change, when a pass over the rows, and what stands in the way. */
#include "worker/migration/forms/columns.h"
#include "worker/migration/forms/feasibility.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/type_change.h"
#include "worker/migration/forms/typing.h"
#include "worker/migration/values.h"
#include "worker/sql/text.h"
#include "worker/sql/volatility.h"

static bool is_integer(const char *type) {
  return strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 || strcmp(type, "smallint") == 0 || !*type;
}

static const struct {
  const char *name, *type;
} serials[] = {{"serial", "integer"}, {"serial4", "integer"},      {"bigserial", "bigint"},
               {"serial8", "bigint"}, {"smallserial", "smallint"}, {"serial2", "smallint"}};

static const char *serial_type(const char *type) {
  for (size_t i = 0; type && i < sizeof serials / sizeof *serials; i++)
    if (strcmp(serials[i].name, type) == 0) return serials[i].type;
  return NULL;
}

/* nextval('a.sq') in a default locks the sequence: to depend on it, harder when it is evaluated now. */
struct sequences {
  struct form *form;
  enum lock_mode mode;
};

static bool lock_sequences(void *arg, PgQuery__Node *node) {
  const struct sequences *sequences = arg;
  struct form *form = sequences->form;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL || !node->func_call->n_args) return true;
  const char *schema, *name;
  sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
  if (!name || strcmp(name, "nextval") != 0) return true;
  const PgQuery__Node *argument = node->func_call->args[0];
  if (argument->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) argument = argument->type_cast->arg;
  if (argument->node_case != PG_QUERY__NODE__NODE_A_CONST || argument->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL) return true;
  PgQuery__Node *named = sql_parse_expression(form->arena, argument->a_const->sval->sval);
  if (named && named->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
    effect_lock(form->effect, shadow_named(form->shadow, named->column_ref->n_fields, named->column_ref->fields), sequences->mode);
  return true;
}

void form_lock_sequences(struct form *form, PgQuery__Node *expression, enum lock_mode mode) {
  struct sequences sequences = {form, mode};
  if (mode == LOCK_ACCESS_SHARE && form->shadow->version >= 180000) return; /* PostgreSQL 18 depends on it without a lock */
  if (expression) sql_walk(expression, lock_sequences, &sequences);
}

static const PgQuery__Constraint *column_clause(const PgQuery__ColumnDef *definition, PgQuery__ConstrType type) {
  for (size_t i = 0; i < definition->n_constraints; i++)
    if (definition->constraints[i]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT && definition->constraints[i]->constraint->contype == type)
      return definition->constraints[i]->constraint;
  return NULL;
}

static bool is_null_constant(const PgQuery__Node *node) {
  return node && node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull;
}

#define CLAUSE(definition, type) column_clause((definition), PG_QUERY__CONSTR_TYPE__CONSTR_##type)

void form_add_column_to(struct form *form, struct rel *rel, const PgQuery__ColumnDef *definition) {
  const char *type = definition->type_name ? sql_type(form->arena, definition->type_name) : NULL, *serial = serial_type(type);
  struct snap_column *column = shadow_add_column(form->shadow, rel, definition->colname, serial ? serial : type);
  if (!column) return;
  const PgQuery__Constraint *fallback = CLAUSE(definition, DEFAULT), *generated = CLAUSE(definition, GENERATED),
                            *identity = CLAUSE(definition, IDENTITY);
  column->not_null = serial || identity || CLAUSE(definition, NOTNULL) || CLAUSE(definition, PRIMARY);
  if (serial)
    column->default_expr =
        arena_printf(form->arena, "nextval('%s'::regclass)", sql_made_name(form->arena, rel->t->name, definition->colname, "seq"));
  if (fallback) column->default_expr = sql_expression(form->arena, fallback->raw_expr);
  if (generated) column->generated = sql_expression(form->arena, generated->raw_expr);
  if (identity) column->identity = strcmp(identity->generated_when, "a") == 0 ? "always" : "by default";
}

void form_default_of(struct form *form, const PgQuery__ColumnDef *definition) {
  const PgQuery__Constraint *fallback = CLAUSE(definition, DEFAULT);
  if (!fallback) return;
  columns_default(form, fallback->raw_expr);
  const char *type = definition->type_name ? sql_type(form->arena, definition->type_name) : NULL;
  values_fit(form, type, fallback->raw_expr);
  typing_assign(form, type, fallback->raw_expr);
}

/* What inherits from rel gets the column with it. */
static void add_below(struct form *form, const struct rel *rel, const PgQuery__ColumnDef *definition, int depth) {
  for (size_t i = 0; depth < 64 && i < rel->t->partition_count; i++) {
    struct rel *heir = shadow_of(form->shadow, rel->t->partitions[i]);
    if (!heir || heir == rel) continue;
    if (!snap_table_column(heir->t, definition->colname)) form_add_column_to(form, heir, definition);
    add_below(form, heir, definition, depth + 1);
  }
}

/* Whether adding the column fills in a value for every row, and why. */
static bool column_rewrites(struct form *form, struct rel *rel, const PgQuery__ColumnDef *definition, const char *type) {
  const PgQuery__Constraint *fallback = CLAUSE(definition, DEFAULT);
  const char *function = NULL, *name = definition->colname;
  struct effect *effect = form->effect;
  size_t before = effect->facts.count;
  if (serial_type(type)) effect_fact(effect, FACT_COLUMN_SERIAL, rel, name, type);
  if (CLAUSE(definition, IDENTITY)) effect_fact(effect, FACT_COLUMN_IDENTITY, rel, name, type);
  if (CLAUSE(definition, GENERATED)) effect_fact(effect, FACT_COLUMN_STORED_GENERATED, rel, name, type);
  if (fallback && sql_volatile(form->shadow->snapshot, fallback->raw_expr, &function))
    effect_fact(effect, FACT_COLUMN_VOLATILE_DEFAULT, rel, name, function);
  if (shadow_domain_constrained(shadow_domain(form->shadow, type))) effect_fact(effect, FACT_COLUMN_CONSTRAINED_DOMAIN, rel, name, type);
  bool rewrites = effect->facts.count > before;
  if (rewrites && fallback) form_lock_sequences(form, fallback->raw_expr, LOCK_ROW_EXCLUSIVE);
  return rewrites;
}

static void inline_constraints(struct form *form, struct rel *rel, const PgQuery__ColumnDef *definition, bool all_null) {
  static const struct {
    PgQuery__ConstrType type;
    enum fact fact;
  } kinds[] = {{PG_QUERY__CONSTR_TYPE__CONSTR_CHECK, FACT_COLUMN_INLINE_CHECK},
               {PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE, FACT_COLUMN_INLINE_UNIQUE},
               {PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY, FACT_COLUMN_INLINE_UNIQUE},
               {PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN, FACT_COLUMN_INLINE_FK}};
  for (size_t i = 0; i < definition->n_constraints; i++) {
    if (definition->constraints[i]->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) continue;
    const PgQuery__Constraint *constraint = definition->constraints[i]->constraint;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      if (constraint->contype != kinds[k].type) continue;
      bool harmless = all_null && kinds[k].fact == FACT_COLUMN_INLINE_FK;
      if (!harmless) effect_fact(form->effect, kinds[k].fact, rel, definition->colname, NULL);
      form_constraint(form, rel, constraint, definition->colname, all_null);
    }
  }
}

/* A default is made into a value at once, so that no row needs to be written: one that is too long is refused (ATExecAddColumn). */
static void fits_length(struct form *form, const PgQuery__ColumnDef *definition, const char *type) {
  const PgQuery__Constraint *fallback = CLAUSE(definition, DEFAULT);
  const PgQuery__Node *value = fallback ? fallback->raw_expr : NULL;
  const char *text = value && value->node_case == PG_QUERY__NODE__NODE_A_CONST && !value->a_const->isnull &&
                             value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL
                         ? value->a_const->sval->sval
                         : NULL;
  bool limited = strncmp(type, "character varying(", 18) == 0 || strncmp(type, "character(", 10) == 0;
  if (!text || !limited || strstr(type, "[]")) return;
  size_t most = strtoul(strchr(type, '(') + 1, NULL, 10), letters = 0, last = 0;
  for (const char *c = text; *c; c++) {
    letters += (*c & 0xc0) != 0x80; /* UTF-8: a letter's first byte */
    if (*c != ' ') last = letters;
  }
  if (last > most) form_fails(form, "22001", "the default of %s fits %s", definition->colname, type);
}

struct generated {
  struct form *form;
  const struct rel *rel;
};

static bool see_generated(void *arg, PgQuery__Node *node) {
  const struct generated *generated = arg;
  const char *qualifier, *name;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  const struct snap_column *column = name ? snap_table_column(generated->rel->t, name) : NULL;
  if (column && column->generated) form_fails(generated->form, "42P17", "the expression reads no generated column (%s is one)", name);
  return false;
}

/* What a generated column may be made of: columns that are there, none of them generated, and nothing that changes. */
static void generated_of(struct form *form, const struct rel *rel, PgQuery__Node *expression) {
  struct generated generated = {form, rel};
  columns_need(form, rel, expression);
  typing_immutable(form, rel, expression);
  if (expression) sql_walk(expression, see_generated, &generated);
}

void alter_add_column(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  struct rel *rel = alter->rel;
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) return;
  const PgQuery__ColumnDef *definition = command->def->column_def;
  const char *type = definition->type_name ? sql_type(form->arena, definition->type_name) : "", *name = definition->colname;
  effect_column(form->effect, name);
  if (columns_system(name)) form_fails(form, "42701", "%s is no column of the system", name);
  if (snap_table_column(rel->t, name)) {
    if (!command->missing_ok) form_fails(form, "42701", "no column %s of %s exists", sql_ident(form->arena, name), rel->t->qualified);
    return;
  }
  if (rel->t->partition_of) form_fails(form, "42809", "%s is not a partition", rel->t->qualified);
  if (!type) return;
  const PgQuery__Constraint *fallback = CLAUSE(definition, DEFAULT);
  bool rewrites = column_rewrites(form, rel, definition, type), has_value = rewrites || (fallback && !is_null_constant(fallback->raw_expr));
  const struct snap_domain *domain = shadow_domain(form->shadow, type);
  if (domain && domain->default_expr) has_value = true;
  if (rewrites) form_rewrite_heirs(form, rel);
  if ((CLAUSE(definition, NOTNULL) || CLAUSE(definition, PRIMARY) || (domain && domain->not_null)) &&
      !((serial_type(type) || CLAUSE(definition, IDENTITY) || CLAUSE(definition, GENERATED) ||
         (fallback && !is_null_constant(fallback->raw_expr)) || (domain && domain->default_expr)))) {
    effect_check(form->effect, arena_printf(form->arena, "not_null %s.%s", rel->t->qualified, name), form_verdict(rel, VERDICT_WILL_FAIL),
                 "23502",
                 arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s)", sql_qualified(form->arena, rel->t->schema, rel->t->name)));
    effect_fact(form->effect, FACT_COLUMN_NOT_NULL_NO_DEFAULT, rel, name, type);
    form_scan_heirs(form, rel);
  }
  form_default_of(form, definition);
  if (shadow_is_table(rel)) fits_length(form, definition, type);
  if (CLAUSE(definition, GENERATED)) generated_of(form, rel, CLAUSE(definition, GENERATED)->raw_expr);
  form_add_column_to(form, rel, definition);
  struct snap_column *column = snap_table_column(rel->t, name);
  if (column) column->unset = !has_value;
  add_below(form, rel, definition, 0);
  inline_constraints(form, rel, definition, !has_value);
}

/* A partition key's columns stay, at every level. */
static void not_partitioning(struct form *form, const struct rel *rel, const char *column, int depth) {
  const char *open = rel->t->partition_key ? strchr(rel->t->partition_key, '(') : NULL;
  PgQuery__Node *key = open ? sql_parse_expression(form->arena, open) : NULL;
  if (key && sql_mentions_column(key, column)) form_fails(form, "42P16", "%s is not in the partition key of %s", column, rel->t->qualified);
  for (size_t i = 0; depth < 64 && rel->t->kind == SNAP_PARTITIONED && i < rel->t->partition_count; i++) {
    const struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    if (part && part != rel) not_partitioning(form, part, column, depth + 1);
  }
}

void alter_drop_column(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  if (columns_system(command->name)) {
    form_fails(form, "0A000", "%s is no column of the system", command->name);
    return;
  }
  if (!form_column(form, alter->rel, command->name, command->missing_ok)) return;
  if (alter->rel->t->partition_of || objects_column_from(form->shadow, alter->rel, command->name))
    form_fails(form, "42P16", "column %s is not inherited", sql_ident(form->arena, command->name));
  not_partitioning(form, alter->rel, command->name, 0);
  form_affects(form, alter->rel, command->name, true);
  form_drop_dependents(form, alter->rel, command->name, command->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
  effect_fact(form->effect, FACT_DROP_COLUMN, alter->rel, command->name, NULL);
  effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "the values of %s.%s are gone", alter->rel->t->qualified, command->name));
  shadow_drop_column(alter->rel, command->name);
}

/* USING that is only the column, or the column cast to the new type, converts as no USING does. */
static bool using_is_plain(struct form *form, const PgQuery__Node *using, const char *column, const char *from, const char *type) {
  if (!using) return true;
  if (using->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    const char *cast = sql_type(form->arena, using->type_cast->type_name);
    bool harmless = cast && (strcmp(cast, type) == 0 || type_change_between(form->shadow, from, cast).kind == TYPE_METADATA);
    return harmless && using_is_plain(form, using->type_cast->arg, column, from, type);
  }
  if (using->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return false;
  const char *qualifier, *name;
  sql_name_split(using->column_ref->n_fields, using->column_ref->fields, &qualifier, &name);
  return name && strcmp(name, column) == 0;
}

static bool column_indexed(const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->index_count; i++)
    for (size_t j = 0; j < rel->t->indexes[i].column_count; j++)
      if (strcmp(rel->t->indexes[i].columns[j], column) == 0) return true;
  return false;
}

static bool names_column(const char *const *columns, size_t count, const char *column) {
  for (size_t i = 0; i < count; i++)
    if (columns[i] && strcmp(columns[i], column) == 0) return true;
  return false;
}

/* PostgreSQL refuses to change the type of a column that a view, generated column, policy or trigger definition reads. */
static void type_obstacles(struct form *form, struct rel *rel, const char *column) {
  size_t before = form->effect->objects.count;
  form_affects(form, rel, column, true);
  for (size_t i = before; i < form->effect->objects.count; i++) {
    const struct effect_object *object = &form->effect->objects.items[i];
    if (object->breaks) form_fails(form, "0A000", "no %s reads %s.%s (%s does)", object->kind, rel->t->qualified, column, object->name);
  }
  for (size_t i = 0; i < rel->t->column_count; i++) {
    const struct snap_column *other = &rel->t->columns[i];
    PgQuery__Node *node = other->generated ? sql_parse_expression(form->arena, other->generated) : NULL;
    if (node && sql_mentions_column(node, column))
      form_fails(form, "0A000", "no generated column uses %s.%s (%s does)", rel->t->qualified, column, other->name);
  }
  not_partitioning(form, rel, column, 0);
}

/* Foreign keys on the column are rebuilt: the other table is locked, and read when the comparison changes. */
static void type_foreign_keys(struct form *form, struct rel *rel, const char *column, bool recheck) {
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    if (!names_column(fk->columns, fk->column_count, column)) continue;
    struct rel *ref = shadow_of(form->shadow, fk->ref);
    form_lock_tree(form, ref, LOCK_ACCESS_EXCLUSIVE, false);
    if (recheck && fk->validated && ref) form_scan_tree(form, ref), form_scan_tree(form, rel);
  }
  for (size_t i = 0; i < rel->t->referenced_by_count; i++) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    if (!names_column(fk->ref_columns, fk->column_count, column)) continue;
    struct rel *child = shadow_of(form->shadow, fk->table);
    form_lock_tree(form, child, LOCK_ACCESS_EXCLUSIVE, false);
    if (recheck && fk->validated && child) form_scan_tree(form, child), form_scan_tree(form, rel);
  }
}

/* Indexes over an expression or a condition of the column are rebuilt whatever the change. */
static bool column_computed(struct form *form, const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    if (index->predicate && strstr(index->predicate, column) &&
        sql_mentions_column(sql_parse_expression(form->arena, index->predicate), column))
      return true;
    for (size_t j = 0; j < index->column_count; j++)
      if (strchr(index->columns[j], '(') && strstr(index->columns[j], column) &&
          sql_mentions_column(sql_parse_expression(form->arena, index->columns[j]), column))
        return true;
  }
  return false;
}

static bool column_checked(struct form *form, const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->constraint_count; i++) {
    const struct snap_constraint *constraint = &rel->t->constraints[i];
    if (constraint->type != 'c' || !constraint->validated || !strstr(constraint->definition, column)) continue;
    const char *text = strncmp(constraint->definition, "CHECK ", 6) == 0 ? constraint->definition + 6 : constraint->definition;
    if (sql_mentions_column(sql_parse_expression(form->arena, text), column)) return true;
  }
  return false;
}

static void type_passes(struct form *form, struct rel *rel, const char *column, const char *type, const struct type_change *change) {
  if (change->kind == TYPE_REWRITE) {
    form_rewrite_heirs(form, rel);
    effect_fact(form->effect, FACT_TYPE_REWRITE, rel, column, type);
  } else if (change->kind == TYPE_REINDEX && column_indexed(rel, column)) {
    form_build_tree(form, rel);
    effect_fact(form->effect, FACT_TYPE_REINDEX, rel, column, type);
  } else if (column_computed(form, rel, column)) {
    form_build_tree(form, rel);
    effect_fact(form->effect, FACT_TYPE_REINDEX, rel, column, type);
  } else if (column_checked(form, rel, column)) {
    form_scan_heirs(form, rel);
    effect_fact(form->effect, FACT_TYPE_RECHECK, rel, column, type);
  }
  if (change->lossy) {
    effect_fact(form->effect, FACT_TYPE_LOSSY, rel, column, change->lossy);
    effect_loss(form->effect, LOSS_DATA, arena_printf(form->arena, "%s.%s: %s", rel->t->qualified, column, change->lossy));
  }
  if (change->narrowing)
    effect_check(form->effect, arena_printf(form->arena, "type %s.%s fits %s", rel->t->qualified, column, type),
                 feasibility_fits(rel, snap_table_column(rel->t, column), type), change->sqlstate,
                 feasibility_fits_sql(form, rel, column, type));
}

static void retype_owned(struct form *form, struct rel *sequence) {
  effect_lock(form->effect, sequence, LOCK_SHARE_ROW_EXCLUSIVE);
  effect_rewrite(form->effect, sequence);
}

/* Foreign keys are made again, over the new type. */
static void keys_still_compare(struct form *form, const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    const struct rel *ref = names_column(fk->columns, fk->column_count, column) ? shadow_of(form->shadow, fk->ref) : NULL;
    if (ref && ref != rel) form_keys_compare(form, rel, ref, fk->columns, fk->ref_columns, fk->column_count);
  }
  for (size_t i = 0; i < rel->t->referenced_by_count; i++) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    const struct rel *child = names_column(fk->ref_columns, fk->column_count, column) ? shadow_of(form->shadow, fk->table) : NULL;
    if (child && child != rel) form_keys_compare(form, child, rel, fk->columns, fk->ref_columns, fk->column_count);
  }
}

/* DROP DEFAULT comes before the type changes, wherever in the statement it is written. */
static bool drops_default(const PgQuery__AlterTableStmt *statement, const char *column) {
  for (size_t i = 0; i < statement->n_cmds; i++) {
    const PgQuery__AlterTableCmd *command =
        statement->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD ? statement->cmds[i]->alter_table_cmd : NULL;
    if (command && command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault && !command->def && strcmp(command->name, column) == 0)
      return true;
  }
  return false;
}

void alter_column_type(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  struct snap_column *column = form_column(form, alter->rel, command->name, false);
  if (!column || !command->def || command->def->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) return;
  const PgQuery__ColumnDef *definition = command->def->column_def;
  const char *type = sql_type(form->arena, definition->type_name);
  if (!type) return;
  if (alter->rel->t->partition_of || objects_column_from(form->shadow, alter->rel, command->name))
    form_fails(form, "42P16", "column %s is not inherited", sql_ident(form->arena, command->name));
  struct type_change change = type_change_between(form->shadow, column->type, type);
  bool plain = using_is_plain(form, definition->raw_default, command->name, column->type, type);
  if (definition->raw_default && change.kind == TYPE_REFUSED)
    change = (struct type_change){.kind = TYPE_REWRITE, .narrowing = true, .sqlstate = "22P02"};
  if (!plain) change = (struct type_change){.kind = TYPE_REWRITE, .lossy = "the values before USING was applied"};
  if (change.kind == TYPE_METADATA && definition->coll_clause) change.kind = TYPE_REINDEX;
  type_obstacles(form, alter->rel, command->name);
  columns_need(form, alter->rel, definition->raw_default);
  if (change.kind == TYPE_REFUSED) {
    form_fails(form, "42804", "%s casts automatically to %s", column->type, type);
    effect_fact(form->effect, FACT_TYPE_REFUSED, alter->rel, command->name, type);
    return;
  }
  if (column->identity && !is_integer(type)) form_fails(form, "22023", "the identity column %s stays an integer", command->name);
  if (definition->raw_default && column->default_expr && !column->generated && !drops_default(alter->statement, command->name) &&
      type_change_between(form->shadow, column->type, type).kind == TYPE_REFUSED)
    form_fails(form, "42804", "the default of %s casts automatically to %s", command->name, type);
  type_passes(form, alter->rel, command->name, type, &change);
  type_foreign_keys(form, alter->rel, command->name, change.kind == TYPE_REWRITE || change.kind == TYPE_REINDEX);
  if (column->identity) form_each_owned(form, alter->rel, command->name, retype_owned);
  if (column->default_expr) form_lock_sequences(form, sql_parse_expression(form->arena, column->default_expr), LOCK_ACCESS_SHARE);
  column->type = type;
  keys_still_compare(form, alter->rel, command->name);
}

void alter_column_default(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct snap_column *column = form_column(alter->form, alter->rel, command->name, false);
  form_lock_sequences(alter->form, command->def, LOCK_ACCESS_SHARE);
  columns_default(alter->form, command->def);
  if (column) values_fit(alter->form, column->type, command->def);
  if (column) typing_assign(alter->form, column->type, command->def);
  if (column && (column->identity || column->generated)) /* both have an expression of their own */
    form_fails(alter->form, "42601", "column %s is neither identity nor generated", command->name);
  if (column) column->default_expr = command->def ? sql_expression(alter->form->arena, command->def) : NULL;
}

/* Partitions and heirs are looked at one by one: each may have a proof of its own. */
static void set_not_null_below(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct rel *rel = alter->rel;
  for (size_t i = 0; !alter->only && i < rel->t->partition_count; i++) {
    struct alter below = *alter;
    below.rel = shadow_of(alter->form->shadow, rel->t->partitions[i]);
    struct snap_column *column = below.rel ? snap_table_column(below.rel->t, command->name) : NULL;
    if (!column || column->not_null) continue;
    column->not_null = true;
    if (!shadow_proves_not_null(alter->form->shadow, below.rel, command->name) &&
        !shadow_proves_not_null(alter->form->shadow, rel, command->name) && shadow_is_table(below.rel))
      effect_scan(alter->form->effect, below.rel);
    set_not_null_below(&below, command);
  }
}

static bool nullable_below(struct form *form, const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->partition_count; i++) {
    const struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    const struct snap_column *column = part ? snap_table_column(part->t, name) : NULL;
    if (column && !column->not_null) return true;
  }
  return false;
}

void alter_set_not_null(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct form *form = alter->form;
  struct rel *rel = alter->rel;
  struct snap_column *column = form_column(form, rel, command->name, false);
  if (!column || column->not_null) return;
  column->not_null = true;
  if (alter->only && rel->t->kind == SNAP_PARTITIONED && nullable_below(form, rel, command->name))
    form_fails(form, "42P16", "column %s of all partitions of %s is NOT NULL", command->name, rel->t->qualified);
  set_not_null_below(alter, command);
  const char *check = arena_printf(form->arena, "not_null %s.%s", rel->t->qualified, command->name);
  const char *preflight = feasibility_nulls_sql(form, rel, command->name);
  if (shadow_proves_not_null(form->shadow, rel, command->name)) {
    effect_check(form->effect, check, VERDICT_PROVEN, "23502", preflight);
    return;
  }
  effect_check(form->effect, check, feasibility_not_null(rel, column), "23502", preflight);
  if (shadow_is_table(rel)) effect_scan(form->effect, rel);
  effect_fact(form->effect, FACT_SET_NOT_NULL_SCAN, rel, command->name, NULL);
}

void alter_drop_not_null(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct snap_column *column = form_column(alter->form, alter->rel, command->name, false);
  if (!column || !column->not_null) return;
  for (size_t i = 0; i < alter->rel->t->constraint_count; i++) {
    const struct snap_constraint *key = &alter->rel->t->constraints[i];
    if (key->type == 'p' && names_column(key->columns, key->column_count, command->name))
      form_fails(alter->form, "42P16", "column %s is not in a primary key", command->name);
  }
  if (column->identity) form_fails(alter->form, "42601", "column %s is not an identity column", command->name);
  const struct rel *parent = alter->rel->t->partition_of ? objects_column_from(alter->form->shadow, alter->rel, command->name) : NULL;
  const struct snap_column *theirs = parent ? snap_table_column(parent->t, command->name) : NULL;
  if (theirs && theirs->not_null) form_fails(alter->form, "42P16", "column %s may be NULL in %s", command->name, parent->t->qualified);
  column->not_null = false;
  effect_fact(alter->form->effect, FACT_DROP_NOT_NULL, alter->rel, command->name, NULL);
  effect_loss(alter->form->effect, LOSS_BEHAVIOUR, NULL);
}

static void drop_owned(struct form *form, struct rel *sequence) {
  effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE);
  shadow_drop(form->shadow, sequence);
}

static void change_owned(struct form *form, struct rel *sequence) { effect_lock(form->effect, sequence, LOCK_SHARE_ROW_EXCLUSIVE); }

/* Anything but GENERATED is the sequence's own, whose row is written to a new file. */
static bool changes_sequence(const PgQuery__Node *options) {
  for (size_t i = 0; options && options->node_case == PG_QUERY__NODE__NODE_LIST && i < options->list->n_items; i++)
    if (options->list->items[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
        strcmp(options->list->items[i]->def_elem->defname, "generated") != 0)
      return true;
  return false;
}

void alter_identity(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct snap_column *column = form_column(alter->form, alter->rel, command->name, command->missing_ok);
  if (!column) return;
  bool add = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity;
  bool drop = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_DropIdentity;
  if (!add && !column->identity && !command->missing_ok) form_fails(alter->form, "55000", "column %s is an identity column", command->name);
  if (!add)
    form_each_owned(alter->form, alter->rel, command->name,
                    drop                             ? drop_owned
                    : changes_sequence(command->def) ? retype_owned
                                                     : change_owned);
  if (add && !is_integer(column->type)) form_fails(alter->form, "22023", "column %s is an integer", command->name);
  if (add && !column->not_null) form_fails(alter->form, "55000", "column %s is declared NOT NULL before identity is added", command->name);
  if (add && (column->identity || column->default_expr))
    form_fails(alter->form, "55000", "column %s has no identity and no default yet", command->name);
  column->identity = add ? "by default" : drop ? NULL : column->identity;
}

void alter_set_expression(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct snap_column *column = form_column(alter->form, alter->rel, command->name, false);
  if (column && !column->generated) form_fails(alter->form, "55000", "column %s is generated", command->name);
  form_rewrite_heirs(alter->form, alter->rel);
  effect_fact(alter->form->effect, FACT_COLUMN_STORED_GENERATED, alter->rel, command->name, NULL);
  if (column && command->def) column->generated = sql_expression(alter->form->arena, command->def);
}
