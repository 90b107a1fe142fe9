/* report.c - assembly only: every number and sentence was decided before. */
#include "worker/migration/report.h"

#include <math.h>

#include "common/json.h"
#include "worker/migration/blast.h"
#include "worker/migration/narrative.h"
#include "worker/migration/rules.h"
#include "worker/migration/score.h"

static void add_lock(json_t *locks, const char *table, enum lock_mode mode, bool counts, const char *source) {
  json_array_append_new(locks, json_pack("{s:s, s:s, s:b, s:b, s:s}", "table", table, "mode", lockmode_name(mode), "blocks_reads",
                                         counts && lockmode_blocks_reads(mode), "blocks_writes", counts && lockmode_blocks_writes(mode),
                                         "source", source));
}

/* What was seen wins over what was said. */
static json_t *locks_json(const struct statement *statement) {
  json_t *locks = json_array();
  bool observed = statement->agreement == AGREEMENT_CONTRADICTED || (statement->effect.opaque && statement->step && statement->step->ok);
  if (observed && statement->step->ok) {
    for (size_t i = 0; i < statement->step->lock_count; i++)
      add_lock(locks, statement->step->locks[i].relation, lockmode_parse(statement->step->locks[i].mode), true, "observed");
    for (size_t i = 0; i < statement->step->held_count; i++)
      add_lock(locks, statement->step->held[i].relation, lockmode_parse(statement->step->held[i].mode), true, "observed");
    return locks;
  }
  for (size_t i = 0; i < statement->locks.count; i++) {
    const struct seen_lock *lock = &statement->locks.items[i];
    add_lock(locks, lock->name, lock->mode, !lock->created, "static");
  }
  return locks;
}

static json_t *findings_json(const struct analysis *analysis, const struct statement *statement) {
  static const char *const severities[] = {"info", "warning", "error"};
  json_t *findings = json_array();
  for (size_t i = 0; i < statement->findings.count; i++) {
    const struct finding *finding = &statement->findings.items[i];
    json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "code", finding->rule->id, "severity", severities[finding->rule->severity],
                             "message", finding->message, "why", finding->rule->why, "line", finding->line, "docs",
                             arena_printf(analysis->arena, "RULES.md#%s", finding->rule->id));
    json_set_str(item, "safe_alternative", finding->safe_alternative);
    json_object_set_new(item, "suppressed", json_boolean(finding->suppress_reason != NULL));
    json_set_str(item, "suppress_reason", finding->suppress_reason);
    json_array_append_new(findings, item);
  }
  return findings;
}

static json_t *preflight_json(const struct effect_preflight *preflight) {
  json_t *item = json_pack("{s:b, s:o, s:f}", "ran", preflight->ran, "violating",
                           preflight->ran ? json_boolean(preflight->violating) : json_null(), "duration_ms", preflight->duration_ms);
  json_set_str(item, "error", preflight->error);
  return item;
}

static json_t *feasibility_json(const struct statement *statement) {
  static const char *const verdicts[] = {"proven", "may_fail", "will_fail", "unknown"};
  json_t *checks = json_array();
  for (size_t i = 0; i < statement->effect.checks.count; i++) {
    const struct effect_check *check = &statement->effect.checks.items[i];
    json_t *item = json_pack("{s:s, s:s}", "check", check->check, "verdict", verdicts[check->verdict]);
    json_set_str(item, "sqlstate", check->sqlstate);
    json_set_str(item, "preflight_sql", check->preflight_sql);
    if (check->preflight.wanted) json_object_set_new(item, "preflight", preflight_json(&check->preflight));
    json_array_append_new(checks, item);
  }
  return checks;
}

static json_t *factors_json(const struct statement *statement) {
  json_t *factors = json_array();
  for (size_t i = 0; i < statement->factors.count; i++) {
    const struct factor *factor = &statement->factors.items[i];
    json_array_append_new(factors,
                          json_pack("{s:s, s:i, s:s}", "code", factor->code, "points", factor->points, "message", factor->message));
  }
  return factors;
}

static void add_passes(json_t *item, const struct statement *statement) {
  const struct sandbox_step *step = statement->step;
  bool observed = step && step->ok && (statement->agreement == AGREEMENT_CONTRADICTED || statement->effect.opaque);
  json_t *rewrites =
      observed ? json_strings(step->rewrites, step->rewrite_count) : json_strings(statement->rewrites.items, statement->rewrites.count);
  json_t *scans = observed ? json_strings(step->scans, step->scan_count) : json_strings(statement->scans.items, statement->scans.count);
  json_object_set_new(item, "rewrites_table", json_boolean(json_array_size(rewrites) > 0));
  json_object_set_new(item, "scans_table", json_boolean(json_array_size(scans) > 0));
  json_object_set_new(item, "rewrites", rewrites);
  json_object_set_new(item, "scans", scans);
  json_object_set_new(item, "estimated_duration_ms",
                      statement->estimated_ms >= 0 ? json_integer((json_int_t)statement->estimated_ms) : json_null());
}

/* How many queries pile up while the statement waits for its locks, before it does anything: apart from estimated_duration_ms. */
static json_t *queue_json(const struct analysis *analysis, const struct statement *statement) {
  if (statement->blocked_per_s < 0) return json_null();
  long long wait_ms = analysis->lock_timeout_ms > 0 ? analysis->lock_timeout_ms : SCORE_LOCK_WAIT_MS;
  return json_pack("{s:f, s:I, s:f}", "blocked_queries_per_second", round(statement->blocked_per_s * 10) / 10, "wait_ms",
                   (json_int_t)wait_ms, "queued_queries", round(statement->blocked_per_s * (double)wait_ms / 1000));
}

static const char *rollback_sql(const struct analysis *analysis, const struct statement *statement) {
  const char *text = NULL;
  for (size_t i = 0; i < statement->rollback.sql.count; i++)
    text = arena_printf(analysis->arena, "%s%s%s;", text ? text : "", text ? "\n" : "", statement->rollback.sql.items[i]);
  return text;
}

static json_t *statement_json(const struct analysis *analysis, size_t index) {
  const struct statement *statement = &analysis->statements[index];
  const struct sql_statement *source = statement->source;
  json_t *item = json_pack("{s:I, s:s, s:{s:i, s:i, s:I, s:I}, s:s}", "index", (json_int_t)index, "sql", source->text, "location", "line",
                           source->at.line, "column", source->at.column, "offset", (json_int_t)source->at.offset, "length",
                           (json_int_t)source->length, "operation", statement->effect.operation);
  if (!item) return json_null();
  json_object_set_new(item, "columns", json_strings(statement->effect.columns.items, statement->effect.columns.count));
  json_object_set_new(item, "tables", json_strings(statement->tables.items, statement->tables.count));
  json_object_set_new(item, "risk_score", json_integer(statement->score));
  json_set_str(item, "risk_category", analysis_category(statement->score));
  json_object_set_new(item, "risk_factors", factors_json(statement));
  json_object_set_new(item, "findings", findings_json(analysis, statement));
  json_object_set_new(item, "locks", locks_json(statement));
  add_passes(item, statement);
  json_object_set_new(item, "lock_queue", queue_json(analysis, statement));
  json_object_set_new(item, "feasibility", feasibility_json(statement));
  json_set_str(item, "agreement", agreement_names[statement->agreement]);
  json_object_set_new(item, "reversible", json_boolean(!statement->rollback.irreversible));
  json_set_str(item, "rollback_sql", rollback_sql(analysis, statement));
  return item;
}

static json_t *rollback_json(const struct analysis *analysis) {
  json_t *plan = json_object(), *reasons = json_array(), *steps = json_array();
  const struct rollback_step **all = arena_calloc(analysis->arena, analysis->count + 1, sizeof *all);
  for (size_t i = 0; all && i < analysis->count; i++) all[i] = &analysis->statements[i].rollback;
  for (size_t i = 0; i < analysis->count; i++)
    if (analysis->statements[i].rollback.irreversible)
      json_array_append_new(reasons, json_sprintf("statement %zu: %s", i + 1, analysis->statements[i].rollback.irreversible));
  for (size_t i = analysis->count; i-- > 0;) {
    const char *sql = rollback_sql(analysis, &analysis->statements[i]);
    if (!sql) continue;
    json_t *step =
        json_pack("{s:I, s:s, s:b}", "statement", (json_int_t)i, "sql", sql, "in_transaction", !analysis->statements[i].rollback.outside);
    json_set_str(step, "irreversible", analysis->statements[i].rollback.irreversible);
    json_array_append_new(steps, step);
  }
  json_object_set_new(plan, "has_irreversible", json_boolean(json_array_size(reasons) > 0));
  json_object_set_new(plan, "irreversible_reasons", reasons);
  const char *script = all ? rollback_script(analysis->arena, all, analysis->count) : NULL;
  json_set_str(plan, "combined_script", script ? script : "");
  json_object_set_new(plan, "steps", steps);
  return plan;
}

json_t *report_json(const struct analysis *analysis, const char *connection_id, json_t *sandbox_result, const char *token,
                    const char *token_expires_at) {
  json_t *report = json_object(), *statements = json_array();
  json_set_str(report, "connection_id", connection_id);
  json_set_str(report, "snapshot_id", analysis->snapshot->id);
  json_object_set_new(report, "total_statements", json_integer((json_int_t)analysis->count));
  json_object_set_new(report, "risk_score", json_integer(analysis->score));
  json_set_str(report, "risk_category", analysis_category(analysis->score));
  for (size_t i = 0; i < analysis->count; i++) json_array_append_new(statements, statement_json(analysis, i));
  json_object_set_new(report, "statements", statements);
  json_object_set_new(report, "affected_tables", blast_tables(analysis));
  json_object_set_new(report, "affected_objects", blast_objects(analysis));
  json_object_set(report, "sandbox_result", sandbox_result ? sandbox_result : json_null());
  json_object_set_new(report, "rollback_plan", rollback_json(analysis));
  json_object_set_new(report, "safer_migration", json_null());
  json_object_set_new(report, "business_context", json_array());
  json_set_str(report, "narrative", narrative_plain(analysis, sandbox_result));
  json_set_str(report, "approval_token", token);
  json_set_str(report, "approval_expires_at", token_expires_at);
  return report;
}
