/* forms/objects.c - see objects.h. Kinds: ATSimplePermissions of commands/tablecmds.c, CreateTriggerFiringOn of commands/trigger.c,
 * cluster_rel and check_index_is_clusterable of commands/cluster.c, ATExecReplicaIdentity. */
#include "worker/migration/forms/objects.h"

#include "common/json.h"
#include "worker/migration/forms/names.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define OBJECT(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name
#define AT(name) PG_QUERY__ALTER_TABLE_TYPE__AT_##name

const json_t *objects_json(const struct shadow *shadow, const struct rel *rel) {
  static const char *const lists[] = {"tables", "views"};
  for (size_t k = 0; k < 2; k++) {
    size_t index;
    json_t *one;
    json_array_foreach(json_object_get(shadow->snapshot->json, lists[k]), index, one) {
      if (strcmp(json_str(one, "name", ""), rel->t->name) == 0 && strcmp(json_str(one, "schema", ""), rel->t->schema) == 0) return one;
    }
  }
  return NULL;
}

/* --- where columns and constraints come from --- */

static bool is_below(const struct rel *parent, const struct rel *rel) {
  for (size_t i = 0; i < parent->t->partition_count; i++)
    if (parent->t->partitions[i] == rel->t) return true;
  return false;
}

const struct rel *objects_column_from(struct shadow *shadow, const struct rel *rel, const char *column) {
  for (size_t i = 0; i < shadow->rels.count; i++) {
    const struct rel *parent = shadow->rels.items[i];
    if (!parent->dropped && is_below(parent, rel) && snap_table_column(parent->t, column)) return parent;
  }
  return NULL;
}

static bool same_columns(const struct snap_constraint *a, const struct snap_constraint *b) {
  return a->type == b->type && list_same(a->columns, a->column_count, b->columns, b->column_count);
}

static bool hands_down(const struct rel *parent, const struct rel *rel, const struct snap_constraint *mine, const struct snap_fk *fk) {
  for (size_t i = 0; mine && i < parent->t->constraint_count; i++) {
    const struct snap_constraint *theirs = &parent->t->constraints[i];
    bool named = strcmp(theirs->name, mine->name) == 0, check = mine->type == 'c' && theirs->type == 'c' && named;
    if (check && !strstr(theirs->definition, "NO INHERIT")) return true;
    if (rel->t->partition_of && mine->type == 'p' && same_columns(theirs, mine)) return true;
  }
  for (size_t i = 0; fk && rel->t->partition_of && i < parent->t->fk_count; i++)
    if (parent->t->fks[i].ref == fk->ref && strcmp(parent->t->fks[i].name, fk->name) == 0) return true;
  return false;
}

const struct rel *objects_constraint_from(struct shadow *shadow, const struct rel *rel, const char *name) {
  const struct snap_constraint *mine = shadow_constraint(rel, name);
  const struct snap_fk *fk = shadow_fk(rel, name);
  for (size_t i = 0; (mine || fk) && i < shadow->rels.count; i++) {
    const struct rel *parent = shadow->rels.items[i];
    if (!parent->dropped && is_below(parent, rel) && hands_down(parent, rel, mine, fk)) return parent;
  }
  return NULL;
}

/* --- rules and policies that read --- */

struct looked {
  struct shadow *shadow;
  const struct rel *rel;
  const char *column;
  bool found;
};

static bool see_range(void *arg, PgQuery__Node *node) {
  struct looked *looked = arg;
  if (node->node_case == NODE(RANGE_VAR) && shadow_range(looked->shadow, node->range_var) == looked->rel) looked->found = true;
  return !looked->found;
}

/* A rule's own table stands in its event, which is no node. */
static bool reads(struct form *form, const char *definition, const struct rel *rel) {
  PgQuery__Node *node = definition ? sql_parse_statement(form->arena, definition) : NULL;
  struct looked looked = {.shadow = form->shadow, .rel = rel};
  const PgQuery__RuleStmt *rule = node && node->node_case == NODE(RULE_STMT) ? node->rule_stmt : NULL;
  if (node) sql_walk(node, see_range, &looked);
  for (size_t i = 0; rule && i < rule->n_actions; i++) {
    const PgQuery__Node *action = rule->actions[i];
    const PgQuery__RangeVar *target = action->node_case == NODE(INSERT_STMT)   ? action->insert_stmt->relation
                                      : action->node_case == NODE(UPDATE_STMT) ? action->update_stmt->relation
                                      : action->node_case == NODE(DELETE_STMT) ? action->delete_stmt->relation
                                                                               : NULL;
    looked.found |= target && shadow_range(form->shadow, target) == rel;
  }
  return looked.found;
}

const char *objects_reader(struct form *form, struct rel *rel, struct rel **ret_table) {
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *table = form->shadow->rels.items[i];
    if (table->dropped || table == rel) continue;
    *ret_table = table;
    for (size_t p = 0; p < table->t->policy_count; p++)
      if (strstr(table->t->policies[p].definition, rel->t->name) && reads(form, table->t->policies[p].definition, rel))
        return table->t->policies[p].name;
  }
  size_t index, at;
  json_t *one, *rule;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "tables"), index, one) {
    struct rel *table = json_array_size(json_object_get(one, "rules"))
                            ? shadow_find(form->shadow, json_str(one, "schema", ""), json_str(one, "name", ""))
                            : NULL;
    json_array_foreach(table && table != rel ? json_object_get(one, "rules") : NULL, at, rule) {
      *ret_table = table;
      if (reads(form, json_str(rule, "definition", NULL), rel)) return json_str(rule, "name", "");
    }
  }
  return NULL;
}

static bool see_column(void *arg, PgQuery__Node *node) {
  struct looked *looked = arg;
  const char *qualifier, *name;
  if (node->node_case != NODE(COLUMN_REF)) return !looked->found;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  bool own = qualifier && (strcmp(qualifier, "new") == 0 || strcmp(qualifier, "old") == 0);
  if (name && own && strcmp(name, looked->column) == 0) looked->found = true;
  return !looked->found;
}

const char *objects_column_reader(struct form *form, const struct rel *rel, const char *column) {
  for (size_t i = 0; i < rel->t->policy_count; i++) {
    PgQuery__Node *node =
        strstr(rel->t->policies[i].definition, column) ? sql_parse_statement(form->arena, rel->t->policies[i].definition) : NULL;
    if (node && sql_mentions_column(node, column)) return rel->t->policies[i].name;
  }
  const json_t *json = objects_json(form->shadow, rel);
  size_t index;
  json_t *rule;
  json_array_foreach(json_object_get(json, "rules"), index, rule) {
    struct looked looked = {.shadow = form->shadow, .rel = rel, .column = column};
    PgQuery__Node *node = sql_parse_statement(form->arena, json_str(rule, "definition", ""));
    if (node) sql_walk(node, see_column, &looked);
    if (looked.found) return json_str(rule, "name", "");
  }
  return NULL;
}

/* --- objects of tables --- */

static const struct snap_index *find_index(const struct rel *rel, const char *name) {
  for (size_t i = 0; name && i < rel->t->index_count; i++)
    if (strcmp(rel->t->indexes[i].name, name) == 0) return &rel->t->indexes[i];
  return NULL;
}

static bool has_rule(const struct shadow *shadow, const struct rel *rel, const char *name) {
  const json_t *json = objects_json(shadow, rel);
  size_t index;
  json_t *rule;
  if (rel->ruled || !json) return true;
  json_array_foreach(json_object_get(json, "rules"), index, rule) {
    if (strcmp(json_str(rule, "name", ""), name) == 0) return true;
  }
  return false;
}

static bool has_expression(const struct snap_index *index) {
  for (size_t i = 0; i < index->column_count; i++)
    if (strchr(index->columns[i], '(') || strchr(index->columns[i], ' ')) return true;
  return false;
}

static void cluster_on(struct form *form, const struct rel *rel, const char *name) {
  const struct snap_index *index = find_index(rel, name);
  if (!index) {
    if (!rel->vague) form_fails(form, "42704", "index %s of %s exists", name, rel->t->qualified);
    return;
  }
  if (index->predicate) form_fails(form, "0A000", "index %s is over all rows", name);
  static const char *const unordered[] = {"hash", "gin", "spgist", "brin"};
  for (size_t i = 0; i < sizeof unordered / sizeof *unordered; i++)
    if (strcmp(index->method, unordered[i]) == 0) form_fails(form, "0A000", "access method %s orders rows", index->method);
}

static void replica_identity(struct form *form, const struct rel *rel, const PgQuery__AlterTableCmd *command) {
  const PgQuery__ReplicaIdentityStmt *identity =
      command->def && command->def->node_case == NODE(REPLICA_IDENTITY_STMT) ? command->def->replica_identity_stmt : NULL;
  if (!identity || strcmp(identity->identity_type, "i") != 0 || rel->vague) return;
  const struct snap_index *index = find_index(rel, identity->name);
  bool fit = index && index->unique && !index->predicate && !has_expression(index);
  for (size_t i = 0; fit && i < index->column_count; i++) {
    const struct snap_column *column = snap_table_column(rel->t, index->columns[i]);
    fit = !column || column->not_null;
  }
  if (!index)
    form_fails(form, "42704", "index %s of %s exists", identity->name, rel->t->qualified);
  else if (!fit)
    form_fails(form, "42809", "index %s is unique, over columns alone, which are NOT NULL", identity->name);
}

/* Triggers of constraints, and copies of a parent's, are not the snapshot's to name. */
static void need_trigger(struct form *form, const struct rel *rel, const char *name) {
  if (rel->t->partition_of || strncmp(name, "RI_ConstraintTrigger", 20) == 0 || shadow_trigger(rel, name)) return;
  form_fails(form, "42704", "trigger %s of %s exists", name, rel->t->qualified);
}

static void need_constraint(struct form *form, const struct rel *rel, const PgQuery__AlterTableCmd *command) {
  const PgQuery__Constraint *constraint = command->def && command->def->node_case == NODE(CONSTRAINT) ? command->def->constraint : NULL;
  const char *name = constraint ? sql_or_null(constraint->conname) : NULL;
  if (!name || shadow_fk(rel, name)) return;
  const struct snap_constraint *mine = shadow_constraint(rel, name);
  if (!mine && !rel->vague) form_fails(form, "42704", "constraint %s of %s exists", name, rel->t->qualified);
  if (mine && form->shadow->version < 180000) form_fails(form, "42809", "constraint %s of %s is a foreign key", name, rel->t->qualified);
}

static void alter_command(struct form *form, const struct rel *rel, const PgQuery__AlterTableCmd *command) {
  switch (command->subtype) {
  case AT(ClusterOn): cluster_on(form, rel, command->name); break;
  case AT(ReplicaIdentity): replica_identity(form, rel, command); break;
  case AT(AlterConstraint): need_constraint(form, rel, command); break;
  case AT(EnableTrig):
  case AT(EnableAlwaysTrig):
  case AT(EnableReplicaTrig):
  case AT(DisableTrig): need_trigger(form, rel, command->name); break;
  case AT(EnableRule):
  case AT(EnableAlwaysRule):
  case AT(EnableReplicaRule):
  case AT(DisableRule):
    if (!has_rule(form->shadow, rel, command->name)) form_fails(form, "42704", "rule %s of %s exists", command->name, rel->t->qualified);
    break;
  default: break;
  }
}

/* --- kinds --- */

static bool is_kind(PgQuery__ObjectType type, enum snap_relkind kind) {
  switch (type) {
  case OBJECT(TABLE): return kind == SNAP_TABLE || kind == SNAP_PARTITIONED;
  case OBJECT(VIEW): return kind == SNAP_VIEW;
  case OBJECT(MATVIEW): return kind == SNAP_MATVIEW;
  case OBJECT(SEQUENCE): return kind == SNAP_SEQUENCE;
  case OBJECT(FOREIGN_TABLE): return kind == SNAP_FOREIGN;
  default: return true;
  }
}

/* ALTER TABLE takes any relation; the other forms only theirs. A foreign table that this migration makes is taken for a table. */
static void need_kind(struct form *form, PgQuery__ObjectType type, const struct rel *rel, bool table) {
  if (!rel || rel->created || (type == OBJECT(TABLE) && !table) || is_kind(type, rel->t->kind)) return;
  form_fails(form, "42809", "%s is of the kind the statement is for", rel->t->qualified);
}

static void alter_table(struct form *form, const PgQuery__AlterTableStmt *statement) {
  const struct rel *rel = shadow_range(form->shadow, statement->relation);
  if (!rel || statement->objtype == OBJECT(INDEX)) return;
  need_kind(form, statement->objtype, rel, false);
  for (size_t i = 0; i < statement->n_cmds; i++)
    if (statement->cmds[i]->node_case == NODE(ALTER_TABLE_CMD)) alter_command(form, rel, statement->cmds[i]->alter_table_cmd);
}

static void comment(struct form *form, const PgQuery__CommentStmt *statement) {
  size_t count = statement->object && statement->object->node_case == NODE(LIST) ? statement->object->list->n_items : 0;
  PgQuery__Node *const *parts = count ? statement->object->list->items : NULL;
  const char *schema, *name;
  struct rel *owner = NULL;
  if (!count) return;
  sql_name_split(count, parts, &schema, &name);
  if (statement->objtype == OBJECT(INDEX)) {
    if (name && !shadow_index(form->shadow, schema, name, &owner))
      form_fails(form, shadow_find(form->shadow, schema, name) ? "42809" : "42P01", "index %s exists", name);
    return;
  }
  bool hangs = statement->objtype == OBJECT(TABCONSTRAINT) || statement->objtype == OBJECT(TRIGGER) ||
               statement->objtype == OBJECT(POLICY) || statement->objtype == OBJECT(RULE);
  const struct rel *rel =
      hangs ? (count > 1 ? shadow_named(form->shadow, count - 1, parts) : NULL) : shadow_named(form->shadow, count, parts);
  if (!hangs && statement->objtype != OBJECT(COLUMN)) need_kind(form, statement->objtype, rel, true);
  if (!hangs || !rel || !name || rel->vague) return;
  bool found = statement->objtype == OBJECT(TABCONSTRAINT) ? shadow_constraint(rel, name) || shadow_fk(rel, name)
               : statement->objtype == OBJECT(TRIGGER)     ? shadow_trigger(rel, name) || rel->t->partition_of
               : statement->objtype == OBJECT(POLICY)      ? shadow_policy(rel, name) != NULL
                                                           : has_rule(form->shadow, rel, name) || rel->t->kind == SNAP_VIEW;
  if (!found) form_fails(form, "42704", "%s of %s exists", name, rel->t->qualified);
}

static void create_trigger(struct form *form, const PgQuery__CreateTrigStmt *statement) {
  const struct rel *rel = shadow_range(form->shadow, statement->relation);
  if (!rel || rel->created) return;
  bool instead = statement->timing & (1 << 6), view = rel->t->kind == SNAP_VIEW, matview = rel->t->kind == SNAP_MATVIEW;
  if (matview || rel->t->kind == SNAP_SEQUENCE || (instead && !view) || (view && !instead && statement->row))
    form_fails(form, "42809", "%s takes triggers of that kind", rel->t->qualified);
}

static void cluster(struct form *form, const PgQuery__ClusterStmt *statement) {
  struct rel *rel = statement->relation ? shadow_range(form->shadow, statement->relation) : NULL;
  if (rel && sql_or_null(statement->indexname)) cluster_on(form, rel, statement->indexname), rel->clustered = true;
  const json_t *json = rel && !sql_or_null(statement->indexname) && !rel->created ? objects_json(form->shadow, rel) : NULL;
  size_t index;
  json_t *one;
  bool marked = !json || rel->clustered || rel->t->kind == SNAP_PARTITIONED;
  json_array_foreach(json_object_get(json, "indexes"), index, one) marked |= json_bool(one, "clustered", false);
  if (!marked) form_fails(form, "42704", "an earlier CLUSTER has said by which index of %s", rel->t->qualified);
}

static void rename_one(struct form *form, const PgQuery__RenameStmt *statement) {
  const struct rel *rel = statement->relation ? shadow_range(form->shadow, statement->relation) : NULL;
  if (statement->rename_type == OBJECT(RULE) && rel && !has_rule(form->shadow, rel, statement->subname) && rel->t->kind != SNAP_VIEW)
    form_fails(form, "42704", "rule %s of %s exists", statement->subname, rel->t->qualified);
  form->shadow->statistics_changed |= statement->rename_type == OBJECT(STATISTIC_EXT);
  if (statement->rename_type != OBJECT(COLUMN)) need_kind(form, statement->rename_type, rel, false);
}

/* Statistics of the snapshot; false when this migration may have made or renamed some. */
static bool has_statistics(const struct shadow *shadow, const char *name) {
  size_t index, at;
  json_t *table, *one;
  json_array_foreach(json_object_get(shadow->snapshot->json, "tables"), index, table) {
    json_array_foreach(json_object_get(table, "statistics"), at, one) {
      if (strcmp(json_str(one, "name", ""), name) == 0) return true;
    }
  }
  return false;
}

static void need_statistics(struct form *form, size_t count, PgQuery__Node *const *parts, bool missing_ok) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  if (!name || missing_ok || form->shadow->statistics_changed || !names_would_know(form->shadow, schema)) return;
  if (!has_statistics(form->shadow, name)) form_fails(form, "42704", "statistics %s exist", name);
}

static void create_statistics(struct form *form, const PgQuery__CreateStatsStmt *statement) {
  const char *schema, *name;
  sql_name_split(statement->n_defnames, statement->defnames, &schema, &name);
  if (name && !schema && !statement->if_not_exists && !form->shadow->statistics_changed && has_statistics(form->shadow, name) &&
      names_would_know(form->shadow, NULL))
    form_fails(form, "42710", "no statistics %s exist", name);
  form->shadow->statistics_changed = true;
}

static void drop_objects(struct form *form, const PgQuery__DropStmt *statement) {
  for (size_t i = 0; statement->remove_type == OBJECT(STATISTIC_EXT) && i < statement->n_objects; i++)
    if (statement->objects[i]->node_case == NODE(LIST))
      need_statistics(form, statement->objects[i]->list->n_items, statement->objects[i]->list->items, statement->missing_ok);
  form->shadow->statistics_changed |= statement->remove_type != OBJECT(INDEX); /* they go with their tables and columns */
}

static void create_rule(struct form *form, const PgQuery__RuleStmt *statement) {
  const struct rel *rel = shadow_range(form->shadow, statement->relation);
  const json_t *json = rel && !rel->ruled ? objects_json(form->shadow, rel) : NULL;
  size_t index;
  json_t *one;
  json_array_foreach(statement->replace ? NULL : json_object_get(json, "rules"), index, one) {
    if (strcmp(json_str(one, "name", ""), statement->rulename) == 0)
      form_fails(form, "42710", "no rule %s of %s exists", statement->rulename, rel->t->qualified);
  }
}

/* Tables of the publication: the snapshot's, as long as nothing here has changed it. */
static void alter_publication(struct form *form, const PgQuery__AlterPublicationStmt *statement) {
  size_t index, at;
  json_t *one, *table;
  bool add = statement->action == PG_QUERY__ALTER_PUBLICATION_ACTION__AP_AddObjects,
       drop = statement->action == PG_QUERY__ALTER_PUBLICATION_ACTION__AP_DropObjects;
  json_array_foreach(form->shadow->publications_changed ? NULL : json_object_get(form->shadow->snapshot->json, "publications"), index,
                     one) {
    if (strcmp(json_str(one, "name", ""), statement->pubname) != 0) continue;
    if (json_bool(one, "all_tables", false) && statement->n_pubobjects)
      form_fails(form, "55000", "%s is not of all tables", statement->pubname);
    for (size_t i = 0; !json_bool(one, "all_tables", false) && i < statement->n_pubobjects; i++) {
      const PgQuery__PublicationObjSpec *object = statement->pubobjects[i]->publication_obj_spec;
      const struct rel *rel = object && object->pubtable ? shadow_range(form->shadow, object->pubtable->relation) : NULL;
      bool found = false;
      json_array_foreach(json_object_get(one, "tables"), at, table) found |=
          rel && strcmp(json_str(table, "name", ""), rel->t->name) == 0 && strcmp(json_str(table, "schema", ""), rel->t->schema) == 0;
      if (rel && add && found) form_fails(form, "42710", "%s doesn't publish %s yet", statement->pubname, rel->t->qualified);
      if (rel && drop && !found && !rel->t->partition_of)
        form_fails(form, "42704", "%s publishes %s", statement->pubname, rel->t->qualified);
    }
  }
  form->shadow->publications_changed = true;
}

void objects_apply(struct form *form, const PgQuery__Node *node) {
  const struct rel *rel = NULL;
  switch (node->node_case) {
  case NODE(ALTER_TABLE_STMT): alter_table(form, node->alter_table_stmt); break;
  case NODE(RENAME_STMT): rename_one(form, node->rename_stmt); break;
  case NODE(ALTER_OBJECT_SCHEMA_STMT):
    need_kind(form, node->alter_object_schema_stmt->object_type, shadow_range(form->shadow, node->alter_object_schema_stmt->relation),
              false);
    break;
  case NODE(ALTER_SEQ_STMT): need_kind(form, OBJECT(SEQUENCE), shadow_range(form->shadow, node->alter_seq_stmt->sequence), true); break;
  case NODE(COMMENT_STMT): comment(form, node->comment_stmt); break;
  case NODE(CREATE_TRIG_STMT): create_trigger(form, node->create_trig_stmt); break;
  case NODE(CLUSTER_STMT): cluster(form, node->cluster_stmt); break;
  case NODE(REINDEX_STMT):
    if (node->reindex_stmt->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE && node->reindex_stmt->relation)
      rel = shadow_range(form->shadow, node->reindex_stmt->relation);
    if (rel && (rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_SEQUENCE)) form_fails(form, "42809", "%s has indexes", rel->t->qualified);
    break;
  case NODE(CREATE_STATS_STMT):
    if (node->create_stats_stmt->n_relations == 1 && node->create_stats_stmt->relations[0]->node_case == NODE(RANGE_VAR))
      rel = shadow_range(form->shadow, node->create_stats_stmt->relations[0]->range_var);
    if (rel && (rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_SEQUENCE))
      form_fails(form, "42809", "%s has rows to count", rel->t->qualified);
    create_statistics(form, node->create_stats_stmt);
    break;
  case NODE(ALTER_STATS_STMT):
    need_statistics(form, node->alter_stats_stmt->n_defnames, node->alter_stats_stmt->defnames, node->alter_stats_stmt->missing_ok);
    break;
  case NODE(DROP_STMT): drop_objects(form, node->drop_stmt); break;
  case NODE(RULE_STMT): create_rule(form, node->rule_stmt); break;
  case NODE(ALTER_PUBLICATION_STMT): alter_publication(form, node->alter_publication_stmt); break;
  case NODE(CREATE_PUBLICATION_STMT): form->shadow->publications_changed = true; break;
  default: break;
  }
}
