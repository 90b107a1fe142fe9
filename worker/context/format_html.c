/* format_html.c - HTML by libxml2's parser, its text alone: no network, no entities of others, no scripts.
 *
 * The tree is walked once; text gathers until something that stands by itself begins or ends. The parser bounds how deep a tree gets, and
 * so how deep the walk goes. */
#include <libxml/HTMLparser.h>
#include <strings.h>

#include "common/limits.h"
#include "common/utf8.h"
#include "worker/context/extract.h"

#define DEPTH 300 /* libxml2 stops at 256 */
#define TITLE_BYTES 300

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

static void add_space(struct walk *walk) { add_text(walk, " "); }

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

static void trim_end(struct walk *walk) {
  while (walk->text.len && walk->text.data[walk->text.len - 1] == ' ') buf_cut(&walk->text, walk->text.len - 1);
}

/* Cells are parted by bars, and what stands by itself elsewhere is words in them; the first row of header cells is repeated with the
 * others. */
static void row(struct walk *walk, const xmlNode *node, int depth) {
  enum block_kind around = walk->kind;
  bool heads = has_child(node, "th") && !has_child(node, "td"), first = true;
  flush(walk);
  walk->kind = BLOCK_ROW;
  for (const xmlNode *cell = node->children; cell; cell = cell->next) {
    if (cell->type != XML_ELEMENT_NODE) continue;
    trim_end(walk);
    if (!first) buf_puts(&walk->text, " | ");
    first = false;
    visit_children(walk, cell, depth + 1);
  }
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
  trim_end(walk);
  buf_puts(&walk->text, "**: ");
}

static void title(struct walk *walk, const xmlNode *node) {
  xmlChar *text = xmlNodeGetContent(node);
  if (text && !walk->extractor->title) {
    char *copy = arena_strndup(walk->extractor->arena, (const char *)text, utf8_fit((const char *)text, TITLE_BYTES));
    for (char *at = copy; at && *at; at++)
      if (strchr("\t\r\n", *at)) *at = ' ';
    walk->extractor->title = copy;
  }
  xmlFree(text);
}

/* Words of a cell stay apart, unless what they are in is part of a line. */
static void in_cell(struct walk *walk, const xmlNode *node, const char *name, int depth) {
  const htmlElemDesc *known = htmlTagLookup((const xmlChar *)name);
  bool apart = !known || !known->isinline || strcasecmp(name, "br") == 0;
  if (apart) add_space(walk);
  visit_children(walk, node, depth);
  if (apart) add_space(walk);
}

static void element(struct walk *walk, const xmlNode *node, const char *name, int depth) {
  static const char *const skipped[] = {"script", "style",  "noscript", "template", "svg", "math",
                                        "iframe", "object", "select",   "button",   NULL};
  static const char *const blocks[] = {"p",   "div",        "section", "article", "main",       "header",  "footer",   "aside",
                                       "nav", "blockquote", "address", "figure",  "figcaption", "caption", "ul",       "ol",
                                       "dl",  "body",       "hr",      "details", "summary",    "form",    "fieldset", NULL};
  if (is_one_of(name, skipped)) return;
  if (walk->kind == BLOCK_ROW) {
    in_cell(walk, node, name, depth);
    return;
  }
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
  } else if (is_one_of(name, blocks))
    block(walk, node, walk->kind == BLOCK_ITEM ? BLOCK_ITEM : BLOCK_TEXT, 0, depth);
  else {
    if (strcasecmp(name, "br") == 0) buf_putc(&walk->text, walk->kind == BLOCK_HEADING ? ' ' : '\n');
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

/* The parser forgives everything but elements that are too deep, after which it reads no more. */
static enum status parse(const char *bytes, size_t len, htmlDocPtr *ret_document, struct error *err) {
  htmlParserCtxtPtr parser = htmlNewParserCtxt();
  if (!parser) return error_oom(err);
  htmlDocPtr document =
      htmlCtxtReadMemory(parser, bytes, (int)len, NULL, "UTF-8",
                         HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET | HTML_PARSE_COMPACT);
  const xmlError *last = xmlCtxtGetLastError(parser);
  bool halted = last && last->level == XML_ERR_FATAL;
  htmlFreeParserCtxt(parser);
  if (halted && document) {
    xmlFreeDoc(document);
    return error_set_code(err, ERR_VALIDATION, "TOO_COMPLEX", "the HTML has elements in elements, deeper than can be read: simplify it");
  }
  if (!document) return error_set_code(err, ERR_VALIDATION, "UNREADABLE", "the document is no HTML that can be read");
  *ret_document = document;
  return OK;
}

static enum status read_html(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct walk walk = {.extractor = extractor, .kind = BLOCK_TEXT};
  htmlDocPtr document = NULL;
  enum status status = parse(bytes, len, &document, err);
  if (status) return status;
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
