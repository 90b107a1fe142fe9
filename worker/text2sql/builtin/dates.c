/* dates.c - stretches of time. */
#include "worker/text2sql/builtin/dates.h"

#include <stdlib.h>
#include <string.h>

static const char *const months[] = {"january", "february", "march",     "april",   "may",      "june",
                                     "july",    "august",   "september", "october", "november", "december"};

struct date_reader {
  const struct tokens *tokens;
  struct arena *arena;
};
struct stretch { /* from the first instant to the one after the last */
  const char *from, *to;
  int from_year, to_year, month;
  bool by_year; /* relative, of whole years: "last 5 years" */
};

static const char *word(const struct date_reader *r, size_t at) {
  if (at >= r->tokens->count) return "";
  const struct token *token = &r->tokens->items[at];
  return token->kind == TOKEN_WORD || token->kind == TOKEN_MARK ? token->lower : "";
}

static bool one_of(const char *text, const char *const *list) {
  for (size_t i = 0; list[i]; i++)
    if (strcmp(text, list[i]) == 0) return true;
  return false;
}
#define ANY(text, ...) one_of(text, (const char *const[]){__VA_ARGS__, NULL})

static int month_of(const char *lower) {
  size_t len = strlen(lower);
  for (int i = 0; i < 12; i++)
    if (strcmp(lower, months[i]) == 0 || (len == 3 && strncmp(lower, months[i], 3) == 0 && i != 4)) return i + 1;
  return strcmp(lower, "sept") == 0 ? 9 : 0;
}

static int year_at(const struct date_reader *r, size_t at) {
  if (at >= r->tokens->count) return 0;
  const struct token *token = &r->tokens->items[at];
  bool year = token->kind == TOKEN_NUMBER && strlen(token->lower) == 4 && token->number >= 1900 && token->number < 2100 && !token->percent;
  return year && token->to - token->from == 4 ? (int)token->number : 0;
}

static int count_at(const struct date_reader *r, size_t at) {
  if (at >= r->tokens->count) return 0;
  const struct token *token = &r->tokens->items[at];
  return token->kind == TOKEN_NUMBER && token->number >= 1 && token->number <= 10000 && !strchr(token->lower, '.') ? (int)token->number : 0;
}

enum date_unit dates_unit(const char *lower) {
  static const struct {
    const char *names;
    enum date_unit unit;
  } units[] = {{" hour hours hourly ", UNIT_HOUR},
               {" day days daily date ", UNIT_DAY},
               {" week weeks weekly ", UNIT_WEEK},
               {" month months monthly ", UNIT_MONTH},
               {" quarter quarters quarterly ", UNIT_QUARTER},
               {" year years yearly annual annually ", UNIT_YEAR},
               {" weekday weekdays ", UNIT_WEEKDAY}};
  size_t len = strlen(lower);
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    for (const char *p = strstr(units[i].names, lower); p && len > 2; p = strstr(p + 1, lower))
      if (p[-1] == ' ' && p[len] == ' ') return units[i].unit;
  return UNIT_NONE;
}

const char *dates_unit_name(enum date_unit unit) {
  static const char *const names[] = {"", "hour", "day", "week", "month", "quarter", "year", "isodow", "hour"};
  return names[unit];
}

/* --- absolute --- */

static const char *first_of(struct arena *arena, int year, int month) {
  return arena_printf(arena, "DATE '%04d-%02d-01'", year + (month - 1) / 12, (month - 1) % 12 + 1);
}

static struct stretch whole_months(struct arena *arena, int year, int month, int count) {
  return (struct stretch){
      first_of(arena, year, month), first_of(arena, year, month + count), count == 12 ? year : 0, count == 12 ? year : 0, 0, false};
}

static struct stretch one_day(struct arena *arena, int year, int month, int day) {
  return (struct stretch){arena_printf(arena, "DATE '%04d-%02d-%02d'", year, month, day),
                          arena_printf(arena, "DATE '%04d-%02d-%02d' + 1", year, month, day),
                          0,
                          0,
                          0,
                          false};
}

static bool real_day(int year, int month, int day) {
  static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day >= 1 && day <= days[month - 1] && (month != 2 || day < 29 || leap);
}

/* "March 2024", "March 5, 2024", "5 March 2024", "March". */
static size_t read_month(const struct date_reader *r, size_t at, struct stretch *ret) {
  size_t p = at;
  int day = 0;
  if (count_at(r, p) && count_at(r, p) <= 31 &&
      (month_of(word(r, p + 1)) || (strcmp(word(r, p + 1), "of") == 0 && month_of(word(r, p + 2))))) {
    day = count_at(r, p);
    p += month_of(word(r, p + 1)) ? 1 : 2;
  }
  int month = month_of(word(r, p));
  if (!month) return 0;
  p++;
  if (!day && count_at(r, p) && count_at(r, p) <= 31) day = count_at(r, p++);
  size_t skip = ANY(word(r, p), ",", "of") ? 1 : 0;
  int year = year_at(r, p + skip);
  if (year) {
    if (day && !real_day(year, month, day)) return 0;
    *ret = day ? one_day(r->arena, year, month, day) : whole_months(r->arena, year, month, 1);
    return p + skip + 1 - at;
  }
  size_t other = ANY(word(r, p), "and", "to", "until", "-") ? p + 1 : 0; /* "1 May to 5 June 2024": the year is of both */
  if (day && other && count_at(r, other) && month_of(word(r, other + 1)))
    year = year_at(r, other + 2 + (ANY(word(r, other + 2), ",", "of") ? 1 : 0));
  if (day && other && month_of(word(r, other)) && count_at(r, other + 1))
    year = year_at(r, other + 2 + (ANY(word(r, other + 2), ",", "of") ? 1 : 0));
  if (day && year && real_day(year, month, day)) {
    *ret = one_day(r->arena, year, month, day);
    return p - at;
  }
  if (day) return 0; /* a day of which year? */
  if (strcmp(word(r, p - 1), "may") == 0 && !r->tokens->items[p - 1].capital) return 0;
  if (ANY(word(r, p - 1), "march", "mar", "dec", "sun", "jan") && !r->tokens->items[p - 1].capital && at == 0) return 0;
  size_t list = p; /* "June or July 2023": the year is of both */
  while (ANY(word(r, list), "or", "and", ",") && month_of(word(r, list + 1))) list += 2;
  if (list > p) list += ANY(word(r, list), ",", "of") ? 1 : 0;
  if (list > p && year_at(r, list)) {
    *ret = whole_months(r->arena, year_at(r, list), month, 1);
    return p - at;
  }
  *ret = (struct stretch){.month = month};
  return p - at;
}

/* "Q2 2023", "2023 Q2", "the second quarter of 2023". */
static size_t read_quarter(const struct date_reader *r, size_t at, struct stretch *ret) {
  static const char *const ordinals[] = {"first", "second", "third", "fourth", "last", "final"};
  size_t p = at;
  int before = year_at(r, p), quarter = 0;
  if (before) p++;
  if (strcmp(word(r, p), "q") == 0 && count_at(r, p + 1) >= 1 && count_at(r, p + 1) <= 4) {
    quarter = count_at(r, p + 1);
    p += 2;
  }
  for (int i = 0; !quarter && i < 6; i++)
    if ((strcmp(word(r, p), ordinals[i]) == 0 || count_at(r, p) == i + 1) && strcmp(word(r, p + 1), "quarter") == 0)
      quarter = i < 4 ? i + 1 : 4, p += 2;
  if (!quarter) return 0;
  if (!before) {
    p += ANY(word(r, p), "of", "in", ",") ? 1 : 0;
    before = year_at(r, p);
    p++;
  }
  if (!before) return 0;
  *ret = whole_months(r->arena, before, 3 * quarter - 2, 3);
  return p - at;
}

/* "the first half of 2023", "H2 2023". */
static size_t read_half(const struct date_reader *r, size_t at, struct stretch *ret) {
  size_t p = at;
  int half = ANY(word(r, p), "first") ? 1 : ANY(word(r, p), "second", "last") ? 2 : 0;
  if (half && ANY(word(r, p + 1), "half")) {
    p += 2;
  } else if (ANY(word(r, p), "h") && (count_at(r, p + 1) == 1 || count_at(r, p + 1) == 2)) {
    half = count_at(r, p + 1);
    p += 2;
  } else {
    return 0;
  }
  p += ANY(word(r, p), "of", "in", ",") ? 1 : 0;
  if (!year_at(r, p)) return 0;
  *ret = whole_months(r->arena, year_at(r, p), half == 1 ? 1 : 7, 6);
  return p + 1 - at;
}

static size_t read_absolute(const struct date_reader *r, size_t at, struct stretch *ret) {
  if (at >= r->tokens->count) return 0;
  const struct token *token = &r->tokens->items[at];
  size_t skip = strcmp(word(r, at), "the") == 0 ? 1 : 0;
  size_t n = read_quarter(r, at + skip, ret);
  if (!n) n = read_half(r, at + skip, ret);
  if (n) return n + skip;
  if (strcmp(word(r, at + skip), "month") == 0 && strcmp(word(r, at + skip + 1), "of") == 0) skip += 2;
  n = read_month(r, at + skip, ret);
  if (n) return n + skip;
  if (token->kind == TOKEN_DATE) {
    int year = (int)strtol(token->lower, NULL, 10), month = (int)strtol(token->lower + 5, NULL, 10),
        day = (int)strtol(token->lower + 8, NULL, 10);
    if (!real_day(year, month, day)) return 0;
    *ret = one_day(r->arena, year, month, day);
    return 1;
  }
  if (strcmp(word(r, at + skip), "year") == 0) skip++;
  int year = year_at(r, at + skip);
  if (!year) return 0;
  const struct token *behind = at + skip + 1 < r->tokens->count ? &r->tokens->items[at + skip + 1] : NULL;
  bool decade = behind && strcmp(behind->lower, "s") == 0 && behind->from <= r->tokens->items[at + skip].to + 1; /* "the 1980s" */
  if (decade && year % 10) return 0;
  if (decade) {
    *ret = (struct stretch){first_of(r->arena, year, 1), first_of(r->arena, year + 10, 1), year, year + 9, 0, false};
    return skip + 2;
  }
  *ret = whole_months(r->arena, year, 1, 12);
  return skip + 1;
}

/* --- relative --- */

static const char *trunc_now(struct arena *arena, enum date_unit unit, int shift) {
  if (unit == UNIT_DAY) return shift ? arena_printf(arena, "CURRENT_DATE %c %d", shift < 0 ? '-' : '+', abs(shift)) : "CURRENT_DATE";
  int many = abs(shift) * (unit == UNIT_QUARTER ? 3 : 1);
  const char *interval = arena_printf(arena, "%d %s%s", many, unit == UNIT_QUARTER ? "month" : dates_unit_name(unit), many > 1 ? "s" : "");
  const char *now = arena_printf(arena, "date_trunc('%s', CURRENT_DATE)", dates_unit_name(unit));
  return shift ? arena_printf(arena, "%s %c INTERVAL '%s'", now, shift < 0 ? '-' : '+', interval) : now;
}

static struct stretch calendar(struct arena *arena, enum date_unit unit, int shift) {
  return (struct stretch){.from = trunc_now(arena, unit, shift), .to = trunc_now(arena, unit, shift + 1), .by_year = unit == UNIT_YEAR};
}

static struct stretch rolling(struct arena *arena, enum date_unit unit, int count) {
  if (unit == UNIT_DAY) return (struct stretch){.from = arena_printf(arena, "CURRENT_DATE - %d", count)};
  if (unit == UNIT_HOUR) return (struct stretch){.from = arena_printf(arena, "now() - INTERVAL '%d hours'", count)};
  const char *name = unit == UNIT_QUARTER ? "month" : dates_unit_name(unit);
  return (struct stretch){.from = arena_printf(arena, "CURRENT_DATE - INTERVAL '%d %ss'", unit == UNIT_QUARTER ? 3 * count : count, name),
                          .by_year = unit == UNIT_YEAR};
}

static size_t read_relative(const struct date_reader *r, size_t at, struct stretch *ret) {
  size_t p = at + (strcmp(word(r, at), "the") == 0 ? 1 : 0);
  const char *w = word(r, p);
  if (ANY(w, "today", "yesterday", "tomorrow")) {
    *ret = calendar(r->arena, UNIT_DAY, *w == 'y' ? -1 : w[2] == 'm' ? 1 : 0);
    return p + 1 - at;
  }
  if (ANY(w, "ytd") || (ANY(w, "year") && ANY(word(r, p + 1), "to") && ANY(word(r, p + 2), "date"))) {
    *ret = (struct stretch){.from = trunc_now(r->arena, UNIT_YEAR, 0)};
    return (*w == 'y' && w[1] == 't' ? p + 1 : p + 3) - at;
  }
  bool last = ANY(w, "last", "past", "previous", "preceding"), now = ANY(w, "this", "current"), next = ANY(w, "next", "coming", "upcoming");
  if (!last && !now && !next) return 0;
  int count = count_at(r, p + 1);
  enum date_unit unit = dates_unit(word(r, p + 1 + (count != 0)));
  if (strcmp(word(r, p + 1 + (count != 0)), "date") == 0 || unit == UNIT_WEEKDAY) unit = UNIT_NONE;
  size_t behind = p + 2 + (count != 0); /* "the last month of 2023" is no month before this one */
  if (ANY(word(r, behind), "of", "in") && year_at(r, behind + 1)) return 0;
  if (unit == UNIT_NONE || (unit == UNIT_HOUR && !count) || (now && count)) return 0;
  if (count && last) {
    *ret = rolling(r->arena, unit, count);
  } else if (count) {
    struct stretch ahead = rolling(r->arena, unit, count);
    char *to = arena_strdup(r->arena, ahead.from);
    char *minus = to ? strrchr(to, '-') : NULL;
    if (minus) *minus = '+';
    *ret = (struct stretch){.from = "CURRENT_DATE", .to = to};
  } else if (last && ANY(w, "past")) {
    *ret = rolling(r->arena, unit, 1);
  } else {
    *ret = calendar(r->arena, unit, last ? -1 : now ? 0 : 1);
  }
  return p + 2 + (count != 0) - at;
}

/* "3 months ago". */
static size_t read_ago(const struct date_reader *r, size_t at, struct stretch *ret) {
  int count = count_at(r, at);
  enum date_unit unit = dates_unit(word(r, at + 1));
  if (!count || unit == UNIT_NONE || strcmp(word(r, at + 2), "ago") != 0) return 0;
  struct stretch back = rolling(r->arena, unit, count);
  *ret = (struct stretch){.from = back.from, .to = back.from};
  return 3;
}

static size_t read_stretch(const struct date_reader *r, size_t at, struct stretch *ret) {
  size_t n = read_relative(r, at, ret);
  if (!n) n = read_ago(r, at, ret);
  return n ? n : read_absolute(r, at, ret);
}

/* --- with prepositions --- */

static void set(struct date_range *range, const char *from, const char *to, int from_year, int to_year) {
  *range = (struct date_range){.from = from, .to = to, .from_year = from_year, .to_year = to_year, .years = from_year || to_year};
}

static size_t read_two(const struct date_reader *r, size_t at, const char *joint, const char *other, struct date_range *ret) {
  struct stretch a, b;
  size_t n = read_stretch(r, at, &a), m;
  if (!n || a.month || (strcmp(word(r, at + n), joint) != 0 && strcmp(word(r, at + n), other) != 0)) return 0;
  m = read_stretch(r, at + n + 1, &b);
  if (!m || b.month) return 0;
  set(ret, a.from, b.to, a.from_year && b.to_year ? a.from_year : 0, a.from_year && b.to_year ? b.to_year : 0);
  return n + 1 + m;
}

static size_t read_bounded(const struct date_reader *r, size_t at, struct date_range *ret) {
  const char *w = word(r, at);
  size_t p = at + 1, n = 0;
  if (ANY(w, "between")) return (n = read_two(r, p, "and", "to", ret)) ? n + 1 : 0;
  if (ANY(w, "from") && (n = read_two(r, p, "to", "until", ret))) return n + 1;
  bool since = ANY(w, "since", "starting"), after = ANY(w, "after", "later", "past"), before = ANY(w, "before", "earlier"),
       until = ANY(w, "until", "till", "through", "by");
  if (ANY(w, "prior")) before = strcmp(word(r, p), "to") == 0;
  if ((ANY(w, "prior") && before) || (ANY(w, "starting") && ANY(word(r, p), "from", "in", "on")) || ANY(w, "later", "earlier")) p++;
  if (ANY(w, "on") && ANY(word(r, p), "or") && ANY(word(r, p + 1), "after", "before")) {
    since = ANY(word(r, p + 1), "after");
    until = !since;
    p += 2;
  }
  if (since && strcmp(word(r, p), "the") == 0 && ANY(word(r, p + 1), "start", "beginning") && strcmp(word(r, p + 2), "of") == 0) p += 3;
  struct stretch one;
  if ((!since && !after && !before && !until) || !(n = read_stretch(r, p, &one)) || one.month) return 0;
  if (since) set(ret, one.from, NULL, one.from_year, 0);
  if (after) set(ret, one.to ? one.to : one.from, NULL, one.to_year ? one.to_year + 1 : 0, 0);
  if (before) set(ret, NULL, one.from, 0, one.from_year ? one.from_year - 1 : 0);
  if (until) set(ret, NULL, one.to, 0, one.to_year);
  return p + n - at;
}

static size_t read_plain(const struct date_reader *r, size_t at, bool preposition, struct date_range *ret_range) {
  struct stretch one;
  size_t n = read_stretch(r, at, &one);
  if (!n) return 0;
  bool bare_year = n == 1 && year_at(r, at);
  if (bare_year && !preposition) return 0; /* "2020 orders": a number like others */
  if (one.month && !preposition) return 0;
  if (one.month) {
    *ret_range = (struct date_range){.month = one.month};
    return n;
  }
  bool later = ANY(word(r, at + n), "or", "and") && ANY(word(r, at + n + 1), "after", "later", "newer", "onwards", "onward");
  bool sooner = ANY(word(r, at + n), "or", "and") && ANY(word(r, at + n + 1), "before", "earlier", "older");
  if (later) set(ret_range, one.from, NULL, one.from_year, 0);
  if (sooner) set(ret_range, NULL, one.to, 0, one.to_year);
  if (later || sooner) return n + 2;
  if (one.from && ANY(word(r, at + n), "onwards", "onward")) {
    set(ret_range, one.from, NULL, one.from_year, 0);
    return n + 1;
  }
  if (one.from == one.to && one.from) one.to = arena_printf(r->arena, "%s + INTERVAL '1 day'", one.from);
  set(ret_range, one.from, one.to, one.from_year, one.to_year);
  ret_range->by_year = one.by_year;
  return n;
}

size_t dates_continue(const struct tokens *tokens, size_t at, struct arena *arena, struct date_range *ret_range) {
  struct date_reader r = {tokens, arena};
  return read_plain(&r, at, true, ret_range);
}

/* "on weekends", "on a Monday". */
static size_t read_weekdays(const struct date_reader *r, size_t at, struct date_range *ret_range) {
  static const char *const days[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};
  size_t p = at + (ANY(word(r, at), "on", "at", "during", "over") ? 1 : 0);
  p += ANY(word(r, p), "a", "the", "any", "every") && p > at ? 1 : 0;
  const char *days_said = ANY(word(r, p), "weekend", "weekends")    ? "6, 7"
                          : ANY(word(r, p), "weekdays", "workdays") ? "1, 2, 3, 4, 5"
                                                                    : NULL;
  for (int i = 0; i < 7 && p > at && !days_said; i++) {
    size_t len = strlen(days[i]);
    if (strncmp(word(r, p), days[i], len) == 0 && ANY(word(r, p) + len, "", "s")) days_said = arena_printf(r->arena, "%d", i + 1);
  }
  if (!days_said || (p == at && !ANY(word(r, p), "weekend", "weekends"))) return 0;
  *ret_range = (struct date_range){.weekdays = days_said};
  return p + 1 - at;
}

size_t dates_read(const struct tokens *tokens, size_t at, struct arena *arena, struct date_range *ret_range) {
  struct date_reader r = {tokens, arena};
  size_t n = read_bounded(&r, at, ret_range), p = at;
  if (n || (n = read_weekdays(&r, at, ret_range))) return n;
  bool preposition = ANY(word(&r, p), "in", "during", "for", "of", "from", "within", "throughout", "on", "over");
  if (preposition) p++;
  n = read_plain(&r, p, preposition, ret_range);
  return n ? p + n - at : 0;
}
