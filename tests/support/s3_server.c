#include "tests/support/s3_server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *s3_server_packages(void) {
  static char folder[HARNESS_PATH];
  FILE *pipe = popen(AUTODB_SOURCE_DIR "/tests/s3/fetch", "r");
  if (!pipe || !fgets(folder, sizeof folder, pipe)) folder[0] = '\0';
  if (!pipe || pclose(pipe) != 0) {
    printf("skipped: %s", folder);
    exit(77);
  }
  folder[strcspn(folder, "\n")] = '\0';
  setenv("AWS_ACCESS_KEY_ID", S3_SERVER_KEY, 1);
  setenv("AWS_SECRET_ACCESS_KEY", S3_SERVER_KEY, 1);
  unsetenv("AWS_SESSION_TOKEN");
  return folder;
}

static bool read_port(const char *folder, int *ret_port) {
  char path[HARNESS_PATH + 64];
  snprintf(path, sizeof path, "%s/port", folder);
  FILE *file = fopen(path, "r");
  bool got = file && fscanf(file, "%d", ret_port) == 1;
  if (file) fclose(file);
  return got;
}

void s3_server_start(struct harness *h, const char *backend, struct s3_server *ret_server) {
  char folder[HARNESS_PATH + 32], modules[HARNESS_PATH + 64], name[32];
  int port = 0;
  snprintf(name, sizeof name, "s3-%s", backend);
  snprintf(folder, sizeof folder, "%s/%s", h->dir, name);
  snprintf(modules, sizeof modules, "NODE_PATH=%s/node_modules", s3_server_packages());
  assert_int_equal(mkdir(folder, 0700), 0);
  const char *const argv[] = {"env",
                              "node",
                              "--openssl-legacy-provider" /* s3rver writes its tokens with DES */,
                              AUTODB_SOURCE_DIR "/tests/s3/serve.js",
                              backend,
                              folder,
                              "lake",
                              "empty",
                              NULL};
  const char *const env[] = {modules, NULL};
  struct harness_proc *proc = harness_spawn(h, name, "/usr/bin/env", argv, env);
  if (!POLL_UNTIL(read_port(folder, &port), 20000)) fail_msg("%s does not start: see %s", name, proc->log);
  *ret_server = (struct s3_server){.h = h};
  snprintf(ret_server->url, sizeof ret_server->url, "http://127.0.0.1:%d", port);
}

struct s3 *s3_server_client(const struct s3_server *server) {
  ERROR_AUTO err = {0};
  struct s3 *s3 = NULL;
  struct s3_options options = {.bucket = "lake", .endpoint = server->url};
  if (s3_new(&options, &s3, &err)) fail_msg("%s", err.message);
  return s3;
}

void s3_server_put(const struct s3_server *server, const char *key, const char *text) {
  ERROR_AUTO err = {0};
  S3_AUTO s3 = s3_server_client(server);
  if (s3_put(s3, key, text, strlen(text), "text/markdown", &err)) fail_msg("%s: %s %s", key, err.code, err.message);
}

json_t *s3_server_control(const struct s3_server *server, const char *what, const char *body) {
  char url[160];
  REPLY_AUTO reply = {0};
  snprintf(url, sizeof url, "%s/-/%s", server->url, what);
  harness_http(server->h, body ? "POST" : "GET", url, NULL, body, &reply);
  if (reply.status != 200) fail_msg("%s: %ld %s", what, reply.status, reply.body);
  return json_incref(reply.json);
}

void s3_server_order(const struct s3_server *server, const char *faults) { json_decref(s3_server_control(server, "faults", faults)); }

long long s3_server_count(const struct s3_server *server, const char *verb) {
  json_t *stats = s3_server_control(server, "stats", NULL);
  const json_t *refused = json_object_get(stats, "refused");
  if (json_array_size(refused)) fail_msg("%s", json_string_value(json_array_get(refused, 0)));
  long long count = json_integer_value(json_object_get(stats, verb));
  json_decref(stats);
  return count;
}
