/* rollback/source.h - the statements that made the schema, cut out of its dump: what a dropped object is made again from, and what a
 * setting was before.
 *
 * Objects go by keys, texts such as "rel:public.orders", "function:public.f(integer)", "trigger:public.orders:audit": equal for the same
 * object whether a dump or a migration names it. pg_dump qualifies every name and lists what is needed before what needs it. */
#ifndef AUTODB_ROLLBACK_SOURCE_H
#define AUTODB_ROLLBACK_SOURCE_H

#include "common/list.h"
#include "worker/sql/tree.h"

enum source_role {
  SOURCE_OTHER,
  SOURCE_MAKES,        /* CREATE, ADD CONSTRAINT */
  SOURCE_COMMENT,      /* COMMENT ON */
  SOURCE_GRANT,        /* GRANT, REVOKE */
  SOURCE_OWNER,        /* OWNER TO */
  SOURCE_OWNED_BY,     /* ALTER SEQUENCE … OWNED BY: goes with the column */
  SOURCE_ATTACH,       /* ATTACH PARTITION of a table */
  SOURCE_INDEX_ATTACH, /* … of an index */
};

LIST_TYPE(source_keys, const char *);

struct source_statement {
  const char *text;
  PgQuery__Node *node;
  enum source_role role;
  struct source_keys makes; /* objects that exist because of it */
  struct source_keys of;    /* it goes when any of these does */
  bool taken;               /* by the closure under way */
};

struct rollback_source {
  struct arena *arena;
  struct source_statement *statements;
  size_t count, cap;
};

/* NULL: there is no dump, or nothing in it can be read. */
struct rollback_source *rollback_source_new(struct arena *arena, const char *dump);

/* The key of an object as DROP, COMMENT, ALTER … OWNER name it; unqualified names are taken to be in `schema`. NULL: no kind known here. */
const char *source_key(struct arena *arena, PgQuery__ObjectType type, const PgQuery__RangeVar *relation, PgQuery__Node *object,
                       const char *schema);
const char *source_key_of(struct arena *arena, const char *kind, const char *schema, const char *name, const char *sub);
const char *source_key_range(struct arena *arena, const PgQuery__RangeVar *range, const char *schema);
/* "public.f(integer,text)" of a function: types without schema and modifiers. `parameters` are FunctionParameters or TypeNames. */
const char *source_key_function(struct arena *arena, const char *schema, const char *name, size_t count, PgQuery__Node *const *parameters);

/* The statement that plays the role for the object; NULL: there is none. */
const struct source_statement *source_find(const struct rollback_source *source, enum source_role role, const char *key);
/* The definition of a function whose arguments are not given: NULL when several have the name. */
const char *source_only_function(const struct rollback_source *source, const char *prefix);
bool source_has(const struct source_keys *keys, const char *key);
void source_push(struct arena *arena, struct source_keys *keys, const char *key);

/* Marks (`taken`) all that goes when the objects in `gone` do, with CASCADE also what reads them; `gone` grows by what goes along. Returns
 * the first statement that goes but can't be run again by itself (a column of a dropped type), or NULL. */
const struct source_statement *source_close(struct rollback_source *source, struct source_keys *gone, bool cascade);

#endif
