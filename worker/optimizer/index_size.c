/* index_size.c - see index_size.h. */
#include "worker/optimizer/index_size.h"

#include <math.h>
#include <string.h>

#define PAGE 8192.0
#define PAGE_ROOM (PAGE - 24 - 16) /* SizeOfPageHeaderData, BTPageOpaqueData */
#define LEAF_FILL 0.9
#define INNER_FILL 0.7
#define LINE_POINTER 4
#define TUPLE_HEADER 8   /* IndexTupleData */
#define TID 6            /* ItemPointerData */
#define POSTING_MAX 812  /* bytes of a posting list tuple as CREATE INDEX makes them: BTMaxItemSize / 3, aligned down, with the key */
#define UNKNOWN_WIDTH 32 /* get_typavgwidth() in src/backend/utils/cache/lsyscache.c */

static double aligned(double bytes, double to) { return to * ceil(bytes / to); }

/* --- types --- */

struct layout {
  double width, align; /* width 0: as statistics have it */
};

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* As format_type() names them. Enums and domains over what is not here count as text of their statistics' width. */
static struct layout layout_of(const char *type) {
  static const struct {
    const char *type;
    struct layout layout;
  } fixed[] = {{"boolean", {1, 1}},   {"smallint", {2, 2}}, {"integer", {4, 4}}, {"oid", {4, 4}},   {"real", {4, 4}},
               {"date", {4, 4}},      {"bigint", {8, 8}},   {"money", {8, 8}},   {"uuid", {16, 1}}, {"double precision", {8, 8}},
               {"interval", {16, 8}}, {"macaddr", {6, 4}}};
  if (strchr(type, '[')) return (struct layout){0, 4};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
    if (strcmp(fixed[i].type, type) == 0) return fixed[i].layout;
  if (begins(type, "timestamp") || (begins(type, "time") && strstr(type, "without"))) return (struct layout){8, 8};
  return (struct layout){0, 1}; /* short values have a header of one byte and stand anywhere */
}

bool index_size_equalimage(const char *type) {
  static const char *const without[] = {"character(", "numeric", "real", "double precision", "interval", "jsonb", "tsvector", "tsquery"};
  if (strchr(type, '[') || strstr(type, "range")) return false;
  for (size_t i = 0; i < sizeof without / sizeof *without; i++)
    if (begins(type, without[i])) return false;
  return true;
}

/* --- entries --- */

struct entry {
  double key, whole; /* bytes of the key columns alone, and aligned with header and INCLUDE */
  double distinct;   /* combinations of the keys; 0 unknown */
  bool merges, guessed;
};

/* Whether the values that statistics show are of more than one length, as text. */
static bool lengths_differ(const char *array) {
  size_t len = 0, first = 0, count = 0;
  bool quoted = false;
  for (const char *c = array && *array ? array + 1 : ""; *c; c++) {
    if (*c == '"') {
      quoted = !quoted;
    } else if (!quoted && (*c == ',' || *c == '}')) {
      if (count++ && len != first) return true;
      first = len;
      len = 0;
    } else {
      len++;
    }
  }
  return false;
}

static bool varies(const json_t *column) {
  const char *common = json_string_value(json_object_get(column, "mcv")), *others = json_string_value(json_object_get(column, "hist"));
  return lengths_differ(common) || lengths_differ(others) || (common && others);
}

static double lay(double at, const struct facts *facts, const struct snap_table *table, const char *name, struct column_facts *ret_facts,
                  bool *guessed) {
  const struct snap_column *column = snap_table_column(table, name);
  struct layout layout = layout_of(column ? column->type : "text");
  *ret_facts = facts_column(facts, table, name);
  double width = layout.width > 0 ? layout.width : ret_facts->width > 0 ? ret_facts->width : UNKNOWN_WIDTH;
  if (layout.width <= 0 && varies(ret_facts->json)) width += 0.5; /* ANALYZE cuts the mean */
  if (!ret_facts->json) *guessed = true;
  double align = layout.width > 0 || width < 127 ? layout.align : 4;
  double share = 1 - ret_facts->null_fraction; /* a NULL takes no room */
  return at + share * (aligned(at, align) - at + width);
}

static struct entry entry_of(const struct facts *facts, const struct index_spec *spec) {
  struct entry entry = {.merges = spec->include.count == 0 && !spec->unique, .distinct = 1};
  double at = 0, nulls = 0;
  for (size_t i = 0; i < spec->keys.count; i++) {
    const struct index_key *key = &spec->keys.items[i];
    struct column_facts column = {0};
    if (!key->column) {
      at += UNKNOWN_WIDTH;
      entry.guessed = true;
      entry.distinct = 0;
      continue;
    }
    const struct snap_column *known = snap_table_column(spec->table, key->column);
    at = lay(at, facts, spec->table, key->column, &column, &entry.guessed);
    nulls = fmax(nulls, column.null_fraction);
    if (known && !index_size_equalimage(known->type)) entry.merges = false;
    entry.distinct = column.distinct > 0 ? entry.distinct * (column.distinct + (column.null_fraction > 0)) : 0;
  }
  entry.key = at;
  for (size_t i = 0; i < spec->include.count; i++) {
    struct column_facts column = {0};
    at = lay(at, facts, spec->table, spec->include.items[i], &column, &entry.guessed);
    nulls = fmax(nulls, column.null_fraction);
  }
  entry.whole = aligned(TUPLE_HEADER + at, 8) + (nulls > 0 ? nulls * 8 : 0); /* a null bitmap: 8 bytes with its alignment */
  return entry;
}

/* --- B-trees --- */

/* Bytes of the leaves' tuples and line pointers. Values with few rows each are less merged than their mean tells; nobody knows how much. */
static double leaf_bytes(double rows, const struct entry *entry) {
  double single = entry->whole + LINE_POINTER;
  if (!entry->merges || entry->distinct <= 0 || entry->distinct * 2 > rows) return rows * single;
  double group = rows / entry->distinct, most = floor((POSTING_MAX - entry->whole) / TID);
  if (most < 2) return rows * single;
  double full = floor(group / most), rest = group - full * most;
  double bytes = full * (aligned(entry->whole + TID * most, 8) + LINE_POINTER);
  if (rest > 0) bytes += rest > 1 ? aligned(entry->whole + TID * rest, 8) + LINE_POINTER : single * rest;
  return entry->distinct * bytes;
}

static double btree_pages(double rows, const struct entry *entry) {
  double leaves = fmax(1, ceil(leaf_bytes(rows, entry) / (LEAF_FILL * PAGE_ROOM)));
  double fanout = fmax(2, floor(INNER_FILL * PAGE_ROOM / (aligned(TUPLE_HEADER + entry->key, 8) + LINE_POINTER)));
  double pages = 1 + leaves;
  for (double level = leaves; level > 1; pages += level) level = ceil(level / fanout);
  return pages;
}

/* --- the others --- */

/* Two pages for each, and as much as a B-tree of the elements would take with its row pointers compressed to three bytes: one row is taken
 * to have a handful of elements, unless statistics tell their number. */
static double gin_pages(const struct facts *facts, const struct index_spec *spec, double rows) {
  double bytes = 0;
  for (size_t i = 0; i < spec->keys.count; i++) {
    const char *name = spec->keys.items[i].column;
    struct column_facts column = name ? facts_column(facts, spec->table, name) : (struct column_facts){.width = UNKNOWN_WIDTH};
    double width = column.width > 0 ? column.width : UNKNOWN_WIDTH;
    bool trigrams = spec->keys.items[i].opclass && strstr(spec->keys.items[i].opclass, "trgm");
    double elements = trigrams ? width : fmax(1, width / 12);
    double distinct = trigrams ? fmin(rows * elements, 20000) : fmin(rows * elements, fmax(100, rows / 10));
    bytes += rows * elements * 3 + distinct * 24;
  }
  return 2 + ceil(bytes / (LEAF_FILL * PAGE_ROOM));
}

/* A summary of every 128 pages (pages_per_range): two values and a header; a map of where they are (revmap), and the metapage. */
static double brin_pages(const struct facts *facts, const struct index_spec *spec, const struct entry *entry) {
  double ranges = ceil(fmax(1, facts_table(facts, spec->table).pages) / 128);
  double summary = aligned(TUPLE_HEADER + 2 * fmax(4, entry->key), 8) + LINE_POINTER;
  return 1 + ceil(ranges / 1360) + ceil(ranges * summary / (PAGE - 32));
}

/* A hash of four bytes, at 75 % fill, buckets doubling. */
static double hash_pages(double rows) { return 2 + exp2(ceil(log2(fmax(1, rows * 20 / (0.75 * PAGE_ROOM))))); }

struct index_size index_size_estimate(const struct facts *facts, const struct index_spec *spec, double rows) {
  struct entry entry = entry_of(facts, spec);
  struct index_size size = {.rows = rows >= 0 ? rows : fmax(0, facts_table(facts, spec->table).rows), .guessed = entry.guessed};
  bool btree = strcmp(spec->method, "btree") == 0;
  if (size.rows > 0 && entry.distinct > size.rows) entry.distinct = size.rows;
  size.entry_bytes = entry.whole;
  size.key_bytes = entry.key;
  if (btree)
    size.pages = btree_pages(size.rows, &entry);
  else if (strcmp(spec->method, "gin") == 0)
    size.pages = gin_pages(facts, spec, size.rows);
  else if (strcmp(spec->method, "brin") == 0)
    size.pages = brin_pages(facts, spec, &entry);
  else
    size.pages = hash_pages(size.rows);
  size.guessed |= !btree && strcmp(spec->method, "brin") != 0;
  size.bytes = size.pages * PAGE;
  return size;
}
