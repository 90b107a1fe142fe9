/* text.h - from trees and names back to SQL text, exactly quoted. All results live in the arena; NULL only when it is exhausted. */
#ifndef AUTODB_SQL_TEXT_H
#define AUTODB_SQL_TEXT_H

#include <pg_query/pg_query.pb-c.h>

#include "common/arena.h"

/* An identifier, quoted when PostgreSQL's own quote_identifier() would. */
const char *sql_ident(struct arena *arena, const char *name);
/* schema.name, each quoted as needed; schema may be NULL. */
const char *sql_qualified(struct arena *arena, const char *schema, const char *name);
/* The name an object without one gets: "first_second_label", the longer part cut until all fits, never within a character (makeObjectName
 * in commands/indexcmds.c). `second` may be NULL or "". Whether it is free is the caller's to see: then label1, label2 and so on. */
#define SQL_NAME_BYTES 63 /* NAMEDATALEN - 1: what is longer is cut off without an error */
const char *sql_made_name(struct arena *arena, const char *first, const char *second, const char *label);
/* "a, b, c" of identifiers. */
const char *sql_ident_list(struct arena *arena, const char *const *names, size_t count);
/* A string literal (E'' form when it holds a backslash). */
const char *sql_literal(struct arena *arena, const char *text);
/* A type as format_type() prints it: "character varying(50)", "numeric(10,2)", "shop.status", "integer[]". */
const char *sql_type(struct arena *arena, const PgQuery__TypeName *type);
/* The text of an expression or of a whole statement; NULL when it cannot be printed. */
const char *sql_expression(struct arena *arena, PgQuery__Node *expression);
const char *sql_statement_text(struct arena *arena, PgQuery__Node *statement);
/* The tree of an expression or statement given as text (a CHECK from the catalog, a view's query); NULL when it does not parse. */
PgQuery__Node *sql_parse_expression(struct arena *arena, const char *text);
PgQuery__Node *sql_parse_statement(struct arena *arena, const char *text);

#endif
