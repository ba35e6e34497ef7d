/* texts.h - sequences of byte strings in few bytes (docs/format/integers-and-texts.md): metadata chunks and
 * catalog blocks.
 *
 *   RAW       lengths (ints) and the bytes
 *   LZ4       lengths (ints) and one LZ4 block of the bytes, where that is at least 3 % smaller
 *   CONST     one string, as all are equal
 *   DECIMAL   numbers in decimal without leading zeros: mantissas (ints) and numbers of decimals (ints)
 *   PATTERN   strings of one length that differ in hexadecimal digits only: half a byte for each of these
 *   DICT      the distinct strings (a sequence) and indexes (ints)
 *   TEMPLATE  strings that differ only in their variable parts (JSON of one maker): a table of templates; per
 *             row a template number (ints), and the variable parts as columns (each a sequence of any scheme
 *             above)
 * Every byte comes back, of any bytes: nothing has to be JSON or text. The chooser takes the smallest by
 * exact size of those that a look at the data leaves in the race. texts_decode trusts no number and bounds
 * the memory before it is allocated. */
#ifndef ENCODING_TEXTS_H
#define ENCODING_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "encoding/ints.h"

/* With scratch->thrifty, more bytes of strings than this are packed by LZ4 alone, straight into `out`;
 * without it, encoding takes about four times their bytes. */
#define TEXTS_THRIFTY (1u << 20)

/* Appends the encoding of count strings (count 0..INTS_MAX): string i is bytes[at[i]..at[i+1]). */
void texts_encode(const uint64_t *at, uint32_t count, const char *bytes, struct buffer *out,
                  struct ints_scratch *scratch);

/* The same of strings that are all different, in a fraction of the time: neither DICT nor TEMPLATE is tried.
 */
void texts_encode_entries(const uint64_t *at, uint32_t count, const char *bytes, struct buffer *out,
                          struct ints_scratch *scratch);

/* Decodes all `count` strings: at (count + 1 offsets, from 0) and their bytes into *bytes (cleared
 * first, may grow up to max_bytes). False if the encoding is not one, or would need more than max_bytes, or
 * without memory (then bytes->failed). */
bool texts_decode(const void *encoded, size_t size, uint32_t count, size_t max_bytes, uint64_t *at,
                  struct buffer *bytes, struct ints_scratch *scratch);
/* The same of strings [first, first + n) alone, which lie within the `count` that there are; `at` gets n + 1
 * offsets. max_bytes is about all of them. Costs time by n and, much less, by count; LZ4 by all bytes. */
bool texts_decode_some(const void *encoded, size_t size, uint32_t count, uint32_t first, uint32_t n,
                       size_t max_bytes, uint64_t *at, struct buffer *bytes, struct ints_scratch *scratch);
const char *texts_name(const void *encoded, size_t size); /* scheme, for statistics */

#endif
