/* test_sandbox_signature.c - the signature misses nothing that pg_dump shows, and stays when a change is taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/pg.h"
#include "sandbox/sandbox.h"

static struct config cfg = {.sandbox_memory_mb = 512, .sandbox_warm = 1, .slots = 1};

static const char schema[] =
    "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('a', 'b'); CREATE DOMAIN s.d AS int CHECK (VALUE > 0); CREATE TYPE s.pair AS (x int, y "
    "text);"
    "CREATE SEQUENCE s.seq; CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'; CREATE FUNCTION s.t() RETURNS trigger "
    "LANGUAGE plpgsql AS "
    "'BEGIN RETURN NEW; END'; CREATE TABLE s.p (id int PRIMARY KEY, a int, b text, m s.mood DEFAULT 'a'); "
    "CREATE TABLE s.c (id int, p int CONSTRAINT fk REFERENCES s.p, n text NOT NULL, v text); CREATE INDEX i ON s.c (n); "
    "CREATE UNIQUE INDEX u ON s.c (id, n); CREATE TABLE s.part (k int) PARTITION BY RANGE (k); CREATE TABLE s.part1 PARTITION OF s.part "
    "FOR VALUES FROM (0) TO (9); "
    "CREATE TABLE s.part2 (k int); CREATE VIEW s.v AS SELECT id FROM s.p; CREATE MATERIALIZED VIEW s.mv AS SELECT 1 AS one; "
    "CREATE TRIGGER tr BEFORE INSERT ON s.c FOR EACH ROW EXECUTE FUNCTION s.t(); CREATE POLICY pol ON s.c USING (true); "
    "CREATE RULE r AS ON DELETE TO s.p DO INSTEAD NOTHING; CREATE STATISTICS s.st ON a, b FROM s.p; CREATE COLLATION s.col FROM \"C\"; "
    "CREATE PUBLICATION pub FOR TABLE s.p; CREATE TEXT SEARCH CONFIGURATION s.ts (COPY = english); CREATE AGGREGATE s.agg(int) (SFUNC = "
    "int4pl, STYPE = int)";

/* Every one shows in a dump. What takes something away comes last. */
static const char *const changes[] = {"ALTER TABLE s.p ADD COLUMN z int",
                                      "ALTER TABLE s.p ALTER a SET NOT NULL",
                                      "ALTER TABLE s.p ALTER a SET DEFAULT 1",
                                      "ALTER TABLE s.p ALTER m SET DEFAULT 'b'",
                                      "ALTER TABLE s.p ALTER b SET STATISTICS 7",
                                      "ALTER TABLE s.p ALTER b SET STORAGE EXTERNAL",
                                      "ALTER TABLE s.p ALTER b SET COMPRESSION pglz",
                                      "ALTER TABLE s.p ALTER a SET (n_distinct = 5)",
                                      "ALTER TABLE s.p ALTER id ADD GENERATED ALWAYS AS IDENTITY",
                                      "ALTER TABLE s.p SET (fillfactor = 50)",
                                      "ALTER TABLE s.c SET (toast.autovacuum_enabled = off)",
                                      "ALTER TABLE s.part2 SET UNLOGGED",
                                      "ALTER TABLE s.p REPLICA IDENTITY FULL",
                                      "ALTER TABLE s.p ENABLE ROW LEVEL SECURITY",
                                      "ALTER TABLE s.p FORCE ROW LEVEL SECURITY",
                                      "ALTER TABLE s.p ADD CHECK (a > 0)",
                                      "ALTER TABLE s.c ADD CHECK (id > 0) NOT VALID",
                                      "ALTER TABLE s.c ALTER CONSTRAINT fk DEFERRABLE",
                                      "ALTER TABLE s.c CLUSTER ON u",
                                      "ALTER TABLE s.c DISABLE TRIGGER tr",
                                      "ALTER TABLE s.p DISABLE RULE r",
                                      "ALTER TABLE s.part ATTACH PARTITION s.part2 FOR VALUES FROM (9) TO (20)",
                                      "ALTER TABLE s.part DETACH PARTITION s.part1",
                                      "CREATE TABLE s.kid () INHERITS (s.p)",
                                      "CREATE INDEX ON s.p (b text_pattern_ops)",
                                      "ALTER INDEX s.i SET (fillfactor = 60)",
                                      "CREATE OR REPLACE VIEW s.v AS SELECT id FROM s.p WHERE id > 1",
                                      "ALTER VIEW s.v SET (security_barrier)",

                                      "ALTER SEQUENCE s.seq INCREMENT 5",
                                      "ALTER SEQUENCE s.seq OWNED BY s.p.id",
                                      "CREATE OR REPLACE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'",
                                      "ALTER FUNCTION s.f(int) IMMUTABLE",
                                      "ALTER FUNCTION s.f(int) SET work_mem = '1MB'",
                                      "GRANT EXECUTE ON FUNCTION s.f(int) TO pg_monitor",
                                      "REVOKE EXECUTE ON FUNCTION s.f(int) FROM PUBLIC",
                                      "GRANT SELECT ON s.p TO PUBLIC",
                                      "GRANT SELECT (a) ON s.p TO PUBLIC",
                                      "GRANT USAGE ON SCHEMA s TO PUBLIC",
                                      "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
                                      "GRANT USAGE ON SEQUENCE s.seq TO PUBLIC",
                                      "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
                                      "ALTER TYPE s.mood ADD VALUE 'c'",
                                      "ALTER TYPE s.mood RENAME VALUE 'a' TO 'aa'",
                                      "ALTER DOMAIN s.d SET NOT NULL",
                                      "ALTER DOMAIN s.d ADD CHECK (VALUE < 9)",
                                      "ALTER DOMAIN s.d SET DEFAULT 3",
                                      "ALTER TYPE s.pair ADD ATTRIBUTE z int",
                                      "REVOKE USAGE ON TYPE s.mood FROM PUBLIC",
                                      "COMMENT ON TABLE s.p IS 'x'",
                                      "COMMENT ON COLUMN s.p.a IS 'x'",
                                      "COMMENT ON SCHEMA public IS 'x'",
                                      "COMMENT ON FUNCTION s.f(int) IS 'x'",
                                      "ALTER POLICY pol ON s.c USING (false)",
                                      "ALTER STATISTICS s.st SET STATISTICS 9",
                                      "ALTER PUBLICATION pub ADD TABLE s.c",
                                      "ALTER PUBLICATION pub SET (publish = 'insert')",
                                      "CREATE TEXT SEARCH DICTIONARY s.dict (TEMPLATE = simple)",
                                      "CREATE CAST (s.pair AS text) WITH INOUT",
                                      "CREATE OPERATOR s.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
                                      "CREATE SCHEMA extra",
                                      "CREATE TYPE s.ran AS RANGE (SUBTYPE = int)",
                                      "CREATE CONVERSION s.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
                                      "ALTER TABLE s.c DROP CONSTRAINT fk",
                                      "ALTER TEXT SEARCH CONFIGURATION s.ts DROP MAPPING FOR word",
                                      "ALTER TABLE s.p DROP COLUMN b",
                                      "ALTER TABLE s.p RENAME COLUMN a TO aa",

                                      "DROP INDEX s.i",
                                      "DROP VIEW s.v",
                                      "DROP MATERIALIZED VIEW s.mv",
                                      "DROP POLICY pol ON s.c",

                                      "DROP COLLATION s.col",
                                      "DROP PUBLICATION pub",
                                      "DROP TRIGGER tr ON s.c",
                                      "DROP AGGREGATE s.agg(int)",
                                      "DROP SCHEMA public",
                                      "ALTER TABLE s.c RENAME TO cc",

                                      "ALTER SCHEMA s RENAME TO t"};

/* Each pair leads back, and the signature shows it, so that nothing has to be dumped. */
static const char *const there_and_back[][2] = {
    {"ALTER TABLE s.p ADD COLUMN z uuid DEFAULT gen_random_uuid()", "ALTER TABLE s.p DROP COLUMN z"},
    {"CREATE INDEX new ON s.p (a)", "DROP INDEX s.new"},
    {"ALTER TABLE s.p ALTER a SET NOT NULL", "ALTER TABLE s.p ALTER a DROP NOT NULL"},
    {"CREATE TABLE s.new (id serial PRIMARY KEY, t text REFERENCES s.new2)", "SELECT 1"},
    {"ALTER TABLE s.c ADD CONSTRAINT k CHECK (id > 0)", "ALTER TABLE s.c DROP CONSTRAINT k"},
    {"ALTER TABLE s.c RENAME TO cc", "ALTER TABLE s.cc RENAME TO c"},
    {"INSERT INTO s.p SELECT n, n, n FROM generate_series(1, 5000) n; ANALYZE s.p", "TRUNCATE s.p CASCADE"},
    {"CREATE VIEW s.v2 AS SELECT * FROM s.p", "DROP VIEW s.v2"},
    {"CREATE TABLE s.n (id serial PRIMARY KEY, p int REFERENCES s.p, t text); GRANT SELECT ON s.n TO PUBLIC", "DROP TABLE s.n"},
};

static void read_both(struct sandbox *sandbox, struct arena *arena, const char **signature, const char **dump) {
  ERROR_AUTO err = {0};
  if (sandbox_signature(sandbox, arena, signature, &err) || (dump && sandbox_dump(sandbox, arena, dump, &err))) fail_msg("%s", err.message);
}

static bool run(PGconn *conn, const char *sql) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  return PQresultStatus(res) != PGRES_FATAL_ERROR;
}

struct ground {
  struct sandbox *sandbox;
  PGconn *conn;
  struct arena *arena;
};

static void open_ground(struct ground *ground) {
  ERROR_AUTO err = {0};
  *ground = (struct ground){.arena = arena_new(64 << 20)};
  if (sandbox_open(&cfg, NULL, sandbox_pick_major(99 * 10000), &ground->sandbox, &err) ||
      sandbox_connect_migrator(ground->sandbox, &ground->conn, &err))
    fail_msg("%s", err.message);
  if (!run(ground->conn, schema)) fail_msg("%s", PQerrorMessage(ground->conn));
}

static void close_ground(struct ground *ground) {
  PQfinish(ground->conn);
  sandbox_close(ground->sandbox);
  arena_free(ground->arena);
}

static bool alike(const struct ground *one, const struct ground *other) {
  ERROR_AUTO err = {0};
  bool same = false;
  if (sandbox_alike(one->sandbox, other->sandbox, one->arena, &same, &err)) fail_msg("%s", err.message);
  return same;
}

/* One after the other in one schema, and then in its twin; those that an earlier one has made impossible are counted, not tried. */
static void test_misses_nothing(void **state) {
  (void)state;
  struct ground ground, twin;
  const char *signature, *dump, *next_signature, *next_dump;
  int seen = 0;
  open_ground(&ground);
  open_ground(&twin);
  read_both(ground.sandbox, ground.arena, &signature, &dump);
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    if (!run(ground.conn, changes[i])) {
      print_message("impossible: %s: %s", changes[i], PQerrorMessage(ground.conn));
      continue;
    }
    read_both(ground.sandbox, ground.arena, &next_signature, &next_dump);
    bool shows = strcmp(dump, next_dump) != 0;
    if (shows && !strcmp(signature, next_signature)) fail_msg("%s: changes the dump but not the signature", changes[i]);
    if (shows && alike(&ground, &twin)) fail_msg("%s: changes the dump, but the twin is alike", changes[i]);
    if (!run(twin.conn, changes[i]) || !alike(&ground, &twin)) fail_msg("%s: the twin differs", changes[i]);
    seen += shows;
    if (!shows) print_message("shows in no dump: %s\n", changes[i]);
    signature = next_signature;
    dump = next_dump;
  }
  print_message("%d of %zu changes seen\n", seen, sizeof changes / sizeof *changes);
  assert_true(seen >= 75);
  close_ground(&ground);
  close_ground(&twin);
}

static void test_ways_back(void **state) {
  (void)state;
  struct ground ground;
  const char *signature, *after;
  open_ground(&ground);
  read_both(ground.sandbox, ground.arena, &signature, NULL);
  for (size_t i = 0; i < sizeof there_and_back / sizeof *there_and_back; i++) {
    bool there = run(ground.conn, there_and_back[i][0]);
    if (there && !run(ground.conn, there_and_back[i][1])) fail_msg("%s", PQerrorMessage(ground.conn));
    read_both(ground.sandbox, ground.arena, &after, NULL);
    if (strcmp(signature, after) != 0) fail_msg("%s: another signature after the way back\n%s\n%s", there_and_back[i][0], signature, after);
  }
  close_ground(&ground);
}

/* Two ways to one schema, each in a sandbox of its own, one after the other. */
static const char *const two_ways[][2] = {
    {"CREATE INDEX ix ON s.p (a)", "CREATE INDEX CONCURRENTLY ix ON s.p (a)"},
    {"ALTER TABLE s.p ALTER b SET NOT NULL",
     "ALTER TABLE s.p ADD CONSTRAINT k CHECK (b IS NOT NULL) NOT VALID; ALTER TABLE s.p VALIDATE CONSTRAINT k; ALTER TABLE s.p ALTER b SET "
     "NOT NULL; ALTER TABLE s.p DROP CONSTRAINT k"},
    {"CREATE TABLE s.n (id serial PRIMARY KEY, p int REFERENCES s.p, t text DEFAULT 'x', CHECK (p > 0))",
     "CREATE TABLE s.other (); DROP TABLE s.other; CREATE TABLE s.n (id serial PRIMARY KEY, p int, t text DEFAULT 'x', CHECK (p > 0)); "
     "ALTER TABLE s.n ADD CONSTRAINT n_p_fkey FOREIGN KEY (p) REFERENCES s.p NOT VALID; ALTER TABLE s.n VALIDATE CONSTRAINT n_p_fkey"},
    {"ALTER TABLE s.c ADD CONSTRAINT un UNIQUE (v)",
     "CREATE UNIQUE INDEX un ON s.c (v); ALTER TABLE s.c ADD CONSTRAINT un UNIQUE USING INDEX un"},
    {"CREATE VIEW s.w AS SELECT a FROM s.p; COMMENT ON VIEW s.w IS 'x'",
     "CREATE VIEW s.w AS SELECT 1 AS a; DROP VIEW s.w;  CREATE VIEW s.w AS\n  SELECT p.a FROM s.p; COMMENT ON VIEW s.w IS 'x'"},
    {"CREATE FUNCTION s.g(x int DEFAULT 1 + 1) RETURNS int RETURN x", "CREATE FUNCTION s.g( x int DEFAULT 1 + 1 ) RETURNS int  RETURN x"},
    {"CREATE STATISTICS s.e ON (a + 1) FROM s.p; CREATE TYPE s.tone AS ENUM ('x'); CREATE FUNCTION s.h(s.tone) RETURNS s.tone LANGUAGE sql "
     "AS 'SELECT $1'; CREATE TRIGGER tw BEFORE UPDATE ON s.c FOR EACH ROW WHEN (OLD.n <> NEW.n) EXECUTE FUNCTION s.t()",
     "CREATE TYPE s.tone AS ENUM ('x'); CREATE FUNCTION s.h(s.tone) RETURNS s.tone LANGUAGE sql AS 'SELECT $1'; CREATE STATISTICS s.e ON "
     "(a + 1) FROM s.p; CREATE TRIGGER tw BEFORE UPDATE ON s.c FOR EACH ROW   WHEN (OLD.n <> NEW.n) EXECUTE FUNCTION s.t()"},
};

static void run_each(PGconn *conn, const char *sql) {
  char *copy = strdup(sql), *save = NULL;
  for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save))
    if (!run(conn, one)) fail_msg("%s: %s", one, PQerrorMessage(conn));
  free(copy);
}

static void test_two_sandboxes(void **state) {
  (void)state;
  struct ground left, right;
  open_ground(&left);
  open_ground(&right);
  for (size_t i = 0; i < sizeof two_ways / sizeof *two_ways; i++) {
    run_each(left.conn, two_ways[i][0]);
    run_each(right.conn, two_ways[i][1]);
    if (!alike(&left, &right)) fail_msg("%s: another schema than after %s", two_ways[i][0], two_ways[i][1]);
  }
  close_ground(&left);
  close_ground(&right);
}

static int setup(void **state) {
  (void)state;
  static char dir[64];
  snprintf(dir, sizeof dir, "/dev/shm/autodb-test-%d", (int)getpid());
  cfg.sandbox_dir = dir;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", cfg.sandbox_dir);
  return system(command);
}

int main(void) {
  if (sandbox_pick_major(99 * 10000) == 0) {
    print_message("needs a PostgreSQL server\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_misses_nothing), cmocka_unit_test(test_ways_back),
                                     cmocka_unit_test(test_two_sandboxes)};
  return cmocka_run_group_tests_name("sandbox_signature", tests, setup, teardown);
}
