/* forms/type_change.c - PostgreSQL's rules (ATColumnChangeRequiresRewrite and the length-coercion support functions) as tables.
 *
 * A change is metadata only when the cast between the base types is binary coercible and the length coercion can't change a value. */
#include "worker/migration/forms/type_change.h"

#include <strings.h>

enum family { FAMILY_OTHER, FAMILY_INTEGER, FAMILY_NUMBER, FAMILY_STRING, FAMILY_TIME };

struct type_ref {
  char base[160];
  int args[2], arg_count;
  bool array;
  char fields[24]; /* "hour to minute" of an interval that has no seconds */
};

/* "timestamp(3) without time zone[]" -> base "timestamp without time zone", args {3}, array. */
static struct type_ref type_read(const char *text) {
  struct type_ref ref = {.args = {-1, -1}};
  size_t out = 0;
  for (const char *c = text; *c && out + 1 < sizeof ref.base; c++) {
    if (c[0] == '[' && c[1] == ']') {
      ref.array = true;
      c++;
    } else if (*c == '(') {
      char *end = NULL;
      do {
        long value = strtol(c + 1, &end, 10);
        if (ref.arg_count < 2) ref.args[ref.arg_count++] = (int)value;
        if (end == c + 1) break;
        c = end;
      } while (*c == ',');
      while (*c && *c != ')') c++;
      if (!*c) break;
    } else {
      ref.base[out++] = *c;
    }
  }
  if (strcmp(ref.base, "bpchar") == 0) snprintf(ref.base, sizeof ref.base, "character"); /* "character" itself always has a length */
  if (strncmp(ref.base, "interval ", 9) == 0) {                                          /* down to seconds, everything fits */
    if (!strstr(ref.base, "second")) snprintf(ref.fields, sizeof ref.fields, "%.20s", ref.base + 9);
    ref.base[8] = '\0';
  }
  return ref;
}

static const struct {
  const char *name;
  enum family family;
  int rank;
} builtins[] = {
    {"smallint", FAMILY_INTEGER, 1},
    {"integer", FAMILY_INTEGER, 2},
    {"bigint", FAMILY_INTEGER, 3},
    {"numeric", FAMILY_NUMBER, 4},
    {"real", FAMILY_NUMBER, 5},
    {"double precision", FAMILY_NUMBER, 6},
    {"text", FAMILY_STRING, 0},
    {"character varying", FAMILY_STRING, 0},
    {"character", FAMILY_STRING, 0},
    {"name", FAMILY_STRING, 0},
    {"timestamp without time zone", FAMILY_TIME, 2},
    {"timestamp with time zone", FAMILY_TIME, 3},
    {"date", FAMILY_TIME, 1},
    {"time without time zone", FAMILY_TIME, 0},
    {"time with time zone", FAMILY_TIME, 0},
};

static enum family family_of(const char *base, int *ret_rank) {
  for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
    if (strcmp(builtins[i].name, base) == 0) {
      *ret_rank = builtins[i].rank;
      return builtins[i].family;
    }
  *ret_rank = 0;
  return FAMILY_OTHER;
}

/* Pairs stored alike. `reindex`: but compared by another operator class. */
static const struct {
  const char *from, *to;
  bool reindex;
} coercible[] = {
    {"text", "character varying", false},
    {"character varying", "text", false},
    {"text", "character", true},
    {"character varying", "character", true},
    {"cidr", "inet", false},
    {"integer", "oid", true},
    {"oid", "integer", true},
    {"bit", "bit varying", false},
    {"bit varying", "bit", false},
    {"integer", "regclass", true},
    {"oid", "regclass", false},
    {"regclass", "oid", false},
    {"regclass", "integer", false},
    {"oid", "regproc", false},
    {"oid", "regtype", false},
    {"xml", "text", true},
    {"xml", "character varying", true},
};

/* Whether lengthening or dropping the modifier leaves every value as it is. */
static bool modifier_keeps(const struct type_ref *from, const struct type_ref *to) {
  const char *base = to->base;
  if (strcmp(base, "character") == 0 || strcmp(base, "bit") == 0)
    return to->arg_count == 0 || (strcmp(from->base, base) == 0 && from->arg_count == to->arg_count && from->args[0] == to->args[0]);
  if (*to->fields) return strcmp(from->fields, to->fields) == 0;
  if (to->arg_count == 0) return true;
  if (strcmp(base, "numeric") == 0) return from->arg_count == 2 && from->args[1] == to->args[1] && from->args[0] <= to->args[0];
  if (strncmp(base, "time", 4) == 0 || strcmp(base, "interval") == 0)
    return to->args[0] >= 6 || (strcmp(from->base, base) == 0 && from->arg_count && from->args[0] <= to->args[0]);
  bool same_length_rules = strcmp(from->base, base) == 0;
  return same_length_rules && from->arg_count && from->args[0] <= to->args[0];
}

static bool is_utc(const char *timezone) {
  static const char *const names[] = {"UTC",     "Etc/UTC",   "GMT",           "Etc/GMT", "Zulu",     "Etc/Zulu",  "UCT",
                                      "Etc/UCT", "Universal", "Etc/Universal", "GMT0",    "Etc/GMT0", "Greenwich", "Etc/Greenwich"};
  for (size_t i = 0; timezone && i < sizeof names / sizeof *names; i++)
    if (strcasecmp(names[i], timezone) == 0) return true;
  return false;
}

static bool timestamps(const struct type_ref *from, const struct type_ref *to) {
  return strncmp(from->base, "timestamp ", 10) == 0 && strncmp(to->base, "timestamp ", 10) == 0 && strcmp(from->base, to->base) != 0;
}

/* Which base types are stored alike: 0 no, 1 yes, 2 yes but compared otherwise. */
static int stored_alike(const struct shadow *shadow, const struct type_ref *from, const struct type_ref *to) {
  if (from->array != to->array) return 0;
  if (from->array) /* elements are converted one by one unless they are the same */
    return shadow_same_type(from->base, to->base) &&
           (!to->arg_count || (from->arg_count == to->arg_count && from->args[0] == to->args[0] && from->args[1] == to->args[1]));
  if (shadow_same_type(from->base, to->base)) return 1;
  if (timestamps(from, to)) return is_utc(shadow->timezone) ? 2 : 0;
  for (size_t i = 0; i < sizeof coercible / sizeof *coercible; i++)
    if (strcmp(coercible[i].from, from->base) == 0 && strcmp(coercible[i].to, to->base) == 0) return coercible[i].reindex ? 2 : 1;
  return 0;
}

/* pg_cast's implicit and assignment casts between common types, by what may become what; printing to a string is always allowed. */
static const struct {
  const char *from, *to;
} assignments[] = {
    {"smallint integer bigint numeric real double precision", "smallint integer bigint numeric real double precision"},
    {"smallint integer bigint", "oid regclass regproc regtype"},
    {"oid regclass regproc regtype", "oid regclass regproc regtype integer bigint"},
    {"integer bigint numeric", "money"},
    {"money", "numeric"},
    {"text, character varying, character", "\"char\""},
    {"text, character varying", "regclass"},
    {"date, timestamp without time zone, timestamp with time zone", "date, timestamp without time zone, timestamp with time zone"},
    {"timestamp without time zone, timestamp with time zone", "time without time zone"},
    {"timestamp with time zone", "time with time zone"},
    {"time without time zone, time with time zone", "time without time zone, time with time zone"},
    {"time without time zone", "interval"},
    {"interval", "time without time zone"},
    {"json jsonb", "json jsonb"},
    {"bit, bit varying", "bit, bit varying"},
    {"cidr inet", "cidr inet"},
    {"macaddr macaddr8", "macaddr macaddr8"},
    {"point", "box"},
    {"polygon", "circle path"},
    {"path", "polygon"},
    {"circle", "polygon"},
    {"\"char\"", "text, character varying, character"},
    {"integer", "text, character varying"},
};

/* Whether one of the names in the list, which commas or blanks part, is the type. */
static bool lists_type(const char *list, const char *base) {
  size_t len = strlen(base);
  for (const char *at = strstr(list, base); at; at = strstr(at + 1, base)) {
    bool starts = at == list || (at[-1] == ' ' && (strchr(list, ',') == NULL || at[-2] == ',')),
         ends = !at[len] || at[len] == ' ' || at[len] == ',';
    if (starts && ends && (!strchr(list, ',') || !at[len] || at[len] == ',')) return true;
  }
  return false;
}

/* Of the types this file knows; others (of extensions and users) bring casts of their own. */
static bool known_base(const struct shadow *shadow, const char *base) {
  static const char *const strict[] = {"boolean", "uuid",  "bytea",     "xml",       "point",    "box",     "tsvector",  "tsquery",  "line",
                                       "lseg",    "jsonb", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"};
  int rank;
  if (family_of(base, &rank) != FAMILY_OTHER || shadow_enum(shadow, base)) return true;
  for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
    if (strcmp(strict[i], base) == 0) return true;
  for (size_t i = 0; i < sizeof assignments / sizeof *assignments; i++)
    if (lists_type(assignments[i].from, base) || lists_type(assignments[i].to, base)) return true;
  return false;
}

/* Assignment casts: what ALTER TYPE may do without USING. */
static bool castable(const struct shadow *shadow, const struct type_ref *from, const struct type_ref *to) {
  int rank;
  if (family_of(to->base, &rank) == FAMILY_STRING && !to->array) return true; /* anything prints */
  if (from->array != to->array) return false;
  if (shadow_same_type(from->base, to->base)) return true;
  if (to->array && family_of(to->base, &rank) == FAMILY_STRING) return true;
  for (size_t i = 0; i < sizeof assignments / sizeof *assignments; i++)
    if (lists_type(assignments[i].from, from->base) && lists_type(assignments[i].to, to->base)) return true;
  return !known_base(shadow, from->base) && !known_base(shadow, to->base);
}

/* How a rewrite may fail or lose. */
static void judge_values(const struct type_ref *from, const struct type_ref *to, struct type_change *change) {
  int from_rank, to_rank;
  enum family a = family_of(from->base, &from_rank), b = family_of(to->base, &to_rank);
  bool same = strcmp(from->base, to->base) == 0;
  if (b == FAMILY_INTEGER && (a == FAMILY_INTEGER || a == FAMILY_NUMBER) && from_rank > to_rank) {
    change->narrowing = true;
    change->sqlstate = "22003";
    if (a == FAMILY_NUMBER) change->lossy = "fractions are rounded away";
  } else if (strcmp(to->base, "numeric") == 0 && to->arg_count) {
    int whole_from = strcmp(from->base, "numeric") == 0 && from->arg_count ? from->args[0] - from->args[1] : 1000;
    int whole_to = to->args[0] - (to->arg_count > 1 ? to->args[1] : 0);
    change->narrowing = whole_to < (a == FAMILY_INTEGER ? (from_rank == 1 ? 5 : from_rank == 2 ? 10 : 19) : whole_from);
    change->sqlstate = change->narrowing ? "22003" : NULL;
    if (same && from->arg_count == 2 && to->args[1] < from->args[1]) change->lossy = "digits after the point are rounded away";
  } else if (b == FAMILY_NUMBER && a == FAMILY_NUMBER && strcmp(to->base, "numeric") != 0 && from_rank != to_rank && to_rank != 6) {
    change->narrowing = true;
    change->sqlstate = "22003";
    change->lossy = "precision is lost";
  } else if (b == FAMILY_STRING && to->arg_count && !modifier_keeps(from, to) &&
             !(same && from->arg_count && from->args[0] <= to->args[0])) {
    change->narrowing = true;
    change->sqlstate = "22001";
  }
  if (strcmp(to->base, "bit") == 0 && to->arg_count && to->args[0] != from->args[0]) {
    change->narrowing = true;
    change->sqlstate = "22026"; /* lengths must match exactly */
  }
  if (strcmp(from->base, "character") == 0 && b == FAMILY_STRING && !same) change->lossy = "trailing blanks are removed";
  if (strcmp(from->base, "json") == 0 && strcmp(to->base, "jsonb") == 0)
    change->lossy = "key order, duplicate keys and whitespace are lost";
  if (a == FAMILY_TIME && b == FAMILY_TIME && same && to->arg_count && to->args[0] < (from->arg_count ? from->args[0] : 6))
    change->lossy = "fractional seconds are rounded silently";
  if (timestamps(from, to)) change->lossy = "values are reinterpreted in the session's TimeZone";
  if (strcmp(to->base, "date") == 0 && a == FAMILY_TIME && !same) change->lossy = "the time of day is lost";
}

struct type_change type_change_between(const struct shadow *shadow, const char *from_text, const char *to_text) {
  const struct snap_domain *from_domain = shadow_domain(shadow, from_text), *to_domain = shadow_domain(shadow, to_text);
  struct type_ref from = type_read(from_domain ? from_domain->base_type : from_text),
                  to = type_read(to_domain ? to_domain->base_type : to_text);
  struct type_change change = {.kind = TYPE_REWRITE};
  int alike = stored_alike(shadow, &from, &to);
  bool enters_domain = to_domain && to_domain != from_domain && shadow_domain_constrained(to_domain);
  if (!castable(shadow, &from, &to)) {
    change.kind = TYPE_REFUSED;
    change.sqlstate = "42804";
    return change;
  }
  if (alike && modifier_keeps(&from, &to) && !enters_domain) change.kind = alike == 2 ? TYPE_REINDEX : TYPE_METADATA;
  if (change.kind == TYPE_REWRITE) judge_values(&from, &to, &change);
  if (enters_domain) {
    change.narrowing = true;
    change.sqlstate = to_domain->check_count ? "23514" : "23502";
  }
  return change;
}

bool type_change_fits(const struct shadow *shadow, const char *from, const char *to) {
  struct type_change change = type_change_between(shadow, from, to);
  return change.kind != TYPE_REFUSED && !change.narrowing && !change.lossy;
}
