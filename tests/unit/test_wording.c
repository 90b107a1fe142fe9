/* What names say: abbreviations, words run together, words without vowels; and that plain words, and names that mean harm, say no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/json.h"
#include "worker/retrieval/synonyms.h"
#include "worker/retrieval/wording.h"

static struct arena *arena;
static struct wording *wording;

static struct wording *wording_of(json_t *columns, const char *comment) {
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  json_t *json = arena_json(arena, json_pack("{s:s, s:[{s:s, s:s, s:s?, s:o}]}", "server_version", "17", "tables", "schema", "public",
                                             "name", "gizmo", "comment", comment, "columns", columns));
  if (snapshot_load(json, arena, &snapshot, &err)) fail_msg("%s", err.message);
  struct wording *made = wording_new(snapshot, arena);
  assert_non_null(made);
  return made;
}

static int setup(void **state) {
  (void)state;
  arena = arena_new((size_t)256 << 20);
  wording = wording_of(json_pack("[{s:s, s:s}]", "name", "flurbId", "type", "int"), "how much a gizmo weighs");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static const char *said(const char *name) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  wording_put(wording, name, &out);
  assert_true(buf_ok(&out));
  return arena_strdup(arena, buf_str(&out));
}

static void abbreviations_are_spelled_out(void **state) {
  (void)state;
  assert_string_equal(said("cust_acct"), " customer account");
  assert_string_equal(said("CustAcct"), " customer account");
  assert_string_equal(said("INV"), " invoice inventory");
  assert_string_equal(said("acct_no_2"), " account");
}

static void words_run_together_are_parted(void **state) {
  (void)state;
  assert_string_equal(said("truckload"), " truck load");
  assert_string_equal(said("custacctno"), " customer account");
  assert_string_equal(said("flurborders"), " flurb orders"); /* flurb is a word of the schema */
  assert_string_equal(said("xyzorders"), "");
  assert_string_equal(said("shipdept"), ""); /* an abbreviation with a vowel ends nothing, or shippers were ships' personnel */
  assert_string_equal(said("loanacct"), " loan account");
}

static void bones_are_clothed(void **state) {
  (void)state;
  assert_string_equal(said("vhcl"), " vehicle");
  assert_non_null(strstr(said("brnch"), " branch")); /* one vowel is all that is left out */
  assert_non_null(strstr(said("dpndnt"), " dependent"));
  assert_string_equal(said("gzmo"), "");      /* it has a vowel behind the first letter */
  assert_string_equal(said("gzm"), " gizmo"); /* of the schema */
  assert_string_equal(said("bcdfg"), "");
}

static void plain_words_say_themselves(void **state) {
  (void)state;
  assert_string_equal(said("customers"), "");
  assert_string_equal(said("order_items"), "");
  assert_string_equal(said("OrderItem"), "");
  assert_string_equal(said("warehouse"), ""); /* no ware, no house */
  assert_string_equal(said(""), "");
  assert_string_equal(said("_42_"), "");
  assert_string_equal(said("\xC3\xA9t\xC3\xA9"), "");
}

/* All abbreviations are found, so they are in order; each says a word. */
static bool is_spelled_out(const char *is, const char *word) { return strstr(said(is), word) != NULL; }

static void every_end_of_the_list_is_found(void **state) {
  (void)state;
  assert_true(is_spelled_out("abs", "absence") && is_spelled_out("yr", "year"));
  assert_true(is_spelled_out("calc", "calculation") && is_spelled_out("cal", "calendar"));
  assert_true(is_spelled_out("qa", "quality") && is_spelled_out("qc", "quality") && is_spelled_out("rte", "route"));
}

static bool in_order(void *arg, const char *word) {
  const char **last = arg;
  assert_true(strcmp(*last, word) < 0);
  assert_true(synonyms_have(word));
  *last = word;
  return true;
}

static void common_words_are_known(void **state) {
  (void)state;
  const char *last = "";
  assert_true(synonyms_each(in_order, &last));
  assert_true(*last > 'a');
  assert_false(synonyms_have("") || synonyms_have("zzzz") || synonyms_have("Customer"));
}

/* A schema that is made to be slow to read: prefixes of one letter, run together. */
static void hostile_names_end_soon(void **state) {
  (void)state;
  json_t *columns = json_array();
  char name[64];
  for (size_t i = 0; i < 20000; i++) {
    size_t len = 4 + i % 59;
    memset(name, 'a' + (char)(i / 59 % 26), len);
    name[len] = '\0';
    json_array_append_new(columns, json_pack("{s:s, s:s}", "name", name, "type", "int"));
  }
  struct wording *hostile = wording_of(columns, NULL);
  BUF_AUTO out;
  buf_init(&out, 64 << 20);
  int64_t begin = clock_mono_ms();
  for (size_t i = 0; i < json_array_size(columns); i++)
    wording_put(hostile, json_string_value(json_object_get(json_array_get(columns, i), "name")), &out);
  assert_true(buf_ok(&out));
  assert_true(clock_mono_ms() - begin < 20000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(abbreviations_are_spelled_out),
      cmocka_unit_test(words_run_together_are_parted),
      cmocka_unit_test(bones_are_clothed),
      cmocka_unit_test(plain_words_say_themselves),
      cmocka_unit_test(every_end_of_the_list_is_found),
      cmocka_unit_test(common_words_are_known),
      cmocka_unit_test(hostile_names_end_soon),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
