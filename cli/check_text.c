/* check_text.c - for people: a line for each file, its findings below, one line at the end. */
#include "cli/check.h"
#include "cli/term.h"
#include "common/json.h"

#define PLACE_COLUMN 3
#define MESSAGE_COLUMN 11

struct page {
  struct term term;
  const struct check_file *file; /* whose heading was printed last */
};

static enum term_style score_style(int score) {
  return score >= 75 ? TERM_MAGENTA : score >= 50 ? TERM_RED : score >= 25 ? TERM_YELLOW : TERM_GREEN;
}

static void print_sandbox(const struct term *term, const json_t *report) {
  static const struct {
    const char *name, *text;
    enum term_style style;
  } outcomes[] = {{"passed", "ran in a clone", TERM_GREEN},
                  {"failed", "fails in a clone", TERM_RED},
                  {"unparsed", "can't be parsed", TERM_RED},
                  {"unavailable", "not run", TERM_YELLOW}};
  const char *sandbox = check_result_sandbox(report, NULL);
  for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
    if (strcmp(outcomes[i].name, sandbox) == 0) term_printf(term, outcomes[i].style, ", %s", outcomes[i].text);
  const json_t *verified = json_object_get(json_object_get(report, "sandbox_result"), "rollback_verified");
  if (json_is_true(verified)) term_printf(term, TERM_GREEN, ", rollback verified");
  if (json_is_false(verified)) term_printf(term, TERM_RED, ", rollback not verified");
  if (json_bool(json_object_get(report, "rollback_plan"), "has_irreversible", false)) term_printf(term, TERM_YELLOW, ", irreversible");
}

static void print_heading(struct page *page, const struct check_file *file) {
  page->file = file;
  term_printf(&page->term, TERM_BOLD, "%s", file->path);
  if (file->result) {
    int score = (int)json_int(file->result, "risk_score", 0);
    term_printf(&page->term, score_style(score), "  %s %d", json_str(file->result, "risk_category", "low"), score);
    print_sandbox(&page->term, file->result);
  }
  term_printf(&page->term, TERM_PLAIN, "\n");
}

static void print_note(void *arg, const struct check_note *note) {
  static const enum term_style styles[] = {TERM_CYAN, TERM_YELLOW, TERM_RED};
  static const char *const names[] = {"info", "warning", "error"};
  const struct page *page = arg;
  char place[24], rule[160];
  if (note->file != page->file) return;
  if (note->suppressed) {
    snprintf(place, sizeof place, "%d", note->line);
    snprintf(rule, sizeof rule, "%.100s suppressed", note->rule);
    term_para(&page->term, PLACE_COLUMN, MESSAGE_COLUMN, TERM_DIM, place, TERM_DIM, rule);
    return;
  }
  snprintf(place, sizeof place, "%d", note->line);
  snprintf(rule, sizeof rule, "%s %.100s", names[note->level], note->rule);
  term_para(&page->term, PLACE_COLUMN, MESSAGE_COLUMN, TERM_DIM, place, styles[note->level], rule);
  term_para(&page->term, MESSAGE_COLUMN, MESSAGE_COLUMN, TERM_PLAIN, "", TERM_PLAIN, note->message);
  if (note->advice) term_block(&page->term, MESSAGE_COLUMN + 2, TERM_CYAN, note->advice);
}

static void print_safer(const struct term *term, const json_t *report) {
  const json_t *safer = json_object_get(report, "safer_migration");
  if (!json_bool(safer, "sandbox_passed", false)) return;
  term_para(term, PLACE_COLUMN, PLACE_COLUMN, TERM_PLAIN, "", TERM_BOLD, "A safer way to the same schema, tried in the sandbox:");
  term_block(term, MESSAGE_COLUMN, TERM_CYAN, json_str(safer, "script", ""));
}

static void print_file(struct page *page, struct check_file *file) {
  print_heading(page, file);
  check_result_notes(&(struct check_list){.items = file, .count = 1}, print_note, page);
  print_safer(&page->term, file->result);
}

static const char *plural(int count) { return count == 1 ? "" : "s"; }

void check_print_text(FILE *out, const struct check_list *list, const struct check_summary *sum) {
  struct page page = {0};
  term_init(&page.term, out);
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].reported) print_file(&page, &list->items[i]);
  term_printf(&page.term, sum->over || sum->failed ? TERM_RED : TERM_GREEN, "%d file%s: %d error%s, %d warning%s, %d info", sum->files,
              plural(sum->files), sum->errors, plural(sum->errors), sum->warnings, plural(sum->warnings), sum->infos);
  if (sum->suppressed) term_printf(&page.term, TERM_DIM, ", %d suppressed", sum->suppressed);
  if (sum->sandbox_failed) term_printf(&page.term, TERM_RED, ", %d failing", sum->sandbox_failed);
  if (sum->failed) term_printf(&page.term, TERM_RED, ", %d not checked", sum->failed);
  if (sum->not_run) term_printf(&page.term, TERM_YELLOW, ", %d not run", sum->not_run);
  term_printf(&page.term, TERM_PLAIN, "; highest risk %d (%s)\n", sum->score, analysis_category(sum->score));
}
