/* id.c - ids that sort by time and cannot be guessed.
 *
 * Each thread keeps a pool of random bytes from the kernel, so an id costs a copy and not a system call. Bytes are wiped once
 * handed out. A forked child throws away what it inherited: parent and child never give out the same bytes. */
#include "common/id.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/crypto.h"

#define POOL_BYTES 4096
#define COUNTER_MAX 0xFFF  /* rand_a */
#define COUNTER_SEED 0x7FF /* a new millisecond starts in the lower half, to leave room to count */

static _Atomic unsigned generation = 1; /* grows in every forked child */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static _Thread_local struct {
  unsigned generation; /* 0 = never filled */
  size_t used;
  int64_t last_ms;
  unsigned counter;
  uint8_t bytes[POOL_BYTES];
} pool;

static void on_fork(void) { generation++; }

static void watch_forks(void) { pthread_atfork(NULL, NULL, on_fork); }

static void draw(void *out, size_t len) {
  if (pool.generation != generation || POOL_BYTES - pool.used < len) {
    pthread_once(&once, watch_forks);
    pool.generation = generation;
    crypto_random(pool.bytes, POOL_BYTES);
    pool.used = 0;
  }
  memcpy(out, pool.bytes + pool.used, len);
  memset(pool.bytes + pool.used, 0, len);
  pool.used += len;
}

void id_new(struct id *ret_id) {
  uint8_t *b = ret_id->bytes;
  draw(b + 6, 10);
  int64_t now = clock_wall_ms();
  if (now > pool.last_ms) {
    pool.last_ms = now;
    pool.counter = ((unsigned)b[6] << 8 | b[7]) & COUNTER_SEED;
  } else if (++pool.counter > COUNTER_MAX) { /* also when the clock stepped back: ids still ascend */
    pool.last_ms++;
    pool.counter = 0;
  }
  for (int i = 0; i < 6; i++) b[i] = (uint8_t)(pool.last_ms >> (40 - 8 * i));
  b[6] = (uint8_t)(0x70 | pool.counter >> 8);
  b[7] = (uint8_t)pool.counter;
  b[8] = (uint8_t)(0x80 | (b[8] & 0x3F));
}

static bool is_dash(int at) { return at == 8 || at == 13 || at == 18 || at == 23; }

char *id_format(const struct id *id, char out[ID_TEXT]) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *b = id->bytes;
  for (int at = 0; at < ID_TEXT - 1;) {
    if (is_dash(at)) {
      out[at++] = '-';
      continue;
    }
    out[at++] = digits[*b >> 4];
    out[at++] = digits[*b++ & 15];
  }
  out[ID_TEXT - 1] = '\0';
  return out;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool id_parse(const char *text, struct id *ret_id) {
  struct id id;
  uint8_t *b = id.bytes;
  for (int at = 0; at < ID_TEXT - 1;) {
    if (is_dash(at)) {
      if (text[at++] != '-') return false;
      continue;
    }
    int high = hex_digit(text[at]), low = high < 0 ? -1 : hex_digit(text[at + 1]);
    if (low < 0) return false;
    *b++ = (uint8_t)(high << 4 | low);
    at += 2;
  }
  if (text[ID_TEXT - 1]) return false;
  *ret_id = id;
  return true;
}

int64_t id_time_ms(const struct id *id) {
  int64_t ms = 0;
  for (int i = 0; i < 6; i++) ms = ms << 8 | id->bytes[i];
  return ms;
}

/* Lower-case hex of that length, and, where a W3C id must not be, not all zero. */
static bool is_hex(const char *text, int len, bool zero_ok) {
  bool zero = true;
  for (int i = 0; i < len; i++) {
    if (hex_digit(text[i]) < 0 || (text[i] >= 'A' && text[i] <= 'F')) return false;
    if (text[i] != '0') zero = false;
  }
  return zero_ok || !zero;
}

/* "vv-<32 trace id>-<16 span id>-<2 flags>"; a later version may go on after another dash. */
static bool trace_valid(const char *text) {
  if (!text || strnlen(text, TRACE_TEXT - 1) < TRACE_TEXT - 1) return false;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (!is_hex(text, 2, true) || !strncmp(text, "ff", 2)) return false;
  if (!is_hex(text + 3, 32, false) || !is_hex(text + 36, 16, false) || !is_hex(text + 53, 2, true)) return false;
  return !text[55] || (text[55] == '-' && strncmp(text, "00", 2) != 0);
}

static void random_hex(int bytes, char *out) {
  uint8_t raw[16];
  do {
    draw(raw, (size_t)bytes);
    crypto_hex(raw, (size_t)bytes, out);
  } while (!is_hex(out, 2 * bytes, false));
}

char *trace_child(const char *incoming, char out[TRACE_TEXT]) {
  char trace[33], span[17];
  bool valid = trace_valid(incoming);
  if (valid)
    snprintf(trace, sizeof trace, "%.32s", incoming + 3);
  else
    random_hex(16, trace);
  random_hex(8, span);
  bool sampled = valid && (hex_digit(incoming[54]) & 1); /* the one flag version 00 passes on */
  snprintf(out, TRACE_TEXT, "00-%s-%s-%s", trace, span, sampled ? "01" : "00");
  return out;
}

char *trace_id_of(const char *traceparent, char out[TRACE_ID_TEXT]) {
  snprintf(out, TRACE_ID_TEXT, "%.32s", trace_valid(traceparent) ? traceparent + 3 : "");
  return out;
}
