/* indexes.c - see indexes.h. Statements are broken where they may be, so that they can be read and copied at 80 columns. */
#include "cli/indexes.h"

#include <math.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"

#define LABEL 9 /* column behind the labels */

const char *indexes_bytes(double bytes, char out[24]) {
  static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) bytes /= 1024, unit++;
  snprintf(out, 24, "%.*f %s", unit ? 1 : 0, bytes, units[unit]);
  return out;
}

const char *indexes_number(double value, char out[40]) {
  char digits[32];
  int len = snprintf(digits, sizeof digits, "%.0f", fmin(fabs(value), 1e18)), at = 0;
  for (int i = 0; i < len; i++) {
    if (i && (len - i) % 3 == 0) out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = '\0';
  return out;
}

static double number(const json_t *object, const char *key, double otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* --- a statement --- */

/* One line, begun anew before ON, INCLUDE and WHERE when it is too long. Quoted text is left as it is. */
static void put_statement(struct buf *out, const char *line, size_t len, int width) {
  static const char *const breaks[] = {" ON ", " INCLUDE ", " WHERE ", " ATTACH "};
  bool wide = len + 1 >= (size_t)width;
  char quote = 0;
  for (size_t i = 0; i < len; i++) {
    if (line[i] == '\'' || line[i] == '"') quote = quote == line[i] ? 0 : quote ? quote : line[i];
    bool broken = false;
    for (size_t k = 0; wide && !quote && !broken && k < sizeof breaks / sizeof *breaks; k++)
      broken = strncmp(line + i, breaks[k], strlen(breaks[k])) == 0 && i + strlen(breaks[k]) < len;
    if (broken)
      buf_puts(out, "\n  ");
    else
      buf_putc(out, line[i]);
  }
}

static void print_sql(const struct term *term, const char *sql) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  for (const char *line = sql; *line;) {
    size_t len = strcspn(line, "\n");
    put_statement(&out, line, len, term->width);
    line += len + (line[len] == '\n');
    if (*line) buf_putc(&out, '\n');
  }
  if (buf_ok(&out)) term_block(term, 0, TERM_CYAN, buf_str(&out));
}

/* --- a recommendation --- */

static void print_cost(const struct term *term, const json_t *one) {
  double before = number(one, "cost_before", -1), after = number(one, "cost_after", -1);
  const char *by = json_str(one, "verified_by", "");
  const char *how = strcmp(by, "hypopg") == 0   ? "tried with HypoPG"
                    : strcmp(by, "whatif") == 0 ? "tried on the what-if server"
                                                : "not tried: a rule of thumb";
  char from[40], to[40], text[200];
  if (before >= 0 && after >= 0)
    snprintf(text, sizeof text, "%s to %s (%.1f %% less), %s", indexes_number(before, from), indexes_number(after, to),
             number(one, "improvement_percent", 0), how);
  else
    snprintf(text, sizeof text, "%s", how);
  term_para(term, 2, LABEL, TERM_DIM, "cost", TERM_PLAIN, text);
}

static void print_price(const struct term *term, const json_t *one) {
  const json_t *write = json_object_get(one, "write_overhead");
  double entries = number(write, "extra_entries_per_day", -1), hot = number(write, "hot_update_ratio_before", -1);
  char size[24], wal[24], count[40];
  BUF_AUTO line;
  buf_init(&line, 4096);
  buf_printf(&line, "%s; writes: %s", indexes_bytes(number(one, "estimated_size_bytes", 0), size), json_str(write, "level", "?"));
  if (entries >= 0)
    buf_printf(&line, ", %s entries and %s of WAL a day", indexes_number(entries, count),
               indexes_bytes(number(write, "wal_bytes_per_day", 0), wal));
  if (hot >= 0 && hot > number(write, "hot_update_ratio_after", hot))
    buf_printf(&line, "; HOT updates %.0f %% to %.0f %%", 100 * hot, 100 * number(write, "hot_update_ratio_after", hot));
  term_para(term, 2, LABEL, TERM_DIM, "size", TERM_PLAIN, buf_str(&line));
}

static bool has_caveat(const json_t *one, const char *text) {
  size_t index;
  json_t *caveat;
  json_array_foreach(json_object_get(one, "caveats"), index,
                     caveat) if (strcmp(json_string_value(caveat) ? json_string_value(caveat) : "", text) == 0) return true;
  return false;
}

static bool all_have(const json_t *list, const char *text) {
  for (size_t i = 0; i < json_array_size(list); i++)
    if (!has_caveat(json_array_get(list, i), text)) return false;
  return json_array_size(list) > 1;
}

/* Those of one index alone, or those of all, which are told once. */
static void print_some_caveats(const struct term *term, const json_t *list, const json_t *one, bool shared) {
  size_t index;
  json_t *caveat;
  json_array_foreach(json_object_get(one, "caveats"), index, caveat) {
    const char *text = json_string_value(caveat) ? json_string_value(caveat) : "";
    if (all_have(list, text) == shared) term_para(term, 2, LABEL, TERM_DIM, shared ? "all" : "note", TERM_DIM, text);
  }
}

static void print_caveats(const struct term *term, const json_t *one) { print_some_caveats(term, NULL, one, false); }

static void print_recommendations(const struct term *term, const json_t *list) {
  size_t index;
  json_t *one;
  if (json_array_size(list)) term_heading(term, "Indexes");
  json_array_foreach((json_t *)(uintptr_t)list, index, one) {
    if (index) putc('\n', term->out);
    print_sql(term, json_str(one, "create_sql", ""));
    print_cost(term, one);
    print_price(term, one);
    term_para(term, 2, LABEL, TERM_DIM, "why", TERM_PLAIN, json_str(one, "reason", ""));
    print_some_caveats(term, list, one, false);
  }
  if (json_array_size(list) > 1) putc('\n', term->out), print_some_caveats(term, list, json_array_get(list, 0), true);
}

static void print_drops(const struct term *term, const json_t *list) {
  size_t index;
  json_t *one;
  if (json_array_size(list)) term_heading(term, "Indexes to do without");
  json_array_foreach((json_t *)(uintptr_t)list, index, one) {
    char size[24], text[64];
    print_sql(term, json_str(one, "drop_sql", ""));
    snprintf(text, sizeof text, "%s: frees %s", json_str(one, "kind", ""), indexes_bytes(number(one, "bytes", 0), size));
    term_para(term, 2, LABEL, TERM_DIM, "what", TERM_PLAIN, text);
    term_para(term, 2, LABEL, TERM_DIM, "why", TERM_PLAIN, json_str(one, "reason", ""));
    print_caveats(term, one);
  }
}

/* --- statistics and settings --- */

static void print_effect(const struct term *term, const json_t *one) {
  double before = number(one, "cost_before", -1), after = number(one, "cost_after", -1), estimated = number(one, "rows_estimated", -1),
         actual = number(one, "rows_actual", -1);
  char from[40], to[40], text[200];
  if (estimated >= 0 && actual >= 0) {
    snprintf(text, sizeof text, "%s rows expected, %s are", indexes_number(estimated, from), indexes_number(actual, to));
    term_para(term, 2, LABEL, TERM_DIM, "rows", TERM_PLAIN, text);
  }
  if (before < 0 || after < 0) return;
  const char *plan = json_is_true(json_object_get(one, "plan_changes")) ? "; the plan is another then" : "";
  snprintf(text, sizeof text, "%s to %s%s", indexes_number(before, from), indexes_number(after, to), plan);
  term_para(term, 2, LABEL, TERM_DIM, "cost", TERM_PLAIN, text);
}

static void print_tuning(const struct term *term, const char *heading, const json_t *list) {
  size_t index;
  json_t *one;
  if (json_array_size(list)) term_heading(term, heading);
  json_array_foreach((json_t *)(uintptr_t)list, index, one) {
    print_sql(term, json_str(one, "sql", ""));
    print_effect(term, one);
    term_para(term, 2, LABEL, TERM_DIM, "why", TERM_PLAIN, json_str(one, "reason", ""));
    print_caveats(term, one);
  }
}

void indexes_print(const struct term *term, const json_t *result) {
  print_recommendations(term, json_object_get(result, "index_recommendations"));
  print_drops(term, json_object_get(result, "drop_candidates"));
  print_tuning(term, "Statistics", json_object_get(result, "statistics_recommendations"));
  print_tuning(term, "Settings", json_object_get(result, "settings_recommendations"));
}
