/* test_rules.c - the catalogue of findings held against what other tools flag (tests/fixtures/peer_rules.json), and against RULES.md,
 * which is made from it. */
#include "tests/support/document.h"

#include "common/buf.h"
#include "common/json.h"
#include "worker/migration/rules.h"

static struct arena *arena;
static json_t *schema, *peers;
static struct snapshot *snapshot;

static int setup(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  arena = arena_new(512 << 20);
  schema = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/migrations/ddl.snapshot.json", 0, NULL);
  peers = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/peer_rules.json", JSON_REJECT_DUPLICATES, NULL);
  return arena && schema && peers && snapshot_load(schema, arena, &snapshot, &err) == OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  json_decref(schema);
  json_decref(peers);
  return 0;
}

static struct analysis *analyse(const struct snapshot *over, const char *sql, int version) {
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  if (analysis_static(sql, strlen(sql), over, &(struct analysis_options){.target_version = version}, arena, &analysis, &err))
    fail_msg("%s: %s", sql, err.message);
  if (analysis->script.fault.sqlstate) fail_msg("%s: %s", sql, analysis->script.fault.message);
  return analysis;
}

static bool found(const struct analysis *analysis, size_t from, size_t to, const char *id) {
  for (size_t s = from; s < to; s++)
    for (size_t i = 0; i < analysis->statements[s].findings.count; i++)
      if (strcmp(analysis->statements[s].findings.items[i].rule->id, id) == 0) return true;
  return false;
}

/* Looks at one statement when the case names one, else at all. Returns the number of disagreements. */
static int check_case(const char *peer, const json_t *one, json_t *ret_seen) {
  const char *sql = json_str(one, "sql", ""), *rule = json_str(one, "rule", "");
  struct analysis *analysis = analyse(snapshot, sql, (int)json_int(one, "target_version", 0));
  size_t from = (size_t)json_int(one, "statement", 0), to = json_object_get(one, "statement") ? from + 1 : analysis->count;
  assert_true(to <= analysis->count);
  json_t *wanted = json_object_get(one, "findings"), *unwanted = json_object_get(one, "not"), *id;
  int wrong = 0;
  size_t index;
  if (!json_array_size(wanted) && !json_is_string(json_object_get(one, "because")))
    fail_msg("%s %s: neither a finding nor a reason", peer, rule);
  json_array_foreach(wanted, index, id) {
    json_object_set_new(ret_seen, json_string_value(id), json_true());
    if (!rules_named(json_string_value(id))) fail_msg("%s %s: no rule %s", peer, rule, json_string_value(id));
    if (!found(analysis, from, to, json_string_value(id)) && ++wrong)
      print_error("%s %s: no %s: %s\n", peer, rule, json_string_value(id), sql);
  }
  json_array_foreach(unwanted, index, id) {
    if (!rules_named(json_string_value(id))) fail_msg("%s %s: no rule %s", peer, rule, json_string_value(id));
    if (found(analysis, from, to, json_string_value(id)) && ++wrong) print_error("%s %s: %s: %s\n", peer, rule, json_string_value(id), sql);
  }
  return wrong;
}

static void test_peers(void **state) {
  (void)state;
  json_t *seen = json_object(), *cases, *one;
  const char *peer;
  int wrong = 0;
  size_t index, total = 0;
  json_object_foreach(peers, peer, cases) {
    if (!json_is_array(cases)) continue;
    json_array_foreach(cases, index, one) wrong += check_case(peer, one, seen), total++;
  }
  print_message("%zu cases, %zu of %zu rules fired\n", total, json_object_size(seen), rules_table_count);
  json_decref(seen);
  assert_int_equal(wrong, 0);
  assert_true(total > 150);
}

/* On what the same migration made nothing is worth more than a hint, but for what outlives the migration by itself. */
static void test_new_tables_are_quiet(void **state) {
  (void)state;
  static const char *const harmless[] = {
      "CREATE TABLE n (id bigint PRIMARY KEY, a int, b text); ALTER TABLE n ALTER COLUMN a TYPE bigint; ALTER TABLE n ADD CONSTRAINT u "
      "UNIQUE "
      "(b); CREATE INDEX ON n (a); ALTER TABLE n ALTER COLUMN b SET NOT NULL; ALTER TABLE n ADD CHECK (a > 0); ALTER TABLE n RENAME COLUMN "
      "a TO a2; ALTER TABLE n DROP COLUMN b; INSERT INTO n VALUES (1); UPDATE n SET a2 = 1; DELETE FROM n; TRUNCATE n; ALTER TABLE n "
      "RENAME "
      "TO n2; DROP TABLE n2",
      "BEGIN; CREATE TABLE n (id bigint PRIMARY KEY, p bigint); CREATE TABLE m (id bigint PRIMARY KEY); ALTER TABLE n ADD FOREIGN KEY (p) "
      "REFERENCES m (id); COMMIT",
      "CREATE TABLE n (id bigint, k int) PARTITION BY RANGE (k); CREATE TABLE n1 PARTITION OF n FOR VALUES FROM (0) TO (10); CREATE TABLE "
      "nd "
      "PARTITION OF n DEFAULT; CREATE TABLE n2 PARTITION OF n FOR VALUES FROM (10) TO (20)",
  };
  for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
    struct analysis *analysis = analyse(snapshot, harmless[i], 0);
    for (size_t s = 0; s < analysis->count; s++)
      for (size_t f = 0; f < analysis->statements[s].findings.count; f++)
        if (analysis->statements[s].findings.items[f].rule->severity != SEVERITY_INFO)
          fail_msg("%s: %s", analysis->script.statements[s].text, analysis->statements[s].findings.items[f].message);
  }
}

/* What the snapshot's numbers bring up. */
static void test_numbers_of_the_snapshot(void **state) {
  (void)state;
  json_error_t error;
  json_t *json = json_pack_ex(&error, 0,
                              "{s:i, s:[s], s:[{s:s, s:s, s:s, s:I, s:I, s:[{s:s, s:s, s:b}], s:[{s:s, s:[s], s:b, s:b}]}], s:[{s:s, s:s, "
                              "s:I, s:I, s:{s:s, s:s, s:s}}]}",
                              "server_version_num", 170000, "search_path_schemas", "public", "tables", "schema", "public", "name", "big",
                              "kind", "table", "estimated_rows", (json_int_t)5000000, "total_bytes", (json_int_t)1 << 30, "columns", "name",
                              "id", "type", "integer", "nullable", 0, "indexes", "name", "big_ccnew", "columns", "id", "valid", 0, "unique",
                              0, "sequences", "schema", "public", "name", "big_id_seq", "last_value", (json_int_t)1500000000, "max",
                              (json_int_t)9223372036854775807LL, "owner_column", "schema", "public", "table", "big", "column", "id");
  if (!json) fail_msg("%s", error.text);
  ERROR_AUTO err = {0};
  struct snapshot *numbers = NULL;
  assert_int_equal(snapshot_load(json, arena, &numbers, &err), OK);
  struct analysis *analysis = analyse(numbers, "ALTER TABLE big ADD COLUMN z int; UPDATE big SET id = id WHERE id + 1 > 0", 0);
  assert_true(found(analysis, 0, 1, "sequence-near-end"));
  assert_true(found(analysis, 0, 1, "invalid-index-left"));
  assert_true(found(analysis, 1, 2, "change-many-rows"));
  assert_false(found(analyse(snapshot, "ALTER TABLE t ADD COLUMN z int", 0), 0, 1, "sequence-near-end"));
  json_decref(json);
}

/* --- RULES.md --- */

static const struct {
  const char *anchor, *title;
} groups[] = {{"columns", "Adding columns"},
              {"types", "Types and names of values"},
              {"constraints", "Constraints"},
              {"indexes", "Indexes"},
              {"drops", "What goes"},
              {"renames", "What gets another name"},
              {"storage", "Where rows are kept"},
              {"partitions", "Partitions"},
              {"data", "Rows"},
              {"behaviour", "Behaviour"},
              {"privileges", "Privileges"},
              {"locks", "Locks and timeouts"},
              {"script", "The script itself"},
              {"versions", "Versions of the server"},
              {"observed", "Seen in the sandbox"},
              {"comments", "Comments that silence findings"}};

static void put_rule(struct buf *out, const struct rule *rule) {
  static const char *const severities[] = {"info", "warning", "error"};
  buf_printf(out, "### %s\n\n%s: %s.\n\n%s\n\n", rule->id, severities[rule->severity], rule->message, rule->why);
  if (rule->safe_alternative) buf_printf(out, "```sql\n%s\n```\n\n", rule->safe_alternative);
}

static const char *document(void) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  buf_puts(&out,
           "# Rules\n\nMade from `rules_table.c` by `deploy/check/rules --fix`; don't edit. Words in braces are filled in with the names "
           "of the\n"
           "statement: `{table}`, and `{name}` and `{detail}` as the rule means them. A finding is silenced by a comment in or before the\n"
           "statement, `-- autodb:ignore rule-id reason`, or `-- autodb:ignore-file rule-id reason` before the first one; it stays in the\n"
           "report, and in the score.\n\n");
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    buf_printf(&out, "## %s\n\n", groups[g].title);
    for (size_t i = 0; rules_at(i); i++)
      if (strcmp(rules_at(i)->anchor, groups[g].anchor) == 0) put_rule(&out, rules_at(i));
  }
  while (out.len > 1 && buf_str(&out)[out.len - 2] == '\n') out.len--;
  assert_true(buf_ok(&out));
  return arena_strndup(arena, buf_str(&out), out.len);
}

static void test_document(void **state) {
  (void)state;
  for (size_t i = 0; rules_at(i); i++) {
    bool known = false;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) known |= strcmp(rules_at(i)->anchor, groups[g].anchor) == 0;
    if (!known) fail_msg("%s: no group %s", rules_at(i)->id, rules_at(i)->anchor);
  }
  document_is("worker/migration/RULES.md", document());
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_peers), cmocka_unit_test(test_new_tables_are_quiet),
                                     cmocka_unit_test(test_numbers_of_the_snapshot), cmocka_unit_test(test_document)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
