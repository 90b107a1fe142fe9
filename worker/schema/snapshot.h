/* snapshot.h - a client database's schema as the agents see it: typed, indexed, immutable, in one arena.
 *
 * Read from the JSON that introspection stores and GET /connections/{id}/schema serves (contract section 3), which holds more
 * than is modelled here: add a field here when an agent needs it. Names are as in the catalogs (no quotes, exact case). */
#ifndef AUTODB_SNAPSHOT_H
#define AUTODB_SNAPSHOT_H

#include <jansson.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"

struct snap_column {
  const char *name;
  const char *type;         /* format_type(): "character varying(50)", "shop.order_status" */
  const char *base_type;    /* the same, but of a domain what it is over */
  const char *default_expr; /* NULL when none */
  const char *comment;
  const char *identity;  /* "always", "by default" or NULL */
  const char *generated; /* expression when generated, else NULL */
  bool not_null;
  bool unset;          /* known to be NULL in every row: a migration has just added it; never so in a snapshot as it is stored */
  double null_frac;    /* pg_stats; -1 when unknown */
  double n_distinct;   /* as pg_stats; 0 when unknown */
  double avg_width;    /* bytes; -1 when unknown */
  double correlation;  /* of values and where rows lie, -1 to 1; 0 when unknown */
  double numbers_used; /* 0-1: how far the sequence it owns has come, by its own end or the type's; 0 when it owns none */
};
struct snap_constraint { /* primary key, unique, check, exclusion */
  const char *name;
  char type; /* pg_constraint.contype: p u c x n */
  const char **columns;
  size_t column_count;
  const char *definition; /* pg_get_constraintdef() */
  bool validated, deferrable;
  const char *index; /* backing index, or NULL */
};
struct snap_fk {
  const char *name;
  struct snap_table *table, *ref; /* ref NULL when the referenced table is in an excluded schema */
  const char *ref_schema, *ref_table;
  const char **columns;
  const char **ref_columns;
  size_t column_count;
  const char *on_delete, *on_update; /* "NO ACTION", "CASCADE", … */
  bool validated;                    /* and enforced */
  bool deferrable;
};
struct snap_index {
  const char *name;
  const char *definition; /* pg_get_indexdef() */
  const char *method;
  const char **columns;
  size_t column_count;   /* key columns; an expression as its text */
  const char *predicate; /* NULL when none */
  bool unique, valid, primary;
  int64_t bytes, scans;
};
struct snap_trigger {
  const char *name, *definition, *function;
};
struct snap_policy {
  const char *name, *definition;
};

enum snap_relkind {
  SNAP_TABLE = 'r',
  SNAP_PARTITIONED = 'p',
  SNAP_VIEW = 'v',
  SNAP_MATVIEW = 'm',
  SNAP_FOREIGN = 'f',
  SNAP_SEQUENCE = 'S'
};

/* From the server's counters, since they were last reset. Rates are upper bounds where that instant is unknown; -1: nothing is known. */
struct snap_activity {
  double reads_per_s;            /* scans begun, by index or not */
  double writes_per_s;           /* rows inserted, changed, deleted */
  int64_t changed_since_analyze; /* rows; -1 when unknown */
};

struct snap_table { /* tables, partitioned tables, foreign tables; also views and materialised views */
  const char *schema, *name;
  const char *qualified; /* "schema.name", as reports print it */
  enum snap_relkind kind;
  const char *comment, *owner;
  int64_t rows;  /* reltuples estimate; -1 when never analysed */
  int64_t bytes; /* pg_total_relation_size */
  bool empty;    /* known to have held nothing: its heap was measured, and has no page */
  struct snap_activity activity;
  const char *partition_of;    /* "schema.name" of the parent, or NULL */
  const char *partition_bound; /* "FOR VALUES …" or "DEFAULT" */
  const char *partition_key;   /* "RANGE (k)" when partitioned */
  const char *definition;      /* views: their query */
  bool rls, unlogged;
  struct snap_column *columns;
  size_t column_count;
  struct snap_constraint *constraints;
  size_t constraint_count;
  struct snap_fk *fks;
  size_t fk_count; /* this table references … */
  struct snap_fk **referenced_by;
  size_t referenced_by_count; /* … and is referenced by */
  struct snap_index *indexes;
  size_t index_count;
  struct snap_trigger *triggers;
  size_t trigger_count;
  struct snap_policy *policies;
  size_t policy_count;
  struct snap_table **partitions; /* and, of a plain table, those that inherit from it */
  size_t partition_count;
  struct snap_table **depends_on;
  size_t depends_on_count; /* views: relations they read */
  struct snap_table **dependents;
  size_t dependent_count; /* views and matviews reading this relation */
};
struct snap_enum {
  const char *schema, *name;
  const char **labels;
  size_t label_count;
};
struct snap_domain {
  const char *schema, *name, *base_type, *default_expr;
  bool not_null;
  const char **checks;
  size_t check_count;
};
struct snap_sequence {
  const char *schema, *name, *owned_by; /* "schema.table.column" or NULL */
};
struct snap_function {
  const char *schema, *name, *arguments, *returns, *language, *kind;
  char volatility; /* i s v */
  bool security_definer;
};
struct snap_extension {
  const char *name, *version, *schema;
};

struct snapshot {
  const char *id; /* NULL until stored */
  const char *fingerprint;
  const char *server_version;
  int server_version_num;
  const char *timezone; /* of the database and role we connect as */
  const char *search_path;
  struct snap_table *tables;
  size_t table_count; /* sorted by qualified name; views included */
  struct snap_enum *enums;
  size_t enum_count;
  struct snap_domain *domains;
  size_t domain_count;
  struct snap_sequence *sequences;
  size_t sequence_count;
  struct snap_function *functions;
  size_t function_count;
  struct snap_extension *extensions;
  size_t extension_count;
  const json_t *json;               /* the whole, borrowed */
  const struct snap_lookup *lookup; /* private: names to objects */
};

/* Builds the model from snapshot JSON, linking foreign keys, partitions and views both ways. `json` must outlive the model. */
MUST_CHECK enum status snapshot_load(const json_t *json, struct arena *arena, struct snapshot **ret_snapshot, struct error *err);

/* schema NULL: searched along the snapshot's search_path, then anywhere if the name is unique. NULL when there is none. */
struct snap_table *snapshot_table(const struct snapshot *snapshot, const char *schema, const char *name);
/* The partitioned table that it is a part of, through all levels; itself when of none. NULL in, NULL out. */
const struct snap_table *snapshot_topmost(const struct snapshot *snapshot, const struct snap_table *table);
struct snap_column *snap_table_column(const struct snap_table *table, const char *name);
bool snap_table_refers_by(const struct snap_table *table, const char *column); /* it is of a foreign key */
struct snap_table *snapshot_index_table(const struct snapshot *snapshot, const char *schema, const char *index,
                                        struct snap_index **ret_index);
/* Whether a type's text, as format_type() prints it, names this type: with its schema or without, quoted where that takes quotes. */
bool snapshot_type_is(const char *type, const char *schema, const char *name);
/* Volatility of a function by name: the most volatile of its overloads ('v' when unknown; built-ins are in the caller's table). */
char snapshot_function_volatility(const struct snapshot *snapshot, const char *schema, const char *name);

#endif
