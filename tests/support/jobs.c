#include "tests/support/jobs.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

static char *ask(struct harness *h, const char *sql) {
  static char value[4096];
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  snprintf(value, sizeof value, "%s", PQntuples(res) ? PQgetvalue(res, 0, 0) : "");
  PQclear(res);
  PQfinish(conn);
  return value;
}

struct redisContext *jobs_redis_open(struct harness *h) {
  int port;
  assert_int_equal(sscanf(h->redis_url, "redis://:" HARNESS_PASSWORD "@127.0.0.1:%d", &port), 1);
  redisContext *redis = redisConnect("127.0.0.1", port);
  assert_non_null(redis);
  assert_int_equal(redis->err, 0);
  freeReplyObject(redisCommand(redis, "AUTH " HARNESS_PASSWORD));
  return redis;
}

long long jobs_redis(struct harness *h, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  redisContext *redis = jobs_redis_open(h);
  redisReply *reply = redisvCommand(redis, fmt, args);
  va_end(args);
  long long value = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
  freeReplyObject(reply);
  redisFree(redis);
  return value;
}

static void ring(struct harness *h, const char *lane, PGresult *res) {
  redisContext *redis = jobs_redis_open(h);
  int rows = PQntuples(res);
  for (int row = 0; row < rows; row++) redisAppendCommand(redis, "XADD {autodb}:q:%s * id %s", lane, PQgetvalue(res, row, 0));
  for (int row = 0; row < rows; row++) {
    void *reply = NULL;
    if (redisGetReply(redis, &reply) == REDIS_OK) freeReplyObject(reply);
  }
  redisFree(redis);
}

void jobs_add(struct harness *h, const char *lane, const char *payload, int count, bool rings, char ret_id[40]) {
  static const char sql[] =
      "WITH j AS (INSERT INTO autodb.jobs (id, owner_id, kind, lane, max_attempts, payload)"
      " SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)"
      " || '8' || substr(md5(random()::text || g), 1, 15))::uuid, $4::uuid, 'system.echo', $1::text::autodb.job_lane, 5, $2::json"
      " FROM generate_series(1, $3::int) g RETURNING *)"
      " INSERT INTO autodb.queue (id, owner_id, kind, lane, max_attempts) SELECT id, owner_id, kind, lane, max_attempts FROM j RETURNING "
      "id";
  char number[12];
  snprintf(number, sizeof number, "%d", count);
  const char *params[] = {lane, payload, number, JOBS_OWNER};
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexecParams(conn, sql, 4, NULL, params, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("inserting jobs: %s", PQerrorMessage(conn));
  if (rings) ring(h, lane, res);
  if (ret_id) snprintf(ret_id, 40, "%s", PQgetvalue(res, count - 1, 0));
  PQclear(res);
  PQfinish(conn);
}

const char *jobs_value(struct harness *h, const char *id, const char *expression) {
  char sql[1024];
  snprintf(sql, sizeof sql, "SELECT %s FROM autodb.job_states j LEFT JOIN autodb.results r ON r.job_id = j.id WHERE j.id = '%s'",
           expression, id);
  return ask(h, sql);
}

const char *jobs_state(struct harness *h, const char *id) { return jobs_value(h, id, "j.state"); }

long long jobs_count(struct harness *h, const char *condition) {
  char sql[1024];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.job_states WHERE %s", condition);
  return strtoll(ask(h, sql), NULL, 10);
}

void jobs_await(struct harness *h, const char *id, const char *state, int timeout_ms) {
  if (!POLL_UNTIL(strcmp(jobs_state(h, id), state) == 0, timeout_ms))
    fail_msg("job %s is not %s but %s", id, state, jobs_value(h, id, "row_to_json(j)"));
}

void jobs_await_all(struct harness *h, int timeout_ms) {
  if (!POLL_UNTIL(jobs_count(h, "state IN ('queued', 'running')") == 0, timeout_ms))
    fail_msg("%lld queued, %lld running", jobs_count(h, "state = 'queued'"), jobs_count(h, "state = 'running'"));
}

void jobs_check(struct harness *h) {
  assert_int_equal(jobs_count(h, "state IN ('queued', 'running')"), 0);
  assert_int_equal(strtol(ask(h, "SELECT count(*) FROM autodb.queue"), NULL, 10), 0);
  assert_int_equal(strtol(ask(h, "SELECT count(*) FROM autodb.jobs j FULL JOIN autodb.results r ON r.job_id = j.id"
                                 " WHERE r.job_id IS NULL OR j.id IS NULL"),
                          NULL, 10),
                   0);
}

void jobs_cancel(struct harness *h, const char *id) {
  char sql[200];
  snprintf(sql, sizeof sql, "UPDATE autodb.queue SET cancel_requested = true WHERE id = '%s'", id);
  harness_sql(h->database_url, sql);
  jobs_redis(h, "PUBLISH {autodb}:cancel %s", id);
}

void jobs_finish(struct harness *h, const char *id, const char *state, const char *result, const char *error) {
  static const char sql[] = "WITH gone AS (DELETE FROM autodb.queue WHERE id = $1::uuid RETURNING id, attempt)"
                            " INSERT INTO autodb.results (job_id, attempt, state, body, error, started_at)"
                            " SELECT id, attempt + 1, $2::autodb.job_state, $3::json, $4::json, now() FROM gone";
  const char *params[] = {id, state, result, error};
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexecParams(conn, sql, 4, NULL, params, NULL, NULL, 0);
  if (strcmp(PQcmdTuples(res), "1") != 0) fail_msg("finishing %s: %s", id, PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
}
