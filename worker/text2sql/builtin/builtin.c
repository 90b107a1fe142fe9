/* builtin.c - the stages in their order, and what is said when one of them ends without an answer. */
#include <string.h>

#include "common/limits.h"
#include "worker/sql/text.h"
#include "worker/text2sql/builtin/known.h"
#include "worker/text2sql/builtin/study.h"

#define NOTES_MAX 8
#define DISTANCES 64

const struct snap_table *study_table(const struct study *study, size_t table) { return &study->snapshot->tables[table]; }

const char *study_words(struct study *study, size_t from, size_t to) {
  const struct token *first = &study->tokens.items[from], *last = &study->tokens.items[to - 1];
  return arena_strndup(study->arena, study->tokens.text + first->from, last->to - first->from);
}

const char *study_cat(struct study *study, const char *text, const char *joint, const char *more) {
  return arena_printf(study->arena, "%s%s%s", text, *text ? joint : "", more);
}

void study_doubt(struct study *study, const char *const *choices, const char *fmt, ...) {
  if (study->doubt) return;
  va_list args;
  va_start(args, fmt);
  study->doubt = arena_vprintf(study->arena, fmt, args);
  va_end(args);
  if (!study->doubt) study->doubt = "The question is too large.";
  size_t n = 0;
  while (choices && choices[n]) n++;
  const char **copy = n ? arena_calloc(study->arena, n + 1, sizeof *copy) : NULL;
  for (size_t i = 0; copy && i < n; i++) copy[i] = choices[i];
  study->choices = copy;
}

void study_note(struct study *study, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *note = arena_vprintf(study->arena, fmt, args);
  va_end(args);
  if (note && study->note_count < NOTES_MAX) study->notes[study->note_count++] = note;
}

bool study_belongs(struct study *study, size_t from, size_t to) {
  struct join_path path;
  return joins_path(&study->graph, from, to, NULL, study->arena, &path) && path_single(&path);
}

double study_distance(struct study *study, size_t from, size_t to) {
  struct join_path path;
  if (from == to || from == NO_TABLE) return 0;
  bool kept = from == study->reading.subject; /* asked for again and again */
  if (kept && study->distances[to] > 0) return study->distances[to];
  double distance = joins_path(&study->graph, from, to, NULL, study->arena, &path) ? path.cost : 99;
  if (kept) study->distances[to] = distance;
  return distance;
}

static const struct snap_column *named(struct study *study, size_t table, const char *const *words, size_t count) {
  const struct word *wanted[2] = {words_of(study->words, words[0]), count > 1 ? words_of(study->words, words[1]) : NULL};
  const struct snap_column *found = NULL;
  for (size_t i = 0; i < study->names.count && wanted[0]; i++) {
    const struct name *name = &study->names.items[i];
    if (name->table_at != table || !name->column || name->owned || name->count != count || !column_textual(name->column)) continue;
    if (name->words[0] == wanted[0] && (count == 1 || name->words[1] == wanted[1])) found = found ? found : name->column;
  }
  return found;
}

size_t study_display(struct study *study, size_t table, const struct snap_column *ret_columns[2]) {
  static const char *const first[] = {"first", "name"}, *const last[] = {"last", "name"}, *const given[] = {"given", "name"},
                           *const family[] = {"family", "name"};
  static const char *const single[] = {"name", "title", "label", "username", "subject", "company", "email", "code", "number"};
  enum { NAMED = 5 }; /* of them names; the others only where no column is a "…name" */
  const struct snap_column *a = named(study, table, first, 2), *b = named(study, table, last, 2);
  const struct snap_column *full = named(study, table, single, 1);
  if (!a) a = named(study, table, given, 2), b = b ? b : named(study, table, family, 2);
  if (a && b && !full) {
    ret_columns[0] = a;
    ret_columns[1] = b;
    return 2;
  }
  for (size_t i = 0; i < NAMED; i++) {
    const struct snap_column *column = named(study, table, &single[i], 1);
    if (!column) continue;
    ret_columns[0] = column;
    return 1;
  }
  for (size_t i = 0; i < study->names.count; i++) { /* "orchestra" of orchestra */
    const struct name *one = &study->names.items[i];
    if (one->table_at != table || !one->column || one->owned || !column_textual(one->column)) continue;
    if (!names_are_table(&study->names, one->words, one->count, table)) continue;
    ret_columns[0] = one->column;
    return 1;
  }
  const struct word *name = words_of(study->words, "name");
  for (size_t i = 0; i < study->names.count; i++) { /* "full_name", "sbCustName" */
    const struct name *one = &study->names.items[i];
    if (one->table_at != table || !one->column || one->owned || !column_textual(one->column) || one->words[one->count - 1] != name)
      continue;
    ret_columns[0] = one->column;
    return 1;
  }
  for (size_t i = 0; i < study->names.count; i++) { /* airlines.airline */
    const struct name *one = &study->names.items[i];
    size_t own = study->names.table_counts[table];
    bool same = one->table_at == table && one->column && !one->owned && one->count == own && own > 0 && column_textual(one->column);
    for (size_t w = 0; same && w < own; w++) same = one->words[w] == study->names.table_words[table][w];
    if (!same || column_key(study_table(study, table), one->column)) continue;
    ret_columns[0] = one->column;
    return 1;
  }
  for (size_t i = NAMED; i < sizeof single / sizeof *single; i++) {
    const struct snap_column *column = named(study, table, &single[i], 1);
    if (!column) continue;
    ret_columns[0] = column;
    return 1;
  }
  return 0;
}

/* --- the answer --- */

static void clarify(struct study *study, struct generator_answer *answer) {
  struct generator_clarification *back = ARENA_NEW(study->arena, struct generator_clarification);
  if (!back) return;
  back->question = study->doubt;
  back->choices = study->choices;
  while (back->choices && back->choices[back->choice_count]) back->choice_count++;
  answer->clarify = back;
}

/* Every table whose qualified name stands in the statement: we wrote it, so that is exact. */
static void list_tables(struct study *study, struct generator_answer *answer) {
  answer->tables = arena_calloc(study->arena, study->snapshot->table_count + 1, sizeof *answer->tables);
  for (size_t t = 0; answer->tables && t < study->snapshot->table_count; t++) {
    const struct snap_table *table = study_table(study, t);
    const char *name = sql_qualified(study->arena, table->schema, table->name), *at = answer->sql;
    size_t len = strlen(name);
    while ((at = strstr(at, name)) && at[len] != ' ' && at[len] != ')' && at[len] != '\n') at += len;
    if (at) answer->tables[answer->table_count++] = table->qualified;
  }
}

static bool read_tokens(struct study *study, const struct words *below) {
  study->words = words_new(below, study->arena);
  if (!study->words || !tokens_read(&study->tokens, study->request->question, study->arena, study->words)) return false;
  for (size_t i = 0; i < study->tokens.count; i++)
    if (study->tokens.items[i].kind == TOKEN_WORD && !study_glue(study->tokens.items[i].lower))
      words_expect(study->words, study->tokens.items[i].lower);
  return true;
}

/* What is kept of the schema serves unless the question has a word that one of its names may be made of ("orderdate"). */
static bool read_schema(struct study *study) {
  const struct known *kept = known_kept(study->snapshot);
  struct known own;
  if (!read_tokens(study, kept ? kept->words : NULL)) return false;
  if (kept && words_surprise(study->words)) {
    kept = NULL;
    if (!read_tokens(study, NULL)) return false;
  }
  if (!kept && !known_read(&own, study->snapshot, study->words, study->arena)) return false;
  study->names = kept ? kept->names : own.names;
  return known_graph(kept ? kept : &own, study->arena, &study->graph);
}

static bool prepare(struct study *study, const struct generator_request *request, struct arena *arena) {
  size_t tables = request->snapshot->table_count;
  *study = (struct study){.arena = arena, .request = request, .snapshot = request->snapshot};
  study->notes = arena_calloc(arena, NOTES_MAX, sizeof *study->notes);
  study->mentioned = arena_calloc(arena, tables + 1, sizeof *study->mentioned);
  study->drawn = arena_calloc(arena, tables + 1, sizeof *study->drawn);
  study->distances = arena_calloc(arena, tables + 1, sizeof *study->distances);
  return study->notes && study->mentioned && study->drawn && study->distances && read_schema(study);
}

static enum status understand(struct study *study, const struct generator_request *request, bool everywhere, struct arena *arena,
                              const char **ret_sql, struct error *err) {
  if (!prepare(study, request, arena) || !study_links(study, everywhere)) return error_oom(err);
  study_read(study);
  *ret_sql = study->doubt ? NULL : study_write(study);
  if (study->oom) return error_oom(err);
  if (study->doubt) *ret_sql = NULL;
  if (!*ret_sql && !study->doubt) study_doubt(study, NULL, "I can't turn this into one statement. Can you ask for less at once?");
  return OK;
}

/* Most questions are understood by what is near the tables they name: rows of all others are read only for those that aren't. */
static enum status generate(const struct generator_request *request, struct arena *arena, struct generator_answer *ret_answer,
                            struct error *err) {
  struct study *study = ARENA_NEW(arena, struct study);
  struct generator_answer answer = {0};
  if (!study) return error_oom(err);
  enum status status = understand(study, request, request->values == NULL, arena, &answer.sql, err);
  if (!status && study->doubt && study->near) status = understand(study, request, true, arena, &answer.sql, err);
  if (status) return status;
  answer.reasoning = answer.sql ? study_explain(study) : study->doubt;
  if (!answer.reasoning) return error_oom(err);
  if (answer.sql) {
    answer.confidence = study->certainty > 0.1 ? study->certainty : 0.1;
    list_tables(study, &answer);
  } else {
    clarify(study, &answer);
  }
  answer.warnings = study->notes;
  answer.warning_count = study->note_count;
  *ret_answer = answer;
  return OK;
}

const struct generator generator_builtin = {"builtin", generate};
