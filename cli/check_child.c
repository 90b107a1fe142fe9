/* check_child.c - one file, judged in a process of its own.
 *
 * The child has the schema by having been forked, parses, runs, and writes one JSON object into a pipe: {"report", "state"} or {"error"}.
 * It may crash, hang or eat memory: then that file has no report, and the others do. Its sandbox dies with it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/check.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/job.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "worker/migration/report.h"
#include "worker/migration/safer/safer.h"
#include "worker/migration/shadow_json.h"
#include "worker/migration/trial/step.h"

#define CHILD_ARENA_BYTES (1024ULL << 20)
#define CHILD_OUTPUT_BYTES (LIMIT_RESULT_BYTES + LIMIT_SNAPSHOT_BYTES)

/* --- in the child --- */

static const char *dump_of(void *arg) { return ((const struct check_task *)arg)->view.dump; }

static enum status try_it(struct job *job, struct analysis *analysis, struct safer *safer, struct sandbox_outcome *ret_outcome,
                          struct error *err) {
  struct sandbox_options sandbox = {.rows_per_table = SANDBOX_ROWS_DEFAULT, .applied = safer_run, .applied_arg = safer};
  *safer = (struct safer){.job = job, .analysis = analysis, .options = &sandbox};
  return sandbox_step_run(job, analysis, &sandbox, ret_outcome, err);
}

static enum status report(const struct check_file *file, const struct check_task *task, struct job *job, struct analysis *analysis,
                          json_t *answer, struct error *err) {
  struct sandbox_outcome outcome = {0};
  struct safer safer = {0};
  enum status status = OK;
  analysis->dump = task->view.dump;
  if (!file->reported) return OK;
  if (analysis->script.fault.sqlstate)
    outcome.result = sandbox_step_fault(analysis);
  else if (analysis->dump)
    status = try_it(job, analysis, &safer, &outcome, err);
  if (status) return status;
  json_t *result = report_json(analysis, NULL, outcome.result, NULL, NULL);
  if (safer.result) json_object_set(result, "safer_migration", safer.result);
  json_object_set_new(answer, "report", result);
  return OK;
}

static enum status judge(const struct check_file *file, struct check_task *task, struct job *job, json_t *answer, struct error *err) {
  struct snapshot *snapshot = NULL;
  struct analysis *analysis = NULL;
  struct analysis_options how = {
      .target_version = task->options->pg_version * 10000, .runner = file->runner, .dump = dump_of, .dump_arg = task};
  enum status status = snapshot_load(task->view.json, job->arena, &snapshot, err);
  if (!status) status = analysis_static(file->sql, file->len, snapshot, &how, job->arena, &analysis, err);
  if (!status) status = report(file, task, job, analysis, answer, err);
  if (status || !task->want_state) return status;
  shadow_settle(analysis->shadow);
  json_object_set_new(answer, "state", shadow_json(analysis->shadow));
  return OK;
}

static bool write_all(int fd, const char *text, size_t len) {
  while (len) {
    ssize_t wrote = write(fd, text, len);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text += wrote;
    len -= (size_t)wrote;
  }
  return true;
}

static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow is terabytes of address space */
  const struct job_kind *kind = job_kind_find("migration.analyze");
  rlim_t bytes = (rlim_t)(kind ? kind->memory_mb : 1024) << 20;
  setrlimit(RLIMIT_AS, &(struct rlimit){bytes, RLIM_INFINITY});
#endif
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

__attribute__((noreturn)) static void child(const struct check_file *file, struct check_task *task, int fd, pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(126);
  limit_memory();
  ERROR_AUTO err = {0};
  struct job job = {.arena = arena_new(CHILD_ARENA_BYTES), .cfg = task->cfg};
  json_t *answer = json_object();
  enum status status = job.arena && answer ? judge(file, task, &job, answer, &err) : error_oom(&err);
  if (status) json_set_str(answer, "error", err.message);
  char *text = json_dumps(answer, JSON_COMPACT);
  bool good = text && write_all(fd, text, strlen(text));
  fflush(NULL);
  _exit(good ? 0 : 1); /* a sandbox that is still open dies with us */
}

/* --- in the parent --- */

struct running {
  struct check_file *file; /* NULL: a free place */
  pid_t pid;
  int fd;
  int64_t deadline_ms;
  struct buf output;
};
struct check_pool {
  struct running running[CHECK_JOBS_MAX];
  int jobs;
  struct arena *arena; /* of messages */
  json_t *state;
};

enum status check_pool_new(int jobs, struct arena *arena, struct check_pool **ret_pool, struct error *err) {
  struct check_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return error_oom(err);
  pool->arena = arena;
  pool->jobs = jobs < 1 ? 1 : jobs > CHECK_JOBS_MAX ? CHECK_JOBS_MAX : jobs;
  *ret_pool = pool;
  return OK;
}

static int reap(struct running *running) {
  int status = 0;
  while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR) {}
  close(running->fd);
  running->pid = 0;
  return status;
}

static void fail(struct check_file *file, enum check_outcome outcome, const char *message) {
  file->outcome = outcome;
  file->message = message;
}

static void take_answer(struct check_pool *pool, struct running *running) {
  struct check_file *file = running->file;
  int status = reap(running);
  json_t *answer = buf_ok(&running->output) ? json_loadb(buf_str(&running->output), running->output.len, 0, NULL) : NULL;
  if (WIFSIGNALED(status)) {
    fail(file, CHECK_CRASHED, arena_printf(pool->arena, "the analysis crashed (signal %d)", WTERMSIG(status)));
  } else if (!json_is_object(answer)) {
    fail(file, CHECK_CRASHED, "the analysis ended without an answer");
  } else if (json_str(answer, "error", NULL)) {
    fail(file, CHECK_FAILED, arena_strdup(pool->arena, json_str(answer, "error", "")));
  } else {
    file->outcome = CHECK_REPORTED;
    file->result = json_incref(json_object_get(answer, "report"));
    json_decref(pool->state);
    pool->state = json_incref(json_object_get(answer, "state"));
  }
  json_decref(answer);
}

static void end_place(struct running *running) {
  buf_free(&running->output);
  *running = (struct running){0};
}

static void time_out(struct running *running) {
  kill(running->pid, SIGKILL);
  reap(running);
  fail(running->file, CHECK_TIMED_OUT, "the analysis took too long (--timeout)");
  end_place(running);
}

/* Reads what is there; at its end the child has ended, or is about to. */
static void receive(struct check_pool *pool, struct running *running) {
  char chunk[65536];
  ssize_t got = read(running->fd, chunk, sizeof chunk);
  if (got < 0 && errno == EINTR) return;
  if (got > 0) {
    buf_append(&running->output, chunk, (size_t)got);
    return;
  }
  take_answer(pool, running);
  end_place(running);
}

/* One turn: waits until something happens to one of them. False when none runs. */
static bool turn(struct check_pool *pool) {
  struct pollfd fds[CHECK_JOBS_MAX];
  struct running *who[CHECK_JOBS_MAX];
  int count = 0;
  int64_t now = clock_mono_ms(), wait = INT32_MAX;
  for (int i = 0; i < pool->jobs; i++) {
    struct running *running = &pool->running[i];
    if (!running->file) continue;
    int64_t left = running->deadline_ms - now;
    if (left < wait) wait = left < 0 ? 0 : left;
    fds[count] = (struct pollfd){.fd = running->fd, .events = POLLIN};
    who[count++] = running;
  }
  if (!count) return false;
  if (poll(fds, (nfds_t)count, (int)wait) < 0) return true;
  for (int i = 0; i < count; i++) {
    if (fds[i].revents)
      receive(pool, who[i]);
    else if (clock_mono_ms() >= who[i]->deadline_ms)
      time_out(who[i]);
  }
  return true;
}

static struct running *free_place(struct check_pool *pool) {
  for (;;) {
    for (int i = 0; i < pool->jobs; i++)
      if (!pool->running[i].file) return &pool->running[i];
    turn(pool);
  }
}

enum status check_pool_start(struct check_pool *pool, struct check_file *file, struct check_task *task, struct error *err) {
  struct running *place = free_place(pool);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return error_set(err, ERR_UNAVAILABLE, "can't make a pipe: %s", strerror(errno));
  fflush(NULL);
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    close(ends[0]);
    child(file, task, ends[1], parent);
  }
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return error_set(err, ERR_UNAVAILABLE, "can't fork: %s", strerror(errno));
  }
  *place =
      (struct running){.file = file, .pid = pid, .fd = ends[0], .deadline_ms = clock_mono_ms() + task->options->timeout_seconds * 1000LL};
  buf_init(&place->output, CHILD_OUTPUT_BYTES);
  return OK;
}

void check_pool_finish(struct check_pool *pool) {
  while (turn(pool)) {}
}

json_t *check_pool_take_state(struct check_pool *pool) {
  json_t *state = pool->state;
  pool->state = NULL;
  return state;
}

void check_pool_free(struct check_pool *pool) {
  if (!pool) return;
  for (int i = 0; i < pool->jobs; i++)
    if (pool->running[i].file) {
      kill(pool->running[i].pid, SIGKILL);
      reap(&pool->running[i]);
      end_place(&pool->running[i]);
    }
  json_decref(pool->state);
  free(pool);
}
