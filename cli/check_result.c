/* check_result.c - what became of the files: what is ignored, what counts, what fails the check. */
#include "cli/check.h"
#include "common/json.h"

static const char *const severities[] = {"info", "warning", "error"};

static enum severity severity_of(const json_t *finding) {
  const char *text = json_str(finding, "severity", "error");
  for (int i = 0; i < 3; i++)
    if (strcmp(text, severities[i]) == 0) return (enum severity)i;
  return SEVERITY_ERROR;
}

const char *check_result_sandbox(const json_t *report, const char **ret_message) {
  const json_t *sandbox = json_object_get(report, "sandbox_result"), *error = json_object_get(sandbox, "migration_error");
  if (ret_message) *ret_message = json_str(error, "message", NULL);
  if (!json_is_object(sandbox)) return "skipped";
  if (json_bool(sandbox, "passed", false)) return "passed";
  const char *code = json_str(error, "code", "");
  return strcmp(code, "SANDBOX_UNAVAILABLE") == 0 ? "unavailable" : strcmp(code, "SYNTAX_ERROR") == 0 ? "unparsed" : "failed";
}

/* --- places --- */

/* Where the statement ends, walking its text from where it begins. */
static void set_region(struct check_note *note, const json_t *statement) {
  const json_t *at = json_object_get(statement, "location");
  note->sql = json_str(statement, "sql", NULL);
  if (!note->line) note->line = (int)json_int(at, "line", 0);
  if (note->line != (int)json_int(at, "line", 0) || !note->sql) return; /* in the midst of it */
  note->column = (int)json_int(at, "column", 1);
  note->end_line = note->line;
  note->end_column = note->column;
  for (const char *c = note->sql; *c; c++) {
    if (*c == '\n') {
      note->end_line++;
      note->end_column = 1;
    } else if (((unsigned char)*c & 0xC0) != 0x80) {
      note->end_column++;
    }
  }
}

/* --- notes --- */

typedef void (*tell_fn)(void *arg, const struct check_note *note);

static void tell_finding(const struct check_file *file, const json_t *statement, const json_t *finding, tell_fn tell, void *arg) {
  struct check_note note = {.file = file,
                            .rule = json_str(finding, "code", "?"),
                            .level = severity_of(finding),
                            .message = json_str(finding, "message", ""),
                            .why = json_str(finding, "why", NULL),
                            .advice = json_str(finding, "safe_alternative", NULL),
                            .line = (int)json_int(finding, "line", 0)};
  if (json_bool(finding, "suppressed", false)) note.suppressed = json_str(finding, "suppress_reason", "");
  set_region(&note, statement);
  tell(arg, &note);
}

static void tell_failure(const struct check_file *file, tell_fn tell, void *arg) {
  const char *message = NULL, *outcome = check_result_sandbox(file->result, &message);
  const json_t *error = json_object_get(json_object_get(file->result, "sandbox_result"), "migration_error");
  const char *sqlstate = json_str(error, "sqlstate", "");
  bool syntax = strcmp(outcome, "unparsed") == 0;
  if (!syntax && strcmp(outcome, "failed") != 0) return;
  char text[1024], state[32] = "";
  if (*sqlstate) snprintf(state, sizeof state, " (SQLSTATE %.5s)", sqlstate);
  snprintf(text, sizeof text, "%s%s: %.800s", syntax ? "this can't be parsed" : "the migration fails in a clone of the schema", state,
           message ? message : "a validation failed");
  struct check_note note = {.file = file,
                            .rule = syntax ? "syntax-error" : "migration-fails",
                            .level = SEVERITY_ERROR,
                            .message = text,
                            .line = (int)json_int(error, "line", 1),
                            .column = (int)json_int(error, "column", 0)};
  tell(arg, &note);
}

static void tell_file(const struct check_file *file, tell_fn tell, void *arg) {
  size_t index, number;
  json_t *statement, *finding;
  json_array_foreach(json_object_get(file->result, "statements"), index, statement)
      json_array_foreach(json_object_get(statement, "findings"), number, finding) tell_finding(file, statement, finding, tell, arg);
  if (file->result) tell_failure(file, tell, arg);
  if (file->outcome == CHECK_REPORTED) return;
  tell(arg, &(struct check_note){.file = file,
                                 .rule = "not-checked",
                                 .level = SEVERITY_ERROR,
                                 .message = file->message ? file->message : "it was not checked",
                                 .line = 1});
}

void check_result_notes(const struct check_list *list, void (*tell)(void *arg, const struct check_note *note), void *arg) {
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].reported) tell_file(&list->items[i], tell, arg);
}

/* --- the sum --- */

struct summing {
  const struct check_options *options;
  struct check_summary *sum;
};

static void count_note(void *arg, const struct check_note *note) {
  struct summing *summing = arg;
  struct check_summary *sum = summing->sum;
  if (note->suppressed) {
    sum->suppressed++;
    return;
  }
  int *const counters[] = {&sum->infos, &sum->warnings, &sum->errors};
  ++*counters[note->level];
  if (summing->options->fail_on != CHECK_NEVER && (int)note->level >= summing->options->fail_on) sum->over = true;
}

static void ignore_findings(const json_t *report, const struct cli_list *ignored) {
  size_t index, number;
  json_t *statement, *finding;
  json_array_foreach(json_object_get(report, "statements"), index, statement)
      json_array_foreach(json_object_get(statement, "findings"), number, finding) for (int i = 0; i < ignored->count; i++) {
    if (strcmp(json_str(finding, "code", ""), ignored->items[i]) != 0 || json_bool(finding, "suppressed", false)) continue;
    json_object_set_new(finding, "suppressed", json_true());
    json_set_str(finding, "suppress_reason", "--ignore");
  }
}

void check_result_summarise(struct check_list *list, const struct check_options *options, struct check_summary *ret_summary) {
  struct check_summary sum = {0};
  for (size_t i = 0; i < list->count; i++) {
    const struct check_file *file = &list->items[i];
    int score = (int)json_int(file->result, "risk_score", 0);
    if (!file->reported && file->outcome != CHECK_PENDING && file->outcome != CHECK_REPORTED) sum.failed++; /* history has a hole */
    if (!file->reported) continue;
    const char *sandbox = check_result_sandbox(file->result, NULL);
    ignore_findings(file->result, &options->ignore);
    sum.files++;
    sum.failed += file->outcome != CHECK_REPORTED;
    sum.sandbox_failed += strcmp(sandbox, "failed") == 0 || strcmp(sandbox, "unparsed") == 0;
    sum.not_run += strcmp(sandbox, "unavailable") == 0 || strcmp(sandbox, "skipped") == 0;
    if (score > sum.score) sum.score = score;
  }
  check_result_notes(list, count_note, &(struct summing){options, &sum});
  if (options->fail_on_score && sum.score >= options->fail_on_score) sum.over = true;
  *ret_summary = sum;
}
