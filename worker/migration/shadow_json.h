/* shadow_json.h - the schema a migration leads to, as the JSON of a snapshot: what the next migration is judged against when nothing could
 * be run. Holds what the model holds (privileges, comments on constraints and the like are those of the snapshot it began with, or lost).
 */
#ifndef AUTODB_SHADOW_JSON_H
#define AUTODB_SHADOW_JSON_H

#include "worker/migration/shadow.h"

/* New reference; NULL when out of memory. */
json_t *shadow_json(const struct shadow *shadow);

#endif
