/* client.h - one blocking connection to a tallyd.
 *
 * Rules:
 *  1. A client belongs to one thread; only client_cancel may be called from others and from signal handlers.
 *  2. Nothing waits for ever. Connecting has a deadline. While a call waits for an answer it sends PINGs, and
 * a server that is silent for the I/O deadline (or takes no bytes for so long) is lost: TALLY_CONNECTION. A
 *     slow query is not a lost server: its limit is the request's own timeout.
 *  3. Bytes are sent while answers are received, so neither side ever waits for the other's full buffers.
 *  4. An answer is whole or an error: a connection that ends before END is TALLY_CONNECTION, and END's count
 * of rows is compared. After TALLY_CONNECTION, TALLY_PROTOCOL or TALLY_VERSION from the connection itself
 * every further call fails with the same error until client_reconnect.
 *  5. One answer of rows at a time; while one is open every other request fails with TALLY_BUSY.
 *
 *  6. When the server ends the connection with a reason (it closes, is full, or was bored), that is
 *     TALLY_CONNECTION with the reason in its text.
 *
 * The server's other errors come back as they are: code, row, column, sequence and text. */
#ifndef PROTO_CLIENT_H
#define PROTO_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "proto/message.h"

struct client;
struct client_rows; /* an answer being pulled */

#define CLIENT_PORT "7420" /* where HOST stands alone */

struct client_options {
  const char *name;         /* program and version; NULL: "libtally" and the version */
  uint32_t connect_timeout; /* milliseconds for name, connection and greeting; 0: 5,000 */
  uint32_t io_timeout;      /* milliseconds of silence until the server counts as lost; 0: 30,000 */
};

/* Connects and greets. server: "HOST:PORT", "HOST", "[::1]:7420". `options` may be NULL. TALLY_USAGE for an
 * address that is none, TALLY_CONNECTION, TALLY_VERSION, TALLY_PROTOCOL, TALLY_NO_MEMORY. */
int client_open(const char *server, const struct client_options *options, struct client **client,
                tally_error *error);
/* Hangs up; what is under way stays unknown. NULL is fine. Ends every rows object of the client (close those
 * before). */
void client_close(struct client *client);
/* Hangs up and connects anew; nothing is under way afterwards, and the rows object that was open fails. On
 * failure the client stays and may be told to reconnect again. */
int client_reconnect(struct client *client, tally_error *error);
/* What the server said of itself; lives until client_reconnect or client_close. */
const struct message_welcome *client_welcome(const struct client *client);

/* Sends a batch and returns when all its bytes are with the system (`bytes` is free again), not waiting for
 * the receipt; it waits only while client_window batches are without an answer. */
int client_submit(struct client *client, const void *bytes, size_t size, const tally_append_options *options,
                  tally_error *error);
/* Submissions whose receipts were not taken yet. */
size_t client_under_way(const struct client *client);
/* How many submissions may wait for an answer at once; client_submit waits beyond it. */
size_t client_window(const struct client *client);
/* The receipt of the oldest submission under way, or its error (then the next receive is for the one behind
 * it). TALLY_USAGE with nothing under way. */
int client_receive(struct client *client, tally_receipt *receipt, tally_error *error);

int client_mark(struct client *client, const char *producer, uint64_t epoch, tally_mark *mark,
                tally_error *error);
int client_flush(struct client *client, tally_error *error);
int client_ping(struct client *client, tally_error *error);

/* Start an answer of rows: return when its columns are here, or with the server's error. *rows is to be
 * closed with client_rows_close. */
int client_query(struct client *client, const tally_query *query, struct client_rows **rows,
                 tally_error *error);
int client_events(struct client *client, const tally_scan *scan, struct client_rows **rows,
                  tally_error *error);
int client_stats(struct client *client, struct client_rows **rows, tally_error *error);
int client_verify(struct client *client, struct client_rows **rows, tally_error *error);
int client_job(struct client *client, const char *const *words, size_t count, struct client_rows **rows,
               tally_error *error);

size_t client_rows_columns(const struct client_rows *rows);
/* Borrowed until client_rows_close. column < client_rows_columns. */
tally_result_column client_rows_column(const struct client_rows *rows, size_t column);
/* TALLY_ROW, TALLY_OK at the end, or a code; end and code come again ever after. */
int client_rows_next(struct client_rows *rows, tally_error *error);
/* Borrowed until the next client_rows_next or client_rows_close; NULL data for NULL. */
tally_text client_rows_cell(const struct client_rows *rows, size_t column);
/* Once the end has come: what the answer lacks (tally_cursor_left_out). */
void client_rows_left_out(const struct client_rows *rows, uint64_t *segments, uint64_t *held);
/* Also before the end: the server is told to stop, and what it has sent is dropped. */
void client_rows_close(struct client_rows *rows);

/* Makes the call under way that starts or pulls an answer of rows, or the next client_rows_next, return
 * TALLY_CANCELLED. Does nothing when no answer is open or being started. Safe in signal handlers and from
 * any thread while the client lives. */
void client_cancel(struct client *client);

#endif
