/* client_parts.h - the inside of a client, for client.c (connection, ingest, short requests) and
 * client_rows.c (answers of rows).
 *
 * Every frame that arrives is given to the dispatcher of client.c: receipts go to their slots whatever is
 * being waited for, so that order of answers and order of calls are independent. */
#ifndef PROTO_CLIENT_PARTS_H
#define PROTO_CLIENT_PARTS_H

#include <stdatomic.h>

#include "proto/client.h"
#include "proto/connection.h"

/* A submission without a taken receipt. */
struct client_slot {
  uint64_t id;
  bool answered;
  tally_receipt receipt;
  tally_error error; /* code 0: accepted */
};

struct client {
  struct connection connection;
  uint32_t connect_timeout;
  char name[MESSAGE_NAME_BYTES + 1];
  struct message_welcome welcome;
  tally_error broken; /* code not 0: the connection is of no more use, and why */
  uint64_t next_id;
  struct client_slot *slots; /* a ring of a power of two of slots, oldest at `oldest` */
  size_t slot_capacity, oldest, slot_count, unanswered;
  struct client_rows *open; /* the answer of rows that is open, or NULL */
  atomic_bool cancelled;    /* asked for by client_cancel */
};

/* Fails if the connection is broken or an answer is open; else a request may begin. */
int client_ready(struct client *client, tally_error *error);
/* Notes that the connection is of no more use. Returns the error's code. */
int client_break(struct client *client, const tally_error *error);
/* What client_next may say beside a code. */
enum { CLIENT_TAKEN = 0, CLIENT_MINE = 1, CLIENT_CANCELLED = 2 };
/* Waits for the next frame that answers request `id` (CLIENT_MINE). Everything else that arrives is dealt
 * with. With `cancellable` also CLIENT_CANCELLED. Any code has broken the connection. */
int client_next(struct client *client, uint64_t id, bool cancellable, struct frame *frame,
                tally_error *error);
/* The failure that an ERROR frame carries; or breaks the connection over a frame that no rule allows. */
int client_refused(struct client *client, const struct frame *frame, tally_error *error);
/* `put` failed or has queued a request whose id is client->next_id: takes the id. */
int client_asked(struct client *client, int put, uint64_t *id);
/* The open answer, if any, has lost its connection. */
void client_rows_orphan(struct client *client);

#endif
