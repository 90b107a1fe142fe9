/* receiver.c - see receiver.h. One connection at a time, one request each: deliveries are few and answers immediate. */
#include "tests/chaos/receiver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (256 * 1024)
#define REFUSED_OF_16 1

struct arrival {
  char id[160];
  int seen, taken;
};

struct receiver {
  int listener, stop[2];
  char url[64];
  pthread_t thread;
  pthread_mutex_t lock; /* over what follows */
  struct arrival *arrivals;
  int count, room, nameless;
};

static bool readable(const struct receiver *receiver, int fd, int timeout_ms) {
  struct pollfd polled[2] = {{.fd = receiver->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  return poll(polled, 2, timeout_ms) > 0 && !polled[0].revents;
}

static bool read_request(const struct receiver *receiver, int fd, char *text) {
  size_t len = 0;
  text[0] = '\0';
  while (len < REQUEST_MAX) {
    const char *end = strstr(text, "\r\n\r\n"), *line = strcasestr(text, "\r\ncontent-length:");
    if (end && len >= (size_t)(end + 4 - text) + (line ? strtoul(line + 17, NULL, 10) : 0)) return true;
    ssize_t got = readable(receiver, fd, 5000) ? read(fd, text + len, REQUEST_MAX - len) : 0;
    if (got <= 0) return false;
    len += (size_t)got;
    text[len] = '\0';
  }
  return false;
}

static struct arrival *find(struct receiver *receiver, const char *id) {
  for (int i = 0; i < receiver->count; i++)
    if (strcmp(receiver->arrivals[i].id, id) == 0) return &receiver->arrivals[i];
  return NULL;
}

static struct arrival *find_or_add(struct receiver *receiver, const char *id) {
  struct arrival *arrival = find(receiver, id);
  if (arrival) return arrival;
  if (receiver->count == receiver->room) {
    receiver->room = receiver->room ? receiver->room * 2 : 64;
    receiver->arrivals = realloc(receiver->arrivals, (size_t)receiver->room * sizeof *receiver->arrivals);
    if (!receiver->arrivals) abort();
  }
  arrival = &receiver->arrivals[receiver->count++];
  *arrival = (struct arrival){0};
  snprintf(arrival->id, sizeof arrival->id, "%s", id);
  return arrival;
}

/* Which ids are refused once follows from the id, so a seed's run refuses the same ones. */
static bool refuses(const struct arrival *arrival) {
  unsigned sum = 0;
  for (const char *p = arrival->id; *p; p++) sum = sum * 31 + (unsigned char)*p;
  return arrival->seen == 1 && sum % 16 < REFUSED_OF_16;
}

static int answer_to(struct receiver *receiver, const char *request) {
  char id[160] = "";
  const char *line = strcasestr(request, "\r\nwebhook-id:");
  if (line) sscanf(line + 13, " %159[^\r]", id);
  pthread_mutex_lock(&receiver->lock);
  int status = 200;
  if (!id[0]) {
    receiver->nameless++;
  } else {
    struct arrival *arrival = find_or_add(receiver, id);
    arrival->seen++;
    if (refuses(arrival))
      status = 503;
    else
      arrival->taken++;
  }
  pthread_mutex_unlock(&receiver->lock);
  return status;
}

static void *serve(void *arg) {
  struct receiver *receiver = arg;
  char *text = malloc(REQUEST_MAX + 1), reply[128];
  while (text && readable(receiver, receiver->listener, -1)) {
    int fd = accept(receiver->listener, NULL, NULL);
    if (fd < 0) continue;
    if (read_request(receiver, fd, text)) {
      int len =
          snprintf(reply, sizeof reply, "HTTP/1.1 %d Chaos\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", answer_to(receiver, text));
      if (send(fd, reply, (size_t)len, MSG_NOSIGNAL) != len) fprintf(stderr, "receiver: an answer was not taken\n");
    }
    close(fd);
  }
  free(text);
  return NULL;
}

struct receiver *receiver_new(void) {
  struct receiver *receiver = calloc(1, sizeof *receiver);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  if (!receiver || pipe(receiver->stop) != 0) abort();
  pthread_mutex_init(&receiver->lock, NULL);
  receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(receiver->listener, (struct sockaddr *)&address, len) != 0 || listen(receiver->listener, 64) != 0 ||
      getsockname(receiver->listener, (struct sockaddr *)&address, &len) != 0)
    abort();
  snprintf(receiver->url, sizeof receiver->url, "http://127.0.0.1:%d/hook", ntohs(address.sin_port));
  if (pthread_create(&receiver->thread, NULL, serve, receiver) != 0) abort();
  return receiver;
}

void receiver_free(struct receiver *receiver) {
  if (!receiver) return;
  if (write(receiver->stop[1], "x", 1) != 1) abort();
  pthread_join(receiver->thread, NULL);
  close(receiver->listener);
  close(receiver->stop[0]);
  close(receiver->stop[1]);
  pthread_mutex_destroy(&receiver->lock);
  free(receiver->arrivals);
  free(receiver);
}

const char *receiver_url(const struct receiver *receiver) { return receiver->url; }

int receiver_taken(struct receiver *receiver, const char *webhook_id) {
  pthread_mutex_lock(&receiver->lock);
  const struct arrival *arrival = find(receiver, webhook_id);
  int taken = arrival ? arrival->taken : 0;
  pthread_mutex_unlock(&receiver->lock);
  return taken;
}

int receiver_ids(struct receiver *receiver) {
  pthread_mutex_lock(&receiver->lock);
  int count = receiver->count;
  pthread_mutex_unlock(&receiver->lock);
  return count;
}

int receiver_nameless(struct receiver *receiver) {
  pthread_mutex_lock(&receiver->lock);
  int count = receiver->nameless;
  pthread_mutex_unlock(&receiver->lock);
  return count;
}
