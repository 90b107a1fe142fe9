/* lexicon.c - see lexicon.h.
 *
 * A word, folded, is looked up in an open-addressing table; a new one is stemmed and taken to pieces once. When the table has taken
 * WORDS_MAX words it is emptied, before the next text is read: a hostile text fills it, but can't grow it. */
#include "worker/embed/lexicon.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/utf8.h"

#define WORD_BYTES 64 /* longer runs are keys, hashes, encoded data: left out */
#define WORDS_MAX (1 << 16)
#define TABLE_SIZE (WORDS_MAX * 4) /* a text may add as many words again before the table is emptied */
#define LEXICON_BYTES ((size_t)256 << 20)
#define STEM_MARK '=' /* in front of a stem in the table: no word has it */
#define PIECE_MIN 3
#define PIECE_MAX 5

struct entry {
  struct lexeme lexeme;
  uint32_t epoch; /* of the text it was last seen in, and … */
  int index;      /* … its place in that text's list */
  uint8_t len;
  char word[];
};

struct lexicon {
  struct arena *arena;
  struct sb_stemmer *stemmer;
  struct place { /* hashes stand in the table, so that another word costs no look at it */
    struct entry *entry;
    uint32_t hash;
  } * table;
  size_t used;
  uint32_t epoch;
  struct lexicon_word *words;
  size_t count, cap, total;
  bool failed;
};

/* --- words that only hold a sentence together, sorted --- */

static const char *const stop_words[] = {
    "a",     "about",  "above",  "after",  "again",  "against", "all",    "also",  "am",    "an",    "and",     "any",   "are",
    "as",    "at",     "be",     "been",   "before", "being",   "below",  "but",   "by",    "can",   "could",   "did",   "do",
    "does",  "doing",  "down",   "during", "each",   "either",  "else",   "ever",  "for",   "from",  "further", "had",   "has",
    "have",  "having", "he",     "her",    "here",   "hers",    "him",    "his",   "how",   "i",     "if",      "in",    "into",
    "is",    "it",     "its",    "just",   "may",    "me",      "might",  "more",  "most",  "must",  "my",      "no",    "nor",
    "not",   "of",     "off",    "on",     "once",   "only",    "or",     "other", "our",   "ours",  "out",     "over",  "own",
    "per",   "please", "s",      "same",   "shall",  "she",     "should", "so",    "some",  "such",  "t",       "than",  "that",
    "the",   "their",  "theirs", "them",   "then",   "there",   "these",  "they",  "this",  "those", "through", "to",    "too",
    "under", "until",  "up",     "upon",   "us",     "very",    "was",    "we",    "were",  "what",  "when",    "where", "whether",
    "which", "while",  "who",    "whom",   "whose",  "why",     "will",   "with",  "would", "you",   "your",    "yours"};

static int compare_words(const void *a, const void *b) { return strcmp(a, *(const char *const *)b); }

static bool is_stop(const char *word) {
  return bsearch(word, stop_words, sizeof stop_words / sizeof *stop_words, sizeof *stop_words, compare_words) != NULL;
}

/* --- hashing --- */

/* FNV-1a, finished with murmur3's mix so that every bit of the result is usable. */
static uint32_t hash_bytes(const char *bytes, size_t len, uint32_t seed) {
  uint32_t hash = 2166136261U ^ seed;
  for (size_t i = 0; i < len; i++) hash = (hash ^ (uint8_t)bytes[i]) * 16777619U;
  hash ^= hash >> 16;
  hash *= 0x85EBCA6BU;
  hash ^= hash >> 13;
  hash *= 0xC2B2AE35U;
  return hash ^ hash >> 16;
}

uint32_t lexicon_term(const char *stem) { return hash_bytes(stem, strlen(stem), 0); }

/* --- entries --- */

static bool take_apart(struct lexicon *lexicon, struct lexeme *lexeme, size_t len) {
  char marked[WORD_BYTES + 3];
  size_t marked_len = len + 2;
  snprintf(marked, sizeof marked, "<%s>", lexeme->stem);
  uint32_t *pieces = arena_calloc(lexicon->arena, marked_len * (PIECE_MAX - PIECE_MIN + 1), sizeof *pieces);
  if (!pieces) return false;
  size_t count = 0;
  for (size_t size = PIECE_MIN; size <= PIECE_MAX; size++)
    for (size_t at = 0; at + size <= marked_len; at++) pieces[count++] = hash_bytes(marked + at, size, (uint32_t)size);
  lexeme->pieces = pieces;
  lexeme->piece_count = (uint16_t)count;
  return true;
}

static bool all_letters(const char *word, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (word[i] < 'a' || word[i] > 'z') return false;
  return true;
}

static struct entry *entry_new(struct lexicon *lexicon, const char *word, size_t len) {
  struct entry *entry = arena_alloc(lexicon->arena, sizeof *entry + len + 1);
  if (!entry) return NULL;
  memcpy(entry->word, word, len);
  entry->len = (uint8_t)len;
  bool is_stem = *word == STEM_MARK;
  entry->lexeme.word = entry->lexeme.stem = entry->word + is_stem;
  entry->lexeme.stop = !is_stem && is_stop(entry->word);
  size_t stem_len = len - is_stem;
  if (len > 2 && all_letters(word, len)) {
    const sb_symbol *stem = sb_stemmer_stem(lexicon->stemmer, (const sb_symbol *)entry->word, (int)len);
    if (!stem) return NULL;
    stem_len = (size_t)sb_stemmer_length(lexicon->stemmer);
    if (stem_len > WORD_BYTES) stem_len = WORD_BYTES;
    entry->lexeme.stem = arena_strndup(lexicon->arena, (const char *)stem, stem_len);
    if (!entry->lexeme.stem) return NULL;
  }
  entry->lexeme.term = hash_bytes(entry->lexeme.stem, stem_len, 0);
  return take_apart(lexicon, &entry->lexeme, stem_len) ? entry : NULL;
}

static struct entry *find_entry(struct lexicon *lexicon, const char *word, size_t len) {
  uint32_t hash = hash_bytes(word, len, 1);
  size_t at = hash & (TABLE_SIZE - 1);
  for (; lexicon->table[at].entry; at = (at + 1) & (TABLE_SIZE - 1)) {
    struct entry *entry = lexicon->table[at].entry;
    if (lexicon->table[at].hash == hash && entry->len == len && memcmp(entry->word, word, len) == 0) return entry;
  }
  if (lexicon->used >= TABLE_SIZE / 2) return NULL; /* one text of more than 100,000 different words: the rest of them is left out */
  struct entry *entry = entry_new(lexicon, word, len);
  if (entry) lexicon->table[at] = (struct place){entry, hash}, lexicon->used++;
  if (!entry) lexicon->failed = true;
  return entry;
}

const struct lexeme *lexicon_stemmed(struct lexicon *lexicon, const char *stem) {
  char marked[WORD_BYTES + 2];
  int len = snprintf(marked, sizeof marked, "%c%s", STEM_MARK, stem);
  struct entry *entry = len > 1 && len < (int)sizeof marked ? find_entry(lexicon, marked, (size_t)len) : NULL;
  return entry ? &entry->lexeme : NULL;
}

static void add_word(struct lexicon *lexicon, const char *word, size_t len) {
  struct entry *entry = find_entry(lexicon, word, len);
  if (!entry || entry->lexeme.stop) return;
  lexicon->total++;
  if (entry->epoch == lexicon->epoch) {
    lexicon->words[entry->index].count++;
    return;
  }
  if (lexicon->count == lexicon->cap) {
    size_t cap = lexicon->cap ? lexicon->cap * 2 : 1024;
    struct lexicon_word *words = realloc(lexicon->words, cap * sizeof *words);
    if (!words) {
      lexicon->failed = true;
      return;
    }
    lexicon->words = words;
    lexicon->cap = cap;
  }
  entry->epoch = lexicon->epoch;
  entry->index = (int)lexicon->count;
  lexicon->words[lexicon->count++] = (struct lexicon_word){&entry->lexeme, 1};
}

/* --- reading --- */

enum kind { OTHER, LOWER, UPPER, DIGIT, LETTER /* of no case */, PAIR /* of a script without spaces */, MARK /* an accent by itself */ };

/* U+00C0 to U+017F without accents. */
static const char folded[] = "aaaaaaaceeeeiiiidnooooo.ouuuuytsaaaaaaaceeeeiiiidnooooo.ouuuuyty"
                             "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
                             "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

static bool is_between(uint32_t c, uint32_t low, uint32_t high) { return c >= low && c <= high; }

static uint32_t decode(const char *text, size_t len) {
  const uint8_t *p = (const uint8_t *)text;
  if (len == 2) return (p[0] & 0x1FU) << 6 | (p[1] & 0x3FU);
  if (len == 3) return (p[0] & 0xFU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
  return (p[0] & 7U) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);
}

static size_t encode(uint32_t c, char *out) {
  if (c < 0x80) return out[0] = (char)c, (size_t)1;
  if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3F)), (size_t)2;
  if (c < 0x10000)
    return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3F)), out[2] = (char)(0x80 | (c & 0x3F)), (size_t)3;
  out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3F)), out[2] = (char)(0x80 | (c >> 6 & 0x3F));
  return out[3] = (char)(0x80 | (c & 0x3F)), (size_t)4;
}

/* U+00C0 to U+017F, folded to the letter without its accent. */
static enum kind kind_of_latin(uint32_t *c) {
  if (*c == 0xD7 || *c == 0xF7) return OTHER;
  bool odd_first = is_between(*c, 0x139, 0x148) || is_between(*c, 0x179, 0x17E); /* of a pair of cases */
  bool upper = *c < 0xDF || (*c >= 0x100 && *c != 0x138 && (*c & 1) == odd_first);
  *c = (uint8_t)folded[*c - 0xC0];
  return upper ? UPPER : LOWER;
}

static bool is_sign(uint32_t c) {
  return c < 0xC0 || is_between(c, 0x2000, 0x2E7F) || is_between(c, 0x3000, 0x303F) || is_between(c, 0xE000, 0xF8FF) ||
         is_between(c, 0xFE00, 0xFE6F) || is_between(c, 0xFF00, 0xFF0F) || is_between(c, 0x1F000, 0x1FAFF);
}

static bool is_without_spaces(uint32_t c) {
  return is_between(c, 0x2E80, 0x9FFF) || is_between(c, 0xAC00, 0xD7AF) || is_between(c, 0x20000, 0x3FFFF) || is_between(c, 0xE00, 0xEFF);
}

/* Beyond ASCII: what kind of character, and *c folded. */
static enum kind kind_of_wide(uint32_t *c) {
  if (is_between(*c, 0xC0, 0x17F)) return kind_of_latin(c);
  if (is_between(*c, 0x300, 0x36F)) return MARK;
  if (is_between(*c, 0x391, 0x3A9) || is_between(*c, 0x410, 0x42F)) return *c += 0x20, UPPER;
  if (is_between(*c, 0x400, 0x40F)) return *c += 0x50, UPPER;
  if (is_between(*c, 0x3B1, 0x3CE) || is_between(*c, 0x430, 0x45F)) return LOWER;
  if (is_sign(*c)) return OTHER;
  return is_without_spaces(*c) ? PAIR : LETTER;
}

static enum kind kind_of(const char *text, size_t len, size_t *ret_used, uint32_t *ret_c) {
  uint8_t byte = (uint8_t)*text;
  *ret_used = 1;
  *ret_c = byte;
  if (byte >= 'a' && byte <= 'z') return LOWER;
  if (byte >= 'A' && byte <= 'Z') return *ret_c = byte | 0x20U, UPPER;
  if (byte >= '0' && byte <= '9') return DIGIT;
  if (byte < 0x80) return OTHER;
  size_t used = utf8_char(text, len);
  if (!used) return OTHER;
  *ret_used = used;
  *ret_c = decode(text, used);
  return kind_of_wide(ret_c);
}

struct run { /* the word being read */
  char text[WORD_BYTES + 8];
  size_t len;
  int letters, digits; /* characters */
  enum kind last;
  size_t last_at; /* where its last character begins */
  bool too_long;
};

static void flush(struct lexicon *lexicon, struct run *run) {
  if (run->len && !run->too_long) {
    run->text[run->len] = '\0';
    add_word(lexicon, run->text, run->len);
  }
  *run = (struct run){0};
}

/* Whether a new word begins with this character: at a change of case (orderItems), of the last capital of several (HTTPServer: the caller
 * looks back), between a word and a number (address2, 30days), but not within short mixes (q3, s3, 2fa). */
static bool begins_word(const struct run *run, enum kind kind, bool word_follows) {
  if (!run->len) return false;
  if (kind == UPPER && (run->last == LOWER || run->last == DIGIT)) return true;
  if (kind == DIGIT && run->last != DIGIT) return run->letters >= 3;
  return (kind == LOWER || kind == LETTER) && run->last == DIGIT && (run->letters == 0 ? word_follows : run->letters >= 3);
}

static bool three_letters(const char *text, size_t len) {
  for (size_t i = 0; i < 3; i++)
    if (i >= len || ((text[i] | 0x20) < 'a' && (uint8_t)text[i] < 0x80) || ((text[i] | 0x20) > 'z' && (uint8_t)text[i] < 0x80))
      return false;
  return true;
}

/* "HTTPS" so far and now "erver": the S was the first letter of what comes. */
static void give_back_capital(struct lexicon *lexicon, struct run *run) {
  char capital[8];
  size_t len = run->len - run->last_at;
  memcpy(capital, run->text + run->last_at, len);
  run->len = run->last_at;
  flush(lexicon, run);
  memcpy(run->text, capital, len);
  run->len = len;
  run->letters = 1;
  run->last = UPPER;
}

static void push(struct lexicon *lexicon, struct run *run, enum kind kind, uint32_t c) {
  if (kind == LOWER && run->last == UPPER && run->letters > 1 && run->last_at > 0) give_back_capital(lexicon, run);
  if (run->len + 4 > WORD_BYTES) {
    run->too_long = true;
    return;
  }
  run->last_at = run->len;
  run->len += encode(c, run->text + run->len);
  run->letters += kind != DIGIT;
  run->digits += kind == DIGIT;
  run->last = kind;
}

/* Characters of scripts without spaces: each with the one before it; one that stands alone by itself. */
static size_t read_pairs(struct lexicon *lexicon, const char *text, size_t len) {
  size_t at = 0, used, before = 0, before_len = 0;
  uint32_t c;
  int count = 0;
  while (at < len && kind_of(text + at, len - at, &used, &c) == PAIR) {
    if (before_len) add_word(lexicon, text + before, before_len + used);
    before = at;
    before_len = used;
    at += used;
    count++;
  }
  if (count == 1) add_word(lexicon, text, at);
  return at;
}

static void read_all(struct lexicon *lexicon, const char *text, size_t len) {
  struct run run = {0};
  for (size_t at = 0, used; at < len; at += used) {
    uint32_t c;
    enum kind kind = kind_of(text + at, len - at, &used, &c);
    if (kind == MARK) continue;
    if (kind == OTHER) {
      if (run.len || run.too_long) flush(lexicon, &run);
    } else if (kind == PAIR) {
      flush(lexicon, &run);
      used = read_pairs(lexicon, text + at, len - at);
    } else {
      if (begins_word(&run, kind, three_letters(text + at, len - at))) flush(lexicon, &run);
      push(lexicon, &run, kind, c);
    }
  }
  flush(lexicon, &run);
}

/* --- life --- */

static bool empty_table(struct lexicon *lexicon) {
  arena_reset(lexicon->arena);
  memset(lexicon->table, 0, TABLE_SIZE * sizeof(struct place));
  lexicon->used = 0;
  lexicon->epoch = 0;
  return true;
}

struct lexicon *lexicon_new(void) {
  struct lexicon *lexicon = calloc(1, sizeof *lexicon);
  if (!lexicon) return NULL;
  lexicon->arena = arena_new(LEXICON_BYTES);
  lexicon->stemmer = sb_stemmer_new("english", NULL);
  lexicon->table = calloc(TABLE_SIZE, sizeof(struct place));
  if (!lexicon->arena || !lexicon->stemmer || !lexicon->table) {
    lexicon_free(lexicon);
    return NULL;
  }
  return lexicon;
}

void lexicon_free(struct lexicon *lexicon) {
  if (!lexicon) return;
  arena_free(lexicon->arena);
  sb_stemmer_delete(lexicon->stemmer);
  free(lexicon->table);
  free(lexicon->words);
  free(lexicon);
}

struct lexicon *lexicon_shared(void) {
  static struct lexicon *shared;
  if (!shared) shared = lexicon_new();
  return shared;
}

bool lexicon_read(struct lexicon *lexicon, const char *text, size_t len, struct lexicon_list *ret_list) {
  if (lexicon->used > WORDS_MAX) empty_table(lexicon);
  lexicon->epoch++;
  lexicon->count = lexicon->total = 0;
  lexicon->failed = false;
  read_all(lexicon, text, len);
  if (lexicon->failed) return false;
  *ret_list = (struct lexicon_list){lexicon->words, lexicon->count, lexicon->total};
  return true;
}
