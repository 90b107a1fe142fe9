/* `autodb ask "…"`: a question in words, answered from the database. */
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/term.h"
#include "common/json.h"
#include "common/limits.h"

#define TIMEOUT_SECONDS 150

static void print_list(const struct term *term, const char *label, const json_t *list) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *text = json_string_value(json_array_get(list, i));
    if (text) term_para(term, 0, 10, TERM_YELLOW, label, TERM_PLAIN, text);
  }
}

static void print_statement(const struct term *term, const json_t *result) {
  const char *sql = json_str(result, "sql", NULL), *reasoning = json_str(result, "reasoning", "");
  if (*reasoning) term_para(term, 0, 10, TERM_DIM, "read as", TERM_PLAIN, reasoning);
  if (!sql) return;
  putchar('\n');
  term_block(term, 2, TERM_CYAN, sql);
  term_printf(term, TERM_DIM, "  by %s, confidence %.0f %%\n\n", json_str(result, "generator", ""),
              100 * json_number_value(json_object_get(result, "confidence")));
}

/* The table as it is: it is aligned for a terminal, and everything in it that could steer one is escaped. */
static void print_answer(const json_t *result) {
  struct term term;
  term_init(&term, stdout);
  const json_t *failed = json_object_get(result, "execution_error"), *clarify = json_object_get(result, "clarification");
  print_statement(&term, result);
  print_list(&term, "warning", json_object_get(result, "warnings"));
  if (json_is_object(failed)) {
    term_para(&term, 0, 10, TERM_RED, "failed", TERM_PLAIN, json_str(failed, "message", ""));
    const char *grant = json_str(json_object_get(failed, "details"), "create_role_sql", NULL);
    if (grant) term_block(&term, 2, TERM_PLAIN, grant);
  } else if (json_is_object(clarify)) {
    term_para(&term, 0, 10, TERM_BOLD, "asked", TERM_PLAIN, json_str(clarify, "question", ""));
    print_list(&term, "  perhaps", json_object_get(clarify, "choices"));
  } else if (json_is_array(json_object_get(result, "rows"))) {
    term_printf(&term, TERM_PLAIN, "%s\n", json_str(result, "markdown_output", ""));
  }
}

/* Neither failed nor asked back. */
static bool is_answered(const json_t *result) {
  return !json_is_object(json_object_get(result, "execution_error")) && !json_is_object(json_object_get(result, "clarification"));
}

int remote_ask(const struct cli_command *self, int argc, char **argv) {
  const char *question = NULL, *connection = NULL, *rows = "500";
  bool as_json = false, only_sql = false;
  int count = 0;
  long long limit = 0;
  const struct cli_option options[] = {{"--connection", &connection, NULL, NULL},
                                       {"--rows", &rows, NULL, NULL},
                                       {"--sql", NULL, &only_sql, NULL},
                                       {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &question, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which question? Put it in quotes");
  if (!remote_number(rows, 1, LIMIT_QUERY_ROWS, &limit)) return cli_usage(self, "--rows is a number from 1 to %d", LIMIT_QUERY_ROWS);
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  char id[64], path[160];
  json_t *made = NULL;
  JSON_AUTO *job = NULL, *body = json_pack("{s:s, s:b, s:I}", "query", question, "execute", !only_sql, "row_limit", (json_int_t)limit);
  if (!body) return cli_usage(self, "the question is not UTF-8 text");
  if (client_new(&client, &err) || remote_connection(client, connection, REMOTE_READS, id, &err)) return remote_failed(&err);
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/generate", id);
  if (client_call(client, "POST", path, body, NULL, &made, &err) || client_wait(client, made, TIMEOUT_SECONDS, &job, &err))
    return remote_failed(&err);
  const json_t *result = json_object_get(job, "result");
  if (as_json)
    remote_print_json(job);
  else
    print_answer(result);
  return is_answered(result) ? CLI_OK : CLI_FAILED;
}
