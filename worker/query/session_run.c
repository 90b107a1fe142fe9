/* session_run.c - a statement the guard let through, wrapped so that the server cuts what is too long and stops when there is enough.
 *
 * The statement is prepared as it is: that proves it is one command, and tells its columns. Then it runs as a subquery,
 *   SELECT left(concat(c1), 2001), … FROM (<statement>) q (c1, …) LIMIT 501
 * which keeps its order: nothing above it sorts. */
#include <math.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/utf8.h"
#include "worker/query/session_impl.h"

struct fetch {
  struct arena *arena;
  struct query_result *result;
  size_t columns, wanted, room, bytes;
  bool oom;
};

/* ---- columns ---- */

static enum query_type type_of(Oid oid) {
  static const struct {
    Oid oid;
    enum query_type type;
  } types[] = {{21, QUERY_TYPE_INTEGER}, /* int2, int4, int8, oid */
               {23, QUERY_TYPE_INTEGER}, {20, QUERY_TYPE_INTEGER},   {26, QUERY_TYPE_INTEGER}, {700, QUERY_TYPE_REAL}, /* float4, float8 */
               {701, QUERY_TYPE_REAL},   {1700, QUERY_TYPE_NUMERIC}, {16, QUERY_TYPE_BOOLEAN}, {114, QUERY_TYPE_JSON}, /* json, jsonb */
               {3802, QUERY_TYPE_JSON},  {17, QUERY_TYPE_BYTES}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].oid == oid) return types[i].type;
  return QUERY_TYPE_TEXT;
}

/* Names of types by their oid, as the server prints them. */
static enum status name_types(struct query_session *session, struct query_result *result, const PGresult *described, struct arena *arena,
                              struct error *err) {
  const char **oids = arena_calloc(arena, result->column_count + 1, sizeof *oids);
  for (size_t i = 0; oids && i < result->column_count; i++)
    oids[i] = arena_printf(arena, "%u:%d", PQftype(described, (int)i), PQfmod(described, (int)i));
  const char *const params[] = {oids ? pg_array_param(arena, oids, result->column_count) : NULL};
  if (!params[0]) return error_oom(err);
  PGRESULT_AUTO res = NULL;
  enum status status =
      session_wait(session,
                   "SELECT pg_catalog.format_type(pg_catalog.split_part(t, ':', 1)::oid, pg_catalog.split_part(t, ':', 2)::int)"
                   " FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY u (t, n) ORDER BY n",
                   1, params, NULL, NULL, &res, err);
  if (status) return status;
  for (size_t i = 0; i < result->column_count; i++) {
    const char *name = (int)i < PQntuples(res) ? arena_strdup(arena, pg_str(res, (int)i, 0)) : NULL;
    result->columns[i].type_name = name ? name : "unknown";
  }
  return OK;
}

/* A name that is no UTF-8, or an empty one, would break what it is printed in. */
static const char *column_name(const char *name, struct arena *arena) {
  size_t len = strlen(name);
  for (size_t at = 0; at < len;) {
    size_t step = utf8_char(name + at, len - at);
    if (!step) return "?";
    at += step;
  }
  return arena_strdup(arena, name);
}

/* ret_types: of the columns; a domain's is its base type's. */
static enum status describe(struct query_session *session, const char *sql, struct query_result *result, struct arena *arena,
                            Oid **ret_types, struct error *err) {
  PGRESULT_AUTO described = NULL;
  enum status status = session_describe(session, sql, &described, err);
  if (status) return status;
  int count = PQnfields(described);
  if (count > LIMIT_QUERY_COLUMNS)
    return session_refuse(err, ERR_VALIDATION, "cost", "too-many-columns", "the query has %d columns; at most %d are shown", count,
                          LIMIT_QUERY_COLUMNS);
  if (PQnparams(described) > 0) return session_refuse(err, ERR_VALIDATION, "node", "parameter", "the query has parameters without values");
  result->column_count = count > 0 ? (size_t)count : 0;
  result->columns = arena_calloc(arena, result->column_count + 1, sizeof *result->columns);
  *ret_types = arena_calloc(arena, result->column_count + 1, sizeof **ret_types);
  if (!result->columns || !*ret_types) return error_oom(err);
  for (int i = 0; i < count; i++) {
    (*ret_types)[i] = PQftype(described, i);
    result->columns[i] =
        (struct query_result_column){.name = column_name(PQfname(described, i), arena), .type = type_of(PQftype(described, i))};
    if (!result->columns[i].name) return error_oom(err);
  }
  return name_types(session, result, described, arena, err);
}

/* ---- wrapping ---- */

/* Types whose cast to text is PostgreSQL's own, and shows better than their output (true, no blanks at the end): bool, "char", name, text,
 * bpchar, varchar, unknown. A cast of any other may be one that somebody made, and call a function: those are shown by their output. */
static bool casts_to_text(Oid oid) {
  static const Oid types[] = {16, 18, 19, 25, 1042, 1043, 705};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i] == oid) return true;
  return false;
}

static void put_cell(struct buf *out, const struct query_result_column *column, Oid type, size_t number) {
  if (column->type == QUERY_TYPE_BYTES)
    buf_printf(out, "pg_catalog.encode(pg_catalog.substring(q.c%zu, 1, %d), 'hex')", number, LIMIT_QUERY_CELL / 2 + 1);
  else if (casts_to_text(type))
    buf_printf(out, "pg_catalog.left(q.c%zu::pg_catalog.text, %d)", number, LIMIT_QUERY_CELL + 1);
  else /* IS NULL is true of a row of NULLs, too */
    buf_printf(out,
               "CASE WHEN pg_catalog.num_nulls(q.c%zu) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.left(pg_catalog.concat(q.c%zu), %d) END",
               number, number, LIMIT_QUERY_CELL + 1);
}

/* The statement may end in a comment: a new line ends it. */
static const char *wrap(const char *sql, const struct query_result *result, const Oid *types, int rows, struct arena *arena) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  buf_puts(&out, "SELECT ");
  for (size_t i = 0; i < result->column_count; i++) {
    if (i) buf_puts(&out, ", ");
    put_cell(&out, &result->columns[i], types[i], i + 1);
  }
  buf_printf(&out, " FROM (%s\n) q", sql);
  for (size_t i = 0; i < result->column_count; i++) buf_printf(&out, "%sc%zu", i ? ", " : " (", i + 1);
  buf_printf(&out, "%s LIMIT %d", result->column_count ? ")" : "", rows + 1);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

static enum status check_cost(struct query_session *session, const char *wrapped, double ceiling, struct query_result *result,
                              struct arena *arena, struct error *err) {
  const char *explain = arena_printf(arena, "EXPLAIN (FORMAT JSON) %s", wrapped);
  PGRESULT_AUTO res = NULL;
  json_t *plan = NULL;
  if (!explain) return error_oom(err);
  enum status status = session_wait(session, explain, 0, NULL, NULL, NULL, &res, err);
  if (status) return status;
  const char *text = PQntuples(res) == 1 ? pg_str(res, 0, 0) : "";
  ERROR_AUTO unread = {0};
  if (json_parse(text, strlen(text), &plan, &unread)) return error_set(err, ERR_VALIDATION, "the server's plan cannot be read");
  const json_t *cost = json_object_get(json_object_get(json_array_get(plan, 0), "Plan"), "Total Cost");
  result->total_cost = json_number_value(cost);
  json_decref(plan);
  if (result->total_cost <= ceiling) return OK;
  return session_refuse(
      err, ERR_VALIDATION, "cost", "plan-cost",
      "the planner expects a cost of %.0f; at most %.0f is run (AUTODB_GUARD_MAX_COST): ask for less, or filter by an indexed column",
      result->total_cost, ceiling);
}

/* ---- fetching ---- */

static bool grow(struct fetch *fetch) {
  if (fetch->result->row_count < fetch->room) return true;
  size_t room = fetch->room ? fetch->room * 2 : 64;
  struct query_cell *cells = arena_calloc(fetch->arena, room * fetch->columns + 1, sizeof *cells);
  if (!cells) return false;
  if (fetch->result->row_count) memcpy(cells, fetch->result->cells, fetch->result->row_count * fetch->columns * sizeof *cells);
  fetch->result->cells = cells;
  fetch->room = room;
  return true;
}

/* The first LIMIT_QUERY_CELL characters. The server sent one more if there are more. Bytes that are no UTF-8 (SQL_ASCII databases) become
 * "?". */
static bool take_cell(struct fetch *fetch, const char *text, size_t len, struct query_cell *cell) {
  size_t at = 0, characters = 0;
  char *copy = arena_strndup(fetch->arena, text, len);
  if (!copy) return false;
  while (at < len && characters < LIMIT_QUERY_CELL) {
    size_t step = utf8_char(copy + at, len - at);
    if (!step) copy[at] = '?';
    at += step ? step : 1;
    characters++;
  }
  cell->cut = at < len;
  copy[at] = '\0';
  cell->text = copy;
  return true;
}

static bool take_row(void *arg, const PGresult *row) {
  struct fetch *fetch = arg;
  struct query_result *result = fetch->result;
  if (result->row_count == fetch->wanted) {
    result->truncated = true;
    return true; /* the last one: the server ends by itself */
  }
  for (size_t i = 0; i < fetch->columns; i++) fetch->bytes += (size_t)PQgetlength(row, 0, (int)i);
  if (fetch->bytes > LIMIT_QUERY_BYTES) {
    result->truncated = result->budget_spent = true;
    return false;
  }
  if (!grow(fetch)) {
    fetch->oom = true;
    return false;
  }
  for (size_t i = 0; i < fetch->columns; i++) {
    struct query_cell *cell = &result->cells[result->row_count * fetch->columns + i];
    if (PQgetisnull(row, 0, (int)i)) continue;
    if (!take_cell(fetch, PQgetvalue(row, 0, (int)i), (size_t)PQgetlength(row, 0, (int)i), cell)) {
      fetch->oom = true;
      return false;
    }
  }
  result->row_count++;
  return true;
}

static enum status run_wrapped(struct query_session *session, const struct guarded *guarded, const struct query_limits *limits,
                               struct arena *arena, struct query_result *result, struct error *err) {
  int rows = limits->rows > 0 && limits->rows <= LIMIT_QUERY_ROWS ? limits->rows : LIMIT_QUERY_ROWS;
  double ceiling = limits->max_cost != 0 ? limits->max_cost : session->cfg->guard_max_cost > 0 ? session->cfg->guard_max_cost : -1;
  Oid *types = NULL;
  enum status status = describe(session, guarded->sql, result, arena, &types, err);
  if (status) return status;
  const char *wrapped = wrap(guarded->sql, result, types, rows, arena);
  if (!wrapped) return error_oom(err);
  result->total_cost = -1;
  if (ceiling >= 0 && (status = check_cost(session, wrapped, ceiling, result, arena, err))) return status;
  struct fetch fetch = {.arena = arena, .result = result, .columns = result->column_count, .wanted = (size_t)rows};
  PGRESULT_AUTO res = NULL;
  int64_t began = clock_mono_us();
  status = session_wait(session, wrapped, 0, NULL, take_row, &fetch, &res, err);
  result->milliseconds = (double)(clock_mono_us() - began) / 1000;
  if (!status && fetch.oom) return error_oom(err);
  return status;
}

enum status query_session_run(struct query_session *session, const struct guarded *guarded, const struct query_limits *limits,
                              struct arena *arena, struct query_result **ret_result, struct error *err) {
  static const struct query_limits defaults;
  if (!limits) limits = &defaults;
  struct query_result *result = ARENA_NEW(arena, struct query_result);
  if (!result) return error_oom(err);
  *result = (struct query_result){0};
  const struct query_resolution *resolution = guarded->resolution;
  const char *path = resolution ? pg_array_param(arena, resolution->path, resolution->path_count) : NULL;
  if (resolution && !path) return error_oom(err);
  bool own = !session->in_transaction;
  enum status status =
      own ? query_session_begin(session, path, limits->statement_ms, err) : session_continue(session, path, limits->statement_ms, err);
  if (status) return status;
  if (!limits->unchecked_role && !session->role_checked)
    status = query_session_check_role(session, resolution ? resolution->snapshot : NULL, NULL, err);
  if (!status) status = run_wrapped(session, guarded, limits, arena, result, err);
  if (status) return session_finish(session, status, err);
  if ((status = own ? query_session_end(session, err) : session_inside(session, err))) return status;
  *ret_result = result;
  return OK;
}

/* ---- JSON ---- */

/* A double holds it exactly as it is printed: 15 significant digits at most, no exponent. */
static bool fits_double(const char *text) {
  int digits = 0;
  bool leading = true;
  for (const char *p = text + (*text == '-'); *p; p++) {
    if (*p == '.') continue;
    if (*p < '0' || *p > '9') return false;
    leading = leading && *p == '0';
    digits += !leading;
  }
  return digits <= 15;
}

static json_t *number_json(enum query_type type, const char *text) {
  char *end;
  if (type == QUERY_TYPE_INTEGER || (type == QUERY_TYPE_NUMERIC && !strchr(text, '.') && fits_double(text))) {
    long long value = strtoll(text, &end, 10);
    return *end || end == text ? json_string(text) : json_integer(value);
  }
  double value = strtod(text, &end);
  if (*end || end == text || !isfinite(value) || (type == QUERY_TYPE_NUMERIC && !fits_double(text))) return json_string(text);
  return json_real(value);
}

json_t *query_value_json(enum query_type type, const struct query_cell *cell) {
  json_t *value = NULL;
  ERROR_AUTO unread = {0};
  if (!cell->text) return json_null();
  switch (type) {
  case QUERY_TYPE_INTEGER:
  case QUERY_TYPE_REAL:
  case QUERY_TYPE_NUMERIC: return number_json(type, cell->text);
  case QUERY_TYPE_BOOLEAN: return json_boolean(strcmp(cell->text, "true") == 0 || strcmp(cell->text, "t") == 0);
  case QUERY_TYPE_JSON:
    if (!cell->cut && !json_parse(cell->text, strlen(cell->text), &value, &unread)) return value;
    break;
  case QUERY_TYPE_BYTES: return json_sprintf("\\x%s", cell->text);
  case QUERY_TYPE_TEXT: break;
  }
  return json_string(cell->text);
}
