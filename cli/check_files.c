/* check_files.c - from the paths on the command line to files in the order in which they run.
 *
 * A directory stands for all .sql files below it. Files named one by one that lie in the same directory are ordered as that directory would
 * be, so that a shell's V1 V10 V2 does no harm; directories come in the order they were named. Symbolic links to files are followed, links
 * to directories are not: there is no way round in circles. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "cli/check.h"
#include "common/limits.h"

static bool is_sql(const char *name) {
  size_t len = strlen(name);
  return len > 4 && strcasecmp(name + len - 4, ".sql") == 0;
}

/* --- reading --- */

/* A byte order mark is no SQL. */
static void set_text(struct check_file *file, char *text, size_t len, struct arena *arena) {
  size_t skip = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
  file->sql = arena_strndup(arena, "", 0);
  char *copy = arena_alloc(arena, len - skip + 1);
  if (copy) {
    memcpy(copy, text + skip, len - skip); /* not as a string: a NUL byte is for the analysis to refuse */
    file->sql = copy;
    file->len = len - skip;
  } else {
    file->outcome = CHECK_UNREADABLE;
    file->message = "out of memory";
  }
  free(text);
}

static void read_text(struct check_file *file, const char *path, struct arena *arena) {
  ERROR_AUTO err = {0};
  char *text = NULL;
  size_t len = 0;
  if (cli_read_file(path, LIMIT_SQL_BYTES, &text, &len, &err) == OK) {
    set_text(file, text, len, arena);
    return;
  }
  file->outcome = CHECK_UNREADABLE;
  file->sql = "";
  file->message = arena_strdup(arena, err.message);
}

static enum status add(struct check_list *list, const char *path, const char *name, const char *group, struct error *err) {
  if (list->count == CHECK_FILES_MAX) return error_set(err, ERR_VALIDATION, "there are more than %d files", CHECK_FILES_MAX);
  if (list->count == list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 64;
    struct check_file *grown = arena_calloc(list->arena, cap, sizeof *grown);
    if (!grown) return error_oom(err);
    if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
    list->items = grown;
    list->cap = cap;
  }
  struct check_file *file = &list->items[list->count];
  *file = (struct check_file){.path = arena_strdup(list->arena, path),
                              .name = arena_strdup(list->arena, name),
                              .group = arena_strdup(list->arena, group),
                              .reported = true};
  if (!file->path || !file->name || !file->group) return error_oom(err);
  read_text(file, path, list->arena);
  list->bytes += file->len;
  list->count++;
  if (list->bytes > CHECK_FILES_BYTES) return error_set(err, ERR_VALIDATION, "the files hold more than %d bytes", CHECK_FILES_BYTES);
  return OK;
}

/* --- directories --- */

static enum status scan(struct check_list *list, const char *dir, const char *below, const char *group, int depth, struct error *err);

static enum status scan_entry(struct check_list *list, const char *path, const char *name, const char *group, int depth,
                              struct error *err) {
  struct stat info, target;
  if (lstat(path, &info) != 0) return OK; /* gone since */
  if (S_ISDIR(info.st_mode)) return scan(list, path, name, group, depth + 1, err);
  if (!is_sql(name)) return OK;
  if (S_ISLNK(info.st_mode) && stat(path, &target) == 0 && !S_ISREG(target.st_mode)) return OK;
  return S_ISREG(info.st_mode) || S_ISLNK(info.st_mode) ? add(list, path, name, group, err) : OK;
}

static enum status scan(struct check_list *list, const char *dir, const char *below, const char *group, int depth, struct error *err) {
  if (depth > CHECK_DEPTH_MAX) return error_set(err, ERR_VALIDATION, "%s: more than %d directories deep", dir, CHECK_DEPTH_MAX);
  DIR *handle = opendir(dir);
  if (!handle) return error_set(err, ERR_VALIDATION, "%s: %s", dir, strerror(errno));
  enum status status = OK;
  for (const struct dirent *entry; !status && (entry = readdir(handle));) {
    if (entry->d_name[0] == '.') continue; /* "." and "..", and .git, editors' files and the like */
    const char *path = arena_printf(list->arena, "%s/%s", dir, entry->d_name);
    const char *name = arena_printf(list->arena, "%s%s%s", below, *below ? "/" : "", entry->d_name);
    status = path && name ? scan_entry(list, path, name, group, depth, err) : error_oom(err);
  }
  closedir(handle);
  return status;
}

static const char *without_slashes(struct arena *arena, const char *path) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  return arena_strndup(arena, path, len);
}

static enum status add_path(struct check_list *list, const char *argument, struct error *err) {
  struct stat info;
  const char *path = without_slashes(list->arena, argument);
  if (!path) return error_oom(err);
  if (stat(path, &info) != 0) return error_set(err, ERR_VALIDATION, "%s: %s", path, strerror(errno));
  if (S_ISDIR(info.st_mode)) return scan(list, path, "", path, 0, err);
  if (!S_ISREG(info.st_mode)) return error_set(err, ERR_VALIDATION, "%s is neither a file nor a directory", path);
  const char *slash = strrchr(path, '/');
  const char *folder = slash ? arena_strndup(list->arena, path, (size_t)(slash - path)) : "";
  const char *up = folder ? strrchr(folder, '/') : NULL; /* 2024_x/up.sql: the directory above holds the migrations */
  bool nested = slash && (strcmp(slash, "/up.sql") == 0 || strcmp(slash, "/migration.sql") == 0);
  if (!folder) return error_oom(err);
  if (!nested) return add(list, path, slash ? slash + 1 : path, folder, err);
  const char *group = up ? arena_strndup(list->arena, folder, (size_t)(up - folder)) : "";
  return group ? add(list, path, up ? path + (up - folder) + 1 : path, group, err) : error_oom(err);
}

/* --- order --- */

/* Files of one group together, groups as they were first named; a file named twice counts once. */
static enum status order(struct check_list *list, const struct check_format *forced, struct error *err) {
  struct check_file *ordered = arena_calloc(list->arena, list->count + 1, sizeof *ordered);
  bool *taken = arena_calloc(list->arena, list->count + 1, sizeof *taken);
  size_t count = 0;
  if (!ordered || !taken) return error_oom(err);
  for (size_t first = 0; first < list->count; first++) {
    size_t start = count;
    if (taken[first]) continue;
    for (size_t i = first; i < list->count; i++) {
      if (taken[i] || strcmp(list->items[i].group, list->items[first].group) != 0) continue;
      taken[i] = true;
      bool twice = false;
      for (size_t k = start; k < count && !twice; k++) twice = strcmp(ordered[k].path, list->items[i].path) == 0;
      if (!twice) ordered[count++] = list->items[i];
    }
    count = start + check_format_apply(forced, ordered + start, count - start, list->arena);
  }
  list->items = ordered;
  list->count = count;
  return OK;
}

enum status check_files(struct check_list *list, const char *const *paths, int count, const char *forced, struct error *err) {
  const struct check_format *format = forced ? check_format_named(forced) : NULL;
  if (forced && !format)
    return error_set(err, ERR_VALIDATION, "there is no format of migrations `%s`; there are: %s", forced, check_format_names());
  enum status status = OK;
  for (int i = 0; i < count && !status; i++) status = add_path(list, paths[i], err);
  if (!status) status = order(list, format, err);
  if (!status && !list->count)
    status = error_set(err, ERR_VALIDATION, "there is no migration (*.sql) in %s%s", paths[0], count > 1 ? ", …" : "");
  return status;
}

/* --- what is reported --- */

static bool same_path(const char *a, const char *b) {
  char left[PATH_MAX], right[PATH_MAX];
  return strcmp(a, b) == 0 || (realpath(a, left) && realpath(b, right) && strcmp(left, right) == 0);
}

static enum status select_only(struct check_list *list, const struct cli_list *only, struct error *err) {
  for (size_t i = 0; i < list->count; i++) list->items[i].reported = false;
  for (int o = 0; o < only->count; o++) {
    bool found = false;
    for (size_t i = 0; i < list->count; i++)
      if (same_path(list->items[i].path, only->items[o])) list->items[i].reported = found = true;
    if (!found) return error_set(err, ERR_VALIDATION, "--only %s is not one of the migrations", only->items[o]);
  }
  return OK;
}

enum status check_files_select(struct check_list *list, const struct check_options *options, struct error *err) {
  enum status status = options->only.count ? select_only(list, &options->only, err) : OK;
  if (!status && options->last)
    for (size_t i = 0; i < list->count; i++)
      if (i + (size_t)options->last < list->count) list->items[i].reported = false;
  return status;
}
