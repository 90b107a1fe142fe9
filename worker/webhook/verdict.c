/* verdict.c - see verdict.h. Waits grow by up to a fifth at random, so that what failed together doesn't come back together; they never
 * shrink. */
#include "worker/webhook/verdict.h"

#include <stdbool.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define PAUSE_MS (5 * SECOND)           /* an endpoint that is overrun and doesn't say for how long */
#define RETRY_AFTER_MAX_S (6 * 60 * 60) /* who asks for more is asked again then */

const char *const verdict_names[VERDICT_COUNT] = {"delivered", "retry", "failed", "gone", "fenced"};

/* schedule[n]: from the nth try to the next. */
static const int schedule[VERDICT_TRIES] = {0,        5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR,
                                            5 * HOUR, 10 * HOUR,  14 * HOUR,  20 * HOUR,   24 * HOUR};

static bool overrun(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

struct verdict verdict_of(int status, int retry_after_s, int counted, uint32_t random) {
  if (status >= 200 && status < 300) return (struct verdict){.outcome = VERDICT_DELIVERED};
  if (status == 410) return (struct verdict){.outcome = VERDICT_GONE};
  int asked_ms = (retry_after_s < RETRY_AFTER_MAX_S ? retry_after_s : RETRY_AFTER_MAX_S) * SECOND;
  struct verdict verdict = {.outcome = VERDICT_RETRY, .pause_ms = asked_ms ? asked_ms : overrun(status) ? PAUSE_MS : 0};
  if (counted >= VERDICT_TRIES) {
    verdict.outcome = VERDICT_FAILED;
    return verdict;
  }
  int wait = schedule[counted < 1 ? 1 : counted];
  if (wait < asked_ms) wait = asked_ms;
  verdict.delay_ms = wait + (int)(random % (uint32_t)(wait / 5 + 1));
  return verdict;
}
