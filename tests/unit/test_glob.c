/* Patterns over keys: what they match, what they don't, and that none takes long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <string.h>

#include "worker/context/glob.h"

static void yes(const char *pattern, const char *text) {
  if (!glob_match(pattern, text)) fail_msg("%s should match %s", pattern, text);
}

static void no(const char *pattern, const char *text) {
  if (glob_match(pattern, text)) fail_msg("%s should not match %s", pattern, text);
}

static void stars(void **state) {
  (void)state;
  yes("*", "");
  yes("*", "a/b/c");
  yes("*.md", "handbook/returns.md"); /* a star goes over slashes */
  no("*.md", "returns.md.bak");
  no("*.md", "returns.MD");
  yes("a*b*c", "aXbYbZc");
  no("a*b*c", "acb");
  yes("", "");
  no("", "a");
  yes("***", "x");
}

static void folders(void **state) {
  (void)state;
  yes("**/notes.txt", "notes.txt");
  yes("**/notes.txt", "a/b/notes.txt");
  no("**/notes.txt", "a/xnotes.txt.old");
  yes("docs/**/*.md", "docs/a.md");
  yes("docs/**/*.md", "docs/a/b/c.md");
  no("docs/**/*.md", "other/a.md");
  yes("**", "a/b");
}

static void one_character(void **state) {
  (void)state;
  yes("?.md", "a.md");
  no("?.md", ".md");
  no("?.md", "ab.md");
  yes("??", "\xC3\xA9"); /* bytes, not letters */
  yes("report-202[0-4].csv", "report-2023.csv");
  no("report-202[0-4].csv", "report-2025.csv");
  yes("[!a-c]x", "dx");
  no("[!a-c]x", "bx");
  yes("[]x]", "]");
  yes("[!]]", "a");
  yes("[a-]", "-");
  yes("[\xE0-\xFF]", "\xF0");
}

static void brackets_that_are_none(void **state) {
  (void)state;
  yes("[", "[");
  yes("a[b", "a[b");
  no("a[b", "ab");
  yes("[]", "[]"); /* not closed: the first bracket belongs to the class */
  no("[!", "x");
  yes("[!", "[!");
  yes("a\\*b", "a\\xb"); /* nothing is escaped: a backslash is one */
}

/* A pattern that makes others go back for ever, and one too long to be looked at. */
static void none_takes_long(void **state) {
  char pattern[GLOB_BYTES + 2], text[1025];
  (void)state;
  for (size_t i = 0; i + 1 < GLOB_BYTES; i += 2) memcpy(pattern + i, "*a", 2);
  pattern[GLOB_BYTES - 1] = 'b';
  pattern[GLOB_BYTES] = '\0';
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  no(pattern, text);
  memset(pattern, '*', GLOB_BYTES + 1);
  pattern[GLOB_BYTES + 1] = '\0';
  no(pattern, "a");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(stars), cmocka_unit_test(folders), cmocka_unit_test(one_character),
                                     cmocka_unit_test(brackets_that_are_none), cmocka_unit_test(none_takes_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
