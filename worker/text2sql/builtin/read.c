/* read.c - the order in which rules are asked, and the one pass over the question. */
#include "worker/text2sql/builtin/read.h"

static const read_rule rules[] = {
    rule_whole,   rule_taking, rule_period, rule_late,  rule_date,  rule_rate,    rule_order,       rule_ratio, rule_time,
    rule_absence, rule_having, rule_match,  rule_null,  rule_flag,  rule_compare, rule_superlative, rule_group, rule_measure,
    rule_value,   rule_sold,   rule_role,   rule_table, rule_where, rule_column,  rule_distinct,
};

/* "both pending and cancelled": where the two parts meet. */
static void note_both(struct reader *reader, size_t at) {
  if (!token_is(reader, at, "both") || reader->both) return;
  for (size_t i = at + 2; i < at + 12 && !reader->joint; i++)
    if (token_is(reader, i, "and")) reader->joint = i;
  if (reader->joint) reader->both = at;
}

static void note_clause(struct reader *reader, size_t at) {
  note_both(reader, at);
  if (token_is(reader, at, "both") && at > 0 && token_is(reader, at - 1, "have|has|with|had")) reader->where = true;
  if (token_is(reader, at, "with|whose|that|who|which|where|having|from|in|for|when|if") && at > 0 &&
      !(token_is(reader, at, "for|in|with") && at < 2) &&
      !(token_is(reader, at, "who|which") && token_is(reader, at + 1, "is|are|was|were") && token_is(reader, at + 2, "the"))) {
    if (!token_is(reader, at - 1, "in|of|for") || !token_is(reader, at, "which")) reader->where = true;
    if (token_is(reader, at, "with") && token_is(reader, at + 1, "their|its|the|his")) reader->where = false;
  }
  if (token_is(reader, at, "and|,|along") &&
      token_is(reader, at + 1, "show|list|return|their|its|give|display|include|with|also|how|the")) {
    reader->where =
        reader->where && token_is(reader, at + 1, "the|with") && !study_phrase(reader->study, at + 2, "total|average|number|their");
    reader->branch = reader->where ? reader->branch : 0;
  }
  if (reader->branch && reader->out->branches[reader->branch - 1].apart && token_is(reader, at, "and|but|or|,")) reader->branch = 0;
  if (token_is(reader, at, "and|but|or") && token_is(reader, at + 1, "who|that|whose|have|has|are|is|were|which|did|with"))
    reader->branch = 0;
}

static void explain(struct study *study, size_t from, size_t count) {
  for (size_t i = from; i < from + count && i < study->tokens.count; i++) study->explained[i] = true;
}

static void read_all(struct reader *reader) {
  struct study *study = reader->study;
  static const char idle[] = "his or her|her or his|his/her|he or she|him or her|to his name|to her name|to its name|to their name|"
                             "to their names";
  for (size_t at = 0; at < study->tokens.count && !study->doubt && !study->oom;) {
    size_t taken = study_phrase(study, at, idle);
    note_clause(reader, at);
    size_t filters = reader->out->filter_count;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !taken && !study->doubt; i++) taken = rules[i](reader, at);
    for (size_t i = filters; i < reader->out->filter_count; i++) reader->out->filters[i].end = at + taken;
    if (taken) {
      explain(study, at, taken);
      at += taken;
      continue;
    }
    if (says_nothing(study, at)) study->explained[at] = true;
    if (!token_is(reader, at, "and|,|the|or|by|then|each|of|for|their|its|a|every")) reader->grouping = reader->ordering = false;
    at++;
  }
}

void study_read(struct study *study) {
  struct reader reader = {.study = study, .out = &study->reading};
  study->certainty = 0.95;
  if (study->tokens.cut) {
    study_doubt(study, NULL, "That is a long text. What is the one question in it?");
    return;
  }
  find_subject(&reader);
  if (study->doubt) return;
  if (reader.out->subject == NO_TABLE) {
    study_doubt(study, NULL, "Nothing in the question is the name of a table or column here. What is it about?");
    return;
  }
  study->graph.mentioned = study->mentioned;
  study->graph.drawn = study->drawn;
  read_all(&reader);
  if (!study->doubt) finish_both(&reader);
  if (!study->doubt) finish_times(&reader);
  if (!study->doubt) finish_waiting(&reader);
  if (!study->doubt) finish_groups(&reader);
  if (!study->doubt) judge_coverage(study);
  if (!study->doubt) finish_qualifiers(&reader);
  if (!study->doubt) finish_distinct(&reader);
  if (!study->doubt && !reader.out->listed && !reader.out->item_count && !reader.out->ratio) {
    if (!reader.out->filter_count && !reader.out->key_count && !reader.out->group_count && !reader.out->branch_count)
      study_doubt(study, NULL, "What should be shown of %s?", study_table(study, reader.out->subject)->qualified);
    else
      reader.out->listed = true;
  }
}
