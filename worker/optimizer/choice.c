/* choice.c - see choice.h. */
#include <math.h>

#include "common/clock.h"
#include "worker/optimizer/choice_impl.h"

#define EXCHANGES 8          /* of indexes that have no room for others */
#define LEAST_EXCHANGE 0.005 /* of the whole cost, that an exchange has to save */
#define RELIEFS_MAX 256      /* ways to need fewer bytes that are weighed at once */
#define ROUNDS 3             /* in which a query's candidates are thinned out: what the planner takes, then what it takes instead, … */
#define LEAST_NEW 0.05       /* of what the queries that get cheaper cost now, that a new index has to save */
#define LEAST_WIDER 0.1      /* a wider index in place of one that is chosen */
#define LEAST_COVERING 0.3   /* what is only held makes an index much larger, and dearer to keep */
#define COVERING_TIMES 2.5   /* and so many times as much of the whole */
#define LEAST_UNITS 20       /* of the planner's cost, of each of these queries: less is not worth the words */
#define LEAST_BYTES 65536    /* an index is not smaller for what it may save per byte */

/* --- thinning out --- */

static enum status thin_query(struct choice *choice, struct workload_query *query, struct index_set *kept, struct error *err) {
  struct index_set left = {0};
  for (size_t i = 0; i < candidate_count(choice); i++)
    if (choice_concerns(query, at(choice, i)) && !at(choice, i)->refused) index_set_put(&left, i, true);
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

/* A way to need fewer bytes: an index that is chosen goes, or gives way to a narrower one that it covers. */
struct relief {
  size_t gone, instead; /* instead: NONE, it goes */
  double loss, bytes;   /* how much dearer what is chosen gets by it, and smaller */
};
#define NONE SIZE_MAX

struct reliefs {
  struct relief items[RELIEFS_MAX];
  size_t count;
};

static struct index_set relieved(const struct index_set *set, const struct relief *relief) {
  struct index_set out = *set;
  index_set_put(&out, relief->gone, false);
  if (relief->instead != NONE) index_set_put(&out, relief->instead, true);
  return out;
}

static enum status add_relief(struct choice *choice, size_t gone, size_t instead, struct reliefs *reliefs, struct error *err) {
  struct relief relief = {.gone = gone, .instead = instead, .bytes = at(choice, gone)->size.bytes};
  if (instead != NONE) relief.bytes -= at(choice, instead)->size.bytes;
  if (relief.bytes <= 0 || reliefs->count == RELIEFS_MAX) return OK;
  struct index_set set = relieved(&choice->chosen, &relief);
  enum status status = choice_cost(choice, &set, &relief.loss, err);
  if (status) return status;
  relief.loss = fmax(0, relief.loss - choice->cost_after);
  reliefs->items[reliefs->count++] = relief;
  return OK;
}

static enum status find_reliefs(struct choice *choice, const struct index_set *kept, struct reliefs *reliefs, struct error *err) {
  enum status status = OK;
  reliefs->count = 0;
  for (size_t i = 0; !status && i < candidate_count(choice); i++)
    if (index_set_has(&choice->chosen, i)) status = add_relief(choice, i, NONE, reliefs, err);
  for (size_t i = 0; !status && i < candidate_count(choice); i++)
    for (size_t k = 0; !status && index_set_has(&choice->chosen, i) && k < candidate_count(choice); k++)
      if (eligible(choice, kept, k) && index_spec_covers(&at(choice, i)->spec, &at(choice, k)->spec))
        status = add_relief(choice, i, k, reliefs, err);
  return status;
}

/* Whether the relief leads on from the one that was taken for the same index (NULL: none yet). */
static bool applies(const struct index_set *set, const struct relief *relief, const struct relief *taken, bool fewer) {
  if (relief->instead != NONE && (fewer || index_set_has(set, relief->instead))) return false;
  if (!taken) return index_set_has(set, relief->gone);
  return taken->instead != NONE && relief->bytes > taken->bytes && index_set_has(set, taken->instead);
}

/* Takes the reliefs by which least is lost for each byte till the set is within the bounds. False: it can't be. `bundle` stays. */
static bool fit(const struct choice *choice, const struct reliefs *reliefs, int bundle, struct index_set *set) {
  const struct relief *taken[CANDIDATES_MAX] = {0}; /* by the index that went */
  while (!allowed(choice, set)) {
    const struct relief *best = NULL;
    double least = INFINITY;
    bool fewer = choice->max_indexes && size_of(choice, set) > choice->max_indexes;
    for (size_t i = 0; i < reliefs->count; i++) {
      const struct relief *relief = &reliefs->items[i], *now = taken[relief->gone];
      if ((bundle && at(choice, relief->gone)->bundle == bundle) || !applies(set, relief, now, fewer)) continue;
      double loss = (relief->loss - (now ? now->loss : 0)) / (fewer ? 1 : relief->bytes - (now ? now->bytes : 0));
      if (!best || loss < least) best = relief, least = loss;
    }
    if (!best) return false;
    if (taken[best->gone]) index_set_put(set, taken[best->gone]->instead, false);
    *set = relieved(set, best);
    taken[best->gone] = best;
  }
  return true;
}

/* What saves most per byte may leave no room for what saves most. */
static enum status exchange_once(struct choice *choice, const struct index_set *kept, bool *ret_better, struct error *err) {
  struct reliefs reliefs;
  struct index_set best;
  double best_cost = choice->cost_after * (1 - LEAST_EXCHANGE);
  enum status status = find_reliefs(choice, kept, &reliefs, err);
  *ret_better = false;
  for (size_t i = 0; !status && i < candidate_count(choice); i++) {
    double cost = 0;
    if (!eligible(choice, kept, i)) continue;
    struct index_set set = extended(choice, i);
    if (!fit(choice, &reliefs, at(choice, i)->bundle, &set)) continue;
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

/* What goes without being missed leaves room for something else. */
static enum status settle(struct choice *choice, const struct index_set *kept, struct error *err) {
  enum status status = OK;
  double before;
  int round = 0;
  do {
    before = choice->cost_after;
    status = exchange(choice, kept, err);
    if (!status) status = shrink(choice, err);
    if (!status && choice->bounded) status = grow(choice, kept, err);
  } while (!status && choice->bounded && !choice->out_of_time && choice->cost_after < before && ++round < EXCHANGES);
  return status ? status : shrink(choice, err);
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
  if (!status) status = settle(choice, &kept, err);
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
