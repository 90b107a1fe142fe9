/* approval.c - see approval.h. Nothing of a token is looked at before its signature holds; what follows guards against our own older or
 * newer selves, not against strangers. */
#include "common/approval.h"

#include "common/clock.h"
#include "common/id.h"
#include "common/json.h"
#include "common/limits.h"

#define PURPOSE "approval-token"
#define HEX_SHA256 (2 * SHA256_BYTES)
#define UUID_LEN (ID_TEXT - 1)
#define EXP_MAX (INT64_MAX / 1000)
#define URL_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static const struct json_field claim_fields[] = {
    {.name = "sql_sha256", .want = JSON_WANT_STRING, .required = true, .min = HEX_SHA256, .max = HEX_SHA256},
    {.name = "connection_id", .want = JSON_WANT_STRING, .required = true, .min = UUID_LEN, .max = UUID_LEN},
    {.name = "owner", .want = JSON_WANT_STRING, .required = true, .min = UUID_LEN, .max = UUID_LEN},
    {.name = "snapshot_id", .want = JSON_WANT_STRING, .required = true, .min = UUID_LEN, .max = UUID_LEN},
    {.name = "schema_fingerprint", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = 128},
    {.name = "nonce", .want = JSON_WANT_STRING, .required = true, .min = 2 * APPROVAL_NONCE_BYTES, .max = 2 * APPROVAL_NONCE_BYTES},
    {.name = "exp", .want = JSON_WANT_INT, .required = true, .min = 1, .max = EXP_MAX}};

static enum status invalid(struct error *err) {
  return error_set_code(err, ERR_CONFLICT, "TOKEN_INVALID",
                        "The approval token is damaged or was not issued here; analyze the migration again for a new one.");
}

static void sign(const uint8_t key[SHA256_BYTES], const void *claims, size_t len, uint8_t out[SHA256_BYTES]) {
  crypto_hmac_sha256(key, SHA256_BYTES, claims, len, out);
}

enum status approval_sign(const struct keyring *keyring, const struct approval *approval, struct arena *arena, const char **ret_token,
                          struct error *err) {
  json_t *value = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "sql_sha256", approval->sql_sha256, "connection_id",
                            approval->connection_id, "owner", approval->owner, "snapshot_id", approval->snapshot_id, "schema_fingerprint",
                            approval->schema_fingerprint, "nonce", approval->nonce, "exp", (json_int_t)approval->exp);
  char *claims = value ? json_canonical(value) : NULL;
  json_decref(value);
  if (!claims) return error_oom(err);
  uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
  keyring_derive(keyring, PURPOSE, key);
  sign(key, claims, strlen(claims), mac);
  explicit_bzero(key, sizeof key);
  BUF_AUTO token;
  buf_init(&token, LIMIT_APPROVAL_TOKEN_BYTES);
  bool made = crypto_base64url(claims, strlen(claims), &token) && buf_putc(&token, '.') && crypto_base64url(mac, sizeof mac, &token);
  free(claims);
  const char *text = made ? arena_strndup(arena, buf_str(&token), token.len) : NULL;
  if (!text) return error_oom(err);
  *ret_token = text;
  return OK;
}

/* All keys are tried even after one fitted: how long it takes says nothing about which. */
static bool signed_here(const struct keyring *keyring, const void *claims, size_t len, const uint8_t mac[SHA256_BYTES]) {
  uint8_t key[SHA256_BYTES], expected[SHA256_BYTES];
  bool found = false;
  for (size_t i = 0; keyring_derive_at(keyring, i, PURPOSE, key); i++) {
    sign(key, claims, len, expected);
    found |= crypto_equal(mac, expected, SHA256_BYTES);
  }
  explicit_bzero(key, sizeof key);
  explicit_bzero(expected, sizeof expected);
  return found;
}

/* One part, NUL-terminated: only the alphabet we write, so that a token has one spelling. Length, or -1. */
static long decode(const char *part, uint8_t *out) {
  size_t len = strlen(part);
  return len && strspn(part, URL_LETTERS) == len ? crypto_base64_decode(part, out) : -1;
}

static bool is_id(const char *text) {
  struct id id;
  char canonical[ID_TEXT];
  return id_parse(text, &id) && strcmp(id_format(&id, canonical), text) == 0;
}

/* The claims as JSON in canonical form, each of its type and size; NULL when they are anything else. */
static json_t *parse_claims(const char *claims, size_t len) {
  ERROR_AUTO err = {0};
  json_t *value = NULL;
  if (json_parse(claims, len, &value, &err) != OK) return NULL;
  char *canonical = json_canonical(value);
  bool ok = canonical && strlen(canonical) == len && memcmp(canonical, claims, len) == 0 &&
            json_check(value, "", claim_fields, sizeof claim_fields / sizeof *claim_fields, &err) == OK &&
            is_id(json_str(value, "connection_id", "")) && is_id(json_str(value, "owner", "")) && is_id(json_str(value, "snapshot_id", ""));
  free(canonical);
  if (ok) return value;
  json_decref(value);
  return NULL;
}

static enum status read_claims(const char *claims, size_t len, struct arena *arena, struct approval *ret_approval, struct error *err) {
  json_t *value = parse_claims(claims, len);
  if (!value) return invalid(err);
  struct approval approval = {.sql_sha256 = arena_strdup(arena, json_str(value, "sql_sha256", NULL)),
                              .connection_id = arena_strdup(arena, json_str(value, "connection_id", NULL)),
                              .owner = arena_strdup(arena, json_str(value, "owner", NULL)),
                              .snapshot_id = arena_strdup(arena, json_str(value, "snapshot_id", NULL)),
                              .schema_fingerprint = arena_strdup(arena, json_str(value, "schema_fingerprint", NULL)),
                              .nonce = arena_strdup(arena, json_str(value, "nonce", NULL)),
                              .exp = json_int(value, "exp", 0)};
  json_decref(value);
  if (!approval.sql_sha256 || !approval.connection_id || !approval.owner || !approval.snapshot_id || !approval.schema_fingerprint ||
      !approval.nonce)
    return error_oom(err);
  *ret_approval = approval;
  return OK;
}

enum status approval_open(const struct keyring *keyring, const char *token, struct arena *arena, struct approval *ret_approval,
                          struct error *err) {
  char parts[LIMIT_APPROVAL_TOKEN_BYTES + 1];
  uint8_t claims[sizeof parts], mac[sizeof parts];
  size_t len = strnlen(token, sizeof parts);
  const char *dot = memchr(token, '.', len);
  if (len == sizeof parts || !dot) return invalid(err);
  memcpy(parts, token, len);
  parts[len] = '\0';
  parts[dot - token] = '\0';
  long claims_len = decode(parts, claims), mac_len = decode(parts + (dot - token) + 1, mac);
  if (claims_len <= 0 || mac_len != SHA256_BYTES || !signed_here(keyring, claims, (size_t)claims_len, mac)) return invalid(err);
  return read_claims((const char *)claims, (size_t)claims_len, arena, ret_approval, err);
}

enum status approval_match(const struct approval *approval, const char *owner, const char *connection_id, const char *sql, size_t sql_len,
                           struct error *err) {
  char digest[SHA256_HEX];
  if (strcmp(approval->owner, owner) != 0) return invalid(err);
  if (strcmp(approval->connection_id, connection_id) != 0)
    return error_set_code(err, ERR_CONFLICT, "TOKEN_CONNECTION_MISMATCH", "The approval token is for another connection, %s.",
                          approval->connection_id);
  if (strcmp(approval->sql_sha256, crypto_sha256_hex(sql, sql_len, digest)) != 0)
    return error_set_code(err, ERR_CONFLICT, "TOKEN_SQL_MISMATCH",
                          "The SQL is not the SQL that was approved (SHA-256 %s, approved %s); send the same bytes or analyze it again.",
                          digest, approval->sql_sha256);
  return OK;
}

enum status approval_fresh(const struct approval *approval, int64_t now_ms, struct error *err) {
  char at[CLOCK_TEXT];
  if (now_ms < approval->exp * 1000) return OK;
  return error_set_code(err, ERR_CONFLICT, "TOKEN_EXPIRED", "The approval token expired at %s; analyze the migration again for a new one.",
                        clock_format(approval->exp * 1000, at));
}

enum status approval_check(const struct approval *approval, const char *owner, const char *connection_id, const char *sql, size_t sql_len,
                           int64_t now_ms, struct error *err) {
  enum status status = approval_match(approval, owner, connection_id, sql, sql_len, err);
  return status == OK ? approval_fresh(approval, now_ms, err) : status;
}
