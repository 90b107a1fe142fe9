/* test_history.c - a real product's years of migrations, one by one: each is analysed on the schema its predecessors left, then applied to
 * the server for real. Every one gets a report; what applies in reality passes in the sandbox; what is called reversible leads back.
 *
 * The migrations are fetched from the package registry and kept in .autodb/cache; without a network the test is skipped. All of them, up
 * and down again, take many minutes: without TESTS_LONG every sixteenth is analysed (the rest is only applied). */
#include "tests/support/harness.h"

#include <libpq-fe.h>
#include <sys/stat.h>

#include "common/json.h"

#define EVERY 16

struct history {
  struct harness *harness;
  char url[HARNESS_URL], connection[64];
  json_t *migrations;
  PGconn *server;
  int analysed, reports, applied, passed, refused, verified, unverified, irreversible, nothing, contradicted;
};

/* NULL: it can't be had, and why was printed. */
static json_t *recorded(void) {
  static const char path[] = AUTODB_SOURCE_DIR "/.autodb/cache/history-unleash-5.6.0.json";
  struct stat there;
  if (stat(path, &there) != 0) {
    if (system(AUTODB_SOURCE_DIR "/tests/history/fetch unleash " AUTODB_SOURCE_DIR "/.autodb/cache/history-unleash-5.6.0.json") != 0)
      return NULL;
  }
  return json_load_file(path, 0, NULL);
}

static int setup(void **state) {
  static struct history history;
  history.migrations = recorded();
  if (!history.migrations) exit(77); /* skipped */
  struct harness *h = history.harness = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "history", history.url);
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "history", "db_type", "postgresql_local", "connection_string", history.url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(history.connection, sizeof history.connection, "%s", harness_text(reply.json, "data.id"));
  history.server = PQconnectdb(history.url);
  assert_int_equal(PQstatus(history.server), CONNECTION_OK);
  *state = &history;
  return 0;
}

static int teardown(void **state) {
  struct history *history = *state;
  PQfinish(history->server);
  json_decref(history->migrations);
  void *harness = history->harness;
  return harness_teardown(&harness);
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

static void count_rollback(struct history *history, json_t *report, const char *name) {
  json_t *verified = harness_at(report, "result.sandbox_result.rollback_verified");
  const char *reason = harness_text(report, "result.rollback_plan.irreversible_reasons.0");
  bool irreversible = *reason && !strstr(reason, "tried in the sandbox");
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
  if (passed) count_contradictions(history, report, name);
  if (passed) count_rollback(history, report, name);
  json_decref(report);
}

static void test_there_and_back(void **state) {
  struct history *history = *state;
  bool all = getenv("TESTS_LONG") != NULL;
  size_t count = json_array_size(history->migrations);
  assert_true(count > 100);
  for (size_t i = 0; i < 2 * count; i++) {
    bool up = i < count;
    json_t *migration = json_array_get(history->migrations, up ? i : 2 * count - 1 - i);
    const char *sql = json_str(migration, up ? "up" : "down", "");
    char name[300];
    snprintf(name, sizeof name, "%s (%s)", json_str(migration, "name", "?"), up ? "up" : "down");
    if (*sql) one(history, name, sql, all || i % EVERY == 0);
  }
  print_message("%d analysed, %d reports; %d applied, %d of them passed in the sandbox, %d did not; rollback: %d verified, %d not, %d "
                "irreversible, %d nothing to undo; %d statements contradicted\n",
                history->analysed, history->reports, history->applied, history->passed, history->refused, history->verified,
                history->unverified, history->irreversible, history->nothing, history->contradicted);
  assert_int_equal(history->reports, history->analysed);
  assert_int_equal(history->unverified, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
