/* bedrock.c - AWS Bedrock's Converse API: POST /model/{id}/converse, signed for the service "bedrock". The model is an id, an inference
 * profile or an ARN; its colons and slashes are escaped in the path. */
#include "common/aws.h"
#include "common/json.h"
#include "worker/llm/driver.h"

static bool build(const struct llm_target *target, const struct llm_request *request, struct arena *arena, struct llm_call *ret_call) {
  json_t *body = json_pack("{s:[{s:s}], s:[{s:s, s:[{s:s}]}], s:{s:i}}", "system", "text", request->system, "messages", "role", "user",
                           "content", "text", request->user, "inferenceConfig", "maxTokens", request->max_tokens);
  if (body && request->schema)
    json_object_set_new(body, "toolConfig",
                        json_pack("{s:[{s:{s:s, s:s, s:{s:O}}}], s:{s:{s:s}}}", "tools", "toolSpec", "name", request->schema_name,
                                  "description", request->schema_purpose, "inputSchema", "json", request->schema, "toolChoice", "tool",
                                  "name", request->schema_name));
  const char *model = aws_path_segment(target->model, arena);
  *ret_call = (struct llm_call){.url = model ? arena_printf(arena, "%s/model/%s/converse", target->base_url, model) : NULL,
                                .body = arena_json(arena, body),
                                .aws_service = "bedrock"};
  return ret_call->url && ret_call->body;
}

static bool read_reply(const json_t *reply, const struct llm_request *request, struct arena *arena, struct llm_answer *ret_answer) {
  const json_t *message = json_object_get(json_object_get(reply, "output"), "message"), *usage = json_object_get(reply, "usage");
  const json_t *content = json_object_get(message, "content"), *part;
  size_t index;
  if (!json_is_array(content)) return false;
  ret_answer->text = "";
  json_array_foreach((json_t *)(uintptr_t)content, index, part) {
    const json_t *tool = json_object_get(part, "toolUse");
    if (tool && llm_is_wanted(request, tool)) ret_answer->object = json_object_get(tool, "input");
    ret_answer->text = arena_printf(arena, "%s%s", ret_answer->text ? ret_answer->text : "", json_str(part, "text", ""));
  }
  ret_answer->input_tokens = json_int(usage, "inputTokens", 0);
  ret_answer->output_tokens = json_int(usage, "outputTokens", 0);
  ret_answer->cut = strcmp(json_str(reply, "stopReason", ""), "max_tokens") == 0;
  return ret_answer->text != NULL;
}

const struct llm_driver llm_bedrock = {"bedrock", "https://bedrock-runtime.%s.amazonaws.com",
                                       "global.anthropic.claude-sonnet-4-5-20250929-v1:0", build, read_reply};
