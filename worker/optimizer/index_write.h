/* index_write.h - what an index costs those who write to its table.
 *
 * Every row inserted gets an entry; so does every row version an UPDATE makes, unless it is HOT: heap-only, which it can't be when a column
 * that an index mentions is set (RelationGetIndexAttrBitmap() and heap_update() in src/backend; BRIN alone does not count since 16). So an
 * index may cost not only its own entries but those of all others. Bytes of WAL are those of one insertion into a leaf, and what page
 * splits add when keys come in no order. */
#ifndef AUTODB_OPTIMIZER_INDEX_WRITE_H
#define AUTODB_OPTIMIZER_INDEX_WRITE_H

#include "worker/optimizer/index_size.h"

struct index_write {
  /* More than without it, in all indexes of the table; -1: the counters' age is unknown. What was counted in less than a day is taken for a
   * day's: after a table was filled, a minute says nothing of the next ones. */
  double entries_per_day;
  double wal_per_day;           /* bytes; -1 likewise */
  double wal_per_row;           /* bytes of one insertion */
  double hot_before, hot_after; /* share of UPDATEs; -1: there were none */
  bool assumed;                 /* which columns are updated is not known */
  const char *level;            /* "low", "medium", "high" */
};

struct index_write index_write_estimate(const struct facts *facts, const struct index_spec *spec, const struct index_size *size);
/* write_overhead of the contract. New reference. */
json_t *index_write_json(const struct index_write *write);

#endif
