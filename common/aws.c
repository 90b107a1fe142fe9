/* aws.c - the chain is a table: the first source that has credentials ends the search; one that is set up but broken ends it with its
 * error, since going on would use an identity nobody asked for. */
#include "common/aws.h"

#include <ctype.h>
#include <pthread.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/sigv4.h"
#include "common/textfile.h"
#include "common/xml.h"

#define FILE_BYTES (256 * 1024)
#define ANSWER_BYTES (64 * 1024)
#define CALL_MS 2000
#define STS_MS 10000
#define SESSION "autodb"
#define EXPIRY_MARGIN_MS (5 * 60 * 1000)
#define JITTER_MS (60 * 1000)        /* so that a fleet doesn't ask in the same second */
#define REFUSED_PAUSE_MS (10 * 1000) /* before a service is asked again that didn't renew what is still valid */
#define KEPT_MAX 32
#define FORM_BYTES (32 * 1024) /* a web identity token is a few KiB */
#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST "http://169.254.169.254"

struct keys {
  char access_key[128], secret_key[256], session_token[8192]; /* token "" when there is none */
  int64_t expires_ms;                                         /* wall clock; 0: never */
};

static const char *env(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

const char *aws_region(void) {
  const char *region = env("AWS_REGION");
  return region ? region : env("AWS_DEFAULT_REGION");
}

static bool put(char *out, size_t size, const char *value) { return (size_t)snprintf(out, size, "%s", value ? value : "") < size; }

static bool fill(struct keys *keys, const char *access_key, const char *secret_key, const char *token) {
  return access_key && secret_key && put(keys->access_key, sizeof keys->access_key, access_key) &&
         put(keys->secret_key, sizeof keys->secret_key, secret_key) && put(keys->session_token, sizeof keys->session_token, token);
}

/* --- environment --- */

static enum status from_environment(struct arena *arena, struct keys *keys, bool *ret_found, struct error *err) {
  (void)arena;
  const char *access_key = env("AWS_ACCESS_KEY_ID"), *secret_key = env("AWS_SECRET_ACCESS_KEY");
  if (!access_key && !secret_key) return OK;
  if (!fill(keys, access_key, secret_key, env("AWS_SESSION_TOKEN")))
    return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set");
  *ret_found = true;
  return OK;
}

/* --- the shared file --- */

/* The values of [profile] in an ini text, which is cut up. */
static void read_profile(char *text, const char *profile, const char *values[3]) {
  static const char *const names[3] = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"};
  bool inside = false;
  while (text) {
    char *line = textfile_trim(strsep(&text, "\n"));
    size_t len = strlen(line);
    if (*line == '[' && len > 2 && line[len - 1] == ']') {
      line[len - 1] = '\0';
      inside = strcmp(textfile_trim(line + 1), profile) == 0;
      continue;
    }
    char *equals = inside && *line != '#' && *line != ';' ? strchr(line, '=') : NULL;
    if (!equals) continue;
    *equals = '\0';
    for (size_t i = 0; i < 3; i++)
      if (strcmp(textfile_trim(line), names[i]) == 0) values[i] = textfile_trim(equals + 1);
  }
}

static enum status from_file(struct arena *arena, struct keys *keys, bool *ret_found, struct error *err) {
  const char *path = env("AWS_SHARED_CREDENTIALS_FILE"), *home = env("HOME"), *profile = env("AWS_PROFILE");
  const char *values[3] = {NULL};
  if (!path && home) path = arena_printf(arena, "%s/.aws/credentials", home);
  char *text = path ? textfile_read(arena, path, FILE_BYTES) : NULL;
  if (text) read_profile(text, profile ? profile : "default", values);
  if (fill(keys, values[0], values[1], values[2]))
    *ret_found = true;
  else if (profile)
    return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS",
                          "the profile AWS_PROFILE names has no keys in the shared credentials file");
  return OK;
}

/* --- services that give them out --- */

/* "2026-11-23T12:00:00Z" as milliseconds; 0 when it isn't one. */
static int64_t parse_time(const char *text) {
  struct tm tm = {0};
  const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
  return end ? (int64_t)timegm(&tm) * 1000 : 0;
}

static enum status take_json(struct arena *arena, const struct webcall_answer *answer, struct keys *keys, struct error *err) {
  json_t *given = arena_json(arena, json_loadb(answer->body, answer->body_len, 0, NULL));
  if (answer->status != 200 ||
      !fill(keys, json_str(given, "AccessKeyId", NULL), json_str(given, "SecretAccessKey", NULL), json_str(given, "Token", NULL)))
    return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS", "the service that gives out AWS credentials answered %d", answer->status);
  keys->expires_ms = parse_time(json_str(given, "Expiration", NULL));
  return OK;
}

static enum status call(struct arena *arena, const char *method, const char *url, const struct webcall_header *header,
                        struct webcall_answer *ret_answer, struct error *err) {
  WEBCALL_AUTO webcall = NULL;
  enum status status = webcall_new(NULL, &webcall, err);
  if (status) return status;
  struct webcall_request request = {.method = method,
                                    .url = url,
                                    .headers = header,
                                    .header_count = header && header->value ? 1 : 0,
                                    .timeout_ms = CALL_MS,
                                    .max_answer = ANSWER_BYTES};
  return webcall_send(webcall, &request, arena, ret_answer, err);
}

static enum status from_container(struct arena *arena, struct keys *keys, bool *ret_found, struct error *err) {
  const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), *url = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  const char *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), *token_file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  if (relative) url = arena_printf(arena, CONTAINER_HOST "%s", relative);
  if (!url) return OK;
  if (!relative && token_file) {
    char *text = textfile_read(arena, token_file, FILE_BYTES);
    token = text ? textfile_trim(strsep(&text, "\n")) : NULL;
  }
  struct webcall_answer answer = {0};
  struct webcall_header header = {"Authorization", relative ? NULL : token};
  enum status status = call(arena, "GET", url, &header, &answer, err);
  if (!status) status = take_json(arena, &answer, keys, err);
  *ret_found = status == OK;
  return status;
}

/* No answer at all means that this isn't such a machine. */
static enum status from_instance(struct arena *arena, struct keys *keys, bool *ret_found, struct error *err) {
  const char *disabled = env("AWS_EC2_METADATA_DISABLED"), *named = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  const char *host = named ? named : INSTANCE_HOST;
  const char *roles = arena_printf(arena, "%s/latest/meta-data/iam/security-credentials/", host);
  if (disabled && strcasecmp(disabled, "true") == 0) return OK;
  ERROR_AUTO nowhere = {0};
  struct webcall_answer answer = {0};
  struct webcall_header header = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
  if (call(arena, "PUT", arena_printf(arena, "%s/latest/api/token", host), &header, &answer, &nowhere) || answer.status != 200) return OK;
  header = (struct webcall_header){"X-aws-ec2-metadata-token", answer.body};
  if (call(arena, "GET", roles, &header, &answer, &nowhere) || answer.status != 200) return OK;
  const char *role = arena_strndup(arena, answer.body, strcspn(answer.body, "\r\n"));
  enum status status = call(arena, "GET", arena_printf(arena, "%s%s", roles, role), &header, &answer, err);
  if (!status) status = take_json(arena, &answer, keys, err);
  *ret_found = status == OK;
  return status;
}

/* --- the security token service --- */

static void put_field(struct buf *form, const char *name, const char *value) {
  if (!value) return;
  buf_printf(form, "&%s=", name);
  sigv4_encode(form, value, strlen(value), "");
}

static enum status take_xml(struct arena *arena, const struct webcall_answer *answer, const char *action, struct keys *keys,
                            struct error *err) {
  const xml_node *root = xml_parse(answer->body, answer->body_len, arena);
  const xml_node *given = xml_child(xml_child(root, arena_printf(arena, "%sResult", action)), "Credentials");
  if (answer->status == 200 && fill(keys, xml_text(given, "AccessKeyId", arena), xml_text(given, "SecretAccessKey", arena),
                                    xml_text(given, "SessionToken", arena))) {
    keys->expires_ms = parse_time(xml_text(given, "Expiration", arena));
    return OK;
  }
  const char *code = xml_text(xml_child(root, "Error"), "Code", arena);
  if (answer->status / 100 == 4 && answer->status != 429 && code && strcmp(code, "Throttling") != 0)
    return error_set_code(err, ERR_FORBIDDEN, "ROLE_REFUSED", "AWS refuses that the role is assumed: %s", code);
  return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS", "the security token service answered %d%s%s", answer->status,
                        code ? ": " : "", code ? code : "");
}

/* aws NULL: the call needs no signature. */
static enum status assume(struct arena *arena, const char *action, struct buf *form, struct webcall_aws *aws, struct keys *keys,
                          struct error *err) {
  WEBCALL_AUTO webcall = NULL;
  const char *endpoint = env("AWS_ENDPOINT_URL_STS"), *region = aws_region() ? aws_region() : "us-east-1";
  struct webcall_header header = {"Content-Type", "application/x-www-form-urlencoded"};
  struct webcall_answer answer = {0};
  struct webcall_request request = {.method = "POST", .headers = &header, .header_count = 1, .timeout_ms = STS_MS, .aws = aws};
  request.url = endpoint ? arena_printf(arena, "%s/", endpoint) : arena_printf(arena, "https://sts.%s.amazonaws.com/", region);
  request.max_answer = ANSWER_BYTES;
  if (aws) aws->service = "sts", aws->region = region;
  buf_printf(form, "&Action=%s&Version=2011-06-15", action);
  if (!buf_ok(form) || !request.url) return error_oom(err);
  request.body = form->data + 1; /* without the first & */
  request.body_len = form->len - 1;
  enum status status = webcall_new(NULL, &webcall, err);
  if (!status) status = webcall_send(webcall, &request, arena, &answer, err);
  return status ? status : take_xml(arena, &answer, action, keys, err);
}

static enum status from_web_identity(struct arena *arena, struct keys *keys, bool *ret_found, struct error *err) {
  const char *role = env("AWS_ROLE_ARN"), *path = env("AWS_WEB_IDENTITY_TOKEN_FILE"), *session = env("AWS_ROLE_SESSION_NAME");
  if (!role || !path) return OK;
  char *token = textfile_read(arena, path, FILE_BYTES);
  if (!token) return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS", "the file AWS_WEB_IDENTITY_TOKEN_FILE names can't be read");
  BUF_AUTO form;
  buf_init(&form, FORM_BYTES);
  put_field(&form, "RoleArn", role);
  put_field(&form, "RoleSessionName", session ? session : SESSION);
  token[strcspn(token, "\r\n")] = '\0';
  put_field(&form, "WebIdentityToken", token);
  enum status status = assume(arena, "AssumeRoleWithWebIdentity", &form, NULL, keys, err);
  *ret_found = status == OK;
  return status;
}

/* --- the chain --- */

static enum status give(struct arena *arena, const struct keys *keys, struct webcall_aws *ret_aws, struct error *err) {
  ret_aws->access_key = arena_strdup(arena, keys->access_key);
  ret_aws->secret_key = arena_strdup(arena, keys->secret_key);
  ret_aws->session_token = *keys->session_token ? arena_strdup(arena, keys->session_token) : NULL;
  return ret_aws->access_key && ret_aws->secret_key ? OK : error_oom(err);
}

static enum status ask_chain(struct arena *arena, struct keys *keys, struct error *err) {
  static enum status (*const chain[])(struct arena *, struct keys *, bool *, struct error *) = {from_environment, from_web_identity,
                                                                                                from_file, from_container, from_instance};
  bool found = false;
  for (size_t i = 0; i < sizeof chain / sizeof *chain && !found; i++) {
    enum status status = chain[i](arena, keys, &found, err);
    if (status) return status;
  }
  if (found) return OK;
  return error_set_code(err, ERR_UNAVAILABLE, "NO_CREDENTIALS",
                        "no AWS credentials: neither in the environment, nor by web identity, nor in the shared credentials file, nor from "
                        "the container or instance");
}

static enum status renew(const struct aws_identity *identity, struct arena *arena, struct keys *keys, struct error *err);

/* --- what is kept --- */

static struct kept {
  uint8_t id[SHA256_BYTES]; /* of the identity; zeros for the process itself */
  struct keys keys;         /* expires_ms 0: there are none */
  int64_t refresh_ms;       /* wall clock: from then on newer ones are asked for */
} kept[KEPT_MAX];
static size_t kept_next;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of both, and held while a service is asked */

static void id_of(const struct aws_identity *identity, uint8_t id[SHA256_BYTES]) {
  memset(id, 0, SHA256_BYTES);
  if (!identity) return;
  const char *const parts[] = {identity->access_key, identity->secret_key, identity->session_token, identity->role_arn,
                               identity->external_id};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    crypto_hmac_sha256(id, SHA256_BYTES, parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) : 0, id);
}

static struct kept *find_kept(const uint8_t id[SHA256_BYTES]) {
  for (size_t i = 0; i < KEPT_MAX; i++)
    if (kept[i].keys.expires_ms && memcmp(kept[i].id, id, SHA256_BYTES) == 0) return &kept[i];
  return NULL;
}

static void keep(struct kept *at, const uint8_t id[SHA256_BYTES], const struct keys *keys) {
  uint32_t chance;
  crypto_random(&chance, sizeof chance);
  if (!at) at = &kept[kept_next++ % KEPT_MAX];
  memcpy(at->id, id, SHA256_BYTES);
  at->keys = *keys;
  at->refresh_ms = keys->expires_ms - EXPIRY_MARGIN_MS - chance % JITTER_MS;
}

/* Under the lock. */
static enum status credentials(const struct aws_identity *identity, struct arena *arena, struct webcall_aws *ret_aws, struct error *err) {
  uint8_t id[SHA256_BYTES];
  struct keys keys = {0};
  id_of(identity, id);
  struct kept *known = find_kept(id);
  int64_t now = clock_wall_ms();
  if (known && now < known->refresh_ms) return give(arena, &known->keys, ret_aws, err);
  enum status status = renew(identity, arena, &keys, err);
  if (status && known && now < known->keys.expires_ms) {
    known->refresh_ms = now + REFUSED_PAUSE_MS;
    error_clear(err);
    return give(arena, &known->keys, ret_aws, err);
  }
  if (status) return status;
  if (keys.expires_ms) keep(known ? find_kept(id) : NULL, id, &keys); /* renewing may have kept others in its place */
  return give(arena, &keys, ret_aws, err);
}

/* The keys of an identity, from where they come from; a role is assumed by the keys beside it, or by the process. */
static enum status renew(const struct aws_identity *identity, struct arena *arena, struct keys *keys, struct error *err) {
  struct webcall_aws own = {0};
  if (!identity) return ask_chain(arena, keys, err);
  bool given = fill(keys, identity->access_key, identity->secret_key, identity->session_token);
  if (!identity->role_arn) return given ? OK : ask_chain(arena, keys, err);
  enum status status = given ? give(arena, keys, &own, err) : credentials(NULL, arena, &own, err);
  if (status) return status;
  BUF_AUTO form;
  buf_init(&form, FORM_BYTES);
  put_field(&form, "RoleArn", identity->role_arn);
  put_field(&form, "RoleSessionName", SESSION);
  put_field(&form, "ExternalId", identity->external_id);
  return assume(arena, "AssumeRole", &form, &own, keys, err);
}

enum status aws_credentials_of(const struct aws_identity *identity, struct arena *arena, struct webcall_aws *ret_aws, struct error *err) {
  pthread_mutex_lock(&lock);
  enum status status = credentials(identity, arena, ret_aws, err);
  pthread_mutex_unlock(&lock);
  return status;
}

enum status aws_credentials(struct arena *arena, struct webcall_aws *ret_aws, struct error *err) {
  return aws_credentials_of(NULL, arena, ret_aws, err);
}

void aws_forget(void) {
  pthread_mutex_lock(&lock);
  explicit_bzero(kept, sizeof kept);
  pthread_mutex_unlock(&lock);
}

const char *aws_path_segment(const char *text, struct arena *arena) {
  BUF_AUTO out;
  buf_init(&out, 3 * 2048);
  for (const char *at = text; *at; at++)
    if (isalnum((unsigned char)*at) || strchr("-._~", *at))
      buf_putc(&out, *at);
    else
      buf_printf(&out, "%%%02X", (unsigned char)*at);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}
