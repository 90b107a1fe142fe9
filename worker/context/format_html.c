/* format_html.c - HTML by libxml2's parser, its text alone: no network, no entities of others, no scripts.
 *
 * The tree is walked once; text gathers until something that stands by itself begins or ends. The parser bounds how deep a tree gets, and
 * so how deep the walk goes. */
#include <libxml/HTMLparser.h>
#include <strings.h>

#include "common/limits.h"
#include "worker/context/extract.h"

#define DEPTH 300 /* libxml2 stops at 256 */

struct walk {
  struct extractor *extractor;
  struct buf text;
  enum block_kind kind;
  int level;
  size_t head, head_to; /* of the table */
  bool verbatim;
};

static bool is_one_of(const char *name, const char *const *names) {
  for (; *names; names++)
    if (strcasecmp(name, *names) == 0) return true;
  return false;
}

/* --- is it? --- */

/* Markdown may begin with a piece of HTML, so a piece alone makes none. */
static bool is_html(const char *bytes, size_t len, bool named) {
  static const char *const signs[] = {"<!doctype html", "<html", "<head", "<body", NULL};
  size_t at = 0;
  while (at < len && strchr(" \t\r\n", bytes[at])) at++;
  if (at == len || bytes[at] != '<') return false;
  for (const char *const *sign = signs; *sign; sign++)
    for (size_t i = at; i < len && i < at + 2048; i++)
      if (bytes[i] == '<' && i + strlen(*sign) <= len && strncasecmp(bytes + i, *sign, strlen(*sign)) == 0) return true;
  return named;
}

/* --- text --- */

static void flush(struct walk *walk) {
  if (walk->text.len) {
    size_t before = walk->extractor->count;
    extractor_put(walk->extractor, walk->kind, walk->level, buf_str(&walk->text), walk->text.len);
    if (walk->kind == BLOCK_ROW && walk->extractor->count > before) {
      walk->extractor->blocks[before].head = walk->head;
      walk->extractor->blocks[before].head_to = walk->head_to;
    }
  }
  buf_reset(&walk->text);
}

static void add_text(struct walk *walk, const char *text) {
  if (walk->verbatim) {
    buf_puts(&walk->text, text);
    return;
  }
  for (; *text; text++) {
    bool blank = strchr(" \t\r\n\f\v", *text) != NULL;
    if (!blank)
      buf_putc(&walk->text, *text);
    else if (walk->text.len && walk->text.data[walk->text.len - 1] != ' ')
      buf_putc(&walk->text, ' ');
  }
}

static void visit(struct walk *walk, const xmlNode *node, int depth);

static void visit_children(struct walk *walk, const xmlNode *node, int depth) {
  for (const xmlNode *child = node->children; child && !walk->extractor->failed; child = child->next) visit(walk, child, depth + 1);
}

/* --- elements --- */

static void block(struct walk *walk, const xmlNode *node, enum block_kind kind, int level, int depth) {
  struct walk around = *walk;
  flush(walk);
  walk->kind = kind;
  walk->level = level;
  walk->verbatim = kind == BLOCK_CODE;
  visit_children(walk, node, depth);
  flush(walk);
  walk->kind = around.kind;
  walk->level = around.level;
  walk->verbatim = around.verbatim;
}

static bool has_child(const xmlNode *node, const char *name) {
  for (const xmlNode *child = node->children; child; child = child->next)
    if (child->type == XML_ELEMENT_NODE && strcasecmp((const char *)child->name, name) == 0) return true;
  return false;
}

/* Cells are parted by bars; the first row of header cells is repeated with the others. */
static void row(struct walk *walk, const xmlNode *node, int depth) {
  flush(walk);
  for (const xmlNode *cell = node->children; cell; cell = cell->next) {
    if (cell->type != XML_ELEMENT_NODE) continue;
    if (walk->text.len) buf_puts(&walk->text, " | ");
    struct walk around = *walk;
    walk->kind = BLOCK_ROW;
    visit_children(walk, cell, depth + 1);
    walk->kind = around.kind;
  }
  bool heads = has_child(node, "th") && !has_child(node, "td");
  enum block_kind around = walk->kind;
  walk->kind = heads ? BLOCK_TEXT : BLOCK_ROW;
  if (heads) {
    walk->head = walk->extractor->text.len;
    buf_append(&walk->extractor->text, buf_str(&walk->text), walk->text.len);
    walk->head_to = walk->extractor->text.len;
    buf_putc(&walk->extractor->text, '\n');
    buf_reset(&walk->text);
  }
  flush(walk);
  walk->kind = around;
}

/* "**term**: meaning", as a list in Markdown would have it. */
static void term(struct walk *walk, const xmlNode *node, int depth) {
  flush(walk);
  buf_puts(&walk->text, "**");
  visit_children(walk, node, depth);
  while (walk->text.len && walk->text.data[walk->text.len - 1] == ' ') buf_cut(&walk->text, walk->text.len - 1);
  buf_puts(&walk->text, "**: ");
}

static void title(struct walk *walk, const xmlNode *node) {
  xmlChar *text = xmlNodeGetContent(node);
  if (text && !walk->extractor->title) {
    char *copy = arena_strndup(walk->extractor->arena, (const char *)text, strnlen((const char *)text, 300));
    for (char *at = copy; at && *at; at++)
      if (strchr("\t\r\n", *at)) *at = ' ';
    walk->extractor->title = copy;
  }
  xmlFree(text);
}

static void element(struct walk *walk, const xmlNode *node, const char *name, int depth) {
  static const char *const skipped[] = {"script", "style",  "noscript", "template", "svg",  "math",
                                        "iframe", "object", "select",   "button",   "form", NULL};
  static const char *const blocks[] = {"p",   "div",        "section", "article", "main",       "header",  "footer", "aside",
                                       "nav", "blockquote", "address", "figure",  "figcaption", "caption", "ul",     "ol",
                                       "dl",  "body",       "hr",      "details", "summary",    NULL};
  if (is_one_of(name, skipped)) return;
  if (strcasecmp(name, "title") == 0)
    title(walk, node);
  else if ((name[0] == 'h' || name[0] == 'H') && name[1] >= '1' && name[1] <= '6' && !name[2])
    block(walk, node, BLOCK_HEADING, name[1] - '0', depth);
  else if (strcasecmp(name, "li") == 0)
    block(walk, node, BLOCK_ITEM, 0, depth);
  else if (strcasecmp(name, "pre") == 0)
    block(walk, node, BLOCK_CODE, 0, depth);
  else if (strcasecmp(name, "table") == 0) {
    walk->head = walk->head_to = 0;
    block(walk, node, BLOCK_TEXT, 0, depth);
  } else if (strcasecmp(name, "tr") == 0)
    row(walk, node, depth);
  else if (strcasecmp(name, "dt") == 0)
    term(walk, node, depth);
  else if (strcasecmp(name, "dd") == 0) {
    visit_children(walk, node, depth);
    enum block_kind around = walk->kind;
    walk->kind = BLOCK_ITEM;
    flush(walk);
    walk->kind = around;
  } else if (is_one_of(name, blocks) && walk->kind != BLOCK_ROW)
    block(walk, node, walk->kind == BLOCK_ITEM ? BLOCK_ITEM : BLOCK_TEXT, 0, depth);
  else {
    if (strcasecmp(name, "br") == 0) buf_putc(&walk->text, walk->kind == BLOCK_HEADING || walk->kind == BLOCK_ROW ? ' ' : '\n');
    visit_children(walk, node, depth);
  }
}

static void visit(struct walk *walk, const xmlNode *node, int depth) {
  if (depth > DEPTH) return;
  if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) {
    if (node->content) add_text(walk, (const char *)node->content);
  } else if (node->type == XML_ELEMENT_NODE) {
    element(walk, node, (const char *)node->name, depth);
  }
}

static enum status read_html(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct walk walk = {.extractor = extractor, .kind = BLOCK_TEXT};
  htmlDocPtr document =
      htmlReadMemory(bytes, (int)len, NULL, "UTF-8",
                     HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET | HTML_PARSE_COMPACT);
  if (!document) return error_set_code(err, ERR_VALIDATION, "UNREADABLE", "the document is no HTML that can be read");
  buf_init(&walk.text, LIMIT_DOCUMENT_TEXT_BYTES);
  const xmlNode *root = xmlDocGetRootElement(document);
  if (root) visit(&walk, root, 0);
  flush(&walk);
  if (!buf_ok(&walk.text)) extractor->failed = true;
  buf_free(&walk.text);
  xmlFreeDoc(document);
  return OK;
}

const struct format format_html = {.content_type = "text/html", .is = is_html, .extensions = "html htm xhtml", .read = read_html};
