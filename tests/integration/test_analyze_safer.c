/* test_analyze_safer.c - safer_migration over HTTP, and then not taken at its word: what is offered is run on a real copy of the database,
 * with its rows, beside the original; both must end in one schema, by pg_dump. The offered script is analysed again as anybody's migration,
 * and nothing may be seen to read or rewrite a table under a lock that others wait for. */
#include "tests/support/harness.h"

#include "common/arena.h"
#include "common/json.h"
#include "worker/migration/effect.h"
#include "worker/migration/safer/plan.h"

struct shop {
  struct harness *harness;
  char connection[64], url[HARNESS_URL];
};

static const char more_schema[] =
    "CREATE TABLE named (id int PRIMARY KEY, v int CHECK (v > 0), w varchar(20) NOT NULL DEFAULT 'x', n int);"
    "INSERT INTO named SELECT g, g, 'w' || g, g FROM generate_series(1, 2500) g;"
    "COMMENT ON COLUMN named.w IS 'what it''s for'; CREATE INDEX named_w_idx ON named (w); CREATE INDEX named_w_n ON named (n) INCLUDE (w);"
    "CREATE INDEX named_lower ON named (lower(w));"
    "CREATE SCHEMA \"Odd one\"; CREATE TABLE \"Odd one\".\"Big \"\"Table\"\"\" (\"Key\" int PRIMARY KEY, \"select\" int, \"é\" text);"
    "INSERT INTO \"Odd one\".\"Big \"\"Table\"\"\" SELECT g, g, 'x' FROM generate_series(1, 50) g;"
    "CREATE TABLE ordinary (id int PRIMARY KEY, x_y int, note text); CREATE TABLE two_keys (a int, b text, c int, PRIMARY KEY (a, b));"
    "INSERT INTO ordinary SELECT g, g, 'n' FROM generate_series(1, 100) g;"
    "INSERT INTO two_keys SELECT g % 50, 'b' || g, g FROM generate_series(1, 2500) g;"
    "CREATE TABLE proof_taken (a int, x_proof int, CONSTRAINT proof_taken_a_proof CHECK (a > -5)); INSERT INTO proof_taken VALUES (1, 2);"
    "CREATE TABLE tree (id int NOT NULL, k int NOT NULL, v text) PARTITION BY RANGE (k);"
    "CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (100) PARTITION BY LIST (id);"
    "CREATE TABLE tree_1a PARTITION OF tree_1 FOR VALUES IN (1, 2, 3); CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (100) TO "
    "(200);"
    "INSERT INTO tree VALUES (1, 5, 'a'), (2, 150, 'b'); CREATE INDEX tree_whole ON tree (v);"
    "CREATE TABLE loose (id int, k int, v text); INSERT INTO loose VALUES (1, 250, 'c');"
    "CREATE TABLE full_tree (id int, k int, v text, UNIQUE (id, k)) PARTITION BY RANGE (k);"
    "CREATE TABLE full_1 PARTITION OF full_tree FOR VALUES FROM (0) TO (10); CREATE TABLE full_def PARTITION OF full_tree DEFAULT;"
    "INSERT INTO full_tree VALUES (1, 5, 'a'), (2, 500, 'b'), (3, NULL, 'c');"
    "CREATE MATERIALIZED VIEW bare AS SELECT id FROM ordinary; CREATE MATERIALIZED VIEW by_expression AS SELECT id FROM ordinary;"
    "CREATE UNIQUE INDEX by_expression_u ON by_expression ((id + 0));"
    "CREATE TABLE this_name_is_sixty_three_bytes_long_which_is_all_there_can_be_xx (id int PRIMARY KEY, "
    "this_column_is_sixty_three_bytes_long_which_is_all_there_can_be int);"
    "INSERT INTO this_name_is_sixty_three_bytes_long_which_is_all_there_can_be_xx SELECT g, g FROM generate_series(1, 9) g;"
    "CREATE TABLE excluding (id int PRIMARY KEY, r int4range, EXCLUDE USING gist (r WITH &&));"
    "CREATE TABLE nokey (a int, b int); INSERT INTO nokey SELECT g, g FROM generate_series(1, 20) g;"
    "CREATE TABLE secret (id int PRIMARY KEY, a int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;"
    "DO $$ BEGIN CREATE ROLE \"An app\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    "GRANT SELECT, UPDATE ON secret TO \"An app\"; CREATE ROLE \"Mixed\"; GRANT ALL ON secret TO \"Mixed\"; GRANT SELECT ON secret TO "
    "PUBLIC;"
    "CREATE TABLE wide (k int, v text) PARTITION BY RANGE (k); CREATE TABLE wide_a (k int, v text); INSERT INTO wide_a VALUES (7, 'x');"
    "CREATE TABLE ext_child (id int PRIMARY KEY, p int REFERENCES ordinary (id)); ANALYZE";

static void connect_to(struct harness *h, const char *url, const char *name, char connection[64]) {
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", name, "db_type", "postgresql_local", "connection_string", url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(connection, 64, "%s", harness_text(reply.json, "data.id"));
}

static int setup(void **state) {
  static struct shop shop;
  struct harness *h = shop.harness = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "origin", shop.url);
  harness_sql_file(shop.url, "tests/fixtures/ddl_fixture.sql");
  harness_sql(shop.url, more_schema);
  connect_to(h, shop.url, "origin", shop.connection);
  *state = &shop;
  return 0;
}

static int teardown(void **state) {
  void *harness = ((struct shop *)*state)->harness;
  return harness_teardown(&harness);
}

/* --- asking --- */

static void show(const char *what, json_t *value) {
  char *text = json_dumps(value, JSON_INDENT(1) | JSON_ENCODE_ANY);
  printf("%s\n%s\n", what, text);
  fflush(stdout);
  free(text);
}

static json_t *analyse(struct shop *shop, const char *connection, const char *sql) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", connection);
  json_t *job = harness_job(shop->harness, path, json_pack("{s:s}", "sql", sql), 90000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) {
    show(sql, job);
    fail_msg("the analysis failed");
  }
  return job;
}

/* Every mistake is printed; the test fails at its end. */
static int mistakes;
static void complain(const char *what, const char *sql, const char *detail) {
  printf("    %s: %s\n%s\n", what, sql, detail);
  fflush(stdout);
  mistakes++;
}

/* --- running on a real copy --- */

static void copy_database(struct shop *shop, const char *template, const char *name, char url[HARNESS_URL]) {
  char sql[300];
  PGconn *conn = harness_connect(shop->harness->pg[0].url);
  snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s", name);
  PQclear(PQexec(conn, sql));
  bool made = false; /* the template may still be in use by the introspection that just ended */
  for (int tried = 0; !made && tried < 100; tried++) {
    int round = 8;
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE %s", name, template);
    PGresult *res = PQexec(conn, sql);
    made = PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    if (!made) harness_nap(&round);
  }
  assert_true(made);
  PQfinish(conn);
  snprintf(url, HARNESS_URL, "%s", shop->harness->pg[0].url);
  char *slash = strrchr(url, '/');
  snprintf(slash, HARNESS_URL - (size_t)(slash - url), "/%s", name);
}

static bool run_script(struct arena *arena, const char *url, const char *script) {
  ERROR_AUTO err = {0};
  struct sql_script split;
  assert_int_equal(sql_split(script, strlen(script), arena, &split, &err), OK);
  if (split.fault.sqlstate) fail_msg("%s\n%s", split.fault.message, script);
  PGconn *conn = harness_connect(url);
  bool good = true;
  for (size_t i = 0; good && i < split.count; i++) {
    PGresult *res = PQexec(conn, split.statements[i].text);
    good = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
    if (!good) complain(PQresultErrorMessage(res), split.statements[i].text, script);
    PQclear(res);
  }
  PQfinish(conn);
  return good;
}

static char *dump(struct shop *shop, const char *url) {
  char program[HARNESS_PATH + 16], *text = NULL;
  snprintf(program, sizeof program, "%s/pg_dump", shop->harness->pg[0].bin);
  const char *const argv[] = {"pg_dump", "--schema-only", "--dbname", url, NULL};
  assert_int_equal(harness_run(shop->harness, program, argv, NULL, &text), 0);
  return text;
}

/* The original and what is offered, each on a copy. `check` is a query that has to give 0 on the second; NULL: none. */
static void prove(struct shop *shop, const char *template, const char *sql, json_t *safer, const char *check) {
  char left[HARNESS_URL], right[HARNESS_URL];
  ARENA_AUTO arena = arena_new(64 << 20);
  copy_database(shop, template, "left_copy", left);
  copy_database(shop, template, "right_copy", right);
  if (!run_script(arena, left, sql) || !run_script(arena, right, harness_text(safer, "script"))) return;
  char *one = dump(shop, left), *other = dump(shop, right);
  bool same = safer_same_schema(arena, one, other, json_is_true(json_object_get(safer, "column_order_differs")));
  free(one);
  free(other);
  if (!same) complain("the schemas differ", sql, harness_text(safer, "script"));
  if (check && harness_count(right, check) != 0) complain("rows are wrong", check, harness_text(safer, "script"));
}

static bool waits(json_t *statement, const char *table) {
  size_t index;
  json_t *lock;
  json_array_foreach(json_object_get(statement, "locks"), index, lock) {
    const char *key = strcmp(table, "public.mv") == 0 ? "blocks_reads" : "blocks_writes"; /* nobody writes to a materialised view */
    if (strcmp(harness_text(lock, "table"), table) == 0 && json_is_true(json_object_get(lock, key))) return true;
  }
  return false;
}

/* The offered script as a migration of its own. */
static void reanalyse(struct shop *shop, const char *connection, const char *sql, json_t *safer) {
  static const char *const passes[] = {"scans", "rewrites"};
  const char *script = harness_text(safer, "script");
  json_t *job = analyse(shop, connection, script), *statement, *name;
  bool empty_view = strcmp(harness_text(job, "result.sandbox_result.migration_error.sqlstate"), "0A000") == 0 && strstr(script, "REFRESH");
  if (!json_is_true(harness_at(job, "result.sandbox_result.passed")) && !empty_view) { /* a clone's views hold nothing */
    complain("what is offered does not pass", sql, script);
    show("", harness_at(job, "result.sandbox_result.migration_error"));
  }
  size_t at, index;
  json_array_foreach(harness_at(job, "result.sandbox_result.statements"), at, statement) {
    json_t *source = json_array_get(harness_at(job, "result.statements"), at);
    for (int pass = 0; pass < 2; pass++) json_array_foreach(json_object_get(statement, passes[pass]), index, name) {
        if (!waits(statement, json_string_value(name)) || strstr(script, json_string_value(name)) == NULL) continue;
        complain("read or rewritten while others wait", harness_text(source, "sql"), json_string_value(name));
      }
  }
  json_decref(job);
}

/* --- the routes --- */

struct offered {
  const char *sql, *route;
  const char *check;    /* gives 0 afterwards */
  const char *holds[3]; /* texts of the script */
};

static const struct offered routes[] = {
    {"CREATE INDEX named_n ON named (n)", "create-index-concurrently", NULL, {"CREATE INDEX CONCURRENTLY named_n"}},
    {"CREATE INDEX ON named (n, lower(w))", "create-index-concurrently", NULL, {"named_n_lower_idx"}},
    {"CREATE UNIQUE INDEX IF NOT EXISTS u1 ON named (n) WHERE n > 5", "create-index-concurrently", NULL, {"IF NOT EXISTS u1"}},
    {"CREATE INDEX ON tree (id)", "create-index-concurrently", NULL, {"ON ONLY", "ATTACH PARTITION", "tree_1a_id_idx"}},
    {"CREATE INDEX ON \"Odd one\".\"Big \"\"Table\"\"\" (\"é\")", "create-index-concurrently", NULL, {"\"Big \"\"Table\"\"_é_idx\""}},
    {"DROP INDEX named_w_idx", "drop-index-concurrently", NULL, {"DROP INDEX CONCURRENTLY named_w_idx"}},
    {"DROP INDEX IF EXISTS named_w_idx, named_w_n, not_there", "drop-index-concurrently", NULL, {"CONCURRENTLY IF EXISTS not_there"}},
    {"REINDEX TABLE named", "reindex-concurrently", NULL, {"REINDEX TABLE CONCURRENTLY"}},
    {"REINDEX INDEX named_w_idx", "reindex-concurrently", NULL, {"REINDEX INDEX CONCURRENTLY"}},
    {"REFRESH MATERIALIZED VIEW mv", "refresh-concurrently", NULL, {"CONCURRENTLY public.mv"}},
    {"ALTER TABLE named ADD CONSTRAINT c CHECK (n > 0)", "add-check-validate", NULL, {"NOT VALID", "VALIDATE CONSTRAINT c"}},
    {"ALTER TABLE named ADD CHECK (n > 0)", "add-check-validate", NULL, {"named_n_check"}},
    {"ALTER TABLE named ADD CHECK (n > 0 AND v > 0)", "add-check-validate", NULL, {"named_check"}},
    {"ALTER TABLE named ADD CHECK (v < 100000)", "add-check-validate", NULL, {"named_v_check1"}},
    {"ALTER TABLE tree ADD CONSTRAINT c CHECK (id > 0)", "add-check-validate", NULL, {"NOT VALID"}},
    {"ALTER TABLE child ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES t (id) ON DELETE CASCADE",
     "add-foreign-key-validate",
     NULL,
     {"NOT VALID"}},
    {"ALTER TABLE child ADD FOREIGN KEY (x) REFERENCES t", "add-foreign-key-validate", NULL, {"child_x_fkey"}},
    {"ALTER TABLE t ALTER COLUMN a SET NOT NULL", "prove-not-null", NULL, {"t_a_proof", "DROP CONSTRAINT"}},
    {"ALTER TABLE pt ALTER COLUMN v SET NOT NULL", "prove-not-null", NULL, {"pt_v_proof"}},
    {"ALTER TABLE proof_taken ALTER COLUMN a SET NOT NULL", "prove-not-null", NULL, {"proof_taken_a_proof1"}},
    {"ALTER TABLE \"Odd one\".\"Big \"\"Table\"\"\" ALTER COLUMN \"select\" SET NOT NULL",
     "prove-not-null",
     NULL,
     {"\"select\" IS NOT NULL"}},
    {"ALTER TABLE this_name_is_sixty_three_bytes_long_which_is_all_there_can_be_xx ALTER COLUMN "
     "this_column_is_sixty_three_bytes_long_which_is_all_there_can_be SET NOT NULL",
     "prove-not-null",
     NULL,
     {"_proof CHECK"}},
    {"ALTER TABLE named ADD COLUMN z uuid DEFAULT gen_random_uuid()",
     "column-then-fill",
     "SELECT count(*) FROM named WHERE z IS NULL",
     {"SET DEFAULT gen_random_uuid()", "COMMIT;"}},
    {"ALTER TABLE named ADD COLUMN z timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (z > '2000-01-01')",
     "column-then-fill",
     "SELECT count(*) FROM named WHERE z IS NULL",
     {"named_z_check", "named_z_proof"}},
    {"ALTER TABLE two_keys ADD COLUMN z float DEFAULT random()",
     "column-then-fill",
     "SELECT count(*) FROM two_keys WHERE z IS NULL",
     {"first1"}},
    {"ALTER TABLE named ADD COLUMN z bigserial",
     "column-then-sequence",
     "SELECT 2500 - count(DISTINCT z) FROM named WHERE z BETWEEN 1 AND 2500",
     {"CREATE SEQUENCE public.named_z_seq", "OWNED BY"}},
    {"ALTER TABLE named ADD COLUMN z serial UNIQUE", "column-then-sequence", NULL, {"AS integer", "named_z_key"}},
    {"ALTER TABLE named ADD COLUMN z bigint GENERATED ALWAYS AS IDENTITY",
     "column-then-identity",
     "SELECT count(DISTINCT z) - 2500 FROM named",
     {"GENERATED ALWAYS AS IDENTITY", "setval"}},
    {"ALTER TABLE \"Odd one\".\"Big \"\"Table\"\"\" ADD COLUMN \"Nº\" int GENERATED BY DEFAULT AS IDENTITY",
     "column-then-identity",
     "SELECT count(*) FROM \"Odd one\".\"Big \"\"Table\"\"\" WHERE \"Nº\" NOT BETWEEN 1 AND 50",
     {"\"Nº\""}},
    {"ALTER TABLE named ADD COLUMN z int DEFAULT 3 CHECK (z > 0)", "column-then-check", NULL, {"named_z_check", "NOT VALID"}},
    {"ALTER TABLE named ADD COLUMN z int UNIQUE", "column-then-unique", NULL, {"named_z_key", "USING INDEX"}},
    {"ALTER TABLE named ADD COLUMN z int DEFAULT 1 REFERENCES parent (id)", "column-then-foreign-key", NULL, {"named_z_fkey"}},
    {"ALTER TABLE named ADD CONSTRAINT uq UNIQUE (n)", "unique-using-index", NULL, {"UNIQUE USING INDEX uq"}},
    {"ALTER TABLE named ADD UNIQUE NULLS NOT DISTINCT (n) INCLUDE (w)",
     "unique-using-index",
     NULL,
     {"NULLS NOT DISTINCT", "named_n_w_key"}},
    {"ALTER TABLE named ADD CONSTRAINT uq UNIQUE (n) DEFERRABLE INITIALLY DEFERRED", "unique-using-index", NULL, {"INITIALLY DEFERRED"}},
    {"ALTER TABLE idt ADD PRIMARY KEY (id)", "primary-key-using-index", NULL, {"PRIMARY KEY USING INDEX idt_pkey"}},
    {"ALTER TABLE nokey ADD PRIMARY KEY (a)", "primary-key-using-index", NULL, {"nokey_a_proof"}},
    {"ALTER TABLE named ADD CONSTRAINT c CHECK (n > 0) NOT VALID, VALIDATE CONSTRAINT c",
     "validate-alone",
     NULL,
     {"VALIDATE CONSTRAINT c"}},
    {"ALTER TABLE named ADD CONSTRAINT c CHECK (n > 0) NOT VALID; ALTER TABLE named VALIDATE CONSTRAINT c",
     "commit-before",
     NULL,
     {"COMMIT"}},
    {"ALTER TABLE wide ATTACH PARTITION wide_a FOR VALUES FROM (-100000) TO (100000)",
     "attach-proved",
     NULL,
     {"k >= -100000 AND k < 100000"}},
    {"ALTER TABLE tree ATTACH PARTITION loose FOR VALUES FROM (200) TO (MAXVALUE)", NULL, NULL, {NULL}},
    {"ALTER TABLE ptd ATTACH PARTITION pck FOR VALUES FROM (3000) TO (4000)", "attach-default-proved", NULL, {"k < 3000 OR k >= 4000"}},
    {"CREATE TABLE ptd3 PARTITION OF ptd FOR VALUES FROM (5000) TO (6000)", "partition-default-proved", NULL, {"LIKE public.ptd"}},
    {"CREATE TABLE full_2 PARTITION OF full_tree FOR VALUES FROM (10) TO (20)", "partition-default-proved", NULL, {"k IS NULL OR"}},
    {"CREATE TABLE pt3 PARTITION OF pt FOR VALUES FROM (2000) TO (3000)", "partition-attached", NULL, {"ATTACH PARTITION pt3"}},
    {"ALTER TABLE pt DETACH PARTITION pt2", "detach-concurrently", NULL, {"CONCURRENTLY", "pt2_k_check"}},
    {"ALTER TABLE named ALTER COLUMN v TYPE int8 USING v::int8", NULL, NULL, {NULL}}, /* a CHECK goes with the column */
    {"ALTER TABLE named ALTER COLUMN n TYPE bigint",
     "second-column",
     "SELECT count(*) FROM named WHERE n IS DISTINCT FROM id",
     {"n_new", "phase contract"}},
    {"ALTER TABLE ordinary ALTER COLUMN note TYPE int USING length(note)",
     "second-column",
     "SELECT count(*) FROM ordinary WHERE note IS DISTINCT FROM 1",
     {"length(note)"}},
    {"ALTER TABLE t ALTER COLUMN txti TYPE text COLLATE \"C\"", "second-column-index", NULL, {"COLLATE \"C\""}},
    {"ALTER TABLE ordinary RENAME TO plain", "view-of-old-name", NULL, {"CREATE VIEW public.ordinary", "DROP VIEW"}},
    {"ALTER TABLE secret RENAME TO open",
     "view-of-old-name",
     NULL,
     {"GRANT SELECT, UPDATE ON public.secret TO \"An app\"", "UPDATE, DELETE ON public.secret TO \"Mixed\"", "TO PUBLIC"}},
    {"ALTER TABLE ordinary RENAME COLUMN x_y TO xy", "view-of-both-names", NULL, {"xy AS x_y", "ordinary_base"}},
    {"ALTER TABLE ordinary SET SCHEMA \"Odd one\"", "view-in-old-schema", NULL, {"FROM \"Odd one\".ordinary"}},
};

/* Why the worker gave a route up. */
static void print_reasons(struct shop *shop) {
  for (int i = 0; i < shop->harness->proc_count; i++) {
    FILE *file = fopen(shop->harness->procs[i].log, "r");
    char line[2000];
    while (file && fgets(line, sizeof line, file))
      if (strstr(line, "safer migration")) fputs(line, stdout);
    if (file) fclose(file);
  }
}

static bool has_route(json_t *safer, const char *route) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(safer, "replaced"), index, one) if (strcmp(harness_text(one, "route"), route) == 0) return true;
  return false;
}

static bool check_offer(json_t *job, const struct offered *one) {
  json_t *safer = harness_at(job, "result.safer_migration");
  if (!json_is_true(harness_at(safer, "sandbox_passed")) || !has_route(safer, one->route) || !*harness_text(safer, "explanation") ||
      harness_int(safer, "score_after") > harness_int(safer, "score_before")) {
    complain("not offered", one->sql, one->route);
    show("", harness_at(job, "result.sandbox_result.migration_error"));
    return false;
  }
  for (size_t i = 0; i < 3 && one->holds[i]; i++)
    if (!strstr(harness_text(safer, "script"), one->holds[i]))
      complain("missing in the script", one->holds[i], harness_text(safer, "script"));
  return true;
}

static void try_one(struct shop *shop, const struct offered *one) {
  json_t *job = analyse(shop, shop->connection, one->sql), *safer = harness_at(job, "result.safer_migration");
  if (!one->route && !json_is_null(safer)) complain("offered", one->sql, harness_text(safer, "script"));
  if (one->route && check_offer(job, one)) {
    prove(shop, "origin", one->sql, safer, one->check);
    if (!strstr(one->sql, "CLUSTER")) reanalyse(shop, shop->connection, one->sql, safer);
  }
  json_decref(job);
}

static void test_routes(void **state) {
  mistakes = 0;
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) try_one(*state, &routes[i]);
  if (mistakes) print_reasons(*state);
  assert_int_equal(mistakes, 0);
}

/* Where the way around does not exist, or would not end in the same schema, nothing is offered. */
static void test_not_offered(void **state) {
  static const char *const scripts[] = {
      "CREATE TABLE fresh (id int PRIMARY KEY, a int); CREATE INDEX ON fresh (a)", /* nobody waits for a new table */
      "ALTER TABLE named ADD COLUMN z int",
      "ALTER TABLE tree ADD FOREIGN KEY (id) REFERENCES parent (id)",  /* NOT VALID from partitioned tables: PostgreSQL 18 */
      "ALTER TABLE tree ADD UNIQUE (id, k)",                           /* no index to use on a partitioned table */
      "DROP INDEX tree_whole",                                         /* a partitioned index */
      "REFRESH MATERIALIZED VIEW bare",                                /* no unique index */
      "REFRESH MATERIALIZED VIEW by_expression",                       /* unique, but over an expression */
      "REINDEX TABLE excluding",                                       /* its exclusion index would be passed over */
      "ALTER TABLE nokey ADD COLUMN z uuid DEFAULT gen_random_uuid()", /* no key to go through it by */
      "ALTER TABLE named ADD COLUMN z domck",                          /* the domain's CHECK rewrites whatever one does */
      "ALTER TABLE named ADD COLUMN z int GENERATED ALWAYS AS (n * 2) STORED",
      "ALTER TABLE named ADD COLUMN z bigint GENERATED ALWAYS AS IDENTITY (START WITH 100)",
      "ALTER TABLE excluding ADD EXCLUDE USING gist (id WITH =)",
      "ALTER TABLE ptd DETACH PARTITION ptd1", /* not concurrently beside a default partition */
      "CREATE INDEX ON ONLY tree (id)",
      "ALTER TABLE ordinary ALTER COLUMN id TYPE bigint", /* referenced by others */
      "TRUNCATE ordinary CASCADE",
      "DROP TABLE nokey",
      "CLUSTER named USING named_pkey",
      "ALTER TABLE gchild SET UNLOGGED",
      "ALTER TABLE pt1 RENAME TO pt1_renamed; ALTER TABLE pt DETACH PARTITION pt2 CONCURRENTLY", /* a partition is not bridged */
      "BEGIN; LOCK TABLE named; CREATE INDEX ON named (n); COMMIT",                              /* held together for a reason */
      "BEGIN; SAVEPOINT a; CREATE INDEX ON named (n); ROLLBACK TO a; COMMIT",
      "BEGIN; SET LOCAL search_path = public; CREATE INDEX ON named (n); COMMIT",
      "-- autodb:ignore create-index-blocking the table is small\nCREATE INDEX ON named (n)",
  };
  mistakes = 0;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) try_one(*state, &(struct offered){.sql = scripts[i]});
  assert_int_equal(mistakes, 0);
}

/* Statements among others: order, comments, transactions and settings of the source. */
static const struct offered mixed[] = {
    {"-- first\nALTER TABLE named ADD COLUMN z int; /* why */ CREATE INDEX named_z ON named (z); -- tail\nCOMMENT ON TABLE named IS 'x'; "
     "-- end",
     "create-index-concurrently",
     NULL,
     {"-- first", "/* why */", "-- end"}},
    {"BEGIN;\nALTER TABLE named ADD COLUMN z int;\nCREATE INDEX named_z ON named (z);\nINSERT INTO parent VALUES (100001);\nCOMMIT;",
     "create-index-concurrently",
     "SELECT 1 - count(*) FROM parent WHERE id = 100001",
     {"BEGIN;\nSET LOCAL lock_timeout = '3s';\nALTER TABLE named ADD COLUMN z int;\nCOMMIT;"}},
    {"SET lock_timeout = '5s'; CREATE INDEX named_n ON named (n); ALTER TABLE named ALTER COLUMN n SET NOT NULL",
     "prove-not-null",
     NULL,
     {"SET lock_timeout = 0;", "SET lock_timeout = '5s'"}},
    {"BEGIN; SET LOCAL lock_timeout = '2s'; ALTER TABLE named ADD CONSTRAINT c CHECK (n > 0); COMMIT",
     "add-check-validate",
     NULL,
     {"SET LOCAL lock_timeout = '2s'"}},
    {"ALTER TABLE named ADD COLUMN y int, ADD COLUMN z int CHECK (z > y), ALTER COLUMN n SET DEFAULT 7",
     "column-then-check",
     NULL,
     {"named_check"}},
    {"ALTER TABLE named ALTER COLUMN n SET NOT NULL, ADD CONSTRAINT c CHECK (n > 0), DROP COLUMN v",
     "prove-not-null",
     NULL,
     {"named_n_proof", "VALIDATE CONSTRAINT c"}},
    {"ALTER TABLE named ADD CHECK (n > 0); ALTER TABLE named ADD CHECK (n > -1)",
     "add-check-validate",
     NULL,
     {"named_n_check", "named_n_check1"}},
    {"CREATE INDEX ON named (n); CREATE INDEX ON named (n)", "create-index-concurrently", NULL, {"named_n_idx", "named_n_idx1"}},
    {"CREATE INDEX ON named (n); CLUSTER named USING named_pkey", "create-index-concurrently", NULL, {"CLUSTER"}}, /* the part that holds */
    {"ALTER TABLE ordinary RENAME TO plain; ALTER TABLE plain ADD COLUMN z int; CREATE INDEX ON plain (z)",
     "view-of-old-name",
     NULL,
     {"plain_z_idx", "DROP VIEW"}},
    {"ALTER TABLE ordinary RENAME COLUMN x_y TO xy; ALTER TABLE ordinary ADD CONSTRAINT c CHECK (xy > 0)",
     "add-check-validate", /* the bridging view stands in the way of the second statement: that part is left as it was */
     NULL,
     {"RENAME COLUMN x_y TO xy"}},
    {"DO $$ BEGIN PERFORM 1; END $$; CREATE INDEX ON named (n)", "create-index-concurrently", NULL, {"PERFORM 1"}},
};

static void test_mixed(void **state) {
  mistakes = 0;
  for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) try_one(*state, &mixed[i]);
  if (mistakes) print_reasons(*state);
  assert_int_equal(mistakes, 0);
}

/* Without a sandbox nothing is proved; phases come one by one and make up the script. */
static void test_shape(void **state) {
  struct shop *shop = *state;
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze?sandbox=false", shop->connection);
  json_t *job = harness_job(shop->harness, path, json_pack("{s:s}", "sql", "CREATE INDEX ON named (n)"), 60000);
  assert_true(json_is_null(harness_at(job, "result.safer_migration")));
  json_decref(job);
  job = analyse(shop, shop->connection, "ALTER TABLE named ALTER COLUMN n TYPE bigint");
  json_t *phases = harness_at(job, "result.safer_migration.phases"), *phase;
  static const char *const names[] = {"expand", "backfill", "switch", "contract"};
  size_t index;
  assert_int_equal(json_array_size(phases), 4);
  json_array_foreach(phases, index, phase) {
    assert_string_equal(harness_text(phase, "name"), names[index]);
    assert_non_null(strstr(harness_text(job, "result.safer_migration.script"), harness_text(phase, "script")));
  }
  assert_true(json_is_true(harness_at(job, "result.safer_migration.column_order_differs")));
  json_decref(job);
  job = analyse(shop, shop->connection, "CREATE INDEX ON named (n)");
  assert_true(json_is_null(harness_at(job, "result.safer_migration.phases")));
  assert_int_equal(harness_int(job, "result.safer_migration.replaced.0.statement"), 0);
  assert_string_equal(harness_text(job, "result.safer_migration.replaced.0.finding"), "create-index-blocking");
  json_decref(job);
}

/* --- the measured cases --- */

/* Cases with a history are asked of a database that has it. */
static void start_case(struct shop *shop, json_t *one, char connection[64], const char **ret_template) {
  char url[HARNESS_URL];
  size_t index;
  json_t *before;
  snprintf(connection, 64, "%s", shop->connection);
  *ret_template = "origin";
  if (!json_array_size(json_object_get(one, "setup"))) return;
  copy_database(shop, "origin", "with_history", url);
  json_array_foreach(json_object_get(one, "setup"), index, before) harness_sql(url, json_string_value(before));
  connect_to(shop->harness, url, "with_history", connection);
  *ret_template = "with_history";
}

static void test_measured(void **state) {
  struct shop *shop = *state;
  json_t *root = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/ddl_truth.json", 0, NULL), *one;
  size_t index;
  int blocks = 0, offered = 0, failed = 0;
  mistakes = 0;
  json_array_foreach(json_object_get(root, "cases"), index, one) {
    if (!json_is_true(json_object_get(one, "long_block_pg16")) || json_array_size(json_object_get(one, "in_tx_before"))) continue;
    if (json_is_string(json_object_get(one, "min_pg")) || json_is_integer(json_object_get(one, "min_pg"))) continue;
    const char *sql = harness_text(one, "sql"), *template = NULL;
    char connection[64];
    blocks++;
    start_case(shop, one, connection, &template);
    json_t *job = analyse(shop, connection, sql), *safer = harness_at(job, "result.safer_migration");
    failed += !json_is_true(harness_at(job, "result.sandbox_result.passed"));
    offered += json_is_object(safer);
    if (json_is_object(safer))
      prove(shop, template, sql, safer, NULL);
    else
      printf("    none for: %s\n", sql);
    json_decref(job);
  }
  printf("measured long blocks: %d; a proved safer script for %d; %d did not pass in the sandbox themselves\n", blocks, offered, failed);
  json_decref(root);
  assert_int_equal(mistakes, 0);
  assert_true(offered * 2 > blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_routes), cmocka_unit_test(test_not_offered), cmocka_unit_test(test_mixed),
      cmocka_unit_test(test_shape),  cmocka_unit_test(test_measured),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
