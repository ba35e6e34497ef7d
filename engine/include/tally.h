/* tally.h - the engine of Tally, a time-series store for usage events, as a library.
 *
 * Conventions, numbered so that other texts can cite them.
 *
 *  1. Errors. A function that can fail returns an int: 0 (TALLY_OK) or a negative code of
 *     TALLY_ERROR_MAP. Where it takes a `tally_error *`, that may be NULL; otherwise it is filled
 *     on failure with the code and a sentence that says what was wrong, where, and what to do.
 *     On success it is left alone.
 *  2. Text. Names and requests are NUL-terminated UTF-8. Column values are tally_text: bytes and a
 *     size, no terminator. `data == NULL` is NULL; the empty string has data and size 0.
 *  3. Time is int64 microseconds since 1970-01-01T00:00:00Z. A range is [from, to).
 *  4. Cost is int64 units of 10^-9 (so 1.25 is 1250000000), within +-9,000,000,000 x 10^9.
 *  5. Ownership. What a function makes is freed by the function its text names. Borrowed pointers
 *     say which later call ends them. The library keeps no pointer of the caller's after a call.
 *  6. Threads. A tally_store may be used by any number of threads at once. Every other object
 *     (batch, cursor) belongs to one thread at a time, except that tally_cursor_cancel may be
 *     called from anywhere while the cursor lives.
 *  7. No function calls exit, installs a signal handler, changes the locale or writes to stdout or
 *     stderr. A process that forks must not use a store of its parent.
 */
#ifndef TALLY_H
#define TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TALLY_API __attribute__((visibility("default")))
#else
#define TALLY_API
#endif

#define TALLY_VERSION_MAJOR 0
#define TALLY_VERSION_MINOR 1
#define TALLY_VERSION_PATCH 0

/* The version of the library, "0.1.0". Static storage. */
TALLY_API const char *tally_version(void);

/* ------------------------------------------------------------------ errors */

/* Code, number, name (as it stands in contract, protocol and messages), meaning. The numbers are
 * part of the protocol and are never used again for another meaning. */
#define TALLY_ERROR_MAP(X)                                                                                   \
  X(USAGE, 1, "usage", "the request is not well formed")                                                     \
  X(INVALID_BATCH, 2, "invalid-batch", "the batch's bytes are not a batch")                                  \
  X(INVALID_ROW, 3, "invalid-row", "a row breaks a limit of the schema")                                     \
  X(GAP, 4, "gap", "the sequence is not the next one of its producer")                                       \
  X(STALE_EPOCH, 5, "stale-epoch", "the producer has started a newer epoch")                                 \
  X(CONFLICT, 6, "conflict", "a repeat of a sequence with another content")                                  \
  X(TOO_LATE, 7, "too-late", "an event is older than retention keeps")                                       \
  X(NO_SPACE, 8, "no-space", "the disk is full")                                                             \
  X(READ_ONLY, 9, "read-only", "the store does not take writes any more")                                    \
  X(IO, 10, "io", "the system reported an I/O error")                                                        \
  X(CORRUPT, 11, "corrupt", "stored bytes are damaged")                                                      \
  X(LOCKED, 12, "locked", "another process has the store")                                                   \
  X(VERSION, 13, "version", "written by a version this one does not read")                                   \
  X(MEMORY_LIMIT, 14, "memory-limit", "the memory budget does not suffice")                                  \
  X(NO_MEMORY, 15, "no-memory", "the system gave no memory")                                                 \
  X(NO_RAW_ROWS, 16, "no-raw-rows", "retention has thinned the rows this needs")                             \
  X(SNAPSHOT_EXPIRED, 17, "snapshot-expired", "the query's snapshot was given up")                           \
  X(DEADLINE, 18, "deadline", "the deadline passed")                                                         \
  X(CANCELLED, 19, "cancelled", "cancelled by the caller")                                                   \
  X(OVERFLOW, 20, "overflow", "a result does not fit its type")                                              \
  X(NOT_FOUND, 21, "not-found", "there is no such thing")                                                    \
  X(TOO_LARGE, 22, "too-large", "a limit of size is exceeded")                                               \
  X(PROTOCOL, 23, "protocol", "the peer broke the protocol")                                                 \
  X(CONNECTION, 24, "connection", "the connection failed")                                                   \
  X(BUSY, 25, "busy", "too much is under way")                                                               \
  X(UNSUPPORTED, 26, "unsupported", "not supported here")                                                    \
  X(CLOSED, 27, "closed", "the store is closing")

enum {
  TALLY_OK = 0,
  TALLY_ROW = 1, /* tally_cursor_next, tally_cursor_rows: a row is there */
#define TALLY_ERROR_ENUM(name, number, text, meaning) TALLY_##name = -(number),
  TALLY_ERROR_MAP(TALLY_ERROR_ENUM)
#undef TALLY_ERROR_ENUM
};

typedef struct tally_error {
  int code;          /* negative code */
  int column;        /* TALLY_COL_* of the value at fault, -1 if none */
  int64_t row;       /* row of the batch at fault, from 0; -1 if none */
  uint64_t sequence; /* TALLY_GAP: the next expected sequence; TALLY_STALE_EPOCH: the newest epoch */
  char text[496];    /* a sentence, NUL-terminated; cut at a character where it is too long */
} tally_error;

/* The name of a code ("no-space"), or "unknown". Static storage. */
TALLY_API const char *tally_error_name(int code);
/* The code of a name, or 0. */
TALLY_API int tally_error_code(const char *name);

/* ------------------------------------------------------------------ events */

typedef struct tally_text {
  const char *data; /* NULL: the value is NULL */
  size_t size;      /* bytes */
} tally_text;

/* The columns, in the order in which ties are broken and `events` prints them. */
enum {
  TALLY_COL_TIMESTAMP = 0,
  TALLY_COL_USER_ID,
  TALLY_COL_SERVICE_NAME,
  TALLY_COL_ENDPOINT,
  TALLY_COL_METHOD,
  TALLY_COL_REQUEST_SIZE,
  TALLY_COL_RESPONSE_SIZE,
  TALLY_COL_DURATION_MS,
  TALLY_COL_STATUS_CODE,
  TALLY_COL_TOKENS_USED,
  TALLY_COL_COST,
  TALLY_COL_METADATA,
  TALLY_COLUMNS
};

/* The name of a column ("user_id"), NULL if there is none with that number. Static storage. */
TALLY_API const char *tally_column_name(int column);
/* The number of the column of that name (size bytes), or -1. */
TALLY_API int tally_column_number(const char *name, size_t size);

/* One usage event. Numbers whose bit (1u << TALLY_COL_*) is not set in `present` are NULL and
 * their members are ignored. */
typedef struct tally_event {
  int64_t timestamp;
  tally_text user_id;      /* at most 255 characters */
  tally_text service_name; /* at most 100 characters */
  tally_text endpoint;     /* at most 255 characters */
  tally_text method;       /* at most 10 characters */
  int32_t request_size, response_size, duration_ms, status_code, tokens_used;
  int64_t cost;        /* 10^-9 */
  tally_text metadata; /* a JSON object, at most 1 MiB, depth 64; kept byte for byte */
  uint32_t present;
} tally_event;

/* ------------------------------------------------------------------ batches */

/* A batch builder turns events into the bytes of docs/format/batch.md, which go to tally_append or
 * onto the wire. At most TALLY_BATCH_ROWS rows and TALLY_BATCH_BYTES bytes. */
#define TALLY_BATCH_ROWS 65536u
#define TALLY_BATCH_BYTES (4u * 1024u * 1024u - 4096u)

typedef struct tally_batch tally_batch;

/* A new, empty builder; NULL without memory. Free with tally_batch_free. */
TALLY_API tally_batch *tally_batch_new(void);
TALLY_API void tally_batch_free(tally_batch *batch);
/* Empties the builder and keeps its memory. Ends what tally_batch_finish lent. */
TALLY_API void tally_batch_reset(tally_batch *batch);
/* Adds one event (copied). Checks every limit of the schema but the store's clock (max_future):
 * TALLY_INVALID_ROW with the column (row is the row's number in this batch) leaves the batch as it
 * was. TALLY_TOO_LARGE: the batch is full, finish it first. TALLY_NO_MEMORY. */
TALLY_API int tally_batch_add(tally_batch *batch, const tally_event *event, tally_error *error);
/* Rows added since the last reset. */
TALLY_API uint32_t tally_batch_rows(const tally_batch *batch);
/* The batch's bytes; borrowed until the next call on this builder. TALLY_USAGE if it is empty,
 * TALLY_TOO_LARGE if the bytes would exceed TALLY_BATCH_BYTES. */
TALLY_API int tally_batch_finish(tally_batch *batch, const void **bytes, size_t *size, tally_error *error);

/* ------------------------------------------------------------------ stores */

typedef struct tally_store tally_store;

/* A period of a time zone: between `start` (included) and `end` (excluded), in seconds since 1970
 * UTC, local time is UTC + offset seconds. INT64_MIN and INT64_MAX stand for no limit. */
typedef struct tally_zone_period {
  int64_t start, end;
  int32_t offset;
} tally_zone_period;

/* Time zones come from the caller. Fills *period with the period of `zone` that contains `at`
 * (seconds since 1970 UTC) and returns 0, or returns TALLY_NOT_FOUND if there is no such zone.
 * May be called from any thread that queries. Without a hook only "UTC" and fixed offsets
 * ("+05:30") are known. */
typedef int (*tally_zone_fn)(void *arg, const char *zone, int64_t at, tally_zone_period *period);

typedef struct tally_options {
  uint64_t memory;        /* bytes, whole engine; 0: 256 MiB; at least 64 MiB */
  bool create;            /* make the store if the directory is absent or empty */
  bool read_only;         /* refuse every write (still takes the store's lock) */
  bool manual;            /* no thread of its own: flushes happen in tally_step and when they must */
  int64_t max_future;     /* microseconds an event may be ahead of the clock; 0: one day */
  int64_t flush_age;      /* microseconds until rows in memory are flushed; 0: 15 minutes */
  uint64_t query_timeout; /* milliseconds a query may take; 0: 5 minutes */
  tally_zone_fn zone;
  void *zone_arg;
} tally_options;

/* Fills *options with the defaults. */
TALLY_API void tally_options_init(tally_options *options);

/* Opens the store in directory `path`, recovering it if it was not closed. `options` may be NULL.
 * One process (and one open) has a store at a time: TALLY_LOCKED names the process that has it.
 * On success *store is to be closed with tally_close. */
TALLY_API int tally_open(const char *path, const tally_options *options, tally_store **store,
                         tally_error *error);
/* Ends jobs and the store's own merges at their next step: they fail with TALLY_CANCELLED, as do jobs that
 * are started later. For a program that is about to close the store while another thread is in
 * tally_job_open(), or moves its cursor. Appends, queries and checks go on. Any thread. */
TALLY_API void tally_interrupt(tally_store *store);
/* Makes all that was appended durable, writes the seal and frees the store. All cursors must be
 * closed before, and no other thread may be inside a call. The store is freed whatever is returned. */
TALLY_API int tally_close(tally_store *store, tally_error *error);

/* Makes a store in directory `store`, which must be absent or empty, of the backup in directory `backup`
 * (made by the job {"backup", DIR}, or a store that is closed). Every file is copied and every byte of the
 * copies checked before it returns 0; the backup stays as it is. On failure nothing is left. TALLY_NOT_FOUND,
 * TALLY_CORRUPT (names the damaged file), TALLY_USAGE (not empty), TALLY_LOCKED. */
TALLY_API int tally_restore(const char *backup, const char *store, tally_error *error);

/* ------------------------------------------------------------------ ingest */

typedef enum tally_durability {
  TALLY_DISK = 0, /* acknowledged after fdatasync */
  TALLY_OS = 1    /* acknowledged after write: survives a crash of the process, not of the machine */
} tally_durability;

typedef struct tally_append_options {
  const char *producer; /* NULL: not deduplicated. Else 1-100 characters */
  uint64_t epoch;       /* from 1 */
  uint64_t sequence;    /* from 1 in each epoch, rises by 1 */
  bool has_fingerprint;
  uint8_t fingerprint[16];
  tally_durability durability;
} tally_append_options;

typedef struct tally_receipt {
  bool duplicate; /* the batch was in already; it counts once */
  uint32_t rows;  /* rows of this batch */
} tally_receipt;

/* One batch of a group: the caller fills the first three, the call the others. */
typedef struct tally_append_item {
  const void *bytes;
  size_t size;
  tally_append_options options;
  int result; /* 0 or a code; then `error` is filled */
  tally_receipt receipt;
  tally_error error;
} tally_append_item;

/* Appends a batch, all of its rows or none, and returns when it has the durability asked for and
 * every later query sees it. Refusals use up no sequence. `options` NULL: no producer, TALLY_DISK.
 * TALLY_INVALID_BATCH, TALLY_INVALID_ROW (row, column), TALLY_GAP, TALLY_STALE_EPOCH,
 * TALLY_CONFLICT, TALLY_NO_SPACE (may be tried again), TALLY_MEMORY_LIMIT, TALLY_READ_ONLY. */
TALLY_API int tally_append(tally_store *store, const void *bytes, size_t size,
                           const tally_append_options *options, tally_receipt *receipt, tally_error *error);
/* Appends `count` batches in order with one synchronisation for all (group commit); each has its own
 * result. Calls from several threads at once join one group in the same way. */
TALLY_API void tally_append_group(tally_store *store, tally_append_item *items, size_t count);

typedef struct tally_mark {
  uint64_t epoch;    /* newest epoch; 0: the producer is unknown */
  uint64_t sequence; /* last sequence of it that is in; 0: none */
} tally_mark;

/* The mark of a producer. With `epoch` other than 0 the mark of that epoch (sequence 0 if none). */
TALLY_API int tally_producer_mark(tally_store *store, const char *producer, uint64_t epoch, tally_mark *mark,
                                  tally_error *error);
/* Makes every batch acknowledged so far durable on disk. */
TALLY_API int tally_sync(tally_store *store, tally_error *error);
/* Writes all rows in memory to segments, now. */
TALLY_API int tally_flush(tally_store *store, tally_error *error);
/* With options.manual: does one piece of background work; *worked tells if there was any. */
TALLY_API int tally_step(tally_store *store, bool *worked, tally_error *error);

/* ------------------------------------------------------------------ queries */

#define TALLY_NO_LIMIT UINT64_MAX

enum {
  TALLY_FILL = 1u,
  TALLY_APPROXIMATE =
      2u, /* percentiles of duration_ms may come from histograms; a bound of the error follows each */
  TALLY_EXPLAIN = 4u,    /* the cursor's rows tell how the answer was found, not the answer */
  TALLY_NO_ROLLUPS = 8u, /* answer from raw rows alone */
  TALLY_ORDER_DESC = 16u,
  TALLY_ORDER_NONE = 32u,
  TALLY_PARTIAL = 64u, /* leave out what is quarantined: see tally_cursor_left_out */
  TALLY_AT_ONCE = 128u /* in a moment or not at all: see tally_query_open */
};

/* A request in the contract's own texts. Absent texts are NULL. */
typedef struct tally_query {
  const char *from, *to; /* T of the contract, or NULL: open */
  const char *const *where;
  size_t where_count;
  const char *group_by;   /* "service_name, metadata.region" */
  const char *bucket;     /* "5m" */
  const char *tz;         /* NULL: UTC */
  const char *aggregates; /* NULL: "count" */
  const char *order_by;
  uint64_t limit;   /* TALLY_NO_LIMIT */
  uint32_t flags;   /* TALLY_FILL, TALLY_APPROXIMATE, TALLY_EXPLAIN, TALLY_NO_ROLLUPS, TALLY_PARTIAL,
                       TALLY_AT_ONCE */
  uint64_t timeout; /* milliseconds; 0: the store's */
} tally_query;

typedef struct tally_scan {
  const char *from, *to;
  const char *const *where;
  size_t where_count;
  const char *tz;
  const char *columns; /* NULL: all twelve */
  uint64_t limit;
  uint32_t flags; /* TALLY_ORDER_DESC or TALLY_ORDER_NONE (neither: ascending), TALLY_PARTIAL, TALLY_AT_ONCE
                   */
  uint64_t timeout;
} tally_scan;

typedef struct tally_cursor tally_cursor;

/* What a result column holds; decides how JSON prints it. */
typedef enum tally_type {
  TALLY_TYPE_TEXT = 1, /* text */
  TALLY_TYPE_INT = 2,  /* integer of up to 128 bits */
  TALLY_TYPE_REAL = 3, /* rounded decimal: averages of integers, error_rate: a JSON number */
  TALLY_TYPE_COST = 4, /* exact decimal: a JSON string */
  TALLY_TYPE_TIME = 5, /* RFC 3339 text */
  TALLY_TYPE_JSON = 6  /* the text of a JSON object: metadata; embedded as it is in JSON output */
} tally_type;

typedef struct tally_result_column {
  const char *name; /* as printed in a header; borrowed, lives as long as the cursor */
  tally_type type;
} tally_result_column;

/* Fills *query / *scan with the defaults. */
TALLY_API void tally_query_init(tally_query *query);
TALLY_API void tally_scan_init(tally_scan *scan);

/* Starts a range aggregation, or a scan of raw events, over one snapshot. On success *cursor is to
 * be closed with tally_cursor_close. TALLY_USAGE names the text at fault.
 *
 * A segment that was found damaged is quarantined until tally_verify_open finds it whole again. A request
 * whose rows may be in one fails with TALLY_CORRUPT and its name, or with TALLY_PARTIAL is answered without
 * it; requests that do not touch it are answered as always.
 *
 * With TALLY_AT_ONCE a thread may ask that has others to serve and must not wait, such as an event loop's: no
 * file is read, nothing is waited for but short locks, and it takes about a millisecond at most from the
 * call to the last row. What cannot be answered so, or while a flush or a merge is at work, gets TALLY_BUSY,
 * from this call or from one that moves the cursor (then or between any two rows): ask again without it, on a
 * thread that may wait. Such a cursor is used by the thread that opened it. */
TALLY_API int tally_query_open(tally_store *store, const tally_query *query, tally_cursor **cursor,
                               tally_error *error);
TALLY_API int tally_scan_open(tally_store *store, const tally_scan *scan, tally_cursor **cursor,
                              tally_error *error);
/* Figures about the store: rows of (name, value). */
TALLY_API int tally_stats_open(tally_store *store, tally_cursor **cursor, tally_error *error);
/* Reads and checks every byte of the store's files while the store goes on, at most `rate` bytes a second (0:
 * no limit): one row a fault (file, offset, problem), none if all is well. The work is done in
 * tally_cursor_next and can be cancelled. A segment with a fault is quarantined; one that is whole again
 * leaves quarantine. Quarantine is not remembered over tally_close: a file that cannot be opened is found at
 * the next open, a damaged block when a request or a check reads it. */
TALLY_API int tally_verify_open(tally_store *store, uint64_t rate, tally_cursor **cursor, tally_error *error);

/* Does a job on the store's files, now, beside ingest and queries, and reports it: one row a piece of work.
 * It is given in the words of the tool's command, the name first:
 *   "compact"   merges the segments that are there until each month has few, one after the other in time.
 *               Columns: month, segments_before, segments_after, rows, bytes_before, bytes_after: a row a
 *               merge. The call does the first merge, tally_cursor_next the others; closing or cancelling
 *               the cursor leaves the rest undone.
 *   "erase" USER ["--from" T] ["--to" T]    erases a user's rows: the receipt, one row of one JSON object.
 *   "pseudonymize" USER, likewise           gives them a random id and takes their metadata away.
 *   "erase-check" USER                      looks for the text in every byte and in what the files decode
 *                                           to. Columns: file, offset, found.
 *   "retention" ["show" | "set" | "clear" | "confirm"] ["--service" S] ["--archive" A] ["--thin" A] ["--drop"
 * A] how long rows are kept. Columns: service, archive, thin, drop. "retention-apply" ["--dry-run"] does
 * (tells) what is due. Columns: stage, month, segments, rows, bytes_before, bytes_after. Of all but
 * "compact" the call returns when the job is done. TALLY_USAGE names the word at fault. A job that fails or
 * is cut off changes no answer, and can be started again. */
TALLY_API int tally_job_open(tally_store *store, const char *const *words, size_t count,
                             tally_cursor **cursor, tally_error *error);

TALLY_API size_t tally_cursor_columns(const tally_cursor *cursor);
/* The column's name and type; column < tally_cursor_columns. */
TALLY_API tally_result_column tally_cursor_column(const tally_cursor *cursor, size_t column);
/* Moves to the next row: TALLY_ROW, TALLY_OK at the end, or a code (the same one ever after; but a
 * tally_scan_open that was refused memory on its way, TALLY_MEMORY_LIMIT, goes on where it stopped when it is
 * called again: it holds hardly any meanwhile). */
TALLY_API int tally_cursor_next(tally_cursor *cursor, tally_error *error);
/* A cell of the current row as the contract prints it (numbers in full, times in RFC 3339); NULL
 * data for NULL. Borrowed until the next call that moves the cursor, tally_cursor_rest or tally_cursor_close.
 */
TALLY_API tally_text tally_cursor_cell(const tally_cursor *cursor, size_t column);
/* As tally_cursor_next, for as many rows as are at hand, at most `most` (1 or more): long answers cost less
 * so. With TALLY_ROW there are *rows of them, at least one; cell `column` of row `i` is
 * (*cells)[i * tally_cursor_columns + column], as tally_cursor_cell gives it (of the last row, if it is asked
 * then), and borrowed as long. Any other result: *rows is 0. */
TALLY_API int tally_cursor_rows(tally_cursor *cursor, size_t most, const tally_text **cells, size_t *rows,
                                tally_error *error);
/* What an answer to TALLY_PARTIAL lacks: how many damaged segments were left out, and how many rows they hold
 * (more than the request asks for, as a rule). Final once the cursor has returned TALLY_OK; without
 * TALLY_PARTIAL always 0. Either pointer may be NULL. */
TALLY_API void tally_cursor_left_out(const tally_cursor *cursor, uint64_t *segments, uint64_t *rows);
/* Gives back memory that the next call for rows can make again, for when that may be long in coming. The
 * current rows' cells are gone. Of events hardly anything stays in memory; groups of a tally_query stay. */
TALLY_API void tally_cursor_rest(tally_cursor *cursor);
/* Makes the next call that moves the cursor, or the one under way, return TALLY_CANCELLED (a merge under way
 * is finished first). Any thread. */
TALLY_API void tally_cursor_cancel(tally_cursor *cursor);
TALLY_API void tally_cursor_close(tally_cursor *cursor);

#ifdef __cplusplus
}
#endif
#endif
