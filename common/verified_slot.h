/* verified_slot.h - the places of a verified query: "{name}" or "{name:type}", in its question and in its SQL alike.
 *
 * In SQL a place stands where a literal would: whoever knows SQL (worker/text2sql/verified.c) fills those outside of quotes. */
#ifndef AUTODB_VERIFIED_SLOT_H
#define AUTODB_VERIFIED_SLOT_H

#include <stdbool.h>
#include <stddef.h>

#define VERIFIED_SLOT_TYPES "text, int, number or date"

enum verified_slot_type { VERIFIED_SLOT_TEXT, VERIFIED_SLOT_INT, VERIFIED_SLOT_NUMBER, VERIFIED_SLOT_DATE, VERIFIED_SLOT_UNKNOWN };

struct verified_slot { /* points into the text */
  const char *at;      /* the brace */
  size_t len;          /* from brace to brace */
  const char *name;    /* letters, digits and _, at most 64; not terminated */
  size_t name_len;
  enum verified_slot_type type; /* text where none is named; UNKNOWN: one that there is not */
};

/* The slot that begins at `at`; false: none does. */
bool verified_slot_at(const char *at, struct verified_slot *ret_slot);
/* The first one from `at` on; false: there is none. */
bool verified_slot_next(const char *at, struct verified_slot *ret_slot);
bool verified_slot_same(const struct verified_slot *a, const struct verified_slot *b); /* by name */

#endif
