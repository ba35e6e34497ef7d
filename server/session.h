/* session.h - one connection: its frames, its requests under way, its output.
 *
 * States: GREETING (HELLO is awaited), OPEN, ENDING (nothing more is read; what is under way is finished and
 * sent, then the farewell), LINGERING (our side is shut down; input is thrown away until the peer hangs up,
 * so that a reset cannot destroy what we sent last), CLOSED (waits for its requests to come home).
 *
 * 1. Whatever happens to a session marks it; before the loop waits again session_settle looks at it once:
 *    takes the frames that are there, pulls answers, flushes replies, goes on to the next state, and decides
 *    whether to read. Only session_settle frees a session.
 * 2. It is freed when its handle is closed and all its requests are home, not before.
 * 3. An idle session owns no buffer. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "server/answer.h"
#include "server/server.h"

#define SESSION_COPY_BELOW                                                                                   \
  (16u << 10)                    /* smaller batches are copied out of their chunk, larger ones hold it */
#define SESSION_ENDING_MS 10000u /* without progress */
#define SESSION_LINGER_MS 2000u
#define SESSION_REST_MS 1000u /* after so long without reading, a peer's answers give back memory */

enum session_state { SESSION_GREETING, SESSION_OPEN, SESSION_ENDING, SESSION_LINGERING, SESSION_CLOSED };

/* An answer of a session. It is away while a worker has it, or while it waits for memory. */
struct session_answer {
  struct answer answer; /* first */
  struct session *session;
  struct session_answer *next, *previous;
  struct kept kept;
  uint64_t born; /* loop time, ms */
  uint8_t kind;  /* a hash of the request */
  bool away;
  bool begun; /* some of its rows have come: its cursor is open */
  /* relief.c: */
  bool relieving, waits, tries_anew;
  struct session_answer *next_starved;
  unsigned tries;
  uint64_t tried; /* loop time, ms, of the last one that counts */
};

struct session {
  uv_tcp_t tcp;
  struct server *server;
  struct session *next, *previous; /* all of the server's */
  struct session *next_dirty;
  struct place place;
  enum session_state state;
  bool dirty, reading, peer_done, shut, handle_closed;
  /* requests under way */
  unsigned entries;
  unsigned answer_count, away;
  uint32_t answer_window;
  struct session_answer *first_answer, *last_answer; /* the one that waits longest first */
  /* output */
  struct buffer replies; /* not yet handed to libuv */
  size_t unsent_replies, unsent_rows;
  unsigned writes;
  struct farewell *farewell;
  /* loop times, ms */
  uint64_t since;       /* of the state; in ENDING of the last progress */
  uint64_t active;      /* of the last frame or progress of output */
  uint64_t frame_since; /* of the frame that is not complete; 0: none */
};

/* Takes a connection from the listener. */
void session_accept(struct server *server);
/* Marks it for session_settle. */
void session_mark(struct session *session);
void session_settle(struct session *session);
/* Looks at its deadlines. */
void session_sweep(struct session *session, uint64_t now);
/* The intake has memory for it again. */
void session_resume(struct place *place);
/* Ends it after what is under way: with an ERROR as its last frame if `reason` is not NULL. `cancel`: its
 * answers are cancelled. */
void session_end(struct session *session, uint64_t id, const tally_error *reason, bool cancel);
/* Hangs up now. */
void session_close(struct session *session);
/* "127.0.0.1:51234". */
void session_peer(const struct session *session, char *text, size_t size);

/* session_output.c */
/* Adds one ERROR frame to the replies; without memory the session is closed. */
void session_put_error(struct session *session, uint64_t id, const tally_error *reason);
/* The result of a message_put_* on session->replies. */
void session_put_done(struct session *session, int code);
void session_flush(struct session *session);
/* Sends a worker's frames; takes the bytes over. */
void session_send_rows(struct session *session, struct buffer *bytes);

/* session_request.c */
/* True while the windows let another frame be taken. */
bool session_may_take(const struct session *session);
/* Takes the frames that are there. */
void session_take_frames(struct session *session);
/* Lets answers go on as far as the unsent output allows. */
void session_pull_answers(struct session *session);
void session_cancel_answers(struct session *session);
/* True if its peer does not read, so that none of its answers may go on. */
bool session_blocked(const struct session *session);
/* Looks at answers that nobody reads: they rest; over their time they end. */
void session_sweep_answers(struct session *session, uint64_t now);
/* Counts an answer as away; whoever calls it hands it to the workers, or has it answered. */
void session_away(struct session_answer *mine);
void session_pull(struct session_answer *mine);

#endif
