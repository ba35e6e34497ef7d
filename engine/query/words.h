/* words.h - the smallest parts of a request's texts: pieces, spaces, keywords, lists.
 *
 * Space is any of blank, tab, CR, LF. Keywords are compared in any case. A list is cut at commas that do not
 * stand inside "…" (a quoted metadata key). */
#ifndef QUERY_WORDS_H
#define QUERY_WORDS_H

#include <stdbool.h>
#include <stddef.h>

struct piece {
  const char *at, *end;
};

#define PIECE_FORMAT "%.*s"
#define PIECE_ARGS(p) piece_shown(p), (p).at
#define PIECE_SHOWN 160 /* bytes of a piece that a message repeats */

struct piece piece_of(const char *text); /* of a NUL-terminated text */
static inline size_t piece_size(struct piece p) { return (size_t)(p.end - p.at); }
int piece_shown(struct piece p); /* bytes to show: at most PIECE_SHOWN, cut at a character */
bool is_space(char c);
struct piece piece_skip(struct piece p); /* without leading space */
struct piece piece_trim(struct piece p); /* without space on both ends */
bool piece_equal(struct piece a, struct piece b);
bool piece_is(struct piece p, const char *keyword);
/* Takes the keyword if the text starts with it, as a word of its own. */
bool piece_take(struct piece *p, const char *keyword);
/* Takes the next item of a list, trimmed; false at its end. A list of n commas has n + 1 items. Start with
 * *done false. */
bool piece_item(struct piece *list, bool *done, struct piece *item);
size_t piece_items(struct piece list); /* how many piece_item will give */

#endif
