/* sayings.c - see sayings.h. The file is read when it is first asked for; its sayings stand sorted by their first word, so each word of a
 * text costs one look. */
#include "worker/retrieval/sayings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "worker/retrieval/wording.h"

#define SAID_MOST 6 /* words of a saying */
#define SAYINGS_MAX 6000
#define TOKENS_MAX 256 /* of a text; a longer one is no question */
#define APART 3        /* words that may stand between a verb and its particle */

extern const unsigned char sayings_txt[];
extern const size_t sayings_txt_len;

struct token {
  uint32_t term; /* as it stands there */
  uint32_t base; /* of the base form */
  bool particle;
  bool filler; /* says only whose or which: "gave us their notice" is to give notice */
};
struct saying {
  uint32_t words[SAID_MOST]; /* base forms */
  uint8_t count;
  bool apart; /* two words, the second a particle */
  const char *meant;
  uint16_t meant_len;
  uint16_t place; /* in the file */
};
static struct saying sayings[SAYINGS_MAX];
static size_t saying_count;

/* --- words --- */

/* Forms that no stemmer knows, each with its base; sorted. */
static const char *const irregular[] = {
    "ate eat",       "beaten beat",  "began begin",  "begun begin",   "bent bend",    "blew blow",   "blown blow",    "born bear",
    "bought buy",    "broke break",  "broken break", "brought bring", "built build",  "came come",   "caught catch",  "chose choose",
    "chosen choose", "dealt deal",   "drawn draw",   "drew draw",     "driven drive", "drove drive", "eaten eat",     "fallen fall",
    "fed feed",      "fell fall",    "felt feel",    "fled flee",     "flew fly",     "flown fly",   "forgot forget", "forgotten forget",
    "fought fight",  "found find",   "froze freeze", "frozen freeze", "gave give",    "given give",  "goes go",       "gone go",
    "got get",       "gotten get",   "grew grow",    "grown grow",    "held hold",    "hidden hide", "hung hang",     "kept keep",
    "knew know",     "known know",   "laid lay",     "led lead",      "left leave",   "lent lend",   "lost lose",     "made make",
    "meant mean",    "met meet",     "paid pay",     "ran run",       "rang ring",    "ridden ride", "risen rise",    "rode ride",
    "rose rise",     "rung ring",    "said say",     "sang sing",     "sat sit",      "saw see",     "seen see",      "sent send",
    "shaken shake",  "shot shoot",   "shown show",   "slept sleep",   "sold sell",    "sought seek", "spent spend",   "spoke speak",
    "spoken speak",  "stolen steal", "stood stand",  "stuck stick",   "swept sweep",  "sworn swear", "taken take",    "taught teach",
    "thought think", "threw throw",  "thrown throw", "told tell",     "took take",    "tore tear",   "torn tear",     "went go",
    "won win",       "wore wear",    "worn wear",    "written write", "wrote write"};

static int compare_irregular(const void *key, const void *entry) {
  const char *word = key, *of = *(const char *const *)entry;
  size_t len = strcspn(of, " ");
  int order = strncmp(word, of, len);
  return order ? order : word[len] != '\0';
}

static const char *base_of(const char *word) {
  const char *const *found = bsearch(word, irregular, sizeof irregular / sizeof *irregular, sizeof *irregular, compare_irregular);
  return found ? *found + strcspn(*found, " ") + 1 : word;
}

/* False: out of memory. */
static bool term_of(const char *word, uint32_t *ret_term) {
  struct lexicon_list list;
  if (!lexicon_read(lexicon_shared(), word, strlen(word), &list)) return false;
  *ret_term = list.count == 1 ? wording_term(list.words[0].lexeme) : lexicon_term(word);
  return true;
}

/* The next run of letters in lower case, apostrophes left out with the s behind them ("who's", "didn't"); NULL at the end. */
static const char *next_token(const char *at, const char *end, char word[WORDING_BYTES]) {
  size_t len = 0;
  while (at < end && !isalpha((unsigned char)*at)) at++;
  if (at == end) return NULL;
  for (; at < end && (isalpha((unsigned char)*at) || *at == '\''); at++) {
    if (*at == '\'' && end - at > 1 && at[1] == 's' && (end - at == 2 || !isalpha((unsigned char)at[2]))) return word[len] = '\0', at + 2;
    if (*at != '\'' && len + 1 < WORDING_BYTES) word[len++] = (char)tolower((unsigned char)*at);
  }
  word[len] = '\0';
  return at;
}

static bool is_one_of(const char *word, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(words[i], word) == 0) return true;
  return false;
}

static bool read_token(const char *word, struct token *ret_token) {
  static const char *const particles[] = {"along", "apart", "around", "aside", "away", "back", "behind",  "down",
                                          "for",   "in",    "off",    "on",    "out",  "over", "through", "up"};
  static const char *const fillers[] = {"a",     "an", "the", "this", "that", "my", "your", "his", "her", "its", "our",
                                        "their", "me", "you", "him",  "it",   "us", "them", "any", "all", "most"};
  ret_token->particle = is_one_of(word, particles, sizeof particles / sizeof *particles);
  ret_token->filler = is_one_of(word, fillers, sizeof fillers / sizeof *fillers);
  return term_of(word, &ret_token->term) && term_of(base_of(word), &ret_token->base);
}

/* --- the file --- */

static bool add_saying(const char *said, const char *end, const char *meant, size_t meant_len) {
  char word[WORDING_BYTES];
  struct saying *saying = &sayings[saying_count];
  if (saying_count == SAYINGS_MAX) return true;
  *saying = (struct saying){.meant = meant, .meant_len = (uint16_t)meant_len, .place = (uint16_t)saying_count};
  while (saying->count < SAID_MOST && (said = next_token(said, end, word))) {
    struct token token;
    if (!read_token(word, &token)) return false;
    saying->words[saying->count++] = token.base;
    saying->apart = saying->count == 2 && token.particle;
  }
  saying_count += saying->count > 0;
  return true;
}

/* By first word, the longest first, as in the file. */
static int compare_sayings(const void *a, const void *b) {
  const struct saying *left = a, *right = b;
  if (left->words[0] != right->words[0]) return left->words[0] < right->words[0] ? -1 : 1;
  if (left->count != right->count) return right->count - left->count;
  return left->place - right->place;
}

static bool read_line(const char *line, const char *end) {
  const char *colon = memchr(line, ':', (size_t)(end - line));
  if (*line == '#' || !colon) return true;
  for (const char *said = line; said < colon;) {
    const char *comma = memchr(said, ',', (size_t)(colon - said));
    if (!add_saying(said, comma ? comma : colon, colon + 1, (size_t)(end - colon - 1))) return false;
    said = comma ? comma + 1 : colon;
  }
  return true;
}

static bool read_file(void) {
  const char *at = (const char *)sayings_txt, *file_end = at + sayings_txt_len;
  if (saying_count) return true;
  for (const char *end; (end = memchr(at, '\n', (size_t)(file_end - at))); at = end + 1)
    if (!read_line(at, end)) return saying_count = 0, false;
  qsort(sayings, saying_count, sizeof *sayings, compare_sayings);
  return true;
}

/* --- in a text --- */

struct text {
  struct token tokens[TOKENS_MAX];
  bool taken[TOKENS_MAX];
  size_t count;
};

static bool read_text(const char *at, size_t len, struct text *text) {
  const char *end = at + len;
  char word[WORDING_BYTES];
  text->count = 0;
  while (text->count < TOKENS_MAX && (at = next_token(at, end, word)))
    if (!read_token(word, &text->tokens[text->count++])) return false;
  memset(text->taken, 0, sizeof text->taken);
  return true;
}

/* Where a word is, from `at` on, at most so many behind it, fillers not counted, and before any particle; the text's end: nowhere. */
static size_t find_word(const struct text *text, size_t at, size_t most, uint32_t word) {
  for (size_t between = 0; at < text->count && text->tokens[at].base != word; at++)
    if (text->tokens[at].particle || (!text->tokens[at].filler && ++between > most)) return text->count;
  return at;
}

/* Where its words are from `at` on; false: they are not there, or of something else. */
static bool stands_at(const struct text *text, size_t at, const struct saying *saying, size_t ret_places[SAID_MOST]) {
  for (size_t w = 0; w < saying->count; w++, at++) {
    if (w) at = find_word(text, at, saying->apart ? APART : 0, saying->words[w]);
    if (at >= text->count || (saying->count > 1 && text->taken[at])) return false;
    ret_places[w] = at;
  }
  return true;
}

static bool take(struct text *text, const struct saying *saying, const size_t *places, bool (*visit)(void *arg, const struct said *said),
                 void *arg) {
  uint32_t terms[SAID_MOST];
  for (size_t w = 0; w < saying->count; w++) {
    terms[w] = text->tokens[places[w]].term;
    text->taken[places[w]] |= saying->count > 1;
  }
  return visit(arg, &(struct said){terms, saying->count, saying->meant, saying->meant_len});
}

static size_t first_of(uint32_t word) {
  size_t low = 0, high = saying_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (sayings[middle].words[0] < word)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool sayings_in(const char *at, size_t len, bool (*visit)(void *arg, const struct said *said), void *arg) {
  struct text text;
  size_t places[SAID_MOST];
  if (!read_file() || !read_text(at, len, &text)) return false;
  for (size_t count = SAID_MOST; count; count--)
    for (size_t t = 0; t < text.count; t++)
      for (size_t i = first_of(text.tokens[t].base); i < saying_count && sayings[i].words[0] == text.tokens[t].base; i++)
        if (sayings[i].count == count && stands_at(&text, t, &sayings[i], places) && !take(&text, &sayings[i], places, visit, arg))
          return false;
  return true;
}
