/* check_sarif.c - SARIF 2.1.0, what code scanning reads: rules, results with their places, what was silenced and why. */
#include <limits.h>
#include <unistd.h>

#include "cli/check.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/json.h"
#include "worker/migration/rules.h"

#define SARIF_SCHEMA "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#define TEXT_MAX (4 << 20)

struct sarif {
  json_t *rules, *results;
  char cwd[PATH_MAX];
};

static const char *const levels[] = {"note", "warning", "error"};

/* What no row of the catalogue says. */
static const struct {
  const char *id, *text, *help;
} own_rules[] = {{"syntax-error", "The SQL can't be parsed", "PostgreSQL would refuse the whole file."},
                 {"migration-fails", "The migration fails in a clone of the schema",
                  "It was run on a copy of the schema with made-up rows, and did not pass."},
                 {"not-checked", "The file could not be checked", "It could not be read, or its analysis ended without a report."}};

/* --- rules --- */

static json_t *text_json(const char *text) { return json_pack("{s:s}", "text", text); }

static void add_rule(struct sarif *sarif, const char *id, enum severity severity, const char *text, const char *why, const char *advice,
                     bool catalogued) {
  json_t *rule = json_pack("{s:s, s:o, s:o, s:{s:s}}", "id", id, "shortDescription", text_json(text), "fullDescription",
                           text_json(why ? why : text), "defaultConfiguration", "level", levels[severity]);
  BUF_AUTO help;
  buf_init(&help, TEXT_MAX);
  buf_printf(&help, "%s%s%s", why ? why : text, advice ? "\n\nSafer: " : "", advice ? advice : "");
  json_object_set_new(rule, "help", text_json(buf_str(&help)));
  if (catalogued) json_object_set_new(rule, "properties", json_pack("{s:o}", "documentation", json_sprintf("RULES.md#%s", id)));
  json_array_append_new(sarif->rules, rule);
}

static void add_rules(struct sarif *sarif) {
  const struct rule *rule;
  for (size_t i = 0; (rule = rules_at(i)); i++)
    add_rule(sarif, rule->id, rule->severity, rule->message, rule->why, rule->safe_alternative, true);
  for (size_t i = 0; i < sizeof own_rules / sizeof *own_rules; i++)
    add_rule(sarif, own_rules[i].id, SEVERITY_ERROR, own_rules[i].text, own_rules[i].help, NULL, false);
}

static int rule_index(const struct sarif *sarif, const char *id) {
  size_t index;
  json_t *rule;
  json_array_foreach(sarif->rules, index, rule) if (strcmp(json_str(rule, "id", ""), id) == 0) return (int)index;
  return -1;
}

/* --- places --- */

static void put_uri(struct buf *uri, const char *path) {
  for (; *path; path++) {
    unsigned char c = (unsigned char)*path;
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~/", c);
    if (plain)
      buf_putc(uri, (char)c);
    else
      buf_printf(uri, "%%%02X", c);
  }
}

/* Below the working directory: relative to it, which is the checkout. */
static json_t *artifact_json(const struct sarif *sarif, const char *path) {
  char full[PATH_MAX];
  size_t len = strlen(sarif->cwd);
  const char *real = realpath(path, full) ? full : path;
  bool below = len > 1 && strncmp(real, sarif->cwd, len) == 0 && real[len] == '/';
  bool known = *path != '/' && strncmp(path, "..", 2) != 0; /* a symbolic link keeps the name it has here */
  while (strncmp(path, "./", 2) == 0) path += 2;
  BUF_AUTO uri;
  buf_init(&uri, TEXT_MAX);
  if (!below && !known) buf_puts(&uri, "file://");
  put_uri(&uri, known ? path : below ? real + len + 1 : real);
  json_t *json = json_object();
  json_set_str(json, "uri", buf_str(&uri));
  if (below || known) json_set_str(json, "uriBaseId", "%SRCROOT%");
  return json;
}

static json_t *region_json(const struct check_note *note) {
  json_t *region = json_object();
  json_object_set_new(region, "startLine", json_integer(note->line > 0 ? note->line : 1));
  if (note->column > 0) json_object_set_new(region, "startColumn", json_integer(note->column));
  if (note->end_line > 0) json_object_set_new(region, "endLine", json_integer(note->end_line));
  if (note->end_column > 0) json_object_set_new(region, "endColumn", json_integer(note->end_column));
  return region;
}

/* Stays the same when lines move. */
static json_t *fingerprint_json(const struct check_note *note) {
  char hash[SHA256_HEX];
  BUF_AUTO text;
  buf_init(&text, TEXT_MAX);
  buf_printf(&text, "%s\n%s\n%s\n%s", note->rule, note->file->name, note->sql ? note->sql : "", note->message);
  crypto_sha256_hex(buf_str(&text), text.len, hash);
  return json_pack("{s:s}", "autodbFinding/v1", hash);
}

/* --- results --- */

static void add_result(void *arg, const struct check_note *note) {
  struct sarif *sarif = arg;
  BUF_AUTO message;
  buf_init(&message, TEXT_MAX);
  buf_puts(&message, note->message);
  if (note->why) buf_printf(&message, "\n%s", note->why);
  if (note->advice) buf_printf(&message, "\nSafer: %s", note->advice);
  json_t *place = json_pack("{s:{s:o, s:o}}", "physicalLocation", "artifactLocation", artifact_json(sarif, note->file->path), "region",
                            region_json(note));
  json_t *result = json_pack("{s:s, s:s, s:o, s:[o], s:o}", "ruleId", note->rule, "level", levels[note->level], "message",
                             text_json(buf_str(&message)), "locations", place, "partialFingerprints", fingerprint_json(note));
  int index = rule_index(sarif, note->rule);
  if (index >= 0) json_object_set_new(result, "ruleIndex", json_integer(index));
  json_t *silenced = json_array();
  if (note->suppressed)
    json_array_append_new(silenced, json_pack("{s:s, s:s}", "kind", strcmp(note->suppressed, "--ignore") == 0 ? "external" : "inSource",
                                              "justification", note->suppressed));
  json_object_set_new(result, "suppressions", silenced);
  json_array_append_new(sarif->results, result);
}

static json_t *notifications(const struct check_list *list) {
  json_t *array = json_array();
  for (size_t i = 0; i < list->count; i++) {
    const struct check_file *file = &list->items[i];
    if (file->problem)
      json_array_append_new(
          array, json_pack("{s:s, s:{s:o}}", "level", "warning", "message", "text", json_sprintf("%s: %s", file->path, file->problem)));
  }
  return array;
}

void check_print_sarif(FILE *out, const struct check_list *list, const struct check_summary *sum) {
  struct sarif sarif = {.rules = json_array(), .results = json_array()};
  if (!getcwd(sarif.cwd, sizeof sarif.cwd)) sarif.cwd[0] = 0;
  add_rules(&sarif);
  check_result_notes(list, add_result, &sarif);
  json_t *driver = json_pack("{s:s, s:s, s:s, s:o}", "name", "autodb", "version", AUTODB_VERSION, "semanticVersion", AUTODB_VERSION,
                             "rules", sarif.rules);
  json_t *run =
      json_pack("{s:{s:o}, s:s, s:[{s:b, s:o}], s:o}", "tool", "driver", driver, "columnKind", "unicodeCodePoints", "invocations",
                "executionSuccessful", sum->failed == 0, "toolExecutionNotifications", notifications(list), "results", sarif.results);
  json_t *root = json_pack("{s:s, s:s, s:[o]}", "$schema", SARIF_SCHEMA, "version", "2.1.0", "runs", run);
  if (root && json_dumpf(root, out, JSON_INDENT(2)) == 0) putc('\n', out);
  json_decref(root);
}
