/* task.c - birth, end and death of a claimed job; see task.h. */
#include "worker/task.h"

#include <stdarg.h>

#include "common/limits.h"
#include "worker/wire.h"

const char *const outcome_names[] = {"succeeded", "failed", "cancelled", "retry", "crash", "release", "lost"};

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

void task_end_error(struct task *task, enum outcome outcome, const char *code, const char *fmt, ...) {
  char message[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  task_end(task, outcome, NULL, 0);
  buf_printf(&task->answer, "{\"code\":\"%s\",\"message\":", code);
  buf_put_json_string(&task->answer, message, strlen(message));
  buf_puts(&task->answer, ",\"details\":null}");
}
