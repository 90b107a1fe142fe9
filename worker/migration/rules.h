/* rules.h - the catalogue of findings: one row per rule in rules_table.c. */
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
  enum fact fact; /* recorded by a form … */
  /* … or seen in the statement's surroundings; one of the two. `about` may be filled for the texts. */
  bool (*applies)(const struct rule_view *view, struct effect_fact *about);
  const char *message, *why, *safe_alternative;
  const char *anchor;  /* heading in RULES.md */
  bool on_new;         /* holds for tables this migration creates, too */
  bool observed;       /* only the sandbox's run can tell */
  bool about_comments; /* about autodb:ignore itself: can't be silenced */
};

/* Fills the statement's findings. */
void rules_apply(const struct analysis *analysis, struct statement *statement, size_t index);
/* Adds what the rows say about one more fact, for a line of the script. */
void rules_note(const struct analysis *analysis, struct statement *statement, const struct effect_fact *fact, int line);
const struct rule *rules_at(size_t index);      /* NULL past the end */
const struct rule *rules_named(const char *id); /* NULL when there is none */

/* private to rules*.c */
extern const struct rule rules_table[];
extern const size_t rules_table_count;
bool around_no_lock_timeout(const struct rule_view *view, struct effect_fact *about);
bool around_works_under_lock(const struct rule_view *view, struct effect_fact *about);
bool around_in_transaction(const struct rule_view *view, struct effect_fact *about);
bool around_opaque(const struct rule_view *view, struct effect_fact *about);
bool around_no_statement_timeout(const struct rule_view *view, struct effect_fact *about);
bool script_nested_begin(const struct rule_view *view, struct effect_fact *about);
bool script_end_without_begin(const struct rule_view *view, struct effect_fact *about);
bool script_uncommitted(const struct rule_view *view, struct effect_fact *about);
bool script_enum_value_used(const struct rule_view *view, struct effect_fact *about);
bool script_mixed(const struct rule_view *view, struct effect_fact *about);
bool script_many_rows(const struct rule_view *view, struct effect_fact *about);
bool script_never_validated(const struct rule_view *view, struct effect_fact *about);
bool script_mergeable(const struct rule_view *view, struct effect_fact *about);
bool script_not_rerunnable(const struct rule_view *view, struct effect_fact *about);
bool script_invalid_index(const struct rule_view *view, struct effect_fact *about);
bool script_sequence_end(const struct rule_view *view, struct effect_fact *about);

#endif
