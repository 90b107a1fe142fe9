/* s3.c - see s3.h. One function asks (ask), one decides what an answer means for the next try (judge); the verbs only say what they want.
 */
#include "common/s3.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/sigv4.h"
#include "common/xml.h"

#define REGION_BYTES 33
#define BUCKET_BYTES 256
#define URL_BYTES (8 * 1024)
#define ERROR_BYTES (64 * 1024)
#define SCRATCH_BYTES ((size_t)128 << 20)
#define CORRECTIONS 4 /* other regions, clocks, credentials: each is followed at once, and all together no further */
#define NAP_MS 100

struct s3 {
  struct webcall *webcall;
  char bucket[BUCKET_BYTES], region[REGION_BYTES];
  char *endpoint; /* NULL: AWS */
  bool requester_pays;
  const struct aws_identity *identity;
  int64_t skew_ms;
  bool (*stopped)(void *arg);
  void *stopped_arg;
};

/* --- names --- */

static bool made_of(const char *text, const char *more) {
  for (; *text; text++)
    if (!(isalnum((unsigned char)*text) && !((unsigned char)*text & 0x80)) && !strchr(more, *text)) return false;
  return true;
}

static bool is_region(const char *region) { return *region && strlen(region) < REGION_BYTES && made_of(region, "-"); }

static bool is_bucket(const char *bucket) {
  size_t len = strlen(bucket);
  return len >= 3 && len < BUCKET_BYTES && made_of(bucket, ".-_") && isalnum((unsigned char)*bucket) && !strstr(bucket, "..");
}

/* Scheme, host and port and nothing else. */
static bool is_endpoint(const char *endpoint, struct arena *arena) {
  const char *host = strstr(endpoint, "://");
  return webcall_host(endpoint, arena) && host && !host[3 + strcspn(host + 3, "/?#@")];
}

/* Whether the bucket can be a label of a host name under S3's certificate. */
static bool is_label(const char *bucket) {
  if (strlen(bucket) > 63) return false;
  for (; *bucket; bucket++)
    if (!islower((unsigned char)*bucket) && !isdigit((unsigned char)*bucket) && *bucket != '-') return false;
  return true;
}

static enum status check_options(const struct s3_options *options, const char *region, struct error *err) {
  ARENA_AUTO arena = arena_new(64 * 1024);
  if (!arena) return error_oom(err);
  if (!options->bucket || !is_bucket(options->bucket))
    return error_set(err, ERR_VALIDATION, "the bucket must be a name of letters, digits, '-', '.' and '_', of at least 3");
  if (!is_region(region)) return error_set(err, ERR_VALIDATION, "the region must be a name like eu-central-1");
  if (options->endpoint && *options->endpoint && !is_endpoint(options->endpoint, arena))
    return error_set(err, ERR_VALIDATION, "the endpoint must be http:// or https:// with a host and perhaps a port, and nothing behind it");
  return OK;
}

enum status s3_new(const struct s3_options *options, struct s3 **ret_s3, struct error *err) {
  const char *region = options->region && *options->region ? options->region : aws_region() ? aws_region() : "us-east-1";
  enum status status = check_options(options, region, err);
  struct s3 *s3 = status ? NULL : calloc(1, sizeof *s3);
  if (!s3) return status ? status : error_oom(err);
  snprintf(s3->bucket, sizeof s3->bucket, "%s", options->bucket);
  snprintf(s3->region, sizeof s3->region, "%s", region);
  s3->requester_pays = options->requester_pays;
  s3->identity = options->identity;
  bool custom = options->endpoint && *options->endpoint;
  s3->endpoint = custom ? strdup(options->endpoint) : NULL;
  status = custom && !s3->endpoint ? error_oom(err) : webcall_new(options->policy, &s3->webcall, err);
  if (status) {
    s3_free(s3);
    return status;
  }
  *ret_s3 = s3;
  return OK;
}

void s3_free(struct s3 *s3) {
  if (!s3) return;
  webcall_free(s3->webcall);
  free(s3->endpoint);
  free(s3);
}

const char *s3_region(const struct s3 *s3) { return s3->region; }

void s3_stop_when(struct s3 *s3, bool (*stopped)(void *arg), void *arg) {
  s3->stopped = stopped;
  s3->stopped_arg = arg;
}

/* --- asking --- */

struct ask {
  const char *method, *key; /* key NULL: the bucket itself */
  const char *query;        /* without '?'; NULL for none */
  struct webcall_header headers[2];
  const void *body;
  size_t body_len, max;
  struct buf *out; /* or out_fd: where the content goes */
  int out_fd;
};

static const char *url_of(const struct s3 *s3, const struct ask *ask, struct arena *arena) {
  const char *suffix = strncmp(s3->region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
  bool by_host = !s3->endpoint && is_label(s3->bucket);
  BUF_AUTO url;
  buf_init(&url, URL_BYTES);
  if (s3->endpoint)
    buf_printf(&url, "%s/%s", s3->endpoint, s3->bucket);
  else if (by_host)
    buf_printf(&url, "https://%s.s3.%s.%s", s3->bucket, s3->region, suffix);
  else
    buf_printf(&url, "https://s3.%s.%s/%s", s3->region, suffix, s3->bucket);
  if (ask->key || by_host) buf_putc(&url, '/');
  if (ask->key) sigv4_encode(&url, ask->key, strlen(ask->key), "/");
  if (ask->query) buf_printf(&url, "?%s", ask->query);
  return buf_ok(&url) ? arena_strndup(arena, buf_str(&url), url.len) : NULL;
}

enum { KEEP_REGION, KEEP_DATE, KEEP_ETAG, KEEP_MODIFIED, KEEP_LENGTH };
static const char *const keep[] = {"x-amz-bucket-region", "date", "etag", "last-modified", "content-length", NULL};

/* One try. */
static enum status try_once(struct s3 *s3, const struct ask *ask, struct arena *arena, struct webcall_answer *ret_answer,
                            struct error *err) {
  struct webcall_aws aws = {.service = "s3", .region = s3->region, .skew_ms = s3->skew_ms};
  enum status status = aws_credentials_of(s3->identity, arena, &aws, err);
  if (status) return status;
  const struct webcall_header headers[] = {ask->headers[0].name ? ask->headers[0] : (struct webcall_header){"x", NULL},
                                           ask->headers[1].name ? ask->headers[1] : (struct webcall_header){"x", NULL},
                                           {"x-amz-request-payer", s3->requester_pays ? "requester" : NULL}};
  size_t bytes = ask->body_len + (ask->out || ask->out_fd ? ask->max : 0);
  const struct webcall_request request = {.method = ask->method,
                                          .url = url_of(s3, ask, arena),
                                          .headers = headers,
                                          .header_count = 3,
                                          .body = ask->body,
                                          .body_len = ask->body_len,
                                          .timeout_ms = LIMIT_S3_CALL_MS + (int)(bytes / 64),
                                          .max_answer = ask->max,
                                          .out = ask->out,
                                          .out_fd = ask->out_fd,
                                          .keep = keep,
                                          .aws = &aws};
  return request.url ? webcall_send(s3->webcall, &request, arena, ret_answer, err) : error_oom(err);
}

/* --- what an answer means --- */

enum verdict { VERDICT_END, VERDICT_AGAIN, VERDICT_CORRECTED };

struct fault { /* as the service words it */
  const char *code, *region;
};

static struct fault read_fault(const struct webcall_answer *answer, struct arena *arena) {
  const xml_node *root = answer->body_len ? xml_parse(answer->body, answer->body_len, arena) : NULL;
  struct fault fault = {xml_is(root, "Error") ? xml_text(root, "Code", arena) : NULL, answer->kept[KEEP_REGION]};
  if (!fault.code || strlen(fault.code) > 64 || !made_of(fault.code, "._-")) fault.code = "";
  if (!fault.region && xml_is(root, "Error")) fault.region = xml_text(root, "Region", arena);
  return fault;
}

static bool is_one_of(const char *text, const char *const *list) {
  while (*list && strcmp(text, *list) != 0) list++;
  return *list;
}

/* Changes what was wrong about us, as far as the answer tells. */
static bool correct(struct s3 *s3, const struct webcall_answer *answer, const struct fault *fault) {
  static const char *const expired[] = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", NULL};
  bool elsewhere = answer->status == 301 || answer->status == 307 || answer->status == 400;
  if (elsewhere && fault->region && is_region(fault->region) && strcmp(fault->region, s3->region) != 0) {
    snprintf(s3->region, sizeof s3->region, "%s", fault->region);
    return true;
  }
  time_t date =
      strcmp(fault->code, "RequestTimeTooSkewed") == 0 && answer->kept[KEEP_DATE] ? curl_getdate(answer->kept[KEEP_DATE], NULL) : -1;
  if (date > 0) {
    s3->skew_ms = (int64_t)date * 1000 - clock_wall_ms();
    return true;
  }
  if (!is_one_of(fault->code, expired)) return false;
  aws_forget();
  return true;
}

static enum verdict judge(struct s3 *s3, const struct webcall_answer *answer, const struct fault *fault) {
  static const char *const passing[] = {"RequestTimeout", "SlowDown", "InternalError", "OperationAborted", "ServiceUnavailable", NULL};
  if (answer->status / 100 == 2) return VERDICT_END;
  if (answer->status == 429 || answer->status / 100 == 5 || is_one_of(fault->code, passing)) return VERDICT_AGAIN;
  return correct(s3, answer, fault) ? VERDICT_CORRECTED : VERDICT_END;
}

static enum status refused(const struct s3 *s3, const struct webcall_answer *answer, const struct fault *fault, struct error *err) {
  const char *code = *fault->code ? fault->code : "no reason";
  if (strcmp(code, "NoSuchBucket") == 0) return error_set_code(err, ERR_NOT_FOUND, "NO_SUCH_BUCKET", "there is no bucket %s", s3->bucket);
  if (answer->status == 404) return error_set_code(err, ERR_NOT_FOUND, "NO_SUCH_KEY", "there is no such object in %s", s3->bucket);
  if (answer->status == 412 || answer->status == 409)
    return error_set_code(err, ERR_CONFLICT, "CHANGED", "the object in %s is no longer what was listed", s3->bucket);
  if (strcmp(code, "InvalidObjectState") == 0)
    return error_set_code(err, ERR_FORBIDDEN, "ARCHIVED", "the object is archived and must be restored first");
  if (answer->status == 403 || answer->status == 401)
    return error_set_code(err, ERR_FORBIDDEN, "ACCESS_DENIED", "%s may not be read or written with these credentials (%s)", s3->bucket,
                          code);
  if (answer->status == 429 || answer->status / 100 == 5)
    return error_set_code(err, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "the object store answered %d (%s), %d times", answer->status, code,
                          LIMIT_S3_TRIES);
  return error_set_code(err, ERR_VALIDATION, "STORE_REFUSED", "the object store answered %d (%s)", answer->status, code);
}

/* --- trying --- */

/* False when the caller is to stop. */
static bool pause_before(const struct s3 *s3, int tries, int retry_after_s) {
  uint32_t chance;
  int64_t most = (int64_t)LIMIT_S3_PAUSE_MS << tries;
  crypto_random(&chance, sizeof chance);
  if (most > LIMIT_S3_PAUSE_CAP_MS) most = LIMIT_S3_PAUSE_CAP_MS;
  int64_t asked = (int64_t)retry_after_s * 1000;
  if (asked > LIMIT_S3_PAUSE_CAP_MS) asked = LIMIT_S3_PAUSE_CAP_MS;
  int64_t until = clock_mono_ms() + asked + chance % most;
  for (int64_t left; (left = until - clock_mono_ms()) > 0;) {
    if (s3->stopped && s3->stopped(s3->stopped_arg)) return false;
    int64_t nap = left < NAP_MS ? left : NAP_MS;
    nanosleep(&(struct timespec){.tv_nsec = nap * 1000000}, NULL);
  }
  return true;
}

/* A broken connection, a late or shortened answer. */
static bool may_pass(const struct error *err) {
  static const char *const passing[] = {"TIMEOUT", "UNREACHABLE", NULL};
  return err->status == ERR_UNAVAILABLE && is_one_of(err->code, passing);
}

/* What an earlier try left. */
static void rewind_out(const struct ask *ask, size_t len, off_t at) {
  if (ask->out && !ask->out->failed && ask->out->len > len) {
    ask->out->len = len;
    ask->out->data[len] = '\0';
  }
  if (ask->out_fd && ftruncate(ask->out_fd, at) == 0) lseek(ask->out_fd, at, SEEK_SET);
}

static enum status ask(struct s3 *s3, const struct ask *ask, struct arena *arena, struct webcall_answer *ret_answer, struct error *err) {
  size_t len = ask->out ? ask->out->len : 0;
  off_t at = ask->out_fd ? lseek(ask->out_fd, 0, SEEK_CUR) : 0;
  enum status status = OK;
  for (int tries = 0, corrections = 0;;) {
    struct webcall_answer answer = {0};
    struct fault fault = {"", NULL};
    error_clear(err);
    status = try_once(s3, ask, arena, &answer, err);
    if (!status) fault = answer.status / 100 == 2 ? fault : read_fault(&answer, arena);
    enum verdict verdict = status ? (may_pass(err) ? VERDICT_AGAIN : VERDICT_END) : judge(s3, &answer, &fault);
    if (!status && answer.status / 100 == 2) {
      *ret_answer = answer;
      return OK;
    }
    rewind_out(ask, len, at);
    if (!status) status = refused(s3, &answer, &fault, err);
    if (verdict == VERDICT_CORRECTED && corrections++ < CORRECTIONS) continue;
    if (verdict != VERDICT_AGAIN || ++tries == LIMIT_S3_TRIES || !pause_before(s3, tries, answer.retry_after_s)) break;
  }
  if (strcmp(err->code, "ANSWER_TOO_LARGE") != 0) return status;
  return error_set(err, ERR_TOO_LARGE, "the object is larger than %zu bytes", ask->max);
}

/* --- listing --- */

/* As `encoding-type=url` writes keys: a space may be '+'. In place; the length without the NUL. */
static size_t decode(char *text) {
  char *out = text;
  for (const char *at = text; *at; at++) {
    char digits[3] = {at[0] == '%' ? at[1] : '\0', at[0] == '%' && at[1] ? at[2] : '\0', '\0'};
    bool escaped = isxdigit((unsigned char)digits[0]) && isxdigit((unsigned char)digits[1]);
    *out++ = escaped ? (char)strtol(digits, NULL, 16) : *at == '+' ? ' ' : *at;
    if (escaped) at += 2;
  }
  *out = '\0';
  return (size_t)(out - text);
}

static int64_t parse_time(const char *text) {
  struct tm tm = {0};
  return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

static bool take_object(const xml_node *node, bool encoded, struct arena *arena, struct s3_object *ret_object) {
  char *key = (char *)(uintptr_t)xml_text(node, "Key", arena);
  const char *size = xml_text(node, "Size", arena), *etag = xml_text(node, "ETag", arena);
  if (!key || !size) return false;
  size_t len = encoded ? decode(key) : strlen(key);
  *ret_object = (struct s3_object){key, len, etag ? etag : "", strtoll(size, NULL, 10), parse_time(xml_text(node, "LastModified", arena))};
  return true;
}

static enum status take_page(const struct webcall_answer *answer, const char *token, struct arena *arena, struct s3_page *ret_page,
                             struct error *err) {
  const xml_node *root = xml_parse(answer->body, answer->body_len, arena);
  const char *encoding = xml_text(root, "EncodingType", arena), *truncated = xml_text(root, "IsTruncated", arena);
  struct s3_object *objects = arena_calloc(arena, S3_PAGE, sizeof *objects);
  struct s3_page page = {.objects = objects};
  bool fine = objects && xml_is(root, "ListBucketResult");
  for (const xml_node *node = xml_child(root, "Contents"); fine && node; node = xml_next(node, "Contents"))
    fine = page.count < S3_PAGE && take_object(node, encoding && strcmp(encoding, "url") == 0, arena, &objects[page.count++]);
  if (truncated && strcmp(truncated, "true") == 0) page.next = xml_text(root, "NextContinuationToken", arena);
  bool ends = !truncated || strcmp(truncated, "true") != 0;
  if (!ends && (!page.next || (token && strcmp(token, page.next) == 0))) fine = false; /* it would never end */
  if (!fine) return error_set_code(err, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "the object store's listing can't be read");
  *ret_page = page;
  return OK;
}

static void put_param(struct buf *query, const char *name, const char *value) {
  if (!value || !*value) return;
  buf_printf(query, "%s%s=", query->len ? "&" : "", name);
  sigv4_encode(query, value, strlen(value), "");
}

enum status s3_list(struct s3 *s3, const char *prefix, const char *start_after, const char *token, int max_keys, struct arena *arena,
                    struct s3_page *ret_page, struct error *err) {
  char most[16];
  struct webcall_answer answer = {0};
  BUF_AUTO query;
  buf_init(&query, URL_BYTES);
  snprintf(most, sizeof most, "%d", max_keys < S3_PAGE ? max_keys : S3_PAGE);
  put_param(&query, "continuation-token", token);
  put_param(&query, "encoding-type", "url");
  put_param(&query, "list-type", "2");
  put_param(&query, "max-keys", most);
  put_param(&query, "prefix", prefix);
  put_param(&query, "start-after", token ? NULL : start_after);
  if (!buf_ok(&query)) return error_set(err, ERR_VALIDATION, "the prefix is too long");
  struct ask list = {.method = "GET", .query = buf_str(&query), .max = LIMIT_S3_LIST_BYTES};
  enum status status = ask(s3, &list, arena, &answer, err);
  return status ? status : take_page(&answer, token, arena, ret_page, err);
}

/* --- objects --- */

static enum status check_key(const char *key, struct error *err) {
  size_t len = strlen(key);
  if (len && len <= S3_KEY_BYTES) return OK;
  return error_set(err, ERR_VALIDATION, "a key has 1 to %d bytes", S3_KEY_BYTES);
}

/* Asks with memory of its own, for what the answer's head is enough of. */
static enum status ask_briefly(struct s3 *s3, const struct ask *what, size_t *ret_bytes, struct error *err) {
  ARENA_AUTO arena = arena_new(SCRATCH_BYTES);
  struct webcall_answer answer = {0};
  if (!arena) return error_oom(err);
  enum status status = check_key(what->key, err);
  if (!status) status = ask(s3, what, arena, &answer, err);
  if (!status) *ret_bytes = answer.body_len;
  return status;
}

enum status s3_get(struct s3 *s3, const char *key, const char *if_match, struct buf *out, struct error *err) {
  size_t bytes;
  struct ask get = {.method = "GET", .key = key, .headers = {{"If-Match", if_match}}, .out = out, .max = out->max - out->len};
  enum status status = ask_briefly(s3, &get, &bytes, err);
  return !status && !buf_ok(out) ? error_oom(err) : status;
}

enum status s3_get_fd(struct s3 *s3, const char *key, const char *if_match, int fd, int64_t max_bytes, int64_t *ret_bytes,
                      struct error *err) {
  size_t bytes;
  struct ask get = {.method = "GET", .key = key, .headers = {{"If-Match", if_match}}, .out_fd = fd, .max = (size_t)max_bytes};
  enum status status = ask_briefly(s3, &get, &bytes, err);
  if (!status) *ret_bytes = (int64_t)bytes;
  return status;
}

enum status s3_head(struct s3 *s3, const char *key, struct arena *arena, struct s3_object *ret_object, struct error *err) {
  struct webcall_answer answer = {0};
  struct ask head = {.method = "HEAD", .key = key, .max = ERROR_BYTES};
  enum status status = check_key(key, err);
  if (!status) status = ask(s3, &head, arena, &answer, err);
  if (status) return status;
  const char *length = answer.kept[KEEP_LENGTH], *etag = answer.kept[KEEP_ETAG], *modified = answer.kept[KEEP_MODIFIED];
  time_t date = modified ? curl_getdate(modified, NULL) : -1;
  *ret_object =
      (struct s3_object){key, strlen(key), etag ? etag : "", length ? strtoll(length, NULL, 10) : 0, date > 0 ? (int64_t)date * 1000 : 0};
  return OK;
}

enum status s3_put(struct s3 *s3, const char *key, const void *data, size_t len, const char *content_type, struct error *err) {
  size_t bytes;
  const char *type = content_type ? content_type : "application/octet-stream";
  struct ask put = {
      .method = "PUT", .key = key, .headers = {{"Content-Type", type}}, .body = len ? data : "", .body_len = len, .max = ERROR_BYTES};
  return ask_briefly(s3, &put, &bytes, err);
}

enum status s3_delete(struct s3 *s3, const char *key, struct error *err) {
  size_t bytes;
  struct ask delete = {.method = "DELETE", .key = key, .max = ERROR_BYTES};
  enum status status = ask_briefly(s3, &delete, &bytes, err);
  if (status != ERR_NOT_FOUND || strcmp(err->code, "NO_SUCH_KEY") != 0) return status;
  error_clear(err);
  return OK;
}
