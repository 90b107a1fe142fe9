/* webcall.c - one easy handle per caller, set up anew for each call. The handle's pool of connections belongs to one policy, so a
 * connection that is used again was once held against the same rules. */
#include "common/webcall.h"

#include <errno.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/sigv4.h"
#include "common/webcall_impl.h"

#define CONNECT_MS 10000L
#define HEADERS_MAX 32
#define KEEP_MAX 16
#define KEPT_BYTES (64 * 1024)
#define HEADER_BYTES 16384

struct webcall {
  CURL *curl;
  const struct netpolicy *policy;
};

enum status webcall_new(const struct netpolicy *policy, struct webcall **ret_webcall, struct error *err) {
  struct webcall *webcall = calloc(1, sizeof *webcall);
  if (!webcall) return error_oom(err);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  webcall->curl = curl_easy_init();
  webcall->policy = policy;
  if (!webcall->curl) {
    free(webcall);
    return error_oom(err);
  }
  *ret_webcall = webcall;
  return OK;
}

void webcall_free(struct webcall *webcall) {
  if (!webcall) return;
  curl_easy_cleanup(webcall->curl);
  free(webcall);
}

static void free_url(CURLU **url) { curl_url_cleanup(*url); }

const char *webcall_host(const char *url, struct arena *arena) {
  __attribute__((cleanup(free_url))) CURLU *parsed = curl_url();
  if (!parsed || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK) return NULL;
  char *scheme = NULL, *host = NULL, *user = NULL;
  curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
  curl_url_get(parsed, CURLUPART_HOST, &host, 0);
  curl_url_get(parsed, CURLUPART_USER, &user, 0);
  bool fine = scheme && host && !user && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
  char *copy = fine ? arena_strdup(arena, host) : NULL;
  for (char *at = copy; at && *at; at++)
    if (*at >= 'A' && *at <= 'Z') *at = (char)(*at | 0x20);
  curl_free(scheme);
  curl_free(host);
  curl_free(user);
  return copy;
}

/* --- callbacks of libcurl --- */

/* The last word on where we connect to: the address is the one the kernel gets. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
  struct call *call = arg;
  (void)purpose;
  const char *refusal = call->policy ? netpolicy_refusal(call->policy, &address->addr) : NULL;
  if (!refusal && call->plain && call->request->plain_if_listed && !(call->policy && netpolicy_lists(call->policy, &address->addr)))
    refusal = "may be reached by https only";
  if (refusal) {
    call->refusal = refusal;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool write_all(int fd, const char *data, size_t len) {
  while (len) {
    ssize_t wrote = write(fd, data, len);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    data += wrote;
    len -= (size_t)wrote;
  }
  return true;
}

/* Beside content that goes elsewhere there is room for what an error says. */
static size_t kept_max(const struct webcall_request *request) { return request->out || request->out_fd ? KEPT_BYTES : request->max_answer; }

static bool goes_elsewhere(const struct call *call) {
  long status = 0;
  if (!call->request->out && !call->request->out_fd) return false;
  curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
  return status / 100 == 2;
}

static size_t collect(char *data, size_t size, size_t count, void *arg) {
  struct call *call = arg;
  size_t len = size * count;
  bool elsewhere = goes_elsewhere(call);
  size_t room = elsewhere ? call->request->max_answer - call->written : kept_max(call->request) - call->body.len;
  if (elsewhere && len <= room) {
    struct buf *out = call->request->out;
    call->written += len;
    return (out ? buf_append(out, data, len) : write_all(call->request->out_fd, data, len)) ? len : 0;
  }
  bool over = len > room;
  if (!buf_append(&call->body, data, over ? room : len)) return 0;
  call->was_cut = over;
  call->too_large = over && !call->request->cut;
  return over ? 0 : len; /* the rest isn't read: the call ends with a write error we know the meaning of */
}

/* --- one call --- */

static bool printable(const char *text) {
  for (; *text; text++)
    if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
  return true;
}

static enum status add_header(struct call *call, const char *name, const char *value, struct error *err) {
  char line[HEADER_BYTES];
  if (!value) return OK;
  if (!printable(name) || !printable(value))
    return error_set(err, ERR_VALIDATION, "the header %s holds characters that no header has", printable(name) ? name : "?");
  int len = snprintf(line, sizeof line, *value ? "%s: %s" : "%s;", name, value);
  if (len < 0 || (size_t)len >= sizeof line) return error_set(err, ERR_VALIDATION, "the header %s is too long", name);
  struct curl_slist *list = curl_slist_append(call->headers, line);
  if (!list) return error_oom(err);
  call->headers = list;
  return OK;
}

/* --- signing --- */

struct target { /* of a URL, as it is sent */
  CURLU *url;
  char *host, *port, *path, *query;
};

static void free_target(struct target *target) {
  curl_free(target->host);
  curl_free(target->port);
  curl_free(target->path);
  curl_free(target->query);
  curl_url_cleanup(target->url);
}

static bool read_target(const char *url, struct target *target) {
  target->url = curl_url();
  if (!target->url || curl_url_set(target->url, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK) return false;
  curl_url_get(target->url, CURLUPART_PORT, &target->port, CURLU_NO_DEFAULT_PORT);
  curl_url_get(target->url, CURLUPART_QUERY, &target->query, 0);
  return curl_url_get(target->url, CURLUPART_HOST, &target->host, 0) == CURLUE_OK &&
         curl_url_get(target->url, CURLUPART_PATH, &target->path, 0) == CURLUE_OK;
}

/* x-amz-date, x-amz-content-sha256, the session's token, and the signature over them, the host and all headers given. */
static enum status add_signature(struct call *call, struct error *err) {
  const struct webcall_request *request = call->request;
  const struct webcall_aws *aws = request->aws;
  __attribute__((cleanup(free_target))) struct target target = {0};
  char date[SIGV4_DATE], digest[SHA256_HEX];
  if (!read_target(request->url, &target)) return error_set(err, ERR_VALIDATION, "is not a URL that can be signed");
  sigv4_date(clock_wall_ms() + aws->skew_ms, date);
  crypto_sha256_hex(request->body ? request->body : "", request->body ? request->body_len : 0, digest);
  const char *host = target.port ? arena_printf(call->arena, "%s:%s", target.host, target.port) : target.host;
  struct sigv4_header headers[HEADERS_MAX + 4] = {
      {"host", host}, {"x-amz-date", date}, {"x-amz-content-sha256", digest}, {"x-amz-security-token", aws->session_token}};
  size_t count = aws->session_token ? 4 : 3;
  for (size_t i = 0; i < request->header_count; i++)
    if (request->headers[i].value) headers[count++] = (struct sigv4_header){request->headers[i].name, request->headers[i].value};
  const struct sigv4_request signing = {aws->service,
                                        aws->region,
                                        aws->access_key,
                                        aws->secret_key,
                                        request->method,
                                        target.path,
                                        target.query ? target.query : "",
                                        headers,
                                        count,
                                        digest,
                                        date};
  const char *authorization = NULL;
  enum status status = host ? sigv4_sign(&signing, call->arena, &authorization, err) : error_oom(err);
  for (size_t i = 1; i < 4 && !status; i++) status = add_header(call, headers[i].name, i == 3 ? aws->session_token : headers[i].value, err);
  return status ? status : add_header(call, "Authorization", authorization, err);
}

static enum status add_headers(struct call *call, struct error *err) {
  const struct webcall_request *request = call->request;
  if (request->header_count > HEADERS_MAX) return error_set(err, ERR_VALIDATION, "at most %d headers can be sent", HEADERS_MAX);
  enum status status = OK;
  for (size_t i = 0; i < request->header_count && !status; i++)
    status = add_header(call, request->headers[i].name, request->headers[i].value, err);
  if (!status && request->aws) status = add_signature(call, err);
  if (status) return status;
  struct curl_slist *list = curl_slist_append(call->headers, "Expect:"); /* no waiting for 100 Continue */
  if (!list) return error_oom(err);
  call->headers = list;
  return OK;
}

static void set_up(struct call *call) {
  CURL *curl = call->curl;
  const struct webcall_request *request = call->request;
  curl_easy_reset(curl); /* options only: connections stay */
  curl_easy_setopt(curl, CURLOPT_URL, request->url);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms < CONNECT_MS ? (long)request->timeout_ms : CONNECT_MS);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
  curl_easy_setopt(curl, CURLOPT_NOBODY, strcmp(request->method, "HEAD") == 0 ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "autodb/" AUTODB_VERSION);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->reason);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, call);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
  if (request->body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
  }
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, request->aws ? 1L : 0L); /* what is sent is what was signed */
}

static enum status failed(const struct call *call, CURLcode code, struct error *err) {
  if (call->refusal)
    return error_set_code(err, ERR_UNAVAILABLE, "ADDRESS_REFUSED", "%s resolves to an address that %s", call->host, call->refusal);
  if (call->too_large)
    return error_set_code(err, ERR_UNAVAILABLE, "ANSWER_TOO_LARGE", "%s answered more than %zu bytes", call->host,
                          call->request->max_answer);
  if (code == CURLE_OPERATION_TIMEDOUT)
    return error_set_code(err, ERR_UNAVAILABLE, "TIMEOUT", "%s did not answer within %d ms", call->host, call->request->timeout_ms);
  return error_set_code(err, ERR_UNAVAILABLE, "UNREACHABLE", "%s: %s", call->host, *call->reason ? call->reason : curl_easy_strerror(code));
}

/* The headers asked for, of the last answer. */
static enum status take_headers(struct call *call, struct webcall_answer *answer, struct error *err) {
  const char *const *keep = call->request->keep;
  size_t count = 0;
  while (keep && keep[count]) count++;
  const char **kept = arena_calloc(call->arena, count + 1, sizeof *kept);
  if (!kept || count > KEEP_MAX) return error_oom(err);
  for (size_t i = 0; i < count; i++) {
    struct curl_header *header = NULL;
    if (curl_easy_header(call->curl, keep[i], 0, CURLH_HEADER, -1, &header) != CURLHE_OK) continue;
    kept[i] = arena_strdup(call->arena, header->value);
    if (!kept[i]) return error_oom(err);
  }
  answer->kept = kept;
  return OK;
}

static enum status take_answer(struct call *call, struct webcall_answer *ret_answer, struct error *err) {
  CURL *curl = call->curl;
  struct arena *arena = call->arena;
  long status = 0;
  char *type = NULL;
  curl_off_t retry_after = 0, total_us = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
  curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
  struct webcall_answer answer = {.status = (int)status,
                                  .content_type = arena_strdup(arena, type ? type : ""),
                                  .body = arena_strndup(arena, buf_str(&call->body), call->body.len),
                                  .body_len = call->body.len + call->written,
                                  .was_cut = call->was_cut,
                                  .retry_after_s = retry_after > 86400 ? 86400 : (int)retry_after,
                                  .duration_ms = (double)total_us / 1000};
  if (!answer.content_type || !answer.body) return error_oom(err);
  if (take_headers(call, &answer, err)) return err->status;
  *ret_answer = answer;
  return OK;
}

enum status call_begin(struct call *call, struct error *err) {
  const char *url = call->request->url;
  buf_init(&call->body, kept_max(call->request) + 1);
  call->host = webcall_host(url, call->arena);
  if (!call->host) return error_set(err, ERR_VALIDATION, "is not an http or https URL without credentials");
  call->plain = strncasecmp(url, "https:", 6) != 0;
  enum status status = add_headers(call, err);
  if (status == OK) set_up(call);
  return status;
}

enum status call_end(struct call *call, CURLcode code, struct webcall_answer *ret_answer, struct error *err) {
  bool cut_short = code == CURLE_WRITE_ERROR && call->was_cut && !call->too_large;
  return code == CURLE_OK || cut_short ? take_answer(call, ret_answer, err) : failed(call, code, err);
}

void call_clear(struct call *call) {
  curl_easy_setopt(call->curl, CURLOPT_HTTPHEADER, NULL);
  curl_easy_setopt(call->curl, CURLOPT_ERRORBUFFER, NULL);
  curl_slist_free_all(call->headers);
  buf_free(&call->body);
}

enum status webcall_send(struct webcall *webcall, const struct webcall_request *request, struct arena *arena,
                         struct webcall_answer *ret_answer, struct error *err) {
  struct call call = {.curl = webcall->curl, .policy = webcall->policy, .request = request, .arena = arena};
  enum status status = call_begin(&call, err);
  if (status == OK) status = call_end(&call, curl_easy_perform(call.curl), ret_answer, err);
  call_clear(&call);
  return status;
}
