#include "worker/context/query.h"

#include "common/json.h"
#include "common/limits.h"
#include "worker/retrieval/retrieval.h"
#include "worker/schema/store.h"

#define TABLES_DEFAULT 5
#define DOCUMENTS_DEFAULT 5

static enum status read_query(struct job *job, struct retrieval_query *ret_query, struct error *err) {
  const json_t *filters = json_object_get(job->payload, "filters"), *ids = json_object_get(filters, "document_ids");
  struct retrieval_query query = {.text = json_str(job->payload, "query", ""),
                                  .max_tables = (int)json_int(job->payload, "max_schema_chunks", TABLES_DEFAULT),
                                  .max_documents = (int)json_int(job->payload, "max_doc_chunks", DOCUMENTS_DEFAULT),
                                  .source_prefix = json_str(filters, "source_prefix", NULL)};
  if (!*query.text) return error_add_field(err, "query", "must be a question");
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  if (json_is_array(ids)) {
    const char **items = arena_calloc(job->arena, json_array_size(ids) + 1, sizeof *items);
    if (!items) return error_oom(err);
    for (size_t i = 0; i < json_array_size(ids); i++) {
      const char *id = json_string_value(json_array_get(ids, i));
      if (id) items[query.document_id_count++] = id;
    }
    query.document_ids = items;
  }
  *ret_query = query;
  return OK;
}

static json_t *columns_json(const struct snap_table *table) {
  json_t *columns = json_array();
  for (size_t i = 0; i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    json_array_append_new(columns, json_pack("{s:s, s:s, s:b, s:s?}", "name", column->name, "type", column->type, "nullable",
                                             !column->not_null, "comment", column->comment));
  }
  return columns;
}

static json_t *table_json(const struct retrieval_table *found) {
  json_t *matched = json_array();
  for (size_t i = 0; i < found->column_count; i++) json_append_str(matched, found->columns[i]->name);
  return json_pack("{s:s, s:f, s:s, s:b, s:o, s:o}", "table", found->table->qualified, "score", found->score, "text", found->text, "by_fk",
                   found->by_fk, "columns", columns_json(found->table), "matched_columns", matched);
}

static json_t *document_json(const struct retrieval_document *found) {
  json_t *page = found->page ? json_integer(found->page) : json_null();
  return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s, s:i, s:f, s:s}", "document_id", found->document_id, "name", found->name, "source",
                   found->source, "heading", found->heading, "page", page, "chunk_id", found->chunk_id, "ordinal", found->ordinal, "score",
                   found->score, "text", found->text);
}

enum status context_query_run(struct job *job, json_t **ret_result, struct error *err) {
  struct retrieval_query query = {0};
  struct snapshot *snapshot = NULL;
  struct retrieval found = {0};
  enum status status = read_query(job, &query, err);
  if (!status && query.max_tables > 0) status = store_current(job, &snapshot, err);
  if (!status) status = retrieval_search(job, snapshot, &query, &found, err);
  if (status) return status;
  json_t *schema = json_array(), *documents = json_array();
  for (size_t i = 0; i < found.table_count; i++) json_array_append_new(schema, table_json(&found.tables[i]));
  for (size_t i = 0; i < found.document_count; i++) json_array_append_new(documents, document_json(&found.documents[i]));
  json_t *result = json_pack("{s:s, s:s, s:s?, s:o, s:o, s:s?, s:s, s:s?}", "connection_id", job->connection_id, "query", query.text,
                             "snapshot_id", snapshot ? snapshot->id : NULL, "schema", schema, "documents", documents, "embedding_model",
                             found.embedding_model, "mode", found.mode, "warning", found.warning);
  if (!result) return error_oom(err);
  *ret_result = result;
  return OK;
}
