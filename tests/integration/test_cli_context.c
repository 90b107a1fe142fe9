/* `autodb context …` against a real API: what it prints, and how it ends. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/jobs.h"

static char connection[40];

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  REPLY_AUTO reply;
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  harness_api(h, NULL);
  harness_http(h, "POST", "/api/v1/connections?verify=false", NULL,
               "{\"name\": \"c\", \"db_type\": \"postgresql\", \"connection_string\": \"postgresql://u:p@127.0.0.1:1/x\"}", &reply);
  snprintf(connection, sizeof connection, "%s", harness_text(reply.json, "data.id"));
  *state = h;
  return 0;
}

/* Both streams in a static buffer. */
static const char *run(struct harness *h, int wanted, const char *const words[]) {
  static char output[65536];
  const char *argv[24] = {"autodb", "context"};
  char url[128], key[128], *text = NULL;
  for (int i = 0; words[i]; i++) argv[i + 2] = words[i];
  snprintf(url, sizeof url, "AUTODB_URL=%s", h->api_url);
  snprintf(key, sizeof key, "AUTODB_API_KEY=%s", h->api_key);
  int code = harness_run(h, AUTODB_BINARY_DIR "/autodb", argv, (const char *[]){url, key, NULL}, &text);
  snprintf(output, sizeof output, "%s", text);
  free(text);
  if (code != wanted) fail_msg("%s: exit %d instead of %d: %s", words[0], code, wanted, output);
  return output;
}
#define RUN(wanted, ...) run(h, wanted, (const char *[]){__VA_ARGS__, NULL})

static void assert_says(const char *output, const char *wanted) {
  if (!strstr(output, wanted)) fail_msg("\"%s\" is not in: %s", wanted, output);
}

/* No line is wider; bytes are an upper bound of columns. What is wrapped goes to 100 where there is no terminal to ask. */
static void assert_narrow(const char *output, size_t columns) {
  for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n')
    if (strcspn(line, "\n") > columns) fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
}

static char *write_file(struct harness *h, const char *name, const char *text, char out[HARNESS_PATH + 64]) {
  snprintf(out, HARNESS_PATH + 64, "%s/%s", h->dir, name);
  FILE *file = fopen(out, "we");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  return out;
}

/* Plays the worker: ends the newest job, which the command waits for. */
static pid_t finish_newest(struct harness *h, const char *kind, const char *result) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  char sql[200], id[40];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.queue WHERE kind = '%s'", kind);
  if (!POLL_UNTIL(harness_count(h->database_url, sql) == 1, 10000)) _exit(1);
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexec(conn, "SELECT id FROM autodb.queue ORDER BY id DESC LIMIT 1");
  snprintf(id, sizeof id, "%s", PQgetvalue(res, 0, 0));
  jobs_finish(h, id, "succeeded", result, NULL);
  _exit(0);
}

static void files_are_uploaded_listed_shown_fetched_and_deleted(void **state) {
  struct harness *h = *state;
  char first[HARNESS_PATH + 64], to[HARNESS_PATH + 64], id[40], back[64] = "";
  write_file(h, "handbook.md", "# Orders\n", first);
  finish_newest(
      h, "document.ingest",
      "{\"documents\": [{\"document_id\": \"x\", \"name\": \"handbook.md\", \"status\": \"ready\", \"chunks\": 1, \"bytes\": 9, \"error\": "
      "null}, {\"document_id\": \"y\", \"name\": \"scan.pdf\", \"status\": \"failed\", \"chunks\": 0, \"bytes\": 20000, \"error\": "
      "{\"code\": \"NEEDS_OCR\", \"message\": \"its pages are pictures\"}}]}");
  const char *output = RUN(1, "upload", first); /* one of them failed */
  assert_says(output, "ready");
  assert_says(output, "handbook.md  9 B, 1 chunks");
  assert_says(output, "20 kB");
  assert_says(output, "its pages are pictures");
  assert_narrow(output, 80);
  finish_newest(h, "document.ingest", "{\"documents\": [{\"name\": \"handbook.md\", \"status\": \"failed\"}]}");
  assert_says(RUN(1, "upload", "--json", first), "\"failed\"");
  output = RUN(0, "list", "--connection", connection);
  assert_says(output, "pending    handbook.md  9 B, 0 chunks");
  assert_narrow(output, 80);
  snprintf(id, sizeof id, "%.36s", strstr(output, "\n") + 12);
  output = RUN(0, "show", id);
  assert_says(output, "sha256");
  assert_narrow(output, 80);
  assert_says(RUN(0, "get", id), "# Orders\n");
  snprintf(to, sizeof to, "%s/back.md", h->dir);
  RUN(0, "get", id, "--output", to);
  FILE *file = fopen(to, "re");
  assert_non_null(file);
  assert_int_equal(fread(back, 1, sizeof back, file), 9);
  fclose(file);
  assert_string_equal(back, "# Orders\n");
  RUN(1, "get", id, "--output", to); /* never over something */
  RUN(0, "delete", id);
  assert_says(RUN(1, "show", id), "no such document");
  assert_says(RUN(1, "get", id), "no such document");
  assert_string_equal(RUN(0, "list", "--json"), "[]\n");
}

static void an_answer_is_printed_for_people(void **state) {
  struct harness *h = *state;
  finish_newest(
      h, "context.query",
      "{\"schema\": [{\"table\": \"shop.orders\", \"score\": 0.5, \"text\": \"orders of customers, one row each\", \"by_fk\": false}, "
      "{\"table\": \"shop.customers\", \"score\": 0, \"text\": \"who buys\", \"by_fk\": true}], \"documents\": [{\"name\": "
      "\"handbook.md\", \"heading\": \"Orders > Refunds\", \"page\": 3, \"score\": 0.25, \"text\": \"A refund is an order with a negative "
      "total, and it goes on for so long that it can't possibly fit into one line of a terminal.\"}], \"embedding_model\": "
      "\"builtin/x\", \"mode\": \"hybrid\"}");
  const char *output = RUN(0, "query", "what is a refund?");
  assert_says(output, "shop.orders  0.500");
  assert_says(output, "joins them");
  assert_says(output, "handbook.md, page 3  0.250  Orders > Refunds");
  assert_says(output, "hybrid, builtin/x");
  assert_narrow(output, 100);
}

static void another_model_is_reported(void **state) {
  struct harness *h = *state;
  finish_newest(h, "context.reembed", "{\"documents\": 2, \"chunks\": 9, \"embedding_model\": \"openai/m\", \"dims\": 256}");
  assert_says(RUN(0, "reembed"), "2 documents, 9 chunks now have vectors of openai/m, 256 dimensions");
  RUN(2, "reembed", "now");
}

static void a_bucket_is_reported(void **state) {
  struct harness *h = *state;
  finish_newest(
      h, "s3.ingest",
      "{\"listed\": 4, \"ingested\": 2, \"unchanged\": 1, \"failed\": [{\"key\": \"docs/broken.pdf\", \"error\": {\"code\": \"X\", "
      "\"message\": \"is encrypted\"}}], \"deleted\": 0, \"bytes\": 123456, \"chunks\": 7, \"duration_ms\": 5}");
  const char *output = RUN(1, "s3", "handbook", "--prefix", "docs/", "--include", "*.md", "--include=*.pdf");
  assert_says(output, "4 listed, 2 ingested (123 kB, 7 chunks), 1 unchanged, 0 deleted");
  assert_says(output, "docs/broken.pdf");
  assert_says(output, "is encrypted");
  assert_narrow(output, 80);
  assert_int_equal(harness_count(h->database_url,
                                 "SELECT count(*) FROM autodb.jobs WHERE kind = 's3.ingest' AND payload->'include'->>1 = '*.pdf' AND "
                                 "payload->>'delete_missing' = 'false'"),
                   1);
}

static void wrong_usage_is_said(void **state) {
  struct harness *h = *state;
  RUN(2, "upload");
  RUN(2, "show", "../x");
  RUN(2, "delete");
  RUN(2, "query");
  RUN(2, "query", "q", "--tables", "51");
  RUN(2, "list", "--status", "a&b=c");
  RUN(2, "s3");
  assert_says(RUN(1, "upload", "/nonexistent/file.md"), "/nonexistent/file.md can't be read");
  assert_says(RUN(1, "upload", h->dir), "is a directory");
  assert_says(RUN(0, "--help"), "autodb context upload FILE");
  assert_says(RUN(2, "upset"), "`context upset` is not a command");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files_are_uploaded_listed_shown_fetched_and_deleted),
      cmocka_unit_test(an_answer_is_printed_for_people),
      cmocka_unit_test(another_model_is_reported),
      cmocka_unit_test(a_bucket_is_reported),
      cmocka_unit_test(wrong_usage_is_said),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
