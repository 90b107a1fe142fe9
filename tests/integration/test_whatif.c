/* test_whatif.c - a clone without rows plans like the database it was cloned from, and says what an index would do before it is there. */
#include <math.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "sandbox/whatif.h"
#include "tests/support/harness.h"

static struct config cfg = {.sandbox_memory_mb = 1024};

static const char schema_sql[] =
    "CREATE SCHEMA shop; CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent'); CREATE DOMAIN shop.cents AS bigint CHECK (VALUE >= 0);"
    "CREATE TABLE shop.customers (id int PRIMARY KEY, name text NOT NULL, country varchar(2), tags text[], note citext);"
    "CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES shop.customers, state shop.state NOT NULL, total "
    "shop.cents, placed timestamptz NOT NULL, during tstzrange);"
    "CREATE INDEX orders_customer ON shop.orders (customer_id); CREATE INDEX orders_placed ON shop.orders (placed, state);"
    "CREATE INDEX customers_lower ON shop.customers (lower(name));"
    "CREATE TABLE shop.events (at date NOT NULL, kind int, body text) PARTITION BY RANGE (at);"
    "CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');"
    "CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');"
    "CREATE INDEX ON shop.events (kind);";

static const char rows_sql[] =
    "INSERT INTO shop.customers SELECT i, md5(i::text), (ARRAY['DE','FR','US','IT'])[1 + (i * i) % 4], ARRAY['t' || i % 7, 'u' || i % 3], "
    "'n' || i % 50 FROM generate_series(1, 20000) i;"
    "INSERT INTO shop.orders SELECT i, 1 + (i * 7919) % 20000, (ARRAY['new','paid','sent'])[1 + (i % 20) / 9]::shop.state, (i * 31) % "
    "5000, "
    "timestamptz '2024-01-01' + i * interval '2 minutes', tstzrange(timestamptz '2024-01-01' + i * interval '2 minutes', timestamptz "
    "'2024-01-02' + i * interval '2 minutes') FROM generate_series(1, 200000) i;"
    "INSERT INTO shop.events SELECT date '2024-01-01' + i % 366, i % 100, 'e' || i FROM generate_series(1, 60000) i WHERE i % 366 < 360;";

static const char *const queries[] = {
    "SELECT * FROM shop.orders WHERE id = 5",
    "SELECT * FROM shop.orders WHERE customer_id = 17",
    "SELECT * FROM shop.orders WHERE placed > '2024-10-01' AND state = 'new'",
    "SELECT * FROM shop.orders WHERE total > 4000",
    "SELECT count(*) FROM shop.orders WHERE state = 'sent'",
    "SELECT c.name, o.total FROM shop.customers c JOIN shop.orders o ON o.customer_id = c.id WHERE c.country = 'FR' AND o.total < 10",
    "SELECT c.country, sum(o.total) FROM shop.customers c JOIN shop.orders o ON o.customer_id = c.id GROUP BY 1",
    "SELECT * FROM shop.orders o WHERE customer_id IN (SELECT id FROM shop.customers WHERE name < '05') ORDER BY placed DESC LIMIT 20",
    "SELECT * FROM shop.customers WHERE lower(name) = 'abc'",
    "SELECT * FROM shop.customers WHERE lower(name) LIKE 'ab%'",
    "SELECT * FROM shop.customers WHERE tags @> ARRAY['t3']",
    "SELECT * FROM shop.customers WHERE note = 'N7'",
    "SELECT kind, count(*) FROM shop.events WHERE at >= '2024-08-01' GROUP BY kind",
    "SELECT * FROM shop.events WHERE kind = 5 ORDER BY at",
    "SELECT o.id FROM shop.orders o WHERE NOT EXISTS (SELECT FROM shop.customers c WHERE c.id = o.customer_id AND c.country = 'US')",
    "SELECT max(placed) FROM shop.orders",
    "SELECT customer_id FROM shop.orders ORDER BY customer_id LIMIT 5",
};

struct stage {
  char url[HARNESS_URL];
  PGconn *real;
  struct arena *arena;
  struct sandbox *sandbox;
  struct whatif *whatif;
  struct whatif_report report;
};

static json_t *ask(struct stage *stage, const char *sql, int count, const char *const params[]) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  if (pg_query(stage->real, sql, count, params, &res, &err)) fail_msg("%s", err.message);
  json_t *answer = arena_json(stage->arena, json_loads(PQgetvalue(res, 0, 0), 0, NULL));
  assert_non_null(answer);
  return answer;
}

static struct harness_pg *server(struct harness *h, int major) {
  for (int i = 0; i < h->pg_count; i++)
    if (h->pg[i].major == major) return &h->pg[i];
  return harness_postgres(h, major);
}

static void stage_open(struct stage *stage, struct harness *h, int major, const char *name) {
  ERROR_AUTO err = {0};
  struct sandbox_clone_report clone;
  struct harness_pg *pg = server(h, major);
  *stage = (struct stage){.arena = arena_new(256 << 20)};
  harness_database(pg, name, stage->url);
  harness_sql(stage->url, "CREATE EXTENSION citext");
  harness_sql(stage->url, schema_sql);
  stage->real = harness_connect(stage->url);
  harness_sql(stage->url, rows_sql);
  harness_sql(stage->url, "VACUUM ANALYZE");
  if (sandbox_open(&cfg, NULL, major, &stage->sandbox, &err)) fail_msg("%s", err.message);
  char *dump = NULL;
  assert_true(asprintf(&dump, "CREATE EXTENSION citext;%s", schema_sql) > 0);
  if (sandbox_clone(stage->sandbox, dump, NULL, NULL, stage->arena, &clone, &err)) fail_msg("%s", err.message);
  free(dump);
  assert_int_equal(json_array_size(clone.problems), 0);
}

static void stage_import(struct stage *stage) {
  ERROR_AUTO err = {0};
  const char *const all[] = {NULL, "true"};
  json_t *settings = ask(stage, whatif_read_settings_sql, 0, NULL);
  if (whatif_new(stage->sandbox, settings, stage->arena, &stage->whatif, &err)) fail_msg("%s", err.message);
  if (whatif_import(stage->whatif, ask(stage, whatif_read_relations_sql, 2, all),
                    ask(stage, whatif_read_columns_sql(PQserverVersion(stage->real)), 1, all), &stage->report, &err))
    fail_msg("%s", err.message);
}

static void stage_close(struct stage *stage) {
  whatif_free(stage->whatif);
  PQfinish(stage->real);
  sandbox_close(stage->sandbox);
  arena_free(stage->arena);
}

static json_t *plan(struct stage *stage, PGconn *conn, const char *query) {
  char *sql = NULL;
  assert_true(asprintf(&sql, "EXPLAIN (FORMAT JSON) %s", query) > 0);
  PGRESULT_AUTO res = PQexec(conn, sql);
  free(sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s: %s", query, PQerrorMessage(conn));
  json_t *answer = arena_json(stage->arena, json_loads(PQgetvalue(res, 0, 0), 0, NULL));
  return json_object_get(json_array_get(answer, 0), "Plan");
}

static double cost(const json_t *node) { return json_number_value(json_object_get(node, "Total Cost")); }
static double rows(const json_t *node) { return json_number_value(json_object_get(node, "Plan Rows")); }

static bool same_shape(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"Node Type", "Relation Name", "Index Name", "Join Type", "Strategy"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(json_str(a, keys[i], ""), json_str(b, keys[i], "")) != 0) return false;
  const json_t *below_a = json_object_get(a, "Plans"), *below_b = json_object_get(b, "Plans");
  if (json_array_size(below_a) != json_array_size(below_b)) return false;
  for (size_t i = 0; i < json_array_size(below_a); i++)
    if (!same_shape(json_array_get(below_a, i), json_array_get(below_b, i))) return false;
  return true;
}

#define LEVEL 0.13 /* what a level more of a B-tree costs: how many it has can't be read, and depends on how it was filled */
static bool near(double a, double b, double share) { return fabs(a - b) <= share * fmax(fabs(a), fabs(b)) + LEVEL; }

/* Same shape, rows within 1 %, cost within `share`. */
static bool similar_plan(struct stage *stage, const char *query, double share) {
  const json_t *real = plan(stage, stage->real, query), *guess = plan(stage, whatif_session(stage->whatif), query);
  bool same = same_shape(real, guess) && near(rows(real), rows(guess), 0.01) && near(cost(real), cost(guess), share);
  if (!same) {
    char *a = json_dumps(real, 0), *b = json_dumps(guess, 0);
    print_message("%s\nreal: %s\nguess: %s\n", query, a, b);
    free(a);
    free(b);
  }
  return same;
}

static bool same_plan(struct stage *stage, const char *query) { return similar_plan(stage, query, 0.01); }

static void plans_are_the_same(struct harness *h, int major) {
  struct stage stage;
  int different = 0;
  if (!harness_has_postgres(major)) skip();
  stage_open(&stage, h, major, "whatif");
  stage_import(&stage);
  assert_int_equal(json_array_size(stage.report.problems), 0);
  assert_true(stage.report.columns >= 20);
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) different += !same_plan(&stage, queries[i]);
  stage_close(&stage);
  assert_int_equal(different, 0);
}

static void plans_17(void **state) { plans_are_the_same(*state, 17); }

/* Shown by pg_stats since 17. */
static void ranges(void **state) {
  struct stage stage;
  stage_open(&stage, *state, 17, "whatif_ranges");
  stage_import(&stage);
  assert_true(same_plan(&stage, "SELECT * FROM shop.orders WHERE during @> timestamptz '2024-05-05'"));
  assert_true(same_plan(&stage, "SELECT * FROM shop.orders WHERE during && tstzrange('2024-05-05', '2024-05-06')"));
  stage_close(&stage);
}
static void plans_16(void **state) { plans_are_the_same(*state, 16); }
static void plans_15(void **state) { plans_are_the_same(*state, 15); }
static void plans_18(void **state) { plans_are_the_same(*state, 18); }

/* --- indexes --- */

static const struct {
  const char *table, *create, *query;
  double share; /* of the cost it may differ by; a GIN index's inside is a guess of the planner's */
} candidates[] = {
    {"orders", "CREATE INDEX c1 ON shop.orders (total)", "SELECT * FROM shop.orders WHERE total = 40", 0.01},
    {"orders", "CREATE INDEX c2 ON shop.orders (customer_id, placed DESC)",
     "SELECT * FROM shop.orders WHERE customer_id = 4 ORDER BY placed DESC LIMIT 3", 0.01},
    {"orders", "CREATE INDEX c3 ON shop.orders (placed) WHERE state = 'new'",
     "SELECT * FROM shop.orders WHERE state = 'new' AND placed < '2024-01-09'", 0.01},
    {"orders", "CREATE INDEX c4 ON shop.orders (total) INCLUDE (id)", "SELECT id FROM shop.orders WHERE total BETWEEN 10 AND 20", 0.01},
    {"customers", "CREATE INDEX c5 ON shop.customers USING gin (tags)", "SELECT * FROM shop.customers WHERE tags @> ARRAY['t3','u9']", 0.1},
    {"events", "CREATE INDEX c6 ON shop.events (body)", "SELECT * FROM shop.events WHERE body = 'e17'", 0.01},
};

static void resize_like_real(struct stage *stage, const json_t *made) {
  ERROR_AUTO err = {0};
  json_t *wanted = arena_json(stage->arena, json_array()),
         *all = ask(stage, whatif_read_relations_sql, 2, (const char *const[]){NULL, "true"});
  size_t index, at;
  json_t *name, *relation;
  json_array_foreach((json_t *)(uintptr_t)made, index, name) json_array_foreach(all, at, relation) {
    char qualified[200];
    snprintf(qualified, sizeof qualified, "%s.%s", json_str(relation, "s", ""), json_str(relation, "n", ""));
    if (strcmp(qualified, json_string_value(name)) == 0) json_array_append(wanted, relation);
  }
  assert_int_equal(json_array_size(wanted), json_array_size(made));
  if (whatif_sizes(stage->whatif, wanted, &stage->report, &err)) fail_msg("%s", err.message);
}

static void indexes_before_they_are_there(void **state) {
  struct stage stage;
  stage_open(&stage, *state, 17, "whatif_indexes");
  stage_import(&stage);
  for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
    ERROR_AUTO err = {0};
    json_t *made = NULL;
    double before = cost(plan(&stage, whatif_session(stage.whatif), candidates[i].query));
    if (whatif_create_index(stage.whatif, "shop", candidates[i].table, candidates[i].create, &made, &err)) fail_msg("%s", err.message);
    harness_sql(stage.url, candidates[i].create);
    resize_like_real(&stage, made);
    assert_true(similar_plan(&stage, candidates[i].query, candidates[i].share));
    assert_true(cost(plan(&stage, whatif_session(stage.whatif), candidates[i].query)) < before);
  }
  stage_close(&stage);
}

static void dropped_and_hidden(void **state) {
  struct stage stage;
  ERROR_AUTO err = {0};
  const char *query = "SELECT * FROM shop.orders WHERE customer_id = 17";
  stage_open(&stage, *state, 17, "whatif_drop");
  stage_import(&stage);
  double with = cost(plan(&stage, whatif_session(stage.whatif), query));
  assert_int_equal(whatif_hide_index(stage.whatif, "shop", "orders_customer", true, &err), OK);
  double without = cost(plan(&stage, whatif_session(stage.whatif), query));
  assert_true(without > 5 * with);
  assert_int_equal(whatif_hide_index(stage.whatif, "shop", "orders_customer", false, &err), OK);
  assert_true(near(with, cost(plan(&stage, whatif_session(stage.whatif), query)), 0));
  assert_int_equal(whatif_drop_index(stage.whatif, "shop", "orders_customer", &err), OK);
  assert_true(near(without, cost(plan(&stage, whatif_session(stage.whatif), query)), 0));
  assert_int_equal(whatif_hide_index(stage.whatif, "shop", "orders_customer", true, &err), ERR_NOT_FOUND);
  assert_int_equal(whatif_drop_index(stage.whatif, "shop", "no\" such; DROP TABLE shop.orders", &err), ERR_VALIDATION);
  stage_close(&stage);
}

/* --- what goes wrong --- */

static void refused_indexes(void **state) {
  struct stage stage;
  stage_open(&stage, *state, 17, "whatif_refused");
  stage_import(&stage);
  static const char *const wrong[] = {"CREATE INDEX ON shop.orders (nothing)", "CREATE INDEX ON shop.orders (now())",
                                      "CREATE INDEX ON shop.orders USING gin (total)", "CREATE INDEX ON shop.orders (total); SELECT 1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    ERROR_AUTO err = {0};
    json_t *made = NULL;
    assert_int_equal(whatif_create_index(stage.whatif, "shop", "orders", wrong[i], &made, &err), ERR_VALIDATION);
    assert_null(made);
  }
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) assert_true(same_plan(&stage, queries[i]));
  stage_close(&stage);
}

/* Of another moment than the clone: tables and values it doesn't know, texts that are no arrays. Each costs its own column alone. */
static void statistics_that_dont_fit(void **state) {
  struct stage stage;
  ERROR_AUTO err = {0};
  stage_open(&stage, *state, 17, "whatif_misfit");
  stage_import(&stage);
  json_t *columns =
      json_loads("[{\"s\":\"shop\",\"t\":\"orders\",\"c\":\"state\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2,"
                 "\"mcv\":\"{lost,new}\",\"mcf\":\"{0.6,0.4}\"},"
                 "{\"s\":\"shop\",\"t\":\"orders\",\"c\":\"customer_id\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2,"
                 "\"mcv\":\"{1,2\",\"mcf\":\"{0.6,0.4}\"},"
                 "{\"s\":\"shop\",\"t\":\"gone\",\"c\":\"x\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2},"
                 "{\"s\":\"pg_catalog\",\"t\":\"pg_class\",\"c\":\"relname\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2},"
                 "{\"s\":\"shop\",\"t\":\"orders\",\"c\":\"total\",\"inh\":false,\"null\":0.5,\"width\":8,\"distinct\":1,"
                 "\"mcv\":\"{7}\",\"mcf\":\"{0.5}\"}]",
                 0, NULL);
  struct whatif_report report = {0};
  assert_int_equal(whatif_columns(stage.whatif, columns, &report, &err), OK);
  json_decref(columns);
  assert_int_equal(report.columns, 1);
  assert_int_equal(json_array_size(report.problems), 2);
  assert_true(near(rows(plan(&stage, whatif_session(stage.whatif), "SELECT FROM shop.orders WHERE total = 7")), 100000, 0.01));
  stage_close(&stage);
}

/* Petabytes of it: counted as the most that is counted; the disk holds none of it. */
static void huge(void **state) {
  struct stage stage;
  ERROR_AUTO err = {0};
  stage_open(&stage, *state, 17, "whatif_huge");
  stage_import(&stage);
  json_t *relations = json_pack("[{s:s, s:s, s:f, s:f, s:f}, {s:s, s:s, s:f, s:f, s:f}]", "s", "shop", "n", "orders", "pages", 3e6, "rows",
                                1e9, "visible", 0.0, "s", "shop", "n", "orders_customer", "pages", 1e6, "rows", 1e9, "visible", 0.0);
  struct whatif_report report = {0};
  assert_int_equal(whatif_sizes(stage.whatif, relations, &report, &err), OK);
  json_decref(relations);
  const json_t *all = plan(&stage, whatif_session(stage.whatif), "SELECT * FROM shop.orders");
  assert_true(near(rows(all), 1e9, 0.001) && cost(all) > 3e6);
  const json_t *one = plan(&stage, whatif_session(stage.whatif), "SELECT * FROM shop.orders WHERE customer_id = 3");
  assert_string_not_equal(json_str(one, "Node Type", ""), "Seq Scan");
  stage_close(&stage);
}

/* A type's input function and a domain's check are the client's code: statistics never run them as the superuser. */
static void hostile_types(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct sandbox_clone_report clone;
  struct arena *arena = arena_new(64 << 20);
  SANDBOX_AUTO sandbox = NULL;
  WHATIF_AUTO whatif = NULL;
  static const char dump[] =
      "CREATE FUNCTION public.evil(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_user <> 'migrator' THEN "
      "RAISE EXCEPTION 'ran as %', current_user; END IF; RETURN true; END $$; CREATE DOMAIN public.d AS int CHECK (public.evil(VALUE));"
      "CREATE TYPE public.pair AS (a public.d); CREATE TABLE public.t (x public.d, y public.pair, z public.d[]);";
  if (sandbox_open(&cfg, NULL, sandbox_pick_major(170000), &sandbox, &err)) fail_msg("%s", err.message);
  if (sandbox_clone(sandbox, dump, NULL, NULL, arena, &clone, &err)) fail_msg("%s", err.message);
  assert_int_equal(json_array_size(clone.problems), 0);
  if (whatif_new(sandbox, NULL, arena, &whatif, &err)) fail_msg("%s", err.message);
  json_t *columns = json_loads(
      "[{\"s\":\"public\",\"t\":\"t\",\"c\":\"x\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2,\"mcv\":\"{1}\",\"mcf\":\"{1}\"},"
      "{\"s\":\"public\",\"t\":\"t\",\"c\":\"y\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2,\"mcv\":\"{(1)}\",\"mcf\":\"{1}\"},"
      "{\"s\":\"public\",\"t\":\"t\",\"c\":\"z\",\"inh\":false,\"null\":0,\"width\":4,\"distinct\":2,\"mcv\":\"{\\\"{1}\\\"}\",\"mcf\":\"{"
      "1}\"}]",
      0, NULL);
  struct whatif_report report = {0};
  assert_int_equal(whatif_columns(whatif, columns, &report, &err), OK);
  json_decref(columns);
  assert_int_equal(report.columns, 1);
  assert_int_equal(json_array_size(report.problems), 0);
  whatif_freep(&whatif);
  sandbox_closep(&sandbox);
  arena_free(arena);
}

static int setup(void **state) {
  struct harness *h = harness_new();
  cfg.sandbox_dir = h->sandbox_dir;
  *state = h;
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plans_17),
      cmocka_unit_test(plans_16),
      cmocka_unit_test(plans_15),
      cmocka_unit_test(plans_18),
      cmocka_unit_test(ranges),
      cmocka_unit_test(indexes_before_they_are_there),
      cmocka_unit_test(dropped_and_hidden),
      cmocka_unit_test(refused_indexes),
      cmocka_unit_test(statistics_that_dont_fit),
      cmocka_unit_test(huge),
      cmocka_unit_test(hostile_types),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
