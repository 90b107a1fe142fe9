/* Connection strings without a network: what is taken, what is refused and how it is said, what libpq would be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clientdb.h"
#include "common/conninfo.h"

#define SECRET "hunter2secret"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new((size_t)1 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static struct clientdb_target parsed(const char *text) {
  struct clientdb_target target = {0};
  ERROR_AUTO err = {0};
  if (clientdb_parse(text, false, arena, &target, &err)) fail_msg("%s: %s", text, err.message);
  return target;
}

static void assert_refused(const char *text, const char *part) {
  struct clientdb_target target = {0};
  ERROR_AUTO err = {0};
  if (!clientdb_parse(text, false, arena, &target, &err)) fail_msg("taken: %s", text);
  assert_int_equal(err.status, ERR_VALIDATION);
  json_t *field = json_array_get(json_object_get(err.details, "fields"), 0);
  assert_string_equal(json_string_value(json_object_get(field, "path")), "connection_string");
  char *all = json_dumps(err.details, 0);
  if (!strstr(err.message, part)) fail_msg("%s: wanted \"%s\" in \"%s\"", text, part, err.message);
  if (strstr(err.message, SECRET) || strstr(all, SECRET)) fail_msg("the password leaked: %s", err.message);
  free(all);
  assert_null(target.host);
}

static void uri_form(void **state) {
  (void)state;
  struct clientdb_target target = parsed("postgresql://ann:p%40ss%2Fw@db.example.com:6543/shop?sslmode=verify-full");
  assert_string_equal(target.host, "db.example.com");
  assert_int_equal(target.port, 6543);
  assert_string_equal(target.user, "ann");
  assert_string_equal(target.dbname, "shop");
  assert_string_equal(target.sslmode, "verify-full");
  assert_string_equal(target.normalized, "postgresql://ann:p%40ss%2Fw@db.example.com:6543/shop?sslmode=verify-full");
}

static void key_value_quoting(void **state) {
  (void)state;
  struct clientdb_target target = parsed("host = 10.0.0.5 user=ann password='it\\'s \\\\ fine' application_name=psql connect_timeout=500");
  assert_int_equal(target.port, 5432);
  assert_string_equal(target.dbname, "ann"); /* as libpq does */
  assert_string_equal(target.sslmode, "require");
  struct clientdb_target again = parsed(target.normalized);
  assert_string_equal(again.normalized, target.normalized);
  assert_non_null(strstr(target.normalized, "it%27s%20%5C%20fine"));
}

static void normalized_parses_to_the_same(void **state) {
  (void)state;
  static const char *const rows[] = {
      "postgresql://u:p%C3%A9%25%3F@[2001:db8::1]/d?options=endpoint%3Dep-cool-1",
      "postgres://u@h.example/"
      "d%20b?keepalives_idle=5&target_session_attrs=read-write&options=-c%20search_path%3Da,b&channel_binding=require",
      "host=h_1.example port=1 user='a b' dbname='c=d' sslmode=disable gssencmode=disable tcp_user_timeout=1000 sslnegotiation=direct "
      "client_encoding=LATIN1",
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct clientdb_target one = parsed(rows[i]), two = parsed(one.normalized);
    assert_string_equal(one.host, two.host);
    assert_string_equal(one.user, two.user);
    assert_string_equal(one.dbname, two.dbname);
    assert_string_equal(one.sslmode, two.sslmode);
    assert_int_equal(one.port, two.port);
    assert_string_equal(one.normalized, two.normalized);
  }
}

static void sslmode_by_distance(void **state) {
  (void)state;
  assert_string_equal(parsed("postgresql://u:p@localhost/d").sslmode, "prefer");
  assert_string_equal(parsed("postgresql://u:p@127.0.0.9/d").sslmode, "prefer");
  assert_string_equal(parsed("postgresql://u:p@[::1]/d").sslmode, "prefer");
  assert_string_equal(parsed("postgresql://u:p@localhost.example/d").sslmode, "require");
  assert_string_equal(parsed("postgresql://u:p@10.0.0.1/d").sslmode, "require");
  assert_string_equal(parsed("postgresql://u:p@10.0.0.1/d?sslmode=disable").sslmode, "disable");
}

static void refused_parameters_are_named(void **state) {
  (void)state;
  static const char *const names[] = {"passfile",
                                      "service",
                                      "sslkey",
                                      "sslcert",
                                      "sslrootcert",
                                      "sslcrl",
                                      "sslcrldir",
                                      "sslpassword",
                                      "sslcertmode",
                                      "hostaddr",
                                      "requirepeer",
                                      "require_auth",
                                      "krbsrvname",
                                      "gsslib",
                                      "gssdelegation",
                                      "replication",
                                      "load_balance_hosts",
                                      "sslcompression",
                                      "fallback_application_name",
                                      "ssl_min_protocol_version",
                                      "sslsni"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char text[256];
    snprintf(text, sizeof text, "host=h user=u password=" SECRET " %s=/etc/passwd", names[i]);
    assert_refused(text, names[i]);
    snprintf(text, sizeof text, "postgresql://u:" SECRET "@h/d?%s=%%2Fetc%%2Fpasswd", names[i]);
    assert_refused(text, names[i]);
  }
}

static void every_fault_is_told_at_once(void **state) {
  (void)state;
  assert_refused("host=h user=u password=" SECRET " passfile=/x sslmode=maybe port=70000", "3 fields");
}

static void refused_values(void **state) {
  (void)state;
  static const struct {
    const char *text, *part;
  } rows[] = {
      {"", "empty"},
      {NULL, "empty"},
      {"user=u password=" SECRET, "no host"},
      {"host=h password=" SECRET, "no user"},
      {"postgresql://u:" SECRET "@/d", "no host"},
      {"host=a,b user=u password=" SECRET, "several hosts"},
      {"postgresql://u:" SECRET "@a:1,b:2/d", "port"},
      {"host=h port=5432,5433 user=u password=" SECRET, "one port"},
      {"host=h port=0 user=u password=" SECRET, "one port"},
      {"host=h port=99999 user=u password=" SECRET, "one port"},
      {"host=h port=-1 user=u password=" SECRET, "one port"},
      {"host=/var/run/postgresql user=u password=" SECRET, "AUTODB_CONNECTION_ALLOW_UNIX"},
      {"host=@abstract user=u password=" SECRET, "AUTODB_CONNECTION_ALLOW_UNIX"},
      {"postgresql://u:" SECRET "@%2Fvar%2Frun/d", "AUTODB_CONNECTION_ALLOW_UNIX"},
      {"host=h user=u gssencmode=prefer password=" SECRET, "gssencmode must be disable"},
      {"host=h user=u sslmode=verify-ca password=" SECRET, "verify-full"},
      {"host=h user=u options='-c search_path=a -c statement_timeout=0' password=" SECRET, "options must be"},
      {"host=h user=u options='-c log_statement=all' password=" SECRET, "options must be"},
      {"host=h user=u options='endpoint=' password=" SECRET, "options must be"},
      {"host=h user=u tcp_user_timeout=x password=" SECRET, "tcp_user_timeout must be"},
      {"host=h user=u nonsense=1 password=" SECRET, "does not know"},
      {"postgresql://u:" SECRET "@h/d?nonsense=1", "does not know"},
      {"postgresql://u:" SECRET "%zz@h/d", "malformed"},
      {"postgresql://u:" SECRET "%00x@h/d", "malformed"},
      {"postgresql://u:" SECRET "%0a@h/d", "control"},
      {"postgresql://u:" SECRET "@[::1/d", "malformed"},
      {"host=h user=u password='" SECRET, "malformed"},
      {"host=h user=u password=a " SECRET, "malformed"},
      {SECRET, "malformed"},
      {"mysql://u:" SECRET "@h/d", "malformed"},
      {"host=h user=u password=" SECRET "\n", "control"},
      {"host=h user=\xc3\xa9 password=" SECRET, "not ASCII"},
      {"host=h%25eth0 user=u password=" SECRET, "neither a name"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i].text, rows[i].part);
}

static void a_huge_string_is_refused(void **state) {
  (void)state;
  char *text = calloc(1, 100000);
  memset(text, 'x', 99999);
  memcpy(text, "host=", 5);
  assert_refused(text, "4096");
  free(text);
}

static void unix_sockets_when_allowed(void **state) {
  (void)state;
  struct clientdb_target target, again;
  ERROR_AUTO err = {0};
  assert_int_equal(clientdb_parse("host=/tmp/s user=u dbname=d", true, arena, &target, &err), OK);
  assert_string_equal(target.host, "/tmp/s");
  assert_string_equal(target.sslmode, "prefer");
  assert_int_equal(clientdb_parse(target.normalized, true, arena, &again, &err), OK);
  assert_string_equal(again.host, "/tmp/s");
}

/* --- what libpq is told --- */

static const char *told(const char *text, const char *hostaddr, const char *name) {
  static const char *keys[CONNINFO_PARAMS + 1], *values[CONNINFO_PARAMS + 1];
  struct conninfo info;
  ERROR_AUTO err = {0};
  if (conninfo_parse(text, false, arena, &info, &err)) fail_msg("%s", err.message);
  conninfo_params(&info, hostaddr, keys, values);
  for (int i = 0; keys[i]; i++)
    if (strcmp(keys[i], name) == 0) return values[i];
  return NULL;
}

static void every_parameter_of_libpq_is_known(void **state) {
  (void)state;
  PQconninfoOption *options = PQconndefaults();
  assert_non_null(options);
  for (const PQconninfoOption *option = options; option->keyword; option++)
    if (!conninfo_knows(option->keyword)) fail_msg("conninfo.c has no row for %s", option->keyword);
  PQconninfoFree(options);
}

/* Whatever PG* holds, what reaches libpq has a value of ours. The exceptions can't harm: see conninfo.c. */
static void nothing_comes_from_the_environment(void **state) {
  (void)state;
  static const char *const open[] = {"service",     "servicefile",     "requirepeer",   "gsslib",
                                     "sslpassword", "connect_timeout", "sslkeylogfile", NULL};
  setenv("PGOPTIONS", "-c log_statement=all", 1);
  PQconninfoOption *options = PQconndefaults();
  for (const PQconninfoOption *option = options; option->keyword; option++) {
    bool exempt = false;
    for (int i = 0; open[i]; i++) exempt |= strcmp(open[i], option->keyword) == 0;
    const char *value = told("host=h user=u", "192.0.2.1", option->keyword);
    if (!exempt && (!value || !*value)) fail_msg("%s is left to libpq", option->keyword);
  }
  PQconninfoFree(options);
  unsetenv("PGOPTIONS");
  assert_null(told("host=h user=u", "192.0.2.1", "options"));
}

static void overridden_and_fixed_values(void **state) {
  (void)state;
  const char *text = "host=h user=u password=p application_name=evil client_encoding=SJIS sslmode=verify-full connect_timeout=900";
  assert_string_equal(told(text, "192.0.2.1", "application_name"), "autodb");
  assert_string_equal(told(text, "192.0.2.1", "client_encoding"), "UTF8");
  assert_string_equal(told(text, "192.0.2.1", "hostaddr"), "192.0.2.1");
  assert_string_equal(told(text, "192.0.2.1", "sslrootcert"), "system");
  assert_string_equal(told(text, "192.0.2.1", "password"), "p");
  assert_string_equal(told(text, "192.0.2.1", "gssencmode"), "disable");
  assert_null(told(text, "192.0.2.1", "connect_timeout"));
  assert_string_equal(told("host=h user=u", "192.0.2.1", "require_auth"), "none");
  assert_string_not_equal(told("host=h user=u", "192.0.2.1", "sslrootcert"), "system");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(uri_form),
      cmocka_unit_test(key_value_quoting),
      cmocka_unit_test(normalized_parses_to_the_same),
      cmocka_unit_test(sslmode_by_distance),
      cmocka_unit_test(refused_parameters_are_named),
      cmocka_unit_test(every_fault_is_told_at_once),
      cmocka_unit_test(refused_values),
      cmocka_unit_test(a_huge_string_is_refused),
      cmocka_unit_test(unix_sockets_when_allowed),
      cmocka_unit_test(every_parameter_of_libpq_is_known),
      cmocka_unit_test(nothing_comes_from_the_environment),
      cmocka_unit_test(overridden_and_fixed_values),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
