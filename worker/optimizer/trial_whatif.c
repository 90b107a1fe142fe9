/* trial_whatif.c - a sandbox with the snapshot's schema, found prepared or made, given production's statistics. */
#include <math.h>

#include "common/json.h"
#include "common/pg.h"
#include "worker/optimizer/trial_impl.h"

#define NAMED_MAX 5 /* problems that are spelled out */

/* --- opening --- */

static void note_problems(struct trial *trial, const json_t *problems) {
  size_t index;
  json_t *problem;
  json_array_foreach((json_t *)(uintptr_t)problems, index, problem) {
    const char *text = index < NAMED_MAX
                           ? arena_printf(trial->arena, "the what-if server lacks what a statement of the schema makes: %.200s",
                                          json_str(problem, "message", "?"))
                           : NULL;
    if (text) json_append_str(trial->problems, text);
  }
}

static enum status fill(struct trial *trial, struct error *err) {
  const struct facts *facts = trial->setup.facts;
  struct whatif_report report = {0};
  enum status status = whatif_new(trial->clone.sandbox, facts->settings, trial->arena, &trial->whatif, err);
  return status ? status : whatif_import(trial->whatif, facts->relations, facts->columns, &report, err);
}

static void close_whatif(struct trial *trial) {
  whatif_freep(&trial->whatif);
  clone_close(&trial->clone);
}

static enum status open_fresh(struct trial *trial, bool fresh, struct error *err) {
  enum status status = clone_open(trial->setup.job, trial->setup.snapshot, fresh, &trial->clone, err);
  return status ? status : fill(trial, err);
}

/* The one at hand, when it has this very schema; what does not work is made anew, once. */
static enum status open_whatif(struct trial *trial, struct error *err) {
  struct clone *held = trial->setup.clone;
  enum status status;
  if (held && held->sandbox && strcmp(held->snapshot_id, trial->setup.snapshot->id) == 0) {
    trial->clone = *held;
    *held = (struct clone){0};
    status = fill(trial, err);
  } else
    status = open_fresh(trial, false, err);
  if (status && trial->clone.sandbox && sandbox_is_copy(trial->clone.sandbox)) {
    error_clear(err);
    close_whatif(trial);
    status = open_fresh(trial, true, err);
  }
  if (!status) note_problems(trial, trial->clone.problems);
  return status;
}

static enum status ask(struct trial *trial, const char *sql, PGresult **ret_res, struct error *err) {
  return pg_query(whatif_session(trial->whatif), sql, 0, NULL, ret_res, err);
}

/* --- indexes --- */

/* Statistics of an expression come with ANALYZE; till then the planner takes it for anything. What it is made of tells more: as many values
 * as its column has, and as many NULLs. */
static enum status guess_expressions(struct trial *trial, const struct candidate *candidate, const char *index, struct error *err) {
  static const char sql[] = "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN "
                            "pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE "
                            "n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND i.indkey[a.attnum - 1] = 0 ORDER BY a.attnum";
  const struct index_spec *spec = &candidate->spec;
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(whatif_session(trial->whatif), sql, 2, (const char *const[]){spec->table->schema, index}, &res, err);
  json_t *columns = arena_json(trial->arena, json_array());
  int row = 0;
  for (size_t i = 0; !status && i < spec->keys.count; i++) {
    if (spec->keys.items[i].column || row >= PQntuples(res)) continue;
    const char *expression = spec->keys.items[i].expression, *name = pg_str(res, row++, 0);
    for (size_t k = 0; k < spec->table->column_count; k++) {
      struct index_spec probe = {.table = spec->table, .method = "btree", .predicate = expression};
      if (!index_spec_mentions(trial->arena, &probe, spec->table->columns[k].name)) continue;
      struct column_facts base = facts_column(trial->setup.facts, spec->table, spec->table->columns[k].name);
      if (!base.json) break;
      json_array_append_new(columns, json_pack("{s:s, s:s, s:s, s:b, s:f, s:i, s:O}", "s", spec->table->schema, "t", index, "c", name,
                                               "inh", 0, "null", base.null_fraction, "width", (int)fmax(1, base.width), "distinct",
                                               json_object_get(base.json, "distinct")));
      break;
    }
  }
  struct whatif_report report = {0};
  if (!status && json_array_size(columns)) status = whatif_columns(trial->whatif, columns, &report, err);
  return status;
}

/* "schema.index" of one of these tables. */
static json_t *split_name(const struct snap_table *table, const char *qualified) {
  size_t len = strlen(table->schema);
  if (strncmp(qualified, table->schema, len) != 0 || qualified[len] != '.') {
    const char *dot = strchr(qualified, '.');
    len = dot ? (size_t)(dot - qualified) : 0;
  }
  return json_pack("{s:s%, s:s}", "s", qualified, len, "n", qualified + len + 1);
}

/* Of each partition's an equal share of the whole. */
static void put_sizes(const struct candidate *candidate, json_t *sizes) {
  double parts = (double)json_array_size(candidate->made);
  size_t index;
  json_t *name;
  json_array_foreach(candidate->made, index, name) {
    json_t *size = json_copy(name);
    json_object_set_new(size, "pages", json_real(ceil(fmax(1, candidate->size.pages / parts))));
    json_object_set_new(size, "rows", json_real(candidate->size.rows / parts));
    json_array_append_new(sizes, size);
  }
}

static enum status give_sizes(struct trial *trial, struct candidate *const *candidates, size_t count, struct error *err) {
  struct whatif_report report = {0};
  json_t *sizes = arena_json(trial->arena, json_array());
  if (!sizes) return error_oom(err);
  for (size_t i = 0; i < count; i++)
    if (!candidates[i]->refused) put_sizes(candidates[i], sizes);
  enum status status = json_array_size(sizes) ? whatif_sizes(trial->whatif, sizes, &report, err) : OK;
  for (size_t i = 0; !status && i < count; i++)
    if (!candidates[i]->refused && json_array_size(candidates[i]->made) == 1)
      status = guess_expressions(trial, candidates[i], json_str(json_array_get(candidates[i]->made, 0), "n", ""), err);
  return status;
}

/* On a parent, each partition gets one, under a name of the server's. */
static enum status add_to_parent(struct trial *trial, struct candidate *candidate, struct error *err) {
  ERROR_AUTO refusal = {0};
  json_t *made = NULL, *qualified;
  size_t index;
  const char *sql = index_spec_create(trial->arena, &candidate->spec, candidate->name, false);
  if (!sql) return error_oom(err);
  enum status status = whatif_create_index(trial->whatif, candidate->spec.table->schema, candidate->spec.table->name, sql, &made, &refusal);
  candidate->refused = status == ERR_VALIDATION || status == ERR_NOT_FOUND;
  if (status && !candidate->refused) return error_set(err, status, "%s", refusal.message);
  json_array_foreach(made, index, qualified)
      json_array_append_new(candidate->made, split_name(candidate->spec.table, json_string_value(qualified)));
  return OK;
}

/* All candidates of the table of the first one, which is no parent. */
static enum status add_to_table(struct trial *trial, struct candidate *const *candidates, size_t count, struct error *err) {
  const struct snap_table *table = candidates[0]->spec.table;
  const char **sqls = arena_calloc(trial->arena, count, sizeof *sqls);
  bool *refused = arena_calloc(trial->arena, count, sizeof *refused);
  if (!sqls || !refused) return error_oom(err);
  for (size_t i = 0; i < count; i++)
    if (!(sqls[i] = index_spec_create(trial->arena, &candidates[i]->spec, candidates[i]->name, false))) return error_oom(err);
  ERROR_AUTO missing = {0};
  enum status status = whatif_create_indexes(trial->whatif, table->schema, table->name, sqls, count, refused, &missing);
  bool gone = status == ERR_NOT_FOUND; /* the clone lacks the table */
  if (status && !gone) return error_set(err, status, "%s", missing.message);
  for (size_t i = 0; i < count; i++) {
    candidates[i]->refused = gone || refused[i];
    if (!candidates[i]->refused)
      json_array_append_new(candidates[i]->made, json_pack("{s:s, s:s}", "s", table->schema, "n", candidates[i]->name));
  }
  return OK;
}

static enum status add(struct trial *trial, struct candidate *const *candidates, size_t count, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < count; i++)
    if (!(candidates[i]->made = arena_json(trial->arena, json_array()))) return error_oom(err);
  for (size_t at = 0, same = 0; !status && at < count; at += same) {
    for (same = 1; at + same < count && candidates[at + same]->spec.table == candidates[at]->spec.table;) same++;
    bool parent = candidates[at]->spec.table->kind == SNAP_PARTITIONED;
    for (size_t i = 0; parent && !status && i < same; i++) status = add_to_parent(trial, candidates[at + i], err);
    if (!parent) status = add_to_table(trial, candidates + at, same, err);
  }
  return status ? status : give_sizes(trial, candidates, count, err);
}

static enum status show(struct trial *trial, struct candidate *const *candidates, size_t count, bool shown, struct error *err) {
  json_t *list = arena_json(trial->arena, json_array());
  if (!list) return error_oom(err);
  for (size_t i = 0; i < count; i++) {
    size_t index;
    json_t *name;
    json_array_foreach(candidates[i]->made, index, name) {
      json_t *one = json_copy(name);
      json_object_set_new(one, "hidden", json_boolean(!shown));
      json_array_append_new(list, one);
    }
  }
  return whatif_hide_indexes(trial->whatif, list, err);
}

static enum status hide(struct trial *trial, const char *schema, const char *index, bool hidden, struct error *err) {
  return whatif_hide_index(trial->whatif, schema, index, hidden, err);
}

static enum status set(struct trial *trial, const char *name, const char *value, struct error *err) {
  return pg_exec(whatif_session(trial->whatif), "SELECT pg_catalog.set_config($1, $2, false)", 2, (const char *const[]){name, value}, err);
}

const struct trial_driver trial_whatif = {
    .name = "whatif", .open = open_whatif, .close = close_whatif, .ask = ask, .add = add, .show = show, .set = set, .hide = hide};
