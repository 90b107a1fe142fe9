/* values.c - words of the question that are data: labels of enums, CHECK lists, and what the value source finds in rows. */
#include <ctype.h>
#include <string.h>

#include "worker/text2sql/builtin/study.h"

#define PHRASES_MAX 256
#define COLUMNS_MAX 600
#define LABELS_MAX 64
#define PHRASE_WORDS 5
#define SURELY 1.05      /* more than the name of the column itself */
#define MEANING_BYTES 40 /* of what a code stands for */

struct phrase {
  size_t from, to;
  double worth;
};
struct probe {
  struct study *study;
  link_adder add;
  const char *texts[PHRASES_MAX];
  struct phrase phrases[PHRASES_MAX];
  size_t count;
};

/* What people of a country are called; sexes; what is written short. */
static const char *const equivalents[][2] = {{"american", "usa"},
                                             {"american", "united states"},
                                             {"american", "us"},
                                             {"usa", "united states"},
                                             {"us", "usa"},
                                             {"us", "united states"},
                                             {"united states", "usa"},
                                             {"united states", "us"},
                                             {"america", "usa"},
                                             {"america", "united states"},
                                             {"uk", "united kingdom"},
                                             {"united kingdom", "uk"},
                                             {"british", "uk"},
                                             {"british", "united kingdom"},
                                             {"german", "germany"},
                                             {"french", "france"},
                                             {"spanish", "spain"},
                                             {"italian", "italy"},
                                             {"canadian", "canada"},
                                             {"mexican", "mexico"},
                                             {"brazilian", "brazil"},
                                             {"chinese", "china"},
                                             {"japanese", "japan"},
                                             {"indian", "india"},
                                             {"australian", "australia"},
                                             {"dutch", "netherlands"},
                                             {"swiss", "switzerland"},
                                             {"swedish", "sweden"},
                                             {"norwegian", "norway"},
                                             {"danish", "denmark"},
                                             {"polish", "poland"},
                                             {"russian", "russia"},
                                             {"irish", "ireland"},
                                             {"austrian", "austria"},
                                             {"belgian", "belgium"},
                                             {"portuguese", "portugal"},
                                             {"greek", "greece"},
                                             {"turkish", "turkey"},
                                             {"korean", "south korea"},
                                             {"female", "f"},
                                             {"male", "m"},
                                             {"women", "female"},
                                             {"men", "male"},
                                             {"women", "f"},
                                             {"men", "m"},
                                             {"woman", "female"},
                                             {"man", "male"},
                                             {"females", "f"},
                                             {"males", "m"},
                                             {"california", "ca"},
                                             {"texas", "tx"},
                                             {"new york", "ny"},
                                             {"florida", "fl"},
                                             {"washington", "wa"},
                                             {"illinois", "il"},
                                             {"nyc", "new york"},
                                             {"la", "los angeles"},
                                             {"germans", "germany"},
                                             {"germany", "de"},
                                             {"france", "fr"},
                                             {"spain", "es"},
                                             {"italy", "it"},
                                             {"netherlands", "nl"},
                                             {"holland", "nl"},
                                             {"belgium", "be"},
                                             {"austria", "at"},
                                             {"switzerland", "ch"},
                                             {"poland", "pl"},
                                             {"sweden", "se"},
                                             {"norway", "no"},
                                             {"denmark", "dk"},
                                             {"finland", "fi"},
                                             {"portugal", "pt"},
                                             {"ireland", "ie"},
                                             {"greece", "gr"},
                                             {"china", "cn"},
                                             {"japan", "jp"},
                                             {"india", "in"},
                                             {"brazil", "br"},
                                             {"canada", "ca"},
                                             {"mexico", "mx"},
                                             {"australia", "au"},
                                             {"russia", "ru"},
                                             {"turkey", "tr"},
                                             {"united kingdom", "gb"},
                                             {"united kingdom", "uk"},
                                             {"uk", "gb"},
                                             {"england", "gb"},
                                             {"united states", "us"},
                                             {"united states", "usa"},
                                             {"usa", "us"},
                                             {"america", "us"},
                                             {"south korea", "kr"},
                                             {"korea", "kr"},
                                             {"ukraine", "ua"},
                                             {"czech republic", "cz"},
                                             {"hungary", "hu"},
                                             {"romania", "ro"},
                                             {"argentina", "ar"},
                                             {"chile", "cl"},
                                             {"south africa", "za"},
                                             {"egypt", "eg"},
                                             {"israel", "il"},
                                             {"singapore", "sg"},
                                             {"new zealand", "nz"},
                                             {"canceled", "cancelled"},
                                             {"cancelled", "canceled"},
                                             {"finished", "completed"},
                                             {"completed", "complete"},
                                             {"complete", "completed"},
                                             {"shipping", "shipped"},
                                             {"hr", "human resources"},
                                             {"it", "information technology"},
                                             {"unshipped", "not shipped"},
                                             {"outstanding", "unpaid"},
                                             {"single", "s"},
                                             {"married", "m"}};

static bool plain_word(const struct study *study, size_t at) {
  const struct token *token = &study->tokens.items[at];
  static const char *const openers[] = {"no", "not", "in", "on", "under"}; /* "no show", "in transit" */
  for (size_t i = 0; i < sizeof openers / sizeof *openers; i++)
    if (token->kind == TOKEN_WORD && strcmp(token->lower, openers[i]) == 0) return true;
  return token->kind == TOKEN_WORD && (!study_glue(token->lower) || token->capital);
}

static void add_phrase(struct probe *p, const char *text, size_t from, size_t to, double worth) {
  if (!text || !*text || p->count == PHRASES_MAX) return;
  p->texts[p->count] = text;
  p->phrases[p->count++] = (struct phrase){from, to, worth};
}

/* "laptops" for 'Laptop', "laptop" for 'Laptops'; "category" for 'Categories' is left to chance. */
static void add_variants(struct probe *p, const char *text, size_t from, size_t to) {
  struct arena *arena = p->study->arena;
  size_t len = strlen(text);
  add_phrase(p, text, from, to, 1);
  if (to == from + 2 && strchr(text, ' ')) { /* "on hold" of 'on_hold' */
    char *joined = arena_strdup(arena, text), *blank = joined ? strchr(joined, ' ') : NULL;
    if (blank) *blank = '_';
    add_phrase(p, joined, from, to, 0.98);
  }
  for (size_t i = 0; i < sizeof equivalents / sizeof *equivalents; i++)
    if (strcmp(equivalents[i][0], text) == 0) add_phrase(p, equivalents[i][1], from, to, 0.93);
  if (len < 4) return;
  if (text[len - 1] == 's' && text[len - 2] != 's') {
    add_phrase(p, arena_strndup(arena, text, len - 1), from, to, 0.95);
    if (strcmp(text + len - 3, "ies") == 0) add_phrase(p, arena_printf(arena, "%.*sy", (int)len - 3, text), from, to, 0.95);
  } else if (text[len - 1] != 's') {
    add_phrase(p, arena_printf(arena, "%ss", text), from, to, 0.93);
  }
  if (len > 6 && to == from + 1 && strcmp(text + len - 2, "ed") == 0) { /* "deposited" of 'deposit' */
    add_phrase(p, arena_strndup(arena, text, len - 2), from, to, 0.9);
    add_phrase(p, arena_strndup(arena, text, len - 1), from, to, 0.9);
  }
}

static void collect(struct probe *p) {
  const struct tokens *tokens = &p->study->tokens;
  for (size_t from = 0; from < tokens->count; from++) {
    const struct token *first = &tokens->items[from];
    if (first->kind == TOKEN_QUOTED) add_phrase(p, tokens_lower(p->study->arena, first->lower, strlen(first->lower)), from, from + 1, 1.3);
    bool no = first->kind == TOKEN_WORD && strcmp(first->lower, "no") == 0; /* "no show" */
    if (!plain_word(p->study, from) && !no && first->kind != TOKEN_NUMBER) continue;
    for (size_t to = from + 1; to <= tokens->count && to - from <= PHRASE_WORDS; to++) {
      const struct token *last = &tokens->items[to - 1];
      if (last->kind == TOKEN_QUOTED || last->kind == TOKEN_DATE || (last->kind == TOKEN_MARK && !strchr("-/&+", *last->lower))) break;
      bool joined = (no && to == from + 2) ||
                    (to > from + 1 && tokens->items[to - 2].kind == TOKEN_MARK && *tokens->items[to - 2].lower == '-'); /* "no-show" */
      if (last->kind == TOKEN_MARK || (last->kind == TOKEN_WORD && !plain_word(p->study, to - 1) && !joined)) continue;
      if (to == from + 1 && (first->kind == TOKEN_NUMBER || (study_glue(first->lower) && !first->capital))) continue;
      size_t end = last->to;
      const char *raw = tokens->text + first->from;
      size_t len = end - first->from;
      if (len > 3 && strncmp(raw + len - 2, "'s", 2) == 0) len -= 2;
      add_variants(p, tokens_lower(p->study->arena, raw, len), from, to);
    }
  }
}

/* --- the snapshot's own lists --- */

static char *fold(struct arena *arena, const char *text) { /* NULL in, NULL out */
  char *out = text ? arena_strdup(arena, tokens_lower(arena, text, strlen(text))) : NULL;
  for (char *c = out; c && *c; c++)
    if (*c == '_' || *c == '-') *c = ' ';
  return out;
}

/* "delivered" for 'delivered', "canceled" for 'cancel': a label of one word also by its stem. */
static double says_label(const struct probe *p, size_t i, const char *label, const struct word *stem) {
  char *text = fold(p->study->arena, p->texts[i]);
  if (!text) return 0;
  if (strcmp(text, label) == 0) return p->phrases[i].worth;
  const struct phrase *phrase = &p->phrases[i];
  const struct token *token = &p->study->tokens.items[phrase->from];
  return stem && phrase->to == phrase->from + 1 && token->kind == TOKEN_WORD && token->word == stem ? 0.9 : 0;
}

/* A value of the column, and what people call it: mostly the same. */
static void match_meaning(struct probe *p, size_t table, const struct snap_column *column, const char *value, const char *meaning) {
  const char *folded = fold(p->study->arena, meaning);
  if (!folded) return;
  const struct word *stem = strchr(folded, ' ') || strlen(folded) < 4 ? NULL : words_of(p->study->words, folded);
  for (size_t i = 0; i < p->count; i++) {
    double worth = says_label(p, i, folded, stem);
    if (worth > 0)
      p->add(p->study, p->phrases[i].from, p->phrases[i].to,
             (struct link){.kind = LINK_VALUE, .score = worth, .table = table, .column = column, .value = value});
  }
}

static void match_label(struct probe *p, size_t table, const struct snap_column *column, const char *label) {
  match_meaning(p, table, column, label, label);
}

/* "Status: O = open, C = closed": what the codes stand for, by the column's comment. */
static void match_codes(struct probe *p, size_t table, const struct snap_column *column) {
  struct arena *arena = p->study->arena;
  const char *at = column->comment;
  for (size_t i = 0; i < LABELS_MAX && at && (at = strchr(at, '=')); i++) {
    const char *code = at, *meaning = ++at;
    while (code > column->comment && (code[-1] == ' ' || code[-1] == '\'')) code--;
    size_t len = 0;
    while (code > column->comment && (isalnum((unsigned char)code[-1]) || code[-1] == '_')) code--, len++;
    meaning += strspn(meaning, " '");
    size_t words = strcspn(meaning, ",;.()'|/\n=");
    while (words && meaning[words - 1] == ' ') words--;
    if (len && words && words <= MEANING_BYTES)
      match_meaning(p, table, column, arena_strndup(arena, code, len), arena_strndup(arena, meaning, words));
  }
}

/* "Active: Y or N": the word is a value. */
static void match_yes(struct probe *p, size_t table, const struct snap_column *column) {
  struct study *study = p->study;
  const char *comment = column->comment;
  size_t len = comment ? strcspn(comment, ":,;(-") : 0;
  if (!len || !column_textual(column) || !(strstr(comment, "Y or N") || strstr(comment, "Y/N") || strstr(comment, "Y = "))) return;
  const struct word *words[NAME_WORDS];
  size_t count = names_split(arena_strndup(study->arena, comment, len), study->arena, study->words, words),
         own = study->names.table_counts[table];
  if (count == 2 && own && words[1] == study->names.table_words[table][own - 1]) count--; /* "Approved vendor" */
  if (count == 2 && strcmp(words[0]->text, "is") == 0) words[0] = words[--count];
  for (size_t i = 0; count == 1 && i < study->tokens.count; i++)
    if (study->tokens.items[i].kind == TOKEN_WORD && study->tokens.items[i].word == words[0])
      p->add(study, i, i + 1, (struct link){.kind = LINK_VALUE, .score = SURELY, .table = table, .column = column, .value = "Y"});
}

/* The quoted texts of CHECK (status = ANY (ARRAY['a'::text, …])). */
static void match_check(struct probe *p, size_t table, const struct snap_column *column, const char *definition) {
  if (!strstr(definition, "ANY") || strstr(definition, "<>") || strchr(definition, '~')) return;
  const char *at = definition;
  for (size_t i = 0; i < LABELS_MAX && (at = strchr(at, '\'')); i++) {
    const char *end = strchr(at + 1, '\'');
    if (!end) return;
    if (end > at + 1) match_label(p, table, column, arena_strndup(p->study->arena, at + 1, (size_t)(end - at - 1)));
    at = end + 1;
  }
}

static void match_type(struct probe *p, size_t table, const struct snap_column *column) {
  const struct snapshot *snapshot = p->study->snapshot;
  for (size_t i = 0; i < snapshot->enum_count; i++)
    if (snapshot_type_is(column->type, snapshot->enums[i].schema, snapshot->enums[i].name))
      for (size_t l = 0; l < snapshot->enums[i].label_count && l < LABELS_MAX; l++)
        match_label(p, table, column, snapshot->enums[i].labels[l]);
  for (size_t i = 0; i < snapshot->domain_count; i++)
    if (snapshot_type_is(column->type, snapshot->domains[i].schema, snapshot->domains[i].name))
      for (size_t c = 0; c < snapshot->domains[i].check_count; c++) match_check(p, table, column, snapshot->domains[i].checks[c]);
}

static void match_snapshot(struct probe *p) {
  for (size_t t = 0; t < p->study->snapshot->table_count; t++) {
    const struct snap_table *table = &p->study->snapshot->tables[t];
    if (!table_readable(table)) continue;
    for (size_t c = 0; c < table->column_count; c++) {
      if (!column_numeric(&table->columns[c]) && !column_temporal(&table->columns[c])) match_type(p, t, &table->columns[c]);
      if (!column_boolean(&table->columns[c]) && !column_temporal(&table->columns[c])) match_codes(p, t, &table->columns[c]);
      match_yes(p, t, &table->columns[c]);
    }
    for (size_t k = 0; k < table->constraint_count; k++) {
      const struct snap_constraint *check = &table->constraints[k];
      if (check->type != 'c' || check->column_count != 1 || !check->definition) continue;
      for (size_t c = 0; c < table->column_count; c++)
        if (strcmp(table->columns[c].name, check->columns[0]) == 0) match_check(p, t, &table->columns[c], check->definition);
    }
  }
}

/* --- rows --- */

static bool relevant(const struct study *study, const struct snap_table *table) {
  if (study->near && !study->near[table - study->snapshot->tables]) return false;
  if (!study->request->relevant) return true;
  for (size_t i = 0; i < study->request->relevant_count; i++)
    if (study->request->relevant[i] == table) return true;
  return false;
}

static void match_rows(struct probe *p) {
  const struct value_source *source = p->study->request->values;
  struct arena *arena = p->study->arena;
  struct value_column *columns = arena_calloc(arena, COLUMNS_MAX, sizeof *columns);
  if (!source || !columns || !p->count) return;
  size_t count = 0;
  for (size_t t = 0; t < p->study->snapshot->table_count; t++) {
    const struct snap_table *table = &p->study->snapshot->tables[t];
    for (size_t c = 0; table_readable(table) && relevant(p->study, table) && c < table->column_count; c++)
      if (count < COLUMNS_MAX && column_textual(&table->columns[c])) columns[count++] = (struct value_column){table, &table->columns[c]};
  }
  struct value_matches found = {0};
  ERROR_AUTO err = {0};
  if (!count || source->find(source->arg, arena, p->texts, p->count, columns, count, &found, &err) != OK) {
    p->study->values_partial = count != 0;
    return;
  }
  p->study->values_partial = found.partial;
  for (size_t i = 0; i < found.count; i++) {
    const struct value_match *match = &found.items[i];
    if (match->phrase >= p->count || match->column >= count) continue;
    const struct phrase *phrase = &p->phrases[match->phrase];
    struct link link = {.kind = LINK_VALUE,
                        .score = phrase->worth,
                        .table = (size_t)(columns[match->column].table - p->study->snapshot->tables),
                        .column = columns[match->column].column,
                        .value = match->value};
    p->add(p->study, phrase->from, phrase->to, link);
  }
}

void study_values(struct study *study, link_adder add) {
  struct probe *p = ARENA_NEW(study->arena, struct probe);
  if (!p) {
    study->oom = true;
    return;
  }
  *p = (struct probe){.study = study, .add = add};
  collect(p);
  match_snapshot(p);
  match_rows(p);
}
