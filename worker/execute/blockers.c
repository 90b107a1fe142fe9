/* blockers.c - one question, asked on a nonblocking connection at growing intervals: does our session wait for a lock, and for whom?
 *
 * The time waited is added up from one look to the next, so it is as exact as the interval. */
#include "worker/execute/blockers.h"

#include "common/clock.h"
#include "common/pg.h"
#include "worker/execute/execution.h"
#include "worker/execute/text.h"

#define FIRST_MS 5
#define MOST_MS 200
#define SHOWN 10

struct blockers {
  int64_t asked_us, answered_us; /* of the last question; of the last answer, or when the statement began */
  int pause_ms;
  bool asking;
  double waited_ms;
  json_t *seen; /* in the arena */
  const char *text;
};

static const char look_sql[] =
    "SELECT me.wait_event_type = 'Lock', b.pid, b.usename, b.application_name, b.state, b.query_start, b.xact_start, b.query"
    " FROM pg_catalog.pg_stat_activity me LEFT JOIN LATERAL (SELECT a.* FROM pg_catalog.pg_stat_activity a"
    " WHERE a.pid = ANY (pg_catalog.pg_blocking_pids(me.pid)) AND me.wait_event_type = 'Lock' ORDER BY a.xact_start LIMIT 10) b ON true"
    " WHERE me.pid = $1::integer";

void blockers_begin(struct execution *x) {
  if (!x->blockers) x->blockers = ARENA_NEW(x->job->arena, struct blockers);
  if (!x->blockers) return;
  x->blockers->answered_us = clock_mono_us();
  x->blockers->asked_us = x->blockers->answered_us - 1; /* what is still on its way is about the statement before */
  x->blockers->pause_ms = FIRST_MS;
  x->blockers->waited_ms = 0;
}

/* An answer still on its way is thrown away with the next one's turn: there is one question at a time. */
double blockers_end(struct execution *x) { return x->blockers ? x->blockers->waited_ms : 0; }

int blockers_socket(const struct execution *x) {
  return x->session.watch && x->blockers && x->blockers->asking ? PQsocket(x->session.watch) : -1;
}
int blockers_pause_ms(const struct execution *x) { return x->session.watch && x->blockers ? x->blockers->pause_ms : 1000; }

static void ask(struct execution *x) {
  struct blockers *b = x->blockers;
  char pid[16];
  const char *const params[] = {pid};
  snprintf(pid, sizeof pid, "%d", x->session.pid);
  b->asked_us = clock_mono_us();
  b->asking = PQsendQueryParams(x->session.watch, look_sql, 1, NULL, params, NULL, NULL, 0) == 1;
  b->pause_ms = b->pause_ms * 2 > MOST_MS ? MOST_MS : b->pause_ms * 2;
}

static const char *describe(struct execution *x, const PGresult *res) {
  struct arena *arena = x->job->arena;
  const char *query = text_query(arena, pg_str(res, 0, 7)), *app = pg_str(res, 0, 3), *since = pg_str(res, 0, 6);
  return arena_printf(arena, "pid %s (user %.64s, %.64s, %.32s, transaction open since %.32s): %.200s", PQgetvalue(res, 0, 1),
                      pg_str(res, 0, 2) ? pg_str(res, 0, 2) : "?", app && *app ? app : "no application name",
                      pg_str(res, 0, 4) ? pg_str(res, 0, 4) : "?", since ? since : "?", query ? query : "?");
}

static void keep(struct execution *x, const PGresult *res) {
  static const char *const names[] = {NULL, NULL, "usename", "application_name", "state", "query_start", "transaction_start"};
  json_t *seen = json_array();
  for (int row = 0; row < PQntuples(res) && row < SHOWN; row++) {
    json_t *one = json_pack("{s:I}", "pid", pg_int(res, row, 1, 0));
    for (int col = 2; col < 7; col++) json_object_set_new(one, names[col], text_json(pg_str(res, row, col)));
    json_object_set_new(one, "query", text_json(text_query(x->job->arena, pg_str(res, row, 7))));
    json_array_append_new(seen, one);
  }
  x->blockers->seen = arena_json(x->job->arena, seen);
  x->blockers->text = describe(x, res);
  execution_progress(x, x->at, x->blockers->text);
}

static void take(struct execution *x, const PGresult *res) {
  struct blockers *b = x->blockers;
  int64_t now = clock_mono_us();
  if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) && PQnfields(res) == 8) {
    if (pg_bool(res, 0, 0) && b->asked_us >= b->answered_us) b->waited_ms += (double)(now - b->answered_us) / 1000.0;
    if (pg_bool(res, 0, 0) && pg_str(res, 0, 1)) keep(x, res);
  }
  b->answered_us = now;
}

void blockers_look(struct execution *x) {
  struct blockers *b = x->blockers;
  PGconn *watch = x->session.watch;
  if (!watch || !b) return;
  if (PQstatus(watch) != CONNECTION_OK || (b->asking && !PQconsumeInput(watch))) {
    PQfinish(watch);
    x->session.watch = NULL;
    b->asking = false;
    return;
  }
  PQflush(watch);
  while (b->asking && !PQisBusy(watch)) {
    PGRESULT_AUTO res = PQgetResult(watch);
    if (res)
      take(x, res);
    else
      b->asking = false;
  }
  if (!b->asking && clock_mono_us() - b->asked_us >= b->pause_ms * 1000) ask(x);
}

json_t *blockers_json(const struct execution *x) {
  return x->blockers && x->blockers->seen ? json_incref(x->blockers->seen) : json_array();
}
const char *blockers_text(const struct execution *x) { return x->blockers ? x->blockers->text : NULL; }
