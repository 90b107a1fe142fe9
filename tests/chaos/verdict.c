/* verdict.c - what must hold after all of it, as queries that count what is wrong.
 *
 * The tables show how things ended, not what happened in between; for that, triggers write every claim, result and retry down in the
 * transaction that makes it. */
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/limits.h"
#include "tests/chaos/chaos.h"
#include "tests/support/jobs.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static const char history[] =
    "CREATE SCHEMA chaos;"
    "CREATE TABLE chaos.history (seq bigserial PRIMARY KEY, job_id uuid, what text, attempt int, state text);"
    "CREATE TABLE chaos.promises (job_id uuid, key text, cancel_asked bool, retry_asked bool, fails text);"
    "CREATE FUNCTION chaos.on_queue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'UPDATE' THEN"
    "  IF NEW.attempt <> OLD.attempt THEN INSERT INTO chaos.history (job_id, what, attempt) VALUES (NEW.id, 'claim', NEW.attempt);"
    "  ELSIF OLD.state = 'running' AND NEW.state = 'queued' THEN"
    "   INSERT INTO chaos.history (job_id, what, attempt) VALUES (NEW.id, 'back', NEW.attempt); END IF;"
    " ELSIF TG_OP = 'DELETE' THEN INSERT INTO chaos.history (job_id, what, attempt) VALUES (OLD.id, 'gone', OLD.attempt);"
    " ELSE INSERT INTO chaos.history (job_id, what, attempt) VALUES (NEW.id, 'queue', NEW.attempt); END IF;"
    " RETURN NULL; END $$;"
    "CREATE FUNCTION chaos.on_result() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO chaos.history (job_id, what, attempt, state) SELECT r.job_id, CASE TG_OP WHEN 'INSERT' THEN 'result' WHEN 'UPDATE' THEN"
    " 'overwrite' ELSE 'retry' END, r.attempt, r.state FROM (SELECT (CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END).*) r;"
    " RETURN NULL; END $$;"
    "CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON autodb.queue FOR EACH ROW EXECUTE FUNCTION chaos.on_queue();"
    "CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON autodb.results FOR EACH ROW EXECUTE FUNCTION chaos.on_result();";

void verdict_prepare(struct chaos *chaos) { harness_sql(chaos->h->database_url, history); }

static const struct rule {
  const char *broken; /* what it means when the query counts something */
  const char *sql;
} rules[] = {
    {"jobs answered 202 that are not in the record",
     "SELECT count(*) FROM chaos.promises p LEFT JOIN autodb.jobs j ON j.id = p.job_id WHERE j.id IS NULL"},
    {"jobs that never ended", "SELECT count(*) FROM autodb.jobs j LEFT JOIN autodb.results r ON r.job_id = j.id WHERE r.job_id IS NULL"},
    {"results of no job", "SELECT count(*) FROM autodb.results r LEFT JOIN autodb.jobs j ON r.job_id = j.id WHERE j.id IS NULL"},
    {"jobs with several results", "SELECT count(*) FROM (SELECT FROM autodb.results GROUP BY job_id HAVING count(*) > 1) x"},
    {"rows left in the queue", "SELECT count(*) FROM autodb.queue"},
    {"results of an attempt below the last one claimed", "SELECT count(*) FROM autodb.results r WHERE attempt < (SELECT max(attempt) FROM "
                                                         "chaos.history WHERE job_id = r.job_id AND what = 'claim')"},
    {"results that were not of the newest attempt when they were published",
     "SELECT count(*) FROM chaos.history r WHERE what = 'result' AND attempt IS DISTINCT FROM coalesce((SELECT attempt FROM chaos.history c"
     " WHERE c.job_id = r.job_id AND c.seq < r.seq AND c.what = 'claim' ORDER BY seq DESC LIMIT 1), 0)"},
    {"results that were written over", "SELECT count(*) FROM chaos.history WHERE what = 'overwrite'"},
    {"jobs published twice without a retry by their owner in between",
     "SELECT count(*) FROM (SELECT what, lag(what) OVER (PARTITION BY job_id ORDER BY seq) AS before FROM chaos.history WHERE what IN"
     " ('result', 'retry')) x WHERE what = before"},
    {"claims that did not raise the attempt",
     "SELECT count(*) FROM (SELECT attempt, lag(attempt) OVER (PARTITION BY job_id ORDER BY seq) AS before FROM chaos.history WHERE what ="
     " 'claim') x WHERE attempt <= before"},
    {"claims of a job that was running",
     "SELECT count(*) FROM (SELECT what, lag(what) OVER (PARTITION BY job_id ORDER BY seq) AS before FROM chaos.history WHERE what IN"
     " ('claim', 'back', 'gone', 'queue')) x WHERE what = 'claim' AND before = 'claim'"},
    {"jobs that left the queue without a result, or the other way round",
     "SELECT count(*) FROM (SELECT FROM chaos.history GROUP BY job_id HAVING count(*) FILTER (WHERE what = 'gone') <> count(*) FILTER "
     "(WHERE"
     " what = 'result')) x"},
    {"idempotency keys with several jobs",
     "SELECT count(*) FROM (SELECT FROM autodb.jobs WHERE metadata->>'key' <> '' GROUP BY metadata->>'key' HAVING count(*) > 1) x"},
    {"keyed answers that named another job than the one with the key",
     "SELECT count(*) FROM chaos.promises p JOIN autodb.jobs j ON j.id = p.job_id WHERE p.key <> '' AND p.key IS DISTINCT FROM"
     " j.metadata->>'key'"},
    {"successes whose body is not what was sent",
     "SELECT count(*) FROM autodb.jobs j JOIN autodb.results r ON r.job_id = j.id WHERE r.state = 'succeeded' AND"
     " (r.body->'payload')::jsonb IS DISTINCT FROM (j.payload->'payload')::jsonb"},
    {"jobs that should have failed and did not",
     "SELECT count(*) FROM chaos.promises p JOIN autodb.results r USING (job_id) WHERE p.fails <> '' AND r.state = 'succeeded'"},
    {"jobs that failed for no reason",
     "SELECT count(*) FROM chaos.promises p JOIN autodb.results r USING (job_id) WHERE p.fails = '' AND r.state = 'failed'"},
    {"jobs cancelled that nobody asked to cancel",
     "SELECT count(*) FROM chaos.promises p JOIN autodb.results r USING (job_id) WHERE r.state = 'cancelled' AND NOT p.cancel_asked"},
    {"dead jobs with budget left", "SELECT count(*) FROM autodb.results r JOIN autodb.jobs j ON j.id = r.job_id WHERE r.state = 'dead' AND "
                                   "r.failures < j.max_attempts AND"
                                   " r.crashes < " TEXT(LIMIT_CRASHES)},
    {"ends with a callback_url and no delivery of their own",
     "SELECT count(*) FROM (SELECT job_id, state, count(*) AS times FROM chaos.history WHERE what = 'result' GROUP BY 1, 2) e"
     " JOIN autodb.jobs j ON j.id = e.job_id WHERE j.callback_url IS NOT NULL AND e.times > (SELECT count(*) FROM autodb.deliveries d"
     " WHERE d.job_id = j.id AND d.event = 'job.' || e.state AND d.webhook_id IS NULL)"},
    {"deliveries of something that did not happen", "SELECT count(*) FROM autodb.deliveries d WHERE NOT EXISTS (SELECT FROM chaos.history "
                                                    "e WHERE e.what = 'result' AND e.job_id = d.job_id"
                                                    " AND d.event = 'job.' || e.state)"},
    {"job events with several deliveries to one receiver",
     "SELECT count(*) FROM (SELECT job_id, event, count(*) AS times FROM autodb.deliveries GROUP BY job_id, event, webhook_id) d"
     " WHERE times > (SELECT count(*) FROM chaos.history e WHERE e.what = 'result' AND e.job_id = d.job_id AND d.event = 'job.' || "
     "e.state)"},
};

/* --- promises into the database --- */

static void store_promises(struct chaos *chaos) {
  PGconn *conn = harness_connect(chaos->h->database_url);
  PGresult *res = PQexec(conn, "COPY chaos.promises FROM STDIN (FORMAT csv)");
  if (PQresultStatus(res) != PGRES_COPY_IN) fail_msg("%s", PQerrorMessage(conn));
  PQclear(res);
  for (int i = 0; i < load_promises(chaos->load); i++) {
    const struct promise *promise = load_promise(chaos->load, i);
    char line[256], fails[2] = {promise->fails, '\0'};
    int len = snprintf(line, sizeof line, "%s,\"%s\",%d,%d,\"%s\"\n", promise->id, promise->key, promise->cancel_asked,
                       promise->retry_asked, fails);
    if (PQputCopyData(conn, line, len) != 1) fail_msg("%s", PQerrorMessage(conn));
  }
  if (PQputCopyEnd(conn, NULL) != 1) fail_msg("%s", PQerrorMessage(conn));
  res = PQgetResult(conn);
  if (PQresultStatus(res) != PGRES_COMMAND_OK) fail_msg("%s", PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
}

/* --- quiet --- */

static long long count(struct chaos *chaos, const char *sql) { return harness_count(chaos->h->database_url, sql); }

/* Stream entries, read or not, and entries read and not acknowledged. */
static long long left_in_redis(struct chaos *chaos) {
  long long sum = 0;
  struct redisContext *redis = jobs_redis_open(chaos->h);
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    char key[JOB_KEY_MAX];
    job_stream_key("autodb", stream, key);
    redisReply *length = redisCommand(redis, "XLEN %s", key), *pending = redisCommand(redis, "XPENDING %s " JOB_GROUP, key);
    if (length && length->type == REDIS_REPLY_INTEGER) sum += length->integer;
    if (pending && pending->type == REDIS_REPLY_ARRAY && pending->elements) sum += pending->element[0]->integer;
    freeReplyObject(length);
    freeReplyObject(pending);
  }
  redisFree(redis);
  return sum;
}

static long long undelivered(struct chaos *chaos) {
  if (!CHAOS_DELIVERS) return 0;
  return count(chaos, "SELECT count(*) FROM autodb.deliveries WHERE state <> 'delivered'");
}

bool verdict_quiet(struct chaos *chaos, int timeout_ms) {
  static const char live[] = "SELECT count(*) FROM autodb.queue";
  if (POLL_UNTIL(count(chaos, live) == 0 && undelivered(chaos) == 0 && left_in_redis(chaos) == 0, timeout_ms)) return true;
  printf("BROKEN: no quiet after %d s: %lld jobs live, %lld entries in Redis, %lld deliveries not made\n", timeout_ms / 1000,
         count(chaos, live), left_in_redis(chaos), undelivered(chaos));
  PGconn *conn = harness_connect(chaos->h->database_url);
  PGresult *res = PQexec(conn, "SELECT row_to_json(q) FROM (SELECT *, now() FROM autodb.queue LIMIT 3) q UNION ALL"
                               " SELECT row_to_json(d) FROM (SELECT * FROM autodb.deliveries WHERE state <> 'delivered' LIMIT 3) d");
  for (int row = 0; row < PQntuples(res); row++) printf("  %s\n", PQgetvalue(res, row, 0));
  PQclear(res);
  res = PQexec(
      conn, "SELECT row_to_json(a) FROM (SELECT pid, application_name, state, wait_event, now() - state_change AS since, left(query, 60) AS"
            " query, (SELECT string_agg(locktype || ' ' || mode || ' ' || granted, ', ') FROM pg_locks l WHERE l.pid = a.pid) AS locks"
            " FROM pg_stat_activity a WHERE datname = current_database()) a");
  for (int row = 0; row < PQntuples(res); row++) printf("  %s\n", PQgetvalue(res, row, 0));
  PQclear(res);
  PQfinish(conn);
  return false;
}

/* --- rules --- */

static int breach(const char *what, long long found) {
  if (found) printf("BROKEN: %s: %lld\n", what, found);
  return found != 0;
}

static int check_deliveries(struct chaos *chaos) {
  long long missing = 0;
  PGconn *conn = harness_connect(chaos->h->database_url);
  PGresult *res = PQexec(conn, "SELECT id FROM autodb.deliveries WHERE state = 'delivered'");
  int rows = PQntuples(res);
  for (int row = 0; row < rows; row++) missing += receiver_taken(chaos->receiver, PQgetvalue(res, row, 0)) == 0;
  PQclear(res);
  PQfinish(conn);
  return breach("deliveries marked as delivered that never arrived", missing) +
         breach("webhook ids that arrived and are no delivery",
                receiver_ids(chaos->receiver) > rows ? receiver_ids(chaos->receiver) - rows : 0) +
         breach("webhooks without an id", receiver_nameless(chaos->receiver));
}

static int check_counts(struct chaos *chaos, const struct load_counts *counts) {
  long long jobs = count(chaos, "SELECT count(*) FROM autodb.jobs"),
            retries = count(chaos, "SELECT count(*) FROM chaos.history WHERE what = 'retry'");
  int broken =
      breach("jobs beyond what was asked for", jobs > counts->accepted + counts->unknown ? jobs - counts->accepted - counts->unknown : 0);
  broken += breach("retries answered 202 that did not happen", retries < counts->retries ? counts->retries - retries : 0);
  broken += breach("retries nobody asked for",
                   retries > counts->retries + counts->retries_unknown ? retries - counts->retries - counts->retries_unknown : 0);
  broken += breach("idempotency keys that never got an answer", counts->unsettled);
  broken += breach("idempotency keys answered with two jobs", counts->strays);
  broken += breach("jobs answered 202 that the API did not find", counts->missing);
  if (breach("requests refused for no reason", counts->refused)) {
    printf("  the last: %s\n", counts->complaint);
    broken++;
  }
  return broken;
}

int verdict_check(struct chaos *chaos) {
  struct load_counts counts;
  int broken = 0;
  load_sum(chaos->load, &counts);
  store_promises(chaos);
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) broken += breach(rules[i].broken, count(chaos, rules[i].sql));
  broken += check_counts(chaos, &counts) + check_deliveries(chaos);
  printf(
      "chaos: %d accepted, %d of unknown fate, %lld jobs, %lld claims, %lld given back or taken away, %d cancelled, %lld retried by their"
      " owner, %d webhooks\n",
      counts.accepted, counts.unknown, count(chaos, "SELECT count(*) FROM autodb.jobs"),
      count(chaos, "SELECT count(*) FROM chaos.history WHERE what = 'claim'"),
      count(chaos, "SELECT count(*) FROM chaos.history WHERE what = 'back'"), counts.cancels,
      count(chaos, "SELECT count(*) FROM chaos.history WHERE what = 'retry'"), receiver_ids(chaos->receiver));
  return broken;
}

/* --- counters --- */

/* The sum of all samples of that metric whose labels hold `label`, from every process of ours that runs. */
static long long metric(struct chaos *chaos, const char *name, const char *label) {
  double sum = 0;
  for (int i = -1; i < CHAOS_USUAL; i++) {
    char url[64];
    if (i < 0)
      snprintf(url, sizeof url, "%s", chaos->h->metrics_url);
    else
      snprintf(url, sizeof url, "http://127.0.0.1:%d/metrics", chaos->worker_metrics_ports[i]);
    REPLY_AUTO reply = {0};
    if (!POLL_UNTIL((harness_reply_free(&reply), harness_http(chaos->h, "GET", url, NULL, NULL, &reply), reply.status == 200), 10000))
      fail_msg("%s: %ld", url, reply.status);
    for (const char *line = reply.body; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
      size_t len = strlen(name), end = strcspn(line, "\n");
      if (strncmp(line, name, len) != 0 || (line[len] != '{' && line[len] != ' ')) continue;
      if (*label && !memmem(line, end, label, strlen(label))) continue;
      const char *value = memrchr(line, ' ', end);
      if (value) sum += strtod(value, NULL);
    }
  }
  return (long long)sum;
}

static const struct counter {
  const char *name, *label;
  const char *sql; /* what it must have gained */
} counters[] = {
    {"autodb_jobs_accepted_total", "", "SELECT count(*) FROM autodb.jobs"},
    {"autodb_jobs_claimed_total", "", "SELECT count(*) FROM chaos.history WHERE what = 'claim'"},
    {"autodb_attempts_total", "outcome=\"succeeded\"", "SELECT count(*) FROM autodb.results WHERE state = 'succeeded'"},
    {"autodb_attempts_total", "outcome=\"failed\"", "SELECT count(*) FROM autodb.results WHERE state = 'failed'"},
    {"autodb_finishes_fenced_total", "", "SELECT 0"},
};
enum { COUNTERS = sizeof counters / sizeof counters[0], CALM_JOBS = 60 };

int verdict_counters(struct chaos *chaos) {
  long long metrics[COUNTERS], rows[COUNTERS];
  int broken = 0;
  for (int i = 0; i < COUNTERS; i++) {
    metrics[i] = metric(chaos, counters[i].name, counters[i].label);
    rows[i] = count(chaos, counters[i].sql);
  }
  for (int i = 0; i < CALM_JOBS; i++) {
    REPLY_AUTO reply;
    harness_http(chaos->h, "POST", "/api/v1/jobs/echo", NULL, i % 6 ? "{\"payload\":1}" : "{\"payload\":1,\"fail\":\"error\"}", &reply);
    if (reply.status != 202) fail_msg("nothing is broken any more, and yet: %ld %s", reply.status, reply.body);
  }
  if (!verdict_quiet(chaos, 20000)) return 1;
  for (int i = 0; i < COUNTERS; i++) {
    long long gained, wanted = count(chaos, counters[i].sql) - rows[i];
    POLL_UNTIL(metric(chaos, counters[i].name, counters[i].label) - metrics[i] == wanted, 2000);
    gained = metric(chaos, counters[i].name, counters[i].label) - metrics[i];
    if (gained == wanted) continue;
    printf("BROKEN: %s{%s} gained %lld, the tables %lld\n", counters[i].name, counters[i].label, gained, wanted);
    broken++;
  }
  return broken;
}
