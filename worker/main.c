/* autodb-worker: runs jobs. The same program is the supervisor, each of its slots, its sandbox keeper, and its courier of webhooks. */
#include "common/config.h"
#include "common/log.h"
#include "sandbox/sandbox.h"
#include "worker/slot.h"
#include "worker/supervisor.h"
#include "worker/webhook/webhook.h"

static const char usage[] = "[--help | --version]\n\nRuns AutoDB's jobs until SIGTERM.";

/* A lease outlives two heartbeats that fail. */
static void keep_ratio(struct config *cfg) {
  if (cfg->heartbeat_seconds * 3 > cfg->lease_seconds) cfg->heartbeat_seconds = cfg->lease_seconds > 3 ? cfg->lease_seconds / 3 : 1;
}

static int run(const struct config *cfg, int argc, char *argv[]) {
  if (argc == 3 && strcmp(argv[1], "--slot") == 0) return slot_main(cfg, argv[2]);
  if (argc == 3 && strcmp(argv[1], "--sandbox-keeper") == 0) return sandbox_keeper_main(cfg, argv[2]);
  if (argc == 3 && strcmp(argv[1], "--courier") == 0) return webhook_courier_main(cfg, argv[2]);
  if (argc == 1) return supervisor_main(cfg);
  fprintf(stderr, "usage: autodb-worker %s\n", usage);
  return 2;
}

/* What it is called in the log. */
static const char *role(const char *option) {
  static const char *const roles[][2] = {{"--slot", "slot"}, {"--sandbox-keeper", "keeper"}, {"--courier", "courier"}};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (strcmp(option, roles[i][0]) == 0) return roles[i][1];
  return "worker";
}

int main(int argc, char *argv[]) {
  ERROR_AUTO err = {0};
  struct config cfg;
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts("autodb-worker " AUTODB_VERSION) < 0;
  if (argc == 2 && strcmp(argv[1], "--help") == 0) return config_print_help(stdout, "autodb-worker", usage), 0;
  const char *name = role(argc > 1 ? argv[1] : "");
  log_init(name, LOG_INFO);
  if (config_load(&cfg, &err) != OK) {
    log_event(LOG_ERROR, "bad configuration", "error", err.message, NULL);
    return 2;
  }
  log_init(name, log_level_parse(cfg.log_level));
  keep_ratio(&cfg);
  return run(&cfg, argc, argv);
}
