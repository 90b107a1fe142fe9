/* Documents that mean harm, or are merely broken: each ends in an outcome, soon, with bounded memory, and harms nothing else. The PDFs are
 * made here, byte by byte; pdftotext runs in its jail as ever. */
#include "common/buf.h"
#include "common/clock.h"
#include "tests/integration/context_fixture.h"
#include <sys/resource.h>
#include <zlib.h>

#define SLOW_MS 20000 /* sanitizers and a busy machine included; a quadratic reading takes minutes */

static struct context_fixture fixture;

static int setup(void **state) {
  struct harness *h = harness_new();
  context_begin(&fixture, h);
  *state = h;
  return 0;
}

static int teardown(void **state) {
  context_end(&fixture);
  return harness_teardown(state);
}

static long peak_mb(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

/* Ingests within time; ret_outcome's strings are gone with the job. code NULL: it has to be ready. */
static int ingest_soon(const char *name, const void *bytes, size_t len, const char *code) {
  struct context_job job;
  context_job(&fixture, &job);
  int64_t begin = clock_mono_ms();
  struct ingest_outcome outcome = context_ingest(&fixture, &job, name, bytes, len);
  int64_t took = clock_mono_ms() - begin;
  print_message("%s: %s, %d chunks, %lld ms, peak %ld MB\n", name, outcome.code ? outcome.code : "ready", outcome.chunks, (long long)took,
                peak_mb());
  if (took > SLOW_MS) fail_msg("%s took %lld ms", name, (long long)took);
  if (!code && outcome.state != INGEST_READY) fail_msg("%s: %s", name, outcome.message ? outcome.message : "not ready");
  if (code && (outcome.state != INGEST_FAILED || strcmp(outcome.code, code) != 0))
    fail_msg("%s: not %s but %s", name, code, outcome.code ? outcome.code : "ready");
  arena_free(job.job.arena);
  return outcome.chunks;
}

static char *filled(size_t len, const char *pattern) {
  size_t pattern_len = strlen(pattern);
  char *text = malloc(len + 1);
  assert_non_null(text);
  for (size_t i = 0; i < len; i++) text[i] = pattern[i % pattern_len];
  text[len] = '\0';
  return text;
}

static void repeated(const char *name, size_t len, const char *pattern, const char *code) {
  char *text = filled(len, pattern);
  ingest_soon(name, text, len, code);
  free(text);
}

#define MB (1024 * 1024)

/* --- text --- */

static void one_line(void **state) {
  (void)state;
  repeated("line.txt", getenv("TESTS_LONG") ? 10 * MB : 2 * MB, "words without any end ", NULL);
  repeated("letter.md", 2 * MB, "a", NULL);
  assert_true(peak_mb() < 1200);
}

static void brackets_and_quotes(void **state) {
  (void)state;
  repeated("links.md", MB, "[", NULL);
  repeated("images.md", MB, "![a](", NULL);
  repeated("stars.md", MB, "**a *b ", NULL);
  repeated("ticks.md", MB, "`a``b", NULL);
  repeated("quotes.md", 64 * 1024, "> ", NULL);
  repeated("comments.md", MB, "<!--", NULL);
  repeated("tables.md", MB, "|a|b|\n|-|-|\n", NULL);
  repeated("divs.html", MB, "<div>a", NULL);
  repeated("attributes.html", MB, "<a b=\"c\" ", "EMPTY");
  repeated("entities.html", MB, "<p>&lt;&nosuch;&#0;", NULL);
  repeated("nested.json", MB, "[", NULL);
  repeated("quoted.csv", MB, "a,\"b\n", NULL);
  repeated("parens.sql", MB / 2, "(", NULL);
  repeated("plus.sql", 200 * 1024, "1+", NULL);
  repeated("dashes.md", MB, "- - ", "EMPTY"); /* thematic breaks */
}

static void nested_lists(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 64 * MB);
  for (int depth = 0; depth < 10000 && text.len < 9 * MB; depth++) buf_printf(&text, "%*s- level %d\n", depth % 1300 * 2, "", depth);
  ingest_soon("lists.md", text.data, text.len, NULL);
  buf_reset(&text);
  for (int depth = 0; depth < 10000; depth++) buf_puts(&text, "<ul><li>");
  ingest_soon("lists.html", text.data, text.len, "EMPTY");
}

static void broken_bytes(void **state) {
  (void)state;
  ingest_soon("utf8.md", "fine \xF0\x9F\x98", 8, "BAD_ENCODING");
  ingest_soon("nul.txt", "a\0b", 3, "BAD_ENCODING");
  ingest_soon("blank.md", " \n\t\n", 4, "EMPTY");
  ingest_soon("image.pdf", "\x89PNG\r\n\x1a\n", 8, "UNSUPPORTED_TYPE");
  char *zip = filled(MB, "PK\003\004");
  ingest_soon("bomb.md", zip, MB, "UNSUPPORTED_TYPE");
  free(zip);
}

/* --- PDF --- */

/* Objects from `objects` (the first is the catalog), with a table of where they are. */
static void make_pdf(struct buf *out, const char *const *objects, const size_t *lengths, size_t count) {
  size_t offsets[32];
  buf_puts(out, "%PDF-1.7\n");
  for (size_t i = 0; i < count; i++) {
    offsets[i] = out->len;
    buf_printf(out, "%zu 0 obj\n", i + 1);
    buf_append(out, objects[i], lengths ? lengths[i] : strlen(objects[i]));
    buf_puts(out, "\nendobj\n");
  }
  size_t table = out->len;
  buf_printf(out, "xref\n0 %zu\n0000000000 65535 f \n", count + 1);
  for (size_t i = 0; i < count; i++) buf_printf(out, "%010zu 00000 n \n", offsets[i]);
  buf_printf(out, "trailer\n<< /Size %zu /Root 1 0 R >>\nstartxref\n%zu\n%%%%EOF\n", count + 1, table);
}

#define FONT "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
#define PAGE "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>"
#define PAGES "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"

static void stream_object(struct buf *out, const char *extra, const void *bytes, size_t len) {
  buf_printf(out, "<< /Length %zu %s >>\nstream\n", len, extra);
  buf_append(out, bytes, len);
  buf_puts(out, "\nendstream");
}

static void pdf_with(struct buf *out, const char *catalog, const char *extra, const void *content, size_t len, const char *more) {
  BUF_AUTO stream;
  buf_init(&stream, 64 * MB);
  stream_object(&stream, extra, content, len);
  const char *objects[] = {catalog, PAGES, PAGE, stream.data, FONT, more ? more : FONT};
  const size_t lengths[] = {strlen(catalog), strlen(PAGES), strlen(PAGE), stream.len, strlen(FONT), strlen(objects[5])};
  make_pdf(out, objects, lengths, 6);
}

static const char words_of_a_page[] = "BT /F1 12 Tf 72 720 Td (The refund policy of the shop is thirty days long.) Tj ET";

static void a_pdf_is_read_by_page(void **state) {
  (void)state;
  BUF_AUTO pdf;
  struct context_job job;
  buf_init(&pdf, 8 * MB);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "", words_of_a_page, sizeof words_of_a_page - 1, NULL);
  context_job(&fixture, &job);
  struct ingest_outcome outcome = context_ingest(&fixture, &job, "policy.txt", pdf.data, pdf.len); /* the content decides */
  if (outcome.state != INGEST_READY) fail_msg("%s: %s", outcome.code, outcome.message);
  assert_string_equal(outcome.content_type, "application/pdf");
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "refund policy", .max_documents = 1});
  assert_int_equal(found.document_count, 1);
  assert_int_equal(found.documents[0].page, 1);
  assert_non_null(strstr(found.documents[0].text, "thirty days long"));
  arena_free(job.job.arena);
}

static void scripts_and_attachments_are_nothing(void **state) {
  (void)state;
  BUF_AUTO pdf;
  buf_init(&pdf, 8 * MB);
  pdf_with(
      &pdf,
      "<< /Type /Catalog /Pages 2 0 R /OpenAction 6 0 R /Names << /EmbeddedFiles << /Names [(x) << /Type /Filespec /F (/etc/passwd) /EF "
      "<< /F 6 0 R >> >>] >> >> >>",
      "", words_of_a_page, sizeof words_of_a_page - 1, "<< /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1/'\\)) >>");
  ingest_soon("script.pdf", pdf.data, pdf.len, NULL);
}

static void scanned_encrypted_damaged(void **state) {
  (void)state;
  BUF_AUTO pdf;
  buf_init(&pdf, 8 * MB);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "", "0 0 m 100 100 l S", 17, NULL);
  ingest_soon("scan.pdf", pdf.data, pdf.len, "NEEDS_OCR");
  ingest_soon("damaged.pdf", "%PDF-1.7\nnothing of the kind", 27, "UNREADABLE");
  char *trailer = memmem(pdf.data, pdf.len, "/Root 1 0 R >>", 14);
  size_t at = (size_t)(trailer - pdf.data);
  BUF_AUTO locked;
  buf_init(&locked, 8 * MB);
  buf_append(&locked, pdf.data, at);
  buf_puts(
      &locked,
      "/Root 1 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] /Encrypt << /Filter /Standard /V 2 /R 3 "
      "/Length 128 /P -44 /O <0011223344556677889900112233445566778899001122334455667788990011> /U "
      "<0011223344556677889900112233445566778899001122334455667788990011> >> >>");
  buf_puts(&locked, trailer + 14);
  ingest_soon("locked.pdf", locked.data, locked.len, "ENCRYPTED");
}

/* Twelve megabytes of page in thirty kilobytes of file. */
static void bombs(void **state) {
  (void)state;
  char *words = filled(12 * MB, "(bomb) Tj ");
  uLongf packed_len = compressBound(12 * MB);
  Bytef *packed = malloc(packed_len);
  assert_int_equal(compress2(packed, &packed_len, (const Bytef *)words, 12 * MB, 6), Z_OK);
  free(words);
  BUF_AUTO pdf;
  buf_init(&pdf, 64 * MB);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "/Filter /FlateDecode", packed, packed_len, NULL);
  free(packed);
  struct context_job job;
  context_job(&fixture, &job);
  int64_t begin = clock_mono_ms();
  struct ingest_outcome outcome = context_ingest(&fixture, &job, "bomb.pdf", pdf.data, pdf.len);
  print_message("bomb.pdf: %zu bytes, %s, %lld ms\n", pdf.len, outcome.code ? outcome.code : "ready", (long long)(clock_mono_ms() - begin));
  assert_true(clock_mono_ms() - begin < 60000);
  assert_true(outcome.state == INGEST_READY || outcome.state == INGEST_FAILED);
  arena_free(job.job.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_line),
      cmocka_unit_test(brackets_and_quotes),
      cmocka_unit_test(nested_lists),
      cmocka_unit_test(broken_bytes),
      cmocka_unit_test(a_pdf_is_read_by_page),
      cmocka_unit_test(scripts_and_attachments_are_nothing),
      cmocka_unit_test(scanned_encrypted_damaged),
      cmocka_unit_test(bombs),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
