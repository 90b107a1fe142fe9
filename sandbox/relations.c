/* relations.c - reads pg_class into a sorted array. */
#include "relations.h"

#include "common/pg.h"

#define QUERY(counter)                                                                                                                 \
  "SELECT c.oid, c.relkind, c.relfilenode, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), "            \
  "pg_catalog." counter "(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "                 \
  "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') " \
  "AND c.relpersistence <> 't' ORDER BY c.oid"

const char *relations_sql(enum relations_counter counter) {
  return counter == RELATIONS_PENDING ? QUERY("pg_stat_get_xact_numscans") : QUERY("pg_stat_get_numscans");
}

enum status relations_read(const PGresult *res, struct arena *arena, struct relations *ret_relations, struct error *err) {
  size_t count = (size_t)PQntuples(res);
  struct relation *list = arena_calloc(arena, count + 1, sizeof *list);
  if (!list) return error_oom(err);
  for (size_t i = 0; i < count; i++) {
    int row = (int)i;
    list[i] = (struct relation){.oid = (uint32_t)pg_int(res, row, 0, 0),
                                .filenode = (uint32_t)pg_int(res, row, 2, 0),
                                .scans = pg_int(res, row, 4, 0),
                                .kind = *PQgetvalue(res, row, 1),
                                .name = arena_strdup(arena, PQgetvalue(res, row, 3))};
    if (!list[i].name) return error_oom(err);
  }
  *ret_relations = (struct relations){.list = list, .count = count};
  return OK;
}

const struct relation *relations_find(const struct relations *relations, uint32_t oid) {
  size_t low = 0, high = relations->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (relations->list[middle].oid == oid) return &relations->list[middle];
    if (relations->list[middle].oid < oid)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}
