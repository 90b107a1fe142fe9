/* table_keys.h - which tables refer to which: by the keys that are declared, and by columns that are called like one. Private to
 * retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_KEYS_H
#define AUTODB_RETRIEVAL_TABLE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "worker/schema/snapshot.h"

struct table_keys { /* of one table: others, as indexes of the snapshot's tables; one stands there once for each key */
  uint32_t *refers_to, *referred_by;
  size_t refers_to_count, referred_by_count;
};

/* By table; the arena's. NULL: out of memory. */
struct table_keys *table_keys_read(const struct snapshot *snapshot, struct arena *arena);

#endif
