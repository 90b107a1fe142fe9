/* config.h - every setting is one row of one table (config.c): name, type, default, bounds, one line of help.
 *
 * A value comes from the environment, else from the file AUTODB_CONF names (default: autodb.conf in the working directory,
 * if there is one; none when AUTODB_CONF is set but empty; lines NAME=value, # comments), else from the default. A value may be
 * "file:<path>" (its content, trailing newline cut) or "secret:<arn>" (needs the AWS client; refused with a clear message until that is
 * built).
 * `--help` of each program and the table in README.md are printed from the rows (config_print_help, config_print_markdown).
 *
 * To add a setting: a field here, a row in config.c, and run `autodb config --markdown` into README.md. */
#ifndef AUTODB_CONFIG_H
#define AUTODB_CONFIG_H

#include <stdio.h>

#include "error.h"

struct config {
  /* record and bell */
  const char *database_url; /* AUTODB_DATABASE_URL */
  const char *redis_url;    /* AUTODB_REDIS_URL redis://[:password@]host:port[/db] or unix:///path */
  const char *redis_prefix; /* AUTODB_REDIS_PREFIX, default "autodb" */
  const char *master_key;   /* AUTODB_MASTER_KEY: 32 bytes base64; "id:base64[,id:base64…]" to rotate, first encrypts */
  /* api */
  const char *listen_address;    /* AUTODB_LISTEN, default 127.0.0.1 */
  int port;                      /* AUTODB_PORT, default 8080; 0 picks a free one */
  int api_loops;                 /* AUTODB_API_LOOPS, default 0 = half the cores */
  const char *metrics_listen;    /* AUTODB_METRICS_LISTEN "host:port"; api default 127.0.0.1:0; "" = off */
  const char *port_file;         /* AUTODB_PORT_FILE: where the API writes its real port, "" = nowhere */
  const char *metrics_port_file; /* AUTODB_METRICS_PORT_FILE */
  /* worker */
  int slots;               /* AUTODB_SLOTS, default 0 = cores */
  const char *worker_name; /* AUTODB_WORKER_NAME, default <host>-<pid>-<random> */
  int lease_seconds;       /* AUTODB_LEASE_SECONDS, default LIMIT_LEASE_SECONDS */
  int heartbeat_seconds;   /* AUTODB_HEARTBEAT_SECONDS, default LIMIT_HEARTBEAT_SECONDS */
  bool enable_faults;      /* AUTODB_ENABLE_FAULTS */
  /* owners, unless `autodb owner set` says otherwise for one */
  int owner_rate;    /* AUTODB_OWNER_RATE: jobs accepted a second, 0 = no limit */
  int owner_burst;   /* AUTODB_OWNER_BURST: at once, 0 = two seconds' worth */
  int owner_running; /* AUTODB_OWNER_RUNNING: jobs that run at once, 0 = no cap */
  int owner_tokens;  /* AUTODB_OWNER_TOKENS: of the language model, in a day, 0 = no limit */
  bool llm_samples;  /* AUTODB_LLM_SAMPLES: values of the client's rows may go to the language model */
  /* retention */
  int jobs_days;    /* AUTODB_JOBS_DAYS, 0 = for ever */
  int results_days; /* AUTODB_RESULTS_DAYS, 0 = as long as their jobs */
  /* network policy: comma-separated CIDRs */
  const char *connection_allow; /* AUTODB_CONNECTION_ALLOW_CIDRS */
  const char *connection_deny;  /* AUTODB_CONNECTION_DENY_CIDRS */
  bool connection_allow_unix;   /* AUTODB_CONNECTION_ALLOW_UNIX, default 0 */
  const char *webhook_allow;    /* AUTODB_WEBHOOK_ALLOW_CIDRS */
  const char *public_url;       /* AUTODB_PUBLIC_URL, "" = result_url is a path */
  /* sandbox */
  const char *sandbox_dir; /* AUTODB_SANDBOX_DIR, default /dev/shm/autodb-<uid> */
  int sandbox_warm;        /* AUTODB_SANDBOX_WARM: spare sandboxes per worker, default 0 = slots */
  int sandbox_memory_mb;   /* AUTODB_SANDBOX_MEMORY_MB, default 1024 */
  /* generated SQL */
  const char *guard_functions; /* AUTODB_GUARD_FUNCTIONS: additions to the guard's list, comma-separated */
  int guard_max_cost;          /* AUTODB_GUARD_MAX_COST, 0 = no ceiling */
  /* language model */
  const char *llm_provider; /* AUTODB_LLM_PROVIDER none|bedrock|anthropic|openai */
  const char *llm_base_url; /* AUTODB_LLM_BASE_URL, "" = the provider's own */
  const char *llm_model;    /* AUTODB_LLM_MODEL, "" = the provider's default */
  const char *llm_api_key;  /* AUTODB_LLM_API_KEY */
  /* embeddings */
  const char *embed_provider; /* AUTODB_EMBED_PROVIDER builtin|bedrock|openai */
  const char *embed_base_url; /* AUTODB_EMBED_BASE_URL, "" = the provider's own */
  const char *embed_model;    /* AUTODB_EMBED_MODEL, "" = the provider's default */
  const char *embed_api_key;  /* AUTODB_EMBED_API_KEY */
  int embed_dims;             /* AUTODB_EMBED_DIMS, 0 = the model's own */
  /* documents */
  const char *document_store;     /* AUTODB_DOCUMENT_STORE: a directory, or s3://bucket/prefix */
  const char *spool_dir;          /* AUTODB_SPOOL_DIR */
  const char *s3_endpoint;        /* AUTODB_S3_ENDPOINT, "" = AWS */
  const char *s3_allow_endpoints; /* AUTODB_S3_ALLOW_ENDPOINTS: URLs, comma-separated */
  /* logging */
  const char *log_level; /* AUTODB_LOG_LEVEL, default info */
};

/* Reads environment and file, at start: before there are threads. Every string lives as long as the process. Bad values make one
 * ERR_VALIDATION naming each setting, what it holds (never for secrets) and what would be right. An empty number or switch is unset.
 * Lines of the file with another name are refused, but for AUTODB_WORKERS and AUTODB_PG_BIN_<major>, which deploy/ and sandbox/
 * read from the environment: they are put there. Unknown AUTODB_* in the environment are left alone. */
MUST_CHECK enum status config_load(struct config *ret_config, struct error *err);
void config_print_help(FILE *out, const char *program, const char *usage);
void config_print_markdown(FILE *out);

#endif
