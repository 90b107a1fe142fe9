/* delivery.h - one claimed delivery: the request it makes, signed, and what is kept of the try. */
#ifndef AUTODB_WEBHOOK_DELIVERY_H
#define AUTODB_WEBHOOK_DELIVERY_H

#include <libpq-fe.h>

#include "common/crypto.h"
#include "common/id.h"
#include "common/webcall.h"
#include "worker/webhook/ledger.h"

#define DELIVERY_HEADERS 5

struct delivery {
  struct arena *arena; /* holds everything below, and itself lives as long */
  const char *id, *event, *host;
  int tries, counted;
  char trace[TRACE_TEXT], timestamp[24];
  const char *body;
  struct webcall_header headers[DELIVERY_HEADERS];
  struct webcall_request request;
  bool unsendable; /* nothing was or will be sent: entry says why */
  struct ledger_entry entry;
};

/* From a row of claim_deliveries(). NULL when out of memory. `unclaimed` signs callbacks of owners who have made no secret: nobody checks
 * those. */
struct delivery *delivery_new(const PGresult *res, int row, const struct keyring *keyring, const uint8_t unclaimed[SHA256_BYTES]);
void delivery_free(struct delivery *delivery);
/* Fills the entry from an answer, or (answer NULL) from the reason that there is none. */
void delivery_judge(struct delivery *delivery, const struct webcall_answer *answer, const struct error *err, int64_t duration_us);

#endif
