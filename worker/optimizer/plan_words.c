/* plan_words.c - the words of EXPLAIN's text format, translated into the members of its JSON. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "worker/optimizer/plan_lines.h"

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* A number as JSON has it: an integer where nothing stands behind a point. */
void plan_words_set_number(json_t *fields, const char *name, const char *text) {
  size_t digits = strspn(text, "0123456789-");
  json_t *value = text[digits] == '.' || digits > 18 ? json_real(strtod(text, NULL)) : json_integer(strtoll(text, NULL, 10));
  json_object_set_new(fields, name, value);
}

/* --- numbers behind a node --- */

/* Reads `format`'s literals and, for each '#', a number into fields under the next name. */
static bool scan(const char **at, const char *format, const char *const *names, json_t *fields) {
  const char *p = *at;
  for (; *format; format++) {
    if (*format == ' ') { /* where a line was broken there is none, or two */
      p += strspn(p, " ");
      continue;
    }
    if (*format != '#') {
      if (*p++ != *format) return false;
      continue;
    }
    size_t len = strspn(p, "0123456789");
    if (p[len] == '.' && isdigit((unsigned char)p[len + 1])) len += 1 + strspn(p + len + 1, "0123456789");
    if (!len || len > 40) return false;
    plan_words_set_number(fields, *names++, p);
    p += len;
  }
  *at = p;
  return true;
}

bool plan_words_numbers(const char *text, json_t *fields) {
  static const char *const cost[] = {"Startup Cost", "Total Cost", "Plan Rows", "Plan Width"};
  static const char *const actual[] = {"Actual Startup Time", "Actual Total Time", "Actual Rows", "Actual Loops"};
  while (*text) {
    text += strspn(text, " \t");
    if (begins(text, "(cost=")) {
      if (!scan(&text, "(cost=#..# rows=# width=#)", cost, fields)) return false;
    } else if (begins(text, "(actual time=")) {
      if (!scan(&text, "(actual time=#..# rows=# loops=#)", actual, fields)) return false;
    } else if (begins(text, "(actual rows=")) {
      if (!scan(&text, "(actual rows=# loops=#)", actual + 2, fields)) return false;
    } else if (begins(text, "(never executed)")) {
      text += strlen("(never executed)");
      json_object_set_new(fields, "Actual Rows", json_integer(0));
      json_object_set_new(fields, "Actual Loops", json_integer(0));
    } else {
      return !*text;
    }
  }
  return true;
}

/* --- what a node is --- */

/* The next name of a dotted or spaced list, its quotes taken off; NULL at the end. */
static const char *take_name(const char **at, const char *end, struct arena *arena) {
  const char *p = *at;
  while (p < end && (*p == ' ' || *p == '.')) p++;
  if (p >= end) return NULL;
  char *name = arena_alloc(arena, (size_t)(end - p) + 1), *out = name;
  if (!name) return NULL;
  if (*p == '"') {
    for (p++; p < end; p++) {
      if (*p == '"' && !(p + 1 < end && p[1] == '"')) break;
      if (*p == '"') p++;
      *out++ = *p;
    }
    if (p < end) p++;
  } else {
    while (p < end && *p != ' ' && *p != '.') *out++ = *p++;
  }
  *out = '\0';
  *at = p;
  return name;
}

/* "shop.orders o": what is read goes under `what`, its schema (printed under VERBOSE) under "Schema", and the name it goes by under
 * "Alias". */
static void put_target(const char *text, const char *end, const char *what, struct arena *arena, json_t *fields) {
  const char *at = text, *first = take_name(&at, end, arena);
  bool dotted = at < end && *at == '.';
  const char *second = dotted ? take_name(&at, end, arena) : NULL;
  const char *name = second ? second : first, *alias = take_name(&at, end, arena);
  if (!name) return;
  if (what) json_set_str(fields, what, name);
  if (what && second) json_set_str(fields, "Schema", first);
  json_set_str(fields, "Alias", alias ? alias : name);
}

static const char *find(const char *text, const char *end, const char *word) {
  size_t len = strlen(word);
  for (const char *at = text; at + len <= end; at++)
    if (memcmp(at, word, len) == 0) return at;
  return NULL;
}

static const struct {
  const char *type, *target; /* of "TYPE on TARGET"; NULL: an alias alone */
} reads[] = {{"CTE Scan", "CTE Name"},
             {"WorkTable Scan", "CTE Name"},
             {"Function Scan", "Function Name"},
             {"Subquery Scan", NULL},
             {"Values Scan", NULL},
             {"Table Function Scan", "Table Function Name"},
             {"Bitmap Index Scan", "Index"},
             {"Named Tuplestore Scan", "Tuplestore Name"}};

static void put_read(const char *text, const char *on, const char *end, struct arena *arena, json_t *fields) {
  const char *type = arena_strndup(arena, text, (size_t)(on - text)), *target = "Relation Name";
  json_set_str(fields, "Node Type", type);
  for (size_t i = 0; type && i < sizeof reads / sizeof *reads; i++)
    if (strcmp(reads[i].type, type) == 0) target = reads[i].target;
  on += strlen(" on ");
  if (target && strcmp(target, "Index") == 0)
    json_set_str(fields, "Index Name", take_name(&on, end, arena));
  else
    put_target(on, end, target, arena, fields);
}

/* "Index Only Scan Backward using orders_pkey on orders o". */
static void put_index_scan(const char *text, const char *using, const char *end, struct arena *arena, json_t *fields) {
  static const char backward[] = " Backward";
  const char *type_end = using, *at = using + strlen(" using ");
  bool back = using - text > (long)strlen(backward) && memcmp(using - strlen(backward), backward, strlen(backward)) == 0;
  if (back) type_end -= strlen(backward);
  json_set_str(fields, "Node Type", arena_strndup(arena, text, (size_t)(type_end - text)));
  json_set_str(fields, "Scan Direction", back ? "Backward" : "Forward");
  json_set_str(fields, "Index Name", take_name(&at, end, arena));
  while (at < end && *at == ' ') at++;
  if (begins(at, "on ")) put_target(at + 3, end, "Relation Name", arena, fields);
}

/* "Hash Right Anti Join": false when it is none. */
static bool put_join(const char *text, size_t len, struct arena *arena, json_t *fields) {
  static const char *const methods[][2] = {{"Nested Loop", "Nested Loop"}, {"Hash ", "Hash Join"}, {"Merge ", "Merge Join"}};
  bool join = len > 5 && memcmp(text + len - 5, " Join", 5) == 0;
  for (size_t i = 0; i < 3; i++) {
    size_t head = strlen(methods[i][0]);
    if (len < head || memcmp(text, methods[i][0], head) != 0 || !(join || (i == 0 && len == head))) continue;
    json_set_str(fields, "Node Type", methods[i][1]);
    const char *type = text + head, *end = join ? text + len - 5 : text + len;
    while (type < end && *type == ' ') type++;
    json_set_str(fields, "Join Type", type < end ? arena_strndup(arena, type, (size_t)(end - type)) : "Inner");
    return true;
  }
  return false;
}

static const struct {
  const char *text, *type, *member, *value;
} kinds[] = {{"HashAggregate", "Aggregate", "Strategy", "Hashed"},
             {"GroupAggregate", "Aggregate", "Strategy", "Sorted"},
             {"MixedAggregate", "Aggregate", "Strategy", "Mixed"},
             {"Aggregate", "Aggregate", "Strategy", "Plain"},
             {"HashSetOp ", "SetOp", "Strategy", "Hashed"},
             {"SetOp ", "SetOp", "Strategy", "Sorted"},
             {"Insert on ", "ModifyTable", "Operation", "Insert"},
             {"Update on ", "ModifyTable", "Operation", "Update"},
             {"Delete on ", "ModifyTable", "Operation", "Delete"},
             {"Merge on ", "ModifyTable", "Operation", "Merge"},
             {"Foreign Insert on ", "Foreign Scan", "Operation", "Insert"},
             {"Foreign Update on ", "Foreign Scan", "Operation", "Update"},
             {"Foreign Delete on ", "Foreign Scan", "Operation", "Delete"}};

/* Words that stand for several members. */
static bool put_kind(const char *text, size_t len, struct arena *arena, json_t *fields) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    size_t head = strlen(kinds[i].text);
    bool open = kinds[i].text[head - 1] == ' ';
    if (len < head || memcmp(text, kinds[i].text, head) != 0 || (!open && len != head)) continue;
    json_set_str(fields, "Node Type", kinds[i].type);
    json_set_str(fields, kinds[i].member, kinds[i].value);
    if (strcmp(kinds[i].type, "SetOp") == 0) json_set_str(fields, "Command", arena_strndup(arena, text + head, len - head));
    if (strcmp(kinds[i].member, "Operation") == 0) put_target(text + head, text + len, "Relation Name", arena, fields);
    return true;
  }
  return false;
}

static void put_plain(const char *text, size_t len, struct arena *arena, json_t *fields) {
  const char *end = text + len, *using = find(text, end, " using "), *on = find(text, end, " on ");
  if (begins(text, "Custom Scan (")) {
    const char *close = memchr(text, ')', len), *name = text + strlen("Custom Scan (");
    json_set_str(fields, "Node Type", "Custom Scan");
    if (close) json_set_str(fields, "Custom Plan Provider", arena_strndup(arena, name, (size_t)(close - name)));
    if (on) put_target(on + 4, end, "Relation Name", arena, fields);
  } else if (using && (!on || using < on)) {
    put_index_scan(text, using, end, arena, fields);
  } else if (on) {
    put_read(text, on, end, arena, fields);
  } else {
    json_set_str(fields, "Node Type", arena_strndup(arena, text, len));
  }
}

bool plan_words_node(const char *text, size_t len, struct arena *arena, json_t *fields) {
  static const struct {
    const char *word, *member, *value;
  } before[] = {{"Parallel ", "Parallel Aware", NULL},
                {"Async ", "Async Capable", NULL},
                {"Partial ", "Partial Mode", "Partial"},
                {"Finalize ", "Partial Mode", "Finalize"}};
  json_object_set_new(fields, "Parallel Aware", json_false());
  for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
    size_t head = strlen(before[i].word);
    if (len <= head || memcmp(text, before[i].word, head) != 0) continue;
    json_object_set_new(fields, before[i].member, before[i].value ? json_string(before[i].value) : json_true());
    text += head;
    len -= head;
  }
  if (!put_join(text, len, arena, fields) && !put_kind(text, len, arena, fields)) put_plain(text, len, arena, fields);
  bool aggregate = strcmp(json_str(fields, "Node Type", ""), "Aggregate") == 0;
  if (aggregate && !json_object_get(fields, "Partial Mode")) json_set_str(fields, "Partial Mode", "Simple");
  return json_object_get(fields, "Node Type") != NULL;
}

bool plan_words_is_type(const char *type) {
  static const char *const types[] = {"Result",
                                      "ProjectSet",
                                      "ModifyTable",
                                      "Append",
                                      "Merge Append",
                                      "Recursive Union",
                                      "Nested Loop",
                                      "Merge Join",
                                      "Hash Join",
                                      "Seq Scan",
                                      "Sample Scan",
                                      "Gather",
                                      "Gather Merge",
                                      "Index Scan",
                                      "Index Only Scan",
                                      "Bitmap Index Scan",
                                      "Bitmap Heap Scan",
                                      "Tid Scan",
                                      "Tid Range Scan",
                                      "Subquery Scan",
                                      "Function Scan",
                                      "Table Function Scan",
                                      "Values Scan",
                                      "CTE Scan",
                                      "Named Tuplestore Scan",
                                      "WorkTable Scan",
                                      "Foreign Scan",
                                      "Custom Scan",
                                      "Materialize",
                                      "Memoize",
                                      "Sort",
                                      "Incremental Sort",
                                      "Group",
                                      "Aggregate",
                                      "WindowAgg",
                                      "Unique",
                                      "SetOp",
                                      "LockRows",
                                      "Limit",
                                      "Hash",
                                      "BitmapAnd",
                                      "BitmapOr"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i], type) == 0) return true;
  return false;
}
