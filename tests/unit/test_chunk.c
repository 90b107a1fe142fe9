/* Cutting: sizes, borders, headings, heads of tables, what has to be cut, and ids that depend on nothing but what they are of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "worker/context/chunk.h"
#include "worker/embed/driver.h"

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

static struct chunk_list cut(const char *name, const char *text, size_t len) {
  struct extract extract = {0};
  struct chunk_list list = {0};
  ERROR_AUTO err = {0};
  struct extract_source source = {name, text, len};
  if (extract_document(&source, arena, &extract, &err) || chunk_document(&extract, "upload", name, arena, &list, &err))
    fail_msg("%s", err.message);
  return list;
}

static struct chunk_list cut_buf(const char *name, struct buf *text) {
  struct chunk_list list = cut(name, buf_str(text), text->len);
  for (size_t i = 0; i < list.count; i++) {
    size_t tokens = embed_tokens(list.items[i].body, list.items[i].body_len);
    if (tokens > CHUNK_HARD + 4) fail_msg("chunk %zu has %zu tokens", i, tokens);
    for (size_t at = 0, used; at < list.items[i].body_len; at += used)
      if (!(used = utf8_char(list.items[i].body + at, list.items[i].body_len - at))) fail_msg("chunk %zu cuts a character", i);
  }
  return list;
}

static void paragraphs_gather_to_the_target(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  for (int i = 0; i < 100; i++)
    buf_printf(&text, "Paragraph %d says a little about things that matter to some people, and to others not at all.\n\n", i);
  struct chunk_list list = cut_buf("a.txt", &text);
  assert_true(list.count >= 6 && list.count <= 12);
  for (size_t i = 0; i < list.count; i++) assert_memory_equal(list.items[i].body, "Paragraph", 9); /* none is cut within */
}

static void headings_stand_in_front_of_what_is_embedded(void **state) {
  (void)state;
  static const char text[] = "# The Book\n\n## Orders\n\n### Refunds\n\nWithin thirty days.\n";
  struct chunk_list list = cut("a.md", text, sizeof text - 1);
  assert_int_equal(list.count, 1);
  assert_string_equal(list.items[0].heading, "Orders > Refunds");
  assert_string_equal(list.items[0].full, "The Book > Orders > Refunds\nWithin thirty days.");
  assert_string_equal(list.items[0].body, "Within thirty days.");
  assert_memory_equal(text + list.items[0].first, "Within thirty days.", list.items[0].last - list.items[0].first);
}

static void rows_take_their_head_along(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  buf_puts(&text, "code,meaning of the code\n");
  for (int i = 0; i < 300; i++) buf_printf(&text, "%d,what number %d means to those who use it\n", i, i);
  struct chunk_list list = cut_buf("a.csv", &text);
  assert_true(list.count >= 8);
  for (size_t i = 0; i < list.count; i++) {
    assert_memory_equal(list.items[i].body, "code,meaning of the code\n", 25);
    assert_string_equal(list.items[i].body + list.items[i].body_len - 6, "use it"); /* no row is cut */
  }
}

static void what_is_too_long_is_cut_with_overlap(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  for (int i = 0; i < 400; i++) buf_printf(&text, "Sentence number %d goes on \xC3\xA9ternally. ", i);
  struct chunk_list list = cut_buf("a.txt", &text);
  assert_true(list.count > 5);
  for (size_t i = 1; i < list.count; i++) assert_true(list.items[i].first < list.items[i - 1].last);
  assert_int_equal(list.items[list.count - 1].last, text.len - 1);
}

static void statements_are_alone(void **state) {
  (void)state;
  static const char text[] = "CREATE TABLE a (b int);\nCREATE TABLE c (d int);\n";
  struct chunk_list list = cut("a.sql", text, sizeof text - 1);
  assert_int_equal(list.count, 2);
  assert_string_equal(list.items[1].tables[0], "c");
}

static void ids_are_of_content(void **state) {
  (void)state;
  static const char text[] = "# A\n\nsame\n\n# B\n\nsame\n";
  static const char twice[] = "SELECT 1;\nSELECT 1;\n";
  struct chunk_list one = cut("a.md", text, sizeof text - 1), two = cut("a.md", text, sizeof text - 1),
                    other = cut("b.md", text, sizeof text - 1);
  assert_memory_equal(one.items[0].id, two.items[0].id, 16);
  assert_memory_not_equal(one.items[0].id, other.items[0].id, 16);
  assert_int_equal(one.items[0].id[6] >> 4, 8);
  one = cut("a.sql", twice, sizeof twice - 1);
  two = cut("a.sql", twice, sizeof twice - 1);
  assert_int_equal(one.count, 2);
  assert_memory_not_equal(one.items[0].id, one.items[1].id, 16);
  assert_memory_equal(one.items[1].id, two.items[1].id, 16);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(paragraphs_gather_to_the_target),
      cmocka_unit_test(headings_stand_in_front_of_what_is_embedded),
      cmocka_unit_test(rows_take_their_head_along),
      cmocka_unit_test(what_is_too_long_is_cut_with_overlap),
      cmocka_unit_test(statements_are_alone),
      cmocka_unit_test(ids_are_of_content),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
