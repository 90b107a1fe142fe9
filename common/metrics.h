/* metrics.h - counters, gauges and histograms of one process, in the Prometheus text format (version 0.0.4).
 *
 * A metric is a static object declared where it is counted and registered at start, so names stay beside their meaning:
 *
 *   static struct metric accepted = METRIC_COUNTER("autodb_jobs_accepted_total", "Jobs committed and answered 202.", "kind");
 *   metric_add(&accepted, "system.echo", 1);
 *
 * At most one label, or several as one ("lane,kind" with the value "bulk,s3.ingest", the same number of parts); label values come from
 * bounded sets (kinds, lanes, causes), never from requests: past 64 values the rest are counted under "other". Thread-safe; increments are
 * relaxed atomics once a label value is known. */
#ifndef AUTODB_METRICS_H
#define AUTODB_METRICS_H

#include <event2/event.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };
struct metric_cell;
struct metric {
  const char *name, *help, *label; /* label NULL = none */
  enum metric_type type;
  struct metric_cell *cells; /* private */
  struct metric *next;       /* private */
  int registered;            /* private */
};
#define METRIC_COUNTER(n, h, l) \
  { .name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_COUNTER }
#define METRIC_GAUGE(n, h, l) \
  { .name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_GAUGE }
#define METRIC_HISTOGRAM(n, h, l) \
  { .name = (n), .help = (h), .label = (l), .type = METRIC_TYPE_HISTOGRAM }

void metric_register(struct metric *metric); /* idempotent; counting registers by itself */
void metric_add(struct metric *metric, const char *label_value, int64_t n);
void metric_set(struct metric *metric, const char *label_value, int64_t value);
void metric_observe_us(struct metric *metric, const char *label_value, int64_t microseconds); /* buckets 0.5 ms … 60 s, in seconds */
void metrics_render(struct buf *out);

/* Serves GET /metrics (and GET /) on "host:port" (port 0 = free) from `base`, by evhttp; the real port is written to ret_port. */
struct metrics_server;
MUST_CHECK enum status metrics_serve(struct event_base *base, const char *listen, struct metrics_server **ret_server, int *ret_port,
                                     struct error *err);
void metrics_server_free(struct metrics_server *server);

#endif
