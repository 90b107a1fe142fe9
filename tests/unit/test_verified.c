/* test_verified.c - which questions a verified query answers, and what becomes of the places in its SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <string.h>

#include "common/verified_slot.h"
#include "worker/text2sql/verified.h"

static const char schema_json[] =
    "{\"tables\":[{\"schema\":\"geo\",\"name\":\"places\",\"kind\":\"table\",\"columns\":["
    "{\"name\":\"country\",\"type\":\"text\"},{\"name\":\"county\",\"type\":\"text\"},{\"name\":\"population\",\"type\":\"integer\"}]}]}";

/* The SQL that answers `asked` where `question` is verified by `sql`; NULL: none. */
static const char *answer_of(const char *question, const char *sql, const char *asked, struct arena *arena) {
  struct generator_verified item = {.id = "1", .question = question, .sql = sql};
  const struct verified_list list = {.items = &item, .count = 1};
  struct generator_answer answer = {0};
  struct snapshot *snapshot;
  ERROR_AUTO err = {0};
  if (snapshot_load(arena_json(arena, json_loads(schema_json, 0, NULL)), arena, &snapshot, &err)) fail_msg("%s", err.message);
  return verified_answer(&list, asked, snapshot, arena, &answer) ? answer.sql : NULL;
}

static void test_slots_are_filled(void **state) {
  (void)state;
  static const struct {
    const char *question, *sql, *asked, *want; /* want NULL: it is no answer */
  } cases[] = {
      {"Orders above {n:int}", "SELECT * FROM o WHERE t > {n}", "orders above 5?", "SELECT * FROM o WHERE t > 5"},
      {"Orders above {n:int}", "SELECT * FROM o WHERE t > {n:int}", "orders above 5?", "SELECT * FROM o WHERE t > 5"},
      {"Orders above {n:int}", "SELECT * FROM o WHERE t > {n}", "orders above -5", "SELECT * FROM o WHERE t > (-5)"},
      /* two signs would begin a comment, which hides the rest */
      {"Below {n:int}", "SELECT 1 WHERE 1 > 2 -{n} AND false", "below -5", "SELECT 1 WHERE 1 > 2 -(-5) AND false"},
      {"Orders of {who}", "SELECT {who}", "orders of O'Brien", "SELECT 'O''Brien'"},
      {"Orders of {who}", "SELECT {who}", "orders of a\\b", "SELECT E'a\\\\b'"},
      {"Orders of {who}", "SELECT 1 WHERE n = {who} -- {who}", "orders of Ann", NULL},
      {"Orders of {who} above {n:int}", "SELECT 1 WHERE n = '{who}' AND t > {n}", "orders of Ann above 3", NULL},
      {"Orders of {who}", "SELECT '{x,y}'::text[], '{vip}' WHERE n = {who}", "orders of Ann",
       "SELECT '{x,y}'::text[], '{vip}' WHERE n = 'Ann'"},
      {"Orders on {d:date}", "SELECT {d}", "orders on 2024-02-29", "SELECT DATE '2024-02-29'"},
      {"Orders on {d:date}", "SELECT {d}", "orders on 2024-13-01", NULL},
      {"Orders on {d:date}", "SELECT {d}", "orders on 2024-00-10", NULL},
      {"Orders on {d:date}", "SELECT {d}", "orders on 2024-01-32", NULL},
      {"Orders above {n:int}", "SELECT {n}", "orders above 1.5", NULL},
      {"Orders above {n:number}", "SELECT {n}", "orders above 1.5", "SELECT 1.5"},
      {"From {a} to {a}", "SELECT {a}", "from x to x", "SELECT 'x'"},
      {"From {a} to {a}", "SELECT {a}", "from x to y", NULL}, /* one place, two values */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ARENA_AUTO arena = arena_new((size_t)8 << 20);
    const char *got = answer_of(cases[i].question, cases[i].sql, cases[i].asked, arena), *want = cases[i].want;
    if (!got != !want || (got && strcmp(got, want) != 0))
      fail_msg("\"%s\" for \"%s\": %s, not %s", cases[i].asked, cases[i].question, got ? got : "nothing", want ? want : "nothing");
  }
}

static void test_other_words(void **state) {
  (void)state;
  static const struct {
    const char *question, *asked;
    bool same;
  } cases[] = {
      {"How many customers are there?", "how many customers", true},
      {"How many customers are there?", "How many custmers are there?", true},
      {"Total revenue per month", "show me the total revenue per month please", true},
      {"Total revenue per month", "Per month, what is the total revenue?", true},
      {"How many orders in March?", "In March, how many orders were there?", true},
      {"Orders of the customer \"Ann\"", "orders of the customer \"Ann\"?", true},
      {"Orders of the customer \"Ann\"", "orders of the customer \"Anna\"", false},
      {"Revenue in 2023", "revenue in 2024", false},
      /* each word is there, in another role */
      {"How many customers per order?", "How many orders per customer?", false},
      {"Flights from Boston to Denver", "Flights from Denver to Boston", false},
      {"Customers with more orders than returns", "customers with more returns than orders", false},
      {"Which managers report employees?", "Which employees report managers?", false},
      {"Orders before delivery", "delivery before orders", false},
      {"Average of the sum by store", "sum of the average by store", false},
      /* a syllable turns it round */
      {"How many verified users?", "How many unverified users?", false},
      {"How many registered users?", "How many unregistered users?", false},
      {"How many confirmed orders?", "How many unconfirmed orders?", false},
      {"How many employed people?", "How many unemployed people?", false},
      /* the schema has both words: neither is the other, mistyped */
      {"Total population per country", "total population per county", false},
      {"Total population per country", "total population per counttry", true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ARENA_AUTO arena = arena_new((size_t)8 << 20);
    bool same = answer_of(cases[i].question, "SELECT 1", cases[i].asked, arena) != NULL;
    if (same != cases[i].same) fail_msg("\"%s\" is %s for \"%s\"", cases[i].asked, same ? "taken" : "not taken", cases[i].question);
  }
}

static void test_slots_are_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t len;
    enum verified_slot_type type;
  } cases[] = {{"{a}", 3, VERIFIED_SLOT_TEXT},      {"{a:int} x", 7, VERIFIED_SLOT_INT}, {"{a1_:number}", 12, VERIFIED_SLOT_NUMBER},
               {"{a:date}", 8, VERIFIED_SLOT_DATE}, {"{a:}", 4, VERIFIED_SLOT_UNKNOWN},  {"{a:color}", 9, VERIFIED_SLOT_UNKNOWN},
               {"{}", 0, VERIFIED_SLOT_TEXT},       {"{a", 0, VERIFIED_SLOT_TEXT},       {"{a b}", 0, VERIFIED_SLOT_TEXT},
               {"{a,b}", 0, VERIFIED_SLOT_TEXT},    {"{a:{b}}", 0, VERIFIED_SLOT_TEXT},  {"a}", 0, VERIFIED_SLOT_TEXT}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct verified_slot slot = {0};
    assert_int_equal(verified_slot_at(cases[i].text, &slot), cases[i].len > 0);
    assert_int_equal(slot.len, cases[i].len);
    assert_int_equal(slot.type, cases[i].type);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots_are_filled), cmocka_unit_test(test_other_words),
                                     cmocka_unit_test(test_slots_are_read)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
