/* ingest_record.h - what the readers of CSV and NDJSON have in common: a record of the input, and what can be
 * wrong with it.
 *
 * A reader is given a piece of text that starts where a record starts, and takes records off its front. The
 * text is followed by INGEST_SLACK bytes that the reader may read and overwrite. Positions are offsets in the
 * text, lines count from 1 in the file. An event borrows from the text and from the reader: it lives until
 * the next record is asked for. */
#ifndef TOOLS_INGEST_RECORD_H
#define TOOLS_INGEST_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#define INGEST_SLACK 128u
#define INGEST_RECORD_MAX (16u << 20) /* bytes of a record; a longer one ends the command */

/* Where and why a record is refused. The text is a sentence without the place: "'abc' is not an integer: …".
 */
struct problem {
  uint64_t line;
  bool whole;      /* the file is at fault, not a record of it: nothing can be skipped */
  char column[64]; /* its name; empty: no column is to blame */
  char text[400];
};

enum record_kind {
  RECORD_ROW,    /* event is filled */
  RECORD_BAD,    /* the problem is filled; start and end are good, so the record can be skipped */
  RECORD_MORE,   /* the text ends within the record: read on and ask again */
  RECORD_END,    /* nothing is left, and nothing will come */
  RECORD_FAILED, /* no memory */
};

struct record {
  size_t start, end; /* from its first byte to the end of its line end */
  uint64_t line;     /* that it starts on */
  tally_event event;
};

/* Fills *problem, of a record; `column` may be NULL. */
void problem_set(struct problem *problem, uint64_t line, const char *column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The beginning of a value for messages, in single quotes; what cannot be shown is escaped, a long value is
 * cut and ends in "…". */
#define EXCERPT_SIZE 96
struct excerpt {
  char text[EXCERPT_SIZE];
};
struct excerpt excerpt_of(const char *data, size_t size);

/* Line feeds in the bytes. */
uint64_t count_lines(const char *data, size_t size);

#endif
