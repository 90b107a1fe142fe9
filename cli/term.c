#include "cli/term.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/utf8.h"

#define TERM_WIDTH_MIN 72
#define TERM_WIDTH_MAX 100
#define TERM_WIDTH_NONE 96 /* when it is no terminal */
#define TERM_TEXT_MAX (16 * 1024 * 1024)

static const char *const codes[] = {
    [TERM_PLAIN] = "",          [TERM_BOLD] = "\033[1m", [TERM_DIM] = "\033[2m",      [TERM_GREEN] = "\033[32m",
    [TERM_YELLOW] = "\033[33m", [TERM_RED] = "\033[31m", [TERM_MAGENTA] = "\033[35m", [TERM_CYAN] = "\033[36m"};

void term_init(struct term *term, FILE *out) {
  struct winsize size = {0};
  const char *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
  bool terminal = isatty(fileno(out));
  *term = (struct term){.out = out, .width = TERM_WIDTH_NONE};
  if (!terminal) return;
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) term->width = size.ws_col;
  if (term->width < TERM_WIDTH_MIN) term->width = TERM_WIDTH_MIN;
  if (term->width > TERM_WIDTH_MAX) term->width = TERM_WIDTH_MAX;
  term->colour = !(no_colour && *no_colour) && !(kind && strcmp(kind, "dumb") == 0);
}

/* Names and messages come from other people's databases: an escape sequence in one must not reach the terminal. C1 controls are two bytes
 * in UTF-8. */
static void put_safe(const struct term *term, const char *text, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    bool c1 = c == 0xC2 && i + 1 < len && (unsigned char)text[i + 1] < 0xA0;
    if (c1) i++;
    if (c == '\t')
      fputs("  ", term->out);
    else
      putc((c < 0x20 && c != '\n') || c == 0x7F || c1 ? '?' : c, term->out);
  }
}

static void put_styled(const struct term *term, enum term_style style, const char *text, size_t len) {
  bool styled = term->colour && style != TERM_PLAIN && len > 0;
  if (styled) fputs(codes[style], term->out);
  put_safe(term, text, len);
  if (styled) fputs("\033[0m", term->out);
}

void term_printf(const struct term *term, enum term_style style, const char *fmt, ...) {
  va_list args;
  char *text = NULL;
  va_start(args, fmt);
  int len = vasprintf(&text, fmt, args);
  va_end(args);
  if (len >= 0) put_styled(term, style, text, (size_t)len);
  if (len >= 0) free(text);
}

static void pad(const struct term *term, int count) {
  if (count > 0) fprintf(term->out, "%*s", count, "");
}

/* Words of one line of text, in the columns from `column` on. */
static void wrap_line(const struct term *term, int column, enum term_style style, const char *text, size_t len) {
  int at = column;
  size_t i = strspn(text, " ");
  if (i < len && i <= 8) { // an indented line of SQL keeps its indentation
    pad(term, (int)i);
    at += (int)i;
  }
  // A word that does not fit begins the next line; one longer than a line stands alone.
  while (i < len) {
    size_t word = strcspn(text + i, " \n"), gap = strspn(text + i + word, " ");
    put_styled(term, style, text + i, word);
    at += utf8_columns(text + i, word);
    i += word + gap;
    if (i >= len) break;
    if (at + 1 + utf8_columns(text + i, strcspn(text + i, " \n")) <= term->width) {
      putc(' ', term->out);
      at++;
    } else {
      putc('\n', term->out);
      pad(term, column);
      at = column;
    }
  }
}

void term_para(const struct term *term, int indent, int column, enum term_style label_style, const char *label, enum term_style style,
               const char *text) {
  pad(term, indent);
  put_styled(term, label_style, label, strlen(label));
  int used = indent + utf8_columns(label, strlen(label));
  if (used >= column && *label) column = used + 1;
  pad(term, column - used);
  for (;;) {
    size_t len = strcspn(text, "\n");
    wrap_line(term, column, style, text, len);
    putc('\n', term->out);
    text += len;
    while (*text == '\n') text++;
    if (!*text) return;
    pad(term, column);
  }
}

void term_block(const struct term *term, int indent, enum term_style style, const char *text) {
  while (*text) {
    size_t len = strcspn(text, "\n");
    if (len) pad(term, indent);
    put_styled(term, style, text, len);
    putc('\n', term->out);
    text += len + (text[len] == '\n');
  }
}

void term_heading(const struct term *term, const char *title) {
  putc('\n', term->out);
  put_styled(term, TERM_BOLD, title, strlen(title));
  putc('\n', term->out);
}
