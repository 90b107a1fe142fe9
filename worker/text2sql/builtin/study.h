/* study.h - one question being understood: what each stage finds out, in the order of the stages.
 *
 *   tokens  what stands there                        tokens.h
 *   names   what the schema is called                names.h, joins.h
 *   links   which words may mean which part of it    link.c, values.c
 *   reading what is asked: list, aggregates, filters read*.c, by rules that each take some words; settle*.c
 *   text    the tables it takes, the statement       write*.c
 *   answer  how it was read; or what to ask back     explain.c, builtin.c
 *
 * Everything lives in the caller's arena. When it is exhausted `oom` is set and the stages end. */
#ifndef AUTODB_BUILTIN_STUDY_H
#define AUTODB_BUILTIN_STUDY_H

#include "worker/text2sql/builtin/dates.h"
#include "worker/text2sql/builtin/joins.h"
#include "worker/text2sql/builtin/names.h"
#include "worker/text2sql/builtin/tokens.h"
#include "worker/text2sql/generator.h"

#define NO_TABLE ((size_t)-1)

/* --- links --- */
enum link_kind { LINK_TABLE, LINK_COLUMN, LINK_FLAG, LINK_VALUE, LINK_ROLE, LINK_TERM };
struct link {
  enum link_kind kind;
  double score;
  size_t table;
  const struct snap_column *column;
  const char *value;            /* as stored */
  bool negative;                /* flag, value: the word says its opposite ("unpaid") */
  const struct join_edge *edge; /* role */
  const struct generator_term *term;
};
#define MENTION_LINKS 24
struct mention {   /* some words that mean something here */
  size_t from, to; /* tokens */
  struct link links[MENTION_LINKS];
  size_t count;
  bool verb; /* "ordered", "enrolled": what was done, not what it was done to */
};

/* --- reading --- */
struct place { /* a column in a role its table plays */
  size_t table;
  const struct snap_column *column;
  const struct join_edge *role;
};
enum measure_kind { MEASURE_NONE, MEASURE_COUNT, MEASURE_SUM, MEASURE_AVG, MEASURE_MIN, MEASURE_MAX, MEASURE_MEDIAN };
struct measure { /* what stands in the list, in an order or beside a number */
  enum measure_kind kind;
  bool distinct;
  struct place of;                   /* column NULL: rows of the table */
  struct place times;                /* column set: of * times */
  const struct place *until;         /* days from `of` to here */
  const struct generator_term *term; /* an expression of a document, aggregate and all */
  bool hidden;                       /* needed, not asked for */
};
struct group {
  struct place of;       /* column NULL: each row of the table; table NO_TABLE: the date of what is counted, settled at the end */
  enum date_unit bucket; /* of a date */
  bool each;             /* "in each": what is ranked is ranked within it */
  size_t at;             /* token of a bucket that waits for its date */
};
enum filter_kind {
  FILTER_COMPARE,
  FILTER_IN,
  FILTER_DATE,
  FILTER_NULL,
  FILTER_FLAG,
  FILTER_LIKE,
  FILTER_THAN, /* held against one number of many rows */
  FILTER_ROLE,
  FILTER_TERM
};
struct filter {
  enum filter_kind kind;
  struct place of;
  const char *op;      /* COMPARE, THAN, ROLE */
  const char *literal; /* SQL; COMPARE, LIKE */
  const char *upper;   /* COMPARE: BETWEEN literal AND upper */
  const char **values; /* IN: as stored, unquoted */
  size_t value_count;
  struct date_range range;
  const struct place *until; /* COMPARE: days from `of` to here */
  enum measure_kind than;    /* THAN: which number */
  const char *factor;        /* THAN: so many times it; NULL: once */
  struct place within;       /* THAN: of the rows that have this in common with the one at hand; column NULL: of all */
  size_t inside;             /* THAN: the branch that says of which rows; 0: all */
  const struct generator_term *term;
  bool negated, insensitive;
  bool either;    /* OR with the filter before it */
  int side;       /* 1, 2: of one of two lists that are intersected; 0: of both */
  size_t branch;  /* 0: of the whole; else of branches[branch - 1] */
  size_t at, end; /* tokens, for ratios, "or" and the explanation */
};
struct branch { /* rows of another table that there must be, must not be, or be so many of */
  size_t table;
  bool absent;
  bool apart; /* no condition: rows that a number is taken of, for a filter */
  struct measure measure;
  const char *op, *literal; /* what it is compared with; NULL: that there are any */
};
struct key {
  struct measure by;
  bool falling;
};
#define READING_ROWS 24
struct reading {
  size_t subject; /* the table asked about */
  bool listed;    /* its rows are wanted */
  struct measure items[READING_ROWS];
  size_t item_count;
  struct group groups[READING_ROWS];
  size_t group_count;
  struct filter filters[READING_ROWS];
  size_t filter_count;
  struct branch branches[READING_ROWS];
  size_t branch_count;
  struct key keys[READING_ROWS];
  size_t key_count;
  size_t related[READING_ROWS]; /* tables that must take part */
  size_t related_count;
  const struct generator_term *metric;
  long limit, offset;  /* limit 0: none */
  bool distinct, each; /* each: the limit holds within each group */
  bool ratio, percent; /* of the rows, those that filters from `ratio_verb` on hold for */
  bool nested_average; /* the average, over the groups, of the count */
  bool with_none;      /* groups without rows, too */
  bool both;           /* what is in two lists: filters of side 1 make one, those of side 2 the other */
  int side;            /* of them, that is written now */
  bool running;        /* beside each stretch of time the sum up to it */
  bool change;         /* beside each stretch of time the one before it, and the change in percent */
  size_t ratio_from, ratio_noun, ratio_verb;
  size_t ratio_to; /* "ratio of A to B": the token between them; 0: a share of all */
};

struct study {
  struct arena *arena;
  const struct generator_request *request;
  const struct snapshot *snapshot;
  struct words *words;
  struct tokens tokens;
  struct names names;
  struct join_graph graph;
  struct mention *mentions;
  size_t mention_count;
  struct spans *spans;                  /* private to link.c */
  const bool *near;                     /* by table: values were looked for there only; NULL: everywhere */
  const struct mention *at[TOKENS_MAX]; /* the mention that begins at a token */
  double *distances;                    /* by table, from the subject; 0: not measured yet */
  bool *drawn;                          /* by table: a verb is about it */
  bool *mentioned;                      /* by table */
  bool explained[TOKENS_MAX];           /* the reading accounts for this word */
  struct reading reading;
  const char *doubt;    /* why there is no answer: a question back */
  const char **choices; /* NULL-terminated, or NULL */
  const char **notes;   /* warnings */
  size_t note_count;
  double certainty;
  bool oom, values_partial;
};

/* --- the stages --- */
/* False: out of memory. Values are looked for near the tables that are named, or everywhere. */
bool study_links(struct study *study, bool everywhere);
typedef struct link *(*link_adder)(struct study *study, size_t from, size_t to, struct link link);
void study_values(struct study *study, link_adder add);
void study_phrases(struct study *study, link_adder add); /* names said in more words than they have */
void study_read(struct study *study);                    /* fills reading; doubt when it can't */
const char *study_write(struct study *study);            /* NULL with doubt set when tables don't join */
const char *study_explain(struct study *study);

/* --- helpers --- */
/* How many tokens at `at` one of the alternatives takes: "number of|count of"; 0: none. "#" stands for a number. */
size_t study_phrase(const struct study *study, size_t at, const char *alternatives);
bool study_glue(const char *lower); /* a word that only holds others together */
void study_doubt(struct study *study, const char *const *choices, const char *fmt, ...) PRINTF_LIKE(3, 4);
void study_note(struct study *study, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* text, then `joint` unless it is empty, then more. */
const char *study_cat(struct study *study, const char *text, const char *joint, const char *more);
const struct snap_table *study_table(const struct study *study, size_t table);
double study_distance(struct study *study, size_t from, size_t to); /* of a path; 99 without one */
bool study_belongs(struct study *study, size_t from, size_t to);    /* each row of the one to a row of the other */
/* What a row is called by: up to 2 columns (first and last name); 0: nothing but its key. */
size_t study_display(struct study *study, size_t table, const struct snap_column *ret_columns[2]);
const char *study_words(struct study *study, size_t from, size_t to); /* as they stand in the question */
const struct link *mention_best(const struct mention *mention, enum link_kind kind);

#endif
