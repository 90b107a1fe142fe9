/* s3_source.h - what a job of s3.ingest, or a batch of it, was asked to read: bucket, prefix, patterns, and who reads it. */
#ifndef AUTODB_CONTEXT_S3_SOURCE_H
#define AUTODB_CONTEXT_S3_SOURCE_H

#include "common/s3.h"
#include "worker/agent.h"

struct s3_source { /* strings in the job's arena */
  const char *bucket, *prefix, *endpoint, *region;
  const char *origin; /* "s3://bucket/": what documents.source has in front of the key */
  const json_t *include, *exclude;
  bool delete_missing, requester_pays;
  const struct aws_identity *identity; /* the connection's, or NULL */
  struct netpolicy *policy;            /* NULL for endpoints that the operator named */
};
/* From the payload, and the connection's sealed keys. ERR_FORBIDDEN: an endpoint that the installation does not name (any more). */
MUST_CHECK enum status s3_source_read(struct job *job, struct s3_source *ret_source, struct error *err);
/* A client; region NULL: the one asked for. May be called by any thread. */
MUST_CHECK enum status s3_source_open(const struct s3_source *source, const char *region, struct s3 **ret_s3, struct error *err);
/* Whether a key is to be ingested: within the patterns (looked at behind the prefix), and no folder's mark. */
bool s3_source_wants(const struct s3_source *source, const char *key, int64_t bytes);

#endif
