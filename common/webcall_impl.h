/* webcall_impl.h - one call on its way, shared by webcall.c (blocking) and webloop.c (many at once): what is asked, what is refused, what
 * is kept. Private to the two. */
#ifndef AUTODB_WEBCALL_IMPL_H
#define AUTODB_WEBCALL_IMPL_H

#include <curl/curl.h>

#include "buf.h"
#include "webcall.h"

struct call {
  CURL *curl;
  const struct netpolicy *policy;
  const struct webcall_request *request; /* borrowed until call_clear, as the arena is */
  struct arena *arena;
  struct curl_slist *headers;
  const char *host;
  const char *refusal; /* of the last address looked at; static text */
  struct buf body;
  size_t written; /* to the request's out or out_fd */
  bool plain;     /* http:// */
  bool was_cut, too_large;
  char reason[CURL_ERROR_SIZE];
};

/* `call` holds curl, policy, request and arena; the rest is set up here. After either outcome call_clear. */
MUST_CHECK enum status call_begin(struct call *call, struct error *err);
/* What libcurl's code means for the caller. */
MUST_CHECK enum status call_end(struct call *call, CURLcode code, struct webcall_answer *ret_answer, struct error *err);
void call_clear(struct call *call);

#endif
