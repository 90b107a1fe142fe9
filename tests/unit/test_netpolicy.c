/* Every class of address, in every notation that leads to it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/netpolicy.h"

static struct sockaddr_storage address_of(const char *text) {
  struct sockaddr_storage storage = {0};
  struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
    storage.ss_family = AF_INET;
  else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
    storage.ss_family = AF_INET6;
  else
    fail_msg("%s is no address", text);
  return storage;
}

static struct netpolicy *policy_of(const char *allow, const char *deny, bool private_ok) {
  struct netpolicy *policy = NULL;
  ERROR_AUTO err = {0};
  if (netpolicy_new(allow, deny, private_ok, &policy, &err)) fail_msg("%s", err.message);
  return policy;
}

static const char *refusal(const struct netpolicy *policy, const char *text) {
  struct sockaddr_storage storage = address_of(text);
  return netpolicy_refusal(policy, (struct sockaddr *)&storage);
}

static void assert_refused(const struct netpolicy *policy, const char *text, const char *part) {
  const char *why = refusal(policy, text);
  if (!why || !strstr(why, part)) fail_msg("%s: wanted \"%s\", got \"%s\"", text, part, why ? why : "allowed");
}

static void assert_allowed(const struct netpolicy *policy, const char *text) {
  if (refusal(policy, text)) fail_msg("%s: wanted allowed, got \"%s\"", text, refusal(policy, text));
}

static void builtin_refusals(void **state) {
  (void)state;
  static const struct {
    const char *address, *part;
  } rows[] = {
      {"0.0.0.0", "unspecified"},
      {"0.255.255.255", "unspecified"},
      {"::", "unspecified"},
      {"127.0.0.1", "loopback"},
      {"127.255.255.255", "loopback"},
      {"::1", "loopback"},
      {"169.254.0.1", "link-local"},
      {"169.254.169.254", "metadata"},
      {"fe80::1", "link-local"},
      {"febf::1", "link-local"},
      {"fd00:ec2::254", "metadata"},
      {"100.100.100.200", "metadata"},
      {"224.0.0.1", "multicast"},
      {"239.255.255.255", "multicast"},
      {"ff02::1", "multicast"},
      {"255.255.255.255", "broadcast"},
      {"240.0.0.1", "reserved"},
      {"::ffff:127.0.0.1", "loopback"}, /* IPv4-mapped */
      {"::ffff:169.254.169.254", "metadata"},
      {"::127.0.0.1", "loopback"}, /* IPv4-compatible */
      {"::0.0.0.2", "unspecified"},
      {"64:ff9b::127.0.0.1", "loopback"}, /* NAT64 */
      {"64:ff9b::a9fe:a9fe", "metadata"},
      {"2002:7f00:1::", "loopback"}, /* 6to4 */
      {"2002:a9fe:a9fe::1", "metadata"},
  };
  struct netpolicy *policy = policy_of(NULL, "", true);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(policy, rows[i].address, rows[i].part);
  netpolicy_free(policy);
}

static void ordinary_addresses_pass(void **state) {
  (void)state;
  static const char *const rows[] = {"1.1.1.1",        "8.8.8.8",          "126.255.255.255", "128.0.0.1",       "169.253.1.1",
                                     "169.255.0.1",    "223.255.255.255",  "2001:db8::1",     "2606:4700::1111", "fec0::1",
                                     "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "100.128.0.1",     "172.32.0.1"};
  struct netpolicy *policy = policy_of(NULL, NULL, false);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_allowed(policy, rows[i]);
  netpolicy_free(policy);
}

static void private_networks_follow_the_flag(void **state) {
  (void)state;
  static const char *const rows[] = {"10.0.0.1", "10.255.255.255", "172.16.0.1",      "172.31.255.255", "192.168.1.1",   "100.64.0.1",
                                     "fc00::1",  "fd12:3456::1",   "::ffff:10.1.2.3", "2002:a00:1::1",  "64:ff9b::a00:1"};
  struct netpolicy *open = policy_of(NULL, NULL, true), *closed = policy_of(NULL, NULL, false);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_allowed(open, rows[i]);
    assert_refused(closed, rows[i], "private");
  }
  netpolicy_free(open);
  netpolicy_free(closed);
}

static void deny_beats_allow_beats_builtin(void **state) {
  (void)state;
  struct netpolicy *policy = policy_of("127.0.0.0/8, ::1 10.0.0.0/8", "127.0.0.2/32,10.1.0.0/16\n2001:db8::/32", false);
  assert_allowed(policy, "127.0.0.1");
  assert_allowed(policy, "::ffff:127.0.0.1");
  assert_allowed(policy, "::1");
  assert_refused(policy, "127.0.0.2", "denies");
  assert_refused(policy, "::ffff:127.0.0.2", "denies");
  assert_refused(policy, "2002:7f00:2::", "denies");
  assert_allowed(policy, "10.2.0.1");
  assert_refused(policy, "10.1.255.1", "denies");
  assert_refused(policy, "2001:db8:1::1", "denies");
  assert_refused(policy, "192.168.0.1", "private");
  netpolicy_free(policy);
}

static void a_rule_of_one_family_leaves_the_other_alone(void **state) {
  (void)state;
  struct netpolicy *six = policy_of("::/0", NULL, true), *four = policy_of("0.0.0.0/0", NULL, true);
  assert_allowed(six, "::1");
  assert_refused(six, "127.0.0.1", "loopback");
  assert_refused(six, "::ffff:127.0.0.1", "loopback");
  assert_refused(six, "64:ff9b::7f00:1", "loopback");
  assert_allowed(four, "127.0.0.1");
  assert_refused(four, "::1", "loopback");
  netpolicy_free(six);
  netpolicy_free(four);
}

static void a_wrapping_prefix_can_be_denied_itself(void **state) {
  (void)state;
  struct netpolicy *policy = policy_of("8.8.8.8", "64:ff9b::/96 2002::/16", true);
  assert_refused(policy, "64:ff9b::808:808", "denies");
  assert_refused(policy, "2002:808:808::1", "denies");
  assert_allowed(policy, "8.8.8.8");
  netpolicy_free(policy);
}

static void odd_prefix_lengths(void **state) {
  (void)state;
  struct netpolicy *policy = policy_of(NULL, "192.0.2.128/25 203.0.113.4/30 2001:db8:8000::/33", true);
  assert_allowed(policy, "192.0.2.127");
  assert_refused(policy, "192.0.2.128", "denies");
  assert_refused(policy, "203.0.113.7", "denies");
  assert_allowed(policy, "203.0.113.8");
  assert_allowed(policy, "2001:db8:7fff::");
  assert_refused(policy, "2001:db8:ffff::1", "denies");
  netpolicy_free(policy);
}

static void malformed_lists_are_refused(void **state) {
  (void)state;
  static const char *const rows[] = {
      "10.0.0.0/33",  "10.0.0.0/",
      "10.0.0.0/-1",  "10.0.0.0/8x",
      "10.0.0.1/8",   "10.0.0/8",
      "host.example", "::/129",
      "::1/64",       "10.0.0.0/8;11.0.0.0/8",
      "/8",           "1.2.3.4/0008",
      "fe80::%eth0",  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct netpolicy *policy = NULL;
    ERROR_AUTO err = {0};
    if (!netpolicy_new(rows[i], NULL, true, &policy, &err)) fail_msg("%s was taken", rows[i]);
    assert_int_equal(err.status, ERR_VALIDATION);
    assert_non_null(strstr(err.message, "10.0.0.0/8")); /* says what would be right */
    assert_null(policy);
  }
}

static void too_many_rules_are_refused(void **state) {
  (void)state;
  char *list = calloc(1, 300 * 10);
  for (int i = 0; i < 300; i++) memcpy(list + (size_t)i * 8, "1.2.3.4 ", 8);
  struct netpolicy *policy = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(netpolicy_new(list, NULL, true, &policy, &err), ERR_VALIDATION);
  free(list);
}

static void other_families_are_refused(void **state) {
  (void)state;
  struct netpolicy *policy = policy_of("0.0.0.0/0 ::/0", NULL, true);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
  assert_non_null(netpolicy_refusal(policy, (struct sockaddr *)&address));
  assert_false(netpolicy_is_loopback((struct sockaddr *)&address));
  netpolicy_free(policy);
}

static void loopback_in_every_notation(void **state) {
  (void)state;
  static const char *const yes[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"}, *const no[] = {"128.0.0.1",
                                                                                                                          "::2",
                                                                                                                          "10.0.0.1"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
    struct sockaddr_storage storage = address_of(yes[i]);
    assert_true(netpolicy_is_loopback((struct sockaddr *)&storage));
  }
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
    struct sockaddr_storage storage = address_of(no[i]);
    assert_false(netpolicy_is_loopback((struct sockaddr *)&storage));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(builtin_refusals),
      cmocka_unit_test(ordinary_addresses_pass),
      cmocka_unit_test(private_networks_follow_the_flag),
      cmocka_unit_test(deny_beats_allow_beats_builtin),
      cmocka_unit_test(a_rule_of_one_family_leaves_the_other_alone),
      cmocka_unit_test(a_wrapping_prefix_can_be_denied_itself),
      cmocka_unit_test(odd_prefix_lengths),
      cmocka_unit_test(malformed_lists_are_refused),
      cmocka_unit_test(too_many_rules_are_refused),
      cmocka_unit_test(other_families_are_refused),
      cmocka_unit_test(loopback_in_every_notation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
