/* pg.c - blocking libpq, with errors in our form.
 *
 * One place knows how a libpq failure becomes a struct error (pg_error), for this file, for pgloop.c and for clientdb.c: which
 * SQLSTATE classes are worth another try, and that no text of a connection string reaches a message. */
#include "common/pg.h"

#include <limits.h>

#include "common/buf.h"
#include "common/limits.h"

static const char lost[] = "the connection to the database was lost";

/* libpq prints notices on standard error unless told otherwise. */
static void ignore_notice(void *arg, const PGresult *res) {
  (void)arg;
  (void)res;
}

/* --- errors --- */

const char *pg_sqlstate(const PGresult *res) {
  const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
  return state ? state : "";
}

static enum status status_of_sqlstate(const char *state) {
  static const char *const retryable[] = {"08", "40", "53", "57P0", "58"};
  for (size_t i = 0; i < sizeof retryable / sizeof *retryable; i++)
    if (strncmp(state, retryable[i], strlen(retryable[i])) == 0) return ERR_UNAVAILABLE;
  return strncmp(state, "XX", 2) == 0 ? ERR_INTERNAL : ERR_VALIDATION;
}

/* A server's words as JSON. Before the encoding is agreed they may be in any; what is not UTF-8 loses its high bytes. */
static json_t *json_text(const char *text, size_t len) {
  json_t *value = json_stringn(text, len);
  if (value) return value;
  char *copy = strndup(text, len);
  if (!copy) return json_null();
  for (char *p = copy; *p; p++)
    if (*p & 0x80) *p = '?';
  value = json_string(copy);
  free(copy);
  return value ? value : json_null();
}

static json_t *diag(const PGresult *res, int field) {
  const char *text = PQresultErrorField(res, field);
  return text ? json_text(text, strlen(text)) : json_null();
}

/* libpq's messages end in newlines, and may be empty. Sets message and status. */
static enum status set_message(struct error *err, enum status status, const char *text) {
  size_t len = strlen(text);
  while (len && (text[len - 1] == '\n' || text[len - 1] == ' ')) len--;
  return len ? error_set(err, status, "%.*s", (int)(len < sizeof err->message ? len : sizeof err->message), text)
             : error_set(err, status, "%s", lost);
}

static enum status server_error(const PGresult *res, const char *state, struct error *err) {
  const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  enum status status = set_message(err, status_of_sqlstate(state), primary ? primary : "the server gave no reason");
  const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
  json_t *details = json_object();
  json_object_set_new(details, "sqlstate", json_string(state));
  json_object_set_new(details, "message", diag(res, PG_DIAG_MESSAGE_PRIMARY));
  json_object_set_new(details, "detail", diag(res, PG_DIAG_MESSAGE_DETAIL));
  json_object_set_new(details, "hint", diag(res, PG_DIAG_MESSAGE_HINT));
  if (PQresultErrorField(res, PG_DIAG_COLUMN_NAME)) json_object_set_new(details, "column", diag(res, PG_DIAG_COLUMN_NAME));
  json_object_set_new(details, "position", position ? json_integer(strtoll(position, NULL, 10)) : json_null());
  err->details = details;
  return status;
}

enum status pg_error(const PGconn *conn, const PGresult *res, struct error *err) {
  const char *state = pg_sqlstate(res);
  if (*state) return server_error(res, state, err);
  const char *text = res ? PQresultErrorMessage(res) : "";
  if (!*text && conn) text = PQerrorMessage(conn);
  if (!conn || PQstatus(conn) == CONNECTION_BAD) return set_message(err, ERR_UNAVAILABLE, text);
  if (res && PQresultStatus(res) == PGRES_PIPELINE_ABORTED)
    return error_set(err, ERR_UNAVAILABLE, "not run: a statement before it in the same batch failed");
  return set_message(err, ERR_INTERNAL, *text ? text : "libpq gave no reason");
}

/* --- secrets --- */

static void scrub_text(char *text, size_t size, const char *secret) {
  size_t secret_len = strlen(secret);
  for (char *at = text; (at = strstr(at, secret));) {
    size_t used = (size_t)(at - text), rest = strlen(at + secret_len);
    size_t stars = size - used - 1 < 3 ? size - used - 1 : 3;
    if (rest > size - used - stars - 1) rest = size - used - stars - 1;
    memmove(at + stars, at + secret_len, rest);
    memset(at, '*', stars);
    at[stars + rest] = '\0';
    at += stars;
  }
}

/* A scrubbed copy of a string, a new reference. */
static json_t *scrubbed(const char *value, const char *secret) {
  size_t size = strlen(value) * 3 + 4; /* the worst: each byte becomes "***" */
  char *copy = malloc(size);
  if (!copy) return json_null();
  snprintf(copy, size, "%s", value);
  scrub_text(copy, size, secret);
  json_t *clean = json_text(copy, strlen(copy));
  free(copy);
  return clean;
}

/* Details are a few levels deep, and ours. */
static void scrub_json(json_t *value, const char *secret) {
  const char *key;
  json_t *member;
  void *next;
  size_t i;
  json_object_foreach_safe(value, next, key, member) {
    if (json_is_string(member))
      json_object_set_new(value, key, scrubbed(json_string_value(member), secret));
    else
      scrub_json(member, secret);
  }
  json_array_foreach(value, i, member) {
    if (json_is_string(member))
      json_array_set_new(value, i, scrubbed(json_string_value(member), secret));
    else
      scrub_json(member, secret);
  }
}

void pg_scrub(struct error *err, const char *secret) {
  if (!secret || !*secret) return;
  scrub_text(err->message, sizeof err->message, secret);
  scrub_json(err->details, secret);
}

enum status pg_conninfo_check(const char *conninfo, char **ret_password, struct error *err) {
  char *reason = NULL; /* quotes the text, password and all: never shown */
  PQconninfoOption *options = PQconninfoParse(conninfo, &reason);
  PQfreemem(reason);
  if (!options)
    return error_set(err, ERR_VALIDATION,
                     "the database URL is malformed: expected postgresql://user:password@host:port/dbname or key=value pairs");
  char *password = NULL;
  bool oom = false;
  for (const PQconninfoOption *option = options; ret_password && option->keyword; option++)
    if (strcmp(option->keyword, "password") == 0 && option->val) oom = !(password = strdup(option->val));
  PQconninfoFree(options);
  if (oom) return error_oom(err);
  if (ret_password) *ret_password = password;
  return OK;
}

/* --- connecting and asking --- */

static void free_charp(char **text) { free(*text); }

enum status pg_connect(const char *conninfo, const char *who, PGconn **ret_conn, struct error *err) {
  __attribute__((cleanup(free_charp))) char *password = NULL;
  if (pg_conninfo_check(conninfo, &password, err)) return err->status;
  char name[64], timeout[16];
  snprintf(name, sizeof name, "autodb %.50s", who);
  snprintf(timeout, sizeof timeout, "%d", LIMIT_CLIENT_CONNECT_SECONDS);
  /* What stands before dbname yields to the connection string, what stands after it wins. */
  const char *const keys[] = {"connect_timeout", "dbname", "application_name", "client_encoding", NULL};
  const char *const values[] = {timeout, conninfo, name, "UTF8", NULL};
  PGCONN_AUTO conn = PQconnectdbParams(keys, values, 1);
  if (!conn) return error_oom(err);
  if (PQstatus(conn) != CONNECTION_OK) {
    set_message(err, ERR_UNAVAILABLE, PQerrorMessage(conn));
    pg_scrub(err, password);
    error_prefix(err, "cannot connect to the database");
    return ERR_UNAVAILABLE;
  }
  PQsetNoticeReceiver(conn, ignore_notice, NULL);
  *ret_conn = conn;
  conn = NULL;
  return OK;
}

static bool succeeded(const PGresult *res) {
  ExecStatusType status = PQresultStatus(res);
  return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

/* Takes res. */
static enum status finish(PGconn *conn, PGresult *take, PGresult **ret_res, struct error *err) {
  PGRESULT_AUTO res = take;
  if (!succeeded(res)) return pg_error(conn, res, err);
  if (ret_res) {
    *ret_res = res;
    res = NULL;
  }
  return OK;
}

enum status pg_query(PGconn *conn, const char *sql, int nparams, const char *const *params, PGresult **ret_res, struct error *err) {
  return finish(conn, PQexecParams(conn, sql, nparams, NULL, params, NULL, NULL, 0), ret_res, err);
}

static enum status prepare_all(PGconn *conn, const struct pg_kept *set, struct error *err) {
  for (; set->name; set++) {
    PGRESULT_AUTO res = PQprepare(conn, set->name, set->sql, 0, NULL);
    bool known = strcmp(pg_sqlstate(res), "42P05") == 0; /* duplicate_prepared_statement */
    if (PQresultStatus(res) != PGRES_COMMAND_OK && !known) return pg_error(conn, res, err);
  }
  return OK;
}

enum status pg_query_kept(PGconn *conn, const struct pg_kept *set, size_t index, int nparams, const char *const *params, PGresult **ret_res,
                          struct error *err) {
  PGresult *res = PQexecPrepared(conn, set[index].name, nparams, params, NULL, NULL, 0);
  if (strcmp(pg_sqlstate(res), "26000") == 0) { /* invalid_sql_statement_name */
    PQclear(res);
    enum status status = prepare_all(conn, set, err);
    if (status) return status;
    res = PQexecPrepared(conn, set[index].name, nparams, params, NULL, NULL, 0);
  }
  return finish(conn, res, ret_res, err);
}

enum status pg_exec(PGconn *conn, const char *sql, int nparams, const char *const *params, struct error *err) {
  return finish(conn, PQexecParams(conn, sql, nparams, NULL, params, NULL, NULL, 0), NULL, err);
}

enum status pg_script(PGconn *conn, const char *sql, struct error *err) { return finish(conn, PQexec(conn, sql), NULL, err); }

/* --- values --- */

double pg_float8(const char *bytes) {
  union {
    uint64_t bits;
    double value;
  } out = {0};
  for (int i = 0; i < 8; i++) out.bits = out.bits << 8 | (uint8_t)bytes[i];
  return out.value;
}

const char *pg_str(const PGresult *res, int row, int col) { return PQgetisnull(res, row, col) ? NULL : PQgetvalue(res, row, col); }

long long pg_int(const PGresult *res, int row, int col, long long otherwise) {
  const char *text = pg_str(res, row, col);
  char *end = NULL;
  long long value = text ? strtoll(text, &end, 10) : 0;
  return end && end != text && !*end ? value : otherwise;
}

bool pg_bool(const PGresult *res, int row, int col) {
  const char *text = pg_str(res, row, col);
  return text && *text == 't';
}

void *pg_bytes(const PGresult *res, int row, int col, struct arena *arena, size_t *ret_len) {
  const char *text = pg_str(res, row, col);
  if (!text) return NULL;
  size_t len = 0;
  unsigned char *decoded = PQunescapeBytea((const unsigned char *)text, &len);
  if (!decoded) return NULL;
  char *bytes = arena_alloc(arena, len + 1);
  if (bytes) {
    memcpy(bytes, decoded, len);
    *ret_len = len;
  }
  PQfreemem(decoded);
  return bytes;
}

char *pg_bytea_param(struct arena *arena, const void *data, size_t len) {
  static const char digits[] = "0123456789abcdef";
  if (len > (INT_MAX - 3) / 2) return NULL;
  const unsigned char *bytes = data;
  char *text = arena_alloc(arena, 2 * len + 3);
  if (!text) return NULL;
  char *out = text;
  *out++ = '\\';
  *out++ = 'x';
  for (size_t i = 0; i < len; i++) {
    *out++ = digits[bytes[i] >> 4];
    *out++ = digits[bytes[i] & 15];
  }
  *out = '\0';
  return text;
}

char *pg_array_param(struct arena *arena, const char *const *items, size_t count) {
  size_t size = 3;
  for (size_t i = 0; i < count; i++) size += items[i] ? 2 * strlen(items[i]) + 3 : 5;
  char *text = arena_alloc(arena, size);
  if (!text) return NULL;
  char *out = text;
  *out++ = '{';
  for (size_t i = 0; i < count; i++) {
    if (i) *out++ = ',';
    if (!items[i]) {
      memcpy(out, "NULL", 4);
      out += 4;
      continue;
    }
    *out++ = '"';
    for (const char *p = items[i]; *p; p++) {
      if (*p == '"' || *p == '\\') *out++ = '\\';
      *out++ = *p;
    }
    *out++ = '"';
  }
  *out++ = '}';
  *out = '\0';
  return text;
}
