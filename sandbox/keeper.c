/* keeper.c - one process that keeps sandboxes started ahead and gives them to slots.
 *
 * A room holds one engine and walks through: free → starting → warming → spare → given → ending → free. Nothing here waits: the loop polls
 * the listening socket, the clients, the children's reports and a signalfd, and looks at starting engines every 2 ms.
 *
 * Warming is one connection made and dropped: the first one after a start builds caches that later ones read. Spares are kept of the major
 * asked for last (at the start: the newest installed), and one each of the others asked for lately; and of what was prepared and asked for
 * last (prepared.h), of which then there are most. A client's sandbox ends when its connection does, or after ten minutes. The keeper ends
 * with its parent, and everything it started ends with it. */
#include "keeper.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "sandbox/sandbox.h"

#define ROOMS_MAX (2 * LIMIT_SLOTS)
#define CLIENTS_MAX (2 * LIMIT_SLOTS)
#define RECENT_MAX 4
#define RECENT_MS (10 * 60 * 1000)
#define LIFETIME_MS (10 * 60 * 1000)
#define WARMING_MS 2000
#define TICK_MS 2
#define IDLE_MS 5000
#define PAUSE_MS 250      /* after a sandbox was given: its job has the processors, unless there is no other spare */
#define RETRY_MIN_MS 1000 /* between spares that fail to start; doubles up to RETRY_MAX_MS */
#define RETRY_MAX_MS 60000

enum room_state { ROOM_FREE, ROOM_STARTING, ROOM_WARMING, ROOM_SPARE, ROOM_GIVEN, ROOM_ENDING };
struct room {
  enum room_state state;
  int major;
  char key[PREPARED_KEY]; /* a copy of what was prepared under it; "": empty */
  unsigned saved;         /* its tmpfs is kept under this id; 0: it isn't */
  struct engine engine;
  PGconn *warming;
  int64_t since_ms; /* when it came into this state */
};
struct client {
  int fd;    /* -1: free */
  int major; /* asked for; 0: nothing yet */
  char key[PREPARED_KEY];
  const char *waits_for; /* the key of the rooms that will do: its own, or "" */
  struct room *room;
  int64_t asked_ms;
};

struct keeper {
  const struct config *cfg;
  int listen_fd, signal_fd;
  bool stopping;
  int warm, rooms_max;
  struct room rooms[ROOMS_MAX];
  struct client clients[CLIENTS_MAX];
  struct {
    int major;
    int64_t asked_ms;
  } recent[RECENT_MAX]; /* latest first; major 0 ends it */
  struct prepared_list prepared;
  int64_t retry_at_ms, retry_ms;
};

/* --- rooms --- */

static void room_enter(struct room *room, enum room_state state) {
  static const bool legal[][6] = {
      /* to:             free   starting warming spare given ending */
      [ROOM_FREE] = {false, true, false, false, false, false}, [ROOM_STARTING] = {true, false, true, false, true, true},
      [ROOM_WARMING] = {true, false, false, true, true, true}, [ROOM_SPARE] = {true, false, false, false, true, true},
      [ROOM_GIVEN] = {true, false, false, false, false, true}, [ROOM_ENDING] = {true, false, false, false, false, false},
  };
  if (!legal[room->state][state]) abort();
  if (room->warming && state != ROOM_WARMING) {
    PQfinish(room->warming);
    room->warming = NULL;
  }
  room->state = state;
  room->since_ms = clock_mono_ms();
}

/* In these states, of that major and key; major 0: any. */
static int count_rooms(const struct keeper *keeper, int major, const char *key, enum room_state from, enum room_state to) {
  int count = 0;
  for (int i = 0; i < keeper->rooms_max; i++) {
    const struct room *room = &keeper->rooms[i];
    if (room->state >= from && room->state <= to && (major == 0 || (room->major == major && !strcmp(room->key, key)))) count++;
  }
  return count;
}

static bool is_full(const struct keeper *keeper) { return count_rooms(keeper, 0, "", ROOM_STARTING, ROOM_ENDING) >= keeper->rooms_max; }

/* Kills it; the room is free once the child has been reaped. */
static void room_end(struct room *room) {
  if (room->state == ROOM_FREE || room->state == ROOM_ENDING) return;
  engine_signal(&room->engine);
  room_enter(room, ROOM_ENDING);
}

static enum status room_start(struct keeper *keeper, int major, const char *key, struct error *err) {
  struct room *room = NULL;
  const struct prepared *base = NULL;
  for (int i = 0; i < keeper->rooms_max && !room; i++)
    if (keeper->rooms[i].state == ROOM_FREE) room = &keeper->rooms[i];
  if (!room) return error_set(err, ERR_UNAVAILABLE, "all %d sandboxes of this worker are in use", keeper->rooms_max);
  for (int i = 0; *key && i < PREPARED_MAX; i++)
    if (keeper->prepared.list[i].major == major && !strcmp(keeper->prepared.list[i].key, key)) base = &keeper->prepared.list[i];
  enum status status = engine_start(keeper->cfg, major, base ? base->fd : -1, &room->engine, err);
  if (status) return status;
  room->major = major;
  snprintf(room->key, sizeof room->key, "%s", base ? key : "");
  room_enter(room, ROOM_STARTING);
  return OK;
}

/* --- clients --- */

static void client_close(struct client *client) {
  if (client->fd < 0) return;
  close(client->fd);
  if (client->room) room_end(client->room);
  *client = (struct client){.fd = -1};
}

static bool send_answer(int fd, const struct keeper_answer *answer, int root_fd) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct keeper_answer copy = *answer;
  struct iovec iov = {.iov_base = &copy, .iov_len = sizeof copy};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  if (root_fd >= 0) {
    msg.msg_control = control.bytes;
    msg.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof root_fd);
    memcpy(CMSG_DATA(header), &root_fd, sizeof root_fd);
  }
  return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof copy;
}

static void client_refuse(struct client *client, const struct error *err) {
  struct keeper_answer answer = {.status = err->status};
  snprintf(answer.message, sizeof answer.message, "%.*s", (int)sizeof answer.message - 1, err->message);
  send_answer(client->fd, &answer, -1);
  client_close(client);
}

static void client_give(struct client *client, struct room *room) {
  struct keeper_answer answer = {.status = OK, .version_num = room->engine.version_num, .prepared = *room->key};
  snprintf(answer.name, sizeof answer.name, "%s", room->engine.name);
  room_enter(room, ROOM_GIVEN);
  client->room = room;
  if (!send_answer(client->fd, &answer, room->engine.root_fd)) client_close(client);
}

static bool is_waiting(const struct client *client, int major, const char *key) {
  return client->fd >= 0 && client->major == major && !client->room && !strcmp(client->waits_for, key);
}

static struct client *longest_waiting(struct keeper *keeper, int major, const char *key) {
  struct client *found = NULL;
  for (int i = 0; i < CLIENTS_MAX; i++) {
    struct client *client = &keeper->clients[i];
    if (is_waiting(client, major, key) && (!found || client->asked_ms < found->asked_ms)) found = client;
  }
  return found;
}

static int count_waiting(const struct keeper *keeper, int major, const char *key) {
  int count = 0;
  for (int i = 0; i < CLIENTS_MAX; i++) count += is_waiting(&keeper->clients[i], major, key);
  return count;
}

static void remember(struct keeper *keeper, int major) {
  int at = 0;
  while (at < RECENT_MAX - 1 && keeper->recent[at].major != major && keeper->recent[at].major != 0) at++;
  memmove(&keeper->recent[1], &keeper->recent[0], (size_t)at * sizeof keeper->recent[0]);
  keeper->recent[0].major = major;
  keeper->recent[0].asked_ms = clock_mono_ms();
}

/* A room of that kind that accepts connections; a warmed one before one still warming. */
static struct room *find_ready(struct keeper *keeper, int major, const char *key) {
  struct room *found = NULL;
  for (int i = 0; i < keeper->rooms_max; i++) {
    struct room *room = &keeper->rooms[i];
    if (room->major == major && !strcmp(room->key, key) && (room->state == ROOM_SPARE || (room->state == ROOM_WARMING && !found)))
      found = room;
  }
  return found;
}

/* A spare of another kind makes way when all rooms are taken: a copy of something prepared first, then an empty one. Its room is free once
 * it has ended. */
static void make_way(struct keeper *keeper, int major, const char *key) {
  struct room *victim = NULL;
  if (!is_full(keeper)) return;
  for (int i = 0; i < keeper->rooms_max; i++) {
    struct room *room = &keeper->rooms[i];
    if ((room->state != ROOM_SPARE && room->state != ROOM_WARMING) || (room->major == major && !strcmp(room->key, key))) continue;
    if (!victim || (!*victim->key && *room->key)) victim = room;
  }
  if (victim) room_end(victim);
}

/* Gives it a room, or has it wait for one that is starting or ending; called again until it has one. */
static void client_seek(struct keeper *keeper, struct client *client) {
  ERROR_AUTO err = {0};
  int major = client->major;
  client->waits_for = prepared_find(&keeper->prepared, major, client->key) ? client->key : "";
  struct room *room = find_ready(keeper, major, client->waits_for);
  remember(keeper, major);
  if (room) {
    client_give(client, room);
    return;
  }
  if (count_rooms(keeper, major, client->waits_for, ROOM_STARTING, ROOM_STARTING) >= count_waiting(keeper, major, client->waits_for))
    return;
  make_way(keeper, major, client->waits_for);
  if (is_full(keeper) && count_rooms(keeper, 0, "", ROOM_GIVEN, ROOM_GIVEN) < keeper->rooms_max) return;
  if (room_start(keeper, major, client->waits_for, &err)) client_refuse(client, &err);
}

/* What is kept under the key is damaged: its copies go, too. */
static void forget(struct keeper *keeper, int major, const char *key) {
  struct prepared *entry = prepared_find(&keeper->prepared, major, key);
  if (!entry) return;
  prepared_drop(entry);
  for (int i = 0; i < keeper->rooms_max; i++) {
    struct room *room = &keeper->rooms[i];
    if ((room->state == ROOM_WARMING || room->state == ROOM_SPARE) && room->major == major && !strcmp(room->key, key)) room_end(room);
  }
}

static void client_ask(struct keeper *keeper, struct client *client, const struct keeper_request *request) {
  client->major = request->major;
  client->asked_ms = clock_mono_ms();
  snprintf(client->key, sizeof client->key, "%.*s", PREPARED_KEY - 1, request->key);
  if (request->kind == KEEPER_ASK_FRESH) forget(keeper, client->major, client->key);
  client_seek(keeper, client);
}

/* The key is the one it asked with: it can't save under another. */
static void client_saved(struct keeper *keeper, struct client *client, int64_t bytes) {
  struct room *room = client->room;
  if (room->saved || *room->key || !*client->key) return;
  room->saved = prepared_keep(&keeper->prepared, room->major, client->key, room->engine.root_fd, bytes);
  room->since_ms = clock_mono_ms();
}

static void client_read(struct keeper *keeper, struct client *client) {
  struct keeper_request request;
  ssize_t got = recv(client->fd, &request, sizeof request, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != (ssize_t)sizeof request)
    client_close(client);
  else if (request.kind == KEEPER_SAVED && client->room)
    client_saved(keeper, client, request.bytes);
  else if (request.kind != KEEPER_SAVED && client->major == 0 && request.major > 0)
    client_ask(keeper, client, &request);
  else
    client_close(client);
}

/* Only our own user, or root, may ask. */
static bool is_trusted(int fd) {
  struct ucred peer;
  socklen_t len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void accept_client(struct keeper *keeper) {
  int fd = accept4(keeper->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (int i = 0; i < CLIENTS_MAX && is_trusted(fd); i++)
    if (keeper->clients[i].fd < 0) {
      keeper->clients[i] = (struct client){.fd = fd};
      return;
    }
  close(fd);
}

/* --- the life of rooms --- */

static void retry_later(struct keeper *keeper) {
  keeper->retry_ms = !keeper->retry_ms ? RETRY_MIN_MS : keeper->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : keeper->retry_ms * 2;
  keeper->retry_at_ms = clock_mono_ms() + keeper->retry_ms;
}

static void room_failed(struct keeper *keeper, struct room *room, const struct error *err) {
  struct client *client = longest_waiting(keeper, room->major, room->key);
  log_event(LOG_WARN, "a sandbox failed to start", "reason", err->message, NULL);
  room_end(room);
  if (*room->key) { /* whoever waited for such a copy does with an empty sandbox */
    forget(keeper, room->major, room->key);
    for (; client; client = longest_waiting(keeper, room->major, room->key)) client_seek(keeper, client);
    return;
  }
  if (client) client_refuse(client, err);
  retry_later(keeper);
}

static void begin_warming(struct room *room) {
  char conninfo[128];
  snprintf(conninfo, sizeof conninfo, "host=/proc/self/fd/%d/s port=5432 user=migrator dbname=sandbox sslmode=disable gssencmode=disable",
           room->engine.root_fd);
  room_enter(room, ROOM_WARMING);
  room->warming = PQconnectStart(conninfo);
}

static void room_tick(struct keeper *keeper, struct room *room) {
  ERROR_AUTO err = {0};
  bool ready = false;
  if (room->state == ROOM_STARTING && engine_poll(&room->engine, &ready, &err)) {
    room_failed(keeper, room, &err);
  } else if (ready) {
    struct client *client = longest_waiting(keeper, room->major, room->key);
    keeper->retry_ms = 0;
    if (client)
      client_give(client, room);
    else
      begin_warming(room);
  } else if (room->state == ROOM_WARMING) {
    PostgresPollingStatusType type = PQconnectPoll(room->warming);
    if (type == PGRES_POLLING_OK || type == PGRES_POLLING_FAILED || clock_mono_ms() - room->since_ms > WARMING_MS)
      room_enter(room, ROOM_SPARE);
  } else if (room->state == ROOM_ENDING && engine_reaped(&room->engine)) {
    const struct prepared *kept = prepared_by_id(&keeper->prepared, room->saved);
    if (kept) prepared_trim(kept->fd);
    engine_destroy(&room->engine);
    room->saved = 0;
    room_enter(room, ROOM_FREE);
  }
}

static void tick(struct keeper *keeper) {
  int64_t now = clock_mono_ms();
  for (int i = 0; i < keeper->rooms_max; i++) room_tick(keeper, &keeper->rooms[i]);
  for (int i = 0; i < CLIENTS_MAX; i++) {
    struct client *client = &keeper->clients[i];
    if (client->fd >= 0 && client->major != 0 && !client->room) client_seek(keeper, client);
    if (client->fd < 0 || !client->room || now - client->room->since_ms < LIFETIME_MS) continue;
    log_event(LOG_WARN, "a sandbox outlived its time and was ended", "seconds", log_fmt("%d", LIFETIME_MS / 1000), NULL);
    client_close(client);
  }
}

/* Servers that have ended: a spare is replaced, a given one's client learns it. Looked for at every turn: the signal may have come in an
 * earlier state. */
static void see_deaths(struct keeper *keeper) {
  for (int i = 0; i < keeper->rooms_max; i++) {
    struct room *room = &keeper->rooms[i];
    if (room->state < ROOM_WARMING || room->state > ROOM_GIVEN || !engine_reaped(&room->engine)) continue;
    for (int c = 0; c < CLIENTS_MAX; c++)
      if (keeper->clients[c].fd >= 0 && keeper->clients[c].room == room) client_close(&keeper->clients[c]);
    room_end(room);
  }
}

/* Starts a spare of that kind when there are fewer than wanted; true when it did, or nothing can be started now. */
static bool top_up(struct keeper *keeper, int major, const char *key, int wanted) {
  ERROR_AUTO err = {0};
  if (count_rooms(keeper, major, key, ROOM_STARTING, ROOM_SPARE) >= wanted) return false;
  if (is_full(keeper)) return true;
  if (room_start(keeper, major, key, &err)) {
    log_event(LOG_WARN, "can't start a spare sandbox", "reason", err.message, NULL);
    retry_later(keeper);
  }
  return true;
}

static bool is_job_young(const struct keeper *keeper) {
  int64_t now = clock_mono_ms();
  for (int i = 0; i < keeper->rooms_max; i++)
    if (keeper->rooms[i].state == ROOM_GIVEN && now - keeper->rooms[i].since_ms < PAUSE_MS) return true;
  return false;
}

/* Starts one spare where one is missing: one at a time, so that jobs keep the processors. */
static void refill(struct keeper *keeper) {
  int64_t now = clock_mono_ms();
  struct prepared *latest = prepared_latest(&keeper->prepared, RECENT_MS);
  if (keeper->retry_ms && now < keeper->retry_at_ms) return;
  if (count_rooms(keeper, 0, "", ROOM_STARTING, ROOM_STARTING) > 0) return;
  if (is_job_young(keeper) && count_rooms(keeper, latest ? latest->major : 0, latest ? latest->key : "", ROOM_SPARE, ROOM_SPARE) > 0)
    return;
  if (latest) {
    if (count_rooms(keeper, latest->major, latest->key, ROOM_STARTING, ROOM_SPARE) == 0) make_way(keeper, latest->major, latest->key);
    if (top_up(keeper, latest->major, latest->key, keeper->warm)) return;
  }
  for (int i = 0; i < RECENT_MAX && keeper->recent[i].major != 0; i++) {
    if (i > 0 && now - keeper->recent[i].asked_ms > RECENT_MS) return;
    if (top_up(keeper, keeper->recent[i].major, "", i == 0 && !latest ? keeper->warm : 1)) return;
  }
}

/* --- the loop --- */

static void take_signals(struct keeper *keeper) {
  struct signalfd_siginfo info;
  while (read(keeper->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
    if (info.ssi_signo != SIGCHLD) keeper->stopping = true; /* a child's end only wakes the loop */
}

static int wait_ms(const struct keeper *keeper) {
  if (count_rooms(keeper, 0, "", ROOM_STARTING, ROOM_WARMING) > 0 || count_rooms(keeper, 0, "", ROOM_ENDING, ROOM_ENDING) > 0)
    return TICK_MS;
  if (is_job_young(keeper)) return PAUSE_MS;
  if (keeper->retry_ms) return RETRY_MIN_MS;
  return IDLE_MS;
}

static void turn(struct keeper *keeper) {
  struct pollfd fds[CLIENTS_MAX + ROOMS_MAX + 2];
  struct client *owners[CLIENTS_MAX + ROOMS_MAX + 2] = {0};
  nfds_t count = 0;
  fds[count++] = (struct pollfd){.fd = keeper->listen_fd, .events = POLLIN};
  fds[count++] = (struct pollfd){.fd = keeper->signal_fd, .events = POLLIN};
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (keeper->clients[i].fd >= 0) {
      owners[count] = &keeper->clients[i];
      fds[count++] = (struct pollfd){.fd = keeper->clients[i].fd, .events = POLLIN};
    }
  if (poll(fds, count, wait_ms(keeper)) < 0 && errno != EINTR) keeper->stopping = true;
  if (fds[1].revents) take_signals(keeper);
  for (nfds_t i = 2; i < count; i++)
    if (fds[i].revents && owners[i]->fd == fds[i].fd) client_read(keeper, owners[i]);
  if (fds[0].revents) accept_client(keeper);
  see_deaths(keeper);
  tick(keeper);
  if (!keeper->stopping) refill(keeper);
}

static void stop(struct keeper *keeper, const char *socket_path) {
  unlink(socket_path);
  close(keeper->listen_fd);
  close(keeper->signal_fd);
  for (int i = 0; i < CLIENTS_MAX; i++) client_close(&keeper->clients[i]);
  for (int i = 0; i < keeper->rooms_max; i++) {
    room_end(&keeper->rooms[i]);
    engine_destroy(&keeper->rooms[i].engine);
  }
  for (int i = 0; i < PREPARED_MAX; i++) prepared_drop(&keeper->prepared.list[i]);
}

/* --- setting up --- */

static int listen_on(const char *path) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || !keeper_address(path, &address)) goto fail;
  unlink(path);
  mode_t mask = umask(0177);
  int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
  umask(mask);
  if (bound == 0 && listen(fd, CLIENTS_MAX) == 0) return fd;
fail:
  if (fd >= 0) close(fd);
  return -1;
}

static int catch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGCHLD);
  signal(SIGPIPE, SIG_IGN);
  return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

static void set_bounds(struct keeper *keeper, const struct config *cfg) {
  int slots = cfg->slots > 0 ? cfg->slots : (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (slots > LIMIT_SLOTS) slots = LIMIT_SLOTS;
  keeper->warm = cfg->sandbox_warm > 0 ? cfg->sandbox_warm : slots;
  if (keeper->warm > LIMIT_SLOTS) keeper->warm = LIMIT_SLOTS;
  keeper->rooms_max = keeper->warm + slots;
}

int sandbox_keeper_main(const struct config *cfg, const char *socket_path) {
  static struct keeper keeper;
  int majors[32], count = sandbox_majors(majors, 32);
  pid_t parent = getppid();
  keeper = (struct keeper){.cfg = cfg};
  for (int i = 0; i < CLIENTS_MAX; i++) keeper.clients[i].fd = -1;
  set_bounds(&keeper, cfg);
  if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0 || getppid() != parent) return 1;
  keeper.signal_fd = catch_signals();
  keeper.listen_fd = listen_on(socket_path);
  if (keeper.signal_fd < 0 || keeper.listen_fd < 0) {
    log_event(LOG_ERROR, "the keeper of sandboxes can't listen", "path", socket_path, "reason", strerror(errno), NULL);
    return 1;
  }
  sandbox_sweep(cfg);
  if (count > 0) remember(&keeper, majors[count - 1]);
  refill(&keeper);
  while (!keeper.stopping && getppid() == parent) turn(&keeper);
  stop(&keeper, socket_path);
  return 0;
}
