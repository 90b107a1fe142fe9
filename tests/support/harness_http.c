/* HTTP as a test speaks it: one call, the whole answer, JSON by dotted path. */
#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/harness.h"

struct bytes {
  char *data;
  size_t len;
};

static size_t collect(char *data, size_t size, size_t count, void *arg) {
  struct bytes *bytes = arg;
  char *grown = realloc(bytes->data, bytes->len + size * count + 1);
  if (!grown) return 0;
  memcpy(grown + bytes->len, data, size * count);
  bytes->data = grown;
  bytes->len += size * count;
  bytes->data[bytes->len] = 0;
  return size * count;
}

static bool names(const char *const headers[], const char *name) {
  for (int i = 0; headers && headers[i]; i++)
    if (strncasecmp(headers[i], name, strlen(name)) == 0 && headers[i][strlen(name)] == ':') return true;
  return false;
}

static struct curl_slist *header_list(const struct harness *h, const char *const headers[], bool has_body) {
  struct curl_slist *list = NULL;
  char line[128];
  for (int i = 0; headers && headers[i]; i++) list = curl_slist_append(list, headers[i]);
  if (h->api_key[0] && !names(headers, "X-API-Key") && !names(headers, "Authorization")) {
    snprintf(line, sizeof line, "X-API-Key: %s", h->api_key);
    list = curl_slist_append(list, line);
  }
  if (has_body && !names(headers, "Content-Type")) list = curl_slist_append(list, "Content-Type: application/json");
  if (!names(headers, "Expect")) list = curl_slist_append(list, "Expect:");
  return list;
}

void harness_http(struct harness *h, const char *method, const char *path, const char *const headers[], const char *body,
                  struct harness_reply *ret_reply) {
  static CURL *curl; // kept: connections are reused, as a client would
  char url[8192];
  struct bytes head = {0}, content = {0};
  if (!curl) curl = curl_easy_init();
  curl_easy_reset(curl);
  snprintf(url, sizeof url, "%s%s", strncmp(path, "http", 4) == 0 ? "" : h->api_url, path);
  struct curl_slist *list = header_list(h, headers, body != NULL);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 90000L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &content);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
  if (body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
  }
  if (strcmp(method, "HEAD") == 0)
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  else
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  int64_t began = harness_now_ms();
  CURLcode code = curl_easy_perform(curl);
  curl_off_t total_us = 0;
  curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
  *ret_reply = (struct harness_reply){.headers = head.data, .body = content.data, .body_len = content.len, .ms = (double)total_us / 1000.0};
  if (code == CURLE_OK)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret_reply->status);
  else if (harness_now_ms() - began > 1000)
    fprintf(stderr, "%s %s: %s\n", method, path, curl_easy_strerror(code));
  if (!ret_reply->headers) ret_reply->headers = strdup("");
  if (!ret_reply->body) ret_reply->body = strdup("");
  ret_reply->json = json_loadb(ret_reply->body, ret_reply->body_len, JSON_DECODE_ANY, NULL);
  curl_slist_free_all(list);
}

void harness_reply_free(struct harness_reply *reply) {
  free(reply->headers);
  free(reply->body);
  json_decref(reply->json);
  *reply = (struct harness_reply){0};
}

char *harness_header(const struct harness_reply *reply, const char *name, char *out, size_t size) {
  out[0] = 0;
  size_t len = strlen(name);
  for (const char *line = reply->headers; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : "") {
    if (strncasecmp(line, name, len) != 0 || line[len] != ':') continue;
    const char *value = line + len + 1 + strspn(line + len + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
    break;
  }
  return out;
}

json_t *harness_at(const json_t *value, const char *path) {
  char name[128];
  while (value && *path) {
    size_t len = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)len, path);
    value = json_is_array(value) ? json_array_get(value, strtoul(name, NULL, 10)) : json_object_get(value, name);
    path += len + (path[len] == '.');
  }
  union {
    const json_t *in;
    json_t *out;
  } unconst = {.in = value}; // borrowed: the caller may incref
  return unconst.out;
}

const char *harness_text(const json_t *value, const char *path) {
  const char *text = json_string_value(harness_at(value, path));
  return text ? text : "";
}

long long harness_int(const json_t *value, const char *path) {
  const json_t *found = harness_at(value, path);
  return json_is_integer(found) ? json_integer_value(found) : -1;
}

static bool ended(const json_t *job) {
  const char *status = harness_text(job, "status");
  return status[0] && strcmp(status, "queued") != 0 && strcmp(status, "running") != 0;
}

void harness_connection(struct harness *h, const char *name, const char *url, char out[40]) {
  REPLY_AUTO reply;
  char body[1024];
  snprintf(body, sizeof body, "{\"name\": \"%s\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", name, url);
  harness_http(h, "POST", "/api/v1/connections", NULL, body, &reply);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.id"));
}

json_t *harness_job(struct harness *h, const char *path, json_t *take_body, int timeout_ms) {
  char *body = json_dumps(take_body, JSON_COMPACT | JSON_ENCODE_ANY), job_path[128];
  json_decref(take_body);
  int64_t end = harness_now_ms() + timeout_ms;
  REPLY_AUTO reply;
  harness_http(h, "POST", path, (const char *[]){"Prefer: wait=30", NULL}, body, &reply);
  free(body);
  if (reply.status != 200 && reply.status != 202) fail_msg("POST %s: %ld %s", path, reply.status, reply.body);
  snprintf(job_path, sizeof job_path, "/api/v1/jobs/%s?wait=10", harness_text(reply.json, "data.job_id"));
  while (!ended(harness_at(reply.json, "data"))) {
    if (harness_now_ms() > end) fail_msg("%s did not end within %d ms: %s", job_path, timeout_ms, reply.body);
    harness_reply_free(&reply);
    harness_http(h, "GET", job_path, NULL, NULL, &reply);
    if (reply.status != 200) fail_msg("GET %s: %ld %s", job_path, reply.status, reply.body);
  }
  return json_incref(harness_at(reply.json, "data"));
}

int harness_socket(struct harness *h) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->api_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval patience = {.tv_sec = 20};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail_msg("connect to port %d: %s", h->api_port, strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}
