/* Any bytes as a document: recognised, read, cut and searched for definitions. The first byte chooses the name, which may mislead. PDF runs
 * in a process of its own and is left to the tests. */
#include <stdint.h>

#include "worker/context/chunk.h"
#include "worker/context/definitions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct extract *extract, const struct chunk_list *list) {
  for (size_t i = 0; i < extract->count; i++) {
    const struct block *block = &extract->blocks[i];
    if (block->from > block->to || block->to > extract->len || block->head > block->head_to || block->head_to > extract->len) abort();
  }
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].first > list->items[i].last || list->items[i].last > extract->len || !list->items[i].body_len) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"a.md", "a.html", "a.sql", "a.csv", "a.json", "a.txt", "a"};
  if (size < 2 || memmem(data, size < 1100 ? size : 1100, "%PDF-", 5)) return 0;
  ARENA_AUTO arena = arena_new((size_t)256 << 20);
  ERROR_AUTO err = {0};
  struct extract extract = {0};
  struct chunk_list list = {0};
  struct definition_list definitions = {0};
  char *copy = malloc(size - 1); /* exactly as long: a byte too far is seen */
  memcpy(copy, data + 1, size - 1);
  struct extract_source source = {names[data[0] % (sizeof names / sizeof *names)], copy, size - 1};
  if (arena && extract_document(&source, arena, &extract, &err) == OK &&
      chunk_document(&extract, "upload", source.name, arena, &list, &err) == OK &&
      definitions_of(&extract, arena, &definitions, &err) == OK)
    check(&extract, &list);
  free(copy);
  return 0;
}
