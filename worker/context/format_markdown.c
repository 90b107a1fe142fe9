/* format_markdown.c - Markdown as GitHub has it, by cmark-gfm's tree.
 *
 * The tree says where blocks begin and end; their text is the document's own, so that what is shown is what was written. Only the top of
 * the tree is walked: a list is its items, a table its rows, whatever else is one block, however deep it goes inside. */
#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

#include "common/utf8.h"
#include "worker/context/extract.h"

#define HEADING_BYTES 300
#define FRONT_MATTER_LINES 200

#define SIGNS_ENOUGH 2 /* lines that only Markdown has, where the name doesn't say so */

struct source {
  const char *text;
  size_t len;
  size_t *lines; /* where each begins, and the end */
  int count;
};

/* --- is it? --- */

/* Lines that only Markdown has. Plain text with a dash or two is read alike either way. */
static bool is_sign(const char *line, size_t len) {
  size_t marks = strspn(line, "#");
  if (marks >= 1 && marks <= 6 && marks < len && line[marks] == ' ') return true;
  if (len >= 3 &&
      (strncmp(line, "```", 3) == 0 || strncmp(line, "~~~", 3) == 0 || strncmp(line, "|--", 3) == 0 || strncmp(line, "| -", 3) == 0))
    return true;
  if (len >= 3 && (strncmp(line, "- ", 2) == 0 || strncmp(line, "* ", 2) == 0 || strncmp(line, "> ", 2) == 0)) return true;
  const char *link = memmem(line, len, "](", 2);
  return link != NULL || memmem(line, len, "**", 2) != NULL;
}

static bool is_markdown(const char *bytes, size_t len, bool named) {
  int signs = 0;
  if (named) return true;
  for (size_t at = 0, lines = 0; at < len && lines < 400; lines++) {
    const char *end = memchr(bytes + at, '\n', len - at);
    size_t line = (end ? (size_t)(end - bytes) : len) - at;
    if (line && is_sign(bytes + at, line) && ++signs >= SIGNS_ENOUGH) return true;
    at += line + 1;
  }
  return false;
}

/* --- lines --- */

/* As cmark counts them: ended by \n, \r or \r\n. */
static bool find_lines(struct source *source, struct arena *arena) {
  int count = 1;
  for (size_t i = 0; i < source->len; i++) count += source->text[i] == '\n' || source->text[i] == '\r';
  source->lines = arena_calloc(arena, (size_t)count + 2, sizeof *source->lines);
  if (!source->lines) return false;
  source->count = 0;
  source->lines[source->count++] = 0;
  for (size_t i = 0; i < source->len; i++) {
    if (source->text[i] == '\r' && i + 1 < source->len && source->text[i + 1] == '\n') continue;
    if (source->text[i] == '\n' || source->text[i] == '\r') source->lines[source->count++] = i + 1;
  }
  source->lines[source->count] = source->len;
  return true;
}

/* Lines from..to, 1-based and inclusive, as a range of bytes. */
static void range(const struct source *source, int from, int to, size_t *ret_from, size_t *ret_to) {
  if (from < 1) from = 1;
  if (to < from) to = from;
  if (from > source->count) from = source->count;
  if (to > source->count) to = source->count;
  *ret_from = source->lines[from - 1];
  *ret_to = source->lines[to];
}

/* --- blocks --- */

struct reader {
  struct extractor *extractor;
  struct source source;
  int offset; /* lines before what cmark read */
};

static const char *plain_text(cmark_node *node, struct arena *arena) {
  BUF_AUTO text;
  buf_init(&text, HEADING_BYTES * 4);
  cmark_iter *iter = cmark_iter_new(node);
  cmark_event_type event;
  while ((event = cmark_iter_next(iter)) != CMARK_EVENT_DONE && text.len < HEADING_BYTES) {
    cmark_node *at = cmark_iter_get_node(iter);
    cmark_node_type type = cmark_node_get_type(at);
    if (event != CMARK_EVENT_ENTER) continue;
    if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK) buf_putc(&text, ' ');
    const char *literal = type == CMARK_NODE_TEXT || type == CMARK_NODE_CODE ? cmark_node_get_literal(at) : NULL;
    if (literal) buf_append(&text, literal, utf8_fit(literal, HEADING_BYTES));
  }
  cmark_iter_free(iter);
  return arena_strndup(arena, buf_str(&text), text.len);
}

static bool put_lines(struct reader *reader, enum block_kind kind, int level, int from, int to) {
  size_t first, last;
  range(&reader->source, from + reader->offset, to + reader->offset, &first, &last);
  return extractor_span(reader->extractor, kind, level, reader->source.text, first, last);
}

/* The block of a heading holds its words alone: "## Orders ##" and underlined ones are found in the source. */
static bool put_heading(struct reader *reader, cmark_node *node) {
  size_t from, to;
  const char *text = reader->source.text, *title = plain_text(node, reader->extractor->arena);
  int level = cmark_node_get_heading_level(node), line = cmark_node_get_start_line(node) + reader->offset;
  if (!title) return reader->extractor->failed = true, false;
  range(&reader->source, line, line, &from, &to);
  while (from < to && (text[from] == '#' || text[from] == ' ' || text[from] == '\t')) from++;
  while (to > from && strchr(" \t\r\n", text[to - 1])) to--;
  size_t bare = to;
  while (bare > from && text[bare - 1] == '#') bare--;
  if (bare > from && (text[bare - 1] == ' ' || text[bare - 1] == '\t')) to = bare;
  if (level == 1 && !reader->extractor->title && *title) reader->extractor->title = title;
  return extractor_span(reader->extractor, BLOCK_HEADING, level, text, from, to);
}

static bool put_table(struct reader *reader, cmark_node *table) {
  int first = cmark_node_get_start_line(table), last = cmark_node_get_end_line(table);
  size_t head, head_to;
  range(&reader->source, first + reader->offset, first + 1 + reader->offset, &head, &head_to);
  while (head_to > head && strchr("\r\n", reader->source.text[head_to - 1])) head_to--;
  for (int line = first + 2; line <= last; line++) {
    struct extractor *extractor = reader->extractor;
    size_t before = extractor->count;
    if (!put_lines(reader, BLOCK_ROW, 0, line, line)) return false;
    if (extractor->count > before) extractor->blocks[before].head = head, extractor->blocks[before].head_to = head_to;
  }
  return last > first + 1 || put_lines(reader, BLOCK_TEXT, 0, first, last);
}

/* An item ends where the next one begins: cmark counts blank lines to it in its own way. */
static bool put_list(struct reader *reader, cmark_node *list) {
  for (cmark_node *item = cmark_node_first_child(list); item; item = cmark_node_next(item)) {
    cmark_node *next = cmark_node_next(item);
    int first = cmark_node_get_start_line(item);
    int last = next ? cmark_node_get_start_line(next) - 1 : cmark_node_get_end_line(list);
    if (last >= first && !put_lines(reader, BLOCK_ITEM, 0, first, last)) return false;
  }
  return true;
}

static bool put_node(struct reader *reader, cmark_node *node) {
  cmark_node_type type = cmark_node_get_type(node);
  int first = cmark_node_get_start_line(node), last = cmark_node_get_end_line(node);
  if (type == CMARK_NODE_HEADING) return put_heading(reader, node);
  if (type == CMARK_NODE_LIST) return put_list(reader, node);
  if (type == CMARK_NODE_THEMATIC_BREAK) return true;
  if (strcmp(cmark_node_get_type_string(node), "table") == 0) return put_table(reader, node);
  return put_lines(reader, type == CMARK_NODE_CODE_BLOCK ? BLOCK_CODE : BLOCK_TEXT, 0, first, last);
}

/* --- front matter --- */

static void take_title(struct reader *reader, size_t from, size_t to) {
  const char *text = reader->source.text;
  if (to - from < 7 || strncmp(text + from, "title:", 6) != 0) return;
  from += 6;
  while (from < to && strchr(" \t\"'", text[from])) from++;
  while (to > from && strchr(" \t\r\n\"'", text[to - 1])) to--;
  if (to - from > HEADING_BYTES) to = from + utf8_fit(text + from, HEADING_BYTES);
  if (to > from) reader->extractor->title = arena_strndup(reader->extractor->arena, text + from, to - from);
}

/* Lines of "---" around settings at the very top: Markdown would take them for a heading. Returns how many lines they are. */
static int read_front_matter(struct reader *reader) {
  const struct source *source = &reader->source;
  if (source->len < 4 || strncmp(source->text, "---", 3) != 0 || !strchr("\r\n", source->text[3])) return 0;
  for (int line = 2; line <= source->count && line < FRONT_MATTER_LINES; line++) {
    size_t from = source->lines[line - 1], to = source->lines[line];
    if (to - from >= 3 && strncmp(source->text + from, "---", 3) == 0) {
      put_lines(reader, BLOCK_TEXT, 0, 2, line - 1);
      return line;
    }
    take_title(reader, from, to);
  }
  return 0;
}

/* --- the whole --- */

static enum status read_markdown(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct reader reader = {.extractor = extractor, .source = {.text = bytes, .len = len}};
  if (!find_lines(&reader.source, extractor->arena)) return error_oom(err);
  int skipped = read_front_matter(&reader);
  size_t from = skipped ? reader.source.lines[skipped] : 0;
  cmark_gfm_core_extensions_ensure_registered();
  cmark_parser *parser = cmark_parser_new(CMARK_OPT_DEFAULT);
  cmark_syntax_extension *tables = cmark_find_syntax_extension("table");
  if (tables) cmark_parser_attach_syntax_extension(parser, tables);
  cmark_parser_feed(parser, bytes + from, len - from);
  cmark_node *document = cmark_parser_finish(parser);
  reader.offset = skipped;
  for (cmark_node *node = document ? cmark_node_first_child(document) : NULL; node; node = cmark_node_next(node))
    if (!put_node(&reader, node)) break;
  if (document) cmark_node_free(document);
  cmark_parser_free(parser);
  return document ? OK : error_oom(err);
}

const struct format format_markdown = {
    .content_type = "text/markdown", .is = is_markdown, .extensions = "md markdown mdown mkd mdx", .read = read_markdown};
