/* client.c - greeting, ingest and short requests; see client.h for the rules. */
#include "proto/client.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "proto/client_parts.h"

#define CONNECT_TIMEOUT 5000u
#define IO_TIMEOUT 30000u
#define IO_TIMEOUT_MIN 30u /* below it, PINGs would be all that is sent */
#define SLOTS_FIRST 16u

/* ------------------------------------------------------------------ failing */

int client_break(struct client *client, const tally_error *error) {
  client->broken = *error;
  return error->code;
}

int client_ready(struct client *client, tally_error *error) {
  if (client->broken.code) {
    *error = client->broken;
    return error->code;
  }
  if (client->open)
    return fail(error, TALLY_BUSY,
                "an answer is still being read on this connection: read or close it first");
  return 0;
}

static int break_protocol(struct client *client, const struct frame *frame, tally_error *error) {
  (void)fail(error, TALLY_PROTOCOL,
             "%s sent a %s message (type %u, request %llu) where the protocol has none: use client and "
             "server of one "
             "release",
             client->connection.server, message_name(frame->type), frame->type,
             (unsigned long long)frame->id);
  return client_break(client, error);
}

int client_refused(struct client *client, const struct frame *frame, tally_error *error) {
  tally_error carried;
  if (frame->type != MESSAGE_ERROR) return break_protocol(client, frame, error);
  if (message_get_error(frame, &carried, error)) return client_break(client, error);
  *error = carried;
  return error->code;
}

/* ------------------------------------------------------------------ receiving */

static struct client_slot *slot_at(const struct client *client, size_t i) {
  return &client->slots[(client->oldest + i) & (client->slot_capacity - 1)];
}

static struct client_slot *slot_of(const struct client *client, uint64_t id) {
  for (size_t i = 0; i < client->slot_count; i++) {
    struct client_slot *slot = slot_at(client, i);
    if (slot->id == id && !slot->answered) return slot;
  }
  return NULL;
}

static int take_receipt(struct client *client, struct client_slot *slot, const struct frame *frame,
                        tally_error *error) {
  int code = 0;
  if (frame->type == MESSAGE_APPENDED)
    code = message_get_appended(frame, &slot->receipt, error);
  else if (frame->type == MESSAGE_ERROR)
    code = message_get_error(frame, &slot->error, error);
  else
    return break_protocol(client, frame, error);
  if (code) return client_break(client, error);
  slot->answered = true;
  client->unanswered--;
  return CLIENT_TAKEN;
}

/* An ERROR of the connection itself: the server hangs up after it. What a new connection can mend is
 * TALLY_CONNECTION, so that callers know to try again. */
static int break_farewell(struct client *client, const struct frame *frame, tally_error *error) {
  int code = client_refused(client, frame, error);
  if (client->broken.code) return code; /* not even that could be read */
  (void)error_where(error, "%s ended the connection", client->connection.server);
  if (code != TALLY_VERSION && code != TALLY_PROTOCOL && code != TALLY_TOO_LARGE)
    error->code = TALLY_CONNECTION;
  return client_break(client, error);
}

/* CLIENT_TAKEN, CLIENT_MINE (it answers `id`), or a code. */
static int client_dispatch(struct client *client, const struct frame *frame, uint64_t id,
                           tally_error *error) {
  if (frame->id == 0 && frame->type == MESSAGE_ERROR) return break_farewell(client, frame, error);
  struct client_slot *slot = slot_of(client, frame->id);
  if (slot) return take_receipt(client, slot, frame, error);
  if (frame->id == id && id != 0) return CLIENT_MINE;
  if (frame->type == MESSAGE_PONG && frame->id < client->next_id) return CLIENT_TAKEN;
  return break_protocol(client, frame, error);
}

/* Deals with the frames that are here, up to one that answers `id`. CLIENT_TAKEN: none is left. */
static int drain(struct client *client, uint64_t id, struct frame *frame, tally_error *error) {
  for (;;) {
    int code = frame_reader_next(&client->connection.reader, frame, NULL, error);
    if (code == FRAME_MORE) return CLIENT_TAKEN;
    if (code != FRAME_READY) {
      (void)error_where(error, "reading from %s", client->connection.server);
      return client_break(client, error);
    }
    code = client_dispatch(client, frame, id, error);
    if (code != CLIENT_TAKEN) return code;
  }
}

int client_next(struct client *client, uint64_t id, bool cancellable, struct frame *frame,
                tally_error *error) {
  connection_listen(&client->connection, true);
  for (;;) {
    if (cancellable && atomic_load(&client->cancelled)) return CLIENT_CANCELLED;
    int code = drain(client, id, frame, error);
    if (code != CLIENT_TAKEN) return code;
    code = connection_step(&client->connection, NULL, &client->next_id, error);
    if (code) return client_break(client, error);
  }
}

/* ------------------------------------------------------------------ life */

static int greet(struct client *client, tally_error *error) {
  struct message_hello hello = {.lowest = FRAME_VERSION, .highest = FRAME_VERSION};
  memcpy(hello.name, client->name, sizeof hello.name);
  struct frame frame;
  uint64_t id;
  int code =
      client_asked(client, message_put_hello(&client->connection.out, client->next_id, &hello, error), &id);
  if (code) return code;
  code = client_next(client, id, false, &frame, error);
  if (code != CLIENT_MINE) return code;
  if (frame.type != MESSAGE_WELCOME) return client_refused(client, &frame, error);
  if (message_get_welcome(&frame, &client->welcome, error)) return error->code;
  if (client->welcome.version != FRAME_VERSION)
    return fail(error, TALLY_VERSION,
                "%s chose protocol version %u, this client speaks %u: use one release for both",
                client->connection.server, client->welcome.version, FRAME_VERSION);
  return 0;
}

int client_reconnect(struct client *client, tally_error *error) {
  client_rows_orphan(client);
  client->broken = (tally_error){0};
  client->slot_count = client->unanswered = client->oldest = 0;
  client->next_id = 1;
  int code = connection_open(&client->connection, client->connect_timeout, error);
  if (code == 0) code = greet(client, error);
  client->connection.deadline = 0;
  if (code) {
    connection_hang_up(&client->connection);
    return client_break(client, error);
  }
  client->connection.reader.limit = FRAME_BYTES;
  return 0;
}

static void set_options(struct client *client, const struct client_options *options) {
  static const struct client_options defaults = {0};
  if (!options) options = &defaults;
  client->connect_timeout = options->connect_timeout ? options->connect_timeout : CONNECT_TIMEOUT;
  if (options->name)
    (void)snprintf(client->name, sizeof client->name, "%s", options->name);
  else
    (void)snprintf(client->name, sizeof client->name, "libtally %d.%d.%d", TALLY_VERSION_MAJOR,
                   TALLY_VERSION_MINOR, TALLY_VERSION_PATCH);
}

int client_open(const char *server, const struct client_options *options, struct client **client,
                tally_error *error) {
  struct client *made = mem_zalloc(1, sizeof *made);
  if (!made) return fail_memory(error, "a connection");
  atomic_init(&made->cancelled, false);
  set_options(made, options);
  uint32_t io_timeout = options && options->io_timeout ? options->io_timeout : IO_TIMEOUT;
  if (io_timeout < IO_TIMEOUT_MIN) io_timeout = IO_TIMEOUT_MIN;
  int code = connection_init(&made->connection, server, io_timeout, error);
  if (code == 0) code = client_reconnect(made, error);
  if (code) {
    client_close(made);
    return code;
  }
  *client = made;
  return 0;
}

void client_close(struct client *client) {
  if (!client) return;
  client_rows_orphan(client);
  connection_free(&client->connection);
  mem_free(client->slots);
  mem_free(client);
}

const struct message_welcome *client_welcome(const struct client *client) { return &client->welcome; }

/* write() of a byte is safe in a signal handler; a full pipe wakes as well. */
void client_cancel(struct client *client) {
  int saved = errno;
  atomic_store(&client->cancelled, true);
  ssize_t unused = write(client->connection.wake[1], "", 1);
  (void)unused;
  errno = saved;
}

/* ------------------------------------------------------------------ ingest */

size_t client_under_way(const struct client *client) { return client->slot_count; }
/* One place less than the server has: with all of them taken it reads nothing, PINGs included. */
size_t client_window(const struct client *client) {
  return client->welcome.append_window > 1 ? client->welcome.append_window - 1 : 1;
}

static int grow_slots(struct client *client, tally_error *error) {
  if (client->slot_count < client->slot_capacity) return 0;
  size_t capacity = client->slot_capacity ? client->slot_capacity * 2 : SLOTS_FIRST;
  struct client_slot *slots = mem_realloc_array(NULL, capacity, sizeof *slots);
  if (!slots) return fail_memory(error, "the receipts under way");
  for (size_t i = 0; i < client->slot_count; i++) slots[i] = *slot_at(client, i);
  mem_free(client->slots);
  client->slots = slots;
  client->slot_capacity = capacity;
  client->oldest = 0;
  return 0;
}

/* Waits until the server answers one of a full window. */
static int await_window(struct client *client, tally_error *error) {
  struct frame frame;
  connection_listen(&client->connection, false);
  while (client->unanswered >= client_window(client)) {
    int code = drain(client, 0, &frame, error);
    if (code) return code;
    if (client->unanswered < client_window(client)) break;
    if (connection_step(&client->connection, NULL, &client->next_id, error))
      return client_break(client, error);
  }
  return 0;
}

/* Sends all of it, dealing with what arrives meanwhile. */
static int send_all(struct client *client, struct sending *sending, tally_error *error) {
  struct frame frame;
  connection_listen(&client->connection, false);
  for (;;) {
    if (connection_step(&client->connection, sending, NULL, error)) return client_break(client, error);
    if (connection_sent(&client->connection, sending)) return 0;
    int code = drain(client, 0, &frame, error);
    if (code) return code;
  }
}

int client_submit(struct client *client, const void *bytes, size_t size, const tally_append_options *options,
                  tally_error *error) {
  uint8_t header[FRAME_HEADER], head[MESSAGE_APPEND_HEAD_MAX];
  size_t head_size = 0;
  if (client_ready(client, error)) return error->code;
  int code = message_append_head(head, &head_size, options, size, error);
  if (code) return code;
  if (FRAME_HEADER + head_size + size > client->welcome.frame_bytes || size > client->welcome.batch_bytes)
    return fail(error, TALLY_TOO_LARGE,
                "a batch of %zu bytes is more than %s takes (%u): make smaller batches", size,
                client->connection.server, client->welcome.batch_bytes);
  if (await_window(client, error) || grow_slots(client, error)) return error->code;
  uint64_t id = client->next_id++;
  frame_seal(header, MESSAGE_APPEND, id, head, head_size, bytes, size);
  *slot_at(client, client->slot_count++) = (struct client_slot){.id = id};
  client->unanswered++;
  union {
    const void *in;
    void *out;
  } batch = {.in = bytes}; /* an iovec has no const */
  struct sending sending = {.part = {{header, sizeof header}, {head, head_size}, {batch.out, size}},
                            .count = size ? 3 : 2};
  return send_all(client, &sending, error);
}

int client_receive(struct client *client, tally_receipt *receipt, tally_error *error) {
  struct frame frame;
  if (client->slot_count == 0)
    return fail(error, TALLY_USAGE, "there is no batch under way: submit one before its receipt is taken");
  connection_listen(&client->connection, false);
  struct client_slot *slot = slot_at(client, 0);
  while (!slot->answered) {
    if (client_ready(client, error)) return error->code;
    if (drain(client, 0, &frame, error)) return error->code;
    if (!slot->answered && connection_step(&client->connection, NULL, &client->next_id, error))
      return client_break(client, error);
  }
  client->oldest = (client->oldest + 1) & (client->slot_capacity - 1);
  client->slot_count--;
  if (slot->error.code) {
    *error = slot->error;
    return error->code;
  }
  *receipt = slot->receipt;
  return 0;
}

/* ------------------------------------------------------------------ short requests */

int client_asked(struct client *client, int put, uint64_t *id) {
  if (put) return put;
  *id = client->next_id++;
  return 0;
}

/* The answer to `id`, of type `wanted`, or the failure. */
static int await_answer(struct client *client, uint64_t id, uint8_t wanted, struct frame *frame,
                        tally_error *error) {
  int code = client_next(client, id, false, frame, error);
  if (code != CLIENT_MINE) return code;
  return frame->type == wanted ? 0 : client_refused(client, frame, error);
}

int client_mark(struct client *client, const char *producer, uint64_t epoch, tally_mark *mark,
                tally_error *error) {
  struct frame frame;
  uint64_t id;
  if (client_ready(client, error)) return error->code;
  int put = message_put_mark(&client->connection.out, client->next_id, producer, epoch, error);
  if (client_asked(client, put, &id) || await_answer(client, id, MESSAGE_MARKED, &frame, error))
    return error->code;
  return message_get_marked(&frame, mark, error) ? client_break(client, error) : 0;
}

static int ask_empty(struct client *client, uint8_t type, uint8_t wanted, tally_error *error) {
  struct frame frame;
  uint64_t id;
  if (client_ready(client, error)) return error->code;
  int put = message_put_empty(&client->connection.out, type, client->next_id, error);
  if (client_asked(client, put, &id) || await_answer(client, id, wanted, &frame, error)) return error->code;
  return message_get_empty(&frame, error) ? client_break(client, error) : 0;
}

int client_flush(struct client *client, tally_error *error) {
  return ask_empty(client, MESSAGE_FLUSH, MESSAGE_DONE, error);
}

int client_ping(struct client *client, tally_error *error) {
  return ask_empty(client, MESSAGE_PING, MESSAGE_PONG, error);
}
