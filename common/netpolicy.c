/* netpolicy.c - an address against three lists of networks.
 *
 * Every address is first brought to one form, the IPv4 address it really leads to or an IPv6 one, so that no notation slips past a rule.
 * Rules of both families are a 16-byte network with a prefix length; IPv4 is kept as ::ffff:a.b.c.d, 96 bits longer. A rule of one family
 * never speaks about the other: allowing ::/0 allows no IPv4 address. */
#include "common/netpolicy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

enum { RULES_MAX = 256, V4_BITS = 96 };

struct network {
  uint8_t bytes[16];
  int bits;
};

struct netpolicy {
  bool private_ok;
  int allow_count, deny_count;
  struct network allow[RULES_MAX], deny[RULES_MAX];
};

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

/* --- one form for every address --- */

static void put_v4(uint8_t out[16], const uint8_t v4[4]) {
  memcpy(out, v4_mapped, sizeof v4_mapped);
  memcpy(out + 12, v4, 4);
}

/* IPv4 inside IPv6: compatible (::a.b.c.d, but not :: and ::1), NAT64 64:ff9b::/96, 6to4 2002:AABB:CCDD::/16. Mapped ones are that already.
 */
static void unwrap_v6(uint8_t out[16], const uint8_t in[16]) {
  static const uint8_t zero[15], nat64[12] = {0x00, 0x64, 0xff, 0x9b};
  memcpy(out, in, 16);
  if (memcmp(in, zero, 12) == 0 && !(memcmp(in, zero, 15) == 0 && in[15] <= 1))
    put_v4(out, in + 12);
  else if (memcmp(in, nat64, sizeof nat64) == 0)
    put_v4(out, in + 12);
  else if (in[0] == 0x20 && in[1] == 0x02)
    put_v4(out, in + 2);
}

/* `raw` is the address as written, `out` what it leads to. */
static bool address_bytes(const struct sockaddr *address, uint8_t raw[16], uint8_t out[16]) {
  if (address->sa_family == AF_INET) {
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof v4);
    put_v4(out, (const uint8_t *)&v4.sin_addr);
    memcpy(raw, out, 16);
    return true;
  }
  if (address->sa_family != AF_INET6) return false;
  struct sockaddr_in6 v6;
  memcpy(&v6, address, sizeof v6);
  memcpy(raw, v6.sin6_addr.s6_addr, 16);
  unwrap_v6(out, raw);
  return true;
}

static bool within(const struct network *network, const uint8_t bytes[16]) {
  int whole = network->bits / 8, rest = network->bits % 8;
  if (network->bits < V4_BITS && memcmp(bytes, v4_mapped, sizeof v4_mapped) == 0) return false;
  if (memcmp(network->bytes, bytes, (size_t)whole) != 0) return false;
  return rest == 0 || ((network->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

static bool within_any(const struct network *networks, int count, const uint8_t bytes[16]) {
  for (int i = 0; i < count; i++)
    if (within(&networks[i], bytes)) return true;
  return false;
}

/* --- built-in rules --- */

#define V4(a, b, c, d, bits) \
  { {[10] = 0xff, [11] = 0xff, (a), (b), (c), (d)}, V4_BITS + (bits) }

static const struct {
  struct network network;
  const char *refusal;
  bool is_private; /* refused only where private networks are */
} builtin[] = {
    {V4(0, 0, 0, 0, 8), "is an unspecified address", false},
    {{{0}, 128}, "is an unspecified address", false},
    {V4(127, 0, 0, 0, 8), "is a loopback address", false},
    {{{[15] = 1}, 128}, "is a loopback address", false},
    {V4(169, 254, 0, 0, 16), "is a link-local or metadata address", false},
    {{{0xfe, 0x80}, 10}, "is a link-local or metadata address", false},
    {{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128}, "is a cloud metadata address", false},
    {V4(100, 100, 100, 200, 32), "is a cloud metadata address", false},
    {V4(224, 0, 0, 0, 4), "is a multicast address", false},
    {{{0xff}, 8}, "is a multicast address", false},
    {V4(255, 255, 255, 255, 32), "is the broadcast address", false},
    {V4(240, 0, 0, 0, 4), "is a reserved address", false},
    {V4(10, 0, 0, 0, 8), "is a private address", true},
    {V4(172, 16, 0, 0, 12), "is a private address", true},
    {V4(192, 168, 0, 0, 16), "is a private address", true},
    {V4(100, 64, 0, 0, 10), "is a private address", true},
    {{{0xfc}, 7}, "is a private address", true},
};

const char *netpolicy_refusal(const struct netpolicy *policy, const struct sockaddr *address) {
  uint8_t raw[16], bytes[16];
  if (!address_bytes(address, raw, bytes)) return "is not an internet address";
  if (within_any(policy->deny, policy->deny_count, bytes) || within_any(policy->deny, policy->deny_count, raw))
    return "is in a network that the configuration denies";
  if (within_any(policy->allow, policy->allow_count, bytes)) return NULL;
  for (size_t i = 0; i < sizeof builtin / sizeof *builtin; i++)
    if (within(&builtin[i].network, bytes) && !(builtin[i].is_private && policy->private_ok)) return builtin[i].refusal;
  return NULL;
}

bool netpolicy_lists(const struct netpolicy *policy, const struct sockaddr *address) {
  uint8_t raw[16], bytes[16];
  return address_bytes(address, raw, bytes) && within_any(policy->allow, policy->allow_count, bytes) && !netpolicy_refusal(policy, address);
}

bool netpolicy_is_loopback(const struct sockaddr *address) {
  static const struct network v4 = V4(127, 0, 0, 0, 8), v6 = {{[15] = 1}, 128};
  uint8_t raw[16], bytes[16];
  return address_bytes(address, raw, bytes) && (within(&v4, bytes) || within(&v6, bytes));
}

/* --- reading rules --- */

/* "a.b.c.d/n", "x::y/n", or a bare address for itself alone. An IPv4-mapped IPv6 network is the IPv4 one. Bits beyond the prefix must be
 * zero: 10.0.0.1/8 is a mistake about one of its parts. */
static bool parse_network(const char *text, struct network *ret_network) {
  char address[INET6_ADDRSTRLEN + 1];
  size_t len = strcspn(text, "/");
  if (len >= sizeof address) return false;
  memcpy(address, text, len);
  address[len] = '\0';
  struct network network;
  uint8_t v4[4];
  bool is_v4 = inet_pton(AF_INET, address, v4) == 1;
  if (is_v4)
    put_v4(network.bytes, v4);
  else if (inet_pton(AF_INET6, address, network.bytes) != 1)
    return false;
  int most = is_v4 ? 32 : 128, bits = most;
  if (text[len] == '/') {
    const char *digits = text + len + 1;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 3 || digits[count]) return false;
    bits = (int)strtol(digits, NULL, 10);
  }
  if (bits > most) return false;
  network.bits = is_v4 ? V4_BITS + bits : bits;
  for (int bit = network.bits; bit < 128; bit++)
    if (network.bytes[bit / 8] & (0x80 >> bit % 8)) return false;
  *ret_network = network;
  return true;
}

static enum status parse_list(const char *list, struct network *networks, int *ret_count, struct error *err) {
  static const char separators[] = ", \t\r\n";
  char item[INET6_ADDRSTRLEN + 8];
  int count = 0;
  for (const char *at = list ? list : ""; *(at += strspn(at, separators));) {
    size_t len = strcspn(at, separators);
    snprintf(item, sizeof item, "%.*s", (int)(len < sizeof item ? len : sizeof item - 1), at);
    if (count == RULES_MAX) return error_set(err, ERR_VALIDATION, "more than %d networks in one list", RULES_MAX);
    if (len >= sizeof item || !parse_network(item, &networks[count]))
      return error_set(err, ERR_VALIDATION,
                       "\"%s\" is not a network: expected a list like 10.0.0.0/8, 2001:db8::/32 with no bits set beyond the prefix", item);
    count++;
    at += len;
  }
  *ret_count = count;
  return OK;
}

enum status netpolicy_new(const char *allow, const char *deny, bool private_ok, struct netpolicy **ret_policy, struct error *err) {
  struct netpolicy *policy = calloc(1, sizeof *policy);
  if (!policy) return error_oom(err);
  policy->private_ok = private_ok;
  if (parse_list(allow, policy->allow, &policy->allow_count, err) || parse_list(deny, policy->deny, &policy->deny_count, err)) {
    free(policy);
    return err->status;
  }
  *ret_policy = policy;
  return OK;
}

void netpolicy_free(struct netpolicy *policy) { free(policy); }
