/* check_formats.c - whose migrations these are: one row per tool.
 *
 * A row says which names (or which markers in the text) are the tool's, what a file is to it, and what it puts around a migration when it
 * runs it. To add a tool: a row, and its functions. The first row that any file of a directory matches is taken for all of them. */
#include <ctype.h>

#include "cli/check.h"

enum role { ROLE_UP, ROLE_BASELINE, ROLE_REPEATED, ROLE_NONE };

struct check_format {
  const char *name;
  bool (*matches)(const struct check_file *file);
  enum role (*role)(const char *base);                       /* of a file name; NULL: all go up */
  void (*cut)(struct check_file *file, struct arena *arena); /* sections and switches in the text; NULL: none */
  enum analysis_runner runner;
};

/* --- names --- */

static const char *base_of(const char *name) {
  const char *slash = strrchr(name, '/');
  return slash ? slash + 1 : name;
}

static bool ends(const char *text, const char *suffix) {
  size_t len = strlen(text), tail = strlen(suffix);
  return len >= tail && strcmp(text + len - tail, suffix) == 0;
}

int check_natural_order(const char *a, const char *b) {
  while (*a && *b) {
    if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
      while (*a == '0') a++;
      while (*b == '0') b++;
      size_t left = strspn(a, "0123456789"), right = strspn(b, "0123456789");
      int order = left != right ? (left < right ? -1 : 1) : memcmp(a, b, left);
      if (order) return order;
      a += left;
      b += right;
    } else {
      if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
      a++;
      b++;
    }
  }
  return *a ? 1 : *b ? -1 : 0;
}

/* Flyway: V1.2__text.sql, U…, B… with a version; R__text.sql without. The version's length; -1 when it is no such name. */
static int flyway_version(const char *base) {
  if (!strchr("VUBR", *base) || !*base || !ends(base, ".sql")) return -1;
  const char *mark = strstr(base + 1, "__");
  if (!mark) return -1;
  if (*base == 'R') return mark == base + 1 ? 0 : -1;
  size_t len = strspn(base + 1, "0123456789._");
  size_t version = (size_t)(mark - base - 1);
  return version > 0 && version <= len && isdigit((unsigned char)base[1]) ? (int)version : -1;
}

static bool is_flyway(const struct check_file *file) { return flyway_version(base_of(file->name)) >= 0; }

static enum role flyway_role(const char *base) {
  if (flyway_version(base) < 0) return ROLE_NONE;
  return *base == 'V' ? ROLE_UP : *base == 'B' ? ROLE_BASELINE : *base == 'R' ? ROLE_REPEATED : ROLE_NONE;
}

/* "1_2" and "1.2" are one version, and so are "1" and "1.0". */
static int flyway_order(const char *a, const char *b) {
  const char *end_a = a + 1 + flyway_version(a), *end_b = b + 1 + flyway_version(b);
  for (a++, b++; a < end_a || b < end_b;) {
    char *next_a = (char *)(uintptr_t)end_a, *next_b = (char *)(uintptr_t)end_b;
    unsigned long long left = a < end_a ? strtoull(a, &next_a, 10) : 0, right = b < end_b ? strtoull(b, &next_b, 10) : 0;
    if (left != right) return left < right ? -1 : 1;
    a = next_a < end_a ? next_a + 1 : end_a;
    b = next_b < end_b ? next_b + 1 : end_b;
  }
  return 0;
}

static bool is_prisma(const struct check_file *file) { return ends(file->name, "/migration.sql"); }
static enum role prisma_role(const char *base) { return strcmp(base, "migration.sql") == 0 ? ROLE_UP : ROLE_NONE; }

static bool is_diesel(const struct check_file *file) { return ends(file->name, "/up.sql"); }
static enum role diesel_role(const char *base) { return strcmp(base, "up.sql") == 0 ? ROLE_UP : ROLE_NONE; }

static bool is_up_down(const struct check_file *file) { return ends(file->name, ".up.sql"); }
static enum role up_down_role(const char *base) { return ends(base, ".down.sql") ? ROLE_NONE : ROLE_UP; }

static bool is_sqlx(const struct check_file *file) {
  const char *base = base_of(file->name);
  return strspn(base, "0123456789") == 14 && base[14] == '_';
}

static bool is_any(const struct check_file *file) {
  (void)file;
  return true;
}

/* --- markers in the text --- */

/* What follows "-- <mark>" on this line (blanks skipped), or NULL. */
static const char *marked(const char *line, size_t len, const char *mark, size_t *ret_len) {
  size_t at = 0, size = strlen(mark);
  while (at < len && isblank((unsigned char)line[at])) at++;
  if (len - at < 2 || memcmp(line + at, "--", 2) != 0) return NULL;
  for (at += 2; at < len && isblank((unsigned char)line[at]);) at++;
  if (len - at < size || strncasecmp(line + at, mark, size) != 0) return NULL;
  for (at += size; at < len && isblank((unsigned char)line[at]);) at++;
  *ret_len = len - at;
  while (*ret_len && isspace((unsigned char)line[at + *ret_len - 1])) (*ret_len)--;
  return line + at;
}

static bool has_mark(const struct check_file *file, const char *mark) {
  size_t rest;
  for (const char *line = file->sql, *end = line ? line + file->len : NULL; line < end;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t len = (size_t)((stop ? stop : end) - line);
    if (marked(line, len, mark, &rest)) return true;
    line += len + 1;
  }
  return false;
}

static bool is_goose(const struct check_file *file) { return has_mark(file, "+goose Up"); }
static bool is_dbmate(const struct check_file *file) { return has_mark(file, "migrate:up"); }

static void unreadable(struct check_file *file, const char *message) {
  file->outcome = CHECK_UNREADABLE;
  file->message = message;
}

struct sections {
  const char *up, *down, *alone; /* marks; alone: nothing is put around the migration */
};

/* Keeps the lines between `up` and `down`; the others become blank. */
static void cut_sections(struct check_file *file, struct arena *arena, const struct sections *marks) {
  char *text = arena_strndup(arena, file->sql, file->len);
  bool inside = false, found = false;
  if (!text) return unreadable(file, "out of memory");
  for (size_t at = 0, len, rest; at < file->len; at += len + 1) {
    const char *stop = memchr(text + at, '\n', file->len - at), *words;
    len = stop ? (size_t)(stop - text) - at : file->len - at;
    if ((words = marked(text + at, len, marks->up, &rest))) {
      inside = found = true;
      if (memmem(words, rest, "transaction:false", 17)) file->runner = RUNNER_NOTHING;
    } else if (marked(text + at, len, marks->down, &rest)) {
      inside = false;
    }
    if (marks->alone && marked(text + at, len, marks->alone, &rest)) file->runner = RUNNER_NOTHING;
    if (!inside) memset(text + at, ' ', len);
  }
  file->sql = text;
  if (!found) unreadable(file, arena_printf(arena, "has no line `-- %s`", marks->up));
}

static void cut_goose(struct check_file *file, struct arena *arena) {
  cut_sections(file, arena, &(struct sections){"+goose Up", "+goose Down", "+goose NO TRANSACTION"});
}

static void cut_dbmate(struct check_file *file, struct arena *arena) {
  cut_sections(file, arena, &(struct sections){"migrate:up", "migrate:down", NULL});
}

/* sqlx: the comment must begin the file. */
static void cut_sqlx(struct check_file *file, struct arena *arena) {
  (void)arena;
  size_t rest, len = strcspn(file->sql, "\n");
  if (marked(file->sql, len, "no-transaction", &rest)) file->runner = RUNNER_MESSAGE;
}

/* --- the table --- */

static const struct check_format formats[] = {
    {"flyway", is_flyway, flyway_role, NULL, RUNNER_EXECUTOR}, {"prisma", is_prisma, prisma_role, NULL, RUNNER_MESSAGE},
    {"diesel", is_diesel, diesel_role, NULL, RUNNER_WRAPS},    {"goose", is_goose, NULL, cut_goose, RUNNER_WRAPS},
    {"dbmate", is_dbmate, NULL, cut_dbmate, RUNNER_WRAPS},     {"golang-migrate", is_up_down, up_down_role, NULL, RUNNER_MESSAGE},
    {"sqlx", is_sqlx, up_down_role, cut_sqlx, RUNNER_WRAPS},   {"plain", is_any, NULL, NULL, RUNNER_EXECUTOR},
};
enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

const char *check_format_name(const struct check_format *format) { return format->name; }

const struct check_format *check_format_named(const char *name) {
  for (int i = 0; i < FORMAT_COUNT; i++)
    if (strcmp(formats[i].name, name) == 0) return &formats[i];
  return NULL;
}

const char *check_format_names(void) {
  static char names[256];
  size_t len = 0;
  for (int i = 0; i < FORMAT_COUNT; i++) len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "", formats[i].name);
  return names;
}

static const struct check_format *detect(const struct check_file *files, size_t count) {
  for (int i = 0; i < FORMAT_COUNT; i++)
    for (size_t f = 0; f < count; f++)
      if (formats[i].matches(&files[f])) return &formats[i];
  return &formats[FORMAT_COUNT - 1];
}

static enum role role_of(const struct check_file *file) { return file->format->role ? file->format->role(base_of(file->name)) : ROLE_UP; }

/* Baselines first, what is repeated last; Flyway goes by versions wherever the files lie, the others by names. */
static int by_turn(const void *a, const void *b) {
  static const int turn[] = {[ROLE_BASELINE] = 0, [ROLE_UP] = 1, [ROLE_REPEATED] = 2};
  const struct check_file *left = a, *right = b;
  enum role mine = role_of(left), other = role_of(right);
  if (mine != other) return turn[mine] - turn[other];
  int order = left->format->matches == is_flyway && mine != ROLE_REPEATED ? flyway_order(base_of(left->name), base_of(right->name)) : 0;
  if (!order) order = check_natural_order(left->name, right->name);
  return order ? order : strcmp(left->name, right->name);
}

/* A baseline stands for the versions up to it: of no use while one of them is there. */
static bool is_covered(const struct check_file *baseline, const struct check_file *files, size_t count) {
  const char *version = base_of(baseline->name);
  for (size_t i = 0; i < count; i++) {
    enum role role = role_of(&files[i]);
    int order = &files[i] != baseline && (role == ROLE_UP || role == ROLE_BASELINE) ? flyway_order(base_of(files[i].name), version) : 0;
    if ((role == ROLE_UP && order <= 0 && &files[i] != baseline) || (role == ROLE_BASELINE && order > 0)) return true;
  }
  return false;
}

size_t check_format_apply(const struct check_format *forced, struct check_file *files, size_t count, struct arena *arena) {
  const struct check_format *format = forced ? forced : detect(files, count);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) files[i].format = format;
  for (size_t i = 0; i < count; i++)
    if (role_of(&files[i]) == ROLE_BASELINE && is_covered(&files[i], files, count)) files[i].message = "covered";
  for (size_t i = 0; i < count; i++) {
    if (role_of(&files[i]) == ROLE_NONE || (files[i].outcome == CHECK_PENDING && files[i].message)) continue;
    struct check_file *file = &files[kept];
    *file = files[i];
    file->runner = format->runner;
    if (file->outcome == CHECK_PENDING && format->cut) format->cut(file, arena);
    kept++;
  }
  qsort(files, kept, sizeof *files, by_turn);
  return kept;
}
