/* webhook.h - the courier: the process that delivers webhooks. */
#ifndef AUTODB_WEBHOOK_H
#define AUTODB_WEBHOOK_H

#include "common/config.h"

/* Runs until SIGTERM; reports (report.h) go to SLOT_FD. `name` is the worker's: what a predecessor of that name left leased is given back
 * first. Returns the exit code. */
int webhook_courier_main(const struct config *cfg, const char *name);

#endif
