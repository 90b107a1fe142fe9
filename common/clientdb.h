/* clientdb.h - connecting to a client's database: hostile until proven otherwise.
 *
 * A connection string (URI or key=value) may use only the parameters on a safe list (conninfo.c): no passfile, service, key or
 * certificate files, no several hosts, no unix sockets unless allowed. The host is resolved once, every address is held
 * against the policy, and libpq is given the chosen address as hostaddr, so what was checked is what is connected to. */
#ifndef AUTODB_CLIENTDB_H
#define AUTODB_CLIENTDB_H

#include <libpq-fe.h>

#include "arena.h"
#include "config.h"
#include "error.h"
#include "netpolicy.h"

struct clientdb_target { /* strings live in the arena given to clientdb_parse */
  const char *host;      /* as written; a socket directory when unix sockets are allowed */
  int port;              /* 5432 by default */
  const char *dbname, *user;
  const char *sslmode;    /* as written, else "prefer" for loopback and sockets, "require" for everything else */
  const char *normalized; /* as a URI, password included, all ASCII: what is encrypted and stored; parses to the same target */
};

/* No network. A refused or unknown parameter is a VALIDATION_ERROR on "connection_string" naming it; the value is never echoed. */
MUST_CHECK enum status clientdb_parse(const char *connection_string, bool allow_unix, struct arena *arena,
                                      struct clientdb_target *ret_target, struct error *err);

/* Resolves, checks the policy, connects (LIMIT_CLIENT_CONNECT_SECONDS), sets application_name "autodb" and statement_timeout.
 * Blocking. Failure is ERR_VALIDATION (code "CONNECTION_FAILED" in details.reason_code, the server's or resolver's own reason in the
 * message, no password) or ERR_FORBIDDEN-free: policy refusals are VALIDATION_ERROR on "connection_string" too. */
MUST_CHECK enum status clientdb_connect(const struct config *cfg, const char *connection_string, int statement_timeout_ms,
                                        PGconn **ret_conn, struct error *err);

struct clientdb_facts {
  char server_version[64]; /* "17.10 (Debian …)" as SHOW server_version gives it */
  int server_version_num;  /* 170010 */
  bool hypopg, pg_stat_statements, is_superuser, can_write;
};
MUST_CHECK enum status clientdb_probe(PGconn *conn, struct clientdb_facts *ret_facts, struct error *err);

#endif
