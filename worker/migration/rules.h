/* rules.h - the catalogue of findings: one row per rule in rules.c. */
#ifndef AUTODB_RULES_H
#define AUTODB_RULES_H

#include "worker/migration/analysis.h"

struct rule_view {
  const struct analysis *analysis;
  const struct statement *statement;
  size_t index;
};

/* Texts are templates: {table} {name} {detail} print what the fact recorded, {TABLE} {NAME} {DETAIL} the same quoted for SQL. */
struct rule {
  const char *id; /* kebab-case, stable */
  enum severity severity;
  enum fact fact;                                /* recorded by a form … */
  bool (*applies)(const struct rule_view *view); /* … or seen in the statement's surroundings; one of the two */
  const char *message, *why, *safe_alternative;
  const char *anchor; /* in the documentation of rules */
  bool on_new;        /* holds for tables this migration creates, too */
};

/* Fills the statement's findings. */
void rules_apply(const struct analysis *analysis, struct statement *statement, size_t index);
const struct rule *rules_at(size_t index); /* NULL past the end */

#endif
