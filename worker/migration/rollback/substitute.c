/* rollback/substitute.c - a statement of the dump about an object that has another name by now.
 *
 * When a migration moves an object aside, puts another in its place and drops the first, the way back meets the new one under the old name
 * still: the first is made again under the name it was dropped by, and the undone rename gives it its own. */
#include "worker/migration/rollback/impl.h"

static bool is_text(const PgQuery__Node *node, const char *text) {
  const char *own = sql_node_string(node);
  return own && text && strcmp(own, text) == 0;
}

static void in_message(ProtobufCMessage *message, const struct rollback_renaming *renaming);

/* schema.name as two String nodes one after the other. */
static void in_list(size_t count, ProtobufCMessage **items, const struct rollback_renaming *renaming) {
  for (size_t i = 0; i + 1 < count; i++) {
    if (items[i]->descriptor != &pg_query__node__descriptor || items[i + 1]->descriptor != &pg_query__node__descriptor) return;
    PgQuery__Node *schema = (PgQuery__Node *)(void *)items[i], *name = (PgQuery__Node *)(void *)items[i + 1];
    if (!is_text(schema, renaming->schema) || !is_text(name, renaming->was)) continue;
    schema->string->sval = (char *)(uintptr_t)renaming->now_schema;
    name->string->sval = (char *)(uintptr_t)renaming->now;
  }
}

static void in_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const struct rollback_renaming *renaming) {
  const char *base = (const char *)message;
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
    ProtobufCMessage **items = *(ProtobufCMessage ***)(void *)(uintptr_t)(base + field->offset);
    in_list(count, items, renaming);
    for (size_t i = 0; i < count; i++) in_message(items[i], renaming);
    return;
  }
  bool chosen = !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
                (uint32_t) * (const int *)(const void *)(base + field->quantifier_offset) == field->id;
  ProtobufCMessage *child = chosen ? *(ProtobufCMessage **)(void *)(uintptr_t)(base + field->offset) : NULL;
  if (child) in_message(child, renaming);
}

static void in_message(ProtobufCMessage *message, const struct rollback_renaming *renaming) {
  if (message->descriptor == &pg_query__range_var__descriptor) {
    PgQuery__RangeVar *range = (PgQuery__RangeVar *)(void *)message;
    if (strcmp(range->schemaname, renaming->schema) == 0 && strcmp(range->relname, renaming->was) == 0) {
      range->schemaname = (char *)(uintptr_t)renaming->now_schema;
      range->relname = (char *)(uintptr_t)renaming->now;
    }
  }
  for (unsigned i = 0; i < message->descriptor->n_fields; i++)
    if (message->descriptor->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) in_field(message, &message->descriptor->fields[i], renaming);
}

const char *rollback_substitute(struct rollback *rollback, const char *text) {
  if (!rollback->renamings.count) return text;
  PgQuery__Node *node = sql_parse_statement(rollback->arena, text);
  if (!node) return text;
  for (size_t i = 0; i < rollback->renamings.count; i++) in_message(&node->base, &rollback->renamings.items[i]);
  const char *changed = sql_statement_text(rollback->arena, node);
  return changed ? changed : text;
}
