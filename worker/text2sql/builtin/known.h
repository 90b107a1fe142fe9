/* known.h - what there is to know of a schema before anything is asked: its names as words, and how its tables hang together. Made once for
 * the snapshot that the process keeps (worker/schema/kept.h), and for one question elsewhere. */
#ifndef AUTODB_BUILTIN_KNOWN_H
#define AUTODB_BUILTIN_KNOWN_H

#include "worker/text2sql/builtin/joins.h"
#include "worker/text2sql/builtin/names.h"

struct known {
  struct words *words;
  struct names names;
  struct join_graph graph;
};

/* Of the kept snapshot, not to be written to; NULL: this one is not kept. */
const struct known *known_kept(const struct snapshot *snapshot);
/* Over `words`, which may know already what a question expects of names. False: out of memory. */
bool known_read(struct known *known, const struct snapshot *snapshot, struct words *words, struct arena *arena);
/* The join graph for one question, which marks what it says on it. False: out of memory. */
bool known_graph(const struct known *known, struct arena *arena, struct join_graph *ret_graph);

#endif
