/* keeper_client.c - the client's side of keeper.h: one request, one answer, waiting as long as a sandbox may take to start. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"

bool keeper_address(const char *path, struct sockaddr_un *ret_address) {
  *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof ret_address->sun_path) return false;
  memcpy(ret_address->sun_path, path, strlen(path));
  return true;
}

static int connect_to(const char *path) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd >= 0 && keeper_address(path, &address) && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static bool receive(int fd, struct keeper_answer *answer, int *root_fd) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec iov = {.iov_base = answer, .iov_len = sizeof *answer};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  int ready;
  while ((ready = poll(&wait, 1, 2 * ENGINE_START_MS)) < 0 && errno == EINTR) {}
  if (ready <= 0 || recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof *answer) return false;
  const struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
  if (header) memcpy(root_fd, CMSG_DATA(header), sizeof *root_fd);
  return answer->status != OK || header;
}

enum status keeper_ask(const char *socket_path, const struct keeper_request *request, struct keeper_answer *ret_answer, int *ret_fd,
                       int *ret_root_fd, struct error *err) {
  struct keeper_answer answer;
  int root_fd = -1, fd = connect_to(socket_path);
  if (fd < 0) return error_set(err, ERR_NOT_FOUND, "no keeper of sandboxes at %s: %s", socket_path, strerror(errno));
  if (send(fd, request, sizeof *request, MSG_NOSIGNAL) != (ssize_t)sizeof *request || !receive(fd, &answer, &root_fd)) {
    close(fd);
    return error_set(err, ERR_NOT_FOUND, "the keeper of sandboxes at %s didn't answer", socket_path);
  }
  if (answer.status != OK) {
    close(fd);
    answer.message[sizeof answer.message - 1] = 0;
    return error_set(err, answer.status, "%s", answer.message);
  }
  *ret_answer = answer;
  *ret_fd = fd;
  *ret_root_fd = root_fd;
  return OK;
}

void keeper_tell_saved(int fd, int64_t bytes) {
  struct keeper_request told = {.kind = KEEPER_SAVED, .bytes = bytes};
  if (send(fd, &told, sizeof told, MSG_NOSIGNAL) < 0) return; /* it has gone, and the sandbox with it */
}
