/* rollback/rollback.c - one row per statement form that can be undone; whatever has no row is named as irreversible rather than passed
 * over.
 *
 * What must not be lost is said: a step that rebuilds structure but not data carries the reason. The sandbox runs the script and compares
 * the schema with what it was, so a wrong inverse shows. */
#include "worker/migration/rollback/rollback.h"

#include "common/buf.h"
#include "common/limits.h"
#include "worker/migration/rollback/impl.h"
#include "worker/sql/volatility.h"

static const PgQuery__RangeVar *written_to(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT: return node->insert_stmt->relation;
  case PG_QUERY__NODE__NODE_UPDATE_STMT: return node->update_stmt->relation;
  case PG_QUERY__NODE__NODE_DELETE_STMT: return node->delete_stmt->relation;
  case PG_QUERY__NODE__NODE_MERGE_STMT: return node->merge_stmt->relation;
  case PG_QUERY__NODE__NODE_COPY_STMT: return node->copy_stmt->is_from ? node->copy_stmt->relation : NULL;
  default: return NULL;
  }
}

/* Rows of a table the migration makes go with it. */
static void undo_data(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__RangeVar *range = written_to(node);
  const struct rel *rel = range ? shadow_range(rollback->shadow, range) : NULL;
  if ((node->node_case == PG_QUERY__NODE__NODE_COPY_STMT && !node->copy_stmt->is_from) || (rel && rel->created)) return;
  const char *what = node->node_case == PG_QUERY__NODE__NODE_INSERT_STMT   ? "rows that were inserted stay"
                     : node->node_case == PG_QUERY__NODE__NODE_DELETE_STMT ? "deleted rows are not restored"
                                                                           : "changed rows are not restored";
  rollback_gone(rollback, "%s%s%s", rel ? rel->t->qualified : "", rel ? ": " : "", what);
}

static void undo_truncate(struct rollback *rollback, PgQuery__Node *node) {
  for (size_t i = 0; i < node->truncate_stmt->n_relations; i++) {
    const struct rel *rel = shadow_range(rollback->shadow, node->truncate_stmt->relations[i]->range_var);
    if (!rel || !rel->created) rollback_gone(rollback, "the rows of %s are gone", rel ? rel->t->qualified : "the table");
  }
}

static void undo_opaque(struct rollback *rollback, PgQuery__Node *node) {
  (void)node;
  rollback_gone(rollback, "what the statement does is known only by running it");
}

static void undo_nothing(struct rollback *rollback, PgQuery__Node *node) {
  (void)rollback;
  (void)node;
}

struct calls {
  struct rollback *rollback;
  const char *position, *unknown;
};

static bool see_call(void *arg, PgQuery__Node *node) {
  struct calls *calls = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return true;
  const char *schema, *name;
  sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
  if (!name) return true;
  if (strcmp(name, "setval") == 0 || strcmp(name, "nextval") == 0) calls->position = name;
  size_t index;
  const json_t *one;
  json_array_foreach(json_object_get(calls->rollback->before->json, "functions"), index,
                     one) if (strcmp(json_str(one, "name", ""), name) == 0 &&
                              strcmp(json_str(one, "volatility", "volatile"), "volatile") == 0) calls->unknown = name;
  return true;
}

static void undo_select(struct rollback *rollback, PgQuery__Node *node) {
  struct calls calls = {.rollback = rollback};
  sql_walk(node, see_call, &calls);
  if (node->select_stmt->into_clause && node->select_stmt->into_clause->rel)
    rollback_add(rollback, "DROP TABLE %s", rollback_range_name(rollback, node->select_stmt->into_clause->rel));
  if (calls.position) rollback_gone(rollback, "the position of the sequence before %s() is gone", calls.position);
  if (calls.unknown) rollback_gone(rollback, "what %s() changes is known only by running it", calls.unknown);
}

/* Comes after the way back of what follows it: from here on names mean again what they did. */
static void undo_set(struct rollback *rollback, PgQuery__Node *node) {
  if (strcmp(node->variable_set_stmt->name, "search_path") != 0) return;
  rollback_set_path(rollback);
  rollback->plan->path_changed = true;
}

static void undo_depends(struct rollback *rollback, PgQuery__Node *node) {
  node->alter_object_depends_stmt->remove = !node->alter_object_depends_stmt->remove;
  rollback_add_tree(rollback, node);
  node->alter_object_depends_stmt->remove = !node->alter_object_depends_stmt->remove;
}

/* The mark that CLUSTER leaves on the index. */
static void undo_cluster(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__ClusterStmt *statement = node->cluster_stmt;
  const struct rel *rel =
      statement->relation && sql_or_null(statement->indexname) ? shadow_range(rollback->shadow, statement->relation) : NULL;
  if (!rel || rel->created) return;
  const json_t *index;
  size_t at;
  rollback->rel = rel;
  json_array_foreach(json_object_get(rollback_rel_json(rollback, rel), "indexes"), at, index) if (json_bool(index, "clustered", false)) {
    rollback_add(rollback, "ALTER TABLE %s CLUSTER ON %s", rollback_name(rollback, rel),
                 sql_ident(rollback->arena, json_str(index, "name", "")));
    return;
  }
  rollback_add(rollback, "ALTER TABLE %s SET WITHOUT CLUSTER", rollback_name(rollback, rel));
}

#define ROW(tag, undo) \
  { PG_QUERY__NODE__NODE_##tag, undo }
static const struct {
  PgQuery__Node__NodeCase node;
  void (*undo)(struct rollback *, PgQuery__Node *);
} rows[] = {
    ROW(ALTER_TABLE_STMT, rollback_alter_table),
    ROW(CREATE_STMT, rollback_create_table),
    ROW(CREATE_FOREIGN_TABLE_STMT, rollback_create_table),
    ROW(CREATE_SEQ_STMT, rollback_create_table),
    ROW(CREATE_TABLE_AS_STMT, rollback_create_as),
    ROW(VIEW_STMT, rollback_create_view),
    ROW(INDEX_STMT, rollback_create_index),
    ROW(CREATE_TRIG_STMT, rollback_create_trigger),
    ROW(CREATE_FUNCTION_STMT, rollback_create_function),
    ROW(CREATE_ENUM_STMT, rollback_create_object),
    ROW(CREATE_RANGE_STMT, rollback_create_object),
    ROW(CREATE_DOMAIN_STMT, rollback_create_object),
    ROW(COMPOSITE_TYPE_STMT, rollback_create_object),
    ROW(CREATE_SCHEMA_STMT, rollback_create_object),
    ROW(CREATE_EXTENSION_STMT, rollback_create_object),
    ROW(CREATE_POLICY_STMT, rollback_create_object),
    ROW(CREATE_STATS_STMT, rollback_create_object),
    ROW(RULE_STMT, rollback_create_object),
    ROW(CREATE_PUBLICATION_STMT, rollback_create_object),
    ROW(CREATE_EVENT_TRIG_STMT, rollback_create_object),
    ROW(DEFINE_STMT, rollback_create_object),
    ROW(CREATE_CAST_STMT, rollback_create_object),
    ROW(CREATE_ROLE_STMT, rollback_create_object),
    ROW(DROP_STMT, rollback_drop),
    ROW(RENAME_STMT, rollback_rename),
    ROW(ALTER_OBJECT_SCHEMA_STMT, rollback_set_schema),
    ROW(ALTER_OBJECT_DEPENDS_STMT, undo_depends),
    ROW(ALTER_OWNER_STMT, rollback_owner),
    ROW(COMMENT_STMT, rollback_comment),
    ROW(GRANT_STMT, rollback_grant),
    ROW(GRANT_ROLE_STMT, rollback_grant_role),
    ROW(ALTER_DEFAULT_PRIVILEGES_STMT, rollback_default_privileges),
    ROW(ALTER_FUNCTION_STMT, rollback_alter_function),
    ROW(ALTER_SEQ_STMT, rollback_alter_sequence),
    ROW(ALTER_ENUM_STMT, rollback_alter_enum),
    ROW(ALTER_DOMAIN_STMT, rollback_alter_domain),
    ROW(ALTER_POLICY_STMT, rollback_alter_policy),
    ROW(ALTER_STATS_STMT, rollback_alter_statistics),
    ROW(ALTER_PUBLICATION_STMT, rollback_alter_publication),
    ROW(ALTER_EVENT_TRIG_STMT, rollback_alter_event_trigger),
    ROW(INSERT_STMT, undo_data),
    ROW(UPDATE_STMT, undo_data),
    ROW(DELETE_STMT, undo_data),
    ROW(MERGE_STMT, undo_data),
    ROW(COPY_STMT, undo_data),
    ROW(TRUNCATE_STMT, undo_truncate),
    ROW(DO_STMT, undo_opaque),
    ROW(CALL_STMT, undo_opaque),
    ROW(EXECUTE_STMT, undo_opaque),
    ROW(SELECT_STMT, undo_select),
    ROW(CLUSTER_STMT, undo_cluster),
    ROW(TRANSACTION_STMT, undo_nothing),
    ROW(VARIABLE_SET_STMT, undo_set),
    ROW(VARIABLE_SHOW_STMT, undo_nothing),
    ROW(CONSTRAINTS_SET_STMT, undo_nothing),
    ROW(PREPARE_STMT, undo_nothing),
    ROW(DEALLOCATE_STMT, undo_nothing),
    ROW(VACUUM_STMT, undo_nothing),
    ROW(REINDEX_STMT, undo_nothing),
    ROW(REFRESH_MAT_VIEW_STMT, undo_nothing),
    ROW(LOCK_STMT, undo_nothing),
    ROW(LISTEN_STMT, undo_nothing),
    ROW(NOTIFY_STMT, undo_nothing),
    ROW(EXPLAIN_STMT, undo_nothing),
    ROW(DISCARD_STMT, undo_nothing),
    ROW(CHECK_POINT_STMT, undo_nothing),
};

void rollback_of(struct rollback_plan *plan, const struct sql_statement *statement, struct rollback_step *ret_step) {
  *ret_step = (struct rollback_step){0};
  struct rollback rollback = {.plan = plan, .shadow = plan->shadow, .before = plan->before, .arena = plan->arena, .step = ret_step};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].node == statement->node->node_case) {
      rows[i].undo(&rollback, statement->node);
      return;
    }
  rollback_gone(&rollback, "no inverse is made for this statement");
}

const char *rollback_script(struct arena *arena, const struct rollback_step *const *steps, size_t count) {
  BUF_AUTO out;
  buf_init(&out, 16 * LIMIT_SQL_BYTES);
  bool open = false;
  for (size_t i = count; i-- > 0;) {
    if (!steps[i]->sql.count) continue;
    if (steps[i]->outside == open) buf_puts(&out, open ? "COMMIT;\n" : "BEGIN;\n");
    open = !steps[i]->outside;
    for (size_t s = 0; s < steps[i]->sql.count; s++) buf_printf(&out, "%s;\n", steps[i]->sql.items[s]);
  }
  if (open) buf_puts(&out, "COMMIT;\n");
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}
