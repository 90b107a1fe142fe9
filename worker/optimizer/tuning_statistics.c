/* tuning_statistics.c - what the planner should know and does not: old statistics, numbers of values it misjudges, columns that go
 * together.
 *
 * The what-if server can't hold extended statistics (their types take no input), but what they would say can be said otherwise: where one
 * column follows from the other, its condition lets everything through. */
#include <math.h>

#include "common/json.h"
#include "worker/optimizer/condition.h"
#include "worker/optimizer/finding_impl.h"
#include "worker/optimizer/tuning.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define STALE_SHARE 0.1 /* of a table's rows, changed since ANALYZE */
#define STALE_ROWS 1000
#define SKEW 10        /* times, that an estimate has to be off */
#define SKEW_ROWS 100  /* and by so many rows */
#define MCV_ENTRIES 50 /* half of what a list holds (default_statistics_target) */
#define NEAR 3         /* times, within which it is right */

struct statistic {
  const char *kind, *sql, *reason;
  const struct snap_table *table;
  const char *const *columns;
  size_t column_count;
  double estimated, actual, after; /* rows; below 0 unknown */
  const struct query_plan *then;   /* with it; NULL: not tried */
};

static json_t *rows_json(double rows) { return rows >= 0 ? json_real(rows) : json_null(); }

static void suggest(struct optimization *o, const struct query_plan *before, const struct statistic *statistic) {
  json_t *one = json_object(), *caveats = json_array();
  bool tried = before && statistic->then;
  json_set_str(one, "sql", statistic->sql);
  json_set_str(one, "kind", statistic->kind);
  json_set_str(one, "table", statistic->table->qualified);
  json_object_set_new(one, "columns", json_strings(statistic->columns, statistic->column_count));
  json_set_str(one, "reason", statistic->reason);
  json_object_set_new(one, "rows_estimated", rows_json(statistic->estimated));
  json_object_set_new(one, "rows_actual", rows_json(statistic->actual));
  json_object_set_new(one, "rows_estimated_after", rows_json(statistic->after));
  json_object_set_new(one, "plan_changes", tried ? json_boolean(!tuning_same_shape(before, statistic->then)) : json_null());
  json_object_set_new(one, "cost_before", tried ? json_real(before->total_cost) : json_null());
  json_object_set_new(one, "cost_after", tried ? json_real(statistic->then->total_cost) : json_null());
  json_set_str(one, "verified_by", tried ? "whatif" : "heuristic");
  json_append_str(caveats, strcmp(statistic->kind, "analyze") == 0 ? "reads a sample of the table"
                                                                   : "takes effect with the next ANALYZE, which the script runs");
  if (tried) json_append_str(caveats, "a right estimate often makes the cost higher: it is the cost that was wrong");
  json_object_set_new(one, "caveats", caveats);
  json_array_append_new(o->statistics, one);
}

static bool can_try(const struct advice *advice) { return advice->trial && trial_is_whatif(advice->trial); }

/* --- old statistics --- */

static bool never_analyzed(const struct table_facts *facts) { return !facts->analyzed && facts->rows < 0; }

bool tuning_stale(const struct facts *facts, const struct snap_table *table) {
  struct table_facts size = facts_table(facts, table);
  if (table->kind != SNAP_TABLE) return false;
  return (never_analyzed(&size) && size.live_rows > STALE_ROWS) ||
         size.changed_since_analyze > STALE_SHARE * fmax(0, size.rows) + STALE_ROWS;
}

static enum status look_stale(struct advice *advice, struct optimization *o, const struct snap_table *table,
                              const struct query_plan *before, struct error *err) {
  struct table_facts facts = facts_table(advice->facts, table);
  const char *name = sql_qualified(advice->arena, table->schema, table->name),
             *sql = name ? arena_printf(advice->arena, "ANALYZE %s", name) : NULL;
  enum status status = OK;
  if (!sql || !tuning_stale(advice->facts, table)) return OK;
  struct statistic statistic = {
      .kind = "analyze", .sql = sql, .table = table, .estimated = facts.rows, .actual = facts.live_rows, .after = -1};
  if (never_analyzed(&facts))
    statistic.reason = arena_printf(advice->arena, "%s was never analysed: the planner takes its size from the file and guesses the rest",
                                    table->qualified);
  else
    statistic.reason = arena_printf(advice->arena, "%s rows of %s have changed since it was analysed",
                                    finding_number(advice->arena, facts.changed_since_analyze), table->qualified);
  if (can_try(advice) && facts.live_rows > 0 && facts.pages > 0) {
    status = trial_rows(advice->trial, table, facts.live_rows, facts.pages, err);
    if (!status) status = tuning_plan(advice, &statistic.then, err);
    if (!status) statistic.after = facts.live_rows;
    if (!status) status = trial_rows(advice->trial, table, facts.rows, facts.pages, err);
  }
  if (!status) suggest(o, before, &statistic);
  return status;
}

/* --- numbers of values --- */

/* The column's row of statistics with another number of values; `certain`: its condition lets all through. */
static json_t *changed_column(struct advice *advice, const struct snap_table *table, const char *column, double distinct, bool certain) {
  struct column_facts facts = facts_column(advice->facts, table, column);
  json_t *row = facts.json ? json_copy((json_t *)(uintptr_t)facts.json) : NULL, *list = arena_json(advice->arena, json_array());
  if (!row || !list || json_array_append_new(list, row)) return NULL;
  json_object_set_new(row, "distinct", json_real(distinct));
  static const char *const known[] = {"mcv", "mcf", "hist"};
  for (size_t i = 0; certain && i < sizeof known / sizeof *known; i++) json_object_set_new(row, known[i], json_null());
  if (certain) json_object_set_new(row, "null", json_integer(0));
  return list;
}

static enum status put_back(struct advice *advice, const struct snap_table *table, const char *column, struct error *err) {
  json_t *list = arena_json(advice->arena, json_array());
  struct column_facts facts = facts_column(advice->facts, table, column);
  json_array_append(list, (json_t *)(uintptr_t)facts.json);
  return trial_columns(advice->trial, list, err);
}

/* The rows of the node that stands where `like` stands. */
static double rows_at(const struct query_plan *plan, const struct plan_node *like) {
  for (size_t i = 0; plan && i < plan->count; i++) {
    const struct plan_node *node = plan->nodes[i];
    bool same = strcmp(node->type, like->type) == 0 && node->group_key_count == like->group_key_count;
    for (size_t k = 0; same && k < like->group_key_count; k++) same = strcmp(node->group_key[k], like->group_key[k]) == 0;
    if (same && (!like->relation || (node->relation && strcmp(node->relation, like->relation) == 0))) return node->plan_rows;
  }
  return -1;
}

static const struct snap_table *table_of_alias(const struct query_plan *plan, const char *alias) {
  const struct snap_table *found = NULL;
  for (size_t i = 0; i < plan->count; i++) {
    const struct plan_node *node = plan->nodes[i];
    const char *name = node->alias ? node->alias : node->relation;
    if (node->table && name && (!alias || strcmp(name, alias) == 0)) found = node->table;
  }
  return found;
}

static enum status look_distinct(struct advice *advice, struct optimization *o, const struct plan_node *node,
                                 const struct query_plan *before, struct error *err) {
  struct name_list columns = {0};
  struct arena *arena = advice->arena;
  PgQuery__Node *key = node->group_key_count == 1 ? sql_parse_expression(arena, node->group_key[0]) : NULL;
  bool off = node->measured && node->estimate_factor >= SKEW && fabs(node->actual_rows - node->plan_rows) >= SKEW_ROWS;
  if (!key || !off || key->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return OK;
  condition_columns(arena, key, &columns);
  const PgQuery__ColumnRef *ref = key->column_ref;
  const char *alias = ref->n_fields > 1 ? sql_node_string(ref->fields[0]) : NULL, *column = columns.count ? columns.items[0] : NULL;
  const struct snap_table *table = table_of_alias(o->plan, alias);
  if (!table || !column || !snap_table_column(table, column)) return OK;
  double rows = facts_table(advice->facts, table).rows, values = node->actual_rows;
  double said = rows > 0 && values >= 0.1 * rows ? -round(1000 * fmin(1, values / rows)) / 1000 : round(values);
  const char *name = sql_qualified(arena, table->schema, table->name), *quoted = sql_ident(arena, column);
  struct statistic statistic = {.kind = "n_distinct",
                                .table = table,
                                .columns = &column,
                                .column_count = 1,
                                .estimated = node->plan_rows,
                                .actual = values,
                                .after = -1};
  statistic.sql =
      arena_printf(arena, "ALTER TABLE %s ALTER COLUMN %s SET (n_distinct = %g);\nANALYZE %s (%s)", name, quoted, said, name, quoted);
  statistic.reason = arena_printf(arena, "%s has about %s values where the planner expects %s", column, finding_number(arena, values),
                                  finding_number(arena, node->plan_rows));
  enum status status = OK;
  json_t *list = can_try(advice) ? changed_column(advice, table, column, said, false) : NULL;
  if (list) {
    status = trial_columns(advice->trial, list, err);
    if (!status) status = tuning_plan(advice, &statistic.then, err);
    if (!status) statistic.after = rows_at(statistic.then, node);
    if (!status) status = put_back(advice, table, column, err);
  }
  if (!status) suggest(o, before, &statistic);
  return status;
}

/* --- columns that go together --- */

/* Columns of a scan's conditions that are held equal to something. */
static void equal_columns(struct arena *arena, const struct plan_node *node, struct name_list *columns) {
  const char *const texts[] = {node->index_cond, node->recheck_cond, node->filter};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct condition_list conditions = {0};
    if (texts[i]) conditions_read(arena, texts[i], &conditions);
    for (size_t k = 0; k < conditions.count; k++) {
      const struct condition *condition = &conditions.items[k];
      if ((condition->kind != CONDITION_EQUAL && condition->kind != CONDITION_IN) || !condition->column) continue;
      if (list_has(columns->items, columns->count, condition->column)) continue;
      const char **slot = LIST_PUSH(arena, columns);
      if (slot) *slot = condition->column;
    }
  }
}

/* A list of common combinations takes the conditions away from the dependencies (statext_clauselist_selectivity() in
 * src/backend/statistics/extended_stats.c), also for what is not on it: of use only where it can hold them all. */
static bool few_values(const struct advice *advice, const struct snap_table *table, const struct name_list *columns) {
  for (size_t i = 0; i < columns->count; i++)
    if (facts_column(advice->facts, table, columns->items[i]).distinct > MCV_ENTRIES) return false;
  return true;
}

static const char *statistics_sql(const struct advice *advice, const struct snap_table *table, const struct name_list *columns) {
  struct arena *arena = advice->arena;
  const char *name = sql_qualified(arena, table->schema, table->name), *list = sql_ident_list(arena, columns->items, columns->count);
  const char *words = arena_printf(arena, "%s_%s", columns->items[0], columns->items[1]);
  const char *own = words ? sql_made_name(arena, table->name, words, "stat") : NULL;
  const char *quoted = own ? sql_qualified(arena, table->schema, own) : NULL;
  if (!name || !list || !quoted) return NULL;
  return arena_printf(arena, "CREATE STATISTICS %s (%s) ON %s FROM %s;\nANALYZE %s", quoted,
                      few_values(advice, table, columns) ? "dependencies, mcv" : "dependencies", list, name, name);
}

/* With each column in turn following from the others: the one that brings the estimate nearest to what came. */
static enum status try_dependence(struct advice *advice, const struct plan_node *node, const struct name_list *columns,
                                  struct statistic *statistic, struct error *err) {
  double best = INFINITY;
  enum status status = OK;
  for (size_t i = 0; !status && i < columns->count; i++) {
    const struct query_plan *then = NULL;
    json_t *list = changed_column(advice, statistic->table, columns->items[i], 1, true);
    if (!list) continue;
    status = trial_columns(advice->trial, list, err);
    if (!status) status = tuning_plan(advice, &then, err);
    double rows = rows_at(then, node), off = rows > 0 ? fabs(log(rows / fmax(1, node->actual_rows))) : INFINITY;
    if (off < best && off < log(NEAR)) {
      best = off;
      statistic->after = rows;
      statistic->then = then;
    }
    if (!status) status = put_back(advice, statistic->table, columns->items[i], err);
  }
  return status;
}

static enum status look_together(struct advice *advice, struct optimization *o, const struct plan_node *node,
                                 const struct query_plan *before, struct error *err) {
  struct name_list columns = {0};
  bool off = node->measured && node->underestimated && node->estimate_factor >= SKEW && node->actual_rows - node->plan_rows >= SKEW_ROWS;
  if (!off || !plan_is_scan(node) || !node->table || node->table->kind != SNAP_TABLE) return OK;
  equal_columns(advice->arena, node, &columns);
  if (columns.count < 2 || columns.count > 8) return OK;
  struct statistic statistic = {.kind = "extended",
                                .table = node->table,
                                .columns = columns.items,
                                .column_count = columns.count,
                                .estimated = node->plan_rows,
                                .actual = node->actual_rows,
                                .after = -1};
  statistic.sql = statistics_sql(advice, node->table, &columns);
  statistic.reason = arena_printf(
      advice->arena, "%s rows came where %s were expected: the conditions on these columns are taken to be independent, and are not",
      finding_number(advice->arena, node->actual_rows), finding_number(advice->arena, node->plan_rows));
  enum status status = can_try(advice) ? try_dependence(advice, node, &columns, &statistic, err) : OK;
  if (!status && statistic.sql) suggest(o, before, &statistic);
  return status;
}

enum status tuning_statistics(struct advice *advice, struct optimization *o, const struct query_plan *before, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; !status && i < advice->tables.count; i++) status = look_stale(advice, o, advice->tables.items[i], before, err);
  for (size_t i = 0; !status && o->plan->analyzed && i < o->plan->count; i++) {
    status = look_distinct(advice, o, o->plan->nodes[i], before, err);
    if (!status) status = look_together(advice, o, o->plan->nodes[i], before, err);
  }
  return status;
}
