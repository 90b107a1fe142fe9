/* text.h - a server's words, cut to a size we can keep. */
#ifndef AUTODB_EXECUTE_TEXT_H
#define AUTODB_EXECUTE_TEXT_H

#include "common/arena.h"

/* At most EXECUTE_TEXT_BYTES, valid UTF-8 whatever came; null for NULL. A new reference. */
json_t *text_json(const char *text);
/* Cuts every string of an error's details. */
void text_bound(json_t *details);
/* A statement without its literals, which may be anybody's data: for showing who blocks us. NULL in, NULL out. */
const char *text_query(struct arena *arena, const char *query);

#endif
