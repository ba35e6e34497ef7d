/* csv_index.h - where the separators of CSV text are: the commas and line feeds outside of quotes.
 *
 * Text is looked at 64 bytes at a time as bit masks (bit i: byte i), the way G. Langdale and D. Lemire,
 * "Parsing Gigabytes of JSON per Second" (2019), and simdcsv do it: the parity of the quotes before a byte
 * tells whether it is inside. That is the grammar of RFC 4180 only while every quote is where it may be: an
 * opening one behind a separator, a closing one before a separator or a line end, others doubled. At the
 * first block with a quote elsewhere the index ends, and csv_record (csv.h) has to find out. */
#ifndef TOOLS_CSV_INDEX_H
#define TOOLS_CSV_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the positions of separators of text[from, to), in order and without a gap, and returns their count:
 * fewer than all if less than 64 places of `capacity` are left, or a quote is misplaced. What is behind them
 * in the array is undefined. `from` is where a record starts.
 * Reads up to 63 bytes beyond `to`, which must be below 4 GiB. */
typedef size_t csv_index_fn(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity);

/* The implementations give equal results. csv_index_best: the fastest that this processor has. */
csv_index_fn csv_index_portable;
#if defined(__x86_64__)
csv_index_fn csv_index_sse2;
csv_index_fn csv_index_avx2;   /* only where cpu_has_avx2() */
csv_index_fn csv_index_avx512; /* only where cpu_has_avx512() */
#endif
csv_index_fn *csv_index_best(void);

#endif
