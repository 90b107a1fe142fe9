/* recommend.c - what was chosen, as the contract has it; and what can be said without having tried anything. */
#include <math.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "worker/optimizer/advice.h"
#include "worker/optimizer/finding_impl.h"
#include "worker/optimizer/index_write.h"
#include "worker/sql/text.h"

#define PARTITIONS_MAX 64 /* that get a statement of their own */
#define GUESSES_MAX 3
#define STALE_ROWS 1000 /* changed since ANALYZE, and */
#define STALE_SHARE 0.1 /* of the table's: what a condition lets in is not known any more */
#define GUESS_SHARE 0.1 /* of a table's rows, at most, are what a scan in full was for */

/* --- the statement --- */

/* A parent's index made without locking anybody out: the parent's first, which is invalid till each partition has one attached. */
static const char *partitioned_script(struct arena *arena, const struct snapshot *snapshot, const struct index_spec *spec,
                                      const char *name) {
  BUF_AUTO out;
  const char *plain = index_spec_create(arena, spec, name, false), *index = sql_qualified(arena, spec->table->schema, name);
  const char *on = plain ? strstr(plain, " ON ") : NULL;
  if (!on || !index || spec->table->partition_count > PARTITIONS_MAX) return plain;
  buf_init(&out, LIMIT_SQL_BYTES);
  buf_printf(&out, "%.*s ON ONLY %s;\n", (int)(on - plain), plain, on + 4);
  for (size_t i = 0; i < spec->table->partition_count; i++) {
    const struct snap_table *partition = spec->table->partitions[i];
    struct index_spec part = *spec;
    part.table = partition;
    const char *part_name = index_spec_name(arena, snapshot, &part, 0),
               *made = part_name ? index_spec_create(arena, &part, part_name, true) : NULL;
    const char *qualified = made ? sql_qualified(arena, partition->schema, part_name) : NULL;
    if (!qualified || partition->kind != SNAP_TABLE) return plain;
    buf_printf(&out, "%s;\nALTER INDEX %s ATTACH PARTITION %s%s", made, index, qualified,
               i + 1 < spec->table->partition_count ? ";\n" : "");
  }
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}

static const char *create_sql(struct arena *arena, const struct snapshot *snapshot, const struct index_spec *spec, const char *name) {
  return spec->table->kind == SNAP_PARTITIONED && spec->table->partition_count ? partitioned_script(arena, snapshot, spec, name)
                                                                               : index_spec_create(arena, spec, name, true);
}

/* --- caveats --- */

static bool has_expression(const struct index_spec *spec) {
  for (size_t i = 0; i < spec->keys.count; i++)
    if (spec->keys.items[i].expression) return true;
  return false;
}

/* What was counted on is not so: production's statistics are old. */
static const char *stale_caveat(const struct advice *advice, const struct snap_table *table) {
  struct table_facts facts = facts_table(advice->facts, table);
  if (facts.changed_since_analyze < STALE_ROWS || facts.changed_since_analyze <= STALE_SHARE * facts.rows) return NULL;
  return arena_printf(advice->arena, "the statistics of %s are out of date, and this rests on them: ANALYZE it and ask again",
                      table->qualified);
}

static json_t *caveats_of(const struct advice *advice, const struct candidate *candidate, const struct index_write *write) {
  const struct index_spec *spec = &candidate->spec;
  json_t *caveats = json_array();
  const char *stale = stale_caveat(advice, spec->table);
  if (stale) json_append_str(caveats, stale);
  if (spec->table->kind == SNAP_PARTITIONED)
    json_append_str(caveats,
                    "the parent's index can't be made CONCURRENTLY: where this is a single statement it locks out writers while it runs");
  else
    json_append_str(caveats, "CONCURRENTLY runs outside of a transaction; if it fails an invalid index is left, to be dropped");
  if (spec->predicate)
    json_append_str(caveats, "serves only queries that state this condition with a literal; a parameter planned without its value doesn't");
  if (spec->include.count) json_append_str(caveats, "reading from the index alone needs pages that VACUUM has marked all-visible");
  if (has_expression(spec))
    json_append_str(caveats, "the planner knows the expression's values after ANALYZE; until tried its estimate is that of the column");
  if (strcmp(spec->method, "gin") == 0)
    json_append_str(caveats, "a GIN index's cost and size depend on the values inside, which statistics tell little of");
  if (candidate->size.guessed) json_append_str(caveats, "the size is a guess: there are no statistics that tell it");
  if (write->hot_before >= 0 && write->hot_before - write->hot_after >= 0.01)
    json_append_str(caveats, write->assumed
                                 ? "UPDATEs that set one of these columns are no longer HOT; how many do is not known "
                                   "(pg_stat_statements): each column is taken "
                                   "to be set as often as any other"
                                 : "UPDATEs that set one of these columns are no longer HOT: they write to every index of the table");
  if (advice->trial && !trial_is_whatif(advice->trial))
    json_append_str(caveats, "HypoPG takes an index for larger than it becomes: the gain is rather more");
  return caveats;
}

/* --- the reason --- */

static const char *how_read(struct arena *arena, const struct query_plan *plan, const struct snap_table *table) {
  const struct plan_node *heaviest = NULL;
  for (size_t i = 0; plan && i < plan->count; i++) {
    const struct plan_node *node = plan->nodes[i];
    bool same = node->relation && (strcmp(node->relation, table->name) == 0 ||
                                   (node->table && node->table->partition_of && strcmp(node->table->partition_of, table->qualified) == 0));
    if (same && plan_is_scan(node) && (!heaviest || node->exclusive_cost > heaviest->exclusive_cost)) heaviest = node;
  }
  if (!heaviest) return NULL;
  return heaviest->index_name ? arena_printf(arena, "%s by %s", heaviest->type, heaviest->index_name) : heaviest->type;
}

static size_t queries_using(const struct advice *advice, size_t index, const struct workload_query **ret_first) {
  size_t count = 0;
  double most = -1;
  for (size_t q = 0; q < advice->queries.count; q++) {
    const struct workload_query *query = &advice->queries.items[q];
    if (query->skipped || !query->after || !trial_uses(query->after, advice->candidates.list.items[index])) continue;
    double saved = (query->before->total_cost - query->after->total_cost) * query->factor;
    if (saved > most) most = saved, *ret_first = query;
    count++;
  }
  return count;
}

static const char *reason_of(const struct advice *advice, const struct candidate *candidate) {
  struct arena *arena = advice->arena;
  const struct workload_query *query = NULL;
  size_t users = queries_using(advice, candidate->index, &query);
  const char *was = query ? how_read(arena, query->before, candidate->spec.table) : NULL;
  const char *where = candidate->spec.predicate;
  const char *serves = arena_printf(arena, "Finds %s%s of %s by %s", where ? "the rows where " : "rows", where ? where : "",
                                    candidate->spec.table->qualified, candidate->why);
  if (!query || !serves) return serves;
  bool one = advice->queries.count == 1; /* what it costs to write the indexes is in the sum */
  const char *from = finding_number(arena, round(one ? advice->choice.cost_before : query->before->total_cost)),
             *to = finding_number(arena, round(one ? advice->choice.cost_after : query->after->total_cost));
  const char *instead = was ? arena_printf(arena, ", instead of %s %s", strchr("AEIOU", *was) ? "an" : "a", was) : "";
  const char *with = advice->choice.count == 2  ? "with both of these indexes "
                     : advice->choice.count > 2 ? arena_printf(arena, "with all %zu of these indexes ", advice->choice.count)
                                                : "";
  size_t planned = 0;
  for (size_t q = 0; q < advice->queries.count; q++) planned += !advice->queries.items[q].skipped;
  if (!one)
    return arena_printf(arena, "%s%s: serves %zu of %zu queries; the one it saves most falls from %s to %s", serves, instead ? instead : "",
                        users, planned, from, to);
  return arena_printf(arena, "%s%s: %sthe query's cost falls from %s to %s", serves, instead ? instead : "", with ? with : "", from, to);
}

/* --- one recommendation --- */

static json_t *columns_json(const struct index_spec *spec) {
  json_t *columns = json_array();
  for (size_t i = 0; i < spec->keys.count; i++)
    json_append_str(columns, spec->keys.items[i].column ? spec->keys.items[i].column : spec->keys.items[i].expression);
  return columns;
}

static double rounded(double value) { return round(value * 100) / 100; }

struct worth {
  double before, after; /* below 0: not known */
  const char *verified_by, *reason;
};

static json_t *recommendation(const struct advice *advice, const struct candidate *candidate, const struct worth *worth) {
  const struct index_spec *spec = &candidate->spec;
  struct index_write write = index_write_estimate(advice->facts, spec, &candidate->size);
  bool known = worth->before >= 0 && worth->after >= 0;
  json_t *one = json_object();
  json_set_str(one, "create_sql", create_sql(advice->arena, advice->snapshot, spec, candidate->name));
  json_set_str(one, "name", candidate->name);
  json_set_str(one, "table", spec->table->qualified);
  json_object_set_new(one, "columns", columns_json(spec));
  json_object_set_new(one, "include", json_strings(spec->include.items, spec->include.count));
  json_set_str(one, "predicate", spec->predicate);
  json_set_str(one, "method", spec->method);
  json_set_str(one, "reason", worth->reason);
  json_object_set_new(one, "cost_before", known ? json_real(rounded(worth->before)) : json_null());
  json_object_set_new(one, "cost_after", known ? json_real(rounded(worth->after)) : json_null());
  json_object_set_new(one, "improvement_percent",
                      known && worth->before > 0 ? json_real(round(1000 * (1 - worth->after / worth->before)) / 10) : json_null());
  json_object_set_new(one, "estimated_size_bytes", json_integer((json_int_t)candidate->size.bytes));
  json_object_set_new(one, "write_overhead", index_write_json(&write));
  json_set_str(one, "verified_by", worth->verified_by);
  json_object_set_new(one, "caveats", caveats_of(advice, candidate, &write));
  return one;
}

/* The cost with this index alone; where it serves only together with others, with all of them. */
static enum status worth_of(struct advice *advice, const struct candidate *candidate, struct worth *ret_worth, struct error *err) {
  struct index_set alone = {0};
  double cost = 0;
  index_set_put(&alone, candidate->index, true);
  enum status status = choice_cost(&advice->choice, &alone, &cost, err);
  bool needs_others = candidate->bundle || cost > 0.99 * advice->choice.cost_before;
  *ret_worth = (struct worth){.before = advice->choice.cost_before,
                              .after = needs_others ? advice->choice.cost_after : cost,
                              .verified_by = trial_engine(advice->trial),
                              .reason = reason_of(advice, candidate)};
  return status;
}

enum status advice_recommend(struct advice *advice, json_t *recommendations, struct error *err) {
  for (size_t i = 0; i < advice->choice.count; i++) {
    const struct candidate *candidate = advice->candidates.list.items[advice->choice.order[i]];
    struct worth worth;
    enum status status = worth_of(advice, candidate, &worth, err);
    if (status) return status;
    json_array_append_new(recommendations, recommendation(advice, candidate, &worth));
  }
  return OK;
}

/* --- untried --- */

static const struct candidate *fullest(const struct advice *advice, const struct snap_table *table) {
  const struct candidate *best = NULL;
  for (size_t i = 0; i < advice->candidates.list.count; i++) {
    const struct candidate *candidate = advice->candidates.list.items[i];
    if (candidate->spec.table != table || candidate->spec.predicate || candidate->spec.include.count || candidate->bundle) continue;
    if (!best || candidate->spec.keys.count > best->spec.keys.count) best = candidate;
  }
  return best;
}

void advice_guess(struct advice *advice, const struct query_plan *plan, const struct source_list *sources, json_t *recommendations) {
  size_t made = 0;
  for (size_t i = 0; i < plan->count && made < GUESSES_MAX; i++) {
    const struct plan_node *node = plan->nodes[i];
    const struct snap_table *table = NULL;
    for (size_t k = 0; k < sources->count; k++)
      if (node->relation && strcmp(sources->items[k].alias, node->alias ? node->alias : node->relation) == 0)
        table = sources->items[k].table;
    const struct candidate *candidate = table && plan_is(node, "Seq Scan") && node->filter ? fullest(advice, table) : NULL;
    if (!candidate || node->plan_rows > GUESS_SHARE * facts_table(advice->facts, table).rows) continue;
    const char *reason =
        arena_printf(advice->arena, "%s is read in full for few of its rows: an index on %s finds them", table->qualified, candidate->why);
    json_array_append_new(recommendations, recommendation(advice, candidate, &(struct worth){-1, -1, "heuristic", reason}));
    made++;
  }
}

/* --- foreign keys --- */

/* An index whose first columns are the key's, in whatever order. */
static bool supported(struct arena *arena, const struct snap_fk *fk) {
  for (size_t i = 0; i < fk->table->index_count; i++) {
    struct index_spec spec;
    size_t found = 0;
    const struct snap_index *index = &fk->table->indexes[i];
    if (!index->valid || index->predicate || !index_spec_read(arena, fk->table, index->definition, &spec) ||
        strcmp(spec.method, "btree") != 0)
      continue;
    for (size_t k = 0; k < fk->column_count && k < spec.keys.count; k++)
      found += list_has(fk->columns, fk->column_count, spec.keys.items[k].column);
    if (found == fk->column_count) return true;
  }
  return false;
}

static bool deleted_from(const struct advice *advice, const struct snap_table *table) {
  for (size_t q = 0; q < advice->queries.count; q++) {
    const struct workload_query *query = &advice->queries.items[q];
    if (query->skipped || query->statement->node_case != PG_QUERY__NODE__NODE_DELETE_STMT) continue;
    if (query->tables.count && query->tables.items[0] == table) return true;
  }
  return advice->queries.count > 1 && facts_table(advice->facts, table).deleted > 0;
}

/* One that was chosen for queries serves the key as well. */
static bool chosen_for(const struct advice *advice, const struct index_spec *spec) {
  for (size_t i = 0; i < advice->choice.count; i++) {
    const struct candidate *candidate = advice->candidates.list.items[advice->choice.order[i]];
    if (index_spec_covers(&candidate->spec, spec)) return true;
  }
  return false;
}

static void advise_key(struct advice *advice, const struct snap_fk *fk, json_t *recommendations) {
  struct candidate candidate = {.spec = {.table = fk->table, .method = "btree"}};
  for (size_t i = 0; i < fk->column_count && i < INDEX_KEYS_MAX; i++) {
    struct index_key *key = LIST_PUSH(advice->arena, &candidate.spec.keys);
    if (key) *key = (struct index_key){.column = fk->columns[i]};
  }
  if (chosen_for(advice, &candidate.spec)) return;
  candidate.size = index_size_estimate(advice->facts, &candidate.spec, fk->table->rows > 0 ? (double)fk->table->rows : -1);
  candidate.name = index_spec_name(advice->arena, advice->snapshot, &candidate.spec, 0);
  const char *reason =
      arena_printf(advice->arena, "Foreign key %s: each row deleted from %s.%s is looked for in %s, which has no index on it", fk->name,
                   fk->ref_schema, fk->ref_table, fk->table->qualified);
  if (candidate.name)
    json_array_append_new(recommendations, recommendation(advice, &candidate, &(struct worth){-1, -1, "heuristic", reason}));
}

void advice_foreign_keys(struct advice *advice, json_t *recommendations) {
  for (size_t i = 0; i < advice->tables.count; i++) {
    const struct snap_table *table = advice->tables.items[i];
    if (!deleted_from(advice, table)) continue;
    for (size_t k = 0; k < table->referenced_by_count; k++) {
      const struct snap_fk *fk = table->referenced_by[k];
      if (fk->table->rows >= 1000 && !fk->table->partition_of && !supported(advice->arena, fk)) advise_key(advice, fk, recommendations);
    }
  }
}
