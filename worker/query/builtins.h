/* builtins.h - functions and operators PostgreSQL and its contrib extensions have, majors 13 to 18.
 *
 * Generated from real servers by tests/bench/… see builtins.inc; one row per name and extension, overloads folded together. */
#ifndef AUTODB_QUERY_BUILTINS_H
#define AUTODB_QUERY_BUILTINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUILTIN_VARIADIC 0x80000000u /* more arguments than the highest bit says are fine, too */
#define BUILTIN_NEWEST 18            /* the last major known; newer servers are taken for it */

enum builtin_kind { BUILTIN_FUNCTION = 1, BUILTIN_AGGREGATE = 2, BUILTIN_WINDOW = 4, BUILTIN_PROCEDURE = 8, BUILTIN_SET = 16 };

struct builtin {
  const char *name;
  const char *extension; /* "" for pg_catalog's own */
  uint16_t majors;       /* bit 0: 13, bit 1: 14, … */
  char volatility;       /* i s v: the one that promises least, over all overloads and majors */
  uint8_t kinds;         /* enum builtin_kind, of all overloads */
  uint32_t arguments;    /* bit n: may be called with n arguments (direct and ordered ones together); BUILTIN_VARIADIC */
  const char *returns;   /* type as format_type() prints it when all overloads agree and it is no pseudotype; else "" */
  const char *columns;   /* "key,value" of functions with OUT parameters when all overloads agree; else "" */
};

/* NULL: no such function there. An extension's functions are looked for by its name. */
const struct builtin *builtin_function(const char *extension, const char *name);
/* The n-th, in order of extension and name; NULL past the end. */
const struct builtin *builtin_at(size_t index);
bool builtin_in_major(const struct builtin *builtin, int major);
/* Whether any built-in type has an operator of that name; extension "" for pg_catalog. */
bool builtin_operator(const char *extension, const char *name);
const char *builtin_operator_at(const char *extension, size_t index); /* NULL past the end */

#endif
