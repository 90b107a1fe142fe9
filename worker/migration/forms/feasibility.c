/* forms/feasibility.c - verdicts first, queries second; what neither can say is left to the sandbox and to running it. */
#include "worker/migration/forms/feasibility.h"

#include <strings.h>

#include "worker/sql/text.h"

/* Whether `affected` rows, counted when the table was analysed, can't all have been changed since. Half of them is the margin for what
 * sampling gets wrong. */
static bool still_there(const struct rel *rel, double affected) {
  int64_t changed = rel->t->activity.changed_since_analyze;
  return !rel->written && rel->t->rows > 0 && changed >= 0 && (double)changed < affected / 2;
}

enum verdict feasibility_not_null(const struct rel *rel, const struct snap_column *column) {
  bool seen = column->null_frac > 0 && still_there(rel, column->null_frac * (double)rel->t->rows);
  return form_verdict(rel, seen ? VERDICT_WILL_FAIL : VERDICT_MAY_FAIL);
}

static bool lists(const char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (names[i] && strcmp(names[i], name) == 0) return true;
  return false;
}

/* What is unique in some of the columns is unique in all of them. */
static bool unique_already(const struct rel *rel, const char *const *columns, size_t count) {
  for (size_t i = 0; i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    if (!index->unique || !index->valid || index->predicate || !index->column_count) continue;
    bool within = true;
    for (size_t c = 0; c < index->column_count; c++) within &= lists(columns, count, index->columns[c]);
    if (within) return true;
  }
  return false;
}

enum verdict feasibility_unique(const struct rel *rel, const char *const *columns, size_t count) {
  if (unique_already(rel, columns, count)) return VERDICT_PROVEN;
  double rows = (double)rel->t->rows, filled = rows, combinations = 1;
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *column = snap_table_column(rel->t, columns[i]);
    if (!column || column->null_frac < 0 || column->n_distinct == 0) return form_verdict(rel, VERDICT_MAY_FAIL);
    filled *= 1 - column->null_frac;
    combinations *= column->n_distinct < 0 ? -column->n_distinct * rows : column->n_distinct;
  }
  bool crowded = count > 0 && combinations < filled / (count == 1 ? 2 : 4);
  return form_verdict(rel, crowded && still_there(rel, filled - combinations) ? VERDICT_WILL_FAIL : VERDICT_MAY_FAIL);
}

static bool is_text(const char *type) { return strncmp(type, "character varying", 17) == 0 || strcmp(type, "text") == 0; }

/* "character varying(20)" and "character(20)": 20; others 0. */
static long length_of(const char *type) {
  bool counted = strncmp(type, "character varying(", 18) == 0 || strncmp(type, "character(", 10) == 0;
  return counted && type[strlen(type) - 1] == ')' ? strtol(strchr(type, '(') + 1, NULL, 10) : 0;
}

enum verdict feasibility_fits(const struct rel *rel, const struct snap_column *column, const char *type) {
  long length = length_of(type);
  /* No character takes more than four bytes, no header more than four: an average beyond that has a value beyond it. */
  bool wide = length > 0 && column->type && is_text(column->type) && column->avg_width > 4 * (double)length + 4;
  return form_verdict(rel, wide && still_there(rel, (double)rel->t->rows) ? VERDICT_WILL_FAIL : VERDICT_MAY_FAIL);
}

bool feasibility_key_proven(const struct rel *rel, const struct rel *ref, const char *const *columns, size_t count) {
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    bool same = fk->validated && fk->ref == ref->t && fk->column_count == count;
    for (size_t c = 0; same && c < count; c++) same = strcmp(fk->columns[c], columns[c]) == 0;
    if (same) return true;
  }
  return false;
}

/* As the parser prints it again, so that parentheses and blanks don't matter. */
static const char *plain_check(struct form *form, const char *definition) {
  PgQuery__Node *node = sql_parse_expression(form->arena, strncmp(definition, "CHECK ", 6) == 0 ? definition + 6 : definition);
  return node ? sql_expression(form->arena, node) : NULL;
}

bool feasibility_check_proven(struct form *form, const struct rel *rel, const char *expression) {
  const char *wanted = plain_check(form, expression);
  for (size_t i = 0; wanted && i < rel->t->constraint_count; i++) {
    const struct snap_constraint *check = &rel->t->constraints[i];
    const char *plain = check->type == 'c' && check->validated && check->definition ? plain_check(form, check->definition) : NULL;
    if (plain && strcmp(plain, wanted) == 0) return true;
  }
  return false;
}

/* --- queries --- */

static const char *table_of(struct form *form, const struct rel *rel) { return sql_qualified(form->arena, rel->t->schema, rel->t->name); }

const char *feasibility_nulls_sql(struct form *form, const struct rel *rel, const char *column) {
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE %s IS NULL)", table_of(form, rel),
                      sql_ident(form->arena, column));
}

const char *feasibility_duplicates_sql(struct form *form, const struct rel *rel, const char *const *keys, size_t count, const char *where,
                                       bool nulls_equal) {
  const char *filter = where ? arena_printf(form->arena, "(%s)", where) : NULL, *list = "";
  for (size_t i = 0; i < count; i++) {
    list = arena_printf(form->arena, "%s%s%s", list, i ? ", " : "", keys[i]);
    if (!nulls_equal) filter = arena_printf(form->arena, "%s%s%s IS NOT NULL", filter ? filter : "", filter ? " AND " : "", keys[i]);
  }
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s%s%s GROUP BY %s HAVING count(*) > 1)", table_of(form, rel),
                      filter ? " WHERE " : "", filter ? filter : "", list);
}

/* Converting by assignment refuses what an explicit cast cuts off, so lengths are compared; other casts fail by themselves. */
const char *feasibility_fits_sql(struct form *form, const struct rel *rel, const char *column, const char *type) {
  const char *name = sql_ident(form->arena, column), *table = table_of(form, rel);
  long length = length_of(type);
  if (length > 0)
    return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE char_length(rtrim(%s::text, ' ')) > %ld)", table, name, length);
  bool varying = strncmp(type, "bit varying(", 12) == 0;
  if (varying || strncmp(type, "bit(", 4) == 0)
    return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE length(%s) %s %ld)", table, name, varying ? ">" : "<>",
                        strtol(strchr(type, '(') + 1, NULL, 10));
  return arena_printf(form->arena, "SELECT count(%s::%s) < 0 FROM %s", name, type, table);
}

/* "(a, b) >= (1, 2)"; NULL when a datum is MINVALUE or MAXVALUE and there are several, "" when there is no limit on that side. */
static const char *limit_sql(struct form *form, const char *key, size_t count, PgQuery__Node *const *datums, const char *operator) {
  const char *list = "";
  for (size_t i = 0; i < count; i++) {
    const char *text = sql_expression(form->arena, datums[i]);
    if (!text) return NULL;
    bool unlimited = strcasecmp(text, "minvalue") == 0 || strcasecmp(text, "maxvalue") == 0;
    if (unlimited) return count == 1 ? "" : NULL;
    list = arena_printf(form->arena, "%s%s%s", list, i ? ", " : "", text);
  }
  return arena_printf(form->arena, "(%s) %s (%s)", key, operator, list);
}

static const char *within_sql(struct form *form, const char *key, const PgQuery__PartitionBoundSpec *bound) {
  if (strcmp(bound->strategy, "l") == 0) {
    const char *list = "", *null = NULL;
    for (size_t i = 0; i < bound->n_listdatums; i++) {
      const char *text = sql_expression(form->arena, bound->listdatums[i]);
      if (!text) return NULL;
      if (strcasecmp(text, "null") == 0)
        null = arena_printf(form->arena, "%s IS NULL", key);
      else
        list = arena_printf(form->arena, "%s%s%s", list, *list ? ", " : "", text);
    }
    if (!*list) return null;
    return arena_printf(form->arena, "%s%s%s IN (%s)", null ? null : "", null ? " OR " : "", key, list);
  }
  if (strcmp(bound->strategy, "r") != 0) return NULL;
  const char *low = limit_sql(form, key, bound->n_lowerdatums, bound->lowerdatums, ">="),
             *high = limit_sql(form, key, bound->n_upperdatums, bound->upperdatums, "<");
  if (!low || !high) return NULL;
  const char *both = arena_printf(form->arena, "%s%s%s", low, *low && *high ? " AND " : "", high);
  return *both ? both : arena_printf(form->arena, "(%s) IS NOT NULL", key);
}

const char *feasibility_bound_sql(struct form *form, const struct rel *rel, const struct rel *parent,
                                  const PgQuery__PartitionBoundSpec *bound, bool within) {
  const char *open = parent->t->partition_key ? strchr(parent->t->partition_key, '(') : NULL;
  if (!open || bound->is_default) return NULL;
  const char *key = arena_strndup(form->arena, open + 1, strlen(open + 1) - 1), *inside = key ? within_sql(form, key, bound) : NULL;
  if (!inside) return NULL;
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s WHERE %s(%s)%s)", table_of(form, rel), within ? "" : "(", inside,
                      within ? "" : ") IS NOT TRUE");
}

const char *feasibility_exclusion_sql(struct form *form, const struct rel *rel, const PgQuery__Constraint *constraint) {
  const char *both = "";
  if (constraint->where_clause || !constraint->n_exclusions) return NULL;
  for (size_t i = 0; i < constraint->n_exclusions; i++) {
    const PgQuery__Node *pair = constraint->exclusions[i];
    if (pair->node_case != PG_QUERY__NODE__NODE_LIST || pair->list->n_items != 2) return NULL;
    const PgQuery__Node *element = pair->list->items[0], *name = pair->list->items[1];
    if (element->node_case != PG_QUERY__NODE__NODE_INDEX_ELEM || !sql_or_null(element->index_elem->name)) return NULL;
    const char *operator= name->node_case == PG_QUERY__NODE__NODE_LIST && name->list->n_items == 1 ? sql_node_string(name->list->items[0])
                                                                                                   : sql_node_string(name);
    if (!operator) return NULL;
    const char *column = sql_ident(form->arena, element->index_elem->name);
    both = arena_printf(form->arena, "%s AND a.%s %s b.%s", both, column, operator, column);
  }
  const char *table = table_of(form, rel);
  return arena_printf(form->arena, "SELECT EXISTS (SELECT 1 FROM %s a JOIN %s b ON a.ctid < b.ctid%s)", table, table, both);
}
