/* `autodb schema up|status`: AutoDB's own database, version by version.
 *
 * The versions are the files schema/NNNN_name.sql, numbered from 0001 without gaps; what has been applied is a row of
 * autodb.schema_migrations with the file's SHA-256. Guarantees: one runner at a time (a session-level advisory lock: the next one waits,
 * then finds nothing to do); a file and its row commit together or not at all; nothing is applied while any applied file differs from its
 * row, or is absent. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/config.h"
#include "common/crypto.h"
#include "common/pg.h"

#define SCHEMA_FILE_MAX (4 * 1024 * 1024)
#define SCHEMA_VERSIONS 1000
#define SCHEMA_LOCK "7205759403792793601" /* any number, as long as it stays this one */

struct version {
  int number;
  char name[128]; /* file name */
  char *sql;
  size_t len;
  char sha256[SHA256_HEX];
  char applied_at[40]; /* "" = pending */
};
struct plan {
  char dir[PATH_MAX];
  struct version *versions;
  size_t count, applied;
};

static void plan_free(struct plan *plan) {
  for (size_t i = 0; i < plan->count; i++) free(plan->versions[i].sql);
  free(plan->versions);
}
#define PLAN_AUTO __attribute__((cleanup(plan_free))) struct plan

/* --- the files --- */

static int by_number(const void *a, const void *b) {
  const struct version *x = a, *y = b;
  return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->name, y->name);
}

/* "0001_foundation.sql" is 1; anything else is 0. */
static int version_number(const char *name) {
  if (strspn(name, "0123456789") != 4 || name[4] != '_') return 0;
  size_t len = strlen(name);
  if (len < 10 || len >= sizeof((struct version *)0)->name || strcmp(name + len - 4, ".sql") != 0) return 0;
  return (int)strtol(name, NULL, 10);
}

static bool holds_schema(const char *dir) {
  DIR *stream = opendir(dir);
  struct dirent *entry;
  bool found = false;
  while (stream && !found && (entry = readdir(stream))) found = version_number(entry->d_name) > 0;
  if (stream) closedir(stream);
  return found;
}

/* AUTODB_SCHEMA_DIR, else the installed place beside this program, else the source tree a build directory lies in. */
static enum status find_dir(char out[PATH_MAX], struct error *err) {
  const char *given = getenv("AUTODB_SCHEMA_DIR");
  if (given && *given) {
    snprintf(out, PATH_MAX, "%s", given);
    return holds_schema(out) ? OK : error_set(err, ERR_NOT_FOUND, "AUTODB_SCHEMA_DIR is %s, which holds no NNNN_*.sql", given);
  }
  char self[PATH_MAX - 64];
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (len <= 0) return error_set(err, ERR_INTERNAL, "/proc/self/exe: %s", strerror(errno));
  self[len] = 0;
  *strrchr(self, '/') = 0;
  static const char *const places[] = {"../share/autodb/schema", "../../schema", NULL};
  for (int i = 0; places[i]; i++) {
    snprintf(out, PATH_MAX, "%s/%s", self, places[i]);
    if (holds_schema(out)) return OK;
  }
  return error_set(err, ERR_NOT_FOUND, "no schema files beside %s; AUTODB_SCHEMA_DIR says where they are", self);
}

static enum status read_version(const char *dir, const char *name, struct version *out, struct error *err) {
  char path[PATH_MAX + 130];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  enum status status = cli_read_file(path, SCHEMA_FILE_MAX, &out->sql, &out->len, err);
  if (status) return status;
  out->number = version_number(name);
  snprintf(out->name, sizeof out->name, "%s", name);
  crypto_sha256_hex(out->sql, out->len, out->sha256);
  return OK;
}

static enum status check_numbers(const struct plan *plan, struct error *err) {
  for (size_t i = 0; i < plan->count; i++) {
    const struct version *version = &plan->versions[i];
    if (i > 0 && version->number == version[-1].number)
      return error_set(err, ERR_CONFLICT, "%s and %s have the same number", version[-1].name, version->name);
    if (version->number != (int)i + 1)
      return error_set(err, ERR_CONFLICT, "there is no version %04d in %s, but %s", (int)i + 1, plan->dir, version->name);
  }
  return OK;
}

static enum status read_files(struct plan *plan, struct error *err) {
  enum status status = find_dir(plan->dir, err);
  if (status) return status;
  plan->versions = calloc(SCHEMA_VERSIONS, sizeof *plan->versions);
  if (!plan->versions) return error_oom(err);
  DIR *stream = opendir(plan->dir);
  if (!stream) return error_set(err, ERR_NOT_FOUND, "%s: %s", plan->dir, strerror(errno));
  struct dirent *entry;
  while (!status && (entry = readdir(stream))) {
    if (version_number(entry->d_name) == 0) continue;
    if (plan->count == SCHEMA_VERSIONS)
      status = error_set(err, ERR_TOO_LARGE, "more than %d versions in %s", SCHEMA_VERSIONS, plan->dir);
    else if (!(status = read_version(plan->dir, entry->d_name, &plan->versions[plan->count], err)))
      plan->count++;
  }
  closedir(stream);
  if (status) return status;
  qsort(plan->versions, plan->count, sizeof *plan->versions, by_number);
  return check_numbers(plan, err);
}

/* --- the record --- */

static const char list_applied[] = "SELECT version, name, sha256, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
                                   "FROM autodb.schema_migrations ORDER BY version";

static enum status match_row(struct plan *plan, size_t at, int number, const char *name, const char *sha256, const char *applied_at,
                             struct error *err) {
  if (at >= plan->count)
    return error_set(err, ERR_CONFLICT,
                     "the database holds version %04d (%s), which this program does not know: it was brought up by a newer one; use that",
                     number, name);
  struct version *version = &plan->versions[at];
  if (number != version->number)
    return error_set(err, ERR_CONFLICT,
                     "the database holds version %04d (%s) where %s should be: a version between is missing from autodb.schema_migrations",
                     number, name, version->name);
  if (strcmp(sha256, version->sha256) != 0)
    return error_set(err, ERR_CONFLICT,
                     "%s/%s was edited after it had been applied (%s): it has SHA-256 %.12s…, applied was %.12s…; restore it, and put the "
                     "change in a new file",
                     plan->dir, version->name, applied_at, version->sha256, sha256);
  snprintf(version->applied_at, sizeof version->applied_at, "%s", applied_at);
  plan->applied = at + 1;
  return OK;
}

static enum status read_record(PGconn *conn, struct plan *plan, struct error *err) {
  PGRESULT_AUTO there = NULL;
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, "SELECT to_regclass('autodb.schema_migrations') IS NOT NULL", 0, NULL, &there, err);
  if (status || !pg_bool(there, 0, 0)) return status;
  if ((status = pg_query(conn, list_applied, 0, NULL, &res, err))) return status;
  for (int row = 0; !status && row < PQntuples(res); row++)
    status = match_row(plan, (size_t)row, (int)pg_int(res, row, 0, 0), pg_str(res, row, 1), pg_str(res, row, 2), pg_str(res, row, 3), err);
  return status;
}

static const char prepare_record[] = "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS autodb;"
                                     "CREATE TABLE IF NOT EXISTS autodb.schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
                                     " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

static enum status apply(PGconn *conn, const struct version *version, struct error *err) {
  char number[16];
  snprintf(number, sizeof number, "%d", version->number);
  enum status status = pg_script(conn, "BEGIN; SET LOCAL search_path = autodb, public", err);
  if (!status) status = pg_script(conn, version->sql, err);
  if (!status)
    status = pg_exec(conn, "INSERT INTO autodb.schema_migrations (version, name, sha256) VALUES ($1, $2, $3)", 3,
                     (const char *const[]){number, version->name, version->sha256}, err);
  if (!status) status = pg_script(conn, "COMMIT", err);
  if (status) {
    ERROR_AUTO ignored = {0};
    error_prefix(err, "%s was not applied", version->name);
    (void)!pg_script(conn, "ROLLBACK", &ignored);
  }
  return status;
}

static enum status take_lock(PGconn *conn, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, "SELECT pg_try_advisory_lock(" SCHEMA_LOCK ")", 0, NULL, &res, err);
  if (status || pg_bool(res, 0, 0)) return status;
  fprintf(stderr, "autodb: another `schema up` is at work; waiting for it\n");
  return pg_exec(conn, "SELECT pg_advisory_lock(" SCHEMA_LOCK ")", 0, NULL, err);
}

static enum status bring_up(PGconn *conn, struct plan *plan, struct error *err) {
  enum status status = take_lock(conn, err); // let go of with the connection
  if (!status) status = pg_script(conn, prepare_record, err);
  if (!status) status = read_record(conn, plan, err);
  for (size_t i = plan->applied; !status && i < plan->count; i++)
    if (!(status = apply(conn, &plan->versions[i], err))) printf("applied %s\n", plan->versions[i].name);
  if (!status) status = pg_exec(conn, "SELECT autodb.ensure_partitions(1, 7)", 0, NULL, err); // however long nobody swept
  return status;
}

/* --- the commands --- */

static const char database_hint[] = "AUTODB_DATABASE_URL names AutoDB's own database";

static enum status open_plan(struct plan *plan, PGconn **ret_conn, struct error *err) {
  struct config cfg;
  enum status status = config_load(&cfg, err);
  if (!status) status = read_files(plan, err);
  if (!status) status = pg_connect(cfg.database_url, "schema", ret_conn, err);
  return status;
}

int schema_up(const struct cli_command *self, int argc, char **argv) {
  int count = 0;
  if (!cli_args(self, argc, argv, NULL, 0, NULL, 0, &count)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  PLAN_AUTO plan = {0};
  PGCONN_AUTO conn = NULL;
  if (open_plan(&plan, &conn, &err)) return cli_fail(&err, err.status == ERR_UNAVAILABLE ? database_hint : NULL);
  if (bring_up(conn, &plan, &err)) return cli_fail(&err, NULL);
  printf("schema is at version %zu\n", plan.count);
  return CLI_OK;
}

int schema_status(const struct cli_command *self, int argc, char **argv) {
  int count = 0;
  if (!cli_args(self, argc, argv, NULL, 0, NULL, 0, &count)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  PLAN_AUTO plan = {0};
  PGCONN_AUTO conn = NULL;
  if (open_plan(&plan, &conn, &err)) return cli_fail(&err, err.status == ERR_UNAVAILABLE ? database_hint : NULL);
  enum status status = read_record(conn, &plan, &err);
  for (size_t i = 0; i < plan.count; i++)
    printf("%s  %s%s\n", plan.versions[i].name, plan.versions[i].applied_at[0] ? "applied " : "pending", plan.versions[i].applied_at);
  if (status) return cli_fail(&err, NULL);
  return plan.applied == plan.count ? CLI_OK : CLI_FAILED;
}
