/* key_filter.h - a predicate on a key inside metadata.
 *
 * The value at the path counts as text (a string's inside, anything else as stored) or, against a literal
 * that is a number, as a number if it is a JSON number. Absent keys, null, and strings that hold no text
 * (\u0000, a lone surrogate) are NULL. */
#ifndef SCAN_KEY_FILTER_H
#define SCAN_KEY_FILTER_H

#include "scan/hold.h"
#include "scan/predicate.h"

/* Does a row's metadata (data NULL: it has none) satisfy the predicate? Strings are unescaped into scratch,
 * whose memory is h's. */
int key_filter_passes(const struct predicate *p, tally_text metadata, struct hold *h, struct buffer *scratch,
                      bool *passes, tally_error *error);

#endif
