/* sql_print.c - see sql_print.h. */
#include "cli/sql_print.h"

#include "common/buf.h"
#include "common/limits.h"

static bool begins_clause(const char *text) {
  static const char *const clauses[] = {"FROM ", "WHERE ", "LEFT JOIN ", "INNER JOIN ", "CROSS JOIN ", "JOIN ",   "AND ",
                                        "OR ",   "UNION ", "GROUP BY ",  "ORDER BY ",   "HAVING ",     "SELECT ", "LIMIT "};
  for (size_t i = 0; i < sizeof clauses / sizeof *clauses; i++)
    if (strncasecmp(text, clauses[i], strlen(clauses[i])) == 0) return true;
  return false;
}

static bool is_whole(const char *line, size_t len) {
  return memmem(line, len, "--", 2) || memmem(line, len, "/*", 2) || memchr(line, '$', len);
}

/* Bytes of the line that go on one row of so many columns; len: all of it. */
static size_t row_end(const char *line, size_t len, size_t columns) {
  size_t used = 0, blank = 0, clause = 0, arm = 0;
  char quote = 0;
  for (size_t i = 0; i < len; i++) {
    used += ((unsigned char)line[i] & 0xc0) != 0x80;
    if (used > columns && blank) return arm ? arm : clause > columns / 3 ? clause : blank;
    if (quote ? line[i] == quote : line[i] == '\'' || line[i] == '"') quote = quote ? 0 : line[i];
    if (quote || line[i] != ' ' || i == 0) continue;
    blank = i;
    if (begins_clause(line + i + 1)) clause = i;
    if (strncasecmp(line + i + 1, "UNION ", 6) == 0) arm = i;
  }
  return len;
}

static void print_line(const struct term *term, int indent, const char *line, size_t len) {
  bool whole = is_whole(line, len);
  for (int row = 0; row == 0 || len; row++) {
    int in = indent + (row ? 2 : 0);
    size_t end = whole ? len : row_end(line, len, (size_t)(term->width - in));
    BUF_AUTO out;
    buf_init(&out, LIMIT_SQL_BYTES + 16);
    buf_append(&out, line, end);
    term_block(term, in, TERM_CYAN, buf_str(&out));
    line += end;
    len -= end;
    while (len && *line == ' ') line++, len--;
  }
}

void sql_print(const struct term *term, int indent, const char *sql) {
  while (*sql) {
    size_t len = strcspn(sql, "\n");
    print_line(term, indent, sql, len);
    sql += len + (sql[len] == '\n');
  }
}
