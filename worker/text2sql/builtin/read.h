/* read.h - the rules that read a question, and what they share. Private to read*.c.
 *
 * A rule looks at one place, and either takes some words into the reading or leaves them to the next. What no rule takes and is not glue
 * stays unexplained. To teach a way of asking: a rule, and a row in read.c; more special ones stand first. */
#ifndef AUTODB_BUILTIN_READ_H
#define AUTODB_BUILTIN_READ_H

#include "worker/text2sql/builtin/study.h"

struct reader {
  struct study *study;
  struct reading *out;
  bool where;                                            /* within a clause that narrows: "with", "who", "whose" */
  enum measure_kind pending;                             /* "average", waiting for what of */
  bool pending_distinct, pending_average, pending_worth; /* worth: "how much" of rows, not how many */
  bool top, top_falling;                                 /* "top 5", "the most", waiting for what by */
  bool grouping;                                         /* a list of groups goes on: "by month and country" */
  bool ordering;
  bool per;           /* groups were asked for by "per", "by", "monthly" */
  bool its;           /* "and its code": of the same row */
  bool timed;         /* a stretch of time is what is asked for: "which month" */
  size_t branch;      /* that conditions belong to; 0: the whole */
  size_t denied;      /* behind the "not" that opened the branch: nothing is denied twice */
  size_t both, joint; /* "both … and …": the tokens of the two words; 0: not said */
  size_t last_table;
  size_t qualifiers[READING_ROWS], qualifier_count; /* tables named only to say where something is from */
  const struct mention *last_verb;
  struct place last_column;
};
typedef size_t (*read_rule)(struct reader *reader, size_t at);

enum wanted { WANT_ANY, WANT_NUMBER, WANT_DATE, WANT_TEXT, WANT_MEASURABLE /* number or date */ };

/* --- settling what a mention means here --- */
const struct mention *mention_at(const struct reader *reader, size_t at); /* NULL beyond the end, too */
/* False: it means no such thing, or two alike (then study->doubt is set). */
bool settle_column(struct reader *reader, const struct mention *mention, enum wanted wanted, struct place *ret_place);
size_t settle_table(struct reader *reader, const struct mention *mention); /* NO_TABLE */
/* A column by what it is about: the best of "price cost amount" in that table. */
bool find_concept(struct reader *reader, size_t table, const char *concepts, enum wanted wanted, struct place *ret_place);
/* The same, also of the person (or other being) that a row of the table is: the height of a gymnast. */
bool find_trait(struct reader *reader, size_t table, const char *concepts, enum wanted wanted, struct place *ret_place);
/* The date that a stretch of time at `at` is about: by the verb before it, else the table's own. */
bool settle_date(struct reader *reader, size_t at, size_t table, struct place *ret_place);
bool wants_rows(const struct reader *reader);
bool wanted_fits(const struct snap_column *column, enum wanted wanted);
const char *token_lower(const struct reader *reader, size_t at);                 /* "" beyond the end and for what is no word or mark */
bool token_is(const struct reader *reader, size_t at, const char *alternatives); /* one word of "a|b|c" */
size_t skip_glue(const struct reader *reader, size_t at);                        /* over "the", "their", "all" … */
/* Is the table beside it in the question: "price of products", "product price". */
bool table_beside(const struct reader *reader, size_t from, size_t to, size_t table);

/* --- adding to the reading; NULL when it is full (then there is doubt) --- */
struct measure *add_item(struct reader *reader, struct measure measure);
struct filter *add_filter(struct reader *reader, struct filter filter, size_t at);
struct group *add_group(struct reader *reader, struct group group);
struct key *add_key(struct reader *reader, struct measure by, bool falling);
struct branch *add_branch(struct reader *reader, struct branch branch);
void add_related(struct reader *reader, size_t table);
/* Reads "the total amount", "number of orders", "orders" at a place as a measure; the tokens taken, 0: none stands there. */
size_t read_measure(struct reader *reader, size_t at, struct measure *ret_measure);

/* --- stages around the rules --- */
void find_subject(struct reader *reader);                /* read_subject.c; NO_TABLE: none */
bool says_nothing(const struct study *study, size_t at); /* read_glue.c: a word that may be passed over here */
bool turns_meaning(const char *lower);                   /* read_glue.c: "missed", "refused": nothing to pass over */
void judge_coverage(struct study *study);                /* read_glue.c: doubt for words that nothing accounts for */
void finish_waiting(struct reader *reader);              /* read_finish.c */
void finish_groups(struct reader *reader);
void finish_both(struct reader *reader); /* before the others */
void finish_distinct(struct reader *reader);
void finish_qualifiers(struct reader *reader);

/* --- the rules, by file --- */
size_t rule_measure(struct reader *reader, size_t at);     /* read_measure.c: "how many", "average" */
size_t rule_superlative(struct reader *reader, size_t at); /* read_rank.c: "top 5", "the cheapest", "the most" */
size_t rule_group(struct reader *reader, size_t at);       /* read_group.c: "per month", "for each customer" */
size_t rule_order(struct reader *reader, size_t at);       /* read_order.c: "sorted by", "newest first" */
size_t rule_ratio(struct reader *reader, size_t at);       /* read_ratio.c: "what percentage of", "ratio of … to …" */
size_t rule_rate(struct reader *reader, size_t at);        /* read_ratio.c: "cancellation rate" */
size_t rule_time(struct reader *reader, size_t at);        /* read_time.c: "which month", "the busiest day", "year over year" */
size_t rule_table(struct reader *reader, size_t at);       /* read_list.c */
size_t rule_where(struct reader *reader, size_t at);       /* read_list.c: "where is … from" */
size_t rule_column(struct reader *reader, size_t at);      /* read_list.c */
size_t rule_distinct(struct reader *reader, size_t at);    /* read_list.c: "the distinct list of" */
size_t rule_role(struct reader *reader, size_t at);        /* read_list.c: "their manager" */
size_t rule_date(struct reader *reader, size_t at);        /* read_date.c: "since 2020" */
size_t rule_period(struct reader *reader, size_t at);      /* read_period.c: "valid today" */
size_t rule_taking(struct reader *reader, size_t at);      /* read_interval.c: "how long does it take from order to delivery" */
size_t rule_late(struct reader *reader, size_t at);        /* read_period.c: "late", "overdue" */
size_t rule_whole(struct reader *reader, size_t at);       /* read_glue.c: "in our company" */
size_t rule_absence(struct reader *reader, size_t at);     /* read_absence.c: "without orders", "never" */
size_t rule_having(struct reader *reader, size_t at);      /* read_rows.c: "with more than 3 orders" */
size_t rule_sold(struct reader *reader, size_t at);        /* read_rows.c: "products that were sold" */
size_t rule_compare(struct reader *reader, size_t at);     /* read_compare.c: "price over 100" */
size_t rule_value(struct reader *reader, size_t at);       /* read_value.c: "in Berlin", "status is 'open'" */
size_t rule_match(struct reader *reader, size_t at);       /* read_state.c: "contains 'x'" */
size_t rule_null(struct reader *reader, size_t at);        /* read_state.c: "is missing" */
size_t rule_flag(struct reader *reader, size_t at);        /* read_state.c: "active" */

/* What a date is called that a verb is about: "made created order date". */
const char *date_words(struct reader *reader, size_t at);
/* The date column that a verb before `at` is about: "hired", "closed". */
bool date_by_verb(struct reader *reader, size_t at, size_t table, struct place *ret_place);
bool negated_before(const struct reader *reader, size_t at);          /* "not in", "except": marks what it found as explained */
const struct token *token_at(const struct reader *reader, size_t at); /* never NULL: beyond the end stands a mark that is nothing */
bool participle_like(const char *lower);                              /* "booked", "booking" */
/* The column's name holds one of the words said, not only others for them. */
bool says_word(const struct reader *reader, const struct mention *mention, const struct link *link);
/* The table is called by a word said, not by another for it. */
bool says_table(const struct study *study, const struct mention *mention, size_t table);
/* A value of a table that is said only by another word for it: "buyers" are clients of that type. NULL: none. */
const struct link *value_over_synonym(const struct study *study, const struct mention *mention);
/* A word of the column's name is one of the stems, which end with NULL. */
bool named_by(const struct study *study, const struct snap_column *column, const char *const *stems);
/* Amounts, hours, units: what is added up where prices and scores are not. */
bool additive(const struct study *study, const struct snap_column *column);
/* A verb that says only that two things belong together: "operates", "wrote", "led". */
bool verb_neutral(const struct study *study, size_t at);
/* "permit applications": a table's name that only says of which kind the rows behind it are. */
bool only_kind_of(const struct reader *reader, const struct mention *mention);
/* Rows that are worth something near the subject: what "revenue" and "spent" add up. */
bool find_revenue(struct reader *reader, struct measure *ret);
/* Where it stands how many of the rows of a table were sold: in the rows that belong to them, not in a stock. */
bool find_sold(struct reader *reader, size_t table, struct place *ret_place);
bool person_like(const struct study *study, size_t table); /* customers, employees, … */
/* A value of the subject's own that only elsewhere is the name of a column. */
bool only_a_value_here(const struct reader *reader, size_t at);
/* Settles the dates of buckets that were named before what is counted; read_time.c. */
void finish_times(struct reader *reader);
/* Of several keys from one table to another the one that "from" or "to" before `at` means; NULL: neither was said, or no key says so. */
const struct join_edge *role_said_before(const struct reader *reader, size_t at, size_t from, size_t to);

/* Over what stands behind a number and says no more than the column does: "minutes", "MW" of capacity_mw. column may be NULL. */
size_t skip_units(const struct reader *reader, size_t at, const struct snap_column *column);
/* One number of many rows that filter->of is held against ("the average", "the cheapest book"), into the filter. 0: none stands there. */
size_t read_yardstick(struct reader *reader, size_t at, struct filter *filter);
/* "in the stadium with the highest capacity": of the row above that has the extreme, unless rows of `of` are no single ones. */
bool of_extreme_parent(struct reader *reader, struct place of, bool falling, size_t at);
/* The tokens of an adjective, and which column of the table it ranks by, which way. 0: none. */
size_t adjective_ranks(struct reader *reader, size_t at, size_t table, struct place *ret_place, bool *ret_falling);
/* The tokens of an adjective that ranks by this column: "cheapest", of a price. */
size_t adjective_of(struct reader *reader, size_t at, struct place place, bool *ret_falling);
/* "5 minutes" of a column in seconds: 300. The unit, in the tokens up to *to, is taken, too. */
const char *in_one_unit(struct reader *reader, size_t at, const struct snap_column *column); /* "hour" of minutes: 60; NULL: no such unit */
const char *in_columns_unit(struct reader *reader, size_t from, size_t *to, const struct snap_column *column, const char *number);
/* "more than|over|…" at a place: the operator, and the tokens it takes; 0: none. */
size_t read_comparison(const struct reader *reader, size_t at, const char **ret_op);

/* --- ranks --- */
long rows_said(const struct reader *reader, size_t at);  /* how many rows are asked for there; 0: none, or more than anybody reads */
bool ranks_low(const struct reader *reader, size_t at);  /* "lowest" */
bool ranks_high(const struct reader *reader, size_t at); /* "highest" */
/* The table an adjective stands before, or the subject. */
size_t ranked_table(struct reader *reader, size_t at, size_t *ret_noun);
void set_limit(struct reader *reader, size_t noun); /* one, with a note where the noun was plural */
bool per_group(struct reader *reader, size_t at);
/* A column, count or sum that rows are ranked by. */
size_t ranking_measure(struct reader *reader, size_t at, bool count, bool falling, struct measure *ret);
size_t rank_by_adjective(struct reader *reader, size_t at);
/* What a row is ranked by stands in the one table beside it: the pay of an employee. */
bool find_near(struct reader *reader, size_t table, const char *concepts, bool falling, struct measure *ret);
size_t rank_by_done(struct reader *reader, size_t at);              /* read_popular.c: "most played", "best selling" */
size_t rank_by_often(struct reader *reader, size_t at);             /* "used most often" */
size_t rank_by_popularity(struct reader *reader, size_t at);        /* "most popular" */
size_t rank_by_frequency(struct reader *reader, size_t at);         /* "most common" */
bool by_use(struct reader *reader, size_t at, struct measure *ret); /* "used the most" */
/* By the one kind of rows that belong to those asked for. */
bool only_use(struct reader *reader, struct measure *ret);
/* "orders over 100", "deposits of more than 2500": right behind the rows themselves. */
bool behind_rows(const struct reader *reader, size_t at);
/* "order to delivery", behind "time from": the days between two dates of a row. */
size_t read_happenings(struct reader *reader, size_t at, struct measure *ret);
/* What the rows of a table are worth: their amount, or how many for how much. */
bool find_worth(struct reader *reader, size_t table, struct measure *ret);
/* What the rows of a table cost, each of which happened once, where "spend" was said. */
bool find_spent(struct reader *reader, size_t table, struct measure *ret);
bool money_like(const struct reader *reader, size_t at);
bool by_money(struct reader *reader, size_t at, struct measure *ret); /* "spent the most" */
/* The row a key leads to, unless the key itself was asked for. */
struct place entity_of(const struct reader *reader, const struct mention *mention, struct place place);

#endif
