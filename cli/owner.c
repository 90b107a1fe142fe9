/* `autodb owner set|list`: what one owner may do, where that differs from what everybody may. In the database itself, as keys are made. */
#include "cli/cli.h"
#include "cli/remote.h"
#include "common/config.h"
#include "common/pg.h"

#define NUMBER_MAX 2000000000

/* "default" clears a limit; a member that wasn't named stays. $2, $4, $6, $8: whether it was named. */
static const char set_limits[] = "UPDATE autodb.owners SET rate = CASE WHEN $2::boolean THEN $3::integer ELSE rate END,"
                                 " burst = CASE WHEN $4::boolean THEN $5::integer ELSE burst END,"
                                 " max_running = CASE WHEN $6::boolean THEN $7::integer ELSE max_running END,"
                                 " model_tokens = CASE WHEN $8::boolean THEN $9::bigint ELSE model_tokens END WHERE name = $1 RETURNING "
                                 "rate, burst, max_running, model_tokens, name";
static const char list_limits[] = "SELECT rate, burst, max_running, model_tokens, name FROM autodb.owners ORDER BY name";

static enum status connect(PGconn **ret_conn, struct error *err) {
  struct config cfg;
  enum status status = config_load(&cfg, err);
  return status ? status : pg_connect(cfg.database_url, "cli", ret_conn, err);
}

static const char *shown(const PGresult *res, int row, int column) {
  const char *value = pg_str(res, row, column);
  return value ? value : "default";
}

static void print_owners(const PGresult *res) {
  printf("%10s  %10s  %11s  %12s  %s\n", "RATE", "BURST", "MAX-RUNNING", "MODEL-TOKENS", "OWNER");
  for (int row = 0; row < PQntuples(res); row++)
    printf("%10s  %10s  %11s  %12s  %s\n", shown(res, row, 0), shown(res, row, 1), shown(res, row, 2), shown(res, row, 3),
           pg_str(res, row, 4));
}

static bool read_limit(const char *text, const char **ret_named, const char **ret_value) {
  long long value;
  *ret_named = text ? "t" : "f";
  *ret_value = NULL;
  if (!text || strcmp(text, "default") == 0) return true;
  *ret_value = text;
  return remote_number(text, 0, NUMBER_MAX, &value);
}

int owner_set(const struct cli_command *self, int argc, char **argv) {
  const char *name = NULL, *limits[4] = {NULL}, *params[9];
  static const char *const names[] = {"--rate", "--burst", "--max-running", "--model-tokens"};
  int count = 0;
  const struct cli_option options[] = {{names[0], &limits[0], NULL, NULL},
                                       {names[1], &limits[1], NULL, NULL},
                                       {names[2], &limits[2], NULL, NULL},
                                       {names[3], &limits[3], NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &name, 1, &count)) return CLI_USAGE;
  if (count != 1 || (!limits[0] && !limits[1] && !limits[2] && !limits[3]))
    return cli_usage(self, "an owner's name and a limit are needed");
  params[0] = name;
  for (int i = 0; i < 4; i++)
    if (!read_limit(limits[i], &params[1 + 2 * i], &params[2 + 2 * i]))
      return cli_usage(self, "%s is a whole number from 0 to %d, or \"default\"", names[i], NUMBER_MAX);
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  PGRESULT_AUTO res = NULL;
  if (connect(&conn, &err)) return cli_fail(&err, "AUTODB_DATABASE_URL names AutoDB's own database");
  if (pg_query(conn, set_limits, 9, params, &res, &err)) return cli_fail(&err, "`autodb schema up` makes the tables");
  if (PQntuples(res) == 0) return error_set(&err, ERR_NOT_FOUND, "there is no owner %s", name), cli_fail(&err, "`autodb owner list`");
  print_owners(res);
  return CLI_OK;
}

int owner_list(const struct cli_command *self, int argc, char **argv) {
  int count = 0;
  if (!cli_args(self, argc, argv, NULL, 0, NULL, 0, &count)) return CLI_USAGE;
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  PGRESULT_AUTO res = NULL;
  if (connect(&conn, &err)) return cli_fail(&err, "AUTODB_DATABASE_URL names AutoDB's own database");
  if (pg_query(conn, list_limits, 0, NULL, &res, &err)) return cli_fail(&err, "`autodb schema up` makes the tables");
  print_owners(res);
  return CLI_OK;
}
