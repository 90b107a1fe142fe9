/* generator.h - what turns a question into one SELECT: the interface of the built-in parser and of every language model.
 *
 * A generator only writes. It does not judge what it wrote (names are resolved and the guard stands in worker/query) and does not run it.
 * It is right or silent: without an answer it can stand behind, `sql` is NULL and `clarification` says what would help. */
#ifndef AUTODB_GENERATOR_H
#define AUTODB_GENERATOR_H

#include <stdint.h>

#include "common/arena.h"
#include "common/config.h"
#include "common/error.h"
#include "worker/schema/snapshot.h"

struct retrieval; /* worker/retrieval/retrieval.h */

/* --- what may be known besides the schema --- */

/* From documents: what a word of the business means here. */
struct generator_term {
  const char *name;       /* "net revenue", as people say it */
  const char *expression; /* "sum(order_items.quantity * order_items.unit_price)", "status = 'open'"; NULL when it is another name only */
  const char *stands_for; /* "orders", "orders.total" or plain words; NULL when it is an expression */
  const char *source;     /* of which document, for people; may be NULL */
};

struct generator_verified { /* a question somebody has confirmed the SQL of; both may hold {slots} */
  const char *id, *question, *sql;
  double similarity; /* 0-1, by retrieval */
};

/* A place where words of a question may be found as data. */
struct value_column {
  const struct snap_table *table;
  const struct snap_column *column;
};
struct value_match {
  size_t phrase;     /* index of the phrase asked for */
  size_t column;     /* index of the column asked for */
  const char *value; /* as stored: exact case */
};
struct value_matches { /* in the caller's arena */
  struct value_match *items;
  size_t count;
  bool partial; /* not every column could be looked at: no match means nothing */
};
/* Which of the phrases are values of which of the columns, whatever their case. Phrases are lower case. A failure is not the question's:
 * the generator goes on without values. */
struct value_source {
  enum status (*find)(void *arg, struct arena *arena, const char *const *phrases, size_t phrase_count, const struct value_column *columns,
                      size_t column_count, struct value_matches *ret_matches, struct error *err);
  void *arg;
};

/* --- question and answer --- */

struct generator_request {
  const struct config *cfg; /* may be NULL for the built-in one */
  const char *question;     /* UTF-8, at most LIMIT_QUESTION_BYTES */
  const struct snapshot *snapshot;
  const struct retrieval *retrieval;        /* what retrieval found for the question; NULL: the whole snapshot */
  const struct snap_table *const *relevant; /* tables of it with their foreign keys' other ends; NULL: all */
  size_t relevant_count;
  const struct generator_term *terms;
  size_t term_count;
  const struct generator_verified *verified; /* best first */
  size_t verified_count;
  const struct value_source *values; /* NULL: labels and CHECK lists of the snapshot alone */
  /* The attempt before, when there was one. */
  const char *failed_sql, *failure; /* both or none; failure in words, with nearest names */
};

struct generator_clarification {
  const char *question; /* to the person, one sentence */
  const char **choices; /* each can be answered with; may be none */
  size_t choice_count;
};

struct generator_usage {
  int64_t input_tokens, output_tokens;
  const char *model; /* as the provider names it; NULL: it was not said */
};

struct generator_answer { /* everything in the caller's arena */
  const char *sql;        /* one SELECT without semicolon; NULL: abstained */
  double confidence;      /* 0-1; 0 when abstained */
  const char *reasoning;  /* how the question was read, in plain words; never NULL */
  const char **tables;    /* "schema.name", each once */
  size_t table_count;
  const char **warnings;
  size_t warning_count;
  const char *verified_id;                       /* the verified query it was made from, or NULL */
  const struct generator_clarification *clarify; /* set exactly when sql is NULL */
  const struct generator_usage *usage;           /* NULL when nothing was spent */
};

struct generator {
  const char *name; /* as the result's `generator` says it: "builtin", "bedrock", … */
  /* ERR_UNAVAILABLE with code "PROVIDER_UNAVAILABLE" when a provider did not answer; a question that can't be answered is OK without sql.
   */
  enum status (*generate)(const struct generator_request *request, struct arena *arena, struct generator_answer *ret_answer,
                          struct error *err);
};

extern const struct generator generator_builtin; /* worker/text2sql/builtin/: needs no provider, deterministic */

#endif
