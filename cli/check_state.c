/* check_state.c - the schema between two files: a real one where a server can be had, else what the analysis makes of it.
 *
 * With a sandbox every file is run in it, and the catalogs are read again when somebody asks: right whatever a DO block did. A live
 * database's statistics are carried over, table by table, because what is replayed has none. Without one the analysis of each file hands on
 * the schema it came to (check_state_replace).
 *
 * The files judged are run in sandboxes of their own, cloned from here: nothing one of them does reaches the next one but through the
 * replay. */
#include <libpq-fe.h>

#include "cli/check.h"
#include "common/clientdb.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"
#include "worker/schema/introspect.h"
#include "worker/schema/store.h"

#define STATE_ARENA_BYTES (2048ULL << 20)
#define MAJOR_DEFAULT 17 /* where none is installed */

struct check_state {
  const struct config *cfg;
  struct arena *arena;      /* of the view; reset when it is read anew */
  struct sandbox *sandbox;  /* NULL: none */
  struct error unavailable; /* why */
  json_t *json;             /* owned */
  json_t *base;             /* of the live database, owned; NULL */
  char *base_dump;
  const char *dump;
  bool stale;
};

/* --- where it begins --- */

static json_t *empty_schema(int major) {
  return json_pack("{s:o, s:i, s:s, s:s, s:[s], s:[], s:[], s:[], s:[], s:[], s:[], s:[]}", "server_version", json_sprintf("%d", major),
                   "server_version_num", major * 10000, "timezone", "UTC", "search_path", "\"$user\", public", "search_path_schemas",
                   "public", "tables", "views", "sequences", "enums", "domains", "functions", "extensions");
}

/* The connection is made by the rules of any client database; that it may be on this machine is for whoever typed it to say. */
static enum status read_database(struct check_state *state, const char *url, struct error *err) {
  struct config cfg = *state->cfg;
  struct job job = {.arena = state->arena, .cfg = &cfg};
  struct introspection taken = {0};
  PGCONN_AUTO conn = NULL;
  const char *dump = NULL;
  cfg.connection_allow = "0.0.0.0/0,::/0";
  cfg.connection_deny = "";
  cfg.connection_allow_unix = true;
  enum status status = clientdb_connect(&cfg, url, LIMIT_INTROSPECT_STATEMENT_MS, &conn, err);
  if (!status) status = introspect_read(&job, conn, "[]", NULL, true, &taken, err);
  if (!status && !taken.dump) status = error_set(err, ERR_UNAVAILABLE, "the database's schema can't be dumped: %s", taken.dump_error);
  if (!status) status = store_inflate(taken.dump, taken.dump_len, state->arena, &dump, err);
  if (status) return status;
  state->base_dump = strdup(dump);
  if (!state->base_dump) return error_oom(err);
  state->base = json_incref(taken.json);
  state->json = json_incref(taken.json);
  return OK;
}

static int major_of(const struct check_state *state, const struct check_options *options) {
  int majors[32], count = sandbox_majors(majors, 32);
  if (options->pg_version) return options->pg_version;
  if (state->base) return (int)json_int(state->base, "server_version_num", 0) / 10000;
  return count ? majors[count - 1] : MAJOR_DEFAULT;
}

static enum status start_sandbox(struct check_state *state, int wanted, const char *schema, struct error *err) {
  struct sandbox_clone_report report;
  int major = sandbox_pick_major(wanted * 10000);
  if (!major)
    return error_set(err, ERR_UNAVAILABLE, "no PostgreSQL server is installed: install postgresql-17, or set AUTODB_PG_BIN_<major>");
  enum status status = sandbox_open(state->cfg, NULL, major, &state->sandbox, err);
  const char *timezone = json_str(state->base, "timezone", NULL), *path = json_str(state->base, "search_path", NULL);
  if (!status && schema) status = sandbox_clone(state->sandbox, schema, timezone, path, state->arena, &report, err);
  if (status || !schema) return status;
  size_t index;
  json_t *problem;
  json_array_foreach(report.problems, index, problem) if (index < 5)
      fprintf(stderr, "autodb: schema: left out: %s\n", json_str(problem, "message", ""));
  json_array_foreach(report.missing_extensions, index, problem)
      fprintf(stderr, "autodb: schema: the extension %s is not installed here\n", json_string_value(problem));
  return OK;
}

static enum status read_schema(const char *path, struct arena *arena, const char **ret_sql, struct error *err) {
  char *text = NULL;
  size_t len = 0;
  enum status status = cli_read_file(path, CHECK_SCHEMA_BYTES, &text, &len, err);
  if (status) return status;
  *ret_sql = arena_strndup(arena, text, len);
  free(text);
  return *ret_sql ? OK : error_oom(err);
}

static enum status begin(struct check_state *state, const struct check_options *options, struct error *err) {
  const char *schema = NULL;
  enum status status = options->database ? read_database(state, options->database, err) : OK;
  if (!status && options->schema) status = read_schema(options->schema, state->arena, &schema, err);
  if (status) return status;
  int major = major_of(state, options);
  if (options->no_sandbox)
    status = error_set(&state->unavailable, ERR_UNAVAILABLE, "--no-sandbox");
  else
    status = start_sandbox(state, major, state->base_dump ? state->base_dump : schema, &state->unavailable);
  if (status) {
    sandbox_close(state->sandbox);
    state->sandbox = NULL;
  }
  state->stale = state->sandbox != NULL;
  if (!state->json) state->json = empty_schema(major);
  return state->json ? OK : error_oom(err);
}

enum status check_state_open(const struct config *cfg, const struct check_options *options, struct check_state **ret_state,
                             struct error *err) {
  struct check_state *state = calloc(1, sizeof *state);
  if (!state) return error_oom(err);
  state->cfg = cfg;
  state->arena = arena_new(STATE_ARENA_BYTES);
  enum status status = state->arena ? begin(state, options, err) : error_oom(err);
  if (status) {
    check_state_free(state);
    return status;
  }
  *ret_state = state;
  return OK;
}

void check_state_free(struct check_state *state) {
  if (!state) return;
  sandbox_close(state->sandbox);
  if (state->arena && state->cfg) sandbox_sweep(state->cfg); /* what killed children left noted */
  error_clear(&state->unavailable);
  json_decref(state->json);
  json_decref(state->base);
  free(state->base_dump);
  arena_free(state->arena);
  free(state);
}

const char *check_state_unavailable(const struct check_state *state) { return state->sandbox ? NULL : state->unavailable.message; }

/* --- statistics --- */

static const char *const table_numbers[] = {"estimated_rows", "total_bytes", "heap_bytes", "activity"};
static const char *const index_numbers[] = {"bytes", "scans"};

static json_t *same_name(const json_t *list, const json_t *item, bool schema_too) {
  size_t index;
  json_t *other;
  json_array_foreach((json_t *)(uintptr_t)list, index, other) {
    if (strcmp(json_str(other, "name", ""), json_str(item, "name", "")) != 0) continue;
    if (!schema_too || strcmp(json_str(other, "schema", ""), json_str(item, "schema", "")) == 0) return other;
  }
  return NULL;
}

/* What the replayed table shows is of no meaning: the live one's numbers, or none. */
static void carry(json_t *item, const json_t *live, const char *const *keys, size_t count) {
  for (size_t i = 0; i < count; i++) {
    json_t *value = json_object_get(live, keys[i]);
    json_object_set_new(item, keys[i], value ? json_incref(value) : json_null());
  }
}

static void carry_table(json_t *table, const json_t *live) {
  size_t index;
  json_t *item;
  carry(table, live, table_numbers, sizeof table_numbers / sizeof *table_numbers);
  json_array_foreach(json_object_get(table, "columns"), index, item)
      carry(item, same_name(json_object_get(live, "columns"), item, false), (const char *const[]){"stats"}, 1);
  json_array_foreach(json_object_get(table, "indexes"), index, item)
      carry(item, same_name(json_object_get(live, "indexes"), item, false), index_numbers, sizeof index_numbers / sizeof *index_numbers);
}

static void carry_statistics(json_t *json, const json_t *base) {
  static const char *const keys[] = {"tables", "views"};
  size_t index;
  json_t *table;
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
    json_array_foreach(json_object_get(json, keys[k]), index, table)
        carry_table(table, same_name(json_object_get(base, keys[k]), table, true));
}

/* --- between two files --- */

static enum status read_anew(struct check_state *state, struct error *err) {
  arena_reset(state->arena);
  struct job job = {.arena = state->arena, .cfg = state->cfg};
  struct introspection taken = {0};
  PGCONN_AUTO conn = NULL;
  enum status status = sandbox_connect_migrator(state->sandbox, &conn, err);
  if (!status) status = introspect_read(&job, conn, "[]", NULL, false, &taken, err);
  if (!status) status = sandbox_dump(state->sandbox, state->arena, &state->dump, err);
  if (status) return status;
  carry_statistics(taken.json, state->base);
  json_decref(state->json);
  state->json = json_incref(taken.json);
  state->stale = false;
  return OK;
}

enum status check_state_view(struct check_state *state, struct check_view *ret_view, struct error *err) {
  enum status status = state->stale ? read_anew(state, err) : OK;
  if (!status) *ret_view = (struct check_view){state->json, state->sandbox ? state->dump : NULL};
  return status;
}

enum status check_state_apply(struct check_state *state, struct check_file *file, struct arena *arena, struct error *err) {
  struct sandbox_replay_report report = {0};
  enum status status = sandbox_replay(state->sandbox, file->sql, arena, &report, err);
  if (status) return status;
  state->stale = true;
  if (report.left_out)
    file->problem = arena_printf(arena, "%d of %d statements could not be replayed; first %s", report.left_out, report.statements,
                                 report.problem ? report.problem : "");
  return OK;
}

void check_state_replace(struct check_state *state, json_t *take_json) {
  json_decref(state->json);
  state->json = take_json;
}
