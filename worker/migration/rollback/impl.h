/* rollback/impl.h - between the files of rollback*.c: what an inverse is made with.
 *
 * rollback/rollback.c      one row per statement form; the script
 * rollback/plan.c what the migration made, dropped and renamed so far; looking up what was there before
 * rollback/create.c, rollback/drop.c, rollback/alter.c, rollback/object.c, rollback/grant.c, rollback/table.c   families of forms
 * rollback/model.c objects from the snapshot's model, where there is no dump
 *
 * Only the state after all steps counts, so a setting may go back to what it was before the migration: no step has to know what the
 * statements in between made of it. Objects made by the migration itself go with their CREATE: nothing is undone on them but renames. */
#ifndef AUTODB_ROLLBACK_IMPL_H
#define AUTODB_ROLLBACK_IMPL_H

#include "common/json.h"
#include "worker/migration/rollback/rollback.h"
#include "worker/migration/rollback/source.h"
#include "worker/sql/text.h"

struct rollback_item { /* one statement of a step, and which object it is about */
  struct rollback_step *step;
  const char *text;
  const struct rel *rel;
  const char *key;
  bool rename;
};
struct rollback_state { /* made or dropped by this migration */
  const char *key;
  bool there;
};
struct rollback_alias {
  const char *now, *was;
};
struct rollback_plan {
  struct arena *arena;
  struct shadow *shadow;
  const struct snapshot *before;
  rollback_dump load;
  void *load_arg;
  bool loaded, path_changed;      /* the migration set search_path */
  struct rollback_source *source; /* rollback_source() */
  LIST(struct rollback_item) items;
  LIST(struct rollback_state) states;
  LIST(struct rollback_alias) aliases;
};

struct rollback_renaming { /* an object about to be dropped under another name than it had */
  const char *schema, *was, *now_schema, *now;
};

struct rollback {
  struct rollback_plan *plan;
  struct shadow *shadow;
  const struct snapshot *before;
  struct arena *arena;
  struct rollback_step *step;
  const struct rel *rel; /* the subject of what is added, or NULL */
  const char *key;       /* … where it is no relation of the shadow's */
  bool rename;
  LIST(struct rollback_renaming) renamings; /* of what is being made again */
};

void rollback_add(struct rollback *rollback, const char *format, ...) PRINTF_LIKE(2, 3);
void rollback_gone(struct rollback *rollback, const char *format, ...) PRINTF_LIKE(2, 3); /* irreversible */
/* Names without a schema are looked up where the statement looked them up. */
void rollback_set_path(struct rollback *rollback);
/* The tree as text; NULL and irreversible when it can't be printed. */
void rollback_add_tree(struct rollback *rollback, PgQuery__Node *node);

/* --- rollback/plan.c --- */

struct rollback_source *rollback_source(struct rollback *rollback); /* NULL: no dump */
/* The key under which the object was known before the migration (or is known since it made it). */
const char *rollback_key(struct rollback *rollback, PgQuery__ObjectType type, const PgQuery__RangeVar *relation, PgQuery__Node *object);
const char *rollback_rel_key(struct rollback *rollback, const struct rel *rel);
const char *rollback_part_key(struct rollback *rollback, const char *kind, const struct rel *rel, const char *name);
const char *rollback_known_as(struct rollback *rollback, const char *key); /* through renames */
/* The key of an object about to be made: another than its name says when what had that name was moved aside. */
const char *rollback_fresh_key(struct rollback *rollback, const char *key);
bool rollback_was_there(struct rollback *rollback, const char *key);  /* before the migration */
bool rollback_is_there(struct rollback *rollback, const char *key);   /* now */
bool rollback_is_made(struct rollback *rollback, const char *key);    /* by the migration */
bool rollback_is_dropped(struct rollback *rollback, const char *key); /* by the migration: made again, with its settings, later */
void rollback_note(struct rollback *rollback, const char *key, bool there);
void rollback_note_rename(struct rollback *rollback, const char *now, const char *was);
/* Takes back what earlier steps would do to the object, renames too when asked. */
void rollback_cancel(struct rollback *rollback, const struct rel *rel, const char *key, bool renames);
/* As it was before the migration; NULL when this migration made it. JSON: the whole of it. */
const struct snap_table *rollback_original(struct rollback *rollback, const struct rel *rel);
const json_t *rollback_json(struct rollback *rollback, const char *list, const char *schema, const char *name);
const json_t *rollback_rel_json(struct rollback *rollback, const struct rel *rel);
const json_t *rollback_member(const json_t *object, const char *list, const char *name);
const char *rollback_name(struct rollback *rollback, const struct rel *rel); /* quoted, as it is called now */
const char *rollback_range_name(struct rollback *rollback, const PgQuery__RangeVar *range);
const char *rollback_list_name(struct rollback *rollback, size_t count, PgQuery__Node *const *parts);
struct rel *rollback_of_key(struct rollback *rollback, const char *key); /* the relation as it is called now */
const char *rollback_words(PgQuery__ObjectType type);                    /* "MATERIALIZED VIEW" */
const char *rollback_rel_words(const struct rel *rel);

/* Everything in the dump about the objects and, with CASCADE, what reads them, made again. False: no such object is recorded. */
bool rollback_recreate(struct rollback *rollback, struct source_keys *gone, bool cascade);
bool rollback_recreate_one(struct rollback *rollback, const char *key);

/* What the statement of the dump makes, or is about, was dropped by an earlier statement of the migration, whose way back comes later. */
bool rollback_is_earlier(struct rollback *rollback, const struct source_statement *statement);

/* A statement of the dump with the names of now. */
const char *rollback_substitute(struct rollback *rollback, const char *text);

/* --- families --- */

void rollback_alter_table(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_type(struct rollback *rollback, PgQuery__Node *node);

void rollback_create_table(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_as(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_view(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_index(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_trigger(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_function(struct rollback *rollback, PgQuery__Node *node);
void rollback_create_object(struct rollback *rollback, PgQuery__Node *node);

void rollback_drop(struct rollback *rollback, PgQuery__Node *node);

void rollback_rename(struct rollback *rollback, PgQuery__Node *node);
void rollback_set_schema(struct rollback *rollback, PgQuery__Node *node);
void rollback_comment(struct rollback *rollback, PgQuery__Node *node);
void rollback_owner(struct rollback *rollback, PgQuery__Node *node);

void rollback_grant(struct rollback *rollback, PgQuery__Node *node);
/* What the dump grants the role on the object: changing owners merges it with what the owner has. */
void rollback_replay_grants(struct rollback *rollback, const char *key, const PgQuery__RoleSpec *role);
void rollback_grant_role(struct rollback *rollback, PgQuery__Node *node);
void rollback_default_privileges(struct rollback *rollback, PgQuery__Node *node);

void rollback_alter_function(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_sequence(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_domain(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_enum(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_policy(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_statistics(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_publication(struct rollback *rollback, PgQuery__Node *node);
void rollback_alter_event_trigger(struct rollback *rollback, PgQuery__Node *node);
/* A function of the dump put back in place of what has its name now. */
void rollback_restore_function(struct rollback *rollback, const char *key);

/* --- rollback/model.c --- */

void rollback_model_table(struct rollback *rollback, const struct rel *rel);
void rollback_model_view(struct rollback *rollback, const struct rel *rel);
/* The keys, constraints and indexes of one column (NULL: of the whole table), in an order that works. */
void rollback_model_keys(struct rollback *rollback, const struct rel *rel, const char *column);
const char *rollback_model_column(struct rollback *rollback, const struct snap_column *column, const json_t *json, bool whole);
const char *rollback_model_fk(struct rollback *rollback, const struct rel *rel, const struct snap_fk *fk);
/* From the snapshot's parts; what they don't hold is said to be lost. */
void rollback_model_function(struct rollback *rollback, const char *key);

static inline const char *q(struct rollback *rollback, const char *name) { return sql_ident(rollback->arena, name); } /* quoted */

#endif
