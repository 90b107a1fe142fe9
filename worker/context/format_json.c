/* format_json.c - JSON: one line a value, "orders.status: paid", and a block an object. */
#include "common/limits.h"
#include "worker/context/extract.h"

#define PATH_BYTES 256
#define DEPTH 200

struct walk {
  struct extractor *extractor;
  struct buf lines;
  char path[PATH_BYTES];
};

static json_t *parse(const char *bytes, size_t len) { return json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL); }

static bool is_json(const char *bytes, size_t len, bool named) {
  size_t at = 0;
  (void)named;
  while (at < len && strchr(" \t\r\n", bytes[at])) at++;
  if (at == len || (bytes[at] != '{' && bytes[at] != '[')) return false;
  json_t *json = parse(bytes, len);
  json_decref(json);
  return json != NULL;
}

static void flush(struct walk *walk) {
  if (walk->lines.len) extractor_put(walk->extractor, BLOCK_ITEM, 0, buf_str(&walk->lines), walk->lines.len);
  if (!buf_ok(&walk->lines)) walk->extractor->failed = true;
  buf_reset(&walk->lines);
}

static void put_value(struct walk *walk, const json_t *value) {
  if (json_is_string(value) && !json_string_length(value)) return;
  if (*walk->path) buf_printf(&walk->lines, "%s: ", walk->path);
  if (json_is_string(value))
    buf_append(&walk->lines, json_string_value(value), json_string_length(value));
  else
    buf_put_json(&walk->lines, value);
  buf_putc(&walk->lines, '\n');
}

static void visit(struct walk *walk, const json_t *value, int depth);

static void visit_member(struct walk *walk, const char *key, const json_t *value, int depth) {
  size_t before = strlen(walk->path);
  snprintf(walk->path + before, PATH_BYTES - before, "%s%s", before ? "." : "", key);
  visit(walk, value, depth);
  walk->path[before] = '\0';
}

static bool is_scalar(const json_t *value) { return !json_is_object(value) && !json_is_array(value); }

/* An object's own values stand together, before what is nested in it. */
static void visit_object(struct walk *walk, const json_t *object, int depth) {
  const char *key;
  json_t *value;
  union {
    const json_t *in;
    json_t *out;
  } iterated = {.in = object};
  flush(walk);
  json_object_foreach(iterated.out, key, value) {
    if (is_scalar(value) && !json_is_null(value)) visit_member(walk, key, value, depth + 1);
  }
  flush(walk);
  json_object_foreach(iterated.out, key, value) {
    if (!is_scalar(value) && !walk->extractor->failed) visit_member(walk, key, value, depth + 1);
  }
  flush(walk);
}

static void visit(struct walk *walk, const json_t *value, int depth) {
  if (depth > DEPTH || walk->extractor->failed) return;
  if (json_is_object(value)) {
    visit_object(walk, value, depth);
  } else if (json_is_array(value)) {
    for (size_t i = 0; i < json_array_size(value); i++) visit(walk, json_array_get(value, i), depth + 1);
  } else {
    put_value(walk, value);
  }
}

static enum status read_json(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct walk walk = {.extractor = extractor};
  json_t *json = parse(bytes, len);
  if (!json) return error_oom(err); /* it was one a moment ago */
  buf_init(&walk.lines, LIMIT_DOCUMENT_TEXT_BYTES);
  visit(&walk, json, 0);
  flush(&walk);
  buf_free(&walk.lines);
  json_decref(json);
  return OK;
}

const struct format format_json = {.content_type = "application/json", .is = is_json, .extensions = "json", .read = read_json};
