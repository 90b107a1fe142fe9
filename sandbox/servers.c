/* servers.c - finds server programs: Debian's layout, or where AUTODB_PG_BIN_<major> says. */
#include "servers.h"

#include <unistd.h>

#include "sandbox/sandbox.h"

/* "<prefix>/bin" → prefix; false when too long or not a bin directory. */
static bool prefix_of_bin(const char *bin, char prefix[SERVERS_PATH]) {
  size_t len = strlen(bin);
  while (len > 1 && bin[len - 1] == '/') len--;
  if (len < 5 || len - 4 >= SERVERS_PATH || memcmp(bin + len - 4, "/bin", 4) != 0 || bin[0] != '/') return false;
  snprintf(prefix, SERVERS_PATH, "%.*s", (int)(len - 4), bin);
  return true;
}

static bool has_program(const char *prefix, const char *program) {
  char path[SERVERS_PATH + 32];
  snprintf(path, sizeof path, "%s/bin/%s", prefix, program);
  return access(path, X_OK) == 0;
}

static bool find(int major, struct server *server) {
  char name[32];
  snprintf(name, sizeof name, "AUTODB_PG_BIN_%d", major);
  const char *bin = getenv(name);
  server->major = major;
  if (bin && *bin) {
    if (!prefix_of_bin(bin, server->prefix)) return false;
  } else {
    snprintf(server->prefix, sizeof server->prefix, "/usr/lib/postgresql/%d", major);
  }
  return has_program(server->prefix, "postgres") && has_program(server->prefix, "initdb");
}

enum status servers_find(int major, struct server *ret_server, struct error *err) {
  struct server server = {0};
  if (major < SERVERS_OLDEST || !find(major, &server))
    return error_set(
        err, ERR_UNAVAILABLE,
        "no PostgreSQL %d server programs for the sandbox: install the package postgresql-%d, or set AUTODB_PG_BIN_%d to a bin directory "
        "holding postgres and initdb (majors %d and later)",
        major, major, major, SERVERS_OLDEST);
  *ret_server = server;
  return OK;
}

int sandbox_majors(int majors[], int max) {
  int count = 0;
  for (int major = SERVERS_OLDEST; major <= SERVERS_NEWEST && count < max; major++) {
    struct server server;
    if (find(major, &server)) majors[count++] = major;
  }
  return count;
}

int sandbox_pick_major(int client_version_num) {
  int majors[SERVERS_NEWEST - SERVERS_OLDEST + 1];
  int count = sandbox_majors(majors, SERVERS_NEWEST - SERVERS_OLDEST + 1);
  for (int i = 0; i < count; i++)
    if (majors[i] >= client_version_num / 10000) return majors[i];
  return count > 0 ? majors[count - 1] : 0;
}
