/* plan_lines.h - a plan in EXPLAIN's text format, freed of what was around it, as EXPLAIN's JSON. */
#ifndef AUTODB_OPTIMIZER_PLAN_LINES_H
#define AUTODB_OPTIMIZER_PLAN_LINES_H

#include "common/arena.h"
#include "common/error.h"

struct plan_line {
  const char *text; /* without its indentation and trailing blanks */
  int indent;       /* columns */
  int number;       /* of the text as it was given, from 1 */
};

/* The JSON of the plan that the lines hold: an object with "Plan", as EXPLAIN (FORMAT JSON) would have it but for members whose value its
 * text leaves out. The arena's. ERR_VALIDATION, code PLAN_INVALID or PLAN_TOO_LARGE, naming the line. */
MUST_CHECK enum status plan_lines_json(const struct plan_line *lines, size_t count, struct arena *arena, json_t **ret_json,
                                       struct error *err);

/* Whether a line, by itself, is the first of a node: "->" or an estimate or measurement in parentheses. */
bool plan_line_is_node(const char *text);
/* Whether it begins as something EXPLAIN prints below a node or below the plan: "Filter: …", "SubPlan 1", "Planning Time: …". */
bool plan_line_is_known(const char *text);

/* --- plan_words.c: what single lines say --- */

/* "Parallel Seq Scan on shop.orders o": the members of the node. False: out of memory. */
MUST_CHECK bool plan_words_node(const char *text, size_t len, struct arena *arena, json_t *fields);
/* Whether EXPLAIN has a node of that type. */
bool plan_words_is_type(const char *type);
/* "(cost=0.00..1.05 rows=5 width=4) (actual time=0.01..0.02 rows=5 loops=1)". False: they don't read so. */
MUST_CHECK bool plan_words_numbers(const char *text, json_t *fields);
void plan_words_set_number(json_t *fields, const char *name, const char *text); /* as JSON has it: an integer where it is one */

/* --- plan_properties.c: lines below a node --- */

/* "Filter: (a = 1)" below a node. `key` has key_len bytes. */
void plan_words_property(const char *key, size_t key_len, const char *value, struct arena *arena, json_t *fields);
/* "hit=3 read=2", after `prefix`es such as "shared": "Buffers:", "I/O Timings:", "WAL:", below a node, a worker or "Planning:". */
bool plan_words_known(const char *key, size_t key_len);

#endif
