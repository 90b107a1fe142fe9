/* slots.h - the supervisor's side of the slot processes: starting, feeding, watching and killing them.
 *
 * A slot runs one job at a time; brief ones may be written ahead of it. Whatever a slot does, every task offered comes back through exactly
 * one hook: `ended` with its outcome set, or `returned` when it never began. */
#ifndef AUTODB_SLOTS_H
#define AUTODB_SLOTS_H

#include <event2/event.h>

#include "common/config.h"
#include "worker/task.h"

struct slots;

struct slots_hooks {
  void (*ended)(void *arg, struct task *task, int64_t ran_us); /* task->outcome says how; ran_us < 0 when it didn't run to its end */
  void (*returned)(void *arg, struct task *task);              /* never began; still whole */
  void (*idle)(void *arg);                                     /* a slot can take something */
  void *arg;
};

/* keeper_socket may be NULL; it is borrowed. */
MUST_CHECK enum status slots_new(struct event_base *base, const struct config *cfg, int count, const char *keeper_socket,
                                 const struct slots_hooks *hooks, struct slots **ret_slots, struct error *err);
void slots_free(struct slots *slots); /* kills what is left; no hook is called */

/* Hands a task to a slot; false when none can take it now. */
bool slots_offer(struct slots *slots, struct task *task);
/* Stops a running task: SIGTERM to the slot's process group, SIGKILL a second later; it ends as OUTCOME_CANCELLED, with the
 * slot's own error where the job used that second to say what it leaves behind. */
void slots_cancel(struct slots *slots, struct task *task);
/* The same within a quarter of a second; the task ends with that outcome (OUTCOME_LOST, OUTCOME_RELEASE). */
void slots_kill(struct slots *slots, struct task *task, enum outcome outcome);
/* Takes back the tasks written ahead that were ready before `ready_before_ms` and have not begun; they are `returned`. */
void slots_recall(struct slots *slots, int64_t ready_before_ms);

/* Deadlines, respawns; call every 50 ms while slots_busy, every second otherwise. */
void slots_tick(struct slots *slots, int64_t now_ms);
/* SIGCHLD: true when the pid was a slot's. */
bool slots_reap(struct slots *slots, pid_t pid, int wait_status);

int slots_count(const struct slots *slots);
/* Slots that are not held up by a job that has been running for more than `ms`. */
int slots_responsive(const struct slots *slots, int64_t now_ms, int ms);

#endif
