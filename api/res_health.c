/* res_health.c - is the process there, and is the system able to work? */
#include "api/router.h"
#include "common/clock.h"

#define WORKER_FRESH_MS 15000

static enum status healthz(struct request *req, struct error *err) {
  (void)err;
  static const char body[] = "{\"status\": \"ok\", \"version\": \"" AUTODB_VERSION "\"}";
  reply_json(req, 200, body, sizeof body - 1);
  return OK;
}

/* What /readyz has found out so far; redis and Postgres are asked one after the other. */
struct readiness {
  bool postgres, redis;
  long long workers;
};

static void answer(struct request *req, const struct readiness *state) {
  bool draining = atomic_load(&req->loop->api->draining);
  json_t *parts = json_pack("{s:b, s:b, s:I, s:b}", "postgres", state->postgres, "redis", state->redis, "workers",
                            (json_int_t)state->workers, "draining", draining);
  if (state->postgres && state->redis && state->workers > 0 && !draining) {
    reply_value(req, 200, parts);
    return;
  }
  ERROR_AUTO err = {0};
  error_set(&err, ERR_UNAVAILABLE, "Not ready:%s%s%s%s", state->postgres ? "" : " Postgres does not answer;",
            state->redis ? "" : " Redis does not answer;",
            state->redis && state->workers <= 0 ? " no worker has reported within 15 s;" : "", draining ? " shutting down;" : "");
  err.message[strlen(err.message) - 1] = '.';
  err.details = parts;
  reply_error(req, &err);
}

static void on_workers(void *arg, const redisReply *reply) {
  struct request *req = arg;
  struct readiness *state = req->state;
  state->redis = reply && reply->type == REDIS_REPLY_INTEGER;
  if (state->redis) state->workers = reply->integer;
  answer(req, state);
}

static void ask_redis(struct request *req) {
  char since[32];
  snprintf(since, sizeof since, "%lld", (long long)(clock_wall_ms() - WORKER_FRESH_MS));
  redis_cmd(req->loop->redis, on_workers, req, "ZCOUNT", req->loop->api->workers_key, since, "+inf", NULL);
}

static void on_postgres(void *arg, const PGresult *res, const struct error *err) {
  struct request *req = arg;
  (void)err;
  ((struct readiness *)req->state)->postgres = res != NULL;
  ask_redis(req);
}

/* Also a look at our own schema: a database without it can't serve. */
static const struct pg_stmt look = {"ready_look", "SELECT 1 FROM autodb.owners LIMIT 1", 0};

static enum status readyz(struct request *req, struct error *err) {
  ERROR_AUTO cause = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  if (!(req->state = ARENA_NEW(req->arena, struct readiness))) return error_oom(err);
  if (pgloop_query(req->loop->pg, &look, &params, 2000, on_postgres, req, &cause) != OK) ask_redis(req);
  return OK;
}

const struct route health_routes[] = {
    {.method = HTTP_GET, .pattern = "/healthz", .handler = healthz},
    {.method = HTTP_GET, .pattern = "/readyz", .handler = readyz},
    {0},
};
