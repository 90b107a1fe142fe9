/* allow.c - see allow.h: the layers in their order, and what is said about a refusal. */
#include "common/limits.h"
#include "worker/query/allow_impl.h"
#include "worker/sql/guard.h"
#include "worker/sql/tree.h"

void guard_refuse(struct check *check, const char *layer, const char *rule, int position, const char *allowed, const char *fmt, ...) {
  if (check->rules->trusting && (strcmp(layer, "cost") == 0 || strcmp(layer, "relation") == 0)) return;
  va_list args;
  va_start(args, fmt);
  const char *message = arena_vprintf(check->arena, fmt, args);
  va_end(args);
  if (!message) check->oom = true;
  for (size_t i = 0; message && i < check->violation_count; i++) /* said once */
    if (strcmp(check->violations[i].message, message) == 0) return;
  if (!message || check->violation_count == GUARD_VIOLATIONS) return;
  check->violations[check->violation_count++] = (struct guard_violation){layer, rule, message, allowed, position};
}

/* ---- what is said ---- */

struct place {
  int line, column;
};

static struct place place_of(const char *sql, size_t len, int position) {
  struct place place = {1, 1};
  for (size_t i = 0; i < len && (int)i < position; i++) {
    if (sql[i] == '\n')
      place = (struct place){place.line + 1, 1};
    else if (((unsigned char)sql[i] & 0xC0) != 0x80)
      place.column++;
  }
  return place;
}

static enum status fail(const struct check *check, const char *sql, size_t len, struct error *err) {
  json_t *list = json_array();
  for (size_t i = 0; i < check->violation_count; i++) {
    const struct guard_violation *violation = &check->violations[i];
    struct place place = place_of(sql, len, violation->position);
    bool placed = violation->position >= 0;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:o}", "layer", violation->layer, "rule", violation->rule,
                                          "message", violation->message, "allowed", violation->allowed, "line",
                                          placed ? json_integer(place.line) : json_null(), "column",
                                          placed ? json_integer(place.column) : json_null(), "position",
                                          placed ? json_integer(violation->position) : json_null()));
  }
  const struct guard_violation *first = &check->violations[0];
  error_set_code(err, ERR_VALIDATION, "GUARDRAIL_VIOLATION", "%s%s%s%s", first->message, first->allowed ? "; allowed: " : "",
                 first->allowed ? first->allowed : "", check->violation_count > 1 ? " (and more)" : "");
  err->details = json_pack("{s:o}", "violations", list);
  return ERR_VALIDATION;
}

static enum status fail_syntax(const struct sql_fault *fault, struct error *err) {
  error_set_code(err, ERR_VALIDATION, "SYNTAX_INVALID", "%s", fault->message);
  err->details = json_pack("{s:s, s:i, s:i, s:I}", "sqlstate", fault->sqlstate, "line", fault->at.line, "column", fault->at.column,
                           "position", (json_int_t)fault->at.offset);
  return ERR_VALIDATION;
}

static enum status fail_names(const struct query_resolution *resolution, struct error *err) {
  const struct query_problem *first = &resolution->problems[0];
  error_set_code(err, ERR_VALIDATION, "SCHEMA_VALIDATION_FAILED", "%s%s", first->message,
                 resolution->problem_count > 1 ? " (and more)" : "");
  err->details = json_pack("{s:o}", "unresolved", query_problems_json(resolution));
  return ERR_VALIDATION;
}

/* ---- size ---- */

static void check_size(struct check *check, const char *sql, size_t len) {
  if (!check->rules->trusting && len > LIMIT_GUARD_SQL_BYTES) {
    guard_refuse(check, "size", "text-too-large", -1, "at most 16384 bytes", "the statement has %zu bytes", len);
    return;
  }
  struct sql_refusal refusal = sql_guard_text(sql, len);
  struct sql_tokens tokens = {0};
  if (!refusal.sqlstate && sql_tokenize(sql, check->arena, &tokens)) refusal = sql_guard_depth(&tokens);
  if (refusal.sqlstate) guard_refuse(check, "size", "nesting", (int)refusal.offset, NULL, "%s", refusal.message);
  size_t operators = 0;
  for (size_t i = 0; i < tokens.count; i++) operators += sql_token_operates(tokens.items[i].kind);
  if (!check->rules->trusting && operators > LIMIT_GUARD_OPERATORS)
    guard_refuse(check, "size", "too-many-operators", -1, "at most 1000 operators", "the statement has %zu operators", operators);
}

/* ---- statement ---- */

static void check_statement(struct check *check, const struct sql_script *script) {
  if (script->count != 1) {
    guard_refuse(check, "statement", "one-statement", -1, "exactly one SELECT", "there are %zu statements", script->count);
    return;
  }
  const PgQuery__Node *node = script->statements[0].node;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return;
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(&pg_query__node__descriptor, (unsigned)node->node_case);
  guard_refuse(check, "statement", "not-a-select", 0, "SELECT, WITH … SELECT, VALUES or TABLE", "%s is not a SELECT",
               field ? field->name : "the statement");
}

/* ---- all of it ---- */

static enum status resolve_names(struct check *check, struct guarded *guarded, struct error *err) {
  struct query_resolution *resolution;
  enum status status = query_resolve(check->snapshot, guarded->select, check->arena, &resolution, err);
  if (status) return status;
  guarded->resolution = resolution;
  return resolution->problem_count ? fail_names(resolution, err) : OK;
}

enum status guard_check(const struct snapshot *snapshot, const char *sql, size_t len, const struct guard_rules *rules, struct arena *arena,
                        struct guarded **ret_guarded, struct error *err) {
  static const struct guard_rules defaults;
  struct check *check = ARENA_NEW(arena, struct check);
  struct guarded *guarded = ARENA_NEW(arena, struct guarded);
  if (!check || !guarded) return error_oom(err);
  *check = (struct check){.snapshot = snapshot, .rules = rules ? rules : &defaults, .arena = arena};
  *guarded = (struct guarded){0};
  check_size(check, sql, len);
  if (check->violation_count) return fail(check, sql, len, err);

  struct sql_script script;
  enum status status = sql_split(sql, len, arena, &script, err);
  if (status) return status;
  if (script.fault.sqlstate) return fail_syntax(&script.fault, err);
  check_statement(check, &script);
  if (check->violation_count) return fail(check, sql, len, err);
  guarded->sql = script.statements[0].text;
  guarded->select = script.statements[0].node->select_stmt;

  guard_nodes(check, guarded->select);
  if (check->oom) return error_oom(err);
  if (check->violation_count) return fail(check, sql, len, err);
  if ((status = resolve_names(check, guarded, err))) return status;
  guard_relations(check, guarded);
  guard_functions(check, guarded->resolution);
  guard_values(check);
  if (check->oom) return error_oom(err);
  if (check->violation_count) return fail(check, sql, len, err);
  *ret_guarded = guarded;
  return OK;
}
