/* follow.h - a job as it happens: its event stream, a line for each change. */
#ifndef AUTODB_FOLLOW_H
#define AUTODB_FOLLOW_H

#include "cli/client.h"

/* Prints to standard error until the job has ended, over lost connections and restarts of the server (Last-Event-ID). */
MUST_CHECK enum status follow_job(struct client *client, const char *id, int timeout_seconds, struct error *err);

#endif
