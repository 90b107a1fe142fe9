/* chunk.h - blocks to chunks: passages of a size that is found well and read at once.
 *
 * About CHUNK_TARGET tokens on borders of headings and blocks, never more than CHUNK_HARD; only a block that is longer than that by itself
 * is cut, at lines or sentences. Headings stand in front of what is embedded, not of what is shown. The same blocks make the same chunks.
 */
#ifndef AUTODB_CONTEXT_CHUNK_H
#define AUTODB_CONTEXT_CHUNK_H

#include "worker/context/extract.h"

#define CHUNK_TARGET 350 /* tokens, as embed_tokens counts them: about 1,400 bytes of English */
#define CHUNK_HARD 512
#define CHUNK_VERSION "chunks-2" /* changes when the same document would make other chunks */

struct chunk {
  uint8_t id[16];      /* UUIDv8: from the hash of source, name, headings and text */
  const char *heading; /* "Orders > Refunds"; NULL: none */
  int page;
  size_t first, last; /* bytes of the extracted text */
  const char *body;   /* as shown */
  size_t body_len;
  const char *full; /* as embedded: title, headings, body */
  size_t full_len;
  const char **tables; /* NULL-terminated, or NULL */
};
struct chunk_list {
  const char *title; /* in front of what is embedded */
  struct chunk *items;
  size_t count;
};

/* source and name make the ids; title (may be NULL) stands in front of what is embedded. ERR_VALIDATION "TOO_LARGE" beyond
 * LIMIT_DOCUMENT_CHUNKS. */
MUST_CHECK enum status chunk_document(const struct extract *extract, const char *source, const char *name, struct arena *arena,
                                      struct chunk_list *ret_list, struct error *err);

/* What is embedded of a chunk, appended: its title and heading (NULL: none) in a line, then the text. False: out of memory. */
bool chunk_full(const char *title, const char *heading, const char *body, size_t len, struct buf *out);

#endif
