/* builtins.h - functions, operators and types PostgreSQL and its contrib extensions have, majors 13 to 18.
 *
 * The rows are in builtins.inc, which make-builtins writes from the catalogs of real servers: one per extension and name, overloads folded
 * together. Functions that no query can call (arguments of type internal, cstring, …) are left out. */
#ifndef AUTODB_QUERY_BUILTINS_H
#define AUTODB_QUERY_BUILTINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUILTIN_VARIADIC 0x80000000u /* any number of arguments above the lowest bit set */
#define BUILTIN_OLDEST 13
#define BUILTIN_NEWEST 18 /* newer servers are taken for it */

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

/* An extension's functions are looked for by its name; NULL: no such function there. */
const struct builtin *builtin_function(const char *extension, const char *name);
const struct builtin *builtin_at(size_t index); /* in order of extension and name; NULL past the end */
bool builtin_in_major(const struct builtin *builtin, int major);
int builtin_since(const struct builtin *builtin); /* the first major that has it */
bool builtin_takes(const struct builtin *builtin, int arguments);
/* Whether any type has an operator of that name, whether there is such a type (pg_type.typname: "int4"). */
bool builtin_operator(const char *extension, const char *name);
bool builtin_type(const char *extension, const char *name);
bool builtin_knows_extension(const char *extension); /* whether there are rows of it: what it has is then known */

#endif
