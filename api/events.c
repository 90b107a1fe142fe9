/* events.c - see events.h. */
#include "api/events.h"

#include "api/conn.h"
#include "api/watch.h"
#include "common/clock.h"
#include "common/metrics.h"

#define PER_EPOCH 100000000LL
#define PER_PHASE 10000000LL
#define ID_DIGITS 18 /* of a Last-Event-ID: what an int64_t holds for sure */
#define RETRY_MS "2000"
#define HEARTBEAT_MS 15000
#define STUCK_MS 30000

enum phase { PHASE_RUNNING, PHASE_PROGRESS, PHASE_QUEUED, PHASE_ENDED, PHASE_RESULT };

static struct metric streams = METRIC_GAUGE("autodb_event_streams", "Open event streams.", NULL);
static struct metric sent = METRIC_COUNTER("autodb_events_sent_total", "Events sent to streams, by type.", "type");
static struct metric ended = METRIC_COUNTER("autodb_event_streams_ended_total", "Event streams that ended, by cause.", "cause");

struct stream {
  struct watcher watcher; /* first: the callbacks get its address */
  int64_t last;           /* id of the newest event the client has; 0 = none */
  bool begun;             /* the head is out */
  bool leaving;           /* the client hung up, or we drain */
  bool behind;            /* there is news, and what was written before has not left yet */
  int64_t beat_ms;        /* clock_mono_ms: the next heartbeat … */
  int64_t stuck_ms;       /* … and since when the bytes unsent have not become fewer */
  size_t unsent;
};

/* --- leaving --- */

static void leave(struct stream *stream, const char *cause) {
  watch_remove(&stream->watcher);
  stream->watcher.req->hurry = NULL;
  metric_add(&streams, NULL, -1);
  metric_add(&ended, cause, 1);
}

/* `whole`: the client is told that this was all; else the connection just breaks. */
static void end(struct stream *stream, const char *cause, bool whole) {
  leave(stream, cause);
  conn_stream_end(stream->watcher.req->conn, whole);
}

/* --- events as text --- */

struct news {
  struct stream *stream;
  const PGresult *res;
  int row;
  struct buf *out;
};

static const char *value(const struct news *news, const char *member) { return jobview_value(news->res, news->row, member); }

static int64_t event_id(const struct news *news, enum phase phase, int64_t number) {
  int64_t epoch = strtoll(value(news, "attempt"), NULL, 10) + strtoll(PQgetvalue(news->res, news->row, WATCH_RETRIES), NULL, 10);
  return epoch * PER_EPOCH + phase * PER_PHASE + (number < PER_PHASE ? number : PER_PHASE - 1);
}

/* False when the client has it already. */
static bool begin_event(const struct news *news, const char *type, int64_t id) {
  if (id <= news->stream->last) return false;
  news->stream->last = id;
  metric_add(&sent, type, 1);
  return buf_printf(news->out, "id: %lld\nevent: %s\ndata: ", (long long)id, type);
}

/* Line breaks in stored JSON stand between its tokens; in an event they would end the line. */
static void end_event(const struct news *news, size_t data_at) {
  for (size_t i = data_at; i < news->out->len; i++)
    if (news->out->data[i] == '\n' || news->out->data[i] == '\r') news->out->data[i] = ' ';
  buf_puts(news->out, "\n\n");
}

static void put_time(const struct news *news, const char *member) {
  const char *time = value(news, member);
  buf_printf(news->out, ", \"%s\": %s%s%s", member, time ? "\"" : "", time ? time : "null", time ? "\"" : "");
}

static void put_status(const struct news *news, const char *status, enum phase phase) {
  if (!begin_event(news, "status", event_id(news, phase, 0))) return;
  buf_printf(news->out, "{\"job_id\": \"%s\", \"status\": \"%s\", \"attempt\": %s, \"max_attempts\": %s", value(news, "job_id"), status,
             value(news, "attempt"), value(news, "max_attempts"));
  put_time(news, "started_at");
  put_time(news, "finished_at");
  buf_puts(news->out, "}\n\n");
}

static void put_progress(const struct news *news) {
  const char *progress = value(news, "progress");
  int64_t number = strtoll(PQgetvalue(news->res, news->row, WATCH_PROGRESS_SEQ), NULL, 10);
  if (!progress || !begin_event(news, "progress", event_id(news, PHASE_PROGRESS, number))) return;
  size_t data_at = news->out->len;
  buf_puts(news->out, progress);
  end_event(news, data_at);
}

static void put_result(const struct news *news) {
  char url[64] = "";
  if (!begin_event(news, "result", event_id(news, PHASE_RESULT, 0))) return;
  size_t data_at = news->out->len;
  if (*PQgetvalue(news->res, news->row, WATCH_LEFT_OUT) == 't') snprintf(url, sizeof url, "/api/v1/jobs/%s", value(news, "job_id"));
  jobview_put_with_url(news->out, news->res, news->row, *url ? url : NULL);
  end_event(news, data_at);
}

/* What the client has not heard of, oldest first. Who has just come is only told how things are. */
static void put_news(const struct news *news) {
  const char *status = value(news, "status");
  bool running = strcmp(status, "running") == 0;
  if (running || (news->stream->last && value(news, "started_at"))) put_status(news, "running", PHASE_RUNNING);
  if (running) put_progress(news);
  if (strcmp(status, "queued") == 0) put_status(news, status, PHASE_QUEUED);
  if (!jobview_ended(news->res, news->row)) return;
  put_status(news, status, PHASE_ENDED);
  put_result(news);
}

/* --- sending --- */

static bool begin(struct stream *stream, struct buf *out) {
  struct request *req = stream->watcher.req;
  stream->begun = true;
  request_header(req, "X-Accel-Buffering", "no"); /* nginx would hold events back */
  if (!conn_stream_begin(req->conn, "text/event-stream")) return false;
  return buf_puts(out, "retry: " RETRY_MS "\n\n");
}

static bool send_text(struct stream *stream, const char *text, size_t len) {
  int64_t now = clock_mono_ms();
  stream->beat_ms = now + HEARTBEAT_MS;
  stream->stuck_ms = now + STUCK_MS;
  if (!conn_stream_write(stream->watcher.req->conn, text, len)) return false;
  stream->unsent = conn_unsent(stream->watcher.req->conn);
  return true;
}

/* The client has heard the end, and comes back for more. */
static bool nothing_left(const struct stream *stream, const struct news *news) {
  return !stream->begun && jobview_ended(news->res, news->row) && event_id(news, PHASE_RESULT, 0) <= stream->last;
}

static void seen(struct watcher *watcher, const PGresult *res, int row) {
  struct stream *stream = (struct stream *)watcher;
  struct conn *conn = watcher->req->conn;
  BUF_AUTO out;
  struct news news = {stream, res, row, &out};
  buf_init(&out, (size_t)LIMIT_EVENT_RESULT_BYTES + LIMIT_RESULT_BYTES);
  if (nothing_left(stream, &news)) {
    leave(stream, "final");
    reply_empty(watcher->req, 204);
    return;
  }
  if (!stream->begun && !begin(stream, &out)) {
    end(stream, "client", false);
    return;
  }
  put_news(&news);
  if (!buf_ok(&out) || (out.len && !send_text(stream, out.data, out.len)))
    end(stream, buf_ok(&out) ? "client" : "memory", false);
  else if (jobview_ended(res, row))
    end(stream, "final", true);
  else if (conn->head_only || stream->leaving || server_draining(conn->server))
    end(stream, conn->head_only ? "head" : "shutdown", true);
}

static void failed(struct watcher *watcher, const struct error *err) {
  struct stream *stream = (struct stream *)watcher;
  if (stream->begun && err->status == ERR_NOT_FOUND) {
    end(stream, "gone", true);
  } else if (!stream->begun) {
    leave(stream, err->status == ERR_NOT_FOUND ? "not found" : "database");
    reply_error(watcher->req, err);
  } /* else: it looks again soon, heartbeats go on */
}

/* --- waiting --- */

static bool wants(struct watcher *watcher) {
  struct stream *stream = (struct stream *)watcher;
  if (stream->leaving && stream->begun) {
    end(stream, watcher->req->conn->gone ? "client" : "shutdown", true);
    return false;
  }
  stream->behind = stream->begun && conn_unsent(watcher->req->conn) > 0;
  return !stream->behind;
}

static void check_stuck(struct stream *stream, size_t unsent, int64_t now_ms) {
  if (unsent < stream->unsent) stream->stuck_ms = now_ms + STUCK_MS;
  stream->unsent = unsent;
  if (now_ms >= stream->stuck_ms) end(stream, "slow", false);
}

static void tick(struct watcher *watcher, int64_t now_ms) {
  static const char heartbeat[] = ": \n\n";
  struct stream *stream = (struct stream *)watcher;
  if (!stream->begun) return;
  size_t unsent = conn_unsent(watcher->req->conn);
  if (unsent)
    check_stuck(stream, unsent, now_ms);
  else if (stream->behind)
    watch_look(watcher);
  else if (now_ms >= stream->beat_ms && !send_text(stream, heartbeat, sizeof heartbeat - 1))
    end(stream, "client", false);
}

static const struct watch_ops ops = {.wants = wants, .seen = seen, .failed = failed, .tick = tick};

/* --- coming --- */

/* From inside the connection's own callbacks: it ends at the end of the turn. */
static void hurry(struct request *req) {
  struct stream *stream = req->state;
  stream->leaving = true;
  watch_look(&stream->watcher);
}

static enum status read_last_id(const struct request *req, int64_t *ret_last, struct error *err) {
  const char *text = http_header(req->http, "last-event-id");
  if (!text || !*text) return OK;
  size_t digits = strspn(text, "0123456789");
  if (text[digits] || digits > ID_DIGITS)
    return error_add_field(err, "Last-Event-ID", "must be the id of an event of this stream, which is a number");
  *ret_last = strtoll(text, NULL, 10);
  return OK;
}

enum status events_get(struct request *req, struct error *err) {
  int64_t last = 0;
  enum status status = read_last_id(req, &last, err);
  if (status != OK) return status;
  struct stream *stream = ARENA_NEW(req->arena, struct stream);
  if (!stream) return error_oom(err);
  *stream =
      (struct stream){.watcher = {.req = req, .id = req->ids[0], .ops = &ops, .what = WATCH_CHANGES, .deadline = INT64_MAX}, .last = last};
  req->state = stream;
  req->hurry = hurry;
  metric_add(&streams, NULL, 1);
  watch_add(&stream->watcher);
  watch_look(&stream->watcher);
  return OK;
}
