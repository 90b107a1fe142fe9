/* bell.c - streams, channels and the list of workers; see bell.h.
 *
 * The weighted read is a script, because only the server can give what one stream didn't use to another without a second round trip and
 * without reading more than may be claimed. Groups are made at "0" whenever the connection comes up and whenever a reply says NOGROUP (a
 * FLUSHALL, a destroyed group), so whatever the streams hold is delivered. */
#include "worker/bell.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/redis.h"

#define BLOCK_MS "2000"
#define RECLAIM_MS "10000"
#define WORKERS_KEPT_MS (3600 * 1000)
#define CONSUMERS_KEPT_MS "3600000"

struct bell {
  const struct config *cfg;
  struct bell_hooks hooks;
  struct redis *redis, *waiter;
  struct redis_sub *sub;
  char streams[JOB_STREAMS][JOB_KEY_MAX], done[JOB_KEY_MAX], changed[JOB_KEY_MAX], cancel[JOB_KEY_MAX], workers[JOB_KEY_MAX];
  bool closing;
  bool refusing; /* it answers and takes no writes: full, or unable to save. As good as away, until a beat gets through */
};

static struct metric regroups =
    METRIC_COUNTER("autodb_stream_groups_made_total", "Times the consumer groups were made anew after a NOGROUP.", NULL);
static struct metric rings = METRIC_COUNTER("autodb_stream_rings_total", "Dispatches by this worker, by outcome.", "outcome");
static struct metric changes = METRIC_COUNTER("autodb_redis_state_changes_total", "Redis becoming reachable and unreachable.", "state");

/* KEYS: the streams. ARGV: group, consumer, capacity, quota of each stream. Returns per stream {stamp, id, stamp, id, …}, then per stream
 * its length. */
static const char read_script[] = "local left, out, short = tonumber(ARGV[3]), {}, {}\n"
                                  "local function take(i, n)\n"
                                  "  if n <= 0 then return end\n"
                                  "  local got = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', n, 'STREAMS', KEYS[i], '>')\n"
                                  "  if not got then short[i] = true return end\n"
                                  "  local entries, lane = got[1][2], out[i]\n"
                                  "  for _, e in ipairs(entries) do lane[#lane + 1] = e[1] lane[#lane + 1] = e[2] and e[2][2] or '' end\n"
                                  "  left = left - #entries\n"
                                  "  if #entries < n then short[i] = true end\n"
                                  "end\n"
                                  "for i = 1, #KEYS do out[i] = {} end\n"
                                  "for i = 1, #KEYS do take(i, tonumber(ARGV[3 + i])) end\n"
                                  "for i = 1, #KEYS do if not short[i] then take(i, left) end end\n"
                                  "for i = 1, #KEYS do out[#KEYS + i] = redis.call('XLEN', KEYS[i]) end\n"
                                  "return out";

/* KEYS: the streams. ARGV: group, consumer. */
static const char leave_script[] = "for i = 1, #KEYS do\n"
                                   "  local got = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'STREAMS', KEYS[i], '0')\n"
                                   "  for _, e in ipairs(got and not got.err and got[1][2] or {}) do\n"
                                   "    if e[2] then redis.call('XADD', KEYS[i], '*', unpack(e[2])) end\n"
                                   "    redis.call('XACK', KEYS[i], ARGV[1], e[1])\n"
                                   "    redis.call('XDEL', KEYS[i], e[1])\n"
                                   "  end\n"
                                   "  redis.pcall('XGROUP', 'DELCONSUMER', KEYS[i], ARGV[1], ARGV[2])\n"
                                   "end\n"
                                   "return 1";

/* KEYS: the streams. ARGV: group, idle milliseconds. One that has read and not acknowledged is left for XAUTOCLAIM. */
static const char tidy_script[] = "local n = 0\n"
                                  "for i = 1, #KEYS do\n"
                                  "  local got = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], ARGV[1])\n"
                                  "  for _, c in ipairs(got.err and {} or got) do\n"
                                  "    local f = {}\n"
                                  "    for j = 1, #c, 2 do f[c[j]] = c[j + 1] end\n"
                                  "    if f.pending == 0 and f.idle > tonumber(ARGV[2]) then redis.call('XGROUP', 'DELCONSUMER', KEYS[i], "
                                  "ARGV[1], f.name) n = n + 1 end\n"
                                  "  end\n"
                                  "end\n"
                                  "return n";

/* --- groups --- */

static void make_groups(struct bell *bell) {
  for (int stream = 0; stream < JOB_STREAMS; stream++) /* -BUSYGROUP says that it exists already */
    redis_cmd(bell->redis, NULL, NULL, "XGROUP", "CREATE", bell->streams[stream], JOB_GROUP, "0", "MKSTREAM", NULL);
}

static void set_refusing(struct bell *bell, const redisReply *reply) {
  bool refusing = reply && reply->type == REDIS_REPLY_ERROR;
  if (bell->closing || !reply || refusing == bell->refusing) return;
  bell->refusing = refusing;
  metric_add(&changes, refusing ? "refusing" : "taking", 1);
  log_event(refusing ? LOG_WARN : LOG_INFO, refusing ? "Redis takes no writes: polling Postgres for work" : "Redis takes writes again",
            "reply", refusing ? reply->str : NULL, NULL);
  bell->hooks.state(bell->hooks.arg, !refusing);
}

/* True for replies that are errors; a missing group is made. */
static bool is_error(struct bell *bell, const redisReply *reply) {
  if (reply && reply->type != REDIS_REPLY_ERROR) return false;
  if (!reply) return true;
  if (strstr(reply->str, "NOGROUP") || strstr(reply->str, "no longer exists") || strstr(reply->str, "UNBLOCKED")) {
    metric_add(&regroups, NULL, 1);
    log_event(LOG_WARN, "a stream or its group is gone from Redis; making it anew", "reply", reply->str, NULL);
    make_groups(bell);
  } else {
    log_event(LOG_WARN, "Redis refused a command", "reply", reply->str, NULL);
    set_refusing(bell, reply);
  }
  return true;
}

static void on_state(void *arg, bool up) {
  struct bell *bell = arg;
  metric_add(&changes, up ? "up" : "down", 1);
  log_event(up ? LOG_INFO : LOG_WARN, up ? "Redis is reachable" : "Redis is away: polling Postgres for work", "reason",
            up ? NULL : bell_why(bell), NULL);
  bell->refusing = false;
  if (up) {
    make_groups(bell);
    bell_beat(bell);
  }
  if (!bell->closing) bell->hooks.state(bell->hooks.arg, up);
}

static void on_cancel(void *arg, const char *channel, const char *message, size_t len) {
  struct bell *bell = arg;
  char text[ID_TEXT];
  struct id id;
  (void)channel;
  snprintf(text, sizeof text, "%.*s", (int)(len < ID_TEXT ? len : ID_TEXT - 1), message);
  if (id_parse(text, &id)) bell->hooks.cancel(bell->hooks.arg, &id);
}

/* --- entries out of replies --- */

struct found {
  struct bell_entry *entries;
  int count, room;
};

static void add_entry(struct found *found, int stream, const redisReply *stamp, const redisReply *id) {
  if (found->count == found->room) {
    int room = found->room ? found->room * 2 : 64;
    struct bell_entry *grown = reallocarray(found->entries, (size_t)room, sizeof *grown);
    if (!grown) return; /* it stays pending and is taken over later */
    found->entries = grown;
    found->room = room;
  }
  if (stamp->type != REDIS_REPLY_STRING) return;
  struct bell_entry *entry = &found->entries[found->count++];
  *entry = (struct bell_entry){.stream = stream};
  snprintf(entry->stamp, sizeof entry->stamp, "%s", stamp->str);
  entry->valid = id && id->type == REDIS_REPLY_STRING && id_parse(id->str, &entry->id);
}

/* entries: [[stamp, [field, value]], …], as XREADGROUP and XAUTOCLAIM give them. */
static void add_entries(struct found *found, int stream, const redisReply *entries) {
  for (size_t i = 0; entries->type == REDIS_REPLY_ARRAY && i < entries->elements; i++) {
    const redisReply *entry = entries->element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2) continue;
    const redisReply *fields = entry->element[1];
    add_entry(found, stream, entry->element[0], fields->type == REDIS_REPLY_ARRAY && fields->elements >= 2 ? fields->element[1] : NULL);
  }
}

static int stream_of(const struct bell *bell, const redisReply *key) {
  for (int stream = 0; stream < JOB_STREAMS; stream++)
    if (key->type == REDIS_REPLY_STRING && strcmp(key->str, bell->streams[stream]) == 0) return stream;
  return -1;
}

/* --- reading --- */

static void on_read(void *arg, const redisReply *reply) {
  struct bell *bell = arg;
  if (bell->closing) return;
  if (is_error(bell, reply) || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 * JOB_STREAMS) {
    bell->hooks.read(bell->hooks.arg, NULL, 0, NULL, true);
    return;
  }
  struct found found = {0};
  bool has_more[JOB_STREAMS];
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    const redisReply *flat = reply->element[stream];
    for (size_t i = 0; i + 1 < flat->elements; i += 2) add_entry(&found, stream, flat->element[i], flat->element[i + 1]);
    has_more[stream] = reply->element[JOB_STREAMS + stream]->integer > (long long)flat->elements / 2;
  }
  bell->hooks.read(bell->hooks.arg, found.entries, found.count, has_more, false);
  free(found.entries);
}

/* EVAL, the script, its keys: all streams. Returns the number of words. */
#define EVAL_WORDS (3 + JOB_STREAMS)
static int put_eval(const struct bell *bell, const char *script, const char **argv) {
  static const char count[] = "12";
  _Static_assert(JOB_STREAMS == 12, "the scripts are told the number of streams");
  int argc = 0;
  argv[argc++] = "EVAL";
  argv[argc++] = script;
  argv[argc++] = count;
  for (int stream = 0; stream < JOB_STREAMS; stream++) argv[argc++] = bell->streams[stream];
  return argc;
}

void bell_read(struct bell *bell, int capacity, const int quota[JOB_STREAMS]) {
  char numbers[1 + JOB_STREAMS][12];
  const char *argv[EVAL_WORDS + 2 + 1 + JOB_STREAMS];
  int argc = put_eval(bell, read_script, argv);
  argv[argc++] = JOB_GROUP;
  argv[argc++] = bell->cfg->worker_name;
  for (int i = 0; i <= JOB_STREAMS; i++) {
    snprintf(numbers[i], sizeof numbers[i], "%d", i ? quota[i - 1] : capacity);
    argv[argc++] = numbers[i];
  }
  redis_command(bell->redis, on_read, bell, argc, argv, NULL);
}

static void on_waited(void *arg, const redisReply *reply) {
  struct bell *bell = arg;
  if (bell->closing) return;
  bool failed = is_error(bell, reply);
  struct found found = {0};
  for (size_t i = 0; !failed && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
    const redisReply *stream = reply->element[i];
    int number = stream->type == REDIS_REPLY_ARRAY && stream->elements == 2 ? stream_of(bell, stream->element[0]) : -1;
    if (number >= 0) add_entries(&found, number, stream->element[1]);
  }
  bell->hooks.read(bell->hooks.arg, found.entries, found.count, NULL, failed);
  free(found.entries);
}

void bell_wait(struct bell *bell, int count) {
  char number[12];
  const char *argv[9 + 2 * JOB_STREAMS] = {"XREADGROUP", "GROUP",  JOB_GROUP, bell->cfg->worker_name, "COUNT", number,
                                           "BLOCK",      BLOCK_MS, "STREAMS"};
  snprintf(number, sizeof number, "%d", count);
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    argv[9 + stream] = bell->streams[stream];
    argv[9 + JOB_STREAMS + stream] = ">";
  }
  redis_command(bell->waiter, on_waited, bell, 9 + 2 * JOB_STREAMS, argv, NULL);
}

struct reclaim {
  struct bell *bell;
  int stream;
};

static void on_reclaimed(void *arg, const redisReply *reply) {
  struct reclaim *reclaim = arg;
  struct bell *bell = reclaim->bell;
  struct found found = {0};
  if (!bell->closing && !is_error(bell, reply) && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2)
    add_entries(&found, reclaim->stream, reply->element[1]);
  if (found.count) bell->hooks.reclaimed(bell->hooks.arg, found.entries, found.count);
  free(found.entries);
  free(reclaim);
}

void bell_reclaim(struct bell *bell, int count) {
  char number[12];
  snprintf(number, sizeof number, "%d", count);
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    struct reclaim *reclaim = malloc(sizeof *reclaim);
    if (!reclaim) return;
    *reclaim = (struct reclaim){bell, stream};
    redis_cmd(bell->redis, on_reclaimed, reclaim, "XAUTOCLAIM", bell->streams[stream], JOB_GROUP, bell->cfg->worker_name, RECLAIM_MS, "0-0",
              "COUNT", number, NULL);
  }
}

static void ack_stream(struct bell *bell, int stream, const char **argv, int stamps) {
  argv[0] = "XACK";
  argv[1] = bell->streams[stream];
  argv[2] = JOB_GROUP;
  redis_command(bell->redis, NULL, NULL, 3 + stamps, argv, NULL);
  argv[1] = "XDEL";
  argv[2] = bell->streams[stream];
  redis_command(bell->redis, NULL, NULL, 2 + stamps, argv + 1, NULL);
}

void bell_ack(struct bell *bell, const struct bell_entry *entries, int count) {
  const char **argv = calloc((size_t)count + 3, sizeof *argv);
  if (!argv || !count || !bell_up(bell)) { /* not acknowledged: read once more later, and found claimed */
    free(argv);
    return;
  }
  redis_cmd(bell->redis, NULL, NULL, "MULTI", NULL);
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    int stamps = 0;
    for (int i = 0; i < count; i++)
      if (entries[i].stream == stream) argv[3 + stamps++] = entries[i].stamp;
    if (stamps) ack_stream(bell, stream, argv, stamps);
  }
  redis_cmd(bell->redis, NULL, NULL, "EXEC", NULL);
  free(argv);
}

/* --- telling --- */

static void on_rung(void *arg, const redisReply *reply) {
  struct bell *bell = arg;
  if (reply && reply->type == REDIS_REPLY_ERROR) set_refusing(bell, reply);
  metric_add(&rings, reply && reply->type != REDIS_REPLY_ERROR ? "sent" : "lost", 1);
}

void bell_ring(struct bell *bell, int stream, const struct id *id) {
  char text[ID_TEXT];
  redis_cmd(bell->redis, on_rung, bell, "XADD", bell->streams[stream], "*", JOB_FIELD, id_format(id, text), NULL);
}

void bell_announce(struct bell *bell, const struct id *id) {
  char text[ID_TEXT];
  redis_cmd(bell->redis, NULL, NULL, "PUBLISH", bell->done, id_format(id, text), NULL);
}

void bell_changed(struct bell *bell, const struct id *id) {
  char text[ID_TEXT];
  redis_cmd(bell->redis, NULL, NULL, "PUBLISH", bell->changed, id_format(id, text), NULL);
}

static void on_beat(void *arg, const redisReply *reply) { set_refusing(arg, reply); }

void bell_beat(struct bell *bell) {
  char now[24], old[24];
  snprintf(now, sizeof now, "%lld", (long long)clock_wall_ms());
  snprintf(old, sizeof old, "%lld", (long long)clock_wall_ms() - WORKERS_KEPT_MS);
  redis_cmd(bell->redis, on_beat, bell, "ZADD", bell->workers, now, bell->cfg->worker_name, NULL);
  redis_cmd(bell->redis, NULL, NULL, "ZREMRANGEBYSCORE", bell->workers, "-inf", old, NULL);
}

static void on_tidied(void *arg, const redisReply *reply) {
  (void)arg;
  if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer)
    log_event(LOG_INFO, "forgot consumers of dead workers", "count", log_fmt("%lld", reply->integer), NULL);
}

void bell_tidy(struct bell *bell) {
  const char *argv[EVAL_WORDS + 2];
  int argc = put_eval(bell, tidy_script, argv);
  argv[argc++] = JOB_GROUP;
  argv[argc++] = CONSUMERS_KEPT_MS;
  redis_command(bell->redis, on_tidied, NULL, argc, argv, NULL);
}

/* --- asking --- */

struct oldest {
  struct bell *bell;
  int stream;
  bell_oldest_cb cb;
  void *arg;
  int64_t ms;
  bool known;
};

static void on_first(void *arg, const redisReply *reply) {
  struct oldest *oldest = arg;
  if (!reply || reply->type != REDIS_REPLY_ARRAY) return;
  oldest->known = true;
  const redisReply *entry = reply->elements ? reply->element[0] : NULL;
  if (entry && entry->type == REDIS_REPLY_ARRAY && entry->elements && entry->element[0]->type == REDIS_REPLY_STRING)
    oldest->ms = strtoll(entry->element[0]->str, NULL, 10);
}

static void on_length(void *arg, const redisReply *reply) {
  struct oldest *oldest = arg;
  if (oldest->known && reply && reply->type == REDIS_REPLY_INTEGER && !oldest->bell->closing)
    oldest->cb(oldest->arg, oldest->stream, oldest->ms, reply->integer);
  free(oldest);
}

void bell_oldest(struct bell *bell, int stream, bell_oldest_cb cb, void *arg) {
  struct oldest *oldest = malloc(sizeof *oldest);
  if (!oldest) return;
  *oldest = (struct oldest){.bell = bell, .stream = stream, .cb = cb, .arg = arg};
  redis_cmd(bell->redis, on_first, oldest, "XRANGE", bell->streams[stream], "-", "+", "COUNT", "1", NULL);
  redis_cmd(bell->redis, on_length, oldest, "XLEN", bell->streams[stream], NULL);
}

/* --- coming and going --- */

struct leaving {
  void (*done)(void *arg);
  void *arg;
};

static void on_left(void *arg, const redisReply *reply) {
  struct leaving *leaving = arg;
  (void)reply;
  leaving->done(leaving->arg);
  free(leaving);
}

void bell_leave(struct bell *bell, void (*done)(void *arg), void *arg) {
  struct leaving *leaving = malloc(sizeof *leaving);
  redis_free(bell->waiter); /* a read that still blocks would take entries after the script has put them back */
  bell->waiter = NULL;
  redis_cmd(bell->redis, NULL, NULL, "ZREM", bell->workers, bell->cfg->worker_name, NULL);
  if (!leaving) {
    done(arg);
    return;
  }
  *leaving = (struct leaving){done, arg};
  const char *argv[EVAL_WORDS + 2];
  int argc = put_eval(bell, leave_script, argv);
  argv[argc++] = JOB_GROUP;
  argv[argc++] = bell->cfg->worker_name;
  redis_command(bell->redis, on_left, leaving, argc, argv, NULL);
}

bool bell_up(const struct bell *bell) { return redis_up(bell->redis) && !bell->refusing; }

const char *bell_why(const struct bell *bell) { return redis_why(bell->redis); }

enum status bell_new(struct event_base *base, const struct config *cfg, const struct bell_hooks *hooks, struct bell **ret_bell,
                     struct error *err) {
  struct bell *bell = calloc(1, sizeof *bell);
  if (!bell) return error_oom(err);
  bell->cfg = cfg;
  bell->hooks = *hooks;
  for (int stream = 0; stream < JOB_STREAMS; stream++) job_stream_key(cfg->redis_prefix, stream, bell->streams[stream]);
  job_done_channel(cfg->redis_prefix, bell->done);
  job_changed_channel(cfg->redis_prefix, bell->changed);
  job_cancel_channel(cfg->redis_prefix, bell->cancel);
  snprintf(bell->workers, sizeof bell->workers, "{%.64s}:workers", cfg->redis_prefix);
  const char *channels[] = {bell->cancel};
  enum status status = redis_new(base, cfg->redis_url, on_state, bell, &bell->redis, err);
  if (status == OK) status = redis_new(base, cfg->redis_url, NULL, NULL, &bell->waiter, err);
  if (status == OK) status = redis_subscribe(base, cfg->redis_url, channels, 1, on_cancel, NULL, bell, &bell->sub, err);
  if (status == OK)
    *ret_bell = bell;
  else
    bell_free(bell);
  return status;
}

void bell_free(struct bell *bell) {
  if (!bell) return;
  bell->closing = true;
  redis_free(bell->waiter);
  redis_free(bell->redis);
  redis_sub_free(bell->sub);
  free(bell);
}
