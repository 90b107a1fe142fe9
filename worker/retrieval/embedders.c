#include "worker/retrieval/embedders.h"

#include "common/log.h"

static struct embedder *configured, *other;
static int other_model;               /* asked for last, whether there is one or not */
static const struct config *settings; /* that they were made by */

static void use(struct job *job) {
  if (settings != job->cfg) {
    embedder_free(configured);
    embedder_free(other);
    configured = other = NULL;
    other_model = 0;
    settings = job->cfg;
  }
  if (configured) embedder_use(configured, job->db);
  if (other) embedder_use(other, job->db);
}

struct embedder *embedders_configured(struct job *job, const char **ret_why) {
  ERROR_AUTO err = {0};
  use(job);
  if (!configured && embedder_new(job->cfg, job->db, &configured, &err)) {
    log_event(LOG_WARN, "searched by words alone", "reason", err.message, NULL);
    *ret_why = arena_strdup(job->arena, err.message);
  }
  return configured;
}

struct embedder *embedders_of(struct job *job, int model) {
  ERROR_AUTO err = {0};
  use(job);
  if (configured && embedder_model(configured)->id == model) return configured;
  if (other_model == model) return other;
  embedder_free(other);
  other = NULL;
  other_model = model;
  if (embedder_new_of(job->cfg, job->db, model, &other, &err))
    log_event(LOG_WARN, "documents of another model are searched by words", "reason", err.message, NULL);
  return other;
}

static void account(struct job *job, struct embedder *embedder) {
  ERROR_AUTO err = {0};
  if (embedder && embedder_account(embedder, job->owner_id, &err))
    log_event(LOG_WARN, "embeddings not accounted", "reason", err.message, NULL);
}

void embedders_account(struct job *job) {
  account(job, configured);
  account(job, other);
}
