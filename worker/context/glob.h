/* glob.h - patterns over keys: `*` is any text, slashes included; `?` any character; `[a-z]`, `[!a-z]` one of these, or none of them; `**`
 * and a slash any folders, or none. Bytes are compared, case counts. The time is bounded by the product of both lengths. */
#ifndef AUTODB_CONTEXT_GLOB_H
#define AUTODB_CONTEXT_GLOB_H

#include <stdbool.h>

#define GLOB_BYTES 1024

/* Whether all of the text is matched; a pattern longer than GLOB_BYTES matches nothing. */
bool glob_match(const char *pattern, const char *text);

#endif
