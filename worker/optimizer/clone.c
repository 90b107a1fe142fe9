/* clone.c - see clone.h. */
#include "worker/optimizer/clone.h"

#include "common/log.h"
#include "worker/schema/prepared.h"
#include "worker/schema/store.h"

#define MADE_AS "optimizer 2" /* raise the number when what is kept changes */

static enum status restore(struct job *job, const struct snapshot *snapshot, const char *dump, struct clone *clone, struct error *err) {
  ERROR_AUTO unsaved = {0};
  struct sandbox_clone_report report = {0};
  enum status status = sandbox_clone(clone->sandbox, dump, snapshot->timezone, snapshot->search_path, job->arena, &report, err);
  if (status) return status;
  clone->problems = report.problems;
  char *note = json_dumps(report.problems, JSON_COMPACT);
  if (note && sandbox_save(clone->sandbox, note, &unsaved))
    log_event(LOG_INFO, "a sandbox is not kept for later", "reason", unsaved.message, NULL);
  free(note);
  return OK;
}

static enum status obtain(struct job *job, const struct snapshot *snapshot, bool fresh, struct clone *clone, struct error *err) {
  const char *dump = NULL, *note = NULL;
  enum status status = store_dump(job, snapshot->id, &dump, err);
  if (!status) status = prepared_open(job, snapshot, dump, MADE_AS, fresh, &clone->sandbox, &note, err);
  if (status) return status;
  if (!note) return restore(job, snapshot, dump, clone, err);
  clone->problems = arena_json(job->arena, json_loads(note, 0, NULL));
  return json_is_array(clone->problems) ? OK : error_set(err, ERR_UNAVAILABLE, "the note of a prepared sandbox is damaged");
}

enum status clone_open(struct job *job, const struct snapshot *snapshot, bool fresh, struct clone *ret_clone, struct error *err) {
  struct clone made = {.snapshot_id = snapshot->id};
  ERROR_AUTO fault = {0};
  enum status status = obtain(job, snapshot, fresh, &made, &fault);
  bool copy = status && made.sandbox && sandbox_is_copy(made.sandbox);
  if (status) clone_close(&made);
  if (copy && !fresh) return clone_open(job, snapshot, true, ret_clone, err); /* a copy that is damaged is made anew, once */
  if (status) return error_set(err, status, "%s", fault.message);
  *ret_clone = made;
  return OK;
}

void clone_close(struct clone *clone) {
  sandbox_closep(&clone->sandbox);
  *clone = (struct clone){0};
}
