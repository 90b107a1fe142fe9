/* What people say for what names say: the data that is compiled in is well-formed, each saying is found where it stands, and the longer one
 * takes the words of a shorter one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"
#include "worker/retrieval/sayings.h"

extern const unsigned char sayings_txt[];
extern const size_t sayings_txt_len;

struct seen {
  struct buf *meant; /* of all, each in brackets */
  size_t most;       /* words of one */
};

static bool see(void *arg, const struct said *said) {
  struct seen *seen = arg;
  buf_printf(seen->meant, "[%.*s]", (int)said->meant_len, said->meant);
  if (said->count > seen->most) seen->most = said->count;
  return true;
}

static void see_all(const char *text, size_t len, struct seen *seen) {
  buf_reset(seen->meant);
  seen->most = 0;
  assert_true(sayings_in(text, len, see, seen));
}

static size_t words_of(const char *text, size_t len) {
  size_t words = 1;
  for (size_t i = 0; i < len; i++) words += text[i] == ' ';
  return words;
}

/* Each of a line's sayings, alone in a text, is found whole. */
static void find_line(const char *line, size_t len, struct seen *seen) {
  const char *colon = memchr(line, ':', len);
  if (*line == '#' || !len) return;
  if (!colon || colon == line || (size_t)(colon - line) + 2 >= len || colon[1] != ' ') fail_msg("%.*s", (int)len, line);
  for (const char *at = line; at < colon;) {
    const char *comma = memchr(at, ',', (size_t)(colon - at)), *end = comma ? comma : colon;
    see_all(at, (size_t)(end - at), seen);
    if (seen->most != words_of(at, (size_t)(end - at))) fail_msg("%.*s is not found", (int)(end - at), at);
    at = comma ? comma + 2 : colon;
  }
}

static void all_of_the_data_is_found(void **state) {
  (void)state;
  BUF_AUTO meant;
  buf_init(&meant, 1 << 16);
  struct seen seen = {.meant = &meant};
  const char *at = (const char *)sayings_txt, *end = at + sayings_txt_len;
  size_t lines = 0;
  for (const char *eol; (eol = memchr(at, '\n', (size_t)(end - at))); at = eol + 1, lines++) find_line(at, (size_t)(eol - at), &seen);
  assert_ptr_equal(at, end);
  assert_true(lines > 1000);
}

static void assert_meant(const char *text, const char *wanted) {
  BUF_AUTO meant;
  buf_init(&meant, 1 << 16);
  struct seen seen = {.meant = &meant};
  see_all(text, strlen(text), &seen);
  if (*wanted ? !strstr(buf_str(&meant), wanted) : meant.len) fail_msg("%s: %s", text, buf_str(&meant));
}

static void verbs_are_found_in_all_their_forms(void **state) {
  (void)state;
  assert_meant("Which did we turn down?", "reject");
  assert_meant("Which were turned down?", "reject");
  assert_meant("They gave up on it", "write");
  assert_meant("Who DIDN'T turn up?", "noshow");
  assert_meant("What we let our regulars off", "waiver");
  assert_meant("the a of", "");
}

static void the_longest_takes_its_words(void **state) {
  (void)state;
  BUF_AUTO meant;
  buf_init(&meant, 1 << 16);
  struct seen seen = {.meant = &meant};
  see_all("Who didn't turn up?", 19, &seen);
  assert_null(strstr(buf_str(&meant), "[ attendance attend]"));
  see_all("Who turned up?", 14, &seen);
  assert_non_null(strstr(buf_str(&meant), "[ attendance attend]"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_the_data_is_found), cmocka_unit_test(verbs_are_found_in_all_their_forms),
                                     cmocka_unit_test(the_longest_takes_its_words)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
