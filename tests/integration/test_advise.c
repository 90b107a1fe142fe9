/* test_advise.c - indexes recommended for one query and for many, through the API and a worker: each is then made for real, and has to do
 * what was said of it. */
#include "tests/support/harness.h"

#include <math.h>

#include "common/json.h"

static char connection[40], plain_connection[40], target[HARNESS_URL], plain[HARNESS_URL];

static const char schema_sql[] =
    "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country varchar(2) NOT NULL, email text);"
    "CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL, total numeric, placed "
    "timestamptz NOT NULL, note text, tags text[], data jsonb, done boolean NOT NULL, small int);"
    "CREATE TABLE events (at date NOT NULL, kind int NOT NULL, body text) PARTITION BY RANGE (at);"
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');"
    "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');"
    "CREATE TABLE tiny (id int, k int);"
    "CREATE TABLE bookings (id int PRIMARY KEY, span int4range NOT NULL, note text NOT NULL);"
    "CREATE TABLE readings (at timestamptz NOT NULL, level int NOT NULL, pad text NOT NULL);"
    "CREATE VIEW paid AS SELECT o.id, o.customer_id, o.small, c.country FROM orders o JOIN customers c ON c.id = o.customer_id WHERE "
    "o.status = "
    "'paid';"
    "CREATE INDEX orders_placed ON orders (placed); CREATE INDEX orders_placed_again ON orders (placed);"
    "CREATE INDEX orders_small ON orders (small); CREATE INDEX orders_small_status ON orders (small, status);"
    "INSERT INTO customers SELECT i, 'name ' || md5(i::text), (ARRAY['DE','FR','US','IT'])[1 + i % 4], 'User' || i || '@Example.org' FROM "
    "generate_series(1, 5000) i;"
    "INSERT INTO orders SELECT i, 1 + (i * 7919) % 5000, CASE WHEN i % 500 = 0 THEN 'failed' WHEN i % 2 = 0 THEN 'paid' ELSE 'new' END, (i "
    "* 31) "
    "% 5000, timestamptz '2024-01-01' + ((i::bigint * 7919) % 60000) * interval '1 minute', md5(i::text), ARRAY['t' || i % 700, 'u' || i % "
    "3], "
    "jsonb_build_object('k', i % 3000, 's', 'x'), i % 400 <> 0, i % 1000 FROM generate_series(1, 60000) i;"
    "INSERT INTO events SELECT date '2024-01-01' + i % 366, i % 2000, 'e' || i FROM generate_series(1, 60000) i WHERE i % 366 < 360;"
    "INSERT INTO tiny SELECT i, i FROM generate_series(1, 100) i;"
    "INSERT INTO bookings SELECT i, int4range(i * 10, i * 10 + 7), md5(i::text) FROM generate_series(1, 30000) i;"
    "INSERT INTO readings SELECT timestamptz '2024-01-01' + i * interval '1 second', (i * 7919) % 100003, repeat('x', 950) FROM "
    "generate_series(1, 150000) i;"
    "CREATE TABLE visits (at timestamptz NOT NULL, page int, pad text NOT NULL);"
    "INSERT INTO visits SELECT timestamptz '2024-01-01' + i * interval '10 minutes', i % 3000, repeat('x', 90) FROM generate_series(1, "
    "60000) i;"
    "CREATE TABLE letters (id int, subject text, sent date, body text);"
    "INSERT INTO letters SELECT i, CASE WHEN i % 25 = 0 THEN 'call back' ELSE md5(i::text) END, date '2024-01-01' + i % 400, repeat('x', "
    "90) "
    "FROM generate_series(1, 60000) i;"
    "CREATE TABLE private (id int PRIMARY KEY, owner int NOT NULL, note text); ALTER TABLE private ENABLE ROW LEVEL SECURITY;"
    "CREATE POLICY own ON private USING (owner = 5);"
    "INSERT INTO private SELECT i, i % 50, md5(i::text) FROM generate_series(1, 20000) i;"
    "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader";

static int setup(void **state) {
  struct harness *h = harness_new();
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  harness_stack(h, env, env);
  harness_database(&h->pg[0], "client", target);
  harness_sql(target, "CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE EXTENSION IF NOT EXISTS hypopg");
  harness_sql(target, schema_sql);
  harness_sql(target, "VACUUM ANALYZE");
  harness_sql(target, "CREATE DATABASE plain TEMPLATE client");
  harness_sql(target, "SELECT 1");
  snprintf(plain, sizeof plain, "%s", target);
  char *name = strstr(plain, "/client");
  assert_non_null(name);
  memmove(name + 6, name + 7, strlen(name + 7) + 1);
  memcpy(name, "/plain", 6);
  harness_sql(plain, "DROP EXTENSION hypopg; DROP EXTENSION pg_trgm; ANALYZE");
  harness_connection(h, "client", target, connection);
  harness_connection(h, "plain", plain, plain_connection);
  *state = h;
  return 0;
}

static json_t *optimize(struct harness *h, const char *to, const char *sql) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize", to);
  json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0)
    fail_msg("%s: %s: %s", sql, harness_text(job, "error.code"), harness_text(job, "error.message"));
  return job;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static double real_cost(const char *url, const char *sql) {
  char *explain = NULL;
  PGconn *conn = harness_connect(url);
  assert_true(asprintf(&explain, "EXPLAIN (FORMAT JSON) %s", sql) > 0);
  PGresult *res = PQexec(conn, explain);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  json_t *plan = json_loads(PQgetvalue(res, 0, 0), 0, NULL);
  double cost = number(json_object_get(json_array_get(plan, 0), "Plan"), "Total Cost");
  json_decref(plan);
  PQclear(res);
  PQfinish(conn);
  free(explain);
  return cost;
}

static void dump(const json_t *value) {
  char *text = json_dumps(value, JSON_INDENT(1));
  print_message("%s\n", text ? text : "null");
  free(text);
}

/* --- one query --- */

static const struct {
  const char *sql, *expected; /* part of the first statement; NULL: none is recommended */
} cases[] = {
    {"SELECT * FROM orders WHERE customer_id = 17", "ON public.orders (customer_id)"},
    {"SELECT * FROM orders WHERE id = 17", NULL},
    {"SELECT * FROM orders WHERE placed = '2024-02-01'", NULL},
    {"SELECT * FROM orders WHERE customer_id = 17 ORDER BY placed DESC LIMIT 5", "ON public.orders (customer_id, placed)"},
    {"SELECT * FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 5", "(total DESC NULLS LAST, id)"},
    {"SELECT * FROM orders ORDER BY total DESC, placed DESC LIMIT 5", "(total, placed)"},
    {"SELECT * FROM orders WHERE status = 'failed' ORDER BY placed", "WHERE status = 'failed'"},
    {"SELECT * FROM orders WHERE NOT done", "WHERE NOT done"},
    {"SELECT id FROM customers WHERE lower(email) = 'user17@example.org'", "((lower(email)))"},
    {"SELECT * FROM orders WHERE data @> '{\"k\": 17}'", "USING gin (data jsonb_path_ops)"},
    {"SELECT * FROM orders WHERE tags @> ARRAY['t17']", "USING gin (tags)"},
    {"SELECT o.id, c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id IN (5, 6, 7)",
     "ON public.orders (customer_id)"},
    {"SELECT country, small FROM paid WHERE customer_id = 42", "ON public.orders (customer_id"},
    {"SELECT body FROM events WHERE kind = 17", "ON ONLY public.events (kind)"},
    {"SELECT max(total) FROM orders", "ON public.orders (total)"},
    {"SELECT * FROM tiny WHERE k = 5", NULL},
    {"SELECT * FROM orders", NULL},
    {"SELECT count(*) FROM orders WHERE status <> 'x'", NULL},
    {"UPDATE orders SET note = 'x' WHERE customer_id = 17", "ON public.orders (customer_id)"},
    {"DELETE FROM customers WHERE id = 7", "ON public.orders (customer_id)"},
    {"SELECT * FROM orders WHERE customer_id = 17 OR total = 3", "ON public.orders"},
};

/* Twins: what one wants the other does not. */
static void kinds_of_indexes(void **state) {
  static const struct {
    bool trigrams;
    const char *sql, *expected;
  } twins[] = {
      {false, "SELECT customer_id, total FROM orders WHERE customer_id BETWEEN 100 AND 300", "(customer_id) INCLUDE (total)"},
      {false, "SELECT * FROM orders WHERE customer_id BETWEEN 100 AND 103", "(customer_id)"},
      {false, "SELECT id FROM letters WHERE subject = 'call back' ORDER BY sent DESC LIMIT 5", "(sent) WHERE subject = 'call back'"},
      {false, "SELECT id FROM letters WHERE subject = 'c4ca4238a0b923820dcc509a6f75849b' ORDER BY sent DESC LIMIT 5", "(subject"},
      {false, "SELECT * FROM orders WHERE (customer_id, total) IN ((17, 40), (99, 31))", "(customer_id, total)"},
      {true, "SELECT id FROM orders WHERE note LIKE '%abcde%'", "USING gin (note gin_trgm_ops)"},
      {false, "SELECT id FROM orders WHERE note LIKE '%abcde%'", NULL},
      {false, "SELECT id FROM orders WHERE note LIKE 'abcde%'", "(note text_pattern_ops)"},
      {false, "SELECT id FROM orders WHERE note NOT LIKE 'abcde%'", NULL},
      {false, "SELECT id FROM orders WHERE lower(note) = 'abcde' AND status = 'new'", "(lower(note))"},
      {false, "SELECT id FROM orders WHERE to_char(placed, 'YYYY') = '1999'", NULL}, /* not immutable: no index can be had */
      {false, "SELECT id FROM orders WHERE data ? 'missing'", "USING gin (data)"},
      {false, "SELECT note FROM bookings WHERE span && int4range(500, 600)", "USING gist (span)"},
      {false, "SELECT note FROM bookings WHERE NOT span && int4range(500, 600)", NULL},
  };
  for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
    json_t *job = optimize(*state, twins[i].trigrams ? connection : plain_connection, twins[i].sql);
    const json_t *list = harness_at(job, "result.index_recommendations");
    bool found = false;
    for (size_t k = 0; k < json_array_size(list); k++)
      found |= twins[i].expected && strstr(json_str(json_array_get(list, k), "create_sql", ""), twins[i].expected) != NULL;
    if (found != (twins[i].expected != NULL) || (!twins[i].expected && json_array_size(list))) {
      dump(list);
      dump(harness_at(job, "result.warnings"));
      fail_msg("%s: expected %s", twins[i].sql, twins[i].expected ? twins[i].expected : "nothing");
    }
    json_decref(job);
  }
}

/* Rows that were just loaded are not extrapolated from a minute to a day; and of several indexes none claims the whole for itself. */
static void nothing_is_exaggerated(void **state) {
  json_t *job = optimize(*state, plain_connection, "SELECT * FROM orders WHERE customer_id = 17 OR total = 3");
  const json_t *list = harness_at(job, "result.index_recommendations");
  assert_int_equal(json_array_size(list), 2);
  for (size_t i = 0; i < 2; i++) {
    const json_t *one = json_array_get(list, i);
    if (!strstr(json_str(one, "reason", ""), "with both of these indexes the query's cost falls"))
      fail_msg("%s", json_str(one, "reason", ""));
    assert_true(number(json_object_get(one, "write_overhead"), "extra_entries_per_day") <= 2 * 60000);
  }
  json_decref(job);
}

/* What a finding says of an index is what was tried. */
static void findings_and_indexes_agree(void **state) {
  json_t *job = optimize(*state, plain_connection, "SELECT at FROM readings WHERE level = 17"), *one;
  const char *create = harness_text(job, "result.index_recommendations.0.create_sql");
  size_t index, said = 0;
  json_array_foreach(harness_at(job, "result.findings"), index, one) if (strstr(json_str(one, "advice", ""), "CREATE INDEX")) {
    assert_string_equal(json_str(one, "advice", ""), create);
    said++;
  }
  assert_int_equal(said, 1);
  json_decref(job);
}

/* A table that is newer than the snapshot, never analysed: how many rows there are is known all the same, and that the rest is not is told.
 */
static void old_statistics_are_told(void **state) {
  harness_sql(plain, "CREATE TABLE fresh (id int, k int, pad text) WITH (autovacuum_enabled = off);"
                     "INSERT INTO fresh SELECT i, i % 1000, repeat('x', 90) FROM generate_series(1, 100000) i");
  json_t *job = optimize(*state, plain_connection, "SELECT pad FROM fresh WHERE k = 5");
  const json_t *one = harness_at(job, "result.index_recommendations.0");
  if (number(one, "estimated_size_bytes") < 500000) dump(job), fail();
  assert_non_null(strstr(harness_text(job, "result.index_recommendations.0.caveats.0"), "ANALYZE"));
  json_decref(job);
}

/* A role for whom row security holds sees no statistics of the table; one for whom it does not hold does. */
static void hidden_statistics_are_told(void **state) {
  static const char sql[] = "SELECT * FROM private WHERE owner = 5 AND note > 'f'";
  char url[HARNESS_URL], id[40];
  struct harness *h = *state;
  snprintf(url, sizeof url, "postgresql://reader:reader@127.0.0.1:%d/plain", h->pg[0].port);
  harness_connection(h, "reader", url, id);
  const char *to[] = {plain_connection, id};
  for (size_t i = 0; i < 2; i++) {
    json_t *job = optimize(h, to[i], sql), *warning;
    size_t index;
    bool told = false;
    json_array_foreach(harness_at(job, "result.warnings"), index, warning) told |=
        strstr(json_string_value(warning), "may not see the statistics of public.private") != NULL;
    if (told != (i == 1)) dump(harness_at(job, "result.warnings"));
    assert_int_equal(told, i == 1);
    json_decref(job);
  }
}

static void hypopg_only_where_it_may_be_used(void **state) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize", connection);
  for (int allowed = 0; allowed < 2; allowed++) {
    json_t *job = harness_job(
        *state, path, json_pack("{s:s, s:{s:b}}", "sql", "SELECT * FROM orders WHERE customer_id = 17", "options", "hypothetical", allowed),
        60000);
    assert_string_equal(harness_text(job, "result.index_recommendations.0.verified_by"), allowed ? "hypopg" : "whatif");
    json_decref(job);
  }
  assert_int_equal(harness_count(target, "SELECT count(*) FROM pg_indexes WHERE tablename = 'orders' AND indexdef LIKE '%(customer_id)%'"),
                   0);
}

/* A machine on which no sandbox can be had, and a database without HypoPG: a rule of thumb, which says that it is one. */
static void without_a_place_to_try(void **state) {
  struct harness *h = *state;
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", "AUTODB_SANDBOX_DIR=/proc/no-such-directory", NULL};
  for (int i = 0; i < h->proc_count; i++)
    if (strncmp(h->procs[i].name, "worker", 6) == 0 && harness_alive(&h->procs[i])) harness_stop(&h->procs[i]);
  harness_worker(h, env);
  json_t *job = optimize(h, plain_connection, "SELECT * FROM orders WHERE customer_id = 17");
  const json_t *one = harness_at(job, "result.index_recommendations.0");
  if (!one) dump(harness_at(job, "result"));
  assert_string_equal(json_str(one, "verified_by", ""), "heuristic");
  assert_true(json_is_null(json_object_get(one, "cost_before")));
  assert_non_null(strstr(harness_text(job, "result.warnings.0"), "nothing can be tried"));
  json_decref(job);
}

static void recommended_or_not(void **state, const char *to) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *job = optimize(*state, to, cases[i].sql);
    const json_t *list = harness_at(job, "result.index_recommendations");
    bool found = false;
    for (size_t k = 0; k < json_array_size(list); k++)
      found |= cases[i].expected && strstr(json_str(json_array_get(list, k), "create_sql", ""), cases[i].expected) != NULL;
    if (found != (cases[i].expected != NULL) || (!cases[i].expected && json_array_size(list))) {
      dump(list);
      dump(harness_at(job, "result.warnings"));
      fail_msg("%s: expected %s", cases[i].sql, cases[i].expected ? cases[i].expected : "nothing");
    }
    json_decref(job);
  }
}

static void recommended_with_hypopg(void **state) { recommended_or_not(state, connection); }
static void recommended_on_the_whatif_server(void **state) { recommended_or_not(state, plain_connection); }

/* What was said of the index is what it does once it is there. */
static void as_it_was_said(void **state) {
  static const char *const queries[] = {
      "SELECT * FROM orders WHERE customer_id = 17", "SELECT * FROM orders WHERE customer_id = 17 ORDER BY placed DESC LIMIT 5",
      "SELECT * FROM orders WHERE status = 'failed' ORDER BY placed", "SELECT * FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 5",
      "SELECT body FROM events WHERE kind = 17"};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    json_t *job = optimize(*state, plain_connection, queries[i]);
    const json_t *one = json_array_get(harness_at(job, "result.index_recommendations"), 0);
    assert_string_equal(json_str(one, "verified_by", ""), "whatif");
    assert_true(number(one, "cost_after") < 0.5 * number(one, "cost_before"));
    double before = real_cost(plain, queries[i]);
    assert_true(fabs(before - number(one, "cost_before")) < 0.01 * before);
    char *sql = strdup(json_str(one, "create_sql", ""));
    for (char *at; (at = strstr(sql, "CONCURRENTLY "));) memmove(at, at + 13, strlen(at + 13) + 1);
    harness_sql(plain, sql);
    double after = real_cost(plain, queries[i]);
    if (fabs(after - number(one, "cost_after")) > 0.15 * after + 1) fail_msg("%s: %f said, %f is", sql, number(one, "cost_after"), after);
    double bytes = (double)harness_count(
               plain, "SELECT sum(pg_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'i' AND relname LIKE '%idx%'"),
           said = number(one, "estimated_size_bytes");
    if (bytes > 1.3 * said + 32768 || said > 1.3 * bytes + 32768) fail_msg("%s: %.0f bytes said, %.0f are", sql, said, bytes);
    json_decref(job);
    job = optimize(*state, plain_connection, queries[i]); /* and is not recommended again: the schema is read anew */
    if (json_array_size(harness_at(job, "result.index_recommendations"))) dump(harness_at(job, "result.index_recommendations"));
    assert_int_equal(json_array_size(harness_at(job, "result.index_recommendations")), 0);
    json_decref(job);
    free(sql);
    harness_sql(plain,
                "DO $$ DECLARE n text; BEGIN FOR n IN SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND NOT relispartition AND "
                "relname LIKE '%idx%' LOOP EXECUTE 'DROP INDEX ' || n; END LOOP; END $$");
  }
}

static const json_t *drop_of(const json_t *list, const char *index) {
  for (size_t i = 0; i < json_array_size(list); i++)
    if (strcmp(json_str(json_array_get(list, i), "index", ""), index) == 0) return json_array_get(list, i);
  return NULL;
}

static void what_to_drop(void **state) {
  json_t *job = optimize(*state, plain_connection, "SELECT * FROM orders WHERE id = 17");
  const json_t *list = harness_at(job, "result.drop_candidates");
  const json_t *duplicate = drop_of(list, "orders_placed_again"), *prefix = drop_of(list, "orders_small");
  assert_string_equal(json_str(duplicate, "kind", ""), "duplicate");
  assert_string_equal(json_str(duplicate, "drop_sql", ""), "DROP INDEX CONCURRENTLY public.orders_placed_again");
  assert_string_equal(json_str(prefix, "kind", ""), "prefix_covered");
  assert_string_equal(json_str(prefix, "covered_by", ""), "orders_small_status");
  assert_null(drop_of(list, "orders_placed"));
  assert_null(drop_of(list, "orders_small_status"));
  assert_null(drop_of(list, "orders_pkey"));
  json_decref(job);
}

/* --- many queries --- */

/* No index may hold at::date, and the planner sees no gain in a range of at while there is none on it: both are told together. */
static void a_rewrite_comes_with_its_index(void **state) {
  static const char sql[] = "SELECT page FROM visits WHERE at::date = '2024-03-05' AND COALESCE(page, 0) = 7";
  for (int to = 0; to < 2; to++) {
    json_t *job = optimize(*state, to ? plain_connection : connection, sql);
    const json_t *one = harness_at(job, "result.alternatives.0");
    const char *create = harness_text(job, "result.alternatives.0.with_indexes.create_sql.0");
    if (!strstr(create, "ON public.visits (") || strstr(create, "((")) dump(job), fail();
    if (!strstr(json_str(one, "rewritten_sql", ""), "at >= ") || !strstr(json_str(one, "rewritten_sql", ""), "page = 7")) dump(one), fail();
    assert_int_equal(number(one, "rank"), 1);
    assert_true(number(harness_at(job, "result.alternatives.0.with_indexes"), "cost") < 0.2 * number(one, "original_cost"));
    assert_string_equal(harness_text(job, "result.alternatives.0.verification.level"), "L5");
    const json_t *list = harness_at(job, "result.index_recommendations");
    bool found = false;
    for (size_t i = 0; i < json_array_size(list); i++) found |= strcmp(json_str(json_array_get(list, i), "create_sql", ""), create) == 0;
    assert_true(found);
    json_decref(job);
  }
  json_t *job = optimize(*state, plain_connection, "SELECT pad FROM visits WHERE date_trunc('month', at) = '2024-03-01' AND page = 7");
  if (json_array_size(harness_at(job, "result.index_recommendations")) != 1) dump(harness_at(job, "result.index_recommendations")), fail();
  json_decref(job); /* (page, at) serves the query as it is, too: no (page) beside it */
  job = optimize(*state, plain_connection, "SELECT pad FROM visits WHERE at::date = '2024-03-05' AND page = 7");
  size_t needless = 0, at;
  json_t *index;
  json_array_foreach(harness_at(job, "result.index_recommendations"), at, index) needless +=
      strstr(json_string_value(json_array_get(json_object_get(index, "caveats"), 0)), "not needed where the query is written as in") !=
      NULL;
  assert_int_equal(needless, json_array_size(harness_at(job, "result.index_recommendations")) - 1);
  json_decref(job);                                                                  /* for the query as it is, or for its rewrite */
  job = optimize(*state, connection, "SELECT level FROM readings WHERE level = 17"); /* nothing to write otherwise */
  assert_int_equal(json_array_size(harness_at(job, "result.alternatives")), 0);
  json_decref(job);
}

static json_t *workload(struct harness *h, const char *to, json_t *take_body) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/workload/optimize", to);
  json_t *job = harness_job(h, path, take_body, 120000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0)
    fail_msg("%s: %s", harness_text(job, "error.code"), harness_text(job, "error.message"));
  return job;
}

static json_t *two_queries(struct harness *h, json_int_t budget, const char *first, const char *second) {
  json_t *body = json_pack("{s:s, s:[{s:s}]}", "source", "queries", "queries", "sql", first);
  if (second) json_array_append_new(json_object_get(body, "queries"), json_pack("{s:s}", "sql", second));
  if (budget) json_object_set_new(body, "budget_bytes", json_integer(budget));
  return workload(h, plain_connection, body);
}

/* Two queries that want other columns behind the same key get one index that holds both, where both are worth it. */
static void what_includes_is_merged(void **state) {
  json_t *job = two_queries(*state, 0, "SELECT customer_id, total FROM orders WHERE customer_id BETWEEN 100 AND 300",
                            "SELECT customer_id, small FROM orders WHERE customer_id BETWEEN 400 AND 600");
  const json_t *list = harness_at(job, "result.index_recommendations");
  const char *sql = json_str(json_array_get(list, 0), "create_sql", "");
  if (json_array_size(list) != 1 || (!strstr(sql, "INCLUDE (total, small)") && !strstr(sql, "INCLUDE (small, total)"))) {
    dump(list);
    fail_msg("it was to be one index");
  }
  json_decref(job);
}

/* A table of more than 128 MiB that lies in the order of one column, and of the other not: where there is no room for a B-tree. */
static void few_bytes_are_enough_for_what_lies_in_order(void **state) {
  static const char *const queries[] = {"SELECT sum(length(pad)) FROM readings WHERE at BETWEEN '2024-01-01 10:00' AND '2024-01-01 16:00'",
                                        "SELECT sum(length(pad)) FROM readings WHERE level BETWEEN 10 AND 20"};
  for (int i = 0; i < 2; i++) {
    json_t *job = two_queries(*state, 1 << 20, queries[i], NULL);
    const json_t *list = harness_at(job, "result.index_recommendations");
    bool brin = strstr(json_str(json_array_get(list, 0), "create_sql", ""), "USING brin (at)") != NULL;
    if (brin != (i == 0) || json_array_size(list) != (i == 0)) {
      dump(harness_at(job, "result"));
      fail_msg("%s", queries[i]);
    }
    json_decref(job);
  }
}

static json_t *queries_json(void) {
  return json_pack("[{s:s, s:i}, {s:s, s:i}, {s:s, s:f}, {s:s}, {s:s}, {s:s}]", "sql", "SELECT * FROM orders WHERE customer_id = $1",
                   "weight", 100, "sql", "SELECT * FROM orders WHERE status = $1 ORDER BY total DESC LIMIT $2", "weight", 50, "sql",
                   "SELECT count(*) FROM orders WHERE small = 7 AND status = 'paid'", "weight", 2.5, "sql",
                   "SELECT body FROM events WHERE kind = 3", "sql", "SELECT nothing FROM orders", "sql", "DROP TABLE orders");
}

static void a_workload_gets_one_set(void **state) {
  json_t *job = workload(*state, plain_connection, json_pack("{s:s, s:o}", "source", "queries", "queries", queries_json()));
  const json_t *result = harness_at(job, "result"), *indexes = json_object_get(result, "index_recommendations"),
               *queries = json_object_get(result, "queries");
  if (json_array_size(indexes) != 3) dump(result);
  assert_int_equal(json_array_size(indexes), 3);
  static const char *const expected[] = {"public.orders (customer_id)", "public.orders (status, total)", "public.events (kind)"};
  for (size_t i = 0; i < 3; i++) {
    bool found = false;
    for (size_t k = 0; k < 3; k++) found |= strstr(json_str(json_array_get(indexes, k), "create_sql", ""), expected[i]) != NULL;
    if (!found) dump(indexes);
    assert_true(found);
  }
  assert_int_equal(json_array_size(queries), 6);
  for (size_t i = 0; i < 4; i++) {
    const json_t *query = json_array_get(queries, i);
    assert_true(number(query, "cost_before") > 0 && number(query, "cost_after") > 0 &&
                number(query, "cost_after") <= number(query, "cost_before"));
    assert_true(json_array_size(json_object_get(query, "indexes_used")) == (i == 2 ? 0 : 1));
  }
  assert_true(json_is_null(json_object_get(json_array_get(queries, 4), "cost_before")));
  assert_non_null(strstr(json_str(json_array_get(queries, 4), "skipped", ""), "nothing"));
  assert_string_equal(json_str(json_array_get(queries, 5), "skipped", ""), "it is no SELECT, INSERT, UPDATE, DELETE or MERGE");
  assert_int_equal(json_int(result, "analyzed_queries", -1), 4);
  assert_true(number(result, "cost_after") < number(result, "cost_before") / 10);
  assert_non_null(drop_of(json_object_get(result, "drop_candidates"), "orders_placed_again"));
  json_decref(job);
}

static void budget_and_number_are_kept(void **state) {
  json_t *job =
      workload(*state, plain_connection, json_pack("{s:s, s:o, s:i}", "source", "queries", "queries", queries_json(), "max_indexes", 1));
  assert_int_equal(json_array_size(harness_at(job, "result.index_recommendations")), 1);
  json_decref(job);
  job = workload(*state, plain_connection,
                 json_pack("{s:s, s:o, s:i}", "source", "queries", "queries", queries_json(), "budget_bytes", 1200000));
  const json_t *indexes = harness_at(job, "result.index_recommendations");
  double bytes = 0;
  for (size_t i = 0; i < json_array_size(indexes); i++) bytes += number(json_array_get(indexes, i), "estimated_size_bytes");
  assert_true(json_array_size(indexes) >= 1 && bytes <= 1200000);
  json_decref(job);
  job = workload(*state, plain_connection,
                 json_pack("{s:s, s:o, s:i}", "source", "queries", "queries", queries_json(), "budget_bytes", 1000));
  assert_int_equal(json_array_size(harness_at(job, "result.index_recommendations")), 0);
  json_decref(job);
}

static void without_statements_it_says_so(void **state) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/workload/optimize", plain_connection);
  json_t *job = harness_job(*state, path, json_pack("{s:s}", "source", "pg_stat_statements"), 60000);
  assert_string_equal(harness_text(job, "status"), "failed");
  assert_string_equal(harness_text(job, "error.code"), "STATEMENTS_UNAVAILABLE");
  json_decref(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(recommended_on_the_whatif_server),
                                     cmocka_unit_test(recommended_with_hypopg),
                                     cmocka_unit_test(kinds_of_indexes),
                                     cmocka_unit_test(nothing_is_exaggerated),
                                     cmocka_unit_test(findings_and_indexes_agree),
                                     cmocka_unit_test(old_statistics_are_told),
                                     cmocka_unit_test(hidden_statistics_are_told),
                                     cmocka_unit_test(what_includes_is_merged),
                                     cmocka_unit_test(few_bytes_are_enough_for_what_lies_in_order),
                                     cmocka_unit_test(hypopg_only_where_it_may_be_used),
                                     cmocka_unit_test(as_it_was_said),
                                     cmocka_unit_test(what_to_drop),
                                     cmocka_unit_test(a_rewrite_comes_with_its_index),
                                     cmocka_unit_test(a_workload_gets_one_set),
                                     cmocka_unit_test(budget_and_number_are_kept),
                                     cmocka_unit_test(without_statements_it_says_so),
                                     cmocka_unit_test(without_a_place_to_try)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
