#include "sandbox/sandbox.h"
enum status sandbox_seed(struct sandbox *sandbox, int rows_per_table, struct arena *arena, struct sandbox_seed_report *ret_report, struct error *err) {
  (void)sandbox, (void)rows_per_table, (void)err;
  *ret_report = (struct sandbox_seed_report){.problems = arena_json(arena, json_array())};
  return OK;
}
