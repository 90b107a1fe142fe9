/* proxy.h - TCP proxies of the test: the network between our processes and their servers, with a delay, a stop and a cut.
 *
 * One thread runs them all. Controls may be called from the test's own thread at any time. */
#ifndef AUTODB_TESTS_CHAOS_PROXY_H
#define AUTODB_TESTS_CHAOS_PROXY_H

#include <stdbool.h>

enum proxy_name { API_TO_POSTGRES, API_TO_REDIS, WORKERS_TO_POSTGRES, WORKERS_TO_REDIS, PROXY_COUNT };

struct proxies;
/* target_ports: by proxy_name, on 127.0.0.1. */
struct proxies *proxies_new(const int target_ports[PROXY_COUNT]);
void proxies_free(struct proxies *proxies);
int proxies_port(const struct proxies *proxies, enum proxy_name name);

void proxies_delay(struct proxies *proxies, int ms);                         /* every piece waits ms / 2 … ms, each way, on all of them */
void proxies_hold(struct proxies *proxies, enum proxy_name name, bool held); /* answers stay in the network; requests pass */
void proxies_cut(struct proxies *proxies);                                   /* resets every connection there is */

#endif
