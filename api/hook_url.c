/* hook_url.c - see hook_url.h. */
#include "api/hook_url.h"

#include <netdb.h>
#include <strings.h>

#include "common/netpolicy.h"
#include "common/webcall.h"

/* The address the host is, in any of the notations a resolver takes for one ("127.1", "0x7f000001", "[::1]"); false when it is a name. */
static bool address_of(const char *host, struct sockaddr_storage *ret_address) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  char bare[LIMIT_WEBHOOK_URL_BYTES];
  size_t len = strlen(host);
  bool bracketed = *host == '[' && len > 2;
  snprintf(bare, sizeof bare, "%.*s", (int)(bracketed ? len - 2 : len), host + bracketed);
  if (getaddrinfo(bare, NULL, &hints, &found) != 0) return false;
  memcpy(ret_address, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return true;
}

static enum status check_address(const struct request *req, const char *field, const char *host, bool plain, struct error *err) {
  struct sockaddr_storage storage = {0};
  const struct sockaddr *address = (const struct sockaddr *)&storage;
  struct netpolicy *policy = NULL;
  if (!address_of(host, &storage)) return OK;
  enum status status = netpolicy_new(req->loop->api->cfg->webhook_allow, "", false, &policy, err);
  if (status != OK) return status;
  const char *refusal = netpolicy_refusal(policy, address);
  if (!refusal && plain && !netpolicy_lists(policy, address)) refusal = "may be reached by https only";
  if (refusal) status = error_add_field(err, field, "leads to an address that %s", refusal);
  netpolicy_free(policy);
  return status;
}

enum status hook_url_check(const struct request *req, const char *field, const char *url, struct error *err) {
  if (!url) return OK;
  if (strlen(url) > LIMIT_WEBHOOK_URL_BYTES) return error_add_field(err, field, "must be at most %d bytes", LIMIT_WEBHOOK_URL_BYTES);
  for (const char *p = url; *p; p++)
    if (*p <= ' ' || *p >= 0x7f) return error_add_field(err, field, "must be a URL of printable ASCII without spaces");
  const char *host = webcall_host(url, req->arena);
  bool plain = strncasecmp(url, "http://", 7) == 0, http_ok = *req->loop->api->cfg->webhook_allow != '\0';
  bool https = strncasecmp(url, "https://", 8) == 0;
  if ((!https && !(plain && http_ok)) || !host || !*host || strchr(url, '#'))
    return error_add_field(err, field, "must be an https:// URL with a host, without user name and fragment");
  return check_address(req, field, host, plain, err);
}
