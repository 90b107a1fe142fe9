/* forms/indexing.c - access methods, and the types each has an operator class for by default. */
#include "worker/migration/forms/indexing.h"

#include "worker/migration/forms/names.h"
#include "worker/migration/forms/typing.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name

/* Operator classes of pg_catalog, of any access method, PostgreSQL 13 to 18. */
static const char own_classes[] =
    " aclitem_ops array_ops bit_minmax_ops bit_ops bool_ops box_inclusion_ops box_ops bpchar_bloom_ops bpchar_minmax_ops bpchar_ops "
    "bpchar_pattern_ops bytea_bloom_ops bytea_minmax_ops bytea_ops char_bloom_ops char_minmax_ops char_ops cid_ops cidr_ops "
    "circle_ops date_bloom_ops date_minmax_multi_ops date_minmax_ops date_ops enum_ops float4_bloom_ops float4_minmax_multi_ops "
    "float4_minmax_ops float4_ops float8_bloom_ops float8_minmax_multi_ops float8_minmax_ops float8_ops inet_bloom_ops "
    "inet_inclusion_ops inet_minmax_multi_ops inet_minmax_ops inet_ops int2_bloom_ops int2_minmax_multi_ops int2_minmax_ops int2_ops "
    "int4_bloom_ops int4_minmax_multi_ops int4_minmax_ops int4_ops int8_bloom_ops int8_minmax_multi_ops int8_minmax_ops int8_ops "
    "interval_bloom_ops interval_minmax_multi_ops interval_minmax_ops interval_ops jsonb_ops jsonb_path_ops kd_point_ops "
    "macaddr8_bloom_ops macaddr8_minmax_multi_ops macaddr8_minmax_ops macaddr8_ops macaddr_bloom_ops macaddr_minmax_multi_ops "
    "macaddr_minmax_ops macaddr_ops money_ops multirange_ops name_bloom_ops name_minmax_ops name_ops numeric_bloom_ops "
    "numeric_minmax_multi_ops numeric_minmax_ops numeric_ops oid_bloom_ops oid_minmax_multi_ops oid_minmax_ops oid_ops oidvector_ops "
    "pg_lsn_bloom_ops pg_lsn_minmax_multi_ops pg_lsn_minmax_ops pg_lsn_ops point_ops poly_ops quad_point_ops range_inclusion_ops "
    "range_ops record_image_ops record_ops text_bloom_ops text_minmax_ops text_ops text_pattern_ops tid_bloom_ops "
    "tid_minmax_multi_ops tid_minmax_ops tid_ops time_bloom_ops time_minmax_multi_ops time_minmax_ops time_ops timestamp_bloom_ops "
    "timestamp_minmax_multi_ops timestamp_minmax_ops timestamp_ops timestamptz_bloom_ops timestamptz_minmax_multi_ops "
    "timestamptz_minmax_ops timestamptz_ops timetz_bloom_ops timetz_minmax_multi_ops timetz_minmax_ops timetz_ops tsquery_ops "
    "tsvector_ops uuid_bloom_ops uuid_minmax_multi_ops uuid_minmax_ops uuid_ops varbit_minmax_ops varbit_ops varchar_ops "
    "varchar_pattern_ops xid8_ops xid_ops ";

static const struct {
  const char *name;
  bool unique, ordered, included, many; /* UNIQUE, ASC and DESC, INCLUDE, several columns */
} methods[] = {{"btree", true, true, true, true},  {"hash", false, false, false, false},  {"gist", false, false, true, true},
               {"gin", false, false, false, true}, {"spgist", false, false, true, false}, {"brin", false, false, false, true}};

static bool is_own_class(const char *name) {
  size_t len = strlen(name);
  for (const char *at = strstr(own_classes, name); at; at = strstr(at + 1, name))
    if (at > own_classes && at[-1] == ' ' && at[len] == ' ') return true;
  return false;
}

/* Types that have no order, and no hash, whatever is installed. */
static bool is_unordered(const char *type) {
  static const char *const types[] = {"json", "xml", "point", "line", "lseg", "path", "polygon", "box", "circle"};
  for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i], type) == 0) return true;
  return false;
}

/* The common types that gin and gist index only with an extension's help. */
static bool is_scalar(enum type_class class) { return class >= TYPE_NUMBER && class <= TYPE_JSON; }

static void need_class(struct form *form, const char *method, const char *type) {
  enum type_class class = typing_class(form->shadow, type);
  bool missing = false;
  if (names_brought(form->shadow) || !names_would_know(form->shadow, NULL)) return;
  if (strcmp(method, "btree") == 0 || strcmp(method, "hash") == 0) missing = is_unordered(type);
  if (strcmp(method, "gin") == 0) missing = is_scalar(class) && (class == TYPE_JSON || !names_has_extension(form->shadow, "btree_gin"));
  if (strcmp(method, "gist") == 0)
    missing = class == TYPE_JSON || class == TYPE_JSONB || (is_scalar(class) && !names_has_extension(form->shadow, "btree_gist"));
  if (missing) form_fails(form, "42704", "%s has an operator class for access method %s", type, method);
}

/* Whether one of the extensions that are there may have brought the class: those of contrib that have any, and their names. */
static bool is_brought(struct shadow *shadow, const char *class) {
  static const struct {
    const char *extension, *part;
  } brought[] = {{"pg_trgm", "trgm"}, {"btree_gin", "_ops"}, {"btree_gist", "gist_"}, {"intarray", "int"}, {"hstore", "hstore"},
                 {"ltree", "ltree"},  {"citext", "citext"},  {"cube", "cube"},        {"seg", "seg"},      {"bloom", "_ops"},
                 {"vector", "_ops"},  {"isn", "_ops"},       {"lo", "_ops"},          {"xml2", "_ops"}};
  for (size_t i = 0; i < sizeof brought / sizeof *brought; i++)
    if (names_has_extension(shadow, brought[i].extension) && strstr(class, brought[i].part)) return true;
  return names_brought(shadow);
}

static void check_element(struct form *form, const struct rel *rel, const char *method, const PgQuery__IndexElem *element) {
  const char *schema, *class;
  sql_name_split(element->n_opclass, element->opclass, &schema, &class);
  const struct snap_column *column = sql_or_null(element->name) ? snap_table_column(rel->t, element->name) : NULL;
  if (!class && column) need_class(form, method, column->type);
  if (class && !schema && names_would_know(form->shadow, NULL) && !is_own_class(class) && !is_brought(form->shadow, class))
    form_fails(form, "42704", "operator class %s exists", class);
}

void indexing_check(struct form *form, const struct rel *rel, const PgQuery__IndexStmt *statement) {
  const char *method = sql_or_null(statement->access_method) ? statement->access_method : "btree";
  if (rel->vague) return;
  if (strcmp(method, "rtree") == 0) method = "gist";
  size_t at = 0;
  while (at < sizeof methods / sizeof *methods && strcmp(methods[at].name, method) != 0) at++;
  if (at == sizeof methods / sizeof *methods) {
    if (!names_brought(form->shadow) && names_would_know(form->shadow, NULL) && !names_has_extension(form->shadow, method))
      form_fails(form, "42704", "access method %s exists", method);
    return;
  }
  if (statement->unique && !methods[at].unique) form_fails(form, "0A000", "access method %s knows unique indexes", method);
  if (statement->n_index_including_params && !methods[at].included && form->shadow->version >= 140000)
    form_fails(form, "0A000", "access method %s includes columns", method);
  if (statement->n_index_params > 1 && !methods[at].many) form_fails(form, "0A000", "access method %s takes several columns", method);
  for (size_t i = 0; i < statement->n_index_params; i++) {
    if (statement->index_params[i]->node_case != NODE(INDEX_ELEM)) continue;
    const PgQuery__IndexElem *element = statement->index_params[i]->index_elem;
    check_element(form, rel, method, element);
    if (!methods[at].ordered && element->ordering > PG_QUERY__SORT_BY_DIR__SORTBY_DEFAULT)
      form_fails(form, "0A000", "access method %s knows ASC and DESC", method);
  }
}

void indexing_key(struct form *form, const struct rel *rel, const char *const *columns, size_t count) {
  for (size_t i = 0; !rel->vague && i < count; i++) {
    const struct snap_column *column = snap_table_column(rel->t, columns[i]);
    if (column) need_class(form, "btree", column->type);
  }
}
