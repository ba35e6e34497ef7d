/* relief.c - see relief.h. */
#include "server/relief.h"

#include "base/status.h"

static void send_to_rest(struct server *server, struct session_answer *mine) {
  mine->relieving = true;
  server->relieving++;
  session_away(mine);
  answer_rest(&mine->answer, &server->queries);
}

/* Work of the upkeep's threads holds no memory of queries. */
static bool of_queries(const struct session_answer *mine) {
  return mine->answer.type == MESSAGE_QUERY || mine->answer.type == MESSAGE_EVENTS;
}

static void rest_all(struct server *server) {
  for (struct session *session = server->sessions; session; session = session->next) {
    if (!session->first_answer || !session_blocked(session)) continue;
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if (!mine->away && !mine->answer.rested && of_queries(mine)) send_to_rest(server, mine);
  }
}

static struct session_answer *longest_unread(struct server *server) {
  struct session_answer *found = NULL;
  uint64_t now = uv_now(server->loop);
  for (struct session *session = server->sessions; session; session = session->next) {
    if (!session->first_answer || !session_blocked(session) || now - session->active < RELIEF_MS) continue;
    if (found && found->session->active <= session->active) continue;
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if (!mine->away && mine->answer.type == MESSAGE_QUERY) found = mine;
  }
  return found;
}

static void give_up_one(struct server *server) {
  struct session_answer *mine = longest_unread(server);
  if (!mine) return;
  tally_error reason;
  (void)fail(&reason, TALLY_SNAPSHOT_EXPIRED,
             "the answer was not read while others needed its memory: run the query again, read its rows "
             "faster, or raise --memory");
  mine->relieving = true;
  server->relieving++;
  session_away(mine);
  answer_give_up(&mine->answer, &reason, &server->queries);
}

/* Does an answer hold memory that it will give back when it goes on? */
static bool others_work(struct server *server) {
  for (struct session *session = server->sessions; session; session = session->next)
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if ((mine->begun || mine->away) && !mine->waits && !mine->answer.rested && of_queries(mine))
        return true;
  return false;
}

/* A try counts once in the time of a sweep: in less, nothing may have changed. */
static bool too_many_tries(struct session_answer *mine, uint64_t now) {
  if (!mine->tries || now - mine->tried >= SERVER_SWEEP_MS) {
    mine->tries++;
    mine->tried = now;
  }
  return mine->tries > RELIEF_TRIES;
}

bool relief_wait(struct server *server, struct session_answer *mine) {
  if (too_many_tries(mine, uv_now(server->loop))) return false;
  rest_all(server);
  if (!server->relieving) give_up_one(server);
  if (!server->relieving && !server->first_starved && !others_work(server)) return false;
  session_away(mine);
  mine->waits = true;
  mine->next_starved = NULL;
  *(server->first_starved ? &server->last_starved->next_starved : &server->first_starved) = mine;
  server->last_starved = mine;
  return true;
}

static void try_first(struct server *server) {
  struct session_answer *mine = server->first_starved;
  if (!mine) return;
  server->first_starved = mine->next_starved;
  mine->waits = false;
  mine->tries_anew = true;
  answer_again(&mine->answer);
  session_pull(mine);
}

void relief_came(struct server *server, struct session_answer *mine) {
  mine->relieving = false;
  if (--server->relieving == 0) try_first(server);
}

void relief_passed(struct server *server, struct session_answer *mine) {
  mine->tries = 0;
  if ((mine->tries_anew || mine->answer.finished) && !server->relieving) try_first(server);
  mine->tries_anew = false;
}

void relief_sweep(struct server *server) {
  if (!server->first_starved || server->relieving) return;
  rest_all(server);
  if (!server->relieving) try_first(server);
}
