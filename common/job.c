/* job.c - the table of job kinds, and the names that API and workers meet under in Redis.
 *
 * One row per kind; everything that differs between kinds and that the queue must know is a column, so no code asks "is it an
 * analysis?". Timeouts are of one attempt, in milliseconds. */
#include "common/job.h"

#include "common/limits.h"

const char *const job_lane_names[LANE_COUNT + 1] = {"interactive", "default", "bulk", NULL};

/* Somebody waits for the interactive ones. migration.execute has several attempts, but none does blindly again what an earlier one may have
 * done to a live database: it looks first (worker/execute/README.md). Memory is address space (RLIMIT_AS), which is larger than what is
 * touched. */
#define RETRY_USUAL LIMIT_RETRY_BASE_MS, LIMIT_RETRY_CAP_MS
#define RETRY_PROVIDER 2 * LIMIT_RETRY_BASE_MS, 2 * LIMIT_RETRY_CAP_MS /* a provider or a store that throttles wants a longer pause */
static const struct job_kind kinds[] = {
    /* name, lane, timeout_ms, tries, MB, retry base and cap in ms, brief */
    {"system.echo", LANE_INTERACTIVE, 70 * 1000, 5, 512, RETRY_USUAL, true},
    {"system.sweep", LANE_BULK, 1800 * 1000, 2, 512, RETRY_USUAL, false}, /* nobody's: the leader's own */
    {"schema.introspect", LANE_DEFAULT, 300 * 1000, 5, 2048, RETRY_USUAL, false},
    {"migration.analyze", LANE_INTERACTIVE, 120 * 1000, 5, 2048, RETRY_USUAL, false},
    {"migration.sandbox", LANE_INTERACTIVE, 120 * 1000, 5, 2048, RETRY_USUAL, false},
    {"migration.execute", LANE_INTERACTIVE, 3600 * 1000, 5, 2048, RETRY_USUAL, false},
    {"query.optimize", LANE_INTERACTIVE, 120 * 1000, 5, 2048, RETRY_USUAL, false},
    {"query.generate", LANE_INTERACTIVE, 120 * 1000, 5, 2048, RETRY_PROVIDER, false},
    {"context.query", LANE_INTERACTIVE, 60 * 1000, 5, 2048, RETRY_PROVIDER, false},
    {"plan.parse", LANE_INTERACTIVE, 30 * 1000, 5, 1024, RETRY_USUAL, false},
    {"document.ingest", LANE_DEFAULT, 900 * 1000, 5, 2048, RETRY_PROVIDER, false},
    {"context.reembed", LANE_BULK, 3600 * 1000, 5, 2048, RETRY_PROVIDER, false},
    {"s3.ingest", LANE_BULK, 3600 * 1000, 5, 2048, RETRY_PROVIDER, false},
    {JOB_KIND_PART, LANE_BULK, 1800 * 1000, 5, 2048, RETRY_PROVIDER, false}, /* a part of s3.ingest */
    {"workload.optimize", LANE_BULK, 1800 * 1000, 5, 4096, RETRY_USUAL, false},
};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

bool job_lane_parse(const char *text, enum job_lane *ret_lane) {
  if (!text) return false;
  for (int lane = 0; lane < LANE_COUNT; lane++)
    if (strcmp(text, job_lane_names[lane]) == 0) {
      *ret_lane = (enum job_lane)lane;
      return true;
    }
  return false;
}

const struct job_kind *job_kind_find(const char *name) {
  if (!name) return NULL;
  for (size_t i = 0; i < KIND_COUNT; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}

const struct job_kind *job_kind_at(size_t index) { return index < KIND_COUNT ? &kinds[index] : NULL; }

/* The prefix is cut to 64 bytes, so that what comes after it, which tells keys apart, always fits. */
void job_stream_key(const char *prefix, int stream, char out[JOB_KEY_MAX]) {
  int used = snprintf(out, JOB_KEY_MAX, "{%.64s}:q:%s", prefix, job_lane_names[job_stream_lane(stream)]);
  if (job_stream_tier(stream)) snprintf(out + used, (size_t)(JOB_KEY_MAX - used), ":%d", job_stream_tier(stream));
}

int job_stream_parse(const char *lane_name, const char *tier) {
  enum job_lane lane;
  if (!job_lane_parse(lane_name, &lane) || !tier || *tier < '0' || *tier >= '0' + JOB_TIERS || tier[1]) return -1;
  return job_stream(lane, *tier - '0');
}

void job_done_channel(const char *prefix, char out[JOB_KEY_MAX]) { snprintf(out, JOB_KEY_MAX, "{%.64s}:done", prefix); }
void job_changed_channel(const char *prefix, char out[JOB_KEY_MAX]) { snprintf(out, JOB_KEY_MAX, "{%.64s}:changed", prefix); }

void job_cancel_channel(const char *prefix, char out[JOB_KEY_MAX]) { snprintf(out, JOB_KEY_MAX, "{%.64s}:cancel", prefix); }
