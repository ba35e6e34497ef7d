/* server.c - the loop's handles, start, reload and drain; see server.h. */
#include "server/server.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "server/log.h"
#include "server/relief.h"
#include "server/session.h"
#include "server/trim.h"

#define UPKEEP_THREADS 2u       /* a flush does not wait for a verify */
#define LOOK_NANOSECONDS 50000u /* docs/decisions/0009 */

/* ------------------------------------------------------------------ settling */

/* Settling one session can give memory back that another waits for, which then has something to settle. */
static void settle_all(struct server *server) {
  for (;;) {
    intake_resume(&server->intake);
    if (!server->dirty) return;
    while (server->dirty) {
      struct session *session = server->dirty;
      server->dirty = session->next_dirty;
      session->dirty = false;
      session_settle(session);
    }
  }
}

static void end_loop(struct server *server) {
  server->ended = true;
  uv_close((uv_handle_t *)&server->settle, NULL);
  uv_close((uv_handle_t *)&server->sweep, NULL);
  uv_close((uv_handle_t *)&server->look, NULL);
  mailbox_close(&server->mailbox);
  if (server->on_end) server->on_end(server);
}

static void on_settle(uv_prepare_t *handle) {
  struct server *server = handle->data;
  settle_all(server);
  if (server->draining && !server->sessions && !server->ended) end_loop(server);
}

void server_forget(struct server *server, struct session *session) {
  *(session->previous ? &session->previous->next : &server->sessions) = session->next;
  if (session->next) session->next->previous = session->previous;
  server->session_count--;
}

/* ------------------------------------------------------------------ looking before sleeping */

/* Work for other threads ends it: the processor is theirs. */
static void on_look(uv_idle_t *handle) {
  const struct server *server = handle->data;
  if (server->entries || server->away || uv_hrtime() >= server->look_until)
    (void)uv_idle_stop(handle);
  else
    (void)sched_yield(); /* to a client that is on the same core */
}

void server_look(struct server *server) {
  server->look_until = uv_hrtime() + LOOK_NANOSECONDS;
  (void)uv_idle_start(&server->look, on_look);
}

/* ------------------------------------------------------------------ deadlines */

/* A job takes as long as it takes: what has no more time, or nobody who waits for it, is not waited for. */
static void end_jobs(struct server *server) { server->store->operations->interrupt(server->store); }

static void cut_connections(struct server *server) {
  uint64_t cut = 0;
  end_jobs(server);
  for (struct session *session = server->sessions; session; session = session->next) {
    if (session->state != SESSION_CLOSED && session->state != SESSION_LINGERING) cut++;
    session_close(session);
  }
  if (cut)
    log_line(LOG_WARN, "%" PRIu64 " connections were cut off: they were not done when the time was up", cut);
  server->drain_until = UINT64_MAX;
}

static void on_sweep(uv_timer_t *handle) {
  struct server *server = handle->data;
  uint64_t now = uv_now(server->loop);
  for (struct session *session = server->sessions; session; session = session->next)
    session_sweep(session, now);
  relief_sweep(server);
  trim_sweep(server);
  if (server->accept_late && !server->draining) session_accept(server);
  if (server->draining && now >= server->drain_until) cut_connections(server);
}

/* ------------------------------------------------------------------ listening */

static void on_connection(uv_stream_t *listener, int status) {
  struct server *server = listener->data;
  if (status < 0)
    log_peer(LOG_ERROR, "a connection cannot be accepted: %s", uv_strerror(status));
  else
    session_accept(server);
}

static const char *listen_advice(int result) {
  switch (result) {
  case UV_EADDRINUSE:
    return "another process listens there: stop it, or choose another port with --listen";
  case UV_EACCES:
    return "permission denied: ports below 1024 need a privilege, choose a higher one with --listen";
  case UV_EADDRNOTAVAIL:
    return "this machine has no such address: choose one of its own with --listen";
  default:
    return uv_strerror(result);
  }
}

static int resolve(struct server *server, const char *host, uint16_t port, struct sockaddr_storage *address) {
  char service[8];
  uv_getaddrinfo_t request;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  (void)snprintf(service, sizeof service, "%u", port);
  int result = uv_getaddrinfo(server->loop, &request, NULL, host, service, &hints);
  if (result) return result;
  const struct addrinfo *chosen =
      request.addrinfo; /* IPv4 if there is one: clients try it for a name, always */
  for (const struct addrinfo *each = chosen; each; each = each->ai_next)
    if (each->ai_family == AF_INET && chosen->ai_family != AF_INET) chosen = each;
  memcpy(address, chosen->ai_addr, chosen->ai_addrlen);
  uv_freeaddrinfo(request.addrinfo);
  return 0;
}

static uint16_t bound_port(struct server *server) {
  struct sockaddr_storage address;
  int length = (int)sizeof address;
  if (uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                                             : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

static int start_listening(struct server *server, uint16_t *port, tally_error *error) {
  char host[CONFIG_TEXT];
  uint16_t wanted;
  struct sockaddr_storage address;
  const char *where = server->config.listen;
  int code = config_parse_address(where, host, &wanted, error);
  if (code != TALLY_OK) return code;
  int result = resolve(server, host, wanted, &address);
  if (result)
    return fail(error, TALLY_NOT_FOUND,
                "cannot listen on %s: the name is not known (%s): write an address of "
                "this machine, as in 127.0.0.1:7420",
                where, uv_strerror(result));
  result = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
  if (result == 0) result = uv_listen((uv_stream_t *)&server->listener, SERVER_BACKLOG, on_connection);
  if (result) return fail(error, TALLY_CONNECTION, "cannot listen on %s: %s", where, listen_advice(result));
  if (port) *port = bound_port(server);
  return TALLY_OK;
}

/* ------------------------------------------------------------------ start and end */

static int start_threads(struct server *server, tally_error *error) {
  int code = appender_start(&server->appender, server->store, &server->mailbox, error);
  if (code != TALLY_OK) return code;
  code = workers_start(&server->queries, (unsigned)server->config.query_threads, error);
  if (code == TALLY_OK) {
    code = workers_start(&server->upkeep, UPKEEP_THREADS, error);
    if (code == TALLY_OK) return code;
    workers_stop(&server->queries);
  }
  appender_stop(&server->appender);
  return code;
}

static void stop_threads(struct server *server) {
  end_jobs(server);
  appender_stop(&server->appender);
  workers_stop(&server->queries);
  workers_stop(&server->upkeep);
}

static int open_handles(struct server *server) {
  int result = mailbox_open(&server->mailbox, server->loop);
  if (result) return result;
  (void)uv_prepare_init(server->loop, &server->settle); /* these cannot fail */
  (void)uv_timer_init(server->loop, &server->sweep);
  (void)uv_idle_init(server->loop, &server->look);
  server->look.data = server->settle.data = server->sweep.data = server->listener.data = server;
  (void)uv_prepare_start(&server->settle, on_settle);
  (void)uv_timer_start(&server->sweep, on_sweep, SERVER_SWEEP_MS, SERVER_SWEEP_MS);
  return uv_tcp_init(server->loop, &server->listener);
}

static void close_listener(struct server *server) { uv_close((uv_handle_t *)&server->listener, NULL); }

/* Takes back a start that failed: the handles are closed by one run of the loop. */
static void undo_handles(struct server *server) {
  server->on_end = NULL;
  close_listener(server);
  end_loop(server);
  (void)uv_run(server->loop, UV_RUN_NOWAIT);
  mailbox_free(&server->mailbox);
}

uint64_t server_intake_share(const struct config *config) {
  uint64_t share = config->memory / 8;
  return share > SERVER_INTAKE_LEAST ? share : SERVER_INTAKE_LEAST;
}

int server_start(struct server *server, uv_loop_t *loop, const struct config *config, struct store *store,
                 uint16_t *port, tally_error *error) {
  void (*on_end)(struct server *) = server->on_end;
  void *owner = server->owner;
  *server = (struct server){
      .loop = loop, .config = *config, .store = store, .on_end = on_end, .owner = owner, .trim_rest = 1};
  server->scratch = mem_alloc(SERVER_SCRATCH);
  if (!server->scratch) return fail_memory(error, "the server");
  int result = open_handles(server);
  if (result) {
    mem_free(server->scratch);
    return fail(error, TALLY_IO, "the event loop cannot be set up: %s", uv_strerror(result));
  }
  intake_init(&server->intake, server_intake_share(config), session_resume);
  int code = start_threads(server, error);
  if (code == TALLY_OK) {
    code = start_listening(server, port, error);
    if (code == TALLY_OK) return code;
    stop_threads(server);
  }
  undo_handles(server);
  mem_free(server->scratch);
  return code;
}

void server_reload(struct server *server, const struct config *loaded) {
  config_adopt(&server->config, loaded);
  log_set_level((enum log_level)server->config.log_level);
}

void server_drain(struct server *server) {
  if (server->ended) return;
  uint64_t now = uv_now(server->loop);
  if (server->draining) {
    server->drain_until = now; /* asked twice: the next sweep cuts */
    return;
  }
  server->draining = true;
  server->drain_until = now + server->config.drain_timeout;
  close_listener(server);
  tally_error reason;
  (void)fail(&reason, TALLY_CLOSED, "the server is shutting down: connect again when it is back");
  for (struct session *session = server->sessions; session; session = session->next)
    session_end(session, 0, &reason, false);
}

void server_free(struct server *server) {
  stop_threads(server);
  mailbox_free(&server->mailbox);
  intake_free(&server->intake);
  mem_free(server->scratch);
}
