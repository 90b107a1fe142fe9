/* conninfo.h - taking a client's connection string apart, and putting together what libpq is told. Private to clientdb.c.
 *
 * Nothing but what is on the list goes through, and nothing comes in from the side: each parameter that libpq would otherwise take from
 * PG* variables, ~/.pgpass, ~/.postgresql or a service file has a value of ours. */
#ifndef AUTODB_CONNINFO_H
#define AUTODB_CONNINFO_H

#include "arena.h"
#include "error.h"

#define CONNINFO_MAX 4096  /* bytes of a connection string */
#define CONNINFO_PARAMS 48 /* that we know of: all of libpq's */

struct conninfo {
  const char *values[CONNINFO_PARAMS]; /* by conninfo_index, in the arena; NULL = not given */
  int port;
  bool is_unix; /* host is a socket directory */
  const char *sslmode;
};

MUST_CHECK enum status conninfo_parse(const char *text, bool allow_unix, struct arena *arena, struct conninfo *ret_info, struct error *err);
const char *conninfo_get(const struct conninfo *info, const char *name); /* NULL when not given */
/* As a URI; NULL when out of memory. */
char *conninfo_uri(const struct conninfo *info, struct arena *arena);
/* Keyword and value arrays for PQconnectStartParams, NULL-terminated; hostaddr NULL for a socket. Each has room for CONNINFO_PARAMS + 1. */
void conninfo_params(const struct conninfo *info, const char *hostaddr, const char **keys, const char **values);
bool conninfo_knows(const char *name); /* every keyword of libpq must be: a test holds it against PQconndefaults */

#endif
