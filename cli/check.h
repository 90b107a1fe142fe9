/* check.h - `autodb check`: migrations judged on the machine they are written on, without a server.
 *
 * check.c          the command: options, the order of things, the exit code
 * check_files.c    which files: paths, directories, what was asked to be left out of the report
 * check_formats.c  whose migrations these are: names, order, sections; one row per tool
 * check_state.c    the schema between two files
 * check_child.c    one file, judged in a process that may die
 * check_result.c   what became of a file: severities, what is ignored, what fails the check
 * check_text.c, check_json.c, check_sarif.c, check_github.c  telling it
 *
 * The SQL is never parsed in the process that prints: every file gets a child with bounded memory and time. */
#ifndef AUTODB_CHECK_H
#define AUTODB_CHECK_H

#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/arena.h"
#include "common/config.h"
#include "worker/migration/analysis.h"

#define CHECK_FILES_MAX 10000
#define CHECK_FILES_BYTES (256 << 20) /* all files together */
#define CHECK_DEPTH_MAX 16            /* of directories */
#define CHECK_SCHEMA_BYTES (64 << 20)
#define CHECK_JOBS_MAX 4 /* files judged at once */
#define CHECK_TIMEOUT_SECONDS 120
#define CHECK_NEVER (-1) /* --fail-on never */

struct check_options {
  const char *schema, *database; /* where the schema before the first file comes from; at most one */
  int fail_on;                   /* enum severity, or CHECK_NEVER */
  int fail_on_score;             /* 0: not by score */
  int pg_version;                /* major; 0: the database's, else the newest installed */
  int timeout_seconds;           /* one file */
  int last;                      /* report only that many files, the last; 0: all */
  bool no_sandbox, require_sandbox;
  struct cli_list ignore, only;
};

/* --- files --- */

enum check_outcome {
  CHECK_PENDING,
  CHECK_REPORTED,   /* result holds the report */
  CHECK_UNREADABLE, /* … or message says why there is none */
  CHECK_CRASHED,
  CHECK_TIMED_OUT,
  CHECK_FAILED
};
struct check_file {
  const char *path;  /* as people name it: the argument and what lies below */
  const char *name;  /* below the argument: "20240101_x/up.sql" */
  const char *group; /* files that follow one another: the directory */
  const char *sql;   /* of the file's own length: what is not the way up is blank, so that lines and columns are the file's */
  size_t len;
  const struct check_format *format;
  enum analysis_runner runner;
  bool reported; /* else it is history: it only makes the schema */
  enum check_outcome outcome;
  const char *message;
  json_t *result;      /* the contract's report; owned */
  const char *problem; /* of replaying it: what could not be applied */
};
struct check_list {
  struct arena *arena;
  struct check_file *items;
  size_t count, cap, bytes;
};
/* Fills the list, in the order in which the migrations run. ERR_VALIDATION when a path isn't there, or there is nothing to check; a file
 * that can't be read is a result. forced: name of a format, NULL = found out. */
MUST_CHECK enum status check_files(struct check_list *list, const char *const *paths, int count, const char *forced, struct error *err);
/* Marks what is to be reported. ERR_VALIDATION when --only names a file that is none of them. */
MUST_CHECK enum status check_files_select(struct check_list *list, const struct check_options *options, struct error *err);

/* --- formats --- */

const char *check_format_name(const struct check_format *format);
const struct check_format *check_format_named(const char *name); /* NULL: there is none */
const char *check_format_names(void);                            /* "flyway, prisma, …" */
/* Finds out the format of files[0…count), all of one group (forced unless NULL), cuts out their way up, orders them and drops those that
 * are none. The number kept. */
size_t check_format_apply(const struct check_format *forced, struct check_file *files, size_t count, struct arena *arena);
/* By numbers in names: V2 before V10. */
int check_natural_order(const char *a, const char *b);

/* --- the schema between two files --- */

struct check_state;
/* Never fails for want of a sandbox: check_state_sandbox then says why there is none. */
MUST_CHECK enum status check_state_open(const struct config *cfg, const struct check_options *options, struct check_state **ret_state,
                                        struct error *err);
void check_state_free(struct check_state *state);
/* NULL when files are run in sandboxes, else the reason why not. */
const char *check_state_unavailable(const struct check_state *state);
struct check_view { /* valid until the next call */
  const json_t *json;
  const char *dump; /* NULL without a sandbox */
};
MUST_CHECK enum status check_state_view(struct check_state *state, struct check_view *ret_view, struct error *err);
/* The file has run: by replaying it, which leaves out what fails (file->problem). */
MUST_CHECK enum status check_state_apply(struct check_state *state, struct check_file *file, struct arena *arena, struct error *err);
/* Without a sandbox: the schema that the analysis of the file came to. Takes the reference. */
void check_state_replace(struct check_state *state, json_t *take_json);

/* --- children --- */

struct check_pool;
struct check_task {
  const struct config *cfg;
  const struct check_options *options;
  struct check_view view;
  bool want_state; /* the schema afterwards, too */
};
MUST_CHECK enum status check_pool_new(int jobs, struct arena *arena, struct check_pool **ret_pool, struct error *err);
void check_pool_free(struct check_pool *pool); /* kills what still runs */
/* Starts a child for the file, first waiting for a place. Its outcome is there after check_pool_finish at the latest. */
MUST_CHECK enum status check_pool_start(struct check_pool *pool, struct check_file *file, struct check_task *task, struct error *err);
/* Waits for all. */
void check_pool_finish(struct check_pool *pool);
/* The schema the last child came to, when it was asked for; NULL. Gives the reference. */
json_t *check_pool_take_state(struct check_pool *pool);

/* --- results --- */

struct check_summary {
  int files, failed; /* failed: no report */
  int errors, warnings, infos, suppressed;
  int sandbox_failed; /* files that did not pass in a sandbox */
  int not_run;        /* files that no sandbox could be had for */
  int score;          /* the highest */
  bool over;          /* something reaches the thresholds */
};
/* Suppresses what --ignore names, and counts. */
void check_result_summarise(struct check_list *list, const struct check_options *options, struct check_summary *ret_summary);
/* What the sandbox said: "passed", "failed", "unparsed" (it was not asked), "unavailable" or "skipped"; ret_message (NULL is fine) why. */
const char *check_result_sandbox(const json_t *report, const char **ret_message);

/* One finding, or what stands for one (a migration that fails, a file that could not be judged). */
struct check_note {
  const struct check_file *file;
  const char *rule;    /* id */
  enum severity level; /* */
  const char *message, *why, *advice;
  int line, column, end_line, end_column; /* 1-based; 0: unknown */
  const char *sql;                        /* the statement; NULL */
  const char *suppressed;                 /* the reason; NULL: it counts */
};
/* Calls `tell` for each, file by file in order. */
void check_result_notes(const struct check_list *list, void (*tell)(void *arg, const struct check_note *note), void *arg);

/* --- output --- */

void check_print_text(FILE *out, const struct check_list *list, const struct check_summary *summary);
void check_print_json(FILE *out, const struct check_list *list, const struct check_summary *summary);
void check_print_sarif(FILE *out, const struct check_list *list, const struct check_summary *summary);
void check_print_github(FILE *out, const struct check_list *list, const struct check_summary *summary);

#endif
