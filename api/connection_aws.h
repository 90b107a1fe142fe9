/* connection_aws.h - AWS credentials of a connection, for the buckets its documents come from: given in requests, sealed, never shown. */
#ifndef AUTODB_API_CONNECTION_AWS_H
#define AUTODB_API_CONNECTION_AWS_H

#include "api/request.h"

struct connection_aws {
  bool given;   /* the request says something about them */
  bool removed; /* namely that there are to be none */
  struct buf sealed;
};
/* Reads the member "aws" of the request's body ({access_key_id, secret_access_key, session_token?, role_arn?, external_id?} or null) and
 * seals it for that connection. Lives as long as the request. */
MUST_CHECK enum status connection_aws_take(struct request *req, const struct id *connection_id, struct connection_aws *ret_aws,
                                           struct error *err);
/* Three parameters: whether they change, the sealed text or NULL, the id of its key or NULL. */
void connection_aws_put(struct pg_params *params, const struct request *req, const struct connection_aws *aws);

#endif
