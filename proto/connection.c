/* connection.c - connecting to a server, and moving bytes; see connection.h. */
#include "proto/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "proto/client.h"
#include "proto/message.h"

#define SPARE_INPUT (256u << 10) /* bytes of chunks kept for the next input */
#define PINGS_IN_SILENCE 3       /* the I/O deadline is this many intervals of PING */
#define LOOK_NS 300000           /* most answers to short requests are here by then: docs/decisions/0009 */

/* Monotonic nanoseconds, and milliseconds. */
static int64_t now_ns(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static int64_t now(void) { return now_ns() / 1000000; }

/* The system's words for an errno, begun in lower case as they stand within a sentence. */
static const char *reason(int number, char text[128]) {
  (void)snprintf(text, 128, "%s", strerrordesc_np(number) ? strerrordesc_np(number) : "unknown error");
  if (text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z')) text[0] = (char)(text[0] + 32);
  return text;
}

/* ------------------------------------------------------------------ addresses */

/* host and port of "HOST:PORT", "HOST", "[HOST]:PORT", "[HOST]", or an IPv6 address alone. */
static int split_address(const char *server, char host[CONNECTION_SERVER], char port[8], tally_error *error) {
  const char *name = server, *end = strrchr(server, ':'), *number = CLIENT_PORT;
  size_t size = strlen(server);
  if (server[0] == '[') {
    const char *close = strchr(server, ']');
    if (!close || (close[1] != '\0' && close[1] != ':')) goto bad;
    name = server + 1;
    size = (size_t)(close - name);
    if (close[1] == ':') number = close + 2;
  } else if (end && strchr(server, ':') == end) {
    size = (size_t)(end - server);
    number = end + 1;
  }
  size_t digits = strspn(number, "0123456789");
  if (size == 0 || digits == 0 || digits > 5 || number[digits] || atoi(number) < 1 || atoi(number) > 65535)
    goto bad;
  memcpy(host, name, size);
  host[size] = '\0';
  memcpy(port, number, digits + 1);
  return 0;
bad:
  return fail(error, TALLY_USAGE,
              "'%s' is no address of a server: write HOST:PORT, for example 127.0.0.1:%s or [::1]:%s", server,
              CLIENT_PORT, CLIENT_PORT);
}

int connection_init(struct connection *c, const char *server, uint32_t io_timeout, tally_error *error) {
  char host[CONNECTION_SERVER], port[8];
  *c = (struct connection){.fd = -1, .wake = {-1, -1}, .io_timeout = io_timeout};
  if (strlen(server) >= sizeof c->server)
    return fail(error, TALLY_USAGE, "the server's address has more than %zu bytes: write HOST:PORT",
                sizeof c->server - 1);
  int code = split_address(server, host, port, error);
  if (code) return code;
  memcpy(c->server, server, strlen(server) + 1);
  if (pipe2(c->wake, O_NONBLOCK | O_CLOEXEC)) {
    char text[128];
    return fail(error, TALLY_IO, "cannot make a pipe: %s: close some files", reason(errno, text));
  }
  frame_pool_init(&c->pool, NULL, SPARE_INPUT);
  frame_reader_init(&c->reader, &c->pool, FRAME_GREETING);
  return 0;
}

void connection_hang_up(struct connection *c) {
  if (c->fd >= 0) (void)close(c->fd);
  c->fd = -1;
  c->unsendable = false;
  c->sent = 0;
  buffer_clear(&c->out);
  frame_reader_free(&c->reader);
  frame_reader_init(&c->reader, &c->pool, FRAME_GREETING);
}

void connection_free(struct connection *c) {
  connection_hang_up(c);
  for (int i = 0; i < 2; i++)
    if (c->wake[i] >= 0) (void)close(c->wake[i]);
  buffer_free(&c->out);
  frame_reader_free(&c->reader);
  frame_pool_free(&c->pool);
}

/* ------------------------------------------------------------------ connecting */

static int fail_connect(const struct connection *c, int number, tally_error *error) {
  char text[128];
  if (number == ECONNREFUSED)
    return fail(error, TALLY_CONNECTION,
                "cannot connect to %s: connection refused: is tallyd running? start it with `tallyd --data "
                "DIR`, or use "
                "--db DIR",
                c->server);
  if (number == ETIMEDOUT)
    return fail(
        error, TALLY_CONNECTION,
        "cannot connect to %s: no answer within the time limit: check the address, the port and the firewall",
        c->server);
  return fail(error, TALLY_CONNECTION, "cannot connect to %s: %s: check the address and the network",
              c->server, reason(number, text));
}

/* Waits for a connection under way; 0 or an errno. */
static int await_connect(int fd, int64_t until) {
  for (;;) {
    int64_t left = until - now();
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n = left > 0 ? poll(&p, 1, (int)left) : 0;
    if (n == 0) return ETIMEDOUT;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    int number = 0;
    socklen_t size = sizeof number;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) ? errno : number;
  }
}

/* A connected socket in *fd; 0 or an errno. */
static int connect_one(const struct addrinfo *address, int64_t until, int *fd) {
  *fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
  if (*fd < 0) return errno;
  int one = 1, number = 0;
  (void)setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(*fd, address->ai_addr, address->ai_addrlen))
    number = errno == EINPROGRESS || errno == EINTR ? await_connect(*fd, until) : errno;
  if (number) (void)close(*fd);
  return number;
}

/* Tries the addresses in the system's order, each with its share of the time that is left. */
static int connect_any(struct connection *c, const struct addrinfo *list, tally_error *error) {
  int number = EADDRNOTAVAIL, fd = -1, count = 0;
  for (const struct addrinfo *a = list; a; a = a->ai_next) count++;
  for (const struct addrinfo *a = list; a; a = a->ai_next, count--) {
    int64_t t = now();
    number = connect_one(a, t + (c->deadline - t) / count, &fd);
    if (number == 0) {
      c->fd = fd;
      return 0;
    }
  }
  return fail_connect(c, number, error);
}

int connection_open(struct connection *c, uint32_t connect_timeout, tally_error *error) {
  connection_hang_up(c);
  char host[CONNECTION_SERVER], port[8];
  int code = split_address(c->server, host, port, error);
  if (code) return code;
  c->deadline = now() + connect_timeout;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV},
                  *list;
  int number = getaddrinfo(host, port, &hints, &list);
  if (number)
    return fail(error, TALLY_CONNECTION, "cannot connect to %s: %s: check the name", c->server,
                gai_strerror(number));
  code = connect_any(c, list, error);
  freeaddrinfo(list);
  return code;
}

/* ------------------------------------------------------------------ moving bytes */

void connection_listen(struct connection *c, bool looking) {
  int64_t t = now_ns();
  c->heard = c->pinged = t / 1000000;
  c->look_until = looking ? t + LOOK_NS : 0;
}

bool connection_sent(const struct connection *c, const struct sending *sending) {
  return c->sent == c->out.size && (!sending || sending->first == sending->count);
}

static int fail_lost(const struct connection *c, const char *why, tally_error *error) {
  return fail(
      error, TALLY_CONNECTION,
      "lost the connection to %s: %s: what was under way may or may not have happened; connect again and ask",
      c->server, why);
}

static void count_sent(struct connection *c, struct sending *sending, size_t n) {
  if (c->sent < c->out.size) {
    size_t queued = c->out.size - c->sent < n ? c->out.size - c->sent : n;
    c->sent += queued;
    n -= queued;
    if (c->sent == c->out.size) {
      c->sent = 0;
      buffer_clear(&c->out);
    }
  }
  while (n && sending->first < sending->count) {
    struct iovec *part = &sending->part[sending->first];
    size_t part_n = part->iov_len < n ? part->iov_len : n;
    part->iov_base = (uint8_t *)part->iov_base + part_n;
    part->iov_len -= part_n;
    n -= part_n;
    if (part->iov_len == 0) sending->first++;
  }
}

/* Sends until nothing is left or the system takes no more. */
static void send_some(struct connection *c, struct sending *sending) {
  while (!c->unsendable && !connection_sent(c, sending)) {
    struct iovec parts[4];
    size_t count = 0;
    if (c->sent < c->out.size)
      parts[count++] = (struct iovec){.iov_base = c->out.data + c->sent, .iov_len = c->out.size - c->sent};
    for (int i = sending ? sending->first : 0; sending && i < sending->count; i++)
      parts[count++] = sending->part[i];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      count_sent(c, sending, (size_t)n);
      if (sending) c->heard = now(); /* who waits for an answer is not helped by bytes that leave */
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      c->unsendable = true; /* its reason may be in what it has sent: receive until the end says so */
    }
  }
}

/* Receives once. */
static int receive_some(struct connection *c, tally_error *error) {
  size_t room;
  char text[128];
  uint8_t *to = frame_reader_room(&c->reader, &room, error);
  if (!to) return error->code;
  ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
  frame_reader_commit(&c->reader, n > 0 ? (size_t)n : 0);
  if (n > 0) {
    c->heard = now();
    return 0;
  }
  if (n == 0) return fail_lost(c, "the server closed it", error);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  return fail_lost(c, reason(errno, text), error);
}

static int fail_silent(const struct connection *c, tally_error *error) {
  if (c->deadline)
    return fail(
        error, TALLY_CONNECTION,
        "%s accepts connections but does not greet within the time limit: is this the port of tallyd?",
        c->server);
  char why[64];
  (void)snprintf(why, sizeof why, "no sign of life for %u.%03u s", c->io_timeout / 1000,
                 c->io_timeout % 1000);
  return fail_lost(c, why, error);
}

/* How long the next wait may take; 0 or less: the peer counts as lost. Queues a PING when it is time. */
static int64_t patience(struct connection *c, uint64_t *ping_id) {
  int64_t t = now(), until = c->deadline ? c->deadline : c->heard + c->io_timeout;
  if (!ping_id || c->deadline) return until - t;
  int64_t ping_at = (c->pinged > c->heard ? c->pinged : c->heard) + c->io_timeout / PINGS_IN_SILENCE;
  if (t >= ping_at) {
    tally_error unused; /* without memory there is no PING, and silence decides */
    if (message_put_empty(&c->out, MESSAGE_PING, *ping_id, &unused) == 0) (*ping_id)++;
    c->pinged = t;
    ping_at = t + c->io_timeout / PINGS_IN_SILENCE;
    send_some(c, NULL);
  }
  return (until < ping_at ? until : ping_at) - t;
}

static void swallow_wake(const struct connection *c) {
  char bytes[64];
  while (read(c->wake[0], bytes, sizeof bytes) > 0) {
  }
}

/* poll that looks before it sleeps. */
static int look_and_wait(const struct connection *c, struct pollfd p[2], int wait) {
  while (now_ns() < c->look_until) {
    int n = poll(p, 2, 0);
    if (n) return n;
    (void)sched_yield(); /* to a server that is on the same core */
  }
  return poll(p, 2, wait);
}

int connection_step(struct connection *c, struct sending *sending, uint64_t *ping_id, tally_error *error) {
  send_some(c, sending);
  if (sending && connection_sent(c, sending)) return 0;
  int64_t wait = patience(c, ping_id);
  if (wait <= 0) return fail_silent(c, error);
  bool send = !c->unsendable && !connection_sent(c, sending);
  struct pollfd p[2] = {{.fd = c->fd, .events = (short)(POLLIN | (send ? POLLOUT : 0))},
                        {.fd = c->wake[0], .events = POLLIN}};
  int n = look_and_wait(c, p, wait > 60000 ? 60000 : (int)wait);
  if (n < 0 && errno != EINTR) {
    char text[128];
    return fail_lost(c, reason(errno, text), error);
  }
  if (n <= 0) return 0;
  if (p[1].revents) swallow_wake(c);
  if (p[0].revents & POLLOUT) send_some(c, sending);
  return p[0].revents & (POLLIN | POLLERR | POLLHUP) ? receive_some(c, error) : 0;
}
