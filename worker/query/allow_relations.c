/* allow_relations.c - what is read, and what that reads: views and partitions lead to relations that the statement does not name. */
#include "worker/query/allow_impl.h"
#include "worker/query/resolve_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* ---- views ---- */

static const json_t *view_json(const struct snapshot *snapshot, const struct snap_table *view) {
  const json_t *views = json_object_get(snapshot->json, "views");
  for (size_t i = 0; i < json_array_size(views); i++) {
    const json_t *one = json_array_get(views, i);
    const char *schema = json_string_value(json_object_get(one, "schema")), *name = json_string_value(json_object_get(one, "name"));
    if (schema && name && strcmp(schema, view->schema) == 0 && strcmp(name, view->name) == 0) return one;
  }
  return NULL;
}

static bool invoker(const struct snapshot *snapshot, const struct snap_table *view) {
  const json_t *options = json_object_get(view_json(snapshot, view), "options");
  for (size_t i = 0; i < json_array_size(options); i++) {
    const char *option = json_string_value(json_array_get(options, i));
    if (option && (strcmp(option, "security_invoker=true") == 0 || strcmp(option, "security_invoker=on") == 0 ||
                   strcmp(option, "security_invoker=1") == 0))
      return true;
  }
  return false;
}

/* Each relation is gone into once in each way, however many views lead to it. */
struct walk {
  struct check *check;
  bool *seen; /* by index of the table in the snapshot; twice as many: those reached with an owner's rights behind the others */
};

static bool walk_begin(struct walk *walk, struct check *check) {
  *walk = (struct walk){check, arena_calloc(check->arena, 2 * check->snapshot->table_count + 1, sizeof *walk->seen)};
  if (!walk->seen) check->oom = true;
  return walk->seen != NULL;
}

static bool walk_first(struct walk *walk, const struct snap_table *table, bool as_owner) {
  bool *seen = &walk->seen[(size_t)(table - walk->check->snapshot->tables) + (as_owner ? walk->check->snapshot->table_count : 0)];
  bool first = !*seen;
  *seen = true;
  return first;
}

/* A table with row level security that the view reads, or one below it does, with a view's owner's rights; NULL: none. What stands below
 * such a view is read with these, too. */
static const struct snap_table *bypassed(struct walk *walk, const struct snap_table *view, bool as_owner) {
  as_owner |= view->kind == SNAP_MATVIEW || !invoker(walk->check->snapshot, view);
  if (!walk_first(walk, view, as_owner)) return NULL;
  const struct snap_table *found = NULL;
  for (size_t i = 0; !found && i < view->depends_on_count; i++) {
    const struct snap_table *read = view->depends_on[i];
    if (read->kind == SNAP_VIEW || read->kind == SNAP_MATVIEW)
      found = bypassed(walk, read, as_owner);
    else if (read->rls && as_owner)
      found = read;
  }
  return found;
}

struct inside {
  struct check *check;
  const char *catalog, *call; /* the first system catalog that is read, and call that nobody may make */
};

/* Of extensions, too. A stable one (current_setting) only tells something. */
static bool reaches_out(const struct check *check, const char *name) {
  const struct builtin *builtin = guard_never(name) ? builtin_function("", name) : NULL;
  for (size_t i = 0; !builtin && guard_never(name) && i < check->snapshot->extension_count; i++)
    builtin = builtin_function(check->snapshot->extensions[i].name, name);
  return builtin && builtin->volatility == 'v';
}

/* A function somebody made that may do more than read, and with other rights than the reader's, or outside of the database. One that is
 * only not known to read (VOLATILE is what nobody wrote down) is held by the read-only transaction. */
static bool acts(const struct check *check, const char *schema, const char *name) {
  for (size_t i = 0; i < check->snapshot->function_count; i++) {
    const struct snap_function *function = &check->snapshot->functions[i];
    if (strcmp(function->name, name) != 0 || (schema && strcmp(function->schema, schema) != 0)) continue;
    bool leaves = !guard_trusted_language(function->language) && strcmp(function->kind, "aggregate") != 0; /* those say "internal" */
    if (leaves || (function->volatility == 'v' && function->security_definer)) return true;
  }
  return false;
}

static bool see_inside(void *arg, PgQuery__Node *node) {
  struct inside *inside = arg;
  const char *schema, *name;
  if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && resolve_is_catalog(node->range_var)) {
    inside->catalog = node->range_var->relname;
  } else if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
    if (name && (reaches_out(inside->check, name) || acts(inside->check, schema, name))) inside->call = name;
  }
  return true;
}

/* A view's query is its owner's, and runs with the owner's rights: what no statement may do itself it may not do by way of one. */
static void check_view(struct walk *walk, const struct snap_table *view, int position) {
  struct check *check = walk->check;
  struct inside inside = {.check = check};
  if (!view->definition || !walk_first(walk, view, false)) return;
  PgQuery__Node *query = sql_parse_statement(check->arena, view->definition);
  sql_walk(query, see_inside, &inside);
  if (!query)
    guard_refuse(check, "relation", "view-unread", position, "the tables below it", "the query of view %s cannot be read", view->qualified);
  else if (inside.catalog)
    guard_refuse(check, "relation", "catalog", position, "tables and views of the connection's data", "view %s shows the system catalog %s",
                 view->qualified, inside.catalog);
  else if (inside.call)
    guard_refuse(check, "relation", "view-calls", position, "the tables below it", "view %s calls %s(), which no question may",
                 view->qualified, inside.call);
  for (size_t i = 0; i < view->depends_on_count; i++)
    if (view->depends_on[i]->kind == SNAP_VIEW) check_view(walk, view->depends_on[i], position);
}

/* ---- relations ---- */

/* The foreign table that reading this one reads: itself, a partition, below a view. NULL: none. What a materialised view holds is here.
 * walk NULL: below a table there are only partitions, and none twice. */
static const struct snap_table *foreign(struct walk *walk, const struct snap_table *table) {
  if (table->kind == SNAP_FOREIGN) return table;
  if (table->kind == SNAP_MATVIEW || (walk && !walk_first(walk, table, false))) return NULL;
  struct snap_table *const *below = table->kind == SNAP_VIEW ? table->depends_on : table->partitions;
  size_t count = table->kind == SNAP_VIEW ? table->depends_on_count : table->partition_count;
  const struct snap_table *found = NULL;
  for (size_t i = 0; !found && i < count; i++) found = foreign(walk, below[i]);
  return found;
}

bool guard_reads_foreign(const struct snap_table *table) { return table->kind != SNAP_VIEW && foreign(NULL, table) != NULL; }

static void check_foreign(struct walk *walk, const struct query_relation *relation) {
  static const char allowed[] = "tables, partitioned tables, views and materialised views";
  const struct snap_table *table = relation->table;
  const struct snap_table *found = relation->var->inh || table->kind == SNAP_FOREIGN ? foreign(walk, table) : NULL;
  if (found == table)
    guard_refuse(walk->check, "relation", "relation-kind", relation->var->location, allowed,
                 "%s is a foreign table: reading it reaches another server, or runs a program", table->qualified);
  else if (found)
    guard_refuse(walk->check, "relation", "relation-kind", relation->var->location, allowed,
                 "%s reads %s, a foreign table: that reaches another server, or runs a program", table->qualified, found->qualified);
}

static void warn(struct check *check, struct guarded *guarded, const char *view, const char *table) {
  const char *warning = arena_printf(
      check->arena, "view %s reads with its owner's rights: it may show rows that row level security of %s hides", view, table);
  bool known = false;
  for (size_t i = 0; warning && i < guarded->warning_count; i++) known |= strcmp(guarded->warnings[i], warning) == 0;
  if (warning && !known) guarded->warnings[guarded->warning_count++] = warning;
}

static void check_rights(struct walk *walk, struct guarded *guarded, const struct query_relation *relation) {
  const struct snap_table *table = relation->table, *hidden = bypassed(walk, table, false);
  if (!hidden) return;
  guard_refuse(walk->check, "relation", "view-bypasses-rls", relation->var->location,
               "the table itself, or a view made WITH (security_invoker = true)",
               "view %s reads with its owner's rights: it shows rows that row level security of %s hides", table->qualified,
               hidden->qualified);
  warn(walk->check, guarded, table->qualified, hidden->qualified);
}

void guard_relations(struct check *check, struct guarded *guarded) {
  const struct query_resolution *resolution = guarded->resolution;
  guarded->warnings = arena_calloc(check->arena, resolution->relation_count + 1, sizeof *guarded->warnings);
  if (!guarded->warnings) check->oom = true;
  for (size_t i = 0; guarded->warnings && i < resolution->relation_count; i++) {
    const struct query_relation *relation = &resolution->relations[i];
    struct walk reads, queries, rights;
    if (!walk_begin(&reads, check) || !walk_begin(&queries, check) || !walk_begin(&rights, check)) return;
    bool view = relation->table->kind == SNAP_VIEW;
    check_foreign(&reads, relation);
    if (view && !check->rules->trusting) check_view(&queries, relation->table, relation->var->location);
    if (view || relation->table->kind == SNAP_MATVIEW) check_rights(&rights, guarded, relation);
  }
}
