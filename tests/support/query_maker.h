/* query_maker.h - random queries over tests/fixtures/rewrites.sql that look like those the rewrites look for, and like those they must
 * leave alone: the same forms over nullable and NOT NULL columns, inner and outer joins, with and without keys, in filters, under NOT and
 * in select lists. One seed is one query. Included by test programs. */
#ifndef AUTODB_TESTS_QUERY_MAKER_H
#define AUTODB_TESTS_QUERY_MAKER_H

#include <stdint.h>

#include "common/buf.h"

struct query_maker {
  uint64_t state;
  struct buf *out;
  int depth;
};

static inline unsigned maker_roll(struct query_maker *m, unsigned sides) {
  uint64_t z = (m->state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (unsigned)((z ^ (z >> 31)) >> 20) % sides;
}
#define MAKER_PICK(m, ...)                                             \
  ({                                                                   \
    static const char *const maker_list[] = {__VA_ARGS__};             \
    maker_list[maker_roll(m, sizeof maker_list / sizeof *maker_list)]; \
  })
#define MAKER_CHANCE(m, percent) (maker_roll(m, 100) < (percent))

/* --- names --- */

enum maker_table { MAKER_CUSTOMERS, MAKER_ORDERS, MAKER_ITEMS, MAKER_EVENTS, MAKER_PRODUCTS, MAKER_BLOCKED, MAKER_LOOSE, MAKER_TABLES };
static const char *const maker_names[] = {"customers", "orders", "items", "events", "products", "blocked", "loose"};
static const char maker_aliases[] = "coiepbl";

static inline const char *maker_int(struct query_maker *m, enum maker_table t) {
  switch (t) {
  case MAKER_CUSTOMERS: return MAKER_PICK(m, "id", "score");
  case MAKER_ORDERS: return MAKER_PICK(m, "id", "customer_id", "agent_id", "discount");
  case MAKER_ITEMS: return MAKER_PICK(m, "order_id", "line", "product_id", "quantity");
  case MAKER_EVENTS: return MAKER_PICK(m, "id", "customer_id");
  case MAKER_PRODUCTS: return MAKER_PICK(m, "id", "stock");
  case MAKER_BLOCKED: return "customer_id";
  default: return MAKER_PICK(m, "id", "customer_id", "product_id", "maybe");
  }
}

static inline const char *maker_text(struct query_maker *m, enum maker_table t) {
  switch (t) {
  case MAKER_CUSTOMERS: return MAKER_PICK(m, "name", "city", "email");
  case MAKER_ORDERS: return "status";
  case MAKER_ITEMS: return "note";
  case MAKER_EVENTS: return "kind";
  case MAKER_PRODUCTS: return MAKER_PICK(m, "title", "kind", "code");
  case MAKER_BLOCKED: return "reason";
  default: return NULL;
  }
}

static inline const char *maker_moment(struct query_maker *m, enum maker_table t) {
  if (t == MAKER_ORDERS) return MAKER_PICK(m, "created_at", "paid_at");
  if (t == MAKER_EVENTS) return "at";
  return t == MAKER_CUSTOMERS ? "joined" : NULL;
}

static inline const char *maker_column(struct query_maker *m, enum maker_table t) {
  const char *text = maker_text(m, t), *moment = maker_moment(m, t);
  if (text && MAKER_CHANCE(m, 35)) return text;
  if (moment && MAKER_CHANCE(m, 20)) return moment;
  if (t == MAKER_ORDERS && MAKER_CHANCE(m, 20)) return "total";
  return maker_int(m, t);
}

static inline const char *maker_op(struct query_maker *m) { return MAKER_PICK(m, "=", "=", "=", "<>", "<", "<=", ">", ">="); }
static inline const char *maker_number(struct query_maker *m) { return MAKER_PICK(m, "0", "1", "2", "3", "5", "7", "-1", "10", "40"); }
static inline const char *maker_word(struct query_maker *m) {
  return MAKER_PICK(m, "'new'", "'paid'", "'void'", "'c4'", "'city1'", "'k1'", "'n1'", "'view'", "'r1'", "''", "'x1'");
}
static inline const char *maker_day(struct query_maker *m) {
  return MAKER_PICK(m, "'2024-01-01'", "'2024-01-05'", "'2024-01-08'", "'2024-02-01'", "'2024-02-29'", "'2024-03-15'");
}

/* --- conditions: `a` is the alias in front of columns --- */

static inline void maker_conditions(struct query_maker *m, const enum maker_table *tables, const char *aliases, int count, int terms);

static inline void maker_simple(struct query_maker *m, enum maker_table t, char a) {
  const char *text = maker_text(m, t), *moment = maker_moment(m, t);
  switch (maker_roll(m, 16)) {
  case 0: buf_printf(m->out, "%c.%s + %s %s %s", a, maker_int(m, t), maker_number(m), maker_op(m), maker_number(m)); break;
  case 1: buf_printf(m->out, "%s - %c.%s %s %s", maker_number(m), a, maker_int(m, t), maker_op(m), maker_number(m)); break;
  case 2:
    buf_printf(m->out, "%c.%s * %s %s %s", a, maker_int(m, t), MAKER_PICK(m, "2", "3", "-1", "-2"), maker_op(m),
               MAKER_PICK(m, "6", "-6", "0", "12"));
    break;
  case 3: buf_printf(m->out, "%c.%s %s %s", a, maker_int(m, t), maker_op(m), MAKER_PICK(m, "2.0", "2.5", "-1.5", "7.00")); break;
  case 4: buf_printf(m->out, "COALESCE(%c.%s, %s) %s %s", a, maker_int(m, t), maker_number(m), maker_op(m), maker_number(m)); break;
  case 5: buf_printf(m->out, "%c.%s IS %sNULL", a, maker_column(m, t), MAKER_PICK(m, "", "NOT ")); break;
  case 6: buf_printf(m->out, "%c.%s IN (%s, %s)", a, maker_int(m, t), maker_number(m), maker_number(m)); break;
  case 7:
    buf_printf(m->out, "%c.%s BETWEEN %s AND %s", a, maker_int(m, t), MAKER_PICK(m, "0", "1", "2"), MAKER_PICK(m, "3", "7", "40"));
    break;
  case 8:
    buf_printf(m->out, "%c.%s::text %s %s", a, maker_int(m, t), MAKER_PICK(m, "=", "<>"), MAKER_PICK(m, "'2'", "'7'", "'02'", "'-1'"));
    break;
  case 9: {
    const char *first = maker_int(m, t), *second = maker_int(m, t), *op = MAKER_PICK(m, ">", "<"), *n = maker_number(m);
    buf_printf(m->out, "(%c.%s %s %s OR (%c.%s = %s AND %c.%s %s %s))", a, first, op, n, a, first, n, a, second,
               MAKER_PICK(m, ">", "<", ">=", "<="), maker_number(m));
    break;
  }
  case 10:
  case 11:
    if (moment) {
      switch (maker_roll(m, 5)) {
      case 0: buf_printf(m->out, "%c.%s::date %s %s", a, moment, maker_op(m), maker_day(m)); break;
      case 1:
        buf_printf(m->out, "date_trunc('%s', %c.%s) %s %s", MAKER_PICK(m, "day", "week", "month", "quarter", "year"), a, moment,
                   maker_op(m), maker_day(m));
        break;
      case 2: buf_printf(m->out, "extract(year FROM %c.%s) %s %s", a, moment, maker_op(m), MAKER_PICK(m, "2023", "2024")); break;
      case 3: buf_printf(m->out, "%c.%s::date BETWEEN %s AND %s", a, moment, maker_day(m), maker_day(m)); break;
      default: buf_printf(m->out, "%c.%s::date %s CURRENT_DATE - %s", a, moment, maker_op(m), MAKER_PICK(m, "0", "1", "300")); break;
      }
      break;
    } /* fall through */
  case 12:
  case 13:
    if (text) {
      switch (maker_roll(m, 3)) {
      case 0: buf_printf(m->out, "COALESCE(%c.%s, %s) %s %s", a, text, maker_word(m), MAKER_PICK(m, "=", "<>"), maker_word(m)); break;
      case 1:
        buf_printf(m->out, "left(%c.%s, %s) = %s", a, text, MAKER_PICK(m, "1", "2"), MAKER_PICK(m, "'c4'", "'k'", "'n1'", "'a'", "'_'"));
        break;
      default: buf_printf(m->out, "%c.%s %s %s", a, text, MAKER_PICK(m, "=", "<>"), maker_word(m)); break;
      }
      break;
    } /* fall through */
  default: buf_printf(m->out, "%c.%s %s %s", a, maker_int(m, t), maker_op(m), maker_number(m)); break;
  }
}

static inline const char *maker_aggregate(struct query_maker *m, enum maker_table t, char a, char out[96]) {
  const char *column = maker_int(m, t);
  switch (maker_roll(m, 6)) {
  case 0: snprintf(out, 96, "count(*)"); break;
  case 1: snprintf(out, 96, "count(%c.%s)", a, column); break;
  case 2: snprintf(out, 96, "count(DISTINCT %c.%s)", a, column); break;
  case 3: snprintf(out, 96, "sum(%c.%s)", a, column); break;
  case 4: snprintf(out, 96, "COALESCE(max(%c.%s), -5)", a, column); break;
  default: snprintf(out, 96, "2 * min(%c.%s)", a, column); break;
  }
  return out;
}

/* A subquery's FROM and WHERE, correlated or not; its alias is the table's letter in capitals, quoted by nothing: x, y, z by depth. */
static inline char maker_inner_from(struct query_maker *m, enum maker_table inner, enum maker_table t, char a, unsigned correlated) {
  char x = (char)('w' + m->depth);
  buf_printf(m->out, "FROM %s %c", maker_names[inner], x);
  bool where = false;
  if (MAKER_CHANCE(m, correlated)) {
    bool equal = MAKER_CHANCE(m, 80);
    buf_printf(m->out, " WHERE %c.%s %s %c.%s", x, maker_int(m, inner), equal ? "=" : MAKER_PICK(m, "<", ">=", "<>"), a, maker_int(m, t));
    where = true;
  }
  if (MAKER_CHANCE(m, 50)) {
    buf_puts(m->out, where ? " AND " : " WHERE ");
    maker_simple(m, inner, x);
  }
  return x;
}

static inline void maker_subquery(struct query_maker *m, enum maker_table t, char a) {
  enum maker_table inner = (enum maker_table)maker_roll(m, MAKER_TABLES);
  char aggregate[96], x = (char)('w' + m->depth + 1);
  m->depth++;
  switch (maker_roll(m, 7)) {
  case 0:
  case 1:
    buf_printf(m->out, "%c.%s %sIN (SELECT %s%c.%s ", a, maker_int(m, t), MAKER_PICK(m, "", "NOT ", "NOT "),
               MAKER_PICK(m, "", "", "DISTINCT "), x, maker_int(m, inner));
    maker_inner_from(m, inner, t, a, 25);
    break;
  case 2:
    buf_printf(m->out, "%sEXISTS (SELECT 1 ", MAKER_PICK(m, "", "NOT "));
    maker_inner_from(m, inner, t, a, 90);
    break;
  case 3:
  case 4:
    buf_printf(m->out, "(SELECT %s ", MAKER_CHANCE(m, 50) ? "count(*)" : maker_aggregate(m, inner, x, aggregate));
    maker_inner_from(m, inner, t, a, 85);
    buf_printf(m->out, ") %s %s", maker_op(m), MAKER_PICK(m, "0", "1", "2"));
    m->depth--;
    return;
  case 5:
    buf_printf(m->out, "%c.%s %s (SELECT %s ", a, maker_int(m, t), maker_op(m), maker_aggregate(m, inner, x, aggregate));
    maker_inner_from(m, inner, t, a, 85);
    break;
  default:
    buf_printf(m->out, "%c.%s NOT IN (SELECT %c.%s ", a, maker_int(m, t), x, maker_int(m, inner));
    buf_printf(m->out, "FROM %s %c WHERE %c.%s IS NOT NULL", maker_names[inner], x, x, maker_int(m, inner));
  }
  buf_putc(m->out, ')');
  m->depth--;
}

static inline void maker_term(struct query_maker *m, const enum maker_table *tables, const char *aliases, int count) {
  unsigned at = maker_roll(m, (unsigned)count);
  unsigned kind = maker_roll(m, 100);
  if (m->depth == 0 && kind >= 92) { /* what or-arms and or-select-arms look for */
    unsigned other = kind >= 96 ? maker_roll(m, (unsigned)count) : at;
    m->depth = 1;
    buf_printf(m->out, "(%c.%s %s %s OR ", aliases[at], maker_int(m, tables[at]), maker_op(m), maker_number(m));
    if (kind < 96)
      maker_subquery(m, tables[at], aliases[at]);
    else
      buf_printf(m->out, "%c.%s %s %s", aliases[other], maker_int(m, tables[other]), maker_op(m), maker_number(m));
    buf_putc(m->out, ')');
    m->depth = 0;
    return;
  }
  if (m->depth < 2 && kind < 28) {
    maker_subquery(m, tables[at], aliases[at]);
  } else if (m->depth < 3 && kind < 45) {
    m->depth++;
    buf_puts(m->out, MAKER_PICK(m, "(", "(", "NOT ("));
    maker_term(m, tables, aliases, count);
    buf_puts(m->out, MAKER_PICK(m, " OR ", " OR ", " AND "));
    maker_term(m, tables, aliases, count);
    buf_putc(m->out, ')');
    m->depth--;
  } else {
    maker_simple(m, tables[at], aliases[at]);
  }
}

static inline void maker_conditions(struct query_maker *m, const enum maker_table *tables, const char *aliases, int count, int terms) {
  for (int i = 0; i < terms; i++) {
    buf_puts(m->out, i ? " AND " : " WHERE ");
    maker_term(m, tables, aliases, count);
  }
}

/* --- FROM --- */

static inline void maker_link(struct query_maker *m, enum maker_table left, char a, enum maker_table right, char b) {
  static const struct {
    enum maker_table child, parent;
    const char *fk, *key;
  } links[] = {{MAKER_ORDERS, MAKER_CUSTOMERS, "customer_id", "id"}, {MAKER_ORDERS, MAKER_CUSTOMERS, "agent_id", "id"},
               {MAKER_ITEMS, MAKER_ORDERS, "order_id", "id"},        {MAKER_ITEMS, MAKER_PRODUCTS, "product_id", "id"},
               {MAKER_EVENTS, MAKER_CUSTOMERS, "customer_id", "id"}, {MAKER_LOOSE, MAKER_CUSTOMERS, "customer_id", "id"},
               {MAKER_LOOSE, MAKER_PRODUCTS, "product_id", "id"}};
  unsigned start = maker_roll(m, 7);
  for (unsigned i = 0; i < 7 && MAKER_CHANCE(m, 90); i++) {
    unsigned k = (start + i) % 7;
    if (links[k].child == left && links[k].parent == right) {
      buf_printf(m->out, "%c.%s = %c.%s", b, links[k].key, a, links[k].fk);
      return;
    }
    if (links[k].child == right && links[k].parent == left) {
      buf_printf(m->out, "%c.%s = %c.%s", b, links[k].fk, a, links[k].key);
      return;
    }
  }
  buf_printf(m->out, "%c.%s = %c.%s", a, maker_int(m, left), b, maker_int(m, right));
}

struct maker_from {
  enum maker_table tables[4];
  char aliases[5];
  int count;
};

static inline struct maker_from maker_from(struct query_maker *m) {
  struct maker_from from = {.count = 1 + (int)maker_roll(m, 3)};
  if (m->depth) from.count = 1 + (int)maker_roll(m, 2);
  bool used[MAKER_TABLES] = {false};
  buf_puts(m->out, " FROM ");
  for (int i = 0; i < from.count; i++) {
    enum maker_table t;
    do t = (enum maker_table)maker_roll(m, MAKER_TABLES);
    while (used[t]);
    used[t] = true;
    from.tables[i] = t;
    from.aliases[i] = maker_aliases[t];
    if (i) buf_puts(m->out, MAKER_PICK(m, " JOIN ", " JOIN ", " LEFT JOIN "));
    buf_printf(m->out, "%s %c", maker_names[t], from.aliases[i]);
    if (!i) continue;
    buf_puts(m->out, " ON ");
    unsigned with = maker_roll(m, (unsigned)i);
    maker_link(m, from.tables[with], from.aliases[with], t, from.aliases[i]);
    if (MAKER_CHANCE(m, 15)) {
      buf_puts(m->out, " AND ");
      maker_simple(m, t, from.aliases[i]);
    }
  }
  return from;
}

/* --- whole queries --- */

/* The select list comes before FROM: FROM is made aside, then put behind it. */
static inline void maker_select(struct query_maker *m, bool plain) {
  BUF_AUTO tail;
  buf_init(&tail, 1 << 16);
  struct buf *out = m->out;
  m->out = &tail;
  struct maker_from from = maker_from(m);
  int anti = -1;
  for (int i = 1; i < from.count; i++)
    if (MAKER_CHANCE(m, 20)) anti = i;
  maker_conditions(m, from.tables, from.aliases, from.count, (int)maker_roll(m, 4));
  if (anti > 0)
    buf_printf(m->out, "%s %c.%s IS NULL", strstr(buf_str(&tail), " WHERE ") ? " AND" : " WHERE", from.aliases[anti],
               maker_int(m, from.tables[anti]));
  m->out = out;
  unsigned shape = plain ? maker_roll(m, 2) : maker_roll(m, 6);
  const char *key = maker_column(m, from.tables[0]);
  char aggregate[96];
  buf_puts(out, "SELECT ");
  if (shape == 5) {
    unsigned at = maker_roll(m, (unsigned)from.count);
    buf_printf(out, "%c.%s, %s", from.aliases[0], key, maker_aggregate(m, from.tables[at], from.aliases[at], aggregate));
    buf_printf(out, "%s GROUP BY %c.%s", buf_str(&tail), from.aliases[0], key);
    return;
  }
  if (shape == 4) {
    unsigned at = maker_roll(m, (unsigned)from.count);
    buf_printf(out, "%s%s", maker_aggregate(m, from.tables[at], from.aliases[at], aggregate), buf_str(&tail));
    return;
  }
  if (shape >= 2) buf_puts(out, "DISTINCT ");
  bool narrow = MAKER_CHANCE(m, 60); /* of one table only */
  for (int i = 0, n = 1 + (int)maker_roll(m, 3); i < n; i++) {
    unsigned at = narrow ? 0 : maker_roll(m, (unsigned)from.count);
    buf_printf(out, "%s%c.%s", i ? ", " : "", from.aliases[at],
               i == 0 && MAKER_CHANCE(m, 50) && from.tables[at] != MAKER_BLOCKED && from.tables[at] != MAKER_ITEMS
                   ? "id"
                   : maker_column(m, from.tables[at]));
    if (!plain) buf_printf(out, " AS c%d", i + 1);
  }
  if (!plain && m->depth == 0 && MAKER_CHANCE(m, 12)) { /* a look-up: by a key, or not */
    unsigned at = maker_roll(m, (unsigned)from.count);
    buf_printf(out, ", (SELECT x.%s FROM %s x WHERE x.%s = %c.%s%s) AS u", MAKER_PICK(m, "name", "city", "score"), "customers", "id",
               from.aliases[at], maker_int(m, from.tables[at]), MAKER_PICK(m, "", " AND x.vip", " AND x.score > 2"));
  }
  if (!plain && m->depth == 0 && MAKER_CHANCE(m, 30)) {
    enum maker_table inner = (enum maker_table)maker_roll(m, MAKER_TABLES);
    for (int i = 0, n = 1 + (int)maker_roll(m, 2); i < n; i++) {
      m->depth = 1;
      buf_printf(out, ", (SELECT %s ", maker_aggregate(m, inner, 'x', aggregate));
      maker_inner_from(m, inner, from.tables[0], from.aliases[0], 90);
      buf_printf(out, ") AS s%d", i);
      m->depth = 0;
    }
  }
  buf_puts(out, buf_str(&tail));
}

/* One query, the same for the same seed. */
static inline void maker_query(uint64_t seed, struct buf *out) {
  struct query_maker maker = {.state = seed * 0x2545f4914f6cdd1dULL + 1, .out = out}, *m = &maker;
  char aggregate[96];
  switch (maker_roll(m, 12)) {
  case 0: {
    const char *what = MAKER_PICK(m, "'a'", "1"), *other = MAKER_PICK(m, "'a'", "'b'");
    enum maker_table t = (enum maker_table)maker_roll(m, 5), u = MAKER_CHANCE(m, 50) ? t : (enum maker_table)maker_roll(m, 5);
    const char *column = maker_int(m, t);
    (void)what;
    buf_printf(out, "SELECT %s, %s FROM %s x", column, MAKER_PICK(m, "'a'", "'b'"), maker_names[t]);
    buf_printf(out, " WHERE x.%s = %s UNION SELECT %s, %s FROM %s x WHERE x.%s = %s", maker_int(m, t), maker_number(m),
               t == u ? column : maker_int(m, u), other, maker_names[u], maker_int(m, u), maker_number(m));
    break;
  }
  case 1:
    buf_puts(out, MAKER_PICK(m, "WITH k AS MATERIALIZED (", "WITH k AS ("));
    m->depth = 1;
    buf_printf(out, "SELECT q.* FROM orders q");
    buf_printf(out, ") SELECT a.id, a.total FROM k a%s WHERE a.%s %s %s", MAKER_PICK(m, "", " JOIN k b ON b.id = a.id"),
               maker_int(m, MAKER_ORDERS), maker_op(m), maker_number(m));
    break;
  case 2:
    m->depth = 1;
    buf_printf(out, "SELECT %s FROM (SELECT * FROM orders z", maker_aggregate(m, MAKER_ORDERS, 'o', aggregate));
    if (MAKER_CHANCE(m, 60)) {
      buf_puts(out, " WHERE ");
      maker_simple(m, MAKER_ORDERS, 'z');
    }
    buf_printf(out, " ORDER BY z.%s) o", maker_column(m, MAKER_ORDERS));
    break;
  case 3:
    buf_printf(out, "SELECT s.%s, s.%s FROM (SELECT z.*, row_number() OVER (PARTITION BY %s ORDER BY %s%s) AS rn FROM %s z", "id",
               "customer_id", MAKER_PICK(m, "customer_id", "customer_id", "agent_id"),
               MAKER_PICK(m, "id", "created_at, id", "discount DESC, id DESC"), "", "orders");
    if (MAKER_CHANCE(m, 40)) {
      buf_puts(out, " WHERE ");
      maker_simple(m, MAKER_ORDERS, 'z');
    }
    buf_printf(out, ") s WHERE s.rn %s", MAKER_PICK(m, "= 1", "<= 1", "< 2", "= 2"));
    break;
  case 4:
    buf_puts(out, "SELECT ");
    m->depth = 1;
    enum maker_table t = (enum maker_table)maker_roll(m, MAKER_TABLES);
    for (int i = 0; i < 2; i++) {
      buf_printf(out, "%s(SELECT %s ", i ? ", " : "", maker_aggregate(m, t, 'x', aggregate));
      maker_inner_from(m, t, t, 'x', 0);
      buf_printf(out, ") AS s%d", i);
    }
    break;
  default: maker_select(m, MAKER_CHANCE(m, 40)); break;
  }
}

#endif
