/* test_history.c - years of migrations of real products, one by one: each is analysed on the schema its predecessors left, then applied to
 * the server for real. Every one gets a report; what applies in reality passes in the sandbox; what is called reversible leads back.
 *
 * The migrations are fetched from the package registry and kept in .autodb/cache; without a network the test is skipped. All of them, up
 * and down again, take many minutes: without TESTS_LONG one in so many is analysed (the rest is only applied). TESTS_HISTORY=logto leaves
 * the other products out. */
#include "tests/support/harness.h"

#include <libpq-fe.h>
#include <sys/stat.h>

#include "common/json.h"

#define EVERY 40

static const struct product {
  const char *name, *version; /* as tests/history/fetch pins it */
  size_t least;               /* migrations that must have been recorded */
} products[] = {{"unleash", "5.6.0", 200}, {"logto", "1.43.0", 190}, {"flowise", "3.1.4", 45}};
#define PRODUCTS (sizeof products / sizeof *products)

struct history {
  struct harness *harness;
  const struct product *product;
  char url[HARNESS_URL], connection[64];
  json_t *migrations[PRODUCTS];
  PGconn *server;
  int analysed, reports, applied, passed, refused, verified, unverified, irreversible, nothing, contradicted, untried;
};

/* NULL: it can't be had, and why was printed. */
static json_t *recorded(const struct product *product) {
  char path[500], command[1200];
  struct stat there;
  snprintf(path, sizeof path, AUTODB_SOURCE_DIR "/.autodb/cache/history-%s-%s.json", product->name, product->version);
  snprintf(command, sizeof command, AUTODB_SOURCE_DIR "/tests/history/fetch %s %s", product->name, path);
  if (stat(path, &there) != 0 && system(command) != 0) return NULL;
  return json_load_file(path, 0, NULL);
}

static int setup(void **state) {
  static struct history history;
  const char *only = getenv("TESTS_HISTORY");
  bool some = false;
  for (size_t i = 0; i < PRODUCTS; i++) {
    if (!only || strcmp(only, products[i].name) == 0) history.migrations[i] = recorded(&products[i]);
    some |= history.migrations[i] != NULL;
  }
  if (!some) exit(77); /* skipped */
  harness_stack(history.harness = harness_new(), NULL, NULL);
  *state = &history;
  return 0;
}

static int teardown(void **state) {
  struct history *history = *state;
  for (size_t i = 0; i < PRODUCTS; i++) json_decref(history->migrations[i]);
  void *harness = history->harness;
  return harness_teardown(&harness);
}

/* A database of its own, and the connection to it. */
static void begin(struct history *history, const struct product *product) {
  struct harness *h = history->harness;
  REPLY_AUTO reply = {0};
  harness_database(&h->pg[0], product->name, history->url);
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", product->name, "db_type", "postgresql_local", "connection_string", history->url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(history->connection, sizeof history->connection, "%s", harness_text(reply.json, "data.id"));
  history->product = product;
  history->server = PQconnectdb(history->url);
  assert_int_equal(PQstatus(history->server), CONNECTION_OK);
  history->analysed = history->reports = history->applied = history->passed = history->refused = history->contradicted = 0;
  history->verified = history->unverified = history->irreversible = history->nothing = history->untried = 0;
}

/* As a migration tool does it: all of the file or nothing. */
static bool apply(struct history *history, const char *sql, char *ret_error, size_t size) {
  PGresult *result = PQexec(history->server, sql);
  ExecStatusType kind = PQresultStatus(result);
  bool good = kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK || kind == PGRES_EMPTY_QUERY;
  snprintf(ret_error, size, "%s", good ? "" : PQresultErrorMessage(result));
  PQclear(result);
  if (PQtransactionStatus(history->server) != PQTRANS_IDLE) PQclear(PQexec(history->server, "ROLLBACK"));
  PQclear(PQexec(history->server, "RESET ALL"));
  return good;
}

static json_t *job(struct history *history, const char *what, json_t *take_body) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/%s", history->connection, what);
  return harness_job(history->harness, path, take_body, 120000);
}

static void count_contradictions(struct history *history, json_t *report, const char *name) {
  size_t index;
  json_t *statement;
  json_array_foreach(harness_at(report, "result.statements"), index, statement) {
    if (strcmp(harness_text(statement, "agreement"), "contradicted") != 0) continue;
    history->contradicted++;
    print_message("contradicted in %s: %.300s\n", name, harness_text(statement, "sql"));
  }
}

static bool has_untried(json_t *report) {
  size_t index;
  json_t *step;
  json_array_foreach(harness_at(report, "result.sandbox_result.statements"), index,
                     step) if (json_bool(step, "data_dependent", false)) return true;
  return false;
}

static void count_rollback(struct history *history, json_t *report, const char *name) {
  json_t *verified = harness_at(report, "result.sandbox_result.rollback_verified");
  bool irreversible = false;
  size_t index;
  json_t *reason;
  json_array_foreach(harness_at(report, "result.rollback_plan.irreversible_reasons"), index, reason) irreversible |=
      !strstr(json_string_value(reason), "tried in the sandbox");
  history->irreversible += irreversible;
  history->nothing += !irreversible && json_is_null(verified);
  history->verified += !irreversible && json_is_true(verified);
  if (irreversible || !json_is_false(verified)) return;
  history->unverified++;
  char *diff = json_dumps(harness_at(report, "result.sandbox_result.rollback_diff"), JSON_INDENT(1));
  print_message("not verified: %s\n%.1500s\n%.3000s\n", name, diff, harness_text(report, "result.rollback_plan.combined_script"));
  free(diff);
}

static void one(struct history *history, const char *name, const char *sql, bool analyse) {
  char error[500];
  json_t *report = NULL;
  if (analyse) {
    json_decref(job(history, "introspect", json_object()));
    report = job(history, "migrations/analyze", json_pack("{s:s}", "sql", sql));
    history->analysed++;
    history->reports += strcmp(harness_text(report, "status"), "succeeded") == 0;
    if (strcmp(harness_text(report, "status"), "succeeded") != 0)
      print_message("no report: %s: %s\n", name, harness_text(report, "error.message"));
  }
  bool good = apply(history, sql, error, sizeof error);
  if (!good) print_message("did not apply: %s: %s\n", name, error);
  if (!analyse) return;
  bool passed = json_is_true(harness_at(report, "result.sandbox_result.passed"));
  history->applied += good;
  history->passed += good && passed;
  if (good && !passed) {
    history->refused++;
    print_message("applied, but not in the sandbox: %s: %s\n", name, harness_text(report, "result.sandbox_result.migration_error.message"));
  }
  if (!good && passed) print_message("passed in the sandbox, but did not apply: %s: %s\n", name, error);
  history->untried += good && passed && has_untried(report);
  if (passed) count_contradictions(history, report, name);
  if (passed) count_rollback(history, report, name);
  json_decref(report);
}

static void there_and_back(struct history *history, size_t product) {
  bool all = getenv("TESTS_LONG") != NULL;
  json_t *migrations = history->migrations[product];
  size_t count = json_array_size(migrations);
  if (!migrations) skip();
  assert_true(count >= products[product].least);
  begin(history, &products[product]);
  for (size_t i = 0; i < 2 * count; i++) {
    bool up = i < count;
    json_t *migration = json_array_get(migrations, up ? i : 2 * count - 1 - i);
    const char *sql = json_str(migration, up ? "up" : "down", "");
    char name[300];
    snprintf(name, sizeof name, "%s (%s)", json_str(migration, "name", "?"), up ? "up" : "down");
    if (*sql) one(history, name, sql, all || i % EVERY == 0);
  }
  PQfinish(history->server);
  print_message(
      "%s: %d analysed, %d reports; %d applied, %d of them passed in the sandbox (%d with statements that depend on rows), %d did "
      "not; rollback: %d verified, %d not, %d irreversible, %d nothing to undo; %d statements contradicted\n",
      products[product].name, history->analysed, history->reports, history->applied, history->passed, history->untried, history->refused,
      history->verified, history->unverified, history->irreversible, history->nothing, history->contradicted);
  assert_int_equal(history->reports, history->analysed);
  assert_int_equal(history->unverified, 0);
}

static void test_unleash(void **state) { there_and_back(*state, 0); }
static void test_logto(void **state) { there_and_back(*state, 1); }
static void test_flowise(void **state) { there_and_back(*state, 2); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unleash), cmocka_unit_test(test_logto), cmocka_unit_test(test_flowise)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
