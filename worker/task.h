/* task.h - a job this worker has claimed, from the claim's commit to the finish's.
 *
 * queue.c owns it until it ends, finish.c from then on; slots.c only borrows it while it runs. */
#ifndef AUTODB_TASK_H
#define AUTODB_TASK_H

#include <sys/queue.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/job.h"
#include "common/log.h"

enum task_state { TASK_READY, TASK_SENT, TASK_RUNNING, TASK_ENDED };

/* How an attempt ended. The first three are final; the others give the job back, and the finish statement decides what becomes of it. */
enum outcome {
  OUTCOME_SUCCEEDED,
  OUTCOME_FAILED,
  OUTCOME_CANCELLED,
  OUTCOME_RETRY,
  OUTCOME_CRASH,
  OUTCOME_RELEASE,
  OUTCOME_PARKED,
  OUTCOME_LOST
};
extern const char *const outcome_names[]; /* "succeeded", …; "lost": another owner has it, nothing is written */

struct task {
  TAILQ_ENTRY(task) all;  /* held by the queue, for heartbeats */
  TAILQ_ENTRY(task) next; /* in the ready list, or in a list of the finisher */
  struct id id, owner_id;
  char name[ID_TEXT];
  char trace_id[TRACE_ID_TEXT]; /* "" when unknown */
  int attempt;
  bool capped;          /* its owner may not run everything at once: its end makes room (worker/turns.h) */
  int stream;           /* where it is rung when it is given back */
  struct job_kind kind; /* a row of common/job.c, or the default for a kind unknown to this version */
  char kind_name[64];
  enum task_state state;
  int64_t ready_ms;    /* monotonic: claimed, or given back by a dead slot */
  int64_t lease_ms;    /* monotonic: past it, without a renewal, the work must have stopped */
  unsigned beat;       /* heartbeat it was last sent with, 0 once answered */
  bool cancel;         /* asked to be cancelled before it began */
  bool lost;           /* its lease is, before it began: nothing may be written about it, not even that it ended */
  struct buf frame;    /* for the slot */
  struct buf progress; /* latest, JSON */
  bool progress_new;
  int64_t progress_ms; /* monotonic: when it was last written */
  enum outcome outcome;
  struct buf answer; /* JSON: the result, or the error; parked: for how long, ms in digits */
  bool alone;        /* its batch was refused: it is tried by itself */
};
TAILQ_HEAD(task_list, task);

struct task *task_new(void); /* NULL when out of memory */
void task_free(struct task *task);
/* Sets outcome and answer; json NULL for none. */
void task_end(struct task *task, enum outcome outcome, const char *json, size_t len);
/* The same with an error made here; `code` is a word of ours. */
void task_end_error(struct task *task, enum outcome outcome, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same of an attempt that didn't live to say anything: the details tell the signal that ended its process (0 = none) and the last step
 * it reported. */
void task_end_died(struct task *task, const char *code, int signal, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A line about the job: with its id, attempt and trace. Further pairs follow, ending with NULL. */
#define task_log(level, task, message, ...)                                                             \
  log_event(level, message, "job", (task)->name, "attempt", log_fmt("%d", (task)->attempt), "trace_id", \
            *(task)->trace_id ? (task)->trace_id : NULL, "kind", (task)->kind_name, __VA_ARGS__)

#endif
