/* schema_diff.h - what changed between two snapshots of one connection, as JSON. */
#ifndef AUTODB_SCHEMA_DIFF_H
#define AUTODB_SCHEMA_DIFF_H

#include <jansson.h>

/* {"identical": bool, "tables": {"added", "removed", "changed"}, "views": …, …}, a new reference; NULL when out of memory. Sizes, row
 * counts and other statistics are not changes. */
json_t *schema_diff(const json_t *before, const json_t *after);

#endif
