/* rules.c - from facts to findings: which rows of rules_table.c speak, and their texts filled with the user's own names. */
#include "worker/migration/rules.h"

#include <strings.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/migration/suppress.h"
#include "worker/sql/text.h"

const struct rule *rules_at(size_t index) { return index < rules_table_count ? &rules_table[index] : NULL; }

const struct rule *rules_named(const char *id) {
  for (size_t i = 0; i < rules_table_count; i++)
    if (strcmp(rules_table[i].id, id) == 0) return &rules_table[i];
  return NULL;
}

/* --- texts --- */

static const char *placeholder(struct arena *arena, const struct effect_fact *fact, const char *name, size_t len) {
  bool quoted = *name >= 'A' && *name <= 'Z';
  if (len == 5 && strncasecmp(name, "table", 5) == 0) {
    if (!fact->rel) return "";
    return quoted ? sql_qualified(arena, fact->rel->t->schema, fact->rel->t->name) : fact->rel->t->qualified;
  }
  const char *value = len == 4 && strncasecmp(name, "name", 4) == 0     ? fact->name
                      : len == 6 && strncasecmp(name, "detail", 6) == 0 ? fact->detail
                                                                        : NULL;
  if (!value) return NULL;
  return quoted ? sql_ident(arena, value) : value;
}

static const char *fill_template(struct arena *arena, const char *text, const struct effect_fact *fact) {
  if (!text || !strchr(text, '{')) return text;
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  while (*text) {
    const char *close = *text == '{' ? strchr(text, '}') : NULL;
    const char *value = close ? placeholder(arena, fact, text + 1, (size_t)(close - text - 1)) : NULL;
    if (close && (value || close - text < 9)) {
      buf_puts(&out, value ? value : "");
      text = close + 1;
    } else {
      buf_putc(&out, *text++);
    }
  }
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

static void add(const struct analysis *analysis, struct statement *statement, const struct rule *rule, const struct effect_fact *fact,
                int line) {
  struct finding finding = {.rule = rule,
                            .message = fill_template(analysis->arena, rule->message, fact),
                            .safe_alternative = fill_template(analysis->arena, rule->safe_alternative, fact),
                            .line = line};
  for (size_t i = 0; i < statement->findings.count; i++)
    if (finding.message && finding.line == statement->findings.items[i].line &&
        strcmp(statement->findings.items[i].message, finding.message) == 0)
      return;
  if (!rule->about_comments) finding.suppress_reason = suppress_reason(analysis, (size_t)(statement - analysis->statements), rule);
  struct finding *slot = finding.message ? LIST_PUSH(analysis->arena, &statement->findings) : NULL;
  if (slot) *slot = finding;
}

void rules_note(const struct analysis *analysis, struct statement *statement, const struct effect_fact *fact, int line) {
  for (const struct rule *rule = rules_table; rule < rules_table + rules_table_count; rule++)
    if (!rule->applies && rule->fact == fact->fact && !(fact->rel && fact->rel->created && !rule->on_new))
      add(analysis, statement, rule, fact, line);
}

void rules_apply(const struct analysis *analysis, struct statement *statement, size_t index) {
  const struct rule_view view = {analysis, statement, index};
  int line = statement->source->at.line;
  for (const struct rule *rule = rules_table; rule < rules_table + rules_table_count; rule++) {
    struct effect_fact about = {0};
    if (rule->applies && rule->applies(&view, &about)) add(analysis, statement, rule, &about, line);
    for (size_t i = 0; !rule->applies && i < statement->effect.facts.count; i++) {
      const struct effect_fact *fact = &statement->effect.facts.items[i];
      if (fact->fact == rule->fact && !(fact->rel && fact->rel->created && !rule->on_new)) add(analysis, statement, rule, fact, line);
    }
  }
}
