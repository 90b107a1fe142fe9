/* utf8.h - the one judge of UTF-8, as strict as jansson's: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef AUTODB_UTF8_H
#define AUTODB_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Length of the valid character at `text` (1-4, at most len), 0 when the bytes there are not one. */
static inline size_t utf8_char(const char *text, size_t len) {
  const uint8_t *p = (const uint8_t *)text;
  if (!len) return 0;
  if (p[0] < 0x80) return 1;
  size_t need = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || need > len) return 0;
  /* the second byte's range is what rules out overlong forms, surrogates and the far end */
  uint8_t low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
  uint8_t high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < need; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  return need;
}

/* The code point of the valid character of `step` bytes at `text`. */
static inline uint32_t utf8_code(const char *text, size_t step) {
  const uint8_t *p = (const uint8_t *)text;
  if (step == 1) return p[0];
  uint32_t code = p[0] & (0xFFu >> (step + 1));
  for (size_t i = 1; i < step; i++) code = code << 6 | (p[i] & 0x3F);
  return code;
}

/* Columns the text takes in a terminal: two for East Asian scripts and emoji, none for what joins the character before. What is no UTF-8
 * takes one a byte. */
int utf8_columns(const char *text, size_t len);

/* Characters of a valid text. */
static inline size_t utf8_length(const char *text) {
  size_t count = 0;
  for (; *text; text++) count += ((uint8_t)*text & 0xC0) != 0x80;
  return count;
}

/* The largest cut <= at that does not split a character of the (valid) text. */
static inline size_t utf8_cut(const char *text, size_t at) {
  while (at && ((uint8_t)text[at] & 0xC0) == 0x80) at--;
  return at;
}

/* Bytes of the (valid) text, at most `most` of them, that end with a whole character. */
static inline size_t utf8_fit(const char *text, size_t most) {
  size_t len = strnlen(text, most + 1);
  return len > most ? utf8_cut(text, most) : len;
}

#endif
