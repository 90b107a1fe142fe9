/* receiver.h - an HTTP server where webhooks arrive: remembers each webhook-id and how often it came. Now and then it answers 503 to a
 * first try, as receivers do; the second is taken. */
#ifndef AUTODB_TESTS_CHAOS_RECEIVER_H
#define AUTODB_TESTS_CHAOS_RECEIVER_H

#include <stdbool.h>

struct receiver;
struct receiver *receiver_new(void);
void receiver_free(struct receiver *receiver);
const char *receiver_url(const struct receiver *receiver);
int receiver_taken(struct receiver *receiver, const char *webhook_id); /* how often it was answered 200 */
int receiver_ids(struct receiver *receiver);                           /* different ones */
int receiver_nameless(struct receiver *receiver);                      /* requests without a webhook-id */

#endif
