/* Several documents ingested in one transaction: each ends as it would alone, all of them or none are replaced, and of one that a provider
 * refuses the others know nothing. */
#include "tests/integration/context_fixture.h"

#include "tests/support/http_double.h"

static struct ingest_source source_of(const char *name, const char *text) {
  return (struct ingest_source){.name = name, .source = "s3://lake/", .etag = "\"e\"", .bytes = text, .len = strlen(text)};
}

/* Names as array literals could misread them. */
static const struct {
  const char *name, *text;
} given[] = {{"z last.md", "# Last\n\nThe valve of the last machine is closed at noon.\n\n- **Lastness**: being last\n"},
             {"a \"quoted\", {braced}\\.md", "# First\n\nA parcel may come back within thirty days.\n"},
             {"NULL", "Null is a name like any other."},
             {"b\xC3\xA9.txt", "Broken \xC3\x28 text"},
             {"empty.txt", "   \n\n"},
             {"same.txt", "What was there before."},
             {"fence.txt", "Taken up by a later attempt."},
             {"new.txt", "What is there now."}};
#define GIVEN (sizeof given / sizeof *given)
enum { LAST, QUOTED, NAMED_NULL, BROKEN, EMPTY, SAME, FENCE, NEW };

/* What is there before the group comes. */
static void prepare(struct context_job *job) {
  ERROR_AUTO err = {0};
  struct ingest_outcome outcome[2] = {0};
  context_job(&fixture, job);
  struct ingest_source before[] = {source_of("same.txt", given[SAME].text), source_of("new.txt", "What was there then.")};
  assert_int_equal(ingest_documents(&job->job, fixture.embedder, before, 2, outcome, &err), OK);
  job->job.attempt = 3;
  struct ingest_source later = source_of("fence.txt", "Words of the later attempt.");
  assert_int_equal(ingest_documents(&job->job, fixture.embedder, &later, 1, outcome, &err), OK);
  job->job.attempt = 2;
}

static void expect_outcomes(const struct ingest_outcome *outcomes) {
  static const enum ingest_state states[GIVEN] = {
      [LAST] = INGEST_READY,   [QUOTED] = INGEST_READY,   [NAMED_NULL] = INGEST_READY, [BROKEN] = INGEST_FAILED,
      [EMPTY] = INGEST_FAILED, [SAME] = INGEST_UNCHANGED, [FENCE] = INGEST_SUPERSEDED, [NEW] = INGEST_READY};
  for (size_t i = 0; i < GIVEN; i++) {
    if (outcomes[i].state != states[i]) fail_msg("%s: %d instead of %d", given[i].name, (int)outcomes[i].state, (int)states[i]);
    assert_non_null(outcomes[i].document_id);
    assert_int_equal(outcomes[i].bytes, strlen(given[i].text));
  }
  assert_string_equal(outcomes[BROKEN].code, "BAD_ENCODING");
  assert_string_equal(outcomes[EMPTY].code, "EMPTY");
}

/* Everything a connection has, without what is each one's own: ids of documents, salted terms, times. */
static const char *contents(struct context_job *job) {
  char sql[1400];
  snprintf(sql, sizeof sql,
           "SELECT concat((SELECT string_agg(concat_ws('|', name, source, status, error, content_type, bytes, sha256, etag, chunks, "
           "ingested_sha256, ingested_as, title, attempt, model), E'\\n' ORDER BY name) FROM autodb.documents WHERE connection_id = "
           "'%s'), (SELECT string_agg(concat_ws('|', c.id, ordinal, page, first_byte, last_byte, heading, body, cardinality(terms), "
           "v.embedding::text), E'\\n' ORDER BY c.id) FROM autodb.chunks c JOIN autodb.chunk_vectors v ON v.connection_id = "
           "c.connection_id AND v.chunk_id = c.id AND v.document_id = c.document_id WHERE c.connection_id = '%s'), (SELECT "
           "string_agg(concat_ws('|', term, meaning, heading, ordinal), E'\\n' ORDER BY term) FROM autodb.glossary WHERE connection_id = "
           "'%s'))",
           job->connection_id, job->connection_id, job->connection_id);
  PGresult *res = PQexec(fixture.own, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK || PQgetisnull(res, 0, 0)) fail_msg("%s", PQerrorMessage(fixture.own));
  const char *text = arena_strdup(job->job.arena, PQgetvalue(res, 0, 0));
  PQclear(res);
  return text;
}

static void each_ends_as_alone(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct context_job together, alone;
  struct ingest_source sources[GIVEN];
  struct ingest_outcome outcomes[GIVEN] = {0};
  for (size_t i = 0; i < GIVEN; i++) sources[i] = source_of(given[i].name, given[i].text);
  prepare(&together);
  if (ingest_documents(&together.job, fixture.embedder, sources, GIVEN, outcomes, &err)) fail_msg("%s", err.message);
  expect_outcomes(outcomes);
  prepare(&alone);
  for (size_t i = 0; i < GIVEN; i++)
    if (ingest_documents(&alone.job, fixture.embedder, &sources[i], 1, &outcomes[i], &err)) fail_msg("%s", err.message);
  expect_outcomes(outcomes);
  assert_string_equal(contents(&together), contents(&alone));
  struct retrieval found = context_search(&together, NULL, (struct retrieval_query){.text = "parcel come back", .max_documents = 1});
  assert_string_equal(found.documents[0].name, given[QUOTED].name);
  arena_free(together.job.arena);
  arena_free(alone.job.arena);
}

static void all_or_none(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct context_job job;
  struct ingest_source sources[] = {source_of("new.txt", "Other words."), source_of("worse.txt", "This one the table refuses.")};
  struct ingest_outcome outcomes[2] = {0};
  prepare(&job);
  const char *before = contents(&job);
  harness_sql(fixture.h->database_url, "ALTER TABLE autodb.chunks ADD CONSTRAINT refuses CHECK (body !~ 'table refuses') NOT VALID");
  assert_int_not_equal(ingest_documents(&job.job, fixture.embedder, sources, 2, outcomes, &err), OK);
  harness_sql(fixture.h->database_url, "ALTER TABLE autodb.chunks DROP CONSTRAINT refuses");
  char sql[400];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.chunks WHERE connection_id = '%s' AND body = 'What was there then.'",
           job.connection_id);
  assert_int_equal(harness_count(fixture.h->database_url, sql), 1);
  error_clear(&err);
  assert_int_equal(ingest_documents(&job.job, fixture.embedder, sources, 2, outcomes, &err), OK); /* the session can be used on */
  assert_int_equal(outcomes[1].state, INGEST_READY);
  assert_string_not_equal(contents(&job), before);
  arena_free(job.job.arena);
}

#define VECTOR(index, numbers) "{\"index\":" #index ",\"embedding\":[" numbers "]}"
#define VECTORS(vectors) "{\"data\":[" vectors "],\"usage\":{\"total_tokens\":7}}"

static void the_one_refused_is_found_out(void **state) {
  static const struct http_reply replies[] = {
      {200, NULL, VECTORS(VECTOR(0, "1,0,0,0")), .cut = 0}, /* how many dimensions there are */
      {400, NULL, "{\"error\":{\"message\":\"input 1 is invalid\"}}", .cut = 0},
      {200, NULL, VECTORS(VECTOR(0, "1,0,0,0")), .cut = 0}, /* a word is taken: it is one of the texts */
      {200, NULL, VECTORS(VECTOR(0, "1,0,0,0")), .cut = 0},
      {400, NULL, "{\"error\":{\"message\":\"input 0 is invalid\"}}", .cut = 0},
      {200, NULL, VECTORS(VECTOR(0, "0,1,0,0")), .cut = 0},
      {200, NULL, VECTORS(VECTOR(0, "0,0,1,0") "," VECTOR(1, "0,0,0,1")), .cut = 0},
  };
  (void)state;
  ERROR_AUTO err = {0};
  EMBEDDER_AUTO embedder = NULL;
  struct context_job job;
  struct http_double *server = http_double_new(replies, 7);
  struct config remote = context_config("openai", http_double_url(server));
  remote.embed_model = "test-model";
  context_job(&fixture, &job);
  assert_int_equal(embedder_new(&remote, fixture.own, &embedder, &err), OK);
  struct ingest_source sources[] = {source_of("1", "One."), source_of("2", "Two."), source_of("3", "Three.")};
  struct ingest_outcome outcomes[3] = {0};
  if (ingest_documents(&job.job, embedder, sources, 3, outcomes, &err)) fail_msg("%s", err.message);
  assert_int_equal(outcomes[0].state, INGEST_READY);
  assert_int_equal(outcomes[1].state, INGEST_FAILED);
  assert_string_equal(outcomes[1].code, "PROVIDER_REFUSED");
  assert_int_equal(outcomes[2].state, INGEST_READY);
  assert_int_equal(http_double_count(server), 6);
  struct ingest_source more[] = {source_of("5", "Five."), source_of("4", "Four.")};
  if (ingest_documents(&job.job, embedder, more, 2, outcomes, &err)) fail_msg("%s", err.message);
  assert_int_equal(http_double_count(server), 7); /* asked for both at once */
  char sql[500];
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.chunk_vectors v JOIN autodb.documents d ON d.id = v.document_id WHERE d.connection_id = '%s' AND "
           "(d.name, v.embedding::text) IN (('1', '[1,0,0,0]'), ('3', '[0,1,0,0]'), ('4', '[0,0,1,0]'), ('5', '[0,0,0,1]'))",
           job.connection_id);
  assert_int_equal(harness_count(fixture.h->database_url, sql), 4);
  http_double_free(server);
  arena_free(job.job.arena);
}

/* A key that was revoked is no document's fault: the job says so, and what was found is found still. */
static void settings_that_are_refused_harm_no_document(void **state) {
  static const struct http_reply replies[] = {{200, NULL, VECTORS(VECTOR(0, "1,0,0,0")), .cut = 0},
                                              {200, NULL, VECTORS(VECTOR(0, "0,1,0,0")), .cut = 0},
                                              {401, NULL, "{\"error\":{\"message\":\"no such key\"}}", .cut = 0}};
  (void)state;
  ERROR_AUTO err = {0};
  EMBEDDER_AUTO embedder = NULL;
  struct context_job job;
  struct http_double *server = http_double_new(replies, 3);
  struct config remote = context_config("openai", http_double_url(server));
  remote.embed_model = "revoked-model";
  context_job(&fixture, &job);
  assert_int_equal(embedder_new(&remote, fixture.own, &embedder, &err), OK);
  struct ingest_source first = source_of("1", "One."), again = source_of("1", "One, and more.");
  struct ingest_outcome outcome = {0};
  if (ingest_documents(&job.job, embedder, &first, 1, &outcome, &err)) fail_msg("%s", err.message);
  assert_int_equal(ingest_documents(&job.job, embedder, &again, 1, &outcome, &err), ERR_VALIDATION);
  assert_string_equal(err.code, "PROVIDER_REFUSED");
  assert_non_null(strstr(err.message, "no such key"));
  char sql[300];
  snprintf(
      sql, sizeof sql,
      "SELECT count(*) FROM autodb.chunks c JOIN autodb.chunk_vectors v ON v.connection_id = c.connection_id AND v.chunk_id = c.id WHERE "
      "c.connection_id = '%s' AND c.body = 'One.'",
      job.connection_id);
  assert_int_equal(harness_count(fixture.h->database_url, sql), 1);
  http_double_free(server);
  arena_free(job.job.arena);
}

static void what_is_no_group(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct context_job job;
  struct ingest_source sources[INGEST_GROUP + 1] = {0};
  struct ingest_outcome outcomes[INGEST_GROUP + 1] = {0};
  context_job(&fixture, &job);
  assert_int_equal(ingest_documents(&job.job, fixture.embedder, sources, 0, outcomes, &err), ERR_INTERNAL);
  error_clear(&err);
  assert_int_equal(ingest_documents(&job.job, fixture.embedder, sources, INGEST_GROUP + 1, outcomes, &err), ERR_INTERNAL);
  error_clear(&err);
  char sql[200];
  snprintf(sql, sizeof sql, "UPDATE autodb.connections SET deleted_at = now() WHERE id = '%s'", job.connection_id);
  harness_sql(fixture.h->database_url, sql);
  sources[0] = source_of("1", "One.");
  sources[1] = source_of("2", "Two.");
  assert_int_equal(ingest_documents(&job.job, fixture.embedder, sources, 2, outcomes, &err), ERR_NOT_FOUND);
  arena_free(job.job.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_ends_as_alone),
      cmocka_unit_test(all_or_none),
      cmocka_unit_test(the_one_refused_is_found_out),
      cmocka_unit_test(settings_that_are_refused_harm_no_document),
      cmocka_unit_test(what_is_no_group),
  };
  return cmocka_run_group_tests(tests, context_setup, context_teardown);
}
