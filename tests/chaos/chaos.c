/* chaos.c - one run; see chaos.h. Prints what it broke and when, so that a seed that fails can be read. */
#include "tests/chaos/chaos.h"

#include <curl/curl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBFAKETIME "/usr/lib/%s/faketime/libfaketime.so.1"
#define SHORT_MS 22000
#define LONG_MS (3600 * 1000)
#define AGAIN_MS 100
#define QUIET_MS 60000
#define OWNERS 3
#define CLIENTS 6
#define MOST_AT_ONCE 4

static struct options {
  uint64_t seed;
  int for_ms;
  const char *fault; /* only this one, again and again */
} options = {.for_ms = SHORT_MS};

/* --- start --- */

static bool find_libfaketime(char out[HARNESS_PATH]) {
  static const char *const machines[] = {"x86_64-linux-gnu", "aarch64-linux-gnu"};
  for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
    snprintf(out, HARNESS_PATH, LIBFAKETIME, machines[i]);
    if (access(out, R_OK) == 0) return true;
  }
  return false;
}

/* Whatever is started until clock_off reads its wall clock from that file; timeouts go by the monotonic one, which stays true. */
static void clock_on(struct chaos *chaos, const char *library, enum clock_of clock) {
  static const char *const names[] = {"ours", "postgres"};
  snprintf(chaos->clocks[clock], sizeof chaos->clocks[clock], "%s/clock-%s", chaos->h->dir, names[clock]);
  FILE *file = fopen(chaos->clocks[clock], "we");
  if (!file) fail_msg("%s can't be written", chaos->clocks[clock]);
  fprintf(file, "+0m\n");
  fclose(file);
  setenv("LD_PRELOAD", library, 1);
  setenv("FAKETIME_TIMESTAMP_FILE", chaos->clocks[clock], 1);
  setenv("FAKETIME_CACHE_DURATION", "1", 1);
  setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
  setenv("DONT_FAKE_MONOTONIC", "1", 1);
}

static void clock_off(void) {
  unsetenv("LD_PRELOAD");
  unsetenv("FAKETIME_TIMESTAMP_FILE");
}

/* Redis saves into a directory of its own, which a fault takes the right to write from. */
static void own_directory(struct chaos *chaos) {
  snprintf(chaos->redis_dir, sizeof chaos->redis_dir, "%s/redis", chaos->h->dir);
  if (mkdir(chaos->redis_dir, 0700) != 0) fail_msg("%s can't be made", chaos->redis_dir);
  harness_kill(chaos->redis);
  char **word = chaos->redis->argv;
  while (*word && strcmp(*word, "--dir") != 0) word++;
  assert_non_null(*word);
  free(word[1]);
  word[1] = strdup(chaos->redis_dir);
  harness_restart(chaos->h, chaos->redis);
}

static void start_servers(struct chaos *chaos, const char *library) {
  if (library) clock_on(chaos, library, CLOCK_POSTGRES);
  chaos->pg = harness_postgres(chaos->h, 17);
  clock_off();
  chaos->redis = harness_valkey(chaos->h); /* its allocator and libfaketime don't go together: see faults.c */
  own_directory(chaos);
  harness_schema_up(chaos->h);
  verdict_prepare(chaos);
}

static void start_api(struct chaos *chaos, const char *const env[]) {
  char port[32], metrics[64];
  const char *more[16] = {port, metrics};
  snprintf(port, sizeof port, "AUTODB_PORT=%d", chaos_free_port()); /* the same ones after a restart */
  snprintf(metrics, sizeof metrics, "AUTODB_METRICS_LISTEN=127.0.0.1:%d", chaos_free_port());
  for (int i = 0; env[i]; i++) more[i + 2] = env[i];
  chaos->api = harness_api(chaos->h, more);
}

static void start_workers(struct chaos *chaos, const char *const env[]) {
  for (int i = 0; i < CHAOS_WORKERS; i++) {
    char listen[64];
    const char *more[16] = {listen, "AUTODB_SLOTS=4"};
    snprintf(listen, sizeof listen, "AUTODB_METRICS_LISTEN=127.0.0.1:%d", chaos->worker_metrics_ports[i] = chaos_free_port());
    for (int j = 0; env[j]; j++) more[j + 2] = env[j];
    chaos->workers[i] = harness_worker(chaos->h, more);
    chaos->workers[i]->ready = NULL; /* from now on they may start while what they need is away */
    if (i >= CHAOS_USUAL) harness_stop(chaos->workers[i]);
  }
}

/* The two programs see their servers through the proxies, the test sees them directly. */
static void urls(struct chaos *chaos, enum proxy_name postgres, enum proxy_name redis, char database[HARNESS_URL], char bell[HARNESS_URL]) {
  snprintf(database, HARNESS_URL, "AUTODB_DATABASE_URL=postgresql://postgres:" HARNESS_PASSWORD "@127.0.0.1:%d/autodb",
           proxies_port(chaos->network, postgres));
  snprintf(bell, HARNESS_URL, "AUTODB_REDIS_URL=redis://:" HARNESS_PASSWORD "@127.0.0.1:%d/0", proxies_port(chaos->network, redis));
}

static void start_network(struct chaos *chaos) {
  int redis_port = 0;
  if (sscanf(chaos->h->redis_url, "redis://:" HARNESS_PASSWORD "@127.0.0.1:%d", &redis_port) != 1) fail_msg("%s", chaos->h->redis_url);
  chaos->network = proxies_new((const int[PROXY_COUNT]){chaos->pg->port, redis_port, chaos->pg->port, redis_port});
}

static void start_programs(struct chaos *chaos, const char *library) {
  char database[HARNESS_URL], bell[HARNESS_URL];
  const char *env[] = {database,
                       bell,
                       "AUTODB_ENABLE_FAULTS=1",
                       "AUTODB_LEASE_SECONDS=2",
                       "AUTODB_HEARTBEAT_SECONDS=1",
                       "AUTODB_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8",
                       NULL};
  if (library) clock_on(chaos, library, CLOCK_OURS);
  urls(chaos, API_TO_POSTGRES, API_TO_REDIS, database, bell);
  start_api(chaos, env);
  urls(chaos, WORKERS_TO_POSTGRES, WORKERS_TO_REDIS, database, bell);
  start_workers(chaos, env);
  clock_off();
}

static void start_load(struct chaos *chaos) {
  static char keys[OWNERS][64];
  static const char *key_list[OWNERS];
  for (int i = 0; i < OWNERS; i++) {
    char owner[16];
    snprintf(owner, sizeof owner, "owner-%d", i);
    harness_key(chaos->h, owner, "user", keys[i]);
    key_list[i] = keys[i];
  }
  chaos->receiver = receiver_new();
  chaos->load = load_start(&(struct load_plan){.api_url = chaos->h->api_url,
                                               .callback_url = receiver_url(chaos->receiver),
                                               .keys = key_list,
                                               .owners = OWNERS,
                                               .clients = CLIENTS,
                                               .seed = options.seed});
}

/* --- breaking things --- */

struct running {
  const struct fault *fault;
  int64_t heal_ms, again_ms;
};

struct plan {
  struct running running[MOST_AT_ONCE];
  unsigned broken; /* what is broken now: ON_* */
  int order[64], at;
  int64_t next_ms, began_ms;
  int begun;
};

static bool possible(const struct chaos *chaos, const struct fault *fault) {
  if (options.fault && strcmp(options.fault, fault->name) != 0) return false;
  return !fault->needs_clocks || chaos->clocks[CLOCK_OURS][0];
}

static void shuffle(struct chaos *chaos, struct plan *plan) {
  for (int i = 0; i < chaos_fault_count; i++) plan->order[i] = i;
  for (int i = chaos_fault_count - 1; i > 0; i--) {
    int other = rng_below(&chaos->rng, i + 1), kept = plan->order[i];
    plan->order[i] = plan->order[other];
    plan->order[other] = kept;
  }
  plan->at = 0;
}

static void begin(struct chaos *chaos, struct plan *plan, struct running *running, const struct fault *fault) {
  int64_t now = harness_now_ms();
  int for_ms = fault->least_ms + rng_below(&chaos->rng, fault->most_ms - fault->least_ms + 1);
  printf("  %6.1f s  %s for %d ms\n", (double)(now - plan->began_ms) / 1000, fault->name, for_ms);
  fflush(stdout);
  *running = (struct running){fault, now + for_ms, now + AGAIN_MS};
  plan->broken |= fault->on;
  plan->begun++;
  fault->begin(chaos);
}

static void heal(struct chaos *chaos, struct plan *plan, struct running *running) {
  if (running->fault->heal) running->fault->heal(chaos);
  plan->broken &= ~running->fault->on;
  running->fault = NULL;
}

/* A start of the API waits until it serves, which it can't while what it needs is broken. */
static bool may_heal(const struct plan *plan, const struct running *running) {
  return !(running->fault->on & ON_API) || !(plan->broken & (ON_POSTGRES | ON_REDIS));
}

static void tend(struct chaos *chaos, struct plan *plan) {
  int64_t now = harness_now_ms();
  for (int i = 0; i < MOST_AT_ONCE; i++) {
    struct running *running = &plan->running[i];
    if (running->fault && now >= running->heal_ms && may_heal(plan, running)) heal(chaos, plan, running);
    if (!running->fault || !running->fault->again || now < running->again_ms) continue;
    running->again_ms = now + AGAIN_MS;
    running->fault->again(chaos);
  }
}

/* The next in order that breaks nothing broken already; those it passes come first the next time. */
static const struct fault *choose(const struct chaos *chaos, struct plan *plan) {
  for (int i = plan->at; i < chaos_fault_count; i++) {
    int chosen = plan->order[i];
    const struct fault *fault = &chaos_faults[chosen];
    if (possible(chaos, fault) && plan->broken & fault->on) continue;
    memmove(&plan->order[plan->at + 1], &plan->order[plan->at], (size_t)(i - plan->at) * sizeof plan->order[0]);
    plan->order[plan->at++] = chosen;
    return possible(chaos, fault) ? fault : NULL;
  }
  return NULL;
}

static void begin_next(struct chaos *chaos, struct plan *plan) {
  struct running *free = NULL;
  for (int i = 0; i < MOST_AT_ONCE; i++)
    if (!plan->running[i].fault) free = &plan->running[i];
  if (!free || harness_now_ms() < plan->next_ms) return;
  const struct fault *fault = choose(chaos, plan);
  if (plan->at == chaos_fault_count) shuffle(chaos, plan);
  if (!fault) return;
  plan->next_ms = harness_now_ms() + 100 + rng_below(&chaos->rng, 500);
  begin(chaos, plan, free, fault);
}

static void break_things(struct chaos *chaos, int for_ms) {
  struct plan plan = {.began_ms = harness_now_ms()};
  int64_t end = plan.began_ms + for_ms;
  shuffle(chaos, &plan);
  while (harness_now_ms() < end) {
    begin_next(chaos, &plan);
    tend(chaos, &plan);
    usleep(10000);
  }
  for (bool left = true; left;) { /* heal all; what starts programs comes after what they need */
    left = false;
    for (int i = 0; i < MOST_AT_ONCE; i++)
      if (plan.running[i].fault) plan.running[i].heal_ms = 0, left = true;
    tend(chaos, &plan);
  }
  assert_true(plan.begun > 0);
}

/* --- the run --- */

static void nothing_is_lost_and_nothing_happens_twice(void **state) {
  struct chaos *chaos = *state;
  start_load(chaos);
  printf("chaos: seed %llu\n", (unsigned long long)options.seed);
  break_things(chaos, options.for_ms);
  load_stop(chaos->load, 30000);
  int broken = !verdict_quiet(chaos, QUIET_MS);
  broken += verdict_check(chaos);
  broken += verdict_counters(chaos);
  if (broken) fail_msg("seed %llu: %d rules are broken", (unsigned long long)options.seed, broken);
}

static int setup(void **state) {
  static struct chaos chaos;
  char library[HARNESS_PATH];
  bool clocks = find_libfaketime(library);
  if (!clocks) printf("chaos: libfaketime is not installed: no clock jumps\n");
  curl_global_init(CURL_GLOBAL_DEFAULT);
  chaos.rng.state = options.seed;
  chaos.h = harness_new();
  *state = &chaos;
  start_servers(&chaos, clocks ? library : NULL);
  start_network(&chaos);
  start_programs(&chaos, clocks ? library : NULL);
  return 0;
}

static int teardown(void **state) {
  struct chaos *chaos = *state;
  harness_end(chaos->h);
  load_free(chaos->load);
  receiver_free(chaos->receiver);
  proxies_free(chaos->network);
  return 0;
}

static int usage(void) {
  fprintf(stderr, "usage: tests/chaos/run [--long] [--seconds N] [--seed N] [--fault NAME]\nfaults:\n");
  for (int i = 0; i < chaos_fault_count; i++) fprintf(stderr, "  %s\n", chaos_faults[i].name);
  return 2;
}

static bool known_fault(const char *name) {
  for (int i = 0; i < chaos_fault_count; i++)
    if (strcmp(chaos_faults[i].name, name) == 0) return true;
  return false;
}

int main(int argc, char **argv) {
  static const struct option longs[] = {{"long", no_argument, NULL, 'l'},
                                        {"seconds", required_argument, NULL, 'n'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"fault", required_argument, NULL, 'f'},
                                        {0}};
  options.seed = (uint64_t)time(NULL);
  for (int opt; (opt = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
    if (opt == 'l')
      options.for_ms = LONG_MS;
    else if (opt == 'n' && strtol(optarg, NULL, 10) > 0)
      options.for_ms = (int)strtol(optarg, NULL, 10) * 1000;
    else if (opt == 's')
      options.seed = strtoull(optarg, NULL, 10);
    else if (opt == 'f' && known_fault(optarg))
      options.fault = optarg;
    else
      return usage();
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_and_nothing_happens_twice)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
