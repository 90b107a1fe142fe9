/* The report of an execution: one line a statement, so that what is applied and what is not can be told at a glance. */
#include "cli/execution.h"

#include "cli/term.h"
#include "common/buf.h"
#include "common/json.h"

#define INDENT 3
#define COLUMN 14
#define LINES_MAX 12 /* of a difference between schemas: enough to see what it is about */
#define TEXT_MAX (64 * 1024)

static const struct {
  const char *status;
  enum term_style style;
} statuses[] = {{"applied", TERM_GREEN},   {"failed", TERM_RED},      {"unknown", TERM_MAGENTA},
                {"not_applied", TERM_DIM}, {"rolled_back", TERM_DIM}, {"skipped", TERM_DIM}};

static enum term_style style_of(const char *status) {
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
    if (strcmp(statuses[i].status, status) == 0) return statuses[i].style;
  return TERM_PLAIN;
}

static double number_at(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static void print_statement(const struct term *term, const json_t *statement) {
  const char *status = json_str(statement, "status", "?"), *note = json_str(statement, "note", NULL);
  long long line = json_int(statement, "line", 0);
  term_printf(term, TERM_PLAIN, "%*s%3lld  ", INDENT, "", json_int(statement, "index", 0) + 1);
  term_printf(term, style_of(status), "%-12s", status);
  term_printf(term, TERM_PLAIN, "%11.1f ms %11.1f ms %8lld  %s", number_at(statement, "duration_ms"), number_at(statement, "lock_wait_ms"),
              json_int(statement, "retries", 0), json_str(statement, "operation", ""));
  if (line > 0) term_printf(term, TERM_DIM, "  line %lld", line);
  term_printf(term, TERM_PLAIN, "\n");
  if (note) term_para(term, INDENT + 5, INDENT + 5, TERM_PLAIN, "", TERM_DIM, note);
}

static void print_statements(const struct term *term, const json_t *statements) {
  size_t index;
  json_t *statement;
  if (json_array_size(statements) == 0) return;
  term_printf(term, TERM_DIM, "%*s  #  %-12s%14s %14s %8s  statement\n", INDENT, "", "status", "time", "lock wait", "retries");
  json_array_foreach(statements, index, statement) print_statement(term, statement);
}

/* Nothing is claimed that the report does not say: one without `applied` is of a job that ended before it began. */
static void print_verdict(const struct term *term, const json_t *report) {
  const json_t *applied = json_object_get(report, "applied");
  bool dry_run = json_bool(report, "dry_run", false), single = strcmp(json_str(report, "transaction_mode", ""), "single") == 0;
  if (!json_is_boolean(applied)) return;
  if (json_is_true(applied))
    term_printf(term, TERM_GREEN, "Applied");
  else if (dry_run)
    term_printf(term, TERM_YELLOW, "Dry run: nothing was kept");
  else
    term_printf(term, TERM_RED, "%s", json_bool(report, "rolled_back", false) ? "Not applied: rolled back" : "Not applied as a whole");
  term_printf(term, TERM_PLAIN, ", %s\n", single ? "in one transaction" : "statement by statement");
}

/* --- why not --- */

static void print_blockers(const struct term *term, const json_t *blockers) {
  size_t index;
  json_t *blocker;
  json_array_foreach(blockers, index, blocker) {
    BUF_AUTO text;
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "pid %lld", json_int(blocker, "pid", 0));
    static const char *const names[] = {"usename", "application_name", "state"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (*json_str(blocker, names[i], "")) buf_printf(&text, ", %.64s", json_str(blocker, names[i], ""));
    const char *since = json_str(blocker, "transaction_start", json_str(blocker, "query_start", NULL));
    if (since) buf_printf(&text, ", since %.40s", since);
    if (*json_str(blocker, "query", "")) buf_printf(&text, ": %.300s", json_str(blocker, "query", ""));
    term_para(term, INDENT, COLUMN, TERM_DIM, index ? "" : "in the way", TERM_YELLOW, buf_str(&text));
  }
}

static void print_line(const struct term *term, const char *path, const char *text, int *left) {
  if ((*left)-- > 0) term_para(term, INDENT + 2, INDENT + 4, TERM_DIM, path, TERM_YELLOW, text);
}

static void print_difference(const struct term *term, const char *path, const json_t *value, int *left);

static void print_members(const struct term *term, const char *path, const json_t *object, int *left) {
  const char *key;
  json_t *item;
  char deeper[200];
  json_object_foreach((json_t *)(uintptr_t)object, key, item) {
    if (strcmp(key, "identical") == 0) continue;
    snprintf(deeper, sizeof deeper, "%s%s%s", path, *path ? "." : "", key);
    print_difference(term, deeper, item, left);
  }
}

/* What has a name is a line of its own; what changed in it follows under that name. */
static void print_named(const struct term *term, const char *path, const json_t *object, int *left) {
  char name[160];
  const char *schema = json_str(object, "schema", "");
  snprintf(name, sizeof name, "%s%s%s", schema, *schema ? "." : "", json_str(object, "name", ""));
  print_line(term, path, name, left);
  print_members(term, name, json_object_get(object, "changes"), left);
}

/* As schema_diff writes it, and readable whatever it is: "tables.added public.x", "public.t.columns.added c", "….comment null → "x"". */
static void print_difference(const struct term *term, const char *path, const json_t *value, int *left) {
  json_t *item, *before = json_object_get(value, "before"), *after = json_object_get(value, "after");
  size_t index;
  if (*left < 0 || !value || json_is_null(value)) return;
  if (json_is_array(value)) {
    json_array_foreach(value, index, item) print_difference(term, path, item, left);
  } else if (json_is_string(json_object_get(value, "name"))) {
    print_named(term, path, value, left);
  } else if (json_is_object(value) && !(before && after)) {
    print_members(term, path, value, left);
  } else {
    BUF_AUTO text;
    buf_init(&text, TEXT_MAX);
    if (json_is_string(value)) buf_puts(&text, json_string_value(value));
    if (!json_is_object(value) && !json_is_string(value)) buf_put_json(&text, value);
    if (before) buf_put_json(&text, before);
    if (before) buf_puts(&text, " → ");
    if (before) buf_put_json(&text, after);
    print_line(term, path, buf_ok(&text) ? buf_str(&text) : "differs", left);
  }
}

static void print_drift(const struct term *term, const json_t *diff) {
  int left = LINES_MAX;
  if (!diff || json_is_null(diff)) return;
  term_printf(term, TERM_PLAIN, "%*sthe schema now, against the one analysed:\n", INDENT, "");
  print_difference(term, "", diff, &left);
  if (left < 0) term_printf(term, TERM_DIM, "%*s… and more: --json has all of it\n", INDENT + 2, "");
}

static void print_warnings(const struct term *term, const json_t *warnings) {
  size_t index;
  json_t *warning;
  json_array_foreach(warnings, index, warning)
      term_para(term, INDENT, COLUMN, TERM_YELLOW, "warning", TERM_PLAIN, json_string_value(warning) ? json_string_value(warning) : "?");
}

void execution_print(FILE *out, const json_t *report) {
  struct term term;
  term_init(&term, out);
  print_verdict(&term, report);
  print_statements(&term, json_object_get(report, "statements"));
  print_blockers(&term, json_object_get(report, "blockers"));
  print_drift(&term, json_object_get(report, "diff"));
  print_warnings(&term, json_object_get(report, "warnings"));
}

const char *execution_hint(const char *code) {
  static const struct {
    const char *code, *hint;
  } hints[] = {
      {"TOKEN_INVALID", "a token is good for one job: `autodb analyze FILE --token-file PATH` gets a new one"},
      {"TOKEN_EXPIRED", "`autodb analyze FILE --token-file PATH` gets a new one"},
      {"TOKEN_SQL_MISMATCH", "the file is not what was analysed: analyze it as it is now, and look at that report"},
      {"TOKEN_CONNECTION_MISMATCH", "--connection names the one that was analysed"},
      {"SCHEMA_DRIFT", "somebody changed the schema since the analysis: analyze again, and look at what that says"},
      {"LOCK_TIMEOUT", "let them end, or end them; `autodb job ID --retry` goes on where it stopped"},
      {"DEADLOCK", "`autodb job ID --retry` goes on where it stopped"},
      {"EXECUTOR_BUSY", "when the other one has ended, `autodb job ID --retry`"},
      {"CONNECTION_LOST", "`autodb job ID --retry` looks at what was done and goes on there"},
      {"UNAVAILABLE", "`autodb job ID --retry` looks at what was done and goes on there"},
      {"STATEMENT_TIMEOUT", "analyze what is left, and execute it with a longer --statement-timeout"},
      {"STATEMENT_FAILED", "correct the data or the script, and analyze again: what is applied stays applied"},
  };
  for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
    if (strcmp(hints[i].code, code) == 0) return hints[i].hint;
  return NULL;
}
