/* The schema written down without pg_dump: restored into an empty database it must be, for pg_dump, the schema it was taken from; and
 * where no pg_dump is new enough, for the writer itself. */
#include "tests/support/harness.h"

#include "common/arena.h"
#include "common/ddl.h"
#include "common/pg.h"
#include "worker/schema/dump.h"

static const int majors[] = {17, 18, 16, 15, 14, 13};
enum { MAJORS = sizeof majors / sizeof *majors };

static struct harness *h;
static struct harness_pg *servers[MAJORS];
static struct arena *arena;

static int setup(void **state) {
  *state = h = harness_new();
  for (int i = 0; i < MAJORS; i++)
    if (i == 0 || harness_has_postgres(majors[i])) servers[i] = harness_postgres(h, majors[i]);
  arena = arena_new(1024UL << 20);
  return 0;
}

static int teardown(void **state) {
  arena_free(arena);
  return harness_teardown(state);
}

static const char *written(const char *url, const char *namespaces) {
  ERROR_AUTO err = {0};
  const char *sql = NULL;
  PGconn *conn = harness_connect(url);
  assert_int_equal(pg_script(conn, "SET search_path = pg_catalog", &err), OK);
  if (ddl_script(conn, namespaces, arena, &sql, &err)) fail_msg("%s: %s", url, err.message);
  PQfinish(conn);
  return sql;
}

/* What pg_dump says without its comments, psql's lines and blank ones. */
static char *dumped(const char *url) {
  char *text = NULL, bin[] = "/usr/lib/postgresql/17/bin/pg_dump";
  int status =
      harness_run(h, bin, (const char *[]){bin, "--schema-only", "--no-security-labels", "--no-tablespaces", url, NULL}, NULL, &text);
  if (status) fail_msg("pg_dump: %s", text);
  text[dump_redact(text, strlen(text))] = '\0'; /* user mappings are left out on purpose */
  char *out = text;
  for (char *line = text, *next; *line; line = next) {
    size_t len = strcspn(line, "\n");
    next = line + len + (line[len] == '\n');
    if (len == 0 || line[0] == '\\' || strncmp(line, "--", 2) == 0) continue;
    memmove(out, line, (size_t)(next - line));
    out += next - line;
  }
  *out = '\0';
  return text;
}

static void same_text(const char *what, const char *want, const char *got) {
  if (strcmp(want, got) == 0) return;
  size_t at = 0;
  while (want[at] == got[at]) at++;
  while (at > 0 && want[at - 1] != '\n') at--;
  fail_msg("%s: wanted\n%.600s\n--- got\n%.600s", what, want + at, got + at);
}

/* A database with the fixture, and one that what was written of it is restored into. */
static void restored(struct harness_pg *pg, const char *file, char original[HARNESS_URL], char copy[HARNESS_URL]) {
  harness_database(pg, "original", original);
  harness_database(pg, "copy", copy);
  harness_sql_file(original, file);
  const char *script = written(original, NULL);
  PGconn *conn = harness_connect(copy);
  PGRESULT_AUTO res = PQexec(conn, script);
  if (PQresultStatus(res) == PGRES_FATAL_ERROR) {
    const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
    fail_msg("PostgreSQL %d, %s: %s near %.400s", pg->major, file, PQresultErrorMessage(res),
             position ? script + strtol(position, NULL, 10) - 1 : "?");
  }
  PQfinish(conn);
}

static const char *const fixtures[] = {"tests/fixtures/odd_schema.sql", "tests/fixtures/ddl_fixture.sql", "deploy/demo/shop.sql",
                                       "tests/fixtures/ddl_objects.sql"};

static void pg_dump_sees_no_difference(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
    char original[HARNESS_URL], copy[HARNESS_URL];
    restored(servers[0], fixtures[i], original, copy);
    char *want = dumped(original), *got = dumped(copy);
    same_text(fixtures[i], want, got);
    free(want);
    free(got);
  }
}

/* On every major: what is written of the copy is what was written of the original. */
static void it_round_trips(void **state) {
  (void)state;
  for (int m = 0; m < MAJORS; m++)
    for (size_t i = 0; servers[m] && i < sizeof fixtures / sizeof *fixtures; i++) {
      if (majors[m] < 14 && strstr(fixtures[i], "shop")) continue; /* its functions have SQL bodies */
      char original[HARNESS_URL], copy[HARNESS_URL];
      restored(servers[m], fixtures[i], original, copy);
      same_text(fixtures[i], written(original, NULL), written(copy, NULL));
    }
}

static void what_18_brought_round_trips(void **state) {
  (void)state;
  char original[HARNESS_URL], copy[HARNESS_URL];
  if (!servers[1]) skip();
  restored(servers[1], "tests/fixtures/ddl_18.sql", original, copy);
  const char *text = written(original, NULL);
  static const char *const parts[] = {"(n * 2)",          "NOT ENFORCED",  "late_v NOT NULL v NOT VALID",
                                      "WITHOUT OVERLAPS", "PERIOD during", "CONSTRAINT named NOT NULL"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (!strstr(text, parts[i])) fail_msg("no %s in %s", parts[i], text);
  same_text("18", text, written(copy, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_18_brought_round_trips),
      cmocka_unit_test(pg_dump_sees_no_difference),
      cmocka_unit_test(it_round_trips),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
