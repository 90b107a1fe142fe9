/* driver.h - what a provider is made of: how a question is put and how its answer is read. Sending, signing, waiting and trying again are
 * llm.c's. */
#ifndef AUTODB_LLM_DRIVER_H
#define AUTODB_LLM_DRIVER_H

#include "common/webcall.h"
#include "worker/llm/llm.h"

#define LLM_HEADERS_MAX 4

struct llm_target {     /* settings with the driver's defaults filled in */
  const char *base_url; /* no slash at its end */
  const char *model;
  const char *api_key; /* "" when none */
};
struct llm_call {
  const char *url;
  struct webcall_header headers[LLM_HEADERS_MAX];
  size_t header_count;
  json_t *body;            /* in the arena */
  const char *aws_service; /* signed for it; NULL: not signed */
};

struct llm_driver {
  const char *name;
  const char *base_url; /* default; %s is replaced by the AWS region */
  const char *model;    /* default */
  bool (*build)(const struct llm_target *target, const struct llm_request *request, struct arena *arena, struct llm_call *ret_call);
  /* false: the reply is not of the shape expected. A model that answered text where an object was wanted leaves object NULL. */
  bool (*read)(const json_t *reply, const struct llm_request *request, struct arena *arena, struct llm_answer *ret_answer);
};

extern const struct llm_driver llm_openai, llm_anthropic, llm_bedrock;

/* Whether a call of a tool, {"name": …}, is the one that hands over the object wanted. */
bool llm_is_wanted(const struct llm_request *request, const json_t *tool);
/* The object in a text that should be nothing else but often stands in a code fence; NULL when there is none. In the arena. */
const json_t *llm_object_of(const char *text, struct arena *arena);

#endif
