/* suppress.h - comments in a script that silence a finding on purpose.
 *
 *   -- autodb:ignore rule-id[,rule-id] reason        the statement the comment is in, behind (on its last line) or before
 *   -- autodb:ignore-file rule-id[,rule-id] reason   every statement; only before the first one
 *
 * Also in block comments, one to a line. A suppressed finding stays in the report, marked with its reason, and changes no score: it is
 * the same risk, taken knowingly. A comment that can't be followed or has nothing to silence is a finding itself. Text inside strings
 * and dollar quotes is no comment. */
#ifndef AUTODB_SUPPRESS_H
#define AUTODB_SUPPRESS_H

#include "worker/migration/analysis.h"

#define SUPPRESS_MAX_RULES 16      /* in one comment */
#define SUPPRESS_MAX_COMMENTS 1000 /* in one script; further ones silence nothing, and the last one read says so */

struct suppression {
  size_t statement; /* whom it speaks of */
  bool whole_script;
  int line;
  const char *rules[SUPPRESS_MAX_RULES];
  bool used[SUPPRESS_MAX_RULES];
  size_t rule_count;
  const char *reason; /* NULL: none was given, so it silences nothing */
  const char *fault;  /* why it can't be followed at all; NULL when it can */
};

/* Reads the script's comments into analysis->suppressions. */
MUST_CHECK enum status suppress_read(struct analysis *analysis, struct error *err);
/* The reason for which the finding is to be silenced, or NULL. */
const char *suppress_reason(const struct analysis *analysis, size_t statement, const struct rule *rule);
/* Notes what is wrong with the comments as findings; after all statements were judged. */
void suppress_review(struct analysis *analysis);

#endif
