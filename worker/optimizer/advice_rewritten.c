/* advice_rewritten.c - indexes for the query as it would better be written. A condition that hides its column gets no index, or one on an
 * expression; its rewrite gains nothing while there is none: only together they are worth telling. */
#include "common/json.h"
#include "worker/optimizer/advice.h"
#include "worker/sql/text.h"

#define NEARLY 2.0    /* times that: what the rewritten query may cost without any of them */
#define WORTH 0.8     /* of what the query costs as it is, with the indexes that are recommended for that */
#define GAIN_MIN 0.05 /* of the rewritten query's cost */

static bool is_there(const json_t *recommendations, const char *create_sql) {
  for (size_t i = 0; i < json_array_size(recommendations); i++)
    if (strcmp(json_str(json_array_get(recommendations, i), "create_sql", ""), create_sql) == 0) return true;
  return false;
}

static void put_first(json_t *alternatives, json_t *alternative) {
  json_array_insert(alternatives, 0, alternative);
  for (size_t i = 0; i < json_array_size(alternatives); i++)
    json_object_set_new(json_array_get(alternatives, i), "rank", json_integer((json_int_t)i + 1));
}

/* What the rewritten query's index serves as well is not needed beside it. */
static void remove_covered(const struct advice *advice, const struct advice *other, json_t *recommendations) {
  for (size_t i = 0; i < advice->choice.count; i++) {
    const struct candidate *one = advice->candidates.list.items[advice->choice.order[i]];
    bool covered = false;
    for (size_t k = 0; k < other->choice.count; k++) {
      const struct candidate *wide = other->candidates.list.items[other->choice.order[k]];
      covered |= index_spec_covers(&wide->spec, &one->spec) && !index_spec_same(&wide->spec, &one->spec);
    }
    for (size_t k = json_array_size(recommendations); covered && k-- > 0;)
      if (strcmp(json_str(json_array_get(recommendations, k), "name", ""), one->name) == 0) json_array_remove(recommendations, k);
  }
}

/* Either the query is changed, or these are made. */
static void tell_needless(const struct optimization *o, const json_t *needed) {
  const char *caveat =
      arena_printf(o->arena, "not needed where the query is written as in alternative %lld", json_int(o->rewritten.alternative, "rank", 0));
  for (size_t i = 0; caveat && i < json_array_size(o->index_recommendations); i++) {
    json_t *one = json_array_get(o->index_recommendations, i);
    if (!is_there(needed, json_str(one, "create_sql", ""))) json_array_insert_new(json_object_get(one, "caveats"), 0, json_string(caveat));
  }
}

/* The alternative is told with the indexes it needs, and they with the alternative. */
static void tell(const struct advice *other, struct optimization *o, const json_t *indexes) {
  json_t *alternative = o->rewritten.alternative, *needs = json_array();
  if (o->rewritten.waits) put_first(o->alternatives, alternative);
  tell_needless(o, indexes);
  const char *caveat = arena_printf(o->arena, "it serves the query as it is written in alternative %lld", json_int(alternative, "rank", 0));
  for (size_t i = 0; i < json_array_size(indexes); i++) {
    json_t *one = json_array_get(indexes, i);
    const char *sql = json_str(one, "create_sql", "");
    json_append_str(needs, sql);
    if (is_there(o->index_recommendations, sql)) continue;
    if (caveat) json_array_insert_new(json_object_get(one, "caveats"), 0, json_string(caveat));
    json_array_append(o->index_recommendations, one);
  }
  json_object_set_new(alternative, "with_indexes", json_pack("{s:f, s:o}", "cost", other->choice.cost_after, "create_sql", needs));
  double before = o->plan->total_cost, factor = other->choice.cost_after > 0 ? before / other->choice.cost_after : 0;
  json_set_str(alternative, "estimated_improvement",
               arena_printf(o->arena, factor < 10 ? "~%.1fx cheaper, with an index" : "~%.0fx cheaper, with an index", factor));
}

static enum status choose(struct advice *other, struct optimization *o, struct error *err) {
  struct workload_query *query = LIST_PUSH(o->arena, &other->queries);
  struct source_list sources = {0};
  struct query_plan *plan = NULL;
  const char *sql = query ? explain_with_values(o, o->rewritten.sql) : NULL;
  if (!sql) return error_oom(err);
  *query = (struct workload_query){.sql = o->rewritten.sql,
                                   .how = {.sql = sql, .parameters = o->values ? 0 : o->parameter_count},
                                   .statement = sql_parse_statement(o->arena, o->rewritten.sql),
                                   .weight = 1};
  if (!query->statement) return OK;
  enum status status = optimize_explain(o, o->rewritten.sql, false, &plan, err);
  if (!status) status = advice_prepare(other, err);
  if (!status) status = advice_suggest(other, query, plan, &sources, err);
  return status ? status : advice_choose(other, &sources, GAIN_MIN, err);
}

enum status advice_rewritten(struct advice *advice, struct optimization *o, struct error *err) {
  struct advice other = *advice;
  json_t *indexes = arena_json(o->arena, json_array());
  if (!o->rewritten.sql || !o->rewritten.alternative) return OK;
  other.queries = (struct workload){0};
  other.candidates = (struct candidates){0};
  other.choice = (struct choice){0};
  enum status status = indexes ? choice_hide_all(&advice->choice, err) : error_oom(err);
  if (!status) status = choose(&other, o, err);
  double now = advice->choice.count ? advice->choice.cost_after : o->plan->total_cost;
  if (!status && other.choice.count && other.choice.cost_after < WORTH * now) {
    status = advice_recommend(&other, indexes, err);
    if (!status) remove_covered(advice, &other, o->index_recommendations), tell(&other, o, indexes);
  } else if (!status && !o->rewritten.waits &&
             json_number_value(json_object_get(o->rewritten.alternative, "rewritten_cost")) <= NEARLY * now) {
    tell_needless(o, indexes);
  }
  return status ? status : choice_hide_all(&other.choice, err);
}
