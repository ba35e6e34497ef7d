/* server_peer.c - see server_peer.h. */
#include "unit/server_peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/log.h"

#define PATIENCE_MS 10000

static char *no_environment(const char *name) {
  (void)name;
  return NULL;
}

void running_config(struct running *running) {
  static const char *flags[64];
  struct config_sources sources = {flags, no_environment, NULL};
  tally_error error;
  memset(running, 0, sizeof *running);
  (void)signal(SIGPIPE, SIG_IGN); /* as main.c does: libuv writes to sockets whose peer has gone */
  cr_assert_eq(config_load(&sources, &running->config, NULL, &error), 0, "%s", error.text);
  (void)snprintf(running->config.listen, sizeof running->config.listen, "127.0.0.1:0");
  fake_init(&running->fake);
  log_set_level(LOG_ERROR);
}

static void on_poke(uv_async_t *poke) {
  struct running *running = poke->data;
  if (atomic_load(&running->wish) == 1)
    server_drain(&running->server);
  else
    server_reload(&running->server, &running->config);
}

static void on_end(struct server *server) {
  uv_close((uv_handle_t *)&((struct running *)server->owner)->poke, NULL);
}

static void run(void *arg) { (void)uv_run(&((struct running *)arg)->loop, UV_RUN_DEFAULT); }

void running_start(struct running *running) {
  tally_error error;
  running->server.on_end = on_end;
  running->server.owner = running;
  running->poke.data = running;
  cr_assert_eq(uv_loop_init(&running->loop), 0);
  cr_assert_eq(uv_async_init(&running->loop, &running->poke, on_poke), 0);
  cr_assert_eq(server_start(&running->server, &running->loop, &running->config, &running->fake.store,
                            &running->port, &error),
               0, "%s", error.text);
  cr_assert_eq(uv_thread_create(&running->thread, run, running), 0);
}

void running_ask(struct running *running, int wish) {
  atomic_store(&running->wish, wish);
  (void)uv_async_send(&running->poke);
}

void running_join(struct running *running) {
  (void)uv_thread_join(&running->thread);
  server_free(&running->server);
  cr_expect_eq(uv_loop_close(&running->loop), 0, "a handle is left open");
  cr_expect_eq(atomic_load(&running->fake.open), 0, "a cursor is left open");
}

void running_stop(struct running *running) {
  running_ask(running, 1);
  running_join(running);
}

void peer_connect(struct peer *peer, struct running *running) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(running->port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(peer, 0, sizeof *peer);
  frame_pool_init(&peer->pool, NULL, 0);
  frame_reader_init(&peer->reader, &peer->pool, FRAME_BYTES);
  peer->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_geq(peer->socket, 0);
  cr_assert_eq(connect(peer->socket, (struct sockaddr *)&address, sizeof address), 0);
}

struct message_welcome peer_open(struct peer *peer, struct running *running) {
  struct message_hello hello = {.lowest = FRAME_VERSION, .highest = FRAME_VERSION, .name = "unit test"};
  struct message_welcome welcome;
  struct frame frame;
  peer_connect(peer, running);
  cr_assert_eq(message_put_hello(&peer->out, 1, &hello, &peer->error), 0);
  cr_assert(peer_send(peer));
  peer_expect(peer, MESSAGE_WELCOME, 1, &frame);
  cr_assert_eq(message_get_welcome(&frame, &welcome, &peer->error), 0);
  return welcome;
}

void peer_close(struct peer *peer) {
  (void)close(peer->socket);
  frame_reader_free(&peer->reader);
  frame_pool_free(&peer->pool);
  buffer_free(&peer->out);
}

size_t peer_push(struct peer *peer, const void *bytes, size_t size, int milliseconds) {
  size_t sent = 0;
  while (sent < size) {
    struct pollfd ready = {.fd = peer->socket, .events = POLLOUT};
    if (poll(&ready, 1, milliseconds) <= 0) break;
    ssize_t n = send(peer->socket, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) break;
    sent += (size_t)n;
  }
  return sent;
}

bool peer_send(struct peer *peer) {
  bool all = peer_push(peer, peer->out.data, peer->out.size, PATIENCE_MS) == peer->out.size;
  buffer_clear(&peer->out);
  return all;
}

static bool receive_more(struct peer *peer) {
  size_t room;
  struct pollfd ready = {.fd = peer->socket, .events = POLLIN};
  uint8_t *at = frame_reader_room(&peer->reader, &room, &peer->error);
  cr_assert(at);
  ssize_t n = poll(&ready, 1, PATIENCE_MS) == 1 ? recv(peer->socket, at, room, 0) : 0;
  frame_reader_commit(&peer->reader, n > 0 ? (size_t)n : 0);
  return n > 0;
}

bool peer_receive(struct peer *peer, struct frame *frame) {
  for (;;) {
    int code = frame_reader_next(&peer->reader, frame, NULL, &peer->error);
    cr_assert_geq(code, 0, "the server sent what is no frame: %s", peer->error.text);
    if (code == FRAME_READY) return true;
    if (!receive_more(peer)) return false;
  }
}

void peer_expect(struct peer *peer, uint8_t type, uint64_t id, struct frame *frame) {
  cr_assert(peer_receive(peer, frame), "nothing came, %s of %lu was expected", message_name(type), id);
  if (frame->type == MESSAGE_ERROR && type != MESSAGE_ERROR) {
    tally_error error = {0};
    (void)message_get_error(frame, &error, &peer->error);
    cr_assert(false, "%s of %lu was expected: %s", message_name(type), id, error.text);
  }
  cr_assert_eq(frame->type, type, "%s came, %s was expected", message_name(frame->type), message_name(type));
  cr_assert_eq(frame->id, id, "%s of %lu came, of %lu was expected", message_name(type), frame->id, id);
}

void peer_expect_error(struct peer *peer, uint64_t id, int code) {
  struct frame frame;
  tally_error error;
  peer_expect(peer, MESSAGE_ERROR, id, &frame);
  cr_assert_eq(message_get_error(&frame, &error, &peer->error), 0);
  cr_assert_eq(error.code, code, "%s came (%s), %s was expected", tally_error_name(error.code), error.text,
               tally_error_name(code));
  cr_assert(*error.text);
}

void peer_expect_end(struct peer *peer) {
  struct frame frame;
  struct pollfd ready = {.fd = peer->socket, .events = POLLIN};
  cr_assert_eq(poll(&ready, 1, PATIENCE_MS), 1, "the server did not hang up");
  cr_assert_not(peer_receive(peer, &frame), "%s came, the end was expected", message_name(frame.type));
}

void peer_append(struct peer *peer, uint64_t id, const void *batch, size_t size) {
  cr_assert_eq(message_put_append(&peer->out, id, NULL, batch, size, &peer->error), 0);
}

void peer_query(struct peer *peer, uint64_t id, uint64_t limit, size_t text_size) {
  char text[24];
  tally_query query = {.limit = limit, .group_by = text};
  (void)snprintf(text, sizeof text, "%zu", text_size);
  cr_assert_eq(message_put_query(&peer->out, id, &query, &peer->error), 0);
}

void peer_query_stuck(struct peer *peer, uint64_t id) {
  tally_query query = {.limit = 1, .tz = "stuck"};
  cr_assert_eq(message_put_query(&peer->out, id, &query, &peer->error), 0);
}

void peer_empty(struct peer *peer, uint8_t type, uint64_t id) {
  cr_assert_eq(message_put_empty(&peer->out, type, id, &peer->error), 0);
}

uint64_t peer_read_answer(struct peer *peer, uint64_t id) {
  struct frame frame;
  uint64_t rows = 0;
  struct message_end said;
  peer_expect(peer, MESSAGE_COLUMNS, id, &frame);
  for (;;) {
    struct message_rows_reader reader;
    tally_text cells[2];
    cr_assert(peer_receive(peer, &frame));
    cr_assert_eq(frame.id, id);
    if (frame.type == MESSAGE_END) break;
    cr_assert_eq(frame.type, MESSAGE_ROWS);
    cr_assert_eq(message_get_rows(&frame, 2, &reader, &peer->error), 0);
    for (; message_rows_next(&reader, cells, &peer->error) == TALLY_ROW; rows++)
      cr_assert_eq((uint64_t)atoll(cells[0].data), rows, "row %lu is another one", rows);
  }
  cr_assert_eq(message_get_end(&frame, &said, &peer->error), 0);
  cr_assert_eq(said.rows, rows);
  cr_assert_eq(said.left_out, 0);
  return rows;
}
