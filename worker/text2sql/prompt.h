/* prompt.h - a question with everything a language model may know of it, as text.
 *
 * What comes from the client's schema, documents and earlier answers is data: each part stands between tags that its own text cannot end.
 * Rows never go to a model; sample values only those given here. */
#ifndef AUTODB_TEXT2SQL_PROMPT_H
#define AUTODB_TEXT2SQL_PROMPT_H

#include "worker/text2sql/generator.h"

/* The rules, from prompts/generate.md; in the arena. */
const char *prompt_system(struct arena *arena);
/* At most LIMIT_PROMPT_BYTES: tables that do not fit any more are left out, those of the best score stay. samples: {"schema.table.column":
 * ["value", …]}, or NULL. NULL when out of memory. */
const char *prompt_question(const struct generator_request *request, const json_t *samples, struct arena *arena);
/* The shape of the answer, as JSON schema; in the arena. */
const json_t *prompt_answer_schema(struct arena *arena);

#endif
