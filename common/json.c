/* json.c - strict reading: what is unclear is refused, by name and place.
 *
 * Depth is counted before parsing, because jansson recurses and its own limit is compiled in. jansson's messages quote the
 * input ("near '…'"), which may be a password, so ours are written here from its error codes. */
#include "common/json.h"

#include <ctype.h>

#include "common/buf.h"
#include "common/limits.h"

#define NAME_MAX_BYTES 64 /* longer names are no typos of ours */

static enum status malformed(struct error *err, int line, int column, const char *what) {
  error_set(err, ERR_MALFORMED, "the JSON %s (line %d, column %d)", what, line, column);
  err->details = json_pack("{s:i,s:i}", "line", line, "column", column);
  return ERR_MALFORMED;
}

/* Counts brackets outside strings and finds NUL bytes; what is wrong otherwise is for the parser to say. */
static enum status scan(const char *text, size_t len, struct error *err) {
  int depth = 0, line = 1, column = 0;
  bool in_string = false, escaped = false;
  for (size_t i = 0; i < len; i++) {
    char c = text[i];
    if (((unsigned char)c & 0xC0) != 0x80) column++; /* characters, as jansson counts */
    if (!c) return malformed(err, line, column, "holds a NUL byte, which no text may hold");
    if (c == '\n') line++, column = 0;
    if (escaped)
      escaped = false;
    else if (c == '"')
      in_string = !in_string;
    else if (in_string && c == '\\')
      escaped = true;
    else if (!in_string && (c == '}' || c == ']'))
      depth--;
    else if (!in_string && (c == '{' || c == '[') && ++depth > LIMIT_JSON_DEPTH)
      break;
  }
  if (depth <= LIMIT_JSON_DEPTH) return OK;
  char what[64];
  snprintf(what, sizeof what, "is nested deeper than %d levels", LIMIT_JSON_DEPTH);
  return malformed(err, line, column, what);
}

/* jansson names the key as "duplicate object key near '"a"'" unless it is long; a key's name is no secret. */
static void describe_duplicate(const json_error_t *fault, char *out, size_t size) {
  const char *begin = strstr(fault->text, "near '"), *end = strrchr(fault->text, '\'');
  if (begin && end > begin + 6)
    snprintf(out, size, "has the duplicate key %.*s", (int)(end - begin - 6), begin + 6);
  else
    snprintf(out, size, "has a duplicate key");
}

static enum status parse_failed(const json_error_t *fault, struct error *err) {
  char what[128] = "is not valid: a value, a name in quotes, a comma, a colon or a closing bracket was expected here";
  switch (json_error_code(fault)) {
  case json_error_out_of_memory: return error_oom(err);
  case json_error_duplicate_key: describe_duplicate(fault, what, sizeof what); break;
  case json_error_invalid_utf8: snprintf(what, sizeof what, "is not valid UTF-8"); break;
  case json_error_null_character:
  case json_error_null_byte_in_key: snprintf(what, sizeof what, "holds the character \\u0000, which no text may hold"); break;
  case json_error_premature_end_of_input: snprintf(what, sizeof what, "ends too early: a bracket, a quote or a value is missing"); break;
  case json_error_end_of_input_expected:
    snprintf(what, sizeof what, "goes on after its end: one value and nothing more was expected");
    break;
  case json_error_numeric_overflow: snprintf(what, sizeof what, "has a number that is too large"); break;
  default: break;
  }
  return malformed(err, fault->line, fault->column, what);
}

enum status json_parse(const char *text, size_t len, json_t **ret_value, struct error *err) {
  if (!len) return malformed(err, 1, 1, "is empty: a value was expected");
  if (scan(text, len, err)) return err->status;
  json_error_t fault;
  json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
  if (!value) return parse_failed(&fault, err);
  *ret_value = value;
  return OK;
}

static const char *type_name(const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT: return "an object";
  case JSON_ARRAY: return "an array";
  case JSON_STRING: return "a string";
  case JSON_INTEGER: return "an integer";
  case JSON_REAL: return "a number with a fraction";
  case JSON_NULL: return "null";
  default: return "a boolean";
  }
}

static const char *const want_names[] = {
    [JSON_WANT_STRING] = "a string",  [JSON_WANT_INT] = "an integer", [JSON_WANT_BOOL] = "true or false",
    [JSON_WANT_OBJECT] = "an object", [JSON_WANT_ARRAY] = "an array", [JSON_WANT_STRING_ARRAY] = "an array of strings",
    [JSON_WANT_ANY] = "any value",
};

static bool has_type(const json_t *value, enum json_want want) {
  switch (want) {
  case JSON_WANT_STRING: return json_is_string(value);
  case JSON_WANT_INT: return json_is_integer(value);
  case JSON_WANT_BOOL: return json_is_boolean(value);
  case JSON_WANT_OBJECT: return json_is_object(value);
  case JSON_WANT_ARRAY:
  case JSON_WANT_STRING_ARRAY: return json_is_array(value);
  case JSON_WANT_ANY: break;
  }
  return true;
}

/* One json_check under way: where faults go and how many there were. */
struct check {
  const char *path; /* "options." or "" */
  struct error *err;
  int faults;
};

#define PATH_BYTES 192

static char *path_to(const struct check *check, const char *name, char out[PATH_BYTES]) {
  snprintf(out, PATH_BYTES, "%s%s", check->path, name);
  return out;
}

static void fault(struct check *check, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fault(struct check *check, const char *name, const char *fmt, ...) {
  char path[PATH_BYTES], message[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  error_add_field(check->err, path_to(check, name, path), "%s", message);
  check->faults++;
}

static void check_bounds(struct check *check, const struct json_field *field, long long is, const char *unit) {
  if ((!field->min && !field->max) || (is >= field->min && is <= field->max)) return;
  const char *verb = *unit ? "hold " : "be ";
  if (field->min == field->max)
    fault(check, field->name, "must %s%lld%s, is %lld", verb, field->max, unit, is);
  else if (*unit && !field->min)
    fault(check, field->name, "must %sat most %lld%s, is %lld", verb, field->max, unit, is);
  else
    fault(check, field->name, "must %s%lld to %lld%s, is %lld", verb, field->min, field->max, unit, is);
}

static void check_choice(struct check *check, const struct json_field *field, const char *text) {
  BUF_AUTO list;
  buf_init(&list, 400);
  for (const char *const *choice = field->choices; choice && *choice; choice++) {
    if (!strcmp(*choice, text)) return;
    buf_printf(&list, "%s\"%s\"", list.len ? ", " : "", *choice);
  }
  if (field->choices) fault(check, field->name, "must be one of %s", buf_ok(&list) ? buf_str(&list) : "the values documented");
}

static void check_items(struct check *check, const struct json_field *field, const json_t *array) {
  for (size_t i = 0; i < json_array_size(array); i++) {
    const json_t *item = json_array_get(array, i);
    if (json_is_string(item)) continue;
    char name[NAME_MAX_BYTES + 24];
    snprintf(name, sizeof name, "%.64s[%zu]", field->name, i);
    fault(check, name, "must be a string, is %s", type_name(item));
  }
}

static void check_value(struct check *check, const struct json_field *field, const json_t *value) {
  if (!value || json_is_null(value)) {
    if (field->required) fault(check, field->name, "is required: %s", want_names[field->want]);
    return;
  }
  if (!has_type(value, field->want)) {
    fault(check, field->name, "must be %s, is %s", want_names[field->want], type_name(value));
    return;
  }
  if (field->want == JSON_WANT_INT) check_bounds(check, field, json_integer_value(value), "");
  if (field->want == JSON_WANT_STRING) {
    check_bounds(check, field, (long long)json_string_length(value), " bytes");
    check_choice(check, field, json_string_value(value));
  }
  if (json_is_array(value)) check_bounds(check, field, (long long)json_array_size(value), " items");
  if (field->want == JSON_WANT_STRING_ARRAY) check_items(check, field, value);
}

static int least(int a, int b) { return a < b ? a : b; }

/* Levenshtein's distance without regard to case; the names are at most NAME_MAX_BYTES long. */
static int edit_distance(const char *a, const char *b) {
  int row[NAME_MAX_BYTES + 1], width = (int)strlen(b);
  for (int j = 0; j <= width; j++) row[j] = j;
  for (int i = 1; a[i - 1]; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= width; j++) {
      int swap = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
      diagonal = row[j];
      row[j] = least(swap, least(row[j], row[j - 1]) + 1);
    }
  }
  return row[width];
}

/* The field `name` is probably a typo of: two edits away at most, and not by rewriting it whole. NULL when none is. */
static const char *did_you_mean(const char *name, const struct json_field *fields, size_t count) {
  const char *best = NULL;
  int nearest = 3;
  for (size_t i = 0; i < count && strlen(name) <= NAME_MAX_BYTES; i++) {
    if (strlen(fields[i].name) > NAME_MAX_BYTES) continue;
    int distance = edit_distance(name, fields[i].name);
    if (distance >= nearest || distance >= (int)strlen(fields[i].name)) continue;
    nearest = distance;
    best = fields[i].name;
  }
  return best;
}

static void check_unknown(struct check *check, const char *name, const struct json_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(name, fields[i].name)) return;
  const char *meant = did_you_mean(name, fields, count);
  if (meant) {
    fault(check, name, "is not a known field; did you mean \"%s\"?", meant);
    return;
  }
  BUF_AUTO list;
  buf_init(&list, 400);
  for (size_t i = 0; i < count; i++) buf_printf(&list, "%s%s", i ? ", " : "; known are: ", fields[i].name);
  fault(check, name, "is not a known field%s", buf_str(&list));
}

enum status json_check(const json_t *object, const char *path, const struct json_field *fields, size_t count, struct error *err) {
  struct check check = {.path = path ? path : "", .err = err};
  if (!json_is_object(object)) {
    char name[PATH_BYTES];
    size_t len = strlen(path_to(&check, "", name));
    if (len && name[len - 1] == '.') name[len - 1] = '\0';
    return error_add_field(err, name, "%s a JSON object, is %s", *name ? "must be" : "the request must be",
                           object ? type_name(object) : "missing");
  }
  const char *name;
  const json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, name, value) check_unknown(&check, name, fields, count);
  for (size_t i = 0; i < count; i++) check_value(&check, &fields[i], json_object_get(object, fields[i].name));
  return check.faults ? err->status : OK;
}

const char *json_str(const json_t *object, const char *key, const char *otherwise) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : otherwise;
}

long long json_int(const json_t *object, const char *key, long long otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_bool(const json_t *object, const char *key, bool otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

void json_pass_on(json_t *to, const json_t *from, const char *key) {
  json_t *value = json_object_get(from, key);
  if (value && !json_is_null(value)) json_object_set(to, key, value);
}

void json_set_str(json_t *object, const char *key, const char *value) {
  json_object_set_new(object, key, value ? json_string(value) : json_null());
}

void json_append_str(json_t *array, const char *value) { json_array_append_new(array, json_string(value)); }

json_t *json_strings(const char *const *items, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_append_str(array, items[i]);
  return array;
}

char *json_canonical(const json_t *value) { return json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY); }
