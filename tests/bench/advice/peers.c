/* peers.c - see peers.h. */
#include "tests/bench/advice/peers.h"

#include "common/json.h"
#include "common/pg.h"
#include "worker/optimizer/facts.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define WIDTH 3
#define ENOUGH 100 /* a query's cost, below which pairs doesn't look */

struct hypothetical {
  const struct snap_table *table;
  const char *columns[WIDTH];
  size_t width;
  const char *handle; /* its oid while it is there; NULL */
  double bytes;
};
LIST_TYPE(hypotheticals, struct hypothetical);

struct asking {
  PGconn *conn;
  const struct snapshot *snapshot;
  struct arena *arena;
  unsigned kinds;
  bool weighted;
  PgQuery__Node *trees[64];
  struct table_list tables[64];
};

/* --- hypothetical indexes --- */

static const char *definition(struct arena *arena, const struct hypothetical *index) {
  const char *columns = index->columns[0];
  for (size_t i = 1; i < index->width; i++) columns = arena_printf(arena, "%s, %s", columns, index->columns[i]);
  return arena_printf(arena, "CREATE INDEX ON %s (%s)", index->table->qualified, columns);
}

static const char *text_of(struct asking *asking, const char *sql, const char *param) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  if (pg_query(asking->conn, sql, param ? 1 : 0, &param, &res, &err)) fail_msg("%s: %s", sql, err.message);
  return arena_strdup(asking->arena, pg_str(res, 0, 0));
}

static void put(struct asking *asking, struct hypothetical *index) {
  index->handle = text_of(asking, "SELECT indexrelid FROM hypopg_create_index($1)", definition(asking->arena, index));
  if (index->bytes <= 0) index->bytes = strtod(text_of(asking, "SELECT hypopg_relation_size($1::oid)", index->handle), NULL);
}

static void take_away(struct asking *asking, struct hypothetical *index) {
  text_of(asking, "SELECT hypopg_drop_index($1::oid)", index->handle);
  index->handle = NULL;
}

static void reset(struct asking *asking) { text_of(asking, "SELECT hypopg_reset()", NULL); }

/* --- what queries name --- */

static void begin(struct asking *asking) {
  for (size_t i = 0; i < statement_count; i++) {
    asking->trees[i] = sql_parse_statement(asking->arena, statements[i].sql);
    if (!asking->trees[i] || !facts_tables(asking->arena, asking->snapshot, asking->trees[i], &asking->tables[i]))
      fail_msg("%s", statements[i].sql);
  }
  reset(asking);
}

static bool wanted(const struct asking *asking, size_t query) { return asking->kinds & KIND(statements[query].kind); }

static bool reads(const struct asking *asking, size_t query, const struct snap_table *table) {
  for (size_t i = 0; i < asking->tables[query].count; i++)
    if (asking->tables[query].items[i] == table) return true;
  return false;
}

static bool mentions(struct asking *asking, size_t query, const struct snap_table *table, const char *column) {
  return wanted(asking, query) && reads(asking, query, table) && sql_mentions_column(asking->trees[query], column);
}

struct condition_search {
  const char *column;
  bool found;
};

static bool see_condition(void *arg, PgQuery__Node *node) {
  struct condition_search *search = arg;
  PgQuery__Node *condition = node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt->where_clause
                             : node->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR ? node->join_expr->quals
                                                                                 : NULL;
  if (condition && sql_mentions_column(condition, search->column)) search->found = true;
  return true;
}

static bool conditioned(struct asking *asking, size_t query, const struct snap_table *table, const char *column) {
  struct condition_search search = {.column = column};
  if (mentions(asking, query, table, column)) sql_walk(asking->trees[query], see_condition, &search);
  return search.found;
}

/* --- costs --- */

static const char *plan_text(struct asking *asking, size_t query, double *ret_cost) {
  json_t *plan = plan_of(asking->conn, asking->arena, statements[query].sql);
  *ret_cost = number(plan, "Total Cost");
  char *text = json_dumps(plan, JSON_COMPACT);
  const char *kept = arena_strdup(asking->arena, text);
  free(text);
  return kept;
}

static bool uses(struct asking *asking, const char *plan, const struct hypothetical *index) {
  return index->handle && strstr(plan, arena_printf(asking->arena, "\"<%s>", index->handle)) != NULL;
}

static void keep(struct asking *asking, const struct hypothetical *index, struct peer_set *out) {
  const char *sql = definition(asking->arena, index);
  for (size_t i = 0; i < out->count; i++)
    if (strcmp(out->sql[i], sql) == 0) return;
  if (out->count < PEER_INDEXES) out->sql[out->count++] = sql;
}

/* --- single --- */

static bool has_own(const struct snap_table *table, const char *column) {
  for (size_t i = 0; i < table->index_count; i++)
    if (table->indexes[i].column_count == 1 && strcmp(table->indexes[i].columns[0], column) == 0) return true;
  return false;
}

static void single(PGconn *conn, const struct snapshot *snapshot, unsigned kinds, bool weighted, struct arena *arena,
                   struct peer_set *out) {
  struct asking asking = {.conn = conn, .snapshot = snapshot, .arena = arena, .kinds = kinds, .weighted = weighted};
  struct hypotheticals all = {0};
  begin(&asking);
  for (size_t t = 0; t < snapshot->table_count; t++)
    for (size_t c = 0; c < snapshot->tables[t].column_count; c++) {
      const struct snap_table *table = &snapshot->tables[t];
      if (has_own(table, table->columns[c].name)) continue;
      struct hypothetical *index = LIST_PUSH(arena, &all);
      *index = (struct hypothetical){.table = table, .columns = {table->columns[c].name}, .width = 1};
      put(&asking, index);
    }
  for (size_t q = 0; q < statement_count; q++) {
    double cost;
    const char *plan = wanted(&asking, q) ? plan_text(&asking, q, &cost) : "";
    for (size_t i = 0; i < all.count; i++)
      if (uses(&asking, plan, &all.items[i])) keep(&asking, &all.items[i], out);
  }
  reset(&asking);
}

/* --- pairs --- */

static bool leads(const struct hypothetical *index) {
  for (size_t i = 0; i < index->table->index_count; i++) {
    const struct snap_index *known = &index->table->indexes[i];
    bool same = known->column_count >= index->width;
    for (size_t c = 0; same && c < index->width; c++) same = strcmp(known->columns[c], index->columns[c]) == 0;
    if (same) return true;
  }
  return false;
}

/* Any of the queries names it: not only the one that is looked at. */
static bool named(struct asking *asking, const struct snap_table *table, const char *column) {
  bool read = false, found = false;
  for (size_t q = 0; q < statement_count; q++) {
    read |= wanted(asking, q) && reads(asking, q, table);
    found |= wanted(asking, q) && sql_mentions_column(asking->trees[q], column);
  }
  return read && found;
}

static void add_pairs(struct asking *asking, size_t width, struct hypotheticals *all) {
  for (size_t t = 0; t < asking->snapshot->table_count; t++) {
    const struct snap_table *table = &asking->snapshot->tables[t];
    for (size_t a = 0; a < table->column_count; a++)
      for (size_t b = 0; b < (width == 1 ? 1 : table->column_count); b++) {
        const char *first = table->columns[a].name, *second = table->columns[b].name;
        if (!named(asking, table, first) || (width == 2 && (a == b || !named(asking, table, second)))) continue;
        struct hypothetical *index = LIST_PUSH(asking->arena, all);
        *index = (struct hypothetical){.table = table, .columns = {first, second}, .width = width};
        put(asking, index);
      }
  }
}

static size_t used_by(struct asking *asking, const char *plan, const struct hypotheticals *all,
                      const struct hypothetical *out[PEER_INDEXES]) {
  size_t count = 0;
  for (size_t i = 0; i < all->count && count < PEER_INDEXES; i++)
    if (uses(asking, plan, &all->items[i]) && !leads(&all->items[i])) out[count++] = &all->items[i];
  return count;
}

/* Of several the one that does most by itself, when that is enough. */
static void keep_best(struct asking *asking, size_t query, const struct hypothetical *const *found, size_t count, double limit,
                      struct peer_set *out) {
  const struct hypothetical *best = NULL;
  double least = INFINITY;
  reset(asking);
  for (size_t i = 0; i < count; i++) {
    struct hypothetical alone = *found[i];
    double cost;
    put(asking, &alone);
    plan_text(asking, query, &cost);
    take_away(asking, &alone);
    if (cost < least) least = cost, best = found[i];
  }
  if (best && least < limit) keep(asking, best, out);
}

static void pairs(PGconn *conn, const struct snapshot *snapshot, unsigned kinds, bool weighted, struct arena *arena, struct peer_set *out) {
  struct asking asking = {.conn = conn, .snapshot = snapshot, .arena = arena, .kinds = kinds, .weighted = weighted};
  struct hypotheticals all = {0};
  const char *plans[2][64];
  double costs[3][64];
  struct peer_set chosen = {0};
  begin(&asking);
  for (size_t q = 0; q < statement_count; q++) plan_text(&asking, q, &costs[0][q]);
  for (size_t round = 0; round < 2; round++) {
    add_pairs(&asking, round + 1, &all);
    for (size_t q = 0; q < statement_count; q++)
      if (wanted(&asking, q)) plans[round][q] = plan_text(&asking, q, &costs[round + 1][q]);
  }
  for (size_t q = 0; q < statement_count; q++) {
    const struct hypothetical *found[PEER_INDEXES];
    if (!wanted(&asking, q) || costs[0][q] < ENOUGH) continue;
    bool one = costs[1][q]<0.5 * costs[0][q], two = costs[1][q]> ENOUGH && costs[2][q] < 0.5 * costs[1][q];
    size_t count = used_by(&asking, plans[two][q], &all, found);
    if (two && count > 1) count = used_by(&asking, plans[two = false][q], &all, found);
    if ((!one && !two) || !count) continue;
    if (count > 1)
      keep_best(&asking, q, found, count, 0.5 * costs[0][q], &chosen);
    else
      keep(&asking, found[0], &chosen);
  }
  for (size_t i = 0; i < chosen.count; i++) { /* what leads a chosen pair is not wanted alone */
    bool covered = false;
    size_t len = strlen(chosen.sql[i]) - 1;
    for (size_t k = 0; k < chosen.count; k++)
      covered |= k != i && strncmp(chosen.sql[k], chosen.sql[i], len) == 0 && chosen.sql[k][len] == ',';
    if (!covered) out->sql[out->count++] = chosen.sql[i];
  }
  reset(&asking);
}

/* --- greedy --- */

static void add_set(struct asking *asking, const struct hypothetical *index, struct hypotheticals *all) {
  if (leads(index)) return;
  struct hypothetical *slot = LIST_PUSH(asking->arena, all);
  *slot = *index;
}

/* The table's columns that conditions name, in the order in which the table has them. */
static void add_sets(struct asking *asking, const struct snap_table *table, struct hypotheticals *all) {
  const char *columns[32];
  size_t count = 0;
  for (size_t c = 0; c < table->column_count && count < 32; c++) {
    bool found = false;
    for (size_t q = 0; q < statement_count && !found; q++) found = conditioned(asking, q, table, table->columns[c].name);
    if (found) columns[count++] = table->columns[c].name;
  }
  for (size_t a = 0; a < count; a++) {
    add_set(asking, &(struct hypothetical){.table = table, .columns = {columns[a]}, .width = 1}, all);
    for (size_t b = a + 1; b < count; b++) {
      add_set(asking, &(struct hypothetical){.table = table, .columns = {columns[a], columns[b]}, .width = 2}, all);
      for (size_t c = b + 1; c < count; c++)
        add_set(asking, &(struct hypothetical){.table = table, .columns = {columns[a], columns[b], columns[c]}, .width = 3}, all);
    }
  }
}

/* Of all queries: those that don't read the table cost what they cost. */
static double time_with(struct asking *asking, const struct snap_table *table, const double costs[64]) {
  double sum = 0, cost;
  for (size_t q = 0; q < statement_count; q++) {
    if (!wanted(asking, q)) continue;
    cost = costs[q];
    if (reads(asking, q, table)) plan_text(asking, q, &cost);
    sum += cost * (asking->weighted ? statements[q].weight : 1);
  }
  return sum;
}

static void greedy(PGconn *conn, const struct snapshot *snapshot, unsigned kinds, bool weighted, struct arena *arena,
                   struct peer_set *out) {
  struct asking asking = {.conn = conn, .snapshot = snapshot, .arena = arena, .kinds = kinds, .weighted = weighted};
  struct hypotheticals all = {0};
  begin(&asking);
  for (size_t t = 0; t < snapshot->table_count; t++) add_sets(&asking, &snapshot->tables[t], &all);
  double space = strtod(text_of(&asking,
                                "SELECT sum(pg_table_size(c.oid)) FROM pg_class c WHERE relkind = 'r' AND relnamespace = "
                                "'public'::regnamespace",
                                NULL),
                        NULL);
  for (;;) {
    double costs[64], before = 0, most = 0;
    struct hypothetical *best = NULL;
    for (size_t q = 0; q < statement_count; q++) {
      if (!wanted(&asking, q)) continue;
      plan_text(&asking, q, &costs[q]);
      before += costs[q] * (weighted ? statements[q].weight : 1);
    }
    for (size_t i = 0; i < all.count; i++) {
      struct hypothetical *index = &all.items[i];
      if (index->handle) continue;
      put(&asking, index);
      double after = time_with(&asking, index->table, costs), saved = (before - after) / before;
      bool falls = log(after) + 2 * log(space + index->bytes) < log(before) + 2 * log(space);
      take_away(&asking, index);
      if (saved >= 0.1 && falls && saved > most) most = saved, best = index;
    }
    if (!best) break;
    put(&asking, best);
    space += best->bytes;
    keep(&asking, best, out);
  }
  reset(&asking);
}

const struct peer peers[3] = {{"single columns", single}, {"pairs", pairs}, {"greedy sets", greedy}};
