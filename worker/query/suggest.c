/* suggest.c - see suggest.h. */
#include "worker/query/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, WORDS_MAX = 12 };
#define LEAST 0.5 /* likeness below which a name is another word, not a slip */

/* Optimal string alignment over bytes: three rows. */
static int edit_distance(const char *a, int a_len, const char *b, int b_len) {
  int rows[3][NAME_MAX_BYTES + 1];
  for (int j = 0; j <= b_len; j++) rows[0][j] = j;
  for (int i = 1; i <= a_len; i++) {
    int *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= b_len; j++) {
      int changed = last[j - 1] + (a[i - 1] != b[j - 1]), least = last[j] + 1;
      if (now[j - 1] + 1 < least) least = now[j - 1] + 1;
      if (changed < least) least = changed;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < least) least = before[j - 2] + 1;
      now[j] = least;
    }
  }
  return rows[a_len % 3][b_len];
}

static int lowered(const char *name, char out[NAME_MAX_BYTES + 1]) {
  int len = 0;
  for (; name[len] && len < NAME_MAX_BYTES; len++) out[len] = (char)tolower((unsigned char)name[len]);
  out[len] = '\0';
  return len;
}

struct words {
  const char *at[WORDS_MAX];
  int length[WORDS_MAX], count;
};

/* Words end at what is no letter or digit, and where a small letter meets a capital one; a plural's s is left out. */
static void split(const char *name, struct words *words) {
  words->count = 0;
  for (const char *p = name; *p && words->count < WORDS_MAX;) {
    while (*p && !isalnum((unsigned char)*p)) p++;
    const char *start = p;
    while (isalnum((unsigned char)*p) && (p == start || !(islower((unsigned char)p[-1]) && isupper((unsigned char)*p)))) p++;
    int length = (int)(p - start);
    if (length > 3 && tolower((unsigned char)p[-1]) == 's') length--;
    if (length) {
      words->at[words->count] = start;
      words->length[words->count++] = length;
    }
  }
}

static double word_overlap(const char *a, const char *b) {
  struct words left, right;
  split(a, &left);
  split(b, &right);
  int common = 0;
  bool used[WORDS_MAX] = {false};
  for (int i = 0; i < left.count; i++)
    for (int j = 0; j < right.count; j++)
      if (!used[j] && left.length[i] == right.length[j] && strncasecmp(left.at[i], right.at[j], (size_t)left.length[i]) == 0) {
        used[j] = true;
        common++;
        break;
      }
  return left.count + right.count ? 2.0 * common / (left.count + right.count) : 0;
}

double suggest_likeness(const char *a, const char *b) {
  char left[NAME_MAX_BYTES + 1], right[NAME_MAX_BYTES + 1];
  int left_len = lowered(a, left), right_len = lowered(b, right), longer = left_len > right_len ? left_len : right_len;
  if (longer == 0) return 0;
  double edits = 1.0 - (double)edit_distance(left, left_len, right, right_len) / longer, words = 0.95 * word_overlap(a, b);
  return edits > words ? edits : words;
}

void suggest_offer(struct suggest *suggest, const char *name, const char *shown, double bonus) {
  double score = suggest_likeness(suggest->wanted, name);
  if (score < LEAST) return;
  score += bonus;
  for (int i = 0; i < SUGGEST_COUNT; i++)
    if (suggest->best[i] && strcmp(suggest->best[i], shown) == 0) return;
  int place = SUGGEST_COUNT;
  while (place > 0 && (!suggest->best[place - 1] || score > suggest->scores[place - 1])) place--;
  if (place == SUGGEST_COUNT) return;
  for (int i = SUGGEST_COUNT - 1; i > place; i--) {
    suggest->best[i] = suggest->best[i - 1];
    suggest->scores[i] = suggest->scores[i - 1];
  }
  suggest->best[place] = shown;
  suggest->scores[place] = score;
}
