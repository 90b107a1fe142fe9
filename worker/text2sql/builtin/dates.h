/* dates.h - "in March 2024", "last 30 days", "since 2020", "between 2024-01-01 and 2024-02-01": a stretch of time as two SQL expressions.
 */
#ifndef AUTODB_BUILTIN_DATES_H
#define AUTODB_BUILTIN_DATES_H

#include "worker/text2sql/builtin/tokens.h"

enum date_unit { UNIT_NONE, UNIT_HOUR, UNIT_DAY, UNIT_WEEK, UNIT_MONTH, UNIT_QUARTER, UNIT_YEAR, UNIT_WEEKDAY, UNIT_HOUR_OF_DAY };
struct date_range {
  const char *from, *to;  /* SQL: at or after from, before to; NULL: open */
  int from_year, to_year; /* for columns that hold only years: first and last year in it; 0: open or not whole years */
  bool years;             /* made of whole years */
  bool by_year;           /* so many years back or on from now, from_year and to_year are 0: "last 5 years", "this year" */
  const char *weekdays;   /* "6, 7": those of any week, Monday is 1; from and to are NULL then */
  int month;              /* 1-12: that month of any year; from and to are NULL then */
};

/* Reads a stretch of time at a token, its preposition included. Returns the tokens taken, 0 when there is none. */
size_t dates_read(const struct tokens *tokens, size_t at, struct arena *arena, struct date_range *ret_range);
/* The same where a stretch of time stands before it: "in 2022 or 2023", "in June and July". */
size_t dates_continue(const struct tokens *tokens, size_t at, struct arena *arena, struct date_range *ret_range);
enum date_unit dates_unit(const char *lower);     /* "month", "months", "monthly" */
const char *dates_unit_name(enum date_unit unit); /* as date_trunc() takes it */

#endif
