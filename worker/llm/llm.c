/* llm.c - sends what a driver built, and tries again where that can help: overload, a lost connection, a gateway's fault. */
#include "worker/llm/llm.h"

#include <time.h>

#include "common/aws.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/llm/driver.h"

#define ATTEMPTS 4
#define BACKOFF_MS 500
#define ANSWER_BYTES (4 * 1024 * 1024)
#define TOKENS_MAX 100000000 /* of one answer */
#define EXCERPT 300          /* bytes of a refusal shown */

static const struct llm_driver *const drivers[] = {&llm_bedrock, &llm_anthropic, &llm_openai};

static const struct llm_driver *driver_of(const struct config *cfg) {
  for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
    if (strcmp(drivers[i]->name, cfg->llm_provider) == 0) return drivers[i];
  return NULL;
}

bool llm_configured(const struct config *cfg) { return driver_of(cfg) != NULL; }

const json_t *llm_object_of(const char *text, struct arena *arena) {
  const char *from = strchr(text, '{'), *to = strrchr(text, '}');
  if (!from || !to || to < from) return NULL;
  json_t *object = arena_json(arena, json_loadb(from, (size_t)(to - from) + 1, 0, NULL));
  return json_is_object(object) ? object : NULL;
}

bool llm_is_wanted(const struct llm_request *request, const json_t *tool) {
  return request->schema && strcmp(json_str(tool, "name", ""), request->schema_name) == 0;
}

/* --- one question --- */

struct question {
  const struct llm_driver *driver;
  const struct llm_request *request;
  struct arena *arena;
  struct llm_target target;
  struct llm_call call;
  char *body;
  struct webcall_aws aws;
  int64_t deadline_ms;
};

static const char *region_of(void) {
  const char *region = aws_region();
  return region ? region : "us-east-1";
}

/* The driver's default may have a place for the region. */
static const char *default_url(const struct question *question) {
  const char *url = question->driver->base_url, *at = strstr(url, "%s");
  return at ? arena_printf(question->arena, "%.*s%s%s", (int)(at - url), url, region_of(), at + 2) : url;
}

static enum status prepare(struct question *question, const struct config *cfg, struct error *err) {
  const char *url = *cfg->llm_base_url ? cfg->llm_base_url : default_url(question);
  size_t len = url ? strlen(url) : 0;
  while (len && url[len - 1] == '/') len--;
  question->target = (struct llm_target){.base_url = arena_strndup(question->arena, url ? url : "", len),
                                         .model = *cfg->llm_model ? cfg->llm_model : question->driver->model,
                                         .api_key = cfg->llm_api_key};
  if (!question->target.base_url) return error_oom(err);
  if (!question->driver->build(&question->target, question->request, question->arena, &question->call)) return error_oom(err);
  question->body = json_dumps(question->call.body, JSON_COMPACT);
  if (!question->body || arena_defer(question->arena, free, question->body)) return error_oom(err);
  if (!question->call.aws_service) return OK;
  question->aws = (struct webcall_aws){.service = question->call.aws_service, .region = region_of()};
  return aws_credentials(question->arena, &question->aws, err);
}

static enum status send_once(const struct question *question, struct webcall *webcall, struct webcall_answer *ret_answer,
                             struct error *err) {
  const struct llm_call *call = &question->call;
  struct webcall_header headers[LLM_HEADERS_MAX + 1] = {{"Content-Type", "application/json"}};
  for (size_t i = 0; i < call->header_count; i++) headers[i + 1] = call->headers[i];
  int64_t left = question->deadline_ms - clock_mono_ms();
  struct webcall_request request = {.method = "POST",
                                    .url = call->url,
                                    .headers = headers,
                                    .header_count = call->header_count + 1,
                                    .body = question->body,
                                    .body_len = strlen(question->body),
                                    .timeout_ms = left > 1 ? (int)left : 1,
                                    .max_answer = ANSWER_BYTES,
                                    .aws = call->aws_service ? &question->aws : NULL};
  return webcall_send(webcall, &request, question->arena, ret_answer, err);
}

static bool worth_another(int status) { return status == 408 || status == 429 || status >= 500; }

/* Full jitter, at least what the server asked for. False when the deadline comes first. */
static bool wait_before(const struct question *question, int attempt, int retry_after_s) {
  uint32_t random;
  crypto_random(&random, sizeof random);
  int64_t ms = (int64_t)(random % (uint32_t)(BACKOFF_MS << attempt)) + (int64_t)retry_after_s * 1000;
  if (clock_mono_ms() + ms >= question->deadline_ms) return false;
  struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&pause, NULL);
  return true;
}

static enum status refused(const struct question *question, const struct webcall_answer *answer, struct error *err) {
  const json_t *reply = arena_json(question->arena, json_loadb(answer->body, answer->body_len, 0, NULL));
  const json_t *inner = json_object_get(reply, "error");
  const char *said = json_str(json_is_object(inner) ? inner : reply, "message", "");
  return error_set_code(err, ERR_UNAVAILABLE, "PROVIDER_UNAVAILABLE", "%s answered %d%s%.*s", question->driver->name, answer->status,
                        *said ? ": " : "", EXCERPT, said);
}

static enum status attempt_all(const struct question *question, struct webcall *webcall, struct webcall_answer *ret_answer,
                               struct error *err) {
  for (int attempt = 0;; attempt++) {
    struct webcall_answer answer = {0};
    error_clear(err);
    enum status status = send_once(question, webcall, &answer, err);
    if (!status && answer.status >= 200 && answer.status < 300) {
      *ret_answer = answer;
      return OK;
    }
    if (!status) refused(question, &answer, err);
    bool again = status == ERR_UNAVAILABLE || worth_another(answer.status);
    if (!again || attempt + 1 == ATTEMPTS || !wait_before(question, attempt, answer.retry_after_s)) return err->status;
    log_event(LOG_INFO, "the language model is asked again", "reason", err->message, NULL);
  }
}

/* What is counted against an owner's tokens is what somebody's server said: within reason. */
static int64_t plausible(int64_t tokens) { return tokens < 0 ? 0 : tokens > TOKENS_MAX ? TOKENS_MAX : tokens; }

static enum status read_answer(const struct question *question, const struct webcall_answer *answer, struct llm_answer *ret_answer,
                               struct error *err) {
  const json_t *reply = arena_json(question->arena, json_loadb(answer->body, answer->body_len, 0, NULL));
  struct llm_answer read = {0};
  if (!reply || !question->driver->read(reply, question->request, question->arena, &read))
    return error_set_code(err, ERR_UNAVAILABLE, "PROVIDER_UNAVAILABLE", "%s answered something that is not of its own format",
                          question->driver->name);
  if (!read.model) read.model = question->target.model;
  read.input_tokens = plausible(read.input_tokens);
  read.output_tokens = plausible(read.output_tokens);
  *ret_answer = read;
  if (question->request->schema && !json_is_object(read.object))
    return error_set_code(err, ERR_VALIDATION, "NO_OBJECT", "%s answered without the object it was asked for", question->driver->name);
  return OK;
}

enum status llm_ask(const struct config *cfg, const struct llm_request *request, struct arena *arena, struct llm_answer *ret_answer,
                    struct error *err) {
  struct question question = {
      .driver = driver_of(cfg), .request = request, .arena = arena, .deadline_ms = clock_mono_ms() + request->timeout_ms};
  if (!question.driver) return error_set_code(err, ERR_UNAVAILABLE, "PROVIDER_UNAVAILABLE", "no language model is configured");
  WEBCALL_AUTO webcall = NULL;
  struct webcall_answer answer = {0};
  enum status status = webcall_new(NULL, &webcall, err);
  if (!status) status = prepare(&question, cfg, err);
  if (!status) status = attempt_all(&question, webcall, &answer, err);
  if (!status) return read_answer(&question, &answer, ret_answer, err);
  if (strcmp(err->code, "PROVIDER_UNAVAILABLE") != 0) snprintf(err->code, sizeof err->code, "PROVIDER_UNAVAILABLE");
  return status;
}
