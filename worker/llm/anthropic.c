/* anthropic.c - the Messages API: POST {base}/v1/messages. Objects are asked for as the input of a tool it must use. */
#include "common/json.h"
#include "worker/llm/driver.h"

static bool build(const struct llm_target *target, const struct llm_request *request, struct arena *arena, struct llm_call *ret_call) {
  json_t *body = json_pack("{s:s, s:i, s:s, s:[{s:s, s:s}]}", "model", target->model, "max_tokens", request->max_tokens, "system",
                           request->system, "messages", "role", "user", "content", request->user);
  if (body && request->schema) {
    json_object_set_new(body, "tools",
                        json_pack("[{s:s, s:s, s:O}]", "name", request->schema_name, "description", request->schema_purpose, "input_schema",
                                  request->schema));
    json_object_set_new(body, "tool_choice", json_pack("{s:s, s:s}", "type", "tool", "name", request->schema_name));
  }
  *ret_call = (struct llm_call){.url = arena_printf(arena, "%s/v1/messages", target->base_url),
                                .headers = {{"x-api-key", target->api_key}, {"anthropic-version", "2023-06-01"}},
                                .header_count = 2,
                                .body = arena_json(arena, body)};
  return ret_call->url && ret_call->body;
}

static bool read_reply(const json_t *reply, const struct llm_request *request, struct arena *arena, struct llm_answer *ret_answer) {
  const json_t *content = json_object_get(reply, "content"), *usage = json_object_get(reply, "usage"), *part;
  size_t index;
  if (!json_is_array(content)) return false;
  ret_answer->text = "";
  json_array_foreach((json_t *)(uintptr_t)content, index, part) {
    const char *type = json_str(part, "type", "");
    if (strcmp(type, "text") == 0) ret_answer->text = arena_printf(arena, "%s%s", ret_answer->text, json_str(part, "text", ""));
    if (strcmp(type, "tool_use") == 0 && llm_is_wanted(request, part)) ret_answer->object = json_object_get(part, "input");
  }
  ret_answer->model = json_str(reply, "model", NULL);
  ret_answer->input_tokens = json_int(usage, "input_tokens", 0);
  ret_answer->output_tokens = json_int(usage, "output_tokens", 0);
  ret_answer->cut = strcmp(json_str(reply, "stop_reason", ""), "max_tokens") == 0;
  return ret_answer->text != NULL;
}

const struct llm_driver llm_anthropic = {"anthropic", "https://api.anthropic.com", "claude-sonnet-4-5", build, read_reply};
