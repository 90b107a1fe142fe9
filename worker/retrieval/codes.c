#include "worker/retrieval/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 128 /* vectors; two to a byte, the first half in the low bits */
#define LINE (BLOCK / 2)
#define STEPS 7  /* each way of zero, which is 8 */
#define ROUND 16 /* dimensions whose products fit sixteen bits: 16 * 127 * 15 */
#define DROPPED UINT32_MAX

struct block {
  uint8_t ids[BLOCK][CODES_ID];
  uint32_t groups[BLOCK];
  float scales[BLOCK];
  uint8_t lines[][LINE]; /* dims of them */
};

struct codes {
  int dims;
  struct block **blocks;
  size_t block_count, used, dropped; /* used: places taken, dropped ones among them */
};

struct codes *codes_new(int dims) {
  struct codes *codes = calloc(1, sizeof *codes);
  if (codes) codes->dims = dims;
  return codes;
}

void codes_free(struct codes *codes) {
  if (!codes) return;
  for (size_t i = 0; i < codes->block_count; i++) free(codes->blocks[i]);
  free(codes->blocks);
  free(codes);
}

size_t codes_count(const struct codes *codes) { return codes->used - codes->dropped; }

size_t codes_dropped(const struct codes *codes) { return codes->dropped; }

static size_t block_bytes(const struct codes *codes) { return sizeof(struct block) + (size_t)codes->dims * LINE; }

size_t codes_bytes(const struct codes *codes) { return codes->block_count * (block_bytes(codes) + sizeof(struct block *)); }

/* --- filling --- */

static struct block *last_block(struct codes *codes) {
  if (codes->used < codes->block_count * BLOCK) return codes->blocks[codes->block_count - 1];
  struct block **blocks = realloc(codes->blocks, (codes->block_count + 1) * sizeof(struct block *));
  if (blocks) codes->blocks = blocks;
  struct block *block = blocks ? malloc(block_bytes(codes)) : NULL;
  if (!block) return NULL;
  memset(block->lines, 0, (size_t)codes->dims * LINE);
  codes->blocks[codes->block_count++] = block;
  return block;
}

bool codes_add(struct codes *codes, const uint8_t id[CODES_ID], uint32_t group, const float *vector) {
  struct block *block = last_block(codes);
  if (!block) return false;
  size_t at = codes->used++ % BLOCK;
  float largest = 0;
  for (int d = 0; d < codes->dims; d++) largest = fmaxf(largest, fabsf(vector[d]));
  float scale = largest > 0 ? STEPS / largest : 0;
  memcpy(block->ids[at], id, CODES_ID);
  block->groups[at] = group;
  block->scales[at] = largest / STEPS;
  for (int d = 0; d < codes->dims; d++) {
    unsigned code = (unsigned)lrintf(vector[d] * scale) + 8;
    block->lines[d][at % LINE] |= (uint8_t)(at < LINE ? code : code << 4);
  }
  return true;
}

void codes_drop(struct codes *codes, uint32_t group) {
  for (size_t i = 0; i < codes->used; i++) {
    uint32_t *at = &codes->blocks[i / BLOCK]->groups[i % BLOCK];
    if (*at != group) continue;
    *at = DROPPED;
    codes->dropped++;
  }
}

/* --- looking --- */

struct probe { /* the question: what it has, and where */
  int *dims;
  int16_t *weights;
  size_t count;
  float scale;
  int32_t middle; /* what codes of zero add up to */
};

static bool make_probe(const struct codes *codes, const float *vector, struct probe *probe) {
  float largest = 0;
  probe->dims = calloc((size_t)codes->dims + ROUND, sizeof *probe->dims);
  probe->weights = calloc((size_t)codes->dims + ROUND, sizeof *probe->weights);
  if (!probe->dims || !probe->weights) return false;
  for (int d = 0; d < codes->dims; d++) largest = fmaxf(largest, fabsf(vector[d]));
  for (int d = 0; d < codes->dims && largest > 0; d++) {
    long weight = lrintf(vector[d] / largest * 127);
    if (!weight) continue;
    probe->dims[probe->count] = d;
    probe->weights[probe->count++] = (int16_t)weight;
    probe->middle += 8 * (int32_t)weight;
  }
  probe->scale = largest / 127;
  return true;
}

/* Wider vectors where the processor has them: the resolver picks when the program is loaded. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* Written so that compilers make vectors of the inner loops. The lines lie apart: those of the next round are asked for while this one is
 * added. */
WIDE static void add_products(const struct block *block, const struct probe *probe, int32_t sums[BLOCK]) {
  memset(sums, 0, BLOCK * sizeof *sums);
  for (size_t from = 0; from < probe->count; from += ROUND) {
    int16_t low[LINE] = {0}, high[LINE] = {0};
    size_t to = from + ROUND < probe->count ? from + ROUND : probe->count;
    for (size_t k = from; k < to; k++) {
      const uint8_t *line = block->lines[probe->dims[k]];
      __builtin_prefetch(block->lines[probe->dims[k + ROUND]]);
      int16_t weight = probe->weights[k];
      for (int i = 0; i < LINE; i++) low[i] = (int16_t)(low[i] + weight * (int16_t)(line[i] & 15));
      for (int i = 0; i < LINE; i++) high[i] = (int16_t)(high[i] + weight * (int16_t)(line[i] >> 4));
    }
    for (int i = 0; i < LINE; i++) sums[i] += low[i];
    for (int i = 0; i < LINE; i++) sums[LINE + i] += high[i];
  }
}

/* A heap with the worst of the best on top. */
static void sink(struct codes_hit *heap, size_t count) {
  for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && heap[child + 1].score < heap[child].score) child++;
    if (heap[at].score <= heap[child].score) return;
    struct codes_hit other = heap[at];
    heap[at] = heap[child];
    heap[child] = other;
  }
}

static void rise(struct codes_hit *heap, size_t at) {
  for (size_t parent; at && heap[parent = (at - 1) / 2].score > heap[at].score; at = parent) {
    struct codes_hit other = heap[at];
    heap[at] = heap[parent];
    heap[parent] = other;
  }
}

static size_t offer(struct codes_hit *heap, size_t count, size_t most, struct codes_hit hit) {
  if (count < most) {
    heap[count] = hit;
    rise(heap, count);
    return count + 1;
  }
  if (hit.score <= heap[0].score) return count;
  heap[0] = hit;
  sink(heap, count);
  return count;
}

size_t codes_nearest(const struct codes *codes, const float *vector, const bool *wanted, size_t most, struct codes_hit *out) {
  struct probe probe = {0};
  size_t found = 0;
  int32_t sums[BLOCK];
  bool made = make_probe(codes, vector, &probe);
  for (size_t b = 0; made && most && b < codes->block_count; b++) {
    const struct block *block = codes->blocks[b];
    size_t count = codes->used - b * BLOCK < BLOCK ? codes->used - b * BLOCK : BLOCK;
    add_products(block, &probe, sums);
    for (size_t i = 0; i < count; i++) {
      if (block->groups[i] == DROPPED || (wanted && !wanted[block->groups[i]])) continue;
      float score = (float)(sums[i] - probe.middle) * block->scales[i] * probe.scale;
      found = offer(out, found, most, (struct codes_hit){block->ids[i], score});
    }
  }
  free(probe.dims);
  free(probe.weights);
  return found;
}
