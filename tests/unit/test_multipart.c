/* Form data as it arrives: what comes out is the same wherever the bytes are cut, and what two parsers could read differently is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <string.h>

#include "api/multipart.h"
#include "common/buf.h"
#include "common/limits.h"

/* What came out, as text: name|filename|type|content; and so on. */
struct seen {
  struct buf text;
  bool open;
  size_t data_calls;
};

static enum status on_begin(void *arg, const struct multipart_part *part, struct error *err) {
  struct seen *seen = arg;
  (void)err;
  assert_false(seen->open);
  seen->open = true;
  buf_printf(&seen->text, "%s|%s|%s|", part->name, part->filename ? part->filename : "-", part->content_type);
  return OK;
}

static enum status on_data(void *arg, const char *data, size_t len, struct error *err) {
  struct seen *seen = arg;
  (void)err;
  assert_true(seen->open && len > 0);
  seen->data_calls++;
  buf_append(&seen->text, data, len);
  return OK;
}

static enum status on_end(void *arg, struct error *err) {
  struct seen *seen = arg;
  (void)err;
  assert_true(seen->open);
  seen->open = false;
  buf_puts(&seen->text, ";");
  return OK;
}

static const struct multipart_sink sink = {.begin = on_begin, .data = on_data, .end = on_end};
#define TYPE "multipart/form-data; boundary=XX"
#define FILE_HEAD(name) "--XX\r\nContent-Disposition: form-data; name=\"files\"; filename=\"" name "\"\r\n"

/* Feeds `step` bytes at a time. */
static enum status parse(const char *type, const char *body, size_t len, size_t step, struct seen *seen, struct error *err) {
  ARENA_AUTO arena = arena_new(1 << 20);
  struct multipart *m = NULL;
  *seen = (struct seen){0};
  buf_init(&seen->text, 1 << 20);
  enum status status = multipart_new(arena, type, &sink, seen, &m, err);
  for (size_t at = 0; status == OK && at < len; at += step) status = multipart_feed(m, body + at, len - at < step ? len - at : step, err);
  return status == OK ? multipart_finish(m, err) : status;
}

static void expect(const char *body, size_t len, const char *wanted) {
  for (size_t step = 1; step <= len; step++) {
    struct seen seen;
    ERROR_AUTO err = {0};
    if (parse(TYPE, body, len, step, &seen, &err) != OK) fail_msg("step %zu: %s", step, err.message);
    if (strcmp(buf_str(&seen.text), wanted) != 0) fail_msg("step %zu: %s, not %s", step, buf_str(&seen.text), wanted);
    buf_free(&seen.text);
  }
}
#define EXPECT(body, wanted) expect(body, sizeof(body) - 1, wanted)

static void parts_come_out_however_the_bytes_are_cut(void **state) {
  (void)state;
  EXPECT(FILE_HEAD("a.md") "Content-Type: text/markdown\r\n\r\n# A\r\n\r\n--XX--\r\n", "files|a.md|text/markdown|# A\r\n;");
  EXPECT(FILE_HEAD("a") "\r\none\r\n" FILE_HEAD("b") "\r\ntwo\r\n--XX--", "files|a||one;files|b||two;");
  EXPECT("--XX\r\ncontent-disposition:form-data;name=priority\r\n\r\nbulk\r\n--XX--\r\n", "priority|-||bulk;");
}

static void content_that_looks_like_a_boundary_is_content(void **state) {
  (void)state;
  EXPECT(FILE_HEAD("a") "\r\n\r\n-\r\n--\r\n--X\r\n\r\r\n--XY\n--XX\r--XX\r\n--XX--",
         "files|a||\r\n-\r\n--\r\n--X\r\n\r\r\n--XY\n--XX\r--XX;");
  EXPECT(FILE_HEAD("a") "\r\n\r\n\r\n--XX--", "files|a||\r\n;");
  EXPECT(FILE_HEAD("a") "\r\n--X\r\n--XX--", "files|a||--X;");
  EXPECT(FILE_HEAD("a") "\r\n-\r\n--XX--", "files|a||-;");
}

static void empty_files_are_files(void **state) {
  (void)state;
  EXPECT(FILE_HEAD("a") "\r\n\r\n--XX--", "files|a||;");
  EXPECT(FILE_HEAD("a") "\r\n--XX--", "files|a||;"); /* the blank line is the boundary's: a part without a body */
}

static void what_is_outside_of_parts_means_nothing(void **state) {
  (void)state;
  EXPECT("read by old mailers\r\n--X\r\n" FILE_HEAD("a") "\r\nx\r\n--XX-- \r\nand after\r\n--XX\r\n", "files|a||x;");
  EXPECT("\r\n" FILE_HEAD("a") "\r\nx\r\n--XX \t\r\nContent-Disposition: form-data; name=b\r\n\r\ny\r\n--XX--", "files|a||x;b|-||y;");
  EXPECT("--XX--", "");
}

static void names_of_files_are_read_in_every_shape(void **state) {
  (void)state;
  static const struct {
    const char *parameters, *name;
  } rows[] = {{"filename=\"a b;c.md\"", "a b;c.md"},
              {"filename=\"say \\\"hi\\\".md\"", "say \"hi\".md"},
              {"filename=\"say %22hi%22 %41.md\"", "say \"hi\" %41.md"},
              {"filename=plain.md", "plain.md"},
              {"filename=\"../../etc/passwd\"", "passwd"},
              {"filename=\"C:\\docs\\new\\a.md\"", "a.md"},
              {"filename=\"C:\\\\docs\\\\a.md\"", "a.md"},
              {"filename=\"dir/\"", ""},
              {"filename=\"\"", ""},
              {"filename=\"\xc3\xa4.md\"", "\xc3\xa4.md"},
              {"filename*=UTF-8''na%C3%AFve%20%22x%22.md", "na\xc3\xafve \"x\".md"},
              {"filename*=utf-8'en'%2Fetc%2Fa.md; filename=\"b.md\"", "a.md"},
              {"filename=\"b.md\"; filename*=UTF-8''a.md;", "a.md"},
              {"FileName = x", NULL},
              {"filename=\"a", NULL},
              {"filename=\"a\" b", NULL},
              {"filename=\"a\"; filename=\"b\"", NULL},
              {"filename=\"\xff\"", NULL},
              {"filename=\"\xc0\xaf\"", NULL},
              {"filename=\"a\tb\"", NULL},
              {"filename=", NULL},
              {"filename=a b", NULL},
              {"filename*=ISO-8859-1''a", NULL},
              {"filename*=UTF-8''%00", NULL},
              {"filename*=UTF-8''%4", NULL},
              {"filename*=UTF-8''%C3", NULL},
              {"filename*=UTF-8''%0a", NULL},
              {"name=\"files\"", NULL}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char body[512], wanted[512];
    struct seen seen;
    ERROR_AUTO err = {0};
    snprintf(body, sizeof body, "--XX\r\nContent-Disposition: form-data; name=\"files\"; %s\r\n\r\nx\r\n--XX--", rows[i].parameters);
    snprintf(wanted, sizeof wanted, "files|%s||x;", rows[i].name ? rows[i].name : "");
    enum status status = parse(TYPE, body, strlen(body), 7, &seen, &err);
    if (status != (rows[i].name ? OK : ERR_MALFORMED)) fail_msg("%s: %d %s", rows[i].parameters, status, err.message);
    if (rows[i].name && strcmp(buf_str(&seen.text), wanted) != 0) fail_msg("%s: %s", rows[i].parameters, buf_str(&seen.text));
    buf_free(&seen.text);
  }
}

static void malformed_bodies_are_refused_however_they_arrive(void **state) {
  (void)state;
  static const struct {
    const char *body;
    size_t len;
  } rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
      ROW(""),
      ROW("no boundary"),
      ROW("--XX"),
      ROW("--XX\r\n"),
      ROW(FILE_HEAD("a")),
      ROW(FILE_HEAD("a") "\r\nx"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XX"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XX\r\n"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XX-"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XX-\r\n"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XXY\r\n\r\n--XX--"),
      ROW(FILE_HEAD("a") "\r\nx\r\n--XX\n\r\n--XX--"),
      ROW("--XX\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data; name=\"a\"\n\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data; name=\"a\rb\"\r\n\r\nx\r\n--XX--"),
      ROW("--XX\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nx\r\n--XX--"),
      ROW(FILE_HEAD("a") "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\nx\r\n--XX--"),
      ROW(FILE_HEAD("a") "Content-Transfer-Encoding: base64\r\n\r\neA==\r\n--XX--")};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t step = 1; step <= rows[i].len + 1; step++) {
      struct seen seen;
      ERROR_AUTO err = {0};
      enum status status = parse(TYPE, rows[i].body, rows[i].len, step, &seen, &err);
      if (status != ERR_MALFORMED) fail_msg("%s (step %zu): %d", rows[i].body, step, status);
      buf_free(&seen.text);
    }
}

#define LONGEST "1234567890123456789012345678901234567890123456789012345678901234567890"
#define LONGEST_TYPE "multipart/form-data; boundary=" LONGEST

static void the_boundary_comes_from_a_strict_content_type(void **state) {
  (void)state;
  static const struct {
    const char *type;
    enum status status;
  } rows[] = {{TYPE, OK},
              {"Multipart/Form-Data;charset=utf-8; Boundary=\"XX\"", OK},
              {NULL, ERR_MEDIA_TYPE},
              {"", ERR_MEDIA_TYPE},
              {"application/json", ERR_MEDIA_TYPE},
              {"multipart/mixed; boundary=XX", ERR_MEDIA_TYPE},
              {"multipart/form-datax; boundary=XX", ERR_MEDIA_TYPE},
              {LONGEST_TYPE, OK},
              {"multipart/form-data", ERR_MALFORMED},
              {"multipart/form-data; boundary=", ERR_MALFORMED},
              {"multipart/form-data; boundary=\"\"", ERR_MALFORMED},
              {"multipart/form-data; boundary=\"XX", ERR_MALFORMED},
              {"multipart/form-data; boundary=\"X@\"", ERR_MALFORMED},
              {"multipart/form-data; boundary=\"XX \"", ERR_MALFORMED},
              {"multipart/form-data; boundary=XX; boundary=YY", ERR_MALFORMED},
              {"multipart/form-data; boundary=XX YY", ERR_MALFORMED},
              {"multipart/form-data; boundary=12345678901234567890123456789012345678901234567890123456789012345678901", ERR_MALFORMED}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct seen seen;
    ERROR_AUTO err = {0};
    const char *body = rows[i].type && strcmp(rows[i].type, LONGEST_TYPE) == 0 ? "--" LONGEST "--" : "--XX--";
    enum status status = parse(rows[i].type, body, strlen(body), 6, &seen, &err);
    if (status != rows[i].status) fail_msg("%s: %d %s", rows[i].type ? rows[i].type : "none", status, err.message);
    buf_free(&seen.text);
  }
}

static void heads_and_what_is_outside_are_bounded(void **state) {
  (void)state;
  static char big[256 * 1024];
  for (int round = 0; round < 3; round++) {
    struct seen seen;
    ERROR_AUTO err = {0};
    size_t at = (size_t)snprintf(big, sizeof big, "%s", round == 0 ? FILE_HEAD("a") "X-Long: " : round == 1 ? "" : "--XX--");
    memset(big + at, 'a', sizeof big - at);
    assert_int_equal(parse(TYPE, big, sizeof big, 4096, &seen, &err), ERR_MALFORMED);
    buf_free(&seen.text);
  }
}

static void large_content_comes_in_large_pieces(void **state) {
  (void)state;
  static char big[256 * 1024];
  struct seen seen;
  ERROR_AUTO err = {0};
  size_t at = (size_t)snprintf(big, sizeof big, "%s", FILE_HEAD("a") "\r\n");
  for (size_t i = at; i < sizeof big; i++) big[i] = "\r\n-"[i % 3];
  memcpy(big + sizeof big - 8, "\r\n--XX--", 8);
  assert_int_equal(parse(TYPE, big, sizeof big, 65536, &seen, &err), OK);
  assert_int_equal(seen.text.len, strlen("files|a||;") + sizeof big - 8 - at);
  assert_true(seen.data_calls <= 2 * sizeof big / 65536);
  buf_free(&seen.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts_come_out_however_the_bytes_are_cut),
      cmocka_unit_test(content_that_looks_like_a_boundary_is_content),
      cmocka_unit_test(empty_files_are_files),
      cmocka_unit_test(what_is_outside_of_parts_means_nothing),
      cmocka_unit_test(names_of_files_are_read_in_every_shape),
      cmocka_unit_test(malformed_bodies_are_refused_however_they_arrive),
      cmocka_unit_test(the_boundary_comes_from_a_strict_content_type),
      cmocka_unit_test(heads_and_what_is_outside_are_bounded),
      cmocka_unit_test(large_content_comes_in_large_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
