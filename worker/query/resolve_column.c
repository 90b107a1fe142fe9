/* resolve_column.c - what a name in an expression refers to: a column, a whole row, an output, a call in disguise. */
#include "worker/query/resolve_impl.h"
#include "worker/sql/tree.h"

enum { WHOLE_ROW = -1, SYSTEM_COLUMN = -2, BY_NAME_ONLY = -3 };

static const char *const system_columns[] = {"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"};

static bool is_system(const char *name) {
  for (size_t i = 0; i < sizeof system_columns / sizeof *system_columns; i++)
    if (strcmp(system_columns[i], name) == 0) return true;
  return false;
}

const char *resolve_dotted(struct resolver *r, size_t count, PgQuery__Node *const *fields) {
  const char *text = "";
  for (size_t i = 0; i < count; i++) {
    const char *part = sql_node_string(fields[i]), *joined = arena_printf(r->arena, "%s%s%s", text, i ? "." : "", part ? part : "*");
    if (!joined) {
      r->oom = true;
      return "";
    }
    text = joined;
  }
  return text;
}

void resolve_read(struct resolver *r, const struct query_rte *rte, int column) {
  if (!rte->table) return;
  for (size_t i = 0; i < r->out->relation_count; i++) {
    struct query_relation *relation = &r->out->relations[i];
    if (relation->rte != rte || !relation->columns) continue;
    relation->whole_row |= column == WHOLE_ROW;
    for (size_t c = 0; c < rte->table->column_count; c++)
      if (column == WHOLE_ROW || (size_t)column == c) relation->columns[c] = true;
  }
}

static void bind(struct resolver *r, struct query_binding binding) {
  struct query_binding *place = RESOLVE_ADD(r, r->out->bindings, r->out->binding_count);
  if (place) *place = binding;
  if (binding.rte && binding.column >= WHOLE_ROW) resolve_read(r, binding.rte, binding.column);
}

/* ---- one part: a ---- */

static int columns_named(const struct query_scope *scope, const char *name, const struct query_rte **ret_rte, int *ret_column) {
  int found = 0;
  for (size_t i = scope->visible_from; i < scope->rte_count; i++)
    for (size_t c = 0; c < scope->rtes[i]->column_count; c++) {
      const struct query_rte *rte = scope->rtes[i];
      if (!rte_shows(rte, c) || !rte->columns[c].name || strcmp(rte->columns[c].name, name) != 0) continue;
      *ret_rte = rte;
      *ret_column = (int)c;
      found++;
    }
  return found;
}

static const struct query_rte *rte_named(const struct query_scope *scope, const char *schema, const char *name) {
  for (size_t i = scope->visible_from; i < scope->rte_count; i++) {
    const struct query_rte *rte = scope->rtes[i];
    if (rte->hidden || !rte->name || strcmp(rte->name, name) != 0) continue;
    if (!schema) return rte;
    if (rte->table && !rte->aliased && strcmp(rte->table->schema, schema) == 0) return rte;
    if (rte->kind == QUERY_TABLE && !rte->table && !rte->aliased) return rte; /* reported already, or a catalog */
  }
  return NULL;
}

static const struct query_rte *open_rte(const struct query_scope *scope) {
  for (size_t i = scope->visible_from; i < scope->rte_count; i++)
    if (scope->rtes[i]->open && !scope->rtes[i]->hidden) return scope->rtes[i];
  return NULL;
}

static void offer_columns(struct resolver *r, struct suggest *suggest, const struct query_rte *rte, bool qualify, double bonus) {
  for (size_t c = 0; c < rte->column_count; c++) {
    const char *name = rte->columns[c].name, *shown = name;
    if (!name) continue;
    if (qualify && rte->name && suggest_likeness(suggest->wanted, name) > 0.5) shown = arena_printf(r->arena, "%s.%s", rte->name, name);
    if (shown) suggest_offer(suggest, name, shown, bonus);
  }
}

/* A column of exactly that name in a table that is not in FROM: it may have to be joined. */
static void offer_elsewhere(struct resolver *r, struct suggest *suggest) {
  int offered = 0;
  for (size_t t = 0; t < r->snapshot->table_count && offered < SUGGEST_COUNT; t++) {
    const struct snap_table *table = &r->snapshot->tables[t];
    if (!snap_table_column(table, suggest->wanted)) continue;
    const char *shown = arena_printf(r->arena, "%s.%s", table->qualified, suggest->wanted);
    if (shown) suggest_offer(suggest, suggest->wanted, shown, -0.25);
    offered++;
  }
}

static void unknown_column(struct resolver *r, const struct query_scope *scope, const char *name, int position) {
  struct suggest suggest = {.wanted = name};
  bool several = false;
  for (const struct query_scope *at = scope; at; at = at->parent)
    if (at->rte_count - (at->visible_from < at->rte_count ? at->visible_from : at->rte_count) > 1) several = true;
  for (const struct query_scope *at = scope; at; at = at->parent)
    for (size_t i = at->visible_from; i < at->rte_count; i++) {
      const struct query_rte *rte = at->rtes[i];
      if (!rte->hidden) offer_columns(r, &suggest, rte, several && !rte->qualified_only, at == scope ? 0.15 : 0.1);
    }
  offer_elsewhere(r, &suggest);
  resolve_problem(r, QUERY_NAME_COLUMN, position, name, &suggest, "no table of this query has a column %s%s%s", name,
                  suggest.best[0] ? "; the nearest is " : "", suggest.best[0] ? suggest.best[0] : "");
}

static void ambiguous_column(struct resolver *r, const struct query_scope *scope, const char *name, int position) {
  struct suggest suggest = {.wanted = name};
  for (size_t i = scope->visible_from; i < scope->rte_count; i++)
    if (!scope->rtes[i]->hidden)
      for (size_t c = 0; c < scope->rtes[i]->column_count; c++)
        if (rte_shows(scope->rtes[i], c) && scope->rtes[i]->columns[c].name && strcmp(scope->rtes[i]->columns[c].name, name) == 0) {
          const char *shown = scope->rtes[i]->name ? arena_printf(r->arena, "%s.%s", scope->rtes[i]->name, name) : NULL;
          if (shown) suggest_offer(&suggest, name, shown, 0);
        }
  resolve_problem(r, QUERY_NAME_COLUMN, position, name, &suggest, "column %s is ambiguous: say which table's", name);
}

static void resolve_bare(struct resolver *r, struct query_scope *scope, const PgQuery__ColumnRef *ref, const char *name) {
  struct query_binding binding = {.ref = ref, .scope = scope};
  for (struct query_scope *at = scope; at; at = at->parent, binding.levels_up++) {
    int found = columns_named(at, name, &binding.rte, &binding.column);
    if (found > 1) {
      ambiguous_column(r, at, name, ref->location);
      return;
    }
    if (found) {
      bind(r, binding);
      return;
    }
  }
  for (int pass = 0; pass < 3; pass++) { /* a table's system column, a whole row, a column we can't know */
    binding.levels_up = 0;
    for (struct query_scope *at = scope; at; at = at->parent, binding.levels_up++) {
      bool table = pass == 0 && is_system(name) && at->rte_count - at->visible_from == 1 && at->rtes[at->visible_from]->table;
      binding.rte = table ? at->rtes[at->visible_from] : pass == 1 ? rte_named(at, NULL, name) : pass == 2 ? open_rte(at) : NULL;
      if (!binding.rte) continue;
      binding.column = pass == 0 ? SYSTEM_COLUMN : pass == 1 ? WHOLE_ROW : BY_NAME_ONLY;
      bind(r, binding);
      return;
    }
  }
  unknown_column(r, scope, name, ref->location);
}

/* ---- several parts: t.a, s.t.a, t.* ---- */

static int column_of(const struct query_rte *rte, const char *name) {
  for (size_t c = 0; c < rte->column_count; c++)
    if (rte->columns[c].name && strcmp(rte->columns[c].name, name) == 0) return (int)c;
  if (rte->table && is_system(name)) return SYSTEM_COLUMN;
  return BY_NAME_ONLY;
}

static void unknown_entry(struct resolver *r, const struct query_scope *scope, const PgQuery__ColumnRef *ref, const char *schema,
                          const char *name) {
  struct suggest suggest = {.wanted = name};
  const char *dotted = resolve_dotted(r, ref->n_fields, ref->fields), *column = sql_node_string(ref->fields[ref->n_fields - 1]);
  const char *known_as = NULL;
  for (const struct query_scope *at = scope; at; at = at->parent)
    for (size_t i = at->visible_from; i < at->rte_count; i++) {
      const struct query_rte *rte = at->rtes[i];
      if (!rte->name || rte->hidden) continue;
      const char *shown = arena_printf(r->arena, "%s.%s", rte->name, column ? column : "*");
      bool same = rte->table && strcmp(rte->table->name, name) == 0, has = column && column_of(rte, column) >= 0;
      if (same) known_as = rte->name;
      if (shown && (same || has))
        suggest_offer(&suggest, name, shown, 1);
      else if (shown)
        suggest_offer(&suggest, rte->name, shown, 0);
      if (has && shown && !same && !suggest.best[SUGGEST_COUNT - 1]) suggest_offer(&suggest, name, shown, 0.5);
    }
  if (known_as)
    resolve_problem(r, QUERY_NAME_COLUMN, ref->location, dotted, &suggest, "%s: the table %s goes by the name %s here", dotted, name,
                    known_as);
  else
    resolve_problem(r, QUERY_NAME_COLUMN, ref->location, dotted, &suggest, "%s: there is no %s%s%s in FROM", dotted, schema ? schema : "",
                    schema ? "." : "", name);
}

static void unknown_member(struct resolver *r, const struct query_scope *scope, const char *dotted, int position,
                           const struct query_rte *rte, const char *name) {
  struct suggest suggest = {.wanted = name};
  offer_columns(r, &suggest, rte, true, 0.15);
  for (size_t i = scope->visible_from; i < scope->rte_count; i++)
    if (scope->rtes[i] != rte && !scope->rtes[i]->hidden) offer_columns(r, &suggest, scope->rtes[i], true, 0);
  offer_elsewhere(r, &suggest);
  resolve_problem(r, QUERY_NAME_COLUMN, position, dotted, &suggest, "%s has no column %s%s%s",
                  rte->table ? rte->table->qualified : rte->name, name, suggest.best[0] ? "; the nearest is " : "",
                  suggest.best[0] ? suggest.best[0] : "");
}

static void resolve_member(struct resolver *r, struct query_scope *scope, const PgQuery__ColumnRef *ref,
                           const struct query_binding *found) {
  struct query_binding binding = *found;
  const char *name = sql_node_string(ref->fields[ref->n_fields - 1]);
  binding.column = name ? column_of(binding.rte, name) : WHOLE_ROW;
  if (binding.column != BY_NAME_ONLY) {
    bind(r, binding);
  } else if (binding.rte->open) {
    resolve_attribute_call(r, name, ref->location);
    bind(r, binding);
  } else if (resolve_attribute_call(r, name, ref->location)) {
    binding.column = WHOLE_ROW;
    bind(r, binding);
  } else {
    unknown_member(r, scope, resolve_dotted(r, ref->n_fields, ref->fields), ref->location, binding.rte, name);
  }
}

void resolve_column_ref(struct resolver *r, struct query_scope *scope, const PgQuery__ColumnRef *ref) {
  if (!ref->n_fields) return;
  const char *first = sql_node_string(ref->fields[0]);
  if (ref->n_fields == 1) {
    if (first) resolve_bare(r, scope, ref, first); /* a lone * is the select list's, or count(*)'s */
    return;
  }
  const char *schema = ref->n_fields > 2 ? sql_node_string(ref->fields[ref->n_fields - 3]) : NULL,
             *entry = sql_node_string(ref->fields[ref->n_fields - 2]);
  struct query_binding binding = {.ref = ref, .scope = scope};
  for (struct query_scope *at = scope; at && entry; at = at->parent, binding.levels_up++) {
    binding.rte = rte_named(at, schema, entry);
    if (!binding.rte) continue;
    resolve_member(r, scope, ref, &binding);
    return;
  }
  if (entry) unknown_entry(r, scope, ref, schema, entry);
}

/* ---- outputs ---- */

bool resolve_output_name(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node, bool input_first) {
  if (node->node_case == PG_QUERY__NODE__NODE_A_CONST) return true; /* by number */
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1) return false;
  const char *name = sql_node_string(node->column_ref->fields[0]);
  if (!name) return false;
  struct query_binding binding = {.ref = node->column_ref, .scope = scope, .output = true};
  if (input_first && columns_named(scope, name, &binding.rte, &binding.column)) return false;
  binding.rte = NULL;
  for (size_t i = 0; i < scope->output_count; i++) {
    if (!scope->outputs[i].name || strcmp(scope->outputs[i].name, name) != 0) continue;
    binding.column = (int)i;
    bind(r, binding);
    return true;
  }
  return scope->outputs_open && !columns_named(scope, name, &binding.rte, &binding.column);
}

/* ---- (expression).field ---- */

static bool has_column(const struct query_column *columns, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (columns[i].name && strcmp(columns[i].name, name) == 0) return true;
  return false;
}

/* Whether the field is known to be one of the value's. Whole rows of FROM, composites, what calls return. */
static bool is_field(struct resolver *r, const PgQuery__Node *value, const char *name) {
  struct query_column described = {0}, *columns = NULL;
  size_t count = 0;
  bool open;
  if (value->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    resolve_call_columns(r, value->func_call, &columns, &count, &open);
    if (has_column(columns, count, name)) return true;
  }
  resolve_describe(r, value, &described);
  return described.type && resolve_row_type(r, described.type, &columns, &count) && has_column(columns, count, name);
}

/* (t).a reads one column of t, not all of them. False: `value` is no whole row of an entry that has it. */
static bool resolve_row_field(struct resolver *r, struct query_scope *scope, const PgQuery__Node *value, const char *name) {
  if (value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || value->column_ref->n_fields != 1) return false;
  const char *entry = sql_node_string(value->column_ref->fields[0]);
  struct query_binding binding = {.ref = value->column_ref, .scope = scope};
  for (struct query_scope *at = scope; at && entry; at = at->parent, binding.levels_up++) {
    if (columns_named(at, entry, &binding.rte, &binding.column)) return false;
    binding.rte = rte_named(at, NULL, entry);
    if (!binding.rte) continue;
    binding.column = column_of(binding.rte, name);
    if (binding.column == BY_NAME_ONLY) return false;
    bind(r, binding);
    return true;
  }
  return false;
}

/* (t).nope, where t is an entry of FROM all of whose columns are known. */
static void unknown_field(struct resolver *r, const struct query_scope *scope, const PgQuery__Node *value, const char *name) {
  if (value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || value->column_ref->n_fields != 1) return;
  const char *entry = sql_node_string(value->column_ref->fields[0]);
  const struct query_rte *rte = NULL;
  int column;
  for (const struct query_scope *at = scope; at && entry && !rte; at = at->parent) {
    if (columns_named(at, entry, &rte, &column)) return;
    rte = rte_named(at, NULL, entry);
  }
  const char *dotted = rte && !rte->open ? arena_printf(r->arena, "%s.%s", entry, name) : NULL;
  if (dotted) unknown_member(r, scope, dotted, value->column_ref->location, rte, name);
}

void resolve_indirection(struct resolver *r, struct query_scope *scope, const PgQuery__AIndirection *indirection) {
  r->out->indirection_count++;
  const char *first = indirection->n_indirection ? sql_node_string(indirection->indirection[0]) : NULL;
  bool known = first && resolve_row_field(r, scope, indirection->arg, first);
  if (!known) resolve_expression(r, scope, indirection->arg);
  for (size_t i = 0; i < indirection->n_indirection; i++) {
    const PgQuery__Node *part = indirection->indirection[i];
    const char *name = sql_node_string(part);
    if (part->node_case == PG_QUERY__NODE__NODE_A_INDICES) {
      resolve_expression(r, scope, part->a_indices->lidx);
      resolve_expression(r, scope, part->a_indices->uidx);
    } else if (name && !(i == 0 && (known || is_field(r, indirection->arg, name)))) {
      bool call = resolve_attribute_call(r, name, -1); /* or a field that we can't know */
      if (!call && i == 0) unknown_field(r, scope, indirection->arg, name);
    }
  }
}
