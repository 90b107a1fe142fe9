/* harness.h - real servers for integration tests: private, on free ports, gone at the end.
 *
 * A program makes one harness in its group setup, starts what it needs, and ends it in its group teardown:
 *
 *   static int setup(void **state) { struct harness *h = harness_new(); harness_stack(h, NULL, NULL); *state = h; return 0; }
 *   int main(void) { … return cmocka_run_group_tests(tests, setup, harness_teardown); }
 *
 * Everything is a child of the test program and dies with it (PR_SET_PDEATHSIG), however it ends. The program is its children's subreaper,
 * so that teardown sees orphans too; it fails when a process outlives its parent's stop, when a log holds a sanitizer's report, or when a
 * worker left a sandbox behind. Any failure to start shows the end of the log and fails the test. Refuses to run as root: use tests/run or
 * `deploy/as-service PROGRAM`.
 *
 * Nothing here sleeps for a fixed time: POLL_UNTIL(condition, timeout_ms) is how a test waits. */
#ifndef AUTODB_TESTS_HARNESS_H
#define AUTODB_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/types.h>

#define HARNESS_PATH 200
#define HARNESS_URL 320
#define HARNESS_PROCS 32
#define HARNESS_PASSWORD "harness" /* of the superuser "postgres" over TCP (scram); the unix socket trusts */

struct harness;

struct harness_proc {
  char name[32];
  pid_t pid; /* 0 when not running */
  char log[HARNESS_PATH + 64];
  /* private: how to start it again */
  char *path, **argv, **env;
  int death_signal, stop_signal;
  void (*ready)(struct harness *h, struct harness_proc *proc);
  bool (*vacant)(const struct harness_proc *proc); /* NULL, or: nothing a killed one left is in the way of the next */
};

struct harness_pg {
  struct harness_proc *proc;
  int major, port;
  char bin[HARNESS_PATH]; /* of the server's programs */
  char socket_dir[HARNESS_PATH + 32];
  char url[HARNESS_URL]; /* superuser, database "postgres", TCP */
};

struct harness {
  char dir[HARNESS_PATH];         /* private, removed at the end */
  char sandbox_dir[HARNESS_PATH]; /* AUTODB_SANDBOX_DIR of every worker */
  char database_url[HARNESS_URL]; /* AutoDB's own database; set by harness_postgres, or before it by the test */
  char redis_url[HARNESS_URL];    /* set by harness_valkey */
  char master_key[64];
  char api_url[64], metrics_url[64]; /* of the API started last */
  int api_port;
  char api_key[64]; /* sent by harness_http; set by harness_key */
  char owner_id[40];
  struct harness_pg pg[8];
  int pg_count;
  struct harness_proc procs[HARNESS_PROCS];
  int proc_count;
};

struct harness *harness_new(void);
int harness_teardown(void **state); /* cmocka fixture: harness_end(*state) */
void harness_end(struct harness *h);

/* --- processes --- */

/* env: NULL or "NAME=value" strings ending with NULL, laid over the program's environment without its AUTODB_* and PG* variables. argv[0]
 * is what the process is called; path what is executed. Standard error and output go to <dir>/<name>.log. */
struct harness_proc *harness_spawn(struct harness *h, const char *name, const char *path, const char *const argv[],
                                   const char *const env[]);
void harness_stop(struct harness_proc *proc);            /* its stop signal (SIGTERM), fails the test if it isn't gone after 20 s */
void harness_kill(struct harness_proc *proc);            /* SIGKILL and reap */
void harness_signal(struct harness_proc *proc, int sig); /* SIGSTOP, SIGCONT, … */
void harness_restart(struct harness *h, struct harness_proc *proc); /* the same command again, waits until it serves; proc is not running */
bool harness_alive(struct harness_proc *proc);
int harness_exit_status(struct harness_proc *proc, int timeout_ms); /* waits for its end; exit code, or 128 + signal */
bool harness_log_has(const struct harness_proc *proc, const char *text);
/* Runs to the end and returns the exit code; the output (both streams) is malloc'd into ret_output when that isn't NULL. */
int harness_run(struct harness *h, const char *path, const char *const argv[], const char *const env[], char **ret_output);

/* --- servers --- */

/* PostgreSQL of that major with pgvector where installed, TCP on 127.0.0.1 and a socket, fsync off. The first one also gets a database
 * "autodb", which becomes database_url. Skips the test program (exit 77) when the major is not installed. */
struct harness_pg *harness_postgres(struct harness *h, int major);
bool harness_has_postgres(int major);
/* Runs the tests as a group on each supported major that is installed, which *major names meanwhile; how many failed. */
#define harness_each_major(major, tests, setup, teardown) harness_majors(major, tests, sizeof(tests) / sizeof *(tests), setup, teardown)
int harness_majors(int *major, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup, CMFixtureFunction teardown);
/* Makes a database (dropped first) and writes its superuser URL into out. */
void harness_database(struct harness_pg *pg, const char *name, char out[HARNESS_URL]);
PGconn *harness_connect(const char *url);                  /* fails the test when it can't */
void harness_sql(const char *url, const char *script);     /* runs a script, fails the test on an error */
void harness_sql_file(const char *url, const char *path);  /* the same from a file; relative to the source tree */
long long harness_count(const char *url, const char *sql); /* first column of the first row as a number */
struct harness_proc *harness_valkey(struct harness *h);    /* no persistence */
void harness_schema_up(struct harness *h);                 /* `autodb schema up` on database_url */
/* Makes an owner (if new) and a key for it, by SQL; the raw key goes to out, and becomes api_key when there was none. */
void harness_key(struct harness *h, const char *owner, const char *role, char out[64]);
struct harness_proc *harness_api(struct harness *h, const char *const env[]);    /* on free ports; returns when /healthz answers */
struct harness_proc *harness_worker(struct harness *h, const char *const env[]); /* returns when /readyz is 200, if an API runs */
/* Postgres 17, Valkey, schema, an admin key of owner "test", API, one worker. */
void harness_stack(struct harness *h, const char *const api_env[], const char *const worker_env[]);
/* The environment an AutoDB program gets here, NULL-terminated with `more` at its end; free with harness_env_free. */
char **harness_env(struct harness *h, const char *const more[]);
void harness_env_free(char **env);

/* --- HTTP --- */

struct harness_reply {
  long status;   /* 0: no answer */
  char *headers; /* as received, CRLF lines */
  char *body;
  size_t body_len;
  json_t *json; /* NULL unless the body is JSON */
  double ms;
};
void harness_reply_free(struct harness_reply *reply);
#define REPLY_AUTO __attribute__((cleanup(harness_reply_free))) struct harness_reply
/* path is appended to api_url (or is a whole URL). headers: NULL or "Name: value" strings ending with NULL. X-API-Key is added unless a
 * header names it or Authorization; "X-API-Key:" alone leaves it out. Content-Type is application/json when there is a body. 90 s at most.
 */
void harness_http(struct harness *h, const char *method, const char *path, const char *const headers[], const char *body,
                  struct harness_reply *ret_reply);
/* The value of a header into out, "" when absent; returns out. */
char *harness_header(const struct harness_reply *reply, const char *name, char *out, size_t size);
/* A member by dotted path ("data.result.sandbox_result.passed", "data.items.0"); NULL when absent. */
json_t *harness_at(const json_t *value, const char *path);
const char *harness_text(const json_t *value, const char *path); /* "" unless it is a string */
long long harness_int(const json_t *value, const char *path);    /* -1 unless it is an integer */
/* Makes a connection of that name to url; its id goes to out. */
void harness_connection(struct harness *h, const char *name, const char *url, char out[40]);
/* POSTs JSON with `Prefer: wait=30`, expects 200 (or 202 and then polls up to timeout_ms), returns the finished job: a new reference. */
json_t *harness_job(struct harness *h, const char *path, json_t *take_body, int timeout_ms);
int harness_socket(struct harness *h); /* a TCP connection to the API, for raw bytes; 20 s receive timeout */

/* --- waiting --- */

void harness_nap(int *round); /* 1 ms, growing to 50 */
int64_t harness_now_ms(void);
/* timeout_ms: what a quiet machine needs at most; a busy one gets more, which costs nothing where the condition comes true. */
#define PATIENCE 6
#define POLL_UNTIL(condition, timeout_ms)                                                      \
  ({                                                                                           \
    int64_t poll_end = harness_now_ms() + (int64_t)(timeout_ms)*PATIENCE;                      \
    int poll_round = 0;                                                                        \
    bool poll_met;                                                                             \
    while (!(poll_met = (condition)) && harness_now_ms() < poll_end) harness_nap(&poll_round); \
    poll_met;                                                                                  \
  })

#endif
