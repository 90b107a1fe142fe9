/* sandbox.h - an ephemeral, isolated PostgreSQL: cloned from a schema dump, seeded with synthetic rows, watched while a migration
 * runs in it, destroyed after one use.
 *
 * Isolation (local engine): bubblewrap with new user, pid, net, ipc, uts, cgroup and mount namespaces; no network; /usr read-only and
 * nothing else of the host; a writable tmpfs and a socket directory; die-with-parent; rlimits. What the migration runs as is a role without
 * superuser, so COPY … PROGRAM, server files, untrusted languages and background workers are powerless - and would see nothing if they were
 * not.
 *
 * Warm spares: one keeper process per worker (sandbox_keeper_main) starts sandboxes ahead and hands them to slots over a unix
 * socket; a sandbox dies with the slot's connection to the keeper, with the keeper, and with the worker. Without a keeper
 * (CLI, tests) sandbox_open starts one itself. Nothing survives kill -9; directories left behind are swept at the next start. */
#ifndef AUTODB_SANDBOX_H
#define AUTODB_SANDBOX_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/config.h"
#include "common/error.h"

struct sandbox;

/* Installed server majors, ascending, from /usr/lib/postgresql/<major>/bin and AUTODB_PG_BIN_<major>. Count returned. */
int sandbox_majors(int majors[], int max);
/* The installed major closest to the client's: equal, else the next higher, else the highest. 0 when none is installed. */
int sandbox_pick_major(int client_version_num);

/* Gets a running, empty sandbox of that major: a warm one from the keeper when keeper_socket names one (NULL: starts its own).
 * ERR_UNAVAILABLE when bubblewrap, user namespaces or server binaries are missing - the message says which and what to do. */
MUST_CHECK enum status sandbox_open(const struct config *cfg, const char *keeper_socket, int major, struct sandbox **ret_sandbox,
                                    struct error *err);
/* The same, but a copy of what was saved under `key` (64 hexadecimal digits, derived from all that goes into it, its owner included) when
 * the keeper has one: then ret_note is what was given to sandbox_save, else NULL. fresh: what is kept has proved damaged; it is forgotten
 * and an empty sandbox is opened. */
MUST_CHECK enum status sandbox_open_prepared(const struct config *cfg, const char *keeper_socket, int major, const char *key, bool fresh,
                                             struct arena *arena, struct sandbox **ret_sandbox, const char **ret_note, struct error *err);
/* Saves the sandbox's present state under the key it was opened with, while no session but ours is open in it. OK, too, where nothing is
 * kept: of a copy, without a keeper, for root, and when unlogged tables, which no copy would have, are in it. A failure leaves the sandbox
 * as usable as it was. */
MUST_CHECK enum status sandbox_save(struct sandbox *sandbox, const char *note, struct error *err);
void sandbox_close(struct sandbox *sandbox); /* destroys it: kill, wait, remove; NULL is fine */
static inline void sandbox_closep(struct sandbox **sandbox) {
  sandbox_close(*sandbox);
  *sandbox = NULL;
}
#define SANDBOX_AUTO __attribute__((cleanup(sandbox_closep))) struct sandbox *

int sandbox_version_num(const struct sandbox *sandbox);
bool sandbox_is_copy(const struct sandbox *sandbox);       /* of what was saved */
const char *sandbox_engine(const struct sandbox *sandbox); /* "postgres 17.10" */
/* New connections; the caller finishes them. The migrator owns the cloned objects and is no superuser. */
MUST_CHECK enum status sandbox_connect_migrator(struct sandbox *sandbox, PGconn **ret_conn, struct error *err);
MUST_CHECK enum status sandbox_connect_tracer(struct sandbox *sandbox, PGconn **ret_conn,
                                              struct error *err); /* superuser: reads pg_locks */

struct sandbox_clone_report {
  int tables_created;
  json_t *missing_extensions; /* ["name", …]: in the dump, not installed here */
  json_t *problems;           /* [{"statement","sqlstate","message"}]: statements of the dump that failed, and were left out */
};
/* Restores a pg_dump --schema-only script: extensions by a superuser, roles named in it as NOLOGIN roles, everything else as the migrator.
 * timezone and search_path (NULL: default) become the database's settings. */
MUST_CHECK enum status sandbox_clone(struct sandbox *sandbox, const char *dump_sql, const char *timezone, const char *search_path,
                                     struct arena *arena, struct sandbox_clone_report *ret_report, struct error *err);

/* Runs a migration of the past: what it left behind is wanted, not how it went. All of it in one message, and when that fails, statement by
 * statement; what fails is left out. Extensions and roles it names are made as sandbox_clone makes them. */
struct sandbox_replay_report {
  int statements, left_out;
  const char *problem; /* of the first one left out: "line 3: message"; NULL */
};
MUST_CHECK enum status sandbox_replay(struct sandbox *sandbox, const char *sql, struct arena *arena,
                                      struct sandbox_replay_report *ret_report, struct error *err);

struct sandbox_seed_report {
  int64_t rows_inserted;
  json_t *problems; /* [{"table","sqlstate","message"}]: tables that could not be given rows */
};
/* Gives every table rows_per_table synthetic rows that satisfy types, NOT NULL, FKs (parents first, cycles by NULL or deferral), CHECKs
 * (tried values), UNIQUE, enums, domains, identity and generated columns, partitions (rows within bounds). Reads the clone's own catalogs;
 * deterministic. columns: NULL, or a JSON array of {"s": schema, "t": table, "c": column, "n": rows that are NULL, "d": different values},
 * how production's columns look when they have this many rows (0: nothing known); followed as far as constraints and keys allow. */
MUST_CHECK enum status sandbox_seed(struct sandbox *sandbox, int rows_per_table, const char *columns, struct arena *arena,
                                    struct sandbox_seed_report *ret_report, struct error *err);

struct sandbox_lock {
  const char *relation;
  char relkind;
  const char *mode;
};                    /* "public.orders", 'r', "AccessExclusiveLock": strongest per relation */
struct sandbox_step { /* what one statement did; strings in the arena */
  double duration_ms;
  bool ok;
  bool at_commit;     /* what failed is the commit of what came before it; it did not run */
  struct error error; /* when not ok: details {"sqlstate","message",…}, in the arena too: don't clear it */
  struct sandbox_lock *locks;
  size_t lock_count; /* taken by this statement, on relations that existed before it */
  struct sandbox_lock *held;
  size_t held_count; /* kept from earlier statements of the transaction, where this one took no other mode:
                        whether it asked for the same again can't be seen */
  const char **rewrites;
  size_t rewrite_count; /* existing relations with a new relfilenode */
  const char **scans;
  size_t scan_count; /* existing tables whose rows were read in full */
  const char **created;
  size_t created_count; /* relations new after it */
};
/* Runs statements one by one on one migrator session, observed from the tracer session. `transactional[i]` false: run outside a transaction
 * block (CONCURRENTLY, VACUUM, …): the transaction before it is committed. Stops at the first failure. Statements the migration wrote
 * itself as BEGIN/COMMIT are passed through. */
struct sandbox_trace;
MUST_CHECK enum status sandbox_trace_begin(struct sandbox *sandbox, struct arena *arena, struct sandbox_trace **ret_trace,
                                           struct error *err);
/* ERR_* only when the sandbox itself broke; a failing statement is OK with step->ok false. timeout_ms bounds the statement. */
MUST_CHECK enum status sandbox_trace_step(struct sandbox_trace *trace, const char *sql, bool in_transaction, int timeout_ms,
                                          struct sandbox_step *ret_step, struct error *err);
/* The next step alone may be undone when it fails, in the transaction it runs in: a savepoint goes before it. */
void sandbox_trace_guard(struct sandbox_trace *trace);
/* After a guarded step that failed: what it did is undone, and the transaction goes on. Outside of one there is nothing to do. */
MUST_CHECK enum status sandbox_trace_undo(struct sandbox_trace *trace, struct error *err);
MUST_CHECK enum status sandbox_trace_end(struct sandbox_trace *trace, bool commit, struct error *err);
void sandbox_trace_free(struct sandbox_trace *trace);

/* A text that is equal for equal schemas of one sandbox and its copies as long as nothing was dropped and made again: equal means that
 * nothing differs that sandbox_dump would show, at a tenth of its price; different means that only sandbox_dump can tell. */
MUST_CHECK enum status sandbox_signature(struct sandbox *sandbox, struct arena *arena, const char **ret_signature, struct error *err);
/* Whether two sandboxes of one server version hold the same schema, however each came to it: true is certain, false means that only
 * sandbox_dump can tell. */
MUST_CHECK enum status sandbox_alike(struct sandbox *one, struct sandbox *other, struct arena *arena, bool *ret_alike, struct error *err);
/* Text form of the whole schema of the clone, for comparing before and after: pg_dump --schema-only, or where none is new enough for the
 * server what ddl.h writes; volatile lines removed. */
MUST_CHECK enum status sandbox_dump(struct sandbox *sandbox, struct arena *arena, const char **ret_sql, struct error *err);

/* The keeper process: never returns before its parent dies or SIGTERM. Keeps cfg->sandbox_warm spares of `majors`, listens on socket_path.
 */
int sandbox_keeper_main(const struct config *cfg, const char *socket_path);
/* Removes what dead keepers left under cfg->sandbox_dir (live ones hold a lock). Count removed. */
int sandbox_sweep(const struct config *cfg);

#endif
