/* supervisor.h - the worker process: one event loop that owns the queue, the slots, the sweepers and the sandbox keeper. */
#ifndef AUTODB_SUPERVISOR_H
#define AUTODB_SUPERVISOR_H

#include "common/config.h"

#define SUPERVISOR_GRACE_SECONDS 25 /* what running jobs get after SIGTERM */

/* Runs until SIGTERM or SIGINT and everything is given back. Exit code. */
int supervisor_main(const struct config *cfg);

#endif
