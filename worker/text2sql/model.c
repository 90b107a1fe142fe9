/* model.c - see model.h. What comes back is held against the shape asked for, member by member: models answer what they like. */
#include "worker/text2sql/model.h"

#include <ctype.h>
#include <math.h>

#include "common/json.h"
#include "common/limits.h"
#include "worker/llm/llm.h"
#include "worker/text2sql/prompt.h"

#define ANSWER_TOKENS 2000
#define ASK_MS 45000
#define STRINGS_MAX 20
#define TEXT_SHOWN 2000 /* bytes of reasoning kept */

/* The statement without blanks and semicolons around it. */
static const char *trimmed(const char *sql, struct arena *arena) {
  while (isspace((unsigned char)*sql)) sql++;
  size_t len = strlen(sql);
  while (len && (isspace((unsigned char)sql[len - 1]) || sql[len - 1] == ';')) len--;
  return len ? arena_strndup(arena, sql, len) : NULL;
}

static const char *short_text(const char *text, struct arena *arena) {
  size_t len = strlen(text);
  if (len > TEXT_SHOWN) len = TEXT_SHOWN;
  while (len && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
  return arena_strndup(arena, text, len);
}

static const char **strings(const json_t *array, struct arena *arena, size_t *ret_count) {
  const char **items = arena_calloc(arena, STRINGS_MAX, sizeof *items);
  size_t count = 0;
  for (size_t i = 0; items && i < json_array_size(array) && count < STRINGS_MAX; i++) {
    const char *text = json_string_value(json_array_get(array, i));
    if (text && *text) items[count++] = short_text(text, arena);
  }
  *ret_count = items ? count : 0;
  return items;
}

static const struct generator_clarification *clarification(const json_t *given, const char *reasoning, struct arena *arena) {
  struct generator_clarification *made = ARENA_NEW(arena, struct generator_clarification);
  if (!made) return NULL;
  const char *question = json_str(given, "question", NULL);
  *made = (struct generator_clarification){.question = question && *question ? short_text(question, arena) : reasoning};
  made->choices = strings(json_object_get(given, "choices"), arena, &made->choice_count);
  return made;
}

static double confidence(const json_t *object) {
  const json_t *given = json_object_get(object, "confidence");
  double value = json_is_number(given) ? json_number_value(given) : 0.5;
  return isfinite(value) ? fmin(1, fmax(0, value)) : 0.5;
}

/* False when there is neither a statement nor a question in it. */
static bool read_object(const json_t *object, struct arena *arena, struct generator_answer *answer) {
  const char *sql = json_str(object, "sql", NULL);
  const json_t *asked = json_object_get(object, "clarification");
  answer->reasoning = short_text(json_str(object, "reasoning", ""), arena);
  answer->tables = strings(json_object_get(object, "tables"), arena, &answer->table_count);
  answer->warnings = strings(json_object_get(object, "warnings"), arena, &answer->warning_count);
  answer->sql = sql && strlen(sql) <= LIMIT_GUARD_SQL_BYTES ? trimmed(sql, arena) : NULL;
  if (!answer->reasoning) return false;
  if (answer->sql) {
    answer->confidence = confidence(object);
    return true;
  }
  if (sql && *sql) return false; /* too long, or nothing but blanks */
  if (!json_str(asked, "question", NULL) && !*answer->reasoning) return false;
  answer->clarify = clarification(asked, answer->reasoning, arena);
  return answer->clarify != NULL;
}

enum status model_generate(const struct generator_request *request, const json_t *samples, struct arena *arena,
                           struct generator_answer *ret_answer, struct error *err) {
  struct llm_request ask = {.system = prompt_system(arena),
                            .user = prompt_question(request, samples, arena),
                            .max_tokens = ANSWER_TOKENS,
                            .timeout_ms = ASK_MS,
                            .schema_name = "answer",
                            .schema_purpose = "The SELECT statement that answers the question, or the question back.",
                            .schema = prompt_answer_schema(arena)};
  struct llm_answer said = {0};
  struct generator_answer answer = {.reasoning = ""};
  struct generator_usage *usage = ARENA_NEW(arena, struct generator_usage);
  if (!ask.system || !ask.user || !ask.schema || !usage) return error_oom(err);
  enum status status = llm_ask(request->cfg, &ask, arena, &said, err);
  *usage = (struct generator_usage){said.input_tokens, said.output_tokens, said.model};
  answer.usage = usage;
  if (!status && !read_object(said.object, arena, &answer))
    status = error_set_code(err, ERR_VALIDATION, "SQL_GENERATION_FAILED",
                            "the language model answered neither a statement nor a question%s", said.cut ? ": its answer was cut off" : "");
  else if (status == ERR_VALIDATION)
    snprintf(err->code, sizeof err->code, "SQL_GENERATION_FAILED");
  if (!status || status == ERR_VALIDATION) *ret_answer = answer;
  return status;
}
