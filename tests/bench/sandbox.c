/* bench/sandbox.c - what the steps of one analysis cost: cold and warm start, clone, seed, trace, dump, destroy. Medians of several rounds.
 *
 *   bench-sandbox [schema.sql] (default: deploy/demo/shop.sql). What is cloned is the dump of the schema that script makes. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "sandbox/sandbox.h"

#define ROUNDS 9
enum step { COLD, WARM, CONNECT, CLONE, SEED, TRACE_BEGIN, TRACE_STATEMENT, TRACE_CONCURRENTLY, DUMP, CLOSE, STEPS };
static const char *const step_names[] = {
    "cold start",           "warm handover",        "connect",           "clone",
    "seed 15 rows a table", "trace: begin",         "trace: ADD COLUMN", "trace: CREATE INDEX CONCURRENTLY",
    "schema dump",          "close (client's side)"};
static double times[STEPS][ROUNDS];
static struct config cfg = {.sandbox_memory_mb = 1024, .sandbox_warm = 2, .slots = 2};

static void fail(const struct error *err) {
  fprintf(stderr, "%s\n", err->message);
  exit(1);
}
#define TRY(call)         \
  do {                    \
    if (call) fail(&err); \
  } while (0)
#define MEASURE(step, call)                                    \
  do {                                                         \
    int64_t t = clock_mono_us();                               \
    call;                                                      \
    times[step][round] = (double)(clock_mono_us() - t) / 1000; \
  } while (0)

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  char *text = calloc(1, 8 << 20);
  if (!file || !text || fread(text, 1, (8 << 20) - 1, file) == 0) {
    fprintf(stderr, "can't read %s\n", path);
    exit(1);
  }
  fclose(file);
  return text;
}

static void run_round(int round, const char *dump, int major, const char *keeper) {
  ERROR_AUTO err = {0};
  ARENA_AUTO arena = arena_new(512 << 20);
  struct sandbox *cold, *sandbox;
  struct sandbox_clone_report clone;
  struct sandbox_seed_report seed;
  struct sandbox_trace *trace;
  struct sandbox_step step;
  const char *sql;
  PGconn *conn;
  MEASURE(COLD, TRY(sandbox_open(&cfg, NULL, major, &cold, &err)));
  sandbox_close(cold);
  usleep(400000); /* let the keeper fill up: a pause, not a synchronisation */
  MEASURE(WARM, TRY(sandbox_open(&cfg, keeper, major, &sandbox, &err)));
  MEASURE(CONNECT, TRY(sandbox_connect_migrator(sandbox, &conn, &err)));
  PQfinish(conn);
  MEASURE(CLONE, TRY(sandbox_clone(sandbox, dump, "UTC", NULL, arena, &clone, &err)));
  MEASURE(SEED, TRY(sandbox_seed(sandbox, 15, NULL, arena, &seed, &err)));
  MEASURE(TRACE_BEGIN, TRY(sandbox_trace_begin(sandbox, arena, &trace, &err)));
  TRY(sandbox_trace_step(trace, "CREATE TABLE bench_table (id int)", true, 10000, &step, &err));
  MEASURE(TRACE_STATEMENT, TRY(sandbox_trace_step(trace, "ALTER TABLE bench_table ADD COLUMN x int", true, 10000, &step, &err)));
  MEASURE(TRACE_CONCURRENTLY,
          TRY(sandbox_trace_step(trace, "CREATE INDEX CONCURRENTLY bench_index ON bench_table(x)", false, 10000, &step, &err)));
  if (!step.ok) fail(&step.error);
  MEASURE(DUMP, TRY(sandbox_dump(sandbox, arena, &sql, &err)));
  sandbox_trace_free(trace);
  MEASURE(CLOSE, sandbox_close(sandbox));
  if (round == 0)
    printf("%s, %d tables (%zu problems), %lld rows (%zu problems)\n", "dump", clone.tables_created, json_array_size(clone.problems),
           (long long)seed.rows_inserted, json_array_size(seed.problems));
  if (round == 0 && getenv("SHOW_PROBLEMS"))
    json_dumpf(clone.problems, stdout, JSON_INDENT(1)), json_dumpf(seed.problems, stdout, JSON_INDENT(1));
}

/* The script's schema as pg_dump writes it. */
static const char *dump_of(const char *path, int major, struct arena *arena) {
  ERROR_AUTO err = {0};
  SANDBOX_AUTO sandbox = NULL;
  struct sandbox_clone_report clone;
  const char *dump;
  char *script = read_file(path);
  TRY(sandbox_open(&cfg, NULL, major, &sandbox, &err));
  TRY(sandbox_clone(sandbox, script, NULL, NULL, arena, &clone, &err));
  TRY(sandbox_dump(sandbox, arena, &dump, &err));
  free(script);
  return dump;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  static char dir[64], keeper[80];
  ARENA_AUTO arena = arena_new(64 << 20);
  int major = sandbox_pick_major(99 * 10000);
  snprintf(dir, sizeof dir, "/dev/shm/autodb-bench-%d", (int)getpid());
  snprintf(keeper, sizeof keeper, "%s.keeper", dir);
  cfg.sandbox_dir = dir;
  const char *dump = dump_of(argc > 1 ? argv[1] : AUTODB_SOURCE_DIR "/deploy/demo/shop.sql", major, arena);
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    _exit(sandbox_keeper_main(&cfg, keeper));
  }
  while (access(keeper, F_OK) != 0) usleep(1000);
  for (int round = 0; round < ROUNDS; round++) run_round(round, dump, major, keeper);
  for (int i = 0; i < STEPS; i++) {
    qsort(times[i], ROUNDS, sizeof(double), by_value);
    printf("%-36s %8.2f ms  (%.2f … %.2f)\n", step_names[i], times[i][ROUNDS / 2], times[i][0], times[i][ROUNDS - 1]);
  }
  kill(pid, SIGTERM);
  waitpid(pid, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command);
}
