/* Formats by content, and what each makes of its documents: blocks, heads of tables, titles, and a clear fault for what can't be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "worker/context/extract.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  return (arena = arena_new((size_t)1 << 30)) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static struct extract read_bytes(const char *name, const void *bytes, size_t len) {
  struct extract extract = {0};
  ERROR_AUTO err = {0};
  struct extract_source source = {name, bytes, len};
  if (extract_document(&source, arena, &extract, &err)) fail_msg("%s: %s %s", name, err.code, err.message);
  return extract;
}

static struct extract read_one(const char *name, const char *text) { return read_bytes(name, text, strlen(text)); }

/* "H1 Title|T words|I item": kind, level of headings, text; line ends as "/". */
static const char *shape(const struct extract *extract) {
  static char out[8192];
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < extract->count && used < sizeof out - 1; i++) {
    const struct block *block = &extract->blocks[i];
    used += (size_t)snprintf(out + used, sizeof out - used, "%s%c", i ? "|" : "", "HTICRS"[block->kind]);
    if (block->kind == BLOCK_HEADING) used += (size_t)snprintf(out + used, sizeof out - used, "%d", block->level);
    used += (size_t)snprintf(out + used, sizeof out - used, " %.*s", (int)(block->to - block->from), extract->text + block->from);
    if (used >= sizeof out) break;
  }
  for (char *at = out; *at; at++)
    if (*at == '\n') *at = '/';
  return out;
}

static void fails(const char *name, const void *bytes, size_t len, const char *code, const char *part) {
  struct extract extract = {0};
  ERROR_AUTO err = {0};
  struct extract_source source = {name, bytes, len};
  assert_int_equal(extract_document(&source, arena, &extract, &err), ERR_VALIDATION);
  assert_string_equal(err.code, code);
  if (!strstr(err.message, part)) fail_msg("no \"%s\" in: %s", part, err.message);
}

/* --- which format --- */

static void the_content_decides(void **state) {
  (void)state;
  assert_string_equal(read_one("x.md", "<!DOCTYPE html><html><body><p>Hi</p></body></html>").content_type, "text/html");
  assert_string_equal(read_one("x.pdf", "# Title\n\nSome **bold** words").content_type, "text/markdown");
  assert_string_equal(read_one("x.txt", "-- makes it\nCREATE TABLE a (b int);").content_type, "application/sql");
  assert_string_equal(read_one("x.txt", "With this release we begin anew.").content_type, "text/plain");
  assert_string_equal(read_one("x", "{\"a\": 1}").content_type, "application/json");
  assert_string_equal(read_one("x", "{not json").content_type, "text/plain");
  assert_string_equal(read_one("x", "id,name,city\n1,Ann,Oslo\n2,Bo,Rome\n").content_type, "text/csv");
  assert_string_equal(read_one("x.txt", "Dear all,\n\nwe met, and ate.\n\nYours, A.").content_type, "text/plain");
  assert_string_equal(read_one("readme.md", "<p align=center>logo</p>\n\n# Title").content_type, "text/markdown");
}

static void refuses_what_it_cannot_read(void **state) {
  (void)state;
  fails("a.md", "", 0, "EMPTY", "empty");
  fails("a.docx", "PK\003\004....", 8, "UNSUPPORTED_TYPE", "ZIP");
  fails("a.md", "\x1F\x8B\x08\0\0", 5, "UNSUPPORTED_TYPE", "gzip");
  fails("a.txt", "\x89PNG\r\n\x1a\n", 8, "UNSUPPORTED_TYPE", "PNG");
  fails("a.txt", "ab\0cd", 5, "BAD_ENCODING", "byte 2 is a NUL");
  fails("a.md", "caf\xE9 au lait", 12, "BAD_ENCODING", "byte 3");
  fails("a.md", "\xED\xA0\x80", 3, "BAD_ENCODING", "byte 0");
  char *large = calloc(1, 10 * 1024 * 1024 + 1);
  memset(large, 'a', 10 * 1024 * 1024 + 1);
  fails("a.txt", large, 10 * 1024 * 1024 + 1, "TOO_LARGE", "at most");
  free(large);
}

static void other_encodings_with_a_mark(void **state) {
  (void)state;
  struct extract extract = read_bytes("a.txt", "\xEF\xBB\xBFHi", 5);
  assert_string_equal(shape(&extract), "T Hi");
  extract = read_bytes("a.txt", "\xFF\xFEH\0i\0\xAC\x20\x3D\xD8\0\xDE", 12);
  assert_string_equal(shape(&extract), "T Hi\xE2\x82\xAC\xF0\x9F\x98\x80");
  extract = read_bytes("a.txt", "\xFE\xFF\0H\0i", 6);
  assert_string_equal(shape(&extract), "T Hi");
  fails("a.txt", "\xFF\xFE\x3D\xD8", 4, "BAD_ENCODING", "half a character");
}

/* --- what each makes --- */

static void markdown(void **state) {
  (void)state;
  struct extract extract =
      read_one("a.md", "---\ntitle: \"The Book\"\nauthor: A\n---\n# One #\n\nText\nof two lines\n\nTwo\n---\n\n- a\n  - nested\n- b\n\n"
                       "| x | y |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n```sql\nSELECT 1;\n\nSELECT 2;\n```\n\n> said\n");
  assert_string_equal(extract.title, "The Book");
  assert_string_equal(shape(&extract),
                      "T title: \"The Book\"/author: A|H1 One|T Text/of two lines|H2 Two|I - a/  - nested|I - b|R | 1 | 2 ||R | 3 | 4 ||"
                      "C ```sql/SELECT 1;//SELECT 2;/```|T > said");
  const struct block *row = &extract.blocks[6];
  assert_memory_equal(extract.text + row->head, "| x | y |\n|---|---|", row->head_to - row->head);
}

static void html(void **state) {
  (void)state;
  struct extract extract = read_one(
      "a.html",
      "<html><head><title>The\nPage</title><style>p{}</style></head><body><script>alert(1)</script><h2>One</h2><p>Some <b>bold</b>\n"
      "  text &amp; &eacute;</p><ul><li>a<ul><li>b</ul></ul><table><tr><th>x<th>y</tr><tr><td>1<td>2</tr></table>"
      "<dl><dt>GMV</dt><dd>all sales</dd></dl><pre>a\n  b</pre></body></html>");
  assert_string_equal(extract.title, "The Page");
  assert_string_equal(shape(&extract), "H2 One|T Some bold text & \xC3\xA9|I a|I b|R 1 | 2|I **GMV**: all sales|C a/  b");
  const struct block *row = &extract.blocks[4];
  assert_memory_equal(extract.text + row->head, "x | y", row->head_to - row->head);
}

static void sql(void **state) {
  (void)state;
  struct extract extract = read_one("a.sql", "-- the orders\nCREATE TABLE shop.orders (id int REFERENCES shop.customers);\n\nSELECT * FROM "
                                             "a JOIN b USING (x) WHERE EXISTS (SELECT FROM c);\n");
  assert_int_equal(extract.count, 2);
  assert_int_equal(extract.blocks[0].kind, BLOCK_STATEMENT);
  assert_string_equal(extract.blocks[0].tables[0], "shop.orders");
  assert_string_equal(extract.blocks[0].tables[1], "shop.customers");
  assert_string_equal(extract.blocks[1].tables[0], "a");
  assert_string_equal(extract.blocks[1].tables[2], "c");
  assert_null(extract.blocks[1].tables[3]);
  assert_memory_equal(extract.text + extract.blocks[0].from, "-- the orders\nCREATE", 20);
  extract = read_one("a.sql", "\\connect x\n\nSELECT FROM FROM;\n");
  assert_string_equal(shape(&extract), "C \\connect x|C SELECT FROM FROM;");
}

static void csv(void **state) {
  (void)state;
  struct extract extract = read_one("a.csv", "id;note\r\n1;\"a \"\"b\"\"\nc\"\r\n2;d\r\n");
  assert_string_equal(shape(&extract), "R 1;\"a \"\"b\"\"/c\"|R 2;d");
  assert_memory_equal(extract.text + extract.blocks[0].head, "id;note", extract.blocks[0].head_to - extract.blocks[0].head);
  extract = read_one("a.csv", "id,note\n");
  assert_string_equal(shape(&extract), "T id,note");
  extract = read_one("a.tsv", "a\tb\tc\n\tx\t\n\t\t\n1\t2\t3\n");
  assert_string_equal(shape(&extract), "R \tx\t|R 1\t2\t3");
  extract = read_one("a.csv", "sep=;\r\na,b;c\r\n1;2\r\n");
  assert_string_equal(shape(&extract), "R 1;2");
  assert_memory_equal(extract.text + extract.blocks[0].head, "a,b;c", extract.blocks[0].head_to - extract.blocks[0].head);
  extract = read_one("a.csv", "a,\"never ended\n1,2\n3,4\n");
  assert_true(extract.count > 0);
}

static void json(void **state) {
  (void)state;
  struct extract extract =
      read_one("a.json", "{\"name\":\"x\",\"n\":null,\"list\":[{\"a\":1},{\"a\":true}],\"deep\":{\"b\":{\"c\":\"d\"}}}");
  assert_string_equal(shape(&extract), "I name: x|I list.a: 1|I list.a: true|I deep.b.c: d");
}

static void a_value_of_json_a_line(void **state) {
  (void)state;
  struct extract extract = read_one("a.log", "{\"a\":1,\"b\":\"x\"}\r\n{\"a\":2}\nno json\n\n[{\"a\":3}]");
  assert_string_equal(extract.content_type, "application/json");
  assert_string_equal(shape(&extract), "I a: 1/b: x|I a: 2|T no json|I a: 3");
}

static void nothing_of_deep_json_is_lost(void **state) {
  (void)state;
  struct buf deep;
  buf_init(&deep, 1 << 20);
  for (int i = 0; i < 1000; i++) buf_puts(&deep, "{\"a\":");
  buf_puts(&deep, "\"needle\"");
  for (int i = 0; i < 1000; i++) buf_puts(&deep, "}");
  struct extract extract = read_bytes("a.json", buf_str(&deep), deep.len);
  assert_non_null(strstr(shape(&extract), "a.a.a: needle"));
  buf_free(&deep);
}

/* Titles and paths have a most; where that falls into a character, the character goes. */
static void no_character_is_cut(void **state) {
  (void)state;
  static const char *const forms[][2] = {{"a.html", "<html><head><title>%s</title></head><body>x</body></html>"},
                                         {"a.md", "# %s\n\nx\n"},
                                         {"a.md", "---\ntitle: %s\n---\n\nx\n"},
                                         {"a.json", "{\"%s\": 1}"}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    for (size_t before = 0; before < 3; before++) {
      char title[1024], *document = NULL;
      size_t used = 0;
      memset(title, 'a', before);
      for (used = before; used < 900; used += 3) memcpy(title + used, "\xE6\xB3\xA8", 3);
      title[used] = '\0';
      assert_true(asprintf(&document, "%.*s%s%s", (int)(strstr(forms[i][1], "%s") - forms[i][1]), forms[i][1], title,
                           strstr(forms[i][1], "%s") + 2) > 0);
      struct extract extract = read_one(forms[i][0], document);
      const char *texts[] = {extract.title ? extract.title : "", extract.text};
      for (size_t k = 0; k < 2; k++)
        for (size_t at = 0, len = strlen(texts[k]), step; at < len; at += step)
          if (!(step = utf8_char(texts[k] + at, len - at))) fail_msg("%s, %zu: cut at byte %zu of %s", forms[i][0], before, at, texts[k]);
      free(document);
    }
}

static void cells_of_html_stay_in_their_row(void **state) {
  (void)state;
  struct extract extract =
      read_one("a.html", "<html><body><form><table><tr><td></td><td><p>one</p><p>two</p></td><td><ul><li>a</li><li>b</li></ul></td></tr>"
                         "<tr><td>x<pre>y\n z</pre></td><td><b>b</b>old<br>c</td><td><table><tr><td>1</td><td>2</td></tr></table></td></tr>"
                         "</table></form></body></html>");
  assert_string_equal(shape(&extract), "R | one two | a b|R x y z | bold c | 1 2");
}

static void html_too_deep_is_said_to_be(void **state) {
  (void)state;
  struct buf deep;
  buf_init(&deep, 1 << 20);
  buf_puts(&deep, "<html><body><p>before</p>");
  for (int i = 0; i < 2000; i++) buf_puts(&deep, "<div>");
  buf_puts(&deep, "needle");
  fails("a.html", buf_str(&deep), deep.len, "TOO_COMPLEX", "deeper");
  buf_free(&deep);
}

static void sql_around_what_is_none(void **state) {
  (void)state;
  struct extract extract =
      read_one("dump.sql", "\\restrict x\n\nCREATE TABLE a (id int);\n\nCOPY a (id) FROM stdin;\n1\n2;\n\\.\n\n-- b\nCREATE "
                           "TABLE b (id int);\n\nFOO BAR;\n\nSELECT 1;\n-- the end\n");
  assert_string_equal(shape(&extract),
                      "C \\restrict x|S CREATE TABLE a (id int)|S COPY a (id) FROM stdin|C 1/2;/\\.|C -- b|S CREATE TABLE b (id int)|"
                      "C FOO BAR;|S SELECT 1|C -- the end");
  assert_string_equal(extract.blocks[5].tables[0], "b");
  extract = read_one("a.sql", "\\set x 1\r\n\r\nSELEC 1;\r\n\r\nSELEC 2;\r\n");
  assert_string_equal(shape(&extract), "C \\set x 1|C SELEC 1;|C SELEC 2;");
}

static void text_that_speaks_of_pdf(void **state) {
  (void)state;
  assert_string_equal(read_one("a.md", "# Files\n\nA PDF begins with %PDF-1.7.").content_type, "text/markdown");
}

static void text(void **state) {
  (void)state;
  struct extract extract = read_one("a.txt", "\n\none\ntwo\n \t\nthree\n");
  assert_string_equal(shape(&extract), "T one/two|T three");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_content_decides),
      cmocka_unit_test(refuses_what_it_cannot_read),
      cmocka_unit_test(other_encodings_with_a_mark),
      cmocka_unit_test(markdown),
      cmocka_unit_test(html),
      cmocka_unit_test(sql),
      cmocka_unit_test(csv),
      cmocka_unit_test(json),
      cmocka_unit_test(a_value_of_json_a_line),
      cmocka_unit_test(nothing_of_deep_json_is_lost),
      cmocka_unit_test(no_character_is_cut),
      cmocka_unit_test(cells_of_html_stay_in_their_row),
      cmocka_unit_test(html_too_deep_is_said_to_be),
      cmocka_unit_test(sql_around_what_is_none),
      cmocka_unit_test(text_that_speaks_of_pdf),
      cmocka_unit_test(text),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
