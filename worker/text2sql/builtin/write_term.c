/* write_term.c - expressions of documents: their names become columns of the statement. */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

#define TERM_BYTES 4096

struct part { /* one name of an expression: "orders.total" or "total" */
  const char *table, *column;
  size_t length; /* of its text; 0: what stands here is no name */
};

static size_t ident(const char *p) {
  size_t n = 0;
  while (isalnum((unsigned char)p[n]) || p[n] == '_') n++;
  return n;
}

static const struct snap_column *column_named(const struct snap_table *table, const char *name) {
  for (size_t c = 0; c < table->column_count; c++)
    if (strcasecmp(table->columns[c].name, name) == 0) return &table->columns[c];
  return NULL;
}

static size_t table_named(struct study *study, const char *name) {
  for (size_t t = 0; t < study->snapshot->table_count; t++)
    if (strcasecmp(study->snapshot->tables[t].name, name) == 0 && table_readable(study_table(study, t))) return t;
  return NO_TABLE;
}

static struct part next_part(struct arena *arena, const char *p) {
  if (!isalpha((unsigned char)*p) && *p != '_') return (struct part){0};
  size_t n = ident(p);
  if (p[n] == '.' && (isalpha((unsigned char)p[n + 1]) || p[n + 1] == '_')) {
    size_t m = ident(p + n + 1);
    return (struct part){arena_strndup(arena, p, n), arena_strndup(arena, p + n + 1, m), n + 1 + m};
  }
  return (struct part){NULL, arena_strndup(arena, p, n), n};
}

/* Which column a name is; false: none (a function or keyword). */
static bool find(struct study *study, const struct part *part, size_t home, struct place *ret) {
  size_t table = part->table ? table_named(study, part->table) : home;
  const struct snap_column *column = table == NO_TABLE ? NULL : column_named(study_table(study, table), part->column);
  for (size_t t = 0; !part->table && !column && t < study->snapshot->table_count; t++) {
    const struct snap_column *other = table_readable(study_table(study, t)) ? column_named(study_table(study, t), part->column) : NULL;
    if (other) column = other, table = t;
  }
  if (!column) return false;
  *ret = (struct place){.table = table, .column = column};
  return true;
}

size_t term_root(struct study *study, const struct generator_term *term) {
  size_t root = NO_TABLE;
  for (const char *p = term->expression; *p;) {
    struct part part = next_part(study->arena, p);
    struct place place;
    if (*p == '\'') {
      const char *end = strchr(p + 1, '\'');
      p = end ? end + 1 : p + strlen(p);
    } else if (!part.length) {
      p++;
    } else {
      p += part.length;
      if (*p == '(' || !find(study, &part, root == NO_TABLE ? study->reading.subject : root, &place)) continue;
      struct join_path path;
      bool deeper = root != NO_TABLE && place.table != root && joins_path(&study->graph, root, place.table, NULL, study->arena, &path) &&
                    path_many(&path) < path.count;
      if (root == NO_TABLE || deeper) root = place.table;
    }
  }
  return root;
}

static void put_part(struct scope *scope, struct buf *out, const struct part *part, const char *text, bool call) {
  struct place place;
  const char *column = !call && find(scope->study, part, scope->nodes[0].table, &place) ? write_column(scope, &place) : NULL;
  if (column)
    buf_puts(out, column);
  else
    buf_append(out, text, part->length);
}

const char *write_term(struct scope *scope, const struct generator_term *term) {
  BUF_AUTO out;
  buf_init(&out, TERM_BYTES);
  for (const char *p = term->expression; *p;) {
    struct part part = next_part(scope->study->arena, p);
    size_t n = part.length;
    if (*p == '\'') {
      const char *end = strchr(p + 1, '\'');
      n = end ? (size_t)(end + 1 - p) : strlen(p);
      buf_append(&out, p, n);
    } else if (!n) {
      n = 1;
      buf_putc(&out, *p);
    } else {
      put_part(scope, &out, &part, p, p[n] == '(');
    }
    p += n;
  }
  return buf_ok(&out) ? arena_strndup(scope->study->arena, buf_str(&out), out.len) : NULL;
}
