/* verified_slot.c - see verified_slot.h. */
#include "common/verified_slot.h"

#include <string.h>

#define NAME_MAX_BYTES 64

static enum verified_slot_type type_named(const char *name, size_t len) {
  static const char *const names[] = {"text", "int", "number", "date"}; /* in the order of the enum */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) return (enum verified_slot_type)i;
  return VERIFIED_SLOT_UNKNOWN;
}

bool verified_slot_at(const char *at, struct verified_slot *ret_slot) {
  if (*at != '{') return false;
  size_t name = strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), end = 1 + name;
  enum verified_slot_type type = VERIFIED_SLOT_TEXT;
  if (!name || name > NAME_MAX_BYTES) return false;
  if (at[end] == ':') {
    size_t len = strcspn(at + end + 1, "{}");
    type = type_named(at + end + 1, len);
    end += 1 + len;
  }
  if (at[end] != '}') return false;
  *ret_slot = (struct verified_slot){.at = at, .len = end + 1, .name = at + 1, .name_len = name, .type = type};
  return true;
}

bool verified_slot_next(const char *at, struct verified_slot *ret_slot) {
  while ((at = strchr(at, '{')) && !verified_slot_at(at, ret_slot)) at++;
  return at != NULL;
}

bool verified_slot_same(const struct verified_slot *a, const struct verified_slot *b) {
  return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}
