/* Settings: where a value comes from, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "common/config.h"

extern char **environ;

static char file_path[] = "/tmp/autodb-test-config-XXXXXX", secret_path[sizeof file_path];

/* Each test starts without settings and without a file. */
static int clean(void **state) {
  (void)state;
  char name[64];
  for (char **at = environ; *at;) {
    if (strncmp(*at, "AUTODB_", 7) != 0) {
      at++;
      continue;
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
    unsetenv(name);
    at = environ;
  }
  return setenv("AUTODB_CONF", "", 1);
}

static void write_file(const char *path, const void *bytes, size_t len) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  fclose(file);
}

static void use_file(const char *text) {
  write_file(file_path, text, strlen(text));
  setenv("AUTODB_CONF", file_path, 1);
}

static struct config load(void) {
  ERROR_AUTO err = {0};
  struct config config;
  if (config_load(&config, &err)) fail_msg("%s", err.message);
  return config;
}

/* Loading fails, naming the setting and saying `what`; the message is left for closer looks. */
static const char *refused(const char *setting, const char *what) {
  static char message[sizeof((struct error *)0)->message];
  ERROR_AUTO err = {0};
  struct config config = {.port = -1};
  assert_int_equal(config_load(&config, &err), ERR_VALIDATION);
  assert_int_equal(config.port, -1);
  const json_t *fault = json_array_get(json_object_get(err.details, "fields"), 0);
  assert_string_equal(json_string_value(json_object_get(fault, "path")), setting);
  if (!strstr(err.message, what)) fail_msg("%s", err.message);
  snprintf(message, sizeof message, "%s", err.message);
  return message;
}

static void defaults_fit_the_machine(void **state) {
  (void)state;
  struct config config = load(), other = load();
  assert_int_equal(config.port, 8080);
  assert_string_equal(config.listen_address, "127.0.0.1");
  assert_string_equal(config.metrics_listen, "127.0.0.1:0");
  assert_string_equal(config.redis_prefix, "autodb");
  assert_string_equal(config.database_url, "");
  assert_string_equal(config.log_level, "info");
  assert_in_range(config.slots, 1, 64);
  assert_int_equal(config.api_loops, (config.slots + 1) / 2);
  assert_int_equal(config.sandbox_warm, config.slots);
  assert_int_equal(config.sandbox_memory_mb, 1024);
  assert_false(config.enable_faults);
  assert_false(config.connection_allow_unix);
  char dir[64], pid[32];
  snprintf(dir, sizeof dir, "/dev/shm/autodb-%u", (unsigned)getuid());
  assert_string_equal(config.sandbox_dir, dir);
  snprintf(pid, sizeof pid, "-%d-", (int)getpid());
  assert_non_null(strstr(config.worker_name, pid));
  assert_string_not_equal(config.worker_name, other.worker_name);
}

static void the_environment_wins_over_the_file(void **state) {
  (void)state;
  use_file("# a comment\n\n  AUTODB_PORT = 1234 \r\nAUTODB_SLOTS=3\nAUTODB_LISTEN=::1\nAUTODB_DATABASE_URL=host=/tmp dbname=a#b");
  setenv("AUTODB_PORT", "4321", 1);
  struct config config = load();
  assert_int_equal(config.port, 4321);
  assert_int_equal(config.slots, 3);
  assert_int_equal(config.sandbox_warm, 3);
  assert_string_equal(config.listen_address, "::1");
  assert_string_equal(config.database_url, "host=/tmp dbname=a#b");
}

static void empty_means_unset_or_off(void **state) {
  (void)state;
  setenv("AUTODB_PORT", "", 1);
  setenv("AUTODB_ENABLE_FAULTS", "", 1);
  setenv("AUTODB_LOG_LEVEL", "", 1);
  setenv("AUTODB_WORKER_NAME", "", 1);
  setenv("AUTODB_METRICS_LISTEN", "", 1);
  struct config config = load();
  assert_int_equal(config.port, 8080);
  assert_string_equal(config.log_level, "info");
  assert_int_not_equal(config.worker_name[0], '\0');
  assert_string_equal(config.metrics_listen, "");
}

static void bad_values_are_refused_by_name(void **state) {
  (void)state;
  static const struct {
    const char *name, *value, *what;
  } cases[] = {
      {"AUTODB_PORT", "65536", "is \"65536\", must be a number from 0 to 65535"},
      {"AUTODB_PORT", "-1", "must be a number"},
      {"AUTODB_PORT", "80a", "must be a number"},
      {"AUTODB_PORT", "99999999999999999999999", "must be a number"},
      {"AUTODB_SLOTS", "65", "from 0 to 64"},
      {"AUTODB_SANDBOX_MEMORY_MB", "1", "from 128"},
      {"AUTODB_ENABLE_FAULTS", "yes", "must be 0 or 1"},
      {"AUTODB_LOG_LEVEL", "loud", "must be one of debug|info|warn|error"},
      {"AUTODB_LOG_LEVEL", "debug|info", "must be one of"},
      {"AUTODB_REDIS_PREFIX", "0123456789012345678901234567890123456789", "holds 40 bytes, must hold at most 32"},
      {"AUTODB_MASTER_KEY", "secret:arn:aws:secretsmanager:x", "needs the AWS client"},
      {"AUTODB_MASTER_KEY", "file:/nowhere/at/all", "cannot read /nowhere/at/all: No such file"},
      {"AUTODB_MASTER_KEY", "file:/tmp", "cannot read /tmp: Is a directory"},
      {"AUTODB_CONF", "/nowhere/autodb.conf", "cannot read /nowhere/autodb.conf"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    clean(NULL);
    setenv(cases[i].name, cases[i].value, 1);
    refused(cases[i].name, cases[i].what);
  }
}

static void all_faults_are_told_at_once(void **state) {
  (void)state;
  setenv("AUTODB_SLOTS", "many", 1);
  setenv("AUTODB_ENABLE_FAULTS", "maybe", 1);
  refused("AUTODB_SLOTS", "2 fields are wrong");
}

static void a_lease_outlives_its_heartbeats(void **state) {
  (void)state;
  setenv("AUTODB_LEASE_SECONDS", "12", 1);
  refused("AUTODB_HEARTBEAT_SECONDS", "is 10, must be at most half of AUTODB_LEASE_SECONDS, which is 12");
  setenv("AUTODB_HEARTBEAT_SECONDS", "6", 1);
  assert_int_equal(load().heartbeat_seconds, 6);
}

static void a_secret_is_never_shown(void **state) {
  (void)state;
  static char secret[10000];
  memset(secret, 'p', sizeof secret - 1);
  setenv("AUTODB_DATABASE_URL", secret, 1);
  assert_null(strstr(refused("AUTODB_DATABASE_URL", "at most 8192"), "ppp"));
  unsetenv("AUTODB_DATABASE_URL");
  use_file("AUTODB_MASTER_KEY ppp\n");
  assert_null(strstr(refused("AUTODB_CONF", "line 1"), "ppp"));
}

static void a_value_may_be_in_a_file(void **state) {
  (void)state;
  write_file(secret_path, "redis://:pw@h:1\r\n", 17);
  char value[64];
  snprintf(value, sizeof value, "file:%s", secret_path);
  setenv("AUTODB_REDIS_URL", value, 1);
  assert_string_equal(load().redis_url, "redis://:pw@h:1");
  write_file(secret_path, "a\n\n", 3);
  assert_string_equal(load().redis_url, "a\n"); /* one newline is cut, what else is there was meant */
  write_file(secret_path, "a\0b", 3);
  refused("AUTODB_REDIS_URL", "cannot read");
  static char big[300 * 1024];
  memset(big, 'x', sizeof big);
  write_file(secret_path, big, sizeof big);
  refused("AUTODB_REDIS_URL", "too large");
}

static void bad_lines_are_refused(void **state) {
  (void)state;
  use_file("AUTODB_PROT=1\n");
  refused("AUTODB_PROT", "line 1 of the configuration file: there is no such setting");
  use_file("AUTODB_PORT=1\n#\nAUTODB_PORT=2\n");
  refused("AUTODB_PORT", "line 3 of the configuration file sets it a second time");
  use_file("\nnonsense\n");
  refused("AUTODB_CONF", "line 2 must be NAME=value");
  use_file("=5\n");
  refused("", "there is no such setting");
  use_file("AUTODB_PG_BIN_=x\n");
  refused("AUTODB_PG_BIN_", "no such setting");
}

static void what_others_read_is_passed_on(void **state) {
  (void)state;
  use_file("AUTODB_WORKERS=4\nAUTODB_PG_BIN_17=/opt/pg17/bin\nAUTODB_PG_BIN_16=/file\n");
  setenv("AUTODB_PG_BIN_16", "/environment", 1);
  setenv("AUTODB_SOMETHING_ELSE", "left alone", 1);
  load();
  assert_string_equal(getenv("AUTODB_PG_BIN_17"), "/opt/pg17/bin");
  assert_string_equal(getenv("AUTODB_PG_BIN_16"), "/environment");
  assert_string_equal(getenv("AUTODB_WORKERS"), "4");
}

static void loading_many_times_is_fine(void **state) {
  (void)state;
  use_file("AUTODB_PORT=1\n");
  for (int i = 0; i < 200; i++) load();
}

static char *printed(void (*print)(FILE *out)) {
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream(&text, &len);
  print(out);
  fclose(out);
  return text;
}

static void print_help(FILE *out) { config_print_help(out, "autodb-api", "[--help]"); }

static void help_and_markdown_come_from_the_rows(void **state) {
  (void)state;
  char *help = printed(print_help), *markdown = printed(config_print_markdown);
  assert_non_null(strstr(help, "usage: autodb-api [--help]\n"));
  static const char *const names[] = {"AUTODB_PORT", "AUTODB_MASTER_KEY", "AUTODB_LOG_LEVEL", "AUTODB_SANDBOX_WARM",
                                      "AUTODB_WEBHOOK_ALLOW_CIDRS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_non_null(strstr(help, names[i]));
    assert_non_null(strstr(markdown, names[i]));
  }
  assert_non_null(strstr(markdown, "| `AUTODB_PORT` | `8080` | "));
  assert_non_null(strstr(markdown, "debug\\|info"));
  free(help);
  free(markdown);
}

static int setup(void **state) {
  (void)state;
  int fd = mkstemp(file_path);
  if (fd < 0) return -1;
  memcpy(secret_path, "/tmp/autodb-test-config-XXXXXX", sizeof secret_path);
  int other = mkstemp(secret_path);
  close(fd);
  return other < 0 ? -1 : close(other);
}

static int teardown(void **state) {
  (void)state;
  return unlink(file_path) | unlink(secret_path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(defaults_fit_the_machine, clean),    cmocka_unit_test_setup(the_environment_wins_over_the_file, clean),
      cmocka_unit_test_setup(empty_means_unset_or_off, clean),    cmocka_unit_test_setup(bad_values_are_refused_by_name, clean),
      cmocka_unit_test_setup(all_faults_are_told_at_once, clean), cmocka_unit_test_setup(a_lease_outlives_its_heartbeats, clean),
      cmocka_unit_test_setup(a_secret_is_never_shown, clean),     cmocka_unit_test_setup(a_value_may_be_in_a_file, clean),
      cmocka_unit_test_setup(bad_lines_are_refused, clean),       cmocka_unit_test_setup(what_others_read_is_passed_on, clean),
      cmocka_unit_test_setup(loading_many_times_is_fine, clean),  cmocka_unit_test_setup(help_and_markdown_come_from_the_rows, clean),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
