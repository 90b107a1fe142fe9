/* Cryptography against published vectors, the keyring against tampering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" /* bytes 0, 1, …, 31 */
#define KEY_B "//////////////////////////////////////////8="

static void sha256_matches_fips_180(void **state) {
  (void)state;
  char hex[SHA256_HEX];
  assert_string_equal(crypto_sha256_hex("abc", 3, hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_string_equal(crypto_sha256_hex(NULL, 0, hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac_matches_rfc_4231(void **state) {
  (void)state;
  uint8_t mac[SHA256_BYTES];
  char hex[SHA256_HEX];
  crypto_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
  crypto_hex(mac, sizeof mac, hex);
  assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  crypto_hmac_sha256(NULL, 0, NULL, 0, mac);
  crypto_hex(mac, sizeof mac, hex);
  assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void random_bytes_differ(void **state) {
  (void)state;
  uint8_t a[4096] = {0}, b[4096] = {0};
  crypto_random(a, sizeof a);
  crypto_random(b, sizeof b);
  assert_memory_not_equal(a, b, sizeof a);
  assert_memory_not_equal(a + 4064, b + 4064, 32);
  assert_true(crypto_equal(a, a, sizeof a));
  assert_false(crypto_equal(a, b, sizeof a));
  assert_true(crypto_equal("x", "y", 0));
}

static void base64_matches_rfc_4648(void **state) {
  (void)state;
  static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"}, *const padded[] = {
                                                                                            "",         "Zg==",     "Zm8=",    "Zm9v",
                                                                                            "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t i = 0; i < 7; i++) {
    BUF_AUTO out;
    buf_init(&out, 100);
    assert_true(crypto_base64(plain[i], i, &out));
    assert_string_equal(buf_str(&out), padded[i]);
    uint8_t back[16];
    assert_int_equal(crypto_base64_decode(padded[i], back), i);
    assert_memory_equal(back, plain[i], i);
    buf_reset(&out);
    assert_true(crypto_base64url(plain[i], i, &out));
    assert_null(strchr(buf_str(&out), '='));
    assert_int_equal(crypto_base64_decode(buf_str(&out), back), i);
  }
}

static void all_bytes_survive_both_alphabets(void **state) {
  (void)state;
  uint8_t bytes[256], back[256 + 3];
  for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)(255 - i);
  BUF_AUTO out;
  buf_init(&out, 1000);
  crypto_base64url(bytes, sizeof bytes, &out);
  assert_null(strpbrk(buf_str(&out), "+/="));
  assert_int_equal(crypto_base64_decode(buf_str(&out), back), 256);
  assert_memory_equal(bytes, back, 256);
  buf_reset(&out);
  crypto_base64(bytes, sizeof bytes, &out);
  assert_int_equal(crypto_base64_decode(buf_str(&out), back), 256);
  assert_memory_equal(bytes, back, 256);
  BUF_AUTO small;
  buf_init(&small, 10);
  assert_false(crypto_base64(bytes, sizeof bytes, &small));
  assert_false(buf_ok(&small));
}

static void malformed_base64_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"A",    "AAAAA",  "AA=",  "A===", "=",    "====",       "Zg=a",
                                    "Z g=", "Zm9v\n", "Zm9*", "Zh==", "Zm9=", "\xC3\xA4==", "Zg==Zg=="};
  uint8_t out[16];
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(crypto_base64_decode(bad[i], out), -1);
}

static struct keyring *ring_of(const char *setting) {
  ERROR_AUTO err = {0};
  struct keyring *ring = NULL;
  if (keyring_new(setting, &ring, &err)) fail_msg("%s", err.message);
  return ring;
}

static void a_keyring_reads_its_setting(void **state) {
  (void)state;
  struct keyring *bare = ring_of(KEY_A), *named = ring_of("new:" KEY_B ",old.1-x_:" KEY_A), *mixed = ring_of("new:" KEY_B "," KEY_A);
  assert_string_equal(keyring_current(bare), "630dcd29"); /* of SHA-256 over bytes 0…31 */
  assert_string_equal(keyring_current(named), "new");
  assert_string_equal(keyring_current(mixed), "new");
  keyring_free(bare);
  keyring_free(named);
  keyring_free(mixed);
  keyring_free(NULL);
}

static void a_bad_setting_is_refused_and_not_shown(void **state) {
  (void)state;
  static const char *const bad[] = {NULL,
                                    "",
                                    "c2hvcnQ=",
                                    "not base64 at all!",
                                    ":" KEY_A,
                                    "a b:" KEY_A,
                                    "id:" KEY_A ",",
                                    ",id:" KEY_A,
                                    "id:" KEY_A ",id:" KEY_B,
                                    "id:" KEY_A ":x",
                                    "an-id-that-is-longer-than-thirty-two:" KEY_A,
                                    KEY_A KEY_A KEY_A,
                                    "1:" KEY_A ",2:" KEY_A ",3:" KEY_A ",4:" KEY_A ",5:" KEY_A ",6:" KEY_A ",7:" KEY_A ",8:" KEY_A
                                    ",9:" KEY_A};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ERROR_AUTO err = {0};
    struct keyring *ring = NULL;
    assert_int_equal(keyring_new(bad[i], &ring, &err), ERR_VALIDATION);
    assert_null(ring);
    assert_non_null(strstr(err.message, "AUTODB_MASTER_KEY"));
    assert_null(strstr(err.message, "AAECAwQF"));
    assert_null(strstr(err.message, "c2hvcnQ"));
  }
}

static void what_is_sealed_opens_in_its_place(void **state) {
  (void)state;
  struct keyring *ring = ring_of("k1:" KEY_A);
  static char plain[5000];
  memset(plain, 'p', sizeof plain);
  static const size_t lengths[] = {0, 1, 15, 16, 17, 5000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    ERROR_AUTO err = {0};
    BUF_AUTO blob, opened;
    buf_init(&blob, 8192);
    buf_init(&opened, 8192);
    assert_int_equal(keyring_seal(ring, "row-1", plain, lengths[i], &blob, &err), OK);
    assert_int_equal(blob.len, lengths[i] + 29);
    assert_int_equal(blob.data[0], 1);
    if (lengths[i] > 8) assert_null(memmem(blob.data, blob.len, plain, 8));
    assert_int_equal(keyring_open(ring, "k1", "row-1", blob.data, blob.len, &opened, &err), OK);
    assert_int_equal(opened.len, lengths[i]);
    assert_memory_equal(buf_str(&opened), plain, lengths[i]);
  }
  keyring_free(ring);
}

static void sealing_twice_differs(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct keyring *ring = ring_of(KEY_A);
  BUF_AUTO one, two;
  buf_init(&one, 100);
  buf_init(&two, 100);
  assert_int_equal(keyring_seal(ring, "", "same", 4, &one, &err), OK);
  assert_int_equal(keyring_seal(ring, "", "same", 4, &two, &err), OK);
  assert_memory_not_equal(one.data, two.data, one.len);
  keyring_free(ring);
}

static void every_flipped_bit_is_noticed(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct keyring *ring = ring_of("k1:" KEY_A);
  BUF_AUTO blob, opened;
  buf_init(&blob, 100);
  buf_init(&opened, 100);
  assert_int_equal(keyring_seal(ring, "row", "secret", 6, &blob, &err), OK);
  for (size_t i = 0; i < blob.len * 8; i++) {
    blob.data[i / 8] ^= (char)(1 << i % 8);
    assert_int_equal(keyring_open(ring, "k1", "row", blob.data, blob.len, &opened, &err), ERR_INTERNAL);
    assert_int_equal(opened.len, 0);
    blob.data[i / 8] ^= (char)(1 << i % 8);
  }
  for (size_t len = 0; len < blob.len; len++)
    assert_int_equal(keyring_open(ring, "k1", "row", blob.data, len, &opened, &err), ERR_INTERNAL);
  assert_int_equal(keyring_open(ring, "k1", "other row", blob.data, blob.len, &opened, &err), ERR_INTERNAL);
  assert_int_equal(keyring_open(ring, "k2", "row", blob.data, blob.len, &opened, &err), ERR_INTERNAL);
  assert_non_null(strstr(err.message, "\"k2\""));
  assert_int_equal(keyring_open(ring, "k1", "row", blob.data, blob.len, &opened, &err), OK);
  keyring_free(ring);
}

static void old_keys_open_after_a_rotation(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct keyring *before = ring_of("k1:" KEY_A), *after = ring_of("k2:" KEY_B ",k1:" KEY_A), *wrong = ring_of("k1:" KEY_B);
  BUF_AUTO blob, opened;
  buf_init(&blob, 100);
  buf_init(&opened, 100);
  assert_int_equal(keyring_seal(before, "row", "secret", 6, &blob, &err), OK);
  assert_int_equal(keyring_open(after, keyring_current(before), "row", blob.data, blob.len, &opened, &err), OK);
  assert_string_equal(buf_str(&opened), "secret");
  assert_int_equal(keyring_open(wrong, "k1", "row", blob.data, blob.len, &opened, &err), ERR_INTERNAL);
  keyring_free(before);
  keyring_free(after);
  keyring_free(wrong);
}

static void a_full_buffer_is_an_error(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct keyring *ring = ring_of(KEY_A);
  BUF_AUTO blob;
  buf_init(&blob, 10);
  assert_int_equal(keyring_seal(ring, "row", "secret", 6, &blob, &err), ERR_UNAVAILABLE);
  assert_int_equal(keyring_seal(ring, "row", "", SIZE_MAX, &blob, &err), ERR_TOO_LARGE);
  keyring_free(ring);
}

/* HKDF (RFC 5869) with an empty salt, spelled out by HMAC. */
static void derived_keys_are_hkdf(void **state) {
  (void)state;
  struct keyring *ring = ring_of(KEY_A);
  uint8_t derived[SHA256_BYTES], other[SHA256_BYTES], salt[SHA256_BYTES] = {0}, key[32], extracted[SHA256_BYTES], expected[SHA256_BYTES];
  for (int i = 0; i < 32; i++) key[i] = (uint8_t)i;
  keyring_derive(ring, "approval", derived);
  crypto_hmac_sha256(salt, sizeof salt, key, sizeof key, extracted);
  crypto_hmac_sha256(extracted, sizeof extracted, "approval\x01", 9, expected);
  assert_memory_equal(derived, expected, sizeof derived);
  keyring_derive(ring, "cursor", other);
  assert_memory_not_equal(derived, other, sizeof derived);
  keyring_free(ring);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sha256_matches_fips_180),
      cmocka_unit_test(hmac_matches_rfc_4231),
      cmocka_unit_test(random_bytes_differ),
      cmocka_unit_test(base64_matches_rfc_4648),
      cmocka_unit_test(all_bytes_survive_both_alphabets),
      cmocka_unit_test(malformed_base64_is_refused),
      cmocka_unit_test(a_keyring_reads_its_setting),
      cmocka_unit_test(a_bad_setting_is_refused_and_not_shown),
      cmocka_unit_test(what_is_sealed_opens_in_its_place),
      cmocka_unit_test(sealing_twice_differs),
      cmocka_unit_test(every_flipped_bit_is_noticed),
      cmocka_unit_test(old_keys_open_after_a_rotation),
      cmocka_unit_test(a_full_buffer_is_an_error),
      cmocka_unit_test(derived_keys_are_hkdf),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
