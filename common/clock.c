/* clock.c - the two clocks. */
#include "common/clock.h"

#include <time.h>

static int64_t read_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_ms(void) { return read_us(CLOCK_MONOTONIC) / 1000; }

int64_t clock_mono_us(void) { return read_us(CLOCK_MONOTONIC); }

int64_t clock_wall_ms(void) { return read_us(CLOCK_REALTIME) / 1000; }

char *clock_format(int64_t wall_ms, char out[CLOCK_TEXT]) {
  int64_t ms = (wall_ms % 1000 + 1000) % 1000; /* before 1970 seconds round down, too */
  time_t seconds = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
  struct tm tm;
  size_t len = gmtime_r(&seconds, &tm) ? strftime(out, CLOCK_TEXT - 8, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
  snprintf(out + len, CLOCK_TEXT - len, ".%03uZ", (unsigned)ms % 1000U);
  return out;
}
