/* The approval token against tampering, rotation, other spellings and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/approval.h"
#include "common/json.h"
#include "common/limits.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//////////////////////////////////////////8="
#define OWNER "01890000-0000-7000-8000-000000000001"
#define CONNECTION "01890000-0000-7000-8000-000000000002"
#define SNAPSHOT "01890000-0000-7000-8000-000000000003"
#define OTHER "01890000-0000-7000-8000-00000000000f"
#define SQL "ALTER TABLE t ADD c int"
#define EXP 1900000000LL

struct room {
  struct arena *arena;
  struct keyring *ring;
  struct approval approval;
  const char *token;
};

static struct keyring *ring_of(const char *setting) {
  ERROR_AUTO err = {0};
  struct keyring *ring = NULL;
  assert_int_equal(keyring_new(setting, &ring, &err), OK);
  return ring;
}

static int set_up(void **state) {
  ERROR_AUTO err = {0};
  struct room *room = calloc(1, sizeof *room);
  char digest[SHA256_HEX];
  room->arena = arena_new(16 << 20);
  room->ring = ring_of("a:" KEY_A);
  room->approval = (struct approval){.sql_sha256 = arena_strdup(room->arena, crypto_sha256_hex(SQL, strlen(SQL), digest)),
                                     .connection_id = CONNECTION,
                                     .owner = OWNER,
                                     .snapshot_id = SNAPSHOT,
                                     .schema_fingerprint = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                                     .nonce = "000102030405060708090a0b0c0d0e0f",
                                     .exp = EXP};
  assert_int_equal(approval_sign(room->ring, &room->approval, room->arena, &room->token, &err), OK);
  *state = room;
  return 0;
}

static int tear_down(void **state) {
  struct room *room = *state;
  keyring_free(room->ring);
  arena_free(room->arena);
  free(room);
  return 0;
}

/* Opens `token`; the code of the refusal, "" when it opened. Nothing may have been written to the result of a refusal. */
static const char *opened(struct room *room, const struct keyring *ring, const char *token) {
  static char code[48];
  ERROR_AUTO err = {0};
  struct approval approval = {.exp = -7};
  enum status status = approval_open(ring, token, room->arena, &approval, &err);
  assert_true(status == OK || approval.exp == -7);
  assert_true(status == OK || status == ERR_CONFLICT);
  assert_true(status == OK || status_http(err.status) == 409);
  if (strlen(token) > 20) assert_null(strstr(err.message, token));
  snprintf(code, sizeof code, "%s", err.code);
  return code;
}
#define REFUSED(room, token) assert_string_equal(opened(room, (room)->ring, token), "TOKEN_INVALID")

/* Any bytes as claims, properly signed: what only our own older or newer selves could send. */
static const char *signed_claims(const struct room *room, const void *claims, size_t len) {
  uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
  BUF_AUTO token;
  buf_init(&token, 100000);
  keyring_derive(room->ring, "approval-token", key);
  crypto_hmac_sha256(key, sizeof key, claims, len, mac);
  assert_true(crypto_base64url(claims, len, &token) && buf_putc(&token, '.') && crypto_base64url(mac, sizeof mac, &token));
  return arena_strdup(room->arena, buf_str(&token));
}

static void what_is_signed_is_read_back(void **state) {
  struct room *room = *state;
  ERROR_AUTO err = {0};
  struct approval got;
  assert_int_equal(approval_open(room->ring, room->token, room->arena, &got, &err), OK);
  assert_string_equal(got.sql_sha256, room->approval.sql_sha256);
  assert_string_equal(got.connection_id, CONNECTION);
  assert_string_equal(got.owner, OWNER);
  assert_string_equal(got.snapshot_id, SNAPSHOT);
  assert_string_equal(got.schema_fingerprint, room->approval.schema_fingerprint);
  assert_string_equal(got.nonce, room->approval.nonce);
  assert_int_equal(got.exp, EXP);
  assert_int_equal(approval_check(&got, OWNER, CONNECTION, SQL, strlen(SQL), EXP * 1000 - 1, &err), OK);
}

/* The published form: base64url(canonical JSON) "." base64url(HMAC-SHA256), the key by HKDF of the master key. */
static void a_token_has_the_published_form(void **state) {
  struct room *room = *state;
  const char *claims = arena_printf(room->arena,
                                    "{\"connection_id\":\"" CONNECTION "\",\"exp\":%lld,\"nonce\":\"%s\",\"owner\":\"" OWNER
                                    "\",\"schema_fingerprint\":\"%s\",\"snapshot_id\":\"" SNAPSHOT "\",\"sql_sha256\":\"%s\"}",
                                    EXP, room->approval.nonce, room->approval.schema_fingerprint, room->approval.sql_sha256);
  assert_string_equal(room->token, signed_claims(room, claims, strlen(claims)));
  assert_true(strlen(room->token) < LIMIT_APPROVAL_TOKEN_BYTES / 2);
}

static void every_changed_character_is_noticed(void **state) {
  struct room *room = *state;
  char *token = arena_strdup(room->arena, room->token);
  static const char others[] = "AB09-_+/=. \n\x80";
  for (size_t i = 0; token[i]; i++) {
    char was = token[i];
    for (const char *c = others; *c; c++) {
      if (*c == was) continue;
      token[i] = *c;
      REFUSED(room, token);
    }
    token[i] = was;
  }
  assert_string_equal(opened(room, room->ring, token), "");
}

static void every_cut_is_noticed(void **state) {
  struct room *room = *state;
  for (size_t len = 0; room->token[len]; len++) {
    REFUSED(room, arena_strndup(room->arena, room->token, len));
    if (len) REFUSED(room, room->token + len);
  }
}

static void other_forms_are_refused(void **state) {
  struct room *room = *state;
  const char *dot = strchr(room->token, '.');
  const char *claims = arena_strndup(room->arena, room->token, (size_t)(dot - room->token));
  REFUSED(room, "");
  REFUSED(room, ".");
  REFUSED(room, "..");
  REFUSED(room, claims);
  REFUSED(room, dot);
  REFUSED(room, arena_printf(room->arena, "%s.", claims));
  REFUSED(room, arena_printf(room->arena, "%s.%s", room->token, dot + 1));
  REFUSED(room, arena_printf(room->arena, "%s=", room->token));
  REFUSED(room, arena_printf(room->arena, " %s", room->token));
  REFUSED(room, arena_printf(room->arena, "%s\n", room->token));
  REFUSED(room, arena_printf(room->arena, "%s%s", claims, claims));
  REFUSED(room, arena_printf(room->arena, "%s.%s", dot + 1, claims));
}

/* base64 has two alphabets; a token has one spelling. */
static void the_other_alphabet_is_refused(void **state) {
  struct room *room = *state;
  ERROR_AUTO err = {0};
  bool tried = false;
  for (int i = 0; i < 200 && !tried; i++) {
    const char *token;
    room->approval.exp = EXP + i;
    assert_int_equal(approval_sign(room->ring, &room->approval, room->arena, &token, &err), OK);
    char *spelled = strpbrk(token, "-_") ? arena_strdup(room->arena, token) : NULL;
    if (!spelled) continue;
    for (char *c = spelled; *c; c++) *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    assert_string_equal(opened(room, room->ring, token), "");
    REFUSED(room, spelled);
    tried = true;
  }
  assert_true(tried);
}

static void the_longest_and_beyond(void **state) {
  struct room *room = *state;
  static const size_t lengths[] = {LIMIT_APPROVAL_TOKEN_BYTES - 1, LIMIT_APPROVAL_TOKEN_BYTES, LIMIT_APPROVAL_TOKEN_BYTES + 1, 4 << 20};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    char *text = malloc(lengths[i] + 1);
    memset(text, 'A', lengths[i]);
    text[lengths[i]] = '\0';
    REFUSED(room, text);
    text[lengths[i] - 44] = '.';
    REFUSED(room, text);
    free(text);
  }
  ERROR_AUTO err = {0};
  const char *token = NULL;
  char *long_text = arena_alloc(room->arena, LIMIT_APPROVAL_TOKEN_BYTES + 1);
  memset(long_text, 'f', LIMIT_APPROVAL_TOKEN_BYTES);
  room->approval.schema_fingerprint = long_text;
  assert_int_equal(approval_sign(room->ring, &room->approval, room->arena, &token, &err), ERR_UNAVAILABLE);
  assert_null(token);
}

static void keys_may_rotate(void **state) {
  struct room *room = *state;
  struct keyring *rotated = ring_of("b:" KEY_B ",a:" KEY_A), *gone = ring_of("b:" KEY_B), *renamed = ring_of("z:" KEY_A);
  assert_string_equal(opened(room, rotated, room->token), "");
  assert_string_equal(opened(room, renamed, room->token), "");
  assert_string_equal(opened(room, gone, room->token), "TOKEN_INVALID");
  ERROR_AUTO err = {0};
  const char *newer;
  assert_int_equal(approval_sign(rotated, &room->approval, room->arena, &newer, &err), OK);
  assert_string_not_equal(newer, room->token);
  assert_string_equal(opened(room, gone, newer), "");
  REFUSED(room, newer);
  keyring_free(rotated);
  keyring_free(gone);
  keyring_free(renamed);
}

/* A signature over claims that are not ours in form: none may open, whatever key signed it. */
static void only_canonical_claims_are_read(void **state) {
  struct room *room = *state;
  uint8_t plain[LIMIT_APPROVAL_TOKEN_BYTES];
  char *part = arena_strndup(room->arena, room->token, strcspn(room->token, "."));
  long len = crypto_base64_decode(part, plain);
  const char *claims = arena_strndup(room->arena, (const char *)plain, (size_t)len);
  assert_string_equal(opened(room, room->ring, signed_claims(room, claims, strlen(claims))), "");
  static const struct {
    const char *find, *put;
  } edits[] = {{"{", "{ "},
               {"\"exp\":", "\"exp\": "},
               {"\"exp\":1900000000", "\"exp\":\"1900000000\""},
               {"\"exp\":1900000000", "\"exp\":1.9e9"},
               {"\"exp\":1900000000", "\"exp\":0"},
               {"\"exp\":1900000000", "\"exp\":-1"},
               {"\"exp\":1900000000", "\"exp\":9223372036854775807"},
               {"\"exp\":1900000000", "\"exp\":null"},
               {"\"exp\":1900000000,", ""},
               {"\"exp\":1900000000", "\"exp\":1900000000,\"more\":1"},
               {"\"exp\":1900000000", "\"exp\":1900000000,\"exp\":1900000000"},
               {OWNER, "01890000-0000-7000-8000-00000000000A"},
               {OWNER, "01890000x0000-7000-8000-000000000001"},
               {OWNER, ""},
               {"000102030405060708090a0b0c0d0e0f", "00"},
               {"\"owner\"", "\"0wner\""}};
  for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
    const char *at = strstr(claims, edits[i].find);
    assert_non_null(at);
    const char *edited = arena_printf(room->arena, "%.*s%s%s", (int)(at - claims), claims, edits[i].put, at + strlen(edits[i].find));
    REFUSED(room, signed_claims(room, edited, strlen(edited)));
  }
  REFUSED(room, signed_claims(room, "", 0));
  REFUSED(room, signed_claims(room, "null", 4));
  REFUSED(room, signed_claims(room, "[]", 2));
  REFUSED(room, signed_claims(room, "{}", 2));
  REFUSED(room, signed_claims(room, claims, strlen(claims) + 1)); /* a NUL at the end */
  REFUSED(room, signed_claims(room, arena_printf(room->arena, "%s ", claims), strlen(claims) + 1));
}

struct asked {
  const char *owner, *connection, *sql;
  int64_t now_ms;
  const char *code;
};

static void what_is_asked_must_be_what_was_approved(void **state) {
  struct room *room = *state;
  static const struct asked rows[] = {
      {OWNER, CONNECTION, SQL, 0, ""},
      {OWNER, CONNECTION, SQL, EXP * 1000 - 1, ""},
      {OWNER, CONNECTION, SQL, EXP * 1000, "TOKEN_EXPIRED"},
      {OWNER, CONNECTION, SQL, INT64_MAX, "TOKEN_EXPIRED"},
      {OTHER, CONNECTION, SQL, 0, "TOKEN_INVALID"},
      {"", CONNECTION, SQL, 0, "TOKEN_INVALID"},
      {OWNER, OTHER, SQL, 0, "TOKEN_CONNECTION_MISMATCH"},
      {OWNER, CONNECTION, SQL " ", 0, "TOKEN_SQL_MISMATCH"},
      {OWNER, CONNECTION, "", 0, "TOKEN_SQL_MISMATCH"},
      /* who it is comes first, what it says before when: an expired token of another script tells nothing of its time */
      {OTHER, OTHER, "", EXP * 1000, "TOKEN_INVALID"},
      {OWNER, OTHER, "", EXP * 1000, "TOKEN_CONNECTION_MISMATCH"},
      {OWNER, CONNECTION, "", EXP * 1000, "TOKEN_SQL_MISMATCH"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct asked *row = &rows[i];
    ERROR_AUTO err = {0};
    enum status status = approval_check(&room->approval, row->owner, row->connection, row->sql, strlen(row->sql), row->now_ms, &err);
    assert_int_equal(status, *row->code ? ERR_CONFLICT : OK);
    assert_string_equal(err.code, row->code);
    if (strcmp(row->code, "TOKEN_INVALID") == 0) assert_null(strstr(err.message, OWNER)); /* not another owner's business */
  }
}

static void the_time_is_not_part_of_a_match(void **state) {
  struct room *room = *state;
  ERROR_AUTO err = {0};
  room->approval.exp = 1;
  assert_int_equal(approval_match(&room->approval, OWNER, CONNECTION, SQL, strlen(SQL), &err), OK);
  assert_int_equal(approval_check(&room->approval, OWNER, CONNECTION, SQL, strlen(SQL), 1000, &err), ERR_CONFLICT);
  assert_non_null(strstr(err.message, "1970-01-01T00:00:01"));
}

static void a_full_arena_is_an_error(void **state) {
  struct room *room = *state;
  ERROR_AUTO err = {0};
  struct arena *tiny = arena_new(64);
  const char *token = NULL;
  struct approval approval = {.exp = -7};
  assert_int_equal(approval_sign(room->ring, &room->approval, tiny, &token, &err), ERR_UNAVAILABLE);
  assert_int_equal(approval_open(room->ring, room->token, tiny, &approval, &err), ERR_UNAVAILABLE);
  assert_null(token);
  assert_int_equal(approval.exp, -7);
  arena_free(tiny);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_signed_is_read_back),
      TEST(a_token_has_the_published_form),
      TEST(every_changed_character_is_noticed),
      TEST(every_cut_is_noticed),
      TEST(other_forms_are_refused),
      TEST(the_other_alphabet_is_refused),
      TEST(the_longest_and_beyond),
      TEST(keys_may_rotate),
      TEST(only_canonical_claims_are_read),
      TEST(what_is_asked_must_be_what_was_approved),
      TEST(the_time_is_not_part_of_a_match),
      TEST(a_full_arena_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
