/* session.c - the life of a session: accepting, reading, ending; see session.h. */
#include "server/session.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "server/log.h"

#define KEEPALIVE_SECONDS 60u

/* The ERROR that a session ends with. */
struct farewell {
  uint64_t id;
  tally_error reason;
};

static struct session *session_of(struct place *place) {
  return (struct session *)(void *)((char *)place - offsetof(struct session, place));
}

void session_peer(const struct session *session, char *text, size_t size) {
  struct sockaddr_storage address;
  int length = (int)sizeof address;
  char host[48] = "unknown peer";
  unsigned port = 0;
  if (uv_tcp_getpeername(&session->tcp, (struct sockaddr *)&address, &length) == 0) {
    if (address.ss_family == AF_INET6) {
      const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address;
      (void)uv_ip6_name(v6, host, sizeof host);
      port = ntohs(v6->sin6_port);
    } else {
      const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address;
      (void)uv_ip4_name(v4, host, sizeof host);
      port = ntohs(v4->sin_port);
    }
  }
  (void)snprintf(text, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

void session_mark(struct session *session) {
  if (session->dirty) return;
  session->dirty = true;
  session->next_dirty = session->server->dirty;
  session->server->dirty = session;
}

/* ------------------------------------------------------------------ ending */

static void on_closed(uv_handle_t *handle) {
  struct session *session = handle->data;
  session->handle_closed = true;
  session_mark(session);
}

/* What was received and not taken is dropped. */
static void stop_input(struct session *session) {
  if (session->reading) (void)uv_read_stop((uv_stream_t *)&session->tcp);
  session->reading = false;
  place_free(&session->server->intake, &session->place);
}

void session_close(struct session *session) {
  if (session->state == SESSION_CLOSED) return;
  if (session->state <= SESSION_OPEN) stop_input(session);
  session->state = SESSION_CLOSED;
  session_cancel_answers(session);
  mem_free(session->farewell);
  session->farewell = NULL;
  uv_close((uv_handle_t *)&session->tcp, on_closed);
  session_mark(session);
}

static void log_end(struct session *session, const tally_error *reason) {
  char peer[64];
  session_peer(session, peer, sizeof peer);
  bool fault = reason->code != TALLY_CLOSED && reason->code != TALLY_DEADLINE;
  log_peer(fault ? LOG_WARN : LOG_DEBUG, "%s: connection ended: %s", peer, reason->text);
}

void session_end(struct session *session, uint64_t id, const tally_error *reason, bool cancel) {
  if (session->state >= SESSION_ENDING) return;
  stop_input(session);
  session->state = SESSION_ENDING;
  session->since = uv_now(session->server->loop);
  if (cancel) session_cancel_answers(session);
  if (reason) {
    log_end(session, reason);
    session->farewell = mem_alloc(sizeof *session->farewell);
    if (session->farewell) *session->farewell = (struct farewell){id, *reason};
  }
  session_mark(session);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
  struct session *session = request->data;
  mem_free(request);
  session->writes--;
  session->shut = true;
  if (status < 0) session_close(session);
  session_mark(session);
}

static void linger(struct session *session) {
  uv_shutdown_t *request = mem_alloc(sizeof *request);
  session->state = SESSION_LINGERING;
  session->since = uv_now(session->server->loop);
  if (request) {
    request->data = session;
    if (uv_shutdown(request, (uv_stream_t *)&session->tcp, on_shutdown) == 0) {
      session->writes++;
      return;
    }
  }
  mem_free(request);
  session_close(session);
}

/* The farewell is the last frame: it goes when everything else has been sent. */
static void go_on_ending(struct session *session) {
  if (session->entries || session->answer_count || session->writes) return;
  if (session->farewell) {
    struct farewell farewell = *session->farewell;
    mem_free(session->farewell);
    session->farewell = NULL;
    session_put_error(session, farewell.id, &farewell.reason);
    session_flush(session);
  } else if (session->peer_done) {
    session_close(session);
  } else {
    linger(session);
  }
}

/* ------------------------------------------------------------------ reading */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  struct session *session = handle->data;
  size_t size = 0;
  (void)suggested;
  if (session->state == SESSION_LINGERING) {
    *room = uv_buf_init((char *)session->server->scratch, SERVER_SCRATCH);
    return;
  }
  uint8_t *at = place_room(&session->server->intake, &session->place, &size);
  *room = uv_buf_init((char *)at, at ? (unsigned)size : 0);
}

static void on_input_end(struct session *session, ssize_t result) {
  char peer[64];
  session_peer(session, peer, sizeof peer);
  log_peer(LOG_DEBUG, "%s: %s", peer, result == UV_EOF ? "hung up" : uv_strerror((int)result));
  session->peer_done = true;
  if (result == UV_EOF && session->state <= SESSION_OPEN)
    session_end(session, 0, NULL, true); /* receipts of what is under way are still sent */
  else
    session_close(session);
}

static void on_read(uv_stream_t *stream, ssize_t result, const uv_buf_t *room) {
  struct session *session = stream->data;
  (void)room;
  session_mark(session);
  if (result == UV_ENOBUFS) return; /* the place waits for memory: settling stops reading */
  if (session->state <= SESSION_OPEN) {
    frame_reader_commit(&session->place.reader, result > 0 ? (size_t)result : 0);
    session_take_frames(session); /* also without bytes: an empty chunk goes back */
  }
  if (result < 0) on_input_end(session, result);
}

/* Reads as long as the windows and the intake let it; a lingering session reads to throw away. */
static void decide_reading(struct session *session) {
  bool want = session_may_take(session) || (session->state == SESSION_LINGERING && !session->peer_done);
  if (want == session->reading || session->state == SESSION_CLOSED) return;
  session->reading = want;
  if (want && session->frame_since)
    session->frame_since = uv_now(session->server->loop); /* we kept it waiting */
  if (!want) {
    (void)uv_read_stop((uv_stream_t *)&session->tcp);
  } else if (uv_read_start((uv_stream_t *)&session->tcp, on_room, on_read) != 0) {
    session->reading = false;
    session_close(session);
  }
}

void session_resume(struct place *place) { session_mark(session_of(place)); }

/* ------------------------------------------------------------------ settling */

static void session_free(struct session *session) {
  buffer_free(&session->replies);
  server_forget(session->server, session);
  mem_free(session);
}

void session_settle(struct session *session) {
  if (session->state <= SESSION_OPEN) session_take_frames(session);
  session_pull_answers(session);
  session_flush(session);
  if (session->state == SESSION_ENDING) go_on_ending(session);
  decide_reading(session);
  if (session->state == SESSION_CLOSED && session->handle_closed && !session->entries &&
      !session->answer_count)
    session_free(session);
}

/* ------------------------------------------------------------------ deadlines */

static void end_late(struct session *session, const char *what, uint64_t limit, const char *setting) {
  tally_error reason;
  char text[32];
  config_print_duration(limit, text, sizeof text);
  (void)fail(&reason, TALLY_DEADLINE, "%s for %s, the server's %s: connect again", what, text, setting);
  session_end(session, 0, &reason, true);
}

static bool quiet(const struct session *session) {
  return !session->entries && !session->answer_count && !session->writes && !place_partial(&session->place);
}

static void sweep_open(struct session *session, uint64_t now) {
  const struct config *config = &session->server->config;
  if (session->frame_since && session->reading && now - session->frame_since > config->frame_timeout)
    end_late(session, "a frame was not complete", config->frame_timeout, "frame_timeout");
  else if (session->unsent_replies >= SERVER_REPLIES_UNSENT && now - session->active > config->frame_timeout)
    session_close(session); /* it sends requests and reads no answer: a farewell would not be read either */
  else if (config->idle_timeout && quiet(session) && now - session->active > config->idle_timeout)
    end_late(session, "the connection was idle", config->idle_timeout, "idle_timeout");
  else
    session_sweep_answers(session, now);
}

void session_sweep(struct session *session, uint64_t now) {
  const struct config *config = &session->server->config;
  if (session->state == SESSION_GREETING && now - session->since > config->hello_timeout)
    end_late(session, "there was no HELLO", config->hello_timeout, "hello_timeout");
  else if (session->state == SESSION_OPEN)
    sweep_open(session, now);
  else if (session->state == SESSION_ENDING && !session->server->draining && !session->entries &&
           now - session->since > SESSION_ENDING_MS)
    session_close(session);
  else if (session->state == SESSION_LINGERING &&
           now - session->since > (session->server->draining ? SESSION_LINGER_MS / 4 : SESSION_LINGER_MS))
    session_close(session);
}

/* ------------------------------------------------------------------ accepting */

static struct session *session_new(struct server *server) {
  struct session *session = mem_zalloc(1, sizeof *session);
  if (!session) return NULL;
  session->server = server;
  if (uv_tcp_init(server->loop, &session->tcp) != 0) {
    mem_free(session);
    return NULL;
  }
  session->tcp.data = session;
  place_init(&server->intake, &session->place);
  session->since = session->active = uv_now(server->loop);
  session->next = server->sessions;
  if (session->next) session->next->previous = session;
  server->sessions = session;
  server->session_count++;
  return session;
}

/* One connection too many is told so. Of those that are being told there are a few at most; beyond that a
 * connection is closed without a word. */
static void refuse(struct session *session) {
  struct server *server = session->server;
  tally_error reason;
  if (server->session_count > server->config.max_connections + 256) {
    session_close(session);
    return;
  }
  (void)fail(&reason, TALLY_BUSY,
             "the server has its %llu connections (max_connections): close some, or raise the setting",
             (unsigned long long)server->config.max_connections);
  session_end(session, 0, &reason, false);
}

void session_accept(struct server *server) {
  struct session *session = session_new(server);
  server->accept_late = !session; /* the sweep tries again */
  if (!session) {
    log_peer(LOG_ERROR, "a connection waits: there is no memory to accept it");
    return;
  }
  int result = uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&session->tcp);
  if (result) {
    log_peer(LOG_ERROR, "a connection cannot be accepted: %s", uv_strerror(result));
    session_close(session);
    return;
  }
  (void)uv_tcp_nodelay(&session->tcp, 1);
  (void)uv_tcp_keepalive(&session->tcp, 1, KEEPALIVE_SECONDS);
  if (server->session_count > server->config.max_connections) refuse(session);
  session_mark(session);
}
