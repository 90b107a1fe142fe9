/* offload.h - blocking or long work on threads, so that loops stay loops: connecting to client databases, inflating and comparing
 * snapshots; and, on threads of their own, files of documents. */
#ifndef AUTODB_API_OFFLOAD_H
#define AUTODB_API_OFFLOAD_H

#include "api/request.h"

struct offload;
MUST_CHECK enum status offload_new(int threads, struct offload **ret_offload, struct error *err);
void offload_free(struct offload *offload); /* waits for the work in progress */

/* Runs work(req, arg) on a thread, which owns the request (its arena, its state) meanwhile, and then done(req, arg) on the request's loop
 * when that succeeded; a failure of either is answered. ERR_UNAVAILABLE when too much waits already. */
typedef enum status (*offload_fn)(struct request *req, void *arg, struct error *err);
MUST_CHECK enum status offload_run(struct request *req, offload_fn work, offload_fn done, void *arg, struct error *err);
/* The same on the threads for files. */
MUST_CHECK enum status offload_files(struct request *req, offload_fn work, offload_fn done, void *arg, struct error *err);

#endif
