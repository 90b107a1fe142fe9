/* allow_functions.c - which functions may be called.
 *
 * Immutable functions of the server: all but a few families. Stable ones: those listed. Volatile ones: those that give another value each
 * time and do nothing else. "Stable" alone promises too little: database_to_xml() is stable and reads every table, txid_current() is and
 * takes a transaction number. Extensions: the listed ones, by the same rules. Functions of users: only when named by
 * AUTODB_GUARD_FUNCTIONS, and then only such as promise not to write. To let one more through: a row here, with the reason in mind. */
#include <ctype.h>
#include <stdlib.h>

#include "common/json.h"
#include "worker/query/allow_impl.h"
#include "worker/query/resolve_impl.h"

/* Sorted lists. */
static const char *const stable_allowed[] = {
    "age",
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "current_database",
    "current_schema",
    "current_user",
    "date",
    "date_add",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "get_current_ts_config",
    "in_range",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_record_valid",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "now",
    "numeric",
    "overlaps",
    "pg_column_size",
    "pg_input_is_valid",
    "pg_typeof",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "session_user",
    "statement_timestamp",
    "textanycat",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "transaction_timestamp",
    "ts_headline",
    "ts_match_tq",
    "ts_match_tt",
    "version",
    "websearch_to_tsquery",
};
static const char *const volatile_allowed[] = {
    "array_sample", "array_shuffle", "clock_timestamp", "gen_random_uuid",
    "random",       "random_normal", "timeofday",       "timezone", /* of timetz alone */
    "uuidv4",       "uuidv7",
};
static const char *const immutable_denied[] = {
    "aclcontains",
    "acldefault",
    "aclinsert",
    "aclitemeq",
    "aclremove",
    "array_fill", /* any size from two numbers */
    "makeaclitem",
    "postgresql_fdw_validator",
    "satisfies_hash_partition", /* opens any table by oid */
    "void_send",
};
static const char *const pg_allowed[] = {"pg_lsn", "pg_size_bytes", "pg_size_pretty", "pg_wal_lsn_diff"};
static const char *const trusted_extensions[] = {
    "btree_gin", "btree_gist", "citext",  "cube",     "earthdistance", "fuzzystrmatch", "hstore", "intarray",
    "isn",       "ltree",      "pg_trgm", "pgcrypto", "seg",           "unaccent",      "vector",
};
/* Never, whoever names them: SQL in strings, files, other servers, what outlives a rollback, settings that the limits rest on. Prefixes. */
static const char *const never[] = {
    "binary_upgrade_", "connectby",       "crosstab",      "current_setting", "cursor_to_xml",
    "database_to_xml", "dblink",          "lo_",           "loread",          "lowrite",
    "nextval",         "pg_advisory",     "pg_backup",     "pg_cancel",       "pg_copy",
    "pg_create",       "pg_current_xact", "pg_drop",       "pg_export",       "pg_logical",
    "pg_ls_",          "pg_notify",       "pg_promote",    "pg_read",         "pg_reload",
    "pg_replication",  "pg_rotate",       "pg_sleep",      "pg_start_backup", "pg_stat_file",
    "pg_stat_reset",   "pg_stop",         "pg_switch",     "pg_terminate",    "pg_try_advisory",
    "pg_wal_replay",   "query_to_xml",    "schema_to_xml", "set_config",      "setval",
    "table_to_xml",    "ts_rewrite",      "ts_stat",       "txid_current",    "xpath_table",
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static int compare(const void *key, const void *row) { return strcmp(key, *(const char *const *)row); }
static bool listed(const char *const *list, size_t count, const char *name) {
  return bsearch(name, list, count, sizeof *list, compare) != NULL;
}

static bool begins(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

bool guard_never(const char *name) {
  for (size_t i = 0; i < COUNT(never); i++)
    if (begins(name, never[i])) return true;
  return false;
}

static bool ends(const char *name, const char *suffix) {
  size_t length = strlen(name), tail = strlen(suffix);
  return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static bool immutable_allowed(const char *name) {
  if (begins(name, "pg_")) return listed(pg_allowed, COUNT(pg_allowed), name);
  return !begins(name, "xml") && !begins(name, "xpath") && !begins(name, "txid_") && !ends(name, "send") &&
         !listed(immutable_denied, COUNT(immutable_denied), name);
}

bool guard_allows_builtin(const struct builtin *builtin, const char **ret_why) {
  const char *why = NULL, *name = builtin->name;
  bool extension = *builtin->extension;
  if (guard_never(name))
    why = "it runs SQL given as text, or reaches beyond the query";
  else if (builtin->kinds & BUILTIN_PROCEDURE)
    why = "it is a procedure";
  else if (extension && !listed(trusted_extensions, COUNT(trusted_extensions), builtin->extension))
    why = "its extension is not on the list";
  else if (builtin->volatility == 'v' && (extension || !listed(volatile_allowed, COUNT(volatile_allowed), name)))
    why = "it is volatile: it may do more than give a value";
  else if (builtin->volatility == 's' && !extension && !listed(stable_allowed, COUNT(stable_allowed), name))
    why = "it tells about the server, not about the data";
  else if (builtin->volatility == 'i' && !extension && !immutable_allowed(name))
    why = "it is of a family that no question needs";
  if (ret_why) *ret_why = why;
  return why == NULL;
}

/* ---- additions ---- */

/* "a, shop.b": whether the name stands there, with or without its schema. */
static bool added(const char *list, const char *schema, const char *name) {
  for (const char *p = list ? list : ""; *p;) {
    while (isspace((unsigned char)*p) || *p == ',') p++;
    size_t length = strcspn(p, ", \t\r\n");
    const char *dot = memchr(p, '.', length), *last = dot ? dot + 1 : p;
    size_t tail = length - (size_t)(last - p);
    bool same_name = tail && strlen(name) == tail && strncmp(last, name, tail) == 0;
    bool same_schema = !dot || (schema && strlen(schema) == (size_t)(dot - p) && strncmp(p, schema, (size_t)(dot - p)) == 0);
    if (same_name && same_schema) return true;
    p += length;
  }
  return false;
}

/* ---- calls ---- */

static const char *const not_named = "functions of PostgreSQL itself; others when AUTODB_GUARD_FUNCTIONS names them";

bool guard_trusted_language(const char *language) { return strcmp(language, "sql") == 0 || strcmp(language, "plpgsql") == 0; }

static void judge_user_function(struct check *check, const struct query_function *call) {
  const struct snap_function *function = call->function;
  const char *why = NULL;
  if (!check->rules->trusting && !added(check->rules->functions, function->schema, function->name))
    why = "is not PostgreSQL's own";
  else if (function->volatility == 'v')
    why = "is VOLATILE: it may write";
  else if (function->security_definer)
    why = "is SECURITY DEFINER: it runs with its owner's rights";
  else if (!guard_trusted_language(function->language))
    why = "is written in a language that can reach beyond the database";
  if (why)
    guard_refuse(check, "function", "function-not-allowed", call->position, not_named, "%s.%s() %s", function->schema, function->name, why);
}

static void judge(struct check *check, const struct query_function *call) {
  const char *why = NULL;
  if (!call->call) {
    guard_refuse(check, "function", "attribute-call", call->position, "the call in its own form, if the function is allowed",
                 "%s is no column: written after a dot it would be a call of the function", call->name);
  } else if (call->function) {
    judge_user_function(check, call);
  } else if (call->builtin) {
    if (guard_allows_builtin(call->builtin, &why)) return;
    bool named = added(check->rules->functions, call->schema ? call->schema : call->builtin->extension, call->name);
    if ((named || check->rules->trusting) && call->builtin->volatility != 'v' && !guard_never(call->name)) return;
    guard_refuse(check, "function", "function-not-allowed", call->position, not_named, "%s() is not on the list: %s", call->name, why);
  } else if (!(call->arguments == 1 && builtin_type("", call->name)) || guard_denied_type(call->name)) { /* type(x) is a conversion */
    guard_refuse(check, "function", "function-not-allowed", call->position, not_named, "%s() is not known", call->name);
  }
}

static const struct query_function *find_call(const struct query_resolution *resolution, const PgQuery__FuncCall *call) {
  for (size_t i = 0; i < resolution->function_count; i++)
    if (resolution->functions[i].call == call) return &resolution->functions[i];
  return NULL;
}

/* What the walk over all nodes met and the resolver did not would be judged by nobody: refused. */
static void check_all_seen(struct check *check, const struct query_resolution *resolution) {
  bool unseen = check->indirection_count != resolution->indirection_count;
  for (size_t i = 0; i < check->call_count; i++) unseen |= !find_call(resolution, check->calls[i]);
  for (size_t i = 0; i < check->ref_count; i++) {
    const PgQuery__ColumnRef *ref = check->refs[i];
    bool star = ref->n_fields == 1 && ref->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR;
    unseen |= !star && !query_binding(resolution, ref);
  }
  if (unseen) guard_refuse(check, "function", "unseen", -1, NULL, "a part of the statement stands where names are not looked for");
}

/* ---- operators ---- */

/* Why an operator somebody made is not to be called; NULL: it may be. It is one more way to call its function. */
const char *guard_refuses(const struct check *check, const json_t *own) {
  const json_t *function = json_object_get(own, "function");
  const char *place = json_str(function, "schema", ""), *name = json_str(function, "name", "");
  const struct builtin *builtin = strcmp(place, "pg_catalog") == 0 ? builtin_function("", name) : NULL;
  if (builtin && guard_allows_builtin(builtin, NULL)) return NULL;
  if (!check->rules->trusting && !added(check->rules->functions, place, name)) return "is not PostgreSQL's own";
  const char *volatility = json_str(function, "volatility", "");
  if (strcmp(volatility, "immutable") != 0 && strcmp(volatility, "stable") != 0) return "is VOLATILE: it may write";
  if (!json_is_false(json_object_get(function, "security_definer"))) return "is SECURITY DEFINER: it runs with its owner's rights";
  return guard_trusted_language(json_str(function, "language", "")) ? NULL : "is written in a language that can reach beyond the database";
}

/* Which of those of the name PostgreSQL takes hangs on the types of its sides: each that these leave must do. */
static bool judge_user_operators(struct check *check, const struct query_resolution *resolution, const struct query_operator *op,
                                 bool *ret_found) {
  const json_t *list = json_object_get(check->snapshot->json, "operators");
  const char *name = strcmp(op->name, "!=") == 0 ? "<>" : op->name;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *own = json_array_get(list, i), *function = json_object_get(own, "function");
    const char *place = json_str(own, "schema", "");
    if (strcmp(json_str(own, "name", ""), name) != 0 || (op->schema && strcmp(op->schema, place) != 0)) continue;
    if (!op->schema && !query_on_path(resolution, place)) continue;
    *ret_found = true;
    if (!op->schema && guard_never_chosen(check, resolution, op, own)) continue;
    const char *why = guard_refuses(check, own);
    if (!why) continue;
    guard_refuse(check, "function", "operator-not-allowed", op->position, not_named, "operator %s may be %s.%s, whose function %s.%s() %s",
                 op->name, place, name, json_str(function, "schema", "?"), json_str(function, "name", "?"), why);
    return false;
  }
  return true;
}

static bool trusted_operator(const struct snapshot *snapshot, const char *name) {
  for (size_t i = 0; i < snapshot->extension_count; i++) {
    const char *extension = snapshot->extensions[i].name;
    if (listed(trusted_extensions, COUNT(trusted_extensions), extension) && builtin_operator(extension, name)) return true;
  }
  return false;
}

static void judge_operator(struct check *check, const struct query_resolution *resolution, const struct query_operator *op) {
  bool found = false;
  if (!judge_user_operators(check, resolution, op, &found) || found) return;
  bool builtin = op->builtin || strcmp(op->name, "!=") == 0;
  if (builtin || check->rules->trusting || added(check->rules->functions, NULL, op->name)) return;
  if (!builtin && trusted_operator(check->snapshot, op->name)) return;
  guard_refuse(check, "function", "operator-not-allowed", op->position, "operators of PostgreSQL itself",
               "operator %s is, or may be, one that somebody made: it calls a function", op->name);
}

/* A snapshot that does not say which operators and casts people made may hide any. */
static void check_snapshot(struct check *check) {
  static const char *const lists[] = {"operators", "casts"};
  for (size_t i = 0; i < sizeof lists / sizeof *lists && !check->rules->trusting; i++)
    if (!json_is_array(json_object_get(check->snapshot->json, lists[i])))
      guard_refuse(check, "function", "snapshot-incomplete", -1, "the statement, once the schema has been read again (POST …/introspect)",
                   "the stored schema does not list the %s of this database", lists[i]);
}

void guard_functions(struct check *check, const struct query_resolution *resolution) {
  check_snapshot(check);
  check_all_seen(check, resolution);
  for (size_t i = 0; i < resolution->function_count; i++) judge(check, &resolution->functions[i]);
  for (size_t i = 0; i < resolution->operator_count; i++) judge_operator(check, resolution, &resolution->operators[i]);
  guard_casts(check, resolution);
  guard_domains(check, resolution);
}
