/* HTTP by libcurl. Proxies of the environment are honoured for other hosts, as curl does, never for loopback. */
#include "cli/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/term.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/utf8.h"

#define CLIENT_ANSWER_MAX (128 * 1024 * 1024)
#define CLIENT_UPLOAD_SECONDS 1800
#define CLIENT_SILENT_SECONDS 60L /* without a byte of an event stream: the connection is dead */
#define CLIENT_WAIT_SECONDS 20    /* of one long poll … */
#define CLIENT_LOOK_SECONDS 2     /* … and of one while somebody watches the progress */

struct client {
  CURL *curl;
  char url[1024];
  struct curl_slist *headers; /* key, content type: sent with every call */
};

/* Printable, so that nothing slips another header in. */
static bool header_safe(const char *text) {
  for (; *text; text++)
    if (!isgraph((unsigned char)*text)) return false;
  return true;
}

static enum status add_header(struct client *client, const char *fmt, const char *value, struct error *err) {
  BUF_AUTO line;
  buf_init(&line, 1024);
  buf_puts(&line, fmt);
  buf_puts(&line, value);
  struct curl_slist *list = buf_ok(&line) ? curl_slist_append(client->headers, buf_str(&line)) : NULL;
  if (!list) return error_oom(err);
  client->headers = list;
  return OK;
}

enum status client_new(struct client **ret_client, struct error *err) {
  const char *url = getenv("AUTODB_URL"), *key = getenv("AUTODB_API_KEY");
  if (!url || !*url) url = "http://127.0.0.1:8080";
  if (!key || !*key) return error_set(err, ERR_UNAUTHORIZED, "AUTODB_API_KEY is not set");
  if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
    return error_set(err, ERR_VALIDATION, "AUTODB_URL must begin with http:// or https://");
  struct client *client = calloc(1, sizeof *client);
  if (!client) return error_oom(err);
  size_t len = strlen(url);
  while (len && url[len - 1] == '/') len--;
  snprintf(client->url, sizeof client->url, "%.*s", (int)len, url);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  client->curl = curl_easy_init();
  enum status status = client->curl ? OK : error_oom(err);
  if (!status && !header_safe(key)) status = error_set(err, ERR_VALIDATION, "AUTODB_API_KEY holds characters that no key has");
  if (!status) status = add_header(client, "X-API-Key: ", key, err);
  if (!status) status = add_header(client, "Content-Type: ", "application/json", err);
  if (!status) status = add_header(client, "Expect:", "", err);
  if (status)
    client_free(client);
  else
    *ret_client = client;
  return status;
}

void client_free(struct client *client) {
  if (!client) return;
  curl_slist_free_all(client->headers);
  curl_easy_cleanup(client->curl);
  free(client);
}

/* --- one call --- */

static size_t collect(char *data, size_t size, size_t count, void *arg) { return buf_append(arg, data, size * count) ? size * count : 0; }

static enum status refused(const struct client *client, long http, const json_t *envelope, struct error *err) {
  const json_t *error = json_object_get(envelope, "error");
  const char *message = json_str(error, "message", NULL);
  if (!message) return error_set(err, ERR_INTERNAL, "%s answered %ld, and not as AutoDB does", client->url, http);
  enum status status = http == 401 ? ERR_UNAUTHORIZED : http == 404 ? ERR_NOT_FOUND : http == 503 ? ERR_UNAVAILABLE : ERR_VALIDATION;
  error_set_code(err, status, json_str(error, "code", "INTERNAL"), "%s", message);
  err->details = json_incref(json_object_get(error, "details"));
  return status;
}

static enum status unwrap(const struct client *client, const struct buf *answer, json_t **ret_data, struct error *err) {
  long http = 0;
  curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
  json_t *envelope = json_loadb(buf_str(answer), answer->len, 0, NULL);
  json_t *data = http >= 200 && http < 300 ? json_object_get(envelope, "data") : NULL;
  enum status status = OK;
  if (data)
    *ret_data = json_incref(data);
  else
    status = refused(client, http, envelope, err);
  json_decref(envelope);
  return status;
}

/* What every call has in common; `url` must live until it is over. */
static enum status prepare(struct client *client, const char *path, struct buf *url, char reason[CURL_ERROR_SIZE], struct error *err) {
  CURL *curl = client->curl;
  buf_printf(url, "%s%s", client->url, path);
  if (!buf_ok(url)) return error_oom(err);
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, buf_str(url));
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  return OK;
}

static enum status perform(struct client *client, const char *reason, struct error *err) {
  CURLcode code = curl_easy_perform(client->curl);
  if (code == CURLE_OK) return OK;
  return error_set(err, ERR_UNAVAILABLE, "%s: %s", client->url, *reason ? reason : curl_easy_strerror(code));
}

enum status client_call(struct client *client, const char *method, const char *path, const json_t *body, const char *prefer,
                        json_t **ret_data, struct error *err) {
  BUF_AUTO url, answer, sent, preference;
  char reason[CURL_ERROR_SIZE] = "";
  buf_init(&url, 8192);
  buf_init(&answer, CLIENT_ANSWER_MAX);
  buf_init(&sent, CLIENT_ANSWER_MAX);
  buf_init(&preference, 256);
  buf_printf(&preference, "Prefer: %s", prefer ? prefer : "");
  if (body) buf_put_json(&sent, body);
  if (!buf_ok(&sent) || !buf_ok(&preference)) return error_oom(err);
  enum status status = prepare(client, path, &url, reason, err);
  if (status) return status;
  struct curl_slist extra = {.data = preference.data, .next = client->headers}; // a node of ours before the common ones
  CURL *curl = client->curl;
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  if (prefer) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, &extra);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  if (body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buf_str(&sent));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)sent.len);
  }
  status = perform(client, reason, err);
  if (status) return status;
  long http = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
  if (http != 204) return unwrap(client, &answer, ret_data, err);
  *ret_data = json_null();
  return OK;
}

/* --- files --- */

static bool is_directory(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static enum status add_files(curl_mime *mime, const char *const files[], size_t count, struct error *err) {
  for (size_t i = 0; i < count; i++) {
    if (is_directory(files[i])) return error_set(err, ERR_VALIDATION, "%s is a directory: name the files in it", files[i]);
    curl_mimepart *part = curl_mime_addpart(mime);
    const char *slash = strrchr(files[i], '/');
    if (!part || curl_mime_name(part, "files") != CURLE_OK) return error_oom(err);
    if (curl_mime_filedata(part, files[i]) != CURLE_OK) return error_set(err, ERR_NOT_FOUND, "%s can't be read", files[i]);
    if (curl_mime_filename(part, slash ? slash + 1 : files[i]) != CURLE_OK) return error_oom(err);
  }
  return OK;
}

enum status client_upload(struct client *client, const char *path, const char *const files[], size_t count, json_t **ret_data,
                          struct error *err) {
  BUF_AUTO url, answer;
  char reason[CURL_ERROR_SIZE] = "";
  buf_init(&url, 8192);
  buf_init(&answer, CLIENT_ANSWER_MAX);
  enum status status = prepare(client, path, &url, reason, err);
  if (status) return status;
  curl_mime *mime = curl_mime_init(client->curl);
  struct curl_slist *list = client->headers, key_only = *list, expect = {.data = (char[]){"Expect:"}};
  key_only.next = &expect; /* the form has a content type of its own */
  status = mime ? add_files(mime, files, count, err) : error_oom(err);
  if (!status) {
    curl_easy_setopt(client->curl, CURLOPT_MIMEPOST, mime);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, &key_only);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, (long)CLIENT_UPLOAD_SECONDS);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &answer);
    status = perform(client, reason, err);
  }
  curl_mime_free(mime);
  return status ? status : unwrap(client, &answer, ret_data, err);
}

struct download {
  CURL *curl;
  FILE *out;
  struct buf refusal;
};

static size_t on_bytes(char *data, size_t size, size_t count, void *arg) {
  struct download *download = arg;
  long http = 0;
  curl_easy_getinfo(download->curl, CURLINFO_RESPONSE_CODE, &http);
  if (http == 200) return fwrite(data, size, count, download->out) * size;
  return buf_append(&download->refusal, data, size * count) ? size * count : 0;
}

enum status client_download(struct client *client, const char *path, FILE *out, struct error *err) {
  BUF_AUTO url;
  char reason[CURL_ERROR_SIZE] = "";
  long http = 0;
  json_t *none = NULL;
  struct download download = {.curl = client->curl, .out = out};
  buf_init(&url, 8192);
  buf_init(&download.refusal, 1024 * 1024);
  enum status status = prepare(client, path, &url, reason, err);
  if (status) return status;
  curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &download);
  status = perform(client, reason, err);
  curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
  if (!status && http != 200) status = unwrap(client, &download.refusal, &none, err);
  buf_free(&download.refusal);
  return status;
}

/* --- event streams --- */

struct stream {
  CURL *curl;
  bool (*bytes)(void *arg, const char *bytes, size_t len);
  void *arg;
  struct buf refusal; /* an answer that is no stream */
};

static size_t pass_on(char *data, size_t size, size_t count, void *arg) {
  struct stream *stream = arg;
  long http = 0;
  curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &http);
  bool taken = http == 200 ? stream->bytes(stream->arg, data, size * count) : buf_append(&stream->refusal, data, size * count);
  return taken ? size * count : 0;
}

static enum status stream_end(struct client *client, CURLcode code, const char *reason, const struct stream *stream, bool *ret_over,
                              struct error *err) {
  long http = 0;
  curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
  if (code == CURLE_WRITE_ERROR) return error_set(err, ERR_INTERNAL, "%s sent an event that is too large", client->url);
  if (code != CURLE_OK) return error_set(err, ERR_UNAVAILABLE, "%s: %s", client->url, *reason ? reason : curl_easy_strerror(code));
  if (http == 200 || http == 204) {
    *ret_over = http == 204;
    return OK;
  }
  json_t *envelope = json_loadb(buf_str(&stream->refusal), stream->refusal.len, 0, NULL);
  enum status status = refused(client, http, envelope, err);
  json_decref(envelope);
  return status;
}

enum status client_stream(struct client *client, const char *path, const char *last_id, int64_t timeout_ms,
                          bool (*bytes)(void *arg, const char *bytes, size_t len), void *arg, bool *ret_over, struct error *err) {
  BUF_AUTO url, last;
  char reason[CURL_ERROR_SIZE] = "", accept[] = "Accept: text/event-stream";
  struct stream stream = {.curl = client->curl, .bytes = bytes, .arg = arg};
  buf_init(&url, 8192);
  buf_init(&last, 256);
  buf_init(&stream.refusal, CLIENT_ANSWER_MAX);
  buf_printf(&last, "Last-Event-ID: %s", last_id);
  if (!buf_ok(&last) || (*last_id && !header_safe(last_id))) return error_set(err, ERR_INTERNAL, "an event has an id that can't be sent");
  struct curl_slist from = {.data = last.data, .next = client->headers},
                    want = {.data = accept, .next = *last_id ? &from : client->headers};
  enum status status = prepare(client, path, &url, reason, err);
  if (status) return status;
  curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
  curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, &want);
  curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L); /* the server gives a sign of life more often */
  curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, CLIENT_SILENT_SECONDS);
  curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, pass_on);
  curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &stream);
  status = stream_end(client, curl_easy_perform(client->curl), reason, &stream, ret_over, err);
  buf_free(&stream.refusal);
  return status;
}

const char *client_hint(const struct error *err) {
  if (err->status == ERR_UNAUTHORIZED) return "set AUTODB_API_KEY; deploy/up writes it into .autodb/env: `. .autodb/env`";
  if (err->status == ERR_UNAVAILABLE) return "is the server running? deploy/up starts one; AUTODB_URL says where it is";
  if (err->status == ERR_TIMEOUT) return "it goes on without us; `autodb job ID` waits again";
  return NULL;
}

/* --- waiting for a job --- */

static bool ended(const json_t *job) {
  const char *state = json_str(job, "status", "");
  return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

/* One line, of which a message takes what is left; it may hold words from a database. */
static void show_progress(const json_t *job) {
  struct term term;
  char line[128];
  if (!isatty(STDERR_FILENO)) return;
  term_init(&term, stderr);
  const json_t *progress = json_object_get(job, "progress");
  const char *message = json_str(progress, "message", "");
  int used = snprintf(line, sizeof line, "%.16s %lld%% %.40s ", json_str(job, "status", ""), json_int(progress, "percent", 0),
                      json_str(progress, "step", ""));
  int room = used < term.width ? term.width - used - 1 : 0;
  fputs("\r\033[K", stderr);
  if (ended(job)) return;
  term_printf(&term, TERM_PLAIN, "%s", line);
  if ((int)strcspn(message, "\n") < room) room = (int)strcspn(message, "\n");
  if ((size_t)room < strlen(message)) room = (int)utf8_cut(message, (size_t)room);
  term_printf(&term, TERM_DIM, "%.*s", room, message);
}

enum status client_outcome(const json_t *job, struct error *err) {
  const char *state = json_str(job, "status", "");
  if (strcmp(state, "succeeded") == 0) return OK;
  const json_t *error = json_object_get(job, "error");
  error_set_code(err, ERR_VALIDATION, json_str(error, "code", "INTERNAL"), "the job %s %s: %s", json_str(job, "job_id", ""),
                 strcmp(state, "cancelled") == 0 ? "was cancelled" : "failed", json_str(error, "message", "no reason was given"));
  err->details = json_incref(json_object_get(error, "details"));
  return err->status;
}

enum status client_end(struct client *client, json_t *take_job, int timeout_seconds, json_t **ret_job, struct error *err) {
  json_t *job = take_job;
  int64_t end = clock_mono_ms() + (int64_t)timeout_seconds * 1000;
  enum status status = OK;
  char path[128];
  show_progress(job);
  while (!status && !ended(job)) {
    json_t *next = NULL;
    int64_t left = (end - clock_mono_ms() + 999) / 1000;
    int most = isatty(STDERR_FILENO) ? CLIENT_LOOK_SECONDS : CLIENT_WAIT_SECONDS;
    snprintf(path, sizeof path, "/api/v1/jobs/%.40s?wait=%d", json_str(job, "job_id", ""), left < most ? (int)left : most);
    if (left <= 0)
      status = error_set(err, ERR_TIMEOUT, "job %s has not ended after %d s", json_str(job, "job_id", ""), timeout_seconds);
    else
      status = client_call(client, "GET", path, NULL, NULL, &next, err);
    if (status) break;
    json_decref(job);
    job = next;
    show_progress(job);
  }
  if (status)
    json_decref(job);
  else
    *ret_job = job;
  return status;
}

enum status client_wait(struct client *client, json_t *take_job, int timeout_seconds, json_t **ret_job, struct error *err) {
  json_t *job = NULL;
  enum status status = client_end(client, take_job, timeout_seconds, &job, err);
  if (!status) status = client_outcome(job, err);
  if (status)
    json_decref(job);
  else
    *ret_job = job;
  return status;
}
