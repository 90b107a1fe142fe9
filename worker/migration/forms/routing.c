/* forms/routing.c - see routing.h. */
#include "worker/migration/forms/routing.h"

#include <ctype.h>
#include <strings.h>

#include "worker/migration/forms/typing.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define DEPTH 64

struct key {
  const char *column;
  enum type_class class;
  char strategy; /* r, l, h; 0: not one plain column */
};

static struct key key_of(struct form *form, const struct rel *parent) {
  const char *text = parent->t->partition_key, *open = text ? strchr(text, '(') : NULL;
  const PgQuery__Node *node = open ? sql_parse_expression(form->arena, open) : NULL;
  struct key key = {.strategy = text ? (char)tolower((unsigned char)*text) : 0};
  if (node && node->node_case == NODE(COLUMN_REF) && node->column_ref->n_fields == 1)
    key.column = sql_node_string(node->column_ref->fields[0]);
  const struct snap_column *column = key.column ? snap_table_column(parent->t, key.column) : NULL;
  key.class = column ? typing_class(form->shadow, column->type) : TYPE_OTHER;
  return key;
}

const char *routing_key(struct form *form, const struct rel *parent) { return key_of(form, parent).column; }

/* The bound of a partition that the snapshot has is text. */
static const PgQuery__PartitionBoundSpec *bound_of(struct form *form, struct rel *part) {
  if (!part->bound_tried) {
    part->bound_tried = true;
    const char *text =
        part->t->partition_bound ? arena_printf(form->arena, "CREATE TABLE a PARTITION OF b %s", part->t->partition_bound) : NULL;
    const PgQuery__Node *node = text ? sql_parse_statement(form->arena, text) : NULL;
    if (node && node->node_case == NODE(CREATE_STMT)) part->bound = node->create_stmt->partbound;
  }
  return part->bound;
}

/* --- constants in their order --- */

enum order { BELOW = -1, SAME, ABOVE, DIFFERENT, UNTOLD }; /* DIFFERENT: but which is above can't be told */

static const PgQuery__AConst *constant(const PgQuery__Node *node) {
  while (node && node->node_case == NODE(TYPE_CAST)) node = node->type_cast->arg;
  return node && node->node_case == NODE(A_CONST) && !node->a_const->isnull ? node->a_const : NULL;
}

static bool read_number(const PgQuery__AConst *value, double *ret) {
  const char *text = value->val_case == PG_QUERY__A__CONST__VAL_FVAL   ? value->fval->fval
                     : value->val_case == PG_QUERY__A__CONST__VAL_SVAL ? value->sval->sval
                                                                       : NULL;
  char *end = NULL;
  if (value->val_case == PG_QUERY__A__CONST__VAL_IVAL) *ret = value->ival->ival;
  if (text) *ret = strtod(text, &end);
  return text ? *text && !*end : value->val_case == PG_QUERY__A__CONST__VAL_IVAL;
}

static bool is_date(const char *text) {
  static const char shape[] = "0000-00-00";
  for (size_t i = 0; shape[i]; i++)
    if (shape[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i]) return false;
  return true;
}

/* "2024-01-31", "2024-01-31 12:30:00", with "+00" where there is a zone: as "2024-01-31 12:30:00". */
static bool read_instant(const struct form *form, enum type_class class, const PgQuery__AConst *value, char ret[20]) {
  const char *text = value->val_case == PG_QUERY__A__CONST__VAL_SVAL ? value->sval->sval : NULL, *zone = form->shadow->timezone;
  bool utc = zone && (strcasecmp(zone, "UTC") == 0 || strcasecmp(zone, "Etc/UTC") == 0 || strcasecmp(zone, "GMT") == 0);
  if (!text || !is_date(text) || (class == TYPE_TIMESTAMPTZ && !utc)) return false;
  snprintf(ret, 20, "%.10s 00:00:00", text);
  if (!text[10]) return true;
  if ((text[10] != ' ' && text[10] != 'T') || strlen(text) < 19) return false;
  memcpy(ret + 11, text + 11, 8);
  return !text[19] || (class == TYPE_TIMESTAMPTZ && strcmp(text + 19, "+00") == 0);
}

static enum order order_of(double a, double b) { return a < b ? BELOW : a > b ? ABOVE : SAME; }

static enum order compare(const struct form *form, const struct key *key, const PgQuery__Node *left, const PgQuery__Node *right) {
  const PgQuery__AConst *a = constant(left), *b = constant(right);
  double first, second;
  char early[20], late[20];
  if (!a || !b) return UNTOLD;
  switch (key->class) {
  case TYPE_NUMBER: return read_number(a, &first) && read_number(b, &second) ? order_of(first, second) : UNTOLD;
  case TYPE_DATE:
  case TYPE_TIMESTAMP:
  case TYPE_TIMESTAMPTZ:
    if (!read_instant(form, key->class, a, early) || !read_instant(form, key->class, b, late)) return UNTOLD;
    return order_of(strcmp(early, late), 0);
  case TYPE_STRING:
    if (a->val_case != PG_QUERY__A__CONST__VAL_SVAL || b->val_case != PG_QUERY__A__CONST__VAL_SVAL) return UNTOLD;
    return strcmp(a->sval->sval, b->sval->sval) == 0 ? SAME : DIFFERENT; /* their order is the collation's */
  default: return UNTOLD;
  }
}

/* MINVALUE is -1, MAXVALUE 1, a value 0. */
static int open_end(const PgQuery__Node *node) {
  const char *name = NULL;
  if (node->node_case == NODE(PARTITION_RANGE_DATUM)) {
    if (node->partition_range_datum->kind == PG_QUERY__PARTITION_RANGE_DATUM_KIND__PARTITION_RANGE_DATUM_MINVALUE) return -1;
    if (node->partition_range_datum->kind == PG_QUERY__PARTITION_RANGE_DATUM_KIND__PARTITION_RANGE_DATUM_MAXVALUE) return 1;
  }
  if (node->node_case == NODE(COLUMN_REF) && node->column_ref->n_fields == 1) name = sql_node_string(node->column_ref->fields[0]);
  return name && strcasecmp(name, "minvalue") == 0 ? -1 : name && strcasecmp(name, "maxvalue") == 0 ? 1 : 0;
}

static enum order compare_ends(const struct form *form, const struct key *key, const PgQuery__Node *a, const PgQuery__Node *b) {
  int left = open_end(a), right = open_end(b);
  if (left || right) return left == right ? SAME : left < right ? BELOW : ABOVE;
  return compare(form, key, a, b);
}

/* --- a new bound beside the others --- */

static bool is_range(const PgQuery__PartitionBoundSpec *bound) {
  return strcmp(bound->strategy, "r") == 0 && bound->n_lowerdatums == 1 && bound->n_upperdatums == 1;
}

static bool ranges_overlap(const struct form *form, const struct key *key, const PgQuery__PartitionBoundSpec *a,
                           const PgQuery__PartitionBoundSpec *b) {
  return compare_ends(form, key, a->lowerdatums[0], b->upperdatums[0]) == BELOW &&
         compare_ends(form, key, b->lowerdatums[0], a->upperdatums[0]) == BELOW;
}

static bool lists_overlap(const struct form *form, const struct key *key, const PgQuery__PartitionBoundSpec *a,
                          const PgQuery__PartitionBoundSpec *b) {
  for (size_t i = 0; i < a->n_listdatums; i++)
    for (size_t k = 0; k < b->n_listdatums; k++)
      if (compare(form, key, a->listdatums[i], b->listdatums[k]) == SAME) return true;
  return false;
}

/* Rows of remainder r to modulus m are some of those of remainder r mod n to a factor n of m. Others are no neighbours. */
static bool hashes_clash(const PgQuery__PartitionBoundSpec *a, const PgQuery__PartitionBoundSpec *b) {
  int large = a->modulus > b->modulus ? a->modulus : b->modulus, small = a->modulus > b->modulus ? b->modulus : a->modulus;
  return small < 1 || large % small != 0 || a->remainder % small == b->remainder % small;
}

static bool overlap(const struct form *form, const struct key *key, const PgQuery__PartitionBoundSpec *a,
                    const PgQuery__PartitionBoundSpec *b) {
  if (!b || a->is_default || b->is_default || strcmp(a->strategy, b->strategy) != 0) return false;
  if (key->strategy == 'h') return hashes_clash(a, b);
  if (key->strategy == 'l') return lists_overlap(form, key, a, b);
  return is_range(a) && is_range(b) && ranges_overlap(form, key, a, b);
}

void routing_fits(struct form *form, const struct rel *parent, const PgQuery__PartitionBoundSpec *bound) {
  struct key key = key_of(form, parent);
  if (parent->t->kind != SNAP_PARTITIONED || bound->is_default || !key.strategy) return;
  if (*bound->strategy && *bound->strategy != key.strategy) {
    form_fails(form, "42P16", "the bound is one of %s", parent->t->partition_key);
    return;
  }
  if (key.strategy == 'h' && (bound->modulus < 1 || bound->remainder < 0 || bound->remainder >= bound->modulus)) {
    form_fails(form, "42P16", "the remainder is less than the modulus");
    return;
  }
  if (!key.column && key.strategy != 'h') return;
  enum order ends = is_range(bound) ? compare_ends(form, &key, bound->lowerdatums[0], bound->upperdatums[0]) : BELOW;
  if (ends == SAME || ends == ABOVE) {
    form_fails(form, "42P17", "the range of the partition is not empty");
    return;
  }
  for (size_t i = 0; i < parent->t->partition_count; i++) {
    struct rel *part = shadow_of(form->shadow, parent->t->partitions[i]);
    if (!part || !overlap(form, &key, bound, bound_of(form, part))) continue;
    form_fails(form, "42P17", "the bound leaves %s alone", part->t->qualified);
    return;
  }
}

/* --- where a value goes --- */

/* 1: the partition takes the value, 0: it doesn't, -1: can't be told. */
static int takes(struct form *form, const struct key *key, const PgQuery__PartitionBoundSpec *bound, const PgQuery__Node *value) {
  if (is_range(bound)) {
    enum order low = open_end(bound->lowerdatums[0]) < 0 ? ABOVE : compare(form, key, value, bound->lowerdatums[0]),
               high = open_end(bound->upperdatums[0]) > 0 ? BELOW : compare(form, key, value, bound->upperdatums[0]);
    if (low == BELOW || high == SAME || high == ABOVE) return 0;
    return (low == SAME || low == ABOVE) && high == BELOW ? 1 : -1;
  }
  if (key->strategy != 'l') return -1;
  for (size_t i = 0; i < bound->n_listdatums; i++) {
    const PgQuery__Node *listed = bound->listdatums[i];
    if (listed->node_case == NODE(A_CONST) && listed->a_const->isnull) continue;
    enum order order = compare(form, key, value, listed);
    if (order == SAME) return 1;
    if (order == UNTOLD) return -1;
  }
  return 0;
}

enum routed routing_of(struct form *form, const struct rel *parent, const PgQuery__Node *value, struct rel **ret_part) {
  struct key key = key_of(form, parent);
  struct rel *fallback = shadow_default_partition(form->shadow, parent);
  if (!key.column || !constant(value)) return ROUTED_UNKNOWN;
  for (size_t i = 0; i < parent->t->partition_count; i++) {
    struct rel *part = shadow_of(form->shadow, parent->t->partitions[i]);
    const PgQuery__PartitionBoundSpec *bound = part ? bound_of(form, part) : NULL;
    if (part == fallback && part) continue;
    int taken = bound ? takes(form, &key, bound, value) : -1;
    if (taken < 0) return ROUTED_UNKNOWN;
    if (taken) return *ret_part = part, ROUTED;
  }
  *ret_part = fallback;
  return fallback ? ROUTED : parent->t->partition_count || parent->created ? ROUTED_NOWHERE : ROUTED_UNKNOWN;
}

/* --- what a condition leaves out --- */

struct prune {
  struct form *form;
  const struct rel *parent;
  struct rel *part, *fallback;
  struct key key;
};

static bool is_key(const struct prune *prune, const PgQuery__Node *node) {
  const char *qualifier, *name;
  if (!node || node->node_case != NODE(COLUMN_REF)) return false;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  return name && strcmp(name, prune->key.column) == 0;
}

static bool never_equals(const struct prune *prune, const PgQuery__Node *value) {
  struct rel *home = NULL;
  if (prune->part == prune->fallback) return routing_of(prune->form, prune->parent, value, &home) == ROUTED && home != prune->part;
  const PgQuery__PartitionBoundSpec *bound = bound_of(prune->form, prune->part);
  return bound && constant(value) && takes(prune->form, &prune->key, bound, value) == 0;
}

static bool never_listed(const struct prune *prune, size_t count, PgQuery__Node *const *values) {
  for (size_t i = 0; i < count; i++)
    if (!never_equals(prune, values[i])) return false;
  return count;
}

/* Whether no value of the range is below, or above, the constant. */
static bool never_beyond(const struct prune *prune, const char *sign, const PgQuery__Node *value) {
  const PgQuery__PartitionBoundSpec *bound = prune->part != prune->fallback ? bound_of(prune->form, prune->part) : NULL;
  if (!bound || !is_range(bound) || !constant(value)) return false;
  const PgQuery__Node *low = bound->lowerdatums[0], *high = bound->upperdatums[0];
  if (*sign == '<') {
    enum order order = open_end(low) ? BELOW : compare(prune->form, &prune->key, low, value);
    return order == ABOVE || (order == SAME && !sign[1]);
  }
  enum order order = open_end(high) ? ABOVE : compare(prune->form, &prune->key, high, value);
  return order == BELOW || order == SAME;
}

static bool never_compares(const struct prune *prune, const PgQuery__AExpr *expression) {
  const char *sign = expression->n_name ? sql_node_string(expression->name[0]) : NULL;
  const PgQuery__Node *right = expression->rexpr;
  if (!sign || !right || !is_key(prune, expression->lexpr)) return false;
  switch (expression->kind) {
  case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
    if (strcmp(sign, "=") == 0) return never_equals(prune, right);
    return (*sign == '<' || *sign == '>') && strcmp(sign, "<>") != 0 && strlen(sign) <= 2 && never_beyond(prune, sign, right);
  case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
    return strcmp(sign, "=") == 0 && right->node_case == NODE(LIST) && never_listed(prune, right->list->n_items, right->list->items);
  case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
    return strcmp(sign, "=") == 0 && right->node_case == NODE(A_ARRAY_EXPR) &&
           never_listed(prune, right->a_array_expr->n_elements, right->a_array_expr->elements);
  case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
    return right->node_case == NODE(LIST) && right->list->n_items == 2 &&
           (never_beyond(prune, ">=", right->list->items[0]) || never_beyond(prune, "<=", right->list->items[1]));
  default: return false;
  }
}

static bool never_true(const struct prune *prune, const PgQuery__Node *where) {
  if (where->node_case == NODE(A_EXPR)) return never_compares(prune, where->a_expr);
  if (where->node_case != NODE(BOOL_EXPR)) return false;
  bool all = where->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR;
  if (!all && where->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) return false;
  for (size_t i = 0; i < where->bool_expr->n_args; i++)
    if (never_true(prune, where->bool_expr->args[i]) != all) return !all;
  return all;
}

bool routing_pruned(struct form *form, const struct rel *parent, struct rel *part, const PgQuery__Node *where) {
  struct prune prune = {form, parent, part, shadow_default_partition(form->shadow, parent), key_of(form, parent)};
  return where && parent->t->kind == SNAP_PARTITIONED && prune.key.column && never_true(&prune, where);
}

static void each_left(struct form *form, struct rel *rel, const PgQuery__Node *where, enum lock_mode mode, int depth) {
  if (mode)
    effect_lock(form->effect, rel, mode);
  else if (shadow_is_table(rel))
    effect_scan(form->effect, rel);
  for (size_t i = 0; depth < DEPTH && i < rel->t->partition_count; i++) {
    struct rel *heir = shadow_of(form->shadow, rel->t->partitions[i]);
    if (heir && heir != rel && !routing_pruned(form, rel, heir, where)) each_left(form, heir, where, mode, depth + 1);
  }
}

void routing_lock(struct form *form, struct rel *rel, enum lock_mode mode, const PgQuery__Node *where) {
  if (rel) each_left(form, rel, where, mode, 0);
}

void routing_scan(struct form *form, struct rel *rel, const PgQuery__Node *where) {
  if (rel) each_left(form, rel, where, LOCK_NONE, 0);
}
