/* The risk report. Order: the verdict first, then each statement with what it does to whom, then what the whole touches, what the trial
 * showed, and the way back. Every section is one function over one member of the result; a member that is absent prints nothing. */
#include "cli/report.h"

#include <math.h>

#include "cli/term.h"
#include "common/buf.h"
#include "common/json.h"

#define REPORT_TEXT_MAX (4 * 1024 * 1024)
#define INDENT 3
#define COLUMN 14 /* where what follows a label begins */
#define BAR_CELLS 25

static enum term_style category_style(const char *category) {
  static const struct {
    const char *name;
    enum term_style style;
  } styles[] = {{"low", TERM_GREEN}, {"medium", TERM_YELLOW}, {"high", TERM_RED}, {"critical", TERM_MAGENTA}};
  for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
    if (strcmp(styles[i].name, category) == 0) return styles[i].style;
  return TERM_BOLD;
}

static bool true_at(const json_t *object, const char *key) { return json_bool(object, key, false); }

/* A duration in words people use. */
static const char *duration(double ms, char out[32]) {
  if (ms < 10)
    snprintf(out, 32, "%.1f ms", ms);
  else if (ms < 1000)
    snprintf(out, 32, "%.0f ms", ms);
  else if (ms < 60000)
    snprintf(out, 32, "%.1f s", ms / 1000);
  else if (ms < 3600000)
    snprintf(out, 32, "%.0f min %.0f s", floor(ms / 60000), fmod(ms, 60000) / 1000);
  else
    snprintf(out, 32, "%.0f h %.0f min", floor(ms / 3600000), fmod(ms, 3600000) / 60000);
  return out;
}

static const char *joined(struct buf *out, const json_t *strings, const char *separator) {
  size_t index;
  json_t *item;
  json_array_foreach(strings, index, item) {
    if (index) buf_puts(out, separator);
    buf_puts(out, json_string_value(item) ? json_string_value(item) : "?");
  }
  return buf_str(out);
}

/* One line of SQL: white space runs and comments' line ends become one space. */
static const char *one_line(struct buf *out, const char *sql) {
  bool gap = false;
  for (; *sql; sql++) {
    bool white = strchr(" \t\r\n", *sql) != NULL;
    if (!white && gap && out->len) buf_putc(out, ' ');
    if (!white) buf_putc(out, *sql);
    gap = white;
  }
  return buf_str(out);
}

/* --- the verdict --- */

static void print_verdict(const struct term *term, const json_t *result) {
  long long score = json_int(result, "risk_score", 0), statements = json_int(result, "total_statements", 0);
  const char *category = json_str(result, "risk_category", "unknown");
  enum term_style style = category_style(category);
  char upper[32], bar[BAR_CELLS * 4] = "";
  snprintf(upper, sizeof upper, "%s", category);
  for (char *c = upper; *c; c++)
    if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
  long long cells = (score * BAR_CELLS + 50) / 100;
  size_t at = 0;
  for (long long i = 0; i < BAR_CELLS; i++) at += (size_t)snprintf(bar + at, sizeof bar - at, "%s", i < cells ? "█" : "░");
  term_printf(term, TERM_BOLD, "Risk %lld/100 ", score);
  term_printf(term, style, "%s %s", bar, upper);
  term_printf(term, TERM_PLAIN, "   %lld statement%s\n", statements, statements == 1 ? "" : "s");
}

/* --- a statement --- */

static const char *blocks(const json_t *lock) {
  bool reads = true_at(lock, "blocks_reads"), writes = true_at(lock, "blocks_writes");
  return reads ? "blocks reads and writes" : writes ? "blocks writes" : "blocks neither reads nor writes";
}

static void print_locks(const struct term *term, const json_t *locks) {
  size_t index;
  json_t *lock;
  json_array_foreach(locks, index, lock) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    const char *source = json_str(lock, "source", "");
    buf_printf(&text, "%s on %s: %s%s%s%s", json_str(lock, "mode", "?"), json_str(lock, "table", "?"), blocks(lock), *source ? " (" : "",
               source, *source ? ")" : "");
    enum term_style style = true_at(lock, "blocks_reads") ? TERM_RED : true_at(lock, "blocks_writes") ? TERM_YELLOW : TERM_PLAIN;
    term_para(term, INDENT, COLUMN, TERM_DIM, index ? "" : "locks", style, buf_str(&text));
  }
}

static void add_names(struct buf *out, const char *what, const json_t *names) {
  if (json_array_size(names) == 0) return;
  buf_printf(out, "%s%s ", out->len ? "; " : "", what);
  joined(out, names, ", ");
}

static void print_work(const struct term *term, const json_t *statement) {
  BUF_AUTO text;
  char words[32];
  buf_init(&text, REPORT_TEXT_MAX);
  add_names(&text, "rewrites all of", json_object_get(statement, "rewrites"));
  add_names(&text, "reads all of", json_object_get(statement, "scans"));
  const json_t *estimate = json_object_get(statement, "estimated_duration_ms");
  if (json_is_number(estimate)) buf_printf(&text, "%sabout %s", text.len ? "; " : "", duration(json_number_value(estimate), words));
  if (!text.len) buf_puts(&text, "no table is rewritten or read in full");
  term_para(term, INDENT, COLUMN, TERM_DIM, "work", TERM_PLAIN, buf_str(&text));
}

static void print_feasibility(const struct term *term, const json_t *checks) {
  static const struct {
    const char *verdict, *words;
    enum term_style style;
  } verdicts[] = {{"proven", "proven to hold", TERM_GREEN}, {"may_fail", "may fail", TERM_YELLOW}, {"will_fail", "will fail", TERM_RED}};
  size_t index;
  json_t *check;
  json_array_foreach(checks, index, check) {
    const char *verdict = json_str(check, "verdict", "unknown"), *words = "unknown", *state = json_str(check, "sqlstate", NULL);
    enum term_style style = TERM_PLAIN;
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
      if (strcmp(verdicts[i].verdict, verdict) == 0) words = verdicts[i].words, style = verdicts[i].style;
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    buf_printf(&text, "%s: %s", json_str(check, "check", "?"), words);
    if (state && strcmp(verdict, "proven") != 0) buf_printf(&text, " (SQLSTATE %s)", state);
    term_para(term, INDENT, COLUMN, TERM_DIM, index ? "" : "data", style, buf_str(&text));
    const char *preflight = json_str(check, "preflight_sql", NULL);
    if (preflight && strcmp(verdict, "proven") != 0) term_para(term, COLUMN, COLUMN + 7, TERM_DIM, "check:", TERM_CYAN, preflight);
  }
}

/* Whether an earlier statement has already told this: then its one line is enough. */
static bool told_before(const json_t *result, const json_t *statement, const json_t *finding) {
  size_t i, k;
  json_t *earlier, *other;
  json_array_foreach(json_object_get(result, "statements"), i, earlier) {
    if (earlier == statement) return false;
    json_array_foreach(json_object_get(earlier, "findings"), k,
                       other) if (strcmp(json_str(other, "code", ""), json_str(finding, "code", "")) == 0 &&
                                  strcmp(json_str(other, "safe_alternative", ""), json_str(finding, "safe_alternative", "")) ==
                                      0) return true;
  }
  return false;
}

static void print_findings(const struct term *term, const json_t *result, const json_t *statement) {
  size_t index;
  json_t *finding;
  json_array_foreach(json_object_get(statement, "findings"), index, finding) {
    const char *severity = json_str(finding, "severity", "info"), *why = json_str(finding, "why", NULL),
               *safe = json_str(finding, "safe_alternative", NULL);
    bool error = strcmp(severity, "error") == 0, warning = strcmp(severity, "warning") == 0;
    enum term_style style = error ? TERM_RED : warning ? TERM_YELLOW : TERM_CYAN;
    term_printf(term, style, "   %s %s", error ? "✗" : warning ? "!" : "·", json_str(finding, "code", "?"));
    if (json_int(finding, "line", 0) > 0) term_printf(term, TERM_DIM, "  line %lld", json_int(finding, "line", 0));
    term_printf(term, TERM_PLAIN, "\n");
    term_para(term, 5, 5, TERM_PLAIN, "", TERM_PLAIN, json_str(finding, "message", ""));
    if (told_before(result, statement, finding)) continue;
    if (why && *why) term_para(term, 5, 5, TERM_PLAIN, "", TERM_DIM, why);
    if (safe && *safe) term_para(term, 5, COLUMN, TERM_GREEN, "instead:", TERM_PLAIN, safe);
  }
}

static void print_undo(const struct term *term, const json_t *statement) {
  const char *sql = json_str(statement, "rollback_sql", NULL);
  if (!json_is_boolean(json_object_get(statement, "reversible"))) return;
  if (!true_at(statement, "reversible"))
    term_para(term, INDENT, COLUMN, TERM_DIM, "undo", TERM_RED, "cannot be undone: see Rollback below");
  else if (sql && *sql) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    term_para(term, INDENT, COLUMN, TERM_DIM, "undo", TERM_PLAIN, one_line(&text, sql));
  }
}

static void print_statement(const struct term *term, const json_t *result, const json_t *statement) {
  const char *category = json_str(statement, "risk_category", "?");
  BUF_AUTO tables, sql;
  buf_init(&tables, REPORT_TEXT_MAX);
  buf_init(&sql, REPORT_TEXT_MAX);
  term_printf(term, TERM_BOLD, "\n%lld  %s", json_int(statement, "index", 0) + 1, json_str(statement, "operation", "?"));
  term_printf(term, TERM_PLAIN, "  %s", joined(&tables, json_object_get(statement, "tables"), ", "));
  term_printf(term, TERM_DIM, "  line %lld  ", json_int(json_object_get(statement, "location"), "line", 0));
  term_printf(term, category_style(category), "%lld %s\n", json_int(statement, "risk_score", 0), category);
  term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_DIM, one_line(&sql, json_str(statement, "sql", "")));
  print_locks(term, json_object_get(statement, "locks"));
  print_work(term, statement);
  print_feasibility(term, json_object_get(statement, "feasibility"));
  print_undo(term, statement);
  print_findings(term, result, statement);
}

static void print_statements(const struct term *term, const json_t *result) {
  size_t index;
  json_t *statement;
  json_array_foreach(json_object_get(result, "statements"), index, statement) print_statement(term, result, statement);
}

/* --- what the whole touches --- */

static void print_tables(const struct term *term, const json_t *tables, bool only_direct) {
  size_t index;
  json_t *item;
  json_array_foreach(tables, index, item) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    const json_t *path = json_object_get(item, "cascade_path");
    bool direct = strcmp(json_str(item, "impact", ""), "direct") == 0;
    if (direct != only_direct) continue;
    if (direct || json_array_size(path) == 0)
      buf_puts(&text, json_str(item, "table", "?"));
    else
      joined(&text, path, " → ");
    term_para(term, INDENT, COLUMN, TERM_DIM, json_str(item, "impact", ""), direct ? TERM_BOLD : TERM_PLAIN, buf_str(&text));
  }
}

static void print_blast_radius(const struct term *term, const json_t *result) {
  const json_t *tables = json_object_get(result, "affected_tables"), *objects = json_object_get(result, "affected_objects");
  size_t index;
  json_t *item;
  if (json_array_size(tables) + json_array_size(objects) == 0) return;
  term_heading(term, "Blast radius");
  print_tables(term, tables, true);
  print_tables(term, tables, false);
  json_array_foreach(objects, index, item) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    bool broken = true_at(item, "breaks");
    buf_printf(&text, "%s (through %s)%s", json_str(item, "name", "?"), json_str(item, "via", "?"), broken ? ": breaks" : "");
    term_para(term, INDENT, COLUMN, TERM_DIM, json_str(item, "kind", ""), broken ? TERM_RED : TERM_PLAIN, buf_str(&text));
  }
}

/* --- the trial --- */

static const char *agreement_of(const json_t *result, long long index) {
  size_t at;
  json_t *statement;
  json_array_foreach(json_object_get(result, "statements"), at,
                     statement) if (json_int(statement, "index", -1) == index) return json_str(statement, "agreement", NULL);
  return NULL;
}

static void print_trial_statement(const struct term *term, const json_t *result, const json_t *statement) {
  long long index = json_int(statement, "index", 0);
  const json_t *error = json_object_get(statement, "error");
  const char *agreement = agreement_of(result, index);
  char words[32];
  bool failed = json_is_object(error) || json_is_string(error);
  term_printf(term, failed ? TERM_RED : TERM_GREEN, "   %s", failed ? "✗" : "✓");
  term_printf(term, TERM_PLAIN, " statement %lld  %s", index + 1,
              duration(json_number_value(json_object_get(statement, "duration_ms")), words));
  if (agreement && strcmp(agreement, "agreed") == 0)
    term_printf(term, TERM_DIM, "  as predicted");
  else if (agreement && strcmp(agreement, "contradicted") == 0)
    term_printf(term, TERM_YELLOW, "  not as predicted: what is reported is what was observed");
  else if (agreement)
    term_printf(term, TERM_DIM, "  prediction %s", agreement);
  term_printf(term, TERM_PLAIN, "\n");
}

static void print_migration_error(const struct term *term, const json_t *trial) {
  const json_t *error = json_object_get(trial, "migration_error");
  if (!json_is_object(error)) return;
  BUF_AUTO text;
  buf_init(&text, REPORT_TEXT_MAX);
  buf_puts(&text, json_str(error, "message", "no reason given"));
  if (json_str(error, "sqlstate", NULL)) buf_printf(&text, " (SQLSTATE %s)", json_str(error, "sqlstate", ""));
  if (json_int(error, "line", 0) > 0)
    buf_printf(&text, ", line %lld column %lld", json_int(error, "line", 0), json_int(error, "column", 0));
  term_para(term, INDENT, COLUMN, TERM_RED, "error", TERM_RED, buf_str(&text));
}

static void print_validations(const struct term *term, const json_t *validations) {
  size_t index;
  json_t *item;
  json_array_foreach(validations, index, item) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    bool passed = true_at(item, "passed");
    one_line(&text, json_str(item, "query", ""));
    if (!passed) buf_printf(&text, ": %s", json_str(item, "error", "failed"));
    term_para(term, INDENT, 5, passed ? TERM_GREEN : TERM_RED, passed ? "✓" : "✗", TERM_PLAIN, buf_str(&text));
  }
}

static void print_trial(const struct term *term, const json_t *result) {
  const json_t *trial = json_object_get(result, "sandbox_result");
  term_heading(term, "Sandbox");
  if (!json_is_object(trial)) {
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_DIM, "not run: nothing below was tried, and there is no approval token");
    return;
  }
  bool passed = true_at(trial, "passed");
  char total[32], setup[32];
  term_printf(term, passed ? TERM_GREEN : TERM_RED, "   %s", passed ? "passed" : "failed");
  if (json_str(trial, "engine", NULL))
    term_printf(term, TERM_PLAIN, " on %s: %lld tables cloned, %lld rows made; %s, setup %s", json_str(trial, "engine", ""),
                json_int(trial, "tables_created", 0), json_int(trial, "rows_inserted", 0),
                duration(json_number_value(json_object_get(trial, "duration_ms")), total),
                duration(json_number_value(json_object_get(trial, "setup_ms")), setup));
  term_printf(term, TERM_PLAIN, "\n");
  print_migration_error(term, trial);
  size_t index;
  json_t *statement;
  json_array_foreach(json_object_get(trial, "statements"), index, statement) print_trial_statement(term, result, statement);
  print_validations(term, json_object_get(trial, "validation_results"));
}

/* --- the way back and the way on --- */

static void print_rollback(const struct term *term, const json_t *result) {
  const json_t *plan = json_object_get(result, "rollback_plan"), *trial = json_object_get(result, "sandbox_result");
  const json_t *verified = json_object_get(trial, "rollback_verified");
  if (!json_is_object(plan)) return;
  size_t index;
  json_t *item;
  term_heading(term, "Rollback");
  if (json_is_true(verified))
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_GREEN, "verified: applied and undone in the sandbox, the schema is as before");
  else if (json_is_false(verified))
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_RED, "NOT verified: after undoing, the schema differs");
  else
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_DIM, "not verified in the sandbox");
  json_array_foreach(json_object_get(trial, "rollback_diff"), index, item) {
    char *dump = json_string_value(item) ? NULL : json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);
    term_block(term, INDENT + 2, TERM_RED, dump ? dump : json_string_value(item));
    free(dump);
  }
  json_array_foreach(json_object_get(plan, "irreversible_reasons"), index, item)
      term_para(term, INDENT, COLUMN + 2, TERM_RED, "irreversible", TERM_PLAIN,
                json_string_value(item) ? json_string_value(item) : json_str(item, "reason", "?"));
  term_block(term, INDENT + 2, TERM_CYAN, json_str(plan, "combined_script", ""));
}

static void print_safer(const struct term *term, const json_t *result) {
  const json_t *safer = json_object_get(result, "safer_migration");
  if (!json_is_object(safer)) return;
  term_heading(term, true_at(safer, "sandbox_passed") ? "A safer way (tried in the sandbox)" : "A safer way");
  if (json_int(safer, "score_after", -1) >= 0)
    term_printf(term, TERM_PLAIN, "   risk %lld instead of %lld\n", json_int(safer, "score_after", 0), json_int(safer, "score_before", 0));
  for (const char *line = json_str(safer, "explanation", ""); *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
    BUF_AUTO text;
    buf_init(&text, REPORT_TEXT_MAX);
    buf_append(&text, line, strcspn(line, "\n"));
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_PLAIN, buf_str(&text));
  }
  term_block(term, INDENT + 2, TERM_CYAN, json_str(safer, "script", ""));
}

static void print_approval(const struct term *term, const json_t *result) {
  const char *expires = json_str(result, "approval_expires_at", NULL);
  term_heading(term, "Approval");
  if (json_str(result, "approval_token", NULL)) {
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_PLAIN,
              "A token to execute exactly this migration was issued (--token-file PATH keeps it).");
    if (expires) term_para(term, INDENT, COLUMN, TERM_DIM, "valid until", TERM_PLAIN, expires);
  } else
    term_para(term, INDENT, INDENT, TERM_PLAIN, "", TERM_PLAIN, "No token: one is issued only when the sandbox ran and passed.");
}

void report_print(FILE *out, const json_t *result) {
  struct term term;
  term_init(&term, out);
  const char *narrative = json_str(result, "narrative", NULL);
  print_verdict(&term, result);
  if (narrative) term_para(&term, 0, 0, TERM_PLAIN, "", TERM_PLAIN, narrative);
  print_statements(&term, result);
  print_blast_radius(&term, result);
  print_trial(&term, result);
  print_rollback(&term, result);
  print_safer(&term, result);
  print_approval(&term, result);
}
