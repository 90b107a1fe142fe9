/* Any text as a query to be rewritten: what is proposed parses, differs from the query, and says which rule it is by. */
#include <stdint.h>
#include <stdlib.h>

#include "worker/optimizer/rewrite/rewrite.h"
#include "worker/sql/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMN(name, type, nullable) "{\"name\":\"" name "\",\"type\":\"" type "\",\"nullable\":" nullable "}"
#define KEY(table)                                                                                   \
  "\"primary_key\":{\"name\":\"" table "_pkey\",\"columns\":[\"id\"],\"index\":\"" table "_pkey\"}," \
  "\"indexes\":[{\"name\":\"" table "_pkey\",\"columns\":[\"id\"],\"unique\":true,\"primary\":true,\"valid\":true,\"method\":\"btree\"}]"

static const char schema_json[] =
    "{\"search_path_schemas\":[\"public\"],\"timezone\":\"UTC\",\"tables\":["
    "{\"schema\":\"public\",\"name\":\"customers\",\"kind\":\"table\",\"columns\":[" COLUMN("id", "integer", "false") "," COLUMN(
        "name", "text",
        "true") "," COLUMN("score", "integer",
                           "true") "]," KEY("customers") "},"
                                                         "{\"schema\":\"public\",\"name\":\"orders\",\"kind\":\"table\",\"columns\":"
                                                         "[" COLUMN("id", "bigint", "false") "," COLUMN("customer_id", "integer", "false") "," COLUMN(
                                                             "discount", "integer",
                                                             "true") "," COLUMN("total", "numeric",
                                                                                "true") "," COLUMN("at", "timestamp without time zone",
                                                                                                   "true") "]," KEY("orders") ","
                                                                                                                              "\"foreign_"
                                                                                                                              "keys\":[{"
                                                                                                                              "\"name\":"
                                                                                                                              "\"orders_"
                                                                                                                              "customer\","
                                                                                                                              "\"columns\":"
                                                                                                                              "[\"customer_"
                                                                                                                              "id\"],\"ref_"
                                                                                                                              "schema\":"
                                                                                                                              "\"public\","
                                                                                                                              "\"ref_"
                                                                                                                              "table\":"
                                                                                                                              "\"customers"
                                                                                                                              "\",\"ref_"
                                                                                                                              "columns\":["
                                                                                                                              "\"id\"],"
                                                                                                                              "\"validated"
                                                                                                                              "\":true}]}]"
                                                                                                                              "}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ARENA_AUTO arena = arena_new((size_t)512 << 20);
  ERROR_AUTO err = {0};
  struct snapshot *snapshot;
  json_t *json = arena_json(arena, json_loads(schema_json, 0, NULL));
  if (snapshot_load(json, arena, &snapshot, &err) != OK) abort();
  struct rewrite_list *list = ARENA_NEW(arena, struct rewrite_list);
  const char *sql = arena_strndup(arena, (const char *)data, size), *why;
  if (!list || !sql || rewrite_propose(snapshot, sql, arena, list, &why, &err)) return 0;
  if (why && list->count) abort();
  for (size_t i = 0; i < list->count; i++)
    if (!list->items[i].rule || strcmp(list->items[i].sql, sql) == 0 || !sql_parse_statement(arena, list->items[i].sql)) abort();
  return 0;
}
