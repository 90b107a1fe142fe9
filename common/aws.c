/* aws.c - the chain is a table: the first source that has credentials ends the search; one that is set up but broken ends it with its
 * error, since going on would use an identity nobody asked for. */
#include "common/aws.h"

#include <time.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/textfile.h"

#define FILE_BYTES (256 * 1024)
#define ANSWER_BYTES (64 * 1024)
#define CALL_MS 2000
#define EXPIRY_MARGIN_MS (5 * 60 * 1000)
#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST "http://169.254.169.254"

struct keys {
  char access_key[128], secret_key[256], session_token[8192]; /* token "" when there is none */
  int64_t expires_ms;                                         /* wall clock; 0: never */
};
static struct keys kept; /* what a service gave last */

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
  static const char roles[] = INSTANCE_HOST "/latest/meta-data/iam/security-credentials/";
  const char *disabled = env("AWS_EC2_METADATA_DISABLED");
  if (disabled && strcasecmp(disabled, "true") == 0) return OK;
  ERROR_AUTO nowhere = {0};
  struct webcall_answer answer = {0};
  struct webcall_header header = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
  if (call(arena, "PUT", INSTANCE_HOST "/latest/api/token", &header, &answer, &nowhere) || answer.status != 200) return OK;
  header = (struct webcall_header){"X-aws-ec2-metadata-token", answer.body};
  if (call(arena, "GET", roles, &header, &answer, &nowhere) || answer.status != 200) return OK;
  const char *role = arena_strndup(arena, answer.body, strcspn(answer.body, "\r\n"));
  enum status status = call(arena, "GET", arena_printf(arena, "%s%s", roles, role), &header, &answer, err);
  if (!status) status = take_json(arena, &answer, keys, err);
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

enum status aws_credentials(struct arena *arena, struct webcall_aws *ret_aws, struct error *err) {
  static enum status (*const chain[])(struct arena *, struct keys *, bool *, struct error *) = {from_environment, from_file, from_container,
                                                                                                from_instance};
  if (kept.expires_ms && clock_wall_ms() < kept.expires_ms - EXPIRY_MARGIN_MS) return give(arena, &kept, ret_aws, err);
  bool found = false;
  struct keys keys = {0};
  for (size_t i = 0; i < sizeof chain / sizeof *chain && !found; i++) {
    enum status status = chain[i](arena, &keys, &found, err);
    if (status) return status;
  }
  if (!found)
    return error_set_code(
        err, ERR_UNAVAILABLE, "NO_CREDENTIALS",
        "no AWS credentials: neither in the environment, nor in the shared credentials file, nor from the container or instance");
  if (keys.expires_ms) kept = keys;
  return give(arena, &keys, ret_aws, err);
}
