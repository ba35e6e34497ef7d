/* frames.c - fuzzes the server's sessions: a stream of bytes, cut at places that depend on it, goes over a
 * socket to a server in front of a store in memory, whose loop runs in this thread.
 *
 * What comes back is frames, whole and of the server's types, with ids that were sent; after the peer has
 * hung up nothing of the session is left; and another connection is served all the while. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "fuzz/fuzz.h"
#include "proto/message.h"
#include "server/log.h"
#include "server/server.h"
#include "unit/server_fake.h"

#define OUTPUT (8u << 20) /* a fuzzed query may ask for any number of rows: what is read of its answer */

static struct fake fake;
static struct server server;
static uv_loop_t loop;
static uint16_t port;
static int witness; /* the other connection */

static char *no_environment(const char *name) {
  (void)name;
  return NULL;
}

/* Each connection comes from another address of the loopback, so that closed ones use up no ports. What the
 * system has not at hand now it has soon. */
static int try_to_connect(void) {
  static uint32_t count;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
  struct linger reset = {1, 0};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + count++ % 65000);
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  if (setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0 &&
      bind(s, (struct sockaddr *)&from, sizeof from) == 0 &&
      connect(s, (struct sockaddr *)&to, sizeof to) == 0)
    return s;
  (void)close(s);
  return -1;
}

static void turn(void) { (void)uv_run(&loop, UV_RUN_NOWAIT); }

static int connected(void) {
  for (int i = 0; i < 500; i++) {
    int s = try_to_connect();
    if (s >= 0) return s;
    turn();
    uv_sleep(10);
  }
  fuzz_broken(__FILE__, __LINE__, "no connection can be made: %s", strerror(errno));
}

/* Reads what is there into `out`; false when the server has hung up. */
static bool receive(int s, struct buffer *out) {
  static uint8_t piece[1 << 16];
  for (;;) {
    ssize_t n = recv(s, piece, sizeof piece, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN;
    if (out->size < OUTPUT) buffer_append(out, piece, (size_t)n);
  }
}

/* A frame that the other connection waits for. */
static void witness_gets(uint8_t type) {
  struct buffer in = {0};
  struct frame frame;
  tally_error e = {0};
  for (int i = 0; i < 100000; i++) {
    turn();
    require(receive(witness, &in), "the other connection is served");
    int result = frame_parse(in.data ? in.data : (const uint8_t *)"", in.size, FRAME_BYTES, &frame, NULL, &e);
    require(result >= 0, "%s", e.text);
    if (result == FRAME_MORE) {
      uv_sleep(0);
      continue;
    }
    require(frame.type == type, "%s came", message_name(frame.type));
    buffer_free(&in);
    return;
  }
  fuzz_broken(__FILE__, __LINE__, "the other connection waits for %s", message_name(type));
}

static void witness_sends(struct buffer *out) {
  require(send(witness, out->data, out->size, MSG_NOSIGNAL) == (ssize_t)out->size, "the other connection");
  buffer_free(out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const char *flags[64];
  struct config_sources sources = {flags, no_environment, NULL};
  struct config config;
  struct message_hello hello = {.lowest = FRAME_VERSION, .highest = FRAME_VERSION, .name = "witness"};
  struct buffer out = {0};
  tally_error e;
  (void)argc;
  (void)argv;
  (void)signal(SIGPIPE, SIG_IGN);
  if (config_load(&sources, &config, NULL, &e)) abort();
  (void)snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
  fake_init(&fake);
  log_set_level(LOG_ERROR);
  if (uv_loop_init(&loop) || server_start(&server, &loop, &config, &fake.store, &port, &e)) abort();
  witness = connected();
  if (message_put_hello(&out, 1, &hello, &e)) abort();
  witness_sends(&out);
  witness_gets(MESSAGE_WELCOME);
  return 0;
}

/* The ids of the frames in a stream, as far as it is one. */
static bool sent(const uint8_t *data, size_t size, uint64_t id) {
  struct frame frame;
  tally_error e;
  while (frame_parse(data, size, FRAME_BYTES, &frame, NULL, &e) == FRAME_READY) {
    if (frame.id == id) return true;
    data += FRAME_HEADER + frame.size;
    size -= FRAME_HEADER + frame.size;
  }
  return size >= 16 && load64(data + 8) == id; /* the one that ends the connection */
}

static void check_answers(const uint8_t *data, size_t size, const struct buffer *in) {
  struct frame frame;
  tally_error e = {0};
  for (size_t at = 0; at < in->size; at += FRAME_HEADER + frame.size) {
    int result = frame_parse(in->data + at, in->size - at, FRAME_BYTES, &frame, NULL, &e);
    require(result >= 0, "the server sent what is no frame: %s", e.text);
    if (result == FRAME_MORE) return; /* the answer was not read to its end */
    require(frame.type >= MESSAGE_WELCOME && frame.type <= MESSAGE_ERROR, "type %u came", frame.type);
    require(frame.id == 0 || sent(data, size, frame.id), "id %llu was not sent",
            (unsigned long long)frame.id);
  }
}

/* Turns the loop until the session is gone. One that ends because of its peer's fault finishes what is under
 * way, so what is stuck must go on for it. */
static void until_gone(void) {
  for (int i = 0; i < 20000; i++) {
    turn();
    if (server.session_count == 1 && atomic_load(&fake.open) == 0) {
      if (i > 300) fake_loosen(&fake, false);
      return;
    }
    if (i == 300) fake_loosen(&fake, true);
    if (i > 50) uv_sleep(i > 500 ? 1 : 0);
  }
  fuzz_broken(__FILE__, __LINE__, "%llu sessions and %d cursors are left",
              (unsigned long long)server.session_count - 1, atomic_load(&fake.open));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned inputs;
  struct buffer in = {0};
  uint64_t cut = size ? hash64(data, size) : 0;
  int s = connected();
  bool open = true;
  for (size_t at = 0; at < size && open;) {
    cut = hash_mix(cut);
    size_t piece = cut & 3 ? 1 + cut / 4 % 64 : size - at;
    if (piece > size - at) piece = size - at;
    ssize_t n = send(s, data + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) at += (size_t)n;
    turn();
    open = receive(s, &in) && (n >= 0 || errno == EAGAIN);
  }
  for (int i = 0; i < 3 && open; i++) {
    turn();
    open = receive(s, &in);
  }
  if (cut & 64) (void)shutdown(s, SHUT_WR);
  for (int i = 0; i < 3 && open; i++) {
    turn();
    open = receive(s, &in);
  }
  (void)close(s);
  until_gone();
  check_answers(data, size, &in);
  buffer_free(&in);
  if (inputs++ % 64 == 0) {
    struct buffer out = {0};
    tally_error e;
    if (message_put_empty(&out, MESSAGE_PING, inputs, &e)) abort();
    witness_sends(&out);
    witness_gets(MESSAGE_PONG);
  }
  return 0;
}

/* ------------------------------------------------------------------ mutation */

#define FRAMES 64u

static size_t find_frames(const uint8_t *data, size_t size, size_t at[FRAMES + 1]) {
  size_t n = 0, offset = 0;
  at[0] = 0;
  while (n < FRAMES && offset + FRAME_HEADER <= size && load32(data + offset) <= size - offset - FRAME_HEADER)
    at[++n] = offset += FRAME_HEADER + load32(data + offset);
  return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size_t at[FRAMES + 1], n = find_frames(data, size, at);
  uint32_t what = fuzz_draw(&seed, 8);
  size_t i = n ? fuzz_draw(&seed, (uint32_t)n) : 0;
  if (n == 0 || what == 0) {
    size = LLVMFuzzerMutate(data, size, max);
  } else if (what == 1) {
    (void)fuzz_repeat(data, &size, max, at[i], at[i + 1]);
  } else if (what == 2) {
    fuzz_cut(data, &size, at[i], at[i + 1]);
  } else if (what == 3) {
    (void)fuzz_mutate(data, &size, max, at[i] + 5, at[i] + 16, true);
    if (fuzz_draw(&seed, 4)) data[at[i] + 5] = (uint8_t)(1 + fuzz_draw(&seed, 11));
  } else {
    size_t end = fuzz_mutate(data, &size, max, at[i] + FRAME_HEADER, at[i + 1], false);
    store32(data + at[i], (uint32_t)(end - at[i] - FRAME_HEADER));
  }
  n = find_frames(data, size, at);
  for (size_t f = 0; f < n; f++) {
    uint8_t *p = data + at[f];
    size_t payload = at[f + 1] - at[f] - FRAME_HEADER;
    if (f == i && fuzz_draw(&seed, 16) == 0) continue;
    frame_seal(p, p[5], load64(p + 8), p + FRAME_HEADER, payload, NULL, 0);
  }
  return size;
}
