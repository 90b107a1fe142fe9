/* test_guard_fuzz.c - SELECTs nobody wrote: made from pieces that include everything dangerous, and mutated from ordinary ones. No crash;
 * and what the guard accepts calls listed functions only and, run by a superuser in a transaction that may write, writes nothing: the
 * server has given it no transaction number.
 *
 * 100,000 of them with TESTS_LONG=1, a sample by default; AUTODB_TEST_SEED for others. */
#include "tests/support/guarded.h"

#include "worker/query/session.h"
#include "worker/sql/tree.h"

enum { SAMPLE = 3000, LONG = 100000, LINES = 400, TEXT = 20000, RUN_EACH = 10 };

static struct guarded_world world;
static char *lines[LINES];
static int line_count;
static uint64_t seed;

static uint32_t dice(uint32_t sides) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % sides;
}
#define PICK(list) (list)[dice(sizeof(list) / sizeof *(list))]

static int setup(void **state) {
  const char *given = getenv("AUTODB_TEST_SEED");
  char line[8192];
  seed = given ? strtoull(given, NULL, 10) : 20240601;
  guarded_begin(&world, 17, "CREATE SEQUENCE shop.seq; CREATE EXTENSION dblink");
  FILE *file = fopen(AUTODB_SOURCE_DIR "/tests/fixtures/analytics.sql", "r");
  assert_non_null(file);
  while (line_count < LINES && fgets(line, sizeof line, file)) lines[line_count++] = strdup(line);
  fclose(file);
  *state = &world;
  return 0;
}
static int teardown(void **state) {
  while (line_count) free(lines[--line_count]);
  return guarded_teardown(state);
}

/* ---- texts ---- */

static const char *const spice[] = {"set_config('a.b', 'c', true)",
                                    "nextval('shop.seq')",
                                    "pg_sleep(0)",
                                    "txid_current()",
                                    "pg_notify('a', 'b')",
                                    "lo_creat(-1)",
                                    "pg_read_file('x')",
                                    "query_to_xml('SELECT 1', true, false, '')",
                                    "(c).txid_current",
                                    "c.to_json",
                                    "FOR UPDATE",
                                    "INTO shop.t",
                                    "; COMMIT",
                                    "pg_class",
                                    "pg_catalog.pg_proc",
                                    "information_schema.tables",
                                    "WITH d AS (DELETE FROM shop.orders RETURNING *)",
                                    "dblink('', 'SELECT 1')",
                                    "shop.bump()",
                                    "$1",
                                    "CURRENT_USER",
                                    "'x'::regclass",
                                    "::xml",
                                    "U&\"\\0073et_config\"('a.b', 'c', true)",
                                    "OPERATOR(pg_catalog.+)",
                                    "OVER ()",
                                    "WITHIN GROUP (ORDER BY 1)",
                                    "LATERAL",
                                    "ROWS FROM (pg_ls_dir('.'))",
                                    "TABLESAMPLE SYSTEM (1)",
                                    "(SELECT count(*) FROM customers)",
                                    "*",
                                    "NULL",
                                    "1e1000",
                                    "--",
                                    "/*",
                                    "$$",
                                    "'",
                                    "\"",
                                    "\\",
                                    "[1]",
                                    "(x).*",
                                    "GROUPING SETS (())",
                                    "repeat('x', 1000)",
                                    "\xC3\xA9",
                                    "\xFF"};

static void any_call(char *out, size_t size) {
  const struct builtin *builtin = NULL;
  while (!builtin) builtin = builtin_at(dice(2700));
  static const char *const arguments[] = {
      "", "1", "'a'", "id", "1, 2", "'a', 'b'", "id, 1", "now()", "NULL", "1, 2, 3", "name", "'a', true, false, ''", "c"};
  snprintf(out, size, "%s%s(%s)", dice(4) ? "" : "pg_catalog.", builtin->name, PICK(arguments));
}

static void expression(char *out, size_t size, int depth) {
  char a[400], b[400];
  static const char *const leaves[] = {
      "id", "name", "c.id", "c.name", "1", "'x'", "NULL", "true", "c", "now()", "profile", "tags[1]", "c.profile->>'plan'", "current_date"};
  static const char *const forms[] = {"(%s + %s)",
                                      "(%s = %s)",
                                      "(%s || %s)",
                                      "coalesce(%s, %s)",
                                      "CASE WHEN %s IS NULL THEN %s END",
                                      "ARRAY[%s, %s]",
                                      "(%s, %s)",
                                      "EXISTS (SELECT %s FROM orders o WHERE o.id = %s)",
                                      "greatest(%s, %s)",
                                      "(%s)::text || %s",
                                      "concat(%s, %s)"};
  switch (depth > 0 ? dice(8) : dice(2)) {
  case 0: any_call(out, size); break;
  case 1: snprintf(out, size, "%s", PICK(leaves)); break;
  case 2: snprintf(out, size, "%s", PICK(spice)); break;
  default: expression(a, sizeof a / 2, depth - 1); expression(b, sizeof b / 2, depth - 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, size, PICK(forms), a, b);
#pragma GCC diagnostic pop
  }
}

static void made(char out[TEXT]) {
  char what[600], where[600], from[600];
  expression(what, sizeof what, (int)dice(4));
  expression(where, sizeof where, (int)dice(3));
  any_call(from, sizeof from);
  bool calls = dice(5) == 0;
  snprintf(out, TEXT, "SELECT %s FROM customers c%s%s%s%s%s", what, calls ? ", " : "", calls ? from : "", dice(2) ? " WHERE " : "",
           dice(2) ? where : "true", dice(4) ? "" : " GROUP BY 1");
}

static void insert_at(char text[TEXT], size_t at, const char *piece) {
  size_t length = strlen(text), extra = strlen(piece);
  if (length + extra + 3 >= TEXT) return;
  memmove(text + at + extra + 2, text + at, length - at + 1);
  text[at] = ' ';
  memcpy(text + at + 1, piece, extra);
  text[at + 1 + extra] = ' ';
}

static void mutated(char out[TEXT]) {
  char piece[600];
  snprintf(out, TEXT, "%s", lines[dice((uint32_t)line_count)]);
  for (uint32_t i = 0, changes = 1 + dice(4); i < changes; i++) {
    size_t length = strlen(out), at = length ? dice((uint32_t)length) : 0, space = at;
    while (out[space] && out[space] != ' ' && out[space] != '(') space++;
    switch (dice(5)) {
    case 0: insert_at(out, space, PICK(spice)); break;
    case 1:
      expression(piece, sizeof piece, 1);
      insert_at(out, space, piece);
      break;
    case 2: memmove(out + at, out + space, strlen(out + space) + 1); break; /* a piece less */
    case 3:
      snprintf(piece, sizeof piece, "%.500s", lines[dice((uint32_t)line_count)]);
      insert_at(out, space, piece + dice((uint32_t)strlen(piece) + 1));
      break;
    default:
      if (length) out[at] = (char)(33 + dice(90));
      break;
    }
  }
}

/* ---- judges ---- */

struct judge {
  const char *bad;
};

static bool look(void *arg, PgQuery__Node *node) {
  struct judge *judge = arg;
  const char *schema, *name;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT:
  case PG_QUERY__NODE__NODE_LOCKING_CLAUSE: judge->bad = "a statement that writes or locks"; break;
  case PG_QUERY__NODE__NODE_FUNC_CALL: {
    sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
    const struct builtin *builtin = builtin_function("", name);
    if (builtin ? !guard_allows_builtin(builtin, NULL) : !builtin_type("", name)) judge->bad = name;
    break;
  }
  case PG_QUERY__NODE__NODE_RANGE_VAR:
    if (strncmp(node->range_var->schemaname, "pg_", 3) == 0 || strncmp(node->range_var->relname, "pg_", 3) == 0) judge->bad = "a catalog";
    break;
  default: break;
  }
  return true;
}

/* Run as nobody should: may write, as a superuser. Errors are fine; a transaction number is not. */
static void run_freely(PGconn *conn, const char *sql) {
  PQclear(PQexec(conn, "BEGIN; SET LOCAL statement_timeout = 300; SAVEPOINT s"));
  PGresult *none = PQexecParams(conn, "SELECT pg_current_xact_id_if_assigned()", 0, NULL, NULL, NULL, NULL, 0);
  bool clean = PQgetisnull(none, 0, 0);
  PQclear(none);
  PGresult *res = PQexecParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0);
  if (PQresultStatus(res) == PGRES_TUPLES_OK) {
    PGresult *xid = PQexecParams(conn, "SELECT pg_current_xact_id_if_assigned()", 0, NULL, NULL, NULL, NULL, 0);
    if (clean && !PQgetisnull(xid, 0, 0)) fail_msg("it writes: %s", sql);
    PQclear(xid);
  }
  PQclear(res);
  PQclear(PQexec(conn, "ROLLBACK"));
}

static void test_fuzz(void **state) {
  (void)state;
  int wanted = getenv("TESTS_LONG") ? LONG : SAMPLE, accepted = 0, parsed = 0, ran = 0;
  PGconn *conn = harness_connect(world.url);
  char *text = malloc(TEXT);
  assert_non_null(text);
  for (int i = 0; i < wanted; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    ERROR_AUTO err = {0};
    struct guarded *guarded;
    if (dice(2))
      made(text);
    else
      mutated(text);
    bool refused = guard_check(world.snapshot, text, strlen(text), NULL, arena, &guarded, &err);
    parsed += !refused || strcmp(err.code, "SYNTAX_INVALID") != 0;
    if (refused) continue;
    struct judge judge = {NULL};
    sql_walk_message(&guarded->select->base, look, &judge);
    if (judge.bad) fail_msg("accepted, with %s: %s", judge.bad, text);
    if (accepted++ % RUN_EACH == 0) {
      run_freely(conn, guarded->sql);
      ran++;
    }
  }
  print_message("%d statements, %d parsed, %d accepted, %d of them run\n", wanted, parsed, accepted, ran);
  assert_true(accepted > wanted / 50);
  free(text);
  PQfinish(conn);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fuzz)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
