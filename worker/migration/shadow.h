/* shadow.h - the schema as it is between two statements of a migration.
 *
 * Starts as a private copy of the snapshot; each analysed statement changes it, so that the next one is judged against what will be
 * there when it runs: tables created earlier are empty and nobody else's, constraints added earlier exist. */
#ifndef AUTODB_SHADOW_H
#define AUTODB_SHADOW_H

#include "common/list.h"
#include "worker/schema/snapshot.h"
#include "worker/sql/tree.h"

struct rel {            /* a table, view, materialised view or sequence */
  struct snap_table *t; /* a sequence has a name and kind only */
  bool created;         /* by this migration: nobody can wait for it */
  bool empty;           /* created or truncated here: nothing to read or to fail on */
  bool written;         /* rows changed by this migration: statistics no longer speak for them */
  bool dropped;
  bool vague; /* made of something whose columns aren't known */
  bool ruled; /* a rule was made on it here: rules are not modelled */
  bool temporary;
  bool clustered;                           /* CLUSTER or CLUSTER ON has named an index here */
  const char *owned_by;                     /* sequences: "schema.table.column" */
  const PgQuery__PartitionBoundSpec *bound; /* partitions: parsed on first use */
  bool bound_tried;
  PgQuery__Node *query; /* views: parsed on first use */
  bool query_tried;
  size_t column_cap, constraint_cap, fk_cap, index_cap, trigger_cap, policy_cap, referenced_cap, dependent_cap, partition_cap;
  struct rel *next_in_bucket;
};

struct shadow {
  struct arena *arena;
  struct snapshot *snapshot; /* private copy, changed in place */
  int version;               /* server_version_num judged for */
  const char *timezone;
  LIST(struct rel *) rels;
  LIST(const char *) schemas;   /* search path: "$user" left out, public by default */
  LIST(const char *) new_types; /* "schema.name" of enums and domains made here */
  struct {
    struct rel *rel;
    const char *schema, *name;
  } renaming;
  struct rel **buckets;
  size_t bucket_count;
  struct shadow_names *names;      /* forms/names.h; NULL until first asked */
  LIST(const char *) fresh_labels; /* "type\nlabel" of enum values added since the last COMMIT */
  bool statistics_changed;         /* extended ones were made, renamed, or may have gone with something */
  bool publications_changed;       /* one was made or changed here */
  bool domains_changed;            /* a CHECK of one was added or dropped here */
  bool path_set;                   /* SET search_path has said which schemas there are: no other is looked in */
  bool functions_unlisted;         /* one was renamed or moved, or is an aggregate made here: it goes by a name that is nowhere listed */
  bool functions_changed;          /* one was renamed, moved, dropped, or is an aggregate made here: the list is no longer all */
  bool unsure;                     /* a DO block, a function or a rollback came before: what is there now is not known */
};

MUST_CHECK enum status shadow_new(const struct snapshot *snapshot, struct arena *arena, struct shadow **ret_shadow, struct error *err);

/* schema NULL: along the search path, then anywhere when the name is unique. NULL when there is none (or it was dropped). */
struct rel *shadow_find(struct shadow *shadow, const char *schema, const char *name);
struct rel *shadow_range(struct shadow *shadow, const PgQuery__RangeVar *range);
struct rel *shadow_named(struct shadow *shadow, size_t count, PgQuery__Node *const *parts); /* dotted name as String nodes */
struct rel *shadow_of(struct shadow *shadow, const struct snap_table *table);
/* "schema.name": where a new object of that range goes. */
const char *shadow_target(struct shadow *shadow, const char *schema, const char *name);
const char *shadow_schema(struct shadow *shadow, const char *schema); /* schema, or the first of the search path */

struct rel *shadow_add(struct shadow *shadow, const char *schema, const char *name, enum snap_relkind kind);
void shadow_drop(struct shadow *shadow, struct rel *rel);
/* Takes effect at shadow_settle, so that what is said about the statement still uses the name it used. */
void shadow_rename(struct shadow *shadow, struct rel *rel, const char *schema, const char *name);
void shadow_rename_schema(struct shadow *shadow, const char *from, const char *to);
void shadow_settle(struct shadow *shadow); /* before the next statement is looked at */
void shadow_commit(struct shadow *shadow); /* a transaction ends: values added to enums may be used */

struct snap_column *shadow_add_column(struct shadow *shadow, struct rel *rel, const char *name, const char *type);
/* With it in keys, indexes and the views that read it, which go by the column's number. */
void shadow_rename_column(struct shadow *shadow, struct rel *rel, const char *from, const char *to);
void shadow_drop_column(struct rel *rel, const char *name);
struct snap_constraint *shadow_add_constraint(struct shadow *shadow, struct rel *rel, const char *name, char type, const char *definition,
                                              bool validated);
struct snap_constraint *shadow_constraint(const struct rel *rel, const char *name);
struct snap_fk *shadow_add_fk(struct shadow *shadow, struct rel *rel, const char *name, struct rel *ref, bool validated);
struct snap_fk *shadow_fk(const struct rel *rel, const char *name);
/* The name the server gives a constraint of rel without one: "table_columns_label", counted up until nothing has it (ChooseConstraintName
 * in catalog/pg_constraint.c). */
const char *shadow_made_name(struct shadow *shadow, const struct rel *rel, const char *const *columns, size_t count, const char *label);
#define SHADOW_NAMES 8 /* tried: whoever leaves more of them to the server gets one that is taken */
/* The same counted up to `number`, whether it is free or not; 0: not counted up. */
const char *shadow_name(struct shadow *shadow, const struct rel *rel, const char *const *columns, size_t count, const char *label,
                        size_t number);
bool shadow_name_taken(struct shadow *shadow, const struct rel *rel, const char *name);
void shadow_drop_fk(struct rel *rel, const char *name);
void shadow_drop_constraint(struct rel *rel, const char *name);
struct snap_index *shadow_add_index(struct shadow *shadow, struct rel *rel, const char *name);
struct snap_index *shadow_index(struct shadow *shadow, const char *schema, const char *name, struct rel **ret_rel);
void shadow_drop_index(struct rel *rel, const char *name);
struct snap_trigger *shadow_trigger(const struct rel *rel, const char *name); /* these four in shadow_parts.c */
struct snap_policy *shadow_policy(const struct rel *rel, const char *name);
void shadow_drop_trigger(struct rel *rel, const char *name);
void shadow_drop_policy(struct rel *rel, const char *name);
void shadow_add_partition(struct shadow *shadow, struct rel *parent, struct rel *part, const char *bound);
void shadow_detach(struct shadow *shadow, struct rel *parent, struct rel *part);
void shadow_add_heir(struct shadow *shadow, struct rel *parent, struct rel *heir); /* by INHERITS, not as a partition */
void shadow_drop_heir(struct rel *parent, struct rel *heir);
void shadow_add_dependent(struct shadow *shadow, struct rel *rel, struct rel *view);

/* Views. */
PgQuery__Node *shadow_view_query(struct shadow *shadow, struct rel *view);
/* Whether the view reads that column of the table (column NULL: anything of it). */
bool shadow_view_reads(struct shadow *shadow, struct rel *view, const struct rel *table, const char *column);

/* Types, by the name format_type() prints or any suffix of it. */
const struct snap_domain *shadow_domain(const struct shadow *shadow, const char *type);
const struct snap_enum *shadow_enum(const struct shadow *shadow, const char *type);
bool shadow_domain_constrained(const struct snap_domain *domain);
bool shadow_same_type(const char *a, const char *b); /* equal, or equal but for a schema one of them leaves out */

/* The default partition of a partitioned table, or NULL. */
struct rel *shadow_default_partition(struct shadow *shadow, const struct rel *parent);
bool shadow_is_table(const struct rel *rel); /* has storage: table, matview, leaf partition */
/* Whether a validated constraint proves the column NOT NULL. */
bool shadow_proves_not_null(struct shadow *shadow, const struct rel *rel, const char *column);

#endif
