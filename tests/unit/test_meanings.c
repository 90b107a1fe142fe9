/* How near words are: the data that is compiled in has the words it should have under the hashes it is asked by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/retrieval/meanings.h"
#include "worker/retrieval/wording.h"

static struct meaning of(const char *word) {
  struct lexicon_list list;
  struct meaning meaning;
  assert_true(lexicon_read(lexicon_shared(), word, strlen(word), &list));
  assert_int_equal(list.count, 1);
  if (!meaning_of(wording_term(list.words[0].lexeme), &meaning)) fail_msg("%s is not known", word);
  return meaning;
}

static float likeness(const char *a, const char *b) {
  struct meaning left = of(a), right = of(b);
  return meaning_likeness(&left, &right);
}

static void words_are_like_themselves(void **state) {
  (void)state;
  assert_float_equal(likeness("invoice", "invoices"), 1, 1e-4);
  assert_float_equal(likeness("car", "bill"), likeness("bill", "car"), 1e-6);
}

static void near_words_are_nearer(void **state) {
  (void)state;
  static const char *const words[][3] = {{"car", "vehicle", "poem"},      {"doctor", "physician", "harbor"},
                                         {"salary", "wages", "river"},    {"kerosene", "fuel", "teacher"},
                                         {"nurse", "hospital", "cement"}, {"luggage", "bags", "election"}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    assert_true(likeness(words[i][0], words[i][1]) > 0.3F);
    assert_true(likeness(words[i][0], words[i][2]) < 0.2F);
  }
}

static void nouns_are_not_their_verbs(void **state) {
  (void)state;
  assert_true(likeness("production", "product") < 0.9F && likeness("booking", "book") < 0.9F);
}

static void most_words_are_not_known(void **state) {
  (void)state;
  struct meaning meaning;
  size_t known = 0;
  for (uint32_t term = 1; term < 1U << 31; term += 1U << 18) known += meaning_of(term, &meaning);
  assert_true(known < 3);
  assert_false(meaning_of(lexicon_term("zzxqv"), &meaning));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_are_like_themselves),
      cmocka_unit_test(near_words_are_nearer),
      cmocka_unit_test(nouns_are_not_their_verbs),
      cmocka_unit_test(most_words_are_not_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
