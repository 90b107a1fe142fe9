/* aws.h - who we are to AWS: credentials as its SDKs find them, in the same order.
 *
 * Environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), the shared credentials file (AWS_SHARED_CREDENTIALS_FILE,
 * ~/.aws/credentials; AWS_PROFILE), a container's endpoint (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI), the instance's metadata
 * service (IMDSv2; off with AWS_EC2_METADATA_DISABLED=true). */
#ifndef AUTODB_AWS_H
#define AUTODB_AWS_H

#include "arena.h"
#include "webcall.h"

/* Fills keys and token of ret_aws (strings in the arena); service and region are the caller's. What a service gave is kept by the process
 * until five minutes before it expires. ERR_UNAVAILABLE, code "NO_CREDENTIALS", says where was looked. Not thread-safe. */
MUST_CHECK enum status aws_credentials(struct arena *arena, struct webcall_aws *ret_aws, struct error *err);
/* AWS_REGION, else AWS_DEFAULT_REGION, else NULL. */
const char *aws_region(void);

#endif
