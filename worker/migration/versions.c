/* versions.c - one row per form, option or setting that came (or went) with a major version of PostgreSQL.
 *
 * To teach it one: a row in the table that fits, and a statement in tests/integration/test_analyze_versions.c, which runs it on a server
 * of every major and holds the row to what that server answers. The SQLSTATE is the older server's own: 42601 where its parser stumbles. */
#include "worker/migration/versions.h"

#include <pg_query.h>
#include <strings.h>

#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name

struct use { /* one node of the statement, as rows see it */
  struct form *form;
  PgQuery__Node *statement, *node;
};

/* --- what a node is --- */

static bool partition_concurrently(const struct use *use) { return use->node->partition_cmd->concurrent; }
static bool trigger_replace(const struct use *use) { return use->node->create_trig_stmt->replace; }
static bool column_compression(const struct use *use) { return *use->node->column_def->compression; }
static bool column_storage(const struct use *use) { return *use->node->column_def->storage_name; }
static bool sql_body(const struct use *use) { return use->node->create_function_stmt->sql_body; }
static bool group_distinct(const struct use *use) { return use->node->select_stmt->group_distinct; }
static bool join_alias(const struct use *use) { return use->node->join_expr->join_using_alias; }
static bool grant_by(const struct use *use) { return use->node->grant_stmt->grantor; }
static bool constraint_nulls(const struct use *use) { return use->node->constraint->nulls_not_distinct; }
static bool constraint_set_columns(const struct use *use) { return use->node->constraint->n_fk_del_set_cols; }
static bool index_nulls(const struct use *use) { return use->node->index_stmt->nulls_not_distinct; }
static bool statistics_unnamed(const struct use *use) { return !use->node->create_stats_stmt->n_defnames; }
static bool subselect_unnamed(const struct use *use) { return !use->node->range_subselect->alias; }
static bool merge_returning(const struct use *use) { return use->node->merge_stmt->n_returning_list; }

static bool cte_search(const struct use *use) {
  return use->node->common_table_expr->search_clause || use->node->common_table_expr->cycle_clause;
}

static bool statistics_expression(const struct use *use) {
  const PgQuery__CreateStatsStmt *statistics = use->node->create_stats_stmt;
  for (size_t i = 0; i < statistics->n_exprs; i++)
    if (statistics->exprs[i]->node_case == NODE(STATS_ELEM) && statistics->exprs[i]->stats_elem->expr) return true;
  return false;
}

static bool procedure_out(const struct use *use) {
  const PgQuery__CreateFunctionStmt *function = use->node->create_function_stmt;
  for (size_t i = 0; function->is_procedure && i < function->n_parameters; i++)
    if (function->parameters[i]->function_parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_OUT) return true;
  return false;
}

static bool like_compression(const struct use *use) {
  const uint32_t compression = 1 << 1, all = INT32_MAX; /* PostgreSQL's TableLikeOption */
  return use->node->table_like_clause->options != all && use->node->table_like_clause->options & compression;
}

static bool publication_schema(const struct use *use) {
  PgQuery__PublicationObjSpecType type = use->node->publication_obj_spec->pubobjtype;
  return type == PG_QUERY__PUBLICATION_OBJ_SPEC_TYPE__PUBLICATIONOBJ_TABLES_IN_SCHEMA ||
         type == PG_QUERY__PUBLICATION_OBJ_SPEC_TYPE__PUBLICATIONOBJ_TABLES_IN_CUR_SCHEMA;
}
static bool publication_where(const struct use *use) {
  const PgQuery__PublicationTable *table = use->node->publication_obj_spec->pubtable;
  return table && table->where_clause;
}
static bool publication_columns(const struct use *use) {
  const PgQuery__PublicationTable *table = use->node->publication_obj_spec->pubtable;
  return table && table->n_columns;
}

static bool grant_parameter(const struct use *use) { return use->node->grant_stmt->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_PARAMETER_ACL; }
static bool grant_maintain(const struct use *use) { return strcasecmp(use->node->access_priv->priv_name, "maintain") == 0; }

static bool role_options(const struct use *use) {
  const PgQuery__GrantRoleStmt *grant = use->node->grant_role_stmt;
  for (size_t i = 0; i < grant->n_opt; i++)
    if (strcmp(grant->opt[i]->def_elem->defname, "admin") != 0) return true;
  return false;
}

static bool sequence_unlogged(const struct use *use) { return *use->node->create_seq_stmt->sequence->relpersistence == 'u'; }

static bool subscription_skip(const struct use *use) {
  return use->node->alter_subscription_stmt->kind == PG_QUERY__ALTER_SUBSCRIPTION_TYPE__ALTER_SUBSCRIPTION_SKIP;
}

static bool reindex_current(const struct use *use) {
  const PgQuery__ReindexStmt *reindex = use->node->reindex_stmt;
  bool database = reindex->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_DATABASE ||
                  reindex->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_SYSTEM;
  return database && !*reindex->name;
}

static bool merge_by_source(const struct use *use) {
  return use->node->merge_when_clause->match_kind == PG_QUERY__MERGE_MATCH_KIND__MERGE_WHEN_NOT_MATCHED_BY_SOURCE;
}

static bool at_local(const struct use *use) {
  const PgQuery__FuncCall *call = use->node->func_call;
  return call->funcformat == PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX && call->n_args == 1 &&
         strcmp(sql_node_string(call->funcname[call->n_funcname - 1]), "timezone") == 0;
}

/* Without clauses of its own it is a call of an unknown function to a server that doesn't know it. */
static bool json_clauses(const struct use *use) {
  const PgQuery__JsonFuncExpr *function = use->node->json_func_expr;
  return function->n_passing || function->output || function->on_empty || function->on_error;
}
static bool json_call(const struct use *use) { return !json_clauses(use); }
static bool json_object_pairs(const struct use *use) { return use->node->json_object_constructor->n_exprs; }
static bool json_array_items(const struct use *use) { return use->node->json_array_constructor->n_exprs; }

static bool type_named(const PgQuery__TypeName *type, const char *const *names) {
  const char *name = type->n_names ? sql_node_string(type->names[type->n_names - 1]) : NULL;
  for (; name && *names; names++)
    if (strcmp(name, *names) == 0) return true;
  return false;
}
static bool type_multirange(const PgQuery__TypeName *type) {
  static const char *const names[] = {
      "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange", NULL};
  return type_named(type, names);
}
static bool numeric_scale(const PgQuery__TypeName *type) {
  static const char *const names[] = {"numeric", NULL};
  long precision, scale;
  return type_named(type, names) && type->n_typmods == 2 && sql_node_int(type->typmods[0], &precision) &&
         sql_node_int(type->typmods[1], &scale) && (scale < 0 || scale > precision);
}

/* --- the same, where it takes the schema to see it --- */

static bool is_partitioned(const struct use *use, const PgQuery__RangeVar *range) {
  const struct rel *rel = range ? shadow_range(use->form->shadow, range) : NULL;
  return rel && rel->t->kind == SNAP_PARTITIONED;
}
static bool cluster_partitioned(const struct use *use) { return is_partitioned(use, use->node->cluster_stmt->relation); }
static bool reindex_partitioned(const struct use *use) {
  const PgQuery__ReindexStmt *reindex = use->node->reindex_stmt;
  struct rel *table = NULL;
  if (reindex->kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX || !reindex->relation) return false;
  shadow_index(use->form->shadow, sql_or_null(reindex->relation->schemaname), reindex->relation->relname, &table);
  return table && table->t->kind == SNAP_PARTITIONED;
}

static bool create_using_partitioned(const struct use *use) {
  const PgQuery__CreateStmt *create = use->node->create_stmt;
  return create->partspec && *create->access_method;
}
static bool unlogged_partitioned(const struct use *use) {
  const PgQuery__CreateStmt *create = use->node->create_stmt;
  return create->partspec && *create->relation->relpersistence == 'u';
}

static bool exclusion_partitioned(const struct use *use) {
  if (use->node->constraint->contype != PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION) return false;
  if (use->statement->node_case == NODE(CREATE_STMT)) return use->statement->create_stmt->partspec;
  return use->statement->node_case == NODE(ALTER_TABLE_STMT) && is_partitioned(use, use->statement->alter_table_stmt->relation);
}

static bool foreign_like(const struct use *use) { return use->statement->node_case == NODE(CREATE_FOREIGN_TABLE_STMT); }

static bool copy_matview(const struct use *use) {
  const PgQuery__CopyStmt *copy = use->node->copy_stmt;
  const struct rel *rel = copy->relation && !copy->is_from ? shadow_range(use->form->shadow, copy->relation) : NULL;
  return rel && rel->t->kind == SNAP_MATVIEW;
}

static bool method_default(const struct use *use) {
  return use->node->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetAccessMethod && !*use->node->alter_table_cmd->name;
}
static bool method_partitioned(const struct use *use) {
  return use->node->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetAccessMethod &&
         use->statement->node_case == NODE(ALTER_TABLE_STMT) && is_partitioned(use, use->statement->alter_table_stmt->relation);
}
static bool statistics_default(const struct use *use) {
  return use->node->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetStatistics && !use->node->alter_table_cmd->def;
}
static bool storage_default(const struct use *use) {
  const PgQuery__AlterTableCmd *command = use->node->alter_table_cmd;
  const char *value = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetStorage ? sql_node_string(command->def) : NULL;
  return value && strcmp(value, "default") == 0;
}

/* --- the tables --- */

/* since: the first major that takes it; or, with `until` instead, the first that does not. uses NULL: the node itself. */
static const struct form_row {
  PgQuery__Node__NodeCase node;
  int since, until;
  const char *sqlstate, *what;
  bool (*uses)(const struct use *);
} forms[] = {
    {NODE(PARTITION_CMD), 14, 0, "42601", "DETACH PARTITION … CONCURRENTLY", partition_concurrently},
    {NODE(CREATE_TRIG_STMT), 14, 0, "42601", "CREATE OR REPLACE TRIGGER", trigger_replace},
    {NODE(COLUMN_DEF), 14, 0, "42601", "COMPRESSION of a column", column_compression},
    {NODE(TABLE_LIKE_CLAUSE), 14, 0, "42601", "LIKE … INCLUDING COMPRESSION", like_compression},
    {NODE(CREATE_FUNCTION_STMT), 14, 0, "42601", "a function body in SQL (BEGIN ATOMIC, RETURN)", sql_body},
    {NODE(COMMON_TABLE_EXPR), 14, 0, "42601", "SEARCH and CYCLE of a recursive query", cte_search},
    {NODE(SELECT_STMT), 14, 0, "42601", "GROUP BY DISTINCT", group_distinct},
    {NODE(JOIN_EXPR), 14, 0, "42601", "an alias of JOIN … USING", join_alias},
    {NODE(GRANT_STMT), 14, 0, "42601", "GRANTED BY for privileges on objects", grant_by},
    {NODE(CREATE_STATS_STMT), 14, 0, "0A000", "CREATE STATISTICS on an expression", statistics_expression},
    {NODE(CREATE_FUNCTION_STMT), 14, 0, "0A000", "OUT parameters of a procedure", procedure_out},
    {NODE(REINDEX_STMT), 14, 0, "0A000", "REINDEX of a partitioned index", reindex_partitioned},
    {NODE(MERGE_STMT), 15, 0, "42601", "MERGE", NULL},
    {NODE(CONSTRAINT), 15, 0, "42601", "UNIQUE NULLS NOT DISTINCT", constraint_nulls},
    {NODE(INDEX_STMT), 15, 0, "42601", "a unique index with NULLS NOT DISTINCT", index_nulls},
    {NODE(CONSTRAINT), 15, 0, "42601", "ON DELETE SET NULL or DEFAULT of named columns", constraint_set_columns},
    {NODE(PUBLICATION_OBJ_SPEC), 15, 0, "42601", "a publication of TABLES IN SCHEMA", publication_schema},
    {NODE(PUBLICATION_OBJ_SPEC), 15, 0, "42601", "a row filter of a publication", publication_where},
    {NODE(PUBLICATION_OBJ_SPEC), 15, 0, "42601", "a column list of a publication", publication_columns},
    {NODE(GRANT_STMT), 15, 0, "42601", "GRANT … ON PARAMETER", grant_parameter},
    {NODE(ALTER_DATABASE_REFRESH_COLL_STMT), 15, 0, "42601", "ALTER DATABASE … REFRESH COLLATION VERSION", NULL},
    {NODE(ALTER_SUBSCRIPTION_STMT), 15, 0, "42601", "ALTER SUBSCRIPTION … SKIP", subscription_skip},
    {NODE(CREATE_SEQ_STMT), 15, 0, "0A000", "unlogged sequences", sequence_unlogged},
    {NODE(CLUSTER_STMT), 15, 0, "0A000", "CLUSTER of a partitioned table", cluster_partitioned},
    {NODE(COLUMN_DEF), 16, 0, "42601", "STORAGE of a new column", column_storage},
    {NODE(ALTER_TABLE_CMD), 16, 0, "42601", "SET STORAGE DEFAULT", storage_default},
    {NODE(CREATE_STATS_STMT), 16, 0, "42601", "CREATE STATISTICS without a name", statistics_unnamed},
    {NODE(RANGE_SUBSELECT), 16, 0, "42601", "a subquery in FROM without an alias", subselect_unnamed},
    {NODE(GRANT_ROLE_STMT), 16, 0, "42601", "WITH INHERIT or SET of a granted role", role_options},
    {NODE(REINDEX_STMT), 16, 0, "42601", "REINDEX DATABASE or SYSTEM without a name", reindex_current},
    {NODE(JSON_OBJECT_CONSTRUCTOR), 16, 0, "42601", "JSON_OBJECT of pairs", json_object_pairs},
    {NODE(JSON_ARRAY_CONSTRUCTOR), 16, 0, "42883", "JSON_ARRAY", json_array_items},
    {NODE(JSON_ARRAY_QUERY_CONSTRUCTOR), 16, 0, "42601", "JSON_ARRAY of a query", NULL},
    {NODE(JSON_IS_PREDICATE), 16, 0, "42601", "IS JSON", NULL},
    {NODE(MERGE_STMT), 17, 0, "42601", "MERGE … RETURNING", merge_returning},
    {NODE(MERGE_WHEN_CLAUSE), 17, 0, "42601", "MERGE … WHEN NOT MATCHED BY SOURCE", merge_by_source},
    {NODE(FUNC_CALL), 17, 0, "42601", "AT LOCAL", at_local},
    {NODE(JSON_TABLE), 17, 0, "42601", "JSON_TABLE", NULL},
    {NODE(JSON_FUNC_EXPR), 17, 0, "42601", "clauses of JSON_VALUE, JSON_QUERY, JSON_EXISTS", json_clauses},
    {NODE(JSON_FUNC_EXPR), 17, 0, "42883", "JSON_VALUE, JSON_QUERY, JSON_EXISTS", json_call},
    {NODE(JSON_SCALAR_EXPR), 17, 0, "42883", "JSON_SCALAR", NULL},
    {NODE(JSON_SERIALIZE_EXPR), 17, 0, "42883", "JSON_SERIALIZE", NULL},
    {NODE(ACCESS_PRIV), 17, 0, "42601", "the privilege MAINTAIN", grant_maintain},
    {NODE(ALTER_TABLE_CMD), 17, 0, "42601", "SET STATISTICS DEFAULT", statistics_default},
    {NODE(ALTER_TABLE_CMD), 17, 0, "42601", "SET ACCESS METHOD DEFAULT", method_default},
    {NODE(ALTER_TABLE_CMD), 17, 0, "42809", "SET ACCESS METHOD of a partitioned table", method_partitioned},
    {NODE(CREATE_STMT), 17, 0, "0A000", "an access method of a partitioned table", create_using_partitioned},
    {NODE(CONSTRAINT), 17, 0, "0A000", "an exclusion constraint of a partitioned table", exclusion_partitioned},
    {NODE(TABLE_LIKE_CLAUSE), 18, 0, "0A000", "LIKE in a foreign table", foreign_like},
    {NODE(COPY_STMT), 18, 0, "42809", "COPY of a materialized view", copy_matview},
    {NODE(CREATE_STMT), 0, 18, "0A000", "an unlogged partitioned table", unlogged_partitioned},
};

static const struct {
  PgQuery__AlterTableType subtype;
  int since;
  const char *sqlstate, *what;
} commands[] = {
    {PG_QUERY__ALTER_TABLE_TYPE__AT_SetCompression, 14, "42601", "SET COMPRESSION"},
    {PG_QUERY__ALTER_TABLE_TYPE__AT_DetachPartitionFinalize, 14, "42601", "DETACH PARTITION … FINALIZE"},
    {PG_QUERY__ALTER_TABLE_TYPE__AT_SetAccessMethod, 15, "42601", "SET ACCESS METHOD"},
    {PG_QUERY__ALTER_TABLE_TYPE__AT_SetExpression, 17, "42601", "SET EXPRESSION"},
};

static const struct {
  bool (*is)(const PgQuery__TypeName *);
  int since;
  const char *sqlstate, *what;
} types[] = {
    {type_multirange, 14, "42704", "multirange types"},
    {numeric_scale, 15, "22023", "a numeric scale below 0 or above the precision"},
};

/* Options in parentheses, by the statement they belong to. */
static const struct {
  PgQuery__Node__NodeCase statement;
  int since;
  const char *sqlstate, *name;
} options[] = {
    {NODE(VACUUM_STMT), 14, "42601", "process_toast"},
    {NODE(VACUUM_STMT), 16, "42601", "process_main"},
    {NODE(VACUUM_STMT), 16, "42601", "skip_database_stats"},
    {NODE(VACUUM_STMT), 16, "42601", "only_database_stats"},
    {NODE(VACUUM_STMT), 16, "42601", "buffer_usage_limit"},
    {NODE(REINDEX_STMT), 14, "42601", "tablespace"},
    {NODE(EXPLAIN_STMT), 16, "42601", "generic_plan"},
    {NODE(EXPLAIN_STMT), 17, "42601", "memory"},
    {NODE(EXPLAIN_STMT), 17, "42601", "serialize"},
    {NODE(COPY_STMT), 16, "42601", "default"},
    {NODE(COPY_STMT), 17, "42601", "on_error"},
    {NODE(COPY_STMT), 17, "42601", "log_verbosity"},
    {NODE(COPY_STMT), 18, "42601", "reject_limit"},
    {NODE(VIEW_STMT), 15, "22023", "security_invoker"},
    {NODE(ALTER_TABLE_STMT), 15, "22023", "security_invoker"},
    {NODE(ALTER_TABLE_STMT), 18, "22023", "autovacuum_vacuum_max_threshold"},
    {NODE(CREATE_STMT), 18, "22023", "autovacuum_vacuum_max_threshold"},
    {NODE(ALTER_TABLE_STMT), 18, "22023", "vacuum_max_eager_freeze_failure_rate"},
    {NODE(CREATE_STMT), 18, "22023", "vacuum_max_eager_freeze_failure_rate"},
    {NODE(CREATE_PUBLICATION_STMT), 18, "42601", "publish_generated_columns"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 14, "42601", "binary"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 14, "42601", "streaming"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 15, "42601", "two_phase"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 15, "42601", "disable_on_error"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 16, "42601", "origin"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 16, "42601", "password_required"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 16, "42601", "run_as_owner"},
    {NODE(CREATE_SUBSCRIPTION_STMT), 17, "42601", "failover"},
    {NODE(CREATEDB_STMT), 15, "42601", "strategy"},
    {NODE(CREATEDB_STMT), 15, "42601", "locale_provider"},
    {NODE(CREATEDB_STMT), 15, "42601", "icu_locale"},
    {NODE(CREATEDB_STMT), 16, "42601", "icu_rules"},
    {NODE(CREATEDB_STMT), 17, "42601", "builtin_locale"},
    {NODE(CREATE_RANGE_STMT), 14, "42601", "multirange_type_name"},
    {NODE(DEFINE_STMT), 16, "42601", "rules"},
};

/* Settings a session can change. A server that doesn't know one answers 42704. */
static const struct {
  const char *name;
  int since, until;
} settings[] = {
    {"client_connection_check_interval", 14, 0},
    {"compute_query_id", 14, 0},
    {"default_toast_compression", 14, 0},
    {"enable_async_append", 14, 0},
    {"enable_memoize", 14, 0},
    {"idle_session_timeout", 14, 0},
    {"recursive_worktable_factor", 15, 0},
    {"stats_fetch_consistency", 15, 0},
    {"createrole_self_grant", 16, 0},
    {"debug_parallel_query", 16, 0},
    {"enable_presorted_aggregate", 16, 0},
    {"icu_validation_level", 16, 0},
    {"scram_iterations", 16, 0},
    {"vacuum_buffer_usage_limit", 16, 0},
    {"enable_group_by_reordering", 17, 0},
    {"event_triggers", 17, 0},
    {"transaction_timeout", 17, 0},
    {"enable_distinct_reordering", 18, 0},
    {"enable_self_join_elimination", 18, 0},
    {"file_copy_method", 18, 0},
    {"track_cost_delay_timing", 18, 0},
    {"vacuum_max_eager_freeze_failure_rate", 18, 0},
    {"vacuum_truncate", 18, 0},
    {"operator_precedence_warning", 0, 14},
    {"vacuum_cleanup_index_scale_factor", 0, 14},
};

#define ROWS(table) (sizeof(table) / sizeof *(table))
size_t versions_count(void) { return ROWS(forms) + ROWS(commands) + ROWS(types) + ROWS(options) + ROWS(settings); }

/* --- judging --- */

struct walk {
  struct form *form;
  PgQuery__Node *statement;
  int major;
  bool syntax; /* this pass: what the parser refuses, before anything else is looked at */
};

static void refuse(const struct walk *walk, int since, int until, const char *sqlstate, const char *what) {
  bool too_old = since && walk->major < since, too_new = until && walk->major >= until;
  if ((!too_old && !too_new) || (strcmp(sqlstate, "42601") == 0) != walk->syntax) return;
  struct form *form = walk->form;
  const char *needs =
      too_old ? arena_printf(form->arena, "needs PostgreSQL %d", since) : arena_printf(form->arena, "is gone since PostgreSQL %d", until);
  const char *detail = needs ? arena_printf(form->arena, "%s, and the server is %d", needs, walk->major) : NULL;
  if (!detail) return;
  form_fails(form, sqlstate, "the server takes %s (%s PostgreSQL %d)", what, too_old ? "since" : "until", too_old ? since : until);
  effect_fact(form->effect, FACT_OTHER_SERVER, NULL, what, detail);
}

static void try_options(const struct walk *walk, const PgQuery__DefElem *option) {
  for (size_t i = 0; i < ROWS(options); i++)
    if (options[i].statement == walk->statement->node_case && strcasecmp(options[i].name, option->defname) == 0)
      refuse(walk, options[i].since, 0, options[i].sqlstate, options[i].name);
}

static void try_commands(const struct walk *walk, const PgQuery__AlterTableCmd *command) {
  for (size_t i = 0; i < ROWS(commands); i++)
    if (commands[i].subtype == command->subtype) refuse(walk, commands[i].since, 0, commands[i].sqlstate, commands[i].what);
}

static void try_settings(const struct walk *walk, const PgQuery__VariableSetStmt *set) {
  for (size_t i = 0; i < ROWS(settings); i++)
    if (strcasecmp(settings[i].name, set->name) == 0) refuse(walk, settings[i].since, settings[i].until, "42704", settings[i].name);
}

static void try_types(const struct walk *walk, const PgQuery__TypeName *type) {
  for (size_t i = 0; type && i < ROWS(types); i++)
    if (types[i].is(type)) refuse(walk, types[i].since, 0, types[i].sqlstate, types[i].what);
}

static bool visit(void *arg, PgQuery__Node *node) {
  const struct walk *walk = arg;
  const struct use use = {walk->form, walk->statement, node};
  for (size_t i = 0; i < ROWS(forms); i++)
    if (forms[i].node == node->node_case && (!forms[i].uses || forms[i].uses(&use)))
      refuse(walk, forms[i].since, forms[i].until, forms[i].sqlstate, forms[i].what);
  if (node->node_case == NODE(COLUMN_DEF)) try_types(walk, node->column_def->type_name);
  if (node->node_case == NODE(TYPE_CAST)) try_types(walk, node->type_cast->type_name);
  if (node->node_case == NODE(DEF_ELEM)) try_options(walk, node->def_elem);
  if (node->node_case == NODE(ALTER_TABLE_CMD)) try_commands(walk, node->alter_table_cmd);
  if (node->node_case == NODE(VARIABLE_SET_STMT)) try_settings(walk, node->variable_set_stmt);
  return true;
}

void versions_apply(struct form *form, PgQuery__Node *statement) {
  struct walk walk = {.form = form, .statement = statement, .major = form->shadow->version / 10000, .syntax = true};
  sql_walk(statement, visit, &walk);
  walk.syntax = false;
  sql_walk(statement, visit, &walk);
}

void versions_explain(int version, struct arena *arena, struct sql_fault *fault) {
  const int parser = PG_VERSION_NUM / 10000;
  if (!fault->sqlstate || strcmp(fault->sqlstate, "42601") != 0 || version / 10000 <= parser) return;
  const char *message = arena_printf(arena, "%s (the parser here knows the syntax up to PostgreSQL %d; the server is %d and may take more)",
                                     fault->message, parser, version / 10000);
  if (message) fault->message = message;
}
