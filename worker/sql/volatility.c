/* volatility.c - the volatile built-ins of PostgreSQL and its common extensions, and the snapshot's pg_proc for everything else. */
#include "worker/sql/volatility.h"

#include "worker/sql/tree.h"

static const char *const volatile_builtins[] = {
    "random",
    "random_normal",
    "setseed",
    "clock_timestamp",
    "timeofday",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuid_generate_v7",
    "gen_random_bytes",
    "gen_salt",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "set_config",
    "lo_create",
    "lo_creat",
    "lo_import",
    "lo_from_bytea",
    "pg_advisory_lock",
    "pg_advisory_xact_lock",
    "pg_try_advisory_lock",
    "pg_try_advisory_xact_lock",
    "pg_advisory_unlock",
    "pg_notify",
    "query_to_xml",
    "dblink",
    "dblink_exec",
    "gen_ulid",
};

char sql_function_volatility(const struct snapshot *snapshot, const char *schema, const char *name) {
  char known = 0; /* of all overloads the one that promises least; the array, not the look-up, knows what a migration made */
  for (size_t i = 0; i < snapshot->function_count; i++) {
    const struct snap_function *function = &snapshot->functions[i];
    if (strcmp(function->name, name) != 0 || (schema && strcmp(function->schema, schema) != 0)) continue;
    if (function->volatility > known) known = function->volatility; /* 'i' < 's' < 'v' */
  }
  if (known) return known;
  for (size_t i = 0; i < sizeof volatile_builtins / sizeof *volatile_builtins; i++)
    if (strcmp(volatile_builtins[i], name) == 0) return 'v';
  return schema && strcmp(schema, "pg_catalog") != 0 ? 'v' : 's'; /* an unknown function of a user's schema may do anything */
}

struct look {
  const struct snapshot *snapshot;
  const char *found;
};

static bool see_function(void *arg, PgQuery__Node *node) {
  struct look *look = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    const char *schema, *name;
    sql_name_split(node->func_call->n_funcname, node->func_call->funcname, &schema, &name);
    if (name && sql_function_volatility(look->snapshot, schema, name) == 'v') look->found = name;
  }
  return !look->found;
}

bool sql_volatile(const struct snapshot *snapshot, PgQuery__Node *expression, const char **ret_name) {
  struct look look = {.snapshot = snapshot};
  sql_walk(expression, see_function, &look);
  if (look.found && ret_name) *ret_name = look.found;
  return look.found != NULL;
}
