/* definitions.h - terms a document defines, recognised by how definitions are written: "GMV = sum(orders.total)", "**Churn**: customers
 * who …", the rows of a glossary's table, lines below a heading that says so. */
#ifndef AUTODB_CONTEXT_DEFINITIONS_H
#define AUTODB_CONTEXT_DEFINITIONS_H

#include "worker/context/extract.h"

struct definition {
  const char *term, *meaning;
  bool is_expression;  /* the meaning reads as SQL */
  const char *heading; /* it stands under; or NULL */
};
struct definition_list {
  struct definition *items;
  size_t count; /* at most LIMIT_GLOSSARY_ENTRIES */
};
MUST_CHECK enum status definitions_of(const struct extract *extract, struct arena *arena, struct definition_list *ret_list,
                                      struct error *err);

#endif
