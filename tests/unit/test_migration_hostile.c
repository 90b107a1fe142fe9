/* test_migration_hostile.c - what tests/fuzz/fuzz_migration.c looks for at length, in seconds and the same each time: every statement of
 * the wider corpus as it is, printed anew and with tokens lost, doubled and swapped; then depth, length and numbers at the bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <time.h>

#include "common/limits.h"
#include "tests/support/hostile.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"

#define CORPUS AUTODB_SOURCE_DIR "/tests/fixtures/ddl_more.txt"
#define LONGEST_MS 60000 /* of the processor, sanitizers included: what grows with the square of the script is far above */
#define FAULTS_SHOWN 20

static struct arena *arena;
static struct snapshot *snapshot;
static int faults;

static int setup(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  arena = arena_new((size_t)1 << 30);
  json_t *json = arena_json(arena, json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/migrations/ddl.snapshot.json", 0, NULL));
  return json && snapshot_load(json, arena, &snapshot, &err) == OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static double cpu_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void feed(const char *text, size_t len) {
  double started = cpu_ms();
  const char *wrong = hostile_try(snapshot, &(struct analysis_options){0}, text, len);
  double ms = cpu_ms() - started;
  if (!wrong && ms <= LONGEST_MS) return;
  if (faults++ < FAULTS_SHOWN)
    print_error("%s (%.0f ms): %.*s\n", wrong ? wrong : "it took too long", ms, (int)(len < 300 ? len : 300), text);
}

static void feed_text(const char *text) { feed(text, strlen(text)); }

/* --- the corpus --- */

/* xorshift: the same changes in every run. */
static uint64_t chance = 88172645463325252u;
static size_t draw(size_t below) {
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return (size_t)(chance % below);
}

/* Loses, doubles or swaps some tokens; what stood between two is a blank. */
static void feed_mutated(const char *sql) {
  struct sql_tokens tokens;
  ARENA_AUTO scratch = arena_new(1 << 20);
  if (!sql_tokenize(sql, scratch, &tokens) || tokens.count < 2) return;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  size_t first = draw(tokens.count), second = draw(tokens.count), how = draw(3);
  for (size_t i = 0; i < tokens.count; i++) {
    const struct sql_token *token = &tokens.items[how != 2 ? i : i == first ? second : i == second ? first : i];
    size_t times = i != first || how == 2 ? 1 : how == 0 ? 0 : 2;
    for (; times; times--) {
      buf_append(&text, sql + token->start, (size_t)(token->end - token->start));
      buf_putc(&text, ' ');
    }
  }
  assert_true(buf_ok(&text));
  feed(buf_str(&text), text.len);
}

static void feed_printed(const char *sql) {
  ARENA_AUTO scratch = arena_new(1 << 20);
  PgQuery__Node *node = sql_parse_statement(scratch, sql);
  const char *text = node ? sql_statement_text(scratch, node) : NULL;
  if (text) feed_text(text);
}

static void test_corpus(void **state) {
  (void)state;
  FILE *file = fopen(CORPUS, "re");
  assert_non_null(file);
  char line[4096];
  size_t statements = 0, mutants = getenv("TESTS_LONG") ? 50 : 2;
  faults = 0;
  BUF_AUTO script; /* with what came before it */
  buf_init(&script, 1 << 20);
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    if (!*line || *line == '#') continue;
    const char *sql = line + (*line == '@' || *line == '+' || *line == '!');
    buf_puts(&script, sql);
    buf_puts(&script, ";\n");
    if (*line == '@' || *line == '+') continue;
    feed(buf_str(&script), script.len);
    buf_reset(&script);
    feed_printed(sql);
    for (size_t i = 0; i < mutants; i++) feed_mutated(sql);
    statements++;
  }
  fclose(file);
  assert_true(statements > 2500);
  assert_int_equal(faults, 0);
}

/* --- at the bounds --- */

static void repeat(struct buf *out, const char *text, size_t times) {
  for (size_t i = 0; i < times; i++) buf_puts(out, text);
}

static void test_depth(void **state) {
  (void)state;
  static const struct {
    const char *before, *open, *middle, *close, *after;
  } rows[] = {
      {"ALTER TABLE t ADD CHECK (", "(", "a > 0", ")", ")"},
      {"UPDATE t SET a = ", "1 + ", "1", "", " WHERE a = 1"},
      {"CREATE VIEW deep AS ", "SELECT * FROM (", "SELECT * FROM t", ") x", ""},
      {"ALTER TABLE t ADD COLUMN z int DEFAULT ", "CASE WHEN true THEN ", "1", " END", ""},
      {"CREATE INDEX ON t ((", "abs(", "a", ")", "))"},
      {"SELECT ", "ARRAY[", "1", "]", ""},
      {"DELETE FROM t WHERE ", "NOT ", "true", "", ""},
      {"SELECT 1 ", "UNION SELECT 1 ", "", "", ""},
      {"SELECT * FROM t ", "JOIN t USING (a) ", "", "", ""},
      {"WITH RECURSIVE c AS (", "SELECT * FROM t WHERE a IN (", "SELECT 1", ")", ") SELECT * FROM c"},
      {"CREATE TABLE z (a int ", "CHECK (a > 0) ", "", "", ")"},
  };
  static const size_t depths[] = {50, 150, 240, 499, 501, 20000};
  faults = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
      BUF_AUTO sql;
      buf_init(&sql, LIMIT_SQL_BYTES);
      buf_puts(&sql, rows[i].before);
      repeat(&sql, rows[i].open, depths[d]);
      buf_puts(&sql, rows[i].middle);
      repeat(&sql, rows[i].close, depths[d]);
      buf_puts(&sql, rows[i].after);
      if (buf_ok(&sql)) feed(buf_str(&sql), sql.len);
    }
  assert_int_equal(faults, 0);
}

static void feed_list(const char *before, const char *item, size_t count, const char *after) {
  BUF_AUTO sql;
  buf_init(&sql, LIMIT_SQL_BYTES);
  buf_puts(&sql, before);
  for (size_t i = 0; i < count; i++) buf_printf(&sql, "%s%s%zu", i ? ", " : "", item, i);
  buf_puts(&sql, after);
  assert_true(buf_ok(&sql));
  feed(buf_str(&sql), sql.len);
}

static void test_width(void **state) {
  (void)state;
  faults = 0;
  feed_list("ALTER TABLE t ADD CHECK (a IN (", "", 10000, "))");
  feed_list("DELETE FROM t WHERE a IN (", "", 10000, ")");
  feed_list("INSERT INTO t (a) VALUES (1), (", "", 10000, ")");
  feed_list("ALTER TABLE t ", "ADD COLUMN many_", 1, " int");
  feed_list("DROP TABLE IF EXISTS ", "none_", 10000, "");
  feed_list("CREATE TYPE e AS ENUM ('a', '", "','", 5000, "')");
  feed_list("SELECT ", "c AS c", 10000, " FROM t");
  feed_list("TRUNCATE t, ", "t", 5000, "");
  assert_int_equal(faults, 0);
}

/* As many of the statement as fit into a script; %zu is its number. */
static void feed_many(const char *before, const char *after, size_t most) {
  BUF_AUTO sql;
  buf_init(&sql, LIMIT_SQL_BYTES);
  for (size_t i = 0; i < most && sql.len + strlen(before) + strlen(after) + 32 < LIMIT_SQL_BYTES; i++) {
    buf_puts(&sql, before);
    buf_printf(&sql, "%zu", i);
    buf_puts(&sql, after);
  }
  assert_true(buf_ok(&sql));
  feed(buf_str(&sql), sql.len);
}

static void test_length(void **state) {
  (void)state;
  faults = 0;
  feed_many("ALTER TABLE t ADD COLUMN n", " int NOT NULL DEFAULT 0;\n", 5000);
  feed_many("CREATE TABLE n", " (id bigint PRIMARY KEY, t int REFERENCES t (id));\n", 5000);
  feed_many("CREATE INDEX i", " ON t (a);\n", 5000);
  feed_many("ALTER TABLE t ADD CONSTRAINT k", " CHECK (a > 0) NOT VALID;\n", 5000);
  feed_many("UPDATE t SET a = ", " WHERE a IS NULL;\n", 5000);
  feed_many("BEGIN; DROP TABLE IF EXISTS n", "; COMMIT;\n", 1600);
  feed_many("CREATE INDEX CONCURRENTLY c", " ON t (a);\n", 5000);
  feed_many("SELECT ", ";", 20000); /* refused: more than 10,000 */
  assert_int_equal(faults, 0);
}

static void feed_full(const char *piece, size_t bytes) {
  BUF_AUTO sql;
  buf_init(&sql, 2 * (size_t)LIMIT_SQL_BYTES);
  while (sql.len + strlen(piece) <= bytes) buf_puts(&sql, piece);
  assert_true(buf_ok(&sql));
  feed(buf_str(&sql), sql.len);
}

static void test_size(void **state) {
  (void)state;
  static const char *const pieces[] = {";", "(", ")", "1+", "'", "\"", "$$", "a ", "\n", "é", "SELECT 1;\n", "\\", "1,"};
  faults = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    feed_full(pieces[i], LIMIT_SQL_BYTES);
    feed_full(pieces[i], LIMIT_SQL_BYTES + 64);
  }
  feed_full("/*", LIMIT_SQL_BYTES);
  feed_full("-- note\n", LIMIT_SQL_BYTES);
  assert_int_equal(faults, 0);
}

static void test_garbage(void **state) {
  (void)state;
  static const char *const texts[] = {"",         " ",        ";",        ";;;",          "--",
                                      "/* open",  "'open",    "$a$ open", "\xEF\xBB\xBF", "\xEF\xBB\xBFSELECT 1",
                                      "\xff\xfe", "\\i file", "SELECT",   "ALTER TABLE",  "COPY t FROM stdin;\n1\n\\.\n"};
  faults = 0;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) feed_text(texts[i]);
  feed("SELECT 1;\0SELECT 2", 19);
  for (int round = 0; round < 500; round++) {
    char bytes[256];
    size_t len = draw(sizeof bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)draw(round % 2 ? 256 : 127);
    feed(bytes, len);
  }
  assert_int_equal(faults, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_garbage), cmocka_unit_test(test_depth), cmocka_unit_test(test_width),
      cmocka_unit_test(test_length),  cmocka_unit_test(test_size),  cmocka_unit_test(test_corpus),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
