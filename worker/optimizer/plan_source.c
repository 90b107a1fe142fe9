/* plan_source.c - a plan as people have it: out of psql's frame, a log, a grid of an IDE, a driver's rows.
 *
 * What was around it is taken off in turns until EXPLAIN's own text or JSON is left:
 *   1  JSON: the plan itself; a log record with a "message"; rows with a "QUERY PLAN"; a string that holds one of these
 *   2  lines: frames ("| … |", "+" and "↵" at the end), quotes of cells ("" within), prompts, headings, row counts, prefixes of syslog
 *   3  of a log, the lines from "plan:" to the next record, and the query's text among them
 *   4  lines broken by a terminal or a mail are put together again
 * Each step is linear in the text. */
#include <ctype.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/list.h"
#include "worker/optimizer/plan_impl.h"
#include "worker/optimizer/plan_lines.h"
#include "worker/sql/guard.h"

#define TURNS_MAX 4 /* wrappings in wrappings: a log's JSON record with a plan in JSON in its message */

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }
static bool ends(const char *text, const char *with) {
  size_t len = strlen(text), tail = strlen(with);
  return len >= tail && strcmp(text + len - tail, with) == 0;
}

struct source {
  struct arena *arena;
  const char *query; /* found beside the plan */
  json_t *json;      /* the plan, once it is found */
  bool from_text;
  struct error *err;
};

static enum status no_plan(struct error *err) {
  return error_set_code(err, ERR_VALIDATION, "PLAN_INVALID",
                        "plan: there is no plan in the text: give the output of EXPLAIN as text, or of EXPLAIN (FORMAT JSON)");
}

/* --- JSON --- */

static enum status read_text(struct source *source, const char *text, int turn);

static json_t *rows_cell(const json_t *row) {
  json_t *cell = json_object_get(row, "QUERY PLAN");
  return cell ? cell : json_object_get(row, "query plan");
}

/* Rows as drivers print them: {"QUERY PLAN": …} each; lines of text are put below each other. */
static enum status read_rows(struct source *source, const json_t *rows, int turn) {
  BUF_AUTO text;
  buf_init(&text, LIMIT_PLAN_BYTES);
  size_t index;
  json_t *row;
  json_array_foreach(rows, index, row) {
    json_t *cell = rows_cell(row);
    if (json_is_object(cell) || json_is_array(cell)) {
      source->json = json_is_array(cell) ? json_array_get(cell, 0) : cell;
      return OK;
    }
    buf_printf(&text, "%s\n", json_is_string(cell) ? json_string_value(cell) : "");
  }
  const char *lines = buf_ok(&text) ? arena_strdup(source->arena, buf_str(&text)) : NULL;
  return lines ? read_text(source, lines, turn + 1) : error_oom(source->err);
}

static enum status read_json(struct source *source, json_t *value, int turn) {
  if (json_is_string(value)) return read_text(source, json_string_value(value), turn + 1);
  const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
  const char *message = json_str(first, "message", NULL);
  if (json_is_object(json_object_get(first, "Plan"))) {
    source->json = value;
    return OK;
  }
  if (rows_cell(first) && json_is_array(value)) return read_rows(source, value, turn);
  if (rows_cell(first)) {
    json_t *rows = arena_json(source->arena, json_pack("[O]", first));
    return rows ? read_rows(source, rows, turn) : error_oom(source->err);
  }
  if (json_is_string(json_object_get(first, "Node Type"))) { /* the plan's node without what is around it */
    source->json = arena_json(source->arena, json_pack("{s:O}", "Plan", first));
    return source->json ? OK : error_oom(source->err);
  }
  return message ? read_text(source, message, turn + 1) : no_plan(source->err);
}

/* 1: it was read (or is refused); 0: no JSON begins here. What follows the value is left alone. */
static int try_json(struct source *source, const char *text, int turn, enum status *ret_status) {
  json_error_t fault;
  if (!*text || !strchr("[{\"", *text)) return 0;
  json_t *value = json_loads(text, *text == '"' ? JSON_DECODE_ANY : JSON_DISABLE_EOF_CHECK, &fault);
  if (!value && *text == '"') return 0; /* a cell's quotes */
  if (!value)
    *ret_status = error_set_code(source->err, ERR_VALIDATION, "PLAN_INVALID", "plan: its JSON can't be read, line %d, column %d: %.200s",
                                 fault.line, fault.column, fault.text);
  else
    *ret_status = arena_json(source->arena, value) ? read_json(source, value, turn) : error_oom(source->err);
  return 1;
}

/* --- lines and their frames --- */

LIST_TYPE(line_list, struct plan_line);

static size_t trimmed(const char *text, size_t len) {
  while (len && isspace((unsigned char)text[len - 1])) len--;
  return len;
}

/* Tabs to columns of eight, other spaces than " " to it. */
static char *expanded(struct arena *arena, const char *text, size_t len) {
  size_t tabs = 0;
  for (size_t i = 0; i < len; i++) tabs += text[i] == '\t';
  char *copy = arena_alloc(arena, len + tabs * 8 + 1), *out = copy;
  if (!copy) return NULL;
  for (size_t i = 0; i < len; i++) {
    if (text[i] == '\t') do
        *out++ = ' ';
      while ((out - copy) % 8);
    else if (i + 1 < len && (unsigned char)text[i] == 0xc2 && (unsigned char)text[i + 1] == 0xa0)
      *out++ = ' ', i++;
    else
      *out++ = text[i];
  }
  *out = '\0';
  return copy;
}

static void cut_end(char *text, const char *tail) {
  if (ends(text, tail)) text[strlen(text) - strlen(tail)] = '\0';
  text[trimmed(text, strlen(text))] = '\0';
}

/* "| … |" and its like in Unicode. */
static char *without_frame(char *line) {
  static const char *const bars[] = {"|", "│", "║", "┃"};
  char *inner = line + strspn(line, " ");
  for (size_t i = 0; i < sizeof bars / sizeof *bars; i++)
    if (begins(inner, bars[i])) {
      inner += strlen(bars[i]);
      if (*inner == ' ') inner++;
      cut_end(inner, bars[i]);
      return inner;
    }
  return line;
}

/* psql's expanded display: "QUERY PLAN |   Filter: (k = 5)". */
static char *without_label(char *line) {
  char *text = line + strspn(line, " ");
  if (!begins(text, "QUERY PLAN ")) return line;
  char *rest = text + strlen("QUERY PLAN"), *inner = without_frame(rest);
  return inner == rest ? line : inner;
}

/* A cell in quotes, those within doubled; with what separates cells after it. Only whole cells: a quote may begin a name's line, too. */
static char *without_quotes(char *line) {
  char *inner = line + strspn(line, " "), quote = *inner;
  if (quote != '"' && quote != '\'') return line;
  size_t len = strlen(inner);
  while (len > 1 && strchr(",; ", inner[len - 1])) len--;
  if (len < 2 || inner[len - 1] != quote) return line;
  for (size_t i = 1; quote == '"' && i + 1 < len; i++) /* one that stands alone: a member of JSON, not a cell */
    if (inner[i] == '"' && inner[++i] != '"') return line;
  inner[len - 1] = '\0';
  char *out = ++inner;
  for (const char *in = inner; *in; in++) {
    if (quote == '"' && *in == quote && in[1] == quote) in++;
    *out++ = *in;
  }
  *out = '\0';
  return inner;
}

/* A cell that holds all of the plan, its quotes doubled: pgAdmin copies JSON so. The text itself when it is no such cell. */
static const char *without_cell(struct arena *arena, const char *text) {
  const char *from = text + strspn(text, " \t\r\n"), *second = strchr(from, '\n');
  size_t len = trimmed(from, strlen(from));
  if (len < 2 || *from != '"' || from[len - 1] != '"' || (second && second < from + len && second[1] == '"')) return text;
  char *cell = arena_alloc(arena, len), *out = cell;
  for (size_t i = 1; cell && i + 1 < len; i++) {
    if (from[i] == '"' && from[i + 1] == '"' && i + 2 < len) i++;
    *out++ = from[i];
  }
  return cell ? cell : text;
}

/* What a log puts before its lines: "… postgres[12]: [3-2] #011". */
static char *without_syslog(char *line) {
  char *tab = strstr(line, "#011"), *bracket = tab ? NULL : strstr(line, "postgres[");
  if (tab && tab - line < 200) return tab + 4;
  char *mark = bracket && bracket - line < 100 ? strstr(bracket, "]: [") : NULL;
  char *close = mark ? strchr(mark + 4, ']') : NULL;
  return close && close[1] == ' ' ? close + 2 : line;
}

static bool only(const char *text, const char *bytes) { return text[strspn(text, bytes)] == '\0'; }

/* What is printed around a plan and says nothing of it. */
static bool is_decoration(const char *line) {
  const char *text = line + strspn(line, " ");
  size_t len = strlen(text);
  if (!len || only(text, "-+|=: ") || begins(text, "QUERY PLAN") || begins(text, "Query Plan") || begins(text, "query plan")) return true;
  if (*text == '(' && (ends(text, " rows)") || ends(text, " row)") || ends(text, " строк)") || ends(text, " Zeilen)"))) return true;
  if ((begins(text, "-[ ") || begins(text, "+-[ ")) && strstr(text, " ]")) return true; /* "-[ RECORD 1 ]----" */
  if (begins(text, "Time: ") || begins(text, "Timing is ") || begins(text, "EXPLAIN") || begins(text, "explain")) return true;
  if ((unsigned char)*text == 0xe2 && (unsigned char)text[1] >= 0x94 && (unsigned char)text[1] <= 0x96 && !strchr(text, '('))
    return true; /* box */
  size_t digits = strspn(text, "0123456789");
  if (digits && len < 60 && begins(text + digits, " row")) return true; /* "2 rows in set" */
  const char *prompt = strpbrk(text, "=-");
  return prompt && prompt > text && prompt - text < 64 && strchr("#>", prompt[1] ? prompt[1] : ' ') && (!prompt[2] || prompt[2] == ' ') &&
         !memchr(text, ' ', (size_t)(prompt - text));
}

static bool add_line(struct source *source, struct line_list *lines, const char *from, size_t len, int number) {
  char *line = expanded(source->arena, from, trimmed(from, len));
  if (!line) return false;
  line = without_quotes(without_label(without_frame(without_syslog(line))));
  size_t end = trimmed(line, strlen(line));
  line[end] = '\0';
  bool continued = end > 1 && line[end - 1] == '+' && (line[end - 2] == ' ' || strchr("{}[],\"", line[end - 2]));
  if (continued) line[trimmed(line, end - 1)] = '\0';
  cut_end(line, "↵");
  if (is_decoration(line)) return true;
  int indent = (int)strspn(line, " ");
  struct plan_line *slot = LIST_PUSH(source->arena, lines);
  if (slot) *slot = (struct plan_line){.text = line + indent, .indent = indent, .number = number};
  return slot != NULL;
}

static bool cut_lines(struct source *source, const char *text, struct line_list *ret_lines) {
  int number = 1;
  for (const char *at = text; *at; number++) {
    size_t len = strcspn(at, "\r\n");
    if (!add_line(source, ret_lines, at, len, number)) return false;
    at += len;
    if (*at == '\r' && at[1] == '\n') at++;
    if (*at) at++;
  }
  return true;
}

/* --- a log's record --- */

/* "2026-01-02 03:04:05.678 UTC [9] LOG:  duration: 12.345 ms  plan:". */
static bool begins_record(const char *text) { return strstr(text, "duration: ") && ends(text, "plan:"); }

static bool is_log_line(const char *text) {
  static const char *const levels[] = {
      "LOG: ", "STATEMENT: ", "ERROR: ", "DETAIL: ", "WARNING: ", "FATAL: ", "CONTEXT: ", "HINT: ", "DEBUG: "};
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
    const char *at = strstr(text, levels[i]);
    if (at && (at == text || isdigit((unsigned char)*text) || isalpha((unsigned char)*text)) && at - text < 120 &&
        !plan_line_is_known(text) && !plan_line_is_node(text))
      return true;
  }
  return false;
}

static bool opens_json(const char *text) { return (*text == '{' || *text == '[') && only(text, "{[ "); }

/* Leaves the first record's plan; keeps the text of its query. */
static void take_record(struct source *source, struct line_list *lines) {
  size_t first = 0, end;
  while (first < lines->count && !begins_record(lines->items[first].text)) first++;
  if (first == lines->count) return;
  for (end = ++first; end < lines->count && !is_log_line(lines->items[end].text); end++) continue;
  BUF_AUTO query;
  buf_init(&query, LIMIT_SQL_BYTES);
  if (first < end && begins(lines->items[first].text, "Query Text:")) {
    buf_puts(&query, lines->items[first].text + strlen("Query Text:") + strspn(lines->items[first].text + strlen("Query Text:"), " "));
    for (first++; first < end && !plan_line_is_node(lines->items[first].text) && !opens_json(lines->items[first].text); first++)
      buf_printf(&query, "\n%s", lines->items[first].text);
  }
  if (first < end && begins(lines->items[first].text, "Query Parameters:")) first++;
  if (query.len && buf_ok(&query)) source->query = arena_strdup(source->arena, buf_str(&query));
  lines->items += first;
  lines->count = end - first;
}

/* --- broken lines --- */

/* What is open at the end of a line: EXPLAIN's own lines close every bracket and quote. */
struct open_text {
  int brackets;
  char quote;
};

static void follow(struct open_text *open, const char *text) {
  for (; *text; text++) {
    if (open->quote) {
      if (*text == open->quote) open->quote = 0;
    } else if (*text == '\'' || *text == '"') {
      open->quote = *text;
    } else {
      open->brackets += (*text == '(') - (*text == ')');
    }
  }
}

static bool stands_alone(const struct plan_line *line, const struct open_text *open) {
  bool node = plan_line_is_node(line->text), arrow = begins(line->text, "->");
  if (open->brackets > 0 || open->quote) return arrow && node && strstr(line->text, "(cost=");
  return node || plan_line_is_known(line->text) || (isupper((unsigned char)*line->text) && strstr(line->text, ": "));
}

/* The lines from..to as one. A terminal breaks at its width, in the middle of a word; whoever breaks elsewhere breaks at blanks. */
static const char *joined(struct source *source, const struct plan_line *from, const struct plan_line *to, int width) {
  BUF_AUTO whole;
  buf_init(&whole, LIMIT_PLAN_BYTES);
  buf_puts(&whole, from->text);
  for (const struct plan_line *line = from + 1; line < to; line++) {
    bool hard = line[-1].indent + (int)strlen(line[-1].text) == width;
    buf_printf(&whole, "%*s%s", hard ? line->indent : 1, "", line->text);
  }
  return buf_ok(&whole) ? arena_strdup(source->arena, buf_str(&whole)) : NULL;
}

static bool join_lines(struct source *source, struct line_list *lines) {
  size_t kept = 0, next;
  int width = 0;
  for (size_t i = 0; i < lines->count; i++) {
    int len = lines->items[i].indent + (int)strlen(lines->items[i].text);
    if (len > width) width = len;
  }
  for (size_t i = 0; i < lines->count; i = next) {
    struct plan_line line = lines->items[i];
    struct open_text open = {0};
    follow(&open, line.text);
    for (next = i + 1; next < lines->count && !stands_alone(&lines->items[next], &open); next++) follow(&open, lines->items[next].text);
    if (next > i + 1) line.text = joined(source, &lines->items[i], &lines->items[next], width);
    if (!line.text) return false;
    lines->items[kept++] = line;
  }
  lines->count = kept;
  return true;
}

/* --- the turns --- */

/* JSON may stand in lines: their frames are off, and what is before it. */
static int try_json_lines(struct source *source, const struct line_list *lines, int turn, enum status *ret_status) {
  size_t first = 0;
  while (first < lines->count && !opens_json(lines->items[first].text) && !begins(lines->items[first].text, "[{") &&
         !begins(lines->items[first].text, "{\"") && !begins(lines->items[first].text, "[{\""))
    first++;
  if (first == lines->count) return 0;
  BUF_AUTO text;
  buf_init(&text, 2 * LIMIT_PLAN_BYTES);
  for (size_t i = first; i < lines->count; i++) buf_printf(&text, "%s\n", lines->items[i].text);
  const char *joined = buf_ok(&text) ? buf_str(&text) : NULL;
  return joined ? try_json(source, joined, turn, ret_status) : 0;
}

static bool is_other_format(const char *text) {
  text += strspn(text, " \t\r\n");
  return begins(text, "<explain") || begins(text, "<?xml") || begins(text, "- Plan:");
}

static enum status read_text(struct source *source, const char *text, int turn) {
  enum status status = OK;
  if (turn > TURNS_MAX) return no_plan(source->err);
  if (begins(text, "\xef\xbb\xbf")) text += 3;
  if (is_other_format(text))
    return error_set_code(source->err, ERR_VALIDATION, "PLAN_INVALID",
                          "plan: is XML or YAML, which is not read: give EXPLAIN's text, or EXPLAIN (FORMAT JSON)");
  if (try_json(source, text + strspn(text, " \t\r\n"), turn, &status)) return status;
  const char *cell = without_cell(source->arena, text);
  if (cell != text) return read_text(source, cell, turn + 1);
  struct line_list lines = {0};
  if (!cut_lines(source, text, &lines)) return error_oom(source->err);
  take_record(source, &lines);
  if (try_json_lines(source, &lines, turn, &status)) return status;
  if (!join_lines(source, &lines)) return error_oom(source->err);
  if (!lines.count) return no_plan(source->err);
  source->from_text = true;
  return plan_lines_json(lines.items, lines.count, source->arena, &source->json, source->err);
}

enum status plan_parse(const char *text, size_t len, const struct snapshot *snapshot, struct arena *arena, struct query_plan **ret_plan,
                       struct error *err) {
  if (len > LIMIT_PLAN_BYTES)
    return error_set_code(err, ERR_VALIDATION, "PLAN_TOO_LARGE", "plan: is larger than %d MiB", LIMIT_PLAN_BYTES >> 20);
  struct source source = {.arena = arena, .err = err};
  if (strlen(text) != len) return error_set_code(err, ERR_VALIDATION, "PLAN_INVALID", "plan: holds a NUL byte");
  enum status status = read_text(&source, text, 1);
  if (!status) status = plan_build(source.json, snapshot, arena, ret_plan, err);
  if (status) return status;
  struct query_plan *plan = *ret_plan;
  plan->text = text;
  plan->from_text = source.from_text;
  if (!plan->query) plan->query = source.query;
  return OK;
}
