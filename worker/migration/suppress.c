/* suppress.c - comments are what stands between two tokens; the scanner says where tokens are, so strings can't be mistaken for them. */
#include "worker/migration/suppress.h"

#include <ctype.h>

#include "worker/migration/rules.h"

#define MARK "autodb:"

struct reading {
  struct analysis *analysis;
  const char *sql;
  const char *counted; /* lines up to here are known */
  int line;
  bool failed;
};

static int line_at(struct reading *reading, const char *at) {
  for (; reading->counted < at; reading->counted++) reading->line += *reading->counted == '\n';
  return reading->line;
}

static const char *skip_blanks(const char *at, const char *end) {
  while (at < end && isspace((unsigned char)*at)) at++;
  return at;
}

static bool is_rule_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static const char *read_rules(struct reading *reading, struct suppression *one, const char *at, const char *end) {
  do {
    at = skip_blanks(at, end);
    const char *word = at;
    while (at < end && is_rule_letter(*at)) at++;
    if (at == word) {
      one->fault = "no rule is named";
      return at;
    }
    if (one->rule_count == SUPPRESS_MAX_RULES) {
      one->fault = "more than 16 rules are named";
      return at;
    }
    const char *name = arena_strndup(reading->analysis->arena, word, (size_t)(at - word));
    if (!name) reading->failed = true;
    one->rules[one->rule_count++] = name ? name : "";
    const char *after = skip_blanks(at, end);
    if (after < end && *after == ',') at = after;
  } while (at < end && *at++ == ',');
  return at;
}

/* Last statement that begins before `at`; count when there is none. */
static size_t statement_before(const struct analysis *analysis, size_t at) {
  size_t low = 0, high = analysis->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (analysis->script.statements[middle].at.offset <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? low - 1 : analysis->count;
}

static bool same_line(const char *from, const char *to) { return !memchr(from, '\n', (size_t)(to - from)); }

/* Inside a statement: that one. Right behind one, on the same line: that one, unless the next begins there as well. Else the next. */
static size_t statement_of(const struct reading *reading, const char *from, const char *to) {
  const struct analysis *analysis = reading->analysis;
  size_t before = statement_before(analysis, (size_t)(from - reading->sql));
  size_t next = before == analysis->count ? 0 : before + 1;
  if (next > 0) {
    const struct sql_statement *earlier = &analysis->script.statements[before];
    const char *end = reading->sql + earlier->at.offset + earlier->length;
    if (from < end) return before;
    bool next_here = next < analysis->count && same_line(to, reading->sql + analysis->script.statements[next].at.offset);
    if (same_line(end, from) && !next_here) return before;
  }
  return next < analysis->count ? next : analysis->count;
}

static void take_words(struct reading *reading, struct suppression *one, const char *at, const char *end) {
  static const char whole[] = "ignore-file", plain[] = "ignore";
  const char *word = at;
  while (at < end && is_rule_letter(*at)) at++;
  size_t len = (size_t)(at - word);
  one->whole_script = len == sizeof whole - 1 && memcmp(word, whole, len) == 0;
  if (!one->whole_script && (len != sizeof plain - 1 || memcmp(word, plain, len) != 0)) {
    one->fault = "only autodb:ignore and autodb:ignore-file are known";
    return;
  }
  at = read_rules(reading, one, at, end);
  at = skip_blanks(at, end);
  while (end > at && isspace((unsigned char)end[-1])) end--;
  if (at < end) one->reason = arena_strndup(reading->analysis->arena, at, (size_t)(end - at));
  if (at < end && !one->reason) reading->failed = true;
}

/* One line of a comment: [at, end) without what opens and closes it; from and to are where the comment lies. */
static void read_line(struct reading *reading, const char *at, const char *end, const char *from, const char *to) {
  at = skip_blanks(at, end);
  while (at < end && *at == '*') at = skip_blanks(at + 1, end);
  if ((size_t)(end - at) < sizeof MARK - 1 || memcmp(at, MARK, sizeof MARK - 1) != 0) return;
  size_t known = reading->analysis->suppressions.count;
  if (known == SUPPRESS_MAX_COMMENTS) {
    reading->analysis->suppressions.items[known - 1].fault = "a script holds at most 1,000 of them, and here are more";
    return;
  }
  struct suppression *one = LIST_PUSH(reading->analysis->arena, &reading->analysis->suppressions);
  if (!one) {
    reading->failed = true;
    return;
  }
  *one = (struct suppression){.line = line_at(reading, at), .statement = statement_of(reading, from, to)};
  take_words(reading, one, at + sizeof MARK - 1, end);
  if (one->whole_script && !one->fault && reading->analysis->count &&
      from >= reading->sql + reading->analysis->script.statements[0].at.offset)
    one->fault = "autodb:ignore-file stands before the first statement or nowhere";
}

static const char *block_end(const char *at, const char *end) {
  int depth = 1;
  while (at + 1 < end && depth) {
    bool opens = at[0] == '/' && at[1] == '*', closes = at[0] == '*' && at[1] == '/';
    depth += opens - closes;
    at += opens || closes ? 2 : 1;
  }
  return depth ? end : at;
}

static void read_block(struct reading *reading, const char *from, const char *to) {
  const char *end = to - 2;
  for (const char *at = from + 2; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    read_line(reading, at, stop, from, to);
    at = stop + 1;
  }
}

/* What stands between two tokens: blanks and comments. */
static void read_gap(struct reading *reading, const char *at, const char *end) {
  while (at + 1 < end) {
    if (at[0] == '-' && at[1] == '-') {
      const char *stop = memchr(at, '\n', (size_t)(end - at));
      if (!stop) stop = end;
      read_line(reading, at + 2, stop, at, stop);
      at = stop;
    } else if (at[0] == '/' && at[1] == '*') {
      const char *stop = block_end(at + 2, end);
      read_block(reading, at, stop);
      at = stop;
    } else {
      at++;
    }
  }
}

enum status suppress_read(struct analysis *analysis, struct error *err) {
  const char *sql = analysis->sql;
  struct sql_tokens tokens;
  if (!strstr(sql, MARK) || analysis->script.fault.sqlstate || !sql_tokenize(sql, analysis->arena, &tokens)) return OK;
  struct reading reading = {.analysis = analysis, .sql = sql, .counted = sql, .line = 1};
  size_t from = 0;
  for (size_t i = 0; i < tokens.count; i++) {
    read_gap(&reading, sql + from, sql + tokens.items[i].start);
    from = (size_t)tokens.items[i].end;
  }
  read_gap(&reading, sql + from, sql + strlen(sql));
  return reading.failed ? error_oom(err) : OK;
}

const char *suppress_reason(const struct analysis *analysis, size_t statement, const struct rule *rule) {
  const char *reason = NULL;
  for (size_t i = 0; i < analysis->suppressions.count; i++) {
    struct suppression *one = &analysis->suppressions.items[i];
    if (one->fault || !one->reason || (!one->whole_script && one->statement != statement)) continue;
    for (size_t r = 0; r < one->rule_count; r++) {
      if (strcmp(one->rules[r], rule->id) != 0) continue;
      one->used[r] = true;
      if (!reason) reason = one->reason;
    }
  }
  return reason;
}

static void review(struct analysis *analysis, const struct suppression *one, size_t statement) {
  struct statement *target = &analysis->statements[statement];
  const char *comment = one->whole_script ? "autodb:ignore-file" : "autodb:ignore";
  if (one->fault) {
    rules_note(analysis, target, &(struct effect_fact){FACT_IGNORE_MALFORMED, NULL, comment, one->fault}, one->line);
    return;
  }
  for (size_t r = 0; r < one->rule_count; r++) {
    const struct rule *rule = rules_named(one->rules[r]);
    enum fact fact = !rule ? FACT_IGNORE_UNKNOWN : !one->reason ? FACT_IGNORE_UNREASONED : FACT_IGNORE_UNUSED;
    if (fact == FACT_IGNORE_UNUSED && (one->used[r] || rule->observed)) continue;
    rules_note(analysis, target, &(struct effect_fact){fact, NULL, one->rules[r], comment}, one->line);
  }
}

void suppress_review(struct analysis *analysis) {
  if (!analysis->count) return;
  for (size_t i = 0; i < analysis->suppressions.count; i++) {
    const struct suppression *one = &analysis->suppressions.items[i];
    review(analysis, one, one->statement < analysis->count ? one->statement : analysis->count - 1);
  }
}
