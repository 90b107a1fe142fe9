/* safer/partition.c - partitions: what ATTACH would read for is proved beforehand by a CHECK of the bound. */
#include "worker/migration/forms/bounds.h"
#include "worker/migration/safer/plan.h"
#include "worker/sql/text.h"

struct bound {
  const char *column; /* the one key column, as in the catalog */
  const char *within; /* "k >= 1 AND k < 2" */
  const char *beyond; /* "k < 1 OR k >= 2" */
};

static const char *key_column(struct safer_use *use, const struct rel *parent) {
  const char *open = parent->t->partition_key ? strchr(parent->t->partition_key, '(') : NULL;
  const PgQuery__Node *node = open ? sql_parse_expression(use->plan->arena, open) : NULL;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1) return NULL;
  return sql_node_string(node->column_ref->fields[0]);
}

/* MINVALUE and MAXVALUE come as names: no limit on that side. */
static bool unlimited(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF || node->node_case == PG_QUERY__NODE__NODE_PARTITION_RANGE_DATUM;
}

static bool read_range(struct safer_use *use, const PgQuery__PartitionBoundSpec *spec, struct bound *bound) {
  struct arena *arena = use->plan->arena;
  if (spec->n_lowerdatums != 1 || spec->n_upperdatums != 1) return false;
  bool low = !unlimited(spec->lowerdatums[0]), high = !unlimited(spec->upperdatums[0]);
  const char *column = safer_quote(use, bound->column), *from = low ? sql_expression(arena, spec->lowerdatums[0]) : "",
             *to = high ? sql_expression(arena, spec->upperdatums[0]) : "";
  if (!from || !to || (!low && !high)) return false;
  const char *above = low ? arena_printf(arena, "%s >= %s", column, from) : "",
             *below = high ? arena_printf(arena, "%s < %s", column, to) : "";
  const char *under = low ? arena_printf(arena, "%s < %s", column, from) : "",
             *over = high ? arena_printf(arena, "%s >= %s", column, to) : "";
  bound->within = arena_printf(arena, "%s%s%s", above, low && high ? " AND " : "", below);
  bound->beyond = arena_printf(arena, "%s%s%s", under, low && high ? " OR " : "", over);
  return bound->within && bound->beyond;
}

static bool read_bound(struct safer_use *use, const struct rel *parent, const PgQuery__PartitionBoundSpec *spec, struct bound *ret) {
  *ret = (struct bound){.column = key_column(use, parent)};
  return ret->column && !spec->is_default && strcmp(spec->strategy, "r") == 0 && read_range(use, spec, ret);
}

static bool nullable(const struct rel *rel, const char *name) {
  const struct snap_column *column = snap_table_column(rel->t, name);
  return !column || !column->not_null;
}

/* Adds and proves a CHECK; its quoted name, to be dropped later. */
static const char *prove(struct safer_use *use, const struct rel *rel, const char *condition) {
  const char *name = safer_quote(use, safer_name(use, rel->t->schema, rel->t->name, NULL, "bound"));
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", safer_table(use, rel), name, condition);
  safer_add(use, SAFER_OWN, safer_reads, "ALTER TABLE %s VALIDATE CONSTRAINT %s", safer_table(use, rel), name);
  return name;
}

struct attaching {
  const struct rel *part, *fallback; /* NULL where nothing is to be proved */
  const char *part_check, *fallback_check;
};

static void prove_bounds(struct safer_use *use, const struct bound *bound, struct attaching *attaching) {
  struct arena *arena = use->plan->arena;
  const char *column = safer_quote(use, bound->column);
  if (attaching->part)
    attaching->part_check = prove(
        use, attaching->part,
        nullable(attaching->part, bound->column) ? arena_printf(arena, "%s IS NOT NULL AND %s", column, bound->within) : bound->within);
  if (attaching->fallback)
    attaching->fallback_check = prove(
        use, attaching->fallback,
        nullable(attaching->fallback, bound->column) ? arena_printf(arena, "%s IS NULL OR %s", column, bound->beyond) : bound->beyond);
}

static void drop_proofs(struct safer_use *use, const struct attaching *attaching) {
  if (attaching->part_check)
    safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s DROP CONSTRAINT %s", safer_table(use, attaching->part), attaching->part_check);
  if (attaching->fallback_check)
    safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s DROP CONSTRAINT %s", safer_table(use, attaching->fallback),
              attaching->fallback_check);
}

/* The default partition, when it would be read. */
static const struct rel *unproved_default(struct safer_use *use, const struct rel *parent, const PgQuery__PartitionBoundSpec *spec) {
  const struct rel *fallback = shadow_default_partition(use->plan->shadow, parent);
  if (!fallback || spec->is_default || bounds_excluded(use->plan->shadow, parent, fallback, spec)) return NULL;
  return fallback;
}

bool safer_attach(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  struct shadow *shadow = use->plan->shadow;
  const PgQuery__PartitionCmd *partition = use->command->def ? use->command->def->partition_cmd : NULL;
  const struct rel *part = partition ? shadow_range(shadow, partition->name) : NULL;
  struct bound bound;
  const char *text = safer_command(use, use->command);
  if (!part || !text || part->t->kind == SNAP_FOREIGN || !read_bound(use, use->rel, partition->bound, &bound)) return false;
  struct attaching attaching = {.part = bounds_implied(shadow, use->rel, part, partition->bound) ? NULL : part,
                                .fallback = unproved_default(use, use->rel, partition->bound)};
  prove_bounds(use, &bound, &attaching);
  safer_add(use, SAFER_OWN, safer_brief, "%s", text);
  drop_proofs(use, &attaching);
  return true;
}

static const char *attach_text(struct safer_use *use, const PgQuery__CreateStmt *statement, const struct rel *parent) {
  PgQuery__PartitionCmd partition = PG_QUERY__PARTITION_CMD__INIT;
  partition.name = statement->relation;
  partition.bound = statement->partbound;
  PgQuery__Node definition = PG_QUERY__NODE__INIT;
  definition.node_case = PG_QUERY__NODE__NODE_PARTITION_CMD;
  definition.partition_cmd = &partition;
  PgQuery__AlterTableCmd command = PG_QUERY__ALTER_TABLE_CMD__INIT;
  command.subtype = PG_QUERY__ALTER_TABLE_TYPE__AT_AttachPartition;
  command.behavior = PG_QUERY__DROP_BEHAVIOR__DROP_RESTRICT;
  command.def = &definition;
  PgQuery__RangeVar range = PG_QUERY__RANGE_VAR__INIT;
  range.schemaname = arena_strdup(use->plan->arena, parent->t->schema);
  range.relname = arena_strdup(use->plan->arena, parent->t->name);
  range.inh = true;
  PgQuery__AlterTableStmt alter = PG_QUERY__ALTER_TABLE_STMT__INIT;
  alter.relation = &range;
  alter.objtype = PG_QUERY__OBJECT_TYPE__OBJECT_TABLE;
  use->alter = &alter;
  const char *text = range.schemaname && range.relname ? safer_command(use, &command) : NULL;
  use->alter = NULL;
  return text;
}

bool safer_create_partition(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  const PgQuery__CreateStmt *statement = use->node->create_stmt;
  bool plain = statement->partbound && statement->n_inh_relations == 1 && !statement->n_table_elts && !statement->n_constraints &&
               !statement->partspec && !statement->n_options && !statement->if_not_exists && !sql_or_null(statement->tablespacename) &&
               !sql_or_null(statement->access_method) && statement->inh_relations[0]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR;
  const struct rel *parent = plain ? shadow_range(use->plan->shadow, statement->inh_relations[0]->range_var) : NULL;
  if (!parent || parent->created || strcmp(statement->relation->relpersistence, "p") != 0) return false;
  struct attaching attaching = {.fallback = unproved_default(use, parent, statement->partbound)};
  struct bound bound;
  const char *attach = attach_text(use, statement, parent);
  if (!attach || (attaching.fallback && !read_bound(use, parent, statement->partbound, &bound))) return false;
  if (attaching.fallback) prove_bounds(use, &bound, &attaching);
  safer_add(use, SAFER_OWN, "a new table: nobody waits for it",
            "CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING COMMENTS EXCLUDING IDENTITY EXCLUDING STATISTICS)",
            sql_qualified(use->plan->arena, sql_or_null(statement->relation->schemaname), statement->relation->relname),
            safer_table(use, parent));
  safer_add(use, SAFER_OWN, safer_brief, "%s", attach);
  drop_proofs(use, &attaching);
  return true;
}

bool safer_detach(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  struct shadow *shadow = use->plan->shadow;
  const PgQuery__PartitionCmd *partition = use->command->def ? use->command->def->partition_cmd : NULL;
  const struct rel *part = partition ? shadow_range(shadow, partition->name) : NULL;
  if (!part || partition->concurrent || shadow->version < 140000 || shadow_default_partition(shadow, use->rel)) return false;
  const char *column = key_column(use, use->rel);
  const char *left = safer_name(use, part->t->schema, part->t->name, column, "check");
  safer_add(use, SAFER_OUTSIDE, safer_outside, "ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY", use->table, safer_table(use, part));
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", safer_table(use, part), safer_quote(use, left));
  return true;
}
