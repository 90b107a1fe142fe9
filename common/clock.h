/* clock.h - time: monotonic for deadlines, wall for what people see. */
#ifndef AUTODB_CLOCK_H
#define AUTODB_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970 UTC */
#define CLOCK_TEXT 32
/* RFC 3339 UTC with milliseconds and Z into out[CLOCK_TEXT]; returns out. */
char *clock_format(int64_t wall_ms, char out[CLOCK_TEXT]);

#endif
