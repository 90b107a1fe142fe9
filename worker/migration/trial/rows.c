/* trial/rows.c - what a failure over made-up rows proves.
 *
 * Keys that are missing or taken, look-ups that find no row or too many: with production's rows it may end otherwise. A value that the text
 * itself gives is the same everywhere: a CHECK it violates is violated there, too, and so is a NOT NULL by a NULL that is written down or
 * left out. Definitions are excused when they convert values ("x4f1" is no integer, but a column that becomes one holds digits), and when
 * the table they look at held nothing in production and the migration has put nothing there. */
#include "worker/migration/trial/rows.h"

#include "common/json.h"
#include "worker/sql/text.h"

bool sandbox_rows_only(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: return true;
  case PG_QUERY__NODE__NODE_SELECT_STMT: return !node->select_stmt->into_clause; /* that one makes a table */
  default: return false;
  }
}

/* --- values --- */

/* Rows, or functions that may read some. */
static bool see_reading(void *arg, PgQuery__Node *node) {
  bool *reads = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF:
  case PG_QUERY__NODE__NODE_SUB_LINK:
  case PG_QUERY__NODE__NODE_FUNC_CALL:
  case PG_QUERY__NODE__NODE_RANGE_VAR:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: *reads = true; break;
  default: break;
  }
  return !*reads;
}

static bool reads_rows(PgQuery__Node *node) {
  bool reads = false;
  if (node) sql_walk(node, see_reading, &reads);
  return reads;
}

/* --- where a NULL comes from --- */

struct null_source {
  const char *column;
  bool written; /* by the text: it says NULL, DEFAULT, a constant, or leaves the column out */
};

static void take_value(struct null_source *source, PgQuery__Node *value) {
  if (value && value->node_case == PG_QUERY__NODE__NODE_RES_TARGET) value = value->res_target->val;
  if (value && !reads_rows(value)) source->written = true;
}

static bool names(const PgQuery__Node *target, const char *column) {
  return target->node_case == PG_QUERY__NODE__NODE_RES_TARGET && strcmp(target->res_target->name, column) == 0;
}

static size_t position(size_t count, PgQuery__Node *const *targets, const char *column) {
  size_t at = 0;
  while (at < count && !names(targets[at], column)) at++;
  return at;
}

static bool is_null(const PgQuery__Node *value) {
  if (value->node_case == PG_QUERY__NODE__NODE_RES_TARGET) value = value->res_target->val;
  return value && value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->isnull;
}

/* `at` past the end: which one isn't known. Then a NULL that is written is taken for it, and so is a row that reads nothing. */
static void take_row(struct null_source *source, size_t count, PgQuery__Node *const *values, size_t at) {
  if (at < count) {
    take_value(source, values[at]);
    return;
  }
  bool reads = false;
  for (size_t i = 0; i < count; i++) {
    if (is_null(values[i])) source->written = true;
    reads |= reads_rows(values[i]);
  }
  if (!reads) source->written = true;
}

static void take_select(struct null_source *source, const PgQuery__SelectStmt *select, size_t at) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE && select->larg && select->rarg) {
    take_select(source, select->larg, at);
    take_select(source, select->rarg, at);
    return;
  }
  for (size_t i = 0; i < select->n_values_lists; i++)
    if (select->values_lists[i]->node_case == PG_QUERY__NODE__NODE_LIST)
      take_row(source, select->values_lists[i]->list->n_items, select->values_lists[i]->list->items, at);
  if (!select->n_values_lists) take_row(source, select->n_target_list, select->target_list, at);
}

static void take_targets(struct null_source *source, size_t count, PgQuery__Node *const *targets) {
  for (size_t i = 0; i < count; i++)
    if (names(targets[i], source->column)) take_value(source, targets[i]);
}

static void take_insert(struct null_source *source, const PgQuery__InsertStmt *insert) {
  size_t at = position(insert->n_cols, insert->cols, source->column);
  if (!insert->select_stmt || (insert->n_cols && at == insert->n_cols))
    source->written = true; /* left out */
  else
    take_select(source, insert->select_stmt->select_stmt, insert->n_cols ? at : SIZE_MAX);
  if (insert->on_conflict_clause) take_targets(source, insert->on_conflict_clause->n_target_list, insert->on_conflict_clause->target_list);
}

static void take_when(struct null_source *source, const PgQuery__MergeWhenClause *when) {
  if (when->command_type != PG_QUERY__CMD_TYPE__CMD_INSERT) {
    take_targets(source, when->n_target_list, when->target_list);
    return;
  }
  size_t at = position(when->n_target_list, when->target_list, source->column);
  if (when->n_target_list && at == when->n_target_list)
    source->written = true;
  else
    take_row(source, when->n_values, when->values, when->n_target_list ? at : SIZE_MAX);
}

/* The statement itself and what its WITH holds. */
static bool see_write(void *arg, PgQuery__Node *node) {
  struct null_source *source = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT: take_insert(source, node->insert_stmt); break;
  case PG_QUERY__NODE__NODE_UPDATE_STMT: take_targets(source, node->update_stmt->n_target_list, node->update_stmt->target_list); break;
  case PG_QUERY__NODE__NODE_MERGE_WHEN_CLAUSE: take_when(source, node->merge_when_clause); break;
  default: break;
  }
  return true;
}

static bool null_is_read(PgQuery__Node *node, const struct error *error) {
  struct null_source source = {.column = json_str(error->details, "column", NULL)};
  if (source.column) sql_walk(node, see_write, &source);
  return source.column && !source.written;
}

/* --- verdict --- */

static bool always(PgQuery__Node *node, const struct error *error) {
  (void)node;
  (void)error;
  return true;
}

static bool when_it_reads(PgQuery__Node *node, const struct error *error) {
  (void)error;
  return reads_rows(node);
}

static bool see_value(void *arg, PgQuery__Node *node) {
  bool *reads = arg;
  *reads |= node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF;
  return !*reads;
}

/* A value that was made up is no JSON array, no number, zero. */
static bool when_it_reads_values(PgQuery__Node *node, const struct error *error) {
  (void)error;
  bool reads = false;
  sql_walk(node, see_value, &reads);
  return reads;
}

bool sandbox_rows_decide(PgQuery__Node *node, const struct error *error) {
  static const struct {
    const char *sqlstate;
    bool (*decide)(PgQuery__Node *node, const struct error *error);
  } rows[] = {
      {"23503", always},               /* foreign_key_violation */
      {"23001", always},               /* restrict_violation: what 18 says of ON DELETE RESTRICT */
      {"23505", always},               /* unique_violation */
      {"23P01", always},               /* exclusion_violation */
      {"23502", null_is_read},         /* not_null_violation */
      {"21000", when_it_reads},        /* cardinality_violation: a sub-select gave more than one row */
      {"P0002", always},               /* no_data_found: a function's SELECT INTO STRICT */
      {"P0003", always},               /* too_many_rows */
      {"02000", always},               /* no_data */
      {"22P02", when_it_reads_values}, /* invalid_text_representation */
      {"22023", when_it_reads_values}, /* invalid_parameter_value */
      {"22003", when_it_reads_values}, /* numeric_value_out_of_range */
      {"22007", when_it_reads_values}, /* invalid_datetime_format */
      {"22008", when_it_reads_values}, /* datetime_field_overflow */
      {"22012", when_it_reads_values}, /* division_by_zero */
  };
  const char *sqlstate = json_str(error->details, "sqlstate", "");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].sqlstate, sqlstate) == 0) return rows[i].decide(node, error);
  return false;
}

/* --- definitions --- */

static bool converts(const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return false;
  for (size_t i = 0; i < node->alter_table_stmt->n_cmds; i++) {
    const PgQuery__Node *cmd = node->alter_table_stmt->cmds[i];
    if (cmd->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD &&
        cmd->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType)
      return true;
  }
  return false;
}

static const PgQuery__RangeVar *defined(const PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return node->alter_table_stmt->relation;
  if (node->node_case == PG_QUERY__NODE__NODE_INDEX_STMT && !node->index_stmt->concurrent) return node->index_stmt->relation;
  return NULL;
}

static const struct snap_table *empty_in_production(const struct analysis *analysis, const struct statement *statement) {
  const PgQuery__RangeVar *range = defined(statement->source->node);
  const struct snap_table *table = range ? snapshot_table(analysis->snapshot, sql_or_null(range->schemaname), range->relname) : NULL;
  return table && table->kind == SNAP_TABLE && table->empty ? table : NULL;
}

bool sandbox_rows_defined(const struct analysis *analysis, const struct statement *statement) {
  return converts(statement->source->node) || empty_in_production(analysis, statement);
}

static bool is_one_of(const char *sqlstate, const char *const *states) {
  while (*states && strcmp(*states, sqlstate) != 0) states++;
  return *states;
}

static const char *const about_a_value[] = {"22P02", /* invalid_text_representation */
                                            "22001", /* string_data_right_truncation */
                                            "22003", /* numeric_value_out_of_range */
                                            "22007", /* invalid_datetime_format */
                                            "22008", /* datetime_field_overflow */
                                            "22026", /* string_data_length_mismatch: of bit(n) */
                                            "22023", /* invalid_parameter_value */
                                            "22P03", /* invalid_binary_representation */
                                            "23514", /* check_violation: of the domain it becomes */
                                            NULL};
static const char *const about_a_row[] = {"23502", "23503", "23505", "23514", "23P01", NULL}; /* not null, key, unique, check, exclusion */

struct filling {
  const struct snapshot *snapshot;
  bool inserts, calls;
};

/* Rows that are added, and functions of the users' own, which may add some. */
static bool see_filling(void *arg, PgQuery__Node *node) {
  struct filling *filling = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT:
  case PG_QUERY__NODE__NODE_COPY_STMT: filling->inserts = true; break;
  case PG_QUERY__NODE__NODE_FUNC_CALL: {
    const char *schema, *name;
    sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
    for (size_t i = 0; name && i < filling->snapshot->function_count; i++)
      filling->calls |= strcmp(filling->snapshot->functions[i].name, name) == 0;
    break;
  }
  default: break;
  }
  return true;
}

/* Whether it may have put rows into that table: by name, or by code whose effect isn't known. */
static bool may_fill(const struct analysis *analysis, const struct statement *statement, const struct snap_table *table) {
  struct filling filling = {.snapshot = analysis->snapshot};
  if (statement->effect.opaque) return true;
  sql_walk(statement->source->node, see_filling, &filling);
  return filling.calls || (filling.inserts && list_has(statement->tables.items, statement->tables.count, table->qualified));
}

static bool filled_before(const struct analysis *analysis, const struct statement *statement, const struct snap_table *table) {
  for (const struct statement *before = analysis->statements; before < statement; before++)
    if (may_fill(analysis, before, table)) return true;
  return false;
}

static bool known_to_fail(const struct statement *statement) {
  for (size_t i = 0; i < statement->effect.checks.count; i++)
    if (statement->effect.checks.items[i].verdict == VERDICT_WILL_FAIL) return true;
  return false;
}

const char *sandbox_rows_removal(const struct analysis *analysis, const struct statement *statement, const struct error *error) {
  const char *sqlstate = json_str(error->details, "sqlstate", "");
  const PgQuery__RangeVar *table = defined(statement->source->node);
  const struct snap_table *empty = is_one_of(sqlstate, about_a_row) ? empty_in_production(analysis, statement) : NULL;
  bool value = is_one_of(sqlstate, about_a_value) && converts(statement->source->node) && !known_to_fail(statement);
  if (!table || (!value && (!empty || filled_before(analysis, statement, empty)))) return NULL;
  const char *name =
      *table->schemaname ? sql_qualified(analysis->arena, table->schemaname, table->relname) : sql_ident(analysis->arena, table->relname);
  return arena_printf(analysis->arena, "TRUNCATE %s CASCADE", name);
}
