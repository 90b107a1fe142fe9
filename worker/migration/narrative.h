/* narrative.h - the report in a few sentences for people. The numbers are the report's, always. */
#ifndef AUTODB_NARRATIVE_H
#define AUTODB_NARRATIVE_H

#include "worker/agent.h"
#include "worker/migration/analysis.h"

/* From templates: the same report gives the same text. NULL for an empty migration. */
const char *narrative_plain(const struct analysis *analysis, const json_t *sandbox_result);
/* Sets report.narrative to what the configured model makes of the report, marked as its words (narrative_source "model"). A text with a
 * number the report doesn't hold is dropped, as is any failure of the provider: then what stands there stays (narrative_source
 * "template"), and narrative_note says why. */
void narrative_enrich(struct job *job, json_t *report);

#endif
