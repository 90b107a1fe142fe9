/* safer/routes.c - which finding has which way around it, one row each. */
#include "worker/migration/safer/plan.h"

#define NO_COMMAND PG_QUERY__ALTER_TABLE_TYPE__ALTER_TABLE_TYPE_UNDEFINED
#define AT(name) PG_QUERY__NODE__NODE_ALTER_TABLE_STMT, PG_QUERY__ALTER_TABLE_TYPE__AT_##name
#define OF(name) PG_QUERY__NODE__NODE_##name, NO_COMMAND
#define ANY PG_QUERY__NODE__NODE__NOT_SET, NO_COMMAND

#define CIC_WATCH                                                                                                                         \
  "A CONCURRENTLY that fails leaves an INVALID index: SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid; drop it with DROP " \
  "INDEX CONCURRENTLY and repeat. It waits for transactions that were open when it began."
#define FILL_WATCH                                                                                                                    \
  "The backfill commits every batch, fires the table's UPDATE triggers and can be run again after an interruption: it goes over the " \
  "filled rows without changing them."
#define CHECK_CHANGE \
  "is added NOT VALID, which holds for new rows at once and reads nothing; VALIDATE reads the rows in a transaction of its own"

const struct safer_route safer_routes[] = {
    {"create-index-concurrently", FACT_INDEX_BLOCKING, NULL, OF(INDEX_STMT), safer_create_index,
     "the index is built CONCURRENTLY, outside of any transaction, while writes go on; on a partitioned table partition by partition",
     CIC_WATCH},
    {"drop-index-concurrently", FACT_DROP_INDEX_BLOCKING, NULL, OF(DROP_STMT), safer_drop_index,
     "the index is dropped CONCURRENTLY, outside of any transaction: queries of the table don't wait", NULL},
    {"reindex-concurrently", FACT_REINDEX_BLOCKING, NULL, OF(REINDEX_STMT), safer_reindex,
     "the index is rebuilt CONCURRENTLY beside the old one, outside of any transaction", CIC_WATCH},
    {"refresh-concurrently", FACT_REFRESH_BLOCKING, NULL, OF(REFRESH_MAT_VIEW_STMT), safer_refresh,
     "the view is refreshed CONCURRENTLY by its unique index: it can be read meanwhile", "It takes longer than a plain REFRESH."},
    {"add-check-validate", FACT_CHECK_SCAN, NULL, AT(AddConstraint), safer_add_constraint, "the CHECK " CHECK_CHANGE, NULL},
    {"add-foreign-key-validate", FACT_FK_SCAN, NULL, AT(AddConstraint), safer_add_constraint, "the foreign key " CHECK_CHANGE, NULL},
    {"unique-using-index", FACT_UNIQUE_BUILD, NULL, AT(AddConstraint), safer_add_constraint,
     "the unique index is built CONCURRENTLY and then made the constraint's", CIC_WATCH},
    {"primary-key-using-index", FACT_PRIMARY_KEY_BUILD, NULL, AT(AddConstraint), safer_add_constraint,
     "the key's columns are proved NOT NULL by a validated CHECK, its index is built CONCURRENTLY and then made the key's", CIC_WATCH},
    {"prove-key-not-null", FACT_PK_USING_NULLABLE, NULL, AT(AddConstraint), safer_primary_key_index,
     "the key's columns are proved NOT NULL by a validated CHECK first, so that the key reads nothing", NULL},
    {"prove-not-null", FACT_SET_NOT_NULL_SCAN, NULL, AT(SetNotNull), safer_set_not_null,
     "a CHECK (… IS NOT NULL), added NOT VALID and validated on its own, proves what SET NOT NULL would read the table for; it is dropped "
     "again",
     NULL},
    {"validate-alone", FACT_VALIDATE_WITH_ADD, NULL, AT(ValidateConstraint), safer_alone,
     "VALIDATE runs in a transaction of its own, after the strong lock of adding the constraint is gone", NULL},
    {"commit-before", FACT_NONE, "lock-held-across-statements", ANY, safer_alone,
     "it runs in a transaction of its own, so that the lock of an earlier statement is not held while it reads or writes", NULL},
    {"column-then-fill", FACT_COLUMN_VOLATILE_DEFAULT, NULL, AT(AddColumn), safer_add_column,
     "the column is added without the default, which is then set for new rows; existing rows are filled in batches", FILL_WATCH},
    {"column-then-sequence", FACT_COLUMN_SERIAL, NULL, AT(AddColumn), safer_add_column,
     "the column and its sequence are made apart; existing rows are numbered in batches, NOT NULL is proved by a validated CHECK",
     FILL_WATCH},
    {"column-then-identity", FACT_COLUMN_IDENTITY, NULL, AT(AddColumn), safer_add_column,
     "existing rows are numbered in batches from a sequence, NOT NULL is proved by a validated CHECK, then the column becomes an identity "
     "that goes on from there",
     FILL_WATCH},
    {"column-then-check", FACT_COLUMN_INLINE_CHECK, NULL, AT(AddColumn), safer_add_column,
     "the column comes first; its CHECK " CHECK_CHANGE, NULL},
    {"column-then-unique", FACT_COLUMN_INLINE_UNIQUE, NULL, AT(AddColumn), safer_add_column,
     "the column comes first; its unique index is built CONCURRENTLY and then made the constraint's", CIC_WATCH},
    {"column-then-foreign-key", FACT_COLUMN_INLINE_FK, NULL, AT(AddColumn), safer_add_column,
     "the column comes first; its foreign key " CHECK_CHANGE, NULL},
    {"attach-proved", FACT_ATTACH_SCAN, NULL, AT(AttachPartition), safer_attach,
     "a validated CHECK of the bound proves what ATTACH would read the table for; it is dropped again", NULL},
    {"attach-default-proved", FACT_PARTITION_DEFAULT_SCAN, NULL, AT(AttachPartition), safer_attach,
     "a validated CHECK proves that the default partition holds no row of the new one, so that ATTACH doesn't read it",
     "From the CHECK on the default partition until the ATTACH, new rows for the new partition are refused."},
    {"partition-default-proved", FACT_PARTITION_DEFAULT_SCAN, NULL, OF(CREATE_STMT), safer_create_partition,
     "the partition is made as a table of its own and attached, after a validated CHECK proved that the default partition holds none of "
     "its "
     "rows",
     "From the CHECK on the default partition until the ATTACH, new rows for the new partition are refused."},
    {"partition-attached", FACT_PARTITION_CREATE, NULL, OF(CREATE_STMT), safer_create_partition,
     "the partition is made as a table of its own and attached, which locks the parent against no query", NULL},
    {"detach-concurrently", FACT_DETACH_BLOCKING, NULL, AT(DetachPartition), safer_detach,
     "the partition is detached CONCURRENTLY; the CHECK this leaves behind is dropped",
     "A DETACH CONCURRENTLY that was interrupted is ended with ALTER TABLE … DETACH PARTITION … FINALIZE."},
    {"recheck-validate", FACT_TYPE_RECHECK, NULL, AT(AlterColumnType), safer_recheck_type,
     "the CHECK is put back NOT VALID together with the new type and validated in a transaction of its own", NULL},
    {"second-column", FACT_TYPE_REWRITE, NULL, AT(AlterColumnType), safer_change_type,
     "a second column of the new type is kept current by a trigger, filled in batches, and takes the name over in one short transaction",
     "The column ends up last in the table: code that relies on the order of columns has to name them. Between switch and contract the old "
     "values stay, but are no longer kept current. " FILL_WATCH},
    {"second-column-index", FACT_TYPE_REINDEX, NULL, AT(AlterColumnType), safer_change_type,
     "a second column with indexes of its own, built CONCURRENTLY, takes the name over in one short transaction",
     "The column ends up last in the table: code that relies on the order of columns has to name them. " FILL_WATCH},
    {"view-of-old-name", FACT_RENAME_TABLE, NULL, OF(RENAME_STMT), safer_rename_table,
     "a view keeps the old name working until the contract phase, so that old and new code run side by side",
     "Run the contract phase only when no code uses the old name any more. COPY, TRUNCATE and LOCK don't work on the view."},
    {"view-of-both-names", FACT_RENAME_COLUMN, NULL, OF(RENAME_STMT), safer_rename_column,
     "until the contract phase a view in the table's place shows the column under both names, so that old and new code run side by side",
     "Run the contract phase only when no code uses the old name any more. COPY, TRUNCATE and LOCK don't work on the view."},
    {"view-in-old-schema", FACT_SET_SCHEMA, NULL, OF(ALTER_OBJECT_SCHEMA_STMT), safer_set_schema,
     "a view keeps the name in the old schema working until the contract phase",
     "Run the contract phase only when no code uses the old name any more. COPY, TRUNCATE and LOCK don't work on the view."},
};
const size_t safer_route_count = sizeof safer_routes / sizeof *safer_routes;
