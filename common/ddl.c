/* ddl.c - asks for every object's statements and for who needs whom, and writes them so that what is needed comes first.
 *
 * The objects are sorted by place and name and then visited in that order, each after those it needs: the text depends on nothing but
 * the schema. A circle (two functions with SQL bodies that call each other) is cut where it is met. */
#include "common/ddl.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/ddl_sql.h"
#include "common/limits.h"
#include "common/pg.h"

#define DEPTH_MAX 4096 /* of needs followed from one object */
#define ALIAS_STEPS 8  /* an array's element's table … */

static const char head[] = "SET standard_conforming_strings = on;\n"
                           "SELECT pg_catalog.set_config('search_path', '', false);\n"
                           "SET check_function_bodies = false;\n"
                           "SET client_min_messages = warning;\n\n";

struct address {
  uint32_t classid, objid;
};
struct object {
  struct address address;
  int place;
  const char *key, *sql; /* in the result it came from */
  size_t first_need, need_count;
  bool written;
};
struct pair { /* `from` is part of, or needs, `to` */
  struct address from, to;
};
struct writer {
  PGconn *conn;
  struct arena *arena;
  const char *namespaces;
  struct object *objects; /* sorted by place and key */
  size_t count;
  struct object **by_address;
  struct pair *aliases, *needs; /* sorted by `from` */
  size_t alias_count, need_count;
  struct buf out;
};

/* --- reading --- */

static void clear_result(void *res) { PQclear(res); }

/* The result lives as long as the arena. */
static enum status ask(struct writer *writer, const char *sql, PGresult **ret_res, struct error *err) {
  const char *const params[] = {writer->namespaces};
  PGresult *res = NULL;
  enum status status = pg_query(writer->conn, sql, 1, params, &res, err);
  if (status) return status;
  if (arena_defer(writer->arena, clear_result, res)) return error_oom(err);
  *ret_res = res;
  return OK;
}

static struct address address_at(const PGresult *res, int row, int col) {
  return (struct address){(uint32_t)pg_int(res, row, col, 0), (uint32_t)pg_int(res, row, col + 1, 0)};
}

static enum status append_objects(struct writer *writer, const PGresult *res, struct error *err) {
  int rows = PQntuples(res);
  struct object *grown = arena_calloc(writer->arena, writer->count + (size_t)rows + 1, sizeof *grown);
  if (!grown) return error_oom(err);
  if (writer->count) memcpy(grown, writer->objects, writer->count * sizeof *grown);
  for (int row = 0; row < rows; row++) {
    const char *sql = pg_str(res, row, 4);
    if (!sql) return error_set_code(err, ERR_UNAVAILABLE, "SCHEMA_CHANGING", "the schema changed while it was written down");
    grown[writer->count++] =
        (struct object){.address = address_at(res, row, 0), .place = (int)pg_int(res, row, 2, 0), .key = pg_str(res, row, 3), .sql = sql};
  }
  writer->objects = grown;
  return OK;
}

static int compare_addresses(struct address a, struct address b) {
  if (a.classid != b.classid) return a.classid < b.classid ? -1 : 1;
  return a.objid == b.objid ? 0 : a.objid < b.objid ? -1 : 1;
}

static int compare_pairs(const void *a, const void *b) {
  const struct pair *left = a, *right = b;
  int order = compare_addresses(left->from, right->from);
  return order ? order : compare_addresses(left->to, right->to);
}

static int compare_objects(const void *a, const void *b) {
  const struct object *left = a, *right = b;
  if (left->place != right->place) return left->place - right->place;
  int order = strcmp(left->key ? left->key : "", right->key ? right->key : "");
  return order ? order : compare_addresses(left->address, right->address);
}

static int compare_by_address(const void *a, const void *b) {
  return compare_addresses((*(struct object *const *)a)->address, (*(struct object *const *)b)->address);
}

static enum status read_pairs(struct writer *writer, const char *sql, struct pair **ret_pairs, size_t *ret_count, struct error *err) {
  PGresult *res = NULL;
  enum status status = ask(writer, sql, &res, err);
  if (status) return status;
  size_t count = (size_t)PQntuples(res);
  struct pair *pairs = arena_calloc(writer->arena, count + 1, sizeof *pairs);
  if (!pairs) return error_oom(err);
  for (size_t i = 0; i < count; i++) pairs[i] = (struct pair){address_at(res, (int)i, 0), address_at(res, (int)i, 2)};
  qsort(pairs, count, sizeof *pairs, compare_pairs);
  *ret_pairs = pairs;
  *ret_count = count;
  return OK;
}

/* --- who is who --- */

static struct object *object_at(const struct writer *writer, struct address address) {
  struct object sought = {.address = address}, *key = &sought;
  struct object **found = bsearch(&key, writer->by_address, writer->count, sizeof *writer->by_address, compare_by_address);
  return found ? *found : NULL;
}

static const struct pair *alias_of(const struct writer *writer, struct address part) {
  size_t low = 0, high = writer->alias_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = compare_addresses(writer->aliases[middle].from, part);
    if (order == 0) return &writer->aliases[middle];
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* The object that makes what lies at an address; NULL: nothing of ours. */
static struct object *maker_of(const struct writer *writer, struct address address) {
  for (int step = 0; step < ALIAS_STEPS; step++) {
    struct object *object = object_at(writer, address);
    const struct pair *alias = object ? NULL : alias_of(writer, address);
    if (!alias) return object;
    address = alias->to;
  }
  return NULL;
}

/* Needs between parts become needs between what makes them, sorted again by who needs. */
static void resolve_needs(struct writer *writer) {
  size_t kept = 0;
  for (size_t i = 0; i < writer->need_count; i++) {
    const struct object *from = maker_of(writer, writer->needs[i].from), *to = maker_of(writer, writer->needs[i].to);
    if (from && to && from != to) writer->needs[kept++] = (struct pair){from->address, to->address};
  }
  writer->need_count = kept;
  qsort(writer->needs, kept, sizeof *writer->needs, compare_pairs);
  for (size_t i = 0; i < kept; i++) {
    struct object *object = object_at(writer, writer->needs[i].from);
    if (object->need_count++ == 0) object->first_need = i;
  }
}

static enum status index_objects(struct writer *writer, struct error *err) {
  qsort(writer->objects, writer->count, sizeof *writer->objects, compare_objects);
  writer->by_address = arena_calloc(writer->arena, writer->count + 1, sizeof(struct object *));
  if (!writer->by_address) return error_oom(err);
  for (size_t i = 0; i < writer->count; i++) writer->by_address[i] = &writer->objects[i];
  qsort(writer->by_address, writer->count, sizeof *writer->by_address, compare_by_address);
  return OK;
}

static enum status read_all(struct writer *writer, struct error *err) {
  for (int i = 0; ddl_makers[i]; i++) {
    PGresult *res = NULL;
    enum status status = ask(writer, ddl_makers[i], &res, err);
    if (!status) status = append_objects(writer, res, err);
    if (status) return status;
  }
  enum status status = index_objects(writer, err);
  if (!status) status = read_pairs(writer, ddl_aliases_sql, &writer->aliases, &writer->alias_count, err);
  if (!status) status = read_pairs(writer, ddl_needs_sql, &writer->needs, &writer->need_count, err);
  if (!status) resolve_needs(writer);
  return status;
}

/* --- writing --- */

static void write_object(struct writer *writer, struct object *object, int depth) {
  if (object->written) return;
  object->written = true; /* before what it needs: a circle ends here */
  for (size_t i = 0; i < object->need_count && depth < DEPTH_MAX; i++)
    write_object(writer, object_at(writer, writer->needs[object->first_need + i].to), depth + 1);
  buf_puts(&writer->out, object->sql);
  buf_puts(&writer->out, "\n\n");
}

static enum status write_finishers(struct writer *writer, struct error *err) {
  for (int i = 0; ddl_finishers[i]; i++) {
    PGRESULT_AUTO res = NULL;
    const char *const params[] = {writer->namespaces};
    enum status status = pg_query(writer->conn, ddl_finishers[i], 1, params, &res, err);
    if (status) return status;
    for (int row = 0; row < PQntuples(res); row++) {
      const char *sql = pg_str(res, row, 0);
      if (!sql || !*sql) continue;
      buf_puts(&writer->out, sql);
      buf_puts(&writer->out, "\n\n");
    }
  }
  return OK;
}

static enum status write_all(struct writer *writer, const char **ret_sql, struct error *err) {
  buf_puts(&writer->out, head);
  for (size_t i = 0; i < writer->count; i++) write_object(writer, &writer->objects[i], 0);
  enum status status = write_finishers(writer, err);
  if (status) return status;
  if (!buf_ok(&writer->out)) return error_set(err, ERR_TOO_LARGE, "the schema's script is larger than %d MiB", LIMIT_DUMP_BYTES >> 20);
  *ret_sql = buf_str(&writer->out);
  return OK;
}

static enum status choose_schemas(struct writer *writer, struct error *err) {
  PGRESULT_AUTO res = NULL;
  if (writer->namespaces) return OK;
  enum status status = pg_query(writer->conn, ddl_schemas_sql, 0, NULL, &res, err);
  if (status) return status;
  const char *all = PQntuples(res) == 1 ? pg_str(res, 0, 0) : NULL;
  writer->namespaces = arena_strdup(writer->arena, all ? all : "{}");
  return writer->namespaces ? OK : error_oom(err);
}

enum status ddl_script(PGconn *conn, const char *namespaces, struct arena *arena, const char **ret_sql, struct error *err) {
  ARENA_AUTO scratch = arena_new(2UL * LIMIT_DUMP_BYTES);
  if (!scratch) return error_oom(err);
  struct writer writer = {.conn = conn, .arena = scratch, .namespaces = namespaces};
  const char *text = NULL;
  buf_init(&writer.out, LIMIT_DUMP_BYTES);
  enum status status = choose_schemas(&writer, err);
  if (!status) status = read_all(&writer, err);
  if (!status) status = write_all(&writer, &text, err);
  const char *sql = status ? NULL : arena_strdup(arena, text);
  buf_free(&writer.out);
  if (status) return status;
  if (!sql) return error_oom(err);
  *ret_sql = sql;
  return OK;
}
