/* `autodb workload`: one set of indexes for many queries, from a file or from pg_stat_statements. */
#include <math.h>
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "cli/cli.h"
#include "cli/indexes.h"
#include "cli/remote.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"

#define TIMEOUT_SECONDS 1860
#define FILE_BYTES (4 * LIMIT_SQL_BYTES)
#define LINE_BYTES 4096

/* --- printing --- */

static double number(const json_t *object, const char *key, double otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* The query on one line, as much of it as fits. */
static void put_query(struct buf *line, const char *sql, size_t room) {
  size_t columns = 0;
  bool space = false;
  for (; *sql && columns < room; sql++) {
    bool blank = *sql == ' ' || *sql == '\n' || *sql == '\t' || *sql == '\r';
    if (blank && space) continue;
    space = blank;
    columns += ((unsigned char)*sql & 0xc0) != 0x80;
    buf_putc(line, blank ? ' ' : *sql);
  }
  if (*sql) buf_puts(line, "…");
}

static void print_query(const struct term *term, const json_t *query) {
  char before[40], after[40];
  BUF_AUTO line;
  buf_init(&line, LINE_BYTES);
  const char *skipped = json_str(query, "skipped", NULL);
  if (skipped)
    buf_printf(&line, "%31s  ", "left out");
  else
    buf_printf(&line, "%12s %12s %4.0f%%  ", indexes_number(number(query, "cost_before", 0), before),
               indexes_number(number(query, "cost_after", 0), after), number(query, "improvement_percent", 0));
  put_query(&line, json_str(query, "sql", ""), (size_t)term->width - 36);
  double saved = number(query, "improvement_percent", 0);
  term_printf(term, skipped ? TERM_DIM : saved >= 50 ? TERM_GREEN : TERM_PLAIN, "%s\n", buf_str(&line));
  if (skipped) term_para(term, 33, 33, TERM_DIM, "", TERM_DIM, skipped);
}

void workload_print(const struct term *term, const json_t *result) {
  char before[40], after[40], bytes[24], text[400];
  size_t index;
  json_t *one;
  term_heading(term, "Queries");
  term_printf(term, TERM_DIM, "%12s %12s %5s\n", "cost before", "after", "less");
  json_array_foreach(json_object_get(result, "queries"), index, one) print_query(term, one);
  snprintf(text, sizeof text, "All together: %s to %s (%s), %.1f %% less, with %zu indexes of %s.",
           indexes_number(number(result, "cost_before", 0), before), indexes_number(number(result, "cost_after", 0), after),
           json_str(result, "cost_unit", ""), number(result, "improvement_percent", 0),
           json_array_size(json_object_get(result, "index_recommendations")), indexes_bytes(number(result, "total_bytes", 0), bytes));
  putc('\n', term->out);
  term_para(term, 0, 0, TERM_BOLD, "", TERM_BOLD, text);
  indexes_print(term, result);
  json_array_foreach(json_object_get(result, "warnings"), index, one)
      term_para(term, 0, 9, TERM_YELLOW, "warning", TERM_PLAIN, json_string_value(one) ? json_string_value(one) : "");
}

/* --- what is asked --- */

static bool add_query(json_t *queries, const char *sql, size_t len) {
  json_t *query = json_pack("{s:s%}", "sql", sql, len);
  return query && json_array_append_new(queries, query) == 0;
}

/* At each semicolon, whatever stands before it: what is no statement is for the server to say. */
static bool split_tokens(const char *text, const PgQuery__ScanResult *scanned, json_t *queries) {
  int start = -1, end = -1;
  bool added = true;
  for (size_t i = 0; added && i <= scanned->n_tokens; i++) {
    const PgQuery__ScanToken *token = i < scanned->n_tokens ? scanned->tokens[i] : NULL;
    if (token && (token->token == PG_QUERY__TOKEN__SQL_COMMENT || token->token == PG_QUERY__TOKEN__C_COMMENT)) continue;
    if (token && token->token != PG_QUERY__TOKEN__ASCII_59) {
      if (start < 0) start = token->start;
      end = token->end;
    } else if (start >= 0) {
      added = add_query(queries, text + start, (size_t)(end - start));
      start = -1;
    }
  }
  return added;
}

static enum status split_queries(const char *text, json_t *queries, struct error *err) {
  PgQueryScanResult scan = pg_query_scan(text);
  PgQuery__ScanResult *scanned = scan.error ? NULL : pg_query__scan_result__unpack(NULL, scan.pbuf.len, (const uint8_t *)scan.pbuf.data);
  enum status status = OK;
  if (!scanned)
    status = error_set(err, ERR_VALIDATION, "the file can't be split into statements: %s", scan.error ? scan.error->message : "no memory");
  else if (!split_tokens(text, scanned, queries))
    status = error_set(err, ERR_VALIDATION, "the file is not UTF-8 text");
  if (scanned) pg_query__scan_result__free_unpacked(scanned, NULL);
  pg_query_free_scan_result(scan);
  return status;
}

/* Statements, or JSON: [{"sql", "weight"}]. */
static enum status read_queries(const char *file, json_t **ret_queries, struct error *err) {
  char *text = NULL;
  size_t len = 0;
  enum status status = cli_read_file(file, FILE_BYTES, &text, &len, err);
  if (status) return status;
  JSON_AUTO *queries = NULL;
  if (text[strspn(text, " \t\r\n")] == '[')
    status = json_parse(text, len, &queries, err);
  else
    status = (queries = json_array()) ? split_queries(text, queries, err) : error_oom(err);
  free(text);
  if (!status && !json_array_size(queries)) status = error_set(err, ERR_VALIDATION, "%.200s holds no query", file);
  if (!status) *ret_queries = json_incref(queries);
  return status;
}

/* "500MB": bytes, or with kB, MB, GB. */
static bool read_bytes(const char *text, long long *ret_bytes) {
  static const struct {
    const char *unit;
    double bytes;
  } units[] = {{"", 1}, {"kB", 1024}, {"MB", 1048576}, {"GB", 1073741824}};
  char *end;
  double value = strtod(text, &end);
  for (size_t i = 0; end != text && value > 0 && i < sizeof units / sizeof *units; i++)
    if (strcmp(end, units[i].unit) == 0 && value * units[i].bytes >= 1 && value * units[i].bytes < 9e18) {
      *ret_bytes = (long long)(value * units[i].bytes);
      return true;
    }
  return false;
}

static int run(const char *connection, const json_t *body, bool as_json) {
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  struct term term;
  json_t *made = NULL;
  JSON_AUTO *job = NULL;
  char id[64], path[160];
  if (client_new(&client, &err) || remote_connection(client, connection, REMOTE_READS, id, &err)) return remote_failed(&err);
  snprintf(path, sizeof path, "/api/v1/connections/%s/workload/optimize", id);
  if (client_call(client, "POST", path, body, NULL, &made, &err) || client_wait(client, made, TIMEOUT_SECONDS, &job, &err))
    return remote_failed(&err);
  if (as_json) return remote_print_json(job), CLI_OK;
  term_init(&term, stdout);
  workload_print(&term, json_object_get(job, "result"));
  return CLI_OK;
}

int remote_workload(const struct cli_command *self, int argc, char **argv) {
  const char *file = NULL, *connection = NULL, *budget = NULL, *most = NULL;
  bool as_json = false;
  int count = 0;
  long long bytes = 0, indexes = 0;
  const struct cli_option options[] = {{"--connection", &connection, NULL, NULL},
                                       {"--budget", &budget, NULL, NULL},
                                       {"--max-indexes", &most, NULL, NULL},
                                       {"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &file, 1, &count)) return CLI_USAGE;
  if (budget && !read_bytes(budget, &bytes)) return cli_usage(self, "--budget takes bytes, or a number with kB, MB or GB: 500MB");
  if (most && !remote_number(most, 1, 100, &indexes)) return cli_usage(self, "--max-indexes takes 1 to 100");
  ERROR_AUTO err = {0};
  JSON_AUTO *body = json_pack("{s:s}", "source", count ? "queries" : "pg_stat_statements");
  json_t *queries = NULL;
  if (!body) return CLI_FAILED;
  if (count && read_queries(file, &queries, &err)) return cli_fail(&err, NULL);
  if (queries) json_object_set_new(body, "queries", queries);
  if (budget) json_object_set_new(body, "budget_bytes", json_integer(bytes));
  if (most) json_object_set_new(body, "max_indexes", json_integer(indexes));
  return run(connection, body, as_json);
}
