/* words.c - see words.h. */
#include "query/words.h"

#include <string.h>

struct piece piece_of(const char *text) {
  return (struct piece){text, text + strlen(text)};
}

int piece_shown(struct piece p) {
  if (piece_size(p) <= PIECE_SHOWN) return (int)piece_size(p);
  int n = PIECE_SHOWN;
  while (n > 0 && ((unsigned char)p.at[n] & 0xC0) == 0x80) n--;
  return n;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct piece piece_skip(struct piece p) {
  while (p.at < p.end && is_space(*p.at)) p.at++;
  return p;
}

struct piece piece_trim(struct piece p) {
  p = piece_skip(p);
  while (p.end > p.at && is_space(p.end[-1])) p.end--;
  return p;
}

bool piece_equal(struct piece a, struct piece b) {
  return piece_size(a) == piece_size(b) && memcmp(a.at, b.at, piece_size(a)) == 0;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool piece_is(struct piece p, const char *keyword) {
  size_t n = strlen(keyword);
  if (piece_size(p) != n) return false;
  for (size_t i = 0; i < n; i++)
    if (lower(p.at[i]) != keyword[i]) return false;
  return true;
}

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (unsigned char)c >= 0x80;
}

bool piece_take(struct piece *p, const char *keyword) {
  size_t n = strlen(keyword);
  if (piece_size(*p) < n || !piece_is((struct piece){p->at, p->at + n}, keyword)) return false;
  if (p->at + n < p->end && is_word(p->at[n])) return false;
  p->at += n;
  return true;
}

bool piece_item(struct piece *list, bool *done, struct piece *item) {
  if (*done) return false;
  bool quoted = false;
  const char *at = list->at;
  for (; at < list->end && (quoted || *at != ','); at++)
    if (*at == '"') quoted = !quoted;
  *item = piece_trim((struct piece){list->at, at});
  *done = at == list->end;
  list->at = *done ? at : at + 1;
  return true;
}

size_t piece_items(struct piece list) {
  struct piece item;
  size_t n = 0;
  for (bool done = false; piece_item(&list, &done, &item);) n++;
  return n;
}
