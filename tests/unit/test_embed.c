/* The providers of vectors against a scripted server: what is asked, how the answer is read, what is tried again and what is not; and the
 * built-in one, whose vectors depend on nothing but the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/json.h"
#include "tests/support/http_double.h"
#include "worker/embed/driver.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
  setenv("AWS_REGION", "eu-central-1", 1);
  arena = arena_new((size_t)256 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static struct config config_for(const char *provider, struct http_double *server, int dims) {
  return (struct config){.embed_provider = provider,
                         .embed_base_url = server ? http_double_url(server) : "",
                         .embed_model = "",
                         .embed_api_key = server ? "sk-secret" : "",
                         .embed_dims = dims};
}

#define TEXT(literal) \
  { literal, sizeof literal - 1 }

static const json_t *sent(struct http_double *server, size_t index) {
  return arena_json(arena, json_loads(http_double_seen(server, index)->body, 0, NULL));
}

/* Runs once with a fresh embedder; the status, and the vectors where it is OK. */
static enum status run(const struct config *cfg, const struct embed_text *texts, size_t count, int timeout_ms, const float **ret_vectors,
                       struct embed_usage *ret_usage, struct error *err) {
  struct embedder *embedder = NULL;
  enum status status = embedder_new(cfg, NULL, &embedder, err);
  if (!status) status = embedder_run(embedder, EMBED_PASSAGE, texts, count, timeout_ms, arena, ret_vectors, err);
  if (embedder && ret_usage) *ret_usage = embedder_usage(embedder);
  embedder_free(embedder);
  return status;
}

static float product(const float *a, const float *b, int dims) {
  float sum = 0;
  for (int i = 0; i < dims; i++) sum += a[i] * b[i];
  return sum;
}

/* --- the dialects --- */

#define OPENAI_TWO                                                                                                                      \
  "{\"object\":\"list\",\"data\":[{\"index\":1,\"embedding\":[0,4]},{\"index\":0,\"embedding\":[3,4]}],\"usage\":{\"prompt_tokens\":7," \
  "\"total_tokens\":7}}"

static void openai(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = OPENAI_TWO}};
  struct http_double *server = http_double_new(replies, 1);
  struct config cfg = config_for("openai", server, 2);
  const struct embed_text texts[] = {TEXT("one \"quoted\""), TEXT("two")};
  const float *vectors = NULL;
  struct embed_usage usage = {0};
  ERROR_AUTO err = {0};
  if (run(&cfg, texts, 2, 5000, &vectors, &usage, &err)) fail_msg("%s", err.message);
  assert_float_equal(vectors[0], 0.6, 0.001); /* by index, and of length 1 */
  assert_float_equal(vectors[1], 0.8, 0.001);
  assert_float_equal(vectors[3], 1.0, 0.001);
  assert_int_equal(usage.tokens, 7);
  assert_int_equal(usage.texts, 2);
  const struct http_seen *seen = http_double_seen(server, 0);
  char value[128];
  assert_memory_equal(seen->head, "POST /embeddings ", 17);
  assert_string_equal(http_double_header(seen, "Authorization", value, sizeof value), "Bearer sk-secret");
  assert_string_equal(http_double_header(seen, "Content-Type", value, sizeof value), "application/json");
  const json_t *body = sent(server, 0);
  assert_string_equal(json_str(body, "model", ""), "text-embedding-3-small");
  assert_string_equal(json_str(body, "encoding_format", ""), "float");
  assert_int_equal(json_int(body, "dimensions", 0), 2);
  assert_int_equal(json_array_size(json_object_get(body, "input")), 2);
  assert_string_equal(json_string_value(json_array_get(json_object_get(body, "input"), 0)), "one \"quoted\"");
  assert_int_equal(json_object_size(body), 4);
  http_double_free(server);
}

/* Dimensions that nobody named are measured first, and not asked for. */
static void openai_measures_dimensions(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "{\"data\":[{\"index\":0,\"embedding\":[1,0,0]}]}"}};
  struct http_double *server = http_double_new(replies, 1);
  struct config cfg = config_for("openai", server, 0);
  struct embedder *embedder = NULL;
  ERROR_AUTO err = {0};
  if (embedder_new(&cfg, NULL, &embedder, &err)) fail_msg("%s", err.message);
  assert_int_equal(embedder_model(embedder)->dims, 3);
  assert_string_equal(embedder_model(embedder)->label, "openai/text-embedding-3-small");
  assert_null(json_object_get(sent(server, 0), "dimensions"));
  embedder_free(embedder);
  http_double_free(server);
}

static void titan(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 200, .body = "{\"embedding\":[0.6,0.8],\"inputTextTokenCount\":3}", .stall_ms = 30}};
  struct http_double *server = http_double_new(replies, 1);
  struct config cfg = config_for("bedrock", server, 2);
  struct embed_text texts[20];
  const float *vectors = NULL;
  struct embed_usage usage = {0};
  ERROR_AUTO err = {0};
  for (size_t i = 0; i < 20; i++) texts[i] = (struct embed_text)TEXT("a text");
  if (run(&cfg, texts, 20, 20000, &vectors, &usage, &err)) fail_msg("%s", err.message);
  assert_int_equal(http_double_count(server), 20); /* one text a call … */
  assert_true(http_double_peak(server) > 1);       /* … several calls at once … */
  assert_true(http_double_peak(server) <= 8);      /* … and not too many */
  assert_int_equal(usage.tokens, 60);
  assert_float_equal(vectors[39], 0.8, 0.001);
  const struct http_seen *seen = http_double_seen(server, 0);
  char value[512];
  assert_memory_equal(seen->head, "POST /model/amazon.titan-embed-text-v2%3A0/invoke ", 50);
  http_double_header(seen, "Authorization", value, sizeof value);
  assert_non_null(strstr(value, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
  assert_non_null(strstr(value, "/eu-central-1/bedrock/aws4_request"));
  const json_t *body = sent(server, 0);
  assert_string_equal(json_str(body, "inputText", ""), "a text");
  assert_int_equal(json_int(body, "dimensions", 0), 2);
  assert_true(json_bool(body, "normalize", false));
  assert_int_equal(json_object_size(body), 3);
  http_double_free(server);
}

static void batches_are_bounded(void **state) {
  (void)state;
  BUF_AUTO body;
  buf_init(&body, 1 << 20);
  buf_puts(&body, "{\"data\":[");
  for (int i = 0; i < 128; i++) buf_printf(&body, "%s{\"index\":%d,\"embedding\":[1,0]}", i ? "," : "", i);
  buf_puts(&body, "]}");
  const struct http_reply replies[] = {{.status = 200, .body = buf_str(&body)}};
  struct http_double *server = http_double_new(replies, 1);
  struct config cfg = config_for("openai", server, 2);
  struct embed_text texts[256];
  const float *vectors = NULL;
  ERROR_AUTO err = {0};
  for (size_t i = 0; i < 256; i++) texts[i] = (struct embed_text)TEXT("x");
  texts[7] = (struct embed_text)TEXT("  \n");
  texts[8] = (struct embed_text)TEXT("");
  enum status status = run(&cfg, texts, 256, 5000, &vectors, NULL, &err); /* 254 that are not blank: the second answer is two too long */
  assert_int_equal(status, ERR_UNAVAILABLE);
  for (size_t i = 0; i < http_double_count(server); i++) assert_true(json_array_size(json_object_get(sent(server, i), "input")) <= 128);
  http_double_free(server);
  server = http_double_new(replies, 1);
  cfg = config_for("openai", server, 2);
  texts[7] = texts[8] = (struct embed_text)TEXT("x");
  assert_int_equal(run(&cfg, texts, 256, 5000, &vectors, NULL, &err), OK);
  assert_int_equal(http_double_count(server), 2);
  http_double_free(server);
}

/* --- trouble --- */

static void tries_again(const struct http_reply *replies, size_t count, size_t calls) {
  struct http_double *server = http_double_new(replies, count);
  struct config cfg = config_for("openai", server, 2);
  const struct embed_text texts[] = {TEXT("one"), TEXT("two")};
  const float *vectors = NULL;
  ERROR_AUTO err = {0};
  if (run(&cfg, texts, 2, 20000, &vectors, NULL, &err)) fail_msg("%s", err.message);
  assert_float_equal(vectors[0], 0.6, 0.001);
  assert_int_equal(http_double_count(server), calls);
  http_double_free(server);
}

static void what_passes_is_tried_again(void **state) {
  (void)state;
  static const struct http_reply throttled[] = {{.status = 429, .headers = "Retry-After: 1\r\n", .body = "{}"},
                                                {.status = 200, .body = OPENAI_TWO}};
  static const struct http_reply broken[] = {
      {.status = 500, .body = "oops"}, {.status = 503}, {.hang_up = true}, {.status = 200, .body = OPENAI_TWO}};
  static const struct http_reply malformed[] = {
      {.status = 200, .body = "{\"data\":[{\"ind"}, {.status = 200, .body = "[]"}, {.status = 200, .body = OPENAI_TWO}};
  tries_again(throttled, 2, 2);
  tries_again(broken, 4, 4);
  tries_again(malformed, 3, 3);
}

static void gives_up(struct http_reply reply, int timeout_ms, enum status want, const char *code, size_t calls) {
  struct http_double *server = http_double_new(&reply, 1);
  struct config cfg = config_for("openai", server, 2);
  const struct embed_text texts[] = {TEXT("one"), TEXT("two")};
  const float *vectors = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(run(&cfg, texts, 2, timeout_ms, &vectors, NULL, &err), want);
  assert_string_equal(err.code, code);
  assert_null(strstr(err.message, "sk-secret"));
  if (calls) assert_int_equal(http_double_count(server), calls);
  http_double_free(server);
}

static void what_does_not_pass_is_said_once(void **state) {
  (void)state;
  gives_up((struct http_reply){.status = 401, .body = "{\"error\":{\"message\":\"no such key\"}}"}, 5000, ERR_VALIDATION,
           "PROVIDER_REFUSED", 1);
  gives_up((struct http_reply){.status = 404, .body = "{\"error\":\"no such model\"}"}, 5000, ERR_VALIDATION, "PROVIDER_REFUSED", 1);
  gives_up((struct http_reply){.status = 200, .body = "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":[1]}]}"}, 5000,
           ERR_VALIDATION, "PROVIDER_REFUSED", 1); /* another number of dimensions */
}

static void time_is_bounded(void **state) {
  (void)state;
  gives_up((struct http_reply){.status = 200, .body = OPENAI_TWO, .stall_ms = 60000}, 700, ERR_UNAVAILABLE, "PROVIDER_UNAVAILABLE", 0);
  gives_up((struct http_reply){.status = 429, .headers = "Retry-After: 100\r\n", .body = "{}"}, 2000, ERR_UNAVAILABLE,
           "PROVIDER_UNAVAILABLE", 1);
}

static void wrong_shapes(void **state) {
  (void)state;
  static const char *const bodies[] = {"{\"data\":[{\"index\":0,\"embedding\":[1,0]},{\"index\":0,\"embedding\":[1,0]}]}", /* one twice */
                                       "{\"data\":[{\"index\":0,\"embedding\":[1,0]}]}",                                   /* one missing */
                                       "{\"data\":[{\"index\":0,\"embedding\":[1,\"x\"]},{\"index\":1,\"embedding\":[1,0]}]}",
                                       "{\"data\":[{\"index\":5,\"embedding\":[1,0]},{\"index\":1,\"embedding\":[1,0]}]}",
                                       "null",
                                       "7"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    struct embed_reply reply = {0};
    json_t *json = arena_json(arena, json_loads(bodies[i], JSON_DECODE_ANY, NULL));
    assert_false(embed_openai.read(json, 2, arena, &reply));
    assert_false(embed_bedrock.read(json, 1, arena, &reply));
  }
}

/* --- built in --- */

static void builtin_is_alike_for_alike_words(void **state) {
  (void)state;
  struct config cfg = config_for("builtin", NULL, 0);
  const struct embed_text texts[] = {TEXT("refunds of returned parcels"),
                                     TEXT("How is a parcel's refund booked?"),
                                     TEXT("valve pressure of the turbine"),
                                     TEXT("refunds of returned parcels"),
                                     TEXT(""),
                                     TEXT("custCountry"),
                                     TEXT("country of a customer")};
  const float *v = NULL;
  ERROR_AUTO err = {0};
  if (run(&cfg, texts, 7, 1000, &v, NULL, &err)) fail_msg("%s", err.message);
  int dims = 1024;
#define V(i) (v + (i)*dims)
  assert_float_equal(product(V(0), V(0), dims), 1, 0.01);
  assert_memory_equal(V(0), V(3), (size_t)dims * sizeof(float));
  assert_true(product(V(0), V(1), dims) > 0.3F);
  assert_true(product(V(0), V(2), dims) < 0.15F);
  assert_float_equal(product(V(4), V(4), dims), 0, 0);
  assert_true(product(V(5), V(6), dims) > 0.5F);
}

static double half_of(void *arg, uint32_t term) {
  (void)term;
  ++*(int *)arg;
  return 0.5;
}

static void only_questions_are_weighed(void **state) {
  (void)state;
  struct config cfg = config_for("builtin", NULL, 0);
  struct embed_text text = TEXT("orders of customers");
  struct embedder *embedder = NULL;
  const float *vectors;
  int asked = 0;
  ERROR_AUTO err = {0};
  assert_int_equal(embedder_new(&cfg, NULL, &embedder, &err), OK);
  embedder_weigh(embedder, half_of, &asked);
  assert_int_equal(embedder_run(embedder, EMBED_PASSAGE, &text, 1, 0, arena, &vectors, &err), OK);
  assert_int_equal(asked, 0);
  assert_int_equal(embedder_run(embedder, EMBED_QUESTION, &text, 1, 0, arena, &vectors, &err), OK);
  assert_int_equal(asked, 2);
  embedder_free(embedder);
  cfg.embed_dims = 256;
  assert_int_equal(embedder_new(&cfg, NULL, &embedder, &err), ERR_VALIDATION);
}

static void tokens_are_rather_too_many(void **state) {
  (void)state;
  assert_int_equal(embed_tokens("", 0), 0);
  assert_int_equal(embed_tokens("four", 4), 1);
  assert_true(embed_tokens("\xE6\xB3\xA8\xE6\x96\x87", 6) >= 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(openai),
      cmocka_unit_test(openai_measures_dimensions),
      cmocka_unit_test(titan),
      cmocka_unit_test(batches_are_bounded),
      cmocka_unit_test(what_passes_is_tried_again),
      cmocka_unit_test(what_does_not_pass_is_said_once),
      cmocka_unit_test(time_is_bounded),
      cmocka_unit_test(wrong_shapes),
      cmocka_unit_test(builtin_is_alike_for_alike_words),
      cmocka_unit_test(only_questions_are_weighed),
      cmocka_unit_test(tokens_are_rather_too_many),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
