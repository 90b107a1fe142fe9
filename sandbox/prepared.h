/* prepared.h - sandboxes in the state they were in before a migration ran, kept to be copied: cloned, seeded, with a note of who made them.
 *
 * The copy is made inside the sandbox's own private tmpfs, beside the data directory and out of the server's sight (base/ and note). The
 * keeper holds a descriptor of that tmpfs, and that is all that keeps it: there is no path to it, and nothing is left when the keeper ends,
 * however it ends. One is found only by its whole key, which its maker derives from everything that went into it, its owner included. At
 * most PREPARED_MAX, the one not used for longest goes first. */
#ifndef AUTODB_SANDBOX_PREPARED_H
#define AUTODB_SANDBOX_PREPARED_H

#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"

#define PREPARED_KEY 65 /* 64 hexadecimal digits */
#define PREPARED_MAX 4
#define PREPARED_BYTES (256LL << 20)     /* all of a keeper's together */
#define PREPARED_ONE_BYTES (128LL << 20) /* a larger one is not kept */
#define PREPARED_NOTE_BYTES (64 << 20)

/* --- in a tmpfs --- */

/* Copies data/ of a server that has just made a checkpoint and is idle; last_wal is the name of the file its log is at. */
MUST_CHECK enum status prepared_save(int root_fd, const char *last_wal, const char *note, int64_t *ret_bytes, struct error *err);
/* The note; NULL when there is none that could be read. */
char *prepared_note(int root_fd, struct arena *arena);
/* Fills the tmpfs of a new sandbox: data/ (empty until then) and the note. */
bool prepared_copy(int from_root, int to_root);
/* Removes everything else once the sandbox has ended. */
void prepared_trim(int root_fd);

/* --- the keeper's list --- */

struct prepared {
  int fd; /* of the tmpfs; 0: no entry */
  unsigned id;
  int major;
  char key[PREPARED_KEY];
  int64_t bytes, used_ms;
};
struct prepared_list {
  struct prepared list[PREPARED_MAX];
  unsigned last_id;
};
/* The entry, its use noted; NULL. */
struct prepared *prepared_find(struct prepared_list *prepared, int major, const char *key);
/* Adds an entry with a descriptor of its own; one of the same key is replaced. Its id; 0 when it can't be kept. */
unsigned prepared_keep(struct prepared_list *prepared, int major, const char *key, int root_fd, int64_t bytes);
struct prepared *prepared_by_id(struct prepared_list *prepared, unsigned id);
/* The one used last, if that was less than max_age_ms ago; NULL. */
struct prepared *prepared_latest(struct prepared_list *prepared, int64_t max_age_ms);
void prepared_drop(struct prepared *entry);

#endif
