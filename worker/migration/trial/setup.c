/* trial/setup.c - open, clone, dump, seed; and save, so that the next migration on the same schema finds all of it done.
 *
 * What is saved holds the client's schema and made-up rows, and is made before the first statement of a migration runs: nothing of one
 * migration reaches another. It is one tenant's alone (prepared.h). The reports of cloning and seeding and the dump for comparing travel
 * with it, as its note. */
#include "worker/migration/trial/setup.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/migration/trial/rows.h"
#include "worker/migration/trial/shape.h"
#include "worker/migration/trial/step.h"
#include "worker/schema/prepared.h"
#include "worker/schema/store.h"

#define SETUP_FORMAT 5 /* raise it when cloning, seeding or the note change */

struct making {
  struct job *job;
  const struct snapshot *snapshot;
  int rows_per_table;
  const char *shape; /* of the rows; NULL: none */
  json_t *result;
  int64_t since_ms;
  struct sandbox_setup *setup;
};

void sandbox_setup_lap(json_t *result, int64_t *since_ms, const char *name) {
  int64_t now = clock_mono_ms();
  json_object_set_new(json_object_get(result, "timings"), name, json_integer(now - *since_ms));
  *since_ms = now;
}

static void lap(struct making *making, const char *name) { sandbox_setup_lap(making->result, &making->since_ms, name); }

static void append_all(json_t *to, const json_t *from) {
  size_t index;
  json_t *value;
  json_array_foreach((json_t *)(uintptr_t)from, index, value) json_array_append(to, value);
}

/* --- the dump to compare with --- */

/* The schema before a migration depends on the snapshot and the server only: where sandboxes aren't kept the last one is, for as long as
 * this slot's process lives. */
static struct {
  char snapshot[40];
  int version;
  char *dump;
} last_before;

static enum status dump_before(struct making *making, struct error *err) {
  const char *id = making->snapshot->id;
  int version = sandbox_version_num(making->setup->sandbox);
  if (id && last_before.dump && last_before.version == version && strcmp(last_before.snapshot, id) == 0) {
    making->setup->before = arena_strdup(making->job->arena, last_before.dump);
    return making->setup->before ? OK : error_oom(err);
  }
  enum status status = sandbox_dump(making->setup->sandbox, making->job->arena, &making->setup->before, err);
  if (status || !id || strlen(making->setup->before) > SANDBOX_KEPT_DUMP_BYTES) return status;
  free(last_before.dump);
  last_before.dump = strdup(making->setup->before);
  last_before.version = version;
  snprintf(last_before.snapshot, sizeof last_before.snapshot, "%s", id);
  return OK;
}

/* What a way back has to lead to. */
static enum status describe(struct making *making, struct error *err) {
  struct sandbox_setup *setup = making->setup;
  enum status status = setup->before ? OK : dump_before(making, err);
  if (!status && !setup->signature) status = sandbox_signature(setup->sandbox, making->job->arena, &setup->signature, err);
  if (!status) lap(making, "dump_ms");
  return status;
}

/* --- the note --- */

static const char *const noted[] = {"tables_created", "rows_inserted", "missing_extensions", "problems"};

static void save(struct making *making) {
  ERROR_AUTO err = {0};
  json_t *note = json_object();
  for (size_t i = 0; i < sizeof noted / sizeof *noted; i++) json_object_set(note, noted[i], json_object_get(making->result, noted[i]));
  json_set_str(note, "before", making->setup->before);
  json_set_str(note, "signature", making->setup->signature);
  char *text = json_dumps(note, JSON_COMPACT);
  if (text && sandbox_save(making->setup->sandbox, text, &err))
    log_event(LOG_INFO, "a sandbox is not kept for later", "reason", err.message, NULL);
  free(text);
  json_decref(note);
}

/* False when the note isn't one: then what it belongs to isn't trusted either. */
static bool adopt(struct making *making, const char *text) {
  json_t *note = arena_json(making->job->arena, json_loads(text, 0, NULL));
  for (size_t i = 0; i < sizeof noted / sizeof *noted; i++) {
    json_t *value = json_object_get(note, noted[i]);
    if (!value || json_typeof(value) != json_typeof(json_object_get(making->result, noted[i]))) return false;
    json_object_set(making->result, noted[i], value);
  }
  making->setup->before = json_str(note, "before", NULL);
  making->setup->signature = json_str(note, "signature", NULL);
  return true;
}

/* --- making one --- */

static enum status clone(struct making *making, const char *dump, struct error *err) {
  const struct snapshot *snapshot = making->snapshot;
  struct sandbox_clone_report report = {0};
  enum status status =
      sandbox_clone(making->setup->sandbox, dump, snapshot->timezone, snapshot->search_path, making->job->arena, &report, err);
  if (status) return status;
  lap(making, "clone_ms");
  json_object_set_new(making->result, "tables_created", json_integer(report.tables_created));
  append_all(json_object_get(making->result, "missing_extensions"), report.missing_extensions);
  append_all(json_object_get(making->result, "problems"), report.problems);
  return OK;
}

static enum status seed(struct making *making, struct error *err) {
  struct sandbox_seed_report report = {0};
  enum status status = sandbox_seed(making->setup->sandbox, making->rows_per_table, making->shape, making->job->arena, &report, err);
  if (status) return status;
  lap(making, "seed_ms");
  json_object_set_new(making->result, "rows_inserted", json_integer(report.rows_inserted));
  append_all(json_object_get(making->result, "problems"), report.problems);
  return OK;
}

static enum status make(struct making *making, const char *dump, bool way_back, struct error *err) {
  enum status status = clone(making, dump, err);
  if (!status) status = seed(making, err);
  if (!status && way_back) status = describe(making, err);
  if (status) return status;
  save(making);
  lap(making, "save_ms");
  return OK;
}

static enum status obtain(struct making *making, const char *dump, bool way_back, bool fresh, struct error *err) {
  const char *note = NULL, *shape = making->shape ? making->shape : "";
  struct job *job = making->job;
  const char *made_as = arena_printf(job->arena, "%d %d %s", SETUP_FORMAT, making->rows_per_table, shape);
  enum status status = prepared_open(job, making->snapshot, dump, made_as, fresh, &making->setup->sandbox, &note, err);
  if (status) return status;
  lap(making, "open_ms");
  json_set_str(making->result, "engine", sandbox_engine(making->setup->sandbox));
  making->setup->prepared = note != NULL;
  if (!note) return make(making, dump, way_back, err);
  if (!adopt(making, note)) return error_set(err, ERR_UNAVAILABLE, "the note of a prepared sandbox is damaged");
  if (way_back) return describe(making, err);
  making->setup->before = NULL;
  return OK;
}

static bool defines(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
  case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
  case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
  case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
  case PG_QUERY__NODE__NODE_LOCK_STMT:
  case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
  case PG_QUERY__NODE__NODE_COPY_STMT: return false;
  default: return !sandbox_rows_only(node);
  }
}

/* A way back to try, or the claim that there is nothing to go back from: that, too, shows in the schema. */
static bool claims_way_back(const struct analysis *analysis) {
  bool written = false, reversible = true, definitions = false;
  for (size_t i = 0; i < analysis->count; i++) {
    written |= analysis->statements[i].rollback.sql.count > 0;
    reversible &= !analysis->statements[i].rollback.irreversible;
    definitions |= defines(analysis->statements[i].source->node);
  }
  return written || (reversible && definitions);
}

enum status sandbox_setup_run(struct job *job, const struct analysis *analysis, int rows_per_table, bool fresh, json_t *result,
                              struct sandbox_setup *setup, struct error *err) {
  const char *dump = analysis->dump;
  int64_t started = clock_mono_ms();
  struct making making = {
      .job = job, .snapshot = analysis->snapshot, .rows_per_table = rows_per_table, .result = result, .since_ms = started, .setup = setup};
  enum status status = dump ? OK : store_dump(job, analysis->snapshot->id, &dump, err);
  if (status) return status;
  lap(&making, "load_ms");
  making.shape = sandbox_shape(analysis->snapshot, rows_per_table, job->arena);
  status = obtain(&making, dump, claims_way_back(analysis), fresh, err);
  json_object_set_new(result, "client_major", json_integer(analysis->snapshot->server_version_num / 10000));
  json_object_set_new(result, "setup_ms", json_integer(clock_mono_ms() - started));
  return status;
}
