/* session_request.c - a session's frames and the requests they start, until their answers are home again. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "server/log.h"
#include "server/relief.h"
#include "server/session.h"

#define TRY_NANOSECONDS 50000u /* trying for so long costs next to nothing */
#define TURNS_MOST 64u

/* ------------------------------------------------------------------ appends and marks */

struct session_entry {
  struct entry entry; /* first */
  struct session *session;
  uint8_t *copy; /* of a small batch; a large one stays in its chunk */
  struct kept kept;
};

static void put_entry(struct session *session, struct entry *entry) {
  tally_error error;
  if (entry->result != TALLY_OK)
    session_put_error(session, entry->id, &entry->error);
  else if (entry->kind == ENTRY_MARK)
    session_put_done(session, message_put_marked(&session->replies, entry->id, &entry->marked, &error));
  else
    session_put_done(session, message_put_appended(&session->replies, entry->id, &entry->receipt, &error));
}

static void entry_arrive(struct letter *letter) {
  struct session_entry *mine = (struct session_entry *)(void *)letter;
  struct session *session = mine->session;
  session->entries--;
  session->server->entries--;
  session->active = uv_now(session->server->loop);
  if (session->state == SESSION_ENDING) session->since = session->active;
  if (session->state != SESSION_CLOSED) put_entry(session, &mine->entry);
  intake_give_back(&session->server->intake, &session->place, &mine->kept);
  mem_free(mine->copy);
  mem_free(mine);
  session_mark(session);
}

/* Without memory for an entry its place in the order cannot be kept, so the connection ends. */
static struct session_entry *entry_new(struct session *session, const struct frame *frame,
                                       enum entry_kind kind) {
  struct session_entry *mine = mem_zalloc(1, sizeof *mine);
  if (!mine) {
    tally_error error;
    (void)fail_memory(&error, "a request");
    session_end(session, frame->id, &error, false);
    return NULL;
  }
  mine->session = session;
  mine->entry.letter.arrive = entry_arrive;
  mine->entry.kind = kind;
  mine->entry.id = frame->id;
  return mine;
}

/* A request whose values are refused takes the way of the others; one whose layout is broken says that the
 * peer cannot be understood. */
static void submit_entry(struct session *session, struct session_entry *mine, const struct frame *frame,
                         int code) {
  if (code == TALLY_PROTOCOL) {
    session_end(session, mine->entry.id, &mine->entry.error, false);
    mem_free(mine->copy);
    mem_free(mine);
    return;
  }
  if (code != TALLY_OK) {
    mine->entry.kind = ENTRY_REFUSED;
    mine->entry.result = code;
  }
  bool lent = code == TALLY_OK && mine->entry.kind == ENTRY_APPEND && !mine->copy;
  uint64_t bytes = sizeof *mine + (mine->copy ? mine->entry.append.batch_size : 0);
  session->entries++;
  session->server->entries++;
  mine->kept = intake_keep(&session->server->intake, &session->place, lent ? frame : NULL, bytes, true);
  appender_submit(&session->server->appender, &mine->entry);
}

/* A small batch is copied, so that it does not hold a whole chunk; a large one is lent out of its chunk. */
static int copy_small(struct session_entry *mine, tally_error *error) {
  struct message_append *append = &mine->entry.append;
  if (append->batch_size >= SESSION_COPY_BELOW) return TALLY_OK;
  mine->copy = mem_alloc(append->batch_size);
  if (!mine->copy) return fail_memory(error, "a batch");
  if (append->batch_size) memcpy(mine->copy, append->batch, append->batch_size);
  append->batch = mine->copy;
  return TALLY_OK;
}

static void take_append(struct session *session, const struct frame *frame) {
  struct session_entry *mine = entry_new(session, frame, ENTRY_APPEND);
  if (!mine) return;
  session->place.appends = true;
  int code = message_get_append(frame, &mine->entry.append, &mine->entry.error);
  if (code == TALLY_OK) code = copy_small(mine, &mine->entry.error);
  submit_entry(session, mine, frame, code);
}

static void take_mark(struct session *session, const struct frame *frame) {
  struct session_entry *mine = entry_new(session, frame, ENTRY_MARK);
  if (mine)
    submit_entry(session, mine, frame, message_get_mark(frame, &mine->entry.mark, &mine->entry.error));
}

/* ------------------------------------------------------------------ answers */

static void answer_link(struct session *session, struct session_answer *mine) {
  mine->next = NULL;
  mine->previous = session->last_answer;
  *(session->last_answer ? &session->last_answer->next : &session->first_answer) = mine;
  session->last_answer = mine;
}

static void answer_unlink(struct session *session, struct session_answer *mine) {
  *(mine->previous ? &mine->previous->next : &session->first_answer) = mine->next;
  *(mine->next ? &mine->next->previous : &session->last_answer) = mine->previous;
}

static struct workers *workers_of(const struct session_answer *mine) {
  struct server *server = mine->session->server;
  uint8_t type = mine->answer.type;
  bool long_one = type == MESSAGE_VERIFY || type == MESSAGE_FLUSH || type == MESSAGE_JOB;
  return long_one ? &server->upkeep : &server->queries;
}

void session_away(struct session_answer *mine) {
  mine->away = true;
  mine->session->away++;
  mine->session->server->away++;
}

void session_pull(struct session_answer *mine) { answer_pull(&mine->answer, workers_of(mine)); }

/* May an answer that came home with so many bytes go on before they are sent, so that a worker makes the next
 * rows meanwhile? Only if it is the one of its connection: others would have their turn. */
static bool goes_on(const struct session *session, const struct session_answer *mine, size_t bytes) {
  return session->state == SESSION_OPEN && session->answer_count == 1 && !mine->answer.broken && bytes &&
         session->unsent_rows + bytes + ANSWER_FRAME < SERVER_ROWS_UNSENT;
}

static void answer_arrive(struct letter *letter) {
  struct session_answer *mine = (struct session_answer *)(void *)letter;
  struct session *session = mine->session;
  mine->away = false;
  session->away--;
  session->server->away--;
  mine->begun = mine->answer.rows_sent > 0;
  session->server->trim_due |= mine->answer.rested;
  if (mine->relieving) relief_came(session->server, mine);
  if (mine->answer.starved && session->state == SESSION_OPEN && relief_wait(session->server, mine)) return;
  if (mine->answer.starved && !mine->answer.finished) {
    session_away(mine);
    answer_give_up(&mine->answer, &mine->answer.reason, workers_of(mine));
    return;
  }
  if (!mine->answer.starved) relief_passed(session->server, mine);
  struct buffer out = mine->answer.out;
  mine->answer.out = (struct buffer){0};
  bool broken = mine->answer.broken;
  answer_unlink(session, mine);
  if (mine->answer.finished) {
    session->answer_count--;
    session->active = uv_now(session->server->loop);
    if (session->state == SESSION_ENDING) session->since = session->active;
    intake_give_back(&session->server->intake, &session->place, &mine->kept);
    answer_free(&mine->answer);
    mem_free(mine);
  } else {
    answer_link(session, mine); /* behind the others: they take turns */
    if (goes_on(session, mine, out.size)) {
      session_away(mine);
      session_pull(mine);
    }
  }
  session_send_rows(session, &out);
  if (broken && session->state != SESSION_CLOSED) session_close(session);
  session_mark(session);
}

static struct session_answer *answer_find(struct session *session, uint64_t id) {
  struct session_answer *mine = session->first_answer;
  while (mine && mine->answer.id != id) mine = mine->next;
  return mine;
}

/* What is away can come home with a frame each, so it counts as unsent; but when the peer has read
 * everything, all may go: a long query must not keep the short ones of its connection waiting. */
static bool may_pull(const struct session *session) {
  size_t coming = session->unsent_rows + (size_t)session->away * ANSWER_FRAME;
  return session->unsent_rows == 0 || coming < SERVER_ROWS_UNSENT;
}

/* A request that nobody has looked at yet, while nothing else is under way: nobody has to wait for it, and
 * the threads of the store have nothing to do that a lock could be held for. */
static bool may_try(const struct session *session, const struct session_answer *mine) {
  const struct server *server = session->server;
  const struct answer *answer = &mine->answer;
  return session->state == SESSION_OPEN && session->answer_count == 1 && !server->entries && !server->away &&
         !server->dirty && !answer->rows && !answer->rows_sent && !answer->waited;
}

/* What could not be answered at once is not tried again for one turn, then for two, four, …: at first what it
 * needs may not have been in the caches. True: it is answered and gone. */
static bool answered_at_once(struct session *session, struct session_answer *mine) {
  struct server_slow *slow = &session->server->slow[mine->kind];
  if (!may_try(session, mine)) return false;
  if (slow->turns) {
    slow->turns--;
    return false;
  }
  uint64_t began = uv_hrtime();
  if (!answer_try(&mine->answer)) {
    if (uv_hrtime() - began < TRY_NANOSECONDS) return false;
    if (slow->next < TURNS_MOST) slow->next = slow->next ? 2 * slow->next : 1;
    slow->turns = slow->next;
    return false;
  }
  slow->next = 0;
  session_away(mine);
  answer_arrive(&mine->answer.letter);
  server_look(session->server);
  return true;
}

/* Nobody reads the rest of a closed session's answers: they are cancelled, and one more pull closes their
 * cursors. */
void session_pull_answers(struct session *session) {
  struct session_answer *next, *mine = session->first_answer;
  for (; mine; mine = next) {
    next = mine->next;
    if (mine->away) continue;
    if (session->state != SESSION_CLOSED && !may_pull(session)) return;
    if (answered_at_once(session, mine)) continue;
    session_away(mine);
    session_pull(mine);
  }
}

bool session_blocked(const struct session *session) {
  return session->state == SESSION_OPEN && session->unsent_rows > 0 && !may_pull(session);
}

static uint64_t timeout_of(const struct answer *answer) {
  return answer->type == MESSAGE_QUERY    ? answer->query.query.timeout
         : answer->type == MESSAGE_EVENTS ? answer->events.scan.timeout
                                          : UINT64_MAX;
}

static void give_up_late(struct session_answer *mine) {
  tally_error reason;
  (void)fail(&reason, TALLY_DEADLINE, "the answer was not read within the request's time of %llu ms",
             (unsigned long long)timeout_of(&mine->answer));
  session_away(mine);
  answer_give_up(&mine->answer, &reason, workers_of(mine));
}

void session_sweep_answers(struct session *session, uint64_t now) {
  if (!session->first_answer || !session_blocked(session) || now - session->active < SESSION_REST_MS) return;
  struct session_answer *next, *mine = session->first_answer;
  for (; mine; mine = next) {
    next = mine->next;
    if (mine->away) continue;
    if (now - mine->born > timeout_of(&mine->answer)) {
      give_up_late(mine);
    } else if (!mine->answer.rested) {
      session_away(mine);
      answer_rest(&mine->answer, workers_of(mine));
    }
  }
}

void session_cancel_answers(struct session *session) {
  for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
    answer_cancel(&mine->answer);
}

static int answer_check(struct session *session, const struct frame *frame, tally_error *error) {
  if (session->answer_count >= session->answer_window)
    return fail(error, TALLY_BUSY,
                "%u requests of this connection are under way, its limit (max_queries): wait for one of them",
                session->answer_count);
  if (answer_find(session, frame->id))
    return fail(error, TALLY_USAGE,
                "the request's id is the one of a request that is under way: choose another");
  return TALLY_OK;
}

static void take_answer(struct session *session, const struct frame *frame) {
  tally_error error;
  struct server *server = session->server;
  int code = answer_check(session, frame, &error);
  struct session_answer *mine = code == TALLY_OK ? mem_zalloc(1, sizeof *mine) : NULL;
  if (code == TALLY_OK && !mine) code = fail_memory(&error, "a request");
  if (code == TALLY_OK)
    code = answer_init(&mine->answer, frame, server->config.query_timeout, server->store, &server->mailbox,
                       &error);
  if (code != TALLY_OK) {
    mem_free(mine);
    if (code == TALLY_PROTOCOL)
      session_end(session, frame->id, &error, true);
    else
      session_put_error(session, frame->id, &error);
    return;
  }
  mine->session = session;
  mine->born = uv_now(server->loop);
  mine->kind = (uint8_t)hash64(frame->payload, frame->size);
  mine->answer.letter.arrive = answer_arrive;
  mine->kept = intake_keep(&server->intake, &session->place, NULL, sizeof *mine + frame->size, false);
  session->answer_count++;
  answer_link(session, mine);
}

static void take_cancel(struct session *session, const struct frame *frame) {
  struct session_answer *mine = answer_find(session, frame->id);
  if (mine) answer_cancel(&mine->answer); /* else its answer is on its way already */
}

/* ------------------------------------------------------------------ frames */

static void put_welcome(struct session *session, uint64_t id, uint8_t version) {
  tally_error error;
  const struct config *config = &session->server->config;
  session->answer_window = (uint32_t)config->max_queries;
  struct message_welcome welcome = {
      .version = version,
      .frame_bytes = FRAME_BYTES,
      .batch_rows = TALLY_BATCH_ROWS,
      .batch_bytes = TALLY_BATCH_BYTES,
      .append_window = SERVER_APPEND_WINDOW,
      .answer_window = session->answer_window,
      .idle_timeout = config->idle_timeout < UINT32_MAX ? (uint32_t)config->idle_timeout : UINT32_MAX,
      .store_version = SERVER_STORE_VERSION,
  };
  (void)snprintf(welcome.name, sizeof welcome.name, "tallyd %d.%d.%d", TALLY_VERSION_MAJOR,
                 TALLY_VERSION_MINOR, TALLY_VERSION_PATCH);
  session_put_done(session, message_put_welcome(&session->replies, id, &welcome, &error));
}

static void take_hello(struct session *session, const struct frame *frame) {
  tally_error error;
  struct message_hello hello;
  uint8_t version = 0;
  int code = TALLY_OK;
  if (frame->type != MESSAGE_HELLO)
    code =
        fail(&error, TALLY_PROTOCOL, "the first message is %s: say HELLO first", message_name(frame->type));
  if (code == TALLY_OK) code = message_get_hello(frame, &hello, &error);
  if (code == TALLY_OK) code = message_choose_version(&hello, &version, &error);
  if (code != TALLY_OK) {
    session_end(session, frame->id, &error, true);
    return;
  }
  char peer[64];
  session_peer(session, peer, sizeof peer);
  log_line(LOG_DEBUG, "%s: connected with %s", peer, hello.name);
  session->state = SESSION_OPEN;
  session->since = uv_now(session->server->loop);
  session->place.reader.limit = FRAME_BYTES;
  put_welcome(session, frame->id, version);
}

static void take_ping(struct session *session, const struct frame *frame) {
  tally_error error;
  if (message_get_empty(frame, &error) == TALLY_OK)
    session_put_done(session, message_put_empty(&session->replies, MESSAGE_PONG, frame->id, &error));
  else
    session_end(session, frame->id, &error, true);
}

static void refuse_type(struct session *session, const struct frame *frame) {
  tally_error error;
  (void)fail(&error, TALLY_PROTOCOL, "a message of type %u (%s) is not one that a client sends here",
             frame->type, message_name(frame->type));
  session_end(session, frame->id, &error, true);
}

static void refuse_id(struct session *session) {
  tally_error error;
  (void)fail(&error, TALLY_PROTOCOL,
             "a request has the id 0, which is the connection's: count requests from 1");
  session_end(session, 0, &error, true);
}

static void take_frame(struct session *session, const struct frame *frame) {
  if (frame->id == 0) {
    refuse_id(session);
    return;
  }
  if (session->state == SESSION_GREETING) {
    take_hello(session, frame);
    return;
  }
  switch (frame->type) {
  case MESSAGE_PING:
    take_ping(session, frame);
    return;
  case MESSAGE_APPEND:
    take_append(session, frame);
    return;
  case MESSAGE_MARK:
    take_mark(session, frame);
    return;
  case MESSAGE_QUERY:
  case MESSAGE_EVENTS:
  case MESSAGE_STATS:
  case MESSAGE_VERIFY:
  case MESSAGE_JOB:
  case MESSAGE_FLUSH:
    take_answer(session, frame);
    return;
  case MESSAGE_CANCEL:
    take_cancel(session, frame);
    return;
  default:
    refuse_type(session, frame);
    return;
  }
}

bool session_may_take(const struct session *session) {
  return session->state <= SESSION_OPEN && !session->place.waiting &&
         session->entries < SERVER_APPEND_WINDOW &&
         session->unsent_replies + session->replies.size < SERVER_REPLIES_UNSENT;
}

void session_take_frames(struct session *session) {
  struct server *server = session->server;
  while (session_may_take(session)) {
    struct frame frame;
    tally_error error;
    int code = place_next(&server->intake, &session->place, &frame, &error);
    if (code == FRAME_MORE) {
      if (!place_partial(&session->place))
        session->frame_since = 0;
      else if (!session->frame_since)
        session->frame_since = uv_now(server->loop);
      return;
    }
    if (code != FRAME_READY) {
      session_end(session, 0, &error, true);
      return;
    }
    session->frame_since = 0;
    session->active = uv_now(server->loop);
    take_frame(session, &frame);
  }
}
