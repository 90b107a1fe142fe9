/* ledger.h - the courier's statements: deliveries are claimed from autodb.deliveries and their outcome is written back, fenced by tries. */
#ifndef AUTODB_WEBHOOK_LEDGER_H
#define AUTODB_WEBHOOK_LEDGER_H

#include "common/pgloop.h"
#include "worker/webhook/verdict.h"

/* Columns of claim_deliveries(), in their order. */
enum ledger_column {
  LEDGER_ID,
  LEDGER_TRIES,
  LEDGER_COUNTED,
  LEDGER_EVENT,
  LEDGER_URL,
  LEDGER_TRACE,
  LEDGER_STAMP,
  LEDGER_DATA,
  LEDGER_WHY_NOT, /* it is not to be sent any more */
  LEDGER_CONTEXT, /* that the secrets are sealed with */
  LEDGER_SECRET,
  LEDGER_SECRET_KEY_ID,
  LEDGER_OLD_SECRET, /* while it is valid */
  LEDGER_OLD_SECRET_KEY_ID
};

/* What became of a try. */
struct ledger_entry {
  const char *id;
  int tries;
  struct verdict verdict;
  bool blame;                     /* the endpoint's doing: it counts for its circuit */
  int status;                     /* 0: no answer */
  const char *error;              /* NULL when all is well */
  const char *request, *response; /* excerpts; NULL: not sent, no answer */
  int duration_ms;                /* -1: not sent */
};

/* Gives back what a courier of that name still holds: it is dead, or is stopping. No rows. */
MUST_CHECK enum status ledger_release(struct pgloop *pg, const char *name, pgloop_cb cb, void *arg, struct error *err);
/* At most `room` rows. */
MUST_CHECK enum status ledger_claim(struct pgloop *pg, const char *name, int room, const char *base_url, pgloop_cb cb, void *arg,
                                    struct error *err);
/* One row: was the delivery still ours, failures of its endpoint in a row, was its webhook disabled by this. */
MUST_CHECK enum status ledger_finish(struct pgloop *pg, const struct ledger_entry *entry, pgloop_cb cb, void *arg, struct error *err);
/* One row: backlog, seconds the oldest due one waits, open circuits. */
MUST_CHECK enum status ledger_state(struct pgloop *pg, pgloop_cb cb, void *arg, struct error *err);
/* Forgets deliveries that ended LEDGER_DAYS ago. */
#define LEDGER_DAYS 30
MUST_CHECK enum status ledger_forget(struct pgloop *pg, pgloop_cb cb, void *arg, struct error *err);

#endif
