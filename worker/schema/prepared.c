/* prepared.c - see prepared.h. */
#include "worker/schema/prepared.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/limits.h"

#define REST_BYTES ((size_t)16 << 20) /* all but the dump */

/* Lengths keep neighbouring texts apart. */
static bool make_key(const struct job *job, const struct snapshot *snapshot, const char *dump, const char *made_as, char key[SHA256_HEX]) {
  const char *const parts[] = {made_as, job->owner_id, job->connection_id, snapshot->timezone, snapshot->search_path};
  BUF_AUTO text;
  buf_init(&text, LIMIT_DUMP_BYTES + REST_BYTES);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    buf_printf(&text, "%zu %s ", parts[i] ? strlen(parts[i]) + 1 : 0, parts[i] ? parts[i] : "");
  buf_puts(&text, dump);
  if (buf_ok(&text)) crypto_sha256_hex(buf_str(&text), text.len, key);
  return buf_ok(&text);
}

enum status prepared_open(struct job *job, const struct snapshot *snapshot, const char *dump, const char *made_as, bool fresh,
                          struct sandbox **ret_sandbox, const char **ret_note, struct error *err) {
  char key[SHA256_HEX];
  int major = sandbox_pick_major(snapshot->server_version_num);
  if (!major)
    return error_set(err, ERR_UNAVAILABLE,
                     "no PostgreSQL server is installed for the sandbox: install postgresql-17, or set AUTODB_PG_BIN_<major>");
  if (!made_as || !make_key(job, snapshot, dump, made_as, key)) return error_oom(err);
  return sandbox_open_prepared(job->cfg, job->keeper_socket, major, key, fresh, job->arena, ret_sandbox, ret_note, err);
}
