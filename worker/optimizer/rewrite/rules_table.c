/* rules_table.c - the rewrites, one row each, in the order in which they are tried. deploy/check/rules --fix writes REWRITES.md. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#define LOCAL true, COSTS_FAIR
#define WHOLE false, COSTS_FAIR
#define BLIND false, COSTS_BLIND
#define ROUGH false, COSTS_ROUGH
#define PROBES false, COSTS_PROBES

const struct rewrite_rule rewrite_rules[] = {
    {"date-range", rewrite_date_range, LOCAL, "conditions",
     "`c::date = D`, `date_trunc('month', c) = V`, `extract(year FROM c) = 2026`, and the other comparisons",
     "A half-open range of the column itself, which an index on it serves",
     "`c` is a timestamp (or a timestamptz where the session's TimeZone sets no clock back over midnight); the value is a date that begins "
     "the unit, or "
     "CURRENT_DATE, or date_trunc() of now() by the same unit"},
    {"arithmetic-on-column", rewrite_arithmetic, LOCAL, "conditions", "`c + 1 = 10`, `c * 3 > 9`, `at + interval '1 hour' > now()`",
     "The column alone on its side, which an index on it serves",
     "Integers or numeric with integer literals (products only where they divide); dates with days; timestamps with intervals that are so "
     "many seconds everywhere"},
    {"numeric-literal", rewrite_numeric_literal, LOCAL, "conditions", "`id = 9.0`, `id > 9.5`",
     "An integer literal: the column is not converted any more",
     "An integer column; a fraction only where the comparison is an inequality"},
    {"coalesce-comparison", rewrite_coalesce, LOCAL, "conditions", "`COALESCE(c, 0) = 7`",
     "`c = 7`, or `(c = 7 OR c IS NULL)` where the default satisfies it",
     "Literals decided now: integers, or texts compared for equality; where NULL would become FALSE, only in a filter"},
    {"text-cast", rewrite_text_cast, LOCAL, "conditions", "`id::text = '5'`", "`id = 5`",
     "An integer or uuid column; the text is the one way the value is printed"},
    {"prefix-match", rewrite_prefix, LOCAL, "conditions", "`left(c, 3) = 'abc'`, `substr(c, 1, 3) = 'abc'`",
     "`c LIKE 'abc%'`, which statistics and indexes know", "A text or varchar column; the literal is ASCII and as long as the part"},
    {"row-comparison", rewrite_row_comparison, BLIND, "conditions", "`a > x OR (a = x AND b > y)`",
     "`(a, b) > (x, y)`: one place in an index on (a, b)", "Both columns are NOT NULL; in a filter"},
    {"implied-range", rewrite_implied_range, WHOLE, "conditions", "`a.x = b.x AND a.x > 5`",
     "`b.x > 5` is added: PostgreSQL infers that of = alone",
     "Inner joins; both columns have one type; inequalities, BETWEEN and IN with literals or parameters"},
    {"not-in", rewrite_not_in, BLIND, "subqueries", "`x NOT IN (SELECT y …)`", "`NOT EXISTS (… x = y)`: an anti join instead of a subplan",
     "Neither `x` nor `y` can be NULL: by their columns, or by WHERE; conditions that can't fail"},
    {"in-exists", rewrite_in_exists, WHOLE, "subqueries", "`x IN (SELECT y … correlated …)`", "`EXISTS (… x = y)`",
     "In a filter; columns of types PostgreSQL compares itself; conditions that can't fail"},
    {"in-cosmetics", rewrite_in_cosmetics, WHOLE, "subqueries", "`IN (SELECT DISTINCT …)`, `EXISTS (… ORDER BY …)`",
     "Without DISTINCT and ORDER BY: membership does not count", "No LIMIT, no window functions"},
    {"count-exists", rewrite_count_exists, WHOLE, "subqueries", "`(SELECT count(*) …) > 0`, `= 0` and the like",
     "`EXISTS`, `NOT EXISTS`: the first row is enough",
     "No GROUP BY, HAVING, LIMIT; count of a nullable column becomes a condition; conditions that can't fail"},
    {"correlated-aggregate", rewrite_correlated_aggregate, PROBES, "subqueries", "`(SELECT avg(x) FROM t WHERE t.k = outer.k)`",
     "A LEFT JOIN with the aggregates of all keys, computed once",
     "Correlated by equalities of columns only; aggregates and conditions that can't fail; count becomes COALESCE(…, 0)"},
    {"correlated-lookup", rewrite_correlated_lookup, PROBES, "subqueries", "`(SELECT name FROM t WHERE t.id = outer.id)`", "A LEFT JOIN",
     "The columns compared hold a unique key of the table"},
    {"shared-subquery", rewrite_same_subquery, WHOLE, "subqueries", "Several scalar aggregates over the same correlated rows",
     "One LATERAL subquery gives them all", "The same FROM and WHERE; aggregates without GROUP BY"},
    {"one-scan", rewrite_one_scan, ROUGH, "subqueries", "`SELECT (SELECT count(*) FROM t WHERE a), (SELECT count(*) FROM t WHERE b)`",
     "One scan with FILTER", "One table; conditions that can't fail"},
    {"anti-join", rewrite_anti_join, BLIND, "joins", "`LEFT JOIN t ON … WHERE t.k IS NULL`", "`NOT EXISTS`",
     "`t.k` is NOT NULL or compared by the join; nothing else of `t` is used"},
    {"needless-join", rewrite_needless_join, WHOLE, "joins", "`JOIN parent ON parent.id = child.parent_id`, and no column of it used",
     "Without the join; a nullable key gets IS NOT NULL",
     "A validated foreign key that is not deferrable, on all of its columns; inner joins"},
    {"distinct-join", rewrite_distinct_join, WHOLE, "joins", "`SELECT DISTINCT a.… FROM a JOIN b`",
     "`a WHERE EXISTS (b)`, without DISTINCT where the outputs hold a key", "Two tables, an inner join, outputs and order of one alone"},
    {"needless-distinct", rewrite_needless_distinct, WHOLE, "duplicates", "`SELECT DISTINCT` of rows that differ anyway",
     "Without DISTINCT", "Each table is determined by a unique NOT NULL key among the outputs, or compared with one that is"},
    {"union-all", rewrite_union_all, WHOLE, "duplicates", "`UNION` of arms that share no row", "`UNION ALL`",
     "Each arm is free of duplicates by a key, and their columns have the same types; they differ in a literal output, or by a column of "
     "one table in WHERE"},
    {"count-key", rewrite_count_key, WHOLE, "duplicates", "`count(DISTINCT key)`", "`count(*)`; `count(key)` where it may be NULL",
     "No two rows that are counted have the same value: by a unique key, and no join repeats it"},
    {"or-arms", rewrite_or_arms, PROBES, "OR", "`a = 1 OR id IN (SELECT …)` of one table",
     "The table as UNION ALL of its arms, each with its own access path",
     "A table that is not on the nullable side of an outer join; later arms exclude what earlier ones took; operands that can't fail, nor "
     "give other rows when they are asked again"},
    {"or-select-arms", rewrite_or_select_arms, WHOLE, "OR", "`a.x = 1 OR b.y = 2`", "The SELECT as UNION ALL of its arms",
     "No grouping, order, limit or DISTINCT, nor in its subqueries what may give other rows when asked again; later arms exclude what "
     "earlier ones took; operands that can't fail"},
    {"cte-inline", rewrite_cte_inline, WHOLE, "order", "`WITH … AS MATERIALIZED`, or read more than once",
     "`NOT MATERIALIZED`: conditions reach its tables",
     "A SELECT that is neither recursive nor volatile; read more than once only without LIMIT, DISTINCT ON, window functions and "
     "aggregates that depend on order; with conditions of its own only where those around it can't fail"},
    {"needless-order", rewrite_needless_order, WHOLE, "order", "`FROM (SELECT … ORDER BY …)`", "Without the inner ORDER BY",
     "The query around it sorts, or aggregates by what order does not change"},
    {"first-row", rewrite_first_row, WHOLE, "order", "`row_number() OVER (PARTITION BY k ORDER BY …) = 1`",
     "`CROSS JOIN LATERAL (… LIMIT 1)` for each key",
     "`k` is NOT NULL and references a table that lists all keys; partition and order hold a unique key, so that no rows tie"},
};
const size_t rewrite_rule_count = sizeof rewrite_rules / sizeof *rewrite_rules;
