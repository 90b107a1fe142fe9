/* A plan as pasted, in whatever frame: tree, findings, JSON and the text made of it again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/optimizer/finding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_plan(struct arena *arena, const char *text, size_t size) {
  ERROR_AUTO err = {0};
  struct query_plan *plan = NULL;
  struct finding_list findings = {0};
  if (plan_parse(text, size, NULL, arena, &plan, &err)) return;
  const struct finding_view view = {.arena = arena, .plan = plan};
  if (findings_find(&view, &findings, &err)) return;
  json_decref(plan_json(plan));
  json_decref(findings_json(&findings));
  for (size_t i = 0; i < plan->count; i++)
    if (plan->nodes[i]->exclusive_cost < 0 && plan->root->total_cost >= 0 && plan->nodes[i]->total_cost >= 0) {
      fprintf(stderr, "%s: exclusive cost %f\n", plan->nodes[i]->type, plan->nodes[i]->exclusive_cost);
    }
  if (!plan_text(plan)) fprintf(stderr, "no text\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena *arena = arena_new((size_t)256 << 20);
  char *text = arena ? arena_strndup(arena, (const char *)data, size) : NULL;
  if (text) try_plan(arena, text, size);
  arena_free(arena);
  return 0;
}
