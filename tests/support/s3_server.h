/* s3_server.h - tests/s3/serve.js as a server of the harness: an S3 that AWS's own signer guards. */
#ifndef AUTODB_TESTS_S3_SERVER_H
#define AUTODB_TESTS_S3_SERVER_H

#include "common/s3.h"
#include "tests/support/harness.h"

#define S3_SERVER_KEY "S3RVER" /* access key and secret */

struct s3_server {
  struct harness *h;
  char url[64];
};
/* The folder of the npm packages; ends the program as skipped when they can't be had. Sets the AWS credentials of the environment. */
const char *s3_server_packages(void);
/* backend: "s3rver" or "memory"; with the buckets "lake" and "empty". */
void s3_server_start(struct harness *h, const char *backend, struct s3_server *ret_server);
/* A client of the bucket "lake", freed by the caller. */
struct s3 *s3_server_client(const struct s3_server *server);
void s3_server_put(const struct s3_server *server, const char *key, const char *text);
/* POSTs to /-/<what>; body NULL: GETs it. The answer is a new reference. */
json_t *s3_server_control(const struct s3_server *server, const char *what, const char *body);
void s3_server_order(const struct s3_server *server, const char *faults);
/* A number of /-/stats. Fails the test when a signature was refused. */
long long s3_server_count(const struct s3_server *server, const char *verb);

#endif
