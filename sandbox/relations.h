/* relations.h - what relations there are at one moment, with what changes when they are rewritten or read. */
#ifndef AUTODB_SANDBOX_RELATIONS_H
#define AUTODB_SANDBOX_RELATIONS_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"

struct relation {
  uint32_t oid;
  uint32_t filenode; /* 0 where there is no storage */
  int64_t scans;     /* sequential scans so far, by the counter read */
  const char *name;  /* "public.orders", quoted where it has to be */
  char kind;         /* pg_class.relkind: r p v m S f, and i I for indexes */
};
struct relations {
  struct relation *list;
  size_t count;
}; /* by oid; the clone's own: no catalogs, toast or temporary tables */

enum relations_counter {
  RELATIONS_PENDING,   /* this session's own, not yet flushed: for what happens inside a transaction */
  RELATIONS_CUMULATIVE /* the server's: for statements that run outside of one */
};
/* The query, for callers that send it together with something else; its result goes to relations_read. */
const char *relations_sql(enum relations_counter counter);
MUST_CHECK enum status relations_read(const PGresult *res, struct arena *arena, struct relations *ret_relations, struct error *err);
const struct relation *relations_find(const struct relations *relations, uint32_t oid); /* NULL when not there */
static inline bool relation_is_index(const struct relation *relation) { return relation->kind == 'i' || relation->kind == 'I'; }

#endif
