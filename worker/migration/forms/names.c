/* forms/names.c - a list of what goes by a name, filled from the snapshot, kept up by the statements.
 *
 * "Certainly not there" takes a snapshot that would know: schemas can be left out of one, and extensions bring objects of their own. */
#include "worker/migration/forms/names.h"

#include "common/json.h"
#include "worker/query/builtins.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define OBJECT(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name

enum name_kind { NAME_SCHEMA, NAME_TYPE, NAME_PUBLICATION, NAME_EXTENSION, NAME_KINDS };

struct named {
  enum name_kind kind;
  const char *schema, *name; /* schema NULL: of none */
};

struct shadow_names {
  LIST(struct named) items;
  const json_t *excluded;
  bool known;   /* the snapshot says which schemas it is about */
  bool all;     /* … and that is all but `excluded` */
  bool brought; /* an extension is there that may have brought types */
  bool ranged;  /* a range type is there */
};

/* Types of pg_catalog; names that begin with "pg_" or "_" are not looked for. */
static const char *const builtin_types[] = {"aclitem",
                                            "any",
                                            "anyarray",
                                            "anycompatible",
                                            "anycompatiblearray",
                                            "anycompatiblemultirange",
                                            "anycompatiblenonarray",
                                            "anycompatiblerange",
                                            "anyelement",
                                            "anyenum",
                                            "anymultirange",
                                            "anynonarray",
                                            "anyrange",
                                            "bit",
                                            "bool",
                                            "box",
                                            "bpchar",
                                            "bytea",
                                            "char",
                                            "cid",
                                            "cidr",
                                            "circle",
                                            "cstring",
                                            "date",
                                            "datemultirange",
                                            "daterange",
                                            "decimal",
                                            "event_trigger",
                                            "fdw_handler",
                                            "float4",
                                            "float8",
                                            "gtsvector",
                                            "index_am_handler",
                                            "inet",
                                            "int2",
                                            "int2vector",
                                            "int4",
                                            "int4multirange",
                                            "int4range",
                                            "int8",
                                            "int8multirange",
                                            "int8range",
                                            "internal",
                                            "interval",
                                            "json",
                                            "jsonb",
                                            "jsonpath",
                                            "language_handler",
                                            "line",
                                            "lseg",
                                            "macaddr",
                                            "macaddr8",
                                            "money",
                                            "name",
                                            "numeric",
                                            "nummultirange",
                                            "numrange",
                                            "oid",
                                            "oidvector",
                                            "opaque",
                                            "path",
                                            "point",
                                            "polygon",
                                            "record",
                                            "refcursor",
                                            "regclass",
                                            "regcollation",
                                            "regconfig",
                                            "regdictionary",
                                            "regnamespace",
                                            "regoper",
                                            "regoperator",
                                            "regproc",
                                            "regprocedure",
                                            "regrole",
                                            "regtype",
                                            "smgr",
                                            "table_am_handler",
                                            "text",
                                            "tid",
                                            "time",
                                            "timestamp",
                                            "timestamptz",
                                            "timetz",
                                            "trigger",
                                            "tsm_handler",
                                            "tsmultirange",
                                            "tsquery",
                                            "tsrange",
                                            "tstzmultirange",
                                            "tstzrange",
                                            "tsvector",
                                            "txid_snapshot",
                                            "unknown",
                                            "uuid",
                                            "varbit",
                                            "varchar",
                                            "void",
                                            "xid",
                                            "xid8",
                                            "xml"};
static const char *const serial_types[] = {"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"};

/* Extensions that bring no type anybody writes. Any other makes an unknown type possible. */
static const char *const typeless_extensions[] = {"plpgsql",         "btree_gist",      "btree_gin",   "pg_trgm",
                                                  "pgcrypto",        "uuid-ossp",       "unaccent",    "dblink",
                                                  "postgres_fdw",    "file_fdw",        "pg_cron",     "pg_partman",
                                                  "pgaudit",         "moddatetime",     "hypopg",      "pg_stat_statements",
                                                  "pg_prewarm",      "fuzzystrmatch",   "intarray",    "lo",
                                                  "autoinc",         "insert_username", "refint",      "tcn",
                                                  "amcheck",         "pageinspect",     "pgstattuple", "pg_buffercache",
                                                  "pg_freespacemap", "pg_visibility",   "pgrowlocks",  "sslinfo",
                                                  "tsm_system_rows", "tsm_system_time", "bloom"};

#define LISTED(list, name) list_has((list), sizeof(list) / sizeof *(list), (name))

/* --- the list --- */

static struct named *find(const struct shadow_names *names, enum name_kind kind, const char *schema, const char *name) {
  for (size_t i = 0; i < names->items.count; i++) {
    struct named *item = &names->items.items[i];
    if (item->kind == kind && strcmp(item->name, name) == 0 && (!schema || !item->schema || strcmp(item->schema, schema) == 0)) return item;
  }
  return NULL;
}

static void add(struct shadow *shadow, enum name_kind kind, const char *schema, const char *name) {
  struct named *slot = name ? LIST_PUSH(shadow->arena, &shadow->names->items) : NULL;
  if (slot) *slot = (struct named){kind, schema, name};
  if (kind == NAME_EXTENSION && name && !LISTED(typeless_extensions, name) && !builtin_knows_extension(name)) shadow->names->brought = true;
}

static void drop(struct shadow_names *names, enum name_kind kind, const char *schema, const char *name) {
  struct named *item = find(names, kind, schema, name);
  if (item) *item = names->items.items[--names->items.count];
}

static void add_all(struct shadow *shadow, enum name_kind kind, const char *list) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(shadow->snapshot->json, list), index, one) {
    const char *name = json_is_string(one) ? json_string_value(one) : json_str(one, "name", NULL);
    add(shadow, kind, kind == NAME_TYPE ? json_str(one, "schema", NULL) : NULL, name);
  }
}

static bool fill(struct shadow *shadow) {
  if (shadow->names) return true;
  shadow->names = ARENA_NEW(shadow->arena, struct shadow_names);
  if (!shadow->names) return false;
  const json_t *json = shadow->snapshot->json;
  shadow->names->known = json_is_array(json_object_get(json, "schemas"));
  shadow->names->all = shadow->names->known && !json_is_array(json_object_get(json, "only_schemas"));
  shadow->names->excluded = json_object_get(json, "excluded_schemas");
  add_all(shadow, NAME_SCHEMA, "schemas");
  static const char *const types[] = {"enums", "domains", "composites", "ranges"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) add_all(shadow, NAME_TYPE, types[i]);
  shadow->names->ranged = json_array_size(json_object_get(json, "ranges"));
  add_all(shadow, NAME_PUBLICATION, "publications");
  add_all(shadow, NAME_EXTENSION, "extensions");
  return true;
}

static bool is_system(const char *schema) { return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0; }

bool names_no_schema(struct shadow *shadow, const char *schema) {
  if (!schema || is_system(schema) || !fill(shadow) || !shadow->names->all || find(shadow->names, NAME_SCHEMA, NULL, schema)) return false;
  size_t index;
  json_t *excluded;
  json_array_foreach((json_t *)(uintptr_t)shadow->names->excluded, index, excluded) {
    const char *text = json_string_value(excluded);
    if (text && strcmp(text, schema) == 0) return false;
  }
  return true;
}

bool names_would_know(struct shadow *shadow, const char *schema) {
  if (!fill(shadow) || !shadow->names->known) return false;
  if (schema) return find(shadow->names, NAME_SCHEMA, NULL, schema) != NULL;
  for (size_t i = 0; i < shadow->schemas.count; i++)
    if (!find(shadow->names, NAME_SCHEMA, NULL, shadow->schemas.items[i])) return false;
  return true;
}

static bool extension_type(const struct shadow_names *names, const char *name) {
  for (size_t i = 0; i < names->items.count; i++)
    if (names->items.items[i].kind == NAME_EXTENSION && builtin_type(names->items.items[i].name, name)) return true;
  return false;
}

static bool type_there(struct shadow *shadow, const char *schema, const char *name) {
  return find(shadow->names, NAME_TYPE, schema, name) || extension_type(shadow->names, name) || shadow_find(shadow, schema, name);
}

bool names_type_there(struct shadow *shadow, const char *schema, const char *name) {
  return fill(shadow) && (LISTED(builtin_types, name) || type_there(shadow, schema, name));
}

bool names_has_extension(struct shadow *shadow, const char *name) {
  return fill(shadow) && find(shadow->names, NAME_EXTENSION, NULL, name);
}

void names_each_extension(struct shadow *shadow, void (*see)(void *arg, const char *name), void *arg) {
  for (size_t i = 0; fill(shadow) && i < shadow->names->items.count; i++)
    if (shadow->names->items.items[i].kind == NAME_EXTENSION) see(arg, shadow->names->items.items[i].name);
}

bool names_brought(struct shadow *shadow) { return !fill(shadow) || shadow->names->brought; }

/* A range brings a multirange, whose name isn't told: unless somebody chose it, it has "multirange" in it (makeMultirangeTypeName). */
static bool may_be_multirange(const struct shadow_names *names, const char *name) { return names->ranged && strstr(name, "multirange"); }

static bool no_type_named(struct shadow *shadow, const char *schema, const char *name) {
  bool system = schema ? is_system(schema) : LISTED(builtin_types, name) || strncmp(name, "pg_", 3) == 0 || *name == '_';
  return !system && names_would_know(shadow, schema) && !shadow->names->brought && !may_be_multirange(shadow->names, name) &&
         !type_there(shadow, schema, name);
}

bool names_no_type(struct shadow *shadow, const PgQuery__TypeName *type) {
  const char *schema, *name;
  if (!type || type->pct_type || type->n_names > 2) return false;
  sql_name_split(type->n_names, type->names, &schema, &name);
  return name && no_type_named(shadow, schema, name);
}

/* --- types that statements mention --- */

static void need_type(struct form *form, const PgQuery__TypeName *type, bool serial) {
  const char *schema, *name;
  if (!names_no_type(form->shadow, type)) return;
  sql_name_split(type->n_names, type->names, &schema, &name);
  if (serial && !schema && LISTED(serial_types, name)) return;
  form_fails(form, "42704", "type %s exists", sql_qualified(form->arena, schema, name));
}

struct walk {
  struct form *form;
  bool retype; /* ALTER COLUMN … TYPE: where serial is no type */
};

static bool see_types(void *arg, PgQuery__Node *node) {
  const struct walk *walk = arg;
  switch (node->node_case) {
  case NODE(COLUMN_DEF): need_type(walk->form, node->column_def->type_name, !walk->retype); break;
  case NODE(TYPE_CAST): need_type(walk->form, node->type_cast->type_name, false); break;
  case NODE(FUNCTION_PARAMETER): need_type(walk->form, node->function_parameter->arg_type, false); break;
  default: break;
  }
  return true;
}

static bool retypes(const PgQuery__Node *statement) {
  if (statement->node_case != NODE(ALTER_TABLE_STMT)) return false;
  for (size_t i = 0; i < statement->alter_table_stmt->n_cmds; i++)
    if (statement->alter_table_stmt->cmds[i]->node_case == NODE(ALTER_TABLE_CMD) &&
        statement->alter_table_stmt->cmds[i]->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType)
      return true;
  return false;
}

static void need_types(struct form *form, PgQuery__Node *statement) {
  struct walk walk = {form, retypes(statement)};
  if (statement->node_case == NODE(CREATE_FUNCTION_STMT)) need_type(form, statement->create_function_stmt->return_type, false);
  if (statement->node_case == NODE(CREATE_DOMAIN_STMT)) need_type(form, statement->create_domain_stmt->type_name, false);
  if (statement->node_case == NODE(CREATE_STMT)) need_type(form, statement->create_stmt->of_typename, false);
  sql_walk(statement, see_types, &walk);
}

/* --- schemas --- */

static void need_schema(struct form *form, const char *schema) {
  if (names_no_schema(form->shadow, schema)) form_fails(form, "3F000", "schema %s exists", sql_ident(form->arena, schema));
}

static void need_schema_of(struct form *form, const PgQuery__RangeVar *range) {
  if (range && !sql_or_null(range->catalogname)) need_schema(form, sql_or_null(range->schemaname));
}

static void create_schema(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateSchemaStmt *statement = node->create_schema_stmt;
  const char *name = sql_or_null(statement->schemaname);
  if (!name || !fill(form->shadow)) return; /* AUTHORIZATION alone: the role's name */
  bool exists = find(form->shadow->names, NAME_SCHEMA, NULL, name);
  if (exists && !statement->if_not_exists) form_fails(form, "42P06", "no schema %s exists", sql_ident(form->arena, name));
  if (strncmp(name, "pg_", 3) == 0) form_fails(form, "42939", "schema %s doesn't begin with pg_, as the system's do", name);
  if (!exists) add(form->shadow, NAME_SCHEMA, NULL, name);
}

static void grant(struct form *form, PgQuery__Node *node) {
  const PgQuery__GrantStmt *statement = node->grant_stmt;
  bool in_schema = statement->targtype == PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_ALL_IN_SCHEMA;
  if (!in_schema && statement->objtype != OBJECT(SCHEMA)) return;
  for (size_t i = 0; i < statement->n_objects; i++) need_schema(form, sql_node_string(statement->objects[i]));
}

/* --- what is made, renamed, moved, dropped --- */

static void make_type(struct form *form, const char *schema, const char *name) {
  if (!name || !fill(form->shadow)) return;
  need_schema(form, schema);
  const char *target = shadow_schema(form->shadow, schema);
  if (type_there(form->shadow, target, name)) form_fails(form, "42710", "no type %s exists", sql_qualified(form->arena, target, name));
  add(form->shadow, NAME_TYPE, target, name);
}

static void make_type_of(struct form *form, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  make_type(form, schema, name);
}

static void create_enum(struct form *form, PgQuery__Node *node) {
  make_type_of(form, node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name);
}
static void create_domain(struct form *form, PgQuery__Node *node) {
  make_type_of(form, node->create_domain_stmt->n_domainname, node->create_domain_stmt->domainname);
}
static void create_range(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateRangeStmt *statement = node->create_range_stmt;
  make_type_of(form, statement->n_type_name, statement->type_name);
  form->shadow->names->ranged = true;
  for (size_t i = 0; i < statement->n_params; i++)
    if (statement->params[i]->node_case == NODE(DEF_ELEM) && strcmp(statement->params[i]->def_elem->defname, "multirange_type_name") == 0)
      form->shadow->names->brought = true; /* its multirange, by a name of its own */
}
static void create_composite(struct form *form, PgQuery__Node *node) {
  const PgQuery__RangeVar *name = node->composite_type_stmt->typevar;
  if (name) make_type(form, sql_or_null(name->schemaname), name->relname);
}
static void create_base(struct form *form, PgQuery__Node *node) { /* a shell type is completed under its own name */
  const char *schema, *name;
  sql_name_split(node->define_stmt->n_defnames, node->define_stmt->defnames, &schema, &name);
  if (node->define_stmt->kind == OBJECT(TYPE)) add(form->shadow, NAME_TYPE, shadow_schema(form->shadow, schema), name);
}

static void make_unique(struct form *form, enum name_kind kind, const char *what, const char *name, bool if_not_exists) {
  bool exists = find(form->shadow->names, kind, NULL, name);
  if (exists && !if_not_exists) form_fails(form, "42710", "no %s %s exists", what, sql_ident(form->arena, name));
  if (!exists) add(form->shadow, kind, NULL, name);
}

static void create_publication(struct form *form, PgQuery__Node *node) {
  make_unique(form, NAME_PUBLICATION, "publication", node->create_publication_stmt->pubname, false);
}
static void create_extension(struct form *form, PgQuery__Node *node) {
  make_unique(form, NAME_EXTENSION, "extension", node->create_extension_stmt->extname, node->create_extension_stmt->if_not_exists);
}

static void need(struct form *form, enum name_kind kind, const char *what, const char *name) {
  if (!name || !form->shadow->names->known || find(form->shadow->names, kind, NULL, name)) return;
  form_fails(form, "42704", "%s %s exists", what, sql_ident(form->arena, name));
}

static void alter_publication(struct form *form, PgQuery__Node *node) {
  need(form, NAME_PUBLICATION, "publication", node->alter_publication_stmt->pubname);
}

static void drop_type(struct form *form, const PgQuery__DropStmt *statement, const PgQuery__Node *object) {
  const char *schema, *name;
  if (object->node_case != NODE(TYPE_NAME)) return;
  if (!statement->missing_ok) need_type(form, object->type_name, false);
  sql_name_split(object->type_name->n_names, object->type_name->names, &schema, &name);
  if (name) drop(form->shadow->names, NAME_TYPE, schema, name);
}

static void drop_schema(struct form *form, const PgQuery__DropStmt *statement, const char *name) {
  struct shadow_names *names = form->shadow->names;
  if (!statement->missing_ok) need_schema(form, name);
  drop(names, NAME_SCHEMA, NULL, name);
  for (size_t i = names->items.count; i-- > 0;)
    if (names->items.items[i].kind == NAME_TYPE && names->items.items[i].schema && strcmp(names->items.items[i].schema, name) == 0)
      names->items.items[i] = names->items.items[--names->items.count];
}

static void drop_objects(struct form *form, PgQuery__Node *node) {
  const PgQuery__DropStmt *statement = node->drop_stmt;
  for (size_t i = 0; i < statement->n_objects; i++) {
    const char *name = sql_node_string(statement->objects[i]);
    if (statement->remove_type == OBJECT(TYPE) || statement->remove_type == OBJECT(DOMAIN))
      drop_type(form, statement, statement->objects[i]);
    if (!name) continue;
    if (statement->remove_type == OBJECT(SCHEMA)) drop_schema(form, statement, name);
    bool publication = statement->remove_type == OBJECT(PUBLICATION);
    if (!publication && statement->remove_type != OBJECT(EXTENSION)) continue;
    enum name_kind kind = publication ? NAME_PUBLICATION : NAME_EXTENSION;
    if (!statement->missing_ok) need(form, kind, publication ? "publication" : "extension", name);
    drop(form->shadow->names, kind, NULL, name);
  }
}

static void rename_type(struct form *form, const PgQuery__RenameStmt *statement) {
  const PgQuery__Node *object = statement->object;
  const char *schema, *name;
  if (!object || object->node_case != NODE(LIST)) return;
  sql_name_split(object->list->n_items, object->list->items, &schema, &name);
  if (!name) return;
  if (no_type_named(form->shadow, schema, name)) form_fails(form, "42704", "type %s exists", sql_qualified(form->arena, schema, name));
  struct named *item = find(form->shadow->names, NAME_TYPE, schema, name);
  if (!item) return;
  if (type_there(form->shadow, item->schema, statement->newname))
    form_fails(form, "42710", "no type %s exists", sql_qualified(form->arena, item->schema, statement->newname));
  item->name = statement->newname;
}

static void rename_schema(struct form *form, const PgQuery__RenameStmt *statement) {
  struct shadow_names *names = form->shadow->names;
  const char *from = statement->subname, *to = statement->newname;
  need_schema(form, from);
  if (find(names, NAME_SCHEMA, NULL, to)) {
    form_fails(form, "42P06", "no schema %s exists", sql_ident(form->arena, to));
    return;
  }
  struct named *schema = find(names, NAME_SCHEMA, NULL, from);
  if (schema) schema->name = to;
  for (size_t i = 0; i < names->items.count; i++)
    if (names->items.items[i].schema && strcmp(names->items.items[i].schema, from) == 0) names->items.items[i].schema = to;
  shadow_rename_schema(form->shadow, from, to);
}

static void rename_object(struct form *form, PgQuery__Node *node) {
  const PgQuery__RenameStmt *statement = node->rename_stmt;
  if (statement->rename_type == OBJECT(TYPE) || statement->rename_type == OBJECT(DOMAIN)) rename_type(form, statement);
  if (statement->rename_type == OBJECT(SCHEMA)) rename_schema(form, statement);
}

static void set_schema(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterObjectSchemaStmt *statement = node->alter_object_schema_stmt;
  const PgQuery__Node *object = statement->object;
  const char *schema, *name;
  need_schema(form, statement->newschema);
  bool type = statement->object_type == OBJECT(TYPE) || statement->object_type == OBJECT(DOMAIN);
  if (!type || !object || object->node_case != NODE(LIST)) return;
  sql_name_split(object->list->n_items, object->list->items, &schema, &name);
  struct named *item = name ? find(form->shadow->names, NAME_TYPE, schema, name) : NULL;
  if (item) item->schema = statement->newschema;
}

static void comment(struct form *form, PgQuery__Node *node) {
  if (node->comment_stmt->objtype == OBJECT(SCHEMA)) need_schema(form, sql_node_string(node->comment_stmt->object));
}

static void reindex(struct form *form, PgQuery__Node *node) {
  if (node->reindex_stmt->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_SCHEMA)
    need_schema(form, sql_or_null(node->reindex_stmt->name));
}

static void create_table(struct form *form, PgQuery__Node *node) { need_schema_of(form, node->create_stmt->relation); }
static void create_view(struct form *form, PgQuery__Node *node) { need_schema_of(form, node->view_stmt->view); }
static void create_sequence(struct form *form, PgQuery__Node *node) { need_schema_of(form, node->create_seq_stmt->sequence); }
static void create_as(struct form *form, PgQuery__Node *node) {
  if (node->create_table_as_stmt->into) need_schema_of(form, node->create_table_as_stmt->into->rel);
}
static void create_function(struct form *form, PgQuery__Node *node) {
  const char *schema, *name;
  sql_name_split(node->create_function_stmt->n_funcname, node->create_function_stmt->funcname, &schema, &name);
  need_schema(form, schema);
}

static const struct {
  PgQuery__Node__NodeCase node;
  void (*apply)(struct form *, PgQuery__Node *);
} rows[] = {
    {NODE(CREATE_SCHEMA_STMT), create_schema},
    {NODE(CREATE_STMT), create_table},
    {NODE(CREATE_TABLE_AS_STMT), create_as},
    {NODE(VIEW_STMT), create_view},
    {NODE(CREATE_SEQ_STMT), create_sequence},
    {NODE(CREATE_FUNCTION_STMT), create_function},
    {NODE(CREATE_ENUM_STMT), create_enum},
    {NODE(CREATE_DOMAIN_STMT), create_domain},
    {NODE(CREATE_RANGE_STMT), create_range},
    {NODE(COMPOSITE_TYPE_STMT), create_composite},
    {NODE(DEFINE_STMT), create_base},
    {NODE(CREATE_PUBLICATION_STMT), create_publication},
    {NODE(ALTER_PUBLICATION_STMT), alter_publication},
    {NODE(CREATE_EXTENSION_STMT), create_extension},
    {NODE(DROP_STMT), drop_objects},
    {NODE(RENAME_STMT), rename_object},
    {NODE(ALTER_OBJECT_SCHEMA_STMT), set_schema},
    {NODE(GRANT_STMT), grant},
    {NODE(COMMENT_STMT), comment},
    {NODE(REINDEX_STMT), reindex},
};

void names_apply(struct form *form, PgQuery__Node *statement) {
  if (!fill(form->shadow)) return;
  need_types(form, statement);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].node == statement->node_case) rows[i].apply(form, statement);
}
