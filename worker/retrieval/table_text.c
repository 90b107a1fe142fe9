#include "worker/retrieval/table_text.h"

#include <ctype.h>
#include <string.h>

#include "common/utf8.h"

#define VALUES_BYTES 300 /* of one column's */
#define COMMENT_BYTES 600
#define NAME_BYTES 1024 /* with what it stands for */

/* --- values --- */

static const struct snap_enum *enum_of(const struct snapshot *snapshot, const char *type) {
  const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
  size_t schema = dot ? (size_t)(dot - type) : 0;
  for (size_t i = 0; i < snapshot->enum_count; i++) {
    const struct snap_enum *one = &snapshot->enums[i];
    if (strcmp(one->name, name) == 0 && (!dot || (strlen(one->schema) == schema && strncmp(one->schema, type, schema) == 0))) return one;
  }
  return NULL;
}

/* The quoted texts of a constraint: CHECK ((status = ANY (ARRAY['new'::text, 'paid'::text]))). */
static bool put_quoted(const char *definition, size_t most, struct buf *out) {
  size_t before = out->len;
  for (const char *at = strchr(definition, '\''); at && out->len - before < most; at = strchr(at + 1, '\'')) {
    const char *end = strchr(at + 1, '\'');
    if (!end) break;
    buf_puts(out, out->len > before ? ", " : "");
    buf_append(out, at + 1, (size_t)(end - at - 1));
    at = end;
  }
  return out->len > before;
}

static bool is_list_of(const struct snap_constraint *constraint, const char *column) {
  return constraint->type == 'c' && constraint->column_count == 1 && strcmp(constraint->columns[0], column) == 0 &&
         (strstr(constraint->definition, "ANY (") || strstr(constraint->definition, " OR "));
}

bool table_text_values(const struct snapshot *snapshot, const struct snap_table *table, const struct snap_column *column, size_t most,
                       struct buf *out) {
  const struct snap_enum *labels = enum_of(snapshot, column->type);
  size_t before = out->len;
  for (size_t i = 0; labels && i < labels->label_count && out->len - before < most; i++)
    buf_printf(out, "%s%s", i ? ", " : "", labels->labels[i]);
  if (labels) return out->len > before;
  for (size_t i = 0; i < table->constraint_count; i++)
    if (is_list_of(&table->constraints[i], column->name)) return put_quoted(table->constraints[i].definition, most, out);
  return false;
}

/* --- comments --- */

/* Between the two; nothing of a table or column that has none. */
static void put_comment(const char *before, const char *comment, const char *after, struct buf *out) {
  if (!comment) return;
  buf_puts(out, before);
  buf_append(out, comment, utf8_fit(comment, COMMENT_BYTES));
  buf_puts(out, after);
}

/* --- to be shown --- */

static void put_names(struct buf *out, const char **names, size_t count) {
  for (size_t i = 0; i < count; i++) buf_printf(out, "%s%s", i ? ", " : "", names[i]);
}

static void show_column(const struct snapshot *snapshot, const struct snap_table *table, const struct snap_column *column,
                        struct buf *out) {
  buf_printf(out, "  %s %s", column->name, column->type);
  if (column->not_null) buf_puts(out, " not null");
  size_t mark = out->len;
  buf_puts(out, " in (");
  if (table_text_values(snapshot, table, column, VALUES_BYTES, out))
    buf_putc(out, ')');
  else
    buf_cut(out, mark);
  put_comment(" -- ", column->comment, "", out);
  buf_putc(out, '\n');
}

static const char *kind_name(enum snap_relkind kind) {
  if (kind == SNAP_VIEW) return "view";
  if (kind == SNAP_MATVIEW) return "materialized view";
  return kind == SNAP_FOREIGN ? "foreign table" : "table";
}

static void show_keys(const struct snap_table *table, struct buf *out) {
  for (size_t i = 0; i < table->constraint_count; i++) {
    const struct snap_constraint *constraint = &table->constraints[i];
    if (constraint->type != 'p' && constraint->type != 'u') continue;
    buf_puts(out, constraint->type == 'p' ? "primary key (" : "unique (");
    put_names(out, constraint->columns, constraint->column_count);
    buf_puts(out, ")\n");
  }
  for (size_t i = 0; i < table->fk_count; i++) {
    const struct snap_fk *fk = &table->fks[i];
    buf_puts(out, "foreign key (");
    put_names(out, fk->columns, fk->column_count);
    buf_printf(out, ") references %s.%s (", fk->ref_schema, fk->ref_table);
    put_names(out, fk->ref_columns, fk->column_count);
    buf_puts(out, ")\n");
  }
  for (size_t i = 0; i < table->referenced_by_count; i++)
    buf_printf(out, "%s%s%s", i ? ", " : "referenced by ", table->referenced_by[i]->table->qualified,
               i + 1 == table->referenced_by_count ? "\n" : "");
}

bool table_text_show(const struct snapshot *snapshot, const struct snap_table *table, struct buf *out) {
  buf_printf(out, "%s %s", kind_name(table->kind), table->qualified);
  put_comment(" -- ", table->comment, "", out);
  buf_putc(out, '\n');
  for (size_t i = 0; i < table->column_count; i++) show_column(snapshot, table, &table->columns[i], out);
  show_keys(table, out);
  return buf_ok(out);
}

/* --- to be found --- */

static void find_column(const struct snapshot *snapshot, struct wording *wording, const struct snap_table *table,
                        const struct snap_column *column, struct buf *out) {
  buf_puts(out, column->name);
  wording_put(wording, column->name, out);
  put_comment(": ", column->comment, "", out);
  size_t mark = out->len;
  buf_puts(out, ": ");
  if (!table_text_values(snapshot, table, column, VALUES_BYTES, out)) buf_cut(out, mark);
  buf_putc(out, '\n');
}

/* A first or a last name: "first_name", "lastName", "fname". */
static bool is_persons_name(struct wording *wording, const char *column, struct buf *scratch) {
  static const char *const names[] = {"firstname", "lastname", "givenname", "familyname", "surname"};
  size_t len = 0;
  buf_reset(scratch);
  buf_puts(scratch, column);
  wording_put(wording, column, scratch);
  if (!buf_ok(scratch)) return false;
  for (size_t i = 0; i < scratch->len; i++)
    if (isalpha((unsigned char)scratch->data[i])) scratch->data[len++] = (char)tolower((unsigned char)scratch->data[i]);
  buf_cut(scratch, len);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strstr(buf_str(scratch), names[i])) return true;
  return false;
}

bool table_text_is_of_people(struct wording *wording, const struct snap_table *table) {
  bool found = false;
  BUF_AUTO scratch;
  buf_init(&scratch, NAME_BYTES);
  for (size_t c = 0; c < table->column_count && !found; c++) found = is_persons_name(wording, table->columns[c].name, &scratch);
  return found;
}

bool table_text_find(const struct snapshot *snapshot, struct wording *wording, const struct snap_table *table, enum table_words kind,
                     size_t from, size_t to, struct buf *out) {
  if (kind == TABLE_NAME) {
    buf_puts(out, table->name);
    wording_put(wording, table->name, out);
    buf_putc(out, '\n');
  } else if (kind == TABLE_SCHEMA) {
    if (strcmp(table->schema, "public") != 0) buf_printf(out, "%s\n", table->schema);
  } else if (kind == TABLE_ABOUT) {
    put_comment("", table->comment, "\n", out);
  } else {
    for (size_t i = from; i < to; i++) find_column(snapshot, wording, table, &table->columns[i], out);
  }
  return buf_ok(out);
}
