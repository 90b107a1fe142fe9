/* findings_text.h - asking the text of a query: what findings_text.c (its shape) and findings_where.c (its conditions) share. */
#ifndef AUTODB_OPTIMIZER_FINDINGS_TEXT_H
#define AUTODB_OPTIMIZER_FINDINGS_TEXT_H

#include "worker/optimizer/finding_impl.h"

struct look {
  const struct finding_view *view;
  struct finding *finding;
  bool (*see)(struct look *look, PgQuery__Node *node);
  bool found;
};

/* Asks every node of the statement till one answers true. */
bool text_walk(const struct finding_view *view, struct finding *finding, bool (*see)(struct look *look, PgQuery__Node *node));
bool text_visit(void *look, PgQuery__Node *node); /* the same, for sql_walk of a part of it */
void text_at(struct finding *finding, int location);
const char *text_last_name(size_t count, PgQuery__Node *const *parts); /* of a qualified name; "" */
bool text_is_op(const PgQuery__AExpr *expression, const char *op);
const PgQuery__Node *text_bare(const PgQuery__Node *node);                   /* without casts */
const PgQuery__SelectStmt *text_top_select(const struct finding_view *view); /* NULL: it is no SELECT */
/* By its spelling; NULL when several tables of the query have it. ret_table may be NULL. */
const struct snap_column *text_column_of(const struct finding_view *view, const PgQuery__Node *node, const struct snap_table **ret_table);
/* The scan of a plan that reads the table: what is said of the text is then about how it is read, and weighs what reading it takes. */
void text_about_scan(const struct finding_view *view, struct finding *finding, const struct snap_table *table, const char *name);

#endif
