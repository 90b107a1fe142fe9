/* driver.h - what a provider of vectors is made of. Batching, the cache, sending, signing, waiting and trying again are embed.c's and
 * calls.c's. */
#ifndef AUTODB_EMBED_DRIVER_H
#define AUTODB_EMBED_DRIVER_H

#include "common/webcall.h"
#include "worker/embed/embed.h"

struct embed_target {   /* settings with the driver's defaults filled in */
  const char *base_url; /* no slash at its end */
  const char *model;
  const char *api_key; /* "" when none */
  int dims;            /* 0: not known before the first answer */
  bool dims_asked;     /* the settings name them: say so in the request */
};
struct embed_batch {
  enum embed_purpose purpose;
  const struct embed_text *texts; /* none empty */
  size_t count;
};
struct embed_call {
  const char *url;
  const char *bearer;      /* API key for an Authorization header; NULL: none */
  json_t *body;            /* owned by the arena */
  const char *aws_service; /* signed for it; NULL: not signed */
};
struct embed_reply { /* count vectors, in the order of the texts; in the arena */
  float *vectors;
  int dims;
  int64_t tokens;
};

struct lexicon_list;
struct embed_driver {
  const char *name;
  const char *base_url; /* default; %s is replaced by the AWS region. NULL: nobody is asked, `make` does it here */
  const char *model;    /* default */
  int dims;             /* default; 0: whatever the model gives */
  size_t max_texts;     /* in one call */
  size_t max_tokens;    /* in one call, as embed_tokens counts them */
  size_t text_bytes;    /* longer texts are cut there */
  int concurrency;      /* calls at once */
  bool (*build)(const struct embed_target *target, const struct embed_batch *batch, struct arena *arena, struct embed_call *ret_call);
  /* False: the reply is not of the shape expected, or has not a vector for each text. */
  bool (*read)(const json_t *reply, size_t count, struct arena *arena, struct embed_reply *ret_reply);
  /* Instead of both: vectors (zeroed) are filled in. False: out of memory. */
  bool (*make)(const struct embedder *embedder, const struct embed_batch *batch, int dims, float *vectors);
  /* NULL, or the same of words that were read; weighed by what they count in a question unless `embedder` is NULL. */
  void (*add_words)(const struct lexicon_list *words, const struct embedder *embedder, int dims, float *vector);
};

extern const struct embed_driver embed_builtin, embed_bedrock, embed_openai;

/* About as many tokens as a model would count, rather more than fewer. */
size_t embed_tokens(const char *text, size_t len);
/* A JSON array of numbers as `dims` floats at `out`; false when it is none of that length. */
bool embed_floats(const json_t *array, int dims, float *out);
/* What a word counts in a question, as embedder_weigh was told. */
double embed_weight(const struct embedder *embedder, uint32_t term);

/* calls.c: sends batches, several at once, trying again what may pass. */
struct embed_calls {
  const struct embed_driver *driver;
  const struct embed_target *target;
  const struct embed_batch *batches;
  size_t count;
  int timeout_ms; /* for all of them */
  struct arena *arena;
  struct embed_reply *replies; /* count of them, filled in */
};
struct embed_sender; /* keeps connections open between runs */
MUST_CHECK enum status embed_sender_new(struct embed_sender **ret_sender, struct error *err);
void embed_sender_free(struct embed_sender *sender);
MUST_CHECK enum status embed_send(struct embed_sender *sender, const struct embed_calls *calls, struct error *err);

#endif
