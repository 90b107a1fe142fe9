/* forms/type_change.h - what ALTER COLUMN … TYPE does to the stored rows, from the two types alone. */
#ifndef AUTODB_TYPE_CHANGE_H
#define AUTODB_TYPE_CHANGE_H

#include "worker/migration/shadow.h"

enum type_kind {
  TYPE_METADATA, /* same bytes, same ordering: nothing but the catalog changes */
  TYPE_REINDEX,  /* same bytes, other comparison: indexes on the column are rebuilt */
  TYPE_REWRITE,  /* every row is converted */
  TYPE_REFUSED   /* no automatic cast: 42804 without USING */
};

struct type_change {
  enum type_kind kind;
  bool narrowing; /* some values may not fit: sqlstate says how that fails */
  const char *sqlstate;
  const char *lossy; /* values change silently: what is lost; NULL when nothing */
};

/* Types as format_type() prints them; domains are resolved through the shadow. */
struct type_change type_change_between(const struct shadow *shadow, const char *from, const char *to);
/* Widest to narrowest, so that a rollback is known to fit: true when every value of `from` is one of `to`. */
bool type_change_fits(const struct shadow *shadow, const char *from, const char *to);

#endif
