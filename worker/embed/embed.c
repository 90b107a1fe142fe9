/* embed.c - settings to a provider, texts to batches, and what is asked but once.
 *
 * Texts that a remote provider has seen come from embedding_cache, and what it gives goes there before anybody uses it: what is paid for
 * survives whatever happens to the job. The built-in provider is faster than the cache and passes it by. Vectors are rounded to half
 * precision on both ways, so a text's vector is the same bit for bit whether it came from the one or the other. */
#include "worker/embed/embed.h"

#include <math.h>

#include "common/aws.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "common/utf8.h"
#include "worker/embed/driver.h"
#include "worker/embed/vector.h"

#define SETTINGS_BYTES (64 * 1024)
#define PROBE_MS 30000
#define PROBE_BYTES ((size_t)8 << 20)
#define DIMS_MAX 4000 /* embedding_models */

static const struct embed_driver *const drivers[] = {&embed_builtin, &embed_bedrock, &embed_openai};

struct embedder {
  const struct embed_driver *driver;
  struct arena *arena; /* settings and model */
  struct embed_target target;
  struct embed_model model;
  struct embed_sender *sender; /* NULL: nobody is asked */
  PGconn *db;
  struct embed_usage usage, accounted;
  embed_weigh weigh;
  void *weigh_arg;
};

/* --- what drivers are made with --- */

size_t embed_tokens(const char *text, size_t len) {
  size_t ascii = 0, wide = 0, narrow = 0;
  for (size_t i = 0; i < len; i++) {
    uint8_t byte = (uint8_t)text[i];
    ascii += byte < 0x80;
    narrow += byte >= 0xC0 && byte < 0xE0;
    wide += byte >= 0xE0;
  }
  return (ascii + 3) / 4 + (narrow + 1) / 2 + wide + (wide + 3) / 4;
}

bool embed_floats(const json_t *array, int dims, float *out) {
  if (!json_is_array(array) || json_array_size(array) != (size_t)dims) return false;
  for (int i = 0; i < dims; i++) {
    const json_t *number = json_array_get(array, (size_t)i);
    if (!json_is_number(number)) return false;
    out[i] = (float)json_number_value(number);
    if (!isfinite(out[i])) return false;
  }
  return true;
}

double embed_weight(const struct embedder *embedder, uint32_t term) {
  return embedder->weigh ? embedder->weigh(embedder->weigh_arg, term) : 1;
}

/* --- settings --- */

static const struct embed_driver *driver_of(const char *name) {
  for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
    if (strcmp(drivers[i]->name, name) == 0) return drivers[i];
  return NULL;
}

/* The driver's default may have a place for the region. */
static const char *base_url(const struct embed_driver *driver, const char *setting, struct arena *arena) {
  const char *url = *setting ? setting : driver->base_url, *at = strstr(url, "%s");
  if (!*setting && at) url = arena_printf(arena, "%.*s%s%s", (int)(at - url), url, aws_region() ? aws_region() : "us-east-1", at + 2);
  size_t len = url ? strlen(url) : 0;
  while (len && url[len - 1] == '/') len--;
  return url ? arena_strndup(arena, url, len) : NULL;
}

static enum status read_settings(struct embedder *embedder, const struct config *cfg, struct error *err) {
  const struct embed_driver *driver = embedder->driver = driver_of(*cfg->embed_provider ? cfg->embed_provider : "builtin");
  if (!driver) return error_set(err, ERR_INTERNAL, "there is no embedding provider %s", cfg->embed_provider);
  if (!driver->base_url && (*cfg->embed_model || cfg->embed_dims))
    return error_add_field(err, "AUTODB_EMBED_MODEL", "and AUTODB_EMBED_DIMS can't be chosen for the provider %s", driver->name);
  embedder->target = (struct embed_target){.base_url = driver->base_url ? base_url(driver, cfg->embed_base_url, embedder->arena) : "",
                                           .model = arena_strdup(embedder->arena, *cfg->embed_model ? cfg->embed_model : driver->model),
                                           .api_key = arena_strdup(embedder->arena, cfg->embed_api_key),
                                           .dims = cfg->embed_dims ? cfg->embed_dims : driver->dims,
                                           .dims_asked = cfg->embed_dims != 0};
  if (!embedder->target.base_url || !embedder->target.model || !embedder->target.api_key) return error_oom(err);
  return OK;
}

/* --- the model's row --- */

/* What was measured once needs no second look. */
static const char known_dims_sql[] = "SELECT dims FROM autodb.embedding_models WHERE provider = $1 AND model = $2 ORDER BY id DESC LIMIT 1";
static const char model_sql[] =
    "WITH made AS (INSERT INTO autodb.embedding_models (provider, model, dims) SELECT $1::text, $2::text, $3::integer "
    "  WHERE NOT EXISTS (SELECT FROM autodb.embedding_models WHERE provider = $1 AND model = $2 AND dims = $3::integer) "
    "  ON CONFLICT DO NOTHING RETURNING id) "
    "SELECT id FROM made UNION ALL SELECT id FROM autodb.embedding_models WHERE provider = $1 AND model = $2 AND dims = $3::integer";

static enum status known_dims(struct embedder *embedder, struct error *err) {
  const char *const params[] = {embedder->driver->name, embedder->target.model};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(embedder->db, known_dims_sql, 2, params, &res, err);
  if (!status && PQntuples(res)) embedder->target.dims = (int)pg_int(res, 0, 0, 0);
  return status;
}

static enum status ask(struct embedder *embedder, enum embed_purpose purpose, const struct embed_text *texts, size_t count, int timeout_ms,
                       struct arena *arena, float *vectors, struct error *err);

static const struct embed_text probe = {"dimensions", 10};

/* The model says itself how long its vectors are. */
static enum status measure_dims(struct embedder *embedder, struct error *err) {
  ARENA_AUTO arena = arena_new(PROBE_BYTES);
  enum status status = arena ? ask(embedder, EMBED_PASSAGE, &probe, 1, PROBE_MS, arena, NULL, err) : error_oom(err);
  if (!status && (embedder->target.dims < 1 || embedder->target.dims > DIMS_MAX))
    return error_set_code(err, ERR_VALIDATION, "PROVIDER_REFUSED", "the model's vectors have %d dimensions: at most %d can be stored",
                          embedder->target.dims, DIMS_MAX);
  return status;
}

static enum status name_model(struct embedder *embedder, struct error *err) {
  struct embed_model *model = &embedder->model;
  *model = (struct embed_model){.provider = embedder->driver->name, .name = embedder->target.model, .dims = embedder->target.dims};
  model->label = arena_printf(embedder->arena, "%s/%s", model->provider, model->name);
  return model->label ? OK : error_oom(err);
}

static enum status find_model(struct embedder *embedder, struct error *err) {
  struct embed_target *target = &embedder->target;
  enum status status = target->dims == 0 && embedder->db ? known_dims(embedder, err) : OK;
  if (!status && target->dims == 0) status = measure_dims(embedder, err);
  if (status) return status;
  if ((status = name_model(embedder, err)) || !embedder->db) return status;
  struct embed_model *model = &embedder->model;
  char dims[16];
  snprintf(dims, sizeof dims, "%d", model->dims);
  const char *const params[] = {model->provider, model->name, dims};
  for (int try = 0; !status && !model->id && try < 2; try++) { /* the second sees what another session had made meanwhile */
    PGRESULT_AUTO res = NULL;
    status = pg_query(embedder->db, model_sql, 3, params, &res, err);
    if (!status && PQntuples(res)) model->id = (int)pg_int(res, 0, 0, 0);
  }
  return !status && !model->id ? error_set(err, ERR_INTERNAL, "the embedding model has no row") : status;
}

/* --- a model that is stored --- */

static const char stored_sql[] = "SELECT provider, model, dims FROM autodb.embedding_models WHERE id = $1";

/* Settings for that model, of the provider that is configured or of the built-in one; nobody else can be asked. */
static enum status settings_of(const struct config *cfg, PGconn *db, int model, struct arena *arena, struct config *ret_cfg, int *ret_dims,
                               struct error *err) {
  const char *id = arena_printf(arena, "%d", model);
  PGRESULT_AUTO res = NULL;
  enum status status = id ? pg_query(db, stored_sql, 1, &id, &res, err) : error_oom(err);
  if (status) return status;
  const char *provider = PQntuples(res) ? pg_str(res, 0, 0) : "", *name = PQntuples(res) ? pg_str(res, 0, 1) : "";
  const struct embed_driver *driver = driver_of(provider);
  bool here = driver && !driver->base_url && strcmp(driver->model, name) == 0;
  bool asked = driver && driver->base_url && strcmp(cfg->embed_provider, provider) == 0;
  if (!here && !asked)
    return error_set(err, ERR_VALIDATION, "vectors of the model %s/%s can't be made with the settings there are", provider, name);
  *ret_cfg = *cfg;
  ret_cfg->embed_provider = driver->name;
  ret_cfg->embed_model = here ? "" : arena_strdup(arena, name);
  if (here) ret_cfg->embed_dims = 0;
  *ret_dims = (int)pg_int(res, 0, 2, 0);
  return ret_cfg->embed_model ? OK : error_oom(err);
}

/* --- life --- */

/* stored: the id of a model that has a row, of `dims`; 0: found out, and given one. */
static enum status embedder_make(const struct config *cfg, PGconn *db, int stored, int dims, struct embedder **ret_embedder,
                                 struct error *err) {
  struct embedder *embedder = calloc(1, sizeof *embedder);
  if (!embedder) return error_oom(err);
  embedder->db = db;
  embedder->arena = arena_new(SETTINGS_BYTES);
  enum status status = embedder->arena ? read_settings(embedder, cfg, err) : error_oom(err);
  if (stored) embedder->target.dims = dims;
  if (!status && embedder->driver->base_url) status = embed_sender_new(&embedder->sender, err);
  if (!status) status = stored ? name_model(embedder, err) : find_model(embedder, err);
  if (stored) embedder->model.id = stored;
  if (status) {
    embedder_free(embedder);
    return status;
  }
  *ret_embedder = embedder;
  return OK;
}

enum status embedder_new(const struct config *cfg, PGconn *db, struct embedder **ret_embedder, struct error *err) {
  return embedder_make(cfg, db, 0, 0, ret_embedder, err);
}

enum status embedder_new_of(const struct config *cfg, PGconn *db, int model, struct embedder **ret_embedder, struct error *err) {
  ARENA_AUTO arena = arena_new(SETTINGS_BYTES);
  struct config settings;
  int dims = 0;
  enum status status = arena ? settings_of(cfg, db, model, arena, &settings, &dims, err) : error_oom(err);
  return status ? status : embedder_make(&settings, db, model, dims, ret_embedder, err);
}

void embedder_free(struct embedder *embedder) {
  if (!embedder) return;
  embed_sender_free(embedder->sender);
  arena_free(embedder->arena);
  free(embedder);
}

void embedder_use(struct embedder *embedder, PGconn *db) { embedder->db = db; }

void embedder_weigh(struct embedder *embedder, embed_weigh weigh, void *arg) {
  embedder->weigh = weigh;
  embedder->weigh_arg = arg;
}

const struct embed_model *embedder_model(const struct embedder *embedder) { return &embedder->model; }
struct embed_usage embedder_usage(const struct embedder *embedder) {
  return embedder->usage;
}

/* --- asking the provider --- */

static size_t cut_for(const struct embed_driver *driver, const struct embed_text *text) {
  return text->len <= driver->text_bytes ? text->len : utf8_cut(text->text, driver->text_bytes);
}

/* As many batches as the driver's bounds need. */
static struct embed_batch *batches_of(const struct embed_driver *driver, enum embed_purpose purpose, struct embed_text *texts, size_t count,
                                      struct arena *arena, size_t *ret_count) {
  struct embed_batch *batches = arena_calloc(arena, count + 1, sizeof *batches);
  size_t made = 0, tokens = 0;
  for (size_t i = 0; batches && i < count; i++) {
    texts[i].len = cut_for(driver, &texts[i]);
    size_t more = driver->max_tokens == SIZE_MAX ? 0 : embed_tokens(texts[i].text, texts[i].len);
    if (!made || batches[made - 1].count == driver->max_texts || tokens + more > driver->max_tokens) {
      batches[made++] = (struct embed_batch){.purpose = purpose, .texts = &texts[i]};
      tokens = 0;
    }
    batches[made - 1].count++;
    tokens += more;
  }
  *ret_count = made;
  return batches;
}

/* To length 1, and to what a half can hold. */
static void settle(float *vector, int dims) {
  double sum = 0;
  for (int i = 0; i < dims; i++) sum += (double)vector[i] * vector[i];
  double scale = sum > 0 ? 1 / sqrt(sum) : 0;
  for (int i = 0; i < dims; i++) vector[i] = (float)(vector[i] * scale);
  half_round(vector, dims);
}

static enum status collect(struct embedder *embedder, const struct embed_batch *batches, const struct embed_reply *replies, size_t count,
                           float *vectors, struct error *err) {
  int dims = embedder->target.dims;
  for (size_t i = 0; i < count; i++) {
    if (replies[i].dims != dims)
      return error_set_code(err, ERR_VALIDATION, "PROVIDER_REFUSED",
                            "the model gives vectors of %d dimensions, not of %d (AUTODB_EMBED_DIMS)", replies[i].dims, dims);
    size_t floats = batches[i].count * (size_t)dims;
    for (size_t text = 0; text < batches[i].count; text++) settle(replies[i].vectors + text * (size_t)dims, dims);
    memcpy(vectors, replies[i].vectors, floats * sizeof *vectors);
    vectors += floats;
  }
  return OK;
}

static enum status make_here(struct embedder *embedder, const struct embed_batch *batch, float *vectors, struct error *err) {
  int dims = embedder->target.dims;
  if (!embedder->driver->make(embedder, batch, dims, vectors)) return error_oom(err);
  for (size_t i = 0; i < batch->count; i++) settle(vectors + i * (size_t)dims, dims);
  return OK;
}

bool embedder_takes_words(const struct embedder *embedder) { return embedder->driver->add_words != NULL; }

void embedder_words(struct embedder *embedder, enum embed_purpose purpose, const struct lexicon_list *words, float *out) {
  embedder->usage.texts++;
  embedder->driver->add_words(words, purpose == EMBED_QUESTION ? embedder : NULL, embedder->target.dims, out);
  settle(out, embedder->target.dims);
}

/* vectors NULL: only the dimensions are wanted. */
static enum status ask(struct embedder *embedder, enum embed_purpose purpose, const struct embed_text *texts, size_t count, int timeout_ms,
                       struct arena *arena, float *vectors, struct error *err) {
  embedder->usage.texts += (int64_t)count;
  if (!embedder->driver->base_url)
    return make_here(embedder, &(struct embed_batch){.purpose = purpose, .texts = texts, .count = count}, vectors, err);
  struct embed_text *cut = arena_calloc(arena, count + 1, sizeof *cut);
  if (!cut) return error_oom(err);
  memcpy(cut, texts, count * sizeof *cut);
  struct embed_calls calls = {.driver = embedder->driver, .target = &embedder->target, .timeout_ms = timeout_ms, .arena = arena};
  struct embed_batch *batches = batches_of(embedder->driver, purpose, cut, count, arena, &calls.count);
  calls.batches = batches;
  calls.replies = arena_calloc(arena, calls.count + 1, sizeof *calls.replies);
  if (!batches || !calls.replies) return error_oom(err);
  enum status status = embed_send(embedder->sender, &calls, err);
  if (status) return status;
  for (size_t i = 0; i < calls.count; i++) embedder->usage.tokens += calls.replies[i].tokens;
  if (vectors) return collect(embedder, batches, calls.replies, calls.count, vectors, err);
  embedder->target.dims = calls.replies[0].dims;
  return OK;
}

/* --- the cache --- */

struct run { /* the texts of one call */
  struct embedder *embedder;
  const struct embed_text *texts;
  size_t count;
  float *vectors; /* zeroed */
  uint8_t (*hashes)[SHA256_BYTES];
  bool *done;
  struct arena *arena;
};

static const char touch_sql[] = "UPDATE autodb.embedding_cache SET used_on = current_date WHERE model = $1 AND sha256 = ANY ($2::bytea[]) "
                                "AND used_on < current_date";
static const char find_sql[] = "SELECT sha256, embedding FROM autodb.embedding_cache WHERE model = $1 AND sha256 = ANY ($2::bytea[])";
static const char keep_sql[] = "INSERT INTO autodb.embedding_cache (model, sha256, embedding) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

static float *vector_of(const struct run *run, size_t text) { return run->vectors + text * (size_t)run->embedder->model.dims; }

/* The hashes of the texts without a vector, as a bytea[] literal. */
static bool put_hashes(const struct run *run, struct buf *out) {
  buf_putc(out, '{');
  for (size_t i = 0, put = 0; i < run->count; i++) {
    char hex[2 * SHA256_BYTES + 1];
    if (run->done[i]) continue;
    crypto_hex(run->hashes[i], SHA256_BYTES, hex);
    buf_printf(out, "%s\"\\\\x%s\"", put++ ? "," : "", hex);
  }
  buf_putc(out, '}');
  return buf_ok(out);
}

/* A vector found is every text's that has its hash. */
static void take_found(struct run *run, const PGresult *res, int row) {
  if (PQgetlength(res, row, 0) != SHA256_BYTES) return;
  for (size_t i = 0; i < run->count; i++)
    if (!run->done[i] && memcmp(run->hashes[i], PQgetvalue(res, row, 0), SHA256_BYTES) == 0 &&
        halfvec_read((const uint8_t *)PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1), run->embedder->model.dims,
                     vector_of(run, i))) {
      run->done[i] = true;
      run->embedder->usage.cached++;
    }
}

static enum status look_up(struct run *run, struct error *err) {
  PGconn *db = run->embedder->db;
  BUF_AUTO hashes;
  char model[16];
  buf_init(&hashes, 16 + run->count * (2 * SHA256_BYTES + 8));
  if (!put_hashes(run, &hashes)) return error_oom(err);
  snprintf(model, sizeof model, "%d", run->embedder->model.id);
  const char *const params[] = {model, buf_str(&hashes)};
  PGRESULT_AUTO res = PQexecParams(db, find_sql, 2, NULL, params, NULL, NULL, 1);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) return pg_error(db, res, err);
  for (int row = 0; row < PQntuples(res); row++) take_found(run, res, row);
  return PQntuples(res) ? pg_exec(db, touch_sql, 2, params, err) : OK;
}

static enum status keep_one(struct run *run, size_t text, uint8_t *bytes, struct error *err) {
  struct embedder *embedder = run->embedder;
  uint8_t model[2] = {(uint8_t)(embedder->model.id >> 8), (uint8_t)embedder->model.id};
  halfvec_write(vector_of(run, text), embedder->model.dims, bytes);
  const char *const values[] = {(const char *)model, (const char *)run->hashes[text], (const char *)bytes};
  const int lengths[] = {sizeof model, SHA256_BYTES, (int)HALFVEC_BYTES(embedder->model.dims)}, formats[] = {1, 1, 1};
  PGRESULT_AUTO res = PQexecParams(embedder->db, keep_sql, 3, NULL, values, lengths, formats, 0);
  return PQresultStatus(res) == PGRES_COMMAND_OK ? OK : pg_error(embedder->db, res, err);
}

/* In one transaction: a commit a vector would cost more than the rest. It waits for the disk, whatever the session's others do: this was
 * paid for. */
static enum status keep(struct run *run, const size_t *open, size_t count, struct error *err) {
  uint8_t *bytes = arena_alloc(run->arena, HALFVEC_BYTES(run->embedder->model.dims));
  enum status status = bytes ? pg_script(run->embedder->db, "BEGIN; SET LOCAL synchronous_commit = on", err) : error_oom(err);
  if (status) return status;
  for (size_t i = 0; i < count && !status; i++) status = keep_one(run, open[i], bytes, err);
  if (!status) return pg_script(run->embedder->db, "COMMIT", err);
  ERROR_AUTO ignored = {0};
  if (pg_script(run->embedder->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}

/* --- a run --- */

static bool is_blank(const struct embed_text *text) {
  for (size_t i = 0; i < text->len; i++)
    if (!strchr(" \t\r\n\f\v", text->text[i])) return false;
  return true;
}

static bool begin(struct run *run) {
  size_t dims = (size_t)run->embedder->model.dims;
  run->vectors = arena_calloc(run->arena, run->count * dims + 1, sizeof *run->vectors);
  run->done = arena_calloc(run->arena, run->count + 1, sizeof *run->done);
  run->hashes = arena_calloc(run->arena, run->count + 1, sizeof *run->hashes);
  if (!run->vectors || !run->done || !run->hashes) return false;
  for (size_t i = 0; i < run->count; i++) {
    run->done[i] = is_blank(&run->texts[i]);
    if (run->embedder->driver->base_url) crypto_sha256(run->texts[i].text, run->texts[i].len, run->hashes[i]);
  }
  return true;
}

/* The texts without a vector, and where they stood. */
static enum status open_texts(struct run *run, struct embed_text **ret_texts, size_t **ret_open, size_t *ret_count, struct error *err) {
  struct embed_text *texts = arena_calloc(run->arena, run->count + 1, sizeof *texts);
  size_t *open = arena_calloc(run->arena, run->count + 1, sizeof *open), count = 0;
  if (!texts || !open) return error_oom(err);
  for (size_t i = 0; i < run->count; i++)
    if (!run->done[i]) {
      texts[count] = run->texts[i];
      open[count++] = i;
    }
  *ret_texts = texts;
  *ret_open = open;
  *ret_count = count;
  return OK;
}

static enum status ask_for_open(struct run *run, enum embed_purpose purpose, int timeout_ms, struct error *err) {
  struct embed_text *texts = NULL;
  size_t *open = NULL, count = 0, dims = (size_t)run->embedder->model.dims;
  enum status status = open_texts(run, &texts, &open, &count, err);
  if (status || count == 0) return status;
  float *vectors = arena_calloc(run->arena, count * dims, sizeof *vectors);
  if (!vectors) return error_oom(err);
  if ((status = ask(run->embedder, purpose, texts, count, timeout_ms, run->arena, vectors, err))) return status;
  for (size_t i = 0; i < count; i++) memcpy(vector_of(run, open[i]), vectors + i * dims, dims * sizeof *vectors);
  bool kept = run->embedder->driver->base_url && run->embedder->db && purpose == EMBED_PASSAGE;
  return kept ? keep(run, open, count, err) : OK;
}

enum status embedder_run(struct embedder *embedder, enum embed_purpose purpose, const struct embed_text *texts, size_t count,
                         int timeout_ms, struct arena *arena, const float **ret_vectors, struct error *err) {
  struct run run = {.embedder = embedder, .texts = texts, .count = count, .arena = arena};
  if (!begin(&run)) return error_oom(err);
  bool remote = embedder->driver->base_url != NULL;
  enum status status = remote && embedder->db && purpose == EMBED_PASSAGE ? look_up(&run, err) : OK;
  if (!status) status = ask_for_open(&run, purpose, timeout_ms, err);
  if (!status) *ret_vectors = run.vectors;
  return status;
}

enum status embedder_check(struct embedder *embedder, struct error *err) {
  ARENA_AUTO arena = arena_new(PROBE_BYTES);
  float *vector = arena ? arena_calloc(arena, (size_t)embedder->target.dims, sizeof *vector) : NULL;
  return vector ? ask(embedder, EMBED_PASSAGE, &probe, 1, PROBE_MS, arena, vector, err) : error_oom(err);
}

/* --- accounting --- */

static const char account_sql[] = "INSERT INTO autodb.embedding_usage (owner_id, model, texts, cached, tokens) VALUES ($1, $2, $3, $4, $5) "
                                  "ON CONFLICT (owner_id, day, model) DO UPDATE SET texts = embedding_usage.texts + excluded.texts, "
                                  "cached = embedding_usage.cached + excluded.cached, tokens = embedding_usage.tokens + excluded.tokens";

enum status embedder_account(struct embedder *embedder, const char *owner_id, struct error *err) {
  struct embed_usage used = embedder->usage, told = embedder->accounted;
  char model[16], texts[24], cached[24], tokens[24];
  if (!embedder->db || (used.texts == told.texts && used.cached == told.cached)) return OK;
  snprintf(model, sizeof model, "%d", embedder->model.id);
  snprintf(texts, sizeof texts, "%lld", (long long)(used.texts - told.texts));
  snprintf(cached, sizeof cached, "%lld", (long long)(used.cached - told.cached));
  snprintf(tokens, sizeof tokens, "%lld", (long long)(used.tokens - told.tokens));
  const char *const params[] = {owner_id, model, texts, cached, tokens};
  enum status status = pg_exec(embedder->db, account_sql, 5, params, err);
  if (!status) embedder->accounted = used;
  return status;
}
