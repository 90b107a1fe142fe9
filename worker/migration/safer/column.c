/* safer/column.c - ADD COLUMN taken apart: the bare column, its default, the rows in batches, NOT NULL proved, each constraint by its own
 * route. */
#include <strings.h>

#include "worker/migration/safer/plan.h"
#include "worker/sql/text.h"
#include "worker/sql/volatility.h"

struct adding {
  struct safer_use *use;
  const PgQuery__ColumnDef *definition;
  const char *name;   /* quoted */
  const char *serial; /* "bigint" of a bigserial; NULL */
  const PgQuery__Constraint *identity, *fallback;
  bool fills, not_null, constrained; /* rows get a value each; …; an inline constraint has a route of its own */
};

static const char *serial_type(const PgQuery__ColumnDef *definition) {
  static const struct {
    const char *names[2], *type;
  } types[] = {{{"smallserial", "serial2"}, "smallint"}, {{"serial", "serial4"}, "integer"}, {{"bigserial", "serial8"}, "bigint"}};
  const char *schema, *name;
  sql_name_split(definition->type_name->n_names, definition->type_name->names, &schema, &name);
  for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
    if (strcasecmp(name, types[i].names[0]) == 0 || strcasecmp(name, types[i].names[1]) == 0) return types[i].type;
  return NULL;
}

static bool is_null(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node && node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull;
}

/* False for what can't be taken apart. */
static bool read_constraints(struct adding *adding) {
  for (size_t i = 0; i < adding->definition->n_constraints; i++) {
    if (adding->definition->constraints[i]->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) return false;
    const PgQuery__Constraint *constraint = adding->definition->constraints[i]->constraint;
    switch (constraint->contype) {
    case PG_QUERY__CONSTR_TYPE__CONSTR_NULL: break;
    case PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL: adding->not_null = true; break;
    case PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT: adding->fallback = constraint; break;
    case PG_QUERY__CONSTR_TYPE__CONSTR_IDENTITY: adding->identity = constraint; break;
    case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY: adding->not_null = adding->constrained = true; break;
    case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
    case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
    case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: adding->constrained = true; break;
    default: return false; /* generated columns; DEFERRABLE, which belongs to the constraint before it */
    }
  }
  return true;
}

static bool read_definition(struct adding *adding) {
  struct safer_plan *plan = adding->use->plan;
  const PgQuery__ColumnDef *definition = adding->definition;
  const char *type = definition->type_name ? sql_type(plan->arena, definition->type_name) : NULL;
  const struct snap_domain *domain = type ? shadow_domain(plan->shadow, type) : NULL;
  if (!type || !read_constraints(adding) || (domain && (shadow_domain_constrained(domain) || domain->default_expr))) return false;
  adding->serial = serial_type(definition);
  if (adding->identity && adding->identity->n_options) return false; /* the numbers given meanwhile would not follow them */
  bool is_volatile = adding->fallback && sql_volatile(plan->shadow->snapshot, adding->fallback->raw_expr, NULL);
  adding->fills = is_volatile || adding->serial || adding->identity;
  if (adding->serial || adding->identity) adding->not_null = true;
  if (adding->not_null && !adding->fills && (!adding->fallback || is_null(adding->fallback->raw_expr))) return false; /* no value known */
  return !adding->fills || safer_has_key(adding->use->rel);
}

/* ADD COLUMN with what costs nothing: a default that is the same for all rows, and NOT NULL with one. */
static const char *bare_column(struct adding *adding) {
  struct arena *arena = adding->use->plan->arena;
  PgQuery__ColumnDef copy = *adding->definition;
  copy.n_constraints = 0;
  copy.constraints = arena_calloc(arena, adding->definition->n_constraints + 1, sizeof *copy.constraints);
  if (!copy.constraints) return NULL;
  for (size_t i = 0; !adding->fills && i < adding->definition->n_constraints; i++) {
    PgQuery__ConstrType type = adding->definition->constraints[i]->constraint->contype;
    if (type == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT || type == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL)
      copy.constraints[copy.n_constraints++] = adding->definition->constraints[i];
  }
  if (adding->serial) return arena_printf(arena, "ALTER TABLE %s ADD COLUMN %s %s", adding->use->table, adding->name, adding->serial);
  PgQuery__Node node = PG_QUERY__NODE__INIT;
  node.node_case = PG_QUERY__NODE__NODE_COLUMN_DEF;
  node.column_def = &copy;
  PgQuery__AlterTableCmd command = *adding->use->command;
  command.def = &node;
  return safer_command(adding->use, &command);
}

/* A sequence for the column: its own for good (serial), or until the identity takes over. */
static const char *make_sequence(struct adding *adding) {
  struct safer_use *use = adding->use;
  const struct snap_table *table = use->rel->t;
  const char *name = safer_name(use, table->schema, table->name, adding->definition->colname, adding->serial ? "seq" : "fill");
  const char *sequence = sql_qualified(use->plan->arena, table->schema, name);
  bool narrow = adding->serial && strcmp(adding->serial, "bigint") != 0;
  safer_add(use, SAFER_OWN, safer_brief, "CREATE SEQUENCE %s%s%s", sequence, narrow ? " AS " : "", narrow ? adding->serial : "");
  return sequence;
}

static void set_sequence_default(struct adding *adding, const char *sequence) {
  struct safer_use *use = adding->use;
  if (adding->serial) safer_add(use, SAFER_SAME, safer_brief, "ALTER SEQUENCE %s OWNED BY %s.%s", sequence, use->table, adding->name);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT nextval(%s)", use->table, adding->name,
            sql_literal(use->plan->arena, sequence));
}

/* The identity goes on where the sequence stopped. */
static void become_identity(struct adding *adding, const char *sequence) {
  struct safer_use *use = adding->use;
  struct arena *arena = use->plan->arena;
  bool always = adding->identity->generated_when && *adding->identity->generated_when == 'a';
  safer_add(use, SAFER_OWN, safer_brief, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", use->table, adding->name);
  safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s AS IDENTITY", use->table, adding->name,
            always ? "ALWAYS" : "BY DEFAULT");
  safer_add(use, SAFER_SAME, safer_brief, "SELECT setval(pg_get_serial_sequence(%s, %s), nextval(%s), false)",
            sql_literal(arena, use->table), sql_literal(arena, adding->definition->colname), sql_literal(arena, sequence));
  safer_add(use, SAFER_SAME, safer_brief, "DROP SEQUENCE %s", sequence);
}

static bool write_column(struct adding *adding) {
  struct safer_use *use = adding->use;
  const char *text = bare_column(adding), *sequence = NULL;
  if (!text) return false;
  if (adding->serial || adding->identity) sequence = make_sequence(adding);
  safer_add(use, sequence ? SAFER_SAME : SAFER_OWN, safer_brief, "%s", text);
  if (!adding->fills) return true;
  if (sequence) {
    set_sequence_default(adding, sequence);
  } else {
    const char *expression = sql_expression(use->plan->arena, adding->fallback->raw_expr);
    if (!expression) return false;
    safer_add(use, SAFER_SAME, safer_brief, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", use->table, adding->name, expression);
  }
  if (!safer_backfill(use, use->rel, arena_printf(use->plan->arena, "%s = DEFAULT", adding->name),
                      arena_printf(use->plan->arena, "%s IS NULL", adding->name)))
    return false;
  if (adding->not_null) safer_prove_not_null(use, use->rel, adding->definition->colname);
  if (adding->identity) become_identity(adding, sequence);
  return true;
}

bool safer_add_column(struct safer_use *use, const struct effect_fact *fact) {
  (void)fact;
  if (!use->command->def || use->command->def->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) return false;
  struct adding adding = {.use = use, .definition = use->command->def->column_def};
  adding.name = safer_quote(use, adding.definition->colname);
  if (!read_definition(&adding) || (!adding.fills && !adding.constrained)) return false;
  if (!write_column(&adding)) return false;
  for (size_t i = 0; i < adding.definition->n_constraints; i++) {
    const PgQuery__Constraint *constraint = adding.definition->constraints[i]->constraint;
    bool inlined =
        constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK || constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE ||
        constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY || constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN;
    if (inlined && !safer_write_constraint(use, constraint, adding.definition->colname)) return false;
  }
  return true;
}
