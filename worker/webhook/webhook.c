/* webhook.c - the courier's event loop: claims what is due, keeps up to LIMIT_DELIVERY_CALLS calls going, writes down what came of each.
 *
 * It polls: a claim that finds nothing is one probe of an index, four times a second, and needs neither Redis nor a word from whoever ended
 * the job. A delivery is leased for longer than a call can take. Whatever dies in between, the lease runs out and the same webhook-id is
 * sent again: at least once, and a receiver tells duplicates by that id. */
#include "worker/webhook/webhook.h"

#include <event2/event.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "common/webloop.h"
#include "worker/slot.h"
#include "worker/webhook/delivery.h"
#include "worker/webhook/report.h"

#define POLL_MS 250
#define AGAIN_MS 10 /* after a claim that found something, or a call that made room */
#define STATE_MS 5000
#define FORGET_MS 60000
#define GRACE_MS 1500 /* for calls under way, when we are told to stop; then they are given back */
#define CONNECTIONS 2

struct courier;
struct errand { /* a delivery in our hands */
  struct courier *courier;
  struct delivery *delivery;
  int64_t started_us;
  LIST_ENTRY(errand) link;
};
LIST_HEAD(errands, errand);

struct courier {
  const struct config *cfg;
  const char *name;
  struct event_base *base;
  struct pgloop *pg;
  struct netpolicy *policy;
  struct webloop *web;
  struct keyring *keyring;
  uint8_t unclaimed[SHA256_BYTES];
  struct event *sigterm, *sigint, *poll, *grace;
  struct errands errands;
  int count;
  bool released, claiming, stopping, leaving;
  int64_t poll_ms, state_ms, forget_ms; /* monotonic: next time */
};

/* Sooner than planned, never later: what keeps coming must not put it off. */
static void poll_in(struct courier *courier, int ms) {
  int64_t at = clock_mono_ms() + ms;
  if (evtimer_pending(courier->poll, NULL) && courier->poll_ms <= at) return;
  courier->poll_ms = at;
  event_add(courier->poll, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
}

/* The supervisor may be slow: a report is never waited for. */
static void report(const struct courier_report *report) {
  if (send(SLOT_FD, report, sizeof *report, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
}

/* --- the end of a delivery --- */

static void forget(struct errand *errand) {
  struct courier *courier = errand->courier;
  LIST_REMOVE(errand, link);
  delivery_free(errand->delivery);
  free(errand);
  courier->count--;
  if (courier->stopping && !courier->count && !courier->claiming)
    event_base_loopbreak(courier->base);
  else if (!courier->stopping)
    poll_in(courier, AGAIN_MS);
}

static void tell(const struct delivery *delivery, enum verdict_kind outcome, const char *error) {
  const struct ledger_entry *entry = &delivery->entry;
  bool fine = outcome == VERDICT_DELIVERED;
  log_event(fine ? LOG_INFO : LOG_WARN, fine ? "webhook delivered" : "webhook not delivered", "webhook_id", delivery->id, "event",
            delivery->event, "host", delivery->host, "outcome", verdict_names[outcome], "try", log_fmt("%d", delivery->tries), "status",
            entry->status ? log_fmt("%d", entry->status) : NULL, "ms", entry->duration_ms < 0 ? NULL : log_fmt("%d", entry->duration_ms),
            "trace", delivery->trace, "error", error, NULL);
}

static void on_finished(void *arg, const PGresult *res, const struct error *err) {
  struct errand *errand = arg;
  const struct delivery *delivery = errand->delivery;
  enum verdict_kind outcome = delivery->entry.verdict.outcome;
  if (!res)
    log_event(LOG_WARN, "the outcome of a webhook was not written: it will be sent again", "webhook_id", delivery->id, "trace",
              delivery->trace, "error", err->message, NULL);
  else if (pg_int(res, 0, 0, 0) == 0)
    outcome = VERDICT_FENCED;
  if (res) tell(delivery, outcome, delivery->entry.error);
  if (res && pg_int(res, 0, 2, 0))
    log_event(LOG_WARN, "webhook disabled", "webhook_id", delivery->id, "failures", log_fmt("%s", PQgetvalue(res, 0, 1)), NULL);
  report(&(struct courier_report){.kind = REPORT_TRY,
                                  .outcome = (int)outcome,
                                  .duration_us = delivery->entry.duration_ms < 0 ? -1 : (int64_t)delivery->entry.duration_ms * 1000});
  forget(errand);
}

static void finish(struct errand *errand) {
  ERROR_AUTO err = {0};
  if (ledger_finish(errand->courier->pg, &errand->delivery->entry, on_finished, errand, &err) != OK) on_finished(errand, NULL, &err);
}

static void on_answer(void *arg, const struct webcall_answer *answer, const struct error *err) {
  struct errand *errand = arg;
  delivery_judge(errand->delivery, answer, err, clock_mono_us() - errand->started_us);
  finish(errand);
}

/* --- claiming --- */

static void send_row(struct courier *courier, const PGresult *res, int row) {
  ERROR_AUTO err = {0};
  struct errand *errand = calloc(1, sizeof *errand);
  struct delivery *delivery = errand ? delivery_new(res, row, courier->keyring, courier->unclaimed) : NULL;
  if (!delivery) { /* its lease brings it back */
    log_event(LOG_ERROR, "out of memory for a webhook", "webhook_id", PQgetvalue(res, row, LEDGER_ID), NULL);
    free(errand);
    return;
  }
  *errand = (struct errand){.courier = courier, .delivery = delivery, .started_us = clock_mono_us()};
  LIST_INSERT_HEAD(&courier->errands, errand, link);
  courier->count++;
  if (delivery->unsendable) {
    finish(errand);
  } else if (webloop_start(courier->web, &delivery->request, delivery->arena, on_answer, errand, &err) != OK) {
    delivery_judge(delivery, NULL, &err, 0);
    finish(errand);
  }
}

static void on_claimed(void *arg, const PGresult *res, const struct error *err) {
  struct courier *courier = arg;
  courier->claiming = false;
  if (!res) {
    if (err->status != ERR_UNAVAILABLE) log_event(LOG_ERROR, "webhooks can't be claimed", "error", err->message, NULL);
    return;
  }
  if (courier->stopping) return; /* the release gives them back */
  int rows = PQntuples(res);
  for (int row = 0; row < rows; row++) send_row(courier, res, row);
  if (rows) poll_in(courier, AGAIN_MS);
}

static void claim(struct courier *courier) {
  ERROR_AUTO err = {0};
  int room = LIMIT_DELIVERY_CALLS - courier->count;
  if (courier->claiming || courier->stopping || room <= 0) return;
  courier->claiming = ledger_claim(courier->pg, courier->name, room, courier->cfg->public_url, on_claimed, courier, &err) == OK;
}

static void on_released(void *arg, const PGresult *res, const struct error *err) {
  struct courier *courier = arg;
  (void)err;
  courier->claiming = false;
  courier->released = res != NULL;
  if (courier->released) claim(courier);
}

static void release(struct courier *courier) {
  ERROR_AUTO err = {0};
  if (!courier->claiming) courier->claiming = ledger_release(courier->pg, courier->name, on_released, courier, &err) == OK;
}

/* --- what else is to be done now and then --- */

static void on_state(void *arg, const PGresult *res, const struct error *err) {
  (void)arg;
  if (!res) {
    if (err->status != ERR_UNAVAILABLE) log_event(LOG_ERROR, "the backlog of webhooks can't be counted", "error", err->message, NULL);
    return;
  }
  report(&(struct courier_report){
      .kind = REPORT_STATE, .backlog = pg_int(res, 0, 0, 0), .oldest_s = pg_int(res, 0, 1, 0), .open_circuits = pg_int(res, 0, 2, 0)});
}

static void on_forgotten(void *arg, const PGresult *res, const struct error *err) {
  (void)arg;
  if (!res && err->status != ERR_UNAVAILABLE) log_event(LOG_ERROR, "old deliveries can't be forgotten", "error", err->message, NULL);
}

static void on_poll(evutil_socket_t fd, short what, void *arg) {
  struct courier *courier = arg;
  ERROR_AUTO err = {0};
  (void)fd, (void)what;
  if (courier->stopping) return;
  poll_in(courier, POLL_MS);
  if (!pgloop_up(courier->pg)) return;
  if (courier->released)
    claim(courier);
  else
    release(courier);
  int64_t now = clock_mono_ms();
  if (now >= courier->state_ms && ledger_state(courier->pg, on_state, courier, &err) == OK) courier->state_ms = now + STATE_MS;
  if (now >= courier->forget_ms && ledger_forget(courier->pg, on_forgotten, courier, &err) == OK) courier->forget_ms = now + FORGET_MS;
}

/* --- the end --- */

static void on_given_back(void *arg, const PGresult *res, const struct error *err) {
  struct courier *courier = arg;
  if (!res) log_event(LOG_WARN, "webhooks under way were not given back: their leases will run out", "error", err->message, NULL);
  event_base_loopbreak(courier->base);
}

static void on_grace(evutil_socket_t fd, short what, void *arg) {
  struct courier *courier = arg;
  ERROR_AUTO err = {0};
  (void)fd, (void)what;
  webloop_free(courier->web);
  courier->web = NULL;
  if (courier->leaving || ledger_release(courier->pg, courier->name, on_given_back, courier, &err) != OK)
    event_base_loopbreak(courier->base);
  courier->leaving = true;
  event_add(courier->grace, &(struct timeval){.tv_sec = 1}); /* and not a second longer */
}

static void on_stop(evutil_socket_t sig, short what, void *arg) {
  struct courier *courier = arg;
  (void)sig, (void)what;
  if (courier->stopping) return;
  courier->stopping = true;
  int grace_ms = courier->count || courier->claiming ? GRACE_MS : 0;
  event_add(courier->grace, &(struct timeval){.tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000});
}

/* --- the beginning --- */

static enum status watch(struct courier *courier, struct error *err) {
  signal(SIGPIPE, SIG_IGN);
  courier->sigterm = evsignal_new(courier->base, SIGTERM, on_stop, courier);
  courier->sigint = evsignal_new(courier->base, SIGINT, on_stop, courier);
  courier->poll = evtimer_new(courier->base, on_poll, courier);
  courier->grace = evtimer_new(courier->base, on_grace, courier);
  if (!courier->sigterm || !courier->sigint || !courier->poll || !courier->grace) return error_oom(err);
  if (event_add(courier->sigterm, NULL) || event_add(courier->sigint, NULL)) return error_oom(err);
  poll_in(courier, 0);
  return OK;
}

static enum status start(struct courier *courier, struct error *err) {
  const struct config *cfg = courier->cfg;
  courier->base = event_base_new();
  if (!courier->base) return error_oom(err);
  crypto_random(courier->unclaimed, sizeof courier->unclaimed);
  enum status status = watch(courier, err);
  if (status == OK) status = keyring_new(cfg->master_key, &courier->keyring, err);
  if (status == OK) status = netpolicy_new(cfg->webhook_allow, "", false, &courier->policy, err);
  if (status == OK) status = webloop_new(courier->base, courier->policy, &courier->web, err);
  return status == OK ? pgloop_new(courier->base, cfg->database_url, "courier", CONNECTIONS, NULL, NULL, &courier->pg, err) : status;
}

static void free_event(struct event *event) {
  if (event) event_free(event);
}

static void stop(struct courier *courier) {
  webloop_free(courier->web);
  courier->stopping = true;
  pgloop_free(courier->pg); /* what it still fails frees its errand */
  for (struct errand *errand; (errand = LIST_FIRST(&courier->errands));) forget(errand);
  keyring_free(courier->keyring);
  netpolicy_free(courier->policy);
  free_event(courier->sigterm);
  free_event(courier->sigint);
  free_event(courier->poll);
  free_event(courier->grace);
  if (courier->base) event_base_free(courier->base);
}

int webhook_courier_main(const struct config *cfg, const char *name) {
  ERROR_AUTO err = {0};
  struct courier courier = {.cfg = cfg, .name = name};
  LIST_INIT(&courier.errands);
  enum status status = start(&courier, &err);
  if (status == OK)
    event_base_dispatch(courier.base);
  else
    log_event(LOG_ERROR, "the courier can't start", "error", err.message, NULL);
  stop(&courier);
  return status == OK ? 0 : 1;
}
