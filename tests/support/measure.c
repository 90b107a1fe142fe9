/* Two sessions: one runs the statement, the other looks at pg_locks before anything else happens in the first. */
#include "tests/support/measure.h"

#include "tests/support/harness.h"

#define RELATIONS                                                                                                      \
  "SELECT c.oid, n.nspname || '.' || c.relname, c.relfilenode, pg_stat_get_xact_numscans(c.oid) FROM pg_class c "      \
  "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','v','m','S','f') AND c.oid >= 16384 AND " \
  "n.nspname NOT LIKE 'pg\\_%' ORDER BY 1"
#define LOCKS "SELECT relation, replace(mode, 'Lock', '') FROM pg_locks WHERE locktype = 'relation' AND relation >= 16384 AND pid = "

static const char *const strengths[] = {"AccessShare", "RowShare",          "RowExclusive", "ShareUpdateExclusive",
                                        "Share",       "ShareRowExclusive", "Exclusive",    "AccessExclusive"};

static int strength(const char *mode) {
  for (int i = 0; i < 8; i++)
    if (strcmp(strengths[i], mode) == 0) return i;
  return -1;
}

static PGresult *ask(PGconn *conn, const char *sql) {
  PGresult *res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  return res;
}

static void tell(PGconn *conn, const char *sql) { PQclear(ask(conn, sql)); }

/* Adds the modes held now to {oid: {mode: true}}. */
static void sample(PGconn *watcher, int pid, json_t *locks) {
  char sql[256];
  snprintf(sql, sizeof sql, LOCKS "%d", pid);
  PGresult *res = ask(watcher, sql);
  for (int row = 0; row < PQntuples(res); row++) {
    json_t *modes = json_object_get(locks, PQgetvalue(res, row, 0));
    if (!modes) json_object_set_new(locks, PQgetvalue(res, row, 0), modes = json_object());
    json_object_set_new(modes, PQgetvalue(res, row, 1), json_true());
  }
  PQclear(res);
}

static int row_of(const PGresult *relations, const char *oid) {
  for (int row = 0; row < PQntuples(relations); row++)
    if (strcmp(PQgetvalue(relations, row, 0), oid) == 0) return row;
  return -1;
}

/* Strongest mode gained per relation that was there at first. */
static json_t *gained(const PGresult *first, const PGresult *before, const json_t *held, json_t *now) {
  json_t *gains = json_object(), *modes, *unused;
  const char *oid, *mode;
  json_object_foreach(now, oid, modes) {
    int best = -1, row = row_of(before, oid);
    json_object_foreach(modes, mode, unused) if (!json_object_get(json_object_get(held, oid), mode) && strength(mode) > best) best =
        strength(mode);
    if (best >= 0 && row >= 0 && row_of(first, oid) >= 0)
      json_object_set_new(gains, PQgetvalue(before, row, 1), json_string(strengths[best]));
  }
  return gains;
}

static void changes(const PGresult *first, const PGresult *before, const PGresult *after, json_t *facts) {
  json_t *rewrites = json_array(), *scans = json_array();
  for (int row = 0; row < PQntuples(before); row++) {
    const char *oid = PQgetvalue(before, row, 0);
    int now = row_of(after, oid);
    if (now < 0 || row_of(first, oid) < 0) continue;
    json_t *name = json_string(PQgetvalue(before, row, 1));
    if (strcmp(PQgetvalue(before, row, 2), PQgetvalue(after, now, 2)) != 0) json_array_append(rewrites, name);
    if (strtoll(PQgetvalue(after, now, 3), NULL, 10) > strtoll(PQgetvalue(before, row, 3), NULL, 10)) json_array_append(scans, name);
    json_decref(name);
  }
  json_object_set_new(facts, "rewrites", rewrites);
  json_object_set_new(facts, "scans", scans);
}

static json_t *failure(const PGresult *res) {
  return json_pack("{s:s}", "error", PQresultErrorField(res, PG_DIAG_SQLSTATE) ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : "?");
}

/* The two sessions stay for the next statement on the same database: logging in takes longer than most statements. */
static struct {
  char url[HARNESS_URL];
  PGconn *worker, *watcher;
} sessions;

void measure_end(void) {
  if (!*sessions.url) return;
  PQfinish(sessions.worker);
  PQfinish(sessions.watcher);
  *sessions.url = '\0';
}

static void sessions_for(const char *url) {
  if (strcmp(sessions.url, url) == 0) {
    tell(sessions.worker, "DISCARD ALL");
    return;
  }
  measure_end();
  snprintf(sessions.url, sizeof sessions.url, "%s", url);
  sessions.worker = harness_connect(url);
  sessions.watcher = harness_connect(url);
}

json_t *measure_inside(const char *url, const json_t *inside, const char *sql) {
  sessions_for(url);
  PGconn *worker = sessions.worker, *watcher = sessions.watcher;
  json_t *held = json_object(), *now = json_object(), *facts, *earlier;
  size_t index;
  tell(worker, "SET client_min_messages = error");
  tell(worker, "BEGIN");
  PGresult *first = ask(worker, RELATIONS);
  json_array_foreach(inside, index, earlier) {
    PGresult *res = PQexec(worker, json_string_value(earlier));
    if (PQresultStatus(res) == PGRES_FATAL_ERROR) fprintf(stderr, "%s: %s", json_string_value(earlier), PQerrorMessage(worker));
    PQclear(res);
  }
  if (PQtransactionStatus(worker) != PQTRANS_INTRANS) { /* history this server knows nothing of */
    PQclear(first);
    tell(worker, "ROLLBACK");
    json_decref(held);
    json_decref(now);
    return NULL;
  }
  PGresult *before = ask(worker, RELATIONS);
  sample(watcher, PQbackendPID(worker), held);
  PGresult *res = PQexec(worker, sql);
  if (PQresultStatus(res) == PGRES_FATAL_ERROR || PQresultStatus(res) == PGRES_BAD_RESPONSE) {
    facts = failure(res);
  } else {
    if (PQresultStatus(res) == PGRES_COPY_IN) PQputCopyEnd(worker, NULL);
    while (PQresultStatus(res) == PGRES_COPY_OUT) {
      char *line = NULL;
      if (PQgetCopyData(worker, &line, 0) < 0) break;
      PQfreemem(line);
    }
    for (PGresult *more; (more = PQgetResult(worker));) PQclear(more);
    facts = json_object();
    sample(watcher, PQbackendPID(worker), now);
    PGresult *after = ask(worker, RELATIONS);
    json_object_set_new(facts, "locks", gained(first, before, held, now));
    changes(first, before, after, facts);
    PQclear(after);
  }
  PQclear(res);
  PQclear(first);
  PQclear(before);
  tell(worker, "ROLLBACK");
  json_decref(held);
  json_decref(now);
  return facts;
}

/* Holders are in the way one after the other: of the statement's own lock, then of those that it waits out. */
static void hold(PGconn *holder, const char *mode) {
  char sql[1024];
  snprintf(sql, sizeof sql,
           "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; DO $$ DECLARE r record; BEGIN FOR r IN SELECT oid::regclass AS c FROM "
           "pg_class WHERE "
           "oid >= 16384 AND relkind IN ('r','p') AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%%' LOOP EXECUTE 'LOCK TABLE ONLY ' "
           "|| r.c || ' IN %s MODE'; END LOOP; END $$",
           mode);
  tell(holder, sql);
}

static void watch(PGconn *watcher, PGconn *worker, json_t *now, int ms) {
  for (int64_t end = harness_now_ms() + ms; harness_now_ms() < end;) {
    sample(watcher, PQbackendPID(worker), now);
    PQconsumeInput(worker);
    if (!PQisBusy(worker)) break;
  }
}

json_t *measure_outside(const char *url, const char *sql) {
  json_t *tried = measure_inside(url, NULL, sql), *held = json_object(), *now = json_object();
  PGconn *worker = harness_connect(url), *watcher = harness_connect(url), *writer = harness_connect(url), *reader = harness_connect(url);
  PGresult *before = ask(worker, RELATIONS);
  hold(reader, "ACCESS SHARE");
  hold(writer, "SHARE UPDATE EXCLUSIVE");
  PQsendQuery(worker, sql);
  watch(watcher, worker, now, 120);
  tell(writer, "ROLLBACK");
  watch(watcher, worker, now, 200);
  tell(reader, "ROLLBACK");
  watch(watcher, worker, now, 20000);
  json_t *facts = NULL;
  for (PGresult *res; (res = PQgetResult(worker)); PQclear(res))
    if (PQresultStatus(res) == PGRES_FATAL_ERROR && !facts) facts = failure(res);
  if (!facts) {
    facts = json_object();
    PGresult *after = ask(worker, RELATIONS);
    json_object_set_new(facts, "locks", gained(before, before, held, now));
    changes(before, before, after, facts);
    json_object_del(facts, "scans"); /* counters come in later */
    PQclear(after);
  }
  if (tried && json_object_get(tried, "error")) json_object_set(facts, "in_transaction", json_object_get(tried, "error"));
  PQclear(before);
  PGconn *const all[] = {worker, watcher, writer, reader};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) PQfinish(all[i]);
  json_decref(tried);
  json_decref(held);
  json_decref(now);
  return facts;
}
