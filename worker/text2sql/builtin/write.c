/* write.c - the statement: what a row is, the list, its groups and order. */
#include "worker/text2sql/builtin/write.h"

#include <stdint.h>
#include <string.h>

#include "worker/sql/text.h"

#define ALL_COLUMNS 16 /* of a table whose rows are listed; wider ones show what matters */

struct list { /* a SELECT list that names each thing once */
  struct study *study;
  const struct scope *scope; /* of its columns */
  const char *text, *group_by;
  const char *expressions[64];
  const char *names[64];
  size_t count, groups;
};

static const char *cat(struct study *study, const char *text, const char *joint, const char *more) {
  return arena_printf(study->arena, "%s%s%s", text, *text ? joint : "", more);
}

static bool shown(const struct list *list, const char *expression) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->expressions[i], expression) == 0) return true;
  return false;
}

static bool named(const struct list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->names[i], name) == 0) return true;
  return false;
}

/* What one row of a table is: "categories" hold a category each. */
static const char *one_of(struct study *study, size_t table) {
  const char *name = study_table(study, table)->name;
  int len = (int)strlen(name);
  if (len > 3 && strcmp(name + len - 3, "ies") == 0) return arena_printf(study->arena, "%.*sy", len - 3, name);
  if (len > 4 && (strcmp(name + len - 3, "ses") == 0 || strcmp(name + len - 3, "xes") == 0) && name[len - 4] == 's')
    len -= 2;
  else if (len > 1 && name[len - 1] == 's' && !strchr("sui", name[len - 2]))
    len--;
  return arena_printf(study->arena, "%.*s", len, name);
}

/* Of "p.name", where there is a name already: "product_name". */
static const char *longer_name(struct list *list, const char *expression, const char *own) {
  struct study *study = list->study;
  size_t stem = strcspn(expression, ".");
  size_t quoted = *own == '"', len = strlen(own) - 2 * quoted;
  const char *name = arena_printf(study->arena, "%.*s", (int)len, own + quoted);
  for (size_t i = 0; i < list->scope->count; i++) {
    const struct node *node = &list->scope->nodes[i];
    if (strlen(node->alias) == stem && memcmp(node->alias, expression, stem) == 0)
      name = arena_printf(study->arena, "%s_%.*s", one_of(study, node->table), (int)len, own + quoted);
  }
  return named(list, name) ? arena_printf(study->arena, "%s_%zu", name, list->count + 1) : name;
}

/* name NULL: as the column is called. */
static void show(struct list *list, const char *expression, const char *name) {
  struct study *study = list->study;
  if (!expression || list->count == 64 || shown(list, expression)) return;
  const char *own = name ? name : strchr(expression, '.') ? strchr(expression, '.') + 1 : expression;
  if (named(list, own)) name = longer_name(list, expression, own);
  list->expressions[list->count] = expression;
  list->names[list->count++] = name ? name : own;
  list->text =
      cat(study, list->text, ", ", name ? arena_printf(study->arena, "%s AS %s", expression, sql_ident(study->arena, name)) : expression);
}

/* --- measures --- */

static const char *days_between(struct scope *scope, const struct measure *measure) {
  const char *from = write_column(scope, &measure->of), *until = write_column(scope, measure->until);
  if (!from || !until) return NULL;
  bool dates = strcmp(measure->of.column->type, "date") == 0 && strcmp(measure->until->column->type, "date") == 0;
  return arena_printf(scope->study->arena, dates ? "%s - %s" : "extract(epoch FROM (%s - %s)) / 86400.0", until, from);
}

static const char *value_of(struct scope *scope, const struct measure *measure) {
  if (measure->until) return days_between(scope, measure);
  const char *column = write_column(scope, &measure->of);
  if (!column || !measure->times.column) return column;
  const char *times = write_column(scope, &measure->times);
  return times ? arena_printf(scope->study->arena, "%s * %s", column, times) : NULL;
}

/* The key of a table's rows, for count(DISTINCT …). */
static const char *row_key(struct scope *scope, size_t table) {
  struct study *study = scope->study;
  const struct snap_constraint *key = table_primary(study_table(study, table));
  size_t node = scope_node(scope, table, NULL);
  if (node == SIZE_MAX) return NULL;
  if (!key) {
    const struct node *joined = &scope->nodes[node]; /* what it is joined by */
    if (joined->edge && joined->up)
      return arena_printf(study->arena, "%s.%s", joined->alias, sql_ident(study->arena, joined->edge->to_columns[0]));
    return arena_printf(study->arena, "%s.%s", joined->alias, sql_ident(study->arena, study_table(study, table)->columns[0].name));
  }
  const char *list = "";
  for (size_t i = 0; i < key->column_count; i++)
    list = cat(study, list, ", ", arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, key->columns[i])));
  return key->column_count > 1 ? arena_printf(study->arena, "(%s)", list) : list;
}

const char *write_measure(struct scope *scope, const struct measure *measure) {
  static const char *const functions[] = {"", "count", "sum", "avg", "min", "max", "percentile_cont"};
  struct study *study = scope->study;
  if (measure->term) return write_term(scope, measure->term);
  if (measure->kind == MEASURE_COUNT && !measure->of.column) {
    if (scope->nodes[0].table == measure->of.table) return "count(*)";
    const char *key = row_key(scope, measure->of.table);
    return key ? arena_printf(study->arena, "count(DISTINCT %s)", key) : NULL;
  }
  const char *value = value_of(scope, measure);
  if (!value || measure->kind == MEASURE_NONE) return value;
  if (measure->kind == MEASURE_MEDIAN) return arena_printf(study->arena, "percentile_cont(0.5) WITHIN GROUP (ORDER BY %s)", value);
  bool distinct = measure->kind == MEASURE_COUNT;
  return arena_printf(study->arena, "%s(%s%s)", functions[measure->kind], distinct ? "DISTINCT " : "", value);
}

const char *write_measure_name(struct study *study, const struct measure *measure) {
  static const char *const prefixes[] = {"", "number_of", "total", "average", "lowest", "highest", "median"};
  if (measure->term) return measure->term->name;
  if (measure->until) return arena_printf(study->arena, "%s%sdays", prefixes[measure->kind], measure->kind ? "_" : "");
  const char *what = measure->of.column ? measure->of.column->name : study_table(study, measure->of.table)->name;
  if (measure->times.column) what = "value";
  size_t len = strlen(prefixes[measure->kind]);
  if (strncmp(what, prefixes[measure->kind], len) == 0 && len)
    return arena_printf(study->arena, "%s_%s", measure->kind == MEASURE_SUM ? "sum" : prefixes[measure->kind], what);
  return arena_printf(study->arena, "%s_%s", prefixes[measure->kind], what);
}

/* --- the root: what one row is --- */

static bool up_only(struct study *study, size_t from, size_t to, const struct join_edge *role) {
  struct join_path path;
  if (from == to && !role) return true;
  return joins_path(&study->graph, from, to, role, study->arena, &path) && path_many(&path) == path.count;
}

/* The table of the path's lowest point, from which both ends are single. */
static size_t apex(struct study *study, size_t from, size_t to, const struct join_edge *role, struct join_path *ret_path) {
  if (!joins_path(&study->graph, from, to, role, study->arena, ret_path)) return NO_TABLE;
  size_t low = from;
  for (size_t i = 0; i < ret_path->count; i++)
    if (!ret_path->steps[i].up) low = ret_path->steps[i].edge->from;
  return low;
}

/* Summing what is joined from below counts a row once for each time it is joined; in a bridge whose key is both ends it is once. */
static bool bridge(struct study *study, size_t low, const struct join_path *path) {
  if (path->count != 2 || path->steps[0].up || !path->steps[1].up) return false;
  const char *columns[8];
  size_t n = 0;
  for (size_t s = 0; s < 2; s++)
    for (size_t c = 0; c < path->steps[s].edge->column_count && n < 8; c++) columns[n++] = path->steps[s].edge->from_columns[c];
  return table_unique(study_table(study, low), columns, n);
}

static size_t measure_table(struct study *study, const struct measure *measure) {
  return measure->term ? term_root(study, measure->term) : measure->of.table;
}

/* NO_TABLE with doubt: no single table will do. */
static size_t aggregate_root(struct study *study, bool *ret_apart) {
  struct reading *r = &study->reading;
  size_t root = NO_TABLE;
  *ret_apart = false;
  for (size_t i = 0; i < r->item_count; i++) {
    size_t table = measure_table(study, &r->items[i]);
    if (table == NO_TABLE) {
      study_doubt(study, NULL, "The definition of \u201c%s\u201d names nothing of this schema.",
                  r->items[i].term ? r->items[i].term->name : "it");
      return NO_TABLE;
    }
    *ret_apart |= root != NO_TABLE && table != root;
    root = table;
  }
  if (root == NO_TABLE || *ret_apart) return root;
  size_t low = root;
  for (size_t g = 0; g < r->group_count; g++) {
    const struct group *group = &r->groups[g];
    if (up_only(study, low, group->of.table, group->of.role)) continue;
    struct join_path path;
    size_t point = apex(study, root, group->of.table, group->of.role, &path);
    if (point == NO_TABLE) {
      study_doubt(study, NULL, "%s and %s are not connected by a foreign key. How do they belong together?",
                  study_table(study, root)->qualified, study_table(study, group->of.table)->qualified);
      return NO_TABLE;
    }
    for (size_t i = 0; i < r->item_count; i++) {
      enum measure_kind kind = r->items[i].kind;
      bool safe = !r->items[i].term && (kind == MEASURE_COUNT || kind == MEASURE_MIN || kind == MEASURE_MAX || bridge(study, point, &path));
      if (safe) continue;
      study_doubt(study, NULL,
                  "A row of %s belongs to several rows of %s: adding it up would count it more than once. What should be added?",
                  study_table(study, root)->qualified, study_table(study, group->of.table)->qualified);
      return NO_TABLE;
    }
    low = point;
  }
  for (size_t g = 0; g < r->group_count; g++)
    if (!up_only(study, low, r->groups[g].of.table, r->groups[g].of.role))
      study_doubt(study, NULL, "These groups don't belong to the same rows. Can you ask for them one by one?");
  return study->doubt ? NO_TABLE : low;
}

/* --- lists --- */

static void show_key(struct scope *scope, struct list *list, size_t node, bool group) {
  struct study *study = scope->study;
  size_t table = scope->nodes[node].table;
  const struct snap_constraint *key = table_primary(study_table(study, table));
  for (size_t i = 0; key && i < key->column_count; i++) {
    const char *column = arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, key->columns[i]));
    show(list, column, NULL);
    if (group) list->group_by = cat(study, list->group_by, ", ", column);
  }
}

static void show_entity(struct scope *scope, struct list *list, size_t table, const struct join_edge *role, bool group) {
  struct study *study = scope->study;
  size_t node = scope_node(scope, table, role);
  if (node == SIZE_MAX) return;
  show_key(scope, list, node, group);
  const struct snap_column *display[2];
  size_t n = study_display(study, table, display);
  for (size_t i = 0; i < n; i++) {
    const char *column = arena_printf(study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(study->arena, display[i]->name));
    if (group && !shown(list, column)) list->group_by = cat(study, list->group_by, ", ", column);
    show(list, column, NULL);
  }
}

static const char *bucket(struct study *study, enum date_unit unit, const char *column) {
  if (unit == UNIT_HOUR_OF_DAY) return arena_printf(study->arena, "extract(hour FROM %s)", column);
  if (unit == UNIT_YEAR) return arena_printf(study->arena, "extract(year FROM %s)", column);
  if (unit == UNIT_WEEKDAY) return arena_printf(study->arena, "extract(isodow FROM %s)", column);
  return arena_printf(study->arena, "date_trunc('%s', %s)", dates_unit_name(unit), column);
}

/* Whose Sunday is 0 and whose is 7 is nothing to guess at: the name stands beside the number. */
static void show_weekday(struct scope *scope, struct list *list, const struct group *group) {
  const char *name = arena_printf(scope->study->arena, "to_char(%s, 'FMDay')", write_column(scope, &group->of));
  list->group_by = cat(scope->study, list->group_by, ", ", name);
  show(list, name, "weekday_name");
}

static void show_groups(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  for (size_t g = 0; g < study->reading.group_count && !study->doubt; g++) {
    const struct group *group = &study->reading.groups[g];
    if (!group->of.column) {
      show_entity(scope, list, group->of.table, group->of.role, true);
      continue;
    }
    const char *column = write_column(scope, &group->of);
    if (!column) return;
    if (group->bucket) column = bucket(study, group->bucket, column);
    if (!shown(list, column)) list->group_by = cat(study, list->group_by, ", ", column);
    show(list, column, group->bucket == UNIT_WEEKDAY ? "weekday" : group->bucket ? dates_unit_name(group->bucket) : NULL);
    if (group->bucket == UNIT_WEEKDAY) show_weekday(scope, list, group);
    list->groups++;
  }
}

static void show_rows(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  const struct snap_table *table = study_table(study, r->subject);
  size_t plain = 0;
  for (size_t i = 0; i < r->item_count; i++) {
    plain += r->items[i].of.table == r->subject && !r->items[i].of.role;
  }
  static const char *const all[] = {"list", "show",   "find",   "get",   "display",  "give",
                                    "all",  "return", "select", "fetch", "retrieve", "what"};
  bool whole = table->column_count <= ALL_COLUMNS && study->tokens.count;
  bool asks = false;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) asks |= study->tokens.count && study_phrase(study, 0, all[i]);
  if (r->listed && !plain && !r->item_count && whole && asks) {
    for (size_t c = 0; c < table->column_count; c++)
      show(list, arena_printf(study->arena, "%s.%s", scope->nodes[0].alias, sql_ident(study->arena, table->columns[c].name)), NULL);
    return;
  }
  if (r->listed && !r->distinct) show_entity(scope, list, r->subject, NULL, false);
  for (size_t i = 0; i < r->item_count; i++) show(list, write_measure(scope, &r->items[i]), r->items[i].until ? "days" : NULL);
  if (!r->listed || plain) return;
  for (size_t i = 0; i < r->filter_count; i++)
    if (!r->filters[i].branch && r->filters[i].of.column && r->filters[i].of.table == r->subject && !r->filters[i].of.role)
      show(list, write_column(scope, &r->filters[i].of), NULL);
  if (!list->count && table->column_count)
    show(list, arena_printf(study->arena, "%s.%s", scope->nodes[0].alias, sql_ident(study->arena, table->columns[0].name)), NULL);
}

/* --- the tail --- */

static const char *order_by(struct scope *scope, struct list *list, bool grouped) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  const char *text = "";
  for (size_t i = 0; i < r->key_count; i++) {
    const char *by = write_measure(scope, &r->keys[i].by);
    if (!by) return NULL;
    if (grouped && r->keys[i].by.kind == MEASURE_NONE && !r->keys[i].by.term && !strstr(list->group_by, by)) {
      list->group_by = cat(study, list->group_by, ", ", by);
      show(list, by, NULL);
    }
    if (!grouped && !r->distinct && r->keys[i].by.of.column) show(list, by, NULL);
    text = cat(study, text, ", ", arena_printf(study->arena, "%s%s", by, r->keys[i].falling ? " DESC NULLS LAST" : ""));
  }
  for (size_t g = 0; !r->key_count && g < r->group_count; g++) {
    if (!r->groups[g].bucket) continue;
    const char *column = write_column(scope, &r->groups[g].of);
    if (column) text = cat(study, text, ", ", bucket(study, r->groups[g].bucket, column));
  }
  return *text ? arena_printf(study->arena, "\nORDER BY %s", text) : "";
}

static const char *tail(struct study *study) {
  const struct reading *r = &study->reading;
  const char *text = r->limit ? arena_printf(study->arena, "\nLIMIT %ld", r->limit) : "";
  return r->offset ? arena_printf(study->arena, "%s OFFSET %ld", text, r->offset) : text;
}

static size_t all_filters(struct study *study, const struct filter **ret) {
  for (size_t i = 0; i < study->reading.filter_count; i++) ret[i] = &study->reading.filters[i];
  return study->reading.filter_count;
}

static const char *where_clause(const struct scope *scope) {
  return *scope->where ? arena_printf(scope->study->arena, "\nWHERE %s", scope->where) : "";
}

/* Conditions on numbers of other rows; those on the groups' own go to HAVING. */
static const char *write_branches(struct scope *scope, bool grouped) {
  struct study *study = scope->study;
  const char *having = "";
  for (size_t b = 1; b <= study->reading.branch_count && !study->doubt; b++) {
    const struct branch *branch = &study->reading.branches[b - 1];
    bool entity = false;
    for (size_t g = 0; g < study->reading.group_count; g++) entity |= !study->reading.groups[g].of.column;
    bool own = grouped && branch->op && (branch->table == scope->nodes[0].table || (entity && branch->measure.kind != MEASURE_COUNT));
    if (!own) {
      scope_and(scope, write_branch(scope, b));
      continue;
    }
    const char *value = write_measure(scope, &branch->measure);
    if (value) having = cat(study, having, " AND ", arena_printf(study->arena, "%s %s %s", value, branch->op, branch->literal));
  }
  return *having ? arena_printf(study->arena, "\nHAVING %s", having) : "";
}

/* --- shapes --- */

static const char *write_list(struct study *study) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, r->subject)) return NULL;
  scope.keep_unmatched = true;
  show_rows(&scope, &list);
  const char *order = study->doubt ? NULL : order_by(&scope, &list, false);
  scope.keep_unmatched = false;
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  if (!study->doubt) write_branches(&scope, false);
  if (study->doubt || !order) return NULL;
  bool distinct = r->distinct;
  return arena_printf(study->arena, "SELECT %s%s\n%s%s%s%s", distinct ? "DISTINCT " : "", list.text, scope_from(&scope),
                      where_clause(&scope), order, tail(study));
}

static const char *names_of_list(const struct list *list) {
  const char *names = "";
  for (size_t i = 0; i < list->count; i++) {
    if (strchr(list->names[i], '"')) return "*"; /* quoted already */
    names = cat(list->study, names, ", ", sql_ident(list->study->arena, list->names[i]));
  }
  return names;
}

/* The first so many of each group. */
static const char *write_each(struct study *study) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, r->subject)) return NULL;
  show_groups(&scope, &list);
  const char *partition = list.group_by;
  show_rows(&scope, &list);
  const char *order = study->doubt ? NULL : order_by(&scope, &list, false);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  if (!study->doubt) write_branches(&scope, false);
  if (study->doubt || !order || !*partition || !*order) return NULL;
  const char *names = names_of_list(&list);
  return arena_printf(study->arena,
                      "SELECT %s\nFROM (SELECT %s, rank() OVER (PARTITION BY %s %s) AS place\n%s%s) AS ranked\nWHERE place <= %ld", names,
                      list.text, partition, order + 1, scope_from(&scope), where_clause(&scope), r->limit);
}

static const char *write_nested(struct study *study, const char *inner_list, struct scope *scope, const char *group_by,
                                const char *having) {
  return arena_printf(study->arena, "SELECT avg(n) AS average\nFROM (SELECT %s AS n %s%s\nGROUP BY %s%s) AS counted", inner_list,
                      scope_from(scope), where_clause(scope), group_by, having);
}

/* Beside each stretch of time the number of the one before, and what became of it in percent. */
static void show_change(struct scope *scope, struct list *list) {
  struct study *study = scope->study;
  struct reading *r = &study->reading;
  if (r->item_count != 1 || r->group_count != 1 || !r->groups[0].bucket) {
    study_doubt(study, NULL, "The change of which one number, from which stretch of time to the next?");
    return;
  }
  const char *value = write_measure(scope, &r->items[0]), *column = write_column(scope, &r->groups[0].of);
  if (!value || !column) return;
  const char *before = arena_printf(study->arena, "lag(%s) OVER (ORDER BY %s)", value, bucket(study, r->groups[0].bucket, column));
  show(list, before, "previous");
  show(list, arena_printf(study->arena, "100.0 * (%s - %s) / NULLIF(%s, 0)", value, before, before), "change_percent");
}

static const char *write_grouped(struct study *study, size_t root) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  show_groups(&scope, &list);
  for (size_t i = 0; i < r->item_count && !study->doubt; i++)
    show(&list, write_measure(&scope, &r->items[i]), write_measure_name(study, &r->items[i]));
  if (r->change && !study->doubt) show_change(&scope, &list);
  const char *order = study->doubt ? NULL : order_by(&scope, &list, *list.group_by);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  const char *having = study->doubt ? NULL : write_branches(&scope, *list.group_by);
  if (study->doubt || !order || !having) return NULL;
  if (r->nested_average) {
    if (!*list.group_by || r->item_count != 1) {
      study_doubt(study, NULL, "The average over what: per customer, per day?");
      return NULL;
    }
    return write_nested(study, write_measure(&scope, &r->items[0]), &scope, list.group_by, having);
  }
  const char *group = *list.group_by ? arena_printf(study->arena, "\nGROUP BY %s", list.group_by) : "";
  return arena_printf(study->arena, "SELECT %s\n%s%s%s%s%s%s", list.text, scope_from(&scope), where_clause(&scope), group, having,
                      *list.group_by ? order : "", *list.group_by ? tail(study) : "");
}

/* What is ranked by a count or sum, the first so many within each of the groups that "each" stood before. */
static const char *write_each_grouped(struct study *study, size_t root) {
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  struct reading *r = &study->reading;
  const struct filter *filters[READING_ROWS];
  struct group groups[READING_ROWS];
  size_t within = 0, count = 0;
  for (int each = 1; each >= 0; each--) /* those first */
    for (size_t g = 0; g < r->group_count; g++)
      if (r->groups[g].each == (each == 1)) groups[count++] = r->groups[g], within += (size_t)each;
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  memcpy(r->groups, groups, count * sizeof *groups);
  r->group_count = within;
  show_groups(&scope, &list);
  const char *partition = list.group_by;
  memmove(r->groups, groups + within, (count - within) * sizeof *groups);
  r->group_count = count - within;
  if (!study->doubt) show_groups(&scope, &list);
  memcpy(r->groups, groups, count * sizeof *groups);
  r->group_count = count;
  for (size_t i = 0; i < r->item_count && !study->doubt; i++)
    show(&list, write_measure(&scope, &r->items[i]), write_measure_name(study, &r->items[i]));
  const char *order = study->doubt ? NULL : order_by(&scope, &list, true);
  if (!study->doubt) write_conditions(&scope, 0, filters, all_filters(study, filters), true);
  const char *having = study->doubt ? NULL : write_branches(&scope, true);
  if (study->doubt || !order || !*order || !having || !*partition || within == count) return NULL;
  return arena_printf(
      study->arena,
      "SELECT %s\nFROM (SELECT %s, rank() OVER (PARTITION BY %s %s) AS place\n%s%s\nGROUP BY %s%s) AS ranked\nWHERE place <= %ld",
      names_of_list(&list), list.text, partition, order + 1, scope_from(&scope), where_clause(&scope), list.group_by, having, r->limit);
}

/* One measure beside each row, from tables that have only the row in common: a subselect each. */
static const char *write_apart(struct study *study) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *filters[READING_ROWS];
  size_t count = all_filters(study, filters);
  if (r->group_count > 1 || (r->group_count == 1 && r->groups[0].of.column)) {
    study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
    return NULL;
  }
  bool alone = r->group_count == 0;
  if (alone && count) {
    study_doubt(study, NULL, "To which of the numbers do the conditions belong?");
    return NULL;
  }
  if (!alone && !scope_open(&scope, study, NULL, r->groups[0].of.table)) return NULL;
  if (!alone) show_entity(&scope, &list, r->groups[0].of.table, NULL, false);
  for (size_t i = 0; i < r->item_count && !study->doubt; i++) {
    struct scope inner;
    struct join_path path;
    size_t table = measure_table(study, &r->items[i]), top = alone ? table : scope.nodes[0].table;
    if (!alone && table == top) {
      study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
      return NULL;
    }
    if (!scope_open(&inner, study, alone ? NULL : &scope, table)) return NULL;
    if (!alone) {
      if (!scope_route(&inner, top, NULL, &path)) return NULL;
      if (path_many(&path) < path.count || !path.count || !path.steps[path.count - 1].up) {
        study_doubt(study, NULL, "These numbers are counted in different tables. Can you ask for them one by one?");
        return NULL;
      }
      size_t parent = scope_join(&inner, &path, path.count - 1);
      if (parent == SIZE_MAX) return NULL;
      scope_and(&inner, scope_link(study, path.steps[path.count - 1].edge, true, inner.nodes[parent].alias, scope.nodes[0].alias));
    }
    const char *value = write_measure(&inner, &r->items[i]);
    if (value)
      show(&list, arena_printf(study->arena, "(SELECT %s %s%s)", value, scope_from(&inner), where_clause(&inner)),
           write_measure_name(study, &r->items[i]));
  }
  if (study->doubt) return NULL;
  if (alone) return arena_printf(study->arena, "SELECT %s", list.text);
  write_conditions(&scope, 0, filters, count, true);
  if (!study->doubt) write_branches(&scope, false);
  const char *order = "";
  for (size_t i = 0; i < r->key_count; i++)
    for (size_t k = 0; k < r->item_count; k++)
      if (r->items[k].kind == r->keys[i].by.kind && r->items[k].of.table == r->keys[i].by.of.table &&
          r->items[k].of.column == r->keys[i].by.of.column)
        order = arena_printf(study->arena, "\nORDER BY %s%s", sql_ident(study->arena, write_measure_name(study, &r->items[k])),
                             r->keys[i].falling ? " DESC NULLS LAST" : "");
  if (study->doubt) return NULL;
  return arena_printf(study->arena, "SELECT %s\n%s%s%s%s", list.text, scope_from(&scope), where_clause(&scope), order, tail(study));
}

/* The conditions in one text, which take rows of the scope alone; "" when there are none. */
static const char *conditions_of(struct scope *scope, const struct filter *const *filters, size_t count) {
  const char *outside = scope->where;
  scope->where = "";
  write_conditions(scope, 0, filters, count, false);
  const char *inside = scope->where;
  scope->where = outside;
  return inside;
}

static const char *ratio_tail(struct scope *scope, struct list *list) {
  const char *order = order_by(scope, list, *list->group_by);
  struct arena *arena = scope->study->arena;
  const char *group = *list->group_by ? arena_printf(arena, "\nGROUP BY %s", list->group_by) : "";
  return order ? arena_printf(arena, "SELECT %s\n%s%s%s%s%s", list->text, scope_from(scope), where_clause(scope), group,
                              *list->group_by ? order : "", *list->group_by ? tail(scope->study) : "")
               : NULL;
}

/* "ratio of business to economy tickets": rows of one kind beside rows of another. */
static const char *write_ratio_to(struct study *study) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *sides[2][READING_ROWS], *whole[READING_ROWS];
  size_t counts[2] = {0}, whole_count = 0, noun = TOKENS_MAX;
  for (size_t i = r->ratio_to; i < study->tokens.count && noun == TOKENS_MAX; i++)
    if (mention_best(study->at[i], LINK_TABLE) && !study->at[i]->verb) noun = i;
  for (size_t i = 0; i < r->filter_count; i++) {
    const struct filter *filter = &r->filters[i];
    bool left = filter->at < r->ratio_to, right = !left && (filter->at < noun ? !counts[1] || noun < TOKENS_MAX : false);
    if (filter->either || filter->branch || (left && filter->at < r->ratio_from))
      study_doubt(study, NULL, "Which rows are divided by which?");
    else if ((left || right) && filter->kind != FILTER_DATE)
      sides[!left][counts[!left]++] = filter;
    else
      whole[whole_count++] = filter;
  }
  if (!counts[0] || r->branch_count || r->related_count || r->item_count) {
    study_doubt(study, NULL, "Which rows are divided by which?");
    return NULL;
  }
  if (study->doubt || !scope_open(&scope, study, NULL, r->subject)) return NULL;
  show_groups(&scope, &list);
  if (!study->doubt) write_conditions(&scope, 0, whole, whole_count, false);
  const char *parts[2] = {"count(*)", "count(*)"};
  for (size_t side = 0; side < 2 && !study->doubt; side++) {
    const char *text = conditions_of(&scope, sides[side], counts[side]);
    if (*text) parts[side] = arena_printf(study->arena, "count(*) FILTER (WHERE %s)", text);
  }
  if (study->doubt) return NULL;
  show(&list, arena_printf(study->arena, "%s::numeric / NULLIF(%s, 0)", parts[0], parts[1]), "ratio");
  return ratio_tail(&scope, &list);
}

/* "share of orders per status": how all of it is distributed over the groups. */
static const char *write_distribution(struct study *study, size_t root) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *whole[READING_ROWS];
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  show_groups(&scope, &list);
  const char *all = study->doubt                                       ? NULL
                    : r->item_count && r->items[0].kind == MEASURE_SUM ? write_measure(&scope, &r->items[0])
                                                                       : "count(*)";
  if (!study->doubt) write_conditions(&scope, 0, whole, all_filters(study, whole), true);
  if (study->doubt || !all || !*list.group_by) return NULL;
  show(&list, arena_printf(study->arena, "%s%s / NULLIF(sum(%s) OVER (), 0)", r->percent ? "100.0 * " : "1.0 * ", all, all),
       r->percent ? "percentage" : "share");
  return ratio_tail(&scope, &list);
}

/* Of all rows, the part that the conditions behind the verb hold for. */
static const char *write_ratio(struct study *study) {
  struct reading *r = &study->reading;
  for (size_t i = 0; i < r->item_count; i++) /* "share of billable hours" */
    if (r->items[i].kind == MEASURE_NONE && r->items[i].of.column && column_numeric(r->items[i].of.column)) r->items[i].kind = MEASURE_SUM;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *part[READING_ROWS], *whole[READING_ROWS];
  size_t part_count = 0, whole_count = 0;
  size_t root = r->item_count == 1 && r->items[0].kind == MEASURE_SUM ? r->items[0].of.table : r->subject;
  for (size_t i = 0; i < r->filter_count; i++) {
    const struct filter *filter = &r->filters[i];
    if (filter->either) study_doubt(study, NULL, "Which of the conditions make the part, and which the whole?");
    bool numerator = filter->kind != FILTER_DATE && !filter->branch &&
                     (filter->at >= r->ratio_verb || (filter->at < r->ratio_noun && filter->at >= r->ratio_from));
    if (numerator)
      part[part_count++] = filter;
    else
      whole[whole_count++] = filter;
  }
  if (!part_count && !r->branch_count && !r->related_count && r->group_count && r->item_count < 2) return write_distribution(study, root);
  if (!part_count && !r->branch_count && !r->related_count) { /* "percentage of customers from Germany" */
    size_t kept = 0;
    for (size_t i = 0; i < whole_count; i++)
      if (whole[i]->kind != FILTER_DATE)
        part[part_count++] = whole[i];
      else
        whole[kept++] = whole[i];
    whole_count = kept;
  }
  if (!part_count && !r->branch_count && !r->related_count) {
    study_doubt(study, NULL, "The share of which rows among all of %s?", study_table(study, root)->qualified);
    return NULL;
  }
  if (r->item_count > 1 || (r->item_count && r->items[0].kind != MEASURE_SUM && r->items[0].kind != MEASURE_COUNT)) {
    study_doubt(study, NULL, "A share of what? Ask for one number at a time.");
    return NULL;
  }
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  show_groups(&scope, &list);
  if (study->doubt) return NULL;
  write_conditions(&scope, 0, whole, whole_count, false);
  const char *outside = scope.where;
  scope.where = "";
  if (!study->doubt) write_conditions(&scope, 0, part, part_count, true);
  for (size_t b = 1; b <= r->branch_count && !study->doubt; b++) scope_and(&scope, write_branch(&scope, b));
  const char *inside = scope.where;
  scope.where = outside;
  if (study->doubt || !*inside) return NULL;
  const char *all = r->item_count && r->items[0].kind == MEASURE_SUM ? write_measure(&scope, &r->items[0]) : "count(*)";
  if (!all) return NULL;
  show(&list, arena_printf(study->arena, "%s%s FILTER (WHERE %s)::numeric / NULLIF(%s, 0)", r->percent ? "100.0 * " : "", all, inside, all),
       r->percent ? "percentage" : "share");
  return ratio_tail(&scope, &list);
}

const char *study_write(struct study *study) {
  struct reading *r = &study->reading;
  if (r->ratio) return r->ratio_to ? write_ratio_to(study) : write_ratio(study);
  bool aggregated = false;
  for (size_t i = 0; i < r->item_count; i++) aggregated |= r->items[i].kind != MEASURE_NONE || r->items[i].term;
  if (!aggregated && r->each && r->group_count && r->key_count) return write_each(study);
  if (!aggregated && (r->group_count || r->nested_average)) {
    bool counted = false;
    for (size_t b = 0; b < r->branch_count; b++) counted |= r->branches[b].table == r->subject;
    if (!counted) study_doubt(study, NULL, "What should be counted or added up for each group?");
  }
  for (size_t b = 0; b < r->branch_count && !aggregated; b++) /* "countries with more than 5 customers" */
    if ((r->branches[b].table == r->subject || (!r->listed && r->item_count && r->branches[b].measure.kind != MEASURE_NONE)) &&
        !r->branches[b].absent && (r->item_count || r->group_count)) {
      for (size_t i = 0; i < r->item_count && r->group_count < READING_ROWS; i++)
        r->groups[r->group_count++] = (struct group){.of = r->items[i].of};
      r->items[0] = r->branches[b].measure;
      r->item_count = 1;
      aggregated = true;
    }
  if (study->doubt) return NULL;
  if (!aggregated) return write_list(study);
  bool apart;
  size_t root = aggregate_root(study, &apart);
  if (study->doubt || root == NO_TABLE) return NULL;
  if (r->each && (apart || !r->key_count || !r->limit)) {
    study_doubt(study, NULL, "The first of each group, by what? Name one count or sum.");
    return NULL;
  }
  if (r->each) return write_each_grouped(study, root);
  return apart ? write_apart(study) : write_grouped(study, root);
}
