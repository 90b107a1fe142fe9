/* rows_values.c - the values that made-up rows are made of, by family of types: the query's own constants and what is next to them. */
#include <ctype.h>
#include <stdlib.h>

#include "worker/optimizer/rewrite/rows_impl.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

static void add(struct rows *rows, enum family family, const char *sql, const char *raw) {
  struct pool *pool = &rows->pools[family];
  if (!sql || pool->count == VALUES_MAX) return;
  for (int i = 0; i < pool->count; i++)
    if (strcmp(pool->values[i].sql, sql) == 0) return;
  pool->values[pool->count++] = (struct value){sql, raw};
}

static void add_int(struct rows *rows, int64_t number) {
  const char *text = arena_printf(rows->arena, "%lld", (long long)number);
  if (rows->pools[INT].count < OWN_MAX) add(rows, INT, text, text);
  if (rows->pools[NUMBER].count < OWN_MAX) add(rows, NUMBER, text, text);
}

static void add_text(struct rows *rows, const char *text) {
  if (rows->pools[TEXT].count < OWN_MAX) add(rows, TEXT, sql_literal(rows->arena, text), text);
}

static void add_moment(struct rows *rows, const char *from, const char *shift) {
  const char *sql =
      *shift ? arena_printf(rows->arena, "timestamp '%s' + interval '%s'", from, shift) : arena_printf(rows->arena, "timestamp '%s'", from);
  add(rows, MOMENT, sql, *shift ? NULL : from);
}

static void add_day(struct rows *rows, const char *day) {
  static const char *const shifts[] = {"",      "12:00", "-0.000001 s", "1 day", "1 day -0.000001 s", "1 month", "1 month -0.000001 s",
                                       "1 year"};
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts && rows->pools[MOMENT].count < OWN_MAX; i++) add_moment(rows, day, shifts[i]);
}

static bool is_day(const char *text) {
  for (int i = 0; i < 10; i++)
    if (i == 4 || i == 7 ? text[i] != '-' : !isdigit((unsigned char)text[i])) return false;
  long month = strtol(text + 5, NULL, 10), day = strtol(text + 8, NULL, 10);
  return month >= 1 && month <= 12 && day >= 1 && day <= 28 + 3 * (month != 2) && strncmp(text, "0000", 4) != 0;
}

static bool is_uuid(const char *text) {
  if (strlen(text) != 36) return false;
  for (int i = 0; i < 36; i++)
    if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !isxdigit((unsigned char)text[i])) return false;
  return true;
}

/* The parts of a pattern that are no wildcards: something that matches it. */
static const char *matching(struct rows *rows, const char *pattern) {
  char *made = arena_strdup(rows->arena, pattern), *to = made;
  if (!made || !strpbrk(pattern, "%_")) return NULL;
  for (const char *c = pattern; *c; c++) {
    if (*c == '\\' && c[1])
      c++, *to++ = *c;
    else if (*c == '_')
      *to++ = 'z';
    else if (*c != '%')
      *to++ = *c;
  }
  *to = '\0';
  return made;
}

static void take_string(struct rows *rows, const char *text) {
  if (strlen(text) > 200) return;
  add_text(rows, text);
  const char *match = matching(rows, text);
  if (match) add_text(rows, match);
  if (strlen(text) < 100) add_text(rows, arena_printf(rows->arena, "%sx", text));
  if (is_day(text)) add_day(rows, arena_strndup(rows->arena, text, 10));
  if (is_uuid(text)) add(rows, UUID, arena_printf(rows->arena, "'%s'", text), text);
  if ((*text == '{' || *text == '[') && rows->pools[JSON].count < OWN_MAX) add(rows, JSON, sql_literal(rows->arena, text), text);
}

static void take_int(struct rows *rows, int64_t number) {
  if (number > 4000000000LL || number < -4000000000LL) return;
  for (int i = 0; i < rows->pools[INT].own && i < 6; i++) { /* k and v of c + k = v */
    int64_t other = strtoll(rows->pools[INT].values[i].sql, NULL, 10);
    add_int(rows, number - other);
    add_int(rows, number + other);
    if (other && number % other == 0) add_int(rows, number / other);
  }
  add_int(rows, number);
  add_int(rows, number - 1);
  add_int(rows, number + 1);
  rows->pools[INT].own = rows->pools[INT].count;
  if (number < 1900 || number > 2100) return;
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number), "");
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number), "-0.000001 s");
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number + 1), "");
}

static void take_number(struct rows *rows, const char *text) {
  char *end;
  double number = strtod(text, &end);
  if (*end || number > 1e9 || number < -1e9 || strlen(text) > 30) return;
  add(rows, NUMBER, text, text);
  take_int(rows, (int64_t)number);
}

bool pools_see(void *arg, PgQuery__Node *node) {
  struct rows *rows = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull) return true;
  const PgQuery__AConst *constant = node->a_const;
  if (constant->val_case == PG_QUERY__A__CONST__VAL_IVAL) take_int(rows, constant->ival->ival);
  if (constant->val_case == PG_QUERY__A__CONST__VAL_FVAL) take_number(rows, constant->fval->fval);
  if (constant->val_case == PG_QUERY__A__CONST__VAL_SVAL) take_string(rows, constant->sval->sval);
  return true;
}

void pools_take_expression(struct rows *rows, const char *text) { sql_walk(sql_parse_expression(rows->arena, text), pools_see, rows); }

/* Constants of what a row has to satisfy: CHECKs, partition bounds. */
static void take_tokens(struct rows *rows, const char *text) {
  struct sql_tokens tokens;
  if (!text || !sql_tokenize(text, rows->arena, &tokens)) return;
  for (size_t i = 0; i < tokens.count && i < 200; i++) {
    const struct sql_token *token = &tokens.items[i];
    bool constant =
        token->kind == PG_QUERY__TOKEN__ICONST || token->kind == PG_QUERY__TOKEN__SCONST || token->kind == PG_QUERY__TOKEN__FCONST;
    if (constant) pools_take_expression(rows, arena_strndup(rows->arena, text + token->start, (size_t)(token->end - token->start)));
  }
}

void pools_take_constraints(struct rows *rows, const struct snap_table *table) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].type == 'c') take_tokens(rows, table->constraints[i].definition);
  for (size_t i = 0; table->kind == SNAP_PARTITIONED && i < table->partition_count && i < 4; i++)
    take_tokens(rows, table->partitions[i]->partition_bound);
}

static const struct {
  enum family family;
  const char *values[10];
} basics[] = {{INT, {"1", "2", "3", "0", "4", "5", "-1", "6", "7", "8"}},
              {NUMBER, {"1", "2", "0", "1.5", "-1", "10", "3"}},
              {TEXT, {"a", "b", "", "A", "ab", "c", "d"}},
              {BOOLEAN, {"true", "false"}},
              {UUID,
               {"00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000003",
                "00000000-0000-0000-0000-000000000004", "00000000-0000-0000-0000-000000000005"}},
              {INTERVAL, {"0", "1 day", "1 month", "-1 day", "1 hour"}},
              {TIME, {"00:00", "12:30", "23:59:59.999999"}},
              {JSON, {"{}", "{\"a\": 1}", "[1, 2]", "null"}},
              {BYTES, {"\\x00", "\\x"}},
              {ADDRESS, {"10.0.0.1", "10.0.0.2"}},
              {ARRAY, {"{}"}}};

void pools_add_basics(struct rows *rows) {
  static const char *const moments[] = {"localtimestamp", "date_trunc('day', localtimestamp)", "localtimestamp - interval '1 day'",
                                        "date_trunc('month', localtimestamp)", "date_trunc('day', localtimestamp) + interval '1 day'"};
  rows->complete = true;
  for (size_t k = 0; k < FAMILIES; k++) rows->pools[k].own = rows->pools[k].count;
  for (size_t k = 0; k < sizeof basics / sizeof *basics; k++)
    for (size_t i = 0; i < 10 && basics[k].values[i]; i++) {
      const char *raw = basics[k].values[i];
      add(rows, basics[k].family, basics[k].family <= NUMBER ? raw : sql_literal(rows->arena, raw), raw);
    }
  add_moment(rows, "2024-01-01", "");
  add_moment(rows, "2024-02-29", "12:00");
  add_moment(rows, "2024-01-02", "");
  for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) add(rows, MOMENT, moments[i], NULL);
}
