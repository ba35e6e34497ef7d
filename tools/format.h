/* format.h - rows printed as the contract's formats (its section 4, Output).
 *
 * A printer belongs to one answer: opened with its columns, given its rows, finished. It writes to a file
 * descriptor through one buffer of its own: the first row at once, so that one who reads along sees rows that
 * come slowly, then what FLUSH_MS or more have gathered. Memory is bounded: a table measures its first
 * TABLE_MEASURED rows (or TABLE_BYTES of them) and streams the rest at those widths. */
#ifndef TOOLS_FORMAT_H
#define TOOLS_FORMAT_H

#include <tally.h>

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* FORMAT_DEFAULT is decided at the output: a table on a terminal, tsv in a pipe. */
enum format { FORMAT_DEFAULT = 0, FORMAT_TABLE, FORMAT_CSV, FORMAT_TSV, FORMAT_JSON, FORMAT_NDJSON };

/* The format of that name ("ndjson"), or -1. */
int format_number(const char *name);
/* The names, NULL-terminated. */
extern const char *const format_names[];

struct printer_options {
  enum format format; /* not FORMAT_DEFAULT */
  bool terminal;      /* tables are cut to its width and end with a count of rows */
  bool color;
  size_t width; /* of the terminal */
};

struct printer;

/* A printer for rows of these columns, whose names are copied. 0, or TALLY_NO_MEMORY. Free with
 * printer_close.
 */
int printer_open(int descriptor, const struct printer_options *options, const tally_result_column *columns,
                 size_t count, struct printer **printer, tally_error *error);
/* Prints a row of as many cells as there are columns. TALLY_CLOSED: the reader of a pipe has gone, which is
 * no mistake; TALLY_IO: the output is broken; TALLY_NO_MEMORY. */
int printer_row(struct printer *printer, const tally_text *cells, tally_error *error);
/* Writes what is left. `complete`: no row is missing; otherwise an array of JSON is left open, so that nobody
 * takes it for the whole. */
int printer_finish(struct printer *printer, bool complete, tally_error *error);
void printer_close(struct printer *printer);

/* ---- the table, in table.c */

#define TABLE_MEASURED 10000u
#define TABLE_BYTES (8u << 20)

struct table;

struct table *table_open(const struct printer_options *options, const tally_result_column *columns,
                         size_t count);
void table_close(struct table *table);
/* Both append to out what can be shown by now; false without memory. */
bool table_row(struct table *table, const tally_text *cells, struct buffer *out);
bool table_finish(struct table *table, bool complete, struct buffer *out);

#endif
