/* The context engine against a real database: what is ingested is found, replaced whole, and nobody else's; an attempt that was overtaken
 * changes nothing; the same bytes make the same rows. */
#include "tests/integration/context_fixture.h"

#include "common/docstore.h"
#include "common/limits.h"
#include "tests/support/http_double.h"
#include "worker/context/documents.h"
#include "worker/context/query.h"
#include "worker/context/reembed.h"
#include "worker/kinds.h"

static const char handbook[] = "# Handbook\n\n"
                               "How the shop works.\n\n"
                               "## Returns\n\n"
                               "A customer may return a parcel within thirty days. The refund is booked on the card that paid.\n\n"
                               "## Shipping\n\n"
                               "Parcels leave the warehouse in Leipzig every evening at six. Express goes by courier.\n\n"
                               "## Glossary\n\n"
                               "- **GMV (gross merchandise value)**: sum(orders.total)\n"
                               "- **Churn**: customers who bought nothing for ninety days\n";

static long long count_of(const char *sql) { return harness_count(fixture.h->database_url, sql); }

static const struct retrieval_document *first(struct context_job *job, const char *question) {
  struct retrieval found = context_search(job, NULL, (struct retrieval_query){.text = question, .max_documents = 5});
  assert_string_equal(found.mode, "hybrid");
  if (!found.document_count) fail_msg("nothing was found for: %s", question);
  return &found.documents[0];
}

/* Sections large enough to be passages of their own. */
static const char *long_text(struct context_job *job) {
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  buf_puts(&text, "# Operations\n\n");
  for (int i = 0; i < 40; i++) {
    buf_printf(&text, "## Runbook %d\n\n", i);
    for (int line = 0; line < 12; line++)
      buf_printf(&text, "Step %d of procedure number%d concerns the machine called unit%dx%d and its valves. ", line, i, i, line);
    buf_puts(&text, "\n\n");
  }
  return arena_strndup(job->job.arena, buf_str(&text), text.len);
}

static void finds_what_was_ingested(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  struct ingest_outcome outcome = context_ingest_text(&fixture, &job, "handbook.md", handbook);
  assert_int_equal(outcome.state, INGEST_READY);
  assert_true(outcome.chunks > 0);
  assert_string_equal(outcome.content_type, "text/markdown");
  assert_int_equal(context_ingest_text(&fixture, &job, "operations.md", long_text(&job)).state, INGEST_READY);
  assert_non_null(strstr(first(&job, "How do refunds for returned parcels work?")->text, "refund is booked"));
  assert_string_equal(first(&job, "How do refunds work?")->name, "handbook.md");
  const struct retrieval_document *document = first(&job, "valves of unit17x3");
  assert_string_equal(document->heading, "Runbook 17");
  assert_string_equal(document->source, "upload");
  assert_true(document->score > 0);
  arena_free(job.job.arena);
}

static void filters_by_document_and_source(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "a.txt", "The invoice number begins with the year.");
  struct ingest_outcome other = context_ingest_text(&fixture, &job, "b.txt", "The invoice number ends with the month.");
  const char *ids[] = {other.document_id};
  struct retrieval found = context_search(
      &job, NULL, (struct retrieval_query){.text = "invoice number", .max_documents = 5, .document_ids = ids, .document_id_count = 1});
  assert_int_equal(found.document_count, 1);
  assert_string_equal(found.documents[0].name, "b.txt");
  found = context_search(&job, NULL, (struct retrieval_query){.text = "invoice number", .max_documents = 5, .source_prefix = "s3://"});
  assert_int_equal(found.document_count, 0);
  found = context_search(&job, NULL, (struct retrieval_query){.text = "invoice number", .max_documents = 5, .source_prefix = "upl"});
  assert_int_equal(found.document_count, 2);
  arena_free(job.job.arena);
}

static void nobody_elses(void **state) {
  (void)state;
  struct context_job one, two;
  context_job(&fixture, &one);
  context_job(&fixture, &two);
  context_ingest_text(&fixture, &one, "secret.txt", "The launch code of the rocket is walnut.");
  struct retrieval found = context_search(&two, NULL, (struct retrieval_query){.text = "launch code rocket walnut", .max_documents = 5});
  assert_int_equal(found.document_count, 0);
  two.job.connection_id = one.connection_id;
  two.job.owner_id = "00000000-0000-7000-8000-00000000dead";
  ERROR_AUTO err = {0};
  struct retrieval_query query = {.text = "launch code", .max_documents = 5};
  assert_int_equal(retrieval_search(&two.job, NULL, &query, &found, &err), ERR_NOT_FOUND);
  bool any = true;
  assert_int_equal(retrieval_has_documents(&two.job, &any, &err), OK);
  assert_false(any);
  arena_free(one.job.arena);
  arena_free(two.job.arena);
}

static void replaces_whole(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  struct ingest_outcome before = context_ingest_text(&fixture, &job, "policy.txt", "Holidays are thirty days a year.");
  assert_int_equal(context_ingest_text(&fixture, &job, "policy.txt", "Holidays are thirty days a year.").state, INGEST_UNCHANGED);
  job.job.attempt++;
  struct ingest_outcome after = context_ingest_text(&fixture, &job, "policy.txt", "Vacation is what it is called now.");
  assert_int_equal(after.state, INGEST_READY);
  assert_string_equal(after.document_id, before.document_id);
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "holidays", .max_documents = 5});
  for (size_t i = 0; i < found.document_count; i++) assert_null(strstr(found.documents[i].text, "Holidays"));
  assert_non_null(strstr(first(&job, "vacation")->text, "Vacation"));
  arena_free(job.job.arena);
}

static void an_overtaken_attempt_changes_nothing(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  job.job.attempt = 2;
  assert_int_equal(context_ingest_text(&fixture, &job, "fence.txt", "Newer words.").state, INGEST_READY);
  job.job.attempt = 1;
  struct ingest_outcome outcome = context_ingest_text(&fixture, &job, "fence.txt", "Newer words.");
  assert_int_equal(outcome.state, INGEST_SUPERSEDED);
  char sql[300];
  snprintf(sql, sizeof sql, "UPDATE autodb.documents SET sha256 = 'given meanwhile' WHERE id = '%s'", outcome.document_id);
  harness_sql(fixture.h->database_url, sql);
  ERROR_AUTO err = {0};
  job.job.attempt = 3;
  struct ingest_source source = {.document_id = outcome.document_id, .name = "fence.txt", .source = "upload", .bytes = "Old", .len = 3};
  assert_int_equal(ingest_documents(&job.job, fixture.embedder, &source, 1, &outcome, &err), OK);
  assert_int_equal(outcome.state, INGEST_SUPERSEDED);
  assert_non_null(strstr(first(&job, "newer words")->text, "Newer"));
  arena_free(job.job.arena);
}

static void faults_are_outcomes(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "x.md", "Readable.");
  struct ingest_outcome outcome = context_ingest(&fixture, &job, "x.md", "broken \xC3\x28 text", 14);
  assert_int_equal(outcome.state, INGEST_FAILED);
  assert_string_equal(outcome.code, "BAD_ENCODING");
  assert_non_null(strstr(outcome.message, "byte 7"));
  char sql[300];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.documents WHERE id = '%s' AND status = 'failed' AND error->>'code' = 'BAD_ENCODING'",
           outcome.document_id);
  assert_int_equal(count_of(sql), 1);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.chunks WHERE document_id = '%s'", outcome.document_id);
  assert_int_equal(count_of(sql), 0);
  json_t *json = ingest_json(&(struct ingest_source){.name = "x.md"}, &outcome);
  assert_string_equal(json_str(json, "status", ""), "failed");
  assert_string_equal(json_str(json_object_get(json, "error"), "code", ""), "BAD_ENCODING");
  json_decref(json);
  arena_free(job.job.arena);
}

static void the_same_bytes_make_the_same_rows(void **state) {
  (void)state;
  struct context_job one, two;
  context_job(&fixture, &one);
  context_job(&fixture, &two);
  context_ingest_text(&fixture, &one, "operations.md", long_text(&one));
  context_ingest_text(&fixture, &two, "operations.md", long_text(&two));
  char sql[1024];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM (SELECT c.id, ordinal, heading, body, first_byte, last_byte, embedding::text FROM autodb.chunks c JOIN "
           "autodb.chunk_vectors v ON v.connection_id = c.connection_id AND v.chunk_id = c.id WHERE c.connection_id = '%s' EXCEPT SELECT "
           "c.id, ordinal, heading, body, first_byte, last_byte, embedding::text FROM autodb.chunks c JOIN autodb.chunk_vectors v ON "
           "v.connection_id = c.connection_id AND v.chunk_id = c.id WHERE c.connection_id = '%s') x",
           one.connection_id, two.connection_id);
  assert_int_equal(count_of(sql), 0);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.chunks WHERE connection_id = '%s'", one.connection_id);
  assert_true(count_of(sql) >= 20);
  arena_free(one.job.arena);
  arena_free(two.job.arena);
}

static void glossaries(void **state) {
  (void)state;
  struct context_job job;
  struct glossary glossary;
  ERROR_AUTO err = {0};
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "handbook.md", handbook);
  assert_int_equal(retrieval_glossary(&job.job, NULL, &glossary, &err), OK);
  assert_int_equal(glossary.count, 3);
  assert_string_equal(glossary.entries[0].term, "Churn");
  assert_false(glossary.entries[0].is_expression);
  assert_int_equal(retrieval_glossary(&job.job, "What was the GMV of last month?", &glossary, &err), OK);
  assert_int_equal(glossary.count, 1);
  assert_string_equal(glossary.entries[0].meaning, "sum(orders.total)");
  assert_true(glossary.entries[0].is_expression);
  assert_string_equal(glossary.entries[0].heading, "Glossary");
  arena_free(job.job.arena);
}

/* An owner's own word finds what his glossary says it is, by word and by vector. */
static void glossaries_lend_their_words_to_questions(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "glossary.md", "# Glossary\n\n- **Zorbing**: clients whose subscription lapsed\n");
  context_ingest_text(&fixture, &job, "process.txt", "A subscription that lapsed is written to the archive by the night job.");
  context_ingest_text(&fixture, &job, "other.txt", "Coffee machines are filled every morning by the kitchen.");
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "Where does zorbing end up?", .max_documents = 5});
  bool any = false;
  for (size_t i = 0; i < found.document_count; i++) any = any || strcmp(found.documents[i].name, "process.txt") == 0;
  assert_true(any);
  arena_free(job.job.arena);
}

/* A row as an upload makes it, its original in the store (or nowhere). */
static void add_upload(struct context_job *job, const char *name, const char *text, bool stored, json_t *documents) {
  char sql[700], id[40], sha256[SHA256_HEX];
  ERROR_AUTO err = {0};
  DOCSTORE_AUTO *store = NULL;
  crypto_sha256_hex(text, strlen(text), sha256);
  if (stored && (docstore_new(&fixture.cfg, &store, &err) || docstore_put(store, text, strlen(text), sha256, &err)))
    fail_msg("%s", err.message);
  snprintf(
      sql, sizeof sql,
      "INSERT INTO autodb.documents (id, owner_id, connection_id, name, source, content_type, bytes, sha256) VALUES (gen_random_uuid(), "
      "'%s', '%s', '%s', 'upload', 'text/plain', %zu, '%s') RETURNING id",
      fixture.h->owner_id, job->connection_id, name, strlen(text), sha256);
  context_value(&fixture, sql, id);
  json_array_append_new(documents, json_pack("{s:s, s:s, s:s}", "document_id", id, "name", name, "sha256", sha256));
}

static void one_document_that_fails_fails_alone(void **state) {
  (void)state;
  struct context_job job;
  char store[HARNESS_PATH + 32];
  ERROR_AUTO err = {0};
  json_t *documents = json_array(), *result = NULL;
  context_job(&fixture, &job);
  snprintf(store, sizeof store, "%s/documents", fixture.h->dir);
  fixture.cfg.document_store = store;
  add_upload(&job, "good.md", handbook, true, documents);
  add_upload(&job, "gone.md", "was never stored", false, documents);
  add_upload(&job, "bad.md", "caf\xE9", true, documents);
  job.job.payload = arena_json(job.job.arena, json_pack("{s:o}", "documents", documents));
  if (document_ingest_run(&job.job, &result, &err)) fail_msg("%s %s", err.code, err.message);
  const json_t *items = json_object_get(result, "documents");
  assert_int_equal(json_array_size(items), 3);
  assert_string_equal(json_str(json_array_get(items, 0), "status", ""), "ready");
  assert_string_equal(json_str(json_array_get(items, 1), "status", ""), "failed");
  assert_string_equal(json_str(json_object_get(json_array_get(items, 1), "error"), "code", ""), "NOT_FOUND");
  assert_string_equal(json_str(json_object_get(json_array_get(items, 2), "error"), "code", ""), "BAD_ENCODING");
  json_decref(result);
  assert_non_null(strstr(first(&job, "How do refunds work?")->text, "refund is booked"));
  arena_free(job.job.arena);
}

/* --- another model --- */

#define VECTOR(numbers) "{\"data\":[{\"index\":0,\"embedding\":[" numbers "]}],\"usage\":{\"total_tokens\":7}}"

static long long vectors_of(struct context_job *job, const char *provider) {
  char sql[400];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.chunk_vectors v JOIN autodb.embedding_models m ON m.id = v.model WHERE v.connection_id = '%s' AND "
           "m.provider = '%s'",
           job->connection_id, provider);
  return count_of(sql);
}

static enum status reembed(struct context_job *job, const struct config *cfg, long long expected, struct error *err) {
  json_t *result = NULL;
  job->job.cfg = cfg;
  enum status status = reembed_run(&job->job, &result, err);
  if (!status) assert_int_equal(json_int(result, "documents", -1), expected);
  json_decref(result);
  return status;
}

static const char *model_asked(struct context_job *job, const struct config *cfg) {
  job->job.cfg = cfg;
  struct retrieval found = context_search(job, NULL, (struct retrieval_query){.text = "refund of a parcel", .max_documents = 5});
  assert_string_equal(found.mode, "hybrid");
  assert_int_equal(found.document_count, 2);
  return found.embedding_model;
}

/* Until the last document has them, the former model is asked, which all still have; what failed in between goes on where it was. */
static void another_model_is_moved_to_while_searches_go_on(void **state) {
  static const struct http_reply replies[] = {{200, NULL, VECTOR("1,0,0,0"), .cut = 0},
                                              {200, NULL, VECTOR("0,1,0,0"), .cut = 0},
                                              {401, NULL, "{\"error\":{\"message\":\"no such key\"}}", .cut = 0},
                                              {200, NULL, VECTOR("0,1,1,0"), .cut = 0}};
  (void)state;
  struct context_job job;
  ERROR_AUTO err = {0};
  struct http_double *server = http_double_new(replies, 4);
  struct config remote = context_config("openai", http_double_url(server));
  remote.embed_model = "test-model";
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "a.txt", "A refund is paid for every parcel that comes back.");
  context_ingest_text(&fixture, &job, "b.txt", "The parcel goes by courier; a refund of the fare is possible.");
  assert_string_equal(model_asked(&job, &remote), "builtin/hashed-ngrams-1"); /* settings changed, documents did not */
  assert_int_equal(reembed(&job, &remote, 2, &err), ERR_VALIDATION);
  assert_string_equal(err.code, "PROVIDER_REFUSED");
  error_clear(&err);
  assert_int_equal(vectors_of(&job, "openai"), 1);
  assert_int_equal(vectors_of(&job, "builtin"), 2);
  assert_string_equal(model_asked(&job, &remote), "builtin/hashed-ngrams-1");
  assert_int_equal(reembed(&job, &remote, 1, &err), OK);
  assert_int_equal(vectors_of(&job, "openai"), 2);
  assert_int_equal(vectors_of(&job, "builtin"), 0);
  assert_string_equal(model_asked(&job, &remote), "openai/test-model");
  assert_int_equal(reembed(&job, &remote, 0, &err), OK);
  EMBEDDER_AUTO embedder = NULL;
  assert_int_equal(embedder_new(&remote, fixture.own, &embedder, &err), OK);
  struct ingest_source source = {
      .name = "a.txt", .source = "upload", .bytes = "A refund is paid for every parcel that comes back.", .len = 50};
  struct ingest_outcome outcome = {0};
  assert_int_equal(ingest_documents(&job.job, embedder, &source, 1, &outcome, &err), OK);
  assert_int_equal(outcome.state, INGEST_UNCHANGED); /* as if it had been ingested by the new model */
  assert_int_equal(reembed(&job, &fixture.cfg, 2, &err), OK);
  assert_int_equal(vectors_of(&job, "builtin"), 2);
  assert_string_equal(model_asked(&job, &fixture.cfg), "builtin/hashed-ngrams-1");
  http_double_free(server);
  arena_free(job.job.arena);
}

/* A model of a provider that is not configured any more: words alone find its documents. */
static void a_model_nobody_can_be_asked_for(void **state) {
  (void)state;
  struct context_job job;
  char sql[400];
  context_job(&fixture, &job);
  context_ingest_text(&fixture, &job, "a.txt", "A refund is paid for every parcel that comes back.");
  snprintf(
      sql, sizeof sql,
      "WITH m AS (INSERT INTO autodb.embedding_models (provider, model, dims) VALUES ('bedrock', 'gone', 1024) RETURNING id), v AS "
      "(UPDATE autodb.chunk_vectors SET model = m.id FROM m WHERE connection_id = '%s') UPDATE autodb.documents SET model = m.id FROM m "
      "WHERE connection_id = '%s'",
      job.connection_id, job.connection_id);
  harness_sql(fixture.h->database_url, sql);
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "refund of a parcel", .max_documents = 5});
  assert_int_equal(found.document_count, 1);
  arena_free(job.job.arena);
}

static void vectors_nobody_needs_are_forgotten(void **state) {
  (void)state;
  struct context_job job;
  struct config cfg = fixture.cfg;
  char store[300];
  json_t *result = NULL;
  ERROR_AUTO err = {0};
  snprintf(store, sizeof store, "%s/swept", fixture.h->dir);
  cfg.document_store = store;
  context_job(&fixture, &job);
  job.job.cfg = &cfg;
  harness_sql(
      fixture.h->database_url,
      "DELETE FROM autodb.embedding_cache; INSERT INTO autodb.embedding_cache (model, sha256, embedding, used_on) SELECT m.id, "
      "int4send(n), '[1,2]', current_date - n FROM (SELECT min(id) AS id FROM autodb.embedding_models) m, generate_series(80, 1200) n");
  assert_int_equal(originals_run(&job.job, &result, &err), OK);
  assert_int_equal(json_int(result, "vectors", 0), 1200 - LIMIT_EMBED_CACHE_DAYS);
  json_decref(result);
  assert_int_equal(count_of("SELECT count(*) FROM autodb.embedding_cache"), LIMIT_EMBED_CACHE_DAYS - 80 + 1);
  harness_sql(fixture.h->database_url, "DELETE FROM autodb.embedding_cache");
  arena_free(job.job.arena);
}

/* A document of that many passages about machines, each with a number of its own. */
static const char *machines(struct context_job *job, int from, int count) {
  BUF_AUTO text;
  buf_init(&text, 8 << 20);
  for (int i = from; i < from + count; i++) {
    buf_printf(&text, "## Machine %d\n\nThe machine called unit%dx stands in hall %d. ", i, i, i % 7);
    for (int line = 0; line < 9; line++)
      buf_printf(&text, "Its valve %d of line %d is turned by hand%d when part%d is worn. ", line, i % 13, line, (i * line) % 101);
    buf_puts(&text, "\n\n");
  }
  return arena_strndup(job->job.arena, buf_str(&text), text.len);
}

/* Beyond what the database looks at itself, searches keep vectors of their own: they see what was ingested, replaced and deleted since. */
static void many_passages_are_seen_as_they_are(void **state) {
  (void)state;
  struct context_job job;
  char sql[200], name[32];
  context_job(&fixture, &job);
  for (int i = 0; i < 6; i++) {
    snprintf(name, sizeof name, "machines-%d.md", i);
    assert_int_equal(context_ingest_text(&fixture, &job, name, machines(&job, i * 500, 500)).state, INGEST_READY);
  }
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.chunks WHERE connection_id = '%s'", job.connection_id);
  assert_true(count_of(sql) > LIMIT_SCANNED_PASSAGES);
  assert_string_equal(first(&job, "where does unit1234x stand")->heading, "Machine 1234");
  struct ingest_outcome late = context_ingest_text(&fixture, &job, "late.md", machines(&job, 9000, 3));
  assert_string_equal(first(&job, "where does unit9001x stand")->name, "late.md");
  job.job.attempt++;
  assert_int_equal(context_ingest_text(&fixture, &job, "machines-2.md", machines(&job, 7000, 500)).state, INGEST_READY);
  assert_string_equal(first(&job, "where does unit7234x stand")->name, "machines-2.md");
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "unit1234x", .max_documents = 50});
  for (size_t i = 0; i < found.document_count; i++) assert_string_not_equal(found.documents[i].heading, "Machine 1234");
  const char *ids[] = {late.document_id};
  found = context_search(
      &job, NULL, (struct retrieval_query){.text = "machine valve hall", .max_documents = 9, .document_ids = ids, .document_id_count = 1});
  assert_int_equal(found.document_count, 3);
  snprintf(sql, sizeof sql,
           "DELETE FROM autodb.documents WHERE connection_id = '%s' AND name LIKE 'machines-%%' AND name <> 'machines-5.md'",
           job.connection_id);
  harness_sql(fixture.h->database_url, sql);
  found = context_search(&job, NULL, (struct retrieval_query){.text = "unit234x machine valve hall part", .max_documents = 50});
  assert_int_equal(found.document_count, 50);
  for (size_t i = 0; i < found.document_count; i++)
    assert_true(strcmp(found.documents[i].name, "late.md") == 0 || strcmp(found.documents[i].name, "machines-5.md") == 0);
  arena_free(job.job.arena);
}

static void reports_get_what_speaks_of_their_tables(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  const char *tables[] = {"shop.customer_refunds"}, *others[] = {"shop.turbines"};
  json_t *context = retrieval_context(&job.job, "ALTER TABLE shop.customer_refunds DROP COLUMN note", tables, 1);
  assert_int_equal(json_array_size(context), 0);
  json_decref(context);
  context_ingest_text(&fixture, &job, "handbook.md", handbook);
  context = retrieval_context(&job.job, "ALTER TABLE shop.customer_refunds DROP COLUMN note", tables, 1);
  assert_int_equal(json_array_size(context), 1);
  assert_string_equal(json_str(json_array_get(context, 0), "source", ""), "handbook.md");
  assert_non_null(strstr(json_str(json_array_get(context, 0), "excerpt", ""), "refund is booked"));
  json_decref(context);
  context = retrieval_context(&job.job, "ALTER TABLE shop.turbines DROP COLUMN note", others, 1);
  assert_int_equal(json_array_size(context), 0);
  json_decref(context);
  arena_free(job.job.arena);
}

static void deleting_a_document_takes_all_of_it(void **state) {
  (void)state;
  struct context_job job;
  context_job(&fixture, &job);
  struct ingest_outcome outcome = context_ingest_text(&fixture, &job, "handbook.md", handbook);
  char sql[400];
  snprintf(sql, sizeof sql, "DELETE FROM autodb.documents WHERE id = '%s'", outcome.document_id);
  harness_sql(fixture.h->database_url, sql);
  snprintf(sql, sizeof sql,
           "SELECT (SELECT count(*) FROM autodb.chunks WHERE connection_id = '%s') + (SELECT count(*) FROM autodb.chunk_vectors WHERE "
           "connection_id = '%s') + (SELECT count(*) FROM autodb.glossary WHERE connection_id = '%s')",
           job.connection_id, job.connection_id, job.connection_id);
  assert_int_equal(count_of(sql), 0);
  arena_free(job.job.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_what_was_ingested),
      cmocka_unit_test(filters_by_document_and_source),
      cmocka_unit_test(nobody_elses),
      cmocka_unit_test(replaces_whole),
      cmocka_unit_test(an_overtaken_attempt_changes_nothing),
      cmocka_unit_test(faults_are_outcomes),
      cmocka_unit_test(the_same_bytes_make_the_same_rows),
      cmocka_unit_test(glossaries),
      cmocka_unit_test(glossaries_lend_their_words_to_questions),
      cmocka_unit_test(one_document_that_fails_fails_alone),
      cmocka_unit_test(another_model_is_moved_to_while_searches_go_on),
      cmocka_unit_test(a_model_nobody_can_be_asked_for),
      cmocka_unit_test(vectors_nobody_needs_are_forgotten),
      cmocka_unit_test(many_passages_are_seen_as_they_are),
      cmocka_unit_test(reports_get_what_speaks_of_their_tables),
      cmocka_unit_test(deleting_a_document_takes_all_of_it),
  };
  return cmocka_run_group_tests(tests, context_setup, context_teardown);
}
