/* store.h - the sandbox directory on disk (tmpfs): who owns it, what lies in it, what may be removed.
 *
 *   <sandbox_dir>/            0700, of the user servers run as
 *     mnt/                    empty; where each sandbox's own namespace mounts its private tmpfs
 *     run/<id>                one file per live sandbox: "pid start-time", flock'ed by its owner
 *     template-<major>.lock   held while the template of that major is made
 *     template-<major>-<key>/ an initialised data directory, see template.h
 *     making-<major>-<pid>/   a template being made */
#ifndef AUTODB_SANDBOX_STORE_H
#define AUTODB_SANDBOX_STORE_H

#include <sys/types.h>

#include "common/config.h"
#include "common/error.h"

#define STORE_PATH 512

/* Makes the directories where they are missing; refuses a directory somebody else owns or can write to. */
MUST_CHECK enum status store_prepare(const struct config *cfg, struct error *err);

struct store_claim {
  int fd; /* 0 or less: none */
  char path[STORE_PATH];
};
/* Records that this process owns a sandbox run by `pid`; the claim is open until store_release or our death. */
MUST_CHECK enum status store_claim(const struct config *cfg, pid_t pid, struct store_claim *ret_claim, struct error *err);
void store_release(struct store_claim *claim); /* removes the file; harmless when there is none */
/* Removes a directory and all in it, never crossing a symbolic link. */
void store_remove_tree(const char *path);

#endif
