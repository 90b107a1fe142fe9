/* clientdb.c - from a client's connection string to a connection, or to a reason.
 *
 * The name is resolved here, once; each address is held against the policy and handed to libpq as hostaddr, so there is no second lookup
 * that could answer otherwise. What the socket is really connected to is checked again at the end. The server may be anything, also one
 * that accepts and then says nothing: every step, up to the settings, runs against one absolute deadline. Only the resolver keeps its own
 * time. */
#include "common/clientdb.h"

#include <netdb.h>
#include <poll.h>

#include "common/clientcancel.h"
#include "common/clock.h"
#include "common/conninfo.h"
#include "common/limits.h"
#include "common/pg.h"

enum { ARENA_BYTES = 256 * 1024, REASON = 512 };

static void ignore_notice(void *arg, const PGresult *res) {
  (void)arg;
  (void)res;
}

enum status clientdb_parse(const char *connection_string, bool allow_unix, struct arena *arena, struct clientdb_target *ret_target,
                           struct error *err) {
  struct conninfo info;
  if (conninfo_parse(connection_string, allow_unix, arena, &info, err)) return err->status;
  char *normalized = conninfo_uri(&info, arena);
  if (!normalized) return error_oom(err);
  *ret_target = (struct clientdb_target){.host = conninfo_get(&info, "host"),
                                         .port = info.port,
                                         .dbname = conninfo_get(&info, "dbname"),
                                         .user = conninfo_get(&info, "user"),
                                         .sslmode = info.sslmode,
                                         .normalized = normalized};
  return OK;
}

/* --- reasons --- */

/* One attempt to reach one database. */
struct attempt {
  const struct conninfo *info;
  const struct netpolicy *policy;
  int64_t deadline_ms; /* clock_mono_ms */
  struct error *err;
};

static enum status refuse(const struct attempt *attempt, const char *code, const char *reason) {
  ERROR_AUTO clean = {0};
  error_set(&clean, ERR_VALIDATION, "%s", reason);
  pg_scrub(&clean, conninfo_get(attempt->info, "password"));
  error_clear(attempt->err);
  error_add_field(attempt->err, "connection_string", "%s", clean.message);
  if (attempt->err->details) json_object_set_new(attempt->err->details, "reason_code", json_string(code));
  return ERR_VALIDATION;
}

/* libpq's words on one line. */
static enum status refuse_by_libpq(const struct attempt *attempt, const PGconn *conn) {
  char reason[REASON];
  snprintf(reason, sizeof reason, "%s", PQerrorMessage(conn));
  size_t len = strlen(reason);
  while (len && (reason[len - 1] == '\n' || reason[len - 1] == ' ')) reason[--len] = '\0';
  for (char *p = reason; *p; p++)
    if (*p == '\n' || *p == '\t') *p = ' ';
  if (strstr(reason, "authentication method requirement \"none\" failed"))
    return refuse(attempt, "CONNECTION_FAILED", "the server wants a password and the connection string has none");
  return refuse(attempt, "CONNECTION_FAILED", len ? reason : "the connection failed without a reason");
}

static enum status refuse_address(const struct attempt *attempt, const struct sockaddr *address, const char *refusal) {
  char numeric[NI_MAXHOST] = "an address", reason[REASON];
  socklen_t len = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  (void)getnameinfo(address, len, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST);
  const char *setting = strstr(refusal, "denies") ? "DENY" : "ALLOW";
  snprintf(reason, sizeof reason,
           "%.255s leads to %.60s, which %s: connecting there is refused; an operator can change that with AUTODB_CONNECTION_%s_CIDRS",
           conninfo_get(attempt->info, "host"), numeric, refusal, setting);
  return refuse(attempt, "ADDRESS_REFUSED", reason);
}

/* --- waiting --- */

/* Waits for the socket; false when the deadline has passed. */
static bool wait_socket(const struct attempt *attempt, const PGconn *conn, bool for_write) {
  for (;;) {
    int64_t left = attempt->deadline_ms - clock_mono_ms();
    if (left <= 0) return false;
    struct pollfd fd = {.fd = PQsocket(conn), .events = for_write ? POLLOUT : POLLIN};
    if (poll(&fd, 1, (int)left) > 0) return true;
  }
}

static enum status refuse_late(const struct attempt *attempt) {
  char reason[REASON];
  snprintf(reason, sizeof reason, "%.255s port %d did not complete the connection in time (%d seconds in all)",
           conninfo_get(attempt->info, "host"), attempt->info->port, LIMIT_CLIENT_CONNECT_SECONDS);
  return refuse(attempt, "CONNECTION_FAILED", reason);
}

static enum status wait_connected(const struct attempt *attempt, PGconn *conn) {
  PostgresPollingStatusType want = PGRES_POLLING_WRITING;
  while (want != PGRES_POLLING_OK) {
    if (want == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD) return refuse_by_libpq(attempt, conn);
    if (!wait_socket(attempt, conn, want == PGRES_POLLING_WRITING)) return refuse_late(attempt);
    want = PQconnectPoll(conn);
  }
  return OK;
}

/* Sends one small statement and waits for its end. */
static enum status wait_statement(const struct attempt *attempt, PGconn *conn, const char *sql, const char *param) {
  if (!PQsendQueryParams(conn, sql, 1, NULL, &param, NULL, NULL, 0)) return refuse_by_libpq(attempt, conn);
  for (;;) {
    while (PQisBusy(conn)) {
      if (!wait_socket(attempt, conn, false)) return refuse_late(attempt);
      if (!PQconsumeInput(conn)) return refuse_by_libpq(attempt, conn);
    }
    PGRESULT_AUTO res = PQgetResult(conn);
    if (!res) return OK;
    if (PQresultStatus(res) != PGRES_TUPLES_OK) return refuse_by_libpq(attempt, conn);
  }
}

/* --- connecting --- */

static enum status check_peer(const struct attempt *attempt, const PGconn *conn) {
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  if (attempt->info->is_unix) return OK;
  if (getpeername(PQsocket(conn), (struct sockaddr *)&peer, &len)) return refuse(attempt, "CONNECTION_FAILED", "the connection was lost");
  const char *refusal = netpolicy_refusal(attempt->policy, (struct sockaddr *)&peer);
  return refusal ? refuse_address(attempt, (struct sockaddr *)&peer, refusal) : OK;
}

static enum status connect_to(const struct attempt *attempt, const char *hostaddr, int statement_timeout_ms, PGconn **ret_conn) {
  const char *keys[CONNINFO_PARAMS + 1], *values[CONNINFO_PARAMS + 1];
  char timeout[16];
  snprintf(timeout, sizeof timeout, "%d", statement_timeout_ms > 0 ? statement_timeout_ms : 0);
  conninfo_params(attempt->info, hostaddr, keys, values);
  PGCONN_AUTO conn = PQconnectStartParams(keys, values, 0);
  if (!conn) return error_oom(attempt->err);
  PQsetNoticeReceiver(conn, ignore_notice, NULL);
  /* DateStyle may come from PGDATESTYLE or from the database's own settings. */
  if (wait_connected(attempt, conn) || check_peer(attempt, conn) ||
      wait_statement(attempt, conn,
                     "SELECT pg_catalog.set_config('statement_timeout', $1, false), pg_catalog.set_config('datestyle', 'ISO, MDY', false)",
                     timeout))
    return attempt->err->status;
  *ret_conn = conn;
  conn = NULL;
  return OK;
}

static enum status resolve(const struct attempt *attempt, struct addrinfo **ret_list) {
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  char port[8], reason[REASON];
  const char *host = conninfo_get(attempt->info, "host");
  snprintf(port, sizeof port, "%d", attempt->info->port);
  int failed = getaddrinfo(host, port, &hints, ret_list);
  if (!failed) return OK;
  snprintf(reason, sizeof reason, "host %.255s cannot be resolved: %s", host, gai_strerror(failed));
  return refuse(attempt, "CONNECTION_FAILED", reason);
}

/* Tries the allowed addresses in the resolver's order; each gets an equal share of the time left, so that one that swallows packets leaves
 * some to the next. The error is the last attempt's, or the last refusal when nothing was tried. */
static enum status connect_any(const struct attempt *attempt, const struct addrinfo *list, int statement_timeout_ms, PGconn **ret_conn) {
  int left = 0;
  for (const struct addrinfo *at = list; at; at = at->ai_next) left++;
  bool tried = false;
  enum status got = refuse(attempt, "CONNECTION_FAILED", "the host has no address");
  for (const struct addrinfo *at = list; at; at = at->ai_next, left--) {
    char numeric[NI_MAXHOST];
    const char *refusal = netpolicy_refusal(attempt->policy, at->ai_addr);
    if (getnameinfo(at->ai_addr, at->ai_addrlen, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST)) continue;
    if (refusal) {
      if (!tried) got = refuse_address(attempt, at->ai_addr, refusal);
      continue;
    }
    struct attempt one = *attempt;
    int64_t now = clock_mono_ms();
    one.deadline_ms = now + (attempt->deadline_ms - now) / left;
    tried = true;
    got = connect_to(&one, numeric, statement_timeout_ms, ret_conn);
    if (!got) break;
  }
  return got;
}

static void free_policyp(struct netpolicy **policy) { netpolicy_free(*policy); }

enum status clientdb_connect(const struct config *cfg, const char *connection_string, int statement_timeout_ms, PGconn **ret_conn,
                             struct error *err) {
  ARENA_AUTO arena = arena_new(ARENA_BYTES);
  if (!arena) return error_oom(err);
  struct conninfo info;
  if (conninfo_parse(connection_string, cfg->connection_allow_unix, arena, &info, err)) return err->status;
  __attribute__((cleanup(free_policyp))) struct netpolicy *policy = NULL;
  if (netpolicy_new(cfg->connection_allow, cfg->connection_deny, true, &policy, err)) {
    error_prefix(err, "AUTODB_CONNECTION_ALLOW_CIDRS or AUTODB_CONNECTION_DENY_CIDRS");
    return err->status;
  }
  const struct attempt attempt = {&info, policy, clock_mono_ms() + LIMIT_CLIENT_CONNECT_SECONDS * 1000, err};
  enum status got;
  if (info.is_unix) {
    got = connect_to(&attempt, NULL, statement_timeout_ms, ret_conn);
  } else {
    struct addrinfo *list = NULL;
    got = resolve(&attempt, &list);
    if (!got) got = connect_any(&attempt, list, statement_timeout_ms, ret_conn);
    if (list) freeaddrinfo(list);
  }
  if (!got) clientcancel_watch(*ret_conn);
  if (!got) error_clear(err);
  return got;
}

/* --- facts --- */

/* can_write: what a migration needs at least: a primary, and a table to change or a place for a new one. */
static const char facts_sql[] =
    "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num'),"
    " EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'hypopg'),"
    " EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements'),"
    " pg_catalog.current_setting('is_superuser') = 'on',"
    " NOT pg_catalog.pg_is_in_recovery() AND pg_catalog.current_setting('transaction_read_only') = 'off' AND ("
    "EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND pg_catalog.has_schema_privilege(n.oid, 'CREATE'))"
    " OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')))";

enum status clientdb_probe(PGconn *conn, struct clientdb_facts *ret_facts, struct error *err) {
  PGRESULT_AUTO res = NULL;
  if (pg_query(conn, facts_sql, 0, NULL, &res, err)) {
    error_prefix(err, "the server could not tell what it is");
    return err->status;
  }
  const char *version = PQntuples(res) == 1 && PQnfields(res) == 6 ? pg_str(res, 0, 0) : NULL;
  if (!version) return error_set(err, ERR_VALIDATION, "the server did not answer as PostgreSQL does");
  struct clientdb_facts facts = {.server_version_num = (int)pg_int(res, 0, 1, 0),
                                 .hypopg = pg_bool(res, 0, 2),
                                 .pg_stat_statements = pg_bool(res, 0, 3),
                                 .is_superuser = pg_bool(res, 0, 4),
                                 .can_write = pg_bool(res, 0, 5)};
  snprintf(facts.server_version, sizeof facts.server_version, "%.63s", version);
  for (char *p = facts.server_version; *p; p++)
    if (*p < 0x20 || *p > 0x7e) *p = '?';
  *ret_facts = facts;
  return OK;
}
