/* whatif_files.c - sparse relation files, and B-trees without entries.
 *
 * Layouts: PageHeaderData and ItemIdData in src/include/storage/bufpage.h and itemid.h, BTMetaPageData, BTPageOpaqueData and pivot tuples
 * in src/include/access/nbtree.h (version 4, PostgreSQL 12 and later). Without data checksums, which sandboxes don't have. */
#include "sandbox/whatif_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEIGHT_MAX 10
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* --- paths --- */

/* The folder of "base/16384/16500" below data/, and the file's name in it; -1. */
static int open_folder(int root_fd, const char *path, const char **ret_name) {
  char part[64];
  int at = openat(root_fd, "data", OPEN_DIRECTORY);
  for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    int below = strcmp(part, "..") == 0 ? -1 : openat(at, part, OPEN_DIRECTORY);
    close(at);
    at = below;
  }
  *ret_name = path;
  return at;
}

static int open_file(int folder, const char *name, int flags) {
  struct stat info;
  int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
  if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static enum status failed(const char *path, struct error *err) {
  return error_set(err, ERR_UNAVAILABLE, "the sandbox's file %.200s: %s", path, strerror(errno));
}

static bool resize(int folder, const char *name, int flags, int64_t pages) {
  int fd = open_file(folder, name, flags);
  if (fd < 0) return false;
  bool done = ftruncate(fd, (off_t)pages * WHATIF_PAGE) == 0;
  return close(fd) == 0 && done;
}

/* All segments are full but the last, which may be empty: that is how the server counts (mdnblocks() in src/backend/storage/smgr/md.c). */
static bool extend_from(int folder, const char *name, int64_t pages) {
  bool done = resize(folder, name, 0, pages < WHATIF_SEGMENT_PAGES ? pages : WHATIF_SEGMENT_PAGES);
  for (int64_t segment = 1; done && segment * WHATIF_SEGMENT_PAGES < pages; segment++) {
    char next[96];
    int64_t left = pages - segment * WHATIF_SEGMENT_PAGES;
    snprintf(next, sizeof next, "%s.%lld", name, (long long)segment);
    done = resize(folder, next, O_CREAT, left < WHATIF_SEGMENT_PAGES ? left : WHATIF_SEGMENT_PAGES);
  }
  return done;
}

enum status whatif_file_extend(int root_fd, const char *path, int64_t pages, struct error *err) {
  const char *name;
  int folder = open_folder(root_fd, path, &name);
  bool done = folder >= 0 && extend_from(folder, name, pages);
  enum status status = done ? OK : failed(path, err);
  if (folder >= 0) close(folder);
  return status;
}

enum status whatif_file_empty(int root_fd, const char *path, struct error *err) {
  const char *name;
  int folder = open_folder(root_fd, path, &name);
  bool done = folder >= 0 && resize(folder, name, 0, 0);
  enum status status = done ? OK : failed(path, err);
  if (folder >= 0) close(folder);
  return status;
}

/* --- B-trees --- */

struct page_header {
  uint64_t lsn;
  uint16_t checksum, flags, lower, upper, special, size_version;
  uint32_t prune_xid;
};
struct btree_meta {
  uint32_t magic, version, root, level, fast_root, fast_level, deleted_pages, padding;
  double heap_tuples;
  uint64_t all_equal_image; /* a bool, and padding */
};
struct btree_opaque {
  uint32_t prev, next, level;
  uint16_t flags, cycle;
};
struct pivot { /* "less than everything": no attributes, a child */
  uint16_t block_hi, block_lo, attributes, info;
};
#define BTREE_MAGIC 0x053162
#define BTREE_LEAF 1
#define BTREE_ROOT 2
#define BTREE_META 8
#define ALT_TID 0x2000 /* INDEX_ALT_TID_MASK */
#define LINE_NORMAL 1

_Static_assert(sizeof(struct page_header) == 24 && sizeof(struct btree_meta) == 48 && sizeof(struct btree_opaque) == 16, "as on disk");

static void page_init(char page[WHATIF_PAGE], const struct btree_opaque *opaque) {
  struct page_header header = {.lower = sizeof header,
                               .upper = WHATIF_PAGE - sizeof *opaque,
                               .special = WHATIF_PAGE - sizeof *opaque,
                               .size_version = WHATIF_PAGE | 4};
  memset(page, 0, WHATIF_PAGE);
  memcpy(page, &header, sizeof header);
  memcpy(page + header.special, opaque, sizeof *opaque);
}

static void meta_page(char page[WHATIF_PAGE], int height) {
  struct btree_meta meta = {.magic = BTREE_MAGIC, .version = 4, .root = 1, .fast_root = 1, .heap_tuples = -1, .all_equal_image = 1};
  struct page_header header;
  meta.level = meta.fast_level = (uint32_t)height;
  page_init(page, &(struct btree_opaque){.flags = BTREE_META});
  memcpy(&header, page, sizeof header);
  header.lower = sizeof header + sizeof meta;
  memcpy(page, &header, sizeof header);
  memcpy(page + sizeof header, &meta, sizeof meta);
}

/* The one page of its level; its child is the next block. */
static void level_page(char page[WHATIF_PAGE], int level, bool root, uint32_t child) {
  uint16_t flags = (uint16_t)((root ? BTREE_ROOT : 0) | (level == 0 ? BTREE_LEAF : 0));
  struct page_header header;
  page_init(page, &(struct btree_opaque){.level = (uint32_t)level, .flags = flags});
  if (level == 0) return;
  memcpy(&header, page, sizeof header);
  struct pivot pivot = {.block_hi = (uint16_t)(child >> 16), .block_lo = (uint16_t)child, .info = ALT_TID | sizeof pivot};
  header.upper = (uint16_t)(header.upper - sizeof pivot);
  uint32_t line = header.upper | (uint32_t)LINE_NORMAL << 15 | (uint32_t)sizeof pivot << 17;
  memcpy(page + sizeof header, &line, sizeof line);
  memcpy(page + header.upper, &pivot, sizeof pivot);
  header.lower = sizeof header + sizeof line;
  memcpy(page, &header, sizeof header);
}

static bool write_page(int fd, const char page[WHATIF_PAGE], int64_t block) {
  return pwrite(fd, page, WHATIF_PAGE, (off_t)block * WHATIF_PAGE) == WHATIF_PAGE;
}

static bool write_btree(int folder, const char *name, int height) {
  char page[WHATIF_PAGE];
  int fd = open_file(folder, name, O_CREAT | O_EXCL);
  if (fd < 0) return false;
  meta_page(page, height);
  bool done = write_page(fd, page, 0);
  for (int level = height; done && level >= 0; level--) {
    uint32_t block = (uint32_t)(height - level + 1);
    level_page(page, level, level == height, block + 1);
    done = write_page(fd, page, block);
  }
  return close(fd) == 0 && done;
}

enum status whatif_file_btree(int root_fd, const char *path, uint32_t node, int height, int64_t pages, struct error *err) {
  char made[16];
  const char *name;
  if (height < 0) height = 0;
  if (height > HEIGHT_MAX) height = HEIGHT_MAX;
  if (pages < height + 2) pages = height + 2;
  snprintf(made, sizeof made, "%u", node);
  int folder = open_folder(root_fd, path, &name);
  bool done = folder >= 0 && write_btree(folder, made, height) && extend_from(folder, made, pages);
  enum status status = done ? OK : failed(path, err);
  if (folder >= 0) close(folder);
  return status;
}
