/* watch.c - see watch.h.
 *
 * A watcher is on one list: waiting, due (to be looked at this turn) or of a look in flight. All of them are also in a hash table by job
 * id. */
#include "api/watch.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pgsettings.h"

#define BUCKETS 4096
#define LOOK_BATCH 256
#define TICK_MS 100
#define SLOW_TICK_MS 1000

TAILQ_HEAD(watcher_list, watcher);
LIST_HEAD(watcher_bucket, watcher);

struct look {
  struct watch *watch;
  struct watcher_list list;
};

struct watch {
  struct loop *loop;
  struct pgloop *pg; /* of its own: its statements are planned once (pgsettings.h), those of lists anew for what they filter by */
  struct event *tick;
  int64_t slow_ms; /* clock_mono_ms: the next slow tick */
  bool fast;       /* the tick is the short one: somebody waits for an end */
  bool listening;
  struct watcher_list waiting[WATCH_FOR], due[WATCH_FOR];
  struct watcher_bucket buckets[BUCKETS];
};

/* The bounds let the planner skip the days no id is of. */
#define SQL_LOOK(result, more)                                                \
  "SELECT " JOBVIEW_SELECT(result) ", j.owner_id" more " FROM " JOBVIEW_FROM( \
      " AND r.job_id BETWEEN $2::uuid AND $3::uuid") "WHERE j.id = ANY($1::uuid[]) AND j.id BETWEEN $2::uuid AND $3::uuid"
#define SQL_TOO_LARGE "octet_length(r.body::text) > " LIMIT_TEXT(LIMIT_EVENT_RESULT_BYTES)

static const struct pg_stmt look_for_end = {"look_for_end", SQL_LOOK("r.body", ""), 3};
static const struct pg_stmt look_for_changes = {
    "look_for_changes",
    SQL_LOOK("CASE WHEN NOT " SQL_TOO_LARGE " THEN r.body END", ", j.retries, q.progress_seq, coalesce(" SQL_TOO_LARGE ", false)"), 3};

/* How often to look unasked. A stream's wait is long while messages come: it has no answer to be late with. */
static const struct {
  const struct pg_stmt *look;
  int poll_ms, poll_deaf_ms; /* while messages come, while they don't */
} ways[WATCH_FOR] = {[WATCH_END] = {&look_for_end, 1000, 250}, [WATCH_CHANGES] = {&look_for_changes, 5000, 1000}};

static struct watch *watch_of(const struct watcher *watcher) { return watcher->req->loop->watch; }

static struct watcher_bucket *bucket_of(struct watch *watch, const struct id *id) {
  return &watch->buckets[(id->bytes[14] | id->bytes[15] << 8) % BUCKETS]; /* the random end of a UUIDv7 */
}

static struct watcher_list *list_of(struct watcher *watcher) {
  struct watch *watch = watch_of(watcher);
  return watcher->look ? &watcher->look->list : watcher->due ? &watch->due[watcher->what] : &watch->waiting[watcher->what];
}

static void move(struct watcher *watcher, struct look *look, bool due) {
  TAILQ_REMOVE(list_of(watcher), watcher, link);
  watcher->look = look;
  watcher->due = due;
  TAILQ_INSERT_TAIL(list_of(watcher), watcher, link);
}

void watch_look(struct watcher *watcher) {
  if (watcher->look)
    watcher->again = true;
  else if (!watcher->due)
    move(watcher, NULL, true);
}

static void arm_tick(struct watch *watch) {
  const struct timeval fast = {0, TICK_MS * 1000}, slow = {SLOW_TICK_MS / 1000, 0};
  event_add(watch->tick, watch->fast ? &fast : &slow);
}

/* Called for each that is to wait; the tick goes on for as long as anybody does, and is short while anybody waits for an end. */
static void plan_look(struct watcher *watcher) {
  struct watch *watch = watch_of(watcher);
  bool listening = watch->listening, hurried = watcher->what == WATCH_END && !watch->fast;
  watch->fast = watch->fast || hurried;
  if (hurried || !event_pending(watch->tick, EV_TIMEOUT, NULL)) arm_tick(watch);
  watcher->next_look = clock_mono_ms() + (listening ? ways[watcher->what].poll_ms : ways[watcher->what].poll_deaf_ms);
}

/* From due or a look back to waiting. */
static void rest(struct watcher *watcher) {
  bool again = watcher->again;
  plan_look(watcher);
  move(watcher, NULL, false);
  watcher->again = false;
  if (again) watch_look(watcher);
}

/* --- looking --- */

static bool owns(const struct watcher *watcher, const PGresult *res, int row) {
  struct id owner;
  return id_parse(PQgetvalue(res, row, WATCH_OWNER), &owner) && memcmp(&owner, &watcher->req->who.owner_id, sizeof owner) == 0;
}

static void take_row(struct look *look, const PGresult *res, int row) {
  struct id id;
  if (!id_parse(PQgetvalue(res, row, 0), &id)) return;
  struct watcher *watcher, *next;
  for (watcher = LIST_FIRST(bucket_of(look->watch, &id)); watcher; watcher = next) {
    next = LIST_NEXT(watcher, bucket_link);
    if (watcher->look != look || memcmp(&watcher->id, &id, sizeof id) != 0 || !owns(watcher, res, row)) continue;
    rest(watcher);
    watcher->ops->seen(watcher, res, row);
  }
}

static void on_look(void *arg, const PGresult *res, const struct error *cause) {
  struct look *look = arg;
  for (int row = 0; res && row < PQntuples(res); row++) take_row(look, res, row);
  for (struct watcher *watcher; (watcher = TAILQ_FIRST(&look->list));) {
    ERROR_AUTO err = {0};
    if (res)
      error_set(&err, ERR_NOT_FOUND, "There is no such job.");
    else
      request_database_error(watcher->req, cause, &err);
    rest(watcher);
    watcher->ops->failed(watcher, &err);
  }
  free(look);
}

/* Those due that want a look, at most a batch. */
static int gather(struct watch *watch, enum watch_for what, struct look *look) {
  struct watcher *watcher;
  int count = 0;
  while (count < LOOK_BATCH && (watcher = TAILQ_FIRST(&watch->due[what]))) {
    rest(watcher);
    if (watcher->ops->wants && !watcher->ops->wants(watcher)) continue;
    move(watcher, look, false);
    count++;
  }
  return count;
}

static void put_ids(struct pg_params *params, const struct look *look) {
  struct id low, high;
  memset(&low, 0xff, sizeof low);
  memset(&high, 0, sizeof high);
  pg_params_init(params);
  pg_param_array_begin(params, PG_ELEM_UUID);
  const struct watcher *watcher;
  TAILQ_FOREACH(watcher, &look->list, link) {
    pg_param_array_item(params, watcher->id.bytes, sizeof watcher->id.bytes);
    if (memcmp(&watcher->id, &low, sizeof low) < 0) low = watcher->id;
    if (memcmp(&watcher->id, &high, sizeof high) > 0) high = watcher->id;
  }
  pg_param_array_end(params);
  pg_param_uuid(params, &low);
  pg_param_uuid(params, &high);
}

static void look_at_some(struct watch *watch, enum watch_for what, struct look *look) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  *look = (struct look){.watch = watch};
  TAILQ_INIT(&look->list);
  if (!gather(watch, what, look)) {
    free(look);
    return;
  }
  put_ids(&params, look);
  struct pgloop *pg = pgloop_up(watch->pg) ? watch->pg : watch->loop->pg;
  if (pgloop_query(pg, ways[what].look, &params, 0, on_look, look, &err) != OK) on_look(look, NULL, &err);
}

void watch_turn(struct watch *watch) {
  for (int what = 0; what < WATCH_FOR; what++)
    while (!TAILQ_EMPTY(&watch->due[what])) {
      struct look *look = malloc(sizeof *look);
      if (!look) return;
      look_at_some(watch, (enum watch_for)what, look);
    }
}

/* --- time --- */

static void tick_list(struct watcher_list *list, int64_t now) {
  struct watcher *watcher, *next;
  for (watcher = TAILQ_FIRST(list); watcher; watcher = next) {
    next = TAILQ_NEXT(watcher, link);
    if (watcher->deadline <= now || watcher->next_look <= now) watch_look(watcher);
    if (watcher->ops->tick) watcher->ops->tick(watcher, now);
  }
}

static void tick(evutil_socket_t fd, short what, void *arg) {
  struct watch *watch = arg;
  int64_t now = clock_mono_ms();
  (void)fd;
  (void)what;
  tick_list(&watch->waiting[WATCH_END], now);
  if (now >= watch->slow_ms) {
    watch->slow_ms = now + SLOW_TICK_MS;
    tick_list(&watch->waiting[WATCH_CHANGES], now);
  }
  watch->fast = !TAILQ_EMPTY(&watch->waiting[WATCH_END]);
  if (watch->fast || !TAILQ_EMPTY(&watch->waiting[WATCH_CHANGES])) arm_tick(watch); /* who looks just now will arm it again */
}

/* --- messages --- */

void watch_told(struct watch *watch, const struct id *job_id, bool ended) {
  struct watcher *watcher;
  LIST_FOREACH(watcher, bucket_of(watch, job_id), bucket_link) {
    if (memcmp(&watcher->id, job_id, sizeof *job_id) == 0 && (ended || watcher->what == WATCH_CHANGES)) watch_look(watcher);
  }
}

void watch_listening(struct watch *watch, bool up) {
  watch->listening = up;
  for (int what = 0; what < WATCH_FOR; what++)
    for (struct watcher *watcher; (watcher = TAILQ_FIRST(&watch->waiting[what]));) watch_look(watcher);
}

/* --- coming and going --- */

void watch_add(struct watcher *watcher) {
  struct watch *watch = watch_of(watcher);
  LIST_INSERT_HEAD(bucket_of(watch, &watcher->id), watcher, bucket_link);
  TAILQ_INSERT_TAIL(list_of(watcher), watcher, link);
  plan_look(watcher);
}

void watch_remove(struct watcher *watcher) {
  TAILQ_REMOVE(list_of(watcher), watcher, link);
  LIST_REMOVE(watcher, bucket_link);
}

enum status watch_new(struct loop *loop, struct watch **ret_watch, struct error *err) {
  struct watch *watch = calloc(1, sizeof *watch);
  if (!watch) return error_oom(err);
  watch->loop = loop;
  for (int what = 0; what < WATCH_FOR; what++) {
    TAILQ_INIT(&watch->waiting[what]);
    TAILQ_INIT(&watch->due[what]);
  }
  const char *url = loop->api->cfg->database_url;
  char *conninfo = pgsettings_add(url, PGSETTINGS_LOOKUPS);
  enum status status = pgloop_new(loop->base, conninfo ? conninfo : url, "api watch", 1, NULL, NULL, &watch->pg, err);
  free(conninfo);
  if (status == OK && !(watch->tick = event_new(loop->base, -1, 0, tick, watch))) status = error_oom(err);
  if (status == OK)
    *ret_watch = watch;
  else
    watch_free(watch);
  return status;
}

void watch_close(struct watch *watch) {
  if (!watch) return;
  pgloop_free(watch->pg);
  watch->pg = NULL;
}

void watch_free(struct watch *watch) {
  if (!watch) return;
  watch_close(watch);
  if (watch->tick) event_free(watch->tick);
  free(watch);
}
