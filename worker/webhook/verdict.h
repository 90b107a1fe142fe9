/* verdict.h - what an answer, or none, means for a delivery and its endpoint. Pure. */
#ifndef AUTODB_WEBHOOK_VERDICT_H
#define AUTODB_WEBHOOK_VERDICT_H

#include <stdint.h>

#define VERDICT_TRIES 10 /* at 0 s, then 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h after the one before: three days in all */

enum verdict_kind {
  VERDICT_DELIVERED, /* 2xx */
  VERDICT_RETRY,
  VERDICT_FAILED, /* the schedule is used up, or the webhook is no more */
  VERDICT_GONE,   /* 410: the endpoint wants nothing ever again */
  VERDICT_FENCED, /* somebody else has the delivery by now; never a verdict, only counted */
  VERDICT_COUNT
};
extern const char *const verdict_names[VERDICT_COUNT];

struct verdict {
  enum verdict_kind outcome;
  int delay_ms; /* VERDICT_RETRY: until the next try */
  int pause_ms; /* until anything is sent to the endpoint again; 0 = no pause */
};
/* status 0: no answer. retry_after_s: 0 when the answer named none. `counted` is the number of this try, from 1; random: any, for jitter.
 */
struct verdict verdict_of(int status, int retry_after_s, int counted, uint32_t random);

#endif
