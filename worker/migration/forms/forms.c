/* forms/forms.c - the table of statement forms, and what the families share.
 *
 * To teach it a new form: a row here and a function in the family's file. A form with no row is opaque: the report says that only
 * the sandbox can tell, and the sandbox does. */
#include "worker/migration/forms/forms.h"

#include "worker/migration/forms/columns.h"
#include "worker/migration/forms/functions.h"
#include "worker/migration/forms/names.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/values.h"
#include "worker/migration/versions.h"
#include "worker/sql/text.h"

struct form_row {
  PgQuery__Node__NodeCase node;
  const char *operation;
  void (*apply)(struct form *, PgQuery__Node *);
};

#define ROW(tag, operation, apply) \
  { PG_QUERY__NODE__NODE_##tag, operation, apply }
static const struct form_row rows[] = {
    ROW(ALTER_TABLE_STMT, "ALTER TABLE", form_alter_table),
    ROW(CREATE_STMT, "CREATE TABLE", form_create_table),
    ROW(CREATE_FOREIGN_TABLE_STMT, "CREATE FOREIGN TABLE", form_create_table),
    ROW(CREATE_TABLE_AS_STMT, "CREATE TABLE AS", form_create_as),
    ROW(INDEX_STMT, "CREATE INDEX", form_create_index),
    ROW(VIEW_STMT, "CREATE VIEW", form_create_view),
    ROW(CREATE_TRIG_STMT, "CREATE TRIGGER", form_create_trigger),
    ROW(CREATE_SEQ_STMT, "CREATE SEQUENCE", form_create_sequence),
    ROW(CREATE_ENUM_STMT, "CREATE TYPE", form_create_type),
    ROW(CREATE_DOMAIN_STMT, "CREATE DOMAIN", form_create_type),
    ROW(COMPOSITE_TYPE_STMT, "CREATE TYPE", form_create_type),
    ROW(CREATE_RANGE_STMT, "CREATE TYPE", NULL),
    ROW(DEFINE_STMT, "CREATE", NULL),
    ROW(CREATE_FUNCTION_STMT, "CREATE FUNCTION", form_create_function),
    ROW(ALTER_FUNCTION_STMT, "ALTER FUNCTION", form_alter_function),
    ROW(CREATE_SCHEMA_STMT, "CREATE SCHEMA", form_create_schema),
    ROW(CREATE_EXTENSION_STMT, "CREATE EXTENSION", NULL),
    ROW(ALTER_EXTENSION_STMT, "ALTER EXTENSION", NULL),
    ROW(DROP_STMT, "DROP", form_drop),
    ROW(TRUNCATE_STMT, "TRUNCATE", form_truncate),
    ROW(RENAME_STMT, "ALTER … RENAME", form_rename),
    ROW(ALTER_OBJECT_SCHEMA_STMT, "ALTER … SET SCHEMA", form_set_schema),
    ROW(ALTER_OWNER_STMT, "ALTER … OWNER", form_on_table),
    ROW(COMMENT_STMT, "COMMENT", form_on_table),
    ROW(CREATE_POLICY_STMT, "CREATE POLICY", form_on_table),
    ROW(ALTER_POLICY_STMT, "ALTER POLICY", form_on_table),
    ROW(RULE_STMT, "CREATE RULE", form_on_table),
    ROW(CREATE_STATS_STMT, "CREATE STATISTICS", form_on_table),
    ROW(ALTER_STATS_STMT, "ALTER STATISTICS", NULL),
    ROW(CREATE_PUBLICATION_STMT, "CREATE PUBLICATION", form_on_table),
    ROW(ALTER_PUBLICATION_STMT, "ALTER PUBLICATION", form_on_table),
    ROW(ALTER_DOMAIN_STMT, "ALTER DOMAIN", form_domain),
    ROW(ALTER_ENUM_STMT, "ALTER TYPE", form_enum),
    ROW(ALTER_TYPE_STMT, "ALTER TYPE", NULL),
    ROW(ALTER_SEQ_STMT, "ALTER SEQUENCE", form_sequence),
    ROW(GRANT_STMT, "GRANT", form_grant),
    ROW(GRANT_ROLE_STMT, "GRANT", NULL),
    ROW(ALTER_DEFAULT_PRIVILEGES_STMT, "ALTER DEFAULT PRIVILEGES", NULL),
    ROW(CREATE_ROLE_STMT, "CREATE ROLE", NULL),
    ROW(ALTER_ROLE_STMT, "ALTER ROLE", NULL),
    ROW(ALTER_ROLE_SET_STMT, "ALTER ROLE", NULL),
    ROW(DROP_ROLE_STMT, "DROP ROLE", NULL),
    ROW(VACUUM_STMT, "VACUUM", form_maintenance),
    ROW(CLUSTER_STMT, "CLUSTER", form_maintenance),
    ROW(REINDEX_STMT, "REINDEX", form_maintenance),
    ROW(REFRESH_MAT_VIEW_STMT, "REFRESH MATERIALIZED VIEW", form_maintenance),
    ROW(LOCK_STMT, "LOCK TABLE", form_maintenance),
    ROW(SELECT_STMT, "SELECT", form_query),
    ROW(INSERT_STMT, "INSERT", form_query),
    ROW(UPDATE_STMT, "UPDATE", form_query),
    ROW(DELETE_STMT, "DELETE", form_query),
    ROW(MERGE_STMT, "MERGE", form_query),
    ROW(COPY_STMT, "COPY", form_query),
    ROW(EXPLAIN_STMT, "EXPLAIN", form_query),
    ROW(TRANSACTION_STMT, "TRANSACTION", form_transaction),
    ROW(VARIABLE_SET_STMT, "SET", form_set),
    ROW(VARIABLE_SHOW_STMT, "SHOW", NULL),
    ROW(DISCARD_STMT, "DISCARD", form_outside_transaction),
    ROW(NOTIFY_STMT, "NOTIFY", NULL),
    ROW(LISTEN_STMT, "LISTEN", NULL),
    ROW(UNLISTEN_STMT, "UNLISTEN", NULL),
    ROW(CHECK_POINT_STMT, "CHECKPOINT", NULL),
    ROW(DO_STMT, "DO", form_opaque),
    ROW(CALL_STMT, "CALL", form_opaque),
    ROW(EXECUTE_STMT, "EXECUTE", form_opaque),
    ROW(CREATEDB_STMT, "CREATE DATABASE", form_outside_transaction),
    ROW(DROPDB_STMT, "DROP DATABASE", form_outside_transaction),
    ROW(CREATE_TABLE_SPACE_STMT, "CREATE TABLESPACE", form_outside_transaction),
    ROW(DROP_TABLE_SPACE_STMT, "DROP TABLESPACE", form_outside_transaction),
    ROW(ALTER_SYSTEM_STMT, "ALTER SYSTEM", form_outside_transaction),
    ROW(CREATE_SUBSCRIPTION_STMT, "CREATE SUBSCRIPTION", form_outside_transaction),
    ROW(DROP_SUBSCRIPTION_STMT, "DROP SUBSCRIPTION", form_outside_transaction),
};

static bool see_writer(void *arg, PgQuery__Node *node) {
  struct shadow *shadow = arg;
  const char *schema, *name;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return true;
  sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
  bool known = !schema || strcmp(schema, "pg_catalog") == 0;
  for (size_t i = 0; name && i < shadow->snapshot->function_count; i++) known &= strcmp(shadow->snapshot->functions[i].name, name) != 0;
  if (!known) shadow->unsure = true;
  return true;
}

/* Whether the statement may have changed the schema in ways that its text doesn't tell: by running functions, or by undoing others. */
static bool leaves_unsure(struct shadow *shadow, PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_DO_STMT:
  case PG_QUERY__NODE__NODE_CALL_STMT:
  case PG_QUERY__NODE__NODE_EXECUTE_STMT: return true;
  case PG_QUERY__NODE__NODE_SELECT_STMT: sql_walk(node, see_writer, shadow); return false;
  case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
    return node->transaction_stmt->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK ||
           node->transaction_stmt->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO;
  default: return false;
  }
}

void forms_apply(struct shadow *shadow, const struct sql_statement *statement, struct effect *ret_effect) {
  shadow_settle(shadow);
  *ret_effect = (struct effect){.arena = shadow->arena, .operation = "OTHER"};
  struct form form = {.shadow = shadow, .effect = ret_effect, .arena = shadow->arena};
  versions_apply(&form, statement->node);
  names_apply(&form, statement->node);
  columns_apply(&form, statement->node);
  functions_apply(&form, statement->node);
  objects_apply(&form, statement->node);
  values_apply(&form, statement->node);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].node == statement->node->node_case) {
      ret_effect->operation = rows[i].operation;
      if (rows[i].apply) rows[i].apply(&form, statement->node);
      shadow->unsure |= leaves_unsure(shadow, statement->node);
      return;
    }
  form_opaque(&form, statement->node);
  shadow->unsure = true;
}

typedef void (*visit_rel)(struct form *, struct rel *, int);

/* Everything below rel, any depth; a catalog that says a table is its own ancestor ends at 64 levels. */
static void each_heir(struct form *form, struct rel *rel, visit_rel visit, int value, int depth) {
  visit(form, rel, value);
  for (size_t i = 0; depth < 64 && i < rel->t->partition_count; i++) {
    struct rel *heir = shadow_of(form->shadow, rel->t->partitions[i]);
    if (heir && heir != rel) each_heir(form, heir, visit, value, depth + 1);
  }
}

/* The same, but a plain table's heirs are left out. */
static void each_partition(struct form *form, struct rel *rel, visit_rel visit, int value, int depth) {
  visit(form, rel, value);
  if (rel->t->kind != SNAP_PARTITIONED) return;
  for (size_t i = 0; depth < 64 && i < rel->t->partition_count; i++) {
    struct rel *part = shadow_of(form->shadow, rel->t->partitions[i]);
    if (part && part != rel) each_partition(form, part, visit, value, depth + 1);
  }
}

static void visit_lock(struct form *form, struct rel *rel, int mode) { effect_lock(form->effect, rel, (enum lock_mode)mode); }
static void visit_scan(struct form *form, struct rel *rel, int unused) {
  (void)unused;
  if (shadow_is_table(rel)) effect_scan(form->effect, rel);
}
static void visit_rewrite(struct form *form, struct rel *rel, int unused) {
  (void)unused;
  if (shadow_is_table(rel)) effect_rewrite(form->effect, rel);
}
static void visit_build(struct form *form, struct rel *rel, int unused) {
  visit_scan(form, rel, unused);
  if (shadow_is_table(rel)) effect_build(form->effect, rel);
}

void form_lock_tree(struct form *form, struct rel *rel, enum lock_mode mode, bool recurse) {
  if (!rel) return;
  if (recurse)
    each_partition(form, rel, visit_lock, (int)mode, 0);
  else
    effect_lock(form->effect, rel, mode);
}
void form_scan_tree(struct form *form, struct rel *rel) {
  if (rel) each_partition(form, rel, visit_scan, 0, 0);
}
void form_rewrite_tree(struct form *form, struct rel *rel) {
  if (!rel) return;
  each_partition(form, rel, visit_rewrite, 0, 0);
  each_partition(form, rel, visit_scan, 0, 0);
}
void form_build_tree(struct form *form, struct rel *rel) {
  if (rel) each_partition(form, rel, visit_build, 0, 0);
}

void form_lock_heirs(struct form *form, struct rel *rel, enum lock_mode mode, bool recurse) {
  if (!rel) return;
  if (recurse)
    each_heir(form, rel, visit_lock, (int)mode, 0);
  else
    effect_lock(form->effect, rel, mode);
}
void form_scan_heirs(struct form *form, struct rel *rel) {
  if (rel) each_heir(form, rel, visit_scan, 0, 0);
}
void form_rewrite_heirs(struct form *form, struct rel *rel) {
  if (!rel) return;
  each_heir(form, rel, visit_rewrite, 0, 0);
  each_heir(form, rel, visit_scan, 0, 0);
}

void form_fails(struct form *form, const char *sqlstate, const char *what, ...) {
  va_list args;
  va_start(args, what);
  const char *text = arena_vprintf(form->arena, what, args);
  va_end(args);
  bool certain =
      !form->shadow->unsure || (strncmp(sqlstate, "42", 2) != 0 && strncmp(sqlstate, "3F", 2) != 0 && strcmp(sqlstate, "2BP01") != 0);
  if (text) effect_check(form->effect, text, certain ? VERDICT_WILL_FAIL : VERDICT_MAY_FAIL, sqlstate, NULL);
}

/* A schema that isn't there is what utility statements miss (LookupExplicitNamespace), queries miss the relation (parserOpenTable). */
static const char *missing_state(const struct form *form, const char *schema) {
  static const char *const queries[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
    if (strcmp(form->effect->operation, queries[i]) == 0) return "42P01";
  return names_no_schema(form->shadow, schema) ? "3F000" : "42P01";
}

struct rel *form_target(struct form *form, const PgQuery__RangeVar *range, bool missing_ok) {
  struct rel *rel = shadow_range(form->shadow, range);
  if (rel) {
    effect_table(form->effect, rel);
  } else if (range && !missing_ok) {
    const char *schema = sql_or_null(range->schemaname);
    bool system =
        schema && (strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0 || strncmp(schema, "pg_temp", 7) == 0);
    struct rel *owner = NULL;
    if (!system && shadow_index(form->shadow, schema, range->relname, &owner))
      form_fails(form, "42809", "%s is no index", sql_qualified(form->arena, schema, range->relname));
    else if (!system)
      form_fails(form, missing_state(form, schema), "relation %s exists", sql_qualified(form->arena, schema, range->relname));
  }
  return rel;
}

enum verdict form_verdict(const struct rel *rel, enum verdict otherwise) {
  if (rel->empty || (rel->t->rows == 0 && rel->t->bytes == 0)) return VERDICT_PROVEN;
  return otherwise == VERDICT_WILL_FAIL && rel->t->rows <= 0 ? VERDICT_MAY_FAIL : otherwise;
}

struct snap_column *form_column(struct form *form, struct rel *rel, const char *name, bool missing_ok) {
  struct snap_column *column = snap_table_column(rel->t, name);
  effect_column(form->effect, name);
  if (!column && !missing_ok && rel->t->column_count && !rel->vague)
    form_fails(form, "42703", "column %s of %s exists", sql_ident(form->arena, name), rel->t->qualified);
  return column;
}

void form_affects(struct form *form, struct rel *rel, const char *column, bool breaks) {
  const char *via = column ? arena_printf(form->arena, "%s.%s", rel->t->qualified, column) : rel->t->qualified;
  for (size_t i = 0; i < rel->t->dependent_count; i++) {
    struct rel *view = shadow_of(form->shadow, rel->t->dependents[i]);
    if (!view || !shadow_view_reads(form->shadow, view, rel, column)) continue;
    effect_object(form->effect, view->t->kind == SNAP_MATVIEW ? "materialized view" : "view", view->t->qualified, via, breaks);
  }
  for (size_t i = 0; i < rel->t->policy_count; i++) {
    const struct snap_policy *policy = &rel->t->policies[i];
    PgQuery__Node *node = column ? sql_parse_statement(form->arena, policy->definition) : NULL;
    bool uses = !column || (node && sql_mentions_column(node, column));
    if (uses) effect_object(form->effect, "policy", arena_printf(form->arena, "%s on %s", policy->name, rel->t->qualified), via, breaks);
  }
  for (size_t i = 0; i < rel->t->trigger_count; i++) {
    const struct snap_trigger *trigger = &rel->t->triggers[i];
    if (column && !(trigger->definition && strstr(trigger->definition, column))) continue;
    effect_object(form->effect, "trigger", arena_printf(form->arena, "%s on %s", trigger->name, rel->t->qualified), via, breaks && !column);
  }
}
