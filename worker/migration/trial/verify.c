/* trial/verify.c - after the migration: the owner's own questions, and whether the way back leads back. */
#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/migration/trial/step.h"

#define LONGEST_LINE 500 /* of a diff */

static json_t *query_result(PGconn *conn, const char *query, bool *passed) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  int64_t started = clock_mono_us();
  bool good = pg_script(conn, "BEGIN READ ONLY", &err) == OK && pg_query(conn, query, 0, NULL, &res, &err) == OK;
  double ms = (double)(clock_mono_us() - started) / 1000;
  PGRESULT_AUTO end = PQexec(conn, "ROLLBACK");
  json_t *item = json_pack("{s:s, s:b, s:f}", "query", query, "passed", good, "duration_ms", ms);
  json_object_set_new(item, "error", good ? json_null() : json_string(err.message));
  json_object_set_new(item, "row_count", good ? json_integer(PQntuples(res)) : json_null());
  if (!good) *passed = false;
  return item;
}

json_t *sandbox_verify_queries(struct sandbox *sandbox, const json_t *queries, bool *ret_passed) {
  json_t *results = json_array(), *query;
  size_t index;
  if (!json_array_size(queries)) return results;
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  if (sandbox_connect_migrator(sandbox, &conn, &err) != OK) {
    *ret_passed = false;
    return results;
  }
  char timeout[64];
  snprintf(timeout, sizeof timeout, "SET statement_timeout = %d", SANDBOX_STATEMENT_MS);
  if (pg_script(conn, timeout, &err) != OK) *ret_passed = false;
  json_array_foreach((json_t *)(uintptr_t)queries, index, query) if (json_is_string(query))
      json_array_append_new(results, query_result(conn, json_string_value(query), ret_passed));
  return results;
}

/* --- the way back --- */

static bool run_one(PGconn *conn, const char *sql, json_t *diff) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  ExecStatusType type = PQresultStatus(res);
  if (type == PGRES_COMMAND_OK || type == PGRES_TUPLES_OK) return true;
  char line[LONGEST_LINE + 64];
  snprintf(line, sizeof line, "!%.250s: %.250s", PQresultErrorMessage(res), sql);
  line[strcspn(line, "\n")] = ' ';
  json_array_append_new(diff, json_stringn_nocheck(line, strlen(line)));
  return false;
}

/* What the sandbox disproved is not called reversible any more. */
static void disprove(const struct analysis *analysis, size_t index, const char *why) {
  struct rollback_step *step = &analysis->statements[index].rollback;
  if (!step->irreversible) step->irreversible = arena_printf(analysis->arena, "the way back was tried in the sandbox: %s", why);
}

/* The statement whose way back failed is known; whose result differs is not, unless one is irreversible anyway. Where none has a way back
 * all have claimed to need none. */
static void disprove_all(const struct analysis *analysis) {
  bool written = false;
  for (size_t i = 0; i < analysis->count; i++) {
    if (analysis->statements[i].rollback.irreversible) return;
    written |= analysis->statements[i].rollback.sql.count > 0;
  }
  for (size_t i = 0; i < analysis->count; i++)
    if (!written || analysis->statements[i].rollback.sql.count)
      disprove(analysis, i, "the schema differs from what it was, see rollback_diff");
}

static bool run_back(PGconn *conn, const struct analysis *analysis, json_t *diff) {
  bool good = true;
  for (size_t i = analysis->count; good && i-- > 0;) {
    const struct rollback_step *step = &analysis->statements[i].rollback;
    if (!step->sql.count) continue;
    bool inside = PQtransactionStatus(conn) != PQTRANS_IDLE;
    if (inside == step->outside) good = run_one(conn, inside ? "COMMIT" : "BEGIN", diff);
    for (size_t s = 0; good && s < step->sql.count; s++) good = run_one(conn, step->sql.items[s], diff);
    if (!good) disprove(analysis, i, "it failed, see rollback_diff");
  }
  if (PQtransactionStatus(conn) != PQTRANS_IDLE) good = run_one(conn, good ? "COMMIT" : "ROLLBACK", diff) && good;
  return good;
}

/* The cheap proof that nothing differs. */
static bool is_as_before(struct sandbox *sandbox, const struct analysis *analysis, const struct sandbox_setup *setup) {
  ERROR_AUTO err = {0};
  const char *signature = NULL;
  return setup->signature && sandbox_signature(sandbox, analysis->arena, &signature, &err) == OK && !strcmp(signature, setup->signature);
}

json_t *sandbox_verify_rollback(const struct sandbox_setup *setup, const struct analysis *analysis, json_t **ret_diff) {
  struct sandbox *sandbox = setup->sandbox;
  const char *before = setup->before;
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  json_t *diff = json_array();
  *ret_diff = diff;
  const char *after = NULL;
  if (sandbox_connect_migrator(sandbox, &conn, &err) != OK) return json_null();
  if (!run_back(conn, analysis, diff)) return json_false();
  if (is_as_before(sandbox, analysis, setup)) return json_true();
  if (sandbox_dump(sandbox, analysis->arena, &after, &err) != OK) return json_null();
  if (strcmp(before, after) == 0) return json_true();
  *ret_diff = sandbox_verify_diff(analysis->arena, before, after);
  json_decref(diff);
  bool same = json_array_size(*ret_diff) == 0;
  if (!same) disprove_all(analysis);
  return json_boolean(same);
}

/* --- comparing dumps --- */

struct line {
  const char *text;
  size_t len, number;
};
struct lines {
  struct line *items;
  size_t count;
};

static int by_text(const void *a, const void *b) {
  const struct line *left = a, *right = b;
  size_t shorter = left->len < right->len ? left->len : right->len;
  int order = memcmp(left->text, right->text, shorter);
  return order ? order : left->len < right->len ? -1 : left->len > right->len;
}

static int by_number(const void *a, const void *b) {
  const struct line *left = a, *right = b;
  return left->number < right->number ? -1 : left->number > right->number;
}

/* In the clone everything belongs to one role, whoever owns it in reality. */
static bool sets_owner(const char *line, size_t len) {
  return strncmp(line, "ALTER ", 6) == 0 && memmem(line, len, " OWNER TO ", 10) != NULL;
}

/* Lines that say something: not blank, no comment; a trailing comma only says that another column follows. */
static struct lines split_lines(struct arena *arena, const char *text) {
  size_t count = 1;
  for (const char *c = text; *c; c++) count += *c == '\n';
  struct lines lines = {arena_calloc(arena, count, sizeof *lines.items), 0};
  for (size_t number = 0; lines.items && *text; number++) {
    size_t len = strcspn(text, "\n"), kept = len;
    if (kept && text[kept - 1] == ',') kept--;
    if (kept && strncmp(text, "--", 2) != 0 && !sets_owner(text, kept)) lines.items[lines.count++] = (struct line){text, kept, number};
    text += len + (text[len] == '\n');
  }
  if (lines.items) qsort(lines.items, lines.count, sizeof *lines.items, by_text);
  return lines;
}

static void append_lines(json_t *diff, struct line *only, size_t count, char mark) {
  qsort(only, count, sizeof *only, by_number);
  for (size_t i = 0; i < count && json_array_size(diff) < SANDBOX_DIFF_LINES; i++) {
    char text[LONGEST_LINE + 2];
    int len = snprintf(text, sizeof text, "%c%.*s", mark, (int)(only[i].len < LONGEST_LINE ? only[i].len : LONGEST_LINE), only[i].text);
    while (len > 1 && !json_array_append_new(diff, json_stringn(text, (size_t)len)) == 0) len--; /* a cut character is not UTF-8 */
  }
}

json_t *sandbox_verify_diff(struct arena *arena, const char *before, const char *after) {
  struct lines left = split_lines(arena, before), right = split_lines(arena, after);
  struct line *gone = arena_calloc(arena, left.count + 1, sizeof *gone), *new = arena_calloc(arena, right.count + 1, sizeof *new);
  json_t *diff = json_array();
  if (!left.items || !right.items || !gone || !new) return diff;
  size_t gone_count = 0, new_count = 0, l = 0, r = 0;
  while (l < left.count || r < right.count) {
    int order = l == left.count ? 1 : r == right.count ? -1 : by_text(&left.items[l], &right.items[r]);
    if (order == 0)
      l++, r++;
    else if (order < 0)
      gone[gone_count++] = left.items[l++];
    else
      new[new_count++] = right.items[r++];
  }
  append_lines(diff, gone, gone_count, '-');
  append_lines(diff, new, new_count, '+');
  return diff;
}
