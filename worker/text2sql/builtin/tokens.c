/* tokens.c - spelling. */
#include "worker/text2sql/builtin/tokens.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool letter(char c) { return isalpha((unsigned char)c) || (unsigned char)c >= 0x80; }
/* Quotes and dashes of typography begin with E2 80. */
static bool letter_at(const char *p) { return letter(*p) && !((unsigned char)p[0] == 0xE2 && (unsigned char)p[1] == 0x80); }
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool upper(char c) { return c >= 'A' && c <= 'Z'; }

const char *tokens_lower(struct arena *arena, const char *text, size_t len) {
  char *out = arena_strndup(arena, text, len);
  if (!out) return NULL;
  for (size_t i = 0; i < len; i++) {
    if (upper(out[i])) out[i] = (char)(out[i] + 32);
    /* À to Þ, but for ×: the second byte differs by 32 */
    unsigned char next = i + 1 < len ? (unsigned char)out[i + 1] : 0;
    if ((unsigned char)out[i] == 0xC3 && next >= 0x80 && next <= 0x9E && next != 0x97) out[++i] = (char)(next + 32);
  }
  return out;
}

size_t tokens_part(const char *name, size_t len) {
  size_t n = 1;
  if (digit(name[0])) {
    while (n < len && digit(name[n])) n++;
    return n;
  }
  while (n < len && letter_at(name + n)) {
    if (upper(name[n]) && !upper(name[n - 1])) break;                                                                 /* orderDate */
    bool plural = n + 1 < len && name[n + 1] == 's' && (n + 2 == len || !letter_at(name + n + 2));                    /* IDs */
    if (upper(name[n]) && n + 1 < len && islower((unsigned char)name[n + 1]) && upper(name[n - 1]) && !plural) break; /* HTMLFile */
    n++;
  }
  return n;
}

struct scanner {
  struct tokens *out;
  struct arena *arena;
  struct words *words;
  const char *text;
  size_t at, len;
  bool oom;
};

static struct token *push(struct scanner *s, enum token_kind kind, size_t from, size_t to, const char *lower) {
  if (!lower) s->oom = true;
  if (s->out->count == TOKENS_MAX || !lower) {
    s->out->cut = true;
    return NULL;
  }
  struct token *token = &s->out->items[s->out->count++];
  *token = (struct token){.kind = kind, .lower = lower, .from = from, .to = to};
  return token;
}

static void push_word(struct scanner *s, size_t from, size_t to, const char *lower, bool capital) {
  size_t before = from;
  while (before && isspace((unsigned char)s->text[before - 1])) before--;
  bool first = s->out->count == 0 || (before < from && strchr(".?!", s->text[before - 1]));
  struct token *token = push(s, TOKEN_WORD, from, to, lower);
  if (!token) return;
  token->word = words_of(s->words, lower);
  token->capital = capital && !first;
  if (!token->word) s->oom = true;
}

/* --- numbers and dates --- */

static bool iso_date(const char *p) {
  static const char shape[] = "dddd-dd-dd";
  for (size_t i = 0; shape[i]; i++)
    if (shape[i] == 'd' ? !digit(p[i]) : p[i] != '-') return false;
  int month = (int)strtol(p + 5, NULL, 10), day = (int)strtol(p + 8, NULL, 10);
  return month >= 1 && month <= 12 && day >= 1 && day <= 31 && !digit(p[10]);
}

static double unit_after(struct scanner *s, size_t *at) {
  static const struct {
    const char *name;
    double factor;
  } units[] = {{"k", 1e3}, {"m", 1e6}, {"bn", 1e9}, {" thousand", 1e3}, {" million", 1e6}, {" billion", 1e9}, {" hundred", 1e2}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    size_t n = strlen(units[i].name);
    if (strncasecmp(s->text + *at, units[i].name, n) == 0 && !letter(s->text[*at + n]) && !digit(s->text[*at + n])) {
      *at += n;
      return units[i].factor;
    }
  }
  return 1;
}

static void scan_number(struct scanner *s) {
  size_t from = s->at, to = from, n = 0;
  char plain[40];
  for (; to < s->len && n < sizeof plain - 1; to++) {
    char c = s->text[to];
    bool comma = c == ',' && digit(s->text[to + 1]) && digit(s->text[to + 2]) && digit(s->text[to + 3]) && !digit(s->text[to + 4]);
    if (digit(c) || (c == '.' && digit(s->text[to + 1]) && !memchr(plain, '.', n)))
      plain[n++] = c;
    else if (!comma)
      break;
  }
  plain[n] = '\0';
  double factor = unit_after(s, &to), number = strtod(plain, NULL) * factor;
  const char *suffix = s->text + to;
  bool ordinal = factor == 1 && (strncmp(suffix, "st", 2) == 0 || strncmp(suffix, "nd", 2) == 0 || strncmp(suffix, "rd", 2) == 0 ||
                                 strncmp(suffix, "th", 2) == 0);
  if (ordinal && !letter(suffix[2])) to += 2;
  bool percent = s->text[to] == '%';
  struct token *token =
      push(s, TOKEN_NUMBER, from, to + percent, factor == 1 ? arena_strdup(s->arena, plain) : arena_printf(s->arena, "%.15g", number));
  if (token) {
    token->number = number;
    token->percent = percent;
  }
  s->at = to + percent;
}

static bool number_word(struct scanner *s, const char *lower, size_t from, size_t to) {
  static const char *const names[] = {"zero",  "one",   "two",  "three", "four",   "five",  "six",
                                      "seven", "eight", "nine", "ten",   "eleven", "twelve"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], lower) != 0) continue;
    struct token *token = push(s, TOKEN_NUMBER, from, to, arena_printf(s->arena, "%zu", i));
    if (token) token->number = (double)i;
    return true;
  }
  const struct token *last = s->out->count ? &s->out->items[s->out->count - 1] : NULL;
  bool times = strcmp(lower, "once") == 0 || strcmp(lower, "twice") == 0, compared = false; /* "at least once" */
  static const char *const before[] = {"least", "most", "than", "exactly", "only"};
  for (size_t i = 0; times && last && i < sizeof before / sizeof *before; i++) compared |= strcmp(last->lower, before[i]) == 0;
  if (compared) {
    struct token *token = push(s, TOKEN_NUMBER, from, to, *lower == 'o' ? "1" : "2");
    if (token) token->number = *lower == 'o' ? 1 : 2;
    return true;
  }
  if (strcmp(lower, "dozen") != 0 && strcmp(lower, "twenty") != 0) return false;
  struct token *token = push(s, TOKEN_NUMBER, from, to, lower[1] == 'o' ? "12" : "20");
  if (token) token->number = lower[1] == 'o' ? 12 : 20;
  return true;
}

/* --- words --- */

/* "n't" after the word that ends at `to`: "do" "not". */
static bool negated(struct scanner *s, size_t *to) {
  const char *p = s->text + *to;
  size_t mark = *p == '\'' ? 1 : strncmp(p, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
  if (!mark || (p[mark] | 32) != 't' || letter(p[mark + 1]) || (s->text[*to - 1] | 32) != 'n') return false;
  *to += mark + 1;
  return true;
}

static size_t possessive(struct scanner *s, size_t to) {
  const char *p = s->text + to;
  size_t mark = *p == '\'' ? 1 : strncmp(p, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
  if (!mark) return to;
  if ((p[mark] | 32) == 's' && !letter(p[mark + 1])) return to + mark + 1;
  return letter(p[mark]) ? to : to + mark;
}

static void scan_word(struct scanner *s) {
  size_t from = s->at, to = from + tokens_part(s->text + from, s->len - from);
  size_t end = to;
  bool capital = upper(s->text[from]);
  if (negated(s, &end)) {
    size_t stem = to - from > 1 ? to - 1 - from : to - from;
    const char *lower = tokens_lower(s->arena, s->text + from, stem);
    bool ca = lower && (strcmp(lower, "ca") == 0 || strcmp(lower, "wo") == 0);
    push_word(s, from, to, ca ? "can" : lower, capital);
    push_word(s, from, end, "not", false);
  } else {
    const char *lower = tokens_lower(s->arena, s->text + from, to - from);
    end = possessive(s, to);
    if (!lower)
      s->oom = true;
    else if (!number_word(s, lower, from, to))
      push_word(s, from, to, lower, capital);
  }
  s->at = end;
}

/* A quote opens at a word's beginning and closes at one's end. */
static bool scan_quoted(struct scanner *s) {
  static const char *const pairs[][2] = {
      {"'", "'"}, {"\"", "\""}, {"`", "`"}, {"\xE2\x80\x98", "\xE2\x80\x99"}, {"\xE2\x80\x9C", "\xE2\x80\x9D"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    size_t open = strlen(pairs[i][0]), shut = strlen(pairs[i][1]);
    if (strncmp(s->text + s->at, pairs[i][0], open) != 0) continue;
    const char *start = s->text + s->at + open;
    for (const char *end = strstr(start, pairs[i][1]); end; end = strstr(end + 1, pairs[i][1])) {
      if (end == start || letter(end[shut]) || digit(end[shut])) continue;
      push(s, TOKEN_QUOTED, s->at, (size_t)(end + shut - s->text), arena_strndup(s->arena, start, (size_t)(end - start)));
      s->at = (size_t)(end + shut - s->text);
      return true;
    }
  }
  return false;
}

static void scan_mark(struct scanner *s) {
  char c = s->text[s->at];
  size_t n = (c == '<' || c == '>' || c == '!') && s->text[s->at + 1] == '=' ? 2 : 1;
  if (c == '<' && s->text[s->at + 1] == '>') n = 2;
  if (strchr(",<>=!+*/-:();?", c)) push(s, TOKEN_MARK, s->at, s->at + n, arena_strndup(s->arena, s->text + s->at, n));
  s->at += n;
}

/* "check-ins", "first-class": two words, as in a name. */
static bool hyphen(const struct scanner *s) {
  return s->text[s->at] == '-' && s->at > 0 && isalpha((unsigned char)s->text[s->at - 1]) && isalpha((unsigned char)s->text[s->at + 1]);
}

static void scan_one(struct scanner *s) {
  char c = s->text[s->at];
  if (isspace((unsigned char)c) || c == '_' || c == '.' || c == '$' || c == '?' || hyphen(s)) {
    s->at++;
  } else if (s->len - s->at >= 10 && iso_date(s->text + s->at)) {
    push(s, TOKEN_DATE, s->at, s->at + 10, arena_strndup(s->arena, s->text + s->at, 10));
    s->at += 10;
  } else if (digit(c)) {
    scan_number(s);
  } else if (letter_at(s->text + s->at)) {
    scan_word(s);
  } else if (!scan_quoted(s)) {
    scan_mark(s);
  }
}

bool tokens_read(struct tokens *tokens, const char *text, struct arena *arena, struct words *words) {
  *tokens = (struct tokens){.text = text};
  struct scanner s = {.out = tokens, .arena = arena, .words = words, .text = text, .len = strlen(text)};
  while (s.at < s.len && !tokens->cut && !s.oom) scan_one(&s);
  return !s.oom;
}
