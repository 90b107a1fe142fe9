/* allow_relations.c - what is read, and what that reads: views and partitions lead to relations that the statement does not name. */
#include "worker/query/allow_impl.h"
#include "worker/query/resolve_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define LEVELS 16 /* views over views, partitions of partitions */

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

/* A table with row level security below a view that reads with its owner's rights; NULL: none. */
static const struct snap_table *bypassed(const struct snap_table *view, int depth) {
  for (size_t i = 0; depth < LEVELS && i < view->depends_on_count; i++) {
    const struct snap_table *read = view->depends_on[i];
    if (read->rls) return read;
    const struct snap_table *below = read->kind == SNAP_VIEW || read->kind == SNAP_MATVIEW ? bypassed(read, depth + 1) : NULL;
    if (below) return below;
  }
  return NULL;
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

static bool see_inside(void *arg, PgQuery__Node *node) {
  struct inside *inside = arg;
  const char *schema, *name;
  if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && resolve_is_catalog(node->range_var)) {
    inside->catalog = node->range_var->relname;
  } else if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
    if (name && reaches_out(inside->check, name)) inside->call = name;
  }
  return true;
}

/* A view's query is its owner's, and runs with the owner's rights: what no statement may do itself it may not do by way of one. */
static void check_view(struct check *check, const struct snap_table *view, int position, int depth) {
  struct inside inside = {.check = check};
  if (depth == LEVELS || !view->definition) return;
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
    if (view->depends_on[i]->kind == SNAP_VIEW) check_view(check, view->depends_on[i], position, depth + 1);
}

/* ---- relations ---- */

/* The foreign table that reading this one reads: itself, a partition, below a view. NULL: none. What a materialised view holds is here. */
static const struct snap_table *foreign(const struct snap_table *table, int depth) {
  if (table->kind == SNAP_FOREIGN) return table;
  if (table->kind == SNAP_MATVIEW || depth == LEVELS) return NULL;
  struct snap_table *const *below = table->kind == SNAP_VIEW ? table->depends_on : table->partitions;
  size_t count = table->kind == SNAP_VIEW ? table->depends_on_count : table->partition_count;
  const struct snap_table *found = NULL;
  for (size_t i = 0; !found && i < count; i++) found = foreign(below[i], depth + 1);
  return found;
}

bool guard_reads_foreign(const struct snap_table *table) { return foreign(table, 0) != NULL; }

static void check_foreign(struct check *check, const struct query_relation *relation) {
  const struct snap_table *table = relation->table, *found = relation->var->inh || table->kind == SNAP_FOREIGN ? foreign(table, 0) : NULL;
  static const char allowed[] = "tables, partitioned tables, views and materialised views";
  if (found == table)
    guard_refuse(check, "relation", "relation-kind", relation->var->location, allowed,
                 "%s is a foreign table: reading it reaches another server, or runs a program", table->qualified);
  else if (found)
    guard_refuse(check, "relation", "relation-kind", relation->var->location, allowed,
                 "%s reads %s, a foreign table: that reaches another server, or runs a program", table->qualified, found->qualified);
}

static void warn(struct check *check, struct guarded *guarded, const char *view, const char *table) {
  const char *warning = arena_printf(
      check->arena, "view %s reads with its owner's rights: it may show rows that row level security of %s hides", view, table);
  bool known = false;
  for (size_t i = 0; warning && i < guarded->warning_count; i++) known |= strcmp(guarded->warnings[i], warning) == 0;
  if (warning && !known) guarded->warnings[guarded->warning_count++] = warning;
}

void guard_relations(struct check *check, struct guarded *guarded) {
  const struct query_resolution *resolution = guarded->resolution;
  guarded->warnings = arena_calloc(check->arena, resolution->relation_count + 1, sizeof *guarded->warnings);
  if (!guarded->warnings) check->oom = true;
  for (size_t i = 0; guarded->warnings && i < resolution->relation_count; i++) {
    const struct snap_table *table = resolution->relations[i].table, *hidden = NULL;
    int position = resolution->relations[i].var->location;
    check_foreign(check, &resolution->relations[i]);
    if (table->kind == SNAP_VIEW && !check->rules->trusting) check_view(check, table, position, 0);
    if (table->kind == SNAP_MATVIEW || (table->kind == SNAP_VIEW && !invoker(check->snapshot, table))) hidden = bypassed(table, 0);
    if (!hidden) continue;
    guard_refuse(check, "relation", "view-bypasses-rls", position, "the table itself, or a view made WITH (security_invoker = true)",
                 "view %s reads with its owner's rights: it shows rows that row level security of %s hides", table->qualified,
                 hidden->qualified);
    warn(check, guarded, table->qualified, hidden->qualified);
  }
}
