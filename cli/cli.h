/* cli.h - what the commands of `autodb` share: the row each is, its options, its exit codes, how it fails.
 *
 * To add a command: a handler in its own file (declared below) and a row in commands.c; help comes from the row. */
#ifndef AUTODB_CLI_H
#define AUTODB_CLI_H

#include "common/error.h"

enum cli_exit {
  CLI_OK = 0,     /* done */
  CLI_FAILED = 1, /* it could not be done, or the job failed; standard error says why and what to do */
  CLI_USAGE = 2,  /* the command line is wrong; of `check`: or it could not be done, 1 being for what it finds */
};

struct cli_command {
  const char *name;                                                      /* "schema up" */
  const char *args;                                                      /* after the name, in the usage line */
  int (*handler)(const struct cli_command *self, int argc, char **argv); /* argv holds what follows the name */
  const char *help;                                                      /* one line, for the list */
  const char *details;                                                   /* what `autodb help NAME` adds; NULL = nothing */
};

int cli_main(int argc, char **argv);

/* --- options --- */

#define CLI_LIST_MAX 256
struct cli_list {
  const char *items[CLI_LIST_MAX];
  int count;
};
struct cli_option {
  const char *name;      /* "--owner" */
  const char **value;    /* takes one (--owner X, --owner=X); or NULL and … */
  bool *flag;            /* … it is a switch, or … */
  struct cli_list *list; /* … it may be given again and again */
};
/* Sorts argv into options and at most `max` positionals (their count in ret_count). A complaint is printed with the usage line. */
MUST_CHECK bool cli_args(const struct cli_command *self, int argc, char **argv, const struct cli_option *options, size_t count,
                         const char **positionals, int max, int *ret_count);
int cli_usage(const struct cli_command *self, const char *fmt, ...) PRINTF_LIKE(2, 3); /* CLI_USAGE */

/* --- failure --- */

/* Prints "autodb: message" with the fields a validation error names; CLI_FAILED. hint (may be NULL) says what to do. */
int cli_fail(const struct error *err, const char *hint);
/* The whole file, "-" = standard input; malloc'd and NUL-terminated. More than max bytes is an error. */
MUST_CHECK enum status cli_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err);

/* --- handlers --- */
int schema_up(const struct cli_command *self, int argc, char **argv);
int schema_status(const struct cli_command *self, int argc, char **argv);
int key_create(const struct cli_command *self, int argc, char **argv);
int owner_set(const struct cli_command *self, int argc, char **argv);
int owner_list(const struct cli_command *self, int argc, char **argv);
int queue_status(const struct cli_command *self, int argc, char **argv);
int queue_pause(const struct cli_command *self, int argc, char **argv);
int queue_resume(const struct cli_command *self, int argc, char **argv);
int remote_connection_add(const struct cli_command *self, int argc, char **argv);
int remote_connection_list(const struct cli_command *self, int argc, char **argv);
int remote_introspect(const struct cli_command *self, int argc, char **argv);
int remote_explain(const struct cli_command *self, int argc, char **argv);
int remote_optimize(const struct cli_command *self, int argc, char **argv);
int remote_workload(const struct cli_command *self, int argc, char **argv);
int remote_ask(const struct cli_command *self, int argc, char **argv);
int remote_analyze(const struct cli_command *self, int argc, char **argv);
int remote_job(const struct cli_command *self, int argc, char **argv);
int remote_execute(const struct cli_command *self, int argc, char **argv);
int webhook_add(const struct cli_command *self, int argc, char **argv);
int webhook_list(const struct cli_command *self, int argc, char **argv);
int webhook_rotate(const struct cli_command *self, int argc, char **argv);
int webhook_test(const struct cli_command *self, int argc, char **argv);
int webhook_deliveries(const struct cli_command *self, int argc, char **argv);
int context_upload(const struct cli_command *self, int argc, char **argv);
int context_list(const struct cli_command *self, int argc, char **argv);
int context_show(const struct cli_command *self, int argc, char **argv);
int context_delete(const struct cli_command *self, int argc, char **argv);
int context_get(const struct cli_command *self, int argc, char **argv);
int context_query(const struct cli_command *self, int argc, char **argv);
int context_reembed(const struct cli_command *self, int argc, char **argv);
int context_s3(const struct cli_command *self, int argc, char **argv);
int check_run(const struct cli_command *self, int argc, char **argv);

#endif
