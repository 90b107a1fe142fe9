/* client.h - the CLI as a client of the HTTP API: one call, the envelope taken off. */
#ifndef AUTODB_CLIENT_H
#define AUTODB_CLIENT_H

#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

struct client;

/* From AUTODB_URL and AUTODB_API_KEY. */
MUST_CHECK enum status client_new(struct client **ret_client, struct error *err);
void client_free(struct client *client);
static inline void client_freep(struct client **client) {
  client_free(*client);
  *client = NULL;
}
#define CLIENT_AUTO __attribute__((cleanup(client_freep))) struct client

/* body (may be NULL) is borrowed; `prefer` (may be NULL) is the Prefer header's value. ret_data: what the envelope holds, a new reference.
 * A refusal by the server keeps its code, message and details. */
MUST_CHECK enum status client_call(struct client *client, const char *method, const char *path, const json_t *body, const char *prefer,
                                   json_t **ret_data, struct error *err);

/* POSTs files as a form (multipart/form-data, field "files"), read as they are sent; their names without paths. */
MUST_CHECK enum status client_upload(struct client *client, const char *path, const char *const files[], size_t count, json_t **ret_data,
                                     struct error *err);
/* GETs bytes that are in no envelope, as they come. */
MUST_CHECK enum status client_download(struct client *client, const char *path, FILE *out, struct error *err);
/* An event stream: what arrives goes to `bytes`, which says whether to go on. last_id ("" for none) is the Last-Event-ID. OK when the
 * server ended it (ret_over: and said that there is no more); ERR_UNAVAILABLE when the connection was lost, or after timeout_ms. */
MUST_CHECK enum status client_stream(struct client *client, const char *path, const char *last_id, int64_t timeout_ms,
                                     bool (*bytes)(void *arg, const char *bytes, size_t len), void *arg, bool *ret_over, struct error *err);

/* Waits by long polls until the job has ended, however. Shows its progress on standard error when that is a terminal. `take_job` is the job
 * as answered by the call that made it. */
MUST_CHECK enum status client_end(struct client *client, json_t *take_job, int timeout_seconds, json_t **ret_job, struct error *err);
/* A failed, dead or cancelled job as an error: the job's own message, code and details. */
MUST_CHECK enum status client_outcome(const json_t *job, struct error *err);
/* Both. */
MUST_CHECK enum status client_wait(struct client *client, json_t *take_job, int timeout_seconds, json_t **ret_job, struct error *err);

/* What to do about an error of the two above; NULL when its message says it all. */
const char *client_hint(const struct error *err);

#endif
