/* `autodb queue status|pause|resume`: how full the queue is, and holding back a kind of job or a lane. */
#include "cli/cli.h"
#include "cli/remote.h"
#include "common/json.h"

static void print_status(const json_t *status) {
  size_t index;
  json_t *item;
  printf("%-12s  %-20s  %9s  %9s  %9s  %s\n", "LANE", "KIND", "QUEUED", "RUNNING", "DELAYED", "OLDEST");
  json_array_foreach(json_object_get(status, "queues"), index, item) {
    printf("%-12s  %-20s  %9lld  %9lld  %9lld  ", json_str(item, "lane", ""), json_str(item, "kind", ""), json_int(item, "queued", 0),
           json_int(item, "running", 0), json_int(item, "delayed", 0));
    const json_t *oldest = json_object_get(item, "oldest_seconds");
    if (json_is_number(oldest))
      printf("%.1f s\n", json_number_value(oldest));
    else
      printf("-\n");
  }
  json_array_foreach(json_object_get(status, "paused"), index, item)
      printf("paused: %s, since %s\n", json_str(item, "name", ""), json_str(item, "paused_at", ""));
}

static int call(const char *method, const char *path, const json_t *body, bool as_json) {
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *status = NULL;
  if (client_new(&client, &err) || client_call(client, method, path, body, NULL, &status, &err)) return remote_failed(&err);
  if (as_json)
    remote_print_json(status);
  else
    print_status(status);
  return CLI_OK;
}

int queue_status(const struct cli_command *self, int argc, char **argv) {
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 1, NULL, 0, &count)) return CLI_USAGE;
  return call("GET", "/api/v1/queue", NULL, as_json);
}

static int change(const struct cli_command *self, int argc, char **argv, const char *path) {
  const char *kind = NULL, *lane = NULL;
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--kind", &kind, NULL, NULL}, {"--lane", &lane, NULL, NULL}, {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 3, NULL, 0, &count)) return CLI_USAGE;
  if (!kind == !lane) return cli_usage(self, "either --kind or --lane is needed");
  JSON_AUTO *body = json_pack("{s:s}", kind ? "kind" : "lane", kind ? kind : lane);
  return body ? call("POST", path, body, as_json) : cli_usage(self, "names are UTF-8");
}

int queue_pause(const struct cli_command *self, int argc, char **argv) { return change(self, argc, argv, "/api/v1/queue/pause"); }
int queue_resume(const struct cli_command *self, int argc, char **argv) { return change(self, argc, argv, "/api/v1/queue/resume"); }
