/* nearest.c - see nearest.h.
 *
 * A document's row names the transaction that wrote its passages. Whoever has read them all within a snapshot has missed none but those of
 * transactions that were still under way, and these are not older than the snapshot's xmin: from there on it reads next time. Documents
 * that were deleted are noticed when one of their passages is among the best and has no row; then the list of documents is compared. */
#include "worker/retrieval/nearest.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/embed/vector.h"
#include "worker/retrieval/codes.h"

#define KEPT 8
#define KEPT_BYTES ((size_t)256 << 20) /* together; the one in use may be larger */
#define FETCH "1000"
#define CANDIDATES 120
#define WORN 4096
#define ROUNDS 3 /* in which what is gone may be noticed */
#define VECTOR_DIMS 4000
#define SETTINGS "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = on"

struct document {
  uint8_t id[16];
  char changed[24]; /* "": it is gone */
};
struct kept { /* of one connection and model */
  char connection[ID_TEXT];
  int model, dims;
  struct codes *codes;
  struct document *documents; /* a group of the codes each */
  size_t count, cap;
  uint32_t *table; /* of indexes + 1 by hash of the id; twice as large as cap */
  char seen[24];   /* xmin of the snapshot they were read in; "0": none */
  unsigned long used;
};

static struct kept kept[KEPT];
static unsigned long clock_of_use;

/* --- what is kept --- */

static void forget(struct kept *one) {
  codes_free(one->codes);
  free(one->documents);
  free(one->table);
  *one = (struct kept){0};
}

static size_t bytes_of(const struct kept *one) {
  return one->codes ? codes_bytes(one->codes) + one->cap * (sizeof *one->documents + 2 * sizeof *one->table) : 0;
}

static struct kept *find_kept(const char *connection, int model) {
  for (size_t i = 0; i < KEPT; i++)
    if (kept[i].codes && kept[i].model == model && strcmp(kept[i].connection, connection) == 0) return &kept[i];
  return NULL;
}

size_t nearest_known(const char *connection_id, int model) {
  const struct kept *one = find_kept(connection_id, model);
  return one ? codes_count(one->codes) : 0;
}

/* The one that is kept, or an empty one in the place of that which was used longest ago. */
static struct kept *take_kept(const struct nearest_query *query) {
  struct kept *one = find_kept(query->connection_id, query->model->id);
  if (!one) {
    one = &kept[0];
    for (size_t i = 1; i < KEPT; i++)
      if (kept[i].used < one->used) one = &kept[i];
    forget(one);
    *one = (struct kept){.model = query->model->id, .dims = query->model->dims, .codes = codes_new(query->model->dims), .seen = "0"};
    snprintf(one->connection, sizeof one->connection, "%s", query->connection_id);
  }
  one->used = ++clock_of_use;
  return one->codes ? one : NULL;
}

/* Others go while all are too large together. */
static void make_room(const struct kept *used) {
  for (;;) {
    struct kept *oldest = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < KEPT; i++) {
      bytes += bytes_of(&kept[i]);
      if (kept[i].codes && &kept[i] != used && (!oldest || kept[i].used < oldest->used)) oldest = &kept[i];
    }
    if (bytes <= KEPT_BYTES || !oldest) return;
    forget(oldest);
  }
}

/* --- documents --- */

static size_t place_of(const struct kept *one, const uint8_t id[16]) {
  uint32_t hash;
  memcpy(&hash, id + 12, sizeof hash); /* random in every version of UUID */
  size_t mask = 2 * one->cap - 1, at = hash & mask;
  while (one->table[at] && memcmp(one->documents[one->table[at] - 1].id, id, 16) != 0) at = (at + 1) & mask;
  return at;
}

static bool grow(struct kept *one) {
  size_t cap = one->cap ? one->cap * 2 : 64;
  struct document *documents = realloc(one->documents, cap * sizeof *documents);
  if (documents) one->documents = documents;
  uint32_t *table = documents ? calloc(2 * cap, sizeof *table) : NULL;
  if (!table) return false;
  free(one->table);
  one->table = table;
  one->cap = cap;
  for (size_t i = 0; i < one->count; i++) one->table[place_of(one, one->documents[i].id)] = (uint32_t)i + 1;
  return true;
}

/* The document of that id, made when it is new; NULL: out of memory. */
static struct document *document_of(struct kept *one, const uint8_t id[16]) {
  if (one->count == one->cap && !grow(one)) return NULL;
  size_t at = place_of(one, id);
  if (!one->table[at]) {
    one->documents[one->count] = (struct document){0};
    memcpy(one->documents[one->count].id, id, 16);
    one->table[at] = (uint32_t)++one->count;
  }
  return &one->documents[one->table[at] - 1];
}

static bool is_id(const PGresult *res, int row, int col) { return PQgetlength(res, row, col) == 16; }
static const uint8_t *id_at(const PGresult *res, int row, int col) { return (const uint8_t *)PQgetvalue(res, row, col); }

/* --- reading --- */

static const char changed_sql[] = "SELECT pg_snapshot_xmin(pg_current_snapshot()), d.id, d.changed FROM (SELECT) AS one LEFT JOIN "
                                  "autodb.documents d ON d.connection_id = "
                                  "$1 AND d.changed >= $2::text::xid8 AND d.model IS NOT NULL";
static const char cursor_sql[] =
    "DECLARE nearest BINARY NO SCROLL CURSOR FOR SELECT v.document_id, v.chunk_id, v.embedding FROM autodb.chunk_vectors v WHERE "
    "v.connection_id = $1 AND v.model = $2 AND ($3::uuid[] IS NULL OR v.document_id = ANY ($3::uuid[]))";

static bool take_row(struct kept *one, const PGresult *res, int row, float *vector) {
  if (!is_id(res, row, 0) || !is_id(res, row, 1) ||
      !halfvec_read((const uint8_t *)PQgetvalue(res, row, 2), (size_t)PQgetlength(res, row, 2), one->dims, vector))
    return true; /* nothing to compare with */
  struct document *document = document_of(one, id_at(res, row, 0));
  return document && codes_add(one->codes, id_at(res, row, 1), (uint32_t)(document - one->documents), vector);
}

/* documents: uuid[] literal; NULL: all there are. A page at a time: vectors are four times as large as what is kept of them. */
static enum status read_vectors(PGconn *db, struct kept *one, const char *documents, struct error *err) {
  float vector[VECTOR_DIMS];
  char model[16];
  snprintf(model, sizeof model, "%d", one->model);
  const char *const params[] = {one->connection, model, documents};
  enum status status = pg_exec(db, cursor_sql, 3, params, err);
  for (bool more = true; more && !status;) {
    PGRESULT_AUTO res = PQexecParams(db, "FETCH " FETCH " FROM nearest", 0, NULL, NULL, NULL, NULL, 1);
    if (PQresultStatus(res) != PGRES_TUPLES_OK) return pg_error(db, res, err);
    more = PQntuples(res) > 0;
    for (int row = 0; row < PQntuples(res) && !status; row++)
      if (!take_row(one, res, row, vector)) status = error_oom(err);
  }
  return status ? status : pg_script(db, "CLOSE nearest", err);
}

/* Notes which documents are new or others now, and drops what is kept of these. The literal names them; NULL: all are new. */
static enum status note_changed(struct kept *one, const PGresult *res, struct arena *arena, const char **ret_literal, size_t *ret_count,
                                struct error *err) {
  BUF_AUTO literal;
  buf_init(&literal, 64 + (size_t)PQntuples(res) * (ID_TEXT + 1));
  bool first = one->count == 0;
  *ret_count = 0;
  for (int row = 0; row < PQntuples(res); row++) {
    struct id id;
    if (!pg_str(res, row, 1) || !id_parse(pg_str(res, row, 1), &id)) continue;
    struct document *document = document_of(one, id.bytes);
    if (!document) return error_oom(err);
    if (strcmp(document->changed, pg_str(res, row, 2)) == 0) continue;
    if (*document->changed) codes_drop(one->codes, (uint32_t)(document - one->documents));
    snprintf(document->changed, sizeof document->changed, "%s", pg_str(res, row, 2));
    buf_printf(&literal, "%s%s", literal.len ? "," : "{", pg_str(res, row, 1));
    ++*ret_count;
  }
  buf_putc(&literal, '}');
  *ret_literal = first ? NULL : arena_strndup(arena, buf_str(&literal), literal.len);
  return buf_ok(&literal) && (first || *ret_literal) ? OK : error_oom(err);
}

static enum status refresh(PGconn *db, struct kept *one, struct arena *arena, struct error *err) {
  const char *const params[] = {one->connection, one->seen};
  const char *literal = NULL;
  size_t count = 0;
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(db, changed_sql, 2, params, &res, err);
  if (!status) status = note_changed(one, res, arena, &literal, &count, err);
  if (!status && count) status = read_vectors(db, one, literal, err);
  if (!status) snprintf(one->seen, sizeof one->seen, "%s", pg_str(res, 0, 0));
  return status;
}

/* --- what is gone --- */

static const char there_sql[] = "SELECT d.id FROM autodb.documents d WHERE d.connection_id = $1 AND d.model IS NOT NULL";

static enum status drop_gone(PGconn *db, struct kept *one, struct arena *arena, struct error *err) {
  bool *there = arena_calloc(arena, one->count + 1, sizeof *there);
  PGRESULT_AUTO res = NULL;
  enum status status = there ? pg_query(db, there_sql, 1, (const char *const[]){one->connection}, &res, err) : error_oom(err);
  size_t known = one->count;
  for (int row = 0; !status && row < PQntuples(res); row++) {
    struct id id;
    const struct document *document = id_parse(pg_str(res, row, 0), &id) ? document_of(one, id.bytes) : NULL;
    if (document && (size_t)(document - one->documents) < known) there[document - one->documents] = true;
  }
  for (size_t i = 0; i < known && !status; i++) {
    if (there[i] || !*one->documents[i].changed) continue;
    codes_drop(one->codes, (uint32_t)i);
    *one->documents[i].changed = '\0';
  }
  return status;
}

/* --- the search --- */

static const char order_sql[] = "SELECT v.chunk_id, v.embedding <#> $3 FROM unnest($4::uuid[]) AS c (id) JOIN autodb.chunk_vectors v ON "
                                "v.connection_id = $1 AND v.model "
                                "= $2 AND v.chunk_id = c.id ORDER BY 2, 1";

/* A flag for each group; NULL when all are wanted. */
static bool wanted_groups(struct kept *one, const char *documents, struct arena *arena, bool **ret_wanted) {
  *ret_wanted = NULL;
  if (!documents) return true;
  bool *wanted = arena_calloc(arena, one->count + 1, sizeof *wanted);
  size_t known = one->count;
  for (const char *at = documents; wanted && *at; at += strcspn(at, ",}")) {
    at += strspn(at, "{,}");
    char text[ID_TEXT] = "";
    struct id id;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(at, ",}"), at);
    if (!id_parse(text, &id)) continue;
    const struct document *document = document_of(one, id.bytes);
    if (document && (size_t)(document - one->documents) < known) wanted[document - one->documents] = true;
  }
  *ret_wanted = wanted;
  return wanted != NULL;
}

static const char *literal_of(const struct codes_hit *hits, size_t count, struct arena *arena) {
  BUF_AUTO literal;
  buf_init(&literal, 64 + count * (ID_TEXT + 1));
  for (size_t i = 0; i < count; i++) {
    struct id id;
    char text[ID_TEXT];
    memcpy(id.bytes, hits[i].id, sizeof id.bytes);
    buf_printf(&literal, "%s%s", i ? "," : "{", id_format(&id, text));
  }
  buf_puts(&literal, count ? "}" : "{}");
  return arena_strndup(arena, buf_str(&literal), literal.len);
}

static enum status put_in_order(PGconn *db, const struct nearest_query *query, const char *literal, struct arena *arena, PGresult **ret_res,
                                struct error *err) {
  uint8_t *half = arena_alloc(arena, HALFVEC_BYTES(query->model->dims));
  char model[16];
  if (!half || !literal) return error_oom(err);
  halfvec_write(query->vector, query->model->dims, half);
  snprintf(model, sizeof model, "%d", query->model->id);
  const char *const values[] = {query->connection_id, model, (const char *)half, literal};
  const int lengths[] = {0, 0, (int)HALFVEC_BYTES(query->model->dims), 0}, formats[] = {0, 0, 1, 0};
  PGresult *res = PQexecParams(db, order_sql, 4, NULL, values, lengths, formats, 1);
  if (PQresultStatus(res) == PGRES_TUPLES_OK) {
    *ret_res = res;
    return OK;
  }
  enum status status = pg_error(db, res, err);
  PQclear(res);
  return status;
}

/* ret_all: each of the best by code is still there. */
static enum status look(PGconn *db, const struct nearest_query *query, struct kept *one, struct arena *arena, struct nearest_hit *hits,
                        size_t most, size_t *ret_count, bool *ret_all, struct error *err) {
  struct codes_hit best[CANDIDATES];
  bool *wanted = NULL;
  PGRESULT_AUTO res = NULL;
  if (!wanted_groups(one, query->documents, arena, &wanted)) return error_oom(err);
  size_t found = codes_nearest(one->codes, query->vector, wanted, CANDIDATES, best);
  enum status status = put_in_order(db, query, literal_of(best, found, arena), arena, &res, err);
  if (status) return status;
  *ret_all = (size_t)PQntuples(res) == found;
  *ret_count = 0;
  for (int row = 0; row < PQntuples(res) && *ret_count < most; row++) {
    if (!is_id(res, row, 0) || PQgetlength(res, row, 1) != 8) continue;
    memcpy(hits[*ret_count].id, id_at(res, row, 0), 16);
    hits[(*ret_count)++].score = -pg_float8(PQgetvalue(res, row, 1));
  }
  return OK;
}

enum status nearest_find(PGconn *db, const struct nearest_query *query, struct arena *arena, struct nearest_hit *hits, size_t most,
                         size_t *ret_count, struct error *err) {
  struct kept *one = query->model->dims <= VECTOR_DIMS ? take_kept(query) : NULL;
  bool all = false;
  if (!one) return error_oom(err);
  enum status status = pg_script(db, SETTINGS, err);
  if (!status) status = refresh(db, one, arena, err);
  for (int round = 0; round < ROUNDS && !status && !all; round++) {
    if (round) status = drop_gone(db, one, arena, err);
    if (!status) status = look(db, query, one, arena, hits, most, ret_count, &all, err);
  }
  bool worn = codes_dropped(one->codes) > codes_count(one->codes) + WORN;
  if (status || worn) forget(one); /* half read, perhaps; or more holes than vectors */
  make_room(one);
  return status;
}
