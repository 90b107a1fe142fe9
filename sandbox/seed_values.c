/* seed_values.c - which values to try for a column, by its type and the constants its constraints compare it with.
 *
 * Each value is an expression over the row number g.n, unique where the type allows. The first fits most columns; the others are for
 * CHECKs: the constants themselves in turn, values counted up from the smallest, usual shapes of text, and in the end NULL. To support a
 * type better: a row in `bases`. */
#include "seed.h"

struct base {
  const char *type, *expression;
};
static const struct base bases[] = {
    {"bool", "g.n % 2 = 0"},
    {"int2", "(g.n % 32000)"},
    {"int4", "g.n"},
    {"int8", "g.n"},
    {"float4", "g.n + 0.5"},
    {"float8", "g.n + 0.5"},
    {"money", "g.n::numeric"},
    {"oid", "g.n"},
    {"uuid", "md5('row ' || g.n)"},
    {"bytea", "decode(md5(g.n::text), 'hex')"},
    {"date", "date '2024-01-01' + g.n"},
    {"timestamp", "timestamp '2024-01-01' + g.n * interval '1 hour'"},
    {"timestamptz", "timestamptz '2024-01-01 00:00+00' + g.n * interval '1 hour'"},
    {"time", "time '00:00' + g.n * interval '1 minute'"},
    {"timetz", "time '00:00' + g.n * interval '1 minute'"},
    {"interval", "g.n * interval '1 minute'"},
    {"json", "json_build_object('n', g.n)"},
    {"jsonb", "jsonb_build_object('n', g.n)"},
    {"jsonpath", "'$.a'"},
    {"inet", "inet '10.0.0.0' + g.n"},
    {"cidr", "inet '10.0.0.0' + g.n"},
    {"macaddr", "('08002b' || lpad(to_hex(g.n), 6, '0'))"},
    {"macaddr8", "('08002b0000' || lpad(to_hex(g.n), 6, '0'))"},
    {"xml", "'<n>' || g.n || '</n>'"},
    {"tsvector", "to_tsvector('simple', 'word' || g.n)"},
    {"tsquery", "to_tsquery('simple', 'word' || g.n)"},
    {"point", "point(g.n, g.n)"},
    {"box", "box(point(g.n, g.n), point(g.n + 1, g.n + 1))"},
    {"circle", "circle(point(g.n, g.n), 1)"},
    {"line", "line(point(0, g.n), point(1, g.n))"},
    {"lseg", "lseg(point(0, g.n), point(1, g.n))"},
    {"path", "path '((0,0),(1,1))'"},
    {"polygon", "polygon '((0,0),(1,1),(1,0))'"},
    {"int4range", "int4range(g.n * 10, g.n * 10 + 5)"},
    {"int8range", "int8range(g.n * 10, g.n * 10 + 5)"},
    {"numrange", "numrange(g.n * 10, g.n * 10 + 5)"},
    {"daterange", "daterange(date '2024-01-01' + g.n * 2, date '2024-01-02' + g.n * 2)"},
    {"tsrange", "tsrange(timestamp '2024-01-01' + g.n * interval '2 hours', timestamp '2024-01-01 01:00' + g.n * interval '2 hours')"},
    {"tstzrange", "tstzrange(timestamptz '2024-01-01 00:00+00' + g.n * interval '2 hours', timestamptz '2024-01-01 01:00+00' + g.n * "
                  "interval '2 hours')"},
    {"pg_lsn", "'0/' || to_hex(g.n)"},
    {"name", "'name_' || g.n"},
    {"char", "chr(65 + g.n % 26)"},
    {"hstore", "'n=>' || g.n"},
    {"ltree", "'top.n' || g.n"},
    {"lquery", "'top.*'"},
    {"cube", "'(' || g.n || ')'"},
    {"geometry", "'POINT(' || g.n % 180 || ' ' || g.n % 90 || ')'"},
    {"geography", "'POINT(' || g.n % 180 || ' ' || g.n % 90 || ')'"},
};

enum family { FAMILY_OTHER, FAMILY_NUMBER, FAMILY_TEXT, FAMILY_TIME };

static bool is_one_of(const char *text, const char *const list[]) {
  for (; *list; list++)
    if (!strcmp(text, *list)) return true;
  return false;
}

static enum family family(const char *base, char kind) {
  if (kind != 'b') return FAMILY_OTHER;
  if (is_one_of(base, (const char *const[]){"int2", "int4", "int8", "numeric", "float4", "float8", "money", NULL})) return FAMILY_NUMBER;
  if (is_one_of(base, (const char *const[]){"text", "varchar", "bpchar", "citext", NULL})) return FAMILY_TEXT;
  if (is_one_of(base, (const char *const[]){"date", "timestamp", "timestamptz", NULL})) return FAMILY_TIME;
  return FAMILY_OTHER;
}

/* As long as it may be, and different for each row as far as the length allows. */
static const char *text_base(struct arena *arena, const struct seed_column *column, const char *prefix) {
  int length = column->modifier >= 4 && !column->array ? column->modifier - 4 : 200;
  if (length < 16) return arena_printf(arena, "right(lpad(to_hex(g.n), %d, '0'), %d)", length, length);
  char start[64];
  size_t used = 0;
  for (const char *p = prefix; *p && used + 1 < sizeof start && (int)used < length - 8; p++)
    if ((*p >= 'a' && *p <= 'z') || *p == '_') start[used++] = *p;
  start[used] = 0;
  return arena_printf(arena, "'%s_' || g.n", used ? start : "row");
}

static const char *numeric_base(struct arena *arena, const struct seed_column *column) {
  int precision = column->modifier >= 4 ? (column->modifier - 4) >> 16 & 0xFFFF : 0,
      scale = column->modifier >= 4 ? (column->modifier - 4) & 0x7FF : 0, limit = 1;
  if (precision == 0) return "g.n";
  for (int i = 0; i < precision - scale && limit < 1000000; i++) limit *= 10;
  return limit == 1 ? arena_printf(arena, "g.n / (g.n + 1.0) * 0.9") : arena_printf(arena, "g.n %% %d", limit);
}

static const char *bit_base(struct arena *arena, const struct seed_column *column) {
  int length = column->modifier > 0 && column->modifier < 32 ? column->modifier : column->modifier <= 0 ? 1 : 32;
  return arena_printf(arena, "g.n::bit(%d)", !strcmp(column->base, "varbit") && column->modifier <= 0 ? 8 : length);
}

static const char *vector_base(struct arena *arena, const struct seed_column *column) {
  int size = column->modifier > 0 && !column->array ? column->modifier : 3;
  if (!strcmp(column->base, "sparsevec")) return arena_printf(arena, "'{1:' || g.n || '}/%d'", size);
  return arena_printf(arena, "'[' || array_to_string(array_fill(g.n::float8 / (g.n + 1), ARRAY[%d]), ',') || ']'", size);
}

/* The usual value of a type; NULL for types nobody knows. */
static const char *usual(struct arena *arena, const struct seed_column *column, const char *base, char kind, const char *type) {
  if (kind == 'e') return arena_printf(arena, "(enum_range(NULL::%s))[1 + (g.n - 1) %% cardinality(enum_range(NULL::%s))]", type, type);
  if (family(base, kind) == FAMILY_TEXT) return text_base(arena, column, column->name);
  if (!strcmp(base, "numeric")) return numeric_base(arena, column);
  if (!strcmp(base, "bit") || !strcmp(base, "varbit")) return bit_base(arena, column);
  if (is_one_of(base, (const char *const[]){"vector", "halfvec", "sparsevec", NULL})) return vector_base(arena, column);
  for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
    if (!strcmp(bases[i].type, base)) return bases[i].expression;
  if (kind == 'm') return "'{}'";
  if (kind == 'r') return "'empty'";
  return NULL;
}

/* '(,,)': a row of NULLs. */
static const char *composite(struct arena *arena, const struct seed_column *column) {
  return arena_printf(arena, "'(' || repeat(',', %d) || ')'", column->fields > 0 ? column->fields - 1 : 0);
}

static const char *first_value(struct arena *arena, const struct seed_column *column) {
  if (column->array) {
    const char *element = column->element ? usual(arena, column, column->element, column->element_kind, column->element_type) : NULL;
    return element ? arena_printf(arena, "ARRAY[(%s)::%s]", element, column->element_type) : "'{}'";
  }
  if (column->kind == 'c') return column->not_null ? composite(arena, column) : "NULL";
  const char *value = usual(arena, column, column->base, column->kind, column->type);
  return value ? value : column->not_null ? "'1'" : "NULL";
}

/* All the constants, row by row in turn. */
static const char *in_turn(struct arena *arena, const struct seed_column *column) {
  const char *list = "";
  for (int i = 0; i < column->literal_count && list; i++)
    list = arena_printf(arena, "%s%s(%s)::%s", list, i ? ", " : "", column->literals[i], column->type);
  return list ? arena_printf(arena, "(ARRAY[%s])[1 + (g.n - 1) %% %d]", list, column->literal_count) : NULL;
}

static const char *const number_shapes[] = {"g.n * 1000", "g.n / (g.n + 1.0)", "0", "1", "-g.n", "g.n % 10", NULL};
static const char *const time_shapes[] = {"timestamptz '2030-01-01' + g.n * interval '1 hour'",
                                          "timestamptz '2000-01-01' + g.n * interval '1 hour'", NULL};
static const char *const text_shapes[] = {"'user' || g.n || '@example.com'",
                                          "'https://example.com/' || g.n",
                                          "'row-' || g.n",
                                          "'+1555' || lpad(g.n::text, 7, '0')",
                                          "lpad(g.n::text, 5, '0')",
                                          "chr(65 + (g.n / 676 % 26)::int) || chr(65 + (g.n / 26 % 26)::int) || chr(65 + (g.n % 26)::int)",
                                          "chr(65 + (g.n / 26 % 26)::int) || chr(65 + (g.n % 26)::int)",
                                          "'#' || lpad(to_hex(g.n), 6, '0')",
                                          "md5(g.n::text)",
                                          "md5(g.n::text)::uuid::text",
                                          "md5(g.n::text) || md5(g.n::text)",
                                          "'Row ' || g.n",
                                          "'10.0.0.' || g.n % 250",
                                          "'2024-01-01'",
                                          "'x'",
                                          NULL};
static const char *const json_shapes[] = {"'{}'", "'[]'", "'\"x\"'", NULL};
static const char *const bool_shapes[] = {"true", "false", NULL};
static const char *const no_shapes[] = {NULL};

static const char *const *shapes(const struct seed_column *column) {
  if (column->array) return json_shapes; /* '{}' is the empty array too */
  switch (family(column->base, column->kind)) {
  case FAMILY_NUMBER: return number_shapes;
  case FAMILY_TIME: return time_shapes;
  case FAMILY_TEXT: return text_shapes;
  case FAMILY_OTHER: break;
  }
  if (!strcmp(column->base, "jsonb") || !strcmp(column->base, "json")) return json_shapes;
  return !strcmp(column->base, "bool") ? bool_shapes : no_shapes;
}

/* Values around the constants: the smallest of a range usually comes first. NULL beyond the last. */
static const char *near_literals(struct arena *arena, const struct seed_column *column, int index) {
  enum family f = family(column->base, column->kind);
  const char *literal = column->literals[0], *type = column->type;
  if (index == 0) return in_turn(arena, column);
  if (index == 1) return arena_printf(arena, "%s", literal);
  if (f == FAMILY_NUMBER && index == 2) return arena_printf(arena, "(%s)::numeric + g.n - 1", literal);
  if (f == FAMILY_NUMBER && index == 3) return arena_printf(arena, "(%s)::numeric + g.n", literal);
  if (f == FAMILY_NUMBER && index == 4) return arena_printf(arena, "(%s)::numeric - g.n", literal);
  if (f == FAMILY_TIME && index == 2) return arena_printf(arena, "(%s)::%s + (g.n - 1) * interval '1 minute'", literal, type);
  if (f == FAMILY_TEXT && index == 2) return arena_printf(arena, "(%s)::text || g.n", literal);
  if (f == FAMILY_TEXT && index == 3 && *literal >= '0' && *literal <= '9')
    return arena_printf(arena, "repeat('x', least(200, (%s)::int))", literal);
  return NULL;
}

static const char *nth(struct arena *arena, const struct seed_column *column, int index) {
  if (column->default_expr && !column->unique && index-- == 0) return "";
  if (column->literal_count > 0 && family(column->base, column->kind) != FAMILY_NUMBER) {
    const char *near = near_literals(arena, column, index);
    if (near) return near;
    for (int i = 0; index > 0 && near_literals(arena, column, i) && i < 8; i++) index--;
  }
  if (index-- == 0) return first_value(arena, column);
  if (column->literal_count > 0 && family(column->base, column->kind) == FAMILY_NUMBER) {
    const char *near = near_literals(arena, column, index);
    if (near) return near;
    index -= 5;
  }
  const char *const *list = shapes(column);
  for (; *list; list++)
    if (index-- == 0) return *list;
  return index == 0 && !column->not_null ? "NULL" : NULL;
}

const char *seed_candidate(struct arena *arena, const struct seed_column *column, int index) {
  if (column->fixed || (column->default_expr && strstr(column->default_expr, "nextval("))) return index == 0 ? "" : NULL;
  const char *value = nth(arena, column, index);
  return value && *value ? arena_printf(arena, "(%s)::%s", value, column->type) : value;
}
