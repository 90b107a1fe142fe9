/* Postgres and Redis die under load: 503 or 202, never a 202 without a row, and recovery without a restart. */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/raw.h"

enum { CLIENTS = 16, IDS_MAX = 200000 };

static struct harness_proc *valkey;
static char (*accepted)[37];
static int accepted_count, unavailable;

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  harness_postgres(h, 17);
  valkey = harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  harness_api(h, NULL);
  accepted = calloc(IDS_MAX, sizeof *accepted);
  *state = h;
  return 0;
}

static int teardown(void **state) {
  free(accepted);
  return harness_teardown(state);
}

static void note(const struct raw_answer *answer) {
  const char *id = strstr(answer->body ? answer->body : "", "\"job_id\": \"");
  char retry[16];
  if (answer->status == 202 && id && accepted_count < IDS_MAX) {
    snprintf(accepted[accepted_count++], sizeof *accepted, "%.36s", id + strlen("\"job_id\": \""));
  } else if (answer->status == 503) {
    unavailable++;
    assert_string_equal(raw_header(answer, "Retry-After", retry, sizeof retry), "1");
  } else {
    fail_msg("neither 202 nor 503: %d %s", answer->status, answer->body);
  }
}

static void send_job(struct harness *h, int fd) {
  char text[512];
  int len = snprintf(text, sizeof text,
                     "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: "
                     "13\r\n\r\n{\"payload\":1}",
                     h->api_key);
  assert_true(raw_send(fd, text, (size_t)len));
}

/* One request on every connection at once, then their answers. */
static void round_of_jobs(struct harness *h, const int fds[CLIENTS]) {
  for (int i = 0; i < CLIENTS; i++) send_job(h, fds[i]);
  for (int i = 0; i < CLIENTS; i++) {
    RAW_AUTO answer;
    raw_read(fds[i], false, &answer);
    note(&answer);
  }
}

static void load_for(struct harness *h, int ms) {
  int fds[CLIENTS];
  for (int i = 0; i < CLIENTS; i++) fds[i] = harness_socket(h);
  int64_t end = harness_now_ms() + ms;
  while (harness_now_ms() < end) round_of_jobs(h, fds);
  for (int i = 0; i < CLIENTS; i++) close(fds[i]);
}

/* Every loop has its Postgres back: several new connections in a row are accepted. */
static bool accepts(struct harness *h) {
  int before = unavailable;
  for (int i = 0; i < 32 && unavailable == before; i++) {
    int fd = harness_socket(h);
    RAW_AUTO answer;
    send_job(h, fd);
    raw_read(fd, false, &answer);
    note(&answer);
    close(fd);
  }
  return unavailable == before;
}

static bool ready_says(struct harness *h, const char *part, bool up) {
  REPLY_AUTO reply;
  char path[64];
  harness_http(h, "GET", "/readyz", NULL, NULL, &reply);
  snprintf(path, sizeof path, "error.details.%s", part);
  return json_is_true(harness_at(reply.json, path)) == up;
}

static void every_accepted_job_is_in_the_record(struct harness *h) {
  PGconn *conn = harness_connect(h->database_url);
  for (int i = 0; i < accepted_count; i++) {
    const char *params[] = {accepted[i]};
    PGresult *res = PQexecParams(conn, "SELECT 1 FROM autodb.jobs WHERE id = $1::uuid", 1, NULL, params, NULL, NULL, 0);
    if (PQntuples(res) != 1) fail_msg("answered 202 and lost: %s", accepted[i]);
    PQclear(res);
  }
  PQfinish(conn);
}

static void without_redis_work_is_accepted(void **state) {
  struct harness *h = *state;
  accepted_count = unavailable = 0;
  load_for(h, 300);
  harness_kill(valkey);
  load_for(h, 700);
  assert_int_equal(unavailable, 0);
  assert_true(POLL_UNTIL(ready_says(h, "redis", false), 5000));
  REPLY_AUTO waited; /* nobody can ring, so it looks by itself */
  harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Prefer: wait=1", NULL}, "{\"payload\":1}", &waited);
  assert_int_equal(waited.status, 202);
  harness_restart(h, valkey);
  assert_true(POLL_UNTIL(ready_says(h, "redis", true), 10000));
  every_accepted_job_is_in_the_record(h);
}

static void postgres_killed_under_load_loses_nothing(void **state) {
  struct harness *h = *state;
  accepted_count = unavailable = 0;
  load_for(h, 300);
  int before = accepted_count;
  assert_true(before > 0);
  harness_kill(h->pg[0].proc);
  load_for(h, 700);
  assert_true(unavailable > 0);
  REPLY_AUTO down;
  char retry[16];
  harness_http(h, "GET", "/api/v1/jobs", NULL, NULL, &down);
  assert_int_equal(down.status, 503);
  assert_string_equal(harness_text(down.json, "error.code"), "UNAVAILABLE");
  assert_string_equal(harness_header(&down, "Retry-After", retry, sizeof retry), "1");
  assert_true(ready_says(h, "postgres", false));
  harness_restart(h, h->pg[0].proc);
  assert_true(POLL_UNTIL(accepts(h), 10000));
  load_for(h, 300);
  assert_true(accepted_count > before);
  every_accepted_job_is_in_the_record(h);
}

/* Killed while commits are in flight, again and again: the outcome of those is unknown, so they must not be 202. */
static void backends_terminated_under_load_lose_nothing(void **state) {
  struct harness *h = *state;
  accepted_count = unavailable = 0;
  for (int i = 0; i < 10; i++) {
    harness_sql(h->database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'autodb api%'");
    load_for(h, 150);
  }
  assert_true(POLL_UNTIL(accepts(h), 10000));
  assert_true(accepted_count > 0);
  every_accepted_job_is_in_the_record(h);
}

/* A frozen database is noticed by deadlines, not by errors; what was asked is answered when it thaws or when it is given up. */
static void a_frozen_postgres_is_survived(void **state) {
  struct harness *h = *state;
  int fd = harness_socket(h);
  RAW_AUTO answer;
  PGconn *holder = harness_connect(h->database_url);
  PQclear(PQexec(holder, "BEGIN"));
  PQclear(PQexec(holder, "LOCK TABLE autodb.jobs IN ACCESS EXCLUSIVE MODE"));
  send_job(h, fd);
  struct pollfd poller = {.fd = fd, .events = POLLIN};
  if (poll(&poller, 1, 500) != 0) { /* no 202 without a commit */
    raw_read(fd, false, &answer);
    fail_msg("answered while the table was locked: %d %s", answer.status, answer.body);
  }
  REPLY_AUTO health;
  harness_http(h, "GET", "/healthz", NULL, NULL, &health);
  assert_int_equal(health.status, 200);
  PQclear(PQexec(holder, "ROLLBACK"));
  PQfinish(holder);
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 202);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_redis_work_is_accepted),
      cmocka_unit_test(postgres_killed_under_load_loses_nothing),
      cmocka_unit_test(backends_terminated_under_load_lose_nothing),
      cmocka_unit_test(a_frozen_postgres_is_survived),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
