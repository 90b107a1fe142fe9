/* holder.h - open transactions that make a statement which can't run in one stand still at each of its phases, so that its locks can be
 * seen. */
#ifndef AUTODB_SANDBOX_HOLDER_H
#define AUTODB_SANDBOX_HOLDER_H

#include "locks.h"
#include "relations.h"
#include "sandbox/sandbox.h"

struct holder; /* two sessions taking turns */

MUST_CHECK enum status holder_new(struct sandbox *sandbox, struct holder **ret_holder, struct error *err);
void holder_free(struct holder *holder); /* NULL is fine */
static inline void holder_freep(struct holder **holder) {
  holder_free(*holder);
  *holder = NULL;
}
#define HOLDER_AUTO __attribute__((cleanup(holder_freep))) struct holder *

/* Locks every table so that the first lock a statement asks for has to wait. Where a table can't be locked the statement is just less
 * visible. */
void holder_block(struct holder *holder, const struct relations *relations);
/* The statement waits, and what it holds and wants (`locks`) has been noted: lets it go on, to be held up at its next wait. */
void holder_step(struct holder *holder, const struct relations *relations, const struct locks *locks);
void holder_release(struct holder *holder);

#endif
