/* rewrite_world.h - tests/fixtures/rewrites.sql twice on one server, with rows and without, and its snapshot: what tests of rewrites stand
 * on. Included by test programs; the state is static. */
#ifndef AUTODB_TESTS_REWRITE_WORLD_H
#define AUTODB_TESTS_REWRITE_WORLD_H

#include "tests/support/guarded.h"

#include "common/pg.h"
#include "worker/optimizer/rewrite/rewrite_impl.h"
#include "worker/optimizer/rewrite/trial.h"

static struct harness *h;
static struct arena *arena, *scratch; /* scratch: of one query */
static PGconn *conn, *empty;
static struct snapshot *snapshot;

static void world_make(const char *name, const char *more, char url[HARNESS_URL]) {
  char script[512];
  harness_database(harness_postgres(h, 17), name, url);
  harness_sql_file(url, "tests/fixtures/rewrites.sql");
  snprintf(script, sizeof script, "ALTER DATABASE %s SET search_path = shop; ALTER DATABASE %s SET timezone = 'UTC'; %s", name, name, more);
  harness_sql(url, script);
}

/* `fill`: statements after shop.fill_shop(1). */
static int world_setup(void **state, const char *fill) {
  char url[HARNESS_URL], script[256];
  ERROR_AUTO err = {0};
  h = harness_new();
  arena = arena_new(1UL << 30);
  scratch = arena_new(1UL << 30);
  world_make("empty", "", url);
  empty = harness_connect(url);
  snprintf(script, sizeof script, "SELECT shop.fill_shop(1); %s; ANALYZE", fill);
  world_make("filled", script, url);
  conn = harness_connect(url);
  snapshot = guarded_look(url, 17, arena);
  if (pg_script(conn, "SET statement_timeout = '10s'", &err)) fail_msg("%s", err.message);
  *state = h;
  return 0;
}

static int world_teardown(void **state) {
  PQfinish(conn);
  PQfinish(empty);
  arena_free(arena);
  arena_free(scratch);
  return harness_teardown(state);
}

static const struct rewrite_list *world_propose(const char *sql, const char **ret_why) {
  struct rewrite_list *list = ARENA_NEW(scratch, struct rewrite_list);
  ERROR_AUTO err = {0};
  if (rewrite_propose(snapshot, sql, scratch, list, ret_why, &err)) fail_msg("%s: %s", sql, err.message);
  return list;
}

/* L5 for all of the ladder's. */
static void world_try(const char *sql, struct ladder *ladder) {
  ERROR_AUTO err = {0};
  if (trial_compare(empty, snapshot, sql, NULL, 0, ladder, scratch, &err)) fail_msg("%s: %s", sql, err.message);
}

/* Rows that only one of them gives, on the filled database; -1: it could not be asked, and `err` says why. */
static long long world_differing(const char *a, const char *b, struct error *err) {
  char *sql = arena_printf(scratch,
                           "SELECT count(*) FROM ((SELECT * FROM (%s\n) a EXCEPT ALL SELECT * FROM (%s\n) b) UNION ALL (SELECT * FROM "
                           "(%s\n) b EXCEPT ALL SELECT * FROM (%s\n) a)) d",
                           a, b, b, a);
  PGRESULT_AUTO res = NULL;
  return pg_query(conn, sql, 0, NULL, &res, err) ? -1 : pg_int(res, 0, 0, -1);
}

#endif
