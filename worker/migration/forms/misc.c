/* forms/misc.c - renames, objects that hang on a table, types, sequences, transaction control, settings, and what only running tells. */
#include <strings.h>

#include "common/json.h"
#include "worker/migration/forms/feasibility.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/objects.h"
#include "worker/sql/text.h"

/* Relations and indexes of a schema have names of one kind. */
static void free_name(struct form *form, const struct rel *rel, const char *name) {
  struct rel *owner = NULL;
  if (shadow_find(form->shadow, rel->t->schema, name) || shadow_index(form->shadow, rel->t->schema, name, &owner))
    form_fails(form, "42P07", "no relation %s.%s exists", rel->t->schema, name);
}

static void rename_relation(struct form *form, const PgQuery__RenameStmt *statement) {
  if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX) {
    struct rel *owner = NULL;
    struct snap_index *index =
        shadow_index(form->shadow, sql_or_null(statement->relation->schemaname), statement->relation->relname, &owner);
    if (!index && !statement->missing_ok) form_fails(form, "42P01", "index %s exists", statement->relation->relname);
    if (!index) return;
    effect_table(form->effect, owner);
    free_name(form, owner, statement->newname);
    index->name = statement->newname;
    return;
  }
  struct rel *owner = NULL; /* ALTER TABLE may name an index */
  struct snap_index *index =
      shadow_range(form->shadow, statement->relation)
          ? NULL
          : shadow_index(form->shadow, sql_or_null(statement->relation->schemaname), statement->relation->relname, &owner);
  if (index) {
    index->name = statement->newname;
    return;
  }
  struct rel *rel = form_target(form, statement->relation, statement->missing_ok);
  if (!rel) return;
  effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
  free_name(form, rel, statement->newname);
  form_affects(form, rel, NULL, false);
  effect_fact(form->effect, FACT_RENAME_TABLE, rel, statement->newname, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  shadow_rename(form->shadow, rel, rel->t->schema, statement->newname);
}

static void rename_column(struct form *form, const PgQuery__RenameStmt *statement) {
  struct rel *rel = form_target(form, statement->relation, statement->missing_ok);
  if (!rel) return;
  form_lock_heirs(form, rel, LOCK_ACCESS_EXCLUSIVE, statement->relation->inh);
  struct snap_column *column = form_column(form, rel, statement->subname, false);
  if (!column) return;
  if (rel->t->partition_of || (!statement->relation->inh && rel->t->partition_count) ||
      objects_column_from(form->shadow, rel, statement->subname))
    form_fails(form, "42P16", "column %s is renamed where it comes from, with all that inherit it", statement->subname);
  if (snap_table_column(rel->t, statement->newname))
    form_fails(form, "42701", "no column %s of %s exists", statement->newname, rel->t->qualified);
  form_affects(form, rel, statement->subname, false); /* views keep working: they hold the column's number */
  if (rel->t->kind != SNAP_VIEW) effect_fact(form->effect, FACT_RENAME_COLUMN, rel, statement->subname, statement->newname);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  shadow_rename_column(form->shadow, rel, statement->subname, statement->newname);
}

static void rename_on_table(struct form *form, const PgQuery__RenameStmt *statement) {
  struct rel *rel = form_target(form, statement->relation, statement->missing_ok);
  if (!rel) return;
  bool trigger = statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER;
  form_lock_tree(form, rel, LOCK_ACCESS_EXCLUSIVE, trigger);
  if (trigger || statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY) {
    struct snap_trigger *named = trigger ? shadow_trigger(rel, statement->subname) : NULL;
    struct snap_policy *policy = trigger ? NULL : shadow_policy(rel, statement->subname);
    if (named) named->name = statement->newname;
    if (policy) policy->name = statement->newname;
    if (!named && !policy && !rel->t->partition_of) /* a partition's trigger may be its parent's */
      form_fails(form, "42704", "%s of %s exists", statement->subname, rel->t->qualified);
    return;
  }
  if (statement->rename_type != PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT) return;
  struct snap_constraint *constraint = shadow_constraint(rel, statement->subname);
  if (constraint && constraint->type == 'c') form_lock_heirs(form, rel, LOCK_ACCESS_EXCLUSIVE, statement->relation->inh);
  struct snap_fk *fk = shadow_fk(rel, statement->subname);
  bool checked = constraint && constraint->type == 'c' && !strstr(constraint->definition, "NO INHERIT");
  if (objects_constraint_from(form->shadow, rel, statement->subname) || (checked && !statement->relation->inh && rel->t->partition_count))
    form_fails(form, "42P16", "constraint %s is renamed where it comes from, with all that inherit it", statement->subname);
  if (constraint) constraint->name = statement->newname;
  if (fk) fk->name = statement->newname;
  if (!constraint && !fk) form_fails(form, "42704", "constraint %s of %s exists", statement->subname, rel->t->qualified);
}

void form_rename(struct form *form, PgQuery__Node *node) {
  static const struct {
    PgQuery__ObjectType type;
    const char *operation;
    void (*apply)(struct form *, const PgQuery__RenameStmt *);
  } renames[] = {
      {PG_QUERY__OBJECT_TYPE__OBJECT_TABLE, "ALTER TABLE", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_VIEW, "ALTER VIEW", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW, "ALTER MATERIALIZED VIEW", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE, "ALTER SEQUENCE", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_INDEX, "ALTER INDEX", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE, "ALTER FOREIGN TABLE", rename_relation},
      {PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN, "ALTER TABLE", rename_column},
      {PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT, "ALTER TABLE", rename_on_table},
      {PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER, "ALTER TRIGGER", rename_on_table},
      {PG_QUERY__OBJECT_TYPE__OBJECT_POLICY, "ALTER POLICY", rename_on_table},
      {PG_QUERY__OBJECT_TYPE__OBJECT_RULE, "ALTER RULE", rename_on_table},
      {PG_QUERY__OBJECT_TYPE__OBJECT_TYPE, "ALTER TYPE", NULL},
      {PG_QUERY__OBJECT_TYPE__OBJECT_DOMAIN, "ALTER DOMAIN", NULL},
      {PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION, "ALTER FUNCTION", NULL},
      {PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA, "ALTER SCHEMA", NULL},
  };
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  for (size_t i = 0; i < sizeof renames / sizeof *renames; i++)
    if (renames[i].type == node->rename_stmt->rename_type) {
      form->effect->operation = renames[i].operation;
      if (renames[i].apply && node->rename_stmt->relation) renames[i].apply(form, node->rename_stmt);
      return;
    }
}

static void move_owned(struct form *form, struct rel *sequence) { effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE); }

void form_set_schema(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterObjectSchemaStmt *statement = node->alter_object_schema_stmt;
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (!statement->relation) return;
  struct rel *rel = form_target(form, statement->relation, statement->missing_ok);
  if (!rel) return;
  form->effect->operation = rel->t->kind == SNAP_VIEW ? "ALTER VIEW" : rel->t->kind == SNAP_SEQUENCE ? "ALTER SEQUENCE" : "ALTER TABLE";
  effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
  if (rel->t->kind == SNAP_SEQUENCE && rel->owned_by) form_fails(form, "0A000", "%s goes with the table that owns it", rel->t->qualified);
  form_affects(form, rel, NULL, false);
  if (strcmp(rel->t->schema, statement->newschema) != 0) form_each_owned(form, rel, NULL, move_owned);
  effect_fact(form->effect, FACT_SET_SCHEMA, rel, statement->newschema, NULL);
  shadow_rename(form->shadow, rel, statement->newschema, rel->t->name);
}

static void on_range(struct form *form, const PgQuery__RangeVar *range, enum lock_mode mode) {
  effect_lock(form->effect, form_target(form, range, false), mode);
}

static void comment(struct form *form, const PgQuery__CommentStmt *statement) {
  const PgQuery__Node *object = statement->object;
  size_t count = object && object->node_case == PG_QUERY__NODE__NODE_LIST ? object->list->n_items : 0;
  enum lock_mode mode = LOCK_SHARE_UPDATE_EXCLUSIVE;
  size_t parts = count;
  switch (statement->objtype) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN: parts = count ? count - 1 : 0; break;
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT:
  case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
  case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY:
  case PG_QUERY__OBJECT_TYPE__OBJECT_RULE:
    parts = count ? count - 1 : 0;
    mode = LOCK_ACCESS_SHARE;
    break;
  default: return;
  }
  struct rel *rel = parts ? shadow_named(form->shadow, parts, object->list->items) : NULL;
  effect_table(form->effect, rel);
  effect_lock(form->effect, rel, mode);
  bool composite = statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN; /* may be a type's, which the snapshot has not */
  if (!rel && parts && composite) effect_check(form->effect, "the commented column exists", VERDICT_MAY_FAIL, "42P01", NULL);
  if (!rel && parts && !composite) form_fails(form, "42P01", "the commented object's relation exists");
  if (rel && statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN && sql_node_string(object->list->items[count - 1]))
    form_column(form, rel, sql_node_string(object->list->items[count - 1]), false);
}

static void publication(struct form *form, size_t count, PgQuery__Node *const *objects) {
  for (size_t i = 0; i < count; i++) {
    const PgQuery__PublicationObjSpec *object =
        objects[i]->node_case == PG_QUERY__NODE__NODE_PUBLICATION_OBJ_SPEC ? objects[i]->publication_obj_spec : NULL;
    const PgQuery__RangeVar *range = object && object->pubtable ? object->pubtable->relation : NULL;
    struct rel *rel = range ? form_target(form, range, false) : NULL;
    if (rel) form_lock_heirs(form, rel, LOCK_SHARE_UPDATE_EXCLUSIVE, range->inh && rel->t->kind != SNAP_PARTITIONED);
    if (rel && (rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_MATVIEW || rel->t->unlogged))
      form_fails(form, "22023", "%s is a logged table", rel->t->qualified);
  }
}

static void add_policy(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreatePolicyStmt *statement = node->create_policy_stmt;
  const char *definition = sql_statement_text(form->arena, node);
  struct rel *rel = form_target(form, statement->table, false);
  effect_lock(form->effect, rel, LOCK_ACCESS_EXCLUSIVE);
  if (rel && rel->t->kind != SNAP_TABLE && rel->t->kind != SNAP_PARTITIONED) form_fails(form, "42809", "%s is a table", rel->t->qualified);
  for (size_t i = 0; rel && i < rel->t->policy_count; i++)
    if (strcmp(rel->t->policies[i].name, statement->policy_name) == 0)
      form_fails(form, "42710", "no policy %s of %s exists", statement->policy_name, rel->t->qualified);
  if (statement->qual) form_read(form, statement->qual, FORM_READ_NAMES, NULL);
  if (statement->with_check) form_read(form, statement->with_check, FORM_READ_NAMES, NULL);
  if (!rel || !list_reserve(form->arena, &rel->t->policies, rel->t->policy_count, &rel->policy_cap, sizeof *rel->t->policies)) return;
  rel->t->policies[rel->t->policy_count++] = (struct snap_policy){.name = statement->policy_name, .definition = definition};
}

static void owner(struct form *form, const PgQuery__AlterOwnerStmt *statement) {
  if (statement->relation) on_range(form, statement->relation, LOCK_ACCESS_EXCLUSIVE);
}

/* The actions of a rule are analysed when it is made: what they write to and read is locked. */
static void rule(struct form *form, const PgQuery__RuleStmt *statement) {
  on_range(form, statement->relation, LOCK_ACCESS_EXCLUSIVE);
  struct rel *rel = shadow_range(form->shadow, statement->relation);
  if (rel) rel->ruled = true;
  for (size_t i = 0; i < statement->n_actions; i++) {
    PgQuery__Node *action = statement->actions[i];
    if (action->node_case == PG_QUERY__NODE__NODE_INSERT_STMT) on_range(form, action->insert_stmt->relation, LOCK_ROW_EXCLUSIVE);
    if (action->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT) on_range(form, action->update_stmt->relation, LOCK_ROW_EXCLUSIVE);
    if (action->node_case == PG_QUERY__NODE__NODE_DELETE_STMT) on_range(form, action->delete_stmt->relation, LOCK_ROW_EXCLUSIVE);
    form_read(form, action, FORM_READ_NAMES, NULL);
  }
}

static void need_policy(struct form *form, const PgQuery__AlterPolicyStmt *statement) {
  const struct rel *rel = shadow_range(form->shadow, statement->table);
  if (rel && !shadow_policy(rel, statement->policy_name))
    form_fails(form, "42704", "policy %s of %s exists", statement->policy_name, rel->t->qualified);
}

void form_on_table(struct form *form, PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COMMENT_STMT: comment(form, node->comment_stmt); break;
  case PG_QUERY__NODE__NODE_ALTER_OWNER_STMT: owner(form, node->alter_owner_stmt); break;
  case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT: add_policy(form, node); break;
  case PG_QUERY__NODE__NODE_ALTER_POLICY_STMT:
    on_range(form, node->alter_policy_stmt->table, LOCK_ACCESS_EXCLUSIVE);
    need_policy(form, node->alter_policy_stmt);
    if (node->alter_policy_stmt->qual) form_read(form, node->alter_policy_stmt->qual, FORM_READ_NAMES, NULL);
    if (node->alter_policy_stmt->with_check) form_read(form, node->alter_policy_stmt->with_check, FORM_READ_NAMES, NULL);
    break;
  case PG_QUERY__NODE__NODE_RULE_STMT: rule(form, node->rule_stmt); break;
  case PG_QUERY__NODE__NODE_CREATE_STATS_STMT:
    for (size_t i = 0; i < node->create_stats_stmt->n_relations; i++)
      if (node->create_stats_stmt->relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
        on_range(form, node->create_stats_stmt->relations[i]->range_var, LOCK_SHARE_UPDATE_EXCLUSIVE);
    break;
  case PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT:
    publication(form, node->create_publication_stmt->n_pubobjects, node->create_publication_stmt->pubobjects);
    break;
  case PG_QUERY__NODE__NODE_ALTER_PUBLICATION_STMT:
    publication(form, node->alter_publication_stmt->n_pubobjects, node->alter_publication_stmt->pubobjects);
    break;
  default: break;
  }
}

void form_grant(struct form *form, PgQuery__Node *node) {
  const PgQuery__GrantStmt *statement = node->grant_stmt;
  form->effect->operation = statement->is_grant ? "GRANT" : "REVOKE";
  if (!statement->is_grant) effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  for (size_t i = 0; i < statement->n_objects; i++) {
    if (statement->objects[i]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) continue;
    struct rel *rel = form_target(form, statement->objects[i]->range_var, false);
    if (form->shadow->version >= 180000) effect_lock(form->effect, rel, LOCK_ACCESS_SHARE);
  }
}

static struct snap_domain *find_domain(struct form *form, const PgQuery__AlterDomainStmt *statement) {
  const char *schema, *name;
  sql_name_split(statement->n_type_name, statement->type_name, &schema, &name);
  for (size_t i = 0; name && i < form->shadow->snapshot->domain_count; i++) {
    struct snap_domain *domain = &form->shadow->snapshot->domains[i];
    if (strcmp(domain->name, name) == 0 && (!schema || strcmp(domain->schema, schema) == 0)) return domain;
  }
  return NULL;
}

struct renaming {
  const char *to;
  bool back;
};

/* VALUE, as a domain's CHECK calls what it checks, is read by the parser as a column's name. */
static bool rename_value(void *arg, PgQuery__Node *node) {
  const struct renaming *renaming = arg;
  const char *from = renaming->back ? renaming->to : "value";
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1) return true;
  const char *name = sql_node_string(node->column_ref->fields[0]);
  if (name && strcmp(name, from) == 0)
    node->column_ref->fields[0]->string->sval = (char *)(uintptr_t)(renaming->back ? "value" : renaming->to);
  return false;
}

static const char *domain_preflight(struct form *form, const struct rel *rel, const char *column, PgQuery__Node *check, bool nulls) {
  if (nulls) return feasibility_nulls_sql(form, rel, column);
  if (!check) return NULL;
  sql_walk(check, rename_value, &(struct renaming){column, false});
  const char *expression = sql_expression(form->arena, check);
  sql_walk(check, rename_value, &(struct renaming){column, true});
  if (!expression) return NULL;
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE NOT (%s))",
                      sql_qualified(form->arena, rel->t->schema, rel->t->name), expression);
}

/* Every table with a column of the domain is read under a lock that stops writes. */
static void scan_domain(struct form *form, const struct snap_domain *domain, const char *sqlstate, PgQuery__Node *check) {
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    for (size_t c = 0; !rel->dropped && c < rel->t->column_count; c++) {
      if (!shadow_is_table(rel) || shadow_domain(form->shadow, rel->t->columns[c].type) != domain) continue;
      effect_table(form->effect, rel);
      effect_lock(form->effect, rel, LOCK_SHARE);
      effect_scan(form->effect, rel);
      effect_fact(form->effect, FACT_DOMAIN_SCAN, rel, rel->t->columns[c].name, domain->name);
      effect_check(form->effect, arena_printf(form->arena, "domain %s of %s.%s", domain->name, rel->t->qualified, rel->t->columns[c].name),
                   form_verdict(rel, VERDICT_MAY_FAIL), sqlstate,
                   domain_preflight(form, rel, rel->t->columns[c].name, check, strcmp(sqlstate, "23502") == 0));
    }
  }
}

static const json_t *domain_json(const struct form *form, const struct snap_domain *domain) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "domains"), index, one) {
    if (strcmp(json_str(one, "name", ""), domain->name) == 0 && strcmp(json_str(one, "schema", ""), domain->schema) == 0) return one;
  }
  return NULL;
}

/* Names of its CHECKs: the snapshot's, as long as no statement here has added or dropped one. NOT NULL's, since 17, are not told. */
static void domain_constraint(struct form *form, const PgQuery__AlterDomainStmt *statement, struct snap_domain *domain) {
  const json_t *json = domain_json(form, domain), *checks = json_object_get(json, "checks");
  bool add = *statement->subtype == 'C', drop = *statement->subtype == 'X', validate = *statement->subtype == 'V', found = false;
  const char *name = add && statement->def && statement->def->node_case == PG_QUERY__NODE__NODE_CONSTRAINT
                         ? sql_or_null(statement->def->constraint->conname)
                         : sql_or_null(statement->name);
  size_t index;
  json_t *check;
  if (!json || !name || !(add || drop || validate)) return;
  json_array_foreach(checks, index, check) found |= strcmp(json_str(check, "name", ""), name) == 0;
  bool changed = domain->check_count != json_array_size(checks) || form->shadow->domains_changed;
  if (add && found && !changed) form_fails(form, "42710", "no constraint %s of %s exists", name, domain->name);
  if ((drop || validate) && !found && !changed && !domain->not_null && !statement->missing_ok)
    form_fails(form, "42704", "constraint %s of %s exists", name, domain->name);
  if (add || drop) form->shadow->domains_changed = true;
}

void form_domain(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterDomainStmt *statement = node->alter_domain_stmt;
  struct snap_domain *domain = find_domain(form, statement);
  if (!domain) {
    form_fails(form, "42704", "the domain exists");
    return;
  }
  domain_constraint(form, statement, domain);
  switch (*statement->subtype) {
  case 'C': { /* ADD CONSTRAINT */
    bool check_now =
        statement->def && statement->def->node_case == PG_QUERY__NODE__NODE_CONSTRAINT && !statement->def->constraint->skip_validation;
    if (check_now) scan_domain(form, domain, "23514", statement->def->constraint->raw_expr);
    domain->check_count++;
    break;
  }
  case 'V': scan_domain(form, domain, "23514", NULL); break;
  case 'O': /* SET NOT NULL */
    if (!domain->not_null) scan_domain(form, domain, "23502", NULL);
    domain->not_null = true;
    break;
  case 'N': domain->not_null = false; break;
  default: break;
  }
}

/* The labels of a type made here aren't kept: it has none. */
static void keep_label(struct form *form, const char *type, const char *old, const char *label) {
  struct snap_enum *found = (struct snap_enum *)(uintptr_t)shadow_enum(form->shadow, type);
  if (!found || !found->label_count) return;
  const char **wider = arena_calloc(form->arena, found->label_count + 1, sizeof *wider);
  if (!wider) return;
  for (size_t i = 0; i < found->label_count; i++) wider[i] = old && strcmp(found->labels[i], old) == 0 ? label : found->labels[i];
  wider[found->label_count] = label;
  found->labels = wider;
  if (!old) found->label_count++;
}

/* Not to be used before COMMIT. The labels of a type made here aren't kept, and may be used at once. */
static void note_fresh(struct form *form, const struct snap_enum *type, const char *label) {
  const char **slot = LIST_PUSH(form->arena, &form->shadow->fresh_labels);
  if (slot) *slot = arena_printf(form->arena, "%s\n%s", type->name, label);
  if (slot && !*slot) form->shadow->fresh_labels.count--;
}

void form_enum(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterEnumStmt *statement = node->alter_enum_stmt;
  const char *schema, *name;
  sql_name_split(statement->n_type_name, statement->type_name, &schema, &name);
  const struct snap_enum *found = name ? shadow_enum(form->shadow, schema ? arena_printf(form->arena, "%s.%s", schema, name) : name) : NULL;
  if (!found) form_fails(form, "42704", "type %s exists", name ? name : "?");
  bool add = !sql_or_null(statement->old_val), exists = false, anchored = false;
  const char *anchor = add ? sql_or_null(statement->new_val_neighbor) : statement->old_val;
  for (size_t i = 0; found && anchor && i < found->label_count; i++) anchored |= strcmp(found->labels[i], anchor) == 0;
  if (found && found->label_count && anchor && !anchored) form_fails(form, "22023", "%s has the value %s", name, anchor);
  for (size_t i = 0; found && i < found->label_count; i++) exists |= strcmp(found->labels[i], statement->new_val) == 0;
  if (exists && !statement->skip_if_new_val_exists)
    form_fails(form, "42710", "%s has no value %s", name, sql_literal(form->arena, statement->new_val));
  if (found && !exists)
    keep_label(form, schema ? arena_printf(form->arena, "%s.%s", schema, name) : name, add ? NULL : statement->old_val, statement->new_val);
  if (found && found->label_count && !exists && add) note_fresh(form, found, statement->new_val);
  effect_fact(form->effect, add ? FACT_ENUM_ADD_VALUE : FACT_ENUM_RENAME_VALUE, NULL, name, statement->new_val);
  effect_loss(form->effect, LOSS_BEHAVIOUR, add ? arena_printf(form->arena, "values of the enum %s can't be removed", name) : NULL);
  if (add && form->shadow->version < 120000) form->effect->transaction = TX_NEVER;
}

void form_sequence(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterSeqStmt *statement = node->alter_seq_stmt;
  struct rel *rel = form_target(form, statement->sequence, statement->missing_ok);
  effect_lock(form->effect, rel, LOCK_SHARE_ROW_EXCLUSIVE);
  for (size_t i = 0; i < statement->n_options; i++) {
    const PgQuery__DefElem *option = statement->options[i]->def_elem;
    if (strcmp(option->defname, "owned_by") != 0) effect_rewrite(form->effect, rel); /* its one row is written to a new file */
    if (strcmp(option->defname, "owned_by") != 0 || !option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_LIST ||
        option->arg->list->n_items < 2)
      continue;
    effect_lock(form->effect, shadow_named(form->shadow, option->arg->list->n_items - 1, option->arg->list->items), LOCK_ACCESS_SHARE);
  }
  effect_fact(form->effect, FACT_SEQUENCE_CHANGE, NULL, statement->sequence->relname, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
}

void form_transaction(struct form *form, PgQuery__Node *node) {
  switch (node->transaction_stmt->kind) {
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
    form->effect->operation = "BEGIN";
    shadow_commit(form->shadow); /* what came before was a transaction of its own */
    form->effect->transaction = TX_BEGIN;
    break;
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT:
    form->effect->operation = "COMMIT";
    form->effect->transaction = TX_COMMIT;
    break;
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
    form->effect->operation = "ROLLBACK";
    form->effect->transaction = TX_ROLLBACK;
    break;
  default:
    form->effect->operation = "SAVEPOINT";
    form->effect->transaction = TX_SAVEPOINT;
    break;
  }
}

static const char *set_value(const PgQuery__VariableSetStmt *statement, size_t index) {
  const PgQuery__Node *node = index < statement->n_args ? statement->args[index] : NULL;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL) return NULL;
  return node->a_const->sval->sval;
}

void form_set(struct form *form, PgQuery__Node *node) {
  const PgQuery__VariableSetStmt *statement = node->variable_set_stmt;
  struct shadow *shadow = form->shadow;
  if (statement->kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE) return;
  if (strcasecmp(statement->name, "timezone") == 0 && set_value(statement, 0)) shadow->timezone = set_value(statement, 0);
  if (strcmp(statement->name, "search_path") != 0) return;
  shadow->schemas.count = 0;
  shadow->path_set = statement->n_args > 0;
  for (size_t i = 0; i < statement->n_args; i++) {
    const char *schema = set_value(statement, i), **slot = schema && *schema != '$' ? LIST_PUSH(form->arena, &shadow->schemas) : NULL;
    if (slot) *slot = schema;
    if (!schema || *schema == '$') shadow->path_set = false;
  }
}

static const char *do_body(const PgQuery__DoStmt *statement) {
  for (size_t i = 0; i < statement->n_args; i++) {
    const PgQuery__DefElem *option = statement->args[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? statement->args[i]->def_elem : NULL;
    if (option && strcmp(option->defname, "as") == 0) return sql_node_string(option->arg);
  }
  return NULL;
}

/* A body that says COMMIT or ROLLBACK as a statement of its own can't run in somebody else's transaction (2D000). */
static bool ends_transactions(struct arena *arena, const char *body) {
  struct sql_tokens tokens;
  if (!body || !sql_tokenize(body, arena, &tokens)) return false;
  for (size_t i = 0; i + 1 < tokens.count; i++) {
    int kind = tokens.items[i].kind, before = i ? tokens.items[i - 1].kind : ';', after = tokens.items[i + 1].kind;
    if (kind != PG_QUERY__TOKEN__COMMIT && kind != PG_QUERY__TOKEN__ROLLBACK) continue;
    if (before != PG_QUERY__TOKEN__ON && (after == ';' || after == PG_QUERY__TOKEN__AND)) return true;
  }
  return false;
}

void form_opaque(struct form *form, PgQuery__Node *node) {
  form->effect->opaque = true;
  if (node->node_case == PG_QUERY__NODE__NODE_DO_STMT && ends_transactions(form->arena, do_body(node->do_stmt)))
    form->effect->transaction = TX_NEVER;
  effect_fact(form->effect, FACT_OPAQUE, NULL, form->effect->operation, NULL);
  effect_loss(form->effect, LOSS_BEHAVIOUR, "what it does is known only by running it");
}

/* CREATE SUBSCRIPTION makes a slot on the other server unless told not to; DISCARD only ALL. */
static bool may_be_inside(const PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_DISCARD_STMT) return node->discard_stmt->target != PG_QUERY__DISCARD_MODE__DISCARD_ALL;
  if (node->node_case != PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT) return false;
  for (size_t i = 0; i < node->create_subscription_stmt->n_options; i++) {
    const PgQuery__Node *option = node->create_subscription_stmt->options[i];
    const char *name = option->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? option->def_elem->defname : "";
    const PgQuery__Node *value = *name ? option->def_elem->arg : NULL;
    const char *text = sql_node_string(value);
    bool off = (value && value->node_case == PG_QUERY__NODE__NODE_BOOLEAN && !value->boolean->boolval) ||
               (text && (strcasecmp(text, "false") == 0 || strcasecmp(text, "off") == 0));
    if (off && (strcmp(name, "connect") == 0 || strcmp(name, "create_slot") == 0)) return true;
  }
  return false;
}

void form_outside_transaction(struct form *form, PgQuery__Node *node) {
  if (may_be_inside(node)) return;
  form->effect->transaction = TX_NEVER;
  effect_loss(form->effect, LOSS_BEHAVIOUR, NULL);
  if (node->node_case == PG_QUERY__NODE__NODE_DROPDB_STMT) {
    effect_fact(form->effect, FACT_DROP_DATABASE, NULL, node->dropdb_stmt->dbname, NULL);
    effect_loss(form->effect, LOSS_DATA, "the database is gone");
  }
}
