/* connection.h - a client's socket: connecting, moving bytes both ways, and noticing that the peer is gone.
 * Internal to proto/client*.c.
 *
 * The socket never blocks; connection_step is the one place that waits. Small messages are queued in `out`; a
 * large one is sent from where it is, as `struct sending`, behind what is queued. While something is being
 * sent, what arrives is received too. */
#ifndef PROTO_CONNECTION_H
#define PROTO_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <tally.h>

#include "proto/frame.h"

#define CONNECTION_SERVER 300 /* bytes of "HOST:PORT" at most, with its NUL */

struct connection {
  char server[CONNECTION_SERVER]; /* as the user wrote it, for messages */
  int fd;                         /* -1: none */
  int wake[2];                    /* a pipe: a byte in it ends a wait */
  bool unsendable;                /* the peer takes no bytes any more: read its last words */
  uint32_t io_timeout;            /* milliseconds */
  int64_t deadline;               /* of connecting and greeting, monotonic milliseconds; 0: over */
  int64_t heard, pinged; /* when bytes last came (or left, of a large message), when a PING was last queued */
  int64_t look_until; /* the wait's first steps look before they sleep, until then: monotonic nanoseconds */
  struct buffer out;  /* whole frames; those before `sent` are gone */
  size_t sent;
  struct frame_pool pool;
  struct frame_reader reader;
};

/* What is left to be sent of one large message. */
struct sending {
  struct iovec part[3];
  int first, count;
};

/* Without a socket yet. TALLY_USAGE if `server` is no address, TALLY_IO. */
int connection_init(struct connection *connection, const char *server, uint32_t io_timeout,
                    tally_error *error);
void connection_free(struct connection *connection);
/* Connects until the deadline; a socket that was there is closed, what was queued and received is dropped. */
int connection_open(struct connection *connection, uint32_t connect_timeout, tally_error *error);
void connection_hang_up(struct connection *connection);

/* A wait begins: silence counts from now. `looking`: it is for an answer that may come shortly, so the thread
 * looks for it, for 300 microseconds at most, before it sleeps. */
void connection_listen(struct connection *connection, bool looking);
/* Sends what can be sent (`sending` may be NULL) and receives what is there, waiting until at least one of
 * them is possible or connection->wake is written to. With `ping_id` a PING of that id is queued now and then
 * while the peer is silent (*ping_id is counted up). Never with a half-sent `sending`. Fails with
 * TALLY_CONNECTION when the peer is gone or silent for too long. */
int connection_step(struct connection *connection, struct sending *sending, uint64_t *ping_id,
                    tally_error *error);
/* True when nothing is left to be sent. */
bool connection_sent(const struct connection *connection, const struct sending *sending);

#endif
