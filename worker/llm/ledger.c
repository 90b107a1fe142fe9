/* ledger.c - see ledger.h. */
#include "worker/llm/ledger.h"

#include <inttypes.h>

#include "common/log.h"
#include "common/pg.h"

bool ledger_room(struct job *job, int64_t *ret_limit) {
  static const char sql[] =
      "SELECT coalesce(o.model_tokens, $2::bigint), (SELECT coalesce(sum(u.input_tokens + u.output_tokens), 0) FROM autodb.model_usage u "
      "WHERE u.owner_id = o.id AND u.day = (now() AT TIME ZONE 'UTC')::date) FROM autodb.owners o WHERE o.id = $1::uuid";
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  const char *standard = arena_printf(job->arena, "%d", job->cfg->owner_tokens);
  if (ret_limit) *ret_limit = 0;
  if (!standard || pg_query(job->db, sql, 2, (const char *const[]){job->owner_id, standard}, &res, &err) || PQntuples(res) != 1) {
    log_event(LOG_WARN, "the ledger of model tokens can't be read", "job", job->id, "reason", err.message, NULL);
    return true;
  }
  int64_t limit = strtoll(PQgetvalue(res, 0, 0), NULL, 10), spent = strtoll(PQgetvalue(res, 0, 1), NULL, 10);
  if (ret_limit) *ret_limit = limit;
  return limit == 0 || spent < limit;
}

void ledger_add(struct job *job, const char *model, int64_t input_tokens, int64_t output_tokens) {
  static const char sql[] = "INSERT INTO autodb.model_usage AS u (owner_id, day, purpose, model, calls, input_tokens, output_tokens) "
                            "VALUES ($1::uuid, (now() AT TIME ZONE 'UTC')::date, $2, left($3, 200), 1, $4::bigint, $5::bigint) ON CONFLICT "
                            "(owner_id, day, purpose, model) "
                            "DO UPDATE SET calls = u.calls + 1, input_tokens = u.input_tokens + excluded.input_tokens, output_tokens = "
                            "u.output_tokens + excluded.output_tokens";
  ERROR_AUTO err = {0};
  const char *input = arena_printf(job->arena, "%" PRId64, input_tokens > 0 ? input_tokens : 0);
  const char *output = arena_printf(job->arena, "%" PRId64, output_tokens > 0 ? output_tokens : 0);
  const char *params[] = {job->owner_id, job->kind, model && *model ? model : "unknown", input, output};
  if (!input || !output || pg_exec(job->db, sql, 5, params, &err))
    log_event(LOG_WARN, "what the language model cost could not be written down", "job", job->id, "tokens in", input ? input : "?",
              "tokens out", output ? output : "?", "reason", err.message, NULL);
}
