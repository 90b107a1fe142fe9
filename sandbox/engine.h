/* engine.h - what runs one sandbox's server. Starting never blocks, so that one keeper can start several; whoever waits, polls.
 *
 * engine_local.c: a process of this machine inside bubblewrap. Another kind of engine (containers) would be another file
 * implementing these calls. */
#ifndef AUTODB_SANDBOX_ENGINE_H
#define AUTODB_SANDBOX_ENGINE_H

#include <sys/types.h>

#include "common/config.h"
#include "common/error.h"
#include "store.h"

#define ENGINE_START_MS 10000 /* a server that doesn't answer by then has failed */
#define ENGINE_NAME 48

/* Zeroed, or from engine_start. */
struct engine {
  pid_t pid;     /* bubblewrap's, our child; 0: none */
  int report_fd; /* where the child says it is set up, until it has; -1 then */
  int root_fd;   /* its private tmpfs, holding data/, s/ (the server's socket) and log; -1 until reported */
  int version_num;
  char name[ENGINE_NAME]; /* "postgres 17.12" */
  int64_t started_ms;
  struct store_claim claim;
};

/* Forks it: a copy of the template of that major, which is made first when it is missing (0.8 s, once), or of what prepared_save left in
 * the tmpfs base_fd is (-1: none). */
MUST_CHECK enum status engine_start(const struct config *cfg, int major, int base_fd, struct engine *ret_engine, struct error *err);
/* Whether it accepts connections yet; an error when it never will. Cheap: a file read. */
MUST_CHECK enum status engine_poll(struct engine *engine, bool *ret_ready, struct error *err);
/* Polls until it is ready. On failure the engine is destroyed. */
MUST_CHECK enum status engine_wait(struct engine *engine, struct error *err);
/* Kills and reaps; harmless on a zeroed or destroyed engine. engine_signal only kills: reap with engine_reaped later. */
void engine_destroy(struct engine *engine);
void engine_signal(struct engine *engine);
bool engine_reaped(struct engine *engine); /* true once the child is gone; never blocks */

#endif
