/* bench/context.c - what the context engine costs and finds, on the database that AUTODB_DATABASE_URL names: documents ingested as a slot
 * does it, one after the other, and searches over them.
 *
 *   bench-context ingest [MB] [KB]       Markdown of MB megabytes in documents of KB kilobytes, into a connection of its own: rates
 *   bench-context search [CHUNKS]        a connection of CHUNKS passages beside one of a hundredth of them: p50 and p95 in ms, recall, ms
 *                                        of processor time of ours and of the database's
 *   bench-context reset                  what that left is removed
 *   bench-context list URL               a bucket's listing alone, by the client the product uses: objects, seconds
 *
 * Texts are made of topics: half of a document's words are its topic's, the rest everybody's, both by Zipf's law, so that passages of one
 * topic are alike and those of others are not. They hold as many different words as English of their length, by Heaps' law with the numbers
 * of newswire (Manning, Raghavan, Schütze: Introduction to Information Retrieval, 5.1.1): 15,000 of 150,000. The same texts in every run.
 */
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/s3.h"
#include "worker/context/ingest.h"
#include "worker/context/vector_index.h"
#include "worker/embed/vector.h"
#include "worker/retrieval/nearest.h"
#include "worker/retrieval/retrieval.h"

#define OWNER "00000000-0000-7000-8000-0000000be9c4"
#define BIG "00000000-0000-4000-8000-0000000be901"
#define SMALL "00000000-0000-4000-8000-0000000be902"
#define SPEED "00000000-0000-4000-8000-0000000be903"
#define WORDS 30000
#define TOPIC_POOL 6000
#define TOPICS 400
#define TOPIC_WORDS 300
#define QUESTIONS 100
#define BEST 10

static struct config cfg = {
    .embed_provider = "builtin", .embed_base_url = "", .embed_model = "", .embed_api_key = "", .document_store = ""};
static PGconn *db;
static char words[WORDS][24];
static double zipf[WORDS], zipf_topic[TOPIC_WORDS];

static void fail(const struct error *err) {
  fprintf(stderr, "%s: %s\n", err->code, err->message);
  exit(1);
}
#define TRY(call)         \
  do {                    \
    if (call) fail(&err); \
  } while (0)

static void run_sql(const char *sql) {
  ERROR_AUTO err = {0};
  TRY(pg_script(db, sql, &err));
}

static long long value(const char *sql) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  TRY(pg_query(db, sql, 0, NULL, &res, &err));
  return pg_int(res, 0, 0, 0);
}

/* --- texts --- */

static uint64_t seed = 1;
static uint32_t next(void) { /* xorshift64* */
  seed ^= seed >> 12;
  seed ^= seed << 25;
  seed ^= seed >> 27;
  return (uint32_t)(seed * 2685821657736338717ULL >> 32);
}

static size_t pick(const double *sums, size_t count) {
  double at = (double)next() / 4294967296.0 * sums[count - 1];
  size_t low = 0, high = count - 1;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (sums[middle] > at)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static void make_words(void) {
  static const char *const starts[] = {"b", "c", "d", "f", "g",  "h",  "l",  "m",  "n",  "p",
                                       "r", "s", "t", "v", "st", "tr", "pl", "gr", "ch", "sh"};
  static const char *const vowels[] = {"a", "e", "i", "o", "u", "ai", "ea", "ou"};
  static const char *const ends[] = {"", "n", "r", "s", "t", "l", "ng", "nd", "rt", "ck"};
  static const char *const tails[] = {"", "", "", "s", "ed", "ing", "er", "ly", "tion", "ment"};
  for (size_t i = 0; i < WORDS; i++) {
    char *at = words[i], *limit = at + sizeof words[i];
    int syllables = 1 + (i > 300) + (i > 8000);
    *at = '\0';
    for (int s = 0; s < syllables; s++)
      at += snprintf(at, (size_t)(limit - at), "%s%s%s", starts[next() % 20], vowels[next() % 8], ends[next() % 10]);
    snprintf(at, (size_t)(limit - at), "%s", tails[next() % 10]);
    zipf[i] = (i ? zipf[i - 1] : 0) + 1 / (double)(i + 3);
  }
  for (size_t i = 0; i < TOPIC_WORDS; i++) zipf_topic[i] = (i ? zipf_topic[i - 1] : 0) + 1 / (double)(i + 5);
}

static const char *word(size_t topic) {
  if (next() % 2) return words[500 + (topic * 7919 + pick(zipf_topic, TOPIC_WORDS) * 131) % TOPIC_POOL];
  return words[pick(zipf, WORDS)];
}

static void put_sentence(struct buf *out, size_t topic) {
  for (unsigned i = 0, count = 6 + next() % 14; i < count; i++) buf_printf(out, "%s%s", i ? " " : "", word(topic));
  buf_puts(out, ". ");
}

static void put_section(struct buf *out, size_t topic) {
  buf_printf(out, "## %s %s %s\n\n", word(topic), word(topic), word(topic));
  for (unsigned p = 0, paragraphs = 1 + next() % 4; p < paragraphs; p++) {
    for (unsigned s = 0, sentences = 3 + next() % 5; s < sentences; s++) put_sentence(out, topic);
    buf_puts(out, "\n\n");
  }
  if (next() % 3 == 0) {
    for (int i = 0; i < 5; i++) buf_printf(out, "- %s_%s: %s %s %s\n", word(topic), word(topic), word(topic), word(topic), word(topic));
    buf_puts(out, "\n");
  }
  if (next() % 5 == 0) {
    buf_printf(out, "| %s | %s | %s |\n|---|---|---|\n", word(topic), word(topic), word(topic));
    for (int i = 0; i < 6; i++) buf_printf(out, "| %s | %s %s | %u |\n", word(topic), word(topic), word(topic), next() % 10000);
    buf_puts(out, "\n");
  }
}

static void make_document(struct buf *out, size_t bytes) {
  size_t topic = next() % TOPICS;
  buf_reset(out);
  buf_printf(out, "# %s %s\n\n", word(topic), word(topic));
  while (out->len < bytes) put_section(out, topic);
}

/* --- ingesting --- */

static void make_connection(const char *id) {
  char sql[600];
  snprintf(sql, sizeof sql,
           "INSERT INTO autodb.owners (id, name) VALUES ('" OWNER "', 'bench') ON CONFLICT DO NOTHING; INSERT INTO autodb.connections (id, "
           "owner_id, name, db_type, host, port, database_name) VALUES ('%s', '" OWNER "', 'bench', 'postgresql', 'h', 1, 'd') ON CONFLICT "
           "DO NOTHING",
           id);
  run_sql(sql);
}

static void remove_connection(const char *id) {
  char sql[400];
  snprintf(sql, sizeof sql, "DELETE FROM autodb.documents WHERE connection_id = '%s'; DELETE FROM autodb.connections WHERE id = '%s'", id,
           id);
  run_sql(sql);
}

static struct job job_of(const char *connection, struct arena *arena) {
  return (struct job){.id = connection,
                      .kind = "document.ingest",
                      .owner_id = OWNER,
                      .connection_id = connection,
                      .attempt = 1,
                      .arena = arena,
                      .cfg = &cfg,
                      .db = db};
}

/* As many as go in one transaction (s3_batch.c); their texts are kept from group to group. */
struct group {
  struct buf texts[INGEST_GROUP];
  char names[INGEST_GROUP][40];
  size_t count, bytes, made;
};

static bool group_full(const struct group *group, size_t next_bytes) {
  return group->count == INGEST_GROUP || (group->count && group->bytes + next_bytes > LIMIT_S3_GROUP_BYTES);
}

static void group_add(struct group *group, size_t bytes) {
  struct buf *text = &group->texts[group->count];
  if (!text->data) buf_init(text, 64 << 20);
  make_document(text, bytes);
  snprintf(group->names[group->count++], sizeof *group->names, "bench/%zu.md", group->made++);
  group->bytes += text->len;
}

/* How many passages they made. */
static size_t ingest(struct embedder *embedder, const char *connection, struct group *group) {
  ERROR_AUTO err = {0};
  ARENA_AUTO arena = arena_new((size_t)64 << 20);
  struct job job = job_of(connection, arena);
  struct ingest_source sources[INGEST_GROUP] = {0};
  struct ingest_outcome outcomes[INGEST_GROUP] = {0};
  char id[40];
  size_t chunks = 0;
  snprintf(id, sizeof id, "%08zx-0000-4000-8000-0000000be9ff", group->made);
  job.id = id;
  for (size_t i = 0; i < group->count; i++)
    sources[i] =
        (struct ingest_source){.name = group->names[i], .source = "upload", .bytes = buf_str(&group->texts[i]), .len = group->texts[i].len};
  TRY(ingest_documents(&job, embedder, sources, group->count, outcomes, &err));
  for (size_t i = 0; i < group->count; i++) {
    if (outcomes[i].state != INGEST_READY)
      fprintf(stderr, "%s: %s\n", group->names[i], outcomes[i].message ? outcomes[i].message : "not ready");
    chunks += (size_t)outcomes[i].chunks;
  }
  group->count = group->bytes = 0;
  return chunks;
}

static double own_cpu_s(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Of another process; 0 where it can't be looked at. */
static double cpu_s(int pid) {
  char path[64];
  unsigned long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "re");
  if (!file || fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) user = system = 0;
  if (file) fclose(file);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void measure_ingest(size_t megabytes, size_t kilobytes) {
  EMBEDDER_AUTO embedder = NULL;
  ERROR_AUTO err = {0};
  static struct group group;
  size_t bytes = 0, chunks = 0;
  double ms = 0;
  TRY(embedder_new(&cfg, db, &embedder, &err));
  remove_connection(SPEED);
  make_connection(SPEED);
  ingest_hurry(db, true);
  double own = 0, theirs = cpu_s(PQbackendPID(db));
  while (bytes < megabytes * 1000000) {
    while (!group_full(&group, kilobytes * 1000)) group_add(&group, kilobytes * 1000);
    bytes += group.bytes;
    double cpu = own_cpu_s();
    int64_t began = clock_mono_us();
    chunks += ingest(embedder, SPEED, &group);
    ms += (double)(clock_mono_us() - began) / 1000;
    own += own_cpu_s() - cpu;
  }
  theirs = cpu_s(PQbackendPID(db)) - theirs;
  double mb = (double)bytes / 1e6;
  /* by the clock, by processor time; then what a passage took */
  printf("ingest %.2f %.2f %.0f\n", mb / ms * 1000, mb / (own + theirs), ms * 1000 / (double)chunks);
  fprintf(stderr, "  %zu kB: processor time a MB %.0f ms ours, %.0f ms the database's\n", kilobytes, own * 1000 / mb, theirs * 1000 / mb);
  remove_connection(SPEED);
}

/* --- searching --- */

static void fill(const char *connection, size_t chunks) {
  EMBEDDER_AUTO embedder = NULL;
  ERROR_AUTO err = {0};
  static struct group group;
  char sql[256];
  TRY(embedder_new(&cfg, db, &embedder, &err));
  make_connection(connection);
  snprintf(sql, sizeof sql, "SELECT count(*) FROM autodb.chunks WHERE connection_id = '%s'", connection);
  size_t made = (size_t)value(sql);
  ingest_hurry(db, true);
  if (made >= chunks) return;
  int64_t began = clock_mono_ms();
  while (made < chunks) {
    group_add(&group, 100000);
    made += ingest(embedder, connection, &group);
  }
  fprintf(stderr, "  %zu passages ingested in %.1f s", made, (double)(clock_mono_ms() - began) / 1000);
  began = clock_mono_ms();
  ARENA_AUTO arena = arena_new((size_t)16 << 20);
  struct job job = job_of(connection, arena);
  ingest_settle(db);
  run_sql("VACUUM ANALYZE autodb.chunks");
  run_sql("VACUUM ANALYZE autodb.chunk_vectors");
  run_sql("VACUUM ANALYZE autodb.documents");
  TRY(vector_index_tend(&job, embedder_model(embedder), &err));
  fprintf(stderr, ", vacuum and index %.1f s\n", (double)(clock_mono_ms() - began) / 1000);
}

/* Half of them are words out of a passage that is there, half are words of a topic. */
static void make_question(const char *connection, char *out, size_t size) {
  char sql[300];
  size_t topic = next() % TOPICS, len = 0;
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  snprintf(sql, sizeof sql,
           "SELECT body FROM autodb.chunks WHERE connection_id = '%s' AND id >= '%08x-0000-0000-0000-000000000000' ORDER BY id LIMIT 1",
           connection, next());
  if (next() % 2) TRY(pg_query(db, sql, 0, NULL, &res, &err));
  *out = '\0';
  if (res && PQntuples(res)) {
    const char *body = pg_str(res, 0, 0);
    size_t from = strlen(body) > 160 ? next() % (strlen(body) - 120) : 0;
    const char *blank = strchr(body + from, ' ');
    snprintf(out, size < 90 ? size : 90, "%s", blank ? blank + 1 : body);
    return;
  }
  for (int i = 0; i < 8; i++) len += (size_t)snprintf(out + len, size - len, "%s ", word(topic));
}

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

/* The passages nearest to the question's vector, as the search's own statement finds them, and as looking at all of them does. */
static double recall_of(const char *connection, const char *question, struct embedder *embedder, struct arena *arena);

static void search(const char *title, const char *connection, double passages) {
  EMBEDDER_AUTO embedder = NULL;
  ERROR_AUTO err = {0};
  double ms[QUESTIONS], recall = 0, own = 0, theirs = 0;
  char question[1000];
  TRY(embedder_new(&cfg, db, &embedder, &err));
  for (int i = -10; i < QUESTIONS; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    struct job job = job_of(connection, arena);
    struct retrieval found = {0};
    make_question(connection, question, sizeof question);
    struct retrieval_query query = {.text = question, .max_documents = BEST};
    double own_before = own_cpu_s(), theirs_before = cpu_s(PQbackendPID(db));
    int64_t began = clock_mono_us();
    TRY(retrieval_search(&job, NULL, &query, &found, &err));
    if (i < 0) continue;
    ms[i] = (double)(clock_mono_us() - began) / 1000;
    own += own_cpu_s() - own_before;
    theirs += cpu_s(PQbackendPID(db)) - theirs_before;
    recall += recall_of(connection, question, embedder, arena);
  }
  qsort(ms, QUESTIONS, sizeof *ms, by_value);
  printf("%s %.0f %.2f %.2f %.4f %.2f %.2f\n", title, passages, ms[QUESTIONS / 2], ms[QUESTIONS * 95 / 100], recall / QUESTIONS,
         own * 1000 / QUESTIONS, theirs * 1000 / QUESTIONS);
}

/* The ten passages nearest to the question's vector: what share of those that looking at all vectors finds does the search find? */
static double recall_of(const char *connection, const char *question, struct embedder *embedder, struct arena *arena) {
  static const char sql[] =
      "SELECT v.chunk_id FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND v.model = $2 ORDER BY v.embedding "
      "<#> $3, v.chunk_id LIMIT 10";
  ERROR_AUTO err = {0};
  const struct embed_model *model = embedder_model(embedder);
  struct embed_text text = {question, strlen(question)};
  struct nearest_hit hits[BEST];
  uint8_t half[HALFVEC_BYTES(4000)];
  const float *vector = NULL;
  size_t count = 0, found = 0;
  char id[16];
  TRY(embedder_run(embedder, EMBED_QUESTION, &text, 1, 1000, arena, &vector, &err));
  const struct nearest_query query = {.connection_id = connection, .model = model, .vector = vector};
  run_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = autodb, public");
  TRY(nearest_find(db, &query, arena, hits, BEST, &count, &err));
  run_sql("SET LOCAL enable_indexscan = off");
  halfvec_write(vector, model->dims, half);
  snprintf(id, sizeof id, "%d", model->id);
  const char *const values[] = {connection, id, (const char *)half};
  const int lengths[] = {0, 0, (int)HALFVEC_BYTES(model->dims)}, formats[] = {0, 0, 1};
  PGRESULT_AUTO res = PQexecParams(db, sql, 3, NULL, values, lengths, formats, 1);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) {
    pg_error(db, res, &err);
    fail(&err);
  }
  for (int row = 0; row < PQntuples(res); row++)
    for (size_t i = 0; i < count; i++) found += memcmp(hits[i].id, PQgetvalue(res, row, 0), sizeof hits[i].id) == 0;
  run_sql("ROLLBACK");
  return PQntuples(res) ? (double)found / PQntuples(res) : 1;
}

/* What a second run of an ingest can't be faster than. */
static void list_bucket(const char *url) {
  ERROR_AUTO err = {0};
  S3_AUTO s3 = NULL;
  const struct s3_options options = {.bucket = "lake", .endpoint = url};
  TRY(s3_new(&options, &s3, &err));
  int64_t began = clock_mono_ms();
  size_t objects = 0;
  char after[S3_KEY_BYTES + 1] = "";
  for (bool more = true; more;) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    struct s3_page page = {0};
    TRY(s3_list(s3, "", *after ? after : NULL, NULL, S3_PAGE, arena, &page, &err));
    objects += page.count;
    more = page.next && page.count;
    if (more) snprintf(after, sizeof after, "%s", page.objects[page.count - 1].key);
  }
  printf("%zu %.2f\n", objects, (double)(clock_mono_ms() - began) / 1000);
}

int main(int argc, char **argv) {
  ERROR_AUTO err = {0};
  const char *what = argc > 1 ? argv[1] : "", *url = getenv("AUTODB_DATABASE_URL");
  size_t first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, second = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
  if (argc > 2 && strcmp(what, "list") == 0) return list_bucket(argv[2]), 0;
  if (!url) return 2;
  TRY(pg_connect(url, "bench", &db, &err));
  make_words();
  if (strcmp(what, "ingest") == 0) {
    measure_ingest(first ? first : 20, second ? second : 100);
  } else if (strcmp(what, "search") == 0) {
    size_t chunks = first ? first : 100000;
    fill(SMALL, chunks / 100);
    fill(BIG, chunks);
    search("big", BIG, (double)chunks);
    search("small", SMALL, (double)chunks / 100);
  } else if (strcmp(what, "reset") == 0) {
    remove_connection(BIG);
    remove_connection(SMALL);
    remove_connection(SPEED);
  } else {
    return 2;
  }
  PQfinish(db);
  return 0;
}
