/* link_phrase.c - names of numbers as people say them in more words than the schema has: "snatch score", "number of people injured". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

#define PHRASE_SCORE 0.97 /* a column called just so is better */

static const char measures[] = "score|scores|point|points|value|values|amount|amounts|figure|figures|percentage|percentages";

static bool number_name(const struct name *name) {
  return name->column && !name->owned && name->worth >= 1 && column_numeric(name->column) && !column_key(name->table, name->column);
}

/* A column of that table is called by this one word. */
static bool called(const struct study *study, size_t table, const struct word *word) {
  for (size_t i = 0; i < study->names.count; i++) {
    const struct name *name = &study->names.items[i];
    if (name->table_at == table && name->column && name->count == 1 && name->words[0] == word) return true;
  }
  return false;
}

static bool name_at(const struct study *study, size_t at, const struct name *name) {
  for (size_t w = 0; w < name->count; w++) {
    const struct token *token = at + w < study->tokens.count ? &study->tokens.items[at + w] : NULL;
    if (!token || token->kind != TOKEN_WORD || token->word != name->words[w]) return false;
  }
  return name->count > 0;
}

/* "snatch score" of snatch, "total points" of total: the noun only says that it is a number. */
static void measure_noun(struct study *study, size_t at, const struct name *name, link_adder add) {
  size_t behind = at + name->count;
  if (!name_at(study, at, name) || !study_phrase(study, behind, measures)) return;
  if (called(study, name->table_at, study->tokens.items[behind].word)) return;
  add(study, at, behind + 1, (struct link){.kind = LINK_COLUMN, .score = PHRASE_SCORE, .table = name->table_at, .column = name->column});
}

/* "number of people injured", "how many people were rescued": what a column called by the participle counts, of rows of something else. */
static void counted_participle(struct study *study, size_t at, const struct name *name, link_adder add) {
  size_t n = study_phrase(study, at, "number of|how many|count of|numbers of"), noun = at + n;
  const struct token *said = n && noun < study->tokens.count ? &study->tokens.items[noun] : NULL;
  if (!said || said->kind != TOKEN_WORD || study_glue(said->lower) || name->count != 1) return;
  size_t done = noun + 1;
  if (study_phrase(study, done, "was|were|are|is|they|it|he|she|got|being")) done++;
  if (!name_at(study, done, name) || !participle_like(study->tokens.items[done].lower)) return;
  if (said->word == name->words[0] || names_are_table(&study->names, &said->word, 1, name->table_at)) return;
  add(study, at, done + 1, (struct link){.kind = LINK_COLUMN, .score = 1, .table = name->table_at, .column = name->column});
}

void study_phrases(struct study *study, link_adder add) {
  for (size_t i = 0; i < study->names.count; i++) {
    const struct name *name = &study->names.items[i];
    if (!number_name(name)) continue;
    for (size_t at = 0; at < study->tokens.count; at++) {
      measure_noun(study, at, name, add);
      counted_participle(study, at, name, add);
    }
  }
}
