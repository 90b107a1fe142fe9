/* What both processes tell of themselves: /metrics read by a strict parser and added up, and one trace through all their logs. */
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/jobs.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
static const char traceparent[] = "traceparent: 00-" TRACE "-b7ad6b7169203331-01";
static char worker_metrics[64];
static struct harness_proc *worker, *api;

static int free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  close(fd);
  return ntohs(address.sin_port);
}

static int setup(void **state) {
  static char listen[64];
  struct harness *h = harness_new();
  int port = free_port();
  snprintf(listen, sizeof listen, "AUTODB_METRICS_LISTEN=127.0.0.1:%d", port);
  snprintf(worker_metrics, sizeof worker_metrics, "http://127.0.0.1:%d/metrics", port);
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", h->api_key);
  api = harness_api(h, (const char *[]){"AUTODB_ENABLE_FAULTS=1", "AUTODB_LOG_LEVEL=debug", NULL});
  worker = harness_worker(h, (const char *[]){"AUTODB_ENABLE_FAULTS=1", "AUTODB_LOG_LEVEL=debug", "AUTODB_SLOTS=2", listen, NULL});
  *state = h;
  return 0;
}

/* --- the parser --- */

struct family {
  char name[80], type[16];
  bool help;
};

static bool is_name(const char *text, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!(isalpha((unsigned char)text[i]) || text[i] == '_' || (i && isdigit((unsigned char)text[i])))) return false;
  return len > 0 && strncmp(text, "autodb_", 7) == 0;
}

static bool ends_with(const char *text, const char *end) {
  size_t len = strlen(text), tail = strlen(end);
  return len >= tail && strcmp(text + len - tail, end) == 0;
}

/* {name="value",…}: the first byte behind it. */
static const char *skip_labels(const char *at) {
  if (*at != '{') return at;
  do {
    size_t len = strspn(++at, "abcdefghijklmnopqrstuvwxyz_");
    assert_true(len > 0);
    at += len;
    assert_memory_equal(at, "=\"", 2);
    for (at += 2; *at != '"'; at++) {
      assert_true(*at && *at != '\n');
      if (*at == '\\') assert_non_null(strchr("\\\"n", *++at));
    }
    at++;
  } while (*at == ',');
  assert_int_equal(*at, '}');
  return at + 1;
}

static void check_comment(const char *line, struct family *family) {
  char name[80], rest[512];
  bool help = sscanf(line, "# HELP %79s %511[^\n]", name, rest) == 2;
  if (help) {
    assert_true(is_name(name, strlen(name)));
    assert_true(ends_with(rest, ".")); /* a sentence */
    snprintf(family->name, sizeof family->name, "%s", name);
    family->help = true;
    return;
  }
  assert_int_equal(sscanf(line, "# TYPE %79s %15s", name, family->type), 2);
  assert_true(family->help);
  assert_string_equal(name, family->name);
  family->help = false;
  if (strcmp(family->type, "counter") == 0) assert_true(ends_with(name, "_total"));
  if (strcmp(family->type, "histogram") == 0) assert_true(ends_with(name, "_seconds") || ends_with(name, "_bytes"));
  if (strcmp(family->type, "gauge") == 0) assert_false(ends_with(name, "_total"));
}

/* A sample of the family it follows; buckets don't sink, and the last is the count. */
static void check_sample(const char *line, const struct family *family, double *last_bucket) {
  size_t len = strcspn(line, "{ ");
  assert_true(is_name(line, len));
  assert_memory_equal(line, family->name, strlen(family->name));
  const char *suffix = line + strlen(family->name), *value = skip_labels(line + len);
  assert_int_equal(*value, ' ');
  char *end;
  double number = strtod(value + 1, &end);
  assert_true(end > value + 1 && (*end == '\n' || !*end));
  if (strcmp(family->type, "histogram") != 0) assert_int_equal(suffix - line, len);
  if (strcmp(family->type, "counter") == 0) assert_true(number >= 0);
  if (strcmp(family->type, "histogram") != 0) return;
  if (strncmp(suffix, "_bucket", 7) == 0) {
    assert_true(strstr(line, "le=\"0.0005\"") || number >= *last_bucket);
    *last_bucket = number;
  } else if (strncmp(suffix, "_count", 6) == 0) {
    assert_true(number == *last_bucket);
  } else {
    assert_int_equal(strncmp(suffix, "_sum", 4), 0);
  }
}

/* The text, every line of which is as it must be; no series is there twice. */
static char *scrape(struct harness *h, const char *url) {
  REPLY_AUTO reply;
  struct family family = {0};
  double bucket = 0;
  char names[32768] = "\n", text[100];
  harness_http(h, "GET", url, NULL, NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(harness_header(&reply, "Content-Type", text, sizeof text), "text/plain; version=0.0.4; charset=utf-8");
  assert_int_equal(reply.body[reply.body_len - 1], '\n');
  char *copy = strdup(reply.body), *rest = copy;
  for (char *line; (line = strsep(&rest, "\n")) && *line;) {
    if (*line != '#') {
      check_sample(line, &family, &bucket);
      continue;
    }
    check_comment(line, &family);
    if (!family.help) continue;
    snprintf(text, sizeof text, "\n%s\n", family.name);
    assert_null(strstr(names, text));
    size_t used = strlen(names);
    assert_true(used + strlen(text) < sizeof names);
    snprintf(names + used, sizeof names - used, "%s", text + 1);
  }
  free(copy);
  return strdup(reply.body);
}

/* The sum of the family's series that hold `with`. */
static double sum(const char *metrics, const char *name, const char *with) {
  double total = 0;
  size_t len = strlen(name);
  for (const char *line = metrics; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
    if (strncmp(line, name, len) != 0 || (line[len] != '{' && line[len] != ' ')) continue;
    const char *value = skip_labels(line + len);
    char labels[256];
    snprintf(labels, sizeof labels, "%.*s", (int)(value - line), line);
    if (strstr(labels, with)) total += strtod(value, NULL);
  }
  return total;
}

/* --- tests --- */

static void echo(struct harness *h, const char *body, const char *wait, int status) {
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){traceparent, wait, NULL}, body, &reply);
  if (reply.status != status) fail_msg("%ld: %s", reply.status, reply.body);
}

static void counters_add_up(void **state) {
  struct harness *h = *state;
  for (int i = 0; i < 40; i++) echo(h, "{\"payload\":1}", "Prefer: wait=20", 200);
  for (int i = 0; i < 5; i++) echo(h, "{\"payload\":1,\"fail\":\"error\"}", "Prefer: wait=20", 200);
  echo(h, "{\"payload\":1,\"fail\":\"crash\"}", "Prefer: wait=30", 200);
  jobs_await_all(h, 10000);
  char *mine = scrape(h, h->metrics_url), *theirs = scrape(h, worker_metrics);
  assert_true(sum(mine, "autodb_jobs_accepted_total", "kind=\"system.echo\"") == 46);
  assert_true(sum(mine, "autodb_accept_seconds_count", "") == 46);
  assert_true(sum(theirs, "autodb_jobs_claimed_total", "") == 48); /* three attempts of the one that crashes */
  assert_true(sum(theirs, "autodb_attempts_total", "succeeded") == 40);
  assert_true(sum(theirs, "autodb_attempts_total", "failed") == 5);
  assert_true(sum(theirs, "autodb_attempts_total", "crash") == 3);
  assert_true(sum(theirs, "autodb_attempts_by_kind_total", "system.echo") == 48);
  assert_true(sum(theirs, "autodb_slot_deaths_total", "crash") == 3);
  assert_true(sum(theirs, "autodb_job_seconds_count", "system.echo") == 45);
  assert_true(sum(theirs, "autodb_finishes_fenced_total", "") == 0);
  assert_true(sum(theirs, "autodb_sweeper_repairs_total", "due") >= 2);
  assert_true(sum(theirs, "autodb_slots", "") == 2);
  assert_true(sum(theirs, "autodb_sweeper_leader", "") == 1);
  free(mine);
  free(theirs);
}

static void the_queue_is_gauged(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "INSERT INTO autodb.pauses (name) VALUES ('bulk')");
  jobs_add(h, "bulk", "{}", 7, true, NULL);
  harness_sql(h->database_url, "UPDATE autodb.queue SET run_at = now() - interval '100 s'");
  char *text = NULL;
  assert_true(POLL_UNTIL(
      (free(text), text = scrape(h, worker_metrics), sum(text, "autodb_queue_depth", "{lane=\"bulk\",kind=\"system.echo\"}") == 7), 12000));
  double age = sum(text, "autodb_queue_oldest_seconds", "{lane=\"bulk\",kind=\"system.echo\"}");
  assert_true(age >= 100 && age < 130);
  assert_true(sum(text, "autodb_queue_paused", "{name=\"bulk\"}") == 1);
  assert_true(sum(text, "autodb_queue_depth", "lane=\"interactive\"") == 0);
  free(text);
  harness_sql(h->database_url, "UPDATE autodb.pauses SET resumed_at = now()");
  jobs_await_all(h, 10000);
}

/* Every line of the log that names a job has its attempt and trace; the number of those that name this trace. */
static int check_log(const struct harness_proc *proc, const char *trace) {
  FILE *file = fopen(proc->log, "r");
  char line[16384];
  int found = 0;
  assert_non_null(file);
  while (fgets(line, sizeof line, file)) {
    json_t *json = json_loads(line, 0, NULL);
    if (!json) fail_msg("not JSON: %s", line);
    if (json_object_get(json, "job") && (strlen(harness_text(json, "trace_id")) != 32 || !*harness_text(json, "attempt")))
      fail_msg("a job's line without its trace or attempt: %s", line);
    if (json_object_get(json, "request") && strlen(harness_text(json, "trace_id")) != 32)
      fail_msg("a request's line without trace: %s", line);
    found += strcmp(harness_text(json, "trace_id"), trace) == 0;
    json_decref(json);
  }
  fclose(file);
  return found;
}

static void one_trace_goes_through_the_logs(void **state) {
  struct harness *h = *state;
  harness_sql(h->database_url, "DELETE FROM autodb.jobs");
  echo(h, "{\"payload\":1,\"fail\":\"error\"}", "Prefer: wait=20", 200);
  harness_sql(h->database_url, "ALTER TABLE autodb.idempotency_keys RENAME TO gone"); /* a request that fails inside */
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){traceparent, "Idempotency-Key: k", NULL}, "{\"payload\":1}", &reply);
  assert_int_equal(reply.status, 500);
  harness_sql(h->database_url, "ALTER TABLE autodb.gone RENAME TO idempotency_keys");
  assert_true(check_log(worker, TRACE) >= 3); /* the slot's beginning and end, the supervisor's end of the attempt */
  assert_in_range(check_log(api, TRACE), 1, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counters_add_up),
      cmocka_unit_test(one_trace_goes_through_the_logs),
      cmocka_unit_test(the_queue_is_gauged),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
