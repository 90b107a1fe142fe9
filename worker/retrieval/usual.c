/* usual.c - see usual.h. Ids of passages are hashes: those below a bound are as good a sample as any, and the same in every process. */
#include "worker/retrieval/usual.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/pg.h"
#include "worker/retrieval/terms.h"

#define KEPT 8
#define SAMPLE 4096.0
#define GOOD_MS (10 * 60 * 1000)
#define GROWN 1.25 /* then the sample is taken anew */

struct entry {
  int32_t term;
  uint32_t passages; /* of the sample; 0: no entry */
};
struct usual {
  char connection[ID_TEXT];
  double passages, share; /* of them that are the sample */
  int64_t read_ms;
  struct entry *table;
  size_t mask, used;
};
static struct usual kept[KEPT];

static struct entry *entry_of(const struct usual *usual, int32_t term) {
  size_t at = (uint32_t)term & usual->mask;
  while (usual->table[at].passages && usual->table[at].term != term) at = (at + 1) & usual->mask;
  return &usual->table[at];
}

static bool grow(struct usual *usual) {
  struct usual larger = *usual;
  larger.mask = usual->table ? usual->mask * 2 + 1 : 8191;
  larger.table = calloc(larger.mask + 1, sizeof *larger.table);
  if (!larger.table) return false;
  for (size_t i = 0; usual->table && i <= usual->mask; i++)
    if (usual->table[i].passages) *entry_of(&larger, usual->table[i].term) = usual->table[i];
  free(usual->table);
  *usual = larger;
  return true;
}

static bool count_words(struct usual *usual, const uint8_t *words, size_t len) {
  for (size_t i = 0; (i + 1) * TERM_BYTES <= len; i++) {
    if ((!usual->table || usual->used * 2 > usual->mask) && !grow(usual)) return false;
    struct entry *entry = entry_of(usual, terms_at(words, i));
    usual->used += !entry->passages;
    entry->term = terms_at(words, i);
    entry->passages++;
  }
  return true;
}

static void forget(struct usual *usual) {
  free(usual->table);
  *usual = (struct usual){0};
}

static const char sample_sql[] = "SELECT c.words FROM autodb.chunks c WHERE c.connection_id = $1 AND c.id < $2";

static enum status read_sample(PGconn *db, struct usual *usual, struct error *err) {
  char bound[ID_TEXT];
  double share = SAMPLE / usual->passages;
  usual->share = share < 1 ? share : 1;
  snprintf(bound, sizeof bound, "%08x-0000-0000-0000-000000000000", share < 1 ? (uint32_t)(share * UINT32_MAX) : UINT32_MAX);
  const char *const params[] = {usual->connection, bound};
  PGRESULT_AUTO res = PQexecParams(db, sample_sql, 2, NULL, params, NULL, NULL, 1);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) return pg_error(db, res, err);
  for (int row = 0; row < PQntuples(res); row++)
    if (!count_words(usual, (const uint8_t *)PQgetvalue(res, row, 0), (size_t)PQgetlength(res, row, 0))) return error_oom(err);
  return usual->table || grow(usual) ? OK : error_oom(err);
}

static bool is_good(const struct usual *usual, const char *connection, double passages, int64_t now) {
  return usual->table && strcmp(usual->connection, connection) == 0 && now - usual->read_ms < GOOD_MS &&
         passages < usual->passages * GROWN && passages > usual->passages / GROWN;
}

enum status usual_of(PGconn *db, const char *connection_id, double passages, const struct usual **ret_usual, struct error *err) {
  int64_t now = clock_mono_ms();
  struct usual *at = &kept[0];
  for (size_t i = 0; i < KEPT; i++) {
    if (is_good(&kept[i], connection_id, passages, now)) {
      *ret_usual = &kept[i];
      return OK;
    }
    if (strcmp(kept[i].connection, connection_id) == 0 || (strcmp(at->connection, connection_id) != 0 && kept[i].read_ms < at->read_ms))
      at = &kept[i];
  }
  forget(at);
  *at = (struct usual){.passages = passages > 1 ? passages : 1, .read_ms = now};
  snprintf(at->connection, sizeof at->connection, "%s", connection_id);
  enum status status = read_sample(db, at, err);
  if (status)
    forget(at);
  else
    *ret_usual = at;
  return status;
}

double usual_passages(const struct usual *usual, int32_t term) {
  const struct entry *entry = entry_of(usual, term);
  return entry->passages ? entry->passages / usual->share : 0.5 / usual->share;
}

bool usual_has(const struct usual *usual, int32_t term) { return entry_of(usual, term)->passages > 0; }
