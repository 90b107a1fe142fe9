/* format_csv.c - tables as text (RFC 4180, and its cousins with other signs): the head goes with each passage of rows. */
#include <strings.h>

#include "worker/context/extract.h"

#define LOOKED_AT 20 /* records that are held against each other */
#define FIELDS_MAX 4096

static const char signs[] = ",;\t|";

/* Where the record that begins at `from` ends (at its line end, or at len), and how many fields it has. */
static size_t record_end(const char *text, size_t len, size_t from, char sign, int *ret_fields) {
  int fields = 1;
  bool quoted = false, field_begins = true;
  size_t at = from;
  for (; at < len; at++) {
    char c = text[at];
    if (quoted) {
      quoted = c != '"';
    } else if (c == '"' && (field_begins || (at > from && text[at - 1] == '"'))) {
      quoted = true;
    } else if (c == sign) {
      fields++;
      field_begins = true;
      continue;
    } else if (c == '\n' || c == '\r') {
      break;
    }
    field_begins = false;
  }
  *ret_fields = fields;
  return at;
}

static size_t next_record(const char *text, size_t len, size_t end) {
  if (end < len && text[end] == '\r') end++;
  if (end < len && text[end] == '\n') end++;
  return end;
}

/* Every record looked at has as many fields as the first. */
static bool agrees(const char *text, size_t len, char sign, int least_fields, int least_records) {
  int fields = 0, records = 0;
  for (size_t at = 0; at < len && records < LOOKED_AT;) {
    int have = 0;
    size_t end = record_end(text, len, at, sign, &have);
    if (end > at) { /* not an empty line */
      if (records && have != fields) return false;
      fields = have;
      records++;
    }
    at = next_record(text, len, end);
  }
  return records >= least_records && fields >= least_fields && fields <= FIELDS_MAX;
}

static char sign_of(const char *text, size_t len, bool named) {
  for (const char *sign = signs; *sign; sign++)
    if (agrees(text, len, *sign, named ? 2 : 3, named ? 1 : 3)) return *sign;
  return named ? ',' : '\0';
}

/* A table of Markdown has bars, too, and its second line gives it away. */
static bool is_csv(const char *bytes, size_t len, bool named) {
  if (named) return true;
  return len && *bytes != '|' && *bytes != '#' && *bytes != '{' && *bytes != '[' && *bytes != '<' && sign_of(bytes, len, false) != '\0';
}

/* Excel's first line, which says how fields are parted: "sep=;". Its length, or 0. */
static size_t sign_line(const char *bytes, size_t len, char *ret_sign) {
  if (len < 6 || strncasecmp(bytes, "sep=", 4) != 0 || !strchr(signs, bytes[4]) || !strchr("\r\n", bytes[5])) return 0;
  *ret_sign = bytes[4];
  return next_record(bytes, len, 5);
}

static bool is_empty(const char *text, size_t from, size_t to, char sign) {
  while (from < to && (text[from] == sign || text[from] == ' ' || text[from] == '\t')) from++;
  return from == to;
}

/* Rows are whole, blanks at their ends too: a tab may be an empty field. */
static enum status read_csv(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  char sign = '\0';
  size_t first = sign_line(bytes, len, &sign), head = 0, head_to = 0;
  (void)err;
  if (!first) sign = sign_of(bytes, len, true);
  for (size_t at = first; at < len;) {
    int fields;
    size_t end = record_end(bytes, len, at, sign, &fields);
    struct block row = {.kind = BLOCK_ROW, .from = at, .to = end, .head = head, .head_to = head_to};
    bool empty = is_empty(bytes, at, end, sign);
    if (!empty && head == head_to)
      head = at, head_to = end;
    else if (!empty && !extractor_block(extractor, row))
      break;
    at = next_record(bytes, len, end);
  }
  if (!extractor->count) extractor_span(extractor, BLOCK_TEXT, 0, bytes, 0, len); /* a head alone */
  return OK;
}

const struct format format_csv = {.content_type = "text/csv", .is = is_csv, .extensions = "csv tsv", .read = read_csv};
