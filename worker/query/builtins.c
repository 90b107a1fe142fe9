/* builtins.c - see builtins.h. The rows are sorted by extension, then name, as bytes. */
#include "worker/query/builtins.h"

#include <stdlib.h>
#include <string.h>

struct named {
  const char *extension, *name;
};

static const struct builtin functions[] = {
#define BUILTIN_FUNCTIONS
#include "worker/query/builtins.inc"
#undef BUILTIN_FUNCTIONS
};
static const struct named operators[] = {
#define BUILTIN_OPERATORS
#include "worker/query/builtins.inc"
#undef BUILTIN_OPERATORS
};
static const struct named types[] = {
#define BUILTIN_TYPES
#include "worker/query/builtins.inc"
#undef BUILTIN_TYPES
};
#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static int compare(const char *extension_a, const char *a, const char *extension_b, const char *b) {
  int order = strcmp(extension_a, extension_b);
  return order ? order : strcmp(a, b);
}

static int compare_function(const void *key, const void *row) {
  const struct named *name = key;
  const struct builtin *builtin = row;
  return compare(name->extension, name->name, builtin->extension, builtin->name);
}

static int compare_named(const void *key, const void *row) {
  const struct named *name = key, *other = row;
  return compare(name->extension, name->name, other->extension, other->name);
}

const struct builtin *builtin_function(const char *extension, const char *name) {
  return bsearch(&(struct named){extension, name}, functions, COUNT(functions), sizeof *functions, compare_function);
}

const struct builtin *builtin_at(size_t index) { return index < COUNT(functions) ? &functions[index] : NULL; }

bool builtin_in_major(const struct builtin *builtin, int major) {
  int known = major > BUILTIN_NEWEST ? BUILTIN_NEWEST : major < BUILTIN_OLDEST ? BUILTIN_OLDEST : major;
  return builtin->majors >> (known - BUILTIN_OLDEST) & 1;
}

int builtin_since(const struct builtin *builtin) {
  int major = BUILTIN_OLDEST;
  while (major < BUILTIN_NEWEST && !builtin_in_major(builtin, major)) major++;
  return major;
}

bool builtin_takes(const struct builtin *builtin, int arguments) {
  if (arguments > 30) return builtin->arguments & BUILTIN_VARIADIC;
  if (builtin->arguments >> arguments & 1) return true;
  return builtin->arguments & BUILTIN_VARIADIC && builtin->arguments & ((1u << arguments) - 1);
}

static bool has(const struct named *rows, size_t count, const char *extension, const char *name) {
  return bsearch(&(struct named){extension, name}, rows, count, sizeof *rows, compare_named) != NULL;
}

bool builtin_operator(const char *extension, const char *name) { return has(operators, COUNT(operators), extension, name); }
bool builtin_type(const char *extension, const char *name) { return has(types, COUNT(types), extension, name); }

bool builtin_knows_extension(const char *extension) {
  for (size_t i = 0; i < COUNT(types); i++)
    if (strcmp(types[i].extension, extension) == 0) return true;
  for (size_t i = 0; i < COUNT(functions); i++)
    if (strcmp(functions[i].extension, extension) == 0) return true;
  return strcmp(extension, "plpgsql") == 0;
}
