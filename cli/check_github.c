/* check_github.c - workflow commands of GitHub Actions: they become annotations in the diff. */
#include "cli/check.h"

#define ADVICE_MAX 2000

/* Data of a command: % and line ends; in a property ':' and ',' as well. */
static void put_escaped(FILE *out, const char *text, bool property) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ',')))
      fprintf(out, "%%%02X", c);
    else
      putc(c < 0x20 && c != '\t' ? '?' : c, out);
  }
}

static void put_note(void *arg, const struct check_note *note) {
  static const char *const commands[] = {"notice", "warning", "error"};
  FILE *out = arg;
  if (note->suppressed) return;
  fprintf(out, "::%s file=", commands[note->level]);
  put_escaped(out, note->file->path, true);
  fprintf(out, ",line=%d", note->line > 0 ? note->line : 1);
  if (note->end_line > note->line) fprintf(out, ",endLine=%d", note->end_line);
  if (note->column > 0) fprintf(out, ",col=%d", note->column);
  fputs(",title=", out);
  put_escaped(out, note->rule, true);
  fputs("::", out);
  put_escaped(out, note->message, false);
  if (note->advice && strlen(note->advice) <= ADVICE_MAX) {
    fputs("%0ASafer:%0A", out);
    put_escaped(out, note->advice, false);
  }
  putc('\n', out);
}

void check_print_github(FILE *out, const struct check_list *list, const struct check_summary *sum) {
  check_result_notes(list, put_note, out);
  fprintf(out, "autodb check: %d files, %d errors, %d warnings, %d infos, highest risk %d\n", sum->files, sum->errors, sum->warnings,
          sum->infos, sum->score);
}
