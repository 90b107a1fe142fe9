/* test_sandbox_clone.c - restoring dumps as nobody, and rows that satisfy what the schema asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"

static struct config cfg = {.sandbox_memory_mb = 1024};

struct stage {
  struct sandbox *sandbox;
  struct arena *arena;
  PGconn *conn; /* as the migrator */
  struct sandbox_clone_report clone;
  struct sandbox_seed_report seed;
  const char *shape;
};

static int newest(void) { return sandbox_pick_major(99 * 10000); }

static void stage_open(struct stage *stage, int major, const char *dump, const char *timezone, const char *search_path) {
  ERROR_AUTO err = {0};
  *stage = (struct stage){.arena = arena_new(256 << 20)};
  if (sandbox_open(&cfg, NULL, major, &stage->sandbox, &err)) fail_msg("%s", err.message);
  if (sandbox_clone(stage->sandbox, dump, timezone, search_path, stage->arena, &stage->clone, &err)) fail_msg("%s", err.message);
  if (sandbox_connect_migrator(stage->sandbox, &stage->conn, &err)) fail_msg("%s", err.message);
}

static void stage_seed(struct stage *stage, int rows) {
  ERROR_AUTO err = {0};
  if (sandbox_seed(stage->sandbox, rows, stage->shape, stage->arena, &stage->seed, &err)) fail_msg("%s", err.message);
}

static void stage_close(struct stage *stage) {
  PQfinish(stage->conn);
  sandbox_close(stage->sandbox);
  arena_free(stage->arena);
}

static const char *value(struct stage *stage, const char *sql) {
  PGRESULT_AUTO res = PQexec(stage->conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s: %s", sql, PQresultErrorMessage(res));
  return arena_strdup(stage->arena, PQgetvalue(res, 0, 0));
}

static char *read_fixture(const char *name) {
  char path[500];
  snprintf(path, sizeof path, "%s/tests/fixtures/%s", AUTODB_SOURCE_DIR, name);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  char *text = calloc(1, 1 << 20);
  assert_non_null(text);
  assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
  fclose(file);
  return text;
}

static bool has_problem(const json_t *problems, const char *key, const char *text) {
  size_t i;
  json_t *problem;
  json_array_foreach(problems, i, problem) if (strstr(json_string_value(json_object_get(problem, key)), text)) return true;
  return false;
}

static void show(const json_t *problems) {
  char *text = json_dumps(problems, JSON_INDENT(1));
  print_message("%s\n", text);
  free(text);
}

static void check_clone(struct stage *stage) {
  if (json_array_size(stage->clone.problems) != 5) show(stage->clone.problems);
  assert_int_equal(json_array_size(stage->clone.problems), 5);
  assert_true(has_problem(stage->clone.problems, "statement", "some_setting_of_the_future"));
  assert_true(has_problem(stage->clone.problems, "statement", "no_such_type"));
  assert_true(has_problem(stage->clone.problems, "statement", "GRANT pg_execute_server_program"));
  assert_true(has_problem(stage->clone.problems, "statement", "CREATE EVENT TRIGGER"));
  assert_int_equal(json_array_size(stage->clone.missing_extensions), 2);
  assert_int_equal(stage->clone.tables_created, 20);
  assert_string_equal(value(stage, "SELECT count(*) FROM pg_class c WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r','p') AND "
                                   "relowner <> 'migrator'::regrole"),
                      "0");
  assert_string_equal(
      value(stage,
            "SELECT count(*) FROM pg_roles WHERE rolname IN ('App Owner', 'reader', 'Second Reader') AND NOT rolcanlogin AND NOT rolsuper"),
      "3");
  assert_string_equal(value(stage, "SELECT pg_has_role('migrator', 'pg_execute_server_program', 'member')"), "f");
  assert_string_equal(value(stage, "SHOW timezone"), "Europe/Berlin");
  assert_string_equal(value(stage, "SHOW search_path"), "app, public");
  assert_string_equal(value(stage, "SELECT app.total(1, 2)"), "3");
}

/* Every foreign key is made again, which checks every row. */
static void check_fks(struct stage *stage) {
  ERROR_AUTO err = {0};
  static const char sql[] = "DO $$ DECLARE f record; BEGIN FOR f IN SELECT conrelid::regclass t, conname n, pg_get_constraintdef(oid) d "
                            "FROM pg_constraint WHERE contype = 'f' "
                            "AND conparentid = 0 LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', f.t, f.n, "
                            "f.n, f.d); END LOOP; END $$";
  if (pg_script(stage->conn, sql, &err)) fail_msg("%s", err.message);
}

static void test_everything(void **state) {
  (void)state;
  char *dump = read_fixture("sandbox_schema.sql");
  int majors[16], count = sandbox_majors(majors, 16);
  for (int i = 0; i < count; i++) {
    struct stage stage;
    stage_open(&stage, majors[i], dump, "Europe/Berlin", "app, public");
    check_clone(&stage);
    stage_seed(&stage, 15);
    if (json_array_size(stage.seed.problems) != 1) show(stage.seed.problems);
    assert_int_equal(json_array_size(stage.seed.problems), 1);
    assert_true(has_problem(stage.seed.problems, "table", "app.impossible"));
    static const char *const full[] = {"customers",
                                       "orders",
                                       "items",
                                       "tree",
                                       "a",
                                       "b",
                                       "follows",
                                       "events_2031_eu",
                                       "events_rest",
                                       "numbers_high",
                                       "hashed_0",
                                       "types",
                                       "only_defaults",
                                       "\"Odd \"\"Name\"\"; x\""};
    for (size_t t = 0; t < sizeof full / sizeof *full; t++) {
      char sql[128];
      snprintf(sql, sizeof sql, "SELECT count(*) FROM app.%s", full[t]);
      if (strcmp(value(&stage, sql), "15") != 0) fail_msg("%s: %s rows", full[t], value(&stage, sql));
    }
    assert_string_equal(value(&stage, "SELECT count(*) > 0 FROM app.shipments"), "t");
    assert_string_equal(value(&stage, "SELECT count(DISTINCT status) FROM app.orders"), "3");
    check_fks(&stage);
    /* on again for the migration */
    PGRESULT_AUTO res = PQexec(
        stage.conn, "INSERT INTO app.orders(customer_id, status, placed, total, discount, kind) VALUES (1, 'new', now(), 1, 0, 'web')");
    assert_non_null(strstr(PQresultErrorMessage(res), "triggers must be off"));
    PGRESULT_AUTO set = PQexec(stage.conn, "SET session_replication_role = replica");
    assert_string_equal(pg_sqlstate(set), "42501");
    stage_close(&stage);
  }
  free(dump);
}

static void test_owner_change(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct stage stage;
  stage_open(&stage, newest(),
             "CREATE TABLE public.t (id int); ALTER TABLE public.t OWNER TO app; GRANT SELECT ON TABLE public.t TO other;", NULL, NULL);
  assert_int_equal(json_array_size(stage.clone.problems), 0);
  if (pg_script(stage.conn, "ALTER TABLE public.t OWNER TO app; ALTER TABLE public.t ADD COLUMN x int; GRANT SELECT ON public.t TO other",
                &err))
    fail_msg("%s", err.message);
  const char *sql;
  assert_int_equal(sandbox_dump(stage.sandbox, stage.arena, &sql, &err), OK);
  assert_non_null(strstr(sql, "OWNER TO app"));
  assert_null(strstr(sql, "autodb_owners"));
  stage_close(&stage);
}

static void test_hostile(void **state) {
  (void)state;
  struct stage stage;
  static const char dump[] =
      "CREATE FUNCTION public.grab(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE migrator SUPERUSER'; RETURN "
      "true; END $$;"
      "CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.grab);"
      "CREATE FUNCTION public.def() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE migrator SUPERUSER'; RETURN 1; EXCEPTION "
      "WHEN OTHERS THEN RETURN 2; END $$;"
      "CREATE TABLE public.t (id int DEFAULT public.def(), k int UNIQUE);"
      "COMMIT; ALTER TABLE public.t OWNER TO autodb_tracer; ALTER TABLE public.t OWNER TO pg_execute_server_program;"
      "SET SESSION AUTHORIZATION autodb_tracer; SET ROLE autodb_tracer; COPY public.t FROM stdin;\n1\t2\n\\.\n"
      "CREATE EXTENSION \"x\"\"; DROP ROLE migrator; --\"; CREATE ROLE evil SUPERUSER; CREATE TABLE public.last (id int);";
  stage_open(&stage, newest(), dump, "No/Such_Zone", "public, pg_catalog");
  stage_seed(&stage, 5);
  assert_string_equal(value(&stage, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'migrator'"), "f");
  assert_string_equal(value(&stage, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'evil'"),
                      "0");
  assert_string_equal(value(&stage, "SELECT min(id) FROM public.t"), "2");
  assert_true(has_problem(stage.clone.problems, "statement", "timezone"));
  assert_string_equal(value(&stage, "SELECT pg_catalog.count(*) FROM public.last"), "5");
  assert_int_equal(json_array_size(stage.clone.missing_extensions), 1);
  stage_close(&stage);
}

static void test_empty_and_broken(void **state) {
  (void)state;
  static const char *const dumps[] = {
      "", ";;;", "-- nothing", "/* /* */", "'unterminated", "$$ unterminated", "\\connect x\n", "CREATE TABLE t (", "SELECT ;", "\xff\xfe"};
  for (size_t i = 0; i < sizeof dumps / sizeof *dumps; i++) {
    struct stage stage;
    stage_open(&stage, newest(), dumps[i], "", "");
    assert_int_equal(stage.clone.tables_created, 0);
    stage_seed(&stage, 1000000);
    assert_int_equal(stage.seed.rows_inserted, 0);
    stage_close(&stage);
  }
}

static void generate(struct buf *out, int tables) {
  for (int i = 0; i < tables; i++) {
    buf_printf(out,
               "CREATE TABLE public.t%d (id bigint NOT NULL, parent_id bigint, name text NOT NULL, status text DEFAULT 'new'::text NOT "
               "NULL, amount numeric(12,2), at timestamp with time zone "
               "DEFAULT now() NOT NULL, meta jsonb, CONSTRAINT s CHECK ((status = ANY (ARRAY['new'::text, 'old'::text]))));\nALTER TABLE "
               "public.t%d OWNER TO app;\n",
               i, i);
    buf_printf(out,
               "CREATE SEQUENCE public.t%d_id_seq;\nALTER SEQUENCE public.t%d_id_seq OWNED BY public.t%d.id;\n"
               "ALTER TABLE ONLY public.t%d ALTER COLUMN id SET DEFAULT nextval('public.t%d_id_seq'::regclass);\n",
               i, i, i, i, i);
  }
  for (int i = 0; i < tables; i++)
    buf_printf(out,
               "ALTER TABLE ONLY public.t%d ADD CONSTRAINT t%d_pkey PRIMARY KEY (id);\nCREATE INDEX t%d_at ON public.t%d USING btree (at, "
               "status);\n",
               i, i, i, i);
  for (int i = 1; i < tables; i++)
    buf_printf(out, "ALTER TABLE ONLY public.t%d ADD CONSTRAINT t%d_fk FOREIGN KEY (parent_id) REFERENCES public.t%d(id);\n", i, i,
               (i - 1) / 2);
}

static void test_sizes(void **state) {
  (void)state;
  static const int sizes[] = {15, 60, 300};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    BUF_AUTO dump;
    struct stage stage;
    buf_init(&dump, 8 << 20);
    generate(&dump, sizes[i]);
    ERROR_AUTO err = {0};
    stage = (struct stage){.arena = arena_new(256 << 20)};
    assert_int_equal(sandbox_open(&cfg, NULL, newest(), &stage.sandbox, &err), OK);
    int64_t started = clock_mono_us();
    assert_int_equal(sandbox_clone(stage.sandbox, buf_str(&dump), NULL, NULL, stage.arena, &stage.clone, &err), OK);
    int64_t cloned = clock_mono_us();
    stage_seed(&stage, 15);
    int64_t seeded = clock_mono_us();
    print_message("%d tables: clone %.1f ms, seed %.1f ms\n", sizes[i], (double)(cloned - started) / 1000,
                  (double)(seeded - cloned) / 1000);
    assert_int_equal(stage.clone.tables_created, sizes[i]);
    assert_int_equal(json_array_size(stage.clone.problems), 0);
    assert_int_equal(stage.seed.rows_inserted, 15 * sizes[i]);
    stage_close(&stage);
  }
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

/* What production's statistics say is seen in the rows, as far as constraints let it be. */
static void test_shape(void **state) {
  (void)state;
  static const char schema[] =
      "CREATE TABLE public.p (id int PRIMARY KEY);"
      "CREATE TABLE public.t (id int PRIMARY KEY, a text, b int NOT NULL, c int DEFAULT 7, d int, \"Odd \"\"x\" text, p int, u int UNIQUE,"
      " e int, f int, CONSTRAINT pairs CHECK ((e IS NULL) = (f IS NULL)));"
      "ALTER TABLE public.t ADD FOREIGN KEY (p) REFERENCES public.p;"
      "CREATE TABLE public.v (id int PRIMARY KEY, code text CHECK (code ~ '^[A-Z]{2}$'), note text);";
  struct stage stage;
  stage_open(&stage, newest(), schema, "UTC", "public");
  stage.shape =
      "[{\"s\":\"public\",\"t\":\"t\",\"c\":\"a\",\"n\":5,\"d\":3},{\"s\":\"public\",\"t\":\"t\",\"c\":\"b\",\"n\":9,\"d\":2},"
      "{\"s\":\"public\",\"t\":\"t\",\"c\":\"c\",\"n\":4,\"d\":0},{\"s\":\"public\",\"t\":\"t\",\"c\":\"Odd \\\"x\",\"n\":15,\"d\":0},"
      "{\"s\":\"public\",\"t\":\"t\",\"c\":\"p\",\"n\":1,\"d\":4},{\"s\":\"public\",\"t\":\"t\",\"c\":\"u\",\"n\":0,\"d\":2},"
      "{\"s\":\"public\",\"t\":\"t\",\"c\":\"gone\",\"n\":1,\"d\":1},{\"s\":\"public\",\"t\":\"nowhere\",\"c\":\"a\",\"n\":1,\"d\":1},"
      "{\"s\":\"public\",\"t\":\"v\",\"c\":\"note\",\"n\":6,\"d\":0}]";
  stage_seed(&stage, 15);
  assert_int_equal(json_array_size(stage.seed.problems), 0);
  assert_string_equal(value(&stage, "SELECT count(*) || ' ' || count(a) || ' ' || count(DISTINCT a) FROM t"), "15 10 3");
  assert_string_equal(value(&stage, "SELECT count(b) || ' ' || count(DISTINCT b) FROM t"), "15 2"); /* NOT NULL stays so */
  assert_string_equal(value(&stage, "SELECT count(c) || ' ' || min(c) FROM t"), "11 7");
  assert_string_equal(value(&stage, "SELECT count(d) || ' ' || count(DISTINCT d) FROM t"), "15 15"); /* nothing is known */
  assert_string_equal(value(&stage, "SELECT count(\"Odd \"\"x\") FROM t"), "0");
  assert_string_equal(value(&stage, "SELECT count(p) || ' ' || count(DISTINCT p) FROM t"), "14 4");
  assert_string_equal(value(&stage, "SELECT count(DISTINCT u) FROM t"), "15");                /* keys come first */
  assert_string_equal(value(&stage, "SELECT count(*) || ' ' || count(note) FROM v"), "15 9"); /* though code took several tries */
  check_fks(&stage);
  stage_close(&stage);
}

/* A shape that a constraint refuses is given up, not the rows. */
static void test_shape_refused(void **state) {
  (void)state;
  struct stage stage;
  stage_open(&stage, newest(), "CREATE TABLE public.t (e int, f int, CONSTRAINT pairs CHECK ((e IS NULL) = (f IS NULL)));", "UTC",
             "public");
  stage.shape = "[{\"s\":\"public\",\"t\":\"t\",\"c\":\"e\",\"n\":5,\"d\":0}]";
  stage_seed(&stage, 15);
  assert_string_equal(value(&stage, "SELECT count(*) || ' ' || count(e) FROM t"), "15 15");
  assert_int_equal(stage.seed.rows_inserted, 15);
  assert_int_equal(json_array_size(stage.seed.problems), 0);
  ERROR_AUTO err = {0};
  stage.shape = "[{";
  assert_int_not_equal(sandbox_seed(stage.sandbox, 1, stage.shape, stage.arena, &stage.seed, &err), OK);
  stage_close(&stage);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shape),      cmocka_unit_test(test_shape_refused),
                                     cmocka_unit_test(test_everything), cmocka_unit_test(test_owner_change),
                                     cmocka_unit_test(test_hostile),    cmocka_unit_test(test_empty_and_broken),
                                     cmocka_unit_test(test_sizes)};
  return cmocka_run_group_tests_name("sandbox_clone", tests, setup, teardown);
}
