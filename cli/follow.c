/* follow.c - see follow.h. What comes over the wire may hold words from a database: it is printed through term.h, which lets no control
 * character through. */
#include "cli/follow.h"

#include <string.h>
#include <time.h>

#include "cli/sse.h"
#include "cli/term.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"

#define AGAIN_MS 500 /* between two connections */

struct follow {
  struct sse sse;
  struct term term;
  bool ended;
};

static void on_event(void *arg, const char *type, const char *data) {
  struct follow *follow = arg;
  json_t *body = json_loads(data, 0, NULL);
  if (strcmp(type, "status") == 0) {
    term_printf(&follow->term, TERM_PLAIN, "%s", json_str(body, "status", ""));
    long long attempt = json_int(body, "attempt", 0);
    if (attempt > 1) term_printf(&follow->term, TERM_DIM, "  attempt %lld of %lld", attempt, json_int(body, "max_attempts", 0));
    fputc('\n', stderr);
  } else if (strcmp(type, "progress") == 0) {
    term_printf(&follow->term, TERM_PLAIN, "%3lld%%  %s", json_int(body, "percent", 0), json_str(body, "step", ""));
    term_printf(&follow->term, TERM_DIM, "  %s", json_str(body, "message", ""));
    fputc('\n', stderr);
  } else if (strcmp(type, "result") == 0) {
    follow->ended = true;
  }
  json_decref(body);
}

static bool on_bytes(void *arg, const char *bytes, size_t len) {
  struct follow *follow = arg;
  return sse_feed(&follow->sse, bytes, len);
}

static void pause_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * 1000000L}, NULL); }

enum status follow_job(struct client *client, const char *id, int timeout_seconds, struct error *err) {
  struct follow follow = {0};
  char path[96];
  int64_t end = clock_mono_ms() + (int64_t)timeout_seconds * 1000;
  enum status status = OK;
  snprintf(path, sizeof path, "/api/v1/jobs/%.40s/events", id);
  term_init(&follow.term, stderr);
  sse_init(&follow.sse, (size_t)LIMIT_EVENT_RESULT_BYTES * 2, on_event, &follow);
  while (!follow.ended) {
    int64_t left_ms = end - clock_mono_ms();
    bool over = false;
    error_clear(err);
    sse_restart(&follow.sse);
    status = left_ms > 0 ? client_stream(client, path, follow.sse.id, left_ms, on_bytes, &follow, &over, err)
                         : error_set(err, ERR_TIMEOUT, "job %s has not ended after %d s", id, timeout_seconds);
    follow.ended = follow.ended || over;
    if (status != OK && status != ERR_UNAVAILABLE) break;
    if (!follow.ended) pause_a_little();
  }
  sse_free(&follow.sse);
  if (follow.ended) error_clear(err);
  return follow.ended ? OK : status;
}
