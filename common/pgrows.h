/* pgrows.h - rows as array parameters, one of each column: what unnest($1::…[], $2::…[]) makes rows of again. */
#ifndef AUTODB_PGROWS_H
#define AUTODB_PGROWS_H

#include "common/arena.h"
#include "common/error.h"

struct pg_rows {
  struct arena *arena;
  size_t width, count, cap; /* columns, rows */
  const char **values;      /* row by row */
  bool failed;              /* memory was short */
};

void pg_rows_init(struct pg_rows *rows, struct arena *arena, size_t width);
/* One value of each column, NULL for SQL's; they are borrowed until the parameters are made. */
void pg_rows_add(struct pg_rows *rows, const char *const *values);
/* The columns to ret_params[0..width); ERR_UNAVAILABLE when memory is short, or was in one of the rows. */
MUST_CHECK enum status pg_rows_params(const struct pg_rows *rows, const char **ret_params, struct error *err);

#endif
