/* pgrows.c - see pgrows.h. */
#include "common/pgrows.h"

#include <string.h>

#include "common/pg.h"

void pg_rows_init(struct pg_rows *rows, struct arena *arena, size_t width) { *rows = (struct pg_rows){.arena = arena, .width = width}; }

static bool grow(struct pg_rows *rows) {
  if (rows->count < rows->cap) return true;
  size_t cap = rows->cap ? rows->cap * 2 : 16;
  const char **values = arena_calloc(rows->arena, cap * rows->width, sizeof *values);
  if (!values) return false;
  if (rows->count) memcpy(values, rows->values, rows->count * rows->width * sizeof *values);
  rows->values = values;
  rows->cap = cap;
  return true;
}

void pg_rows_add(struct pg_rows *rows, const char *const *values) {
  if (!grow(rows)) rows->failed = true;
  if (rows->failed) return;
  memcpy(rows->values + rows->count++ * rows->width, values, rows->width * sizeof *values);
}

enum status pg_rows_params(const struct pg_rows *rows, const char **ret_params, struct error *err) {
  const char **column = rows->failed ? NULL : arena_calloc(rows->arena, rows->count + 1, sizeof *column);
  for (size_t i = 0; column && i < rows->width; i++) {
    for (size_t row = 0; row < rows->count; row++) column[row] = rows->values[row * rows->width + i];
    if (!(ret_params[i] = pg_array_param(rows->arena, column, rows->count))) column = NULL;
  }
  return column ? OK : error_oom(err);
}
