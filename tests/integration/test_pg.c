/* Blocking libpq against a real server: connecting, errors in our form, values both ways. */
#include "tests/support/harness.h"

#include "common/pg.h"

static struct harness_pg *server;
static struct arena *arena;
static PGconn *conn;

static int setup(void **state) {
  struct harness *h = harness_new();
  ERROR_AUTO err = {0};
  server = harness_postgres(h, 17);
  arena = arena_new((size_t)8 << 20);
  if (pg_connect(server->url, "test", &conn, &err)) fail_msg("%s", err.message);
  *state = h;
  return 0;
}

static int teardown(void **state) {
  PQfinish(conn);
  arena_free(arena);
  return harness_teardown(state);
}

static const char *detail(const struct error *err, const char *key) {
  const char *text = json_string_value(json_object_get(err->details, key));
  return text ? text : "";
}

static PGresult *asked(const char *sql, int nparams, const char *const *params) {
  PGresult *res = NULL;
  ERROR_AUTO err = {0};
  if (pg_query(conn, sql, nparams, params, &res, &err)) fail_msg("%s: %s", sql, err.message);
  return res;
}

static void the_connection_carries_its_name_and_speaks_utf8(void **state) {
  (void)state;
  PGRESULT_AUTO res = asked(
      "SELECT current_setting('application_name'), current_setting('client_encoding'), current_setting('synchronous_commit')", 0, NULL);
  assert_string_equal(pg_str(res, 0, 0), "autodb test");
  assert_string_equal(pg_str(res, 0, 1), "UTF8");
  assert_string_equal(pg_str(res, 0, 2), "on");
}

static void the_name_is_ours_whatever_the_url_says(void **state) {
  (void)state;
  char url[HARNESS_URL + 64];
  snprintf(url, sizeof url, "%s?application_name=other", server->url);
  PGCONN_AUTO other = NULL;
  PGRESULT_AUTO res = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(pg_connect(url, "mine", &other, &err), OK);
  assert_int_equal(pg_query(other, "SHOW application_name", 0, NULL, &res, &err), OK);
  assert_string_equal(pg_str(res, 0, 0), "autodb mine");
}

static void connecting_fails_with_the_reason_and_without_the_password(void **state) {
  (void)state;
  char wrong[HARNESS_URL], nobody[HARNESS_URL];
  snprintf(wrong, sizeof wrong, "postgresql://postgres:s3cr3t%%40x@127.0.0.1:%d/postgres", server->port);
  snprintf(nobody, sizeof nobody, "postgresql://postgres:s3cr3t@127.0.0.1:1/postgres");
  const struct {
    const char *url, *part;
    enum status wanted;
  } rows[] = {{wrong, "authentication failed", ERR_UNAVAILABLE},
              {nobody, "refused", ERR_UNAVAILABLE},
              {"host=h password=s3cr3t x", "malformed", ERR_VALIDATION},
              {"postgresql://u:s3cr3t%zz@h", "malformed", ERR_VALIDATION},
              {"s3cr3t", "malformed", ERR_VALIDATION}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    PGconn *none = NULL;
    ERROR_AUTO err = {0};
    assert_int_equal(pg_connect(rows[i].url, "test", &none, &err), rows[i].wanted);
    if (!strstr(err.message, rows[i].part)) fail_msg("wanted \"%s\" in \"%s\"", rows[i].part, err.message);
    assert_null(strstr(err.message, "s3cr3t"));
    assert_null(none);
  }
}

static void scrubbing_reaches_everywhere(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  error_set(&err, ERR_VALIDATION, "abc key abc, abcabc");
  err.details = json_pack("{s:s,s:n,s:i,s:{s:[{s:s}]}}", "message", "an abc", "detail", "n", 1, "deep", "list", "x", "abc!");
  pg_scrub(&err, "abc");
  assert_string_equal(err.message, "*** key ***, ******");
  char *dump = json_dumps(err.details, 0);
  assert_null(strstr(dump, "abc"));
  assert_non_null(strstr(dump, "***!"));
  free(dump);
  pg_scrub(&err, NULL);
  pg_scrub(&err, "");
  assert_string_equal(err.message, "*** key ***, ******");
  pg_scrub(&err, "k"); /* stars longer than the secret, in a full message too */
  assert_string_equal(err.message, "*** ***ey ***, ******");
  char full[2000];
  memset(full, 'q', sizeof full);
  full[sizeof full - 1] = '\0';
  error_set(&err, ERR_VALIDATION, "%s", full);
  pg_scrub(&err, "q");
  assert_null(strchr(err.message, 'q'));
  assert_true(strlen(err.message) < sizeof err.message);
}

static void server_errors_keep_what_the_server_said(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  assert_int_equal(pg_exec(conn, "SELECT * FROM nowhere", 0, NULL, &err), ERR_VALIDATION);
  assert_string_equal(err.message, "relation \"nowhere\" does not exist");
  assert_string_equal(detail(&err, "sqlstate"), "42P01");
  assert_int_equal(json_integer_value(json_object_get(err.details, "position")), 15);
  assert_true(json_is_null(json_object_get(err.details, "hint")));
  assert_int_equal(pg_script(conn, "DO $$BEGIN RAISE 'no' USING DETAIL = 'why', HINT = 'do', ERRCODE = '22000'; END$$", &err),
                   ERR_VALIDATION);
  assert_string_equal(detail(&err, "detail"), "why");
  assert_string_equal(detail(&err, "hint"), "do");
}

static void status_follows_the_class(void **state) {
  (void)state;
  static const struct {
    const char *code;
    enum status wanted;
  } rows[] = {{"22012", ERR_VALIDATION},  {"23505", ERR_VALIDATION},  {"42601", ERR_VALIDATION},  {"57014", ERR_VALIDATION},
              {"25006", ERR_VALIDATION},  {"08006", ERR_UNAVAILABLE}, {"40001", ERR_UNAVAILABLE}, {"40P01", ERR_UNAVAILABLE},
              {"53300", ERR_UNAVAILABLE}, {"57P01", ERR_UNAVAILABLE}, {"58030", ERR_UNAVAILABLE}, {"XX000", ERR_INTERNAL}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char sql[120];
    ERROR_AUTO err = {0};
    snprintf(sql, sizeof sql, "DO $$BEGIN RAISE 'x' USING ERRCODE = '%s'; END$$", rows[i].code);
    assert_int_equal(pg_script(conn, sql, &err), rows[i].wanted);
    assert_string_equal(detail(&err, "sqlstate"), rows[i].code);
  }
}

static void misuse_is_an_error_and_the_connection_lives(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  PGresult *res = NULL;
  assert_int_equal(pg_query(conn, "SELECT 1; SELECT 2", 0, NULL, &res, &err), ERR_VALIDATION);
  assert_int_equal(pg_query(conn, "COPY (SELECT 1) TO STDOUT", 0, NULL, &res, &err), ERR_INTERNAL);
  assert_null(res);
  PGRESULT_AUTO after = asked("SELECT 1", 0, NULL);
  assert_int_equal(pg_int(after, 0, 0, 0), 1);
}

static void a_lost_connection_is_unavailable(void **state) {
  (void)state;
  PGCONN_AUTO victim = NULL;
  ERROR_AUTO err = {0};
  char pid[16];
  assert_int_equal(pg_connect(server->url, "victim", &victim, &err), OK);
  snprintf(pid, sizeof pid, "%d", PQbackendPID(victim));
  PGRESULT_AUTO res = asked("SELECT pg_terminate_backend($1)", 1, (const char *const[]){pid});
  assert_int_equal(pg_exec(victim, "SELECT 1", 0, NULL, &err), ERR_UNAVAILABLE);
  assert_int_equal(pg_exec(victim, "SELECT 1", 0, NULL, &err), ERR_UNAVAILABLE); /* and stays so */
}

static void values_and_nulls(void **state) {
  (void)state;
  PGRESULT_AUTO res =
      asked("SELECT $1::text, NULL, 42, -9007199254740993, true, false, 'x', ''", 1, (const char *const[]){"'; DROP TABLE x; --"});
  assert_string_equal(pg_str(res, 0, 0), "'; DROP TABLE x; --");
  assert_null(pg_str(res, 0, 1));
  assert_int_equal(pg_int(res, 0, 1, 7), 7);
  assert_int_equal(pg_int(res, 0, 2, 7), 42);
  assert_true(pg_int(res, 0, 3, 7) == -9007199254740993LL);
  assert_true(pg_bool(res, 0, 4));
  assert_false(pg_bool(res, 0, 5));
  assert_false(pg_bool(res, 0, 1));
  assert_int_equal(pg_int(res, 0, 6, 7), 7);
  assert_int_equal(pg_int(res, 0, 7, 7), 7);
}

static void bytes_round_trip(void **state) {
  (void)state;
  unsigned char bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = (unsigned char)i;
  const char *param = pg_bytea_param(arena, bytes, sizeof bytes);
  PGRESULT_AUTO res = asked("SELECT $1::bytea, NULL::bytea, ''::bytea, length($1::bytea)", 1, &param);
  size_t len = 0;
  const void *back = pg_bytes(res, 0, 0, arena, &len);
  assert_int_equal(len, sizeof bytes);
  assert_memory_equal(back, bytes, sizeof bytes);
  assert_null(pg_bytes(res, 0, 1, arena, &len));
  assert_non_null(pg_bytes(res, 0, 2, arena, &len));
  assert_int_equal(len, 0);
  assert_int_equal(pg_int(res, 0, 3, 0), 256);
}

static void arrays_survive_every_quote(void **state) {
  (void)state;
  static const char *const items[] = {"a,b", "\"", "\\", "{}", "", "NULL", "it's"};
  const char *param = pg_array_param(arena, items, 7), *empty = pg_array_param(arena, NULL, 0);
  PGRESULT_AUTO res = asked("SELECT unnest($1::text[])", 1, &param);
  assert_int_equal(PQntuples(res), 7);
  for (int i = 0; i < 7; i++) assert_string_equal(pg_str(res, i, 0), items[i]);
  PGRESULT_AUTO none = asked("SELECT cardinality($1::text[])", 1, &empty);
  assert_int_equal(pg_int(none, 0, 0, 7), 0);
}

/* A session that has not got a set is given all of it, by the first that is asked for; what fails is told as ever. */
static void statements_are_kept_by_the_session(void **state) {
  static const struct pg_kept set[] = {{"test_sum", "SELECT $1::int + 1"}, {"test_bad", "SELECT 1 / $1::int"}, {0}};
  static const struct pg_kept broken[] = {{"test_broken", "SELEC"}, {0}};
  ERROR_AUTO err = {0};
  (void)state;
  for (int i = 0; i < 2; i++) {
    PGRESULT_AUTO res = NULL;
    const char *one = "41";
    assert_int_equal(pg_query_kept(conn, set, 0, 1, &one, &res, &err), OK);
    assert_int_equal(pg_int(res, 0, 0, 0), 42);
  }
  PGRESULT_AUTO res = NULL;
  PGRESULT_AUTO none = NULL;
  const char *zero = "0", *two = "2";
  assert_int_equal(pg_script(conn, "BEGIN", &err), OK); /* the second is there already */
  assert_int_equal(pg_query_kept(conn, set, 1, 1, &two, &res, &err), OK);
  assert_int_equal(pg_query_kept(conn, set, 1, 1, &zero, &none, &err), ERR_VALIDATION);
  assert_string_equal(detail(&err, "sqlstate"), "22012");
  error_clear(&err);
  assert_int_equal(pg_script(conn, "ROLLBACK", &err), OK);
  assert_int_equal(pg_script(conn, "DEALLOCATE test_bad", &err), OK); /* half of it gone: made whole */
  PGRESULT_AUTO again = NULL;
  assert_int_equal(pg_query_kept(conn, set, 1, 1, &two, &again, &err), OK);
  assert_int_equal(pg_query_kept(conn, broken, 0, 0, NULL, &none, &err), ERR_VALIDATION);
  assert_null(none);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_connection_carries_its_name_and_speaks_utf8),
      cmocka_unit_test(the_name_is_ours_whatever_the_url_says),
      cmocka_unit_test(connecting_fails_with_the_reason_and_without_the_password),
      cmocka_unit_test(scrubbing_reaches_everywhere),
      cmocka_unit_test(server_errors_keep_what_the_server_said),
      cmocka_unit_test(status_follows_the_class),
      cmocka_unit_test(misuse_is_an_error_and_the_connection_lives),
      cmocka_unit_test(a_lost_connection_is_unavailable),
      cmocka_unit_test(values_and_nulls),
      cmocka_unit_test(bytes_round_trip),
      cmocka_unit_test(arrays_survive_every_quote),
      cmocka_unit_test(statements_are_kept_by_the_session),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
