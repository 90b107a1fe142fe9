/* hostile.h - any text through everything a report is made of that needs no server: the static pass, the report, the way back and the
 * rewritten script. For programs that look for crashes: what comes out only has to hold together. */
#ifndef AUTODB_TESTS_HOSTILE_H
#define AUTODB_TESTS_HOSTILE_H

#include "common/buf.h"
#include "worker/migration/report.h"
#include "worker/migration/safer/plan.h"

#define HOSTILE_ARENA ((size_t)1 << 30)
#define HOSTILE_REPORT ((size_t)256 << 20)

/* NULL, or what is wrong with a report. */
static inline const char *hostile_report(const struct analysis *analysis) {
  const char *wrong = NULL;
  BUF_AUTO text;
  buf_init(&text, HOSTILE_REPORT);
  json_t *report = report_json(analysis, "c", NULL, NULL, NULL);
  if (!report || !buf_put_json(&text, report)) wrong = "the report can't be written";
  if (analysis->score < 0 || analysis->score > 100) wrong = "the score is out of bounds";
  if (json_array_size(json_object_get(report, "statements")) != analysis->count) wrong = "a statement is missing in the report";
  json_decref(report);
  return wrong;
}

static inline const char *hostile_safer(const struct analysis *analysis, struct error *err) {
  struct safer_plan *plan = NULL;
  const bool *skip = arena_calloc(analysis->arena, analysis->count + 1, sizeof *skip);
  if (!skip || safer_plan_make(analysis, skip, &plan, err) != OK || !plan) return NULL;
  const char *script = safer_script_text(plan);
  struct sql_script split;
  if (!script || !safer_explanation(plan) || sql_split(script, strlen(script), analysis->arena, &split, err) != OK) return NULL;
  json_decref(safer_script_phases(plan));
  return split.fault.sqlstate ? split.fault.message : NULL;
}

/* NULL, or what is wrong. `text` may hold anything; it need not end in NUL. */
static inline const char *hostile_try(const struct snapshot *snapshot, const struct analysis_options *options, const char *text,
                                      size_t len) {
  ARENA_AUTO arena = arena_new(HOSTILE_ARENA);
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  const char *sql = arena_strndup(arena, text, len);
  if (!sql || analysis_static(sql, len, snapshot, options, arena, &analysis, &err) != OK) return "the analysis gave up";
  size_t at = 0;
  for (size_t i = 0; i < analysis->count; at = analysis->statements[i++].source->at.offset)
    if (analysis->statements[i].source->at.offset < at || analysis->statements[i].source->at.offset > len)
      return "a statement is misplaced";
  const char *wrong = hostile_report(analysis);
  static char said[512]; /* outlives the arena */
  if (!wrong && (wrong = hostile_safer(analysis, &err))) {
    snprintf(said, sizeof said, "the rewritten script does not parse: %s", wrong);
    wrong = said;
  }
  return wrong;
}

#endif
