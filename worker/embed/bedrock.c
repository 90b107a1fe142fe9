/* bedrock.c - Titan Text Embeddings V2: POST /model/{id}/invoke, signed for the service "bedrock". One text a call, so several calls at
 * once. The model may be an ARN: its colons and slashes are escaped in the path. */
#include "common/aws.h"
#include "common/json.h"
#include "worker/embed/driver.h"

static bool build(const struct embed_target *target, const struct embed_batch *batch, struct arena *arena, struct embed_call *ret_call) {
  const char *model = aws_path_segment(target->model, arena);
  json_t *body =
      json_pack("{s:s%, s:i, s:b}", "inputText", batch->texts[0].text, batch->texts[0].len, "dimensions", target->dims, "normalize", 1);
  *ret_call = (struct embed_call){.url = model ? arena_printf(arena, "%s/model/%s/invoke", target->base_url, model) : NULL,
                                  .body = arena_json(arena, body),
                                  .aws_service = "bedrock"};
  return ret_call->url && ret_call->body;
}

static bool read_reply(const json_t *reply, size_t count, struct arena *arena, struct embed_reply *ret_reply) {
  const json_t *vector = json_object_get(reply, "embedding");
  int dims = (int)json_array_size(vector);
  float *vectors = count == 1 && dims > 0 ? arena_calloc(arena, (size_t)dims, sizeof *vectors) : NULL;
  if (!vectors || !embed_floats(vector, dims, vectors)) return false;
  *ret_reply = (struct embed_reply){vectors, dims, json_int(reply, "inputTextTokenCount", 0)};
  return true;
}

const struct embed_driver embed_bedrock = {.name = "bedrock",
                                           .base_url = "https://bedrock-runtime.%s.amazonaws.com",
                                           .model = "amazon.titan-embed-text-v2:0",
                                           .dims = 1024,
                                           .max_texts = 1,
                                           .max_tokens = SIZE_MAX,
                                           .text_bytes = 24000, /* 8,192 tokens, and 50,000 characters */
                                           .concurrency = 8,
                                           .build = build,
                                           .read = read_reply};
