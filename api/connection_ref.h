/* connection_ref.h - jobs about a client's connection: it must exist and be the owner's before anything is accepted. */
#ifndef AUTODB_API_CONNECTION_REF_H
#define AUTODB_API_CONNECTION_REF_H

#include "api/request.h"

/* Submits a job about connection `id` with that payload; NOT_FOUND when it isn't the owner's. */
MUST_CHECK enum status connection_ref_submit(struct request *req, const struct id *id, const char *kind, json_t *take_payload,
                                             struct error *err);
/* connection_id of the body, for the paths that don't name it. */
MUST_CHECK enum status connection_ref_of_body(const struct request *req, struct id *ret_id, struct error *err);
enum status connection_ref_missing(struct error *err);

#endif
