/* The reading of text: names taken apart, folding, stems, scripts without spaces, and no crash or growth whatever is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"
#include "worker/embed/lexicon.h"

static struct lexicon *lexicon;

static int setup(void **state) {
  (void)state;
  return (lexicon = lexicon_new()) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  lexicon_free(lexicon);
  return 0;
}

/* The stems as "a b c", with "*n" behind those that occur more than once. */
static const char *stems(const char *text) {
  static char out[4096];
  struct lexicon_list list;
  size_t used = 0;
  assert_true(lexicon_read(lexicon, text, strlen(text), &list));
  out[0] = '\0';
  for (size_t i = 0; i < list.count; i++) {
    used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", i ? " " : "", list.words[i].lexeme->stem);
    if (list.words[i].count > 1) used += (size_t)snprintf(out + used, sizeof out - used, "*%d", list.words[i].count);
  }
  return out;
}

static void takes_names_apart(void **state) {
  (void)state;
  assert_string_equal(stems("orderItems order_items ORDER-ITEMS"), "order*3 item*3");
  assert_string_equal(stems("HTTPServer parseXML"), "http server pars xml");
  assert_string_equal(stems("address2 30days q3 2fa s3"), "address 2 30 day q3 2fa s3");
  assert_string_equal(stems("customer's"), "custom");
}

static void stems_and_leaves_out(void **state) {
  (void)state;
  assert_string_equal(stems("Which of the customers are refunding their orders?"), "custom refund order");
  assert_string_equal(stems("the of and"), "");
  assert_string_equal(stems(""), "");
}

static void folds(void **state) {
  (void)state;
  assert_string_equal(stems("Caf\xC3\xA9 CAF\xC3\x89 cafe\xCC\x81"), "cafe*3");
  assert_string_equal(stems("\xC5\x81\xC3\xB3"
                            "d\xC5\xBA"),
                      "lodz");
  assert_string_equal(stems("\xD0\x97\xD0\xB0\xD0\xBA\xD0\xB0\xD0\xB7 \xD0\xB7\xD0\xB0\xD0\xBA\xD0\xB0\xD0\xB7"),
                      "\xD0\xB7\xD0\xB0\xD0\xBA\xD0\xB0\xD0\xB7*2");
}

static void pairs_of_scripts_without_spaces(void **state) {
  (void)state;
  assert_string_equal(stems("\xE6\xB3\xA8\xE6\x96\x87\xE6\x9B\xB8"), "\xE6\xB3\xA8\xE6\x96\x87 \xE6\x96\x87\xE6\x9B\xB8");
  assert_string_equal(stems("\xE6\xB3\xA8 x1"), "\xE6\xB3\xA8 x1");
}

static void leaves_out_what_is_no_word(void **state) {
  (void)state;
  char blob[300];
  memset(blob, 'x', sizeof blob - 1);
  blob[sizeof blob - 1] = '\0';
  assert_string_equal(stems(blob), "");
  assert_string_equal(stems("a\xFF\xFE"
                            "b \xC3 c"),
                      "b c");
}

static void pieces_are_shared_by_words_alike(void **state) {
  (void)state;
  struct lexicon_list list;
  assert_true(lexicon_read(lexicon, "country custcountry", 19, &list));
  assert_int_equal(list.count, 2);
  const struct lexeme *one = list.words[0].lexeme, *two = list.words[1].lexeme;
  int shared = 0;
  for (size_t i = 0; i < one->piece_count; i++)
    for (size_t k = 0; k < two->piece_count; k++) shared += one->pieces[i] == two->pieces[k];
  assert_true(shared >= 10);
  assert_int_not_equal(one->term, two->term);
}

/* More different words than the table takes: it is emptied between texts, and one text is cut short. */
static void is_bounded(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, (size_t)16 << 20);
  for (int i = 0; i < 300000; i++) buf_printf(&text, "w%dq ", i);
  struct lexicon_list list;
  for (int round = 0; round < 2; round++) {
    assert_true(lexicon_read(lexicon, buf_str(&text), text.len, &list));
    assert_true(list.count >= 100000 && list.count < 200000);
  }
  assert_string_equal(stems("orders"), "order");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(takes_names_apart),
      cmocka_unit_test(stems_and_leaves_out),
      cmocka_unit_test(folds),
      cmocka_unit_test(pairs_of_scripts_without_spaces),
      cmocka_unit_test(leaves_out_what_is_no_word),
      cmocka_unit_test(pieces_are_shared_by_words_alike),
      cmocka_unit_test(is_bounded),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
