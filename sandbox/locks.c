/* locks.c - reads pg_locks by process. Each mode held is a row of its own there, which is what makes it possible to see that a
 * statement took a weaker lock on a relation its transaction had locked harder before. */
#include "locks.h"

#include "common/pg.h"

static const char *const mode_names[] = {
    "",          "AccessShareLock",       "RowShareLock",  "RowExclusiveLock",   "ShareUpdateExclusiveLock",
    "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"};

const char *lock_mode_name(int mode) { return mode_names[mode]; }

int lock_strongest(unsigned modes) {
  int mode = LOCKS_ACCESS_EXCLUSIVE;
  while (mode > 0 && !(modes & (1U << mode))) mode--;
  return mode;
}

static int mode_number(const char *name) {
  for (int mode = 1; mode <= LOCKS_ACCESS_EXCLUSIVE; mode++)
    if (!strcmp(mode_names[mode], name)) return mode;
  return 0;
}

static size_t position(const struct locks *locks, uint32_t oid) {
  size_t at = 0;
  while (at < locks->count && locks->list[at].oid < oid) at++;
  return at;
}

unsigned locks_modes(const struct locks *locks, uint32_t oid) {
  size_t at = position(locks, oid);
  return at < locks->count && locks->list[at].oid == oid ? locks->list[at].modes : 0;
}

static bool add(struct locks *locks, struct arena *arena, uint32_t oid, int mode) {
  size_t at = position(locks, oid);
  if (at == locks->count || locks->list[at].oid != oid) {
    if (locks->count == locks->room) {
      size_t room = locks->room ? locks->room * 2 : 32;
      struct lock *grown = arena_calloc(arena, room, sizeof *grown);
      if (!grown) return false;
      if (locks->count) memcpy(grown, locks->list, locks->count * sizeof *grown);
      locks->list = grown;
      locks->room = room;
    }
    memmove(&locks->list[at + 1], &locks->list[at], (locks->count - at) * sizeof *locks->list);
    locks->list[at] = (struct lock){.oid = oid};
    locks->count++;
  }
  locks->list[at].modes |= 1U << mode;
  return true;
}

enum status locks_sample(PGconn *tracer, int pid, struct arena *arena, struct locks *locks, bool *ret_waiting, struct error *err) {
  static const char sql[] =
      "SELECT CASE WHEN locktype = 'relation' AND database <> 0 THEN relation END, mode, granted FROM pg_catalog.pg_locks WHERE pid = $1 "
      "AND (locktype = 'relation' OR NOT granted) ORDER BY 1";
  char pid_text[16];
  bool waiting = false;
  snprintf(pid_text, sizeof pid_text, "%d", pid);
  const char *const params[] = {pid_text};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(tracer, sql, 1, params, &res, err);
  if (status) return status;
  for (int row = 0; row < PQntuples(res); row++) {
    waiting |= !pg_bool(res, row, 2);
    int mode = mode_number(PQgetvalue(res, row, 1));
    if (mode == 0 || PQgetisnull(res, row, 0)) continue;
    if (!add(locks, arena, (uint32_t)pg_int(res, row, 0, 0), mode)) return error_oom(err);
  }
  if (ret_waiting) *ret_waiting = waiting;
  return OK;
}
