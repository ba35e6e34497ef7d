/* server_peer.h - for the server's tests: a server on a thread of its own, in front of a fake store, and a
 * blocking client that speaks frames and can misbehave. */
#ifndef UNIT_SERVER_PEER_H
#define UNIT_SERVER_PEER_H

#include "proto/message.h"
#include "server/server.h"
#include "unit/server_fake.h"

struct running {
  struct fake fake;
  struct server server;
  struct config config;
  uv_loop_t loop;
  uv_async_t poke;
  uv_thread_t thread;
  _Atomic int wish; /* what the poke asks for: 1 drain, 2 reload to `config` */
  uint16_t port;
};

/* The settings to start from; change them before running_start. */
void running_config(struct running *running);
void running_start(struct running *running);
/* Asks the loop to drain / to take over running->config; returns at once. */
void running_ask(struct running *running, int wish);
/* Waits for the loop's end after a drain was asked for. */
void running_join(struct running *running);
/* Drains and waits, and checks that no cursor is left open. */
void running_stop(struct running *running);

struct peer {
  int socket;
  struct frame_pool pool;
  struct frame_reader reader;
  struct buffer out;
  tally_error error;
};

/* Connects; without greeting. */
void peer_connect(struct peer *peer, struct running *running);
/* Connects and greets. */
struct message_welcome peer_open(struct peer *peer, struct running *running);
void peer_close(struct peer *peer);
/* Sends peer->out and empties it. False if the server has hung up. */
bool peer_send(struct peer *peer);
/* Sends as much of `size` bytes as goes within `milliseconds` without progress; returns how many went. */
size_t peer_push(struct peer *peer, const void *bytes, size_t size, int milliseconds);
/* Receives the next frame: true, or false at the end of the stream (or after ten seconds of silence). */
bool peer_receive(struct peer *peer, struct frame *frame);
/* Receives a frame of that type and id. */
void peer_expect(struct peer *peer, uint8_t type, uint64_t id, struct frame *frame);
/* Receives an ERROR of that id and code. */
void peer_expect_error(struct peer *peer, uint64_t id, int code);
/* Receives the end of the stream. */
void peer_expect_end(struct peer *peer);
void peer_append(struct peer *peer, uint64_t id, const void *batch, size_t size);
/* A query of `limit` rows with texts of `text_size` bytes. */
void peer_query(struct peer *peer, uint64_t id, uint64_t limit, size_t text_size);
void peer_query_stuck(struct peer *peer, uint64_t id);
void peer_empty(struct peer *peer, uint8_t type, uint64_t id);
/* Reads a whole answer; returns its rows. */
uint64_t peer_read_answer(struct peer *peer, uint64_t id);

#endif
