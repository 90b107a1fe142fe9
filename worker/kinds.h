/* kinds.h - which code runs a kind of job. What the queue must know of a kind is in common/job.c. */
#ifndef AUTODB_KINDS_H
#define AUTODB_KINDS_H

#include "worker/agent.h"

struct kind {
  const char *name;
  job_handler handler;
  bool needs_db; /* wants job->db connected */
};
const struct kind *kind_find(const char *name); /* NULL: this worker can't run it */

enum status echo_run(struct job *job, json_t **ret_result, struct error *err);
enum status originals_run(struct job *job, json_t **ret_result, struct error *err);

#endif
