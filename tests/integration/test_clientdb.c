/* Connecting to client databases: the policy on real sockets, reasons without passwords, the deadline, nothing from the environment. */
#include "tests/support/harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clientdb.h"
#include "common/limits.h"
#include "common/pg.h"

#define SECRET "hunter2secret"

static struct harness_pg *server;
static const struct config open_cfg = {
    .connection_allow = "127.0.0.0/8 ::1", .connection_deny = "127.0.0.3", .connection_allow_unix = true};
static const struct config closed_cfg = {.connection_allow = "", .connection_deny = ""};

static int setup(void **state) {
  struct harness *h = harness_new();
  server = harness_postgres(h, 17);
  harness_sql(server->url, "CREATE ROLE ann LOGIN PASSWORD '" SECRET "'; CREATE ROLE reader LOGIN PASSWORD '" SECRET
                           "'; CREATE SCHEMA ann AUTHORIZATION ann;"
                           "ALTER DATABASE postgres SET datestyle = 'German'");
  *state = h;
  return 0;
}

static const char *url_of(const char *userinfo, const char *host, const char *rest) {
  static char url[400];
  snprintf(url, sizeof url, "postgresql://%s@%s:%d/postgres%s", userinfo, host, server->port, rest);
  return url;
}

static PGconn *connected(const char *url) {
  PGconn *conn = NULL;
  ERROR_AUTO err = {0};
  if (clientdb_connect(&open_cfg, url, 1234, &conn, &err)) fail_msg("%s", err.message);
  assert_int_equal(err.status, OK);
  return conn;
}

static void assert_refused(const struct config *cfg, const char *url, const char *code, const char *part) {
  PGconn *conn = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(clientdb_connect(cfg, url, 0, &conn, &err), ERR_VALIDATION);
  assert_null(conn);
  char *dump = json_dumps(err.details, 0);
  if (!strstr(err.message, part)) fail_msg("wanted \"%s\" in \"%s\"", part, err.message);
  if (strstr(err.message, SECRET) || strstr(dump, SECRET)) fail_msg("the password leaked: %s", dump);
  assert_non_null(strstr(dump, "connection_string"));
  if (code) assert_string_equal(json_string_value(json_object_get(err.details, "reason_code")), code);
  free(dump);
}

static const char *shown(PGconn *conn, const char *setting) {
  static char value[128];
  PGRESULT_AUTO res = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(pg_query(conn, "SELECT current_setting($1)", 1, &setting, &res, &err), OK);
  snprintf(value, sizeof value, "%s", pg_str(res, 0, 0));
  return value;
}

static void settings_are_ours(void **state) {
  (void)state;
  PGCONN_AUTO conn = connected(url_of("ann:" SECRET, "127.0.0.1", "?application_name=other&client_encoding=LATIN1"));
  assert_string_equal(shown(conn, "application_name"), "autodb");
  assert_string_equal(shown(conn, "statement_timeout"), "1234ms");
  assert_string_equal(shown(conn, "client_encoding"), "UTF8");
  assert_string_equal(shown(conn, "DateStyle"), "ISO, MDY");
}

static void names_and_sockets_work_where_allowed(void **state) {
  (void)state;
  PGCONN_AUTO by_name = connected(url_of("ann:" SECRET, "localhost", ""));
  char text[400];
  snprintf(text, sizeof text, "host=%s port=%d user=postgres dbname=postgres", server->socket_dir, server->port);
  PGCONN_AUTO by_socket = connected(text);
  assert_string_equal(shown(by_socket, "statement_timeout"), "1234ms");
  assert_refused(&closed_cfg, text, NULL, "AUTODB_CONNECTION_ALLOW_UNIX");
}

static void the_normalized_form_connects(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 16);
  struct clientdb_target target;
  ERROR_AUTO err = {0};
  assert_int_equal(clientdb_parse(url_of("ann:" SECRET, "127.0.0.1", "?options=-c%20search_path%3Dann"), false, arena, &target, &err), OK);
  PGCONN_AUTO conn = connected(target.normalized);
  assert_string_equal(shown(conn, "search_path"), "ann");
}

static void policy_refusals_say_which_setting_helps(void **state) {
  (void)state;
  static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"};
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
    assert_refused(&closed_cfg, url_of("ann:" SECRET, hosts[i], ""), "ADDRESS_REFUSED", "AUTODB_CONNECTION_ALLOW_CIDRS");
  assert_refused(&closed_cfg, url_of("ann:" SECRET, "169.254.169.254", ""), "ADDRESS_REFUSED", "metadata");
  assert_refused(&open_cfg, url_of("ann:" SECRET, "127.0.0.3", ""), "ADDRESS_REFUSED", "AUTODB_CONNECTION_DENY_CIDRS");
}

static void the_reason_of_a_failure_is_the_servers_own(void **state) {
  (void)state;
  assert_refused(&open_cfg, url_of("ann:x" SECRET, "127.0.0.1", ""), "CONNECTION_FAILED", "password authentication failed");
  assert_refused(&open_cfg, url_of("nobody:" SECRET, "127.0.0.1", ""), "CONNECTION_FAILED", "nobody");
  assert_refused(&open_cfg, "postgresql://ann:" SECRET "@127.0.0.1:1/d", "CONNECTION_FAILED", "refused");
  assert_refused(&open_cfg, "postgresql://ann:" SECRET "@no-such-host.invalid/d", "CONNECTION_FAILED", "no-such-host.invalid");
  assert_refused(&open_cfg, url_of("ann:" SECRET, "127.0.0.1", "?sslmode=require"), "CONNECTION_FAILED", "SSL");
  assert_refused(&open_cfg, url_of("ann:" SECRET, "127.0.0.1", "?target_session_attrs=standby"), "CONNECTION_FAILED", "hot standby");
}

/* A server may quote what it was sent. */
static void a_password_in_the_servers_words_is_cut_out(void **state) {
  (void)state;
  assert_refused(&open_cfg, url_of(SECRET ":" SECRET, "127.0.0.1", ""), "CONNECTION_FAILED", "***");
}

static void no_password_of_ours_is_sent(void **state) {
  (void)state;
  setenv("PGPASSWORD", SECRET, 1);
  setenv("PGUSER", "postgres", 1);
  setenv("PGOPTIONS", "-c statement_timeout=1", 1);
  setenv("PGSSLMODE", "require", 1);
  setenv("PGHOSTADDR", "192.0.2.1", 1);
  assert_refused(&open_cfg, url_of("ann", "127.0.0.1", ""), "CONNECTION_FAILED", "wants a password");
  PGCONN_AUTO conn = connected(url_of("ann:" SECRET, "127.0.0.1", ""));
  assert_string_equal(shown(conn, "statement_timeout"), "1234ms");
  static const char *const names[] = {"PGPASSWORD", "PGUSER", "PGOPTIONS", "PGSSLMODE", "PGHOSTADDR"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

static void a_malformed_policy_names_its_setting(void **state) {
  (void)state;
  const struct config bad = {.connection_allow = "everything"};
  PGconn *conn = NULL;
  ERROR_AUTO err = {0};
  assert_int_not_equal(clientdb_connect(&bad, url_of("ann:" SECRET, "127.0.0.1", ""), 0, &conn, &err), OK);
  assert_non_null(strstr(err.message, "AUTODB_CONNECTION_ALLOW_CIDRS"));
}

/* A listener whose backlog takes the connection and that then never says a word. */
static void a_silent_server_costs_no_more_than_the_deadline(void **state) {
  (void)state;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(listen(fd, 4), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  char url[128];
  snprintf(url, sizeof url, "postgresql://u:" SECRET "@127.0.0.1:%d/d?connect_timeout=9999", ntohs(address.sin_port));
  int64_t began = harness_now_ms();
  assert_refused(&open_cfg, url, "CONNECTION_FAILED", "10 seconds in all");
  assert_true(harness_now_ms() - began < (LIMIT_CLIENT_CONNECT_SECONDS + 3) * 1000 * PATIENCE);
  close(fd);
}

/* A certificate nobody signed: enough to encrypt, not enough to be believed. */
static void tls_is_used_and_verified_when_asked(void **state) {
  (void)state;
  harness_sql(server->url, "COPY (SELECT 1) TO PROGRAM 'openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt"
                           " -subj /CN=localhost -days 2 2>&1 && chmod 600 server.key'");
  harness_sql(server->url, "ALTER SYSTEM SET ssl = on");
  harness_sql(server->url, "SELECT pg_reload_conf()");
  assert_true(POLL_UNTIL(harness_count(server->url, "SELECT (current_setting('ssl') = 'on')::int") == 1, 10000));
  static const char *const modes[] = {"?sslmode=require", "", "?sslmode=require&channel_binding=require"}; /* "": prefer, for loopback */
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    PGCONN_AUTO conn = connected(url_of("ann:" SECRET, "127.0.0.1", modes[i]));
    assert_int_equal(PQsslInUse(conn), 1);
  }
  PGCONN_AUTO plain = connected(url_of("ann:" SECRET, "127.0.0.1", "?sslmode=disable"));
  assert_int_equal(PQsslInUse(plain), 0);
  assert_refused(&open_cfg, url_of("ann:" SECRET, "localhost", "?sslmode=verify-full"), "CONNECTION_FAILED", "certificate verify failed");
}

static struct clientdb_facts probed(PGconn *conn) {
  struct clientdb_facts facts = {0};
  ERROR_AUTO err = {0};
  if (clientdb_probe(conn, &facts, &err)) fail_msg("%s", err.message);
  return facts;
}

static void probing_tells_what_the_role_may(void **state) {
  (void)state;
  PGCONN_AUTO super = connected(url_of("postgres:" HARNESS_PASSWORD, "127.0.0.1", ""));
  PGCONN_AUTO owner = connected(url_of("ann:" SECRET, "127.0.0.1", ""));
  PGCONN_AUTO reader = connected(url_of("reader:" SECRET, "127.0.0.1", ""));
  struct clientdb_facts facts = probed(super);
  assert_true(facts.is_superuser && facts.can_write && !facts.hypopg && !facts.pg_stat_statements);
  assert_in_range(facts.server_version_num, 170000, 179999);
  assert_int_equal(strncmp(facts.server_version, "17.", 3), 0);
  facts = probed(owner);
  assert_true(!facts.is_superuser && facts.can_write);
  assert_false(probed(reader).can_write);
  harness_sql(server->url, "CREATE TABLE notes (a int); GRANT INSERT ON notes TO reader");
  assert_true(probed(reader).can_write);
}

static void probing_a_lost_connection_is_unavailable(void **state) {
  (void)state;
  PGCONN_AUTO conn = connected(url_of("ann:" SECRET, "127.0.0.1", ""));
  char sql[64];
  snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", PQbackendPID(conn));
  harness_sql(server->url, sql);
  struct clientdb_facts facts;
  ERROR_AUTO err = {0};
  assert_int_equal(clientdb_probe(conn, &facts, &err), ERR_UNAVAILABLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(settings_are_ours),
      cmocka_unit_test(names_and_sockets_work_where_allowed),
      cmocka_unit_test(the_normalized_form_connects),
      cmocka_unit_test(policy_refusals_say_which_setting_helps),
      cmocka_unit_test(the_reason_of_a_failure_is_the_servers_own),
      cmocka_unit_test(a_password_in_the_servers_words_is_cut_out),
      cmocka_unit_test(no_password_of_ours_is_sent),
      cmocka_unit_test(a_malformed_policy_names_its_setting),
      cmocka_unit_test(a_silent_server_costs_no_more_than_the_deadline),
      cmocka_unit_test(tls_is_used_and_verified_when_asked),
      cmocka_unit_test(probing_tells_what_the_role_may),
      cmocka_unit_test(probing_a_lost_connection_is_unavailable),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
