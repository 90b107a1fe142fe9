/* extract.c - which format a document is, and what its formats have in common. */
#include "worker/context/extract.h"

#include <strings.h>

#include "common/limits.h"
#include "common/utf8.h"

/* In the order they are asked; the last one takes any text. */
static const struct format *const formats[] = {&format_pdf, &format_html,     &format_json, &format_sql,
                                               &format_csv, &format_markdown, &format_text};

/* --- blocks --- */

bool extractor_block(struct extractor *extractor, struct block block) {
  if (extractor->failed) return false;
  if (extractor->count == extractor->cap) {
    size_t cap = extractor->cap ? extractor->cap * 2 : 256;
    struct block *blocks = extractor->count < LIMIT_DOCUMENT_BLOCKS ? arena_calloc(extractor->arena, cap, sizeof *blocks) : NULL;
    if (!blocks) return extractor->failed = true, false;
    if (extractor->count) memcpy(blocks, extractor->blocks, extractor->count * sizeof *blocks);
    extractor->blocks = blocks;
    extractor->cap = cap;
  }
  block.page = extractor->page;
  extractor->blocks[extractor->count++] = block;
  return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

bool extractor_span(struct extractor *extractor, enum block_kind kind, int level, const char *text, size_t from, size_t to) {
  while (from < to && (kind == BLOCK_CODE ? text[from] == '\n' : is_blank(text[from]))) from++;
  while (to > from && is_blank(text[to - 1])) to--;
  if (from == to) return !extractor->failed;
  return extractor_block(extractor, (struct block){.kind = kind, .level = (uint8_t)level, .from = from, .to = to});
}

bool extractor_put(struct extractor *extractor, enum block_kind kind, int level, const char *text, size_t len) {
  size_t from = extractor->text.len;
  buf_append(&extractor->text, text, len);
  buf_puts(&extractor->text, "\n");
  if (!buf_ok(&extractor->text)) extractor->failed = true;
  return !extractor->failed && extractor_span(extractor, kind, level, buf_str(&extractor->text), from, extractor->text.len);
}

static bool is_blank_line(const char *text, size_t from, size_t to) {
  while (from < to && is_blank(text[from])) from++;
  return from == to;
}

bool extractor_paragraphs(struct extractor *extractor, enum block_kind kind, const char *text, size_t from, size_t to) {
  for (size_t at = from, next; at < to; at = next) {
    const char *end = memchr(text + at, '\n', to - at);
    size_t line_end = end ? (size_t)(end - text) : to;
    next = end ? line_end + 1 : to;
    if (!is_blank_line(text, at, line_end)) continue;
    if (!extractor_span(extractor, kind, 0, text, from, at)) return false;
    from = next;
  }
  return extractor_span(extractor, kind, 0, text, from, to);
}

/* --- encodings --- */

static enum status bad_encoding(size_t at, const char *what, struct error *err) {
  return error_set_code(err, ERR_VALIDATION, "BAD_ENCODING", "the document is no UTF-8 text: byte %zu is %s; save it as UTF-8", at, what);
}

static size_t put_utf8(uint32_t c, char *out) {
  if (c < 0x80) return out[0] = (char)c, (size_t)1;
  if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3F)), (size_t)2;
  if (c < 0x10000)
    return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3F)), out[2] = (char)(0x80 | (c & 0x3F)), (size_t)3;
  out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3F)), out[2] = (char)(0x80 | (c >> 6 & 0x3F));
  return out[3] = (char)(0x80 | (c & 0x3F)), (size_t)4;
}

/* UTF-16, after its mark. */
static enum status from_utf16(const uint8_t *bytes, size_t len, bool big, struct arena *arena, const char **ret_text, size_t *ret_len,
                              struct error *err) {
  char *out = arena_alloc(arena, len / 2 * 3 + 1);
  size_t used = 0;
  if (!out) return error_oom(err);
  for (size_t at = 0; at + 1 < len; at += 2) {
    uint32_t c = big ? (uint32_t)bytes[at] << 8 | bytes[at + 1] : (uint32_t)bytes[at + 1] << 8 | bytes[at];
    if (c >= 0xD800 && c < 0xDC00 && at + 3 < len) {
      uint32_t low = big ? (uint32_t)bytes[at + 2] << 8 | bytes[at + 3] : (uint32_t)bytes[at + 3] << 8 | bytes[at + 2];
      if (low >= 0xDC00 && low < 0xE000) c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00), at += 2;
    }
    if (c == 0 || (c >= 0xD800 && c < 0xE000)) return bad_encoding(at + 2, "half a character of UTF-16, or a NUL", err);
    used += put_utf8(c, out + used);
  }
  *ret_text = out;
  *ret_len = used;
  return OK;
}

static enum status check_utf8(const char *text, size_t len, struct error *err) {
  for (size_t at = 0, used; at < len; at += used) {
    if (text[at] == '\0') return bad_encoding(at, "a NUL", err);
    used = utf8_char(text + at, len - at);
    if (!used) return bad_encoding(at, "not part of a character", err);
  }
  return OK;
}

static enum status to_utf8(const char *bytes, size_t len, struct arena *arena, const char **ret_text, size_t *ret_len, struct error *err) {
  if (len >= 2 && memcmp(bytes, "\xFF\xFE", 2) == 0)
    return from_utf16((const uint8_t *)bytes + 2, len - 2, false, arena, ret_text, ret_len, err);
  if (len >= 2 && memcmp(bytes, "\xFE\xFF", 2) == 0)
    return from_utf16((const uint8_t *)bytes + 2, len - 2, true, arena, ret_text, ret_len, err);
  size_t mark = len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
  enum status status = check_utf8(bytes + mark, len - mark, err);
  if (status) return status;
  *ret_text = arena_strndup(arena, bytes + mark, len - mark); /* with a NUL behind it: parsers and the like read up to one */
  *ret_len = len - mark;
  return *ret_text ? OK : error_oom(err);
}

/* --- formats --- */

/* What is often sent but can't be read, by its first bytes. */
static const struct {
  const char *magic;
  size_t len;
  const char *what;
} known_others[] = {
    {"PK\003\004", 4, "a ZIP archive (or an Office document, which is one)"},
    {"PK\005\006", 4, "an empty ZIP archive"},
    {"\x1F\x8B", 2, "gzip data"},
    {"BZh", 3, "bzip2 data"},
    {"\xFD\x37zXZ", 5, "xz data"},
    {"\x28\xB5\x2F\xFD", 4, "Zstandard data"},
    {"7z\xBC\xAF", 4, "a 7-Zip archive"},
    {"Rar!", 4, "a RAR archive"},
    {"\x89PNG", 4, "a PNG image"},
    {"\xFF\xD8\xFF", 3, "a JPEG image"},
    {"GIF8", 4, "a GIF image"},
    {"II*\0", 4, "a TIFF image"},
    {"MM\0*", 4, "a TIFF image"},
    {"\xD0\xCF\x11\xE0", 4, "an old Office document"},
    {"\x7F"
     "ELF",
     4, "a program"},
    {"MZ", 2, "a program"},
    {"{\\rtf", 5, "rich text"},
    {"%!PS", 4, "PostScript"},
    {"SQLite format 3", 15, "a SQLite database"},
    {"PGDMP", 5, "an archive of pg_dump (plain SQL, pg_dump -Fp, can be read)"},
    {"PAR1", 4, "a Parquet file"},
};

static enum status refuse_others(const struct extract_source *source, struct error *err) {
  for (size_t i = 0; i < sizeof known_others / sizeof *known_others; i++)
    if (source->len >= known_others[i].len && memcmp(source->bytes, known_others[i].magic, known_others[i].len) == 0 &&
        (known_others[i].len > 2 || memchr(source->bytes, '\0', source->len)))
      return error_set_code(err, ERR_VALIDATION, "UNSUPPORTED_TYPE",
                            "the document is %s: send PDF, Markdown, HTML, SQL, CSV, JSON or plain text", known_others[i].what);
  return OK;
}

static bool is_named(const char *name, const char *extensions) {
  const char *dot = name ? strrchr(name, '.') : NULL;
  size_t len = dot ? strlen(dot + 1) : 0;
  if (!len) return false;
  for (const char *at = extensions; at && *at;) {
    size_t word = strcspn(at, " ");
    if (word == len && strncasecmp(at, dot + 1, len) == 0) return true;
    at += word + (at[word] == ' ');
  }
  return false;
}

static const struct format *find_format(const struct extract_source *source, bool binary, const char *bytes, size_t len) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (formats[i]->binary == binary && formats[i]->is(bytes, len, is_named(source->name, formats[i]->extensions))) return formats[i];
  return NULL;
}

static enum status finish(struct extractor *extractor, const struct format *format, const char *text, size_t len,
                          struct extract *ret_extract, struct error *err) {
  if (extractor->failed)
    return error_set_code(err, ERR_VALIDATION, "TOO_LARGE",
                          "the document's text is larger than %d MiB, or has more than %d parts: split it", LIMIT_DOCUMENT_TEXT_BYTES >> 20,
                          LIMIT_DOCUMENT_BLOCKS);
  if (extractor->text.len) {
    text = arena_strndup(extractor->arena, buf_str(&extractor->text), extractor->text.len);
    len = extractor->text.len;
  }
  if (!text) return error_oom(err);
  *ret_extract = (struct extract){format->content_type, extractor->title, text, len, extractor->blocks, extractor->count};
  return OK;
}

enum status extract_document(const struct extract_source *source, struct arena *arena, struct extract *ret_extract, struct error *err) {
  if (source->len == 0) return error_set_code(err, ERR_VALIDATION, "EMPTY", "the document is empty");
  if (source->len > LIMIT_DOCUMENT_BYTES)
    return error_set_code(err, ERR_VALIDATION, "TOO_LARGE", "the document has %zu bytes: at most %d are read", source->len,
                          LIMIT_DOCUMENT_BYTES);
  const char *text = source->bytes;
  size_t len = source->len;
  const struct format *format = find_format(source, true, text, len);
  enum status status = format ? OK : refuse_others(source, err);
  if (!status && !format) status = to_utf8(source->bytes, source->len, arena, &text, &len, err);
  if (status) return status;
  if (!format) format = find_format(source, false, text, len);
  struct extractor extractor = {.arena = arena, .name = source->name};
  buf_init(&extractor.text, LIMIT_DOCUMENT_TEXT_BYTES);
  status = format->read(&extractor, text, len, err);
  if (!status) status = finish(&extractor, format, text, len, ret_extract, err);
  buf_free(&extractor.text);
  return status;
}
