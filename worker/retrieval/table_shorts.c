#include "worker/retrieval/table_shorts.h"

#include <string.h>

#include "worker/retrieval/synonyms.h"
#include "worker/retrieval/tables_impl.h"

#define SHORTEST 3
#define KNOWN 4         /* letters from which a word that has a vowel is no short one if English has it */
#define SHORTS_MAX 2000 /* of a schema; the first ones */
#define LEFT_OUT 2      /* letters, at least */
/* How well: */
#define BONES 0.9      /* its bones, or all but one */
#define SOME_BONES 0.7 /* the first of them, or some with the last letter */
#define THREE 0.8      /* its first three letters */

/* --- of the schema --- */

static bool is_short(const char *word, uint32_t *ret_term) {
  size_t len = strlen(word);
  struct lexicon_list list;
  struct meaning meaning;
  if (len < SHORTEST || len >= TABLE_SHORT_BYTES || synonyms_have(word)) return false;
  if (!lexicon_read(lexicon_shared(), word, len, &list) || list.count != 1) return false;
  *ret_term = wording_term(list.words[0].lexeme);
  return len < KNOWN || !strpbrk(word, "aeiou") || !meaning_of(*ret_term, &meaning);
}

static void add_words(struct table_shorts *shorts, const char *name) {
  char word[WORDING_BYTES];
  uint32_t term = 0;
  while ((name = wording_next(name, word))) {
    size_t at = 0;
    if (!is_short(word, &term)) continue;
    while (at < shorts->count && shorts->words[at].term != term) at++;
    if (at == SHORTS_MAX) return;
    if (at < shorts->count) continue;
    shorts->words[at].term = term;
    memcpy(shorts->words[at].word, word, strlen(word) + 1);
    shorts->count++;
  }
}

bool table_shorts_make(struct table_index *index, const struct snapshot *snapshot) {
  struct table_shorts *shorts = &index->shorts;
  shorts->words = arena_calloc(index->arena, SHORTS_MAX, sizeof *shorts->words);
  if (!shorts->words) return false;
  for (size_t t = 0; t < snapshot->table_count; t++) {
    add_words(shorts, snapshot->tables[t].schema);
    add_words(shorts, snapshot->tables[t].name);
    for (size_t c = 0; c < snapshot->tables[t].column_count; c++) add_words(shorts, snapshot->tables[t].columns[c].name);
  }
  return true;
}

/* --- of a question --- */

/* All its letters are there, in their order. */
static bool lies_in(const char *brief, const char *word) {
  for (; *word && *brief; word++) brief += *word == *brief;
  return !*brief;
}

double table_short_for(const char *brief, const char *word) {
  char bones[WORDING_BYTES];
  size_t len = strlen(brief), word_len = strlen(word);
  if (*brief != *word || word_len < len + LEFT_OUT) return 0;
  if (strncmp(brief, word, len) == 0) return len > SHORTEST ? 1 : THREE;
  size_t bones_len = wording_bones(word, bones);
  if (len > SHORTEST && brief[len - 1] == 'r' && strncmp(brief, word, len - 1) == 0) return SOME_BONES; /* stems have lost their "er" */
  if (!bones_len || !lies_in(brief, bones)) return 0;
  if (bones_len <= len + 1) return BONES;
  char last = brief[len - 1];
  return last == bones[bones_len - 1] || last == word[word_len - 1] || strncmp(brief, bones, len) == 0 ? SOME_BONES : 0;
}
