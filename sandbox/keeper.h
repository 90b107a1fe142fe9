/* keeper.h - how a client talks to the keeper: one SOCK_SEQPACKET connection per sandbox.
 *
 * The client sends one struct keeper_request. The answer is one struct keeper_answer; with status OK a descriptor of the sandbox's
 * private tmpfs comes along (SCM_RIGHTS). The sandbox lives until either side closes the connection. */
#ifndef AUTODB_SANDBOX_KEEPER_H
#define AUTODB_SANDBOX_KEEPER_H

#include "common/error.h"
#include "engine.h"

struct keeper_request {
  int major;
};
struct keeper_answer {
  enum status status;
  int version_num;
  char name[ENGINE_NAME];
  char message[700];
};

/* Asks and waits for the answer. ret_fd: the connection, ret_root_fd: the tmpfs; the caller closes both. ERR_NOT_FOUND: nobody
 * is there to ask. */
MUST_CHECK enum status keeper_ask(const char *socket_path, int major, struct keeper_answer *ret_answer, int *ret_fd, int *ret_root_fd,
                                  struct error *err);

#endif
