/* The least an HTTP server on libevent can do: answer 202 to anything, one evhttp loop per core on one port. What the API is compared with.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int port;

static void answer(struct evhttp_request *request, void *arg) {
  (void)arg;
  struct evbuffer *body = evbuffer_new();
  evbuffer_add_printf(
      body, "{\"success\":true,\"data\":{\"job_id\":\"00000000-0000-7000-8000-000000000000\",\"status\":\"queued\"},\"error\":null}");
  evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/json");
  evhttp_send_reply(request, 202, "Accepted", body);
  evbuffer_free(body);
}

static void *loop(void *arg) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct event_base *base = event_base_new();
  struct evhttp *http = evhttp_new(base);
  struct evconnlistener *listener =
      evconnlistener_new_bind(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT, 1024,
                              (struct sockaddr *)&address, sizeof address);
  if (!listener) {
    perror("bare_server");
    exit(1);
  }
  evhttp_bind_listener(http, listener);
  evhttp_set_gencb(http, answer, NULL);
  event_base_dispatch(base);
  return arg;
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: bare_server PORT\n"), 2;
  port = (int)strtol(argv[1], NULL, 10);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  pthread_t thread;
  for (long i = 1; i < cores; i++) pthread_create(&thread, NULL, loop, NULL);
  loop(NULL);
  return 0;
}
