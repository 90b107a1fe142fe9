/* catalog.h - a client database's catalogs as one JSON value, read in one transaction. */
#ifndef AUTODB_CATALOG_H
#define AUTODB_CATALOG_H

#include <jansson.h>
#include <libpq-fe.h>

#include "common/arena.h"
#include "common/error.h"

struct catalog_reader {
  PGconn *conn; /* not in a transaction */
  struct arena *arena;
  const char *excluded;                                            /* text[] literal: schemas left out */
  const char *wanted;                                              /* text[] literal: only these; NULL = all */
  int major;                                                       /* of the server */
  void (*progress)(void *arg, int done, int of, const char *step); /* may be NULL */
  void *arg;

  /* set by catalog_begin */
  const char *snapshot_name; /* exported: what pg_dump --snapshot takes while the transaction is open */
  bool has_extensions;
  json_t *root;         /* the snapshot so far; owned until taken */
  char fingerprint[65]; /* set by catalog_read */
  /* private */
  json_t *by_oid;         /* relations and indexes by oid */
  json_t *database;       /* name, user, encoding: not part of the schema */
  const char *namespaces; /* oid[] literal */
  size_t bytes;           /* of JSON received */
};

/* BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY, settings, exported snapshot, schemas. ERR_VALIDATION on "schemas" when one that is
 * wanted isn't there. catalog_end must follow, whatever this returned. */
MUST_CHECK enum status catalog_begin(struct catalog_reader *reader, struct error *err);
/* Everything else into reader->root. ERR_UNAVAILABLE when a relation is locked or the schema kept changing underneath (code
 * "SCHEMA_CHANGING"). */
MUST_CHECK enum status catalog_read(struct catalog_reader *reader, struct error *err);
/* Ends the transaction and releases what is left. */
void catalog_end(struct catalog_reader *reader);

#endif
