/* keeper.h - how a client talks to the keeper: one SOCK_SEQPACKET connection per sandbox.
 *
 * The client asks with one struct keeper_request. The answer is one struct keeper_answer; with status OK a descriptor of the sandbox's
 * private tmpfs comes along (SCM_RIGHTS). The sandbox lives until either side closes the connection. Until then the client may say, once
 * and without getting an answer, that it has saved the sandbox's state there (prepared.h): whoever asks with the same key gets a copy of
 * it. */
#ifndef AUTODB_SANDBOX_KEEPER_H
#define AUTODB_SANDBOX_KEEPER_H

#include <sys/un.h>

#include "common/error.h"
#include "engine.h"
#include "prepared.h"

struct keeper_request {
  enum { KEEPER_ASK, KEEPER_ASK_FRESH, KEEPER_SAVED } kind; /* fresh: forget what is kept under the key */
  int major;
  char key[PREPARED_KEY]; /* "": any empty sandbox */
  int64_t bytes;          /* saved */
};
struct keeper_answer {
  enum status status;
  int version_num;
  bool prepared; /* a copy of what was saved under the key */
  char name[ENGINE_NAME];
  char message[700];
};

/* Asks and waits for the answer. ret_fd: the connection, ret_root_fd: the tmpfs; the caller closes both. ERR_NOT_FOUND: nobody
 * is there to ask. */
MUST_CHECK enum status keeper_ask(const char *socket_path, const struct keeper_request *request, struct keeper_answer *ret_answer,
                                  int *ret_fd, int *ret_root_fd, struct error *err);
void keeper_tell_saved(int fd, int64_t bytes);
/* False when the path is too long for a socket. */
bool keeper_address(const char *path, struct sockaddr_un *ret_address);

#endif
