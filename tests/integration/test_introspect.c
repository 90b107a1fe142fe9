/* Introspection against real servers of every installed major: whole, one snapshot, quoted names, no rights, locks, changes underneath, and
 * what is stored. The measurement of 1,000 tables prints its times. */
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "tests/support/harness.h"
#include "worker/schema/introspect.h"
#include "worker/schema/store.h"

static const int majors[] = {17, 18, 16, 15, 14, 13};
enum { SERVERS = sizeof majors / sizeof *majors };

static struct harness *h;
static struct harness_pg *servers[SERVERS]; /* NULL: not installed */
static struct config cfg;
static struct keyring *keyring;
static PGconn *own;

/* ---- fixtures ---- */

static int group_setup(void **state) {
  *state = h = harness_new();
  for (int i = 0; i < SERVERS; i++)
    if (i == 0 || harness_has_postgres(majors[i])) servers[i] = harness_postgres(h, majors[i]);
  harness_schema_up(h);
  char key[64];
  harness_key(h, "test", "admin", key);
  cfg = (struct config){.connection_allow = "127.0.0.0/8", .connection_deny = ""};
  ERROR_AUTO err = {0};
  assert_int_equal(keyring_new(h->master_key, &keyring, &err), OK);
  own = harness_connect(h->database_url);
  return 0;
}

static int group_teardown(void **state) {
  PQfinish(own);
  keyring_free(keyring);
  return harness_teardown(state);
}

/* A connection row and a job for it. */
struct client {
  struct job job;
  char id[64];
  char url[HARNESS_URL];
};

static char *own_value(const char *sql, int count, const char *const *params, char out[64]) {
  PGresult *res = PQexecParams(own, sql, count, NULL, params, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1) fail_msg("%s: %s", sql, PQerrorMessage(own));
  snprintf(out, 64, "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
  return out;
}

static void client_for(const char *url, struct client *client) {
  ERROR_AUTO err = {0};
  BUF_AUTO sealed = {0};
  buf_init(&sealed, 4096);
  snprintf(client->url, sizeof client->url, "%s", url);
  own_value("SELECT gen_random_uuid()", 0, NULL, client->id);
  assert_int_equal(keyring_seal(keyring, client->id, url, strlen(url), &sealed, &err), OK);
  char hex[2 * 4096 + 3] = "\\x", made[64];
  for (size_t i = 0; i < sealed.len; i++) snprintf(hex + 2 + 2 * i, 3, "%02x", (unsigned char)sealed.data[i]);
  const char *const params[] = {client->id, h->owner_id, hex, keyring_current(keyring)};
  own_value("INSERT INTO autodb.connections (id, owner_id, name, db_type, host, port, database_name, secret, secret_key_id) "
            "VALUES ($1::text::uuid, $2::uuid, 'c' || $1::text, 'postgresql', 'h', 1, 'd', $3::bytea, $4) RETURNING id",
            4, params, made);
  client->job = (struct job){.id = "018f0000-0000-7000-8000-000000000000",
                             .kind = "schema.introspect",
                             .owner_id = h->owner_id,
                             .connection_id = client->id,
                             .attempt = 1,
                             .arena = arena_new(1024 * 1024 * 1024),
                             .cfg = &cfg,
                             .keyring = keyring,
                             .db = own};
  assert_non_null(client->job.arena);
}

static void client_end(struct client *client) { arena_free(client->job.arena); }

/* A fresh database on a server, filled from a file, and a client for it. */
static void client_with(struct harness_pg *pg, const char *database, const char *file, struct client *client) {
  char url[HARNESS_URL];
  harness_database(pg, database, url);
  if (file) harness_sql_file(url, file);
  client_for(url, client);
}

static json_t *introspect(struct client *client, json_t *take_payload) {
  ERROR_AUTO err = {0};
  json_t *result = NULL;
  client->job.payload = take_payload;
  if (introspect_run(&client->job, &result, &err)) fail_msg("introspection failed: %s %s", err.code, err.message);
  json_decref(take_payload);
  client->job.payload = NULL;
  return arena_json(client->job.arena, result);
}

static void introspect_fails(struct client *client, json_t *take_payload, enum status want, const char *part) {
  ERROR_AUTO err = {0};
  json_t *result = NULL;
  client->job.payload = take_payload;
  enum status status = introspect_run(&client->job, &result, &err);
  char *details = err.details ? json_dumps(err.details, 0) : NULL;
  if (status != want || (!strstr(err.message, part) && !(details && strstr(details, part))))
    fail_msg("wanted %d \"%s\", got %d: %s %s", want, part, status, err.message, details ? details : "");
  if (strstr(err.message, HARNESS_PASSWORD "@") || (details && strstr(details, HARNESS_PASSWORD "@")))
    fail_msg("the message holds the password");
  free(details);
  json_decref(take_payload);
  client->job.payload = NULL;
}

static struct snapshot *latest(struct client *client) {
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (store_latest(&client->job, NULL, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

static const char *dump_of(struct client *client, const char *snapshot_id) {
  ERROR_AUTO err = {0};
  const char *sql = NULL;
  if (store_dump(&client->job, snapshot_id, &sql, &err)) fail_msg("%s", err.message);
  return sql;
}

static bool changed(struct client *client) { return json_bool(introspect(client, NULL), "changed", false); }

static json_t *named(const json_t *list, const char *name) {
  size_t i;
  json_t *item;
  json_array_foreach(list, i, item) {
    if (strcmp(json_str(item, "name", ""), name) == 0) return item;
  }
  return NULL;
}

static bool has_name(const json_t *list, const char *name) { return named(list, name) != NULL; }

static json_t *part(const struct snapshot *snapshot, const char *list, const char *name) {
  json_t *found = named(json_object_get(snapshot->json, list), name);
  if (!found) fail_msg("there is no %s in %s", name, list);
  return found;
}

#define FOR_EACH_SERVER(pg)                                          \
  for (int server_index = 0; server_index < SERVERS; server_index++) \
    for (struct harness_pg *pg = servers[server_index]; pg; pg = NULL)

/* The shop's functions have SQL bodies. */
#define FOR_EACH_SHOP(pg) FOR_EACH_SERVER(pg) if (pg->major >= 14)

/* No pg_dump here is newer than 17: beyond, the schema is written down without it, and the snapshot says so. */
static void check_warnings(const struct harness_pg *pg, const json_t *result) {
  bool dumped = pg->major <= 17;
  assert_int_equal(json_array_size(json_object_get(result, "warnings")), dumped ? 0 : 1);
  if (!dumped) assert_non_null(strstr(harness_text(result, "warnings.0"), "written down from the catalogs"));
}

/* ---- whole ---- */

static void shop_result(const struct harness_pg *pg, struct client *client) {
  json_t *result = introspect(client, NULL);
  assert_string_equal(json_str(result, "connection_id", ""), client->id);
  json_t *tables = json_object_get(result, "tables");
  assert_int_equal(json_int(result, "table_count", 0), (long long)json_array_size(tables));
  assert_in_range(json_array_size(tables), 20, 40);
  for (size_t i = 1; i < json_array_size(tables); i++)
    assert_true(strcmp(json_string_value(json_array_get(tables, i - 1)), json_string_value(json_array_get(tables, i))) < 0);
  assert_int_equal(json_array_size(json_object_get(result, "schemas_introspected")), 2); /* public, shop */
  check_warnings(pg, result);
  assert_true(json_is_true(json_object_get(result, "changed")));
}

static void shop_tables(const struct snapshot *s) {
  struct snap_table *orders = snapshot_table(s, "shop", "orders"), *employees = snapshot_table(s, "shop", "employees");
  assert_int_equal(orders->rows, 20000);
  assert_true(orders->bytes > 1000000);
  assert_string_equal(snap_table_column(orders, "status")->type, "shop.order_status");
  assert_string_equal(snap_table_column(orders, "id")->identity, "always");
  assert_true(snap_table_column(orders, "coupon_code")->null_frac > 0.9);
  assert_true(orders->referenced_by_count >= 5);
  assert_string_equal(orders->triggers[0].function, "shop.log_order_status");
  assert_non_null(strstr(orders->comment, "checkout"));
  bool self = false;
  for (size_t i = 0; i < employees->fk_count; i++)
    self = self || (employees->fks[i].ref == employees && strcmp(employees->fks[i].on_delete, "SET NULL") == 0);
  assert_true(self);
  assert_string_equal(snap_table_column(snapshot_table(s, "shop", "products"), "margin")->generated,
                      "((price)::numeric - (cost)::numeric)");
  struct snap_table *views = snapshot_table(s, "shop", "page_views");
  assert_int_equal(views->kind, SNAP_PARTITIONED);
  assert_int_equal(views->partition_count, 7);
  assert_int_equal(views->rows, 15000);
  assert_string_equal(views->partition_key, "RANGE (viewed_at)");
  assert_string_equal(snapshot_table(s, "shop", "page_views_2026_01")->partition_bound,
                      "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')");
  struct snap_table *reviews = snapshot_table(s, "shop", "reviews");
  assert_true(reviews->rls);
  assert_int_equal(reviews->policy_count, 2);
  struct snap_index *index;
  assert_ptr_equal(snapshot_index_table(s, "shop", "customers_email_key", &index), snapshot_table(s, "shop", "customers"));
  assert_string_equal(index->columns[0], "lower((email)::text)");
  assert_true(index->bytes > 0 && index->unique);
}

static void shop_others(const struct snapshot *s) {
  struct snap_table *summary = snapshot_table(s, "shop", "order_summary");
  assert_int_equal(summary->kind, SNAP_VIEW);
  assert_int_equal(summary->depends_on_count, 4);
  assert_int_equal(snapshot_table(s, "shop", "monthly_revenue")->index_count, 1);
  assert_int_equal(snapshot_function_volatility(s, "shop", "net_price"), 'i');
  assert_int_equal(json_array_size(json_object_get(part(s, "enums", "order_status"), "labels")), 8);
  assert_string_equal(harness_text(part(s, "domains", "money_amount"), "checks.0.definition"), "CHECK ((VALUE >= (0)::numeric))");
  assert_int_equal(harness_int(part(s, "tables", "orders"), "activity.n_tup_ins") > 0, true);
  assert_string_equal(harness_text(s->json, "settings.search_path"), "\"$user\", public");
  assert_non_null(s->timezone);
  assert_null(json_object_get(json_object_get(part(s, "tables", "orders"), "columns"), "most_common_vals"));
}

static void the_shop_is_read_whole(void **state) {
  (void)state;
  FOR_EACH_SHOP(pg) {
    struct client client;
    client_with(pg, "shop_whole", "deploy/demo/shop.sql", &client);
    POLL_UNTIL(harness_count(client.url, "SELECT count(*) FROM pg_stat_user_tables WHERE n_tup_ins > 0") > 10, 5000);
    shop_result(pg, &client);
    struct snapshot *snapshot = latest(&client);
    assert_int_equal(snapshot->server_version_num / 10000, pg->major);
    shop_tables(snapshot);
    shop_others(snapshot);
    client_end(&client);
  }
}

static void odd_names_and_rare_objects_survive(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    client_with(pg, "odd", "tests/fixtures/odd_schema.sql", &client);
    json_t *result = introspect(&client, NULL);
    check_warnings(pg, result);
    struct snapshot *s = latest(&client);
    const char *odd = "Odd \"Schema\".x";
    struct snap_table *quoted = snapshot_table(s, odd, "Table with \"quotes\" and 'apostrophes'");
    assert_ptr_equal(snapshot_table(s, odd, "select")->fks[0].ref, quoted);
    assert_non_null(snap_table_column(quoted, "new\nline"));
    assert_string_equal(snap_table_column(quoted, "naïve 数")->default_expr, "'it''s'::text");
    assert_non_null(snapshot_table(s, NULL, "sixty_three_bytes_long_name_sixty_three_bytes_long_name_sixty_t"));
    assert_ptr_equal(snapshot_table(s, "a", "b.c")->fks[0].ref, snapshot_table(s, "a.b", "c"));
    struct snap_index *index;
    assert_string_equal(snapshot_index_table(s, "схема", "Index \"q\"", &index)->name, "таблица");
    assert_string_equal(index->columns[1], "колонка");
    struct snap_table *root = snapshot_table(s, "public", "measured");
    assert_int_equal(root->rows, 100);
    assert_true(root->bytes > snapshot_table(s, "public", "measured_2025_x")->bytes);
    assert_int_equal(snapshot_table(s, "public", "refers")->fk_count, 1); /* not one per partition */
    assert_ptr_equal(snapshot_table(s, "public", "parent")->partitions[0], snapshot_table(s, "public", "child"));
    assert_int_equal(snapshot_function_volatility(s, "public", "overloaded"), 'v');
    assert_true(json_is_null(json_object_get(part(s, "functions", "long_one"), "body")));
    assert_int_equal(strlen(json_str(part(s, "functions", "long_one"), "body_sha256", "")), 64);
    assert_false(has_name(json_object_get(s->json, "functions"), "similarity")); /* the extension's own */
    assert_string_equal(harness_text(part(s, "sequences", "counter"), "owned_by"), "public.counted.id");
    assert_true(has_name(json_object_get(part(s, "publications", "some_tables"), "tables"), "parent"));
    assert_string_equal(harness_text(part(s, "event_triggers", "watch_ddl"), "function"), "public.on_ddl");
    const char *dump = dump_of(&client, s->id);
    assert_non_null(strstr(dump, "CREATE SERVER elsewhere"));
    assert_null(strstr(dump, "hunter2"));
    client_end(&client);
  }
}

static void bytes_that_are_no_utf8_are_replaced(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    char url[HARNESS_URL];
    harness_sql(pg->url, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    snprintf(url, sizeof url, "postgresql://postgres:%s@127.0.0.1:%d/ascii", HARNESS_PASSWORD, pg->port);
    harness_sql(url, "CREATE TABLE t (id integer); DO $$ BEGIN EXECUTE 'COMMENT ON TABLE t IS ' || "
                     "quote_literal(convert_from('\\x636166e92e'::bytea, 'SQL_ASCII')); END $$");
    client_for(url, &client);
    json_t *result = introspect(&client, NULL);
    assert_string_equal(snapshot_table(latest(&client), "public", "t")->comment, "caf?.");
    assert_int_equal(json_int(result, "table_count", 0), 1);
    client_end(&client);
  }
}

static void an_empty_database_has_an_empty_snapshot(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    client_with(pg, "empty", NULL, &client);
    harness_sql(client.url, "DROP SCHEMA public CASCADE; DROP EXTENSION plpgsql");
    json_t *result = introspect(&client, NULL);
    assert_int_equal(json_int(result, "table_count", -1), 0);
    assert_int_equal(json_array_size(json_object_get(result, "schemas_introspected")), 0);
    assert_int_equal(latest(&client)->table_count, 0);
    client_end(&client);
  }
}

/* ---- the fingerprint ---- */

static void only_ddl_changes_the_fingerprint(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    client_with(pg, "fingerprint", "tests/fixtures/odd_schema.sql", &client);
    assert_true(changed(&client));
    assert_false(changed(&client));
    harness_sql(client.url, "INSERT INTO parent SELECT n, 'x' FROM generate_series(1, 5000) n; SELECT nextval('counter'); ANALYZE; REFRESH "
                            "MATERIALIZED VIEW unfilled;");
    assert_false(changed(&client));
    assert_int_equal(snapshot_table(latest(&client), "public", "parent")->rows, 5000); /* but the statistics are new */
    static const char *const ddl[] = {
        "ALTER TABLE parent ADD COLUMN fresh integer",
        "COMMENT ON TABLE parent IS 'said'",
        "ALTER TABLE typed VALIDATE CONSTRAINT later",
        "CREATE INDEX ON child (extra)",
        "ALTER TYPE empty_enum ADD VALUE 'one'",
        "GRANT SELECT ON parent TO PUBLIC",
        "CREATE OR REPLACE FUNCTION overloaded(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'",
        "CREATE OR REPLACE VIEW view_on_view AS SELECT n FROM outer_view WHERE n > 1",
        "ALTER TABLE parent DISABLE ROW LEVEL SECURITY",
        "DROP TABLE counted"};
    for (size_t i = 0; i < sizeof ddl / sizeof *ddl; i++) {
      harness_sql(client.url, ddl[i]);
      if (!changed(&client)) fail_msg("unnoticed: %s", ddl[i]);
      assert_false(changed(&client));
    }
    client_end(&client);
  }
}

static void a_restored_dump_has_the_same_fingerprint(void **state) {
  (void)state;
  FOR_EACH_SHOP(pg) {
    struct client client, copy;
    client_with(pg, "original", "deploy/demo/shop.sql", &client);
    introspect(&client, NULL);
    struct snapshot *s = latest(&client);
    char *script = strdup(dump_of(&client, s->id));
    for (char *line = script; (line = strchr(line, '\\')); line++) /* psql's \restrict and \unrestrict */
      if ((line == script || line[-1] == '\n') && (strncmp(line, "\\restrict", 9) == 0 || strncmp(line, "\\unrestrict", 11) == 0))
        memcpy(line, "--", 2);
    char *newer =
        pg->major < 17 ? strstr(script, "SET transaction_timeout") : NULL; /* 17's pg_dump doesn't mind what an older server knows */
    if (newer) memcpy(newer, "--", 2);
    client_with(pg, "restored", NULL, &copy);
    harness_sql(copy.url, script);
    free(script);
    introspect(&copy, NULL);
    assert_string_equal(latest(&copy)->fingerprint, s->fingerprint);
    client_end(&client);
    client_end(&copy);
  }
}

/* ---- which schemas ---- */

static void schemas_are_chosen(void **state) {
  (void)state;
  struct client client;
  client_with(servers[0], "chosen", "tests/fixtures/odd_schema.sql", &client);
  char done[64];
  own_value("UPDATE autodb.connections SET excluded_schemas = '{hidden,\"Odd \\\"Schema\\\".x\"}' WHERE id = $1 RETURNING id", 1,
            (const char *[]){client.id}, done);
  introspect(&client, NULL);
  struct snapshot *s = latest(&client);
  assert_null(snapshot_table(s, "hidden", "secret"));
  struct snap_fk *outside = &snapshot_table(s, "public", "points_outside")->fks[0];
  assert_null(outside->ref);
  assert_string_equal(outside->ref_schema, "hidden");
  const char *dump = dump_of(&client, s->id);
  assert_null(strstr(dump, "CREATE TABLE hidden.secret"));
  assert_null(strstr(dump, "apostrophes"));
  assert_non_null(strstr(dump, "CREATE TABLE public.booking"));
  json_t *result = introspect(&client, json_pack("{s:[s,s]}", "schemas", "схема", "a.b"));
  assert_int_equal(json_int(result, "table_count", 0), 2);
  assert_int_equal(latest(&client)->table_count, 2);
  result = introspect(&client, json_pack("{s:s}", "schemas", "a, public"));
  assert_int_equal(json_array_size(json_object_get(result, "schemas_introspected")), 2);
  assert_non_null(strstr(dump_of(&client, json_str(result, "snapshot_id", NULL)), "CREATE EXTENSION IF NOT EXISTS pg_trgm"));
  introspect_fails(&client, json_pack("{s:[s,s]}", "schemas", "a", "nowhere"), ERR_VALIDATION, "nowhere");
  introspect_fails(&client, json_pack("{s:s}", "schemas", "hidden"), ERR_VALIDATION, "hidden"); /* excluded */
  introspect_fails(&client, json_pack("{s:s}", "schemas", "pg_catalog"), ERR_VALIDATION, "pg_catalog");
  introspect_fails(&client, json_pack("{s:s}", "schemas", " , "), ERR_VALIDATION, "names no schema");
  introspect_fails(&client, json_pack("{s:i}", "schemas", 7), ERR_VALIDATION, "schemas");
  client_end(&client);
}

/* ---- little rights, locks, changes ---- */

static void role_url(const struct harness_pg *pg, const char *role, const char *database, char out[HARNESS_URL]) {
  snprintf(out, HARNESS_URL, "postgresql://%s:pw@127.0.0.1:%d/%s", role, pg->port, database);
}

static void a_role_without_rights_sees_the_structure(void **state) {
  (void)state;
  FOR_EACH_SHOP(pg) {
    struct client admin, client;
    char url[HARNESS_URL];
    client_with(pg, "norights", "deploy/demo/shop.sql", &admin);
    harness_sql(admin.url, "DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special LOGIN PASSWORD 'pw'; ALTER ROLE nobody_special "
                           "SET search_path = shop");
    role_url(pg, "nobody_special", "norights", url);
    client_for(url, &client);
    json_t *result = introspect(&client, NULL);
    struct snapshot *s = latest(&client);
    struct snap_table *orders = snapshot_table(s, "shop", "orders");
    assert_int_equal(orders->rows, 20000);
    assert_true(snap_table_column(orders, "coupon_code")->null_frac < 0); /* unknown, not 0 */
    assert_true(orders->fk_count == 3 && orders->bytes > 0);
    ERROR_AUTO err = {0};
    const char *sql;
    assert_int_equal(store_dump(&client.job, s->id, &sql, &err), OK); /* catalogs are everybody's */
    assert_non_null(strstr(sql, "CREATE TABLE shop.orders"));
    if (pg->major <= 17) assert_non_null(strstr(harness_text(result, "warnings.0"), "permission denied"));
    assert_non_null(strstr(harness_text(result, "warnings.0"), "written down from the catalogs"));
    client_end(&admin);
    client_end(&client);
    harness_sql(admin.url, "DROP ROLE nobody_special");
  }
}

static void a_locked_table_does_not_stop_it(void **state) {
  (void)state;
  struct client client;
  client_with(servers[0], "locked", NULL, &client);
  harness_sql(client.url, "CREATE TABLE held (id integer PRIMARY KEY, n integer DEFAULT 1); CREATE TABLE free (id integer); INSERT INTO "
                          "held SELECT generate_series(1, 10000); ANALYZE;");
  PGconn *holder = harness_connect(client.url);
  PQclear(PQexec(holder, "BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE"));
  int64_t start = clock_mono_ms();
  ERROR_AUTO err = {0};
  json_t *result = NULL;
  enum status status = introspect_run(&client.job, &result, &err);
  assert_true(clock_mono_ms() - start < 15000);
  if (status) { /* printing a default opens the table in some majors */
    assert_int_equal(status, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.message, "locked by another session"));
  } else {
    assert_true(json_array_size(json_object_get(result, "warnings")) >= 1);
    assert_true(snapshot_table(latest(&client), NULL, "held")->bytes > 100000); /* from page counts */
  }
  json_decref(result);
  assert_true(POLL_UNTIL(
      harness_count(client.url, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'locked' AND application_name LIKE 'autodb%'") == 0,
      5000));
  PQclear(PQexec(holder, "ROLLBACK"));
  PQfinish(holder);
  assert_int_equal(json_array_size(json_object_get(introspect(&client, NULL), "warnings")), 0);
  client_end(&client);
}

static void *churn(void *arg) {
  PGconn *conn = PQconnectdb(((char **)arg)[0]);
  volatile char *stop = ((char **)arg)[1];
  PQclear(PQexec(conn, "SET client_min_messages = error"));
  while (!*stop) {
    PQclear(PQexec(conn, "CREATE TABLE churn (id serial PRIMARY KEY, n integer DEFAULT 1 CHECK (n > 0)); CREATE INDEX ON churn ((n + 1)); "
                         "CREATE VIEW churned AS SELECT n FROM churn"));
    PQclear(PQexec(conn, "DROP TABLE churn CASCADE"));
  }
  PQfinish(conn);
  return NULL;
}

static void objects_may_vanish_underneath(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    client_with(pg, "churned", "tests/fixtures/odd_schema.sql", &client);
    char stop = 0;
    char *arg[] = {client.url, &stop};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, churn, arg), 0);
    int good = 0;
    for (int round = 0; round < 15; round++) {
      ERROR_AUTO err = {0};
      struct introspection taken;
      if (introspect_take(&client.job, NULL, &taken, &err) == OK)
        good++;
      else if (err.status != ERR_UNAVAILABLE)
        fail_msg("%s: %s", err.code, err.message);
    }
    stop = 1;
    pthread_join(thread, NULL);
    assert_in_range(good, 1, 15);
    client_end(&client);
  }
}

static void unreachable_servers_give_their_reason(void **state) {
  (void)state;
  struct client client;
  client_for("postgresql://postgres:" HARNESS_PASSWORD "@127.0.0.1:1/x", &client);
  introspect_fails(&client, NULL, ERR_VALIDATION, "refused");
  client_end(&client);
  char url[HARNESS_URL];
  snprintf(url, sizeof url, "postgresql://postgres:wrong-secret@127.0.0.1:%d/postgres", servers[0]->port);
  client_for(url, &client);
  introspect_fails(&client, NULL, ERR_VALIDATION, "password authentication failed");
  client_end(&client);
  client_for("postgresql://u:p@169.254.169.254/x", &client);
  introspect_fails(&client, NULL, ERR_VALIDATION, "169.254.169.254");
  client_end(&client);
}

/* ---- pg_dump ---- */

/* Puts a program of ours in pg_dump's place. What it prints is the dump. */
static void with_pg_dump(const char *script, struct client *client, json_t **ret_result) {
  char dir[HARNESS_PATH + 32], path[HARNESS_PATH + 64], name[32];
  snprintf(dir, sizeof dir, "%s/bin", h->dir);
  snprintf(path, sizeof path, "%s/pg_dump", dir);
  snprintf(name, sizeof name, "AUTODB_PG_BIN_%d", servers[0]->major);
  mkdir(dir, 0700);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fprintf(file, "#!/bin/sh\n%s\n", script);
  fclose(file);
  chmod(path, 0700);
  setenv(name, dir, 1);
  *ret_result = introspect(client, NULL);
  unsetenv(name);
}

static void pg_dump_gets_the_password_by_environment_only(void **state) {
  (void)state;
  struct client client;
  json_t *result;
  client_with(servers[0], "environment", NULL, &client);
  setenv("AUTODB_MASTER_KEY", "very secret", 1);
  with_pg_dump("printf '%s\\n' \"$@\" | sed 's/^/argument /'; env | sed 's/^/environment /'", &client, &result);
  unsetenv("AUTODB_MASTER_KEY");
  assert_int_equal(json_array_size(json_object_get(result, "warnings")), 0);
  const char *said = dump_of(&client, json_str(result, "snapshot_id", NULL));
  assert_non_null(strstr(said, "environment PGPASSWORD=" HARNESS_PASSWORD "\n"));
  assert_null(strstr(said, "very secret"));
  assert_null(strstr(said, "password='"));
  assert_non_null(strstr(said, "hostaddr='127.0.0.1'"));
  assert_non_null(strstr(said, "argument --snapshot="));
  assert_non_null(strstr(said, "argument --lock-wait-timeout=2000"));
  client_end(&client);
}

static void a_failed_pg_dump_is_a_warning(void **state) {
  (void)state;
  static const struct {
    const char *script, *reason;
  } cases[] = {{"echo 'pg_dump: error: no luck' >&2; exit 1", "no luck"},
               {"exit 1", "without a word"},
               {"exit 0", "wrote nothing"},
               {"kill -9 $$", "signal 9"},
               {"exec head -c 70000000 /dev/zero", "larger than 64 MiB"}};
  struct client client;
  client_with(servers[0], "nodump", NULL, &client);
  harness_sql(client.url, "CREATE TABLE kept (id integer)");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *result;
    with_pg_dump(cases[i].script, &client, &result);
    const char *warning = harness_text(result, "warnings.0");
    if (!strstr(warning, cases[i].reason)) fail_msg("%s: %s", cases[i].script, warning);
    assert_non_null(strstr(warning, "written down from the catalogs"));
    const char *dump = dump_of(&client, json_str(result, "snapshot_id", NULL));
    assert_non_null(strstr(dump, "CREATE TABLE public.kept"));
  }
  client_end(&client);
}

/* ---- what is stored ---- */

static void own_sql(const char *sql, const char *param) {
  PGresult *res = PQexecParams(own, sql, 1, NULL, &param, NULL, NULL, 0);
  ExecStatusType status = PQresultStatus(res);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail_msg("%s: %s", sql, PQerrorMessage(own));
  PQclear(res);
}

static long long snapshots_of(const struct client *client) {
  char count[64];
  return strtoll(own_value("SELECT count(*) FROM autodb.snapshots WHERE connection_id = $1", 1, (const char *[]){client->id}, count), NULL,
                 10);
}

static void old_snapshots_go_but_approved_ones_stay(void **state) {
  (void)state;
  struct client client;
  client_with(servers[0], "pruned", NULL, &client);
  own_sql("INSERT INTO autodb.snapshots (id, connection_id, fingerprint, server_version, server_version_num, table_count, body) "
          "SELECT ('00000000-0000-7000-8000-' || translate(right($1::text, 10), '-', '0') || lpad(n::text, 2, '0'))::uuid, $1::uuid, 'f', "
          "'v', 1, 0, '' "
          "FROM generate_series(1, 40) n",
          client.id);
  own_sql("INSERT INTO autodb.approvals (nonce, owner_id, connection_id, snapshot_id, analyze_job_id, sql_sha256, schema_fingerprint, "
          "expires_at) "
          "SELECT 'n' || id, gen_random_uuid(), $1::uuid, id, gen_random_uuid(), 's', 'f', now() FROM autodb.snapshots WHERE connection_id "
          "= $1::uuid ORDER BY id LIMIT 2",
          client.id);
  assert_true(changed(&client));
  assert_int_equal(snapshots_of(&client), 22); /* the newest 20, and 2 approved */
  assert_false(changed(&client));
  assert_int_equal(snapshots_of(&client), 22);
  char seen[64];
  own_value("SELECT capabilities->>'is_superuser' || (last_introspected_at > now() - interval '1 minute') || (server_version ~ '^1[0-9]') "
            "FROM autodb.connections WHERE id = $1",
            1, (const char *[]){client.id}, seen);
  assert_string_equal(seen, "truetruetrue");
  client_end(&client);
}

static void stored_things_belong_to_their_owner(void **state) {
  (void)state;
  struct client client;
  ERROR_AUTO err = {0};
  struct snapshot *s = NULL;
  const char *sql = NULL;
  client_with(servers[0], "owned", NULL, &client);
  assert_int_equal(store_latest(&client.job, NULL, &s, &err), ERR_NOT_FOUND);
  assert_string_equal(err.code, "NO_SNAPSHOT");
  introspect(&client, NULL);
  const char *id = latest(&client)->id;
  assert_int_equal(store_latest(&client.job, id, &s, &err), OK);
  assert_int_equal(store_latest(&client.job, "018f0000-0000-7000-8000-000000000000", &s, &err), ERR_NOT_FOUND);
  assert_int_equal(store_latest(&client.job, "nonsense", &s, &err), ERR_VALIDATION);
  struct job stranger = client.job;
  stranger.owner_id = "00000000-0000-4000-8000-000000000000";
  const char *string = NULL;
  char *excluded = NULL;
  assert_int_equal(store_latest(&stranger, id, &s, &err), ERR_NOT_FOUND);
  assert_int_equal(store_dump(&stranger, id, &sql, &err), ERR_NOT_FOUND);
  assert_int_equal(store_connection_string(&stranger, &string, &excluded, &err), ERR_NOT_FOUND);
  struct job nowhere = client.job;
  nowhere.connection_id = NULL;
  assert_int_equal(store_latest(&nowhere, NULL, &s, &err), ERR_INTERNAL);
  client_end(&client);
}

static void what_was_read_last_is_not_read_again(void **state) {
  (void)state;
  struct client client, other;
  client_with(servers[0], "kept", NULL, &client);
  client_with(servers[0], "kept_other", NULL, &other);
  introspect(&client, NULL);
  introspect(&other, NULL);
  const struct snapshot *first = latest(&client);
  assert_ptr_equal(latest(&client), first);
  const struct snapshot *second = latest(&other);
  assert_string_not_equal(second->id, first->id);
  assert_string_not_equal(latest(&client)->id, second->id);
  assert_true(first->table_count == latest(&client)->table_count); /* replaced, and still ours */
  struct job stranger = client.job;
  ERROR_AUTO err = {0};
  struct snapshot *s = NULL;
  stranger.owner_id = "00000000-0000-4000-8000-000000000000";
  assert_int_equal(store_latest(&stranger, first->id, &s, &err), ERR_NOT_FOUND);
  own_sql("UPDATE autodb.snapshots SET body = '' WHERE connection_id = $1", client.id);
  assert_int_equal(store_latest(&client.job, NULL, &s, &err), ERR_INTERNAL);
  client_end(&client);
  client_end(&other);
}

static void damage_and_deletion_are_errors(void **state) {
  (void)state;
  struct client client;
  ERROR_AUTO err = {0};
  struct snapshot *s = NULL;
  const char *sql = NULL;
  client_with(servers[0], "damaged", NULL, &client);
  introspect(&client, NULL);
  char *id = arena_strdup(client.job.arena, latest(&client)->id);
  static const char *const bodies[] = {"''", "'\\x00'", "substr(body, 1, length(body) / 2)", "body || body", "'\\x789c4b04000062006261'"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    char update[256];
    snprintf(update, sizeof update, "UPDATE autodb.snapshots SET body = %s, dump = %s WHERE connection_id = $1", bodies[i], bodies[i]);
    own_sql(update, client.id);
    enum status status = store_latest(&client.job, NULL, &s, &err);
    if (status != ERR_INTERNAL && i != 3) fail_msg("body %s: %d", bodies[i], status); /* what follows a whole body is not read */
    status = store_dump(&client.job, id, &sql, &err);
    assert_true(status == ERR_INTERNAL || i >= 3);
  }
  own_sql("UPDATE autodb.connections SET secret = substr(secret, 2) WHERE id = $1", client.id);
  json_t *result = NULL;
  assert_int_not_equal(introspect_run(&client.job, &result, &err), OK);
  own_sql("UPDATE autodb.connections SET deleted_at = now(), secret = NULL WHERE id = $1", client.id);
  introspect_fails(&client, NULL, ERR_NOT_FOUND, "deleted");
  client_end(&client);
}

/* ---- size ---- */

static void a_thousand_tables(void **state) {
  (void)state;
  FOR_EACH_SERVER(pg) {
    struct client client;
    client_with(pg, "thousand", "tests/fixtures/many_tables.sql", &client);
    int tables = pg == servers[0] ? 1000 : 300;
    char call[64];
    snprintf(call, sizeof call, "CALL many_tables(%d)", tables);
    harness_sql(client.url, call);
    harness_sql(client.url, "ANALYZE");
    struct introspection taken;
    ERROR_AUTO err = {0};
    int64_t start = clock_mono_ms();
    assert_int_equal(introspect_take(&client.job, NULL, &taken, &err), OK);
    int64_t read = clock_mono_ms();
    json_t *result = introspect(&client, NULL);
    int64_t whole = clock_mono_ms();
    assert_int_equal(json_int(result, "table_count", 0), tables);
    struct snapshot *s = latest(&client);
    int64_t loaded = clock_mono_ms();
    assert_non_null(dump_of(&client, s->id));
    print_message("postgres %d, %d tables: read with pg_dump %lld ms, whole job %lld ms, load from store %lld ms\n", pg->major, tables,
                  (long long)(read - start), (long long)(whole - read), (long long)(loaded - whole));
    client_end(&client);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_shop_is_read_whole),
      cmocka_unit_test(odd_names_and_rare_objects_survive),
      cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
      cmocka_unit_test(an_empty_database_has_an_empty_snapshot),
      cmocka_unit_test(only_ddl_changes_the_fingerprint),
      cmocka_unit_test(a_restored_dump_has_the_same_fingerprint),
      cmocka_unit_test(schemas_are_chosen),
      cmocka_unit_test(a_role_without_rights_sees_the_structure),
      cmocka_unit_test(a_locked_table_does_not_stop_it),
      cmocka_unit_test(objects_may_vanish_underneath),
      cmocka_unit_test(unreachable_servers_give_their_reason),
      cmocka_unit_test(pg_dump_gets_the_password_by_environment_only),
      cmocka_unit_test(a_failed_pg_dump_is_a_warning),
      cmocka_unit_test(old_snapshots_go_but_approved_ones_stay),
      cmocka_unit_test(stored_things_belong_to_their_owner),
      cmocka_unit_test(what_was_read_last_is_not_read_again),
      cmocka_unit_test(damage_and_deletion_are_errors),
      cmocka_unit_test(a_thousand_tables),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
