/* embedders.h - who makes the questions' vectors: kept by the process from job to job. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_EMBEDDERS_H
#define AUTODB_RETRIEVAL_EMBEDDERS_H

#include "worker/agent.h"
#include "worker/embed/embed.h"

/* As configured; NULL when it can't be, ret_why says why (in the job's arena), and the search is by words alone. */
struct embedder *embedders_configured(struct job *job, const char **ret_why);
/* Of a model that is stored (embedding_models.id), for what was not migrated yet; NULL when nobody can be asked for it. */
struct embedder *embedders_of(struct job *job, int model);
/* What they used goes to the owner's account. */
void embedders_account(struct job *job);

#endif
