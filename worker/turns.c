/* turns.c - see turns.h. */
#include "worker/turns.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"

static const struct pg_stmt next_stmt = {"next_turns", "SELECT id, lane, tier FROM autodb.next_turns($1::uuid[], $2::int4, $3::int4)", 3};

static struct metric called =
    METRIC_COUNTER("autodb_turns_total", "Waiting jobs of owners at their cap that were rung as room came.", NULL);

static void on_next(void *arg, const PGresult *res, const struct error *err) {
  struct bell *bell = arg;
  if (!res) log_event(LOG_DEBUG, "next turns not found out", "error", err->message, NULL);
  for (int row = 0; res && row < PQntuples(res); row++) {
    struct id id;
    int stream = job_stream_parse(PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
    if (id_parse(PQgetvalue(res, row, 0), &id) && stream >= 0) bell_ring(bell, stream, &id);
  }
  if (res) metric_add(&called, NULL, PQntuples(res));
}

void turns_next(struct pgloop *pool, struct bell *bell, const struct config *cfg, const struct id *owners, int count) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  if (!count || !bell_up(bell)) return; /* without a bell nobody waits for it: workers poll */
  pg_params_init(&params);
  pg_param_array_begin(&params, PG_ELEM_UUID);
  for (int i = 0; i < count; i++) pg_param_array_item(&params, owners[i].bytes, sizeof owners[i].bytes);
  pg_param_array_end(&params);
  pg_param_int(&params, cfg->owner_running);
  pg_param_int(&params, LIMIT_SWEEP_BATCH);
  if (pgloop_query(pool, &next_stmt, &params, 0, on_next, bell, &err) != OK) log_event(LOG_DEBUG, "next turns not asked for", NULL);
}
