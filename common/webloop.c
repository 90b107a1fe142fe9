/* webloop.c - libcurl's multi interface on libevent: one event a socket, one timer. What a call may do is in webcall.c. */
#include "common/webloop.h"

#include <sys/queue.h>

#include "common/webcall_impl.h"

struct run {
  struct call call;
  webloop_cb cb;
  void *arg;
  LIST_ENTRY(run) link;
};
LIST_HEAD(runs, run);

struct webloop {
  struct event_base *base;
  const struct netpolicy *policy;
  CURLM *multi;
  struct event *timer;
  struct runs runs;
  int running;
};

static void free_run(struct webloop *loop, struct run *run) {
  LIST_REMOVE(run, link);
  loop->running--;
  curl_multi_remove_handle(loop->multi, run->call.curl);
  call_clear(&run->call);
  curl_easy_cleanup(run->call.curl);
  free(run);
}

/* --- what ended --- */

static void end(struct webloop *loop, struct run *run, CURLcode code) {
  ERROR_AUTO err = {0};
  struct webcall_answer answer = {0};
  webloop_cb cb = run->cb;
  void *arg = run->arg;
  enum status status = call_end(&run->call, code, &answer, &err);
  free_run(loop, run);
  cb(arg, status == OK ? &answer : NULL, &err);
}

/* The callback may start calls, so each message is looked for anew. */
static void reap(struct webloop *loop) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(loop->multi, &left))) {
    struct run *run = NULL;
    if (message->msg != CURLMSG_DONE) continue;
    CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &run);
    end(loop, run, code);
  }
}

/* --- libevent's side --- */

static void act(struct webloop *loop, curl_socket_t fd, int what) {
  int running;
  curl_multi_socket_action(loop->multi, fd, what, &running);
  reap(loop);
}

static void on_socket(evutil_socket_t fd, short what, void *arg) {
  act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what;
  act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* --- libcurl's side --- */

static int set_timer(CURLM *multi, long timeout_ms, void *arg) {
  struct webloop *loop = arg;
  (void)multi;
  if (timeout_ms < 0) return event_del(loop->timer);
  return event_add(loop->timer, &(struct timeval){.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000});
}

static int watch(CURL *curl, curl_socket_t fd, int what, void *arg, void *of_socket) {
  struct webloop *loop = arg;
  struct event *event = of_socket;
  (void)curl;
  if (event) event_free(event); /* libevent has no other way to ask for something else */
  event = NULL;
  if (what != CURL_POLL_REMOVE) {
    short wanted = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    event = event_new(loop->base, fd, wanted, on_socket, loop);
    if (event && event_add(event, NULL) != 0) {
      event_free(event);
      event = NULL;
    }
  }
  curl_multi_assign(loop->multi, fd, event); /* without an event the call ends by its timeout */
  return 0;
}

/* --- the interface --- */

enum status webloop_new(struct event_base *base, const struct netpolicy *policy, struct webloop **ret_loop, struct error *err) {
  struct webloop *loop = calloc(1, sizeof *loop);
  if (!loop) return error_oom(err);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  loop->base = base;
  loop->policy = policy;
  LIST_INIT(&loop->runs);
  loop->multi = curl_multi_init();
  loop->timer = evtimer_new(base, on_timer, loop);
  if (!loop->multi || !loop->timer) {
    webloop_free(loop);
    return error_oom(err);
  }
  curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, watch);
  curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
  curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, set_timer);
  curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
  *ret_loop = loop;
  return OK;
}

void webloop_free(struct webloop *loop) {
  if (!loop) return;
  for (struct run *run; (run = LIST_FIRST(&loop->runs));) free_run(loop, run);
  curl_multi_cleanup(loop->multi);
  if (loop->timer) event_free(loop->timer);
  free(loop);
}

int webloop_running(const struct webloop *loop) { return loop->running; }

static struct run *new_run(struct webloop *loop, const struct webcall_request *request, struct arena *arena) {
  struct run *run = calloc(1, sizeof *run);
  CURL *curl = run ? curl_easy_init() : NULL;
  if (!curl) {
    free(run);
    return NULL;
  }
  run->call = (struct call){.curl = curl, .policy = loop->policy, .request = request, .arena = arena};
  LIST_INSERT_HEAD(&loop->runs, run, link);
  loop->running++;
  return run;
}

enum status webloop_start(struct webloop *loop, const struct webcall_request *request, struct arena *arena, webloop_cb cb, void *arg,
                          struct error *err) {
  struct run *run = new_run(loop, request, arena);
  if (!run) return error_oom(err);
  run->cb = cb;
  run->arg = arg;
  enum status status = call_begin(&run->call, err);
  if (status == OK) {
    curl_easy_setopt(run->call.curl, CURLOPT_PRIVATE, run);
    curl_easy_setopt(run->call.curl, CURLOPT_QUICK_EXIT, 1L); /* a call that ends does not wait for its lookup */
    if (curl_multi_add_handle(loop->multi, run->call.curl) != CURLM_OK) status = error_oom(err);
  }
  if (status != OK) free_run(loop, run);
  return status;
}
