/* rate.h - how many jobs an owner may hand in: a bucket of tokens per owner, shared by the loops of this process.
 *
 * Several API processes count each for themselves, so an owner who spreads his requests over N of them gets up to N times his rate. */
#ifndef AUTODB_API_RATE_H
#define AUTODB_API_RATE_H

#include <stdint.h>

#include "common/id.h"

struct rate;
struct rate *rate_new(void); /* NULL when out of memory */
void rate_free(struct rate *rate);

struct rate_answer {
  bool allowed;
  int64_t remaining; /* tokens left */
  int64_t wait_ms;   /* until there is one, when there is none; else until the bucket is full */
};
/* Takes a token of a bucket `burst` deep (at least one) that fills at `per_second` (more than 0). Thread-safe. */
struct rate_answer rate_take(struct rate *rate, const struct id *owner_id, int per_second, int burst, int64_t now_us);

#endif
