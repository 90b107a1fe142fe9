/* execute.h - executions of migrations as a worker's slot runs them, without queue and API: approved here, run here, or in a process that
 * may be killed at any boundary. */
#ifndef AUTODB_TESTS_EXECUTE_H
#define AUTODB_TESTS_EXECUTE_H

#include "tests/support/harness.h"
#include "worker/execute/execute.h"

struct rig { /* one per program */
  struct harness *h;
  struct config cfg;
  struct keyring *keyring;
};
void rig_start(struct rig *rig, int major); /* AutoDB's own database on the newest server, clients' on one of that major */
int rig_end(struct rig *rig);

struct rig_target { /* a client's database, known and introspected */
  struct rig *rig;
  char connection[40], snapshot[40], fingerprint[80], url[HARNESS_URL];
};
void rig_target(struct rig *rig, const char *name, const char *script, struct rig_target *ret_target);
void rig_introspect(struct rig_target *target); /* again: what is approved from here on is approved for the schema as it is now */

struct rig_job { /* an approved execution */
  struct rig_target *target;
  char id[40];
  json_t *payload;
  int attempt;
};
/* options: JSON text or NULL. */
void rig_job(struct rig_target *target, const char *sql, const char *options, struct rig_job *ret_job);
void rig_job_end(struct rig_job *job);

/* Runs the next attempt. The answer is {"result": …} or {"status": n, "error": {code, message, details}}; a new reference. */
json_t *rig_attempt(struct rig_job *job, const struct execute_hooks *hooks);
/* The same in a child process; its pid at once. rig_wait reaps it and gives its answer, NULL when it was killed. */
struct rig_child {
  pid_t pid;
  int fd;
};
void rig_fork(struct rig_job *job, const struct execute_hooks *hooks, struct rig_child *ret_child);
json_t *rig_wait(struct rig_child *child);

/* Statuses of the statements, "applied,applied,not_applied", of a result or an error's details; into a static buffer. */
const char *rig_statuses(const json_t *answer);
const char *rig_code(const json_t *answer); /* "" when it succeeded */
const json_t *rig_report(const json_t *answer);
/* Fails the test, showing the answer. */
void rig_fail(const json_t *answer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define RIG_EXPECT(answer, condition)                     \
  do {                                                    \
    if (!(condition)) rig_fail(answer, "%s", #condition); \
  } while (0)

#endif
