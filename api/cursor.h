/* cursor.h - where the next page of a list begins: opaque to clients, and signed, so that it can't be made up.
 *
 * Lists are newest first by id, so a cursor is the last id shown; the signature binds it to the list and the owner. */
#ifndef AUTODB_API_CURSOR_H
#define AUTODB_API_CURSOR_H

#include "api/request.h"

#define CURSOR_TEXT 64

/* The route params every list takes; put them first in its table. */
#define CURSOR_PARAMS \
  {.name = "limit", .want = PARAM_INT, .min = 1, .max = LIMIT_LIST_MAX}, { .name = "cursor", .want = PARAM_TEXT }

char *cursor_write(const struct request *req, const char *list, const struct id *last, char out[CURSOR_TEXT]);
/* The ?cursor= of the request, as the id all of the page's ids are below; the largest id when there is none. VALIDATION_ERROR when it isn't
 * ours. */
MUST_CHECK enum status cursor_read(const struct request *req, const char *list, struct id *ret_below, struct error *err);
static inline int cursor_limit(const struct request *req) { return (int)request_param_int(req, "limit", LIMIT_LIST_DEFAULT); }

/* A page of the owner's things: asks `stmt` for $1 owner, $2 the id the page is below, $3 how many. */
MUST_CHECK enum status cursor_query(struct request *req, const char *list, const struct pg_stmt *stmt, request_rows rows,
                                    struct error *err);

/* Answers a list: `put` appends one row as an object. The statement asked for limit + 1 rows, with the id in column 0; where that is NULL,
 * there is only what the list belongs to, and the list is empty. */
enum status cursor_reply(struct request *req, const char *list, const PGresult *res,
                         void (*put)(struct buf *out, const PGresult *res, int row), struct error *err);

#endif
