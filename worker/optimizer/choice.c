/* choice.c - see choice.h. */
#include "worker/optimizer/choice.h"

#include <math.h>

#include "common/clock.h"

#define EXCHANGES 8        /* of indexes that have no room for others */
#define ROUNDS 3           /* in which a query's candidates are thinned out: what the planner takes, then what it takes instead, … */
#define ENTRY_COST 0.5     /* of one index entry written, in the planner's units: about a tuple's share of a page and its descent */
#define ENTRY_MS 0.004     /* of the same, where times are counted */
#define COLD_UPDATES 0.3   /* of UPDATEs that set no column of an index, that write an entry all the same */
#define LEAST_NEW 0.05     /* of what the queries that get cheaper cost now, that a new index has to save */
#define LEAST_WIDER 0.1    /* a wider index in place of one that is chosen */
#define LEAST_COVERING 0.3 /* what is only held makes an index much larger, and dearer to keep */
#define COVERING_TIMES 2.5 /* and so many times as much of the whole */
#define LEAST_UNITS 20     /* of the planner's cost, of each of these queries: less is not worth the words */
#define LEAST_BYTES 65536  /* an index is not smaller for what it may save per byte */

/* --- sets --- */

static bool set_within(const struct index_set *a, const struct index_set *b) {
  for (size_t i = 0; i < CHOICE_WORDS; i++)
    if (a->words[i] & ~b->words[i]) return false;
  return true;
}

static struct candidate *at(const struct choice *choice, size_t index) { return choice->candidates->list.items[index]; }
static size_t candidate_count(const struct choice *choice) { return choice->candidates->list.count; }

static bool concerns(const struct workload_query *query, const struct candidate *candidate) {
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
    if (!concerns(query, at(choice, i))) continue;
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
    if (index_set_has(set, i) && concerns(query, at(choice, i)) && !at(choice, i)->refused) index_set_put(&out, i, true);
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

/* --- thinning out --- */

static enum status thin_query(struct choice *choice, struct workload_query *query, struct index_set *kept, struct error *err) {
  struct index_set left = {0};
  for (size_t i = 0; i < candidate_count(choice); i++)
    if (concerns(query, at(choice, i)) && !at(choice, i)->refused) index_set_put(&left, i, true);
  for (int round = 0; round < ROUNDS; round++) {
    const struct planned *planned = NULL;
    enum status status = choice_query(choice, query, &left, &planned, err);
    if (status) return status;
    bool any = false;
    for (size_t i = 0; i < candidate_count(choice); i++) {
      if (!index_set_has(&planned->used, i)) continue;
      index_set_put(kept, i, true);
      index_set_put(&left, i, false);
      any = true;
    }
    if (!any || planned->cost > 0.98 * query->before->total_cost) break;
  }
  return OK;
}

/* The planner takes the widest of those that begin alike; for its bytes a narrower one may serve better. */
static void keep_narrower(const struct choice *choice, struct index_set *kept) {
  struct index_set used = *kept;
  for (size_t i = 0; i < candidate_count(choice); i++)
    for (size_t k = 0; index_set_has(&used, i) && k < candidate_count(choice); k++)
      if (!at(choice, k)->refused && index_spec_covers(&at(choice, i)->spec, &at(choice, k)->spec)) index_set_put(kept, k, true);
}

static enum status thin_out(struct choice *choice, struct index_set *kept, struct error *err) {
  enum status status = OK;
  for (size_t q = 0; !status && q < choice->queries->count; q++) {
    if (choice->progress) choice->progress(choice->arg, q, choice->queries->count);
    if (!choice->queries->items[q].skipped) status = thin_query(choice, &choice->queries->items[q], kept, err);
  }
  if (choice->budget_bytes > 0) keep_narrower(choice, kept);
  return status;
}

/* --- steps --- */

struct step {
  struct index_set set;
  double cost, score;
  size_t added; /* the first of them */
};

static double bytes_of(const struct choice *choice, const struct index_set *set) {
  double bytes = 0;
  for (size_t i = 0; i < candidate_count(choice); i++)
    if (index_set_has(set, i)) bytes += at(choice, i)->size.bytes;
  return bytes;
}

static size_t size_of(const struct choice *choice, const struct index_set *set) {
  size_t count = 0;
  for (size_t i = 0; i < candidate_count(choice); i++) count += index_set_has(set, i);
  return count;
}

/* The set with the candidate, with those of its bundle, and without those it makes superfluous. */
static struct index_set extended(const struct choice *choice, size_t added) {
  struct index_set set = choice->chosen;
  int bundle = at(choice, added)->bundle;
  index_set_put(&set, added, true);
  for (size_t i = 0; i < candidate_count(choice); i++) {
    if (bundle && at(choice, i)->bundle == bundle && !at(choice, i)->refused) index_set_put(&set, i, true);
    if (i != added && index_set_has(&set, i) && index_spec_covers(&at(choice, added)->spec, &at(choice, i)->spec))
      index_set_put(&set, i, false);
  }
  return set;
}

static bool allowed(const struct choice *choice, const struct index_set *set) {
  if (choice->budget_bytes > 0 && bytes_of(choice, set) > choice->budget_bytes) return false;
  return !choice->max_indexes || size_of(choice, set) <= choice->max_indexes;
}

/* What the step has to save: measured by what is there now, so that who asks again when the indexes are built is told the same. */
static enum status least_gain(struct choice *choice, const struct step *step, double *ret_least, struct error *err) {
  double affected = 0, times = 0;
  for (size_t q = 0; q < choice->queries->count; q++) {
    struct workload_query *query = &choice->queries->items[q];
    const struct planned *now = NULL, *then = NULL;
    if (query->skipped) continue;
    enum status status = choice_query(choice, query, &choice->chosen, &now, err);
    if (!status) status = choice_query(choice, query, &step->set, &then, err);
    if (status) return status;
    if (then->cost > 0.99 * now->cost) continue;
    affected += now->cost * query->factor;
    times += query->factor;
  }
  bool wider = size_of(choice, &step->set) <= size_of(choice, &choice->chosen);
  bool covering = at(choice, step->added)->covering;
  double share = covering ? LEAST_COVERING : wider ? LEAST_WIDER : LEAST_NEW;
  double of_all = covering ? COVERING_TIMES * choice->min_gain : choice->min_gain;
  *ret_least = fmax(fmax(of_all * choice->cost_after, share * affected), LEAST_UNITS * times);
  return OK;
}

static enum status try_step(struct choice *choice, size_t added, struct step *ret_step, struct error *err) {
  struct step step = {.set = extended(choice, added), .added = added};
  *ret_step = (struct step){.added = added};
  if (!allowed(choice, &step.set)) {
    choice->bounded = true;
    return OK;
  }
  enum status status = choice_cost(choice, &step.set, &step.cost, err);
  if (status) return status;
  double gain = choice->cost_after - step.cost, bytes = bytes_of(choice, &step.set) - bytes_of(choice, &choice->chosen), least = 0;
  if (gain <= 0) return OK;
  status = least_gain(choice, &step, &least, err);
  if (status || gain < least) return status;
  step.score = gain / fmax(LEAST_BYTES, bytes);
  *ret_step = step;
  return OK;
}

/* What each candidate was last worth. An index seldom gets worth more by others being there, so those worth most then are looked at first,
 * and the rest only until one of them can't be beaten. */
struct worths {
  double last[CANDIDATES_MAX];
  bool fresh[CANDIDATES_MAX]; /* of this round */
};

static bool eligible(const struct choice *choice, const struct index_set *kept, size_t i) {
  return index_set_has(kept, i) && !index_set_has(&choice->chosen, i) && !at(choice, i)->refused;
}

static enum status best_step(struct choice *choice, const struct index_set *kept, struct worths *worths, struct step *ret_best,
                             struct error *err) {
  struct step best = {0};
  memset(worths->fresh, 0, sizeof worths->fresh);
  for (;;) {
    size_t next = SIZE_MAX;
    for (size_t i = 0; i < candidate_count(choice); i++)
      if (eligible(choice, kept, i) && !worths->fresh[i] && (next == SIZE_MAX || worths->last[i] > worths->last[next])) next = i;
    if (next == SIZE_MAX || (best.score > 0 && best.score >= worths->last[next])) break;
    struct step step;
    enum status status = try_step(choice, next, &step, err);
    if (status) return status;
    worths->fresh[next] = true;
    worths->last[next] = step.score;
    if (step.score > best.score) best = step;
  }
  *ret_best = best;
  return OK;
}

static enum status grow(struct choice *choice, const struct index_set *kept, struct error *err) {
  struct worths worths;
  for (size_t i = 0; i < CANDIDATES_MAX; i++) worths.last[i] = INFINITY;
  for (size_t round = 0; round < CANDIDATES_MAX; round++) {
    struct step best;
    enum status status = best_step(choice, kept, &worths, &best, err);
    if (status) return status;
    choice->out_of_time = choice->deadline_ms && clock_mono_ms() > choice->deadline_ms;
    if (best.score <= 0 || choice->out_of_time) return OK;
    choice->chosen = best.set;
    choice->cost_after = best.cost;
  }
  return OK;
}

/* --- going without --- */

/* By candidate: the cost of what is chosen without it; INFINITY of those that are not chosen. */
static enum status costs_without(struct choice *choice, double costs[CANDIDATES_MAX], struct error *err) {
  enum status status = OK;
  for (size_t i = 0; !status && i < candidate_count(choice); i++) {
    struct index_set without = choice->chosen;
    costs[i] = INFINITY;
    if (!index_set_has(&choice->chosen, i)) continue;
    index_set_put(&without, i, false);
    status = choice_cost(choice, &without, &costs[i], err);
  }
  return status;
}

static enum status shrink(struct choice *choice, struct error *err) {
  double costs[CANDIDATES_MAX];
  for (;;) {
    size_t least = 0;
    enum status status = costs_without(choice, costs, err);
    if (status || !size_of(choice, &choice->chosen)) return status;
    for (size_t i = 0; i < candidate_count(choice); i++)
      if (costs[i] < costs[least]) least = i;
    if (costs[least] - choice->cost_after >= choice->min_gain * choice->cost_after) return OK;
    index_set_put(&choice->chosen, least, false);
    choice->cost_after = costs[least];
  }
}

/* --- within bounds --- */

/* The set with a candidate that had no room, and without those that are missed least for their bytes, till there is. */
static struct index_set exchanged(const struct choice *choice, size_t added, const double losses[CANDIDATES_MAX]) {
  struct index_set set = extended(choice, added);
  int bundle = at(choice, added)->bundle;
  while (!allowed(choice, &set)) {
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < candidate_count(choice); i++) {
      bool old = index_set_has(&set, i) && i != added && (!bundle || at(choice, i)->bundle != bundle);
      if (old && (least == SIZE_MAX || losses[i] / at(choice, i)->size.bytes < losses[least] / at(choice, least)->size.bytes)) least = i;
    }
    if (least == SIZE_MAX) return (struct index_set){0}; /* it has no room at all */
    index_set_put(&set, least, false);
  }
  return set;
}

/* What saves most per byte may leave no room for what saves most. */
static enum status exchange_once(struct choice *choice, const struct index_set *kept, bool *ret_better, struct error *err) {
  double losses[CANDIDATES_MAX], best_cost = choice->cost_after * (1 - choice->min_gain);
  struct index_set best;
  enum status status = costs_without(choice, losses, err);
  *ret_better = false;
  for (size_t i = 0; i < candidate_count(choice); i++) losses[i] -= choice->cost_after;
  for (size_t i = 0; !status && i < candidate_count(choice); i++) {
    double cost = 0;
    if (!eligible(choice, kept, i)) continue;
    struct index_set set = exchanged(choice, i, losses);
    status = choice_cost(choice, &set, &cost, err);
    if (status || cost >= best_cost) continue;
    best_cost = cost;
    best = set;
    *ret_better = true;
  }
  if (!*ret_better) return status;
  choice->chosen = best;
  choice->cost_after = best_cost;
  return status;
}

static enum status exchange(struct choice *choice, const struct index_set *kept, struct error *err) {
  enum status status = OK;
  bool better = choice->bounded;
  for (int round = 0; !status && better && round < EXCHANGES; round++) {
    if (choice->deadline_ms && clock_mono_ms() > choice->deadline_ms) return OK;
    status = exchange_once(choice, kept, &better, err);
    if (!status && better) status = grow(choice, kept, err);
  }
  return status;
}

/* The most missed first. */
static enum status rank(struct choice *choice, struct error *err) {
  double costs[CANDIDATES_MAX];
  enum status status = costs_without(choice, costs, err);
  for (size_t i = 0; !status && i < candidate_count(choice); i++) {
    if (!index_set_has(&choice->chosen, i)) continue;
    size_t place = choice->count++;
    for (; place > 0 && costs[choice->order[place - 1]] < costs[i]; place--) choice->order[place] = choice->order[place - 1];
    choice->order[place] = i;
  }
  return status;
}

/* --- the end --- */

enum status choice_make(struct choice *choice, struct error *err) {
  struct index_set kept = {0};
  enum status status = thin_out(choice, &kept, err);
  if (!status) status = grow(choice, &kept, err);
  if (!status) status = exchange(choice, &kept, err);
  if (!status) status = shrink(choice, err);
  if (!status) status = rank(choice, err);
  choice->bytes = bytes_of(choice, &choice->chosen);
  for (size_t q = 0; !status && q < choice->queries->count; q++) {
    struct workload_query *query = &choice->queries->items[q];
    const struct planned *planned = NULL;
    if (query->skipped) continue;
    status = choice_query(choice, query, &choice->chosen, &planned, err);
    if (!status) query->after = planned->plan;
  }
  return status;
}
