/* faults.c - what can be broken; a row each. To add a fault: its functions and a row. A fault that leaves something broken mends it in
 * `heal`.
 *
 * A disk that is full: Redis says -OOM when maxmemory is reached without eviction, and -MISCONF when it can't save; both are made here, by
 * CONFIG SET and by a directory that can't be written to, since no file system can be mounted without privileges everywhere. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/job.h"
#include "tests/chaos/chaos.h"
#include "tests/support/jobs.h"

/* --- processes --- */

static struct harness_proc *any_worker(struct chaos *chaos) { return chaos->workers[rng_below(&chaos->rng, CHAOS_USUAL)]; }

static bool is_slot_of(pid_t pid, pid_t parent) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "re");
  if (!file) return false;
  int owner = 0;
  bool ours =
      fgets(text, sizeof text, file) && strrchr(text, ')') && sscanf(strrchr(text, ')') + 2, "%*c %d", &owner) == 1 && owner == parent;
  fclose(file);
  if (!ours) return false;
  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  file = fopen(path, "re");
  size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file) fclose(file);
  for (size_t i = 0; i < got; i++)
    if (!text[i]) text[i] = ' ';
  text[got] = '\0';
  return strstr(text, "--slot") != NULL;
}

/* Sends the signal to slots of that worker, to one of them or to all; the number it reached. */
static int signal_slots(struct chaos *chaos, const struct harness_proc *worker, int sig, bool all) {
  pid_t slots[64];
  int count = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *entry; worker->pid > 0 && count < 64 && proc && (entry = readdir(proc));) {
    pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
    if (pid && is_slot_of(pid, worker->pid)) slots[count++] = pid;
  }
  if (proc) closedir(proc);
  if (!count) return 0;
  int one = rng_below(&chaos->rng, count);
  for (int i = 0; i < count; i++)
    if (all || i == one) kill(slots[i], sig);
  return all ? count : 1;
}

static void start_worker(struct chaos *chaos, int which) {
  struct harness_proc *worker = chaos->workers[which];
  if (!harness_alive(worker)) harness_restart(chaos->h, worker);
}

static void workers_again(struct chaos *chaos) {
  for (int i = 0; i < CHAOS_USUAL; i++) start_worker(chaos, i);
}

static void kill_worker(struct chaos *chaos) { harness_kill(any_worker(chaos)); }

static void kill_all_workers(struct chaos *chaos) {
  for (int i = 0; i < CHAOS_USUAL; i++) harness_kill(chaos->workers[i]);
}

static void kill_slot(struct chaos *chaos) { signal_slots(chaos, any_worker(chaos), SIGKILL, false); }

static void freeze_slot(struct chaos *chaos) { signal_slots(chaos, any_worker(chaos), SIGSTOP, false); }

static void thaw(struct chaos *chaos) {
  for (int i = 0; i < CHAOS_USUAL; i++) {
    signal_slots(chaos, chaos->workers[i], SIGCONT, true);
    harness_signal(chaos->workers[i], SIGCONT);
  }
}

/* Its slots go on and answer; when it wakes up it holds results of attempts that are no longer its own. */
static void freeze_worker(struct chaos *chaos) { harness_signal(any_worker(chaos), SIGSTOP); }

static void freeze_worker_and_slots(struct chaos *chaos) {
  struct harness_proc *worker = any_worker(chaos);
  harness_signal(worker, SIGSTOP);
  signal_slots(chaos, worker, SIGSTOP, true);
}

/* 2 → 1 → 4 → 1 → 2, in order: SIGTERM lets jobs end, or gives them back. */
static void scale_up(struct chaos *chaos) {
  harness_stop(chaos->workers[1]);
  for (int i = 1; i < CHAOS_WORKERS; i++) start_worker(chaos, i);
}

static void scale_down(struct chaos *chaos) {
  for (int i = 1; i < CHAOS_WORKERS; i++) harness_stop(chaos->workers[i]);
  workers_again(chaos);
}

static void restart_worker_rudely(struct chaos *chaos) { /* the second SIGTERM gives running jobs back at once */
  struct harness_proc *worker = any_worker(chaos);
  harness_signal(worker, SIGTERM);
  usleep(50000);
  harness_stop(worker);
}

/* Commits go through, answers do not come back; then it dies. */
static void kill_api_after_commit(struct chaos *chaos) {
  proxies_hold(chaos->network, API_TO_POSTGRES, true);
  usleep(150000 + (useconds_t)rng_below(&chaos->rng, 200) * 1000);
  harness_kill(chaos->api);
  proxies_hold(chaos->network, API_TO_POSTGRES, false);
}

static void api_again(struct chaos *chaos) { harness_restart(chaos->h, chaos->api); }

/* --- Redis --- */

static void flushall(struct chaos *chaos) { jobs_redis(chaos->h, "FLUSHALL"); }

static void destroy_groups(struct chaos *chaos) {
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    char key[JOB_KEY_MAX];
    job_stream_key("autodb", stream, key);
    jobs_redis(chaos->h, "XGROUP DESTROY %s " JOB_GROUP, key);
  }
}

static void delete_streams(struct chaos *chaos) {
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    char key[JOB_KEY_MAX];
    job_stream_key("autodb", stream, key);
    jobs_redis(chaos->h, "DEL %s", key);
  }
}

static void kill_redis(struct chaos *chaos) { harness_kill(chaos->redis); }
static void redis_again(struct chaos *chaos) { harness_restart(chaos->h, chaos->redis); }
static void freeze_redis(struct chaos *chaos) { harness_signal(chaos->redis, SIGSTOP); }
static void thaw_redis(struct chaos *chaos) { harness_signal(chaos->redis, SIGCONT); }
static void fill_redis(struct chaos *chaos) { jobs_redis(chaos->h, "CONFIG SET maxmemory 1"); }
static void empty_redis(struct chaos *chaos) { jobs_redis(chaos->h, "CONFIG SET maxmemory 0"); }

static void no_disk(struct chaos *chaos) {
  chmod(chaos->redis_dir, 0500);
  jobs_redis(chaos->h, "CONFIG SET save %s", "1 1"); /* after a second with a write, and that save fails */
}
static void disk_again(struct chaos *chaos) {
  chmod(chaos->redis_dir, 0700);
  jobs_redis(chaos->h, "CONFIG SET save %s", "");
}

/* --- Postgres --- */

static void down_postgres(struct chaos *chaos, int sig) {
  harness_signal(chaos->pg->proc, sig);
  harness_exit_status(chaos->pg->proc, 20000);
}

static void stop_postgres_fast(struct chaos *chaos) { down_postgres(chaos, SIGINT); }
static void stop_postgres_immediately(struct chaos *chaos) { down_postgres(chaos, SIGQUIT); }
static void postgres_again(struct chaos *chaos) { harness_restart(chaos->h, chaos->pg->proc); }

static void terminate_backends(struct chaos *chaos) {
  harness_sql(chaos->h->database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'autodb %'");
}

/* --- network --- */

static void slow_network(struct chaos *chaos) { proxies_delay(chaos->network, 20 + rng_below(&chaos->rng, 180)); }
static void fast_network(struct chaos *chaos) { proxies_delay(chaos->network, 0); }
static void cut_network(struct chaos *chaos) { proxies_cut(chaos->network); }

/* Finishes and claims are done and nobody hears of it; then every connection breaks. */
static void hold_answers(struct chaos *chaos) { proxies_hold(chaos->network, WORKERS_TO_POSTGRES, true); }
static void cut_answers(struct chaos *chaos) {
  proxies_cut(chaos->network);
  usleep(20000);
  proxies_hold(chaos->network, WORKERS_TO_POSTGRES, false);
}

/* --- wall clocks --- */

static void set_clock(struct chaos *chaos, enum clock_of clock, int minutes) {
  char fresh[HARNESS_PATH + 48];
  snprintf(fresh, sizeof fresh, "%s.new", chaos->clocks[clock]);
  FILE *file = fopen(fresh, "we");
  if (!file) fail_msg("%s can't be written", fresh);
  fprintf(file, "%+dm\n", minutes);
  fclose(file);
  if (rename(fresh, chaos->clocks[clock]) != 0) fail_msg("%s can't be replaced", chaos->clocks[clock]);
}

static void our_clock_ahead(struct chaos *chaos) { set_clock(chaos, CLOCK_OURS, 10); }
static void our_clock_behind(struct chaos *chaos) { set_clock(chaos, CLOCK_OURS, -10); }
static void our_clock_right(struct chaos *chaos) { set_clock(chaos, CLOCK_OURS, 0); }

/* What the bell knows of time are the ids of stream entries. An entry from the future makes all that follow be from there; one from the
 * past stays the oldest until it is read. Its job is nobody's. */
static void ring_at(struct chaos *chaos, int minutes) {
  long long ms = ((long long)time(NULL) + minutes * 60LL) * 1000;
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    char key[JOB_KEY_MAX];
    job_stream_key("autodb", stream, key);
    if (minutes < 0) jobs_redis(chaos->h, "DEL %s", key);
    jobs_redis(chaos->h, "XADD %s %lld-0 " JOB_FIELD " 00000000-0000-7000-8000-000000000000", key, ms);
  }
}
static void redis_clock_ahead(struct chaos *chaos) { ring_at(chaos, 10); }
static void redis_clock_behind(struct chaos *chaos) { ring_at(chaos, -10); }

/* Every lease is over at once. It stays there: its clock is the one that jobs wait by, so going back would be ten minutes of waiting. */
static void postgres_clock_ahead(struct chaos *chaos) { set_clock(chaos, CLOCK_POSTGRES, chaos->postgres_ahead_min += 10); }

/* --- the table --- */

#define ZOMBIE_MS (2 * CHAOS_LEASE_S * 1000 + 500), (4 * CHAOS_LEASE_S * 1000)

const struct fault chaos_faults[] = {
    /* name                   what it breaks               from, to ms  clocks begin                      again               heal */
    {"kill-worker", ON_WORKERS, 100, 1500, false, kill_worker, NULL, workers_again},
    {"kill-all-workers", ON_WORKERS, 100, 800, false, kill_all_workers, NULL, workers_again},
    {"kill-slot", ON_WORKERS, 50, 600, false, kill_slot, kill_slot, NULL},
    {"freeze-worker", ON_WORKERS, ZOMBIE_MS, false, freeze_worker, NULL, thaw},
    {"freeze-worker-and-slots", ON_WORKERS, ZOMBIE_MS, false, freeze_worker_and_slots, NULL, thaw},
    {"freeze-slot", ON_WORKERS, ZOMBIE_MS, false, freeze_slot, NULL, thaw},
    {"scale-1-4-1", ON_WORKERS, 800, 2000, false, scale_up, NULL, scale_down},
    {"stop-worker-twice", ON_WORKERS, 50, 500, false, restart_worker_rudely, NULL, workers_again},
    {"kill-api-after-commit", ON_API | ON_NETWORK, 50, 500, false, kill_api_after_commit, NULL, api_again},
    {"flushall", ON_REDIS, 50, 400, false, flushall, flushall, NULL},
    {"xgroup-destroy", ON_REDIS, 50, 400, false, destroy_groups, destroy_groups, NULL},
    {"delete-streams", ON_REDIS, 50, 200, false, delete_streams, NULL, NULL},
    {"kill-redis", ON_REDIS, 100, 2000, false, kill_redis, NULL, redis_again},
    {"freeze-redis", ON_REDIS, 500, 3000, false, freeze_redis, NULL, thaw_redis},
    {"redis-out-of-memory", ON_REDIS, 1000, 3000, false, fill_redis, NULL, empty_redis},
    {"redis-out-of-disk", ON_REDIS, 2500, 4000, false, no_disk, NULL, disk_again},
    {"postgres-restart-fast", ON_POSTGRES, 10, 600, false, stop_postgres_fast, NULL, postgres_again},
    {"postgres-restart-immediate", ON_POSTGRES, 10, 600, false, stop_postgres_immediately, NULL, postgres_again},
    {"terminate-backends", ON_POSTGRES, 300, 1500, false, terminate_backends, terminate_backends, NULL},
    {"slow-network", ON_NETWORK, 1000, 2500, false, slow_network, NULL, fast_network},
    {"cut-network", ON_NETWORK, 200, 1000, false, cut_network, cut_network, NULL},
    {"lost-answers", ON_NETWORK, 100, 800, false, hold_answers, NULL, cut_answers},
    {"clock-ahead", ON_CLOCKS, 1000, 2500, true, our_clock_ahead, NULL, our_clock_right},
    {"clock-behind", ON_CLOCKS, 1000, 2500, true, our_clock_behind, NULL, our_clock_right},
    {"redis-clock-ahead", ON_REDIS, 1000, 2500, false, redis_clock_ahead, NULL, NULL},
    {"redis-clock-behind", ON_REDIS, 1000, 2500, false, redis_clock_behind, NULL, NULL},
    {"postgres-clock-ahead", ON_CLOCKS | ON_POSTGRES, 1000, 1500, true, postgres_clock_ahead, NULL, NULL},
};
const int chaos_fault_count = sizeof chaos_faults / sizeof chaos_faults[0];

/* Below the range that outgoing connections take theirs from: it must still be free after a restart. */
int chaos_free_port(void) {
  for (int tries = 0; tries < 1000; tries++) {
    int port = 10000 + (int)arc4random_uniform(20000), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    if (is_free) return port;
  }
  fail_msg("no free port");
  return 0;
}
