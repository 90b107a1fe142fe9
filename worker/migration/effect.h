/* effect.h - what one statement does: to which relations, how strongly, at what risk. Filled by the forms (forms/forms.h), read by rules,
 * score, report. Everything lives in the analysis' arena. */
#ifndef AUTODB_EFFECT_H
#define AUTODB_EFFECT_H

#include "worker/migration/shadow.h"
#include "worker/sql/split.h"

/* PostgreSQL's order of strength. */
enum lock_mode {
  LOCK_NONE,
  LOCK_ACCESS_SHARE,
  LOCK_ROW_SHARE,
  LOCK_ROW_EXCLUSIVE,
  LOCK_SHARE_UPDATE_EXCLUSIVE,
  LOCK_SHARE,
  LOCK_SHARE_ROW_EXCLUSIVE,
  LOCK_EXCLUSIVE,
  LOCK_ACCESS_EXCLUSIVE
};
const char *lockmode_name(enum lock_mode mode);  /* "AccessExclusiveLock" */
enum lock_mode lockmode_parse(const char *name); /* LOCK_NONE when unknown */
bool lockmode_blocks_reads(enum lock_mode mode);
bool lockmode_blocks_writes(enum lock_mode mode);

enum verdict { VERDICT_PROVEN, VERDICT_MAY_FAIL, VERDICT_WILL_FAIL, VERDICT_UNKNOWN };
enum loss { LOSS_NONE, LOSS_BEHAVIOUR, LOSS_DATA }; /* BEHAVIOUR: applications or guarantees change, no stored value is lost */
enum transaction_use { TX_ANY, TX_NEVER, TX_BEGIN, TX_COMMIT, TX_ROLLBACK, TX_SAVEPOINT };

/* Things a form notices that a rule may want to say something about. Adding a rule about something new: add it here, record it in
 * the form that sees it, and write the row in rules_table.c. */
enum fact {
  FACT_NONE,
  FACT_COLUMN_VOLATILE_DEFAULT,
  FACT_COLUMN_STORED_GENERATED,
  FACT_COLUMN_SERIAL,
  FACT_COLUMN_IDENTITY,
  FACT_COLUMN_NOT_NULL_NO_DEFAULT,
  FACT_COLUMN_CONSTRAINED_DOMAIN,
  FACT_COLUMN_INLINE_CHECK,
  FACT_COLUMN_INLINE_UNIQUE,
  FACT_COLUMN_INLINE_FK,
  FACT_COLUMN_JSON,
  FACT_COLUMN_CHAR,
  FACT_COLUMN_TIMESTAMP,
  FACT_COLUMN_SMALL_KEY,
  FACT_DROP_COLUMN,
  FACT_RENAME_COLUMN,
  FACT_RENAME_TABLE,
  FACT_SET_SCHEMA,
  FACT_TYPE_REWRITE,
  FACT_TYPE_REINDEX,
  FACT_TYPE_RECHECK,
  FACT_TYPE_LOSSY,
  FACT_TYPE_REFUSED,
  FACT_SET_NOT_NULL_SCAN,
  FACT_DROP_NOT_NULL,
  FACT_CHECK_SCAN,
  FACT_FK_SCAN,
  FACT_VALIDATE_WITH_ADD,
  FACT_UNIQUE_BUILD,
  FACT_PRIMARY_KEY_BUILD,
  FACT_EXCLUDE_BUILD,
  FACT_PK_USING_NULLABLE,
  FACT_DROP_CONSTRAINT,
  FACT_FK_WITHOUT_INDEX,
  FACT_INDEX_BLOCKING,
  FACT_INDEX_CONCURRENT,
  FACT_INDEX_EXISTS_SKIPPED,
  FACT_DROP_INDEX_BLOCKING,
  FACT_REINDEX_BLOCKING,
  FACT_DROP_TABLE,
  FACT_DROP_CASCADE,
  FACT_DROP_SCHEMA,
  FACT_DROP_VIEW,
  FACT_DROP_TYPE,
  FACT_DROP_DATABASE,
  FACT_TRUNCATE,
  FACT_TRUNCATE_CASCADE,
  FACT_SET_TABLESPACE,
  FACT_SET_LOGGED,
  FACT_SET_UNLOGGED,
  FACT_SET_ACCESS_METHOD,
  FACT_CLUSTER,
  FACT_VACUUM_FULL,
  FACT_REFRESH_BLOCKING,
  FACT_PARTITION_CREATE,
  FACT_PARTITION_DEFAULT_SCAN,
  FACT_ATTACH_SCAN,
  FACT_DETACH_BLOCKING,
  FACT_DISABLE_TRIGGER,
  FACT_ENABLE_RLS,
  FACT_ENUM_ADD_VALUE,
  FACT_ENUM_RENAME_VALUE,
  FACT_DOMAIN_SCAN,
  FACT_UPDATE_ALL,
  FACT_DELETE_ALL,
  FACT_OPAQUE,
  FACT_NOT_IN_TRANSACTION,
  FACT_LOCK_TABLE,
  FACT_SEQUENCE_CHANGE,
  FACT_COLUMN_MONEY,
  FACT_COLUMN_SERIAL_TYPE,
  FACT_CREATE_UNLOGGED,
  FACT_NO_PRIMARY_KEY,
  FACT_REPLICA_IDENTITY_FULL,
  FACT_REPLICA_IDENTITY_NOTHING,
  FACT_ADDED_NOT_VALID,
  FACT_DROP_DEFAULT,
  FACT_DROP_KEY_COLUMN,
  FACT_DISABLE_RLS,
  FACT_INDEX_WIDE,
  FACT_INDEX_CORRUPTION,
  FACT_SECURITY_DEFINER,
  FACT_DOMAIN_CONSTRAINED,
  FACT_ENUM_ORDER,
  FACT_EXTENSION_CREATE,
  FACT_TRIGGER_CREATE,
  FACT_RULE_CREATE,
  FACT_POLICY_UNUSED,
  FACT_GRANT_PUBLIC,
  FACT_REVOKE,
  FACT_TRIGGERS_OFF,
  FACT_RENAME_SCHEMA,
  FACT_DROP_TRIGGER,
  FACT_DROP_FUNCTION,
  FACT_DROP_POLICY,
  FACT_DROP_EXTENSION,
  FACT_DROP_PUBLICATION,
  FACT_ASSIGNED_TWICE,
  FACT_NAME_TOO_LONG,
  FACT_FK_TYPE_MISMATCH,
  FACT_OTHER_SERVER,
  FACT_OBSERVED_REWRITE,
  FACT_OBSERVED_SCAN,
  FACT_OBSERVED_LOCK,
  FACT_DEPENDS_ON_ROWS,
  FACT_IGNORE_UNREASONED,
  FACT_IGNORE_UNKNOWN,
  FACT_IGNORE_MALFORMED,
  FACT_IGNORE_UNUSED,
  FACT_COUNT
};

struct effect_lock {
  struct rel *rel;
  enum lock_mode mode;
};
struct effect_preflight { /* what running preflight_sql on the real rows said */
  bool wanted, ran, violating;
  double duration_ms;
  const char *error; /* why there is no answer, or the error that is one; NULL when there was none */
};
struct effect_check {
  const char *check;
  enum verdict verdict;
  const char *sqlstate, *preflight_sql; /* forms/feasibility.h says how the query is read; NULL when there is none */
  struct effect_preflight preflight;
};
struct effect_object {
  const char *kind, *name, *via;
  bool breaks;
};
struct effect_fact {
  enum fact fact;
  struct rel *rel;
  const char *name, *detail;
};

struct effect {
  struct arena *arena;
  const char *operation;          /* "ALTER TABLE" */
  const struct rel *making;       /* what the statement creates: not listed among locks, scans and rewrites */
  LIST(struct effect_lock) locks; /* strongest per relation */
  LIST(struct rel *) tables;      /* named by the statement */
  LIST(const char *) columns;
  LIST(struct rel *) rewrites;
  LIST(struct rel *) scans;
  LIST(struct rel *) builds; /* tables an index is built on: slower than a scan */
  LIST(struct effect_check) checks;
  LIST(struct effect_object) objects;
  LIST(struct effect_fact) facts;
  enum transaction_use transaction;
  enum loss loss;
  bool opaque;              /* DO, CALL, functions: only running it tells */
  const char *irreversible; /* why it can't be undone; NULL when it can */
  bool failed;              /* the arena is exhausted */
};

void effect_lock(struct effect *effect, struct rel *rel, enum lock_mode mode); /* rel NULL: nothing */
void effect_table(struct effect *effect, struct rel *rel);
void effect_column(struct effect *effect, const char *name);
void effect_scan(struct effect *effect, struct rel *rel);
void effect_rewrite(struct effect *effect, struct rel *rel);
void effect_build(struct effect *effect, struct rel *rel);
void effect_fact(struct effect *effect, enum fact fact, struct rel *rel, const char *name, const char *detail);
void effect_check(struct effect *effect, const char *check, enum verdict verdict, const char *sqlstate, const char *preflight_sql);
void effect_object(struct effect *effect, const char *kind, const char *name, const char *via, bool breaks);
void effect_loss(struct effect *effect, enum loss loss, const char *irreversible);

enum lock_mode effect_lock_of(const struct effect *effect, const struct rel *rel);
const struct effect_fact *effect_find(const struct effect *effect, enum fact fact);
bool effect_scans(const struct effect *effect, const struct rel *rel);
bool effect_rewrites(const struct effect *effect, const struct rel *rel);
/* The first check that is certain to fail, or NULL. */
const struct effect_check *effect_failure(const struct effect *effect);

#endif
