/* pgloop.c - a few pipelined connections on one event loop.
 *
 * Each query goes out as [Close, Parse,] Bind, Execute, Sync, so that it is a transaction of its own and answers end with a sync: whatever
 * came before the sync is the answer of the queue's head, and an error can't reach the neighbours. Close and Parse precede the first use of
 * a statement on a connection. A statement the server has lost or can't replan (both fail before anything runs) is sent once more with
 * them.
 *
 * pgloop_query only queues; one event per loop turn flushes what the turn sent, so a burst leaves in one write. Reading is bounded per
 * callback. A connection is torn down only from the loop (turn, I/O or timer), never below pgloop_query, which is why a failed send marks
 * it broken and no callback runs early. Each connection has one timer: for the backoff, the connect deadline, or the earliest query
 * deadline, by its state. A deadline that passes costs the connection, since a pipeline can't skip; the server is asked to cancel.
 *
 * Names are resolved by libpq, blocking: give the database by address, or by a name that /etc/hosts or a near resolver knows. */
#include "common/pgloop.h"

#include <assert.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/pgcancel.h"

enum { RESULTS_PER_TURN = 256, STMT_NAME = 64, WHY = 512 };

static struct metric query_seconds =
    METRIC_HISTOGRAM("autodb_pg_query_seconds", "From sending a statement to its callback, unanswered ones included.", "statement");
static struct metric lost_total =
    METRIC_COUNTER("autodb_pg_connections_lost_total", "Connections of the pool that broke or could not be made.", "when");

struct query {
  struct query *next;
  const struct pg_stmt *stmt;
  pgloop_cb cb;
  void *arg;
  int64_t sent_us;
  int64_t deadline_ms; /* clock_mono_ms */
  bool retried;        /* sent again with a fresh Parse: not twice */
  bool prepares;       /* carries the Parse */
  PGresult *res;       /* the answer until the sync confirms it */
  size_t bytes;
  const char *values[PG_PARAMS_MAX];
  int lens[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
  char store[]; /* the parameters, kept for the second try */
};

enum conn_state { CONN_WAITING, CONN_CONNECTING, CONN_UP };

struct conn {
  struct pgloop *pool;
  PGconn *pg; /* NULL while waiting */
  enum conn_state state;
  bool broken;            /* a send failed: torn down at the end of the turn */
  bool dirty;             /* something was queued this turn */
  struct event *io_read;  /* while connecting: the one event of this step */
  struct event *io_write; /* while up */
  struct event *timer;
  struct event *more; /* goes on with results already read */
  int64_t timer_at;   /* while up: what the timer is set for, INT64_MAX when it is not */
  int64_t up_since;
  int failures; /* since the last lasting connection */
  struct query *head, **tail;
  int count;
  size_t bytes;
  const struct pg_stmt **prepared;
  size_t prepared_count, prepared_cap;
};

struct pgloop {
  struct event_base *base;
  struct event *turn;
  char *conninfo, *password;
  char name[64]; /* application_name */
  void (*on_state)(void *arg, bool up);
  void *arg;
  bool reported_up, closing;
  int up; /* connections */
  char why[WHY];
  struct pgcancel *cancels;
  int conn_count;
  struct conn conns[];
};

static void on_io(evutil_socket_t fd, short what, void *arg);

/* --- small helpers --- */

static void ignore_notice(void *arg, const PGresult *res) {
  (void)arg;
  (void)res;
}

static void set_timer(struct conn *conn, int64_t ms) {
  struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  event_add(conn->timer, &tv);
}

static void drop_event(struct event **event) {
  if (*event) event_free(*event);
  *event = NULL;
}

static bool succeeded(const PGresult *res) {
  ExecStatusType got = PQresultStatus(res);
  return got == PGRES_TUPLES_OK || got == PGRES_COMMAND_OK || got == PGRES_EMPTY_QUERY;
}

static void query_free(struct query *query) {
  PQclear(query->res);
  free(query);
}

/* Runs the callback and frees the query. Exactly one of res and err. */
static void query_end(struct query *query, const PGresult *res, const struct error *err) {
  metric_observe_us(&query_seconds, query->stmt->name, clock_mono_us() - query->sent_us);
  if (query->cb) query->cb(query->arg, res, err);
  query_free(query);
}

static void report_state(struct pgloop *pool) {
  bool up = pool->up > 0;
  if (up == pool->reported_up) return;
  pool->reported_up = up;
  if (pool->on_state && !pool->closing) pool->on_state(pool->arg, up);
}

/* --- prepared statements of a connection --- */

static long prepared_at(const struct conn *conn, const struct pg_stmt *stmt) {
  for (size_t i = 0; i < conn->prepared_count; i++)
    if (conn->prepared[i] == stmt) return (long)i;
  return -1;
}

static void forget(struct conn *conn, const struct pg_stmt *stmt) {
  long at = prepared_at(conn, stmt);
  if (at >= 0) conn->prepared[at] = conn->prepared[--conn->prepared_count];
}

/* Out of memory: not remembered, and so prepared again next time. */
static void remember(struct conn *conn, const struct pg_stmt *stmt) {
  if (prepared_at(conn, stmt) >= 0) return;
  if (conn->prepared_count == conn->prepared_cap) {
    size_t cap = conn->prepared_cap ? conn->prepared_cap * 2 : 32;
    const struct pg_stmt **grown = reallocarray(conn->prepared, cap, sizeof *grown);
    if (!grown) return;
    conn->prepared = grown;
    conn->prepared_cap = cap;
  }
  conn->prepared[conn->prepared_count++] = stmt;
}

/* --- sending --- */

static void queue_push(struct conn *conn, struct query *query) {
  query->next = NULL;
  *conn->tail = query;
  conn->tail = &query->next;
  conn->count++;
  conn->bytes += query->bytes;
}

static struct query *queue_pop(struct conn *conn) {
  struct query *query = conn->head;
  conn->head = query->next;
  if (!conn->head) conn->tail = &conn->head;
  conn->count--;
  conn->bytes -= query->bytes;
  return query;
}

static void arm_deadline(struct conn *conn, int64_t at, int64_t now) {
  if (at >= conn->timer_at) return;
  conn->timer_at = at;
  set_timer(conn, at > now ? at - now : 0);
}

static void ask_turn(struct pgloop *pool) { event_active(pool->turn, EV_TIMEOUT, 0); }

static bool send_messages(struct conn *conn, struct query *query) {
  const struct pg_stmt *stmt = query->stmt;
  char name[STMT_NAME];
  snprintf(name, sizeof name, "%.40s_%p", stmt->name, (const void *)stmt);
  query->prepares = prepared_at(conn, stmt) < 0;
  if (query->prepares && (!PQsendClosePrepared(conn->pg, name) || !PQsendPrepare(conn->pg, name, stmt->sql, stmt->nparams, NULL)))
    return false;
  return PQsendQueryPrepared(conn->pg, name, stmt->nparams, query->values, query->lens, query->formats, 0) && PQsendPipelineSync(conn->pg);
}

/* Queues the query on the wire. On false the connection is marked broken and the query is still the caller's. */
static bool conn_send(struct conn *conn, struct query *query) {
  ask_turn(conn->pool);
  if (conn->broken || !send_messages(conn, query)) {
    conn->broken = true;
    return false;
  }
  if (query->prepares) remember(conn, query->stmt);
  queue_push(conn, query);
  conn->dirty = true;
  arm_deadline(conn, query->deadline_ms, clock_mono_ms());
  return true;
}

/* --- losing a connection --- */

static void set_why(struct pgloop *pool, const char *text) {
  ERROR_AUTO err = {0};
  size_t len = strcspn(text, "\n"); /* libpq puts the reason of each address on its own line */
  error_set(&err, ERR_UNAVAILABLE, "%.*s", (int)(len < WHY ? len : WHY), text);
  pg_scrub(&err, pool->password);
  snprintf(pool->why, sizeof pool->why, "%.*s", WHY - 1, err.message);
}

/* Doubles from MIN to MAX; a random half of it is jitter, so that a restarted server isn't met by all at once. */
static int64_t backoff_ms(int failures) {
  int64_t ms = LIMIT_RECONNECT_MIN_MS;
  for (int i = 1; i < failures && ms < LIMIT_RECONNECT_MAX_MS; i++) ms *= 2;
  if (ms > LIMIT_RECONNECT_MAX_MS) ms = LIMIT_RECONNECT_MAX_MS;
  return ms / 2 + arc4random_uniform((uint32_t)(ms / 2 + 1));
}

/* To CONN_WAITING, from any state. The queue stays for the caller to fail. */
static void conn_close(struct conn *conn) {
  drop_event(&conn->io_read);
  drop_event(&conn->io_write);
  event_del(conn->more);
  event_del(conn->timer);
  if (conn->state == CONN_UP) conn->pool->up--;
  conn->state = CONN_WAITING;
  conn->broken = conn->dirty = false;
  conn->prepared_count = 0;
  conn->timer_at = INT64_MAX;
  PQfinish(conn->pg);
  conn->pg = NULL;
}

static void fail_queue(struct query *query, const char *why, int64_t expired_before_ms) {
  while (query) {
    struct query *next = query->next;
    ERROR_AUTO err = {0};
    if (query->deadline_ms <= expired_before_ms)
      error_set(&err, ERR_UNAVAILABLE, "the database did not answer in time; whether the statement took effect is unknown");
    else
      error_set(&err, ERR_UNAVAILABLE, "the connection to the database was lost (%s); whether the statement took effect is unknown", why);
    query_end(query, NULL, &err);
    query = next;
  }
}

/* Tears down, arranges the next try, and fails what was unanswered: `expired_before_ms` tells the late ones from those that only shared
 * the connection (INT64_MIN: none was late). */
static void conn_lose(struct conn *conn, const char *why, int64_t expired_before_ms) {
  struct pgloop *pool = conn->pool;
  bool was_up = conn->state == CONN_UP;
  char reason[WHY];
  set_why(pool, why);
  snprintf(reason, sizeof reason, "%s", pool->why);
  metric_add(&lost_total, was_up ? "up" : "connecting", 1);
  if (was_up && clock_mono_ms() - conn->up_since > LIMIT_RECONNECT_MAX_MS) conn->failures = 0;
  conn->failures++;
  struct query *unanswered = conn->head;
  conn->head = NULL;
  conn->tail = &conn->head;
  conn->count = 0;
  conn->bytes = 0;
  conn_close(conn);
  if (!pool->closing) set_timer(conn, backoff_ms(conn->failures));
  report_state(pool);
  fail_queue(unanswered, reason, expired_before_ms);
}

/* What the server said last (it may have said goodbye in the head's answer), else libpq. */
static void conn_lose_itself(struct conn *conn) {
  const PGresult *res = conn->head ? conn->head->res : NULL;
  char why[WHY];
  snprintf(why, sizeof why, "%s", res && *pg_sqlstate(res) ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : PQerrorMessage(conn->pg));
  conn_lose(conn, *why ? why : "no reason given", INT64_MIN);
}

/* --- reading answers --- */

/* Both are reported before the statement runs, so sending it again is safe. */
static bool wants_new_parse(const PGresult *res) {
  const char *state = pg_sqlstate(res), *function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
  if (strcmp(state, "26000") == 0) return true;
  return strcmp(state, "0A000") == 0 && function && strcmp(function, "RevalidateCachedQuery") == 0;
}

static void answer(struct conn *conn, struct query *query) {
  if (succeeded(query->res)) {
    query_end(query, query->res, NULL);
    return;
  }
  ERROR_AUTO err = {0};
  bool again = !query->retried && wants_new_parse(query->res);
  pg_error(conn->pg, query->res, &err);
  if (again || query->prepares) forget(conn, query->stmt);
  if (again) {
    query->retried = true;
    PQclear(query->res);
    query->res = NULL;
    if (conn_send(conn, query)) return;
    error_set(&err, ERR_UNAVAILABLE, "the connection to the database was lost; try again");
  }
  query_end(query, NULL, &err);
}

/* A step's result: the first error stays the answer, else the last result (after those of Close and Parse) is it. */
static void take_result(struct conn *conn, PGresult *res) {
  struct query *query = conn->head;
  if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
    PQclear(res);
    answer(conn, queue_pop(conn));
  } else if (query->res && !succeeded(query->res)) {
    PQclear(res);
  } else {
    PQclear(query->res);
    query->res = res;
  }
}

/* Hands out what has arrived. A NULL ends each step's results; two in a row mean that there is no more. */
static void drain(struct conn *conn) {
  int nulls = 0, budget = RESULTS_PER_TURN;
  while (!PQisBusy(conn->pg) && conn->head && nulls < 2) {
    if (budget-- == 0) {
      event_add(conn->more, &(struct timeval){0});
      return;
    }
    PGresult *res = PQgetResult(conn->pg);
    nulls = res ? 0 : nulls + 1;
    if (res) take_result(conn, res);
  }
  if (PQstatus(conn->pg) == CONNECTION_BAD) conn_lose_itself(conn);
}

static void flush(struct conn *conn) {
  conn->dirty = false;
  int left = PQflush(conn->pg);
  if (left > 0) event_add(conn->io_write, NULL);
  if (left < 0) conn_lose_itself(conn);
}

/* --- connecting --- */

static void conn_up(struct conn *conn) {
  int fd = PQsocket(conn->pg);
  drop_event(&conn->io_read);
  conn->io_read = event_new(conn->pool->base, fd, EV_READ | EV_PERSIST, on_io, conn);
  conn->io_write = event_new(conn->pool->base, fd, EV_WRITE, on_io, conn);
  if (!conn->io_read || !conn->io_write || PQsetnonblocking(conn->pg, 1) || !PQenterPipelineMode(conn->pg) ||
      event_add(conn->io_read, NULL)) {
    conn_lose(conn, "out of memory", INT64_MIN);
    return;
  }
  event_del(conn->timer);
  conn->state = CONN_UP;
  conn->up_since = clock_mono_ms();
  conn->pool->up++;
  report_state(conn->pool);
}

/* Waits for what PQconnectPoll asked. The socket may be another one at each step, hence a new event each time. */
static void conn_watch(struct conn *conn, PostgresPollingStatusType want) {
  drop_event(&conn->io_read);
  conn->io_read = event_new(conn->pool->base, PQsocket(conn->pg), want == PGRES_POLLING_READING ? EV_READ : EV_WRITE, on_io, conn);
  if (!conn->io_read || event_add(conn->io_read, NULL)) conn_lose(conn, "out of memory", INT64_MIN);
}

static void conn_step(struct conn *conn) {
  drop_event(&conn->io_read); /* before the poll, which may close the socket */
  PostgresPollingStatusType want = PQconnectPoll(conn->pg);
  if (want == PGRES_POLLING_OK)
    conn_up(conn);
  else if (want == PGRES_POLLING_FAILED)
    conn_lose_itself(conn);
  else
    conn_watch(conn, want);
}

static void conn_start(struct conn *conn) {
  const struct pgloop *pool = conn->pool;
  /* A peer that vanished is noticed in seconds. What stands before dbname yields to the connection string, what stands after it wins. */
  const char *const keys[] = {"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
                              "dbname",          "application_name",    "client_encoding",  NULL};
  const char *const values[] = {"15", "5", "3", "10000", pool->conninfo, pool->name, "UTF8", NULL};
  conn->state = CONN_CONNECTING;
  conn->pg = PQconnectStartParams(keys, values, 1);
  if (!conn->pg || PQstatus(conn->pg) == CONNECTION_BAD) {
    conn_lose(conn, conn->pg ? PQerrorMessage(conn->pg) : "out of memory", INT64_MIN);
    return;
  }
  PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
  set_timer(conn, LIMIT_PG_CONNECT_MS);
  conn_watch(conn, PGRES_POLLING_WRITING);
}

/* --- events --- */

static void on_io(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  struct conn *conn = arg;
  if (conn->state == CONN_CONNECTING) {
    conn_step(conn);
    return;
  }
  if (what & EV_READ) {
    (void)PQconsumeInput(conn->pg); /* after a failure drain hands out what had arrived, then sees the broken connection */
    drain(conn);
  }
  if (conn->state == CONN_UP && !conn->broken) flush(conn);
}

static void on_more(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  drain(arg);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  struct pgloop *pool = arg;
  for (int i = 0; i < pool->conn_count; i++) {
    struct conn *conn = &pool->conns[i];
    if (conn->state != CONN_UP) continue;
    if (conn->broken)
      conn_lose_itself(conn);
    else if (conn->dirty)
      flush(conn);
  }
}

static int64_t earliest_deadline(const struct conn *conn) {
  int64_t earliest = INT64_MAX;
  for (const struct query *query = conn->head; query; query = query->next)
    if (query->deadline_ms < earliest) earliest = query->deadline_ms;
  return earliest;
}

static void check_deadlines(struct conn *conn) {
  int64_t now = clock_mono_ms(), earliest = earliest_deadline(conn);
  conn->timer_at = INT64_MAX;
  if (earliest > now) {
    if (earliest != INT64_MAX) arm_deadline(conn, earliest, now);
    return;
  }
  pgcancel_start(&conn->pool->cancels, conn->pool->base, conn->pg);
  conn_lose(conn, "another statement on it was not answered in time", now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  struct conn *conn = arg;
  if (conn->state == CONN_WAITING)
    conn_start(conn);
  else if (conn->state == CONN_CONNECTING)
    conn_lose(conn, "the server did not finish connecting in time", INT64_MIN);
  else
    check_deadlines(conn);
}

/* --- the pool --- */

static bool conn_init(struct pgloop *pool, struct conn *conn) {
  conn->pool = pool;
  conn->tail = &conn->head;
  conn->timer_at = INT64_MAX;
  conn->timer = evtimer_new(pool->base, on_timer, conn);
  conn->more = evtimer_new(pool->base, on_more, conn);
  if (!conn->timer || !conn->more) return false;
  set_timer(conn, 0);
  return true;
}

enum status pgloop_new(struct event_base *base, const char *conninfo, const char *who, int connections,
                       void (*on_state)(void *arg, bool up), void *arg, struct pgloop **ret_pool, struct error *err) {
  char *password = NULL;
  if (pg_conninfo_check(conninfo, &password, err)) return err->status;
  struct pgloop *pool = calloc(1, sizeof *pool + (size_t)connections * sizeof *pool->conns);
  if (!pool) {
    free(password);
    return error_oom(err);
  }
  pool->base = base;
  pool->password = password;
  pool->on_state = on_state;
  pool->arg = arg;
  pool->conn_count = connections;
  snprintf(pool->name, sizeof pool->name, "autodb %.50s", who);
  pool->conninfo = strdup(conninfo);
  pool->turn = event_new(base, -1, 0, on_turn, pool);
  bool ok = pool->conninfo && pool->turn;
  for (int i = 0; i < connections; i++) ok = conn_init(pool, &pool->conns[i]) && ok;
  if (!ok) {
    pgloop_free(pool);
    return error_oom(err);
  }
  metric_register(&query_seconds);
  metric_register(&lost_total);
  *ret_pool = pool;
  return OK;
}

void pgloop_free(struct pgloop *pool) {
  if (!pool) return;
  pool->closing = true;
  for (int i = 0; i < pool->conn_count; i++) {
    struct conn *conn = &pool->conns[i];
    if (conn->state != CONN_WAITING) conn_lose(conn, "it was closed here", INT64_MIN);
    drop_event(&conn->timer);
    drop_event(&conn->more);
    free(conn->prepared);
  }
  pgcancel_free_all(&pool->cancels);
  drop_event(&pool->turn);
  free(pool->conninfo);
  free(pool->password);
  free(pool);
}

bool pgloop_up(const struct pgloop *pool) { return pool->up > 0; }

int pgloop_inflight(const struct pgloop *pool) {
  int count = 0;
  for (int i = 0; i < pool->conn_count; i++) count += pool->conns[i].count;
  return count;
}

const char *pgloop_why(const struct pgloop *pool) { return pool->why; }

static struct conn *least_loaded(struct pgloop *pool) {
  struct conn *best = NULL;
  for (int i = 0; i < pool->conn_count; i++) {
    struct conn *conn = &pool->conns[i];
    if (conn->state == CONN_UP && !conn->broken && (!best || conn->count < best->count)) best = conn;
  }
  return best;
}

static struct query *query_new(const struct pg_stmt *stmt, const struct pg_params *params, int deadline_ms, pgloop_cb cb, void *arg) {
  size_t bytes = params ? params->store.len : 0;
  struct query *query = calloc(1, sizeof *query + bytes);
  if (!query) return NULL;
  query->stmt = stmt;
  query->cb = cb;
  query->arg = arg;
  query->bytes = bytes;
  query->sent_us = clock_mono_us();
  query->deadline_ms = query->sent_us / 1000 + (deadline_ms > 0 ? deadline_ms : LIMIT_PG_QUERY_MS);
  if (bytes) memcpy(query->store, params->store.data, bytes);
  for (int i = 0; params && i < params->count; i++) {
    query->values[i] = params->at[i].offset < 0 ? NULL : query->store + params->at[i].offset;
    query->lens[i] = params->at[i].len;
    query->formats[i] = params->at[i].format;
  }
  return query;
}

enum status pgloop_query(struct pgloop *pool, const struct pg_stmt *stmt, const struct pg_params *params, int deadline_ms, pgloop_cb cb,
                         void *arg, struct error *err) {
  if (params && !buf_ok(&params->store))
    return error_set(err, ERR_TOO_LARGE, "the parameters of %s are too large or malformed", stmt->name);
  if ((params ? params->count : 0) != stmt->nparams)
    return error_set(err, ERR_INTERNAL, "%s takes %d parameters", stmt->name, stmt->nparams);
  struct conn *conn = pool->closing ? NULL : least_loaded(pool);
  if (!conn) return error_set(err, ERR_UNAVAILABLE, "the database cannot be reached at the moment; try again");
  if (conn->count >= LIMIT_PG_INFLIGHT || conn->bytes >= LIMIT_PG_INFLIGHT_BYTES)
    return error_set(err, ERR_UNAVAILABLE, "the database is too busy at the moment; try again");
  struct query *query = query_new(stmt, params, deadline_ms, cb, arg);
  if (!query) return error_oom(err);
  if (conn_send(conn, query)) return OK;
  query_free(query);
  return error_set(err, ERR_UNAVAILABLE, "the connection to the database was lost; try again");
}
