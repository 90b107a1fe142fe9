/* plan_lines.c - which line belongs to which node.
 *
 * A child's arrow stands where its parent's properties stand; "SubPlan 1" and its like stand there, too, and the arrow they announce two
 * columns further in. So a node's parent is the last one whose arrow stands left of its own, or of its announcement. Properties follow
 * their node at once; a worker's stand further in than "Worker 0:". What belongs to the whole plan stands at the left edge, after all
 * nodes. */
#include "worker/optimizer/plan_lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/limits.h"

#define PROPERTIES_MAX 200 /* of one node */

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* --- what a line is --- */

/* Where the numbers in parentheses begin; NULL when there are none. A filter may hold such text, a node's name can't. */
static const char *numbers_of(const char *text) {
  static const char *const heads[] = {"(cost=", "(actual time=", "(actual rows=", "(never executed)"};
  const char *first = NULL;
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
    const char *at = strstr(text, heads[i]);
    if (at && at > text && at[-1] == ' ' && (!first || at < first)) first = at;
  }
  return first;
}

/* "Filter: …": the bytes before the colon, 0 when there is none. Keys are words. */
static size_t key_length(const char *text) {
  size_t len = 0;
  while (text[len] && text[len] != ':' && (isalnum((unsigned char)text[len]) || strchr(" -/_()", text[len]))) len++;
  return text[len] == ':' && len && len < 60 && isupper((unsigned char)*text) ? len : 0;
}

static bool announces(const char *text) {
  return (begins(text, "CTE ") || begins(text, "InitPlan ") || begins(text, "SubPlan ")) && !strchr(text, ':') && !numbers_of(text);
}

static bool about_whole(const char *text) {
  static const char *const heads[] = {
      "Planning Time:", "Execution Time:", "Planning time:",    "Execution time:", "Total runtime:", "Planning:",
      "JIT:",           "Settings:",       "Query Identifier:", "Serialization:",  "Trigger "};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
    if (begins(text, heads[i])) return true;
  return false;
}

bool plan_line_is_node(const char *text) { return begins(text, "->") || (numbers_of(text) && !key_length(text)); }

bool plan_line_is_known(const char *text) {
  size_t key = key_length(text);
  return announces(text) || about_whole(text) || begins(text, "Worker ") || (key && plan_words_known(text, key));
}

/* --- reading --- */

struct open_node {
  json_t *json, *plans;
  int arrow;  /* column of its "->"; -1 of the root */
  int inputs; /* children so far that are no InitPlan or SubPlan */
};

struct reader {
  struct arena *arena;
  json_t *whole;    /* "Plan", "Planning Time", … */
  json_t *node;     /* the last one */
  json_t *worker;   /* of it, while its lines last; NULL */
  json_t *planning; /* "Planning:" or "JIT:", while its lines last; NULL */
  struct open_node open[LIMIT_PLAN_DEPTH + 1];
  int depth;
  int base; /* column of the root */
  int worker_column, label_column;
  const char *label; /* of the next node; NULL */
  size_t nodes;
  const struct plan_line *line;
  struct error *err;
};

#define SHOWN 80 /* bytes of a line in a complaint */

static enum status wrong(struct reader *reader, const char *what) {
  const char *text = reader->line->text;
  size_t len = strlen(text), shown = len > SHOWN ? SHOWN : len;
  while (shown < len && shown && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--; /* whole characters */
  return error_set_code(reader->err, ERR_VALIDATION, "PLAN_INVALID", "plan: line %d %s: \"%.*s%s\"", reader->line->number, what, (int)shown,
                        text, shown < len ? "…" : "");
}

static enum status too_large(struct reader *reader, const char *what, int most) {
  return error_set_code(reader->err, ERR_VALIDATION, "PLAN_TOO_LARGE", "plan: line %d: %s %d", reader->line->number, what, most);
}

/* Its "Parent Relationship" and "Subplan Name", as far as text tells. */
static void relate(struct reader *reader, json_t *node, const json_t *parent, int inputs) {
  const char *type = json_str(parent, "Node Type", ""), *label = reader->label;
  const char *relation = inputs == 0 ? "Outer" : inputs == 1 ? "Inner" : "Member";
  if (begins(type, "Append") || begins(type, "Merge Append") || begins(type, "Bitmap") || (begins(type, "ModifyTable") && inputs))
    relation = "Member";
  if (begins(type, "Subquery Scan")) relation = "Subquery";
  if (strcmp(type, "Bitmap Heap Scan") == 0) relation = "Outer";
  if (label) {
    relation = begins(label, "SubPlan") ? "SubPlan" : "InitPlan";
    json_set_str(node, "Subplan Name", label);
  }
  json_set_str(node, "Parent Relationship", relation);
}

/* Puts the node below its parent and makes it the one that is read. */
static enum status place(struct reader *reader, json_t *node, int arrow) {
  int column = reader->label ? reader->label_column : arrow;
  while (reader->depth && reader->open[reader->depth - 1].arrow >= column) reader->depth--;
  if (!reader->depth) return wrong(reader, "is a second plan, or is not indented as EXPLAIN does");
  if (reader->depth > LIMIT_PLAN_DEPTH - 1) return too_large(reader, "nodes are nested deeper than", LIMIT_PLAN_DEPTH);
  if (++reader->nodes > LIMIT_PLAN_NODES) return too_large(reader, "there are more nodes than", LIMIT_PLAN_NODES);
  struct open_node *parent = &reader->open[reader->depth - 1];
  if (!parent->plans) json_object_set_new(parent->json, "Plans", parent->plans = json_array());
  relate(reader, node, parent->json, parent->inputs);
  parent->inputs += reader->label == NULL;
  if (json_array_append(parent->plans, node)) return error_oom(reader->err);
  reader->open[reader->depth++] = (struct open_node){.json = node, .arrow = arrow};
  return OK;
}

static enum status read_node(struct reader *reader) {
  const struct plan_line *line = reader->line;
  const char *text = line->text, *numbers;
  bool arrow = begins(text, "->");
  if (arrow) text += 2 + strspn(text + 2, " ");
  numbers = numbers_of(text);
  size_t len = numbers ? (size_t)(numbers - text) : strlen(text);
  while (len && text[len - 1] == ' ') len--;
  if (!arrow && reader->nodes) return wrong(reader, "is a second plan, or nothing that EXPLAIN prints");
  json_t *node = arena_json(reader->arena, json_object());
  if (!node || !plan_words_node(text, len, reader->arena, node)) return node ? wrong(reader, "names no node") : error_oom(reader->err);
  if (!numbers && !plan_words_is_type(json_str(node, "Node Type", ""))) return wrong(reader, "names no node of a plan");
  if (numbers && !plan_words_numbers(numbers, node)) return wrong(reader, "has numbers that can't be read (is it cut off?)");
  reader->node = node;
  reader->worker = reader->planning = NULL;
  enum status status = OK;
  if (!reader->depth && !reader->nodes) {
    reader->open[reader->depth++] = (struct open_node){.json = node, .arrow = line->indent - 1};
    reader->base = line->indent;
    reader->nodes = 1;
    json_object_set(reader->whole, "Plan", node);
  } else {
    status = place(reader, node, line->indent);
  }
  reader->label = NULL;
  return status;
}

/* "Worker 0:  Sort Method: …", "Worker 1:  actual time=…", "Worker 0: actual time=…". */
static enum status read_worker(struct reader *reader) {
  char *rest = NULL;
  const char *text = reader->line->text;
  long number = strtol(text + strlen("Worker "), &rest, 10);
  if (!rest || *rest != ':') return wrong(reader, "names no worker");
  json_t *workers = json_object_get(reader->node, "Workers"), *one = NULL;
  size_t index;
  if (!workers) json_object_set_new(reader->node, "Workers", workers = json_array());
  json_array_foreach(workers, index, one) if (json_int(one, "Worker Number", -1) == number) break;
  if (index == json_array_size(workers)) {
    one = json_pack("{s:I}", "Worker Number", (json_int_t)number);
    json_array_append_new(workers, one);
  }
  reader->worker = one;
  reader->worker_column = reader->line->indent;
  rest += 1 + strspn(rest + 1, " ");
  size_t key = key_length(rest);
  if (key) plan_words_property(rest, key, rest + key + 1 + strspn(rest + key + 1, " "), reader->arena, one);
  if (begins(rest, "actual ")) {
    const char *numbers = arena_printf(reader->arena, "(%s)", rest);
    if (!numbers || !plan_words_numbers(numbers, one)) return wrong(reader, "has numbers that can't be read");
  }
  return OK;
}

/* "Trigger audit on orders: time=0.5 calls=10", "Trigger for constraint fk: time=…". */
static void read_trigger(struct reader *reader) {
  const char *text = reader->line->text + strlen("Trigger "), *times = strstr(text, ": time="), *calls = strstr(text, "calls=");
  if (!times && !calls) return;
  json_t *list = json_object_get(reader->whole, "Triggers"), *one = json_object();
  if (!list) json_object_set_new(reader->whole, "Triggers", list = json_array());
  bool constraint = begins(text, "for constraint ");
  if (constraint) text += strlen("for constraint ");
  const char *colon = strchr(text, ':');
  const char *name = arena_strndup(reader->arena, text, colon ? (size_t)(colon - text) : strlen(text)),
             *on = name ? strstr(name, " on ") : NULL;
  if (on) json_set_str(one, "Relation", on + 4);
  json_set_str(one, constraint ? "Constraint Name" : "Trigger Name", on ? arena_strndup(reader->arena, name, (size_t)(on - name)) : name);
  if (times) plan_words_set_number(one, "Time", times + strlen(": time="));
  if (calls) plan_words_set_number(one, "Calls", calls + strlen("calls="));
  json_array_append_new(list, one);
}

/* "work_mem = '64MB', jit = 'off'". */
static void read_settings(struct reader *reader, const char *text) {
  json_t *settings = json_object();
  while (*text) {
    const char *equals = strstr(text, " = '"), *end = equals ? strchr(equals + 4, '\'') : NULL;
    if (!end) break;
    const char *name = arena_strndup(reader->arena, text, (size_t)(equals - text));
    const char *value = arena_strndup(reader->arena, equals + 4, (size_t)(end - equals - 4));
    if (name) json_set_str(settings, name, value);
    text = end + 1 + strspn(end + 1, ", ");
  }
  json_object_set_new(reader->whole, "Settings", settings);
}

/* "Generation 1.2 ms (Deform 0.3 ms), Inlining 0.1 ms, …, Total 9.9 ms". */
static void read_jit_timing(struct reader *reader, const char *text) {
  json_t *timing = json_object();
  while (*(text += strspn(text, " (),"))) {
    size_t len = strcspn(text, " ");
    const char *name = arena_strndup(reader->arena, text, len);
    text += len + strspn(text + len, " ");
    if (name && isdigit((unsigned char)*text)) plan_words_set_number(timing, name, text);
    text += strcspn(text, ",(");
  }
  json_object_set_new(reader->planning, "Timing", timing);
}

static void read_serialization(struct reader *reader, const char *text) {
  json_t *serialization = json_object();
  const char *time = strstr(text, "time="), *output = strstr(text, "output="), *format = strstr(text, "format=");
  if (time) plan_words_set_number(serialization, "Time", time + strlen("time="));
  if (output) plan_words_set_number(serialization, "Output Volume", output + strlen("output="));
  if (format) json_set_str(serialization, "Format", arena_strndup(reader->arena, format + 7, strcspn(format + 7, " ")));
  json_object_set_new(reader->whole, "Serialization", serialization);
  reader->planning = serialization;
}

static void read_whole(struct reader *reader) {
  const char *text = reader->line->text, *value = strchr(text, ':');
  value = value ? value + 1 + strspn(value + 1, " ") : "";
  reader->planning = NULL;
  if (begins(text, "Trigger ")) read_trigger(reader);
  if (begins(text, "Settings:")) read_settings(reader, value);
  if (begins(text, "Query Identifier:")) plan_words_set_number(reader->whole, "Query Identifier", value);
  if (begins(text, "Serialization:")) read_serialization(reader, value);
  if (begins(text, "Planning Time:") || begins(text, "Planning time:")) plan_words_set_number(reader->whole, "Planning Time", value);
  if (begins(text, "Execution Time:") || begins(text, "Execution time:") || begins(text, "Total runtime:"))
    plan_words_set_number(reader->whole, "Execution Time", value);
  if (begins(text, "Planning:") || begins(text, "JIT:")) {
    const char *name = *text == 'P' ? "Planning" : "JIT";
    json_object_set_new(reader->whole, name, reader->planning = json_object());
  }
}

/* Below "Planning:", "JIT:", "Serialization:". */
static void read_block(struct reader *reader) {
  const char *text = reader->line->text, *colon = strchr(text, ':');
  const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : "";
  if (begins(text, "Functions:")) plan_words_set_number(reader->planning, "Functions", value);
  if (begins(text, "Timing:")) read_jit_timing(reader, value);
  if (begins(text, "Buffers:") || begins(text, "I/O Timings:"))
    plan_words_property(text, (size_t)(colon - text), value, reader->arena, reader->planning);
  const char *used = begins(text, "Memory:") ? strstr(text, "used=") : NULL, *allocated = used ? strstr(text, "allocated=") : NULL;
  if (used) plan_words_set_number(reader->planning, "Memory Used", used + strlen("used="));
  if (allocated) plan_words_set_number(reader->planning, "Memory Allocated", allocated + strlen("allocated="));
}

static enum status read_property(struct reader *reader) {
  const char *text = reader->line->text;
  size_t key = key_length(text);
  if (!key) return wrong(reader, "is nothing that EXPLAIN prints");
  const char *value = text + key + 1 + strspn(text + key + 1, " ");
  if (reader->worker && reader->line->indent <= reader->worker_column) reader->worker = NULL;
  json_t *into = reader->worker ? reader->worker : reader->node;
  if (json_object_size(into) > PROPERTIES_MAX) return too_large(reader, "a node has more properties than", PROPERTIES_MAX);
  plan_words_property(text, key, value, reader->arena, into);
  return OK;
}

static enum status read_line(struct reader *reader) {
  const char *text = reader->line->text;
  bool edge = reader->nodes && reader->line->indent <= reader->base;
  if (reader->planning && !about_whole(text)) return read_block(reader), OK;
  if (edge && about_whole(text)) return read_whole(reader), OK;
  if (!reader->nodes || plan_line_is_node(text)) return read_node(reader);
  if (announces(text)) {
    reader->label = text;
    reader->label_column = reader->line->indent;
    return OK;
  }
  return begins(text, "Worker ") ? read_worker(reader) : read_property(reader);
}

/* --- is anything missing --- */

/* A plan that was cut off where a line ended shows in nodes without the inputs they must have. */
static enum status check_inputs(struct reader *reader, const json_t *node) {
  static const char *const one[] = {"Sort",         "Hash",    "Limit",     "Gather",    "Gather Merge",     "Unique",
                                    "Materialize",  "Memoize", "WindowAgg", "Aggregate", "Bitmap Heap Scan", "Incremental Sort",
                                    "Subquery Scan"};
  static const char *const two[] = {"Nested Loop", "Hash Join", "Merge Join"};
  const char *type = json_str(node, "Node Type", "");
  const json_t *plans = json_object_get(node, "Plans"), *child;
  size_t index, have = 0, need = 0;
  json_array_foreach(plans, index, child) have += json_object_get(child, "Subplan Name") == NULL;
  for (size_t i = 0; i < sizeof one / sizeof *one; i++) need = strcmp(one[i], type) == 0 ? 1 : need;
  for (size_t i = 0; i < sizeof two / sizeof *two; i++) need = strcmp(two[i], type) == 0 ? 2 : need;
  if (have < need)
    return error_set_code(reader->err, ERR_VALIDATION, "PLAN_INVALID",
                          "plan: %s has %zu of its %zu inputs: the plan is cut off, or its indentation is lost", type, have, need);
  json_array_foreach(plans, index, child) {
    enum status status = check_inputs(reader, child);
    if (status) return status;
  }
  return OK;
}

enum status plan_lines_json(const struct plan_line *lines, size_t count, struct arena *arena, json_t **ret_json, struct error *err) {
  struct reader *reader = ARENA_NEW(arena, struct reader);
  json_t *whole = arena_json(arena, json_object());
  if (!reader || !whole) return error_oom(err);
  *reader = (struct reader){.arena = arena, .whole = whole, .err = err};
  enum status status = OK;
  for (size_t i = 0; !status && i < count; i++) {
    reader->line = &lines[i];
    status = read_line(reader);
  }
  if (!status && !reader->nodes) status = error_set_code(err, ERR_VALIDATION, "PLAN_INVALID", "plan: there is no plan in the text");
  if (!status) status = check_inputs(reader, json_object_get(whole, "Plan"));
  if (!status) *ret_json = whole;
  return status;
}
