/* `autodb explain`, `autodb optimize`: a plan as a tree with its costs, what is wrong with it, what to do. */
#include "cli/plan.h"

#include <math.h>

#include "cli/cli.h"
#include "cli/indexes.h"
#include "cli/remote.h"
#include "cli/sql_print.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"

#define TIMEOUT_SECONDS 150
#define PLAN_BYTES (10 * 1024 * 1024)
#define LINE_BYTES 4096
#define DEPTH_SHOWN 40
#define FIGURES 28 /* columns before the tree */

/* --- the tree --- */

struct tree {
  const struct term *term;
  bool analyzed;
  double whole; /* of all time, or cost */
};

static double number(const json_t *node, const char *key) {
  const json_t *value = json_object_get(node, key);
  return json_is_number(value) ? json_number_value(value) : -1;
}

/* 1234567 as "1.2M": four columns are enough for a size. */
static const char *brief(double value, char out[16]) {
  static const char units[] = " kMGT";
  size_t unit = 0;
  while (value >= 10000 && units[unit + 1]) value /= 1000, unit++;
  snprintf(out, 16, "%.0f%.*s", value, unit ? 1 : 0, units + unit);
  return out;
}

static void put_rows(struct buf *line, const json_t *node, bool analyzed) {
  char rows[16];
  double factor = number(node, "estimate_factor");
  brief(analyzed ? number(node, "total_rows") : number(node, "plan_rows"), rows);
  if (analyzed && number(node, "actual_loops") == 0) snprintf(rows, sizeof rows, "never");
  buf_printf(line, " %6s", rows);
  if (analyzed && factor >= 10)
    buf_printf(line, " %c%-5.0f", strcmp(json_str(node, "estimate_direction", ""), "under") == 0 ? 'x' : '/', fmin(factor, 99999));
  else
    buf_puts(line, "       ");
}

static void put_name(struct buf *line, const json_t *node) {
  const char *relation = json_str(node, "relation_name", NULL), *schema = json_str(node, "schema", NULL),
             *alias = json_str(node, "alias", NULL);
  const char *operation = json_str(node, "operation", NULL), *index = json_str(node, "index_name", NULL),
             *join = json_str(node, "join_type", NULL);
  if (operation) buf_printf(line, "%s via ", operation);
  buf_puts(line, json_str(node, "node_type", "?"));
  if (join && strcmp(join, "Inner") != 0) buf_printf(line, " (%s)", join);
  if (index) buf_printf(line, " by %s", index);
  if (relation) buf_printf(line, " on %s%s%s", schema ? schema : "", schema ? "." : "", relation);
  if (alias && (!relation || strcmp(alias, relation) != 0)) buf_printf(line, " %s", alias);
  if (json_str(node, "subplan_name", NULL)) buf_printf(line, " [%s]", json_str(node, "subplan_name", ""));
}

static enum term_style heat(double share) { return share >= 0.4 ? TERM_RED : share >= 0.1 ? TERM_YELLOW : TERM_PLAIN; }

/* A line cut to the terminal: what is cut stands in --json. */
static void print_line(const struct tree *tree, enum term_style style, struct buf *line) {
  size_t columns = 0, at = 0;
  for (; at < line->len && columns + 1 < (size_t)tree->term->width; columns++) do
      at++;
    while (at < line->len && ((unsigned char)line->data[at] & 0xc0) == 0x80);
  bool cut = at < line->len;
  term_printf(tree->term, style, "%.*s%s\n", (int)at, buf_str(line), cut ? "…" : "");
}

static void print_conditions(const struct tree *tree, const json_t *node, int indent) {
  static const char *const conditions[] = {"index_cond", "hash_cond", "merge_cond", "join_filter", "filter"};
  for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
    const char *text = json_str(node, conditions[i], NULL);
    double removed = number(node, "rows_removed_by_filter");
    char count[16];
    BUF_AUTO line;
    buf_init(&line, LINE_BYTES);
    if (!text) continue;
    buf_printf(&line, "%*s%s %.1000s", FIGURES + indent, "", strstr(conditions[i], "filter") ? "keeps" : "where", text);
    if (removed > 0 && strcmp(conditions[i], "filter") == 0) buf_printf(&line, " (drops %s)", brief(removed, count));
    print_line(tree, TERM_DIM, &line);
  }
}

static void print_node(const struct tree *tree, const json_t *node, int depth) {
  const json_t *children = json_object_get(node, "children");
  double own = number(node, tree->analyzed ? "exclusive_time_ms" : "exclusive_cost"), share = tree->whole > 0 ? own / tree->whole : 0;
  int indent = 2 * (depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN);
  BUF_AUTO line;
  buf_init(&line, LINE_BYTES);
  buf_printf(&line, "%9.*f %3.0f%%", tree->analyzed ? 2 : 0, fmax(own, 0), fmin(100, fmax(0, 100 * share)));
  put_rows(&line, node, tree->analyzed);
  buf_printf(&line, "%*s", indent, "");
  put_name(&line, node);
  print_line(tree, heat(share), &line);
  print_conditions(tree, node, indent + 2);
  for (size_t i = 0; i < json_array_size(children); i++) print_node(tree, json_array_get(children, i), depth + 1);
}

/* --- what was found --- */

static void print_findings(const struct term *term, const json_t *findings) {
  static const struct {
    const char *severity;
    enum term_style style;
  } styles[] = {{"error", TERM_RED}, {"warning", TERM_YELLOW}, {"info", TERM_CYAN}};
  if (!json_array_size(findings)) return term_printf(term, TERM_GREEN, "\nNo findings.\n");
  term_heading(term, "Findings");
  for (size_t i = 0; i < json_array_size(findings); i++) {
    const json_t *finding = json_array_get(findings, i);
    enum term_style style = TERM_PLAIN;
    double ms = number(finding, "time_at_stake_ms"), cost = number(finding, "cost_at_stake");
    for (size_t k = 0; k < 3; k++)
      if (strcmp(styles[k].severity, json_str(finding, "severity", "")) == 0) style = styles[k].style;
    term_printf(term, style, "%s", json_str(finding, "code", ""));
    if (ms >= 0.05)
      term_printf(term, TERM_DIM, "  %.1f ms at stake", ms);
    else if (ms < 0 && cost > 0)
      term_printf(term, TERM_DIM, "  cost %.0f at stake", cost);
    putc('\n', term->out);
    term_para(term, 2, 2, TERM_PLAIN, "", TERM_PLAIN, json_str(finding, "message", ""));
    term_para(term, 2, 11, TERM_DIM, "advice", TERM_PLAIN, json_str(finding, "advice", ""));
  }
}

static void print_alternative(const struct term *term, const json_t *one) {
  const json_t *assumptions = json_object_get(one, "assumptions"), *verification = json_object_get(one, "verification");
  term_printf(term, TERM_BOLD, "%lld  %s", json_int(one, "rank", 0), json_str(one, "estimated_improvement", ""));
  double cost = number(json_object_get(one, "with_indexes"), "cost");
  term_printf(term, TERM_DIM, "  cost %.0f instead of %.0f\n", fmax(0, cost >= 0 ? cost : number(one, "rewritten_cost")),
              fmax(0, number(one, "original_cost")));
  term_para(term, 3, 3, TERM_PLAIN, "", TERM_PLAIN, json_str(one, "explanation", ""));
  sql_print(term, 3, json_str(one, "rewritten_sql", ""));
  const json_t *with = json_object_get(one, "with_indexes"), *needs = json_object_get(with, "create_sql");
  for (size_t i = 0; i < json_array_size(needs); i++)
    term_para(term, 3, 12, TERM_DIM, i ? "" : "with", TERM_PLAIN, json_string_value(json_array_get(needs, i)));
  for (size_t i = 0; i < json_array_size(assumptions); i++)
    term_para(term, 3, 12, TERM_DIM, i ? "" : "assumes", TERM_PLAIN, json_string_value(json_array_get(assumptions, i)));
  term_para(term, 3, 12, TERM_DIM, json_str(verification, "result", ""), TERM_DIM, json_str(verification, "details", ""));
  term_para(term, 3, 12, TERM_DIM, "by", TERM_DIM,
            strcmp(json_str(one, "proposed_by", ""), "model") == 0 ? "a language model" : json_str(one, "rule", ""));
}

static void print_alternatives(const struct term *term, const json_t *result) {
  const json_t *alternatives = json_object_get(result, "alternatives");
  long long dropped = json_int(json_object_get(result, "dropped_rewrites"), "count", 0);
  if (json_array_size(alternatives)) term_heading(term, "Other ways to write it");
  for (size_t i = 0; i < json_array_size(alternatives); i++) print_alternative(term, json_array_get(alternatives, i));
  const char *other = json_array_size(alternatives) ? "other " : "";
  if (dropped && !*other) putc('\n', term->out);
  if (dropped)
    term_printf(term, TERM_DIM, "%lld %sway%s to write it %s tried and dropped (--json says why)\n", dropped, other,
                dropped == 1 ? "" : "s", dropped == 1 ? "was" : "were");
}

static void print_context(const struct term *term, const json_t *context) {
  if (json_array_size(context)) term_heading(term, "Your documents");
  for (size_t i = 0; i < json_array_size(context); i++) {
    const json_t *one = json_array_get(context, i);
    const char *heading = json_str(one, "heading", "");
    term_printf(term, TERM_BOLD, "%s%s%s\n", json_str(one, "source", ""), *heading ? ": " : "", heading);
    term_para(term, 2, 2, TERM_PLAIN, "", TERM_PLAIN, json_str(one, "excerpt", ""));
  }
}

static void print_proposals(const struct term *term, const json_t *result) {
  const json_t *warnings = json_object_get(result, "warnings");
  print_alternatives(term, result);
  indexes_print(term, result);
  print_context(term, json_object_get(result, "business_context"));
  for (size_t i = 0; i < json_array_size(warnings); i++) {
    const char *text = json_string_value(json_array_get(warnings, i));
    if (text) term_para(term, 0, 9, TERM_YELLOW, "warning", TERM_PLAIN, text);
  }
}

void plan_print(const struct term *term, const json_t *result) {
  const json_t *plan = json_object_get(result, "execution_plan");
  struct tree tree = {.term = term, .analyzed = json_is_true(json_object_get(plan, "analyzed"))};
  tree.whole = tree.analyzed ? fmax(number(plan, "execution_time_ms"), number(plan, "total_time_ms")) : number(plan, "total_cost");
  term_printf(term, TERM_DIM, "%9s share   rows %s  node\n", tree.analyzed ? "own ms" : "own cost", tree.analyzed ? "off by" : "      ");
  print_node(&tree, json_object_get(plan, "root"), 0);
  double planning = number(plan, "planning_time_ms"); /* auto_explain has none */
  if (tree.analyzed && planning >= 0) term_printf(term, TERM_DIM, "planning %.2f ms, ", planning);
  if (tree.analyzed) term_printf(term, TERM_DIM, "execution %.2f ms\n", fmax(0, tree.whole));
  print_findings(term, json_object_get(result, "findings"));
  print_proposals(term, result);
}

/* --- the commands --- */

static int run(struct client *client, const char *path, const json_t *body, bool as_json) {
  ERROR_AUTO err = {0};
  struct term term;
  json_t *made = NULL;
  JSON_AUTO *job = NULL;
  if (client_call(client, "POST", path, body, NULL, &made, &err) || client_wait(client, made, TIMEOUT_SECONDS, &job, &err))
    return remote_failed(&err);
  if (as_json) return remote_print_json(job), CLI_OK;
  term_init(&term, stdout);
  plan_print(&term, json_object_get(job, "result"));
  return CLI_OK;
}

/* The file as the member `name` of a new body. */
static enum status read_body(const char *file, const char *name, size_t max, json_t **ret_body, struct error *err) {
  char *text = NULL;
  size_t len = 0;
  enum status status = cli_read_file(file, max, &text, &len, err);
  if (status) return status;
  *ret_body = json_pack("{s:s%}", name, text, len);
  free(text);
  return *ret_body ? OK : error_set(err, ERR_VALIDATION, "%.200s is not UTF-8 text", file);
}

int remote_explain(const struct cli_command *self, int argc, char **argv) {
  const char *file = NULL;
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 1, &file, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which file?");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *body = NULL;
  if (read_body(file, "plan", PLAN_BYTES, &body, &err)) return cli_fail(&err, NULL);
  if (client_new(&client, &err)) return remote_failed(&err);
  return run(client, "/api/v1/plans/parse", body, as_json);
}

int remote_optimize(const struct cli_command *self, int argc, char **argv) {
  const char *file = NULL, *connection = NULL;
  bool as_json = false, analyze = false, compare = false;
  int count = 0;
  const struct cli_option options[] = {{"--connection", &connection, NULL, NULL},
                                       {"--analyze", NULL, &analyze, NULL},
                                       {"--compare", NULL, &compare, NULL},
                                       {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &file, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which file?");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *body = NULL;
  char id[64], path[160];
  if (read_body(file, "sql", LIMIT_SQL_BYTES, &body, &err)) return cli_fail(&err, NULL);
  if (client_new(&client, &err) || remote_connection(client, connection, REMOTE_READS, id, &err)) return remote_failed(&err);
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize%s", id, analyze ? "?analyze=true" : "");
  return run(client, path, body, as_json);
}
