/* bench/asked.c - learns how what is asked is turned towards how tables are called (worker/retrieval/meanings.h), and says what that is
 * worth.
 *
 *   bench-asked FIXTURE…              each left out in turn: its questions all of whose tables are found, by what was learnt of the others
 *   bench-asked -o asked.bin FIXTURE…  the matrix that all of them teach
 *
 * A matrix begins as the identity and is held near it. A question's tables are to be liker to it than the others of its schema: softmax
 * over the tables, Adam (Kingma & Ba 2015), all questions in each step. The same in every run. */
#include <endian.h>
#include <math.h>

#include "tests/support/retrieval_pool.h"
#include "worker/retrieval/embedders.h"
#include "worker/retrieval/table_rank.h"
#include "worker/retrieval/tables_impl.h"

#define DIMS MEANING_DIMS
#define POOLS_MAX 16
#define STEPS 150
#define RATE 0.0005F
#define HELD 0.03F      /* to the identity */
#define SHARPNESS 12.5F /* of the softmax over likenesses */

struct lesson { /* one question */
  size_t pool, count;
  size_t needed[NEEDED_MAX]; /* tables */
  float asked[DIMS];         /* of length 1 */
};
static struct pool pools[POOLS_MAX];
static struct table_index *indexes[POOLS_MAX];
static size_t pool_count;
static struct lesson lessons[POOLS_MAX * QUESTIONS_MAX];
static size_t lesson_count;

typedef float matrix[DIMS][DIMS];               /* [asked][named] */
static matrix turning, gradient, first, second; /* the last two are Adam's moments */

/* --- lessons --- */

static void normalize(float *vector, float *ret_length) {
  float sum = 0;
  for (size_t i = 0; i < DIMS; i++) sum += vector[i] * vector[i];
  *ret_length = sqrtf(sum);
  for (size_t i = 0; sum > 0 && i < DIMS; i++) vector[i] /= *ret_length;
}

static void add_lesson(size_t pool, const struct asked *asked) {
  struct lesson *lesson = &lessons[lesson_count++];
  struct question question;
  ERROR_AUTO err = {0};
  float length;
  *lesson = (struct lesson){.pool = pool};
  if (question_read(&question, asked->text, NULL, arena, &err)) fail_msg("%s", err.message);
  table_rank_meaning(indexes[pool], &question, lesson->asked);
  normalize(lesson->asked, &length);
  for (size_t k = 0; k < asked->count; k++)
    for (size_t t = 0; t < pools[pool].snapshot->table_count; t++)
      if (strcmp(pools[pool].snapshot->tables[t].qualified, asked->needed[k]) == 0) lesson->needed[lesson->count++] = t;
}

static void read_lessons(char **files, size_t count) {
  for (pool_count = 0; pool_count < count; pool_count++) {
    struct pool *pool = &pools[pool_count];
    ERROR_AUTO err = {0};
    pool->name = pool->file = files[pool_count];
    read_pool(pool);
    if (table_index_new(pool->snapshot, NULL, &indexes[pool_count], &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < pool->count; i++) add_lesson(pool_count, &pool->questions[i]);
  }
}

/* --- learning --- */

static bool is_needed(const struct lesson *lesson, size_t table) {
  for (size_t k = 0; k < lesson->count; k++)
    if (lesson->needed[k] == table) return true;
  return false;
}

/* Of what the question is turned into: by how much each table that is liker than it should be pulls, and each that is less like. */
static void pull(const struct lesson *lesson, const float *named, float *ret_pull) {
  const struct table_meanings *tables = &indexes[lesson->pool]->meanings;
  float weights[512], sum = 0;
  size_t count = tables->table_count < 512 ? tables->table_count : 512;
  for (size_t t = 0; t < count; t++) {
    float product = 0;
    for (size_t i = 0; i < DIMS; i++) product += named[i] * tables->tables[t][i];
    sum += weights[t] = expf((product - 1) * SHARPNESS);
  }
  memset(ret_pull, 0, DIMS * sizeof *ret_pull);
  for (size_t t = 0; t < count; t++) {
    float off = weights[t] / sum - (is_needed(lesson, t) ? 1 / (float)lesson->count : 0);
    for (size_t i = 0; i < DIMS; i++) ret_pull[i] += SHARPNESS * off * tables->tables[t][i];
  }
}

static void learn_from(const struct lesson *lesson) {
  float named[DIMS], pulled[DIMS], length, along = 0;
  meaning_turn(lesson->asked, named);
  normalize(named, &length);
  if (!(length > 0)) return;
  pull(lesson, named, pulled);
  for (size_t i = 0; i < DIMS; i++) along += pulled[i] * named[i];
  for (size_t from = 0; from < DIMS; from++)
    for (size_t to = 0; to < DIMS; to++) gradient[from][to] += lesson->asked[from] * (pulled[to] - along * named[to]) / length;
}

static void take_step(int step, size_t count) {
  float firsts = 1 - powf(0.9F, (float)step), seconds = 1 - powf(0.999F, (float)step);
  for (size_t from = 0; from < DIMS; from++)
    for (size_t to = 0; to < DIMS; to++) {
      float slope = gradient[from][to] / (float)count + HELD * (turning[from][to] - (from == to ? 1.0F : 0));
      first[from][to] = 0.9F * first[from][to] + 0.1F * slope;
      second[from][to] = 0.999F * second[from][to] + 0.001F * slope * slope;
      turning[from][to] -= RATE * first[from][to] / firsts / (sqrtf(second[from][to] / seconds) + 1e-8F);
    }
}

static void learn(size_t left_out) {
  memset(turning, 0, sizeof turning);
  memset(first, 0, sizeof first);
  memset(second, 0, sizeof second);
  for (size_t i = 0; i < DIMS; i++) turning[i][i] = 1;
  meaning_turn_by((const float(*)[DIMS])turning);
  for (int step = 1; step <= STEPS; step++) {
    size_t count = 0;
    memset(gradient, 0, sizeof gradient);
    for (size_t i = 0; i < lesson_count; i++)
      if (lessons[i].pool != left_out && lessons[i].count) learn_from(&lessons[i]), count++;
    take_step(step, count);
  }
}

/* --- what it is worth --- */

static size_t found_all(const struct pool *pool) {
  size_t all = 0;
  for (size_t i = 0; i < pool->count; i++) {
    struct retrieval found = search(pool->snapshot, pool->questions[i].text, MOST);
    size_t missing = 0;
    for (size_t k = 0; k < pool->questions[i].count; k++) missing += place_of(&found, pool->questions[i].needed[k]) == SIZE_MAX;
    all += !missing;
  }
  return all;
}

static void leave_out_each(void) {
  double before = 0, after = 0;
  for (size_t p = 0; p < pool_count; p++) {
    size_t all = found_all(&pools[p]);
    before += (double)all / (double)pools[p].count / (double)pool_count;
    printf("%s: %.1f %%", pools[p].file, 100 * (double)all / (double)pools[p].count);
    learn(p);
    all = found_all(&pools[p]);
    after += (double)all / (double)pools[p].count / (double)pool_count;
    printf(" as compiled in, %.1f %% by what the others teach\n", 100 * (double)all / (double)pools[p].count);
    meaning_turn_by(NULL);
  }
  printf("mean: %.1f %%, %.1f %%\n", 100 * before, 100 * after);
}

static bool write_matrix(const char *path) {
  FILE *file = fopen(path, "wb");
  bool written = file != NULL;
  learn(SIZE_MAX);
  for (size_t i = 0; written && i < (size_t)DIMS * DIMS; i++) {
    uint32_t number;
    memcpy(&number, &turning[i / DIMS][i % DIMS], sizeof number);
    number = htole32(number);
    written = fwrite(&number, sizeof number, 1, file) == 1;
  }
  return file && fclose(file) == 0 && written;
}

int main(int argc, char **argv) {
  bool writes = argc > 2 && strcmp(argv[1], "-o") == 0;
  char **files = argv + (writes ? 3 : 1);
  if (files >= argv + argc || argc > POOLS_MAX) {
    fprintf(stderr, "usage: bench-asked [-o asked.bin] FIXTURE...\n");
    return 2;
  }
  arena = arena_new((size_t)2 << 30);
  read_lessons(files, (size_t)(argv + argc - files));
  if (writes) return write_matrix(argv[2]) ? 0 : 1;
  leave_out_each();
  return 0;
}
