/* rewrite_traps.h - queries over tests/fixtures/rewrites.sql that a rule would get wrong if it looked less closely, each with the rule that
 * must not be offered for it. Most differ by rows that hardly any data has: NaN, numbers that one type tells apart and another doesn't, an
 * aggregate that belongs to the query around it. */
#ifndef AUTODB_TESTS_REWRITE_TRAPS_H
#define AUTODB_TESTS_REWRITE_TRAPS_H

static const struct {
  const char *rule, *sql, *because;
} rewrite_traps[] = {
    {"arithmetic-on-column", "SELECT id FROM orders WHERE 10 - total < 4", "10 - NaN is NaN, which is greater than all"},
    {"arithmetic-on-column", "SELECT id FROM orders WHERE created_at + interval '999999 weeks' > LOCALTIMESTAMP",
     "so long ago there was no timestamp"},
    {"date-range", "SELECT label FROM readings WHERE stamp::date = '2024-01-05'", "timestamp_text is a domain over text"},
    {"one-scan",
     "SELECT c.score FROM customers c GROUP BY c.score HAVING (0, 0) < (SELECT (SELECT count(*) FROM blocked WHERE c.score > 3), (SELECT "
     "count(*) FROM blocked))",
     "count(*) FILTER (WHERE c.score > 3) would count the outer query's rows"},
    {"or-select-arms",
     "SELECT (SELECT sum(o.discount) FROM blocked b WHERE b.reason = 'r1' LIMIT 1) FROM orders o JOIN customers c ON c.id = o.customer_id "
     "WHERE o.discount = 2 OR c.city = 'city1'",
     "the sum is the outer query's: it gives one row"},
    {"correlated-aggregate",
     "SELECT (SELECT max(o.discount) FROM blocked b), (SELECT count(*) FROM items i WHERE i.order_id = 3) FROM orders o",
     "the maximum is the outer query's"},
    {"correlated-aggregate",
     "WITH k AS (SELECT customer_id FROM orders WHERE 1 / discount > 0) SELECT c.id, (SELECT count(*) FROM k WHERE k.customer_id = c.id) "
     "FROM customers "
     "c",
     "where there are no customers nothing is divided by 0"},
    {"needless-distinct", "SELECT DISTINCT status FROM orders WHERE id = 9007199254740992::float8", "two bigints are that float"},
    {"needless-distinct", "SELECT DISTINCT status FROM orders WHERE weight = $1 AND id = $1", "the parameter is a float"},
    {"needless-distinct", "SELECT DISTINCT stamp FROM readings WHERE label = 'a'::bpchar", "'a' and 'a ' are that bpchar"},
    {"union-all",
     "SELECT 2 AS a, id FROM orders WHERE discount = 3 UNION SELECT '1', id FROM orders WHERE discount = 1 UNION SELECT '01', id FROM "
     "orders WHERE discount = 1",
     "'1' and '01' are read as integers"},
    {"union-all", "SELECT id, 1 AS what FROM orders UNION SELECT value, 2 FROM readings", "bigints become floats, which tell fewer apart"},
    {"cte-inline", "WITH x AS (SELECT * FROM orders LIMIT 5) SELECT a.total FROM x a JOIN x b ON a.id = b.id", "which five is not said"},
    {"cte-inline",
     "WITH x AS (SELECT o.*, row_number() OVER (ORDER BY status) AS n FROM orders o) SELECT a.total FROM x a JOIN x b ON a.n = b.n",
     "statuses tie"},
    {"cte-inline", "WITH x AS (SELECT DISTINCT ON (status) * FROM orders) SELECT a.total FROM x a JOIN x b ON a.id = b.id",
     "which of them is not said"},
    {"cte-inline", "WITH x AS (SELECT sum(weight) AS s FROM orders) SELECT a.s FROM x a JOIN x b ON a.s = b.s",
     "sums of floats differ with their order"},
    {"or-arms", "SELECT id FROM orders WHERE discount = 3 OR agent_id IN (SELECT customer_id FROM blocked LIMIT 5)",
     "each arm would take its own five"},
    {"or-select-arms",
     "SELECT o.id FROM (SELECT * FROM orders LIMIT 50) o JOIN customers c ON c.id = o.customer_id WHERE o.discount = 2 OR c.city = 'city1'",
     "each arm would take its own fifty"},
    {"not-in",
     "SELECT id FROM customers c WHERE id NOT IN (SELECT customer_id FROM orders WHERE status LIKE (SELECT min(city) FROM customers))",
     "a pattern that ends in a backslash is an error"},
    {"not-in", "SELECT id FROM customers c WHERE id NOT IN (SELECT customer_id FROM orders WHERE status LIKE 'pa\\')",
     "the pattern ends in a backslash"},
    {"in-cosmetics", "SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM blocked WHERE reason = 'none' ORDER BY count(*))",
     "count(*) makes it one row"},
    {"needless-order", "SELECT count(*) FROM (SELECT 1 AS one FROM orders ORDER BY count(*)) o", "count(*) makes it one row"},
    {"needless-order", "SELECT status FROM (SELECT * FROM orders ORDER BY id) o GROUP BY status ORDER BY array_agg(id)",
     "the arrays are in the inner order"},
    {"not-in",
     "SELECT id FROM customers c WHERE id NOT IN (SELECT s.x FROM (SELECT o.customer_id AS x FROM customers k LEFT JOIN orders o ON "
     "o.customer_id = k.id) s)",
     "the outer join makes NULLs"},
    {"not-in", "SELECT id FROM customers c WHERE id NOT IN (SELECT s.x FROM (SELECT customer_id FROM orders UNION ALL SELECT NULL) s (x))",
     "an arm gives NULL"},
    {"not-in",
     "WITH s AS (SELECT o.customer_id AS x FROM orders o RIGHT JOIN customers k ON o.customer_id = k.id) SELECT id FROM customers c WHERE "
     "id NOT IN (SELECT x FROM s)",
     "the outer join makes NULLs"},
    {"not-in",
     "SELECT id FROM customers c WHERE id NOT IN (SELECT customer_id FROM orders o FULL JOIN (SELECT id AS customer_id FROM products) p "
     "USING (customer_id))",
     "the merged column is one of two"},
};
enum { REWRITE_TRAPS = sizeof rewrite_traps / sizeof *rewrite_traps };

#endif
