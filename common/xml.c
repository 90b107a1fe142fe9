/* xml.c - see xml.h. Namespaces are not looked at: S3 and its kin write theirs, STS its own, and some none. */
#include "common/xml.h"

#include <libxml/parser.h>
#include <limits.h>

static void free_doc(void *doc) { xmlFreeDoc(doc); }

const xml_node *xml_parse(const char *text, size_t len, struct arena *arena) {
  if (len > INT_MAX) return NULL;
  xmlDoc *doc = xmlReadMemory(text, (int)len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
  if (!doc) return NULL;
  if (doc->intSubset || arena_defer(arena, free_doc, doc) != 0) { /* entities of its own: nothing we talk to sends any */
    xmlFreeDoc(doc);
    return NULL;
  }
  return xmlDocGetRootElement(doc);
}

bool xml_is(const xml_node *node, const char *name) {
  return node && node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static const xml_node *find(const xml_node *node, const char *name) {
  while (node && !xml_is(node, name)) node = node->next;
  return node;
}

const xml_node *xml_child(const xml_node *node, const char *name) { return node ? find(node->children, name) : NULL; }
const xml_node *xml_next(const xml_node *node, const char *name) { return node ? find(node->next, name) : NULL; }

const char *xml_text(const xml_node *node, const char *name, struct arena *arena) {
  const xml_node *child = xml_child(node, name);
  if (!child) return NULL;
  xmlChar *text = xmlNodeGetContent(child);
  char *copy = text ? arena_strdup(arena, (const char *)text) : NULL;
  xmlFree(text);
  return copy;
}
