/* ledger.h - what the language model costs an owner: whether there is room for another question today, and what was spent.
 *
 * An owner's day is over at midnight UTC. The room is looked at before a question, not reserved: questions under way at the same time may
 * together go over it by what one question each costs. */
#ifndef AUTODB_LLM_LEDGER_H
#define AUTODB_LLM_LEDGER_H

#include "worker/agent.h"

/* False: the owner's tokens of today are used up. ret_limit (may be NULL): how many there are; 0: no limit. A ledger that can't be read has
 * room: the database of this process is away, and the job will find out. */
bool ledger_room(struct job *job, int64_t *ret_limit);
/* Adds what an answer cost, for the kind of the job. A failure is logged. */
void ledger_add(struct job *job, const char *model, int64_t input_tokens, int64_t output_tokens);

#endif
