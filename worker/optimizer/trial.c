/* trial.c - see trial.h. */
#include "worker/optimizer/trial_impl.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"

static bool can_hypopg(const struct trial_setup *setup) { return setup->hypothetical && setup->facts->has_hypopg && !setup->any_index; }

static enum status open_with(const struct trial_driver *driver, struct trial *trial, struct error *err) {
  trial->driver = driver;
  enum status status = driver->open(trial, err);
  if (status) driver->close(trial);
  return status;
}

/* HypoPG that does not answer (its functions not granted, its library gone) is no reason to give up, nor is a machine without sandboxes
 * when there is HypoPG. */
enum status trial_open(const struct trial_setup *setup, struct trial **ret_trial, struct error *err) {
  struct trial *trial = ARENA_NEW(setup->job->arena, struct trial);
  if (!trial) return error_oom(err);
  *trial = (struct trial){.setup = *setup, .arena = setup->job->arena};
  trial->problems = arena_json(trial->arena, json_array());
  ERROR_AUTO first = {0};
  bool hypopg = can_hypopg(setup);
  enum status status = open_with(hypopg ? &trial_hypopg : &trial_whatif, trial, &first);
  if (status && (hypopg || (setup->hypothetical && setup->facts->has_hypopg)))
    status = open_with(hypopg ? &trial_whatif : &trial_hypopg, trial, &first);
  if (status) return error_set(err, status, "%s", first.message);
  *ret_trial = trial;
  return OK;
}

void trial_close(struct trial *trial) {
  if (trial) trial->driver->close(trial);
}

const char *trial_engine(const struct trial *trial) { return trial->driver->name; }
bool trial_is_whatif(const struct trial *trial) { return trial->driver == &trial_whatif; }
const json_t *trial_problems(const struct trial *trial) { return json_array_size(trial->problems) ? trial->problems : NULL; }

/* --- plans --- */

static enum status read_plan(struct trial *trial, const PGresult *res, struct query_plan **ret_plan, struct error *err) {
  json_t *json = PQntuples(res) == 1 ? json_loads(PQgetvalue(res, 0, 0), 0, NULL) : NULL;
  if (!arena_json(trial->arena, json)) return error_set(err, ERR_VALIDATION, "the server gave no plan");
  return plan_build(json, trial->setup.snapshot, trial->arena, ret_plan, err);
}

static enum status ask(struct trial *trial, const char *sql, struct error *err) {
  PGRESULT_AUTO res = NULL;
  return sql ? trial->driver->ask(trial, sql, &res, err) : error_oom(err);
}

/* By way of PREPARE, as explain.c does it and for its reasons. */
static enum status plan_generic(struct trial *trial, const struct trial_query *query, PGresult **ret_res, struct error *err) {
  BUF_AUTO execute;
  buf_init(&execute, 4096);
  buf_puts(&execute, "EXPLAIN (FORMAT JSON) EXECUTE autodb_trial(");
  for (int i = 0; i < query->parameters; i++) buf_puts(&execute, i ? ", NULL" : "NULL");
  buf_puts(&execute, ")");
  enum status status = ask(trial, "SET plan_cache_mode = force_generic_plan", err);
  if (!status) status = ask(trial, arena_printf(trial->arena, "PREPARE autodb_trial AS %s", query->sql), err);
  if (!status) status = buf_ok(&execute) ? trial->driver->ask(trial, buf_str(&execute), ret_res, err) : error_oom(err);
  ERROR_AUTO ignored = {0};
  enum status gone = ask(trial, "DEALLOCATE ALL", &ignored); /* also when it was never made */
  return status ? status : gone ? error_set(err, gone, "%s", ignored.message) : OK;
}

enum status trial_plan(struct trial *trial, const struct trial_query *query, struct query_plan **ret_plan, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status;
  if (query->parameters > 0) {
    status = plan_generic(trial, query, &res, err);
  } else {
    const char *sql = arena_printf(trial->arena, "EXPLAIN (FORMAT JSON) %s", query->sql);
    status = sql ? trial->driver->ask(trial, sql, &res, err) : error_oom(err);
  }
  return status ? status : read_plan(trial, res, ret_plan, err);
}

bool trial_uses(const struct query_plan *plan, const struct candidate *candidate) {
  for (size_t i = 0; i < plan->count; i++) {
    const char *name = plan->nodes[i]->index_name;
    size_t index;
    json_t *made;
    if (!name) continue;
    json_array_foreach(candidate->made, index, made) if (strcmp(name, json_str(made, "n", "")) == 0) return true;
  }
  return false;
}

/* --- indexes --- */

/* Those of the list that a step is for. */
static size_t pick(struct candidate *const *from, size_t count, bool tried, bool shown, struct candidate **out) {
  size_t picked = 0;
  for (size_t i = 0; i < count; i++)
    if (!from[i]->refused && from[i]->tried == tried && from[i]->shown == shown) out[picked++] = from[i];
  return picked;
}

static void mark(struct candidate *const *candidates, size_t count, bool shown) {
  for (size_t i = 0; i < count; i++) {
    candidates[i]->tried = true;
    candidates[i]->shown = shown && !candidates[i]->refused;
  }
}

enum status trial_show_only(struct trial *trial, struct candidate *const *shown, size_t shown_count, struct candidate *const *hidden,
                            size_t hidden_count, struct error *err) {
  struct candidate *some[CANDIDATES_MAX];
  enum status status = OK;
  size_t count = pick(hidden, hidden_count, true, true, some);
  if (count) status = trial->driver->show(trial, some, count, false, err);
  if (status) return status;
  mark(some, count, false);
  count = pick(shown, shown_count, true, false, some);
  if (count) status = trial->driver->show(trial, some, count, true, err);
  if (status) return status;
  mark(some, count, true);
  count = pick(shown, shown_count, false, false, some);
  if (count) status = trial->driver->add(trial, some, count, err);
  if (!status) mark(some, count, true);
  return status;
}

enum status trial_hide(struct trial *trial, const char *schema, const char *index, bool hidden, struct error *err) {
  return trial->driver->hide(trial, schema, index, hidden, err);
}

/* --- settings and statistics --- */

enum status trial_set(struct trial *trial, const char *name, const char *value, struct error *err) {
  const char *before = json_str(trial->setup.facts->settings, name, NULL);
  if (!value && !before) return OK;
  return trial->driver->set(trial, name, value ? value : before, err);
}

enum status trial_columns(struct trial *trial, const json_t *columns, struct error *err) {
  struct whatif_report report = {0};
  if (!trial_is_whatif(trial)) return error_set(err, ERR_UNAVAILABLE, "statistics are tried on the what-if server");
  return whatif_columns(trial->whatif, columns, &report, err);
}

enum status trial_rows(struct trial *trial, const struct snap_table *table, double rows, double pages, struct error *err) {
  struct whatif_report report = {0};
  if (!trial_is_whatif(trial)) return error_set(err, ERR_UNAVAILABLE, "sizes are tried on the what-if server");
  json_t *sizes = arena_json(trial->arena, json_pack("[{s:s, s:s, s:f, s:f, s:f}]", "s", table->schema, "n", table->name, "pages", pages,
                                                     "rows", rows, "visible", facts_table(trial->setup.facts, table).visible_pages));
  return sizes ? whatif_sizes(trial->whatif, sizes, &report, err) : error_oom(err);
}
