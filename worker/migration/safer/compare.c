/* safer/compare.c - whether two dumps describe one schema. Statements are compared whole, so that nothing can move from one object to
 * another unseen; their order says nothing. Within CREATE TABLE the constraints are sorted by name already; columns are sorted here where a
 * route may have moved one to the end. */
#include <stdlib.h>

#include "common/list.h"
#include "sandbox/script.h"
#include "worker/migration/safer/plan.h"

struct texts {
  LIST(const char *) list;
};

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_table(const char *text) {
  return strncmp(text, "CREATE TABLE ", 13) == 0 || strncmp(text, "CREATE UNLOGGED TABLE ", 22) == 0;
}

/* The lines of the body in order of their text; the comma between two lines goes. */
static const char *sorted_body(struct arena *arena, char *text) {
  struct texts lines = {0};
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    size_t len = strlen(line);
    if (len && line[len - 1] == ',') line[len - 1] = '\0';
    const char **slot = LIST_PUSH(arena, &lines.list);
    if (!slot) return NULL;
    *slot = line;
  }
  if (lines.list.count > 2) qsort(lines.list.items + 1, lines.list.count - 2, sizeof *lines.list.items, by_text);
  const char *joined = "";
  for (size_t i = 0; joined && i < lines.list.count; i++) joined = arena_printf(arena, "%s\n%s", joined, lines.list.items[i]);
  return joined;
}

static bool read_statements(struct arena *arena, const char *dump, bool reordered, struct texts *ret) {
  struct script script = script_of(dump);
  struct script_statement statement;
  while (script_next(&script, &statement)) {
    char *text = arena_strndup(arena, statement.text, statement.len);
    const char **slot = text ? LIST_PUSH(arena, &ret->list) : NULL;
    if (!slot) return false;
    *slot = reordered && is_table(text) ? sorted_body(arena, text) : text;
    if (!*slot) return false;
  }
  if (ret->list.count) qsort(ret->list.items, ret->list.count, sizeof *ret->list.items, by_text);
  return true;
}

bool safer_same_schema(struct arena *arena, const char *left, const char *right, bool reordered) {
  struct texts one = {0}, other = {0};
  if (!read_statements(arena, left, reordered, &one) || !read_statements(arena, right, reordered, &other)) return false;
  if (!one.list.count || one.list.count != other.list.count) return false;
  for (size_t i = 0; i < one.list.count; i++)
    if (strcmp(one.list.items[i], other.list.items[i]) != 0) return false;
  return true;
}
