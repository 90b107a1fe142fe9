/* utf8.c - columns: what the C library knows of characters, in a locale of our own, whatever the process has. */
#include "common/utf8.h"

#include <locale.h>
#include <pthread.h>
#include <wchar.h>

static locale_t unicode;
static void open_locale(void) { unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); }

int utf8_columns(const char *text, size_t len) {
  static pthread_once_t opened = PTHREAD_ONCE_INIT;
  int columns = 0;
  pthread_once(&opened, open_locale);
  locale_t before = unicode ? uselocale(unicode) : (locale_t)0;
  for (size_t at = 0, step; at < len; at += step ? step : 1) {
    step = utf8_char(text + at, len - at);
    int width = step && unicode ? wcwidth((wchar_t)utf8_code(text + at, step)) : 1;
    columns += width < 0 ? 1 : width; /* it has none: a control, or one that is not assigned */
  }
  if (before) uselocale(before);
  return columns;
}
