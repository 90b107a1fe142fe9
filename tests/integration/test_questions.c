/* Questions over databases of many styles, answered by the built-in parser and judged by result: tests/fixtures/questions/NAME.sql is a
 * database, NAME.txt its questions, a line each: category | question | SQL that is right, alternatives divided by ;; ("-": no answer is
 * right). An answer may show more columns than the right one, not other rows. AUTODB_QUESTIONS=all prints every one, =wrong the wrong ones,
 * =silent those without an answer; AUTODB_QUESTIONS_ONLY=NAME takes one database. */
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pg.h"
#include "tests/support/harness.h"
#include "worker/schema/introspect.h"
#include "worker/schema/snapshot.h"
#include "worker/text2sql/values_live.h"

#define COLUMNS 40
#define LEAST_ANSWERED 0.50
#define LEAST_RIGHT 0.85

static struct harness_pg *pg;
static const char *verbose, *only;

static int group_setup(void **state) {
  struct harness *h = harness_new();
  *state = h;
  pg = harness_postgres(h, 17);
  verbose = getenv("AUTODB_QUESTIONS") ? getenv("AUTODB_QUESTIONS") : "";
  only = getenv("AUTODB_QUESTIONS_ONLY") ? getenv("AUTODB_QUESTIONS_ONLY") : "";
  return 0;
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- totals ---- */

struct total {
  char name[64];
  int asked, answered, right, silence_asked, silence_right;
};
static struct total totals[128];
static size_t total_count;

static struct total *total_of(const char *name) {
  for (size_t i = 0; i < total_count; i++)
    if (strcmp(totals[i].name, name) == 0) return &totals[i];
  assert_true(total_count < sizeof totals / sizeof *totals);
  snprintf(totals[total_count].name, sizeof totals->name, "%s", name);
  return &totals[total_count++];
}

static void print_total(const struct total *t) {
  printf("%-28s %4d asked %4d answered (%3.0f %%) %4d right (%3.0f %% of answered)", t->name, t->asked, t->answered,
         t->asked ? 100.0 * t->answered / t->asked : 0, t->right, t->answered ? 100.0 * t->right / t->answered : 0);
  if (t->silence_asked) printf("   rightly silent %d of %d", t->silence_right, t->silence_asked);
  printf("\n");
}

/* ---- comparing results ---- */

/* Numbers to 6 digits, midnights to dates: what two right statements may print differently. */
static void canonical(const char *text, char out[128]) {
  char *end;
  double number = strtod(text, &end);
  if (*text && !*end) {
    snprintf(out, 128, "%.6g", number);
    return;
  }
  snprintf(out, 128, "%s", text);
  char *midnight = strstr(out, " 00:00:00");
  if (midnight) *midnight = '\0';
  if (strcmp(out, "t") == 0) snprintf(out, 128, "true");
}

static int compare_rows(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char **rows_of(PGresult *res, const int *columns, int count, bool sort) {
  int n = PQntuples(res);
  char **rows = calloc((size_t)n + 1, sizeof *rows);
  for (int i = 0; i < n; i++) {
    struct buf row;
    buf_init(&row, 1 << 20);
    for (int c = 0; c < count; c++) {
      char cell[128];
      canonical(PQgetvalue(res, i, columns[c]), cell);
      buf_printf(&row, "%s\x1f", PQgetisnull(res, i, columns[c]) ? "\x01" : cell);
    }
    rows[i] = buf_take(&row);
  }
  if (sort) qsort(rows, (size_t)n, sizeof *rows, compare_rows);
  return rows;
}

static bool same_rows(PGresult *a, const int *columns_a, PGresult *b, const int *columns_b, int count, bool ordered) {
  char **x = rows_of(a, columns_a, count, !ordered), **y = rows_of(b, columns_b, count, !ordered);
  bool same = PQntuples(a) == PQntuples(b);
  for (int i = 0; i < PQntuples(a); i++) {
    same = same && strcmp(x[i], y[i]) == 0;
    free(x[i]);
  }
  for (int i = 0; i < PQntuples(b); i++) free(y[i]);
  free(x);
  free(y);
  return same;
}

/* Whether the gold columns can be found among ours so that the rows are the same. */
static bool match_columns(PGresult *gold, PGresult *ours, int done, int *columns_gold, int *columns_ours, bool ordered) {
  if (done == PQnfields(gold)) return same_rows(gold, columns_gold, ours, columns_ours, done, ordered);
  columns_gold[done] = done;
  for (int c = 0; c < PQnfields(ours); c++) {
    bool used = false;
    for (int i = 0; i < done; i++) used |= columns_ours[i] == c;
    columns_ours[done] = c;
    int one_gold = done, one_ours = c;
    if (!used && same_rows(gold, &one_gold, ours, &one_ours, 1, false) &&
        match_columns(gold, ours, done + 1, columns_gold, columns_ours, ordered))
      return true;
  }
  return false;
}

static bool right(PGresult *gold, PGresult *ours, bool ordered) {
  int a[COLUMNS], b[COLUMNS];
  if (PQntuples(gold) != PQntuples(ours) || PQnfields(gold) > COLUMNS || PQnfields(ours) > COLUMNS) return false;
  return match_columns(gold, ours, 0, a, b, ordered);
}

/* ---- one database ---- */

struct base {
  char name[64];
  PGconn *conn;
  struct arena *arena;
  struct snapshot *snapshot;
  struct value_source values;
  struct values_live live;
  double slowest;
};

static enum status ask(void *session, const char *sql, int nparams, const char *const *params, PGresult **ret_res, struct error *err) {
  PGresult *res = PQexecParams(session, sql, nparams, NULL, params, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) {
    error_set(err, ERR_INTERNAL, "%s", PQerrorMessage(session));
    fail_msg("%s", err->message);
  }
  *ret_res = res;
  return OK;
}

static struct base *base_open(const char *name) {
  struct base *base = calloc(1, sizeof *base);
  char url[HARNESS_URL], path[300];
  snprintf(base->name, sizeof base->name, "%s", name);
  snprintf(path, sizeof path, "tests/fixtures/questions/%s.sql", name);
  harness_database(pg, name, url);
  harness_sql_file(url, path);
  harness_sql(url, "ANALYZE");
  base->conn = harness_connect(url);
  base->arena = arena_new((size_t)256 << 20);
  struct job job = {.id = "x", .arena = base->arena};
  struct introspection taken;
  ERROR_AUTO err = {0};
  if (introspect_read(&job, base->conn, "[]", NULL, false, &taken, &err) != OK) fail_msg("%s", err.message);
  assert_int_equal(snapshot_load(taken.json, base->arena, &base->snapshot, &err), OK);
  PQclear(PQexec(base->conn, "SET default_transaction_read_only = on; SET statement_timeout = '5s'; SET timezone = 'UTC'"));
  base->live = (struct values_live){ask, base->conn};
  base->values = values_live_source(&base->live);
  return base;
}

static void base_close(struct base *base) {
  PQfinish(base->conn);
  arena_free(base->arena);
  free(base);
}

/* Definitions as a glossary of the product holds them. */
static const struct generator_term terms[] = {
    {.name = "gross margin", .expression = "sum(order_items.quantity * (order_items.unit_price - products.cost))", .source = "glossary.md"},
    {.name = "big spender", .expression = "customers.credit_limit > 5000", .source = "glossary.md"},
    {.name = "backlog", .stands_for = "orders", .source = "glossary.md"},
};

static void show(const char *what, const char *category, const char *question, const struct generator_answer *answer) {
  printf("%s [%s] %s\n    %s\n", what, category, question, answer->reasoning);
  if (answer->sql) printf("    %s\n", answer->sql);
}

/* 1 right, 0 wrong, -1 silent. */
static int judge(struct base *base, const char *category, const char *question, char *golds, struct arena *arena) {
  bool shop = strcmp(base->name, "shop") == 0;
  struct generator_request request = {
      .question = question, .snapshot = base->snapshot, .values = &base->values, .terms = terms, .term_count = shop ? 3 : 0};
  struct generator_answer answer;
  ERROR_AUTO err = {0};
  double start = now_ms();
  assert_int_equal(generator_builtin.generate(&request, arena, &answer, &err), OK);
  double ms = now_ms() - start;
  if (ms > base->slowest) base->slowest = ms;
  assert_non_null(answer.reasoning);
  assert_true((answer.sql != NULL) != (answer.clarify != NULL));
  if (!answer.sql) {
    if (strcmp(verbose, "all") == 0 || (strcmp(verbose, "silent") == 0 && *golds != '-')) show("silent", category, question, &answer);
    return -1;
  }
  PGRESULT_AUTO ours = PQexec(base->conn, answer.sql);
  if (PQresultStatus(ours) != PGRES_TUPLES_OK) fail_msg("%s: %s\n%s", question, answer.sql, PQerrorMessage(base->conn));
  bool good = false;
  for (char *gold = golds; gold && *golds != '-' && !good;) {
    char *next = strstr(gold, ";;");
    if (next) *next = '\0';
    PGRESULT_AUTO theirs = PQexec(base->conn, gold);
    if (PQresultStatus(theirs) != PGRES_TUPLES_OK) fail_msg("%s: gold %s\n%s", question, gold, PQerrorMessage(base->conn));
    good = right(theirs, ours, strncmp(category, "order", 5) == 0);
    gold = next ? next + 2 : NULL;
  }
  if (strcmp(verbose, "all") == 0 || (!good && *verbose)) show(good ? "right" : "WRONG", category, question, &answer);
  return good;
}

static void count(struct total *total, int verdict, bool silence) {
  if (silence) {
    total->silence_asked++;
    total->silence_right += verdict < 0;
    if (verdict >= 0) total->answered++;
    return;
  }
  total->asked++;
  total->answered += verdict >= 0;
  total->right += verdict == 1;
}

static char *trim(char *text) {
  while (*text == ' ') text++;
  size_t len = strlen(text);
  while (len && (text[len - 1] == ' ' || text[len - 1] == '\n')) text[--len] = '\0';
  return text;
}

static void ask_all(const char *name) {
  char path[300], line[4096];
  struct base *base = base_open(name);
  snprintf(path, sizeof path, "%s/tests/fixtures/questions/%s.txt", AUTODB_SOURCE_DIR, name);
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  while (fgets(line, sizeof line, file)) {
    char *category = trim(line), *question = strchr(category, '|'), *gold = question ? strchr(question + 1, '|') : NULL;
    if (*category == '#' || !gold) continue;
    *question++ = *gold++ = '\0';
    category = trim(category), question = trim(question), gold = trim(gold);
    bool silence = *gold == '-';
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    int verdict = judge(base, category, question, gold, arena);
    char label[80];
    snprintf(label, sizeof label, "  %s", category);
    bool held = strncmp(name, "held", 4) == 0;
    count(total_of(label), verdict, silence);
    count(total_of(name), verdict, silence);
    count(total_of(held ? "HELD OUT" : "ALL OTHERS"), verdict, silence);
  }
  fclose(file);
  printf("%-28s slowest question, values looked up: %.1f ms\n", name, base->slowest);
  base_close(base);
}

#define STRANGE_STEP 13 /* of the questions of others; all of them in a long run */

/* Questions meant for other databases: whatever is made of them, it is a statement that runs. */
static size_t ask_strange(struct base *base, const char *path, size_t at, size_t step) {
  char line[4096];
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  for (; fgets(line, sizeof line, file); at++) {
    char *question = strchr(line, '|'), *gold = question ? strchr(question + 1, '|') : NULL;
    if (*line == '#' || !gold || at % step) continue;
    *gold = '\0';
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    char none[] = "-";
    judge(base, "strange", trim(question + 1), none, arena);
  }
  fclose(file);
  return at;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void questions(void **state) {
  (void)state;
  struct dirent **entries;
  int n = scandir(AUTODB_SOURCE_DIR "/tests/fixtures/questions", &entries, NULL, by_name);
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    char *dot = strstr(entries[i]->d_name, ".sql");
    if (dot) {
      *dot = '\0';
      if (!*only || strcmp(only, entries[i]->d_name) == 0) ask_all(entries[i]->d_name);
    }
    free(entries[i]);
  }
  free(entries);
  for (size_t i = 0; i < total_count; i++) print_total(&totals[i]);
  if (*only) return;
  for (size_t i = 0; i < total_count; i++) {
    if (strcmp(totals[i].name, "HELD OUT") != 0 && strcmp(totals[i].name, "ALL OTHERS") != 0) continue;
    assert_true(totals[i].answered >= LEAST_ANSWERED * totals[i].asked);
    assert_true(totals[i].right >= LEAST_RIGHT * totals[i].answered);
  }
}

static void strange_questions(void **state) {
  (void)state;
  struct dirent **entries;
  size_t step = getenv("TESTS_LONG") ? 1 : STRANGE_STEP, at = 0;
  int n = *only || *verbose ? 0 : scandir(AUTODB_SOURCE_DIR "/tests/fixtures/questions", &entries, NULL, by_name);
  for (int i = 0; i < n; i++) {
    char *dot = strstr(entries[i]->d_name, ".sql");
    if (!dot) continue;
    *dot = '\0';
    struct base *base = base_open(entries[i]->d_name);
    for (int k = 0; k < n; k++) {
      char path[600];
      snprintf(path, sizeof path, "%s/tests/fixtures/questions/%s", AUTODB_SOURCE_DIR, entries[k]->d_name);
      if (k != i && strstr(path, ".txt")) at = ask_strange(base, path, at, step);
    }
    base_close(base);
    *dot = '.';
  }
  for (int i = 0; i < n; i++) free(entries[i]);
  if (n) free(entries);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(questions), cmocka_unit_test(strange_questions)};
  return cmocka_run_group_tests(tests, group_setup, harness_teardown);
}
