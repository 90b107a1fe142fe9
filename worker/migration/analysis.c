/* analysis.c - the static pass: each statement is judged against the schema the ones before it leave behind. */
#include "worker/migration/analysis.h"

#include "worker/migration/forms/forms.h"
#include "worker/migration/notice.h"
#include "worker/migration/rules.h"
#include "worker/migration/score.h"
#include "worker/migration/suppress.h"
#include "worker/migration/versions.h"

const char *const agreement_names[] = {NULL, "agreed", "contradicted", "unverifiable"};

const char *analysis_category(int score) { return score >= 75 ? "critical" : score >= 50 ? "high" : score >= 25 ? "medium" : "low"; }

/* Which statements share a transaction: those between BEGIN and COMMIT, and runs of others - the executor puts them in one. */
struct shape {
  int number;
  bool explicit;
  bool separate; /* what stands outside of BEGIN and COMMIT runs on its own */
};

static int transaction_of(struct shape *shape, enum transaction_use use) {
  if (shape->separate && !shape->explicit && use != TX_BEGIN) use = TX_NEVER;
  int mine = shape->number;
  switch (use) {
  case TX_BEGIN:
    if (!shape->explicit) mine = ++shape->number;
    shape->explicit = true;
    break;
  case TX_COMMIT:
  case TX_ROLLBACK:
    shape->number++;
    shape->explicit = false;
    break;
  case TX_NEVER:
    if (shape->explicit) break;
    mine = 0;
    shape->number++;
    break;
  default: break;
  }
  return mine;
}

#define COPY_NAMES(analysis, from, to)                       \
  for (size_t i = 0; i < (from).count; i++) {                \
    const char **slot = LIST_PUSH((analysis)->arena, &(to)); \
    if (slot) *slot = (from).items[i]->t->qualified;         \
  }

static void keep_names(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    struct seen_lock *slot = LIST_PUSH(analysis->arena, &statement->locks);
    if (slot) *slot = (struct seen_lock){lock->rel->t->qualified, (char)lock->rel->t->kind, lock->mode, lock->rel->created};
  }
  COPY_NAMES(analysis, effect->tables, statement->tables)
  COPY_NAMES(analysis, effect->rewrites, statement->rewrites)
  COPY_NAMES(analysis, effect->scans, statement->scans)
}

/* What a ROLLBACK undoes needs no way back. */
static void forget_undone(struct analysis *analysis, size_t index) {
  const PgQuery__Node *node = analysis->statements[index].source->node;
  if (node->node_case != PG_QUERY__NODE__NODE_TRANSACTION_STMT) return;
  const PgQuery__TransactionStmt *undo = node->transaction_stmt;
  bool whole = undo->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK;
  if (!whole && undo->kind != PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO) return;
  for (size_t i = index; i-- > 0 && analysis->statements[i].transaction == analysis->statements[index].transaction;) {
    const PgQuery__Node *earlier = analysis->statements[i].source->node;
    bool savepoint = earlier->node_case == PG_QUERY__NODE__NODE_TRANSACTION_STMT &&
                     earlier->transaction_stmt->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT;
    if (!whole && savepoint && strcmp(earlier->transaction_stmt->savepoint_name, undo->savepoint_name) == 0) return;
    analysis->statements[i].rollback = (struct rollback_step){0};
  }
}

static bool ends_transaction(const struct statement *statement) {
  return !statement->transaction || statement->effect.transaction == TX_COMMIT || statement->effect.transaction == TX_ROLLBACK;
}

static void judge(struct analysis *analysis, size_t index, struct shape *shape) {
  struct statement *statement = &analysis->statements[index];
  *statement = (struct statement){.source = &analysis->script.statements[index]};
  shadow_settle(analysis->shadow);
  if (index && ends_transaction(&analysis->statements[index - 1])) shadow_commit(analysis->shadow);
  rollback_of(analysis->plan, statement->source, &statement->rollback);
  forms_apply(analysis->shadow, statement->source, &statement->effect);
  notice_apply(analysis->shadow, statement->source, &statement->effect);
  if (statement->effect.loss == LOSS_DATA && statement->effect.irreversible && !statement->rollback.irreversible)
    statement->rollback.irreversible = statement->effect.irreversible;
  statement->transaction = transaction_of(shape, statement->effect.transaction);
  forget_undone(analysis, index);
  rules_apply(analysis, statement, index);
  score_statement(analysis, statement);
  keep_names(analysis, statement);
  if (statement->score > analysis->score) analysis->score = statement->score;
}

bool analysis_refused(const struct analysis *analysis) {
  for (size_t i = 0; i < analysis->count; i++)
    if (effect_find(&analysis->statements[i].effect, FACT_OTHER_SERVER)) return true;
  return false;
}

enum status analysis_static(const char *sql, size_t len, const struct snapshot *snapshot, const struct analysis_options *options,
                            struct arena *arena, struct analysis **ret_analysis, struct error *err) {
  struct analysis *analysis = ARENA_NEW(arena, struct analysis);
  if (!analysis) return error_oom(err);
  *analysis = (struct analysis){.arena = arena, .sql = sql, .snapshot = snapshot, .lock_timeout_ms = options->lock_timeout_ms};
  analysis->load_dump = options->dump;
  analysis->load_arg = options->dump_arg;
  enum status status = shadow_new(snapshot, arena, &analysis->shadow, err);
  if (status == OK) status = sql_split(sql, len, arena, &analysis->script, err);
  if (status != OK) return status;
  if (options->target_version) analysis->shadow->version = options->target_version;
  versions_explain(analysis->shadow->version, arena, &analysis->script.fault);
  analysis->plan = rollback_plan_new(analysis->shadow, snapshot, options->dump, options->dump_arg);
  if (!analysis->plan) return error_oom(err);
  analysis->count = analysis->script.count;
  analysis->statements = arena_calloc(arena, analysis->count + 1, sizeof *analysis->statements);
  if (!analysis->statements) return error_oom(err);
  status = suppress_read(analysis, err);
  if (status != OK) return status;
  struct shape shape = {.number = 1,
                        .explicit = options->runner == RUNNER_WRAPS || (options->runner == RUNNER_MESSAGE && analysis->count > 1),
                        .separate = options->runner == RUNNER_NOTHING};
  for (size_t i = 0; i < analysis->count; i++) {
    judge(analysis, i, &shape);
    if (analysis->statements[i].effect.failed) return error_oom(err);
  }
  suppress_review(analysis);
  *ret_analysis = analysis;
  return OK;
}
