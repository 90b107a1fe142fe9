/* index_write.c - see index_write.h. */
#include "worker/optimizer/index_write.h"

#include <math.h>
#include <string.h>

/* Bytes of a WAL record of one insertion besides the tuple: XLogRecord 24, block reference 20, main data header and xl_btree_insert 6. */
#define RECORD_BYTES 50
#define SPLIT_FACTOR 1.5 /* keys in no order split pages all over the tree: each moves half a page's tuples, which are logged again */
#define ORDERED 0.5      /* |correlation| from which keys are taken to come in order */
#define MEDIUM_BYTES 100e6
#define HIGH_BYTES 1e9
#define MEDIUM_HOT 0.05
#define HIGH_HOT 0.25

static double wal_per_row(const struct facts *facts, const struct index_spec *spec, const struct index_size *size) {
  if (strcmp(spec->method, "brin") == 0) return 0;
  const char *first = spec->keys.count ? spec->keys.items[0].column : NULL;
  struct column_facts column = first ? facts_column(facts, spec->table, first) : (struct column_facts){0};
  bool ordered = fabs(column.correlation) >= ORDERED;
  bool few = column.distinct > 0 && column.distinct < size->rows / 1000; /* insertions into long posting lists seldom split */
  double one = RECORD_BYTES + size->entry_bytes;
  if (strcmp(spec->method, "gin") == 0) return 4 * one; /* several elements a row */
  return ordered || few ? one : one + SPLIT_FACTOR * (size->entry_bytes + 4);
}

static double partial_share(const struct facts *facts, const struct index_spec *spec, const struct index_size *size) {
  double rows = facts_table(facts, spec->table).rows;
  return spec->predicate && rows > 0 ? fmin(1, size->rows / rows) : 1;
}

static const char *level_of(const struct index_write *write) {
  double loss = write->hot_before >= 0 ? write->hot_before - write->hot_after : 0;
  if (write->wal_per_day >= HIGH_BYTES || loss >= HIGH_HOT) return "high";
  if (write->wal_per_day >= MEDIUM_BYTES || loss >= MEDIUM_HOT) return "medium";
  return "low";
}

struct index_write index_write_estimate(const struct facts *facts, const struct index_spec *spec, const struct index_size *size) {
  struct table_facts table = facts_table(facts, spec->table);
  bool known = false, brin = strcmp(spec->method, "brin") == 0;
  double share = facts_update_share(facts, spec, &known), partial = partial_share(facts, spec, size);
  double hot = fmin(table.hot_updated, table.updated), cold = table.updated - hot;
  double lost = brin && facts->version_num >= 160000 ? 0 : hot * share;
  struct index_write write = {
      .wal_per_row = wal_per_row(facts, spec, size), .hot_before = -1, .hot_after = -1, .assumed = !known && table.updated > 0};
  if (table.updated > 0) {
    write.hot_before = hot / table.updated;
    write.hot_after = (hot - lost) / table.updated;
  }
  double own = brin ? 0 : (table.inserted + cold + lost) * partial;
  double others = lost * (double)spec->table->index_count; /* an UPDATE that was HOT now writes to each */
  double days = fmax(1, facts->days);
  write.entries_per_day = facts->days > 0 ? (own + others) / days : -1;
  write.wal_per_day = facts->days > 0 ? (own * write.wal_per_row + others * (RECORD_BYTES + 16)) / days : -1;
  write.level = level_of(&write);
  return write;
}

static json_t *number(double value) { return value >= 0 ? json_integer((json_int_t)llround(value)) : json_null(); }
static json_t *ratio(double value) { return value >= 0 ? json_real(round(value * 1000) / 1000) : json_null(); }

json_t *index_write_json(const struct index_write *write) {
  return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s}", "extra_entries_per_day", number(write->entries_per_day), "wal_bytes_per_day",
                   number(write->wal_per_day), "wal_bytes_per_row", number(write->wal_per_row), "hot_update_ratio_before",
                   ratio(write->hot_before), "hot_update_ratio_after", ratio(write->hot_after), "level", write->level);
}
