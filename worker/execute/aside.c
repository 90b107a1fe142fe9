/* aside.c - fork, a pipe with one JSON text, and an end of it however it goes. */
#include "worker/execute/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "worker/execute/cancel.h"

#define ANSWER_BYTES (8 << 20)

/* --- the child --- */

static void write_all(int fd, const char *text, size_t len) {
  while (len) {
    ssize_t wrote = write(fd, text, len);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) _exit(1);
    text += wrote;
    len -= (size_t)wrote;
  }
}

static void work(struct execution *x, aside_fn fn, void *arg, int fd, pid_t parent) {
  cancel_child();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  struct error err = {0};
  json_t *answer = NULL;
  x->job->db = NULL; /* the parent's: two can't share it */
  enum status status = fn(x, arg, &answer, &err);
  json_t *message =
      status ? json_pack("{s:i, s:o}", "status", (int)status, "error", error_json(&err)) : json_pack("{s:o}", "answer", answer);
  char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
  if (!text) _exit(1);
  write_all(fd, text, strlen(text));
  _exit(0);
}

/* --- the parent --- */

static enum status collect(int fd, int64_t deadline_ms, struct buf *text, struct error *err) {
  char chunk[16 * 1024];
  for (;;) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int64_t left = deadline_ms - clock_mono_ms();
    if (cancel_asked()) return error_set_code(err, ERR_CONFLICT, "JOB_CANCELLED", "cancelled on request");
    if (left <= 0) return error_set(err, ERR_UNAVAILABLE, "reading the schema took too long");
    cancel_poll(&poll_fd, 1, (int)left);
    if (!poll_fd.revents) continue;
    ssize_t got = read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_set(err, ERR_INTERNAL, "reading from the process that reads the schema: %s", strerror(errno));
    if (got == 0) return OK;
    if (!buf_append(text, chunk, (size_t)got)) return error_set(err, ERR_UNAVAILABLE, "what was read of the schema is too large");
  }
}

static enum status understand(struct execution *x, const struct buf *text, json_t **ret_answer, struct error *err) {
  json_t *message = arena_json(x->job->arena, json_loadb(buf_str(text), text->len, 0, NULL));
  if (!message) return error_set(err, ERR_UNAVAILABLE, "the process that reads the schema ended without an answer");
  const json_t *failure = json_object_get(message, "error");
  if (!failure) {
    *ret_answer = json_object_get(message, "answer");
    return OK;
  }
  error_set_code(err, (enum status)json_int(message, "status", ERR_INTERNAL), json_str(failure, "code", "INTERNAL"), "%s",
                 json_str(failure, "message", ""));
  json_t *details = json_object_get(failure, "details");
  if (json_is_object(details)) err->details = json_incref(details);
  return err->status;
}

enum status aside_run(struct execution *x, aside_fn fn, void *arg, int timeout_ms, json_t **ret_answer, struct error *err) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) != 0) return error_set(err, ERR_UNAVAILABLE, "pipe: %s", strerror(errno));
  pid_t parent = getpid(), child = fork();
  if (child == 0) work(x, fn, arg, pair[1], parent);
  close(pair[1]);
  BUF_AUTO text;
  buf_init(&text, ANSWER_BYTES);
  enum status status =
      child < 0 ? error_set(err, ERR_UNAVAILABLE, "fork: %s", strerror(errno)) : collect(pair[0], clock_mono_ms() + timeout_ms, &text, err);
  close(pair[0]);
  if (child > 0) {
    if (status) kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  return status ? status : understand(x, &text, ret_answer, err);
}
