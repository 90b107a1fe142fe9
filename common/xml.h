/* xml.h - answers of AWS as trees: elements by their local names, read with libxml2. No entities beyond XML's own five, no DTDs, nothing
 * fetched; the caller bounds the text. */
#ifndef AUTODB_XML_H
#define AUTODB_XML_H

#include "arena.h"

struct _xmlNode;
typedef struct _xmlNode xml_node; /* libxml2's; lives as long as the arena */

/* The root element; NULL when the text is no XML or memory is out. */
const xml_node *xml_parse(const char *text, size_t len, struct arena *arena);
bool xml_is(const xml_node *node, const char *name);
/* The first child element of that name, or the next sibling of it; NULL when there is none. node may be NULL. */
const xml_node *xml_child(const xml_node *node, const char *name);
const xml_node *xml_next(const xml_node *node, const char *name);
/* The text of a child element; NULL when there is none. */
const char *xml_text(const xml_node *node, const char *name, struct arena *arena);

#endif
