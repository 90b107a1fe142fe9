/* verified.h - questions whose SQL somebody has confirmed: answered from before anything is generated.
 *
 * A question may hold slots (common/verified_slot.h); its SQL names them where a literal would stand, outside of quotes. */
#ifndef AUTODB_TEXT2SQL_VERIFIED_H
#define AUTODB_TEXT2SQL_VERIFIED_H

#include "worker/agent.h"
#include "worker/text2sql/generator.h"

struct verified_list {
  struct generator_verified *items; /* similarity is set: best first */
  size_t count;
};

/* Those of the job's connection, ranked for the question; the hundred that share most words with it. */
MUST_CHECK enum status verified_load(struct job *job, const char *question, struct verified_list *ret_list, struct error *err);

/* Whether one of them is the question: word for word, with its slots filled, or in the same words of the same roles but for fillers and
 * typing errors (verified_words.h). Words that carry a value (numbers, quoted text) must be the same. Fills the answer, which says which
 * query it was. */
bool verified_answer(const struct verified_list *list, const char *question, const struct snapshot *snapshot, struct arena *arena,
                     struct generator_answer *ret_answer);

/* Counts a use; best effort. */
void verified_used(struct job *job, const char *id);

#endif
