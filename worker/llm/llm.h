/* llm.h - one question to the configured language model, whoever serves it (AUTODB_LLM_PROVIDER). Blocking.
 *
 * What a model says is text, never a fact: callers check it. To add a provider: a file with a struct llm_driver, a row in llm.c, a choice
 * in config.c. */
#ifndef AUTODB_LLM_H
#define AUTODB_LLM_H

#include <stdint.h>

#include "common/arena.h"
#include "common/config.h"
#include "common/error.h"

struct llm_request {
  const char *system; /* who it is and what it must not do */
  const char *user;   /* the question with its material */
  int max_tokens;
  int timeout_ms; /* for all attempts together */
  /* An object of this JSON schema is wanted instead of text; name is [a-z_]+. NULL: text. */
  const char *schema_name, *schema_purpose;
  const json_t *schema;
};
struct llm_answer { /* everything in the arena */
  const char *text; /* "" when an object was wanted */
  const json_t *object;
  const char *model; /* as the server names it */
  int64_t input_tokens, output_tokens;
  bool cut; /* max_tokens ended it */
};

bool llm_configured(const struct config *cfg);
/* Overload and lost connections are tried again, a few times, honouring Retry-After. ERR_UNAVAILABLE with code "PROVIDER_UNAVAILABLE" for
 * everything that ended without an answer: a refusal, too (the server's own message is in ours, the key is not). ERR_VALIDATION, code
 * "NO_OBJECT", when there is an answer, but not the object wanted; ret_answer is set then, too, for what it cost. */
MUST_CHECK enum status llm_ask(const struct config *cfg, const struct llm_request *request, struct arena *arena,
                               struct llm_answer *ret_answer, struct error *err);

#endif
