/* guarded.h - a database with tests/fixtures/shop_questions.sql, its snapshot, and a role that may only read: what tests of the guard and
 * of text-to-SQL stand on. Included by test programs: the support library knows nothing of the worker. */
#ifndef AUTODB_TESTS_GUARDED_H
#define AUTODB_TESTS_GUARDED_H

#include "tests/support/harness.h"

#include "common/config.h"
#include "worker/schema/catalog.h"
#include "worker/schema/snapshot.h"

struct guarded_world {
  struct harness *harness;
  struct harness_pg *pg;
  struct config cfg;
  char url[HARNESS_URL];    /* superuser */
  char reader[HARNESS_URL]; /* shop_reader */
  struct arena *arena;
  struct snapshot *snapshot;
};

static inline struct snapshot *guarded_look(const char *url, int major, struct arena *arena) {
  PGconn *conn = harness_connect(url);
  struct catalog_reader reader = {.conn = conn, .arena = arena, .excluded = "{}", .major = major};
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("introspection: %s", err.message);
  json_t *root = arena_json(arena, json_incref(reader.root));
  json_object_set_new(root, "server_version_num", json_integer(PQserverVersion(conn)));
  catalog_end(&reader);
  PQfinish(conn);
  if (snapshot_load(root, arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

/* postgres://user:password@host:port/database of the same server. */
static inline void guarded_url(const char *url, const char *user, char out[HARNESS_URL]) {
  const char *at = strrchr(url, '@');
  snprintf(out, HARNESS_URL, "postgresql://%s:reader@%s", user, at ? at + 1 : "");
}

/* Makes the database, loads the schema and `more` SQL (may be NULL), makes the reader, reads the snapshot. */
static inline void guarded_begin(struct guarded_world *world, int major, const char *more) {
  ERROR_AUTO err = {0};
  *world = (struct guarded_world){.harness = harness_new()};
  world->pg = harness_postgres(world->harness, major);
  setenv("AUTODB_CONNECTION_ALLOW_CIDRS", "127.0.0.0/8", 1);
  if (config_load(&world->cfg, &err)) fail_msg("%s", err.message);
  harness_database(world->pg, "shop", world->url);
  harness_sql_file(world->url, "tests/fixtures/shop_questions.sql");
  if (more) harness_sql(world->url, more);
  harness_sql(world->url, "ALTER DATABASE shop SET search_path = shop, public;"
                          "CREATE ROLE shop_reader LOGIN PASSWORD 'reader' NOSUPERUSER NOINHERIT;"
                          "GRANT USAGE ON SCHEMA shop, hr, private TO shop_reader;"
                          "GRANT SELECT ON ALL TABLES IN SCHEMA shop, hr, private TO shop_reader;"
                          "ALTER ROLE shop_reader SET temp_file_limit = '64MB'");
  guarded_url(world->url, "shop_reader", world->reader);
  world->arena = arena_new((size_t)1 << 30);
  world->snapshot = guarded_look(world->url, major, world->arena);
}

/* cmocka fixture: the setup left the world in *state. */
static inline int guarded_teardown(void **state) {
  struct guarded_world *world = *state;
  void *harness = world->harness;
  arena_free(world->arena);
  return harness_teardown(&harness);
}

#endif
