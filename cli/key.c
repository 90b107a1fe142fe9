/* `autodb key create`: the first key has to come from somewhere, so it is made in the database itself. */
#include "cli/cli.h"
#include "common/buf.h"
#include "common/config.h"
#include "common/crypto.h"
#include "common/id.h"
#include "common/pg.h"

#define KEY_PREFIX_CHARS 12 /* shown in lists, so that people can tell keys apart */

static const char upsert_owner[] =
    "INSERT INTO autodb.owners (id, name) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";
static const char insert_key[] =
    "INSERT INTO autodb.api_keys (id, owner_id, name, role, prefix, key_hash) VALUES ($1, $2, $3, $4, $5, decode($6, 'hex'))";

static void new_id(char out[ID_TEXT]) {
  struct id id;
  id_new(&id);
  id_format(&id, out);
}

static enum status store(PGconn *conn, const char *owner, const char *role, const char *name, const char *key, struct error *err) {
  PGRESULT_AUTO res = NULL;
  char id[ID_TEXT], prefix[KEY_PREFIX_CHARS + 1], hash[SHA256_HEX];
  new_id(id);
  enum status status = pg_query(conn, upsert_owner, 2, (const char *const[]){id, owner}, &res, err);
  if (status) return status;
  new_id(id);
  snprintf(prefix, sizeof prefix, "%.*s", KEY_PREFIX_CHARS, key);
  const char *const params[] = {id, pg_str(res, 0, 0), name, role, prefix, crypto_sha256_hex(key, strlen(key), hash)};
  return pg_exec(conn, insert_key, 6, params, err);
}

int key_create(const struct cli_command *self, int argc, char **argv) {
  const char *owner = NULL, *role = NULL, *name = "cli";
  const struct cli_option options[] = {{"--owner", &owner, NULL, NULL}, {"--role", &role, NULL, NULL}, {"--name", &name, NULL, NULL}};
  int count = 0;
  if (!cli_args(self, argc, argv, options, 3, NULL, 0, &count)) return CLI_USAGE;
  if (!owner || !*owner || strlen(owner) > 200) return cli_usage(self, "--owner needs a name of 1 to 200 bytes");
  if (!role || (strcmp(role, "admin") != 0 && strcmp(role, "user") != 0)) return cli_usage(self, "--role is admin or user");
  if (!*name || strlen(name) > 200) return cli_usage(self, "--name needs 1 to 200 bytes");

  struct config cfg;
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  uint8_t random[32];
  BUF_AUTO key;
  buf_init(&key, 128);
  crypto_random(random, sizeof random);
  buf_puts(&key, "adb_");
  crypto_base64url(random, sizeof random, &key);
  if (!buf_ok(&key)) return error_oom(&err), cli_fail(&err, NULL);
  if (config_load(&cfg, &err) || pg_connect(cfg.database_url, "cli", &conn, &err))
    return cli_fail(&err, "AUTODB_DATABASE_URL names AutoDB's own database");
  if (store(conn, owner, role, name, buf_str(&key), &err)) return cli_fail(&err, "`autodb schema up` makes the tables");
  printf("%s\n", buf_str(&key));
  return CLI_OK;
}
