/* netpolicy.h - which addresses we may connect to, decided on the address itself, never on a name.
 *
 * Built-in refusals: unspecified (0.0.0.0/8, ::), loopback, link-local (169.254/16 with the cloud metadata service, fe80::/10),
 * the metadata addresses fd00:ec2::254 and 100.100.100.200, multicast, broadcast, 240/4. IPv4-mapped, IPv4-compatible, NAT64
 * (64:ff9b::/96) and 6to4 forms are judged by the IPv4 address inside. `deny` wins over `allow`, `allow` over the built-ins. */
#ifndef AUTODB_NETPOLICY_H
#define AUTODB_NETPOLICY_H

#include <sys/socket.h>

#include "error.h"

struct netpolicy;
/* Comma- or space-separated CIDRs ("127.0.0.0/8, ::1/128"); NULL or "" = none. `private_ok`: whether RFC 1918, 100.64/10 and
 * fc00::/7 are allowed by default (client databases: yes; webhooks: no). */
MUST_CHECK enum status netpolicy_new(const char *allow, const char *deny, bool private_ok, struct netpolicy **ret_policy,
                                     struct error *err);
void netpolicy_free(struct netpolicy *policy);
/* NULL when allowed, else why not ("is a link-local or metadata address"). */
const char *netpolicy_refusal(const struct netpolicy *policy, const struct sockaddr *address);
/* Is the address in a network that `allow` names, and in none that `deny` does? */
bool netpolicy_lists(const struct netpolicy *policy, const struct sockaddr *address);
bool netpolicy_is_loopback(const struct sockaddr *address);

#endif
