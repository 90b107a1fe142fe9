/* calls.c - several calls to a provider at once, each tried again while that can help: overload, a lost connection, a gateway's fault.
 *
 * A loop of its own runs until every batch has its reply or one has failed for good; then the rest is dropped. Each call has an arena of
 * its own, gone when its vectors are taken, so what is held is bounded by what is under way. */
#include <event2/event.h>

#include "common/aws.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/webloop.h"
#include "worker/embed/driver.h"

#define ATTEMPTS 6
#define BACKOFF_MS 250 /* full jitter: random(0, this * 2^attempt), and what Retry-After asks for */
#define CALL_MS 60000
#define CALL_ARENA_BYTES ((size_t)256 << 20)
#define ANSWER_BYTES ((size_t)32 << 20)
#define EXCERPT 300 /* bytes of a refusal shown */

struct embed_sender {
  struct event_base *base;
  struct webloop *web;
};

struct run;
struct task { /* a batch on its way */
  struct run *run;
  const struct embed_batch *batch;
  struct embed_reply *reply;
  struct arena *arena;
  struct event *timer;
  struct webcall_request request;
  struct webcall_header headers[2];
  struct webcall_aws aws;
  int attempt;
};
struct run {
  struct embed_sender *sender;
  const struct embed_calls *calls;
  struct task *tasks; /* one per call at once */
  size_t task_count, next, done;
  int64_t deadline_ms;
  struct error *err;
  enum status status;
};

static void begin(struct task *task);

static void fail(struct run *run, enum status status) {
  if (!run->status) run->status = status;
  event_base_loopbreak(run->sender->base);
}

static void clear(struct task *task) {
  if (task->timer) event_free(task->timer);
  arena_free(task->arena);
  task->timer = NULL;
  task->arena = NULL;
}

/* --- what came back --- */

/* A task that has its reply takes the next batch. */
static void next_batch(struct task *task) {
  struct run *run = task->run;
  clear(task);
  if (run->next < run->calls->count) {
    task->batch = &run->calls->batches[run->next];
    task->reply = &run->calls->replies[run->next++];
    task->attempt = 0;
    begin(task);
  } else if (run->done == run->calls->count) {
    event_base_loopbreak(run->sender->base);
  }
}

static bool take_reply(struct task *task, const struct webcall_answer *answer) {
  const struct embed_driver *driver = task->run->calls->driver;
  const json_t *reply = arena_json(task->arena, json_loadb(answer->body, answer->body_len, 0, NULL));
  struct embed_reply read = {0};
  if (!reply || !driver->read(reply, task->batch->count, task->arena, &read)) return false;
  size_t count = task->batch->count * (size_t)read.dims;
  float *kept = arena_calloc(task->run->calls->arena, count, sizeof *kept);
  if (!kept) return false;
  memcpy(kept, read.vectors, count * sizeof *kept);
  *task->reply = (struct embed_reply){kept, read.dims, read.tokens};
  task->run->done++;
  return true;
}

static bool worth_another(int status) { return status == 408 || status == 429 || status >= 500; }

/* What a refusal means: one that the same request meets again is the settings' fault. */
static enum status refused(const struct task *task, const struct webcall_answer *answer, struct error *err) {
  const json_t *reply = arena_json(task->arena, json_loadb(answer->body, answer->body_len, 0, NULL));
  const json_t *inner = json_object_get(reply, "error");
  const char *said = json_is_string(inner) ? json_string_value(inner) : json_str(json_is_object(inner) ? inner : reply, "message", "");
  bool passes = worth_another(answer->status);
  return error_set_code(err, passes ? ERR_UNAVAILABLE : ERR_VALIDATION, passes ? "PROVIDER_UNAVAILABLE" : "PROVIDER_REFUSED",
                        "the embedding provider %s answered %d%s%.*s", task->run->calls->driver->name, answer->status, *said ? ": " : "",
                        EXCERPT, said);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what;
  struct task *task = arg;
  clear(task);
  begin(task);
}

/* Full jitter, at least what the server asked for. False when the deadline comes first, or it was tried often enough. */
static bool again(struct task *task, int retry_after_s) {
  uint32_t random;
  crypto_random(&random, sizeof random);
  int64_t ms = (int64_t)(random % (uint32_t)(BACKOFF_MS << task->attempt)) + (int64_t)retry_after_s * 1000;
  if (++task->attempt == ATTEMPTS || clock_mono_ms() + ms >= task->run->deadline_ms) return false;
  task->timer = evtimer_new(task->run->sender->base, on_timer, task);
  struct timeval pause = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  return task->timer && evtimer_add(task->timer, &pause) == 0;
}

static void on_answer(void *arg, const struct webcall_answer *answer, const struct error *none) {
  struct task *task = arg;
  struct run *run = task->run;
  if (run->status) return;
  if (answer && answer->status >= 200 && answer->status < 300 && take_reply(task, answer)) {
    next_batch(task);
    return;
  }
  error_clear(run->err);
  enum status status;
  if (!answer)
    status =
        error_set_code(run->err, none->status, none->status == ERR_UNAVAILABLE ? "PROVIDER_UNAVAILABLE" : none->code, "%s", none->message);
  else if (answer->status >= 200 && answer->status < 300)
    status = error_set_code(run->err, ERR_UNAVAILABLE, "PROVIDER_UNAVAILABLE",
                            "the embedding provider %s answered something that is not of its own format", run->calls->driver->name);
  else
    status = refused(task, answer, run->err);
  if (status == ERR_UNAVAILABLE && again(task, answer ? answer->retry_after_s : 0)) {
    log_event(LOG_INFO, "the embedding provider is asked again", "reason", run->err->message, NULL);
    return;
  }
  fail(run, status);
}

/* --- asking --- */

static const char *bearer(const struct embed_call *call, struct arena *arena) {
  return call->bearer ? arena_printf(arena, "Bearer %s", call->bearer) : NULL;
}

static enum status prepare(struct task *task, struct error *err) {
  const struct embed_calls *calls = task->run->calls;
  struct embed_call call = {0};
  task->arena = arena_new(CALL_ARENA_BYTES);
  if (!task->arena || !calls->driver->build(calls->target, task->batch, task->arena, &call)) return error_oom(err);
  char *body = json_dumps(call.body, JSON_COMPACT);
  if (!body || arena_defer(task->arena, free, body)) return error_oom(err);
  int64_t left = task->run->deadline_ms - clock_mono_ms();
  task->headers[0] = (struct webcall_header){"Content-Type", "application/json"};
  task->headers[1] = (struct webcall_header){"Authorization", bearer(&call, task->arena)};
  task->request = (struct webcall_request){.method = "POST",
                                           .url = call.url,
                                           .headers = task->headers,
                                           .header_count = 2,
                                           .body = body,
                                           .body_len = strlen(body),
                                           .timeout_ms = left < 1         ? 1
                                                         : left > CALL_MS ? CALL_MS
                                                                          : (int)left,
                                           .max_answer = ANSWER_BYTES};
  if (!call.aws_service) return OK;
  task->aws = (struct webcall_aws){.service = call.aws_service, .region = aws_region() ? aws_region() : "us-east-1"};
  task->request.aws = &task->aws;
  return aws_credentials(task->arena, &task->aws, err);
}

static void begin(struct task *task) {
  struct run *run = task->run;
  enum status status = prepare(task, run->err);
  if (!status) status = webloop_start(run->sender->web, &task->request, task->arena, on_answer, task, run->err);
  if (status) fail(run, status);
}

/* --- a run --- */

enum status embed_sender_new(struct embed_sender **ret_sender, struct error *err) {
  struct embed_sender *sender = calloc(1, sizeof *sender);
  if (!sender) return error_oom(err);
  sender->base = event_base_new();
  enum status status = sender->base ? webloop_new(sender->base, NULL, &sender->web, err) : error_oom(err);
  if (status) {
    embed_sender_free(sender);
    return status;
  }
  *ret_sender = sender;
  return OK;
}

void embed_sender_free(struct embed_sender *sender) {
  if (!sender) return;
  if (sender->web) webloop_free(sender->web);
  if (sender->base) event_base_free(sender->base);
  free(sender);
}

/* What is still under way goes with its connections. */
static enum status drop(struct run *run, struct error *err) {
  if (webloop_running(run->sender->web) == 0) return OK;
  webloop_free(run->sender->web);
  run->sender->web = NULL;
  return webloop_new(run->sender->base, NULL, &run->sender->web, err);
}

enum status embed_send(struct embed_sender *sender, const struct embed_calls *calls, struct error *err) {
  size_t lanes = (size_t)calls->driver->concurrency < calls->count ? (size_t)calls->driver->concurrency : calls->count;
  struct run run = {.sender = sender, .calls = calls, .task_count = lanes, .deadline_ms = clock_mono_ms() + calls->timeout_ms, .err = err};
  run.tasks = arena_calloc(calls->arena, lanes + 1, sizeof *run.tasks);
  if (!run.tasks) return error_oom(err);
  if (!sender->web) return error_set(err, ERR_UNAVAILABLE, "calls can't be made");
  for (size_t i = 0; i < lanes; i++) {
    run.tasks[i].run = &run;
    next_batch(&run.tasks[i]);
  }
  while (!run.status && run.done < calls->count)
    if (event_base_dispatch(sender->base) != 0) break;
  if (!run.status && run.done < calls->count) run.status = error_set(err, ERR_INTERNAL, "calls to the embedding provider stopped");
  ERROR_AUTO ignored = {0};
  enum status status = drop(&run, &ignored);
  for (size_t i = 0; i < lanes; i++) clear(&run.tasks[i]);
  if (!run.status && status) log_event(LOG_WARN, "calls to the embedding provider can't go on", "reason", ignored.message, NULL);
  if (!run.status) error_clear(err);
  return run.status;
}
