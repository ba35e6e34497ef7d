/* server.h - tallyd without its command line: the loop, the connections, and the threads behind them.
 *
 * 1. One thread runs the loop: it reads, checks, replies, and never waits. Appends run on the appender's
 *    thread, queries on the workers, verify and flush on two of their own (they may take minutes). A query
 *    that comes while nothing else is under way is first tried on the loop, for a millisecond at most, and
 *    after its answer the loop looks for the next one before it sleeps.
 * 2. Everything that can grow is bounded: connections (max_connections), input (intake.h), batches of one
 *    connection (APPEND_WINDOW), its answers (max_queries), its unsent output (ROWS_UNSENT, REPLIES_UNSENT).
 *    At a bound the server stops reading from that connection, or says `busy`.
 * 3. All functions are called on the loop's thread, server_start and server_free before and after it runs.
 * The process must ignore SIGPIPE. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdatomic.h>

#include "server/appender.h"
#include "server/config.h"
#include "server/intake.h"
#include "server/mailbox.h"
#include "server/store.h"
#include "server/workers.h"

#define SERVER_APPEND_WINDOW 64u           /* APPENDs and MARKs of a connection under way */
#define SERVER_ROWS_UNSENT (512u << 10)    /* no pull begins at or above it: at most 1 MiB is unsent */
#define SERVER_REPLIES_UNSENT (256u << 10) /* at or above it nothing more is read */
#define SERVER_INTAKE_LEAST (16u << 20)    /* the intake has an eighth of `memory`, at least this */
#define SERVER_SWEEP_MS 250u
#define SERVER_BACKLOG 4096
#define SERVER_SLOW 256u
#define SERVER_STORE_VERSION 0x80000001u /* of the store's format, bit 31: a development version */

struct session;

struct server {
  uv_loop_t *loop;
  struct config config; /* in force */
  struct store *store;
  struct mailbox mailbox;
  struct appender appender;
  struct workers queries, upkeep;
  struct intake intake;
  uv_tcp_t listener;
  uv_prepare_t settle; /* before each wait: settles the sessions that something happened to */
  uv_timer_t sweep;    /* deadlines of all sessions */
  uv_idle_t look;      /* while it is active the loop does not sleep */
  uint64_t look_until; /* uv_hrtime */
  struct session *sessions, *dirty;
  struct session_answer *first_starved, *last_starved; /* relief.h */
  unsigned relieving;
  struct job trim; /* trim.h */
  _Atomic bool trimming;
  bool trim_due;      /* answers have rested, or the process has grown */
  uint64_t trimmed;   /* loop time, ms: of the last trim because it has grown */
  unsigned trim_rest; /* TRIM_MS until the next; the upkeep's while `trimming`, as is */
  size_t trim_left;   /* what the last trim left in memory */
  uint64_t session_count;
  unsigned entries, away; /* of all sessions: appends and marks under way, answers with a worker */
  /* By a hash of its bytes: for how many turns a request is not tried at once, and will not be if it then
   * fails again. */
  struct server_slow {
    uint8_t turns, next;
  } slow[SERVER_SLOW];
  bool draining, ended, accept_late;
  uint64_t drain_until;            /* loop time, ms */
  void (*on_end)(struct server *); /* drained: every session is gone. May be NULL */
  void *owner;
  uint8_t *scratch; /* input that is thrown away goes here */
};

/* The part of `memory` that the intake has; the engine has the rest. */
uint64_t server_intake_share(const struct config *config);

#define SERVER_SCRATCH (64u << 10)

/* Starts the threads and listens. `port` (may be NULL) is the one that was bound. `config` is copied; the
 * store stays the caller's. */
int server_start(struct server *server, uv_loop_t *loop, const struct config *config, struct store *store,
                 uint16_t *port, tally_error *error);
/* Puts the settings in force that a reload changes. */
void server_reload(struct server *server, const struct config *loaded);
/* Stops accepting and reading, finishes what is under way for at most drain_timeout, closes every connection,
 * then calls on_end and lets the loop end. Called again it no longer waits. */
void server_drain(struct server *server);
/* After the loop has ended: ends and joins the threads. */
void server_free(struct server *server);

/* For sessions. */
void server_forget(struct server *server, struct session *session);
/* An answer was given at once: who asks again at once is looked for, for 50 microseconds at most. */
void server_look(struct server *server);

#endif
