/* `autodb webhook …`: who is told when jobs end, and how that went. */
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/term.h"
#include "common/id.h"
#include "common/json.h"

#define BASE "/api/v1/webhooks"
#define SHOWN 50

/* --- what the subcommands share --- */

static bool is_id(const char *text) {
  struct id id;
  return id_parse(text, &id);
}

/* One call by a client of its own. */
static enum status ask(const char *method, const char *path, const json_t *body, json_t **ret_data, struct error *err) {
  CLIENT_AUTO *client = NULL;
  enum status status = client_new(&client, err);
  return status ? status : client_call(client, method, path, body, NULL, ret_data, err);
}

static json_t *words(const struct cli_list *list) {
  json_t *array = json_array();
  for (int i = 0; i < list->count; i++) json_append_str(array, list->items[i]);
  return array;
}

static void print_secret(const json_t *data, const char *what) {
  struct term term;
  term_init(&term, stderr);
  printf("%s\n", json_str(data, "secret", ""));
  fflush(stdout);
  term_printf(&term, TERM_PLAIN, "This is the only time that %s is shown.\n", what);
}

/* --- add, rotate, test --- */

int webhook_add(const struct cli_command *self, int argc, char **argv) {
  static const char *const all[] = {"job.succeeded", "job.failed", "job.dead", "job.cancelled"};
  const char *url = NULL, *description = NULL;
  struct cli_list events = {0}, kinds = {0};
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--event", NULL, NULL, &events},
                                       {"--kind", NULL, NULL, &kinds},
                                       {"--description", &description, NULL, NULL},
                                       {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &url, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which URL?");
  for (int i = 0; !events.count && i < 4; i++) events.items[i] = all[i];
  if (!events.count) events.count = 4;
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL, *body = json_pack("{s:s, s:o, s:o, s:s*}", "url", url, "events", words(&events), "kinds", words(&kinds),
                                            "description", description);
  if (!body) return cli_usage(self, "the words are not UTF-8 text");
  if (ask("POST", BASE, body, &data, &err)) return remote_failed(&err);
  if (as_json) return remote_print_json(data), CLI_OK;
  printf("%s\n", json_str(data, "id", ""));
  print_secret(data, "its secret");
  return CLI_OK;
}

int webhook_rotate(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL;
  bool callbacks = false;
  int count = 0;
  char path[128];
  const struct cli_option options[] = {{"--callbacks", NULL, &callbacks, NULL}};
  if (!cli_args(self, argc, argv, options, 1, &id, 1, &count)) return CLI_USAGE;
  if (callbacks ? count != 0 : count != 1 || !is_id(id)) return cli_usage(self, "the id of a webhook is needed, or --callbacks");
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  if (callbacks)
    snprintf(path, sizeof path, BASE "/callback-secret");
  else
    snprintf(path, sizeof path, BASE "/%s/rotate-secret", id);
  if (ask("POST", path, NULL, &data, &err)) return remote_failed(&err);
  print_secret(data, "the new secret");
  return CLI_OK;
}

int webhook_test(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL;
  int count = 0;
  char path[128];
  if (!cli_args(self, argc, argv, NULL, 0, &id, 1, &count)) return CLI_USAGE;
  if (count != 1 || !is_id(id)) return cli_usage(self, "the id of a webhook is needed");
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  snprintf(path, sizeof path, BASE "/%s/test", id);
  if (ask("POST", path, NULL, &data, &err)) return remote_failed(&err);
  printf("%s\n", json_str(data, "id", ""));
  return CLI_OK;
}

/* --- list and deliveries --- */

static void print_hook(const struct term *term, const json_t *hook) {
  const char *circuit = json_str(json_object_get(hook, "circuit"), "state", "closed");
  const char *reason = json_str(hook, "disabled_reason", NULL);
  bool active = json_bool(hook, "active", true);
  term_printf(term, TERM_PLAIN, "%s  ", json_str(hook, "id", ""));
  term_printf(term, active && strcmp(circuit, "closed") == 0 ? TERM_GREEN : TERM_YELLOW, "%-10s", active ? circuit : "disabled");
  term_printf(term, TERM_PLAIN, "%s%s%s%s\n", json_str(hook, "url", ""), reason ? "  (" : "", reason ? reason : "", reason ? ")" : "");
}

static void print_delivery(const struct term *term, const json_t *delivery) {
  const json_t *last = json_object_get(delivery, "last_try");
  const char *state = json_str(delivery, "status", ""), *next = json_str(delivery, "next_try_at", NULL);
  const char *error = json_str(delivery, "error", NULL);
  term_printf(term, TERM_PLAIN, "%s  ", json_str(delivery, "id", ""));
  term_printf(term, strcmp(state, "delivered") == 0 ? TERM_GREEN : TERM_YELLOW, "%-10s", state);
  term_printf(term, TERM_PLAIN, "%-14s  %lld tries", json_str(delivery, "event", ""), json_int(delivery, "tries", 0));
  if (json_int(last, "status", 0)) term_printf(term, TERM_PLAIN, "  %lld", json_int(last, "status", 0));
  if (error) term_printf(term, TERM_PLAIN, "  %s", error);
  if (next) term_printf(term, TERM_DIM, "  next %s", next);
  term_printf(term, TERM_PLAIN, "\n");
}

/* The newest SHOWN of a list. */
static int print_list(const char *path, bool as_json, void (*print)(const struct term *term, const json_t *item)) {
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  struct term term;
  size_t index;
  json_t *item;
  if (ask("GET", path, NULL, &data, &err)) return remote_failed(&err);
  const json_t *items = json_object_get(data, "items");
  if (as_json) return remote_print_json(items), CLI_OK;
  term_init(&term, stdout);
  json_array_foreach(items, index, item) print(&term, item);
  return CLI_OK;
}

int webhook_list(const struct cli_command *self, int argc, char **argv) {
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 1, NULL, 0, &count)) return CLI_USAGE;
  return print_list(BASE "?limit=100", as_json, print_hook); /* an owner has no more */
}

int webhook_deliveries(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL, *again = NULL;
  bool as_json = false;
  int count = 0;
  char path[128];
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}, {"--redeliver", &again, NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 2, &id, 1, &count)) return CLI_USAGE;
  if ((count && !is_id(id)) || (again && !is_id(again))) return cli_usage(self, "that is no id");
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  if (again) {
    snprintf(path, sizeof path, BASE "/deliveries/%s/redeliver", again);
    return ask("POST", path, NULL, &data, &err) ? remote_failed(&err) : CLI_OK;
  }
  if (count)
    snprintf(path, sizeof path, BASE "/%s/deliveries?limit=%d", id, SHOWN);
  else
    snprintf(path, sizeof path, BASE "/deliveries?limit=%d", SHOWN);
  return print_list(path, as_json, print_delivery);
}
