/* slots.c - the supervisor's side of slots; see slots.h.
 *
 * Per slot a small ring mirrors what was written to its socket: the first entry runs, the others wait in the socket. An entry whose task
 * was recalled stays as a blank until the slot has answered for it, so answers and entries always match. A death is dealt with when the
 * process has been reaped and its socket read to the end: an answer written just before dying counts. */
#include "worker/slots.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"
#include "worker/child.h"
#include "worker/wire.h"

#define PIPE_DEPTH 16
#define CANCEL_GRACE_MS 1000
#define KILL_GRACE_MS 250 /* to tell the client's database; the margin of the shortest lease is longer */
#define BLANK_GRACE_MS 1000
#define START_GRACE_MS 30000
#define RESPAWN_MIN_MS 100
#define RESPAWN_MAX_MS 5000

enum slot_state { SLOT_DOWN, SLOT_STARTING, SLOT_UP, SLOT_STATES };
enum stop { STOP_NONE, STOP_CANCEL, STOP_DEADLINE, STOP_KILL, STOP_NONSENSE };

struct entry {
  struct task *task;
}; // NULL: recalled, not yet answered for

struct slot {
  struct slots *slots;
  enum slot_state state;
  pid_t pid;
  struct bufferevent *bev;
  bool reaped, eof, useful; /* useful: it was given a job in this life */
  int wait_status;
  struct entry pipe[PIPE_DEPTH];
  int first, count;
  int64_t began_us; /* monotonic: the first entry */
  enum stop stop;   /* why we are killing it */
  enum outcome stop_outcome;
  int64_t kill_ms; /* monotonic: when SIGTERM becomes SIGKILL, 0 = not asked */
  int early_deaths;
  int64_t start_ms; /* monotonic: of this life, or of the next when down */
};

struct slots {
  struct event_base *base;
  const struct config *cfg;
  const char *keeper_socket;
  struct slots_hooks hooks;
  int count;
  struct slot slot[];
};

static struct metric deaths = METRIC_COUNTER("autodb_slot_deaths_total", "Slot processes that ended, by cause.", "cause");
static struct metric states = METRIC_GAUGE("autodb_slots", "Slots by state.", "state");

static void on_read(struct bufferevent *bev, void *arg);
static void on_event(struct bufferevent *bev, short what, void *arg);

/* --- the ring --- */

static struct entry *entry_at(struct slot *slot, int index) { return &slot->pipe[(slot->first + index) % PIPE_DEPTH]; }

static void begin_first(struct slot *slot) {
  slot->began_us = clock_mono_us();
  struct task *task = slot->count ? entry_at(slot, 0)->task : NULL;
  if (!task) return;
  task->state = TASK_RUNNING;
  if (task->lost)
    slots_kill(slot->slots, task, OUTCOME_LOST);
  else if (task->cancel)
    slots_cancel(slot->slots, task);
}

static struct task *shift(struct slot *slot) {
  struct task *task = entry_at(slot, 0)->task;
  slot->first = (slot->first + 1) % PIPE_DEPTH;
  slot->count--;
  return task;
}

static struct slot *find(struct slots *slots, const struct task *task) {
  for (int i = 0; i < slots->count; i++)
    for (int j = 0; j < slots->slot[i].count; j++)
      if (entry_at(&slots->slot[i], j)->task == task) return &slots->slot[i];
  return NULL;
}

/* --- birth --- */

static enum status connect_child(struct slot *slot, int pair[2], struct error *err) {
  const char *argv[] = {"autodb-worker", "--slot", slot->slots->keeper_socket ? slot->slots->keeper_socket : "", NULL};
  slot->bev = bufferevent_socket_new(slot->slots->base, pair[0], BEV_OPT_CLOSE_ON_FREE);
  if (!slot->bev) {
    close(pair[0]);
    return error_oom(err);
  }
  slot->pid = child_spawn(argv, pair[1]);
  if (slot->pid < 0) return error_set(err, ERR_INTERNAL, "can't start a slot process: %m");
  bufferevent_setcb(slot->bev, on_read, NULL, on_event, slot);
  bufferevent_set_max_single_read(slot->bev, 1 << 20);
  return bufferevent_enable(slot->bev, EV_READ | EV_WRITE) == 0 ? OK : error_oom(err);
}

static enum status spawn(struct slot *slot, struct error *err) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return error_set(err, ERR_INTERNAL, "socketpair: %m");
  evutil_make_socket_nonblocking(pair[0]);
  enum status status = connect_child(slot, pair, err);
  close(pair[1]);
  if (status != OK) {
    if (slot->bev) bufferevent_free(slot->bev);
    slot->bev = NULL;
    return status;
  }
  slot->state = SLOT_STARTING;
  slot->reaped = slot->eof = slot->useful = false;
  slot->stop = STOP_NONE;
  slot->kill_ms = 0;
  slot->start_ms = clock_mono_ms();
  return OK;
}

/* --- death --- */

static void kill_group(const struct slot *slot, int sig) {
  if (slot->pid > 0 && !slot->reaped) kill(-slot->pid, sig);
}

static void kill_now(struct slot *slot, enum stop stop) {
  if (slot->state == SLOT_DOWN) return;
  if (slot->stop == STOP_NONE || slot->stop == STOP_CANCEL) slot->stop = stop;
  kill_group(slot, SIGKILL);
}

/* SIGTERM, so that what runs on a client's server is called off, and soon SIGKILL. */
static void kill_soon(struct slot *slot, enum stop stop) {
  if (slot->state == SLOT_DOWN || (slot->stop != STOP_NONE && slot->stop != STOP_CANCEL)) return;
  slot->stop = stop;
  slot->kill_ms = clock_mono_ms() + KILL_GRACE_MS;
  kill_group(slot, SIGTERM);
}

static const char *end_crashed(const struct slot *slot, struct task *task) {
  int sig = WIFSIGNALED(slot->wait_status) ? WTERMSIG(slot->wait_status) : 0;
  if (slot->stop == STOP_NONSENSE)
    task_end_died(task, "WORKER_CRASHED", sig, "the process running the job broke its protocol and was killed");
  else if (sig)
    task_end_died(task, "WORKER_CRASHED", sig, "the process running the job was killed by signal %d (%s%s)", sig, strsignal(sig),
                  sig == SIGKILL ? ": often the system being out of memory" : "");
  else
    task_end_died(task, "WORKER_CRASHED", 0, "the process running the job exited with code %d", WEXITSTATUS(slot->wait_status));
  return "crash";
}

static const char *end_late(struct task *task) {
  task_end_died(task, "JOB_TIMEOUT", 0, "the job ran longer than the %d s an attempt may take", task->kind.timeout_ms / 1000);
  return "deadline";
}

/* Decides what the job that ran becomes; returns the cause for logs and metrics. */
static const char *end_killed(struct slot *slot, struct task *task) {
  switch (slot->stop) {
  case STOP_CANCEL: task_end_error(task, OUTCOME_CANCELLED, "JOB_CANCELLED", "cancelled on request"); return "cancel";
  case STOP_DEADLINE: return end_late(task);
  case STOP_KILL: task_end(task, slot->stop_outcome, NULL, 0); return outcome_names[slot->stop_outcome];
  case STOP_NONE:
  case STOP_NONSENSE: break;
  }
  return end_crashed(slot, task);
}

static void schedule_rebirth(struct slot *slot) {
  slot->state = SLOT_DOWN;
  slot->pid = 0;
  slot->early_deaths = slot->useful ? 0 : slot->early_deaths + 1;
  int wait = slot->early_deaths ? RESPAWN_MIN_MS << (slot->early_deaths < 7 ? slot->early_deaths - 1 : 6) : 0;
  slot->start_ms = clock_mono_ms() + (wait < RESPAWN_MAX_MS ? wait : RESPAWN_MAX_MS);
}

static void rebirth(struct slot *slot) {
  ERROR_AUTO err = {0};
  if (spawn(slot, &err) == OK) return;
  slot->useful = false;
  schedule_rebirth(slot);
  log_event(LOG_ERROR, "a slot can't be started", "error", err.message, NULL);
}

static void bury(struct slot *slot) {
  struct slots *slots = slot->slots;
  const char *cause = slot->state == SLOT_STARTING ? "start" : "idle";
  struct task *ran = slot->count ? shift(slot) : NULL;
  if (ran) cause = end_killed(slot, ran);
  metric_add(&deaths, cause, 1);
  const char *pid = log_fmt("%d", (int)slot->pid), *status = log_fmt("0x%x", (unsigned)slot->wait_status);
  if (ran)
    task_log(LOG_WARN, ran, "slot died", "cause", cause, "pid", pid, "status", status, NULL);
  else
    log_event(LOG_WARN, "slot died", "cause", cause, "pid", pid, "status", status, NULL);
  bufferevent_free(slot->bev);
  slot->bev = NULL;
  schedule_rebirth(slot);
  if (!slot->early_deaths) rebirth(slot);
  if (ran) slots->hooks.ended(slots->hooks.arg, ran, -1);
  for (struct task *task; slot->count;)
    if ((task = shift(slot))) slots->hooks.returned(slots->hooks.arg, task);
  slots->hooks.idle(slots->hooks.arg);
}

bool slots_reap(struct slots *slots, pid_t pid, int wait_status) {
  for (int i = 0; i < slots->count; i++) {
    struct slot *slot = &slots->slot[i];
    if (slot->pid != pid || slot->reaped || slot->state == SLOT_DOWN) continue;
    slot->reaped = true;
    slot->wait_status = wait_status;
    if (slot->eof) bury(slot);
    return true;
  }
  return false;
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
  struct slot *slot = arg;
  if (slot->eof) return;
  if (what & BEV_EVENT_WRITING) { /* what it said before it went is still to be read */
    bufferevent_disable(bev, EV_WRITE);
    return;
  }
  slot->eof = true;
  bufferevent_disable(slot->bev, EV_READ | EV_WRITE);
  if (slot->reaped)
    bury(slot);
  else
    kill_group(slot, SIGKILL); /* a slot without its socket is of no use */
}

/* --- answers --- */

static enum outcome how_it_ended(char how) { return how == '1' ? OUTCOME_RETRY : how == '2' ? OUTCOME_PARKED : OUTCOME_FAILED; }

/* False when the slot sent what it mustn't. */
static bool on_answer(struct slot *slot, enum wire_type type, const char *body, size_t len) {
  if (!slot->count || (type == WIRE_ERROR && !len)) return false;
  struct task *task = shift(slot);
  int64_t ran_us = clock_mono_us() - slot->began_us;
  enum stop stop = slot->stop;
  enum outcome killed_as = slot->stop_outcome;
  if (slot->stop != STOP_NONE) { /* the signal will hit the next job, which has done nothing */
    slot->stop = STOP_KILL;
    slot->stop_outcome = OUTCOME_RELEASE;
  }
  if (slot->count) begin_first(slot);
  if (!task) return true;
  if (type == WIRE_DROPPED) { /* the recall was read before the job it was sent behind had begun */
    slot->slots->hooks.returned(slot->slots->hooks.arg, task);
    return true;
  }
  if (type == WIRE_RESULT)
    task_end(task, OUTCOME_SUCCEEDED, body, len);
  else if (stop == STOP_DEADLINE)
    end_late(task);
  else if (stop == STOP_KILL)
    task_end(task, killed_as, NULL, 0);
  else
    task_end(task, stop == STOP_CANCEL ? OUTCOME_CANCELLED : how_it_ended(*body), body + 1, len - 1);
  slot->slots->hooks.ended(slot->slots->hooks.arg, task, ran_us);
  return true;
}

static void on_progress(struct slot *slot, const char *body, size_t len) {
  struct task *task = slot->count ? entry_at(slot, 0)->task : NULL;
  if (!task || len > task->progress.max) return;
  buf_reset(&task->progress);
  task->progress_new = buf_append(&task->progress, body, len);
}

static bool on_frame(struct slot *slot, enum wire_type type, const char *body, size_t len) {
  switch (type) {
  case WIRE_HELLO: slot->state = SLOT_UP; return true;
  case WIRE_PROGRESS: on_progress(slot, body, len); return true;
  case WIRE_RESULT:
  case WIRE_ERROR:
  case WIRE_DROPPED: return on_answer(slot, type, body, len);
  default: return false;
  }
}

/* One frame of the slot's input; 0 when none is whole, -1 when the slot sends nonsense. */
static int take_frame(struct slot *slot, struct evbuffer *in) {
  char head[WIRE_HEAD_BYTES];
  enum wire_type type;
  size_t len;
  ev_ssize_t got = evbuffer_copyout(in, head, sizeof head);
  int whole = wire_head(head, got < 0 ? 0 : (size_t)got, WIRE_ANSWER_BYTES, &type, &len);
  if (whole <= 0) return whole;
  if (evbuffer_get_length(in) < WIRE_HEAD_BYTES + len) return 0;
  const char *frame = (const char *)evbuffer_pullup(in, (ev_ssize_t)(WIRE_HEAD_BYTES + len));
  if (!frame || !on_frame(slot, type, frame + WIRE_HEAD_BYTES, len)) return -1;
  evbuffer_drain(in, WIRE_HEAD_BYTES + len);
  return 1;
}

static void on_read(struct bufferevent *bev, void *arg) {
  struct slot *slot = arg;
  int took;
  while ((took = take_frame(slot, bufferevent_get_input(bev))) > 0) continue;
  if (took < 0) kill_now(slot, STOP_NONSENSE);
  slot->slots->hooks.idle(slot->slots->hooks.arg);
}

/* --- work --- */

static bool all_brief(struct slot *slot) {
  for (int i = 0; i < slot->count; i++)
    if (!entry_at(slot, i)->task || !entry_at(slot, i)->task->kind.brief) return false;
  return true;
}

static bool can_take(struct slot *slot, const struct task *task) {
  if (slot->state != SLOT_UP || slot->stop != STOP_NONE || slot->reaped || slot->eof) return false;
  return slot->count == 0 || (task->kind.brief && slot->count < PIPE_DEPTH && all_brief(slot));
}

bool slots_offer(struct slots *slots, struct task *task) {
  struct slot *best = NULL;
  for (int i = 0; i < slots->count; i++)
    if (can_take(&slots->slot[i], task) && (!best || slots->slot[i].count < best->count)) best = &slots->slot[i];
  if (!best || bufferevent_write(best->bev, task->frame.data, task->frame.len) != 0) return false;
  entry_at(best, best->count++)->task = task;
  best->useful = true;
  task->state = TASK_SENT;
  if (best->count == 1) begin_first(best);
  return true;
}

void slots_cancel(struct slots *slots, struct task *task) {
  struct slot *slot = find(slots, task);
  task->cancel = true;
  if (!slot || entry_at(slot, 0)->task != task || slot->stop != STOP_NONE) return;
  slot->stop = STOP_CANCEL;
  slot->kill_ms = clock_mono_ms() + CANCEL_GRACE_MS;
  kill_group(slot, SIGTERM);
}

void slots_kill(struct slots *slots, struct task *task, enum outcome outcome) {
  struct slot *slot = find(slots, task);
  if (!slot || entry_at(slot, 0)->task != task) return;
  slot->stop_outcome = outcome;
  kill_soon(slot, STOP_KILL);
}

static void recall(struct slot *slot) {
  struct slots *slots = slot->slots;
  struct buf frame;
  buf_init(&frame, WIRE_HEAD_BYTES);
  if (wire_put(&frame, WIRE_REVOKE, "", 0)) bufferevent_write(slot->bev, frame.data, frame.len);
  buf_free(&frame);
  for (int i = 1; i < slot->count; i++) {
    struct task *task = entry_at(slot, i)->task;
    entry_at(slot, i)->task = NULL;
    if (task) slots->hooks.returned(slots->hooks.arg, task);
  }
}

void slots_recall(struct slots *slots, int64_t ready_before_ms) {
  for (int i = 0; i < slots->count; i++) {
    struct slot *slot = &slots->slot[i];
    bool late = false;
    for (int j = 1; j < slot->count && !late; j++) late = entry_at(slot, j)->task && entry_at(slot, j)->task->ready_ms < ready_before_ms;
    if (late && slot->state == SLOT_UP && !slot->eof) recall(slot);
  }
}

/* --- time --- */

static void check_deadline(struct slot *slot, int64_t now_ms) {
  if (slot->kill_ms && now_ms >= slot->kill_ms) {
    slot->kill_ms = 0;
    kill_group(slot, SIGKILL);
  }
  if (slot->state == SLOT_STARTING && now_ms - slot->start_ms > START_GRACE_MS) kill_now(slot, STOP_KILL);
  if (!slot->count || slot->state != SLOT_UP) return;
  const struct task *task = entry_at(slot, 0)->task;
  int64_t ran_ms = now_ms - slot->began_us / 1000;
  if (task && ran_ms > task->kind.timeout_ms) kill_soon(slot, STOP_DEADLINE);
  if (!task && ran_ms > BLANK_GRACE_MS) kill_now(slot, STOP_KILL);
}

static void count_states(const struct slots *slots) {
  int busy = 0, idle = 0;
  for (int i = 0; i < slots->count; i++) {
    if (slots->slot[i].state != SLOT_UP) continue;
    if (slots->slot[i].count)
      busy++;
    else
      idle++;
  }
  metric_set(&states, "busy", busy);
  metric_set(&states, "idle", idle);
  metric_set(&states, "down", slots->count - busy - idle);
}

void slots_tick(struct slots *slots, int64_t now_ms) {
  for (int i = 0; i < slots->count; i++) {
    struct slot *slot = &slots->slot[i];
    if (slot->state == SLOT_DOWN && now_ms >= slot->start_ms)
      rebirth(slot);
    else if (slot->state != SLOT_DOWN)
      check_deadline(slot, now_ms);
  }
  count_states(slots);
}

int slots_count(const struct slots *slots) { return slots->count; }

int slots_responsive(const struct slots *slots, int64_t now_ms, int ms) {
  int count = 0;
  for (int i = 0; i < slots->count; i++)
    count += slots->slot[i].state == SLOT_UP && (!slots->slot[i].count || now_ms - slots->slot[i].began_us / 1000 <= ms);
  return count;
}

enum status slots_new(struct event_base *base, const struct config *cfg, int count, const char *keeper_socket,
                      const struct slots_hooks *hooks, struct slots **ret_slots, struct error *err) {
  struct slots *slots = calloc(1, sizeof *slots + (size_t)count * sizeof slots->slot[0]);
  if (!slots) return error_oom(err);
  *slots = (struct slots){.base = base, .cfg = cfg, .keeper_socket = keeper_socket, .hooks = *hooks, .count = count};
  for (int i = 0; i < count; i++) {
    slots->slot[i].slots = slots;
    rebirth(&slots->slot[i]);
  }
  *ret_slots = slots;
  return OK;
}

void slots_free(struct slots *slots) {
  if (!slots) return;
  for (int i = 0; i < slots->count; i++) {
    struct slot *slot = &slots->slot[i];
    kill_group(slot, SIGKILL);
    if (slot->pid > 0 && !slot->reaped) waitpid(slot->pid, NULL, 0);
    if (slot->bev) bufferevent_free(slot->bev);
  }
  free(slots);
}
