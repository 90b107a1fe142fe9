/* tree.c - one walker for every node type, driven by the protobuf descriptors.
 *
 * libpg_query has some 270 node types; the descriptors say where each keeps its children, so nothing is listed by hand and
 * nothing is forgotten when the grammar grows. */
#include "worker/sql/tree.h"

static void *arena_take(void *arena, size_t size) { return arena_alloc(arena, size); }
static void arena_keep(void *arena, void *memory) {
  (void)arena;
  (void)memory;
}

void sql_allocator(struct arena *arena, ProtobufCAllocator *ret_allocator) {
  *ret_allocator = (ProtobufCAllocator){.alloc = arena_take, .free = arena_keep, .allocator_data = arena};
}

const char *sql_node_string(const PgQuery__Node *node) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_STRING) return NULL;
  return node->string->sval;
}

void sql_name_split(size_t count, PgQuery__Node *const *parts, const char **ret_schema, const char **ret_name) {
  *ret_schema = count >= 2 ? sql_node_string(parts[count - 2]) : NULL;
  *ret_name = count >= 1 ? sql_node_string(parts[count - 1]) : NULL;
}

bool sql_node_int(const PgQuery__Node *node, long *ret_value) {
  if (!node) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_INTEGER) {
    *ret_value = node->integer->ival;
    return true;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL) return false;
  *ret_value = node->a_const->ival->ival;
  return true;
}

static void each_of_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, sql_child each, void *arg) {
  const char *base = (const char *)message;
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
    ProtobufCMessage **items = *(ProtobufCMessage ***)(void *)(uintptr_t)(base + field->offset);
    for (size_t i = 0; i < count; i++)
      if (items[i]) each(arg, items[i]);
    return;
  }
  if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
    int chosen = *(const int *)(const void *)(base + field->quantifier_offset);
    if ((uint32_t)chosen != field->id) return;
  }
  ProtobufCMessage *child = *(ProtobufCMessage **)(void *)(uintptr_t)(base + field->offset);
  if (child) each(arg, child);
}

void sql_children(const ProtobufCMessage *message, sql_child each, void *arg) {
  const ProtobufCMessageDescriptor *type = message->descriptor;
  if (type == &pg_query__node__descriptor) { /* one of 270 fields, which the case names */
    const ProtobufCFieldDescriptor *chosen =
        protobuf_c_message_descriptor_get_field(type, (unsigned)((const PgQuery__Node *)message)->node_case);
    if (chosen) each_of_field(message, chosen, each, arg);
    return;
  }
  for (unsigned i = 0; i < type->n_fields; i++)
    if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) each_of_field(message, &type->fields[i], each, arg);
}

struct walk {
  sql_visit visit;
  void *arg;
};

static void walk_child(void *arg, ProtobufCMessage *child) {
  const struct walk *walk = arg;
  sql_walk_message(child, walk->visit, walk->arg);
}

void sql_walk_message(ProtobufCMessage *message, sql_visit visit, void *arg) {
  if (!message) return;
  if (message->descriptor == &pg_query__node__descriptor && !visit(arg, (PgQuery__Node *)message)) return;
  struct walk walk = {visit, arg};
  sql_children(message, walk_child, &walk);
}

void sql_walk(PgQuery__Node *node, sql_visit visit, void *arg) {
  if (node) sql_walk_message(&node->base, visit, arg);
}

struct mention {
  const char *column;
  bool found;
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct mention *mention = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && node->column_ref->n_fields) {
    const PgQuery__ColumnRef *ref = node->column_ref;
    for (size_t i = 0; i < ref->n_fields; i++) {
      const char *name = sql_node_string(ref->fields[i]);
      if (name && strcmp(name, mention->column) == 0) mention->found = true;
    }
  }
  return !mention->found;
}

bool sql_mentions_column(PgQuery__Node *node, const char *column) {
  struct mention mention = {.column = column};
  sql_walk(node, see_column, &mention);
  return mention.found;
}
