/* A question in any bytes over a schema of odd names: an answer that parses, or a question back. */
#include <pg_query.h>
#include <stdint.h>
#include <stdlib.h>

#include "worker/text2sql/generator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_json[] = "{\"search_path_schemas\":[\"public\"],\"tables\":["
                                  "{\"schema\":\"public\",\"name\":\"customers\",\"kind\":\"table\",\"columns\":[{\"name\":\"id\",\"type\":"
                                  "\"bigint\"},{\"name\":\"name\",\"type\":\"text\"},"
                                  "{\"name\":\"is_active\",\"type\":\"boolean\"},{\"name\":\"created_at\",\"type\":\"timestamp with time "
                                  "zone\"}],\"primary_key\":{\"name\":\"p\",\"columns\":[\"id\"]}},"
                                  "{\"schema\":\"public\",\"name\":\"Order\\\"s\",\"kind\":\"table\",\"columns\":[{\"name\":\"id\","
                                  "\"type\":\"bigint\"},{\"name\":\"customer_id\",\"type\":\"bigint\"},"
                                  "{\"name\":\"manager_id\",\"type\":\"bigint\"},{\"name\":\"total "
                                  "amount\",\"type\":\"numeric\"},{\"name\":\"ordered_on\",\"type\":\"date\"}],"
                                  "\"primary_key\":{\"name\":\"q\",\"columns\":[\"id\"]}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ARENA_AUTO arena = arena_new((size_t)64 << 20);
  ERROR_AUTO err = {0};
  struct snapshot *snapshot;
  json_t *json = arena_json(arena, json_loads(schema_json, 0, NULL));
  if (snapshot_load(json, arena, &snapshot, &err) != OK) abort();
  struct generator_request request = {.question = arena_strndup(arena, (const char *)data, size), .snapshot = snapshot};
  struct generator_answer answer = {0};
  if (generator_builtin.generate(&request, arena, &answer, &err) != OK) return 0;
  if (!answer.reasoning || (answer.sql == NULL) != (answer.clarify != NULL)) abort();
  if (!answer.sql) return 0;
  PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(answer.sql);
  if (parsed.error) abort();
  pg_query_free_protobuf_parse_result(parsed);
  return 0;
}
