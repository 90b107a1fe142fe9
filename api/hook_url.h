/* hook_url.h - may jobs tell this URL? One check for webhooks and callback_url. */
#ifndef AUTODB_API_HOOK_URL_H
#define AUTODB_API_HOOK_URL_H

#include "api/request.h"

/* An https URL with a host, no credentials, no fragment; http only where AUTODB_WEBHOOK_ALLOW_CIDRS names networks. An address written into
 * it is held against the network policy here; a name is when it is connected to, by the courier, every time. NULL is fine. `field` is
 * named in the VALIDATION_ERROR. */
MUST_CHECK enum status hook_url_check(const struct request *req, const char *field, const char *url, struct error *err);

#endif
