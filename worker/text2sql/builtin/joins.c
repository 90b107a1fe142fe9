/* joins.c - edges and cheapest paths. */
#include "worker/text2sql/builtin/joins.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define EDGES_MAX 4096
/* Costs of a step. What the design means (a declared key to the one) is cheapest. */
#define COST_STEP 1.0
#define COST_INFERRED 0.05
#define COST_DOWN 0.02
#define COST_ROLE 0.3     /* a role that nobody mentioned */
#define COST_SAID (-0.45) /* one that somebody did */
#define COST_AUDIT 2.0
#define COST_FAR 0.5
#define COST_VALLEY 1.0 /* up to a shared parent and down again: rows that have only the parent in common */
#define COST_VIEW 3.0   /* by way of a view that nobody named */
#define COST_MENTIONED (-0.3)
#define COST_DRAWN 0.1
#define COST_FROM_DRAWN 0.5
#define SAME_COST 0.01

struct edge_reader {
  struct join_graph *graph;
  const struct snapshot *snapshot;
  const struct names *names;
  struct arena *arena;
  struct words *words;
};

static bool is(const struct word *word, const char *const *list) {
  for (size_t i = 0; list[i]; i++)
    if (strcmp(list[i], word->text) == 0) return true;
  return false;
}

static const struct snap_column *column_of(const struct snap_table *table, const char *name) {
  for (size_t i = 0; i < table->column_count; i++)
    if (strcmp(table->columns[i].name, name) == 0) return &table->columns[i];
  return NULL;
}

static bool key_word(const struct word *word) {
  return is(word, (const char *const[]){"id", "key", "code", "sk", "fk", "ref", "number", "no", "refer", "referenc", "uuid", NULL});
}

/* "promo" of promotions, too: cut short. */
static bool names_it(const struct word *said, const struct word *name) {
  size_t len = strlen(said->text);
  return words_alike(said, name) == 1 || (len >= 4 && strncmp(said->text, name->text, len) == 0);
}

/* Words of the edge's columns that name neither a key nor the table it leads to. */
static void read_roles(struct edge_reader *r, struct join_edge *edge) {
  static const char *const touch[] = {"creat", "updat", "modifi", "delet", "edit", "chang", "insert", "create", "add", NULL};
  const struct word *words[NAME_WORDS];
  size_t count = names_split(edge->from_columns[edge->column_count - 1], r->arena, r->words, words);
  for (size_t i = 0; i < count; i++) {
    bool target = false;
    for (size_t t = 0; t < r->names->table_counts[edge->to]; t++) target |= names_it(words[i], r->names->table_words[edge->to][t]);
    for (size_t t = 0; edge->from != edge->to && i == 0 && t < r->names->table_counts[edge->from]; t++)
      target |= count > 2 && words[i] == r->names->table_words[edge->from][t];
    const struct word *own =
        r->names->table_counts[edge->from] ? r->names->table_words[edge->from][r->names->table_counts[edge->from] - 1] : NULL;
    if (edge->from != edge->to && i == 0 && count == 2 && words[i] == own && !target) {
      edge->far = true;
      continue;
    }
    if (is(words[i], touch) && (i + 1 == count || strcmp(words[i + 1]->text, "by") == 0)) edge->audit = true;
    bool done_by = i + 1 < count && strcmp(words[i + 1]->text, "by") == 0; /* "referred_by" is no reference */
    if (!target && (!key_word(words[i]) || done_by) && edge->role_count < ROLE_WORDS) edge->roles[edge->role_count++] = words[i];
  }
}

static bool known(const struct join_graph *graph, size_t from, const char *column) {
  for (size_t i = 0; i < graph->edge_count; i++)
    if (graph->edges[i].from == from)
      for (size_t c = 0; c < graph->edges[i].column_count; c++)
        if (strcmp(graph->edges[i].from_columns[c], column) == 0) return true;
  return false;
}

static bool room_for_edge(struct edge_reader *r) {
  struct join_graph *graph = r->graph;
  if (graph->edge_count < graph->room) return true;
  struct join_edge *edges = arena_calloc(r->arena, 2 * graph->room + 64, sizeof *edges);
  if (!edges) return false;
  if (graph->edge_count) memcpy(edges, graph->edges, graph->edge_count * sizeof *edges);
  graph->edges = edges;
  graph->room = 2 * graph->room + 64;
  return true;
}

static void push(struct edge_reader *r, struct join_edge edge) {
  if (r->graph->edge_count == EDGES_MAX || !edge.column_count || !room_for_edge(r)) return;
  const struct snap_table *from = &r->snapshot->tables[edge.from];
  if (!table_readable(from) || !table_readable(&r->snapshot->tables[edge.to])) return;
  edge.single = table_unique(from, edge.from_columns, edge.column_count);
  for (size_t c = 0; c < edge.column_count; c++) {
    const struct snap_column *column = column_of(from, edge.from_columns[c]);
    edge.optional |= column && !column->not_null;
  }
  read_roles(r, &edge);
  r->graph->edges[r->graph->edge_count++] = edge;
}

static void read_declared(struct edge_reader *r, size_t at) {
  const struct snap_table *table = &r->snapshot->tables[at];
  for (size_t i = 0; i < table->fk_count; i++) {
    const struct snap_fk *fk = &table->fks[i];
    if (!fk->ref) continue;
    push(r, (struct join_edge){.from = at,
                               .to = (size_t)(fk->ref - r->snapshot->tables),
                               .from_columns = fk->columns,
                               .to_columns = fk->ref_columns,
                               .column_count = fk->column_count,
                               .declared = true});
  }
}

/* "pid" of publication: an initial, where no table of that initial has a longer way to say it. */
static bool initial_key(const struct snap_table *table, const struct names *names, size_t at, const char *column) {
  const char *name = names->table_counts[at] ? names->table_words[at][0]->text : "";
  return strlen(column) == 3 && strcasecmp(column + 1, "id") == 0 && tolower((unsigned char)*column) == *name && !table_primary(table);
}

/* The one column a table is known by; views and tables without a key: a column named id, or <table>_id. */
static const struct snap_column *single_key(const struct snap_table *table, const struct names *names, size_t at, struct arena *arena,
                                            struct words *words) {
  if (table_primary(table)) return table_key_column(table);
  for (size_t c = 0; c < table->column_count && c < 2; c++) {
    const struct word *parts[NAME_WORDS];
    size_t count = names_split(table->columns[c].name, arena, words, parts), own = names->table_counts[at];
    if (!count || !key_word(parts[count - 1]) || count - 1 > own) continue;
    bool same = count == 1 ? strcmp(parts[0]->text, "id") == 0 : true;
    for (size_t i = 0; i + 1 < count; i++) same &= parts[i] == names->table_words[at][own - count + 1 + i];
    if (same) return &table->columns[c];
  }
  for (size_t c = 0; c < table->column_count; c++)
    if (initial_key(table, names, at, table->columns[c].name)) return &table->columns[c];
  return NULL;
}

/* The one table whose key is called so, too: "aid". 0: none, or several; else its index and one. */
static size_t same_short_key(const struct edge_reader *r, size_t at, const struct snap_column *column,
                             const struct snap_column *const *keys) {
  size_t found = 0, len = strlen(column->name);
  if (len != 3 || strcasecmp(column->name + 1, "id") != 0) return 0;
  for (size_t to = 0; to < r->snapshot->table_count; to++) {
    if (to == at || !keys[to] || strcasecmp(keys[to]->name, column->name) != 0 || strcmp(keys[to]->type, column->type) != 0) continue;
    if (found) return 0;
    found = to + 1;
  }
  return found;
}

static bool same_type(const struct snap_column *a, const struct snap_column *b) {
  if (column_integer(a) && column_integer(b)) return true;
  if (column_textual(a) && column_textual(b)) return true;
  return strcmp(a->type, b->type) == 0;
}

/* How well a column's words say "key of that table": its name then a key word, roles before it cost. 0: they don't. */
static double leads_to(struct edge_reader *r, const struct word *const *words, size_t count, size_t to, const struct snap_column *key,
                       const char *column) {
  if (count >= 2 && strcmp(column, key->name) == 0) return 1;
  if (count < 2) return 0;
  size_t own = r->names->table_counts[to], said = count - 1;
  if (!own) return 0;
  double alike = words_alike(words[said - 1], r->names->table_words[to][own - 1]);
  if (alike == 0) return 0;
  size_t same = 0;
  while (same < own && same < said && words_alike(words[said - 1 - same], r->names->table_words[to][own - 1 - same]) > 0) same++;
  return alike * (0.5 + 0.5 * (double)same / (double)own) - 0.05 * (double)(said - same);
}

static bool superior(const struct word *word) {
  return is(word, (const char *const[]){"manag", "manager", "supervisor", "boss", "report", "lead", "mentor", "parent", NULL});
}

bool edge_superior(const struct join_edge *edge) {
  for (size_t w = 0; edge->from == edge->to && w < edge->role_count; w++)
    if (superior(edge->roles[w])) return true;
  return false;
}

static bool reflexive(const struct word *const *words, size_t count) {
  static const char *const roles[] = {"refer", "predecessor", "repli", "reply", "prerequisit", NULL};
  return count && (superior(words[0]) || is(words[0], roles));
}

/* "parent_category", but not "lead_time" or "reply_count". */
static bool names_row_of(const struct edge_reader *r, const struct word *word, size_t table) {
  size_t own = r->names->table_counts[table];
  return own && words_alike(word, r->names->table_words[table][own - 1]) > 0;
}

static void read_inferred(struct edge_reader *r, size_t at, const struct snap_column *const *keys) {
  const struct snap_table *table = &r->snapshot->tables[at];
  for (size_t c = 0; c < table->column_count; c++) {
    const struct snap_column *column = &table->columns[c];
    if (known(r->graph, at, column->name) || column == keys[at]) continue;
    const struct word *words[NAME_WORDS];
    size_t count = names_split(column->name, r->arena, r->words, words), best = 0;
    double most = 0.45;
    bool keyed = count && key_word(words[count - 1]);
    for (size_t to = 0; !keyed && count > 1 && to < r->snapshot->table_count; to++)
      keyed = keys[to] && strcmp(keys[to]->name, column->name) == 0;
    bool itself = count > 1 && reflexive(words, count) && (keyed || names_row_of(r, words[count - 1], at));
    for (size_t to = 0; !keyed && !best && column_integer(column) && to < r->snapshot->table_count; to++) /* "airline", a number */
      if (to != at && keys[to] && column_integer(keys[to]) && names_are_table(r->names, words, count, to)) best = to + 1;
    if (!keyed && !best) best = same_short_key(r, at, column, keys);
    if (!keyed && !itself && !best) continue;
    for (size_t to = 0; (keyed || itself) && to < r->snapshot->table_count; to++) {
      double score = to != at && keys[to] && same_type(column, keys[to]) ? leads_to(r, words, count, to, keys[to], column->name) : 0;
      if (score > most) most = score, best = to + 1;
    }
    if (!best && itself && keys[at] && same_type(column, keys[at])) best = at + 1;
    if (!best) continue;
    const char **from = ARENA_NEW(r->arena, const char *), **to = ARENA_NEW(r->arena, const char *);
    if (!from || !to) return;
    *from = column->name;
    *to = keys[best - 1]->name;
    push(r, (struct join_edge){.from = at, .to = best - 1, .from_columns = from, .to_columns = to, .column_count = 1});
  }
}

bool joins_read(struct join_graph *graph, const struct snapshot *snapshot, const struct names *names, struct arena *arena,
                struct words *words) {
  struct edge_reader r = {graph, snapshot, names, arena, words};
  *graph = (struct join_graph){.snapshot = snapshot};
  const struct snap_column **keys = arena_calloc(arena, snapshot->table_count + 1, sizeof *keys);
  if (!keys) return false;
  for (size_t i = 0; i < snapshot->table_count; i++) {
    bool relation = snapshot->tables[i].kind == SNAP_TABLE || snapshot->tables[i].kind == SNAP_PARTITIONED;
    if (relation && table_readable(&snapshot->tables[i])) keys[i] = single_key(&snapshot->tables[i], names, i, arena, words);
    read_declared(&r, i);
  }
  for (size_t i = 0; i < snapshot->table_count; i++)
    if (table_readable(&snapshot->tables[i])) read_inferred(&r, i, keys);
  return true;
}

/* --- paths --- */

struct best {
  double cost;
  size_t length;
  struct join_step step; /* that led here */
  size_t before;
  const struct join_edge *rival;
};

static double step_cost(const struct join_graph *graph, const struct join_edge *edge, bool up, const struct best *here, bool first) {
  double cost = COST_STEP + (edge->declared ? 0 : COST_INFERRED) + (up ? 0 : COST_DOWN) + (edge->audit && !edge->said ? COST_AUDIT : 0) +
                (edge->far ? COST_FAR : 0);
  if (edge->role_count) cost += edge->said ? COST_SAID : COST_ROLE;
  bool valley = !first && here->step.up && !up && !edge->single;
  if (valley) cost += COST_VALLEY;
  size_t next = up ? edge->to : edge->from;
  const struct snap_table *there = &graph->snapshot->tables[next];
  bool view = there->kind == SNAP_VIEW || there->kind == SNAP_MATVIEW;
  if (view && !(graph->mentioned && graph->mentioned[next])) cost += COST_VIEW;
  if (graph->mentioned && graph->mentioned[next]) cost += COST_MENTIONED;
  size_t here_at = up ? edge->from : edge->to;
  if (graph->drawn && graph->drawn[next]) cost = COST_DRAWN + (valley ? COST_VALLEY : 0);
  if (graph->drawn && graph->drawn[here_at]) cost *= COST_FROM_DRAWN;
  return cost;
}

static void relax(const struct join_graph *graph, struct best *best, const struct join_edge *edge, bool up, size_t start, bool *moved) {
  size_t here = up ? edge->from : edge->to, next = up ? edge->to : edge->from;
  if (best[here].cost < 0 || best[here].length == JOIN_STEPS || next == start || here == next) return;
  double cost = best[here].cost + step_cost(graph, edge, up, &best[here], here == start);
  struct best *there = &best[next];
  double gap = there->cost - cost;
  bool same_edge = there->step.edge == edge && there->step.up == up;
  if (there->cost >= 0 && !same_edge && gap < SAME_COST && gap > -SAME_COST) {
    if (there->rival != edge) there->rival = edge;
    return;
  }
  if (there->cost >= 0 && gap < SAME_COST) return;
  *there = (struct best){cost, best[here].length + 1, {edge, up}, here, best[here].rival};
  *moved = true;
}

static bool direct(const struct join_graph *graph, size_t from, size_t to, const struct join_edge *via, struct join_path *ret_path) {
  for (size_t i = 0; i < graph->edge_count; i++) {
    const struct join_edge *edge = &graph->edges[i];
    bool up = edge->from == from && edge->to == to;
    if ((via && edge != via) || !up) continue;
    *ret_path = (struct join_path){.steps = {{edge, true}}, .count = 1, .cost = COST_STEP};
    return true;
  }
  return false;
}

bool joins_path(const struct join_graph *graph, size_t from, size_t to, const struct join_edge *via, struct arena *arena,
                struct join_path *ret_path) {
  if (from == to) return direct(graph, from, to, via, ret_path);
  if (via && via->to == to && via->from == from) return direct(graph, from, to, via, ret_path);
  size_t tables = graph->snapshot->table_count;
  struct best *best = arena_calloc(arena, tables, sizeof *best);
  if (!best) return false;
  for (size_t i = 0; i < tables; i++) best[i].cost = -1;
  best[from].cost = 0;
  bool moved = true;
  for (size_t round = 0; moved && round < 2 * JOIN_STEPS; round++) {
    moved = false;
    for (size_t i = 0; i < graph->edge_count; i++) {
      if (via && graph->edges[i].to == via->to && &graph->edges[i] != via && graph->edges[i].from == via->from) continue;
      relax(graph, best, &graph->edges[i], true, from, &moved);
      relax(graph, best, &graph->edges[i], false, from, &moved);
    }
  }
  if (best[to].cost < 0) return false;
  struct join_path path = {.cost = best[to].cost, .count = best[to].length, .rival = best[to].rival};
  size_t at = to;
  for (size_t i = path.count; i > 0; i--) {
    path.steps[i - 1] = best[at].step;
    at = best[at].before;
    if (at == from && i != 1) return false; /* a shorter way was found to a table on it meanwhile */
  }
  *ret_path = path;
  return true;
}

bool path_single(const struct join_path *path) {
  for (size_t i = 0; i < path->count; i++)
    if (!path->steps[i].up) return false;
  return true;
}
