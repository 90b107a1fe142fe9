/* trial/shape.c - pg_stats, scaled down to a handful of rows.
 *
 * What matters is which statements fail on the rows: a column with any NULL has at least one here, one whose values repeat has at least one
 * pair. */
#include "worker/migration/trial/shape.h"

#include <math.h>

#include "common/json.h"
#include "common/limits.h"

#define ALL_DIFFERENT 0.99 /* of the rows: what an estimate by sample says of a unique column */

static int nulls_of(const struct snap_column *column, int rows) {
  if (column->not_null || column->null_frac <= 0) return 0;
  int nulls = (int)lround(column->null_frac * rows);
  if (column->null_frac >= 1) return rows;
  if (nulls < 1) return rows > 1 ? 1 : 0;
  return nulls < rows ? nulls : rows - 1;
}

/* 0: as many as there are rows, or unknown. */
static int distinct_of(const struct snap_table *table, const struct snap_column *column, int rows) {
  double total = (double)table->rows, distinct = column->n_distinct;
  if (distinct == 0 || total < 2 || rows < 2) return 0;
  double share = distinct < 0 ? -distinct : distinct / total;
  if (share >= ALL_DIFFERENT) return 0;
  double wanted = distinct < 0 ? share * rows : distinct;
  return wanted < 1 ? 1 : wanted < rows - 1 ? (int)lround(wanted) : rows - 1;
}

static bool add_column(json_t *list, const struct snap_table *table, const struct snap_column *column, int rows) {
  int nulls = nulls_of(column, rows), distinct = distinct_of(table, column, rows);
  if (!nulls && !distinct) return true;
  return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:i}", "s", table->schema, "t", table->name, "c", column->name, "n",
                                               nulls, "d", distinct)) == 0;
}

char *sandbox_shape(const struct snapshot *snapshot, int rows, struct arena *arena) {
  json_t *list = arena_json(arena, json_array());
  if (!list) return NULL;
  for (size_t t = 0; t < snapshot->table_count; t++) {
    const struct snap_table *table = &snapshot->tables[t];
    for (size_t c = 0; c < table->column_count; c++)
      if (!add_column(list, table, &table->columns[c], rows)) return NULL;
    if (json_array_size(list) > LIMIT_SANDBOX_SHAPE) return NULL;
  }
  char *text = json_dumps(list, JSON_COMPACT), *kept = arena_strdup(arena, text);
  free(text);
  return kept;
}
