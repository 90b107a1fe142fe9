/* Documents that mean harm, or are merely broken: each ends in an outcome, soon, with bounded memory, and harms nothing else. The PDFs are
 * made here, byte by byte; pdftotext runs in its jail as ever. */
#include "common/buf.h"
#include "common/clock.h"
#include "tests/integration/context_fixture.h"
#include <sys/resource.h>
#include <zlib.h>

#define SLOW_MS 20000 /* sanitizers and a busy machine included; a quadratic reading takes minutes */

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
  repeated("line.txt", 10 * MB, "words without any end ", NULL);
  repeated("more.txt", 10 * MB + 1, "words without any end ", "TOO_LARGE");
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
  repeated("divs.html", MB, "<div>a", "TOO_COMPLEX");
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
  ingest_soon("lists.html", text.data, text.len, "TOO_COMPLEX");
  static const char *const marks[] = {"- ", "1. ", "> ", "> 1. - "}; /* all on one line, each within the one before */
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    buf_reset(&text);
    for (int depth = 0; depth < 10000; depth++) buf_puts(&text, marks[i]);
    buf_puts(&text, "the innermost words");
    ingest_soon("line of lists.md", text.data, text.len, NULL);
  }
}

static void broken_bytes(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } broken[] = {{"fine \xF0\x9F\x98", 8},
                {"overlong \xC0\xAF", 11},
                {"surrogate \xED\xA0\x80", 13},
                {"beyond \xF4\x90\x80\x80", 11},
                {"alone \x80", 7},
                {"Latin-1: caf\xE9 noir", 18},
                {"a\0b", 3},
                {"\xFF\xFE\0\xD8", 4},
                {"\xFE\xFF\0\0", 4}};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) ingest_soon("broken.md", broken[i].bytes, broken[i].len, "BAD_ENCODING");
  char *late = filled(10 * MB, "good ");
  late[10 * MB - 1] = (char)0xC3;
  ingest_soon("late.txt", late, 10 * MB, "BAD_ENCODING");
  free(late);
  ingest_soon("blank.md", " \n\t\n", 4, "EMPTY");
}

/* What a document is, its bytes say; what its name says, nobody is harmed by. */
static void names_that_lie(void **state) {
  (void)state;
  static const struct {
    const char *name, *bytes;
    size_t len;
    const char *code;
  } documents[] = {{"image.pdf", "\x89PNG\r\n\x1a\n", 8, "UNSUPPORTED_TYPE"},
                   {"letter.pdf", "PK\003\004\024\0\0\0", 8, "UNSUPPORTED_TYPE"},
                   {"program.sql",
                    "\x7F"
                    "ELF\2\1\1\0",
                    8, "UNSUPPORTED_TYPE"},
                   {"table.csv", "SQLite format 3\0", 16, "UNSUPPORTED_TYPE"},
                   {"numbers.json", "\0\1\2\3", 4, "BAD_ENCODING"},
                   {"text.pdf", "plain words, no PDF", 19, NULL},
                   {"text.json", "no JSON { at all", 16, NULL},
                   {"text.html", "no <tag at all", 14, NULL},
                   {"text.sql", "neither SELECT nor sense ((", 27, NULL},
                   {"../../etc/passwd\r\n.md", "a name with a way in it", 23, NULL}};
  for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
    ingest_soon(documents[i].name, documents[i].bytes, documents[i].len, documents[i].code);
}

/* Archives are never opened, whatever they would become. */
static void packed(void **state) {
  (void)state;
  char *zip = filled(MB, "PK\003\004");
  ingest_soon("bomb.md", zip, MB, "UNSUPPORTED_TYPE");
  free(zip);
  char *zeros = calloc(1, 64 * MB);
  uLongf len = compressBound(64 * MB) + 64;
  Bytef *gzip = malloc(len);
  assert_true(zeros && gzip);
  z_stream stream = {.next_in = (Bytef *)zeros, .avail_in = 64 * MB, .next_out = gzip, .avail_out = (uInt)len};
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  ingest_soon("bomb.csv", gzip, stream.total_out, "UNSUPPORTED_TYPE");
  deflateEnd(&stream);
  free(gzip);
  free(zeros);
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
  static const char catalog[] =
      "<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1/zzlaunched'\\)) >> /AA << /WC "
      "<< /S /Launch /F (/bin/sh) >> >> /Names << /JavaScript << /Names [(y) << /S /JavaScript /JS (zzscripted) >>] >> /EmbeddedFiles << "
      "/Names [(x) << /Type /Filespec /F (/etc/passwd) /EF << /F 6 0 R >> >>] >> >> >>";
  static const char attached[] = "<< /Type /EmbeddedFile /Length 10 >>\nstream\nzzattached\nendstream";
  BUF_AUTO pdf;
  buf_init(&pdf, 8 * MB);
  pdf_with(&pdf, catalog, "", words_of_a_page, sizeof words_of_a_page - 1, attached);
  struct context_job job;
  context_job(&fixture, &job);
  struct ingest_outcome outcome = context_ingest(&fixture, &job, "script.pdf", pdf.data, pdf.len);
  if (outcome.state != INGEST_READY) fail_msg("%s: %s", outcome.code, outcome.message);
  assert_int_equal(outcome.chunks, 1);
  struct retrieval found = context_search(&job, NULL, (struct retrieval_query){.text = "refund policy shop", .max_documents = 20});
  assert_true(found.document_count >= 1);
  for (size_t i = 0; i < found.document_count; i++) assert_null(strstr(found.documents[i].text, "zz"));
  arena_free(job.job.arena);
}

static void scanned_encrypted_damaged(void **state) {
  (void)state;
  BUF_AUTO pdf;
  buf_init(&pdf, 8 * MB);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "", "0 0 m 100 100 l S", 17, NULL);
  ingest_soon("scan.pdf", pdf.data, pdf.len, "NEEDS_OCR");
  ingest_soon("damaged.pdf", "%PDF-1.7\nnothing of the kind", 27, "UNREADABLE");
  const char *pageless[] = {"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 0 >>"};
  BUF_AUTO empty;
  buf_init(&empty, 8 * MB);
  make_pdf(&empty, pageless, NULL, 2);
  ingest_soon("pageless.pdf", empty.data, empty.len, "UNREADABLE");
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

/* Ends in any outcome, in time. */
static void ends(const char *name, const struct buf *pdf) {
  struct context_job job;
  context_job(&fixture, &job);
  int64_t begin = clock_mono_ms();
  struct ingest_outcome outcome = context_ingest(&fixture, &job, name, pdf->data, pdf->len);
  print_message("%s: %zu bytes, %s, %lld ms\n", name, pdf->len, outcome.code ? outcome.code : "ready",
                (long long)(clock_mono_ms() - begin));
  assert_true(clock_mono_ms() - begin < 60000);
  assert_true(outcome.state == INGEST_READY || outcome.state == INGEST_FAILED);
  arena_free(job.job.arena);
}

static Bytef *pack(const void *bytes, size_t len, uLongf *ret_len) {
  *ret_len = compressBound(len);
  Bytef *packed = malloc(*ret_len);
  assert_non_null(packed);
  assert_int_equal(compress2(packed, ret_len, bytes, len, 9), Z_OK);
  return packed;
}

/* Megabytes of page in kilobytes of file, packed once and twice. */
static void bombs(void **state) {
  (void)state;
  BUF_AUTO pdf;
  buf_init(&pdf, 64 * MB);
  uLongf once_len, twice_len;
  char *words = filled(12 * MB, "(bomb) Tj ");
  Bytef *once = pack(words, 12 * MB, &once_len);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "/Filter /FlateDecode", once, once_len, NULL);
  ends("bomb.pdf", &pdf);
  free(once);
  free(words);
  words = filled(256 * MB, " ");
  once = pack(words, 256 * MB, &once_len);
  free(words);
  Bytef *twice = pack(once, once_len, &twice_len);
  free(once);
  buf_reset(&pdf);
  pdf_with(&pdf, "<< /Type /Catalog /Pages 2 0 R >>", "/Filter [/FlateDecode /FlateDecode]", twice, twice_len, NULL);
  free(twice);
  ends("twice.pdf", &pdf);
}

/* Pages that are each other's, and ten times ten times ten of the same. */
static void pages_without_end(void **state) {
  (void)state;
  BUF_AUTO pdf;
  buf_init(&pdf, 8 * MB);
  const char *loop[] = {"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 2000000000 >>",
                        "<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 2000000000 >>"};
  make_pdf(&pdf, loop, NULL, 3);
  ends("loop.pdf", &pdf);
  char nodes[10][200];
  const char *tree[12] = {"<< /Type /Catalog /Pages 2 0 R >>"};
  for (size_t i = 0; i < 10; i++) {
    size_t len = (size_t)snprintf(nodes[i], sizeof nodes[i], "<< /Type /Pages /Count 2000000000 /Kids [");
    for (int k = 0; k < 10; k++) len += (size_t)snprintf(nodes[i] + len, sizeof nodes[i] - len, " %zu 0 R", i + 3);
    snprintf(nodes[i] + len, sizeof nodes[i] - len, " ] >>");
    tree[i + 1] = nodes[i];
  }
  tree[11] = "<< /Type /Page /Parent 11 0 R /MediaBox [0 0 612 792] >>";
  buf_reset(&pdf);
  make_pdf(&pdf, tree, NULL, 12);
  ends("tree.pdf", &pdf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_line),
      cmocka_unit_test(brackets_and_quotes),
      cmocka_unit_test(nested_lists),
      cmocka_unit_test(broken_bytes),
      cmocka_unit_test(names_that_lie),
      cmocka_unit_test(packed),
      cmocka_unit_test(a_pdf_is_read_by_page),
      cmocka_unit_test(scripts_and_attachments_are_nothing),
      cmocka_unit_test(scanned_encrypted_damaged),
      cmocka_unit_test(bombs),
      cmocka_unit_test(pages_without_end),
  };
  return cmocka_run_group_tests(tests, context_setup, context_teardown);
}
