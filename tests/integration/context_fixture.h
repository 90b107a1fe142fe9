/* context_fixture.h - what tests of the context engine share: AutoDB's own database, connections without a client behind them, jobs, and
 * documents given as texts. */
#ifndef AUTODB_TESTS_CONTEXT_FIXTURE_H
#define AUTODB_TESTS_CONTEXT_FIXTURE_H

#include "common/json.h"
#include "common/pg.h"
#include "tests/support/harness.h"
#include "worker/context/ingest.h"
#include "worker/retrieval/retrieval.h"

struct context_fixture {
  struct harness *h;
  struct config cfg;
  PGconn *own;
  struct embedder *embedder;
};

static inline struct config context_config(const char *provider, const char *base_url) {
  return (struct config){.connection_allow = "127.0.0.0/8",
                         .connection_deny = "",
                         .embed_provider = provider,
                         .embed_base_url = base_url,
                         .embed_model = "",
                         .embed_api_key = ""};
}

static inline void context_begin(struct context_fixture *fixture, struct harness *h) {
  ERROR_AUTO err = {0};
  char key[64];
  fixture->h = h;
  harness_postgres(h, 17);
  harness_schema_up(h);
  harness_key(h, "test", "admin", key);
  fixture->cfg = context_config("builtin", "");
  fixture->own = harness_connect(h->database_url);
  if (embedder_new(&fixture->cfg, fixture->own, &fixture->embedder, &err)) fail_msg("%s", err.message);
}

static inline void context_end(struct context_fixture *fixture) {
  embedder_free(fixture->embedder);
  PQfinish(fixture->own);
}

struct context_job {
  struct job job;
  char id[40], connection_id[40];
};

static inline void context_value(struct context_fixture *fixture, const char *sql, char out[40]) {
  PGresult *res = PQexec(fixture->own, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1) fail_msg("%s: %s", sql, PQerrorMessage(fixture->own));
  snprintf(out, 40, "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
}

/* A connection of the fixture's owner and a job for it; ends with arena_free(job.arena). */
static inline void context_job(struct context_fixture *fixture, struct context_job *made) {
  char sql[512];
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.connections (id, owner_id, name, db_type, host, port, database_name) VALUES (gen_random_uuid(), '%s', "
           "'c', 'postgresql', 'h', 1, 'd') RETURNING id",
           fixture->h->owner_id);
  context_value(fixture, sql, made->connection_id);
  context_value(fixture, "SELECT gen_random_uuid()", made->id);
  made->job = (struct job){.id = made->id,
                           .kind = "document.ingest",
                           .owner_id = fixture->h->owner_id,
                           .connection_id = made->connection_id,
                           .attempt = 1,
                           .arena = arena_new((size_t)1 << 30),
                           .cfg = &fixture->cfg,
                           .db = fixture->own};
  assert_non_null(made->job.arena);
}

static inline struct ingest_outcome context_ingest(struct context_fixture *fixture, struct context_job *job, const char *name,
                                                   const void *bytes, size_t len) {
  ERROR_AUTO err = {0};
  struct ingest_outcome outcome = {0};
  struct ingest_source source = {.name = name, .source = "upload", .bytes = bytes, .len = len};
  if (ingest_documents(&job->job, fixture->embedder, &source, 1, &outcome, &err)) fail_msg("%s: %s %s", name, err.code, err.message);
  return outcome;
}

static inline struct ingest_outcome context_ingest_text(struct context_fixture *fixture, struct context_job *job, const char *name,
                                                        const char *text) {
  return context_ingest(fixture, job, name, text, strlen(text));
}

static inline struct retrieval context_search(struct context_job *job, const struct snapshot *snapshot, struct retrieval_query query) {
  ERROR_AUTO err = {0};
  struct retrieval found = {0};
  if (retrieval_search(&job->job, snapshot, &query, &found, &err)) fail_msg("%s: %s %s", query.text, err.code, err.message);
  return found;
}

/* The program's own, and the group's setup and teardown. */
static struct context_fixture fixture;

static inline int context_setup(void **state) {
  struct harness *h = harness_new();
  context_begin(&fixture, h);
  *state = h;
  return 0;
}

static inline int context_teardown(void **state) {
  context_end(&fixture);
  return harness_teardown(state);
}

#endif
