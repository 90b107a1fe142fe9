/* openai.c - POST {base}/embeddings as OpenAI has it, and with it vLLM, llama.cpp, Ollama and others. Many texts a call. */
#include "common/json.h"
#include "worker/embed/driver.h"

static bool build(const struct embed_target *target, const struct embed_batch *batch, struct arena *arena, struct embed_call *ret_call) {
  json_t *body = json_pack("{s:s, s:[], s:s}", "model", target->model, "input", "encoding_format", "float");
  json_t *input = json_object_get(body, "input");
  for (size_t i = 0; i < batch->count; i++)
    if (json_array_append_new(input, json_stringn(batch->texts[i].text, batch->texts[i].len)) != 0) {
      json_decref(body);
      return false;
    }
  if (target->dims_asked) json_object_set_new(body, "dimensions", json_integer(target->dims));
  *ret_call = (struct embed_call){.url = arena_printf(arena, "%s/embeddings", target->base_url),
                                  .bearer = *target->api_key ? target->api_key : NULL,
                                  .body = arena_json(arena, body)};
  return ret_call->url && ret_call->body;
}

/* Each item says by its index which text it is of; they may come in any order, but each once. */
static bool place(const json_t *item, size_t count, int dims, bool *placed, float *vectors) {
  long long index = json_int(item, "index", -1);
  if (index < 0 || (size_t)index >= count || placed[index]) return false;
  placed[index] = true;
  return embed_floats(json_object_get(item, "embedding"), dims, vectors + (size_t)index * (size_t)dims);
}

static bool read_reply(const json_t *reply, size_t count, struct arena *arena, struct embed_reply *ret_reply) {
  const json_t *data = json_object_get(reply, "data"), *usage = json_object_get(reply, "usage");
  int dims = (int)json_array_size(json_object_get(json_array_get(data, 0), "embedding"));
  if (json_array_size(data) != count || dims == 0) return false;
  float *vectors = arena_calloc(arena, count * (size_t)dims, sizeof *vectors);
  bool *placed = arena_calloc(arena, count, sizeof *placed);
  if (!vectors || !placed) return false;
  for (size_t i = 0; i < count; i++)
    if (!place(json_array_get(data, i), count, dims, placed, vectors)) return false;
  *ret_reply = (struct embed_reply){vectors, dims, json_int(usage, "total_tokens", json_int(usage, "prompt_tokens", 0))};
  return true;
}

const struct embed_driver embed_openai = {.name = "openai",
                                          .base_url = "https://api.openai.com/v1",
                                          .model = "text-embedding-3-small",
                                          .max_texts = 128,     /* 2,048 are allowed; what comes back is held as text and as a tree */
                                          .max_tokens = 250000, /* 300,000, and our count is an estimate */
                                          .text_bytes = 24000,
                                          .concurrency = 4,
                                          .build = build,
                                          .read = read_reply};
