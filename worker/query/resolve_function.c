/* resolve_function.c - functions, operators and types: PostgreSQL's, those of installed extensions, the snapshot's. */
#include <ctype.h>

#include "worker/query/resolve_impl.h"
#include "worker/sql/tree.h"

static bool is_catalog(const char *schema) { return schema && strcmp(schema, "pg_catalog") == 0; }

/* ---- user functions ---- */

struct counts {
  int least, most; /* most -1: VARIADIC */
};

/* From pg_get_function_arguments(): "a integer, b text DEFAULT 'x'::text, VARIADIC c text[], OUT d text". */
static struct counts argument_counts(const char *arguments) {
  struct counts counts = {0, 0};
  for (const char *p = arguments; *p;) {
    const char *start = p;
    bool optional = false, quoted = false;
    for (int depth = 0; *p && (depth || quoted || *p != ','); p++) {
      if (*p == '\'') quoted = !quoted;
      if (!quoted) depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
      if (!quoted && strncmp(p, " DEFAULT ", 9) == 0) optional = true;
    }
    bool out = strncmp(start, "OUT ", 4) == 0, variadic = strncmp(start, "VARIADIC ", 9) == 0;
    if (*p == ',') p++;
    while (*p == ' ') p++;
    if (out) continue;
    if (!optional) counts.least++;
    if (counts.most >= 0) counts.most = variadic ? -1 : counts.most + 1;
  }
  return counts;
}

static bool takes(const struct snap_function *function, int arguments) {
  struct counts counts = argument_counts(function->arguments);
  return arguments >= counts.least && (counts.most < 0 || arguments <= counts.most);
}

static bool promises_less(const struct snap_function *a, const struct snap_function *b) {
  return !b || a->volatility > b->volatility || (a->volatility == b->volatility && a->security_definer && !b->security_definer);
}

const struct snap_function *resolve_user_function(const struct resolver *r, const char *schema, const char *name, int arguments,
                                                  bool anywhere) {
  const struct snap_function *found = NULL;
  for (size_t i = 0; i < r->snapshot->function_count; i++) {
    const struct snap_function *function = &r->snapshot->functions[i];
    if (strcmp(function->name, name) != 0 || (schema && strcmp(function->schema, schema) != 0)) continue;
    if (!schema && !anywhere && !query_on_path(r->out, function->schema)) continue;
    if ((arguments < 0 || takes(function, arguments)) && promises_less(function, found)) found = function;
  }
  return found;
}

/* ---- functions of the server and of extensions ---- */

static const struct builtin *server_function(const struct resolver *r, const char *schema, const char *name) {
  const struct builtin *builtin = !schema || is_catalog(schema) ? builtin_function("", name) : NULL;
  for (size_t i = 0; !builtin && i < r->snapshot->extension_count; i++) {
    const struct snap_extension *extension = &r->snapshot->extensions[i];
    if (!schema || strcmp(extension->schema, schema) == 0) builtin = builtin_function(extension->name, name);
  }
  return builtin;
}

struct builtin_found resolve_find_function(const struct resolver *r, const char *schema, const char *name) {
  return (struct builtin_found){server_function(r, schema, name),
                                is_catalog(schema) ? NULL : resolve_user_function(r, schema, name, -1, true)};
}

static void unknown_function(struct resolver *r, const char *dotted, const char *name, int position) {
  struct suggest suggest = {.wanted = name};
  const struct builtin *builtin;
  for (size_t i = 0; (builtin = builtin_at(i)); i++)
    if (!*builtin->extension && builtin_in_major(builtin, r->major)) suggest_offer(&suggest, builtin->name, builtin->name, 0);
  for (size_t i = 0; i < r->snapshot->function_count; i++) {
    const struct snap_function *function = &r->snapshot->functions[i];
    const char *shown =
        suggest_likeness(name, function->name) > 0.5 ? arena_printf(r->arena, "%s.%s", function->schema, function->name) : NULL;
    if (shown) suggest_offer(&suggest, function->name, shown, 0.1);
  }
  resolve_problem(r, QUERY_NAME_FUNCTION, position, dotted, &suggest, "there is no function %s", dotted);
}

static int count_arguments(const PgQuery__FuncCall *call) {
  return (int)call->n_args + (call->agg_within_group ? (int)call->n_agg_order : 0);
}

/* A type's name before one value converts it: date(x), shop.status(x). */
static bool converts(const struct resolver *r, const char *schema, const char *name, int arguments) {
  if (arguments != 1) return false;
  if ((!schema || is_catalog(schema)) && builtin_type("", name)) return true;
  for (size_t i = 0; i < r->snapshot->enum_count; i++)
    if (strcmp(r->snapshot->enums[i].name, name) == 0) return true;
  for (size_t i = 0; i < r->snapshot->domain_count; i++)
    if (strcmp(r->snapshot->domains[i].name, name) == 0) return true;
  return false;
}

static void check_server(struct resolver *r, const struct builtin *builtin, const char *dotted, int arguments, int position, bool syntax) {
  if (!syntax && !builtin_in_major(builtin, r->major))
    resolve_problem(r, QUERY_NAME_FUNCTION, position, dotted, NULL,
                    builtin_since(builtin) > r->major ? "%s() came with PostgreSQL %d; the server is %d"
                                                      : "%s(), known since PostgreSQL %d, is gone in the server's %d",
                    dotted, builtin_since(builtin), r->major);
  else if (!builtin_takes(builtin, arguments) && strcmp(builtin->name, "unnest") != 0 && /* FROM unnest(a, b) is syntax */
           !converts(r, NULL, builtin->name, arguments))
    resolve_problem(r, QUERY_NAME_FUNCTION, position, dotted, NULL, "there is no %s() of %d argument%s", dotted, arguments,
                    arguments == 1 ? "" : "s");
}

void resolve_call(struct resolver *r, const PgQuery__FuncCall *call) {
  const char *schema, *name, *dotted = resolve_dotted(r, call->n_funcname, call->funcname);
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  if (!name) return;
  int arguments = count_arguments(call);
  bool syntax = call->funcformat == PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX; /* EXTRACT(…), AT TIME ZONE: each server finds its own */
  struct query_function *made = RESOLVE_ADD(r, r->out->functions, r->out->function_count);
  if (!made) return;
  struct query_function function = {.schema = schema, .name = name, .arguments = arguments, .position = call->location, .call = call};
  function.builtin = server_function(r, schema, name);
  function.function = syntax || is_catalog(schema) ? NULL : resolve_user_function(r, schema, name, arguments, true);
  *made = function;
  if (function.function) return;
  if (function.builtin) {
    check_server(r, function.builtin, dotted, arguments, call->location, syntax);
    return;
  }
  const struct snap_function *other = resolve_user_function(r, schema, name, -1, true);
  if (other)
    resolve_problem(r, QUERY_NAME_FUNCTION, call->location, dotted, NULL, "%s.%s takes (%s), not %d argument%s", other->schema, other->name,
                    other->arguments, arguments, arguments == 1 ? "" : "s");
  else if (!converts(r, schema, name, arguments) && !r->unknown_extension)
    unknown_function(r, dotted, name, call->location);
}

bool resolve_attribute_call(struct resolver *r, const char *name, int position) {
  struct builtin_found found = resolve_find_function(r, NULL, name);
  bool callable = found.function || (found.builtin && builtin_takes(found.builtin, 1)) || converts(r, NULL, name, 1);
  if (!callable) return false;
  struct query_function *made = RESOLVE_ADD(r, r->out->functions, r->out->function_count);
  if (made) *made = (struct query_function){NULL, name, 1, position, found.builtin, found.function, NULL};
  return true;
}

/* ---- operators and types ---- */

static bool extension_has(const struct resolver *r, bool (*has)(const char *extension, const char *name), const char *name) {
  for (size_t i = 0; i < r->snapshot->extension_count; i++)
    if (has(r->snapshot->extensions[i].name, name)) return true;
  return r->unknown_extension;
}

void resolve_implied_operator(struct resolver *r, const char *name, int position) {
  struct query_operator *made = RESOLVE_ADD(r, r->out->operators, r->out->operator_count);
  if (made) *made = (struct query_operator){.name = name, .builtin = true, .position = position};
}

void resolve_operator(struct resolver *r, size_t count, PgQuery__Node *const *parts, int position, const PgQuery__Node *left,
                      const PgQuery__Node *right) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  if (!name) return;
  struct query_operator *made = RESOLVE_ADD(r, r->out->operators, r->out->operator_count);
  if (!made) return;
  *made = (struct query_operator){schema, name, (!schema || is_catalog(schema)) && builtin_operator("", name), position, left, right};
  if (made->builtin || schema || strcmp(name, "!=") == 0 || extension_has(r, builtin_operator, name)) return;
  const json_t *own = json_object_get(r->snapshot->json, "operators");
  for (size_t i = 0; i < json_array_size(own); i++) {
    const char *other = json_string_value(json_object_get(json_array_get(own, i), "name"));
    if (other && strcmp(other, name) == 0) return;
  }
  resolve_problem(r, QUERY_NAME_OPERATOR, position, name, NULL, "there is no operator %s", name);
}

static bool snapshot_type(const struct resolver *r, const char *schema, const char *name) {
  static const char *const lists[] = {"enums", "domains", "composites", "ranges", "tables", "views"};
  for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
    const json_t *list = json_object_get(r->snapshot->json, lists[k]);
    for (size_t i = 0; i < json_array_size(list); i++) {
      const json_t *type = json_array_get(list, i);
      const char *own = json_string_value(json_object_get(type, "name")), *place = json_string_value(json_object_get(type, "schema"));
      if (own && place && strcmp(own, name) == 0 && (!schema || strcmp(place, schema) == 0)) return true;
    }
  }
  return false;
}

void resolve_type(struct resolver *r, const PgQuery__TypeName *type) {
  static const char *const words[] = {"record", "trigger", "void", "unknown", "anyelement", "anyarray"};
  const char *schema, *name;
  if (!type) return;
  sql_name_split(type->n_names, type->names, &schema, &name);
  if (!name) return;
  const char *element = *name == '_' && !builtin_type("", name) ? name + 1 : name;
  bool builtin = (!schema || is_catalog(schema)) && builtin_type("", element);
  if (builtin || snapshot_type(r, schema, element) || extension_has(r, builtin_type, element)) return;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], name) == 0) return;
  struct suggest suggest = {.wanted = name};
  for (size_t i = 0; i < r->snapshot->enum_count; i++) suggest_offer(&suggest, r->snapshot->enums[i].name, r->snapshot->enums[i].name, 0.1);
  for (size_t i = 0; i < r->snapshot->domain_count; i++)
    suggest_offer(&suggest, r->snapshot->domains[i].name, r->snapshot->domains[i].name, 0.1);
  static const char *const common[] = {"integer",     "bigint",  "numeric",          "text",     "date", "timestamp",
                                       "timestamptz", "boolean", "double precision", "interval", "uuid", "jsonb"};
  for (size_t i = 0; i < sizeof common / sizeof *common; i++) suggest_offer(&suggest, common[i], common[i], 0);
  resolve_problem(r, QUERY_NAME_TYPE, type->location, name, &suggest, "there is no type %s", name);
}
