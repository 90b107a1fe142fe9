/* servers.h - where the programs of each installed PostgreSQL major are. */
#ifndef AUTODB_SANDBOX_SERVERS_H
#define AUTODB_SANDBOX_SERVERS_H

#include "common/error.h"

#define SERVERS_OLDEST 15 /* in-server statistics can be flushed at will since 15; older ones are at or past their end of life */
#define SERVERS_NEWEST 40
#define SERVERS_PATH 256

struct server {
  int major;
  char prefix[SERVERS_PATH]; /* holds bin/ and lib/: "/usr/lib/postgresql/17" */
};

MUST_CHECK enum status servers_find(int major, struct server *ret_server, struct error *err);

#endif
