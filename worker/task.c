/* task.c - birth, end and death of a claimed job; see task.h. */
#include "worker/task.h"

#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "worker/wire.h"

const char *const outcome_names[] = {"succeeded", "failed", "cancelled", "retry", "crash", "release", "parked", "lost"};

struct task *task_new(void) {
  struct task *task = calloc(1, sizeof *task);
  if (!task) return NULL;
  buf_init(&task->frame, WIRE_HEAD_BYTES + WIRE_JOB_BYTES);
  buf_init(&task->progress, 64 * 1024);
  buf_init(&task->answer, LIMIT_RESULT_BYTES);
  return task;
}

void task_free(struct task *task) {
  if (!task) return;
  buf_free(&task->frame);
  buf_free(&task->progress);
  buf_free(&task->answer);
  free(task);
}

void task_end(struct task *task, enum outcome outcome, const char *json, size_t len) {
  task->outcome = outcome;
  buf_reset(&task->answer);
  if (json) buf_append(&task->answer, json, len);
}

static void put_error(struct task *task, enum outcome outcome, const char *code, const char *fmt, va_list args, const char *details) {
  char message[512];
  vsnprintf(message, sizeof message, fmt, args);
  task_end(task, outcome, NULL, 0);
  buf_printf(&task->answer, "{\"code\":\"%s\",\"message\":", code);
  buf_put_json_string(&task->answer, message, strlen(message));
  buf_printf(&task->answer, ",\"details\":%s}", details);
}

void task_end_error(struct task *task, enum outcome outcome, const char *code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  put_error(task, outcome, code, fmt, args, "null");
  va_end(args);
}

/* What a slot reports is a stranger's: it is parsed before a part of it is passed on. */
static json_t *last_step(const struct task *task) {
  json_t *progress = json_loadb(buf_str(&task->progress), task->progress.len, 0, NULL), *step = json_object_get(progress, "step");
  step = json_is_string(step) ? json_incref(step) : json_null();
  json_decref(progress);
  return step;
}

void task_end_died(struct task *task, const char *code, int signal, const char *fmt, ...) {
  json_t *number = signal ? json_integer(signal) : json_null();
  json_t *details =
      json_pack("{s:o, s:s?, s:o}", "signal", number, "signal_name", signal ? sigabbrev_np(signal) : NULL, "last_step", last_step(task));
  char *text = details ? json_dumps(details, JSON_COMPACT) : NULL;
  va_list args;
  va_start(args, fmt);
  put_error(task, OUTCOME_CRASH, code, fmt, args, text ? text : "null");
  va_end(args);
  free(text);
  json_decref(details);
}
