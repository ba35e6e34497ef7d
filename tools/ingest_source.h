/* ingest_source.h - the inputs of one command, cut into numbered batches.
 *
 * Rules, which make a batch depend on the inputs and --batch-rows alone:
 *  1. A batch is a run of whole records of one file: at most batch_rows of them, and at most
 * INGEST_BATCH_TEXT bytes of text unless it is a single record.
 *  2. Its text goes from the first byte of its first record to the end of the last one's line end, records
 * that are refused included, and blank lines in between. Its fingerprint is the XXH3-128 (seed 0, canonical
 *     form) of that text. The header of a CSV file is part of no text.
 *  3. Records are counted by their place in the batch: one that is skipped moves no boundary.
 *  4. Batches with at least one good row are numbered 1, 2, 3, … over all inputs. One whose every record is
 *     skipped has no number, since a batch cannot be empty. What is good here depends on the input, not on
 * the store or the time. */
#ifndef TOOLS_INGEST_SOURCE_H
#define TOOLS_INGEST_SOURCE_H

#include "base/bitmap.h"
#include "base/bytes.h"
#include "tools/csv.h"
#include "tools/ingest_record.h"
#include "tools/ingest_value.h"
#include "tools/input.h"
#include "tools/ndjson.h"

#define INGEST_BATCH_TEXT (2u << 20)

enum input_format { INPUT_GUESS, INPUT_CSV, INPUT_NDJSON };

struct source_options {
  enum input_format format;
  uint32_t batch_rows; /* 1 to TALLY_BATCH_ROWS */
  bool skip;           /* records that are refused are left out; else they end the command */
  struct ignore ignore;
  struct value_options values;
  bool (*stop)(void); /* asked while waiting for input; may be NULL */
};

/* One file: what its records need to be read again. Lives as long as the source. */
struct source_file {
  struct source_file *before; /* the one that was opened before it */
  char *name;                 /* for messages */
  enum input_format format;
  struct csv_layout layout;
};

/* Reads the records of a piece of a file, whatever its format. */
struct parser {
  const struct source_file *file;
  union {
    struct csv csv;
    struct ndjson ndjson;
  } as;
};

void parser_init(struct parser *parser, const struct source_file *file, struct source_options *options);
void parser_free(struct parser *parser);
/* As csv_text; `line` is that of offset `at`. */
void parser_text(struct parser *parser, char *text, size_t size, bool final, size_t at, uint64_t line);
enum record_kind parser_next(struct parser *parser, struct record *record, struct problem *problem);
/* Adds the row just read to a batch: RECORD_ROW; RECORD_BAD with *problem if it breaks a limit; RECORD_FAILED
 * with *error. */
enum record_kind parser_add(struct parser *parser, tally_batch *builder, const struct record *record,
                            struct problem *problem, tally_error *error);

#define BATCH_PROBLEMS 20u /* that a batch remembers in words */

enum batch_state { BATCH_READY, BATCH_SENT };

struct ingest_batch {
  struct ingest_batch *next; /* these three are the sender's */
  enum batch_state state;
  bool sent_before;
  uint64_t sequence; /* its number; 0: no good row */
  const struct source_file *file;
  uint64_t line, last_line; /* that its first record starts on, and its last one */
  struct buffer text;       /* its text is [first, end) of this */
  size_t first, end;
  uint32_t records, rows; /* rows: those in bytes */
  uint8_t fingerprint[16];
  struct buffer bytes;      /* the batch, if it has rows */
  struct buffer dropped;    /* bit i: record i is not in it; empty: all are */
  struct buffer order;      /* uint32_t: the records of the rows in bytes; empty: in their own order */
  struct problem *problems; /* of the first BATCH_PROBLEMS records left out; NULL: none was */
  uint32_t problem_count;   /* those in problems */
};

struct ingest_batch *batch_new(void); /* NULL without memory */
void batch_free(struct ingest_batch *batch);
static inline uint32_t batch_skipped(const struct ingest_batch *b) { return b->records - b->rows; }
static inline bool batch_dropped(const struct ingest_batch *b, uint32_t record) {
  return b->dropped.size && bytemap_get(b->dropped.data, record);
}
/* Notes that the record is not in the batch. False without memory. */
bool batch_drop(struct ingest_batch *batch, uint32_t record);
/* The bytes of what the builder holds. */
int batch_build(struct ingest_batch *batch, tally_batch *builder, tally_error *error);

struct source {
  struct source_options *options; /* borrowed */
  const char *const *paths;       /* borrowed */
  size_t paths_left;
  uint64_t sequence;         /* of the last batch */
  uint64_t bytes;            /* read so far, of all inputs */
  struct source_file *files; /* the newest first */
  bool open;                 /* the newest is open, as input, with a parser */
  struct input input;
  struct parser parser;
  uint64_t line;       /* of the next record */
  struct buffer carry; /* what was read of the file and is in no batch yet */
  size_t expected;     /* bytes of a batch's text, by the last one */
  tally_batch *builder;
};

int source_init(struct source *source, struct source_options *options, const char *const *paths, size_t count,
                tally_error *error);
void source_free(struct source *source);

enum source_result {
  SOURCE_BATCH,   /* *batch is filled */
  SOURCE_END,     /* that was all */
  SOURCE_PROBLEM, /* a record is refused; the batches before it are good */
  SOURCE_FAILED,  /* *error is filled */
};
/* The next batch, into one that is new or not needed any more. For SOURCE_PROBLEM batch->file, and
 * batch->line (of the first record of the batch that cannot be) are good. */
enum source_result source_next(struct source *source, struct ingest_batch *batch, struct problem *problem,
                               tally_error *error);

#endif
