/* extract.h - a document's bytes as text in blocks: what a chunk may be cut between.
 *
 * The format is recognised by the content; the name only decides where the content could be either (Markdown or plain text). What can't be
 * read is an error of ERR_VALIDATION with a code of its own ("NEEDS_OCR", "ENCRYPTED", "BAD_ENCODING", "TOO_LARGE", "UNSUPPORTED_TYPE", …):
 * the document's fault, and lasting. To add a format: a file with a struct format, a row in extract.c. */
#ifndef AUTODB_CONTEXT_EXTRACT_H
#define AUTODB_CONTEXT_EXTRACT_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"

enum block_kind {
  BLOCK_HEADING,
  BLOCK_TEXT,
  BLOCK_ITEM, /* of a list, with what is nested in it */
  BLOCK_CODE,
  BLOCK_ROW,      /* of a table */
  BLOCK_STATEMENT /* of SQL: a chunk by itself */
};
struct block {
  enum block_kind kind;
  uint8_t level;        /* headings: 1-6 */
  int page;             /* from 1; 0: no pages */
  size_t from, to;      /* in the text */
  size_t head, head_to; /* rows: the table's head, repeated in each chunk that has rows of it; equal: none */
  const char **tables;  /* statements: the tables they name, NULL-terminated; or NULL */
};

struct extract { /* everything in the arena */
  const char *content_type;
  const char *title; /* as the document says it, or NULL */
  const char *text;  /* valid UTF-8 */
  size_t len;
  struct block *blocks;
  size_t count;
};

struct extract_source {
  const char *name; /* with its extension, as far as it has one */
  const char *bytes;
  size_t len;
};
MUST_CHECK enum status extract_document(const struct extract_source *source, struct arena *arena, struct extract *ret_extract,
                                        struct error *err);

/* --- for formats --- */

struct extractor {
  struct arena *arena;
  const char *name;
  struct buf text; /* of formats whose text is made; empty for those whose text is the document's */
  struct block *blocks;
  size_t count, cap;
  int page;
  const char *title;
  bool failed; /* too many blocks, or out of memory */
};
/* A block of the text that is there already; false after a failure. */
bool extractor_block(struct extractor *extractor, struct block block);
/* Appends text and makes it a block; blanks at its ends are dropped, and nothing but blanks is no block. */
bool extractor_put(struct extractor *extractor, enum block_kind kind, int level, const char *text, size_t len);
/* The same of a text whose `from` is at text[from..to] already, without the blanks at its ends. */
bool extractor_span(struct extractor *extractor, enum block_kind kind, int level, const char *text, size_t from, size_t to);

/* Text without blanks at its ends, as what blank lines part. */
bool extractor_paragraphs(struct extractor *extractor, enum block_kind kind, const char *text, size_t from, size_t to);

struct format {
  const char *content_type;
  /* Whether it is one: `named` when the name says so. Text formats get valid UTF-8
   * with a NUL behind it. */
  bool (*is)(const char *bytes, size_t len, bool named);
  const char *extensions; /* " md markdown " */
  bool binary;            /* not text: `is` and `read` get the bytes as they came */
  MUST_CHECK enum status (*read)(struct extractor *extractor, const char *bytes, size_t len, struct error *err);
};
extern const struct format format_pdf, format_html, format_json, format_csv, format_sql, format_markdown, format_text;

#endif
