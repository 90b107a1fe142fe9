/* conninfo.c - the list of libpq's parameters: who may set each, to what, and what it is otherwise.
 *
 * libpq does the parsing, so what we judge is what it would use; its messages quote the text, password and all, so none is passed on. A
 * parameter is named in a refusal only when libpq knows it: an unknown "name" may be the piece of a password with a space in it.
 *
 * To allow a parameter: give its row a check. To follow a new libpq: add a row (a test fails until there is one). */
#include "common/conninfo.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>

#include "common/buf.h"
#include "common/limits.h"

#define NOWHERE "/dev/null/nothing" /* a path no file can have: libpq then goes without */

typedef bool check_fn(const char *value);

static bool any(const char *value) { return *value != '\0'; }

static bool one_of(const char *value, const char *const *choices) {
  for (; *choices; choices++)
    if (strcmp(value, *choices) == 0) return true;
  return false;
}

static bool number(const char *value) {
  size_t digits = strspn(value, "0123456789");
  return digits > 0 && digits <= 7 && !value[digits];
}

static bool port_number(const char *value) { return number(value) && strtol(value, NULL, 10) >= 1 && strtol(value, NULL, 10) <= 65535; }

static bool ssl_mode(const char *value) {
  return one_of(value, (const char *const[]){"disable", "allow", "prefer", "require", "verify-full", NULL});
}

static bool ssl_negotiation(const char *value) { return one_of(value, (const char *const[]){"postgres", "direct", NULL}); }
static bool binding(const char *value) { return one_of(value, (const char *const[]){"disable", "prefer", "require", NULL}); }
static bool only_disable(const char *value) { return strcmp(value, "disable") == 0; }

static bool session_attrs(const char *value) {
  return one_of(value, (const char *const[]){"any", "read-write", "read-only", "primary", "standby", "prefer-standby", NULL});
}

/* Neon's endpoint, or a search path; one setting, no blanks, so that no second one hides behind it. */
static bool startup_options(const char *value) {
  static const char *const starts[] = {"endpoint=", "-c search_path=", "-csearch_path="};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    size_t len = strlen(starts[i]);
    if (strncmp(value, starts[i], len) != 0) continue;
    value += len;
    return *value && !value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$.,\"")];
  }
  return false;
}

static const struct param {
  const char *name;
  check_fn *check;       /* NULL: may not be given */
  const char *wanted;    /* completes "<name> must be …" */
  const char *otherwise; /* what libpq is told when it isn't given; NULL = nothing */
  const char *always;    /* what libpq is told whatever was given */
} params[] = {
    {"host", any, "a host name or address", NULL, NULL},
    {"port", port_number, "one port from 1 to 65535", "5432", NULL},
    {"user", any, "a role name", NULL, NULL},
    {"password", any, "not empty", NULL, NULL},
    {"dbname", any, "a database name", NULL, NULL},
    {"sslmode", ssl_mode, "disable, allow, prefer, require or verify-full (checked against this system's certificate authorities)", NULL,
     NULL},
    {"sslnegotiation", ssl_negotiation, "postgres or direct", "postgres", NULL},
    {"channel_binding", binding, "disable, prefer or require", "prefer", NULL},
    {"connect_timeout", number, "a number of seconds", NULL, NULL}, /* ours is shorter, and absolute */
    {"application_name", any, "not empty", NULL, "autodb"},
    {"client_encoding", any, "not empty", NULL, "UTF8"},
    {"target_session_attrs", session_attrs, "any, read-write, read-only, primary, standby or prefer-standby", "any", NULL},
    {"options", startup_options, "endpoint=NAME or -c search_path=NAMES", NULL, NULL},
    {"keepalives", number, "0 or 1", "1", NULL},
    {"keepalives_idle", number, "a number of seconds", "30", NULL},
    {"keepalives_interval", number, "a number of seconds", "10", NULL},
    {"keepalives_count", number, "a number", "3", NULL},
    {"tcp_user_timeout", number, "a number of milliseconds", "60000", NULL},
    {"gssencmode", only_disable, "disable", NULL, "disable"},
    /* From here on: not the client's business. */
    {"hostaddr", NULL, NULL, NULL, NULL}, /* the address that was checked */
    {"fallback_application_name", NULL, NULL, NULL, "autodb"},
    {"service", NULL, NULL, NULL, NULL}, /* a service file could only fill in what we leave open */
    {"servicefile", NULL, NULL, NULL, NULL},
    {"passfile", NULL, NULL, NULL, NOWHERE},
    {"sslcompression", NULL, NULL, NULL, "0"},
    {"sslcert", NULL, NULL, NULL, NOWHERE},
    {"sslkey", NULL, NULL, NULL, NOWHERE},
    {"sslkeylogfile", NULL, NULL, NULL, NULL},
    {"sslcertmode", NULL, NULL, NULL, "disable"},
    {"sslpassword", NULL, NULL, NULL, NULL},
    {"sslrootcert", NULL, NULL, NOWHERE, NULL}, /* "system" with verify-full */
    {"sslcrl", NULL, NULL, NULL, NOWHERE},
    {"sslcrldir", NULL, NULL, NULL, NOWHERE},
    {"sslsni", NULL, NULL, NULL, "1"},
    {"ssl_min_protocol_version", NULL, NULL, NULL, "TLSv1.2"},
    {"ssl_max_protocol_version", NULL, NULL, NULL, "TLSv1.3"},
    {"requirepeer", NULL, NULL, NULL, NULL},
    {"require_auth", NULL, NULL, NULL, NULL}, /* "none" without a password: none of ours may be sent instead */
    {"krbsrvname", NULL, NULL, NULL, "postgres"},
    {"gsslib", NULL, NULL, NULL, NULL},
    {"gssdelegation", NULL, NULL, NULL, "0"},
    {"replication", NULL, NULL, NULL, "false"},
    {"load_balance_hosts", NULL, NULL, NULL, "disable"},
};
enum { PARAM_COUNT = sizeof params / sizeof *params };
_Static_assert(PARAM_COUNT <= CONNINFO_PARAMS, "conninfo.h has too little room");

static int index_of(const char *name) {
  for (int i = 0; i < PARAM_COUNT; i++)
    if (strcmp(params[i].name, name) == 0) return i;
  return -1;
}

bool conninfo_knows(const char *name) { return index_of(name) >= 0; }

const char *conninfo_get(const struct conninfo *info, const char *name) {
  int at = index_of(name);
  return at < 0 ? NULL : info->values[at];
}

/* --- parsing --- */

static enum status refuse(struct error *err, const char *what) { return error_add_field(err, "connection_string", "%s", what); }

static enum status check_text(const char *text, struct error *err) {
  if (!text || !*text)
    return refuse(err, "is empty: expected postgresql://user:password@host:5432/dbname, or host=… port=… user=… password=… dbname=…");
  if (strlen(text) > CONNINFO_MAX) return refuse(err, "is longer than 4096 bytes");
  for (const char *p = text; *p; p++) {
    if (*p & 0x80) return refuse(err, "holds a character that is not ASCII: use the URI form and percent-encode it (é is %C3%A9)");
    if ((unsigned char)*p < 0x20 || *p == 0x7f) return refuse(err, "holds a control character (a line break or tab?): it must be one line");
  }
  return OK;
}

static bool has_control(const char *value) {
  for (; *value; value++)
    if ((unsigned char)*value < 0x20 || *value == 0x7f) return true;
  return false;
}

/* One parameter as libpq read it. All faults are gathered. */
static void take(const PQconninfoOption *option, struct arena *arena, struct conninfo *info, struct error *err) {
  if (!option->val) return;
  int at = index_of(option->keyword);
  if (at < 0 || !params[at].check)
    error_add_field(err, "connection_string", "parameter %s is not allowed", option->keyword);
  else if (has_control(option->val))
    error_add_field(err, "connection_string", "%s holds a control character", option->keyword);
  else if (!params[at].check(option->val))
    error_add_field(err, "connection_string", "%s must be %s", option->keyword, params[at].wanted);
  else if (!(info->values[at] = arena_strdup(arena, option->val)))
    error_oom(err);
}

static bool host_is_clean(const char *host) {
  return strlen(host) <= 255 && !host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:")];
}

static enum status check_host(struct conninfo *info, bool allow_unix, struct error *err) {
  const char *host = conninfo_get(info, "host");
  if (!host) return refuse(err, "names no host");
  info->is_unix = host[0] == '/' || host[0] == '@';
  if (info->is_unix)
    return allow_unix
               ? OK
               : refuse(err, "names a unix socket, which is refused here; an operator can allow it with AUTODB_CONNECTION_ALLOW_UNIX=1");
  if (strchr(host, ',')) return refuse(err, "names several hosts: exactly one is supported");
  if (!host_is_clean(host))
    return refuse(err, "has a host that is neither a name nor an address (in a URI, percent-encode @ : / ? # in user and password)");
  return OK;
}

static bool is_loopback_name(const char *host) {
  struct in_addr v4;
  struct in6_addr v6;
  if (inet_pton(AF_INET, host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, host, &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return strcasecmp(host, "localhost") == 0;
}

static enum status complete(struct conninfo *info, bool allow_unix, struct error *err) {
  if (check_host(info, allow_unix, err)) return ERR_VALIDATION;
  if (!conninfo_get(info, "user")) return refuse(err, "names no user");
  if (!conninfo_get(info, "dbname")) info->values[index_of("dbname")] = conninfo_get(info, "user"); /* as libpq does */
  const char *port = conninfo_get(info, "port"), *sslmode = conninfo_get(info, "sslmode");
  info->port = (int)strtol(port ? port : "5432", NULL, 10);
  bool near = info->is_unix || is_loopback_name(conninfo_get(info, "host"));
  info->sslmode = sslmode ? sslmode : near ? "prefer" : "require";
  return OK;
}

enum status conninfo_parse(const char *text, bool allow_unix, struct arena *arena, struct conninfo *ret_info, struct error *err) {
  if (check_text(text, err)) return err->status;
  char *reason = NULL;
  PQconninfoOption *options = PQconninfoParse(text, &reason);
  PQfreemem(reason);
  if (!options)
    return refuse(err, "is malformed or has a parameter that PostgreSQL does not know: expected "
                       "postgresql://user:password@host:5432/dbname?sslmode=require "
                       "with special characters percent-encoded, or host=… port=… user=… password='…' dbname=…");
  struct conninfo info = {0};
  ERROR_AUTO faults = {0};
  for (const PQconninfoOption *option = options; option->keyword; option++) take(option, arena, &info, &faults);
  PQconninfoFree(options);
  if (faults.status || complete(&info, allow_unix, &faults)) {
    error_clear(err);
    *err = faults;
    faults = (struct error){0};
    return err->status;
  }
  *ret_info = info;
  return OK;
}

/* --- writing --- */

static void put_encoded(struct buf *out, const char *text) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~";
  for (; text && *text; text++) {
    if (strchr(plain, *text))
      buf_putc(out, *text);
    else
      buf_printf(out, "%%%02X", (unsigned char)*text);
  }
}

static void put_authority(struct buf *out, const struct conninfo *info) {
  const char *password = conninfo_get(info, "password"), *host = conninfo_get(info, "host");
  bool bracketed = !info->is_unix && host && strchr(host, ':');
  put_encoded(out, conninfo_get(info, "user"));
  if (password) buf_putc(out, ':');
  put_encoded(out, password);
  buf_puts(out, bracketed ? "@[" : "@");
  if (bracketed)
    buf_puts(out, host);
  else
    put_encoded(out, host);
  buf_printf(out, "%s:%d/", bracketed ? "]" : "", info->port);
}

char *conninfo_uri(const struct conninfo *info, struct arena *arena) {
  static const char *const written[] = {"host", "port", "user", "password", "dbname", "sslmode", NULL};
  BUF_AUTO out;
  buf_init(&out, (size_t)4 * CONNINFO_MAX);
  buf_puts(&out, "postgresql://");
  put_authority(&out, info);
  put_encoded(&out, conninfo_get(info, "dbname"));
  buf_printf(&out, "?sslmode=%s", info->sslmode);
  for (int i = 0; i < PARAM_COUNT; i++) {
    if (!info->values[i] || one_of(params[i].name, written)) continue;
    buf_printf(&out, "&%s=", params[i].name);
    put_encoded(&out, info->values[i]);
  }
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}

/* What a parameter's row can't say. */
static const char *special(const struct conninfo *info, const char *name, const char *hostaddr) {
  bool has_password = conninfo_get(info, "password") != NULL;
  if (strcmp(name, "hostaddr") == 0) return hostaddr;
  if (strcmp(name, "sslmode") == 0) return info->sslmode;
  if (strcmp(name, "sslrootcert") == 0 && strcmp(info->sslmode, "verify-full") == 0) return "system";
  if (strcmp(name, "require_auth") == 0) return has_password ? "password,md5,scram-sha-256,none" : "none";
  if (strcmp(name, "password") == 0 && !has_password) return "none";   /* keeps PGPASSWORD out; require_auth keeps it from being sent */
  if (strcmp(name, "options") == 0 && getenv("PGOPTIONS")) return " "; /* only then: some poolers refuse any options */
  return NULL;
}

void conninfo_params(const struct conninfo *info, const char *hostaddr, const char **keys, const char **values) {
  int count = 0;
  for (int i = 0; i < PARAM_COUNT; i++) {
    const struct param *param = &params[i];
    const char *value = param->always ? param->always : info->values[i];
    if (strcmp(param->name, "connect_timeout") == 0) continue;
    if (!value) value = special(info, param->name, hostaddr);
    if (!value) value = param->otherwise;
    if (!value) continue;
    keys[count] = param->name;
    values[count++] = value;
  }
  keys[count] = values[count] = NULL;
}
