/* ddl_snapshot.h - the schema of the measured cases (fixtures/ddl_fixture.sql) as unit tests know it, and what the static analysis says
 * over it. For one program: the state is static. */
#ifndef AUTODB_TESTS_DDL_SNAPSHOT_H
#define AUTODB_TESTS_DDL_SNAPSHOT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/migration/analysis.h"

static struct arena *arena;
static json_t *json;

static int setup(void **state) {
  (void)state;
  arena = arena_new(1 << 30);
  json = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/migrations/ddl.snapshot.json", 0, NULL);
  return arena && json ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  json_decref(json);
  return 0;
}

static struct snapshot *load(json_t *value) {
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (snapshot_load(value, arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

static struct analysis *analyse_with(const struct snapshot *snapshot, const char *sql) {
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  if (analysis_static(sql, strlen(sql), snapshot, &(struct analysis_options){0}, arena, &analysis, &err))
    fail_msg("%s: %s", sql, err.message);
  return analysis;
}

static struct analysis *analyse(const char *sql) { return analyse_with(load(json), sql); }

#endif
