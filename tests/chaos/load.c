/* load.c - see load.h. A client does one thing at a time and remembers only its own jobs, so nothing is shared but the order to stop. */
#include "tests/chaos/load.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPLY_MAX (256 * 1024)
#define PATIENCE_MS 12000 /* for one answer; a commit has 10 s */

struct client {
  struct load *load;
  pthread_t thread;
  int number;
  struct rng rng;
  CURL *curl;
  const char *api_key;
  char reply[REPLY_MAX];
  size_t reply_len;
  struct promise *promises;
  int count, room;
  struct load_counts counts;
};

struct load {
  struct load_plan plan;
  atomic_int stop;
  atomic_llong give_up_ms;
  struct client *clients;
};

uint64_t rng_next(struct rng *rng) { /* splitmix64 */
  uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

int rng_below(struct rng *rng, int limit) { return (int)(rng_next(rng) % (uint64_t)limit); }

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(int ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL); }

/* --- one request --- */

static size_t collect(char *data, size_t size, size_t count, void *arg) {
  struct client *client = arg;
  size_t len = size * count;
  if (client->reply_len + len >= REPLY_MAX) return 0;
  memcpy(client->reply + client->reply_len, data, len);
  client->reply_len += len;
  client->reply[client->reply_len] = '\0';
  return len;
}

/* The status, or 0 when there was no whole answer. */
static long ask(struct client *client, const char *method, const char *path, const char *key, const char *body) {
  char url[256], line[128];
  struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
  snprintf(line, sizeof line, "X-API-Key: %s", client->api_key);
  list = curl_slist_append(list, line);
  list = curl_slist_append(list, "Expect:");
  snprintf(line, sizeof line, "Idempotency-Key: %s", key ? key : "");
  if (key) list = curl_slist_append(list, line);
  snprintf(url, sizeof url, "%s%s", client->load->plan.api_url, path);
  client->reply_len = 0;
  client->reply[0] = '\0';
  curl_easy_reset(client->curl);
  curl_easy_setopt(client->curl, CURLOPT_URL, url);
  curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
  curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
  curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
  if (body) curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body);
  long status = 0;
  if (curl_easy_perform(client->curl) == CURLE_OK) curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
  curl_slist_free_all(list);
  return status;
}

/* The id of the job in the answer, "" when there is none. */
static void job_id(const struct client *client, char out[40]) {
  json_t *json = json_loads(client->reply, 0, NULL);
  json_t *data = json_object_get(json, "data");
  const char *id = json_string_value(json_object_get(data, "job_id"));
  if (!id) id = json_string_value(json_object_get(data, "id"));
  snprintf(out, 40, "%s", id ? id : "");
  json_decref(json);
}

static void complain(struct client *client, const char *what, long status) {
  client->counts.refused++;
  snprintf(client->counts.complaint, sizeof client->counts.complaint, "%s: %ld %.400s", what, status, client->reply);
}

/* --- submitting --- */

static void promised(struct client *client, const struct promise *promise) {
  if (client->count == client->room) {
    client->room = client->room ? client->room * 2 : 256;
    client->promises = realloc(client->promises, (size_t)client->room * sizeof *client->promises);
    if (!client->promises) abort();
  }
  client->promises[client->count++] = *promise;
  client->counts.accepted++;
}

static int work_ms(struct rng *rng) {
  int kind = rng_below(rng, 100);
  return kind < 70 ? 0 : kind < 96 ? rng_below(rng, 20) : 300 + rng_below(rng, 1200);
}

/* A request and, in metadata, the key it is sent under: the checker counts jobs by it. */
static void make_body(struct client *client, struct promise *promise, bool callback, char *body, size_t size) {
  static const char *const lanes[] = {"interactive", "default", "bulk"};
  struct rng *rng = &client->rng;
  int kind = rng_below(rng, 100);
  char fail[32] = "", callback_url[128] = "";
  promise->fails = (char)(kind < 1 ? 'c' : kind < 4 ? 'e' : 0);
  if (promise->fails) snprintf(fail, sizeof fail, ",\"fail\":\"%s\"", promise->fails == 'c' ? "crash" : "error");
  if (callback) snprintf(callback_url, sizeof callback_url, ",\"callback_url\":\"%s\"", client->load->plan.callback_url);
  snprintf(body, size, "{\"payload\":{\"client\":%d,\"n\":%d},\"sleep_ms\":%d,\"priority\":\"%s\",\"metadata\":{\"key\":\"%s\"}%s%s}",
           client->number, rng_below(rng, 1000000), work_ms(rng), lanes[rng_below(rng, 3)], promise->key, fail, callback_url);
}

static bool is_unknown(long status) { return status == 0 || status >= 500; }

/* A refused connection or a 503 leaves open whether the job is there; with a key one asks until told. */
static void submit_keyed(struct client *client, struct promise *promise, const char *body) {
  for (;;) {
    long status = ask(client, "POST", "/api/v1/jobs/echo", promise->key, body);
    if (status == 202 || status == 200) {
      job_id(client, promise->id);
      promised(client, promise);
      break;
    }
    if (!is_unknown(status) && status != 429 && status != 409) {
      complain(client, "submit with a key", status);
      return;
    }
    if (now_ms() > atomic_load(&client->load->give_up_ms)) {
      client->counts.unsettled++;
      return;
    }
    nap(20 + rng_below(&client->rng, 100));
  }
  if (rng_below(&client->rng, 4) != 0) return; /* some ask once more, as clients that missed the answer do */
  char again[40];
  long status = ask(client, "POST", "/api/v1/jobs/echo", promise->key, body);
  job_id(client, again);
  if ((status == 202 || status == 200) && strcmp(again, promise->id) != 0) client->counts.strays++;
}

static void submit(struct client *client) {
  char body[1024];
  struct promise promise = {0};
  bool keyed = rng_below(&client->rng, 3) == 0;
  if (keyed) snprintf(promise.key, sizeof promise.key, "chaos-%d-%016llx", client->number, (unsigned long long)rng_next(&client->rng));
  make_body(client, &promise, rng_below(&client->rng, 8) == 0, body, sizeof body);
  if (keyed) {
    submit_keyed(client, &promise, body);
    return;
  }
  long status = ask(client, "POST", "/api/v1/jobs/echo", NULL, body);
  if (status == 202) {
    job_id(client, promise.id);
    promised(client, &promise);
  } else if (is_unknown(status)) {
    client->counts.unknown++;
    nap(20 + rng_below(&client->rng, 60));
  } else if (status == 429) {
    nap(50);
  } else {
    complain(client, "submit", status);
  }
}

/* --- steering and looking --- */

static struct promise *recent(struct client *client) {
  if (!client->count) return NULL;
  int span = client->count < 30 ? client->count : 30;
  return &client->promises[client->count - 1 - rng_below(&client->rng, span)];
}

static void cancel(struct client *client) {
  struct promise *promise = recent(client);
  char path[128];
  if (!promise) return;
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", promise->id);
  promise->cancel_asked = true;
  long status = ask(client, "POST", path, NULL, NULL);
  client->counts.cancels += status == 202;
  if (status == 404) client->counts.missing++;
  if (status >= 400 && status < 500 && status != 409 && status != 404 && status != 429) complain(client, "cancel", status);
}

static void retry(struct client *client) {
  char path[128];
  for (int i = client->count - 1, left = 100; i >= 0 && left; i--, left--) {
    struct promise *promise = &client->promises[i];
    if ((!promise->fails && !promise->cancel_asked) || promise->retry_asked) continue;
    snprintf(path, sizeof path, "/api/v1/jobs/%s/retry", promise->id);
    long status = ask(client, "POST", path, NULL, NULL);
    promise->retry_asked = status != 409; /* one that still runs may be retried later */
    client->counts.retries += status == 202;
    client->counts.retries_unknown += is_unknown(status);
    if (status == 404) client->counts.missing++;
    return;
  }
}

static void look(struct client *client) {
  const struct promise *promise = recent(client);
  char path[128];
  if (!promise) return;
  snprintf(path, sizeof path, "/api/v1/jobs/%s%s", promise->id, rng_below(&client->rng, 4) ? "" : "?wait=1");
  if (ask(client, "GET", path, NULL, NULL) == 404) client->counts.missing++;
}

static void *run(void *arg) {
  struct client *client = arg;
  while (!atomic_load(&client->load->stop)) {
    int what = rng_below(&client->rng, 100);
    if (what < 78)
      submit(client);
    else if (what < 85)
      cancel(client);
    else if (what < 91)
      retry(client);
    else
      look(client);
    nap(rng_below(&client->rng, 60));
  }
  return NULL;
}

/* --- birth and death --- */

struct load *load_start(const struct load_plan *plan) {
  struct load *load = calloc(1, sizeof *load);
  if (!load) abort();
  load->plan = *plan;
  atomic_store(&load->give_up_ms, INT64_MAX);
  load->clients = calloc((size_t)plan->clients, sizeof *load->clients);
  for (int i = 0; i < plan->clients; i++) {
    struct client *client = &load->clients[i];
    client->load = load;
    client->number = i;
    client->api_key = plan->keys[i % plan->owners];
    client->rng.state = plan->seed * 1000003u + (uint64_t)i;
    client->curl = curl_easy_init();
    if (!client->curl || pthread_create(&client->thread, NULL, run, client) != 0) abort();
  }
  return load;
}

void load_stop(struct load *load, int timeout_ms) {
  atomic_store(&load->give_up_ms, now_ms() + timeout_ms);
  atomic_store(&load->stop, 1);
  for (int i = 0; i < load->plan.clients; i++) pthread_join(load->clients[i].thread, NULL);
}

void load_free(struct load *load) {
  if (!load) return;
  for (int i = 0; i < load->plan.clients; i++) {
    curl_easy_cleanup(load->clients[i].curl);
    free(load->clients[i].promises);
  }
  free(load->clients);
  free(load);
}

int load_promises(const struct load *load) {
  int sum = 0;
  for (int i = 0; i < load->plan.clients; i++) sum += load->clients[i].count;
  return sum;
}

const struct promise *load_promise(const struct load *load, int index) {
  int i = 0;
  for (; index >= load->clients[i].count; i++) index -= load->clients[i].count;
  return &load->clients[i].promises[index];
}

void load_sum(const struct load *load, struct load_counts *ret_counts) {
  struct load_counts sum = {0};
  for (int i = 0; i < load->plan.clients; i++) {
    const struct load_counts *one = &load->clients[i].counts;
    sum.accepted += one->accepted;
    sum.unknown += one->unknown;
    sum.unsettled += one->unsettled;
    sum.strays += one->strays;
    sum.missing += one->missing;
    sum.cancels += one->cancels;
    sum.retries += one->retries;
    sum.retries_unknown += one->retries_unknown;
    sum.refused += one->refused;
    if (one->refused) memcpy(sum.complaint, one->complaint, sizeof sum.complaint);
  }
  *ret_counts = sum;
}
