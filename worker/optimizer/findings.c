/* findings.c - asks every row, lets one of each cause speak, and puts the weightiest first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/optimizer/finding_impl.h"

const char *const severity_names[] = {"info", "warning", "error"};

/* Of what is at stake, as a share of the whole: below the first a finding is for information, from the second on it is what to do first. */
#define SHARE_NOTABLE 0.02
#define SHARE_MOST 0.5
#define MOST_MS 100.0
#define FINDINGS_MAX 200 /* of one plan, the lightest left out */

const struct finding_kind *finding_kind_at(size_t index) { return index < findings_table_count ? &findings_table[index] : NULL; }

const struct finding_kind *finding_kind_named(const char *code) {
  for (size_t i = 0; i < findings_table_count; i++)
    if (strcmp(findings_table[i].code, code) == 0) return &findings_table[i];
  return NULL;
}

/* --- filling --- */

void finding_stake(struct finding *finding, const struct plan_node *node, double share) {
  if (share > 1) share = 1;
  finding->time_at_stake_ms = node->exclusive_ms >= 0 ? node->exclusive_ms * share : PLAN_UNKNOWN;
  finding->cost_at_stake = node->exclusive_cost * share;
}

void finding_say(const struct finding_view *view, struct finding *finding, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  finding->message = arena_vprintf(view->arena, fmt, args);
  va_end(args);
}

void finding_advise(const struct finding_view *view, struct finding *finding, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  finding->advice = arena_vprintf(view->arena, fmt, args);
  va_end(args);
}

void finding_shows(const struct finding_view *view, struct finding *finding, json_t *take_evidence) {
  finding->evidence = arena_json(view->arena, take_evidence);
}

/* --- asking --- */

double finding_setting(const struct finding_view *view, const char *name, double otherwise) {
  const char *text = view->plan ? json_str(view->plan->settings, name, NULL) : NULL;
  char *unit = NULL;
  if (!text) return otherwise;
  double value = strtod(text, &unit);
  if (unit == text) return strcmp(text, "on") == 0 ? 1 : strcmp(text, "off") == 0 ? 0 : otherwise;
  return strcmp(unit, "MB") == 0 ? value * 1024 : strcmp(unit, "GB") == 0 ? value * 1024 * 1024 : value;
}

double finding_rows_read(const struct plan_node *node) {
  if (node->measured) return node->rows + (node->removed_by_filter + node->removed_by_recheck) * node->loops;
  return plan_is(node, "Seq Scan") && node->table && node->table->rows > 0 ? (double)node->table->rows : 0;
}

double finding_blocks(const struct plan_buffers *buffers) { return buffers->shared_hit + buffers->shared_read; }

const char *finding_columns(struct arena *arena, const char *condition) {
  struct condition_list list = {0};
  struct name_list names = {0};
  const char *text = NULL;
  conditions_read(arena, condition, &list);
  for (size_t i = 0; i < list.count; i++) {
    if (!condition_is_indexable(&list.items[i]) || list_has(names.items, names.count, list.items[i].column)) continue;
    const char **slot = LIST_PUSH(arena, &names);
    if (slot) *slot = list.items[i].column;
    text = arena_printf(arena, "%s%s%s", text ? text : "", text ? ", " : "", list.items[i].column);
  }
  return text;
}

const char *finding_number(struct arena *arena, double value) {
  char plain[64], out[96];
  int len = snprintf(plain, sizeof plain, "%.0f", value < 1e18 ? value : 1e18), at = 0;
  for (int i = 0; i < len && at < 90; i++) {
    if (i && plain[i - 1] != '-' && (len - i) % 3 == 0) out[at++] = ',';
    out[at++] = plain[i];
  }
  out[at] = '\0';
  const char *copy = arena_strdup(arena, out);
  return copy ? copy : "?";
}

bool finding_input_of(const struct plan_node *node, const char *type) {
  for (; node->parent && node->role != PLAN_SUBPLAN && node->role != PLAN_INITPLAN && node->role != PLAN_CTE; node = node->parent)
    if (plan_is(node->parent, type)) return true;
  return false;
}

/* --- gathering --- */

struct search {
  const struct finding_view *view;
  struct finding_list *list;
};

static double whole_ms(const struct finding_view *view) { return view->plan ? view->plan->total_ms : PLAN_UNKNOWN; }

/* Time decides where it is known, cost otherwise. */
static double share_of(const struct finding_view *view, const struct finding *finding) {
  double ms = whole_ms(view);
  if (finding->time_at_stake_ms >= 0 && ms > 0) return finding->time_at_stake_ms / ms;
  return view->plan && view->plan->total_cost > 0 ? finding->cost_at_stake / view->plan->total_cost : 1;
}

static void weigh(const struct finding_view *view, struct finding *finding) {
  double share = share_of(view, finding);
  if (finding->kind->scope == FINDING_TEXT || finding->severity == SEVERITY_INFO) return;
  if (share < SHARE_NOTABLE) finding->severity = SEVERITY_INFO;
  if (share >= SHARE_MOST && finding->severity == SEVERITY_WARNING && finding->time_at_stake_ms >= MOST_MS)
    finding->severity = SEVERITY_ERROR;
}

/* Two findings are about one thing: the same cause of the same node. */
static bool same_cause(const struct finding *a, const struct finding *b) {
  if (a->kind == b->kind && a->node == b->node && a->anchor == b->anchor && a->offset == b->offset) return true;
  return a->kind->cause != CAUSE_OWN && a->kind->cause == b->kind->cause && a->anchor && a->anchor == b->anchor;
}

/* Members of an Append that show the same are said once: partitions of a table, arms of the same making. */
static bool same_member(const struct finding *a, const struct finding *b) {
  const struct plan_node *one = a->node, *other = b->node;
  if (a->kind != b->kind || !one || !other || one == other) return false;
  while (one && one->role != PLAN_MEMBER) one = one->parent;
  while (other && other->role != PLAN_MEMBER) other = other->parent;
  return one && other && one->parent == other->parent;
}

static void absorb(struct finding *into, const struct finding *other) {
  if (other->time_at_stake_ms > into->time_at_stake_ms) into->time_at_stake_ms = other->time_at_stake_ms;
  if (other->cost_at_stake > into->cost_at_stake) into->cost_at_stake = other->cost_at_stake;
}

static void add(struct search *search, const struct finding *found) {
  for (size_t i = 0; i < search->list->count; i++) {
    struct finding *earlier = &search->list->items[i];
    if (same_cause(earlier, found)) { /* rows come in the order of who speaks */
      absorb(earlier, found);
      return;
    }
    if (same_member(earlier, found)) {
      earlier->repeats++;
      earlier->time_at_stake_ms += found->time_at_stake_ms >= 0 ? found->time_at_stake_ms : 0;
      earlier->cost_at_stake += found->cost_at_stake;
      return;
    }
  }
  struct finding *slot = search->list->count < 10 * FINDINGS_MAX ? LIST_PUSH(search->view->arena, search->list) : NULL;
  if (slot) *slot = *found;
}

static void ask(struct search *search, const struct finding_kind *kind, const struct plan_node *node) {
  struct finding found = {
      .kind = kind, .severity = kind->severity, .node = node, .anchor = node, .time_at_stake_ms = PLAN_UNKNOWN, .offset = -1};
  if (!kind->look(search->view, node, &found)) return;
  if (!found.advice) found.advice = kind->advice;
  if (!found.message) return; /* out of memory: the caller sees the arena full */
  add(search, &found);
}

static void ask_row(struct search *search, const struct finding_kind *kind) {
  const struct query_plan *plan = search->view->plan;
  if (kind->scope == FINDING_TEXT && search->view->statement) ask(search, kind, NULL);
  if (kind->scope == FINDING_PLAN && plan) ask(search, kind, plan->root);
  for (size_t i = 0; plan && (kind->scope == FINDING_NODE || kind->scope == FINDING_MEASURED) && i < plan->count; i++) {
    const struct plan_node *node = plan->nodes[i];
    bool ran = node->measured && !node->never_executed;
    if (ran || (kind->scope == FINDING_NODE && !node->measured)) ask(search, kind, node);
  }
}

static int by_weight(const void *a, const void *b) {
  const struct finding *one = a, *other = b;
  double ms = other->time_at_stake_ms - one->time_at_stake_ms, cost = other->cost_at_stake - one->cost_at_stake;
  if (fabs(ms) > 1e-9) return ms > 0 ? 1 : -1;
  if (fabs(cost) > 1e-9) return cost > 0 ? 1 : -1;
  if (one->severity != other->severity) return one->severity < other->severity ? 1 : -1;
  return one->kind < other->kind ? -1 : one->kind > other->kind;
}

enum status findings_find(const struct finding_view *view, struct finding_list *ret_findings, struct error *err) {
  struct finding_list list = {0};
  struct search search = {view, &list};
  for (size_t i = 0; i < findings_table_count; i++) ask_row(&search, &findings_table[i]);
  for (size_t i = 0; i < list.count; i++) weigh(view, &list.items[i]);
  if (list.count) qsort(list.items, list.count, sizeof *list.items, by_weight);
  if (list.count > FINDINGS_MAX) list.count = FINDINGS_MAX;
  if (!arena_alloc(view->arena, 1)) return error_oom(err);
  *ret_findings = list;
  return OK;
}

/* --- answering --- */

static json_t *rounded(double value) { return value < 0 ? json_null() : json_real(round(value * 1000) / 1000); }

json_t *findings_json(const struct finding_list *findings) {
  json_t *list = json_array();
  for (size_t i = 0; i < findings->count; i++) {
    const struct finding *finding = &findings->items[i];
    json_t *one = json_pack("{s:s, s:s, s:s}", "code", finding->kind->code, "severity", severity_names[finding->severity], "message",
                            finding->message);
    json_object_set_new(one, "node_path", finding->node ? plan_path_json(finding->node) : json_null());
    json_object_set_new(one, "evidence", finding->evidence ? json_incref(finding->evidence) : json_object());
    if (finding->repeats) json_object_set_new(json_object_get(one, "evidence"), "nodes", json_integer((json_int_t)finding->repeats + 1));
    json_set_str(one, "advice", finding->advice);
    json_object_set_new(one, "time_at_stake_ms", rounded(finding->time_at_stake_ms));
    json_object_set_new(one, "cost_at_stake", finding->kind->scope == FINDING_TEXT ? json_null() : rounded(finding->cost_at_stake));
    json_object_set_new(one, "offset", finding->offset >= 0 ? json_integer(finding->offset) : json_null());
    json_array_append_new(list, one);
  }
  return list;
}
