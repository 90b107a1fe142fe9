/* chunk.c - see chunk.h.
 *
 * One pass: blocks gather until the next would make too much. A heading closes what was gathered, unless that is little: then the section
 * goes on in the same chunk and its heading stands in the text, since many short sections make better passages together than alone. */
#include "worker/context/chunk.h"

#include "common/crypto.h"
#include "common/limits.h"
#include "common/utf8.h"
#include "worker/embed/driver.h"

#define LITTLE (CHUNK_TARGET / 4) /* tokens: a section with less takes in the next one */
#define LEVELS 6
#define HEADING_BYTES 200 /* of one heading in a path */
#define TITLE_BYTES 200
#define OVERLAP_PERCENT 15 /* of text that had to be cut */
#define GATHERED_MAX 1024

struct chunker {
  const struct extract *extract;
  const char *source, *name, *title;
  struct arena *arena;
  struct chunk *items;
  size_t count, cap;
  const char *path[LEVELS]; /* the headings in force */
  const struct block *gathered[GATHERED_MAX];
  size_t gathered_count, tokens;
  const char *heading; /* of the first block gathered */
  struct buf scratch;
  enum status status;
  struct error *err;
};

static const char *text_of(const struct chunker *chunker, const struct block *block) { return chunker->extract->text + block->from; }

static size_t tokens_of(const struct chunker *chunker, size_t from, size_t to) {
  return embed_tokens(chunker->extract->text + from, to - from);
}

/* --- headings --- */

static const char *joined_path(struct chunker *chunker) {
  struct buf *out = &chunker->scratch;
  buf_reset(out);
  for (int i = 0; i < LEVELS; i++) {
    if (!chunker->path[i] || (i == 0 && chunker->title && strcmp(chunker->path[0], chunker->title) == 0)) continue;
    buf_printf(out, "%s%s", out->len ? " > " : "", chunker->path[i]);
  }
  return out->len ? arena_strndup(chunker->arena, buf_str(out), out->len) : NULL;
}

static void enter(struct chunker *chunker, const struct block *block) {
  size_t len = block->to - block->from;
  if (len > HEADING_BYTES) len = utf8_cut(text_of(chunker, block), HEADING_BYTES);
  int level = block->level < 1 ? 1 : block->level > LEVELS ? LEVELS : block->level;
  char *text = arena_strndup(chunker->arena, text_of(chunker, block), len);
  for (char *at = text; at && *at; at++)
    if (*at == '\n' || *at == '\r' || *at == '\t') *at = ' ';
  chunker->path[level - 1] = text;
  for (int i = level; i < LEVELS; i++) chunker->path[i] = NULL;
}

/* --- one chunk --- */

/* Parts are told apart by their lengths, so no two documents share an id by moving a border. */
static void hash_part(struct buf *out, const char *text, size_t len) {
  buf_printf(out, "%zu:", len);
  buf_append(out, text, len);
}

/* `again` counts the same text under the same headings. */
static bool make_id(struct chunker *chunker, struct chunk *chunk, size_t again) {
  struct buf *out = &chunker->scratch;
  uint8_t hash[SHA256_BYTES];
  buf_reset(out);
  hash_part(out, chunker->source, strlen(chunker->source));
  hash_part(out, chunker->name, strlen(chunker->name));
  hash_part(out, chunk->heading ? chunk->heading : "", chunk->heading ? strlen(chunk->heading) : 0);
  hash_part(out, chunk->body, chunk->body_len);
  buf_printf(out, "%zu", again);
  crypto_sha256(buf_str(out), out->len, hash);
  memcpy(chunk->id, hash, sizeof chunk->id);
  chunk->id[6] = (uint8_t)((chunk->id[6] & 0x0F) | 0x80); /* version 8 of RFC 9562: ours */
  chunk->id[8] = (uint8_t)((chunk->id[8] & 0x3F) | 0x80);
  return buf_ok(out);
}

bool chunk_full(const char *title, const char *heading, const char *body, size_t len, struct buf *out) {
  size_t before = out->len;
  if (title) buf_append(out, title, utf8_fit(title, TITLE_BYTES));
  if (heading) buf_printf(out, "%s%s", out->len > before ? " > " : "", heading);
  if (out->len > before) buf_putc(out, '\n');
  buf_append(out, body, len);
  return buf_ok(out);
}

static bool make_full(struct chunker *chunker, struct chunk *chunk) {
  struct buf *out = &chunker->scratch;
  buf_reset(out);
  chunk_full(chunker->title, chunk->heading, chunk->body, chunk->body_len, out);
  chunk->full = arena_strndup(chunker->arena, buf_str(out), out->len);
  chunk->full_len = out->len;
  return buf_ok(out) && chunk->full;
}

static void oom(struct chunker *chunker) {
  if (!chunker->status) chunker->status = error_oom(chunker->err);
}

/* Grows by doubling; what is left behind in the arena is at most as much again. */
static bool grow(struct chunker *chunker) {
  if (chunker->count < chunker->cap) return true;
  size_t cap = chunker->cap ? chunker->cap * 2 : 64;
  struct chunk *items = arena_calloc(chunker->arena, cap, sizeof *items);
  if (!items) return false;
  if (chunker->count) memcpy(items, chunker->items, chunker->count * sizeof *items);
  chunker->items = items;
  chunker->cap = cap;
  return true;
}

static void add_chunk(struct chunker *chunker, struct chunk chunk) {
  if (chunker->status) return;
  if (chunker->count == LIMIT_DOCUMENT_CHUNKS) {
    chunker->status = error_set_code(chunker->err, ERR_VALIDATION, "TOO_LARGE", "the document makes more than %d passages: split it",
                                     LIMIT_DOCUMENT_CHUNKS);
    return;
  }
  if (!chunk.body || !grow(chunker) || !make_full(chunker, &chunk) || !make_id(chunker, &chunk, 0)) {
    oom(chunker);
    return;
  }
  chunker->items[chunker->count++] = chunk;
}

/* --- what was gathered --- */

static bool is_tight(enum block_kind before, enum block_kind kind) { return before == kind && (kind == BLOCK_ROW || kind == BLOCK_ITEM); }

static void put_block(struct chunker *chunker, struct buf *out, size_t index) {
  const struct block *block = chunker->gathered[index], *before = index ? chunker->gathered[index - 1] : NULL;
  if (out->len) buf_puts(out, before && is_tight(before->kind, block->kind) ? "\n" : "\n\n");
  bool headed =
      block->kind == BLOCK_ROW && block->head != block->head_to && (!before || before->kind != BLOCK_ROW || before->head != block->head);
  if (headed) {
    buf_append(out, chunker->extract->text + block->head, block->head_to - block->head);
    buf_putc(out, '\n');
  }
  buf_append(out, text_of(chunker, block), block->to - block->from);
}

static void flush(struct chunker *chunker) {
  if (!chunker->gathered_count) return;
  struct buf *out = &chunker->scratch;
  buf_reset(out);
  for (size_t i = 0; i < chunker->gathered_count; i++) put_block(chunker, out, i);
  const struct block *first = chunker->gathered[0], *last = chunker->gathered[chunker->gathered_count - 1];
  add_chunk(chunker, (struct chunk){.heading = chunker->heading,
                                    .page = first->page,
                                    .first = first->from,
                                    .last = last->to,
                                    .body_len = out->len,
                                    .tables = first->tables,
                                    .body = arena_strndup(chunker->arena, buf_str(out), out->len)});
  chunker->gathered_count = chunker->tokens = 0;
}

static void gather(struct chunker *chunker, const struct block *block, size_t tokens) {
  if (!chunker->gathered_count) chunker->heading = joined_path(chunker);
  chunker->gathered[chunker->gathered_count++] = block;
  chunker->tokens += tokens;
}

/* --- what has to be cut --- */

static bool ends_sentence(const char *text, size_t at) {
  return (text[at] == '.' || text[at] == '!' || text[at] == '?' || text[at] == ';') && (text[at + 1] == ' ' || text[at + 1] == '\n');
}

/* Where to cut text[from..to), which is too long: after the last line, else sentence, else word that fits; else anywhere between
 * characters. */
static size_t cut_at(const struct chunker *chunker, const struct block *block, size_t from, size_t most) {
  const char *text = chunker->extract->text;
  size_t limit = from + most, half = from + most / 2;
  for (size_t at = limit; at > half; at--)
    if (text[at - 1] == '\n') return at;
  if (block->kind != BLOCK_CODE && block->kind != BLOCK_STATEMENT)
    for (size_t at = limit; at > half; at--)
      if (ends_sentence(text, at - 1)) return at;
  for (size_t at = limit; at > half; at--)
    if (text[at - 1] == ' ' || text[at - 1] == ',' || text[at - 1] == '|') return at;
  size_t at = utf8_cut(text, limit);
  return at > from ? at : limit;
}

/* The next piece begins a little before the end of this one, at a word, so that what lies across the cut is found whole once. */
static size_t begin_after(const struct chunker *chunker, const struct block *block, size_t from, size_t cut) {
  const char *text = chunker->extract->text;
  if (block->kind != BLOCK_TEXT && block->kind != BLOCK_ITEM) return cut;
  size_t back = (cut - from) * OVERLAP_PERCENT / 100;
  for (size_t at = cut - back; at < cut; at++)
    if (text[at] == ' ' || text[at] == '\n') return at + 1;
  return cut;
}

/* Bytes from `from` that make about CHUNK_TARGET tokens. */
static size_t bytes_that_fit(const struct chunker *chunker, size_t from, size_t to) {
  size_t most = (size_t)CHUNK_TARGET * 4;
  if (to - from < most) most = to - from;
  while (most > 64 && tokens_of(chunker, from, from + most) > CHUNK_TARGET) most -= most / 4;
  return most;
}

static void cut_block(struct chunker *chunker, const struct block *block) {
  size_t from = block->from;
  chunker->heading = joined_path(chunker);
  size_t head = block->kind == BLOCK_ROW ? block->head_to - block->head : 0;
  if (head > (size_t)CHUNK_TARGET * 2) head = 0; /* a head that fills half a chunk helps nobody */
  while (from < block->to && !chunker->status) {
    size_t most = bytes_that_fit(chunker, from, block->to), cut = from + most < block->to ? cut_at(chunker, block, from, most) : block->to;
    struct buf *out = &chunker->scratch;
    buf_reset(out);
    if (head) buf_append(out, chunker->extract->text + block->head, head), buf_putc(out, '\n');
    buf_append(out, chunker->extract->text + from, cut - from);
    add_chunk(chunker, (struct chunk){.heading = chunker->heading,
                                      .page = block->page,
                                      .first = from,
                                      .last = cut,
                                      .body_len = out->len,
                                      .tables = block->tables,
                                      .body = arena_strndup(chunker->arena, buf_str(out), out->len)});
    from = cut < block->to ? begin_after(chunker, block, from, cut) : cut;
  }
}

/* --- the pass --- */

static void take_heading(struct chunker *chunker, const struct block *block) {
  bool little = chunker->gathered_count && chunker->tokens < LITTLE && chunker->gathered_count < GATHERED_MAX;
  if (!little) flush(chunker);
  enter(chunker, block);
  if (little) gather(chunker, block, tokens_of(chunker, block->from, block->to));
}

static void take_block(struct chunker *chunker, const struct block *block) {
  size_t tokens = tokens_of(chunker, block->from, block->to) + 1;
  bool new_head =
      block->head != block->head_to && (!chunker->gathered_count || chunker->gathered[chunker->gathered_count - 1]->head != block->head);
  if (new_head) tokens += tokens_of(chunker, block->head, block->head_to) + 1;
  bool alone = block->kind == BLOCK_STATEMENT || (chunker->gathered_count && chunker->gathered[0]->page != block->page);
  if (alone || chunker->tokens + tokens > CHUNK_TARGET || chunker->gathered_count == GATHERED_MAX) {
    flush(chunker);
    if (!new_head && block->head != block->head_to) tokens += tokens_of(chunker, block->head, block->head_to) + 1;
  }
  if (tokens > CHUNK_HARD)
    cut_block(chunker, block);
  else
    gather(chunker, block, tokens);
  if (block->kind == BLOCK_STATEMENT) flush(chunker);
}

/* Headings with nothing below them are text, too. */
static bool is_bare(const struct extract *extract, size_t index) {
  const struct block *block = &extract->blocks[index], *next = block + 1;
  return index + 1 == extract->count || (next->kind == BLOCK_HEADING && next->level <= block->level);
}

static int compare_ids(const void *a, const void *b) {
  const struct chunk *const *left = a, *const *right = b;
  int order = memcmp((*left)->id, (*right)->id, sizeof(*left)->id);
  return order ? order : (*left > *right) - (*left < *right);
}

/* The same text under the same headings, more than once: each after the first is numbered. */
static void part_twins(struct chunker *chunker) {
  const struct chunk **order = arena_calloc(chunker->arena, chunker->count + 1, sizeof *order);
  if (!order) {
    oom(chunker);
    return;
  }
  for (size_t i = 0; i < chunker->count; i++) order[i] = &chunker->items[i];
  qsort(order, chunker->count, sizeof *order, compare_ids);
  for (size_t i = 0; i < chunker->count;) {
    size_t same = 1;
    while (i + same < chunker->count && memcmp(order[i]->id, order[i + same]->id, 16) == 0) same++;
    for (size_t n = 1; n < same; n++)
      if (!make_id(chunker, &chunker->items[order[i + n] - chunker->items], n)) oom(chunker);
    i += same;
  }
}

static const char *title_of(const struct extract *extract, const char *name, struct arena *arena) {
  if (extract->title && *extract->title) return extract->title;
  const char *slash = strrchr(name, '/'), *stem = slash && slash[1] ? slash + 1 : name, *dot = strrchr(stem, '.');
  return arena_strndup(arena, stem, dot && dot > stem ? (size_t)(dot - stem) : strlen(stem));
}

enum status chunk_document(const struct extract *extract, const char *source, const char *name, struct arena *arena,
                           struct chunk_list *ret_list, struct error *err) {
  struct chunker *chunker = ARENA_NEW(arena, struct chunker);
  if (!chunker) return error_oom(err);
  *chunker = (struct chunker){.extract = extract, .source = source, .name = name, .arena = arena, .err = err};
  chunker->title = title_of(extract, name, arena);
  buf_init(&chunker->scratch, LIMIT_DOCUMENT_TEXT_BYTES);
  for (size_t i = 0; i < extract->count && !chunker->status; i++) {
    const struct block *block = &extract->blocks[i];
    if (block->kind == BLOCK_HEADING) take_heading(chunker, block);
    if (block->kind != BLOCK_HEADING || (is_bare(extract, i) && !chunker->gathered_count)) take_block(chunker, block);
  }
  flush(chunker);
  part_twins(chunker);
  buf_free(&chunker->scratch);
  if (chunker->status) return chunker->status;
  *ret_list = (struct chunk_list){chunker->title, chunker->items, chunker->count};
  return OK;
}
