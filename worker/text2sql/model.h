/* model.h - the generator that asks the configured language model (worker/llm). */
#ifndef AUTODB_TEXT2SQL_MODEL_H
#define AUTODB_TEXT2SQL_MODEL_H

#include "worker/text2sql/generator.h"

/* One question to the model, one statement or one question back. samples: as prompt_question takes them. Beyond what generators fail with:
 * ERR_VALIDATION, code SQL_GENERATION_FAILED, when the model answered, but nothing that could be a statement; ret_answer->usage is set
 * then, too. */
MUST_CHECK enum status model_generate(const struct generator_request *request, const json_t *samples, struct arena *arena,
                                      struct generator_answer *ret_answer, struct error *err);

#endif
