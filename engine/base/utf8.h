/* utf8.h - what counts as text: UTF-8 as in RFC 3629 (no overlong form, no surrogate, at most
 * U+10FFFF) with no NUL byte. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* True if the bytes are text; then *characters (if not NULL) is their number of code points. */
bool utf8_text(const char *data, size_t size, size_t *characters);
/* The length of the longest prefix that is text: where the first fault is. */
size_t utf8_prefix(const char *data, size_t size);

#endif
