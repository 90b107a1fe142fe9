/* GET /jobs/{id}/events: what is sent, in which order, after which Last-Event-ID, and how streams live through their clients, Redis,
 * Postgres and the API going away. */
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/jobs.h"
#include "tests/support/sse.h"

#define EVENTS_MAX 200

static struct harness_proc *valkey, *api, *worker;
static const char *const api_env[] = {"AUTODB_ENABLE_FAULTS=1", "AUTODB_API_LOOPS=2", NULL};

static int setup(void **state) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  struct harness *h = harness_new();
  char key[64];
  harness_postgres(h, 17);
  valkey = harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  api = harness_api(h, api_env);
  worker = harness_worker(h, (const char *[]){"AUTODB_ENABLE_FAULTS=1", "AUTODB_SLOTS=2", NULL});
  *state = h;
  return 0;
}

/* --- jobs --- */

static void submit(struct harness *h, const char *body, char id[40]) {
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, body, &reply);
  assert_int_equal(reply.status, 202);
  snprintf(id, 40, "%s", harness_text(reply.json, "data.job_id"));
}

static const char *status_of(struct harness *h, const char *id) {
  static char status[16];
  char path[128];
  REPLY_AUTO reply;
  snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
  harness_http(h, "GET", path, NULL, NULL, &reply);
  snprintf(status, sizeof status, "%s", harness_text(reply.json, "data.status"));
  return status;
}

static void post(struct harness *h, const char *id, const char *verb, int want) {
  char path[128];
  REPLY_AUTO reply;
  snprintf(path, sizeof path, "/api/v1/jobs/%s/%s", id, verb);
  harness_http(h, "POST", path, NULL, NULL, &reply);
  assert_int_equal(reply.status, want);
}

/* --- whole streams --- */

struct heard {
  int count;
  struct {
    long long id;
    char type[16], status[16];
    long long attempt, percent;
  } events[EVENTS_MAX];
  bool ended;
};

static void note(struct heard *heard, const struct sse_event *event) {
  assert_true(heard->count < EVENTS_MAX);
  if (heard->count) assert_true(event->id > heard->events[heard->count - 1].id);
  heard->events[heard->count].id = event->id;
  heard->events[heard->count].attempt = harness_int(event->data, "attempt");
  heard->events[heard->count].percent = harness_int(event->data, "percent");
  snprintf(heard->events[heard->count].type, sizeof heard->events[0].type, "%s", event->type);
  snprintf(heard->events[heard->count].status, sizeof heard->events[0].status, "%s", harness_text(event->data, "status"));
  heard->count++;
}

/* Reads to the end of the stream, or until nothing comes for that long. */
static void hear(struct sse *sse, int timeout_ms, struct heard *heard) {
  for (;;) {
    SSE_EVENT_AUTO event;
    if (!sse_next(sse, timeout_ms, &event)) break;
    note(heard, &event);
  }
  heard->ended = sse->ended;
}

static void hear_job(struct harness *h, const char *id, const char *last_id, struct heard *ret_heard) {
  SSE_AUTO sse;
  *ret_heard = (struct heard){0};
  sse_open(h, id, last_id, "", &sse);
  assert_int_equal(sse.status, 200);
  hear(&sse, 15000, ret_heard);
}

static int count_type(const struct heard *heard, const char *type) {
  int count = 0;
  for (int i = 0; i < heard->count; i++) count += strcmp(heard->events[i].type, type) == 0;
  return count;
}

static int find_status(const struct heard *heard, const char *status) {
  for (int i = 0; i < heard->count; i++)
    if (strcmp(heard->events[i].type, "status") == 0 && strcmp(heard->events[i].status, status) == 0) return i;
  return -1;
}

static void expect_tail(const struct heard *heard, const char *status) {
  assert_true(heard->count >= 2);
  assert_string_equal(heard->events[heard->count - 2].type, "status");
  assert_string_equal(heard->events[heard->count - 2].status, status);
  assert_string_equal(heard->events[heard->count - 1].type, "result");
  assert_string_equal(heard->events[heard->count - 1].status, status);
  assert_true(heard->ended);
}

/* --- what is sent --- */

static void a_stream_tells_a_job_from_begin_to_end(void **state) {
  struct harness *h = *state;
  struct heard heard;
  char id[40];
  submit(h, "{\"payload\":[1],\"sleep_ms\":1500}", id);
  int64_t began = harness_now_ms();
  hear_job(h, id, "", &heard);
  expect_tail(&heard, "succeeded");
  assert_true(find_status(&heard, "running") >= 0);
  assert_in_range(count_type(&heard, "progress"), 3,
                  (harness_now_ms() - began) / 250 + 2); /* every 100 ms, told at most four times a second */
  long long percent = -1;
  for (int i = 0; i < heard.count; i++) {
    if (strcmp(heard.events[i].type, "progress") != 0) continue;
    assert_true(i > find_status(&heard, "running"));
    assert_true(heard.events[i].percent >= percent);
    percent = heard.events[i].percent;
  }
}

static void an_ended_job_is_told_at_once(void **state) {
  struct harness *h = *state;
  struct heard heard;
  char id[40], last[32];
  submit(h, "{\"payload\":\"two\\nlines\",\"metadata\":{\"a\":\n\n1}}", id); /* stored as sent: the breaks must not break the event */
  assert_true(POLL_UNTIL(strcmp(status_of(h, id), "succeeded") == 0, 10000));
  hear_job(h, id, "", &heard);
  assert_int_equal(heard.count, 2);
  expect_tail(&heard, "succeeded");
  snprintf(last, sizeof last, "%lld", heard.events[1].id);
  SSE_AUTO again; /* nothing is left to say: 204 makes a browser stop coming back */
  sse_open(h, id, last, "", &again);
  assert_int_equal(again.status, 204);
}

static void a_large_result_is_left_where_it_is(void **state) {
  struct harness *h = *state;
  char id[40], sql[400], url[80];
  submit(h, "{\"payload\":1}", id);
  assert_true(POLL_UNTIL(strcmp(status_of(h, id), "succeeded") == 0, 10000));
  snprintf(sql, sizeof sql, "UPDATE autodb.results SET body = json_build_object('x', repeat('y', 1048577)) WHERE job_id = '%s'", id);
  harness_sql(h->database_url, sql);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  SSE_EVENT_AUTO status;
  SSE_EVENT_AUTO result;
  assert_true(sse_next(&sse, 5000, &status));
  assert_true(sse_next(&sse, 5000, &result));
  assert_string_equal(result.type, "result");
  assert_true(json_is_null(harness_at(result.data, "result")));
  snprintf(url, sizeof url, "/api/v1/jobs/%s", id);
  assert_string_equal(harness_text(result.data, "result_url"), url);
  snprintf(sql, sizeof sql, "UPDATE autodb.results SET body = json_build_object('x', repeat('y', 900000)) WHERE job_id = '%s'", id);
  harness_sql(h->database_url, sql);
  SSE_AUTO whole;
  sse_open(h, id, "", "", &whole);
  SSE_EVENT_AUTO status_again;
  SSE_EVENT_AUTO result_again;
  assert_true(sse_next(&whole, 5000, &status_again));
  assert_true(sse_next(&whole, 5000, &result_again));
  assert_int_equal(strlen(harness_text(result_again.data, "result.x")), 900000);
  assert_null(harness_at(result_again.data, "result_url"));
}

/* Whatever was heard before, the rest follows: nothing twice, no status missing, the end in any case. */
static void a_stream_resumes_after_every_event(void **state) {
  struct harness *h = *state;
  struct heard whole;
  char id[40], last[32];
  submit(h, "{\"payload\":1,\"sleep_ms\":1200,\"fail\":\"error\"}", id);
  hear_job(h, id, "", &whole);
  expect_tail(&whole, "failed");
  int running = find_status(&whole, "running");
  for (int i = 0; i < whole.count - 1; i++) {
    struct heard rest;
    snprintf(last, sizeof last, "%lld", whole.events[i].id);
    hear_job(h, id, last, &rest);
    assert_int_equal(rest.count, (i < running) + (i < whole.count - 2) + 1);
    if (i < running) assert_int_equal(rest.events[0].id, whole.events[running].id);
    for (int k = 0; k < rest.count; k++) assert_true(rest.events[k].id > whole.events[i].id);
    assert_int_equal(rest.events[rest.count - 1].id, whole.events[whole.count - 1].id);
    assert_true(rest.ended);
  }
}

/* The client goes after each event it gets and comes back with its id, while the job runs. */
static void a_client_that_comes_and_goes_hears_everything_once(void **state) {
  struct harness *h = *state;
  struct heard heard = {0};
  char id[40], last[32] = "";
  submit(h, "{\"payload\":1,\"sleep_ms\":2000}", id);
  while (!heard.count || strcmp(heard.events[heard.count - 1].type, "result") != 0) {
    SSE_AUTO sse;
    SSE_EVENT_AUTO event;
    sse_open(h, id, last, "", &sse);
    assert_int_equal(sse.status, 200);
    assert_true(sse_next(&sse, 10000, &event));
    note(&heard, &event);
    snprintf(last, sizeof last, "%lld", event.id);
  }
  assert_true(find_status(&heard, "running") >= 0);
  assert_true(find_status(&heard, "succeeded") >= 0);
  assert_true(count_type(&heard, "progress") >= 3);
}

static void ids_grow_over_the_owners_retries(void **state) {
  struct harness *h = *state;
  struct heard first, second, third;
  char id[40], last[32];
  harness_signal(worker, SIGSTOP); /* queued, cancelled, retried, cancelled: `attempt` stays 0 */
  submit(h, "{\"payload\":1,\"fail\":\"error\"}", id);
  post(h, id, "cancel", 202);
  hear_job(h, id, "", &first);
  expect_tail(&first, "cancelled");
  post(h, id, "retry", 202);
  post(h, id, "cancel", 202);
  snprintf(last, sizeof last, "%lld", first.events[first.count - 1].id);
  hear_job(h, id, last, &second);
  expect_tail(&second, "cancelled");
  assert_true(second.events[0].id > first.events[first.count - 1].id);
  post(h, id, "retry", 202);
  snprintf(last, sizeof last, "%lld", second.events[second.count - 1].id);
  SSE_AUTO sse;
  sse_open(h, id, last, "", &sse);
  SSE_EVENT_AUTO queued;
  assert_true(sse_next(&sse, 5000, &queued));
  assert_string_equal(harness_text(queued.data, "status"), "queued");
  assert_true(queued.id > second.events[second.count - 1].id);
  harness_signal(worker, SIGCONT);
  third = (struct heard){0};
  hear(&sse, 15000, &third);
  expect_tail(&third, "failed");
  assert_int_equal(find_status(&third, "running"), 0);
  assert_int_equal(third.events[0].attempt, 1);
  assert_true(third.events[0].id > queued.id);
}

static void a_crash_is_heard_as_queued_again(void **state) {
  struct harness *h = *state;
  struct heard heard;
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":300,\"fail\":\"crash\"}", id);
  SSE_AUTO sse;
  heard = (struct heard){0};
  sse_open(h, id, "", "", &sse);
  hear(&sse, 30000, &heard);
  expect_tail(&heard, "dead");
  int again = 0;
  for (int i = 1; i < heard.count; i++)
    again += strcmp(heard.events[i].status, "queued") == 0 && strcmp(heard.events[i].type, "status") == 0 && heard.events[i].attempt > 0;
  assert_true(again >= 1);
}

/* --- requests --- */

static int status_for(struct harness *h, const char *method, const char *id, const char *const headers[]) {
  char path[128];
  REPLY_AUTO reply;
  snprintf(path, sizeof path, "/api/v1/jobs/%s/events", id);
  harness_http(h, method, path, headers, NULL, &reply);
  return (int)reply.status;
}

static void others_see_nothing_and_bad_requests_are_refused(void **state) {
  struct harness *h = *state;
  char id[40], key[64], header[96];
  submit(h, "{\"payload\":1}", id);
  harness_key(h, "somebody else", "user", key);
  snprintf(header, sizeof header, "X-API-Key: %s", key);
  assert_int_equal(status_for(h, "GET", id, (const char *[]){header, NULL}), 404);
  assert_int_equal(status_for(h, "GET", "0190d5b4-0000-7000-8000-000000000000", NULL), 404);
  assert_int_equal(status_for(h, "GET", id, (const char *[]){"X-API-Key:", NULL}), 401);
  assert_int_equal(status_for(h, "POST", id, NULL), 405);
  assert_int_equal(status_for(h, "GET", id, (const char *[]){"Last-Event-ID: -1", NULL}), 422);
  assert_int_equal(status_for(h, "GET", id, (const char *[]){"Last-Event-ID: 1234567890123456789", NULL}), 422);
  assert_int_equal(status_for(h, "GET", id, (const char *[]){"Last-Event-ID: 1'", NULL}), 422);
}

static void framing_fits_the_version_and_the_method(void **state) {
  struct harness *h = *state;
  char id[40], text[512], value[64];
  submit(h, "{\"payload\":1,\"sleep_ms\":30000}", id);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  assert_non_null(strstr(sse.head, "Content-Type: text/event-stream\r\n"));
  assert_non_null(strstr(sse.head, "Transfer-Encoding: chunked\r\n"));
  assert_non_null(strstr(sse.head, "Connection: close\r\n"));
  assert_non_null(strstr(sse.head, "Cache-Control: no-store\r\n"));
  assert_null(strstr(sse.head, "Content-Length"));
  SSE_EVENT_AUTO event;
  assert_true(sse_next(&sse, 5000, &event));
  assert_true(sse.retry_ms > 0);

  int fd = harness_socket(h); /* HEAD: the same head, and no waiting */
  RAW_AUTO head;
  snprintf(text, sizeof text, "HEAD /api/v1/jobs/%s/events HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n\r\n", id, h->api_key);
  assert_true(raw_send(fd, text, strlen(text)));
  raw_read(fd, true, &head);
  assert_int_equal(head.status, 200);
  assert_string_equal(raw_header(&head, "Content-Type", value, sizeof value), "text/event-stream");
  assert_true(raw_closed(fd, 5000));
  close(fd);

  fd = harness_socket(h); /* HTTP/1.0 knows no chunks: up to the close */
  RAW_AUTO old;
  snprintf(text, sizeof text, "GET /api/v1/jobs/%s/events HTTP/1.0\r\nX-API-Key: %s\r\n\r\n", id, h->api_key);
  assert_true(raw_send(fd, text, strlen(text)));
  raw_read(fd, true, &old);
  assert_string_equal(raw_header(&old, "Transfer-Encoding", value, sizeof value), "");
  post(h, id, "cancel", 202);
  struct sse plain = {.fd = fd, .wire = calloc(1, 1), .text = calloc(1, 1)};
  struct heard heard = {0};
  hear(&plain, 10000, &heard);
  assert_string_equal(heard.events[heard.count - 1].type, "result");
  assert_string_equal(heard.events[heard.count - 1].status, "cancelled");
  sse_close(&plain);
  struct heard rest = {0};
  hear(&sse, 10000, &rest);
  expect_tail(&rest, "cancelled");
}

/* --- clients --- */

static long long gauge(struct harness *h, const char *name) {
  REPLY_AUTO reply;
  char line[128];
  harness_http(h, "GET", h->metrics_url, NULL, NULL, &reply);
  snprintf(line, sizeof line, "\n%s ", name);
  const char *at = reply.body ? strstr(reply.body, line) : NULL;
  return at ? strtoll(at + strlen(line), NULL, 10) : -1;
}

static void a_client_that_goes_is_noticed(void **state) {
  struct harness *h = *state;
  enum { CLIENTS = 20 };
  struct sse clients[CLIENTS];
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":30000}", id);
  assert_true(POLL_UNTIL(gauge(h, "autodb_event_streams") == 0, 5000));
  for (int i = 0; i < CLIENTS; i++) sse_open(h, id, "", "", &clients[i]);
  assert_int_equal(gauge(h, "autodb_event_streams"), CLIENTS);
  for (int i = 0; i < CLIENTS; i++) {
    if (i % 2) setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)); /* a reset */
    sse_close(&clients[i]);
  }
  assert_true(POLL_UNTIL(gauge(h, "autodb_event_streams") == 0, 5000));
  post(h, id, "cancel", 202);
}

/* Progress of one job is 64 KiB a time, to a client that reads nothing for a while: it is sent the newest, not all of them. */
static void a_slow_reader_misses_progress_and_not_the_end(void **state) {
  struct harness *h = *state;
  char id[40], sql[600];
  enum { CHANGES = 400 };
  harness_signal(worker, SIGSTOP);
  submit(h, "{\"payload\":1}", id);
  SSE_AUTO sse;
  sse_request(h, id, "", "", &sse);
  sse_answer(&sse);
  snprintf(sql, sizeof sql,
           "UPDATE autodb.queue SET state = 'running', attempt = 1, started_at = now(), lease_owner = 'nobody', "
           "lease_until = now() + interval '1 hour' WHERE id = '%s'",
           id);
  harness_sql(h->database_url, sql);
  PGconn *conn = harness_connect(h->database_url);
  redisContext *redis = jobs_redis_open(h);
  for (int i = 0; i < CHANGES; i++) {
    snprintf(sql, sizeof sql,
             "UPDATE autodb.queue SET progress_seq = progress_seq + 1, progress = json_build_object('percent', %d, 'step', 's', "
             "'message', repeat('m', 65536)) WHERE id = '%s'",
             i * 100 / CHANGES, id);
    PQclear(PQexec(conn, sql));
    freeReplyObject(redisCommand(redis, "PUBLISH {%s}:changed %s", "autodb", id));
  }
  redisFree(redis);
  PQfinish(conn);
  snprintf(sql, sizeof sql, "UPDATE autodb.queue SET progress_seq = progress_seq + 1, progress = '{\"percent\":100}' WHERE id = '%s'", id);
  harness_sql(h->database_url, sql);
  struct heard heard = {0};
  while (!heard.count || heard.events[heard.count - 1].percent != 100) {
    SSE_EVENT_AUTO event;
    assert_true(sse_next(&sse, 20000, &event));
    note(&heard, &event);
  }
  assert_true(count_type(&heard, "progress") < CHANGES); /* some were overtaken */
  jobs_finish(h, id, "succeeded", "{\"payload\":1}", NULL);
  hear(&sse, 15000, &heard); /* nobody was told: it looks by itself */
  expect_tail(&heard, "succeeded");
  harness_signal(worker, SIGCONT);
}

/* Every 15 s, so that nothing in between takes the connection for dead. */
static void a_quiet_stream_has_a_heartbeat(void **state) {
  struct harness *h = *state;
  struct heard heard = {0};
  char id[40];
  harness_signal(worker, SIGSTOP);
  submit(h, "{\"payload\":1}", id);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  SSE_EVENT_AUTO event;
  SSE_EVENT_AUTO none;
  assert_true(sse_next(&sse, 5000, &event));
  assert_string_equal(harness_text(event.data, "status"), "queued");
  assert_true(POLL_UNTIL(!sse_next(&sse, 0, &none) && sse.comments > 0, 17500));
  assert_false(sse.ended);
  harness_signal(worker, SIGCONT);
  hear(&sse, 15000, &heard);
  expect_tail(&heard, "succeeded");
}

/* --- many --- */

static void two_thousand_streams_at_once(void **state) {
  struct harness *h = *state;
  enum { STREAMS = 2000 };
  struct sse *clients = calloc(STREAMS, sizeof *clients);
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":60000}", id);
  assert_true(POLL_UNTIL(strcmp(status_of(h, id), "running") == 0, 10000));
  for (int i = 0; i < STREAMS; i++) {
    sse_request(h, id, "", "", &clients[i]);
    if (i % 100 == 99)
      for (int k = i - 99; k <= i; k++) sse_answer(&clients[k]);
  }
  for (int i = 0; i < STREAMS; i++) assert_int_equal(clients[i].status, 200);
  assert_int_equal(gauge(h, "autodb_event_streams"), STREAMS);
  post(h, id, "cancel", 202);
  for (int i = 0; i < STREAMS; i++) {
    struct heard heard = {0};
    hear(&clients[i], 20000, &heard);
    expect_tail(&heard, "cancelled");
    sse_close(&clients[i]);
  }
  free(clients);
  assert_true(POLL_UNTIL(gauge(h, "autodb_event_streams") == 0, 5000));
}

/* --- servers that go away --- */

static void without_redis_streams_poll(void **state) {
  struct harness *h = *state;
  struct heard heard = {0};
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":4000}", id);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  SSE_EVENT_AUTO first;
  assert_true(sse_next(&sse, 5000, &first));
  harness_kill(valkey);
  hear(&sse, 15000, &heard);
  expect_tail(&heard, "succeeded");
  assert_true(count_type(&heard, "progress") >= 1);
  harness_restart(h, valkey);
}

static void a_restart_of_postgres_does_not_end_a_stream(void **state) {
  struct harness *h = *state;
  struct heard heard = {0};
  char id[40];
  submit(h, "{\"payload\":1,\"sleep_ms\":3000}", id);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  SSE_EVENT_AUTO first;
  assert_true(sse_next(&sse, 5000, &first));
  harness_kill(h->pg[0].proc);
  harness_restart(h, h->pg[0].proc);
  hear(&sse, 45000, &heard);
  expect_tail(&heard, "succeeded");
}

/* The client is told that this stream is over, not that its job is; it comes back and hears the rest. */
static void a_shutdown_ends_streams_politely(void **state) {
  struct harness *h = *state;
  struct heard heard = {0};
  char id[40], last[32];
  submit(h, "{\"payload\":1,\"sleep_ms\":30000}", id);
  SSE_AUTO sse;
  sse_open(h, id, "", "", &sse);
  SSE_EVENT_AUTO first;
  assert_true(sse_next(&sse, 5000, &first));
  kill(api->pid, SIGTERM);
  hear(&sse, 10000, &heard);
  assert_true(heard.ended);
  assert_int_equal(count_type(&heard, "result"), 0);
  assert_int_equal(harness_exit_status(api, 10000), 0);
  api = harness_api(h, api_env);
  snprintf(last, sizeof last, "%lld", heard.count ? heard.events[heard.count - 1].id : first.id);
  SSE_AUTO again;
  struct heard rest = {0};
  sse_open(h, id, last, "", &again);
  post(h, id, "cancel", 202);
  hear(&again, 10000, &rest);
  expect_tail(&rest, "cancelled");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_stream_tells_a_job_from_begin_to_end),
                                     cmocka_unit_test(an_ended_job_is_told_at_once),
                                     cmocka_unit_test(a_large_result_is_left_where_it_is),
                                     cmocka_unit_test(a_stream_resumes_after_every_event),
                                     cmocka_unit_test(a_client_that_comes_and_goes_hears_everything_once),
                                     cmocka_unit_test(ids_grow_over_the_owners_retries),
                                     cmocka_unit_test(a_crash_is_heard_as_queued_again),
                                     cmocka_unit_test(others_see_nothing_and_bad_requests_are_refused),
                                     cmocka_unit_test(framing_fits_the_version_and_the_method),
                                     cmocka_unit_test(a_client_that_goes_is_noticed),
                                     cmocka_unit_test(a_slow_reader_misses_progress_and_not_the_end),
                                     cmocka_unit_test(a_quiet_stream_has_a_heartbeat),
                                     cmocka_unit_test(two_thousand_streams_at_once),
                                     cmocka_unit_test(without_redis_streams_poll),
                                     cmocka_unit_test(a_restart_of_postgres_does_not_end_a_stream),
                                     cmocka_unit_test(a_shutdown_ends_streams_politely)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
