/* webcall.h - calls to HTTP servers of others: models, object stores, receivers of webhooks. Blocking, over libcurl;
 * webloop.h does the same inside an event loop, many at once.
 *
 * Every connection is held against the network policy on the address it goes to, after resolving, so a name that changes its mind
 * between two lookups gains nothing. No redirects, no proxies from the environment, no cookies, no other schemes; the answer is bounded. */
#ifndef AUTODB_WEBCALL_H
#define AUTODB_WEBCALL_H

#include <stdint.h>

#include "arena.h"
#include "netpolicy.h"

struct buf;
struct webcall; /* keeps its connections open between calls; one owner at a time */

/* policy (borrowed, may be NULL: any address, for servers the operator named himself). */
MUST_CHECK enum status webcall_new(const struct netpolicy *policy, struct webcall **ret_webcall, struct error *err);
void webcall_free(struct webcall *webcall);
static inline void webcall_freep(struct webcall **webcall) {
  webcall_free(*webcall);
  *webcall = NULL;
}
#define WEBCALL_AUTO __attribute__((cleanup(webcall_freep))) struct webcall *

struct webcall_header {
  const char *name, *value; /* refused when either holds a line end; a NULL value leaves the header out */
};
struct webcall_aws { /* signs with AWS Signature Version 4 */
  const char *service, *region;
  const char *access_key, *secret_key;
  const char *session_token; /* NULL when there is none */
  int64_t skew_ms;           /* the service's clock minus ours */
};
struct webcall_request {
  const char *method, *url;
  const struct webcall_header *headers;
  size_t header_count;
  const void *body; /* NULL: none */
  size_t body_len;
  int timeout_ms;                /* from the first lookup to the last byte */
  size_t max_answer;             /* bytes of the body kept */
  bool cut;                      /* a longer body is cut there; else it is an error */
  struct buf *out;               /* the body of an answer of 2xx is appended to it instead of being kept; or NULL */
  int out_fd;                    /* the body of an answer of 2xx is written there instead of being kept; 0: it is kept */
  const char *const *keep;       /* names of headers of the answer that are kept, ending with NULL; or NULL */
  bool plain_if_listed;          /* http:// only to networks the policy's allow list names; https:// as ever */
  const struct webcall_aws *aws; /* NULL: not signed */
};
struct webcall_answer {
  int status; /* whatever the server said: a 500 is an answer */
  const char *content_type;
  const char *body;        /* NUL-terminated, in the arena */
  size_t body_len;         /* of what is kept, or was written */
  const char *const *kept; /* values of the headers in `keep`, in its order; NULL when absent */
  bool was_cut;
  int retry_after_s; /* of Retry-After, seconds or date; 0 when absent */
  double duration_ms;
};
/* ERR_UNAVAILABLE when there is no answer, with code "TIMEOUT", "ADDRESS_REFUSED" (by the policy), "ANSWER_TOO_LARGE" or "UNREACHABLE" and
 * libcurl's reason; the message names the host, never the rest of the URL, which may hold secrets. ERR_VALIDATION: not an http(s) URL. */
MUST_CHECK enum status webcall_send(struct webcall *webcall, const struct webcall_request *request, struct arena *arena,
                                    struct webcall_answer *ret_answer, struct error *err);
/* Lower-case host of an http or https URL, NULL when it is none or holds credentials. */
const char *webcall_host(const char *url, struct arena *arena);

#endif
