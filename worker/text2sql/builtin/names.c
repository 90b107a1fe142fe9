/* names.c - identifiers to words, and how well some words say a name. */
#include "worker/text2sql/builtin/names.h"

#include <ctype.h>
#include <string.h>

#include "worker/text2sql/builtin/tokens.h"

#define HEAD_MISSED 0.85 /* "order" for order_items: the word that says what it is, is the last */
#define HEAD_UNSAID 0.7  /* "dish" for food_score: only another word for what it is the score of */
#define COMMENT_BYTES 40 /* of a comment that is a name; longer ones are sentences */
#define PART_FLOOR 0.6   /* what one of very many words is worth */
#define AFFIX_SHARE 0.6  /* of the names in a row that begin alike before that beginning says nothing */

static bool among(const char *text, const char *const *list) {
  for (size_t i = 0; list[i]; i++)
    if (strcmp(list[i], text) == 0) return true;
  return false;
}

/* --- identifiers --- */

/* "orderdate" at a place where both halves are words names are made of; 0 when there is none. */
static size_t seam(struct words *words, const char *lower, size_t len) {
  if (len < 6) return 0;
  words_tried(words, lower);
  if (words_common(words, lower, len)) return 0;
  if (len > 7 && strcmp(lower + len - 4, "ship") == 0) return 0; /* "membership" is one word */
  for (size_t cut = len - 3; cut >= 3; cut--)
    if (words_common(words, lower, cut) && words_common(words, lower + cut, len - cut)) return cut;
  if (strcmp(lower + len - 2, "id") == 0 && words_common(words, lower, len - 2)) return len - 2;
  return 0;
}

struct splitter {
  struct arena *arena;
  struct words *words;
  const struct word **out;
  size_t count;
};

static void add(struct splitter *s, const char *lower) {
  if (s->count < NAME_WORDS && lower && *lower) s->out[s->count++] = words_of(s->words, lower);
}

struct parts {
  const struct word *words[NAME_WORDS];
  size_t count;
};

static void add_new_part(struct splitter *s, const char *lower) {
  const char *full = lower ? words_abbreviation(lower, false) : NULL;
  const char *blank = full ? strchr(full, ' ') : NULL;
  if (!lower) return;
  size_t cut = full ? 0 : seam(s->words, lower, strlen(lower));
  if (blank) {
    add(s, arena_strndup(s->arena, full, (size_t)(blank - full)));
    add(s, blank + 1);
  } else if (full) {
    add(s, full);
  } else if (cut) {
    add_new_part(s, arena_strndup(s->arena, lower, cut));
    add_new_part(s, lower + cut);
  } else {
    add(s, lower);
  }
}

/* Parts come again and again ("id", "name"): each is looked up once. */
static void add_part(struct splitter *s, const char *lower) {
  void **memo = lower ? words_memo(s->words, arena_printf(s->arena, "/%s", lower)) : NULL;
  struct parts *parts = memo ? *memo : NULL;
  if (!memo) return;
  if (!parts) {
    parts = ARENA_NEW(s->arena, struct parts);
    if (!parts) return;
    struct splitter own = {s->arena, s->words, parts->words, 0};
    add_new_part(&own, lower);
    parts->count = own.count;
    *memo = parts;
  }
  for (size_t i = 0; i < parts->count && s->count < NAME_WORDS; i++) s->out[s->count++] = parts->words[i];
}

static size_t split(const char *identifier, struct arena *arena, struct words *words, const struct word *ret_words[NAME_WORDS]) {
  struct splitter s = {arena, words, ret_words, 0};
  size_t len = strlen(identifier);
  for (size_t at = 0; at < len;) {
    if (!isalnum((unsigned char)identifier[at]) && (unsigned char)identifier[at] < 0x80) {
      at++;
      continue;
    }
    size_t part = tokens_part(identifier + at, len - at);
    add_part(&s, tokens_lower(arena, identifier + at, part));
    at += part;
  }
  for (size_t i = 0; i < s.count; i++)
    if (!ret_words[i]) return i; /* out of memory */
  return s.count;
}

/* Schemas repeat themselves: an identifier is taken apart once. */
size_t names_split(const char *identifier, struct arena *arena, struct words *words, const struct word *ret_words[NAME_WORDS]) {
  void **memo = words_memo(words, identifier);
  struct parts *parts = memo ? *memo : NULL;
  if (!parts) {
    parts = ARENA_NEW(arena, struct parts);
    if (!memo || !parts) return 0;
    parts->count = split(identifier, arena, words, parts->words);
    *memo = parts;
  }
  memcpy(ret_words, parts->words, sizeof parts->words);
  return parts->count;
}

bool names_are_table(const struct names *names, const struct word *const *words, size_t count, size_t table) {
  if (!count || count != names->table_counts[table]) return false;
  for (size_t w = 0; w < count; w++)
    if (words[w] != names->table_words[table][w]) return false;
  return true;
}

/* --- columns --- */

/* Of a domain what it is over; types of extensions without their schema ("public.citext"). A name is a type's first word. */
static bool typed(const struct snap_column *column, const char *const *names) {
  const char *type = column->base_type ? column->base_type : column->type, *dot = strchr(type, '.');
  if (dot && strcmp(dot, ".citext") == 0) type = dot + 1;
  size_t len = strcspn(type, " (");
  for (size_t i = 0; names[i]; i++)
    if (strncmp(type, names[i], len) == 0 && !names[i][len] && !strchr(type, '[')) return true;
  return false;
}

bool column_textual(const struct snap_column *column) {
  return typed(column, (const char *const[]){"text", "character", "citext", "bpchar", "name", NULL});
}
bool column_integer(const struct snap_column *column) {
  return typed(column, (const char *const[]){"integer", "bigint", "smallint", NULL});
}
bool column_numeric(const struct snap_column *column) {
  return column_integer(column) || typed(column, (const char *const[]){"numeric", "double", "real", "money", NULL});
}
bool column_temporal(const struct snap_column *column) { return typed(column, (const char *const[]){"date", "timestamp", NULL}); }
bool column_period(const struct snap_column *column) {
  return typed(column, (const char *const[]){"daterange", "tsrange", "tstzrange", NULL});
}
bool column_boolean(const struct snap_column *column) { return typed(column, (const char *const[]){"boolean", NULL}); }

static bool listed(const char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

const struct snap_constraint *table_primary(const struct snap_table *table) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].type == 'p') return &table->constraints[i];
  return NULL;
}

const struct snap_column *table_key_column(const struct snap_table *table) {
  const struct snap_constraint *key = table_primary(table);
  for (size_t c = 0; key && key->column_count == 1 && c < table->column_count; c++)
    if (strcmp(table->columns[c].name, key->columns[0]) == 0) return &table->columns[c];
  return NULL;
}

bool column_primary(const struct snap_table *table, const struct snap_column *column) {
  const struct snap_constraint *key = table_primary(table);
  return key && listed(key->columns, key->column_count, column->name);
}

/* The year of (school_id, year): what tells rows of one thing apart is data, unless it is named like a key. */
static bool tells_apart(const struct snap_table *table, const struct snap_column *column) {
  const struct snap_constraint *key = table_primary(table);
  return key && key->column_count > 1 && strcasecmp(column->name, "year") == 0;
}

bool column_key(const struct snap_table *table, const struct snap_column *column) {
  if (column_primary(table, column) && !tells_apart(table, column)) return true;
  for (size_t i = 0; i < table->fk_count; i++)
    if (listed(table->fks[i].columns, table->fks[i].column_count, column->name)) return true;
  size_t len = strlen(column->name);
  static const char *const suffixes[] = {"_key", "_sk", "_fk"};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
    if (len > strlen(suffixes[i]) && strcasecmp(column->name + len - strlen(suffixes[i]), suffixes[i]) == 0) return true;
  const char *tail = len >= 2 ? column->name + len - 2 : "";
  bool boundary = len == 2 || (len > 2 && (column->name[len - 3] == '_' || islower((unsigned char)column->name[len - 3])));
  return boundary &&
         (strcmp(tail, "id") == 0 ? len == 2 || column->name[len - 3] == '_' : strcmp(tail, "Id") == 0 || strcmp(tail, "ID") == 0);
}

bool table_unique(const struct snap_table *table, const char *const *columns, size_t count) {
  for (size_t i = 0; i < table->constraint_count; i++) {
    const struct snap_constraint *key = &table->constraints[i];
    size_t have = 0;
    for (size_t c = 0; c < key->column_count; c++) have += listed(columns, count, key->columns[c]);
    if ((key->type == 'p' || key->type == 'u') && key->column_count && have == key->column_count) return true;
  }
  return false;
}

bool table_readable(const struct snap_table *table) {
  return (table->kind == SNAP_TABLE && !table->partition_of) || table->kind == SNAP_PARTITIONED || table->kind == SNAP_VIEW ||
         table->kind == SNAP_MATVIEW;
}

/* --- forms of names --- */

struct reader {
  struct names *names;
  const struct snapshot *snapshot;
  struct arena *arena;
  struct words *words;
};

static bool grow(struct reader *r) {
  struct names *names = r->names;
  struct name *items = arena_calloc(r->arena, 2 * names->room + 64, sizeof *items);
  if (!items) return false;
  if (names->count) memcpy(items, names->items, names->count * sizeof *items);
  names->items = items;
  names->room = 2 * names->room + 64;
  return true;
}

static struct name *push(struct reader *r, const struct snap_table *table, const struct snap_column *column,
                         const struct word *const *words, size_t count) {
  struct names *names = r->names;
  if (!count || (names->count == names->room && !grow(r))) return NULL;
  struct name *name = &names->items[names->count++];
  *name = (struct name){.table = table, .column = column, .table_at = (size_t)(table - r->snapshot->tables), .worth = 1};
  for (size_t i = 0; i < count && i < NAME_WORDS; i++) name->words[name->count++] = words[i];
  return name;
}

/* How many words at the beginning of a table's name are packaging. */
static size_t table_affix(struct reader *r, const struct word *const *words, size_t count, const struct word *shared) {
  static const char *const packaging[] = {"tbl", "tb", "t", "dim", "fact", "fct", "stg", "vw", "v", "tab", "mst", NULL};
  if (count > 1 && (among(words[0]->text, packaging) || words[0] == shared)) return 1;
  (void)r;
  return 0;
}

/* The first word most of the names have in common, or NULL. */
static const struct word *common_start(const struct word *const (*rows)[NAME_WORDS], const size_t *counts, size_t count) {
  for (size_t i = 0; count >= 4 && i < count; i++) {
    size_t same = 0;
    for (size_t j = 0; j < count; j++) same += counts[j] > 1 && counts[i] > 1 && rows[j][0] == rows[i][0];
    if ((double)same >= AFFIX_SHARE * (double)count) return rows[i][0];
    if (i > count / 2) break; /* who is in the majority has shown by now */
  }
  return NULL;
}

/* "order_header" is the order, beside its lines, where no table is called just so. */
static bool headed(struct reader *r, size_t table) {
  static const char *const heads[] = {"header", "head", "master", "mst", "mstr", NULL};
  const struct word *const *words = r->names->table_words[table];
  size_t count = r->names->table_counts[table];
  if (count < 2 || !among(words[count - 1]->text, heads)) return false;
  for (size_t t = 0; t < r->snapshot->table_count; t++) {
    bool same = r->names->table_counts[t] == count - 1;
    for (size_t w = 0; same && w < count - 1; w++) same = r->names->table_words[t][w] == words[w];
    if (same) return false;
  }
  return true;
}

static void read_tables(struct reader *r) {
  const struct snapshot *snapshot = r->snapshot;
  for (size_t i = 0; i < snapshot->table_count; i++)
    r->names->table_counts[i] = names_split(snapshot->tables[i].name, r->arena, r->words, r->names->table_words[i]);
  const struct word *shared =
      common_start((const struct word *const(*)[NAME_WORDS])r->names->table_words, r->names->table_counts, snapshot->table_count);
  for (size_t i = 0; i < snapshot->table_count; i++) {
    const struct word **words = r->names->table_words[i];
    size_t *count = &r->names->table_counts[i], affix = table_affix(r, words, *count, shared);
    memmove(words, words + affix, (*count - affix) * sizeof *words);
    *count -= affix;
  }
  for (size_t i = 0; i < snapshot->table_count; i++) {
    const struct word **words = r->names->table_words[i];
    size_t *count = &r->names->table_counts[i];
    if (headed(r, i)) --*count;
    if (table_readable(&snapshot->tables[i])) push(r, &snapshot->tables[i], NULL, words, *count);
  }
}

static size_t strip_flag(const struct word *const *words, size_t count) {
  static const char *const verbs[] = {"is", "has", "was", "have", "can", "are", NULL};
  return count > 1 && among(words[0]->text, verbs) ? 1 : 0;
}

/* "isgraduated": a flag written in one. */
static void read_joined_flag(struct reader *r, const struct snap_table *table, const struct snap_column *column) {
  size_t len = strncasecmp(column->name, "is", 2) == 0 ? 2 : strncasecmp(column->name, "has", 3) == 0 ? 3 : 0;
  if (!len || strlen(column->name) < len + 4 || strchr(column->name, '_')) return;
  const struct word *words[NAME_WORDS];
  struct name *name = push(r, table, column, words, names_split(column->name + len, r->arena, r->words, words));
  if (name) name->flag = true;
}

/* "customer name" for customers.name and customers.cust_name alike; "name" for the latter as well. */
static void read_column(struct reader *r, const struct snap_table *table, const struct snap_column *column, const struct word *shared) {
  const struct word *words[NAME_WORDS], *owned[NAME_WORDS];
  size_t count = names_split(column->name, r->arena, r->words, words), at = (size_t)(table - r->snapshot->tables), skip = 0;
  const struct word *const *table_words = r->names->table_words[at];
  size_t table_count = r->names->table_counts[at];
  if (count > 1 && words[0] == shared) skip = 1;
  push(r, table, column, words, count);
  size_t same = 0;
  while (same < table_count && skip + same + 1 < count && words_alike(words[skip + same], table_words[same]) == 1) same++;
  bool own = same && same == table_count;
  if (!own && skip + 1 < count && table_count && words[skip] == table_words[table_count - 1]) own = true, same = 1;
  if (own) skip += same;
  if (skip) push(r, table, column, words + skip, count - skip);
  static const char *const marks[] = {"flag", "ind", "indic", "yn", "bool", NULL};
  if (column_boolean(column) && count - skip > 1 && among(words[count - 1]->text, marks)) count--; /* "active_flag" */
  size_t flag = column_boolean(column) ? strip_flag(words + skip, count - skip) : 0;
  if (column_boolean(column)) {
    struct name *name = push(r, table, column, words + skip + flag, count - skip - flag);
    if (name) name->flag = true;
    read_joined_flag(r, table, column);
  }
  if (column_boolean(column)) return;
  size_t n = 0;
  for (size_t i = table_count ? table_count - 1 : 0; i < table_count && n < NAME_WORDS; i++) owned[n++] = table_words[i];
  for (size_t i = skip; i < count && n < NAME_WORDS; i++) owned[n++] = words[i];
  struct name *name = table_count ? push(r, table, column, owned, n) : NULL;
  if (name) name->owned = true;
}

/* "name" of dname in a table of departments: behind the table's initial. */
static void read_initial(struct reader *r, const struct snap_table *table, const struct snap_column *column) {
  size_t at = (size_t)(table - r->snapshot->tables);
  const char *own = r->names->table_counts[at] ? r->names->table_words[at][0]->text : "";
  if (strcasecmp(column->name + (*column->name ? 1 : 0), "name") != 0 || tolower((unsigned char)*column->name) != *own) return;
  const struct word *name = words_of(r->words, "name");
  if (name) push(r, table, column, &name, 1);
}

/* "opening date" of opened_on, "hire date" of hired_at. */
static void read_date(struct reader *r, const struct snap_table *table, const struct snap_column *column) {
  const struct word *words[NAME_WORDS];
  size_t count = names_split(column->name, r->arena, r->words, words);
  if (count < 2 || !column_temporal(column) || !among(words[count - 1]->text, (const char *const[]){"on", "at", NULL})) return;
  words[count - 1] = words_of(r->words, "date");
  struct name *name = words[count - 1] ? push(r, table, column, words, count) : NULL;
  if (name) name->worth = 0.97;
}

static void push_comment(struct reader *r, const struct snap_table *table, const struct snap_column *column, const char *text) {
  const struct word *words[NAME_WORDS];
  struct name *name = text ? push(r, table, column, words, names_split(text, r->arena, r->words, words)) : NULL;
  if (name) name->worth = 0.9;
}

/* A short comment is another name: "customer's date of birth". */
static void read_comment(struct reader *r, const struct snap_table *table, const struct snap_column *column) {
  const char *comment = column ? column->comment : table->comment;
  if (!comment) return;
  size_t len = strcspn(comment, ",;:=(.\n"); /* "Status: O = open, C = closed" */
  if (comment[len] == '=' || len > COMMENT_BYTES) return;
  const char *text = arena_strndup(r->arena, comment, len), *in = column && text ? strstr(text, " in ") : NULL;
  push_comment(r, table, column, text);
  if (in) push_comment(r, table, column, arena_strndup(r->arena, text, (size_t)(in - text))); /* "Run time in minutes" */
}

static const struct word *column_start(struct reader *r, const struct snap_table *table) {
  const struct word *rows[64][NAME_WORDS];
  size_t counts[64], count = table->column_count < 64 ? table->column_count : 64;
  for (size_t i = 0; i < count; i++) counts[i] = names_split(table->columns[i].name, r->arena, r->words, rows[i]);
  return common_start((const struct word *const(*)[NAME_WORDS])rows, counts, count);
}

bool names_read(struct names *names, const struct snapshot *snapshot, struct arena *arena, struct words *words) {
  struct reader r = {names, snapshot, arena, words};
  size_t columns = 0;
  for (size_t i = 0; i < snapshot->table_count; i++) columns += snapshot->tables[i].column_count;
  *names = (struct names){.room = 2 * snapshot->table_count + 4 * columns};
  names->items = arena_calloc(arena, names->room + 1, sizeof *names->items);
  names->table_words = arena_calloc(arena, snapshot->table_count + 1, sizeof *names->table_words);
  names->table_counts = arena_calloc(arena, snapshot->table_count + 1, sizeof *names->table_counts);
  if (!names->items || !names->table_words || !names->table_counts) return false;
  read_tables(&r);
  for (size_t i = 0; i < snapshot->table_count; i++) {
    const struct snap_table *table = &snapshot->tables[i];
    if (!table_readable(table)) continue;
    const struct word *shared = column_start(&r, table);
    read_comment(&r, table, NULL);
    for (size_t c = 0; c < table->column_count; c++) {
      read_column(&r, table, &table->columns[c], shared);
      read_date(&r, table, &table->columns[c]);
      read_initial(&r, table, &table->columns[c]);
      read_comment(&r, table, &table->columns[c]);
    }
  }
  return true;
}

/* The word that says what it is: "duration" of duration_sec. */
static size_t head_of(const struct name *name) {
  static const char *const units[] = {"second",  "minut", "hour", "day", "kg", "km", "cm", "m",  "usd", "eur",
                                      "percent", "mw",    "kwh",  "mb",  "gb", "ms", "in", "at", "on",  NULL};
  size_t head = name->count - 1;
  while (head > 0 && among(name->words[head]->text, units)) head--;
  return head;
}

double names_match(const struct name *name, const struct word *const *said, size_t count) {
  if (count > name->count || (name->owned && count < name->count)) return 0;
  unsigned used = 0;
  double sum = 0;
  bool head = false, ordered = true, itself = false, meant = false;
  size_t last = 0;
  for (size_t i = 0; i < count; i++) {
    double best = 0;
    size_t at = 0;
    for (size_t j = 0; j < name->count; j++) {
      double alike = used & (1u << j) ? 0 : words_alike(said[i], name->words[j]);
      if (alike > 0 && alike >= best) best = alike, at = j; /* the head, of several */
    }
    if (best == 0) return 0;
    used |= 1u << at;
    sum += best;
    itself |= best == 1;
    head |= at == name->count - 1;
    meant |= at == head_of(name);
    ordered &= i == 0 || at > last;
    last = at;
  }
  double quality = sum / (double)count, part = (double)count / (double)name->count;
  double score = quality * (PART_FLOOR + (1 - PART_FLOOR) * part);
  if (!head) score *= itself || meant || !name->column ? HEAD_MISSED : HEAD_UNSAID;
  if (!ordered) score *= 0.97;
  return score * name->worth;
}
