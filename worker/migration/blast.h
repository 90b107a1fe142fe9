/* blast.h - who else feels it: tables tied by foreign keys, and objects that read what changes. */
#ifndef AUTODB_BLAST_H
#define AUTODB_BLAST_H

#include <jansson.h>

#include "worker/migration/analysis.h"

json_t *blast_tables(const struct analysis *analysis);  /* affected_tables; new reference */
json_t *blast_objects(const struct analysis *analysis); /* affected_objects; new reference */

#endif
