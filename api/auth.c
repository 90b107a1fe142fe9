/* auth.c - see auth.h. The caches are set-associative arrays: bounded by construction, no list to walk. Unknown keys have their own, so
 * that guessing can't push good keys out. */
#include "api/auth.h"

#include <strings.h>

#include "api/router.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define TTL_MS 5000
#define SETS 256
#define WAYS 4

static struct metric lookups = METRIC_COUNTER("autodb_auth_lookups_total", "API keys looked up in Postgres, by outcome.", "outcome");

struct entry {
  uint8_t hash[SHA256_BYTES];
  int64_t until; /* clock_mono_ms; 0 = empty */
  unsigned epoch;
  struct identity who;
};

struct auth {
  struct loop *loop;
  struct entry known[SETS][WAYS], unknown[SETS][WAYS];
};

struct lookup { /* the request's state while Postgres is asked */
  uint8_t hash[SHA256_BYTES];
  unsigned epoch;
};

struct auth *auth_new(struct loop *loop) {
  struct auth *auth = calloc(1, sizeof *auth);
  if (auth) auth->loop = loop;
  return auth;
}

void auth_free(struct auth *auth) { free(auth); }

void auth_make_key(char ret_key[AUTH_KEY_TEXT], uint8_t ret_hash[SHA256_BYTES]) {
  uint8_t secret[32];
  struct buf text;
  buf_init(&text, AUTH_KEY_TEXT);
  crypto_random(secret, sizeof secret);
  buf_puts(&text, AUTH_KEY_PREFIX);
  crypto_base64url(secret, sizeof secret, &text);
  snprintf(ret_key, AUTH_KEY_TEXT, "%s", buf_str(&text));
  crypto_sha256(ret_key, strlen(ret_key), ret_hash);
  explicit_bzero(text.data, text.len);
  buf_free(&text);
}

/* --- the cache --- */

static struct entry *set_of(struct entry table[SETS][WAYS], const uint8_t *hash) { return table[hash[0]]; }

static struct entry *find(struct entry table[SETS][WAYS], const uint8_t *hash, unsigned epoch) {
  struct entry *set = set_of(table, hash);
  int64_t now = clock_mono_ms();
  for (int i = 0; i < WAYS; i++)
    if (set[i].until > now && set[i].epoch == epoch && crypto_equal(set[i].hash, hash, SHA256_BYTES)) return &set[i];
  return NULL;
}

static struct entry *place(struct entry table[SETS][WAYS], const uint8_t *hash, unsigned epoch, int64_t ttl_ms) {
  struct entry *set = set_of(table, hash), *oldest = set;
  for (int i = 0; i < WAYS; i++) {
    if (crypto_equal(set[i].hash, hash, SHA256_BYTES)) {
      oldest = &set[i];
      break;
    }
    if (set[i].until < oldest->until) oldest = &set[i];
  }
  *oldest = (struct entry){.until = clock_mono_ms() + ttl_ms, .epoch = epoch};
  memcpy(oldest->hash, hash, SHA256_BYTES);
  return oldest;
}

/* --- deciding --- */

static enum status refuse(struct error *err) { return error_set(err, ERR_UNAUTHORIZED, "The API key is unknown, expired or revoked."); }

static enum status allow(struct request *req, const struct identity *who, struct error *err) {
  req->who = *who;
  if (req->route->auth == AUTH_ADMIN && !who->admin) return error_set(err, ERR_FORBIDDEN, "This needs a key with the role \"admin\".");
  router_admit(req);
  return OK;
}

static const char *bearer(const char *value) {
  if (!value || strncasecmp(value, "bearer ", 7) != 0) return NULL;
  value += 7;
  return value + strspn(value, " ");
}

static enum status read_key(const struct request *req, const char **ret_key, struct error *err) {
  const char *header = http_header(req->http, "x-api-key"), *authorization = http_header(req->http, "authorization"),
             *token = bearer(authorization);
  if (header && token && strcmp(header, token) != 0)
    return error_set(err, ERR_UNAUTHORIZED, "X-API-Key and Authorization hold different keys; send one.");
  const char *key = header ? header : token;
  if (!key) return error_set(err, ERR_UNAUTHORIZED, "An API key is needed: X-API-Key: adb_… or Authorization: Bearer adb_….");
  if (strncmp(key, AUTH_KEY_PREFIX, 4) != 0 || strlen(key) != AUTH_KEY_TEXT - 1) return refuse(err);
  *ret_key = key;
  return OK;
}

/* Seconds to expiry bound the time a key is remembered; last_used_at is touched at most once a minute. */
static const struct pg_stmt find_key = {
    "find_key",
    "SELECT k.id, owner_id, role = 'admin', (extract(epoch FROM least(expires_at - now(), interval '1 hour')) * 1000)::bigint, "
    "last_used_at IS NULL OR last_used_at < now() - interval '1 minute', o.rate, o.burst "
    "FROM autodb.api_keys k JOIN autodb.owners o ON o.id = k.owner_id "
    "WHERE key_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
    1};
static const struct pg_stmt touch_key = {"touch_key",
                                         "UPDATE autodb.api_keys SET last_used_at = now() WHERE id = $1 AND (last_used_at IS NULL OR "
                                         "last_used_at < now() - interval '1 minute')",
                                         1};

static void touched(void *arg, const PGresult *res, const struct error *err) {
  (void)arg;
  if (!res) log_event(LOG_DEBUG, "last_used_at not updated", "reason", err->message, NULL);
}

static void touch(struct loop *loop, const struct id *key_id) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, key_id);
  if (pgloop_query(loop->pg, &touch_key, &params, 0, touched, NULL, &err) != OK) log_event(LOG_DEBUG, "last_used_at not updated", NULL);
}

/* What the owner has of his own, else everybody's. */
static void take_limits(const struct config *cfg, const PGresult *res, struct identity *who) {
  bool rate = !PQgetisnull(res, 0, 5), burst = !PQgetisnull(res, 0, 6);
  who->own_limits = rate || burst;
  who->rate = rate ? (int)strtol(PQgetvalue(res, 0, 5), NULL, 10) : cfg->owner_rate;
  who->burst = burst ? (int)strtol(PQgetvalue(res, 0, 6), NULL, 10) : rate ? 0 : cfg->owner_burst;
  if (!who->burst) who->burst = who->rate > INT32_MAX / 2 ? INT32_MAX : 2 * who->rate;
}

static enum status on_key(struct request *req, const PGresult *res, struct error *err) {
  const struct lookup *lookup = req->state;
  struct auth *auth = req->loop->auth;
  if (PQntuples(res) == 0) {
    metric_add(&lookups, "unknown", 1);
    place(auth->unknown, lookup->hash, lookup->epoch, TTL_MS);
    return refuse(err);
  }
  metric_add(&lookups, "known", 1);
  struct identity who = {.admin = PQgetvalue(res, 0, 2)[0] == 't'};
  if (!id_parse(PQgetvalue(res, 0, 0), &who.key_id) || !id_parse(PQgetvalue(res, 0, 1), &who.owner_id)) return refuse(err);
  take_limits(req->loop->api->cfg, res, &who);
  long long left = PQgetisnull(res, 0, 3) ? TTL_MS : strtoll(PQgetvalue(res, 0, 3), NULL, 10);
  place(auth->known, lookup->hash, lookup->epoch, left < TTL_MS ? left : TTL_MS)->who = who;
  if (PQgetvalue(res, 0, 4)[0] == 't') touch(req->loop, &who.key_id);
  return allow(req, &who, err);
}

enum status auth_check(struct request *req, struct error *err) {
  struct auth *auth = req->loop->auth;
  const char *key = NULL;
  enum status status = read_key(req, &key, err);
  if (status != OK) return status;
  struct lookup lookup = {.epoch = atomic_load(&req->loop->api->keys_epoch)};
  crypto_sha256(key, strlen(key), lookup.hash);
  struct entry *entry = find(auth->known, lookup.hash, lookup.epoch);
  if (entry) return allow(req, &entry->who, err);
  if (find(auth->unknown, lookup.hash, lookup.epoch)) return refuse(err);
  struct lookup *state = ARENA_NEW(req->arena, struct lookup);
  if (!state) return error_oom(err);
  *state = lookup;
  req->state = state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_bytes(&params, lookup.hash, sizeof lookup.hash);
  return request_query(req, &find_key, &params, on_key, err);
}
