/* slot.c - runs jobs; see slot.h.
 *
 * Straight-line and blocking. Frames that were written ahead wait in `in`; before each job the socket is looked at once without blocking,
 * because a REVOKE behind them takes them back. The address space a kind may use is a soft limit set before its job. */
#include "worker/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clientcancel.h"
#include "common/id.h"
#include "common/job.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/kinds.h"
#include "worker/wire.h"

#define READ_BYTES (64 * 1024)
#define ARENA_BYTES ((size_t)1024 * 1024 * 1024) /* RLIMIT_AS bounds it before that */

struct slot {
  const struct config *cfg;
  struct keyring *keyring; /* NULL when there is no master key */
  const char *keeper_socket;
  PGconn *db;
  struct arena *arena;
  struct buf in, out;
  size_t at; /* of in: where the next frame begins */
  int memory_mb;
};

/* A process runs at most one slot; job_progress finds it here (NULL outside a slot: nobody watches). */
static struct slot *self;

static bool write_all(const char *bytes, size_t len) {
  while (len) {
    ssize_t wrote = send(SLOT_FD, bytes, len, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    bytes += wrote;
    len -= (size_t)wrote;
  }
  return true;
}

/* What can't be answered can't be useful: without its supervisor a slot ends. */
static void answer(struct slot *slot) {
  if (!write_all(buf_str(&slot->out), slot->out.len)) _exit(0);
  if (slot->out.cap > READ_BYTES) buf_free(&slot->out);
}

static void answer_frame(struct slot *slot, enum wire_type type, const void *body, size_t len) {
  buf_reset(&slot->out);
  wire_put(&slot->out, type, body, len);
  answer(slot);
}

enum status job_park(struct job *job, int delay_ms, struct error *err) {
  job->park_ms = delay_ms < 1 ? 1 : delay_ms;
  return error_set_code(err, ERR_UNAVAILABLE, "JOB_PARKED", "the job waits for others, and is looked at again in %d ms", delay_ms);
}

static void answer_parked(struct slot *slot, int delay_ms) {
  char text[16];
  int len = snprintf(text, sizeof text, "2%d", delay_ms);
  answer_frame(slot, WIRE_ERROR, text, (size_t)len);
}

static void answer_error(struct slot *slot, const struct error *err) {
  json_t *json = error_json(err);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  const char *known = text ? text : "{\"code\":\"INTERNAL\",\"message\":\"out of memory\",\"details\":null}";
  buf_reset(&slot->out);
  buf_put_u32be(&slot->out, (uint32_t)strlen(known) + 1);
  buf_putc(&slot->out, WIRE_ERROR);
  buf_putc(&slot->out, err->status == ERR_UNAVAILABLE ? '1' : '0');
  buf_puts(&slot->out, known);
  answer(slot);
  free(text);
  json_decref(json);
}

/* The length goes in front once it is known. */
static enum status answer_result(struct slot *slot, const json_t *result, struct error *err) {
  buf_reset(&slot->out);
  buf_append(&slot->out, "\0\0\0\0R", WIRE_HEAD_BYTES);
  if (!buf_put_json(&slot->out, result))
    return error_set_code(err, ERR_INTERNAL, "RESULT_TOO_LARGE", "the result is larger than %d MiB", LIMIT_RESULT_BYTES >> 20);
  size_t len = slot->out.len - WIRE_HEAD_BYTES;
  for (int i = 0; i < 4; i++) slot->out.data[i] = (char)(len >> (24 - 8 * i));
  answer(slot);
  return OK;
}

void job_progress(const struct job *job, int percent, const char *step, const char *message) {
  if (!self || !job) return;
  json_t *json = json_pack("{s:i, s:s?, s:s?}", "percent",
                           percent < 0     ? 0
                           : percent > 100 ? 100
                                           : percent,
                           "step", step, "message", message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  if (text) answer_frame(self, WIRE_PROGRESS, text, strlen(text));
  free(text);
  json_decref(json);
}

/* --- one job --- */

static void limit_memory(struct slot *slot, const char *kind_name) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow is terabytes of address space */
  const struct job_kind *kind = job_kind_find(kind_name);
  int mb = kind ? kind->memory_mb : 512;
  if (mb == slot->memory_mb) return;
  if (setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)mb << 20, RLIM_INFINITY}) == 0) slot->memory_mb = mb;
#else
  (void)slot, (void)kind_name;
#endif
}

/* A server that went away while the connection idled has left an end of file in the socket: better found now than by the job. */
static enum status connect_db(struct slot *slot, struct error *err) {
  if (slot->db && (!PQconsumeInput(slot->db) || PQstatus(slot->db) != CONNECTION_OK || PQtransactionStatus(slot->db) != PQTRANS_IDLE)) {
    PQfinish(slot->db);
    slot->db = NULL;
  }
  return slot->db ? OK : pg_connect(slot->cfg->database_url, "slot", &slot->db, err);
}

static enum status run_handler(struct slot *slot, const struct wire_job *wire, int *ret_park_ms, json_t **ret_result, struct error *err) {
  const struct kind *kind = kind_find(wire->kind);
  if (!kind)
    return error_set_code(err, ERR_UNAVAILABLE, "KIND_UNKNOWN", "this worker (version %s) can't run jobs of kind %s", AUTODB_VERSION,
                          wire->kind);
  enum status status = kind->needs_db ? connect_db(slot, err) : OK;
  if (status != OK) return status;
  json_t *payload = NULL;
  status = json_parse(wire->payload, wire->payload_len, &payload, err);
  if (status != OK) return status;
  struct job job = {.id = wire->id,
                    .kind = wire->kind,
                    .owner_id = wire->owner_id,
                    .connection_id = wire->connection_id,
                    .attempt = wire->attempt,
                    .payload = payload,
                    .arena = slot->arena,
                    .cfg = slot->cfg,
                    .keyring = slot->keyring,
                    .keeper_socket = *slot->keeper_socket ? slot->keeper_socket : NULL,
                    .db = slot->db};
  status = kind->handler(&job, ret_result, err);
  *ret_park_ms = job.park_ms;
  json_decref(payload);
  return status;
}

static void run_job(struct slot *slot, const struct wire_job *wire) {
  ERROR_AUTO err = {0};
  json_t *result = NULL;
  char trace_id[TRACE_ID_TEXT];
  log_context("job", wire->id);
  log_context("attempt", log_fmt("%d", wire->attempt));
  log_context("trace_id", *trace_id_of(wire->trace, trace_id) ? trace_id : NULL);
  log_event(LOG_DEBUG, "job begins", "kind", wire->kind, NULL);
  limit_memory(slot, wire->kind);
  int park_ms = 0;
  enum status status = run_handler(slot, wire, &park_ms, &result, &err);
  if (status == OK) status = answer_result(slot, result, &err);
  log_event(LOG_DEBUG, "job ends", "error", status == OK ? NULL : err.code, NULL);
  if (status != OK && park_ms)
    answer_parked(slot, park_ms);
  else if (status != OK)
    answer_error(slot, &err);
  json_decref(result);
  arena_reset(slot->arena);
  log_context("trace_id", NULL);
  log_context("attempt", NULL);
  log_context("job", NULL);
}

/* --- the socket --- */

/* Reads what there is; waits for something when `flags` is 0. False at the end of file. */
static bool fill(struct slot *slot, int flags) {
  static char bytes[READ_BYTES];
  for (;;) {
    ssize_t got = recv(SLOT_FD, bytes, sizeof bytes, flags);
    if (got > 0) return buf_append(&slot->in, bytes, (size_t)got);
    if (got == 0) return false;
    if (errno == EAGAIN) return true;
    if (errno != EINTR) return false;
  }
}

/* The next whole frame, or NULL. A supervisor that sends nonsense is not ours: exit. */
static const char *peek(const struct slot *slot, size_t at, enum wire_type *ret_type, size_t *ret_len) {
  int whole = wire_head(buf_str(&slot->in) + at, slot->in.len - at, WIRE_JOB_BYTES, ret_type, ret_len);
  if (whole < 0) _exit(1);
  if (whole == 0 || slot->in.len - at - WIRE_HEAD_BYTES < *ret_len) return NULL;
  return slot->in.data + at + WIRE_HEAD_BYTES;
}

/* Jobs in front of a REVOKE are dropped. */
static void drop_revoked(struct slot *slot) {
  enum wire_type type;
  size_t len, at = slot->at, end = slot->at;
  for (const char *body; (body = peek(slot, at, &type, &len));) {
    at += WIRE_HEAD_BYTES + len;
    if (type == WIRE_REVOKE) end = at;
  }
  while (slot->at < end && peek(slot, slot->at, &type, &len)) {
    slot->at += WIRE_HEAD_BYTES + len;
    if (type == WIRE_JOB) answer_frame(slot, WIRE_DROPPED, "", 0);
  }
}

/* False when there is no whole frame left. */
static bool step(struct slot *slot) {
  enum wire_type type;
  size_t len;
  const char *body = peek(slot, slot->at, &type, &len);
  if (!body) return false;
  struct wire_job job;
  if (type != WIRE_JOB || !wire_get_job(body, len, &job)) _exit(1);
  run_job(slot, &job);
  slot->at += WIRE_HEAD_BYTES + len;
  return true;
}

static void forget_done(struct slot *slot) {
  buf_consume(&slot->in, slot->at);
  slot->at = 0;
  if (!slot->in.len && slot->in.cap > READ_BYTES) buf_free(&slot->in);
}

static void serve(struct slot *slot) {
  while (fill(slot, 0)) {
    do {
      if (slot->at >= READ_BYTES) forget_done(slot);
      if (!fill(slot, MSG_DONTWAIT)) return;
      drop_revoked(slot);
    } while (step(slot));
    forget_done(slot);
  }
}

int slot_main(const struct config *cfg, const char *keeper_socket) {
  ERROR_AUTO err = {0};
  struct slot slot = {.cfg = cfg, .keeper_socket = keeper_socket, .arena = arena_new(ARENA_BYTES)};
  fcntl(SLOT_FD, F_SETFD, FD_CLOEXEC);
  buf_init(&slot.in, (size_t)LIMIT_HTTP_BODY_SQL * 32); /* a large one, or several brief ones */
  buf_init(&slot.out, WIRE_HEAD_BYTES + WIRE_ANSWER_BYTES);
  if (!slot.arena || (cfg->master_key && *cfg->master_key && keyring_new(cfg->master_key, &slot.keyring, &err) != OK)) {
    log_event(LOG_ERROR, "slot can't start", "error", err.message, NULL);
    return 1;
  }
  self = &slot;
  clientcancel_begin();
  answer_frame(&slot, WIRE_HELLO, "", 0);
  serve(&slot);
  self = NULL;
  PQfinish(slot.db);
  keyring_free(slot.keyring);
  arena_free(slot.arena);
  buf_free(&slot.in);
  buf_free(&slot.out);
  return 0;
}
