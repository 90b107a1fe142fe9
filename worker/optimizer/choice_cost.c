/* choice_cost.c - what queries cost with a set of indexes, and what is written to keep it. */
#include <math.h>

#include "worker/optimizer/choice_impl.h"

#define ENTRY_COST 0.5   /* of one index entry written, in the planner's units: about a tuple's share of a page and its descent */
#define ENTRY_MS 0.004   /* of the same, where times are counted */
#define COLD_UPDATES 0.3 /* of UPDATEs that set no column of an index, that write an entry all the same */

/* --- sets --- */

static bool set_within(const struct index_set *a, const struct index_set *b) {
  for (size_t i = 0; i < CHOICE_WORDS; i++)
    if (a->words[i] & ~b->words[i]) return false;
  return true;
}

bool choice_concerns(const struct workload_query *query, const struct candidate *candidate) {
  for (size_t i = 0; i < query->tables.count; i++)
    if (query->tables.items[i] == candidate->spec.table) return true;
  return false;
}

/* --- one query --- */

static const struct planned *known_plan(const struct workload_query *query, const struct index_set *set) {
  for (size_t i = 0; i < query->planned.count; i++) {
    const struct planned *planned = &query->planned.items[i];
    if (set_within(&planned->used, set) && set_within(set, &planned->there)) return planned;
  }
  return NULL;
}

static enum status show_only(struct choice *choice, const struct workload_query *query, const struct index_set *set, struct error *err) {
  struct candidate *shown[CANDIDATES_MAX], *hidden[CANDIDATES_MAX];
  size_t shown_count = 0, hidden_count = 0;
  for (size_t i = 0; i < candidate_count(choice); i++) {
    if (!choice_concerns(query, at(choice, i))) continue;
    if (index_set_has(set, i))
      shown[shown_count++] = at(choice, i);
    else
      hidden[hidden_count++] = at(choice, i);
  }
  return trial_show_only(choice->trial, shown, shown_count, hidden, hidden_count, err);
}

enum status choice_hide_all(struct choice *choice, struct error *err) {
  if (!choice->candidates) return OK;
  return trial_show_only(choice->trial, NULL, 0, choice->candidates->list.items, candidate_count(choice), err);
}

static enum status plan_with(struct choice *choice, struct workload_query *query, const struct index_set *set, struct error *err) {
  struct query_plan *plan = NULL;
  enum status status = show_only(choice, query, set, err);
  if (!status) status = trial_plan(choice->trial, &query->how, &plan, err);
  if (status) return status;
  struct planned *slot = LIST_PUSH(choice->arena, &query->planned);
  if (!slot) return error_oom(err);
  *slot = (struct planned){.there = *set, .cost = plan->total_cost, .plan = plan};
  for (size_t i = 0; i < candidate_count(choice); i++)
    if (index_set_has(set, i) && at(choice, i)->tried && !at(choice, i)->refused && trial_uses(plan, at(choice, i)))
      index_set_put(&slot->used, i, true);
  return OK;
}

static struct index_set relevant(const struct choice *choice, const struct workload_query *query, const struct index_set *set) {
  struct index_set out = {0};
  for (size_t i = 0; i < candidate_count(choice); i++)
    if (index_set_has(set, i) && choice_concerns(query, at(choice, i)) && !at(choice, i)->refused) index_set_put(&out, i, true);
  return out;
}

enum status choice_query(struct choice *choice, struct workload_query *query, const struct index_set *set,
                         const struct planned **ret_planned, struct error *err) {
  struct index_set mine = relevant(choice, query, set);
  const struct planned *planned = known_plan(query, &mine);
  if (!planned) {
    enum status status = plan_with(choice, query, &mine, err);
    if (status) return status;
    planned = &query->planned.items[query->planned.count - 1];
  }
  *ret_planned = planned;
  return OK;
}

/* --- all of them --- */

static bool sets_column(const struct workload_query *query, const struct candidate *candidate, struct arena *arena) {
  if (query->statement->node_case != PG_QUERY__NODE__NODE_UPDATE_STMT) return false;
  const PgQuery__UpdateStmt *update = query->statement->update_stmt;
  for (size_t i = 0; i < update->n_target_list; i++) {
    const PgQuery__Node *target = update->target_list[i];
    if (target->node_case == PG_QUERY__NODE__NODE_RES_TARGET && index_spec_mentions(arena, &candidate->spec, target->res_target->name))
      return true;
  }
  return false;
}

/* Entries of indexes that one run of a query writes because of this one. */
static double entries_written(const struct choice *choice, const struct workload_query *query, const struct candidate *candidate) {
  if (query->written != candidate->spec.table) return 0;
  double rows = query->written_rows;
  switch (query->statement->node_case) {
  case PG_QUERY__NODE__NODE_DELETE_STMT: return 0;
  case PG_QUERY__NODE__NODE_UPDATE_STMT: {
    if (!sets_column(query, candidate, choice->arena)) return rows * COLD_UPDATES;
    return rows * (1 + (double)query->written->index_count); /* it is HOT no more: all indexes get an entry */
  }
  default: return rows;
  }
}

enum status choice_cost(struct choice *choice, const struct index_set *set, double *ret_cost, struct error *err) {
  double sum = 0;
  for (size_t q = 0; q < choice->queries->count; q++) {
    struct workload_query *query = &choice->queries->items[q];
    const struct planned *planned = NULL;
    if (query->skipped) continue;
    enum status status = choice_query(choice, query, set, &planned, err);
    if (status) return status;
    double entries = 0;
    for (size_t i = 0; query->written && i < candidate_count(choice); i++)
      if (index_set_has(set, i)) entries += entries_written(choice, query, at(choice, i));
    sum += planned->cost * query->factor + entries * query->weight * (query->total_ms > 0 ? ENTRY_MS : ENTRY_COST);
  }
  *ret_cost = sum;
  return OK;
}

/* --- before --- */

static void note_writes(struct workload_query *query, const struct query_plan *plan) {
  for (size_t i = 0; i < plan->count && !query->written; i++) {
    const struct plan_node *node = plan->nodes[i];
    if (!plan_is(node, "ModifyTable")) continue;
    query->written = query->tables.count ? query->tables.items[0] : NULL;
    query->written_rows = node->child_count ? fmax(1, node->children[0]->plan_rows) : 1;
  }
}

static enum status plan_before(struct choice *choice, struct workload_query *query, struct error *err) {
  static const struct index_set none;
  ERROR_AUTO refused = {0};
  const struct planned *planned = NULL;
  enum status status = choice_query(choice, query, &none, &planned, &refused);
  if (status == ERR_VALIDATION) {
    query->skipped = arena_strdup(choice->arena, refused.message);
    return query->skipped ? OK : error_oom(err);
  }
  if (status) return error_set(err, status, "%s", refused.message);
  query->before = query->after = planned->plan;
  query->factor = query->total_ms > 0 && planned->cost > 0 ? query->total_ms / planned->cost : query->weight;
  note_writes(query, planned->plan);
  return OK;
}

enum status choice_plan(struct choice *choice, struct error *err) {
  static const struct index_set none;
  enum status status = OK;
  for (size_t q = 0; !status && q < choice->queries->count; q++)
    if (!choice->queries->items[q].skipped) status = plan_before(choice, &choice->queries->items[q], err);
  if (!status) status = choice_cost(choice, &none, &choice->cost_before, err);
  choice->cost_after = choice->cost_before;
  return status;
}
