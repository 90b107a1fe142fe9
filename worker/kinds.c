/* kinds.c - the handlers, one row per kind of job. To add one: a row here and a row in common/job.c. */
#include "worker/kinds.h"

#include "common/job.h"
#include "worker/context/documents.h"
#include "worker/context/query.h"
#include "worker/context/reembed.h"
#include "worker/context/s3_ingest.h"
#include "worker/execute/execute.h"
#include "worker/migration/analyze.h"
#include "worker/optimizer/optimize.h"
#include "worker/schema/introspect.h"
#include "worker/text2sql/generate.h"

static const struct kind kinds[] = {
    {"system.echo", echo_run, false},           {"system.sweep", originals_run, true},          {"schema.introspect", introspect_run, true},
    {"migration.analyze", analyze_run, true},   {"migration.sandbox", sandbox_run, true},       {"migration.execute", execute_run, true},
    {"context.query", context_query_run, true}, {"document.ingest", document_ingest_run, true}, {"plan.parse", plan_parse_run, false},
    {"query.optimize", optimize_run, true},     {"query.generate", generate_run, true},         {"s3.ingest", s3_ingest_run, true},
    {JOB_KIND_PART, s3_batch_run, true},        {"context.reembed", reembed_run, true},         {"workload.optimize", workload_run, true},
};

const struct kind *kind_find(const char *name) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}

job_handler kind_handler(const char *name) {
  const struct kind *kind = kind_find(name);
  return kind ? kind->handler : NULL;
}
