/* holder.c - how CREATE INDEX CONCURRENTLY and its like are made to hold still.
 *
 * Such a statement runs several transactions and waits in between for whoever could still see the old state: for holders of
 * conflicting locks, or for old snapshots. Phase by phase:
 *   1. one session holds an old snapshot, ACCESS SHARE and, in subtransactions, SHARE ROW EXCLUSIVE and ACCESS EXCLUSIVE on every table:
 * the statement stops at its first lock;
 *   2. ACCESS EXCLUSIVE is rolled back: it stops at its first lock that is more than a reader's (VACUUM looks before it locks);
 *   3. SHARE ROW EXCLUSIVE is rolled back: it runs into a wait for the snapshot or for readers;
 *   4. the second session becomes the reader of all tables the statement doesn't lock out, then the first one ends: the statement goes on
 * to its next wait; and so on with the roles changed. A statement that waits for nobody passes through phase 3 unseen, having shown its
 * first locks. */
#include "holder.h"

#include "common/buf.h"
#include "common/pg.h"

#define SQL_MAX (4 * 1024 * 1024)

struct holder {
  PGconn *sessions[2];
  int active; /* which one holds things now */
  int levels; /* subtransactions with locks in which it still has: 2 in phase 1, 1 in phase 2 */
};

enum status holder_new(struct sandbox *sandbox, struct holder **ret_holder, struct error *err) {
  struct holder *holder = calloc(1, sizeof *holder);
  if (!holder) return error_oom(err);
  enum status status = sandbox_connect_tracer(sandbox, &holder->sessions[0], err);
  if (!status) status = sandbox_connect_tracer(sandbox, &holder->sessions[1], err);
  if (status) {
    holder_free(holder);
    return status;
  }
  *ret_holder = holder;
  return OK;
}

void holder_free(struct holder *holder) {
  if (!holder) return;
  PQfinish(holder->sessions[0]);
  PQfinish(holder->sessions[1]);
  free(holder);
}

static bool run(PGconn *conn, const char *sql) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

/* "LOCK TABLE ONLY a, ONLY b IN … MODE NOWAIT" of every table the statement doesn't want for itself; leaves out empty lists. */
static bool lock_tables(PGconn *conn, const struct relations *relations, const struct locks *locks, const char *mode) {
  BUF_AUTO sql;
  buf_init(&sql, SQL_MAX);
  int count = 0;
  for (size_t i = 0; i < relations->count; i++) {
    const struct relation *relation = &relations->list[i];
    if (relation->kind != 'r' && relation->kind != 'p') continue;
    if (locks && lock_strongest(locks_modes(locks, relation->oid)) == LOCKS_ACCESS_EXCLUSIVE) continue;
    buf_printf(&sql, "%s ONLY %s", count++ ? "," : "LOCK TABLE", relation->name);
  }
  buf_printf(&sql, " IN %s MODE NOWAIT", mode);
  return count == 0 || (buf_ok(&sql) && run(conn, buf_str(&sql)));
}

static void read_all(PGconn *conn, const struct relations *relations, const struct locks *locks) {
  run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SAVEPOINT readers");
  if (!lock_tables(conn, relations, locks, "ACCESS SHARE")) run(conn, "ROLLBACK TO readers");
}

static const char *const level_modes[] = {"SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"};

static void undo_level(struct holder *holder) {
  char sql[48];
  snprintf(sql, sizeof sql, "ROLLBACK TO SAVEPOINT level%d", --holder->levels);
  run(holder->sessions[holder->active], sql);
}

void holder_block(struct holder *holder, const struct relations *relations) {
  PGconn *conn = holder->sessions[holder->active];
  read_all(conn, relations, NULL);
  for (holder->levels = 0; holder->levels < 2;) {
    char sql[32];
    snprintf(sql, sizeof sql, "SAVEPOINT level%d", holder->levels);
    run(conn, sql);
    bool locked = lock_tables(conn, relations, NULL, level_modes[holder->levels++]);
    if (!locked) {
      undo_level(holder);
      return;
    }
  }
}

void holder_step(struct holder *holder, const struct relations *relations, const struct locks *locks) {
  if (holder->levels > 0) {
    undo_level(holder);
    return;
  }
  PGconn *former = holder->sessions[holder->active];
  holder->active = !holder->active;
  read_all(holder->sessions[holder->active], relations, locks);
  run(former, "ROLLBACK");
}

void holder_release(struct holder *holder) {
  for (int i = 0; i < 2; i++)
    if (PQtransactionStatus(holder->sessions[i]) != PQTRANS_IDLE) run(holder->sessions[i], "ROLLBACK");
  holder->levels = 0;
}
