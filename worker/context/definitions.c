/* definitions.c - see definitions.h. What is not written like a definition is none: a glossary with prose in it misleads more than one that
 * lacks a term. */
#include "worker/context/definitions.h"

#include <ctype.h>
#include <strings.h>

#include "common/limits.h"
#include "common/utf8.h"
#include "worker/sql/text.h"

#define TERM_BYTES 60
#define TERM_WORDS 6
#define MEANING_BYTES 600
#define CELLS_MAX 16

struct span {
  const char *text;
  size_t len;
};

struct finder {
  const struct extract *extract;
  struct arena *arena;
  struct definition *items;
  size_t count;
  const char *heading;
  bool in_glossary; /* the heading says so */
};

static struct span trim(struct span span, const char *blanks) {
  while (span.len && strchr(blanks, span.text[0])) span.text++, span.len--;
  while (span.len && strchr(blanks, span.text[span.len - 1])) span.len--;
  return span;
}

static bool holds_word(struct span span, const char *const *words) {
  for (; *words; words++)
    for (size_t at = 0, len = strlen(*words); at + len <= span.len; at++)
      if (strncasecmp(span.text + at, *words, len) == 0 && (at == 0 || !isalpha((unsigned char)span.text[at - 1]))) return true;
  return false;
}

/* --- terms and meanings --- */

static const char *const no_terms[] = {"note",  "notes",   "example", "examples", "warning", "caution",  "tip",     "important",
                                       "todo",  "e.g",     "i.e",     "see",      "date",    "author",   "version", "status",
                                       "http",  "https",   "update",  "question", "answer",  "q",        "a",       "step",
                                       "usage", "returns", "return",  "default",  "input",   "output",   "request", "response",
                                       "title", "tags",    "hint",    "summary",  "fixme",   "reminder", "or",      "and"};

static bool is_term(struct span term) {
  int words = 1;
  if (!term.len || term.len > TERM_BYTES || (!isalpha((unsigned char)term.text[0]) && (uint8_t)term.text[0] < 0x80)) return false;
  for (size_t i = 0; i < term.len; i++) {
    if (strchr("\n\r\t.!?;{}<>|=\"", term.text[i])) return false;
    words += term.text[i] == ' ';
  }
  for (size_t i = 0; i < sizeof no_terms / sizeof *no_terms; i++)
    if (strlen(no_terms[i]) == term.len && strncasecmp(no_terms[i], term.text, term.len) == 0) return false;
  return words <= TERM_WORDS;
}

/* Calls, operators between names: what a bare word or a sentence has not. */
static bool is_expression(struct span meaning, struct arena *arena) {
  bool sign = false;
  for (size_t i = 0; i < meaning.len; i++) sign |= strchr("(*/+-<>=", meaning.text[i]) != NULL;
  const char *text = sign ? arena_strndup(arena, meaning.text, meaning.len) : NULL;
  return text && sql_parse_expression(arena, text) != NULL;
}

static bool known(const struct finder *finder, struct span term) {
  for (size_t i = 0; i < finder->count; i++)
    if (strlen(finder->items[i].term) == term.len && strncasecmp(finder->items[i].term, term.text, term.len) == 0) return true;
  return false;
}

static void add(struct finder *finder, struct span term, struct span meaning, bool expression) {
  if (finder->count == LIMIT_GLOSSARY_ENTRIES || known(finder, term)) return;
  if (meaning.len > MEANING_BYTES) meaning.len = utf8_cut(meaning.text, MEANING_BYTES);
  struct definition made = {arena_strndup(finder->arena, term.text, term.len), arena_strndup(finder->arena, meaning.text, meaning.len),
                            expression, finder->heading};
  if (made.term && made.meaning) finder->items[finder->count++] = made;
}

/* "GMV (gross merchandise value)" are two terms of one meaning. */
static void define(struct finder *finder, struct span term, struct span meaning, bool sure) {
  static const char marks[] = " \t\r\n*_`";
  term = trim(term, marks);
  meaning = trim(meaning, marks);
  const char *open = term.len ? memchr(term.text, '(', term.len) : NULL;
  bool expression = is_expression(meaning, finder->arena);
  if (meaning.len < 3 || (!sure && !expression)) return;
  if (open && term.text[term.len - 1] == ')') {
    struct span second = trim((struct span){open + 1, (size_t)(term.text + term.len - open) - 2}, marks);
    term = trim((struct span){term.text, (size_t)(open - term.text)}, marks);
    if (is_term(second)) add(finder, second, meaning, expression);
  }
  if (is_term(term)) add(finder, term, meaning, expression);
}

/* --- lines --- */

static bool is_marked(struct span line) {
  return line.len > 4 && (strncmp(line.text, "**", 2) == 0 || strncmp(line.text, "__", 2) == 0 || line.text[0] == '`');
}

/* What parts the term from its meaning: ": ", " = ", " - ", " – ", " — ". Where it begins and ends. */
static bool find_sign(struct span line, size_t *ret_at, size_t *ret_after, bool *ret_equals) {
  static const char *const signs[] = {": ", ":** ", ":__ ", " = ", " := ", " - ", " \xE2\x80\x93 ", " \xE2\x80\x94 "};
  size_t best = line.len;
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    const char *at = memmem(line.text, line.len, signs[i], strlen(signs[i]));
    if (!at || (size_t)(at - line.text) >= best) continue;
    best = (size_t)(at - line.text);
    *ret_at = best;
    *ret_after = best + strlen(signs[i]);
    *ret_equals = strchr(signs[i], '=') != NULL;
  }
  return best < line.len && best <= TERM_BYTES * 2;
}

static void read_line(struct finder *finder, struct span line) {
  size_t at = 0, after = 0;
  bool equals = false;
  line = trim(line, " \t\r\n>");
  if (line.len > 2 && strchr("-*+", line.text[0]) && line.text[1] == ' ') line = trim((struct span){line.text + 2, line.len - 2}, " \t");
  if (!find_sign(line, &at, &after, &equals)) return;
  bool sure = is_marked(line) || (finder->in_glossary && !equals);
  define(finder, (struct span){line.text, at}, (struct span){line.text + after, line.len - after}, sure);
}

/* A meaning may go on in the next lines; a new line that defines something itself ends it. */
static void read_block(struct finder *finder, const struct block *block) {
  const char *text = finder->extract->text;
  if (block->kind == BLOCK_ITEM) {
    size_t len = block->to - block->from;
    const char *nested = memmem(text + block->from, len, "\n", 1);
    read_line(finder, (struct span){text + block->from, nested ? (size_t)(nested - text) - block->from : len});
    return;
  }
  for (size_t at = block->from; at < block->to;) {
    const char *end = memchr(text + at, '\n', block->to - at);
    size_t to = end ? (size_t)(end - text) : block->to;
    read_line(finder, (struct span){text + at, to - at});
    at = to + 1;
  }
}

/* --- tables --- */

static size_t cells_of(struct span row, struct span cells[CELLS_MAX]) {
  size_t count = 0;
  const char *line = memchr(row.text, '\n', row.len);
  if (line) row.len = (size_t)(line - row.text);
  row = trim(row, " \t\r|");
  while (count < CELLS_MAX) {
    const char *bar = memchr(row.text, '|', row.len);
    cells[count++] = trim((struct span){row.text, bar ? (size_t)(bar - row.text) : row.len}, " \t");
    if (!bar) break;
    row.len -= (size_t)(bar + 1 - row.text);
    row.text = bar + 1;
  }
  return count;
}

static void read_row(struct finder *finder, const struct block *block) {
  static const char *const terms[] = {"term", "metric", "kpi", "abbreviation", "acronym", "concept", "measure", "word", NULL};
  static const char *const formulas[] = {"formula", "expression", "calculation", "sql", NULL};
  static const char *const meanings[] = {"definition", "meaning", "description", "explanation", "stands for", NULL};
  const char *text = finder->extract->text;
  struct span heads[CELLS_MAX], cells[CELLS_MAX];
  if (block->head == block->head_to) return;
  size_t head_count = cells_of((struct span){text + block->head, block->head_to - block->head}, heads);
  size_t count = cells_of((struct span){text + block->from, block->to - block->from}, cells);
  if (head_count < 2 || count < 2 || !holds_word(heads[0], terms)) return;
  for (int pass = 0; pass < 2; pass++) /* a formula says more than a description */
    for (size_t i = 1; i < head_count && i < count; i++)
      if (cells[i].len && holds_word(heads[i], pass ? meanings : formulas)) {
        define(finder, cells[0], cells[i], true);
        return;
      }
}

/* --- the whole --- */

static void enter(struct finder *finder, const struct block *block) {
  static const char *const words[] = {"glossary", "definition", "terms",        "terminology", "vocabulary",
                                      "metric",   "kpi",        "abbreviation", "acronym",     NULL};
  struct span heading = {finder->extract->text + block->from, block->to - block->from};
  finder->heading =
      arena_strndup(finder->arena, heading.text, heading.len > TERM_BYTES * 3 ? utf8_cut(heading.text, TERM_BYTES * 3) : heading.len);
  finder->in_glossary = holds_word(heading, words);
}

enum status definitions_of(const struct extract *extract, struct arena *arena, struct definition_list *ret_list, struct error *err) {
  struct finder finder = {.extract = extract, .arena = arena};
  finder.items = arena_calloc(arena, LIMIT_GLOSSARY_ENTRIES, sizeof *finder.items);
  if (!finder.items) return error_oom(err);
  for (size_t i = 0; i < extract->count && finder.count < LIMIT_GLOSSARY_ENTRIES; i++) {
    const struct block *block = &extract->blocks[i];
    if (block->kind == BLOCK_HEADING) enter(&finder, block);
    if (block->kind == BLOCK_ROW) read_row(&finder, block);
    if (block->kind == BLOCK_TEXT || block->kind == BLOCK_ITEM) read_block(&finder, block);
  }
  *ret_list = (struct definition_list){finder.items, finder.count};
  return OK;
}
