/* s3_ingest.h - objects of a bucket, from their listing to chunks that are found. README.md says how the two kinds of jobs work together.
 */
#ifndef AUTODB_CONTEXT_S3_INGEST_H
#define AUTODB_CONTEXT_S3_INGEST_H

#include "worker/agent.h"

/* s3.ingest: lists, makes batches, waits for them without a slot, says what became of all. */
enum status s3_ingest_run(struct job *job, json_t **ret_result, struct error *err);
/* s3.batch: reads the objects of one batch and ingests them. */
enum status s3_batch_run(struct job *job, json_t **ret_result, struct error *err);

#endif
