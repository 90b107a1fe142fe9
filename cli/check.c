/* check.c - `autodb check`: collect, judge in order, tell.
 *
 * Root is given up as soon as the files are read: what follows is done as the user servers run as, since PostgreSQL refuses root and
 * hostile SQL should find nothing else either. */
#include "cli/check.h"

#include <limits.h>
#include <unistd.h>

#include "common/job.h"
#include "common/log.h"
#include "sandbox/process.h"
#include "worker/migration/rules.h"

#define ARENA_BYTES (1024ULL << 20)

typedef void (*print_fn)(FILE *out, const struct check_list *list, const struct check_summary *summary);
static const struct {
  const char *name;
  print_fn print;
} outputs[] = {{"text", check_print_text}, {"json", check_print_json}, {"sarif", check_print_sarif}, {"github", check_print_github}};
enum { OUTPUT_COUNT = sizeof outputs / sizeof *outputs };

/* What the command line says, before it is understood. */
struct words {
  const char *format, *fail_on, *fail_on_score, *pg_version, *timeout, *last, *migrations_format;
  const char **paths;
  int path_count;
};

struct check {
  const struct check_options *options;
  const struct config *cfg;
  struct check_list list;
  struct check_state *state;
  struct check_pool *pool;
};

/* --- the command line --- */

static bool number(const struct cli_command *self, const char *name, const char *text, int min, int max, int *ret_value) {
  char *end = NULL;
  if (!text) return true;
  long value = strtol(text, &end, 10);
  if (end == text || *end || value < min || value > max)
    return cli_usage(self, "%s is a number from %d to %d, not `%s`", name, min, max, text), false;
  *ret_value = (int)value;
  return true;
}

static bool fail_level(const struct cli_command *self, const char *text, int *ret_level) {
  static const char *const names[] = {"info", "warning", "error"};
  *ret_level = SEVERITY_ERROR;
  if (!text) return true;
  for (int i = 0; i < 3; i++)
    if (strcmp(text, names[i]) == 0) return *ret_level = i, true;
  if (strcmp(text, "never") == 0) return *ret_level = CHECK_NEVER, true;
  return cli_usage(self, "--fail-on is info, warning, error or never, not `%s`", text), false;
}

static bool find_output(const struct cli_command *self, const char *name, print_fn *ret_print) {
  for (int i = 0; i < OUTPUT_COUNT; i++)
    if (strcmp(outputs[i].name, name) == 0) return *ret_print = outputs[i].print, true;
  return cli_usage(self, "--format is text, json, sarif or github, not `%s`", name), false;
}

static bool known_rules(const struct cli_command *self, const struct cli_list *ignored) {
  for (int i = 0; i < ignored->count; i++)
    if (!rules_named(ignored->items[i])) return cli_usage(self, "--ignore: there is no rule `%s`", ignored->items[i]), false;
  return true;
}

static bool understand(const struct cli_command *self, const struct words *words, struct check_options *options, print_fn *ret_print) {
  if (!words->path_count) return cli_usage(self, "names no file or directory"), false;
  if (options->schema && options->database) return cli_usage(self, "--schema and --database exclude each other"), false;
  if (options->no_sandbox && options->require_sandbox)
    return cli_usage(self, "--no-sandbox and --require-sandbox exclude each other"), false;
  if (words->migrations_format && !check_format_named(words->migrations_format))
    return cli_usage(self, "--migrations-format is one of %s", check_format_names()), false;
  options->timeout_seconds = CHECK_TIMEOUT_SECONDS;
  return find_output(self, words->format, ret_print) && fail_level(self, words->fail_on, &options->fail_on) &&
         number(self, "--fail-on-score", words->fail_on_score, 1, 100, &options->fail_on_score) &&
         number(self, "--pg-version", words->pg_version, 13, 18, &options->pg_version) &&
         number(self, "--timeout", words->timeout, 1, 3600, &options->timeout_seconds) &&
         number(self, "--last", words->last, 1, CHECK_FILES_MAX, &options->last) && known_rules(self, &options->ignore);
}

static bool read_words(const struct cli_command *self, int argc, char **argv, struct words *words, struct check_options *options) {
  const struct cli_option rows[] = {{"--format", &words->format, NULL, NULL},
                                    {"--fail-on", &words->fail_on, NULL, NULL},
                                    {"--fail-on-score", &words->fail_on_score, NULL, NULL},
                                    {"--pg-version", &words->pg_version, NULL, NULL},
                                    {"--timeout", &words->timeout, NULL, NULL},
                                    {"--last", &words->last, NULL, NULL},
                                    {"--migrations-format", &words->migrations_format, NULL, NULL},
                                    {"--schema", &options->schema, NULL, NULL},
                                    {"--database", &options->database, NULL, NULL},
                                    {"--no-sandbox", NULL, &options->no_sandbox, NULL},
                                    {"--require-sandbox", NULL, &options->require_sandbox, NULL},
                                    {"--only", NULL, NULL, &options->only},
                                    {"--ignore", NULL, NULL, &options->ignore}};
  return cli_args(self, argc, argv, rows, sizeof rows / sizeof *rows, words->paths, argc, &words->path_count);
}

/* --- judging --- */

/* What comes after the last file reported is of no interest. */
static size_t last_reported(const struct check_list *list) {
  size_t last = 0;
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].reported) last = i + 1;
  return last;
}

/* With a sandbox: judged beside the replay, which goes on to the next one. */
static enum status judge_live(struct check *check, struct check_file *file, bool more, struct error *err) {
  struct check_task task = {.cfg = check->cfg, .options = check->options};
  enum status status = OK;
  if (file->reported) {
    status = check_state_view(check->state, &task.view, err);
    if (!status) status = check_pool_start(check->pool, file, &task, err);
  }
  return status || !more ? status : check_state_apply(check->state, file, check->list.arena, err);
}

/* Without one: each file's analysis says where the next begins. */
static enum status judge_static(struct check *check, struct check_file *file, bool more, struct error *err) {
  struct check_task task = {.cfg = check->cfg, .options = check->options, .want_state = more};
  enum status status = check_state_view(check->state, &task.view, err);
  if (!status) status = check_pool_start(check->pool, file, &task, err);
  if (status) return status;
  check_pool_finish(check->pool);
  json_t *after = check_pool_take_state(check->pool);
  if (after) check_state_replace(check->state, after);
  return OK;
}

/* The schema script is the first of all migrations, to which nobody listens. */
static enum status read_schema_statically(struct check *check, struct error *err) {
  struct check_file schema = {.path = check->options->schema, .name = "", .runner = RUNNER_NOTHING};
  char *text = NULL;
  enum status status = cli_read_file(schema.path, CHECK_SCHEMA_BYTES, &text, &schema.len, err);
  schema.sql = text;
  if (!status) status = judge_static(check, &schema, true, err);
  free(text);
  if (!status && schema.outcome != CHECK_REPORTED)
    return error_set(err, ERR_VALIDATION, "%s: %s", schema.path, schema.message ? schema.message : "it can't be read");
  return status;
}

static enum status judge_all(struct check *check, struct error *err) {
  bool live = !check_state_unavailable(check->state);
  size_t last = last_reported(&check->list);
  enum status status = !live && check->options->schema ? read_schema_statically(check, err) : OK;
  for (size_t i = 0; i < last && !status; i++) {
    struct check_file *file = &check->list.items[i];
    if (file->outcome != CHECK_PENDING) continue;
    status = live ? judge_live(check, file, i + 1 < last, err) : judge_static(check, file, i + 1 < last, err);
  }
  check_pool_finish(check->pool);
  return status;
}

/* --- telling --- */

static void warn(const struct check *check) {
  const char *why = check_state_unavailable(check->state);
  if (why && !check->options->no_sandbox) fprintf(stderr, "autodb: nothing is run, the analysis is static only: %s\n", why);
  for (size_t i = 0; i < check->list.count; i++) {
    const struct check_file *file = &check->list.items[i];
    const char *message = file->problem ? file->problem : !file->reported ? file->message : NULL;
    if (message) fprintf(stderr, "autodb: %s: %s\n", file->path, message);
  }
}

static int finish(struct check *check, print_fn print) {
  struct check_summary summary;
  check_result_summarise(&check->list, check->options, &summary);
  warn(check);
  print(stdout, &check->list, &summary);
  if (summary.failed || (check->options->require_sandbox && summary.not_run)) return CLI_USAGE;
  return summary.over ? CLI_FAILED : CLI_OK;
}

/* --- the command --- */

/* Neither settings nor files of a database of our own are needed, only where sandboxes live. */
static enum status give_up_root(struct config *cfg, struct error *err) {
  if (!process_drop()) return error_set(err, ERR_UNAVAILABLE, "can't give up being root");
  log_init("check", LOG_ERROR);
  return config_load(cfg, err);
}

static enum status run(struct check *check, const struct words *words, struct config *cfg, struct error *err) {
  int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  enum status status = check_files(&check->list, words->paths, words->path_count, words->migrations_format, err);
  if (!status) status = check_files_select(&check->list, check->options, err);
  if (!status) status = give_up_root(cfg, err);
  if (!status) status = check_state_open(cfg, check->options, &check->state, err);
  const char *why = status ? NULL : check_state_unavailable(check->state);
  if (why && check->options->require_sandbox) status = error_set(err, ERR_UNAVAILABLE, "--require-sandbox: %s", why);
  if (!status) status = check_pool_new(why ? 1 : cores, check->list.arena, &check->pool, err);
  return status ? status : judge_all(check, err);
}

int check_run(const struct cli_command *self, int argc, char **argv) {
  struct check_options options = {0};
  struct words words = {.format = "text", .paths = calloc((size_t)argc + 1, sizeof *words.paths)};
  struct config cfg;
  ERROR_AUTO err = {0};
  print_fn print = NULL;
  int code = CLI_USAGE;
  struct check check = {.options = &options, .cfg = &cfg, .list.arena = arena_new(ARENA_BYTES)};
  if (!words.paths || !check.list.arena) {
    (void)!error_oom(&err);
    cli_fail(&err, NULL);
  } else if (read_words(self, argc, argv, &words, &options) && understand(self, &words, &options, &print)) {
    if (run(&check, &words, &cfg, &err))
      cli_fail(&err, NULL); /* CLI_USAGE: 1 means that there is something to be read */
    else
      code = finish(&check, print);
  }
  check_pool_free(check.pool);
  check_state_free(check.state);
  for (size_t i = 0; i < check.list.count; i++) json_decref(check.list.items[i].result);
  arena_free(check.list.arena);
  free(words.paths);
  return code;
}
