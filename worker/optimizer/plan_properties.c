/* plan_properties.c - what stands below a node in EXPLAIN's text format, "Key: value", translated into the members of its JSON. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "worker/optimizer/plan_lines.h"

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

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
