/* write_measure.c - aggregates as SQL, and which table's rows they are made of. */
#include <stdint.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

static const char *days_between(struct scope *scope, const struct measure *measure) {
  const char *from = write_column(scope, &measure->of), *until = write_column(scope, measure->until);
  if (!from || !until) return NULL;
  bool dates = strcmp(measure->of.column->type, "date") == 0 && strcmp(measure->until->column->type, "date") == 0;
  return arena_printf(scope->study->arena, dates ? "%s - %s" : "extract(epoch FROM (%s - %s)) / 86400.0", until, from);
}

static const char *value_of(struct scope *scope, const struct measure *measure) {
  if (measure->until) return days_between(scope, measure);
  const char *column = write_column(scope, &measure->of);
  if (!column || !measure->times.column) return column;
  const char *times = write_column(scope, &measure->times);
  return times ? arena_printf(scope->study->arena, "%s * %s", column, times) : NULL;
}

/* The key of a table's rows, for count(DISTINCT …). */
static const char *row_key(struct scope *scope, size_t table) {
  struct study *study = scope->study;
  const struct snap_constraint *key = table_primary(study_table(study, table));
  size_t node = scope_node(scope, table, NULL);
  if (node == SIZE_MAX) return NULL;
  if (!key) {
    const struct node *joined = &scope->nodes[node]; /* what it is joined by */
    if (joined->edge && joined->up)
      return arena_printf(study->arena, "%s.%s", joined->alias, sql_ident(study->arena, joined->edge->to_columns[0]));
    return arena_printf(study->arena, "%s.%s", joined->alias, sql_ident(study->arena, study_table(study, table)->columns[0].name));
  }
  const char *list = "";
  for (size_t i = 0; i < key->column_count; i++)
    list = study_cat(study, list, ", ",
                     arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, key->columns[i])));
  return key->column_count > 1 ? arena_printf(study->arena, "(%s)", list) : list;
}

const char *write_measure(struct scope *scope, const struct measure *measure) {
  static const char *const functions[] = {"", "count", "sum", "avg", "min", "max", "percentile_cont"};
  struct study *study = scope->study;
  if (measure->term) return write_term(scope, measure->term);
  if (measure->kind == MEASURE_COUNT && !measure->of.column) {
    if (scope->nodes[0].table == measure->of.table) return "count(*)";
    const char *key = row_key(scope, measure->of.table);
    return key ? arena_printf(study->arena, "count(DISTINCT %s)", key) : NULL;
  }
  const char *value = value_of(scope, measure);
  if (!value || measure->kind == MEASURE_NONE) return value;
  if (measure->kind == MEASURE_MEDIAN) return arena_printf(study->arena, "percentile_cont(0.5) WITHIN GROUP (ORDER BY %s)", value);
  bool distinct = measure->kind == MEASURE_COUNT;
  return arena_printf(study->arena, "%s(%s%s)", functions[measure->kind], distinct ? "DISTINCT " : "", value);
}

const char *write_measure_name(struct study *study, const struct measure *measure) {
  static const char *const prefixes[] = {"", "number_of", "total", "average", "lowest", "highest", "median"};
  if (measure->term) return measure->term->name;
  if (measure->until) return arena_printf(study->arena, "%s%sdays", prefixes[measure->kind], measure->kind ? "_" : "");
  const char *what = measure->of.column ? measure->of.column->name : study_table(study, measure->of.table)->name;
  if (measure->times.column) what = "value";
  size_t len = strlen(prefixes[measure->kind]);
  if (strncmp(what, prefixes[measure->kind], len) == 0 && len)
    return arena_printf(study->arena, "%s_%s", measure->kind == MEASURE_SUM ? "sum" : prefixes[measure->kind], what);
  return arena_printf(study->arena, "%s_%s", prefixes[measure->kind], what);
}

/* --- the root: what one row is --- */

static bool up_only(struct study *study, size_t from, size_t to, const struct join_edge *role) {
  struct join_path path;
  if (from == to && !role) return true;
  return joins_path(&study->graph, from, to, role, study->arena, &path) && path_many(&path) == path.count;
}

/* The table of the path's lowest point, from which both ends are single. */
static size_t apex(struct study *study, size_t from, size_t to, const struct join_edge *role, struct join_path *ret_path) {
  if (!joins_path(&study->graph, from, to, role, study->arena, ret_path)) return NO_TABLE;
  size_t low = from;
  for (size_t i = 0; i < ret_path->count; i++)
    if (!ret_path->steps[i].up) low = ret_path->steps[i].edge->from;
  return low;
}

/* Summing what is joined from below counts a row once for each time it is joined; in a bridge whose key is both ends it is once. */
static bool bridge(struct study *study, size_t low, const struct join_path *path) {
  if (path->count != 2 || path->steps[0].up || !path->steps[1].up) return false;
  const char *columns[8];
  size_t n = 0;
  for (size_t s = 0; s < 2; s++)
    for (size_t c = 0; c < path->steps[s].edge->column_count && n < 8; c++) columns[n++] = path->steps[s].edge->from_columns[c];
  return table_unique(study_table(study, low), columns, n);
}

size_t measure_table(struct study *study, const struct measure *measure) {
  return measure->term ? term_root(study, measure->term) : measure->of.table;
}

/* NO_TABLE with doubt: no single table will do. */
size_t aggregate_root(struct study *study, bool *ret_apart) {
  struct reading *r = &study->reading;
  size_t root = NO_TABLE;
  *ret_apart = false;
  for (size_t i = 0; i < r->item_count; i++) {
    size_t table = measure_table(study, &r->items[i]);
    if (table == NO_TABLE) {
      study_doubt(study, NULL, "The definition of \u201c%s\u201d names nothing of this schema.",
                  r->items[i].term ? r->items[i].term->name : "it");
      return NO_TABLE;
    }
    *ret_apart |= root != NO_TABLE && table != root;
    root = table;
  }
  if (root == NO_TABLE || *ret_apart) return root;
  size_t low = root;
  for (size_t g = 0; g < r->group_count; g++) {
    const struct group *group = &r->groups[g];
    if (up_only(study, low, group->of.table, group->of.role)) continue;
    struct join_path path;
    size_t point = apex(study, root, group->of.table, group->of.role, &path);
    if (point == NO_TABLE) {
      study_doubt(study, NULL, "%s and %s are not connected by a foreign key. How do they belong together?",
                  study_table(study, root)->qualified, study_table(study, group->of.table)->qualified);
      return NO_TABLE;
    }
    for (size_t i = 0; i < r->item_count; i++) {
      enum measure_kind kind = r->items[i].kind;
      bool safe = !r->items[i].term && (kind == MEASURE_COUNT || kind == MEASURE_MIN || kind == MEASURE_MAX || bridge(study, point, &path));
      if (safe) continue;
      study_doubt(study, NULL,
                  "A row of %s belongs to several rows of %s: adding it up would count it more than once. What should be added?",
                  study_table(study, root)->qualified, study_table(study, group->of.table)->qualified);
      return NO_TABLE;
    }
    low = point;
  }
  for (size_t g = 0; g < r->group_count; g++)
    if (!up_only(study, low, r->groups[g].of.table, r->groups[g].of.role))
      study_doubt(study, NULL, "These groups don't belong to the same rows. Can you ask for them one by one?");
  return study->doubt ? NO_TABLE : low;
}
