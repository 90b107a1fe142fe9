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

/* --- what stands below a node --- */

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_BOOL, VALUE_LIST, VALUE_BLOCKS, VALUE_TIMES, VALUE_PAIRS, VALUE_GROUPS };

/* Of "Key: value". Rows that are not text: text is what every other key is. */
static const struct property {
  const char *key;
  enum value_kind kind;
} properties[] = {{"Rows Removed by Filter", VALUE_NUMBER},
                  {"Rows Removed by Join Filter", VALUE_NUMBER},
                  {"Rows Removed by Index Recheck", VALUE_NUMBER},
                  {"Rows Removed by Conflict Filter", VALUE_NUMBER},
                  {"Heap Fetches", VALUE_NUMBER},
                  {"Index Searches", VALUE_NUMBER},
                  {"Workers Planned", VALUE_NUMBER},
                  {"Workers Launched", VALUE_NUMBER},
                  {"Subplans Removed", VALUE_NUMBER},
                  {"Tuples Inserted", VALUE_NUMBER},
                  {"Conflicting Tuples", VALUE_NUMBER},
                  {"Single Copy", VALUE_BOOL},
                  {"Inner Unique", VALUE_BOOL},
                  {"Disabled", VALUE_BOOL},
                  {"Sort Key", VALUE_LIST},
                  {"Presorted Key", VALUE_LIST},
                  {"Group Key", VALUE_LIST},
                  {"Hash Key", VALUE_LIST},
                  {"Output", VALUE_LIST},
                  {"Params Evaluated", VALUE_LIST},
                  {"Conflict Arbiter Indexes", VALUE_LIST},
                  {"Buffers", VALUE_BLOCKS},
                  {"I/O Timings", VALUE_TIMES},
                  {"WAL", VALUE_BLOCKS},
                  {"Heap Blocks", VALUE_BLOCKS},
                  {"Sort Method", VALUE_PAIRS},
                  {"Buckets", VALUE_PAIRS},
                  {"Batches", VALUE_PAIRS},
                  {"Planned Partitions", VALUE_PAIRS},
                  {"Peak Memory Usage", VALUE_PAIRS},
                  {"Hits", VALUE_PAIRS},
                  {"Storage", VALUE_PAIRS},
                  {"Full-sort Groups", VALUE_GROUPS},
                  {"Pre-sorted Groups", VALUE_GROUPS},
                  /* text, listed so that they are known to begin a line */
                  {"Filter", VALUE_TEXT},
                  {"Index Cond", VALUE_TEXT},
                  {"Recheck Cond", VALUE_TEXT},
                  {"Order By", VALUE_TEXT},
                  {"Join Filter", VALUE_TEXT},
                  {"Hash Cond", VALUE_TEXT},
                  {"Merge Cond", VALUE_TEXT},
                  {"TID Cond", VALUE_TEXT},
                  {"One-Time Filter", VALUE_TEXT},
                  {"Run Condition", VALUE_TEXT},
                  {"Window", VALUE_TEXT},
                  {"Cache Key", VALUE_TEXT},
                  {"Cache Mode", VALUE_TEXT},
                  {"Function Call", VALUE_TEXT},
                  {"Table Function Call", VALUE_TEXT},
                  {"Conflict Resolution", VALUE_TEXT},
                  {"Conflict Filter", VALUE_TEXT},
                  {"Remote SQL", VALUE_TEXT},
                  {"Relations", VALUE_TEXT},
                  {"Sampling", VALUE_TEXT},
                  {"Repeatable Seed", VALUE_TEXT},
                  {"Replaces", VALUE_TEXT}};

static const struct property *property_of(const char *key, size_t len) {
  for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
    if (strlen(properties[i].key) == len && memcmp(properties[i].key, key, len) == 0) return &properties[i];
  return NULL;
}

bool plan_words_known(const char *key, size_t key_len) { return property_of(key, key_len) != NULL; }

/* Items between commas that stand outside of quotes and brackets. */
static json_t *split_list(const char *text) {
  json_t *list = json_array();
  int depth = 0;
  char quote = 0;
  const char *from = text;
  for (const char *p = text;; p++) {
    if (!*p || (*p == ',' && !depth && !quote)) {
      while (*from == ' ') from++;
      json_array_append_new(list, json_stringn(from, p > from ? (size_t)(p - from) : 0));
      from = p + 1;
      if (!*p) return list;
    } else if (quote) {
      if (*p == quote) quote = 0;
    } else if (*p == '\'' || *p == '"') {
      quote = *p;
    } else {
      depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
    }
  }
}

static const struct {
  const char *text, *group, *member; /* "hit" after "shared" */
} counters[] = {{"hit", "shared", "Shared Hit Blocks"},
                {"read", "shared", "Shared Read Blocks"},
                {"dirtied", "shared", "Shared Dirtied Blocks"},
                {"written", "shared", "Shared Written Blocks"},
                {"hit", "local", "Local Hit Blocks"},
                {"read", "local", "Local Read Blocks"},
                {"dirtied", "local", "Local Dirtied Blocks"},
                {"written", "local", "Local Written Blocks"},
                {"read", "temp", "Temp Read Blocks"},
                {"written", "temp", "Temp Written Blocks"},
                {"records", "", "WAL Records"},
                {"fpi", "", "WAL FPI"},
                {"bytes", "", "WAL Bytes"},
                {"buffers full", "", "WAL Buffers Full"},
                {"exact", "", "Exact Heap Blocks"},
                {"lossy", "", "Lossy Heap Blocks"}},
  times[] = {{"read", "", "I/O Read Time"},
             {"write", "", "I/O Write Time"},
             {"read", "shared", "Shared I/O Read Time"},
             {"write", "shared", "Shared I/O Write Time"},
             {"read", "local", "Local I/O Read Time"},
             {"write", "local", "Local I/O Write Time"},
             {"read", "temp", "Temp I/O Read Time"},
             {"write", "temp", "Temp I/O Write Time"}};

/* "shared hit=3 read=2, temp read=5 written=5": words without a number are the group of what follows. */
static void put_counters(const char *text, bool timings, json_t *fields) {
  char group[16] = "";
  size_t count = timings ? sizeof times / sizeof *times : sizeof counters / sizeof *counters;
  while (*(text += strspn(text, " ,"))) {
    size_t len = strcspn(text, " ,="), more = len;
    if (text[len] == ' ' && begins(text, "buffers full=")) more = len = strlen("buffers full");
    if (text[more] != '=') {
      snprintf(group, sizeof group, "%.*s", (int)(len < 15 ? len : 15), text);
      text += len;
      continue;
    }
    for (size_t i = 0; i < count; i++) {
      const char *word = timings ? times[i].text : counters[i].text, *in = timings ? times[i].group : counters[i].group;
      if (strlen(word) == len && memcmp(word, text, len) == 0 && strcmp(in, group) == 0)
        plan_words_set_number(fields, timings ? times[i].member : counters[i].member, text + len + 1);
    }
    text += len + strcspn(text + len, " ,");
  }
}

/* "Buckets: 1024 (originally 512)  Batches: 4 (originally 1)  Memory Usage: 9kB": the one line of several members. */
static const struct {
  const char *first, *key, *member, *original;
} pairs[] = {{"Sort Method", "Sort Method", "Sort Method", NULL},
             {"Sort Method", "Memory", "Sort Space Used", NULL},
             {"Sort Method", "Disk", "Sort Space Used", NULL},
             {"Buckets", "Buckets", "Hash Buckets", "Original Hash Buckets"},
             {"Buckets", "Batches", "Hash Batches", "Original Hash Batches"},
             {"Buckets", "Memory Usage", "Peak Memory Usage", NULL},
             {"Planned Partitions", "Planned Partitions", "Planned Partitions", NULL},
             {"Planned Partitions", "Batches", "HashAgg Batches", NULL},
             {"Planned Partitions", "Memory Usage", "Peak Memory Usage", NULL},
             {"Planned Partitions", "Disk Usage", "Disk Usage", NULL},
             {"Planned Partitions", "Peak Memory Usage", "Peak Memory Usage", NULL}, /* PostgreSQL 13's words */
             {"Planned Partitions", "HashAgg Batches", "HashAgg Batches", NULL},
             {"Peak Memory Usage", "Peak Memory Usage", "Peak Memory Usage", NULL},
             {"Peak Memory Usage", "Disk Usage", "Disk Usage", NULL},
             {"Peak Memory Usage", "HashAgg Batches", "HashAgg Batches", NULL},
             {"Batches", "Batches", "HashAgg Batches", NULL},
             {"Batches", "Memory Usage", "Peak Memory Usage", NULL},
             {"Batches", "Disk Usage", "Disk Usage", NULL},
             {"Hits", "Hits", "Cache Hits", NULL},
             {"Hits", "Misses", "Cache Misses", NULL},
             {"Hits", "Evictions", "Cache Evictions", NULL},
             {"Hits", "Overflows", "Cache Overflows", NULL},
             {"Hits", "Memory Usage", "Peak Memory Usage", NULL},
             {"Storage", "Storage", "Storage", NULL},
             {"Storage", "Maximum Storage", "Maximum Storage", NULL}};

static void put_pair(const char *first, const char *key, const char *value, json_t *fields) {
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (strcmp(pairs[i].first, first) != 0 || strcmp(pairs[i].key, key) != 0) continue;
    if (isdigit((unsigned char)*value))
      plan_words_set_number(fields, pairs[i].member, value);
    else
      json_set_str(fields, pairs[i].member, value);
    const char *originally = strstr(value, "(originally ");
    if (pairs[i].original) /* the same where nothing is said of it */
      plan_words_set_number(fields, pairs[i].original, originally ? originally + strlen("(originally ") : value);
    if (strcmp(first, "Sort Method") == 0 && strcmp(key, "Sort Method") != 0) json_set_str(fields, "Sort Space Type", key);
  }
}

typedef void (*put_one)(const char *first, const char *key, const char *value, json_t *fields);

/* Cuts "key: value  key: value" at two spaces. */
static void each_pair(const char *first, const char *text, put_one put, struct arena *arena, json_t *fields) {
  const char *key = first;
  while (key) {
    const char *gap = strstr(text, "  ");
    const char *value = gap ? arena_strndup(arena, text, (size_t)(gap - text)) : text;
    if (value) put(first, key, value, fields);
    text = gap ? gap + strspn(gap, " ") : "";
    const char *colon = strstr(text, ": ");
    key = colon ? arena_strndup(arena, text, (size_t)(colon - text)) : NULL;
    if (colon) text = colon + 2;
  }
}

/* Of an Incremental Sort: "Full-sort Groups: 10  Sort Method: quicksort  Average Memory: 27kB  Peak Memory: 27kB". */
static void put_group(const char *first, const char *key, const char *value, json_t *group) {
  bool disk = strstr(key, "Disk") != NULL;
  if (strcmp(key, first) == 0) {
    plan_words_set_number(group, "Group Count", value);
  } else if (begins(key, "Sort Method")) {
    json_object_set_new(group, "Sort Methods Used", split_list(value));
  } else if (strstr(key, "Memory") || disk) {
    json_t *space = json_object_get(group, disk ? "Sort Space Disk" : "Sort Space Memory");
    if (!space) json_object_set_new(group, disk ? "Sort Space Disk" : "Sort Space Memory", space = json_object());
    plan_words_set_number(space, begins(key, "Peak") ? "Peak Sort Space Used" : "Average Sort Space Used", value);
  }
}

/* Grouping sets print a line for each set: they are kept apart from a single key. */
static void put_list(const char *key, const char *value, json_t *fields) {
  json_t *list = split_list(value), *sets = json_object_get(fields, "Grouping Sets");
  bool group = strcmp(key, "Group Key") == 0, hash = strcmp(key, "Hash Key") == 0;
  if (!sets && (hash || (group && json_object_get(fields, "Group Key")))) {
    json_object_set_new(fields, "Grouping Sets", sets = json_array());
    if (json_object_get(fields, "Group Key")) json_array_append(sets, json_object_get(fields, "Group Key"));
    json_object_del(fields, "Group Key");
  }
  if (sets && (group || hash))
    json_array_append_new(sets, list);
  else
    json_object_set_new(fields, key, list);
}

void plan_words_property(const char *key, size_t key_len, const char *value, struct arena *arena, json_t *fields) {
  const struct property *known = property_of(key, key_len);
  char name[64];
  snprintf(name, sizeof name, "%.*s", (int)(key_len < 63 ? key_len : 63), key);
  switch (known ? known->kind : VALUE_TEXT) {
  case VALUE_NUMBER: plan_words_set_number(fields, name, value); break;
  case VALUE_BOOL: json_object_set_new(fields, name, json_boolean(strcmp(value, "true") == 0)); break;
  case VALUE_LIST: put_list(name, value, fields); break;
  case VALUE_BLOCKS: put_counters(value, false, fields); break;
  case VALUE_TIMES: put_counters(value, true, fields); break;
  case VALUE_PAIRS: each_pair(known->key, value, put_pair, arena, fields); break;
  case VALUE_GROUPS: {
    json_t *group = json_object();
    json_object_set_new(fields, name, group);
    each_pair(known->key, value, put_group, arena, group);
    break;
  }
  default: json_set_str(fields, name, value);
  }
}
