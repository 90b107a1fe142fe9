/* format_json.c - JSON, or a value of JSON a line, as logs and exports are: one line a value, "orders.status: paid", and a block an object.
 *
 * The parser bounds how deep a value gets, and so how deep the walk goes. */
#include "common/limits.h"
#include "common/utf8.h"
#include "worker/context/extract.h"

#define PATH_BYTES 256

struct walk {
  struct extractor *extractor;
  struct buf lines;
  char path[PATH_BYTES];
};

static json_t *parse(const char *bytes, size_t len) { return json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL); }

static bool is_container(const char *bytes, size_t len) {
  size_t at = 0;
  while (at < len && strchr(" \t\r\n", bytes[at])) at++;
  if (at == len || (bytes[at] != '{' && bytes[at] != '[')) return false;
  json_t *json = parse(bytes, len);
  json_decref(json);
  return json != NULL;
}

/* The line that begins at *at, which moves to the next one. */
static const char *next_line(const char *bytes, size_t len, size_t *at, size_t *ret_len) {
  const char *line = bytes + *at, *end = memchr(line, '\n', len - *at);
  *ret_len = end ? (size_t)(end - line) : len - *at;
  *at += *ret_len + 1;
  return line;
}

/* Two lines are enough: no other text begins with them. */
static bool is_lines(const char *bytes, size_t len) {
  size_t line_len, at = 0;
  for (int i = 0; i < 2; i++) {
    const char *line = at < len ? next_line(bytes, len, &at, &line_len) : NULL;
    if (!line || !is_container(line, line_len)) return false;
  }
  return true;
}

static bool is_json(const char *bytes, size_t len, bool named) {
  (void)named;
  return is_container(bytes, len) || is_lines(bytes, len);
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

static void visit(struct walk *walk, const json_t *value);

static void visit_member(struct walk *walk, const char *key, const json_t *value) {
  size_t before = strlen(walk->path), room = PATH_BYTES - 1 - before;
  if (room > 1) snprintf(walk->path + before, room + 1, "%s%.*s", before ? "." : "", (int)utf8_fit(key, room - 1), key);
  visit(walk, value);
  walk->path[before] = '\0';
}

static bool is_scalar(const json_t *value) { return !json_is_object(value) && !json_is_array(value); }

/* An object's own values stand together, before what is nested in it. */
static void visit_object(struct walk *walk, const json_t *object) {
  const char *key;
  json_t *value;
  union {
    const json_t *in;
    json_t *out;
  } iterated = {.in = object};
  flush(walk);
  json_object_foreach(iterated.out, key, value) {
    if (is_scalar(value) && !json_is_null(value)) visit_member(walk, key, value);
  }
  flush(walk);
  json_object_foreach(iterated.out, key, value) {
    if (!is_scalar(value) && !walk->extractor->failed) visit_member(walk, key, value);
  }
  flush(walk);
}

static void visit(struct walk *walk, const json_t *value) {
  if (walk->extractor->failed) return;
  if (json_is_object(value)) {
    visit_object(walk, value);
  } else if (json_is_array(value)) {
    for (size_t i = 0; i < json_array_size(value); i++) visit(walk, json_array_get(value, i));
  } else {
    put_value(walk, value);
  }
}

/* A line that is none is text. */
static void read_lines(struct walk *walk, const char *bytes, size_t len) {
  size_t line_len;
  for (size_t at = 0; at < len && !walk->extractor->failed;) {
    const char *line = next_line(bytes, len, &at, &line_len);
    json_t *json = parse(line, line_len);
    if (json)
      visit(walk, json);
    else
      extractor_put(walk->extractor, BLOCK_TEXT, 0, line, line_len);
    flush(walk);
    json_decref(json);
  }
}

static enum status read_json(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct walk walk = {.extractor = extractor};
  json_t *json = parse(bytes, len);
  (void)err;
  buf_init(&walk.lines, LIMIT_DOCUMENT_TEXT_BYTES);
  if (json)
    visit(&walk, json);
  else
    read_lines(&walk, bytes, len);
  flush(&walk);
  buf_free(&walk.lines);
  json_decref(json);
  return OK;
}

const struct format format_json = {.content_type = "application/json", .is = is_json, .extensions = "json jsonl ndjson", .read = read_json};
