/* test_analyze_more.c - the static analysis held against forms beyond the measured cases of ddl_truth.json: statements of
 * tests/fixtures/ddl_more.txt over ddl_fixture.sql and ddl_more.sql, facts in ddl_more.json.
 *
 *   integration-test_analyze_more --measure [MAJOR] >ddl_more.json    measures all cases on every installed major (the others' facts stay)
 *
 * Prints every disagreement; fails below the floors. */
#include "tests/support/harness.h"
#include "tests/support/measure.h"

#include "worker/migration/forms/forms.h"
#include "worker/schema/catalog.h"

#define FIXTURES AUTODB_SOURCE_DIR "/tests/fixtures/"

static const int majors[] = {15, 16, 17, 18};
#define MAJORS (sizeof majors / sizeof *majors)

/* --- measuring --- */

static void make_schema(struct harness_pg *pg, char url[HARNESS_URL]) {
  harness_database(pg, "more", url);
  harness_sql_file(url, "tests/fixtures/ddl_fixture.sql");
  harness_sql_file(url, "tests/fixtures/ddl_more.sql");
  harness_sql(url, "ANALYZE");
}

/* One case a statement; before it '@' lines (committed history), '+' lines (same transaction); '!' marks one that refuses transactions. */
static json_t *read_cases(void) {
  FILE *file = fopen(FIXTURES "ddl_more.txt", "re");
  if (!file) fail_msg("no ddl_more.txt");
  char line[4096];
  json_t *cases = json_array(), *before = json_array(), *inside = json_array();
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    if (!*line || *line == '#') continue;
    if (*line == '@' || *line == '+') {
      json_array_append_new(*line == '@' ? before : inside, json_string(line + 1));
      continue;
    }
    bool outside = *line == '!';
    json_t *one = json_pack("{s:s}", "sql", line + outside);
    if (json_array_size(before)) json_object_set(one, "before", before);
    if (json_array_size(inside)) json_object_set(one, "inside", inside);
    if (outside) json_object_set_new(one, "outside", json_true());
    json_array_append_new(cases, one);
    json_decref(before);
    json_decref(inside);
    before = json_array();
    inside = json_array();
  }
  json_decref(before);
  json_decref(inside);
  fclose(file);
  return cases;
}

static bool prepare(const char *url, const char *sql) {
  PGconn *conn = harness_connect(url);
  PGresult *res = PQexec(conn, sql);
  bool done = PQresultStatus(res) != PGRES_FATAL_ERROR;
  if (!done) fprintf(stderr, "%s: %s", sql, PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
  return done;
}

static json_t *measure(struct harness_pg *pg, const char *shared, const json_t *one) {
  const char *sql = json_string_value(json_object_get(one, "sql"));
  json_t *before = json_object_get(one, "before"), *earlier;
  bool outside = json_is_true(json_object_get(one, "outside"));
  if (!before && !outside) return measure_inside(shared, json_object_get(one, "inside"), sql);
  char url[HARNESS_URL];
  size_t index;
  measure_end();
  harness_sql(pg->url, "DROP DATABASE IF EXISTS one WITH (FORCE)");
  harness_sql(pg->url, "CREATE DATABASE one TEMPLATE more STRATEGY FILE_COPY");
  snprintf(url, sizeof url, "%.*sone", (int)(strrchr(shared, '/') - shared + 1), shared);
  json_array_foreach(before, index, earlier) if (!prepare(url, json_string_value(earlier))) return NULL;
  return outside ? measure_outside(url, sql) : measure_inside(url, json_object_get(one, "inside"), sql);
}

static json_t *find_case(const json_t *cases, const json_t *wanted) {
  size_t index;
  json_t *one;
  json_array_foreach(cases, index, one) {
    bool same = json_equal(json_object_get(one, "sql"), json_object_get(wanted, "sql")) &&
                json_equal(json_object_get(one, "before"), json_object_get(wanted, "before")) &&
                json_equal(json_object_get(one, "inside"), json_object_get(wanted, "inside"));
    if (same || (json_equal(json_object_get(one, "sql"), json_object_get(wanted, "sql")) && !json_object_get(one, "before") &&
                 !json_object_get(wanted, "before") && !json_object_get(one, "inside") && !json_object_get(wanted, "inside")))
      return one;
  }
  return NULL;
}

/* Majors that agree share one entry: "facts": {"15-18": {…}} would be shorter still, a list is easier to read back. */
static void add_facts(json_t *one, int major, json_t *fact) {
  json_t *facts = json_object_get(one, "facts"), *entry;
  size_t index;
  if (!facts) json_object_set_new(one, "facts", facts = json_array());
  json_array_foreach(facts, index, entry) if (json_equal(json_object_get(entry, "fact"), fact)) {
    json_array_append_new(json_object_get(entry, "majors"), json_integer(major));
    json_decref(fact);
    return;
  }
  json_array_append_new(facts, json_pack("{s:[i], s:o}", "majors", major, "fact", fact));
}

static json_t *facts_of(const json_t *one, int major) {
  size_t index, at;
  json_t *entry, *number;
  json_array_foreach(json_object_get(one, "facts"), index, entry) json_array_foreach(
      json_object_get(entry, "majors"), at, number) if (json_integer_value(number) == major) return json_object_get(entry, "fact");
  return NULL;
}

static int measure_all(long only) {
  struct harness *h = harness_new();
  json_t *cases = read_cases(), *old = json_load_file(FIXTURES "ddl_more.json", 0, NULL), *one;
  size_t index;
  for (size_t m = 0; m < MAJORS; m++) {
    char shared[HARNESS_URL];
    struct harness_pg *pg = harness_has_postgres(majors[m]) && (!only || majors[m] == only) ? harness_postgres(h, majors[m]) : NULL;
    if (pg) make_schema(pg, shared);
    json_array_foreach(cases, index, one) {
      const json_t *known = pg ? NULL : facts_of(find_case(old, one), majors[m]);
      if (index % 100 == 0) fprintf(stderr, "%d: %zu of %zu\n", majors[m], index, json_array_size(cases));
      json_t *fact = pg ? measure(pg, shared, one) : json_deep_copy(known);
      if (fact) add_facts(one, majors[m], fact);
    }
    measure_end();
    if (pg) harness_stop(pg->proc);
  }
  puts("[");
  json_array_foreach(cases, index, one) {
    char *text = json_dumps(one, JSON_COMPACT);
    printf("%s%s\n", text, index + 1 < json_array_size(cases) ? "," : "");
    free(text);
  }
  puts("]");
  json_decref(cases);
  json_decref(old);
  harness_end(h);
  return 0;
}

/* --- judging --- */

struct score {
  int right, of;
};
struct more {
  struct harness *harness;
  struct arena *arena;
  const struct snapshot *snapshot;
  json_t *cases;
  struct score locks, rewrites, scans, plans, failures, transactions;
  int alarms; /* certain failures predicted of statements that succeed */
};

static json_t *introspect(struct arena *arena, const char *url) {
  PGconn *conn = harness_connect(url);
  struct catalog_reader reader = {.conn = conn, .arena = arena, .excluded = "{}", .major = 17};
  ERROR_AUTO err = {0};
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("introspection: %s", err.message);
  json_t *root = json_incref(reader.root);
  catalog_end(&reader);
  PQfinish(conn);
  return arena_json(arena, root);
}

static int setup(void **state) {
  static struct more more;
  char url[HARNESS_URL];
  more.harness = harness_new();
  make_schema(harness_postgres(more.harness, 17), url);
  more.arena = arena_new(512 << 20);
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (snapshot_load(introspect(more.arena, url), more.arena, &snapshot, &err)) fail_msg("snapshot: %s", err.message);
  more.snapshot = snapshot;
  more.cases = arena_json(more.arena, json_load_file(FIXTURES "ddl_more.json", 0, NULL));
  assert_true(json_is_array(more.cases));
  *state = &more;
  return 0;
}

static int teardown(void **state) {
  struct more *more = *state;
  arena_free(more->arena);
  harness_end(more->harness);
  return 0;
}

static bool apply(struct shadow *shadow, struct arena *arena, const char *sql, struct effect *ret_effect) {
  ERROR_AUTO err = {0};
  struct sql_script script;
  if (sql_split(sql, strlen(sql), arena, &script, &err) || script.fault.sqlstate) return false;
  for (size_t i = 0; i < script.count; i++) forms_apply(shadow, &script.statements[i], ret_effect);
  return script.count > 0;
}

/* Committed history: its tables are as shared and as full as any, a role's and function's as real. */
static void settle(struct shadow *shadow) {
  shadow_commit(shadow);
  for (size_t i = 0; i < shadow->rels.count; i++) shadow->rels.items[i]->created = false;
}

static json_t *names_of(size_t count, struct rel *const *rels) {
  json_t *names = json_object();
  for (size_t i = 0; i < count; i++)
    if (!rels[i]->created) json_object_set_new(names, rels[i]->t->qualified, json_true());
  return names;
}

static json_t *set_of(const json_t *list) {
  json_t *names = json_object(), *name;
  size_t index;
  json_array_foreach(list, index, name) json_object_set_new(names, json_string_value(name), json_true());
  return names;
}

static json_t *locks_of(const struct effect *effect) {
  json_t *locks = json_object();
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    const char *mode = lockmode_name(lock->mode);
    if (!lock->rel->created) json_object_set_new(locks, lock->rel->t->qualified, json_stringn(mode, strlen(mode) - strlen("Lock")));
  }
  return locks;
}

/* What an earlier statement of the transaction holds is not seen again; what was only sampled may have been missed. */
static bool locks_agree(const json_t *predicted, const json_t *measured, bool partial) {
  const char *name;
  json_t *mode;
  json_object_foreach((json_t *)(uintptr_t)measured, name, mode) if (!json_equal(json_object_get(predicted, name), mode)) return false;
  return partial || json_object_size(predicted) == json_object_size(measured);
}

static bool predicted_failure(const struct effect *effect, const char *error) {
  for (size_t i = 0; i < effect->checks.count; i++) {
    const struct effect_check *check = &effect->checks.items[i];
    if (check->sqlstate && strcmp(check->sqlstate, error) == 0 && check->verdict != VERDICT_PROVEN) return true;
  }
  return false;
}

static bool tally(struct score *score, bool right) {
  score->of++;
  score->right += right;
  return right;
}

static void show(const json_t *one, const json_t *fact, const struct effect *effect, json_t *locks, json_t *rewrites, json_t *scans,
                 const char *what, int major) {
  char *before = json_dumps(json_object_get(one, "before"), JSON_COMPACT),
       *inside = json_dumps(json_object_get(one, "inside"), JSON_COMPACT), *measured = json_dumps(fact, JSON_COMPACT),
       *l = json_dumps(locks, JSON_COMPACT), *r = json_dumps(rewrites, JSON_COMPACT), *s = json_dumps(scans, JSON_COMPACT);
  printf("%d %s: %s %s %s\n     measured  %s\n     predicted %s rewrites %s scans %s%s", major, what,
         json_string_value(json_object_get(one, "sql")), before ? before : "", inside ? inside : "", measured, l, r, s,
         effect->opaque ? " opaque" : "");
  for (size_t i = 0; i < effect->checks.count; i++)
    if (effect->checks.items[i].verdict != VERDICT_PROVEN)
      printf(" [%s %s %s]", effect->checks.items[i].verdict == VERDICT_WILL_FAIL ? "will" : "may", effect->checks.items[i].sqlstate,
             effect->checks.items[i].check);
  puts("");
  char *const texts[] = {before, inside, measured, l, r, s};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
}

static PgQuery__Node__NodeCase statement_kind(struct arena *arena, const char *sql) {
  ERROR_AUTO err = {0};
  struct sql_script script;
  if (sql_split(sql, strlen(sql), arena, &script, &err) || !script.count) return PG_QUERY__NODE__NODE__NOT_SET;
  return script.statements[0].node->node_case;
}

static void judge(struct more *more, const json_t *one, int major) {
  const json_t *fact = facts_of(one, major);
  if (!fact) return;
  ARENA_AUTO arena = arena_new(64 << 20);
  ERROR_AUTO err = {0};
  struct shadow *shadow = NULL;
  struct effect effect = {0};
  size_t index;
  json_t *earlier;
  assert_int_equal(shadow_new(more->snapshot, arena, &shadow, &err), OK);
  shadow->version = major * 10000;
  bool parsed = true;
  json_array_foreach(json_object_get(one, "before"), index, earlier) parsed &= apply(shadow, arena, json_string_value(earlier), &effect);
  settle(shadow);
  json_array_foreach(json_object_get(one, "inside"), index, earlier) parsed &= apply(shadow, arena, json_string_value(earlier), &effect);
  const char *error = json_string_value(json_object_get(fact, "error")), *what = NULL;
  parsed = parsed && apply(shadow, arena, json_string_value(json_object_get(one, "sql")), &effect);
  if (!parsed) { /* a newer server's syntax, or an older one's refusal */
    if (!error || strcmp(error, "42601") != 0) printf("%d unparsed: %s\n", major, json_string_value(json_object_get(one, "sql")));
    return;
  }
  PgQuery__Node__NodeCase kind = statement_kind(arena, json_string_value(json_object_get(one, "sql")));
  bool outside = json_is_true(json_object_get(one, "outside")), inside = json_object_get(one, "inside");
  json_t *locks = locks_of(&effect), *rewrites = names_of(effect.rewrites.count, effect.rewrites.items),
         *scans = names_of(effect.scans.count, effect.scans.items);
  bool never = effect.transaction == TX_NEVER,
       refused = json_object_get(fact, "in_transaction") ? true : error && strcmp(error, "25001") == 0;
  if (outside || refused) {
    if (!tally(&more->transactions, never == refused)) what = "transaction";
  } else if (never) {
    if (!tally(&more->transactions, false)) what = "transaction";
  }
  if (!refused || outside)
    if (!tally(&more->failures, error ? predicted_failure(&effect, error) : !effect_failure(&effect))) what = error ? "error" : "no error";
  if (!error && !refused) more->alarms += effect_failure(&effect) != NULL;
  if (!error && !effect.opaque) {
    json_t *real_rewrites = set_of(json_object_get(fact, "rewrites")), *real_scans = set_of(json_object_get(fact, "scans"));
    if (!tally(&more->locks, locks_agree(locks, json_object_get(fact, "locks"), outside || inside))) what = "locks";
    if (!tally(&more->rewrites, json_equal(rewrites, real_rewrites))) what = "rewrites";
    bool planned = kind == PG_QUERY__NODE__NODE_SELECT_STMT || kind == PG_QUERY__NODE__NODE_INSERT_STMT ||
                   kind == PG_QUERY__NODE__NODE_UPDATE_STMT || kind == PG_QUERY__NODE__NODE_DELETE_STMT ||
                   kind == PG_QUERY__NODE__NODE_MERGE_STMT || kind == PG_QUERY__NODE__NODE_TRUNCATE_STMT; /* it builds empty indexes */
    if (planned)
      tally(&more->plans, json_equal(scans, real_scans));
    else if (!outside && !tally(&more->scans, json_equal(scans, real_scans)))
      what = "scans";
    json_decref(real_rewrites);
    json_decref(real_scans);
  } else if (!error && effect.opaque) {
    printf("%d opaque: %s\n", major, json_string_value(json_object_get(one, "sql")));
  }
  if (what) show(one, fact, &effect, locks, rewrites, scans, what, major);
  json_decref(locks);
  json_decref(rewrites);
  json_decref(scans);
}

static double percent(const struct score *score) { return score->of ? 100.0 * score->right / score->of : 100; }

static void test_more(void **state) {
  struct more *more = *state;
  for (size_t m = 0; m < MAJORS; m++) {
    size_t index;
    json_t *one;
    struct score *const scores[] = {&more->locks, &more->rewrites, &more->scans, &more->failures, &more->transactions, &more->plans};
    static const char *const names[] = {"locks", "rewrites", "scans", "failures", "transactions", "scans the planner chose"};
    static const double floors[] = {98.5, 99.8, 98.8, 97, 100, 60};
    for (size_t i = 0; i < 6; i++) *scores[i] = (struct score){0};
    json_array_foreach(more->cases, index, one) judge(more, one, majors[m]);
    printf("PostgreSQL %d:", majors[m]);
    for (size_t i = 0; i < 6; i++) printf(" %s %d/%d (%.1f %%)", names[i], scores[i]->right, scores[i]->of, percent(scores[i]));
    puts("");
    for (size_t i = 0; i < 6; i++) assert_true(percent(scores[i]) >= floors[i]);
    assert_int_equal(more->alarms, 0);
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--measure") == 0) return measure_all(argc > 2 ? strtol(argv[2], NULL, 10) : 0);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_more)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
