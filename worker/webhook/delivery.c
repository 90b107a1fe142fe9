/* delivery.c - see delivery.h. Secrets are open for as long as it takes to sign. */
#include "worker/webhook/delivery.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/webhook/message.h"

#define ARENA_BYTES ((size_t)32 << 20) /* an error's details have no bound of their own */
#define SECRET_BYTES 64
#define NO_SECRET "the signing secret can't be opened: is its key in AUTODB_MASTER_KEY?"

/* --- signatures --- */

static void wipe(struct buf *buf) {
  if (buf->data) explicit_bzero(buf->data, buf->cap);
  buf_free(buf);
}
#define SECRET_AUTO __attribute__((cleanup(wipe))) struct buf

/* Adds the signature by the secret in those columns, if there is one. */
static bool sign_with(const struct delivery *delivery, const PGresult *res, int row, enum ledger_column secret,
                      const struct keyring *keyring, struct buf *out) {
  ERROR_AUTO err = {0};
  SECRET_AUTO key;
  buf_init(&key, SECRET_BYTES);
  size_t len = 0;
  const void *blob = pg_bytes(res, row, secret, delivery->arena, &len);
  if (!blob) return true;
  const char *key_id = PQgetvalue(res, row, secret + 1), *context = PQgetvalue(res, row, LEDGER_CONTEXT);
  return keyring_open(keyring, key_id, context, blob, len, &key, &err) == OK &&
         message_sign(out, key.data, key.len, delivery->id, delivery->timestamp, delivery->body);
}

/* Both secrets sign while one replaces the other. NULL when the current one can't. */
static const char *signatures(const struct delivery *delivery, const PGresult *res, int row, const struct keyring *keyring,
                              const uint8_t unclaimed[SHA256_BYTES]) {
  BUF_AUTO out;
  buf_init(&out, 512);
  bool fine = sign_with(delivery, res, row, LEDGER_SECRET, keyring, &out);
  if (fine && !out.len) fine = message_sign(&out, unclaimed, SHA256_BYTES, delivery->id, delivery->timestamp, delivery->body);
  if (fine && !sign_with(delivery, res, row, LEDGER_OLD_SECRET, keyring, &out)) fine = out.len != 0; /* an old one lost is no loss */
  return fine ? arena_strdup(delivery->arena, buf_str(&out)) : NULL;
}

/* --- the request --- */

static void give_up(struct delivery *delivery, enum verdict_kind outcome, const char *why) {
  delivery->unsendable = true;
  delivery->entry.error = why;
  delivery->entry.verdict =
      outcome == VERDICT_RETRY ? verdict_of(0, 0, delivery->counted, (uint32_t)clock_mono_us()) : (struct verdict){.outcome = outcome};
}

static void make_request(struct delivery *delivery, const char *url, const char *signature) {
  const struct webcall_header headers[DELIVERY_HEADERS] = {{"Content-Type", "application/json"},
                                                           {"webhook-id", delivery->id},
                                                           {"webhook-timestamp", delivery->timestamp},
                                                           {"webhook-signature", signature},
                                                           {"traceparent", delivery->trace}};
  memcpy(delivery->headers, headers, sizeof headers);
  delivery->request = (struct webcall_request){.method = "POST",
                                               .url = url,
                                               .headers = delivery->headers,
                                               .header_count = DELIVERY_HEADERS,
                                               .body = delivery->body,
                                               .body_len = strlen(delivery->body),
                                               .timeout_ms = LIMIT_DELIVERY_MS,
                                               .max_answer = LIMIT_DELIVERY_ANSWER,
                                               .cut = true,
                                               .plain_if_listed = true};
  delivery->entry.request = arena_printf(delivery->arena, "webhook-id: %s\nwebhook-timestamp: %s\n\n%s", delivery->id, delivery->timestamp,
                                         message_excerpt(delivery->arena, delivery->body, strlen(delivery->body), LIMIT_DELIVERY_EXCERPT));
}

static bool fill(struct delivery *delivery, const PGresult *res, int row) {
  struct arena *arena = delivery->arena;
  delivery->id = arena_strdup(arena, PQgetvalue(res, row, LEDGER_ID));
  delivery->event = arena_strdup(arena, PQgetvalue(res, row, LEDGER_EVENT));
  delivery->tries = (int)pg_int(res, row, LEDGER_TRIES, 0);
  delivery->counted = (int)pg_int(res, row, LEDGER_COUNTED, 1);
  delivery->host = webcall_host(PQgetvalue(res, row, LEDGER_URL), arena);
  trace_child(pg_str(res, row, LEDGER_TRACE), delivery->trace);
  snprintf(delivery->timestamp, sizeof delivery->timestamp, "%lld", (long long)(clock_wall_ms() / 1000));
  delivery->body =
      message_body(arena, PQgetvalue(res, row, LEDGER_EVENT), PQgetvalue(res, row, LEDGER_STAMP), PQgetvalue(res, row, LEDGER_DATA));
  delivery->entry = (struct ledger_entry){.id = delivery->id, .tries = delivery->tries, .duration_ms = -1};
  return delivery->id && delivery->event && delivery->body;
}

struct delivery *delivery_new(const PGresult *res, int row, const struct keyring *keyring, const uint8_t unclaimed[SHA256_BYTES]) {
  struct arena *arena = arena_new(ARENA_BYTES);
  struct delivery *delivery = arena ? ARENA_NEW(arena, struct delivery) : NULL;
  if (delivery) delivery->arena = arena;
  if (!delivery || !fill(delivery, res, row)) {
    arena_free(arena);
    return NULL;
  }
  const char *why_not = arena_strdup(arena, pg_str(res, row, LEDGER_WHY_NOT));
  const char *url = arena_strdup(arena, PQgetvalue(res, row, LEDGER_URL));
  const char *signature = why_not ? NULL : signatures(delivery, res, row, keyring, unclaimed);
  if (why_not)
    give_up(delivery, VERDICT_FAILED, why_not);
  else if (!signature || !url)
    give_up(delivery, VERDICT_RETRY, NO_SECRET);
  else
    make_request(delivery, url, signature);
  return delivery;
}

void delivery_free(struct delivery *delivery) {
  if (delivery) arena_free(delivery->arena);
}

/* --- after the call --- */

void delivery_judge(struct delivery *delivery, const struct webcall_answer *answer, const struct error *err, int64_t duration_us) {
  struct ledger_entry *entry = &delivery->entry;
  int status = answer ? answer->status : 0;
  entry->status = status;
  entry->duration_ms = (int)(duration_us / 1000);
  entry->verdict = verdict_of(status, answer ? answer->retry_after_s : 0, delivery->counted, (uint32_t)duration_us);
  entry->blame = entry->verdict.outcome != VERDICT_DELIVERED;
  if (answer) entry->response = message_excerpt(delivery->arena, answer->body, answer->body_len, LIMIT_DELIVERY_EXCERPT);
  if (!answer)
    entry->error = message_excerpt(delivery->arena, err->message, strlen(err->message), sizeof err->message);
  else if (status >= 300 && status < 400)
    entry->error = arena_printf(delivery->arena, "answered %d: redirects are not followed", status);
  else if (entry->blame)
    entry->error = arena_printf(delivery->arena, "answered %d", status);
}
