/* main.c - autodb-api: reads the configuration, starts the loops, waits for a signal, drains. */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/loop.h"
#include "api/offload.h"
#include "api/rate.h"
#include "api/server.h"
#include "api/spool.h"
#include "common/docstore.h"
#include "common/log.h"
#include "common/metrics.h"

#define LOOPS_MAX 64
#define OFFLOAD_THREADS 2
#define FILE_THREADS 4

struct program {
  struct config cfg;
  struct api api;
  struct loop *loops[LOOPS_MAX];
  int loop_count;
  struct event_base *base; /* signals and metrics */
  struct metrics_server *metrics;
};

static enum status write_port(const char *path, int port, struct error *err) {
  if (!*path) return OK;
  char text[16], temporary[4096];
  int len = snprintf(text, sizeof text, "%d\n", port);
  snprintf(temporary, sizeof temporary, "%s.new", path);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool written = fd >= 0 && write(fd, text, (size_t)len) == len;
  if (fd >= 0) close(fd);
  /* renamed, so that whoever waits for the file never reads half of it */
  if (!written || rename(temporary, path) != 0)
    return error_set(err, ERR_UNAVAILABLE, "Can't write the port to %s: %s.", path, strerror(errno));
  return OK;
}

static void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

static void drain_one(struct loop *loop, void *arg) {
  (void)arg;
  loop_drain(loop);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg) {
  struct program *program = arg;
  (void)what;
  log_event(LOG_INFO, "draining", "signal", strsignal((int)signal_number), NULL);
  atomic_store(&program->api.draining, true);
  for (int i = 0; i < program->loop_count; i++) loop_post(program->loops[i], drain_one, NULL);
  event_base_loopbreak(program->base);
}

static enum status prepare(struct program *program, struct error *err) {
  struct api *api = &program->api;
  const struct config *cfg = api->cfg = &program->cfg;
  enum status status = keyring_new(cfg->master_key, &api->keyring, err);
  if (status != OK) return status;
  keyring_derive(api->keyring, "list cursors", api->cursor_key);
  for (int stream = 0; stream < JOB_STREAMS; stream++) job_stream_key(cfg->redis_prefix, stream, api->stream_keys[stream]);
  job_done_channel(cfg->redis_prefix, api->done_channel);
  job_changed_channel(cfg->redis_prefix, api->changed_channel);
  job_cancel_channel(cfg->redis_prefix, api->cancel_channel);
  snprintf(api->workers_key, sizeof api->workers_key, "{%.64s}:workers", cfg->redis_prefix);
  api->rate = rate_new();
  api->spool = spool_new(cfg->spool_dir);
  if (!api->rate || !api->spool) return error_oom(err);
  status = docstore_new(cfg, &api->docstore, err);
  if (status == OK) status = offload_new(OFFLOAD_THREADS, &api->offload, err);
  return status == OK ? offload_new(FILE_THREADS, &api->files, err) : status;
}

static enum status start_loops(struct program *program, struct error *err) {
  int wanted = program->cfg.api_loops, port;
  enum status status = server_pick_port(program->cfg.listen_address, program->cfg.port, &port, err);
  for (int i = 0; status == OK && i < wanted && i < LOOPS_MAX; i++) {
    status = loop_new(&program->api, i, port, &program->loops[i], err);
    if (status == OK) program->loop_count++;
  }
  for (int i = 0; status == OK && i < program->loop_count; i++) status = loop_start(program->loops[i], err);
  if (status == OK) status = write_port(program->cfg.port_file, port, err);
  if (status == OK) log_event(LOG_INFO, "serving", "port", log_fmt("%d", port), "loops", log_fmt("%d", program->loop_count), NULL);
  return status;
}

static enum status start_metrics(struct program *program, struct error *err) {
  int port;
  if (!*program->cfg.metrics_listen) return OK;
  enum status status = metrics_serve(program->base, program->cfg.metrics_listen, &program->metrics, &port, err);
  return status == OK ? write_port(program->cfg.metrics_port_file, port, err) : status;
}

static enum status serve(struct program *program, struct error *err) {
  struct event *term = evsignal_new(program->base, SIGTERM, on_signal, program),
               *interrupt = evsignal_new(program->base, SIGINT, on_signal, program);
  enum status status = term && interrupt && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0 ? OK : error_oom(err);
  if (status == OK) status = prepare(program, err);
  if (status == OK) status = start_metrics(program, err);
  if (status == OK) status = start_loops(program, err);
  if (status == OK) event_base_dispatch(program->base);
  if (term) event_free(term);
  if (interrupt) event_free(interrupt);
  return status;
}

static void end(struct program *program) {
  for (int i = 0; i < program->loop_count; i++) loop_post(program->loops[i], drain_one, NULL); /* after a failed start */
  for (int i = 0; i < program->loop_count; i++) loop_join(program->loops[i]);
  rate_free(program->api.rate);
  offload_free(program->api.offload); /* posts to loops: before they go */
  offload_free(program->api.files);
  for (int i = 0; i < program->loop_count; i++) loop_free(program->loops[i]);
  spool_free(program->api.spool); /* requests had files in it */
  docstore_free(program->api.docstore);
  metrics_server_free(program->metrics);
  keyring_free(program->api.keyring);
  if (program->base) event_base_free(program->base);
}

int main(int argc, char **argv) {
  ERROR_AUTO err = {0};
  static struct program program;
  if (argc > 1) {
    bool help = strcmp(argv[1], "--help") == 0;
    config_print_help(help ? stdout : stderr, "autodb-api", "the HTTP server; everything is set by environment variables or autodb.conf");
    return help ? 0 : 2;
  }
  signal(SIGPIPE, SIG_IGN);
  log_init("api", LOG_INFO);
  evthread_use_pthreads();
  raise_file_limit();
  enum status status = config_load(&program.cfg, &err);
  if (status == OK) {
    log_init("api", log_level_parse(program.cfg.log_level));
    program.base = event_base_new();
    status = program.base ? serve(&program, &err) : error_oom(&err);
  }
  if (status != OK) log_event(LOG_ERROR, "can't serve", "reason", err.message, NULL);
  end(&program);
  if (status == OK) log_event(LOG_INFO, "stopped", NULL);
  return status == OK ? 0 : 1;
}
