/* The table of kinds against the contract, and the Redis names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/job.h"

static void every_kind_of_the_contract_is_there_once(void **state) {
  (void)state;
  static const char *const contract[] = {"schema.introspect", "migration.analyze", "migration.sandbox", "migration.execute",
                                         "query.optimize",    "query.generate",    "context.query",     "document.ingest",
                                         "s3.ingest",         "workload.optimize", "plan.parse",        "system.echo",
                                         "system.sweep",      "s3.batch",          "context.reembed"};
  size_t count = 0;
  while (job_kind_at(count)) count++;
  assert_int_equal(count, sizeof contract / sizeof *contract);
  for (size_t i = 0; i < count; i++) assert_non_null(job_kind_find(contract[i]));
}

static void rows_are_sane(void **state) {
  (void)state;
  for (size_t i = 0; job_kind_at(i); i++) {
    const struct job_kind *kind = job_kind_at(i);
    assert_ptr_equal(job_kind_find(kind->name), kind);
    assert_in_range(kind->lane, 0, LANE_COUNT - 1);
    assert_in_range(kind->timeout_ms, 1000, 3600 * 1000);
    assert_in_range(kind->max_attempts, 1, 5);
    assert_in_range(kind->memory_mb, 256, 8192);
    if (kind->brief) assert_string_equal(kind->name, "system.echo");
  }
  assert_true(job_kind_find("migration.execute")->max_attempts > 1); /* it looks before it goes on */
  assert_true(job_kind_find("system.echo")->timeout_ms > 60 * 1000); /* it may sleep for 60 s */
}

static void unknown_kinds_and_lanes_are_refused(void **state) {
  (void)state;
  enum job_lane lane = LANE_BULK;
  assert_null(job_kind_find("migration"));
  assert_null(job_kind_find(""));
  assert_null(job_kind_find(NULL));
  assert_false(job_lane_parse("Bulk", &lane));
  assert_false(job_lane_parse("", &lane));
  assert_false(job_lane_parse(NULL, &lane));
  assert_int_equal(lane, LANE_BULK);
  assert_true(job_lane_parse("interactive", &lane));
  assert_int_equal(lane, LANE_INTERACTIVE);
}

static void names_share_one_hash_tag(void **state) {
  (void)state;
  char key[JOB_KEY_MAX];
  job_stream_key("autodb", job_stream(LANE_INTERACTIVE, 0), key);
  assert_string_equal(key, "{autodb}:q:interactive");
  job_stream_key("autodb", job_stream(LANE_BULK, 0), key);
  assert_string_equal(key, "{autodb}:q:bulk");
  job_done_channel("autodb", key);
  assert_string_equal(key, "{autodb}:done");
  job_changed_channel("autodb", key);
  assert_string_equal(key, "{autodb}:changed");
  job_cancel_channel("autodb", key);
  assert_string_equal(key, "{autodb}:cancel");
}

static void a_long_prefix_never_merges_two_names(void **state) {
  (void)state;
  char prefix[201], keys[JOB_STREAMS][JOB_KEY_MAX];
  memset(prefix, 'p', 200);
  prefix[200] = '\0';
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    job_stream_key(prefix, stream, keys[stream]);
    for (int other = 0; other < stream; other++) assert_string_not_equal(keys[stream], keys[other]);
  }
  assert_non_null(strstr(keys[0], "}:q:interactive"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_of_the_contract_is_there_once), cmocka_unit_test(rows_are_sane),
      cmocka_unit_test(unknown_kinds_and_lanes_are_refused),      cmocka_unit_test(names_share_one_hash_tag),
      cmocka_unit_test(a_long_prefix_never_merges_two_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
