/* allow_domains.c - types whose values are made by calls that nobody wrote: a domain's CHECK runs on whatever becomes a value of it, by a
 * cast, as a column of a record, within a row type or an array. Values that are stored have been checked. */
#include "common/json.h"
#include "worker/query/allow_impl.h"
#include "worker/sql/text.h"

#define LEVELS 8 /* domains over domains, rows within rows */

static void judge(struct check *check, const char *type, int position, int depth);

/* Whether a type's text is that of a type of this name, in whatever schema. */
static bool is_named(const struct check *check, const char *type, const char *name) {
  if (!strchr(name, '"') && !strstr(type, name)) return false;
  const char *quoted = sql_ident(check->arena, name);
  return !quoted || guard_same_type(quoted, type);
}

/* Would the check pass as a question of its own? */
static void judge_check(struct check *check, const struct snap_domain *domain, const char *definition, int position) {
  ERROR_AUTO err = {0};
  struct guard_rules rules = *check->rules;
  rules.judged = check->judged;
  struct guarded *guarded;
  const char *condition = strncmp(definition, "CHECK ", 6) == 0 ? definition + 6 : definition, *rest = strstr(condition, " NOT VALID");
  size_t len = rest && !rest[strlen(" NOT VALID")] ? (size_t)(rest - condition) : strlen(condition);
  const char *sql =
      arena_printf(check->arena, "SELECT 1 FROM (SELECT NULL::%s) AS d (value) WHERE %.*s", domain->base_type, (int)len, condition);
  if (!sql)
    check->oom = true;
  else if (guard_check(check->snapshot, sql, strlen(sql), &rules, check->arena, &guarded, &err))
    guard_refuse(check, "function", "domain-not-allowed", position, "its base type", "a value of domain %s.%s is checked: %s",
                 domain->schema, domain->name, err.message);
}

/* Once: its checks may lead back to it, and many to the same. */
static void judge_domain(struct check *check, const struct snap_domain *domain, int position, int depth) {
  bool *judged = &check->judged[domain - check->snapshot->domains];
  if (*judged) return;
  *judged = true;
  for (size_t i = 0; i < domain->check_count; i++) judge_check(check, domain, domain->checks[i], position);
  judge(check, domain->base_type, position, depth + 1);
}

static void judge_composite(struct check *check, const char *type, int position, int depth) {
  const json_t *list = json_object_get(check->snapshot->json, "composites"), *composite, *attribute;
  size_t index, at;
  json_array_foreach((json_t *)(uintptr_t)list, index, composite) {
    if (!is_named(check, type, json_str(composite, "name", ""))) continue;
    json_array_foreach(json_object_get(composite, "attributes"), at, attribute)
        judge(check, json_str(attribute, "type", NULL), position, depth + 1);
  }
}

/* What becomes a value of the type, by its text. */
static void judge(struct check *check, const char *type, int position, int depth) {
  const struct snapshot *snapshot = check->snapshot;
  const char *element = guard_element(check, type);
  if (!element || depth == LEVELS) return;
  if (guard_denied_type(element)) guard_refuse(check, "node", "type-not-allowed", position, NULL, "type %s is not on the list", element);
  for (size_t i = 0; i < snapshot->domain_count; i++)
    if (is_named(check, element, snapshot->domains[i].name)) judge_domain(check, &snapshot->domains[i], position, depth);
  judge_composite(check, element, position, depth);
  for (size_t t = 0; t < snapshot->table_count; t++) /* its row type */
    for (size_t c = 0; is_named(check, element, snapshot->tables[t].name) && c < snapshot->tables[t].column_count; c++)
      judge(check, snapshot->tables[t].columns[c].type, position, depth + 1);
}

/* json_populate_record (row, …) makes values of that row's columns; so does row #= hstore. */
static bool populates(const struct query_resolution *resolution) {
  for (size_t i = 0; i < resolution->operator_count; i++)
    if (strcmp(resolution->operators[i].name, "#=") == 0) return true;
  for (size_t i = 0; i < resolution->function_count; i++)
    if (strstr(resolution->functions[i].name, "populate_record")) return true;
  return false;
}

void guard_domains(struct check *check, const struct query_resolution *resolution) {
  check->judged = check->rules->judged;
  if (!check->judged) check->judged = arena_calloc(check->arena, check->snapshot->domain_count + 1, sizeof *check->judged);
  if (!check->judged) {
    check->oom = true;
    return;
  }
  for (size_t i = 0; i < check->type_count; i++) judge(check, sql_type(check->arena, check->types[i]), check->types[i]->location, 0);
  for (size_t i = 0; populates(resolution) && i < resolution->relation_count; i++) {
    const struct query_relation *relation = &resolution->relations[i];
    for (size_t c = 0; c < relation->table->column_count; c++)
      if (relation->whole_row || relation->columns[c]) judge(check, relation->table->columns[c].type, relation->var->location, 0);
  }
}
