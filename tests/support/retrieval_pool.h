/* retrieval_pool.h - schemas of a hundred tables and more with questions about them (fixtures/context), and one search over one. For one
 * program: the state is static. */
#ifndef AUTODB_TESTS_RETRIEVAL_POOL_H
#define AUTODB_TESTS_RETRIEVAL_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/json.h"
#include "common/textfile.h"
#include "worker/retrieval/retrieval.h"

#define QUESTIONS_MAX 300
#define NEEDED_MAX 8
#define MOST 8 /* tables that a question finds */

struct asked {
  const char *text;
  const char *needed[NEEDED_MAX];
  size_t count;
};
struct pool {
  const char *name, *file;
  bool unseen; /* what is missed is not shown */
  double bar;
  struct snapshot *snapshot;
  struct asked questions[QUESTIONS_MAX];
  size_t count;
};

static struct arena *arena;
static struct config cfg = {.embed_provider = "builtin", .embed_base_url = "", .embed_model = "", .embed_api_key = ""};

static void add_column(json_t *columns, json_t *keys, char *text) {
  char *to = strchr(text, '>');
  if (to) *to++ = '\0';
  json_array_append_new(columns, json_pack("{s:s, s:s, s:b}", "name", text, "type", "text", "nullable", 1));
  if (!to) return;
  char *dot = strchr(to, '.');
  *dot = '\0';
  json_array_append_new(keys, json_pack("{s:s, s:[s], s:s, s:s, s:[s]}", "name", text, "columns", text, "ref_schema", to, "ref_table",
                                        dot + 1, "ref_columns", "id"));
}

static void add_table(json_t *tables, char *line) {
  char *colon = strchr(line, ':'), *comment = strchr(line, ';'), *dot = strchr(line, '.');
  json_t *columns = json_array(), *keys = json_array();
  *colon = *dot = '\0';
  if (comment) *comment++ = '\0';
  for (char *column, *rest = colon + 1; (column = strsep(&rest, ","));) add_column(columns, keys, textfile_trim(column));
  json_array_append_new(tables, json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o}", "schema", line, "name", dot + 1, "kind", "table", "comment",
                                          comment ? textfile_trim(comment) : NULL, "columns", columns, "foreign_keys", keys));
}

static void add_question(struct pool *to, char *line) {
  char *arrow = strstr(line, "=>");
  struct asked *asked = &to->questions[to->count++];
  *arrow = '\0';
  asked->text = textfile_trim(line);
  for (char *table, *rest = arrow + 2; (table = strsep(&rest, ","));) asked->needed[asked->count++] = textfile_trim(table);
}

static struct snapshot *load(json_t *tables, const char *id) {
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  json_t *json = arena_json(arena, json_pack("{s:s?, s:s, s:s, s:i, s:s, s:o}", "snapshot_id", id, "fingerprint", "f", "server_version",
                                             "17", "server_version_num", 170000, "search_path", "public", "tables", tables));
  if (snapshot_load(json, arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

static void read_pool(struct pool *to) {
  char *text = textfile_read(arena, arena_printf(arena, AUTODB_SOURCE_DIR "/tests/fixtures/context/%s", to->file), 1 << 20);
  if (!text) fail_msg("%s can't be read", to->file);
  json_t *tables = json_array();
  for (char *line; (line = strsep(&text, "\n"));) {
    if (strncmp(line, "table ", 6) == 0) add_table(tables, line + 6);
    if (*line == '?') add_question(to, line + 1);
  }
  to->snapshot = load(tables, to->name);
  assert_true(to->snapshot->table_count >= 100 && to->count >= 60 && to->count <= QUESTIONS_MAX);
}

static struct retrieval search(const struct snapshot *snapshot, const char *text, int most) {
  struct job job = {.id = "j", .owner_id = "o", .arena = arena, .cfg = &cfg};
  struct retrieval found = {0};
  struct retrieval_query query = {.text = text, .max_tables = most};
  ERROR_AUTO err = {0};
  if (retrieval_search(&job, snapshot, &query, &found, &err)) fail_msg("%s", err.message);
  return found;
}

static size_t place_of(const struct retrieval *found, const char *table) {
  for (size_t i = 0; i < found->table_count; i++)
    if (strcmp(found->tables[i].table->qualified, table) == 0) return i;
  return SIZE_MAX;
}

#endif
