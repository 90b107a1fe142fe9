/* answer.c - see answer.h. Values are data of strangers: nothing of them may end a cell, a row or the table, start markup, or reorder text.
 */
#include "worker/text2sql/answer.h"

#include <ctype.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/utf8.h"

#define MARKDOWN_BYTES (4 * 1024 * 1024)
#define NULL_TEXT "*NULL*"

/* ---- JSON ---- */

void answer_rows(json_t *answer, const struct query_result *result) {
  json_t *names = json_array(), *types = json_array(), *rows = json_array();
  json_int_t cut = 0;
  for (size_t c = 0; c < result->column_count; c++) {
    json_append_str(names, result->columns[c].name);
    json_append_str(types, result->columns[c].type_name);
  }
  for (size_t r = 0; r < result->row_count; r++) {
    json_t *row = json_array();
    for (size_t c = 0; c < result->column_count; c++) {
      const struct query_cell *cell = &result->cells[r * result->column_count + c];
      json_array_append_new(row, query_value_json(result->columns[c].type, cell));
      cut += cell->cut;
    }
    json_array_append_new(rows, row);
  }
  json_object_set_new(answer, "columns", names);
  json_object_set_new(answer, "column_types", types);
  json_object_set_new(answer, "rows", rows);
  json_object_set_new(answer, "row_count", json_integer((json_int_t)result->row_count));
  json_object_set_new(answer, "truncated", json_boolean(result->truncated));
  json_object_set_new(answer, "values_cut", json_integer(cut));
}

/* ---- text ---- */

/* Controls, bidirectional overrides and isolates, separators of lines, invisible characters, tags. */
static const uint32_t unseen[][2] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x61C, 0x61C},   {0x200B, 0x200F},
                                     {0x2028, 0x202E}, {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};
static bool is_unseen(uint32_t code) {
  for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
    if (code >= unseen[i][0] && code <= unseen[i][1]) return true;
  return false;
}

static int text_width(const char *text) { return utf8_columns(text, strlen(text)); }

/* An underscore between two letters or digits emphasises nothing (GitHub Flavored Markdown 6.4, rules 2 and 4). */
static bool is_within_word(const char *text, size_t at) {
  return text[at] == '_' && at > 0 && isalnum((unsigned char)text[at - 1]) && isalnum((unsigned char)text[at + 1]);
}

/* One character; false: it is shown as it is. */
static bool escape_one(struct buf *out, uint32_t code) {
  if (code == '\n')
    buf_puts(out, "⏎");
  else if (code == '\r')
    return true; /* the other half of a line's end */
  else if (code == '\t')
    buf_putc(out, ' ');
  else if (code == '<')
    buf_puts(out, "&lt;");
  else if (code == '&')
    buf_puts(out, "&amp;");
  else if (code < 0x80 && strchr("|\\`*_[]~", (int)code) && code)
    buf_printf(out, "\\%c", (char)code);
  else if (is_unseen(code))
    buf_printf(out, "\\\\u%04X", code);
  else
    return false;
  return true;
}

/* At most max_width columns of what is shown, then "…". cut: there is more than `text`. */
static void escape(struct buf *out, const char *text, int max_width, bool cut) {
  size_t len = strlen(text);
  int width = 0;
  for (size_t at = 0; at < len;) {
    size_t step = utf8_char(text + at, len - at);
    uint32_t code = step ? utf8_code(text + at, step) : 0xFFFD;
    width += utf8_columns(text + at, step ? step : 1);
    if (width > max_width) {
      cut = true;
      break;
    }
    if (!step)
      buf_puts(out, "\xEF\xBF\xBD");
    else if (is_within_word(text, at) || !escape_one(out, code))
      buf_append(out, text + at, step);
    at += step ? step : 1;
  }
  if (cut) buf_puts(out, "…");
}

const char *answer_escape(const char *text, struct arena *arena) {
  BUF_AUTO out;
  buf_init(&out, MARKDOWN_BYTES);
  escape(&out, text, INT32_MAX, false);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

/* ---- the table ---- */

struct table {
  const struct query_result *result;
  struct arena *arena;
  size_t rows;        /* shown */
  const char **texts; /* the heads, then row by row */
  int *widths;        /* of columns */
};

static const char *shown(const struct table *table, const struct query_result_column *column, const struct query_cell *cell) {
  if (!cell->text) return NULL_TEXT;
  BUF_AUTO out;
  buf_init(&out, MARKDOWN_BYTES);
  if (column->type == QUERY_TYPE_BYTES) buf_puts(&out, "\\\\x");
  escape(&out, cell->text, ANSWER_MARKDOWN_CELL, cell->cut);
  return buf_ok(&out) ? arena_strndup(table->arena, out.len ? buf_str(&out) : "", out.len) : NULL;
}

static bool lay_out(struct table *table) {
  const struct query_result *result = table->result;
  size_t columns = result->column_count;
  table->texts = arena_calloc(table->arena, (table->rows + 1) * columns + 1, sizeof *table->texts);
  table->widths = arena_calloc(table->arena, columns + 1, sizeof *table->widths);
  if (!table->texts || !table->widths) return false;
  for (size_t r = 0; r <= table->rows; r++)
    for (size_t c = 0; c < columns; c++) {
      const struct query_cell head = {.text = result->columns[c].name};
      static const struct query_result_column plain;
      const char *text = r ? shown(table, &result->columns[c], &result->cells[(r - 1) * columns + c]) : shown(table, &plain, &head);
      if (!text) return false;
      int width = text_width(text);
      table->texts[r * columns + c] = text;
      if (width > table->widths[c]) table->widths[c] = width;
      if (table->widths[c] < 3) table->widths[c] = 3; /* "--:" */
    }
  return true;
}

static bool to_the_right(enum query_type type) {
  return type == QUERY_TYPE_INTEGER || type == QUERY_TYPE_REAL || type == QUERY_TYPE_NUMERIC;
}

static void pad(struct buf *out, int count, char with) {
  for (int i = 0; i < count; i++) buf_putc(out, with);
}

static void put_row(struct buf *out, const struct table *table, size_t row) {
  size_t columns = table->result->column_count;
  buf_putc(out, '|');
  for (size_t c = 0; c < columns; c++) {
    const char *text = table->texts[row * columns + c];
    int space = table->widths[c] - text_width(text);
    bool right = to_the_right(table->result->columns[c].type);
    buf_putc(out, ' ');
    if (right) pad(out, space, ' ');
    buf_puts(out, text);
    if (!right) pad(out, space, ' ');
    buf_puts(out, " |");
  }
  buf_putc(out, '\n');
}

static void put_rule(struct buf *out, const struct table *table) {
  buf_putc(out, '|');
  for (size_t c = 0; c < table->result->column_count; c++) {
    bool right = to_the_right(table->result->columns[c].type);
    buf_putc(out, ' ');
    pad(out, table->widths[c] - right, '-');
    buf_puts(out, right ? ": |" : " |");
  }
  buf_putc(out, '\n');
}

static void put_note(struct buf *out, const struct table *table) {
  const struct query_result *result = table->result;
  if (result->column_count == 0 && result->row_count)
    buf_printf(out, "*%zu%s rows without columns.*\n", result->row_count, result->truncated ? " or more" : "");
  else if (result->row_count == 0)
    buf_puts(out, "\n*No rows.*\n");
  else if (result->budget_spent)
    buf_printf(out, "\n*%zu of %zu rows; there are more, but the answer became too large.*\n", table->rows, result->row_count);
  else if (result->truncated)
    buf_printf(out, "\n*%zu of the first %zu rows; there are more.*\n", table->rows, result->row_count);
  else if (table->rows < result->row_count)
    buf_printf(out, "\n*%zu of %zu rows.*\n", table->rows, result->row_count);
}

const char *answer_markdown(const struct query_result *result, struct arena *arena) {
  struct table table = {.result = result, .arena = arena, .rows = result->row_count};
  if (table.rows > ANSWER_MARKDOWN_ROWS) table.rows = ANSWER_MARKDOWN_ROWS;
  if (!lay_out(&table)) return NULL;
  BUF_AUTO out;
  buf_init(&out, MARKDOWN_BYTES);
  if (result->column_count) {
    put_row(&out, &table, 0);
    put_rule(&out, &table);
    for (size_t r = 1; r <= table.rows; r++) put_row(&out, &table, r);
  }
  put_note(&out, &table);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}
