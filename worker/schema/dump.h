/* dump.h - pg_dump --schema-only of an exported snapshot, as a child process beside the transaction that exported it. */
#ifndef AUTODB_DUMP_H
#define AUTODB_DUMP_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/arena.h"
#include "common/error.h"

struct dump {
  pid_t pid; /* 0: not running */
  int pid_fd, out_fd, err_fd;
  int64_t deadline_ms; /* monotonic */
  char why[256];       /* when it could not be started */
};

struct dump_request {
  PGconn *conn;              /* the same server, address and credentials are used */
  const char *snapshot_name; /* pg_export_snapshot() of an open transaction */
  const json_t *excluded;    /* names of schemas left out, or NULL */
  const json_t *wanted;      /* only these, or NULL */
  bool has_extensions;
};

/* Starts pg_dump; when that is impossible dump_finish says why. */
void dump_start(struct dump *dump, const struct dump_request *request);
/* Waits. The script as zlib data in the arena, or NULL and the reason. */
void *dump_finish(struct dump *dump, struct arena *arena, size_t *ret_len, const char **ret_why);
/* A script as dump_finish returns one; NULL: out of memory. */
void *dump_pack(const char *script, size_t len, struct arena *arena, size_t *ret_len);
void dump_abort(struct dump *dump); /* kills and reaps; accepts a finished one */

/* The pg_dump to use for a server: the installed major that is equal or else the next higher (an older pg_dump refuses a newer server, and
 * the output of a much newer one holds settings that the sandbox's server, chosen the same way, does not know). NULL when there is none. */
char *dump_binary(int server_major, struct arena *arena);
/* Cuts CREATE USER MAPPING statements, whose options hold passwords, out of a dump, in place. Returns the new length. */
size_t dump_redact(char *script, size_t len);

#endif
