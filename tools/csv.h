/* csv.h - events out of CSV.
 *
 * The grammar is RFC 4180 with these choices:
 *  1. A line ends in LF or CRLF; the last one may end with the text. A CR elsewhere is part of its field.
 *  2. A line of nothing but its end is no record, wherever it stands.
 *  3. A quoted field starts with its quote; a quote within an unquoted field is refused, and so is text
 *     behind a closing quote. For where the record ends, such a quote and such text count as unquoted text.
 *  4. A quote that is never closed makes all up to the end of the text one (refused) record.
 *  5. An empty unquoted field is NULL, "" is the empty string.
 * Two readers know it: csv_index with the loop in csv.c, fast, for records with nothing wrong; and
 * csv_record, byte by byte, which also says what is wrong. They agree; tests compare them. */
#ifndef TOOLS_CSV_H
#define TOOLS_CSV_H

#include "base/bytes.h"
#include "tools/csv_digits.h"
#include "tools/csv_index.h"
#include "tools/ingest_record.h"
#include "tools/ingest_value.h"

#define CSV_COLUMNS 1024u    /* in a header */
#define CSV_SEPARATORS 4096u /* of one piece of the index; more than CSV_COLUMNS */

/* ---- the grammar, byte by byte (csv_record.c) */

enum csv_fault {
  CSV_SOUND,
  CSV_QUOTE_INSIDE, /* a quote within an unquoted field */
  CSV_TEXT_BEHIND,  /* text behind a closing quote */
  CSV_UNCLOSED,     /* fault_at is the opening quote */
};

struct csv_extent {
  size_t text_end; /* where the last field ends: before its CR and LF */
  size_t end;      /* behind the line end */
  uint32_t fields;
  enum csv_fault fault; /* the first one */
  size_t fault_at;
  uint32_t fault_field; /* from 0 */
};

/* Finds the end of the record at `from` and the positions of its first `capacity` separators, a line end
 * included (of CRLF, the LF). False if text[from, to) holds no whole record and is not final. */
bool csv_record(const char *text, size_t from, size_t to, bool final, uint32_t *separators, size_t capacity,
                struct csv_extent *extent);

/* ---- quoted fields (csv_unquote.c) */

struct csv_unquoted {
  size_t size;
  uint64_t lines; /* line feeds */
};
/* Copies the inside of a quoted field (its quotes not included) with its doubled quotes made single; the
 * result is not longer. May write 64 bytes beyond it and read 16 beyond the field. The implementations give
 * equal results. csv_unquote_best: the fastest that this processor has. */
#define CSV_UNQUOTE_SLACK 64u
typedef struct csv_unquoted csv_unquote_fn(const char *inside, size_t size, char *to);
csv_unquote_fn csv_unquote_portable;
#if defined(__x86_64__)
csv_unquote_fn csv_unquote_avx512; /* only where cpu_has_avx512() */
#endif
csv_unquote_fn *csv_unquote_best(void);

/* ---- the header (csv_header.c) */

/* What the fields of a file's records are. Never changes after it was read. */
struct csv_layout {
  uint32_t count;
  bool usual;                  /* all columns of events in their order, and no other */
  uint32_t user;               /* the field of user ids; `count`: there is none */
  int16_t column[CSV_COLUMNS]; /* TALLY_COL_*, or -1: ignored */
  uint32_t name[CSV_COLUMNS];  /* where in names its NUL-terminated name starts */
  struct buffer names;
};

/* Names of columns that are to be ignored, from --ignore C,…: borrowed, comma-separated texts. */
#define IGNORE_LISTS 32
struct ignore {
  const char *list[IGNORE_LISTS];
  size_t count;
};
bool ignore_has(const struct ignore *ignore, const char *name, size_t size);

/* Reads the header at the front of the text. RECORD_ROW: *record is its extent and *layout is filled;
 * RECORD_MORE, RECORD_FAILED, or RECORD_BAD with *problem. Free the layout with
 * csv_layout_free whatever came. Needs a text of less than 4 GiB. */
enum record_kind csv_header(const char *text, size_t size, bool final, const struct ignore *ignore,
                            struct csv_layout *layout, struct record *record, struct problem *problem);
void csv_layout_free(struct csv_layout *layout);

/* ---- records (csv.c) */

struct csv {
  const struct csv_layout *layout;
  struct value_options *values;
  csv_index_fn *index;
  csv_unquote_fn *unquote;
  csv_integers_fn *integers;
  char *text;
  size_t size;
  bool final;    /* nothing comes behind the text */
  size_t at;     /* where the next record starts */
  uint64_t line; /* and its line */
  uint32_t next, count;
  uint32_t separators[CSV_SEPARATORS]; /* [next, count) are those of the records from `at` on */
  struct buffer scratch;               /* unquoted texts of the current record */
};

/* A reader of records; `index` NULL: the best. It borrows layout and values. Free with csv_free. */
void csv_init(struct csv *csv, const struct csv_layout *layout, struct value_options *values,
              csv_index_fn *index);
void csv_free(struct csv *csv);
/* Gives it a text (below 4 GiB, INGEST_SLACK bytes behind it) to go on with at offset `at`, which is where
 * a record starts: the first time, after RECORD_MORE, and after the text was moved. */
void csv_text(struct csv *csv, char *text, size_t size, bool final, size_t at);
/* The next record. */
enum record_kind csv_next(struct csv *csv, struct record *record, struct problem *problem);
/* What the next record most likely has as its user id, for who can do with it meanwhile; no data where that
 * is not known without reading the record. Borrowed until the next call. */
tally_text csv_coming_user(const struct csv *csv);
/* A problem of the current record's value in a column, found by others: with the field's line. */
void csv_blame(struct csv *csv, const struct record *record, int column, const char *reason,
               struct problem *problem);

#endif
