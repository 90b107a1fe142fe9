/* index_spec.c - see index_spec.h. */
#include "worker/optimizer/index_spec.h"

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* --- reading --- */

static const char *dotted(struct arena *arena, size_t count, PgQuery__Node *const *parts) {
  const char *schema = NULL, *name = NULL;
  if (!count) return NULL;
  sql_name_split(count, parts, &schema, &name);
  return name ? sql_qualified(arena, schema && strcmp(schema, "pg_catalog") != 0 ? schema : NULL, name) : NULL;
}

static bool read_key(struct arena *arena, const PgQuery__Node *node, struct index_spec *spec) {
  struct index_key *key = LIST_PUSH(arena, &spec->keys);
  if (!key || node->node_case != PG_QUERY__NODE__NODE_INDEX_ELEM) return false;
  const PgQuery__IndexElem *element = node->index_elem;
  bool descending = element->ordering == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
  *key = (struct index_key){.column = sql_or_null(element->name),
                            .expression = element->expr ? sql_expression(arena, element->expr) : NULL,
                            .opclass = dotted(arena, element->n_opclass, element->opclass),
                            .collation = dotted(arena, element->n_collation, element->collation),
                            .descending = descending,
                            .nulls_first = descending};
  if (element->nulls_ordering == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST) key->nulls_first = true;
  if (element->nulls_ordering == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST) key->nulls_first = false;
  return key->column || key->expression;
}

bool index_spec_read(struct arena *arena, const struct snap_table *table, const char *definition, struct index_spec *ret_spec) {
  PgQuery__Node *node = sql_parse_statement(arena, definition);
  if (!node || node->node_case != PG_QUERY__NODE__NODE_INDEX_STMT) return false;
  const PgQuery__IndexStmt *statement = node->index_stmt;
  struct index_spec spec = {.table = table, .method = statement->access_method, .unique = statement->unique};
  for (size_t i = 0; i < statement->n_index_params; i++)
    if (!read_key(arena, statement->index_params[i], &spec)) return false;
  for (size_t i = 0; i < statement->n_index_including_params; i++) {
    const char **slot = LIST_PUSH(arena, &spec.include);
    if (!slot || statement->index_including_params[i]->node_case != PG_QUERY__NODE__NODE_INDEX_ELEM) return false;
    *slot = statement->index_including_params[i]->index_elem->name;
  }
  if (statement->where_clause && !(spec.predicate = sql_expression(arena, statement->where_clause))) return false;
  *ret_spec = spec;
  return true;
}

/* --- writing --- */

static void put_key(struct arena *arena, struct buf *out, const struct index_key *key) {
  const char *column = key->column ? sql_ident(arena, key->column) : NULL;
  if (column)
    buf_puts(out, column);
  else
    buf_printf(out, "(%s)", key->expression ? key->expression : "");
  if (key->collation) buf_printf(out, " COLLATE %s", key->collation);
  if (key->opclass) buf_printf(out, " %s", key->opclass);
  if (key->descending) buf_puts(out, " DESC");
  if (key->nulls_first != key->descending) buf_puts(out, key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
}

static void put_body(struct arena *arena, struct buf *out, const struct index_spec *spec) {
  if (strcmp(spec->method, "btree") != 0) buf_printf(out, "USING %s ", spec->method);
  buf_putc(out, '(');
  for (size_t i = 0; i < spec->keys.count; i++) {
    if (i) buf_puts(out, ", ");
    put_key(arena, out, &spec->keys.items[i]);
  }
  buf_putc(out, ')');
  const char *include = spec->include.count ? sql_ident_list(arena, spec->include.items, spec->include.count) : NULL;
  if (include) buf_printf(out, " INCLUDE (%s)", include);
  if (spec->predicate) buf_printf(out, " WHERE %s", spec->predicate);
}

static const char *finish(struct arena *arena, const struct buf *out) {
  return buf_ok(out) ? arena_strndup(arena, buf_str(out), out->len) : NULL;
}

const char *index_spec_text(struct arena *arena, const struct index_spec *spec) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  buf_printf(&out, "%s ", spec->table->qualified);
  put_body(arena, &out, spec);
  return finish(arena, &out);
}

const char *index_spec_create(struct arena *arena, const struct index_spec *spec, const char *name, bool concurrently) {
  BUF_AUTO out;
  const char *index = sql_ident(arena, name), *table = sql_qualified(arena, spec->table->schema, spec->table->name);
  if (!index || !table) return NULL;
  buf_init(&out, LIMIT_SQL_BYTES);
  buf_printf(&out, "CREATE INDEX %s%s ON %s ", concurrently && spec->table->kind != SNAP_PARTITIONED ? "CONCURRENTLY " : "", index, table);
  put_body(arena, &out, spec);
  return finish(arena, &out);
}

const char *index_spec_probe(struct arena *arena, const struct index_spec *spec) {
  const char *table = sql_qualified(arena, spec->table->schema, spec->table->name);
  return table ? arena_printf(arena, "SELECT 1 FROM %s WHERE %s", table, spec->predicate ? spec->predicate : "true") : NULL;
}

/* --- names --- */

/* Letters, digits and underscores of a text, each run of others as one underscore. */
static void put_word(struct buf *out, const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
    bool word = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c >= 0x80;
    if (*c >= 'A' && *c <= 'Z')
      buf_putc(out, (char)(*c - 'A' + 'a'));
    else if (word)
      buf_putc(out, (char)*c);
    else if (out->len && out->data[out->len - 1] != '_')
      buf_putc(out, '_');
  }
  while (out->len && out->data[out->len - 1] == '_') buf_cut(out, out->len - 1);
}

static bool taken(const struct snapshot *snapshot, const char *schema, const char *name) {
  return snapshot_table(snapshot, schema, name) != NULL || snapshot_index_table(snapshot, schema, name, NULL) != NULL;
}

static const char *table_word(struct arena *arena, const struct snap_table *table) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  put_word(&out, table->name);
  return out.len ? finish(arena, &out) : "table";
}

/* The keys as words; NULL when memory is gone. */
static const char *key_words(struct arena *arena, const struct index_spec *spec) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  for (size_t i = 0; i < spec->keys.count; i++) {
    if (i) buf_putc(&out, '_');
    put_word(&out, spec->keys.items[i].column ? spec->keys.items[i].column : spec->keys.items[i].expression);
  }
  return finish(arena, &out);
}

const char *index_spec_name(struct arena *arena, const struct snapshot *snapshot, const struct index_spec *spec, int again) {
  const char *kind = spec->predicate ? "part_idx" : spec->include.count ? "cover_idx" : "idx", *words = key_words(arena, spec);
  const char *table = table_word(arena, spec->table);
  for (int round = again; table && words && round < again + 1000; round++) {
    char label[24];
    snprintf(label, sizeof label, round ? "%s%d" : "%s", kind, round);
    const char *name = sql_made_name(arena, table, words, label);
    if (!name || !taken(snapshot, spec->table->schema, name)) return name;
  }
  return NULL;
}

/* --- comparing --- */

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool same_key(const struct index_key *a, const struct index_key *b, bool backwards) {
  return same_text(a->column, b->column) && same_text(a->expression, b->expression) && same_text(a->opclass, b->opclass) &&
         same_text(a->collation, b->collation) && (a->descending == b->descending) != backwards &&
         (a->nulls_first == b->nulls_first) != backwards;
}

/* The first `count` keys, in the same direction or all the other way round. */
static bool keys_lead(const struct index_spec *wide, const struct index_spec *narrow, bool backwards) {
  for (size_t i = 0; i < narrow->keys.count; i++)
    if (!same_key(&wide->keys.items[i], &narrow->keys.items[i], backwards)) return false;
  return true;
}

static bool holds(const struct index_spec *spec, const char *column) {
  for (size_t i = 0; i < spec->keys.count; i++)
    if (same_text(spec->keys.items[i].column, column)) return true;
  return list_has(spec->include.items, spec->include.count, column);
}

bool index_spec_covers(const struct index_spec *wide, const struct index_spec *narrow) {
  bool ordered = strcmp(wide->method, "btree") == 0;
  if (wide->table != narrow->table || strcmp(wide->method, narrow->method) != 0 || wide->keys.count < narrow->keys.count) return false;
  if (wide->predicate && !same_text(wide->predicate, narrow->predicate)) return false;
  if (!keys_lead(wide, narrow, false) && !(ordered && keys_lead(wide, narrow, true))) return false;
  for (size_t i = 0; i < narrow->include.count; i++)
    if (!holds(wide, narrow->include.items[i])) return false;
  return true;
}

bool index_spec_same(const struct index_spec *a, const struct index_spec *b) {
  return a->keys.count == b->keys.count && a->unique == b->unique && same_text(a->predicate, b->predicate) && index_spec_covers(a, b) &&
         index_spec_covers(b, a);
}

static bool text_mentions(struct arena *arena, const char *expression, const char *column) {
  PgQuery__Node *node = expression ? sql_parse_expression(arena, expression) : NULL;
  return node && sql_mentions_column(node, column);
}

bool index_spec_mentions(struct arena *arena, const struct index_spec *spec, const char *column) {
  for (size_t i = 0; i < spec->keys.count; i++)
    if (text_mentions(arena, spec->keys.items[i].expression, column)) return true;
  return holds(spec, column) || text_mentions(arena, spec->predicate, column);
}
