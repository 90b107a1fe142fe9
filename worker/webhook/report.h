/* report.h - what the courier tells its supervisor, which serves the metrics: one datagram each. */
#ifndef AUTODB_WEBHOOK_REPORT_H
#define AUTODB_WEBHOOK_REPORT_H

#include <stdint.h>

struct courier_report {
  enum { REPORT_TRY, REPORT_STATE } kind;
  int outcome;         /* REPORT_TRY: enum verdict_kind */
  int64_t duration_us; /* REPORT_TRY: of the call; -1 when none was made */
  int64_t backlog;     /* REPORT_STATE: deliveries not ended */
  int64_t oldest_s;    /* REPORT_STATE: age of the longest due of them, in seconds */
  int64_t open_circuits;
};

#endif
