/* Documents, as far as the API goes: uploads come in whole or not at all, whoever hangs up, crawls or dies, and leave nothing behind. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto.h"
#include "common/limits.h"
#include "tests/support/form.h"
#include "tests/support/harness.h"
#include "tests/support/jobs.h"
#include "tests/support/raw.h"

#define BOUNDARY "------------------------d74496d66958873e"
#define TYPE_HEADER "Content-Type: multipart/form-data; boundary=" BOUNDARY
#define PART(name) "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"" name "\"\r\n\r\n"
#define END "\r\n--" BOUNDARY "--\r\n"

static char other_key[80], connection[40];
static struct harness_proc *api;

static void path_of(char out[200], const char *rest) { snprintf(out, 200, "/api/v1/connections/%s/documents%s", connection, rest); }

static void create_connection(struct harness *h, char out[40]) {
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/connections?verify=false", NULL,
               "{\"name\": \"c\", \"db_type\": \"postgresql\", \"connection_string\": \"postgresql://u:p@127.0.0.1:1/x\"}", &reply);
  assert_int_equal(reply.status, 201);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.id"));
}

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  harness_key(h, "other", "user", key);
  snprintf(other_key, sizeof other_key, "X-API-Key: %s", key);
  api = harness_api(h, NULL);
  *state = h;
  return 0;
}

/* Each test has a connection of its own. */
static int fresh(void **state) {
  create_connection(*state, connection);
  return 0;
}

/* --- what is left --- */

static int files_in(const char *path) {
  int count = 0;
  DIR *listing = opendir(path);
  for (struct dirent *entry; listing && (entry = readdir(listing));)
    if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0) {
      char inner[600];
      struct stat info;
      snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
      count += stat(inner, &info) == 0 && S_ISDIR(info.st_mode) ? files_in(inner) : 1;
    }
  if (listing) closedir(listing);
  return count;
}

static int spooled(struct harness *h) {
  char path[HARNESS_PATH + 16];
  snprintf(path, sizeof path, "%s/spool", h->dir);
  return files_in(path);
}

static int originals(struct harness *h) {
  char path[HARNESS_PATH + 16];
  snprintf(path, sizeof path, "%s/documents", h->dir);
  return files_in(path);
}

static long long rows(struct harness *h, const char *table) {
  char sql[200];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.%s WHERE connection_id = '%s'", table, connection);
  return harness_count(h->database_url, sql);
}

static void assert_nothing_left(struct harness *h) {
  assert_true(POLL_UNTIL(spooled(h) == 0, 5000));
  assert_int_equal(rows(h, "documents"), 0);
  assert_int_equal(rows(h, "jobs"), 0);
}

/* --- calls --- */

static void upload(struct harness *h, const char *const headers[], const struct form_part *parts, size_t count, int status,
                   struct harness_reply *ret_reply) {
  char path[200];
  path_of(path, "/upload");
  form_post(h, path, headers, parts, count, ret_reply);
  if (ret_reply->status != status) fail_msg("%ld instead of %d: %s", ret_reply->status, status, ret_reply->body);
}

static void call(struct harness *h, const char *method, const char *path, const char *const headers[], const char *body, int status,
                 struct harness_reply *ret_reply) {
  harness_http(h, method, path, headers, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%s %s: %ld instead of %d: %s", method, path, ret_reply->status, status, ret_reply->body);
}

/* The head of an upload by hand; length -1: chunked. */
static int begin_upload(struct harness *h, long length) {
  char head[1024], framing[64];
  snprintf(framing, sizeof framing, length < 0 ? "Transfer-Encoding: chunked" : "Content-Length: %ld", length);
  int fd = harness_socket(h);
  snprintf(head, sizeof head,
           "POST /api/v1/connections/%s/documents/upload HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n" TYPE_HEADER "\r\n%s\r\n\r\n", connection,
           h->api_key, framing);
  assert_true(raw_send(fd, head, strlen(head)));
  return fd;
}

static bool send_text(int fd, const char *text) { return raw_send(fd, text, strlen(text)); }

static void first_document(struct harness *h, char out[40]) {
  char path[200];
  REPLY_AUTO reply;
  path_of(path, "?limit=1");
  call(h, "GET", path, NULL, NULL, 200, &reply);
  snprintf(out, 40, "%s", harness_text(reply.json, "data.items.0.document_id"));
}

/* --- what comes in --- */

static void an_upload_is_stored_committed_and_listed(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, list, one;
  char path[200], sha[SHA256_HEX], id[40];
  const struct form_part parts[] = {{.file = "handbook.md", .text = "# Orders\n\nPaid ones count.\n", .type = "text/markdown"},
                                    {.file = "empty.txt", .text = ""},
                                    {.file = "dir/../na\xc3\xafve \"q\".sql", .text = "SELECT 1;"}};
  upload(h, NULL, parts, 3, 202, &reply);
  assert_string_equal(harness_text(reply.json, "data.kind"), "document.ingest");
  assert_string_equal(harness_text(reply.json, "data.status"), "queued");
  assert_string_equal(harness_text(reply.json, "data.connection_id"), connection);
  const char *job = harness_text(reply.json, "data.job_id");
  assert_string_equal(jobs_value(h, job, "json_array_length(j.payload->'documents')"), "3");
  path_of(path, "");
  call(h, "GET", path, NULL, NULL, 200, &list);
  assert_int_equal(json_array_size(harness_at(list.json, "data.items")), 3);
  first_document(h, id);
  path_of(path, "/");
  snprintf(path + strlen(path), sizeof path - strlen(path), "%s", id);
  call(h, "GET", path, NULL, NULL, 200, &one);
  static const char *const members[] = {"document_id", "name",   "source", "content_type", "bytes",     "sha256",
                                        "status",      "chunks", "error",  "created_at",   "updated_at"};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) assert_non_null(json_object_get(harness_at(one.json, "data"), members[i]));
  char sql[400];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.documents d, autodb.jobs j, json_array_elements(j.payload->'documents') p WHERE j.id = '%s' AND "
           "d.id::text = p->>'document_id' AND d.name = p->>'name' AND d.sha256 = p->>'sha256' AND d.bytes = (p->>'bytes')::int",
           job);
  assert_int_equal(harness_count(h->database_url, sql), 3);
  crypto_sha256_hex(parts[0].text, strlen(parts[0].text), sha);
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.documents WHERE connection_id = '%s' AND name = 'handbook.md' AND source = 'upload' AND "
           "content_type = 'text/markdown' AND bytes = 27 AND sha256 = '%s' AND status = 'pending'",
           connection, sha);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.documents WHERE connection_id = '%s' AND name = E'na\\u00EFve \"q\".sql'",
           connection);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  assert_int_equal(spooled(h), 0);
}

static void fifty_files_are_taken_and_no_more(void **state) {
  struct harness *h = *state;
  struct form_part parts[LIMIT_UPLOAD_FILES + 1];
  char names[LIMIT_UPLOAD_FILES + 1][16];
  REPLY_AUTO more, reply;
  for (int i = 0; i <= LIMIT_UPLOAD_FILES; i++) {
    snprintf(names[i], sizeof names[i], "f%d.txt", i);
    parts[i] = (struct form_part){.file = names[i], .made = (size_t)(100 + i)};
  }
  upload(h, NULL, parts, LIMIT_UPLOAD_FILES + 1, 413, &more);
  assert_nothing_left(h);
  upload(h, NULL, parts, LIMIT_UPLOAD_FILES, 202, &reply);
  assert_int_equal(rows(h, "documents"), LIMIT_UPLOAD_FILES);
}

static void a_file_too_large_ends_the_whole_upload(void **state) {
  struct harness *h = *state;
  REPLY_AUTO refused, reply;
  int before = originals(h);
  const struct form_part parts[] = {{.file = "a.txt", .text = "small"}, {.file = "b.txt", .made = LIMIT_DOCUMENT_BYTES + 1}},
                         most = {.file = "c.txt", .made = LIMIT_DOCUMENT_BYTES};
  upload(h, NULL, parts, 2, 413, &refused);
  assert_string_equal(harness_text(refused.json, "error.code"), "PAYLOAD_TOO_LARGE");
  assert_non_null(strstr(refused.body, "b.txt"));
  assert_nothing_left(h);
  assert_int_equal(originals(h), before);
  upload(h, NULL, &most, 1, 202, &reply);
}

static void too_large_is_said_before_the_rest_is_sent(void **state) {
  struct harness *h = *state;
  RAW_AUTO refused, all;
  int fd = begin_upload(h, 40 * 1024 * 1024);
  char *text = form_made(LIMIT_DOCUMENT_BYTES + 1);
  assert_true(send_text(fd, PART("a.txt")) && send_text(fd, text));
  raw_read(fd, false, &refused);
  assert_int_equal(refused.status, 413);
  close(fd);
  free(text);
  fd = begin_upload(h, (long)LIMIT_UPLOAD_BYTES + 1);
  raw_read(fd, false, &all);
  assert_int_equal(all.status, 413);
  close(fd);
  assert_nothing_left(h);
}

static void what_is_no_form_is_refused(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *type, *body;
    int status;
    const char *says;
  } rows_[] = {
      {"Content-Type: application/json", "{}", 415, "multipart"},
      {"Content-Type:", "x", 415, "multipart"},
      {"Content-Type: multipart/form-data", "x", 400, "boundary"},
      {TYPE_HEADER, "", 400, "boundary"},
      {TYPE_HEADER, "x", 400, "boundary"},
      {TYPE_HEADER, PART("a.txt") "cut off", 400, "last boundary"},
      {TYPE_HEADER, PART("a.txt") "cut off\r\n--" BOUNDARY "\r\n", 400, "last boundary"},
      {TYPE_HEADER, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"files\"\n\r\n\r\nx" END, 400, "CRLF"},
      {TYPE_HEADER, "--" BOUNDARY "--\r\n", 422, "at least one"},
      {TYPE_HEADER, PART("") "x" END, 422, "name"},
      {TYPE_HEADER, PART("..") "x" END, 422, "name"},
      {TYPE_HEADER, PART("a/") "x" END, 422, "name"},
      {TYPE_HEADER, PART("a") "x\r\n" PART("b/a") "y" END, 422, "twice"},
      {TYPE_HEADER, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx" END, 422, "files"},
      {TYPE_HEADER, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\nx" END, 422, "name"},
      {TYPE_HEADER, PART("a") "x\r\n--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"prioritty\"\r\n\r\nbulk" END, 422,
       "prioritty"},
      {TYPE_HEADER, PART("a") "x\r\n--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"priority\"\r\n\r\nsoon" END, 422, "priority"},
      {TYPE_HEADER, PART("a") "x\r\n--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n[1" END, 422, "metadata"},
      {TYPE_HEADER, PART("a") "x\r\n--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n[1]" END, 422, "metadata"},
  };
  char path[200], too_long[1024];
  path_of(path, "/upload");
  for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
    REPLY_AUTO reply;
    harness_http(h, "POST", path, (const char *[]){rows_[i].type, NULL}, rows_[i].body, &reply);
    if (reply.status != rows_[i].status || !strstr(reply.body, rows_[i].says)) fail_msg("%zu: %ld %s", i, reply.status, reply.body);
  }
  REPLY_AUTO reply;
  memset(too_long, 'a', 256);
  too_long[256] = 0;
  upload(h, NULL, &(struct form_part){.file = too_long, .text = "x"}, 1, 422, &reply);
  assert_nothing_left(h);
}

static void the_members_of_every_job_are_form_fields(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  const struct form_part parts[] = {{.field = "priority", .text = "bulk"},
                                    {.file = "a.md", .text = "a"},
                                    {.field = "metadata", .text = "{\"ticket\": 7}"},
                                    {.field = "run_at", .text = "2999-01-01T00:00:00Z"}};
  upload(h, NULL, parts, 4, 422, &reply);
  assert_non_null(strstr(reply.body, "run_at"));
  assert_nothing_left(h);
  harness_reply_free(&reply);
  upload(h, NULL, parts, 3, 202, &reply);
  assert_string_equal(harness_text(reply.json, "data.priority"), "bulk");
  assert_int_equal(harness_int(reply.json, "data.metadata.ticket"), 7);
}

static void a_replay_is_the_same_job(void **state) {
  struct harness *h = *state;
  REPLY_AUTO first, again, other;
  char replayed[16], key[80];
  snprintf(key, sizeof key, "Idempotency-Key: up-%s", connection);
  const char *const headers[] = {key, NULL};
  struct form_part part = {.file = "a.md", .text = "one"};
  upload(h, headers, &part, 1, 202, &first);
  upload(h, headers, &part, 1, 202, &again);
  assert_string_equal(harness_text(first.json, "data.job_id"), harness_text(again.json, "data.job_id"));
  assert_string_equal(harness_header(&again, "Idempotent-Replayed", replayed, sizeof replayed), "true");
  part.text = "two";
  upload(h, headers, &part, 1, 422, &other);
  assert_string_equal(harness_text(other.json, "error.code"), "IDEMPOTENCY_MISMATCH");
  assert_int_equal(rows(h, "documents"), 1);
  assert_int_equal(rows(h, "jobs"), 1);
  assert_int_equal(spooled(h), 0);
}

static void the_same_name_replaces(void **state) {
  struct harness *h = *state;
  REPLY_AUTO first, second, content;
  char id[40], same[40], path[240];
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "one"}, 1, 202, &first);
  first_document(h, id);
  char sql[200];
  snprintf(sql, sizeof sql,
           "UPDATE autodb.documents SET status = 'failed', error = '{\"code\": \"X\", \"message\": \"y\"}' WHERE id = '%s'", id);
  harness_sql(h->database_url, sql);
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "two"}, 1, 202, &second);
  first_document(h, same);
  assert_string_equal(id, same);
  assert_int_equal(rows(h, "documents"), 1);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.documents WHERE id = '%s' AND status = 'pending' AND error IS NULL", id);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  snprintf(path, sizeof path, "/api/v1/documents/%s/content", id);
  call(h, "GET", path, NULL, NULL, 200, &content);
  assert_string_equal(content.body, "two");
}

/* What was found of the content stays said of it, whatever the client calls it this time. */
static void the_same_content_keeps_its_type(void **state) {
  struct harness *h = *state;
  REPLY_AUTO first, same, other;
  const char *const count = "SELECT count(*) FROM autodb.documents WHERE content_type = 'text/html' AND connection_id = '%s'";
  char sql[300];
  struct form_part part = {.file = "a", .text = "<html>one</html>", .type = "application/octet-stream"};
  upload(h, NULL, &part, 1, 202, &first);
  snprintf(sql, sizeof sql, "UPDATE autodb.documents SET content_type = 'text/html', ingested_sha256 = sha256 WHERE connection_id = '%s'",
           connection);
  harness_sql(h->database_url, sql);
  upload(h, NULL, &part, 1, 202, &same);
  snprintf(sql, sizeof sql, count, connection);
  assert_int_equal(harness_count(h->database_url, sql), 1);
  part.text = "two";
  upload(h, NULL, &part, 1, 202, &other);
  assert_int_equal(harness_count(h->database_url, sql), 0);
}

/* --- what goes out --- */

static void the_original_comes_back_and_nothing_a_browser_would_run(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, content, head;
  char id[40], path[240], value[400];
  upload(h, NULL, &(struct form_part){.file = "\xc3\xa4 b.html", .text = "<script>alert(1)</script>", .type = "text/html"}, 1, 202, &reply);
  first_document(h, id);
  path_of(path, "/");
  snprintf(path + strlen(path), sizeof path - strlen(path), "%s/content", id);
  call(h, "GET", path, NULL, NULL, 200, &content);
  assert_string_equal(content.body, "<script>alert(1)</script>");
  assert_string_equal(harness_header(&content, "Content-Type", value, sizeof value), "text/plain; charset=utf-8");
  assert_string_equal(harness_header(&content, "Content-Disposition", value, sizeof value), "attachment; filename*=UTF-8''%C3%A4%20b.html");
  assert_string_equal(harness_header(&content, "X-Content-Type-Options", value, sizeof value), "nosniff");
  assert_non_null(strstr(harness_header(&content, "Content-Security-Policy", value, sizeof value), "sandbox"));
  call(h, "HEAD", path, NULL, NULL, 200, &head);
  assert_string_equal(harness_header(&head, "Content-Length", value, sizeof value), "25");
}

static void a_large_original_comes_back_byte_for_byte(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, content, after;
  char id[40], path[240];
  char *text = form_made(LIMIT_DOCUMENT_BYTES);
  upload(h, NULL, &(struct form_part){.file = "big.pdf", .made = LIMIT_DOCUMENT_BYTES, .type = "application/pdf"}, 1, 202, &reply);
  first_document(h, id);
  snprintf(path, sizeof path, "/api/v1/documents/%s/content", id);
  call(h, "GET", path, NULL, NULL, 200, &content);
  assert_int_equal(content.body_len, LIMIT_DOCUMENT_BYTES);
  assert_memory_equal(content.body, text, LIMIT_DOCUMENT_BYTES);
  call(h, "GET", "/healthz", NULL, NULL, 200, &after); /* on the same connection */
  free(text);
}

static void a_damaged_original_is_not_given_out(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, content, gone;
  char id[40], path[240], sha[SHA256_HEX], file[HARNESS_PATH + 100];
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "to be damaged"}, 1, 202, &reply);
  first_document(h, id);
  crypto_sha256_hex("to be damaged", 13, sha);
  snprintf(file, sizeof file, "%s/documents/%.2s/%s", h->dir, sha, sha);
  FILE *original = fopen(file, "we");
  assert_non_null(original);
  fputs("has been damaged", original);
  fclose(original);
  snprintf(path, sizeof path, "/api/v1/documents/%s/content", id);
  call(h, "GET", path, NULL, NULL, 500, &content);
  assert_string_equal(harness_text(content.json, "error.code"), "ORIGINAL_DAMAGED");
  unlink(file);
  call(h, "GET", path, NULL, NULL, 404, &gone);
}

static void deleting_takes_the_chunks_at_once(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, deleted, gone, again;
  char id[40], path[240], sql[900];
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "a"}, 1, 202, &reply);
  first_document(h, id);
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.chunks (connection_id, id, document_id, ordinal, first_byte, last_byte, body, terms, words) VALUES "
           "('%s', gen_random_uuid(), '%s', 0, 0, 1, 'a', '{1}', '')",
           connection, id);
  harness_sql(h->database_url, sql);
  snprintf(path, sizeof path, "/api/v1/documents/%s", id);
  call(h, "DELETE", path, NULL, NULL, 204, &deleted);
  assert_int_equal(rows(h, "chunks"), 0);
  call(h, "GET", path, NULL, NULL, 404, &gone);
  call(h, "DELETE", path, NULL, NULL, 404, &again);
}

static void lists_are_filtered_and_paged(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, page, next, ready, s3, bad, empty;
  char path[240], sql[300];
  path_of(path, "");
  call(h, "GET", path, NULL, NULL, 200, &empty);
  assert_int_equal(json_array_size(harness_at(empty.json, "data.items")), 0);
  const struct form_part parts[] = {{.file = "a", .text = "a"}, {.file = "b", .text = "b"}, {.file = "c", .text = "c"}};
  upload(h, NULL, parts, 3, 202, &reply);
  snprintf(sql, sizeof sql,
           "UPDATE autodb.documents SET status = 'ready', source = 's3://bucket/x/b' WHERE connection_id = '%s' AND name = 'b'",
           connection);
  harness_sql(h->database_url, sql);
  path_of(path, "?limit=2");
  call(h, "GET", path, NULL, NULL, 200, &page);
  assert_int_equal(json_array_size(harness_at(page.json, "data.items")), 2);
  snprintf(path + strlen(path), sizeof path - strlen(path), "&cursor=%s", harness_text(page.json, "data.next_cursor"));
  call(h, "GET", path, NULL, NULL, 200, &next);
  assert_int_equal(json_array_size(harness_at(next.json, "data.items")), 1);
  assert_true(json_is_null(harness_at(next.json, "data.next_cursor")));
  path_of(path, "?status=ready");
  call(h, "GET", path, NULL, NULL, 200, &ready);
  assert_int_equal(json_array_size(harness_at(ready.json, "data.items")), 1);
  path_of(path, "?source=s3://bucket/");
  call(h, "GET", path, NULL, NULL, 200, &s3);
  assert_string_equal(harness_text(s3.json, "data.items.0.name"), "b");
  path_of(path, "?status=lost");
  call(h, "GET", path, NULL, NULL, 422, &bad);
}

static void anothers_documents_are_not_there(void **state) {
  struct harness *h = *state;
  const char *const headers[] = {other_key, NULL};
  REPLY_AUTO reply, refused, mine;
  char id[40], path[240];
  static const struct {
    const char *method, *rest;
    bool nested;
  } calls[] = {{"GET", "", false}, {"GET", "/content", false}, {"DELETE", "", false}, {"GET", "", true}, {"DELETE", "", true}};
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "mine"}, 1, 202, &reply);
  first_document(h, id);
  upload(h, headers, &(struct form_part){.file = "a.md", .text = "yours"}, 1, 404, &refused);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    REPLY_AUTO missing;
    snprintf(path, sizeof path, "/api/v1%s%s/documents/%s%s", calls[i].nested ? "/connections/" : "", calls[i].nested ? connection : "", id,
             calls[i].rest);
    call(h, calls[i].method, path, headers, NULL, 404, &missing);
  }
  REPLY_AUTO list;
  path_of(path, "");
  call(h, "GET", path, headers, NULL, 404, &list);
  /* nor under another of one's own connections */
  char elsewhere[40];
  create_connection(h, elsewhere);
  snprintf(path, sizeof path, "/api/v1/connections/%s/documents/%s", elsewhere, id);
  call(h, "GET", path, NULL, NULL, 404, &mine);
  assert_int_equal(rows(h, "documents"), 1);
}

/* --- clients that do otherwise --- */

static void a_client_that_goes_leaves_nothing(void **state) {
  struct harness *h = *state;
  int fd = begin_upload(h, 5 * 1024 * 1024);
  char *text = form_made(1024 * 1024);
  assert_true(send_text(fd, PART("a.txt") "whole\r\n" PART("b.txt")) && send_text(fd, text));
  assert_true(POLL_UNTIL(spooled(h) == 2, 5000));
  close(fd);
  free(text);
  assert_nothing_left(h);
}

static void a_slow_client_holds_nobody_up(void **state) {
  struct harness *h = *state;
  static const char body[] = PART("slow.txt") "every byte of this comes by itself" END;
  RAW_AUTO answer;
  int fd = begin_upload(h, sizeof body - 1);
  for (size_t i = 0; i < sizeof body - 1; i++) {
    assert_true(raw_send(fd, body + i, 1));
    if (i % 8) continue;
    REPLY_AUTO reply;
    call(h, "GET", "/api/v1/jobs?limit=1", NULL, NULL, 200, &reply);
    assert_true(reply.ms < 1000);
  }
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 202);
  close(fd);
}

/* Slower than a window of time allows, though something comes all the time: the answer says so, and nothing is kept. */
static void an_upload_that_trickles_is_ended(void **state) {
  struct harness *h = *state;
  RAW_AUTO answer;
  struct pollfd ready = {.events = POLLIN};
  int64_t began = harness_now_ms();
  int fd = ready.fd = begin_upload(h, 5 * 1024 * 1024);
  assert_true(send_text(fd, PART("slow.txt")));
  while (poll(&ready, 1, 100) == 0 && harness_now_ms() - began < 2 * LIMIT_UPLOAD_WINDOW_MS)
    if (!raw_send(fd, "x", 1)) break;
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 408);
  assert_non_null(strstr(answer.body, "slower than"));
  assert_true(harness_now_ms() - began >= LIMIT_UPLOAD_WINDOW_MS - 1000);
  close(fd);
  assert_nothing_left(h);
}

static void chunked_uploads_and_what_follows_them_are_read(void **state) {
  struct harness *h = *state;
  RAW_AUTO first, second;
  static const char body[] = PART("chunked.txt") "abc" END;
  char chunk[64];
  int fd = begin_upload(h, -1);
  for (size_t i = 0; i < sizeof body - 1; i += 7) {
    size_t len = sizeof body - 1 - i < 7 ? sizeof body - 1 - i : 7;
    int head = snprintf(chunk, sizeof chunk, "%zx\r\n%.*s\r\n", len, (int)len, body + i);
    assert_true(raw_send(fd, chunk, (size_t)head));
  }
  assert_true(send_text(fd, "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
  raw_read(fd, false, &first);
  assert_int_equal(first.status, 202);
  raw_read(fd, false, &second);
  assert_int_equal(second.status, 200);
  close(fd);
  assert_int_equal(rows(h, "documents"), 1);
}

static void one_owner_takes_not_all_places(void **state) {
  struct harness *h = *state;
  int fds[LIMIT_UPLOADS_PER_OWNER];
  REPLY_AUTO refused, reply;
  const struct form_part part = {.file = "a.md", .text = "a"};
  for (int i = 0; i < LIMIT_UPLOADS_PER_OWNER; i++) {
    fds[i] = begin_upload(h, 1000);
    assert_true(send_text(fds[i], PART("a.txt")));
  }
  assert_true(POLL_UNTIL(spooled(h) == LIMIT_UPLOADS_PER_OWNER, 5000));
  upload(h, NULL, &part, 1, 429, &refused);
  for (int i = 0; i < LIMIT_UPLOADS_PER_OWNER; i++) close(fds[i]);
  assert_nothing_left(h);
  upload(h, NULL, &part, 1, 202, &reply);
}

/* --- ends of the API --- */

static void what_a_killed_api_was_receiving_goes_when_the_next_starts(void **state) {
  struct harness *h = *state;
  int fd = begin_upload(h, 1000);
  assert_true(send_text(fd, PART("a.txt") "half"));
  assert_true(POLL_UNTIL(spooled(h) == 1, 5000));
  harness_kill(api);
  assert_int_equal(spooled(h), 1);
  harness_restart(h, api);
  close(fd);
  assert_nothing_left(h);
}

#define BACKENDS "FROM pg_stat_activity WHERE application_name LIKE 'autodb%' AND pid <> pg_backend_pid()"

/* Killed when the original is stored and the statement that commits it has not been done: nobody was told anything, and nothing refers to
 * it. Its sessions are ended, too, before they can go on. */
static void a_kill_before_the_commit_leaves_an_original_nothing_refers_to(void **state) {
  struct harness *h = *state;
  static const char body[] = PART("a.txt") "never committed" END;
  int before = originals(h), fd = begin_upload(h, sizeof body - 1);
  PGconn *lock = harness_connect(h->database_url);
  PQclear(PQexec(lock, "BEGIN; LOCK TABLE autodb.documents IN ACCESS EXCLUSIVE MODE"));
  assert_true(send_text(fd, body));
  assert_true(POLL_UNTIL(originals(h) == before + 1, 5000));
  harness_kill(api);
  harness_sql(h->database_url, "SELECT pg_terminate_backend(pid) " BACKENDS);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) " BACKENDS) == 0, 5000));
  PQfinish(lock);
  harness_restart(h, api);
  close(fd);
  assert_nothing_left(h);
  assert_int_equal(originals(h), before + 1);
}

/* --- memory --- */

static long status_kb(pid_t pid, const char *name) {
  char path[64], line[256];
  long kb = -1;
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) kb = strtol(line + strlen(name) + 1, NULL, 10);
  if (file) fclose(file);
  return kb;
}

static void memory_is_flat_while_large_files_arrive(void **state) {
  struct harness *h = *state;
  struct form_part parts[LIMIT_UPLOAD_FILES];
  char names[LIMIT_UPLOAD_FILES][16], path[64];
  REPLY_AUTO reply;
  size_t count = getenv("TESTS_LONG") ? LIMIT_UPLOAD_FILES : 8;
  for (size_t i = 0; i < count; i++) {
    snprintf(names[i], sizeof names[i], "f%zu.txt", i);
    parts[i] = (struct form_part){.file = names[i], .made = LIMIT_DOCUMENT_BYTES};
  }
  snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)api->pid);
  FILE *reset = fopen(path, "we");
  assert_non_null(reset);
  fputs("5", reset); /* the peak is counted from here */
  fclose(reset);
  long before = status_kb(api->pid, "VmHWM");
  int64_t began = harness_now_ms();
  upload(h, NULL, parts, count, 202, &reply);
  long grown = status_kb(api->pid, "VmHWM") - before;
  printf("%zu MB in %lld ms; the API's peak grew by %ld kB\n", count * 10, (long long)(harness_now_ms() - began), grown);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed, to find who uses it again */
  assert_true(grown < 8 * 1024);
#endif
  assert_int_equal(spooled(h), 0);
}

/* --- questions and buckets: what is refused at the door --- */

static void questions_are_checked(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *body;
    int status;
    const char *says;
  } rows_[] = {{"{}", 422, "query"},
               {"{\"query\": \"\"}", 422, "query"},
               {"{\"query\": \"  \"}", 422, "query"},
               {"{\"query\": \"q\", \"max_doc_chunks\": 51}", 422, "max_doc_chunks"},
               {"{\"query\": \"q\", \"max_schema_chunks\": -1}", 422, "max_schema_chunks"},
               {"{\"query\": \"q\", \"filters\": {\"document_id\": []}}", 422, "filters.document_id"},
               {"{\"query\": \"q\", \"filters\": {\"document_ids\": [\"x\"]}}", 422, "filters.document_ids"},
               {"{\"query\": \"q\", \"filters\": {\"source_prefix\": \"\"}}", 422, "filters.source_prefix"},
               {"{\"query\": \"q\", \"top_k\": 3}", 422, "top_k"},
               {"{\"query\": \"q\", \"filters\": {\"source_prefix\": \"s3://b/\"}, \"max_doc_chunks\": 0}", 202, "context.query"}};
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/context/query", connection);
  const char *const headers[] = {"Prefer: respond-async", NULL};
  for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
    REPLY_AUTO reply;
    call(h, "POST", path, headers, rows_[i].body, rows_[i].status, &reply);
    if (!strstr(reply.body, rows_[i].says)) fail_msg("%s: %s", rows_[i].body, reply.body);
  }
  char body[3 * LIMIT_QUESTION_CHARS], text[2 * LIMIT_QUESTION_CHARS + 1] = "";
  REPLY_AUTO longest, longer, alias, elsewhere;
  for (size_t i = 0; i < 2 * LIMIT_QUESTION_CHARS; i += 2) memcpy(text + i, "\xc3\xa4", 3);
  snprintf(body, sizeof body, "{\"query\": \"%s\"}", text);
  call(h, "POST", path, headers, body, 202, &longest);
  snprintf(body, sizeof body, "{\"query\": \"%sx\"}", text);
  call(h, "POST", path, headers, body, 422, &longer);
  snprintf(body, sizeof body, "{\"query\": \"q\", \"connection_id\": \"%s\"}", connection);
  call(h, "POST", "/context/query", headers, body, 202, &alias);
  call(h, "POST", "/context/query", (const char *[]){other_key, "Prefer: respond-async", NULL}, body, 404, &elsewhere);
}

static void a_question_waits_for_its_answer_unless_told_otherwise(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, mine;
  char path[200], job[40];
  snprintf(path, sizeof path, "/api/v1/connections/%s/context/query", connection);
  RAW_AUTO answer;
  char head[600];
  int fd = harness_socket(h);
  snprintf(head, sizeof head,
           "POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"query\": \"q\"}",
           path, h->api_key);
  assert_true(send_text(fd, head));
  assert_true(POLL_UNTIL(rows(h, "jobs") == 1, 5000));
  call(h, "GET", "/api/v1/jobs?limit=1", NULL, NULL, 200, &mine);
  snprintf(job, sizeof job, "%s", harness_text(mine.json, "data.items.0.job_id"));
  jobs_finish(h, job, "succeeded", "{\"schema\": []}", NULL);
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 200);
  close(fd);
  call(h, "POST", path, (const char *[]){"Prefer: wait=0", NULL}, "{\"query\": \"q\"}", 202, &reply);
}

static void buckets_are_checked(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *body;
    int status;
    const char *says;
  } rows_[] = {{"{}", 422, "bucket"},
               {"{\"bucket\": \"Up\"}", 422, "bucket"},
               {"{\"bucket\": \"a/../b\"}", 422, "bucket"},
               {"{\"bucket\": \"-abc\"}", 422, "bucket"},
               {"{\"bucket\": \"abc\", \"region\": \"eu.evil/\"}", 422, "region"},
               {"{\"bucket\": \"abc\", \"include\": [\"\"]}", 422, "include"},
               {"{\"bucket\": \"abc\", \"include\": \"*.md\"}", 422, "include"},
               {"{\"bucket\": \"abc\", \"delete_missing\": 1}", 422, "delete_missing"},
               {"{\"bucket\": \"abc\", \"endpoint_url\": \"http://169.254.169.254\"}", 422, "AUTODB_S3_ALLOW_ENDPOINTS"},
               {"{\"bucket\": \"abc\", \"secret_key\": \"x\"}", 422, "secret_key"},
               {"{\"bucket\": \"abc\", \"prefix\": \"docs/\", \"include\": [\"*.md\"], \"requester_pays\": true}", 202, "s3.ingest"}};
  char path[200];
  path_of(path, "/s3");
  for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
    REPLY_AUTO reply;
    call(h, "POST", path, NULL, rows_[i].body, rows_[i].status, &reply);
    if (!strstr(reply.body, rows_[i].says)) fail_msg("%s: %s", rows_[i].body, reply.body);
  }
}

static void a_deleted_connections_documents_go(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply, kept, query, deleted;
  char path[240], gone[40];
  upload(h, NULL, &(struct form_part){.file = "kept.md", .text = "Paid orders count.\n"}, 1, 202, &kept);
  snprintf(gone, sizeof gone, "%s", connection);
  create_connection(h, connection);
  upload(h, NULL, &(struct form_part){.file = "a.md", .text = "# Orders\n\n- **GMV**: sum(orders.total)\n"}, 1, 202, &reply);
  snprintf(path, sizeof path, "/api/v1/connections/%s/verified-queries", connection);
  call(h, "POST", path, NULL, "{\"question\": \"How many orders?\", \"sql\": \"SELECT count(*) FROM orders\"}", 201, &query);
  struct harness_proc *worker = harness_worker(h, NULL);
  assert_true(POLL_UNTIL(rows(h, "chunks") == 1 && rows(h, "glossary") == 1, 20000));
  snprintf(path, sizeof path, "/api/v1/connections/%s", connection);
  call(h, "DELETE", path, NULL, NULL, 204, &deleted);
  assert_true(POLL_UNTIL(rows(h, "documents") + rows(h, "chunks") + rows(h, "chunk_vectors") + rows(h, "glossary") == 0, 20000));
  assert_int_equal(rows(h, "verified_queries"), 0);
  snprintf(connection, sizeof connection, "%s", gone);
  assert_int_equal(rows(h, "documents"), 1);
  harness_stop(worker);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
  const struct CMUnitTest tests[] = {
      TEST(an_upload_is_stored_committed_and_listed),
      TEST(fifty_files_are_taken_and_no_more),
      TEST(a_file_too_large_ends_the_whole_upload),
      TEST(too_large_is_said_before_the_rest_is_sent),
      TEST(what_is_no_form_is_refused),
      TEST(the_members_of_every_job_are_form_fields),
      TEST(a_replay_is_the_same_job),
      TEST(the_same_name_replaces),
      TEST(the_same_content_keeps_its_type),
      TEST(the_original_comes_back_and_nothing_a_browser_would_run),
      TEST(a_large_original_comes_back_byte_for_byte),
      TEST(a_damaged_original_is_not_given_out),
      TEST(deleting_takes_the_chunks_at_once),
      TEST(lists_are_filtered_and_paged),
      TEST(anothers_documents_are_not_there),
      TEST(a_client_that_goes_leaves_nothing),
      TEST(a_slow_client_holds_nobody_up),
      TEST(an_upload_that_trickles_is_ended),
      TEST(chunked_uploads_and_what_follows_them_are_read),
      TEST(one_owner_takes_not_all_places),
      TEST(what_a_killed_api_was_receiving_goes_when_the_next_starts),
      TEST(a_kill_before_the_commit_leaves_an_original_nothing_refers_to),
      TEST(memory_is_flat_while_large_files_arrive),
      TEST(questions_are_checked),
      TEST(a_question_waits_for_its_answer_unless_told_otherwise),
      TEST(buckets_are_checked),
      TEST(a_deleted_connections_documents_go),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
