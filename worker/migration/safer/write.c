/* safer/write.c - what routes write with: steps, names nobody has, backfills by key ranges. */
#include <stdio.h>

#include "common/buf.h"
#include "worker/migration/safer/plan.h"
#include "worker/migration/safer/safer.h"
#include "worker/sql/text.h"

const char safer_brief[] = "a strong lock for a moment: nothing is read or rewritten under it";
const char safer_reads[] = "reads the table; reads and writes go on";
const char safer_outside[] = "outside of any transaction; reads and writes go on";

static bool outgrown(const struct safer_plan *plan) { return plan->steps.count + plan->later.count >= SAFER_STEPS_MAX; }

void safer_add(struct safer_use *use, enum safer_place place, const char *note, const char *format, ...) {
  struct safer_plan *plan = use->plan;
  va_list args;
  va_start(args, format);
  const char *sql = arena_vprintf(plan->arena, format, args);
  va_end(args);
  bool contract = use->phase == SAFER_CONTRACT;
  struct safer_step *step = outgrown(plan) ? NULL : contract ? LIST_PUSH(plan->arena, &plan->later) : LIST_PUSH(plan->arena, &plan->steps);
  if (!sql || !step) {
    plan->failed = true;
    return;
  }
  *step = (struct safer_step){.sql = sql,
                              .comments = contract ? NULL : plan->comments,
                              .note = note,
                              .place = place,
                              .phase = use->phase,
                              .strong = note == safer_brief,
                              .transaction = use->statement->transaction,
                              .statement = use->index,
                              .route = use->route};
  if (!contract) plan->comments = NULL;
}

const char *safer_quote(const struct safer_use *use, const char *name) { return sql_ident(use->plan->arena, name); }
const char *safer_table(const struct safer_use *use, const struct rel *rel) {
  return sql_qualified(use->plan->arena, rel->t->schema, rel->t->name);
}

/* --- names --- */

static bool taken(struct safer_use *use, const char *schema, const char *name) {
  struct shadow *shadow = use->plan->shadow;
  struct rel *owner = NULL;
  if (shadow_find(shadow, schema, name) || shadow_index(shadow, schema, name, &owner)) return true;
  for (size_t i = 0; i < shadow->rels.count; i++) {
    const struct rel *rel = shadow->rels.items[i];
    if (rel->dropped || strcmp(rel->t->schema, schema) != 0) continue;
    if (shadow_constraint(rel, name) || shadow_fk(rel, name)) return true;
  }
  const char *qualified = arena_printf(use->plan->arena, "%s.%s", schema, name);
  for (size_t i = 0; qualified && i < use->plan->names.count; i++)
    if (strcmp(use->plan->names.items[i], qualified) == 0) return true;
  return false;
}

const char *safer_name(struct safer_use *use, const char *schema, const char *first, const char *second, const char *label) {
  struct arena *arena = use->plan->arena;
  const char *name = sql_made_name(arena, first, second, label);
  for (int pass = 1; name && pass < 1000 && taken(use, schema, name); pass++)
    name = sql_made_name(arena, first, second, arena_printf(arena, "%s%d", label, pass));
  const char **slot = LIST_PUSH(arena, &use->plan->names);
  if (slot) *slot = arena_printf(arena, "%s.%s", schema, name);
  if (!name || !slot || !*slot) use->plan->failed = true;
  return name ? name : "";
}

const char *safer_joined(struct arena *arena, const char *const *names, size_t count) {
  const char *text = "";
  for (size_t i = 0; text && i < count && strlen(text) <= SQL_NAME_BYTES; i++)
    text = arena_printf(arena, "%s%s%s", text, i ? "_" : "", names[i]);
  return text;
}

/* --- parts of ALTER TABLE --- */

const char *safer_command(const struct safer_use *use, const PgQuery__AlterTableCmd *command) {
  PgQuery__AlterTableCmd copy = *command;
  PgQuery__Node item = PG_QUERY__NODE__INIT, node = PG_QUERY__NODE__INIT, *items[] = {&item};
  item.node_case = PG_QUERY__NODE__NODE_ALTER_TABLE_CMD;
  item.alter_table_cmd = &copy;
  PgQuery__AlterTableStmt statement = *use->alter;
  statement.n_cmds = 1;
  statement.cmds = items;
  node.node_case = PG_QUERY__NODE__NODE_ALTER_TABLE_STMT;
  node.alter_table_stmt = &statement;
  return sql_statement_text(use->plan->arena, &node);
}

const char *safer_constraint(const struct safer_use *use, const PgQuery__Constraint *constraint) {
  PgQuery__Constraint copy = *constraint;
  PgQuery__Node definition = PG_QUERY__NODE__INIT;
  definition.node_case = PG_QUERY__NODE__NODE_CONSTRAINT;
  definition.constraint = &copy;
  PgQuery__AlterTableCmd command = PG_QUERY__ALTER_TABLE_CMD__INIT;
  command.subtype = PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint;
  command.def = &definition;
  command.behavior = PG_QUERY__DROP_BEHAVIOR__DROP_RESTRICT;
  return safer_command(use, &command);
}

void safer_prove_not_null(struct safer_use *use, const struct rel *rel, const char *column) {
  const char *table = safer_table(use, rel), *quoted = safer_quote(use, column);
  const char *name = safer_quote(use, safer_name(use, rel->t->schema, rel->t->name, column, "proof"));
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID", table, name, quoted);
  safer_add(use, SAFER_OWN, safer_reads, "ALTER TABLE %s VALIDATE CONSTRAINT %s", table, name);
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", table, quoted);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s DROP CONSTRAINT %s", table, name);
}

/* --- backfills --- */

/* A valid unique index over NOT NULL columns: its order visits every row once. */
static const struct snap_index *key_of(const struct rel *rel) {
  for (size_t i = 0; i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    bool usable = index->unique && index->valid && !index->predicate && index->column_count > 0;
    for (size_t c = 0; usable && c < index->column_count; c++) {
      const struct snap_column *column = snap_table_column(rel->t, index->columns[c]);
      usable = column && column->not_null;
    }
    if (usable) return index;
  }
  return NULL;
}

bool safer_has_key(const struct rel *rel) { return key_of(rel) != NULL; }

struct range { /* of the key, as row expressions */
  const char *declare, *key, *order, *descending, *first, *last;
};

static bool describe(struct safer_use *use, const struct rel *rel, const struct snap_index *index, struct range *ret) {
  struct arena *arena = use->plan->arena;
  const char *table = safer_quote(use, rel->t->name), *comma = "";
  *ret = (struct range){"", "", "", "", "", ""};
  for (size_t i = 0; i < index->column_count; i++, comma = ", ") {
    const char *column = safer_quote(use, index->columns[i]);
    ret->declare = arena_printf(arena, "%s  first%zu %s.%s%%TYPE;\n  last%zu %s.%s%%TYPE;\n", ret->declare, i, safer_table(use, rel),
                                column, i, safer_table(use, rel), column);
    ret->key = arena_printf(arena, "%s%s%s.%s", ret->key, comma, table, column);
    ret->order = arena_printf(arena, "%s%s%zu", ret->order, comma, i + 1);
    ret->descending = arena_printf(arena, "%s%s%zu DESC", ret->descending, comma, i + 1);
    ret->first = arena_printf(arena, "%s%sfill.first%zu", ret->first, comma, i);
    ret->last = arena_printf(arena, "%s%sfill.last%zu", ret->last, comma, i);
  }
  return ret->declare && ret->key && ret->order && ret->descending && ret->first && ret->last;
}

static const char *tag_for(struct arena *arena, const char *body) {
  const char *tag = "$fill$";
  for (int i = 1; tag && strstr(body, tag); i++) tag = arena_printf(arena, "$fill%d$", i);
  return tag ? tag : "$fill$";
}

bool safer_backfill(struct safer_use *use, const struct rel *rel, const char *set, const char *unfilled) {
  struct arena *arena = use->plan->arena;
  const struct snap_index *index = key_of(rel);
  struct range r;
  if (!index || !describe(use, rel, index, &r)) return false;
  const char *table = safer_table(use, rel);
  const char *body =
      arena_printf(arena,
                   "\n#variable_conflict use_column\n<<fill>>\nDECLARE\n%sBEGIN\n"
                   "  SELECT %s INTO %s FROM %s ORDER BY %s LIMIT 1;\n"
                   "  WHILE FOUND LOOP\n"
                   "    SELECT * INTO %s FROM (SELECT %s FROM %s WHERE (%s) >= (%s) ORDER BY %s LIMIT %d) AS batch ORDER BY %s LIMIT 1;\n"
                   "    UPDATE %s SET %s WHERE (%s) >= (%s) AND (%s) <= (%s) AND %s;\n"
                   "    COMMIT;\n"
                   "    SELECT %s INTO %s FROM %s WHERE (%s) > (%s) ORDER BY %s LIMIT 1;\n"
                   "  END LOOP;\nEND\n",
                   r.declare, r.key, r.first, table, r.order, r.last, r.key, table, r.key, r.first, r.order, SAFER_BATCH_ROWS, r.descending,
                   table, set, r.key, r.first, r.key, r.last, unfilled, r.key, r.first, table, r.key, r.last, r.order);
  if (!body) return false;
  const char *tag = tag_for(arena, body);
  safer_add(use, SAFER_OUTSIDE, "fills the rows in batches, each committed: only the rows of a batch are locked", "DO %s%s%s", tag, body,
            tag);
  return true;
}
