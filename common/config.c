/* config.c - the table of settings, and reading it.
 *
 * Every row is read the same way: environment, else file, else default; then "file:" is followed, then the text is held
 * against the row's type and bounds. All faults are gathered, so that one start shows them all. Called at start, before
 * there are threads. */
#include "common/config.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/textfile.h"

#define FILE_BYTES (256 * 1024) /* of autodb.conf, and of what "file:" names */
#define STRINGS_BYTES (8 * 1024 * 1024)
#define DEFAULT_FILE "autodb.conf"

enum type { TYPE_STRING, TYPE_INT, TYPE_BOOL };

struct row {
  const char *name;
  enum type type;
  size_t offset;
  const char *otherwise; /* the default */
  int min, max;          /* numbers: the value; strings: bytes */
  const char *help;
  bool secret;         /* its value appears in no message: a secret is a STRING without choices */
  const char *choices; /* strings: "a|b|c" or NULL */
};

#define STRING(name, field, otherwise, max, help) \
  { name, TYPE_STRING, offsetof(struct config, field), otherwise, 0, max, help, false, NULL }
#define SECRET(name, field, max, help) \
  { name, TYPE_STRING, offsetof(struct config, field), "", 0, max, help, true, NULL }
#define CHOICE(name, field, otherwise, choices, help) \
  { name, TYPE_STRING, offsetof(struct config, field), otherwise, 0, 64, help, false, choices }
#define NUMBER(name, field, otherwise, min, max, help) \
  { name, TYPE_INT, offsetof(struct config, field), otherwise, min, max, help, false, NULL }
#define SWITCH(name, field, otherwise, help) \
  { name, TYPE_BOOL, offsetof(struct config, field), otherwise, 0, 1, help, false, NULL }

#define NUMBER_TEXT_OF(number) #number
#define NUMBER_TEXT(limit) NUMBER_TEXT_OF(limit)

static const struct row rows[] = {
    SECRET("AUTODB_DATABASE_URL", database_url, 8192,
           "AutoDB's own Postgres: a URI or key=value; deploy/up starts a private one when unset"),
    SECRET("AUTODB_REDIS_URL", redis_url, 8192,
           "Redis: redis://[:password@]host:port[/db] or unix:///path; deploy/up starts a private one when unset"),
    STRING("AUTODB_REDIS_PREFIX", redis_prefix, "autodb", 32,
           "what our names in Redis begin with: two installations on one server differ in it"),
    SECRET("AUTODB_MASTER_KEY", master_key, 8192,
           "seals secrets at rest: 32 bytes in base64, or id:base64,id:base64 to rotate (the first seals, all open)"),
    STRING("AUTODB_LISTEN", listen_address, "127.0.0.1", 255, "address the API listens on"),
    NUMBER("AUTODB_PORT", port, "8080", 0, 65535, "port the API listens on; 0 picks a free one"),
    NUMBER("AUTODB_API_LOOPS", api_loops, "0", 0, 256,
           "event loops of the API; 0 = one for two cores: the database needs the other, and fewer loops share more in a commit"),
    STRING("AUTODB_METRICS_LISTEN", metrics_listen, "127.0.0.1:0", 300, "host:port that serves GET /metrics; empty = off"),
    STRING("AUTODB_PORT_FILE", port_file, "", 4096, "file the API writes its real port to"),
    STRING("AUTODB_METRICS_PORT_FILE", metrics_port_file, "", 4096, "file the real metrics port is written to"),
    NUMBER("AUTODB_SLOTS", slots, "0", 0, LIMIT_SLOTS, "jobs one worker runs at once; 0 = one per core"),
    STRING("AUTODB_WORKER_NAME", worker_name, "", 128, "name of this worker, unique among all; empty = <host>-<pid>-<random>"),
    NUMBER("AUTODB_LEASE_SECONDS", lease_seconds, NUMBER_TEXT(LIMIT_LEASE_SECONDS), 2, 3600,
           "how long a claimed job is its worker's without a heartbeat; then another worker runs it again"),
    NUMBER("AUTODB_HEARTBEAT_SECONDS", heartbeat_seconds, NUMBER_TEXT(LIMIT_HEARTBEAT_SECONDS), 1, 1200,
           "time between heartbeats: at most half the lease, better a third"),
    NUMBER("AUTODB_OWNER_RATE", owner_rate, "50000", 0, 1000000,
           "jobs accepted from one owner in a second, by each API process; 0 = no limit; `autodb owner set` overrides it"),
    NUMBER("AUTODB_OWNER_BURST", owner_burst, "0", 0, 10000000, "of them at once; 0 = two seconds' worth"),
    NUMBER("AUTODB_OWNER_RUNNING", owner_running, "0", 0, 100000,
           "jobs of one owner that run at once, on all workers; 0 = no cap; `autodb owner set` overrides it"),
    NUMBER("AUTODB_OWNER_TOKENS", owner_tokens, "0", 0, 2000000000,
           "tokens of the language model, questions and answers together, that one owner may use in a day (UTC); then the built-in parser "
           "answers; 0 = no limit; `autodb owner set` overrides it"),
    NUMBER("AUTODB_JOBS_DAYS", jobs_days, "30", 0, 36500, "how long ended jobs are kept, in days; 0 = for ever"),
    NUMBER("AUTODB_RESULTS_DAYS", results_days, "0", 0, 36500, "how long their results are; 0 = as long as the jobs"),
    SWITCH("AUTODB_ENABLE_FAULTS", enable_faults, "0", "1 lets /jobs/echo fail on request: for tests only"),
    STRING("AUTODB_CONNECTION_ALLOW_CIDRS", connection_allow, "", 16384,
           "networks client databases may be in besides the public and private ones, comma-separated"),
    STRING("AUTODB_CONNECTION_DENY_CIDRS", connection_deny, "", 16384,
           "networks client databases may not be in; wins over what is allowed"),
    SWITCH("AUTODB_CONNECTION_ALLOW_UNIX", connection_allow_unix, "0", "1 lets client databases be reached by unix sockets"),
    STRING("AUTODB_WEBHOOK_ALLOW_CIDRS", webhook_allow, "", 16384, "networks webhooks may go to besides public ones, comma-separated"),
    STRING("AUTODB_PUBLIC_URL", public_url, "", 2048, "where clients reach the API: begins result_url in webhooks; empty = a path alone"),
    STRING("AUTODB_SANDBOX_DIR", sandbox_dir, "", 80, "where sandboxes live, in memory best; empty = /dev/shm/autodb-<uid>"),
    NUMBER("AUTODB_SANDBOX_WARM", sandbox_warm, "0", 0, LIMIT_SLOTS, "spare sandboxes a worker keeps ready; 0 = one per slot"),
    NUMBER("AUTODB_SANDBOX_MEMORY_MB", sandbox_memory_mb, "1024", 128, 1048576, "memory of one sandbox, in MiB"),
    CHOICE(
        "AUTODB_LLM_PROVIDER", llm_provider, "none", "none|bedrock|anthropic|openai",
        "language model that writes summaries; bedrock signs with the AWS credentials of the environment, openai is any compatible server"),
    STRING("AUTODB_LLM_BASE_URL", llm_base_url, "", 2048, "where the model is served; empty = the provider's own address"),
    STRING("AUTODB_LLM_MODEL", llm_model, "", 2048, "model id, or inference profile of Bedrock; empty = the provider's default"),
    SECRET("AUTODB_LLM_API_KEY", llm_api_key, 8192, "key for the provider; Bedrock needs none"),
    SWITCH("AUTODB_LLM_SAMPLES", llm_samples, "0",
           "1 lets frequent values of the client's text columns go to the language model, with the tables: it writes better conditions"),
    CHOICE("AUTODB_EMBED_PROVIDER", embed_provider, "builtin", "builtin|bedrock|openai",
           "who makes vectors of texts; builtin needs nobody, bedrock signs with the AWS credentials of the environment, openai is any "
           "compatible server"),
    STRING("AUTODB_EMBED_BASE_URL", embed_base_url, "", 2048, "where the model is served; empty = the provider's own address"),
    STRING("AUTODB_EMBED_MODEL", embed_model, "", 256, "model id; empty = the provider's default. Another one: `autodb context reembed`"),
    SECRET("AUTODB_EMBED_API_KEY", embed_api_key, 8192, "key for the provider; Bedrock needs none"),
    NUMBER("AUTODB_EMBED_DIMS", embed_dims, "0", 0, 4000, "dimensions asked of the model; 0 = its own"),
    STRING("AUTODB_GUARD_FUNCTIONS", guard_functions, "", 16384,
           "functions generated SQL may call besides PostgreSQL's own harmless ones: name or schema.name, comma-separated; IMMUTABLE or "
           "STABLE"),
    NUMBER("AUTODB_GUARD_MAX_COST", guard_max_cost, "10000000", 0, 2000000000,
           "generated SQL whose plan costs more, by EXPLAIN, is not run; 0 = no ceiling"),
    STRING("AUTODB_DOCUMENT_STORE", document_store, ".autodb/documents", 1024,
           "where the originals of documents are kept: a directory that API and workers share, or s3://bucket/prefix"),
    STRING("AUTODB_SPOOL_DIR", spool_dir, ".autodb/spool", 1024, "directory for uploads that are still arriving"),
    STRING("AUTODB_S3_ENDPOINT", s3_endpoint, "", 2048,
           "S3-compatible server of the document store, and of requests that name none; empty = AWS"),
    STRING("AUTODB_S3_ALLOW_ENDPOINTS", s3_allow_endpoints, "", 16384,
           "URLs of S3-compatible servers that a request may name besides AWS, comma-separated"),
    CHOICE("AUTODB_LOG_LEVEL", log_level, "info", "debug|info|warn|error", "least level that is logged"),
};
#define ROWS (sizeof rows / sizeof rows[0])

static struct arena *strings; /* lives as long as the process, as the values do */

/* ROWS when there is no such setting. */
static size_t find_row(const char *name) {
  size_t index = 0;
  while (index < ROWS && strcmp(rows[index].name, name) != 0) index++;
  return index;
}

/* Names that others read from the environment: a line in the file reaches them there. */
static bool is_passed_on(const char *name) {
  static const char binaries[] = "AUTODB_PG_BIN_";
  if (!strcmp(name, "AUTODB_WORKERS")) return true;
  if (strncmp(name, binaries, sizeof binaries - 1) != 0) return false;
  const char *major = name + sizeof binaries - 1;
  return *major && !major[strspn(major, "0123456789")];
}

static void read_line(char *line, int number, const char *values[ROWS], struct error *err) {
  line = textfile_trim(line);
  if (!*line || *line == '#') return;
  char *equals = strchr(line, '=');
  if (!equals) {
    error_add_field(err, "AUTODB_CONF", "line %d must be NAME=value or a # comment", number);
    return;
  }
  *equals = '\0';
  const char *name = textfile_trim(line), *value = textfile_trim(equals + 1);
  size_t index = find_row(name);
  if (is_passed_on(name))
    setenv(name, value, 0);
  else if (index == ROWS)
    error_add_field(err, name, "line %d of the configuration file: there is no such setting", number);
  else if (values[index])
    error_add_field(err, name, "line %d of the configuration file sets it a second time", number);
  else
    values[index] = value;
}

static void read_file(const char *values[ROWS], struct error *err) {
  const char *path = getenv("AUTODB_CONF");
  if (path && !*path) return; /* set but empty: no file at all */
  char *text = textfile_read(strings, path ? path : DEFAULT_FILE, FILE_BYTES);
  if (!text && (path || errno != ENOENT))
    error_add_field(err, "AUTODB_CONF", "cannot read %s: %s", path ? path : DEFAULT_FILE, strerror(errno));
  for (int number = 1; text; number++) {
    char *line = strsep(&text, "\n");
    read_line(line, number, values, err);
  }
}

/* Follows "file:<path>"; NULL after a fault was added. */
static const char *follow(const struct row *row, const char *value, struct error *err) {
  if (!strncmp(value, "secret:", 7)) {
    error_add_field(err, row->name,
                    "names a secret of AWS, which needs the AWS client this build does not have; use file:<path> or the value itself");
    return NULL;
  }
  if (strncmp(value, "file:", 5) != 0) {
    char *copy = arena_strdup(strings, value);
    if (!copy) error_oom(err);
    return copy;
  }
  char *text = textfile_read(strings, value + 5, FILE_BYTES);
  if (!text) {
    error_add_field(err, row->name, "cannot read %s: %s", value + 5, strerror(errno));
    return NULL;
  }
  size_t len = strlen(text);
  if (len && text[len - 1] == '\n') text[--len] = '\0';
  if (len && text[len - 1] == '\r') text[--len] = '\0';
  return text;
}

static bool is_choice(const char *choices, const char *value) {
  size_t len = strlen(value);
  for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
    if (strcspn(at, "|") == len && !strncmp(at, value, len)) return true;
  return false;
}

static void set_string(const struct row *row, const char *value, const char **field, struct error *err) {
  if (strlen(value) > (size_t)row->max)
    error_add_field(err, row->name, "holds %zu bytes, must hold at most %d", strlen(value), row->max);
  else if (row->choices && !is_choice(row->choices, value))
    error_add_field(err, row->name, "is \"%.64s\", must be one of %s", value, row->choices);
  else
    *field = value;
}

static void set_number(const struct row *row, const char *value, int *field, struct error *err) {
  char *end;
  errno = 0;
  long number = strtol(value, &end, 10);
  if (*end || errno || number < row->min || number > row->max)
    error_add_field(err, row->name, "is \"%.64s\", must be a number from %d to %d", value, row->min, row->max);
  else
    *field = (int)number;
}

static void set_switch(const struct row *row, const char *value, bool *field, struct error *err) {
  bool on = !strcmp(value, "1") || !strcmp(value, "true"), off = !strcmp(value, "0") || !strcmp(value, "false");
  if (on || off)
    *field = on;
  else
    error_add_field(err, row->name, "is \"%.64s\", must be 0 or 1", value);
}

static void set_row(const struct row *row, const char *from_file, struct config *config, struct error *err) {
  const char *value = getenv(row->name);
  if (!value) value = from_file ? from_file : row->otherwise;
  if (!(value = follow(row, value, err))) return;
  if (!*value && (row->type != TYPE_STRING || row->choices)) value = row->otherwise; /* NAME= in a compose file means unset */
  void *field = (char *)config + row->offset;
  switch (row->type) {
  case TYPE_STRING: set_string(row, value, field, err); break;
  case TYPE_INT: set_number(row, value, field, err); break;
  case TYPE_BOOL: set_switch(row, value, field, err); break;
  }
}

static int cores(void) {
  cpu_set_t set;
  long count = sched_getaffinity(0, sizeof set, &set) ? sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
  return count < 1 ? 1 : count > LIMIT_SLOTS ? LIMIT_SLOTS : (int)count;
}

/* The defaults that depend on where we run. */
static bool resolve(struct config *config) {
  if (!config->api_loops) config->api_loops = (cores() + 1) / 2;
  if (!config->slots) config->slots = cores();
  if (!config->sandbox_warm) config->sandbox_warm = config->slots;
  if (!*config->redis_prefix) config->redis_prefix = "autodb";
  if (!*config->sandbox_dir) config->sandbox_dir = arena_printf(strings, "/dev/shm/autodb-%u", (unsigned)getuid());
  if (!*config->worker_name) {
    char host[65] = "", tag[7];
    uint8_t random[3];
    gethostname(host, sizeof host - 1);
    crypto_random(random, sizeof random);
    crypto_hex(random, sizeof random, tag);
    config->worker_name = arena_printf(strings, "%s-%d-%s", host, (int)getpid(), tag);
  }
  return config->sandbox_dir && config->worker_name;
}

/* What each row alone cannot see. */
static void check_together(const struct config *config, struct error *err) {
  if (config->heartbeat_seconds * 2 > config->lease_seconds)
    error_add_field(err, "AUTODB_HEARTBEAT_SECONDS", "is %d, must be at most half of AUTODB_LEASE_SECONDS, which is %d",
                    config->heartbeat_seconds, config->lease_seconds);
}

enum status config_load(struct config *ret_config, struct error *err) {
  if (!strings && !(strings = arena_new(STRINGS_BYTES))) return error_oom(err);
  struct config config = {0};
  const char *from_file[ROWS] = {0};
  ERROR_AUTO faults = {0};
  read_file(from_file, &faults);
  for (size_t i = 0; i < ROWS; i++) set_row(&rows[i], from_file[i], &config, &faults);
  if (!faults.status) check_together(&config, &faults);
  if (faults.status) {
    error_clear(err);
    *err = faults;
    faults = (struct error){0};
    return err->status;
  }
  if (!resolve(&config)) return error_oom(err);
  *ret_config = config;
  return OK;
}

void config_print_help(FILE *out, const char *program, const char *usage) {
  fprintf(out,
          "usage: %s %s\n\nSettings, from the environment or lines NAME=value of %s (another file: AUTODB_CONF);\n"
          "a value may be file:<path>:\n\n",
          program, usage, DEFAULT_FILE);
  for (size_t i = 0; i < ROWS; i++) {
    fprintf(out, "  %-30s %s", rows[i].name, rows[i].help);
    if (rows[i].choices) fprintf(out, " (%s)", rows[i].choices);
    if (*rows[i].otherwise) fprintf(out, " [%s]", rows[i].otherwise);
    fputc('\n', out);
  }
}

/* A bar inside a cell would end it. */
static void print_cell(FILE *out, const char *text) {
  for (; *text; text++) {
    if (*text == '|') fputc('\\', out);
    fputc(*text, out);
  }
}

void config_print_markdown(FILE *out) {
  fputs("| setting | default | meaning |\n|---|---|---|\n", out);
  for (size_t i = 0; i < ROWS; i++) {
    fprintf(out, "| `%s` | %s%s%s | ", rows[i].name, *rows[i].otherwise ? "`" : "", rows[i].otherwise, *rows[i].otherwise ? "`" : "");
    print_cell(out, rows[i].help);
    if (rows[i].choices) fputs(": ", out), print_cell(out, rows[i].choices);
    fputs(" |\n", out);
  }
}
