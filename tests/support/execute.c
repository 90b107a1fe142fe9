#include "tests/support/execute.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/approval.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/schema/store.h"

#define ARENA_BYTES ((size_t)1024 * 1024 * 1024)

/* --- the rig --- */

void rig_start(struct rig *rig, int major) {
  struct harness *h = rig->h = harness_new();
  char key[64];
  ERROR_AUTO err = {0};
  harness_postgres(h, 17);
  if (major != 17) harness_postgres(h, major);
  harness_schema_up(h);
  harness_key(h, "test", "admin", key);
  rig->cfg = (struct config){.connection_allow = "127.0.0.0/8", .connection_deny = "", .database_url = h->database_url};
  if (keyring_new(h->master_key, &rig->keyring, &err)) fail_msg("%s", err.message);
}

int rig_end(struct rig *rig) {
  keyring_free(rig->keyring);
  void *h = rig->h;
  return harness_teardown(&h);
}

static void own_exec(struct rig *rig, const char *sql, int count, const char *const *params) {
  PGconn *conn = harness_connect(rig->h->database_url);
  PGresult *res = PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_COMMAND_OK) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
}

static void new_id(char out[40]) {
  struct id id;
  id_new(&id);
  id_format(&id, out);
}

/* --- a client's database --- */

static void job_for(const struct rig_target *target, const char *id, struct job *ret_job) {
  struct rig *rig = target->rig;
  *ret_job = (struct job){.id = id,
                          .kind = "migration.execute",
                          .owner_id = rig->h->owner_id,
                          .connection_id = target->connection,
                          .attempt = 1,
                          .arena = arena_new(ARENA_BYTES),
                          .cfg = &rig->cfg,
                          .keyring = rig->keyring,
                          .db = harness_connect(rig->h->database_url)};
}

static void job_done(struct job *job) {
  PQfinish(job->db);
  arena_free(job->arena);
}

void rig_introspect(struct rig_target *target) {
  struct job job;
  struct snapshot *snapshot = NULL;
  bool changed;
  ERROR_AUTO err = {0};
  job_for(target, "018f0000-0000-7000-8000-000000000000", &job);
  if (store_refresh(&job, NULL, &snapshot, &changed, &err)) fail_msg("introspection: %s", err.message);
  snprintf(target->snapshot, sizeof target->snapshot, "%s", snapshot->id);
  snprintf(target->fingerprint, sizeof target->fingerprint, "%s", snapshot->fingerprint);
  job_done(&job);
}

void rig_target(struct rig *rig, const char *name, const char *script, struct rig_target *ret_target) {
  struct harness *h = rig->h;
  ERROR_AUTO err = {0};
  BUF_AUTO sealed = {0};
  buf_init(&sealed, 4096);
  ret_target->rig = rig;
  harness_database(&h->pg[h->pg_count - 1], name, ret_target->url);
  harness_sql(ret_target->url, script);
  new_id(ret_target->connection);
  if (keyring_seal(rig->keyring, ret_target->connection, ret_target->url, strlen(ret_target->url), &sealed, &err))
    fail_msg("%s", err.message);
  ARENA_AUTO arena = arena_new(64 * 1024);
  const char *const params[] = {ret_target->connection, h->owner_id, pg_bytea_param(arena, sealed.data, sealed.len),
                                keyring_current(rig->keyring)};
  own_exec(rig,
           "INSERT INTO autodb.connections (id, owner_id, name, db_type, host, port, database_name, secret, secret_key_id) "
           "VALUES ($1::text::uuid, $2, 'c' || $1::text, 'postgresql', 'h', 1, 'd', $3, $4)",
           4, params);
  rig_introspect(ret_target);
}

/* --- an approved execution --- */

static void approve(const struct rig_job *job, struct approval *approval, const char *sql, struct arena *arena, const char **ret_token) {
  struct rig_target *target = job->target;
  struct rig *rig = target->rig;
  char *nonce = arena_alloc(arena, 2 * APPROVAL_NONCE_BYTES + 1), *digest = arena_alloc(arena, SHA256_HEX);
  uint8_t random[APPROVAL_NONCE_BYTES];
  ERROR_AUTO err = {0};
  crypto_random(random, sizeof random);
  crypto_hex(random, sizeof random, nonce);
  *approval = (struct approval){.sql_sha256 = crypto_sha256_hex(sql, strlen(sql), digest),
                                .connection_id = target->connection,
                                .owner = rig->h->owner_id,
                                .snapshot_id = target->snapshot,
                                .schema_fingerprint = target->fingerprint,
                                .nonce = nonce,
                                .exp = clock_wall_ms() / 1000 - 1}; /* expired since it was accepted: of no matter here */
  if (approval_sign(rig->keyring, approval, arena, ret_token, &err)) fail_msg("%s", err.message);
}

void rig_job(struct rig_target *target, const char *sql, const char *options, struct rig_job *ret_job) {
  ARENA_AUTO arena = arena_new(16 << 20);
  struct approval approval;
  const char *token = NULL;
  *ret_job = (struct rig_job){.target = target};
  new_id(ret_job->id);
  approve(ret_job, &approval, sql, arena, &token);
  const char *const row[] = {approval.nonce, approval.owner,      approval.connection_id,     approval.snapshot_id,
                             ret_job->id,    approval.sql_sha256, approval.schema_fingerprint};
  own_exec(target->rig,
           "INSERT INTO autodb.approvals (nonce, owner_id, connection_id, snapshot_id, analyze_job_id, sql_sha256, schema_fingerprint, "
           "expires_at, used_by_job_id, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $5, now())",
           7, row);
  const char *const job[] = {ret_job->id, approval.owner, approval.connection_id};
  own_exec(target->rig,
           "WITH j AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, payload) "
           "VALUES ($1, $2, $3, 'migration.execute', 'interactive', 5, '{}') RETURNING *) "
           "INSERT INTO autodb.queue (id, owner_id, kind, lane, state, max_attempts) SELECT id, owner_id, kind, lane, 'running', "
           "max_attempts FROM j",
           3, job);
  ret_job->payload =
      json_pack("{s:s, s:s, s:o*}", "sql", sql, "approval_token", token, "options", options ? json_loads(options, 0, NULL) : NULL);
  if (!ret_job->payload) fail_msg("options: %s", options);
}

void rig_job_end(struct rig_job *job) { json_decref(job->payload); }

/* --- running --- */

static json_t *attempt(struct rig_job *rig_job, const struct execute_hooks *hooks) {
  struct job job;
  ERROR_AUTO err = {0};
  json_t *result = NULL;
  job_for(rig_job->target, rig_job->id, &job);
  job.attempt = rig_job->attempt;
  job.payload = rig_job->payload;
  enum status status = execute_with(&job, hooks, &result, &err);
  json_t *answer =
      status ? json_pack("{s:i, s:o}", "status", (int)status, "error", error_json(&err)) : json_pack("{s:o}", "result", result);
  json_t *copy = json_deep_copy(answer); /* what it borrows from the arena goes with that */
  json_decref(answer);
  job_done(&job);
  return copy;
}

json_t *rig_attempt(struct rig_job *job, const struct execute_hooks *hooks) {
  job->attempt++;
  return attempt(job, hooks);
}

void rig_fork(struct rig_job *job, const struct execute_hooks *hooks, struct rig_child *ret_child) {
  int pair[2];
  job->attempt++;
  assert_int_equal(pipe(pair), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    char *text = json_dumps(attempt(job, hooks), 0);
    FILE *out = fdopen(pair[1], "w");
    fputs(text, out);
    fclose(out);
    _exit(0);
  }
  close(pair[1]);
  *ret_child = (struct rig_child){pid, pair[0]};
}

json_t *rig_wait(struct rig_child *child) {
  FILE *in = fdopen(child->fd, "r");
  json_t *answer = json_loadf(in, 0, NULL);
  int status = 0;
  fclose(in);
  waitpid(child->pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status)) fail_msg("the attempt's process ended with %d", WEXITSTATUS(status));
  return answer;
}

/* --- answers --- */

const json_t *rig_report(const json_t *answer) {
  const json_t *result = json_object_get(answer, "result");
  return result ? result : harness_at(answer, "error.details");
}

const char *rig_statuses(const json_t *answer) {
  static char text[4096];
  const json_t *statements = json_object_get(rig_report(answer), "statements");
  size_t used = 0;
  text[0] = '\0';
  for (size_t i = 0; i < json_array_size(statements) && used < sizeof text - 32; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "", json_str(json_array_get(statements, i), "status", "?"));
  return text;
}

const char *rig_code(const json_t *answer) { return harness_text(answer, "error.code"); }

void rig_fail(const json_t *answer, const char *fmt, ...) {
  char what[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(what, sizeof what, fmt, args);
  va_end(args);
  char *text = answer ? json_dumps(answer, JSON_INDENT(1)) : NULL;
  fprintf(stderr, "%s\n", text ? text : "no answer"); /* cmocka cuts long messages */
  free(text);
  fail_msg("%s", what);
}
