/* introspect.c - one transaction on the client's database: catalogs into JSON, and pg_dump of the very same snapshot beside it.
 *
 * The client's database is only read, with ACCESS SHARE at most and no wait for a lock beyond 2 s. pg_dump runs while the catalogs are read
 * and must end before the transaction does. Where it fails (no right to lock a table, a server newer than every pg_dump here) the schema is
 * written down from the catalogs instead, with a warning; a failure to read the structure fails the job. */
#include "worker/schema/introspect.h"

#include "common/clock.h"
#include "common/ddl.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/schema/catalog.h"
#include "worker/schema/dump.h"
#include "worker/schema/store.h"

#define TRIES 3 /* of a schema that changes while it is read */
#define OLDEST_MAJOR 13

/* ---- what is asked for ---- */

struct scope {
  json_t *excluded, *wanted;                 /* arrays of names; wanted NULL = all. In the arena */
  const char *excluded_array, *wanted_array; /* the same as text[] literals */
};

static char *array_of(struct arena *arena, const json_t *names) {
  const char **items = arena_calloc(arena, json_array_size(names) + 1, sizeof *items);
  size_t count = 0;
  for (size_t i = 0; items && i < json_array_size(names); i++) {
    const char *name = json_string_value(json_array_get(names, i));
    if (name) items[count++] = name;
  }
  return items ? pg_array_param(arena, items, count) : NULL;
}

static json_t *split_csv(const char *csv) {
  json_t *names = json_array();
  for (const char *p = csv; p && *p;) {
    size_t len = strcspn(p, ","), from = strspn(p, " ");
    const char *next = p + len + (p[len] == ',');
    while (len > from && p[len - 1] == ' ') len--;
    if (len > from) json_array_append_new(names, json_stringn(p + from, len - from));
    p = next;
  }
  return names;
}

static enum status scope_of(struct job *job, const char *excluded_json, const char *schemas_csv, struct scope *ret_scope,
                            struct error *err) {
  struct scope scope = {.excluded = arena_json(job->arena, json_loads(excluded_json, 0, NULL))};
  if (schemas_csv) scope.wanted = arena_json(job->arena, split_csv(schemas_csv));
  if (!json_is_array(scope.excluded)) return error_set(err, ERR_INTERNAL, "the connection's excluded schemas can't be read");
  if (schemas_csv && json_array_size(scope.wanted) == 0) return error_add_field(err, "schemas", "names no schema");
  if (json_array_size(scope.wanted) > LIMIT_INTROSPECT_SCHEMAS)
    return error_add_field(err, "schemas", "names %zu schemas: at most %d", json_array_size(scope.wanted), LIMIT_INTROSPECT_SCHEMAS);
  scope.excluded_array = array_of(job->arena, scope.excluded);
  scope.wanted_array = scope.wanted ? array_of(job->arena, scope.wanted) : NULL;
  if (!scope.excluded_array || (scope.wanted && !scope.wanted_array)) return error_oom(err);
  *ret_scope = scope;
  return OK;
}

/* ---- one try ---- */

static void show_step(void *arg, int done, int of, const char *step) { job_progress(arg, 5 + 80 * done / of, "catalogs", step); }

/* No pg_dump would: the catalogs tell what it would have said. Under a savepoint, since it is as welcome as it is dispensable. */
static enum status write_dump(struct job *job, struct catalog_reader *reader, struct introspection *taken, struct error *err) {
  ERROR_AUTO refusal = {0};
  const char *script = NULL;
  enum status status = pg_script(reader->conn, "SAVEPOINT ddl", err);
  if (status) return status;
  if (ddl_script(reader->conn, reader->namespaces, job->arena, &script, &refusal)) {
    if (PQstatus(reader->conn) != CONNECTION_OK) return error_set(err, refusal.status, "%s", refusal.message);
    taken->dump_error = arena_printf(job->arena, "%s; and the catalogs don't tell: %s", taken->dump_error, refusal.message);
    return pg_script(reader->conn, "ROLLBACK TO ddl", err);
  }
  taken->dump_note =
      arena_printf(job->arena, "the schema was written down from the catalogs, since pg_dump could not: %s", taken->dump_error);
  taken->dump = dump_pack(script, strlen(script), job->arena, &taken->dump_len);
  taken->dump_error = NULL;
  return taken->dump && taken->dump_note ? OK : error_oom(err);
}

static void finish_json(struct introspection *taken, struct catalog_reader *reader, const struct scope *scope) {
  char now[CLOCK_TEXT];
  json_t *root = taken->json;
  json_set_str(root, "fingerprint", reader->fingerprint);
  json_set_str(root, "server_version", taken->facts.server_version);
  json_object_set_new(root, "server_version_num", json_integer(taken->facts.server_version_num));
  json_set_str(root, "introspected_at", clock_format(clock_wall_ms(), now));
  json_object_set(root, "excluded_schemas", scope->excluded);
  json_object_set_new(root, "only_schemas", scope->wanted ? json_incref(scope->wanted) : json_null());
  if (taken->dump_note) json_append_str(json_object_get(root, "warnings"), taken->dump_note);
  if (!taken->dump_error) return;
  json_t *warning = json_sprintf("there is no schema dump, so no sandbox can be made from this snapshot: %s", taken->dump_error);
  json_array_append_new(json_object_get(root, "warnings"), warning);
}

static enum status take_once(struct job *job, PGconn *conn, const struct scope *scope, bool with_dump, struct introspection *taken,
                             struct error *err) {
  struct catalog_reader reader = {.conn = conn,
                                  .arena = job->arena,
                                  .excluded = scope->excluded_array,
                                  .wanted = scope->wanted_array,
                                  .major = taken->facts.server_version_num / 10000,
                                  .progress = show_step,
                                  .arg = job};
  struct dump dump = {0};
  enum status status = catalog_begin(&reader, err);
  if (status) goto out;
  if (with_dump)
    dump_start(&dump, &(struct dump_request){conn, reader.snapshot_name, scope->excluded, scope->wanted, reader.has_extensions});
  if ((status = catalog_read(&reader, err))) goto out;
  if (with_dump) {
    job_progress(job, 88, "dump", "waiting for pg_dump");
    taken->dump = dump_finish(&dump, job->arena, &taken->dump_len, &taken->dump_error);
    if (!taken->dump && (status = write_dump(job, &reader, taken, err))) goto out;
  }
  taken->json = arena_json(job->arena, json_incref(reader.root));
  if (!taken->json || (with_dump && !taken->dump && !taken->dump_error)) {
    status = error_oom(err);
    goto out;
  }
  finish_json(taken, &reader, scope);
out:
  dump_abort(&dump);
  catalog_end(&reader);
  return status;
}

enum status introspect_read(struct job *job, PGconn *conn, const char *excluded_json, const char *schemas_csv, bool dump,
                            struct introspection *ret_taken, struct error *err) {
  struct introspection taken = {0};
  struct scope scope = {0};
  enum status status = scope_of(job, excluded_json, schemas_csv, &scope, err);
  if (!status) status = clientdb_probe(conn, &taken.facts, err);
  if (status) return status;
  if (taken.facts.server_version_num < OLDEST_MAJOR * 10000)
    return error_set_code(err, ERR_VALIDATION, "SERVER_TOO_OLD", "the server is PostgreSQL %s: %d or newer is needed",
                          taken.facts.server_version, OLDEST_MAJOR);
  for (int try = 1; (status = take_once(job, conn, &scope, dump, &taken, err)); try++) {
    if (try == TRIES || strcmp(err->code, "SCHEMA_CHANGING") != 0 || PQstatus(conn) != CONNECTION_OK) return status;
    error_clear(err);
  }
  *ret_taken = taken;
  return OK;
}

enum status introspect_take(struct job *job, const char *schemas_csv, struct introspection *ret_taken, struct error *err) {
  const char *string = NULL;
  char *excluded_json = NULL;
  PGCONN_AUTO conn = NULL;
  job_progress(job, 1, "connect", NULL);
  enum status status = store_connection_string(job, &string, &excluded_json, err);
  if (!status) status = clientdb_connect(job->cfg, string, LIMIT_INTROSPECT_STATEMENT_MS, &conn, err);
  return status ? status : introspect_read(job, conn, excluded_json, schemas_csv, true, ret_taken, err);
}

/* ---- the job ---- */

static enum status wanted_of(const struct job *job, const char **ret_csv, struct error *err) {
  const json_t *schemas = json_object_get(job->payload, "schemas");
  *ret_csv = NULL;
  if (!schemas || json_is_null(schemas)) return OK;
  if (json_is_string(schemas)) {
    *ret_csv = json_string_value(schemas);
    return OK;
  }
  char *csv = arena_strdup(job->arena, "");
  for (size_t i = 0; csv && i < json_array_size(schemas); i++)
    csv = arena_printf(job->arena, "%s%s%s", csv, i ? "," : "", json_string_value(json_array_get(schemas, i)));
  if (!json_is_array(schemas) || json_array_size(schemas) > LIMIT_INTROSPECT_SCHEMAS)
    return error_add_field(err, "schemas", "must be names of at most %d schemas", LIMIT_INTROSPECT_SCHEMAS);
  *ret_csv = csv;
  return csv ? OK : error_oom(err);
}

/* Tables alone, as the contract wants; the model also holds views. */
static json_t *table_names(const struct snapshot *snapshot) {
  json_t *names = json_array();
  for (size_t i = 0; i < snapshot->table_count; i++) {
    const struct snap_table *table = &snapshot->tables[i];
    if (table->kind != SNAP_VIEW && table->kind != SNAP_MATVIEW) json_append_str(names, table->qualified);
  }
  return names;
}

enum status introspect_run(struct job *job, json_t **ret_result, struct error *err) {
  const char *csv = NULL;
  struct snapshot *snapshot = NULL;
  bool changed = false;
  enum status status = wanted_of(job, &csv, err);
  if (status || (status = store_refresh(job, csv, &snapshot, &changed, err))) return status;
  json_t *tables = table_names(snapshot);
  json_t *result = json_pack(
      "{s:s, s:s, s:I, s:o, s:O, s:O, s:s, s:b, s:O, s:O}", "connection_id", job->connection_id, "snapshot_id", snapshot->id, "table_count",
      (json_int_t)json_array_size(tables), "tables", tables, "schemas_introspected", json_object_get(snapshot->json, "schemas"),
      "introspected_at", json_object_get(snapshot->json, "introspected_at"), "server_version", snapshot->server_version, "changed", changed,
      "fingerprint", json_object_get(snapshot->json, "fingerprint"), "warnings", json_object_get(snapshot->json, "warnings"));
  if (!result) return error_oom(err);
  *ret_result = result;
  return OK;
}
