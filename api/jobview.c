/* jobview.c - see jobview.h. Written by hand instead of through jansson: results are up to LIMIT_RESULT_BYTES, and are JSON already. */
#include "api/jobview.h"

#include "common/json.h"

enum column {
  ID,
  KIND,
  STATE,
  LANE,
  CONNECTION,
  ATTEMPT,
  MAX_ATTEMPTS,
  PROGRESS,
  CREATED,
  STARTED,
  FINISHED,
  RESULT,
  ERROR,
  METADATA,
  RUN_AT
};

static const struct {
  const char *name;
  bool raw;
  enum column column;
} members[] = {{"job_id", false, ID},
               {"kind", false, KIND},
               {"status", false, STATE},
               {"priority", false, LANE},
               {"connection_id", false, CONNECTION},
               {"attempt", true, ATTEMPT},
               {"max_attempts", true, MAX_ATTEMPTS},
               {"progress", true, PROGRESS},
               {"created_at", false, CREATED},
               {"started_at", false, STARTED},
               {"finished_at", false, FINISHED},
               {"result", true, RESULT},
               {"error", true, ERROR},
               {"metadata", true, METADATA},
               {"run_at", false, RUN_AT}};

void jobview_put(struct buf *out, const PGresult *res, int row) { jobview_put_with_url(out, res, row, NULL); }

const char *jobview_value(const PGresult *res, int row, const char *member) {
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    if (strcmp(members[i].name, member) == 0)
      return PQgetisnull(res, row, (int)members[i].column) ? NULL : PQgetvalue(res, row, (int)members[i].column);
  return NULL;
}

void jobview_put_with_url(struct buf *out, const PGresult *res, int row, const char *url) {
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    int column = (int)members[i].column;
    const char *value = PQgetvalue(res, row, column);
    size_t len = (size_t)PQgetlength(res, row, column);
    buf_puts(out, i ? ", \"" : "{\"");
    buf_puts(out, members[i].name);
    buf_puts(out, "\": ");
    if (PQgetisnull(res, row, column))
      buf_puts(out, "null");
    else if (members[i].raw)
      buf_append(out, value, len);
    else
      buf_put_json_string(out, value, len);
  }
  if (url) buf_printf(out, ", \"result_url\": \"%s\"", url);
  buf_putc(out, '}');
}

bool jobview_ended(const PGresult *res, int row) {
  const char *state = PQgetvalue(res, row, STATE);
  return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

static bool refuses(const char *code) {
  static const char *const codes[] = {"TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_SQL_MISMATCH", "TOKEN_CONNECTION_MISMATCH", "SCHEMA_DRIFT"};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp(codes[i], code) == 0) return true;
  return false;
}

bool jobview_refusal(const PGresult *res, int row, struct error *ret_refusal) {
  if (strcmp(PQgetvalue(res, row, STATE), "failed") != 0) return false;
  json_t *error = json_loadb(PQgetvalue(res, row, ERROR), (size_t)PQgetlength(res, row, ERROR), 0, NULL);
  const char *code = json_str(error, "code", "");
  bool refused = refuses(code);
  if (refused) {
    const json_t *details = json_object_get(error, "details");
    error_set_code(ret_refusal, ERR_CONFLICT, code, "%s", json_str(error, "message", "The worker refused to run it."));
    ret_refusal->details = json_is_object(details) ? json_copy((json_t *)(uintptr_t)details) : json_object();
    json_set_str(ret_refusal->details, "job_id", PQgetvalue(res, row, ID));
  }
  json_decref(error);
  return refused;
}

void jobview_put_new(struct buf *out, const struct jobview_new *job) {
  char id[ID_TEXT], connection[ID_TEXT];
  buf_printf(out, "{\"job_id\": \"%s\", \"kind\": \"%s\", \"status\": \"queued\", \"priority\": \"%s\", \"connection_id\": ",
             id_format(&job->id, id), job->kind, job->lane);
  if (job->connection_id)
    buf_printf(out, "\"%s\"", id_format(job->connection_id, connection));
  else
    buf_puts(out, "null");
  buf_printf(
      out,
      ", \"attempt\": 0, \"max_attempts\": %d, \"progress\": null, \"created_at\": \"%s\", \"started_at\": null, \"finished_at\": null, "
      "\"result\": null, \"error\": null, \"metadata\": ",
      job->max_attempts, job->created_at);
  buf_puts(out, job->metadata ? job->metadata : "null");
  if (job->run_at)
    buf_printf(out, ", \"run_at\": \"%s\"", job->run_at);
  else
    buf_puts(out, ", \"run_at\": null");
  buf_putc(out, '}');
}
