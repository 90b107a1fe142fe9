/* prepared.c - saving, copying, keeping.
 *
 * The saved directory is what a crash would leave: the server that starts from a copy recovers from the checkpoint, which is the last thing
 * in the log. Whoever saves vouches that nothing writes meanwhile. What is copied comes out of a sandbox and goes into sandboxes only
 * (tree.h). */
#include "prepared.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tree.h"

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* --- in a tmpfs --- */

static bool write_note(int root_fd, const char *note) {
  int fd = openat(root_fd, "note", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  size_t len = strlen(note), done = 0;
  while (fd >= 0 && done < len) {
    ssize_t put = write(fd, note + done, len - done);
    if (put <= 0) break;
    done += (size_t)put;
  }
  return fd >= 0 && close(fd) == 0 && done == len;
}

enum status prepared_save(int root_fd, const char *last_wal, const char *note, int64_t *ret_bytes, struct error *err) {
  struct tree_copy copy = {.bytes_left = PREPARED_ONE_BYTES, .last_wal = last_wal};
  if (mkdirat(root_fd, "base", 0700) == 0 &&
      tree_copy(openat(root_fd, "data", OPEN_DIRECTORY), openat(root_fd, "base", OPEN_DIRECTORY), &copy) && write_note(root_fd, note)) {
    *ret_bytes = PREPARED_ONE_BYTES - copy.bytes_left;
    return OK;
  }
  tree_remove(root_fd, "note");
  tree_remove(root_fd, "base");
  return error_set(err, ERR_TOO_LARGE, "the sandbox's data could not be copied within %lld bytes", PREPARED_ONE_BYTES);
}

char *prepared_note(int root_fd, struct arena *arena) {
  struct stat info;
  char *text = NULL;
  int fd = openat(root_fd, "note", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= PREPARED_NOTE_BYTES)
    text = arena_alloc(arena, (size_t)info.st_size + 1);
  if (text) {
    ssize_t got = read(fd, text, (size_t)info.st_size);
    text[got > 0 ? got : 0] = 0;
  }
  if (fd >= 0) close(fd);
  return text;
}

bool prepared_copy(int from_root, int to_root) {
  struct tree_copy copy = {.bytes_left = PREPARED_ONE_BYTES + PREPARED_NOTE_BYTES};
  return tree_copy_file(from_root, to_root, "note", &copy) &&
         tree_copy(openat(from_root, "base", OPEN_DIRECTORY), openat(to_root, "data", OPEN_DIRECTORY), &copy);
}

void prepared_trim(int root_fd) {
  static const char *const rest[] = {"data", "s", "shm", "tmp", "log"};
  for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) tree_remove(root_fd, rest[i]);
}

/* --- the keeper's list --- */

static bool is_entry(const struct prepared *entry) { return entry->fd > 0; }

struct prepared *prepared_find(struct prepared_list *prepared, int major, const char *key) {
  for (int i = 0; *key && i < PREPARED_MAX; i++) {
    struct prepared *entry = &prepared->list[i];
    if (!is_entry(entry) || entry->major != major || strcmp(entry->key, key) != 0) continue;
    entry->used_ms = clock_mono_ms();
    return entry;
  }
  return NULL;
}

struct prepared *prepared_by_id(struct prepared_list *prepared, unsigned id) {
  for (int i = 0; id && i < PREPARED_MAX; i++)
    if (is_entry(&prepared->list[i]) && prepared->list[i].id == id) return &prepared->list[i];
  return NULL;
}

struct prepared *prepared_latest(struct prepared_list *prepared, int64_t max_age_ms) {
  struct prepared *latest = NULL;
  for (int i = 0; i < PREPARED_MAX; i++) {
    struct prepared *entry = &prepared->list[i];
    if (is_entry(entry) && (!latest || entry->used_ms > latest->used_ms)) latest = entry;
  }
  return latest && clock_mono_ms() - latest->used_ms < max_age_ms ? latest : NULL;
}

void prepared_drop(struct prepared *entry) {
  if (entry->fd > 0) close(entry->fd);
  *entry = (struct prepared){0};
}

static int64_t total_bytes(const struct prepared_list *prepared) {
  int64_t sum = 0;
  for (int i = 0; i < PREPARED_MAX; i++) sum += prepared->list[i].bytes;
  return sum;
}

/* A free entry, after the longest unused ones have gone. */
static struct prepared *make_room(struct prepared_list *prepared, int64_t bytes) {
  for (;;) {
    struct prepared *free_one = NULL, *oldest = NULL;
    for (int i = 0; i < PREPARED_MAX; i++) {
      struct prepared *entry = &prepared->list[i];
      if (!is_entry(entry))
        free_one = entry;
      else if (!oldest || entry->used_ms < oldest->used_ms)
        oldest = entry;
    }
    if ((free_one && total_bytes(prepared) + bytes <= PREPARED_BYTES) || !oldest) return free_one;
    prepared_drop(oldest);
  }
}

unsigned prepared_keep(struct prepared_list *prepared, int major, const char *key, int root_fd, int64_t bytes) {
  if (bytes < 0 || bytes > PREPARED_ONE_BYTES || strlen(key) != PREPARED_KEY - 1) return 0;
  struct prepared *same = prepared_find(prepared, major, key);
  if (same) prepared_drop(same);
  struct prepared *entry = make_room(prepared, bytes);
  int fd = entry ? fcntl(root_fd, F_DUPFD_CLOEXEC, 3) : -1;
  if (fd < 0) return 0;
  *entry = (struct prepared){.fd = fd, .id = ++prepared->last_id, .major = major, .bytes = bytes, .used_ms = clock_mono_ms()};
  memcpy(entry->key, key, PREPARED_KEY);
  return entry->id;
}
