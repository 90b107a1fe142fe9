/* embed.h - texts to vectors, whoever makes them (AUTODB_EMBED_PROVIDER). Blocking.
 *
 * Vectors have length 1; a model's vectors are compared with its own alone, so every stored one names its model (struct embed_model, a row
 * of autodb.embedding_models). What a provider had to be asked for is kept in autodb.embedding_cache by the text's hash, for everybody: a
 * text costs once. To add a provider: a file with a struct embed_driver (driver.h), a row in embed.c, a choice in config.c. */
#ifndef AUTODB_EMBED_H
#define AUTODB_EMBED_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/config.h"
#include "common/error.h"

struct embed_model {
  int id; /* of embedding_models; 0 without a database */
  const char *provider, *name;
  const char *label; /* "builtin/hashed-ngrams-1", as answers name it */
  int dims;
};

enum embed_purpose {
  EMBED_PASSAGE, /* what is found */
  EMBED_QUESTION /* what is looked for: some models tell them apart */
};

struct embed_text {
  const char *text; /* UTF-8, at most LIMIT_CHUNK_BYTES; longer ones are cut for the provider */
  size_t len;
};

struct embedder; /* one owner at a time; keeps connections open between calls */

/* db (borrowed) may be NULL: then nothing is kept, and the model has no id. ERR_VALIDATION when the settings don't go together. */
MUST_CHECK enum status embedder_new(const struct config *cfg, PGconn *db, struct embedder **ret_embedder, struct error *err);
/* Of a model that is stored (embedding_models.id) and may be another than the one configured: ERR_VALIDATION when nobody can be asked for
 * it with the settings there are. Only reads. */
MUST_CHECK enum status embedder_new_of(const struct config *cfg, PGconn *db, int model, struct embedder **ret_embedder, struct error *err);
void embedder_free(struct embedder *embedder);
static inline void embedder_freep(struct embedder **embedder) {
  embedder_free(*embedder);
  *embedder = NULL;
}
#define EMBEDDER_AUTO __attribute__((cleanup(embedder_freep))) struct embedder *
void embedder_use(struct embedder *embedder, PGconn *db); /* from now on that connection: for those kept longer than one */

/* What a word counts in questions, by its term (lexicon.h); NULL: all the same. Models that weigh words themselves don't ask. */
typedef double (*embed_weigh)(void *arg, uint32_t term);
void embedder_weigh(struct embedder *embedder, embed_weigh weigh, void *arg);

const struct embed_model *embedder_model(const struct embedder *embedder); /* lives as long as the embedder */

/* count vectors of model.dims floats each, one after the other, in the arena. All or nothing. Empty texts (no byte, or blanks alone) get a
 * zero vector, which is like nothing. Overload and lost connections are tried again, honouring Retry-After, until timeout_ms are over;
 * then ERR_UNAVAILABLE, code "PROVIDER_UNAVAILABLE", as for every refusal that another try may not meet; ERR_VALIDATION, code
 * "PROVIDER_REFUSED", for one that it will (a wrong key, an unknown model). Not inside a transaction: what came back is stored at once. */
MUST_CHECK enum status embedder_run(struct embedder *embedder, enum embed_purpose purpose, const struct embed_text *texts, size_t count,
                                    int timeout_ms, struct arena *arena, const float **ret_vectors, struct error *err);

/* Whether it makes a vector of a word, asked anew: what is refused then is no text's fault but the settings'. Errors as embedder_run's. */
MUST_CHECK enum status embedder_check(struct embedder *embedder, struct error *err);

/* Models that are made of words (the built-in one) take them as they were read, for who has read them already, or means others with them:
 * the vector as embedder_run makes it, at `out`, model.dims zeroes. */
struct lexicon_list;
bool embedder_takes_words(const struct embedder *embedder);
void embedder_words(struct embedder *embedder, enum embed_purpose purpose, const struct lexicon_list *words, float *out);

struct embed_usage {
  int64_t texts, cached, tokens; /* asked of the provider, found in the cache, as the provider counts */
};
struct embed_usage embedder_usage(const struct embedder *embedder); /* since embedder_new */
/* Adds what was used since the last call to the owner's day (autodb.embedding_usage). */
MUST_CHECK enum status embedder_account(struct embedder *embedder, const char *owner_id, struct error *err);

#endif
