/* aws.h - who we are to AWS: credentials as its SDKs find them, in the same order.
 *
 * Environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), web identity (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE,
 * AWS_ROLE_SESSION_NAME), the shared credentials file (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials; AWS_PROFILE), a container's
 * endpoint (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN or _TOKEN_FILE: ECS, EKS pod
 * identity), the instance's metadata service (IMDSv2; off with AWS_EC2_METADATA_DISABLED=true). AWS_ENDPOINT_URL_STS and
 * AWS_EC2_METADATA_SERVICE_ENDPOINT name other addresses of the two services.
 *
 * What a service gave is kept by the process and asked for anew five to six minutes before it expires; while that fails, the old ones are
 * used until they expire. Token files are read anew each time. May be called from any thread: those that need the service wait for one. */
#ifndef AUTODB_AWS_H
#define AUTODB_AWS_H

#include "arena.h"
#include "webcall.h"

struct aws_identity {                  /* somebody else than the process itself; what is NULL is not given */
  const char *access_key, *secret_key; /* both or none: then the process's own are the ones that assume the role */
  const char *session_token;
  const char *role_arn, *external_id; /* a role to assume (sts:AssumeRole) */
};

/* Fills keys and token of ret_aws (strings in the arena); service and region are the caller's. identity NULL: the process itself.
 * ERR_UNAVAILABLE, code "NO_CREDENTIALS", says where was looked; ERR_FORBIDDEN, code "ROLE_REFUSED": the role may not be assumed. */
MUST_CHECK enum status aws_credentials_of(const struct aws_identity *identity, struct arena *arena, struct webcall_aws *ret_aws,
                                          struct error *err);
MUST_CHECK enum status aws_credentials(struct arena *arena, struct webcall_aws *ret_aws, struct error *err); /* of the process itself */
void aws_forget(void); /* what is kept: the service said that it is no longer valid */
/* AWS_REGION, else AWS_DEFAULT_REGION, else NULL. */
const char *aws_region(void);
/* One segment of a URL's path: whatever RFC 3986 doesn't leave alone is escaped, slashes and colons, too. NULL: out of memory. */
const char *aws_path_segment(const char *text, struct arena *arena);

#endif
