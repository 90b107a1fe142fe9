/* pgsettings.c - libpq takes the string apart, so every form and quoting is understood; see pgsettings.h. */
#include "common/pgsettings.h"

#include <libpq-fe.h>

#include "common/buf.h"

#define CONNINFO_BYTES (64 * 1024)

static void put_value(struct buf *out, const char *value) {
  for (; *value; value++) {
    if (*value == '\'' || *value == '\\') buf_putc(out, '\\');
    buf_putc(out, *value);
  }
}

char *pgsettings_add(const char *conninfo, const char *settings) {
  PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
  if (!options) return NULL;
  struct buf out;
  buf_init(&out, CONNINFO_BYTES);
  for (const PQconninfoOption *option = options; option->keyword; option++) {
    bool is_options = strcmp(option->keyword, "options") == 0;
    if (!option->val && !is_options) continue;
    buf_printf(&out, "%s='", option->keyword);
    put_value(&out, option->val ? option->val : "");
    if (is_options) buf_printf(&out, " %s", settings);
    buf_puts(&out, "' ");
  }
  PQconninfoFree(options);
  return buf_take(&out);
}
