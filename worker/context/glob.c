/* glob.c - see glob.h. All places of the pattern that the text so far can have led to are kept at once, so that no pattern makes it go
 * back. */
#include "worker/context/glob.h"

#include <stddef.h>
#include <string.h>

/* The places reached; one beyond the last character is the end. */
struct places {
  bool at[GLOB_BYTES + 1];
};

/* Where the class that begins at `open` ends (its ']'), or 0 when it isn't closed and so is a plain bracket. */
static size_t class_end(const char *pattern, size_t open) {
  size_t at = open + 1;
  if (pattern[at] == '!') at++;
  if (pattern[at] == ']') at++;
  while (pattern[at] && pattern[at] != ']') at++;
  return pattern[at] ? at : 0;
}

static bool class_has(const char *pattern, size_t open, size_t end, unsigned char c) {
  size_t at = open + 1;
  bool inverse = pattern[at] == '!', has = false;
  for (at += inverse; at < end; at++) {
    unsigned char from = (unsigned char)pattern[at], to = from;
    if (pattern[at + 1] == '-' && at + 2 < end) to = (unsigned char)pattern[at += 2];
    if (c >= from && c <= to) has = true;
  }
  return has != inverse;
}

/* What is reached without a character: the place after a star, and the one after the folders of "**" and a slash. */
static void spread(const char *pattern, size_t len, struct places *places) {
  for (size_t i = 0; i < len; i++) {
    if (!places->at[i] || pattern[i] != '*') continue;
    places->at[i + 1] = true;
    if (strncmp(pattern + i, "**/", 3) == 0) places->at[i + 3] = true;
  }
}

static void step(const char *pattern, size_t len, const struct places *from, unsigned char c, struct places *to) {
  memset(to->at, 0, len + 1);
  for (size_t i = 0; i < len; i++) {
    size_t end;
    if (!from->at[i]) continue;
    if (pattern[i] == '*')
      to->at[i] = true;
    else if (pattern[i] == '[' && (end = class_end(pattern, i)))
      to->at[end + 1] = to->at[end + 1] || class_has(pattern, i, end, c);
    else if (pattern[i] == '?' || (unsigned char)pattern[i] == c)
      to->at[i + 1] = true;
  }
}

bool glob_match(const char *pattern, const char *text) {
  size_t len = strlen(pattern);
  struct places now = {.at = {true}}, next;
  if (len > GLOB_BYTES) return false;
  spread(pattern, len, &now);
  for (; *text; text++) {
    step(pattern, len, &now, (unsigned char)*text, &next);
    spread(pattern, len, &next);
    memcpy(now.at, next.at, len + 1);
  }
  return now.at[len];
}
