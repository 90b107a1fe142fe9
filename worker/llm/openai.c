/* openai.c - chat completions, as OpenAI, vLLM, llama.cpp and Ollama speak them: POST {base}/chat/completions. Objects are asked for by
 * response_format; a server that doesn't know it answers text, out of which the object is taken. */
#include "common/json.h"
#include "worker/llm/driver.h"

static bool build(const struct llm_target *target, const struct llm_request *request, struct arena *arena, struct llm_call *ret_call) {
  json_t *body = json_pack("{s:s, s:i, s:[{s:s, s:s}, {s:s, s:s}]}", "model", target->model, "max_tokens", request->max_tokens, "messages",
                           "role", "system", "content", request->system, "role", "user", "content", request->user);
  if (body && request->schema)
    json_object_set_new(body, "response_format",
                        json_pack("{s:s, s:{s:s, s:s, s:O}}", "type", "json_schema", "json_schema", "name", request->schema_name,
                                  "description", request->schema_purpose, "schema", request->schema));
  *ret_call = (struct llm_call){.url = arena_printf(arena, "%s/chat/completions", target->base_url), .body = arena_json(arena, body)};
  if (*target->api_key)
    ret_call->headers[ret_call->header_count++] =
        (struct webcall_header){"Authorization", arena_printf(arena, "Bearer %s", target->api_key)};
  return ret_call->url && ret_call->body;
}

static bool read_reply(const json_t *reply, const struct llm_request *request, struct arena *arena, struct llm_answer *ret_answer) {
  const json_t *choice = json_array_get(json_object_get(reply, "choices"), 0);
  const json_t *message = json_object_get(choice, "message"), *usage = json_object_get(reply, "usage");
  const char *text = json_str(message, "content", json_str(message, "refusal", NULL));
  if (!text) return false;
  ret_answer->object = request->schema ? llm_object_of(text, arena) : NULL;
  ret_answer->text = request->schema ? "" : text;
  ret_answer->model = json_str(reply, "model", NULL);
  ret_answer->input_tokens = json_int(usage, "prompt_tokens", 0);
  ret_answer->output_tokens = json_int(usage, "completion_tokens", 0);
  ret_answer->cut = strcmp(json_str(choice, "finish_reason", ""), "length") == 0;
  return true;
}

const struct llm_driver llm_openai = {"openai", "https://api.openai.com/v1", "gpt-4.1-mini", build, read_reply};
