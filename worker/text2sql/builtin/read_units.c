/* read_units.c - "minutes", "kg": units behind numbers, and those of columns. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

size_t skip_units(const struct reader *reader, size_t at, const struct snap_column *column) {
  const struct token *token = token_at(reader, at);
  const struct word *words[NAME_WORDS];
  size_t n = column ? names_split(column->name, reader->study->arena, reader->study->words, words) : 0;
  bool own = token->kind == TOKEN_WORD && n > 1 && words[n - 1] == token->word;
  return at + (own || token_is(reader, at,
                               "dollars|euros|usd|eur|percent|kg|km|cm|feet|minutes|minute|cents|pounds|points|stars|years|"
                               "units|grams|meters|metres|bucks|times|time"));
}

/* What a unit is worth in the smallest of its kind; 0: none. */
static double unit_of(const char *text, int *ret_kind) {
  static const struct {
    const char *stem;
    int kind;
    double worth;
  } units[] = {{"second", 1, 1},    {"sec", 1, 1},   {"minut", 1, 60}, {"min", 1, 60},    {"hour", 1, 3600}, {"day", 1, 86400},
               {"week", 1, 604800}, {"month", 2, 1}, {"year", 2, 12},  {"gram", 3, 1},    {"kg", 3, 1000},   {"kilogram", 3, 1000},
               {"kilo", 3, 1000},   {"cm", 4, 1},    {"metr", 4, 100}, {"meter", 4, 100}, {"km", 4, 100000}, {"kilometr", 4, 100000}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(units[i].stem, text) == 0) {
      *ret_kind = units[i].kind;
      return units[i].worth;
    }
  return 0;
}

/* "an hour" of a column in minutes: 60. */
const char *in_one_unit(struct reader *reader, size_t at, const struct snap_column *column) {
  struct study *study = reader->study;
  const struct word *words[NAME_WORDS];
  size_t n = names_split(column->name, study->arena, study->words, words);
  int said = 0, own = 0;
  double worth = token_at(reader, at)->kind == TOKEN_WORD ? unit_of(token_at(reader, at)->word->text, &said) : 0;
  for (size_t w = 0; worth > 0 && w < n; w++) {
    double column_worth = unit_of(words[w]->text, &own);
    if (column_worth > 0 && own == said) return arena_printf(study->arena, "%.15g", worth / column_worth);
  }
  return NULL;
}

/* "5 minutes" of a column in seconds: 300. The unit is taken, too. */
const char *in_columns_unit(struct reader *reader, size_t from, size_t *to, const struct snap_column *column, const char *number) {
  struct study *study = reader->study;
  const struct word *words[NAME_WORDS];
  size_t n = names_split(column->name, study->arena, study->words, words);
  for (size_t i = from; i < *to; i++) {
    if (token_at(reader, i)->lower != number || token_at(reader, i + 1)->kind != TOKEN_WORD) continue;
    int said = 0, own = 0;
    double worth = unit_of(token_at(reader, i + 1)->word->text, &said);
    for (size_t w = 0; worth > 0 && w < n; w++) {
      double column_worth = unit_of(words[w]->text, &own);
      if (column_worth <= 0 || own != said) continue;
      if (*to < i + 2) *to = i + 2;
      return column_worth == worth ? number : arena_printf(study->arena, "%.15g", token_at(reader, i)->number * worth / column_worth);
    }
  }
  return number;
}
