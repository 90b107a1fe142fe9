/* `autodb context …`: what AutoDB is told about a database besides its schema, and asking it. */
#include <curl/curl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/term.h"
#include "common/buf.h"
#include "common/id.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/utf8.h"

#define WAIT_SECONDS 900
#define BUCKET_SECONDS 3600
#define SHOWN 50    /* of a list */
#define EXCERPT 480 /* bytes shown of a passage */
#define TABLE_TEXT 240

/* --- what the subcommands share --- */

struct asked { /* options all of them have */
  const char *connection;
  bool as_json;
};
#define ASKED_OPTIONS(asked) \
  {"--connection", &(asked).connection, NULL, NULL}, { "--json", NULL, &(asked).as_json, NULL }

static bool is_id(const char *text) {
  struct id id;
  return id_parse(text, &id);
}

/* A client, and the path of the connection meant with `rest` behind it. */
static enum status reach(const char *connection, const char *rest, struct client **ret_client, char path[256], struct error *err) {
  char id[64];
  enum status status = client_new(ret_client, err);
  if (!status) status = remote_connection(*ret_client, connection, REMOTE_READS, id, err);
  if (!status) snprintf(path, 256, "/api/v1/connections/%s/%s", id, rest);
  return status;
}

static const char *status_of(const json_t *document) { return json_str(document, "status", ""); }

static enum term_style style_of(const char *status) {
  return strcmp(status, "ready") == 0 ? TERM_GREEN : strcmp(status, "failed") == 0 ? TERM_RED : TERM_YELLOW;
}

static void human_size(long long bytes, char out[32]) {
  if (bytes < 10000)
    snprintf(out, 32, "%lld B", bytes);
  else if (bytes < 10000000)
    snprintf(out, 32, "%lld kB", bytes / 1000);
  else
    snprintf(out, 32, "%lld MB", bytes / 1000000);
}

/* Two lines: what it is and how it is; then its id, or what is wrong with it. */
static void print_document(const struct term *term, const json_t *document) {
  char size[32];
  const json_t *error = json_object_get(document, "error");
  human_size(json_int(document, "bytes", 0), size);
  term_printf(term, style_of(status_of(document)), "%-10s ", status_of(document));
  term_printf(term, TERM_BOLD, "%s", json_str(document, "name", ""));
  term_printf(term, TERM_PLAIN, "  %s, %lld chunks\n", size, json_int(document, "chunks", 0));
  term_printf(term, TERM_DIM, "           %s\n", json_str(document, "document_id", ""));
  if (json_is_object(error)) term_para(term, 11, 11, TERM_PLAIN, "", TERM_RED, json_str(error, "message", json_str(error, "code", "")));
}

static void print_documents(const json_t *list) {
  struct term term;
  size_t index;
  json_t *document;
  term_init(&term, stdout);
  json_array_foreach(list, index, document) print_document(&term, document);
}

static bool any_failed(const json_t *list) {
  size_t index;
  json_t *document;
  json_array_foreach(list, index, document) if (strcmp(status_of(document), "failed") == 0) return true;
  return false;
}

/* --- upload --- */

static enum status upload_batch(struct client *client, const char *path, const char *const files[], size_t count, json_t *documents,
                                struct error *err) {
  json_t *made = NULL;
  JSON_AUTO *job = NULL;
  enum status status = client_upload(client, path, files, count, &made, err);
  if (!status) status = client_wait(client, made, WAIT_SECONDS, &job, err);
  if (!status) json_array_extend(documents, json_object_get(json_object_get(job, "result"), "documents"));
  return status;
}

int context_upload(const struct cli_command *self, int argc, char **argv) {
  const char *files[CLI_LIST_MAX];
  struct asked asked = {0};
  int count = 0;
  char path[256];
  const struct cli_option options[] = {ASKED_OPTIONS(asked)};
  if (!cli_args(self, argc, argv, options, 2, files, CLI_LIST_MAX, &count)) return CLI_USAGE;
  if (count == 0) return cli_usage(self, "which files?");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *documents = json_array();
  if (reach(asked.connection, "documents/upload", &client, path, &err)) return remote_failed(&err);
  for (int at = 0; at < count; at += LIMIT_UPLOAD_FILES) {
    int batch = count - at < LIMIT_UPLOAD_FILES ? count - at : LIMIT_UPLOAD_FILES;
    if (upload_batch(client, path, files + at, (size_t)batch, documents, &err)) return remote_failed(&err);
  }
  if (asked.as_json)
    remote_print_json(documents);
  else
    print_documents(documents);
  return any_failed(documents) ? CLI_FAILED : CLI_OK;
}

/* --- list, show, delete, get --- */

int context_list(const struct cli_command *self, int argc, char **argv) {
  struct asked asked = {0};
  const char *status = NULL;
  int count = 0;
  char path[256], rest[128];
  const struct cli_option options[] = {ASKED_OPTIONS(asked), {"--status", &status, NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 3, NULL, 0, &count)) return CLI_USAGE;
  if (status && (!*status || strspn(status, "abcdefghijklmnopqrstuvwxyz") != strlen(status) || strlen(status) > 20))
    return cli_usage(self, "--status is pending, processing, ready or failed");
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *data = NULL;
  snprintf(rest, sizeof rest, "documents?limit=%d%s%s", SHOWN, status ? "&status=" : "", status ? status : "");
  if (reach(asked.connection, rest, &client, path, &err) || client_call(client, "GET", path, NULL, NULL, &data, &err))
    return remote_failed(&err);
  const json_t *items = json_object_get(data, "items");
  if (asked.as_json) return remote_print_json(items), CLI_OK;
  print_documents(items);
  if (json_str(data, "next_cursor", NULL)) printf("… and older ones\n");
  return CLI_OK;
}

/* One document by its id; `rest` of the path behind it. */
static enum status call_document(const char *method, const char *id, json_t **ret_data, struct error *err) {
  CLIENT_AUTO *client = NULL;
  char path[128];
  snprintf(path, sizeof path, "/api/v1/documents/%s", id);
  enum status status = client_new(&client, err);
  return status ? status : client_call(client, method, path, NULL, NULL, ret_data, err);
}

int context_show(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL;
  bool as_json = false;
  int count = 0;
  const struct cli_option options[] = {{"--json", NULL, &as_json, NULL}};
  if (!cli_args(self, argc, argv, options, 1, &id, 1, &count)) return CLI_USAGE;
  if (count != 1 || !is_id(id)) return cli_usage(self, "the id of a document is needed");
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  if (call_document("GET", id, &data, &err)) return remote_failed(&err);
  if (as_json) return remote_print_json(data), CLI_OK;
  struct term term;
  term_init(&term, stdout);
  print_document(&term, data);
  static const char *const members[] = {"source", "content_type", "sha256", "created_at", "updated_at"};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    term_printf(&term, TERM_PLAIN, "  %-12s %s\n", members[i], json_str(data, members[i], ""));
  return CLI_OK;
}

int context_delete(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL;
  int count = 0;
  if (!cli_args(self, argc, argv, NULL, 0, &id, 1, &count)) return CLI_USAGE;
  if (count != 1 || !is_id(id)) return cli_usage(self, "the id of a document is needed");
  ERROR_AUTO err = {0};
  JSON_AUTO *data = NULL;
  return call_document("DELETE", id, &data, &err) ? remote_failed(&err) : CLI_OK;
}

/* A file that is not whole is not left behind. */
static int get_into(const char *id, const char *to) {
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  char path[128];
  snprintf(path, sizeof path, "/api/v1/documents/%s/content", id);
  if (client_new(&client, &err)) return remote_failed(&err);
  FILE *out = to ? fopen(to, "wxe") : stdout;
  if (!out) return perror(to), CLI_FAILED;
  bool failed = client_download(client, path, out, &err) != OK;
  if (to && fclose(out) != 0 && !failed) {
    perror(to);
    unlink(to);
    return CLI_FAILED;
  }
  if (to && failed) unlink(to);
  return failed ? remote_failed(&err) : CLI_OK;
}

int context_get(const struct cli_command *self, int argc, char **argv) {
  const char *id = NULL, *to = NULL;
  int count = 0;
  const struct cli_option options[] = {{"--output", &to, NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 1, &id, 1, &count)) return CLI_USAGE;
  if (count != 1 || !is_id(id)) return cli_usage(self, "the id of a document is needed");
  return get_into(id, to);
}

/* --- query --- */

/* The first bytes of a text that may be long. */
static void print_excerpt(const struct term *term, const char *text, size_t most) {
  char excerpt[EXCERPT + 8];
  size_t len = strlen(text), cut = len > most ? utf8_cut(text, most) : len;
  snprintf(excerpt, sizeof excerpt, "%.*s%s", (int)cut, text, cut < len ? " …" : "");
  term_para(term, 2, 2, TERM_PLAIN, "", TERM_PLAIN, excerpt);
}

static void print_answer(const json_t *result) {
  struct term term;
  size_t index;
  json_t *item;
  term_init(&term, stdout);
  if (json_array_size(json_object_get(result, "schema"))) term_heading(&term, "Tables");
  json_array_foreach(json_object_get(result, "schema"), index, item) {
    term_printf(&term, TERM_BOLD, "%s", json_str(item, "table", ""));
    term_printf(&term, TERM_DIM, "  %.3f%s\n", json_number_value(json_object_get(item, "score")),
                json_bool(item, "by_fk", false) ? "  joins them" : "");
    print_excerpt(&term, json_str(item, "text", ""), TABLE_TEXT);
  }
  if (json_array_size(json_object_get(result, "documents"))) term_heading(&term, "Documents");
  json_array_foreach(json_object_get(result, "documents"), index, item) {
    const char *heading = json_str(item, "heading", NULL);
    term_printf(&term, TERM_BOLD, "%s", json_str(item, "name", ""));
    if (json_int(item, "page", 0)) term_printf(&term, TERM_PLAIN, ", page %lld", json_int(item, "page", 0));
    term_printf(&term, TERM_DIM, "  %.3f%s%s\n", json_number_value(json_object_get(item, "score")), heading ? "  " : "",
                heading ? heading : "");
    print_excerpt(&term, json_str(item, "text", ""), EXCERPT);
  }
  term_printf(&term, TERM_DIM, "\n%s, %s\n", json_str(result, "mode", ""), json_str(result, "embedding_model", ""));
}

/* Submits the body and waits; the result, or a failure that was printed (NULL). */
static json_t *run_job(const struct asked *asked, const char *rest, const json_t *body, int seconds) {
  ERROR_AUTO err = {0};
  CLIENT_AUTO *client = NULL;
  JSON_AUTO *job = NULL;
  json_t *made = NULL;
  char path[256];
  if (reach(asked->connection, rest, &client, path, &err) || client_call(client, "POST", path, body, NULL, &made, &err) ||
      client_wait(client, made, seconds, &job, &err)) {
    remote_failed(&err);
    return NULL;
  }
  return json_incref(json_object_get(job, "result"));
}

int context_query(const struct cli_command *self, int argc, char **argv) {
  struct asked asked = {0};
  const char *question = NULL, *tables = NULL, *documents = NULL;
  long long table_count = 5, document_count = 5;
  int count = 0;
  const struct cli_option options[] = {ASKED_OPTIONS(asked), {"--tables", &tables, NULL, NULL}, {"--documents", &documents, NULL, NULL}};
  if (!cli_args(self, argc, argv, options, 4, &question, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "one question is needed, in quotes");
  if ((tables && !remote_number(tables, 0, LIMIT_RETRIEVAL_RESULTS, &table_count)) ||
      (documents && !remote_number(documents, 0, LIMIT_RETRIEVAL_RESULTS, &document_count)))
    return cli_usage(self, "--tables and --documents are numbers from 0 to %d", LIMIT_RETRIEVAL_RESULTS);
  JSON_AUTO *body = json_pack("{s:s, s:I, s:I}", "query", question, "max_schema_chunks", (json_int_t)table_count, "max_doc_chunks",
                              (json_int_t)document_count);
  if (!body) return cli_usage(self, "the question is not UTF-8 text");
  JSON_AUTO *result = run_job(&asked, "context/query", body, WAIT_SECONDS);
  if (!result) return CLI_FAILED;
  if (asked.as_json)
    remote_print_json(result);
  else
    print_answer(result);
  return CLI_OK;
}

/* --- another model --- */

int context_reembed(const struct cli_command *self, int argc, char **argv) {
  struct asked asked = {0};
  struct term term;
  int count = 0;
  const struct cli_option options[] = {ASKED_OPTIONS(asked)};
  if (!cli_args(self, argc, argv, options, 2, NULL, 0, &count)) return CLI_USAGE;
  JSON_AUTO *body = json_object();
  JSON_AUTO *result = run_job(&asked, "context/reembed", body, BUCKET_SECONDS);
  if (!result) return CLI_FAILED;
  if (asked.as_json) {
    remote_print_json(result);
    return CLI_OK;
  }
  term_init(&term, stdout);
  term_printf(&term, TERM_PLAIN, "%lld documents, %lld chunks now have vectors of %s, %lld dimensions\n", json_int(result, "documents", 0),
              json_int(result, "chunks", 0), json_str(result, "embedding_model", ""), json_int(result, "dims", 0));
  return CLI_OK;
}

/* --- S3 --- */

static void add_list(json_t *body, const char *name, const struct cli_list *list) {
  json_t *array = json_strings(list->items, (size_t)list->count);
  if (list->count)
    json_object_set_new(body, name, array);
  else
    json_decref(array);
}

static void print_ingested(const json_t *result) {
  struct term term;
  size_t index;
  json_t *failure;
  char size[32];
  term_init(&term, stdout);
  human_size(json_int(result, "bytes", 0), size);
  term_printf(&term, TERM_PLAIN, "%lld listed, %lld ingested (%s, %lld chunks), %lld unchanged, %lld deleted\n",
              json_int(result, "listed", 0), json_int(result, "ingested", 0), size, json_int(result, "chunks", 0),
              json_int(result, "unchanged", 0), json_int(result, "deleted", 0));
  json_array_foreach(json_object_get(result, "failed"), index, failure) {
    const json_t *error = json_object_get(failure, "error");
    const char *why = json_is_string(error) ? json_string_value(error) : json_str(error, "message", "");
    term_para(&term, 0, 2, TERM_RED, json_str(failure, "key", ""), TERM_PLAIN, why);
  }
}

int context_s3(const struct cli_command *self, int argc, char **argv) {
  struct asked asked = {0};
  const char *bucket = NULL, *prefix = NULL, *region = NULL, *endpoint = NULL;
  struct cli_list include = {0}, exclude = {0};
  bool delete_missing = false, requester_pays = false;
  int count = 0;
  const struct cli_option options[] = {ASKED_OPTIONS(asked),
                                       {"--prefix", &prefix, NULL, NULL},
                                       {"--region", &region, NULL, NULL},
                                       {"--endpoint-url", &endpoint, NULL, NULL},
                                       {"--include", NULL, NULL, &include},
                                       {"--exclude", NULL, NULL, &exclude},
                                       {"--delete-missing", NULL, &delete_missing, NULL},
                                       {"--requester-pays", NULL, &requester_pays, NULL}};
  if (!cli_args(self, argc, argv, options, sizeof options / sizeof *options, &bucket, 1, &count)) return CLI_USAGE;
  if (count != 1) return cli_usage(self, "which bucket?");
  JSON_AUTO *body = json_pack("{s:s, s:s*, s:s*, s:s*, s:b, s:b}", "bucket", bucket, "prefix", prefix, "region", region, "endpoint_url",
                              endpoint, "delete_missing", delete_missing, "requester_pays", requester_pays);
  if (!body) return cli_usage(self, "the words are not UTF-8 text");
  add_list(body, "include", &include);
  add_list(body, "exclude", &exclude);
  JSON_AUTO *result = run_job(&asked, "documents/s3", body, BUCKET_SECONDS);
  if (!result) return CLI_FAILED;
  if (asked.as_json)
    remote_print_json(result);
  else
    print_ingested(result);
  return json_array_size(json_object_get(result, "failed")) ? CLI_FAILED : CLI_OK;
}
