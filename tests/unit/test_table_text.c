/* What is said of a table is valid UTF-8 whatever its comments hold: it leaves as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "worker/retrieval/table_text.h"

static void comments_end_with_a_whole_character(void **state) {
  (void)state;
  for (size_t before = 0; before < 3; before++) {
    BUF_AUTO comment, shown, found;
    buf_init(&comment, 4096);
    buf_init(&shown, 8192);
    buf_init(&found, 8192);
    for (size_t i = 0; i < before; i++) buf_putc(&comment, 'a');
    for (int i = 0; i < 400; i++) buf_puts(&comment, "\xE6\xB3\xA8");
    struct snap_column column = {.name = "note", .type = "text", .comment = buf_str(&comment)};
    const struct snap_table table = {.schema = "public",
                                     .name = "widgets",
                                     .qualified = "public.widgets",
                                     .kind = SNAP_TABLE,
                                     .comment = buf_str(&comment),
                                     .columns = &column,
                                     .column_count = 1};
    const struct snapshot snapshot = {0};
    assert_true(table_text_show(&snapshot, &table, &shown));
    assert_true(table_text_find(&snapshot, NULL, &table, TABLE_ABOUT, 0, 1, &found));
    buf_append(&shown, buf_str(&found), found.len);
    for (size_t at = 0, step; at < shown.len; at += step)
      if (!(step = utf8_char(shown.data + at, shown.len - at))) fail_msg("%zu: cut at byte %zu of %s", before, at, shown.data);
    assert_true(shown.len > 3 * 590);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(comments_end_with_a_whole_character)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
