/* index_size.h - how large an index that is not there would be, from column statistics.
 *
 * B-trees by the layout of their pages: leaves filled to 90 % (BTREE_DEFAULT_FILLFACTOR), inner pages to 70 %, tuples aligned as
 * src/backend/access/common/indextuple.c lays them out, and equal keys merged into posting lists as _bt_dedup_pass() and
 * _bt_load() in src/backend/access/nbtree do, where the operator class lets them ("equalimage"; not with INCLUDE). GIN, BRIN and hash by
 * the rules said at their functions; those of GIN are a guess. */
#ifndef AUTODB_OPTIMIZER_INDEX_SIZE_H
#define AUTODB_OPTIMIZER_INDEX_SIZE_H

#include "worker/optimizer/facts.h"
#include "worker/optimizer/index_spec.h"

struct index_size {
  double rows;        /* that have an entry */
  double bytes;       /* of the whole index */
  double pages;       /* of 8 KiB */
  double entry_bytes; /* of one row's entry as it is inserted, without its line pointer */
  double key_bytes;   /* of its key columns */
  bool guessed;       /* widths or numbers of values were not known, or the method has no formula */
};

/* rows: that the predicate lets in; below 0: all of the table. */
struct index_size index_size_estimate(const struct facts *facts, const struct index_spec *spec, double rows);
/* Whether B-trees on the type may be deduplicated: equal values have equal bytes. */
bool index_size_equalimage(const char *type);
/* An entry that may not fit: a B-tree's must be shorter than a third of a page. */
#define INDEX_ENTRY_MAX 2704

#endif
